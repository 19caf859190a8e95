// Retraining: the winner of the search from scratch, with all cores and all the time that is left.
//
// The winner (winner.c) and what is to be made of it (retrain_plan.c) are the same over all runs, so
// training goes on from its checkpoint. How long the finish will take is measured first, on this
// machine with this network; everything before it belongs to training. The test split is not read
// here.

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "search/retrain.h"

#define BEAT_MS                500
#define CHECKPOINT_INTERVAL_MS 15000
#define TRAIN_S_MIN            2    // shorter trainings teach nothing
#define FINISH_BASE_MS         1500 // loading, preparing, exporting, besides classifying
#define FINISH_SAFETY          1.5  // on what was measured
#define MARGIN_MS_MIN          1500
#define MARGIN_MS_MAX          30000
#define TIMED_BATCHES          5
#define TRIES_MAX              4

typedef struct retraining {
    search__run *run;
    search__slot *slot;
    results_store *store;
    ns_json *result; // the study's
    search__retrain_plan plan;
    budget_rate rate; // of classifying
    int64_t attempt_id;
    int64_t start_ms, beat_ms; // clock
    nn_counts counts;          // of the network
    ns_status status;          // the store's, in a callback
    ns_error *err;
} retraining;

/* ---- the winner ------------------------------------------------------------------------------ */

/// The winner as searched.
static ns_status winner_open(retraining *r, search_candidate *candidate, ns_error *err) {
    search_genotype genotype;
    NS_TRY(search__result_read(r->store, r->run, &r->result, err));
    NS_TRY(search__winner_fix(r->run, r->store, r->result, err));
    NS_TRY(search_genotype_from_json(&r->run->space, ns_json_get(r->result, "winner"), &genotype,
                                     err));
    return search_decode(&r->run->space, &genotype, candidate, err);
}

/* ---- how long -------------------------------------------------------------------------------- */

/// Measures how fast a network classifies on this machine now.
static ns_status measure(const search__run *run, const nn_graph *graph, budget_rate *rate,
                         ns_error *err) {
    nn_net_options options = nn_net_options_default();
    options.mode = NN_MODE_INFER;
    options.batch_size = search__eval_batch(run->info);
    options.thread_count = run->thread_count;
    options.dtype = NN_DTYPE_F32; // as the finish classifies
    nn_net *net = NULL;
    NS_TRY(nn_net_new(graph, &options, &net, err));
    nn_net_init(net, run->config->seed);
    const nn_shape input = graph->node[0].shape;
    const size_t input_count = (size_t)options.batch_size * (size_t)input.channels *
                               (size_t)input.height * (size_t)input.width;
    memset(nn_net_input(net), 0, input_count * sizeof(float));
    nn_net_forward(net);       // warms caches up
    double best_ms = INFINITY; // a neighbour only ever makes it slower
    for (int i = 0; i < TIMED_BATCHES; i++) {
        const int64_t start_ns = ns_clock_ns();
        nn_net_forward(net);
        best_ms = fmin(best_ms, (double)(ns_clock_ns() - start_ns) / 1e6);
    }
    budget_rate_observe(rate, (double)nn_graph_count(graph).forward_flops * options.batch_size,
                        best_ms);
    nn_net_free(net);
    return NS_OK;
}

/// Leaves the rate at 0 where it is known without measuring, and where measuring fails.
static void measure_rate(retraining *r, const search_candidate *candidate) {
    ns_error why = {0};
    if (search__clock_classify_ms(r->run, &candidate->counts, 1) == 0 &&
        measure(r->run, &candidate->graph, &r->rate, &why) != NS_OK) {
        ns_log_write(r->run->config->log, NS_LOG_WARN, "finish not measured: %s", why.text);
    }
}

/// Ledger position at which training must end, as the finish has to classify so many images. The
/// plan's guess holds where nothing could be measured, and where the measured rate leaves no time
/// for any training: then the machine was busy for a moment, and a model that is judged in a hurry
/// is better than none.
static int64_t deadline_ms(const retraining *r, const search_candidate *candidate,
                           size_t image_count) {
    const search__run *run = r->run;
    const int64_t known_ms = search__clock_classify_ms(run, &candidate->counts, image_count);
    if (known_ms > 0) {
        return run->plan.total_ms - known_ms - r->plan.mirror_trial_flop / BUDGET_FLOP_PER_MS - 1;
    }
    if (r->rate.flops_per_ms <= 0) {
        return run->plan.retrain_end_ms;
    }
    const double flops =
        (double)image_count * (double)candidate->counts.forward_flops * FINISH_SAFETY;
    const int64_t finish_ms = FINISH_BASE_MS + budget_rate_predict_ms(&r->rate, flops, 0);
    int64_t margin_ms = run->plan.total_ms / 200;
    margin_ms = margin_ms < MARGIN_MS_MIN ? MARGIN_MS_MIN : margin_ms;
    margin_ms = margin_ms > MARGIN_MS_MAX ? MARGIN_MS_MAX : margin_ms;
    const int64_t end_ms = run->plan.total_ms - finish_ms - margin_ms;
    const int64_t least_ms = search__position_ms(run) + budget_seconds_ms(BUDGET_TIME, TRAIN_S_MIN);
    return end_ms > least_ms || end_ms > run->plan.retrain_end_ms ? end_ms
                                                                  : run->plan.retrain_end_ms;
}

/* ---- training -------------------------------------------------------------------------------- */

static int64_t charged_ms(const retraining *r) {
    return ns_clock_ms() - r->start_ms;
}

static ns_status book_work(const retraining *r, uint64_t sample_count) {
    const int64_t flop = search__work_flop(&r->counts, sample_count, 0) + r->plan.mirror_trial_flop;
    return results_phase_work(r->store, r->attempt_id, flop, r->err);
}

static nn_verdict on_step(void *context, const nn_progress *progress) {
    retraining *r = context;
    const int64_t now_ms = ns_clock_ms();
    r->slot->fraction = progress->fraction;
    r->slot->alive_ms = now_ms;
    if (search__stop_requested()) {
        return NN_STOP;
    }
    if (now_ms - r->beat_ms >= BEAT_MS) {
        r->beat_ms = now_ms;
        r->status = results_phase_beat(r->store, r->attempt_id, charged_ms(r), r->err);
        r->status = r->status == NS_OK ? book_work(r, progress->sample_count) : r->status;
        r->status = r->status == NS_ERR_BUSY ? NS_OK : r->status; // the next beat books it all
    }
    return r->status == NS_OK ? NN_CONTINUE : NN_STOP;
}

/// The useful end came before that of the budget: search__conclude() says so.
static ns_status note_convergence(const retraining *r, ns_error *err) {
    ns_json_set_bool(r->result, "converged", true);
    return search__result_write(r->store, r->run, r->result, err);
}

/// Trains until the ledger stands at `end_ms`, from the checkpoint if there is one. With hardly any
/// time left a checkpoint still becomes a model, as it is.
static ns_status train_until(retraining *r, const search_candidate *candidate,
                             const char *checkpoint, int64_t end_ms, nn_model **model,
                             ns_error *err) {
    const int64_t done_ms = search__clock_counted_ms(r->run, checkpoint);
    NS_TRY(search__clock_update(r->run, r->store, err));
    const int64_t left_ms = end_ms - search__position_ms(r->run);
    if (left_ms < budget_seconds_ms(r->run->config->budget_kind, TRAIN_S_MIN) && done_ms == 0) {
        return ns_fail(err, NS_ERR_BUDGET, "no time is left for it");
    }
    nn_train_options options = nn_train_options_default();
    nn_train_result result = {0};
    options.step_ms_guess = search__predict_step_ms(r->run, candidate, true);
    options.recipe = candidate->recipe;
    search__clock_grant(r->run, candidate, done_ms + (left_ms > 0 ? left_ms : 0), &options);
    const uint64_t useful_count = (uint64_t)r->plan.sample_count_max;
    if (useful_count > 0 &&
        (options.sample_count_max == 0 || options.sample_count_max > useful_count)) {
        options.sample_count_max = useful_count;
    }
    options.with_validation = r->plan.with_validation;
    options.seed = r->run->config->seed;
    options.thread_count = r->run->thread_count;
    options.dtype = r->run->config->dtype;
    options.on_step = on_step;
    options.context = r;
    options.checkpoint_path = checkpoint;
    options.checkpoint_interval_ms = CHECKPOINT_INTERVAL_MS;
    r->counts = candidate->counts;
    NS_TRY(nn_train(&candidate->graph, r->run->set, &options, &result, model, err));
    NS_TRY(r->status);
    NS_TRY(book_work(r, result.last.sample_count));
    if (result.recovery_reason.text[0] != '\0') { // in this life
        ns_log_write(r->run->config->log, NS_LOG_WARN,
                     "retraining broke %d times and went on at a lower rate, last: %s",
                     result.recovery_count, result.recovery_reason.text);
    }
    if (result.checkpoint_failure_count > 0) {
        ns_log_write(r->run->config->log, NS_LOG_WARN, "%d checkpoints failed, the last: %s",
                     result.checkpoint_failure_count, result.checkpoint_error.text);
    }
    if (!result.stopped && useful_count > 0 && options.sample_count_max == useful_count &&
        result.last.sample_count + (uint64_t)result.recipe.batch_size > useful_count) {
        return note_convergence(r, err);
    }
    return result.stopped ? NS_ERR_STOPPED : NS_OK;
}

/// What a failed training is worth: another try, changed so that it may fare better.
static bool may_retry(ns_status status, const char *checkpoint, search_candidate *candidate) {
    switch (status) {
    case NS_ERR_NAN:
        candidate->recipe.rate_peak /= 2;
        break;
    case NS_ERR_INPUT: // the checkpoint is damaged, or of another training
    case NS_ERR_CORRUPT:
    case NS_ERR_VERSION:
        break;
    default:
        return false;
    }
    unlink(checkpoint);
    return true;
}

/// Trains; a network that will not train is logged and leaves `*model` NULL: the finish then takes
/// the best trial's own model.
static ns_status train(retraining *r, search_candidate *candidate, nn_model **model,
                       ns_error *err) {
    char checkpoint[NS_PATH_MAX];
    NS_TRY(search__file(r->run, "retrain.ckpt", checkpoint, err));
    const bool by_model = r->plan.mirror_by_model;
    const size_t image_count = search__finish_image_count(
        r->run->info, by_model || candidate->recipe.mirror_average, by_model);
    const int64_t end_ms = deadline_ms(r, candidate, image_count);
    for (int i = 0; i < TRIES_MAX; i++) {
        ns_error why = {0};
        const ns_status status = train_until(r, candidate, checkpoint, end_ms, model, &why);
        if (status == NS_OK || status == NS_ERR_STOPPED) {
            return status;
        }
        if (status == NS_ERR_IO || status == NS_ERR_FENCED) {
            *err = r->status != NS_OK ? *err : why;
            return status;
        }
        ns_log_write(r->run->config->log, NS_LOG_WARN, "retraining: %s", why.text);
        if (!may_retry(status, checkpoint, candidate)) {
            break;
        }
    }
    return NS_OK;
}

/// Makes of the winner as searched what is to be retrained.
static ns_status follow_plan(retraining *r, search_candidate *candidate, ns_error *err) {
    measure_rate(r, candidate);
    NS_TRY(search__clock_update(r->run, r->store, err));
    const data_info *info = r->run->info;
    const search__retrain_end end = {
        .ms = deadline_ms(r, candidate, search__finish_image_count(info, false, false)),
        .mirror_ms = deadline_ms(r, candidate, search__finish_image_count(info, true, true)),
    };
    NS_TRY(search__retrain_plan_make(r->run, r->slot, r->store, end, candidate, r->result, err));
    r->plan = search__retrain_plan_of(r->result);
    if (r->plan.width_factor > 1) {
        const search_genotype genotype = candidate->genotype;
        NS_TRY(search__widen(&r->run->space, &genotype, r->plan.width_factor, candidate, err));
    }
    candidate->recipe.mirror_average = r->plan.mirror_average;
    return NS_OK;
}

static ns_status retrain(retraining *r, ns_error *err) {
    search_candidate *candidate = malloc(sizeof(*candidate));
    nn_model *model = NULL;
    char path[NS_PATH_MAX];
    ns_status status = candidate == NULL
                           ? ns_fail(err, NS_ERR_MEMORY, "cannot hold a candidate network")
                           : winner_open(r, candidate, err);
    if (status == NS_OK) {
        status = follow_plan(r, candidate, err);
    }
    if (status == NS_OK) {
        status = train(r, candidate, &model, err);
    }
    if (status == NS_OK && model != NULL) {
        status = search__file(r->run, "retrain.nsm", path, err);
    }
    if (status == NS_OK && model != NULL) {
        status = nn_model_save(model, path, err);
    }
    nn_model_free(model);
    free(candidate);
    return status;
}

int search__retrain_main(search__run *run, int slot) {
    ns_error *err = &run->slot[slot].error;
    retraining r = {.run = run, .slot = &run->slot[slot], .start_ms = ns_clock_ms(), .err = err};
    ns_status status = results_open(run->config->store_path, RESULTS_WRITE, &r.store, err);
    if (status == NS_OK) {
        status = results_phase_begin(r.store, run->run_id, "retrain", getpid(), &r.attempt_id, err);
    }
    if (status == NS_OK) {
        status = retrain(&r, err);
    }
    if (status == NS_OK || status == NS_ERR_STOPPED) {
        const ns_status ended = results_phase_end(r.store, r.attempt_id, charged_ms(&r), err);
        status = ended == NS_OK ? status : ended;
    }
    ns_json_free(r.result);
    results_close(r.store);
    return search__exit_code(status);
}
