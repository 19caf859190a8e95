// Elementwise ops as flat loops: they see arrays, not shapes, so they serve every layout, blocked
// ones with their zero padding included (each maps 0 to 0).
//
// All are bound by memory: one or two streams in, one out. Threads take equal contiguous parts, so
// that a part that one thread wrote is read by the same thread in the next layer, from its cache.

#include "nn/nn_internal.h"

#include <math.h>

static size_t y_count(const nn__layer *layer) {
    return layer->y_bytes / sizeof(float);
}

static void activate(nn_activation activation, const float *x, float *y, size_t count) {
    if (activation != NN_ACTIVATION_RELU) {
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < count; i++) {
            y[i] = nn__activate(activation, x[i]);
        }
        return;
    }
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        y[i] = x[i] < 0.0F ? 0.0F : x[i]; // a NaN stays one
    }
}

void nn__flat_activation_forward(const nn__layer *layer) {
    activate(layer->node->activation, layer->x[0], layer->y, y_count(layer));
}

void nn__flat_activation_backward(const nn__layer *layer) {
    const nn_activation activation = layer->node->activation;
    const size_t count = y_count(layer);
    const float *restrict x = layer->x[0];
    const float *restrict y = layer->y;
    const float *restrict dy = layer->dy;
    float *restrict dx = layer->dx[0];
    if (dx == NULL) {
        return;
    }
    if (activation != NN_ACTIVATION_RELU) {
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < count; i++) {
            dx[i] = dy[i] * nn__activation_slope(activation, x[i], y[i]);
        }
        return;
    }
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        dx[i] = y[i] > 0.0F ? dy[i] : 0.0F;
    }
}

void nn__flat_add(const float *a, const float *b, float *out, size_t count,
                  nn_activation activation) {
    const float floor = activation == NN_ACTIVATION_RELU ? 0.0F : -__builtin_inff();
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        const float sum = a[i] + b[i];
        out[i] = sum < floor ? floor : sum; // a NaN stays one
    }
    if (activation != NN_ACTIVATION_NONE && activation != NN_ACTIVATION_RELU) {
        activate(activation, out, out, count);
    }
}

nn__dropout nn__dropout_of(const nn__layer *layer) {
    ns_rng rng = ns_rng_stream(*layer->step, (uint64_t)layer->index, "dropout");
    const double probability = (double)layer->node->value;
    return (nn__dropout){(uint32_t)ns_rng_next(&rng), (uint32_t)(probability * 4294967296.0),
                         (float)(1.0 / (1.0 - probability))};
}

static void drop(const nn__layer *layer, const float *restrict in, float *restrict out) {
    const nn__dropout dropout = nn__dropout_of(layer);
    const size_t count = y_count(layer);
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        out[i] = nn__dropout_keeps(&dropout, (uint32_t)i) ? in[i] * dropout.factor : 0.0F;
    }
}

static void multiply(const nn__layer *layer, const float *restrict in, float *restrict out,
                     float factor) {
    const size_t count = y_count(layer);
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        out[i] = in[i] * factor;
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
