// States that are kept: checkpoints on disk, for another process, and the last good state in
// memory, for the case that the weights break.
//
// A step breaks when its loss, batch statistics, gradients or new weights are not finite. A NaN
// anywhere is soon a NaN everywhere, so the whole state goes back to the last good one and the rest
// is trained at half the rate: it was too high for this network, or the step was bad luck, and then
// half costs little. Images and time are not given back, and the next batch is another one. Three
// times is enough: what breaks at an eighth of its rate is no training.
//
//   sound --(every GOOD_STEPS steps, loss below twice guessing)--> good := present
//   broken --(fewer than RECOVERIES_MAX so far)--> present := good, rate / 2
//   broken --(otherwise)--> NS_ERR_NAN
//
// The loss must be low as well as finite because a diverging training has some finite steps left.
// Guessing costs log(classes), and what does worse for long has learned nothing worth keeping.
//
// All that decides depends on steps alone, and a checkpoint holds the good state beside the present
// one; so a training limited by samples recovers in the same way however often it is interrupted.

#include "nn/train.h"

#include <math.h>
#include <stdlib.h>

enum {
    GOOD_STEPS = 100, // copying then takes under a thousandth of the time
    RECOVERIES_MAX = 3,
    CHECKPOINT_BYTES_PER_MS = 100000, // a guess on the low side, until one is written
};

/* ---- snapshots ------------------------------------------------------------------------------- */

static size_t part_count_of(const nn_recipe *recipe) {
    return recipe->average == NN_AVERAGE_NONE ? NN__PARTS_MAX - 1 : NN__PARTS_MAX;
}

/// Both snapshots.
size_t nn_train_copy_bytes(const nn_graph *graph, const nn_recipe *recipe) {
    return 2 * part_count_of(recipe) * nn_graph_state_count(graph) * sizeof(float);
}

ns_status nn__train_keep_new(nn__trainer *t, ns_error *err) {
    const size_t size_bytes = nn_train_copy_bytes(t->graph, &t->recipe);
    t->state_count = nn_graph_state_count(t->graph);
    t->part_count = part_count_of(&t->recipe);
    t->checkpoint_cost_ms = (int64_t)(size_bytes / CHECKPOINT_BYTES_PER_MS) + 1;
    t->now = malloc(size_bytes + 1);
    if (t->now == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for copies of %zu weights", t->state_count);
    }
    t->good = t->now + t->part_count * t->state_count;
    return NS_OK;
}

static void read_net(const nn__trainer *t, float *snapshot) {
    nn_net_get_state(t->net, snapshot);
    nn_net_get_momentum(t->net, snapshot + t->state_count);
    if (t->part_count == NN__PARTS_MAX) {
        nn_net_get_average(t->net, snapshot + 2 * t->state_count);
    }
}

static void write_net(nn__trainer *t, const float *snapshot) {
    nn_net_set_state(t->net, snapshot);
    nn_net_set_momentum(t->net, snapshot + t->state_count);
    if (t->part_count == NN__PARTS_MAX) {
        nn_net_set_average(t->net, snapshot + 2 * t->state_count);
    }
}

/* ---- recovery -------------------------------------------------------------------------------- */

void nn__train_keep_good(nn__trainer *t) {
    read_net(t, t->good);
    t->position.good_trend = t->position.trend;
}

void nn__train_keep_good_if_due(nn__trainer *t, double loss) {
    const double class_count = fmax((double)nn_net_class_count(t->net), 2.0);
    const double guessing =
        nn_net_targets(t->net) != NULL ? class_count * log(2.0) : log(class_count);
    const double loss_max = 2.0 * guessing;
    if (t->position.step % GOOD_STEPS == 0 && fmax(loss, t->position.trend.loss) <= loss_max) {
        nn__train_keep_good(t);
    }
}

float nn__train_rate_factor(const nn__trainer *t) {
    return ldexpf(1.0F, -t->position.recoveries);
}

ns_status nn__train_recover(nn__trainer *t, const ns_error *why, ns_error *err) {
    if (t->position.recoveries == RECOVERIES_MAX) {
        return ns_fail(err, NS_ERR_NAN, "%s, after %d recoveries", why->text, RECOVERIES_MAX);
    }
    t->position.recoveries++;
    t->result->recovery_reason = *why;
    const int64_t clipped_count = t->position.trend.clip.clipped_count;
    write_net(t, t->good);
    t->position.trend = t->position.good_trend; // what a diverging training taught is no measure
    t->position.trend.clip.clipped_count = clipped_count;
    return NS_OK;
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static nn__training identity_of(const nn__trainer *t) {
    return (nn__training){t->graph,
                          t->set,
                          &t->recipe,
                          t->options->seed,
                          nn_dtype_resolve(t->options->dtype),
                          t->options->with_validation};
}

ns_status nn__train_resume(nn__trainer *t, ns_error *err) {
    const nn__training training = identity_of(t);
    NS_TRY(nn__checkpoint_load(t->options->checkpoint_path, &training, &t->position, t->now,
                               2 * t->part_count * t->state_count, err));
    write_net(t, t->now);
    data_loader_seek(t->loader, t->position.sample_count);
    t->begin_ms -= t->position.used_ms;
    nn__train_reserve(t); // the limit may be another
    return NS_OK;
}

ns_status nn__train_save(nn__trainer *t, ns_error *err) {
    const int64_t begin_ms = ns_clock_ms();
    const nn__training training = identity_of(t);
    read_net(t, t->now);
    t->position.used_ms = nn__train_used_ms(t);
    NS_TRY(nn__checkpoint_save(t->options->checkpoint_path, &training, &t->position, t->now,
                               2 * t->part_count * t->state_count, err));
    t->checkpoint_ms = ns_clock_ms();
    t->checkpoint_cost_ms = t->checkpoint_ms - begin_ms;
    return NS_OK;
}

ns_status nn__train_save_if_due(nn__trainer *t, ns_error *err) {
    const bool due = ns_clock_ms() - t->checkpoint_ms >= t->options->checkpoint_interval_ms;
    const double cost_ms = (double)t->checkpoint_cost_ms + t->position.step_ms;
    if (t->options->checkpoint_path == NULL || !due || !nn__train_time_fits(t, cost_ms)) {
        return NS_OK;
    }
    const ns_status status = nn__train_save(t, &t->result->checkpoint_error);
    if (status == NS_ERR_IO) { // a full disk, maybe for a minute: not worth the training
        t->checkpoint_ms = ns_clock_ms();
        t->result->checkpoint_failure_count++;
        return NS_OK;
    }
    return status == NS_OK ? NS_OK : ns_fail(err, status, "%s", t->result->checkpoint_error.text);
}
