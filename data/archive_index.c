// The names in an archive, and its files by them, as those of a folder.
//
// An archive is gone through once for the names. A file is opened by reading the archive again from
// its beginning up to there: CSV and IDX files, which are few. An entry whose name leads out of the
// archive, a link or a device is kept with the reason why it is left out, and never followed.

#include <stdlib.h>
#include <string.h>

#include "data/import_archive.h"

#define TOLD_ENTRIES 256 // between two questions whether to go on

static ns_status no_memory(const char *source, ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", source);
}

/* ---- names ----------------------------------------------------------------------------------- */

/// Copies `name` without "." and empty parts; NULL, or why it cannot be used.
static const char *clean_name(const char *name, char out[NS_PATH_MAX]) {
    size_t used = 0;
    out[0] = 0;
    if (name[0] == '/') {
        return "its name is an absolute path";
    }
    if (strlen(name) >= NS_PATH_MAX) {
        return "its name is too long";
    }
    while (*name != 0) {
        const size_t length = strcspn(name, "/");
        if (length == 2 && name[0] == '.' && name[1] == '.') {
            return "its name leads out of the archive";
        }
        if (length > 0 && !(length == 1 && name[0] == '.')) {
            if (used > 0) {
                out[used++] = '/';
            }
            memcpy(out + used, name, length);
            used += length;
            out[used] = 0;
        }
        name += length + (name[length] == '/');
    }
    return used > 0 ? NULL : "it has no name";
}

static bool has_litter(const char *name) {
    char part[NS_PATH_MAX];
    while (*name != 0) {
        const size_t length = strcspn(name, "/");
        (void)snprintf(part, sizeof(part), "%.*s", (int)length, name);
        if (data__is_litter(part)) {
            return true;
        }
        name += length + (name[length] == '/');
    }
    return false;
}

static int compare_entries(const void *a, const void *b) {
    const data__archive_name *first = a;
    const data__archive_name *second = b;
    const int order = strcmp(first->name, second->name);
    return order != 0 ? order : first->ordinal < second->ordinal ? -1 : 1;
}

const data__archive_name *data__archive_find(const data__archive_index *index, const char *name) {
    char clean[NS_PATH_MAX];
    size_t low = 0;
    size_t high = index->count;
    if (clean_name(name, clean) != NULL) {
        return NULL;
    }
    while (low < high) { // the first one behind all of this name
        const size_t middle = low + (high - low) / 2;
        if (strcmp(index->names[middle].name, clean) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const data__archive_name *entry = low > 0 ? &index->names[low - 1] : NULL;
    return entry != NULL && entry->why == NULL && strcmp(entry->name, clean) == 0 ? entry : NULL;
}

static ns_status add_entry(data__archive_index *index, const char *name, const char *why,
                           size_t ordinal, ns_error *err) {
    if (index->count == index->capacity) {
        const size_t capacity = index->capacity == 0 ? 256 : 2 * index->capacity;
        data__archive_name *grown = realloc(index->names, capacity * sizeof(*grown));
        if (grown == NULL) {
            return no_memory(index->source, err);
        }
        index->names = grown;
        index->capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return no_memory(index->source, err);
    }
    index->names[index->count++] =
        (data__archive_name){.name = copy, .ordinal = ordinal, .why = why};
    return NS_OK;
}

static ns_status index_entry(data__archive_index *index, const data__archive_entry *entry,
                             size_t ordinal, ns_error *err) {
    char clean[NS_PATH_MAX];
    const char *why = clean_name(entry->name, clean);
    if (why != NULL) {
        return entry->is_folder ? NS_OK : add_entry(index, entry->name, why, ordinal, err);
    }
    if (entry->is_folder || has_litter(clean)) {
        return NS_OK;
    }
    return add_entry(index, clean, entry->refused, ordinal, err);
}

ns_status data__archive_named(ns_status status, const char *source, ns_error *err) {
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", source);
    }
    return status;
}

static ns_status index_entries(data__archive_index *index, data__archive *archive,
                               const data_import_options *options, ns_error *err) {
    for (size_t ordinal = 0;; ordinal++) {
        data__archive_entry entry;
        bool at_end = false;
        NS_TRY(data__archive_named(data__archive_next(archive, &entry, &at_end, err), index->source,
                                   err));
        if (at_end) {
            return NS_OK;
        }
        NS_TRY(index_entry(index, &entry, ordinal, err));
        if (ordinal % TOLD_ENTRIES == 0) {
            NS_TRY(data__import_tell(options, index->source,
                                     (data_progress){DATA_STEP_LIST, ordinal + 1, 0}, err));
        }
    }
}

static ns_status index_all(data__archive_index *index, const data_import_options *options,
                           ns_error *err) {
    data__archive *archive = NULL;
    NS_TRY(
        data__archive_named(data__archive_open(index->source, &archive, err), index->source, err));
    const ns_status status = index_entries(index, archive, options, err);
    data__archive_close(archive);
    NS_TRY(status);
    if (index->count > 0) {
        qsort(index->names, index->count, sizeof(*index->names), compare_entries);
    }
    for (size_t i = 1; i < index->count; i++) {
        if (strcmp(index->names[i - 1].name, index->names[i].name) == 0) {
            index->names[i - 1].why = "a later entry has the same name";
        }
    }
    return NS_OK;
}

/* ---- entries as files ------------------------------------------------------------------------ */

typedef struct entry_stream {
    data__stream base;
    data__archive *archive;
} entry_stream;

static ns_status stream_read(data__stream *stream, void *out, size_t size_bytes, size_t *got,
                             ns_error *err) {
    return data__archive_read(((entry_stream *)stream)->archive, out, size_bytes, got, err);
}

static ns_status stream_unpacked(data__stream *stream, size_t size_bytes, ns_error *err) {
    return data__archive_unpacked(((entry_stream *)stream)->archive, size_bytes, err);
}

static void stream_close(data__stream *stream) {
    data__archive_close(((entry_stream *)stream)->archive);
    free(stream);
}

static ns_status place_open(const data__place *place, const char *name, data__stream **out,
                            ns_error *err) {
    const data__archive_index *index = place->archive;
    char path[NS_PATH_MAX];
    NS_TRY(ns_path_join(place->dir, name, path, err));
    const data__archive_name *entry = data__archive_find(index, path);
    if (entry == NULL) {
        return ns_fail(err, NS_ERR_NOT_FOUND, "it is not in the archive");
    }
    entry_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return no_memory(index->source, err);
    }
    stream->base =
        (data__stream){.read = stream_read, .unpacked = stream_unpacked, .close = stream_close};
    size_t next = 0;
    ns_status status = data__archive_open(index->source, &stream->archive, err);
    if (status == NS_OK) {
        status = data__archive_go_to(stream->archive, &next, entry->ordinal, err);
    }
    if (status != NS_OK) {
        stream_close(&stream->base);
        return status;
    }
    return data__stream_unpacked(&stream->base, out, err);
}

static bool place_holds(const data__place *place, const char *name) {
    char path[NS_PATH_MAX];
    return ns_path_join(place->dir, name, path, NULL) == NS_OK &&
           data__archive_find(place->archive, path) != NULL;
}

static ns_status place_names(const data__place *place, char ***names, size_t *count,
                             ns_error *err) {
    const data__archive_index *index = place->archive;
    size_t capacity = 0;
    *names = NULL;
    *count = 0;
    for (size_t i = 0; i < index->count; i++) {
        const char *name = data__archive_below_root(index, i);
        if (name == NULL || strchr(name, '/') != NULL) {
            continue;
        }
        const ns_status status = data__names_add(names, count, &capacity, name, err);
        if (status != NS_OK) {
            data__names_free(*names, *count);
            return status;
        }
    }
    return NS_OK;
}

/* ---- the root -------------------------------------------------------------------------------- */

const char *data__archive_below_root(const data__archive_index *index, size_t i) {
    const size_t length = strlen(index->root);
    const data__archive_name *entry = &index->names[i];
    return entry->why == NULL && strncmp(entry->name, index->root, length) == 0
               ? entry->name + length
               : NULL;
}

/// Tells the place what the root is.
static void place_root(data__archive_index *index) {
    index->place.dir = index->root[0] != 0 ? index->root : ".";
    (void)snprintf(index->shown, sizeof(index->shown), "%s/%s", index->source, index->root);
}

bool data__archive_enter(data__archive_index *index, const char *folder) {
    const size_t used = strlen(index->root);
    if (used + strlen(folder) + 2 > sizeof(index->root)) {
        return false;
    }
    (void)snprintf(index->root + used, sizeof(index->root) - used, "%s/", folder);
    place_root(index);
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

ns_status data__archive_scan(const char *source, const data_import_options *options,
                             data__archive_index **out, ns_error *err) {
    data__archive_index *index = calloc(1, sizeof(*index));
    if (index == NULL) {
        return no_memory(source, err);
    }
    index->source = source;
    index->place = (data__place){.open = place_open,
                                 .holds = place_holds,
                                 .names = place_names,
                                 .shown = index->shown,
                                 .archive = index};
    index->csv =
        (data__file){.place = &index->place, .name = index->csv_name, .shown = index->csv_shown};
    place_root(index);
    ns_status status = index_all(index, options, err);
    if (status == NS_OK && index->count == 0) {
        status = ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds no file", source);
    }
    if (status != NS_OK) {
        data__archive_index_free(index);
        return status;
    }
    *out = index;
    return NS_OK;
}

void data__archive_index_free(data__archive_index *index) {
    if (index == NULL) {
        return;
    }
    for (size_t i = 0; i < index->count; i++) {
        free(index->names[i].name);
    }
    free(index->names);
    free(index);
}
