// How numbers, times and the parts that sections share are written: as many digits as the data can
// tell, and no more.

#include <math.h>
#include <string.h>
#include <time.h>

#include "report/report_internal.h"

const char *report__percent(double fraction, int64_t image_count, char out[32]) {
    const int digits = image_count == 0 || image_count >= 2000 ? 2 : image_count >= 200 ? 1 : 0;
    if (isnan(fraction)) {
        (void)snprintf(out, 32, "-");
    } else {
        (void)snprintf(out, 32, "%.*f %%", digits, 100 * fraction);
    }
    return out;
}

const char *report__time(int64_t ms, char out[32]) {
    if (ms > 0 && ms < 10000) {
        (void)snprintf(out, 32, "%.1fs", (double)ms / 1000);
    } else {
        budget_format(ms, out);
    }
    return out;
}

const char *report__figure(double value, char out[32]) {
    if (isnan(value)) {
        (void)snprintf(out, 32, "-");
    } else if (fabs(value) >= 100) {
        (void)snprintf(out, 32, "%.0f", value);
    } else {
        (void)snprintf(out, 32, "%.3g", value);
    }
    return out;
}

const char *report__date(int64_t unix_ms, char out[32]) {
    const time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;
    if (unix_ms <= 0 || gmtime_r(&seconds, &parts) == NULL ||
        strftime(out, 32, "%Y-%m-%d %H:%M UTC", &parts) == 0) {
        (void)snprintf(out, 32, "-");
    }
    return out;
}

const char *report__score(const ns_json *study) {
    const char *name = ns_json_string(study, "score_name", "");
    return strcmp(name, search_score_name(true)) == 0 ? "Jaccard index" : "accuracy";
}

void report__head(html_text *out, const char *id, const char *title) {
    html_put(out, "<h2 id=\"%s\">%s</h2>\n", id, title);
}

void report__cell_text(html_text *out, const char *classes, const char *text) {
    html_put(out, "<td class=\"%s\">", classes);
    html_escaped(out, text);
    html_raw(out, "</td>");
}

bool report__figure_of(html_text *out, const report_study *study, report__plot_fn plot,
                       const char *caption) {
    html_raw(out, "<figure class=\"panel\">\n");
    const bool drawn = plot(out, study);
    html_put(out, "%s%s%s</figure>\n", caption[0] != '\0' ? "<figcaption>" : "", caption,
             caption[0] != '\0' ? "</figcaption>" : "");
    return drawn;
}

// Wilson 1927, "Probable inference, the law of succession, and statistical inference": unlike the
// usual interval it stays within [0, 1] and is right for few errors.
void report__wilson(double share, int64_t count, double *low, double *high) {
    const double z = 1.959964;
    const double n = (double)count;
    const double centre = share + z * z / (2 * n);
    const double half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
    *low = (centre - half) / (1 + z * z / n);
    *high = (centre + half) / (1 + z * z / n);
}
