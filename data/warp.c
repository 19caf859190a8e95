// Rotation, zoom, shear, shift and mirror as one affine map, so that pixels are resampled once:
// bilinear between the uint8 pixels, normalised on the way, the training mean around the image.
//
// A pixel's weight for a source point is a product of hats, max(0, 1 - distance) in x and in y, cut
// off outside the image. The four pixels that can weigh anything start at the point clamped into
// the image, so a point outside needs no branch: its weights shrink to 0 by themselves, and
//
//      out = (sum of weight * pixel - mean * sum of weights) * scale
//
// is then exactly 0, the mean. With whole coordinates the weights are 1 and 0, and the result has
// the bits of the plain conversion in augment.c.
//
// The work goes in tiles of some rows, small enough for the stack and the nearest cache:
//
//      place    coordinates -> index of the left upper pixel, four weights    once for all channels
//      gather   index -> four bytes in one word                                a channel
//      blend    word, weights -> out                                           a channel
//
// `place` and `blend` are loops without branches that any compiler vectorises; `gather` is scalar,
// two 16-bit loads a pixel, and bounded by the instructions it issues: the processor's own gather
// instructions are slower (0.72 against 0.53 ns a pixel on a Zen 5, 4 GHz). There place takes 0.47
// and blend 0.26 ns. Rotated rows step over the source in a way no prefetcher follows, so an image
// is asked for in order first: 1.9 -> 1.3 ns a pixel for photographs that come from memory.
// With AVX2 it is 1.3 to 1.8 times faster than without; AVX-512 adds nothing to that.

#include "data/augment.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    TILE_PIXELS = 512,
    LANES = 16, // `place` works on whole vectors of any machine: so far it may write over a row
    CACHE_LINE_BYTES = 64,
};

typedef struct warp_tile {
    int32_t index[TILE_PIXELS + LANES];                           // of the left upper pixel
    float left[TILE_PIXELS + LANES], right[TILE_PIXELS + LANES];  // weights in x
    float upper[TILE_PIXELS + LANES], lower[TILE_PIXELS + LANES]; // and in y
    uint32_t quad[TILE_PIXELS + LANES]; // bytes, from the lowest: upper left, right, lower l., r.
} warp_tile;

data__affine data__affine_of(const data__augment_plan *plan, int height, int width) {
    const double cosine = cos(plan->rotation) / plan->zoom;
    const double sine = sin(plan->rotation) / plan->zoom;
    // The inverse of (rotate by `rotation` clockwise) * (lean by `lean`) * (zoom).
    const double xx = cosine + plan->lean * sine;
    const double xy = sine - plan->lean * cosine;
    const double yx = -sine;
    const double yy = cosine;
    const double centre_x = 0.5 * (width - 1);
    const double centre_y = 0.5 * (height - 1);
    const double from_x = centre_x + plan->shift_x; // where the source's centre goes
    const double from_y = centre_y + plan->shift_y;
    const double sign = plan->mirror ? -1.0 : 1.0; // mirrored around centre_x, before all else
    return (data__affine){
        .xx = (float)(sign * xx),
        .xy = (float)(sign * xy),
        .x0 = (float)(centre_x - sign * (xx * from_x + xy * from_y)),
        .yx = (float)yx,
        .yy = (float)yy,
        .y0 = (float)(centre_y - (yx * from_x + yy * from_y)),
    };
}

DATA__INLINED float hat(float distance) {
    const float height = 1.0f - fabsf(distance);
    return height > 0.0f ? height : 0.0f;
}

// Into [0, last]. With the conversion to int in here, GCC 12 would make branches of it.
DATA__INLINED float clamp_to(float value, float last) {
    value = value > 0.0f ? value : 0.0f;
    return value < last ? value : last;
}

// `count` pixels of row `y`, from column `x` on, to the tile's places from `at` on, and up to
// LANES - 1 more of no meaning. Indices are exact in float: a plane has at most 2^24 pixels.
DATA__INLINED void place(const data__affine *affine, const data__normaliser *normaliser, int y,
                         int x, int count, int at, warp_tile *tile) {
    const float width = (float)normaliser->width;
    const float last_x = width - 2.0f;
    const float last_y = (float)normaliser->height - 2.0f;
    const float row_x = affine->xy * (float)y + affine->x0;
    const float row_y = affine->yy * (float)y + affine->y0;
    int32_t *restrict index = tile->index + at;
    float *restrict left = tile->left + at;
    float *restrict right = tile->right + at;
    float *restrict upper = tile->upper + at;
    float *restrict lower = tile->lower + at;
    const int end = (count + LANES - 1) / LANES * LANES;
    for (int i = 0; i < end; i++) {
        const float source_x = affine->xx * (float)(x + i) + row_x;
        const float source_y = affine->yx * (float)(x + i) + row_y;
        const float corner_x = (float)(int)clamp_to(source_x, last_x);
        const float corner_y = (float)(int)clamp_to(source_y, last_y);
        index[i] = (int32_t)(corner_y * width + corner_x);
        left[i] = hat(source_x - corner_x);
        right[i] = hat(source_x - corner_x - 1.0f);
        upper[i] = hat(source_y - corner_y);
        lower[i] = hat(source_y - corner_y - 1.0f);
    }
}

DATA__INLINED uint32_t pair_at(const uint8_t *pixel) {
    uint16_t pair; // two bytes in memory's order on any machine
    memcpy(&pair, pixel, sizeof(pair));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    pair = __builtin_bswap16(pair);
#endif
    return pair;
}

DATA__INLINED void gather(const uint8_t *restrict plane, int width, int count,
                          warp_tile *restrict tile) {
    const uint8_t *restrict below = plane + width;
    for (int i = 0; i < count; i++) {
        const ptrdiff_t at = tile->index[i]; // NOLINT(*Assign): `place` has set it
        tile->quad[i] = pair_at(plane + at) | pair_at(below + at) << 16;
    }
}

DATA__INLINED float byte_of(uint32_t quad, int which) {
    return (float)(int32_t)(quad >> (8 * which) & 255);
}

DATA__INLINED void blend(const warp_tile *restrict tile, float mean, float scale, int count,
                         float *restrict out) {
    for (int i = 0; i < count; i++) {
        const uint32_t quad = tile->quad[i];
        const float left = tile->left[i];
        const float right = tile->right[i];
        const float upper = left * byte_of(quad, 0) + right * byte_of(quad, 1);
        const float lower = left * byte_of(quad, 2) + right * byte_of(quad, 3);
        const float sum = tile->upper[i] * upper + tile->lower[i] * lower;
        const float weight = (left + right) * (tile->upper[i] + tile->lower[i]);
        out[i] = (sum - mean * weight) * scale;
    }
}

// Rows [y, y + row_count), columns [x, x + column_count); more than one row only of whole rows.
DATA__INLINED void warp_rows(const data__normaliser *normaliser, const data__affine *affine,
                             const uint8_t *pixels, const int rows[2], const int columns[2],
                             warp_tile *tile, float *out) {
    assert(rows[0] < rows[1] && columns[0] < columns[1]);
    const int column_count = columns[1] - columns[0];
    const int count = (rows[1] - rows[0]) * column_count;
    const size_t plane = (size_t)normaliser->height * (size_t)normaliser->width;
    const size_t at = (size_t)rows[0] * (size_t)normaliser->width + (size_t)columns[0];
    for (int y = rows[0]; y < rows[1]; y++) {
        place(affine, normaliser, y, columns[0], column_count, (y - rows[0]) * column_count, tile);
    }
    for (size_t c = 0; c < (size_t)normaliser->channels; c++) {
        gather(pixels + c * plane, normaliser->width, count, tile);
        blend(tile, normaliser->mean[c], normaliser->scale[c], count, out + c * plane + at);
    }
}

DATA__INLINED void warp_image(const data__normaliser *normaliser, const data__affine *affine,
                              const uint8_t *pixels, float *out) {
    const int height = normaliser->height;
    const int width = normaliser->width;
    const int columns = width < TILE_PIXELS ? width : TILE_PIXELS;
    const int rows = TILE_PIXELS / columns;
    warp_tile tile;
    for (int y = 0; y < height; y += rows) {
        for (int x = 0; x < width; x += columns) {
            const int row_range[2] = {y, y + rows < height ? y + rows : height};
            const int column_range[2] = {x, x + columns < width ? x + columns : width};
            warp_rows(normaliser, affine, pixels, row_range, column_range, &tile, out);
        }
    }
}

DATA__BUILD_TWICE(warp, warp_image,
                  (const data__normaliser *normaliser, const data__affine *affine,
                   const uint8_t *pixels, float *out),
                  (normaliser, affine, pixels, out))

void data__warp(const data__normaliser *normaliser, const data__affine *affine,
                const uint8_t *pixels, float *out) {
    assert(normaliser->width >= 2 && normaliser->height >= 2);
    const size_t size_bytes =
        (size_t)normaliser->channels * (size_t)normaliser->height * (size_t)normaliser->width;
    for (size_t at = 0; at < size_bytes; at += CACHE_LINE_BYTES) {
        __builtin_prefetch(pixels + at);
    }
    warp(normaliser, affine, pixels, out);
}
