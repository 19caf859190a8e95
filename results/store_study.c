// Studies: adding one, reading one with its ledger and its trials by state, and what changes as it
// goes on. Settings never change; the search compares them when a study is resumed.

#include <stdlib.h>
#include <string.h>

#include "results/results_internal.h"

static const char *const study_state_names[] = {
    [RESULTS_STUDY_RUNNING] = "RUNNING",
    [RESULTS_STUDY_INTERRUPTED] = "INTERRUPTED",
    [RESULTS_STUDY_COMPLETE] = "COMPLETE",
    [RESULTS_STUDY_FAIL] = "FAIL",
};

const char *results_study_state_name(results_study_state state) {
    return study_state_names[state];
}

/* ---- adding ---------------------------------------------------------------------------------- */

static ns_status dataset_id_of(results_store *store, const results_study_spec *spec,
                               int64_t *dataset_id, ns_error *err) {
    bool found;
    NS_TRY(results__exec(
        store, "INSERT INTO datasets (path, sha256) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        RESULTS__ARGS(results__text(spec->dataset_path), results__text(spec->dataset_sha256)),
        err));
    return results__read(
        store, "SELECT dataset_id FROM datasets WHERE path = ?1 AND sha256 = ?2",
        RESULTS__ARGS(results__text(spec->dataset_path), results__text(spec->dataset_sha256)),
        dataset_id, 1, &found, err);
}

static ns_status study_add(results_store *store, const results_study_spec *spec, int64_t *study_id,
                           ns_error *err) {
    int64_t dataset_id = 0;
    NS_TRY(dataset_id_of(store, spec, &dataset_id, err));
    const ns_status status = results__exec(
        store,
        "INSERT INTO studies (study_name, dataset_id, settings, state, phase, stop_reason, result,"
        "  budget_ms, created_unix_ms) VALUES (?1, ?2, ?3, 'RUNNING', 'search', '', '{}', ?4, ?5)",
        RESULTS__ARGS(results__text(spec->name), results__int(dataset_id),
                      results__text(spec->settings), results__int(spec->budget_node_ms),
                      results__int(ns_clock_unix_ms())),
        err);
    if (status == NS_ERR_EXISTS) {
        return ns_fail(err, status, "store %s already has a study named %s", store->path,
                       spec->name);
    }
    NS_TRY(status);
    *study_id = sqlite3_last_insert_rowid(store->db);
    return results__earlier_add(store, *study_id, spec->earlier, spec->earlier_count, err);
}

ns_status results_study_add(results_store *store, const results_study_spec *spec, int64_t *study_id,
                            ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store, study_add(store, spec, study_id, err), err);
}

/* ---- reading --------------------------------------------------------------------------------- */

static ns_status read_row(sqlite3_stmt *stmt, results_study *out, ns_error *err) {
    out->id = sqlite3_column_int64(stmt, 0);
    NS_TRY(results__column_text(stmt, 1, &out->name, err));
    NS_TRY(results__column_text(stmt, 2, &out->settings, err));
    NS_TRY(results__column_text(stmt, 3, &out->dataset_path, err));
    NS_TRY(results__column_text(stmt, 4, &out->dataset_sha256, err));
    const char *state = (const char *)sqlite3_column_text(stmt, 5);
    for (size_t i = 0; i < NS_COUNT_OF(study_state_names); i++) {
        if (strcmp(state, study_state_names[i]) == 0) {
            out->state = (results_study_state)i;
        }
    }
    NS_TRY(results__column_text(stmt, 6, &out->phase, err));
    NS_TRY(results__column_text(stmt, 7, &out->stop_reason, err));
    NS_TRY(results__column_text(stmt, 8, &out->result, err));
    out->budget_node_ms = sqlite3_column_int64(stmt, 9);
    out->charged_node_ms = sqlite3_column_int64(stmt, 10);
    out->reserved_node_ms = sqlite3_column_int64(stmt, 11);
    out->created_unix_ms = sqlite3_column_int64(stmt, 12);
    return NS_OK;
}

static ns_status count_trials(results_store *store, results_study *study, ns_error *err) {
    for (int state = RESULTS_WAITING; state <= RESULTS_FAIL; state++) {
        int64_t count = 0;
        bool found;
        NS_TRY(results__read(
            store, "SELECT count(*) FROM trials WHERE study_id = ?1 AND state = ?2",
            RESULTS__ARGS(results__int(study->id),
                          results__text(results_trial_state_name((results_trial_state)state))),
            &count, 1, &found, err));
        study->trial_count[state] = (int)count;
    }
    return NS_OK;
}

static ns_status study_get(results_store *store, const char *name, results_study *out,
                           ns_error *err) {
    sqlite3_stmt *stmt;
    bool found;
    NS_TRY(results__query(store,
                          "SELECT s.study_id, s.study_name, s.settings, d.path, d.sha256, s.state,"
                          "  s.phase, s.stop_reason, s.result, l.budget_ms, l.charged_ms,"
                          "  l.reserved_ms, s.created_unix_ms"
                          "  FROM studies AS s JOIN datasets AS d USING (dataset_id)"
                          "  JOIN ledger AS l USING (study_id) WHERE s.study_name = ?1",
                          RESULTS__ARGS(results__text(name)), &stmt, err));
    NS_TRY(results__next(store, stmt, &found, err));
    if (!found) {
        return ns_fail(err, NS_ERR_NOT_FOUND, "store %s has no study named %s", store->path, name);
    }
    const ns_status status = read_row(stmt, out, err);
    (void)sqlite3_reset(stmt);
    NS_TRY(status);
    return count_trials(store, out, err);
}

ns_status results_study_get(results_store *store, const char *name, results_study *out,
                            ns_error *err) {
    *out = (results_study){0};
    NS_TRY(results__begin_read(store, err));
    const ns_status status = results__end(store, study_get(store, name, out, err), err);
    if (status != NS_OK) {
        results_study_clear(out);
    }
    return status;
}

void results_study_clear(results_study *study) {
    free(study->name);
    free(study->settings);
    free(study->dataset_path);
    free(study->dataset_sha256);
    free(study->phase);
    free(study->stop_reason);
    free(study->result);
    *study = (results_study){0};
}

/* ---- listing --------------------------------------------------------------------------------- */

static ns_status study_names(results_store *store, char ***names, size_t *count, ns_error *err) {
    int64_t study_count = 0;
    bool found;
    NS_TRY(results__read(store, "SELECT count(*) FROM studies", NULL, 0, &study_count, 1, &found,
                         err));
    *names = calloc((size_t)study_count + 1, sizeof(**names));
    if (*names == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory listing %lld studies",
                       (long long)study_count);
    }
    sqlite3_stmt *stmt;
    NS_TRY(results__query(store, "SELECT study_name FROM studies ORDER BY study_id", NULL, 0, &stmt,
                          err));
    ns_status status = results__next(store, stmt, &found, err);
    while (status == NS_OK && found) {
        status = results__column_text(stmt, 0, &(*names)[*count], err);
        if (status == NS_OK) {
            (*count)++;
            status = results__next(store, stmt, &found, err);
        }
    }
    (void)sqlite3_reset(stmt);
    return status;
}

ns_status results_study_names(results_store *store, char ***names, size_t *count, ns_error *err) {
    *names = NULL;
    *count = 0;
    NS_TRY(results__begin_read(store, err));
    const ns_status status = results__end(store, study_names(store, names, count, err), err);
    if (status != NS_OK) {
        for (size_t i = 0; i < *count; i++) {
            free((*names)[i]);
        }
        free(*names);
        *names = NULL;
        *count = 0;
    }
    return status;
}

/* ---- changing -------------------------------------------------------------------------------- */

static ns_status study_update(results_store *store, int64_t study_id, results_study_state state,
                              const char *phase, const char *stop_reason, const char *result,
                              ns_error *err) {
    NS_TRY(results__exec(
        store,
        "UPDATE studies SET state = ?2, phase = coalesce(?3, phase),"
        "  stop_reason = coalesce(?4, stop_reason), result = coalesce(?5, result)"
        "  WHERE study_id = ?1",
        RESULTS__ARGS(results__int(study_id), results__text(results_study_state_name(state)),
                      results__text(phase), results__text(stop_reason), results__text(result)),
        err));
    return sqlite3_changes(store->db) == 1
               ? NS_OK
               : ns_fail(err, NS_ERR_NOT_FOUND, "store %s has no study with id %lld", store->path,
                         (long long)study_id);
}

ns_status results_study_update(results_store *store, int64_t study_id, results_study_state state,
                               const char *phase, const char *stop_reason, const char *result,
                               ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store,
                        study_update(store, study_id, state, phase, stop_reason, result, err), err);
}
