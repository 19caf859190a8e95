// The finish: the model that is kept, judged once on the test split, saved and exported.
//
// Two models may stand for the study: the retrained winner, and the best trial's own, which is
// there whatever happened to retraining. The one with the higher validation accuracy is kept, so a
// study never returns less than the best it has seen. Only that one meets the test images.
//
// A retrained winner has usually been trained on the validation images too (retrain_plan.c). What
// it makes of images that it has seen is no validation, but a check: a network that was trained
// longer and on more than the trial's, and yet knows those very images less well than the trial's
// does unseen, was broken on the way. The accuracy that the study reports is then still an honest
// one, the trial's; "val_accuracy_of" says whose it is.
//
// When there is no time left for that, search__salvage() keeps the best of what is on disk, with no
// test accuracy: a study that trained anything has a model to show.

#include <math.h>
#include <unistd.h>

#include "search/retrain.h"

typedef struct finish {
    const search__run *run;
    results_store *store;
    search__slot *slot;  // NULL outside of a child
    ns_json *result;     // the study's, to be completed
    nn_model *model;     // the one that is kept
    double val_accuracy; // its own; of images it was trained on, when `seen`
    bool seen;
    double honest_accuracy; // of the winner's trial, in place of a `seen` one
    const char *origin;     // "retrain" or "trial"
    int trial_number;       // of the winner; -1: the anchor, untried
} finish;

static bool stopped(void *context) {
    const finish *f = context;
    f->slot->alive_ms = ns_clock_ms();
    return search__stop_requested();
}

static nn_infer_options infer_options(const finish *f) {
    nn_infer_options options = nn_infer_options_default();
    options.thread_count = f->run->thread_count;
    return options;
}

/// Score of the model that is held on `split`; NaN when the split is empty. What it says of test
/// images is kept; validation images that are new to it choose its thresholds.
static ns_status accuracy_on(finish *f, data_split split, double *accuracy, ns_error *err) {
    *accuracy = (double)NAN;
    if (f->run->info->split_count[split] == 0) {
        return NS_OK;
    }
    search_predictions predictions;
    const nn_infer_options options = infer_options(f);
    ns_status status =
        search__predict(f->model, f->run->set, split, &options, stopped, f, &predictions, err);
    if (status == NS_OK) {
        *accuracy = search_score(&predictions);
    }
    if (status == NS_OK && split == DATA_VALIDATION && !f->seen) {
        status = search_thresholds_choose(f->model, &predictions, options.thread_count, err);
    }
    if (status == NS_OK && split == DATA_TEST) {
        status = search__test_figures(&predictions, f->result, err);
    }
    search_predictions_clear(&predictions);
    return status;
}

/// Loads a model if it is there, sound, and one of this data set.
static ns_status take_model(finish *f, const char *path, const char *origin, double val_accuracy,
                            ns_error *err) {
    nn_model *model = NULL;
    ns_status status = nn_model_load(path, &model, err);
    if (status == NS_OK) {
        status = nn_model_fits(model, f->run->set, err);
    }
    if (status != NS_OK) {
        nn_model_free(model);
        return status;
    }
    nn_model_free(f->model);
    f->model = model;
    f->origin = origin;
    f->val_accuracy = val_accuracy;
    f->seen = false;
    return NS_OK;
}

/// A model that cannot be used is none; only the lack of memory is a reason to try again.
static ns_status unless_unusable(const finish *f, ns_status status, const ns_error *why,
                                 ns_error *err) {
    if (status == NS_OK || status == NS_ERR_NOT_FOUND) {
        return NS_OK;
    }
    if (status == NS_ERR_MEMORY) {
        return ns_fail(err, status, "%s", why->text);
    }
    ns_log_write(f->run->config->log, NS_LOG_WARN, "%s", why->text);
    return NS_OK;
}

/// What the study says of its accuracy on validation images, which must not have been trained on.
static double reported_accuracy(const finish *f) {
    return f->seen ? f->honest_accuracy : f->val_accuracy;
}

static const char *reported_of(const finish *f) {
    return f->seen ? "winner's trial" : "model";
}

/// The retrained model and the validation accuracy it was found to have; leaves `f->model` NULL when
/// there is none.
static ns_status take_retrained(finish *f, ns_error *err) {
    char path[NS_PATH_MAX];
    ns_error why = {0};
    NS_TRY(search__file(f->run, "retrain.nsm", path, err));
    const double val_accuracy = ns_json_number(f->result, "retrain_val_accuracy", (double)NAN);
    NS_TRY(unless_unusable(f, take_model(f, path, "retrain", val_accuracy, &why), &why, err));
    f->seen = f->model != NULL && search__retrain_plan_of(f->result).with_validation;
    return f->seen ? search__thresholds_copy(f->run, f->trial_number, f->model, err) : NS_OK;
}

/// Lets a model that has not seen the validation images find out whether mirroring pays.
static ns_status choose_mirror(finish *f, ns_error *err) {
    if (f->seen || !search__retrain_plan_of(f->result).mirror_by_model) {
        return NS_OK;
    }
    const nn_infer_options options = infer_options(f);
    NS_TRY(search__mirror_choose(f->model, f->run->set, &options, stopped, f, err));
    return search__retrain_plan_mirror(f->result, nn_model_describe(f->model)->mirror_average, err);
}

/// Validates the retrained model, and keeps what it found for whoever goes on after a kill.
static ns_status validate_retrained(finish *f, ns_error *err) {
    char path[NS_PATH_MAX];
    if (f->model == NULL || !isnan(f->val_accuracy)) {
        return NS_OK;
    }
    NS_TRY(choose_mirror(f, err));
    NS_TRY(accuracy_on(f, DATA_VALIDATION, &f->val_accuracy, err));
    if (!f->seen) { // with its thresholds, for whoever goes on
        NS_TRY(search__file(f->run, "retrain.nsm", path, err));
        NS_TRY(nn_model_save(f->model, path, err));
    }
    ns_json_set_number(f->result, "retrain_val_accuracy", f->val_accuracy);
    return search__result_write(f->store, f->run, f->result, err);
}

/// Takes the best trial's own model where it is better than what is held.
static ns_status take_trial_if_better(finish *f, ns_error *err) {
    results_trial *trials = NULL;
    size_t count = 0;
    char path[NS_PATH_MAX];
    NS_TRY(results_trials(f->store, f->run->study_id, &trials, &count, err));
    const int best = search__best_trial(&f->run->config->goal, trials, count);
    const int number = best < 0 ? -1 : trials[best].number;
    const double val_accuracy = best < 0 ? (double)NAN : trials[best].val_accuracy;
    for (size_t i = 0; i < count; i++) {
        if (trials[i].number == f->trial_number) {
            f->honest_accuracy = trials[i].val_accuracy;
        }
    }
    results_trials_free(trials, count);
    if (best < 0 || (f->model != NULL && f->val_accuracy >= val_accuracy)) {
        return NS_OK;
    }
    ns_error why = {0};
    NS_TRY(search__trial_file(f->run, number, path, err));
    if (f->model != NULL) {
        ns_log_write(f->run->config->log, NS_LOG_WARN,
                     "the validation %s of the retrained model is %.2f %%, that of trial %d %.2f "
                     "%%: that one "
                     "is kept if it can be",
                     search_score_name(f->run->info->multi_label), 100 * f->val_accuracy, number,
                     100 * val_accuracy);
    }
    return unless_unusable(f, take_model(f, path, "trial", val_accuracy, &why), &why, err);
}

/// What a person who finds the file alone should know.
static ns_status notes_write(const finish *f, double test_accuracy, ns_error *err) {
    const nn_platform platform = nn_platform_describe();
    ns_json *notes = nn_model_notes(f->model);
    ns_json_set_string(notes, "study", f->run->config->study);
    ns_json_set_string(notes, "origin", f->origin);
    ns_json_set_string(notes, "nightshift", NS_VERSION);
    ns_json_set_string(notes, "library", platform.library);
    ns_json_set_string(notes, "isa", platform.isa);
    ns_json_set_string(notes, "dtype", nn_dtype_name(f->run->config->dtype));
    ns_json_set_string(notes, "dataset", f->run->config->dataset_path);
    ns_json_set_string(notes, "dataset_sha256", f->run->info->sha256);
    ns_json_set_int(notes, "seed", (int64_t)f->run->config->seed);
    search__budget_to_json(f->run->config, notes);
    ns_json_set_int(notes, "made_unix_ms", ns_clock_unix_ms());
    ns_json_set_number(notes, "val_accuracy", reported_accuracy(f));
    ns_json_set_string(notes, "val_accuracy_of", reported_of(f));
    if (nn_model_describe(f->model)->thresholds != NULL) {
        ns_json_set_string(notes, "thresholds_of", reported_of(f));
    }
    ns_json_set_number(notes, "test_accuracy", test_accuracy);
    NS_TRY(search__member_copy(notes, f->result, "retrain", err));
    return search__member_copy(notes, f->result, "winner", err);
}

static ns_status result_write(finish *f, const char *model_path, const char *onnx_path,
                              double test_accuracy, ns_error *err) {
    ns_json_set_string(f->result, "model", model_path);
    ns_json_set_string(f->result, "onnx", onnx_path);
    ns_json_set_string(f->result, "model_origin", f->origin);
    ns_json_set_string(f->result, "weights_sha256", nn_model_describe(f->model)->weights_sha256);
    ns_json_set_number(f->result, "val_accuracy", reported_accuracy(f));
    ns_json_set_string(f->result, "val_accuracy_of", reported_of(f));
    ns_json_set_number(f->result, "test_accuracy", test_accuracy);
    search__size_figures(f->model, f->result);
    NS_TRY(search__result_write(f->store, f->run, f->result, err));
    return results_model_set(f->store, f->run->study_id, "final", model_path,
                             nn_model_describe(f->model)->weights_sha256, reported_accuracy(f),
                             f->trial_number, err);
}

/// Whether an earlier life came this far: the final model is the last thing recorded.
static bool is_finished(const finish *f) {
    char path[NS_PATH_MAX];
    double val_accuracy = 0;
    int trial_number = 0;
    return results_model_get(f->store, f->run->study_id, "final", path, &val_accuracy,
                             &trial_number, NULL) == NS_OK &&
           ns_file_exists(path);
}

/// The files of the way, no longer needed: all but model, exports and the models of the front.
static void tidy(const finish *f) {
    search__file_remove(f->run, "retrain.ckpt");
    search__file_remove(f->run, "retrain.nsm");
}

/// Saves and exports the model that `f` holds, and records it as the study's final one.
static ns_status keep(finish *f, double test_accuracy, ns_error *err) {
    char model_path[NS_PATH_MAX];
    char onnx_path[NS_PATH_MAX];
    NS_TRY(search__file(f->run, "model.nsm", model_path, err));
    NS_TRY(search__file(f->run, "model.onnx", onnx_path, err));
    NS_TRY(notes_write(f, test_accuracy, err));
    NS_TRY(nn_model_save(f->model, model_path, err));
    NS_TRY(nn_export_onnx(f->model, onnx_path, err));
    NS_TRY(result_write(f, model_path, onnx_path, test_accuracy, err));
    tidy(f);
    return NS_OK;
}

static ns_status open_result(finish *f, ns_error *err) {
    NS_TRY(search__result_read(f->store, f->run, &f->result, err));
    NS_TRY(search__winner_fix(f->run, f->store, f->result, err));
    f->trial_number = (int)ns_json_int(f->result, "winner_trial", -1);
    f->honest_accuracy = (double)NAN;
    return NS_OK;
}

static ns_status finish_study(finish *f, ns_error *err) {
    double test_accuracy = (double)NAN;
    if (is_finished(f)) {
        return NS_OK;
    }
    NS_TRY(open_result(f, err));
    NS_TRY(take_retrained(f, err));
    NS_TRY(validate_retrained(f, err));
    NS_TRY(take_trial_if_better(f, err));
    if (f->model == NULL) {
        return ns_fail(err, NS_ERR_BUDGET,
                       "there is no trained model to keep: the budget of study '%s' was used "
                       "before training got anywhere",
                       f->run->config->study);
    }
    search__speed_figures(f->run, f->model, f->result);
    NS_TRY(accuracy_on(f, DATA_TEST, &test_accuracy, err));
    return keep(f, test_accuracy, err);
}

ns_status search__salvage(const search__run *run, results_store *store, ns_error *err) {
    finish f = {.run = run, .store = store};
    ns_status status = NS_OK;
    if (is_finished(&f)) {
        return NS_OK;
    }
    NS_TRY_OUT(open_result(&f, err));
    NS_TRY_OUT(take_retrained(&f, err));
    NS_TRY_OUT(take_trial_if_better(&f, err));
    NS_TRY_OUT(f.model != NULL ? keep(&f, (double)NAN, err)
                               : ns_fail(err, NS_ERR_NOT_FOUND, "nothing was trained"));
out:
    nn_model_free(f.model);
    ns_json_free(f.result);
    return status;
}

size_t search__finish_image_count(const data_info *info, bool mirror_average,
                                  bool mirror_by_model) {
    const size_t val_count = info->split_count[DATA_VALIDATION];
    const size_t image_count = val_count + info->split_count[DATA_TEST];
    return (mirror_average ? 2 * image_count : image_count) +
           (mirror_by_model ? SEARCH__MIRROR_PASSES * val_count : 0);
}

static ns_status book_work(const finish *f, int64_t attempt_id, ns_error *err) {
    if (f->model == NULL) {
        return NS_OK; // an earlier life did it all
    }
    const nn_model_info *model = nn_model_describe(f->model);
    const nn_counts counts = nn_graph_count(model->graph);
    const size_t count = search__finish_image_count(
        f->run->info, model->mirror_average, search__retrain_plan_of(f->result).mirror_by_model);
    return results_phase_work(f->store, attempt_id, search__work_flop(&counts, 0, count), err);
}

int search__finish_main(search__run *run, int slot) {
    ns_error *err = &run->slot[slot].error;
    const int64_t start_ms = ns_clock_ms();
    int64_t attempt_id = 0;
    finish f = {.run = run, .slot = &run->slot[slot]};
    ns_status status = results_open(run->config->store_path, RESULTS_WRITE, &f.store, err);
    if (status == NS_OK) {
        status = results_phase_begin(f.store, run->run_id, "finish", getpid(), &attempt_id, err);
    }
    if (status == NS_OK) {
        status = finish_study(&f, err);
    }
    if (status == NS_OK) {
        status = book_work(&f, attempt_id, err);
    }
    if (status == NS_OK) {
        status = results_phase_end(f.store, attempt_id, ns_clock_ms() - start_ms, err);
    }
    nn_model_free(f.model);
    ns_json_free(f.result);
    results_close(f.store);
    return search__exit_code(status);
}
