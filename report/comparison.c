// Studies side by side as a page: what more of the budget bought, how their best grew, their figures,
// and whether their models really differ. A function of search_compare_json() alone.

#include <math.h>
#include <string.h>

#include "report/report_internal.h"

/* ---- what more bought ------------------------------------------------------------------------ */

static void put_name(html_text *out, const char *name) {
    html_raw(out, "<strong>");
    html_escaped(out, name);
    html_raw(out, "</strong>");
}

/// How many of the test images the first did better on, and how many the second.
static void put_counts(html_text *out, const ns_json *pair, bool in_scores, const ns_json *test) {
    char text[32];
    const char *key = in_scores ? "first_better" : "only_first";
    html_raw(out, in_scores ? " Test images on which " : " Test images that only ");
    put_name(out, ns_json_string(pair, "first", ""));
    html_put(out, in_scores ? " scores higher: %s; on which " : " gets right: %s; only ",
             ns_group_digits(ns_json_int(test, key, 0), text));
    put_name(out, ns_json_string(pair, "second", ""));
    key = in_scores ? "second_better" : "only_second";
    html_put(out, in_scores ? " does: %s; " : ": %s; ",
             ns_group_digits(ns_json_int(test, key, 0), text));
}

/// "30 of 10,000 more" is no news without its chance, so the test stands beside the difference.
static void put_pair_test(html_text *out, const ns_json *pair) {
    const char *reason = ns_json_string(pair, "reason", NULL);
    const bool in_scores = ns_json_count(ns_json_get(pair, "mcnemar")) == 0;
    const ns_json *test = ns_json_get(pair, in_scores ? "randomisation" : "mcnemar");
    if (ns_json_count(test) == 0) {
        html_raw(out, " They were not tested against each other: ");
        html_escaped(out, reason != NULL ? reason : "no answers are kept");
        html_raw(out, ".");
        return;
    }
    put_counts(out, pair, in_scores, test);
    const char *name = in_scores ? "randomisation test of the scores" : "McNemar's test";
    const double p = ns_json_number(test, "p", 1);
    if (p < 0.001) {
        html_put(out, "that is more than chance (%s, p below 0.001).", name);
    } else {
        html_put(out, "that %s (%s, p = %.2g).",
                 p < 0.05 ? "is more than chance" : "may well be chance", name, p);
    }
}

static const ns_json *study_named(const ns_json *studies, const char *name) {
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        if (strcmp(ns_json_string(at, "study", ""), name) == 0) {
            return at;
        }
    }
    return NULL;
}

/// What the scores of the studies are called; "score" where they are not of one kind.
static const char *score_of(const ns_json *studies) {
    return search_common_score_name(studies) != NULL ? report__score(ns_json_first(studies))
                                                     : "score";
}

static void put_bought(html_text *out, const ns_json *cheap, const ns_json *dear) {
    char text[32];
    const int64_t more_ms =
        ns_json_int(dear, "node_ms_used", 0) - ns_json_int(cheap, "node_ms_used", 0);
    const double gain = ns_json_number(dear, "test_accuracy", (double)NAN) -
                        ns_json_number(cheap, "test_accuracy", (double)NAN);
    put_name(out, ns_json_string(dear, "study", ""));
    html_put(out, " used %s more node time than ", report__time(more_ms, text));
    put_name(out, ns_json_string(cheap, "study", ""));
    const double money = ns_json_number(dear, "cost", 0) - ns_json_number(cheap, "cost", 0);
    html_put(out, ", %.2f more in money. ", money);
    if (!isnan(gain) && strcmp(report__score(dear), report__score(cheap)) == 0) {
        html_put(out, "It %s %.2f points of test %s.", gain < 0 ? "lost" : "bought",
                 100 * fabs(gain), report__score(dear));
    }
}

static void put_pairs(html_text *out, const ns_json *comparison) {
    const ns_json *studies = ns_json_get(comparison, "studies");
    const ns_json *pairs = ns_json_get(comparison, "pairs");
    report__head(out, "bought", "What more of the budget bought");
    html_raw(out, "<ul>\n");
    for (const ns_json *at = ns_json_first(pairs); at != NULL; at = ns_json_next(at)) {
        const ns_json *first = study_named(studies, ns_json_string(at, "first", ""));
        const ns_json *second = study_named(studies, ns_json_string(at, "second", ""));
        const bool swapped =
            ns_json_int(first, "node_ms_used", 0) > ns_json_int(second, "node_ms_used", 0);
        html_raw(out, "<li>");
        put_bought(out, swapped ? second : first, swapped ? first : second);
        put_pair_test(out, at);
        html_raw(out, "</li>\n");
    }
    html_raw(out, "</ul>\n");
}

/* ---- the curves ------------------------------------------------------------------------------ */

static void draw_curve(const svg_plot *plot, const ns_json *study, int colour) {
    char classes[16];
    char text[32];
    double best = (double)NAN;
    const ns_json *curve = ns_json_get(study, "best_so_far");
    (void)snprintf(classes, sizeof(classes), "curve c%d", colour);
    svg_path path = svg_path_begin(plot, classes, true);
    for (const ns_json *at = ns_json_first(curve); at != NULL; at = ns_json_next(at)) {
        best = ns_json_number(at, "val_accuracy", (double)NAN);
        svg_to(&path, ns_json_number(at, "node_ms", 0), best);
    }
    const double end_ms = ns_json_number(study, "node_ms_used", 0);
    svg_to(&path, end_ms, best);
    svg_path_end(&path);
    (void)snprintf(classes, sizeof(classes), "dot f%d pt", colour);
    svg_dot(plot, end_ms, best, 5, classes);
    html_escaped(plot->out, ns_json_string(study, "study", ""));
    html_put(plot->out, ": %s", report__percent(best, 0, text));
    svg_dot_end(plot);
}

/// Whose curve ends with its trials.
static void put_without_point(html_text *out, const ns_json *studies) {
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        if (search_trained_on_validation(at)) {
            html_raw(out, "<p>The final model of ");
            put_name(out, ns_json_string(at, "study", ""));
            html_raw(out, " was trained on validation images too: it has no point here.</p>\n");
        }
    }
}

static void put_curves(html_text *out, const ns_json *studies) {
    double low = INFINITY;
    double high = -INFINITY;
    double end_ms = 0;
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        const ns_json *curve = ns_json_get(at, "best_so_far");
        end_ms = fmax(end_ms, ns_json_number(at, "node_ms_used", 0));
        for (const ns_json *p = ns_json_first(curve); p != NULL; p = ns_json_next(p)) {
            low = fmin(low, ns_json_number(p, "val_accuracy", (double)NAN));
            high = fmax(high, ns_json_number(p, "val_accuracy", (double)NAN));
        }
    }
    if (!(low <= high) || end_ms <= 0) {
        return;
    }
    char title[48];
    char label[80];
    (void)snprintf(title, sizeof(title), "best validation %s so far", score_of(studies));
    (void)snprintf(label, sizeof(label), "Best validation %s of the studies by node time",
                   score_of(studies));
    svg_axis x = svg_axis_around(0, end_ms, SVG_TIME, "node time");
    const svg_axis y = svg_axis_around(low, high, SVG_PERCENT, title);
    x.high = end_ms;
    report__head(out, "progress", "Best so far");
    html_raw(out, "<p>");
    int index = 0;
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        html_put(out, "<span class=\"key\"><i class=\"b%d\"></i>", index++ % SVG_COLOURS);
        html_escaped(out, ns_json_string(at, "study", ""));
        html_raw(out, "</span>");
    }
    html_raw(out, "</p>\n<figure class=\"panel\">\n");
    const svg_plot plot = svg_plot_begin(out, 340, &x, &y, label);
    index = 0;
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        if (ns_json_count(ns_json_get(at, "best_so_far")) > 0) {
            draw_curve(&plot, at, index % SVG_COLOURS);
        }
        index++;
    }
    svg_end(out);
    html_raw(out, "</figure>\n");
    put_without_point(out, studies);
}

/* ---- the figures ----------------------------------------------------------------------------- */

typedef enum figure_kind {
    FIGURE_WORD,
    FIGURE_SCORE, // its name follows that of the figure
    FIGURE_NUMBER,
    FIGURE_COUNT,
    FIGURE_MONEY,
    FIGURE_TIME,
    FIGURE_HOURS,
} figure_kind;

typedef struct figure {
    const char *name, *key;
    figure_kind kind;
} figure;

static const figure figures[] = {
    {"State", "state", FIGURE_WORD},
    {"Test ", "test_accuracy", FIGURE_SCORE},
    {"Test macro AUC", "test_macro_auc", FIGURE_NUMBER},
    {"Validation ", "best_val_accuracy", FIGURE_SCORE},
    {"Validation of the", "best_val_accuracy_of", FIGURE_WORD},
    {"Node time", "node_ms_used", FIGURE_TIME},
    {"Node-hours", "node_ms_used", FIGURE_HOURS},
    {"Money", "cost", FIGURE_MONEY},
    {"Parameters", "params", FIGURE_COUNT},
    {"ms an image, one core", "latency_ms", FIGURE_NUMBER},
    {"ms an image, all cores", "latency_ms_all_cores", FIGURE_NUMBER},
    {"Sampler", "sampler", FIGURE_WORD},
    {"Target", "target", FIGURE_WORD},
    {"Seed", "seed", FIGURE_COUNT},
};

/// A score below a head of the name `head`, with its own name where that is another.
static void score_text(const ns_json *study, double value, const char *head, char out[64]) {
    char text[32];
    const char *name = report__score(study);
    const bool named = !isnan(value) && strcmp(name, head) != 0;
    (void)snprintf(out, 64, "%s%s%s", named ? name : "", named ? " " : "",
                   report__percent(value, 0, text));
}

static void put_figure(html_text *out, const ns_json *study, const figure *f, const char *score) {
    char text[64];
    const double value = ns_json_number(study, f->key, (double)NAN);
    switch (f->kind) {
    case FIGURE_WORD:
        (void)snprintf(text, sizeof(text), "%s", ns_json_string(study, f->key, "-"));
        break;
    case FIGURE_SCORE:
        score_text(study, value, score, text);
        break;
    case FIGURE_NUMBER:
        if (isnan(value)) {
            (void)snprintf(text, sizeof(text), "-");
        } else {
            (void)snprintf(text, sizeof(text), "%.4f", value);
        }
        break;
    case FIGURE_COUNT:
        (void)ns_group_digits(ns_json_int(study, f->key, 0), text);
        break;
    case FIGURE_MONEY:
        (void)snprintf(text, sizeof(text), "%.2f", isnan(value) ? 0 : value);
        break;
    case FIGURE_TIME:
        (void)report__time(ns_json_int(study, f->key, 0), text);
        break;
    case FIGURE_HOURS:
        (void)snprintf(text, sizeof(text), "%.4f", isnan(value) ? 0 : value / 3.6e6);
        break;
    }
    report__cell_text(out, "", text);
}

static void put_figures(html_text *out, const ns_json *studies) {
    const char *score = score_of(studies);
    report__head(out, "figures", "Side by side");
    html_raw(out, "<div class=\"scroll\"><table>\n<tr><th></th>");
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        html_raw(out, "<th>");
        html_escaped(out, ns_json_string(at, "study", ""));
        html_raw(out, "</th>");
    }
    html_raw(out, "</tr>\n");
    for (size_t i = 0; i < NS_COUNT_OF(figures); i++) {
        html_put(out, "<tr><td>%s%s</td>", figures[i].name,
                 figures[i].kind == FIGURE_SCORE ? score : "");
        for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
            put_figure(out, at, &figures[i], score);
        }
        html_raw(out, "</tr>\n");
    }
    html_raw(out, "</table></div>\n");
}

/// The study of the best test score; NULL: none has one, or they are not of one kind.
static const ns_json *best_of(const ns_json *studies) {
    const ns_json *best = NULL;
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        const double value = ns_json_number(at, "test_accuracy", (double)NAN);
        if (strcmp(report__score(at), score_of(studies)) != 0) {
            return NULL;
        }
        if (!isnan(value) && (best == NULL || value > ns_json_number(best, "test_accuracy", 0))) {
            best = at;
        }
    }
    return best;
}

static void put_headline(html_text *out, const ns_json *studies) {
    char text[32];
    const ns_json *best = best_of(studies);
    html_put(out, "<header>\n<h1>%zu studies side by side</h1>\n", ns_json_count(studies));
    if (best != NULL) {
        html_put(out,
                 "<p class=\"headline\">%s</p>\n<p class=\"interval\">the best test %s "
                 "of them, by ",
                 report__percent(ns_json_number(best, "test_accuracy", (double)NAN), 0, text),
                 report__score(best));
        html_escaped(out, ns_json_string(best, "study", ""));
        html_raw(out, ".</p>\n");
    }
    html_raw(out, "</header>\n");
}

ns_status report_compare_html(const ns_json *comparison, const char *path, ns_error *err) {
    const ns_json *studies = ns_json_get(comparison, "studies");
    html_text *out = html_new();
    html_page_begin(out, "Studies side by side - nightshift");
    put_headline(out, studies);
    put_pairs(out, comparison);
    put_curves(out, studies);
    put_figures(out, studies);
    html_page_end(out);
    return html_save(out, path, err);
}
