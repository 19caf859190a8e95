// Gradient clipping on spikes: a gradient far larger than those before it is scaled down to the
// largest that would still have been usual (scaling as in Pascanu et al. 2013).
//
// What is usual is learned on the way: gradient norms vary by orders of magnitude between networks
// and along one training, so a fixed threshold would be either a second learning rate or no help.
// As in ZClip (Kumar et al. 2025) it is a mean plus so many standard deviations of the norms so
// far, both exponential moving averages; here of the norms' logarithms, which are spread evenly
// around their mean where norms have a long tail. What enters the statistics is the clipped norm,
// so that spikes do not make spikes usual, while a lasting rise is followed step by step.
//
// The standard deviation has a floor, so that in a very even training the ordinary is not clipped;
// and the first steps are only watched.

#include "nn/nn_internal.h"

#include <math.h>

enum {
    WINDOW_STEPS = 100,
    WATCH_STEPS = 20, // before the first clipping
};

#define DEVIATION_MIN 0.1 // of the logarithm: ten percent of the norm

static void learn(nn__clip *clip, double log_norm) {
    clip->count++;
    const double share = 1.0 / (double)(clip->count < WINDOW_STEPS ? clip->count : WINDOW_STEPS);
    const double away = log_norm - clip->mean;
    clip->mean += share * away; // the moving mean and variance of Finch 2009, "Incremental
    clip->variance = (1.0 - share) * (clip->variance + share * away * away); // calculation"
}

float nn__clip_scale(nn__clip *clip, double norm, float deviations) {
    if (deviations <= 0.0F || !(norm > 0.0)) {
        return 1.0F;
    }
    const double log_norm = log(norm);
    const double reach = (double)deviations * fmax(sqrt(clip->variance), DEVIATION_MIN);
    const double log_max = clip->mean + reach;
    if (clip->count < WATCH_STEPS || log_norm <= log_max) {
        learn(clip, log_norm);
        return 1.0F;
    }
    learn(clip, log_max);
    clip->clipped_count++;
    return (float)exp(log_max - log_norm);
}
