// Softmax cross-entropy with label smoothing (Szegedy et al. 2016), mean over the batch.
//
// With classes K, smoothing e and label t, the target is q_k = e / K, plus 1 - e at k = t, and
//
//      loss = -sum_k q_k log p_k,   p = softmax(logits),   d loss / d logit_k = p_k - q_k
//
// so one pass over a row yields both. A row costs K exponentials; at usual sizes the whole loss is
// some ten thousand of them, nothing beside one convolution. Rows are summed in order, so that the
// thread count does not matter.

#include <assert.h>
#include <math.h>

#include "nn/nn_internal.h"

/// log(sum exp(logit - max)); the gradient row is left holding exp(logit - max).
static float row_loss(const nn__loss *loss, int row) {
    const int classes = loss->class_count;
    const float *z = loss->logits + (size_t)row * (size_t)classes;
    float *g = loss->gradient + (size_t)row * (size_t)classes;
    float max = z[0], mean = 0.0F, sum = 0.0F;
    for (int k = 0; k < classes; k++) {
        max = z[k] > max ? z[k] : max;
    }
    for (int k = 0; k < classes; k++) {
        g[k] = expf(z[k] - max);
        sum += g[k];
        mean += (z[k] - max) / (float)classes;
    }
    assert(sum >= 1.0F || isnan(sum)); // the largest logit's share
    const int label = loss->labels[row];
    const float smooth = loss->smoothing;
    const float scale = 1.0F / (sum * (float)loss->batch_size);
    const float rest = smooth / ((float)classes * (float)loss->batch_size);
    for (int k = 0; k < classes; k++) {
        g[k] = g[k] * scale - rest;
    }
    g[label] -= (1.0F - smooth) / (float)loss->batch_size;
    return logf(sum) - (1.0F - smooth) * (z[label] - max) - smooth * mean;
}

float nn__loss_run(const nn__loss *loss) {
#pragma omp parallel for schedule(static)
    for (int row = 0; row < loss->batch_size; row++) {
        loss->row_loss[row] = row_loss(loss, row);
    }
    double sum = 0.0;
    for (int row = 0; row < loss->batch_size; row++) {
        sum += (double)loss->row_loss[row];
    }
    return (float)(sum / loss->batch_size);
}

float nn__loss_reference(const nn__loss *loss) {
    const int classes = loss->class_count;
    double total = 0.0;
    for (int row = 0; row < loss->batch_size; row++) {
        const float *z = loss->logits + (size_t)row * (size_t)classes;
        double max = (double)z[0], sum = 0.0;
        for (int k = 0; k < classes; k++) {
            max = fmax(max, (double)z[k]);
        }
        for (int k = 0; k < classes; k++) {
            sum += exp((double)z[k] - max);
        }
        for (int k = 0; k < classes; k++) {
            const double log_p = (double)z[k] - max - log(sum);
            const double target = (double)loss->smoothing / classes +
                                  (k == loss->labels[row] ? 1.0 - (double)loss->smoothing : 0.0);
            total -= target * log_p;
            loss->gradient[(size_t)row * (size_t)classes + (size_t)k] =
                (float)((exp(log_p) - target) / loss->batch_size);
        }
    }
    return (float)(total / loss->batch_size);
}
