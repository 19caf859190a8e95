// Metrics against values worked out by hand; the workings stand beside them.

#include "tests/ns_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

static results_answers answers_of(const float *scores, const int32_t *truths, size_t count,
                                  int label_count) {
    return (results_answers){
        .probabilities = scores, .labels = truths, .count = count, .label_count = label_count};
}

static results_gain gain_of(const float *before, const float *after, size_t count) {
    static const int32_t zeros[] = {0, 0, 0};
    const results_answers first = answers_of(before, zeros, count, 2);
    const results_answers second = answers_of(after, zeros, count, 2);
    return results_log_loss_gain(&first, &second);
}

static void test_log_loss_gain(void **state) {
    (void)state;
    // Two zeros, all images of label 0: gains ln 2, 0 and ln 4.
    const float before[] = {0.25F, 0.75F, 0.5F, 0.5F, 0.25F, 0.75F};
    const float after[] = {0.5F, 0.5F, 0.5F, 0.5F, 1.0F, 0.0F};
    const results_gain gain = gain_of(before, after, 3);
    check_close("mean gain", gain.mean, log(2.0)); // (1 + 0 + 2) / 3
    check_close("its standard error", gain.standard_error, log(2.0) / sqrt(3.0));
    const results_gain one = gain_of(before, after, 1);
    check_close("gain of one image", one.mean, log(2.0));
    check_nan("standard error of one image", one.standard_error);
    check_nan("gain of none", gain_of(before, after, 0).mean);
    // The same probabilities as those of labels of their own, all of them true.
    const uint8_t truth[] = {1, 1, 1, 1};
    const results_answers first = {
        .probabilities = before, .truth = truth, .count = 2, .label_count = 2};
    const results_answers second = {.probabilities = (const float[]){0.5F, 0.75F, 0.5F, 1.0F},
                                    .truth = truth,
                                    .count = 2,
                                    .label_count = 2};
    check_close("mean binary gain", results_log_loss_gain(&first, &second).mean, log(2.0) / 2);
}

static void test_confusion(void **state) {
    (void)state;
    static const results_cell want[] = {{0, 0, 1}, {0, 1, 1}, {1, 0, 1},
                                        {1, 1, 1}, {2, 1, 1}, {2, 2, 1}};
    const results_answers answers = answers_of(probabilities, labels, COUNT, LABELS);
    results_cell *cells = NULL;
    size_t count = 0;
    ns_error err = {0};
    assert_ok(results_confusion(&answers, &cells, &count, &err), &err);
    assert_int_equal(count, NS_COUNT_OF(want));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(cells[i].truth, want[i].truth);
        assert_int_equal(cells[i].predicted, want[i].predicted);
        assert_int_equal(cells[i].count, want[i].count);
    }
    free(cells);
    const results_answers nothing = answers_of(probabilities, labels, 0, LABELS);
    assert_ok(results_confusion(&nothing, &cells, &count, &err), &err);
    assert_int_equal(count, 0);
    free(cells);
}

static void check_scores(const char *what, results_scores got, results_scores want) {
    char text[64];
    (void)snprintf(text, sizeof(text), "%s precision", what);
    check_close(text, got.precision, want.precision);
    (void)snprintf(text, sizeof(text), "%s recall", what);
    check_close(text, got.recall, want.recall);
    (void)snprintf(text, sizeof(text), "%s f1", what);
    check_close(text, got.f1, want.f1);
}

static void test_scores(void **state) {
    (void)state;
    // Of the six images: label 0 twice, said twice, once right; 1 twice, three times, once; 2 twice,
    // once, once; 3 never at all, so that no mean counts it.
    const results_answers answers = answers_of(probabilities, labels, COUNT, LABELS);
    results_counts counts[LABELS];
    results_count(&answers, NULL, counts);
    check_scores("0", results_scores_of(counts[0]), (results_scores){1 / 2.0, 1 / 2.0, 2 / 4.0});
    check_scores("1", results_scores_of(counts[1]), (results_scores){1 / 3.0, 1 / 2.0, 2 / 5.0});
    check_scores("2", results_scores_of(counts[2]), (results_scores){1.0, 1 / 2.0, 2 / 3.0});
    check_scores("3", results_scores_of(counts[3]), (results_scores){0, 0, 0});
    const results_averages averages = results_averages_of(counts, LABELS);
    const results_scores mean = {(1 / 2.0 + 1 / 3.0 + 1) / 3, 0.5, (0.5 + 0.4 + 2 / 3.0) / 3};
    check_scores("micro", averages.micro, (results_scores){0.5, 0.5, 0.5});
    check_scores("macro", averages.macro, mean);
    check_scores("weighted", averages.weighted, mean);
    check_close("exact", results_exact_match(&answers, NULL), 0.5);
}

static void test_thresholds(void **state) {
    (void)state;
    // At 0.25 for each label the images are said to be {0,1}, {0,1,2}, {0,1,2}, {1}, {2}, {1}.
    const double quarter[LABELS] = {0.25, 0.25, 0.25, 0.25};
    const results_answers answers = answers_of(probabilities, labels, COUNT, LABELS);
    results_counts counts[LABELS];
    results_count(&answers, quarter, counts);
    check_scores("0", results_scores_of(counts[0]), (results_scores){2 / 3.0, 1.0, 4 / 5.0});
    check_scores("1", results_scores_of(counts[1]), (results_scores){2 / 5.0, 1.0, 4 / 7.0});
    check_scores("2", results_scores_of(counts[2]), (results_scores){1 / 3.0, 1 / 2.0, 2 / 5.0});
    check_close("exact", results_exact_match(&answers, quarter), 2 / 6.0);
}

static void test_several_labels(void **state) {
    (void)state;
    // Three images of three labels; the second has none of them.
    const float scores[] = {0.9F, 0.8F, 0.1F, 0.2F, 0.5F, 0.3F, 0.4F, 0.7F, 0.6F};
    const uint8_t truth[] = {1, 1, 0, 0, 0, 0, 0, 1, 1};
    const results_answers answers = {
        .probabilities = scores, .truth = truth, .count = 3, .label_count = 3};
    results_counts counts[3];
    results_count(&answers, NULL, counts);
    check_scores("0", results_scores_of(counts[0]), (results_scores){1, 1, 1});
    check_scores("1", results_scores_of(counts[1]), (results_scores){2 / 3.0, 1, 4 / 5.0});
    check_scores("2", results_scores_of(counts[2]), (results_scores){1, 1, 1});
    check_close("exact", results_exact_match(&answers, NULL), 2 / 3.0);
    check_close("only the second is wrong by one",
                results_exact_match(&answers, (double[]){0.5, 0.6, 0.5}), 1);
    double loss = 0;
    for (int i = 0; i < 9; i++) {
        loss -= log(truth[i] ? (double)scores[i] : 1 - (double)scores[i]);
    }
    check_close("binary loss", results_binary_loss(&answers), loss / 9);
}

static double auc_of(const float *scores, const int32_t *truths, size_t count, int label_count,
                     int label) {
    ns_error err = {0};
    results_rank ranks[8];
    const results_answers answers = answers_of(scores, truths, count, label_count);
    assert_ok(results_rank_labels(&answers, 2, ranks, &err), &err);
    return ranks[label].auc;
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

static void test_rank_averages(void **state) {
    (void)state;
    ns_error err = {0};
    results_rank ranks[LABELS];
    results_rank micro;
    results_answers answers = answers_of(probabilities, labels, COUNT, LABELS);
    assert_ok(results_rank_labels(&answers, 1, ranks, &err), &err);
    // Label 3 has no images and is left out.
    check_close("macro", results_rank_macro(ranks, LABELS).auc,
                (7.0 / 8.0 + 5.0 / 8.0 + 4.0 / 8.0) / 3.0);
    // True scores 1, 3/4, 1/2, 3/8, 1/4, 0. The others: 1, 1/2, 3/8, three of 1/4, four of 1/8,
    // eight of 0. Pairs won: 17.5 + 17 + 16.5 + 15.5 + 13.5 + 4 of 6 * 18.
    assert_ok(results_rank_micro(&answers, 2, &micro, &err), &err);
    check_close("micro", micro.auc, (17.5 + 17 + 16.5 + 15.5 + 13.5 + 4) / 108.0);
    answers.count = 1;
    assert_ok(results_rank_labels(&answers, 1, ranks, &err), &err);
    check_nan("macro of one image", results_rank_macro(ranks, LABELS).auc);
    answers.count = 0;
    assert_ok(results_rank_micro(&answers, 2, &micro, &err), &err);
    check_nan("micro of none", micro.auc);
}

static void test_average_precision(void **state) {
    (void)state;
    // scikit-learn's own example: at 0.8 recall 1/2 with precision 1, at 0.35 recall 1 with 2/3.
    const float example[] = {0.9f, 0.1f, 0.6f, 0.4f, 0.65f, 0.35f, 0.2f, 0.8f};
    const int32_t truths[] = {0, 0, 1, 1};
    results_rank ranks[2];
    ns_error err = {0};
    const results_answers answers = answers_of(example, truths, 4, 2);
    assert_ok(results_rank_labels(&answers, 1, ranks, &err), &err);
    check_close("example", ranks[1].average_precision, 0.5 + 0.5 * 2 / 3.0);
    // F1 is 2/3 at 0.8, 4/5 at 0.35; the next lower score is 0.1.
    check_close("best F1", ranks[1].best_f1, 4 / 5.0);
    check_close("its threshold", ranks[1].best_threshold, ((double)0.35F + (double)0.1F) / 2);
}

static void test_curves(void **state) {
    (void)state;
    // Scores that rounding may move over their thresholds, one of them never reached.
    const float scores[] = {0.29F, 0.71F, 0.57F, 0.43F, 1, 0, NAN, 0.5F};
    const int32_t truths[] = {0, 0, 1, 1};
    const results_answers answers = answers_of(scores, truths, 4, 2);
    results_curve curves[2];
    results_curves(&answers, curves);
    for (int label = 0; label < 2; label++) {
        for (int i = 0; i < RESULTS_CURVE_POINTS; i++) {
            results_counts want = {.support = 2};
            for (int image = 0; image < 4; image++) {
                const bool said = (double)scores[image * 2 + label] >= i / 100.0;
                want.predicted += said;
                want.right += said && truths[image] == label;
            }
            assert_int_equal(curves[label].at[i].support, want.support);
            assert_int_equal(curves[label].at[i].predicted, want.predicted);
            assert_int_equal(curves[label].at[i].right, want.right);
        }
    }
    const results_curve micro = results_curve_micro(curves, 2);
    assert_int_equal(micro.at[0].support, 4);
    assert_int_equal(micro.at[0].predicted, 7);
    assert_int_equal(micro.at[100].predicted, 1);
}

static void test_calibration(void **state) {
    (void)state;
    // Two answers of confidence 0.95, one right: the last bin, a gap of 0.45; two of 0.6, the ninth,
    // both right: a gap of 0.4. Half of the images each.
    const float scores[] = {0.95F, 0.05F, 0.05F, 0.95F, 0.59F, 0.41F, 0.41F, 0.59F};
    const int32_t truths[] = {0, 0, 0, 1};
    const results_answers answers = answers_of(scores, truths, 4, 2);
    const results_calibration c = results_calibration_of(&answers);
    assert_int_equal(c.bin[14].count, 2);
    assert_int_equal(c.bin[8].count, 2);
    check_close("accuracy", c.bin[14].accuracy, 0.5);
    check_close("confidence", c.bin[8].confidence, (double)0.59F);
    check_close("ECE", c.ece, ((double)0.95F - 0.5) / 2 + (1 - (double)0.59F) / 2);
    check_nan("confidence of none", c.bin[3].confidence);
    const results_answers nothing = answers_of(scores, truths, 0, 2);
    check_nan("ECE of none", results_calibration_of(&nothing).ece);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_argmax),          cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_top_k),           cmocka_unit_test(test_log_loss),
        cmocka_unit_test(test_log_loss_gain),   cmocka_unit_test(test_confusion),
        cmocka_unit_test(test_scores),          cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_several_labels),  cmocka_unit_test(test_roc_auc),
        cmocka_unit_test(test_roc_auc_of_ties), cmocka_unit_test(test_roc_auc_where_undefined),
        cmocka_unit_test(test_rank_averages),   cmocka_unit_test(test_average_precision),
        cmocka_unit_test(test_curves),          cmocka_unit_test(test_calibration),
    };
    return cmocka_run_group_tests_name("results/metrics", tests, NULL, NULL);
}
