// How good is a classifier? Pure functions of predicted probabilities and true labels.
//
// The definitions are scikit-learn's, so that figures can be checked against it: precision, recall
// and F1 from the confusion matrix with 0 for what is undefined; the area under the ROC curve as
// Mann-Whitney's U with mid-ranks for equal scores (Fawcett 2006); log loss with p clipped at
// 1e-15. A mean over no images is NaN. A probability that is itself NaN is never counted in a
// model's favour.

#include "results/results.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float *row_of(const float *probabilities, size_t image, int label_count) {
    return probabilities + image * (size_t)label_count;
}

static double fraction(size_t part, size_t whole) {
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

int results_argmax(const float *row, int label_count) {
    int best = 0;
    for (int i = 1; i < label_count; i++) {
        if (row[i] > row[best] || isnan(row[best])) {
            best = i;
        }
    }
    return best;
}

double results_accuracy(const float *probabilities, const int32_t *labels, size_t count,
                        int label_count) {
    size_t right_count = 0;
    for (size_t i = 0; i < count; i++) {
        right_count +=
            results_argmax(row_of(probabilities, i, label_count), label_count) == labels[i];
    }
    return fraction(right_count, count);
}

double results_top_k(const float *probabilities, const int32_t *labels, size_t count,
                     int label_count, int k) {
    assert(k > 0);
    size_t right_count = 0;
    for (size_t i = 0; i < count; i++) {
        const float *row = row_of(probabilities, i, label_count);
        int above_count = 0; // labels that are not clearly less likely than the true one
        for (int label = 0; label < label_count; label++) {
            above_count += label != labels[i] && !(row[label] < row[labels[i]]);
        }
        right_count += above_count < k;
    }
    return fraction(right_count, count);
}

/// -ln p, p at least 1e-15.
static double loss_of(const float *probabilities, const int32_t *labels, size_t i,
                      int label_count) {
    const double probability_min = 1e-15;
    const double p = (double)row_of(probabilities, i, label_count)[labels[i]];
    return -log(p > probability_min ? p : probability_min);
}

double results_log_loss(const float *probabilities, const int32_t *labels, size_t count,
                        int label_count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += loss_of(probabilities, labels, i, label_count);
    }
    return count > 0 ? sum / (double)count : (double)NAN;
}

results_gain results_log_loss_gain(const float *before, const float *after, const int32_t *labels,
                                   size_t count, int label_count) {
    double mean = 0.0;
    double squares = 0.0; // of deviations from the mean so far (Welford 1962)
    for (size_t i = 0; i < count; i++) {
        const double gain =
            loss_of(before, labels, i, label_count) - loss_of(after, labels, i, label_count);
        const double deviation = gain - mean;
        mean += deviation / (double)(i + 1);
        squares += deviation * (gain - mean);
    }
    const double n = (double)count;
    return (results_gain){
        .mean = count > 0 ? mean : (double)NAN,
        .standard_error = count > 1 ? sqrt(squares / (n - 1) / n) : (double)NAN,
    };
}

void results_confusion(const float *probabilities, const int32_t *labels, size_t count,
                       int label_count, int64_t *confusion) {
    const size_t side = (size_t)label_count;
    memset(confusion, 0, side * side * sizeof(*confusion));
    for (size_t i = 0; i < count; i++) {
        const int predicted = results_argmax(row_of(probabilities, i, label_count), label_count);
        confusion[(size_t)labels[i] * side + (size_t)predicted]++;
    }
}

// part / whole, 0 where undefined.
static double ratio(int64_t part, int64_t whole) {
    return whole > 0 ? (double)part / (double)whole : 0.0;
}

results_label_metrics results_label_of(const int64_t *confusion, int label_count, int label) {
    assert(label >= 0 && label < label_count);
    const size_t side = (size_t)label_count;
    int64_t support = 0;
    int64_t predicted = 0;
    for (size_t i = 0; i < side; i++) {
        support += confusion[(size_t)label * side + i];
        predicted += confusion[i * side + (size_t)label];
    }
    const int64_t right = confusion[(size_t)label * side + (size_t)label];
    return (results_label_metrics){
        .support = support,
        .precision = ratio(right, predicted),
        .recall = ratio(right, support),
        .f1 = ratio(2 * right, predicted + support),
    };
}

/* ---- area under the ROC curve ---------------------------------------------------------------- */

typedef struct scored {
    float score;
    bool positive;
} scored;

static int by_score(const void *a, const void *b) {
    const float left = ((const scored *)a)->score;
    const float right = ((const scored *)b)->score;
    return (left > right) - (left < right);
}

// The probability that a positive scores above a negative, ties counting half; sorts `items`.
static double auc_of(scored *items, size_t count) {
    qsort(items, count, sizeof(*items), by_score);
    double rank_sum = 0.0; // of the positives; ranks start at 1, equal scores share their mean
    size_t positive_count = 0;
    for (size_t first = 0, end = 0; first < count; first = end) {
        size_t positive_here = 0;
        for (end = first; end < count && !(items[first].score < items[end].score); end++) {
            positive_here += items[end].positive;
        }
        rank_sum += (double)positive_here * ((double)(first + 1) + (double)end) / 2.0;
        positive_count += positive_here;
    }
    const double positives = (double)positive_count;
    const double negatives = (double)(count - positive_count);
    const double u = rank_sum - positives * (positives + 1.0) / 2.0;
    return u / (positives * negatives); // 0 / 0 is NaN when a side is empty
}

// `items` is room for `count`.
static double auc_of_label(const float *probabilities, const int32_t *labels, size_t count,
                           int label_count, int label, scored *items) {
    for (size_t i = 0; i < count; i++) {
        const float score = row_of(probabilities, i, label_count)[label];
        items[i] = (scored){isnan(score) ? -INFINITY : score, labels[i] == label};
    }
    return auc_of(items, count);
}

static ns_status scored_new(size_t count, scored **out, ns_error *err) {
    *out = calloc(count > 0 ? count : 1, sizeof(**out));
    return *out != NULL ? NS_OK
                        : ns_fail(err, NS_ERR_MEMORY, "no memory to rank %zu images", count);
}

ns_status results_roc_auc(const float *probabilities, const int32_t *labels, size_t count,
                          int label_count, int label, double *out, ns_error *err) {
    assert(label >= 0 && label < label_count);
    scored *items = NULL;
    NS_TRY(scored_new(count, &items, err));
    *out = auc_of_label(probabilities, labels, count, label_count, label, items);
    free(items);
    return NS_OK;
}

ns_status results_macro_auc(const float *probabilities, const int32_t *labels, size_t count,
                            int label_count, double *out, ns_error *err) {
    scored *items = NULL;
    NS_TRY(scored_new(count, &items, err));
    double sum = 0.0;
    int defined_count = 0;
    for (int label = 0; label < label_count; label++) {
        const double auc = auc_of_label(probabilities, labels, count, label_count, label, items);
        if (!isnan(auc)) {
            sum += auc;
            defined_count++;
        }
    }
    free(items);
    *out = defined_count > 0 ? sum / defined_count : (double)NAN;
    return NS_OK;
}
