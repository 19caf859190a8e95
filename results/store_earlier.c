// What a study began with: the points that an earlier one had measured, in their order. Written with
// the study itself and never changed, so that every process of every run proposes from the same.

#include <stdlib.h>

#include "results/results_internal.h"

ns_status results__earlier_add(results_store *store, int64_t study_id,
                               const results_earlier *earlier, size_t count, ns_error *err) {
    for (size_t i = 0; i < count; i++) {
        NS_TRY(results__exec(
            store,
            "INSERT INTO study_earlier (study_id, position, genotype, value, is_same_data)"
            "  VALUES (?1, ?2, ?3, ?4, ?5)",
            RESULTS__ARGS(results__int(study_id), results__int((int64_t)i),
                          results__text(earlier[i].genotype), results__real(earlier[i].value),
                          results__int(earlier[i].is_same_data ? 1 : 0)),
            err));
    }
    return NS_OK;
}

static ns_status read_rows(results_store *store, int64_t study_id, results_earlier **out,
                           size_t *count, ns_error *err) {
    int64_t total = 0;
    bool found;
    sqlite3_stmt *stmt;
    NS_TRY(results__read(store, "SELECT count(*) FROM study_earlier WHERE study_id = ?1",
                         RESULTS__ARGS(results__int(study_id)), &total, 1, &found, err));
    *out = calloc((size_t)total + 1, sizeof(**out));
    if (*out == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory reading %lld points", (long long)total);
    }
    NS_TRY(results__query(store,
                          "SELECT genotype, value, is_same_data FROM study_earlier"
                          "  WHERE study_id = ?1 ORDER BY position",
                          RESULTS__ARGS(results__int(study_id)), &stmt, err));
    ns_status status = results__next(store, stmt, &found, err);
    while (status == NS_OK && found) {
        results_earlier *row = &(*out)[(*count)++];
        row->value = sqlite3_column_double(stmt, 1);
        row->is_same_data = sqlite3_column_int(stmt, 2) != 0;
        status = results__column_text(stmt, 0, &row->genotype, err);
        status = status == NS_OK ? results__next(store, stmt, &found, err) : status;
    }
    (void)sqlite3_reset(stmt);
    return status;
}

ns_status results_earlier_get(results_store *store, int64_t study_id, results_earlier **out,
                              size_t *count, ns_error *err) {
    *out = NULL;
    *count = 0;
    NS_TRY(results__begin_read(store, err));
    const ns_status status = results__end(store, read_rows(store, study_id, out, count, err), err);
    if (status != NS_OK) {
        results_earlier_free(*out, *count);
        *out = NULL;
        *count = 0;
    }
    return status;
}

void results_earlier_free(results_earlier *earlier, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(earlier[i].genotype);
    }
    free(earlier);
}
