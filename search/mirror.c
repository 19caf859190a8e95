// Whether a model answers better for looking at each image twice: as it is, and mirrored.
//
// Averaging the probabilities of an image and its mirror image costs a second pass for each answer,
// so it must pay, and whether it does is a property of the data: clothes may be mirrored, letters
// may not. It is decided on the validation images by the log loss, image by image: a proper score
// (Gneiting & Raftery 2007, "Strictly Proper Scoring Rules") that moves with every image and not
// just with the few whose answer changes, and so tells a gain from noise on some thousand images.
// Averaging is kept when the loss falls by more than two standard errors of that difference.

#include "search/search_internal.h"

#define STANDARD_ERRORS 2.0

ns_status search__mirror_choose(nn_model *model, const data_set *set,
                                const nn_infer_options *options, bool (*stop)(void *context),
                                void *context, ns_error *err) {
    search_predictions plain = {0};
    search_predictions mirrored = {0};
    nn_model_set_mirror_average(model, false);
    if (data_describe(set)->split_count[DATA_VALIDATION] == 0) {
        return NS_OK;
    }
    ns_status status =
        search__predict(model, set, DATA_VALIDATION, options, stop, context, &plain, err);
    if (status == NS_OK) {
        nn_model_set_mirror_average(model, true);
        status =
            search__predict(model, set, DATA_VALIDATION, options, stop, context, &mirrored, err);
    }
    bool pays = false;
    if (status == NS_OK) {
        const results_answers before = search_answers(&plain);
        const results_answers after = search_answers(&mirrored);
        const results_gain gain = results_log_loss_gain(&before, &after);
        pays = gain.mean > STANDARD_ERRORS * gain.standard_error;
    }
    nn_model_set_mirror_average(model, pays);
    search_predictions_clear(&plain);
    search_predictions_clear(&mirrored);
    return status;
}

ns_status search_mirror_choose(nn_model *model, const data_set *set,
                               const nn_infer_options *options, ns_error *err) {
    NS_TRY(nn_model_fits(model, set, err));
    return search__mirror_choose(model, set, options, NULL, NULL, err);
}
