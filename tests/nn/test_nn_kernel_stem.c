// The fused first convolution against a naive convolution and batch norm in f64: every variant
// this machine runs, both layouts, windows, strides, channel counts, one thread and several.

#include <math.h>
#include <omp.h>
#include <string.h>

#include "nn/kernel.h"
#include "tests/nn/kernel_tensor.h"
#include "tests/ns_test.h"

typedef struct stem_case {
    int images, in, height, width, out, kernel, stride;
    bool nhwc;
} stem_case;

static const stem_case cases[] = {
    {4, 1, 9, 11, 16, 3, 1, false}, {3, 3, 8, 19, 32, 3, 1, true}, {5, 2, 7, 6, 5, 3, 2, false},
    {2, 1, 9, 9, 20, 5, 1, false},  {3, 1, 11, 8, 16, 5, 2, true}, {1, 1, 3, 3, 40, 3, 1, false},
};

/// One fused op and its naive twin.
typedef struct stem {
    const stem_case *c;
    const nn__variant *variant;
    nn__stem_job job;
    kernel_tensor y, dy;
    float *images, *weights, *scale, *shift, *mean, *variance;
    float *weights_gradient, *scale_gradient, *shift_gradient;
    double *x, *g; // plain (N, O, H, W): the convolution's output, and the gradient of z
} stem;

static void *zeros(size_t count, size_t size_bytes) {
    void *v = calloc(count + 1, size_bytes);
    assert_non_null(v);
    return v;
}

static float *random_floats(size_t count, size_t padded, ns_rng *rng) {
    float *v = zeros(padded, sizeof *v);
    for (size_t i = 0; i < count; i++) {
        v[i] = (float)ns_rng_normal(rng) + 0.2F;
    }
    return v;
}

static stem stem_new(const stem_case *c, const nn__variant *variant, nn_activation activation) {
    stem s = {.c = c, .variant = variant};
    ns_rng rng = ns_rng_stream(8, 0, "kernel");
    const int pad = c->kernel / 2, lanes = variant->lanes;
    const int height = (c->height + 2 * pad - c->kernel) / c->stride + 1;
    const int width = (c->width + 2 * pad - c->kernel) / c->stride + 1;
    const size_t out = (size_t)c->out, taps = (size_t)(c->in * c->kernel * c->kernel);
    const size_t chunks = (out + (size_t)lanes - 1) / (size_t)lanes, wide = chunks * (size_t)lanes;
    const kernel_shape shape = {c->images, c->out, height, width};
    s.y = kernel_tensor_new(shape, variant, c->nhwc);
    s.dy = kernel_tensor_new(shape, variant, c->nhwc);
    kernel_tensor_fill(&s.dy, &rng, 0.1, 1.0);
    s.images = random_floats((size_t)(c->images * c->in * c->height * c->width),
                             (size_t)(c->images * c->in * c->height * c->width), &rng);
    s.weights = random_floats(out * taps, out * taps, &rng);
    s.scale = random_floats(out, wide, &rng);
    s.shift = random_floats(out, wide, &rng);
    s.mean = random_floats(0, wide, &rng);
    s.variance = random_floats(0, wide, &rng);
    s.weights_gradient = random_floats(0, out * taps, &rng);
    s.scale_gradient = random_floats(0, wide, &rng);
    s.shift_gradient = random_floats(0, wide, &rng);
    s.x = zeros(kernel_tensor_count(&s.y), sizeof *s.x);
    s.g = zeros(kernel_tensor_count(&s.y), sizeof *s.g);
    s.job = (nn__stem_job){.image_count = c->images,
                           .in_channels = c->in,
                           .in_height = c->height,
                           .in_width = c->width,
                           .out_channels = c->out,
                           .chunk_count = (int)chunks,
                           .height = height,
                           .width = width,
                           .kernel = c->kernel,
                           .stride = c->stride,
                           .pad = pad,
                           .activation = activation,
                           .epsilon = 1e-5F,
                           .images = s.images,
                           .weights = s.weights,
                           .scale = s.scale,
                           .shift = s.shift,
                           .mean = s.mean,
                           .variance = s.variance,
                           .y = s.y.view,
                           .dy = s.dy.view,
                           .weights_gradient = s.weights_gradient,
                           .scale_gradient = s.scale_gradient,
                           .shift_gradient = s.shift_gradient};
    s.job.moments = zeros(nn__stem_moment_count(&s.job), sizeof(double));
    s.job.scratch = aligned_alloc(
        64, (nn__stem_scratch_bytes(&s.job, lanes, omp_get_max_threads()) + 63) / 64 * 64);
    assert_non_null(s.job.scratch);
    return s;
}

static void stem_free(stem *s) {
    void *const blocks[] = {
        s->images,   s->weights,          s->scale,          s->shift,          s->mean,
        s->variance, s->weights_gradient, s->scale_gradient, s->shift_gradient, s->x,
        s->g,        s->job.moments,      s->job.scratch,    s->y.view.data,    s->dy.view.data};
    for (size_t i = 0; i < NS_COUNT_OF(blocks); i++) {
        free(blocks[i]);
    }
}

/* ---- the naive one --------------------------------------------------------------------------- */

/// Tap (c, y, x) of the window at output pixel (i, j), zero in the padding.
static double tap(const stem *s, int n, int c, int i, int j) {
    const int h = s->c->height, w = s->c->width;
    return i < 0 || i >= h || j < 0 || j >= w
               ? 0.0
               : (double)s->images[((n * s->c->in + c) * h + i) * w + j];
}

/// The convolution's output `x` at one pixel, and then, with `dx` its gradient, its part in dw.
static double convolve(const stem *s, int n, int o, int i, int j, double dx, double *dw) {
    const int kernel = s->c->kernel, pad = s->job.pad, stride = s->c->stride;
    double x = 0.0;
    for (int t = 0; t < s->c->in * kernel * kernel; t++) {
        const int c = t / (kernel * kernel), ky = t / kernel % kernel, kx = t % kernel;
        const double p = tap(s, n, c, i * stride + ky - pad, j * stride + kx - pad);
        const size_t at = (size_t)(o * s->c->in * kernel * kernel + t);
        x += p * (double)s->weights[at];
        dw[at] += dx * p;
    }
    return x;
}

/// All the naive results; sizes as the op's.
typedef struct naive {
    double *y, *dw, *mean, *variance, *dscale, *dshift;
} naive;

static void naive_channel(const stem *s, const double *dy, const naive *v, int o) {
    const int plane = s->job.height * s->job.width, images = s->c->images;
    const double count = (double)images * (double)plane;
    double sum = 0.0, squares = 0.0, dscale = 0.0, dshift = 0.0;
    for (int k = 0; k < images * plane; k++) {
        const int n = k / plane, pixel = k % plane;
        double *x = &s->x[(n * s->c->out + o) * plane + pixel];
        *x = convolve(s, n, o, pixel / s->job.width, pixel % s->job.width, 0.0, v->dw);
        sum += *x;
    }
    for (int k = 0; k < images * plane; k++) {
        const double d = s->x[(k / plane * s->c->out + o) * plane + k % plane] - sum / count;
        squares += d * d;
    }
    const double mean = sum / count, variance = squares / count;
    const double inverse = 1.0 / sqrt(variance + (double)s->job.epsilon);
    for (int k = 0; k < images * plane; k++) {
        const int at = (k / plane * s->c->out + o) * plane + k % plane;
        const double normal = (s->x[at] - mean) * inverse;
        const double z = (double)s->scale[o] * normal + (double)s->shift[o];
        v->y[at] = kernel_naive_act(s->job.activation, z);
        s->g[at] = dy[at] * kernel_naive_slope(s->job.activation, z);
        dshift += s->g[at];
        dscale += s->g[at] * normal;
    }
    for (int k = 0; k < images * plane; k++) {
        const int n = k / plane, pixel = k % plane, at = (n * s->c->out + o) * plane + pixel;
        const double normal = (s->x[at] - mean) * inverse;
        const double dx =
            (double)s->scale[o] * inverse * (s->g[at] - dshift / count - normal * dscale / count);
        (void)convolve(s, n, o, pixel / s->job.width, pixel % s->job.width, dx, v->dw);
    }
    v->mean[o] = mean;
    v->variance[o] = variance;
    v->dscale[o] = dscale;
    v->dshift[o] = dshift;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void check_values(const char *name, const stem *s, const double *got, const double *want,
                         size_t count, double tolerance) {
    double largest = 1e-3;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(want[i]));
    }
    for (size_t i = 0; i < count; i++) {
        if (!(fabs(got[i] - want[i]) <= tolerance * largest)) {
            fail_msg("%s, %d x %d x %d x %d to %d by %d / %d, activation %d, %d threads: "
                     "%s[%zu] is %g, not %g",
                     s->variant->name, s->c->images, s->c->in, s->c->height, s->c->width, s->c->out,
                     s->c->kernel, s->c->stride, (int)s->job.activation, omp_get_max_threads(),
                     name, i, got[i], want[i]);
        }
    }
}

static void check_floats(const char *name, const stem *s, const float *got, const double *want,
                         size_t count) {
    double *wide = zeros(count, sizeof *wide);
    for (size_t i = 0; i < count; i++) {
        wide[i] = (double)got[i];
    }
    check_values(name, s, wide, want, count, 3e-5);
    free(wide);
}

static void check(const stem_case *c, const nn__variant *variant, nn_activation activation) {
    stem s = stem_new(c, variant, activation);
    const size_t out = (size_t)c->out, taps = (size_t)(c->in * c->kernel * c->kernel);
    const naive v = {.y = zeros(kernel_tensor_count(&s.y), sizeof(double)),
                     .dw = zeros(out * taps, sizeof(double)),
                     .mean = zeros(out, sizeof(double)),
                     .variance = zeros(out, sizeof(double)),
                     .dscale = zeros(out, sizeof(double)),
                     .dshift = zeros(out, sizeof(double))};
    nn__stem_forward(variant, &s.job);
    nn__stem_backward(variant, &s.job);
    double *dy = kernel_tensor_plain(&s.dy), *y = kernel_tensor_plain(&s.y);
    for (int o = 0; o < c->out; o++) {
        naive_channel(&s, dy, &v, o);
    }
    check_floats("mean", &s, s.mean, v.mean, out);
    check_floats("variance", &s, s.variance, v.variance, out);
    check_values("y", &s, y, v.y, kernel_tensor_count(&s.y), variant->bf16 ? 8e-3 : 1e-5);
    assert_true(kernel_tensor_padding_is_zero(&s.y));
    check_floats("scale gradient", &s, s.scale_gradient, v.dscale, out);
    check_floats("shift gradient", &s, s.shift_gradient, v.dshift, out);
    check_floats("weights gradient", &s, s.weights_gradient, v.dw, out * taps);
    void *const blocks[] = {v.y, v.dw, v.mean, v.variance, v.dscale, v.dshift, dy, y};
    for (size_t i = 0; i < NS_COUNT_OF(blocks); i++) {
        free(blocks[i]);
    }
    stem_free(&s);
}

static void test_variants(void **state) {
    (void)state;
    const nn__variant *variant = NULL;
    for (int k = 0; (variant = nn__variant_at(k)) != NULL; k++) {
        for (int i = 0; i < (int)NS_COUNT_OF(cases); i++) {
            for (int activation = 0; activation < NN_ACTIVATION_SIGMOID; activation++) {
                omp_set_num_threads(1 + (i + activation) % 3);
                check(&cases[i], variant, (nn_activation)activation);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_variants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
