// What was spent, and on what.

#include "report/report_internal.h"

typedef struct part {
    const char *key, *name, *what;
} part;

static const part parts[] = {
    {"search", "Search", "training of candidates"},
    {"confirm", "Confirmation", "the best few again, with new seeds"},
    {"retrain", "Retraining", "the winner, from scratch, on all cores"},
    {"finish", "Finish", "validation, the one test, export"},
    {"overhead", "Overhead", "calibration, and what is between the others"},
};

static int64_t total_of(const ns_json *usage) {
    int64_t total_ms = 0;
    for (size_t i = 0; i < NS_COUNT_OF(parts); i++) {
        total_ms += ns_json_int(usage, parts[i].key, 0);
    }
    return total_ms;
}

bool report__plot_spent(html_text *out, const report_study *study) {
    const ns_json *usage = ns_json_get(study->record, "usage");
    const int64_t total_ms = total_of(usage);
    if (total_ms <= 0) {
        return false;
    }
    double x = 0;
    svg_begin(out, 36, "Shares of the node time");
    for (size_t i = 0; i < NS_COUNT_OF(parts); i++) {
        const double share = (double)ns_json_int(usage, parts[i].key, 0) / (double)total_ms;
        const double width = share * SVG_WIDTH;
        if (width <= 0) {
            continue;
        }
        html_put(out,
                 "<rect class=\"f%zu\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"36\">"
                 "<title>%s: %.1f %%</title></rect>\n",
                 i, x, width > 1.5 ? width - 1 : width, parts[i].name, 100 * share);
        x += width;
    }
    svg_end(out);
    return true;
}

static void put_row(html_text *out, size_t i, int64_t ms, int64_t total_ms, double price) {
    char text[32];
    html_put(out,
             "<tr><td><span class=\"key\"><i class=\"b%zu\"></i></span>%s "
             "<span class=\"quiet aside\">%s</span></td>",
             i, parts[i].name, parts[i].what);
    html_put(out, "<td>%s</td><td>%.4f</td><td>%.2f</td><td>%.1f %%</td></tr>\n",
             report__time(ms, text), (double)ms / 3.6e6, budget_cost(ms, price),
             100 * (double)ms / (double)total_ms);
}

void report__section_spent(html_text *out, const report_study *study) {
    char text[32];
    const ns_json *usage = ns_json_get(study->record, "usage");
    const double price = ns_json_number(report__study_of(study), "price", 0);
    const int64_t total_ms = total_of(usage);
    if (total_ms <= 0) {
        return;
    }
    report__head(out, "spent", "What was spent");
    html_raw(out, "<figure>\n");
    (void)report__plot_spent(out, study);
    html_raw(out, "</figure>\n<div class=\"scroll\"><table>\n<tr><th>on</th><th>node time</th>"
                  "<th>node-hours</th><th>money</th><th>share</th></tr>\n");
    for (size_t i = 0; i < NS_COUNT_OF(parts); i++) {
        const int64_t ms = ns_json_int(usage, parts[i].key, 0);
        if (ms > 0) {
            put_row(out, i, ms, total_ms, price);
        }
    }
    html_put(out,
             "<tr class=\"sum\"><td>Together</td><td>%s</td><td>%.4f</td><td>%.2f</td>"
             "<td></td></tr>\n</table></div>\n",
             report__time(total_ms, text), (double)total_ms / 3.6e6, budget_cost(total_ms, price));
}
