// A report as a page, or its plots as pictures: the order of things.

#include <stdlib.h>
#include <string.h>

#include "report/report_internal.h"

typedef void (*section_fn)(html_text *out, const report_study *study);

static const section_fn sections[] = {
    report__section_headline, report__section_spent,     report__section_progress,
    report__section_trials,   report__section_winner,    report__section_curves,
    report__section_test,     report__section_confusion, report__section_labels,
    report__section_gallery,  report__section_data,      report__section_record,
};

typedef struct plot {
    const char *name;
    report__plot_fn draw;
} plot;

static const plot plots[] = {
    {"spent", report__plot_spent},         {"progress", report__plot_progress},
    {"trials", report__plot_trials},       {"network", report__plot_network},
    {"curves", report__plot_curves},       {"threshold", report__plot_threshold},
    {"confusion", report__plot_confusion},
};

const ns_json *report__study_of(const report_study *study) {
    return ns_json_get(study->record, "study");
}

ns_status report_write_html(const report_study *study, const char *path, ns_error *err) {
    char title[160];
    html_text *out = html_new();
    (void)snprintf(title, sizeof(title), "%s - nightshift",
                   ns_json_string(report__study_of(study), "study", "study"));
    html_page_begin(out, title);
    for (size_t i = 0; i < NS_COUNT_OF(sections); i++) {
        sections[i](out, study);
    }
    html_script(out);
    html_page_end(out);
    return html_save(out, path, err);
}

static ns_status write_plot(const report_study *study, const plot *one, const char *dir, int *count,
                            ns_error *err) {
    char path[NS_PATH_MAX];
    char name[64];
    char *svg = NULL;
    size_t size_bytes = 0;
    html_text *out = html_new();
    if (!one->draw(out, study)) {
        html_free(out);
        return NS_OK;
    }
    NS_TRY(html_finish(out, &svg, &size_bytes, err));
    (void)snprintf(name, sizeof(name), "%s.png", one->name);
    ns_status status = ns_path_join(dir, name, path, err);
    if (status == NS_OK) {
        status = report__png_write(svg, size_bytes, 2, path, err);
        *count += 1;
    }
    free(svg);
    return status;
}

ns_status report_write_plots(const report_study *study, const char *dir, int *count,
                             ns_error *err) {
    *count = 0;
    NS_TRY(ns_dir_make(dir, err));
    for (size_t i = 0; i < NS_COUNT_OF(plots); i++) {
        NS_TRY(write_plot(study, &plots[i], dir, count, err));
    }
    return NS_OK;
}
