// Averaged weights: what a step adds to the average, and which average becomes the model.
//
// EMA. With a constant decay, a window of so many steps is short for a long training and longer
// than a short one. So the window grows with the training: the average after step t is
//
//   a_t = b_t a_{t-1} + (1 - b_t) w_t,   b_t = (1 - 1/t)^(1/window)
//
// which weighs w_s by s^(1/window - 1): a power function of the fraction of the training so far,
// whatever its length (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of
// Diffusion Models", section 3.1; their gamma + 1 is 1/window here). The mean age of what it holds
// is window / (1 + window) of the training so far. b_1 = 0: it warms up by itself, and the first
// weights, drawn at random, leave no trace.
//
// Lookahead (Zhang et al. 2019) keeps slow weights and sets the fast ones back to them every few
// steps, in the form of airbench94 (Jordan 2024): every 5 steps
//
//   slow <- d slow + (1 - d) fast,   fast <- slow,   d = 0.95^5 f^3
//
// at fraction f of the budget, so that early on, when the weights still travel far, nothing is held
// back. Before the first such step, slow is fast; and where training ends between two, slow moves
// once more, by as many steps' share, so that none is lost.
//
// Both happen inside the optimiser's sweep; this file only says with which share.

#include "nn/nn_internal.h"

#include <math.h>

#define LOOKAHEAD_STEPS 5
#define LOOKAHEAD_DECAY 0.95 // a step

static float lookahead_share(int64_t step_count, double fraction) {
    return (float)(1.0 - pow(LOOKAHEAD_DECAY, (double)step_count) * fraction * fraction * fraction);
}

nn__average_step nn__average_at(const nn_recipe *recipe, int64_t step, double fraction) {
    switch (recipe->average) {
    case NN_AVERAGE_EMA: {
        const double keep = pow(1.0 - 1.0 / (double)step, 1.0 / (double)recipe->average_window);
        return (nn__average_step){.share = (float)(1.0 - keep)};
    }
    case NN_AVERAGE_LOOKAHEAD: {
        const bool due = step % LOOKAHEAD_STEPS == 0;
        const float share = due ? lookahead_share(LOOKAHEAD_STEPS, fraction) : 0.0F;
        return (nn__average_step){.share = step < LOOKAHEAD_STEPS ? 1.0F : share, .returns = due};
    }
    case NN_AVERAGE_NONE:
        break;
    }
    return (nn__average_step){0};
}

float nn__average_rest(const nn_recipe *recipe, int64_t step, double fraction) {
    const int64_t step_count = step % LOOKAHEAD_STEPS;
    return recipe->average == NN_AVERAGE_LOOKAHEAD && step_count > 0
               ? lookahead_share(step_count, fraction)
               : 0.0F;
}
