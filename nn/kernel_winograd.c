// Winograd's convolutions on all threads: scratch divided, work shared out by tiles. A pass is two or
// three parallel regions: weights are transformed by all before any tile is multiplied.

#include "nn/kernel_winograd.h"

#include <omp.h>

#if defined(__x86_64__)

bool nn__winograd_available(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bf16");
}

static size_t weights_bytes(const nn__winograd *w) {
    return 16 * (size_t)w->in * (size_t)w->out * sizeof(uint16_t);
}

static nn__winograd_part part_of(const nn__winograd *w, int part) {
    return (nn__winograd_part){w->image_count, w->in, w->out,         w->height,
                               w->width,       part,  w->thread_count};
}

/// A place behind `bytes` of scratch.
static void *behind(void *scratch, size_t bytes) {
    return (char *)scratch + bytes;
}

size_t nn__winograd_forward_scratch_bytes(const nn__winograd *w) {
    return weights_bytes(w) + (size_t)w->thread_count * nn__winograd_product_scratch_bytes(w->in);
}

size_t nn__winograd_backward_data_scratch_bytes(const nn__winograd *w) {
    return weights_bytes(w) + (size_t)w->thread_count * nn__winograd_product_scratch_bytes(w->out);
}

size_t nn__winograd_backward_weights_scratch_bytes(const nn__winograd *w) {
    return (size_t)w->thread_count *
           (nn__winograd_sums_count(w) * sizeof(float) + nn__winograd_sums_scratch_bytes(w));
}

void nn__winograd_forward(const nn__winograd *w, const uint16_t *x, const float *weights,
                          uint16_t *y, void *scratch) {
    const size_t own_bytes = nn__winograd_product_scratch_bytes(w->in);
#pragma omp parallel for schedule(static) num_threads(w->thread_count)
    for (int i = 0; i < w->thread_count; i++) {
        const nn__winograd_part part = part_of(w, i);
        nn__winograd_weights(&part, weights, scratch);
    }
#pragma omp parallel for schedule(static) num_threads(w->thread_count)
    for (int i = 0; i < w->thread_count; i++) {
        const nn__winograd_part part = part_of(w, i);
        nn__winograd_product(&part, x, scratch, y,
                             behind(scratch, weights_bytes(w) + (size_t)i * own_bytes));
    }
}

void nn__winograd_backward_data(const nn__winograd *w, const uint16_t *dy, const float *weights,
                                uint16_t *dx, void *scratch) {
    const size_t own_bytes = nn__winograd_product_scratch_bytes(w->out);
#pragma omp parallel for schedule(static) num_threads(w->thread_count)
    for (int i = 0; i < w->thread_count; i++) {
        const nn__winograd_part part = part_of(w, i);
        nn__winograd_weights_turned(&part, weights, scratch);
    }
#pragma omp parallel for schedule(static) num_threads(w->thread_count)
    for (int i = 0; i < w->thread_count; i++) {
        nn__winograd_part part = part_of(w, i);
        part.in = w->out;
        part.out = w->in;
        nn__winograd_product(&part, dy, scratch, dx,
                             behind(scratch, weights_bytes(w) + (size_t)i * own_bytes));
    }
}

void nn__winograd_backward_weights(const nn__winograd *w, const uint16_t *x, const uint16_t *dy,
                                   float *gradient, void *scratch) {
    const size_t sums_count = nn__winograd_sums_count(w);
    const size_t own_bytes = nn__winograd_sums_scratch_bytes(w);
    float *sums = scratch;
    char *tiles = behind(scratch, (size_t)w->thread_count * sums_count * sizeof(float));
#pragma omp parallel for schedule(static) num_threads(w->thread_count)
    for (int i = 0; i < w->thread_count; i++) {
        const nn__winograd_part part = part_of(w, i);
        nn__winograd_sums(&part, x, dy, sums + (size_t)i * sums_count,
                          tiles + (size_t)i * own_bytes);
    }
#pragma omp parallel for schedule(static) num_threads(w->thread_count)
    for (int i = 0; i < w->thread_count; i++) {
        const nn__winograd_part part = part_of(w, i);
        nn__winograd_gradient(&part, sums, w->thread_count, gradient);
    }
}

#else

bool nn__winograd_available(void) {
    return false;
}

#endif
