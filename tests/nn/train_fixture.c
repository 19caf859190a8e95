#include "tests/nn/train_fixture.h"

#include <stdlib.h>

static nn_verdict watch_step(void *context, const nn_progress *progress) {
    train_watcher *w = context;
    if (w->step_count++ == 0) {
        w->first_loss = progress->loss;
        w->ascending = true;
    }
    w->ascending = w->ascending && progress->fraction >= w->last_fraction;
    w->last_fraction = progress->fraction;
    if (w->after_step != NULL) {
        w->after_step(progress->step);
    }
    return progress->step == w->stop_at_step ? NN_STOP : NN_CONTINUE;
}

static nn_verdict watch_epoch(void *context, const nn_progress *progress) {
    train_watcher *w = context;
    w->epoch_count++;
    assert_int_equal(progress->sample_count, progress->epoch * FIXTURE_TRAIN_COUNT);
    return progress->epoch == w->stop_at_epoch ? NN_STOP : NN_CONTINUE;
}

static nn_verdict watch_mark(void *context, const nn_progress *progress) {
    train_watcher *w = context;
    assert_true(w->mark_count < TRAIN_MARKS_MAX);
    w->mark_fraction[w->mark_count] = progress->fraction;
    w->mark_accuracy[w->mark_count++] = progress->val_accuracy;
    return NN_CONTINUE;
}

nn_train_options train_options_for(train_watcher *w) {
    nn_train_options options = nn_train_options_default();
    options.recipe.batch_size = TRAIN_BATCH;
    options.recipe.rate_peak = 0.1F;
    options.recipe.augment = (data_augment){.shift_px = 1};
    options.sample_count_max = (uint64_t)TRAIN_BATCH * TRAIN_STEPS;
    options.seed = 17;
    options.thread_count = 2;
    options.on_step = watch_step;
    options.on_epoch = watch_epoch;
    options.on_mark = watch_mark;
    options.context = w;
    return options;
}

int train_fixture_set_up(void **state) {
    static train_fixture f;
    f.set = fixture_set_new("train.nsd");
    fixture_small_graph(&f.graph);
    *state = &f;
    return f.set == NULL ? -1 : 0;
}

int train_fixture_tear_down(void **state) {
    const train_fixture *f = *state;
    data_close(f->set);
    return 0;
}

nn_model *train_model(const train_fixture *f, const nn_train_options *options,
                      nn_train_result *result) {
    ns_error err = {0};
    nn_model *model = NULL;
    assert_ok(nn_train(&f->graph, f->set, options, result, &model, &err), &err);
    return model;
}

double train_accuracy(const nn_model *model, const data_set *set) {
    ns_error err = {0};
    nn_infer *infer = NULL;
    float *probabilities = NULL;
    int32_t *labels = NULL;
    size_t count = 0, correct = 0;
    assert_ok(nn_infer_new(
                  model,
                  &(nn_infer_options){.batch_size = 32, .thread_count = 1, .dtype = NN_DTYPE_F32},
                  &infer, &err),
              &err);
    assert_ok(nn_infer_split(infer, set, DATA_VALIDATION, 0, NULL, NULL, &probabilities, &labels,
                             &count, &err),
              &err);
    for (size_t i = 0; i < count; i++) {
        const float *row = probabilities + i * FIXTURE_LABEL_COUNT;
        int best = 0;
        for (int k = 1; k < FIXTURE_LABEL_COUNT; k++) {
            best = row[k] > row[best] ? k : best;
        }
        correct += best == labels[i];
    }
    free(probabilities);
    free(labels);
    nn_infer_free(infer);
    return (double)correct / (double)count;
}

void train_assert_same(nn_model *a, nn_model *b) {
    assert_string_equal(nn_model_describe(a)->weights_sha256, nn_model_describe(b)->weights_sha256);
    nn_model_free(a);
    nn_model_free(b);
}
