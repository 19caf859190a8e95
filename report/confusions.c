// Which label is taken for which: the answers sorted by cell of the confusion matrix. There are at
// most as many cells as images, however many labels there are, and sorting is all it takes.

#include <stdlib.h>
#include <string.h>

#include "report/report_internal.h"

static int by_cell(const void *a, const void *b) {
    const report__answer *left = a;
    const report__answer *right = b;
    if (left->truth != right->truth) {
        return left->truth < right->truth ? -1 : 1;
    }
    if (left->guess != right->guess) {
        return left->guess < right->guess ? -1 : 1;
    }
    if (left->confidence != right->confidence) {
        return left->confidence > right->confidence ? -1 : 1;
    }
    return left->image < right->image ? -1 : 1;
}

static int by_count(const void *a, const void *b) {
    const report__cell *left = a;
    const report__cell *right = b;
    return left->count != right->count ? (left->count > right->count ? -1 : 1)
                                       : (left->first < right->first ? -1 : 1);
}

static bool same_cell(const report__answer *a, const report__answer *b) {
    return a->truth == b->truth && a->guess == b->guess;
}

static void find_cells(report__confusions *c, size_t count) {
    for (size_t first = 0, end = 0; first < count; first = end) {
        while (end < count && same_cell(&c->answers[first], &c->answers[end])) {
            end++;
        }
        const report__answer *answer = &c->answers[first];
        c->cells[c->cell_count++] =
            (report__cell){answer->truth, answer->guess, .first = first, .count = end - first};
    }
}

static void find_wrong(report__confusions *c) {
    for (size_t i = 0; i < c->cell_count; i++) {
        if (c->cells[i].truth != c->cells[i].guess) {
            c->wrong[c->wrong_count++] = c->cells[i];
        }
    }
    qsort(c->wrong, c->wrong_count, sizeof(*c->wrong), by_count);
}

bool report__confusions_of(const report_study *study, report__confusions *out) {
    const size_t count = study->answer_count;
    *out = (report__confusions){0};
    if (count == 0) {
        return false;
    }
    out->answers = malloc(count * sizeof(*out->answers));
    out->cells = malloc(count * sizeof(*out->cells));
    out->wrong = malloc(count * sizeof(*out->wrong));
    if (out->answers == NULL || out->cells == NULL || out->wrong == NULL) {
        report__confusions_clear(out);
        return false;
    }
    memcpy(out->answers, study->answers, count * sizeof(*out->answers));
    qsort(out->answers, count, sizeof(*out->answers), by_cell);
    find_cells(out, count);
    find_wrong(out);
    return true;
}

void report__confusions_clear(report__confusions *confusions) {
    free(confusions->answers);
    free(confusions->cells);
    free(confusions->wrong);
    *confusions = (report__confusions){0};
}

/* ---- what of them is shown ------------------------------------------------------------------- */

typedef struct worst {
    int label;
    size_t wrong; // mistakes that it takes part in
} worst;

static int by_wrong(const void *a, const void *b) {
    const worst *left = a;
    const worst *right = b;
    return left->wrong != right->wrong ? (left->wrong > right->wrong ? -1 : 1)
                                       : left->label - right->label;
}

static int by_label(const void *a, const void *b) {
    return ((const worst *)a)->label - ((const worst *)b)->label;
}

int report__worst_labels(const report__confusions *confusions, int label_count, int *place,
                         int shown[REPORT__LABELS_SHOWN_MAX]) {
    worst *list = calloc((size_t)label_count + 1, sizeof(*list));
    const int count =
        label_count < REPORT__LABELS_SHOWN_MAX ? label_count : REPORT__LABELS_SHOWN_MAX;
    if (list == NULL) {
        return 0;
    }
    for (int label = 0; label < label_count; label++) {
        list[label].label = label;
        place[label] = -1;
    }
    for (size_t i = 0; i < confusions->wrong_count; i++) {
        list[confusions->wrong[i].truth].wrong += confusions->wrong[i].count;
        list[confusions->wrong[i].guess].wrong += confusions->wrong[i].count;
    }
    qsort(list, (size_t)label_count, sizeof(*list), by_wrong);
    qsort(list, (size_t)count, sizeof(*list), by_label);
    for (int i = 0; i < count; i++) {
        place[list[i].label] = i;
        shown[i] = list[i].label;
    }
    free(list);
    return count;
}

bool report__cell_is_shown(const report__confusions *confusions, const report__cell *cell) {
    return cell->truth == cell->guess || confusions->wrong_count <= REPORT__CELLS_SHOWN_MAX ||
           by_count(cell, &confusions->wrong[REPORT__CELLS_SHOWN_MAX - 1]) <= 0;
}
