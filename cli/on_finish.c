// What --on-finish runs when a study has ended: a command of the user's, for mail or chat.
//
// It runs when nothing of the study is left to do: the run is booked, the store closed, the lock
// released and the result printed. So its time is not the budget's, and nothing that it does can
// harm the study. It gets
//   - what a line of text needs in environment variables (NIGHTSHIFT_STATE and others, see
//     `variables`), empty where there is nothing to tell;
//   - the whole status, as `status --json` prints it, on its stdin: a file in memory and no pipe, so
//     that a command which reads none of it neither blocks us nor breaks a pipe;
//   - our stderr for both of its outputs, because stdout is the result's;
//   - no descriptor of ours besides, and so no lock: all are opened close-on-exec.
// It has a process group of its own and TIME_MAX_MS; then the group is asked to end, and killed when
// it does not. What it left in the background by itself is its own affair.

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli_internal.h"

#define TIME_MAX_MS  ((int64_t)CLI_ON_FINISH_S_MAX * 1000)
#define GRACE_MS     2000 // between asking and killing
#define POLL_MS      10
#define EXIT_NO_EXEC 127 // as shells have it

/* ---- what it is told ------------------------------------------------------------------------- */

static void set_number(const char *name, const char *format, double value) {
    char text[64] = "";
    if (!isnan(value)) {
        (void)snprintf(text, sizeof(text), format, value);
    }
    (void)setenv(name, text, 1);
}

static void set_text(const char *name, const char *value) {
    (void)setenv(name, value != NULL ? value : "", 1);
}

/// In the child alone. Accuracies are fractions, as everywhere in JSON.
static void variables(const ns_json *study, const search_config *config, const char *error) {
    char store[NS_PATH_MAX];
    const bool known = ns_path_absolute(config->store_path, store, NULL) == NS_OK;
    set_text("NIGHTSHIFT_STUDY", config->study);
    set_text("NIGHTSHIFT_STORE", known ? store : config->store_path);
    set_text("NIGHTSHIFT_STATE", ns_json_string(study, "state", NULL));
    set_text("NIGHTSHIFT_STOP_REASON", ns_json_string(study, "stop_reason", NULL));
    set_text("NIGHTSHIFT_MODEL", ns_json_string(study, "model", NULL));
    set_text("NIGHTSHIFT_ERROR", error);
    set_text("NIGHTSHIFT_SCORE_NAME", ns_json_string(study, "score_name", NULL));
    set_number("NIGHTSHIFT_TEST_ACCURACY", "%.6f",
               ns_json_number(study, "test_accuracy", (double)NAN));
    set_number("NIGHTSHIFT_VAL_ACCURACY", "%.6f",
               ns_json_number(study, "best_val_accuracy", (double)NAN));
    set_number("NIGHTSHIFT_NODE_HOURS", "%.6f",
               ns_json_number(study, "node_ms_used", (double)NAN) / 3.6e6);
    set_number("NIGHTSHIFT_MONEY", "%.2f", ns_json_number(study, "cost", (double)NAN));
}

/// A file in memory with the status, to be read from its start.
static ns_status status_file(const ns_json *study, int *fd, ns_error *err) {
    char *text = NULL;
    NS_TRY(ns_json_print(study, false, &text, err));
    const size_t size_bytes = strlen(text);
    *fd = memfd_create("status.json", MFD_CLOEXEC);
    size_t done_bytes = 0;
    while (*fd >= 0 && done_bytes < size_bytes) {
        const ssize_t written = write(*fd, text + done_bytes, size_bytes - done_bytes);
        if (written < 0 && errno != EINTR) {
            break;
        }
        done_bytes += written > 0 ? (size_t)written : 0;
    }
    const bool whole = *fd >= 0 && done_bytes == size_bytes && write(*fd, "\n", 1) == 1 &&
                       lseek(*fd, 0, SEEK_SET) == 0;
    free(text);
    if (!whole) {
        const int reason = errno;
        if (*fd >= 0) {
            (void)close(*fd);
        }
        return ns_fail(err, NS_ERR_IO, "its input cannot be written: %s", strerror(reason));
    }
    return NS_OK;
}

/* ---- running it ------------------------------------------------------------------------------ */

static _Noreturn void become(const char *command, int input_fd) {
    (void)setpgid(0, 0);
    (void)signal(SIGPIPE, SIG_DFL); // main() ignores it, and programs inherit that
    if (dup2(input_fd, STDIN_FILENO) >= 0 && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0) {
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    }
    _exit(EXIT_NO_EXEC);
}

/// Waits until the clock says `end_ms`; whether the child has ended.
static bool wait_until(pid_t pid, int64_t end_ms, int *wait_status) {
    for (;;) {
        const pid_t ended = waitpid(pid, wait_status, WNOHANG);
        if (ended == pid || (ended < 0 && errno != EINTR)) {
            return true;
        }
        if (ns_clock_ms() >= end_ms) {
            return false;
        }
        ns_sleep_ms(POLL_MS);
    }
}

static ns_status wait_for(pid_t pid, ns_error *err) {
    int wait_status = 0;
    if (!wait_until(pid, ns_clock_ms() + TIME_MAX_MS, &wait_status)) {
        (void)kill(-pid, SIGTERM);
        if (!wait_until(pid, ns_clock_ms() + GRACE_MS, &wait_status)) {
            (void)kill(-pid, SIGKILL);
            (void)waitpid(pid, &wait_status, 0);
        }
        return ns_fail(err, NS_ERR_IO, "it took more than %d s and was ended", CLI_ON_FINISH_S_MAX);
    }
    if (WIFSIGNALED(wait_status)) {
        return ns_fail(err, NS_ERR_IO, "it died of signal %d (%s)", WTERMSIG(wait_status),
                       strsignal(WTERMSIG(wait_status)));
    }
    if (WEXITSTATUS(wait_status) != 0) {
        return ns_fail(err, NS_ERR_IO, "it ended with exit status %d", WEXITSTATUS(wait_status));
    }
    return NS_OK;
}

static ns_status run(const char *command, const search_config *config, const char *error,
                     ns_error *err) {
    ns_json *study = NULL;
    int input_fd = -1;
    NS_TRY(search_status_json(config->store_path, config->study, &study, err));
    ns_status status = status_file(study, &input_fd, err);
    const pid_t pid = status == NS_OK ? fork() : 0;
    if (status == NS_OK && pid == 0) {
        variables(study, config, error);
        become(command, input_fd);
    }
    if (status == NS_OK) {
        (void)close(input_fd);
        (void)setpgid(pid, pid); // here too: whichever of the two comes first
        status = pid < 0 ? ns_fail(err, NS_ERR_IO, "no process can be started: %s", strerror(errno))
                         : wait_for(pid, err);
    }
    ns_json_free(study);
    return status;
}

void cli__on_finish(const char *command, const search_config *config, const char *error) {
    ns_error err = {0};
    if (run(command, config, error, &err) != NS_OK) {
        (void)fprintf(stderr, "nightshift: warning: the command of --on-finish failed: %s\n",
                      err.text);
    }
}
