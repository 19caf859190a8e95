// The account against a second bookkeeping, over random sequences of operations.

#include "tests/ns_test.h"

#include "budget/budget.h"

#define SEQUENCE_COUNT  200
#define OPERATION_COUNT 500

static void test_reserve_charge_refund(void **state) {
    (void)state;
    ns_error err = {0};
    budget_ledger ledger = {.total_ms = 1000};
    assert_int_equal(budget_reserve(&ledger, 600), 600);
    assert_int_equal(budget_free_ms(&ledger), 400);
    assert_ok(budget_charge(&ledger, 250, &err), &err);
    budget_refund(&ledger, 350);
    assert_int_equal(ledger.charged_ms, 250);
    assert_int_equal(ledger.reserved_ms, 0);
    assert_int_equal(budget_free_ms(&ledger), 750);
    assert_int_equal(budget_reserve(&ledger, 5000), 750);
    assert_int_equal(budget_reserve(&ledger, 1), 0);
}

static void test_overcharge_changes_nothing(void **state) {
    (void)state;
    ns_error err = {0};
    budget_ledger ledger = {.total_ms = 1000};
    assert_int_equal(budget_reserve(&ledger, 100), 100);
    assert_status(budget_charge(&ledger, 101, &err), NS_ERR_BUDGET);
    assert_string_equal(err.text, "cannot charge 101 ms: only 100 ms were reserved");
    assert_int_equal(ledger.reserved_ms, 100);
    assert_int_equal(ledger.charged_ms, 0);
}

/// One random operation on `ledger`, and the same on the expected amounts.
static void step(ns_rng *rng, budget_ledger *ledger, int64_t *reserved_ms, int64_t *charged_ms) {
    const int64_t amount_ms = (int64_t)ns_rng_below(rng, 2000);
    switch (ns_rng_below(rng, 3)) {
    case 0: {
        const int64_t free_ms = ledger->total_ms - *reserved_ms - *charged_ms;
        const int64_t want_ms = amount_ms < free_ms ? amount_ms : free_ms;
        assert_int_equal(budget_reserve(ledger, amount_ms), want_ms);
        *reserved_ms += want_ms;
        break;
    }
    case 1:
        if (amount_ms <= *reserved_ms) {
            ns_error err = {0};
            assert_ok(budget_charge(ledger, amount_ms, &err), &err);
            *reserved_ms -= amount_ms;
            *charged_ms += amount_ms;
        } else {
            assert_status(budget_charge(ledger, amount_ms, NULL), NS_ERR_BUDGET);
        }
        break;
    default:
        if (amount_ms <= *reserved_ms) {
            budget_refund(ledger, amount_ms);
            *reserved_ms -= amount_ms;
        }
    }
}

static void test_never_overdrawn(void **state) {
    (void)state;
    for (uint64_t sequence = 0; sequence < SEQUENCE_COUNT; sequence++) {
        ns_rng rng = ns_rng_stream(1, sequence, "ledger test");
        budget_ledger ledger = {.total_ms = (int64_t)ns_rng_below(&rng, 300000)};
        int64_t reserved_ms = 0;
        int64_t charged_ms = 0;
        for (int operation = 0; operation < OPERATION_COUNT; operation++) {
            const int64_t charged_before_ms = ledger.charged_ms;
            step(&rng, &ledger, &reserved_ms, &charged_ms);
            assert_int_equal(ledger.reserved_ms, reserved_ms);
            assert_int_equal(ledger.charged_ms, charged_ms);
            assert_true(ledger.charged_ms >= charged_before_ms);
            assert_true(ledger.reserved_ms >= 0);
            assert_true(ledger.charged_ms + ledger.reserved_ms <= ledger.total_ms);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserve_charge_refund),
        cmocka_unit_test(test_overcharge_changes_nothing),
        cmocka_unit_test(test_never_overdrawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
