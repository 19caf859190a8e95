// The training loop: one schedule, filled to its end.
//
//   set up -> [ next batch -> forward, backward -> update -> callbacks -> mark? -> checkpoint? ]
//          -> model
//
// A step whose numbers break is undone (train_keep.c).
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

#include "nn/train.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { LOSS_WINDOW_STEPS = 50 }; // of the smoothed loss

nn_train_options nn_train_options_default(void) {
    return (nn_train_options){.recipe = nn_recipe_default(),
                              .backend = NN_BACKEND_ONEDNN,
                              .checkpoint_interval_ms = 20000};
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static nn_net_options net_options_of(const nn__trainer *t) {
    nn_net_options options = nn_net_options_default();
    options.backend = t->options->backend;
    options.dtype = t->options->dtype;
    options.mode = NN_MODE_TRAIN;
    options.batch_size = t->recipe.batch_size;
    options.thread_count = t->thread_count;
    options.mem_bytes_max = t->mem_bytes_max;
    options.label_smoothing = t->recipe.label_smoothing;
    options.class_weights = t->class_weights;
    options.average = t->recipe.average != NN_AVERAGE_NONE;
    options.mixup = t->recipe.augment.mixup_alpha > 0;
    options.multi_label = data_describe(t->set)->multi_label;
    return options;
}

/// Batches larger than the train images are lowered to them.
static ns_status fit_batch(nn__trainer *t, ns_error *err) {
    const size_t image_count = nn__train_image_count(t);
    if (data_describe(t->set)->split_count[DATA_TRAIN] == 0) {
        return ns_fail(err, NS_ERR_INPUT, "cannot train: the train split holds no image");
    }
    if ((size_t)t->recipe.batch_size > image_count) {
        t->recipe.batch_size = (int)image_count;
    }
    return NS_OK;
}

/// What the recipe says of rare labels, of all images that are trained on.
static ns_status weigh_classes(nn__trainer *t, ns_error *err) {
    const data_info *info = data_describe(t->set);
    const size_t label_count = (size_t)info->label_count;
    if (t->recipe.balance != NN_BALANCE_NONE && info->multi_label) {
        return ns_fail(err, NS_ERR_INPUT,
                       "cannot balance the labels of a set whose images have several");
    }
    if (!nn__balance_weighs(t->recipe.balance)) {
        return NS_OK;
    }
    size_t *counts = calloc(label_count, sizeof(*counts));
    t->class_weights = calloc(label_count, sizeof(*t->class_weights));
    if (counts == NULL || t->class_weights == NULL) {
        free(counts);
        return ns_fail(err, NS_ERR_MEMORY, "no memory for the weights of %zu labels", label_count);
    }
    for (int i = 0; i < info->label_count; i++) {
        counts[i] =
            data_label_count(t->set, DATA_TRAIN, i) +
            (t->options->with_validation ? data_label_count(t->set, DATA_VALIDATION, i) : 0);
    }
    nn__class_weights(t->recipe.balance, counts, info->label_count, t->class_weights);
    free(counts);
    return NS_OK;
}

static ns_status make_loader(nn__trainer *t, ns_error *err) {
    const data_loader_options options = {.split = DATA_TRAIN,
                                         .with_validation = t->options->with_validation,
                                         .batch_size = t->recipe.batch_size,
                                         .shuffle = true,
                                         .balance = t->recipe.balance == NN_BALANCE_SAMPLING,
                                         .size = nn__size_of(t->graph->node[0].shape),
                                         .augment = t->recipe.augment,
                                         .seed = t->options->seed,
                                         .thread_count = t->thread_count};
    return data_loader_new(t->set, &options, &t->loader, err);
}

/// Gives a whitening stem the filters, and labels of their own the biases, that the images want.
static ns_status fit_to_images(nn__trainer *t, ns_error *err) {
    const bool has_priors = nn__has_priors(t->graph, t->set);
    if (!has_priors && !nn__has_whitening(t->graph)) {
        return NS_OK;
    }
    nn_net_get_state(t->net, t->now);
    NS_TRY(nn__whiten(t->graph, t->set, t->now, err));
    if (has_priors) {
        nn__set_priors(t->graph, t->set, t->now);
    }
    nn_net_set_state(t->net, t->now);
    if (t->recipe.average != NN_AVERAGE_NONE) {
        nn_net_set_average(t->net, t->now);
    }
    return NS_OK;
}

/// What the limit leaves for nets, at least 1.
static size_t net_bytes_max(const nn__trainer *t) {
    const size_t bytes_max =
        t->options->mem_bytes_max > 0 ? t->options->mem_bytes_max : ns_mem_available_bytes();
    const size_t copy_bytes = nn_train_copy_bytes(t->graph, &t->recipe);
    return bytes_max > copy_bytes ? bytes_max - copy_bytes : 1;
}

static ns_status set_up(nn__trainer *t, ns_error *err) {
    NS_TRY(nn_graph_check(t->graph, err));
    NS_TRY(nn__check_shape(t->graph, data_describe(t->set), err));
    NS_TRY(fit_batch(t, err));
    NS_TRY(weigh_classes(t, err));
    t->result->recipe = t->recipe;
    t->mem_bytes_max = net_bytes_max(t);
    const nn_net_options net_options = net_options_of(t);
    NS_TRY(nn_net_new(t->graph, &net_options, &t->net, err));
    nn_net_init(t->net, t->options->seed);
    t->params = nn_net_params(t->net);
    NS_TRY(nn__train_keep_new(t, err));
    NS_TRY(make_loader(t, err));
    t->position.step_ms = nn__train_guess_step_ms(t);
    if (t->options->checkpoint_path != NULL && ns_file_exists(t->options->checkpoint_path)) {
        NS_TRY(nn__train_resume(t, err));
    } else {
        NS_TRY(fit_to_images(t, err));
        nn__train_keep_good(t);
    }
    NS_TRY(nn__train_judge_new(t, &net_options, err));
    t->checkpoint_ms = ns_clock_ms();
    return NS_OK;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/// Differs from step to step and from seed to seed.
static uint64_t dropout_seed(const nn__trainer *t) {
    return t->options->seed * 0x9E3779B97F4A7C15U + (uint64_t)t->position.step;
}

/// Brings the gradients of a batch with this loss into the weights. NS_ERR_NAN when anything is not
/// finite, before the update or after it.
static ns_status update(nn__trainer *t, float rate, float loss, ns_error *err) {
    const double norm = nn__gradient_norm(&t->params, t->thread_count);
    if (!isfinite(loss) || !nn__net_is_finite(t->net) || !isfinite(norm)) {
        return ns_fail(err, NS_ERR_NAN,
                       "training diverged: the loss of step %lld is %g, the gradients' norm %g, "
                       "the batch statistics are %sfinite (rate %g)",
                       (long long)t->position.step + 1, (double)loss, norm,
                       nn__net_is_finite(t->net) ? "" : "not ", (double)rate);
    }
    const nn__average_step average =
        nn__average_at(&t->recipe, t->position.step + 1, nn__train_fraction(t, 1.0));
    const nn__sgd sgd = {
        .rate = rate,
        .momentum = t->recipe.momentum,
        .weight_decay = t->recipe.weight_decay,
        .norm_rate_factor = t->recipe.norm_rate_factor,
        .gradient_scale = nn__clip_scale(&t->position.trend.clip, norm, t->recipe.clip_deviations),
        .average_share = average.share,
        .returns = average.returns,
    };
    if (!nn__sgd_step(&t->params, &sgd, t->thread_count)) {
        return ns_fail(err, NS_ERR_NAN, "training diverged: step %lld leaves no number (rate %g)",
                       (long long)t->position.step + 1, (double)rate);
    }
    return NS_OK;
}

static void learn_loss(nn__trainer *t, double loss) {
    nn__trend *trend = &t->position.trend;
    trend->loss_count++;
    trend->loss += (loss - trend->loss) / fmin((double)trend->loss_count, LOSS_WINDOW_STEPS);
    nn__train_keep_good_if_due(t, loss);
}

/// One mini-batch. Bound by the FLOPs of the convolutions: of a step of a ResNet-9 at half width on
/// 28x28 images, loading, augmenting, loss and update together took less than 1 %.
static ns_status run_step(nn__trainer *t, ns_error *err) {
    // The rate of the middle of the step: the first then learns, and the last still has a little.
    const float rate =
        nn__train_rate_factor(t) * nn_rate_at(&t->recipe, nn__train_fraction(t, 0.5));
    const data_batch batch = nn__train_batch(t);
    (void)data_loader_next(t->loader, &batch);
    const float loss = nn_net_forward_backward(t->net, dropout_seed(t));
    ns_error why = {0};
    const ns_status status = update(t, rate, loss, &why);
    t->position.step++;
    t->position.sample_count += (uint64_t)t->recipe.batch_size;
    if (status != NS_OK) {
        return nn__train_recover(t, &why, err);
    }
    learn_loss(t, (double)loss);
    return NS_OK;
}

static nn_verdict report_to(nn_progress_fn on_progress, const nn__trainer *t) {
    if (on_progress == NULL) {
        return NN_CONTINUE;
    }
    const nn_progress progress = nn__train_progress(t);
    return on_progress(t->options->context, &progress);
}

/// The epoch is reported even when the step's callback says stop: a resumed training would not.
static nn_verdict report_step(const nn__trainer *t) {
    const nn_verdict step = report_to(t->options->on_step, t);
    const bool ends_epoch = t->position.sample_count % nn__train_epoch_samples(t) == 0;
    const nn_verdict epoch = ends_epoch ? report_to(t->options->on_epoch, t) : NN_CONTINUE;
    return step == NN_STOP ? step : epoch;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static ns_status run_steps(nn__trainer *t, nn_verdict *verdict, ns_error *err) {
    while (*verdict == NN_CONTINUE && nn__train_step_fits(t)) {
        const int64_t since_ms = ns_clock_ms();
        NS_TRY(run_step(t, err));
        *verdict = report_step(t);
        nn__train_measure_step(t, since_ms);
        if (*verdict == NN_CONTINUE) {
            NS_TRY(nn__train_mark(t, verdict, err));
        }
        if (*verdict == NN_CONTINUE) {
            NS_TRY(nn__train_save_if_due(t, err));
        }
    }
    if (t->position.step == 0) {
        return ns_fail(err, NS_ERR_BUDGET,
                       "the budget is too small for one training step of %d images (set-up took "
                       "%lld ms, a step takes about %.0f ms)",
                       t->recipe.batch_size, (long long)nn__train_used_ms(t), t->position.step_ms);
    }
    return NS_OK;
}

static ns_status finish(nn__trainer *t, nn_verdict verdict, nn_model **model, ns_error *err) {
    nn_train_result *result = t->result;
    result->stopped = verdict == NN_STOP;
    result->recovery_count = t->position.recoveries;
    result->clipped_step_count = t->position.trend.clip.clipped_count;
    if (!result->stopped) {
        const float *state = NULL;
        NS_TRY(nn__train_settle(t, &state, err));
        NS_TRY(nn_model_new(t->graph, state, data_describe(t->set), model, err));
        nn_model_set_mirror_average(*model, t->recipe.mirror_average);
    } else if (t->options->checkpoint_path != NULL) {
        NS_TRY(nn__train_save(t, err));
    }
    result->last = nn__train_progress(t);
    return NS_OK;
}

static void tear_down(nn__trainer *t) {
    nn_infer_free(t->infer);
    data_loader_free(t->statistics_loader);
    data_loader_free(t->loader);
    nn_net_free(t->net);
    free(t->class_weights);
    free(t->now);
}

ns_status nn_train(const nn_graph *graph, const data_set *set, const nn_train_options *options,
                   nn_train_result *result, nn_model **model, ns_error *err) {
    assert(options->ms_max > 0 || options->sample_count_max > 0);
    assert(options->recipe.batch_size > 0);
    assert(options->eval_mark_count <= NN_EVAL_MARKS_MAX);
    nn__trainer t = {
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
        status = finish(&t, verdict, model, err);
    }
    tear_down(&t);
    return status;
}
