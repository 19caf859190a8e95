// Copies of one picture: what is recognised, which copy stays, what becomes of conflicts; and a set
// of pictures that grows.

#include "tests/data/sources.h"

static data__print print_of(int width, int height, int channels, const uint8_t *pixels) {
    ns_error err = {0};
    data__print print;
    uint8_t *copy = malloc((size_t)(width * height * channels));
    assert_non_null(copy);
    memcpy(copy, pixels, (size_t)(width * height * channels));
    data_image image = {width, height, channels, copy};
    assert_ok(data__print_of(&image, &print, &err), &err);
    data_image_free(&image);
    return print;
}

static bool equal(data__print a, data__print b) {
    return a.exact[0] == b.exact[0] && a.exact[1] == b.exact[1];
}

static void test_prints(void **state) {
    (void)state;
    static const uint8_t grey[4] = {1, 2, 3, 4};
    static const uint8_t grey_as_rgb[12] = {1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4};
    static const uint8_t coloured[12] = {1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5};
    const data__print first = print_of(2, 2, 1, grey);
    assert_true(equal(first, print_of(2, 2, 1, grey)));
    assert_true(equal(first, print_of(2, 2, 3, grey_as_rgb)));
    assert_false(equal(first, print_of(2, 2, 3, coloured)));
    assert_false(equal(first, print_of(4, 1, 1, grey))); // the same bytes in another shape
    assert_false(equal(first, print_of(1, 4, 1, grey)));
    static uint8_t large[3 * 5000]; // more than is hashed at once
    memset(large, 9, sizeof(large));
    assert_true(equal(print_of(50, 100, 1, large), print_of(50, 100, 3, large)));
}

static void test_a_set_grows(void **state) {
    (void)state;
    enum { COUNT = 5000 };
    ns_error err = {0};
    data__pictures set = {0};
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < COUNT; i++) {
            const data__picture seen = {.print.exact = {i % 7, i}, .item = i}; // all in 7 slots
            data__picture *found = NULL;
            bool is_new = false;
            assert_ok(data__pictures_take(&set, &seen, &found, &is_new, &err), &err);
            assert_int_equal(is_new, round == 0);
            assert_int_equal(found->item, i);
        }
    }
    assert_int_equal(set.count, COUNT);
    data__pictures_free(&set);
}

/* ---- imports --------------------------------------------------------------------------------- */

static data_set *import_copies(const data_import_options *options) {
    ns_error err = {0};
    data_set *set = NULL;
    assert_ok(data_import("copies", "copies.nsd", options, &err), &err);
    assert_ok(data_open("copies.nsd", &set, &err), &err);
    return set;
}

static const char *reason_of(const data_set *set, const char *file) {
    for (size_t i = 0; i < data_dropped_count(set); i++) {
        if (strcmp(data_dropped_at(set, i).file, file) == 0) {
            return data_dropped_at(set, i).reason;
        }
    }
    fail_msg("%s was not dropped", file);
    return NULL;
}

/// The images of a split that have this value in all pixels.
static int count_value(const data_set *set, data_split split, uint8_t value) {
    size_t count = 0;
    int found = 0;
    const uint32_t *indices = data_indices(set, split, &count);
    for (size_t i = 0; i < count; i++) {
        found += data_pixels(set, indices[i])[0] == value;
    }
    return found;
}

static void make_splits(void) {
    fresh_dir("copies");
    put_label("copies/train", "a", 10, 0);
    put_label("copies/train", "b", 10, 20);
    put_label("copies/val", "a", 3, 40);
    put_label("copies/val", "b", 3, 60);
    put_label("copies/test", "a", 3, 80);
    put_label("copies/test", "b", 3, 100);
}

static void test_the_test_split_keeps_its_copy(void **state) {
    (void)state;
    make_splits();
    put_plain_png("copies/train/a/in_test.png", 8, 8, true, 80);
    put_plain_png("copies/train/b/in_val.png", 8, 8, true, 60);
    put_plain_png("copies/val/b/in_test.png", 8, 8, true, 101);
    put_plain_png("copies/train/a/again.png", 8, 8, false, 200);
    put_plain_png("copies/train/a/again2.png", 8, 8, false, 200);
    const data_import_options options = data_import_options_default();
    data_set *set = import_copies(&options);
    assert_int_equal(data_describe(set)->split_count[DATA_TRAIN], 21);
    assert_int_equal(data_describe(set)->split_count[DATA_VALIDATION], 6);
    assert_int_equal(data_describe(set)->split_count[DATA_TEST], 6);
    assert_int_equal(count_value(set, DATA_TRAIN, 60) + count_value(set, DATA_TRAIN, 80), 0);
    assert_int_equal(count_value(set, DATA_VALIDATION, 60), 1);
    assert_int_equal(count_value(set, DATA_TEST, 80), 1);
    assert_int_equal(count_value(set, DATA_TEST, 101), 1);
    assert_int_equal(data_dropped_count(set), 4);
    assert_string_equal(reason_of(set, "train/a/again2.png"), "a duplicate of train/a/again.png");
    assert_string_equal(reason_of(set, "train/a/in_test.png"),
                        "a duplicate of test/a/000.png in the test split");
    assert_string_equal(reason_of(set, "train/b/in_val.png"),
                        "a duplicate of val/b/000.png in the validation split");
    assert_string_equal(reason_of(set, "val/b/in_test.png"),
                        "a duplicate of test/b/001.png in the test split");
    assert_non_null(strstr(data_describe(set)->provenance, "\"across_splits\":3"));
    size_t count = 0;
    const uint32_t *indices = data_indices(set, DATA_VALIDATION, &count);
    for (size_t i = 0; i < count; i++) { // names moved up with their images
        char name[64];
        (void)snprintf(name, sizeof(name), "val/%s/%03zu.png", i < 3 ? "a" : "b", i % 3);
        assert_int_equal(data_pixels(set, indices[i])[0], (i < 3 ? 40 : 60) + i % 3);
        assert_name(set, indices[i], name);
    }
    data_close(set);
}

/// Two labels, one picture in both, twice in the second.
static void make_conflict(void) {
    fresh_dir("copies");
    put_label("copies", "a", 10, 0);
    put_label("copies", "b", 10, 20);
    put_plain_png("copies/a/x.png", 8, 8, true, 99);
    put_plain_png("copies/b/x.png", 8, 8, true, 99);
    put_plain_png("copies/b/y.png", 8, 8, true, 99);
}

static void test_conflicts_are_dropped(void **state) {
    (void)state;
    make_conflict();
    const data_import_options options = data_import_options_default();
    data_set *set = import_copies(&options);
    assert_int_equal(data_describe(set)->image_count, 20);
    assert_int_equal(data_dropped_count(set), 3);
    assert_string_equal(reason_of(set, "a/x.png"),
                        "the same picture as b/x.png, which has the label 'b'");
    assert_string_equal(reason_of(set, "b/x.png"),
                        "the same picture as a/x.png, which has the label 'a'");
    assert_string_equal(reason_of(set, "b/y.png"),
                        "the same picture as a/x.png, which has the label 'a'");
    assert_non_null(strstr(data_describe(set)->provenance, "\"conflicting_labels\":3"));
    data_close(set);
}

static void test_the_first_label_is_believed(void **state) {
    (void)state;
    make_conflict();
    data_import_options options = data_import_options_default();
    options.conflicts = DATA_CONFLICTS_FIRST;
    data_set *set = import_copies(&options);
    assert_int_equal(data_describe(set)->image_count, 21);
    assert_int_equal(data_dropped_count(set), 2);
    (void)reason_of(set, "b/x.png");
    (void)reason_of(set, "b/y.png");
    data_close(set);
}

static void test_conflicts_may_be_errors(void **state) {
    (void)state;
    make_conflict();
    data_import_options options = data_import_options_default();
    options.conflicts = DATA_CONFLICTS_ERROR;
    assert_refused("copies", &options, NS_ERR_INPUT,
                   (const char *const[]){"a/x.png", "'a'", "b/x.png", "'b'", "the same picture"},
                   5);
}

static void test_all_may_be_kept(void **state) {
    (void)state;
    make_conflict();
    data_import_options options = data_import_options_default();
    options.keep_duplicates = true;
    data_set *set = import_copies(&options);
    assert_int_equal(data_describe(set)->image_count, 23);
    assert_int_equal(data_dropped_count(set), 0);
    assert_non_null(strstr(data_describe(set)->provenance,
                           "\"duplicates\":{\"dropped\":false,\"repeated_pictures\":1,"
                           "\"same_label\":0,\"conflicting_labels\":2,\"across_splits\":0"));
    data_close(set);
}

static void test_words(void **state) {
    (void)state;
    static const char *const words[] = {"drop", "first", "error"};
    data_conflicts conflicts = DATA_CONFLICTS_ERROR;
    for (int i = 0; i < 3; i++) {
        assert_status(data_conflicts_parse(words[i], &conflicts, NULL), NS_OK);
        assert_int_equal(conflicts, i);
    }
    assert_status(data_conflicts_parse("last", &conflicts, NULL), NS_ERR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prints),
        cmocka_unit_test(test_a_set_grows),
        cmocka_unit_test(test_the_test_split_keeps_its_copy),
        cmocka_unit_test(test_conflicts_are_dropped),
        cmocka_unit_test(test_the_first_label_is_believed),
        cmocka_unit_test(test_conflicts_may_be_errors),
        cmocka_unit_test(test_all_may_be_kept),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
