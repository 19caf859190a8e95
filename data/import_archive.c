// An archive that holds one of the other forms: a folder per label, a manifest with its images, a
// CSV file with pixels, or IDX files, maybe all below a folder of its own name.
//
// It is gone through once for the names. The forms are told and listed from these alone, as from a
// folder; then the images are read in the archive's own order, which the items are sorted into,
// because an archive can only be read forward. An entry whose name leads out of the archive, a link
// or a device is listed as left out and never followed.

#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

#define TOLD_ENTRIES 256 // between two questions whether to go on
#define NOWHERE      SIZE_MAX
#define READ_BYTES   (64u << 10) // of an entry at first; then twice as many

typedef struct named_entry {
    char *name;      // without "." and empty parts
    size_t ordinal;  // its place in the archive
    const char *why; // it is left out; NULL: it is not
} named_entry;

struct data__archive_index {
    const char *source;
    named_entry *entries; // (count), ascending by name, then by place
    size_t count, capacity;
    char root[NS_PATH_MAX]; // the folder that holds everything, "" or ending in a slash
    data__place place;      // its files
    char name[NS_PATH_MAX]; // of the CSV file, below the root
    char shown[2 * NS_PATH_MAX];
    data__file file;
    // While images are read:
    size_t *ordinals; // of the listing's items
    data__archive *archive;
    size_t next;        // entry
    data__content kept; // of the entry before, when the next item wants it again
};

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
    const named_entry *first = a;
    const named_entry *second = b;
    const int order = strcmp(first->name, second->name);
    return order != 0 ? order : first->ordinal < second->ordinal ? -1 : 1;
}

/// The last entry of this name that may be used, or NULL.
static const named_entry *find_entry(const data__archive_index *index, const char *name) {
    char clean[NS_PATH_MAX];
    size_t low = 0;
    size_t high = index->count;
    if (clean_name(name, clean) != NULL) {
        return NULL;
    }
    while (low < high) { // the first one behind all of this name
        const size_t middle = low + (high - low) / 2;
        if (strcmp(index->entries[middle].name, clean) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const named_entry *entry = low > 0 ? &index->entries[low - 1] : NULL;
    return entry != NULL && entry->why == NULL && strcmp(entry->name, clean) == 0 ? entry : NULL;
}

static ns_status add_entry(data__archive_index *index, const char *name, const char *why,
                           size_t ordinal, ns_error *err) {
    if (index->count == index->capacity) {
        const size_t capacity = index->capacity == 0 ? 256 : 2 * index->capacity;
        named_entry *grown = realloc(index->entries, capacity * sizeof(*grown));
        if (grown == NULL) {
            return no_memory(index->source, err);
        }
        index->entries = grown;
        index->capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return no_memory(index->source, err);
    }
    index->entries[index->count++] = (named_entry){.name = copy, .ordinal = ordinal, .why = why};
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

/// Passes on what a call of archive.c returned, whose reason names no file.
static ns_status named(ns_status status, const char *source, ns_error *err) {
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
        NS_TRY(named(data__archive_next(archive, &entry, &at_end, err), index->source, err));
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
    NS_TRY(named(data__archive_open(index->source, &archive, err), index->source, err));
    const ns_status status = index_entries(index, archive, options, err);
    data__archive_close(archive);
    NS_TRY(status);
    if (index->count > 0) {
        qsort(index->entries, index->count, sizeof(*index->entries), compare_entries);
    }
    for (size_t i = 1; i < index->count; i++) {
        if (strcmp(index->entries[i - 1].name, index->entries[i].name) == 0) {
            index->entries[i - 1].why = "a later entry has the same name";
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

static void stream_close(data__stream *stream) {
    data__archive_close(((entry_stream *)stream)->archive);
    free(stream);
}

/// Goes to entry `ordinal`, the `*next`-th being the one that comes.
static ns_status go_to(data__archive *archive, size_t *next, size_t ordinal, ns_error *err) {
    while (*next <= ordinal) {
        data__archive_entry entry;
        bool at_end = false;
        NS_TRY(data__archive_next(archive, &entry, &at_end, err));
        if (at_end) {
            return ns_fail(err, NS_ERR_CORRUPT, "it changed while it was read");
        }
        (*next)++;
    }
    return NS_OK;
}

static ns_status place_open(const data__place *place, const char *name, data__stream **out,
                            ns_error *err) {
    const data__archive_index *index = place->archive;
    char path[NS_PATH_MAX];
    NS_TRY(ns_path_join(place->dir, name, path, err));
    const named_entry *entry = find_entry(index, path);
    if (entry == NULL) {
        return ns_fail(err, NS_ERR_NOT_FOUND, "it is not in the archive");
    }
    entry_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return no_memory(index->source, err);
    }
    stream->base = (data__stream){.read = stream_read, .close = stream_close};
    size_t next = 0;
    ns_status status = data__archive_open(index->source, &stream->archive, err);
    if (status == NS_OK) {
        status = go_to(stream->archive, &next, entry->ordinal, err);
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
           find_entry(place->archive, path) != NULL;
}

/* ---- which form ------------------------------------------------------------------------------ */

/// The entry's name below the root, or NULL when it is not there or not to be used.
static const char *below_root(const data__archive_index *index, size_t i) {
    const size_t length = strlen(index->root);
    const named_entry *entry = &index->entries[i];
    return entry->why == NULL && strncmp(entry->name, index->root, length) == 0
               ? entry->name + length
               : NULL;
}

/// Takes the file `name` below the root to be the CSV file that the source consists of.
static void choose_file(data__archive_index *index, const char *name) {
    index->place.dir = index->root[0] != 0 ? index->root : ".";
    (void)snprintf(index->name, sizeof(index->name), "%s", name);
    (void)snprintf(index->shown, sizeof(index->shown), "%s/%s%s", index->source, index->root, name);
}

/// The form that the files directly in the root show; DATA_FORMAT_FOLDER when none does.
static data_format form_of_files(data__archive_index *index) {
    for (size_t i = 0; i < index->count; i++) {
        const char *name = below_root(index, i);
        if (name == NULL || strchr(name, '/') != NULL) {
            continue;
        }
        if (data__idx_is_images(name)) {
            return DATA_FORMAT_IDX;
        }
        if (data__format_is_csv(name)) {
            choose_file(index, name);
            if (data__pixels_is(&index->file)) {
                return DATA_FORMAT_PIXELS;
            }
            if (data__csv_is(&index->file)) {
                return DATA_FORMAT_CSV;
            }
        }
    }
    return DATA_FORMAT_FOLDER;
}

/// Makes the only folder in the root the root; false when there is not just one, or a split's.
static bool descend(data__archive_index *index) {
    char only[NS_PATH_MAX] = "";
    size_t length = 0;
    data_split split;
    for (size_t i = 0; i < index->count; i++) {
        const char *name = below_root(index, i);
        const char *slash = name != NULL ? strchr(name, '/') : NULL;
        if (slash == NULL) {
            continue;
        }
        if (length > 0 && strncmp(name, only, length + 1) != 0) {
            return false;
        }
        length = (size_t)(slash - name);
        (void)snprintf(only, sizeof(only), "%.*s/", (int)length, name);
    }
    only[length] = 0;
    const size_t used = strlen(index->root);
    if (length == 0 || used + length + 2 > NS_PATH_MAX ||
        data_split_parse(only, &split, NULL) == NS_OK) {
        return false;
    }
    (void)snprintf(index->root + used, sizeof(index->root) - used, "%s/", only);
    return true;
}

data_format data__archive_form(data__archive_index *index) {
    data_format form;
    do {
        form = form_of_files(index);
    } while (form == DATA_FORMAT_FOLDER && descend(index));
    return form;
}

/* ---- a folder per label ---------------------------------------------------------------------- */

/// Whether the folders in the root are splits; the rules are those of import_folder.c.
static ns_status has_splits(const data__archive_index *index, bool *out, ns_error *err) {
    char stranger[NS_PATH_MAX] = "";
    *out = false;
    for (size_t i = 0; i < index->count; i++) {
        char folder[NS_PATH_MAX];
        data_split split;
        const char *name = below_root(index, i);
        if (name == NULL || strchr(name, '/') == NULL) {
            continue;
        }
        (void)snprintf(folder, sizeof(folder), "%.*s", (int)strcspn(name, "/"), name);
        if (data_split_parse(folder, &split, NULL) != NS_OK) {
            memcpy(stranger, folder, sizeof(stranger));
        } else if (split == DATA_TRAIN) {
            *out = true;
        }
    }
    return *out && stranger[0] != 0 ? data__folder_stranger(index->source, stranger, err) : NS_OK;
}

/// Takes the first folder off `*name`; false when there is none.
static bool take_folder(const char **name, char out[NS_PATH_MAX]) {
    const char *slash = strchr(*name, '/');
    if (slash == NULL) {
        return false;
    }
    (void)snprintf(out, NS_PATH_MAX, "%.*s", (int)(slash - *name), *name);
    *name = slash + 1;
    return true;
}

static ns_status list_entry(const data__archive_index *index, size_t i, bool splits,
                            data__listing *listing, ns_error *err) {
    const named_entry *entry = &index->entries[i];
    const char *name = below_root(index, i);
    char folder[NS_PATH_MAX] = "";
    data_split split = DATA_TRAIN;
    int label;
    if (entry->why != NULL) {
        return data__listing_skip(listing, entry->name, entry->why, err);
    }
    if (name == NULL || (splits && !take_folder(&name, folder)) ||
        (splits && data_split_parse(folder, &split, NULL) != NS_OK) ||
        !take_folder(&name, folder)) {
        return data__listing_skip(listing, entry->name, "it is not inside a label's folder", err);
    }
    if (strchr(name, '/') != NULL) {
        return data__listing_skip(listing, entry->name, "it is in a folder inside a label's folder",
                                  err);
    }
    const ns_status status = data__listing_label(listing, folder, &label, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", index->source);
        return status;
    }
    return data__listing_add(listing, ".", entry->name, label,
                             splits ? (uint8_t)split : DATA__UNASSIGNED, err);
}

static ns_status list_folders(const data__archive_index *index, data__listing *listing,
                              ns_error *err) {
    bool splits;
    NS_TRY(has_splits(index, &splits, err));
    for (size_t i = 0; i < index->count; i++) {
        NS_TRY(list_entry(index, i, splits, listing, err));
    }
    return listing->label_count > 0
               ? NS_OK
               : ns_fail(err, NS_ERR_INPUT,
                         "cannot import %s: it holds no folder; images belong in one folder per "
                         "label",
                         index->source);
}

/* ---- images ---------------------------------------------------------------------------------- */

static bool is_image(const data__content *content) {
    const char *format;
    return data__image_sniff(content->bytes, content->size_bytes, &format) != DATA__KIND_OTHER;
}

/// All bytes of the entry at hand, or its beginning when that is no image's; memory grows with what
/// is really there.
static ns_status read_entry(const data__archive_index *index, data__content *out, ns_error *err) {
    size_t size = READ_BYTES;
    size_t got = 1;
    out->bytes = malloc(size);
    while (out->bytes != NULL && got > 0) {
        NS_TRY(data__archive_read(index->archive, out->bytes + out->size_bytes,
                                  size - out->size_bytes, &got, err));
        out->size_bytes += got;
        if (out->size_bytes > DATA__FILE_BYTES_MAX) {
            return ns_fail(err, NS_ERR_INPUT, "it has more than %u bytes", DATA__FILE_BYTES_MAX);
        }
        if (out->size_bytes == size && !is_image(out)) {
            break;
        }
        if (out->size_bytes == size) {
            uint8_t *grown = realloc(out->bytes, 2 * size);
            if (grown == NULL) {
                free(out->bytes);
            }
            out->bytes = grown;
            size *= 2;
        }
    }
    return out->bytes != NULL ? NS_OK : no_memory(index->source, err);
}

static ns_status copy_content(const data__archive_index *index, const data__content *from,
                              data__content *out, ns_error *err) {
    out->bytes = malloc(from->size_bytes + 1);
    if (out->bytes == NULL) {
        return no_memory(index->source, err);
    }
    memcpy(out->bytes, from->bytes, from->size_bytes);
    out->size_bytes = from->size_bytes;
    return NS_OK;
}

/// Reads entry `ordinal`, which is not the one before.
static ns_status read_at(data__archive_index *index, size_t ordinal, data__content *out,
                         ns_error *err) {
    data__content_free(&index->kept);
    if (index->archive == NULL || ordinal < index->next) {
        data__archive_close(index->archive);
        index->archive = NULL;
        index->next = 0;
        NS_TRY(data__archive_open(index->source, &index->archive, err));
    }
    NS_TRY(go_to(index->archive, &index->next, ordinal, err));
    const ns_status status = read_entry(index, out, err);
    if (status != NS_OK) {
        data__content_free(out);
    }
    return status;
}

static ns_status read_image(const data__listing *listing, size_t at, size_t bytes_max,
                            data__content *out, ns_error *err) {
    data__archive_index *index = listing->reader;
    const size_t ordinal = index->ordinals[at];
    (void)bytes_max;
    if (index->kept.bytes != NULL && ordinal + 1 == index->next) {
        return copy_content(index, &index->kept, out, err);
    }
    const ns_status status = read_at(index, ordinal, out, err);
    if (status == NS_ERR_INPUT) {
        return status; // of this entry alone
    }
    NS_TRY(named(status, index->source, err));
    return at + 1 < listing->item_count && index->ordinals[at + 1] == ordinal
               ? copy_content(index, out, &index->kept, err)
               : NS_OK;
}

typedef struct placed_item {
    size_t ordinal, before; // where it stands in the archive, and stood in the listing
    data__item item;
} placed_item;

static int compare_places(const void *a, const void *b) {
    const placed_item *first = a;
    const placed_item *second = b;
    if (first->ordinal != second->ordinal) {
        return first->ordinal < second->ordinal ? -1 : 1;
    }
    return first->before < second->before ? -1 : 1;
}

/// Sorts the items as their entries stand in the archive; what is left out comes last.
static ns_status sort_items(data__archive_index *index, data__listing *listing, ns_error *err) {
    const size_t count = listing->item_count;
    placed_item *placed = calloc(count + 1, sizeof(*placed));
    index->ordinals = calloc(count + 1, sizeof(*index->ordinals));
    if (placed == NULL || index->ordinals == NULL) {
        free(placed);
        return no_memory(index->source, err);
    }
    for (size_t i = 0; i < count; i++) {
        const data__item *item = &listing->items[i];
        const named_entry *entry = item->reason == NULL ? find_entry(index, item->path) : NULL;
        placed[i] = (placed_item){
            .ordinal = entry != NULL ? entry->ordinal : NOWHERE, .before = i, .item = *item};
    }
    qsort(placed, count, sizeof(*placed), compare_places);
    for (size_t i = 0; i < count; i++) {
        listing->items[i] = placed[i].item;
        index->ordinals[i] = placed[i].ordinal;
    }
    free(placed);
    return NS_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

ns_status data__archive_list(data__archive_index *index, data_format form, data__listing *listing,
                             ns_error *err) {
    if (form == DATA_FORMAT_PIXELS) {
        return data__pixels_list(&index->file, listing, err);
    }
    NS_TRY(form == DATA_FORMAT_CSV ? data__csv_list(&index->file, listing, err)
                                   : list_folders(index, listing, err));
    NS_TRY(sort_items(index, listing, err));
    listing->read = read_image;
    listing->reader = index;
    listing->in_order = true;
    return NS_OK;
}

ns_status data__archive_scan(const char *source, const data_import_options *options,
                             data__archive_index **out, ns_error *err) {
    data__archive_index *index = calloc(1, sizeof(*index));
    if (index == NULL) {
        return no_memory(source, err);
    }
    index->source = source;
    index->place =
        (data__place){.open = place_open, .holds = place_holds, .dir = ".", .archive = index};
    index->file = (data__file){.place = &index->place, .name = index->name, .shown = index->shown};
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
        free(index->entries[i].name);
    }
    free(index->entries);
    free(index->ordinals);
    data__archive_close(index->archive);
    data__content_free(&index->kept);
    free(index);
}
