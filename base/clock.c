// Clocks.
//
// Intervals are measured on CLOCK_BOOTTIME: it never jumps, runs on while the machine sleeps (a
// budget is wall time), is the same in all processes, and is the clock in which the kernel notes
// when a process began.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

// A process that is older than loading a program can take was another program before exec(): a
// shell, whose time is not ours.
#define LOADING_MS_MAX 2000

static int64_t read_clock_ns(clockid_t id) {
    struct timespec now = {0};
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t ns_clock_ns(void) {
    return read_clock_ns(CLOCK_BOOTTIME);
}

int64_t ns_clock_ms(void) {
    return ns_clock_ns() / 1000000;
}

int64_t ns_clock_unix_ms(void) {
    return read_clock_ns(CLOCK_REALTIME) / 1000000;
}

// Field 22 of /proc/self/stat: ticks from boot to the start of this process. The second field is
// the program's name in parentheses, which may itself hold spaces and parentheses.
static bool read_start_ticks(int64_t *ticks) {
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL) {
        return false;
    }
    char line[1024] = {0};
    const size_t length = fread(line, 1, sizeof(line) - 1, file);
    (void)fclose(file);
    line[length] = '\0';
    char *field = strrchr(line, ')'); // the end of field 2
    for (int number = 2; field != NULL && number < 22; number++) {
        field = strchr(field + 1, ' ');
    }
    if (field == NULL) {
        return false;
    }
    *ticks = strtoll(field, NULL, 10);
    return *ticks > 0;
}

int64_t ns_clock_process_start_ms(void) {
    const int64_t now_ms = ns_clock_ms();
    const long ticks_per_second = sysconf(_SC_CLK_TCK);
    int64_t ticks = 0;
    if (ticks_per_second <= 0 || !read_start_ticks(&ticks)) {
        return now_ms;
    }
    const int64_t start_ms = ticks * 1000 / ticks_per_second;
    return start_ms < now_ms && now_ms - start_ms < LOADING_MS_MAX ? start_ms : now_ms;
}

void ns_sleep_ms(int64_t duration_ms) {
    if (duration_ms <= 0) {
        return;
    }
    struct timespec left = {.tv_sec = (time_t)(duration_ms / 1000),
                            .tv_nsec = (long)(duration_ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}
