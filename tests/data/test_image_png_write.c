// PNG files written from planar pixels are read back as the same pixels.

#include "tests/data/sources.h"

#include <string.h>

/// Pixels that differ by place and channel; planar (C, H, W).
static uint8_t pixel_at(int c, int y, int x) {
    return (uint8_t)(80 * c + 7 * y + x * x);
}

static void check_round_trip(int channels, int height, int width) {
    ns_error err = {0};
    uint8_t *planar = malloc((size_t)channels * (size_t)height * (size_t)width);
    assert_non_null(planar);
    for (int c = 0; c < channels; c++) {
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                planar[(c * height + y) * width + x] = pixel_at(c, y, x);
            }
        }
    }
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    data_image image = {0};
    assert_ok(data_png_encode(planar, channels, height, width, &bytes, &size_bytes, &err), &err);
    assert_ok(data_image_decode(bytes, size_bytes, "written", &image, &err), &err);
    assert_int_equal(image.channels, channels);
    assert_int_equal(image.height, height);
    assert_int_equal(image.width, width);
    for (int i = 0; i < height * width; i++) {
        for (int c = 0; c < channels; c++) {
            assert_int_equal(image.pixels[i * channels + c], pixel_at(c, i / width, i % width));
        }
    }
    data_image_free(&image);
    free(bytes);
    free(planar);
}

static void test_round_trips(void **state) {
    (void)state;
    check_round_trip(1, 1, 1);
    check_round_trip(1, 28, 28);
    check_round_trip(3, 5, 9);
    check_round_trip(3, 1, 300);
    check_round_trip(3, 200, 64);
}

static void test_same_pixels_same_bytes(void **state) {
    (void)state;
    ns_error err = {0};
    const uint8_t pixels[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    uint8_t *bytes[2] = {NULL, NULL};
    size_t size_bytes[2] = {0};
    for (int i = 0; i < 2; i++) {
        assert_ok(data_png_encode(pixels, 3, 2, 2, &bytes[i], &size_bytes[i], &err), &err);
    }
    assert_int_equal(size_bytes[0], size_bytes[1]);
    assert_memory_equal(bytes[0], bytes[1], size_bytes[0]);
    free(bytes[0]);
    free(bytes[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_same_pixels_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
