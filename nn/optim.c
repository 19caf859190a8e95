// The optimiser: stochastic gradient descent with Nesterov momentum (Sutskever et al. 2013, in the
// form every framework uses) and decoupled weight decay (Loshchilov & Hutter 2019):
//
//   v <- momentum v + g
//   w <- (1 - rate decay) w - rate (g + momentum v)
//
// There are two groups of parameters. Decay acts on weights only: shrinking a bias or the scale of
// a batch norm costs accuracy and regularises nothing. Because it does not pass through v, it must
// be 1 / (1 - momentum) times what a coupled L2 penalty would be for the same pull: 5e-3 here is
// 5e-4 there at momentum 0.9. Biases and batch norm have a rate of their own, a multiple of the
// weights' (Jordan 2024, "94 % on CIFAR-10 in 3.29 seconds", takes 64 for the shifts of its norms).
//
// The same sweep moves the average of the weights (nn/average.c) and looks whether all weights are
// numbers. All parameters lie in flat arrays, so a step is one sweep, whatever the graph. It does 6
// FLOPs on 20 bytes a value (with an average 8 on 28) and is therefore bound by memory bandwidth, a
// small part of a training step; `bench train` says which. Denormals are flushed meanwhile, on every
// thread: the momentum of what no longer gets a gradient would
// otherwise fade through them, a hundred times slower.

#include "nn/nn_internal.h"

#include <assert.h>
#include <math.h>

enum { NORM_PART_COUNT = 64 }; // partial sums of the gradient's norm, whatever the thread count

static void update_block(float *restrict value, const float *restrict gradient,
                         float *restrict momentum, float keep, float rate, const nn__sgd *sgd) {
    const float mu = sgd->momentum, scale = sgd->gradient_scale;
    for (int i = 0; i < NN__BLOCK; i++) {
        const float g = scale * gradient[i];
        const float velocity = mu * momentum[i] + g;
        momentum[i] = velocity;
        value[i] = keep * value[i] - rate * (g + mu * velocity);
    }
}

static void average_block(float *restrict average, float *restrict value, const nn__sgd *sgd) {
    for (int i = 0; i < NN__BLOCK; i++) {
        average[i] += sgd->average_share * (value[i] - average[i]);
    }
    for (int i = 0; i < NN__BLOCK && sgd->returns; i++) {
        value[i] = average[i];
    }
}

/// 0 times a number is 0; 0 times infinity or NaN is NaN.
static bool block_is_finite(const float *value) {
    float sum[4] = {0};
    for (int i = 0; i < NN__BLOCK; i++) {
        sum[i % 4] += 0.0F * value[i];
    }
    return sum[0] + sum[1] + sum[2] + sum[3] == 0.0F;
}

bool nn__sgd_step(const nn_params *params, const nn__sgd *sgd, int thread_count) {
    assert(params->count % NN__BLOCK == 0);
    assert(sgd->average_share == 0.0F || params->average != NULL);
    const float keep = 1.0F - sgd->rate * sgd->weight_decay;
    const float norm_rate = sgd->rate * sgd->norm_rate_factor;
    const size_t block_count = params->count / NN__BLOCK;
    bool broken = false;
    nn__team team;
    nn__team_enter(&team, thread_count, false);
#pragma omp parallel for schedule(static) num_threads(thread_count) reduction(|| : broken)
    for (size_t block = 0; block < block_count; block++) {
        const size_t at = block * NN__BLOCK;
        const bool weight = params->decay[block];
        update_block(params->value + at, params->gradient + at, params->momentum + at,
                     weight ? keep : 1.0F, weight ? sgd->rate : norm_rate, sgd);
        if (sgd->average_share > 0.0F) {
            average_block(params->average + at, params->value + at, sgd);
        }
        broken = broken || !block_is_finite(params->value + at);
    }
    nn__team_leave(&team);
    return !broken;
}

/// Of the blocks from `first` to before `end`. In double precision no square overflows.
static double sum_of_squares(const float *gradient, size_t first, size_t end) {
    double lane[NN__BLOCK] = {0};
    for (size_t block = first; block < end; block++) {
        for (int i = 0; i < NN__BLOCK; i++) {
            const double g = (double)gradient[block * NN__BLOCK + (size_t)i];
            lane[i] += g * g;
        }
    }
    double sum = 0;
    for (int i = 0; i < NN__BLOCK; i++) {
        sum += lane[i];
    }
    return sum;
}

double nn__gradient_norm(const nn_params *params, int thread_count) {
    double part[NORM_PART_COUNT];
    const size_t block_count = params->count / NN__BLOCK;
#pragma omp parallel for schedule(static) num_threads(thread_count)
    for (size_t i = 0; i < NORM_PART_COUNT; i++) {
        part[i] = sum_of_squares(params->gradient, i * block_count / NORM_PART_COUNT,
                                 (i + 1) * block_count / NORM_PART_COUNT);
    }
    double sum = 0;
    for (int i = 0; i < NORM_PART_COUNT; i++) {
        sum += part[i];
    }
    return sqrt(sum);
}
