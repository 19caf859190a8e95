// Images written out as numbers in a CSV file with a header, in the two forms that are about:
//
//   emotion,pixels,Usage                      FER2013's: the numbers of an image in one column,
//   0,70 80 82 72 ... 106,Training            separated by spaces (Goodfellow et al. 2013)
//
//   label,pixel0,pixel1,...,pixel783          Kaggle's: one column a number; these may also be
//   5,0,0,...,0                               called 1x1, 1x2, ...
//
// The label is in a column `label` or `emotion`, the split in `Usage`, where there is one:
// Training, PublicTest (validation), PrivateTest (test), or a split's own name; other columns do
// not matter. Without a header the first column is the label and all others are pixels. Numbers are
// whole, 0 to 255; every image has as many as the first; colour is (H, W, 3).
//
// The file is read twice, first to check every line, then for the pixels: one record is in memory at
// a time, beside some bytes of what each line was, and a mistake on the last line of millions is
// found before anything is listed.

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/data_internal.h"

#define NOWHERE    SIZE_MAX // of a column that is not there
#define TOLD_LINES 4096     // between two questions whether to go on
#define VALUES_MAX ((size_t)DATA__SIDE_MAX * DATA__SIDE_MAX * 3)

/// What the columns are.
typedef struct pixel_layout {
    bool has_header;
    size_t column_count;
    size_t label_at, split_at;        // split_at may be NOWHERE
    size_t pixels_at, pixels_columns; // one column: numbers separated by spaces
} pixel_layout;

/// What a record says beside its pixels.
typedef struct pixel_record {
    uint32_t line;
    uint16_t label; // an index into the listing's labels before they are sorted
    uint8_t split;
} pixel_record;

typedef struct pixel_run {
    data__file file;
    data__csv *csv; // NULL: not open
    pixel_layout layout;
    uint8_t *values; // (value_capacity), the numbers of one image
    size_t value_count, value_capacity;
    int channels, height, width; // of the images: all have one shape
    pixel_record *records;       // (record_count), while listing
    size_t record_count, record_capacity;
    size_t next; // the record at hand, while reading
} pixel_run;

static ns_status complain(const pixel_run *run, const char *reason, ns_error *err) {
    return ns_fail(err, NS_ERR_INPUT, "cannot import %s: line %zu: %s", run->file.shown,
                   data__csv_line(run->csv), reason);
}

static ns_status no_memory(const pixel_run *run, ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", run->file.shown);
}

/* ---- columns --------------------------------------------------------------------------------- */

/// One or more digits at `*text`, which moves past them.
static bool skip_digits(const char **text) {
    const char *start = *text;
    *text += strspn(start, "0123456789");
    return *text > start;
}

static bool is_number(const char *text) {
    return skip_digits(&text) && *text == 0;
}

/// "pixel0", "pixel_0", "p0", "1x1".
static bool names_pixel(const char *name) {
    if (strncasecmp(name, "pixel", 5) == 0) {
        name += 5 + (name[5] == '_');
        return is_number(name);
    }
    if (name[0] == 'p' || name[0] == 'P') {
        return is_number(name + 1);
    }
    return skip_digits(&name) && (*name == 'x' || *name == 'X') && is_number(name + 1);
}

/// Whether the record is all numbers, as the first one of a file without header.
static bool is_headless(const data__csv *csv, pixel_layout *out) {
    const size_t count = data__csv_field_count(csv);
    for (size_t i = 0; i < count; i++) {
        if (!is_number(data__csv_field(csv, i))) {
            return false;
        }
    }
    *out = (pixel_layout){
        .column_count = count, .split_at = NOWHERE, .pixels_at = 1, .pixels_columns = count - 1};
    return count > 1;
}

static const char *const no_header =
    "it is no header with a column 'label' or 'emotion', and a column 'pixels' or columns "
    "'pixel0', 'pixel1', ... side by side";

/// Finds the columns in the header; false when they are not there.
static bool read_header(const data__csv *csv, pixel_layout *out) {
    *out = (pixel_layout){.has_header = true,
                          .column_count = data__csv_field_count(csv),
                          .label_at = NOWHERE,
                          .split_at = NOWHERE,
                          .pixels_at = NOWHERE};
    for (size_t i = 0; i < out->column_count; i++) {
        const char *name = data__csv_field(csv, i);
        if (strcasecmp(name, "label") == 0 || strcasecmp(name, "emotion") == 0) {
            out->label_at = i;
        } else if (strcasecmp(name, "usage") == 0) {
            out->split_at = i;
        } else if (strcasecmp(name, "pixels") == 0 || names_pixel(name)) {
            out->pixels_at = out->pixels_at == NOWHERE ? i : out->pixels_at;
            if (i != out->pixels_at + out->pixels_columns++) {
                return false; // not side by side
            }
        }
    }
    return out->label_at != NOWHERE && out->pixels_at != NOWHERE;
}

/* ---- one record ------------------------------------------------------------------------------ */

static ns_status parse_split(const pixel_run *run, const char *text, uint8_t *out, ns_error *err) {
    static const struct {
        const char *name;
        uint8_t split;
    } names[] = {{"Training", DATA_TRAIN},
                 {"PublicTest", DATA_VALIDATION},
                 {"PrivateTest", DATA_TEST},
                 {"Unassigned", DATA__UNASSIGNED},
                 {"", DATA__UNASSIGNED}};
    for (size_t i = 0; i < NS_COUNT_OF(names); i++) {
        if (strcasecmp(text, names[i].name) == 0) {
            *out = names[i].split;
            return NS_OK;
        }
    }
    data_split split;
    if (data_split_parse(text, &split, NULL) == NS_OK) {
        *out = (uint8_t)split;
        return NS_OK;
    }
    char reason[NS_ERROR_TEXT_MAX];
    (void)snprintf(reason, sizeof(reason),
                   "unknown Usage '%.80s' (Training, PublicTest or PrivateTest)", text);
    return complain(run, reason, err);
}

static ns_status grow_values(pixel_run *run, ns_error *err) {
    const size_t capacity = run->value_capacity == 0 ? 4096 : 2 * run->value_capacity;
    uint8_t *grown = realloc(run->values, capacity);
    if (grown == NULL) {
        return no_memory(run, err);
    }
    run->values = grown;
    run->value_capacity = capacity;
    return NS_OK;
}

static ns_status not_a_pixel(const pixel_run *run, const char *text, ns_error *err) {
    char reason[NS_ERROR_TEXT_MAX];
    (void)snprintf(reason, sizeof(reason), "'%.*s' is no pixel (a whole number from 0 to 255)",
                   (int)strcspn(text, " "), text);
    return complain(run, reason, err);
}

/// Appends the numbers of `text`, separated by spaces, to the values.
static ns_status parse_values(pixel_run *run, const char *text, size_t *count, ns_error *err) {
    for (const char *at = text + strspn(text, " "); *at != 0; at += strspn(at, " ")) {
        const char *start = at;
        unsigned value = 0;
        while (*at >= '0' && *at <= '9' && value <= UINT8_MAX) {
            value = 10 * value + (unsigned)(*at++ - '0');
        }
        if (at == start || value > UINT8_MAX || (*at != ' ' && *at != 0)) {
            return not_a_pixel(run, start, err);
        }
        if (*count == run->value_capacity) {
            if (*count >= VALUES_MAX) {
                return complain(run, "it has too many pixels", err);
            }
            NS_TRY(grow_values(run, err));
        }
        run->values[(*count)++] = (uint8_t)value;
    }
    return NS_OK;
}

/// The record's pixels into run->values; all records have as many as the first.
static ns_status parse_pixels(pixel_run *run, ns_error *err) {
    const pixel_layout *layout = &run->layout;
    char reason[120];
    size_t count = 0;
    for (size_t i = 0; i < layout->pixels_columns; i++) {
        const char *text = data__csv_field(run->csv, layout->pixels_at + i);
        const size_t before = count;
        NS_TRY(parse_values(run, text, &count, err));
        if (layout->pixels_columns > 1 && count != before + 1) {
            (void)snprintf(reason, sizeof(reason), "field %zu holds %zu numbers instead of one",
                           layout->pixels_at + i + 1, count - before);
            return complain(run, reason, err);
        }
    }
    if (run->value_count == 0) {
        run->value_count = count;
    }
    if (count == 0 || count != run->value_count) {
        (void)snprintf(reason, sizeof(reason), "%zu pixels instead of %zu", count,
                       run->value_count);
        return complain(run, count == 0 ? "it has no pixels" : reason, err);
    }
    return NS_OK;
}

static ns_status check_fields(const pixel_run *run, ns_error *err) {
    char reason[80];
    const size_t field_count = data__csv_field_count(run->csv);
    (void)snprintf(reason, sizeof(reason), "%zu fields instead of %zu", field_count,
                   run->layout.column_count);
    return field_count == run->layout.column_count ? NS_OK : complain(run, reason, err);
}

/// The record's label and split, and its pixels into run->values.
static ns_status parse_record(pixel_run *run, data__listing *listing, pixel_record *out,
                              ns_error *err) {
    const pixel_layout *layout = &run->layout;
    NS_TRY(check_fields(run, err));
    const char *name = data__csv_field(run->csv, layout->label_at);
    if (name[0] == 0) {
        return complain(run, "the label is empty", err);
    }
    int label = 0;
    out->line = (uint32_t)data__csv_line(run->csv);
    out->split = DATA__UNASSIGNED;
    if (layout->split_at != NOWHERE) {
        NS_TRY(parse_split(run, data__csv_field(run->csv, layout->split_at), &out->split, err));
    }
    const ns_status status = data__listing_label(listing, name, &label, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s: line %zu", run->file.shown,
                        data__csv_line(run->csv));
        return status;
    }
    out->label = (uint16_t)label;
    return parse_pixels(run, err);
}

/* ---- first pass: check ----------------------------------------------------------------------- */

static ns_status next_record(const pixel_run *run, bool *at_end, ns_error *err) {
    const ns_status status = data__csv_next(run->csv, at_end, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", run->file.shown);
    }
    return status;
}

/// Opens the file and goes to its first image.
static ns_status begin(pixel_run *run, bool *at_end, ns_error *err) {
    data__csv_close(run->csv);
    run->csv = NULL;
    NS_TRY(data__csv_open_file(&run->file, &run->csv, err));
    NS_TRY(next_record(run, at_end, err));
    if (*at_end) {
        return ns_fail(err, NS_ERR_INPUT, "cannot import %s: it is empty", run->file.shown);
    }
    if (is_headless(run->csv, &run->layout)) {
        return NS_OK;
    }
    return read_header(run->csv, &run->layout) ? next_record(run, at_end, err)
                                               : complain(run, no_header, err);
}

static ns_status keep_record(pixel_run *run, const pixel_record *record, ns_error *err) {
    if (run->record_count == run->record_capacity) {
        const size_t capacity = run->record_capacity == 0 ? 1024 : 2 * run->record_capacity;
        pixel_record *grown =
            capacity > DATA__IMAGES_MAX ? NULL : realloc(run->records, capacity * sizeof(*grown));
        if (grown == NULL) {
            return no_memory(run, err);
        }
        run->records = grown;
        run->record_capacity = capacity;
    }
    run->records[run->record_count++] = *record;
    return NS_OK;
}

static ns_status check_all(pixel_run *run, data__listing *listing, ns_error *err) {
    bool at_end = false;
    NS_TRY(begin(run, &at_end, err));
    while (!at_end) {
        pixel_record record;
        NS_TRY(parse_record(run, listing, &record, err));
        NS_TRY(keep_record(run, &record, err));
        if (listing->options != NULL && run->record_count % TOLD_LINES == 0) {
            NS_TRY(data__import_tell(listing->options, run->file.shown,
                                     (data_progress){DATA_STEP_LIST, run->record_count, 0}, err));
        }
        NS_TRY(next_record(run, &at_end, err));
    }
    return run->record_count > 0
               ? NS_OK
               : ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds no image", run->file.shown);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/// The side of a square of `count` pixels, or 0.
static int square_side(size_t count) {
    for (int side = 1; side <= DATA__SIDE_MAX && (size_t)side * (size_t)side <= count; side++) {
        if ((size_t)side * (size_t)side == count) {
            return side;
        }
    }
    return 0;
}

/// The shape of the images: as the size asked for, else square; grey, else colour. A number is
/// never a square and thrice a square at once.
static ns_status choose_shape(pixel_run *run, const data_import_options *options, ns_error *err) {
    const size_t width = options != NULL ? (size_t)options->width : 0;
    const size_t height = options != NULL ? (size_t)options->height : 0;
    for (size_t channels = 1; channels <= 3; channels += 2) {
        const size_t count = run->value_count / channels;
        const bool as_asked = count == width * height;
        const int side = square_side(count);
        if (count * channels == run->value_count && (as_asked || side > 0)) {
            run->channels = (int)channels;
            run->width = as_asked ? (int)width : side;
            run->height = as_asked ? (int)height : side;
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_INPUT,
                   "cannot import %s: %zu numbers an image make no square, neither grey nor in "
                   "colour; say their size (--size WxH)",
                   run->file.shown, run->value_count);
}

/* ---- second pass: read ----------------------------------------------------------------------- */

/// Goes to record `index`, forward or from the start again.
static ns_status go_to(pixel_run *run, size_t index, ns_error *err) {
    bool at_end = false;
    if (run->csv == NULL || index < run->next) {
        NS_TRY(begin(run, &at_end, err));
        run->next = 0;
    }
    while (run->next < index && !at_end) {
        NS_TRY(next_record(run, &at_end, err));
        run->next++;
    }
    return !at_end ? NS_OK
                   : ns_fail(err, NS_ERR_INPUT, "cannot import %s: it changed while it was read",
                             run->file.shown);
}

static ns_status read_pixels(const data__listing *listing, size_t index, size_t bytes_max,
                             data__content *out, ns_error *err) {
    pixel_run *run = listing->reader;
    (void)bytes_max;
    NS_TRY(go_to(run, index, err));
    NS_TRY(check_fields(run, err));
    NS_TRY(parse_pixels(run, err));
    uint8_t *pixels = malloc(run->value_count);
    if (pixels == NULL) {
        return no_memory(run, err);
    }
    memcpy(pixels, run->values, run->value_count);
    out->image = (data_image){
        .width = run->width, .height = run->height, .channels = run->channels, .pixels = pixels};
    return NS_OK;
}

static ns_status list_records(const pixel_run *run, data__listing *listing, ns_error *err) {
    for (size_t i = 0; i < run->record_count; i++) {
        const pixel_record *record = &run->records[i];
        char name[32];
        (void)snprintf(name, sizeof(name), "line %u", record->line);
        NS_TRY(
            data__listing_add(listing, run->file.shown, name, record->label, record->split, err));
        listing->items[i].header = (data__image_header){.kind = DATA__KIND_PIXELS,
                                                        .width = run->width,
                                                        .height = run->height,
                                                        .channels = run->channels};
    }
    return NS_OK;
}

static void run_free(void *reader) {
    pixel_run *run = reader;
    data__csv_close(run->csv);
    free(run->records);
    free(run->values);
    free(run);
}

ns_status data__pixels_list(const data__file *file, data__listing *listing, ns_error *err) {
    pixel_run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", file->shown);
    }
    run->file = *file;
    listing->read = read_pixels;
    listing->reader = run;
    listing->reader_free = run_free;
    listing->in_order = true;
    NS_TRY(check_all(run, listing, err));
    NS_TRY(choose_shape(run, listing->options, err));
    NS_TRY(list_records(run, listing, err));
    free(run->records);
    run->records = NULL;
    run->next = SIZE_MAX; // begin again
    return NS_OK;
}

bool data__pixels_is(const data__file *file) {
    data__csv *csv = NULL;
    pixel_layout layout;
    bool at_end = false;
    if (data__csv_open_file(file, &csv, NULL) != NS_OK) {
        return false;
    }
    const bool yes = data__csv_next(csv, &at_end, NULL) == NS_OK && !at_end &&
                     (is_headless(csv, &layout) || read_header(csv, &layout));
    data__csv_close(csv);
    return yes;
}
