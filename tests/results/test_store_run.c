// Runs, phases and the ledger: a study's charge follows the clock of its runs, a reservation never
// goes beyond the budget, and what died is charged what it had set aside.

#include "tests/results/store_fixture.h"

static int64_t run_beat(const fixture *f, int64_t elapsed_ms, int64_t reserve_ms) {
    ns_error err = {0};
    int64_t reserved_ms;
    assert_ok(results_run_beat(f->store, f->run_id, elapsed_ms, reserve_ms, &reserved_ms, &err),
              &err);
    return reserved_ms;
}

static void test_overhead_is_what_attempts_left(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("overhead", 100000);
    assert_int_equal(run_beat(&f, 1000, 500), 500);
    assert_ledger(f.store, 1000, 500);
    results_claim claim = claim_new(&f, 1, 2, 0);
    assert_ok(results_beat(f.store, &claim, 700, 0, &err), &err);
    assert_int_equal(run_beat(&f, 2000, 50), 350); // 2000 - 1000 - 700 may be the trial's
    assert_ledger(f.store, 1000 + 700, 350);
    assert_ok(results_beat(f.store, &claim, 3000, 0, &err), &err);
    assert_int_equal(run_beat(&f, 3500, 0), 0); // more is booked than the clock says
    assert_ledger(f.store, 1000 + 3000, 0);
    const results_outcome outcome = complete(0.5, 3000);
    assert_ok(results_settle(f.store, &claim, &outcome, &err), &err);
    assert_int_equal(run_beat(&f, 6000, 0), 0); // nothing else runs
    assert_ledger(f.store, 6000, 0);
    results_claim_clear(&claim);
    fixture_free(&f);
}

static void test_run_ends_exactly(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("run_end", 100000);
    int64_t phase_id, reserved_ms;
    assert_ok(results_phase_begin(f.store, f.run_id, "retrain", 1, &phase_id, &err), &err);
    assert_ok(results_phase_beat(f.store, phase_id, 4000, &err), &err);
    assert_int_equal(run_beat(&f, 5000, 800), 1000 + 800);
    assert_ledger(f.store, 4000, 1000 + 800);
    assert_ok(results_phase_end(f.store, phase_id, 4600, &err), &err);
    assert_ok(results_phase_end(f.store, phase_id, 4900, &err), &err); // repeated: as it was
    assert_status(results_phase_beat(f.store, phase_id, 9000, &err), NS_ERR_FENCED);
    assert_ok(results_run_end(f.store, f.run_id, 5321, &err), &err);
    assert_ok(results_run_end(f.store, f.run_id, 9999, &err), &err);
    assert_ledger(f.store, 5321, 0);
    results_claim claim;
    assert_status(results_run_beat(f.store, f.run_id, 6000, 1, &reserved_ms, &err), NS_ERR_FENCED);
    assert_status(results_claim_trial(f.store, f.run_id, -1, 2, 1, &claim, &err), NS_ERR_FENCED);
    assert_status(results_phase_begin(f.store, f.run_id, "finish", 1, &phase_id, &err),
                  NS_ERR_FENCED);
    fixture_free(&f);
}

static void test_reservations_stay_inside(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("inside", 10000);
    results_claim claim = claim_new(&f, 1, 2, 6000), other;
    assert_int_equal(run_beat(&f, 0, 9000), 4000);
    assert_ledger(f.store, 0, 10000);
    int number;
    assert_status(propose_seed(f.store, f.study_id, 2, &number), NS_OK);
    assert_status(results_claim_trial(f.store, f.run_id, -1, 3, 1, &other, &err), NS_ERR_BUDGET);
    assert_ok(results_beat(f.store, &claim, 3000, 9000, &err), &err); // gets 3000 of it
    assert_ledger(f.store, 3000, 7000);
    assert_ok(results_beat(f.store, &claim, 5000, 1000, &err), &err);
    assert_int_equal(run_beat(&f, 5000, 9000), 4000);
    assert_ledger(f.store, 5000, 5000);
    assert_ok(results_beat(f.store, &claim, 20000, 1000, &err), &err); // what was used was used
    assert_int_equal(run_beat(&f, 20000, 9000), 0);
    assert_ledger(f.store, 20000, 0);
    results_claim_clear(&claim);
    fixture_free(&f);
}

static void test_everything_killed(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("killed", 100000);
    results_claim claim = claim_new(&f, 1, 2, 2000);
    int64_t phase_id, reserved_ms;
    int reaped;
    assert_ok(results_beat(f.store, &claim, 1500, 2000, &err), &err);
    assert_ok(results_phase_begin(f.store, f.run_id, "retrain", 1, &phase_id, &err), &err);
    assert_ok(results_phase_beat(f.store, phase_id, 300, &err), &err);
    assert_int_equal(run_beat(&f, 4000, 1000), 2200 + 1000);
    assert_ledger(f.store, 1800, 5200);
    assert_ok(results_reap(f.store, f.study_id, 0, 3, &reaped, &err), &err);
    assert_int_equal(reaped, 3);
    assert_ledger(f.store, 7000, 0);
    assert_int_equal(state_of(&f, 0), RESULTS_WAITING);
    assert_status(results_phase_beat(f.store, phase_id, 400, &err), NS_ERR_FENCED);
    assert_status(results_phase_end(f.store, phase_id, 400, &err), NS_ERR_FENCED);
    assert_status(results_run_beat(f.store, f.run_id, 9000, 1, &reserved_ms, &err), NS_ERR_FENCED);
    assert_status(results_run_end(f.store, f.run_id, 9000, &err), NS_ERR_FENCED);
    assert_ok(results_reap(f.store, f.study_id, 0, 3, &reaped, &err), &err);
    assert_int_equal(reaped, 0);

    f.run_id = begin_run(f.store, f.study_id, 4); // the next run goes on from there
    (void)run_beat(&f, 600, 0);
    assert_ok(results_run_end(f.store, f.run_id, 600, &err), &err);
    assert_ledger(f.store, 7600, 0);
    results_claim_clear(&claim);
    fixture_free(&f);
}

// Any sequence of beats and settles: charged never falls, and the ledger never goes over the budget
// as long as nobody books more than he had reserved.
static void test_ledger_holds_on_random_walks(void **unused) {
    (void)unused;
    ns_error err = {0};
    ns_rng rng = ns_rng_stream(1, 0, "walk");
    fixture f = fixture_new("walk", 20000);
    results_claim claims[3] = {0};
    int64_t used_ms[3] = {0}, charged_before = 0;
    uint64_t seed = 0;
    results_study study = {0};
    for (int step = 0; step < 120; step++) {
        const size_t i = (size_t)ns_rng_below(&rng, 3);
        const int64_t wanted_ms = (int64_t)ns_rng_below(&rng, 900);
        results_study_clear(&study);
        assert_ok(results_study_get(f.store, "s", &study, &err), &err);
        const bool room = study.charged_node_ms + study.reserved_node_ms + 300 <= 20000;
        if (claims[i].genotype == NULL) {
            if (room) {
                claims[i] = claim_new(&f, seed++, 2, 300);
                used_ms[i] = 0;
            }
        } else if (ns_rng_below(&rng, 4) == 0) {
            const results_outcome outcome = complete(0.5, used_ms[i]);
            assert_ok(results_settle(f.store, &claims[i], &outcome, &err), &err);
            results_claim_clear(&claims[i]);
        } else {
            used_ms[i] += room ? (int64_t)ns_rng_below(&rng, 300) : 0;
            assert_ok(results_beat(f.store, &claims[i], used_ms[i], wanted_ms, &err), &err);
        }
        results_study_clear(&study);
        assert_ok(results_study_get(f.store, "s", &study, &err), &err);
        assert_true(study.charged_node_ms >= charged_before);
        assert_true(study.charged_node_ms + study.reserved_node_ms <= 20000);
        charged_before = study.charged_node_ms;
    }
    results_study_clear(&study);
    for (size_t i = 0; i < 3; i++) {
        results_claim_clear(&claims[i]);
    }
    fixture_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overhead_is_what_attempts_left),
        cmocka_unit_test(test_run_ends_exactly),
        cmocka_unit_test(test_reservations_stay_inside),
        cmocka_unit_test(test_everything_killed),
        cmocka_unit_test(test_ledger_holds_on_random_walks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
