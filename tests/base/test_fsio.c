// Atomic files: whole or not at all, whatever fails; two writers; a writer that was killed.

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/ns_test.h"

static void assert_content(const char *path, const char *want) {
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    assert_ok(ns_file_read(path, 1 << 20, &bytes, &size_bytes, &err), &err);
    assert_string_equal((const char *)bytes, want);
    free(bytes);
}

static void test_commit_replaces(void **state) {
    (void)state;
    ns_error err = {0};
    ns_atomic_file *file = NULL;
    assert_ok(ns_file_write("a", "old and longer", 14, &err), &err);
    assert_ok(ns_atomic_open("a", &file, &err), &err);
    assert_ok(ns_atomic_write(file, "____-", 5, &err), &err);
    assert_content("a", "old and longer");
    assert_ok(ns_atomic_write(file, "body", 4, &err), &err);
    assert_ok(ns_atomic_write_at(file, "head", 4, 0, &err), &err);
    assert_ok(ns_atomic_write(file, "!", 1, &err), &err);
    assert_ok(ns_atomic_commit(file, &err), &err);
    assert_content("a", "head-body!");
    assert_false(ns_file_exists("a.tmp"));
}

static void test_abort_keeps_the_old(void **state) {
    (void)state;
    ns_error err = {0};
    ns_atomic_file *file = NULL;
    assert_ok(ns_file_write("b", "old", 3, &err), &err);
    assert_ok(ns_atomic_open("b", &file, &err), &err);
    assert_ok(ns_atomic_write(file, "new", 3, &err), &err);
    ns_atomic_abort(file);
    ns_atomic_abort(NULL);
    assert_content("b", "old");
    assert_false(ns_file_exists("b.tmp"));
}

// A full disk, played by a limit on the size of files.
static void test_failed_write_keeps_the_old(void **state) {
    (void)state;
    ns_error err = {0};
    ns_atomic_file *file = NULL;
    assert_ok(ns_file_write("c", "old", 3, &err), &err);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {.rlim_cur = 100000, .rlim_max = before.rlim_max};
    void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);

    static uint8_t block[1 << 20];
    assert_ok(ns_atomic_open("c", &file, &err), &err);
    const ns_status wrote = ns_atomic_write(file, block, sizeof(block), &err);
    const ns_status committed = ns_atomic_commit(file, &err);
    (void)setrlimit(RLIMIT_FSIZE, &before);
    (void)signal(SIGXFSZ, handler);
    assert_status(wrote, NS_ERR_IO);
    assert_status(committed, NS_ERR_IO);
    assert_content("c", "old");
    assert_false(ns_file_exists("c.tmp"));
}

// The same, noticed only when the buffer is flushed at commit.
static void test_failed_flush_keeps_the_old(void **state) {
    (void)state;
    ns_error err = {0};
    ns_atomic_file *file = NULL;
    assert_ok(ns_file_write("d", "old", 3, &err), &err);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {.rlim_cur = 10, .rlim_max = before.rlim_max};
    void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_ok(ns_atomic_open("d", &file, &err), &err);
    assert_ok(ns_atomic_write(file, "more than ten bytes", 19, &err), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const ns_status committed = ns_atomic_commit(file, &err);
    (void)setrlimit(RLIMIT_FSIZE, &before);
    (void)signal(SIGXFSZ, handler);
    assert_status(committed, NS_ERR_IO);
    assert_non_null(strstr(err.text, "File too large"));
    assert_content("d", "old");
    assert_false(ns_file_exists("d.tmp"));
}

static void test_remains_of_a_killed_writer(void **state) {
    (void)state;
    ns_error err = {0};
    FILE *remains = fopen("e.tmp", "w");
    assert_non_null(remains);
    assert_true(fputs("half of something long", remains) >= 0);
    assert_int_equal(fclose(remains), 0);
    assert_ok(ns_file_write("e", "new", 3, &err), &err);
    assert_content("e", "new");
    assert_false(ns_file_exists("e.tmp"));
}

static void test_two_writers_take_turns(void **state) {
    (void)state;
    enum { WRITERS = 4, ROUNDS = 25, SIZE_BYTES = 5000 };
    pid_t writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        if (writers[i] == 0) {
            char block[SIZE_BYTES];
            memset(block, 'a' + i, sizeof(block));
            ns_status status = NS_OK;
            for (int round = 0; status == NS_OK && round < ROUNDS; round++) {
                status = ns_file_write("f", block, sizeof(block), NULL);
            }
            _exit(-(int)status);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int wait_status = 0;
        assert_int_equal(waitpid(writers[i], &wait_status, 0), writers[i]);
        assert_int_equal(wait_status, 0);
    }
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    assert_ok(ns_file_read("f", 1 << 20, &bytes, &size_bytes, &err), &err);
    assert_int_equal(size_bytes, SIZE_BYTES);
    for (size_t i = 1; i < size_bytes; i++) {
        assert_int_equal(bytes[i], bytes[0]);
    }
    free(bytes);
    assert_false(ns_file_exists("f.tmp"));
}

static void test_symbolic_link_stays(void **state) {
    (void)state;
    ns_error err = {0};
    struct stat info;
    (void)unlink("link");
    assert_ok(ns_file_write("target", "old", 3, &err), &err);
    assert_int_equal(symlink("target", "link"), 0);
    assert_ok(ns_file_write("link", "new", 3, &err), &err);
    assert_content("target", "new");
    assert_int_equal(lstat("link", &info), 0);
    assert_true(S_ISLNK(info.st_mode));
}

static void test_refused_places(void **state) {
    (void)state;
    ns_error err = {0};
    ns_atomic_file *file = NULL;
    assert_status(ns_atomic_open("no/such/folder/x", &file, &err), NS_ERR_NOT_FOUND);
    assert_status(ns_atomic_open("/dev/full", &file, &err), NS_ERR_IO);
    assert_string_equal(err.text, "cannot write /dev/full: it is not a regular file");
    assert_ok(ns_dir_make("folder", &err), &err);
    assert_status(ns_atomic_open("folder", &file, &err), NS_ERR_IO);
    assert_string_equal(err.text, "cannot write folder: it is a folder");
    assert_null(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_replaces),
        cmocka_unit_test(test_abort_keeps_the_old),
        cmocka_unit_test(test_failed_write_keeps_the_old),
        cmocka_unit_test(test_failed_flush_keeps_the_old),
        cmocka_unit_test(test_remains_of_a_killed_writer),
        cmocka_unit_test(test_two_writers_take_turns),
        cmocka_unit_test(test_symbolic_link_stays),
        cmocka_unit_test(test_refused_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
