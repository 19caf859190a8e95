// Reports: what a study did and what its model can do, as one self-contained HTML page or as PNG
// plots, for people to read.
//
// Intended usage:
//   1. report_open() reads the store and, of a finished study, judges its model on the test images.
//   2. report_write_html(), report_write_plots().
//   3. report_close().
//
// Test images are read here only when the study has read them already, by the model it kept.

#ifndef NS_REPORT_REPORT_H
#define NS_REPORT_REPORT_H

#include "base/base.h"
#include "data/data.h"
#include "nn/nn.h"
#include "search/search.h"

typedef struct report_request {
    const char *store_path;
    const char *study;
    const char *set_path; // where the data set is now; NULL: where the study found it
    int thread_count;     // 0: all cores
} report_request;

typedef struct report_study report_study;

/// NS_ERR_NOT_FOUND when there is no such study. A model or data set that is gone or has changed is
/// no failure: the report then lacks what needs them and says why.
ns_status report_open(const report_request *request, report_study **out, ns_error *err);
void report_close(report_study *study);

ns_status report_write_html(const report_study *study, const char *path, ns_error *err);
/// NAME.png for each plot into the folder `dir`, made when missing; `*count` says how many.
ns_status report_write_plots(const report_study *study, const char *dir, int *count, ns_error *err);

/// Studies side by side as a page, from search_compare_json().
ns_status report_compare_html(const ns_json *comparison, const char *path, ns_error *err);

#endif
