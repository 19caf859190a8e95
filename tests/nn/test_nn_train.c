// The training loop: it learns, it keeps its limits, and an interruption changes nothing.

#include "tests/ns_test.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "nn/nn_internal.h"
#include "tests/nn/fixture.h"

#define CHECKPOINT "train.ckpt"

enum { BATCH = 32, STEPS = 24, MARK_COUNT_MAX = 8 };

typedef struct watcher {
    int64_t stop_at_step;      // 0: never
    int stop_at_epoch;         // 0: never
    int64_t disk_back_at_step; // files may grow again; 0: no matter
    int64_t step_count;
    int epoch_count;
    double first_loss, last_fraction;
    int mark_count;
    double mark_fraction[MARK_COUNT_MAX];
    float mark_accuracy[MARK_COUNT_MAX];
    bool ascending; // fractions and steps never fell
} watcher;

/// Plays a disk that is full beyond so many bytes a file.
static void limit_file_bytes(rlim_t bytes) {
    struct rlimit limit;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static nn_verdict watch_step(void *context, const nn_progress *progress) {
    watcher *w = context;
    if (w->step_count++ == 0) {
        w->first_loss = progress->loss;
        w->ascending = true;
    }
    w->ascending = w->ascending && progress->fraction >= w->last_fraction;
    w->last_fraction = progress->fraction;
    if (w->disk_back_at_step > 0 && progress->step == w->disk_back_at_step) {
        limit_file_bytes(RLIM_INFINITY);
    }
    return progress->step == w->stop_at_step ? NN_STOP : NN_CONTINUE;
}

static nn_verdict watch_epoch(void *context, const nn_progress *progress) {
    watcher *w = context;
    w->epoch_count++;
    assert_int_equal(progress->sample_count, progress->epoch * FIXTURE_TRAIN_COUNT);
    return progress->epoch == w->stop_at_epoch ? NN_STOP : NN_CONTINUE;
}

static nn_verdict watch_mark(void *context, const nn_progress *progress) {
    watcher *w = context;
    assert_true(w->mark_count < MARK_COUNT_MAX);
    w->mark_fraction[w->mark_count] = progress->fraction;
    w->mark_accuracy[w->mark_count++] = progress->val_accuracy;
    return NN_CONTINUE;
}

static nn_train_options options_for(watcher *w) {
    nn_train_options options = nn_train_options_default();
    options.recipe.batch_size = BATCH;
    options.recipe.rate_peak = 0.1F;
    options.recipe.augment = (data_augment){.shift_px = 1};
    options.sample_count_max = (uint64_t)BATCH * STEPS;
    options.seed = 17;
    options.thread_count = 2;
    options.on_step = watch_step;
    options.on_epoch = watch_epoch;
    options.on_mark = watch_mark;
    options.context = w;
    return options;
}

typedef struct fixture {
    data_set *set;
    nn_graph graph;
} fixture;

static int set_up(void **state) {
    static fixture f;
    f.set = fixture_set_new("train.nsd");
    fixture_small_graph(&f.graph);
    *state = &f;
    return f.set == NULL ? -1 : 0;
}

static int tear_down(void **state) {
    const fixture *f = *state;
    data_close(f->set);
    return 0;
}

static nn_model *train(const fixture *f, const nn_train_options *options, nn_train_result *result) {
    ns_error err = {0};
    nn_model *model = NULL;
    assert_ok(nn_train(&f->graph, f->set, options, result, &model, &err), &err);
    return model;
}

static double accuracy_of(const nn_model *model, const data_set *set) {
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

static void test_it_learns(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    nn_train_result result;
    nn_train_options options = options_for(&w);
    options.sample_count_max = 8UL * FIXTURE_TRAIN_COUNT;
    nn_model *model = train(f, &options, &result);
    const double accuracy = accuracy_of(model, f->set);
    print_message("loss %.3f -> %.3f, accuracy %.3f\n", w.first_loss, result.last.loss, accuracy);
    assert_true(result.last.loss < 0.8 * w.first_loss);
    assert_true(accuracy > 0.9);
    assert_int_equal(result.last.sample_count, options.sample_count_max);
    assert_int_equal(result.last.epoch, 8);
    assert_float_equal(result.last.fraction, 1.0, 1e-9);
    assert_true(w.ascending);
    nn_model_free(model);
}

static void test_same_seed_same_weights(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    nn_train_result result;
    nn_train_options options = options_for(&w);
    nn_model *first = train(f, &options, &result);
    nn_model *second = train(f, &options, &result);
    options.seed++;
    nn_model *other = train(f, &options, &result);
    assert_string_equal(nn_model_describe(first)->weights_sha256,
                        nn_model_describe(second)->weights_sha256);
    assert_string_not_equal(nn_model_describe(first)->weights_sha256,
                            nn_model_describe(other)->weights_sha256);
    nn_model_free(first);
    nn_model_free(second);
    nn_model_free(other);
}

/// In one go, and stopped at steps 5 and 14 in between: the same bits.
static void test_resuming_is_exact(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    nn_train_result result;
    nn_train_options options = options_for(&w);
    nn_model *whole = train(f, &options, &result);

    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    const int64_t stops[] = {5, 14};
    for (size_t i = 0; i < NS_COUNT_OF(stops); i++) {
        w.stop_at_step = stops[i];
        assert_null(train(f, &options, &result));
        assert_true(result.stopped);
        assert_int_equal(result.last.step, stops[i]);
    }
    w.stop_at_step = 0;
    nn_model *pieces = train(f, &options, &result);
    assert_false(result.stopped);
    assert_int_equal(result.last.step, STEPS);
    assert_string_equal(nn_model_describe(whole)->weights_sha256,
                        nn_model_describe(pieces)->weights_sha256);
    nn_model_free(whole);
    nn_model_free(pieces);
}

static void test_checkpoints_come_by_themselves(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    nn_train_result result;
    nn_train_options options = options_for(&w);
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.checkpoint_interval_ms = 0;
    nn_model_free(train(f, &options, &result));
    assert_true(ns_file_exists(CHECKPOINT));
    w.step_count = 0;
    nn_model_free(train(f, &options, &result)); // the checkpoint after the last step
    assert_int_equal(w.step_count, 0);
    assert_int_equal(result.last.step, STEPS);
}

/// Training goes on without its checkpoints, but a stop that cannot be resumed is a failure.
static void test_failed_checkpoints_do_not_end_training(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = options_for(&w);
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.checkpoint_interval_ms = 0;

    w.disk_back_at_step = 5;
    limit_file_bytes(1000);
    nn_model_free(train(f, &options, &result));
    assert_int_equal(result.last.step, STEPS);
    assert_int_equal(result.checkpoint_failure_count, 4);
    assert_non_null(strstr(result.checkpoint_error.text, CHECKPOINT));
    assert_true(ns_file_exists(CHECKPOINT));

    (void)remove(CHECKPOINT);
    w = (watcher){.stop_at_step = 3};
    limit_file_bytes(1000);
    const ns_status status = nn_train(&f->graph, f->set, &options, &result, &model, &err);
    limit_file_bytes(RLIM_INFINITY);
    assert_status(status, NS_ERR_IO);
    assert_int_equal(result.checkpoint_failure_count, 2);
    assert_null(model);
    assert_false(ns_file_exists(CHECKPOINT));
}

static void test_damaged_checkpoint_is_refused(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = options_for(&w);
    options.checkpoint_path = CHECKPOINT;
    assert_ok(ns_file_write(CHECKPOINT, "garbage", 7, &err), &err);
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_CORRUPT);
    assert_null(model);
    (void)remove(CHECKPOINT);
}

static void test_deadline_is_kept(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    nn_train_result result;
    nn_train_options options = options_for(&w);
    options.sample_count_max = 0;
    options.ms_max = 400;
    const int64_t begin_ms = ns_clock_ms();
    nn_model *model = train(f, &options, &result);
    const int64_t took_ms = ns_clock_ms() - begin_ms;
    print_message("%lld ms of 400, fraction %.3f, %lld steps\n", (long long)took_ms,
                  result.last.fraction, (long long)result.last.step);
    assert_non_null(model);
    assert_true(took_ms < 2000);
    assert_true(result.last.fraction > 0.5);
    assert_true(result.last.used_ms <= took_ms);
    nn_model_free(model);
}

/// Time used by earlier lives counts: the second life has none left, and adds no step.
static void test_used_time_is_kept(void **state) {
    const fixture *f = *state;
    watcher w = {.stop_at_step = 3};
    nn_train_result result;
    nn_train_options options = options_for(&w);
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.sample_count_max = 0;
    options.ms_max = 100000;
    assert_null(train(f, &options, &result));
    ns_error err = {0};
    nn_progress kept;
    assert_ok(nn_checkpoint_progress(CHECKPOINT, &kept, &err), &err);
    options.ms_max = kept.used_ms > 0 ? kept.used_ms : 1;
    nn_model *model = train(f, &options, &result);
    assert_non_null(model);
    assert_int_equal(result.last.step, 3);
    nn_model_free(model);
    (void)remove(CHECKPOINT);
}

static void test_too_little_is_said(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = options_for(&w);
    options.sample_count_max = (uint64_t)BATCH - 1;
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_BUDGET);
    assert_null(model);
    assert_int_not_equal(strlen(err.text), 0);
}

/// The first step has no mean of times to go by, and still does not begin what takes far too long.
static void test_first_step_is_guessed(void **state) {
    fixture f = *(const fixture *)*state;
    watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = options_for(&w);
    options.recipe.batch_size = 64;
    options.sample_count_max = 0;
    options.ms_max = 300;
    nn_graph_init(&f.graph);
    int x = nn_add_input(&f.graph, (nn_shape){FIXTURE_CHANNELS, FIXTURE_HEIGHT, FIXTURE_WIDTH});
    x = nn_add_conv(&f.graph, x, 512, 3, 1, 1, false);
    x = nn_add_conv(&f.graph, x, 512, 5, 1, 1, false); // 300 GFLOPs a batch, 3 s by the guess
    (void)nn_add_linear(&f.graph, x, FIXTURE_LABEL_COUNT);
    assert_status(nn_train(&f.graph, f.set, &options, &result, &model, &err), NS_ERR_BUDGET);
    assert_int_equal(w.step_count, 0);
    assert_null(model);
}

static void test_large_batch_is_lowered(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    nn_train_result result;
    nn_train_options options = options_for(&w);
    options.recipe.batch_size = 100000;
    options.sample_count_max = 2UL * FIXTURE_TRAIN_COUNT;
    nn_model *model = train(f, &options, &result);
    assert_int_equal(result.last.step, 2);
    assert_int_equal(result.last.sample_count, 2 * FIXTURE_TRAIN_COUNT);
    nn_model_free(model);
}

static void test_epochs_are_reported(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    nn_train_result result;
    nn_train_options options = options_for(&w);
    options.sample_count_max = 3UL * FIXTURE_TRAIN_COUNT + BATCH;
    nn_model_free(train(f, &options, &result));
    assert_int_equal(w.epoch_count, 3);

    w = (watcher){.stop_at_epoch = 2};
    assert_null(train(f, &options, &result));
    assert_true(result.stopped);
    assert_int_equal(result.last.sample_count, 2 * FIXTURE_TRAIN_COUNT);
    assert_int_equal(result.last.epoch, 2);
}

static void test_nan_is_reported(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = options_for(&w);
    options.recipe.rate_peak = 1e30F;
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_NAN);
    assert_null(model);
    assert_non_null(strstr(err.text, "step"));
}

/// Weights that blow up behind a ReLU are noticed at once, with batch norm and without.
static void test_divergence_is_noticed_early(void **state) {
    fixture f = *(const fixture *)*state;
    for (int norm = 0; norm < 2; norm++) {
        watcher w = {0};
        ns_error err = {0};
        nn_train_result result;
        nn_model *model = NULL;
        nn_train_options options = options_for(&w);
        options.recipe.rate_peak = 1e36F;
        nn_graph_init(&f.graph);
        int x = nn_add_input(&f.graph, (nn_shape){FIXTURE_CHANNELS, FIXTURE_HEIGHT, FIXTURE_WIDTH});
        for (int i = 0; i < 2; i++) {
            x = nn_add_conv(&f.graph, x, 16, 3, 2, 1, false);
            x = norm == 1 ? nn_add_batch_norm(&f.graph, x, NN_ACTIVATION_RELU)
                          : nn_add_activation(&f.graph, x, NN_ACTIVATION_RELU);
        }
        (void)nn_add_linear(&f.graph, x, FIXTURE_LABEL_COUNT);
        assert_status(nn_train(&f.graph, f.set, &options, &result, &model, &err), NS_ERR_NAN);
        assert_null(model);
        print_message("%s\n", err.text);
        assert_in_range(w.step_count, 1, 4);
    }
}

/// A stop after the step that broke the weights leaves no checkpoint of them.
static void test_checkpoint_holds_numbers_only(void **state) {
    const fixture *f = *state;
    watcher w = {.stop_at_step = 1};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = options_for(&w);
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.recipe.rate_peak = INFINITY;
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_NAN);
    assert_int_equal(w.step_count, 1);
    assert_false(ns_file_exists(CHECKPOINT));
}

static void test_memory_limit_is_kept(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = options_for(&w);
    options.mem_bytes_max = 10000;
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_LIMIT);
    assert_null(model);
}

/// The limit is for training and marks together; without marks, training has it alone.
static void test_marks_share_the_memory(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_plan plan;
    nn_train_options options = options_for(&w);
    nn_net_options net_options = nn_net_options_default();
    net_options.batch_size = BATCH;
    net_options.thread_count = options.thread_count;
    assert_ok(nn_plan_make(&f->graph, &net_options, &plan, &err), &err);
    options.mem_bytes_max = plan.arena_bytes;
    nn_model_free(train(f, &options, &result));

    options.eval_mark[0] = 0.5;
    options.eval_mark_count = 1;
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_LIMIT);
    assert_null(model);
    assert_non_null(strstr(err.text, "evaluate"));

    options.mem_bytes_max += plan.arena_bytes / 8; // its batch shrinks
    nn_model_free(train(f, &options, &result));
    assert_int_equal(w.mark_count, 1);
}

static void test_misfits_are_refused(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    static nn_graph graph;
    const nn_train_options options = options_for(&w);
    nn_graph_init(&graph);
    (void)nn_add_linear(&graph, nn_add_input(&graph, (nn_shape){3, 12, 10}), 5);
    assert_status(nn_train(&graph, f->set, &options, &result, &model, &err), NS_ERR_INPUT);
    nn_graph_init(&graph);
    (void)nn_add_linear(&graph, nn_add_input(&graph, (nn_shape){1, 12, 10}), 4);
    assert_status(nn_train(&graph, f->set, &options, &result, &model, &err), NS_ERR_INPUT);
}

static void test_marks_measure_accuracy(void **state) {
    const fixture *f = *state;
    watcher w = {0};
    nn_train_result result;
    nn_train_options options = options_for(&w);
    options.sample_count_max = 8UL * FIXTURE_TRAIN_COUNT;
    options.eval_mark[0] = 0.25;
    options.eval_mark[1] = 0.5;
    options.eval_mark[2] = 1.0;
    options.eval_mark_count = 3;
    nn_model *model = train(f, &options, &result);
    assert_int_equal(w.mark_count, 3);
    for (int i = 0; i < w.mark_count; i++) {
        assert_float_equal(w.mark_fraction[i], options.eval_mark[i], 0.02);
        assert_true(w.mark_accuracy[i] >= 0.0F && w.mark_accuracy[i] <= 1.0F);
    }
    // The last mark saw the finished weights through the same eyes as everyone else.
    assert_float_equal(w.mark_accuracy[2], accuracy_of(model, f->set), 1e-6);

    options.eval_mark_count = 0; // looking changes nothing
    nn_model *unwatched = train(f, &options, &result);
    assert_string_equal(nn_model_describe(model)->weights_sha256,
                        nn_model_describe(unwatched)->weights_sha256);
    nn_model_free(model);
    nn_model_free(unwatched);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_learns),
        cmocka_unit_test(test_same_seed_same_weights),
        cmocka_unit_test(test_resuming_is_exact),
        cmocka_unit_test(test_checkpoints_come_by_themselves),
        cmocka_unit_test(test_failed_checkpoints_do_not_end_training),
        cmocka_unit_test(test_damaged_checkpoint_is_refused),
        cmocka_unit_test(test_deadline_is_kept),
        cmocka_unit_test(test_used_time_is_kept),
        cmocka_unit_test(test_too_little_is_said),
        cmocka_unit_test(test_first_step_is_guessed),
        cmocka_unit_test(test_large_batch_is_lowered),
        cmocka_unit_test(test_epochs_are_reported),
        cmocka_unit_test(test_nan_is_reported),
        cmocka_unit_test(test_divergence_is_noticed_early),
        cmocka_unit_test(test_checkpoint_holds_numbers_only),
        cmocka_unit_test(test_memory_limit_is_kept),
        cmocka_unit_test(test_marks_share_the_memory),
        cmocka_unit_test(test_misfits_are_refused),
        cmocka_unit_test(test_marks_measure_accuracy),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
