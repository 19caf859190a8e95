// How the best validation score grew with the node time, and what the last of it bought.

#include <math.h>

#include "report/report_internal.h"

/// The least score that is worth a place: of the curve itself, and of most trials.
static double floor_of(const ns_json *curve, const ns_json *trials) {
    double low = INFINITY;
    double sum = 0;
    double count = 0;
    for (const ns_json *at = ns_json_first(curve); at != NULL; at = ns_json_next(at)) {
        low = fmin(low, ns_json_number(at, "val_accuracy", (double)NAN));
    }
    for (const ns_json *at = ns_json_first(trials); at != NULL; at = ns_json_next(at)) {
        const double value = ns_json_number(at, "val_accuracy", (double)NAN);
        sum += isnan(value) ? 0 : value;
        count += isnan(value) ? 0 : 1;
    }
    return count > 0 ? fmin(low, sum / count) : low;
}

static void draw_trials(const svg_plot *plot, const ns_json *trials) {
    for (const ns_json *at = ns_json_first(trials); at != NULL; at = ns_json_next(at)) {
        const double value = ns_json_number(at, "val_accuracy", (double)NAN);
        const double node_ms = ns_json_number(at, "finished_node_ms", 0);
        if (!isnan(value) && node_ms > 0 && value >= plot->y.low) {
            html_put(plot->out, "<circle class=\"f5 faint\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>",
                     svg_x(plot, node_ms), svg_y(plot, value));
        }
    }
    html_raw(plot->out, "\n");
}

static void draw_curve(const svg_plot *plot, const ns_json *curve, double end_ms) {
    svg_path path = svg_path_begin(plot, "curve c0", true);
    double best = (double)NAN;
    for (const ns_json *at = ns_json_first(curve); at != NULL; at = ns_json_next(at)) {
        best = ns_json_number(at, "val_accuracy", (double)NAN);
        svg_to(&path, ns_json_number(at, "node_ms", 0), best);
    }
    svg_to(&path, end_ms, best);
    svg_path_end(&path);
    for (const ns_json *at = ns_json_first(curve); at != NULL; at = ns_json_next(at)) {
        char text[32];
        const double value = ns_json_number(at, "val_accuracy", (double)NAN);
        svg_dot(plot, ns_json_number(at, "node_ms", 0), value, 4.5, "dot f0 pt");
        html_put(plot->out, "%s", report__percent(value, 0, text));
        html_put(plot->out, " after %s", report__time(ns_json_int(at, "node_ms", 0), text));
        svg_dot_end(plot);
    }
}

bool report__plot_progress(html_text *out, const report_study *study) {
    const ns_json *curve = ns_json_get(study->record, "best_so_far");
    const ns_json *trials = ns_json_get(study->record, "trials");
    const double end_ms = ns_json_number(report__study_of(study), "node_ms_used", 0);
    double best = -INFINITY;
    for (const ns_json *at = ns_json_first(curve); at != NULL; at = ns_json_next(at)) {
        best = fmax(best, ns_json_number(at, "val_accuracy", (double)NAN));
    }
    if (isinf(best) || end_ms <= 0) {
        return false;
    }
    char title[48];
    char label[64];
    const char *score = report__score(report__study_of(study));
    (void)snprintf(title, sizeof(title), "best validation %s so far", score);
    (void)snprintf(label, sizeof(label), "Best validation %s against node time", score);
    svg_axis x = svg_axis_around(0, end_ms, SVG_TIME, "node time");
    const svg_axis y = svg_axis_around(floor_of(curve, trials), best, SVG_PERCENT, title);
    x.high = end_ms;
    const svg_plot plot = svg_plot_begin(out, 320, &x, &y, label);
    draw_trials(&plot, trials);
    draw_curve(&plot, curve, end_ms);
    svg_end(out);
    return true;
}

static void put_gain(html_text *out, const ns_json *gain) {
    char text[32];
    const double value = ns_json_number(gain, "gain", (double)NAN);
    const int64_t node_ms = ns_json_int(gain, "node_ms", 0);
    if (isnan(value) || node_ms <= 0) {
        return;
    }
    html_put(out, "<p>The last %s of node time ", report__time(node_ms, text));
    if (value > 0) {
        html_put(out, "raised it by %.2f points.</p>\n", 100 * value);
    } else {
        html_raw(out, "did not raise it.</p>\n");
    }
}

void report__section_progress(html_text *out, const report_study *study) {
    if (ns_json_count(ns_json_get(study->record, "best_so_far")) == 0) {
        return;
    }
    report__head(out, "progress", "Best so far");
    put_gain(out, ns_json_get(study->record, "last_node_hour"));
    (void)report__figure_of(out, study, report__plot_progress,
                            "Each grey point is a trial; the line is the best of them so far.");
}
