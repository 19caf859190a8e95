// The cost model: its fallback, exactness on a steady machine, settling on a noisy one, forgetting.

#include "tests/ns_test.h"

#include "budget/budget.h"

#include <math.h>

static void test_fallback_until_measured(void **state) {
    (void)state;
    budget_rate rate = {0};
    assert_int_equal(budget_rate_predict_ms(&rate, 1e9, 1234), 1234);
    budget_rate_observe(&rate, 0, 10);
    budget_rate_observe(&rate, 1e9, 0);
    budget_rate_observe(&rate, NAN, 10);
    budget_rate_observe(&rate, 1e9, INFINITY);
    assert_int_equal(budget_rate_predict_ms(&rate, 1e9, 1234), 1234);
}

static void test_steady_machine(void **state) {
    (void)state;
    budget_rate rate = {0};
    for (int i = 1; i <= 10; i++) {
        budget_rate_observe(&rate, 1e9 * i, 5.0 * i);
        assert_float_equal(rate.flops_per_ms, 2e8, 1);
    }
    const int64_t predicted_ms = budget_rate_predict_ms(&rate, 3e9, 0);
    assert_in_range(predicted_ms, 15, 16);
}

static void test_settles_within_noise(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(1, 0, "cost test");
    budget_rate rate = {0};
    for (int i = 0; i < 200; i++) {
        budget_rate_observe(&rate, 1e9, 10 * (0.8 + 0.4 * ns_rng_unit(&rng)));
    }
    assert_in_range(budget_rate_predict_ms(&rate, 100e9, 0), 900, 1100);
}

static void test_notices_a_slower_machine(void **state) {
    (void)state;
    budget_rate rate = {0};
    budget_rate_observe(&rate, 1e9, 10);
    for (int i = 0; i < 8; i++) {
        budget_rate_observe(&rate, 1e9, 20);
    }
    assert_in_range(budget_rate_predict_ms(&rate, 1e9, 0), 19, 20);
}

static void test_prediction_is_bounded(void **state) {
    (void)state;
    const budget_rate rate = {.flops_per_ms = 1e-300};
    assert_int_equal(budget_rate_predict_ms(&rate, 1e300, 0), BUDGET_NODE_MS_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fallback_until_measured),
        cmocka_unit_test(test_steady_machine),
        cmocka_unit_test(test_settles_within_noise),
        cmocka_unit_test(test_notices_a_slower_machine),
        cmocka_unit_test(test_prediction_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
