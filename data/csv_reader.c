// CSV records one by one, from a stream of any length in bounded memory.
//
// libcsv knows quotes. It is fed line by line, so that each record is known by the line on which it
// begins; what a record may hold is limited, so that a quote that is never closed does not collect
// the rest of the file.

#include <csv.h>
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

#define CHUNK_BYTES      (256u << 10)
#define RECORD_BYTES_MAX (64u << 20)
#define FIELDS_MAX       (3u << 20) // one column a number, of 1024x1024 pixels in colour
#define FIELD_BLOCK      (1u << 20) // by which libcsv grows a field: each time it may copy it all

struct data__csv {
    data__stream *stream; // owned
    struct csv_parser parser;
    char *chunk; // (CHUNK_BYTES), of which [at, end) is still to be parsed
    size_t at, end;
    bool at_start, ended; // of the stream
    bool after_cr;        // the last line ended in a carriage return: a newline belongs to it
    size_t line;          // being parsed, from 1
    ns_status status;     // of the callbacks; the first failure sticks
    ns_error *err;        // of the call under way
    // The record:
    bool complete;
    size_t record_line, record_bytes;
    char *text; // its fields, each ends in 0
    size_t text_used, text_size;
    uint32_t *starts; // (field_count), of the fields in `text`
    size_t field_count, field_capacity;
};

static ns_status no_memory(ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "out of memory");
}

ns_status data__csv_open(data__stream *stream, data__csv **out, ns_error *err) {
    data__csv *csv = calloc(1, sizeof(*csv));
    if (csv == NULL) {
        data__stream_close(stream);
        return no_memory(err);
    }
    csv->stream = stream;
    csv->at_start = true;
    csv->line = 1;
    csv->chunk = malloc(CHUNK_BYTES);
    if (csv->chunk == NULL || csv_init(&csv->parser, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        data__csv_close(csv);
        return no_memory(err);
    }
    csv_set_blk_size(&csv->parser, FIELD_BLOCK);
    *out = csv;
    return NS_OK;
}

ns_status data__csv_open_file(const data__file *file, data__csv **out, ns_error *err) {
    data__stream *stream = NULL;
    NS_TRY(data__file_open(file, &stream, err));
    const ns_status status = data__csv_open(stream, out, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", file->shown);
    }
    return status;
}

void data__csv_close(data__csv *csv) {
    if (csv == NULL) {
        return;
    }
    csv_free(&csv->parser);
    data__stream_close(csv->stream);
    free(csv->chunk);
    free(csv->text);
    free(csv->starts);
    free(csv);
}

/* ---- what libcsv calls ----------------------------------------------------------------------- */

static bool make_room(data__csv *csv, size_t size_bytes) {
    if (csv->text_size - csv->text_used < size_bytes) {
        const size_t size = 2 * (csv->text_used + size_bytes);
        char *grown = realloc(csv->text, size);
        if (grown == NULL) {
            return false;
        }
        csv->text = grown;
        csv->text_size = size;
    }
    if (csv->field_count == csv->field_capacity) {
        const size_t capacity = csv->field_capacity == 0 ? 16 : 2 * csv->field_capacity;
        uint32_t *grown = realloc(csv->starts, capacity * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        csv->starts = grown;
        csv->field_capacity = capacity;
    }
    return true;
}

static void on_field(void *bytes, size_t size_bytes, void *context) {
    data__csv *csv = context;
    if (csv->status != NS_OK) {
        return;
    }
    if (csv->field_count == FIELDS_MAX) {
        csv->status = ns_fail(csv->err, NS_ERR_INPUT, "it has more than %u fields", FIELDS_MAX);
        return;
    }
    if (!make_room(csv, size_bytes + 1)) {
        csv->status = no_memory(csv->err);
        return;
    }
    csv->starts[csv->field_count++] = (uint32_t)csv->text_used;
    if (size_bytes > 0) {
        memcpy(csv->text + csv->text_used, bytes, size_bytes);
    }
    csv->text_used += size_bytes;
    csv->text[csv->text_used++] = 0;
}

static void on_record(int end, void *context) {
    (void)end;
    ((data__csv *)context)->complete = true;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static ns_status refill(data__csv *csv) {
    csv->at = 0;
    NS_TRY(data__stream_read(csv->stream, csv->chunk, CHUNK_BYTES, &csv->end, csv->err));
    csv->ended = csv->end < CHUNK_BYTES;
    if (csv->at_start && csv->end >= 3 && memcmp(csv->chunk, "\xef\xbb\xbf", 3) == 0) {
        csv->at = 3; // the mark of UTF-8
    }
    csv->at_start = false;
    if (memchr(csv->chunk, 0, csv->end) != NULL) {
        return ns_fail(csv->err, NS_ERR_INPUT, "it is not a text file");
    }
    return NS_OK;
}

/// Bytes up to the end of the line, with it; or all there are. A record ends at a line's end, if
/// not at the stream's, so that parsing these completes at most one.
static size_t line_bytes(const data__csv *csv, bool *ends) {
    const char *start = csv->chunk + csv->at;
    size_t size_bytes = csv->end - csv->at;
    const char *newline = memchr(start, '\n', size_bytes);
    *ends = newline != NULL;
    size_bytes = newline != NULL ? (size_t)(newline - start) + 1 : size_bytes;
    const char *cr = memchr(start, '\r', size_bytes);
    *ends = *ends || cr != NULL;
    return cr != NULL ? (size_t)(cr - start) + 1 : size_bytes;
}

static bool is_blank(const char *text, size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; i++) {
        if (strchr(" \t\r\n", text[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static ns_status parse_line(data__csv *csv) {
    bool ends;
    const char *text = csv->chunk + csv->at;
    const size_t size_bytes = line_bytes(csv, &ends);
    const bool rest_of_cr = csv->after_cr && text[0] == '\n';
    if (csv->record_bytes == 0) {
        csv->record_line = csv->line;
    }
    if (csv->record_bytes > 0 || !is_blank(text, size_bytes)) {
        csv->record_bytes += size_bytes;
    }
    if (csv->record_bytes > RECORD_BYTES_MAX) {
        return ns_fail(csv->err, NS_ERR_INPUT,
                       "it is longer than %u MiB; is a quote not closed, or is it no CSV file?",
                       RECORD_BYTES_MAX >> 20);
    }
    const size_t parsed = csv_parse(&csv->parser, text, size_bytes, on_field, on_record, csv);
    if (csv->status == NS_OK && parsed != size_bytes) {
        return ns_fail(csv->err, NS_ERR_INPUT, "%s", csv_strerror(csv_error(&csv->parser)));
    }
    csv->line += ends && !rest_of_cr;
    csv->after_cr = text[size_bytes - 1] == '\r';
    csv->at += size_bytes;
    return csv->status;
}

/// Parses until a record is complete or the stream at its end.
static ns_status parse_record(data__csv *csv, bool *at_end) {
    *at_end = false;
    while (!csv->complete) {
        if (csv->at < csv->end) {
            NS_TRY(parse_line(csv));
        } else if (!csv->ended) {
            NS_TRY(refill(csv));
        } else if (csv_fini(&csv->parser, on_field, on_record, csv) != 0) {
            return csv->status != NS_OK ? csv->status
                                        : ns_fail(csv->err, NS_ERR_INPUT, "a quote is not closed");
        } else {
            *at_end = !csv->complete;
            return csv->status;
        }
    }
    return NS_OK;
}

ns_status data__csv_next(data__csv *csv, bool *at_end, ns_error *err) {
    csv->err = err;
    csv->complete = false;
    csv->text_used = 0;
    csv->field_count = 0;
    csv->record_bytes = 0;
    const ns_status status = parse_record(csv, at_end);
    if (status == NS_ERR_INPUT) {
        ns_error_prefix(err, "line %zu", csv->record_bytes > 0 ? csv->record_line : csv->line);
    }
    return status;
}

size_t data__csv_line(const data__csv *csv) {
    return csv->record_line;
}

size_t data__csv_field_count(const data__csv *csv) {
    return csv->field_count;
}

const char *data__csv_field(const data__csv *csv, size_t index) {
    return csv->text + csv->starts[index];
}
