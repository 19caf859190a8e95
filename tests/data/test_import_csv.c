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
    data_close(set);
}

static void test_refusals(void **state) {
    (void)state;
    make_images();
    put_manifest("TRAIN,images/000.png,a\nTRIAN,images/001.png,b\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "csv/set.csv", "line 2", "'TRIAN'");
    put_manifest("partition,path,label\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 1", "'partition'");
    put_manifest("TRAIN,images/000.png,a\n\nTRAIN,images/001.png\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 3", "2 fields instead of 3");
    put_manifest("TRAIN,images/000.png,a\nTRAIN,images/001.png,b,c\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 2", "4 fields");
    put_manifest("TRAIN,images/000.png,a\nTRAIN,images/lost.png,b\n");
    ASSERT_REFUSED("csv/set.csv", NS_ERR_INPUT, "line 2", "no file 'images/lost.png'");
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
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
