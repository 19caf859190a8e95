// What the files of a report share: the material, the sections and plots, and how numbers are
// written.
//
// A section is a function of the material alone, which is JSON but for images and the final
// network. It leaves out what the material lacks: a study that has not finished, an older store.

#ifndef NS_REPORT_INTERNAL_H
#define NS_REPORT_INTERNAL_H

#include "report/html.h"
#include "report/report.h"
#include "report/svg.h"

/// What the model says of one test image.
typedef struct report__answer {
    uint32_t image; // index into the set
    int32_t truth, guess;
    float confidence; // in the guess
} report__answer;

struct report_study {
    ns_json *record;     // search_record_json()
    ns_json *evaluation; // search_evaluate_json() on test; NULL: not judged
    char *why_untested;  // a sentence; NULL when `evaluation` is there
    data_set *set;       // NULL: not found
    nn_model *model;     // NULL: not finished
    report__answer *answers;
    size_t answer_count;
};

/* ---- material (material.c) ------------------------------------------------------------------- */

/// The study as search_status_json() tells it.
const ns_json *report__study_of(const report_study *study);
/// Trials that a record tells of at most; the front and what was best so far come on top.
#define REPORT__TRIALS_MAX 1500

/* ---- sections: each writes nothing when there is nothing to tell ------------------------------ */

void report__section_headline(html_text *out, const report_study *study);
void report__section_spent(html_text *out, const report_study *study);
void report__section_progress(html_text *out, const report_study *study);
void report__section_trials(html_text *out, const report_study *study);
void report__section_winner(html_text *out, const report_study *study);
void report__section_curves(html_text *out, const report_study *study);
void report__section_test(html_text *out, const report_study *study);
void report__section_confusion(html_text *out, const report_study *study);
void report__section_labels(html_text *out, const report_study *study);
void report__section_gallery(html_text *out, const report_study *study);
void report__section_data(html_text *out, const report_study *study);
void report__section_record(html_text *out, const report_study *study);

/* ---- plots: an <svg>, or false and nothing ---------------------------------------------------- */

typedef bool (*report__plot_fn)(html_text *out, const report_study *study);
bool report__plot_spent(html_text *out, const report_study *study);
bool report__plot_progress(html_text *out, const report_study *study);
bool report__plot_trials(html_text *out, const report_study *study);
bool report__plot_network(html_text *out, const report_study *study);
bool report__plot_curves(html_text *out, const report_study *study);
bool report__plot_threshold(html_text *out, const report_study *study);
bool report__plot_confusion(html_text *out, const report_study *study);

/// Renders SVG text as a PNG file, `scale` times its own size, in light colours. NS_ERR_IO.
ns_status report__png_write(const char *svg, size_t size_bytes, double scale, const char *path,
                            ns_error *err);

/* ---- confusions (confusions.c) --------------------------------------------------------------- */

/// A cell of the confusion matrix that has images.
typedef struct report__cell {
    int32_t truth, guess;
    size_t first, count; // its answers in the order of report__confusions
} report__cell;

/// The answers by cell, and in each from the most to the least confident.
typedef struct report__confusions {
    report__answer *answers; // all of them, sorted by (truth, guess, -confidence)
    report__cell *cells;     // by (truth, guess)
    size_t cell_count;
    report__cell *wrong; // cells off the diagonal, by falling count
    size_t wrong_count;
} report__confusions;

/// False when there are no answers, or no memory. Free with report__confusions_clear().
bool report__confusions_of(const report_study *study, report__confusions *out);
void report__confusions_clear(report__confusions *confusions);

#define REPORT__LABELS_SHOWN_MAX 30

/// The labels that take part in the most mistakes, in their order: the rows of the map, and those
/// with galleries. `place` (label_count) gets their places, -1 for the others. Returns how many.
int report__worst_labels(const report__confusions *confusions, int label_count, int *place,
                         int shown[REPORT__LABELS_SHOWN_MAX]);
/// Whether the pictures of a cell are in the report, under the id "cTRUTH-GUESS": those of the most
/// frequent confusions, and on the diagonal those of labels that have galleries.
bool report__cell_is_shown(const report__confusions *confusions, const report__cell *cell);
#define REPORT__CELLS_SHOWN_MAX 60

/* ---- words (words.c) ------------------------------------------------------------------------- */

/// "92.64 %", or "-" for NaN. Digits beyond what `image_count` images can tell are left out; 0: two.
const char *report__percent(double fraction, int64_t image_count, char out[32]);
/// "2m 05s".
const char *report__time(int64_t ms, char out[32]);
/// Three significant digits, or "-" for NaN.
const char *report__figure(double value, char out[32]);
/// "2026-01-31 23:59 UTC".
const char *report__date(int64_t unix_ms, char out[32]);
/// What a study's score is called in a sentence: "accuracy" or "Jaccard index".
const char *report__score(const ns_json *study);

/// <h2 id="id">title</h2>; both ours.
void report__head(html_text *out, const char *id, const char *title);
/// A table cell with text from outside.
void report__cell_text(html_text *out, const char *classes, const char *text);
/// A <figure class="panel"> with the plot, and a caption that may be ""; false when there is none.
bool report__figure_of(html_text *out, const report_study *study, report__plot_fn plot,
                       const char *caption);

/// 95 % interval of a share of `count` (Wilson 1927), where nothing better is known.
void report__wilson(double share, int64_t count, double *low, double *high);

#endif
