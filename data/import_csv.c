// A CSV manifest without header, in the form of Google's AutoML:
//
//   TRAIN|VALIDATION|TEST|UNASSIGNED,path,label[,label...]
//
// When any line has several labels, or the caller says so, the set is a multi-label set, where an
// image may also have none: its line ends behind the path. A label named twice on a line counts
// once; empty fields at a line's end are nothing, as spreadsheets write them.
//
// Paths are relative to the manifest's own folder. It is read three times, so that a mistake on the
// last of millions of lines costs no memory: to check every line by itself, which is quick; to look
// for every file, which takes several times as long; and to list them.

#include <strings.h>

#include "data/data_internal.h"

enum { FIELD_PARTITION, FIELD_PATH, FIELDS_FIXED };

#define FIELDS_MAX (FIELDS_FIXED + DATA__IMAGE_LABELS_MAX)
#define TOLD_LINES 4096 // between two questions whether to go on

typedef struct manifest {
    const data__file *file;
    data__listing *listing;
    data__csv *csv;
    size_t bare_line; // the first one without a label, 0: none
    ns_error *err;
} manifest;

static ns_status complain(const manifest *m, const char *reason) {
    return ns_fail(m->err, NS_ERR_INPUT, "cannot import %s: line %zu: %s", m->file->shown,
                   data__csv_line(m->csv), reason);
}

static ns_status parse_split(const manifest *m, const char *text, uint8_t *out) {
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

static ns_status check_field_count(const manifest *m) {
    char reason[120];
    const size_t field_count = data__csv_field_count(m->csv);
    if (field_count < FIELDS_FIXED) {
        (void)snprintf(reason, sizeof(reason), "%zu fields instead of 3 (partition,path,label)",
                       field_count);
        return complain(m, reason);
    }
    if (field_count > FIELDS_MAX) {
        (void)snprintf(reason, sizeof(reason), "%zu labels, more than the %d an image may have",
                       field_count - FIELDS_FIXED, DATA__IMAGE_LABELS_MAX);
        return complain(m, reason);
    }
    return NS_OK;
}

static ns_status check_file(manifest *m) {
    char reason[NS_ERROR_TEXT_MAX];
    NS_TRY(check_field_count(m));
    const char *name = data__csv_field(m->csv, FIELD_PATH);
    if (m->file->place->holds(m->file->place, name)) {
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

/// What a line says beside its path; the labels ascend in no order yet.
typedef struct line_record {
    uint8_t split;
    int labels[DATA__IMAGE_LABELS_MAX];
    size_t label_count;
} line_record;

/// Labels new to the listing are added.
static ns_status read_labels(const manifest *m, line_record *out) {
    out->label_count = data__csv_field_count(m->csv) - FIELDS_FIXED;
    while (out->label_count > 0 &&
           data__csv_field(m->csv, FIELDS_FIXED + out->label_count - 1)[0] == 0) {
        out->label_count--;
    }
    out->labels[0] = 0;
    for (size_t i = 0; i < out->label_count; i++) {
        const char *name = data__csv_field(m->csv, FIELDS_FIXED + i);
        if (name[0] == 0) {
            return complain(m, "a label is empty");
        }
        const ns_status status = data__listing_label(m->listing, name, &out->labels[i], m->err);
        if (status != NS_OK) {
            ns_error_prefix(m->err, "cannot import %s: line %zu", m->file->shown,
                            data__csv_line(m->csv));
            return status;
        }
    }
    return NS_OK;
}

static ns_status read_record(const manifest *m, line_record *out) {
    NS_TRY(check_field_count(m));
    NS_TRY(parse_split(m, data__csv_field(m->csv, FIELD_PARTITION), &out->split));
    return read_labels(m, out);
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

static ns_status check_record(manifest *m) {
    line_record record;
    NS_TRY(read_record(m, &record));
    if (record.label_count == 0 && m->bare_line == 0) {
        m->bare_line = data__csv_line(m->csv);
    }
    m->listing->multi_label =
        m->listing->multi_label || are_several(record.labels, record.label_count);
    return NS_OK;
}

static ns_status list_record(manifest *m) {
    line_record record;
    NS_TRY(read_record(m, &record));
    const char *path = data__csv_field(m->csv, FIELD_PATH);
    return m->listing->multi_label
               ? data__listing_add_labels(m->listing, m->file->place->dir, path, record.labels,
                                          record.label_count, record.split, m->err)
               : data__listing_add(m->listing, m->file->place->dir, path, record.labels[0],
                                   record.split, m->err);
}

static ns_status each_record(manifest *m, ns_status (*use)(manifest *m)) {
    for (size_t count = 0;; count++) {
        bool at_end = false;
        const ns_status status = data__csv_next(m->csv, &at_end, m->err);
        if (status != NS_OK) {
            ns_error_prefix(m->err, "cannot import %s", m->file->shown);
            return status;
        }
        if (at_end) {
            return count > 0 ? NS_OK
                             : ns_fail(m->err, NS_ERR_INPUT, "cannot import %s: it is empty",
                                       m->file->shown);
        }
        NS_TRY(use(m));
        if (m->listing->options != NULL && count % TOLD_LINES == 0) {
            NS_TRY(data__import_tell(m->listing->options, m->file->shown,
                                     (data_progress){DATA_STEP_LIST, count + 1, 0}, m->err));
        }
    }
}

/// Reads the manifest from its beginning to its end.
static ns_status walk(manifest *m, ns_status (*use)(manifest *m)) {
    NS_TRY(data__csv_open_file(m->file, &m->csv, m->err));
    const ns_status status = each_record(m, use);
    data__csv_close(m->csv);
    m->csv = NULL;
    return status;
}

ns_status data__csv_list(const data__file *file, data__listing *listing, ns_error *err) {
    manifest m = {.file = file, .listing = listing, .err = err};
    listing->multi_label = listing->options != NULL && listing->options->multi_label;
    NS_TRY(walk(&m, check_record));
    if (m.bare_line > 0 && !listing->multi_label) { // only the last line can tell
        return ns_fail(err, NS_ERR_INPUT, "cannot import %s: line %zu: the label is empty",
                       file->shown, m.bare_line);
    }
    NS_TRY(walk(&m, check_file));
    return walk(&m, list_record);
}

bool data__csv_is(const data__file *file) {
    manifest m = {.file = file};
    bool at_end = false;
    uint8_t split;
    if (data__csv_open_file(file, &m.csv, NULL) != NS_OK) {
        return false;
    }
    const bool yes = data__csv_next(m.csv, &at_end, NULL) == NS_OK && !at_end &&
                     data__csv_field_count(m.csv) >= FIELDS_FIXED &&
                     parse_split(&m, data__csv_field(m.csv, FIELD_PARTITION), &split) == NS_OK;
    data__csv_close(m.csv);
    return yes;
}
