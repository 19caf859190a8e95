// The form of Open Images (Kuznetsova et al. 2020), in a folder or an archive: boxes in photographs,
// each of which becomes an image.
//
//   class-descriptions-boxable.csv      /m/01yrx,Cat        no header
//   train-annotations-bbox.csv          ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,...
//   validation-... and test-...         for the splits; any other name: unassigned
//   train/ID.jpg, images/train/ID.jpg, images/ID.jpg or ID.jpg
//
// Edges of boxes are fractions of the photograph's sides. A box that is degenerate or whose
// photograph is missing is listed as left out. Boxes of a photograph that follow each other are cut
// out of one decoding.

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/data_internal.h"

#define TOLD_BOXES 2048 // between two questions whether to go on

typedef struct class_row {
    char *id, *name;
    bool wanted;
} class_row;

enum { COLUMN_IMAGE, COLUMN_LABEL, COLUMN_LEFT, COLUMN_RIGHT, COLUMN_TOP, COLUMN_BOTTOM, COLUMNS };

typedef struct open_images {
    const data__place *place;
    data__listing *listing;
    class_row *classes; // ascending by id
    size_t class_count, class_capacity;
} open_images;

static ns_status no_memory(ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "out of memory");
}

/// What is done with each record of a CSV file; `context` is the caller's. The reason names neither
/// file nor line.
typedef ns_status (*record_fn)(void *context, const data__csv *csv, ns_error *err);

static ns_status use_records(data__csv *csv, record_fn use, void *context, ns_error *err) {
    for (;;) {
        bool at_end = false;
        NS_TRY(data__csv_next(csv, &at_end, err));
        if (at_end) {
            return NS_OK;
        }
        const ns_status status = use(context, csv, err);
        if (status == NS_ERR_INPUT) {
            ns_error_prefix(err, "line %zu", data__csv_line(csv));
        }
        NS_TRY(status);
    }
}

/// Reads the CSV file `name` to its end.
static ns_status each_record(const data__place *place, const char *name, record_fn use,
                             void *context, ns_error *err) {
    char shown[DATA__SHOWN_MAX];
    data__csv *csv = NULL;
    data__place_show(place, name, shown);
    const data__file file = {place, name, shown};
    NS_TRY(data__csv_open_file(&file, &csv, err));
    const ns_status status = use_records(csv, use, context, err);
    data__csv_close(csv);
    if (status != NS_OK && status != NS_ERR_STOPPED) {
        ns_error_prefix(err, "cannot import %s", shown);
    }
    return status;
}

/* ---- classes --------------------------------------------------------------------------------- */

bool data__openimages_is_classes(const char *name) {
    return strncmp(name, "class-descriptions", 18) == 0 && data__format_is_csv(name);
}

static ns_status add_class(void *context, const data__csv *csv, ns_error *err) {
    open_images *set = context;
    if (data__csv_field_count(csv) != 2) {
        return ns_fail(err, NS_ERR_INPUT, "%zu fields instead of 2 (LabelName,DisplayName)",
                       data__csv_field_count(csv));
    }
    if (set->class_count == set->class_capacity) {
        const size_t capacity = set->class_capacity == 0 ? 64 : 2 * set->class_capacity;
        class_row *grown = realloc(set->classes, capacity * sizeof(*grown));
        if (grown == NULL) {
            return no_memory(err);
        }
        set->classes = grown;
        set->class_capacity = capacity;
    }
    class_row *row = &set->classes[set->class_count++];
    *row =
        (class_row){.id = strdup(data__csv_field(csv, 0)), .name = strdup(data__csv_field(csv, 1))};
    return row->id != NULL && row->name != NULL ? NS_OK : no_memory(err);
}

static int compare_classes(const void *a, const void *b) {
    return strcmp(((const class_row *)a)->id, ((const class_row *)b)->id);
}

static class_row *find_class(const open_images *set, const char *id) {
    const class_row key = {.id = (char *)id};
    return set->class_count == 0
               ? NULL
               : bsearch(&key, set->classes, set->class_count, sizeof(key), compare_classes);
}

/// Marks the classes that the comma-separated list names; all of them when it is NULL.
static ns_status mark_wanted(open_images *set, const char *list, ns_error *err) {
    for (const char *at = list; at != NULL && *at != 0; at += strcspn(at, ","), at += *at == ',') {
        const size_t length = strcspn(at, ",");
        bool found = false;
        for (size_t i = 0; i < set->class_count; i++) {
            class_row *row = &set->classes[i];
            if (strlen(row->name) == length && strncasecmp(row->name, at, length) == 0) {
                row->wanted = found = true;
            }
        }
        if (!found) {
            return ns_fail(err, NS_ERR_INPUT, "cannot import %s: it has no class '%.*s'",
                           set->listing->source, (int)length, at);
        }
    }
    for (size_t i = 0; i < set->class_count; i++) {
        set->classes[i].wanted = set->classes[i].wanted || list == NULL;
    }
    return NS_OK;
}

/* ---- photographs ----------------------------------------------------------------------------- */

typedef struct annotations {
    open_images *set;
    const char *name; // of the file
    uint8_t split;
    size_t columns[COLUMNS];
    size_t column_count;  // 0: the header is still to come
    char id[NS_PATH_MAX]; // of the photograph that was looked for last, "" at first; boxes of one
                          // come one after the other
    char photo[NS_PATH_MAX];
    bool has_photo;
} annotations;

/// The name of the photograph `id`; false when there is none.
static bool find_photo(const annotations *of, const char *id, char out[NS_PATH_MAX]) {
    static const char *const endings[] = {"jpg", "png", "jpeg"};
    const data__place *place = of->set->place;
    char below[32] = "";
    if (strpbrk(id, "/\\") != NULL) {
        return false;
    }
    if (of->split < DATA_SPLIT_COUNT) {
        (void)snprintf(below, sizeof(below), "%s/", data_split_name((data_split)of->split));
    }
    for (size_t e = 0; e < NS_COUNT_OF(endings); e++) {
        const char *const folders[][2] = {
            {"", below}, {"images/", below}, {"images/", ""}, {"", ""}};
        for (size_t f = 0; f < NS_COUNT_OF(folders); f++) {
            const int length = snprintf(out, NS_PATH_MAX, "%s%s%s.%s", folders[f][0], folders[f][1],
                                        id, endings[e]);
            if (length < NS_PATH_MAX && place->holds(place, out)) {
                return true;
            }
        }
    }
    return false;
}

/// The same, kept for the boxes that come.
static bool look_for_photo(annotations *of, const char *id) {
    if (id[0] == 0 || strcmp(id, of->id) != 0) {
        (void)snprintf(of->id, sizeof(of->id), "%s", id);
        of->has_photo = find_photo(of, of->id, of->photo);
    }
    return of->has_photo;
}

/* ---- annotations ----------------------------------------------------------------------------- */

static ns_status read_columns(annotations *of, const data__csv *csv, ns_error *err) {
    static const char *const names[COLUMNS] = {"ImageID", "LabelName", "XMin",
                                               "XMax",    "YMin",      "YMax"};
    of->column_count = data__csv_field_count(csv);
    for (size_t c = 0; c < COLUMNS; c++) {
        size_t i = 0;
        while (i < of->column_count && strcasecmp(data__csv_field(csv, i), names[c]) != 0) {
            i++;
        }
        if (i == of->column_count) {
            return ns_fail(err, NS_ERR_INPUT, "its header has no column '%s'", names[c]);
        }
        of->columns[c] = i;
    }
    return NS_OK;
}

static bool read_edge(const annotations *of, const data__csv *csv, int column, double *out) {
    const char *text = data__csv_field(csv, of->columns[column]);
    char *end = NULL;
    *out = strtod(text, &end);
    return end != text && *end == 0 && *out >= 0 && *out <= 1;
}

static bool parse_box(const annotations *of, const data__csv *csv, data__box *out) {
    return read_edge(of, csv, COLUMN_LEFT, &out->left) &&
           read_edge(of, csv, COLUMN_RIGHT, &out->right) &&
           read_edge(of, csv, COLUMN_TOP, &out->top) &&
           read_edge(of, csv, COLUMN_BOTTOM, &out->bottom) && out->left < out->right &&
           out->top < out->bottom;
}

static ns_status leave_out(const annotations *of, const data__csv *csv, const char *reason,
                           ns_error *err) {
    char name[NS_PATH_MAX];
    (void)snprintf(name, sizeof(name), "%s line %zu (%s)", of->name, data__csv_line(csv),
                   data__csv_field(csv, of->columns[COLUMN_IMAGE]));
    return data__listing_skip(of->set->listing, name, reason, err);
}

static ns_status add_box(annotations *of, const data__csv *csv, const class_row *class,
                         ns_error *err) {
    data__listing *listing = of->set->listing;
    data__box box;
    int label;
    if (!parse_box(of, csv, &box)) {
        return leave_out(of, csv, "its box is degenerate or outside of the image", err);
    }
    if (!look_for_photo(of, data__csv_field(csv, of->columns[COLUMN_IMAGE]))) {
        return leave_out(of, csv, "its image is missing", err);
    }
    NS_TRY(data__listing_label(listing, class->name, &label, err));
    NS_TRY(data__listing_add(listing, of->set->place->dir, of->photo, label, of->split, err));
    return data__listing_crop(listing, &box, err);
}

static ns_status take_record(void *context, const data__csv *csv, ns_error *err) {
    annotations *of = context;
    const data__listing *listing = of->set->listing;
    if (of->column_count == 0) {
        return read_columns(of, csv, err);
    }
    if (data__csv_field_count(csv) != of->column_count) {
        return ns_fail(err, NS_ERR_INPUT, "%zu fields instead of %zu", data__csv_field_count(csv),
                       of->column_count);
    }
    const class_row *class = find_class(of->set, data__csv_field(csv, of->columns[COLUMN_LABEL]));
    if (class == NULL) {
        return leave_out(of, csv, "its class has no description", err);
    }
    if (data__csv_line(csv) % TOLD_BOXES == 0) {
        NS_TRY(data__import_tell(listing->options, listing->source,
                                 (data_progress){DATA_STEP_LIST, listing->item_count, 0}, err));
    }
    return class->wanted ? add_box(of, csv, class, err) : NS_OK;
}

static uint8_t split_of(const char *name) {
    return strstr(name, "train") != NULL        ? DATA_TRAIN
           : strstr(name, "validation") != NULL ? DATA_VALIDATION
           : strstr(name, "test") != NULL       ? DATA_TEST
                                                : DATA__UNASSIGNED;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static ns_status read_classes(open_images *set, char **names, size_t count, ns_error *err) {
    for (size_t i = 0; i < count; i++) {
        if (data__openimages_is_classes(names[i])) {
            NS_TRY(each_record(set->place, names[i], add_class, set, err));
        }
    }
    if (set->class_count == 0) {
        return ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds no class-descriptions*.csv",
                       set->listing->source);
    }
    qsort(set->classes, set->class_count, sizeof(*set->classes), compare_classes);
    return mark_wanted(set, set->listing->options->classes, err);
}

static ns_status read_boxes(open_images *set, char **names, size_t count, ns_error *err) {
    for (size_t i = 0; i < count; i++) {
        if (strstr(names[i], "annotations-bbox") == NULL || !data__format_is_csv(names[i])) {
            continue;
        }
        annotations of = {.set = set, .name = names[i], .split = split_of(names[i])};
        NS_TRY(each_record(set->place, names[i], take_record, &of, err));
    }
    return set->listing->label_count > 0
               ? NS_OK
               : ns_fail(err, NS_ERR_INPUT,
                         "cannot import %s: no *annotations-bbox*.csv there has a usable box of "
                         "these classes",
                         set->listing->source);
}

ns_status data__openimages_list(const data__place *place, data__listing *listing, ns_error *err) {
    char **names = NULL;
    size_t count = 0;
    open_images set = {.place = place, .listing = listing};
    NS_TRY(place->names(place, &names, &count, err));
    ns_status status = read_classes(&set, names, count, err);
    if (status == NS_OK) {
        status = read_boxes(&set, names, count, err);
    }
    for (size_t i = 0; i < set.class_count; i++) {
        free(set.classes[i].id);
        free(set.classes[i].name);
    }
    free(set.classes);
    data__names_free(names, count);
    return status;
}
