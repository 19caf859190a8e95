// The training loop: one schedule, filled to its end.
//
//   set up -> [ next batch -> forward, backward -> update -> callbacks -> mark? -> checkpoint? ]
//          -> model
//
// What rules it is the *fraction* of the granted budget that is used: the larger of time used over
// time granted and images seen over images granted. Learning rate and marks follow the fraction, so
// whatever a machine manages in the time it is given is a complete schedule that ends at rate zero.
//
// Invariants
//   1. A step begins only when it will, by the running mean of step times, end in time; the first
//      by a guess from its FLOPs and bytes. The same holds for marks and checkpoints; those that do
//      not fit are left out.
//   2. All time since nn_train was entered counts: set-up, callbacks, marks and checkpoints too.
//   3. With a limit on images alone, the weights depend on graph, data, recipe, seed, thread count
//      and instruction set, but not on clocks, callbacks or interruptions.
//   4. The step loop allocates nothing; marks and checkpoints, which are rare, may.

#include "nn/nn_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum {
    LOSS_WINDOW_STEPS = 50,  // of the smoothed loss
    STEP_WINDOW_STEPS = 10,  // of the mean step time
    EVAL_BATCH_SIZE_MAX = 64 // small: a mark should not need more memory than training does
};

// What one thread does to a first step, for want of a measurement. On two cores of AMD Zen 5 first
// steps took 0.4 to 1.4 times such a guess, and grouped convolutions, for which oneDNN's kernels are
// slow, 6 times. So the guess refuses what has time for less than a few steps and seldom more.
#define FIRST_FLOPS_PER_MS 50e6
#define FIRST_BYTES_PER_MS 4e6

typedef struct trainer {
    const nn_train_options *options;
    nn_train_result *result;
    const data_set *set;
    const nn_graph *graph;
    nn_recipe recipe; // with the batch that fits the data
    int thread_count;
    nn_net *net;
    nn_params params;
    data_loader *loader;
    nn_infer *infer;      // of the marks; NULL without
    size_t mem_bytes_max; // of `net` and `infer` together
    float *values;        // state, then momentum, in plain layout
    size_t state_count;
    nn__position position;
    int64_t begin_ms; // the clock when training would have begun, had it never been interrupted
    int64_t checkpoint_ms;      // the clock at the last checkpoint
    int64_t checkpoint_cost_ms; // that it took
    double life_step_ms;        // sum of this life's step times
    uint64_t life_sample_count;
} trainer;

nn_train_options nn_train_options_default(void) {
    return (nn_train_options){.recipe = nn_recipe_default(),
                              .backend = NN_BACKEND_ONEDNN,
                              .checkpoint_interval_ms = 20000};
}

/* ---- budget ---------------------------------------------------------------------------------- */

static int64_t used_ms(const trainer *t) {
    return ns_clock_ms() - t->begin_ms;
}

static bool time_fits(const trainer *t, double duration_ms) {
    return t->options->ms_max == 0 ||
           (double)used_ms(t) + duration_ms <= (double)t->options->ms_max;
}

static double guess_step_ms(const trainer *t) {
    if (t->options->step_ms_guess > 0) {
        return t->options->step_ms_guess;
    }
    const nn_counts counts = nn_graph_count(t->graph);
    const double image_ms = (double)counts.train_flops / FIRST_FLOPS_PER_MS +
                            (double)counts.train_bytes / FIRST_BYTES_PER_MS;
    return image_ms * (double)t->recipe.batch_size / (double)t->thread_count;
}

static bool step_fits(const trainer *t) {
    const uint64_t sample_count = t->position.sample_count + (uint64_t)t->recipe.batch_size;
    return time_fits(t, fmax(t->position.step_ms, 1.0)) &&
           (t->options->sample_count_max == 0 || sample_count <= t->options->sample_count_max);
}

/// Of the budget, `steps_ahead` steps from now.
static double fraction_at(const trainer *t, double steps_ahead) {
    double fraction = 0;
    if (t->options->ms_max > 0) {
        fraction =
            ((double)used_ms(t) + steps_ahead * t->position.step_ms) / (double)t->options->ms_max;
    }
    if (t->options->sample_count_max > 0) {
        const double samples =
            (double)t->position.sample_count + steps_ahead * (double)t->recipe.batch_size;
        fraction = fmax(fraction, samples / (double)t->options->sample_count_max);
    }
    return fmin(fraction, 1.0);
}

/// Images of a pass over the train split; the loader drops a short batch.
static uint64_t epoch_samples(const trainer *t) {
    const uint64_t batch = (uint64_t)t->recipe.batch_size;
    return data_describe(t->set)->split_count[DATA_TRAIN] / batch * batch;
}

static nn_progress progress_now(const trainer *t) {
    return (nn_progress){
        .fraction = fraction_at(t, 0),
        .step = t->position.step,
        .sample_count = t->position.sample_count,
        .epoch = (int)(t->position.sample_count / epoch_samples(t)),
        .loss = t->position.loss,
        .used_ms = used_ms(t),
        .images_per_s = 1000.0 * (double)t->life_sample_count / fmax(t->life_step_ms, 1.0),
        .val_accuracy = NAN,
    };
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static nn_net_options net_options_of(const trainer *t) {
    nn_net_options options = nn_net_options_default();
    options.backend = t->options->backend;
    options.dtype = t->options->dtype;
    options.mode = NN_MODE_TRAIN;
    options.batch_size = t->recipe.batch_size;
    options.thread_count = t->thread_count;
    options.mem_bytes_max = t->mem_bytes_max;
    options.label_smoothing = t->recipe.label_smoothing;
    options.mixup = t->recipe.augment.mixup_alpha > 0;
    return options;
}

/// Batches larger than the train split are lowered to it.
static ns_status fit_batch(trainer *t, ns_error *err) {
    const size_t train_count = data_describe(t->set)->split_count[DATA_TRAIN];
    if (train_count == 0) {
        return ns_fail(err, NS_ERR_INPUT, "cannot train: the train split holds no image");
    }
    if ((size_t)t->recipe.batch_size > train_count) {
        t->recipe.batch_size = (int)train_count;
    }
    return NS_OK;
}

static ns_status make_loader(trainer *t, ns_error *err) {
    const data_loader_options options = {.split = DATA_TRAIN,
                                         .batch_size = t->recipe.batch_size,
                                         .shuffle = true,
                                         .augment = t->recipe.augment,
                                         .seed = t->options->seed,
                                         .thread_count = t->thread_count};
    return data_loader_new(t->set, &options, &t->loader, err);
}

/// What evaluates at the marks to come, within the memory that the training net leaves. It is made
/// before the first step, so that a lack of memory shows before time is spent.
static ns_status make_infer(trainer *t, ns_error *err) {
    if (t->options->on_mark == NULL || t->position.marks_done >= t->options->eval_mark_count) {
        return NS_OK;
    }
    const data_info *info = data_describe(t->set);
    const size_t net_bytes = nn__net_mem_bytes(t->net);
    nn_net_options options = net_options_of(t);
    options.batch_size =
        t->recipe.batch_size < EVAL_BATCH_SIZE_MAX ? t->recipe.batch_size : EVAL_BATCH_SIZE_MAX;
    options.mem_bytes_max = t->mem_bytes_max > net_bytes ? t->mem_bytes_max - net_bytes : 1;
    const ns_status status =
        nn__infer_new(t->graph, &options, info->mean, info->deviation, &t->infer, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot evaluate beside a training of %.1f MB",
                        (double)net_bytes / 1e6);
    }
    return status;
}

static nn__training identity_of(const trainer *t) {
    return (nn__training){t->graph, t->set, &t->recipe, t->options->seed};
}

static ns_status resume(trainer *t, ns_error *err) {
    const nn__training training = identity_of(t);
    NS_TRY(nn__checkpoint_load(t->options->checkpoint_path, &training, &t->position, t->values,
                               2 * t->state_count, err));
    nn_net_set_state(t->net, t->values);
    nn_net_set_momentum(t->net, t->values + t->state_count);
    data_loader_seek(t->loader, t->position.sample_count);
    t->begin_ms -= t->position.used_ms;
    return NS_OK;
}

/// Gives a whitening stem the filters that the images want.
static ns_status whiten(trainer *t, ns_error *err) {
    if (!nn__has_whitening(t->graph)) {
        return NS_OK;
    }
    nn_net_get_state(t->net, t->values);
    NS_TRY(nn__whiten(t->graph, t->set, t->values, err));
    nn_net_set_state(t->net, t->values);
    return NS_OK;
}

static ns_status set_up(trainer *t, ns_error *err) {
    NS_TRY(nn_graph_check(t->graph, err));
    NS_TRY(nn__check_shape(t->graph, data_describe(t->set), err));
    NS_TRY(fit_batch(t, err));
    t->mem_bytes_max =
        t->options->mem_bytes_max > 0 ? t->options->mem_bytes_max : ns_mem_available_bytes();
    const nn_net_options net_options = net_options_of(t);
    NS_TRY(nn_net_new(t->graph, &net_options, &t->net, err));
    nn_net_init(t->net, t->options->seed);
    t->params = nn_net_params(t->net);
    t->state_count = nn_graph_state_count(t->graph);
    t->values = malloc((2 * t->state_count + 1) * sizeof *t->values);
    if (t->values == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for a copy of %zu weights", t->state_count);
    }
    NS_TRY(whiten(t, err));
    NS_TRY(make_loader(t, err));
    t->position.step_ms = guess_step_ms(t);
    if (t->options->checkpoint_path != NULL && ns_file_exists(t->options->checkpoint_path)) {
        NS_TRY(resume(t, err));
    }
    NS_TRY(make_infer(t, err));
    t->checkpoint_ms = ns_clock_ms();
    return NS_OK;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/// Differs from step to step and from seed to seed.
static uint64_t dropout_seed(const trainer *t) {
    return t->options->seed * 0x9E3779B97F4A7C15U + (uint64_t)t->position.step;
}

/// One mini-batch. Bound by the FLOPs of the convolutions: of a step of a ResNet-9 at half width on
/// 28x28 images, loading, augmenting, loss and update together took less than 1 %.
static ns_status run_step(trainer *t, ns_error *err) {
    // The rate of the middle of the step: the first then learns, and the last still has a little.
    const float rate = nn_rate_at(&t->recipe, fraction_at(t, 0.5));
    const data_batch batch = {.x = nn_net_input(t->net),
                              .labels = nn_net_labels(t->net),
                              .partner_labels = nn_net_partner_labels(t->net),
                              .lambdas = nn_net_lambdas(t->net)};
    (void)data_loader_next(t->loader, &batch);
    const float loss = nn_net_forward_backward(t->net, dropout_seed(t));
    if (!isfinite(loss) || !nn__net_is_finite(t->net)) {
        return ns_fail(err, NS_ERR_NAN,
                       "training diverged: the loss of step %lld is %g, the batch statistics are "
                       "%sfinite (rate %g)",
                       (long long)t->position.step + 1, (double)loss,
                       nn__net_is_finite(t->net) ? "" : "not ", (double)rate);
    }
    const nn__sgd sgd = {.rate = rate,
                         .momentum = t->recipe.momentum,
                         .weight_decay = t->recipe.weight_decay,
                         .norm_rate_factor = t->recipe.norm_rate_factor,
                         .gradient_scale = 1.0F};
    (void)nn__sgd_step(&t->params, &sgd, t->thread_count);

    t->position.step++;
    t->position.sample_count += (uint64_t)t->recipe.batch_size;
    const double window = fmin((double)t->position.step, LOSS_WINDOW_STEPS);
    t->position.loss += ((double)loss - t->position.loss) / window;
    return NS_OK;
}

static nn_verdict report_to(nn_progress_fn on_progress, const trainer *t) {
    if (on_progress == NULL) {
        return NN_CONTINUE;
    }
    const nn_progress progress = progress_now(t);
    return on_progress(t->options->context, &progress);
}

/// The epoch is reported even when the step's callback says stop: a resumed training would not.
static nn_verdict report_step(const trainer *t) {
    const nn_verdict step = report_to(t->options->on_step, t);
    const bool ends_epoch = t->position.sample_count % epoch_samples(t) == 0;
    const nn_verdict epoch = ends_epoch ? report_to(t->options->on_epoch, t) : NN_CONTINUE;
    return step == NN_STOP ? step : epoch;
}

/// `since_ms` is the clock when the step began; its callback counts as part of it.
static void measure_step(trainer *t, int64_t since_ms) {
    const double step_ms = (double)(ns_clock_ms() - since_ms);
    const bool first = t->life_sample_count == 0;
    t->position.step_ms += (step_ms - t->position.step_ms) / (first ? 1 : STEP_WINDOW_STEPS);
    t->life_step_ms += step_ms;
    t->life_sample_count += (uint64_t)t->recipe.batch_size;
}

/// Reads the state, and the momentum behind it if `momentum`, into `t->values`. NS_ERR_NAN unless
/// all values are finite: neither a mark nor a checkpoint nor a model is made of such weights.
static ns_status read_values(trainer *t, bool momentum, ns_error *err) {
    const size_t count = t->state_count * (momentum ? 2 : 1);
    nn_net_get_state(t->net, t->values);
    if (momentum) {
        nn_net_get_momentum(t->net, t->values + t->state_count);
    }
    const size_t finite_count = nn__finite_count(t->values, count);
    if (finite_count < count) {
        return ns_fail(err, NS_ERR_NAN, "training diverged: after step %lld a %s is %g",
                       (long long)t->position.step,
                       finite_count < t->state_count ? "weight" : "momentum",
                       (double)t->values[finite_count]);
    }
    return NS_OK;
}

/* ---- marks ----------------------------------------------------------------------------------- */

static bool is_past_deadline(void *context) {
    return !time_fits(context, 0);
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

/// Accuracy of the weights as they are. NS_ERR_STOPPED when the deadline came first.
static ns_status measure_accuracy(trainer *t, float *accuracy, ns_error *err) {
    float *probabilities = NULL;
    int32_t *labels = NULL;
    size_t count = 0;
    NS_TRY(read_values(t, false, err));
    nn__infer_set_state(t->infer, t->values);
    NS_TRY(nn_infer_split(t->infer, t->set, DATA_VALIDATION,
                          (size_t)t->options->eval_image_count_max, is_past_deadline, t,
                          &probabilities, &labels, &count, err));
    *accuracy =
        (float)count_correct(probabilities, labels, count, (size_t)nn_net_class_count(t->net)) /
        (float)count;
    free(probabilities);
    free(labels);
    return NS_OK;
}

/// A forward pass is a third of a step, so half of one is a safe guess.
static bool mark_fits(const trainer *t) {
    size_t count = data_describe(t->set)->split_count[DATA_VALIDATION];
    const size_t count_max = (size_t)t->options->eval_image_count_max;
    count = count_max > 0 && count_max < count ? count_max : count;
    const double guess_ms =
        0.5 * (double)count / (double)t->recipe.batch_size * t->position.step_ms;
    return count > 0 && time_fits(t, guess_ms);
}

/// Marks passed together count as one.
static ns_status run_marks(trainer *t, nn_verdict *verdict, ns_error *err) {
    const nn_train_options *options = t->options;
    const int done = t->position.marks_done;
    while (t->position.marks_done < options->eval_mark_count &&
           fraction_at(t, 0) >= options->eval_mark[t->position.marks_done]) {
        t->position.marks_done++;
    }
    if (t->position.marks_done == done || options->on_mark == NULL || !mark_fits(t)) {
        return NS_OK;
    }
    nn_progress progress = progress_now(t); // before measuring takes time and moves the fraction
    const ns_status status = measure_accuracy(t, &progress.val_accuracy, err);
    if (status == NS_ERR_STOPPED) {
        return NS_OK;
    }
    NS_TRY(status);
    *verdict = options->on_mark(options->context, &progress);
    return NS_OK;
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static ns_status save_checkpoint(trainer *t, ns_error *err) {
    const int64_t begin_ms = ns_clock_ms();
    const nn__training training = identity_of(t);
    NS_TRY(read_values(t, true, err));
    t->position.used_ms = used_ms(t);
    NS_TRY(nn__checkpoint_save(t->options->checkpoint_path, &training, &t->position, t->values,
                               2 * t->state_count, err));
    t->checkpoint_ms = ns_clock_ms();
    t->checkpoint_cost_ms = t->checkpoint_ms - begin_ms;
    return NS_OK;
}

static ns_status save_due_checkpoint(trainer *t, ns_error *err) {
    const bool due = ns_clock_ms() - t->checkpoint_ms >= t->options->checkpoint_interval_ms;
    const double cost_ms = (double)t->checkpoint_cost_ms + t->position.step_ms;
    if (t->options->checkpoint_path == NULL || !due || !time_fits(t, cost_ms)) {
        return NS_OK;
    }
    const ns_status status = save_checkpoint(t, &t->result->checkpoint_error);
    if (status == NS_ERR_IO) { // a full disk, maybe for a minute: not worth the training
        t->checkpoint_ms = ns_clock_ms();
        t->result->checkpoint_failure_count++;
        return NS_OK;
    }
    return status == NS_OK ? NS_OK : ns_fail(err, status, "%s", t->result->checkpoint_error.text);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static ns_status run_steps(trainer *t, nn_verdict *verdict, ns_error *err) {
    while (*verdict == NN_CONTINUE && step_fits(t)) {
        const int64_t since_ms = ns_clock_ms();
        NS_TRY(run_step(t, err));
        *verdict = report_step(t);
        measure_step(t, since_ms);
        if (*verdict == NN_CONTINUE) {
            NS_TRY(run_marks(t, verdict, err));
        }
        if (*verdict == NN_CONTINUE) {
            NS_TRY(save_due_checkpoint(t, err));
        }
    }
    if (t->position.step == 0) {
        return ns_fail(err, NS_ERR_BUDGET,
                       "the budget is too small for one training step of %d images (set-up took "
                       "%lld ms, a step takes about %.0f ms)",
                       t->recipe.batch_size, (long long)used_ms(t), t->position.step_ms);
    }
    return NS_OK;
}

static ns_status finish(trainer *t, nn_verdict verdict, nn_train_result *result, nn_model **model,
                        ns_error *err) {
    result->stopped = verdict == NN_STOP;
    if (!result->stopped) {
        NS_TRY(read_values(t, false, err));
        NS_TRY(nn_model_new(t->graph, t->values, data_describe(t->set), model, err));
    } else if (t->options->checkpoint_path != NULL) {
        NS_TRY(save_checkpoint(t, err));
    }
    result->last = progress_now(t);
    return NS_OK;
}

ns_status nn_train(const nn_graph *graph, const data_set *set, const nn_train_options *options,
                   nn_train_result *result, nn_model **model, ns_error *err) {
    assert(options->ms_max > 0 || options->sample_count_max > 0);
    assert(options->recipe.batch_size > 0);
    assert(options->eval_mark_count <= NN_EVAL_MARKS_MAX);
    trainer t = {
        .options = options,
        .result = result,
        .set = set,
        .graph = graph,
        .recipe = options->recipe,
        .thread_count = options->thread_count > 0 ? options->thread_count : ns_cpu_count(),
        .begin_ms = ns_clock_ms(),
    };
    nn_verdict verdict = NN_CONTINUE;
    *model = NULL;
    *result = (nn_train_result){0};
    ns_status status = set_up(&t, err);
    if (status == NS_OK) {
        status = run_steps(&t, &verdict, err);
    }
    if (status == NS_OK) {
        status = finish(&t, verdict, result, model, err);
    }
    nn_infer_free(t.infer);
    data_loader_free(t.loader);
    nn_net_free(t.net);
    free(t.values);
    return status;
}
