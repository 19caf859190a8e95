// Activations of flat arrays and gates, in every variant this machine runs, against nn__activate()
// and naive loops; lengths around a vector, in place or apart, one thread and several.

#include <math.h>
#include <omp.h>
#include <string.h>

#include "nn/kernel.h"
#include "nn/nn_internal.h"
#include "tests/nn/kernel_tensor.h"
#include "tests/ns_test.h"

static const int lengths[] = {1, 7, 16, 37, 4096, 9001};

static void assert_near(const char *what, double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance * (1.0 + fabs(want)))) {
        fail_msg("%s: got %g, want %g", what, got, want);
    }
}

/// A flat array as a tensor of one channel... of which only the data is used.
static kernel_tensor array_new(const nn__variant *variant, int length, double deviation) {
    nn__variant flat = *variant;
    flat.lanes = 1;
    ns_rng rng = ns_rng_stream(8, (uint64_t)length, "array");
    kernel_tensor t = kernel_tensor_new((kernel_shape){1, 1, 1, length}, &flat, false);
    kernel_tensor_fill(&t, &rng, 0.0, deviation);
    return t;
}

static void check_activation(const nn__variant *variant, nn_activation activation, int length,
                             bool in_place) {
    const double tolerance = variant->bf16 ? 1e-2 : 1e-6;
    const nn_node node = {.kind = NN_OP_ACTIVATION, .activation = activation};
    const bool sees_y = nn__node_reads(&node) == NN__READS_OUTPUT;
    kernel_tensor x = array_new(variant, length, 3.0), dy = array_new(variant, length, 1.0);
    kernel_tensor y = array_new(variant, length, 1.0), dx = array_new(variant, length, 1.0);
    double *plain_x = kernel_tensor_plain(&x), *plain_dy = kernel_tensor_plain(&dy);
    if (in_place) {
        memcpy(y.view.data, x.view.data, (size_t)length * sizeof(float));
        memcpy(dx.view.data, dy.view.data, (size_t)length * sizeof(float));
    }
    nn__activation_forward(variant, activation, in_place ? y.view.data : x.view.data, y.view.data,
                           (size_t)length);
    nn__activation_backward(variant, activation, sees_y ? y.view.data : x.view.data,
                            in_place ? dx.view.data : dy.view.data, dx.view.data, (size_t)length);
    for (int i = 0; i < length; i++) {
        const float seen = (float)plain_x[i], value = nn__activate(activation, seen);
        const double slope = (double)nn__activation_slope(activation, seen, value);
        assert_near("y", kernel_tensor_get(&y, (size_t)i), (double)value, tolerance);
        assert_near("dx", kernel_tensor_get(&dx, (size_t)i), slope * plain_dy[i], tolerance);
    }
    free(plain_x);
    free(plain_dy);
    kernel_tensor_free(&x);
    kernel_tensor_free(&dy);
    kernel_tensor_free(&y);
    kernel_tensor_free(&dx);
}

static void test_activations(void **state) {
    (void)state;
    const nn__variant *variant = NULL;
    for (int v = 0; (variant = nn__variant_at(v)) != NULL; v++) {
        print_message("%s\n", variant->name);
        for (int a = NN_ACTIVATION_RELU; a < NN_ACTIVATION_COUNT; a++) {
            for (size_t i = 0; i < NS_COUNT_OF(lengths); i++) {
                omp_set_num_threads(1 + (int)i % 3);
                check_activation(variant, (nn_activation)a, lengths[i], i % 2 == 0);
            }
        }
    }
}

/// Far from zero there is neither overflow nor NaN, and a NaN stays one.
static void test_activations_far_out(void **state) {
    (void)state;
    const float far[] = {-1e30F, -200.0F, 200.0F, 1e30F, NAN};
    const nn__variant *variant = NULL;
    for (int v = 0; (variant = nn__variant_at(v)) != NULL; v++) {
        kernel_tensor x = array_new(variant, NS_COUNT_OF(far), 1.0);
        for (int a = NN_ACTIVATION_RELU; a < NN_ACTIVATION_COUNT; a++) {
            for (size_t i = 0; i < NS_COUNT_OF(far); i++) {
                kernel_tensor_set(&x, i, far[i]);
            }
            nn__activation_forward(variant, (nn_activation)a, x.view.data, x.view.data,
                                   NS_COUNT_OF(far));
            for (size_t i = 0; i + 1 < NS_COUNT_OF(far); i++) {
                assert_near(nn__activation_names[a], kernel_tensor_get(&x, i),
                            (double)nn__activate((nn_activation)a, far[i]), 1e-2);
            }
            if (!isnan(kernel_tensor_get(&x, NS_COUNT_OF(far) - 1))) {
                fail_msg("%s, %s: a NaN became %g", variant->name, nn__activation_names[a],
                         kernel_tensor_get(&x, NS_COUNT_OF(far) - 1));
            }
        }
        kernel_tensor_free(&x);
    }
}

typedef struct gate_case {
    int images, channels, height, width;
    bool nhwc, wants_dx;
} gate_case;

static void check_gate(const nn__variant *variant, const gate_case *c) {
    const kernel_shape shape = {c->images, c->channels, c->height, c->width};
    const int lanes = variant->lanes, chunks = (c->channels + lanes - 1) / lanes;
    const size_t plane = (size_t)(c->height * c->width), row = (size_t)(chunks * lanes);
    ns_rng rng = ns_rng_stream(9, 0, "gate");
    kernel_tensor x = kernel_tensor_new(shape, variant, c->nhwc);
    kernel_tensor dy = kernel_tensor_new(shape, variant, c->nhwc);
    kernel_tensor y = kernel_tensor_new(shape, variant, c->nhwc);
    kernel_tensor dx = kernel_tensor_new(shape, variant, c->nhwc);
    kernel_tensor_fill(&x, &rng, 0.5, 1.0);
    kernel_tensor_fill(&dy, &rng, 0.1, 1.0);
    float *gate = calloc((size_t)c->images * row, sizeof *gate);
    float *gradient = calloc((size_t)c->images * row, sizeof *gradient);
    for (int i = 0; i < c->images * c->channels; i++) {
        gate[(size_t)(i / c->channels) * row + (size_t)(i % c->channels)] =
            (float)ns_rng_unit(&rng);
    }
    nn__gate_job job = {c->images, chunks, plane, gate, gradient, x.view, y.view, dy.view, dx.view};
    if (!c->wants_dx) {
        job.dx.data = NULL;
    }
    nn__gate_forward(variant, &job);
    nn__gate_backward(variant, &job);
    double *plain_x = kernel_tensor_plain(&x), *plain_dy = kernel_tensor_plain(&dy);
    double *got_y = kernel_tensor_plain(&y), *got_dx = kernel_tensor_plain(&dx);
    const double tolerance = variant->bf16 ? 1e-2 : 1e-5;
    for (size_t i = 0; i < (size_t)(c->images * c->channels); i++) {
        const size_t at = i / (size_t)c->channels * row + i % (size_t)c->channels;
        double sum = 0.0;
        for (size_t p = i * plane; p < (i + 1) * plane; p++) {
            sum += plain_x[p] * plain_dy[p];
            assert_near("y", got_y[p], (double)gate[at] * plain_x[p], tolerance);
            assert_near("dx", got_dx[p], c->wants_dx ? (double)gate[at] * plain_dy[p] : 0.0,
                        tolerance);
        }
        assert_near("gate's gradient", (double)gradient[at], sum, 1e-4);
    }
    free(plain_x);
    free(plain_dy);
    free(got_y);
    free(got_dx);
    free(gate);
    free(gradient);
    kernel_tensor_free(&x);
    kernel_tensor_free(&dy);
    kernel_tensor_free(&y);
    kernel_tensor_free(&dx);
}

static void test_gates(void **state) {
    (void)state;
    static const gate_case cases[] = {
        {3, 5, 7, 3, false, true},
        {2, 48, 4, 4, true, true},
        {2, 40, 5, 1, false, false},
        {1, 16, 1, 1, false, true},
    };
    const nn__variant *variant = NULL;
    for (int v = 0; (variant = nn__variant_at(v)) != NULL; v++) {
        for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
            omp_set_num_threads(1 + (int)i);
            check_gate(variant, &cases[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_activations_far_out),
        cmocka_unit_test(test_gates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
