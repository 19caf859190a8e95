// The figures that judge a classifier: pure functions of what a model said and what is true.
//
// Each image has one true label, or any number of them; both come as results_answers, and the
// functions that take it say what they make of each. Precision, recall, F1, ranks and curves are a
// label's own question, "is it this one or not?", and mean the same for both.
//
// The definitions are scikit-learn's where it has them, and a test holds these functions against it.
// A mean over nothing is NaN. A probability that is itself NaN never counts in a model's favour.

#ifndef NS_RESULTS_METRICS_H
#define NS_RESULTS_METRICS_H

#include "base/base.h"

/* ---- one true label an image ----------------------------------------------------------------- */

// `probabilities` is (count, label_count) row-major, `labels` (count) true indices.

/// Index of the largest; the lowest index wins a tie.
int results_argmax(const float *row, int label_count);
double results_accuracy(const float *probabilities, const int32_t *labels, size_t count,
                        int label_count);
/// Fraction whose true label is among the `k` largest; ties count against it.
double results_top_k(const float *probabilities, const int32_t *labels, size_t count,
                     int label_count, int k);
/// Mean of -ln p(true label), p at least 1e-15.
double results_log_loss(const float *probabilities, const int32_t *labels, size_t count,
                        int label_count);

/* ---- one true label an image, or several ----------------------------------------------------- */

/// What a model said of some images, and the truth in one of two forms; all borrowed.
typedef struct results_answers {
    const float *probabilities; // (count, label_count), row-major
    const int32_t *labels;      // (count): the one true label of each; NULL when there may be more
    const uint8_t *truth;       // (count, label_count) of 0 and 1, read where `labels` is NULL
    size_t count;
    int label_count;
} results_answers;

/// A threshold a label, (label_count): the label is said of an image when its probability is not
/// below. NULL in the calls below is the usual: the most likely label alone where each image has
/// one, 0.5 for every label where it may have several.
typedef const double *results_thresholds;

/// Fraction of images of which exactly the true labels are said, no more and no less.
double results_exact_match(const results_answers *answers, results_thresholds thresholds);
/// Mean over images and labels of -ln p of what is true: of "it is this" or "it is not this" (binary
/// cross-entropy); p at least 1e-15.
double results_binary_loss(const results_answers *answers);

typedef struct results_gain {
    double mean;           // NaN: of no image
    double standard_error; // NaN: of fewer than two
} results_gain;
/// By how much the log loss of `after` (binary where images may have several labels) is lower than
/// that of `before`, image by image on the same images: most of what makes images hard cancels out,
/// so small gains can be told from noise.
results_gain results_log_loss_gain(const results_answers *before, const results_answers *after);

typedef struct results_counts {
    int64_t support;   // images of the label
    int64_t predicted; // images of which it is said
    int64_t right;     // both
} results_counts;
/// Of each label, into `out` (label_count).
void results_count(const results_answers *answers, results_thresholds thresholds,
                   results_counts *out);

typedef struct results_scores {
    double precision, recall, f1; // 0 where undefined (as scikit-learn's zero_division=0)
} results_scores;
results_scores results_scores_of(results_counts counts);

typedef struct results_averages {
    results_scores micro;    // of all decisions together
    results_scores macro;    // mean over the labels that some image has or is said to have
    results_scores weighted; // the same, weighted by support
} results_averages;
results_averages results_averages_of(const results_counts *counts, int label_count);

/* ---- confusion ------------------------------------------------------------------------------- */

/// `count` images of label `truth` were taken for `predicted`. There are at most as many cells as
/// images, however many labels there are.
typedef struct results_cell {
    int32_t truth, predicted;
    int64_t count; // > 0
} results_cell;
/// The confusion matrix without its zeros, by rows (true) and then columns; malloced. Only of answers
/// with one true label. NS_ERR_MEMORY.
ns_status results_confusion(const results_answers *answers, results_cell **out, size_t *cell_count,
                            ns_error *err);

/* ---- ranks: how well probabilities tell a label from the rest -------------------------------- */

typedef struct results_rank {
    double auc; // area under the ROC curve: Mann-Whitney's U, ties count half; NaN: a side is empty
    double average_precision; // sum of (recall gained * precision), not interpolated; NaN: no image
    double best_f1;           // the highest F1 that any threshold has on these very answers; NaN
    double best_threshold;    // the highest such threshold, halfway to the next lower score; NaN
} results_rank;
/// Of each label against the rest, into `out` (label_count). `thread_count` 0: all cores.
/// NS_ERR_MEMORY.
ns_status results_rank_labels(const results_answers *answers, int thread_count, results_rank *out,
                              ns_error *err);
/// Of all pairs of image and label together, as if of one label (micro average).
ns_status results_rank_micro(const results_answers *answers, int thread_count, results_rank *out,
                             ns_error *err);
/// Mean over the labels where it is defined, figure by figure (macro average).
results_rank results_rank_macro(const results_rank *ranks, int label_count);

/* ---- curves over the threshold --------------------------------------------------------------- */

#define RESULTS_CURVE_POINTS 101

/// Point i has the threshold i / 100.
typedef struct results_curve {
    results_counts at[RESULTS_CURVE_POINTS];
} results_curve;
/// Of each label, into `out` (label_count).
void results_curves(const results_answers *answers, results_curve *out);
/// Of all decisions together.
results_curve results_curve_micro(const results_curve *curves, int label_count);

/* ---- calibration ----------------------------------------------------------------------------- */

#define RESULTS_CALIBRATION_BINS 15

/// Bin i holds confidences in (i / 15, (i + 1) / 15], the first also 0.
typedef struct results_calibration {
    struct {
        size_t count;
        double confidence; // mean; NaN: of none
        double accuracy;   // how many of them are right; NaN
    } bin[RESULTS_CALIBRATION_BINS];
    double ece; // mean over all answers of |accuracy - confidence| of their bin (Guo et al. 2017,
                // "On Calibration of Modern Neural Networks", eq. 3); NaN: no image
} results_calibration;
/// One true label an image: of the most likely label. Several: of every pair of image and label.
results_calibration results_calibration_of(const results_answers *answers);

/* ---- intervals ------------------------------------------------------------------------------- */

typedef struct results_interval {
    double low, high; // NaN: undefined
} results_interval;

/// 95 % intervals of the headline figures.
typedef struct results_intervals {
    results_interval accuracy; // results_exact_match()
    results_interval macro_auc, macro_f1;
    int resample_count;
} results_intervals;
/// Percentile bootstrap over images (Efron 1979; Efron & Tibshirani 1993, ch. 13): 1,024 resamples,
/// fewer where answers are very many. Equal answers and seed give equal intervals, whatever
/// `thread_count` (0: all cores). NS_ERR_MEMORY.
ns_status results_bootstrap(const results_answers *answers, results_thresholds thresholds,
                            uint64_t seed, int thread_count, results_intervals *out, ns_error *err);

#endif
