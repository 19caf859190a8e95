// Comparing studies: McNemar's test against computed values, kept answers, the best-so-far curve.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ns_test.h"

#include "results/results.h"

static void test_mcnemar(void **state) {
    (void)state;
    // Two-sided binomial and chi-squared values, computed with SciPy's binomtest and chi2.sf; 150
    // against 86 is the table of approval ratings in Agresti 1990, "Categorical Data Analysis".
    const struct {
        int64_t only_first, only_second;
        double chi_squared, p;
    } cases[] = {
        {0, 0, (double)NAN, 1},
        {1, 0, (double)NAN, 1},
        {5, 5, (double)NAN, 1},
        {9, 1, (double)NAN, 0.021484375},
        {7, 17, (double)NAN, 0.06391465663909912},
        {0, 24, (double)NAN, 1.1920928955078125e-07},
        {5, 20, 7.84, 0.005110260660855864},
        {150, 86, 16.81779661016949, 4.114562281345944e-05},
        {200, 200, 0, 1},
        {200, 201, 0, 1},
    };
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        for (int swap = 0; swap < 2; swap++) {
            const results_mcnemar test =
                swap != 0 ? results_mcnemar_of(cases[i].only_second, cases[i].only_first)
                          : results_mcnemar_of(cases[i].only_first, cases[i].only_second);
            const bool same_kind =
                test.exact == isnan(cases[i].chi_squared) && test.exact == isnan(test.chi_squared);
            const double off = fabs(test.p - cases[i].p) / cases[i].p;
            if (!same_kind || off > 1e-9 ||
                (!test.exact && fabs(test.chi_squared - cases[i].chi_squared) > 1e-9)) {
                fail_msg("case %zu: chi-squared %g, want %g; p %.17g, want %.17g", i,
                         test.chi_squared, cases[i].chi_squared, test.p, cases[i].p);
            }
        }
    }
}

/// Text of answers of which those with a '1' are right.
static char *text_of(const char *right) {
    const size_t count = strlen(right);
    float *probabilities = calloc(2 * count + 1, sizeof *probabilities);
    int32_t *labels = calloc(count + 1, sizeof *labels);
    char *text = NULL;
    assert_non_null(probabilities);
    assert_non_null(labels);
    for (size_t i = 0; i < count; i++) {
        labels[i] = (int32_t)(i % 2);
        probabilities[2 * i + (right[i] == '1' ? i % 2 : 1 - i % 2)] = 1;
    }
    ns_error err = {0};
    assert_int_equal(results_correct_text(probabilities, labels, count, 2, &text, &err), NS_OK);
    free(probabilities);
    free(labels);
    return text;
}

static void test_answers(void **state) {
    (void)state;
    char *none = text_of("");
    char *first = text_of("110010");
    char *second = text_of("101111");
    char *fewer = text_of("10111");
    int64_t only_first = -1;
    int64_t only_second = -1;
    ns_error err = {0};
    assert_string_equal(none, "0:");
    assert_string_equal(first, "6:c8");
    assert_string_equal(second, "6:bc");
    assert_int_equal(results_disagreements(first, second, &only_first, &only_second, &err), NS_OK);
    assert_int_equal(only_first, 1);
    assert_int_equal(only_second, 3);
    assert_int_equal(results_disagreements(none, none, &only_first, &only_second, &err), NS_OK);
    assert_int_equal(only_first + only_second, 0);
    assert_int_equal(results_disagreements(first, fewer, &only_first, &only_second, &err),
                     NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "6 images, the other on 5"));
    const char *const damaged[] = {
        "", "6", "6:c", "6:c80", "6:cg", "x:c8", "-6:c8", ":c8", "99999999999999999999:c8"};
    for (size_t i = 0; i < NS_COUNT_OF(damaged); i++) {
        if (results_disagreements(damaged[i], first, &only_first, &only_second, &err) !=
            NS_ERR_CORRUPT) {
            fail_msg("\"%s\" was taken", damaged[i]);
        }
    }
    free(none);
    free(first);
    free(second);
    free(fewer);
}

static void assert_gain(const results_point *curve, size_t count, int64_t end_ms, int64_t window_ms,
                        results_rise expected) {
    const results_rise gain = results_rise_of(curve, count, end_ms, window_ms);
    assert_int_equal(gain.node_ms, expected.node_ms);
    if (isnan(expected.value)) {
        assert_true(isnan(gain.value));
    } else {
        assert_float_equal(gain.value, expected.value, 1e-12);
    }
}

static void test_curve(void **state) {
    (void)state;
    results_point points[] = {{300, 0.7}, {100, 0.5}, {200, (double)NAN},
                              {250, 0.4}, {400, 0.7}, {500, 0.8}};
    const size_t count = results_best_so_far(points, NS_COUNT_OF(points));
    assert_int_equal(count, 3);
    assert_int_equal(points[0].node_ms, 100);
    assert_int_equal(points[1].node_ms, 300);
    assert_int_equal(points[2].node_ms, 500);
    assert_true(isnan(results_best_at(points, count, 99)));
    assert_float_equal(results_best_at(points, count, 100), 0.5, 0);
    assert_float_equal(results_best_at(points, count, 499), 0.7, 0);
    assert_float_equal(results_best_at(points, count, 9999), 0.8, 0);
    assert_gain(points, count, 600, 250, (results_rise){250, 0.8 - 0.7});
    assert_gain(points, count, 450, 100, (results_rise){100, 0});
    assert_gain(points, count, 600, 9999, (results_rise){500, 0.8 - 0.5});
    assert_gain(points, count, 100, 9999, (results_rise){0, (double)NAN});
    assert_gain(NULL, 0, 100, 9999, (results_rise){0, (double)NAN});
    assert_int_equal(results_best_so_far(points, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mcnemar),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_curve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
