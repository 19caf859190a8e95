// A CSV manifest without header, in the form of Google's AutoML:
//
//   TRAIN|VALIDATION|TEST|UNASSIGNED,path,label
//
// Paths are relative to the manifest's own folder. libcsv knows quotes; lines are fed to it one by
// one, so that every sentence can name the line on which the record begins.

#include <csv.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/data_internal.h"

#define FIELD_COUNT 3

/// State of one parse; the first failure sticks.
typedef struct manifest {
    const char *source;
    char dir[NS_PATH_MAX];
    data__listing *listing;
    ns_error *err;
    ns_status status;
    size_t line;        // being fed, from 1
    size_t record_line; // on which the record began
    size_t field_count; // of the record so far
    char *fields[FIELD_COUNT];
} manifest;

static ns_status complain(manifest *m, const char *reason) {
    m->status = NS_ERR_INPUT;
    return ns_fail(m->err, NS_ERR_INPUT, "cannot import %s: line %zu: %s", m->source,
                   m->record_line, reason);
}

static void on_field(void *bytes, size_t size_bytes, void *context) {
    manifest *m = context;
    if (m->status != NS_OK) {
        return;
    }
    if (m->field_count < FIELD_COUNT) {
        char *copy = malloc(size_bytes + 1);
        if (copy == NULL) {
            m->status = ns_fail(m->err, NS_ERR_MEMORY, "out of memory while reading %s", m->source);
            return;
        }
        if (size_bytes > 0) {
            memcpy(copy, bytes, size_bytes);
        }
        copy[size_bytes] = 0;
        free(m->fields[m->field_count]);
        m->fields[m->field_count] = copy;
    }
    m->field_count++;
}

static ns_status parse_split(manifest *m, const char *text, uint8_t *out) {
    data_split split;
    if (strcasecmp(text, "UNASSIGNED") == 0) {
        *out = DATA__UNASSIGNED;
        return NS_OK;
    }
    if (data_split_parse(text, &split, NULL) == NS_OK) {
        *out = (uint8_t)split;
        return NS_OK;
    }
    char reason[NS_ERROR_TEXT_MAX];
    (void)snprintf(reason, sizeof(reason),
                   "unknown partition '%.80s' (TRAIN, VALIDATION, TEST or UNASSIGNED)", text);
    return complain(m, reason);
}

static ns_status check_file(manifest *m, const char *name) {
    char path[NS_PATH_MAX];
    char reason[NS_ERROR_TEXT_MAX];
    struct stat info;
    NS_TRY(ns_path_join(m->dir, name, path, m->err));
    if (stat(path, &info) == 0) {
        return NS_OK;
    }
    if (strncasecmp(name, "gs://", 5) == 0) {
        (void)snprintf(reason, sizeof(reason),
                       "'%.200s' is in cloud storage, which is not read: copy it to this machine",
                       name);
    } else {
        (void)snprintf(reason, sizeof(reason), "there is no file '%.300s'", name);
    }
    return complain(m, reason);
}

static ns_status take_record(manifest *m) {
    uint8_t split = DATA__UNASSIGNED;
    int label;
    NS_TRY(parse_split(m, m->fields[0], &split));
    if (m->fields[2][0] == 0) {
        return complain(m, "the label is empty");
    }
    NS_TRY(check_file(m, m->fields[1]));
    const ns_status status = data__listing_label(m->listing, m->fields[2], &label, m->err);
    if (status != NS_OK) {
        ns_error_prefix(m->err, "cannot import %s: line %zu", m->source, m->record_line);
        return status;
    }
    return data__listing_add(m->listing, m->dir, m->fields[1], label, split, m->err);
}

static void on_record(int end, void *context) {
    manifest *m = context;
    (void)end;
    if (m->status == NS_OK && m->field_count != FIELD_COUNT) {
        char reason[80];
        (void)snprintf(reason, sizeof(reason), "%zu fields instead of %d (partition,path,label)",
                       m->field_count, FIELD_COUNT);
        (void)complain(m, reason);
    }
    if (m->status == NS_OK) {
        m->status = take_record(m);
    }
    m->field_count = 0;
    m->record_line = m->line + 1;
}

/// Feeds `text` line by line; `parser` calls on_field and on_record.
static void feed(manifest *m, struct csv_parser *parser, const char *text, size_t size_bytes) {
    const char *end = text + size_bytes;
    while (text < end && m->status == NS_OK) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *next = newline != NULL ? newline + 1 : end;
        m->line++;
        if (m->field_count == 0 && m->record_line < m->line) {
            m->record_line = m->line;
        }
        if (csv_parse(parser, text, (size_t)(next - text), on_field, on_record, m) !=
                (size_t)(next - text) &&
            m->status == NS_OK) {
            (void)complain(m, csv_strerror(csv_error(parser)));
        }
        text = next;
    }
    if (m->status == NS_OK && csv_fini(parser, on_field, on_record, m) != 0 && m->status == NS_OK) {
        (void)complain(m, "a quote is not closed");
    }
}

static ns_status parse(manifest *m, const char *text, size_t size_bytes) {
    struct csv_parser parser;
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        return ns_fail(m->err, NS_ERR_MEMORY, "out of memory while reading %s", m->source);
    }
    feed(m, &parser, text, size_bytes);
    csv_free(&parser);
    for (int i = 0; i < FIELD_COUNT; i++) {
        free(m->fields[i]);
    }
    return m->status;
}

/// The folder of the file `path`.
static void folder_of(const char *path, char out[NS_PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        (void)snprintf(out, NS_PATH_MAX, ".");
    } else {
        (void)snprintf(out, NS_PATH_MAX, "%.*s", (int)(slash == path ? 1 : slash - path), path);
    }
}

ns_status data__csv_list(const char *source, data__listing *listing, ns_error *err) {
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    NS_TRY(ns_file_read(source, DATA__FILE_BYTES_MAX, &bytes, &size_bytes, err));
    manifest m = {.source = source, .listing = listing, .err = err};
    folder_of(source, m.dir);
    const size_t mark = size_bytes >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    ns_status status = NS_OK;
    if (memchr(bytes, 0, size_bytes) != NULL) {
        status = ns_fail(err, NS_ERR_INPUT, "cannot import %s: it is not a text file", source);
    } else {
        status = parse(&m, (const char *)bytes + mark, size_bytes - mark);
    }
    free(bytes);
    if (status == NS_OK && listing->item_count == 0) {
        status = ns_fail(err, NS_ERR_INPUT, "cannot import %s: it is empty", source);
    }
    return status;
}
