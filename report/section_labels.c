// Each label's figures: those of few labels in their order, of many the worst first, the rest folded
// away.

#include <math.h>
#include <stdlib.h>

#include "report/report_internal.h"

#define OPEN_ROWS_MAX 40

typedef struct line {
    const ns_json *label;
    double f1;
} line;

static int by_f1(const void *a, const void *b) {
    const line *left = a;
    const line *right = b;
    return left->f1 != right->f1 ? (left->f1 < right->f1 ? -1 : 1)
                                 : (left->label < right->label ? -1 : 1);
}

static void put_share(html_text *out, double value) {
    if (isnan(value)) {
        html_raw(out, "<td>-</td>");
    } else {
        html_put(out, "<td>%.1f %%</td>", 100 * value);
    }
}

static void put_area(html_text *out, double value) {
    if (isnan(value)) {
        html_raw(out, "<td>-</td>");
    } else {
        html_put(out, "<td>%.4f</td>", value);
    }
}

static void put_threshold(html_text *out, double value) {
    if (isnan(value)) {
        html_raw(out, "<td>-</td>");
    } else {
        html_put(out, "<td>%.2f</td>", value);
    }
}

static void put_row(html_text *out, const ns_json *label, bool thresholds) {
    const double f1 = ns_json_number(label, "f1", (double)NAN);
    html_raw(out, "<tr>");
    report__cell_text(out, "", ns_json_string(label, "label", ""));
    html_put(out, "<td>%lld</td>", (long long)ns_json_int(label, "support", 0));
    put_share(out, ns_json_number(label, "precision", (double)NAN));
    put_share(out, ns_json_number(label, "recall", (double)NAN));
    put_share(out, f1);
    put_area(out, ns_json_number(label, "auc", (double)NAN));
    put_area(out, ns_json_number(label, "average_precision", (double)NAN));
    if (thresholds) {
        put_threshold(out, ns_json_number(label, "threshold", (double)NAN));
    }
    html_put(out,
             "<td class=\"word\"><span class=\"bar\" style=\"width:%.1frem\"></span></td></tr>\n",
             isnan(f1) ? 0 : 5 * f1);
}

static void put_table(html_text *out, const line *lines, size_t count) {
    bool thresholds = false; // whether the model has its own
    for (size_t i = 0; i < count; i++) {
        thresholds = thresholds || !isnan(ns_json_number(lines[i].label, "threshold", (double)NAN));
    }
    html_raw(out, "<div class=\"scroll\"><table>\n<tr><th>label</th><th>images</th>"
                  "<th>precision</th><th>recall</th><th>F1</th><th>AUC</th>"
                  "<th>avg precision</th>");
    html_raw(out, thresholds ? "<th>threshold</th><th></th></tr>\n" : "<th></th></tr>\n");
    for (size_t i = 0; i < count; i++) {
        put_row(out, lines[i].label, thresholds);
    }
    html_raw(out, "</table></div>\n");
}

void report__section_labels(html_text *out, const report_study *study) {
    const ns_json *labels = ns_json_get(study->evaluation, "per_label");
    size_t count = 0;
    line *lines = malloc((ns_json_count(labels) + 1) * sizeof(*lines));
    for (const ns_json *at = ns_json_first(labels); lines != NULL && at != NULL;
         at = ns_json_next(at)) {
        lines[count++] = (line){at, ns_json_number(at, "f1", -1)};
    }
    if (count > 0) {
        const bool many = count > OPEN_ROWS_MAX;
        const size_t open_count = many ? OPEN_ROWS_MAX : count;
        if (many) {
            qsort(lines, count, sizeof(*lines), by_f1);
        }
        report__head(out, "labels", many ? "Labels, the weakest first" : "Labels");
        put_table(out, lines, open_count);
        if (many) {
            html_put(out, "<details><summary>The other %zu labels</summary>\n", count - open_count);
            put_table(out, lines + open_count, count - open_count);
            html_raw(out, "</details>\n");
        }
    }
    free(lines);
}
