// How a camera was held: the orientation tag of EXIF, and turning the decoded image upright.
//
// Of all that EXIF can hold one tag is read, by a few lines of our own: no library's parser is met
// by hostile bytes, nothing is allocated, each read is checked against the end. What is malformed,
// unknown or absent means upright. The first EXIF block before the pixels counts (in WebP, where it
// comes last, the first of all); each container is walked only as far as that takes.
//
// Source: CIPA DC-008-2019 (Exif 2.32), sections 4.5.2 (TIFF header), 4.6.2 (IFD) and 4.6.5 (tag
// 0x0112, Orientation).

#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

#define EXIF_PREFIX       "Exif\0" // and the 0 that ends the literal: 6 bytes
#define TAG_ORIENTATION   0x0112u
#define TYPE_SHORT        3u
#define ENTRY_BYTES       12u
#define ORIENTATION_COUNT 8

/// Numbers of a TIFF block, in its own byte order.
typedef struct tiff {
    const uint8_t *bytes;
    size_t size_bytes;
    bool big_endian;
} tiff;

/// The two bytes at `at`, which the caller has checked.
static uint32_t tiff_16(const tiff *block, size_t at) {
    const uint8_t *from = block->bytes + at;
    return block->big_endian ? (uint32_t)from[0] << 8 | from[1] : (uint32_t)from[1] << 8 | from[0];
}

static uint32_t tiff_32(const tiff *block, size_t at) {
    const uint32_t first = tiff_16(block, at);
    const uint32_t second = tiff_16(block, at + 2);
    return block->big_endian ? first << 16 | second : second << 16 | first;
}

int data__exif_orientation(const uint8_t *bytes, size_t size_bytes) {
    if (size_bytes >= sizeof(EXIF_PREFIX) && memcmp(bytes, EXIF_PREFIX, sizeof(EXIF_PREFIX)) == 0) {
        bytes += sizeof(EXIF_PREFIX);
        size_bytes -= sizeof(EXIF_PREFIX);
    }
    if (size_bytes < 8 || (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0)) {
        return DATA__UPRIGHT;
    }
    const tiff block = {bytes, size_bytes, bytes[0] == 'M'};
    const size_t directory = tiff_32(&block, 4);
    if (directory > size_bytes || size_bytes - directory < 2) {
        return DATA__UPRIGHT;
    }
    const size_t room = (size_bytes - directory - 2) / ENTRY_BYTES;
    const size_t claimed = tiff_16(&block, directory);
    for (size_t i = 0; i < claimed && i < room; i++) {
        const size_t entry = directory + 2 + i * ENTRY_BYTES;
        if (tiff_16(&block, entry) != TAG_ORIENTATION) {
            continue;
        }
        const uint32_t value = tiff_16(&block, entry + 8);
        const bool sound = tiff_16(&block, entry + 2) == TYPE_SHORT &&
                           tiff_32(&block, entry + 4) == 1 && value >= DATA__UPRIGHT &&
                           value <= ORIENTATION_COUNT;
        return sound ? (int)value : DATA__UPRIGHT;
    }
    return DATA__UPRIGHT;
}

bool data__orientation_swaps_sides(int orientation) {
    return orientation >= 5;
}

ns_status data__image_turn(data_image *image, int orientation, ns_error *err) {
    if (orientation == DATA__UPRIGHT) {
        return NS_OK;
    }
    const bool swaps = data__orientation_swaps_sides(orientation);
    const bool flips_x = orientation == 2 || orientation == 3 || orientation >= 7;
    const bool flips_y =
        orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const int width = swaps ? image->height : image->width;
    const int height = swaps ? image->width : image->height;
    const size_t channels = (size_t)image->channels;
    uint8_t *turned = malloc((size_t)width * (size_t)height * channels);
    if (turned == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while turning an image");
    }
    uint8_t *out = turned;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++, out += channels) {
            const int across = swaps ? y : x;
            const int down = swaps ? x : y;
            const size_t from_x = (size_t)(flips_x ? image->width - 1 - across : across);
            const size_t from_y = (size_t)(flips_y ? image->height - 1 - down : down);
            memcpy(out, image->pixels + (from_y * (size_t)image->width + from_x) * channels,
                   channels);
        }
    }
    free(image->pixels);
    *image = (data_image){width, height, image->channels, turned};
    return NS_OK;
}
