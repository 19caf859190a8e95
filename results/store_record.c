// Reading what only a report asks for: the runs of a study, and the marks of a trial.

#include <stdlib.h>

#include "results/results_internal.h"

static ns_status read_run(sqlite3_stmt *stmt, results_run *out, ns_error *err) {
    out->started_unix_ms = sqlite3_column_int64(stmt, 5);
    out->ended_unix_ms = sqlite3_column_int64(stmt, 6);
    NS_TRY(results__column_text(stmt, 0, &out->command, err));
    NS_TRY(results__column_text(stmt, 1, &out->host, err));
    NS_TRY(results__column_text(stmt, 2, &out->version, err));
    NS_TRY(results__column_text(stmt, 3, &out->platform, err));
    return results__column_text(stmt, 4, &out->state, err);
}

/// Up to `total` runs; one that begins meanwhile is left out.
static ns_status read_runs(results_store *store, int64_t study_id, results_run *out, size_t total,
                           size_t *count, ns_error *err) {
    sqlite3_stmt *stmt;
    bool found;
    NS_TRY(results__query(store,
                          "SELECT command, host, version, platform, state, started_unix_ms,"
                          "  coalesce(ended_unix_ms, 0) FROM runs WHERE study_id = ?1"
                          "  ORDER BY run_id LIMIT ?2",
                          RESULTS__ARGS(results__int(study_id), results__int((int64_t)total)),
                          &stmt, err));
    ns_status status = results__next(store, stmt, &found, err);
    while (status == NS_OK && found) {
        status = read_run(stmt, &out[(*count)++], err);
        if (status == NS_OK) {
            status = results__next(store, stmt, &found, err);
        }
    }
    (void)sqlite3_reset(stmt);
    return status;
}

ns_status results_runs(results_store *store, int64_t study_id, results_run **out, size_t *count,
                       ns_error *err) {
    int64_t total = 0;
    bool found;
    *count = 0;
    *out = NULL;
    NS_TRY(results__read(store, "SELECT count(*) FROM runs WHERE study_id = ?1",
                         RESULTS__ARGS(results__int(study_id)), &total, 1, &found, err));
    results_run *runs = calloc((size_t)total + 1, sizeof(*runs));
    if (runs == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory listing %lld runs", (long long)total);
    }
    const ns_status status = read_runs(store, study_id, runs, (size_t)total, count, err);
    if (status != NS_OK) {
        results_runs_free(runs, *count);
        *count = 0;
        return status;
    }
    *out = runs;
    return NS_OK;
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

ns_status results_marks(results_store *store, int64_t trial_id, results_mark out[RESULTS_MARKS_MAX],
                        size_t *count, ns_error *err) {
    sqlite3_stmt *stmt;
    bool found;
    *count = 0;
    NS_TRY(results__query(store,
                          "SELECT step, intermediate_value FROM trial_intermediate_values"
                          "  WHERE trial_id = ?1 ORDER BY step LIMIT ?2",
                          RESULTS__ARGS(results__int(trial_id), results__int(RESULTS_MARKS_MAX)),
                          &stmt, err));
    ns_status status = results__next(store, stmt, &found, err);
    while (status == NS_OK && found) {
        out[(*count)++] = (results_mark){(double)sqlite3_column_int64(stmt, 0) / 1e6,
                                         sqlite3_column_double(stmt, 1)};
        status = results__next(store, stmt, &found, err);
    }
    (void)sqlite3_reset(stmt);
    return status;
}
