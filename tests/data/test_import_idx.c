// IDX files: small ones made here, plain and gzipped, whole and damaged; and Fashion-MNIST itself.

#include "tests/data/tar.h"

enum {
    SIDE_X = 5,
    SIDE_Y = 4,
    SIZE = SIDE_X * SIDE_Y,
    FILE_MAX = 1 << 14,
};

/// What put_idx writes: images whose pixels are their number, labels 3, 7, 3, 7, ...
typedef struct idx_spec {
    const char *prefix;      // "idx/train"
    uint32_t image_count;    // really there
    uint32_t claimed_images; // in the header
    uint32_t label_count, claimed_labels;
    bool gzipped;
} idx_spec;

static void put_maybe_zipped(const char *path, const uint8_t *bytes, size_t size_bytes, bool zip) {
    if (!zip) {
        put_file(path, bytes, size_bytes);
        return;
    }
    char zipped[NS_PATH_MAX + 4];
    (void)snprintf(zipped, sizeof(zipped), "%s.gz", path);
    gzFile file = gzopen(zipped, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size_bytes), size_bytes);
    assert_int_equal(gzclose(file), Z_OK);
}

static void put_idx(const idx_spec *spec) {
    uint8_t bytes[FILE_MAX] = {0, 0, 8, 3};
    char path[NS_PATH_MAX];
    put_32(bytes + 4, spec->claimed_images);
    put_32(bytes + 8, SIDE_Y);
    put_32(bytes + 12, SIDE_X);
    for (uint32_t i = 0; i < spec->image_count * SIZE; i++) {
        bytes[16 + i] = (uint8_t)(i / SIZE);
    }
    (void)snprintf(path, sizeof(path), "%s-images-idx3-ubyte", spec->prefix);
    put_maybe_zipped(path, bytes, 16 + spec->image_count * SIZE, spec->gzipped);
    bytes[3] = 1;
    put_32(bytes + 4, spec->claimed_labels);
    for (uint32_t i = 0; i < spec->label_count; i++) {
        bytes[8 + i] = i % 2 ? 7 : 3;
    }
    (void)snprintf(path, sizeof(path), "%s-labels-idx1-ubyte", spec->prefix);
    put_maybe_zipped(path, bytes, 8 + spec->label_count, spec->gzipped);
}

static void put_good(const char *prefix, uint32_t count, bool gzipped) {
    put_idx(&(idx_spec){prefix, count, count, count, count, gzipped});
}

static void check_small_set(const char *source) {
    data_set *set = import_and_open(source, DATA_FORMAT_AUTO);
    const data_info *info = data_describe(set);
    assert_int_equal(info->channels, 1);
    assert_int_equal(info->width, SIDE_X);
    assert_int_equal(info->height, SIDE_Y);
    assert_int_equal(info->label_count, 2);
    assert_string_equal(info->labels[0], "3");
    assert_string_equal(info->labels[1], "7");
    assert_int_equal(info->split_count[DATA_TRAIN], 36);
    assert_int_equal(info->split_count[DATA_VALIDATION], 4);
    assert_int_equal(info->split_count[DATA_TEST], 6);
    assert_non_null(strstr(info->provenance, // every test image is in train, and all are kept
                           "\"dropped\":false,\"repeated_pictures\":6,\"same_label\":6,"
                           "\"conflicting_labels\":0,\"across_splits\":6"));
    size_t count;
    const uint32_t *indices = data_indices(set, DATA_TEST, &count);
    for (size_t i = 0; i < count; i++) { // "t10k" before "train": its images come first
        assert_int_equal(indices[i], i);
        assert_int_equal(data_pixels(set, indices[i])[SIZE - 1], i);
        assert_int_equal(data_label(set, indices[i]), i % 2);
        assert_null(data_name(set, indices[i])); // files of many images name none
    }
    data_close(set);
}

static void test_plain_and_gzipped(void **state) {
    (void)state;
    for (int gzipped = 0; gzipped < 2; gzipped++) {
        fresh_dir("idx");
        put_good("idx/train", 40, gzipped);
        put_good("idx/t10k", 6, gzipped);
        check_small_set("idx");
        check_small_set(gzipped ? "idx/train-images-idx3-ubyte.gz" : "idx/train-images-idx3-ubyte");
    }
    put_good("idx/train", 40, false); // both forms of one file count once
    check_small_set("idx");
}

/// Packs the folder "idx" into a tar file, below another folder.
static void tar_idx(const char *path) {
    char **names = NULL;
    size_t count = 0;
    ns_error err = {0};
    assert_ok(data__dir_names("idx", &names, &count, &err), &err);
    FILE *file = tar_begin(path);
    for (size_t i = count; i-- > 0;) { // not in the order in which they are read
        char name[NS_PATH_MAX];
        char from[NS_PATH_MAX];
        (void)snprintf(name, sizeof(name), "./mnist/%s", names[i]);
        assert_ok(ns_path_join("idx", names[i], from, &err), &err);
        tar_add_file(file, name, from);
    }
    tar_end(file);
    data__names_free(names, count);
}

/// The same pack whether a set is in a folder or an archive, and gzipped or not.
static void test_in_an_archive(void **state) {
    (void)state;
    char want[NS_SHA256_HEX_MAX] = "";
    for (int gzipped = 0; gzipped < 2; gzipped++) {
        fresh_dir("idx");
        put_good("idx/train", 40, gzipped);
        put_good("idx/t10k", 6, gzipped);
        tar_idx("idx.tar");
        gzip_file("idx.tar", "idx.tar.gz");
        const char *const sources[] = {"idx", "idx.tar", "idx.tar.gz"};
        for (size_t i = 0; i < NS_COUNT_OF(sources); i++) {
            check_small_set(sources[i]);
            data_set *set = import_and_open(sources[i], DATA_FORMAT_AUTO);
            if (want[0] == 0) {
                (void)snprintf(want, sizeof(want), "%s", data_describe(set)->sha256);
            }
            assert_string_equal(data_describe(set)->sha256, want);
            data_close(set);
        }
    }
}

static void test_refused_in_an_archive(void **state) {
    (void)state;
    fresh_dir("idx");
    put_good("idx/a-train", 40, false);
    put_good("idx/b-train", 40, true);
    tar_idx("idx.tar");
    ASSERT_REFUSED("idx.tar", NS_ERR_INPUT, "idx.tar", "several data sets", "unpack it");
    assert_int_equal(unlink("idx/a-train-images-idx3-ubyte"), 0);
    assert_int_equal(unlink("idx/b-train-labels-idx1-ubyte.gz"), 0);
    tar_idx("idx.tar");
    ASSERT_REFUSED("idx.tar", NS_ERR_NOT_FOUND, "idx.tar/mnist/b-train-images-idx3-ubyte.gz",
                   "b-train-labels-idx1-ubyte[.gz], are missing");
    fresh_dir("idx");
    put_idx(&(idx_spec){"idx/train", 40, 40, 39, 40, true});
    tar_idx("idx.tar");
    ASSERT_REFUSED("idx.tar", NS_ERR_INPUT, "idx.tar/mnist/train-labels-idx1-ubyte.gz", "cut off");
}

/// Labels that unpack to a thousand times their size, in a folder and in an archive.
static void test_bomb(void **state) {
    (void)state;
    enum { TIMES = 112 };
    static uint8_t zeros[1 << 20];
    uint8_t header[8] = {0, 0, 8, 1};
    fresh_dir("idx");
    put_good("idx/train", 40, true);
    put_32(header + 4, (uint32_t)(TIMES * sizeof(zeros)));
    gzFile packed = gzopen("idx/train-labels-idx1-ubyte.gz", "wb");
    assert_non_null(packed);
    assert_int_equal(gzwrite(packed, header, sizeof(header)), sizeof(header));
    for (int i = 0; i < TIMES; i++) {
        assert_int_equal(gzwrite(packed, zeros, sizeof(zeros)), sizeof(zeros));
    }
    assert_int_equal(gzclose(packed), Z_OK);
    tar_idx("idx.tar");
    ASSERT_REFUSED("idx", NS_ERR_LIMIT, "idx/train-labels-idx1-ubyte.gz", "zip bomb");
    ASSERT_REFUSED("idx.tar", NS_ERR_LIMIT, "idx.tar/mnist/train-labels-idx1-ubyte.gz", "zip bomb");
    remove_tree("idx");
    (void)unlink("idx.tar");
    (void)unlink("idx.tar.gz");
}

static void test_several_sets_in_one_folder(void **state) {
    (void)state;
    fresh_dir("idx");
    put_good("idx/a-train", 40, false);
    put_good("idx/a-test", 6, true);
    put_good("idx/b-train", 10, false);
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "several data sets");
    data_set *set = import_and_open("idx/a-train-images-idx3-ubyte", DATA_FORMAT_AUTO);
    assert_int_equal(data_describe(set)->image_count, 46);
    data_close(set);
}

static void test_size_and_channels_can_be_asked(void **state) {
    (void)state;
    ns_error err = {0};
    data_set *set = NULL;
    data_import_options options = data_import_options_default();
    options.width = options.height = 8;
    options.channels = 3;
    fresh_dir("idx");
    put_good("idx/train", 40, false);
    assert_ok(data_import("idx", "import.nsd", &options, &err), &err);
    assert_ok(data_open("import.nsd", &set, &err), &err);
    assert_int_equal(data_describe(set)->width, 8);
    assert_int_equal(data_describe(set)->channels, 3);
    assert_int_equal(data_pixels(set, 9)[8 * 8 * 3 - 1], 9);
    data_close(set);
}

static void test_counts_that_disagree(void **state) {
    (void)state;
    fresh_dir("idx");
    put_idx(&(idx_spec){"idx/train", 40, 40, 39, 39, false});
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "train-images", "40 images", "39 labels");
    put_idx(&(idx_spec){"idx/train", 40, 40, 39, 40, false});
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "train-labels", "cut off");
    put_idx(&(idx_spec){"idx/train", 39, 40, 40, 40, false});
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "train-images", "cut off");
    put_idx(&(idx_spec){"idx/train", 41, 40, 40, 40, false});
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "train-images", "more than its header says");
    put_idx(&(idx_spec){"idx/train", 40, 40, 41, 40, false});
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "train-labels", "more than its header says");
    put_idx(&(idx_spec){"idx/train", 0, 0, 0, 0, false});
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "no image");
}

static void test_missing_and_foreign_files(void **state) {
    (void)state;
    fresh_dir("idx");
    put_good("idx/train", 40, false);
    assert_int_equal(unlink("idx/train-labels-idx1-ubyte"), 0);
    ASSERT_REFUSED("idx", NS_ERR_NOT_FOUND, "train-labels-idx1-ubyte", "missing");
    put_text("idx/train-labels-idx1-ubyte", "");
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "train-labels-idx1-ubyte", "empty");
    put_text("idx/train-labels-idx1-ubyte", "words");
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "train-labels-idx1-ubyte", "not an IDX file");
    put_file("idx/train-labels-idx1-ubyte", "\0\0\x0d\1\0\0\0\1....", 12);
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "train-labels-idx1-ubyte", "type 0x0d");
}

/// Cutting a gzipped file anywhere is noticed, at the latest by its checksum.
static void test_cut_gzip(void **state) {
    (void)state;
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    fresh_dir("idx");
    put_good("idx/train", 40, true);
    const char *path = "idx/train-images-idx3-ubyte.gz";
    assert_ok(ns_file_read(path, FILE_MAX, &bytes, &size_bytes, &err), &err);
    for (size_t cut = 0; cut < size_bytes; cut += 3) {
        put_file(path, bytes, cut);
        ASSERT_REFUSED("idx", NS_ERR_INPUT, "train-images-idx3-ubyte.gz");
    }
    bytes[size_bytes / 2] ^= 1;
    put_file(path, bytes, size_bytes);
    ASSERT_REFUSED("idx", NS_ERR_INPUT, "train-images-idx3-ubyte.gz");
    free(bytes);
}

static void test_fashion_mnist(void **state) {
    (void)state;
    char path[NS_PATH_MAX];
    test_data_path("fashion-mnist", path, sizeof(path));
    data_set *set = import_and_open(path, DATA_FORMAT_AUTO);
    const data_info *info = data_describe(set);
    assert_int_equal(info->label_count, 10);
    assert_string_equal(info->labels[9], "9");
    assert_int_equal(info->split_count[DATA_TRAIN], 54000);
    assert_int_equal(info->split_count[DATA_VALIDATION], 6000);
    assert_int_equal(info->split_count[DATA_TEST], 10000);
    for (int label = 0; label < 10; label++) {
        assert_int_equal(data_label_count(set, DATA_TRAIN, label), 5400);
        assert_int_equal(data_label_count(set, DATA_TEST, label), 1000);
    }
    assert_float_equal(info->mean[0], 72.94f, 0.2f); // official: of all 60,000
    assert_float_equal(info->deviation[0], 90.02f, 0.2f);
    data_close(set);
    (void)unlink("import.nsd");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_and_gzipped),
        cmocka_unit_test(test_several_sets_in_one_folder),
        cmocka_unit_test(test_size_and_channels_can_be_asked),
        cmocka_unit_test(test_counts_that_disagree),
        cmocka_unit_test(test_missing_and_foreign_files),
        cmocka_unit_test(test_cut_gzip),
        cmocka_unit_test(test_in_an_archive),
        cmocka_unit_test(test_refused_in_an_archive),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_fashion_mnist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
