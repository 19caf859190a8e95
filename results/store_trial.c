// Reading trials: the whole list, and the values others had at the same point of their schedule.

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "results/results_internal.h"

static const char *const trial_state_names[] = {
    [RESULTS_WAITING] = "WAITING", [RESULTS_RUNNING] = "RUNNING", [RESULTS_COMPLETE] = "COMPLETE",
    [RESULTS_PRUNED] = "PRUNED",   [RESULTS_FAIL] = "FAIL",
};

const char *results_trial_state_name(results_trial_state state) {
    return trial_state_names[state];
}

bool results_trial_is_over(results_trial_state state) {
    return state != RESULTS_WAITING && state != RESULTS_RUNNING;
}

const char *results_purpose_name(results_purpose purpose) {
    return purpose == RESULTS_CONFIRM ? "confirm" : "search";
}

/* ---- the list -------------------------------------------------------------------------------- */

static const char list_sql[] =
    "SELECT t.trial_id, t.number, t.state, t.fail_reason, t.detail, t.genotype, t.hash, t.recipe,"
    "  t.fidelity_ms, t.seed, t.params, t.flops, accuracy.value, loss.value,"
    "  (SELECT sum(charged_ms) FROM attempts AS a WHERE a.trial_id = t.trial_id),"
    "  t.sample_count, t.finished_node_ms, latency.value, t.purpose = 'confirm', t.rung,"
    "  coalesce(t.source_number, -1)"
    "  FROM trials AS t"
    "  LEFT JOIN trial_values AS accuracy"
    "    ON accuracy.trial_id = t.trial_id AND accuracy.objective = 'val_accuracy'"
    "  LEFT JOIN trial_values AS loss"
    "    ON loss.trial_id = t.trial_id AND loss.objective = 'val_loss'"
    "  LEFT JOIN trial_values AS latency"
    "    ON latency.trial_id = t.trial_id AND latency.objective = 'latency_ms'"
    "  WHERE t.study_id = ?1 AND t.number >= ?2 ORDER BY t.number";

static results_trial_state state_of(const char *name) {
    int state = RESULTS_WAITING;
    while (strcmp(trial_state_names[state], name) != 0) {
        state++;
        assert(state <= RESULTS_FAIL); // a CHECK of the table
    }
    return (results_trial_state)state;
}

static ns_status read_row(sqlite3_stmt *stmt, results_trial *out, ns_error *err) {
    out->id = sqlite3_column_int64(stmt, 0);
    out->number = sqlite3_column_int(stmt, 1);
    out->state = state_of((const char *)sqlite3_column_text(stmt, 2));
    out->fidelity_ms = sqlite3_column_int64(stmt, 8);
    out->seed = (uint64_t)sqlite3_column_int64(stmt, 9);
    out->params = sqlite3_column_int64(stmt, 10);
    out->flops = sqlite3_column_int64(stmt, 11);
    out->val_accuracy = results__column_real(stmt, 12);
    out->val_loss = results__column_real(stmt, 13);
    out->node_ms = sqlite3_column_int64(stmt, 14);
    out->sample_count = sqlite3_column_int64(stmt, 15);
    out->finished_node_ms = sqlite3_column_int64(stmt, 16);
    out->latency_ms = results__column_real(stmt, 17);
    out->purpose = sqlite3_column_int(stmt, 18) != 0 ? RESULTS_CONFIRM : RESULTS_SEARCH;
    out->rung = sqlite3_column_int(stmt, 19);
    out->source_number = sqlite3_column_int(stmt, 20);
    NS_TRY(results__column_text(stmt, 3, &out->fail_reason, err));
    NS_TRY(results__column_text(stmt, 4, &out->detail, err));
    NS_TRY(results__column_text(stmt, 5, &out->genotype, err));
    NS_TRY(results__column_text(stmt, 6, &out->hash, err));
    return results__column_text(stmt, 7, &out->recipe, err);
}

static ns_status read_trials(results_store *store, int64_t study_id, int first, results_trial **out,
                             size_t *count, ns_error *err) {
    int64_t total = 0;
    bool found;
    NS_TRY(results__read(store, "SELECT count(*) FROM trials WHERE study_id = ?1 AND number >= ?2",
                         RESULTS__ARGS(results__int(study_id), results__int(first)), &total, 1,
                         &found, err));
    *out = calloc((size_t)total + 1, sizeof(**out));
    if (*out == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory listing %lld trials", (long long)total);
    }
    sqlite3_stmt *stmt;
    NS_TRY(results__query(store, list_sql,
                          RESULTS__ARGS(results__int(study_id), results__int(first)), &stmt, err));
    ns_status status = results__next(store, stmt, &found, err);
    while (status == NS_OK && found) {
        status = read_row(stmt, &(*out)[(*count)++], err);
        if (status == NS_OK) {
            status = results__next(store, stmt, &found, err);
        }
    }
    (void)sqlite3_reset(stmt);
    return status;
}

ns_status results_trials_from(results_store *store, int64_t study_id, int first,
                              results_trial **out, size_t *count, ns_error *err) {
    *out = NULL;
    *count = 0;
    NS_TRY(results__begin_read(store, err));
    const ns_status status =
        results__end(store, read_trials(store, study_id, first, out, count, err), err);
    if (status != NS_OK) {
        results_trials_free(*out, *count);
        *out = NULL;
        *count = 0;
    }
    return status;
}

ns_status results_trials(results_store *store, int64_t study_id, results_trial **out, size_t *count,
                         ns_error *err) {
    return results_trials_from(store, study_id, 0, out, count, err);
}

void results_trial_clear(results_trial *trial) {
    free(trial->fail_reason);
    free(trial->detail);
    free(trial->genotype);
    free(trial->hash);
    free(trial->recipe);
    *trial = (results_trial){0};
}

void results_trials_free(results_trial *trials, size_t count) {
    for (size_t i = 0; i < count; i++) {
        results_trial_clear(&trials[i]);
    }
    free(trials);
}

/* ---- one after the other --------------------------------------------------------------------- */

static ns_status visit_trials(results_store *store, int64_t study_id, results_trial_visit_fn visit,
                              void *context, ns_error *err) {
    sqlite3_stmt *stmt;
    bool found;
    NS_TRY(results__query(store, list_sql, RESULTS__ARGS(results__int(study_id), results__int(0)),
                          &stmt, err));
    ns_status status = results__next(store, stmt, &found, err);
    while (status == NS_OK && found) {
        results_trial *trial = calloc(1, sizeof(*trial));
        status = trial == NULL ? ns_fail(err, NS_ERR_MEMORY, "out of memory reading a trial")
                               : read_row(stmt, trial, err);
        status = status == NS_OK ? visit(context, trial, err) : status;
        results_trials_free(trial, trial != NULL);
        status = status == NS_OK ? results__next(store, stmt, &found, err) : status;
    }
    (void)sqlite3_reset(stmt);
    return status;
}

ns_status results_trials_visit(results_store *store, int64_t study_id, results_trial_visit_fn visit,
                               void *context, ns_error *err) {
    NS_TRY(results__begin_read(store, err));
    return results__end(store, visit_trials(store, study_id, visit, context, err), err);
}

/* ---- values on the way ------------------------------------------------------------------------
 */

// Millionths: fractions that were computed in different ways and mean the same compare equal.
int64_t results__step_of(double fraction) {
    assert(fraction >= 0.0 && fraction <= 1e6);
    return llround(fraction * 1e6);
}

static ns_status append(double **values, size_t *count, double value, ns_error *err) {
    if ((*count & (*count - 1)) == 0) { // 0 or a power of two: full
        const size_t capacity = *count == 0 ? 1 : 2 * *count;
        double *grown = realloc(*values, capacity * sizeof(**values));
        if (grown == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "out of memory reading %zu values", capacity);
        }
        *values = grown;
    }
    (*values)[(*count)++] = value;
    return NS_OK;
}

ns_status results_values_at(results_store *store, int64_t trial_id, double fraction,
                            double **values, size_t *count, ns_error *err) {
    sqlite3_stmt *stmt;
    bool found;
    *values = NULL;
    *count = 0;
    NS_TRY(results__query(
        store,
        "SELECT v.intermediate_value FROM trials AS mine"
        "  JOIN trials AS t ON t.study_id = mine.study_id AND t.fidelity_ms = mine.fidelity_ms"
        "    AND t.state IN ('COMPLETE', 'PRUNED') AND t.trial_id <> mine.trial_id"
        "  JOIN trial_intermediate_values AS v ON v.trial_id = t.trial_id AND v.step = ?2"
        "  WHERE mine.trial_id = ?1 ORDER BY t.number",
        RESULTS__ARGS(results__int(trial_id), results__int(results__step_of(fraction))), &stmt,
        err));
    ns_status status = results__next(store, stmt, &found, err);
    while (status == NS_OK && found) {
        status = append(values, count, sqlite3_column_double(stmt, 0), err);
        if (status == NS_OK) {
            status = results__next(store, stmt, &found, err);
        }
    }
    (void)sqlite3_reset(stmt);
    if (status != NS_OK) {
        free(*values);
        *values = NULL;
        *count = 0;
    }
    return status;
}

/* ---- what a trial got right --------------------------------------------------------------------
 */

ns_status results_correct_get(results_store *store, int64_t trial_id, uint8_t **bits,
                              size_t *image_count, ns_error *err) {
    sqlite3_stmt *stmt;
    bool found;
    *bits = NULL;
    *image_count = 0;
    NS_TRY(results__query(store, "SELECT image_count, bits FROM trial_correct WHERE trial_id = ?1",
                          RESULTS__ARGS(results__int(trial_id)), &stmt, err));
    NS_TRY(results__next(store, stmt, &found, err));
    if (!found) {
        return ns_fail(err, NS_ERR_NOT_FOUND, "store %s does not know what this trial got right",
                       store->path);
    }
    const size_t size_bytes = (size_t)sqlite3_column_bytes(stmt, 1);
    *bits = malloc(size_bytes);
    if (*bits != NULL) {
        memcpy(*bits, sqlite3_column_blob(stmt, 1), size_bytes);
        *image_count = (size_t)sqlite3_column_int64(stmt, 0);
    }
    (void)sqlite3_reset(stmt);
    return *bits != NULL ? NS_OK : ns_fail(err, NS_ERR_MEMORY, "out of memory reading the store");
}
