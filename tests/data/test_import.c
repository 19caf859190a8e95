// What every import shares: options, the choice of size and channels, bad images up to a limit,
// the same bytes whatever the number of threads; and the photo sets.

#include "tests/data/sources.h"

static data_set *import_with(const char *source, const data_import_options *options) {
    ns_error err = {0};
    data_set *set = NULL;
    assert_ok(data_import(source, "import.nsd", options, &err), &err);
    assert_ok(data_open("import.nsd", &set, &err), &err);
    return set;
}

static void test_formats(void **state) {
    (void)state;
    static const char *const names[] = {"auto", "folder", "csv", "idx"};
    for (int i = 0; i < 4; i++) {
        data_format format;
        assert_status(data_format_parse(names[i], &format, NULL), NS_OK);
        assert_int_equal(format, i);
    }
    data_format format;
    assert_status(data_format_parse("zip", &format, NULL), NS_ERR_USAGE);
}

static void test_bad_options(void **state) {
    (void)state;
    fresh_dir("any");
    for (int i = 0; i < 5; i++) {
        data_import_options options = data_import_options_default();
        switch (i) {
        case 0:
            options.split_percent[DATA_TRAIN] = 81;
            break;
        case 1:
            options.split_percent[DATA_TRAIN] = -10;
            options.split_percent[DATA_TEST] = 100;
            break;
        case 2:
            options.width = 32;
            break;
        case 3:
            options.width = options.height = 100000;
            break;
        default:
            options.channels = 2;
            break;
        }
        assert_refused("any", &options, NS_ERR_USAGE, NULL, 0);
    }
}

/// A label's folder with images of these sides.
static void put_sizes(const char *label, const uint32_t (*sides)[2], size_t count, bool grey) {
    for (size_t i = 0; i < count; i++) {
        char path[NS_PATH_MAX];
        (void)snprintf(path, sizeof(path), "sizes/%s/%zu.png", label, i);
        const uint8_t value = (uint8_t)(16 * (label[0] - 'a') + 40 + (int)i); // each its own
        put_plain_png(path, sides[i][0], sides[i][1], grey, value);
    }
}

static void assert_shape(int channels, int height, int width) {
    data_set *set = import_and_open("sizes", DATA_FORMAT_AUTO);
    const data_info *info = data_describe(set);
    if (info->channels != channels || info->height != height || info->width != width) {
        fail_msg("shape (%d, %d, %d), want (%d, %d, %d)", info->channels, info->height, info->width,
                 channels, height, width);
    }
    data_close(set);
}

static void test_shape_is_chosen_from_the_data(void **state) {
    (void)state;
    static const uint32_t equal[][2] = {{30, 20}, {30, 20}};
    fresh_dir("sizes");
    put_sizes("a", equal, 2, true);
    put_sizes("b", equal, 2, true);
    assert_shape(1, 20, 30);
    put_sizes("b", equal, 2, false);
    assert_shape(3, 20, 30);
    static const uint32_t various[][2] = {{50, 41}, {42, 60}, {100, 100}}; // 41 42 100 and 20 20
    put_sizes("b", various, 3, true);
    assert_shape(1, 48, 48); // median 41: 2.56 steps of 16
    static const uint32_t tiny[][2] = {{3, 4}, {4, 3}, {3, 3}};
    put_sizes("a", tiny, 3, true);
    put_sizes("b", tiny, 3, true);
    assert_shape(1, 16, 16);
    static const uint32_t wide[][2] = {{300, 40}, {300, 40}, {300, 40}}; // equal but large
    put_sizes("a", wide, 3, true);
    put_sizes("b", wide, 3, true);
    assert_shape(1, 48, 48);
}

static void make_bad(int bad_count) {
    fresh_dir("bad");
    put_label("bad", "a", 50, 0);
    put_label("bad", "b", 50 - bad_count, 100);
    for (int i = 0; i < bad_count; i++) {
        char path[NS_PATH_MAX];
        static uint8_t file[PNG_BYTES_MAX];
        const uint8_t pixels[4] = {1, 2, 3, 4};
        (void)snprintf(path, sizeof(path), "bad/b/x%d.png", i);
        const size_t size_bytes = make_png(&(png_spec){2, 2, PNG_GREY, pixels}, file);
        file[size_bytes - 13] ^= 1; // sound header, wrong checksum of the pixels
        put_file(path, file, size_bytes);
    }
}

static void test_few_bad_images_are_listed(void **state) {
    (void)state;
    make_bad(5);
    data_import_options options = data_import_options_default();
    data_set *set = import_with("bad", &options);
    assert_int_equal(data_describe(set)->image_count, 95);
    assert_int_equal(data_dropped_count(set), 5);
    assert_string_equal(data_dropped_at(set, 0).file, "b/x0.png");
    assert_string_equal(data_dropped_at(set, 4).reason, "CRC error in chunk IDAT");
    data_close(set);
}

static void test_many_bad_images_stop_the_import(void **state) {
    (void)state;
    make_bad(6);
    ASSERT_REFUSED("bad", NS_ERR_INPUT, "6 of 100 images are bad", "5 %", "b/x0.png", "b/x1.png",
                   "b/x2.png", "CRC error in chunk IDAT");
    data_import_options options = data_import_options_default();
    options.bad_fraction_max = 0.1;
    data_set *set = import_with("bad", &options);
    assert_int_equal(data_dropped_count(set), 6);
    data_close(set);
}

static void test_foreign_images_count_as_bad(void **state) {
    (void)state;
    fresh_dir("bad");
    put_label("bad", "a", 4, 0);
    put_label("bad", "b", 4, 0);
    put_text("bad/a/1.gif", "GIF89a");
    ASSERT_REFUSED("bad", NS_ERR_INPUT, "a/1.gif (it is a GIF image");
}

static void test_a_label_may_not_lose_its_images(void **state) {
    (void)state;
    fresh_dir("bad");
    put_label("bad", "a", 50, 0);
    put_label("bad", "b", 1, 100);
    put_text("bad/b/broken.png", "x");
    ASSERT_REFUSED("bad", NS_ERR_INPUT, "'b' has 1 usable image;");
}

/// Steps follow each other; each image is told of as packed, and headers are counted upwards.
static bool count_progress(void *context, const data_progress *now) {
    data_progress *last = context;
    assert_true(now->step >= last->step);
    const size_t done = now->step == last->step ? last->done : 0;
    assert_int_equal(now->total, 100);
    assert_true(now->done >= done);
    assert_true(now->step == DATA_STEP_SURVEY ? now->done < 100 : now->done <= done + 1);
    *last = *now;
    return true;
}

static bool stop_half_way(void *context, const data_progress *now) {
    (void)context;
    return now->step != DATA_STEP_DECODE || now->done < now->total / 2;
}

/// When stop_when stops.
typedef struct stop_point {
    data_step step;
    size_t done, total;
    const char *sentence;
    bool stopped;
} stop_point;

static bool stop_when(void *context, const data_progress *now) {
    stop_point *point = context;
    assert_true(now->step <= point->step); // no later one is begun
    if (now->step != point->step || now->done < point->done) {
        return true;
    }
    assert_int_equal(now->total, point->total);
    point->stopped = true;
    return false;
}

/// A wish to stop is seen while listing, while reading headers, and before an image is decoded.
static void test_stopped_at_any_stage(void **state) {
    (void)state;
    enum { LINE_COUNT = 5000 };
    static char manifest[LINE_COUNT * sizeof("UNASSIGNED,image.png,a\n")];
    fresh_dir("many");
    put_plain_png("many/image.png", 8, 8, true, 40);
    put_plain_png("many/other.png", 8, 8, true, 50);
    size_t used = 0;
    for (int i = 0; i < LINE_COUNT; i++) {
        used += (size_t)snprintf(manifest + used, sizeof(manifest) - used, "UNASSIGNED,%s.png,a\n",
                                 i % 2 == 0 ? "image" : "other"); // else one reading does for all
    }
    put_file("many/set.csv", manifest, used);
    static const stop_point points[] = {
        {DATA_STEP_LIST, 1, 0, "was stopped while it was listed", false},
        {DATA_STEP_LIST, 4097, 0, "was stopped while it was listed", false},
        {DATA_STEP_SURVEY, 2500, LINE_COUNT, "after the headers of 2500 of 5000 images", false},
        {DATA_STEP_DECODE, 0, LINE_COUNT, "was stopped after 0 of 5000 images", false},
        {DATA_STEP_DECODE, 2, LINE_COUNT, "was stopped after 2 of 5000 images", false},
    };
    for (size_t i = 0; i < NS_COUNT_OF(points); i++) {
        stop_point point = points[i];
        data_import_options options = data_import_options_default();
        options.thread_count = 1;
        options.progress = stop_when;
        options.progress_context = &point;
        assert_refused("many/set.csv", &options, NS_ERR_STOPPED,
                       (const char *const[]){"import of many/set.csv was stopped", point.sentence},
                       2);
        assert_true(point.stopped);
    }
}

static void test_large_images_are_imported(void **state) {
    (void)state;
    static uint8_t file[JPEG_BYTES_MAX];
    fresh_dir("large");
    put_file("large/a/1.jpg", file, make_jpeg(&(jpeg_spec){8192, 4096, 2}, file));
    put_file("large/a/2.jpg", file, make_jpeg(&(jpeg_spec){8192, 4088, 2}, file));
    put_label("large", "a", 4, 10);
    put_label("large", "b", 5, 100);
    data_import_options options = data_import_options_default();
    options.thread_count = 4;
    data_set *set = import_with("large", &options);
    assert_int_equal(data_describe(set)->image_count, 11);
    data_close(set);
}

/// For run_within: imports the folder `context` in one thread; a thread's stack takes memory too.
static ns_status run_import(const void *context) {
    data_import_options options = data_import_options_default();
    options.thread_count = 1;
    options.bad_fraction_max = 1.0;
    return data_import(context, "memory.nsd", &options, NULL);
}

static void test_no_memory_is_not_a_bad_image(void **state) {
    (void)state;
    static uint8_t file[PNG_BYTES_MAX];
    fresh_dir("memory");
    put_label("memory", "a", 5, 10);
    put_label("memory", "b", 5, 100);
    put_file("memory/b/large.png", file, make_claim(8192, 8192, file));
    assert_status(run_within(40u << 20, run_import, "memory"), NS_ERR_MEMORY);
    assert_status(run_within(256u << 20, run_import, "memory"), NS_OK); // its pixels are not there
}

static void test_stopped_leaves_nothing(void **state) {
    (void)state;
    ns_error err = {0};
    make_bad(0);
    data_import_options options = data_import_options_default();
    options.progress = stop_half_way;
    assert_status(data_import("bad", "stopped.nsd", &options, &err), NS_ERR_STOPPED);
    assert_non_null(strstr(err.text, "50 of 100"));
    assert_false(ns_file_exists("stopped.nsd"));
    assert_false(ns_file_exists("stopped.nsd.tmp"));
}

static void test_threads_do_not_show(void **state) {
    (void)state;
    char first[NS_SHA256_HEX_MAX] = "";
    make_bad(3);
    for (int threads = 1; threads <= 4; threads++) {
        data_progress last = {0};
        data_import_options options = data_import_options_default();
        options.thread_count = threads;
        options.progress = count_progress;
        options.progress_context = &last;
        data_set *set = import_with("bad", &options);
        assert_int_equal(last.step, DATA_STEP_DECODE);
        assert_int_equal(last.done, 100);
        if (threads == 1) {
            (void)snprintf(first, sizeof(first), "%s", data_describe(set)->sha256);
        }
        assert_string_equal(data_describe(set)->sha256, first);
        data_close(set);
    }
}

static void test_disk_place_must_exist(void **state) {
    (void)state;
    ns_error err = {0};
    make_bad(0);
    const data_import_options options = data_import_options_default();
    assert_int_not_equal(data_import("bad", "no/such/folder/x.nsd", &options, &err), NS_OK);
    assert_non_null(strstr(err.text, "no/such/folder"));
}

static void test_what_is_no_source(void **state) {
    (void)state;
    ASSERT_REFUSED("nothing here", NS_ERR_NOT_FOUND, "nothing here");
    put_text("some.txt", "text");
    ASSERT_REFUSED("some.txt", NS_ERR_INPUT, "some.txt", "neither a folder nor a CSV");
}

static void test_brain_mri(void **state) {
    (void)state;
    char path[NS_PATH_MAX];
    test_data_path("brain-mri", path, sizeof(path));
    data_import_options options = data_import_options_default();
    options.width = options.height = 32;
    data_set *set = import_with(path, &options);
    const data_info *info = data_describe(set);
    assert_int_equal(info->image_count, 253 - 25); // 22 pictures are there more than once
    assert_int_equal(info->channels, 3);
    assert_int_equal(data_dropped_count(set), 25);
    for (size_t i = 0; i < data_dropped_count(set); i++) {
        assert_non_null(strstr(data_dropped_at(set, i).reason, "a duplicate of "));
    }
    assert_non_null(strstr(info->provenance, "\"repeated_pictures\":22,\"same_label\":25"));
    data_close(set);
}

static void test_flowers5(void **state) {
    (void)state;
    char path[NS_PATH_MAX];
    test_data_path("flowers5/rose", path, sizeof(path));
    fresh_dir("flowers"); // two labels of the five, so that the test stays short
    assert_int_equal(symlink(path, "flowers/rose"), 0);
    test_data_path("flowers5/tulip", path, sizeof(path));
    assert_int_equal(symlink(path, "flowers/tulip"), 0);
    data_import_options options = data_import_options_default();
    options.width = options.height = 16;
    data_set *set = import_with("flowers", &options);
    assert_int_equal(data_describe(set)->image_count, 759 + 853 - 8); // 4 are roses and tulips
    assert_int_equal(data_dropped_count(set), 8);
    data_close(set);
    remove_tree("flowers");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_shape_is_chosen_from_the_data),
        cmocka_unit_test(test_few_bad_images_are_listed),
        cmocka_unit_test(test_many_bad_images_stop_the_import),
        cmocka_unit_test(test_foreign_images_count_as_bad),
        cmocka_unit_test(test_a_label_may_not_lose_its_images),
        cmocka_unit_test(test_threads_do_not_show),
        cmocka_unit_test(test_stopped_leaves_nothing),
        cmocka_unit_test(test_stopped_at_any_stage),
        cmocka_unit_test(test_large_images_are_imported),
        cmocka_unit_test(test_no_memory_is_not_a_bad_image),
        cmocka_unit_test(test_disk_place_must_exist),
        cmocka_unit_test(test_what_is_no_source),
        cmocka_unit_test(test_brain_mri),
        cmocka_unit_test(test_flowers5),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
