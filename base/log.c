// The log: one line an event, as text for people or JSON for machines.
//
// A line is put together first and written by one call, so lines of several threads or of several
// worker processes never mix: the stream by one fwrite, the tee by one write to a file opened with
// O_APPEND. A log that cannot be written (disk full, closed terminal) is no reason to stop a search
// and is passed over in silence.

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

#define MESSAGE_MAX 2048 // longer messages are cut

struct ns_log {
    FILE *stream;
    ns_log_level level;
    ns_log_format format;
    int tee_fd; // -1 without
};

static const char *const level_names[] = {
    [NS_LOG_DEBUG] = "debug",
    [NS_LOG_INFO] = "info",
    [NS_LOG_WARN] = "warn",
    [NS_LOG_ERROR] = "error",
};

ns_status ns_log_new(FILE *stream, ns_log_level level, ns_log_format format, ns_log **out,
                     ns_error *err) {
    ns_log *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot make a log: out of memory");
    }
    *log = (ns_log){.stream = stream, .level = level, .format = format, .tee_fd = -1};
    *out = log;
    return NS_OK;
}

ns_status ns_log_tee(ns_log *log, const char *path, ns_error *err) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) {
        return ns_fail(err, NS_ERR_IO, "cannot open the log file %s: %s", path, strerror(errno));
    }
    if (log->tee_fd >= 0) {
        (void)close(log->tee_fd);
    }
    log->tee_fd = fd;
    return NS_OK;
}

void ns_log_free(ns_log *log) {
    if (log == NULL) {
        return;
    }
    if (log->tee_fd >= 0) {
        (void)close(log->tee_fd);
    }
    free(log);
}

// `malloced`: "2026-01-31 23:59:59.123 info  message\n", in local time.
static char *text_line(ns_log_level level, const char *message, int64_t unix_ms) {
    const time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts = {0};
    char time_text[32] = "";
    (void)localtime_r(&seconds, &parts);
    (void)strftime(time_text, sizeof(time_text), "%Y-%m-%d %H:%M:%S", &parts);
    char *line = NULL;
    const int length = asprintf(&line, "%s.%03d %-5s %s\n", time_text, (int)(unix_ms % 1000),
                                level_names[level], message);
    return length < 0 ? NULL : line;
}

// `malloced`: {"time":"2026-01-31T23:59:59.123Z","level":"info","message":"..."}, in UTC.
static char *json_line(ns_log_level level, const char *message, int64_t unix_ms) {
    const time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts = {0};
    char date_text[32] = "";
    char time_text[48];
    (void)gmtime_r(&seconds, &parts);
    (void)strftime(date_text, sizeof(date_text), "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(time_text, sizeof(time_text), "%s.%03dZ", date_text, (int)(unix_ms % 1000));

    ns_json *object = ns_json_object_new();
    ns_json_set_string(object, "time", time_text);
    ns_json_set_string(object, "level", level_names[level]);
    ns_json_set_string(object, "message", message);
    char *printed = NULL;
    char *line = NULL;
    if (ns_json_print(object, false, &printed, NULL) == NS_OK &&
        asprintf(&line, "%s\n", printed) < 0) {
        line = NULL;
    }
    free(printed);
    ns_json_free(object);
    return line;
}

void ns_log_write(ns_log *log, ns_log_level level, const char *format, ...) {
    if (log == NULL || level < log->level) {
        return;
    }
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    for (char *c = message; *c != '\0'; c++) {
        *c = *c == '\n' || *c == '\r' ? ' ' : *c; // one event, one line
    }

    const int64_t unix_ms = ns_clock_unix_ms();
    char *line = log->format == NS_LOG_JSON ? json_line(level, message, unix_ms)
                                            : text_line(level, message, unix_ms);
    if (line == NULL) {
        return;
    }
    const size_t length = strlen(line);
    (void)fwrite(line, 1, length, log->stream);
    (void)fflush(log->stream);
    if (log->tee_fd >= 0) {
        const ssize_t written = write(log->tee_fd, line, length);
        (void)written;
    }
    free(line);
}
