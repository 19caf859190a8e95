// Models and events: which files a study has made, and one line for each thing worth remembering.

#include <stdlib.h>
#include <string.h>

#include "results/results_internal.h"

ns_status results_model_set(results_store *store, int64_t study_id, const char *kind,
                            const char *path, const char *weights_sha256, double val_accuracy,
                            int trial_number, ns_error *err) {
    NS_TRY(results__begin(store, err));
    const ns_status status = results__exec(
        store,
        "INSERT INTO models (study_id, kind, path, weights_sha256, val_accuracy, trial_number,"
        "  created_unix_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        "  ON CONFLICT DO UPDATE SET path = ?3, weights_sha256 = ?4, val_accuracy = ?5,"
        "  trial_number = ?6, created_unix_ms = ?7",
        RESULTS__ARGS(results__int(study_id), results__text(kind), results__text(path),
                      results__text(weights_sha256), results__real(val_accuracy),
                      results__int(trial_number), results__int(ns_clock_unix_ms())),
        err);
    return results__end(store, status, err);
}

ns_status results_model_get(results_store *store, int64_t study_id, const char *kind, char *path,
                            double *val_accuracy, int *trial_number, ns_error *err) {
    sqlite3_stmt *stmt;
    bool found;
    NS_TRY(results__query(store,
                          "SELECT path, val_accuracy, trial_number FROM models"
                          "  WHERE study_id = ?1 AND kind = ?2",
                          RESULTS__ARGS(results__int(study_id), results__text(kind)), &stmt, err));
    NS_TRY(results__next(store, stmt, &found, err));
    if (!found) {
        return ns_fail(err, NS_ERR_NOT_FOUND, "store %s: the study has no model \"%s\" yet",
                       store->path, kind);
    }
    const int length = snprintf(path, NS_PATH_MAX, "%s", sqlite3_column_text(stmt, 0));
    *val_accuracy = results__column_real(stmt, 1);
    *trial_number = sqlite3_column_int(stmt, 2);
    (void)sqlite3_reset(stmt);
    return length < NS_PATH_MAX
               ? NS_OK
               : ns_fail(err, NS_ERR_LIMIT, "store %s: the path of model \"%s\" is too long",
                         store->path, kind);
}

ns_status results_event(results_store *store, int64_t study_id, const char *text, ns_error *err) {
    NS_TRY(results__begin(store, err));
    const ns_status status =
        results__exec(store, "INSERT INTO events (study_id, unix_ms, text) VALUES (?1, ?2, ?3)",
                      RESULTS__ARGS(results__int(study_id), results__int(ns_clock_unix_ms()),
                                    results__text(text)),
                      err);
    return results__end(store, status, err);
}
