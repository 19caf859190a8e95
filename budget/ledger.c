// The account of a study, which cannot be overdrawn.
//
// Time moves one way through it: free -> reserved (about to be used) -> charged (used), or back
// from reserved to free when it was not needed. Invariants, after every call:
//   1. charged, reserved and free are never negative, and add up to the total;
//   2. charged only grows;
//   3. nothing is charged that was not reserved before, so that whoever is killed can have spent at
//      most what was set aside for it.

#include <assert.h>
#include <inttypes.h>

#include "budget/budget.h"

int64_t budget_free_ms(const budget_ledger *ledger) {
    return ledger->total_ms - ledger->charged_ms - ledger->reserved_ms;
}

int64_t budget_reserve(budget_ledger *ledger, int64_t wanted_ms) {
    assert(wanted_ms >= 0);
    const int64_t free_ms = budget_free_ms(ledger);
    const int64_t granted_ms = wanted_ms < free_ms ? wanted_ms : free_ms;
    ledger->reserved_ms += granted_ms;
    return granted_ms;
}

ns_status budget_charge(budget_ledger *ledger, int64_t used_ms, ns_error *err) {
    assert(used_ms >= 0);
    if (used_ms > ledger->reserved_ms) {
        return ns_fail(err, NS_ERR_BUDGET,
                       "cannot charge %" PRId64 " ms: only %" PRId64 " ms were reserved", used_ms,
                       ledger->reserved_ms);
    }
    ledger->reserved_ms -= used_ms;
    ledger->charged_ms += used_ms;
    return NS_OK;
}

void budget_refund(budget_ledger *ledger, int64_t unused_ms) {
    assert(unused_ms >= 0 && unused_ms <= ledger->reserved_ms);
    ledger->reserved_ms -= unused_ms;
}
