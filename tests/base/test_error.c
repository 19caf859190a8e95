// Status codes and error sentences.

#include <string.h>

#include "tests/ns_test.h"

static void test_status_texts(void **state) {
    (void)state;
#define CHECK(name, value, text) assert_string_equal(ns_status_text(NS_##name), text);
    NS_STATUS_LIST(CHECK)
#undef CHECK
    assert_string_equal(ns_status_text((ns_status)-999), "unknown status");
}

static void test_fail(void **state) {
    (void)state;
    ns_error err = {0};
    assert_int_equal(ns_fail(&err, NS_ERR_IO, "cannot read %s: %d", "a.png", 5), NS_ERR_IO);
    assert_string_equal(err.text, "cannot read a.png: 5");
    assert_int_equal(ns_fail(NULL, NS_ERR_NAN, "nobody listens"), NS_ERR_NAN);
    (void)ns_fail(&err, NS_ERR_IO, "again: %s", err.text); // its own text as an argument
    assert_string_equal(err.text, "again: cannot read a.png: 5");
}

static void test_sentences_print_safely(void **state) {
    (void)state;
    ns_error err = {0};
    (void)ns_fail(&err, NS_ERR_IO, "cannot read %s", "\x1b[2J\xff.png");
    assert_string_equal(err.text, "cannot read \\x1b[2J\\xff.png");
    ns_error_prefix(&err, "in %s", "\xfe");
    assert_string_equal(err.text, "in \\xfe: cannot read \\x1b[2J\\xff.png");
}

static void test_prefix(void **state) {
    (void)state;
    ns_error err = {0};
    (void)ns_fail(&err, NS_ERR_INPUT, "wrong label");
    ns_error_prefix(&err, "line %d", 7);
    assert_string_equal(err.text, "line 7: wrong label");
    ns_error_prefix(NULL, "nobody listens");
}

static void test_long_text_is_cut(void **state) {
    (void)state;
    char text[3 * NS_ERROR_TEXT_MAX];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ns_error err = {0};
    (void)ns_fail(&err, NS_ERR_INPUT, "%s", text);
    assert_int_equal(strlen(err.text), NS_ERROR_TEXT_MAX - 1);
    ns_error_prefix(&err, "file");
    assert_int_equal(strlen(err.text), NS_ERROR_TEXT_MAX - 1);
    assert_memory_equal(err.text, "file: xxx", 9);
    ns_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.text), NS_ERROR_TEXT_MAX - 1);
}

static ns_status try_twice(ns_status first, int *calls) {
    NS_TRY(((*calls)++, first));
    NS_TRY(((*calls)++, NS_ERR_BUSY));
    return NS_OK;
}

static void test_try(void **state) {
    (void)state;
    int calls = 0;
    assert_status(try_twice(NS_ERR_NAN, &calls), NS_ERR_NAN);
    assert_int_equal(calls, 1);
    assert_status(try_twice(NS_OK, &calls), NS_ERR_BUSY);
    assert_int_equal(calls, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_texts),           cmocka_unit_test(test_fail),
        cmocka_unit_test(test_sentences_print_safely), cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_long_text_is_cut),       cmocka_unit_test(test_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
