// A model's answers judged, as one JSON object: every figure that evaluate prints and a report draws.
// What each key means stands at search_judge_json().

#include <math.h>
#include <stdlib.h>

#include "search/search_internal.h"

#define BOOTSTRAP_SEED 1979 // any; the same, so that a figure printed twice is the same

/// All that is counted of the answers; judgement_clear() frees it.
typedef struct judgement {
    const nn_model_info *info;
    results_answers answers;
    results_thresholds thresholds; // that decide; NULL: the usual rule
    double *every;                 // (label_count): one threshold for all, where that was asked for
    results_counts *counts;        // (label_count)
    results_counts *own_counts; // (label_count), by the model's own thresholds, where it has them
    results_rank *ranks;        // (label_count)
    results_curve *curves;      // (label_count)
    results_cell *cells;        // of the confusion matrix; NULL where there is none
    size_t cell_count;
    results_rank micro;
    results_intervals intervals;
} judgement;

static void judgement_clear(judgement *j) {
    free(j->every);
    free(j->counts);
    free(j->own_counts);
    free(j->ranks);
    free(j->curves);
    free(j->cells);
}

static ns_status allocate(judgement *j, ns_error *err) {
    const size_t label_count = (size_t)j->info->label_count;
    j->every = malloc(label_count * sizeof(*j->every));
    j->counts = malloc(label_count * sizeof(*j->counts));
    j->own_counts = malloc(label_count * sizeof(*j->own_counts));
    j->ranks = malloc(label_count * sizeof(*j->ranks));
    j->curves = malloc(label_count * sizeof(*j->curves));
    return j->every != NULL && j->counts != NULL && j->own_counts != NULL && j->ranks != NULL &&
                   j->curves != NULL
               ? NS_OK
               : ns_fail(err, NS_ERR_MEMORY, "no memory to judge %zu labels", label_count);
}

/// One for all where it was asked for; the model's own where images may have several labels.
static void set_thresholds(judgement *j, double threshold) {
    if (isnan(threshold)) {
        j->thresholds = j->answers.labels == NULL ? j->info->thresholds : NULL;
    } else {
        for (int label = 0; label < j->info->label_count; label++) {
            j->every[label] = threshold;
        }
        j->thresholds = j->every;
    }
}

static ns_status count_all(judgement *j, int thread_count, ns_error *err) {
    const results_answers *answers = &j->answers;
    results_count(answers, j->thresholds, j->counts);
    if (j->info->thresholds != NULL) {
        results_count(answers, j->info->thresholds, j->own_counts);
    }
    results_curves(answers, j->curves);
    NS_TRY(results_rank_labels(answers, thread_count, j->ranks, err));
    NS_TRY(results_rank_micro(answers, thread_count, &j->micro, err));
    if (answers->labels != NULL) {
        NS_TRY(results_confusion(answers, &j->cells, &j->cell_count, err));
    }
    return results_bootstrap(answers, j->thresholds, BOOTSTRAP_SEED, thread_count, &j->intervals,
                             err);
}

/* ---- parts of the object --------------------------------------------------------------------- */

static void set_scores(ns_json *object, results_scores scores) {
    ns_json_set_number(object, "precision", scores.precision);
    ns_json_set_number(object, "recall", scores.recall);
    ns_json_set_number(object, "f1", scores.f1);
}

static void set_rank(ns_json *object, results_rank rank) {
    ns_json_set_number(object, "auc", rank.auc);
    ns_json_set_number(object, "average_precision", rank.average_precision);
}

static void set_averages(const judgement *j, ns_json *out) {
    const results_averages averages = results_averages_of(j->counts, j->info->label_count);
    ns_json *micro = ns_json_set(out, "micro", ns_json_object_new());
    set_scores(micro, averages.micro);
    set_rank(micro, j->micro);
    ns_json *macro = ns_json_set(out, "macro", ns_json_object_new());
    set_scores(macro, averages.macro);
    set_rank(macro, results_rank_macro(j->ranks, j->info->label_count));
    set_scores(ns_json_set(out, "weighted", ns_json_object_new()), averages.weighted);
}

static void set_interval(ns_json *object, const char *key, results_interval interval) {
    ns_json *pair = ns_json_set(object, key, ns_json_array_new());
    ns_json_add_number(pair, interval.low);
    ns_json_add_number(pair, interval.high);
}

static void set_intervals(const judgement *j, const search_predictions *predictions, ns_json *out) {
    ns_json *object = ns_json_set(out, "intervals", ns_json_object_new());
    set_interval(object, "score", search__score_interval(predictions));
    set_interval(object, "accuracy", j->intervals.accuracy);
    set_interval(object, "macro_auc", j->intervals.macro_auc);
    set_interval(object, "macro_f1", j->intervals.macro_f1);
    ns_json_set_number(object, "level", 0.95);
    ns_json_set_int(object, "resamples", j->intervals.resample_count);
}

static void set_top_k(const judgement *j, ns_json *out) {
    const int ks[] = {2, 3, 5, 10};
    const results_answers *a = &j->answers;
    if (a->labels == NULL) {
        ns_json_set_null(out, "top_k");
        return;
    }
    ns_json *rows = ns_json_set(out, "top_k", ns_json_array_new());
    for (size_t i = 0; i < NS_COUNT_OF(ks) && ks[i] < a->label_count; i++) {
        ns_json *row = ns_json_add(rows, ns_json_object_new());
        ns_json_set_int(row, "k", ks[i]);
        ns_json_set_number(
            row, "accuracy",
            results_top_k(a->probabilities, a->labels, a->count, a->label_count, ks[i]));
    }
}

static void set_calibration(const judgement *j, ns_json *out) {
    const results_calibration calibration = results_calibration_of(&j->answers);
    ns_json_set_number(out, "ece", calibration.ece);
    ns_json *rows = ns_json_set(out, "calibration", ns_json_array_new());
    for (int i = 0; i < RESULTS_CALIBRATION_BINS; i++) {
        ns_json *row = ns_json_add(rows, ns_json_object_new());
        ns_json_set_int(row, "count", (int64_t)calibration.bin[i].count);
        ns_json_set_number(row, "confidence", calibration.bin[i].confidence);
        ns_json_set_number(row, "accuracy", calibration.bin[i].accuracy);
    }
}

static void set_own_threshold(const judgement *j, int label, ns_json *row) {
    if (j->info->thresholds == NULL) {
        ns_json_set_null(row, "threshold");
        ns_json_set_null(row, "at_threshold");
        return;
    }
    ns_json_set_number(row, "threshold", j->info->thresholds[label]);
    set_scores(ns_json_set(row, "at_threshold", ns_json_object_new()),
               results_scores_of(j->own_counts[label]));
}

static void set_labels(const judgement *j, ns_json *out) {
    ns_json *names = ns_json_set(out, "labels", ns_json_array_new());
    ns_json *rows = ns_json_set(out, "per_label", ns_json_array_new());
    for (int label = 0; label < j->info->label_count; label++) {
        ns_json_add_string(names, j->info->labels[label]);
        ns_json *row = ns_json_add(rows, ns_json_object_new());
        ns_json_set_string(row, "label", j->info->labels[label]);
        ns_json_set_int(row, "support", j->counts[label].support);
        set_scores(row, results_scores_of(j->counts[label]));
        set_rank(row, j->ranks[label]);
        set_own_threshold(j, label, row);
    }
}

/* ---- confusion ------------------------------------------------------------------------------- */

static ns_json *cells_json(const judgement *j) {
    ns_json *rows = ns_json_array_new();
    for (size_t i = 0; i < j->cell_count; i++) {
        ns_json *cell = ns_json_add(rows, ns_json_array_new());
        ns_json_add_int(cell, j->cells[i].truth);
        ns_json_add_int(cell, j->cells[i].predicted);
        ns_json_add_int(cell, j->cells[i].count);
    }
    return rows;
}

/// (label_count, label_count), rows true.
static ns_json *matrix_json(const judgement *j) {
    ns_json *rows = ns_json_array_new();
    size_t next = 0; // cell that is not written yet
    for (int row = 0; row < j->info->label_count; row++) {
        ns_json *line = ns_json_add(rows, ns_json_array_new());
        for (int column = 0; column < j->info->label_count; column++) {
            const bool here = next < j->cell_count && j->cells[next].truth == row &&
                              j->cells[next].predicted == column;
            ns_json_add_int(line, here ? j->cells[next].count : 0);
            next += here;
        }
    }
    return rows;
}

static void set_confusion(const judgement *j, ns_json *out) {
    if (j->cells == NULL) {
        ns_json_set_null(out, "confusion");
        ns_json_set_null(out, "confusion_cells");
        return;
    }
    if (j->info->label_count <= SEARCH_MATRIX_LABELS_MAX) {
        ns_json_set(out, "confusion", matrix_json(j));
    } else {
        ns_json_set_null(out, "confusion");
    }
    ns_json_set(out, "confusion_cells", cells_json(j));
}

/* ---- curves ---------------------------------------------------------------------------------- */

static ns_json *curve_json(const results_curve *curve) {
    ns_json *object = ns_json_object_new();
    ns_json *precision = ns_json_set(object, "precision", ns_json_array_new());
    ns_json *recall = ns_json_set(object, "recall", ns_json_array_new());
    ns_json *f1 = ns_json_set(object, "f1", ns_json_array_new());
    for (int i = 0; i < RESULTS_CURVE_POINTS; i++) {
        const results_scores scores = results_scores_of(curve->at[i]);
        ns_json_add_number(precision, curve->at[i].predicted > 0 ? scores.precision : (double)NAN);
        ns_json_add_number(recall, scores.recall);
        ns_json_add_number(f1, scores.f1);
    }
    return object;
}

static void set_curves(const judgement *j, ns_json *out) {
    ns_json *object = ns_json_set(out, "curves", ns_json_object_new());
    ns_json *thresholds = ns_json_set(object, "threshold", ns_json_array_new());
    for (int i = 0; i < RESULTS_CURVE_POINTS; i++) {
        ns_json_add_number(thresholds, (double)i / (RESULTS_CURVE_POINTS - 1));
    }
    const results_curve micro = results_curve_micro(j->curves, j->info->label_count);
    ns_json_set(object, "micro", curve_json(&micro));
    if (j->info->label_count > SEARCH_MATRIX_LABELS_MAX) {
        ns_json_set_null(object, "per_label");
        return;
    }
    ns_json *rows = ns_json_set(object, "per_label", ns_json_array_new());
    for (int label = 0; label < j->info->label_count; label++) {
        ns_json_add(rows, curve_json(&j->curves[label]));
    }
}

/* ---- the object ------------------------------------------------------------------------------ */

static void set_headline(const judgement *j, const search_predictions *predictions,
                         double threshold, ns_json *out) {
    const results_answers *a = &j->answers;
    const bool several = a->labels == NULL;
    ns_json_set_string(out, "score_name", search_score_name(several));
    ns_json_set_number(out, "score", search_score(predictions));
    ns_json_set_bool(out, "several_labels", several);
    ns_json_set_string(out, "decided_by",
                       several || j->thresholds != NULL ? "thresholds" : "most likely label");
    ns_json_set_number(out, "threshold", threshold);
    ns_json_set_number(out, "accuracy", results_exact_match(a, j->thresholds));
    ns_json_set_number(
        out, "log_loss",
        several ? results_binary_loss(a)
                : results_log_loss(a->probabilities, a->labels, a->count, a->label_count));
    ns_json_set_number(out, "macro_auc", results_rank_macro(j->ranks, a->label_count).auc);
}

ns_status search_judge_json(const nn_model *model, data_split split,
                            const search_predictions *predictions, double threshold,
                            int thread_count, ns_json **out, ns_error *err) {
    judgement j = {.info = nn_model_describe(model), .answers = search_answers(predictions)};
    ns_status status = allocate(&j, err);
    if (status == NS_OK) {
        set_thresholds(&j, threshold);
        status = count_all(&j, thread_count, err);
    }
    if (status == NS_OK) {
        *out = ns_json_object_new();
        ns_json_set_string(*out, "split", data_split_name(split));
        ns_json_set_int(*out, "count", (int64_t)predictions->count);
        set_headline(&j, predictions, threshold, *out);
        set_top_k(&j, *out);
        set_calibration(&j, *out);
        set_intervals(&j, predictions, *out);
        set_averages(&j, *out);
        set_labels(&j, *out);
        set_confusion(&j, *out);
        set_curves(&j, *out);
    }
    judgement_clear(&j);
    return status;
}
