// Ask: from the study's history to a claimed trial.
//
// A worker first takes what waits: a trial that a dead worker left behind, or another's proposal.
// When nothing waits it reads the history and proposes (search/propose.c).
//
// Two workers may ask at the same moment: both propose, one may be refused and asks again; claims
// are exclusive, so it does not matter who trains whose proposal.

#include <unistd.h>

#include "search/search_internal.h"

#define FAILURES_IN_ROW_MAX 50
#define WORKER_SLICE_MS     500

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
static ns_status propose_next(const search__run *run, results_store *store, ns_error *err) {
    search_history history;
    NS_TRY(search__history_read(run, store, &history, err));
    if (is_hopeless(&history)) {
        return ns_fail(err, NS_ERR_LIMIT, "the last %d trials all failed", FAILURES_IN_ROW_MAX);
    }
    const search__grant grant = {.fidelity_ms = run->plan.trial_ms, .seed = run->config->seed};
    return search__propose(run, store, &history, &grant, err);
}

ns_status search__ask(const search__run *run, results_store *store, results_claim *claim,
                      ns_error *err) {
    const int64_t pid = getpid();
    for (;;) {
        const ns_status status = results_claim_trial(
            store, run->run_id, -1, pid, WORKER_SLICE_MS / run->worker_count, claim, err);
        if (status != NS_ERR_NOT_FOUND) {
            return status;
        }
        NS_TRY(propose_next(run, store, err));
    }
}
