// The training loop: it learns, and it keeps its limits.

#include "tests/nn/train_fixture.h"

#include <math.h>
#include <string.h>
#include <time.h>

static void test_it_learns(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.sample_count_max = 8UL * FIXTURE_TRAIN_COUNT;
    nn_model *model = train_model(f, &options, &result);
    const double accuracy = train_accuracy(model, f->set);
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
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    nn_model *first = train_model(f, &options, &result);
    nn_model *second = train_model(f, &options, &result);
    options.seed++;
    nn_model *other = train_model(f, &options, &result);
    assert_string_equal(nn_model_describe(first)->weights_sha256,
                        nn_model_describe(second)->weights_sha256);
    assert_string_not_equal(nn_model_describe(first)->weights_sha256,
                            nn_model_describe(other)->weights_sha256);
    nn_model_free(first);
    nn_model_free(second);
    nn_model_free(other);
}

enum { SLOW_STEP_MS = 50 };

static void be_slow(int64_t step) {
    (void)step;
    const struct timespec pause = {.tv_nsec = SLOW_STEP_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
}

/// Eight steps alone would fill the time; set-up takes some of it, so there is none for the eighth.
static void test_deadline_is_kept(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {.after_step = be_slow};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.sample_count_max = 0;
    options.ms_max = (int64_t)8 * SLOW_STEP_MS;
    const int64_t begin_ms = ns_clock_ms();
    nn_model *model = train_model(f, &options, &result);
    const int64_t took_ms = ns_clock_ms() - begin_ms;
    print_message("%lld ms of 400, fraction %.3f, %lld steps\n", (long long)took_ms,
                  result.last.fraction, (long long)result.last.step);
    assert_non_null(model);
    assert_in_range(result.last.step, 1, 7);
    assert_true(result.last.used_ms <= took_ms);
    nn_model_free(model);
}

/// Time used by earlier lives counts: the second life has none left, and adds no step.
static void test_used_time_is_kept(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {.stop_at_step = 3};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.sample_count_max = 0;
    options.ms_max = 100000;
    assert_null(train_model(f, &options, &result));
    ns_error err = {0};
    nn_progress kept;
    assert_ok(nn_checkpoint_progress(CHECKPOINT, &kept, &err), &err);
    options.ms_max = kept.used_ms > 0 ? kept.used_ms : 1;
    nn_model *model = train_model(f, &options, &result);
    assert_non_null(model);
    assert_int_equal(result.last.step, 3);
    nn_model_free(model);
    (void)remove(CHECKPOINT);
}

static void test_too_little_is_said(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = train_options_for(&w);
    options.sample_count_max = (uint64_t)TRAIN_BATCH - 1;
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_BUDGET);
    assert_null(model);
    assert_int_not_equal(strlen(err.text), 0);
}

/// The first step has no mean of times to go by, and still does not begin what takes far too long.
static void test_first_step_is_guessed(void **state) {
    train_fixture f = *(const train_fixture *)*state;
    train_watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = train_options_for(&w);
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

/// Images that fill no batch are not waited for: the rate still falls to zero.
static void test_a_broken_batch_changes_nothing(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.sample_count_max = 7UL * TRAIN_BATCH;
    nn_model *even = train_model(f, &options, &result);
    options.sample_count_max += TRAIN_BATCH - 1;
    nn_model *odd = train_model(f, &options, &result);
    assert_int_equal(result.last.step, 7);
    assert_float_equal(result.last.fraction, 1.0, 1e-9);
    train_assert_same(even, odd);
}

static void test_large_batch_is_lowered(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.recipe.batch_size = 100000;
    options.sample_count_max = 2UL * FIXTURE_TRAIN_COUNT;
    nn_model *model = train_model(f, &options, &result);
    assert_int_equal(result.last.step, 2);
    assert_int_equal(result.last.sample_count, 2 * FIXTURE_TRAIN_COUNT);
    assert_int_equal(result.recipe.batch_size, FIXTURE_TRAIN_COUNT);
    nn_model_free(model);
}

static void test_epochs_are_reported(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.sample_count_max = 3UL * FIXTURE_TRAIN_COUNT + TRAIN_BATCH;
    nn_model_free(train_model(f, &options, &result));
    assert_int_equal(w.epoch_count, 3);

    w = (train_watcher){.stop_at_epoch = 2};
    assert_null(train_model(f, &options, &result));
    assert_true(result.stopped);
    assert_int_equal(result.last.sample_count, 2 * FIXTURE_TRAIN_COUNT);
    assert_int_equal(result.last.epoch, 2);
}

static void test_memory_limit_is_kept(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = train_options_for(&w);
    options.mem_bytes_max = 10000;
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_LIMIT);
    assert_null(model);
}

static void test_misfits_are_refused(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    static nn_graph graph;
    const nn_train_options options = train_options_for(&w);
    nn_graph_init(&graph);
    (void)nn_add_linear(&graph, nn_add_input(&graph, (nn_shape){3, 12, 10}), 5);
    assert_status(nn_train(&graph, f->set, &options, &result, &model, &err), NS_ERR_INPUT);
    nn_graph_init(&graph);
    (void)nn_add_linear(&graph, nn_add_input(&graph, (nn_shape){1, 12, 10}), 4);
    assert_status(nn_train(&graph, f->set, &options, &result, &model, &err), NS_ERR_INPUT);
    nn_graph_init(&graph);
    (void)nn_add_linear(&graph, nn_add_input(&graph, (nn_shape){3, 12, 11}), 4);
    assert_status(nn_train(&graph, f->set, &options, &result, &model, &err), NS_ERR_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_learns),
        cmocka_unit_test(test_same_seed_same_weights),
        cmocka_unit_test(test_deadline_is_kept),
        cmocka_unit_test(test_used_time_is_kept),
        cmocka_unit_test(test_too_little_is_said),
        cmocka_unit_test(test_first_step_is_guessed),
        cmocka_unit_test(test_a_broken_batch_changes_nothing),
        cmocka_unit_test(test_large_batch_is_lowered),
        cmocka_unit_test(test_epochs_are_reported),
        cmocka_unit_test(test_memory_limit_is_kept),
        cmocka_unit_test(test_misfits_are_refused),
    };
    return cmocka_run_group_tests(tests, train_fixture_set_up, train_fixture_tear_down);
}
