// Finding parts of a JSON text, also of one that is broken.

#include <string.h>

#include "base/base.h"
#include "tests/ns_test.h"

static ns_json_span span_of(const char *text) {
    return (ns_json_span){text, strlen(text)};
}

static void assert_span(ns_json_span span, const char *want) {
    if (span.size_bytes != strlen(want) || memcmp(span.text, want, span.size_bytes) != 0) {
        fail_msg("got %.*s, want %s", (int)span.size_bytes, span.text, want);
    }
}

static void test_members_are_found(void **state) {
    (void)state;
    const ns_json_span object =
        span_of(" {\"a\": 1, \"b\\\"\" : \"x}\", \"c\":[ {\"d\":\"]\"} , 2],\n\"d\": null }");
    ns_json_span value;
    assert_true(ns_json_scan_member(object, "a", &value));
    assert_span(value, "1");
    assert_true(ns_json_scan_member(object, "c", &value));
    assert_span(value, "[ {\"d\":\"]\"} , 2]");
    assert_true(ns_json_scan_member(object, "d", &value)); // of this object, not of one inside
    assert_span(value, "null");
    assert_false(ns_json_scan_member(object, "e", &value));
}

static void test_elements_come_in_turn(void **state) {
    (void)state;
    const ns_json_span array = span_of("[1, \"a,b\", {\"x\": [2]}, true ]");
    static const char *const want[] = {"1", "\"a,b\"", "{\"x\": [2]}", "true"};
    size_t offset = 0;
    ns_json_span element;
    for (size_t i = 0; i < NS_COUNT_OF(want); i++) {
        assert_true(ns_json_scan_element(array, &offset, &element));
        assert_span(element, want[i]);
    }
    assert_false(ns_json_scan_element(array, &offset, &element));
    offset = 0;
    assert_false(ns_json_scan_element(span_of("[ ]"), &offset, &element));
}

/// Every beginning of a text: nothing is read behind its end, and every walk ends.
static void test_broken_texts_end(void **state) {
    (void)state;
    const char text[] = "{\"a\": \"b\\\"\", \"list\": [1, {\"c\": \"d\"}, [[]], \"e\"], \"z\": 3}";
    for (size_t length = 0; length < sizeof(text); length++) {
        const ns_json_span object = {text, length};
        ns_json_span value;
        ns_json_span element;
        size_t offset = 0;
        if (ns_json_scan_member(object, "list", &value)) {
            while (ns_json_scan_element(value, &offset, &element)) {
                assert_in_range(element.size_bytes, 1, length);
            }
        }
        assert_int_equal(ns_json_scan_member(object, "z", &value), length >= sizeof(text) - 2);
    }
    ns_json_span value;
    assert_false(ns_json_scan_member(span_of("[1]"), "a", &value));
    assert_false(ns_json_scan_member(span_of("{\"a\" 1}"), "a", &value));
    assert_false(ns_json_scan_member(span_of("{\"a\":}"), "a", &value));
    assert_false(ns_json_scan_member(span_of("{,}"), "a", &value));
}

static void test_parts_are_parsed(void **state) {
    (void)state;
    ns_error err = {0};
    ns_json *json = NULL;
    ns_json_span value;
    assert_true(ns_json_scan_member(span_of("{\"x\": {\"y\": 7}, \"z\": 1}"), "x", &value));
    assert_ok(ns_json_parse_span(value, &json, &err), &err);
    assert_int_equal(ns_json_int(json, "y", 0), 7);
    ns_json_free(json);
    assert_int_not_equal(ns_json_parse_span(span_of("{\"y\""), &json, &err), NS_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_are_found),
        cmocka_unit_test(test_elements_come_in_turn),
        cmocka_unit_test(test_broken_texts_end),
        cmocka_unit_test(test_parts_are_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
