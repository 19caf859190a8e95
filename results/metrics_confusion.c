// The confusion matrix of any size: with 65,536 labels it has four thousand million cells, of which a
// million images fill a million at most. So it is a list of the cells that are not zero, made by
// sorting one number an image.

#include "results/metrics_internal.h"

#include <assert.h>
#include <stdlib.h>

static int compare_pairs(const void *left, const void *right) {
    const uint64_t a = *(const uint64_t *)left;
    const uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/// Runs of equal numbers in `pairs` as cells; returns how many.
static size_t gather(const uint64_t *pairs, size_t count, results_cell *cells) {
    size_t cell_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || pairs[i] != pairs[i - 1]) {
            cells[cell_count++] =
                (results_cell){(int32_t)(pairs[i] >> 32), (int32_t)(pairs[i] & UINT32_MAX), 0};
        }
        cells[cell_count - 1].count++;
    }
    return cell_count;
}

ns_status results_confusion(const results_answers *answers, results_cell **out, size_t *cell_count,
                            ns_error *err) {
    assert(answers->labels != NULL);
    const size_t count = answers->count;
    uint64_t *pairs = malloc((count + 1) * sizeof(*pairs)); // true label in the upper half
    results_cell *cells = malloc((count + 1) * sizeof(*cells));
    if (pairs == NULL || cells == NULL) {
        free(pairs);
        free(cells);
        return ns_fail(err, NS_ERR_MEMORY, "no memory to count the confusions of %zu images",
                       count);
    }
    for (size_t i = 0; i < count; i++) {
        const int predicted = results_argmax(metrics__row(answers, i), answers->label_count);
        pairs[i] = (uint64_t)(uint32_t)answers->labels[i] << 32 | (uint32_t)predicted;
    }
    qsort(pairs, count, sizeof(*pairs), compare_pairs);
    *cell_count = gather(pairs, count, cells);
    *out = cells;
    free(pairs);
    return NS_OK;
}
