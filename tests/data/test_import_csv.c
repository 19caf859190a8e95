// The CSV manifest: partitions, relative paths, quotes, and the line number in every refusal.

#include "tests/data/sources.h"

static void make_images(void) {
    fresh_dir("csv");
    put_label("csv", "images", 12, 1);
    put_label("csv", "more images", 4, 200);
}

static void put_manifest(const char *text) {
    put_text("csv/set.csv", text);
}

static void test_partitions(void **state) {
    (void)state;
    make_images();
    put_manifest("\xef\xbb\xbfTRAIN,images/000.png,rose\r\n"
                 "train,images/001.png,tulip\n"
                 "\n"
                 "VALIDATION,images/002.png,rose\n"
                 "VALIDATION,images/003.png,tulip\n"
                 "TEST,\"more images/000.png\",\"rose\"\n"
                 "TEST,more images/001.png,tulip\n"
                 "UNASSIGNED,images/004.png,rose\n"
                 "UNASSIGNED,images/005.png,\"a, \"\"b\"\"\"\n"
                 "UNASSIGNED,images/006.png,\"a, \"\"b\"\"\"");
    data_set *set = import_and_open("csv/set.csv", DATA_FORMAT_AUTO);
    const data_info *info = data_describe(set);
    assert_int_equal(info->image_count, 9);
    assert_int_equal(info->label_count, 3);
    assert_string_equal(info->labels[0], "a, \"b\"");
    assert_string_equal(info->labels[1], "rose");
    assert_string_equal(info->labels[2], "tulip");
    static const int labels[] = {1, 2, 1, 2, 1, 2, 1, 0, 0};
    static const uint8_t values[] = {1, 2, 3, 4, 200, 201, 5, 6, 7};
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(data_label(set, i), labels[i]);
        assert_int_equal(data_pixels(set, i)[0], values[i]);
    }
    assert_name(set, 3, "images/003.png");
    assert_name(set, 4, "more images/000.png");
    assert_int_equal(info->split_count[DATA_TRAIN], 5);
    assert_int_equal(info->split_count[DATA_VALIDATION], 2);
    assert_int_equal(info->split_count[DATA_TEST], 2);
    data_close(set);
}

static void test_all_unassigned(void **state) {
    (void)state;
    make_images();
    char text[2048] = "";
    for (int i = 0; i < 12; i++) {
        const size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "UNASSIGNED,images/%03d.png,%s\n", i,
                       i % 2 ? "odd" : "even");
    }
    put_manifest(text);
    data_set *set = import_and_open("csv/set.csv", DATA_FORMAT_CSV);
    for (int label = 0; label < 2; label++) {
        assert_int_equal(data_label_count(set, DATA_TRAIN, label), 4);
        assert_int_equal(data_label_count(set, DATA_VALIDATION, label), 1);
        assert_int_equal(data_label_count(set, DATA_TEST, label), 1);
    }
    data_close(set);
}

static void test_absolute_paths(void **state) {
    (void)state;
    ns_error err = {0};
    char path[NS_PATH_MAX];
    char text[4 * NS_PATH_MAX];
    make_images();
    assert_ok(ns_path_absolute("csv/images/000.png", path, &err), &err);
    (void)snprintf(text, sizeof(text),
                   "TRAIN,%s,a\nTRAIN,images/001.png,b\nTRAIN,images/002.png,a\n"
                   "TRAIN,images/003.png,b\n",
                   path);
    put_manifest(text);
    data_set *set = import_and_open("csv/set.csv", DATA_FORMAT_CSV);
    assert_int_equal(data_describe(set)->image_count, 4);
    assert_name(set, 0, path); // as the manifest has it
    assert_name(set, 1, "images/001.png");
    data_close(set);
}

static void assert_labels(const data_set *set, size_t index, size_t want_count,
                          const uint16_t *want) {
    size_t count = 0;
    const uint16_t *labels = data_labels_of(set, index, &count);
    assert_int_equal(count, want_count);
    for (size_t k = 0; k < want_count; k++) {
        assert_int_equal(labels[k], want[k]);
    }
}

static void test_several_labels(void **state) {
    (void)state;
    make_images();
    put_manifest("TRAIN,images/000.png,rose,tulip\n"
                 "TRAIN,images/001.png,tulip\n"
                 "TRAIN,images/002.png,tulip,ash,rose,tulip\n" // one twice counts once
                 "TRAIN,images/003.png\n"
                 "TRAIN,images/004.png,ash,,\n" // as spreadsheets pad lines
                 "VALIDATION,images/005.png,\n"
                 "TEST,images/006.png,rose,ash\n"
                 "TEST,images/007.png,tulip\n");
    data_set *set = import_and_open("csv/set.csv", DATA_FORMAT_AUTO);
    const data_info *info = data_describe(set);
    assert_true(info->multi_label);
    assert_int_equal(info->image_count, 8);
    assert_int_equal(info->label_count, 3); // ash, rose, tulip
    assert_labels(set, 0, 2, (const uint16_t[]){1, 2});
    assert_labels(set, 1, 1, (const uint16_t[]){2});
    assert_labels(set, 2, 3, (const uint16_t[]){0, 1, 2});
    assert_labels(set, 3, 0, NULL);
    assert_labels(set, 4, 1, (const uint16_t[]){0});
    assert_labels(set, 5, 0, NULL);
    assert_int_equal(data_label_count(set, DATA_TRAIN, 2), 3);
    assert_int_equal(info->split_count[DATA_VALIDATION], 1);
    data_close(set);
}

/// The same label twice makes no line one of several labels.
static void test_repeated_label_is_single(void **state) {
    (void)state;
    make_images();
    put_manifest("TRAIN,images/000.png,a,a\nTRAIN,images/001.png,b,\n"
                 "TRAIN,images/002.png,a\nTRAIN,images/003.png,b\n");
    data_set *set = import_and_open("csv/set.csv", DATA_FORMAT_CSV);
    assert_false(data_describe(set)->multi_label);
    assert_int_equal(data_describe(set)->label_count, 2);
    data_close(set);
}

static void test_multi_label_when_asked(void **state) {
    (void)state;
    ns_error err = {0};
    data_set *set = NULL;
    data_import_options options = data_import_options_default();
    options.multi_label = true;
    make_images();
    put_manifest("TRAIN,images/000.png,a\nTRAIN,images/001.png,b\nTRAIN,images/002.png\n"
                 "TRAIN,images/003.png,a\nTRAIN,images/004.png,b\n");
    assert_ok(data_import("csv/set.csv", "asked.nsd", &options, &err), &err);
    assert_ok(data_open("asked.nsd", &set, &err), &err);
    assert_true(data_describe(set)->multi_label);
    assert_int_equal(data_describe(set)->image_count, 5);
    data_close(set);
    assert_status(data_import("csv", "asked.nsd", &options, &err), NS_ERR_USAGE);
    assert_non_null(strstr(err.text, "only CSV manifests"));
}

static void test_bad_labels(void **state) {
    (void)state;
    make_images();
    put_manifest("TRAIN,images/000.png,a\nTRAIN,images/001.png,a,,b\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 2", "a label is empty");
    char *text = calloc(1, 16384);
    assert_non_null(text);
    size_t used = (size_t)snprintf(text, 16384, "TRAIN,images/000.png");
    for (int i = 0; i <= DATA__IMAGE_LABELS_MAX; i++) {
        used += (size_t)snprintf(text + used, 16384 - used, ",l%d", i);
    }
    put_manifest(text);
    free(text);
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 1", "1025 labels, more than the 1024");
}

static void test_refusals(void **state) {
    (void)state;
    make_images();
    put_manifest("TRAIN,images/000.png,a\nTRIAN,images/001.png,b\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "csv/set.csv", "line 2", "'TRIAN'");
    put_manifest("partition,path,label\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 1", "'partition'");
    put_manifest("TRAIN,images/000.png,a\n\nTRAIN,images/001.png\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 3", "label is empty");
    put_manifest("TRAIN,images/000.png,a\nTRAIN\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 2", "1 fields instead of 3");
    put_manifest("TRAIN,images/000.png,a\nTRAIN,images/lost.png,b\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 2", "no file 'images/lost.png'");
    put_manifest("TRAIN,images/lost.png,a\nTRIAN,images/000.png,b\n"); // files come last
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 2", "'TRIAN'");
    put_manifest("TRAIN,gs://bucket/1.png,a\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 1", "gs://bucket/1.png", "cloud storage");
    put_manifest("TRAIN,images/000.png,\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 1", "label is empty");
    put_manifest("TRAIN,images/000.png,a\nTRAIN,images/001.png,\"b\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 2", "quote");
    put_manifest("TRAIN,images/000.png,a\nTRAIN,images/001.png,b\"c\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 2");
    put_manifest("TRAIN,images/000.png,a\nTRAIN,images/001.png,g\xe4nse\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT,
                   "cannot import csv/set.csv: line 2: ", "label 'g\\xe4nse' is not UTF-8");
    put_manifest("");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "csv/set.csv", "empty");
    put_file("csv/set.csv", "TRAIN\0,", 7);
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "not a text file");
    ASSERT_REFUSED("csv/lost.csv", NS_ERR_NOT_FOUND, "csv/lost.csv");
    put_manifest("TRAIN,images/000.png,a\nTRAIN,images/001.png,a\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "csv/set.csv", "only one label");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_all_unassigned),
        cmocka_unit_test(test_absolute_paths),
        cmocka_unit_test(test_several_labels),
        cmocka_unit_test(test_repeated_label_is_single),
        cmocka_unit_test(test_multi_label_when_asked),
        cmocka_unit_test(test_bad_labels),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
