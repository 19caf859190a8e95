// The log: levels, the two line formats, one line an event, the tee.

#include <regex.h>
#include <string.h>

#include "tests/ns_test.h"

#define TEE_PATH "tee.log"

static void assert_matches(const char *text, const char *pattern) {
    regex_t compiled;
    assert_int_equal(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    const int result = regexec(&compiled, text, 0, NULL, 0);
    regfree(&compiled);
    if (result != 0) {
        fail_msg("got \"%s\", want it to match %s", text, pattern);
    }
}

// Logs three events at INFO and returns what the stream then holds (malloced).
static char *logged(ns_log_format format, const char *message) {
    ns_error err = {0};
    ns_log *log = NULL;
    char *text = NULL;
    size_t size_bytes = 0;
    FILE *stream = open_memstream(&text, &size_bytes);
    assert_non_null(stream);
    assert_ok(ns_log_new(stream, NS_LOG_INFO, format, &log, &err), &err);
    (void)unlink(TEE_PATH);
    assert_ok(ns_log_tee(log, TEE_PATH, &err), &err);
    ns_log_write(log, NS_LOG_DEBUG, "dropped");
    ns_log_write(log, NS_LOG_WARN, "%s", message);
    ns_log_free(log);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void test_text_line(void **state) {
    (void)state;
    char *text = logged(NS_LOG_TEXT, "trial 7\ndone");
    assert_matches(text, "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} "
                         "warn  trial 7 done\n$");
    free(text);
}

static void test_json_line(void **state) {
    (void)state;
    ns_error err = {0};
    ns_json *json = NULL;
    char *text = logged(NS_LOG_JSON, "quote \" backslash \\ tab \t and \xc3\xa9 and \xff");
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_ok(ns_json_parse(text, &json, &err), &err);
    assert_matches(ns_json_string(json, "time", ""),
                   "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$");
    assert_string_equal(ns_json_string(json, "level", ""), "warn");
    assert_string_equal(ns_json_string(json, "message", ""),
                        "quote \" backslash \\ tab \t and \xc3\xa9 and \xef\xbf\xbd");
    ns_json_free(json);
    free(text);
}

static void test_tee_appends_the_same_lines(void **state) {
    (void)state;
    ns_error err = {0};
    char *text = logged(NS_LOG_TEXT, "kept");
    uint8_t *teed = NULL;
    size_t size_bytes = 0;
    assert_ok(ns_file_read(TEE_PATH, 1000, &teed, &size_bytes, &err), &err);
    assert_string_equal((const char *)teed, text);
    free(teed);
    free(text);
}

static void test_no_log(void **state) {
    (void)state;
    ns_log_write(NULL, NS_LOG_ERROR, "nobody listens");
    ns_log_free(NULL);
}

static void test_tee_that_cannot_be_opened(void **state) {
    (void)state;
    ns_error err = {0};
    ns_log *log = NULL;
    assert_ok(ns_log_new(stderr, NS_LOG_INFO, NS_LOG_TEXT, &log, &err), &err);
    assert_status(ns_log_tee(log, "no/such/folder/log", &err), NS_ERR_IO);
    ns_log_free(log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_line),
        cmocka_unit_test(test_json_line),
        cmocka_unit_test(test_tee_appends_the_same_lines),
        cmocka_unit_test(test_no_log),
        cmocka_unit_test(test_tee_that_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
