// Archives: every form inside them, and what is refused: names that lead out, links, devices,
// damage, and more than an archive of that size should hold. Zip files are tested through the
// program (tests/cli/test_import.sh); here tar files are made, block by block.

#include "tests/data/tar.h"

static void tar_add_png(FILE *file, const char *name, uint8_t value) {
    static uint8_t bytes[PNG_BYTES_MAX];
    const uint8_t pixels[4] = {value, value, value, value};
    tar_add(file, name, bytes, make_png(&(png_spec){2, 2, PNG_GREY, pixels}, bytes));
}

/// `count` images of each of the labels "cat" and "dog" below `folder`; values `first` and up.
static void tar_add_values(FILE *file, const char *folder, int count, int first) {
    for (int i = 0; i < 2 * count; i++) {
        char name[80];
        (void)snprintf(name, sizeof(name), "%s%s/%03d.png", folder, i % 2 == 0 ? "cat" : "dog", i);
        tar_add_png(file, name, (uint8_t)(first + i));
    }
}

static void tar_add_labels(FILE *file, const char *folder, int count) {
    tar_add_values(file, folder, count, 0);
}

static void check_labels(const char *path, size_t count) {
    data_set *set = import_and_open(path, DATA_FORMAT_AUTO);
    assert_int_equal(data_describe(set)->image_count, 2 * count);
    assert_int_equal(data_describe(set)->label_count, 2);
    for (size_t i = 0; i < 2 * count; i++) { // in the archive's order
        assert_int_equal(data_label(set, i), i % 2);
        assert_int_equal(data_pixels(set, i)[0], i);
    }
    data_close(set);
}

static void test_folders(void **state) {
    (void)state;
    fresh_dir("archive");
    FILE *file = tar_begin("archive/a.tar");
    tar_add_labels(file, "", 8);
    tar_end(file);
    check_labels("archive/a.tar", 8);
    file = tar_begin("archive/wrapped.bin"); // told by its content
    tar_add_labels(file, "./some/data/", 8);
    tar_end(file);
    check_labels("archive/wrapped.bin", 8);
}

static void test_splits(void **state) {
    (void)state;
    fresh_dir("archive");
    FILE *file = tar_begin("archive/a.tar");
    tar_add(file, "set/README", "hello", 5);
    tar_add_labels(file, "set/train/", 5);
    tar_add_values(file, "set/val/", 3, 100);
    tar_add_values(file, "set/test/", 2, 200);
    tar_add(file, "set/train/cat/deep/x.png", "x", 1);
    tar_add(file, "set/train/.DS_Store", "x", 1);
    tar_add(file, "__MACOSX/set/train/cat/x.png", "x", 1);
    tar_end(file);
    data_set *set = import_and_open("archive/a.tar", DATA_FORMAT_ARCHIVE);
    assert_int_equal(data_describe(set)->split_count[DATA_TRAIN], 10);
    assert_int_equal(data_describe(set)->split_count[DATA_VALIDATION], 6);
    assert_int_equal(data_describe(set)->split_count[DATA_TEST], 4);
    size_t count = 0;
    assert_name(set, data_indices(set, DATA_TEST, &count)[1], "set/test/dog/001.png");
    assert_int_equal(data_dropped_count(set), 2);
    assert_string_equal(data_dropped_at(set, 0).file, "set/README");
    assert_string_equal(data_dropped_at(set, 1).file, "set/train/cat/deep/x.png");
    data_close(set);
    file = tar_begin("archive/a.tar");
    tar_add_labels(file, "train/", 5);
    tar_add_labels(file, "tset/", 5);
    tar_end(file);
    ASSERT_REFUSED("archive/a.tar", NS_ERR_INPUT, "archive/a.tar", "'tset'");
}

static void test_manifest(void **state) {
    (void)state;
    fresh_dir("archive");
    static const char text[] = "TRAIN,images/1.png,b\n"
                               "TRAIN,images/0.png,a\n"
                               "VALIDATION,./images/2.png,a\n"
                               "VALIDATION,images/3.png,b\n"
                               "TEST,images/4.png,a\n"
                               "TEST,images//4.png,a\n";
    FILE *file = tar_begin("archive/a.tar");
    for (int i = 4; i >= 0; i--) {
        char name[40];
        (void)snprintf(name, sizeof(name), "x/images/%d.png", i);
        tar_add_png(file, name, (uint8_t)i);
    }
    tar_add(file, "x/list.csv", text, sizeof(text) - 1);
    tar_end(file);
    data_set *set = import_and_open("archive/a.tar", DATA_FORMAT_AUTO);
    static const uint8_t values[] = {4, 3, 2, 1, 0}; // and a copy
    static const int labels[] = {0, 1, 0, 1, 0};
    assert_int_equal(data_describe(set)->image_count, 5);
    assert_int_equal(data_dropped_count(set), 1);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(data_pixels(set, i)[0], values[i]);
        assert_int_equal(data_label(set, i), labels[i]);
    }
    data_close(set);
    static const char outside[] = "TRAIN,images/1.png,b\nTRAIN,../../etc/passwd,b\n";
    file = tar_begin("archive/a.tar");
    tar_add_png(file, "images/1.png", 1);
    tar_add(file, "list.csv", outside, sizeof(outside) - 1);
    tar_end(file);
    ASSERT_REFUSED("archive/a.tar", NS_ERR_INPUT, "archive/a.tar/list.csv", "line 2",
                   "'../../etc/passwd'");
}

static void test_pixels(void **state) {
    (void)state;
    fresh_dir("archive");
    char text[8192] = "emotion,pixels,Usage\n";
    for (int i = 0; i < 20; i++) {
        const size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "%d,%d 1 2 3,Training\n", i % 2, i);
    }
    FILE *file = tar_begin("archive/a.tar");
    tar_add(file, "fer/README", "x", 1);
    tar_add(file, "fer/fer.csv", text, strlen(text));
    tar_end(file);
    data_set *set = import_and_open("archive/a.tar", DATA_FORMAT_AUTO);
    assert_int_equal(data_describe(set)->image_count, 20);
    assert_int_equal(data_pixels(set, 7)[0], 7);
    assert_name(set, 7, "line 9");
    data_close(set);
    file = tar_begin("archive/a.tar");
    static const char typo[] = "emotion,pixels,Usage\n0,1 2 3,Trainin\n";
    tar_add(file, "fer/fer.csv", typo, sizeof(typo) - 1);
    tar_end(file);
    ASSERT_REFUSED("archive/a.tar", NS_ERR_INPUT, "archive/a.tar/fer/fer.csv", "line 2",
                   "'Trainin'");
}

static void test_hostile_names(void **state) {
    (void)state;
    fresh_dir("archive");
    FILE *file = tar_begin("archive/a.tar");
    tar_add_labels(file, "", 8);
    tar_add(file, "../../etc/x", "evil", 4);
    tar_add(file, "cat/../../x.png", "evil", 4);
    tar_add(file, "/etc/x", "evil", 4);
    tar_header(file, "cat/hard.png", '1', 0);
    tar_header(file, "cat/link.png", '2', 0);
    tar_header(file, "cat/null.png", '3', 0);
    tar_end(file);
    data_set *set = import_and_open("archive/a.tar", DATA_FORMAT_AUTO);
    static const char *const want[][2] = {
        {"../../etc/x", "leads out"}, {"/etc/x", "absolute"},     {"cat/../../x.png", "leads out"},
        {"cat/hard.png", "a link"},   {"cat/link.png", "a link"}, {"cat/null.png", "a device"}};
    assert_int_equal(data_describe(set)->image_count, 16);
    assert_int_equal(data_dropped_count(set), NS_COUNT_OF(want));
    for (size_t i = 0; i < NS_COUNT_OF(want); i++) {
        const data_dropped dropped = data_dropped_at(set, i);
        assert_string_equal(dropped.file, want[i][0]);
        assert_non_null(strstr(dropped.reason, want[i][1]));
    }
    data_close(set);
}

static void test_same_name(void **state) {
    (void)state;
    fresh_dir("archive");
    FILE *file = tar_begin("archive/a.tar");
    tar_add_png(file, "cat/000.png", 99);
    tar_add_labels(file, "", 8);
    tar_end(file);
    data_set *set = import_and_open("archive/a.tar", DATA_FORMAT_AUTO);
    assert_int_equal(data_pixels(set, 0)[0], 0);
    assert_int_equal(data_dropped_count(set), 1);
    assert_string_equal(data_dropped_at(set, 0).reason, "a later entry has the same name");
    data_close(set);
}

static void test_damage(void **state) {
    (void)state;
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    fresh_dir("archive");
    FILE *file = tar_begin("archive/a.tar");
    tar_add_labels(file, "", 8);
    tar_end(file);
    assert_ok(ns_file_read("archive/a.tar", 1 << 20, &bytes, &size_bytes, &err), &err);
    put_file("archive/cut.tar", bytes, size_bytes / 2 + 100);
    ASSERT_REFUSED("archive/cut.tar", NS_ERR_CORRUPT, "archive/cut.tar", "cut off");
    free(bytes);
    gzip_file("archive/a.tar", "archive/a.tgz");
    check_labels("archive/a.tgz", 8);
    assert_ok(ns_file_read("archive/a.tgz", 1 << 20, &bytes, &size_bytes, &err), &err);
    put_file("archive/cut.tgz", bytes, size_bytes * 3 / 4);
    ASSERT_REFUSED("archive/cut.tgz", NS_ERR_INPUT, "archive/cut.tgz", "truncated");
    free(bytes);
    put_file("archive/none.zip", "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
    ASSERT_REFUSED("archive/none.zip", NS_ERR_INPUT, "archive/none.zip", "no file");
}

/// Of large images the headers are read first, by a part of their bytes: here all that there is
/// stands in one entry, so that the last header and the first image are the same bytes.
static void test_one_large_image(void **state) {
    (void)state;
    enum { PHOTO_BYTES = 200000, COUNT = 12 };
    static uint8_t photo[PHOTO_BYTES]; // behind the end of a PNG anything may follow
    uint8_t pixels[64];
    char boxes[1024] = "ImageID,LabelName,XMin,XMax,YMin,YMax\n";
    ns_error err = {0};
    data_set *set = NULL;
    for (size_t i = 0; i < sizeof(pixels); i++) {
        pixels[i] = (uint8_t)i;
    }
    (void)make_png(&(png_spec){8, 8, PNG_GREY, pixels}, photo);
    for (int i = 0; i < COUNT; i++) {
        const size_t used = strlen(boxes);
        (void)snprintf(boxes + used, sizeof(boxes) - used, "a,/m/%d,%g,%g,0,1\n", i % 2 + 1,
                       i % 7 / 8.0, (i % 7 + 2) / 8.0);
    }
    fresh_dir("archive");
    FILE *file = tar_begin("archive/a.tar");
    tar_add(file, "class-descriptions-boxable.csv", "/m/1,Cat\n/m/2,Dog\n", 18);
    tar_add(file, "annotations-bbox.csv", boxes, strlen(boxes));
    tar_add(file, "a.png", photo, PHOTO_BYTES);
    tar_end(file);
    data_import_options options = data_import_options_default();
    options.keep_duplicates = true;
    assert_ok(data_import("archive/a.tar", "import.nsd", &options, &err), &err);
    assert_ok(data_open("import.nsd", &set, &err), &err);
    assert_int_equal(data_describe(set)->image_count, COUNT);
    assert_int_equal(data_describe(set)->width, 2);
    assert_int_equal(data_describe(set)->height, 8);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(data_label(set, i), i % 2);
        assert_int_equal(data_pixels(set, i)[0], i % 7);
    }
    data_close(set);
}

/// Half a gigabyte of zeros in some hundred kilobytes.
static void test_bomb(void **state) {
    (void)state;
    enum { TIMES = 512 };
    static char zeros[1 << 20];
    static char block[TAR_BLOCK];
    fresh_dir("archive");
    FILE *file = tar_begin("archive/head.tar");
    tar_add_labels(file, "", 8);
    tar_header(file, "cat/bomb.png", '0', (size_t)TIMES * sizeof(zeros));
    assert_int_equal(fclose(file), 0);
    gzFile packed = gzopen("archive/bomb.tar.gz", "wb");
    assert_non_null(packed);
    file = fopen("archive/head.tar", "rb");
    assert_non_null(file);
    while (fread(block, 1, sizeof(block), file) == sizeof(block)) {
        assert_int_equal(gzwrite(packed, block, sizeof(block)), sizeof(block));
    }
    (void)fclose(file);
    for (int i = 0; i < TIMES; i++) {
        assert_int_equal(gzwrite(packed, zeros, sizeof(zeros)), sizeof(zeros));
    }
    assert_int_equal(gzclose(packed), Z_OK);
    ASSERT_REFUSED("archive/bomb.tar.gz", NS_ERR_LIMIT, "archive/bomb.tar.gz", "zip bomb");
    remove_tree("archive");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),       cmocka_unit_test(test_splits),
        cmocka_unit_test(test_manifest),      cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_same_name),
        cmocka_unit_test(test_damage),        cmocka_unit_test(test_one_large_image),
        cmocka_unit_test(test_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
