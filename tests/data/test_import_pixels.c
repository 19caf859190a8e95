// CSV files with the pixels in them: both forms, headers, shapes, splits, and the line number in
// every refusal.

#include "tests/data/sources.h"

enum { SIDE = 4, COUNT = SIDE * SIDE };

/// Appends `count` numbers, `first` and up, each after `separator` but for the first.
static void add_numbers(FILE *file, int first, int count, char separator) {
    for (int i = 0; i < count; i++) {
        if (i > 0) {
            (void)fputc(separator, file);
        }
        (void)fprintf(file, "%d", (first + i) % 256);
    }
}

static FILE *begin(const char *path, const char *header) {
    fresh_dir("pixels");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(header, file);
    return file;
}

/// As FER2013: seven labels, three Usages; image i is i, i + 1, ...
static void write_fer(const char *path, const char *header, bool usage_second) {
    static const char *const usages[] = {"Training", "PublicTest", "PrivateTest"};
    FILE *file = begin(path, header);
    for (int i = 0; i < 42; i++) {
        (void)fprintf(file, "%d,", i % 7);
        if (usage_second) {
            (void)fprintf(file, " %s, ", usages[i / 14]);
        }
        add_numbers(file, i, COUNT, ' ');
        (void)fprintf(file, usage_second ? "\r\n" : ",%s\n", usages[i / 14]);
    }
    (void)fclose(file);
}

static void check_fer(const char *path) {
    data_set *set = import_and_open(path, DATA_FORMAT_AUTO);
    const data_info *info = data_describe(set);
    assert_int_equal(info->image_count, 42);
    assert_int_equal(info->label_count, 7);
    assert_int_equal(info->channels, 1);
    assert_int_equal(info->height, SIDE);
    assert_int_equal(info->width, SIDE);
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        assert_int_equal(info->split_count[split], 14);
    }
    for (size_t i = 0; i < 42; i++) {
        assert_int_equal(data_label(set, i), (int)i % 7);
        for (size_t p = 0; p < COUNT; p++) {
            assert_int_equal(data_pixels(set, i)[p], i + p);
        }
        char name[32];
        (void)snprintf(name, sizeof(name), "line %zu", i + 2); // behind the header
        assert_name(set, i, name);
    }
    data_close(set);
}

static void test_fer(void **state) {
    (void)state;
    write_fer("pixels/fer.csv", "emotion,pixels,Usage\n", false);
    check_fer("pixels/fer.csv");
    write_fer("pixels/fer.csv", "emotion, Usage, pixels\r\n", true);
    check_fer("pixels/fer.csv");
}

static void write_kaggle(const char *header, int numbers) {
    FILE *file = begin("pixels/k.csv", header);
    for (int i = 0; i < 24; i++) {
        (void)fprintf(file, "%s,", i % 2 == 0 ? "cat" : "dog");
        add_numbers(file, i, numbers, ',');
        (void)fputc('\n', file);
    }
    (void)fclose(file);
}

static void test_kaggle(void **state) {
    (void)state;
    write_kaggle("label,pixel0,pixel1,pixel2,pixel3\n", 4);
    data_set *set = import_and_open("pixels/k.csv", DATA_FORMAT_AUTO);
    const data_info *info = data_describe(set);
    assert_int_equal(info->image_count, 24);
    assert_int_equal(info->width, 2);
    assert_string_equal(info->labels[1], "dog");
    assert_int_equal(info->split_count[DATA_TEST], 2);
    assert_int_equal(data_label(set, 3), 1);
    assert_int_equal(data_pixels(set, 3)[2], 5);
    data_close(set);
    write_kaggle("Label,1x1,1x2,2x1,2x2\n", 4);
    set = import_and_open("pixels/k.csv", DATA_FORMAT_PIXELS);
    assert_int_equal(data_describe(set)->image_count, 24);
    data_close(set);
}

static void test_colour(void **state) {
    (void)state;
    write_kaggle("label,pixel0,pixel1,pixel2,pixel3,pixel4,pixel5,pixel6,pixel7,pixel8,pixel9,"
                 "pixel10,pixel11\n",
                 12);
    data_set *set = import_and_open("pixels/k.csv", DATA_FORMAT_AUTO);
    assert_int_equal(data_describe(set)->channels, 3);
    assert_int_equal(data_describe(set)->width, 2);
    static const uint8_t planar[] = {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11};
    assert_memory_equal(data_pixels(set, 0), planar, sizeof(planar));
    data_close(set);
}

static void test_headless(void **state) {
    (void)state;
    FILE *file = begin("pixels/mnist.csv", "");
    for (int i = 0; i < 24; i++) {
        (void)fprintf(file, "%d,", i % 2);
        add_numbers(file, i, 4, ',');
        (void)fputc('\n', file);
    }
    (void)fclose(file);
    data_set *set = import_and_open("pixels/mnist.csv", DATA_FORMAT_AUTO);
    assert_int_equal(data_describe(set)->image_count, 24);
    assert_int_equal(data_pixels(set, 0)[3], 3);
    data_close(set);
}

static void test_sizes(void **state) {
    (void)state;
    ns_error err = {0};
    data_import_options options = data_import_options_default();
    write_kaggle("label,pixel0,pixel1,pixel2,pixel3,pixel4,pixel5,pixel6,pixel7\n", 8);
    ASSERT_REFUSED("pixels/k.csv", NS_ERR_INPUT, "pixels/k.csv", "8 numbers", "--size");
    options.width = 4;
    options.height = 2;
    assert_ok(data_import("pixels/k.csv", "pixels/k.nsd", &options, &err), &err);
    data_set *set = NULL;
    assert_ok(data_open("pixels/k.nsd", &set, &err), &err);
    assert_int_equal(data_describe(set)->width, 4);
    assert_int_equal(data_pixels(set, 2)[7], 9);
    data_close(set);
}

static void test_gzipped(void **state) {
    (void)state;
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    write_fer("pixels/fer.csv", "emotion,pixels,Usage\n", false);
    assert_ok(ns_file_read("pixels/fer.csv", 1 << 20, &bytes, &size_bytes, &err), &err);
    gzFile packed = gzopen("pixels/fer.csv.gz", "wb");
    assert_non_null(packed);
    assert_int_equal(gzwrite(packed, bytes, (unsigned)size_bytes), size_bytes);
    assert_int_equal(gzclose(packed), Z_OK);
    free(bytes);
    check_fer("pixels/fer.csv.gz");
    assert_ok(ns_file_read("pixels/fer.csv.gz", 1 << 20, &bytes, &size_bytes, &err), &err);
    put_file("pixels/cut.csv.gz", bytes, size_bytes - 20);
    ASSERT_REFUSED("pixels/cut.csv.gz", NS_ERR_INPUT, "pixels/cut.csv.gz", "cut off");
    free(bytes);
}

static void put_pixels(const char *text) {
    put_text("pixels/bad.csv", text);
}

static void test_refusals(void **state) {
    (void)state;
    fresh_dir("pixels");
    put_pixels("emotion,pixels,Usage\n0,1 2 3 4,Training\n1,1 2 3,Training\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "cannot import pixels/bad.csv: line 3",
                   "3 pixels instead of 4");
    put_pixels("emotion,pixels,Usage\n0,1 2 3 4,Training\n1,1 2 256 4,Training\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "line 3", "'256' is no pixel");
    put_pixels("emotion,pixels,Usage\n0,1 2 3 4,Training\n\n1,1 2 -3 4,Training\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "line 4", "'-3' is no pixel");
    put_pixels("emotion,pixels,Usage\n0,1 2 3 4,Training\n1,1 2 3 4.5,Training\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "line 3", "'4.5' is no pixel");
    put_pixels("emotion,pixels,Usage\n0,1 2 3 4,Exam\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "line 2", "'Exam'");
    put_pixels("emotion,pixels,Usage\n,1 2 3 4,Training\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "line 2", "label is empty");
    put_pixels("emotion,pixels,Usage\n0,,Training\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "line 2", "no pixels");
    put_pixels("emotion,pixels,Usage\n0,1 2 3 4\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "line 2", "2 fields instead of 3");
    put_pixels("label,pixel0,pixel1,pixel2,pixel3\na,1,2,3,4\nb,1,2,3 3,4\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "line 3", "field 4", "2 numbers");
    put_pixels("label,pixel0,pixel1,pixel2,pixel3\na,1,2,3,\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "line 2", "field 5", "0 numbers");
    put_pixels("emotion,pixels,Usage\n0,\"1 2 3 4,Training\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "line 2", "quote");
    put_pixels("emotion,pixels,Usage\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "pixels/bad.csv", "no image");
    put_pixels("label,pixel0,pixel1\na,1,2\nb,1,2\n");
    ASSERT_REFUSED("pixels/bad.csv", NS_ERR_INPUT, "2 numbers", "--size");
}

/// A quote that is never closed, before more text than a record may have.
static void test_endless_record(void **state) {
    (void)state;
    FILE *file = begin("pixels/endless.csv", "emotion,pixels,Usage\n0,\"");
    static char zeros[1 << 16];
    for (size_t i = 0; i < sizeof(zeros); i++) {
        zeros[i] = i % 64 == 63 ? '\n' : '0';
    }
    for (int i = 0; i < 1040; i++) { // 65 MiB
        (void)fwrite(zeros, 1, sizeof(zeros), file);
    }
    (void)fclose(file);
    ASSERT_REFUSED("pixels/endless.csv", NS_ERR_INPUT, "line 2", "longer than 64 MiB");
    remove_tree("pixels");
}

/// Many good lines and a bad last one, in little memory and with nothing left behind.
static void test_bad_last_line(void **state) {
    (void)state;
    enum { LINES = 1000000 };
    FILE *file = begin("pixels/long.csv", "label,pixel0,pixel1,pixel2,pixel3\n");
    for (int i = 0; i < LINES; i++) {
        (void)fputs(i % 2 == 0 ? "a,1,2,3,4\n" : "b,1,2,3,4\n", file);
    }
    (void)fputs("a,1,2,three,4\n", file);
    (void)fclose(file);
    ASSERT_REFUSED("pixels/long.csv", NS_ERR_INPUT, "cannot import pixels/long.csv: line 1000002",
                   "'three'");
    remove_tree("pixels");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fer),           cmocka_unit_test(test_kaggle),
        cmocka_unit_test(test_colour),        cmocka_unit_test(test_headless),
        cmocka_unit_test(test_sizes),         cmocka_unit_test(test_gzipped),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_endless_record),
        cmocka_unit_test(test_bad_last_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
