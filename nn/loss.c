// Softmax cross-entropy with label smoothing (Szegedy et al. 2016) and mixtures of two images (mixup,
// Zhang et al. 2018), mean over the batch.
//
// With classes K, smoothing e and labels t and u, of which t has the share l, the target is
// q_k = e / K, plus (1 - e) l at k = t and (1 - e) (1 - l) at k = u; l = 1 without mixup. Then
//
//      loss = -sum_k q_k log p_k,   p = softmax(logits),   d loss / d logit_k = p_k - q_k
//
// which is l times the loss of t plus 1 - l times that of u. With class weights w these two count w_t
// and w_u times: the target is then the sum of theirs, W = l w_t + (1 - l) w_u instead of 1 in all,
// and d loss / d logit_k = W p_k - q_k.
// One pass over a row yields both. A row costs K exponentials; at usual sizes the whole loss is
// some ten thousand of them, nothing beside one convolution. Rows are summed in order, so that the
// thread count does not matter.
//
// Where a sample may have any number of classes, targets t_k say of each whether it is there, and each
// is a question of its own: binary cross-entropy, summed over the classes, so that the gradient of a
// logit has the scale that it has above. Smoothing spreads over the two answers: an even chance stays
// the border between them.
//
//      q_k = (1 - e) t_k + e / 2,   p_k = 1 / (1 + exp(-z_k)),   d loss / d z_k = p_k - q_k
//      loss = -sum_k q_k log p_k + (1 - q_k) log(1 - p_k) = sum_k max(z_k, 0) - q_k z_k + log(1 + exp(-|z_k|))
//
// The last form neither overflows nor loses what is small.

#include <assert.h>
#include <math.h>

#include "nn/nn_internal.h"

/// What `row` is trained for: labels t and u, what of their targets is above the others', and the
/// sum of all targets.
typedef struct goal {
    int t, u;
    float t_share, u_share, sum;
} goal;

static float weight_of(const nn__loss *loss, int label) {
    return loss->class_weights != NULL ? loss->class_weights[label] : 1.0F;
}

static goal goal_of(const nn__loss *loss, int row) {
    const float share = 1.0F - loss->smoothing;
    const int t = loss->labels[row];
    if (loss->lambdas == NULL) {
        const float weight = weight_of(loss, t);
        return (goal){t, t, share * weight, 0.0F, weight};
    }
    const int u = loss->partner_labels[row];
    const float t_part = loss->lambdas[row] * weight_of(loss, t);
    const float u_part = (1.0F - loss->lambdas[row]) * weight_of(loss, u);
    const float sum = loss->class_weights != NULL ? t_part + u_part : 1.0F;
    return (goal){t, u, share * t_part, share * u_part, sum};
}

/// The row's loss; the gradient row is filled.
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
    const goal q = goal_of(loss, row);
    const float smooth = loss->smoothing;
    const float scale = q.sum / (sum * (float)loss->batch_size);
    const float rest = q.sum * smooth / ((float)classes * (float)loss->batch_size);
    for (int k = 0; k < classes; k++) {
        g[k] = g[k] * scale - rest;
    }
    g[q.t] -= q.t_share / (float)loss->batch_size;
    g[q.u] -= q.u_share / (float)loss->batch_size;
    return q.sum * logf(sum) - q.t_share * (z[q.t] - max) - q.u_share * (z[q.u] - max) -
           q.sum * smooth * mean;
}

/// What class `k` of `row` is trained towards.
static float target_of(const nn__loss *loss, size_t cell) {
    return (1.0F - loss->smoothing) * loss->targets[cell] + 0.5F * loss->smoothing;
}

/// The same for classes of their own.
static float row_loss_each(const nn__loss *loss, int row) {
    const size_t first = (size_t)row * (size_t)loss->class_count;
    const float scale = 1.0F / (float)loss->batch_size;
    float sum = 0.0F;
    for (size_t cell = first; cell < first + (size_t)loss->class_count; cell++) {
        const float z = loss->logits[cell];
        const float q = target_of(loss, cell);
        const float small = expf(-fabsf(z));
        const float p = (z < 0.0F ? small : 1.0F) / (1.0F + small);
        loss->gradient[cell] = (p - q) * scale;
        sum += (z > 0.0F ? z : 0.0F) - q * z + log1pf(small);
    }
    return sum;
}

float nn__loss_run(const nn__loss *loss) {
#pragma omp parallel for schedule(static)
    for (int row = 0; row < loss->batch_size; row++) {
        loss->row_loss[row] =
            loss->targets != NULL ? row_loss_each(loss, row) : row_loss(loss, row);
    }
    double sum = 0.0;
    for (int row = 0; row < loss->batch_size; row++) {
        sum += (double)loss->row_loss[row];
    }
    return (float)(sum / loss->batch_size);
}

static float reference_each(const nn__loss *loss) {
    const size_t cell_count = (size_t)loss->batch_size * (size_t)loss->class_count;
    double total = 0.0;
    for (size_t cell = 0; cell < cell_count; cell++) {
        const double z = (double)loss->logits[cell];
        const double q = (double)target_of(loss, cell);
        const double log_yes = z < 0 ? z - log1p(exp(z)) : -log1p(exp(-z));
        const double log_no = log_yes - z;
        total -= q * log_yes + (1.0 - q) * log_no;
        loss->gradient[cell] = (float)((exp(log_yes) - q) / loss->batch_size);
    }
    return (float)(total / loss->batch_size);
}

float nn__loss_reference(const nn__loss *loss) {
    if (loss->targets != NULL) {
        return reference_each(loss);
    }
    const int classes = loss->class_count;
    double total = 0.0;
    for (int row = 0; row < loss->batch_size; row++) {
        const float *z = loss->logits + (size_t)row * (size_t)classes;
        const goal q = goal_of(loss, row);
        double max = (double)z[0], sum = 0.0;
        for (int k = 0; k < classes; k++) {
            max = fmax(max, (double)z[k]);
        }
        for (int k = 0; k < classes; k++) {
            sum += exp((double)z[k] - max);
        }
        for (int k = 0; k < classes; k++) {
            const double log_p = (double)z[k] - max - log(sum);
            const double target = (double)q.sum * (double)loss->smoothing / classes +
                                  (k == q.t ? (double)q.t_share : 0.0) +
                                  (k == q.u ? (double)q.u_share : 0.0);
            total -= target * log_p;
            loss->gradient[(size_t)row * (size_t)classes + (size_t)k] =
                (float)(((double)q.sum * exp(log_p) - target) / loss->batch_size);
        }
    }
    return (float)(total / loss->batch_size);
}
