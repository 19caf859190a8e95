// Elementwise ops as flat loops: they see arrays, not shapes, so they serve every layout, blocked
// ones with their zero padding included (each maps 0 to 0).
//
// An array is f32 or bf16; arithmetic is f32. Each loop is written once, over stretches that fit the
// first-level cache: a stretch of an f32 array is the array's own memory, one of a bf16 array is
// widened into a room on the stack, and narrowed from there.
//
// All are bound by memory: one or two streams in, one out. Threads take equal contiguous parts, so
// that a part that one thread wrote is read by the same thread in the next layer, from its cache.

#include "nn/kernel.h"
#include "nn/nn_internal.h"

#include <math.h>

enum { STRETCH = 1024 }; // values

typedef float room[STRETCH];

static size_t element_bytes(nn_dtype dtype) {
    return dtype == NN_DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
}

static size_t y_count(const nn__layer *layer) {
    return layer->y_bytes / element_bytes(layer->y_dtype);
}

/// Values [at, at + count) of an array, to be read.
static const float *values_at(nn_dtype dtype, const void *array, size_t at, size_t count,
                              float *space) {
    if (dtype == NN_DTYPE_F32) {
        return (const float *)array + at;
    }
    nn__bf16_widen((const uint16_t *)array + at, space, count);
    return space;
}

/// Where to write values from `at` on; store() then puts them into the array.
static float *target_at(nn_dtype dtype, void *array, size_t at, float *space) {
    return dtype == NN_DTYPE_F32 ? (float *)array + at : space;
}

static void store(nn_dtype dtype, const float *space, void *array, size_t at, size_t count) {
    if (dtype == NN_DTYPE_BF16) {
        nn__bf16_narrow(space, (uint16_t *)array + at, count);
    }
}

static size_t stretch_count(size_t count) {
    return (count + STRETCH - 1) / STRETCH;
}

static size_t stretch_length(size_t count, size_t at) {
    return count - at < STRETCH ? count - at : STRETCH;
}

/* ---- activations and addition ---------------------------------------------------------------- */

/// Kernels for flat arrays: any number of lanes will do.
static const nn__variant *variant_of(nn_dtype dtype) {
    const bool bf16 = dtype == NN_DTYPE_BF16;
    const nn__variant *wide = nn__variant_for(NN__LANES_MAX, bf16);
    return wide != NULL ? wide : nn__variant_for(NN__LANES_MAX / 2, bf16);
}

void nn__flat_activate(const nn__layer *layer, const void *argument) {
    nn__activation_forward(variant_of(layer->y_dtype), layer->node->activation, argument, layer->y,
                           y_count(layer));
}

void nn__flat_activate_backward(const nn__layer *layer, const void *argument, void *gradient) {
    const nn__variant *variant = variant_of(layer->y_dtype);
    const nn_activation activation = layer->node->activation;
    const void *seen = argument;
    if (nn__node_reads(&(nn_node){.kind = NN_OP_ACTIVATION, .activation = activation}) ==
        NN__READS_OUTPUT) {
        nn__activation_forward(variant, activation, argument, gradient, y_count(layer));
        seen = gradient;
    }
    nn__activation_backward(variant, activation, seen, layer->dy, gradient, y_count(layer));
}

void nn__flat_activation_forward(const nn__layer *layer) {
    nn__activation_forward(variant_of(layer->y_dtype), layer->node->activation, layer->x[0],
                           layer->y, y_count(layer));
}

void nn__flat_activation_backward(const nn__layer *layer) {
    if (layer->dx[0] != NULL) {
        const bool sees_y = nn__node_reads(layer->node) == NN__READS_OUTPUT;
        nn__activation_backward(variant_of(layer->y_dtype), layer->node->activation,
                                sees_y ? layer->y : layer->x[0], layer->dy, layer->dx[0],
                                y_count(layer));
    }
}

void nn__flat_add(nn_dtype dtype, const void *a, const void *b, void *out, size_t size_bytes,
                  nn_activation activation) {
    const nn__point_kernels *point = variant_of(NN_DTYPE_F32)->point;
    const size_t count = size_bytes / element_bytes(dtype);
#pragma omp parallel for schedule(static)
    for (size_t s = 0; s < stretch_count(count); s++) {
        room a_space, b_space, sum_space;
        const size_t at = s * STRETCH, length = stretch_length(count, at);
        const float *left = values_at(dtype, a, at, length, a_space);
        const float *right = values_at(dtype, b, at, length, b_space);
        float *sum = target_at(dtype, out, at, sum_space);
        for (size_t i = 0; i < length; i++) {
            sum[i] = left[i] + right[i];
        }
        if (activation != NN_ACTIVATION_NONE) {
            point->activation_forward(activation, sum, sum, 0, length);
        }
        store(dtype, sum_space, out, at, length);
    }
}

/* ---- dropout and scale ----------------------------------------------------------------------- */

nn__dropout nn__dropout_of(const nn__layer *layer) {
    ns_rng rng = ns_rng_stream(*layer->step, (uint64_t)layer->index, "dropout");
    const double probability = (double)layer->node->value;
    return (nn__dropout){(uint32_t)ns_rng_next(&rng), (uint32_t)(probability * 4294967296.0),
                         (float)(1.0 / (1.0 - probability))};
}

static void drop(const nn__layer *layer, const void *in, void *out) {
    const nn__dropout dropout = nn__dropout_of(layer);
    const nn_dtype dtype = layer->y_dtype;
    const size_t count = y_count(layer);
#pragma omp parallel for schedule(static)
    for (size_t s = 0; s < stretch_count(count); s++) {
        room in_space, out_space;
        const size_t at = s * STRETCH, length = stretch_length(count, at);
        const float *from = values_at(dtype, in, at, length, in_space);
        float *to = target_at(dtype, out, at, out_space);
        for (size_t i = 0; i < length; i++) {
            to[i] =
                nn__dropout_keeps(&dropout, (uint32_t)(at + i)) ? from[i] * dropout.factor : 0.0F;
        }
        store(dtype, out_space, out, at, length);
    }
}

static void multiply(const nn__layer *layer, const void *in, void *out, float factor) {
    const nn_dtype dtype = layer->y_dtype;
    const size_t count = y_count(layer);
#pragma omp parallel for schedule(static)
    for (size_t s = 0; s < stretch_count(count); s++) {
        room in_space, out_space;
        const size_t at = s * STRETCH, length = stretch_length(count, at);
        const float *from = values_at(dtype, in, at, length, in_space);
        float *to = target_at(dtype, out, at, out_space);
        for (size_t i = 0; i < length; i++) {
            to[i] = from[i] * factor;
        }
        store(dtype, out_space, out, at, length);
    }
}

void nn__flat_dropout_forward(const nn__layer *layer) {
    if (layer->training) {
        drop(layer, layer->x[0], layer->y);
    } else {
        multiply(layer, layer->x[0], layer->y, 1.0F);
    }
}

void nn__flat_dropout_backward(const nn__layer *layer) {
    if (layer->dx[0] != NULL) {
        drop(layer, layer->dy, layer->dx[0]);
    }
}

void nn__flat_scale_forward(const nn__layer *layer) {
    multiply(layer, layer->x[0], layer->y, layer->node->value);
}

void nn__flat_scale_backward(const nn__layer *layer) {
    if (layer->dx[0] != NULL) {
        multiply(layer, layer->dy, layer->dx[0], layer->node->value);
    }
}

/* ---- small things ----------------------------------------------------------------------------- */

size_t nn__finite_count(const float *values, size_t count) {
    size_t i = 0;
    while (i < count && isfinite(values[i])) {
        i++;
    }
    return i;
}

void nn__running_update(const nn__layer *layer, const float *mean, const float *variance) {
    const float share = *layer->running_share, keep = 1.0F - share;
    const float sample_count =
        (float)layer->batch_size * (float)layer->in.height * (float)layer->in.width;
    const float unbias = sample_count > 1.0F ? sample_count / (sample_count - 1.0F) : 1.0F;
    for (size_t c = 0; c < layer->params.running; c++) {
        layer->running[0][c] = keep * layer->running[0][c] + share * mean[c];
        layer->running[1][c] = keep * layer->running[1][c] + share * unbias * variance[c];
    }
}
