// A folder in the form of Open Images (Kuznetsova et al. 2020): boxes in photographs, each of which
// becomes an image.
//
//   class-descriptions-boxable.csv      /m/01yrx,Cat        no header
//   train-annotations-bbox.csv          ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,...
//   validation-... and test-...         for the splits; any other name: unassigned
//   train/ID.jpg, images/train/ID.jpg, images/ID.jpg or ID.jpg
//
// Edges of boxes are fractions of the photograph's sides. A box that is degenerate or whose
// photograph is missing is listed as left out. With several boxes, a photograph is decoded for each.

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/data_internal.h"

#define TOLD_BOXES   2048 // between two questions whether to go on
#define HEADER_BYTES 4096 // read of a photograph, when that is enough

typedef struct class_row {
    char *id, *name;
    bool wanted;
} class_row;

typedef struct box {
    double left, right, top, bottom; // in [0, 1]
} box;

enum { COLUMN_IMAGE, COLUMN_LABEL, COLUMN_LEFT, COLUMN_RIGHT, COLUMN_TOP, COLUMN_BOTTOM, COLUMNS };

typedef struct open_images {
    const char *source;
    class_row *classes; // ascending by id
    size_t class_count, class_capacity;
    size_t columns[COLUMNS];
    box *boxes; // of the listing's items
    size_t box_capacity;
} open_images;

static ns_status no_memory(const open_images *set, ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", set->source);
}

/// What is done with each record of a CSV file; `context` is the caller's.
typedef ns_status (*record_fn)(void *context, const data__csv *csv, ns_error *err);

static ns_status each_record(const char *path, record_fn use, void *context, ns_error *err) {
    data__disk_file disk;
    data__csv *csv = NULL;
    data__disk_file_set(&disk, path);
    NS_TRY(data__csv_open_file(&disk.file, &csv, err));
    ns_status status = NS_OK;
    while (status == NS_OK) {
        bool at_end = false;
        status = data__csv_next(csv, &at_end, err);
        if (status != NS_OK) {
            ns_error_prefix(err, "cannot import %s", path);
        } else if (at_end) {
            break;
        } else {
            status = use(context, csv, err);
        }
    }
    data__csv_close(csv);
    return status;
}

/* ---- classes --------------------------------------------------------------------------------- */

bool data__openimages_is_classes(const char *name) {
    return strncmp(name, "class-descriptions", 18) == 0 && data__format_is_csv(name);
}

static ns_status add_class(void *context, const data__csv *csv, ns_error *err) {
    open_images *set = context;
    if (data__csv_field_count(csv) != 2) {
        return ns_fail(err, NS_ERR_INPUT,
                       "cannot import %s: line %zu of its class descriptions has "
                       "%zu fields instead of 2 (LabelName,DisplayName)",
                       set->source, data__csv_line(csv), data__csv_field_count(csv));
    }
    if (set->class_count == set->class_capacity) {
        const size_t capacity = set->class_capacity == 0 ? 64 : 2 * set->class_capacity;
        class_row *grown = realloc(set->classes, capacity * sizeof(*grown));
        if (grown == NULL) {
            return no_memory(set, err);
        }
        set->classes = grown;
        set->class_capacity = capacity;
    }
    class_row *row = &set->classes[set->class_count++];
    *row =
        (class_row){.id = strdup(data__csv_field(csv, 0)), .name = strdup(data__csv_field(csv, 1))};
    return row->id != NULL && row->name != NULL ? NS_OK : no_memory(set, err);
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
                           set->source, (int)length, at);
        }
    }
    for (size_t i = 0; i < set->class_count; i++) {
        set->classes[i].wanted = set->classes[i].wanted || list == NULL;
    }
    return NS_OK;
}

/* ---- photographs ----------------------------------------------------------------------------- */

/// The path of the photograph `id` below the source; false when there is none.
static bool find_photo(const data__place *place, const char *id, uint8_t split,
                       char out[NS_PATH_MAX]) {
    static const char *const endings[] = {"jpg", "png", "jpeg"};
    static const char *const split_folders[] = {"train/", "validation/", "test/", ""};
    const char *name = split_folders[split];
    if (strpbrk(id, "/\\") != NULL) {
        return false;
    }
    for (size_t e = 0; e < NS_COUNT_OF(endings); e++) {
        const char *const folders[][2] = {{"", name}, {"images/", name}, {"images/", ""}, {"", ""}};
        for (size_t f = 0; f < NS_COUNT_OF(folders); f++) {
            (void)snprintf(out, NS_PATH_MAX, "%s%s%s.%s", folders[f][0], folders[f][1], id,
                           endings[e]);
            if (place->holds(place, out)) {
                return true;
            }
        }
    }
    return false;
}

static ns_status read_header(const char *path, data__image_header *out, ns_error *err) {
    for (size_t bytes_max = HEADER_BYTES;; bytes_max = SIZE_MAX) {
        data__content content = {0};
        NS_TRY(data__content_read(path, bytes_max, &content, err));
        const ns_status status = data__content_header(&content, out, err);
        const bool again = status == NS_ERR_INPUT && content.cut && bytes_max != SIZE_MAX;
        data__content_free(&content);
        if (!again) {
            return status;
        }
    }
}

/// The box in pixels of an image with these sides: at least one, and inside.
typedef struct pixel_box {
    int left, top, width, height;
} pixel_box;

static pixel_box to_pixels(const box *from, int width, int height) {
    const int left = data__clamp((int)floor(from->left * width), 0, width - 1);
    const int top = data__clamp((int)floor(from->top * height), 0, height - 1);
    return (pixel_box){
        .left = left,
        .top = top,
        .width = data__clamp((int)ceil(from->right * width), left + 1, width) - left,
        .height = data__clamp((int)ceil(from->bottom * height), top + 1, height) - top,
    };
}

static ns_status crop(data_image *image, const box *from, ns_error *err) {
    const pixel_box at = to_pixels(from, image->width, image->height);
    const size_t pixel_bytes = (size_t)image->channels;
    const size_t row_bytes = pixel_bytes * (size_t)at.width;
    uint8_t *pixels = malloc(row_bytes * (size_t)at.height);
    if (pixels == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    for (size_t y = 0; y < (size_t)at.height; y++) {
        const size_t first = ((size_t)at.top + y) * (size_t)image->width + (size_t)at.left;
        memcpy(pixels + y * row_bytes, image->pixels + first * pixel_bytes, row_bytes);
    }
    free(image->pixels);
    image->pixels = pixels;
    image->width = at.width;
    image->height = at.height;
    return NS_OK;
}

static ns_status read_box(const data__listing *listing, size_t index, size_t bytes_max,
                          data__content *out, ns_error *err) {
    const open_images *set = listing->reader;
    data__content photo = {0};
    (void)bytes_max;
    NS_TRY(data__content_read(listing->items[index].path, SIZE_MAX, &photo, err));
    ns_status status = data__content_decode(&photo, &out->image, err);
    if (status == NS_OK) {
        status = crop(&out->image, &set->boxes[index], err);
    }
    data__content_free(&photo);
    if (status != NS_OK) {
        data_image_free(&out->image);
    }
    return status;
}

/* ---- annotations ----------------------------------------------------------------------------- */

typedef struct annotations {
    open_images *set;
    data__listing *listing;
    const data__place *place;
    const char *name; // of the file
    uint8_t split;
    size_t column_count; // 0: the header is still to come
} annotations;

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
            return ns_fail(err, NS_ERR_INPUT, "cannot import %s/%s: its header has no column '%s'",
                           of->set->source, of->name, names[c]);
        }
        of->set->columns[c] = i;
    }
    return NS_OK;
}

static bool read_edge(const annotations *of, const data__csv *csv, int column, double *out) {
    const char *text = data__csv_field(csv, of->set->columns[column]);
    char *end = NULL;
    *out = strtod(text, &end);
    return end != text && *end == 0 && *out >= 0 && *out <= 1;
}

static bool parse_box(const annotations *of, const data__csv *csv, box *out) {
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
                   data__csv_field(csv, of->set->columns[COLUMN_IMAGE]));
    return data__listing_skip(of->listing, name, reason, err);
}

/// Keeps the box of the item that was added last, and what its image will be.
static ns_status keep_box(const annotations *of, const box *from, const data__image_header *photo,
                          ns_error *err) {
    open_images *set = of->set;
    const size_t index = of->listing->item_count - 1;
    if (index >= set->box_capacity) {
        const size_t capacity = 2 * (index + 32);
        box *grown = realloc(set->boxes, capacity * sizeof(*grown));
        if (grown == NULL) {
            return no_memory(set, err);
        }
        set->boxes = grown;
        set->box_capacity = capacity;
    }
    set->boxes[index] = *from;
    const pixel_box at = to_pixels(from, photo->width, photo->height);
    of->listing->items[index].header = (data__image_header){.kind = DATA__KIND_PIXELS,
                                                            .width = at.width,
                                                            .height = at.height,
                                                            .channels = photo->channels};
    return NS_OK;
}

static ns_status add_box(const annotations *of, const data__csv *csv, const class_row *class,
                         ns_error *err) {
    char name[NS_PATH_MAX];
    char path[NS_PATH_MAX];
    box from;
    int label;
    data__image_header photo = {0};
    ns_error reason;
    if (!parse_box(of, csv, &from)) {
        return leave_out(of, csv, "its box is degenerate or outside of the image", err);
    }
    if (!find_photo(of->place, data__csv_field(csv, of->set->columns[COLUMN_IMAGE]), of->split,
                    name)) {
        return leave_out(of, csv, "its image is missing", err);
    }
    NS_TRY(ns_path_join(of->set->source, name, path, err));
    if (read_header(path, &photo, &reason) != NS_OK) {
        return leave_out(of, csv, reason.text, err);
    }
    NS_TRY(data__listing_label(of->listing, class->name, &label, err));
    NS_TRY(data__listing_add(of->listing, of->set->source, name, label, of->split, err));
    return keep_box(of, &from, &photo, err);
}

static ns_status take_record(void *context, const data__csv *csv, ns_error *err) {
    annotations *of = context;
    if (of->column_count == 0) {
        return read_columns(of, csv, err);
    }
    if (data__csv_field_count(csv) != of->column_count) {
        return ns_fail(err, NS_ERR_INPUT,
                       "cannot import %s/%s: line %zu: %zu fields instead of %zu", of->set->source,
                       of->name, data__csv_line(csv), data__csv_field_count(csv), of->column_count);
    }
    const char *id = data__csv_field(csv, of->set->columns[COLUMN_LABEL]);
    const class_row *class = find_class(of->set, id);
    if (class == NULL) {
        return leave_out(of, csv, "its class has no description", err);
    }
    if (data__csv_line(csv) % TOLD_BOXES == 0) {
        NS_TRY(data__import_tell(of->listing->options, of->set->source,
                                 (data_progress){DATA_STEP_LIST, of->listing->item_count, 0}, err));
    }
    return class->wanted ? add_box(of, csv, class, err) : NS_OK;
}

static uint8_t split_of(const char *name) {
    return strstr(name, "train") != NULL        ? DATA_TRAIN
           : strstr(name, "validation") != NULL ? DATA_VALIDATION
           : strstr(name, "test") != NULL       ? DATA_TEST
                                                : DATA__UNASSIGNED;
}

/* ---- the folder ------------------------------------------------------------------------------ */

static ns_status read_classes(open_images *set, char **names, size_t count, ns_error *err) {
    for (size_t i = 0; i < count; i++) {
        char path[NS_PATH_MAX];
        if (data__openimages_is_classes(names[i])) {
            NS_TRY(ns_path_join(set->source, names[i], path, err));
            NS_TRY(each_record(path, add_class, set, err));
        }
    }
    if (set->class_count == 0) {
        return ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds no class-descriptions*.csv",
                       set->source);
    }
    qsort(set->classes, set->class_count, sizeof(*set->classes), compare_classes);
    return NS_OK;
}

static ns_status read_boxes(open_images *set, data__listing *listing, char **names, size_t count,
                            ns_error *err) {
    const data__place place = data__place_folder(set->source);
    for (size_t i = 0; i < count; i++) {
        char path[NS_PATH_MAX];
        if (strstr(names[i], "annotations-bbox") == NULL || !data__format_is_csv(names[i])) {
            continue;
        }
        annotations of = {.set = set,
                          .listing = listing,
                          .place = &place,
                          .name = names[i],
                          .split = split_of(names[i])};
        NS_TRY(ns_path_join(set->source, names[i], path, err));
        NS_TRY(each_record(path, take_record, &of, err));
    }
    return listing->label_count > 0
               ? NS_OK
               : ns_fail(err, NS_ERR_INPUT,
                         "cannot import %s: no *annotations-bbox*.csv there has a usable box of "
                         "these classes",
                         set->source);
}

static void set_free(void *reader) {
    open_images *set = reader;
    for (size_t i = 0; i < set->class_count; i++) {
        free(set->classes[i].id);
        free(set->classes[i].name);
    }
    free(set->classes);
    free(set->boxes);
    free(set);
}

ns_status data__openimages_list(const char *source, data__listing *listing, ns_error *err) {
    char **names = NULL;
    size_t count = 0;
    open_images *set = calloc(1, sizeof(*set));
    if (set == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", source);
    }
    set->source = source;
    listing->read = read_box;
    listing->reader = set;
    listing->reader_free = set_free;
    NS_TRY(data__dir_names(source, &names, &count, err));
    ns_status status = read_classes(set, names, count, err);
    if (status == NS_OK) {
        status = mark_wanted(set, listing->options->classes, err);
    }
    if (status == NS_OK) {
        status = read_boxes(set, listing, names, count, err);
    }
    data__names_free(names, count);
    return status;
}
