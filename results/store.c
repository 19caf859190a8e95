// The study store: five calls by which processes that know nothing of each other share one search.
//
// A worker may die between any two instructions, may stall for a minute and wake up, may say the
// same thing twice. What the store promises nevertheless, and where each promise is kept:
//
//  1. Every public call is one short transaction: all of it happens or nothing (store_sql.c).
//  2. A trial is added once: (study, hash, recipe, fidelity, seed) is unique, and numbers go up
//     from 0 without gaps. It moves only along the arrows below (trigger trials_transition).
//  3. A RUNNING trial has exactly one RUNNING attempt, its owner. Each claim raises the trial's
//     fence; only who holds the current fence may beat, report or settle, all others are told
//     NS_ERR_FENCED and have changed nothing (unique index attempts_owner, require_owner below).
//  4. A finished trial and an ended attempt are never changed again (triggers *_kept), so settling
//     twice is the same as settling once.
//  5. A trial's result and the last of its charge are committed together, so no kill can keep the
//     one and lose the other.
//  6. A charge only grows, and an ended attempt has nothing reserved. No reservation is granted
//     that would take charged + reserved of the study beyond its budget (store_run.c).
//  7. Who died is charged all it had reserved: time nobody can vouch for counts as spent.
//  8. A trial whose owners died `attempt_count_max` times is FAIL(crash): it cannot loop for ever.
//     Giving a trial back (settle with WAITING) is no death.
//
// The trial's states, each arrow with the function that takes it:
//
//                  results_propose
//                         |
//                         v
//      .------------>  WAITING
//      |                  |
//      |                  |  results_claim_trial: fence + 1, a new attempt owns it
//      |                  v
//      |  .---------  RUNNING  <---.  results_beat, results_report
//      |  |            |    |      |  (state unchanged)
//      |  |            |    '------'
//      |  |            |
//      |  |            '--- results_settle ------>  COMPLETE | PRUNED | FAIL
//      |  |
//      |  '--- results_reap, died too often ----->  FAIL (crash)
//      |
//      '------ results_reap                         (the attempt DIED)
//      '------ results_settle with WAITING          (the attempt was RETURNED)
//
// The attempt's states: RUNNING, then once and for all DONE, RETURNED or DIED.
//
// The store opens files in store_file.c, keeps runs and charges in store_run.c, and lists trials in
// store_trial.c; the tables and triggers are in schema.c.

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "results/results_internal.h"

/* ---- propose: (nothing) -> WAITING ------------------------------------------------------------
 */

static ns_status propose(results_store *store, int64_t study_id, const results_proposal *proposal,
                         int *number, ns_error *err) {
    int64_t next = 0;
    bool found;
    NS_TRY(results__read(store,
                         "SELECT coalesce(max(number) + 1, 0) FROM trials WHERE study_id = ?1",
                         RESULTS__ARGS(results__int(study_id)), &next, 1, &found, err));
    const ns_status status = results__exec(
        store,
        "INSERT INTO trials (study_id, number, state, genotype, hash, recipe, fidelity_ms, seed,"
        "  params, flops, purpose, rung, source_number)"
        "  VALUES (?1, ?2, 'WAITING', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        RESULTS__ARGS(results__int(study_id), results__int(next), results__text(proposal->genotype),
                      results__text(proposal->hash), results__text(proposal->recipe),
                      results__int(proposal->fidelity_ms), results__int((int64_t)proposal->seed),
                      results__int(proposal->params), results__int(proposal->flops),
                      results__text(results_purpose_name(proposal->purpose)),
                      results__int(proposal->rung),
                      results__int_or_null(proposal->is_repeat ? proposal->source_number : -1)),
        err);
    if (status == NS_ERR_EXISTS) {
        return ns_fail(err, status,
                       "store %s: the study already has a trial of architecture %.12s with this "
                       "recipe, fidelity and seed",
                       store->path, proposal->hash);
    }
    *number = (int)next;
    return status;
}

ns_status results_propose(results_store *store, int64_t study_id, const results_proposal *proposal,
                          int *number, ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store, propose(store, study_id, proposal, number, err), err);
}

/* ---- claim: WAITING -> RUNNING ----------------------------------------------------------------
 */

static ns_status waiting(results_store *store, int64_t study_id, int number, results_claim *out,
                         ns_error *err) {
    sqlite3_stmt *stmt;
    bool found;
    NS_TRY(results__query(store,
                          "SELECT trial_id, number, fence + 1, fidelity_ms, seed, genotype,"
                          "  purpose = 'confirm', rung"
                          "  FROM trials WHERE study_id = ?1 AND state = 'WAITING'"
                          "  AND (?2 < 0 OR number = ?2) ORDER BY number LIMIT 1",
                          RESULTS__ARGS(results__int(study_id), results__int(number)), &stmt, err));
    NS_TRY(results__next(store, stmt, &found, err));
    if (!found) {
        return ns_fail(err, NS_ERR_NOT_FOUND, "store %s: no such trial waits", store->path);
    }
    out->trial_id = sqlite3_column_int64(stmt, 0);
    out->number = sqlite3_column_int(stmt, 1);
    out->fence = sqlite3_column_int64(stmt, 2);
    out->fidelity_ms = sqlite3_column_int64(stmt, 3);
    out->seed = (uint64_t)sqlite3_column_int64(stmt, 4);
    out->purpose = sqlite3_column_int(stmt, 6) != 0 ? RESULTS_CONFIRM : RESULTS_SEARCH;
    out->rung = sqlite3_column_int(stmt, 7);
    const ns_status status = results__column_text(stmt, 5, &out->genotype, err);
    (void)sqlite3_reset(stmt);
    return status;
}

static ns_status require_budget(results_store *store, int64_t study_id, int64_t reserve_ms,
                                ns_error *err) {
    int64_t free_ms = 0;
    bool found;
    NS_TRY(results__read(
        store, "SELECT budget_ms - charged_ms - reserved_ms FROM ledger WHERE study_id = ?1",
        RESULTS__ARGS(results__int(study_id)), &free_ms, 1, &found, err));
    return reserve_ms <= free_ms
               ? NS_OK
               : ns_fail(err, NS_ERR_BUDGET,
                         "the study has %lld ms of its budget left, too little to reserve %lld ms",
                         (long long)free_ms, (long long)reserve_ms);
}

static ns_status claim_trial(results_store *store, int64_t run_id, int number, int64_t pid,
                             int64_t reserve_ms, results_claim *out, ns_error *err) {
    int64_t study_id = 0;
    NS_TRY(results__run_study(store, run_id, &study_id, err));
    NS_TRY(waiting(store, study_id, number, out, err));
    NS_TRY(require_budget(store, study_id, reserve_ms, err));
    NS_TRY(
        results__exec(store, "UPDATE trials SET state = 'RUNNING', fence = ?2 WHERE trial_id = ?1",
                      RESULTS__ARGS(results__int(out->trial_id), results__int(out->fence)), err));
    NS_TRY(results__exec(
        store,
        "INSERT INTO attempts (study_id, run_id, trial_id, purpose, state, pid, fence, reserved_ms,"
        "  started_unix_ms) VALUES (?1, ?2, ?3, 'trial', 'RUNNING', ?4, ?5, ?6, ?7)",
        RESULTS__ARGS(results__int(study_id), results__int(run_id), results__int(out->trial_id),
                      results__int(pid), results__int(out->fence), results__int(reserve_ms),
                      results__int(ns_clock_unix_ms())),
        err));
    out->attempt_id = sqlite3_last_insert_rowid(store->db);
    return NS_OK;
}

ns_status results_claim_trial(results_store *store, int64_t run_id, int number, int64_t pid,
                              int64_t reserve_ms, results_claim *out, ns_error *err) {
    *out = (results_claim){0};
    NS_TRY(results__begin(store, err));
    const ns_status status =
        results__end(store, claim_trial(store, run_id, number, pid, reserve_ms, out, err), err);
    if (status != NS_OK) {
        results_claim_clear(out);
    }
    return status;
}

void results_claim_clear(results_claim *claim) {
    free(claim->genotype);
    *claim = (results_claim){0};
}

/* ---- beat and report: RUNNING -> RUNNING ------------------------------------------------------
 */

// The claim is current when its attempt still runs and the trial has seen no later claim.
static ns_status require_owner(results_store *store, const results_claim *claim, ns_error *err) {
    int64_t owns = 0;
    bool found;
    NS_TRY(results__read(store,
                         "SELECT 1 FROM attempts AS a JOIN trials AS t USING (trial_id)"
                         "  WHERE a.attempt_id = ?1 AND a.state = 'RUNNING' AND t.trial_id = ?2"
                         "  AND t.state = 'RUNNING' AND t.fence = ?3",
                         RESULTS__ARGS(results__int(claim->attempt_id),
                                       results__int(claim->trial_id), results__int(claim->fence)),
                         &owns, 1, &found, err));
    return found ? NS_OK
                 : ns_fail(err, NS_ERR_FENCED,
                           "trial %d is no longer this worker's: its attempt was ended and the "
                           "trial given on",
                           claim->number);
}

static ns_status beat(results_store *store, const results_claim *claim, int64_t charged_ms,
                      int64_t reserve_ms, ns_error *err) {
    NS_TRY(require_owner(store, claim, err));
    return results__attempt_book(store, claim->attempt_id, charged_ms, reserve_ms, err);
}

ns_status results_beat(results_store *store, const results_claim *claim, int64_t charged_ms,
                       int64_t reserve_ms, ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store, beat(store, claim, charged_ms, reserve_ms, err), err);
}

static ns_status report(results_store *store, const results_claim *claim, double fraction,
                        double val_accuracy, ns_error *err) {
    NS_TRY(require_owner(store, claim, err));
    return results__exec(
        store,
        "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value)"
        "  VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET intermediate_value = ?3",
        RESULTS__ARGS(results__int(claim->trial_id), results__int(results__step_of(fraction)),
                      results__real(val_accuracy)),
        err);
}

ns_status results_report(results_store *store, const results_claim *claim, double fraction,
                         double val_accuracy, ns_error *err) {
    assert(!isnan(val_accuracy));
    NS_TRY(results__begin(store, err));
    return results__end(store, report(store, claim, fraction, val_accuracy, err), err);
}

/* ---- settle: RUNNING -> COMPLETE, PRUNED, FAIL, or back to WAITING ----------------------------
 */

static ns_status set_value(results_store *store, int64_t trial_id, const char *objective,
                           double value, ns_error *err) {
    return isnan(value)
               ? NS_OK
               : results__exec(store,
                               "INSERT INTO trial_values (trial_id, objective, value)"
                               "  VALUES (?1, ?2, ?3)",
                               RESULTS__ARGS(results__int(trial_id), results__text(objective),
                                             results__real(value)),
                               err);
}

static ns_status set_correct(results_store *store, int64_t trial_id, const results_outcome *outcome,
                             ns_error *err) {
    return outcome->correct == NULL
               ? NS_OK
               : results__exec(
                     store,
                     "INSERT INTO trial_correct (trial_id, image_count, bits)"
                     "  VALUES (?1, ?2, ?3)",
                     RESULTS__ARGS(results__int(trial_id),
                                   results__int((int64_t)outcome->image_count),
                                   results__blob(outcome->correct, (outcome->image_count + 7) / 8)),
                     err);
}

static ns_status requeue(results_store *store, int64_t trial_id, ns_error *err) {
    return results__exec(store, "UPDATE trials SET state = 'WAITING' WHERE trial_id = ?1",
                         RESULTS__ARGS(results__int(trial_id)), err);
}

// The attempt has ended before: `finished_node_ms` is what the study had spent with it included.
static ns_status finish(results_store *store, int64_t trial_id, const results_outcome *outcome,
                        ns_error *err) {
    NS_TRY(set_value(store, trial_id, "val_accuracy", outcome->val_accuracy, err));
    NS_TRY(set_value(store, trial_id, "val_loss", outcome->val_loss, err));
    NS_TRY(set_value(store, trial_id, "latency_ms",
                     outcome->latency_ms > 0 ? outcome->latency_ms : (double)NAN, err));
    NS_TRY(set_correct(store, trial_id, outcome, err));
    return results__exec(
        store,
        "UPDATE trials SET state = ?2, fail_reason = ?3, detail = coalesce(?4, ''),"
        "  sample_count = ?5, finished_node_ms ="
        "    (SELECT l.charged_ms FROM ledger AS l WHERE l.study_id = trials.study_id)"
        "  WHERE trial_id = ?1",
        RESULTS__ARGS(results__int(trial_id),
                      results__text(results_trial_state_name(outcome->state)),
                      results__text(outcome->fail_reason), results__text(outcome->detail),
                      results__int(outcome->sample_count)),
        err);
}

static ns_status settle(results_store *store, const results_claim *claim,
                        const results_outcome *outcome, ns_error *err) {
    bool open;
    NS_TRY(results__attempt_open(store, claim->attempt_id, &open, err));
    if (!open) {
        return NS_OK; // said before, and heard
    }
    NS_TRY(require_owner(store, claim, err));
    const bool returned = outcome->state == RESULTS_WAITING;
    NS_TRY(returned ? NS_OK
                    : results__attempt_work(store, claim->attempt_id, outcome->work_flop, err));
    NS_TRY(results__attempt_end(store, claim->attempt_id, outcome->charged_ms,
                                returned ? "RETURNED" : "DONE", err));
    return returned ? requeue(store, claim->trial_id, err)
                    : finish(store, claim->trial_id, outcome, err);
}

ns_status results_settle(results_store *store, const results_claim *claim,
                         const results_outcome *outcome, ns_error *err) {
    assert(outcome->state != RESULTS_RUNNING);
    assert((outcome->state == RESULTS_FAIL) == (outcome->fail_reason != NULL));
    NS_TRY(results__begin(store, err));
    return results__end(store, settle(store, claim, outcome, err), err);
}

/* ---- reap: RUNNING -> WAITING, or FAIL(crash) -------------------------------------------------
 */

typedef struct unfinished {
    int64_t attempt_id, run_id, trial_id; // trial_id 0: no trial's
    int64_t charged_ms, reserved_ms;
    int64_t is_overhead;
} unfinished;

// One at a time, so that nothing is read from a table while it changes.
static ns_status next_unfinished(results_store *store, int64_t study_id, int64_t pid,
                                 unfinished *out, bool *found, ns_error *err) {
    int64_t row[6] = {0};
    NS_TRY(results__read(store,
                         "SELECT attempt_id, run_id, trial_id, charged_ms, reserved_ms,"
                         "  purpose = 'overhead'"
                         "  FROM attempts WHERE study_id = ?1 AND state = 'RUNNING'"
                         "  AND (?2 = 0 OR pid = ?2) LIMIT 1",
                         RESULTS__ARGS(results__int(study_id), results__int(pid)), row,
                         NS_COUNT_OF(row), found, err));
    *out = (unfinished){row[0], row[1], row[2], row[3], row[4], row[5]};
    return NS_OK;
}

static ns_status requeue_or_fail(results_store *store, int64_t trial_id, int attempt_count_max,
                                 ns_error *err) {
    int64_t died_count = 0;
    bool found;
    NS_TRY(results__read(store,
                         "SELECT count(*) FROM attempts WHERE trial_id = ?1 AND state = 'DIED'",
                         RESULTS__ARGS(results__int(trial_id)), &died_count, 1, &found, err));
    if (died_count < attempt_count_max) {
        return requeue(store, trial_id, err);
    }
    char detail[64];
    (void)snprintf(detail, sizeof(detail), "its worker died %lld times", (long long)died_count);
    const results_outcome outcome = {.state = RESULTS_FAIL,
                                     .fail_reason = "crash",
                                     .detail = detail,
                                     .val_accuracy = (double)NAN,
                                     .val_loss = (double)NAN};
    return finish(store, trial_id, &outcome, err);
}

static ns_status reap_one(results_store *store, const unfinished *attempt, int attempt_count_max,
                          ns_error *err) {
    NS_TRY(results__attempt_end(store, attempt->attempt_id,
                                attempt->charged_ms + attempt->reserved_ms, "DIED", err));
    if (attempt->is_overhead != 0) {
        return results__run_close(store, attempt->run_id, "DIED", err);
    }
    return attempt->trial_id == 0
               ? NS_OK
               : requeue_or_fail(store, attempt->trial_id, attempt_count_max, err);
}

static ns_status reap(results_store *store, int64_t study_id, int64_t pid, int attempt_count_max,
                      int *reaped_count, ns_error *err) {
    unfinished attempt;
    bool found;
    *reaped_count = 0;
    NS_TRY(next_unfinished(store, study_id, pid, &attempt, &found, err));
    while (found) {
        NS_TRY(reap_one(store, &attempt, attempt_count_max, err));
        (*reaped_count)++;
        NS_TRY(next_unfinished(store, study_id, pid, &attempt, &found, err));
    }
    return NS_OK;
}

ns_status results_reap(results_store *store, int64_t study_id, int64_t pid, int attempt_count_max,
                       int *reaped_count, ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store, reap(store, study_id, pid, attempt_count_max, reaped_count, err),
                        err);
}
