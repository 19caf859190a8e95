// What the tests of the store share: a fresh store file, a study in it, and short forms of the
// calls whose many fields a test does not care about.

#ifndef NS_TESTS_STORE_FIXTURE_H
#define NS_TESTS_STORE_FIXTURE_H

#include <math.h>
#include <string.h>

#include "results/results.h"
#include "tests/ns_test.h"

typedef struct fixture {
    char path[256];
    results_store *store;
    int64_t study_id, run_id;
} fixture;

static inline void remove_store(const char *path) {
    char name[300];
    for (int i = 0; i < 3; i++) {
        const char *suffixes[] = {"", "-wal", "-shm"};
        (void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        (void)remove(name);
    }
}

static inline int64_t add_study(results_store *store, const char *name, int64_t budget_node_ms) {
    ns_error err = {0};
    int64_t study_id = 0;
    const results_study_spec spec = {.name = name,
                                     .settings = "{\"seed\":1}",
                                     .dataset_path = "/data/fashion.nsd",
                                     .dataset_sha256 = "abc",
                                     .budget_node_ms = budget_node_ms};
    assert_ok(results_study_add(store, &spec, &study_id, &err), &err);
    return study_id;
}

static inline int64_t begin_run(results_store *store, int64_t study_id, int64_t pid) {
    ns_error err = {0};
    int64_t run_id = 0;
    const results_run_spec spec = {.command = "nightshift search",
                                   .host = "here",
                                   .version = "1",
                                   .platform = "linux",
                                   .pid = pid};
    assert_ok(results_run_begin(store, study_id, &spec, &run_id, &err), &err);
    return run_id;
}

/// A new store named `name` with one study "s" of `budget_node_ms`, and a run of process 1.
static inline fixture fixture_new(const char *name, int64_t budget_node_ms) {
    ns_error err = {0};
    fixture f = {0};
    (void)snprintf(f.path, sizeof(f.path), "%s.db", name);
    remove_store(f.path);
    assert_ok(results_open(f.path, RESULTS_CREATE, &f.store, &err), &err);
    f.study_id = add_study(f.store, "s", budget_node_ms);
    f.run_id = begin_run(f.store, f.study_id, 1);
    return f;
}

static inline void fixture_free(fixture *f) {
    results_close(f->store);
    remove_store(f->path);
}

static inline ns_status propose_seed(results_store *store, int64_t study_id, uint64_t seed,
                                     int *number) {
    const results_proposal proposal = {.genotype = "{\"g\":1}",
                                       .hash = "0123456789abcdef",
                                       .recipe = "lr=0.4",
                                       .fidelity_ms = 20000,
                                       .seed = seed,
                                       .params = 1000,
                                       .flops = 2000};
    return results_propose(store, study_id, &proposal, number, NULL);
}

/// Adds a trial with `seed` and claims it (the only one that waits) for process `pid`.
static inline results_claim claim_new(const fixture *f, uint64_t seed, int64_t pid,
                                      int64_t reserve_ms) {
    ns_error err = {0};
    results_claim claim;
    int number;
    assert_status(propose_seed(f->store, f->study_id, seed, &number), NS_OK);
    assert_ok(results_claim_trial(f->store, f->run_id, -1, pid, reserve_ms, &claim, &err), &err);
    assert_int_equal(claim.number, number);
    return claim;
}

static inline results_outcome complete(double val_accuracy, int64_t charged_ms) {
    return (results_outcome){.state = RESULTS_COMPLETE,
                             .val_accuracy = val_accuracy,
                             .val_loss = 0.5,
                             .charged_ms = charged_ms,
                             .sample_count = 100};
}

static inline results_outcome give_back(int64_t charged_ms) {
    return (results_outcome){.state = RESULTS_WAITING,
                             .val_accuracy = (double)NAN,
                             .val_loss = (double)NAN,
                             .charged_ms = charged_ms};
}

static inline void assert_ledger(results_store *store, int64_t charged_ms, int64_t reserved_ms) {
    ns_error err = {0};
    results_study study;
    assert_ok(results_study_get(store, "s", &study, &err), &err);
    const int64_t charged = study.charged_node_ms, reserved = study.reserved_node_ms;
    results_study_clear(&study);
    if (charged != charged_ms || reserved != reserved_ms) {
        fail_msg("ledger: charged %lld, reserved %lld; want %lld, %lld", (long long)charged,
                 (long long)reserved, (long long)charged_ms, (long long)reserved_ms);
    }
}

/// State of trial `number`, which must be there.
static inline results_trial_state state_of(const fixture *f, int number) {
    ns_error err = {0};
    results_trial *trials;
    size_t count;
    assert_ok(results_trials(f->store, f->study_id, &trials, &count, &err), &err);
    assert_true((size_t)number < count);
    const results_trial_state state = trials[number].state;
    results_trials_free(trials, count);
    return state;
}

#endif
