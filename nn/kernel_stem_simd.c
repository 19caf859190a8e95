// The first convolution with its batch norm, one image at a time, in one variant. nn/kernel_stem.c
// has the whole.
//
// A pixel's lanes are one vector; taps are broadcast from the padded image, which is in the first
// cache. With nine taps an output vector costs nine multiply-adds, less than its store to memory.

#include "nn/kernel_simd.h"

#define BLOCK 8 // pixels side by side in registers

/// A padded image, in elements.
typedef struct grid {
    size_t row, plane;
} grid;

INLINE grid grid_of(const nn__stem_job *job) {
    const size_t row = (size_t)(job->in_width + 2 * job->pad);
    return (grid){row, row * (size_t)(job->in_height + 2 * job->pad)};
}

INLINE size_t tap_count(const nn__stem_job *job) {
    return (size_t)(job->in_channels * job->kernel * job->kernel);
}

/// Runs `call`, in which `kernel` and `stride` are constants.
#define WITH_WINDOW(job, call)                                                                     \
    switch ((job)->kernel * 10 + (job)->stride) {                                                  \
        WITH_WINDOW_(3, 1, call);                                                                  \
        WITH_WINDOW_(3, 2, call);                                                                  \
        WITH_WINDOW_(5, 1, call);                                                                  \
        WITH_WINDOW_(5, 2, call);                                                                  \
    default:                                                                                       \
        break;                                                                                     \
    }
#define WITH_WINDOW_(kernel_, stride_, call)                                                       \
    case (kernel_)*10 + (stride_): {                                                               \
        const size_t kernel = (kernel_), stride = (stride_);                                       \
        call;                                                                                      \
    } break

/* ---- moments --------------------------------------------------------------------------------- */

/// Where tap `tap` of the window at output pixel (0, 0) is.
INLINE const double *tap_at(const nn__stem_job *job, const double *image, size_t tap) {
    const grid g = grid_of(job);
    const size_t kernel = (size_t)job->kernel;
    return image + tap / (kernel * kernel) * g.plane + tap / kernel % kernel * g.row + tap % kernel;
}

#define WIDE     8
#define PRODUCTS 4 // at once

typedef double wide __attribute__((vector_size(WIDE * sizeof(double))));
typedef int64_t wide_bits __attribute__((vector_size(WIDE * sizeof(double))));

INLINE wide load_wide(const double *from) {
    wide v;
    memcpy(&v, from, sizeof v);
    return v;
}

/// The lanes of the last vector of a row, which ends where the row does, that no vector before it
/// has had.
INLINE wide_bits last_lanes(size_t width) {
    wide_bits lanes = {0};
    for (size_t k = 0; k < WIDE; k++) {
        lanes[k] = k >= WIDE - width % WIDE ? -1 : 0;
    }
    return lanes;
}

INLINE double lanes_sum(wide v) {
    double total = 0.0;
    for (int k = 0; k < WIDE; k++) {
        total += v[k];
    }
    return total;
}

/// Adds to `sums` the sum over all windows of the values at `a` times those at each of `count` (a
/// constant) others; several, so that no addition waits for the one before.
INLINE void product_sums(const nn__stem_job *job, const double *a, const double *const *others,
                         size_t count, double *sums) {
    const size_t row = grid_of(job).row, width = (size_t)job->width;
    const wide_bits last = last_lanes(width);
    wide sum[PRODUCTS] = {0};
    for (size_t i = 0; i < (size_t)job->height; i++) {
        const size_t at = i * row;
        for (size_t j = at; j + WIDE <= at + width; j += WIDE) {
            for (size_t k = 0; k < count; k++) {
                sum[k] += load_wide(a + j) * load_wide(others[k] + j);
            }
        }
        if (width % WIDE > 0) {
            const size_t j = at + width - WIDE;
            const wide rest = (wide)((wide_bits)load_wide(a + j) & last);
            for (size_t k = 0; k < count; k++) {
                sum[k] += rest * load_wide(others[k] + j);
            }
        }
    }
    for (size_t k = 0; k < count; k++) {
        sums[k] += lanes_sum(sum[k]);
    }
}

INLINE double tap_sum(const nn__stem_job *job, const double *a) {
    const size_t row = grid_of(job).row, width = (size_t)job->width;
    const wide_bits last = last_lanes(width);
    wide sum = {0};
    for (size_t i = 0; i < (size_t)job->height; i++) {
        for (size_t j = 0; j + WIDE <= width; j += WIDE) {
            sum += load_wide(a + i * row + j);
        }
        if (width % WIDE > 0) {
            sum += (wide)((wide_bits)load_wide(a + i * row + width - WIDE) & last);
        }
    }
    return lanes_sum(sum);
}

/// The same for narrow maps and those of strides.
INLINE double product_sum_by(const nn__stem_job *job, const double *a, const double *b) {
    const size_t row = grid_of(job).row, stride = (size_t)job->stride;
    double sum = 0.0;
    for (size_t i = 0; i < (size_t)job->height; i++) {
        for (size_t j = 0; j < (size_t)job->width; j++) {
            sum += a[i * stride * row + j * stride] * b[i * stride * row + j * stride];
        }
    }
    return sum;
}

INLINE double tap_sum_by(const nn__stem_job *job, const double *a) {
    const size_t row = grid_of(job).row, stride = (size_t)job->stride;
    double sum = 0.0;
    for (size_t i = 0; i < (size_t)job->height; i++) {
        for (size_t j = 0; j < (size_t)job->width; j++) {
            sum += a[i * stride * row + j * stride];
        }
    }
    return sum;
}

/// Sums of tap `s` and of its products with the taps from `s` on.
INLINE void moments_of(const nn__stem_job *job, const double *image, size_t s, double *sums) {
    const size_t taps = tap_count(job);
    const double *a = tap_at(job, image, s);
    double *products = sums + taps + s * taps;
    sums[s] += tap_sum(job, a);
    size_t t = s;
    for (; t + PRODUCTS <= taps; t += PRODUCTS) {
        const double *const others[PRODUCTS] = {tap_at(job, image, t), tap_at(job, image, t + 1),
                                                tap_at(job, image, t + 2),
                                                tap_at(job, image, t + 3)};
        product_sums(job, a, others, PRODUCTS, products + t);
    }
    for (; t < taps; t++) {
        const double *const other[] = {tap_at(job, image, t)};
        product_sums(job, a, other, 1, products + t);
    }
}

INLINE void moments_by(const nn__stem_job *job, const double *image, size_t s, double *sums) {
    const size_t taps = tap_count(job);
    const double *a = tap_at(job, image, s);
    sums[s] += tap_sum_by(job, a);
    for (size_t t = s; t < taps; t++) {
        sums[taps + s * taps + t] += product_sum_by(job, a, tap_at(job, image, t));
    }
}

static void moments(const nn__stem_job *shared, const double *image, double *sums) {
    const nn__stem_job copy = *shared, *job = &copy;
    for (size_t s = 0; s < tap_count(job); s++) {
        if (job->stride == 1 && job->width >= WIDE) {
            moments_of(job, image, s, sums);
        } else {
            moments_by(job, image, s, sums);
        }
    }
}

/* ---- forward --------------------------------------------------------------------------------- */

/// Convolution at `count` pixels (a constant) from `in`, their window's first value.
INLINE void convolve(const nn__stem_job *job, const float *in, const float *weights, size_t kernel,
                     size_t stride, size_t count, vec *out) {
    const grid g = grid_of(job);
    for (size_t c = 0; c < (size_t)job->in_channels; c++) {
        for (size_t y = 0; y < kernel; y++) {
            const float *from = in + c * g.plane + y * g.row;
            for (size_t x = 0; x < kernel; x++) {
                const vec w = load_floats(weights);
                for (size_t p = 0; p < count; p++) {
                    out[p] += w * from[p * stride + x];
                }
                weights += LANES;
            }
        }
    }
}

INLINE void forward_pixels(const nn__stem_job *job, const float *in, const float *weights, vec bias,
                           size_t kernel, size_t stride, size_t count, nn_activation activation,
                           element *y) {
    vec z[BLOCK];
    for (size_t p = 0; p < count; p++) {
        z[p] = bias;
    }
    convolve(job, in, weights, kernel, stride, count, z);
    for (size_t p = 0; p < count; p++) {
        store(y + p * job->y.pixel, activate(activation, z[p]));
    }
}

INLINE void forward_chunk(const nn__stem_job *job, const float *image, const float *weights,
                          const float *bias, size_t kernel, size_t stride, nn_activation activation,
                          element *y) {
    const size_t row = grid_of(job).row, width = (size_t)job->width;
    const vec b = load_floats(bias);
    for (size_t i = 0; i < (size_t)job->height; i++) {
        const float *in = image + i * stride * row;
        element *out = y + i * width * job->y.pixel;
        size_t j = 0;
        for (; j + BLOCK <= width; j += BLOCK) {
            forward_pixels(job, in + j * stride, weights, b, kernel, stride, BLOCK, activation,
                           out + j * job->y.pixel);
        }
        for (; j < width; j++) {
            forward_pixels(job, in + j * stride, weights, b, kernel, stride, 1, activation,
                           out + j * job->y.pixel);
        }
    }
}

INLINE void forward_image(const nn__stem_job *job, int n, const float *image, const float *weights,
                          const float *bias, size_t kernel, size_t stride) {
    element *y = (element *)job->y.data + (size_t)n * job->y.image;
    const size_t step = tap_count(job) * LANES;
    for (size_t c = 0; c < (size_t)job->chunk_count; c++) {
        WITH_ACTIVATION(job->activation,
                        forward_chunk(job, image, weights + c * step, bias + c * LANES, kernel,
                                      stride, activation, y + c * job->y.chunk));
    }
}

static void forward(const nn__stem_job *shared, int n, const float *image, const float *weights,
                    const float *bias) {
    const nn__stem_job copy = *shared, *job = &copy;
    WITH_WINDOW(job, forward_image(job, n, image, weights, bias, kernel, stride));
}

/* ---- backward -------------------------------------------------------------------------------- */

/// Sums of g and of g (x - mean).
typedef struct sums {
    vec first, second;
} sums;

/// g of `count` pixels of a row, which it adds to the sums and leaves in `row`.
INLINE void gradient_pixels(const nn__stem_job *job, const float *in, const float *weights,
                            const nn__norm_factors *f, size_t kernel, size_t stride, size_t count,
                            nn_activation activation, const element *dy, float *row, sums *s) {
    vec distance[BLOCK];
    for (size_t p = 0; p < count; p++) {
        distance[p] = -load_floats(f->mean);
    }
    convolve(job, in, weights, kernel, stride, count, distance);
    for (size_t p = 0; p < count; p++) {
        const vec z = distance[p] * load_floats(f->scale) + load_floats(f->shift);
        const vec g = activate_backward(activation, z, load(dy + p * job->dy.pixel));
        s->first += g;
        s->second += g * distance[p];
        store_floats(row + p * LANES, g);
    }
}

INLINE void gradient_row(const nn__stem_job *job, const float *in, const float *weights,
                         const nn__norm_factors *f, size_t kernel, size_t stride,
                         nn_activation activation, const element *dy, float *row, sums *s) {
    const size_t width = (size_t)job->width;
    size_t j = 0;
    for (; j + BLOCK <= width; j += BLOCK) {
        gradient_pixels(job, in + j * stride, weights, f, kernel, stride, BLOCK, activation,
                        dy + j * job->dy.pixel, row + j * LANES, s);
    }
    for (; j < width; j++) {
        gradient_pixels(job, in + j * stride, weights, f, kernel, stride, 1, activation,
                        dy + j * job->dy.pixel, row + j * LANES, s);
    }
}

/// Adds g times each tap to `taps`, by tap and lane, for one row of windows in one input channel.
INLINE void taps_row(const float *in, size_t in_row, size_t width, const float *row, size_t kernel,
                     size_t stride, float *taps) {
    for (size_t y = 0; y < kernel; y++) {
        const float *from = in + y * in_row;
        float *to = taps + y * kernel * LANES;
        vec sum[NN__STEM_KERNEL_MAX];
        for (size_t x = 0; x < kernel; x++) {
            sum[x] = load_floats(to + x * LANES);
        }
        for (size_t j = 0; j < width; j++) {
            const vec g = load_floats(row + j * LANES);
            for (size_t x = 0; x < kernel; x++) {
                sum[x] += g * from[j * stride + x];
            }
        }
        for (size_t x = 0; x < kernel; x++) {
            store_floats(to + x * LANES, sum[x]);
        }
    }
}

INLINE void add_floats(double *total, const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        total[i] += (double)values[i];
    }
}

INLINE void backward_chunk(const nn__stem_job *job, const float *image, const float *weights,
                           const nn__norm_factors *f, size_t kernel, size_t stride,
                           nn_activation activation, const element *dy, float *row, double *total) {
    const grid g = grid_of(job);
    float part[(2 + NN__STEM_TAPS_MAX) * LANES];
    const size_t count = (2 + tap_count(job)) * LANES;
    memset(part, 0, count * sizeof *part);
    for (size_t i = 0; i < (size_t)job->height; i++) {
        const float *in = image + i * stride * g.row;
        sums s = {load_floats(part), load_floats(part + LANES)};
        gradient_row(job, in, weights, f, kernel, stride, activation, dy, row, &s);
        store_floats(part, s.first);
        store_floats(part + LANES, s.second);
        for (size_t c = 0; c < (size_t)job->in_channels; c++) {
            taps_row(in + c * g.plane, g.row, (size_t)job->width, row, kernel, stride,
                     part + (2 + c * kernel * kernel) * LANES);
        }
        dy += (size_t)job->width * job->dy.pixel;
    }
    add_floats(total, part, count);
}

INLINE void backward_image(const nn__stem_job *job, int n, const float *image, const float *weights,
                           const nn__norm_factors *f, float *row, double *total, size_t kernel,
                           size_t stride) {
    const element *dy = (const element *)job->dy.data + (size_t)n * job->dy.image;
    const size_t step = tap_count(job) * LANES;
    for (size_t c = 0; c < (size_t)job->chunk_count; c++) {
        WITH_ACTIVATION(job->activation,
                        backward_chunk(job, image, weights + c * step, f + c, kernel, stride,
                                       activation, dy + c * job->dy.chunk, row,
                                       total + c * (step + (size_t)2 * LANES)));
    }
}

static void backward(const nn__stem_job *shared, int n, const float *image, const float *weights,
                     const nn__norm_factors *factors, float *row, double *total) {
    const nn__stem_job copy = *shared, *job = &copy;
    WITH_WINDOW(job, backward_image(job, n, image, weights, factors, row, total, kernel, stride));
}

const nn__stem_kernels NN__OF_VARIANT(nn__stem) = {
    .moments = moments,
    .forward = forward,
    .backward = backward,
};
