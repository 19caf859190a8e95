// Activations by themselves, and maps times a gate (N, C, 1, 1), on all threads.
//
// Bound by memory but for SiLU and GELU in bf16, whose exponentials cost about as much. Threads
// take equal contiguous parts.

#include <omp.h>

#include "nn/kernel.h"

#define PART_ELEMENTS ((size_t)4096) // of what a thread takes at least

/// Elements of part `which` of `parts`, in whole PART_ELEMENTS but for the end.
static size_t part_begin(size_t count, int parts, int which) {
    const size_t units = (count + PART_ELEMENTS - 1) / PART_ELEMENTS;
    const size_t begin = units * (size_t)which / (size_t)parts * PART_ELEMENTS;
    return begin < count ? begin : count;
}

void nn__activation_forward(const nn__variant *variant, nn_activation activation, const void *x,
                            void *y, size_t count) {
#pragma omp parallel
    {
        const int parts = omp_get_num_threads(), which = omp_get_thread_num();
        const size_t first = part_begin(count, parts, which);
        const size_t end = part_begin(count, parts, which + 1);
        variant->point->activation_forward(activation, x, y, first, end - first);
    }
}

void nn__activation_backward(const nn__variant *variant, nn_activation activation, const void *seen,
                             const void *dy, void *dx, size_t count) {
#pragma omp parallel
    {
        const int parts = omp_get_num_threads(), which = omp_get_thread_num();
        const size_t first = part_begin(count, parts, which);
        const size_t end = part_begin(count, parts, which + 1);
        variant->point->activation_backward(activation, seen, dy, dx, first, end - first);
    }
}

void nn__gate_forward(const nn__variant *variant, const nn__gate_job *job) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < job->image_count; n++) {
        for (int chunk = 0; chunk < job->chunk_count; chunk++) {
            variant->point->gate_forward(job, n, chunk);
        }
    }
}

void nn__gate_backward(const nn__variant *variant, const nn__gate_job *job) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < job->image_count; n++) {
        for (int chunk = 0; chunk < job->chunk_count; chunk++) {
            variant->point->gate_backward(job, n, chunk);
        }
    }
}
