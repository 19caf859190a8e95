// Splits of images that have several labels: every split gets its part of every label.

#include "tests/ns_test.h"

#include <string.h>

#include "data/data_internal.h"

enum {
    LABEL_COUNT = 6,
    IMAGE_COUNT = 2000,
    LISTS_MAX = IMAGE_COUNT * LABEL_COUNT,
};

static const char *const names[LABEL_COUNT] = {"a", "b", "c", "d", "e", "f"};

typedef struct fixture {
    uint16_t counts[IMAGE_COUNT];
    uint16_t lists[LISTS_MAX];
    uint8_t splits[IMAGE_COUNT];
    data__split_request request;
} fixture;

/// Labels of very different frequency; "f" is nearly always beside "a". A fifth has none.
static void prepare(fixture *f, uint64_t seed) {
    static const double frequency[LABEL_COUNT] = {0.5, 0.3, 0.1, 0.04, 0.01, 0};
    ns_rng rng = ns_rng_stream(7, 0, "test");
    size_t used = 0;
    for (size_t i = 0; i < IMAGE_COUNT; i++) {
        bool has[LABEL_COUNT];
        for (int label = 0; label < LABEL_COUNT; label++) {
            has[label] = ns_rng_unit(&rng) < frequency[label];
        }
        has[LABEL_COUNT - 1] = has[0] && i % 40 == 0;
        f->counts[i] = 0;
        f->splits[i] = DATA__UNASSIGNED;
        for (int label = 0; label < LABEL_COUNT; label++) {
            if (has[label]) {
                f->lists[used++] = (uint16_t)label;
                f->counts[i]++;
            }
        }
    }
    f->request = (data__split_request){.image_labels = f->counts,
                                       .label_lists = f->lists,
                                       .image_splits = f->splits,
                                       .image_count = IMAGE_COUNT,
                                       .labels = names,
                                       .label_count = LABEL_COUNT,
                                       .percent = {80, 10, 10},
                                       .seed = seed};
}

/// Images of each label (row LABEL_COUNT: all images) in each split.
static void count_all(const fixture *f, size_t counts[LABEL_COUNT + 1][DATA_SPLIT_COUNT]) {
    size_t at = 0;
    memset(counts, 0, sizeof(size_t) * (LABEL_COUNT + 1) * DATA_SPLIT_COUNT);
    for (size_t i = 0; i < IMAGE_COUNT; i++) {
        counts[LABEL_COUNT][f->splits[i]]++;
        for (size_t k = 0; k < f->counts[i]; k++) {
            counts[f->lists[at++]][f->splits[i]]++;
        }
    }
}

static void test_every_label_is_stratified(void **state) {
    (void)state;
    static fixture f;
    ns_error err = {0};
    size_t counts[LABEL_COUNT + 1][DATA_SPLIT_COUNT];
    prepare(&f, 1);
    assert_ok(data__split_assign(&f.request, &err), &err);
    count_all(&f, counts);
    for (int label = 0; label <= LABEL_COUNT; label++) {
        size_t all = 0;
        for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
            all += counts[label][split];
        }
        for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
            const double want = (double)all * f.request.percent[split] / 100;
            const double got = (double)counts[label][split];
            if (got < want - 2 - 0.02 * (double)all || got > want + 2 + 0.02 * (double)all) {
                fail_msg("row %d split %d: %g images, want about %g of %zu", label, split, got,
                         want, all);
            }
        }
    }
}

static void test_seed_decides(void **state) {
    (void)state;
    static fixture a, b;
    ns_error err = {0};
    prepare(&a, 1);
    prepare(&b, 1);
    assert_ok(data__split_assign(&a.request, &err), &err);
    assert_ok(data__split_assign(&b.request, &err), &err);
    assert_memory_equal(a.splits, b.splits, sizeof(a.splits));
    prepare(&b, 2);
    assert_ok(data__split_assign(&b.request, &err), &err);
    assert_memory_not_equal(a.splits, b.splits, sizeof(a.splits));
}

/// What the source assigned stays, and a source with train and test only gets a validation split.
static void test_assigned_stay(void **state) {
    (void)state;
    static fixture f;
    ns_error err = {0};
    size_t counts[LABEL_COUNT + 1][DATA_SPLIT_COUNT];
    prepare(&f, 3);
    for (size_t i = 0; i < IMAGE_COUNT; i++) {
        f.splits[i] = i % 7 == 0 ? DATA_TEST : DATA_TRAIN;
    }
    assert_ok(data__split_assign(&f.request, &err), &err);
    count_all(&f, counts);
    assert_int_equal(counts[LABEL_COUNT][DATA_TEST], (IMAGE_COUNT + 6) / 7);
    for (size_t i = 0; i < IMAGE_COUNT; i += 7) {
        assert_int_equal(f.splits[i], DATA_TEST);
    }
    assert_in_range(counts[LABEL_COUNT][DATA_VALIDATION], 160, 182);
}

static void test_lone_image_is_refused(void **state) {
    (void)state;
    static fixture f;
    ns_error err = {0};
    prepare(&f, 1);
    f.request.image_count = 1; // of each label at most one
    assert_status(data__split_assign(&f.request, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "at least 2"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_label_is_stratified),
        cmocka_unit_test(test_seed_decides),
        cmocka_unit_test(test_assigned_stay),
        cmocka_unit_test(test_lone_image_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
