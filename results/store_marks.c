// What a trial reported on its way, for who draws it.

#include "results/results_internal.h"

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
