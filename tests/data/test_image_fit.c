// Fitting: sizes, centre crop, area and bilinear resampling against a naive floating-point
// reference, and grey <-> RGB. Shrinking of packed images against the same reference.

#include "tests/ns_test.h"

#include <math.h>
#include <string.h>

#include "data/data_internal.h"

enum { SIDE_MAX = 64 };

static data_image make_image(int width, int height, int channels, uint64_t seed) {
    data_image image = {width, height, channels, NULL};
    const size_t size = (size_t)width * (size_t)height * (size_t)channels;
    ns_rng rng = ns_rng_stream(seed, 0, "pixels");
    image.pixels = malloc(size);
    for (size_t i = 0; i < size; i++) {
        image.pixels[i] = (uint8_t)ns_rng_below(&rng, 256);
    }
    return image;
}

static double pixel(const data_image *image, int x, int y, int c) {
    x = x < 0 ? 0 : x >= image->width ? image->width - 1 : x;
    y = y < 0 ? 0 : y >= image->height ? image->height - 1 : y;
    return image->pixels[((size_t)y * (size_t)image->width + (size_t)x) * (size_t)image->channels +
                         (size_t)c];
}

/// Share of source sample k in target sample i of one axis, where a target sample is `step` source
/// samples wide and the first begins at `offset`.
static double weight(double offset, double step, int i, int k, int count) {
    const double from = offset + i * step;
    if (step > 1.0) { // area
        const double overlap = fmin(from + step, k + 1.0) - fmax(from, k);
        return overlap > 0.0 ? overlap / step : 0.0;
    }
    double centre = from + step / 2.0 - 0.5; // in units of sample centres
    centre = fmin(fmax(centre, 0.0), count - 1.0);
    return fmax(0.0, 1.0 - fabs(centre - k));
}

/// One target sample, the naive way.
static double reference(const data_image *image, int width, int height, int x, int y, int c) {
    const double step = fmin((double)image->width / width, (double)image->height / height);
    const double offset_x = (image->width - width * step) / 2.0;
    const double offset_y = (image->height - height * step) / 2.0;
    double sum = 0.0;
    for (int v = 0; v < image->height; v++) {
        const double weight_y = weight(offset_y, step, y, v, image->height);
        for (int u = 0; u < image->width && weight_y > 0.0; u++) {
            sum += weight_y * weight(offset_x, step, x, u, image->width) * pixel(image, u, v, c);
        }
    }
    return sum;
}

static void check_against_reference(int from_width, int from_height, int width, int height,
                                    int channels) {
    ns_error err = {0};
    uint8_t got[SIDE_MAX * SIDE_MAX * 3];
    data_image image = make_image(from_width, from_height, channels, 7);
    assert_ok(data_image_fit(&image, channels, height, width, got, &err), &err);
    for (int c = 0; c < channels; c++) {
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                const double want = reference(&image, width, height, x, y, c);
                const uint8_t value = got[(c * height + y) * width + x];
                if (fabs(value - want) > 0.52) { // half for rounding, the rest for fixed point
                    fail_msg("%dx%d to %dx%d at (%d,%d) channel %d: got %d, want %.3f", from_width,
                             from_height, width, height, x, y, c, value, want);
                }
            }
        }
    }
    data_image_free(&image);
}

static void test_against_reference(void **state) {
    (void)state;
    check_against_reference(40, 40, 20, 20, 1); // exact halves
    check_against_reference(41, 37, 16, 16, 3); // shrinking with a crop
    check_against_reference(37, 53, 10, 24, 3);
    check_against_reference(9, 7, 32, 32, 3); // growing with a crop
    check_against_reference(1, 1, 8, 8, 1);
    check_against_reference(200, 3, 2, 2, 1);
    check_against_reference(3, 200, 5, 2, 1);
}

static void test_same_size_is_a_copy(void **state) {
    (void)state;
    ns_error err = {0};
    uint8_t got[3 * 5 * 4];
    data_image image = make_image(4, 5, 3, 1);
    assert_ok(data_image_fit(&image, 3, 5, 4, got, &err), &err);
    for (int i = 0; i < 20; i++) {
        for (int c = 0; c < 3; c++) {
            assert_int_equal(got[c * 20 + i], image.pixels[3 * i + c]);
        }
    }
    data_image_free(&image);
}

static void test_pure_crop_moves_by_whole_pixels(void **state) {
    (void)state;
    ns_error err = {0};
    uint8_t got[4 * 4];
    data_image image = make_image(7, 4, 1, 1);
    assert_ok(data_image_fit(&image, 1, 4, 4, got, &err), &err);
    for (int y = 0; y < 4; y++) {
        for (int x = 0; x < 4; x++) {
            assert_int_equal(got[4 * y + x], image.pixels[7 * y + x + 1]);
        }
    }
    data_image_free(&image);
}

static void test_flat_stays_flat(void **state) {
    (void)state;
    static const int sides[] = {1, 2, 3, 17, 64, 999, 3001};
    for (size_t i = 0; i < NS_COUNT_OF(sides); i++) {
        ns_error err = {0};
        uint8_t got[28 * 28];
        data_image image = make_image(sides[i], sides[i] + 1, 1, 1);
        memset(image.pixels, 255, (size_t)image.width * (size_t)image.height);
        assert_ok(data_image_fit(&image, 1, 28, 28, got, &err), &err);
        for (size_t at = 0; at < sizeof(got); at++) {
            assert_int_equal(got[at], 255);
        }
        data_image_free(&image);
    }
}

static void test_channels(void **state) {
    (void)state;
    ns_error err = {0};
    uint8_t rgb[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255};
    const data_image colour = {4, 1, 3, rgb};
    uint8_t luma[4];
    assert_ok(data_image_fit(&colour, 1, 1, 4, luma, &err), &err);
    const uint8_t luma_want[] = {76, 150, 29, 255};
    assert_memory_equal(luma, luma_want, sizeof(luma));
    uint8_t greys[] = {5, 250};
    const data_image grey = {2, 1, 1, greys};
    uint8_t planes[6];
    assert_ok(data_image_fit(&grey, 3, 1, 2, planes, &err), &err);
    const uint8_t planes_want[] = {5, 250, 5, 250, 5, 250};
    assert_memory_equal(planes, planes_want, sizeof(planes));
}

/* ---- smaller images ---------------------------------------------------------------------------- */

/// One pixel of a shrunk plane (from.height, from.width), the naive way: nothing is cropped.
static double shrunk_reference(const uint8_t *plane, data_size from, data_size to, int x, int y) {
    const double step_x = (double)from.width / to.width;
    const double step_y = (double)from.height / to.height;
    double sum = 0.0;
    for (int v = 0; v < from.height; v++) {
        for (int u = 0; u < from.width; u++) {
            sum += weight(0, step_y, y, v, from.height) * weight(0, step_x, x, u, from.width) *
                   plane[v * from.width + u];
        }
    }
    return sum;
}

/// What the matrices make of a plane at (x, y), before it is rounded.
static double shrunk_by_matrices(const uint8_t *plane, data_size from, data_size to,
                                 const float *across, const float *down, int x, int y) {
    double sum = 0.0;
    for (int v = 0; v < from.height; v++) {
        for (int u = 0; u < from.width; u++) {
            sum += (double)down[v * to.height + y] * (double)across[u * to.width + x] *
                   plane[v * from.width + u];
        }
    }
    return sum;
}

static void check_shrink(int channels, data_size from, data_size to, bool is_exact) {
    enum { THREADS = 2, THREAD = 1 };
    // Between the passes a pixel is rounded to 1/256; halves are rounded upwards.
    const double slack = is_exact ? 1e-9 : 1.0 / 256.0;
    static float across[SIDE_MAX * SIDE_MAX], down[SIDE_MAX * SIDE_MAX];
    ns_error err = {0};
    data_shrinker *shrinker = NULL;
    data_image image = make_image(from.width, from.height * channels, 1, 7);
    assert_ok(data_shrinker_new(channels, from, to, THREADS, &shrinker, &err), &err);
    data_shrinker_matrices(shrinker, across, down);
    const uint8_t *got = data_shrink(shrinker, THREAD, image.pixels);
    for (int i = 0; i < channels * to.height * to.width; i++) {
        const int x = i % to.width, y = i / to.width % to.height, c = i / to.width / to.height;
        const uint8_t *plane = image.pixels + (ptrdiff_t)c * from.height * from.width;
        const double want = shrunk_reference(plane, from, to, x, y);
        if (!(got[i] >= want - 0.5 - slack && got[i] <= want + 0.5 + slack) ||
            (is_exact && got[i] != (int)floor(want + 0.5 + slack))) {
            fail_msg("%dx%d to %dx%d, %d,%d,%d: got %d, want %g", from.width, from.height, to.width,
                     to.height, c, y, x, got[i], want);
        }
        assert_float_equal(shrunk_by_matrices(plane, from, to, across, down, x, y), want, 1e-3);
    }
    data_shrinker_free(shrinker);
    data_image_free(&image);
}

static void test_shrinking_against_reference(void **state) {
    (void)state;
    check_shrink(3, (data_size){64, 48}, (data_size){32, 24},
                 true); // halves have a way of their own
    check_shrink(1, (data_size){2, 2}, (data_size){1, 1}, true);
    check_shrink(3, (data_size){64, 44}, (data_size){48, 33}, true);
    check_shrink(1, (data_size){42, 62}, (data_size){42, 31}, true); // one axis alone
    check_shrink(3, (data_size){41, 57}, (data_size){21, 43}, false);
    check_shrink(1, (data_size){64, 63}, (data_size){1, 1}, false);
    check_shrink(1, (data_size){50, 50}, (data_size){49, 37}, false);
}

static void test_same_size_is_not_shrunk(void **state) {
    (void)state;
    static const uint8_t pixels[12] = {0};
    ns_error err = {0};
    data_shrinker *shrinker = NULL;
    const data_size size = {3, 4};
    assert_ok(data_shrinker_new(1, size, size, 1, &shrinker, &err), &err);
    assert_ptr_equal(data_shrink(shrinker, 0, pixels), pixels);
    data_shrinker_free(shrinker);
}

/// An image is shrunk as import would have brought it to that size.
static void test_shrinking_is_fitting(void **state) {
    (void)state;
    enum { FROM = 32, TO = 16, CHANNELS = 3 };
    ns_error err = {0};
    uint8_t packed[CHANNELS * FROM * FROM], want[CHANNELS * TO * TO];
    data_shrinker *shrinker = NULL;
    data_image image = make_image(FROM, FROM, CHANNELS, 3);
    assert_ok(data_image_fit(&image, CHANNELS, FROM, FROM, packed, &err), &err);
    assert_ok(data_image_fit(&image, CHANNELS, TO, TO, want, &err), &err);
    assert_ok(data_shrinker_new(CHANNELS, (data_size){FROM, FROM}, (data_size){TO, TO}, 1,
                                &shrinker, &err),
              &err);
    assert_memory_equal(data_shrink(shrinker, 0, packed), want, sizeof want);
    data_shrinker_free(shrinker);
    data_image_free(&image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_reference),
        cmocka_unit_test(test_same_size_is_a_copy),
        cmocka_unit_test(test_pure_crop_moves_by_whole_pixels),
        cmocka_unit_test(test_flat_stays_flat),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_shrinking_against_reference),
        cmocka_unit_test(test_same_size_is_not_shrunk),
        cmocka_unit_test(test_shrinking_is_fitting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
