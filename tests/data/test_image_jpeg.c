// JPEG: the reference images against their PNG twins, the crashing and truncated ones refused, and
// damage of every kind that must not crash or leak (run under the sanitizers).

#include "tests/data/sources.h"

#include <dirent.h>
#include <ftw.h>

static void jpeg_path(const char *name, char path[NS_PATH_MAX]) {
    char part[NS_PATH_MAX / 2];
    (void)snprintf(part, sizeof(part), "bad-input/jpeg/%s", name);
    test_data_path(part, path, NS_PATH_MAX);
}

static data_image read_image(const char *name) {
    ns_error err = {0};
    char path[NS_PATH_MAX];
    data_image image = {0};
    jpeg_path(name, path);
    assert_ok(data_image_read(path, &image, &err), &err);
    return image;
}

/// Pixels of the JPEG and of the PNG that another decoder made of it; it may have rounded otherwise.
static void assert_close(const char *jpeg_name, const char *png_name) {
    data_image got = read_image(jpeg_name);
    data_image want = read_image(png_name);
    assert_int_equal(got.width, want.width);
    assert_int_equal(got.height, want.height);
    const size_t sample_count = 3 * (size_t)got.width * (size_t)got.height;
    double sum = 0.0;
    int most = 0;
    for (size_t i = 0; i < sample_count; i++) {
        const int a = got.pixels[got.channels == 3 ? i : i / 3];
        const int b = want.pixels[want.channels == 3 ? i : i / 3];
        const int difference = a > b ? a - b : b - a;
        most = difference > most ? difference : most;
        sum += difference;
    }
    const double mean = sum / (double)sample_count;
    if (mean > 0.25 || most > 3) {
        fail_msg("%s: difference %.3f in the mean, at most 0.25, and %d, at most 3", jpeg_name,
                 mean, most);
    }
    data_image_free(&got);
    data_image_free(&want);
}

/// Every JPEG of the folder that has a PNG beside it; how many there are.
static int check_folder(const char *folder) {
    char path[NS_PATH_MAX];
    jpeg_path(folder, path);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char jpeg_name[NS_PATH_MAX / 4];
        char png_name[NS_PATH_MAX / 4];
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || strcmp(dot, ".jpg") != 0 ||
            strcmp(entry->d_name, "partial_progressive.jpg") == 0) { // cut off: see below
            continue;
        }
        (void)snprintf(jpeg_name, sizeof(jpeg_name), "%s/%s", folder, entry->d_name);
        (void)snprintf(png_name, sizeof(png_name), "%s/%.*s.png", folder,
                       (int)(dot - entry->d_name), entry->d_name);
        assert_close(jpeg_name, png_name);
        count++;
    }
    closedir(dir);
    return count;
}

static void test_reference_images(void **state) {
    (void)state;
    const int count = check_folder("reftest/images") + check_folder("reftest/images/mozilla");
    if (count < 30) {
        fail_msg("only %d reference images were compared, want 30 or more", count);
    }
}

static void test_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *name, *reason;
    } cases[] = {
        {"crashtest/images/empty.jpg", "empty"},
        {"crashtest/images/max_size.jpg", "65500"},
        {"crashtest/images/null_height.jpg", "Empty JPEG image"},
        {"crashtest/images/missing-sos.jpg", "SOS"},
        {"crashtest/images/missing-sof.jpg", "end of JPEG"},
        {"crashtest/images/invalid-prediction-shift.jpg", "SOF type 0xc3"},
        {"crashtest/images/derive-huffman-codes-overflow.jpg", "Huffman"},
        {"crashtest/images/imagetestsuite/6903d4538fd33c8fd0ded32cb30d618e.jpg", "49157x27397"},
        {"reftest/images/partial_progressive.jpg", "premature end"},
    };
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        ns_error err = {0};
        char path[NS_PATH_MAX];
        data_image image = {0};
        jpeg_path(cases[i].name, path);
        assert_status(data_image_read(path, &image, &err), NS_ERR_INPUT);
        if (strstr(err.text, path) == NULL || strstr(err.text, cases[i].reason) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].reason);
        }
    }
}

static int read_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)where;
    const char *dot = strrchr(path, '.');
    if (kind == FTW_F && dot != NULL && strcmp(dot, ".jpg") == 0) {
        ns_error err = {0};
        data_image image = {0};
        data__image_header header = {0};
        const ns_status status = data_image_read(path, &image, &err);
        assert_true(status == NS_OK || status == NS_ERR_INPUT);
        assert_int_equal(status == NS_OK, err.text[0] == 0);
        if (status == NS_OK) {
            assert_ok(read_header(path, &header, &err), &err);
            assert_int_equal(header.width, image.width);
            assert_int_equal(header.height, image.height);
            assert_int_equal(header.channels, image.channels);
        } else {
            (void)read_header(path, &header, &err);
        }
        data_image_free(&image);
    }
    return 0;
}

static void test_the_whole_set_returns(void **state) {
    (void)state;
    char path[NS_PATH_MAX];
    jpeg_path("", path);
    assert_int_equal(nftw(path, read_entry, 16, FTW_PHYS), 0);
}

static void test_cut_ones_are_refused(void **state) {
    (void)state;
    ns_error err = {0};
    char path[NS_PATH_MAX];
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    jpeg_path("reftest/images/mozilla/jpg-progressive.jpg", path);
    assert_ok(ns_file_read(path, 1 << 20, &bytes, &size_bytes, &err), &err);
    const size_t tail = 2; // without its end marker alone, every pixel is there
    for (size_t cut = 0; cut < size_bytes - tail; cut += 7) {
        data_image image = {0};
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, bytes, cut);
        assert_status(data_image_decode(exact, cut, "cut", &image, &err), NS_ERR_INPUT);
        free(exact);
    }
    free(bytes);
}

static void test_flipped_ones_return(void **state) {
    (void)state;
    ns_error err = {0};
    char path[NS_PATH_MAX];
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    jpeg_path("reftest/images/mozilla/jpg-cmyk-1.jpg", path);
    assert_ok(ns_file_read(path, 1 << 20, &bytes, &size_bytes, &err), &err);
    ns_rng rng = ns_rng_stream(1, 0, "flips");
    for (int i = 0; i < 500; i++) {
        data_image image = {0};
        const size_t at = ns_rng_below(&rng, size_bytes < 1000 ? size_bytes : 1000);
        const uint8_t mask = (uint8_t)(1 + ns_rng_below(&rng, 255));
        bytes[at] ^= mask;
        const ns_status status = data_image_decode(bytes, size_bytes, "flipped", &image, &err);
        assert_true(status == NS_OK || status == NS_ERR_INPUT);
        data_image_free(&image);
        bytes[at] ^= mask;
    }
    free(bytes);
}

static void test_scans_are_limited(void **state) {
    (void)state;
    static const struct {
        jpeg_spec spec;
        const char *reason; // NULL: it is read
    } cases[] = {
        {{64, 128, 500}, NULL},
        {{64, 64, 501}, "501 or more scans of 64x64 pixels"},
        {{8192, 4096, 2}, NULL},
        {{8192, 4096, 300}, "257 or more scans of 8192x4096 pixels"},
    };
    static uint8_t file[JPEG_BYTES_MAX];
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        ns_error err = {0};
        data_image image = {0};
        const size_t size_bytes = make_jpeg(&cases[i].spec, file);
        const ns_status status = data_image_decode(file, size_bytes, "scans", &image, &err);
        if (cases[i].reason == NULL) {
            assert_ok(status, &err);
            assert_int_equal(image.pixels[0], 128);
            assert_int_equal(image.pixels[image.width * image.height - 1], 128);
        } else {
            assert_status(status, NS_ERR_INPUT);
            assert_non_null(strstr(err.text, cases[i].reason));
        }
        data_image_free(&image);
    }
}

/// Slow to decode and within all other limits.
static void test_time_is_limited(void **state) {
    (void)state;
    static uint8_t file[JPEG_BYTES_MAX];
    ns_error err = {0};
    data_image image = {0};
    data__content slow = {.bytes = file, .cpu_max_ms = 1};
    slow.size_bytes = make_jpeg(&(jpeg_spec){8192, 4096, 200}, file);
    assert_status(data__content_decode(&slow, &image, &err), NS_ERR_INPUT);
    assert_string_equal(err.text, "decoding it takes more than 0.001 s of a core");
}

static void test_no_memory_is_not_a_bad_image(void **state) {
    (void)state;
    static uint8_t file[JPEG_BYTES_MAX];
    const size_t size_bytes = make_jpeg(&(jpeg_spec){8192, 4096, 2}, file);
    const encoded large = {file, size_bytes};
    assert_status(run_within(8u << 20, run_decode, &large), NS_ERR_MEMORY);
    assert_status(run_within(256u << 20, run_decode, &large), NS_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_images),
        cmocka_unit_test(test_refused_by_name),
        cmocka_unit_test(test_the_whole_set_returns),
        cmocka_unit_test(test_cut_ones_are_refused),
        cmocka_unit_test(test_flipped_ones_return),
        cmocka_unit_test(test_scans_are_limited),
        cmocka_unit_test(test_time_is_limited),
        cmocka_unit_test(test_no_memory_is_not_a_bad_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
