// Brings an image of any size to the size of the pack: scaled until the target is just covered,
// centre cropped, grey or RGB as asked, planar.
//
// Crop and scale are one step: each axis is resampled separably from the part of the source that
// the target covers. Shrinking averages exactly the area under each target pixel; growing
// interpolates between the two nearest pixel centres. Everything is integer arithmetic, positions
// are exact fractions, so that an image gives the same bytes on every machine.

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

// Weights of a target pixel sum to 1 << WEIGHT_BITS; between the two passes samples have 8 bits
// behind the point.
#define WEIGHT_BITS  22
#define BETWEEN_BITS 8

/// Which source samples make up each of the `count` target samples of one axis.
typedef struct axis {
    int count;
    int *first;        // (count) first source sample
    int *tap_count;    // (count)
    size_t *weight_at; // (count) place of the first weight
    uint32_t *weights; // Q22
} axis;

/// A length ratio: target over source, the same for both axes.
typedef struct ratio {
    int64_t target, source;
} ratio;

static void axis_free(axis *a) {
    free(a->first);
    free(a->tap_count);
    free(a->weight_at);
    free(a->weights);
}

static ns_status axis_alloc(axis *a, int count, int source_count, ns_error *err) {
    const size_t n = (size_t)count;
    // The target samples lie side by side: together they touch each source sample once, and share
    // at most one more at each border.
    const size_t taps_max = (size_t)source_count + 2 * n + 2;
    a->count = count;
    a->first = malloc(n * sizeof(*a->first));
    a->tap_count = malloc(n * sizeof(*a->tap_count));
    a->weight_at = malloc(n * sizeof(*a->weight_at));
    a->weights = calloc(taps_max, sizeof(*a->weights));
    if (a->first == NULL || a->tap_count == NULL || a->weight_at == NULL || a->weights == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while scaling an image");
    }
    return NS_OK;
}

/// Makes the weights sum to one exactly: the rounding goes to the largest.
static void settle_rounding(uint32_t *weights, int count) {
    int64_t missing = 1 << WEIGHT_BITS;
    int largest = 0;
    for (int i = 0; i < count; i++) {
        missing -= weights[i];
        largest = weights[i] > weights[largest] ? i : largest;
    }
    weights[largest] = (uint32_t)(weights[largest] + missing);
}

// Both in units of 1 / (2 * scale.target) of a source sample, in which target sample i covers
// [start, start + 2 * scale.source) and source sample k covers [2 * scale.target * k, ... * (k+1)).

static int area_taps(ratio scale, int64_t start, int source_count, int *first, uint32_t *weights) {
    const int64_t step = 2 * scale.target;
    const int64_t end = start + 2 * scale.source;
    int taps = 0;
    *first = (int)(start / step);
    for (int64_t k = *first; k < source_count && k * step < end; k++) {
        const int64_t from = k * step > start ? k * step : start;
        const int64_t to = (k + 1) * step < end ? (k + 1) * step : end;
        weights[taps++] = (uint32_t)((((to - from) << WEIGHT_BITS) + scale.source) / (end - start));
    }
    return taps;
}

static int linear_taps(ratio scale, int64_t start, int source_count, int *first,
                       uint32_t *weights) {
    const int64_t step = 2 * scale.target;
    const int64_t at = start + scale.source - scale.target; // from the centre of sample 0
    if (at <= 0 || at / step >= source_count - 1) {
        *first = at <= 0 ? 0 : source_count - 1;
        weights[0] = 1 << WEIGHT_BITS;
        return 1;
    }
    *first = (int)(at / step);
    weights[1] = (uint32_t)(((at % step) << WEIGHT_BITS) / step);
    weights[0] = (1u << WEIGHT_BITS) - weights[1];
    return 2;
}

static ns_status axis_build(axis *a, ratio scale, int source_count, int count, ns_error *err) {
    NS_TRY(axis_alloc(a, count, source_count, err));
    // The crop: what the target does not cover is left out evenly on both ends.
    int64_t offset = source_count * scale.target - count * scale.source;
    if (scale.target == scale.source) {
        offset -= offset % (2 * scale.target); // a pure crop moves by whole pixels
    }
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        const int64_t start = offset + 2 * scale.source * i;
        uint32_t *weights = a->weights + used;
        a->weight_at[i] = used;
        a->tap_count[i] = scale.target < scale.source
                              ? area_taps(scale, start, source_count, &a->first[i], weights)
                              : linear_taps(scale, start, source_count, &a->first[i], weights);
        settle_rounding(weights, a->tap_count[i]);
        used += (size_t)a->tap_count[i];
    }
    return NS_OK;
}

/// One source row (W, C) to one row between the passes (width, C).
static void resample_row(const axis *a, const uint8_t *in, int channels, uint16_t *out) {
    const uint32_t half = 1u << (WEIGHT_BITS - BETWEEN_BITS - 1);
    for (int x = 0; x < a->count; x++) {
        const uint32_t *weights = a->weights + a->weight_at[x];
        const uint8_t *from = in + (size_t)a->first[x] * (size_t)channels;
        for (int c = 0; c < channels; c++) {
            uint32_t sum = half; // at most 255 << 22
            for (int k = 0; k < a->tap_count[x]; k++) {
                sum += weights[k] * from[k * channels + c];
            }
            *out++ = (uint16_t)(sum >> (WEIGHT_BITS - BETWEEN_BITS));
        }
    }
}

/// Rows between the passes (rows, width, C), beginning with source row `row_first`, to the final
/// interleaved image (height, width, C).
static void resample_columns(const axis *a, const uint16_t *in, int row_first, size_t row_size,
                             uint8_t *out) {
    const uint64_t half = 1ull << (WEIGHT_BITS + BETWEEN_BITS - 1);
    for (int y = 0; y < a->count; y++) {
        const uint32_t *weights = a->weights + a->weight_at[y];
        const uint16_t *from = in + (size_t)(a->first[y] - row_first) * row_size;
        for (size_t x = 0; x < row_size; x++) {
            uint64_t sum = half;
            for (int k = 0; k < a->tap_count[y]; k++) {
                sum += (uint64_t)weights[k] * from[(size_t)k * row_size + x];
            }
            *out++ = (uint8_t)(sum >> (WEIGHT_BITS + BETWEEN_BITS));
        }
    }
}

static ns_status resample(const data_image *image, const axis *columns, const axis *rows,
                          uint8_t *out, ns_error *err) {
    const int last = rows->count - 1;
    const int row_first = rows->first[0];
    const int row_end = rows->first[last] + rows->tap_count[last];
    const size_t row_size = (size_t)columns->count * (size_t)image->channels;
    const size_t source_row_bytes = (size_t)image->width * (size_t)image->channels;
    uint16_t *between = calloc((size_t)(row_end - row_first) * row_size, sizeof(*between));
    if (between == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while scaling an image");
    }
    for (int y = row_first; y < row_end; y++) {
        resample_row(columns, image->pixels + (size_t)y * source_row_bytes, image->channels,
                     between + (size_t)(y - row_first) * row_size);
    }
    resample_columns(rows, between, row_first, row_size, out);
    free(between);
    return NS_OK;
}

/// BT.601 luma, rounded.
static uint8_t luma(const uint8_t *rgb) {
    return (uint8_t)((299u * rgb[0] + 587u * rgb[1] + 114u * rgb[2] + 500u) / 1000u);
}

/// (pixel_count, 3) to (3, pixel_count). Bound by the bytes it reads and writes where there are byte
/// shuffles, which plain x86-64 lacks.
DATA__INLINED void split_rgb_body(const uint8_t *restrict in, size_t pixel_count,
                                  uint8_t *restrict out) {
    uint8_t *restrict green = out + pixel_count;
    uint8_t *restrict blue = green + pixel_count;
    for (size_t i = 0; i < pixel_count; i++) {
        out[i] = in[3 * i];
        green[i] = in[3 * i + 1];
        blue[i] = in[3 * i + 2];
    }
}

DATA__BUILD_TWICE(split_rgb, split_rgb_body,
                  (const uint8_t *restrict in, size_t pixel_count, uint8_t *restrict out),
                  (in, pixel_count, out))

/// Interleaved (pixel_count, channels_in) to planar (channels_out, pixel_count).
static void to_planes(const uint8_t *in, size_t pixel_count, int channels_in, int channels_out,
                      uint8_t *out) {
    if (channels_in == 3 && channels_out == 1) {
        for (size_t i = 0; i < pixel_count; i++) {
            out[i] = luma(in + 3 * i);
        }
        return;
    }
    if (channels_in == 3) {
        split_rgb(in, pixel_count, out);
        return;
    }
    for (int c = 0; c < channels_out; c++) {
        memcpy(out + (size_t)c * pixel_count, in, pixel_count);
    }
}

ns_status data_image_fit(const data_image *image, int channels, int height, int width, uint8_t *out,
                         ns_error *err) {
    assert(channels == 1 || channels == 3);
    assert(image->channels == 1 || image->channels == 3);
    assert(height > 0 && width > 0 && image->height > 0 && image->width > 0);
    const size_t pixel_count = (size_t)width * (size_t)height;
    if (image->width == width && image->height == height) {
        to_planes(image->pixels, pixel_count, image->channels, channels, out);
        return NS_OK;
    }
    const bool width_decides = (int64_t)width * image->height >= (int64_t)height * image->width;
    const ratio scale =
        width_decides ? (ratio){width, image->width} : (ratio){height, image->height};
    axis columns = {0};
    axis rows = {0};
    uint8_t *scaled = malloc(pixel_count * (size_t)image->channels);
    ns_status status = NS_OK;
    if (scaled == NULL) {
        status = ns_fail(err, NS_ERR_MEMORY, "out of memory while scaling an image");
        goto out;
    }
    NS_TRY_OUT(axis_build(&columns, scale, image->width, width, err));
    NS_TRY_OUT(axis_build(&rows, scale, image->height, height, err));
    NS_TRY_OUT(resample(image, &columns, &rows, scaled, err));
    to_planes(scaled, pixel_count, image->channels, channels, out);
out:
    axis_free(&columns);
    axis_free(&rows);
    free(scaled);
    return status;
}
