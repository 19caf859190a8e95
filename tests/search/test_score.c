// The score of networks: accuracy where images have one label, else the Jaccard index; and what is
// kept of it to compare networks image by image.

#include <math.h>
#include <stdlib.h>

#include "search/ladder.h"
#include "tests/ns_test.h"

enum { LABELS = 3, IMAGES = 4 };

static void assert_near(double value, double wanted, double tolerance) {
    if (!(fabs(value - wanted) <= tolerance)) {
        fail_msg("%.9g is not %.9g", value, wanted);
    }
}

// By images: both said, of two; one said, of two; one said in vain; nothing said, nothing true.
static float several[] = {0.9F, 0.8F, 0.1F, 0.9F, 0.2F, 0.1F, 0.1F, 0.2F, 0.5F, 0.1F, 0.1F, 0.1F};
static uint8_t truth[] = {1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0};
static const double each[] = {1, 0.5, 0, 1};

static search_predictions several_labels(void) {
    return (search_predictions){
        .probabilities = several, .truth = truth, .count = IMAGES, .label_count = LABELS};
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(search_score_name(false), "accuracy");
    assert_string_equal(search_score_name(true), "jaccard");
}

static void test_score(void **state) {
    (void)state;
    const search_predictions p = several_labels();
    assert_near(search_score(&p), 2.5 / 4, 1e-12);
    const search_predictions none = {
        .probabilities = several, .truth = truth, .label_count = LABELS};
    assert_true(isnan(search_score(&none)));
    // Of one label an image it is accuracy.
    int32_t labels[] = {0, 0, 1, 0};
    const search_predictions one = {
        .probabilities = several, .labels = labels, .count = IMAGES, .label_count = LABELS};
    assert_near(search_score(&one), results_accuracy(several, labels, IMAGES, LABELS), 0);
}

/// What a study keeps of its test images.
static void test_scores_text(void **state) {
    (void)state;
    ns_error err = {0};
    char *text = NULL;
    const search_predictions p = several_labels();
    assert_ok(search__scores_text(&p, &text, &err), &err);
    assert_string_equal(text, "4:f07800f0"); // in steps of 1/240
    free(text);
}

static void test_interval(void **state) {
    (void)state;
    enum { COUNT = 400 };
    // Half of the images score 1, a quarter 1/2, a quarter 0.
    static float probabilities[COUNT * LABELS];
    static uint8_t marks[COUNT * LABELS];
    const search_predictions p = {
        .probabilities = probabilities, .truth = marks, .count = COUNT, .label_count = LABELS};
    for (size_t i = 0; i < COUNT; i++) {
        marks[i * LABELS] = 1;
        marks[i * LABELS + 1] = i % 4 == 2; // a second label, which is never said
        probabilities[i * LABELS] = i % 4 == 3 ? 0.1F : 0.9F;
    }
    const double mean = (1 + 1 + 0.5 + 0) / 4;
    const double variance = (2 * 0.375 * 0.375 + 0.125 * 0.125 + 0.625 * 0.625) / 4;
    const double half = 1.959964 * sqrt(variance / (COUNT - 1));
    const results_interval interval = search__score_interval(&p);
    assert_near(search_score(&p), mean, 1e-12);
    assert_near(interval.low, mean - half, 1e-9);
    assert_near(interval.high, mean + half, 1e-9);
    const search_predictions one = {
        .probabilities = probabilities, .truth = marks, .count = 1, .label_count = LABELS};
    assert_true(isnan(search__score_interval(&one).low));
}

/// A byte an image where it is a fraction, a bit where it is not.
static void test_image_scores(void **state) {
    (void)state;
    ns_error err = {0};
    uint8_t *scores = NULL;
    size_t bit_count = 0;
    search_predictions p = several_labels();
    assert_ok(search__image_scores(&p, &scores, &bit_count, &err), &err);
    assert_int_equal(bit_count, 8 * IMAGES);
    for (size_t i = 0; i < IMAGES; i++) {
        assert_near(search__image_score(scores, true, i), each[i], 0.5 / 255 + 1e-12);
    }
    free(scores);
    int32_t labels[] = {0, 1, 2, 0};
    p = (search_predictions){
        .probabilities = several, .labels = labels, .count = IMAGES, .label_count = LABELS};
    assert_ok(search__image_scores(&p, &scores, &bit_count, &err), &err);
    assert_int_equal(bit_count, IMAGES);
    assert_int_equal(scores[0], 0xd); // right, wrong, right, right
    assert_near(search__image_score(scores, false, 1), 0, 0);
    assert_near(search__image_score(scores, false, 3), 1, 0);
    free(scores);
}

/// Two networks whose images score k / 255: mean and paired standard error by hand.
static void test_confirmation_by_bytes(void **state) {
    (void)state;
    const search_goal goal = {.target = SEARCH_TARGET_ACCURACY};
    const search__reference reference = {.latency_ms = (double)NAN};
    uint8_t first[] = {255, 204, 255, 204, 255, 204, 255, 204};
    uint8_t second[] = {204, 204, 204, 204, 204, 204, 204, 204};
    const results_trial trial = {.fidelity_ms = 1000, .sample_count = 100};
    search__verdict verdict = {.rival_count = 2, .image_count = 8, .in_bytes = true};
    for (int i = 0; i < 2; i++) {
        verdict.rival[i] = (search__rival){
            .number = i, .seed_count = 1, .trials = {&trial}, .correct = {i == 0 ? first : second}};
    }
    search__confirm_choose(&goal, &reference, &verdict);
    assert_near(verdict.rival[0].accuracy, 0.9, 1e-12);
    assert_near(verdict.rival[1].accuracy, 0.8, 1e-12);
    // Differences 0.2 and 0 in turn, their mean 0.1: variance 8 * 0.01 / 7; two seeds' luck.
    const double of_images = 8 * 0.01 / 7 / 8;
    const double of_seeds = 2 * verdict.seed_sigma * verdict.seed_sigma;
    assert_near(verdict.rival[1].difference, 0.1, 1e-12);
    assert_near(verdict.rival[1].standard_error, sqrt(of_images + of_seeds), 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),       cmocka_unit_test(test_score),
        cmocka_unit_test(test_interval),    cmocka_unit_test(test_image_scores),
        cmocka_unit_test(test_scores_text), cmocka_unit_test(test_confirmation_by_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
