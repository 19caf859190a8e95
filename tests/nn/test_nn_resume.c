// Checkpoints of a training: an interruption changes nothing.

#include "tests/nn/train_fixture.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/// Plays a disk that is full beyond so many bytes a file.
static void limit_file_bytes(rlim_t bytes) {
    struct rlimit limit;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void bring_disk_back(int64_t step) {
    if (step == 5) {
        limit_file_bytes(RLIM_INFINITY);
    }
}

/// In one go, and stopped at steps 5, 14 and after the last one: the same bits.
static void check_resuming(const train_fixture *f, const nn_recipe *recipe) {
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.recipe = *recipe;
    nn_model *whole = train_model(f, &options, &result);
    const int64_t clipped_step_count = result.clipped_step_count;

    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    const int64_t stops[] = {5, 14, TRAIN_STEPS};
    for (size_t i = 0; i < NS_COUNT_OF(stops); i++) {
        w.stop_at_step = stops[i];
        assert_null(train_model(f, &options, &result));
        assert_true(result.stopped);
        assert_int_equal(result.last.step, stops[i]);
    }
    w.stop_at_step = 0;
    nn_model *pieces = train_model(f, &options, &result);
    assert_false(result.stopped);
    assert_int_equal(result.last.step, TRAIN_STEPS);
    assert_int_equal(result.clipped_step_count, clipped_step_count);
    train_assert_same(whole, pieces);
}

/// Marks between the stops are each measured once, and see what an unbroken training sees.
static void test_marks_survive_resuming(void **state) {
    const train_fixture *f = *state;
    train_watcher whole = {0}, pieces = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&whole);
    options.recipe.average = NN_AVERAGE_EMA;
    options.eval_mark[0] = 0.25;
    options.eval_mark[1] = 0.5;
    options.eval_mark[2] = 1.0;
    options.eval_mark_count = 3;
    nn_model *model = train_model(f, &options, &result);
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.context = &pieces;
    const int64_t stops[] = {4, 9, 14};
    for (size_t i = 0; i < NS_COUNT_OF(stops); i++) {
        pieces.stop_at_step = stops[i];
        assert_null(train_model(f, &options, &result));
    }
    pieces.stop_at_step = 0;
    train_assert_same(model, train_model(f, &options, &result));
    assert_int_equal(whole.mark_count, 3);
    assert_int_equal(pieces.mark_count, 3);
    for (int i = 0; i < 3; i++) {
        assert_float_equal(pieces.mark_fraction[i], whole.mark_fraction[i], 1e-9);
        assert_float_equal(pieces.mark_accuracy[i], whole.mark_accuracy[i], 0);
    }
    (void)remove(CHECKPOINT);
}

static nn_verdict watch_long_epoch(void *context, const nn_progress *progress) {
    train_watcher *w = context;
    w->epoch_count++;
    const int image_count = FIXTURE_TRAIN_COUNT + FIXTURE_VALIDATION_COUNT;
    assert_int_equal(progress->sample_count,
                     progress->epoch * (image_count / TRAIN_BATCH * TRAIN_BATCH));
    return NN_CONTINUE;
}

/// Training on the validation images too: longer epochs, other weights, and an interruption still
/// changes nothing.
static void test_with_validation(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.recipe.average = NN_AVERAGE_EMA; // whose statistics see these images as well
    nn_model *without = train_model(f, &options, &result);
    char sha256[NS_SHA256_HEX_MAX];
    (void)snprintf(sha256, sizeof(sha256), "%s", nn_model_describe(without)->weights_sha256);
    nn_model_free(without);

    options.with_validation = true;
    options.on_epoch = watch_long_epoch;
    w.epoch_count = 0;
    nn_model *whole = train_model(f, &options, &result);
    assert_string_not_equal(nn_model_describe(whole)->weights_sha256, sha256);
    assert_true(w.epoch_count > 0);

    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    w.stop_at_step = 7;
    assert_null(train_model(f, &options, &result));
    w.stop_at_step = 0;
    train_assert_same(whole, train_model(f, &options, &result));
    (void)remove(CHECKPOINT);
}

static void be_slow(int64_t step) {
    (void)step;
    const struct timespec pause = {.tv_nsec = 5000000};
    (void)nanosleep(&pause, NULL);
}

/// What the checkpoint says of the time kept for the end.
static double reserve_ms(const train_fixture *f, const nn_train_options *options) {
    static float values[100000];
    ns_error err = {0};
    nn__position position = {0};
    const nn__training training = {.graph = &f->graph,
                                   .set = f->set,
                                   .recipe = &options->recipe,
                                   .seed = options->seed,
                                   .dtype = nn_dtype_resolve(options->dtype)};
    const size_t count = nn_train_copy_bytes(&f->graph, &options->recipe) / sizeof(float);
    assert_in_range(count, 1, NS_COUNT_OF(values));
    assert_ok(nn__checkpoint_load(CHECKPOINT, &training, &position, values, count, &err), &err);
    return position.reserve_ms;
}

/// A training limited by images goes on with a limit on time: there is time for its averages.
static void test_limits_may_change(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {.stop_at_step = 14, .after_step = be_slow};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.recipe.average = NN_AVERAGE_EMA;
    assert_null(train_model(f, &options, &result));
    assert_float_equal(reserve_ms(f, &options), 0.0, 0.0);
    options.ms_max = 60000;
    w.stop_at_step = 15;
    assert_null(train_model(f, &options, &result));
    print_message("%.1f ms kept\n", reserve_ms(f, &options));
    assert_true(reserve_ms(f, &options) >= 10); // 10 passes at half of at least 5 ms
    assert_true(reserve_ms(f, &options) <= 3000);
    (void)remove(CHECKPOINT);
}

static void test_resuming_is_exact(void **state) {
    train_watcher w = {0};
    nn_recipe recipe = train_options_for(&w).recipe;
    check_resuming(*state, &recipe);
    recipe.schedule = NN_SCHEDULE_COSINE;
    recipe.average = NN_AVERAGE_EMA;
    recipe.average_window = 0.5F;
    recipe.norm_rate_factor = 4.0F;
    check_resuming(*state, &recipe);
    recipe.average = NN_AVERAGE_LOOKAHEAD;
    recipe.augment.mixup_alpha = 0.4F;
    recipe.clip_deviations = 0.1F; // clips ordinary steps, too
    check_resuming(*state, &recipe);
}

static void test_checkpoints_come_by_themselves(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.checkpoint_interval_ms = 0;
    nn_model_free(train_model(f, &options, &result));
    assert_true(ns_file_exists(CHECKPOINT));
    w.step_count = 0;
    nn_model_free(train_model(f, &options, &result)); // the checkpoint after the last step
    assert_int_equal(w.step_count, 0);
    assert_int_equal(result.last.step, TRAIN_STEPS);
}

/// Training goes on without its checkpoints, but a stop that cannot be resumed is a failure.
static void test_failed_checkpoints_do_not_end_training(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = train_options_for(&w);
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.checkpoint_interval_ms = 0;

    w.after_step = bring_disk_back;
    limit_file_bytes(1000);
    nn_model_free(train_model(f, &options, &result));
    assert_int_equal(result.last.step, TRAIN_STEPS);
    assert_int_equal(result.checkpoint_failure_count, 4);
    assert_non_null(strstr(result.checkpoint_error.text, CHECKPOINT));
    assert_true(ns_file_exists(CHECKPOINT));

    (void)remove(CHECKPOINT);
    w = (train_watcher){.stop_at_step = 3};
    limit_file_bytes(1000);
    const ns_status status = nn_train(&f->graph, f->set, &options, &result, &model, &err);
    limit_file_bytes(RLIM_INFINITY);
    assert_status(status, NS_ERR_IO);
    assert_int_equal(result.checkpoint_failure_count, 2);
    assert_null(model);
    assert_false(ns_file_exists(CHECKPOINT));
}

static void test_damaged_checkpoint_is_refused(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = train_options_for(&w);
    options.checkpoint_path = CHECKPOINT;
    assert_ok(ns_file_write(CHECKPOINT, "garbage", 7, &err), &err);
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_CORRUPT);
    assert_null(model);
    (void)remove(CHECKPOINT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resuming_is_exact),
        cmocka_unit_test(test_marks_survive_resuming),
        cmocka_unit_test(test_with_validation),
        cmocka_unit_test(test_limits_may_change),
        cmocka_unit_test(test_checkpoints_come_by_themselves),
        cmocka_unit_test(test_failed_checkpoints_do_not_end_training),
        cmocka_unit_test(test_damaged_checkpoint_is_refused),
    };
    return cmocka_run_group_tests(tests, train_fixture_set_up, train_fixture_tear_down);
}
