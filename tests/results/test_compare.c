// Comparing studies: McNemar's test and the randomisation test against computed values, kept answers,
// the best-so-far curve.

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

/* ---- scores ---------------------------------------------------------------------------------- */

enum { STEPS = 240 };

/// Texts of two models whose scores differ by `steps`, image by image.
static void texts_of(const int *steps, size_t count, char **first, char **second) {
    double *left = calloc(count + 1, sizeof *left);
    double *right = calloc(count + 1, sizeof *right);
    ns_error err = {0};
    assert_non_null(left);
    assert_non_null(right);
    for (size_t i = 0; i < count; i++) {
        left[i] = (steps[i] > 0 ? steps[i] : 0) / (double)STEPS;
        right[i] = (steps[i] < 0 ? -steps[i] : 0) / (double)STEPS;
    }
    assert_ok(results_scores_text(left, count, first, &err), &err);
    assert_ok(results_scores_text(right, count, second, &err), &err);
    free(left);
    free(right);
}

/// The test of such models, which is the same with the two swapped.
static results_paired paired_of(const int *steps, size_t count) {
    char *first = NULL;
    char *second = NULL;
    ns_error err = {0};
    results_paired test, swapped;
    texts_of(steps, count, &first, &second);
    assert_ok(results_paired_of(first, second, &test, &err), &err);
    assert_ok(results_paired_of(second, first, &swapped, &err), &err);
    assert_int_equal(test.first_better, swapped.second_better);
    const bool opposite = swapped.difference == -test.difference ||
                          (isnan(swapped.difference) && isnan(test.difference));
    if (swapped.p != test.p || !opposite) {
        fail_msg("p %.17g, swapped %.17g; difference %g, swapped %g", test.p, swapped.p,
                 test.difference, swapped.difference);
    }
    free(first);
    free(second);
    return test;
}

static void assert_p(const results_paired *test, bool exact, double p) {
    if (test->exact != exact || !(fabs(test->p - p) <= 1e-9 * p)) {
        fail_msg("p %.17g%s, want %.17g%s", test->p, test->exact ? ", exact" : "", p,
                 exact ? ", exact" : "");
    }
}

/// Values computed by going through all choices of signs.
static void test_few_scores(void **state) {
    (void)state;
    const int eight[] = {240, 0, 120, -60, 80, 80, 0, -240, 160, 30};
    const int ten[] = {120, 120, 80, 60, 48, 40, 240, -20, -80, 30};
    results_paired test = paired_of(eight, NS_COUNT_OF(eight));
    assert_p(&test, true, 0.359375);
    assert_int_equal(test.first_better, 6);
    assert_int_equal(test.second_better, 2);
    assert_float_equal(test.difference, 410.0 / STEPS / 10, 1e-12); // images alike count as well
    test = paired_of(ten, NS_COUNT_OF(ten));
    assert_p(&test, true, 0.041015625);
    test = paired_of((const int[]){60, -60}, 2);
    assert_p(&test, true, 1);
    test = paired_of((const int[]){0, 0, 0}, 3);
    assert_p(&test, true, 1);
    test = paired_of(NULL, 0);
    assert_p(&test, true, 1);
    assert_true(isnan(test.difference));
}

/// Of images that are right or wrong it is McNemar's exact test.
static void test_whole_scores(void **state) {
    (void)state;
    int steps[24];
    for (int only_first = 0; only_first <= 24; only_first += 3) {
        for (int i = 0; i < 24; i++) {
            steps[i] = i < only_first ? STEPS : -STEPS;
        }
        const results_paired test = paired_of(steps, 24);
        const results_mcnemar same = results_mcnemar_of(only_first, 24 - only_first);
        assert_true(same.exact);
        assert_p(&test, true, same.p);
    }
}

static void test_many_scores(void **state) {
    (void)state;
    enum { COUNT = 300 };
    int steps[COUNT];
    for (int i = 0; i < COUNT; i++) {
        steps[i] = i < 170 ? STEPS : -STEPS;
    }
    results_paired test = paired_of(steps, COUNT); // 40 of a deviation of the root of 300
    assert_p(&test, false, 0.020921335337794028);
    assert_float_equal(test.difference, 40.0 / COUNT, 1e-12);
    for (int i = 0; i < 250; i++) {
        steps[i] = i < 150 ? 120 : -60;
    }
    test = paired_of(steps, 250);
    assert_p(&test, false, 4.052771052674099e-14);
    // Where the exact count ends the limit is close to it.
    for (int i = 0; i < COUNT; i++) {
        steps[i] = i % 5 == 0 ? -(40 + i % 7 * 20) : 20 + i % 3 * 15;
    }
    const results_paired exact = paired_of(steps, 200);
    test = paired_of(steps, 201);
    assert_true(exact.exact && !test.exact);
    assert_true(exact.p > 0.01 && exact.p < 0.99);
    assert_float_equal(exact.p, test.p, 0.05);
}

static void test_kept_scores(void **state) {
    (void)state;
    ns_error err = {0};
    char *text = NULL;
    results_paired test;
    const double scores[] = {0, 1, 0.5, 1.0 / 3, 2.0 / 7};
    assert_ok(results_scores_text(scores, NS_COUNT_OF(scores), &text, &err), &err);
    assert_string_equal(text, "5:00f0785045");
    const char *const damaged[] = {"", "5:", "5:00f078504", "5:00f07850zz", "5:00f07850f1", "x:00"};
    for (size_t i = 0; i < NS_COUNT_OF(damaged); i++) {
        if (results_paired_of(text, damaged[i], &test, &err) != NS_ERR_CORRUPT) {
            fail_msg("\"%s\" was taken", damaged[i]);
        }
    }
    assert_status(results_paired_of(text, "4:00f07850", &test, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "5 images, the other on 4"));
    free(text);
}

/* ---- curves ---------------------------------------------------------------------------------- */

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
        cmocka_unit_test(test_mcnemar),     cmocka_unit_test(test_answers),
        cmocka_unit_test(test_few_scores),  cmocka_unit_test(test_whole_scores),
        cmocka_unit_test(test_many_scores), cmocka_unit_test(test_kept_scores),
        cmocka_unit_test(test_curve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
