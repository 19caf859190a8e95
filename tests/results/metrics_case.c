// The metrics of one case, for check_metrics.py: metrics_case FILE prints them as JSON.
//
// FILE: int32 count, label_count, several, has_thresholds; float32 probabilities (count, label_count);
// then int32 labels (count), or with `several` uint8 truth (count, label_count); then, if there are
// any, float64 thresholds (label_count).

#include <stdio.h>
#include <stdlib.h>

#include "results/metrics.h"

enum { FILE_BYTES_MAX = 1 << 28 };

typedef struct test_case {
    results_answers answers;
    results_thresholds thresholds;
} test_case;

/// Borrows `bytes`, whose parts are aligned: the sizes before them are multiples of 8 or checked to be.
static test_case case_of(const uint8_t *bytes) {
    const int32_t *head = (const int32_t *)(const void *)bytes;
    const size_t count = (size_t)head[0];
    const size_t pairs = count * (size_t)head[1];
    const uint8_t *after = bytes + 4 * sizeof(int32_t) + pairs * sizeof(float);
    const size_t truth_bytes = head[2] ? pairs : count * sizeof(int32_t);
    const size_t before = (size_t)(after - bytes) + truth_bytes;
    return (test_case){
        .answers = {.probabilities = (const float *)(const void *)(head + 4),
                    .labels = head[2] ? NULL : (const int32_t *)(const void *)after,
                    .truth = head[2] ? after : NULL,
                    .count = count,
                    .label_count = head[1]},
        .thresholds = head[3] ? (const double *)(const void *)(bytes + (before + 7) / 8 * 8) : NULL,
    };
}

static void add_scores(ns_json *rows, results_scores scores) {
    ns_json *row = ns_json_add(rows, ns_json_array_new());
    ns_json_add_number(row, scores.precision);
    ns_json_add_number(row, scores.recall);
    ns_json_add_number(row, scores.f1);
}

static void add_rank(ns_json *rows, results_rank rank) {
    ns_json *row = ns_json_add(rows, ns_json_array_new());
    ns_json_add_number(row, rank.auc);
    ns_json_add_number(row, rank.average_precision);
    ns_json_add_number(row, rank.best_f1);
    ns_json_add_number(row, rank.best_threshold);
}

static void set_decisions(const test_case *c, ns_json *out) {
    const results_answers *a = &c->answers;
    results_counts *counts = calloc((size_t)a->label_count, sizeof(*counts));
    results_count(a, c->thresholds, counts);
    ns_json *labels = ns_json_set(out, "scores", ns_json_array_new());
    for (int i = 0; counts != NULL && i < a->label_count; i++) {
        add_scores(labels, results_scores_of(counts[i]));
    }
    const results_averages averages = results_averages_of(counts, a->label_count);
    ns_json *rows = ns_json_set(out, "averages", ns_json_array_new());
    add_scores(rows, averages.micro);
    add_scores(rows, averages.macro);
    add_scores(rows, averages.weighted);
    ns_json_set_number(out, "accuracy", results_exact_match(a, c->thresholds));
    free(counts);
}

static ns_status set_ranks(const results_answers *a, ns_json *out, ns_error *err) {
    results_rank *ranks = calloc((size_t)a->label_count, sizeof(*ranks));
    results_rank micro = {0};
    ns_json *rows = ns_json_set(out, "ranks", ns_json_array_new());
    NS_TRY(results_rank_labels(a, 2, ranks, err));
    NS_TRY(results_rank_micro(a, 2, &micro, err));
    for (int i = 0; i < a->label_count; i++) {
        add_rank(rows, ranks[i]);
    }
    add_rank(ns_json_set(out, "micro_rank", ns_json_array_new()), micro);
    add_rank(ns_json_set(out, "macro_rank", ns_json_array_new()),
             results_rank_macro(ranks, a->label_count));
    free(ranks);
    return NS_OK;
}

static ns_status set_single(const results_answers *a, ns_json *out, ns_error *err) {
    results_cell *cells = NULL;
    size_t cell_count = 0;
    ns_json_set_number(out, "log_loss",
                       results_log_loss(a->probabilities, a->labels, a->count, a->label_count));
    ns_json *top = ns_json_set(out, "top_k", ns_json_array_new());
    for (int k = 1; k <= a->label_count; k++) {
        ns_json_add_number(top,
                           results_top_k(a->probabilities, a->labels, a->count, a->label_count, k));
    }
    NS_TRY(results_confusion(a, &cells, &cell_count, err));
    ns_json *rows = ns_json_set(out, "confusion", ns_json_array_new());
    for (size_t i = 0; i < cell_count; i++) {
        ns_json *row = ns_json_add(rows, ns_json_array_new());
        ns_json_add_int(row, cells[i].truth);
        ns_json_add_int(row, cells[i].predicted);
        ns_json_add_int(row, cells[i].count);
    }
    free(cells);
    return NS_OK;
}

static void set_curves(const results_answers *a, ns_json *out) {
    results_curve *curves = calloc((size_t)a->label_count, sizeof(*curves));
    results_curves(a, curves);
    ns_json *rows = ns_json_set(out, "curves", ns_json_array_new());
    for (int label = 0; curves != NULL && label < a->label_count; label++) {
        ns_json *points = ns_json_add(rows, ns_json_array_new());
        for (int i = 0; i < RESULTS_CURVE_POINTS; i++) {
            add_scores(points, results_scores_of(curves[label].at[i]));
        }
    }
    free(curves);
}

static ns_status describe(const test_case *c, ns_json *out, ns_error *err) {
    set_decisions(c, out);
    NS_TRY(set_ranks(&c->answers, out, err));
    set_curves(&c->answers, out);
    ns_json_set_number(out, "ece", results_calibration_of(&c->answers).ece);
    ns_json_set_number(out, "binary_loss", results_binary_loss(&c->answers));
    return c->answers.labels != NULL ? set_single(&c->answers, out, err) : NS_OK;
}

int main(int argc, char **argv) {
    uint8_t *bytes = NULL;
    char *text = NULL;
    size_t size_bytes = 0;
    ns_error err = {0};
    ns_json *out = ns_json_object_new();
    ns_status status = argc == 2 ? ns_file_read(argv[1], FILE_BYTES_MAX, &bytes, &size_bytes, &err)
                                 : ns_fail(&err, NS_ERR_USAGE, "usage: metrics_case FILE");
    if (status == NS_OK) {
        const test_case c = case_of(bytes);
        status = describe(&c, out, &err);
    }
    if (status == NS_OK) {
        status = ns_json_print(out, false, &text, &err);
    }
    (void)puts(status == NS_OK ? text : err.text);
    free(text);
    free(bytes);
    ns_json_free(out);
    return status == NS_OK ? 0 : 1;
}
