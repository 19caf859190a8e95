// Who has won: the best trial so far, and the genotype that is retrained.
//
// The winner is chosen once, when the search is over, and written into the study's result before
// retraining begins: a resumed study retrains the same one from its checkpoint.

#include <math.h>

#include "search/search_internal.h"

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

/// The genotype of the best trial, or the anchor's when no trial was completed; `*number` -1 then.
static ns_status winner_choose(const search__run *run, results_store *store, ns_json **winner,
                               int *number, ns_error *err) {
    results_trial *trials = NULL;
    size_t count = 0;
    NS_TRY(results_trials(store, run->study_id, &trials, &count, err));
    const int best = search__best_trial(&run->config->goal, trials, count);
    ns_status status = NS_OK;
    if (best >= 0) {
        *number = trials[best].number;
        status = ns_json_parse(trials[best].genotype, winner, err);
    } else {
        search_genotype anchor;
        status = search__anchor(run, &anchor, err);
        *number = -1;
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
    NS_TRY(winner_choose(run, store, &winner, &number, err));
    ns_json_set(result, "winner", winner);
    ns_json_set_int(result, "winner_trial", number);
    return search__result_write(store, run, result, err);
}
