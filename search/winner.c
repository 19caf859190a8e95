// Who has won: the best trial so far, and the genotype that is retrained.
//
// Where networks were confirmed with new seeds, confirm.c chooses among them; else the best trial's
// wins, the only one that is left when all others are clearly worse.
//
// The winner is chosen once, when the search is over, and written into the study's result before
// retraining begins: a resumed study retrains the same one from its checkpoint.

#include <math.h>

#include "search/ladder.h"

int search__best_trial(const search_goal *goal, const results_trial *trials, size_t count) {
    const search__reference reference = search__reference_of(trials, count);
    double best_value = (double)NAN;
    int best = -1;
    for (size_t i = 0; i < count; i++) {
        const double value = search__objective(goal, &reference, &trials[i]);
        if (trials[i].state == RESULTS_COMPLETE && !isnan(value) &&
            (best < 0 || value > best_value)) {
            best = (int)i;
            best_value = value;
        }
    }
    return best;
}

/// Index of the trial that stands for the winner: a confirmation of the network that confirm.c
/// chooses, else the best trial; -1 when no trial was completed. Its model is on disk.
static ns_status winner_find(const search__run *run, results_store *store,
                             const results_trial *trials, size_t count, ns_json *result, int *out,
                             ns_error *err) {
    search__verdict verdict;
    ns_status status = search__verdict_read(run, store, trials, count, &verdict, err);
    *out = search__best_trial(&run->config->goal, trials, count);
    if (status == NS_OK && verdict.winner >= 0) {
        *out = verdict.rival[verdict.winner].trials[0]->number;
        ns_json_set(result, "confirmation", search__verdict_json(&verdict));
    }
    search__verdict_clear(&verdict);
    return status;
}

/// Whether the search ended because more trials were not expected to pay.
static ns_status converged_note(const search__run *run, const results_trial *trials, size_t count,
                                ns_json *result, ns_error *err) {
    search__ladder ladder;
    bool converged = false;
    NS_TRY(search__ladder_new(run, trials, count, &ladder, err));
    const ns_status status = search__has_converged(&ladder, &converged, err);
    search__ladder_clear(&ladder);
    ns_json_set_bool(result, "search_converged", converged);
    return status;
}

/// The winner's genotype, or the anchor's when no trial was completed; `*number` -1 then.
static ns_status winner_choose(const search__run *run, results_store *store, ns_json *result,
                               ns_json **winner, int *number, ns_error *err) {
    results_trial *trials = NULL;
    size_t count = 0;
    NS_TRY(results_trials(store, run->study_id, &trials, &count, err));
    ns_status status = winner_find(run, store, trials, count, result, number, err);
    status = status == NS_OK ? converged_note(run, trials, count, result, err) : status;
    if (status == NS_OK && *number >= 0) {
        status = ns_json_parse(trials[*number].genotype, winner, err);
    } else if (status == NS_OK) {
        search_genotype anchor;
        status = search__anchor(run, &anchor, err);
        *winner = status == NS_OK ? search_genotype_to_json(&run->space, &anchor) : NULL;
    }
    results_trials_free(trials, count);
    return status;
}

ns_status search__winner_fix(const search__run *run, results_store *store, ns_json *result,
                             ns_error *err) {
    ns_json *winner = NULL;
    int number = -1;
    if (ns_json_get(result, "winner") != NULL) {
        return NS_OK;
    }
    NS_TRY(winner_choose(run, store, result, &winner, &number, err));
    ns_json_set(result, "winner", winner);
    ns_json_set_int(result, "winner_trial", number);
    return search__result_write(store, run, result, err);
}
