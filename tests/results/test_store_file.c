// What may be opened: missing, foreign, damaged, newer and older files, two makers at once, a
// reader beside a writer, and folders that cannot be written. Then what the tables refuse by
// themselves, and the time to list many trials.

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "results/results_internal.h"
#include "tests/results/store_fixture.h"

static void write_file(const char *path, const char *text) {
    ns_error err = {0};
    assert_ok(ns_file_write(path, text, strlen(text), &err), &err);
}

/// Runs SQL on the file behind the store's back.
static int raw_sql(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    const int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return code;
}

/// Opening must fail with `status` and a sentence that holds `part`.
static void assert_refused(const char *path, results_mode mode, ns_status status,
                           const char *part) {
    ns_error err = {0};
    results_store *store = NULL;
    assert_status(results_open(path, mode, &store, &err), status);
    assert_null(store);
    if (strstr(err.text, part) == NULL || strstr(err.text, path) == NULL) {
        fail_msg("\"%s\" should name %s and \"%s\"", err.text, path, part);
    }
}

static void test_missing_and_odd_paths(void **unused) {
    (void)unused;
    assert_refused("none.db", RESULTS_READ, NS_ERR_NOT_FOUND, "no store");
    assert_refused("none.db", RESULTS_WRITE, NS_ERR_NOT_FOUND, "no store");
    assert_false(ns_file_exists("none.db"));
    assert_refused(".", RESULTS_CREATE, NS_ERR_IO, "folder");
    assert_refused("/dev/null", RESULTS_READ, NS_ERR_IO, "regular file");
    assert_refused("no/such/folder/x.db", RESULTS_CREATE, NS_ERR_IO, "cannot");
}

static void test_foreign_files(void **unused) {
    (void)unused;
    const results_mode modes[] = {RESULTS_READ, RESULTS_WRITE, RESULTS_CREATE};
    for (size_t i = 0; i < NS_COUNT_OF(modes); i++) {
        write_file("text.db", "label,path\ncat,1.png\nand a good many words more than a header, so "
                              "that it is long enough to be taken for a database at first sight\n");
        assert_refused("text.db", modes[i], NS_ERR_CORRUPT, "not a nightshift store");
        remove_store("other.db");
        assert_int_equal(raw_sql("other.db", "CREATE TABLE notes (a)"), SQLITE_OK);
        assert_refused("other.db", modes[i], NS_ERR_CORRUPT, "another program");
        assert_int_equal(raw_sql("other.db", "INSERT INTO notes VALUES (1)"), SQLITE_OK);
        assert_false(ns_file_exists("other.db-wal")); // and was not turned to WAL
    }
    write_file("empty.db", "");
    assert_refused("empty.db", RESULTS_READ, NS_ERR_CORRUPT, "holds nothing");
    assert_refused("empty.db", RESULTS_WRITE, NS_ERR_CORRUPT, "holds nothing");
    ns_error err = {0};
    results_store *store;
    assert_ok(results_open("empty.db", RESULTS_CREATE, &store, &err), &err);
    results_close(store);
    remove_store("empty.db");
}

static void test_damaged_file(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("damaged", 1000);
    results_close(f.store);
    uint8_t *bytes;
    size_t size_bytes;
    assert_ok(ns_file_read(f.path, 1 << 20, &bytes, &size_bytes, &err), &err);
    results_study study;

    memset(bytes + 4096, 0xa5, size_bytes - 4096); // the first page is the schema's root
    assert_ok(ns_file_write(f.path, bytes, size_bytes, &err), &err);
    ns_status status = results_open(f.path, RESULTS_WRITE, &f.store, &err);
    if (status == NS_OK) {
        status = results_study_get(f.store, "s", &study, &err);
        results_close(f.store);
    }
    assert_status(status, NS_ERR_CORRUPT);
    assert_non_null(strstr(err.text, f.path));

    assert_ok(ns_file_write(f.path, bytes, 5000, &err), &err); // cut short
    assert_refused(f.path, RESULTS_READ, NS_ERR_CORRUPT, "damaged");
    bytes[3] = 'x';
    assert_ok(ns_file_write(f.path, bytes, size_bytes, &err), &err);
    assert_refused(f.path, RESULTS_READ, NS_ERR_CORRUPT, "not a nightshift store");
    free(bytes);
    remove_store(f.path);
}

static void test_newer_and_nameless_versions(void **unused) {
    (void)unused;
    fixture f = fixture_new("newer", 1000);
    results_close(f.store);
    assert_int_equal(
        raw_sql(f.path, "UPDATE version_info SET schema_version = 77, library_version = '9.8.7'"),
        SQLITE_OK);
    const results_mode modes[] = {RESULTS_READ, RESULTS_WRITE, RESULTS_CREATE};
    for (size_t i = 0; i < NS_COUNT_OF(modes); i++) {
        assert_refused(f.path, modes[i], NS_ERR_VERSION, "77");
        assert_refused(f.path, modes[i], NS_ERR_VERSION, "9.8.7");
        assert_refused(f.path, modes[i], NS_ERR_VERSION, NS_VERSION);
    }
    assert_int_equal(raw_sql(f.path, "DELETE FROM version_info"), SQLITE_OK);
    assert_refused(f.path, RESULTS_WRITE, NS_ERR_CORRUPT, "no schema version");
    assert_int_equal(raw_sql(f.path, "DROP TABLE version_info"), SQLITE_OK);
    assert_refused(f.path, RESULTS_WRITE, NS_ERR_CORRUPT, "version_info");
    remove_store(f.path);
}

// The next schema, tried on a store of this one: all of a migration happens or nothing.
static void test_migration(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("migration", 1000);
    const int now = results__migration_count;
    assert_true(now < 16);
    const char *scripts[18];
    memcpy(scripts, results__migrations, (size_t)now * sizeof(*scripts));
    scripts[now] = "CREATE TABLE extra (a); INSERT INTO extra VALUES (1);";
    scripts[now + 1] = "INSERT INTO nowhere VALUES (1);";
    int version;
    assert_status(results__migrate(f.store, scripts, now + 2, &err), NS_ERR_INTERNAL);
    assert_ok(results__schema_version(f.store, now, &version, &err), &err);
    assert_int_equal(version, now);
    assert_ok(results__migrate(f.store, scripts, now + 1, &err), &err);
    assert_ok(results__migrate(f.store, scripts, now + 1, &err), &err); // nothing left to do
    assert_ok(results__schema_version(f.store, now + 1, &version, &err), &err);
    assert_int_equal(version, now + 1);
    results_study study;
    assert_ok(results_study_get(f.store, "s", &study, &err), &err);
    results_study_clear(&study);
    assert_refused(f.path, RESULTS_READ, NS_ERR_VERSION, NS_VERSION);
    fixture_free(&f);
}

// A store of the first schema, with a trial in it, is brought up to date by whoever opens it.
static void test_old_store_is_read(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("old", 1000);
    results_close(f.store);
    remove_store(f.path);
    assert_int_equal(raw_sql(f.path, results__migrations[0]), SQLITE_OK);
    assert_int_equal(
        raw_sql(f.path,
                "INSERT INTO version_info VALUES (1, 1, '0.1.0');"
                "INSERT INTO datasets VALUES (1, 'x.nsd', 'abc');"
                "INSERT INTO studies VALUES (1, 's', 1, '{}', 'COMPLETE', 'done', '', '{}', 9, 0);"
                "INSERT INTO trials (study_id, number, state, genotype, hash, recipe, fidelity_ms,"
                " seed, params, flops) VALUES (1, 0, 'COMPLETE', '{}', 'h', 'r', 1, 1, 1, 1)"),
        SQLITE_OK);
    results_trial *trials;
    size_t count;
    assert_ok(results_open(f.path, RESULTS_READ, &f.store, &err), &err);
    assert_ok(results_trials(f.store, 1, &trials, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_int_equal(trials[0].purpose, RESULTS_SEARCH);
    assert_int_equal(trials[0].rung, 0);
    assert_int_equal(trials[0].source_number, -1);
    results_trials_free(trials, count);
    fixture_free(&f);
}

static void test_reader_beside_writer(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("beside", 100000);
    results_store *reader;
    assert_ok(results_open(f.path, RESULTS_READ, &reader, &err), &err);
    results_claim claim = claim_new(&f, 1, 2, 500);
    assert_ledger(reader, 0, 500);
    assert_ok(results__begin(f.store, &err), &err); // a writer in the middle of its transaction
    const int64_t start_ms = ns_clock_ms();
    assert_ledger(reader, 0, 500);
    assert_true(ns_clock_ms() - start_ms < 2000);
    assert_ok(results__end(f.store, NS_OK, &err), &err);
    int number;
    assert_status(propose_seed(reader, f.study_id, 2, &number), NS_ERR_IO);
    results_close(f.store);
    assert_ledger(reader, 0, 500);
    results_close(reader);
    results_claim_clear(&claim);
    assert_ok(results_open(f.path, RESULTS_READ, &f.store, &err), &err); // nobody else has it
    assert_ledger(f.store, 0, 500);
    fixture_free(&f);
}

// As another user, since root may write anywhere.
static void read_as_nobody(const char *dir, const char *path) {
    ns_error err = {0};
    results_store *store;
    results_study study;
    if ((getuid() == 0 && setuid(65534) != 0) || access(dir, W_OK) == 0) {
        _exit(77);
    }
    if (results_open(path, RESULTS_READ, &store, &err) != NS_OK ||
        results_study_get(store, "s", &study, &err) != NS_OK) {
        print_error("%s\n", err.text);
        _exit(1);
    }
    results_study_clear(&study);
    results_close(store);
    _exit(results_open(path, RESULTS_WRITE, &store, &err) == NS_ERR_IO ? 0 : 2);
}

static void test_folder_that_cannot_be_written(void **unused) {
    (void)unused;
    char dir[] = "/tmp/ns a%20b?c#XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/a store.db", dir);
    fixture f = fixture_new("readonly", 1000);
    results_close(f.store);
    ns_error err = {0};
    uint8_t *bytes;
    size_t size_bytes;
    assert_ok(ns_file_read(f.path, 1 << 20, &bytes, &size_bytes, &err), &err);
    assert_ok(ns_file_write(path, bytes, size_bytes, &err), &err);
    free(bytes);
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(dir, 0555), 0);
    const pid_t child = fork();
    if (child == 0) {
        read_as_nobody(dir, path);
    }
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(chmod(dir, 0755), 0);
    remove_store(path);
    assert_int_equal(rmdir(dir), 0);
    remove_store(f.path);
    if (WEXITSTATUS(code) == 77) {
        print_message("SKIPPED: this user may write everywhere\n");
        skip();
    }
    assert_int_equal(code, 0);
}

// Bugs of ours that the tables refuse, whatever the code above them says.
static void test_tables_keep_the_rules(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("rules", 100000);
    results_claim claim = claim_new(&f, 1, 2, 100), running = claim_new(&f, 2, 2, 100);
    const results_outcome outcome = complete(0.5, 80);
    assert_ok(results_settle(f.store, &claim, &outcome, &err), &err);
    assert_ok(results_beat(f.store, &running, 50, 100, &err), &err);
    static const char second_owner[] =
        "INSERT INTO attempts (study_id, run_id, trial_id, purpose, state, pid, started_unix_ms)"
        " VALUES (1, 1, 2, 'trial', 'RUNNING', 3, 0)";
    const char *const forbidden[] = {
        "UPDATE trials SET detail = 'x' WHERE number = 0",
        "UPDATE trials SET state = 'WAITING' WHERE number = 0",
        "DELETE FROM trials WHERE number = 0",
        "UPDATE trial_values SET value = 1",
        "DELETE FROM trial_values",
        "INSERT INTO trial_values VALUES (1, 'other', 1.0)",
        "UPDATE attempts SET charged_ms = charged_ms + 1 WHERE state = 'DONE'",
        "UPDATE attempts SET charged_ms = charged_ms - 1 WHERE state = 'RUNNING'",
        "UPDATE attempts SET reserved_ms = -1 WHERE state = 'RUNNING'",
        "DELETE FROM attempts",
        "UPDATE trials SET fence = 0 WHERE number = 1",
        "UPDATE trials SET state = 'ASLEEP' WHERE number = 1",
        "UPDATE trials SET state = 'FAIL' WHERE number = 1", // without a reason
        second_owner,
        "UPDATE studies SET result = 'no JSON'",
        "INSERT INTO trial_correct VALUES (1, 9, x'00')", // two bytes hold nine images
        "UPDATE trials SET purpose = 'fun' WHERE number = 1",
    };
    for (size_t i = 0; i < NS_COUNT_OF(forbidden); i++) {
        if (raw_sql(f.path, forbidden[i]) != SQLITE_CONSTRAINT) {
            fail_msg("the tables allowed: %s", forbidden[i]);
        }
    }
    assert_ledger(f.store, 130, 100);
    results_claim_clear(&claim);
    results_claim_clear(&running);
    fixture_free(&f);
}

static void test_full_disk(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("full", 1000);
    assert_ok(results__exec(f.store, "PRAGMA max_page_count = 1", NULL, 0, &err), &err);
    ns_status status = NS_OK;
    for (int i = 0; status == NS_OK && i < 5000; i++) {
        status =
            results_event(f.store, f.study_id, "a line that takes some room in the file", &err);
    }
    assert_status(status, NS_ERR_IO);
    assert_non_null(strstr(err.text, "full.db: no space left"));
    assert_ledger(f.store, 0, 0); // and goes on working
    fixture_free(&f);
}

static void test_many_trials_are_listed_soon(void **unused) {
    (void)unused;
    ns_error err = {0};
    fixture f = fixture_new("many", 1);
    assert_int_equal(
        raw_sql(
            f.path,
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)"
            " INSERT INTO trials (study_id, number, state, genotype, hash, recipe, fidelity_ms,"
            " seed, params, flops, fence) SELECT 1, i, 'RUNNING', '{}', 'h', 'r', 1, i, 1, 1, 1"
            " FROM n;"
            "INSERT INTO trial_values SELECT trial_id, 'val_accuracy', 0.5 FROM trials;"
            "INSERT INTO attempts (study_id, run_id, trial_id, purpose, state, pid, charged_ms,"
            " started_unix_ms, ended_unix_ms) SELECT 1, 1, trial_id, 'trial', 'DONE', 1, 7, 0, 0"
            " FROM trials;"
            "UPDATE trials SET state = 'COMPLETE'"),
        SQLITE_OK);
    const int64_t start_ms = ns_clock_ms();
    results_trial *trials;
    size_t count;
    assert_ok(results_trials(f.store, f.study_id, &trials, &count, &err), &err);
    assert_ledger(f.store, 700000, 0);
    const int64_t took_ms = ns_clock_ms() - start_ms;
    print_message("100,000 trials listed and counted in %lld ms\n", (long long)took_ms);
    assert_int_equal(count, 100000);
    assert_int_equal(trials[99999].number, 99999);
    assert_int_equal(trials[99999].node_ms, 7);
    results_trials_free(trials, count);
    assert_true(took_ms < 2000);
    fixture_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_and_odd_paths),
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_damaged_file),
        cmocka_unit_test(test_newer_and_nameless_versions),
        cmocka_unit_test(test_migration),
        cmocka_unit_test(test_old_store_is_read),
        cmocka_unit_test(test_reader_beside_writer),
        cmocka_unit_test(test_folder_that_cannot_be_written),
        cmocka_unit_test(test_tables_keep_the_rules),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_many_trials_are_listed_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
