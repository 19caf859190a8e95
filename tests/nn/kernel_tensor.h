// What the kernels' tests share: tensors in the kernels' layouts, filled at random and read back as
// plain f64, and naive activations.

#ifndef NS_TESTS_NN_KERNEL_TENSOR_H
#define NS_TESTS_NN_KERNEL_TENSOR_H

#include <math.h>
#include <string.h>

#include "nn/kernel.h"
#include "tests/ns_test.h"

typedef struct kernel_shape {
    int images, channels, height, width;
} kernel_shape;

typedef struct kernel_tensor {
    kernel_shape shape;
    nn__view view;
    int lanes;
    bool bf16;
    size_t element_count; // padding included
} kernel_tensor;

/// Zeros; nhwc is without padding, so `channels` is a multiple of the lanes then.
static inline kernel_tensor kernel_tensor_new(kernel_shape shape, const nn__variant *variant,
                                              bool nhwc) {
    kernel_tensor t = {.shape = shape, .lanes = variant->lanes, .bf16 = variant->bf16};
    const size_t lanes = (size_t)variant->lanes;
    const size_t chunks = ((size_t)shape.channels + lanes - 1) / lanes;
    const size_t pixels = (size_t)shape.height * (size_t)shape.width;
    t.view.image = chunks * pixels * lanes;
    t.view.chunk = nhwc ? lanes : pixels * lanes;
    t.view.pixel = nhwc ? chunks * lanes : lanes;
    t.element_count = (size_t)shape.images * t.view.image;
    t.view.data = calloc(t.element_count + 1, sizeof(float)); // room for either type
    assert_non_null(t.view.data);
    return t;
}

static inline void kernel_tensor_free(kernel_tensor *t) {
    free(t->view.data);
}

static inline size_t kernel_tensor_count(const kernel_tensor *t) {
    return (size_t)t->shape.images * (size_t)t->shape.channels * (size_t)t->shape.height *
           (size_t)t->shape.width;
}

/// Place of value `i` in plain (N, C, H, W) order.
static inline size_t kernel_tensor_at(const kernel_tensor *t, size_t i) {
    const size_t pixels = (size_t)t->shape.height * (size_t)t->shape.width;
    const size_t lanes = (size_t)t->lanes, channels = (size_t)t->shape.channels;
    const size_t channel = i / pixels % channels;
    return i / pixels / channels * t->view.image + channel / lanes * t->view.chunk +
           i % pixels * t->view.pixel + channel % lanes;
}

static inline double kernel_tensor_get(const kernel_tensor *t, size_t at) {
    if (!t->bf16) {
        return (double)((const float *)t->view.data)[at];
    }
    const uint32_t bits = (uint32_t)((const uint16_t *)t->view.data)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static inline void kernel_tensor_set(const kernel_tensor *t, size_t at, float value) {
    if (!t->bf16) {
        ((float *)t->view.data)[at] = value;
        return;
    }
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    ((uint16_t *)t->view.data)[at] = (uint16_t)((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

static inline void kernel_tensor_fill(const kernel_tensor *t, ns_rng *rng, double mean,
                                      double deviation) {
    for (size_t i = 0; i < kernel_tensor_count(t); i++) {
        kernel_tensor_set(t, kernel_tensor_at(t, i),
                          (float)(mean + deviation * ns_rng_normal(rng)));
    }
}

/// Malloced, (N, C, H, W).
static inline double *kernel_tensor_plain(const kernel_tensor *t) {
    double *plain = calloc(kernel_tensor_count(t) + 1, sizeof *plain);
    assert_non_null(plain);
    for (size_t i = 0; i < kernel_tensor_count(t); i++) {
        plain[i] = kernel_tensor_get(t, kernel_tensor_at(t, i));
    }
    return plain;
}

/// The same of a tensor of bytes.
static inline double *kernel_tensor_bytes_plain(const kernel_tensor *t) {
    double *plain = calloc(kernel_tensor_count(t) + 1, sizeof *plain);
    assert_non_null(plain);
    for (size_t i = 0; i < kernel_tensor_count(t); i++) {
        plain[i] = (double)((const uint8_t *)t->view.data)[kernel_tensor_at(t, i)];
    }
    return plain;
}

/// Every element that is no value is zero.
static inline bool kernel_tensor_padding_is_zero(const kernel_tensor *t) {
    size_t zeros = 0, values_zero = 0;
    for (size_t at = 0; at < t->element_count; at++) {
        zeros += kernel_tensor_get(t, at) == 0.0;
    }
    for (size_t i = 0; i < kernel_tensor_count(t); i++) {
        values_zero += kernel_tensor_get(t, kernel_tensor_at(t, i)) == 0.0;
    }
    return zeros - values_zero == t->element_count - kernel_tensor_count(t);
}

/* ---- naive activations ----------------------------------------------------------------------- */

static inline double kernel_naive_act(nn_activation activation, double z) {
    switch (activation) {
    case NN_ACTIVATION_RELU:
        return z > 0.0 ? z : 0.0;
    case NN_ACTIVATION_SILU:
        return z / (1.0 + exp(-z));
    case NN_ACTIVATION_GELU:
        return z * 0.5 * erfc(-z / sqrt(2.0));
    default:
        return z;
    }
}

/// By differences for the smooth ones: independent of the kernels' formulas.
static inline double kernel_naive_slope(nn_activation activation, double z) {
    if (activation == NN_ACTIVATION_RELU) {
        return z > 0.0 ? 1.0 : 0.0;
    }
    if (activation == NN_ACTIVATION_NONE) {
        return 1.0;
    }
    return (kernel_naive_act(activation, z + 1e-5) - kernel_naive_act(activation, z - 1e-5)) / 2e-5;
}

#endif
