// IDX files, the form of MNIST and its family: images in one file, labels in another, each maybe
// gzipped. The source is the folder or archive that holds them, or one of them.
//
//   train-images-idx3-ubyte[.gz]   train-labels-idx1-ubyte[.gz]
//   t10k-images-idx3-ubyte[.gz]    t10k-labels-idx1-ubyte[.gz]     (or "test" for "t10k")
//
// A file: 0, 0, type (8: uint8), number of dimensions, each dimension as a big-endian 32-bit
// number, then the bytes (http://yann.lecun.com/exdb/mnist). What is not exactly as long as its
// header says is refused. Labels are named by their numbers; numbers that never occur are left out:
// label files are read once to know which occur, and again beside the images, so that memory holds
// one image, whatever the headers claim.
//
// Copies of one picture are counted and kept: such files are published benchmarks, whose figures are
// only comparable over exactly the images that everybody has.

#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

#define PAIRS_MAX    8
#define DIMS_MAX     3
#define LABEL_VALUES 256
#define BUFFER_BYTES (64u << 10)
#define CHUNK_BYTES  4096 // of labels

/// The name of an IDX file, and how people are told of it.
typedef struct idx_name {
    char name[NS_PATH_MAX];
    char shown[DATA__SHOWN_MAX];
} idx_name;

/// One IDX file being read.
typedef struct idx_file {
    const idx_name *name;
    data__stream *stream;
    uint8_t *buffer; // (BUFFER_BYTES), of which [at, end) is still to be taken
    size_t at, end;
    size_t dims[DIMS_MAX]; // those after dim_count are 1
} idx_file;

/// Two files that belong together.
typedef struct idx_pair {
    idx_name images, labels;
    uint8_t split; // data_split or DATA__UNASSIGNED
    size_t count;  // of images, and of labels
} idx_pair;

typedef struct idx_source {
    const data__file *file; // see data__idx_import
    idx_pair pairs[PAIRS_MAX];
    int pair_count;
    char names[LABEL_VALUES][4];             // decimal
    const char *labels[LABEL_VALUES];        // names of those that occur
    int label_of[LABEL_VALUES], label_count; // value -> label, or -1
} idx_source;

static ns_status refuse(const idx_file *file, const char *reason, ns_error *err) {
    return ns_fail(err, NS_ERR_INPUT, "cannot import %s: %s", file->name->shown, reason);
}

/* ---- one file -------------------------------------------------------------------------------- */

/// Fills the buffer, which is empty; it stays so only at the file's end.
static ns_status idx_fill(idx_file *file, ns_error *err) {
    file->at = 0;
    file->end = 0;
    const ns_status status =
        data__stream_read(file->stream, file->buffer, BUFFER_BYTES, &file->end, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", file->name->shown);
    }
    return status;
}

/// Reads exactly `size_bytes`, or says what stopped it.
static ns_status idx_read(idx_file *file, uint8_t *out, size_t size_bytes, ns_error *err) {
    while (size_bytes > 0) {
        if (file->at == file->end) {
            NS_TRY(idx_fill(file, err));
        }
        if (file->at == file->end) {
            return refuse(file, "it is cut off: its header promises more than it holds", err);
        }
        const size_t held = file->end - file->at;
        const size_t now = size_bytes < held ? size_bytes : held;
        memcpy(out, file->buffer + file->at, now);
        file->at += now;
        out += now;
        size_bytes -= now;
    }
    return NS_OK;
}

static ns_status read_header(idx_file *file, int dim_count, ns_error *err) {
    uint8_t bytes[4 + 4 * DIMS_MAX];
    NS_TRY(idx_fill(file, err));
    if (file->end == 0) {
        return refuse(file, "it is empty", err);
    }
    NS_TRY(idx_read(file, bytes, 4, err));
    if (bytes[0] != 0 || bytes[1] != 0) {
        return refuse(file, "it is not an IDX file", err);
    }
    if (bytes[2] != 8 || bytes[3] != dim_count) {
        return ns_fail(err, NS_ERR_INPUT,
                       "cannot import %s: it has type 0x%02x and %d dimensions instead of 0x08 "
                       "(bytes) and %d",
                       file->name->shown, bytes[2], bytes[3], dim_count);
    }
    NS_TRY(idx_read(file, bytes + 4, 4 * (size_t)dim_count, err));
    for (int i = 0; i < DIMS_MAX; i++) {
        const uint8_t *b = bytes + 4 + 4 * (size_t)i;
        file->dims[i] = i >= dim_count ? 1
                                       : (size_t)b[0] << 24 | (size_t)b[1] << 16 |
                                             (size_t)b[2] << 8 | (size_t)b[3];
    }
    return NS_OK;
}

static void idx_close(idx_file *file) {
    data__stream_close(file->stream);
    free(file->buffer);
    *file = (idx_file){0};
}

static ns_status idx_open(idx_file *file, const idx_source *source, const idx_name *name,
                          int dim_count, ns_error *err) {
    const data__file named = {source->file->place, name->name, name->shown};
    ns_status status = NS_OK;
    *file = (idx_file){.name = name, .buffer = malloc(BUFFER_BYTES)};
    if (file->buffer == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", name->shown);
    }
    NS_TRY_OUT(data__file_open(&named, &file->stream, err));
    NS_TRY_OUT(read_header(file, dim_count, err));
out:
    if (status != NS_OK) {
        idx_close(file);
    }
    return status;
}

/// The end of the file must be here. Reading up to it also checks gzip's own checksum.
static ns_status idx_end(idx_file *file, ns_error *err) {
    if (file->at == file->end) {
        NS_TRY(idx_fill(file, err));
    }
    return file->at == file->end ? NS_OK : refuse(file, "it holds more than its header says", err);
}

/* ---- which files ----------------------------------------------------------------------------- */

bool data__idx_is_images(const char *name) {
    return strstr(name, "images") != NULL && strstr(name, "idx3") != NULL;
}

static bool ends_in_gz(const char *name) {
    const size_t length = strlen(name);
    return length > 3 && strcmp(name + length - 3, ".gz") == 0;
}

/// Where the name of the data set itself ends: "emnist-letters-" in
/// "emnist-letters-train-images-idx3-ubyte.gz".
static const char *split_word(const char *name, uint8_t *split) {
    static const struct {
        const char *word;
        uint8_t split;
    } words[] = {{"train", DATA_TRAIN},        {"t10k", DATA_TEST},
                 {"test", DATA_TEST},          {"valid", DATA_VALIDATION},
                 {"images", DATA__UNASSIGNED}, {"labels", DATA__UNASSIGNED}};
    for (size_t i = 0; i < NS_COUNT_OF(words); i++) {
        const char *at = strstr(name, words[i].word);
        if (at != NULL) {
            *split = words[i].split;
            return at;
        }
    }
    *split = DATA__UNASSIGNED;
    return name + strlen(name);
}

/// "train-images-idx3-ubyte.gz" to "train-labels-idx1-ubyte", without what may follow.
static void labels_name(const char *images, char out[NS_PATH_MAX]) {
    char *at = out;
    char *end = out + NS_PATH_MAX - 1;
    while (*images != 0 && at < end) {
        if (strncmp(images, "images", 6) == 0 && end - at >= 6) {
            memcpy(at, "labels", 6);
            at += 6;
            images += 6;
        } else if (strncmp(images, "idx3", 4) == 0 && end - at >= 4) {
            memcpy(at, "idx1", 4);
            at += 4;
            images += 4;
        } else {
            *at++ = *images++;
        }
    }
    if (at - out > 3 && memcmp(at - 3, ".gz", 3) == 0) {
        at -= 3;
    }
    *at = 0;
}

static void set_name(const data__place *place, const char *name, idx_name *out) {
    (void)snprintf(out->name, sizeof(out->name), "%s", name);
    data__place_show(place, name, out->shown);
}

static ns_status find_labels(const data__place *place, const idx_name *images, idx_name *out,
                             ns_error *err) {
    char name[NS_PATH_MAX];
    char zipped[NS_PATH_MAX];
    labels_name(images->name, name);
    (void)snprintf(zipped, sizeof(zipped), "%.*s.gz", (int)sizeof(zipped) - 4, name);
    const char *const names[] = {name, zipped};
    for (size_t i = 0; i < NS_COUNT_OF(names); i++) {
        if (place->holds(place, names[i])) {
            set_name(place, names[i], out);
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_NOT_FOUND, "cannot import %s: its labels, %s[.gz], are missing",
                   images->shown, name);
}

/// Whether "NAME.gz" lies unpacked beside itself.
static bool is_unpacked(const data__place *place, const char *name) {
    char unpacked[NS_PATH_MAX];
    if (!ends_in_gz(name)) {
        return false;
    }
    (void)snprintf(unpacked, sizeof(unpacked), "%.*s", (int)strlen(name) - 3, name);
    return place->holds(place, unpacked);
}

static ns_status add_pair(idx_source *source, const char *name, ns_error *err) {
    const data__place *place = source->file->place;
    if (source->pair_count == PAIRS_MAX) {
        return ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds more than %d IDX image files",
                       source->file->shown, PAIRS_MAX);
    }
    idx_pair *pair = &source->pairs[source->pair_count];
    (void)split_word(name, &pair->split);
    set_name(place, name, &pair->images);
    NS_TRY(find_labels(place, &pair->images, &pair->labels, err));
    source->pair_count++;
    return NS_OK;
}

/// The name of the data set of which `name` is a file.
static void set_of(const char *name, char out[NS_PATH_MAX]) {
    uint8_t split;
    (void)snprintf(out, NS_PATH_MAX, "%.*s", (int)(split_word(name, &split) - name), name);
}

/// Picks the image files among `names` of the wanted data set; where none is named there may only
/// be one.
static ns_status pick_pairs(idx_source *source, char **names, size_t count, ns_error *err) {
    const data__file *file = source->file;
    char wanted[NS_PATH_MAX] = "";
    bool is_known = file->name != NULL;
    if (is_known) {
        set_of(file->name, wanted);
    }
    for (size_t i = 0; i < count; i++) {
        char set[NS_PATH_MAX];
        if (!data__idx_is_images(names[i]) || is_unpacked(file->place, names[i])) {
            continue;
        }
        set_of(names[i], set);
        if (!is_known) {
            memcpy(wanted, set, sizeof(wanted));
            is_known = true;
        }
        if (strcmp(set, wanted) == 0) {
            NS_TRY(add_pair(source, names[i], err));
        } else if (file->name == NULL) {
            return ns_fail(err, NS_ERR_INPUT,
                           "cannot import %s: it holds several data sets; %s one of the files",
                           file->shown,
                           file->place->archive != NULL ? "unpack it and name" : "name");
        }
    }
    return NS_OK;
}

static ns_status find_pairs(idx_source *source, ns_error *err) {
    const data__file *file = source->file;
    char **names = NULL;
    size_t count = 0;
    NS_TRY(file->place->names(file->place, &names, &count, err));
    const ns_status status = pick_pairs(source, names, count, err);
    data__names_free(names, count);
    NS_TRY(status);
    return source->pair_count > 0
               ? NS_OK
               : ns_fail(err, NS_ERR_INPUT,
                         "cannot import %s: no IDX files (*-images-idx3-ubyte) there", file->shown);
}

/* ---- import ---------------------------------------------------------------------------------- */

/// Reads a label file to its end: how many labels it has, and which occur.
static ns_status survey_labels(const idx_source *source, idx_pair *pair, bool *occurs,
                               ns_error *err) {
    idx_file file;
    uint8_t values[CHUNK_BYTES];
    ns_status status = NS_OK;
    NS_TRY(idx_open(&file, source, &pair->labels, 1, err));
    pair->count = file.dims[0];
    for (size_t left = pair->count; left > 0;) {
        const size_t now = left < sizeof(values) ? left : sizeof(values);
        NS_TRY_OUT(idx_read(&file, values, now, err));
        for (size_t i = 0; i < now; i++) {
            occurs[values[i]] = true;
        }
        left -= now;
    }
    status = idx_end(&file, err);
out:
    idx_close(&file);
    return status;
}

static ns_status find_label_names(idx_source *source, ns_error *err) {
    bool occurs[LABEL_VALUES] = {false};
    for (int p = 0; p < source->pair_count; p++) {
        NS_TRY(survey_labels(source, &source->pairs[p], occurs, err));
    }
    for (int value = 0; value < LABEL_VALUES; value++) {
        source->label_of[value] = -1;
        if (occurs[value]) {
            (void)snprintf(source->names[value], sizeof(source->names[value]), "%d", value);
            source->label_of[value] = source->label_count;
            source->labels[source->label_count++] = source->names[value];
        }
    }
    return NS_OK;
}

static ns_status open_images(const idx_source *source, const idx_pair *pair, idx_file *file,
                             ns_error *err) {
    NS_TRY(idx_open(file, source, &pair->images, 3, err));
    ns_status status = NS_OK;
    if (file->dims[0] != pair->count) {
        status =
            ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds %zu images, but %s %zu labels",
                    pair->images.shown, file->dims[0], pair->labels.shown, pair->count);
    } else if (file->dims[1] == 0 || file->dims[1] > DATA__SIDE_MAX || file->dims[2] == 0 ||
               file->dims[2] > DATA__SIDE_MAX) {
        status =
            ns_fail(err, NS_ERR_INPUT, "cannot import %s: images of %zux%zu pixels are not read",
                    pair->images.shown, file->dims[2], file->dims[1]);
    }
    if (status != NS_OK) {
        idx_close(file);
    }
    return status;
}

/// Where the images of all pairs go.
typedef struct idx_sink {
    data__pack_writer *writer;
    const idx_source *source;
    const data_import_options *options;
    data__pack_spec spec;
    data__hygiene hygiene;
    size_t done, total;
} idx_sink;

/// Counts copies of one picture.
static ns_status look_at(idx_sink *sink, const data_image *image, int label, uint8_t split,
                         ns_error *err) {
    data__picture seen = {
        .item = sink->done,
        .packed = (uint32_t)sink->done,
        .labels = (uint64_t)label,
        .split = split,
    };
    NS_TRY(data__print_of(image, &seen.print, err));
    return data__hygiene_count(&sink->hygiene, &seen, err);
}

/// Two files being read side by side, and one image of them.
typedef struct idx_reading {
    const idx_pair *pair;
    idx_file images, labels;
    data_image image;
    uint8_t *fitted; // (C, H, W) of the pack
} idx_reading;

static ns_status copy_image(idx_sink *sink, idx_reading *from, ns_error *err) {
    data_image *image = &from->image;
    uint8_t value = 0;
    NS_TRY(idx_read(&from->labels, &value, 1, err));
    NS_TRY(
        idx_read(&from->images, image->pixels, (size_t)image->width * (size_t)image->height, err));
    const int label = sink->source->label_of[value];
    if (label < 0) {
        return refuse(&from->labels, "it changed while it was read", err);
    }
    NS_TRY(look_at(sink, image, label, from->pair->split, err));
    NS_TRY(data_image_fit(image, sink->spec.channels, sink->spec.height, sink->spec.width,
                          from->fitted, err));
    NS_TRY(data__pack_add(sink->writer, from->fitted, label, (data_split)from->pair->split, err));
    sink->done++;
    return data__import_tell(sink->options, sink->spec.source,
                             (data_progress){DATA_STEP_DECODE, sink->done, sink->total}, err);
}

static ns_status copy_images(idx_sink *sink, idx_reading *from, ns_error *err) {
    const size_t *dims = from->images.dims;
    from->image = (data_image){.width = (int)dims[2], .height = (int)dims[1], .channels = 1};
    from->image.pixels = malloc(dims[1] * dims[2]);
    from->fitted =
        malloc((size_t)sink->spec.channels * (size_t)sink->spec.height * (size_t)sink->spec.width);
    if (from->image.pixels == NULL || from->fitted == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s",
                       from->pair->images.shown);
    }
    for (size_t i = 0; i < from->pair->count; i++) {
        NS_TRY(copy_image(sink, from, err));
    }
    return idx_end(&from->images, err);
}

static ns_status import_pair(idx_sink *sink, const idx_pair *pair, ns_error *err) {
    idx_reading from = {.pair = pair};
    ns_status status = NS_OK;
    NS_TRY_OUT(open_images(sink->source, pair, &from.images, err));
    NS_TRY_OUT(idx_open(&from.labels, sink->source, &pair->labels, 1, err));
    status = copy_images(sink, &from, err);
out:
    data_image_free(&from.image);
    free(from.fitted);
    idx_close(&from.images);
    idx_close(&from.labels);
    return status;
}

/// Sizes of the pack: as asked, else as the first image file has them.
static ns_status choose_sizes(idx_sink *sink, ns_error *err) {
    idx_file file;
    NS_TRY(open_images(sink->source, &sink->source->pairs[0], &file, err));
    const data_import_options *options = sink->options;
    sink->spec.channels = options->channels != 0 ? options->channels : 1;
    sink->spec.height = options->height != 0 ? options->height : (int)file.dims[1];
    sink->spec.width = options->width != 0 ? options->width : (int)file.dims[2];
    idx_close(&file);
    return NS_OK;
}

static ns_status import_pairs(idx_sink *sink, data_format format, const char *out_path,
                              ns_error *err) {
    const idx_source *source = sink->source;
    const data_import_options *options = sink->options;
    for (int p = 0; p < source->pair_count; p++) {
        sink->total += source->pairs[p].count;
    }
    sink->spec.source = source->file->shown;
    if (sink->total == 0) {
        return ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds no image", sink->spec.source);
    }
    NS_TRY(choose_sizes(sink, err));
    sink->spec.labels = source->labels;
    sink->spec.label_count = source->label_count;
    NS_TRY(data__pack_begin(out_path, &sink->spec, &sink->writer, err));
    for (int p = 0; p < source->pair_count; p++) {
        NS_TRY(import_pair(sink, &source->pairs[p], err));
    }
    const ns_status status =
        data__pack_split(sink->writer, options->split_percent, options->seed, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", sink->spec.source);
        return status;
    }
    NS_TRY(data__provenance(options, format, &sink->hygiene, sink->writer, err));
    data__pack_writer *writer = sink->writer;
    sink->writer = NULL;
    return data__pack_finish(writer, err);
}

ns_status data__idx_import(const data__file *file, data_format format, const char *out_path,
                           const data_import_options *options, ns_error *err) {
    idx_source *source = calloc(1, sizeof(*source));
    idx_sink sink = {.source = source, .options = options, .hygiene = {.only_counts = true}};
    ns_status status = NS_OK;
    if (source == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", file->shown);
    }
    source->file = file;
    NS_TRY_OUT(find_pairs(source, err));
    NS_TRY_OUT(find_label_names(source, err));
    status = import_pairs(&sink, format, out_path, err);
out:
    data__pack_abort(sink.writer);
    free(source);
    data__hygiene_free(&sink.hygiene);
    return status;
}
