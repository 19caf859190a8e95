// Training batch norm with its activation, a residual addition or a 2x2 pool: two passes over
// memory forward (sums, then y) and two backward (sums, then dx), on all threads.
//
// Nothing but a maximum's place (a byte) is kept from forward to backward: the activation's slope
// is found again from x. A pooled map is never written unpooled, nor is its gradient.
//
// Threads own whole chunks as long as every one gets as many: no thread waits for another, and the
// second pass finds of x what its cache held. The chunks that are left, fewer than the threads, are
// shared by images, their sums joined in the threads' order behind the only barrier.
//
// Bound by memory: forward moves x once or twice (the cache decides) and writes y; backward moves x
// and dy twice and writes dx, best over x, whose cache lines it has. Milliseconds against oneDNN
// 2.6's batch norm with ReLU, its max pool and its addition, 2 threads of a Zen 4 with AVX-512 and
// bf16, batch 128, out of caches swept before, dx over x, in brackets GB/s of each byte moved once:
//
//     batch norm of       and    f32 forward      backward         bf16 forward     backward
//     28 x 28 x 64               2.2 (23)  2.2    2.7 (28)  3.1    0.8 (32)  0.9    1.3 (30)  1.6
//     28 x 28 x 128       pool   3.2 (21)  8.5    4.1 (29)  7.8    1.9 (18)  3.5    2.6 (23)  4.8
//     14 x 14 x 128       add    1.5 (26)  1.7    1.0 (38)  1.2    0.8 (25)  0.8    0.6 (31)  0.8
//     14 x 14 x 256       pool   1.6 (22)  3.6    1.7 (35)  3.9    1.1 (16)  1.8    1.2 (25)  2.2
//     7 x 7 x 256                0.6 (23)  0.5    0.5 (42)  0.7    0.3 (24)  0.3    0.4 (27)  0.4
//                                (ours, then oneDNN's)

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "nn/kernel.h"

/// Two passes over a chunk, forward's or backward's.
typedef struct passes {
    void (*begin)(const nn__norm_job *job, const nn__variant *variant, int chunk,
                  nn__norm_factors *factors);
    void (*sum)(const nn__norm_job *job, int chunk, nn__span images,
                const nn__norm_factors *factors, double *sums);
    /// From the sums over the batch; `leads` in the one thread that may write to the job's arrays.
    void (*finish)(const nn__norm_job *job, const nn__variant *variant, int chunk,
                   const double *sums, bool leads, nn__norm_factors *factors);
    void (*apply)(const nn__norm_job *job, int chunk, nn__span images,
                  const nn__norm_factors *factors);
} passes;

static double value_count(const nn__norm_job *job) {
    return (double)job->image_count * (double)job->height * (double)job->width;
}

/* ---- forward --------------------------------------------------------------------------------- */

static float element_at(const nn__view *view, bool bf16, size_t i) {
    if (!bf16) {
        return ((const float *)view->data)[i];
    }
    const uint32_t bits = (uint32_t)((const uint16_t *)view->data)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/// A guess of the mean, from a few pixels all over the first image.
static void forward_begin(const nn__norm_job *job, const nn__variant *variant, int chunk,
                          nn__norm_factors *factors) {
    enum { GUESSES = 16 };
    const size_t pixels = (size_t)job->height * (size_t)job->width;
    for (int lane = 0; lane < variant->lanes; lane++) {
        float sum = 0.0F;
        for (size_t k = 0; k < GUESSES; k++) {
            const size_t pixel = pixels * k / GUESSES;
            sum += element_at(&job->x, variant->bf16,
                              (size_t)chunk * job->x.chunk + pixel * job->x.pixel + (size_t)lane);
        }
        factors->mean[lane] = sum / (float)GUESSES;
    }
}

/// z = scale (x - mean) / deviation + shift.
static void normalise(const nn__norm_job *job, const nn__variant *variant, int chunk, int lane,
                      double variance, nn__norm_factors *factors) {
    const int channel = chunk * variant->lanes + lane;
    factors->scale[lane] =
        (float)((double)job->scale[channel] / sqrt(variance + (double)job->epsilon));
    factors->shift[lane] = job->shift[channel];
}

static void forward_finish(const nn__norm_job *job, const nn__variant *variant, int chunk,
                           const double *sums, bool leads, nn__norm_factors *factors) {
    for (int lane = 0; lane < variant->lanes; lane++) {
        const double distance = sums[lane] / value_count(job);
        const double mean = (double)factors->mean[lane] + distance;
        const double square = sums[variant->lanes + lane] / value_count(job);
        const double spread = square - distance * distance;
        const double variance = spread < 0.0 ? 0.0 : spread; // a NaN stays one
        factors->mean[lane] = (float)mean;
        normalise(job, variant, chunk, lane, variance, factors);
        if (leads) {
            job->mean[chunk * variant->lanes + lane] = (float)mean;
            job->variance[chunk * variant->lanes + lane] = (float)variance;
        }
    }
}

/* ---- backward -------------------------------------------------------------------------------- */

static void backward_begin(const nn__norm_job *job, const nn__variant *variant, int chunk,
                           nn__norm_factors *factors) {
    for (int lane = 0; lane < variant->lanes; lane++) {
        const int channel = chunk * variant->lanes + lane;
        factors->mean[lane] = job->mean[channel];
        normalise(job, variant, chunk, lane, (double)job->variance[channel], factors);
    }
}

/// With x' the normalised input and m the values of a channel (Ioffe & Szegedy 2015):
/// dscale = sum g x', dshift = sum g, dx = scale / deviation (g - dshift / m - x' dscale / m).
static void backward_finish(const nn__norm_job *job, const nn__variant *variant, int chunk,
                            const double *sums, bool leads, nn__norm_factors *factors) {
    for (int lane = 0; lane < variant->lanes; lane++) {
        const int channel = chunk * variant->lanes + lane;
        const double inverse = 1.0 / sqrt((double)job->variance[channel] + (double)job->epsilon);
        const double gain = (double)job->scale[channel] * inverse;
        const double dshift = sums[lane], dscale = sums[variant->lanes + lane] * inverse;
        factors->gain[lane] = (float)gain;
        factors->level[lane] = (float)(-gain * dshift / value_count(job));
        factors->slope[lane] = (float)(-gain * inverse * dscale / value_count(job));
        if (leads) {
            job->scale_gradient[channel] = (float)dscale;
            job->shift_gradient[channel] = (float)dshift;
        }
    }
}

/* ---- sharing out ----------------------------------------------------------------------------- */

/// Chunks that one thread does alone; thread by thread, from the first.
static int owned_count(int chunk_count, int thread_count) {
    return chunk_count / thread_count * thread_count;
}

size_t nn__norm_scratch_bytes(const nn__norm_job *job, int lanes, int thread_count) {
    const int rest = job->chunk_count - owned_count(job->chunk_count, thread_count);
    return (size_t)rest * (size_t)thread_count * 2 * (size_t)lanes * sizeof(double);
}

static void run_owned(const nn__variant *variant, const nn__norm_job *job, const passes *do_,
                      nn__span chunks) {
    const nn__span images = {0, job->image_count};
    for (int chunk = chunks.first; chunk < chunks.end; chunk++) {
        nn__norm_factors factors = {0};
        double sums[2 * NN__LANES_MAX] = {0};
        do_->begin(job, variant, chunk, &factors);
        do_->sum(job, chunk, images, &factors, sums);
        do_->finish(job, variant, chunk, sums, true, &factors);
        if (do_->apply != NULL) {
            do_->apply(job, chunk, images, &factors);
        }
    }
}

/// Sums of chunk `chunk` by thread `thread`, in scratch.
static double *partial_sums(const nn__variant *variant, const nn__norm_job *job, int thread_count,
                            int chunk, int thread) {
    const int rest = chunk - owned_count(job->chunk_count, thread_count);
    return job->scratch + (size_t)(rest * thread_count + thread) * 2 * (size_t)variant->lanes;
}

static void sum_shared(const nn__variant *variant, const nn__norm_job *job, const passes *do_,
                       int thread_count, int thread, int chunk) {
    double *sums = partial_sums(variant, job, thread_count, chunk, thread);
    nn__norm_factors factors = {0};
    memset(sums, 0, 2 * (size_t)variant->lanes * sizeof *sums);
    do_->begin(job, variant, chunk, &factors);
    do_->sum(job, chunk, nn__span_share(job->image_count, thread_count, thread), &factors, sums);
}

static void apply_shared(const nn__variant *variant, const nn__norm_job *job, const passes *do_,
                         int thread_count, int thread, int chunk) {
    double sums[2 * NN__LANES_MAX] = {0};
    for (int t = 0; t < thread_count; t++) {
        const double *part = partial_sums(variant, job, thread_count, chunk, t);
        for (int i = 0; i < 2 * variant->lanes; i++) {
            sums[i] += part[i];
        }
    }
    nn__norm_factors factors = {0};
    do_->begin(job, variant, chunk, &factors);
    do_->finish(job, variant, chunk, sums, thread == 0, &factors);
    if (do_->apply != NULL) {
        do_->apply(job, chunk, nn__span_share(job->image_count, thread_count, thread), &factors);
    }
}

static void run(const nn__variant *variant, const nn__norm_job *job, const passes *do_) {
#pragma omp parallel
    {
        const int thread_count = omp_get_num_threads(), thread = omp_get_thread_num();
        const int owned = owned_count(job->chunk_count, thread_count);
        run_owned(variant, job, do_, nn__span_share(owned, thread_count, thread));
        if (owned < job->chunk_count) {
            for (int chunk = owned; chunk < job->chunk_count; chunk++) {
                sum_shared(variant, job, do_, thread_count, thread, chunk);
            }
#pragma omp barrier
            for (int chunk = job->chunk_count - 1; chunk >= owned; chunk--) {
                apply_shared(variant, job, do_, thread_count, thread, chunk);
            }
        }
    }
}

void nn__norm_forward(const nn__variant *variant, const nn__norm_job *job) {
    const passes forward = {forward_begin, variant->norm->forward_sums, forward_finish,
                            variant->norm->forward_apply};
    run(variant, job, &forward);
}

void nn__norm_backward(const nn__variant *variant, const nn__norm_job *job) {
    // Unpooled, dx may be dy; a pooled dy is smaller.
    assert(!nn__norm_halves(job->join) || job->dx.data != job->dy.data);
    const passes backward = {backward_begin, variant->norm->backward_sums, backward_finish,
                             job->dx.data == NULL ? NULL : variant->norm->backward_apply};
    run(variant, job, &backward);
}
