// Curves over the threshold, and calibration: both sort probabilities into bins once.

#include "results/metrics_internal.h"

#include <math.h>
#include <string.h>

/* ---- curves ---------------------------------------------------------------------------------- */

/// Index of the last point whose threshold `p` reaches, of points at i / 100; -1: not even 0.
static int last_point(double p) {
    const int last = RESULTS_CURVE_POINTS - 1;
    if (!(p >= 0)) {
        return -1;
    }
    int point = p < 1 ? (int)(p * last) : last;
    if (point < last && p >= (double)(point + 1) / last) {
        point++; // p * 100 was rounded down past a whole number
    } else if (p < (double)point / last) {
        point--; // or up
    }
    return point;
}

/// From what falls on each point to what reaches it.
static void accumulate(results_curve *curve) {
    for (int i = RESULTS_CURVE_POINTS - 2; i >= 0; i--) {
        curve->at[i].predicted += curve->at[i + 1].predicted;
        curve->at[i].right += curve->at[i + 1].right;
    }
}

void results_curves(const results_answers *answers, results_curve *out) {
    const int label_count = answers->label_count;
    memset(out, 0, (size_t)label_count * sizeof(*out));
    for (size_t i = 0; i < answers->count; i++) {
        const float *row = metrics__row(answers, i);
        for (int label = 0; label < label_count; label++) {
            const bool is_true = metrics__is_true(answers, i, label);
            const int point = last_point((double)row[label]);
            out[label].at[0].support += is_true;
            if (point >= 0) {
                out[label].at[point].predicted++;
                out[label].at[point].right += is_true;
            }
        }
    }
    for (int label = 0; label < label_count; label++) {
        accumulate(&out[label]);
        for (int i = 1; i < RESULTS_CURVE_POINTS; i++) {
            out[label].at[i].support = out[label].at[0].support;
        }
    }
}

results_curve results_curve_micro(const results_curve *curves, int label_count) {
    results_curve sum = {0};
    for (int label = 0; label < label_count; label++) {
        for (int i = 0; i < RESULTS_CURVE_POINTS; i++) {
            sum.at[i].support += curves[label].at[i].support;
            sum.at[i].predicted += curves[label].at[i].predicted;
            sum.at[i].right += curves[label].at[i].right;
        }
    }
    return sum;
}

/* ---- calibration ----------------------------------------------------------------------------- */

static void add_answer(results_calibration *sums, double confidence, bool right) {
    const int bin_count = RESULTS_CALIBRATION_BINS;
    if (isnan(confidence)) {
        confidence = 0;
    }
    int bin = (int)ceil(confidence * bin_count) - 1;
    bin = bin < 0 ? 0 : bin >= bin_count ? bin_count - 1 : bin;
    sums->bin[bin].count++;
    sums->bin[bin].confidence += confidence;
    sums->bin[bin].accuracy += right;
}

results_calibration results_calibration_of(const results_answers *answers) {
    results_calibration c = {0}; // at first with sums in place of means
    for (size_t i = 0; i < answers->count; i++) {
        const float *row = metrics__row(answers, i);
        if (answers->labels != NULL) {
            const int label = results_argmax(row, answers->label_count);
            add_answer(&c, (double)row[label], label == answers->labels[i]);
            continue;
        }
        for (int label = 0; label < answers->label_count; label++) {
            add_answer(&c, (double)row[label], metrics__is_true(answers, i, label));
        }
    }
    double gaps = 0;
    double answer_count = 0;
    for (int i = 0; i < RESULTS_CALIBRATION_BINS; i++) {
        const double count = (double)c.bin[i].count;
        gaps += fabs(c.bin[i].accuracy - c.bin[i].confidence);
        answer_count += count;
        c.bin[i].confidence = count > 0 ? c.bin[i].confidence / count : (double)NAN;
        c.bin[i].accuracy = count > 0 ? c.bin[i].accuracy / count : (double)NAN;
    }
    c.ece = answer_count > 0 ? gaps / answer_count : (double)NAN;
    return c;
}
