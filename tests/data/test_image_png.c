// PNG: PngSuite (every colour type, depth and interlacing; the corrupt ones refused), and files of
// known pixels made here: alpha, damage, and headers that claim too much.

#include "tests/data/sources.h"

#include <dirent.h>

/// The reasons that each corrupt image of PngSuite must be refused with.
static const struct {
    const char *name, *reason;
} corrupt[] = {
    {"xc1n0g08.png", "color type"}, // colour type 1
    {"xc9n2c08.png", "color type"}, // colour type 9
    {"xcrn0g04.png", "signature"},  // line ends rewritten
    {"xcsn0g01.png", "CRC error in chunk IDAT"},
    {"xd0n2c08.png", "bit depth"}, // depth 0
    {"xd3n2c08.png", "bit depth"}, // depth 3
    {"xd9n2c08.png", "bit depth"}, // depth 99
    {"xdtn0g01.png", "IEND"},      // no IDAT
    {"xhdn0g08.png", "CRC error in chunk IHDR"},
    {"xlfn0g04.png", "signature"},
    {"xs1n0g01.png", "signature"},
    {"xs2n0g01.png", "signature"},
    {"xs4n0g01.png", "signature"},
    {"xs7n0g01.png", "signature"},
};

static void suite_path(const char *name, char path[NS_PATH_MAX]) {
    char part[NS_PATH_MAX / 2];
    (void)snprintf(part, sizeof(part), "bad-input/pngsuite/%s", name);
    test_data_path(part, path, NS_PATH_MAX);
}

static data_image read_suite(const char *name) {
    ns_error err = {0};
    char path[NS_PATH_MAX];
    data_image image = {0};
    suite_path(name, path);
    assert_ok(data_image_read(path, &image, &err), &err);
    return image;
}

static void test_corrupt_ones_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < NS_COUNT_OF(corrupt); i++) {
        ns_error err = {0};
        char path[NS_PATH_MAX];
        data_image image = {0};
        suite_path(corrupt[i].name, path);
        assert_status(data_image_read(path, &image, &err), NS_ERR_INPUT);
        if (strstr(err.text, path) == NULL || strstr(err.text, corrupt[i].reason) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", err.text, corrupt[i].reason);
        }
    }
}

/// For check_png.py.
static void put_raw(const char *name, const data_image *image) {
    char path[NS_PATH_MAX];
    const size_t pixels_bytes =
        (size_t)image->width * (size_t)image->height * (size_t)image->channels;
    uint8_t *file = malloc(64 + pixels_bytes);
    assert_non_null(file);
    const int used =
        snprintf((char *)file, 64, "%d %d %d\n", image->width, image->height, image->channels);
    memcpy(file + used, image->pixels, pixels_bytes);
    (void)snprintf(path, sizeof(path), "decoded/%.*s.raw", (int)strcspn(name, "."), name);
    put_file(path, file, (size_t)used + pixels_bytes);
    free(file);
}

/// A decoder written from the specification, in another language, sees the same in every pixel.
static void assert_same_as_reference(const char *suite) {
    char command[2 * NS_PATH_MAX];
    (void)snprintf(command, sizeof(command), "%s %s '%s' decoded", PYTHON, CHECK_PNG, suite);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): a script of our own
}

/// All that are not named "x...": 161 images, each decoded, with the channels that its name tells.
static void test_sound_ones_are_read(void **state) {
    (void)state;
    fresh_dir("decoded");
    char dir_path[NS_PATH_MAX];
    suite_path("", dir_path);
    DIR *dir = opendir(dir_path);
    assert_non_null(dir);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const char *name = entry->d_name;
        const size_t length = strlen(name);
        if (length != strlen("basn0g01.png") || name[0] == 'x' || strcmp(name + 8, ".png") != 0) {
            continue;
        }
        data_image image = read_suite(name);
        const bool grey = name[5] == 'g' || (name[4] == '4' && name[5] == 'a');
        assert_int_equal(image.channels, grey ? 1 : 3);
        assert_true(image.width > 0 && image.height > 0);
        put_raw(name, &image);
        data_image_free(&image);
        count++;
    }
    closedir(dir);
    if (count < 150) {
        fail_msg("only %d images of PngSuite were read, want 150 or more", count);
    }
    assert_same_as_reference(dir_path);
}

static void test_interlaced_ones_equal_the_others(void **state) {
    (void)state;
    static const char *const kinds[] = {"0g01", "0g02", "0g04", "0g08", "0g16",
                                        "2c08", "2c16", "3p01", "3p02", "3p04",
                                        "3p08", "4a08", "4a16", "6a08", "6a16"};
    for (size_t i = 0; i < NS_COUNT_OF(kinds); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "basn%s.png", kinds[i]);
        data_image straight = read_suite(name);
        (void)snprintf(name, sizeof(name), "basi%s.png", kinds[i]);
        data_image interlaced = read_suite(name);
        assert_int_equal(straight.channels, interlaced.channels);
        assert_int_equal(straight.width * straight.height, interlaced.width * interlaced.height);
        assert_memory_equal(straight.pixels, interlaced.pixels,
                            (size_t)straight.width * (size_t)straight.height *
                                (size_t)straight.channels);
        data_image_free(&straight);
        data_image_free(&interlaced);
    }
}

/// basn0g01 is a 1-bit image, black below the diagonal: depth 1 must become 0 and 255.
static void test_low_depths_fill_the_range(void **state) {
    (void)state;
    data_image image = read_suite("basn0g01.png");
    bool black = false;
    bool white = false;
    for (int i = 0; i < image.width * image.height; i++) {
        black = black || image.pixels[i] == 0;
        white = white || image.pixels[i] == 255;
        assert_true(image.pixels[i] == 0 || image.pixels[i] == 255);
    }
    assert_true(black && white);
    data_image_free(&image);
}

static void assert_decodes_to(const png_spec *spec, int channels, const uint8_t *want) {
    static uint8_t file[PNG_BYTES_MAX];
    ns_error err = {0};
    data_image image = {0};
    const size_t size_bytes = make_png(spec, file);
    assert_ok(data_image_decode(file, size_bytes, "made here", &image, &err), &err);
    assert_int_equal(image.width, spec->width);
    assert_int_equal(image.height, spec->height);
    assert_int_equal(image.channels, channels);
    assert_memory_equal(image.pixels, want, (size_t)spec->width * spec->height * (size_t)channels);
    data_image_free(&image);
}

static void test_alpha_is_laid_over_black(void **state) {
    (void)state;
    const uint8_t grey[] = {200, 255, 200, 128, 200, 0, 1, 254};
    const uint8_t grey_want[] = {200, 100, 0, 1};
    assert_decodes_to(&(png_spec){2, 2, PNG_GREY_ALPHA, grey}, 1, grey_want);
    const uint8_t colour[] = {10, 100, 250, 255, 10, 100, 250, 51};
    const uint8_t colour_want[] = {10, 100, 250, 2, 20, 50};
    assert_decodes_to(&(png_spec){2, 1, PNG_RGBA, colour}, 3, colour_want);
}

static void test_plain_pixels_are_exact(void **state) {
    (void)state;
    const uint8_t pixels[] = {0, 1, 2, 253, 254, 255};
    assert_decodes_to(&(png_spec){3, 2, PNG_GREY, pixels}, 1, pixels);
    assert_decodes_to(&(png_spec){1, 2, PNG_RGB, pixels}, 3, pixels);
}

/// Whatever byte is missing or changed, decoding returns; nothing that is cut off passes.
static void test_damage(void **state) {
    (void)state;
    static uint8_t file[PNG_BYTES_MAX];
    uint8_t pixels[12 * 12 * 3];
    for (size_t i = 0; i < sizeof(pixels); i++) {
        pixels[i] = (uint8_t)(i * i);
    }
    const size_t size_bytes = make_png(&(png_spec){12, 12, PNG_RGB, pixels}, file);
    for (size_t cut = 0; cut < size_bytes; cut++) {
        ns_error err = {0};
        data_image image = {0};
        uint8_t *exact = malloc(cut + 1); // so that a sanitizer sees reads behind the end
        memcpy(exact, file, cut);
        assert_status(data_image_decode(exact, cut, "cut", &image, &err), NS_ERR_INPUT);
        free(exact);
    }
    for (size_t at = 0; at < size_bytes; at++) {
        ns_error err = {0};
        data_image image = {0};
        file[at] ^= 0x10;
        assert_status(data_image_decode(file, size_bytes, "flipped", &image, &err), NS_ERR_INPUT);
        file[at] ^= 0x10;
    }
}

static void test_claims_are_checked_before_memory_is_taken(void **state) {
    (void)state;
    static uint8_t file[PNG_BYTES_MAX];
    static const struct {
        uint32_t width, height;
        const char *claim;
    } cases[] = {{60000, 60000, "60000x60000"},
                 {32768, 32768, "32768x32768"},
                 {100000, 100000, "100000x100000"},
                 {0, 5, "0x5"},
                 {1, 0x7fffffff, "1x2147483647"}};
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        ns_error err = {0};
        data_image image = {0};
        const size_t size_bytes = make_claim(cases[i].width, cases[i].height, file);
        assert_status(data_image_decode(file, size_bytes, "claim", &image, &err), NS_ERR_INPUT);
        if (strstr(err.text, cases[i].claim) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].claim);
        }
    }
}

/// What takes longer than it may is refused; the clock is looked at every million pixels.
static void test_time_is_limited(void **state) {
    (void)state;
    ns_error err = {0};
    data__cpu_limit limit = data__cpu_limit_start(1);
    assert_ok(data__cpu_limit_check(&limit, 1000, &err), &err);
    limit.end_ns = 0;
    assert_ok(data__cpu_limit_check(&limit, 1000, &err), &err); // no look yet
    assert_status(data__cpu_limit_check(&limit, 1 << 20, &err), NS_ERR_INPUT);
    assert_string_equal(err.text, "decoding it takes more than 0.001 s of a core");
}

static void test_headers_agree_with_pixels(void **state) {
    (void)state;
    static const char *const names[] = {"basn0g16.png", "basn2c08.png", "basn3p01.png",
                                        "basn4a08.png", "basi6a16.png", "s09n3p02.png"};
    for (size_t i = 0; i < NS_COUNT_OF(names); i++) {
        ns_error err = {0};
        char path[NS_PATH_MAX];
        data__image_header header = {0};
        suite_path(names[i], path);
        assert_ok(read_header(path, &header, &err), &err);
        data_image image = read_suite(names[i]);
        assert_int_equal(header.width, image.width);
        assert_int_equal(header.height, image.height);
        assert_int_equal(header.channels, image.channels);
        data_image_free(&image);
    }
}

/// For run_within: as run_decode, but NS_ERR_LIMIT when it took more than 16 MB. (A limit alone would
/// not show it: libpng drops a text that there is no memory for.)
static ns_status run_small_decode(const void *context) {
    struct rusage before;
    struct rusage after;
    (void)getrusage(RUSAGE_SELF, &before);
    const ns_status status = run_decode(context);
    (void)getrusage(RUSAGE_SELF, &after);
    return after.ru_maxrss - before.ru_maxrss > 16L << 10 ? NS_ERR_LIMIT : status;
}

/// 300 compressed texts of 8 MB each and 5,000 plain ones, in 3 MB: none of them is kept.
static void test_texts_take_no_memory(void **state) {
    (void)state;
    enum { BOMB_COUNT = 300, TEXT_COUNT = 5000, BOMB_BYTES = 8000000 };
    static const uint8_t pixels[] = {7, 8, 9, 10};
    static uint8_t file[4u << 20];
    uint8_t base[PNG_BYTES_MAX];
    uint8_t bomb[PNG_BYTES_MAX] = "k"; // keyword, 0, method 0
    uLongf bomb_bytes = sizeof(bomb) - 3;
    uint8_t *text = malloc(BOMB_BYTES);
    assert_non_null(text);
    memset(text, 'x', BOMB_BYTES);
    assert_int_equal(compress(bomb + 3, &bomb_bytes, text, BOMB_BYTES), Z_OK);
    free(text);
    const size_t base_bytes = make_png(&(png_spec){2, 2, PNG_GREY, pixels}, base);
    const size_t header_bytes = 33;
    size_t used = header_bytes;
    memcpy(file, base, used);
    for (int i = 0; i < BOMB_COUNT; i++) {
        used += put_chunk(file + used, "zTXt", bomb, (uint32_t)bomb_bytes + 3);
    }
    for (int i = 0; i < TEXT_COUNT; i++) {
        used += put_chunk(file + used, "tEXt", (const uint8_t *)"key\0text", 8);
    }
    assert_true(used + base_bytes < sizeof(file));
    memcpy(file + used, base + header_bytes, base_bytes - header_bytes);
    used += base_bytes - header_bytes;
    ns_error err = {0};
    data_image image = {0};
    assert_ok(data_image_decode(file, used, "bombs", &image, &err), &err);
    assert_memory_equal(image.pixels, pixels, sizeof(pixels));
    data_image_free(&image);
    assert_status(run_within(1u << 30, run_small_decode, &(encoded){file, used}), NS_OK);
}

static void test_no_memory_is_not_a_bad_image(void **state) {
    (void)state;
    static uint8_t file[PNG_BYTES_MAX];
    const encoded huge = {file, make_claim(100000, 100000, file)};
    assert_status(run_within(1u << 20, run_decode, &huge), NS_ERR_INPUT); // takes none
    const encoded large = {file, make_claim(8192, 8192, file)};
    assert_status(run_within(8u << 20, run_decode, &large), NS_ERR_MEMORY);
    assert_status(run_within(256u << 20, run_decode, &large),
                  NS_ERR_INPUT); // its pixels are not there
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corrupt_ones_are_refused),
        cmocka_unit_test(test_sound_ones_are_read),
        cmocka_unit_test(test_interlaced_ones_equal_the_others),
        cmocka_unit_test(test_low_depths_fill_the_range),
        cmocka_unit_test(test_alpha_is_laid_over_black),
        cmocka_unit_test(test_plain_pixels_are_exact),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_claims_are_checked_before_memory_is_taken),
        cmocka_unit_test(test_time_is_limited),
        cmocka_unit_test(test_headers_agree_with_pixels),
        cmocka_unit_test(test_texts_take_no_memory),
        cmocka_unit_test(test_no_memory_is_not_a_bad_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
