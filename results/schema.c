// The tables of a store, and how an old file becomes a new one.
//
// Migration N (from 0) takes a file of schema version N to N + 1; a new file runs them all. What
// was released is never edited: a change of the schema is one more script at the end. The file's
// header carries our application id, so that another program's SQLite file is told from ours before
// anything is read or written; `version_info` says which schema it has and who wrote it.
//
// Tables have Optuna's names where they mean the same (studies, trials, trial_values,
// trial_intermediate_values). Rules that a bug in our own code must not break are kept by the
// tables themselves: CHECKs, unique indices and triggers, numbered as in store.c.

#include <assert.h>
#include <stdlib.h>

#include "results/results_internal.h"

#define APPLICATION_ID      0x6e736874 // "nsht"
#define APPLICATION_ID_TEXT "1853057140"

static const char version_1[] =
    "PRAGMA application_id = " APPLICATION_ID_TEXT ";"

    "CREATE TABLE version_info ("
    "  version_info_id INTEGER PRIMARY KEY CHECK (version_info_id = 1),"
    "  schema_version INTEGER NOT NULL,"
    "  library_version TEXT NOT NULL"
    ") STRICT;"

    "CREATE TABLE datasets ("
    "  dataset_id INTEGER PRIMARY KEY,"
    "  path TEXT NOT NULL,"
    "  sha256 TEXT NOT NULL,"
    "  UNIQUE (path, sha256)"
    ") STRICT;"

    "CREATE TABLE studies ("
    "  study_id INTEGER PRIMARY KEY,"
    "  study_name TEXT NOT NULL UNIQUE CHECK (study_name <> ''),"
    "  dataset_id INTEGER NOT NULL REFERENCES datasets,"
    "  settings TEXT NOT NULL CHECK (json_valid(settings)),"
    "  state TEXT NOT NULL CHECK (state IN ('RUNNING', 'INTERRUPTED', 'COMPLETE', 'FAIL')),"
    "  phase TEXT NOT NULL,"
    "  stop_reason TEXT NOT NULL,"
    "  result TEXT NOT NULL CHECK (json_valid(result)),"
    "  budget_ms INTEGER NOT NULL CHECK (budget_ms >= 0),"
    "  created_unix_ms INTEGER NOT NULL"
    ") STRICT;"

    "CREATE TABLE runs ("
    "  run_id INTEGER PRIMARY KEY,"
    "  study_id INTEGER NOT NULL REFERENCES studies,"
    "  state TEXT NOT NULL CHECK (state IN ('RUNNING', 'DONE', 'DIED')),"
    "  command TEXT NOT NULL,"
    "  host TEXT NOT NULL,"
    "  version TEXT NOT NULL,"
    "  platform TEXT NOT NULL,"
    "  pid INTEGER NOT NULL,"
    "  started_unix_ms INTEGER NOT NULL,"
    "  ended_unix_ms INTEGER CHECK ((ended_unix_ms IS NULL) = (state = 'RUNNING'))"
    ") STRICT;"
    "CREATE INDEX runs_of_study ON runs (study_id);"

    "CREATE TABLE trials ("
    "  trial_id INTEGER PRIMARY KEY,"
    "  study_id INTEGER NOT NULL REFERENCES studies,"
    "  number INTEGER NOT NULL CHECK (number >= 0),"
    "  state TEXT NOT NULL"
    "    CHECK (state IN ('WAITING', 'RUNNING', 'COMPLETE', 'PRUNED', 'FAIL')),"
    "  fail_reason TEXT"
    "    CHECK (fail_reason IN ('invalid', 'oom', 'nan', 'timeout', 'crash', 'stale')),"
    "  detail TEXT NOT NULL DEFAULT '',"
    "  genotype TEXT NOT NULL,"
    "  hash TEXT NOT NULL,"
    "  recipe TEXT NOT NULL,"
    "  fidelity_ms INTEGER NOT NULL CHECK (fidelity_ms >= 0),"
    "  seed INTEGER NOT NULL," // the 64 bits of an unsigned number
    "  params INTEGER NOT NULL,"
    "  flops INTEGER NOT NULL,"
    "  fence INTEGER NOT NULL DEFAULT 0,"
    "  sample_count INTEGER NOT NULL DEFAULT 0,"
    "  finished_node_ms INTEGER NOT NULL DEFAULT 0,"
    "  CHECK ((fail_reason IS NOT NULL) = (state = 'FAIL')),"
    "  UNIQUE (study_id, number),"
    "  UNIQUE (study_id, hash, recipe, fidelity_ms, seed)"
    ") STRICT;"
    "CREATE INDEX trials_by_state ON trials (study_id, state, number);"
    "CREATE INDEX trials_by_fidelity ON trials (study_id, fidelity_ms, state);"

    "CREATE TABLE trial_values ("
    "  trial_id INTEGER NOT NULL REFERENCES trials,"
    "  objective TEXT NOT NULL," // val_accuracy, val_loss, latency_ms
    "  value REAL NOT NULL,"
    "  PRIMARY KEY (trial_id, objective)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE trial_intermediate_values ("
    "  trial_id INTEGER NOT NULL REFERENCES trials,"
    "  step INTEGER NOT NULL CHECK (step >= 0)," // millionths of the trial's schedule
    "  intermediate_value REAL NOT NULL,"        // validation accuracy
    "  PRIMARY KEY (trial_id, step)"
    ") STRICT, WITHOUT ROWID;"

    // Invariant 6 is the two CHECKs on milliseconds and the trigger on charges.
    "CREATE TABLE attempts ("
    "  attempt_id INTEGER PRIMARY KEY,"
    "  study_id INTEGER NOT NULL REFERENCES studies,"
    "  run_id INTEGER NOT NULL REFERENCES runs,"
    "  trial_id INTEGER REFERENCES trials,"
    "  purpose TEXT NOT NULL," // trial, overhead, retrain, finish
    "  state TEXT NOT NULL CHECK (state IN ('RUNNING', 'DONE', 'RETURNED', 'DIED')),"
    "  pid INTEGER NOT NULL,"
    "  fence INTEGER NOT NULL DEFAULT 0,"
    "  charged_ms INTEGER NOT NULL DEFAULT 0 CHECK (charged_ms >= 0),"
    "  reserved_ms INTEGER NOT NULL DEFAULT 0 CHECK (reserved_ms >= 0),"
    "  started_unix_ms INTEGER NOT NULL,"
    "  ended_unix_ms INTEGER,"
    "  CHECK ((purpose = 'trial') = (trial_id IS NOT NULL)),"
    "  CHECK (reserved_ms = 0 OR state = 'RUNNING'),"
    "  CHECK ((ended_unix_ms IS NULL) = (state = 'RUNNING'))"
    ") STRICT;"
    "CREATE INDEX attempts_charged ON attempts (study_id, charged_ms);"
    "CREATE INDEX attempts_of_run ON attempts (run_id, purpose, charged_ms);"
    "CREATE INDEX attempts_of_trial ON attempts (trial_id, state, charged_ms);"
    "CREATE INDEX attempts_running ON attempts (study_id, reserved_ms) WHERE state = 'RUNNING';"
    // Invariant 3: one owner at a time.
    "CREATE UNIQUE INDEX attempts_owner ON attempts (trial_id) WHERE state = 'RUNNING';"
    "CREATE UNIQUE INDEX attempts_overhead ON attempts (run_id) WHERE purpose = 'overhead';"

    "CREATE VIEW ledger AS"
    "  SELECT study_id, study_name, budget_ms,"
    "    coalesce((SELECT sum(charged_ms) FROM attempts AS a"
    "      WHERE a.study_id = s.study_id), 0) AS charged_ms,"
    "    coalesce((SELECT sum(reserved_ms) FROM attempts AS a"
    "      WHERE a.study_id = s.study_id AND a.state = 'RUNNING'), 0) AS reserved_ms"
    "  FROM studies AS s;"

    "CREATE TABLE models ("
    "  study_id INTEGER NOT NULL REFERENCES studies,"
    "  kind TEXT NOT NULL,"
    "  path TEXT NOT NULL,"
    "  weights_sha256 TEXT NOT NULL,"
    "  val_accuracy REAL,"
    "  trial_number INTEGER NOT NULL,"
    "  created_unix_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (study_id, kind)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE events ("
    "  event_id INTEGER PRIMARY KEY,"
    "  study_id INTEGER NOT NULL REFERENCES studies,"
    "  unix_ms INTEGER NOT NULL,"
    "  text TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX events_of_study ON events (study_id);"

    // Invariant 4.
    "CREATE TRIGGER trials_finished_kept BEFORE UPDATE ON trials"
    "  WHEN OLD.state IN ('COMPLETE', 'PRUNED', 'FAIL')"
    "  BEGIN SELECT raise(ABORT, 'a finished trial is never changed'); END;"
    "CREATE TRIGGER trials_finished_not_deleted BEFORE DELETE ON trials"
    "  WHEN OLD.state IN ('COMPLETE', 'PRUNED', 'FAIL')"
    "  BEGIN SELECT raise(ABORT, 'a finished trial is never deleted'); END;"
    "CREATE TRIGGER trial_values_kept BEFORE UPDATE ON trial_values"
    "  BEGIN SELECT raise(ABORT, 'the value of a trial is never changed'); END;"
    "CREATE TRIGGER trial_values_not_deleted BEFORE DELETE ON trial_values"
    "  BEGIN SELECT raise(ABORT, 'the value of a trial is never deleted'); END;"
    "CREATE TRIGGER trial_values_in_time BEFORE INSERT ON trial_values"
    "  WHEN (SELECT state FROM trials WHERE trial_id = NEW.trial_id) <> 'RUNNING'"
    "  BEGIN SELECT raise(ABORT, 'only a running trial is given values'); END;"
    "CREATE TRIGGER attempts_ended_kept BEFORE UPDATE ON attempts"
    "  WHEN OLD.state <> 'RUNNING'"
    "  BEGIN SELECT raise(ABORT, 'an ended attempt is never changed'); END;"
    // Invariants 2 and 3.
    "CREATE TRIGGER trials_transition BEFORE UPDATE OF state ON trials"
    "  WHEN NOT (OLD.state = 'WAITING' AND NEW.state = 'RUNNING'"
    "    OR OLD.state = 'RUNNING' AND NEW.state <> 'RUNNING')"
    "  BEGIN SELECT raise(ABORT, 'no such change of a trial''s state'); END;"
    "CREATE TRIGGER trials_fence_rises BEFORE UPDATE OF fence ON trials"
    "  WHEN NEW.fence <= OLD.fence"
    "  BEGIN SELECT raise(ABORT, 'a fence only rises'); END;"
    // Invariant 6.
    "CREATE TRIGGER attempts_charge_grows BEFORE UPDATE OF charged_ms ON attempts"
    "  WHEN NEW.charged_ms < OLD.charged_ms"
    "  BEGIN SELECT raise(ABORT, 'a charge never falls'); END;"
    "CREATE TRIGGER attempts_not_deleted BEFORE DELETE ON attempts"
    "  BEGIN SELECT raise(ABORT, 'an attempt is never deleted'); END;";

// Trials at several fidelities, repeats of a trial, and what each validated network got right.
static const char version_2[] =
    "ALTER TABLE trials ADD COLUMN purpose TEXT NOT NULL DEFAULT 'search'"
    "  CHECK (purpose IN ('search', 'confirm'));"
    "ALTER TABLE trials ADD COLUMN rung INTEGER NOT NULL DEFAULT 0 CHECK (rung >= 0);"
    "ALTER TABLE trials ADD COLUMN source_number INTEGER" // NULL: no repeat
    "  CHECK (source_number IS NULL OR source_number < number);"

    "CREATE TABLE trial_correct ("
    "  trial_id INTEGER PRIMARY KEY REFERENCES trials,"
    "  image_count INTEGER NOT NULL CHECK (image_count > 0),"
    "  bits BLOB NOT NULL CHECK (length(bits) = (image_count + 7) / 8)"
    ") STRICT;"
    "CREATE TRIGGER trial_correct_kept BEFORE UPDATE ON trial_correct"
    "  BEGIN SELECT raise(ABORT, 'what a trial got right is never changed'); END;";

// Work under a budget of compute: what of an attempt's FLOPs is part of the result (store_work.c).
static const char version_3[] =
    "ALTER TABLE attempts ADD COLUMN work_flop INTEGER NOT NULL DEFAULT 0 CHECK (work_flop >= 0);"
    "CREATE INDEX attempts_work ON attempts (study_id, purpose, state, work_flop, charged_ms);";

// What a study that began warm knew of its space: its own copy, whatever becomes of the earlier study.
static const char version_4[] =
    "CREATE TABLE study_earlier ("
    "  study_id INTEGER NOT NULL REFERENCES studies,"
    "  position INTEGER NOT NULL CHECK (position >= 0),"
    "  genotype TEXT NOT NULL,"
    "  value REAL NOT NULL,"
    "  is_same_data INTEGER NOT NULL CHECK (is_same_data IN (0, 1)),"
    "  PRIMARY KEY (study_id, position)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER study_earlier_kept BEFORE UPDATE ON study_earlier"
    "  BEGIN SELECT raise(ABORT, 'what a study began with is never changed'); END;";

const char *const results__migrations[] = {version_1, version_2, version_3, version_4};
const int results__migration_count = (int)NS_COUNT_OF(results__migrations);

/* ---- which version is it ----------------------------------------------------------------------
 */

static ns_status read_int(results_store *store, const char *sql, int64_t *out, ns_error *err) {
    bool found;
    *out = 0;
    return results__read(store, sql, NULL, 0, out, 1, &found, err);
}

static ns_status fail_newer(results_store *store, int64_t version, int known, ns_error *err) {
    sqlite3_stmt *stmt;
    char *writer = NULL;
    bool found = false;
    NS_TRY(results__query(store, "SELECT library_version FROM version_info", NULL, 0, &stmt, err));
    ns_status status = results__next(store, stmt, &found, err);
    if (status == NS_OK && found) {
        status = results__column_text(stmt, 0, &writer, err);
    }
    (void)sqlite3_reset(stmt);
    if (status == NS_OK) {
        status = ns_fail(err, NS_ERR_VERSION,
                         "store %s has schema version %lld, made by nightshift %s; this is "
                         "nightshift " NS_VERSION ", which knows versions up to %d",
                         store->path, (long long)version, writer != NULL ? writer : "?", known);
    }
    free(writer);
    return status;
}

ns_status results__schema_version(results_store *store, int migration_count, int *version,
                                  ns_error *err) {
    int64_t application, table_count, has_info, found_version;
    *version = 0;
    // In this order: whoever fills the file meanwhile writes both at once, and tables seen without
    // an id would look like another program's.
    NS_TRY(read_int(store, "SELECT count(*) FROM sqlite_master", &table_count, err));
    NS_TRY(read_int(store, "PRAGMA application_id", &application, err));
    if (application == 0 && table_count == 0) {
        return NS_OK;
    }
    if (application != APPLICATION_ID) {
        return ns_fail(err, NS_ERR_CORRUPT,
                       "%s is an SQLite file of another program, not a nightshift store",
                       store->path);
    }
    NS_TRY(read_int(store, "SELECT count(*) FROM sqlite_master WHERE name = 'version_info'",
                    &has_info, err));
    if (has_info == 0) {
        return ns_fail(err, NS_ERR_CORRUPT, "store %s is damaged: its table version_info is gone",
                       store->path);
    }
    NS_TRY(read_int(store, "SELECT schema_version FROM version_info", &found_version, err));
    if (found_version < 1) {
        return ns_fail(err, NS_ERR_CORRUPT, "store %s is damaged: it names no schema version",
                       store->path);
    }
    if (found_version > migration_count) {
        return fail_newer(store, found_version, migration_count, err);
    }
    *version = (int)found_version;
    return NS_OK;
}

/* ---- bringing it up to date -------------------------------------------------------------------
 */

static ns_status run_script(results_store *store, const char *script, ns_error *err) {
    if (sqlite3_exec(store->db, script, NULL, NULL, NULL) != SQLITE_OK) {
        return results__fail(store, err);
    }
    return NS_OK;
}

// The version is read again inside: between the first look and this lock another process may have
// done the work.
static ns_status migrate(results_store *store, const char *const *migrations, int migration_count,
                         ns_error *err) {
    int version;
    NS_TRY(results__schema_version(store, migration_count, &version, err));
    if (version == migration_count) {
        return NS_OK;
    }
    for (int i = version; i < migration_count; i++) {
        NS_TRY(run_script(store, migrations[i], err));
    }
    return results__exec(store,
                         "INSERT INTO version_info VALUES (1, ?1, ?2)"
                         "  ON CONFLICT DO UPDATE SET schema_version = ?1, library_version = ?2",
                         RESULTS__ARGS(results__int(migration_count), results__text(NS_VERSION)),
                         err);
}

ns_status results__migrate(results_store *store, const char *const *migrations, int migration_count,
                           ns_error *err) {
    assert(migration_count > 0);
    NS_TRY(results__begin(store, err));
    return results__end(store, migrate(store, migrations, migration_count, err), err);
}
