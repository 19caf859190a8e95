// How studies stand, as JSON: read-only, beside a running search.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/search_internal.h"

const char *search__state_name(const char *store_path, const results_study *study) {
    char lock_path[NS_PATH_MAX];
    char dir[NS_PATH_MAX];
    const bool killed = study->state == RESULTS_STUDY_RUNNING &&
                        search__dir(store_path, study->name, dir, NULL) == NS_OK &&
                        ns_path_join(dir, "lock", lock_path, NULL) == NS_OK &&
                        !ns_lock_held(lock_path);
    return results_study_state_name(killed ? RESULTS_STUDY_INTERRUPTED : study->state);
}

static ns_json *trial_counts_json(const results_study *study) {
    ns_json *counts = ns_json_object_new();
    for (int state = RESULTS_WAITING; state <= RESULTS_FAIL; state++) {
        ns_json_set_int(counts, results_trial_state_name((results_trial_state)state),
                        study->trial_count[state]);
    }
    return counts;
}

bool search_trained_on_validation(const ns_json *study) {
    return strcmp(ns_json_string(study, "val_accuracy_of", "model"), "model") != 0;
}

/// Of the model that is kept, or would be if the search ended now. A model that was trained on the
/// validation images has none of its own.
static void best_validation_fill(ns_json *json, const search_goal *goal,
                                 const results_trial *trials, size_t count, const ns_json *result) {
    const int best = search__best_trial(goal, trials, count);
    const double of_trials = best < 0 ? (double)NAN : trials[best].val_accuracy;
    const double of_result = ns_json_number(result, "val_accuracy", (double)NAN);
    const bool from_result = isnan(of_trials) || of_result >= of_trials;
    const double value = from_result ? of_result : of_trials;
    const bool of_model = from_result && !search_trained_on_validation(result);
    ns_json_set_number(json, "best_val_accuracy", value);
    ns_json_set_string(json, "best_val_accuracy_of",
                       isnan(value) ? NULL
                       : of_model   ? "model"
                                    : "trial");
}

static ns_status members_copy(ns_json *to, const ns_json *result, ns_error *err) {
    const char *const members[] = {
        "test_accuracy", "test_macro_auc", "test_log_loss",    "test_images",
        "val_accuracy",  "winner",         "winner_trial",     "weights_sha256",
        "model",         "onnx",           "model_origin",     "params",
        "flops",         "mbytes",         "latency_ms",       "latency_ms_all_cores",
        "calibration",   "confirmation",   "search_converged", "search_end",
        "retrain",       "val_accuracy_of"};
    for (size_t i = 0; i < NS_COUNT_OF(members); i++) {
        NS_TRY(search__member_copy(to, result, members[i], err));
    }
    return NS_OK;
}

/// Budget and use: of node-hours, and of work.
static void spent_fill(ns_json *json, const results_study *study, const results_work *work,
                       const ns_json *settings) {
    search_config budget = {0};
    const double price = ns_json_number(settings, "price", 0);
    search__budget_from_json(settings, &budget);
    ns_json_set_null(json, "budget_node_ms"); // one of these two
    ns_json_set_null(json, "budget_flop");
    search__budget_to_json(&budget, json);
    ns_json_set_int(json, "node_ms_used", study->charged_node_ms);
    ns_json_set_int(json, "node_ms_lost", work->lost_node_ms);
    ns_json_set_int(json, "flop_used", work->trial_flop + work->phase_flop);
    ns_json_set_number(json, "price", price);
    ns_json_set_number(json, "cost", budget_cost(study->charged_node_ms, price));
}

static ns_status study_fill(ns_json *json, const char *store_path, results_store *store,
                            const results_study *study, const ns_json *settings,
                            const ns_json *result, ns_error *err) {
    ns_json_set_string(json, "study", study->name);
    ns_json_set_string(json, "state", search__state_name(store_path, study));
    ns_json_set_string(json, "phase", study->phase);
    ns_json_set_string(json, "stop_reason",
                       study->stop_reason[0] != '\0' ? study->stop_reason : NULL);
    NS_TRY(members_copy(json, result, err));
    ns_json_set(json, "trials", trial_counts_json(study));
    ns_json_set_string(json, "dataset", study->dataset_path);
    ns_json_set_string(json, "score_name",
                       ns_json_string(settings, "score_name", search_score_name(false)));
    ns_json_set_string(json, "space", ns_json_string(ns_json_get(settings, "space"), "name", NULL));
    ns_json_set_string(json, "sampler", ns_json_string(settings, "sampler", NULL));
    NS_TRY(search__warm_status(store, study->id, settings, json, err));
    ns_json_set_string(json, "dtype", ns_json_string(settings, "dtype", NULL));
    ns_json_set_int(json, "seed", ns_json_int(settings, "seed", 0));
    ns_json_set_int(json, "threads", ns_json_int(settings, "threads", 0));
    ns_json_set_int(json, "workers", ns_json_int(settings, "workers", 0));
    return NS_OK;
}

ns_status search__study_json(const char *store_path, results_store *store,
                             const results_study *study, const results_trial *trials, size_t count,
                             ns_json **out, ns_error *err) {
    ns_status status = NS_OK;
    ns_json *result = NULL;
    ns_json *settings = NULL;
    search_goal goal;
    results_work work;
    ns_json *json = ns_json_object_new();
    NS_TRY_OUT(ns_json_parse(study->result, &result, err));
    NS_TRY_OUT(ns_json_parse(study->settings, &settings, err));
    NS_TRY_OUT(results_work_get(store, study->id, &work, err));
    NS_TRY_OUT(study_fill(json, store_path, store, study, settings, result, err));
    spent_fill(json, study, &work, settings);
    const bool compute = ns_json_int(json, "budget_flop", 0) > 0;
    NS_TRY_OUT(search__plan_status(store, study->id, compute ? BUDGET_COMPUTE : BUDGET_TIME, result,
                                   json, err));
    NS_TRY_OUT(search__goal_from_json(settings, &goal, err));
    best_validation_fill(json, &goal, trials, count, result);
    search__goal_to_json(&goal, json);
    *out = json;
    json = NULL;
out:
    ns_json_free(json);
    ns_json_free(settings);
    ns_json_free(result);
    return status;
}

static ns_status read_study(const char *store_path, results_store *store, const char *name,
                            ns_json **out, ns_error *err) {
    results_study study;
    results_trial *trials = NULL;
    size_t count = 0;
    NS_TRY(results_study_get(store, name, &study, err));
    ns_status status = results_trials(store, study.id, &trials, &count, err);
    if (status == NS_OK) {
        status = search__study_json(store_path, store, &study, trials, count, out, err);
    }
    results_trials_free(trials, count);
    results_study_clear(&study);
    return status;
}

ns_status search_status_json(const char *store_path, const char *study_name, ns_json **out,
                             ns_error *err) {
    results_store *store = NULL;
    NS_TRY(results_open(store_path, RESULTS_READ, &store, err));
    const ns_status status = read_study(store_path, store, study_name, out, err);
    results_close(store);
    return status;
}

ns_status search_studies_json(const char *store_path, ns_json **out, ns_error *err) {
    results_store *store = NULL;
    char **names = NULL;
    size_t count = 0;
    NS_TRY(results_open(store_path, RESULTS_READ, &store, err));
    ns_status status = results_study_names(store, &names, &count, err);
    ns_json *json = ns_json_object_new();
    ns_json *array = ns_json_set(json, "studies", ns_json_array_new());
    for (size_t i = 0; i < count; i++) {
        ns_json *one = NULL;
        status = status == NS_OK ? read_study(store_path, store, names[i], &one, err) : status;
        ns_json_add(array, one);
        free(names[i]);
    }
    free(names);
    results_close(store);
    if (status != NS_OK) {
        ns_json_free(json);
        return status;
    }
    *out = json;
    return NS_OK;
}
