// Which labels an image truly has, and how well what is said of it agrees with that.

#include <string.h>

#include "data/data.h"

void data_truth(const data_set *set, size_t index, uint8_t *row) {
    size_t count = 0;
    const uint16_t *labels = data_labels_of(set, index, &count);
    memset(row, 0, (size_t)data_describe(set)->label_count);
    for (size_t k = 0; k < count; k++) {
        row[labels[k]] = 1;
    }
}

double data_agreement(const float *probabilities, const uint8_t *truth, int label_count) {
    int both = 0;
    int either = 0;
    for (int label = 0; label < label_count; label++) {
        const bool said = probabilities[label] >= 0.5f;
        const bool true_ = truth[label] != 0;
        both += said && true_;
        either += said || true_;
    }
    return either > 0 ? (double)both / either : 1.0;
}
