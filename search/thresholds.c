// From which probability on a label is said of an image: the threshold of each label with the best F1
// on the validation images (Lipton, Elkan & Naryanaswamy 2014, "Optimal Thresholding of Classifiers
// to Maximize F1 Measure"). They are kept in the model, evaluate applies them to the test images and
// predict to new ones.
//
// They must come from images that the network has not seen: on those that it was trained on, its
// probabilities are near 0 and 1, and any threshold looks perfect. So a trial's model gets its own,
// and a winner that was retrained on the validation images too gets those of its trial, the same
// network trained shorter; the model's notes say which ("thresholds_of"). A label without validation
// images has 0.5.

#include <math.h>
#include <stdlib.h>

#include "search/search_internal.h"

#define THRESHOLD_DEFAULT 0.5

ns_status search_thresholds_choose(nn_model *model, const search_predictions *predictions,
                                   int thread_count, ns_error *err) {
    const size_t label_count = (size_t)predictions->label_count;
    const results_answers answers = search_answers(predictions);
    results_rank *ranks = malloc(label_count * sizeof(*ranks));
    double *thresholds = malloc(label_count * sizeof(*thresholds));
    ns_status status =
        ranks == NULL || thresholds == NULL
            ? ns_fail(err, NS_ERR_MEMORY, "no memory for %zu thresholds", label_count)
            : results_rank_labels(&answers, thread_count, ranks, err);
    if (status == NS_OK) {
        for (size_t label = 0; label < label_count; label++) {
            const double best = ranks[label].best_threshold;
            thresholds[label] = isnan(best) ? THRESHOLD_DEFAULT : fmin(fmax(best, 0), 1);
        }
        status = nn_model_set_thresholds(model, thresholds, err);
    }
    free(ranks);
    free(thresholds);
    return status;
}

ns_status search__thresholds_copy(const search__run *run, int number, nn_model *model,
                                  ns_error *err) {
    char path[NS_PATH_MAX];
    nn_model *source = NULL;
    ns_error why = {0};
    if (number < 0) {
        return NS_OK;
    }
    NS_TRY(search__trial_file(run, number, path, err));
    if (nn_model_load(path, &source, &why) != NS_OK) {
        ns_log_write(run->config->log, NS_LOG_INFO, "no thresholds of trial %d: %s", number,
                     why.text);
        return NS_OK;
    }
    const nn_model_info *info = nn_model_describe(source);
    ns_status status = NS_OK;
    if (info->thresholds != NULL && info->label_count == nn_model_describe(model)->label_count) {
        status = nn_model_set_thresholds(model, info->thresholds, err);
    }
    nn_model_free(source);
    return status;
}
