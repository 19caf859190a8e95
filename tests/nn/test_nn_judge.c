// Marks and the model at the end: averaged weights with statistics of their own, and looking changes
// nothing.

#include "tests/nn/train_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/nn/nets.h"

/// The limit is for training and marks together; without marks, training has it alone.
static void test_marks_share_the_memory(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_plan plan;
    nn_train_options options = train_options_for(&w);
    nn_net_options net_options = nn_net_options_default();
    net_options.batch_size = TRAIN_BATCH;
    net_options.thread_count = options.thread_count;
    assert_ok(nn_plan_make(&f->graph, &net_options, &plan, &err), &err);
    options.mem_bytes_max = plan.arena_bytes + nn_train_copy_bytes(&f->graph, &options.recipe);
    nn_model_free(train_model(f, &options, &result));

    options.eval_mark[0] = 0.5;
    options.eval_mark_count = 1;
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_LIMIT);
    assert_null(model);
    assert_non_null(strstr(err.text, "evaluate"));

    options.mem_bytes_max += plan.arena_bytes / 8; // its batch shrinks
    nn_model_free(train_model(f, &options, &result));
    assert_int_equal(w.mark_count, 1);
}

static void test_marks_measure_accuracy(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.sample_count_max = 8UL * FIXTURE_TRAIN_COUNT;
    options.dtype = NN_DTYPE_F32; // as train_accuracy(): the same images fall on the same side
    options.eval_mark[0] = 0.25;
    options.eval_mark[1] = 0.5;
    options.eval_mark[2] = 1.0;
    options.eval_mark_count = 3;
    nn_model *model = train_model(f, &options, &result);
    assert_int_equal(w.mark_count, 3);
    for (int i = 0; i < w.mark_count; i++) {
        assert_float_equal(w.mark_fraction[i], options.eval_mark[i], 0.02);
        assert_true(w.mark_accuracy[i] >= 0.0F && w.mark_accuracy[i] <= 1.0F);
    }
    // The last mark saw the finished weights through the same eyes as everyone else.
    assert_float_equal(w.mark_accuracy[2], train_accuracy(model, f->set), 1e-6);

    options.eval_mark_count = 0; // looking changes nothing
    nn_model *unwatched = train_model(f, &options, &result);
    assert_string_equal(nn_model_describe(model)->weights_sha256,
                        nn_model_describe(unwatched)->weights_sha256);
    nn_model_free(model);
    nn_model_free(unwatched);
}

/// Averages change the model; looking at them on the way changes nothing, and the last mark sees what
/// the model will be.
static void test_averages_are_judged_undisturbed(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.sample_count_max = 8UL * FIXTURE_TRAIN_COUNT;
    options.dtype = NN_DTYPE_F32; // as train_accuracy(): the same images fall on the same side
    nn_model *plain = train_model(f, &options, &result);
    for (int i = 0; i < 2; i++) {
        w = (train_watcher){0};
        options.recipe.average = i == 0 ? NN_AVERAGE_EMA : NN_AVERAGE_LOOKAHEAD;
        options.recipe.average_window = 0.3F;
        options.recipe.mirror_average = i == 1;
        options.eval_mark_count = 0;
        nn_model *unwatched = train_model(f, &options, &result);
        assert_string_not_equal(nn_model_describe(unwatched)->weights_sha256,
                                nn_model_describe(plain)->weights_sha256);
        options.eval_mark[0] = 0.4;
        options.eval_mark[1] = 1.0;
        options.eval_mark_count = 2;
        nn_model *watched = train_model(f, &options, &result);
        const double accuracy = train_accuracy(watched, f->set);
        print_message("%s: accuracy %.3f at 0.4, %.3f at the end\n", i == 0 ? "ema" : "lookahead",
                      (double)w.mark_accuracy[0], accuracy);
        assert_int_equal(w.mark_count, 2);
        assert_int_equal(nn_model_describe(watched)->mirror_average, i == 1);
        assert_float_equal(w.mark_accuracy[1], accuracy, 1e-6);
        assert_true(accuracy > (i == 1 ? 0.4 : 0.9)); // mirrored, left is right
        train_assert_same(watched, unwatched);
    }
    nn_model_free(plain);
}

/// The model's running statistics are those of its own weights on plain train images: what a batch
/// norm makes of the whole train split has mean `shift` and deviation `scale`.
static void test_averages_have_their_own_statistics(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.recipe.average = NN_AVERAGE_EMA;
    options.recipe.average_window = 0.5F;
    options.recipe.rate_peak = 0.5F; // so that the average is far from any weights that ran
    nn_model *model = train_model(f, &options, &result);
    const size_t count = nn_graph_state_count(&f->graph);
    float *measured = malloc(count * sizeof *measured);
    assert_non_null(measured);

    nn_net *net = NULL;
    data_loader *loader = NULL;
    nn_net_options net_options = nn_net_options_default();
    net_options.batch_size = TRAIN_BATCH;
    net_options.dtype = options.dtype;
    const data_loader_options loader_options = {.batch_size = TRAIN_BATCH, .shuffle = true};
    assert_ok(nn_net_new(&f->graph, &net_options, &net, &err), &err);
    assert_ok(data_loader_new(f->set, &loader_options, &loader, &err), &err);
    nn_net_set_state(net, nn_model_describe(model)->state);
    const data_batch batch = {.x = nn_net_input(net), .labels = nn_net_labels(net)};
    const int batch_count = FIXTURE_TRAIN_COUNT / TRAIN_BATCH;
    for (int i = 0; i < batch_count; i++) {
        (void)data_loader_next(loader, &batch);
        nn_net_set_running_share(net, 1.0F / (float)(i + 1));
        nn_net_forward(net);
    }
    nn_net_get_state(net, measured);
    // Another order makes other batches, hence the tolerance; those of a training net are far off.
    assert_close(measured, nn_model_describe(model)->state, count, 0.02);
    data_loader_free(loader);
    nn_net_free(net);
    nn_model_free(model);
    free(measured);
}

/// The weights that `average` makes of 14 steps when no time is left to measure statistics.
static nn_model *model_in_no_time(const train_fixture *f, nn_average average) {
    train_watcher w = {.stop_at_step = 14};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.recipe.average = average;
    assert_null(train_model(f, &options, &result));
    options.ms_max = 1;
    nn_model *model = train_model(f, &options, &result);
    assert_int_equal(result.last.step, 14);
    (void)remove(CHECKPOINT);
    return model;
}

/// An average without statistics of its own is not used.
static void test_averages_without_statistics_are_left(void **state) {
    const train_fixture *f = *state;
    train_assert_same(model_in_no_time(f, NN_AVERAGE_NONE), model_in_no_time(f, NN_AVERAGE_EMA));
}

/// A handful of steps is not thrown away: what lookahead makes of them has learnt of each.
static void test_short_lookahead_has_all_steps(void **state) {
    const train_fixture *f = *state;
    char last[NS_SHA256_HEX_MAX] = "";
    for (uint64_t step_count = 1; step_count <= 7; step_count += 2) {
        train_watcher w = {0};
        nn_train_result result;
        nn_train_options options = train_options_for(&w);
        options.sample_count_max = step_count * TRAIN_BATCH;
        options.recipe.average = NN_AVERAGE_LOOKAHEAD;
        nn_model *model = train_model(f, &options, &result);
        assert_string_not_equal(nn_model_describe(model)->weights_sha256, last);
        memcpy(last, nn_model_describe(model)->weights_sha256, sizeof last);
        nn_model_free(model);
    }
}

static void pause_ms(int ms) {
    const struct timespec pause = {.tv_nsec = ms * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static struct {
    int pause_ms, count; // of forward passes of a training net
} forward;

// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names
void __real_nn_net_forward(nn_net *net);
void __wrap_nn_net_forward(nn_net *net);

void __wrap_nn_net_forward(nn_net *net) {
    pause_ms(forward.pause_ms);
    forward.count++;
    __real_nn_net_forward(net);
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

static void be_slow(int64_t step) {
    (void)step;
    pause_ms(5);
}

/// Time for the statistics is kept, and where their passes take longer than they should, they end
/// early rather than push the training beyond its end: 10 of them would be wanted.
static void test_statistics_fit_the_budget(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {.after_step = be_slow};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.recipe.average = NN_AVERAGE_EMA;
    options.sample_count_max = 0;
    options.ms_max = 600;
    forward.pause_ms = 100;
    forward.count = 0;
    nn_model *model = train_model(f, &options, &result);
    forward.pause_ms = 0;
    print_message("%lld ms of 600, %lld steps, %d passes\n", (long long)result.last.used_ms,
                  (long long)result.last.step, forward.count);
    assert_in_range(forward.count, 0, 6);
    assert_true(w.ascending);
    nn_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks_share_the_memory),
        cmocka_unit_test(test_marks_measure_accuracy),
        cmocka_unit_test(test_averages_are_judged_undisturbed),
        cmocka_unit_test(test_averages_have_their_own_statistics),
        cmocka_unit_test(test_averages_without_statistics_are_left),
        cmocka_unit_test(test_short_lookahead_has_all_steps),
        cmocka_unit_test(test_statistics_fit_the_budget),
    };
    return cmocka_run_group_tests(tests, train_fixture_set_up, train_fixture_tear_down);
}
