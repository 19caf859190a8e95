// JSON: round trips (64-bit integers, doubles to the bit, text), order, fallbacks, bad text.

#include <float.h>
#include <math.h>
#include <string.h>

#include "tests/ns_test.h"

static char *printed(const ns_json *json) {
    ns_error err = {0};
    char *text = NULL;
    assert_ok(ns_json_print(json, false, &text, &err), &err);
    return text;
}

static ns_json *parsed(const char *text) {
    ns_error err = {0};
    ns_json *json = NULL;
    assert_ok(ns_json_parse(text, &json, &err), &err);
    return json;
}

static void test_build_and_print(void **state) {
    (void)state;
    ns_json *object = ns_json_object_new();
    ns_json_set_string(object, "name", "na\xc3\xafve \"x\"");
    ns_json_set_string(object, "none", NULL);
    ns_json_set_int(object, "count", -3);
    ns_json_set_number(object, "rate", 0.1);
    ns_json_set_number(object, "bad", NAN);
    ns_json_set_bool(object, "on", true);
    ns_json_set_null(object, "nil");
    ns_json *list = ns_json_set(object, "list", ns_json_array_new());
    ns_json_add_int(list, 1);
    ns_json_add_number(list, 2.5);
    ns_json_add_string(list, "three");
    ns_json_set_int(ns_json_add(list, ns_json_object_new()), "k", 4);
    ns_json_set_int(object, "count", 7); // takes the old one's place
    char *text = printed(object);
    assert_string_equal(text, "{\"name\":\"na\xc3\xafve \\\"x\\\"\",\"none\":null,\"count\":7,"
                              "\"rate\":0.1,\"bad\":null,\"on\":true,\"nil\":null,"
                              "\"list\":[1,2.5,\"three\",{\"k\":4}]}");
    free(text);
    ns_json_free(object);
    ns_json_free(NULL);
}

static void test_integers_are_exact(void **state) {
    (void)state;
    static const int64_t values[] = {0,         1,         -1,           (INT64_C(1) << 53) + 1,
                                     INT64_MAX, INT64_MIN, INT64_MAX - 1};
    ns_json *array = ns_json_array_new();
    for (size_t i = 0; i < NS_COUNT_OF(values); i++) {
        ns_json_set_int(ns_json_add(array, ns_json_object_new()), "v", values[i]);
    }
    char *text = printed(array);
    ns_json *again = parsed(text);
    for (size_t i = 0; i < NS_COUNT_OF(values); i++) {
        const int64_t got = ns_json_int(ns_json_at(again, i), "v", 42);
        if (got != values[i]) {
            fail_msg("got %lld, want %lld", (long long)got, (long long)values[i]);
        }
    }
    ns_json_free(again);
    ns_json_free(array);
    free(text);
}

static void test_doubles_are_exact(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(1, 0, "doubles");
    ns_json *array = ns_json_array_new();
    double values[200] = {0.1 + 0.2, 1.0 / 3, DBL_MAX, DBL_MIN, 5e-324, -0.5, 1e21, 94.24};
    for (size_t i = 8; i < NS_COUNT_OF(values); i++) {
        values[i] = ldexp(ns_rng_unit(&rng) - 0.5, (int)ns_rng_below(&rng, 200) - 100);
    }
    for (size_t i = 0; i < NS_COUNT_OF(values); i++) {
        ns_json_add_number(array, values[i]);
    }
    char *text = printed(array);
    ns_json *again = parsed(text);
    for (size_t i = 0; i < NS_COUNT_OF(values); i++) {
        const double got = ns_json_value_number(ns_json_at(again, i), NAN);
        if (got != values[i]) {
            fail_msg("got %.17g, want %.17g", got, values[i]);
        }
    }
    ns_json_free(again);
    ns_json_free(array);
    free(text);
}

static void test_text_round_trip(void **state) {
    (void)state;
    static const char text[] =
        "{\"a-1\":[1.50,-0,1E+2,12345678901234567890],\"2\\\"3\":{\"x\":9007199254740993},"
        "\"\xc3\xa9\":[[],{},\"5\",true,null,-7]}";
    ns_json *json = parsed(text);
    char *again = printed(json);
    assert_string_equal(again, text);
    assert_string_equal(ns_json_key_at(json, 1), "2\"3");
    assert_null(ns_json_key_at(json, 3));
    free(again);
    ns_json_free(json);
}

static void test_reads_and_fallbacks(void **state) {
    (void)state;
    ns_json *json = parsed("{\"i\":5,\"d\":2.75,\"e\":1e3,\"s\":\"t\",\"b\":true,\"n\":null,"
                           "\"huge\":1e300,\"l\":[1,\"x\"]}");
    assert_int_equal(ns_json_int(json, "i", 9), 5);
    assert_int_equal(ns_json_int(json, "d", 9), 2);
    assert_int_equal(ns_json_int(json, "e", 9), 1000);
    assert_int_equal(ns_json_int(json, "huge", 9), 9);
    assert_int_equal(ns_json_int(json, "s", 9), 9);
    assert_int_equal(ns_json_int(json, "missing", 9), 9);
    assert_int_equal(ns_json_int(json, "I", 9), 9); // keys have a case
    assert_true(ns_json_number(json, "d", 0) == 2.75);
    assert_true(ns_json_number(json, "b", 0.5) == 0.5);
    assert_string_equal(ns_json_string(json, "s", "f"), "t");
    assert_string_equal(ns_json_string(json, "i", "f"), "f");
    assert_null(ns_json_string(json, "n", NULL));
    assert_true(ns_json_bool(json, "b", false));
    assert_true(ns_json_bool(json, "i", true));
    assert_int_equal(ns_json_count(json), 8);
    const ns_json *list = ns_json_get(json, "l");
    assert_int_equal(ns_json_count(list), 2);
    assert_string_equal(ns_json_value_string(ns_json_at(list, 1), NULL), "x");
    assert_null(ns_json_at(list, 2));
    assert_null(ns_json_at(NULL, 0));
    assert_null(ns_json_get(NULL, "x"));
    assert_null(ns_json_get(list, "x"));
    assert_int_equal(ns_json_count(NULL), 0);
    ns_json_free(json);
}

static void test_bad_text(void **state) {
    (void)state;
    static const char *const texts[] = {"",        "{",      "{\"a\":}",  "[1,]",      "{} x",
                                        "nul",     "\"open", "[01]",      "[1.]",      "[1e]",
                                        "[-]",     "[.5]",   "[1 2]",     "{\"a\" 1}", "[\"\\",
                                        "[1.5.2]", "[0x10]", "{\"a\":1}}"};
    for (size_t i = 0; i < NS_COUNT_OF(texts); i++) {
        ns_error err = {0};
        ns_json *json = NULL;
        if (ns_json_parse(texts[i], &json, &err) != NS_ERR_INPUT) {
            fail_msg("%s was accepted", texts[i]);
        }
        assert_non_null(strstr(err.text, "at byte "));
    }
    ns_error err = {0};
    ns_json *json = NULL;
    assert_status(ns_json_parse("{\"a\":[1,?]}", &json, &err), NS_ERR_INPUT);
    assert_string_equal(err.text, "cannot parse JSON: wrong at byte 8");
    assert_status(ns_json_parse("{\"a\":[1,02]}", &json, &err), NS_ERR_INPUT);
    assert_string_equal(err.text, "cannot parse JSON: wrong number at byte 8");
}

static void test_deep_nesting(void **state) {
    (void)state;
    char text[100001];
    memset(text, '[', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ns_json *json = NULL;
    assert_status(ns_json_parse(text, &json, NULL), NS_ERR_INPUT);
}

static void test_stray_bytes_become_utf8(void **state) {
    (void)state;
    ns_json *array = ns_json_array_new();
    ns_json_add_string(array, "a\xff"
                              "b\xc3");                     // a lone byte, a cut sequence
    ns_json_add_string(array, "\xed\xa0\x80");              // a surrogate
    ns_json_add_string(array, "\xc0\xaf \xf0\x9f\x8c\x99"); // an over-long form, a moon
    char *text = printed(array);
    assert_string_equal(text, "[\"a\xef\xbf\xbd"
                              "b\xef\xbf\xbd\","
                              "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
                              "\"\xef\xbf\xbd\xef\xbf\xbd \xf0\x9f\x8c\x99\"]");
    free(text);
    ns_json_free(array);
}

static void test_incomplete_does_not_print(void **state) {
    (void)state;
    ns_error err = {0};
    char *text = NULL;
    ns_json *object = ns_json_object_new();
    ns_json *inner = ns_json_set(object, "inner", ns_json_object_new());
    ns_json_set(inner, "lost", NULL); // what a builder without memory hands on
    ns_json_set_int(NULL, "lost", 1);
    assert_status(ns_json_print(object, true, &text, &err), NS_ERR_MEMORY);
    assert_status(ns_json_print(NULL, true, &text, &err), NS_ERR_MEMORY);
    ns_json_free(object);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build_and_print),
        cmocka_unit_test(test_integers_are_exact),
        cmocka_unit_test(test_doubles_are_exact),
        cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_reads_and_fallbacks),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_stray_bytes_become_utf8),
        cmocka_unit_test(test_incomplete_does_not_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
