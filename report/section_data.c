// What was learnt from: images by label and split.

#include <stdlib.h>

#include "report/report_internal.h"

#define OPEN_ROWS_MAX 30

static void put_cell(html_text *out, size_t count) {
    char text[32];
    html_put(out, "<td>%s</td>", ns_group_digits((int64_t)count, text));
}

static void put_row(html_text *out, const data_set *set, int label, size_t train_max) {
    const size_t train = data_label_count(set, DATA_TRAIN, label);
    html_raw(out, "<tr>");
    report__cell_text(out, "", data_describe(set)->labels[label]);
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        put_cell(out, data_label_count(set, (data_split)split, label));
    }
    html_put(out,
             "<td class=\"word\"><span class=\"bar\" style=\"width:%.2frem\"></span></td></tr>\n",
             train_max > 0 ? 6 * (double)train / (double)train_max : 0);
}

static void put_rows(html_text *out, const data_set *set, int first, int end, size_t train_max) {
    html_raw(out, "<div class=\"scroll\"><table>\n<tr><th>label</th><th>train</th>"
                  "<th>validation</th><th>test</th><th></th></tr>\n");
    for (int label = first; label < end; label++) {
        put_row(out, set, label, train_max);
    }
    if (first == 0) {
        html_raw(out, "<tr class=\"sum\"><td>All labels</td>");
        for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
            put_cell(out, data_describe(set)->split_count[split]);
        }
        html_raw(out, "<td></td></tr>\n");
    }
    html_raw(out, "</table></div>\n");
}

static void put_summary(html_text *out, const data_info *info, size_t dropped_count) {
    char text[32];
    html_put(out, "<p>%s images of ", ns_group_digits((int64_t)info->image_count, text));
    html_put(out, "%d×%d pixels, %s, with %d labels", info->width, info->height,
             info->channels == 1 ? "grey" : "colour", info->label_count);
    if (dropped_count > 0) {
        html_put(out, "; %s files were dropped on import (nightshift inspect says why)",
                 ns_group_digits((int64_t)dropped_count, text));
    }
    html_raw(out, ".</p>\n");
}

void report__section_data(html_text *out, const report_study *study) {
    if (study->set == NULL) {
        return;
    }
    const data_info *info = data_describe(study->set);
    size_t train_max = 0;
    for (int label = 0; label < info->label_count; label++) {
        const size_t train = data_label_count(study->set, DATA_TRAIN, label);
        train_max = train > train_max ? train : train_max;
    }
    const int open_count = info->label_count < OPEN_ROWS_MAX ? info->label_count : OPEN_ROWS_MAX;
    report__head(out, "data", "The data");
    put_summary(out, info, data_dropped_count(study->set));
    put_rows(out, study->set, 0, open_count, train_max);
    if (open_count < info->label_count) {
        html_put(out, "<details><summary>The other %d labels</summary>\n",
                 info->label_count - open_count);
        put_rows(out, study->set, open_count, info->label_count, train_max);
        html_raw(out, "</details>\n");
    }
}
