// Opening a store: what may be opened, how it is made, and reading beside a writer.
//
// The file is in WAL mode: one writer and any number of readers do not wait for each other. Nothing
// is changed in a file before it is known to be ours. A reader needs the -shm file that a writer
// leaves or that it makes itself; where it can do neither (a read-only folder or medium) and no
// -wal file holds changes still to come, the file is read as it stands.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/results_internal.h"

/* ---- the path -------------------------------------------------------------------------------- */

// SQLite says "unable to open database file" to all of these; a person needs to know which.
static ns_status check_path(const char *path, results_mode mode, ns_error *err) {
    struct stat info;
    if (stat(path, &info) != 0) {
        if (errno == ENOENT && mode != RESULTS_CREATE) {
            return ns_fail(err, NS_ERR_NOT_FOUND, "there is no store %s", path);
        }
        return errno == ENOENT
                   ? NS_OK
                   : ns_fail(err, NS_ERR_IO, "cannot open store %s: %s", path, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return ns_fail(err, NS_ERR_IO, "cannot open store %s: it is a folder", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return ns_fail(err, NS_ERR_IO, "cannot open store %s: it is not a regular file", path);
    }
    if (access(path, mode == RESULTS_READ ? R_OK : R_OK | W_OK) != 0) {
        return ns_fail(err, NS_ERR_IO, "cannot open store %s: %s", path, strerror(errno));
    }
    return NS_OK;
}

static bool has_pending_changes(const char *path) {
    char wal_path[NS_PATH_MAX];
    struct stat info;
    const int length = snprintf(wal_path, sizeof(wal_path), "%s-wal", path);
    return length >= (int)sizeof(wal_path) || (stat(wal_path, &info) == 0 && info.st_size > 0);
}

/// "file:/a%20path?immutable=1", malloced.
static char *immutable_uri(const char *path) {
    static const char suffix[] = "?immutable=1";
    char *uri = malloc(strlen("file:") + 3 * strlen(path) + sizeof(suffix));
    if (uri == NULL) {
        return NULL;
    }
    char *end = stpcpy(uri, "file:");
    for (const char *at = path; *at != '\0'; at++) {
        const bool plain = strchr("?#% ", *at) == NULL;
        end += sprintf(end, plain ? "%c" : "%%%02X", (unsigned char)*at);
    }
    (void)stpcpy(end, suffix);
    return uri;
}

/* ---- the connection -------------------------------------------------------------------------- */

static void disconnect(results_store *store) {
    for (size_t i = 0; i < store->statement_count; i++) {
        (void)sqlite3_finalize(store->statement[i].stmt);
    }
    store->statement_count = 0;
    (void)sqlite3_close(store->db);
    store->db = NULL;
}

static ns_status connect_to(results_store *store, const char *name, int flags, ns_error *err) {
    if (sqlite3_open_v2(name, &store->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        return store->db != NULL ? results__fail(store, err)
                                 : ns_fail(err, NS_ERR_MEMORY, "store %s: out of memory", name);
    }
    (void)sqlite3_extended_result_codes(store->db, 1);
    (void)sqlite3_busy_timeout(store->db, RESULTS__BUSY_MS);
    NS_TRY(results__exec(store, "PRAGMA foreign_keys = ON", NULL, 0, err));
    return results__exec(store, "PRAGMA synchronous = FULL", NULL, 0, err);
}

void results_set_patience(results_store *store, int patience_ms) {
    (void)sqlite3_busy_timeout(store->db, patience_ms);
}

static ns_status require_filled(results_store *store, int version, ns_error *err) {
    return version > 0 ? NS_OK
                       : ns_fail(err, NS_ERR_CORRUPT,
                                 "%s is not a nightshift store: it holds nothing", store->path);
}

/* ---- reading --------------------------------------------------------------------------------- */

static ns_status open_read(results_store *store, bool *is_old, ns_error *err) {
    int version = 0;
    ns_status status = connect_to(store, store->path, SQLITE_OPEN_READONLY, err);
    if (status == NS_OK) {
        status = results__schema_version(store, results__migration_count, &version, err);
    }
    if (status == NS_ERR_IO && !has_pending_changes(store->path)) {
        disconnect(store);
        char *uri = immutable_uri(store->path);
        if (uri == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "store %s: out of memory", store->path);
        }
        status = connect_to(store, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, err);
        free(uri);
        if (status == NS_OK) {
            status = results__schema_version(store, results__migration_count, &version, err);
        }
    }
    NS_TRY(status);
    NS_TRY(require_filled(store, version, err));
    *is_old = version < results__migration_count;
    return NS_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

// Changing the journal mode needs the file alone for a moment, and SQLite does not wait for that by
// itself when two processes make a store at the same time.
static ns_status set_wal(results_store *store, ns_error *err) {
    const int64_t deadline_ms = ns_clock_ms() + RESULTS__BUSY_MS;
    ns_status status;
    sqlite3_stmt *stmt;
    bool found;
    while (true) {
        NS_TRY(results__query(store, "PRAGMA journal_mode = WAL", NULL, 0, &stmt, err));
        status = results__next(store, stmt, &found, err);
        if (status != NS_ERR_BUSY || ns_clock_ms() >= deadline_ms) {
            break;
        }
        ns_sleep_ms(10);
    }
    NS_TRY(status);
    const bool is_wal = strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    (void)sqlite3_reset(stmt);
    return is_wal ? NS_OK
                  : ns_fail(err, NS_ERR_IO, "store %s: its file system cannot hold a WAL file",
                            store->path);
}

static ns_status open_write(results_store *store, results_mode mode, ns_error *err) {
    const int create = mode == RESULTS_CREATE ? SQLITE_OPEN_CREATE : 0;
    int version;
    NS_TRY(connect_to(store, store->path, SQLITE_OPEN_READWRITE | create, err));
    NS_TRY(results__schema_version(store, results__migration_count, &version, err));
    if (mode != RESULTS_CREATE) {
        NS_TRY(require_filled(store, version, err));
    }
    NS_TRY(set_wal(store, err));
    return results__migrate(store, results__migrations, results__migration_count, err);
}

/* ---- an older store, for reading --------------------------------------------------------------
 */

// A reader knows one schema only; changes of it add to what is there, so a search of an older
// program that holds the store goes on beside it.
static ns_status open_read_or_update(results_store *store, ns_error *err) {
    bool is_old = false;
    ns_error why = {0};
    NS_TRY(open_read(store, &is_old, err));
    if (!is_old) {
        return NS_OK;
    }
    disconnect(store);
    if (open_write(store, RESULTS_WRITE, &why) != NS_OK) {
        return ns_fail(err, NS_ERR_VERSION,
                       "store %s has an older schema and cannot be changed: %s", store->path,
                       why.text);
    }
    disconnect(store);
    return open_read(store, &is_old, err);
}

/* ---- public ---------------------------------------------------------------------------------- */

ns_status results_open(const char *path, results_mode mode, results_store **out, ns_error *err) {
    *out = NULL;
    NS_TRY(check_path(path, mode, err));
    results_store *store = calloc(1, sizeof(*store));
    if (store == NULL || (store->path = strdup(path)) == NULL) {
        free(store);
        return ns_fail(err, NS_ERR_MEMORY, "store %s: out of memory", path);
    }
    store->pid = getpid();
    const ns_status status =
        mode == RESULTS_READ ? open_read_or_update(store, err) : open_write(store, mode, err);
    if (status != NS_OK) {
        results_close(store);
        return status;
    }
    *out = store;
    return NS_OK;
}

void results_close(results_store *store) {
    if (store != NULL) {
        disconnect(store);
        free(store->path);
        free(store);
    }
}
