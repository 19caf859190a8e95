// Writes a pack (.nsd) as a stream: pixels go to the file as they come, only a label, a split, the
// pixel sums and the name of each image stay in memory; names, tables and header follow at the end.
//
// The statistics of the training pixels are sums of integers kept per image, so that they do not
// depend on the order or the threads of decoding, and splits may be decided after the last image.

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

#define BUFFER_BYTES  (1u << 20)
#define SUMMED_PIXELS (1u << 16) // whose squares, 255 * 255 each, sum up to less than 2^32

struct data__pack_writer {
    ns_atomic_file *file;
    ns_sha256 *pixels_hash;
    int channels, height, width, label_count;
    bool multi_label;
    char **labels;
    char *source, *provenance;
    size_t image_count, image_capacity;
    uint16_t *image_labels;  // (image_count); multi-label: how many labels
    data__bytes label_lists; // multi-label: all images' labels (uint16)
    uint8_t *image_splits;   // (image_count)
    uint64_t *image_sums;    // (image_count, C, 2): sum of pixels, sum of their squares
    data__pack_names names;  // safe to print
    data__bytes dropped;     // file 0 reason 0 file 0 ...
    size_t dropped_count;
    uint8_t *buffer; // (BUFFER_BYTES), pixels not yet written
    size_t buffered_bytes;
    uint64_t pixels_bytes; // written and buffered
};

static ns_status no_memory(ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "out of memory while writing a data set");
}

static size_t image_bytes(const data__pack_writer *writer) {
    return (size_t)writer->channels * (size_t)writer->height * (size_t)writer->width;
}

ns_status data__bytes_append(data__bytes *run, const void *bytes, size_t size_bytes,
                             ns_error *err) {
    if (size_bytes == 0) {
        return NS_OK; // there may be no memory yet to copy nothing to
    }
    if (run->size - run->used < size_bytes) {
        const size_t size = 2 * (run->used + size_bytes);
        uint8_t *grown = realloc(run->bytes, size);
        if (grown == NULL) {
            return no_memory(err);
        }
        run->bytes = grown;
        run->size = size;
    }
    memcpy(run->bytes + run->used, bytes, size_bytes);
    run->used += size_bytes;
    return NS_OK;
}

ns_status data__bytes_append_string(data__bytes *run, const char *text, ns_error *err) {
    return data__bytes_append(run, text, strlen(text) + 1, err);
}

/// A malloced copy of a name that is shown to people, or NULL.
static char *escaped(const char *name) {
    const size_t size_bytes = 4 * strlen(name) + 1;
    char *copy = malloc(size_bytes);
    if (copy != NULL) {
        ns_text_escape(name, copy, size_bytes);
    }
    return copy;
}

static void writer_free(data__pack_writer *writer) {
    if (writer == NULL) {
        return;
    }
    ns_atomic_abort(writer->file);
    if (writer->pixels_hash != NULL) {
        char unused[NS_SHA256_HEX_MAX];
        ns_sha256_finish(writer->pixels_hash, unused);
    }
    for (int i = 0; writer->labels != NULL && i < writer->label_count; i++) {
        free(writer->labels[i]);
    }
    free(writer->labels);
    free(writer->source);
    free(writer->provenance);
    free(writer->image_labels);
    free(writer->label_lists.bytes);
    free(writer->image_splits);
    free(writer->image_sums);
    free(writer->names.text.bytes);
    free(writer->dropped.bytes);
    free(writer->buffer);
    free(writer);
}

static ns_status copy_names(data__pack_writer *writer, const data__pack_spec *spec, ns_error *err) {
    writer->labels = calloc((size_t)spec->label_count, sizeof(*writer->labels));
    writer->source = escaped(spec->source);
    writer->provenance = strdup(spec->provenance != NULL ? spec->provenance : "{}");
    writer->buffer = malloc(BUFFER_BYTES);
    if (writer->labels == NULL || writer->source == NULL || writer->provenance == NULL ||
        writer->buffer == NULL) {
        return no_memory(err);
    }
    for (int i = 0; i < spec->label_count; i++) {
        writer->labels[i] = strdup(spec->labels[i]);
        if (writer->labels[i] == NULL) {
            return no_memory(err);
        }
    }
    return NS_OK;
}

ns_status data__pack_begin(const char *path, const data__pack_spec *spec, data__pack_writer **out,
                           ns_error *err) {
    assert(spec->channels == 1 || spec->channels == 3);
    assert(spec->height > 0 && spec->height <= DATA__SIDE_MAX);
    assert(spec->width > 0 && spec->width <= DATA__SIDE_MAX);
    assert(spec->label_count > 0 && spec->label_count <= DATA_LABELS_MAX);
    static const uint8_t empty_page[DATA__PAGE_BYTES];

    data__pack_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return no_memory(err);
    }
    writer->channels = spec->channels;
    writer->height = spec->height;
    writer->width = spec->width;
    writer->label_count = spec->label_count;
    writer->multi_label = spec->multi_label;
    ns_status status = NS_OK;
    NS_TRY_OUT(copy_names(writer, spec, err));
    NS_TRY_OUT(ns_sha256_new(&writer->pixels_hash, err));
    NS_TRY_OUT(ns_atomic_open(path, &writer->file, err));
    NS_TRY_OUT(ns_atomic_write(writer->file, empty_page, sizeof(empty_page), err));
    *out = writer;
    return NS_OK;
out:
    writer_free(writer);
    return status;
}

ns_status data__pack_set_provenance(data__pack_writer *writer, const char *provenance,
                                    ns_error *err) {
    char *copy = strdup(provenance);
    if (copy == NULL) {
        return no_memory(err);
    }
    free(writer->provenance);
    writer->provenance = copy;
    return NS_OK;
}

static ns_status flush_pixels(data__pack_writer *writer, ns_error *err) {
    ns_sha256_update(writer->pixels_hash, writer->buffer, writer->buffered_bytes);
    NS_TRY(ns_atomic_write(writer->file, writer->buffer, writer->buffered_bytes, err));
    writer->buffered_bytes = 0;
    return NS_OK;
}

static ns_status append_pixels(data__pack_writer *writer, const uint8_t *bytes, size_t size_bytes,
                               ns_error *err) {
    writer->pixels_bytes += size_bytes;
    while (size_bytes > 0) {
        const size_t room = BUFFER_BYTES - writer->buffered_bytes;
        const size_t now = size_bytes < room ? size_bytes : room;
        memcpy(writer->buffer + writer->buffered_bytes, bytes, now);
        writer->buffered_bytes += now;
        bytes += now;
        size_bytes -= now;
        if (writer->buffered_bytes == BUFFER_BYTES) {
            NS_TRY(flush_pixels(writer, err));
        }
    }
    return NS_OK;
}

static ns_status grow_tables(data__pack_writer *writer, ns_error *err) {
    const size_t capacity = writer->image_capacity == 0 ? 1024 : 2 * writer->image_capacity;
    const size_t sums_size = 2 * (size_t)writer->channels;
    uint16_t *labels = realloc(writer->image_labels, capacity * sizeof(*labels));
    if (labels == NULL) {
        return no_memory(err);
    }
    writer->image_labels = labels;
    uint8_t *splits = realloc(writer->image_splits, capacity);
    if (splits == NULL) {
        return no_memory(err);
    }
    writer->image_splits = splits;
    uint64_t *sums = realloc(writer->image_sums, capacity * sums_size * sizeof(*sums));
    if (sums == NULL) {
        return no_memory(err);
    }
    writer->image_sums = sums;
    writer->image_capacity = capacity;
    return NS_OK;
}

/// `plane` is (H, W); `sums` gets the sum of its pixels and of their squares.
static void sum_plane(const uint8_t *plane, size_t pixel_count, uint64_t sums[2]) {
    sums[0] = 0;
    sums[1] = 0;
    for (size_t first = 0; first < pixel_count; first += SUMMED_PIXELS) {
        const size_t left = pixel_count - first;
        const size_t end = first + (left < SUMMED_PIXELS ? left : SUMMED_PIXELS);
        uint32_t sum = 0; // 32 bits, which vectorise
        uint32_t square_sum = 0;
        for (size_t i = first; i < end; i++) {
            const uint32_t value = plane[i];
            sum += value;
            square_sum += value * value;
        }
        sums[0] += sum;
        sums[1] += square_sum;
    }
}

/// Appends an image whose entry in the table of labels is `entry`.
static ns_status add_image(data__pack_writer *writer, const uint8_t *pixels, uint16_t entry,
                           data_split split, ns_error *err) {
    assert(split <= DATA__UNASSIGNED);
    if (writer->image_count == DATA__IMAGES_MAX) {
        return ns_fail(err, NS_ERR_INPUT, "a data set cannot hold more than %u images",
                       DATA__IMAGES_MAX);
    }
    if (writer->image_count == writer->image_capacity) {
        NS_TRY(grow_tables(writer, err));
    }
    const size_t plane_size = (size_t)writer->height * (size_t)writer->width;
    const size_t index = writer->image_count;
    uint64_t *sums = writer->image_sums + index * 2 * (size_t)writer->channels;
    for (int c = 0; c < writer->channels; c++) {
        sum_plane(pixels + (size_t)c * plane_size, plane_size, sums + 2 * (size_t)c);
    }
    writer->image_labels[index] = entry;
    writer->image_splits[index] = (uint8_t)split;
    writer->image_count++;
    return append_pixels(writer, pixels, image_bytes(writer), err);
}

ns_status data__pack_add(data__pack_writer *writer, const uint8_t *pixels, int label,
                         data_split split, ns_error *err) {
    assert(label >= 0 && label < writer->label_count);
    const uint16_t only[] = {(uint16_t)label};
    return writer->multi_label ? data__pack_add_labels(writer, pixels, only, 1, split, err)
                               : add_image(writer, pixels, only[0], split, err);
}

ns_status data__pack_add_labels(data__pack_writer *writer, const uint8_t *pixels,
                                const uint16_t *labels, size_t count, data_split split,
                                ns_error *err) {
    assert(writer->multi_label && count <= DATA__IMAGE_LABELS_MAX);
    for (size_t i = 0; i < count; i++) {
        assert(labels[i] < writer->label_count && (i == 0 || labels[i - 1] < labels[i]));
    }
    if (count > 0) {
        NS_TRY(data__bytes_append(&writer->label_lists, labels, count * sizeof(*labels), err));
    }
    return add_image(writer, pixels, (uint16_t)count, split, err);
}

ns_status data__pack_name(data__pack_writer *writer, const char *name, ns_error *err) {
    assert(writer->image_count > writer->names.count);
    return data__pack_names_put(&writer->names, writer->image_count - 1, name, err);
}

ns_status data__pack_drop(data__pack_writer *writer, const char *file, const char *reason,
                          ns_error *err) {
    char *name = escaped(file);
    if (name == NULL) {
        return no_memory(err);
    }
    const ns_status status = data__bytes_append_string(&writer->dropped, name, err);
    free(name);
    NS_TRY(status);
    NS_TRY(data__bytes_append_string(&writer->dropped, reason, err));
    writer->dropped_count++;
    return NS_OK;
}

/// NULL unless multi-label; never NULL then, though no image may have a label.
static const uint16_t *label_lists(const data__pack_writer *writer) {
    static const uint16_t empty[1];
    const void *lists =
        writer->label_lists.used > 0 ? writer->label_lists.bytes : (const void *)empty;
    return writer->multi_label ? lists : NULL;
}

ns_status data__pack_split(data__pack_writer *writer, const int percent[DATA_SPLIT_COUNT],
                           uint64_t seed, ns_error *err) {
    data__split_request request = {
        .image_labels = writer->image_labels,
        .label_lists = label_lists(writer),
        .image_splits = writer->image_splits,
        .image_count = writer->image_count,
        .labels = (const char *const *)writer->labels,
        .label_count = writer->label_count,
        .seed = seed,
    };
    memcpy(request.percent, percent, sizeof(request.percent));
    return data__split_assign(&request, err);
}

size_t data__pack_count(const data__pack_writer *writer) {
    return writer->image_count;
}

/* ---- taking images out again ----------------------------------------------------------------- */

/// Where the lists of labels of a multi-label pack are read and written, in labels.
typedef struct list_places {
    size_t from, to;
} list_places;

/// Moves the lists of images [first, end); the image before them, if any, is one that goes.
static void move_lists(data__pack_writer *writer, list_places *places, size_t first, size_t end) {
    uint16_t *lists = (uint16_t *)(void *)writer->label_lists.bytes;
    size_t count = 0;
    if (!writer->multi_label || writer->label_lists.used == 0) {
        return;
    }
    places->from += first > 0 ? writer->image_labels[first - 1] : 0;
    for (size_t i = first; i < end; i++) {
        count += writer->image_labels[i];
    }
    memmove(lists + places->to, lists + places->from, count * sizeof(*lists));
    places->from += count;
    places->to += count;
}

/// Moves the table entries of images [first, end) to `to`, which is not behind `first`.
static void move_entries(data__pack_writer *writer, size_t to, size_t first, size_t end) {
    const size_t sums_size = 2 * (size_t)writer->channels;
    const size_t count = end - first;
    memmove(writer->image_labels + to, writer->image_labels + first,
            count * sizeof(*writer->image_labels));
    memmove(writer->image_splits + to, writer->image_splits + first, count);
    memmove(writer->image_sums + to * sums_size, writer->image_sums + first * sums_size,
            count * sums_size * sizeof(*writer->image_sums));
}

/// Hashes `size_bytes` of pixels from `from` on, and writes them at `to` where that is elsewhere.
/// Offsets into the pixels.
static ns_status move_pixels(data__pack_writer *writer, uint64_t to, uint64_t from,
                             uint64_t size_bytes, ns_error *err) {
    while (size_bytes > 0) {
        const size_t now = size_bytes < BUFFER_BYTES ? (size_t)size_bytes : BUFFER_BYTES;
        NS_TRY(ns_atomic_read_at(writer->file, writer->buffer, now, DATA__PAGE_BYTES + from, err));
        ns_sha256_update(writer->pixels_hash, writer->buffer, now);
        if (to != from) {
            NS_TRY(
                ns_atomic_write_at(writer->file, writer->buffer, now, DATA__PAGE_BYTES + to, err));
        }
        to += now;
        from += now;
        size_bytes -= now;
    }
    return NS_OK;
}

/// Begins the hash of the pixels anew.
static ns_status restart_hash(data__pack_writer *writer, ns_error *err) {
    char unused[NS_SHA256_HEX_MAX];
    ns_sha256_finish(writer->pixels_hash, unused);
    writer->pixels_hash = NULL;
    return ns_sha256_new(&writer->pixels_hash, err);
}

ns_status data__pack_remove(data__pack_writer *writer, const uint32_t *indices, size_t count,
                            ns_error *err) {
    const uint64_t size = image_bytes(writer);
    list_places places = {0};
    size_t kept = 0;
    if (count == 0) {
        return NS_OK;
    }
    NS_TRY(flush_pixels(writer, err));
    NS_TRY(restart_hash(writer, err));
    for (size_t i = 0; i <= count; i++) { // what lies between two removed images moves as one
        const size_t first = i == 0 ? 0 : (size_t)indices[i - 1] + 1;
        const size_t end = i == count ? writer->image_count : indices[i];
        assert(first <= end && end <= writer->image_count);
        NS_TRY(move_pixels(writer, kept * size, first * size, (end - first) * size, err));
        move_lists(writer, &places, first, end);
        move_entries(writer, kept, first, end);
        kept += end - first;
    }
    data__pack_names_remove(&writer->names, indices, count);
    writer->image_count = kept;
    writer->label_lists.used = places.to * sizeof(uint16_t);
    writer->pixels_bytes = kept * size;
    return ns_atomic_truncate(writer->file, DATA__PAGE_BYTES + writer->pixels_bytes, err);
}

/* ---- the end --------------------------------------------------------------------------------- */

/// Mean and deviation of the training pixels of channel `c`; a constant channel gets deviation 1.
static void channel_statistics(const data__pack_writer *writer, int c, float *mean,
                               float *deviation) {
    uint64_t sum = 0;
    uint64_t square_sum = 0;
    uint64_t count = 0;
    for (size_t i = 0; i < writer->image_count; i++) {
        if (writer->image_splits[i] == DATA_TRAIN) {
            const uint64_t *sums =
                writer->image_sums + (i * (size_t)writer->channels + (size_t)c) * 2;
            sum += sums[0];
            square_sum += sums[1];
            count += (uint64_t)writer->height * (uint64_t)writer->width;
        }
    }
    if (count == 0) {
        *mean = 0.0f;
        *deviation = 1.0f;
        return;
    }
    const double mean_exact = (double)sum / (double)count;
    const double variance = (double)square_sum / (double)count - mean_exact * mean_exact;
    *mean = (float)mean_exact;
    *deviation = variance > 1e-6 ? (float)sqrt(variance) : 1.0f;
}

static ns_status build_tables(const data__pack_writer *writer, data__bytes *tables, ns_error *err) {
    const size_t count = writer->image_count;
    NS_TRY(data__bytes_append(tables, writer->image_labels, count * sizeof(uint16_t), err));
    if (writer->label_lists.used > 0) {
        NS_TRY(
            data__bytes_append(tables, writer->label_lists.bytes, writer->label_lists.used, err));
    }
    NS_TRY(data__bytes_append(tables, writer->image_splits, count, err));
    for (int i = 0; i < writer->label_count; i++) {
        NS_TRY(data__bytes_append_string(tables, writer->labels[i], err));
    }
    NS_TRY(data__bytes_append_string(tables, writer->source, err));
    NS_TRY(data__bytes_append_string(tables, writer->provenance, err));
    if (writer->dropped.used > 0) {
        NS_TRY(data__bytes_append(tables, writer->dropped.bytes, writer->dropped.used, err));
    }
    return NS_OK;
}

/// The identity: sizes, label names, labels, splits and the digest of the pixels. What a multi-label
/// set adds lets none of these have the identity of a set of single labels.
static ns_status content_digest(const data__pack_writer *writer, const data__pack_header *header,
                                char out[NS_SHA256_HEX_MAX], ns_error *err) {
    ns_sha256 *hash = NULL;
    NS_TRY(ns_sha256_new(&hash, err));
    const uint32_t sizes[] = {header->channels, header->height, header->width, header->label_count};
    ns_sha256_update(hash, sizes, sizeof(sizes));
    ns_sha256_update(hash, &header->image_count, sizeof(header->image_count));
    for (int i = 0; i < writer->label_count; i++) {
        ns_sha256_update(hash, writer->labels[i], strlen(writer->labels[i]) + 1);
    }
    ns_sha256_update(hash, writer->image_labels, writer->image_count * sizeof(uint16_t));
    if (writer->multi_label) {
        ns_sha256_update(hash, "multi-label", sizeof("multi-label"));
        ns_sha256_update(hash, writer->label_lists.bytes, writer->label_lists.used);
    }
    ns_sha256_update(hash, writer->image_splits, writer->image_count);
    ns_sha256_update(hash, header->pixels_sha256, sizeof(header->pixels_sha256));
    ns_sha256_finish(hash, out);
    return NS_OK;
}

ns_status data__pack_header_digest(const uint8_t *page, char out[NS_SHA256_HEX_MAX],
                                   ns_error *err) {
    uint8_t copy[DATA__PAGE_BYTES];
    memcpy(copy, page, sizeof(copy));
    memset(copy + offsetof(data__pack_header, header_sha256), 0, DATA__DIGEST_BYTES);
    return ns_sha256_of(copy, sizeof(copy), out, err);
}

static ns_status fill_header(data__pack_writer *writer, const data__bytes *tables,
                             data__pack_header *header, ns_error *err) {
    char digest[NS_SHA256_HEX_MAX];
    memcpy(header->magic, DATA__PACK_MAGIC, sizeof(header->magic));
    header->version = header->names_bytes > 0 ? DATA__PACK_VERSION_NAMED
                      : writer->multi_label   ? DATA__PACK_VERSION_MULTI
                                              : DATA__PACK_VERSION;
    header->multi_label = header->names_bytes > 0 && writer->multi_label;
    header->order = DATA__PACK_ORDER;
    header->channels = (uint32_t)writer->channels;
    header->height = (uint32_t)writer->height;
    header->width = (uint32_t)writer->width;
    header->label_count = (uint32_t)writer->label_count;
    header->image_count = writer->image_count;
    header->dropped_count = writer->dropped_count;
    header->pixels_bytes = writer->pixels_bytes;
    header->tables_bytes = tables->used;
    for (int c = 0; c < writer->channels; c++) {
        channel_statistics(writer, c, &header->mean[c], &header->deviation[c]);
    }
    ns_sha256_finish(writer->pixels_hash, digest);
    writer->pixels_hash = NULL;
    memcpy(header->pixels_sha256, digest, DATA__DIGEST_BYTES);
    NS_TRY(ns_sha256_of(tables->bytes, tables->used, digest, err));
    memcpy(header->tables_sha256, digest, DATA__DIGEST_BYTES);
    NS_TRY(content_digest(writer, header, digest, err));
    memcpy(header->content_sha256, digest, DATA__DIGEST_BYTES);
    uint8_t page[DATA__PAGE_BYTES] = {0};
    memcpy(page, header, sizeof(*header));
    NS_TRY(data__pack_header_digest(page, digest, err));
    memcpy(header->header_sha256, digest, DATA__DIGEST_BYTES);
    return NS_OK;
}

ns_status data__pack_finish(data__pack_writer *writer, ns_error *err) {
    static const uint8_t zeros[8];
    data__bytes tables = {0};
    data__pack_header header = {0};
    ns_status status = NS_OK;
    for (size_t i = 0; i < writer->image_count; i++) {
        assert(writer->image_splits[i] < DATA__UNASSIGNED);
    }
    if (writer->image_count == 0) {
        status = ns_fail(err, NS_ERR_INPUT, "a data set without a single image cannot be written");
        goto out;
    }
    NS_TRY_OUT(append_pixels(writer, zeros, (8 - writer->pixels_bytes % 8) % 8, err));
    NS_TRY_OUT(flush_pixels(writer, err));
    NS_TRY_OUT(
        data__pack_names_write(&writer->names, writer->image_count, writer->file, &header, err));
    NS_TRY_OUT(build_tables(writer, &tables, err));
    NS_TRY_OUT(ns_atomic_write(writer->file, tables.bytes, tables.used, err));
    NS_TRY_OUT(fill_header(writer, &tables, &header, err));
    NS_TRY_OUT(ns_atomic_write_at(writer->file, &header, sizeof(header), 0, err));
    status = ns_atomic_commit(writer->file, err);
    writer->file = NULL;
out:
    free(tables.bytes);
    writer_free(writer);
    return status;
}

void data__pack_abort(data__pack_writer *writer) {
    writer_free(writer);
}
