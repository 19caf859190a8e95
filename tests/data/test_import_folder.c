// Folder per label: labels and splits from names, what is left out, and what is refused.

#include "tests/data/sources.h"

static size_t dropped_with(const data_set *set, const char *file, const char *reason) {
    size_t count = 0;
    for (size_t i = 0; i < data_dropped_count(set); i++) {
        const data_dropped dropped = data_dropped_at(set, i);
        count += strcmp(dropped.file, file) == 0 && strstr(dropped.reason, reason) != NULL;
    }
    return count;
}

static void test_labels_are_sorted_bytewise(void **state) {
    (void)state;
    fresh_dir("plain");
    put_label("plain", "rose", 10, 10);
    put_label("plain", "Tulip", 10, 50);
    put_label("plain", "g\xc3\xa4nse bl\xc3\xbcmchen", 10, 100); // UTF-8 and a space
    data_set *set = import_and_open("plain", DATA_FORMAT_AUTO);
    const data_info *info = data_describe(set);
    assert_int_equal(info->label_count, 3);
    assert_string_equal(info->labels[0], "Tulip");
    assert_string_equal(info->labels[1], "g\xc3\xa4nse bl\xc3\xbcmchen");
    assert_string_equal(info->labels[2], "rose");
    assert_string_equal(info->source, "plain");
    assert_int_equal(info->channels, 1);
    assert_int_equal(info->width, 8);
    static const uint8_t first_value[] = {50, 100, 10};
    for (size_t i = 0; i < info->image_count; i++) {
        const int label = data_label(set, i);
        assert_int_equal(data_pixels(set, i)[0], first_value[label] + i % 10);
        char name[64];
        (void)snprintf(name, sizeof(name), "%s/%03zu.png", info->labels[label], i % 10);
        assert_name(set, i, name);
    }
    for (int label = 0; label < 3; label++) {
        assert_int_equal(data_label_count(set, DATA_TRAIN, label), 8);
        assert_int_equal(data_label_count(set, DATA_VALIDATION, label), 1);
        assert_int_equal(data_label_count(set, DATA_TEST, label), 1);
    }
    data_close(set);
}

static void test_labels_must_be_utf8(void **state) {
    (void)state;
    fresh_dir("latin");
    put_label("latin", "rose", 10, 10);
    put_label("latin", "g\xe4nse", 10, 50);
    ASSERT_REFUSED("latin", NS_ERR_INPUT, "cannot import latin", "label 'g\\xe4nse' is not UTF-8");
}

static void test_any_file_name_prints_safely(void **state) {
    (void)state;
    fresh_dir("strange");
    put_label("strange", "a", 10, 10);
    put_label("strange", "b", 10, 50);
    put_plain_png("strange/b/\xe4.png", 8, 8, true, 90);
    put_text("strange/b/\x1b[2J\xff.txt", "text");
    data_set *set = import_and_open("strange", DATA_FORMAT_AUTO);
    assert_int_equal(data_describe(set)->image_count, 21);
    assert_int_equal(data_pixels(set, 20)[0], 90);
    assert_name(set, 20, "b/\\xe4.png");
    assert_int_equal(data_dropped_count(set), 1);
    assert_int_equal(dropped_with(set, "b/\\x1b[2J\\xff.txt", "it is no PNG"), 1);
    data_close(set);
    put_text("strange/b/\xff.png", "text");
    data_import_options options = data_import_options_default();
    options.bad_fraction_max = 0.0;
    static const char *const words[] = {"b/\\xff.png (it is no PNG, JPEG or WebP image)"};
    assert_refused("strange", &options, NS_ERR_INPUT, words, 1);
}

static void test_splits_above_labels(void **state) {
    (void)state;
    static const char *const names[] = {"validation", "valid", "val"};
    for (size_t i = 0; i < NS_COUNT_OF(names); i++) {
        char validation[32];
        (void)snprintf(validation, sizeof(validation), "split/%s", names[i]);
        fresh_dir("split");
        put_label("split/train", "a", 6, 0);
        put_label("split/train", "b", 6, 100);
        put_label(validation, "a", 3, 10);
        put_label(validation, "b", 2, 110);
        put_label("split/test", "b", 4, 120);
        put_label("split/test", "a", 5, 20);
        data_set *set = import_and_open("split", DATA_FORMAT_FOLDER);
        assert_int_equal(data_describe(set)->label_count, 2);
        assert_int_equal(data_label_count(set, DATA_TRAIN, 0), 6);
        assert_int_equal(data_label_count(set, DATA_VALIDATION, 0), 3);
        assert_int_equal(data_label_count(set, DATA_VALIDATION, 1), 2);
        assert_int_equal(data_label_count(set, DATA_TEST, 0), 5);
        assert_int_equal(data_label_count(set, DATA_TEST, 1), 4);
        data_close(set);
    }
}

static void test_validation_is_carved_from_train(void **state) {
    (void)state;
    fresh_dir("carved");
    put_label("carved/train", "a", 20, 0);
    put_label("carved/train", "b", 20, 100);
    put_label("carved/test", "a", 2, 200);
    put_label("carved/test", "b", 2, 210);
    data_set *set = import_and_open("carved", DATA_FORMAT_AUTO);
    for (int label = 0; label < 2; label++) {
        assert_int_equal(data_label_count(set, DATA_TRAIN, label), 18);
        assert_int_equal(data_label_count(set, DATA_VALIDATION, label), 2);
        assert_int_equal(data_label_count(set, DATA_TEST, label), 2);
    }
    size_t count;
    const uint32_t *indices = data_indices(set, DATA_TEST, &count);
    for (size_t i = 0; i < count; i++) {
        assert_true(data_pixels(set, indices[i])[0] >= 200);
    }
    data_close(set);
}

static void test_what_is_left_out(void **state) {
    (void)state;
    fresh_dir("litter");
    put_label("litter", "a", 20, 0);
    put_label("litter", "b", 20, 100);
    put_text("litter/.hidden", "x");
    put_text("litter/a/.DS_Store", "x");
    put_text("litter/a/Thumbs.db", "x");
    put_text("litter/README.txt", "x");
    put_text("litter/a/notes.txt", "not an image");
    put_text("litter/a/broken.png", "not an image");
    put_text("litter/b/empty.jpg", "");
    put_label("litter/b", "deeper", 1, 0);
    data_set *set = import_and_open("litter", DATA_FORMAT_AUTO);
    assert_int_equal(data_describe(set)->image_count, 40);
    assert_int_equal(data_dropped_count(set), 5);
    assert_int_equal(dropped_with(set, "README.txt", "not inside a label's folder"), 1);
    assert_int_equal(dropped_with(set, "a/notes.txt", "no PNG, JPEG or WebP image"), 1);
    assert_int_equal(dropped_with(set, "a/broken.png", "no PNG, JPEG or WebP image"), 1);
    assert_int_equal(dropped_with(set, "b/empty.jpg", "empty"), 1);
    assert_int_equal(dropped_with(set, "b/deeper", "folder inside a label's folder"), 1);
    data_close(set);
}

static void test_links_in_a_circle_end(void **state) {
    (void)state;
    fresh_dir("loop");
    put_label("loop", "a", 20, 0);
    put_label("loop", "b", 20, 100);
    assert_int_equal(symlink("..", "loop/a/up"), 0);
    assert_int_equal(symlink("self.png", "loop/a/self.png"), 0);
    assert_int_equal(symlink("nowhere.png", "loop/a/dangling.png"), 0);
    assert_int_equal(symlink("../a/000.png", "loop/b/linked.png"), 0);
    assert_int_equal(mkfifo("loop/b/pipe.png", 0600), 0);
    data_set *set = import_and_open("loop", DATA_FORMAT_AUTO);
    assert_int_equal(data_describe(set)->image_count, 39);
    assert_int_equal(dropped_with(set, "b/linked.png", "which has the label 'a'"), 1);
    assert_int_equal(dropped_with(set, "a/up", "folder"), 1);
    assert_int_equal(dropped_with(set, "a/self.png", "not a regular file"), 1);
    assert_int_equal(dropped_with(set, "a/dangling.png", "not a regular file"), 1);
    assert_int_equal(dropped_with(set, "b/pipe.png", "not a regular file"), 1);
    data_close(set);
}

static void test_refusals(void **state) {
    (void)state;
    ASSERT_REFUSED("no such folder", NS_ERR_NOT_FOUND, "no such folder", "No such file");
    fresh_dir("bare");
    ASSERT_REFUSED("bare", NS_ERR_INPUT, "bare", "no folder");
    fresh_dir("bare/a");
    fresh_dir("bare/b");
    ASSERT_REFUSED("bare", NS_ERR_INPUT, "bare", "no PNG, JPEG or WebP");
    fresh_dir("single");
    put_label("single", "only", 5, 0);
    ASSERT_REFUSED("single", NS_ERR_INPUT, "single", "only one label ('only')");
    put_label("single", "rare", 1, 100);
    ASSERT_REFUSED("single", NS_ERR_INPUT, "single", "'rare' has 1 usable image;");
    fresh_dir("mixed");
    put_label("mixed/train", "a", 2, 0);
    put_label("mixed", "cats", 2, 0);
    ASSERT_REFUSED("mixed", NS_ERR_INPUT, "mixed", "'cats'");
    fresh_dir("untrained");
    put_label("untrained/train", "a", 4, 0);
    put_label("untrained/train", "b", 4, 10);
    put_label("untrained/test", "c", 4, 20);
    ASSERT_REFUSED("untrained", NS_ERR_INPUT, "'c' has no image to train on");
}

static void test_unreadable_folder(void **state) {
    (void)state;
    fresh_dir("locked");
    put_label("locked", "a", 2, 0);
    assert_int_equal(chmod("locked", 0), 0);
    if (geteuid() != 0) { // root reads everything
        ASSERT_REFUSED("locked", NS_ERR_IO, "locked", "Permission denied");
    }
    assert_int_equal(chmod("locked", 0700), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_are_sorted_bytewise),
        cmocka_unit_test(test_labels_must_be_utf8),
        cmocka_unit_test(test_any_file_name_prints_safely),
        cmocka_unit_test(test_splits_above_labels),
        cmocka_unit_test(test_validation_is_carved_from_train),
        cmocka_unit_test(test_what_is_left_out),
        cmocka_unit_test(test_links_in_a_circle_end),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_unreadable_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
