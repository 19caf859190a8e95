// What an image of each label weighs in the loss, where the labels are unbalanced.
//
// With n images of a label its weight is in proportion to
//
//      root         1 / sqrt(n): half-way, in ratios, between no weights and equal labels (as
//                   Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining",
//                   section 2.2, do by sampling)
//      effective    (1 - b) / (1 - b^n), b = 0.999: the inverse of the effective number of images
//                   (Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples",
//                   section 3): 1 / n for few, and no less for a thousand more of many
//
// and scaled so that the mean over all training images is 1: the learning rate then means what it
// means without weights. Labels without images get 1, which nothing reads.

#include "nn/nn_internal.h"

#include <math.h>

#define EFFECTIVE_BETA 0.999

static double raw_weight(nn_balance balance, double count) {
    return balance == NN_BALANCE_ROOT ? 1 / sqrt(count)
                                      : (1 - EFFECTIVE_BETA) / (1 - pow(EFFECTIVE_BETA, count));
}

bool nn__balance_weighs(nn_balance balance) {
    return balance == NN_BALANCE_ROOT || balance == NN_BALANCE_EFFECTIVE;
}

void nn__class_weights(nn_balance balance, const size_t *counts, int label_count, float *out) {
    double image_count = 0;
    double sum = 0; // of the weights of all images
    for (int i = 0; i < label_count; i++) {
        const double count = (double)counts[i];
        image_count += count;
        sum += count > 0 ? count * raw_weight(balance, count) : 0;
    }
    for (int i = 0; i < label_count; i++) {
        const double weight = counts[i] > 0 ? raw_weight(balance, (double)counts[i]) : 0;
        out[i] = counts[i] > 0 ? (float)(weight * image_count / sum) : 1.0F;
    }
}
