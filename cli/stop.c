// Ctrl-C and SIGTERM for commands that stop at a good place and can go on later.
//
// The one piece of global state of this folder: a signal handler can reach nothing else. The
// handler is reset when it runs, so that a second signal kills a command that does not come to a
// good place.

#include <signal.h>
#include <stddef.h>

#include "cli/cli_internal.h"

static volatile sig_atomic_t stop_asked;

static void on_signal(int number) {
    (void)number;
    stop_asked = 1;
}

void cli__stop_catch(void) {
    struct sigaction action = {.sa_handler = on_signal,
                               .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool cli__stop_asked(void) {
    return stop_asked != 0;
}
