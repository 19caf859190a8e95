// The five calls and their promises, in one process: what each does to states, fences and ledger.

#include <stdlib.h>

#include "tests/results/store_fixture.h"

static void test_trial_goes_its_way(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("life", 100000);
    results_claim claim = claim_new(&f, UINT64_MAX, 77, 5000);
    assert_int_equal(claim.number, 0);
    assert_int_equal(claim.fence, 1);
    assert_true(claim.seed == UINT64_MAX);
    assert_int_equal(claim.fidelity_ms, 20000);
    assert_string_equal(claim.genotype, "{\"g\":1}");
    assert_ledger(f.store, 0, 5000);
    assert_ok(results_beat(f.store, &claim, 1200, 5000, &err), &err);
    assert_ledger(f.store, 1200, 5000);
    assert_ok(results_beat(f.store, &claim, 900, 4000, &err), &err); // a charge never falls
    assert_ledger(f.store, 1200, 4000);

    const results_outcome outcome = complete(0.91, 3000);
    assert_ok(results_settle(f.store, &claim, &outcome, &err), &err);
    assert_ledger(f.store, 3000, 0);

    results_trial *trials;
    size_t count;
    assert_ok(results_trials(f.store, f.study_id, &trials, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_int_equal(trials[0].state, RESULTS_COMPLETE);
    assert_true(trials[0].val_accuracy == 0.91 && trials[0].val_loss == 0.5);
    assert_true(trials[0].seed == UINT64_MAX);
    assert_int_equal(trials[0].node_ms, 3000);
    assert_int_equal(trials[0].sample_count, 100);
    assert_int_equal(trials[0].finished_node_ms, 3000);
    assert_int_equal(trials[0].params, 1000);
    assert_string_equal(trials[0].fail_reason, "");
    assert_string_equal(trials[0].recipe, "lr=0.4");
    results_trials_free(trials, count);
    results_claim_clear(&claim);
    fixture_free(&f);
}

static void test_proposals_are_unique(void **unused) {
    (void)unused;
    fixture f = fixture_new("unique", 1000);
    int number = -1;
    assert_status(propose_seed(f.store, f.study_id, 1, &number), NS_OK);
    assert_int_equal(number, 0);
    assert_status(propose_seed(f.store, f.study_id, 1, &number), NS_ERR_EXISTS);
    assert_status(propose_seed(f.store, f.study_id, 2, &number), NS_OK);
    assert_int_equal(number, 1);
    assert_status(propose_seed(f.store, f.study_id + 1, 1, &number), NS_ERR_NOT_FOUND);
    const int64_t other_id = add_study(f.store, "other", 1000);
    assert_status(propose_seed(f.store, other_id, 1, &number), NS_OK);
    assert_int_equal(number, 0);
    fixture_free(&f);
}

static void test_claim_refuses(void **unused) {
    (void)unused;
    fixture f = fixture_new("claim", 1000);
    results_claim claim;
    int number;
    assert_status(results_claim_trial(f.store, f.run_id, -1, 2, 10, &claim, NULL),
                  NS_ERR_NOT_FOUND);
    assert_status(propose_seed(f.store, f.study_id, 1, &number), NS_OK);
    assert_status(results_claim_trial(f.store, f.run_id, -1, 2, 1001, &claim, NULL), NS_ERR_BUDGET);
    assert_int_equal(state_of(&f, 0), RESULTS_WAITING);
    assert_status(results_claim_trial(f.store, f.run_id, -1, 2, 1000, &claim, NULL), NS_OK);
    results_claim_clear(&claim);
    assert_status(results_claim_trial(f.store, f.run_id + 1, -1, 2, 1, &claim, NULL),
                  NS_ERR_NOT_FOUND);
    fixture_free(&f);
}

static void test_claim_of_a_trial_by_its_number(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("number", 1000);
    results_claim claim;
    int number;
    for (uint64_t seed = 0; seed < 3; seed++) {
        assert_status(propose_seed(f.store, f.study_id, seed, &number), NS_OK);
    }
    assert_ok(results_claim_trial(f.store, f.run_id, 1, 2, 0, &claim, &err), &err);
    assert_int_equal(claim.number, 1);
    results_claim_clear(&claim);
    assert_status(results_claim_trial(f.store, f.run_id, 1, 2, 0, &claim, &err), NS_ERR_NOT_FOUND);
    assert_status(results_claim_trial(f.store, f.run_id, 9, 2, 0, &claim, &err), NS_ERR_NOT_FOUND);
    fixture_free(&f);
}

/// A repeat says of what, and keeps what it got right; usage tells search from confirmation.
static void test_repeat(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("repeat", 10000);
    results_claim first = claim_new(&f, 1, 2, 0), second;
    results_outcome outcome = complete(0.5, 70);
    assert_ok(results_settle(f.store, &first, &outcome, &err), &err);
    const results_proposal repeat = {.genotype = "{\"g\":1}",
                                     .hash = "0123456789abcdef",
                                     .recipe = "lr=0.4",
                                     .fidelity_ms = 60000,
                                     .seed = 7,
                                     .purpose = RESULTS_CONFIRM,
                                     .rung = 1,
                                     .is_repeat = true,
                                     .source_number = 0};
    int number;
    assert_ok(results_propose(f.store, f.study_id, &repeat, &number, &err), &err);
    assert_ok(results_claim_trial(f.store, f.run_id, number, 2, 0, &second, &err), &err);
    assert_int_equal(second.purpose, RESULTS_CONFIRM);
    assert_int_equal(second.rung, 1);
    const uint8_t bits[2] = {0xa5, 0x03};
    outcome = complete(0.6, 30);
    outcome.correct = bits;
    outcome.image_count = 10;
    assert_ok(results_settle(f.store, &second, &outcome, &err), &err);

    results_trial *trials;
    uint8_t *kept;
    size_t count, image_count;
    assert_ok(results_trials(f.store, f.study_id, &trials, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_int_equal(trials[0].purpose, RESULTS_SEARCH);
    assert_int_equal(trials[0].source_number, -1);
    assert_int_equal(trials[1].purpose, RESULTS_CONFIRM);
    assert_int_equal(trials[1].rung, 1);
    assert_int_equal(trials[1].source_number, 0);
    assert_ok(results_correct_get(f.store, trials[1].id, &kept, &image_count, &err), &err);
    assert_int_equal(image_count, 10);
    assert_memory_equal(kept, bits, sizeof(bits));
    free(kept);
    assert_status(results_correct_get(f.store, trials[0].id, &kept, &image_count, &err),
                  NS_ERR_NOT_FOUND);
    results_usage usage;
    assert_ok(results_usage_get(f.store, f.study_id, &usage, &err), &err);
    assert_int_equal(usage.search_ms, 70);
    assert_int_equal(usage.confirm_ms, 30);
    assert_int_equal(usage.retrain_ms, 0);
    results_trials_free(trials, count);
    results_claim_clear(&first);
    results_claim_clear(&second);
    fixture_free(&f);
}

static void test_claim_takes_the_lowest_number(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("lowest", 1000);
    results_claim first = claim_new(&f, 1, 2, 0), again;
    int number;
    assert_status(propose_seed(f.store, f.study_id, 2, &number), NS_OK);
    const results_outcome outcome = give_back(10);
    assert_ok(results_settle(f.store, &first, &outcome, &err), &err);
    assert_ok(results_claim_trial(f.store, f.run_id, -1, 2, 0, &again, &err), &err);
    assert_int_equal(again.number, 0);
    assert_int_equal(again.fence, 2);
    results_claim_clear(&first);
    results_claim_clear(&again);
    fixture_free(&f);
}

static void test_settle_is_safe_to_repeat(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("repeat", 100000);
    results_claim claim = claim_new(&f, 1, 2, 100);
    const results_outcome outcome = complete(0.5, 80), other = complete(0.9, 9000);
    assert_ok(results_settle(f.store, &claim, &outcome, &err), &err);
    assert_ok(results_settle(f.store, &claim, &outcome, &err), &err);
    assert_ok(results_settle(f.store, &claim, &other, &err), &err); // too late to change anything
    assert_ledger(f.store, 80, 0);
    results_trial *trials;
    size_t count;
    assert_ok(results_trials(f.store, f.study_id, &trials, &count, &err), &err);
    assert_true(trials[0].val_accuracy == 0.5);
    results_trials_free(trials, count);
    assert_status(results_beat(f.store, &claim, 100, 100, &err), NS_ERR_FENCED);
    assert_status(results_report(f.store, &claim, 0.5, 0.5, &err), NS_ERR_FENCED);
    assert_ledger(f.store, 80, 0);
    results_claim_clear(&claim);
    fixture_free(&f);
}

static void test_late_worker_is_fenced(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("fence", 100000);
    results_claim late = claim_new(&f, 1, 7, 300), now;
    int reaped;
    assert_ok(results_beat(f.store, &late, 100, 300, &err), &err);
    assert_ok(results_reap(f.store, f.study_id, 8, 3, &reaped, &err), &err);
    assert_int_equal(reaped, 0);
    assert_ok(results_reap(f.store, f.study_id, 7, 3, &reaped, &err), &err);
    assert_int_equal(reaped, 1);
    assert_ledger(f.store, 400, 0); // what it had reserved counts as spent
    assert_int_equal(state_of(&f, 0), RESULTS_WAITING);
    const results_outcome outcome = complete(0.9, 200);
    assert_status(results_settle(f.store, &late, &outcome, &err), NS_ERR_FENCED);

    assert_ok(results_claim_trial(f.store, f.run_id, -1, 9, 50, &now, &err), &err);
    assert_status(results_beat(f.store, &late, 500, 500, &err), NS_ERR_FENCED);
    assert_status(results_settle(f.store, &late, &outcome, &err), NS_ERR_FENCED);
    assert_status(results_report(f.store, &late, 0.1, 0.1, &err), NS_ERR_FENCED);
    assert_int_equal(state_of(&f, 0), RESULTS_RUNNING);
    assert_ledger(f.store, 400, 50);
    assert_ok(results_settle(f.store, &now, &outcome, &err), &err);
    assert_ledger(f.store, 600, 0);
    results_claim_clear(&late);
    results_claim_clear(&now);
    fixture_free(&f);
}

static void test_trial_that_kills_its_workers_fails(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("crash", 100000);
    results_claim claim = claim_new(&f, 1, 10, 5);
    const results_outcome outcome = give_back(3);
    int reaped;
    for (int died = 0; died < 2; died++) {
        assert_ok(results_settle(f.store, &claim, &outcome, &err), &err); // no death
        results_claim_clear(&claim);
        assert_ok(results_claim_trial(f.store, f.run_id, -1, 10, 5, &claim, &err), &err);
        assert_ok(results_reap(f.store, f.study_id, 10, 3, &reaped, &err), &err);
        results_claim_clear(&claim);
        assert_int_equal(state_of(&f, 0), RESULTS_WAITING);
        assert_ok(results_claim_trial(f.store, f.run_id, -1, 10, 5, &claim, &err), &err);
    }
    assert_ok(results_reap(f.store, f.study_id, 10, 3, &reaped, &err), &err);
    results_trial *trials;
    size_t count;
    assert_ok(results_trials(f.store, f.study_id, &trials, &count, &err), &err);
    assert_int_equal(trials[0].state, RESULTS_FAIL);
    assert_string_equal(trials[0].fail_reason, "crash");
    assert_string_equal(trials[0].detail, "its worker died 3 times");
    assert_true(isnan(trials[0].val_accuracy));
    assert_int_equal(trials[0].node_ms, 2 * 3 + 3 * 5);
    assert_int_equal(trials[0].finished_node_ms, 2 * 3 + 3 * 5);
    results_trials_free(trials, count);
    results_claim_clear(&claim);
    fixture_free(&f);
}

static void test_values_on_the_way(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("values", 100000);
    double *values;
    size_t count;
    for (uint64_t seed = 0; seed < 5; seed++) {
        results_claim claim = claim_new(&f, seed, 2, 0);
        assert_ok(results_report(f.store, &claim, 0.5, 0.1, &err), &err);
        assert_ok(results_report(f.store, &claim, 0.1 + 0.4, (double)seed / 8, &err), &err);
        results_outcome outcome = complete(0.5, 1);
        outcome.state = seed == 1 ? RESULTS_PRUNED : seed == 2 ? RESULTS_FAIL : RESULTS_COMPLETE;
        outcome.fail_reason = seed == 2 ? "nan" : NULL;
        if (seed < 4) {
            assert_ok(results_settle(f.store, &claim, &outcome, &err), &err);
        }
        assert_ok(results_values_at(f.store, claim.trial_id, 0.5, &values, &count, &err), &err);
        if (seed == 4) {
            assert_int_equal(count, 3); // 0, 1 and 3: the failed one and itself are left out
            assert_true(values[0] == 0.0 && values[1] == 0.125 && values[2] == 0.375);
        }
        free(values);
        results_claim_clear(&claim);
    }
    fixture_free(&f);
}

static void test_study_and_its_record(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("study", 5000);
    const results_study_spec spec = {.name = "s",
                                     .settings = "{}",
                                     .dataset_path = "x",
                                     .dataset_sha256 = "y",
                                     .budget_node_ms = 1};
    int64_t id;
    assert_status(results_study_add(f.store, &spec, &id, &err), NS_ERR_EXISTS);
    assert_non_null(strstr(err.text, "named s"));
    results_study study;
    assert_status(results_study_get(f.store, "none", &study, &err), NS_ERR_NOT_FOUND);
    assert_ok(results_study_update(f.store, f.study_id, RESULTS_STUDY_COMPLETE, "done", "budget",
                                   "{\"a\":1}", &err),
              &err);
    assert_ok(results_study_update(f.store, f.study_id, RESULTS_STUDY_INTERRUPTED, NULL, NULL, NULL,
                                   &err),
              &err);
    assert_status(results_study_update(f.store, 99, RESULTS_STUDY_FAIL, NULL, NULL, NULL, &err),
                  NS_ERR_NOT_FOUND);
    assert_ok(results_study_get(f.store, "s", &study, &err), &err);
    assert_int_equal(study.id, f.study_id);
    assert_int_equal(study.state, RESULTS_STUDY_INTERRUPTED);
    assert_string_equal(study.phase, "done");
    assert_string_equal(study.stop_reason, "budget");
    assert_string_equal(study.result, "{\"a\":1}");
    assert_string_equal(study.settings, "{\"seed\":1}");
    assert_string_equal(study.dataset_path, "/data/fashion.nsd");
    assert_string_equal(study.dataset_sha256, "abc");
    assert_int_equal(study.budget_node_ms, 5000);
    assert_int_equal(study.trial_count[RESULTS_WAITING], 0);
    results_study_clear(&study);

    (void)add_study(f.store, "a later one", 1);
    char **names;
    size_t count;
    assert_ok(results_study_names(f.store, &names, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "s");
    assert_string_equal(names[1], "a later one");
    free(names[0]);
    free(names[1]);
    free(names);
    fixture_free(&f);
}

static void test_models_and_events(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("models", 1);
    char path[NS_PATH_MAX];
    double accuracy;
    int number;
    assert_status(results_model_get(f.store, f.study_id, "final", path, &accuracy, &number, &err),
                  NS_ERR_NOT_FOUND);
    assert_ok(
        results_model_set(f.store, f.study_id, "final", "s/a.nsm", "00", (double)NAN, 3, &err),
        &err);
    assert_ok(results_model_set(f.store, f.study_id, "final", "s/b.nsm", "01", 0.75, 4, &err),
              &err);
    assert_ok(results_model_get(f.store, f.study_id, "final", path, &accuracy, &number, &err),
              &err);
    assert_string_equal(path, "s/b.nsm");
    assert_true(accuracy == 0.75);
    assert_int_equal(number, 4);
    assert_ok(results_event(f.store, f.study_id, "phase retrain", &err), &err);
    assert_status(results_event(f.store, 99, "nobody's", &err), NS_ERR_NOT_FOUND);
    fixture_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trial_goes_its_way),
        cmocka_unit_test(test_proposals_are_unique),
        cmocka_unit_test(test_claim_refuses),
        cmocka_unit_test(test_claim_takes_the_lowest_number),
        cmocka_unit_test(test_claim_of_a_trial_by_its_number),
        cmocka_unit_test(test_repeat),
        cmocka_unit_test(test_settle_is_safe_to_repeat),
        cmocka_unit_test(test_late_worker_is_fenced),
        cmocka_unit_test(test_trial_that_kills_its_workers_fails),
        cmocka_unit_test(test_values_on_the_way),
        cmocka_unit_test(test_study_and_its_record),
        cmocka_unit_test(test_models_and_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
