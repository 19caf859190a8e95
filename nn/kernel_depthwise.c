// Depthwise convolution, forward and both gradients, on all threads.
//
// oneDNN 2.6's is as fast as memory for 3x3, half that for 5x5, and has no kernel at all for the
// weights' gradient of 5x5: that goes through im2col and costs fifty times the forward. Here each
// pass reads its maps once and does nothing else that memory would notice.
//
// Threads share out chunks and images. The weights' gradient is summed over the batch in as many
// parts as there are threads where chunks alone would not keep them busy, and joined in their order.

#include <omp.h>
#include <string.h>

#include "nn/kernel.h"

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

/// Floats of one thread's ring and row of outputs.
static size_t work_count(const nn__depthwise_job *job, int lanes) {
    const size_t forward = (size_t)((job->out_width - 1) * job->stride + job->kernel);
    const size_t backward = (size_t)(job->width - 1 + job->kernel);
    const size_t columns = max_size((size_t)job->width, (size_t)job->out_width);
    return ((size_t)job->kernel * max_size(forward, backward) + columns) * (size_t)lanes;
}

static size_t sum_count(const nn__depthwise_job *job, int lanes) {
    return (size_t)(job->kernel * job->kernel + 1) * (size_t)lanes;
}

/// Parts of the batch of which the weights' gradient is summed apart.
static int part_count(const nn__depthwise_job *job, int thread_count) {
    return job->chunk_count >= 4 * thread_count ? 1 : thread_count;
}

size_t nn__depthwise_scratch_bytes(const nn__depthwise_job *job, int lanes, int thread_count) {
    const size_t sums = (size_t)part_count(job, thread_count) * (size_t)job->chunk_count;
    return sizeof(float) *
           ((size_t)thread_count * work_count(job, lanes) + sums * sum_count(job, lanes));
}

typedef void (*pass)(const nn__depthwise_job *job, int chunk, nn__span images, float *work);

/// One image of one chunk at a time.
static void run(const nn__variant *variant, const nn__depthwise_job *job, pass what) {
    const size_t work = work_count(job, variant->lanes);
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < job->image_count; n++) {
        for (int chunk = 0; chunk < job->chunk_count; chunk++) {
            what(job, chunk, (nn__span){n, n + 1},
                 job->scratch + (size_t)omp_get_thread_num() * work);
        }
    }
}

void nn__depthwise_forward(const nn__variant *variant, const nn__depthwise_job *job) {
    run(variant, job, variant->depthwise->forward);
}

void nn__depthwise_backward_data(const nn__variant *variant, const nn__depthwise_job *job) {
    run(variant, job, variant->depthwise->backward_data);
}

/// Adds up the parts of one chunk's sums and hands them out.
static void join(const nn__depthwise_job *job, int lanes, int parts, int chunk, float *sums) {
    const size_t count = sum_count(job, lanes), taps = count - (size_t)lanes;
    for (int part = 1; part < parts; part++) {
        for (size_t i = 0; i < count; i++) {
            sums[i] += sums[(size_t)part * count + i];
        }
    }
    memcpy(job->weights_gradient + (size_t)chunk * taps, sums, taps * sizeof *sums);
    if (job->bias_gradient != NULL) {
        memcpy(job->bias_gradient + (size_t)chunk * (size_t)lanes, sums + taps,
               (size_t)lanes * sizeof *sums);
    }
}

void nn__depthwise_backward_weights(const nn__variant *variant, const nn__depthwise_job *job) {
    const int lanes = variant->lanes, threads = omp_get_max_threads();
    const int parts = part_count(job, threads);
    const size_t work = work_count(job, lanes), count = sum_count(job, lanes);
    float *sums = job->scratch + (size_t)threads * work; // (chunks, parts, count)
#pragma omp parallel for collapse(2) schedule(static)
    for (int chunk = 0; chunk < job->chunk_count; chunk++) {
        for (int part = 0; part < parts; part++) {
            variant->depthwise->backward_weights(
                job, chunk, nn__span_share(job->image_count, parts, part),
                job->scratch + (size_t)omp_get_thread_num() * work,
                sums + ((size_t)chunk * (size_t)parts + (size_t)part) * count);
        }
    }
    for (int chunk = 0; chunk < job->chunk_count; chunk++) {
        join(job, lanes, parts, chunk, sums + (size_t)(chunk * parts) * count);
    }
}
