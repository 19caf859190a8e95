// A CSV manifest without header, in the form of Google's AutoML:
//
//   TRAIN|VALIDATION|TEST|UNASSIGNED,path,label[,label...]
//
// When any line has several labels, or the caller says so, the set is a multi-label set, where an
// image may also have none: its line ends behind the path. A label named twice on a line counts
// once; empty fields at a line's end are nothing, as spreadsheets write them.
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

#define FIELDS_FIXED 2 // partition, path
#define FIELDS_MAX   (FIELDS_FIXED + DATA__IMAGE_LABELS_MAX)

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
    size_t bare_line;   // the first one without a label, 0: none
    char *fields[FIELDS_MAX];
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
    if (m->field_count < FIELDS_MAX) {
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

/// The record's labels, ascending in no order yet; those new to the listing are added.
static ns_status read_labels(manifest *m, size_t count, int labels[DATA__IMAGE_LABELS_MAX]) {
    for (size_t i = 0; i < count; i++) {
        const char *name = m->fields[FIELDS_FIXED + i];
        if (name[0] == 0) {
            return complain(m, "a label is empty");
        }
        const ns_status status = data__listing_label(m->listing, name, &labels[i], m->err);
        if (status != NS_OK) {
            ns_error_prefix(m->err, "cannot import %s: line %zu", m->source, m->record_line);
            return status;
        }
    }
    return NS_OK;
}

/// Whether two of the labels differ.
static bool are_several(const int *labels, size_t count) {
    for (size_t i = 1; i < count; i++) {
        if (labels[i] != labels[0]) {
            return true;
        }
    }
    return false;
}

static ns_status take_record(manifest *m) {
    uint8_t split = DATA__UNASSIGNED;
    int labels[DATA__IMAGE_LABELS_MAX] = {0};
    size_t count = m->field_count - FIELDS_FIXED;
    while (count > 0 && m->fields[FIELDS_FIXED + count - 1][0] == 0) {
        count--;
    }
    NS_TRY(parse_split(m, m->fields[0], &split));
    NS_TRY(check_file(m, m->fields[1]));
    NS_TRY(read_labels(m, count, labels));
    if (count == 0 && m->bare_line == 0) {
        m->bare_line = m->record_line;
    }
    m->listing->multi_label = m->listing->multi_label || are_several(labels, count);
    return data__listing_add_labels(m->listing, m->dir, m->fields[1], labels, count, split, m->err);
}

static ns_status check_field_count(manifest *m) {
    char reason[120];
    if (m->field_count < FIELDS_FIXED) {
        (void)snprintf(reason, sizeof(reason), "%zu fields instead of 3 (partition,path,label)",
                       m->field_count);
        return complain(m, reason);
    }
    if (m->field_count > FIELDS_MAX) {
        (void)snprintf(reason, sizeof(reason), "%zu labels, more than the %d an image may have",
                       m->field_count - FIELDS_FIXED, DATA__IMAGE_LABELS_MAX);
        return complain(m, reason);
    }
    return NS_OK;
}

static void on_record(int end, void *context) {
    manifest *m = context;
    (void)end;
    if (m->status == NS_OK) {
        m->status = check_field_count(m);
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
    for (int i = 0; i < FIELDS_MAX; i++) {
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

/// What only the last line can tell: whether lines without a label are allowed.
static ns_status settle_labels(manifest *m) {
    data__listing *listing = m->listing;
    if (listing->multi_label) {
        return NS_OK;
    }
    if (m->bare_line > 0) {
        m->record_line = m->bare_line;
        return complain(m, "the label is empty");
    }
    for (size_t i = 0; i < listing->item_count; i++) {
        free(listing->items[i].labels);
        listing->items[i].labels = NULL;
        listing->items[i].label_count = 0;
    }
    return NS_OK;
}

ns_status data__csv_list(const char *source, data__listing *listing, ns_error *err) {
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    NS_TRY(ns_file_read(source, DATA__FILE_BYTES_MAX, &bytes, &size_bytes, err));
    manifest m = {.source = source, .listing = listing, .err = err};
    listing->multi_label = listing->options != NULL && listing->options->multi_label;
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
    return status == NS_OK ? settle_labels(&m) : status;
}
