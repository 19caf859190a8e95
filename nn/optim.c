// The optimiser: stochastic gradient descent with Nesterov momentum (Sutskever et al. 2013, in the
// form every framework uses) and decoupled weight decay (Loshchilov & Hutter 2019):
//
//   v <- momentum v + g
//   w <- (1 - rate decay) w - rate (g + momentum v)
//
// Decay acts on weights only: shrinking a bias or the scale of a batch norm costs accuracy and
// regularises nothing. Because it does not pass through v, it must be 1 / (1 - momentum) times what
// a coupled L2 penalty would be for the same pull: 5e-3 here is 5e-4 there at momentum 0.9.
//
// The rate is a triangle over the budget: up to its peak, then down to zero, so that every budget
// ends with the small steps that settle the weights.
//
// All parameters lie in three flat arrays, so a step is one sweep, whatever the graph. It does 6
// FLOPs on 20 bytes a value and is therefore bound by memory bandwidth: 28 GB/s measured on one core
// where a plain a = b + c reaches 44 (2 million values, 1.5 ms). That is a thousandth of a training
// step, so nothing wider or more fused is worth its lines.

#include "nn/nn_internal.h"

#include <assert.h>
#include <math.h>

nn_recipe nn_recipe_default(void) {
    return (nn_recipe){.batch_size = 256,
                       .rate_peak = 0.4F,
                       .momentum = 0.9F,
                       .weight_decay = 5e-3F,
                       .label_smoothing = 0.1F,
                       .warmup_fraction = 0.25F,
                       .augment = {.mirror = true, .shift_px = 2, .cutout_px = 8}};
}

float nn_rate_at(const nn_recipe *recipe, double fraction) {
    const double warmup = (double)recipe->warmup_fraction;
    const double height = fraction < warmup ? fraction / warmup : (1.0 - fraction) / (1.0 - warmup);
    return (float)((double)recipe->rate_peak * fmin(fmax(height, 0.0), 1.0));
}

static void update_block(float *restrict value, const float *restrict gradient,
                         float *restrict momentum, float keep, float rate, float mu) {
    for (int i = 0; i < NN__BLOCK; i++) {
        const float velocity = mu * momentum[i] + gradient[i];
        momentum[i] = velocity;
        value[i] = keep * value[i] - rate * (gradient[i] + mu * velocity);
    }
}

void nn__sgd_step(const nn_params *params, const nn__sgd *sgd, int thread_count) {
    assert(params->count % NN__BLOCK == 0);
    const float keep = 1.0F - sgd->rate * sgd->weight_decay;
    const size_t block_count = params->count / NN__BLOCK;
#pragma omp parallel for schedule(static) num_threads(thread_count)
    for (size_t block = 0; block < block_count; block++) {
        const size_t at = block * NN__BLOCK;
        update_block(params->value + at, params->gradient + at, params->momentum + at,
                     params->decay[block] ? keep : 1.0F, sgd->rate, sgd->momentum);
    }
}
