// The depthwise kernels against naive ones in f64: every variant this machine runs, both layouts,
// kernels and strides with loops of their own and without, odd sizes, maps smaller than the kernel,
// channels that fill their chunk or do not, one thread and several.

#include <math.h>
#include <omp.h>
#include <string.h>

#include "nn/kernel.h"
#include "nn/nn_internal.h"
#include "tests/nn/kernel_tensor.h"
#include "tests/ns_test.h"

typedef struct depthwise_case {
    int images, channels, height, width, kernel, stride, pad;
    bool nhwc; // channels a multiple of 16, then
    nn_activation activation;
} depthwise_case;

static const depthwise_case cases[] = {
    {3, 5, 7, 3, 3, 1, 1, false, NN_ACTIVATION_NONE},
    {2, 16, 14, 14, 3, 1, 1, false, NN_ACTIVATION_RELU},
    {2, 40, 9, 8, 3, 2, 1, false, NN_ACTIVATION_NONE},
    {1, 48, 9, 7, 5, 1, 2, true, NN_ACTIVATION_SILU},
    {3, 3, 13, 21, 5, 2, 2, false, NN_ACTIVATION_NONE},
    {2, 32, 2, 2, 5, 1, 2, true, NN_ACTIVATION_GELU},
    {2, 20, 1, 1, 3, 1, 1, false, NN_ACTIVATION_NONE},
    {5, 16, 12, 11, 7, 1, 3, false, NN_ACTIVATION_NONE},
    {2, 24, 8, 6, 2, 2, 0, false, NN_ACTIVATION_NONE},
    {2, 16, 10, 10, 3, 3, 1, false, NN_ACTIVATION_NONE},
    {1, 200, 5, 5, 3, 2, 0, false, NN_ACTIVATION_NONE},
};

typedef struct depthwise {
    const depthwise_case *c;
    const nn__variant *variant;
    nn__depthwise_job job;
    kernel_tensor x, y, dy, dx;
    float *weights, *bias; // as the job has them
} depthwise;

static depthwise depthwise_new(const depthwise_case *c, const nn__variant *variant) {
    depthwise d = {.c = c, .variant = variant};
    const int out_height = (c->height + 2 * c->pad - c->kernel) / c->stride + 1;
    const int out_width = (c->width + 2 * c->pad - c->kernel) / c->stride + 1;
    const kernel_shape in = {c->images, c->channels, c->height, c->width};
    const kernel_shape out = {c->images, c->channels, out_height, out_width};
    ns_rng rng = ns_rng_stream(6, 0, "kernel");
    d.x = kernel_tensor_new(in, variant, c->nhwc);
    d.dx = kernel_tensor_new(in, variant, c->nhwc);
    d.y = kernel_tensor_new(out, variant, c->nhwc);
    d.dy = kernel_tensor_new(out, variant, c->nhwc);
    kernel_tensor_fill(&d.x, &rng, 0.2, 1.0);
    kernel_tensor_fill(&d.dy, &rng, 0.1, 1.0);
    const int lanes = variant->lanes, chunks = (c->channels + lanes - 1) / lanes;
    const size_t taps = (size_t)(c->kernel * c->kernel), vector = (size_t)(chunks * lanes);
    d.weights = calloc(taps * vector, sizeof(float));
    d.bias = calloc(vector, sizeof(float));
    for (int channel = 0; channel < c->channels; channel++) {
        d.bias[channel] = (float)ns_rng_normal(&rng);
        for (size_t k = 0; k < taps; k++) {
            d.weights[((size_t)(channel / lanes) * taps + k) * (size_t)lanes +
                      (size_t)(channel % lanes)] = (float)ns_rng_normal(&rng);
        }
    }
    d.job = (nn__depthwise_job){.image_count = c->images,
                                .chunk_count = chunks,
                                .height = c->height,
                                .width = c->width,
                                .out_height = out_height,
                                .out_width = out_width,
                                .kernel = c->kernel,
                                .stride = c->stride,
                                .pad = c->pad,
                                .activation = c->activation,
                                .weights = d.weights,
                                .bias = d.bias,
                                .x = d.x.view,
                                .y = d.y.view,
                                .dy = d.dy.view,
                                .dx = d.dx.view,
                                .weights_gradient = calloc(taps * vector, sizeof(float)),
                                .bias_gradient = calloc(vector, sizeof(float))};
    d.job.scratch = malloc(nn__depthwise_scratch_bytes(&d.job, lanes, omp_get_max_threads()));
    assert_non_null(d.job.scratch);
    return d;
}

static void depthwise_free(depthwise *d) {
    kernel_tensor_free(&d->x);
    kernel_tensor_free(&d->y);
    kernel_tensor_free(&d->dy);
    kernel_tensor_free(&d->dx);
    free(d->weights);
    free(d->bias);
    free(d->job.weights_gradient);
    free(d->job.bias_gradient);
    free(d->job.scratch);
}

/// Place of channel c's tap k in the job's arrays.
static size_t weight_at(const depthwise *d, int c, int k) {
    const int taps = d->c->kernel * d->c->kernel, lanes = d->variant->lanes;
    return (size_t)((c / lanes * taps + k) * lanes + c % lanes);
}

/// What one channel of one image adds to everything; plain arrays.
static void plain_plane(const depthwise *d, int c, const double *x, const double *dy, double *y,
                        double *dx, double *dw) {
    const nn__depthwise_job *j = &d->job;
    for (int o = 0; o < j->out_height * j->out_width; o++) {
        for (int k = 0; k < j->kernel * j->kernel; k++) {
            const int h = o / j->out_width * j->stride - j->pad + k / j->kernel;
            const int w = o % j->out_width * j->stride - j->pad + k % j->kernel;
            if (h >= 0 && h < j->height && w >= 0 && w < j->width) {
                const double weight = (double)d->weights[weight_at(d, c, k)];
                y[o] += weight * x[h * j->width + w];
                dx[h * j->width + w] += weight * dy[o];
                dw[k] += x[h * j->width + w] * dy[o];
            }
        }
    }
}

static void assert_near(const char *what, double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance * (1.0 + fabs(want)))) {
        fail_msg("%s: got %g, want %g", what, got, want);
    }
}

static void compare_map(const char *what, const kernel_tensor *got, const double *want) {
    double *plain = kernel_tensor_plain(got);
    for (size_t i = 0; i < kernel_tensor_count(got); i++) {
        assert_near(what, plain[i], want[i], got->bf16 ? 1e-2 : 1e-5);
    }
    free(plain);
}

static void check(const depthwise *d) {
    const nn__depthwise_job *j = &d->job;
    const size_t in = (size_t)(j->height * j->width), out = (size_t)(j->out_height * j->out_width);
    double *x = kernel_tensor_plain(&d->x), *dy = kernel_tensor_plain(&d->dy);
    double *y = calloc(kernel_tensor_count(&d->y) + 1, sizeof *y);
    double *dx = calloc(kernel_tensor_count(&d->x) + 1, sizeof *dx);
    for (int c = 0; c < d->c->channels; c++) {
        double dw[NN__DEPTHWISE_KERNEL_MAX * NN__DEPTHWISE_KERNEL_MAX] = {0}, db = 0.0;
        for (int n = 0; n < j->image_count; n++) {
            const size_t plane = (size_t)(n * d->c->channels + c);
            plain_plane(d, c, x + plane * in, dy + plane * out, y + plane * out, dx + plane * in,
                        dw);
            for (size_t o = 0; o < out; o++) {
                const double sum = y[plane * out + o] + (double)d->bias[c];
                y[plane * out + o] = (double)nn__activate(j->activation, (float)sum);
                db += dy[plane * out + o];
            }
        }
        for (int k = 0; k < j->kernel * j->kernel; k++) {
            assert_near("weight's gradient", (double)j->weights_gradient[weight_at(d, c, k)], dw[k],
                        1e-4);
        }
        assert_near("bias's gradient", (double)j->bias_gradient[c], db, 1e-4);
    }
    compare_map("y", &d->y, y);
    compare_map("dx", &d->dx, dx);
    assert_true(kernel_tensor_padding_is_zero(&d->dx));
    if (j->activation == NN_ACTIVATION_NONE) {
        assert_true(kernel_tensor_padding_is_zero(&d->y));
    }
    free(x);
    free(y);
    free(dy);
    free(dx);
}

static void test_kernels_agree_with_loops(void **state) {
    (void)state;
    const nn__variant *variant = NULL;
    for (int v = 0; (variant = nn__variant_at(v)) != NULL; v++) {
        for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
            for (int threads = 1; threads <= 3; threads += 2) {
                omp_set_num_threads(threads);
                print_message("%s, case %zu, %d threads\n", variant->name, i, threads);
                depthwise d = depthwise_new(&cases[i], variant);
                nn__depthwise_forward(variant, &d.job);
                nn__depthwise_backward_data(variant, &d.job);
                nn__depthwise_backward_weights(variant, &d.job);
                check(&d);
                depthwise_free(&d);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernels_agree_with_loops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
