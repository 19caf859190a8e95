// Who has won: the best trial so far, and the genotype that is retrained.
//
// Where networks were confirmed with new seeds, confirm.c chooses among them. Else one trial is all
// that is known of each, and the best of them wins, unless the anchor is no further below it than
// one standard error of what retraining will show (confirm.c has the formula; that of the images and
// seeds is search__trial_error(), once for each of the two).
//
// The winner is chosen once, when the search is over, and written into the study's result before
// retraining begins: a resumed study retrains the same one from its checkpoint.

#include <math.h>
#include <string.h>

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

/// Index of the anchor's trial on `rung`; -1: it has none that came to an end.
static int anchor_trial(const results_trial *trials, size_t count, int rung) {
    for (size_t i = 0; i < count; i++) {
        const results_trial *trial = &trials[i];
        if (trial->state == RESULTS_COMPLETE && trial->rung == rung &&
            search__root_of(trial) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int search__unconfirmed_winner(const search_goal *goal, const results_trial *trials, size_t count,
                               size_t image_count, double lengthening) {
    const int best = search__best_trial(goal, trials, count);
    const int anchor = best < 0 ? -1 : anchor_trial(trials, count, trials[best].rung);
    if (anchor < 0) {
        return best;
    }
    const search__reference reference = search__reference_of(trials, count);
    const double value = search__objective(goal, &reference, &trials[best]);
    const double anchor_value = search__objective(goal, &reference, &trials[anchor]);
    const double accuracy = trials[best].val_accuracy;
    const double standard_error =
        search__scale(value, accuracy) * search__trial_error(accuracy, image_count) * sqrt(2);
    return search__is_safe(anchor_value, value, accuracy, standard_error, lengthening) ? anchor
                                                                                       : best;
}

/// Index of the trial that stands for the winner: a confirmation of the network that confirm.c
/// chooses, else a trial of the search; -1 when none was completed.
static ns_status winner_find(const search__run *run, results_store *store,
                             const results_trial *trials, size_t count, ns_json *result, int *out,
                             ns_error *err) {
    search__verdict verdict;
    ns_status status = search__verdict_read(run, store, trials, count, &verdict, err);
    *out = search__unconfirmed_winner(&run->config->goal, trials, count,
                                      run->info->split_count[DATA_VALIDATION],
                                      search__lengthening(&run->plan));
    if (status == NS_OK && verdict.winner >= 0) {
        *out = verdict.rival[verdict.winner].trials[0]->number;
        ns_json_set(result, "confirmation", search__verdict_json(&verdict));
    }
    search__verdict_clear(&verdict);
    return status;
}

/// So that a person learns why the search ended.
static ns_status end_note(const search__run *run, const results_trial *trials, size_t count,
                          ns_json *result, ns_error *err) {
    search__ladder ladder;
    const char *reason = NULL;
    NS_TRY(search__ladder_new(run, trials, count, &ladder, err));
    ladder.is_exhausted = ns_json_bool(result, "search_exhausted", false);
    const ns_status status = search__end_reason(&ladder, &reason, err);
    search__ladder_clear(&ladder);
    ns_json_set_bool(result, "search_converged",
                     reason != NULL && strcmp(reason, SEARCH__END_CONVERGED) == 0);
    ns_json_set_string(result, "search_end", reason);
    return status;
}

/// The winner's genotype, or the anchor's when no trial was completed; `*number` -1 then.
static ns_status winner_choose(const search__run *run, results_store *store, ns_json *result,
                               ns_json **winner, int *number, ns_error *err) {
    results_trial *trials = NULL;
    size_t count = 0;
    NS_TRY(results_trials(store, run->study_id, &trials, &count, err));
    ns_status status = winner_find(run, store, trials, count, result, number, err);
    status = status == NS_OK ? end_note(run, trials, count, result, err) : status;
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
