// The plan: what must hold for every total, and the figures people will know it by.

#include "tests/ns_test.h"

#include "budget/budget.h"

#include <string.h>

static budget_plan plan_of(int64_t total_ms, int64_t finish_ms, int worker_count) {
    const budget_plan_input input = {
        .total_ms = total_ms, .finish_ms = finish_ms, .worker_count = worker_count};
    budget_plan plan;
    ns_error err = {0};
    assert_ok(budget_plan_make(&input, &plan, &err), &err);
    return plan;
}

static void check_invariants(const budget_plan_input *input, const budget_plan *plan) {
    assert_int_equal(plan->total_ms, input->total_ms);
    assert_true(plan->search_end_ms >= 0);
    assert_true(plan->retrain_end_ms - plan->search_end_ms >= 1000);
    const int64_t reserve_ms = plan->total_ms - plan->retrain_end_ms;
    assert_true(reserve_ms >= input->finish_ms + 1000);
    assert_true(reserve_ms <= input->finish_ms + 30000);
    if (plan->search_end_ms == 0) {
        assert_int_equal(plan->trial_count, 0);
        assert_int_equal(plan->trial_ms, 0);
        return;
    }
    assert_true(plan->trial_ms >= 5000);
    assert_true(plan->trial_count >= input->worker_count);
    assert_int_equal(plan->trial_count % input->worker_count, 0);
    const int64_t rounds = plan->trial_count / input->worker_count;
    assert_true(input->calibration_ms + rounds * (plan->trial_ms + 1000) <= plan->search_end_ms);
}

static void test_every_total(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(1, 0, "plan test");
    int refused_count = 0;
    for (int i = 0; i < 20000; i++) {
        // Logarithmically uniform from a millisecond to a year.
        const int64_t ceiling_ms = BUDGET_NODE_MS_MAX >> ns_rng_below(&rng, 34);
        const budget_plan_input input = {
            .total_ms = 1 + (int64_t)ns_rng_below(&rng, (uint64_t)ceiling_ms),
            .finish_ms = (int64_t)ns_rng_below(&rng, UINT64_C(1) << ns_rng_below(&rng, 20)),
            .calibration_ms = (int64_t)ns_rng_below(&rng, UINT64_C(1) << ns_rng_below(&rng, 13)),
            .worker_count = 1 + (int)ns_rng_below(&rng, 64),
        };
        budget_plan plan;
        ns_error err = {0};
        const ns_status status = budget_plan_make(&input, &plan, &err);
        if (status == NS_OK) {
            check_invariants(&input, &plan);
        } else {
            assert_int_equal(status, NS_ERR_BUDGET);
            refused_count++;
        }
    }
    assert_in_range(refused_count, 1000, 15000);
}

static void test_shares_grow_with_the_total(void **state) {
    (void)state;
    budget_plan before = plan_of(60000, 3000, 2);
    for (int64_t total_ms = 61000; total_ms < 400000000; total_ms += total_ms / 40) {
        const budget_plan now = plan_of(total_ms, 3000, 2);
        assert_true(now.search_end_ms >= before.search_end_ms);
        assert_true(now.retrain_end_ms - now.search_end_ms >=
                    before.retrain_end_ms - before.search_end_ms);
        assert_true(now.trial_count >= before.trial_count);
        before = now;
    }
}

static void test_ten_minutes(void **state) {
    (void)state;
    const budget_plan plan = plan_of(600000, 4000, 2);
    assert_in_range(plan.search_end_ms, 255000, 265000);
    assert_int_equal(plan.retrain_end_ms, 590000);
    assert_int_equal(plan.trial_count, 12);
    assert_in_range(plan.trial_ms, 38000, 43000);
}

static void test_a_day(void **state) {
    (void)state;
    const budget_plan plan = plan_of(86400000, 10000, 2);
    const double retrain_share =
        (double)(plan.retrain_end_ms - plan.search_end_ms) / (double)plan.total_ms;
    assert_float_equal(retrain_share, 0.25, 0.01);
    assert_int_equal(plan.trial_count, 144);
    assert_in_range(plan.trial_ms, 600000, 1200000);
}

static void test_tiny_budgets_go_to_the_anchor(void **state) {
    (void)state;
    const budget_plan plan = plan_of(59999, 2000, 2);
    assert_int_equal(plan.search_end_ms, 0);
    assert_int_equal(plan.retrain_end_ms, 56999);
    assert_true(plan_of(60000, 2000, 2).search_end_ms > 0);
    assert_int_equal(plan_of(90000, 80000, 2).search_end_ms, 0); // finishing takes it all
}

static void test_refusal_says_how_much_is_enough(void **state) {
    (void)state;
    static const int64_t FINISH_MS[] = {0, 3000, 4001, 100000, 3600000};
    for (size_t i = 0; i < NS_COUNT_OF(FINISH_MS); i++) {
        budget_plan_input input = {.total_ms = 1000, .finish_ms = FINISH_MS[i], .worker_count = 1};
        budget_plan plan;
        ns_error err = {0};
        assert_status(budget_plan_make(&input, &plan, &err), NS_ERR_BUDGET);
        const char *said = strstr(err.text, "at least ");
        assert_non_null(said);
        const int64_t needed_ms = 1000 * strtoll(said + strlen("at least "), NULL, 10);
        input.total_ms = needed_ms - 1;
        assert_status(budget_plan_make(&input, &plan, &err), NS_ERR_BUDGET);
        input.total_ms = needed_ms;
        assert_ok(budget_plan_make(&input, &plan, &err), &err);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_total),
        cmocka_unit_test(test_shares_grow_with_the_total),
        cmocka_unit_test(test_ten_minutes),
        cmocka_unit_test(test_a_day),
        cmocka_unit_test(test_tiny_budgets_go_to_the_anchor),
        cmocka_unit_test(test_refusal_says_how_much_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
