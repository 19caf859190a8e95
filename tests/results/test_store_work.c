// Work: what counts of it, and what a kill leaves.

#include "tests/results/store_fixture.h"

static results_work work_of(const fixture *f) {
    ns_error err = {0};
    results_work work;
    assert_ok(results_work_get(f->store, f->study_id, &work, &err), &err);
    return work;
}

static void settle_with(const fixture *f, results_claim *claim, results_outcome outcome,
                        int64_t work_flop) {
    ns_error err = {0};
    outcome.work_flop = work_flop;
    assert_ok(results_settle(f->store, claim, &outcome, &err), &err);
    results_claim_clear(claim);
}

static void test_finished_trials_count(void **state) {
    (void)state;
    fixture f = fixture_new("work_finished", 1000000);
    results_claim claim = claim_new(&f, 1, 100, 500);
    results_work work = work_of(&f);
    assert_int_equal(work.trial_flop, 0);
    assert_int_equal(work.running_fidelity_ms, 20000);
    settle_with(&f, &claim, complete(0.9, 4000), INT64_C(3000000000000));
    claim = claim_new(&f, 2, 100, 500);
    settle_with(&f, &claim, complete(0.8, 4000), 7);
    work = work_of(&f);
    assert_int_equal(work.trial_flop, INT64_C(3000000000007));
    assert_int_equal(work.running_fidelity_ms, 0);
    assert_int_equal(work.phase_flop, 0);
    assert_int_equal(work.lost_node_ms, 0);
    fixture_free(&f);
}

static void test_trials_given_back_or_killed_do_not_count(void **state) {
    (void)state;
    ns_error err = {0};
    int reaped_count = 0;
    fixture f = fixture_new("work_lost", 1000000);
    results_claim claim = claim_new(&f, 1, 100, 500);
    settle_with(&f, &claim, give_back(700), 12345);
    assert_ok(results_claim_trial(f.store, f.run_id, -1, 101, 500, &claim, &err), &err);
    assert_ok(results_beat(f.store, &claim, 2000, 500, &err), &err);
    results_claim_clear(&claim);
    assert_ok(results_reap(f.store, f.study_id, 101, 9, &reaped_count, &err), &err);
    const results_work work = work_of(&f);
    assert_int_equal(work.trial_flop, 0);
    assert_int_equal(work.running_fidelity_ms, 0);
    assert_int_equal(work.lost_node_ms, 700 + 2500); // the reservation is charged too
    fixture_free(&f);
}

/// A retraining that is interrupted, killed and then ends: each attempt says what has been done in
/// all, and the last says it all.
static void test_a_phase_counts_once(void **state) {
    (void)state;
    ns_error err = {0};
    int reaped_count = 0;
    fixture f = fixture_new("work_phase", 1000000);
    const int64_t work_flop[] = {1000, 1500, 4000};
    for (int i = 0; i < 3; i++) {
        int64_t attempt_id = 0;
        assert_ok(results_phase_begin(f.store, f.run_id, "retrain", 50 + i, &attempt_id, &err),
                  &err);
        assert_ok(results_phase_work(f.store, attempt_id, work_flop[i], &err), &err);
        assert_int_equal(work_of(&f).phase_flop, work_flop[i]);
        if (i == 1) {
            assert_ok(results_reap(f.store, f.study_id, 51, 9, &reaped_count, &err), &err);
            assert_int_equal(work_of(&f).phase_flop, 1000); // what the checkpoint may have
        } else {
            assert_ok(results_phase_end(f.store, attempt_id, 100, &err), &err);
        }
    }
    int64_t attempt_id = 0;
    assert_ok(results_phase_begin(f.store, f.run_id, "finish", 60, &attempt_id, &err), &err);
    assert_ok(results_phase_work(f.store, attempt_id, 300, &err), &err);
    assert_ok(results_phase_end(f.store, attempt_id, 100, &err), &err);
    assert_ok(results_phase_work(f.store, attempt_id, 999, &err), &err); // said too late
    assert_int_equal(work_of(&f).phase_flop, 4300);
    assert_int_equal(work_of(&f).trial_flop, 0);
    fixture_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finished_trials_count),
        cmocka_unit_test(test_trials_given_back_or_killed_do_not_count),
        cmocka_unit_test(test_a_phase_counts_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
