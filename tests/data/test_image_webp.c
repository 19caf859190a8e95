// WebP: files made here by libwebp's encoder, whose pixels are known when nothing is lost; alpha,
// orientation, animations, and damage of every kind.

#include "tests/data/sources.h"

#include <webp/encode.h>

enum { WEBP_BYTES_MAX = 1 << 16, SIDE = 40 };

static void fill(uint8_t *pixels, int channels) {
    for (int i = 0; i < SIDE * SIDE; i++) {
        for (int c = 0; c < channels; c++) {
            pixels[i * channels + c] = (uint8_t)(i % SIDE * 6 + c * i / SIDE);
        }
    }
}

/// Copies what the encoder made into `out` (WEBP_BYTES_MAX).
static size_t take(uint8_t *encoded_bytes, size_t size_bytes, uint8_t *out) {
    assert_true(size_bytes > 0 && size_bytes <= WEBP_BYTES_MAX);
    memcpy(out, encoded_bytes, size_bytes);
    WebPFree(encoded_bytes);
    return size_bytes;
}

static size_t make_lossless(const uint8_t *rgb, int width, int height, uint8_t *out) {
    uint8_t *made = NULL;
    const size_t size_bytes = WebPEncodeLosslessRGB(rgb, width, height, 3 * width, &made);
    return take(made, size_bytes, out);
}

static void put_little_32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

/// The extended form of a simple file: with these flags, and with a chunk behind the pixels.
static size_t extend(const uint8_t *simple, size_t simple_bytes, uint8_t flags, const char *name,
                     const uint8_t *chunk, size_t chunk_bytes, uint8_t *out) {
    ns_error err = {0};
    data_image image = {0};
    assert_ok(data_image_decode(simple, simple_bytes, "simple", &image, &err), &err);
    memset(out, 0, WEBP_BYTES_MAX);
    memcpy(out, simple, 12);
    (void)put_bytes(out + 12, "VP8X\x0a\0\0\0", 8);
    out[20] = flags;
    out[24] = (uint8_t)(image.width - 1); // canvas
    out[27] = (uint8_t)(image.height - 1);
    memcpy(out + 30, simple + 12, simple_bytes - 12);
    size_t used = 30 + simple_bytes - 12;
    memcpy(out + used, name, 4);
    put_little_32(out + used + 4, (uint32_t)chunk_bytes);
    memcpy(out + used + 8, chunk, chunk_bytes);
    used += 8 + chunk_bytes + chunk_bytes % 2;
    put_little_32(out + 4, (uint32_t)used - 8);
    data_image_free(&image);
    return used;
}

static void test_lossless_is_exact(void **state) {
    (void)state;
    static uint8_t file[WEBP_BYTES_MAX];
    uint8_t pixels[SIDE * SIDE * 3];
    ns_error err = {0};
    data_image image = {0};
    data__image_header header = {0};
    fill(pixels, 3);
    const size_t size_bytes = make_lossless(pixels, SIDE, SIDE, file);
    assert_ok(data_image_decode(file, size_bytes, "lossless", &image, &err), &err);
    assert_int_equal(image.width, SIDE);
    assert_int_equal(image.height, SIDE);
    assert_int_equal(image.channels, 3);
    assert_memory_equal(image.pixels, pixels, sizeof(pixels));
    data_image_free(&image);
    put_file("lossless.webp", file, size_bytes);
    assert_ok(read_header("lossless.webp", &header, &err), &err);
    assert_int_equal(header.kind, DATA__KIND_WEBP);
    assert_int_equal(header.width, SIDE);
    assert_int_equal(header.channels, 3);
}

static void test_alpha_is_laid_over_black(void **state) {
    (void)state;
    static uint8_t file[WEBP_BYTES_MAX];
    const uint8_t pixels[] = {10, 100, 250, 255, 10, 100, 250, 51};
    const uint8_t want[] = {10, 100, 250, 2, 20, 50};
    ns_error err = {0};
    data_image image = {0};
    uint8_t *made = NULL;
    const size_t made_bytes = WebPEncodeLosslessRGBA(pixels, 2, 1, 8, &made);
    const size_t size_bytes = take(made, made_bytes, file);
    assert_ok(data_image_decode(file, size_bytes, "alpha", &image, &err), &err);
    assert_int_equal(image.channels, 3);
    assert_memory_equal(image.pixels, want, sizeof(want));
    data_image_free(&image);
}

static void test_lossy_is_close(void **state) {
    (void)state;
    static uint8_t file[WEBP_BYTES_MAX];
    uint8_t pixels[SIDE * SIDE * 3];
    ns_error err = {0};
    data_image image = {0};
    uint8_t *made = NULL;
    double sum = 0;
    fill(pixels, 3);
    const size_t made_bytes = WebPEncodeRGB(pixels, SIDE, SIDE, 3 * SIDE, 95, &made);
    const size_t size_bytes = take(made, made_bytes, file);
    assert_ok(data_image_decode(file, size_bytes, "lossy", &image, &err), &err);
    for (size_t i = 0; i < sizeof(pixels); i++) {
        sum += abs(image.pixels[i] - pixels[i]);
    }
    data_image_free(&image);
    if (sum / sizeof(pixels) > 6) {
        fail_msg("mean difference %.2f, at most 6", sum / sizeof(pixels));
    }
}

static void test_exif_turns(void **state) {
    (void)state;
    static uint8_t simple[WEBP_BYTES_MAX];
    static uint8_t file[WEBP_BYTES_MAX];
    const uint8_t pixels[] = {1, 2, 3, 40, 50, 60};
    ns_error err = {0};
    data_image image = {0};
    data__image_header header = {0};
    uint8_t block[EXIF_BYTES];
    make_exif(false, 8, block);
    const size_t simple_bytes = make_lossless(pixels, 2, 1, simple);
    const size_t size_bytes =
        extend(simple, simple_bytes, 0x08, "EXIF", block, sizeof(block), file);
    assert_ok(data_image_decode(file, size_bytes, "turned", &image, &err), &err);
    assert_int_equal(image.width, 1);
    assert_int_equal(image.height, 2);
    assert_memory_equal(image.pixels, pixels + 3, 3);
    assert_memory_equal(image.pixels + 3, pixels, 3);
    data_image_free(&image);
    put_file("turned.webp", file, size_bytes);
    assert_ok(read_header("turned.webp", &header, &err), &err);
    assert_int_equal(header.width, 1);
    // Its header alone cannot tell the sides: more is asked for.
    data__content start = {.bytes = file, .size_bytes = 40, .cut = true};
    assert_status(data__content_header(&start, &header, &err), NS_ERR_INPUT);
}

static void test_animations_are_refused(void **state) {
    (void)state;
    static uint8_t simple[WEBP_BYTES_MAX];
    static uint8_t file[WEBP_BYTES_MAX];
    const uint8_t pixels[] = {1, 2, 3, 40, 50, 60};
    ns_error err = {0};
    data_image image = {0};
    const size_t simple_bytes = make_lossless(pixels, 2, 1, simple);
    const size_t size_bytes =
        extend(simple, simple_bytes, 0x02, "ANIM", (const uint8_t *)"\0\0\0\0\0\0", 6, file);
    assert_status(data_image_decode(file, size_bytes, "moving", &image, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "animation"));
}

/// Whatever byte is changed or missing, decoding returns; nothing that is cut off passes.
static void test_damage(void **state) {
    (void)state;
    static uint8_t file[WEBP_BYTES_MAX];
    uint8_t pixels[SIDE * SIDE * 3];
    ns_error err = {0};
    fill(pixels, 3);
    for (int lossy = 0; lossy < 2; lossy++) {
        uint8_t *made = NULL;
        size_t size_bytes = lossy ? WebPEncodeRGB(pixels, SIDE, SIDE, 3 * SIDE, 50, &made)
                                  : WebPEncodeLosslessRGB(pixels, SIDE, SIDE, 3 * SIDE, &made);
        size_bytes = take(made, size_bytes, file);
        for (size_t cut = 0; cut < size_bytes; cut++) {
            data_image image = {0};
            uint8_t *exact = malloc(cut + 1); // so that a sanitizer sees reads behind the end
            assert_non_null(exact);
            memcpy(exact, file, cut);
            assert_status(data_image_decode(exact, cut, "cut", &image, &err), NS_ERR_INPUT);
            free(exact);
        }
        for (size_t at = 0; at < size_bytes; at++) {
            data_image image = {0};
            file[at] ^= 0x10;
            const ns_status status = data_image_decode(file, size_bytes, "flipped", &image, &err);
            assert_true(status == NS_OK || status == NS_ERR_INPUT);
            data_image_free(&image);
            file[at] ^= 0x10;
        }
    }
}

/// A lossless header that claims 16384x16384 pixels, the most it can, and brings none.
static void test_no_memory_is_not_a_bad_image(void **state) {
    (void)state;
    uint8_t file[32] = "RIFF\x18\0\0\0WEBPVP8L\x0c\0\0\0\x2f\xff\xff\xff\x0f";
    const encoded large = {file, sizeof(file)};
    assert_status(run_within(8u << 20, run_decode, &large), NS_ERR_MEMORY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lossless_is_exact),
        cmocka_unit_test(test_alpha_is_laid_over_black),
        cmocka_unit_test(test_lossy_is_close),
        cmocka_unit_test(test_exif_turns),
        cmocka_unit_test(test_animations_are_refused),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_no_memory_is_not_a_bad_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
