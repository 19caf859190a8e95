// All trials: the score against what the network costs to use, and the Pareto front.
//
// The front of a study counts score, speed and size; the plot shows the first two, so its line is
// the part of the front that can be seen in them.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/report_internal.h"

#define FRONT_ROWS_MAX 16

/// What stands for cost: time, or where none was measured, work.
typedef struct cost {
    const char *key, *title, *unit;
} cost;

static const cost latency = {"latency_ms", "ms for one image, one core", "ms an image"};
static const cost flops = {"flops", "FLOPs an image", "FLOPs an image"};

static const cost *cost_of(const ns_json *trials) {
    for (const ns_json *at = ns_json_first(trials); at != NULL; at = ns_json_next(at)) {
        if (ns_json_number(at, "latency_ms", 0) > 0) {
            return &latency;
        }
    }
    return &flops;
}

/// A trial as it is drawn.
typedef struct point {
    const ns_json *trial;
    double x, y;
} point;

/// Those with score and cost, malloced; NULL when there are none.
static point *points_of(const ns_json *trials, const cost *by, size_t *count) {
    point *points = malloc((ns_json_count(trials) + 1) * sizeof(*points));
    *count = 0;
    for (const ns_json *at = ns_json_first(trials); points != NULL && at != NULL;
         at = ns_json_next(at)) {
        const point p = {at, ns_json_number(at, by->key, 0),
                         ns_json_number(at, "val_accuracy", (double)NAN)};
        if (p.x > 0 && !isnan(p.y)) {
            points[(*count)++] = p;
        }
    }
    if (*count == 0) {
        free(points);
        return NULL;
    }
    return points;
}

static int by_cost(const void *a, const void *b) {
    const point *left = a;
    const point *right = b;
    return left->x != right->x ? (left->x < right->x ? -1 : 1)
                               : (left->y > right->y ? -1 : left->y < right->y);
}

/* ---- words ----------------------------------------------------------------------------------- */

/// "stage1_width 64, activation gelu": the genes that are not as the first trial's.
static void put_difference(html_text *out, const ns_json *genotype, const ns_json *anchor) {
    const char *comma = "";
    const ns_json *other = ns_json_first(anchor);
    for (const ns_json *at = ns_json_first(genotype); at != NULL; at = ns_json_next(at)) {
        char mine[64];
        char theirs[64] = "";
        const char *key = ns_json_key(at);
        // Both are in the space's order.
        if (other != NULL && strcmp(ns_json_key(other), key) == 0) {
            (void)ns_json_value_text(other, theirs, sizeof(theirs));
            other = ns_json_next(other);
        }
        if (strcmp(ns_json_value_text(at, mine, sizeof(mine)), theirs) != 0) {
            html_put(out, "%s", comma);
            html_escaped(out, key);
            html_raw(out, " ");
            html_escaped(out, mine);
            comma = ", ";
        }
    }
    html_raw(out, *comma == '\0' ? "the same genes" : "");
}

static void put_words(html_text *out, const ns_json *trial, const ns_json *anchor, const cost *by) {
    char text[32];
    html_put(out, "Trial %lld: ", (long long)ns_json_int(trial, "number", 0));
    html_put(out, "%s",
             report__percent(ns_json_number(trial, "val_accuracy", (double)NAN), 0, text));
    html_put(out, ", %s %s", report__figure(ns_json_number(trial, by->key, 0), text), by->unit);
    html_put(out, ", %s parameters", ns_group_digits(ns_json_int(trial, "params", 0), text));
    if (strcmp(ns_json_string(trial, "state", ""), "PRUNED") == 0) {
        html_raw(out, ", stopped early");
    }
    if (strcmp(ns_json_string(trial, "purpose", ""), "confirm") == 0) {
        html_put(out, ", confirms trial %lld", (long long)ns_json_int(trial, "of_trial", 0));
    }
    html_raw(out, ".\n");
    if (ns_json_int(trial, "number", 0) != 0) {
        html_raw(out, "Against trial 0: ");
        put_difference(out, ns_json_get(trial, "genes"), anchor);
        html_raw(out, ".");
    } else {
        html_raw(out, "The hand-made network that every study begins with.");
    }
}

/* ---- the plot -------------------------------------------------------------------------------- */

static const char *classes_of(const ns_json *trial, int64_t winner) {
    if (ns_json_int(trial, "number", -1) == winner) {
        return "dot f4 pt";
    }
    return ns_json_bool(trial, "front", false)                         ? "dot f2 pt"
           : strcmp(ns_json_string(trial, "state", ""), "PRUNED") == 0 ? "dot f1 pt faint"
                                                                       : "dot f0 pt faint";
}

/// Most scores lie close together; a few hopeless ones must not squeeze them, and are drawn on
/// the lower edge.
static double floor_of(const point *points, size_t count) {
    double high = -INFINITY;
    double low = INFINITY;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        high = fmax(high, points[i].y);
        low = fmin(low, points[i].y);
        sum += points[i].y;
    }
    return fmax(low, high - 4 * (high - sum / (double)count));
}

static void draw_front(const svg_plot *plot, const point *points, size_t count) {
    double best = -INFINITY;
    svg_path path = svg_path_begin(plot, "curve c2", true);
    for (size_t i = 0; i < count; i++) {
        const bool complete = strcmp(ns_json_string(points[i].trial, "state", ""), "COMPLETE") == 0;
        if (complete && points[i].y > best) {
            best = points[i].y;
            svg_to(&path, points[i].x, fmax(best, plot->y.low));
        }
    }
    svg_path_end(&path);
}

static void draw_points(const svg_plot *plot, const point *points, size_t count, const cost *by,
                        const report_study *study) {
    const ns_json *anchor =
        ns_json_get(ns_json_first(ns_json_get(study->record, "trials")), "genes");
    const int64_t winner = ns_json_int(report__study_of(study), "winner_trial", -1);
    for (int layer = 0; layer < 2; layer++) { // the front and the winner on top
        for (size_t i = 0; i < count; i++) {
            const char *classes = classes_of(points[i].trial, winner);
            const bool faint = strstr(classes, "faint") != NULL;
            if (faint == (layer == 0)) {
                svg_dot(plot, points[i].x, fmax(points[i].y, plot->y.low), faint ? 4.5 : 6,
                        classes);
                put_words(plot->out, points[i].trial, anchor, by);
                svg_dot_end(plot);
            }
        }
    }
}

bool report__plot_trials(html_text *out, const report_study *study) {
    const ns_json *trials = ns_json_get(study->record, "trials");
    const cost *by = cost_of(trials);
    size_t count = 0;
    point *points = points_of(trials, by, &count);
    if (points == NULL) {
        return false;
    }
    qsort(points, count, sizeof(*points), by_cost);
    double high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        high = fmax(high, points[i].y);
    }
    const svg_axis x = svg_axis_wide(points[0].x, points[count - 1].x, SVG_NUMBER, by->title);
    char title[48];
    char label[80];
    const char *score = report__score(report__study_of(study));
    (void)snprintf(title, sizeof(title), "validation %s", score);
    (void)snprintf(label, sizeof(label), "Validation %s of all trials against their cost", score);
    const svg_axis y = svg_axis_around(floor_of(points, count), high, SVG_PERCENT, title);
    const svg_plot plot = svg_plot_begin(out, 380, &x, &y, label);
    draw_front(&plot, points, count);
    draw_points(&plot, points, count, by, study);
    svg_end(out);
    free(points);
    return true;
}

/* ---- the section ----------------------------------------------------------------------------- */

static void put_front_row(html_text *out, const ns_json *trial, int64_t winner) {
    char text[32];
    const int64_t number = ns_json_int(trial, "number", 0);
    html_put(out, "<tr><td>%lld%s</td>", (long long)number, number == winner ? " (winner)" : "");
    html_put(out, "<td>%s</td>",
             report__percent(ns_json_number(trial, "val_accuracy", (double)NAN), 0, text));
    html_put(out, "<td>%s</td>",
             report__figure(ns_json_number(trial, "latency_ms", (double)NAN), text));
    html_put(out, "<td>%s</td>", ns_group_digits(ns_json_int(trial, "params", 0), text));
    html_put(out, "<td>%.1f M</td></tr>\n", ns_json_number(trial, "flops", 0) / 1e6);
}

static void put_front(html_text *out, const ns_json *trials, const ns_json *status) {
    const int64_t winner = ns_json_int(status, "winner_trial", -1);
    int count = 0;
    int64_t left_out = 0;
    html_put(out,
             "<h3>The Pareto front</h3>\n<p class=\"quiet\">No other trial is as accurate, as "
             "fast and as small, and better in one of these.</p>\n<div class=\"scroll\">"
             "<table>\n<tr><th>trial</th><th>%s</th><th>ms an image</th>"
             "<th>parameters</th><th>FLOPs an image</th></tr>\n",
             report__score(status));
    for (const ns_json *at = ns_json_first(trials); at != NULL; at = ns_json_next(at)) {
        if (ns_json_bool(at, "front", false) && count++ < FRONT_ROWS_MAX) {
            put_front_row(out, at, winner);
        } else if (ns_json_bool(at, "front", false)) {
            left_out++;
        }
    }
    html_raw(out, "</table></div>\n");
    if (left_out > 0) {
        html_put(out, "<p class=\"quiet\">And %lld more: nightshift trials --pareto.</p>\n",
                 (long long)left_out);
    }
}

static void put_key(html_text *out) {
    html_raw(out, "<p><span class=\"key\"><i class=\"b4\"></i>winner</span>"
                  "<span class=\"key\"><i class=\"b2\"></i>Pareto front</span>"
                  "<span class=\"key\"><i class=\"b0\"></i>complete</span>"
                  "<span class=\"key\"><i class=\"b1\"></i>stopped early</span></p>\n");
}

void report__section_trials(html_text *out, const report_study *study) {
    char text[32];
    const ns_json *trials = ns_json_get(study->record, "trials");
    const int64_t drawn = (int64_t)ns_json_count(trials);
    const int64_t count = ns_json_int(study->record, "trial_count", drawn);
    if (drawn == 0) {
        return;
    }
    report__head(out, "trials", "All trials");
    html_raw(out, "<p>Each point is one network, trained once. Higher is better, further left is "
                  "cheaper to use.");
    if (drawn < count) {
        html_put(out, " Of %s trials", ns_group_digits(count, text));
        html_put(out,
                 " %s are drawn: the front, what was best at its time, and an even sample of "
                 "the others.",
                 ns_group_digits(drawn, text));
    }
    html_raw(out, "</p>\n");
    put_key(out);
    (void)report__figure_of(out, study, report__plot_trials, "");
    html_raw(out,
             "<p class=\"readout\" id=\"readout\" aria-live=\"polite\">Point at a trial to see "
             "its genes.</p>\n");
    put_front(out, trials, report__study_of(study));
}
