// A model's figures for people: headline with intervals, a table of the labels, the worst confusions,
// the surest mistakes.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/evaluate.h"

#define CONFUSIONS_SHOWN 5

/* ---- headline -------------------------------------------------------------------------------- */

/// " (93.01 to 93.55)", in the unit of `scale`; nothing where there is no interval.
static void print_interval(const ns_json *result, const char *key, double scale, int digits) {
    const ns_json *pair = ns_json_get(ns_json_get(result, "intervals"), key);
    const double low = ns_json_value_number(ns_json_at(pair, 0), (double)NAN);
    const double high = ns_json_value_number(ns_json_at(pair, 1), (double)NAN);
    if (!isnan(low) && !isnan(high)) {
        (void)printf(" (%.*f to %.*f)", digits, scale * low, digits, scale * high);
    }
}

static void print_top_k(const ns_json *result) {
    const ns_json *rows = ns_json_get(result, "top_k");
    for (const ns_json *row = ns_json_first(rows); row != NULL; row = ns_json_next(row)) {
        (void)printf("%s top %d %.2f %%", row == ns_json_first(rows) ? "; among the" : ",",
                     (int)ns_json_int(row, "k", 0), 100 * ns_json_number(row, "accuracy", 0));
    }
}

static void print_headline(const ns_json *result) {
    char digits[32];
    const ns_json *macro = ns_json_get(result, "macro");
    const double threshold = ns_json_number(result, "threshold", (double)NAN);
    const bool several = ns_json_bool(result, "several_labels", false);
    if (several) {
        (void)printf("%-10s %.2f %%", ns_json_string(result, "score_name", ""),
                     100 * ns_json_number(result, "score", (double)NAN));
        print_interval(result, "score", 100, 2);
        (void)printf("\n");
    }
    (void)printf("%s %.2f %%", several ? "all right " : "accuracy  ",
                 100 * ns_json_number(result, "accuracy", (double)NAN));
    print_interval(result, "accuracy", 100, 2);
    (void)printf(" of %s %s images", ns_group_digits(ns_json_int(result, "count", 0), digits),
                 ns_json_string(result, "split", ""));
    print_top_k(result);
    (void)printf("\nmacro F1   %.4f", ns_json_number(macro, "f1", (double)NAN));
    print_interval(result, "macro_f1", 1, 4);
    (void)printf("\nmacro AUC  %.4f", ns_json_number(macro, "auc", (double)NAN));
    print_interval(result, "macro_auc", 1, 4);
    (void)printf("\nmacro AP   %.4f\n", ns_json_number(macro, "average_precision", (double)NAN));
    (void)printf("log loss   %.4f\n", ns_json_number(result, "log_loss", (double)NAN));
    (void)printf("ECE        %.4f\n", ns_json_number(result, "ece", (double)NAN));
    if (!isnan(threshold)) {
        (void)printf("a label is said of an image from a probability of %g on\n", threshold);
    }
    (void)printf("in brackets: 95 %% intervals (%sbootstrap over the images)\n\n",
                 several ? "1.96 standard errors of the first, else " : "");
}

/* ---- labels ---------------------------------------------------------------------------------- */

static void figure_cell(cli_table *table, const ns_json *object, const char *key) {
    const double value = ns_json_number(object, key, (double)NAN);
    if (isnan(value)) {
        cli__table_cell(table, "-");
    } else {
        cli__table_cell(table, "%.4f", value);
    }
}

static ns_status print_labels(const ns_json *result, ns_error *err) {
    const ns_json *labels = ns_json_get(result, "per_label");
    cli_table *table = cli__table_new("lrrrrrrr");
    const char *const heads[] = {"label", "precision", "recall",    "F1",
                                 "AUC",   "AP",        "threshold", "images"};
    for (size_t i = 0; i < NS_COUNT_OF(heads); i++) {
        cli__table_cell(table, "%s", heads[i]);
    }
    for (const ns_json *label = ns_json_first(labels); label != NULL; label = ns_json_next(label)) {
        char digits[32];
        cli__table_cell(table, "%s", ns_json_string(label, "label", ""));
        cli__table_percent(table, ns_json_number(label, "precision", (double)NAN));
        cli__table_percent(table, ns_json_number(label, "recall", (double)NAN));
        cli__table_percent(table, ns_json_number(label, "f1", (double)NAN));
        figure_cell(table, label, "auc");
        figure_cell(table, label, "average_precision");
        figure_cell(table, label, "threshold");
        cli__table_cell(table, "%s", ns_group_digits(ns_json_int(label, "support", 0), digits));
    }
    return cli__table_print(table, err);
}

/* ---- confusions ------------------------------------------------------------------------------ */

typedef struct mistake {
    size_t truth, predicted;
    double count;
} mistake;

/// Inserts into `worst`, most frequent first.
static void keep_worst(mistake worst[CONFUSIONS_SHOWN], mistake one) {
    for (size_t i = 0; i < CONFUSIONS_SHOWN; i++) {
        if (one.count > worst[i].count) {
            const mistake pushed = worst[i];
            worst[i] = one;
            one = pushed;
        }
    }
}

static const char *label_of(const ns_json *result, size_t label) {
    return ns_json_value_string(ns_json_at(ns_json_get(result, "labels"), label), "");
}

static void print_worst(const ns_json *result) {
    const ns_json *cells = ns_json_get(result, "confusion_cells");
    mistake worst[CONFUSIONS_SHOWN] = {0};
    for (const ns_json *cell = ns_json_first(cells); cell != NULL; cell = ns_json_next(cell)) {
        const mistake one = {(size_t)ns_json_value_number(ns_json_at(cell, 0), 0),
                             (size_t)ns_json_value_number(ns_json_at(cell, 1), 0),
                             ns_json_value_number(ns_json_at(cell, 2), 0)};
        if (one.truth != one.predicted) {
            keep_worst(worst, one);
        }
    }
    if (worst[0].count > 0) {
        (void)printf("\nmost frequent mistakes:\n");
    }
    for (size_t i = 0; i < CONFUSIONS_SHOWN && worst[i].count > 0; i++) {
        (void)printf("  %.0f times %s taken for %s\n", worst[i].count,
                     label_of(result, worst[i].truth), label_of(result, worst[i].predicted));
    }
}

/* ---- mistakes -------------------------------------------------------------------------------- */

/// Where the set knows files: a number alone leads nobody to a picture.
static void print_surest(const ns_json *result) {
    const ns_json *first = ns_json_first(ns_json_get(result, "surest_mistakes"));
    if (ns_json_string(first, "file", NULL) == NULL) {
        return;
    }
    (void)printf("\nsurest mistakes:\n");
    for (const ns_json *one = first; one != NULL; one = ns_json_next(one)) {
        (void)printf("  %s: %s taken for %s, %.2f %%\n", ns_json_string(one, "file", "no name"),
                     ns_json_string(one, "label", ""), ns_json_string(one, "predicted", ""),
                     100 * ns_json_number(one, "confidence", (double)NAN));
    }
}

ns_status cli__evaluate_print(const ns_json *result, ns_error *err) {
    print_headline(result);
    NS_TRY(print_labels(result, err));
    print_worst(result);
    print_surest(result);
    return NS_OK;
}
