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

static void test_compute_forms(void **state) {
    (void)state;
    static const struct {
        const char *text;
        budget_amount amount;
    } CASES[] = {
        {"60tflop", {BUDGET_COMPUTE, 600000}},    {"300tflop", {BUDGET_COMPUTE, 3000000}},
        {"1.5pflop", {BUDGET_COMPUTE, 15000000}}, {"500gflop", {BUDGET_COMPUTE, 5000}},
        {"0.1gflop", {BUDGET_COMPUTE, 1}},        {"10m", {BUDGET_TIME, 600000}},
        {"free", {BUDGET_TIME, 3600000}},         {"3000pflop", {BUDGET_COMPUTE, 30000000000}},
    };
    for (size_t i = 0; i < NS_COUNT_OF(CASES); i++) {
        ns_error err = {0};
        budget_amount amount = {BUDGET_TIME, -1};
        assert_ok(budget_amount_parse(CASES[i].text, &amount, &err), &err);
        if (amount.kind != CASES[i].amount.kind || amount.ms != CASES[i].amount.ms) {
            fail_msg("%s: got kind %d, %lld ms, want kind %d, %lld ms", CASES[i].text,
                     (int)amount.kind, (long long)amount.ms, (int)CASES[i].amount.kind,
                     (long long)CASES[i].amount.ms);
        }
    }
}

static void test_compute_refused(void **state) {
    (void)state;
    static const char *const CASES[] = {
        "",         "tflop",     "60 tflop",  "-60tflop",        "60tflops",     "60TFLOP",
        "60tf",     "60flop",    "1h60tflop", "60tflop1h",       "1pflop5tflop", "0tflop",
        "nantflop", "0.01gflop", "3200pflop", "9999999999tflop",
    };
    for (size_t i = 0; i < NS_COUNT_OF(CASES); i++) {
        ns_error err = {0};
        budget_amount amount = {BUDGET_TIME, -1};
        const ns_status status = budget_amount_parse(CASES[i], &amount, &err);
        if (status != NS_ERR_USAGE || amount.ms != -1 || strstr(err.text, CASES[i]) == NULL) {
            fail_msg("\"%s\": got %s, %lld ms, \"%s\"", CASES[i], ns_status_text(status),
                     (long long)amount.ms, err.text);
        }
    }
}

static void test_compute_format(void **state) {
    (void)state;
    static const struct {
        budget_amount amount;
        const char *text;
    } CASES[] = {
        {{BUDGET_COMPUTE, -5}, "0 gflop"},      {{BUDGET_COMPUTE, 1}, "0.1 gflop"},
        {{BUDGET_COMPUTE, 5000}, "500 gflop"},  {{BUDGET_COMPUTE, 587312}, "58.73 tflop"},
        {{BUDGET_COMPUTE, 600000}, "60 tflop"}, {{BUDGET_COMPUTE, 15000000}, "1.5 pflop"},
        {{BUDGET_TIME, 598000}, "9m 58s"},
    };
    for (size_t i = 0; i < NS_COUNT_OF(CASES); i++) {
        char text[32];
        budget_amount_format(&CASES[i].amount, text);
        assert_string_equal(text, CASES[i].text);
    }
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
        cmocka_unit_test(test_compute_forms),
        cmocka_unit_test(test_compute_refused),
        cmocka_unit_test(test_compute_format),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
