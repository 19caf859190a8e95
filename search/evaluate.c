// Judging a model on a split of a data set, as one JSON object.

#include <stdlib.h>

#include "search/search_internal.h"

#define BATCH_MAX          256
#define BATCH_INPUT_FLOATS ((size_t)8 << 20) // of one batch, at most

int search__eval_batch(const data_info *info) {
    const size_t image_floats = (size_t)info->channels * (size_t)info->height * (size_t)info->width;
    const size_t batch = BATCH_INPUT_FLOATS / image_floats;
    return batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : (int)batch;
}

ns_status search__predict(const nn_model *model, const data_set *set, data_split split,
                          const nn_infer_options *options, bool (*stop)(void *context),
                          void *context, search__predictions *out, ns_error *err) {
    nn_infer *infer = NULL;
    *out = (search__predictions){0};
    nn_infer_options batched = *options;
    batched.batch_size = search__eval_batch(data_describe(set));
    NS_TRY(nn_infer_new(model, &batched, &infer, err));
    const ns_status status = nn_infer_split(infer, set, split, 0, stop, context,
                                            &out->probabilities, &out->labels, &out->count, err);
    nn_infer_free(infer);
    return status;
}

void search__predictions_clear(search__predictions *predictions) {
    free(predictions->probabilities);
    free(predictions->labels);
    *predictions = (search__predictions){0};
}

/// (label_count, label_count), rows true.
static ns_json *confusion_json(const int64_t *confusion, int label_count) {
    ns_json *rows = ns_json_array_new();
    for (int row = 0; row < label_count; row++) {
        ns_json *cells = ns_json_add(rows, ns_json_array_new());
        for (int column = 0; column < label_count; column++) {
            ns_json_add_int(cells, confusion[(size_t)row * (size_t)label_count + (size_t)column]);
        }
    }
    return rows;
}

static ns_json *per_label_json(const int64_t *confusion, const char *const *labels,
                               int label_count) {
    ns_json *rows = ns_json_array_new();
    for (int label = 0; label < label_count; label++) {
        const results_label_metrics metrics = results_label_of(confusion, label_count, label);
        ns_json *row = ns_json_add(rows, ns_json_object_new());
        ns_json_set_string(row, "label", labels[label]);
        ns_json_set_int(row, "support", metrics.support);
        ns_json_set_number(row, "precision", metrics.precision);
        ns_json_set_number(row, "recall", metrics.recall);
        ns_json_set_number(row, "f1", metrics.f1);
    }
    return rows;
}

static ns_status describe(const nn_model_info *info, data_split split,
                          const search__predictions *predictions, ns_json **out, ns_error *err) {
    const int label_count = info->label_count;
    const float *probabilities = predictions->probabilities;
    const int32_t *labels = predictions->labels;
    const size_t count = predictions->count;
    double macro_auc = 0;
    NS_TRY(results_macro_auc(probabilities, labels, count, label_count, &macro_auc, err));
    int64_t *confusion = calloc((size_t)label_count * (size_t)label_count, sizeof(*confusion));
    if (confusion == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a confusion matrix of %d labels",
                       label_count);
    }
    results_confusion(probabilities, labels, count, label_count, confusion);
    *out = ns_json_object_new();
    ns_json_set_string(*out, "split", data_split_name(split));
    ns_json_set_int(*out, "count", (int64_t)count);
    ns_json_set_number(*out, "accuracy",
                       results_accuracy(probabilities, labels, count, label_count));
    ns_json_set_number(*out, "log_loss",
                       results_log_loss(probabilities, labels, count, label_count));
    ns_json_set_number(*out, "macro_auc", macro_auc);
    ns_json *names = ns_json_set(*out, "labels", ns_json_array_new());
    for (int label = 0; label < label_count; label++) {
        ns_json_add_string(names, info->labels[label]);
    }
    ns_json_set(*out, "per_label", per_label_json(confusion, info->labels, label_count));
    ns_json_set(*out, "confusion", confusion_json(confusion, label_count));
    free(confusion);
    return NS_OK;
}

ns_status search_evaluate_json(const nn_model *model, const data_set *set, data_split split,
                               const nn_infer_options *options, ns_json **out, ns_error *err) {
    const nn_model_info *info = nn_model_describe(model);
    NS_TRY(nn_model_fits(model, set, err));
    if (data_describe(set)->split_count[split] == 0) {
        return ns_fail(err, NS_ERR_INPUT, "the set has no %s images", data_split_name(split));
    }
    search__predictions predictions;
    ns_status status = search__predict(model, set, split, options, NULL, NULL, &predictions, err);
    if (status == NS_OK) {
        status = describe(info, split, &predictions, out, err);
    }
    search__predictions_clear(&predictions);
    return status;
}
