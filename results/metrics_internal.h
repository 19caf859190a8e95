// What the files of the metrics share.

#ifndef NS_RESULTS_METRICS_INTERNAL_H
#define NS_RESULTS_METRICS_INTERNAL_H

#include "results/metrics.h"

/// Probabilities of one image: (label_count).
static inline const float *metrics__row(const results_answers *answers, size_t image) {
    return answers->probabilities + image * (size_t)answers->label_count;
}

static inline bool metrics__is_true(const results_answers *answers, size_t image, int label) {
    return answers->labels != NULL
               ? answers->labels[image] == label
               : answers->truth[image * (size_t)answers->label_count + (size_t)label] != 0;
}

/// How one image's labels are decided: by `thresholds`, or where they are NULL by `chosen`, its most
/// likely label, or where that is -1 by 0.5.
typedef struct metrics__decision {
    results_thresholds thresholds;
    int chosen;
} metrics__decision;
metrics__decision metrics__decide(const results_answers *answers, results_thresholds thresholds,
                                  size_t image);
static inline bool metrics__is_said(const metrics__decision *decision, const float *row,
                                    int label) {
    if (decision->thresholds == NULL && decision->chosen >= 0) {
        return label == decision->chosen;
    }
    return (double)row[label] >= (decision->thresholds != NULL ? decision->thresholds[label] : 0.5);
}

/// `thread_count`, or all cores where it is 0.
int metrics__threads(int thread_count);

#endif
