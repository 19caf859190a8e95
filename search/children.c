// The processes of a study: forked, watched, replaced, ended.
//
// Invariants:
//   1. The supervisor starts no thread and opens no OpenMP region, so forking is safe at any time.
//   2. Its connection to the store is closed across every fork: SQLite's locks do not survive one.
//   3. Children die with the supervisor (PR_SET_PDEATHSIG), so nobody uses time that nobody books.
//   4. What a dead child held is given back before its slot is used again (bury).

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "search/search_internal.h"

#define ATTEMPTS_PER_TRIAL 3
#define GRACE_MS           1400   // from SIGTERM to SIGKILL
#define KILLED_MS          500    // from SIGKILL to giving up on a process the kernel holds
#define HANG_MS            120000 // without a sign of life: longer than any step or preparation
#define PATIENCE_MS        500    // with a store that somebody else has locked, while clocks run
#define LONG_PATIENCE_MS   5000   // where the call must not be lost

ns_status search__store_reopen(search__children *c, ns_error *err) {
    NS_TRY(results_open(c->run->config->store_path, RESULTS_WRITE, &c->store, err));
    results_set_patience(c->store, PATIENCE_MS);
    return NS_OK;
}

static _Noreturn void child_life(search__run *run, int slot, search__child_fn child_main,
                                 pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(SEARCH_EXIT_FAILED); // it died before the line above
    }
    search__signals_in_child();
    _exit(child_main(run, slot));
}

ns_status search__spawn(search__children *c, int slot, search__child_fn child_main, ns_error *err) {
    c->run->slot[slot] = (search__slot){.fraction = (double)NAN, .alive_ms = ns_clock_ms()};
    results_close(c->store);
    c->store = NULL;
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
        child_life(c->run, slot, child_main, parent);
    }
    const int cause = errno;
    c->pid[slot] = pid > 0 ? pid : 0;
    NS_TRY(search__store_reopen(c, err));
    if (pid < 0) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot start a worker process: %s", strerror(cause));
    }
    return NS_OK;
}

int search__alive_count(const search__children *c) {
    int count = 0;
    for (int slot = 0; slot < SEARCH_SLOTS_MAX; slot++) {
        count += c->pid[slot] != 0;
    }
    return count;
}

static void signal_all(const search__children *c, int number) {
    for (int slot = 0; slot < SEARCH_SLOTS_MAX; slot++) {
        if (c->pid[slot] != 0) {
            kill(c->pid[slot], number);
        }
    }
}

/// Requeues what the dead child `pid` held and books its last slice.
static ns_status bury(search__children *c, pid_t pid, int attempt_count_max, ns_error *err) {
    if (c->store == NULL) {
        return NS_OK; // the store was lost; the next run buries
    }
    int reaped_count = 0;
    results_set_patience(c->store, LONG_PATIENCE_MS);
    const ns_status status =
        results_reap(c->store, c->run->study_id, pid, attempt_count_max, &reaped_count, err);
    results_set_patience(c->store, PATIENCE_MS);
    return status;
}

/// Whether the child of `slot` has ended; it is then out of its slot.
static bool has_ended(search__children *c, int slot, int *wait_status) {
    const pid_t ended = waitpid(c->pid[slot], wait_status, WNOHANG);
    if (ended == 0) {
        return false;
    }
    if (ended < 0) {
        *wait_status = 0; // somebody else waited for it
    }
    c->pid[slot] = 0;
    return true;
}

ns_status search__terminate_all(search__children *c, bool at_once, ns_error *err) {
    ns_status status = NS_OK;
    const int64_t kill_ms = ns_clock_ms() + (at_once ? 0 : GRACE_MS);
    signal_all(c, SIGTERM);
    while (search__alive_count(c) > 0 && ns_clock_ms() < kill_ms + KILLED_MS) {
        for (int slot = 0; slot < SEARCH_SLOTS_MAX; slot++) {
            int wait_status = 0;
            const pid_t pid = c->pid[slot];
            if (pid != 0 && has_ended(c, slot, &wait_status)) {
                // It ended because it was told to, so that is no attempt that failed.
                const ns_status buried = bury(c, pid, INT32_MAX, err);
                status = status == NS_OK ? buried : status;
            }
        }
        if (ns_clock_ms() >= kill_ms) {
            signal_all(c, SIGKILL);
        }
        ns_sleep_ms(5);
    }
    return status;
}

static void describe_end(int wait_status, const search__slot *slot, ns_error *out) {
    if (WIFSIGNALED(wait_status)) {
        (void)ns_fail(out, NS_ERR_INTERNAL, "a worker process died of signal %d (%s)",
                      WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    } else if (WEXITSTATUS(wait_status) == SEARCH_EXIT_FAILED && slot->error.text[0] != '\0') {
        *out = slot->error;
    } else {
        (void)ns_fail(out, NS_ERR_INTERNAL, "a worker process ended with exit status %d",
                      WEXITSTATUS(wait_status));
    }
}

ns_status search__tend(search__children *c, int slot, search__end *end, ns_error *why,
                       ns_error *err) {
    int wait_status = 0;
    const pid_t pid = c->pid[slot];
    *end = SEARCH_END_NONE;
    if (pid == 0) {
        return NS_OK;
    }
    if (!has_ended(c, slot, &wait_status)) {
        if (ns_clock_ms() - c->run->slot[slot].alive_ms > HANG_MS) {
            ns_log_write(c->run->config->log, NS_LOG_WARN, "worker process %d hangs and is ended",
                         (int)pid);
            kill(pid, SIGKILL);
        }
        return NS_OK;
    }
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == SEARCH_EXIT_DONE) {
        *end = SEARCH_END_DONE;
        return NS_OK;
    }
    *end = SEARCH_END_CRASHED;
    describe_end(wait_status, &c->run->slot[slot], why);
    ns_log_write(c->run->config->log, NS_LOG_WARN, "%s; what it held is tried again", why->text);
    NS_TRY(bury(c, pid, ATTEMPTS_PER_TRIAL, err));
    return results_event(c->store, c->run->study_id, why->text, err);
}
