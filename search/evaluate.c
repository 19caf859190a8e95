// What a model says of the images of a split.

#include <math.h>
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
                          void *context, search_predictions *out, ns_error *err) {
    nn_infer *infer = NULL;
    *out = (search_predictions){.label_count = nn_model_describe(model)->label_count};
    nn_infer_options batched = *options;
    batched.batch_size = search__eval_batch(data_describe(set));
    NS_TRY(nn_infer_new(model, &batched, &infer, err));
    const ns_status status = nn_infer_split(infer, set, split, 0, stop, context,
                                            &out->probabilities, &out->labels, &out->count, err);
    nn_infer_free(infer);
    return status == NS_OK && data_describe(set)->multi_label
               ? nn_split_truth(set, split, 0, &out->truth, &out->count, err)
               : status;
}

void search_predictions_clear(search_predictions *predictions) {
    free(predictions->probabilities);
    free(predictions->labels);
    free(predictions->truth);
    *predictions = (search_predictions){0};
}

results_answers search_answers(const search_predictions *predictions) {
    return (results_answers){
        .probabilities = predictions->probabilities,
        .labels = predictions->labels,
        .truth = predictions->truth,
        .count = predictions->count,
        .label_count = predictions->label_count,
    };
}

ns_status search_predict(const nn_model *model, const data_set *set, data_split split,
                         const nn_infer_options *options, search_predictions *out, ns_error *err) {
    *out = (search_predictions){0};
    NS_TRY(nn_model_fits(model, set, err));
    if (data_describe(set)->split_count[split] == 0) {
        return ns_fail(err, NS_ERR_INPUT, "the set has no %s images", data_split_name(split));
    }
    return search__predict(model, set, split, options, NULL, NULL, out, err);
}

ns_status search_evaluate_json(const nn_model *model, const data_set *set, data_split split,
                               const nn_infer_options *options, ns_json **out, ns_error *err) {
    search_predictions predictions;
    ns_status status = search_predict(model, set, split, options, &predictions, err);
    if (status == NS_OK) {
        status = search_judge_json(model, split, &predictions, (double)NAN, options->thread_count,
                                   out, err);
    }
    search_predictions_clear(&predictions);
    return status;
}
