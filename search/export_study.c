// A study as one JSON file: all that is needed to understand it elsewhere and to train any of its
// trials again, without the store.
//
//   {"format": "nightshift study", "version": 1, "nightshift": VERSION, "study": NAME,
//    "command": how it was begun,
//    "dataset": {"path", "sha256"}, "settings": {seed, budget, dtype, space, ...},
//    "state", "phase", "stop_reason", "node_ms_used", "score_name": what val_accuracy is,
//    "trial_setup": {"dtype", "threads"}, of every trial's training
//    "runs": [{"command", "host", "version", "platform", "state", "started_unix_ms", ...}],
//    "result": {plan, calibration, winner, accuracies, weights_sha256, ...},
//    "trials": [
//    one a line, as `trials --json` has them, with the recipe
//    ]}
//
// The trials come last and are written as they are read, so that memory does not grow with them.

#include <stdlib.h>
#include <string.h>

#include "search/search_internal.h"

static ns_status copy_parsed(ns_json *to, const char *key, const char *text, ns_error *err) {
    ns_json *json = NULL;
    NS_TRY(ns_json_parse(text, &json, err));
    ns_json_set(to, key, json);
    return NS_OK;
}

/// How many threads trained a trial: as calibration divided the machine, or as settled before it.
static int trial_threads(const ns_json *settings, const ns_json *result) {
    const int64_t measured =
        ns_json_int(ns_json_get(result, "calibration"), "threads_per_worker", 0);
    const int64_t threads = ns_json_int(settings, "threads", 0);
    const int64_t workers = ns_json_int(settings, "workers", 0);
    return (int)(measured > 0 ? measured : workers > 0 ? threads / workers : threads);
}

static ns_json *run_json(const results_run *run) {
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "command", run->command);
    ns_json_set_string(json, "host", run->host);
    ns_json_set_string(json, "version", run->version);
    ns_json_set_string(json, "platform", run->platform);
    ns_json_set_string(json, "state", run->state);
    ns_json_set_int(json, "started_unix_ms", run->started_unix_ms);
    if (run->ended_unix_ms > 0) {
        ns_json_set_int(json, "ended_unix_ms", run->ended_unix_ms);
    } else {
        ns_json_set_null(json, "ended_unix_ms");
    }
    return json;
}

ns_status search__runs_add(ns_json *json, results_store *store, const results_study *study,
                           ns_error *err) {
    results_run *runs = NULL;
    size_t count = 0;
    NS_TRY(results_runs(store, study->id, &runs, &count, err));
    ns_json_set_string(json, "command", count > 0 ? runs[0].command : NULL);
    ns_json *list = ns_json_set(json, "runs", ns_json_array_new());
    for (size_t i = 0; i < count; i++) {
        ns_json_add(list, run_json(&runs[i]));
    }
    results_runs_free(runs, count);
    return NS_OK;
}

/// All but the trials.
static ns_status head_fill(ns_json *json, const char *store_path, results_store *store,
                           const results_study *study, ns_error *err) {
    ns_json_set_string(json, "format", SEARCH_EXPORT_FORMAT);
    ns_json_set_int(json, "version", SEARCH_EXPORT_VERSION);
    ns_json_set_string(json, "nightshift", NS_VERSION);
    ns_json_set_string(json, "study", study->name);
    ns_json_set_string(json, "state", search__state_name(store_path, study));
    ns_json_set_string(json, "phase", study->phase);
    ns_json_set_string(json, "stop_reason",
                       study->stop_reason[0] != '\0' ? study->stop_reason : NULL);
    ns_json_set_int(json, "created_unix_ms", study->created_unix_ms);
    ns_json_set_int(json, "node_ms_used", study->charged_node_ms);
    NS_TRY(search__runs_add(json, store, study, err));
    ns_json *dataset = ns_json_set(json, "dataset", ns_json_object_new());
    ns_json_set_string(dataset, "path", study->dataset_path);
    ns_json_set_string(dataset, "sha256", study->dataset_sha256);
    NS_TRY(copy_parsed(json, "settings", study->settings, err));
    NS_TRY(copy_parsed(json, "result", study->result, err));
    const ns_json *settings = ns_json_get(json, "settings");
    ns_json_set_string(json, "score_name",
                       ns_json_string(settings, "score_name", search_score_name(false)));
    ns_json *setup = ns_json_set(json, "trial_setup", ns_json_object_new());
    ns_json_set_string(setup, "dtype", ns_json_string(settings, "dtype", NULL));
    ns_json_set_int(setup, "threads", trial_threads(settings, ns_json_get(json, "result")));
    return NS_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct writer {
    ns_atomic_file *file;
    budget_kind kind;
    bool is_first;
} writer;

static ns_status put(const writer *w, const char *text, ns_error *err) {
    return ns_atomic_write(w->file, text, strlen(text), err);
}

static ns_status put_trial(void *writer_, const results_trial *trial, ns_error *err) {
    writer *w = writer_;
    char *text = NULL;
    ns_json *json = ns_json_object_new();
    search__trial_json(trial, w->kind, json);
    ns_json_set_string(json, "recipe", trial->recipe);
    ns_status status = ns_json_print(json, false, &text, err);
    status = status == NS_OK ? put(w, w->is_first ? "\n" : ",\n", err) : status;
    status = status == NS_OK ? put(w, text, err) : status;
    w->is_first = false;
    free(text);
    ns_json_free(json);
    return status;
}

/// The object of the head, left open.
static ns_status put_head(const writer *w, const ns_json *head, ns_error *err) {
    char *text = NULL;
    NS_TRY(ns_json_print(head, true, &text, err));
    *strrchr(text, '}') = '\0';
    const ns_status status = put(w, text, err);
    free(text);
    return status;
}

static ns_status put_study(writer *w, results_store *store, const results_study *study,
                           const ns_json *head, ns_error *err) {
    NS_TRY(put_head(w, head, err));
    NS_TRY(put(w, ", \"trials\": [", err));
    NS_TRY(results_trials_visit(store, study->id, put_trial, w, err));
    return put(w, "\n]}\n", err);
}

ns_status search_export_json(const char *store_path, const char *study_name, const char *path,
                             ns_error *err) {
    ns_status status = NS_OK;
    results_store *store = NULL;
    results_study study = {0};
    writer w = {.is_first = true};
    search_config budget = {0};
    ns_json *head = ns_json_object_new();
    NS_TRY_OUT(results_open(store_path, RESULTS_READ, &store, err));
    NS_TRY_OUT(results_study_get(store, study_name, &study, err));
    NS_TRY_OUT(head_fill(head, store_path, store, &study, err));
    search__budget_from_json(ns_json_get(head, "settings"), &budget);
    w.kind = budget.budget_kind;
    NS_TRY_OUT(ns_atomic_open(path, &w.file, err));
    NS_TRY_OUT(put_study(&w, store, &study, head, err));
    status = ns_atomic_commit(w.file, err);
    w.file = NULL;
out:
    ns_atomic_abort(w.file);
    ns_json_free(head);
    results_study_clear(&study);
    results_close(store);
    return status;
}
