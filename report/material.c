// The material of a report: what the store tells, and of a finished study its data set, its model and
// what that says of the test images.
//
// The test split is read here only when the study has a test accuracy, which means that its finish
// has read it, once, with the model that is kept. The same model on the same images tells nothing
// new that could be tuned to; it only can be looked at.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/report_internal.h"

/// Keeps the first reason why there is no test part.
static void say_untested(report_study *study, const char *reason) {
    if (study->why_untested == NULL) {
        study->why_untested = strdup(reason);
    }
}

/* ---- data set and model ---------------------------------------------------------------------- */

static void open_set(report_study *study, const char *path) {
    ns_error err = {0};
    const char *sha256 = ns_json_string(study->record, "dataset_sha256", "");
    if (path == NULL || data_open(path, &study->set, &err) != NS_OK) {
        say_untested(study, path == NULL ? "It is not known where its data set is." : err.text);
        return;
    }
    if (strcmp(data_describe(study->set)->sha256, sha256) != 0) {
        (void)ns_fail(&err, NS_ERR_INPUT, "%s is not the data set that the study was made of.",
                      path);
        say_untested(study, err.text);
        data_close(study->set);
        study->set = NULL;
    }
}

static void load_model(report_study *study) {
    ns_error err = {0};
    const char *path = ns_json_string(report__study_of(study), "model", NULL);
    if (path == NULL) {
        say_untested(study, "The study has not finished, so its test images were not read.");
    } else if (nn_model_load(path, &study->model, &err) != NS_OK) {
        say_untested(study, err.text);
    } else if (isnan(ns_json_number(report__study_of(study), "test_accuracy", (double)NAN))) {
        say_untested(study, "The study ended before its test images were read.");
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

/// What the model says of each image; of images with several labels there is no one answer.
static ns_status keep_answers(report_study *study, const search_predictions *predictions,
                              ns_error *err) {
    size_t count = 0;
    const uint32_t *images = data_indices(study->set, DATA_TEST, &count);
    if (predictions->labels == NULL) {
        return NS_OK;
    }
    study->answers = malloc((count + 1) * sizeof(*study->answers));
    if (study->answers == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for %zu answers", count);
    }
    study->answer_count = count < predictions->count ? count : predictions->count;
    for (size_t i = 0; i < study->answer_count; i++) {
        const float *row = predictions->probabilities + i * (size_t)predictions->label_count;
        const int guess = results_argmax(row, predictions->label_count);
        study->answers[i] = (report__answer){
            .image = images[i],
            .truth = predictions->labels[i],
            .guess = guess,
            .confidence = row[guess],
        };
    }
    return NS_OK;
}

static ns_status judge(report_study *study, int thread_count, ns_error *err) {
    search_predictions predictions;
    nn_infer_options options = nn_infer_options_default();
    options.thread_count = thread_count;
    NS_TRY(search_predict(study->model, study->set, DATA_TEST, &options, &predictions, err));
    ns_status status = search_judge_json(study->model, DATA_TEST, &predictions, (double)NAN,
                                         thread_count, &study->evaluation, err);
    if (status == NS_OK) {
        status = keep_answers(study, &predictions, err);
    }
    search_predictions_clear(&predictions);
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------- */

ns_status report_open(const report_request *request, report_study **out, ns_error *err) {
    report_study *study = calloc(1, sizeof(*study));
    if (study == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for a report");
    }
    ns_status status = search_record_json(request->store_path, request->study, REPORT__TRIALS_MAX,
                                          &study->record, err);
    if (status != NS_OK) {
        report_close(study);
        return status;
    }
    load_model(study);
    open_set(study, request->set_path != NULL
                        ? request->set_path
                        : ns_json_string(report__study_of(study), "dataset", NULL));
    ns_error why = {0};
    if (study->why_untested == NULL && judge(study, request->thread_count, &why) != NS_OK) {
        say_untested(study, why.text);
    }
    *out = study;
    return NS_OK;
}

void report_close(report_study *study) {
    if (study == NULL) {
        return;
    }
    ns_json_free(study->record);
    ns_json_free(study->evaluation);
    free(study->why_untested);
    data_close(study->set);
    nn_model_free(study->model);
    free(study->answers);
    free(study);
}
