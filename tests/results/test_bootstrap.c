// Bootstrap intervals: against what theory says of them, and equal whatever the threads.

#include "tests/ns_test.h"

#include <math.h>
#include <stdlib.h>

#include "results/metrics.h"

enum { COUNT = 2000, LABELS = 5 };

static float probabilities[COUNT * LABELS];
static int32_t labels[COUNT];
static uint8_t truth[COUNT * LABELS];

/// Scores at random, the true label's raised; rounded, so that there are ties.
static results_answers make_answers(float raise) {
    ns_rng rng = ns_rng_stream(7, 0, "answers");
    for (size_t i = 0; i < COUNT; i++) {
        labels[i] = (int32_t)ns_rng_below(&rng, LABELS);
        for (int label = 0; label < LABELS; label++) {
            const float own = label == labels[i] ? raise : 0;
            truth[i * LABELS + (size_t)label] = label == labels[i];
            probabilities[i * LABELS + (size_t)label] =
                (float)round(100 * ns_rng_unit(&rng)) / 200.0F + own;
        }
    }
    return (results_answers){
        .probabilities = probabilities, .labels = labels, .count = COUNT, .label_count = LABELS};
}

static results_intervals intervals_of(const results_answers *answers, uint64_t seed,
                                      int thread_count) {
    results_intervals out;
    ns_error err = {0};
    assert_ok(results_bootstrap(answers, NULL, seed, thread_count, &out, &err), &err);
    return out;
}

static void check_around(const char *what, results_interval interval, double value, double error) {
    // 95 % of a normal distribution; a thousand resamples know the ends to about a tenth of them.
    const double below = (value - interval.low) / (1.96 * error);
    const double above = (interval.high - value) / (1.96 * error);
    if (!(below > 0.7 && below < 1.3 && above > 0.7 && above < 1.3)) {
        fail_msg("%s %g: got %g to %g, want about %g to %g", what, value, interval.low,
                 interval.high, value - 1.96 * error, value + 1.96 * error);
    }
}

static void test_accuracy(void **state) {
    (void)state;
    const results_answers answers = make_answers(0.25F);
    const results_intervals got = intervals_of(&answers, 1, 2);
    const double accuracy = results_exact_match(&answers, NULL);
    check_around("accuracy", got.accuracy, accuracy, sqrt(accuracy * (1 - accuracy) / COUNT));
    assert_int_equal(got.resample_count, 1024);
}

/// Standard error of one label's AUC (DeLong, DeLong & Clarke-Pearson 1988), by comparing all pairs.
static double auc_error(const results_answers *answers, int label, double auc) {
    double sums[2] = {0};
    double counts[2] = {0};
    for (size_t i = 0; i < COUNT; i++) {
        const bool positive = answers->labels[i] == label;
        const float own = answers->probabilities[i * LABELS + (size_t)label];
        double won = 0;
        double met = 0;
        for (size_t k = 0; k < COUNT; k++) {
            const float other = answers->probabilities[k * LABELS + (size_t)label];
            if ((answers->labels[k] == label) != positive) {
                won += positive ? own > other : own < other;
                won += own == other ? 0.5 : 0;
                met++;
            }
        }
        sums[positive] += (won / met - auc) * (won / met - auc);
        counts[positive]++;
    }
    return sqrt(sums[0] / (counts[0] - 1) / counts[0] + sums[1] / (counts[1] - 1) / counts[1]);
}

static void test_auc(void **state) {
    (void)state;
    // Of two labels whose scores are one another's opposite, the macro AUC is that of either.
    results_answers answers = make_answers(0.25F);
    static float pair[COUNT * LABELS];
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t label = 0; label < LABELS; label++) {
            pair[i * LABELS + label] = 0; // of labels without images
        }
        labels[i] = labels[i] % 2;
        pair[i * LABELS] = 1 - probabilities[i * LABELS];
        pair[i * LABELS + 1] = probabilities[i * LABELS];
    }
    answers.probabilities = pair;
    results_rank ranks[LABELS];
    ns_error err = {0};
    assert_ok(results_rank_labels(&answers, 1, ranks, &err), &err);
    const double auc = results_rank_macro(ranks, LABELS).auc;
    const results_intervals got = intervals_of(&answers, 2, 2);
    check_around("AUC", got.macro_auc, auc, auc_error(&answers, 0, ranks[0].auc));
}

static void check_same(const results_intervals *a, const results_intervals *b) {
    assert_memory_equal(&a->accuracy, &b->accuracy, sizeof(a->accuracy));
    assert_memory_equal(&a->macro_auc, &b->macro_auc, sizeof(a->macro_auc));
    assert_memory_equal(&a->macro_f1, &b->macro_f1, sizeof(a->macro_f1));
}

static void test_same_whatever_the_threads(void **state) {
    (void)state;
    const results_answers answers = make_answers(0.3F);
    const results_intervals one = intervals_of(&answers, 3, 1);
    const results_intervals three = intervals_of(&answers, 3, 3);
    check_same(&one, &three);
    const results_intervals other = intervals_of(&answers, 4, 1);
    assert_true(other.macro_auc.low != one.macro_auc.low);
}

static void test_truth_in_either_form(void **state) {
    (void)state;
    results_answers answers = make_answers(0.3F);
    const double half[LABELS] = {0.5, 0.5, 0.5, 0.5, 0.5};
    results_intervals one;
    results_intervals several;
    ns_error err = {0};
    assert_ok(results_bootstrap(&answers, half, 5, 2, &one, &err), &err);
    answers.labels = NULL;
    answers.truth = truth;
    assert_ok(results_bootstrap(&answers, NULL, 5, 2, &several, &err), &err);
    check_same(&one, &several);
}

static void test_edges(void **state) {
    (void)state;
    results_answers answers = make_answers(2); // all right
    results_intervals got = intervals_of(&answers, 6, 2);
    assert_float_equal(got.accuracy.low, 1, 0);
    assert_float_equal(got.macro_auc.low, 1, 0);
    assert_float_equal(got.macro_f1.high, 1, 0);
    answers.count = 1; // no image of any other label: nothing to rank
    got = intervals_of(&answers, 6, 2);
    assert_float_equal(got.accuracy.high, 1, 0);
    assert_true(isnan(got.macro_auc.low) && isnan(got.macro_auc.high));
    answers.count = 0;
    got = intervals_of(&answers, 6, 2);
    assert_true(isnan(got.accuracy.low) && isnan(got.macro_f1.high));
    assert_int_equal(got.resample_count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_auc),
        cmocka_unit_test(test_same_whatever_the_threads),
        cmocka_unit_test(test_truth_in_either_form),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests_name("results/bootstrap", tests, NULL, NULL);
}
