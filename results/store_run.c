// Runs and attempts: who holds the node, and what that has cost.
//
// All of a run's wall-clock time ends up in exactly one attempt: training in its trial's, the rest
// (start, proposing, waiting) in the run's own attempt, purpose "overhead". While another attempt
// runs, nobody can tell yet whose the unbooked time is, so the overhead only keeps it reserved; once
// none runs, it is charged what the others left. Charged and reserved together never fall behind the
// clock, and the charges of a run that has ended are the time it took, to the millisecond.

#include <stdlib.h>
#include <string.h>

#include "results/results_internal.h"

/* ---- booking --------------------------------------------------------------------------------- */

static ns_status fail_fenced(const char *what, ns_error *err) {
    return ns_fail(err, NS_ERR_FENCED, "%s has been ended: its process must stop", what);
}

// `found` state of a run or attempt: 0 running, 1 ended by its owner, 2 died.
#define STATE_CODE "CASE state WHEN 'RUNNING' THEN 0 WHEN 'DIED' THEN 2 ELSE 1 END"

ns_status results__attempt_open(results_store *store, int64_t attempt_id, bool *open,
                                ns_error *err) {
    int64_t code = 0;
    bool found;
    *open = false;
    NS_TRY(results__read(store, "SELECT " STATE_CODE " FROM attempts WHERE attempt_id = ?1",
                         RESULTS__ARGS(results__int(attempt_id)), &code, 1, &found, err));
    if (!found) {
        return ns_fail(err, NS_ERR_NOT_FOUND, "store %s has no attempt with id %lld", store->path,
                       (long long)attempt_id);
    }
    *open = code == 0;
    return code == 2 ? fail_fenced("this attempt", err) : NS_OK;
}

// The old reservation goes first, so that the ledger's remainder is what may be reserved anew.
ns_status results__attempt_book(results_store *store, int64_t attempt_id, int64_t charged_ms,
                                int64_t reserve_ms, ns_error *err) {
    NS_TRY(results__exec(store,
                         "UPDATE attempts SET charged_ms = max(charged_ms, ?2), reserved_ms = 0"
                         "  WHERE attempt_id = ?1",
                         RESULTS__ARGS(results__int(attempt_id), results__int(charged_ms)), err));
    return reserve_ms <= 0
               ? NS_OK
               : results__exec(store,
                               "UPDATE attempts SET reserved_ms = max(0, min(?2,"
                               "  (SELECT l.budget_ms - l.charged_ms - l.reserved_ms"
                               "   FROM ledger AS l WHERE l.study_id = attempts.study_id)))"
                               "  WHERE attempt_id = ?1",
                               RESULTS__ARGS(results__int(attempt_id), results__int(reserve_ms)),
                               err);
}

ns_status results__attempt_end(results_store *store, int64_t attempt_id, int64_t charged_ms,
                               const char *state, ns_error *err) {
    return results__exec(
        store,
        "UPDATE attempts SET charged_ms = max(charged_ms, ?2), reserved_ms = 0, state = ?3,"
        "  ended_unix_ms = ?4 WHERE attempt_id = ?1",
        RESULTS__ARGS(results__int(attempt_id), results__int(charged_ms), results__text(state),
                      results__int(ns_clock_unix_ms())),
        err);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static ns_status attempt_add(results_store *store, int64_t study_id, int64_t run_id,
                             const char *purpose, int64_t pid, int64_t *attempt_id, ns_error *err) {
    NS_TRY(results__exec(
        store,
        "INSERT INTO attempts (study_id, run_id, purpose, state, pid, started_unix_ms)"
        "  VALUES (?1, ?2, ?3, 'RUNNING', ?4, ?5)",
        RESULTS__ARGS(results__int(study_id), results__int(run_id), results__text(purpose),
                      results__int(pid), results__int(ns_clock_unix_ms())),
        err));
    *attempt_id = sqlite3_last_insert_rowid(store->db);
    return NS_OK;
}

static ns_status run_begin(results_store *store, int64_t study_id, const results_run_spec *spec,
                           int64_t *run_id, ns_error *err) {
    int64_t attempt_id;
    NS_TRY(results__exec(
        store,
        "INSERT INTO runs (study_id, state, command, host, version, platform, pid, started_unix_ms)"
        "  VALUES (?1, 'RUNNING', ?2, ?3, ?4, ?5, ?6, ?7)",
        RESULTS__ARGS(results__int(study_id), results__text(spec->command),
                      results__text(spec->host), results__text(spec->version),
                      results__text(spec->platform), results__int(spec->pid),
                      results__int(ns_clock_unix_ms())),
        err));
    *run_id = sqlite3_last_insert_rowid(store->db);
    return attempt_add(store, study_id, *run_id, "overhead", spec->pid, &attempt_id, err);
}

ns_status results_run_begin(results_store *store, int64_t study_id, const results_run_spec *spec,
                            int64_t *run_id, ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store, run_begin(store, study_id, spec, run_id, err), err);
}

typedef struct run_row {
    int64_t study_id, attempt_id, charged_ms; // of the overhead
    bool open;                                // false: ended by its owner
} run_row;

static ns_status run_get(results_store *store, int64_t run_id, run_row *out, ns_error *err) {
    int64_t row[4] = {0};
    bool found;
    *out = (run_row){0};
    NS_TRY(results__read(store,
                         "SELECT study_id, attempt_id, charged_ms, " STATE_CODE " FROM attempts"
                         "  WHERE run_id = ?1 AND purpose = 'overhead'",
                         RESULTS__ARGS(results__int(run_id)), row, NS_COUNT_OF(row), &found, err));
    if (!found) {
        return ns_fail(err, NS_ERR_NOT_FOUND, "store %s has no run with id %lld", store->path,
                       (long long)run_id);
    }
    *out = (run_row){
        .study_id = row[0], .attempt_id = row[1], .charged_ms = row[2], .open = row[3] == 0};
    return row[3] == 2 ? fail_fenced("this run", err) : NS_OK;
}

ns_status results__run_study(results_store *store, int64_t run_id, int64_t *study_id,
                             ns_error *err) {
    run_row run;
    NS_TRY(run_get(store, run_id, &run, err));
    *study_id = run.study_id;
    return run.open ? NS_OK : fail_fenced("this run", err);
}

/// What of `elapsed_ms` no attempt has booked yet, the overhead included, and whether another attempt
/// still runs and may book it.
static ns_status unbooked_ms(results_store *store, int64_t run_id, int64_t elapsed_ms, int64_t *out,
                             bool *others_run, ns_error *err) {
    int64_t row[2] = {0}; // charged by all, how many others run
    bool found;
    NS_TRY(results__read(store,
                         "SELECT sum(charged_ms),"
                         "  sum(state = 'RUNNING' AND purpose <> 'overhead') FROM attempts"
                         "  WHERE run_id = ?1",
                         RESULTS__ARGS(results__int(run_id)), row, NS_COUNT_OF(row), &found, err));
    *out = elapsed_ms > row[0] ? elapsed_ms - row[0] : 0;
    *others_run = row[1] > 0;
    return NS_OK;
}

static ns_status run_beat(results_store *store, int64_t run_id, int64_t elapsed_ms,
                          int64_t reserve_ms, int64_t *reserved_ms, ns_error *err) {
    run_row run;
    int64_t rest_ms = 0;
    bool others_run = false;
    bool found;
    NS_TRY(run_get(store, run_id, &run, err));
    if (!run.open) {
        return fail_fenced("this run", err);
    }
    NS_TRY(unbooked_ms(store, run_id, elapsed_ms, &rest_ms, &others_run, err));
    NS_TRY(results__attempt_book(store, run.attempt_id, run.charged_ms + (others_run ? 0 : rest_ms),
                                 reserve_ms + (others_run ? rest_ms : 0), err));
    return results__read(store, "SELECT reserved_ms FROM attempts WHERE attempt_id = ?1",
                         RESULTS__ARGS(results__int(run.attempt_id)), reserved_ms, 1, &found, err);
}

ns_status results_run_beat(results_store *store, int64_t run_id, int64_t elapsed_ms,
                           int64_t reserve_ms, int64_t *reserved_ms, ns_error *err) {
    *reserved_ms = 0;
    NS_TRY(results__begin(store, err));
    return results__end(store, run_beat(store, run_id, elapsed_ms, reserve_ms, reserved_ms, err),
                        err);
}

ns_status results__run_close(results_store *store, int64_t run_id, const char *state,
                             ns_error *err) {
    return results__exec(
        store, "UPDATE runs SET state = ?2, ended_unix_ms = ?3 WHERE run_id = ?1",
        RESULTS__ARGS(results__int(run_id), results__text(state), results__int(ns_clock_unix_ms())),
        err);
}

static ns_status run_end(results_store *store, int64_t run_id, int64_t elapsed_ms, ns_error *err) {
    run_row run;
    int64_t rest_ms = 0;
    bool others_run = false;
    NS_TRY(run_get(store, run_id, &run, err));
    if (!run.open) {
        return NS_OK;
    }
    NS_TRY(unbooked_ms(store, run_id, elapsed_ms, &rest_ms, &others_run, err));
    NS_TRY(results__attempt_end(store, run.attempt_id, run.charged_ms + rest_ms, "DONE", err));
    return results__run_close(store, run_id, "DONE", err);
}

ns_status results_run_end(results_store *store, int64_t run_id, int64_t elapsed_ms, ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store, run_end(store, run_id, elapsed_ms, err), err);
}

/* ---- what runs there were -------------------------------------------------------------------- */

static ns_status read_run(sqlite3_stmt *stmt, results_run *out, ns_error *err) {
    out->started_unix_ms = sqlite3_column_int64(stmt, 5);
    out->ended_unix_ms = sqlite3_column_int64(stmt, 6);
    NS_TRY(results__column_text(stmt, 0, &out->command, err));
    NS_TRY(results__column_text(stmt, 1, &out->host, err));
    NS_TRY(results__column_text(stmt, 2, &out->version, err));
    NS_TRY(results__column_text(stmt, 3, &out->platform, err));
    return results__column_text(stmt, 4, &out->state, err);
}

static ns_status read_runs(results_store *store, int64_t study_id, results_run **out, size_t *count,
                           ns_error *err) {
    int64_t total = 0;
    bool found;
    sqlite3_stmt *stmt;
    NS_TRY(results__read(store, "SELECT count(*) FROM runs WHERE study_id = ?1",
                         RESULTS__ARGS(results__int(study_id)), &total, 1, &found, err));
    *out = calloc((size_t)total + 1, sizeof(**out));
    if (*out == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory listing %lld runs", (long long)total);
    }
    NS_TRY(results__query(store,
                          "SELECT command, host, version, platform, state, started_unix_ms,"
                          "  ended_unix_ms FROM runs WHERE study_id = ?1 ORDER BY run_id",
                          RESULTS__ARGS(results__int(study_id)), &stmt, err));
    ns_status status = results__next(store, stmt, &found, err);
    while (status == NS_OK && found) {
        status = read_run(stmt, &(*out)[(*count)++], err);
        status = status == NS_OK ? results__next(store, stmt, &found, err) : status;
    }
    (void)sqlite3_reset(stmt);
    return status;
}

ns_status results_runs(results_store *store, int64_t study_id, results_run **out, size_t *count,
                       ns_error *err) {
    *out = NULL;
    *count = 0;
    NS_TRY(results__begin_read(store, err));
    const ns_status status = results__end(store, read_runs(store, study_id, out, count, err), err);
    if (status != NS_OK) {
        results_runs_free(*out, *count);
        *out = NULL;
        *count = 0;
    }
    return status;
}

void results_runs_free(results_run *runs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(runs[i].command);
        free(runs[i].host);
        free(runs[i].version);
        free(runs[i].platform);
        free(runs[i].state);
    }
    free(runs);
}

/* ---- phases: attempts that are no trial ------------------------------------------------------ */

static ns_status phase_begin(results_store *store, int64_t run_id, const char *purpose, int64_t pid,
                             int64_t *attempt_id, ns_error *err) {
    int64_t study_id = 0;
    NS_TRY(results__run_study(store, run_id, &study_id, err));
    return attempt_add(store, study_id, run_id, purpose, pid, attempt_id, err);
}

ns_status results_phase_begin(results_store *store, int64_t run_id, const char *purpose,
                              int64_t pid, int64_t *attempt_id, ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store, phase_begin(store, run_id, purpose, pid, attempt_id, err), err);
}

static ns_status phase_beat(results_store *store, int64_t attempt_id, int64_t charged_ms,
                            ns_error *err) {
    bool open;
    NS_TRY(results__attempt_open(store, attempt_id, &open, err));
    return open ? results__attempt_book(store, attempt_id, charged_ms, 0, err)
                : fail_fenced("this attempt", err);
}

ns_status results_phase_beat(results_store *store, int64_t attempt_id, int64_t charged_ms,
                             ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store, phase_beat(store, attempt_id, charged_ms, err), err);
}

static ns_status phase_end(results_store *store, int64_t attempt_id, int64_t charged_ms,
                           ns_error *err) {
    bool open;
    NS_TRY(results__attempt_open(store, attempt_id, &open, err));
    return open ? results__attempt_end(store, attempt_id, charged_ms, "DONE", err) : NS_OK;
}

ns_status results_phase_end(results_store *store, int64_t attempt_id, int64_t charged_ms,
                            ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store, phase_end(store, attempt_id, charged_ms, err), err);
}

/* ---- what it went to ------------------------------------------------------------------------- */

ns_status results_usage_get(results_store *store, int64_t study_id, results_usage *out,
                            ns_error *err) {
    int64_t row[5] = {0};
    bool found;
    NS_TRY(results__read(store,
                         "SELECT sum(CASE WHEN t.purpose = 'search' THEN charged_ms ELSE 0 END),"
                         "  sum(CASE WHEN t.purpose = 'confirm' THEN charged_ms ELSE 0 END),"
                         "  sum(CASE WHEN a.purpose = 'retrain' THEN charged_ms ELSE 0 END),"
                         "  sum(CASE WHEN a.purpose = 'finish' THEN charged_ms ELSE 0 END),"
                         "  sum(CASE WHEN a.purpose = 'overhead' THEN charged_ms ELSE 0 END)"
                         "  FROM attempts AS a LEFT JOIN trials AS t USING (trial_id)"
                         "  WHERE a.study_id = ?1",
                         RESULTS__ARGS(results__int(study_id)), row, NS_COUNT_OF(row), &found,
                         err));
    *out = (results_usage){row[0], row[1], row[2], row[3], row[4]};
    return NS_OK;
}
