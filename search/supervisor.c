// The supervisor: one process that forks the workers of a study, watches them, books the node's
// time, and brings the study from phase to phase.
//
//   search ---- until its share of the budget is used, or nothing new can be proposed
//     |         worker_count processes of worker.c
//   retrain --- the winner from scratch, all cores, until the finish needs the rest
//     |         one process of retrain.c, continued from its checkpoint
//   finish ---- validation, test (read here, once), model file, exports
//     |         one process of finish.c
//   done
//
// The phase is kept in the store, so a resumed study enters where it was. The supervisor computes
// nothing itself: a network that crashes or takes all memory kills a child, never the study.
//
// Invariants:
//   1. It starts no thread and opens no OpenMP region, so forking is safe at any time.
//   2. Its connection to the store is closed across every fork: SQLite's locks do not survive one.
//   3. Time is reserved before it is used: a beat every BEAT_MS reserves SLICE_MS ahead.
//   4. Children die with it (PR_SET_PDEATHSIG), so nobody uses time that nobody books.

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "search/search_internal.h"

#define TICK_MS            50
#define BEAT_MS            400
#define SLICE_MS           1000
#define PROGRESS_MS        250
#define GRACE_MS           1400 // from SIGTERM to SIGKILL
#define EXIT_MS            150  // kept back for ending this process
#define ATTEMPTS_PER_TRIAL 3
#define CRASHES_MAX        20   // of workers, in one run
#define PHASE_ATTEMPTS_MAX 3    // of retrain and finish
#define SEARCH_OVERTIME_MS 5000 // a worker past its share by more than this hangs

typedef struct supervisor {
    search__run *run;
    results_store *store;
    pid_t child[SEARCH_SLOTS_MAX]; // 0: none
    int64_t beat_ms, progress_ms;  // clock of the last ones
    int done_count;                // finished trials when best was looked up
    double best_val_accuracy;
} supervisor;

typedef struct phase {
    const char *name;
    search__child_fn main;
    int process_count;
    int crash_max;  // more end the phase
    int64_t end_ms; // ledger position beyond which children are killed
} phase;

/* ---- children -------------------------------------------------------------------------------- */

static ns_status store_reopen(supervisor *s, ns_error *err) {
    return results_open(s->run->config->store_path, RESULTS_WRITE, &s->store, err);
}

static void store_close(supervisor *s) {
    results_close(s->store);
    s->store = NULL;
}

static _Noreturn void child_life(search__run *run, int slot, search__child_fn child_main,
                                 pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(SEARCH_EXIT_FAILED); // it died before the line above
    }
    search__signals_catch(true);
    _exit(child_main(run, slot));
}

static ns_status spawn(supervisor *s, int slot, search__child_fn child_main, ns_error *err) {
    s->run->slot[slot] = (search__slot){.fraction = (double)NAN};
    store_close(s);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
        child_life(s->run, slot, child_main, parent);
    }
    NS_TRY(store_reopen(s, err));
    if (pid < 0) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot start a worker process: %s", strerror(errno));
    }
    s->child[slot] = pid;
    return NS_OK;
}

static int alive_count(const supervisor *s) {
    int count = 0;
    for (int slot = 0; slot < SEARCH_SLOTS_MAX; slot++) {
        count += s->child[slot] != 0;
    }
    return count;
}

static void signal_all(const supervisor *s, int number) {
    for (int slot = 0; slot < SEARCH_SLOTS_MAX; slot++) {
        if (s->child[slot] != 0) {
            kill(s->child[slot], number);
        }
    }
}

/// Requeues what the dead child `pid` held and books its last slice.
static ns_status bury(supervisor *s, pid_t pid, ns_error *err) {
    int reaped_count = 0;
    return results_reap(s->store, s->run->study_id, pid, ATTEMPTS_PER_TRIAL, &reaped_count, err);
}

/// Ends all children: politely, then not. Their unfinished trials wait again.
static ns_status terminate_all(supervisor *s, ns_error *err) {
    ns_status status = NS_OK;
    const int64_t kill_ms = ns_clock_ms() + GRACE_MS;
    signal_all(s, SIGTERM);
    while (alive_count(s) > 0) {
        for (int slot = 0; slot < SEARCH_SLOTS_MAX; slot++) {
            const pid_t pid = s->child[slot];
            if (pid != 0 && waitpid(pid, NULL, WNOHANG) == pid) {
                s->child[slot] = 0;
                const ns_status buried = bury(s, pid, err);
                status = status == NS_OK ? buried : status;
            }
        }
        if (ns_clock_ms() >= kill_ms) {
            signal_all(s, SIGKILL);
        }
        ns_sleep_ms(5);
    }
    return status;
}

/* ---- the clock ------------------------------------------------------------------------------- */

static int64_t elapsed_ms(const supervisor *s) {
    return ns_clock_ms() - s->run->config->process_start_ms;
}

/// Books the time used and reserves the next slice. NS_ERR_BUDGET when nothing is left.
static ns_status beat(supervisor *s, ns_error *err) {
    int64_t reserved_ms = 0;
    s->beat_ms = ns_clock_ms();
    NS_TRY(results_run_beat(s->store, s->run->run_id, elapsed_ms(s), SLICE_MS, &reserved_ms, err));
    if (search__position_ms(s->run) + EXIT_MS >= s->run->config->budget_node_ms) {
        return ns_fail(err, NS_ERR_BUDGET, "the budget is used");
    }
    return NS_OK;
}

static ns_status best_update(supervisor *s, ns_error *err) {
    results_trial *trials = NULL;
    size_t count = 0;
    NS_TRY(results_trials(s->store, s->run->study_id, &trials, &count, err));
    const int best = search__best_trial(trials, count);
    s->best_val_accuracy = best < 0 ? (double)NAN : trials[best].val_accuracy;
    // Only the best trial's model is worth its place on disk.
    for (size_t i = 0; best >= 0 && i < count; i++) {
        char path[NS_PATH_MAX];
        if ((int)i != best && trials[i].state == RESULTS_COMPLETE &&
            search__trial_file(s->run, trials[i].number, path, NULL) == NS_OK) {
            unlink(path);
        }
    }
    results_trials_free(trials, count);
    return NS_OK;
}

static ns_status show_progress(supervisor *s, const phase *p, ns_error *err) {
    s->progress_ms = ns_clock_ms();
    results_study study;
    NS_TRY(results_study_get(s->store, s->run->config->study, &study, err));
    const int done_count = study.trial_count[RESULTS_COMPLETE] + study.trial_count[RESULTS_PRUNED] +
                           study.trial_count[RESULTS_FAIL];
    const int running_count = study.trial_count[RESULTS_RUNNING];
    results_study_clear(&study);
    if (done_count != s->done_count) {
        s->done_count = done_count;
        NS_TRY(best_update(s, err));
    }
    if (s->run->config->on_progress != NULL) {
        const search_progress progress = {
            .phase = p->name,
            .trial_done_count = done_count,
            .trial_running_count = running_count,
            .trial_planned_count = s->run->plan.trial_count,
            .best_val_accuracy = s->best_val_accuracy,
            .spent_ms = search__position_ms(s->run),
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
    const int64_t now_ms = ns_clock_ms();
    if (now_ms - s->beat_ms >= BEAT_MS) {
        NS_TRY(beat(s, err));
    }
    if (now_ms - s->progress_ms >= PROGRESS_MS) {
        NS_TRY(show_progress(s, p, err));
    }
    return NS_OK;
}

/* ---- a phase --------------------------------------------------------------------------------- */

/// What the end of a child means: NS_OK (done, or to be replaced when `*crashed`), or its failure.
static ns_status child_ended(supervisor *s, int slot, int wait_status, bool *crashed,
                             ns_error *err) {
    const pid_t pid = s->child[slot];
    s->child[slot] = 0;
    *crashed = false;
    if (WIFEXITED(wait_status) && (WEXITSTATUS(wait_status) == SEARCH_EXIT_DONE ||
                                   WEXITSTATUS(wait_status) == SEARCH_EXIT_STOPPED)) {
        return NS_OK;
    }
    NS_TRY(bury(s, pid, err));
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == SEARCH_EXIT_FAILED) {
        return ns_fail(err, NS_ERR_IO, "%s", s->run->slot[slot].error.text);
    }
    *crashed = true;
    char event[64];
    snprintf(event, sizeof(event), "a worker process died (%s %d)",
             WIFSIGNALED(wait_status) ? "signal" : "exit status",
             WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
    ns_log_write(s->run->config->log, NS_LOG_WARN, "%s; its trial is tried again", event);
    return results_event(s->store, s->run->study_id, event, err);
}

/// Looks after every child once; replaces the crashed ones.
static ns_status tend(supervisor *s, const phase *p, int *crash_count, ns_error *err) {
    for (int slot = 0; slot < p->process_count; slot++) {
        int wait_status = 0;
        bool crashed = false;
        if (s->child[slot] == 0 || waitpid(s->child[slot], &wait_status, WNOHANG) == 0) {
            continue;
        }
        NS_TRY(child_ended(s, slot, wait_status, &crashed, err));
        if (crashed && ++*crash_count < p->crash_max) {
            NS_TRY(spawn(s, slot, p->main, err));
        }
    }
    return NS_OK;
}

/// Runs one phase to its end. NS_ERR_STOPPED and NS_ERR_BUDGET as tick(); else a child's failure.
static ns_status run_phase(supervisor *s, const phase *p, ns_error *err) {
    ns_log_write(s->run->config->log, NS_LOG_INFO, "%s begins", p->name);
    NS_TRY(results_study_update(s->store, s->run->study_id, RESULTS_STUDY_RUNNING, p->name, NULL,
                                NULL, err));
    ns_status status = NS_OK;
    int crash_count = 0;
    for (int slot = 0; status == NS_OK && slot < p->process_count; slot++) {
        status = spawn(s, slot, p->main, err);
    }
    while (status == NS_OK && alive_count(s) > 0 && search__position_ms(s->run) < p->end_ms) {
        status = tick(s, p, err);
        if (status == NS_OK) {
            status = tend(s, p, &crash_count, err);
        }
    }
    ns_error ignored = {0}; // the first failure is the one to tell
    const ns_status ended = terminate_all(s, status == NS_OK ? err : &ignored);
    status = status == NS_OK ? ended : status;
    if (status == NS_OK) {
        status = show_progress(s, p, err);
    }
    return status;
}

static ns_status run_phases(supervisor *s, const char *from, ns_error *err) {
    const search__run *run = s->run;
    const phase phases[] = {
        {"search", search__worker_main, run->worker_count, CRASHES_MAX,
         run->plan.search_end_ms + run->plan.trial_ms / 2 + SEARCH_OVERTIME_MS},
        {"retrain", search__retrain_main, 1, PHASE_ATTEMPTS_MAX, run->plan.total_ms},
        {"finish", search__finish_main, 1, PHASE_ATTEMPTS_MAX, run->plan.total_ms},
    };
    bool entered = false;
    for (size_t i = 0; i < NS_COUNT_OF(phases); i++) {
        entered = entered || strcmp(phases[i].name, from) == 0;
        const bool has_search = i > 0 || run->plan.search_end_ms > 0;
        if (entered && has_search) {
            NS_TRY(run_phase(s, &phases[i], err));
        }
    }
    return NS_OK;
}

ns_status search__conclude(const search__run *run, results_store *store, ns_status status,
                           ns_error *err) {
    if (status == NS_OK || status == NS_ERR_BUDGET) {
        char path[NS_PATH_MAX];
        double val_accuracy = 0;
        int trial_number = 0;
        if (results_model_get(store, run->study_id, "final", path, &val_accuracy, &trial_number,
                              err) == NS_OK) {
            return results_study_update(store, run->study_id, RESULTS_STUDY_COMPLETE, "done",
                                        "budget", NULL, err);
        }
        NS_TRY(results_study_update(store, run->study_id, RESULTS_STUDY_FAIL, NULL, "budget", NULL,
                                    err));
        return ns_fail(err, NS_ERR_BUDGET,
                       "study '%s' used its whole budget before it had a model to keep",
                       run->config->study);
    }
    ns_error ignored = {0}; // what stopped the study is the thing to tell
    results_study_update(store, run->study_id, RESULTS_STUDY_INTERRUPTED, NULL,
                         status == NS_ERR_STOPPED ? "interrupted" : "failed", NULL, &ignored);
    return status;
}

ns_status search__supervise(search__run *run, ns_error *err) {
    supervisor s = {.run = run, .done_count = -1, .best_val_accuracy = (double)NAN};
    NS_TRY(store_reopen(&s, err));
    results_study study;
    ns_status status = results_study_get(s.store, run->config->study, &study, err);
    if (status == NS_OK) {
        search__signals_catch(false);
        status = run_phases(&s, study.phase, err);
        results_study_clear(&study);
        if (s.store != NULL) {
            status = search__conclude(run, s.store, status, err);
            ns_error ignored = {0};
            const ns_status ended = results_run_end(s.store, run->run_id, elapsed_ms(&s),
                                                    status == NS_OK ? err : &ignored);
            status = status == NS_OK ? ended : status;
        }
        search__signals_restore();
    }
    store_close(&s);
    return status;
}
