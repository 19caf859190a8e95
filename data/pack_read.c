// Opens a pack (.nsd): maps it read-only, so that all processes share its pages, and believes
// nothing in it before it was checked: first sizes against the file's, then the checksums, then
// every label, split and string. Whatever bytes a file holds, data_open returns.
//
// Checking reads the file instead of the map, and the tables stay in memory: a file that somebody
// cuts off meanwhile is a short read, not a SIGBUS. Packs are only ever replaced whole (rename), so
// pixels and names under a map stay as they were checked unless somebody writes into the file by hand.

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data_internal.h"

#define BUFFER_BYTES ((size_t)1 << 20)

struct data_set {
    uint8_t *map; // the whole file
    size_t map_bytes;
    uint8_t *tables; // (header.tables_bytes)
    data__pack_header header;
    data_info info;
    char sha256[NS_SHA256_HEX_MAX];
    size_t image_bytes;
    const uint8_t *pixels;        // (image_count, C, H, W), in the map
    const uint8_t *names;         // their section, in the map; NULL: there is none
    const uint16_t *image_labels; // (image_count), in the tables; multi-label: how many labels
    const uint16_t *label_lists;  // multi-label: all images' labels, in the tables
    uint64_t *list_ends;          // multi-label, (image_count + 1): where an image's list begins,
                                  // and where the next one's does
    const uint8_t *image_splits;  // (image_count), in the tables
    const char **labels;          // (label_count), in the tables
    data_dropped *dropped;        // (dropped_count), in the tables
    uint32_t *indices[DATA_SPLIT_COUNT];
    size_t *label_counts; // (DATA_SPLIT_COUNT, label_count)
};

ns_status data__pack_corrupt(const char *path, const char *reason, ns_error *err) {
    return ns_fail(err, NS_ERR_CORRUPT, "cannot open data set %s: %s", path, reason);
}

static ns_status no_memory(const char *path, ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "cannot open data set %s: out of memory", path);
}

/// Opens a regular file; a pipe or device would block or never end.
static ns_status open_file(const char *path, int *fd, size_t *size_bytes, ns_error *err) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) {
        return ns_fail(err, errno == ENOENT ? NS_ERR_NOT_FOUND : NS_ERR_IO,
                       "cannot open data set %s: %s", path, strerror(errno));
    }
    struct stat info;
    if (fstat(*fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return ns_fail(err, NS_ERR_IO, "cannot open data set %s: not a regular file", path);
    }
    if (info.st_size < DATA__PAGE_BYTES) {
        return data__pack_corrupt(path, "it is too short for a data set", err);
    }
    *size_bytes = (size_t)info.st_size;
    return NS_OK;
}

ns_status data__pack_read_at(const data__pack_file *file, void *out, size_t size_bytes,
                             uint64_t offset, ns_error *err) {
    for (size_t done = 0; done < size_bytes;) {
        const ssize_t got =
            pread(file->fd, (uint8_t *)out + done, size_bytes - done, (off_t)(offset + done));
        if (got == 0) {
            return data__pack_corrupt(file->path, "it became shorter while it was read", err);
        }
        if (got < 0 && errno != EINTR) {
            return ns_fail(err, NS_ERR_IO, "cannot read data set %s: %s", file->path,
                           strerror(errno));
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return NS_OK;
}

static ns_status check_identity(const data__pack_header *header, const char *path, ns_error *err) {
    if (memcmp(header->magic, DATA__PACK_MAGIC, sizeof(header->magic)) != 0) {
        return data__pack_corrupt(path, "it is not a nightshift data set", err);
    }
    if (header->order != DATA__PACK_ORDER) {
        return data__pack_corrupt(path, "it was written on a machine with another byte order", err);
    }
    if (header->version > DATA__PACK_VERSION_NAMED) {
        return ns_fail(err, NS_ERR_VERSION,
                       "cannot open data set %s: its format version is %u, this program reads up "
                       "to %d",
                       path, header->version, DATA__PACK_VERSION_NAMED);
    }
    if (header->version == 0) {
        return data__pack_corrupt(path, "its format version is 0", err);
    }
    return NS_OK;
}

/// Names where the version has them, of a possible size.
static bool names_size_is_sound(const data__pack_header *header) {
    return header->version == DATA__PACK_VERSION_NAMED
               ? header->multi_label <= 1 && data__pack_names_fit(header)
               : header->names_bytes == 0;
}

/// Sizes within limits, and the parts together exactly as long as the file.
static bool sizes_are_sound(const data__pack_header *header, size_t file_bytes) {
    if ((header->channels != 1 && header->channels != 3) || header->height == 0 ||
        header->height > DATA__SIDE_MAX || header->width == 0 || header->width > DATA__SIDE_MAX ||
        header->label_count == 0 || header->label_count > DATA_LABELS_MAX ||
        header->image_count == 0 || header->image_count > DATA__IMAGES_MAX) {
        return false;
    }
    const uint64_t rest = file_bytes - DATA__PAGE_BYTES;
    const uint64_t image_bytes = (uint64_t)header->channels * header->height * header->width;
    const uint64_t pixels_bytes = (header->image_count * image_bytes + 7) / 8 * 8;
    return names_size_is_sound(header) && header->pixels_bytes == pixels_bytes &&
           pixels_bytes <= rest && header->names_bytes <= rest - pixels_bytes &&
           header->tables_bytes == rest - pixels_bytes - header->names_bytes &&
           header->tables_bytes >= 3 * header->image_count + header->label_count + 2 &&
           header->dropped_count <= header->tables_bytes / 2;
}

static bool statistics_are_sound(const data__pack_header *header) {
    for (uint32_t c = 0; c < header->channels; c++) {
        const float mean = header->mean[c];
        const float deviation = header->deviation[c];
        if (!(mean >= 0.0f && mean <= 255.0f && deviation > 0.0f && deviation <= 255.0f)) {
            return false;
        }
    }
    return true;
}

static ns_status read_header(data_set *set, const data__pack_file *file, ns_error *err) {
    uint8_t page[DATA__PAGE_BYTES];
    char digest[NS_SHA256_HEX_MAX];
    NS_TRY(data__pack_read_at(file, page, sizeof(page), 0, err));
    memcpy(&set->header, page, sizeof(set->header));
    NS_TRY(check_identity(&set->header, file->path, err));
    NS_TRY(data__pack_header_digest(page, digest, err));
    if (memcmp(digest, set->header.header_sha256, DATA__DIGEST_BYTES) != 0) {
        return data__pack_corrupt(file->path, "its header is damaged (checksums differ)", err);
    }
    if (!sizes_are_sound(&set->header, file->size_bytes)) {
        return data__pack_corrupt(file->path, "its sizes disagree with the file's", err);
    }
    return statistics_are_sound(&set->header)
               ? NS_OK
               : data__pack_corrupt(file->path, "its pixel statistics are impossible", err);
}

static ns_status load_tables(data_set *set, const data__pack_file *file, ns_error *err) {
    const data__pack_header *header = &set->header;
    char digest[NS_SHA256_HEX_MAX];
    set->tables = malloc(header->tables_bytes);
    if (set->tables == NULL) {
        return no_memory(file->path, err);
    }
    NS_TRY(data__pack_read_at(file, set->tables, header->tables_bytes,
                              DATA__PAGE_BYTES + header->pixels_bytes + header->names_bytes, err));
    NS_TRY(ns_sha256_of(set->tables, header->tables_bytes, digest, err));
    return memcmp(digest, header->tables_sha256, DATA__DIGEST_BYTES) == 0
               ? NS_OK
               : data__pack_corrupt(file->path, "its label table is damaged (checksums differ)",
                                    err);
}

/// A part of the file with a digest of its own.
typedef struct pack_part {
    uint64_t offset, size_bytes;
    const char *sha256; // (DATA__DIGEST_BYTES)
    const char *damage; // the reason when it has another
} pack_part;

static ns_status hash_part(const data__pack_file *file, const pack_part *part, ns_sha256 *hash,
                           ns_error *err) {
    uint8_t *buffer = malloc(BUFFER_BYTES);
    if (buffer == NULL) {
        return no_memory(file->path, err);
    }
    ns_status status = NS_OK;
    for (uint64_t done = 0; done < part->size_bytes && status == NS_OK; done += BUFFER_BYTES) {
        const uint64_t left = part->size_bytes - done;
        const size_t size_bytes = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
        status = data__pack_read_at(file, buffer, size_bytes, part->offset + done, err);
        if (status == NS_OK) {
            ns_sha256_update(hash, buffer, size_bytes);
        }
    }
    free(buffer);
    return status;
}

static ns_status check_part(const data__pack_file *file, const pack_part *part, ns_error *err) {
    ns_sha256 *hash = NULL;
    char digest[NS_SHA256_HEX_MAX];
    NS_TRY(ns_sha256_new(&hash, err));
    const ns_status status = hash_part(file, part, hash, err);
    ns_sha256_finish(hash, digest);
    NS_TRY(status);
    return memcmp(digest, part->sha256, DATA__DIGEST_BYTES) == 0
               ? NS_OK
               : data__pack_corrupt(file->path, part->damage, err);
}

/// Pixels and names: what is mapped.
static ns_status check_mapped(const data__pack_header *header, const data__pack_file *file,
                              ns_error *err) {
    const pack_part pixels = {DATA__PAGE_BYTES, header->pixels_bytes, header->pixels_sha256,
                              "its pixel data is damaged (checksums differ)"};
    const pack_part names = {DATA__PAGE_BYTES + header->pixels_bytes, header->names_bytes,
                             header->names_sha256,
                             "its table of file names is damaged (checksums differ)"};
    NS_TRY(check_part(file, &pixels, err));
    if (header->names_bytes == 0) {
        return NS_OK;
    }
    NS_TRY(check_part(file, &names, err));
    return data__pack_names_check(file, header, err);
}

static ns_status map_file(data_set *set, const data__pack_file *file, ns_error *err) {
    void *map = mmap(NULL, file->size_bytes, PROT_READ, MAP_SHARED, file->fd, 0);
    if (map == MAP_FAILED) {
        return ns_fail(err, NS_ERR_IO, "cannot map data set %s: %s", file->path, strerror(errno));
    }
    set->map = map;
    set->map_bytes = file->size_bytes;
    return NS_OK;
}

/// Takes the next string off `*at`, or returns NULL when none ends before `end`.
static const char *take_string(const char **at, const char *end) {
    const char *text = *at;
    const char *stop = memchr(text, 0, (size_t)(end - text));
    if (stop == NULL) {
        return NULL;
    }
    *at = stop + 1;
    return text;
}

static ns_status read_strings(data_set *set, const char *path, const char *at, const char *end,
                              ns_error *err) {
    const data__pack_header *header = &set->header;
    bool sound = true;
    for (uint32_t i = 0; i < header->label_count && sound; i++) {
        set->labels[i] = take_string(&at, end);
        sound = set->labels[i] != NULL;
    }
    set->info.source = sound ? take_string(&at, end) : NULL;
    set->info.provenance = set->info.source != NULL ? take_string(&at, end) : NULL;
    sound = set->info.provenance != NULL;
    for (uint64_t i = 0; i < header->dropped_count && sound; i++) {
        set->dropped[i].file = take_string(&at, end);
        set->dropped[i].reason = set->dropped[i].file != NULL ? take_string(&at, end) : NULL;
        sound = set->dropped[i].reason != NULL;
    }
    return sound && at == end ? NS_OK : data__pack_corrupt(path, "its strings are cut off", err);
}

/// The labels of image `index`; `*count` of them.
static const uint16_t *labels_of(const data_set *set, size_t index, size_t *count) {
    if (!set->info.multi_label) {
        *count = 1;
        return &set->image_labels[index];
    }
    *count = (size_t)(set->list_ends[index + 1] - set->list_ends[index]);
    return &set->label_lists[set->list_ends[index]];
}

/// Existing labels, ascending.
static bool labels_are_sound(const uint16_t *labels, size_t count, uint32_t label_count) {
    for (size_t k = 0; k < count; k++) {
        if (labels[k] >= label_count || (k > 0 && labels[k - 1] >= labels[k])) {
            return false;
        }
    }
    return true;
}

static ns_status count_images(data_set *set, const char *path, ns_error *err) {
    const data__pack_header *header = &set->header;
    for (uint64_t i = 0; i < header->image_count; i++) {
        const uint8_t split = set->image_splits[i];
        size_t count = 0;
        const uint16_t *labels = labels_of(set, i, &count);
        if (!labels_are_sound(labels, count, header->label_count) || split >= DATA_SPLIT_COUNT) {
            return data__pack_corrupt(path, "an image has a label or split that does not exist",
                                      err);
        }
        set->info.split_count[split]++;
        for (size_t k = 0; k < count; k++) {
            set->label_counts[split * header->label_count + labels[k]]++;
        }
    }
    return NS_OK;
}

static ns_status index_images(data_set *set, const char *path, ns_error *err) {
    size_t used[DATA_SPLIT_COUNT] = {0};
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        const size_t count = set->info.split_count[split];
        set->indices[split] = malloc((count > 0 ? count : 1) * sizeof(uint32_t));
        if (set->indices[split] == NULL) {
            return no_memory(path, err);
        }
    }
    for (size_t i = 0; i < set->info.image_count; i++) {
        const uint8_t split = set->image_splits[i];
        set->indices[split][used[split]++] = (uint32_t)i;
    }
    return NS_OK;
}

/// Finds the lists of a multi-label pack behind the counts, and what comes after them.
static ns_status find_lists(data_set *set, const char *path, const uint8_t **rest, ns_error *err) {
    const size_t image_count = set->header.image_count;
    set->list_ends = malloc((image_count + 1) * sizeof(*set->list_ends));
    if (set->list_ends == NULL) {
        return no_memory(path, err);
    }
    set->list_ends[0] = 0;
    for (size_t i = 0; i < image_count; i++) {
        set->list_ends[i + 1] = set->list_ends[i] + set->image_labels[i];
    }
    const uint64_t list_bytes = set->list_ends[image_count] * sizeof(uint16_t);
    if (list_bytes > set->header.tables_bytes - 3 * image_count) {
        return data__pack_corrupt(path, "its lists of labels are cut off", err);
    }
    set->label_lists = set->image_labels + image_count;
    *rest += list_bytes;
    return NS_OK;
}

static ns_status read_tables(data_set *set, const char *path, ns_error *err) {
    const data__pack_header *header = &set->header;
    const size_t image_count = header->image_count;
    const size_t label_count = header->label_count;
    const uint8_t *tables = set->tables;
    set->pixels = set->map + DATA__PAGE_BYTES;
    set->image_bytes = (size_t)header->channels * header->height * header->width;
    set->image_labels = (const uint16_t *)(const void *)tables;
    set->image_splits = tables + image_count * sizeof(uint16_t);
    set->names = header->names_bytes > 0 ? set->pixels + header->pixels_bytes : NULL;
    set->info.multi_label = header->version == DATA__PACK_VERSION_MULTI ||
                            (header->version == DATA__PACK_VERSION_NAMED && header->multi_label);
    if (set->info.multi_label) {
        NS_TRY(find_lists(set, path, &set->image_splits, err));
    }
    set->labels = calloc(label_count, sizeof(*set->labels));
    set->dropped = calloc(header->dropped_count + 1, sizeof(*set->dropped));
    set->label_counts = calloc(DATA_SPLIT_COUNT * label_count, sizeof(*set->label_counts));
    if (set->labels == NULL || set->dropped == NULL || set->label_counts == NULL) {
        return no_memory(path, err);
    }
    NS_TRY(read_strings(set, path, (const char *)set->image_splits + image_count,
                        (const char *)tables + header->tables_bytes, err));
    set->info.image_count = image_count;
    NS_TRY(count_images(set, path, err));
    return index_images(set, path, err);
}

/// What data_info says of the train split.
static double imbalance_of(const data_set *set) {
    const size_t *counts = &set->label_counts[(size_t)DATA_TRAIN * set->header.label_count];
    size_t least = 0;
    size_t most = 0;
    for (uint32_t i = 0; i < set->header.label_count; i++) {
        most = counts[i] > most ? counts[i] : most;
        least = counts[i] > 0 && (least == 0 || counts[i] < least) ? counts[i] : least;
    }
    return least == 0 || set->info.multi_label ? 1 : (double)most / (double)least;
}

static void fill_info(data_set *set) {
    const data__pack_header *header = &set->header;
    data_info *info = &set->info;
    memcpy(set->sha256, header->content_sha256, DATA__DIGEST_BYTES);
    info->channels = (int)header->channels;
    info->height = (int)header->height;
    info->width = (int)header->width;
    info->label_count = (int)header->label_count;
    info->labels = set->labels;
    memcpy(info->mean, header->mean, sizeof(info->mean));
    memcpy(info->deviation, header->deviation, sizeof(info->deviation));
    info->train_imbalance = imbalance_of(set);
    info->sha256 = set->sha256;
}

ns_status data_open(const char *path, data_set **out, ns_error *err) {
    data_set *set = calloc(1, sizeof(*set));
    if (set == NULL) {
        return no_memory(path, err);
    }
    ns_status status = NS_OK;
    data__pack_file file = {.path = path, .fd = -1};
    NS_TRY_OUT(open_file(path, &file.fd, &file.size_bytes, err));
    NS_TRY_OUT(read_header(set, &file, err));
    NS_TRY_OUT(load_tables(set, &file, err));
    NS_TRY_OUT(check_mapped(&set->header, &file, err));
    NS_TRY_OUT(map_file(set, &file, err));
    NS_TRY_OUT(read_tables(set, path, err));
    fill_info(set);
    *out = set;
out:
    if (file.fd >= 0) {
        close(file.fd);
    }
    if (status != NS_OK) {
        data_close(set);
    }
    return status;
}

void data_close(data_set *set) {
    if (set == NULL) {
        return;
    }
    if (set->map != NULL) {
        munmap(set->map, set->map_bytes);
    }
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        free(set->indices[split]);
    }
    free(set->tables);
    free(set->list_ends);
    free(set->label_counts);
    free(set->dropped);
    free(set->labels);
    free(set);
}

const data_info *data_describe(const data_set *set) {
    return &set->info;
}

const uint32_t *data_indices(const data_set *set, data_split split, size_t *count) {
    assert(split < DATA_SPLIT_COUNT);
    *count = set->info.split_count[split];
    return set->indices[split];
}

const uint8_t *data_pixels(const data_set *set, size_t index) {
    assert(index < set->info.image_count);
    return set->pixels + index * set->image_bytes;
}

int data_label(const data_set *set, size_t index) {
    size_t count = 0;
    const uint16_t *labels = data_labels_of(set, index, &count);
    return count > 0 ? labels[0] : -1;
}

const uint16_t *data_labels_of(const data_set *set, size_t index, size_t *count) {
    assert(index < set->info.image_count);
    return labels_of(set, index, count);
}

bool data_has_label(const data_set *set, size_t index, int label) {
    size_t count = 0;
    const uint16_t *labels = data_labels_of(set, index, &count);
    for (size_t k = 0; k < count; k++) {
        if (labels[k] == label) {
            return true;
        }
    }
    return false;
}

size_t data_label_count(const data_set *set, data_split split, int label) {
    assert(split < DATA_SPLIT_COUNT && label >= 0 && label < set->info.label_count);
    return set->label_counts[(size_t)split * (size_t)set->info.label_count + (size_t)label];
}

const char *data_name(const data_set *set, size_t index) {
    assert(index < set->info.image_count);
    return set->names != NULL ? data__pack_names_at(set->names, &set->header, index) : NULL;
}

size_t data_dropped_count(const data_set *set) {
    return set->header.dropped_count;
}

data_dropped data_dropped_at(const data_set *set, size_t index) {
    assert(index < set->header.dropped_count);
    return set->dropped[index];
}
