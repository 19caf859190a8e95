// How good is a classifier? Decisions, counted: accuracy, loss, precision, recall, F1.
//
// What is said of an image is its most likely label, or every label that reaches its threshold. A
// log is taken of p clipped at 1e-15, as scikit-learn did for most of its life.

#include "results/metrics_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

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

/* ---- one true label an image ----------------------------------------------------------------- */

static const float *row_of(const float *probabilities, size_t image, int label_count) {
    return probabilities + image * (size_t)label_count;
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
static double loss_of(double p) {
    const double probability_min = 1e-15;
    return -log(p > probability_min ? p : probability_min);
}

static double image_loss(const float *probabilities, const int32_t *labels, size_t i,
                         int label_count) {
    return loss_of((double)row_of(probabilities, i, label_count)[labels[i]]);
}

double results_log_loss(const float *probabilities, const int32_t *labels, size_t count,
                        int label_count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += image_loss(probabilities, labels, i, label_count);
    }
    return count > 0 ? sum / (double)count : (double)NAN;
}

/* ---- one true label an image, or several ----------------------------------------------------- */

metrics__decision metrics__decide(const results_answers *answers, results_thresholds thresholds,
                                  size_t image) {
    const bool by_rank = thresholds == NULL && answers->labels != NULL;
    return (metrics__decision){
        .thresholds = thresholds,
        .chosen = by_rank ? results_argmax(metrics__row(answers, image), answers->label_count) : -1,
    };
}

static bool is_exact(const results_answers *answers, results_thresholds thresholds, size_t image) {
    const metrics__decision decision = metrics__decide(answers, thresholds, image);
    const float *row = metrics__row(answers, image);
    if (decision.chosen >= 0) {
        return decision.chosen == answers->labels[image];
    }
    for (int label = 0; label < answers->label_count; label++) {
        if (metrics__is_said(&decision, row, label) != metrics__is_true(answers, image, label)) {
            return false;
        }
    }
    return true;
}

double results_exact_match(const results_answers *answers, results_thresholds thresholds) {
    size_t right_count = 0;
    for (size_t i = 0; i < answers->count; i++) {
        right_count += is_exact(answers, thresholds, i);
    }
    return fraction(right_count, answers->count);
}

double results_binary_loss(const results_answers *answers) {
    double sum = 0.0;
    for (size_t i = 0; i < answers->count; i++) {
        const float *row = metrics__row(answers, i);
        for (int label = 0; label < answers->label_count; label++) {
            const double p = (double)row[label];
            sum += loss_of(metrics__is_true(answers, i, label) ? p : 1 - p);
        }
    }
    const double pair_count = (double)answers->count * answers->label_count;
    return pair_count > 0 ? sum / pair_count : (double)NAN;
}

/// Of one image.
static double answer_loss(const results_answers *answers, size_t image) {
    if (answers->labels != NULL) {
        return image_loss(answers->probabilities, answers->labels, image, answers->label_count);
    }
    const size_t first = image * (size_t)answers->label_count;
    const results_answers one = {.probabilities = answers->probabilities + first,
                                 .truth = answers->truth + first,
                                 .count = 1,
                                 .label_count = answers->label_count};
    return results_binary_loss(&one);
}

results_gain results_log_loss_gain(const results_answers *before, const results_answers *after) {
    const size_t count = before->count;
    double mean = 0.0;
    double squares = 0.0; // of deviations from the mean so far (Welford 1962)
    for (size_t i = 0; i < count; i++) {
        const double gain = answer_loss(before, i) - answer_loss(after, i);
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

void results_count(const results_answers *answers, results_thresholds thresholds,
                   results_counts *out) {
    memset(out, 0, (size_t)answers->label_count * sizeof(*out));
    for (size_t i = 0; i < answers->count; i++) {
        const metrics__decision decision = metrics__decide(answers, thresholds, i);
        const float *row = metrics__row(answers, i);
        for (int label = 0; label < answers->label_count; label++) {
            const bool is_true = metrics__is_true(answers, i, label);
            const bool is_said = metrics__is_said(&decision, row, label);
            out[label].support += is_true;
            out[label].predicted += is_said;
            out[label].right += is_true && is_said;
        }
    }
}

// part / whole, 0 where undefined.
static double ratio(int64_t part, int64_t whole) {
    return whole > 0 ? (double)part / (double)whole : 0.0;
}

results_scores results_scores_of(results_counts counts) {
    return (results_scores){
        .precision = ratio(counts.right, counts.predicted),
        .recall = ratio(counts.right, counts.support),
        .f1 = ratio(2 * counts.right, counts.predicted + counts.support),
    };
}

static void add_scores(results_scores *sum, results_scores scores, double weight) {
    sum->precision += weight * scores.precision;
    sum->recall += weight * scores.recall;
    sum->f1 += weight * scores.f1;
}

static results_scores mean_scores(results_scores sum, double weight) {
    return (results_scores){
        .precision = weight > 0 ? sum.precision / weight : 0.0,
        .recall = weight > 0 ? sum.recall / weight : 0.0,
        .f1 = weight > 0 ? sum.f1 / weight : 0.0,
    };
}

results_averages results_averages_of(const results_counts *counts, int label_count) {
    results_counts all = {0};
    results_averages sums = {0};
    int seen_count = 0;
    for (int label = 0; label < label_count; label++) {
        const results_counts *one = &counts[label];
        const results_scores scores = results_scores_of(*one);
        all.support += one->support;
        all.predicted += one->predicted;
        all.right += one->right;
        seen_count += one->support + one->predicted > 0;
        add_scores(&sums.macro, scores, 1.0); // zeros where nothing is seen
        add_scores(&sums.weighted, scores, (double)one->support);
    }
    return (results_averages){
        .micro = results_scores_of(all),
        .macro = mean_scores(sums.macro, (double)seen_count),
        .weighted = mean_scores(sums.weighted, (double)all.support),
    };
}
