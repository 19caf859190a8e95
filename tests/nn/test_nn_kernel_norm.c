// The batch norm kernels against a naive one in f64: every variant this machine runs, both
// layouts, every activation and join, odd sizes, channels that fill their chunk or do not, dx in
// place or apart, one thread and several.

#include <math.h>
#include <omp.h>
#include <string.h>

#include "nn/kernel.h"
#include "tests/nn/kernel_tensor.h"
#include "tests/ns_test.h"

typedef struct norm_case {
    int images, channels, height, width;
    bool nhwc; // channels a multiple of 16, then
    bool in_place;
} norm_case;

static const norm_case cases[] = {
    {3, 5, 7, 3, false, false},   {4, 16, 6, 6, false, true},  {2, 40, 5, 8, false, true},
    {3, 48, 9, 7, true, false},   {1, 3, 2, 2, false, false},  {1, 32, 13, 21, true, true},
    {2, 100, 4, 3, false, false}, {7, 16, 1, 1, false, false}, {1, 16, 33, 8, true, true},
};

/// Everything of one batch norm, in plain (N, C, H, W) f64 but for what the kernels share.
typedef struct norm {
    const norm_case *c;
    const nn__variant *variant;
    nn__norm_job job;
    kernel_tensor x, r, y, argmax, dy, dx, dr;
    float *mean, *variance, *scale, *shift, *scale_gradient, *shift_gradient; // padded
} norm;

static float *padded_vector(const norm *n, ns_rng *rng) {
    const int lanes = n->variant->lanes;
    float *v = calloc((size_t)(n->job.chunk_count * lanes), sizeof *v);
    assert_non_null(v);
    for (int c = 0; c < n->c->channels && rng != NULL; c++) {
        v[c] = (float)ns_rng_normal(rng) + 0.3F;
    }
    return v;
}

static norm norm_new(const norm_case *c, const nn__variant *variant, nn_activation activation,
                     nn__norm_join join) {
    norm n = {.c = c, .variant = variant};
    ns_rng rng = ns_rng_stream(5, 0, "kernel");
    const int lanes = variant->lanes;
    const bool pool = nn__norm_halves(join);
    const kernel_shape whole = {c->images, c->channels, c->height, c->width};
    const kernel_shape half = {c->images, c->channels, pool ? c->height / 2 : c->height,
                               pool ? c->width / 2 : c->width};
    n.x = kernel_tensor_new(whole, variant, c->nhwc);
    n.r = kernel_tensor_new(whole, variant, c->nhwc);
    n.dx = kernel_tensor_new(whole, variant, c->nhwc);
    n.dr = kernel_tensor_new(whole, variant, c->nhwc);
    n.y = kernel_tensor_new(half, variant, c->nhwc);
    n.dy = kernel_tensor_new(half, variant, c->nhwc);
    n.argmax = kernel_tensor_new(half, variant, c->nhwc);
    kernel_tensor_fill(&n.x, &rng, 3.0, 1.5); // far from zero: where sums of squares would cancel
    kernel_tensor_fill(&n.r, &rng, 0.0, 1.0);
    kernel_tensor_fill(&n.dy, &rng, 0.1, 1.0);
    n.job = (nn__norm_job){
        .image_count = c->images,
        .chunk_count = (c->channels + lanes - 1) / lanes,
        .height = c->height,
        .width = c->width,
        .activation = activation,
        .join = join,
        .epsilon = 1e-5F,
        .x = n.x.view,
        .r = n.r.view,
        .y = n.y.view,
        .argmax = n.argmax.view,
        .dy = n.dy.view,
        .dx = c->in_place ? n.x.view : n.dx.view,
        .dr = c->in_place ? n.dy.view : n.dr.view,
    };
    n.job.scale = n.scale = padded_vector(&n, &rng);
    n.job.shift = n.shift = padded_vector(&n, &rng);
    n.job.mean = n.mean = padded_vector(&n, NULL);
    n.job.variance = n.variance = padded_vector(&n, NULL);
    n.job.scale_gradient = n.scale_gradient = padded_vector(&n, NULL);
    n.job.shift_gradient = n.shift_gradient = padded_vector(&n, NULL);
    n.job.scratch = malloc(nn__norm_scratch_bytes(&n.job, lanes, omp_get_max_threads()) + 1);
    assert_non_null(n.job.scratch);
    return n;
}

static void norm_free(norm *n) {
    kernel_tensor *const tensors[] = {&n->x, &n->r, &n->y, &n->argmax, &n->dy, &n->dx, &n->dr};
    for (size_t i = 0; i < NS_COUNT_OF(tensors); i++) {
        kernel_tensor_free(tensors[i]);
    }
    float *const vectors[] = {n->mean,  n->variance,       n->scale,
                              n->shift, n->scale_gradient, n->shift_gradient};
    for (size_t i = 0; i < NS_COUNT_OF(vectors); i++) {
        free(vectors[i]);
    }
    free(n->job.scratch);
}

/* ---- the naive one --------------------------------------------------------------------------- */

static void batch_statistics(const norm *n, const double *x, int channel, double *mean,
                             double *variance) {
    const size_t plane = (size_t)(n->c->height * n->c->width);
    const double count = (double)n->c->images * (double)plane;
    double sums[2] = {0.0, 0.0};
    for (int pass = 0; pass < 2; pass++) {
        for (int image = 0; image < n->c->images; image++) {
            const double *from = x + (size_t)(image * n->c->channels + channel) * plane;
            for (size_t i = 0; i < plane; i++) {
                const double d = from[i] - sums[0] / count;
                sums[pass] += pass == 0 ? from[i] : d * d;
            }
        }
    }
    *mean = sums[0] / count;
    *variance = sums[1] / count;
}

/// One channel of one image, its normalised input and the gradient that reaches z.
typedef struct plane {
    const double *x, *r, *y, *dy, *argmax;
    double *want_y, *g, *dx;
} plane;

/// Adds the gradient of pixel (i, j) and sets its y.
static void naive_pixel(const norm *n, const plane *p, size_t pixel, double z) {
    const nn_activation activation = n->job.activation;
    const double before = n->job.join == NN__NORM_ADD_BEFORE ? p->r[pixel] : 0.0;
    const double after = n->job.join == NN__NORM_ADD_AFTER ? p->r[pixel] : 0.0;
    p->want_y[pixel] = kernel_naive_act(activation, z + before) + after;
    p->g[pixel] = p->dy[pixel] * kernel_naive_slope(activation, z + before);
}

/// The same of a window: which of its pixels is the largest, the kernel says and is checked.
static void naive_window(const norm *n, const plane *p, int i, int j, const double *z) {
    const int width = n->c->width;
    const size_t out = (size_t)(i * (width / 2) + j);
    double best = -INFINITY;
    for (int k = 0; k < 4; k++) {
        best = fmax(
            best, kernel_naive_act(n->job.activation, z[(2 * i + k / 2) * width + 2 * j + k % 2]));
    }
    const int which = (int)p->argmax[out];
    assert_in_range(which, 0, 3);
    const size_t chosen = (size_t)((2 * i + which / 2) * width + 2 * j + which % 2);
    assert_true(best - kernel_naive_act(n->job.activation, z[chosen]) < 1e-5);
    p->want_y[out] = best;
    p->g[chosen] = p->dy[out] * kernel_naive_slope(n->job.activation, z[chosen]);
}

static void naive_average(const norm *n, const plane *p, int i, int j, const double *z) {
    const size_t out = (size_t)(i * (n->c->width / 2) + j);
    p->want_y[out] = 0.0;
    for (int k = 0; k < 4; k++) {
        const int pixel = (2 * i + k / 2) * n->c->width + 2 * j + k % 2;
        p->want_y[out] += 0.25 * kernel_naive_act(n->job.activation, z[pixel]);
        p->g[pixel] = 0.25 * p->dy[out] * kernel_naive_slope(n->job.activation, z[pixel]);
    }
}

static void naive_plane(const norm *n, const plane *p, const double *z) {
    const int height = n->c->height, width = n->c->width;
    memset(p->g, 0, (size_t)(height * width) * sizeof *p->g);
    if (!nn__norm_halves(n->job.join)) {
        for (int pixel = 0; pixel < height * width; pixel++) {
            naive_pixel(n, p, (size_t)pixel, z[pixel]);
        }
        return;
    }
    for (int i = 0; i < height / 2; i++) {
        for (int j = 0; j < width / 2; j++) {
            (n->job.join == NN__NORM_POOL ? naive_window : naive_average)(n, p, i, j, z);
        }
    }
}

typedef struct naive {
    double *x, *r, *y, *dy, *argmax;           // as the kernels see them
    double *want_y, *g, *dx;                   // plain
    double *mean, *variance, *dscale, *dshift; // by channel
} naive;

static plane plane_of(const norm *n, const naive *v, int image, int channel) {
    const int all = image * n->c->channels + channel;
    const size_t in = (size_t)(all * n->c->height * n->c->width);
    const size_t out = (size_t)(all * n->y.shape.height * n->y.shape.width);
    return (plane){v->x + in,       v->r + in,       v->y + out, v->dy + out,
                   v->argmax + out, v->want_y + out, v->g + in,  v->dx + in};
}

static void naive_channel(const norm *n, const naive *v, int channel) {
    const size_t pixels = (size_t)(n->c->height * n->c->width);
    double *z = calloc(pixels, sizeof *z);
    assert_non_null(z);
    double mean = 0.0, variance = 0.0, dscale = 0.0, dshift = 0.0;
    batch_statistics(n, v->x, channel, &mean, &variance);
    const double inverse = 1.0 / sqrt(variance + (double)n->job.epsilon);
    const double scale = (double)n->scale[channel], shift = (double)n->shift[channel];
    for (int image = 0; image < n->c->images; image++) {
        const plane p = plane_of(n, v, image, channel);
        for (size_t i = 0; i < pixels; i++) {
            z[i] = scale * (p.x[i] - mean) * inverse + shift;
        }
        naive_plane(n, &p, z);
        for (size_t i = 0; i < pixels; i++) {
            dshift += p.g[i];
            dscale += p.g[i] * (p.x[i] - mean) * inverse;
        }
    }
    const double count = (double)n->c->images * (double)pixels;
    for (int image = 0; image < n->c->images; image++) {
        const plane p = plane_of(n, v, image, channel);
        for (size_t i = 0; i < pixels; i++) {
            const double normal = (p.x[i] - mean) * inverse;
            p.dx[i] = scale * inverse * (p.g[i] - dshift / count - normal * dscale / count);
        }
    }
    v->mean[channel] = mean;
    v->variance[channel] = variance;
    v->dscale[channel] = dscale;
    v->dshift[channel] = dshift;
    free(z);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void check_array(const char *name, const norm *n, const double *got, const double *want,
                        size_t count, double tolerance) {
    double largest = 1e-3;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(want[i]));
    }
    for (size_t i = 0; i < count; i++) {
        if (!(fabs(got[i] - want[i]) <= tolerance * largest)) {
            fail_msg("%s, %d x %d x %d x %d%s, activation %d, join %d, %d threads: %s[%zu] is %g, "
                     "not %g",
                     n->variant->name, n->c->images, n->c->channels, n->c->height, n->c->width,
                     n->c->nhwc ? " nhwc" : "", (int)n->job.activation, (int)n->job.join,
                     omp_get_max_threads(), name, i, got[i], want[i]);
        }
    }
}

static void check_vector(const char *name, const norm *n, const float *got, const double *want) {
    const size_t channels = (size_t)n->c->channels;
    const size_t padded = (size_t)(n->job.chunk_count * n->variant->lanes);
    double *plain = calloc(padded, sizeof *plain);
    assert_non_null(plain);
    for (size_t c = 0; c < padded; c++) {
        plain[c] = (double)got[c];
        if (c >= channels && plain[c] != 0.0) {
            fail_msg("%s: padding of %s is %g", n->variant->name, name, plain[c]);
        }
    }
    check_array(name, n, plain, want, channels, 2e-5);
    free(plain);
}

static void check_tensor(const char *name, const norm *n, const kernel_tensor *got,
                         const double *want) {
    double *plain = kernel_tensor_plain(got);
    check_array(name, n, plain, want, kernel_tensor_count(got), n->variant->bf16 ? 8e-3 : 1e-5);
    free(plain);
    if (!kernel_tensor_padding_is_zero(got)) {
        fail_msg("%s: padding of %s is not zero", n->variant->name, name);
    }
}

static double *zeros(size_t count) {
    double *v = calloc(count + 1, sizeof *v);
    assert_non_null(v);
    return v;
}

static void check(const norm_case *c, const nn__variant *variant, nn_activation activation,
                  nn__norm_join join) {
    norm n = norm_new(c, variant, activation, join);
    const size_t in = kernel_tensor_count(&n.x), out = kernel_tensor_count(&n.y);
    const size_t channels = (size_t)c->channels;
    naive v = {.x = kernel_tensor_plain(&n.x),
               .r = kernel_tensor_plain(&n.r),
               .dy = kernel_tensor_plain(&n.dy),
               .want_y = zeros(out),
               .g = zeros(in),
               .dx = zeros(in),
               .mean = zeros(channels),
               .variance = zeros(channels),
               .dscale = zeros(channels),
               .dshift = zeros(channels)};
    nn__norm_forward(variant, &n.job);
    nn__norm_backward(variant, &n.job);
    v.argmax = kernel_tensor_bytes_plain(&n.argmax);
    for (int channel = 0; channel < c->channels; channel++) {
        naive_channel(&n, &v, channel);
    }
    check_vector("mean", &n, n.mean, v.mean);
    check_vector("variance", &n, n.variance, v.variance);
    check_vector("scale gradient", &n, n.scale_gradient, v.dscale);
    check_vector("shift gradient", &n, n.shift_gradient, v.dshift);
    check_tensor("y", &n, &n.y, v.want_y);
    check_tensor("dx", &n, c->in_place ? &n.x : &n.dx, v.dx);
    if (join == NN__NORM_ADD_BEFORE) {
        check_tensor("dr", &n, c->in_place ? &n.dy : &n.dr, v.g);
    }
    double *const arrays[] = {v.x,  v.r,    v.dy,       v.argmax, v.want_y, v.g,
                              v.dx, v.mean, v.variance, v.dscale, v.dshift};
    for (size_t i = 0; i < NS_COUNT_OF(arrays); i++) {
        free(arrays[i]);
    }
    norm_free(&n);
}

/// ReLU with everything, the others in turn; a pool needs two pixels each way.
static bool is_checked(const norm_case *c, int turn, int activation, nn__norm_join join) {
    const bool wanted = activation == NN_ACTIVATION_RELU || turn % 3 == 0;
    return wanted && (!nn__norm_halves(join) || (c->height > 1 && c->width > 1));
}

static void check_variant(const nn__variant *variant) {
    for (int i = 0; i < (int)NS_COUNT_OF(cases); i++) {
        for (int activation = 0; activation < NN_ACTIVATION_SIGMOID; activation++) {
            for (int join = NN__NORM_ALONE; join <= NN__NORM_AVERAGE; join++) {
                const int turn = i + activation + join;
                if (is_checked(&cases[i], turn, activation, (nn__norm_join)join)) {
                    omp_set_num_threads(1 + (i + join) % 3);
                    check(&cases[i], variant, (nn_activation)activation, (nn__norm_join)join);
                }
            }
        }
    }
}

static void test_variants(void **state) {
    (void)state;
    const nn__variant *variant = NULL;
    for (int i = 0; (variant = nn__variant_at(i)) != NULL; i++) {
        check_variant(variant);
    }
}

/// A mean a thousand deviations away costs no precision but its own rounding's.
static void test_far_mean(void **state) {
    (void)state;
    const norm_case c = {8, 16, 28, 28, false, false};
    omp_set_num_threads(2);
    const nn__variant *variant = nn__variant_at(0);
    assert_false(variant->bf16);
    norm n = norm_new(&c, variant, NN_ACTIVATION_NONE, NN__NORM_ALONE);
    ns_rng rng = ns_rng_stream(6, 0, "kernel");
    kernel_tensor_fill(&n.x, &rng, 1000.0, 1.0);
    double *x = kernel_tensor_plain(&n.x), mean = 0.0, variance = 0.0;
    nn__norm_forward(variant, &n.job);
    for (int channel = 0; channel < c.channels; channel++) {
        batch_statistics(&n, x, channel, &mean, &variance);
        if (fabs((double)n.variance[channel] - variance) > 1e-5) {
            fail_msg("variance %.7f, not %.7f", (double)n.variance[channel], variance);
        }
    }
    free(x);
    norm_free(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_far_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
