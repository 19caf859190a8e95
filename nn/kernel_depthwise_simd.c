// Depthwise convolution over one chunk of some images, in one variant. nn/kernel_depthwise.c has the
// whole.
//
// Forward and the input's gradient are one loop, filter_image(): the gradient is the gradient's map,
// stretched by the stride with zeros between, filtered by the weights turned around. Rows of the
// input go through a ring of K rows in f32, padded and stretched, so that the loops over a row know
// neither borders nor types; rows of zeros are skipped. EIGHT sums at once hide the latency of
// multiply-and-add.

#include "nn/kernel_simd.h"

#define EIGHT           8
#define PREFETCH_PIXELS 64 // two rows ahead, or three: halves the time of f32

/// What filter_image() slides over: an image of `rows` x `columns`, stretched to every `dilate`-th
/// row and column, padded; windows begin every `step`.
typedef struct slide {
    int rows, columns, dilate, step, pad, out_rows, out_columns;
} slide;

/// The last rows that were needed, in f32. Slot i holds row `tag[i]`; all else in it is zero.
typedef struct ring {
    float *data;
    size_t row_floats;
    int tag[NN__DEPTHWISE_KERNEL_MAX];
} ring;

INLINE ring ring_new(float *data, int kernel, const slide *s) {
    ring r = {.data = data,
              .row_floats = (size_t)((s->out_columns - 1) * s->step + kernel) * LANES};
    for (int i = 0; i < kernel; i++) {
        r.tag[i] = -1;
    }
    memset(data, 0, (size_t)kernel * r.row_floats * sizeof *data);
    return r;
}

/// Row `row` of the image at `in`.
INLINE const float *ring_row(ring *r, const slide *s, int kernel, const element *in, size_t pixel,
                             int row) {
    const int slot = row % kernel;
    float *out = r->data + (size_t)slot * r->row_floats;
    if (r->tag[slot] == row) {
        return out;
    }
    r->tag[slot] = row;
    const int room = (int)(r->row_floats / LANES) - s->pad; // behind it no window reaches
    const size_t ahead = (size_t)(PREFETCH_PIXELS)*pixel;
    const element *from = in + (size_t)row * (size_t)s->columns * pixel;
    float *to = out + (size_t)s->pad * LANES;
    for (int c = 0; c < s->columns && c * s->dilate < room; c++) {
        __builtin_prefetch(from + (size_t)c * pixel + ahead);
        store_floats(to + (size_t)(c * s->dilate) * LANES, load(from + (size_t)c * pixel));
    }
    return out;
}

/// The rows under the window row `o` that are not all zero, by row of the kernel; how many.
INLINE int rows_under(ring *r, const slide *s, int kernel, const element *in, size_t pixel, int o,
                      const float **rows, int *kernel_rows) {
    int count = 0;
    for (int k = 0; k < kernel; k++) {
        const int stretched = o * s->step - s->pad + k;
        if (stretched < 0 || stretched % s->dilate != 0 || stretched / s->dilate >= s->rows) {
            continue;
        }
        rows[count] = ring_row(r, s, kernel, in, pixel, stretched / s->dilate);
        kernel_rows[count++] = k;
    }
    return count;
}

/* ---- filter ---------------------------------------------------------------------------------- */

/// `count` neighbouring outputs from column `first` on.
INLINE void filter_some(const float *const *rows, const int *kernel_rows, int row_count, int kernel,
                        int step, const float *weights, vec bias, int first, int count,
                        element *out, size_t pixel) {
    vec sum[EIGHT];
    for (int u = 0; u < count; u++) {
        sum[u] = bias;
    }
    for (int i = 0; i < row_count; i++) {
        const float *row = rows[i] + (size_t)(first * step) * LANES;
        const float *w = weights + (size_t)(kernel_rows[i] * kernel) * LANES;
        for (int k = 0; k < kernel; k++) {
            const vec weight = load_floats(w + (size_t)k * LANES);
            for (int u = 0; u < count; u++) {
                sum[u] += weight * load_floats(row + (size_t)(u * step + k) * LANES);
            }
        }
    }
    for (int u = 0; u < count; u++) {
        store(out + (size_t)(first + u) * pixel, sum[u]);
        __builtin_prefetch(out + (size_t)(first + u) * pixel + (size_t)PREFETCH_PIXELS * pixel, 1);
    }
}

INLINE void filter_row(const float *const *rows, const int *kernel_rows, int row_count, int kernel,
                       int step, const float *weights, vec bias, int columns, element *out,
                       size_t pixel) {
    int first = 0;
    for (; first + EIGHT <= columns; first += EIGHT) {
        filter_some(rows, kernel_rows, row_count, kernel, step, weights, bias, first, EIGHT, out,
                    pixel);
    }
    if (first + 4 <= columns) {
        filter_some(rows, kernel_rows, row_count, kernel, step, weights, bias, first, 4, out,
                    pixel);
        first += 4;
    }
    if (first + 2 <= columns) {
        filter_some(rows, kernel_rows, row_count, kernel, step, weights, bias, first, 2, out,
                    pixel);
        first += 2;
    }
    if (first < columns) {
        filter_some(rows, kernel_rows, row_count, kernel, step, weights, bias, first, 1, out,
                    pixel);
    }
}

INLINE void activate_columns(nn_activation activation, element *row, size_t pixel, int columns) {
    for (int c = 0; c < columns; c++) {
        store(row + (size_t)c * pixel, activate(activation, load(row + (size_t)c * pixel)));
    }
}

/// In bf16 the sum is rounded twice, which nobody sees behind an activation.
INLINE void activate_row(nn_activation chosen, element *row, size_t pixel, int columns) {
    if (chosen != NN_ACTIVATION_NONE) {
        WITH_ACTIVATION(chosen, activate_columns(activation, row, pixel, columns));
    }
}

INLINE void filter_image(const slide *s, int kernel, int step, const element *in, size_t in_pixel,
                         const float *weights, vec bias, nn_activation activation, element *out,
                         size_t out_pixel, float *work) {
    ring r = ring_new(work, kernel, s);
    for (int o = 0; o < s->out_rows; o++) {
        const float *rows[NN__DEPTHWISE_KERNEL_MAX];
        int kernel_rows[NN__DEPTHWISE_KERNEL_MAX];
        const int count = rows_under(&r, s, kernel, in, in_pixel, o, rows, kernel_rows);
        element *row = out + (size_t)(o * s->out_columns) * out_pixel;
        filter_row(rows, kernel_rows, count, kernel, step, weights, bias, s->out_columns, row,
                   out_pixel);
        activate_row(activation, row, out_pixel, s->out_columns);
    }
}

/// The same with the usual kernels and steps as constants.
static void filter_by(const slide *s, int kernel, const element *in, size_t in_pixel,
                      const float *weights, vec bias, nn_activation activation, element *out,
                      size_t out_pixel, float *work) {
    if (kernel == 3 && s->step == 1) {
        filter_image(s, 3, 1, in, in_pixel, weights, bias, activation, out, out_pixel, work);
    } else if (kernel == 5 && s->step == 1) {
        filter_image(s, 5, 1, in, in_pixel, weights, bias, activation, out, out_pixel, work);
    } else if (kernel == 3 && s->step == 2) {
        filter_image(s, 3, 2, in, in_pixel, weights, bias, activation, out, out_pixel, work);
    } else if (kernel == 5 && s->step == 2) {
        filter_image(s, 5, 2, in, in_pixel, weights, bias, activation, out, out_pixel, work);
    } else {
        filter_image(s, kernel, s->step, in, in_pixel, weights, bias, activation, out, out_pixel,
                     work);
    }
}

INLINE element *at(const nn__view *view, int image, int chunk) {
    return (element *)view->data + (size_t)image * view->image + (size_t)chunk * view->chunk;
}

static size_t weight_count(const nn__depthwise_job *job) {
    return (size_t)(job->kernel * job->kernel) * LANES;
}

static slide forward_slide(const nn__depthwise_job *job) {
    return (slide){job->height,     job->width,    1, job->stride, job->pad,
                   job->out_height, job->out_width};
}

static void forward(const nn__depthwise_job *job, int chunk, nn__span images, float *work) {
    const slide s = forward_slide(job);
    const float *weights = job->weights + (size_t)chunk * weight_count(job);
    vec bias = {0};
    if (job->bias != NULL) {
        bias = load_floats(job->bias + (size_t)chunk * LANES);
    }
    for (int n = images.first; n < images.end; n++) {
        filter_by(&s, job->kernel, at(&job->x, n, chunk), job->x.pixel, weights, bias,
                  job->activation, at(&job->y, n, chunk), job->y.pixel, work);
    }
}

static void backward_data(const nn__depthwise_job *job, int chunk, nn__span images, float *work) {
    const slide s = {job->out_height, job->out_width, job->stride, 1, job->kernel - 1 - job->pad,
                     job->height,     job->width};
    const float *weights = job->weights + (size_t)chunk * weight_count(job);
    float turned[NN__DEPTHWISE_KERNEL_MAX * NN__DEPTHWISE_KERNEL_MAX * LANES];
    const int taps = job->kernel * job->kernel;
    for (int k = 0; k < taps; k++) {
        store_floats(turned + (size_t)(taps - 1 - k) * LANES,
                     load_floats(weights + (size_t)k * LANES));
    }
    for (int n = images.first; n < images.end; n++) {
        filter_by(&s, job->kernel, at(&job->dy, n, chunk), job->dy.pixel, turned, (vec){0},
                  NN_ACTIVATION_NONE, at(&job->dx, n, chunk), job->dx.pixel, work);
    }
}

/* ---- weights' gradient ----------------------------------------------------------------------- */

/// Adds the products of a row of dy with `count` rows of x to these rows of the kernel.
INLINE void products_row(const element *dy, size_t pixel, int columns, const float *const *rows,
                         const int *kernel_rows, int count, int kernel, int step, float *sums) {
    vec sum[NN__DEPTHWISE_KERNEL_MAX][NN__DEPTHWISE_KERNEL_MAX];
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < kernel; k++) {
            sum[i][k] = load_floats(sums + (size_t)(kernel_rows[i] * kernel + k) * LANES);
        }
    }
    for (int c = 0; c < columns; c++) {
        const vec gradient = load(dy + (size_t)c * pixel);
        __builtin_prefetch(dy + ((size_t)c + PREFETCH_PIXELS) * pixel);
        for (int i = 0; i < count; i++) {
            const float *x = rows[i] + (size_t)(c * step) * LANES;
            for (int k = 0; k < kernel; k++) {
                sum[i][k] += gradient * load_floats(x + (size_t)k * LANES);
            }
        }
    }
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < kernel; k++) {
            store_floats(sums + (size_t)(kernel_rows[i] * kernel + k) * LANES, sum[i][k]);
        }
    }
}

/// As many rows at once as there are registers for.
INLINE void products_rows(const element *dy, size_t pixel, int columns, const float *const *rows,
                          const int *kernel_rows, int count, int kernel, int step, float *sums) {
    int i = 0;
    for (; LANES == 16 && i + 5 <= count; i += 5) {
        products_row(dy, pixel, columns, rows + i, kernel_rows + i, 5, kernel, step, sums);
    }
    for (; i + 3 <= count && (kernel == 3 || LANES == 16); i += 3) {
        products_row(dy, pixel, columns, rows + i, kernel_rows + i, 3, kernel, step, sums);
    }
    for (; i + 2 <= count; i += 2) {
        products_row(dy, pixel, columns, rows + i, kernel_rows + i, 2, kernel, step, sums);
    }
    for (; i < count; i++) {
        products_row(dy, pixel, columns, rows + i, kernel_rows + i, 1, kernel, step, sums);
    }
}

INLINE vec row_sum(const element *row, size_t pixel, int columns) {
    vec sum = {0};
    for (int c = 0; c < columns; c++) {
        sum += load(row + (size_t)c * pixel);
    }
    return sum;
}

/// `sums` (K * K + 1, lanes): by weight, and of the bias.
INLINE void products_image(const nn__depthwise_job *job, int kernel, int step, int chunk, int n,
                           float *sums, float *work) {
    const slide s = forward_slide(job);
    const element *in = at(&job->x, n, chunk), *dy = at(&job->dy, n, chunk);
    const size_t pixel = job->dy.pixel;
    ring r = ring_new(work, kernel, &s);
    vec bias = {0};
    for (int o = 0; o < s.out_rows; o++) {
        const float *rows[NN__DEPTHWISE_KERNEL_MAX];
        int kernel_rows[NN__DEPTHWISE_KERNEL_MAX];
        const int count = rows_under(&r, &s, kernel, in, job->x.pixel, o, rows, kernel_rows);
        const element *row = dy + (size_t)(o * s.out_columns) * pixel;
        products_rows(row, pixel, s.out_columns, rows, kernel_rows, count, kernel, step, sums);
        if (job->bias_gradient != NULL) {
            bias += row_sum(row, pixel, s.out_columns);
        }
    }
    store_floats(sums + (size_t)(kernel * kernel) * LANES, bias);
}

static void backward_weights(const nn__depthwise_job *job, int chunk, nn__span images, float *work,
                             float *total) {
    float sums[(NN__DEPTHWISE_KERNEL_MAX * NN__DEPTHWISE_KERNEL_MAX + 1) * LANES];
    const size_t count = weight_count(job) + LANES;
    memset(total, 0, count * sizeof *total);
    for (int n = images.first; n < images.end; n++) { // summed by image: for f32's sake
        memset(sums, 0, count * sizeof *sums);
        if (job->kernel == 3 && job->stride == 1) {
            products_image(job, 3, 1, chunk, n, sums, work);
        } else if (job->kernel == 5 && job->stride == 1) {
            products_image(job, 5, 1, chunk, n, sums, work);
        } else if (job->kernel == 3 && job->stride == 2) {
            products_image(job, 3, 2, chunk, n, sums, work);
        } else if (job->kernel == 5 && job->stride == 2) {
            products_image(job, 5, 2, chunk, n, sums, work);
        } else {
            products_image(job, job->kernel, job->stride, chunk, n, sums, work);
        }
        for (size_t i = 0; i < count; i += LANES) {
            store_floats(total + i, load_floats(total + i) + load_floats(sums + i));
        }
    }
}

const nn__depthwise_kernels NN__OF_VARIANT(nn__depthwise) = {
    .forward = forward,
    .backward_data = backward_data,
    .backward_weights = backward_weights,
};
