// The answers that a model is most sure of and that are wrong all the same, by file: often it is the
// label that is wrong, so these are the first files to look at.
//
// A mistake is judged by the most likely label, as the confusion matrix is, whatever the threshold.

#include <stdlib.h>

#include "cli/evaluate.h"

typedef struct sure_mistake {
    size_t place; // in the predictions
    int predicted;
    float confidence;
} sure_mistake;

/// Inserts into `surest`, `*count` of them, by falling confidence; of equals the first stays first.
static void keep_surest(sure_mistake surest[CLI_SUREST_MAX], size_t *count, sure_mistake one) {
    if (*count == CLI_SUREST_MAX && surest[CLI_SUREST_MAX - 1].confidence >= one.confidence) {
        return;
    }
    size_t place = *count < CLI_SUREST_MAX ? (*count)++ : CLI_SUREST_MAX - 1;
    for (; place > 0 && surest[place - 1].confidence < one.confidence; place--) {
        surest[place] = surest[place - 1];
    }
    surest[place] = one;
}

static size_t find_surest(const search_predictions *predictions,
                          sure_mistake surest[CLI_SUREST_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < predictions->count; i++) {
        const float *row = predictions->probabilities + i * (size_t)predictions->label_count;
        const int predicted = results_argmax(row, predictions->label_count);
        if (predicted != predictions->labels[i]) {
            keep_surest(surest, &count, (sure_mistake){i, predicted, row[predicted]});
        }
    }
    return count;
}

void cli__surest_mistakes_set(const nn_model *model, const data_set *set, data_split split,
                              const search_predictions *predictions, ns_json *result) {
    sure_mistake surest[CLI_SUREST_MAX] = {0};
    const char *const *labels = nn_model_describe(model)->labels;
    size_t image_count = 0;
    const uint32_t *images = data_indices(set, split, &image_count);
    if (predictions->labels == NULL) {
        ns_json_set_null(result, "surest_mistakes");
        return;
    }
    ns_json *rows = ns_json_set(result, "surest_mistakes", ns_json_array_new());
    const size_t count = find_surest(predictions, surest);
    for (size_t i = 0; i < count; i++) {
        const uint32_t image = images[surest[i].place];
        ns_json *row = ns_json_add(rows, ns_json_object_new());
        ns_json_set_int(row, "image", image);
        ns_json_set_string(row, "file", data_name(set, image));
        ns_json_set_string(row, "label", labels[predictions->labels[surest[i].place]]);
        ns_json_set_string(row, "predicted", labels[surest[i].predicted]);
        ns_json_set_number(row, "confidence", (double)surest[i].confidence);
    }
}
