// What a trial is worth: the targets' trade between accuracy and cost, limits as constraints.

#include <math.h>

#include "tests/search/search_test.h"

#include "search/search_internal.h"

static results_trial trial_of(double val_accuracy, double latency_ms, int64_t params) {
    return (results_trial){
        .state = RESULTS_COMPLETE,
        .val_accuracy = val_accuracy,
        .latency_ms = latency_ms,
        .params = params,
        .flops = params,
    };
}

static const search__reference ANCHOR = {.latency_ms = 4, .params = 1000, .flops = 1000};

static void assert_worth(search_target target, results_trial trial, double expected) {
    const search_goal goal = {.target = target};
    assert_float_equal(search__objective(&goal, &ANCHOR, &trial), expected, 1e-12);
}

static void test_accuracy_is_itself(void **state) {
    (void)state;
    const search_goal goal = {0};
    const results_trial trial = trial_of(0.9123, 77, 5);
    assert_true(search__objective(&goal, &ANCHOR, &trial) == 0.9123);
    assert_true(search__objective_at(&goal, &ANCHOR, &trial, 0.5) == 0.5);
}

static void test_targets(void **state) {
    (void)state;
    // At the target's own reference the accuracy counts as it is.
    assert_worth(SEARCH_TARGET_BALANCED, trial_of(0.9, 4, 1), 0.9);
    assert_worth(SEARCH_TARGET_LATENCY, trial_of(0.9, 4, 1), 0.9);
    assert_worth(SEARCH_TARGET_SIZE, trial_of(0.9, 9, 1000), 0.9);
    // Twice the cost is worth 5 % of accuracy above it (2^-0.07 = 0.9526), little below.
    assert_worth(SEARCH_TARGET_BALANCED, trial_of(1, 8, 1), pow(2, -0.07));
    assert_worth(SEARCH_TARGET_LATENCY, trial_of(1, 8, 1), pow(2, -0.07));
    assert_worth(SEARCH_TARGET_SIZE, trial_of(1, 9, 2000), pow(2, -0.07));
    assert_worth(SEARCH_TARGET_LATENCY, trial_of(1, 2, 1), pow(2, 0.005));
}

/// A lean winner is retrained as wide as to cost what the lean anchor does, and no wider.
static void test_growth_ends_at_the_target(void **state) {
    (void)state;
    const struct {
        search_target target;
        double latency_ms_max;
        int64_t params, flops;
        bool allowed;
    } cases[] = {
        {SEARCH_TARGET_LATENCY, 0, 9999, 399, true}, // 1 ms becomes 3.99, the anchor's is 4
        {SEARCH_TARGET_LATENCY, 0, 100, 401, false},  {SEARCH_TARGET_BALANCED, 0, 100, 399, true},
        {SEARCH_TARGET_BALANCED, 0, 100, 401, false}, {SEARCH_TARGET_SIZE, 0, 1000, 9999, true},
        {SEARCH_TARGET_SIZE, 0, 1001, 100, false},    {SEARCH_TARGET_ACCURACY, 0, 9999, 9999, true},
        {SEARCH_TARGET_ACCURACY, 5, 100, 101, false}, // a limit is kept by what was measured
        {SEARCH_TARGET_LATENCY, 5, 100, 101, false},
    };
    const results_trial trial = trial_of(0.9, 1, 100);
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        const search_goal goal = {.target = cases[i].target,
                                  .latency_ms_max = cases[i].latency_ms_max};
        const nn_counts counts = {.params = cases[i].params, .forward_flops = cases[i].flops};
        assert_int_equal(search__may_grow(&goal, &ANCHOR, &trial, &counts), cases[i].allowed);
    }
}

static void test_flops_stand_in_for_latency(void **state) {
    (void)state;
    assert_worth(SEARCH_TARGET_BALANCED, trial_of(1, (double)NAN, 2000), pow(2, -0.07));
    const search_goal goal = {.target = SEARCH_TARGET_BALANCED};
    const search__reference unmeasured = {.latency_ms = (double)NAN, .params = 10, .flops = 1000};
    const results_trial trial = trial_of(1, 123, 2000);
    assert_float_equal(search__objective(&goal, &unmeasured, &trial), pow(2, -0.07), 1e-12);
    // A history of nothing compares with nothing.
    const search__reference none = search__reference_of(NULL, 0);
    assert_true(isnan(none.latency_ms));
    assert_float_equal(search__objective(&goal, &none, &trial), 1, 1e-12);
}

static void test_limits(void **state) {
    (void)state;
    const search_goal goal = {.latency_ms_max = 2, .params_max = 100};
    const results_trial good = trial_of(0.1, 2, 100);
    const results_trial near = trial_of(0.99, 2.2, 100);
    const results_trial far = trial_of(0.99, 2.2, 200);
    const results_trial unmeasured = trial_of(0.3, (double)NAN, 7);
    assert_float_equal(search__violation(&goal, &good), 0, 0);
    assert_float_equal(search__violation(&goal, &near), 0.1, 1e-9);
    assert_float_equal(search__violation(&goal, &far), 1.1, 1e-9);
    assert_float_equal(search__violation(&goal, &unmeasured), 0, 0);
    const double worth = search__objective(&goal, &ANCHOR, &near);
    assert_true(search__objective(&goal, &ANCHOR, &good) > worth);
    assert_true(worth < 0 && worth > search__objective(&goal, &ANCHOR, &far));
    assert_true(search__objective(&goal, &ANCHOR, &far) > -1);
    const results_trial failed = trial_of((double)NAN, 9, 9999);
    assert_true(isnan(search__objective(&goal, &ANCHOR, &failed)));
}

static void test_best_trial(void **state) {
    (void)state;
    const results_trial trials[] = {
        trial_of(0.920, 4.0, 1000),
        trial_of(0.918, 1.0, 1100),
        trial_of(0.917, 5.0, 250),
        trial_of(0.921, 4.4, 1300),
    };
    const struct {
        search_goal goal;
        int best;
    } cases[] = {
        {{.target = SEARCH_TARGET_ACCURACY}, 3},
        {{.target = SEARCH_TARGET_BALANCED}, 1},
        {{.target = SEARCH_TARGET_LATENCY}, 1},
        {{.target = SEARCH_TARGET_SIZE}, 2},
        {{.latency_ms_max = 4.2}, 0},
        {{.latency_ms_max = 3.5}, 1},
        {{.params_max = 950}, 2},
        {{.params_max = 240}, 2}, // none observes it: the least excess
    };
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        const int best = search__best_trial(&cases[i].goal, trials, NS_COUNT_OF(trials));
        if (best != cases[i].best) {
            fail_msg("case %zu: trial %d won, trial %d should", i, best, cases[i].best);
        }
    }
    assert_int_equal(search__best_trial(&cases[0].goal, trials, 0), -1);
}

static void test_sizes(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    search_candidate *candidate = calloc(1, sizeof *candidate);
    assert_non_null(candidate);
    search_genotype anchor;
    ns_error err = {0};
    search_genotype_anchor(&space, &anchor);
    assert_int_equal(search_decode(&space, &anchor, candidate, &err), NS_OK);
    const double mbytes = search__mbytes(&candidate->graph);
    assert_true(mbytes * 1e6 >= 4 * (double)candidate->counts.params);
    const search_goal wide = {.params_max = candidate->counts.params, .mbytes_max = mbytes};
    const search_goal few = {.params_max = candidate->counts.params - 1};
    const search_goal small = {.mbytes_max = mbytes / 2};
    assert_int_equal(search__limits_ok(&wide, candidate, &err), NS_OK);
    assert_int_equal(search__limits_ok(&few, candidate, &err), NS_ERR_LIMIT);
    assert_non_null(strstr(err.text, "parameters, the limit is"));
    assert_int_equal(search__limits_ok(&small, candidate, &err), NS_ERR_LIMIT);
    assert_non_null(strstr(err.text, "MB, the limit is"));
    free(candidate);
}

static void test_goal_json(void **state) {
    (void)state;
    const search_goal goal = {SEARCH_TARGET_SIZE, 1.5, 77, 0.25};
    search_goal read;
    ns_error err = {0};
    ns_json *json = ns_json_object_new();
    assert_int_equal(search__goal_from_json(json, &read, &err), NS_OK);
    assert_int_equal(read.target, SEARCH_TARGET_ACCURACY);
    search__goal_to_json(&goal, json);
    assert_int_equal(search__goal_from_json(json, &read, &err), NS_OK);
    assert_int_equal(read.target, goal.target);
    assert_int_equal(read.params_max, goal.params_max);
    assert_float_equal(read.latency_ms_max, goal.latency_ms_max, 0);
    assert_float_equal(read.mbytes_max, goal.mbytes_max, 0);
    ns_json_set_string(json, "target", "speed");
    assert_int_equal(search__goal_from_json(json, &read, &err), NS_ERR_USAGE);
    assert_non_null(strstr(err.text, "not \"speed\""));
    ns_json_free(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy_is_itself),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_growth_ends_at_the_target),
        cmocka_unit_test(test_flops_stand_in_for_latency),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_best_trial),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_goal_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
