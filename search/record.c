// Everything a report tells of a study, as one JSON object: how it stands, what it cost, how its best
// grew, its runs, and its trials.
//
// A study may have 100,000 trials, and a plot shows no more than some thousands. What a reader looks
// for is kept exactly: the first trial (the anchor), the Pareto front, every trial that was the best
// so far. The others are sampled evenly by their number, so that a cloud of points keeps its shape.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/search_internal.h"

typedef struct record {
    const char *store_path;
    results_store *store;
    results_study study;
    ns_json *result, *settings;
    results_trial *trials;
    size_t count;
    bool *in_front, *shown; // of each trial
    ns_json *json;
} record;

/* ---- which trials ---------------------------------------------------------------------------- */

/// Marks what must be seen; returns how many that are. Trials finish almost in the order of their
/// numbers, so the best so far is taken in that order.
static size_t show_notable(record *r) {
    size_t shown_count = 0;
    double best = -INFINITY;
    for (size_t i = 0; i < r->count; i++) {
        const results_trial *trial = &r->trials[i];
        const bool record_set = trial->state == RESULTS_COMPLETE && trial->val_accuracy > best;
        best = record_set ? trial->val_accuracy : best;
        r->shown[i] = i == 0 || record_set || r->in_front[i];
        shown_count += r->shown[i] ? 1 : 0;
    }
    return shown_count;
}

static void show_sample(record *r, size_t sample_count) {
    for (size_t k = 0; k < sample_count; k++) {
        r->shown[(size_t)((double)k * (double)r->count / (double)sample_count)] = true;
    }
}

static ns_status choose_trials(record *r, size_t trial_count_max, ns_error *err) {
    search_goal goal;
    r->in_front = calloc(r->count + 1, sizeof(bool));
    r->shown = calloc(r->count + 1, sizeof(bool));
    if (r->in_front == NULL || r->shown == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for a record of %zu trials", r->count);
    }
    NS_TRY(search__goal_from_json(r->settings, &goal, err));
    NS_TRY(search__front(&goal, r->trials, r->count, r->in_front, err));
    const size_t notable_count = show_notable(r);
    const size_t room = trial_count_max > notable_count ? trial_count_max - notable_count : 0;
    show_sample(r, room < r->count ? room : r->count);
    return NS_OK;
}

/* ---- their JSON ------------------------------------------------------------------------------ */

static ns_status marks_add(record *r, const results_trial *trial, ns_json *to, ns_error *err) {
    results_mark marks[RESULTS_MARKS_MAX];
    size_t count = 0;
    ns_json *array = ns_json_set(to, "marks", ns_json_array_new());
    NS_TRY(results_marks(r->store, trial->id, marks, &count, err));
    for (size_t i = 0; i < count; i++) {
        ns_json *mark = ns_json_add(array, ns_json_object_new());
        ns_json_set_number(mark, "fraction", marks[i].fraction);
        ns_json_set_number(mark, "val_accuracy", marks[i].val_accuracy);
    }
    return NS_OK;
}

static ns_status trial_add(record *r, size_t i, budget_kind kind, ns_json *to, ns_error *err) {
    ns_json *genes = NULL;
    NS_TRY(ns_json_parse(r->trials[i].genotype, &genes, err));
    search__trial_json(&r->trials[i], kind, to);
    ns_json_set(to, "genes", genes);
    ns_json_set_bool(to, "front", r->in_front[i]);
    ns_json_set_int(to, "finished_node_ms", r->trials[i].finished_node_ms);
    return marks_add(r, &r->trials[i], to, err);
}

static ns_status trials_add(record *r, ns_error *err) {
    search_config config = {0};
    search__budget_from_json(r->settings, &config);
    ns_json_set_int(r->json, "trial_count", (int64_t)r->count);
    ns_json *array = ns_json_set(r->json, "trials", ns_json_array_new());
    for (size_t i = 0; i < r->count; i++) {
        if (r->shown[i]) {
            ns_json *one = ns_json_add(array, ns_json_object_new());
            NS_TRY(trial_add(r, i, config.budget_kind, one, err));
        }
    }
    return NS_OK;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static ns_status usage_add(record *r, ns_error *err) {
    results_usage usage;
    NS_TRY(results_usage_get(r->store, r->study.id, &usage, err));
    ns_json *json = ns_json_set(r->json, "usage", ns_json_object_new());
    ns_json_set_int(json, "search", usage.search_ms);
    ns_json_set_int(json, "confirm", usage.confirm_ms);
    ns_json_set_int(json, "retrain", usage.retrain_ms);
    ns_json_set_int(json, "finish", usage.finish_ms);
    ns_json_set_int(json, "overhead", usage.overhead_ms);
    return NS_OK;
}

static ns_status record_read(record *r, const char *name, ns_error *err) {
    ns_json *study = NULL;
    NS_TRY(results_open(r->store_path, RESULTS_READ, &r->store, err));
    NS_TRY(results_study_get(r->store, name, &r->study, err));
    NS_TRY(ns_json_parse(r->study.result, &r->result, err));
    NS_TRY(ns_json_parse(r->study.settings, &r->settings, err));
    NS_TRY(results_trials(r->store, r->study.id, &r->trials, &r->count, err));
    NS_TRY(
        search__study_json(r->store_path, r->store, &r->study, r->trials, r->count, &study, err));
    ns_json_set(r->json, "study", study);
    return NS_OK;
}

static ns_status record_fill(record *r, const char *name, size_t trial_count_max, ns_error *err) {
    NS_TRY(record_read(r, name, err));
    ns_json_set_string(r->json, "dataset_sha256", r->study.dataset_sha256);
    ns_json_set_int(r->json, "created_unix_ms", r->study.created_unix_ms);
    NS_TRY(usage_add(r, err));
    NS_TRY(search__curve_add(r->json, &r->study, r->result, r->trials, r->count, err));
    NS_TRY(search__runs_add(r->json, r->store, &r->study, err));
    NS_TRY(choose_trials(r, trial_count_max, err));
    return trials_add(r, err);
}

ns_status search_record_json(const char *store_path, const char *study, size_t trial_count_max,
                             ns_json **out, ns_error *err) {
    record r = {.store_path = store_path, .json = ns_json_object_new()};
    const ns_status status = record_fill(&r, study, trial_count_max, err);
    results_trials_free(r.trials, r.count);
    results_study_clear(&r.study);
    ns_json_free(r.result);
    ns_json_free(r.settings);
    free(r.in_front);
    free(r.shown);
    results_close(r.store);
    if (status != NS_OK) {
        ns_json_free(r.json);
        return status;
    }
    *out = r.json;
    return NS_OK;
}
