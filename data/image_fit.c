// Brings an image of any size to the size of the pack: scaled until the target is just covered,
// centre cropped, grey or RGB as asked, planar. And shrinks images of the pack for networks that take
// smaller ones, each axis by itself, so that nothing is cropped: by the same averages.
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

/// Interleaved pixels (H, width, C).
typedef struct raster {
    const uint8_t *pixels;
    int width, channels;
} raster;

/// Rows of the source that `rows` reads: from its first on, so many.
static size_t rows_read(const axis *rows) {
    const int last = rows->count - 1;
    return (size_t)(rows->first[last] + rows->tap_count[last] - rows->first[0]);
}

/// `between` has room for the rows read, (rows, width, C); `out` is (height, width, C).
static void resample_into(raster in, const axis *columns, const axis *rows, uint16_t *between,
                          uint8_t *out) {
    const int row_first = rows->first[0];
    const size_t row_count = rows_read(rows);
    const size_t row_size = (size_t)columns->count * (size_t)in.channels;
    const size_t source_row_bytes = (size_t)in.width * (size_t)in.channels;
    const uint8_t *source = in.pixels + (size_t)row_first * source_row_bytes;
    for (size_t y = 0; y < row_count; y++) {
        resample_row(columns, source + y * source_row_bytes, in.channels, between + y * row_size);
    }
    resample_columns(rows, between, row_first, row_size, out);
}

static ns_status resample(const data_image *image, const axis *columns, const axis *rows,
                          uint8_t *out, ns_error *err) {
    const size_t row_size = (size_t)columns->count * (size_t)image->channels;
    uint16_t *between = calloc(rows_read(rows) * row_size, sizeof(*between));
    if (between == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while scaling an image");
    }
    resample_into((raster){image->pixels, image->width, image->channels}, columns, rows, between,
                  out);
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

/* ---- smaller images ---------------------------------------------------------------------------- */

#define PART_ALIGN 64 // threads' work space shares no cache line

struct data_shrinker {
    int channels;
    data_size from, to;
    axis columns, rows;
    size_t image_bytes; // of a shrunk image
    size_t part_bytes;  // of a thread's work space: a shrunk image, then rows between the passes
    uint8_t *parts;     // (threads, part_bytes); NULL where nothing shrinks
};

static size_t round_up(size_t bytes) {
    return (bytes + PART_ALIGN - 1) / PART_ALIGN * PART_ALIGN;
}

static ns_status shrinker_fill(data_shrinker *s, size_t thread_count, ns_error *err) {
    const ratio across = {s->to.width, s->from.width};
    const ratio down = {s->to.height, s->from.height};
    NS_TRY(axis_build(&s->columns, across, s->from.width, s->to.width, err));
    NS_TRY(axis_build(&s->rows, down, s->from.height, s->to.height, err));
    const size_t pixel_count = (size_t)s->to.width * (size_t)s->to.height;
    const size_t between_count = (size_t)s->to.width * (size_t)s->from.height;
    s->image_bytes = round_up((size_t)s->channels * pixel_count);
    s->part_bytes = s->image_bytes + round_up(between_count * sizeof(uint16_t));
    if (s->to.width < s->from.width || s->to.height < s->from.height) {
        s->parts = aligned_alloc(PART_ALIGN, thread_count * s->part_bytes);
        if (s->parts == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "out of memory for shrunk images");
        }
    }
    return NS_OK;
}

ns_status data_shrinker_new(int channels, data_size from, data_size to, int thread_count,
                            data_shrinker **out, ns_error *err) {
    assert(to.width > 0 && to.height > 0 && to.width <= from.width && to.height <= from.height);
    data_shrinker *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory for shrunk images");
    }
    *s = (data_shrinker){.channels = channels, .from = from, .to = to};
    const ns_status status = shrinker_fill(s, thread_count > 0 ? (size_t)thread_count : 1, err);
    if (status != NS_OK) {
        data_shrinker_free(s);
        return status;
    }
    *out = s;
    return NS_OK;
}

void data_shrinker_free(data_shrinker *shrinker) {
    if (shrinker != NULL) {
        axis_free(&shrinker->columns);
        axis_free(&shrinker->rows);
        free(shrinker->parts);
        free(shrinker);
    }
}

/// A plane of twice the sides to (height, width): each pixel the mean of four, halves upwards, which
/// is what the general way comes to.
DATA__INLINED void halve_body(const uint8_t *restrict in, int height, int width,
                              uint8_t *restrict out) {
    for (int y = 0; y < height; y++) {
        const uint8_t *below = in + (ptrdiff_t)2 * width;
        for (int x = 0; x < width; x++) {
            const ptrdiff_t at = (ptrdiff_t)2 * x;
            const unsigned sum = 2u + in[at] + in[at + 1] + below[at] + below[at + 1];
            out[x] = (uint8_t)(sum >> 2);
        }
        in += (ptrdiff_t)4 * width;
        out += width;
    }
}

DATA__BUILD_TWICE(halve, halve_body,
                  (const uint8_t *restrict in, int height, int width, uint8_t *restrict out),
                  (in, height, width, out))

const uint8_t *data_shrink(data_shrinker *shrinker, int thread, const uint8_t *pixels) {
    const data_size from = shrinker->from, to = shrinker->to;
    if (shrinker->parts == NULL) {
        return pixels;
    }
    uint8_t *image = shrinker->parts + (size_t)thread * shrinker->part_bytes;
    uint16_t *between = (uint16_t *)(void *)(image + shrinker->image_bytes);
    const bool half = from.width == 2 * to.width && from.height == 2 * to.height;
    for (int c = 0; c < shrinker->channels; c++) {
        const uint8_t *in = pixels + (size_t)c * (size_t)from.width * (size_t)from.height;
        uint8_t *out = image + (size_t)c * (size_t)to.width * (size_t)to.height;
        if (half) {
            halve(in, to.height, to.width, out);
        } else {
            resample_into((raster){in, from.width, 1}, &shrinker->columns, &shrinker->rows, between,
                          out);
        }
    }
    return image;
}

static void axis_matrix(const axis *a, int source_count, float *out) {
    memset(out, 0, (size_t)source_count * (size_t)a->count * sizeof(*out));
    for (int i = 0; i < a->count; i++) {
        for (int k = 0; k < a->tap_count[i]; k++) {
            out[(size_t)(a->first[i] + k) * (size_t)a->count + (size_t)i] =
                (float)a->weights[a->weight_at[i] + (size_t)k] / (float)(1 << WEIGHT_BITS);
        }
    }
}

void data_shrinker_matrices(const data_shrinker *shrinker, float *across, float *down) {
    axis_matrix(&shrinker->columns, shrinker->from.width, across);
    axis_matrix(&shrinker->rows, shrinker->from.height, down);
}
