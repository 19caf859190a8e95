// Work: the FLOPs that budgets of compute count, beside the time that everybody pays for.
//
// An attempt has a time, which is charged whatever came of it, and a work, which counts only when it
// is part of the result: a trial's with its settling, in the same transaction; a phase's unless it
// died. A study that was killed thus stands where it would stand had it not been, and what the kill
// destroyed shows in its node-hours alone.

#include "results/results_internal.h"

ns_status results__attempt_work(results_store *store, int64_t attempt_id, int64_t work_flop,
                                ns_error *err) {
    return results__exec(store, "UPDATE attempts SET work_flop = ?2 WHERE attempt_id = ?1",
                         RESULTS__ARGS(results__int(attempt_id), results__int(work_flop)), err);
}

static ns_status phase_work(results_store *store, int64_t attempt_id, int64_t work_flop,
                            ns_error *err) {
    bool open;
    NS_TRY(results__attempt_open(store, attempt_id, &open, err));
    return open ? results__attempt_work(store, attempt_id, work_flop, err) : NS_OK;
}

ns_status results_phase_work(results_store *store, int64_t attempt_id, int64_t work_flop,
                             ns_error *err) {
    NS_TRY(results__begin(store, err));
    return results__end(store, phase_work(store, attempt_id, work_flop, err), err);
}

// A phase that was interrupted and went on has several attempts, the last of which holds all.
static ns_status work_get(results_store *store, int64_t study_id, results_work *out,
                          ns_error *err) {
    int64_t row[4] = {0};
    bool found;
    NS_TRY(results__read(
        store,
        "SELECT coalesce(sum(work_flop * (purpose = 'trial' AND state = 'DONE')), 0),"
        "  (SELECT coalesce(sum(flop), 0) FROM (SELECT max(work_flop) AS flop FROM attempts"
        "    WHERE study_id = ?1 AND trial_id IS NULL AND state IN ('RUNNING', 'DONE')"
        "    GROUP BY purpose)),"
        "  (SELECT coalesce(sum(fidelity_ms), 0) FROM trials"
        "    WHERE study_id = ?1 AND state = 'RUNNING'),"
        "  coalesce(sum(charged_ms * (purpose <> 'overhead' AND state IN ('RETURNED', 'DIED'))), 0)"
        "  FROM attempts WHERE study_id = ?1",
        RESULTS__ARGS(results__int(study_id)), row, NS_COUNT_OF(row), &found, err));
    *out = (results_work){.trial_flop = row[0],
                          .phase_flop = row[1],
                          .running_fidelity_ms = row[2],
                          .lost_node_ms = row[3]};
    return NS_OK;
}

ns_status results_work_get(results_store *store, int64_t study_id, results_work *out,
                           ns_error *err) {
    *out = (results_work){0};
    NS_TRY(results__begin_read(store, err));
    return results__end(store, work_get(store, study_id, out, err), err);
}
