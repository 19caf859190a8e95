// Splits: names, the sharing rules, stratification, and refusals.

#include "tests/ns_test.h"

#include <string.h>

#include "data/data_internal.h"

enum {
    LABEL_COUNT = 3,
    IMAGES_MAX = 1000,
};

static const char *const labels[LABEL_COUNT] = {"cat", "dog", "owl"};

/// A set under test: image i has label i % LABEL_COUNT.
typedef struct fixture {
    uint16_t image_labels[IMAGES_MAX];
    uint8_t image_splits[IMAGES_MAX];
    data__split_request request;
} fixture;

static void prepare(fixture *f, size_t count, uint8_t split) {
    for (size_t i = 0; i < count; i++) {
        f->image_labels[i] = (uint16_t)(i % LABEL_COUNT);
        f->image_splits[i] = split;
    }
    f->request = (data__split_request){
        .image_labels = f->image_labels,
        .image_splits = f->image_splits,
        .image_count = count,
        .labels = labels,
        .label_count = LABEL_COUNT,
        .percent = {80, 10, 10},
        .seed = 1,
    };
}

static size_t count_of(const fixture *f, int label, data_split split) {
    size_t count = 0;
    for (size_t i = 0; i < f->request.image_count; i++) {
        count += f->image_labels[i] == label && f->image_splits[i] == split;
    }
    return count;
}

static void assert_counts(const fixture *f, size_t train, size_t validation, size_t test) {
    for (int label = 0; label < LABEL_COUNT; label++) {
        assert_int_equal(count_of(f, label, DATA_TRAIN), train);
        assert_int_equal(count_of(f, label, DATA_VALIDATION), validation);
        assert_int_equal(count_of(f, label, DATA_TEST), test);
    }
}

static void assign(fixture *f) {
    ns_error err = {0};
    assert_ok(data__split_assign(&f->request, &err), &err);
}

static void test_names(void **state) {
    (void)state;
    data_split split;
    static const char *const names[] = {"TRAIN", "Validation", "val", "valid", "test"};
    static const data_split splits[] = {DATA_TRAIN, DATA_VALIDATION, DATA_VALIDATION,
                                        DATA_VALIDATION, DATA_TEST};
    for (size_t i = 0; i < NS_COUNT_OF(names); i++) {
        assert_status(data_split_parse(names[i], &split, NULL), NS_OK);
        assert_int_equal(split, splits[i]);
    }
    assert_status(data_split_parse("", &split, NULL), NS_ERR_USAGE);
    assert_status(data_split_parse("trains", &split, NULL), NS_ERR_USAGE);
}

static void test_unassigned_are_shared(void **state) {
    (void)state;
    fixture f;
    prepare(&f, 300, DATA__UNASSIGNED);
    assign(&f);
    assert_counts(&f, 80, 10, 10);
}

static void test_own_test_is_kept(void **state) {
    (void)state;
    fixture f;
    prepare(&f, 600, DATA_TRAIN);
    for (size_t i = 0; i < 300; i++) {
        f.image_splits[i] = DATA_TEST;
    }
    assign(&f);
    assert_counts(&f, 90, 10, 100);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(f.image_splits[i], DATA_TEST);
    }
}

static void test_own_validation_is_kept(void **state) {
    (void)state;
    fixture f;
    prepare(&f, 600, DATA__UNASSIGNED);
    for (size_t i = 0; i < 300; i++) {
        f.image_splits[i] = DATA_VALIDATION;
    }
    assign(&f);
    assert_counts(&f, 90, 100, 10);
}

static void test_complete_source_is_untouched(void **state) {
    (void)state;
    fixture f;
    prepare(&f, 300, DATA_TRAIN);
    for (size_t i = 0; i < 60; i++) {
        f.image_splits[i] = i < 30 ? DATA_TEST : DATA_VALIDATION;
    }
    uint8_t before[300];
    memcpy(before, f.image_splits, sizeof(before));
    assign(&f);
    assert_memory_equal(f.image_splits, before, sizeof(before));
}

static void test_unassigned_beside_a_complete_source_train(void **state) {
    (void)state;
    fixture f;
    prepare(&f, 300, DATA__UNASSIGNED);
    for (size_t i = 0; i < 90; i++) {
        f.image_splits[i] = (uint8_t)(i / 30);
    }
    assign(&f);
    assert_counts(&f, 80, 10, 10);
}

static void test_seed_decides(void **state) {
    (void)state;
    static fixture a, b, c;
    prepare(&a, 300, DATA__UNASSIGNED);
    prepare(&b, 300, DATA__UNASSIGNED);
    prepare(&c, 300, DATA__UNASSIGNED);
    c.request.seed = 2;
    assign(&a);
    assign(&b);
    assign(&c);
    assert_memory_equal(a.image_splits, b.image_splits, 300);
    assert_memory_not_equal(a.image_splits, c.image_splits, 300);
}

static void test_small_labels(void **state) {
    (void)state;
    fixture f;
    prepare(&f, 6, DATA__UNASSIGNED);
    assign(&f);
    assert_counts(&f, 1, 1, 0);
    prepare(&f, 9, DATA__UNASSIGNED);
    assign(&f);
    assert_counts(&f, 1, 1, 1);
}

static void test_no_share_no_image(void **state) {
    (void)state;
    fixture f;
    prepare(&f, 300, DATA__UNASSIGNED);
    f.request.percent[DATA_TRAIN] = 90;
    f.request.percent[DATA_TEST] = 0;
    assign(&f);
    assert_counts(&f, 90, 10, 0);
}

static void assert_refusal(fixture *f, const char *word) {
    ns_error err = {0};
    assert_status(data__split_assign(&f->request, &err), NS_ERR_INPUT);
    if (strstr(err.text, word) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, word);
    }
}

static void test_refusals(void **state) {
    (void)state;
    fixture f;
    prepare(&f, 300, DATA__UNASSIGNED);
    for (size_t i = 0; i < 300; i++) {
        f.image_labels[i] = i == 7 ? 1 : 0;
    }
    assert_refusal(&f, "'dog'");
    f.request.label_count = 1;
    assert_refusal(&f, "only one label ('cat')");
    prepare(&f, 300, DATA_TRAIN);
    for (size_t i = 0; i < 300; i++) {
        f.image_splits[i] = f.image_labels[i] == 2 ? DATA_TEST : DATA_TRAIN;
    }
    assert_refusal(&f, "'owl' has no image to train on");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_unassigned_are_shared),
        cmocka_unit_test(test_own_test_is_kept),
        cmocka_unit_test(test_own_validation_is_kept),
        cmocka_unit_test(test_complete_source_is_untouched),
        cmocka_unit_test(test_unassigned_beside_a_complete_source_train),
        cmocka_unit_test(test_seed_decides),
        cmocka_unit_test(test_small_labels),
        cmocka_unit_test(test_no_share_no_image),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
