// What a store knows of its studies, as JSON: read-only, beside a running search.

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

/// Of the model that is kept, or would be if the search ended now.
static double best_val_accuracy(const search_goal *goal, const results_trial *trials, size_t count,
                                const ns_json *result) {
    const int best = search__best_trial(goal, trials, count);
    const double of_trials = best < 0 ? (double)NAN : trials[best].val_accuracy;
    const double of_model = ns_json_number(result, "val_accuracy", (double)NAN);
    return isnan(of_trials) || of_model > of_trials ? of_model : of_trials;
}

static ns_status members_copy(ns_json *to, const ns_json *result, ns_error *err) {
    const char *const members[] = {
        "test_accuracy",  "test_macro_auc", "test_log_loss",    "test_images",
        "val_accuracy",   "winner",         "winner_trial",     "weights_sha256",
        "model",          "onnx",           "model_origin",     "params",
        "flops",          "mbytes",         "latency_ms",       "latency_ms_all_cores",
        "calibration",    "confirmation",   "search_converged", "retrain",
        "val_accuracy_of"};
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

static ns_status study_fill(ns_json *json, const char *store_path, const results_study *study,
                            const ns_json *settings, const ns_json *result, ns_error *err) {
    ns_json_set_string(json, "study", study->name);
    ns_json_set_string(json, "state", search__state_name(store_path, study));
    ns_json_set_string(json, "phase", study->phase);
    ns_json_set_string(json, "stop_reason",
                       study->stop_reason[0] != '\0' ? study->stop_reason : NULL);
    NS_TRY(members_copy(json, result, err));
    ns_json_set(json, "trials", trial_counts_json(study));
    ns_json_set_string(json, "dataset", study->dataset_path);
    ns_json_set_string(json, "sampler", ns_json_string(settings, "sampler", NULL));
    ns_json_set_string(json, "dtype", ns_json_string(settings, "dtype", NULL));
    ns_json_set_int(json, "seed", ns_json_int(settings, "seed", 0));
    ns_json_set_int(json, "threads", ns_json_int(settings, "threads", 0));
    ns_json_set_int(json, "workers", ns_json_int(settings, "workers", 0));
    return NS_OK;
}

ns_status search__study_json(const char *store_path, results_store *store,
                             const results_study *study, ns_json **out, ns_error *err) {
    ns_status status = NS_OK;
    ns_json *result = NULL;
    ns_json *settings = NULL;
    results_trial *trials = NULL;
    size_t count = 0;
    search_goal goal;
    results_work work;
    ns_json *json = ns_json_object_new();
    NS_TRY_OUT(ns_json_parse(study->result, &result, err));
    NS_TRY_OUT(ns_json_parse(study->settings, &settings, err));
    NS_TRY_OUT(results_trials(store, study->id, &trials, &count, err));
    NS_TRY_OUT(results_work_get(store, study->id, &work, err));
    NS_TRY_OUT(study_fill(json, store_path, study, settings, result, err));
    spent_fill(json, study, &work, settings);
    const bool compute = ns_json_int(json, "budget_flop", 0) > 0;
    NS_TRY_OUT(search__plan_status(store, study->id, compute ? BUDGET_COMPUTE : BUDGET_TIME, result,
                                   json, err));
    NS_TRY_OUT(search__goal_from_json(settings, &goal, err));
    ns_json_set_number(json, "best_val_accuracy", best_val_accuracy(&goal, trials, count, result));
    search__goal_to_json(&goal, json);
    *out = json;
    json = NULL;
out:
    ns_json_free(json);
    results_trials_free(trials, count);
    ns_json_free(settings);
    ns_json_free(result);
    return status;
}

ns_status search_status_json(const char *store_path, const char *study_name, ns_json **out,
                             ns_error *err) {
    results_store *store = NULL;
    results_study study;
    NS_TRY(results_open(store_path, RESULTS_READ, &store, err));
    ns_status status = results_study_get(store, study_name, &study, err);
    if (status == NS_OK) {
        status = search__study_json(store_path, store, &study, out, err);
        results_study_clear(&study);
    }
    results_close(store);
    return status;
}

ns_status search__trial_json(const results_trial *trial, budget_kind kind, ns_json *to,
                             ns_error *err) {
    ns_json *genotype = NULL;
    NS_TRY(ns_json_parse(trial->genotype, &genotype, err));
    ns_json_set_int(to, "number", trial->number);
    ns_json_set_string(to, "state", results_trial_state_name(trial->state));
    ns_json_set_string(to, "fail_reason",
                       trial->fail_reason[0] != '\0' ? trial->fail_reason : NULL);
    ns_json_set_string(to, "detail", trial->detail[0] != '\0' ? trial->detail : NULL);
    ns_json_set(to, "genotype", genotype);
    ns_json_set_string(to, "hash", trial->hash);
    const bool compute = kind == BUDGET_COMPUTE;
    ns_json_set_int(to, "fidelity", trial->fidelity_ms * (compute ? BUDGET_FLOP_PER_MS : 1));
    ns_json_set_string(to, "fidelity_unit",
                       compute ? "training FLOPs" : "training ms of one worker");
    ns_json_set_int(to, "seed", (int64_t)trial->seed);
    ns_json_set_string(to, "purpose", results_purpose_name(trial->purpose));
    ns_json_set_int(to, "rung", trial->rung);
    if (trial->source_number >= 0) {
        ns_json_set_int(to, "of_trial", trial->source_number);
    } else {
        ns_json_set_null(to, "of_trial");
    }
    ns_json_set_number(to, "val_accuracy", trial->val_accuracy);
    ns_json_set_number(to, "val_loss", trial->val_loss);
    ns_json_set_number(to, "latency_ms", trial->latency_ms);
    ns_json_set_int(to, "params", trial->params);
    ns_json_set_int(to, "flops", trial->flops);
    ns_json_set_int(to, "samples", trial->sample_count);
    ns_json_set_int(to, "node_ms", trial->node_ms);
    return NS_OK;
}

/// What the study's settings say of its budget and its goal.
static ns_status settings_read(const results_study *study, search_config *out, ns_error *err) {
    ns_json *settings = NULL;
    *out = (search_config){0};
    NS_TRY(ns_json_parse(study->settings, &settings, err));
    search__budget_from_json(settings, out);
    const ns_status status = search__goal_from_json(settings, &out->goal, err);
    ns_json_free(settings);
    return status;
}

/// Moves the trials of the front to the front of the array; `*front_count` says how many they are.
static ns_status front_select(const search_goal *goal, results_trial *trials, size_t count,
                              size_t *front_count, ns_error *err) {
    bool *in_front = malloc(count + 1);
    ns_status status = in_front == NULL ? ns_fail(err, NS_ERR_MEMORY, "out of memory")
                                        : search__front(goal, trials, count, in_front, err);
    *front_count = 0;
    for (size_t i = 0; status == NS_OK && i < count; i++) {
        if (in_front[i]) { // swapped, so that each is freed once
            const results_trial member = trials[i];
            trials[i] = trials[*front_count];
            trials[(*front_count)++] = member;
        }
    }
    free(in_front);
    return status;
}

static void model_path_add(const char *store_path, const char *study_name, int number,
                           ns_json *to) {
    char path[NS_PATH_MAX];
    const bool kept = search__member_path(store_path, study_name, number, path, NULL) == NS_OK;
    ns_json_set_string(to, "model", kept ? path : NULL);
}

ns_status search_trials_json(const char *store_path, const char *study_name, bool front_only,
                             ns_json **out, ns_error *err) {
    results_store *store = NULL;
    results_study study = {0};
    search_config config;
    results_trial *trials = NULL;
    size_t count = 0;
    size_t shown_count = 0;
    NS_TRY(results_open(store_path, RESULTS_READ, &store, err));
    ns_status status = results_study_get(store, study_name, &study, err);
    if (status == NS_OK) {
        status = settings_read(&study, &config, err);
    }
    if (status == NS_OK) {
        status = results_trials(store, study.id, &trials, &count, err);
        shown_count = count;
    }
    const search__reference reference = search__reference_of(trials, count);
    if (status == NS_OK && front_only) {
        status = front_select(&config.goal, trials, count, &shown_count, err);
    }
    ns_json *json = ns_json_object_new();
    ns_json *array = ns_json_set(json, "trials", ns_json_array_new());
    for (size_t i = 0; status == NS_OK && i < shown_count; i++) {
        ns_json *one = ns_json_add(array, ns_json_object_new());
        status = search__trial_json(&trials[i], config.budget_kind, one, err);
        ns_json_set_number(one, "objective",
                           search__objective(&config.goal, &reference, &trials[i]));
        if (front_only) {
            model_path_add(store_path, study_name, trials[i].number, one);
        }
    }
    results_trials_free(trials, count);
    results_study_clear(&study);
    results_close(store);
    if (status != NS_OK) {
        ns_json_free(json);
        return status;
    }
    *out = json;
    return NS_OK;
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
        results_study study;
        ns_json *one = NULL;
        if (status == NS_OK) {
            status = results_study_get(store, names[i], &study, err);
        }
        if (status == NS_OK) {
            status = search__study_json(store_path, store, &study, &one, err);
            results_study_clear(&study);
            ns_json_add(array, one);
        }
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
