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

static void check_no_search(const budget_plan *plan) {
    assert_int_equal(plan->rung_count, 0);
    assert_int_equal(plan->search_end_ms, 0);
    assert_int_equal(plan->confirm_end_ms, 0);
}

/// Every rung fits its share of the search, and its trials are three times as long as the last's.
static void check_rungs(const budget_plan_input *input, const budget_plan *plan) {
    int64_t slots_ms = 0;
    for (int i = 0; i < plan->rung_count; i++) {
        const budget_rung *rung = &plan->rung[i];
        assert_true(rung->trial_count >= 2);
        if (i > 0) {
            assert_int_equal(rung->trial_ms, 3 * plan->rung[i - 1].trial_ms);
            assert_true(rung->trial_count <= plan->rung[i - 1].trial_count);
        }
        slots_ms +=
            rung->trial_count * budget_slot_ms(plan->kind, rung->trial_ms) / input->worker_count;
    }
    assert_true(input->calibration_ms + slots_ms <= plan->search_end_ms);
}

static void check_invariants(const budget_plan_input *input, const budget_plan *plan) {
    assert_int_equal(plan->total_ms, input->total_ms);
    const int64_t reserve_ms = plan->total_ms - plan->retrain_end_ms;
    assert_true(reserve_ms >= input->finish_ms + 1000);
    assert_true(reserve_ms <= input->finish_ms + 30000);
    if (plan->rung_count == 0) {
        check_no_search(plan);
        return;
    }
    assert_true(plan->retrain_end_ms - plan->confirm_end_ms >= 1000);
    assert_true(plan->rung[0].trial_ms >= 5000);
    const int64_t retrain_ms = plan->retrain_end_ms - plan->confirm_end_ms;
    assert_true(plan->rung[0].trial_ms >= input->trial_ms_least ||
                plan->rung[0].trial_ms >= retrain_ms * input->worker_count / 12);
    assert_true(plan->rung[0].trial_count >= 3);
    check_rungs(input, plan);
    const int64_t confirm_ms =
        budget_slot_ms(plan->kind, plan->rung[plan->rung_count - 1].trial_ms);
    const int64_t confirm_count = (int64_t)plan->confirm_net_count * plan->confirm_seed_count;
    assert_in_range(plan->confirm_net_count, 2, 8);
    assert_in_range(plan->confirm_seed_count, 1, 5);
    assert_true(plan->search_end_ms + confirm_count * confirm_ms / input->worker_count <=
                plan->confirm_end_ms);
}

static void test_every_total(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(1, 0, "plan test");
    int refused_count = 0;
    for (int i = 0; i < 20000; i++) {
        // Logarithmically uniform from a millisecond to a year.
        const int64_t ceiling_ms = BUDGET_NODE_MS_MAX >> ns_rng_below(&rng, 34);
        const int64_t trial_ms = (int64_t)ns_rng_below(&rng, UINT64_C(1) << ns_rng_below(&rng, 22));
        const budget_plan_input input = {
            .total_ms = 1 + (int64_t)ns_rng_below(&rng, (uint64_t)ceiling_ms),
            .finish_ms = (int64_t)ns_rng_below(&rng, UINT64_C(1) << ns_rng_below(&rng, 20)),
            .calibration_ms = (int64_t)ns_rng_below(&rng, UINT64_C(1) << ns_rng_below(&rng, 13)),
            .trial_ms = trial_ms,
            .trial_ms_least = trial_ms / (1 + (int64_t)ns_rng_below(&rng, 3)),
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
    budget_plan before = plan_of(80000, 3000, 2);
    assert_true(before.rung_count > 0);
    for (int64_t total_ms = 81000; total_ms < 400000000; total_ms += total_ms / 40) {
        const budget_plan now = plan_of(total_ms, 3000, 2);
        assert_true(now.confirm_end_ms >= before.confirm_end_ms);
        assert_true(now.rung_count >= before.rung_count);
        assert_true(now.retrain_end_ms - now.confirm_end_ms >=
                    before.retrain_end_ms - before.confirm_end_ms);
        before = now;
    }
    assert_true(before.rung_count >= 4);
}

/// Two epochs of 54,000 images at 4,600 images a second, after 8 s of calibration.
static budget_plan fashion_plan(int64_t total_ms) {
    const budget_plan_input input = {.total_ms = total_ms,
                                     .finish_ms = 4000,
                                     .calibration_ms = 8000,
                                     .trial_ms = 23500,
                                     .trial_ms_least = 23500,
                                     .worker_count = 1};
    budget_plan plan;
    ns_error err = {0};
    assert_ok(budget_plan_make(&input, &plan, &err), &err);
    check_invariants(&input, &plan);
    return plan;
}

/// Two epochs a trial would be more than they tell.
static void test_ten_minutes(void **state) {
    (void)state;
    const budget_plan plan = fashion_plan(600000);
    check_no_search(&plan);
    assert_int_equal(plan.retrain_end_ms, 590000);
}

static void test_twenty_minutes(void **state) {
    (void)state;
    const budget_plan plan = fashion_plan(1200000);
    assert_int_equal(plan.retrain_end_ms, 1184000);
    assert_in_range(plan.confirm_end_ms, 300000, 330000);
    assert_int_equal(plan.rung_count, 1);
    assert_in_range(plan.rung[0].trial_count, 6, 9);
    assert_in_range(plan.rung[0].trial_ms, 23500, 30000);
    assert_in_range(plan.confirm_net_count, 2, 4);
    assert_in_range(plan.confirm_seed_count, 1, 2);
}

static void test_an_hour(void **state) {
    (void)state;
    const budget_plan plan = fashion_plan(3600000);
    assert_in_range(plan.confirm_end_ms, 1300000, 1450000);
    assert_int_equal(plan.rung_count, 2);
    assert_in_range(plan.rung[0].trial_count, 15, 25);
    assert_in_range(plan.rung[1].trial_count, 5, 8);
    assert_in_range(plan.confirm_net_count, 2, 5);
    assert_int_equal(plan.confirm_seed_count, 2);
}

static void test_a_day(void **state) {
    (void)state;
    const budget_plan plan = fashion_plan(86400000);
    const double retrain_share =
        (double)(plan.retrain_end_ms - plan.confirm_end_ms) / (double)plan.total_ms;
    assert_float_equal(retrain_share, 0.30, 0.01);
    assert_int_equal(plan.rung_count, 4);
    assert_in_range(plan.rung[0].trial_count, 80, 200);
}

static void test_tiny_budgets_go_to_the_anchor(void **state) {
    (void)state;
    const budget_plan plan = plan_of(40000, 2000, 2);
    check_no_search(&plan);
    assert_int_equal(plan.retrain_end_ms, 37000);
    const budget_plan slow_finish = plan_of(90000, 80000, 2); // it takes it all
    check_no_search(&slow_finish);
    const budget_plan_input slow = {
        .total_ms = 120000, .trial_ms = 100000, .trial_ms_least = 100000, .worker_count = 1};
    budget_plan none;
    ns_error err = {0};
    assert_ok(budget_plan_make(&slow, &none, &err), &err);
    check_no_search(&none); // an epoch takes it all
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

/// Compute has no moments of starting and being late: a plan of milliseconds has a search too.
static void test_compute_needs_no_seconds(void **state) {
    (void)state;
    budget_plan_input input = {.kind = BUDGET_COMPUTE,
                               .total_ms = 2000,
                               .finish_ms = 100,
                               .trial_ms = 100,
                               .trial_ms_least = 50,
                               .worker_count = 1};
    budget_plan plan;
    ns_error err = {0};
    assert_ok(budget_plan_make(&input, &plan, &err), &err);
    assert_true(plan.rung_count > 0);
    assert_in_range(plan.rung[0].trial_ms, 50, 300);
    assert_in_range(plan.retrain_end_ms, 1850, 1900);
    input.kind = BUDGET_TIME;
    assert_status(budget_plan_make(&input, &plan, &err), NS_ERR_BUDGET);
    assert_non_null(strstr(err.text, "10 s"));
    input.kind = BUDGET_COMPUTE;
    input.total_ms = 5;
    assert_status(budget_plan_make(&input, &plan, &err), NS_ERR_BUDGET);
    assert_non_null(strstr(err.text, "0.5 gflop"));
    assert_non_null(strstr(err.text, "10.6 gflop"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_total),
        cmocka_unit_test(test_shares_grow_with_the_total),
        cmocka_unit_test(test_ten_minutes),
        cmocka_unit_test(test_twenty_minutes),
        cmocka_unit_test(test_an_hour),
        cmocka_unit_test(test_a_day),
        cmocka_unit_test(test_tiny_budgets_go_to_the_anchor),
        cmocka_unit_test(test_refusal_says_how_much_is_enough),
        cmocka_unit_test(test_compute_needs_no_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
