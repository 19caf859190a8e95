// The supervisor: one process that forks the workers of a study, books the node's time, and brings
// the study from phase to phase.
//
//   calibrate - rounds of measurements; part of the search (calibrate.c)
//     |
//   search ---- until its share of the budget is used, or nothing more is expected to pay;
//     |         worker_count processes of worker.c, which then go on with
//   confirm --- the best few anew, with new seeds
//     |
//   retrain --- the winner from scratch, all cores, until the finish needs the rest
//     |         one process of retrain.c, continued from its checkpoint
//   finish ---- validation, test (read here, once), model file, exports
//     |         one process of finish.c
//   done
//
// The phase is kept in the store, so a resumed study enters where it was. The supervisor computes
// nothing itself: a network that crashes, hangs or takes all memory costs a child (children.c), never
// the study.
//
// The clock rules: the ledger is charged with what the clock says before anything else happens in a
// turn, a slice is reserved ahead of it, and when no slice can be had everything ends at once. The
// finish always gets its turn: retraining is ended FINISH_MS_MIN before the end, whatever it does.

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "search/search_internal.h"

#define TICK_MS            50
#define BOOK_MS            400
#define SLICE_MS           1000
#define PROGRESS_MS        250
#define EXIT_MS            300  // kept back for ending this process
#define FINISH_MS_MIN      2500 // the least that a finish may get
#define SEARCH_OVERTIME_MS 5000 // workers past the search's share by more than this are ended
#define CRASHES_MAX        20   // of workers, in one run
#define PHASE_ATTEMPTS_MAX 3    // of retrain and finish
#define LIMITS_MS_MAX      5000 // for finding out whether limits can be kept

typedef struct supervisor {
    search__run *run;
    search__children children;
    budget_ledger ledger; // of the study: what the clock has charged, by this process's own count
    int64_t booked_ms;    // of this run's life
    int64_t book_ms, progress_ms; // clock of the last ones
    int done_count;               // finished trials when best was looked up
    double best_val_accuracy;
} supervisor;

typedef struct phase {
    const char *name;
    search__child_fn main;
    int process_count;
    int crash_max;  // so many end the phase
    int64_t end_ms; // ledger position beyond which children are ended
} phase;

/* ---- the clock ------------------------------------------------------------------------------- */

static int64_t elapsed_ms(const supervisor *s) {
    return ns_clock_ms() - s->run->config->process_start_ms;
}

/// A store that somebody else has locked for a moment stops nobody: the next turn books it all.
static ns_status unless_busy(ns_status status) {
    return status == NS_ERR_BUSY ? NS_OK : status;
}

/// Charges the time used since the last call and reserves the next slice. NS_ERR_BUDGET when none
/// is left.
static ns_status book(supervisor *s, ns_error *err) {
    int64_t reserved_ms = 0;
    const int64_t now_ms = elapsed_ms(s);
    const int64_t used_ms = now_ms - s->booked_ms;
    const int64_t wanted_ms = used_ms + SLICE_MS - s->ledger.reserved_ms;
    s->book_ms = ns_clock_ms();
    s->booked_ms = now_ms;
    (void)budget_reserve(&s->ledger, wanted_ms > 0 ? wanted_ms : 0);
    NS_TRY(budget_charge(&s->ledger, used_ms, err));
    NS_TRY(unless_busy(results_run_beat(s->children.store, s->run->run_id, now_ms,
                                        s->ledger.reserved_ms, &reserved_ms, err)));
    return NS_OK;
}

static bool is_over(const supervisor *s) {
    return search__clock_has_passed(s->run, s->run->config->budget_node_ms - EXIT_MS);
}

static ns_status best_update(supervisor *s, ns_error *err) {
    int best = -1;
    NS_TRY(search__history_read(s->run, s->children.store, err));
    NS_TRY(search__keep_models(s->run, &best, err));
    NS_TRY(search__quota_apply(s->run, best, err));
    s->best_val_accuracy = best < 0 ? (double)NAN : s->run->history->row[best].val_accuracy;
    return NS_OK;
}

/// Trials of the plan, all rungs and confirmations.
static int planned_count(const budget_plan *plan) {
    int count = plan->confirm_net_count * plan->confirm_seed_count;
    for (int i = 0; i < plan->rung_count; i++) {
        count += plan->rung[i].trial_count;
    }
    return count;
}

static int64_t top_trial_ms(const budget_plan *plan) {
    return plan->rung_count > 0 ? plan->rung[plan->rung_count - 1].trial_ms : 0;
}

static ns_status show_progress(supervisor *s, const phase *p, ns_error *err) {
    results_study study;
    s->progress_ms = ns_clock_ms();
    NS_TRY(results_study_get(s->children.store, s->run->config->study, &study, err));
    const int done_count = study.trial_count[RESULTS_COMPLETE] + study.trial_count[RESULTS_PRUNED] +
                           study.trial_count[RESULTS_FAIL];
    const int running_count = study.trial_count[RESULTS_RUNNING];
    const bool confirms = strcmp(study.phase, "confirm") == 0 && strcmp(p->name, "search") == 0;
    results_study_clear(&study);
    if (done_count != s->done_count) {
        NS_TRY(best_update(s, err));
        s->done_count = done_count;
    }
    NS_TRY(search__clock_update(s->run, s->children.store, err));
    if (s->run->config->on_progress != NULL) {
        const search_progress progress = {
            .phase = confirms ? "confirm" : p->name,
            .trial_done_count = done_count,
            .trial_running_count = running_count,
            .trial_planned_count = planned_count(&s->run->plan),
            .best_val_accuracy = s->best_val_accuracy,
            .budget_kind = s->run->config->budget_kind,
            .spent_ms = search__spent_ms(s->run),
            .budget_ms = s->run->config->budget_node_ms,
            .phase_fraction = p->process_count == 1 ? s->run->slot[0].fraction : (double)NAN,
        };
        s->run->config->on_progress(s->run->config->context, &progress);
    }
    return NS_OK;
}

/// One turn of the loop: sleeps, books, shows; NS_ERR_STOPPED on request, NS_ERR_BUDGET at the end
/// of the budget.
static ns_status tick(supervisor *s, const phase *p, ns_error *err) {
    ns_sleep_ms(TICK_MS);
    if (search__stop_requested()) {
        return ns_fail(err, NS_ERR_STOPPED, "stopped on request");
    }
    if (is_over(s)) {
        return ns_fail(err, NS_ERR_BUDGET, "the budget is used");
    }
    const int64_t now_ms = ns_clock_ms();
    if (now_ms - s->book_ms >= BOOK_MS) {
        NS_TRY(book(s, err));
    }
    if (now_ms - s->progress_ms >= PROGRESS_MS) {
        NS_TRY(unless_busy(show_progress(s, p, err)));
    }
    return NS_OK;
}

/* ---- a phase --------------------------------------------------------------------------------- */

/// Looks after every child once and replaces the crashed ones. Fails with the last crash's sentence
/// when there were too many.
static ns_status tend_all(supervisor *s, const phase *p, int *crash_count, ns_error *err) {
    for (int slot = 0; slot < p->process_count; slot++) {
        search__end end;
        ns_error why = {0};
        NS_TRY(unless_busy(search__tend(&s->children, slot, &end, &why, err)));
        if (end == SEARCH_END_CRASHED && !search__stop_requested()) {
            if (++*crash_count >= p->crash_max) {
                return ns_fail(err, NS_ERR_INTERNAL, "%s ended after %d failures: %s", p->name,
                               *crash_count, why.text);
            }
            NS_TRY(search__spawn(&s->children, slot, p->main, err));
        }
    }
    return NS_OK;
}

/// Runs the children of one phase to its end. NS_ERR_STOPPED and NS_ERR_BUDGET as tick();
/// NS_ERR_INTERNAL when they failed too often.
static ns_status run_children(supervisor *s, const phase *p, ns_error *err) {
    ns_status status = is_over(s) ? ns_fail(err, NS_ERR_BUDGET, "the budget is used") : NS_OK;
    int crash_count = 0;
    for (int slot = 0; status == NS_OK && slot < p->process_count; slot++) {
        status = search__spawn(&s->children, slot, p->main, err);
    }
    while (status == NS_OK && search__alive_count(&s->children) > 0 &&
           !search__clock_has_passed(s->run, p->end_ms)) {
        status = tick(s, p, err);
        if (status == NS_OK) {
            status = tend_all(s, p, &crash_count, err);
        }
    }
    if (status == NS_OK && search__stop_requested()) {
        status = ns_fail(err, NS_ERR_STOPPED, "stopped on request");
    }
    ns_error ignored = {0}; // the first failure is the one to tell
    const ns_status ended = search__terminate_all(&s->children, status == NS_ERR_BUDGET,
                                                  status == NS_OK ? err : &ignored);
    status = status == NS_OK ? unless_busy(ended) : status;
    return status == NS_OK ? unless_busy(show_progress(s, p, err)) : status;
}

static ns_status run_phase(supervisor *s, const phase *p, ns_error *err) {
    ns_log_write(s->run->config->log, NS_LOG_INFO, "%s begins", p->name);
    NS_TRY(results_study_update(s->children.store, s->run->study_id, RESULTS_STUDY_RUNNING, p->name,
                                "", NULL, err));
    return run_children(s, p, err);
}

/// A round of calibration: a phase that no store knows of, so that a study that is stopped in it
/// begins anew. One failure ends it.
static ns_status run_round(void *supervisor_, int process_count, search__child_fn child_main,
                           int64_t ms_max, ns_error *err) {
    supervisor *s = supervisor_;
    const phase p = {"calibrate", child_main, process_count, 1,
                     search__position_ms(s->run) + ms_max};
    return run_children(s, &p, err);
}

/// A phase that failed too often is passed over where the next can do with what there is.
static bool may_go_on(const supervisor *s, const phase *p, ns_status status) {
    return status == NS_ERR_INTERNAL && p->main != search__finish_main &&
           !isnan(s->best_val_accuracy);
}

/// A limit on latency that even the anchor, made as small as needed, cannot keep ends the study
/// before it has cost anything.
static ns_status check_latency(supervisor *s, ns_error *err) {
    const search__run *run = s->run;
    if (run->config->goal.latency_ms_max <= 0) {
        return NS_OK;
    }
    const ns_status status = run_round(s, 1, search__limits_main, LIMITS_MS_MAX, err);
    return status == NS_ERR_INTERNAL
               ? ns_fail(err, NS_ERR_LIMIT, "study '%s' cannot keep its limits: %s",
                         run->config->study, run->slot[0].error.text)
               : status;
}

static ns_status run_phases(supervisor *s, const char *from, ns_error *err) {
    const search__run *run = s->run;
    NS_TRY(check_latency(s, err));
    NS_TRY(search__calibrate(&s->children, run_round, s, err));
    const phase phases[] = {
        {"search", search__worker_main, run->worker_count, CRASHES_MAX,
         run->plan.confirm_end_ms + top_trial_ms(&run->plan) / 2 + SEARCH_OVERTIME_MS},
        {"retrain", search__retrain_main, 1, PHASE_ATTEMPTS_MAX,
         run->plan.total_ms - FINISH_MS_MIN},
        {"finish", search__finish_main, 1, PHASE_ATTEMPTS_MAX, run->plan.total_ms},
    };
    bool entered = strcmp(from, "confirm") == 0; // by the search's workers, as they get that far
    for (size_t i = 0; i < NS_COUNT_OF(phases); i++) {
        entered = entered || strcmp(phases[i].name, from) == 0;
        if (!entered) {
            continue;
        }
        if (i == 0 && run->plan.search_end_ms == 0) {
            ns_log_write(run->config->log, NS_LOG_INFO,
                         "no search: the budget has no room for a few trials that would tell "
                         "anything, and the anchor has it all");
            continue;
        }
        const ns_status status = run_phase(s, &phases[i], err);
        if (may_go_on(s, &phases[i], status)) {
            ns_log_write(run->config->log, NS_LOG_WARN, "%s", err->text);
        } else if (status != NS_OK) {
            return status;
        }
    }
    return NS_OK;
}

/* ---- the end --------------------------------------------------------------------------------- */

/// "converged" when retraining came to its useful end before the budget's, else "budget".
static const char *stop_reason(const search__run *run, results_store *store) {
    ns_json *result = NULL;
    const bool converged = search__result_read(store, run, &result, NULL) == NS_OK &&
                           ns_json_bool(result, "converged", false);
    ns_json_free(result);
    return converged ? "converged" : "budget";
}

ns_status search__conclude(const search__run *run, results_store *store, ns_status status,
                           ns_error *err) {
    ns_error ignored = {0}; // what ended the study is the thing to tell
    if (status == NS_OK || status == NS_ERR_BUDGET) {
        if (search__salvage(run, store, &ignored) == NS_OK) {
            return results_study_update(store, run->study_id, RESULTS_STUDY_COMPLETE, "done",
                                        stop_reason(run, store), NULL, err);
        }
        NS_TRY(results_study_update(store, run->study_id, RESULTS_STUDY_FAIL, NULL, "budget", NULL,
                                    err));
        return ns_fail(err, NS_ERR_BUDGET,
                       "study '%s' used its whole budget before it had a model to keep",
                       run->config->study);
    }
    (void)results_study_update(store, run->study_id, RESULTS_STUDY_INTERRUPTED, NULL,
                               status == NS_ERR_STOPPED ? "interrupted" : "failed", NULL, &ignored);
    return status;
}

/// Ends the run and says what has become of the study.
static ns_status end_run(supervisor *s, ns_status status, ns_error *err) {
    if (s->children.store == NULL) {
        return status; // lost in a fork; the next run cleans up
    }
    ns_error ignored = {0};
    results_set_patience(s->children.store, SEARCH_PATIENCE_LAST_MS);
    status = search__conclude(s->run, s->children.store, status, err);
    const ns_status ended = results_run_end(s->children.store, s->run->run_id, elapsed_ms(s),
                                            status == NS_OK ? err : &ignored);
    return status == NS_OK ? ended : status;
}

ns_status search__supervise(search__run *run, ns_error *err) {
    supervisor s = {
        .run = run,
        .children = {.run = run},
        .ledger = {.total_ms = search__clock_node_ms_max(run->config), .charged_ms = run->base_ms},
        .done_count = -1,
        .best_val_accuracy = (double)NAN,
    };
    NS_TRY(search__store_reopen(&s.children, err));
    results_study study;
    ns_status status = results_study_get(s.children.store, run->config->study, &study, err);
    if (status == NS_OK) {
        search__signals_catch();
        status = book(&s, err);
        status = status == NS_OK ? run_phases(&s, study.phase, err) : status;
        status = end_run(&s, status, err);
        results_study_clear(&study);
        search__signals_restore();
    }
    budget_model_free(run->calibration.model);
    run->calibration.model = NULL;
    results_close(s.children.store);
    return status;
}
