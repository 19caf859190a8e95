// IDX files, the form of MNIST and its family: images in one file, labels in another, each maybe
// gzipped. The source is the folder that holds them, or one of them.
//
//   train-images-idx3-ubyte[.gz]   train-labels-idx1-ubyte[.gz]
//   t10k-images-idx3-ubyte[.gz]    t10k-labels-idx1-ubyte[.gz]     (or "test" for "t10k")
//
// A file: 0, 0, type (8: uint8), number of dimensions, each dimension as a big-endian 32-bit
// number, then the bytes (http://yann.lecun.com/exdb/mnist). What is not exactly as long as its
// header says is refused. Labels are named by their numbers; numbers that never occur are left out.
//
// Copies of one picture are counted and kept: such files are published benchmarks, whose figures are
// only comparable over exactly the images that everybody has.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "data/data_internal.h"

#define PAIRS_MAX    8
#define DIMS_MAX     3
#define LABEL_VALUES 256
#define GZ_BUFFER    (256u << 10)
#define CHUNK_BYTES  (64u << 10)

/// One IDX file being read.
typedef struct idx_file {
    const char *path;
    gzFile gz;
    size_t dims[DIMS_MAX]; // those after dim_count are 1
} idx_file;

/// Two files that belong together.
typedef struct idx_pair {
    char images[NS_PATH_MAX];
    char labels[NS_PATH_MAX];
    uint8_t split;   // data_split or DATA__UNASSIGNED
    uint8_t *values; // (count) label numbers
    size_t count;
} idx_pair;

typedef struct idx_source {
    idx_pair pairs[PAIRS_MAX];
    int pair_count;
    char names[LABEL_VALUES][4];             // decimal
    const char *labels[LABEL_VALUES];        // names of those that occur
    int label_of[LABEL_VALUES], label_count; // value -> label
} idx_source;

static ns_status refuse(const char *path, const char *reason, ns_error *err) {
    return ns_fail(err, NS_ERR_INPUT, "cannot import %s: %s", path, reason);
}

/* ---- one file -------------------------------------------------------------------------------- */

/// Reads exactly `size_bytes`, or says what stopped it.
static ns_status idx_read(const idx_file *file, void *out, size_t size_bytes, ns_error *err) {
    const int got = gzread(file->gz, out, (unsigned)size_bytes);
    if (got >= 0 && (size_t)got == size_bytes) {
        return NS_OK;
    }
    int code = Z_OK;
    const char *text = gzerror(file->gz, &code);
    if (got < 0 && code != Z_BUF_ERROR) {
        return refuse(file->path, code == Z_ERRNO ? strerror(errno) : text, err);
    }
    return refuse(file->path, "it is cut off: its header promises more than it holds", err);
}

static ns_status read_header(idx_file *file, int dim_count, ns_error *err) {
    uint8_t bytes[4 + 4 * DIMS_MAX];
    NS_TRY(idx_read(file, bytes, 4, err));
    if (bytes[0] != 0 || bytes[1] != 0) {
        return refuse(file->path, "it is not an IDX file", err);
    }
    if (bytes[2] != 8 || bytes[3] != dim_count) {
        return ns_fail(err, NS_ERR_INPUT,
                       "cannot import %s: it has type 0x%02x and %d dimensions instead of 0x08 "
                       "(bytes) and %d",
                       file->path, bytes[2], bytes[3], dim_count);
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
    if (file->gz != NULL) {
        (void)gzclose(file->gz);
    }
    *file = (idx_file){0};
}

static ns_status idx_open(idx_file *file, const char *path, int dim_count, ns_error *err) {
    struct stat info;
    *file = (idx_file){.path = path};
    if (stat(path, &info) != 0) {
        return ns_fail(err, errno == ENOENT ? NS_ERR_NOT_FOUND : NS_ERR_IO, "cannot import %s: %s",
                       path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return refuse(path, "it is not a regular file", err);
    }
    file->gz = gzopen(path, "rb");
    if (file->gz == NULL) {
        return ns_fail(err, NS_ERR_IO, "cannot import %s: %s", path, strerror(errno));
    }
    (void)gzbuffer(file->gz, GZ_BUFFER);
    const ns_status status =
        info.st_size == 0 ? refuse(path, "it is empty", err) : read_header(file, dim_count, err);
    if (status != NS_OK) {
        idx_close(file);
    }
    return status;
}

/// The end of the file must be here. Reading up to it also checks gzip's own checksum.
static ns_status idx_end(const idx_file *file, ns_error *err) {
    uint8_t byte;
    const int got = gzread(file->gz, &byte, 1);
    if (got > 0) {
        return refuse(file->path, "it holds more than its header says", err);
    }
    int code = Z_OK;
    const char *text = gzerror(file->gz, &code);
    return code == Z_OK || code == Z_STREAM_END ? NS_OK : refuse(file->path, text, err);
}

/// All bytes of a file of one dimension; memory grows with what is really there.
static ns_status read_values(const idx_file *file, uint8_t **out, ns_error *err) {
    const size_t count = file->dims[0];
    uint8_t *values = NULL;
    for (size_t used = 0; used < count;) {
        const size_t now = count - used < CHUNK_BYTES ? count - used : CHUNK_BYTES;
        uint8_t *grown = realloc(values, used + now);
        if (grown == NULL) {
            free(values);
            return ns_fail(err, NS_ERR_MEMORY, "out of memory while reading %s", file->path);
        }
        values = grown;
        const ns_status status = idx_read(file, values + used, now, err);
        if (status != NS_OK) {
            free(values);
            return status;
        }
        used += now;
    }
    *out = values;
    return NS_OK;
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

static ns_status find_labels(const char *dir, const char *images, char out[NS_PATH_MAX],
                             ns_error *err) {
    char name[NS_PATH_MAX];
    char zipped[NS_PATH_MAX + 4];
    labels_name(images, name);
    NS_TRY(ns_path_join(dir, name, out, err));
    if (ns_file_exists(out)) {
        return NS_OK;
    }
    (void)snprintf(zipped, sizeof(zipped), "%s.gz", name);
    NS_TRY(ns_path_join(dir, zipped, out, err));
    if (ns_file_exists(out)) {
        return NS_OK;
    }
    return ns_fail(err, NS_ERR_NOT_FOUND, "cannot import %s/%s: its labels, %s[.gz], are missing",
                   dir, images, name);
}

/// Whether "NAME.gz" lies unpacked beside itself.
static bool is_unpacked(const char *dir, const char *name) {
    char path[NS_PATH_MAX];
    if (!ends_in_gz(name) || ns_path_join(dir, name, path, NULL) != NS_OK) {
        return false;
    }
    path[strlen(path) - 3] = 0;
    return ns_file_exists(path);
}

static ns_status add_pair(idx_source *source, const char *dir, const char *name, ns_error *err) {
    if (source->pair_count == PAIRS_MAX) {
        return ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds more than %d IDX image files",
                       dir, PAIRS_MAX);
    }
    idx_pair *pair = &source->pairs[source->pair_count];
    (void)split_word(name, &pair->split);
    NS_TRY(ns_path_join(dir, name, pair->images, err));
    NS_TRY(find_labels(dir, name, pair->labels, err));
    source->pair_count++;
    return NS_OK;
}

/// Picks the image files among `names` whose data set is called `wanted` (NULL: whatever comes
/// first; then another is an error).
static ns_status pick_pairs(idx_source *source, const char *dir, const char *wanted, char **names,
                            size_t count, ns_error *err) {
    char set[NS_PATH_MAX] = "";
    for (size_t i = 0; i < count; i++) {
        uint8_t split;
        if (!data__idx_is_images(names[i]) || is_unpacked(dir, names[i])) {
            continue;
        }
        char name[NS_PATH_MAX];
        (void)snprintf(name, sizeof(name), "%.*s", (int)(split_word(names[i], &split) - names[i]),
                       names[i]);
        if (wanted != NULL && strcmp(name, wanted) != 0) {
            continue;
        }
        if (source->pair_count > 0 && strcmp(name, set) != 0) {
            return ns_fail(err, NS_ERR_INPUT,
                           "cannot import %s: it holds several data sets; name one of the files",
                           dir);
        }
        memcpy(set, name, sizeof(set));
        NS_TRY(add_pair(source, dir, names[i], err));
    }
    return NS_OK;
}

static ns_status find_pairs(idx_source *source, const char *path, ns_error *err) {
    struct stat info;
    char dir[NS_PATH_MAX];
    char wanted[NS_PATH_MAX];
    const bool is_dir = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    (void)snprintf(dir, sizeof(dir), "%s", path);
    if (!is_dir) {
        uint8_t split;
        const char *slash = strrchr(path, '/');
        const char *name = slash != NULL ? slash + 1 : path;
        (void)snprintf(wanted, sizeof(wanted), "%.*s", (int)(split_word(name, &split) - name),
                       name);
        (void)snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(name - path) : 1,
                       slash != NULL ? path : ".");
    }
    char **names = NULL;
    size_t count = 0;
    NS_TRY(data__dir_names(dir, &names, &count, err));
    const ns_status status = pick_pairs(source, dir, is_dir ? NULL : wanted, names, count, err);
    data__names_free(names, count);
    NS_TRY(status);
    return source->pair_count > 0 ? NS_OK
                                  : refuse(path, "no IDX files (*-images-idx3-ubyte) there", err);
}

/* ---- import ---------------------------------------------------------------------------------- */

static ns_status read_labels(idx_source *source, ns_error *err) {
    bool occurs[LABEL_VALUES] = {false};
    for (int p = 0; p < source->pair_count; p++) {
        idx_pair *pair = &source->pairs[p];
        idx_file file;
        NS_TRY(idx_open(&file, pair->labels, 1, err));
        pair->count = file.dims[0];
        ns_status status = read_values(&file, &pair->values, err);
        if (status == NS_OK) {
            status = idx_end(&file, err);
        }
        idx_close(&file);
        NS_TRY(status);
        for (size_t i = 0; i < pair->count; i++) {
            occurs[pair->values[i]] = true;
        }
    }
    for (int value = 0; value < LABEL_VALUES; value++) {
        if (occurs[value]) {
            (void)snprintf(source->names[value], sizeof(source->names[value]), "%d", value);
            source->label_of[value] = source->label_count;
            source->labels[source->label_count++] = source->names[value];
        }
    }
    return NS_OK;
}

static ns_status open_images(const idx_pair *pair, idx_file *file, ns_error *err) {
    NS_TRY(idx_open(file, pair->images, 3, err));
    ns_status status = NS_OK;
    if (file->dims[0] != pair->count) {
        status =
            ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds %zu images, but %s %zu labels",
                    pair->images, file->dims[0], pair->labels, pair->count);
    } else if (file->dims[1] == 0 || file->dims[1] > DATA__SIDE_MAX || file->dims[2] == 0 ||
               file->dims[2] > DATA__SIDE_MAX) {
        status =
            ns_fail(err, NS_ERR_INPUT, "cannot import %s: images of %zux%zu pixels are not read",
                    pair->images, file->dims[2], file->dims[1]);
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

static ns_status copy_images(idx_sink *sink, const idx_pair *pair, const idx_file *file,
                             data_image *image, uint8_t *fitted, ns_error *err) {
    const size_t image_bytes = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < pair->count; i++) {
        const int label = sink->source->label_of[pair->values[i]];
        NS_TRY(idx_read(file, image->pixels, image_bytes, err));
        NS_TRY(look_at(sink, image, label, pair->split, err));
        NS_TRY(data_image_fit(image, sink->spec.channels, sink->spec.height, sink->spec.width,
                              fitted, err));
        NS_TRY(data__pack_add(sink->writer, fitted, label, (data_split)pair->split, err));
        sink->done++;
        NS_TRY(data__import_tell(sink->options, sink->spec.source,
                                 (data_progress){DATA_STEP_DECODE, sink->done, sink->total}, err));
    }
    return idx_end(file, err);
}

static ns_status import_pair(idx_sink *sink, const idx_pair *pair, ns_error *err) {
    idx_file file;
    NS_TRY(open_images(pair, &file, err));
    data_image image = {.width = (int)file.dims[2], .height = (int)file.dims[1], .channels = 1};
    image.pixels = malloc(file.dims[1] * file.dims[2]);
    uint8_t *fitted =
        malloc((size_t)sink->spec.channels * (size_t)sink->spec.height * (size_t)sink->spec.width);
    const ns_status status =
        image.pixels == NULL || fitted == NULL
            ? ns_fail(err, NS_ERR_MEMORY, "out of memory while reading %s", pair->images)
            : copy_images(sink, pair, &file, &image, fitted, err);
    free(image.pixels);
    free(fitted);
    idx_close(&file);
    return status;
}

/// Sizes of the pack: as asked, else as the first image file has them.
static ns_status choose_sizes(idx_sink *sink, ns_error *err) {
    idx_file file;
    NS_TRY(open_images(&sink->source->pairs[0], &file, err));
    const data_import_options *options = sink->options;
    sink->spec.channels = options->channels != 0 ? options->channels : 1;
    sink->spec.height = options->height != 0 ? options->height : (int)file.dims[1];
    sink->spec.width = options->width != 0 ? options->width : (int)file.dims[2];
    idx_close(&file);
    return NS_OK;
}

static ns_status import_pairs(idx_sink *sink, const char *path, const char *out_path,
                              ns_error *err) {
    const idx_source *source = sink->source;
    const data_import_options *options = sink->options;
    for (int p = 0; p < source->pair_count; p++) {
        sink->total += source->pairs[p].count;
    }
    if (sink->total == 0) {
        return refuse(path, "it holds no image", err);
    }
    NS_TRY(choose_sizes(sink, err));
    sink->spec.labels = source->labels;
    sink->spec.label_count = source->label_count;
    sink->spec.source = path;
    NS_TRY(data__pack_begin(out_path, &sink->spec, &sink->writer, err));
    for (int p = 0; p < source->pair_count; p++) {
        NS_TRY(import_pair(sink, &source->pairs[p], err));
    }
    const ns_status status =
        data__pack_split(sink->writer, options->split_percent, options->seed, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", path);
        return status;
    }
    NS_TRY(data__provenance(options, DATA_FORMAT_IDX, &sink->hygiene, sink->writer, err));
    data__pack_writer *writer = sink->writer;
    sink->writer = NULL;
    return data__pack_finish(writer, err);
}

ns_status data__idx_import(const char *path, const char *out_path,
                           const data_import_options *options, ns_error *err) {
    idx_source *source = calloc(1, sizeof(*source));
    idx_sink sink = {.source = source, .options = options};
    ns_status status = NS_OK;
    if (source == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", path);
    }
    NS_TRY_OUT(find_pairs(source, path, err));
    NS_TRY_OUT(read_labels(source, err));
    status = import_pairs(&sink, path, out_path, err);
out:
    data__pack_abort(sink.writer);
    for (int p = 0; p < PAIRS_MAX; p++) {
        free(source->pairs[p].values);
    }
    free(source);
    data__hygiene_free(&sink.hygiene);
    return status;
}
