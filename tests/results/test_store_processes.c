// Several processes on one store, some of them killed at random: no trial is lost, none is finished
// twice, no claim is shared, and the ledger is the sum of what was booked.
//
// Each worker appends a line to a file of its own (one write each) for what the store has told it:
// "c N F" for a claim of trial N with fence F, "s N" for a settled trial. After the storm the files
// are read beside the store.

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/results/store_fixture.h"

#define WORKER_COUNT 4
#define TRIAL_COUNT  60
#define STORE_PATH   "processes.db"

typedef struct settled {
    int claim_count[TRIAL_COUNT][64]; // by fence: more than one is a shared claim
    int settle_count[TRIAL_COUNT];
} settled;

/* ---- a worker ---------------------------------------------------------------------------------
 */

// A worker cannot use cmocka's asserts: it leaves with a code that the parent reads.
static void must(ns_status status, const ns_error *err) {
    if (status != NS_OK) {
        print_error("worker %d: %s: %s\n", (int)getpid(), ns_status_text(status), err->text);
        _exit(9);
    }
}

static void note(int file, const char *text) {
    if (write(file, text, strlen(text)) < 0) {
        _exit(8);
    }
}

static bool work_once(results_store *store, int64_t run_id, ns_rng *rng, int file) {
    ns_error err = {0};
    results_claim claim;
    char line[64];
    const ns_status status = results_claim_trial(store, run_id, -1, getpid(), 10, &claim, &err);
    if (status == NS_ERR_NOT_FOUND) {
        return false;
    }
    must(status, &err);
    (void)snprintf(line, sizeof(line), "c %d %lld\n", claim.number, (long long)claim.fence);
    note(file, line);
    for (int64_t used_ms = 1; used_ms <= 3; used_ms++) {
        must(results_beat(store, &claim, used_ms, 10, &err), &err);
        ns_sleep_ms((int64_t)ns_rng_below(rng, 3));
    }
    must(results_report(store, &claim, 0.5, 0.4, &err), &err);
    const bool returned = ns_rng_below(rng, 8) == 0;
    const results_outcome outcome = returned ? give_back(4) : complete(0.5, 4);
    must(results_settle(store, &claim, &outcome, &err), &err);
    must(results_settle(store, &claim, &outcome, &err), &err);
    (void)snprintf(line, sizeof(line), "s %d\n", claim.number);
    note(file, returned ? "" : line);
    results_claim_clear(&claim);
    return true;
}

static void worker(int64_t study_id, int64_t run_id, uint64_t index) {
    ns_error err = {0};
    ns_rng rng = ns_rng_stream(7, index, "worker");
    results_store *store;
    const int file = open("processes.log", O_WRONLY | O_APPEND | O_CREAT, 0644);
    must(results_open(STORE_PATH, RESULTS_WRITE, &store, &err), &err);
    int idle_count = 0, number;
    while (idle_count < 3) {
        const ns_status status =
            propose_seed(store, study_id, ns_rng_below(&rng, TRIAL_COUNT), &number);
        if (status != NS_OK && status != NS_ERR_EXISTS) {
            _exit(7);
        }
        idle_count = work_once(store, run_id, &rng, file) ? 0 : idle_count + 1;
    }
    results_close(store);
    _exit(0);
}

static pid_t start_worker(const fixture *f, uint64_t index) {
    const pid_t pid = fork();
    if (pid == 0) {
        worker(f->study_id, f->run_id, index);
    }
    assert_true(pid > 0);
    return pid;
}

/* ---- the storm --------------------------------------------------------------------------------
 */

static void open_store(fixture *f) {
    ns_error err = {0};
    assert_ok(results_open(f->path, RESULTS_WRITE, &f->store, &err), &err);
}

// The parent keeps no handle while it forks: a handle must not be inherited.
static void replace_worker(fixture *f, pid_t *pid, uint64_t index) {
    ns_error err = {0};
    int reaped;
    open_store(f);
    assert_ok(results_reap(f->store, f->study_id, *pid, 1000, &reaped, &err), &err);
    assert_in_range(reaped, 0, 1);
    results_close(f->store);
    *pid = start_worker(f, index);
}

static void storm(fixture *f, int kill_count) {
    ns_rng rng = ns_rng_stream(11, 0, "storm");
    pid_t pids[WORKER_COUNT];
    uint64_t index = 0;
    for (size_t i = 0; i < WORKER_COUNT; i++) {
        pids[i] = start_worker(f, index++);
    }
    for (int i = 0; i < kill_count; i++) {
        ns_sleep_ms(20 + (int64_t)ns_rng_below(&rng, 60));
        pid_t *victim = &pids[ns_rng_below(&rng, WORKER_COUNT)];
        int code;
        assert_int_equal(kill(*victim, SIGKILL), 0);
        assert_int_equal(waitpid(*victim, &code, 0), *victim);
        assert_true(WIFSIGNALED(code) || WEXITSTATUS(code) == 0);
        replace_worker(f, victim, index++);
    }
    for (size_t i = 0; i < WORKER_COUNT; i++) {
        int code;
        assert_int_equal(waitpid(pids[i], &code, 0), pids[i]);
        assert_int_equal(code, 0);
    }
    open_store(f);
}

static void read_log(settled *out) {
    FILE *file = fopen("processes.log", "r");
    assert_non_null(file);
    char line[64];
    while (fgets(line, sizeof(line), file) != NULL) {
        char *end;
        const long number = strtol(line + 1, &end, 10);
        assert_true(end > line + 1 && number >= 0 && number < TRIAL_COUNT);
        if (line[0] == 's') {
            out->settle_count[number]++;
            continue;
        }
        const long fence = strtol(end, &end, 10);
        assert_true(line[0] == 'c' && *end == '\n' && fence > 0 && fence < 64);
        out->claim_count[number][fence]++;
    }
    (void)fclose(file);
}

static void check(const fixture *f) {
    ns_error err = {0};
    static settled log;
    results_trial *trials;
    size_t count;
    int64_t node_ms = 0;
    read_log(&log);
    assert_ok(results_trials(f->store, f->study_id, &trials, &count, &err), &err);
    assert_true(count > TRIAL_COUNT / 2);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(trials[i].number, i);
        assert_int_equal(trials[i].state, RESULTS_COMPLETE);
        assert_in_range(log.settle_count[i], 0, 1); // 0: killed between settling and its note
        for (int fence = 0; fence < 64; fence++) {
            assert_in_range(log.claim_count[i][fence], 0, 1);
        }
        assert_true(trials[i].node_ms >= 4);
        assert_true(trials[i].finished_node_ms >= trials[i].node_ms);
        node_ms += trials[i].node_ms;
    }
    results_trials_free(trials, count);
    assert_ledger(f->store, node_ms, 0);
}

static void test_workers_are_killed(void **unused) {
    (void)unused;
    (void)remove("processes.log");
    fixture f = fixture_new("processes", 1000000);
    results_close(f.store);
    storm(&f, 25);
    check(&f);
    fixture_free(&f);
}

/* ---- makers and movers ------------------------------------------------------------------------
 */

static void test_many_make_one_store(void **unused) {
    (void)unused;
    pid_t pids[6];
    remove_store("makers.db");
    for (size_t i = 0; i < NS_COUNT_OF(pids); i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            ns_error err = {0};
            results_store *store;
            must(results_open("makers.db", RESULTS_CREATE, &store, &err), &err);
            results_close(store);
            _exit(0);
        }
    }
    for (size_t i = 0; i < NS_COUNT_OF(pids); i++) {
        int code;
        assert_int_equal(waitpid(pids[i], &code, 0), pids[i]);
        assert_int_equal(code, 0);
    }
    remove_store("makers.db");
}

// One process writes without pause; another must read a consistent study each time, at once.
static void test_reader_during_writes(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("reading", 1000000);
    results_close(f.store);
    const pid_t writer = fork();
    if (writer == 0) {
        int64_t reserved_ms;
        must(results_open(f.path, RESULTS_WRITE, &f.store, &err), &err);
        for (int64_t at_ms = 1;; at_ms++) {
            must(results_run_beat(f.store, f.run_id, at_ms, 5, &reserved_ms, &err), &err);
        }
    }
    results_study study;
    int64_t before_ms = 0;
    for (int i = 0; i < 50; i++) {
        assert_ok(results_open(f.path, RESULTS_READ, &f.store, &err), &err);
        assert_ok(results_study_get(f.store, "s", &study, &err), &err);
        assert_true(study.charged_node_ms >= before_ms);
        before_ms = study.charged_node_ms;
        results_study_clear(&study);
        results_close(f.store);
        ns_sleep_ms(5);
    }
    assert_true(before_ms > 0);
    assert_int_equal(kill(writer, SIGKILL), 0);
    int code;
    assert_int_equal(waitpid(writer, &code, 0), writer);
    assert_true(WIFSIGNALED(code)); // it never failed before
    remove_store(f.path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_are_killed),
        cmocka_unit_test(test_many_make_one_store),
        cmocka_unit_test(test_reader_during_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
