// The one flag that a signal sets.
//
// A study must stop cleanly within two seconds of Ctrl-C or SIGTERM: the handler only raises a
// flag, and every loop between mini-batches looks at it. A signal handler can reach nothing but a
// global, so this file holds the layer's only mutable one.

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

void search__signals_catch(bool child) {
    stop_requested = 0;
    handle(SIGINT, child ? SIG_IGN : on_signal);
    handle(SIGTERM, on_signal);
}

void search__signals_restore(void) {
    handle(SIGINT, SIG_DFL);
    handle(SIGTERM, SIG_DFL);
}

bool search__stop_requested(void) {
    return stop_requested != 0;
}
