// Boxes of Open Images, in a folder and in an archive: crops, classes, splits, and what is left out.

#include "tests/data/tar.h"

static void put_photo(const char *path, uint8_t first) {
    static uint8_t file[PNG_BYTES_MAX];
    uint8_t pixels[64];
    for (size_t i = 0; i < sizeof(pixels); i++) {
        pixels[i] = (uint8_t)(first + i);
    }
    put_file(path, file, make_png(&(png_spec){8, 8, PNG_GREY, pixels}, file));
}

static void put_annotations(const char *name, const char *rows) {
    char text[2048];
    char path[80];
    (void)snprintf(path, sizeof(path), "open/%s-annotations-bbox.csv", name);
    (void)snprintf(text, sizeof(text),
                   "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded\n%s", rows);
    put_text(path, text);
}

static void make_set(void) {
    fresh_dir("open");
    put_text("open/class-descriptions-boxable.csv", "/m/2,Dog\n/m/1,Cat\n/m/3,Bird\n");
    put_photo("open/train/a.png", 0);
    put_photo("open/images/b.png", 64);
    put_photo("open/validation/v.png", 128);
    put_photo("open/test/t.png", 180);
    put_annotations("train", "a,x,/m/1,1,0,0.5,0,0.5,0\n"
                             "a,x,/m/2,1,0.25,0.75,0.5,1,0\n"
                             "b,x,/m/3,1,0,0.5,0,0.5,0\n"
                             "b,x,/m/1,1,0.5,0.5,0,1,0\n"
                             "b,x,/m/1,1,0,1.5,0,1,0\n"
                             "c,x,/m/1,1,0,1,0,1,0\n"
                             "../a,x,/m/1,1,0,1,0,1,0\n");
    put_annotations("validation", "v,x,/m/1,1,0,0.5,0,0.5,0\nv,x,/m/2,1,0.5,1,0.5,1,0\n");
    put_annotations("test", "t,x,/m/1,1,0,0.5,0,0.5,0\nt,x,/m/2,1,0.5,1,0.5,1,0\n");
}

/// Packs the set into "open.tar", photographs in the order of the boxes.
static void tar_set(void) {
    static const char *const names[] = {"train/a.png",
                                        "train-annotations-bbox.csv",
                                        "images/b.png",
                                        "validation/v.png",
                                        "class-descriptions-boxable.csv",
                                        "test/t.png",
                                        "test-annotations-bbox.csv",
                                        "validation-annotations-bbox.csv"};
    FILE *file = tar_begin("open.tar");
    for (size_t i = 0; i < NS_COUNT_OF(names); i++) {
        char name[80];
        char path[80];
        (void)snprintf(name, sizeof(name), "set/%s", names[i]);
        (void)snprintf(path, sizeof(path), "open/%s", names[i]);
        tar_add_file(file, name, path);
    }
    tar_end(file);
}

/// Imports the set as it is in `source`.
static void check_boxes(const char *source) {
    ns_error err = {0};
    data_set *set = NULL;
    data_import_options options = data_import_options_default();
    options.classes = "dog,Cat";
    assert_ok(data_import(source, "open.nsd", &options, &err), &err);
    assert_ok(data_open("open.nsd", &set, &err), &err);
    const data_info *info = data_describe(set);
    assert_int_equal(info->image_count, 6);
    assert_int_equal(info->width, 4);
    assert_int_equal(info->height, 4);
    assert_int_equal(info->label_count, 2);
    assert_string_equal(info->labels[0], "Cat");
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        assert_int_equal(info->split_count[split], 2);
        size_t count;
        const uint32_t *indices = data_indices(set, (data_split)split, &count);
        static const uint8_t first[][2] = {{0, 34}, {128, 164}, {180, 216}};
        for (size_t i = 0; i < 2; i++) {
            const uint8_t *pixels = data_pixels(set, indices[i]);
            assert_int_equal(data_label(set, indices[i]), i);
            assert_int_equal(pixels[0], first[split][i]);
            assert_int_equal(pixels[5], first[split][i] + 9);
            static const char *const names[] = {"train/a.png", "validation/v.png", "test/t.png"};
            assert_name(set, indices[i], names[split]);
        }
    }
    assert_int_equal(data_dropped_count(set), 4);
    for (size_t i = 0; i < 4; i++) {
        const char *reason = data_dropped_at(set, i).reason;
        assert_non_null(strstr(reason, i < 2 ? "degenerate" : "missing"));
    }
    data_close(set);
}

static void test_boxes(void **state) {
    (void)state;
    make_set();
    tar_set();
    check_boxes("open");
    check_boxes("open.tar");
    gzip_file("open.tar", "open.tar.gz");
    check_boxes("open.tar.gz");
}

/// A photograph that cannot be read is a bad image, with each of its boxes.
static void test_bad_photo(void **state) {
    (void)state;
    ns_error err = {0};
    data_set *set = NULL;
    data_import_options options = data_import_options_default();
    options.bad_fraction_max = 0.5;
    make_set();
    put_text("open/images/b.png", "no image");
    put_annotations("train", "a,x,/m/1,1,0,0.5,0,0.5,0\n"
                             "a,x,/m/2,1,0.25,0.75,0.5,1,0\n"
                             "b,x,/m/1,1,0,0.5,0,0.5,0\n");
    tar_set();
    const char *const sources[] = {"open", "open.tar"};
    for (size_t i = 0; i < NS_COUNT_OF(sources); i++) {
        assert_ok(data_import(sources[i], "open.nsd", &options, &err), &err);
        assert_ok(data_open("open.nsd", &set, &err), &err);
        assert_int_equal(data_describe(set)->image_count, 6);
        assert_int_equal(data_dropped_count(set), 1);
        assert_string_equal(data_dropped_at(set, 0).file, "images/b.png");
        data_close(set);
    }
}

static void test_refusals(void **state) {
    (void)state;
    ns_error err = {0};
    data_import_options options = data_import_options_default();
    options.classes = "Cat,Cow";
    make_set();
    assert_status(data_import("open", "open.nsd", &options, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "'Cow'"));
    put_annotations("train", "a,x,/m/1,1,0,0.5\n");
    ASSERT_REFUSED("open", NS_ERR_INPUT, "open/train-annotations-bbox.csv", "line 2", "6 fields");
    tar_set();
    ASSERT_REFUSED("open.tar", NS_ERR_INPUT, "open.tar/set/train-annotations-bbox.csv", "line 2");
    put_text("open/train-annotations-bbox.csv", "ImageID,LabelName,XMin,XMax,YMin\n");
    ASSERT_REFUSED("open", NS_ERR_INPUT, "open/train-annotations-bbox.csv", "'YMax'");
    put_text("open/class-descriptions-boxable.csv", "/m/1,Cat\n/m/2\n");
    ASSERT_REFUSED("open", NS_ERR_INPUT, "open/class-descriptions-boxable.csv", "line 2",
                   "1 fields");
    (void)unlink("open.tar");
    (void)unlink("open.tar.gz");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_bad_photo),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
