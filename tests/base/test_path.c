// Paths, folders and reading whole files.

#include <string.h>
#include <sys/stat.h>

#include "tests/ns_test.h"

static void check_join(const char *dir, const char *name, const char *want) {
    ns_error err = {0};
    char got[NS_PATH_MAX];
    assert_ok(ns_path_join(dir, name, got, &err), &err);
    assert_string_equal(got, want);
}

static void test_join(void **state) {
    (void)state;
    check_join("a/b", "c", "a/b/c");
    check_join("a/b/", "c", "a/b/c");
    check_join("/", "c", "/c");
    check_join("", "c", "c");
    check_join("a", "/c d", "/c d");
    char longest[NS_PATH_MAX];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    char out[NS_PATH_MAX];
    assert_status(ns_path_join("a", longest, out, NULL), NS_ERR_LIMIT);
}

static void test_absolute(void **state) {
    (void)state;
    ns_error err = {0};
    char here[NS_PATH_MAX];
    char want[NS_PATH_MAX];
    char got[NS_PATH_MAX];
    assert_ok(ns_path_absolute(".", here, &err), &err);
    assert_int_equal(here[0], '/');
    assert_ok(ns_dir_make("abs", &err), &err);
    assert_ok(ns_path_join(here, "abs/new file", want, &err), &err);
    assert_ok(ns_path_absolute("abs/../abs/./new file", got, &err), &err);
    assert_string_equal(got, want);
    assert_ok(ns_path_absolute("/nowhere-at-all", got, &err), &err);
    assert_string_equal(got, "/nowhere-at-all");
    assert_ok(ns_path_absolute("plain", got, &err), &err);
    assert_ok(ns_path_join(here, "plain", want, &err), &err);
    assert_string_equal(got, want);
    assert_status(ns_path_absolute("no/such/folder/x", got, &err), NS_ERR_NOT_FOUND);
    assert_status(ns_path_absolute("", got, &err), NS_ERR_NOT_FOUND);
}

static void test_dir_make(void **state) {
    (void)state;
    ns_error err = {0};
    assert_ok(ns_dir_make("made/\xc3\xa9t\xc3\xa9 2/c/", &err), &err);
    assert_true(ns_file_exists("made/\xc3\xa9t\xc3\xa9 2/c"));
    assert_ok(ns_dir_make("made/\xc3\xa9t\xc3\xa9 2/c", &err), &err);
    assert_ok(ns_file_write("made/file", "x", 1, &err), &err);
    assert_status(ns_dir_make("made/file/below", &err), NS_ERR_IO);
    assert_string_equal(err.text,
                        "cannot make the folder made/file: a file of that name is in the way");
    assert_status(ns_dir_make("", &err), NS_ERR_INPUT);
}

static void test_read(void **state) {
    (void)state;
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    assert_ok(ns_file_write("ten", "0123456789", 10, &err), &err);
    assert_ok(ns_file_read("ten", 10, &bytes, &size_bytes, &err), &err);
    assert_int_equal(size_bytes, 10);
    assert_string_equal((const char *)bytes, "0123456789");
    free(bytes);
    assert_status(ns_file_read("ten", 9, &bytes, &size_bytes, &err), NS_ERR_LIMIT);
    assert_status(ns_file_read("missing", 9, &bytes, &size_bytes, &err), NS_ERR_NOT_FOUND);
    assert_string_equal(err.text, "cannot read missing: No such file or directory");
    assert_status(ns_file_read(".", 1 << 20, &bytes, &size_bytes, &err), NS_ERR_IO);
    assert_status(ns_file_read("/dev/zero", 100000, &bytes, &size_bytes, &err), NS_ERR_LIMIT);
    assert_ok(ns_file_read("/dev/null", 10, &bytes, &size_bytes, &err), &err);
    assert_int_equal(size_bytes, 0);
    assert_int_equal(bytes[0], 0);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_absolute),
        cmocka_unit_test(test_dir_make),
        cmocka_unit_test(test_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
