// The figures of the one test, and what a threshold on the confidence would do to them.
//
// The script of the page moves the marker and redraws the curves for another label; without it the
// curves of all labels together stay.

#include <math.h>
#include <string.h>

#include "report/report_internal.h"

#define LABELS_MAX  200 // that can be chosen for the curves
#define PLOT_HEIGHT 320
#define FIRST_POINT 50 // where the slider stands at first: threshold 0.50

/* ---- figures --------------------------------------------------------------------------------- */

static void put_tile(html_text *out, const char *name, const char *value, const char *what) {
    html_put(out, "<div class=\"tile\"><dt>%s</dt><dd>%s<small>%s</small></dd></div>\n", name,
             value, what);
}

static void put_number_tile(html_text *out, const char *name, const ns_json *object,
                            const char *key, const char *what) {
    char text[32];
    const double value = ns_json_number(object, key, (double)NAN);
    if (!isnan(value)) {
        (void)snprintf(text, sizeof(text), "%.4f", value);
        put_tile(out, name, text, what);
    }
}

static void put_top_k(html_text *out, const ns_json *evaluation, int64_t count) {
    const ns_json *rows = ns_json_get(evaluation, "top_k");
    for (const ns_json *at = ns_json_first(rows); at != NULL; at = ns_json_next(at)) {
        char text[32];
        char name[32];
        const int k = (int)ns_json_int(at, "k", 0);
        if (k == 2 || k == 5) {
            (void)snprintf(name, sizeof(name), "Among the first %d", k);
            put_tile(out, name,
                     report__percent(ns_json_number(at, "accuracy", (double)NAN), count, text),
                     "the true label is one of them");
        }
    }
}

static void put_figures(html_text *out, const ns_json *evaluation) {
    char text[32];
    const int64_t count = ns_json_int(evaluation, "count", 0);
    const ns_json *macro = ns_json_get(evaluation, "macro");
    const bool several = ns_json_bool(evaluation, "several_labels", false);
    html_raw(out, "<dl class=\"tiles\">\n");
    if (several) {
        put_tile(out, "Jaccard index",
                 report__percent(ns_json_number(evaluation, "score", (double)NAN), count, text),
                 "labels said and true, over those that are either");
    }
    put_tile(out, several ? "All labels right" : "Accuracy",
             report__percent(ns_json_number(evaluation, "accuracy", (double)NAN), count, text),
             "of all test images");
    put_top_k(out, evaluation, count);
    put_number_tile(out, "Macro F1", macro, "f1", "mean over the labels");
    put_number_tile(out, "Macro AUC", evaluation, "macro_auc", "one label against the rest");
    put_number_tile(out, "Average precision", macro, "average_precision", "mean over the labels");
    put_number_tile(out, "Log loss", evaluation, "log_loss", "lower is better");
    put_number_tile(out, "Calibration error", evaluation, "ece", "confidence against truth");
    html_raw(out, "</dl>\n");
}

/* ---- the threshold --------------------------------------------------------------------------- */

static const ns_json *micro_of(const report_study *study) {
    return ns_json_get(ns_json_get(study->evaluation, "curves"), "micro");
}

static void draw_curve(const svg_plot *plot, const ns_json *thresholds, const ns_json *values,
                       const char *id, const char *classes) {
    html_put(plot->out, "<g id=\"%s\">", id);
    svg_path path = svg_path_begin(plot, classes, false);
    const ns_json *value = ns_json_first(values);
    for (const ns_json *at = ns_json_first(thresholds); at != NULL && value != NULL;
         at = ns_json_next(at), value = ns_json_next(value)) {
        const double y = ns_json_value_number(value, (double)NAN);
        if (!isnan(y)) {
            svg_to(&path, ns_json_value_number(at, 0), y);
        }
    }
    svg_path_end(&path);
    html_raw(plot->out, "</g>\n");
}

static void draw_marker(const svg_plot *plot, const ns_json *micro) {
    const double x = svg_x(plot, FIRST_POINT / 100.0);
    const double precision =
        ns_json_value_number(ns_json_at(ns_json_get(micro, "precision"), FIRST_POINT), 0);
    const double recall =
        ns_json_value_number(ns_json_at(ns_json_get(micro, "recall"), FIRST_POINT), 0);
    html_put(plot->out, "<path id=\"mark\" class=\"axis\" d=\"M%.1f %.0fV%.0f\"/>\n", x, plot->top,
             plot->bottom);
    html_put(plot->out,
             "<circle id=\"mark-precision\" class=\"dot f0\" cx=\"%.1f\" cy=\"%.1f\" "
             "r=\"6\"/>\n",
             x, svg_y(plot, precision));
    html_put(plot->out,
             "<circle id=\"mark-recall\" class=\"dot f1\" cx=\"%.1f\" cy=\"%.1f\" "
             "r=\"6\"/>\n",
             x, svg_y(plot, recall));
}

static svg_plot frame_of(html_text *out) {
    const svg_axis x = {0, 1, false, SVG_NUMBER, "threshold"};
    const svg_axis y = {0, 1, false, SVG_PERCENT, "precision and recall"};
    return svg_plot_of(out, PLOT_HEIGHT, &x, &y);
}

bool report__plot_threshold(html_text *out, const report_study *study) {
    const ns_json *curves = ns_json_get(study->evaluation, "curves");
    const ns_json *micro = micro_of(study);
    const ns_json *thresholds = ns_json_get(curves, "threshold");
    if (ns_json_count(thresholds) <= FIRST_POINT || micro == NULL) {
        return false;
    }
    const svg_plot plot = frame_of(out);
    svg_plot_draw(&plot, "Precision and recall against the threshold");
    draw_curve(&plot, thresholds, ns_json_get(micro, "precision"), "curve-precision", "curve c0");
    draw_curve(&plot, thresholds, ns_json_get(micro, "recall"), "curve-recall", "curve c1");
    draw_marker(&plot, micro);
    svg_end(out);
    return true;
}

/// Three decimals are enough for a drawing and a figure in percent.
static void add_rounded(ns_json *to, const char *key, const ns_json *values) {
    ns_json *array = ns_json_set(to, key, ns_json_array_new());
    for (const ns_json *at = ns_json_first(values); at != NULL; at = ns_json_next(at)) {
        const double value = ns_json_value_number(at, (double)NAN);
        ns_json_add_number(array, isnan(value) ? value : round(value * 1e4) / 1e4);
    }
}

static void add_curve(ns_json *to, const char *name, const ns_json *curve) {
    ns_json *one = ns_json_add(to, ns_json_object_new());
    ns_json_set_string(one, "name", name);
    add_rounded(one, "precision", ns_json_get(curve, "precision"));
    add_rounded(one, "recall", ns_json_get(curve, "recall"));
}

/// What the script needs to redraw.
static void put_material(html_text *out, const report_study *study) {
    const ns_json *per_label = ns_json_get(ns_json_get(study->evaluation, "curves"), "per_label");
    const ns_json *name = ns_json_first(ns_json_get(study->evaluation, "labels"));
    ns_json *json = ns_json_object_new();
    ns_json *curves = ns_json_set(json, "curves", ns_json_array_new());
    add_curve(curves, "all labels together", micro_of(study));
    int count = 0;
    for (const ns_json *at = ns_json_first(per_label);
         at != NULL && name != NULL && count < LABELS_MAX;
         at = ns_json_next(at), name = ns_json_next(name), count++) {
        add_curve(curves, ns_json_value_string(name, ""), at);
    }
    const svg_plot frame = frame_of(out);
    ns_json *box = ns_json_set(json, "frame", ns_json_object_new());
    ns_json_set_number(box, "left", frame.left);
    ns_json_set_number(box, "right", frame.right);
    ns_json_set_number(box, "top", frame.top);
    ns_json_set_number(box, "bottom", frame.bottom);
    html_json(out, "threshold-data", json);
}

static void put_choice(html_text *out, const report_study *study) {
    const ns_json *labels = ns_json_get(study->evaluation, "labels");
    const ns_json *per_label = ns_json_get(ns_json_get(study->evaluation, "curves"), "per_label");
    int count = 0;
    html_raw(out, "<label>of <select id=\"label\"><option>all labels together</option>");
    for (const ns_json *at = ns_json_first(labels);
         at != NULL && count < LABELS_MAX && ns_json_count(per_label) > 0;
         at = ns_json_next(at), count++) {
        html_raw(out, "<option>");
        html_escaped(out, ns_json_value_string(at, ""));
        html_raw(out, "</option>");
    }
    html_raw(out, "</select></label>\n");
}

static void put_threshold(html_text *out, const report_study *study) {
    char text[32];
    const ns_json *micro = micro_of(study);
    const ns_json *precision = ns_json_get(micro, "precision");
    const ns_json *recall = ns_json_get(micro, "recall");
    if (ns_json_count(precision) <= FIRST_POINT) {
        return;
    }
    html_raw(out,
             "<h3 id=\"threshold\">If it may stay silent</h3>\n<p>A label is said only when "
             "its confidence reaches the threshold. A higher one makes fewer mistakes "
             "(precision) and finds less (recall).</p>\n<div class=\"slider\">"
             "<label for=\"slide\">Threshold</label><input type=\"range\" id=\"slide\" min=\"0\" "
             "max=\"100\" value=\"50\"><output id=\"at\">0.50</output>\n");
    put_choice(out, study);
    html_raw(out, "</div>\n<p><span class=\"key\"><i class=\"b0\"></i>precision&nbsp;<output "
                  "id=\"precision\">");
    html_put(out,
             "%s</output></span><span class=\"key\"><i class=\"b1\"></i>recall&nbsp;<output "
             "id=\"recall\">",
             report__percent(ns_json_value_number(ns_json_at(precision, FIRST_POINT), (double)NAN),
                             0, text));
    html_put(out, "%s</output></span></p>\n",
             report__percent(ns_json_value_number(ns_json_at(recall, FIRST_POINT), (double)NAN), 0,
                             text));
    (void)report__figure_of(out, study, report__plot_threshold, "");
    put_material(out, study);
}

void report__section_test(html_text *out, const report_study *study) {
    if (study->evaluation == NULL) {
        return;
    }
    report__head(out, "test", "On the test images");
    put_figures(out, study->evaluation);
    put_threshold(out, study);
}
