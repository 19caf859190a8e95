// Hopeless or not: the rule's edges, and how often it is wrong on trials that are merely unlucky.

#include <math.h>

#include "tests/ns_test.h"

#include "search/search.h"

static void test_too_few_others(void **state) {
    (void)state;
    const double others[] = {0.9, 0.9, 0.9, NAN, NAN};
    assert_false(search_is_hopeless(0.1, NULL, 0));
    assert_false(search_is_hopeless(0.1, others, 5));
}

static void test_far_below(void **state) {
    (void)state;
    const double others[] = {0.80, 0.82, 0.84, 0.86, 0.88};
    // Median 0.84, MAD 0.02: three robust deviations end at 0.751.
    assert_true(search_is_hopeless(0.75, others, 5));
    assert_false(search_is_hopeless(0.76, others, 5));
    assert_false(search_is_hopeless(0.99, others, 5));
    assert_false(search_is_hopeless(NAN, others, 5));
}

static void test_failures_among_the_others_are_no_excuse(void **state) {
    (void)state;
    const double others[] = {0.80, 0.1, 0.82, 0.84, 0.86, 0.88, 0.1};
    assert_true(search_is_hopeless(0.1, others, 7));
}

static void test_agreement_by_chance(void **state) {
    (void)state;
    const double others[] = {0.9, 0.9, 0.9, 0.9};
    assert_false(search_is_hopeless(0.88, others, 4));
    assert_true(search_is_hopeless(0.86, others, 4));
}

static void test_more_others_than_it_keeps(void **state) {
    (void)state;
    static double others[5000];
    for (size_t i = 0; i < NS_COUNT_OF(others); i++) {
        others[i] = 0.8 + 0.0001 * (double)(i % 100);
    }
    assert_true(search_is_hopeless(0.7, others, NS_COUNT_OF(others)));
    assert_false(search_is_hopeless(0.79, others, NS_COUNT_OF(others)));
}

static void test_rarely_wrong_under_noise(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(1, 0, "pruner test");
    int hopeless_count = 0;
    for (int trial = 0; trial < 5000; trial++) {
        double others[12];
        for (size_t i = 0; i < NS_COUNT_OF(others); i++) {
            others[i] = 0.8 + 0.03 * ns_rng_normal(&rng);
        }
        const double value = 0.8 + 0.03 * ns_rng_normal(&rng);
        hopeless_count += search_is_hopeless(value, others, NS_COUNT_OF(others)) ? 1 : 0;
    }
    assert_in_range(hopeless_count, 1, 150); // at most 3 %
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_few_others),
        cmocka_unit_test(test_far_below),
        cmocka_unit_test(test_failures_among_the_others_are_no_excuse),
        cmocka_unit_test(test_agreement_by_chance),
        cmocka_unit_test(test_more_others_than_it_keeps),
        cmocka_unit_test(test_rarely_wrong_under_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
