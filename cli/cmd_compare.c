// nightshift compare: studies side by side. Measures are rows and studies are columns; then how the
// best validation score grew, drawn over the same node time for all; then what the answers of each
// pair to the same test images say.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"
#include "report/report.h"

#define CURVE_COLUMNS 40
#define COMPARED_MAX  16

/* ---- the table ------------------------------------------------------------------------------- */

static void cell_number(cli_table *table, const ns_json *study, const char *key) {
    cli__table_decimal(table, ns_json_number(study, key, (double)NAN), 4);
}

static void cell_money(cli_table *table, const ns_json *study, const char *key) {
    cli__table_cell(table, "%.2f", ns_json_number(study, key, 0));
}

static void cell_count(cli_table *table, const ns_json *study, const char *key) {
    char digits[32];
    const int64_t count = ns_json_int(study, key, 0);
    cli__table_cell(table, "%s", count > 0 ? ns_group_digits(count, digits) : "-");
}

static void cell_word(cli_table *table, const ns_json *study, const char *key) {
    cli__table_cell(table, "%s", ns_json_string(study, key, "-"));
}

static void cell_budget(cli_table *table, const ns_json *study, const char *key) {
    char used[32];
    char budget[32];
    (void)key;
    (void)cli__study_spent(study, used, budget);
    cli__table_cell(table, "%s", budget);
}

static void cell_time(cli_table *table, const ns_json *study, const char *key) {
    char text[32];
    budget_format(ns_json_int(study, key, 0), text);
    cli__table_cell(table, "%s", text);
}

static void cell_hours(cli_table *table, const ns_json *study, const char *key) {
    cli__table_cell(table, "%.4f", (double)ns_json_int(study, key, 0) / 3.6e6);
}

static void cell_trials(cli_table *table, const ns_json *study, const char *key) {
    const ns_json *states = ns_json_get(study, key);
    int64_t count = 0;
    for (size_t i = 0; i < ns_json_count(states); i++) {
        count += ns_json_int(states, ns_json_key_at(states, i), 0);
    }
    cli__table_cell(table, "%lld, %lld complete", (long long)count,
                    (long long)ns_json_int(states, "COMPLETE", 0));
}

static void cell_gain(cli_table *table, const ns_json *study, const char *key) {
    const ns_json *gain = ns_json_get(study, key);
    const double value = ns_json_number(gain, "gain", (double)NAN);
    char text[32];
    if (isnan(value)) {
        cli__table_cell(table, "-");
        return;
    }
    budget_format(ns_json_int(gain, "node_ms", 0), text);
    cli__table_cell(table, "%+.2f points in %s", 100 * value, text);
}

typedef struct measure {
    const char *head, *key;
    void (*cell)(cli_table *table, const ns_json *study, const char *key); // NULL: a score
} measure;

static const measure measures[] = {
    {"state", "state", cell_word},
    {"target", "target", cell_word},
    {"validation ", "best_val_accuracy", NULL},
    {"validation of the", "best_val_accuracy_of", cell_word},
    {"test ", "test_accuracy", NULL},
    {"test macro AUC", "test_macro_auc", cell_number},
    {"budget", "", cell_budget},
    {"node time used", "node_ms_used", cell_time},
    {"node-hours used", "node_ms_used", cell_hours},
    {"money", "cost", cell_money},
    {"trials", "trials", cell_trials},
    {"parameters", "params", cell_count},
    {"MB of weights", "mbytes", cell_number},
    {"ms an image, one core", "latency_ms", cell_number},
    {"ms an image, all cores", "latency_ms_all_cores", cell_number},
    {"last node-hour bought", "last_node_hour", cell_gain},
};

/// A row of the table; `score` is what the scores of the studies are called.
static void measure_row(cli_table *table, const measure *m, const ns_json *studies,
                        const char *score) {
    cli__table_cell(table, "%s%s", m->head, m->cell == NULL ? score : "");
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        if (m->cell == NULL) {
            cli__table_score(table, at, m->key, score);
        } else {
            m->cell(table, at, m->key);
        }
    }
}

static ns_status print_table(const ns_json *studies, ns_error *err) {
    char align[COMPARED_MAX + 2] = "l";
    const size_t count = ns_json_count(studies);
    memset(align + 1, 'r', count);
    cli_table *table = cli__table_new(align);
    cli__table_cell(table, "study");
    for (size_t i = 0; i < count; i++) {
        cli__table_cell(table, "%s", ns_json_string(ns_json_at(studies, i), "study", ""));
    }
    for (size_t row = 0; row < NS_COUNT_OF(measures); row++) {
        measure_row(table, &measures[row], studies, cli__score_name(studies));
    }
    return cli__table_print(table, err);
}

/* ---- best so far against node time ----------------------------------------------------------- */

typedef struct frame {
    int64_t end_ms;
    double least, most; // scores
} frame;

static frame frame_of(const ns_json *studies) {
    frame f = {.least = INFINITY, .most = -INFINITY};
    for (size_t i = 0; i < ns_json_count(studies); i++) {
        const ns_json *study = ns_json_at(studies, i);
        const ns_json *curve = ns_json_get(study, "best_so_far");
        const int64_t used_ms = ns_json_int(study, "node_ms_used", 0);
        f.end_ms = used_ms > f.end_ms ? used_ms : f.end_ms;
        for (size_t k = 0; k < ns_json_count(curve); k++) {
            const double value = ns_json_number(ns_json_at(curve, k), "val_accuracy", 0);
            f.least = fmin(f.least, value);
            f.most = fmax(f.most, value);
        }
    }
    return f;
}

/// Best of `curve` at a time, NaN before its first point.
static double best_at(const ns_json *curve, double node_ms) {
    double best = (double)NAN;
    for (size_t i = 0; i < ns_json_count(curve); i++) {
        const ns_json *point = ns_json_at(curve, i);
        if ((double)ns_json_int(point, "node_ms", 0) <= node_ms) {
            best = ns_json_number(point, "val_accuracy", (double)NAN);
        }
    }
    return best;
}

static void cell_curve(cli_table *table, const ns_json *study, const frame *f) {
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const ns_json *curve = ns_json_get(study, "best_so_far");
    const double used_ms = (double)ns_json_int(study, "node_ms_used", 0);
    const double range = f->most > f->least ? f->most - f->least : 1;
    char text[CURVE_COLUMNS * 4 + 1] = ""; // a bar is 3 bytes
    size_t used = 0;
    for (int i = 0; i < CURVE_COLUMNS; i++) {
        const double node_ms = (double)f->end_ms * (i + 1) / CURVE_COLUMNS;
        const double step_ms = (double)f->end_ms / CURVE_COLUMNS;
        const double best = best_at(curve, node_ms);
        const bool drawn = !isnan(best) && node_ms < used_ms + step_ms;
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s",
                                 drawn ? bars[(int)lround((best - f->least) / range * 7)] : " ");
    }
    cli__table_cell(table, "%s", text);
}

static ns_status print_curves(const ns_json *studies, ns_error *err) {
    const frame f = frame_of(studies);
    char text[32];
    if (!(f.most >= f.least) || f.end_ms == 0) {
        return NS_OK; // nothing was trained
    }
    budget_format(f.end_ms, text);
    (void)printf("\nbest validation %s so far, %.2f %% to %.2f %%, over %s of node time\n",
                 cli__score_name(studies), 100 * f.least, 100 * f.most, text);
    cli_table *table = cli__table_new("ll");
    for (size_t i = 0; i < ns_json_count(studies); i++) {
        const ns_json *study = ns_json_at(studies, i);
        cli__table_cell(table, "%s", ns_json_string(study, "study", ""));
        cell_curve(table, study, &f);
    }
    NS_TRY(cli__table_print(table, err));
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        if (search_trained_on_validation(at)) {
            (void)printf("%s: its final model, trained on validation images too, has no point\n",
                         ns_json_string(at, "study", ""));
        }
    }
    return NS_OK;
}

/* ---- tests of pairs -------------------------------------------------------------------------- */

/// What one model of a pair does better on how many test images, in the words of its test.
static void print_disagreements(const ns_json *mcnemar) {
    (void)printf("%lld test images that only the first gets right, %lld that only the second does; "
                 "McNemar's test",
                 (long long)ns_json_int(mcnemar, "only_first", 0),
                 (long long)ns_json_int(mcnemar, "only_second", 0));
}

static void print_differences(const ns_json *randomisation) {
    (void)printf(
        "%lld test images on which the first scores higher, %lld on which the second does, "
        "%+.2f points on average over all; randomisation test",
        (long long)ns_json_int(randomisation, "first_better", 0),
        (long long)ns_json_int(randomisation, "second_better", 0),
        100 * ns_json_number(randomisation, "difference", (double)NAN));
}

static void print_pair(const ns_json *pair) {
    const char *first = ns_json_string(pair, "first", "");
    const char *second = ns_json_string(pair, "second", "");
    const char *reason = ns_json_string(pair, "reason", NULL);
    const ns_json *mcnemar = ns_json_get(pair, "mcnemar");
    const bool in_scores = !ns_json_is_object(mcnemar);
    const ns_json *test = in_scores ? ns_json_get(pair, "randomisation") : mcnemar;
    if (reason != NULL) {
        (void)printf("no test of %s against %s: %s\n", first, second, reason);
        return;
    }
    (void)printf("%s against %s: ", first, second);
    if (in_scores) {
        print_differences(test);
    } else {
        print_disagreements(test);
    }
    const double p = ns_json_number(test, "p", 1);
    (void)printf(" (%s): p = %.3g, %s\n", ns_json_string(test, "method", ""), p,
                 p < 0.05 ? "more than chance" : "may well be chance");
}

static ns_status print_comparison(const ns_json *json, ns_error *err) {
    const ns_json *studies = ns_json_get(json, "studies");
    const ns_json *pairs = ns_json_get(json, "pairs");
    NS_TRY(print_table(studies, err));
    NS_TRY(print_curves(studies, err));
    (void)printf("\n");
    for (size_t i = 0; i < ns_json_count(pairs); i++) {
        print_pair(ns_json_at(pairs, i));
    }
    return NS_OK;
}

int cli__compare(int argc, char **argv) {
    const char *store_path = CLI_STORE_DEFAULT;
    bool json = false;
    const char *html_path = NULL;
    const cli_option rows[] = {
        {"html", 0, "FILE", "Write the comparison as a page", cli__parse_text, &html_path},
        CLI_OPTION_STORE(&store_path),
        CLI_OPTION_JSON(&json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "NAME NAME...",
        .doc =
            "Compares studies of a store: accuracy, cost, size and speed, the best so far "
            "against node time, and by McNemar's test, of several labels an image by a "
            "randomisation test of their scores, whether two final models differ on the same test "
            "images.",
        .options = rows,
        .operand_count_min = 2,
        .operand_count_max = COMPARED_MAX,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    ns_error err = {0};
    ns_json *comparison = NULL;
    ns_status status =
        search_compare_json(store_path, operands.text, (size_t)operands.count, &comparison, &err);
    if (status == NS_OK && html_path != NULL) {
        status = report_compare_html(comparison, html_path, &err);
    }
    if (status == NS_OK && json) {
        status = cli__print_json(comparison, &err);
        comparison = NULL;
    } else if (status == NS_OK) {
        status = print_comparison(comparison, &err);
    }
    ns_json_free(comparison);
    return cli__exit_code(status, &err);
}
