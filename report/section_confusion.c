// Which labels are taken for which: a heat map whose cells lead to their pictures, and the most
// frequent confusions as a table.
//
// More labels than a screen can show are cut to those with the most mistakes.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/report_internal.h"

#define NUMBERS_MAX  12 // labels up to which cells show their counts
#define CHARACTER_PX 8  // of a label's name, about
#define NAME_MAX     14
#define ROWS_MAX     12

/* ---- the map --------------------------------------------------------------------------------- */

typedef struct map {
    html_text *out;
    const char *const *labels;
    double left, top; // what the names take
    double cell_px;
    int count;
    size_t wrong_max; // of a cell off the diagonal
    size_t *support;  // (label_count) true images
} map;

/// In characters, as far as they are shown.
static int longest_name(const char *const *labels, const int *shown, int count) {
    size_t longest = 1;
    for (int i = 0; i < count; i++) {
        const size_t length = strlen(labels[shown[i]]);
        longest = length > longest ? length : longest;
    }
    return longest < NAME_MAX ? (int)longest : NAME_MAX;
}

static void draw_names(const map *m, const int *shown) {
    for (int i = 0; i < m->count; i++) {
        const double middle = (i + 0.5) * m->cell_px;
        svg_text(m->out, m->left - 8, m->top + middle + 5, "end", "on small", m->labels[shown[i]],
                 NAME_MAX);
        html_put(m->out, "<g transform=\"translate(%.1f %.0f) rotate(-35)\">", m->left + middle - 2,
                 m->top - 8);
        svg_text(m->out, 0, 0, "start", "on small", m->labels[shown[i]], NAME_MAX);
        html_raw(m->out, "</g>");
    }
}

static void put_cell_words(html_text *out, const map *m, const report__cell *cell) {
    html_put(out, "%zu of %zu ", cell->count, m->support[cell->truth]);
    html_escaped(out, m->labels[cell->truth]);
    html_raw(out, cell->truth == cell->guess ? " are right" : " are taken for ");
    html_escaped(out, cell->truth == cell->guess ? "" : m->labels[cell->guess]);
}

/// Mistakes are shaded against the most frequent one, hits by the share of their label.
static void draw_cell(const map *m, const report__cell *cell, bool linked, int row, int column) {
    const bool right = cell->truth == cell->guess;
    const double part = right ? (double)cell->count / (double)m->support[cell->truth]
                              : sqrt((double)cell->count / (double)m->wrong_max);
    const double x = m->left + column * m->cell_px;
    const double y = m->top + row * m->cell_px;
    if (linked) {
        html_put(m->out, "<a href=\"#c%d-%d\">", cell->truth, cell->guess);
    }
    html_put(m->out,
             "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
             "fill-opacity=\"%.2f\"><title>",
             right ? "heat pt" : "miss pt", x + 1, y + 1, m->cell_px - 2, m->cell_px - 2,
             (right ? 0.1 : 0.12) + (right ? 0.5 : 0.55) * part);
    put_cell_words(m->out, m, cell);
    html_raw(m->out, "</title></rect>");
    if (m->count <= NUMBERS_MAX) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%zu", cell->count);
        svg_text(m->out, x + m->cell_px / 2, y + m->cell_px / 2 + 5, "middle", "on small", text, 8);
    }
    html_raw(m->out, linked ? "</a>\n" : "\n");
}

static void draw_cells(const map *m, const report__confusions *c, const int *place) {
    for (size_t i = 0; i < c->cell_count; i++) {
        const report__cell *cell = &c->cells[i];
        const int row = place[cell->truth];
        const int column = place[cell->guess];
        if (row >= 0 && column >= 0) {
            draw_cell(m, cell, report__cell_is_shown(c, cell), row, column);
        }
    }
}

static bool draw_map(html_text *out, const report_study *study, const report__confusions *c,
                     int *place, size_t *support) {
    const data_info *info = data_describe(study->set);
    int shown[REPORT__LABELS_SHOWN_MAX];
    const int count = report__worst_labels(c, info->label_count, place, shown);
    map m = {
        .out = out,
        .labels = info->labels,
        .count = count,
        .left = 30 + CHARACTER_PX * longest_name(info->labels, shown, count),
        .wrong_max = c->wrong_count > 0 ? c->wrong[0].count : 1,
        .support = support,
    };
    m.top = 20 + 0.4 * m.left;
    m.cell_px = fmin((SVG_WIDTH - m.left - 10) / (count > 0 ? count : 1), 90);
    for (size_t i = 0; i < c->cell_count; i++) {
        support[c->cells[i].truth] += c->cells[i].count;
    }
    svg_begin(out, (int)(m.top + m.count * m.cell_px + 6), "Confusion matrix, true labels down");
    draw_names(&m, shown);
    draw_cells(&m, c, place);
    svg_end(out);
    return true;
}

bool report__plot_confusion(html_text *out, const report_study *study) {
    report__confusions c;
    bool drawn = false;
    if (study->set == NULL || !report__confusions_of(study, &c)) {
        return false;
    }
    const size_t label_count = (size_t)data_describe(study->set)->label_count;
    int *place = malloc(label_count * sizeof(*place));
    size_t *support = calloc(label_count, sizeof(*support));
    if (place != NULL && support != NULL) {
        drawn = draw_map(out, study, &c, place, support);
    }
    free(place);
    free(support);
    report__confusions_clear(&c);
    return drawn;
}

/* ---- the section ----------------------------------------------------------------------------- */

static void put_top(html_text *out, const data_info *info, const report__confusions *c) {
    html_raw(out, "<h3>The most frequent confusions</h3>\n<div class=\"scroll\"><table>\n<tr>"
                  "<th>is</th><th class=\"word\">taken for</th><th>images</th><th></th></tr>\n");
    for (size_t i = 0; i < c->wrong_count && i < ROWS_MAX; i++) {
        const report__cell *cell = &c->wrong[i];
        html_raw(out, "<tr>");
        report__cell_text(out, "", info->labels[cell->truth]);
        report__cell_text(out, "wrap", info->labels[cell->guess]);
        html_put(out, "<td>%zu</td><td>", cell->count);
        if (report__cell_is_shown(c, cell)) {
            html_put(out, "<a href=\"#c%d-%d\">pictures</a>", cell->truth, cell->guess);
        }
        html_raw(out, "</td></tr>\n");
    }
    html_raw(out, "</table></div>\n");
}

void report__section_confusion(html_text *out, const report_study *study) {
    report__confusions c;
    if (study->set == NULL || !report__confusions_of(study, &c)) {
        return;
    }
    const data_info *info = data_describe(study->set);
    report__head(out, "confusion", "What is taken for what");
    html_raw(out,
             "<p>Rows are what an image is, columns what the model says. Blue is right, orange "
             "is wrong; a cell leads to its pictures.");
    if (info->label_count > REPORT__LABELS_SHOWN_MAX) {
        html_put(out, " Of %d labels these are the %d with the most mistakes.", info->label_count,
                 REPORT__LABELS_SHOWN_MAX);
    }
    html_raw(out, "</p>\n");
    (void)report__figure_of(out, study, report__plot_confusion, "");
    put_top(out, info, &c);
    report__confusions_clear(&c);
}
