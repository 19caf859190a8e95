// Order, quantiles, and digits in groups.

#include "tests/ns_test.h"

static void test_sorts(void **state) {
    (void)state;
    double values[] = {3, -1, 2, 2, 1e300, -0.5};
    ns_sort_doubles(values, NS_COUNT_OF(values));
    for (size_t i = 1; i < NS_COUNT_OF(values); i++) {
        assert_true(values[i - 1] <= values[i]);
    }
    assert_float_equal(values[0], -1, 0);
    ns_sort_doubles(NULL, 0);
}

static void test_quantiles(void **state) {
    (void)state;
    const double sorted[] = {1, 2, 4, 8};
    assert_float_equal(ns_quantile(sorted, 4, 0), 1, 0);
    assert_float_equal(ns_quantile(sorted, 4, 1), 8, 0);
    assert_float_equal(ns_quantile(sorted, 4, 0.25), 1.75, 1e-12); // of places 0 to 3, the 0.75th
    assert_float_equal(ns_quantile(sorted, 4, 0.5), 3, 1e-12);
    assert_float_equal(ns_quantile(sorted, 1, 0.9), 1, 0);
    assert_float_equal(ns_quantile(NULL, 0, 0.5), 0, 0);
}

static void test_medians(void **state) {
    (void)state;
    double odd[] = {5, 1, 3};
    double even[] = {8, 1, 4, 2};
    assert_float_equal(ns_median(odd, 3), 3, 0);
    assert_float_equal(ns_median(even, 4), 3, 1e-12);
}

static void test_digits(void **state) {
    (void)state;
    static const struct {
        int64_t value;
        const char *want;
    } cases[] = {{0, "0"},
                 {999, "999"},
                 {1000, "1,000"},
                 {-999, "-999"},
                 {-1000, "-1,000"},
                 {1234567, "1,234,567"},
                 {INT64_MIN, "-9,223,372,036,854,775,808"}};
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        char text[32];
        assert_string_equal(ns_group_digits(cases[i].value, text), cases[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorts),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_medians),
        cmocka_unit_test(test_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
