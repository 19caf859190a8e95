// Ask: from the study's history to a claimed trial.
//
// What to do next follows from the trials in the store (ladder.c). A new point is proposed from the
// history (propose.c); a promotion or a confirmation repeats the genotype of an earlier trial. Either
// becomes a WAITING trial first, and is claimed in another turn.
//
// Two workers may ask at the same moment: both propose, one may be refused because the other has
// added the very same, and asks again; claims are exclusive, so it does not matter who trains whose
// proposal.

#include <unistd.h>

#include "search/ladder.h"

#define FAILURES_IN_ROW_MAX 50
#define WORKER_SLICE_MS     500
#define WAIT_MS             200
#define REFUSALS_MAX        20 // of repeats that are in the store already

/* ---- proposing ------------------------------------------------------------------------------- */

/// Whether the last trials all failed, so that going on would only fill the store.
static bool is_hopeless(const search_history *history) {
    size_t failed = 0;
    while (failed < history->count &&
           history->trial[history->count - 1 - failed].state == RESULTS_FAIL) {
        failed++;
    }
    return failed >= FAILURES_IN_ROW_MAX;
}

/// Adds one WAITING trial that is new. NS_ERR_LIMIT: nothing new was found.
static ns_status propose_new(const search__run *run, results_store *store, ns_error *err) {
    const search_history history = search__history_of(run);
    if (is_hopeless(&history)) {
        return ns_fail(err, NS_ERR_LIMIT, "the last %d trials all failed", FAILURES_IN_ROW_MAX);
    }
    const search__grant grant = {.fidelity_ms = run->plan.rung[0].trial_ms,
                                 .seed = run->config->seed};
    return search__propose(run, store, &history, &grant, err);
}

/// Adds a WAITING trial of an earlier one's genotype. NS_ERR_EXISTS: somebody else just did.
static ns_status propose_repeat(const search__run *run, results_store *store,
                                const results_trial *source, const search__next *next,
                                ns_error *err) {
    const bool is_confirmation = next->purpose == RESULTS_CONFIRM;
    const results_proposal proposal = {
        .genotype = source->genotype,
        .hash = source->hash,
        .recipe = source->recipe,
        .fidelity_ms = run->plan.rung[next->rung].trial_ms,
        .seed = is_confirmation ? next->seed : run->config->seed,
        .params = source->params,
        .flops = source->flops,
        .purpose = next->purpose,
        .rung = next->rung,
        .is_repeat = true,
        .source_number = source->number,
    };
    int number = 0;
    if (is_confirmation) {
        NS_TRY(results_study_update(store, run->study_id, RESULTS_STUDY_RUNNING, "confirm", NULL,
                                    NULL, err));
    }
    return results_propose(store, run->study_id, &proposal, &number, err);
}

/// So that a person learns why the search ended.
static ns_status note_exhausted(const search__run *run, results_store *store, ns_error *err) {
    ns_json *result = NULL;
    NS_TRY(search__result_read(store, run, &result, err));
    ns_json_set_bool(result, "search_exhausted", true);
    const ns_status status = search__result_write(store, run, result, err);
    ns_json_free(result);
    return status;
}

/* ---- the next move --------------------------------------------------------------------------- */

typedef struct asking {
    search__run *run;
    results_store *store;
    bool is_exhausted;
    int refusal_count;
} asking;

static ns_status next_move(const asking *a, search__next *next, ns_error *err) {
    const search__history *history = a->run->history;
    search__ladder ladder;
    NS_TRY(search__ladder_new(a->run, history->row, history->count, &ladder, err));
    ladder.is_exhausted = a->is_exhausted;
    const ns_status status = search__ladder_next(&ladder, next, err);
    search__ladder_clear(&ladder);
    return status;
}

/// Does what the move says. NS_ERR_NOT_FOUND: nothing is claimed yet, look again; NS_ERR_LIMIT:
/// nothing is left to do.
static ns_status move(asking *a, const search__next *next, results_claim *claim, ns_error *err) {
    ns_status status = NS_OK;
    switch (next->move) {
    case SEARCH_MOVE_CLAIM:
        return results_claim_trial(a->store, a->run->run_id, next->number, getpid(),
                                   WORKER_SLICE_MS / a->run->worker_count, claim, err);
    case SEARCH_MOVE_PROPOSE:
        status = propose_new(a->run, a->store, err);
        if (status == NS_ERR_LIMIT) {
            ns_log_write(a->run->config->log, NS_LOG_INFO, "nothing new is proposed: %s",
                         err->text);
            a->is_exhausted = true;
            status = note_exhausted(a->run, a->store, err);
        }
        break;
    case SEARCH_MOVE_REPEAT:
        status = propose_repeat(a->run, a->store, &a->run->history->row[next->number], next, err);
        if (status == NS_ERR_EXISTS && a->refusal_count++ < REFUSALS_MAX) {
            status = NS_OK;
        }
        break;
    case SEARCH_MOVE_WAIT:
        ns_sleep_ms(WAIT_MS);
        break;
    case SEARCH_MOVE_END:
        return ns_fail(err, NS_ERR_LIMIT, "nothing is left to try");
    }
    return status == NS_OK ? NS_ERR_NOT_FOUND : status;
}

ns_status search__ask(search__run *run, search__slot *slot, results_store *store,
                      results_claim *claim, ns_error *err) {
    asking a = {.run = run, .store = store};
    ns_status status = NS_ERR_NOT_FOUND;
    while (status == NS_ERR_NOT_FOUND && !search__stop_requested()) {
        search__next next;
        slot->alive_ms = ns_clock_ms();
        NS_TRY(search__clock_update(run, store, err));
        NS_TRY(search__history_read(run, store, err));
        status = next_move(&a, &next, err);
        status = status == NS_OK ? move(&a, &next, claim, err) : status;
    }
    return status == NS_ERR_NOT_FOUND ? NS_ERR_STOPPED : status;
}
