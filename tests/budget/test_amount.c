// Budgets in writing: every form, every near miss, and printing.

#include "tests/ns_test.h"

#include "budget/budget.h"

#include <string.h>

static void test_forms(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t node_ms;
    } CASES[] = {
        {"90s", 90000},          {"10m", 600000},     {"8h", 28800000},
        {"1d", 86400000},        {"1h30m", 5400000},  {"1d2h3m4s", 93784000},
        {"1nh", 3600000},        {"0.5nh", 1800000},  {".25nh", 900000},
        {"2.5m", 150000},        {"free", 3600000},   {"paid", 86400000},
        {"0.001s", 1},           {"24nh", 86400000},  {"366d", BUDGET_NODE_MS_MAX},
        {"1.9999999999s", 2000}, {"1d30s", 86430000},
    };
    for (size_t i = 0; i < NS_COUNT_OF(CASES); i++) {
        ns_error err = {0};
        int64_t node_ms = -1;
        assert_ok(budget_parse(CASES[i].text, &node_ms, &err), &err);
        if (node_ms != CASES[i].node_ms) {
            fail_msg("%s: got %lld ms, want %lld ms", CASES[i].text, (long long)node_ms,
                     (long long)CASES[i].node_ms);
        }
    }
}

static void test_refused(void **state) {
    (void)state;
    static const char *const CASES[] = {
        "",       "10",          "m",
        "10 m",   "-10m",        "+10m",
        "10m ",   "10min",       "1e3s",
        "infs",   "nanh",        "0x10s",
        "1m1h",   "1h1h",        "1nh1m",
        "1m1nh",  "Free",        "freely",
        "1.2.3s", ".s",          "1,5h",
        "0s",     "0nh",         "0.0000001s",
        "367d",   "9999999999s", "99999999999999999999d",
        "8785nh", "300tflop",
    };
    for (size_t i = 0; i < NS_COUNT_OF(CASES); i++) {
        ns_error err = {0};
        int64_t node_ms = -1;
        const ns_status status = budget_parse(CASES[i], &node_ms, &err);
        if (status != NS_ERR_USAGE || node_ms != -1 || strstr(err.text, CASES[i]) == NULL) {
            fail_msg("\"%s\": got %s, %lld ms, \"%s\"", CASES[i], ns_status_text(status),
                     (long long)node_ms, err.text);
        }
    }
}

static void test_refusal_shows_the_forms(void **state) {
    (void)state;
    ns_error err = {0};
    int64_t node_ms = 0;
    assert_status(budget_parse("ten", &node_ms, &err), NS_ERR_USAGE);
    assert_non_null(strstr(err.text, "10m"));
    assert_non_null(strstr(err.text, "free"));
}

static void test_format(void **state) {
    (void)state;
    static const struct {
        int64_t node_ms;
        const char *text;
    } CASES[] = {
        {-5, "0s"},          {0, "0s"},
        {999, "0s"},         {42000, "42s"},
        {598000, "9m 58s"},  {600000, "10m 00s"},
        {3600000, "1h 00m"}, {86400000, "24h 00m"},
        {5459999, "1h 30m"}, {BUDGET_NODE_MS_MAX, "8784h 00m"},
    };
    for (size_t i = 0; i < NS_COUNT_OF(CASES); i++) {
        char text[32];
        budget_format(CASES[i].node_ms, text);
        assert_string_equal(text, CASES[i].text);
    }
}

static void test_cost(void **state) {
    (void)state;
    assert_float_equal(budget_cost(3600000, 20.0), 20.0, 1e-9);
    assert_float_equal(budget_cost(600000, 20.0), 3.3333333, 1e-6);
    assert_float_equal(budget_cost(0, 20.0), 0.0, 0.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refusal_shows_the_forms),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
