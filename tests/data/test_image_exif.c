// Orientation: the tag in every byte order and place, blocks that lie or end early, and what each of
// its eight values does to pixels, in each kind of file that can carry it.

#include "tests/data/sources.h"

static void test_both_byte_orders(void **state) {
    (void)state;
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        for (uint16_t value = 0; value < 12; value++) {
            uint8_t block[6 + EXIF_BYTES] = "Exif\0";
            make_exif(big_endian != 0, value, block + 6);
            const int want = value >= 1 && value <= 8 ? value : 1;
            assert_int_equal(data__exif_orientation(block + 6, EXIF_BYTES), want);
            assert_int_equal(data__exif_orientation(block, sizeof(block)), want);
        }
    }
}

/// Cut anywhere, it tells the orientation when all of the entry is there and nothing else.
static void test_cut_blocks(void **state) {
    (void)state;
    uint8_t block[EXIF_BYTES];
    make_exif(false, 6, block);
    for (size_t size_bytes = 0; size_bytes <= EXIF_BYTES; size_bytes++) {
        uint8_t *exact = malloc(size_bytes + 1); // so that a sanitizer sees reads behind the end
        assert_non_null(exact);
        memcpy(exact, block, size_bytes);
        assert_int_equal(data__exif_orientation(exact, size_bytes),
                         size_bytes == EXIF_BYTES ? 6 : 1);
        free(exact);
    }
}

static void test_lying_blocks(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } lies[] = {
        {0, 'X'},   // no byte order
        {2, 43},    // not TIFF's number
        {7, 0xff},  // a directory far behind the end
        {4, 33},    // a directory at the last byte
        {8, 1},     // only one entry
        {24, 4},    // the value is a LONG
        {26, 2},    // two values
        {31, 0x80}, // a value that no camera writes
    };
    for (size_t i = 0; i < NS_COUNT_OF(lies); i++) {
        uint8_t block[EXIF_BYTES];
        make_exif(false, 6, block);
        block[lies[i].at] = lies[i].value;
        assert_int_equal(data__exif_orientation(block, sizeof(block)), 1);
    }
    uint8_t many[EXIF_BYTES];
    make_exif(false, 6, many);
    many[8] = many[9] = 0xff; // claims 65,535 entries, two are there
    assert_int_equal(data__exif_orientation(many, sizeof(many)), 6);
}

// The picture "123 / 456" as each orientation stores the upright one, which is always the same.
static const struct {
    int width, height;
    const char *stored;
} orientations[9] = {
    {0},
    {3, 2, "123456"}, // upright
    {3, 2, "321654"}, // mirrored
    {3, 2, "654321"}, // upside down
    {3, 2, "456123"}, // upside down and mirrored
    {2, 3, "142536"}, // transposed
    {2, 3, "362514"}, // to be turned clockwise
    {2, 3, "635241"}, // transposed over the other diagonal
    {2, 3, "415263"}, // to be turned against the clock
};

static void assert_upright(const uint8_t *bytes, size_t size_bytes, int orientation) {
    ns_error err = {0};
    data_image image = {0};
    data__image_header header = {0};
    data__content content = {.bytes = malloc(size_bytes), .size_bytes = size_bytes};
    assert_non_null(content.bytes);
    memcpy(content.bytes, bytes, size_bytes);
    assert_ok(data__content_header(&content, &header, &err), &err);
    assert_ok(data__content_decode(&content, &image, &err), &err);
    data__content_free(&content);
    assert_int_equal(header.width, 3);
    assert_int_equal(header.height, 2);
    assert_int_equal(image.width, 3);
    assert_int_equal(image.height, 2);
    if (memcmp(image.pixels, "123456", 6) != 0) {
        fail_msg("orientation %d gives %.6s, want 123456", orientation, (char *)image.pixels);
    }
    data_image_free(&image);
}

static void test_pixels_are_turned(void **state) {
    (void)state;
    static uint8_t file[PNG_BYTES_MAX];
    static uint8_t with_exif[PNG_BYTES_MAX + EXIF_BYTES + 12];
    for (int orientation = 1; orientation <= 8; orientation++) {
        const png_spec spec = {(uint32_t)orientations[orientation].width,
                               (uint32_t)orientations[orientation].height, PNG_GREY,
                               (const uint8_t *)orientations[orientation].stored};
        const size_t header_bytes = 33;
        const size_t size_bytes = make_png(&spec, file);
        uint8_t block[EXIF_BYTES];
        make_exif(orientation % 2 == 0, (uint16_t)orientation, block);
        memcpy(with_exif, file, header_bytes);
        size_t used = header_bytes;
        used += put_chunk(with_exif + used, "eXIf", block, sizeof(block));
        memcpy(with_exif + used, file + header_bytes, size_bytes - header_bytes);
        assert_upright(with_exif, used + size_bytes - header_bytes, orientation);
    }
}

/// Colour images turn whole pixels.
static void test_colours_stay_together(void **state) {
    (void)state;
    ns_error err = {0};
    data_image image = {2, 1, 3, malloc(6)};
    assert_non_null(image.pixels);
    (void)put_bytes(image.pixels, "abcdef", 6);
    assert_ok(data__image_turn(&image, 6, &err), &err);
    assert_int_equal(image.width, 1);
    assert_int_equal(image.height, 2);
    assert_memory_equal(image.pixels, "abcdef", 6);
    assert_ok(data__image_turn(&image, 3, &err), &err);
    assert_memory_equal(image.pixels, "defabc", 6);
    data_image_free(&image);
}

/// A grey JPEG of 64x128 pixels with the block in an APP1 segment: the sides are swapped.
static void test_jpeg_segments(void **state) {
    (void)state;
    static uint8_t file[JPEG_BYTES_MAX];
    static uint8_t turned[JPEG_BYTES_MAX + 64];
    const size_t size_bytes = make_jpeg(&(jpeg_spec){64, 128, 2}, file);
    size_t used = put_bytes(turned, (const char *)file, 2);
    used += PUT_BYTES(turned + used, "\xff\xe0\0\x06JF12"); // another segment first
    used += PUT_BYTES(turned + used, "\xff\xe1\0");
    turned[used++] = 2 + 6 + EXIF_BYTES;
    used += PUT_BYTES(turned + used, "Exif\0\0");
    make_exif(true, 8, turned + used);
    used += EXIF_BYTES;
    memcpy(turned + used, file + 2, size_bytes - 2);
    used += size_bytes - 2;
    ns_error err = {0};
    data_image image = {0};
    data__image_header header = {0};
    assert_ok(data_image_decode(turned, used, "turned", &image, &err), &err);
    assert_int_equal(image.width, 128);
    assert_int_equal(image.height, 64);
    put_file("turned.jpg", turned, used);
    assert_ok(read_header("turned.jpg", &header, &err), &err);
    assert_int_equal(header.width, 128);
    assert_int_equal(header.height, 64);
    data_image_free(&image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_byte_orders),      cmocka_unit_test(test_cut_blocks),
        cmocka_unit_test(test_lying_blocks),          cmocka_unit_test(test_pixels_are_turned),
        cmocka_unit_test(test_colours_stay_together), cmocka_unit_test(test_jpeg_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
