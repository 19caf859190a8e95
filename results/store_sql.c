// Statements, transactions and failures: the face of SQLite that the rest of the store sees.
//
// A statement is prepared at its first use and kept until the handle is closed; it is found again
// by the address of its SQL, so the text stands where it is used and no table of names is needed.
// Values are bound from a small typed array, never pasted into the text.

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "results/results_internal.h"

/* ---- failures -------------------------------------------------------------------------------- */

static ns_status fail_constraint(results_store *store, int code, ns_error *err) {
    const char *reason = sqlite3_errmsg(store->db);
    switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
        return ns_fail(err, NS_ERR_EXISTS, "store %s already has it (%s)", store->path, reason);
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return ns_fail(err, NS_ERR_NOT_FOUND, "store %s has no such study, run or trial",
                       store->path);
    default:
        return ns_fail(err, NS_ERR_INTERNAL, "store %s refused a change: %s", store->path, reason);
    }
}

ns_status results__fail(results_store *store, ns_error *err) {
    const int code = sqlite3_extended_errcode(store->db);
    const char *reason = sqlite3_errmsg(store->db);
    if (code == SQLITE_IOERR_NOMEM) {
        return ns_fail(err, NS_ERR_MEMORY, "store %s: out of memory", store->path);
    }
    switch (code & 0xff) { // the primary code of an extended one
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ns_fail(err, NS_ERR_BUSY, "store %s: another process has kept it locked for %d s",
                       store->path, RESULTS__BUSY_MS / 1000);
    case SQLITE_FULL:
        return ns_fail(err, NS_ERR_IO, "store %s: no space left on its disk", store->path);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return ns_fail(err, NS_ERR_IO, "store %s cannot be read or written: %s", store->path,
                       reason);
    case SQLITE_NOTADB:
        return ns_fail(err, NS_ERR_CORRUPT, "%s is not a nightshift store", store->path);
    case SQLITE_CORRUPT:
        return ns_fail(err, NS_ERR_CORRUPT, "store %s is damaged: %s", store->path, reason);
    case SQLITE_NOMEM:
        return ns_fail(err, NS_ERR_MEMORY, "store %s: out of memory", store->path);
    case SQLITE_CONSTRAINT:
        return fail_constraint(store, code, err);
    default:
        return ns_fail(err, NS_ERR_INTERNAL, "store %s: %s", store->path, reason);
    }
}

/* ---- statements ------------------------------------------------------------------------------ */

static ns_status prepare(results_store *store, const char *sql, sqlite3_stmt **out, ns_error *err) {
    assert(store->pid == getpid()); // a handle does not survive fork()
    for (size_t i = 0; i < store->statement_count; i++) {
        if (store->statement[i].sql == sql) {
            *out = store->statement[i].stmt;
            return NS_OK;
        }
    }
    assert(store->statement_count < RESULTS__STATEMENTS_MAX);
    if (sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK) {
        return results__fail(store, err);
    }
    store->statement[store->statement_count++] = (results__statement){.sql = sql, .stmt = *out};
    return NS_OK;
}

static int bind(sqlite3_stmt *stmt, int at, const results__arg *arg) {
    switch (arg->kind) {
    case RESULTS__INT:
        return sqlite3_bind_int64(stmt, at, arg->integer);
    case RESULTS__REAL:
        return sqlite3_bind_double(stmt, at, arg->real);
    case RESULTS__BLOB:
        return sqlite3_bind_blob64(stmt, at, arg->blob, (sqlite3_uint64)arg->integer,
                                   SQLITE_STATIC);
    case RESULTS__NULL:
        return sqlite3_bind_null(stmt, at);
    default: // borrowed: every statement is reset or finished before its caller returns
        return sqlite3_bind_text(stmt, at, arg->text, -1, SQLITE_STATIC);
    }
}

ns_status results__query(results_store *store, const char *sql, const results__arg *args,
                         size_t arg_count, sqlite3_stmt **out, ns_error *err) {
    NS_TRY(prepare(store, sql, out, err));
    assert((size_t)sqlite3_bind_parameter_count(*out) == arg_count);
    for (size_t i = 0; i < arg_count; i++) {
        if (bind(*out, (int)i + 1, &args[i]) != SQLITE_OK) {
            return results__fail(store, err);
        }
    }
    return NS_OK;
}

ns_status results__next(results_store *store, sqlite3_stmt *stmt, bool *found, ns_error *err) {
    const int code = sqlite3_step(stmt);
    *found = code == SQLITE_ROW;
    if (*found) {
        return NS_OK;
    }
    const ns_status status = code == SQLITE_DONE ? NS_OK : results__fail(store, err);
    (void)sqlite3_reset(stmt);
    return status;
}

ns_status results__exec(results_store *store, const char *sql, const results__arg *args,
                        size_t arg_count, ns_error *err) {
    return results__read(store, sql, args, arg_count, NULL, 0, &(bool){false}, err);
}

ns_status results__read(results_store *store, const char *sql, const results__arg *args,
                        size_t arg_count, int64_t *out, size_t out_count, bool *found,
                        ns_error *err) {
    sqlite3_stmt *stmt;
    NS_TRY(results__query(store, sql, args, arg_count, &stmt, err));
    NS_TRY(results__next(store, stmt, found, err));
    for (size_t i = 0; *found && i < out_count; i++) {
        out[i] = sqlite3_column_int64(stmt, (int)i);
    }
    (void)sqlite3_reset(stmt);
    return NS_OK;
}

ns_status results__column_text(sqlite3_stmt *stmt, int column, char **out, ns_error *err) {
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    *out = strdup(text != NULL ? text : "");
    return *out != NULL ? NS_OK : ns_fail(err, NS_ERR_MEMORY, "out of memory reading the store");
}

double results__column_real(sqlite3_stmt *stmt, int column) {
    return sqlite3_column_type(stmt, column) == SQLITE_NULL ? (double)NAN
                                                            : sqlite3_column_double(stmt, column);
}

/* ---- transactions ---------------------------------------------------------------------------- */

// IMMEDIATE takes the write lock at once, when waiting for it is still possible: a transaction that
// read first and then finds that another has written could only fail.
ns_status results__begin(results_store *store, ns_error *err) {
    return results__exec(store, "BEGIN IMMEDIATE", NULL, 0, err);
}

ns_status results__begin_read(results_store *store, ns_error *err) {
    return results__exec(store, "BEGIN DEFERRED", NULL, 0, err);
}

ns_status results__end(results_store *store, ns_status status, ns_error *err) {
    if (status == NS_OK) {
        status = results__exec(store, "COMMIT", NULL, 0, err);
    }
    // A full disk or a failed write may already have rolled back; then there is nothing to undo.
    if (status != NS_OK && sqlite3_get_autocommit(store->db) == 0) {
        (void)results__exec(store, "ROLLBACK", NULL, 0, NULL);
    }
    return status;
}
