// The progress line of long commands, and the log that shares stderr with it.
//
// On a terminal the line is redrawn in place at most 10 times a second, cut to the terminal's
// width, and the cursor is left at its start. The log goes through a stream that wipes the line
// before it writes, so a log line takes its place and the progress line reappears below it; that
// needs no memory of what is drawn and so works in forked workers too. Elsewhere (a file, a pipe)
// the same text becomes a log line, at most every 10 seconds.

#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli_internal.h"

#define REDRAW_MS  100
#define LOG_MS     10000
#define WIPE       "\r\033[K"
#define COLUMNS    80 // when the terminal does not say
#define LINE_BYTES 512

static ssize_t write_over_line(void *cookie, const char *bytes, size_t size_bytes) {
    FILE *terminal = cookie;
    (void)fputs(WIPE, terminal);
    const size_t written = fwrite(bytes, 1, size_bytes, terminal);
    (void)fflush(terminal);
    return (ssize_t)written;
}

ns_status cli__progress_start(cli_progress *progress, ns_error *err) {
    *progress = (cli_progress){.start_ms = ns_clock_ms(), .terminal = isatty(STDERR_FILENO) == 1};
    if (progress->terminal) {
        const cookie_io_functions_t functions = {.write = write_over_line};
        progress->log_stream = fopencookie(stderr, "w", functions);
        if (progress->log_stream == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "cannot open the log: out of memory");
        }
        (void)setvbuf(progress->log_stream, NULL, _IOLBF, 0);
    } else {
        progress->shown_ms = progress->start_ms; // nothing to log before there was time for it
    }
    FILE *stream = progress->terminal ? progress->log_stream : stderr;
    const ns_status status = ns_log_new(stream, NS_LOG_INFO, NS_LOG_TEXT, &progress->log, err);
    if (status != NS_OK) {
        cli__progress_end(progress);
    }
    return status;
}

// A stopped terminal (Ctrl-S) or a full pipe must not stop the work behind the line.
static bool stderr_takes_more(void) {
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0;
}

bool cli__progress_due(const cli_progress *progress) {
    return ns_clock_ms() - progress->shown_ms >= (progress->terminal ? REDRAW_MS : LOG_MS) &&
           stderr_takes_more();
}

// Cuts UTF-8 `text` after `width` characters.
static void cut_text(char *text, int width) {
    for (; *text != '\0'; text++) {
        const bool starts = ((unsigned char)*text & 0xC0U) != 0x80U;
        if (starts && width-- == 0) {
            *text = '\0';
            return;
        }
    }
}

static void draw(char *text) {
    struct winsize size = {0};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    cut_text(text, (known ? size.ws_col : COLUMNS) - 1);
    (void)fprintf(stderr, "\r%s\033[K\r", text);
    (void)fflush(stderr);
}

void cli__progress_show(cli_progress *progress, const char *format, ...) {
    char text[LINE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    progress->shown_ms = ns_clock_ms();
    if (progress->terminal) {
        draw(text);
    } else {
        ns_log_write(progress->log, NS_LOG_INFO, "%s", text);
    }
}

void cli__progress_bar(double fraction, char out[CLI_BAR_BYTES]) {
    const int width = CLI_BAR_BYTES - 3;
    const int filled = fraction < 0 ? 0 : fraction > 1 ? width : (int)(fraction * width);
    memset(out, '.', CLI_BAR_BYTES);
    memset(out + 1, '#', (size_t)filled);
    out[0] = '[';
    out[width + 1] = ']';
    out[width + 2] = '\0';
}

void cli__progress_end(cli_progress *progress) {
    if (progress->terminal && progress->shown_ms != 0) {
        (void)fputs(WIPE, stderr);
        (void)fflush(stderr);
    }
    ns_log_free(progress->log);
    if (progress->log_stream != NULL) {
        (void)fclose(progress->log_stream);
    }
    *progress = (cli_progress){0};
}

void cli__progress_finish_time(int64_t left_ms, char out[16]) {
    const time_t when = (time_t)((ns_clock_unix_ms() + left_ms) / 1000);
    struct tm parts = {0};
    (void)localtime_r(&when, &parts);
    (void)strftime(out, 16, "%H:%M:%S", &parts);
}
