// What of a training becomes a model, and how good it is on the way.
//
// Without averaging that is the net as it stands. An average of weights (nn/average.c) is a network
// that never ran: its batch norms have no statistics of their own, and those of the moving weights
// do not fit it. So they are measured (Izmailov et al. 2018, "Averaging Weights Leads to Wider
// Optima", section 3.2): the averaged weights are put into the net, a few thousand training images
// run through it in training mode, and mean and variance are averaged over these batches alone. The
// images are the first of an order of their own, the same at every mark and at the end, and they are
// not augmented, as those to be classified will not be.
//
// Where there is time for no pass at all, the weights as they stand and their own statistics are the
// model: an average with the statistics of other weights is worth nothing.
//
// Afterwards the net gets back what it had, so that looking changes nothing.

#include "nn/train.h"

#include <math.h>
#include <stdlib.h>

enum {
    EVAL_BATCH_SIZE_MAX = 64, // small: a mark should not need more memory than training does
    STATISTICS_IMAGES = 4096, // their means are then known to about 1/64 of a standard deviation
};

#define FORWARD_SHARE 0.5 // of a step, at most: it is a third of the FLOPs

/* ---- set-up ---------------------------------------------------------------------------------- */

/// What evaluates at the marks to come, within the memory that the training net leaves.
static ns_status make_infer(nn__trainer *t, const nn_net_options *net_options, ns_error *err) {
    if (t->options->on_mark == NULL || t->position.marks_done >= t->options->eval_mark_count) {
        return NS_OK;
    }
    const data_info *info = data_describe(t->set);
    const size_t net_bytes = nn__net_mem_bytes(t->net);
    nn_net_options options = *net_options;
    options.batch_size =
        t->recipe.batch_size < EVAL_BATCH_SIZE_MAX ? t->recipe.batch_size : EVAL_BATCH_SIZE_MAX;
    options.mem_bytes_max = t->mem_bytes_max > net_bytes ? t->mem_bytes_max - net_bytes : 1;
    const nn__around around = {.image = {info->channels, info->height, info->width},
                               .mean = info->mean,
                               .deviation = info->deviation,
                               .mirror_average = t->recipe.mirror_average};
    const ns_status status = nn__infer_new(t->graph, &options, &around, &t->infer, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot evaluate beside a training of %.1f MB",
                        (double)net_bytes / 1e6);
    }
    return status;
}

static ns_status make_statistics_loader(nn__trainer *t, ns_error *err) {
    if (t->recipe.average == NN_AVERAGE_NONE) {
        return NS_OK;
    }
    const data_loader_options options = {.split = DATA_TRAIN,
                                         .with_validation = t->options->with_validation,
                                         .batch_size = t->recipe.batch_size,
                                         .shuffle = true,
                                         .size = nn__size_of(t->graph->node[0].shape),
                                         .seed = ~t->options->seed,
                                         .thread_count = t->thread_count};
    return data_loader_new(t->set, &options, &t->statistics_loader, err);
}

ns_status nn__train_judge_new(nn__trainer *t, const nn_net_options *net_options, ns_error *err) {
    NS_TRY(make_infer(t, net_options, err));
    return make_statistics_loader(t, err);
}

/* ---- the model ------------------------------------------------------------------------------- */

/// Batches to measure the statistics on: at most an epoch, at least one.
static int statistics_batches(const nn__trainer *t) {
    const int epoch = (int)(nn__train_epoch_samples(t) / (uint64_t)t->recipe.batch_size);
    const int wanted = (STATISTICS_IMAGES + t->recipe.batch_size - 1) / t->recipe.batch_size;
    return wanted < epoch ? wanted : epoch;
}

double nn__train_settle_ms(const nn__trainer *t) {
    return t->recipe.average == NN_AVERAGE_NONE
               ? 0
               : FORWARD_SHARE * statistics_batches(t) * t->position.step_ms;
}

/// Of the weights in the net, as far as the time goes; false when it is too short for any.
static bool measure_statistics(nn__trainer *t) {
    const data_batch batch = nn__train_batch(t);
    const int batch_count = statistics_batches(t);
    const int64_t begin_ms = ns_clock_ms();
    double pass_ms = FORWARD_SHARE * t->position.step_ms;
    data_loader_seek(t->statistics_loader, 0);
    nn__net_set_step(t->net, t->options->seed);
    int done = 0;
    while (done < batch_count && nn__train_end_fits(t, pass_ms)) {
        (void)data_loader_next(t->statistics_loader, &batch);
        nn_net_set_running_share(t->net, 1.0F / (float)(done + 1));
        nn_net_forward(t->net);
        done++;
        pass_ms = (double)(ns_clock_ms() - begin_ms) / done;
    }
    nn_net_set_running_share(t->net, NN__NORM_MOMENTUM);
    return done > 0;
}

/// Into `settled`: the average, with what of the weights `t->now` it has not seen yet.
static void read_average(const nn__trainer *t, float *settled) {
    const float rest = nn__average_rest(&t->recipe, t->position.step, nn__train_fraction(t, 0));
    nn_net_get_average(t->net, settled);
    for (size_t i = 0; i < t->state_count && rest > 0.0F; i++) {
        settled[i] += rest * (t->now[i] - settled[i]);
    }
}

ns_status nn__train_settle(nn__trainer *t, const float **state, ns_error *err) {
    float *settled = t->now;
    nn_net_get_state(t->net, t->now);
    if (t->recipe.average != NN_AVERAGE_NONE) {
        float *average = t->now + t->state_count;
        read_average(t, average);
        nn_net_set_state(t->net, average);
        if (measure_statistics(t)) {
            nn_net_get_state(t->net, average);
            settled = average;
        }
        nn_net_set_state(t->net, t->now);
    }
    const size_t finite_count = nn__finite_count(settled, t->state_count);
    if (finite_count < t->state_count) {
        return ns_fail(err, NS_ERR_NAN, "training diverged: after step %lld a weight is %g",
                       (long long)t->position.step, (double)settled[finite_count]);
    }
    *state = settled;
    return NS_OK;
}

/* ---- marks ----------------------------------------------------------------------------------- */

static bool is_past_deadline(void *context) {
    return !nn__train_time_fits(context, 0);
}

static size_t count_correct(const float *probabilities, const int32_t *labels, size_t count,
                            size_t class_count) {
    size_t correct = 0;
    for (size_t i = 0; i < count; i++) {
        const float *row = probabilities + i * class_count;
        size_t best = 0;
        for (size_t k = 1; k < class_count; k++) {
            best = row[k] > row[best] ? k : best;
        }
        correct += best == (size_t)labels[i];
    }
    return correct;
}

/// The mean agreement of `count` answers with the truth of a multi-label set.
static ns_status measure_agreement(const nn__trainer *t, const float *probabilities, size_t count,
                                   float *mean, ns_error *err) {
    const int class_count = nn_net_class_count(t->net);
    uint8_t *truth = NULL;
    double sum = 0;
    NS_TRY(nn_split_truth(t->set, DATA_VALIDATION, count, &truth, &count, err));
    for (size_t i = 0; i < count; i++) {
        const size_t row = i * (size_t)class_count;
        sum += data_agreement(probabilities + row, truth + row, class_count);
    }
    *mean = (float)(sum / (double)count);
    free(truth);
    return NS_OK;
}

/// Accuracy of what would now be the model. NS_ERR_STOPPED when the deadline came first.
static ns_status measure_accuracy(nn__trainer *t, float *accuracy, ns_error *err) {
    const float *state = NULL;
    float *probabilities = NULL;
    int32_t *labels = NULL;
    size_t count = 0;
    NS_TRY(nn__train_settle(t, &state, err));
    nn__infer_set_state(t->infer, state);
    NS_TRY(nn_infer_split(t->infer, t->set, DATA_VALIDATION,
                          (size_t)t->options->eval_image_count_max, is_past_deadline, t,
                          &probabilities, &labels, &count, err));
    ns_status status = NS_OK;
    if (labels != NULL) {
        *accuracy =
            (float)count_correct(probabilities, labels, count, (size_t)nn_net_class_count(t->net)) /
            (float)count;
    } else {
        status = measure_agreement(t, probabilities, count, accuracy, err);
    }
    free(probabilities);
    free(labels);
    return status;
}

static bool mark_fits(const nn__trainer *t) {
    size_t count = data_describe(t->set)->split_count[DATA_VALIDATION];
    const size_t count_max = (size_t)t->options->eval_image_count_max;
    count = count_max > 0 && count_max < count ? count_max : count;
    const double guess_ms = FORWARD_SHARE * (t->recipe.mirror_average ? 2 : 1) * (double)count /
                            (double)t->recipe.batch_size * t->position.step_ms;
    return count > 0 && nn__train_time_fits(t, guess_ms + nn__train_settle_ms(t));
}

ns_status nn__train_mark(nn__trainer *t, nn_verdict *verdict, ns_error *err) {
    const nn_train_options *options = t->options;
    const int done = t->position.marks_done;
    while (t->position.marks_done < options->eval_mark_count &&
           nn__train_fraction(t, 0) >= options->eval_mark[t->position.marks_done]) {
        t->position.marks_done++;
    }
    if (t->position.marks_done == done || options->on_mark == NULL || !mark_fits(t)) {
        return NS_OK;
    }
    // Before measuring takes time and moves the fraction.
    nn_progress progress = nn__train_progress(t);
    ns_error why = {0};
    const ns_status status = measure_accuracy(t, &progress.val_accuracy, &why);
    if (status == NS_ERR_STOPPED || status == NS_ERR_NAN) { // the next step sees to a NaN
        return NS_OK;
    }
    if (status != NS_OK) {
        *err = why;
    }
    NS_TRY(status);
    *verdict = options->on_mark(options->context, &progress);
    return NS_OK;
}
