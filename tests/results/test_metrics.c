// Metrics against values worked out by hand; the workings stand beside them.

#include "tests/ns_test.h"

#include <math.h>

#include "results/results.h"

#define TOLERANCE 1e-9

static void check_close(const char *what, double got, double want) {
    if (!(fabs(got - want) <= TOLERANCE)) {
        fail_msg("%s: got %.17g, want %.17g", what, got, want);
    }
}

static void check_nan(const char *what, double got) {
    if (!isnan(got)) {
        fail_msg("%s: got %.17g, want NaN", what, got);
    }
}

// Six images, labels 0-2; label 3 exists in the model and nowhere else. (6, 4), predicted -> true:
enum { COUNT = 6, LABELS = 4 };
static const float probabilities[COUNT * LABELS] = {
    0.500f, 0.250f, 0.125f, 0.125f, // 0 -> 0
    0.250f, 0.500f, 0.250f, 0.000f, // 1 -> 0
    0.375f, 0.375f, 0.250f, 0.000f, // 0 -> 1: the lowest index wins the tie
    0.125f, 0.750f, 0.125f, 0.000f, // 1 -> 1
    0.000f, 0.000f, 1.000f, 0.000f, // 2 -> 2
    0.000f, 1.000f, 0.000f, 0.000f, // 1 -> 2
};
static const int32_t labels[COUNT] = {0, 0, 1, 1, 2, 2};

static void test_argmax(void **state) {
    (void)state;
    assert_int_equal(results_argmax((float[]){0.1f, 0.7f, 0.2f}, 3), 1);
    assert_int_equal(results_argmax((float[]){0.4f, 0.2f, 0.4f}, 3), 0);
    assert_int_equal(results_argmax((float[]){-3.0f, -2.0f}, 2), 1);
    assert_int_equal(results_argmax((float[]){NAN, 0.1f, 0.2f}, 3), 2);
    assert_int_equal(results_argmax((float[]){1.0f}, 1), 0);
}

static void test_accuracy(void **state) {
    (void)state;
    check_close("accuracy", results_accuracy(probabilities, labels, COUNT, LABELS), 3.0 / 6.0);
    check_close("of one", results_accuracy(probabilities, labels, 1, LABELS), 1.0);
    check_nan("of none", results_accuracy(probabilities, labels, 0, LABELS));
}

static void test_top_k(void **state) {
    (void)state;
    // Labels at least as likely as the true one, image by image: 0, 2, 1, 0, 0, 3.
    check_close("top 1", results_top_k(probabilities, labels, COUNT, LABELS, 1), 3.0 / 6.0);
    check_close("top 2", results_top_k(probabilities, labels, COUNT, LABELS, 2), 4.0 / 6.0);
    check_close("top 3", results_top_k(probabilities, labels, COUNT, LABELS, 3), 5.0 / 6.0);
    check_close("top 4", results_top_k(probabilities, labels, COUNT, LABELS, 4), 1.0);
    check_close("top 9", results_top_k(probabilities, labels, COUNT, LABELS, 9), 1.0);
    check_nan("of none", results_top_k(probabilities, labels, 0, LABELS, 1));
    const float broken[] = {NAN, NAN, NAN};
    check_close("of NaN", results_top_k(broken, (int32_t[]){1}, 1, 3, 2), 0.0);
}

static void test_log_loss(void **state) {
    (void)state;
    // True probabilities 1/2, 1/4, 3/8, 3/4, 1, 0; the last is clipped to 1e-15.
    const double want =
        (log(2.0) + log(4.0) + log(8.0 / 3.0) + log(4.0 / 3.0) + 0.0 + 15.0 * log(10.0)) / 6.0;
    check_close("log loss", results_log_loss(probabilities, labels, COUNT, LABELS), want);
    check_nan("of none", results_log_loss(probabilities, labels, 0, LABELS));
    const float broken[] = {NAN, 1.0f};
    check_close("of NaN", results_log_loss(broken, (int32_t[]){0}, 1, 2), 15.0 * log(10.0));
}

static void test_log_loss_gain(void **state) {
    (void)state;
    // Two zeros, all images of label 0: gains ln 2, 0 and ln 4.
    const float before[] = {0.25F, 0.75F, 0.5F, 0.5F, 0.25F, 0.75F};
    const float after[] = {0.5F, 0.5F, 0.5F, 0.5F, 1.0F, 0.0F};
    const int32_t zeros[] = {0, 0, 0};
    const results_gain gain = results_log_loss_gain(before, after, zeros, 3, 2);
    check_close("mean gain", gain.mean, log(2.0)); // (1 + 0 + 2) / 3
    check_close("its standard error", gain.standard_error, log(2.0) / sqrt(3.0));
    const results_gain one = results_log_loss_gain(before, after, zeros, 1, 2);
    check_close("gain of one image", one.mean, log(2.0));
    check_nan("standard error of one image", one.standard_error);
    check_nan("gain of none", results_log_loss_gain(before, after, zeros, 0, 2).mean);
}

static void test_confusion(void **state) {
    (void)state;
    static const int64_t want[LABELS * LABELS] = {
        1, 1, 0, 0, //
        1, 1, 0, 0, //
        0, 1, 1, 0, //
        0, 0, 0, 0, //
    };
    int64_t confusion[LABELS * LABELS];
    for (int i = 0; i < LABELS * LABELS; i++) {
        confusion[i] = -1; // overwritten, not added to
    }
    results_confusion(probabilities, labels, COUNT, LABELS, confusion);
    for (int i = 0; i < LABELS * LABELS; i++) {
        if (confusion[i] != want[i]) {
            fail_msg("true %d, predicted %d: got %lld, want %lld", i / LABELS, i % LABELS,
                     (long long)confusion[i], (long long)want[i]);
        }
    }
}

static void test_label_metrics(void **state) {
    (void)state;
    // Rows true, columns predicted. Label 3 is never true, label 4 never predicted.
    static const int64_t confusion[5 * 5] = {
        5, 1, 0, 2, 0, // support 8
        2, 7, 1, 0, 0, // support 10
        0, 0, 6, 0, 0, // support 6
        0, 0, 0, 0, 0, // support 0
        1, 2, 0, 0, 0, // support 3
    };
    static const results_label_metrics want[5] = {
        {8, 5.0 / 8.0, 5.0 / 8.0, 10.0 / 16.0},
        {10, 7.0 / 10.0, 7.0 / 10.0, 14.0 / 20.0},
        {6, 6.0 / 7.0, 1.0, 12.0 / 13.0},
        {0, 0.0, 0.0, 0.0},
        {3, 0.0, 0.0, 0.0},
    };
    for (int label = 0; label < 5; label++) {
        const results_label_metrics got = results_label_of(confusion, 5, label);
        assert_int_equal(got.support, want[label].support);
        check_close("precision", got.precision, want[label].precision);
        check_close("recall", got.recall, want[label].recall);
        check_close("f1", got.f1, want[label].f1);
    }
    const int64_t empty[4] = {0};
    check_close("f1 of nothing", results_label_of(empty, 2, 0).f1, 0.0);
}

static double auc_of(const float *scores, const int32_t *truths, size_t count, int label_count,
                     int label) {
    ns_error err = {0};
    double auc = -1.0;
    assert_ok(results_roc_auc(scores, truths, count, label_count, label, &auc, &err), &err);
    return auc;
}

static void test_roc_auc(void **state) {
    (void)state;
    // scikit-learn's own example: positives 0.35 and 0.8, negatives 0.1 and 0.4; 3 of 4 pairs.
    const float example[] = {0.9f, 0.1f, 0.6f, 0.4f, 0.65f, 0.35f, 0.2f, 0.8f};
    const int32_t truths[] = {0, 0, 1, 1};
    check_close("example", auc_of(example, truths, 4, 2, 1), 0.75);
    check_close("its other side", auc_of(example, truths, 4, 2, 0), 0.75);
    const int32_t swapped[] = {1, 1, 0, 0};
    check_close("example, labels swapped", auc_of(example, swapped, 4, 2, 1), 0.25);
}

static void test_roc_auc_of_ties(void **state) {
    (void)state;
    const float all_equal[] = {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f};
    check_close("all equal", auc_of(all_equal, (int32_t[]){0, 1, 1}, 3, 2, 1), 0.5);
    // Label 0, positives 0.5 and 0.25, negatives 0.375, 0.125, 0, 0: 4 + 3 of 8 pairs.
    check_close("label 0", auc_of(probabilities, labels, COUNT, LABELS, 0), 7.0 / 8.0);
    // Label 1, positives 0.375 and 0.75, negatives 0.25, 0.5, 0, 1: 2 + 3 of 8.
    check_close("label 1", auc_of(probabilities, labels, COUNT, LABELS, 1), 5.0 / 8.0);
    // Label 2, positives 1 and 0, negatives 0.125, 0.25, 0.25, 0.125: 4 + 0 of 8.
    check_close("label 2", auc_of(probabilities, labels, COUNT, LABELS, 2), 4.0 / 8.0);
    // Positives 3 and 1 against 3, 2, 1, 1: (1/2 + 1 + 1 + 1) + (0 + 0 + 1/2 + 1/2) of 8.
    const float tied[] = {0, 3, 0, 1, 0, 3, 0, 2, 0, 1, 0, 1};
    check_close("ties across", auc_of(tied, (int32_t[]){1, 1, 0, 0, 0, 0}, 6, 2, 1), 4.5 / 8.0);
}

static void test_roc_auc_where_undefined(void **state) {
    (void)state;
    check_nan("no positive", auc_of(probabilities, labels, COUNT, LABELS, 3));
    check_nan("no negative", auc_of(probabilities, labels, 2, LABELS, 0));
    check_nan("no image", auc_of(probabilities, labels, 0, LABELS, 0));
    const float broken[] = {0, NAN, 0, 0.5f}; // NaN ranks below every number
    check_close("NaN", auc_of(broken, (int32_t[]){1, 0}, 2, 2, 1), 0.0);
}

static void test_macro_auc(void **state) {
    (void)state;
    ns_error err = {0};
    double auc = -1.0;
    assert_ok(results_macro_auc(probabilities, labels, COUNT, LABELS, &auc, &err), &err);
    check_close("macro", auc, (7.0 / 8.0 + 5.0 / 8.0 + 4.0 / 8.0) / 3.0); // label 3 is left out
    assert_ok(results_macro_auc(probabilities, labels, 1, LABELS, &auc, &err), &err);
    check_nan("macro of one image", auc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_argmax),          cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_top_k),           cmocka_unit_test(test_log_loss),
        cmocka_unit_test(test_log_loss_gain),   cmocka_unit_test(test_confusion),
        cmocka_unit_test(test_label_metrics),   cmocka_unit_test(test_roc_auc),
        cmocka_unit_test(test_roc_auc_of_ties), cmocka_unit_test(test_roc_auc_where_undefined),
        cmocka_unit_test(test_macro_auc),
    };
    return cmocka_run_group_tests_name("results/metrics", tests, NULL, NULL);
}
