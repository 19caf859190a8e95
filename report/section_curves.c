// Learning curves: what trials had reached at their marks, and at the end.

#include <math.h>
#include <string.h>

#include "report/report_internal.h"

#define CURVES_MAX 60

/// Whether a trial's curve can be drawn.
static bool has_curve(const ns_json *trial) {
    return ns_json_count(ns_json_get(trial, "marks")) > 0 &&
           !isnan(ns_json_number(trial, "val_accuracy", (double)NAN));
}

static void reach(const ns_json *trial, double *low, double *high) {
    const ns_json *marks = ns_json_get(trial, "marks");
    for (const ns_json *at = ns_json_first(marks); at != NULL; at = ns_json_next(at)) {
        const double value = ns_json_number(at, "val_accuracy", (double)NAN);
        *low = fmin(*low, value);
        *high = fmax(*high, value);
    }
    const double last = ns_json_number(trial, "val_accuracy", (double)NAN);
    *low = fmin(*low, last);
    *high = fmax(*high, last);
}

static void draw_curve(const svg_plot *plot, const ns_json *trial, bool winner) {
    char classes[32];
    char text[32];
    const ns_json *marks = ns_json_get(trial, "marks");
    const double last = ns_json_number(trial, "val_accuracy", (double)NAN);
    const int rung = (int)(ns_json_int(trial, "rung", 0) % 4);
    const bool complete = strcmp(ns_json_string(trial, "state", ""), "COMPLETE") == 0;
    (void)snprintf(classes, sizeof(classes), "%s c%d", winner ? "curve" : "thin",
                   winner ? 4 : rung);
    svg_path path = svg_path_begin(plot, classes, false);
    double reached = 0;
    double value = last;
    for (const ns_json *at = ns_json_first(marks); at != NULL; at = ns_json_next(at)) {
        reached = ns_json_number(at, "fraction", 0);
        value = ns_json_number(at, "val_accuracy", last);
        svg_to(&path, reached, value);
    }
    if (complete) {
        svg_to(&path, 1, last);
        reached = 1;
        value = last;
    }
    svg_path_end(&path);
    (void)snprintf(classes, sizeof(classes), "dot f%d pt", winner ? 4 : complete ? rung : 1);
    svg_dot(plot, reached, value, winner ? 5 : 3.5, classes);
    html_put(plot->out, "Trial %lld: %s%s", (long long)ns_json_int(trial, "number", 0),
             report__percent(last, 0, text), complete ? "" : ", stopped early");
    svg_dot_end(plot);
}

bool report__plot_curves(html_text *out, const report_study *study) {
    const ns_json *trials = ns_json_get(study->record, "trials");
    const int64_t winner = ns_json_int(report__study_of(study), "winner_trial", -1);
    double low = INFINITY;
    double high = -INFINITY;
    int count = 0;
    for (const ns_json *at = ns_json_first(trials); at != NULL; at = ns_json_next(at)) {
        if (has_curve(at)) {
            reach(at, &low, &high);
            count++;
        }
    }
    if (count == 0) {
        return false;
    }
    const svg_axis x = {0, 1, false, SVG_PERCENT, "share of the trial's training"};
    char title[48];
    (void)snprintf(title, sizeof(title), "validation %s", report__score(report__study_of(study)));
    const svg_axis y = svg_axis_around(low, high, SVG_PERCENT, title);
    const svg_plot plot = svg_plot_begin(out, 320, &x, &y, "Learning curves of the trials");
    const int stride = 1 + (count - 1) / CURVES_MAX;
    int index = 0;
    for (const ns_json *at = ns_json_first(trials); at != NULL; at = ns_json_next(at)) {
        const bool won = ns_json_int(at, "number", -1) == winner;
        if (has_curve(at) && (won || ns_json_bool(at, "front", false) || index++ % stride == 0)) {
            draw_curve(&plot, at, won);
        }
    }
    svg_end(out);
    return true;
}

void report__section_curves(html_text *out, const report_study *study) {
    const ns_json *trials = ns_json_get(study->record, "trials");
    bool any = false;
    for (const ns_json *at = ns_json_first(trials); at != NULL && !any; at = ns_json_next(at)) {
        any = has_curve(at);
    }
    if (!any) {
        return;
    }
    report__head(out, "curves", "Learning curves");
    html_raw(out,
             "<p>Trials are judged on the way, at some marks, and at their end. Every schedule "
             "ends at a learning rate of zero, hence the rise towards the end.</p>\n"
             "<p><span class=\"key\"><i class=\"b4\"></i>winner</span>"
             "<span class=\"key\"><i class=\"b0\"></i>shortest training</span>"
             "<span class=\"key\"><i class=\"b1\"></i>next rung, or stopped early</span></p>\n");
    (void)report__figure_of(out, study, report__plot_curves, "");
}
