// Broken steps: noticed at once, undone a few times, then reported.
//
// To break a chosen step, the linker puts a function of this file before nn_net_forward_backward()
// (its option --wrap, see CMakeLists.txt), which spoils what the real one has made.

#include "tests/nn/train_fixture.h"

#include <math.h>
#include <string.h>

typedef enum breakage {
    BREAK_LOSS,
    BREAK_GRADIENT,
    BREAK_WEIGHT,
    BREAK_KIND_COUNT,
} breakage;

/// Which steps of the training at hand to break, and how.
static struct {
    breakage kind;
    int64_t step, at[4];
    int64_t loud_from, loud_to; // steps whose loss is said to be LOUD_LOSS
    nn_net *net;                // of the last step
} plan;

#define LOUD_LOSS 1e6F

// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names
float __real_nn_net_forward_backward(nn_net *net, uint64_t step);
float __wrap_nn_net_forward_backward(nn_net *net, uint64_t step);

float __wrap_nn_net_forward_backward(nn_net *net, uint64_t step) {
    float loss = __real_nn_net_forward_backward(net, step);
    const nn_params params = nn_net_params(net);
    plan.step++;
    plan.net = net;
    loss = plan.step >= plan.loud_from && plan.step < plan.loud_to ? LOUD_LOSS : loss;
    for (size_t i = 0; i < NS_COUNT_OF(plan.at); i++) {
        if (plan.at[i] != plan.step) {
            continue;
        }
        loss = plan.kind == BREAK_LOSS ? NAN : loss;
        params.gradient[3] = plan.kind == BREAK_GRADIENT ? -INFINITY : params.gradient[3];
        params.value[5] = plan.kind == BREAK_WEIGHT ? NAN : params.value[5];
    }
    return loss;
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

static void break_steps(breakage kind, int64_t first, int64_t second) {
    memset(&plan, 0, sizeof plan);
    plan.kind = kind;
    plan.at[0] = first;
    plan.at[1] = second;
}

enum { LONG_STEPS = 240 };

/// Long enough for a good state on the way; on one thread, because steps as small as these crawl on
/// two when another test runs beside.
static nn_train_options long_options(train_watcher *w) {
    nn_train_options options = train_options_for(w);
    options.sample_count_max = (uint64_t)TRAIN_BATCH * LONG_STEPS;
    options.thread_count = 1;
    options.recipe.average = NN_AVERAGE_EMA;
    options.recipe.clip_deviations = 5.0F;
    return options;
}

static void test_a_broken_step_is_undone(void **state) {
    const train_fixture *f = *state;
    for (int kind = 0; kind < BREAK_KIND_COUNT; kind++) {
        train_watcher w = {0};
        nn_train_result result;
        const nn_train_options options = long_options(&w);
        break_steps((breakage)kind, 7, 150);
        nn_model *model = train_model(f, &options, &result);
        print_message("%s\n", result.recovery_reason.text);
        assert_int_equal(result.recovery_count, 2);
        assert_non_null(strstr(result.recovery_reason.text, "step 150"));
        assert_int_equal(result.last.step, LONG_STEPS);
        assert_int_equal(w.step_count, LONG_STEPS);
        assert_true(isfinite(result.last.loss));
        assert_true(train_accuracy(model, f->set) > 0.9);

        break_steps((breakage)kind, 7, 150);
        train_assert_same(model, train_model(f, &options, &result));
    }
}

/// The losses of a diverging training are forgotten with its weights.
static void test_the_trend_is_undone_too(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    const nn_train_options options = long_options(&w);
    break_steps(BREAK_LOSS, 150, 0);
    plan.loud_from = 140;
    plan.loud_to = 150;
    nn_model_free(train_model(f, &options, &result));
    print_message("loss %g\n", result.last.loss);
    assert_int_equal(result.recovery_count, 1);
    assert_true(result.last.loss < 2);
}

/// Breaks the weights after the step.
static void break_weight(int64_t step) {
    if (step == 12) {
        nn_net_params(plan.net).value[5] = NAN;
    }
}

/// A mark that meets broken weights is left out; the next step recovers from them.
static void test_marks_leave_recovery_alone(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {.after_step = break_weight};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    options.eval_mark[0] = 0.5;
    options.eval_mark[1] = 1.0;
    options.eval_mark_count = 2;
    break_steps(BREAK_LOSS, 0, 0);
    nn_model_free(train_model(f, &options, &result));
    assert_int_equal(result.recovery_count, 1);
    assert_int_equal(w.mark_count, 1);
    assert_float_equal(w.mark_fraction[0], 1.0, 1e-9);
}

/// Interruptions before, between and after the breaks: the same way back, the same bits.
static void test_recovering_survives_interruption(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = long_options(&w);
    break_steps(BREAK_LOSS, 90, 190);
    nn_model *whole = train_model(f, &options, &result);

    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    const int64_t stops[] = {45, 90, 130, 185, 200};
    break_steps(BREAK_LOSS, 90, 190); // counts on over all lives
    for (size_t i = 0; i < NS_COUNT_OF(stops); i++) {
        w.stop_at_step = stops[i];
        assert_null(train_model(f, &options, &result));
    }
    w.stop_at_step = 0;
    nn_model *pieces = train_model(f, &options, &result);
    assert_int_equal(result.recovery_count, 2);
    train_assert_same(whole, pieces);
    (void)remove(CHECKPOINT);
}

static void test_recovering_ends(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    const nn_train_options options = train_options_for(&w);
    break_steps(BREAK_GRADIENT, 3, 4);
    plan.at[2] = 10;
    plan.at[3] = 20;
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_NAN);
    assert_null(model);
    assert_int_equal(w.step_count, 19);
    assert_non_null(strstr(err.text, "step 20"));
    assert_non_null(strstr(err.text, "3 recoveries"));
    break_steps(BREAK_LOSS, 0, 0);
}

/// A rate that is too high at first, but not at an eighth. To a single linear layer any rate means
/// the same as long as it has room between its numbers and infinity.
static void test_a_lower_rate_may_do(void **state) {
    train_fixture f = *(const train_fixture *)*state;
    train_watcher w = {0};
    nn_train_result result;
    nn_train_options options = long_options(&w);
    options.recipe.weight_decay = 0;
    options.recipe.rate_peak = 3e36F;
    nn_graph_init(&f.graph);
    const nn_shape image = {FIXTURE_CHANNELS, FIXTURE_HEIGHT, FIXTURE_WIDTH};
    (void)nn_add_linear(&f.graph, nn_add_input(&f.graph, image), FIXTURE_LABEL_COUNT);
    nn_model *model = train_model(&f, &options, &result);
    print_message("%d recoveries, accuracy %.3f\n", result.recovery_count,
                  train_accuracy(model, f.set));
    assert_in_range(result.recovery_count, 1, 3);
    nn_model_free(model);
}

static void test_nan_is_reported(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {0};
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    nn_train_options options = train_options_for(&w);
    options.recipe.rate_peak = 1e30F;
    assert_status(nn_train(&f->graph, f->set, &options, &result, &model, &err), NS_ERR_NAN);
    assert_null(model);
    assert_non_null(strstr(err.text, "step"));
}

/// Weights that blow up behind a ReLU are noticed at once, with batch norm and without.
static void test_divergence_is_noticed_early(void **state) {
    train_fixture f = *(const train_fixture *)*state;
    for (int norm = 0; norm < 2; norm++) {
        train_watcher w = {0};
        ns_error err = {0};
        nn_train_result result;
        nn_model *model = NULL;
        nn_train_options options = train_options_for(&w);
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
        assert_in_range(w.step_count, 4, 16); // up to 4 a life
    }
}

/// A stop right after a step that broke the weights leaves a checkpoint of good ones.
static void test_checkpoint_holds_numbers_only(void **state) {
    const train_fixture *f = *state;
    train_watcher w = {.stop_at_step = 1};
    ns_error err = {0};
    nn_train_result result;
    nn_train_options options = train_options_for(&w);
    nn_progress kept;
    (void)remove(CHECKPOINT);
    options.checkpoint_path = CHECKPOINT;
    options.recipe.rate_peak = INFINITY;
    assert_null(train_model(f, &options, &result));
    assert_int_equal(result.recovery_count, 1);
    assert_ok(nn_checkpoint_progress(CHECKPOINT, &kept, &err), &err); // it holds finite values only
    assert_int_equal(kept.step, 1);
    (void)remove(CHECKPOINT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_broken_step_is_undone),
        cmocka_unit_test(test_the_trend_is_undone_too),
        cmocka_unit_test(test_marks_leave_recovery_alone),
        cmocka_unit_test(test_recovering_survives_interruption),
        cmocka_unit_test(test_recovering_ends),
        cmocka_unit_test(test_a_lower_rate_may_do),
        cmocka_unit_test(test_nan_is_reported),
        cmocka_unit_test(test_divergence_is_noticed_early),
        cmocka_unit_test(test_checkpoint_holds_numbers_only),
    };
    return cmocka_run_group_tests(tests, train_fixture_set_up, train_fixture_tear_down);
}
