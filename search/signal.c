// The one flag that a signal sets.
//
// A study must stop cleanly within two seconds of Ctrl-C, SIGTERM or a closed terminal: the handler
// only raises a flag, and every loop between mini-batches looks at it. A signal handler can reach
// nothing but a global, so this file holds the layer's only mutable one.
//
// A terminal sends SIGINT and SIGHUP to all processes of a study at once; the supervisor alone hears
// them, and passes SIGTERM on. A child keeps the supervisor's handler and flag across the fork, so
// no request is lost in between.

#include <signal.h>

#include "search/search_internal.h"

static volatile sig_atomic_t stop_requested;

static void on_signal(int number) {
    (void)number;
    stop_requested = 1;
}

static void handle(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

/// nohup has it ignored, and means it.
static bool is_ignored(int number) {
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void search__signals_catch(void) {
    stop_requested = 0;
    handle(SIGINT, on_signal);
    handle(SIGTERM, on_signal);
    if (!is_ignored(SIGHUP)) {
        handle(SIGHUP, on_signal);
    }
    handle(SIGCHLD, SIG_DFL); // one inherited as ignored would hide how children end
}

void search__signals_in_child(void) {
    handle(SIGINT, SIG_IGN);
    handle(SIGHUP, SIG_IGN);
}

void search__signals_restore(void) {
    handle(SIGINT, SIG_DFL);
    handle(SIGTERM, SIG_DFL);
    if (!is_ignored(SIGHUP)) {
        handle(SIGHUP, SIG_DFL);
    }
}

bool search__stop_requested(void) {
    return stop_requested != 0;
}
