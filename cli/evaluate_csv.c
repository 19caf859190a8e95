// What evaluate writes beside its figures: the confusion matrix and the answers themselves, as CSV
// (RFC 4180). Both may be large, so they are written a line at a time, never held.

#include <math.h>
#include <stdlib.h>

#include "cli/evaluate.h"

/// A file that is being written by lines; the first failure is kept.
typedef struct csv {
    ns_atomic_file *file;
    FILE *line; // what is not in the file yet
    char *text; // the buffer of `line`
    size_t size_bytes;
    ns_status status;
    ns_error *err;
} csv;

static ns_status csv_open(csv *c, const char *path, ns_error *err) {
    *c = (csv){.err = err};
    NS_TRY(ns_atomic_open(path, &c->file, err));
    c->line = open_memstream(&c->text, &c->size_bytes);
    if (c->line == NULL) {
        ns_atomic_abort(c->file);
        return ns_fail(err, NS_ERR_MEMORY, "cannot write %s: out of memory", path);
    }
    return NS_OK;
}

/// Moves a finished line into the file.
static void csv_end_line(csv *c) {
    (void)fputc('\n', c->line);
    const bool fits = fflush(c->line) == 0;
    if (c->status == NS_OK) {
        c->status = fits ? ns_atomic_write(c->file, c->text, c->size_bytes, c->err)
                         : ns_fail(c->err, NS_ERR_MEMORY, "cannot write a line: out of memory");
    }
    (void)fseek(c->line, 0, SEEK_SET);
}

static ns_status csv_close(csv *c) {
    (void)fclose(c->line);
    free(c->text);
    if (c->status == NS_OK) {
        return ns_atomic_commit(c->file, c->err);
    }
    ns_atomic_abort(c->file);
    return c->status;
}

/// A part of a field in quotes: quotes are doubled.
static void write_quoted(FILE *stream, const char *text) {
    for (; *text != '\0'; text++) {
        (void)fprintf(stream, *text == '"' ? "\"\"" : "%c", *text);
    }
}

static void write_field(FILE *stream, const char *text) {
    (void)fputc('"', stream);
    write_quoted(stream, text);
    (void)fputc('"', stream);
}

/* ---- confusion ------------------------------------------------------------------------------- */

/// Names of the labels in an array, for their JSON is a list: malloced, NULL when out of memory.
static const char **names_of(const ns_json *result, size_t *count) {
    const ns_json *labels = ns_json_get(result, "labels");
    *count = ns_json_count(labels);
    const char **names = malloc((*count + 1) * sizeof(*names));
    const ns_json *label = ns_json_first(labels);
    for (size_t i = 0; names != NULL && i < *count; i++, label = ns_json_next(label)) {
        names[i] = ns_json_value_string(label, "");
    }
    return names;
}

typedef struct cell {
    size_t truth, predicted;
    double count;
} cell;

static cell cell_of(const ns_json *json) {
    return (cell){(size_t)ns_json_value_number(ns_json_at(json, 0), 0),
                  (size_t)ns_json_value_number(ns_json_at(json, 1), 0),
                  ns_json_value_number(ns_json_at(json, 2), 0)};
}

static void write_matrix(csv *c, const ns_json *cells, const char **names, size_t count) {
    const ns_json *next = ns_json_first(cells);
    cell one = cell_of(next);
    write_field(c->line, "true \\ predicted");
    for (size_t column = 0; column < count; column++) {
        (void)fputc(',', c->line);
        write_field(c->line, names[column]);
    }
    csv_end_line(c);
    for (size_t row = 0; row < count; row++) {
        write_field(c->line, names[row]);
        for (size_t column = 0; column < count; column++) {
            const bool here = next != NULL && one.truth == row && one.predicted == column;
            (void)fprintf(c->line, ",%.0f", here ? one.count : 0);
            if (here) {
                next = ns_json_next(next);
                one = cell_of(next);
            }
        }
        csv_end_line(c);
    }
}

static void write_cells(csv *c, const ns_json *cells, const char **names, size_t count) {
    (void)fputs("true,predicted,images", c->line);
    csv_end_line(c);
    for (const ns_json *next = ns_json_first(cells); next != NULL; next = ns_json_next(next)) {
        const cell one = cell_of(next);
        write_field(c->line, one.truth < count ? names[one.truth] : "");
        (void)fputc(',', c->line);
        write_field(c->line, one.predicted < count ? names[one.predicted] : "");
        (void)fprintf(c->line, ",%.0f", one.count);
        csv_end_line(c);
    }
}

ns_status cli__confusion_write(const ns_json *result, const char *path, ns_error *err) {
    const ns_json *cells = ns_json_get(result, "confusion_cells");
    size_t count = 0;
    csv c;
    if (!ns_json_is_array(cells)) {
        return ns_fail(err, NS_ERR_INPUT,
                       "cannot write %s: images of several labels have no confusion matrix", path);
    }
    const char **names = names_of(result, &count);
    if (names == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot write %s: out of memory", path);
    }
    ns_status status = csv_open(&c, path, err);
    if (status == NS_OK) {
        (count <= CLI_MATRIX_LABELS_MAX ? write_matrix : write_cells)(&c, cells, names, count);
        status = csv_close(&c);
    }
    free(names);
    return status;
}

/* ---- predictions ----------------------------------------------------------------------------- */

/// Which labels one image has, or is said to have.
typedef struct label_list {
    const nn_model_info *info;
    const search_predictions *predictions;
    double threshold;
} label_list;

static bool is_true(const label_list *list, size_t image, int label) {
    const search_predictions *p = list->predictions;
    return p->labels != NULL ? p->labels[image] == label
                             : p->truth[image * (size_t)p->label_count + (size_t)label] != 0;
}

static bool is_said(const label_list *list, size_t image, int label) {
    const search_predictions *p = list->predictions;
    const float *row = p->probabilities + image * (size_t)p->label_count;
    if (p->labels != NULL && isnan(list->threshold)) {
        return label == results_argmax(row, p->label_count);
    }
    const double own = list->info->thresholds != NULL ? list->info->thresholds[label] : 0.5;
    return (double)row[label] >= (isnan(list->threshold) ? own : list->threshold);
}

static void write_labels(FILE *stream, const label_list *list, size_t image,
                         bool (*belongs)(const label_list *, size_t, int)) {
    const char *separator = "";
    (void)fputc('"', stream);
    for (int label = 0; label < list->info->label_count; label++) {
        if (belongs(list, image, label)) {
            (void)fputs(separator, stream);
            write_quoted(stream, list->info->labels[label]);
            separator = "|";
        }
    }
    (void)fputc('"', stream);
}

ns_status cli__predictions_write(const nn_model *model, const data_set *set, data_split split,
                                 const search_predictions *predictions, double threshold,
                                 const char *path, ns_error *err) {
    const label_list list = {nn_model_describe(model), predictions, threshold};
    const int label_count = list.info->label_count;
    size_t count = 0;
    const uint32_t *indices = data_indices(set, split, &count);
    csv c;
    NS_TRY(csv_open(&c, path, err));
    (void)fputs("image,file,split,true,predicted", c.line);
    for (int label = 0; label < label_count; label++) {
        (void)fputc(',', c.line);
        write_field(c.line, list.info->labels[label]);
    }
    csv_end_line(&c);
    for (size_t i = 0; i < predictions->count && i < count && c.status == NS_OK; i++) {
        const char *name = data_name(set, indices[i]);
        (void)fprintf(c.line, "%u,", indices[i]);
        write_field(c.line, name != NULL ? name : "");
        (void)fprintf(c.line, ",%s,", data_split_name(split));
        write_labels(c.line, &list, i, is_true);
        (void)fputc(',', c.line);
        write_labels(c.line, &list, i, is_said);
        for (int label = 0; label < label_count; label++) {
            (void)fprintf(
                c.line, ",%.9g",
                (double)predictions->probabilities[i * (size_t)label_count + (size_t)label]);
        }
        csv_end_line(&c);
    }
    return csv_close(&c);
}
