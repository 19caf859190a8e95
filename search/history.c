// The history of a study, as a process has read it.
//
// What to do next, what to propose and which models to keep follow from all trials, and that is asked
// at every turn, by every worker. So a process keeps the trials it has read, and what it has parsed
// of them, and reads on from the first that was not finished yet: finished trials never change. What
// follows is the same as if all had been read again, at a price that does not grow with the study.

#include <stdlib.h>

#include "search/search_internal.h"

static ns_status reserve(search__history *history, size_t count, ns_error *err) {
    if (count <= history->capacity) {
        return NS_OK;
    }
    const size_t capacity = count + count / 2;
    results_trial *row = realloc(history->row, capacity * sizeof(*row));
    if (row == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold %zu trials", count);
    }
    history->row = row;
    search_observation *trial = realloc(history->trial, capacity * sizeof(*trial));
    if (trial == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold the history of %zu trials", count);
    }
    history->trial = trial;
    history->capacity = capacity;
    return NS_OK;
}

static ns_status parse(const search__run *run, const results_trial *row, search_observation *out,
                       ns_error *err) {
    ns_json *json = NULL;
    NS_TRY(ns_json_parse(row->genotype, &json, err));
    const ns_status status = search_genotype_from_json(&run->space, json, &out->genotype, err);
    ns_json_free(json);
    out->fidelity_ms = row->fidelity_ms;
    out->group = 0;
    return status;
}

/// Takes over what is known of trial `at`. What never changes of it is parsed once.
static ns_status take(const search__run *run, size_t at, results_trial *row, ns_error *err) {
    search__history *history = run->history;
    search_observation *trial = &history->trial[at];
    if (at == history->count) {
        NS_TRY(parse(run, row, trial, err));
        history->count++;
    } else {
        results_trial_clear(&history->row[at]);
    }
    trial->state = row->state;
    trial->val_accuracy = search__objective(&run->config->goal, &history->reference, row);
    history->row[at] = *row;
    *row = (results_trial){0};
    return NS_OK;
}

/// Trials are numbered from 0 without a gap, so a number is an index.
static ns_status take_all(const search__run *run, results_trial *rows, size_t count,
                          ns_error *err) {
    search__history *history = run->history;
    const size_t first = history->settled_count;
    if (first == 0) {
        history->reference = search__reference_of(rows, count);
    }
    NS_TRY(reserve(history, first + count, err));
    for (size_t i = 0; i < count; i++) {
        NS_TRY(take(run, first + i, &rows[i], err));
    }
    while (history->settled_count < history->count &&
           results_trial_is_over(history->row[history->settled_count].state)) {
        history->settled_count++;
    }
    return NS_OK;
}

ns_status search__history_read(const search__run *run, results_store *store, ns_error *err) {
    results_trial *rows = NULL;
    size_t count = 0;
    NS_TRY(results_trials_from(store, run->study_id, (int)run->history->settled_count, &rows,
                               &count, err));
    const ns_status status = take_all(run, rows, count, err);
    results_trials_free(rows, count);
    return status;
}

search_history search__history_of(const search__run *run) {
    const search__history *history = run->history;
    return (search_history){.trial = history->trial,
                            .count = history->count,
                            .earlier = history->earlier,
                            .earlier_count = history->earlier_count};
}

void search__history_clear(search__history *history) {
    for (size_t i = 0; i < history->count; i++) {
        results_trial_clear(&history->row[i]);
    }
    free(history->row);
    free(history->trial);
    free(history->earlier);
    search__keeper_clear(&history->keeper);
    *history = (search__history){0};
}
