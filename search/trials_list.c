// The trials of a study, listed: read-only, beside a running search.
//
// A study may have 100,000 of them, so they are handed out one by one, and a genotype stays the text
// that the store holds: reading it into a tree and printing that again would be most of the work.

#include <stdlib.h>

#include "search/search_internal.h"

/// What the study's settings say of its budget and its goal.
static ns_status settings_read(const results_study *study, search_config *out,
                               const char **score_name, ns_error *err) {
    ns_json *settings = NULL;
    *out = (search_config){0};
    NS_TRY(ns_json_parse(study->settings, &settings, err));
    search__budget_from_json(settings, out);
    *score_name = search_score_name(ns_json_get(settings, "score_name") != NULL);
    const ns_status status = search__goal_from_json(settings, &out->goal, err);
    ns_json_free(settings);
    return status;
}

/// Moves the trials of the front to the front of the array; `*front_count` says how many they are.
static ns_status front_select(const search_goal *goal, results_trial *trials, size_t count,
                              size_t *front_count, ns_error *err) {
    bool *in_front = malloc(count + 1);
    const ns_status status = in_front == NULL ? ns_fail(err, NS_ERR_MEMORY, "out of memory")
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

/* ---- the list -------------------------------------------------------------------------------- */

typedef struct listing {
    const char *store_path, *study;
    search_config config;
    const char *score_name;
    search__reference reference;
    bool front_only;
    search_trial_fn each;
    void *context;
} listing;

static ns_status hand_out(void *listing_, const results_trial *row, ns_error *err) {
    listing *l = listing_;
    char path[NS_PATH_MAX];
    if (row->number == 0) { // the first to come, unless the front is listed
        l->reference = search__reference_of(row, 1);
    }
    const bool kept = l->front_only && search__member_path(l->store_path, l->study, row->number,
                                                           path, NULL) == NS_OK;
    const search_trial trial = {
        .row = row,
        .kind = l->config.budget_kind,
        .score_name = l->score_name,
        .objective = search__objective(&l->config.goal, &l->reference, row),
        .in_front = l->front_only,
        .model = kept ? path : NULL,
    };
    return l->each(l->context, &trial, err);
}

/// The front is known when all trials are.
static ns_status hand_out_front(listing *l, results_store *store, int64_t study_id, ns_error *err) {
    results_trial *trials = NULL;
    size_t count = 0;
    size_t front_count = 0;
    NS_TRY(results_trials(store, study_id, &trials, &count, err));
    l->reference = search__reference_of(trials, count);
    ns_status status = front_select(&l->config.goal, trials, count, &front_count, err);
    for (size_t i = 0; status == NS_OK && i < front_count; i++) {
        status = hand_out(l, &trials[i], err);
    }
    results_trials_free(trials, count);
    return status;
}

ns_status search_trials_each(const char *store_path, const char *study_name, bool front_only,
                             search_trial_fn each, void *context, ns_error *err) {
    results_store *store = NULL;
    results_study study = {0};
    listing l = {.store_path = store_path,
                 .study = study_name,
                 .front_only = front_only,
                 .each = each,
                 .context = context};
    ns_status status = NS_OK;
    NS_TRY(results_open(store_path, RESULTS_READ, &store, err));
    NS_TRY_OUT(results_study_get(store, study_name, &study, err));
    NS_TRY_OUT(settings_read(&study, &l.config, &l.score_name, err));
    status = front_only ? hand_out_front(&l, store, study.id, err)
                        : results_trials_visit(store, study.id, hand_out, &l, err);
out:
    results_study_clear(&study);
    results_close(store);
    return status;
}

void search__trial_json(const results_trial *row, budget_kind kind, ns_json *to) {
    const bool compute = kind == BUDGET_COMPUTE;
    ns_json_set_int(to, "number", row->number);
    ns_json_set_string(to, "state", results_trial_state_name(row->state));
    ns_json_set_string(to, "fail_reason", row->fail_reason[0] != '\0' ? row->fail_reason : NULL);
    ns_json_set_string(to, "detail", row->detail[0] != '\0' ? row->detail : NULL);
    ns_json_set_raw(to, "genotype", row->genotype);
    ns_json_set_string(to, "hash", row->hash);
    ns_json_set_int(to, "fidelity", row->fidelity_ms * (compute ? BUDGET_FLOP_PER_MS : 1));
    ns_json_set_string(to, "fidelity_unit",
                       compute ? "training FLOPs" : "training ms of one worker");
    ns_json_set_int(to, "seed", (int64_t)row->seed);
    ns_json_set_string(to, "purpose", results_purpose_name(row->purpose));
    ns_json_set_int(to, "rung", row->rung);
    if (row->source_number >= 0) {
        ns_json_set_int(to, "of_trial", row->source_number);
    } else {
        ns_json_set_null(to, "of_trial");
    }
    ns_json_set_number(to, "val_accuracy", row->val_accuracy);
    ns_json_set_number(to, "val_loss", row->val_loss);
    ns_json_set_number(to, "latency_ms", row->latency_ms);
    ns_json_set_int(to, "params", row->params);
    ns_json_set_int(to, "flops", row->flops);
    ns_json_set_int(to, "samples", row->sample_count);
    ns_json_set_int(to, "node_ms", row->node_ms);
}

ns_json *search_trial_json(const search_trial *trial) {
    ns_json *to = ns_json_object_new();
    search__trial_json(trial->row, trial->kind, to);
    ns_json_set_string(to, "score_name", trial->score_name);
    ns_json_set_number(to, "objective", trial->objective);
    if (trial->in_front) {
        ns_json_set_string(to, "model", trial->model);
    }
    return to;
}
