// Studies side by side: which test a pair gets, and why some get none.

#include <math.h>
#include <string.h>

#include "tests/search/kept_study.h"

#define STORE "compare.db"

static const char several[] = "{\"score_name\": \"jaccard\"}";

/// A study that ended, of the same data set as all of these.
static kept_study complete_study(const char *name, const char *result) {
    return (kept_study){
        .name = name, .dataset_sha256 = "x", .state = RESULTS_STUDY_COMPLETE, .result = result};
}

/// What is said of the only pair of these two studies; free the whole.
static const ns_json *pair_of(const kept_study *first, const kept_study *second, ns_json **whole) {
    const kept_study both[] = {*first, *second};
    char *names[] = {(char *)first->name, (char *)second->name};
    ns_error err = {0};
    keep_studies(STORE, both, 2);
    assert_ok(search_compare_json(STORE, names, 2, whole, &err), &err);
    const ns_json *pairs = ns_json_get(*whole, "pairs");
    assert_int_equal(ns_json_count(pairs), 1);
    return ns_json_at(pairs, 0);
}

/// The object of the test `key`; the other test and the reason are null.
static const ns_json *only_test(const ns_json *pair, const char *key) {
    const char *const tests[] = {"mcnemar", "randomisation"};
    for (size_t i = 0; i < NS_COUNT_OF(tests); i++) {
        assert_int_equal(ns_json_is_object(ns_json_get(pair, tests[i])),
                         strcmp(tests[i], key) == 0);
    }
    assert_null(ns_json_string(pair, "reason", NULL));
    return ns_json_get(pair, key);
}

static void assert_no_test(const kept_study *first, const kept_study *second, const char *reason) {
    ns_json *whole = NULL;
    const ns_json *pair = pair_of(first, second, &whole);
    assert_false(ns_json_is_object(ns_json_get(pair, "mcnemar")));
    assert_false(ns_json_is_object(ns_json_get(pair, "randomisation")));
    const char *said = ns_json_string(pair, "reason", "nothing");
    if (strstr(said, reason) == NULL) {
        fail_msg("the reason is \"%s\", want \"%s\"", said, reason);
    }
    ns_json_free(whole);
}

static void test_one_label(void **state) {
    (void)state;
    ns_json *whole = NULL;
    const kept_study first = // 110010
        complete_study("a", "{\"test_accuracy\": 0.5, \"test_correct\": \"6:c8\"}");
    const kept_study second = // 101111
        complete_study("b", "{\"test_accuracy\": 0.8, \"test_correct\": \"6:bc\"}");
    const ns_json *test = only_test(pair_of(&first, &second, &whole), "mcnemar");
    assert_int_equal(ns_json_int(test, "only_first", -1), 1);
    assert_int_equal(ns_json_int(test, "only_second", -1), 3);
    assert_string_equal(ns_json_string(test, "method", ""), "exact");
    ns_json_free(whole);
}

static void test_several_labels(void **state) {
    (void)state;
    ns_json *whole = NULL;
    kept_study first = // 1, 1/2, 0, 1
        complete_study("a", "{\"test_accuracy\": 0.625, \"test_scores\": \"4:f07800f0\"}");
    first.settings = several;
    kept_study second = first;
    second.name = "b";
    second.result = "{\"test_accuracy\": 0.25, \"test_scores\": \"4:7878zz78\"}";
    assert_no_test(&first, &second, "damaged");
    second.result =
        "{\"test_accuracy\": 0.375, \"test_scores\": \"4:78780078\"}"; // 1/2, 1/2, 0, 1/2
    const ns_json *test = only_test(pair_of(&first, &second, &whole), "randomisation");
    assert_int_equal(ns_json_int(test, "first_better", -1), 2);
    assert_int_equal(ns_json_int(test, "second_better", -1), 0);
    assert_string_equal(ns_json_string(test, "method", ""), "exact");
    assert_float_equal(ns_json_number(test, "difference", (double)NAN), 0.25, 1e-12);
    assert_float_equal(ns_json_number(test, "p", (double)NAN), 0.5,
                       1e-12); // 2 of 4 choices of signs
    ns_json_free(whole);
}

/// Studies without an answer to compare, each with its own reason.
static void test_no_test(void **state) {
    (void)state;
    kept_study whole =
        complete_study("whole", "{\"test_accuracy\": 0.625, \"test_scores\": \"4:f07800f0\"}");
    whole.settings = several;
    kept_study other = whole;
    other.name = "other";
    other.result = "{\"test_accuracy\": 0.625}";
    assert_no_test(&whole, &other, "'other' was finished by a version that did not keep");
    assert_no_test(&other, &whole, "'other' was finished by a version that did not keep");
    other.result = "{\"val_accuracy\": 0.625}";
    assert_no_test(&whole, &other, "'other' has no test predictions");
    other.state = RESULTS_STUDY_INTERRUPTED;
    assert_no_test(&whole, &other, "'other' is not finished");
    other = whole;
    other.name = "other";
    other.dataset_sha256 = "y";
    assert_no_test(&whole, &other, "different data sets");
    other.dataset_sha256 = "x";
    other.result = "{\"test_accuracy\": 0.625, \"test_scores\": \"3:f07800\"}";
    assert_no_test(&whole, &other, "one was judged on 4 images, the other on 3");
}

/// A study of a comparison.
static const ns_json *study_of(const ns_json *whole, size_t i) {
    return ns_json_at(ns_json_get(whole, "studies"), i);
}

/// A model that was trained on the validation images has no validation accuracy of its own.
static void test_whose_validation(void **state) {
    (void)state;
    ns_json *whole = NULL;
    const kept_study first =
        complete_study("a", "{\"val_accuracy\": 0.9, \"val_accuracy_of\": \"model\"}");
    kept_study second =
        complete_study("b", "{\"val_accuracy\": 0.8, \"val_accuracy_of\": \"winner's trial\"}");
    (void)pair_of(&first, &second, &whole);
    assert_string_equal(ns_json_string(study_of(whole, 0), "best_val_accuracy_of", ""), "model");
    assert_false(search_trained_on_validation(study_of(whole, 0)));
    assert_string_equal(ns_json_string(study_of(whole, 1), "best_val_accuracy_of", ""), "trial");
    assert_true(search_trained_on_validation(study_of(whole, 1)));
    ns_json_free(whole);
    second.result = NULL;
    (void)pair_of(&first, &second, &whole);
    assert_null(ns_json_string(study_of(whole, 1), "best_val_accuracy_of", NULL));
    ns_json_free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_label),
        cmocka_unit_test(test_several_labels),
        cmocka_unit_test(test_no_test),
        cmocka_unit_test(test_whose_validation),
    };
    return cmocka_run_group_tests_name("search/compare_studies", tests, NULL, NULL);
}
