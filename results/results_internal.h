// What the files of the store share: the handle, the schema, and a thin face over SQLite that makes
// the common statement one line. Only schema.c and store*.c include this.

#ifndef NS_RESULTS_INTERNAL_H
#define NS_RESULTS_INTERNAL_H

#include <math.h>
#include <sqlite3.h>
#include <sys/types.h>

#include "results/results.h"

/* ---- the handle ------------------------------------------------------------------------------ */

#define RESULTS__STATEMENTS_MAX 64
#define RESULTS__BUSY_MS        10000

/// One prepared statement. The key is the address of its SQL, a string literal where it is used.
typedef struct results__statement {
    const char *sql;
    sqlite3_stmt *stmt;
} results__statement;

struct results_store {
    sqlite3 *db;
    char *path;
    pid_t pid; // the process it belongs to
    size_t statement_count;
    results__statement statement[RESULTS__STATEMENTS_MAX];
};

/* ---- statements (store_sql.c) ---------------------------------------------------------------- */

/// One value to bind, in the order ?1, ?2, ...
typedef struct results__arg {
    enum { RESULTS__INT, RESULTS__REAL, RESULTS__TEXT, RESULTS__BLOB, RESULTS__NULL } kind;
    int64_t integer;  // of a blob: its bytes
    double real;      // NaN binds NULL
    const char *text; // NULL binds NULL
    const void *blob;
} results__arg;

static inline results__arg results__int(int64_t value) {
    return (results__arg){.kind = RESULTS__INT, .integer = value};
}
static inline results__arg results__real(double value) {
    return (results__arg){.kind = RESULTS__REAL, .real = value};
}
static inline results__arg results__text(const char *value) {
    return (results__arg){.kind = RESULTS__TEXT, .text = value};
}
static inline results__arg results__blob(const void *bytes, size_t size_bytes) {
    return (results__arg){.kind = RESULTS__BLOB, .blob = bytes, .integer = (int64_t)size_bytes};
}
/// NULL where the number is below 0.
static inline results__arg results__int_or_null(int64_t value) {
    return (results__arg){.kind = value < 0 ? RESULTS__NULL : RESULTS__INT, .integer = value};
}

/// The two arguments (args, arg_count) of the calls below.
#define RESULTS__ARGS(...)                                                                         \
    (const results__arg[]){__VA_ARGS__},                                                           \
        sizeof((const results__arg[]){__VA_ARGS__}) / sizeof(results__arg)

/// Runs a statement that gives no rows.
ns_status results__exec(results_store *store, const char *sql, const results__arg *args,
                        size_t arg_count, ns_error *err);
/// Reads the first row as `out_count` integers (NULL reads 0); `*found` is false without a row.
ns_status results__read(results_store *store, const char *sql, const results__arg *args,
                        size_t arg_count, int64_t *out, size_t out_count, bool *found,
                        ns_error *err);
/// For queries of many columns or rows: bind, then results__next until `*found` is false. Who
/// leaves earlier calls sqlite3_reset.
ns_status results__query(results_store *store, const char *sql, const results__arg *args,
                         size_t arg_count, sqlite3_stmt **out, ns_error *err);
ns_status results__next(results_store *store, sqlite3_stmt *stmt, bool *found, ns_error *err);
/// Column as a malloced string ("" for NULL). NS_ERR_MEMORY.
ns_status results__column_text(sqlite3_stmt *stmt, int column, char **out, ns_error *err);
/// Column as a number, NaN for NULL.
double results__column_real(sqlite3_stmt *stmt, int column);

/// Every public call that writes is `NS_TRY(begin)` and `return end(store, its work, err)`:
/// committed when the work returned NS_OK, undone otherwise.
ns_status results__begin(results_store *store, ns_error *err);
/// The same for several reads that must see one moment; takes no lock that a writer waits for.
ns_status results__begin_read(results_store *store, ns_error *err);
ns_status results__end(results_store *store, ns_status status, ns_error *err);

/// Turns SQLite's latest failure on this handle into a status and a sentence.
ns_status results__fail(results_store *store, ns_error *err);

/* ---- schema (schema.c) ----------------------------------------------------------------------- */

extern const char *const results__migrations[];
extern const int results__migration_count; // and so the newest schema version this program knows

/// Refuses what is no store of ours (NS_ERR_CORRUPT) or a newer one (NS_ERR_VERSION); `*version` is
/// 0 for a file that holds nothing yet.
ns_status results__schema_version(results_store *store, int migration_count, int *version,
                                  ns_error *err);
/// Brings the file to version `migration_count` in one transaction; nothing when it is there.
ns_status results__migrate(results_store *store, const char *const *migrations, int migration_count,
                           ns_error *err);

/* ---- attempts (store_run.c) ------------------------------------------------------------------ */

/// `*open` says whether the attempt is running; false when its owner has ended it, as happens when
/// a call is repeated. NS_ERR_FENCED when it was reaped.
ns_status results__attempt_open(results_store *store, int64_t attempt_id, bool *open,
                                ns_error *err);
/// Charges `charged_ms` in all (never less than before) and reserves `reserve_ms` anew, or as much
/// as the budget has left.
ns_status results__attempt_book(results_store *store, int64_t attempt_id, int64_t charged_ms,
                                int64_t reserve_ms, ns_error *err);
/// The last booking: charges, refunds the reservation; `state` is "DONE" or "RETURNED".
ns_status results__attempt_end(results_store *store, int64_t attempt_id, int64_t charged_ms,
                               const char *state, ns_error *err);
/// Study of a run that is still going on; NS_ERR_FENCED when it has ended or was reaped.
ns_status results__run_study(results_store *store, int64_t run_id, int64_t *study_id,
                             ns_error *err);
/// Ends the run itself; `state` is "DONE" or "DIED".
ns_status results__run_close(results_store *store, int64_t run_id, const char *state,
                             ns_error *err);

/* ---- work (store_work.c) --------------------------------------------------------------------- */

ns_status results__attempt_work(results_store *store, int64_t attempt_id, int64_t work_flop,
                                ns_error *err);

/* ---- what studies begin with (store_earlier.c) ----------------------------------------------- */

/// Part of adding the study.
ns_status results__earlier_add(results_store *store, int64_t study_id,
                               const results_earlier *earlier, size_t count, ns_error *err);

/* ---- trials (store_trial.c) ------------------------------------------------------------------ */

/// A fraction of a schedule as the integer it is stored by.
int64_t results__step_of(double fraction);

#endif
