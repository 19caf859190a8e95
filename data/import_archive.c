// An archive that holds one of the other forms: a folder per label, a manifest with its images, a CSV
// file with pixels, IDX files or Open Images, maybe all below a folder of its own name.
//
// The form is told and listed from the names, and from CSV files, as from a folder. Images are then
// read in the archive's own order, which the items are sorted into, because an archive can only be
// read forward.

#include <stdlib.h>
#include <string.h>

#include "data/import_archive.h"

#define NOWHERE       SIZE_MAX
#define READ_BYTES    (64u << 10) // of an entry at first; then twice as many
#define CSV_TRIES_MAX 16 // of the CSV files side by side: each is a way through the archive

static ns_status no_memory(const char *source, ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", source);
}

/* ---- which form ------------------------------------------------------------------------------ */

/// The form of the first of these CSV files that has one, which the source is then taken to consist
/// of; DATA_FORMAT_AUTO when none does.
static data_format form_of_csv(data__archive_index *index, char *const *names, size_t count) {
    int tries = 0;
    for (size_t i = 0; i < count && tries < CSV_TRIES_MAX; i++) {
        if (!data__format_is_csv(names[i])) {
            continue;
        }
        tries++;
        (void)snprintf(index->csv_name, sizeof(index->csv_name), "%s", names[i]);
        data__place_show(&index->place, names[i], index->csv_shown);
        if (data__pixels_is(&index->csv)) {
            return DATA_FORMAT_PIXELS;
        }
        if (data__csv_is(&index->csv)) {
            return DATA_FORMAT_CSV;
        }
    }
    return DATA_FORMAT_AUTO;
}

static ns_status form_of_files(data__archive_index *index, data_format *out, ns_error *err) {
    char **names = NULL;
    size_t count = 0;
    NS_TRY(index->place.names(&index->place, &names, &count, err));
    *out = data__format_of_names(names, count);
    if (*out == DATA_FORMAT_AUTO) {
        *out = form_of_csv(index, names, count);
    }
    data__names_free(names, count);
    return NS_OK;
}

/// Makes the only folder in the root the root; false when there is not just one, or a split's.
static bool descend(data__archive_index *index) {
    char only[NS_PATH_MAX] = "";
    size_t length = 0;
    data_split split;
    for (size_t i = 0; i < index->count; i++) {
        const char *name = data__archive_below_root(index, i);
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
    return length > 0 && data_split_parse(only, &split, NULL) != NS_OK &&
           data__archive_enter(index, only);
}

ns_status data__archive_form(data__archive_index *index, data_format *out, ns_error *err) {
    do {
        NS_TRY(form_of_files(index, out, err));
    } while (*out == DATA_FORMAT_AUTO && descend(index));
    *out = *out == DATA_FORMAT_AUTO ? DATA_FORMAT_FOLDER : *out;
    return NS_OK;
}

/* ---- a folder per label ---------------------------------------------------------------------- */

/// Whether the folders in the root are splits; the rules are those of import_folder.c.
static ns_status has_splits(const data__archive_index *index, bool *out, ns_error *err) {
    char stranger[NS_PATH_MAX] = "";
    *out = false;
    for (size_t i = 0; i < index->count; i++) {
        char folder[NS_PATH_MAX];
        data_split split;
        const char *name = data__archive_below_root(index, i);
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
    const data__archive_name *entry = &index->names[i];
    const char *name = data__archive_below_root(index, i);
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

/// What listing->read reads with.
typedef struct image_reader {
    const data__archive_index *index;
    size_t *ordinals; // of the listing's items
    data__archive *archive;
    size_t next;        // entry
    data__content kept; // of the entry before, when the next item wants it again
    size_t kept_max;    // what it was read up to: see data__read_fn
    size_t refused;     // the last entry that was too large
} image_reader;

static void reader_free(void *context) {
    image_reader *reader = context;
    data__archive_close(reader->archive);
    data__content_free(&reader->kept);
    free(reader->ordinals);
    free(reader);
}

/// Whether more of the entry need not be read: it is no image, or the header, which alone is wanted,
/// is complete.
static bool is_enough(const data__content *content, size_t bytes_max) {
    const char *format;
    data__image_header header;
    return data__image_sniff(content->bytes, content->size_bytes, &format) == DATA__KIND_OTHER ||
           (bytes_max < SIZE_MAX && data__content_header(content, &header, NULL) == NS_OK);
}

/// Makes room for twice as much, but for no more than one byte beyond the limit.
static bool grow(data__content *content, size_t *size) {
    const size_t wanted = 2 * *size <= DATA__FILE_BYTES_MAX ? 2 * *size : DATA__FILE_BYTES_MAX + 1;
    uint8_t *grown = realloc(content->bytes, wanted);
    if (grown == NULL) {
        return false;
    }
    content->bytes = grown;
    *size = wanted;
    return true;
}

static ns_status refuse_size(ns_error *err) {
    return ns_fail(err, NS_ERR_INPUT, "it has more than %u bytes", DATA__FILE_BYTES_MAX);
}

/// Reads the entry at hand as far as is_enough; memory grows with what is really there.
static ns_status read_entry(const image_reader *reader, size_t bytes_max, data__content *out,
                            ns_error *err) {
    size_t size = bytes_max < READ_BYTES ? bytes_max : READ_BYTES;
    size_t got = 1;
    out->bytes = malloc(size);
    if (out->bytes == NULL) {
        return no_memory(reader->index->source, err);
    }
    while (got > 0) {
        NS_TRY(data__archive_read(reader->archive, out->bytes + out->size_bytes,
                                  size - out->size_bytes, &got, err));
        out->size_bytes += got;
        if (out->size_bytes > DATA__FILE_BYTES_MAX) {
            return refuse_size(err);
        }
        if (out->size_bytes < size) {
            continue;
        }
        if (is_enough(out, bytes_max)) {
            break;
        }
        if (!grow(out, &size)) {
            return no_memory(reader->index->source, err);
        }
    }
    return NS_OK;
}

static ns_status copy_content(const image_reader *reader, const data__content *from,
                              data__content *out, ns_error *err) {
    out->bytes = malloc(from->size_bytes + 1);
    if (out->bytes == NULL) {
        return no_memory(reader->index->source, err);
    }
    memcpy(out->bytes, from->bytes, from->size_bytes);
    out->size_bytes = from->size_bytes;
    return NS_OK;
}

/// Reads entry `ordinal`, which is not the one before.
static ns_status read_at(image_reader *reader, size_t ordinal, size_t bytes_max, data__content *out,
                         ns_error *err) {
    data__content_free(&reader->kept);
    if (reader->archive == NULL || ordinal < reader->next) {
        data__archive_close(reader->archive);
        reader->archive = NULL;
        reader->next = 0;
        NS_TRY(data__archive_open(reader->index->source, &reader->archive, err));
    }
    NS_TRY(data__archive_go_to(reader->archive, &reader->next, ordinal, err));
    const ns_status status = read_entry(reader, bytes_max, out, err);
    if (status != NS_OK) {
        data__content_free(out);
    }
    return status;
}

static ns_status read_image(const data__listing *listing, size_t at, size_t bytes_max,
                            data__content *out, ns_error *err) {
    image_reader *reader = listing->reader;
    const size_t ordinal = reader->ordinals[at];
    if (reader->kept.bytes != NULL && ordinal + 1 == reader->next &&
        bytes_max <= reader->kept_max) {
        return copy_content(reader, &reader->kept, out, err);
    }
    if (ordinal == reader->refused) {
        return refuse_size(err);
    }
    const ns_status status = read_at(reader, ordinal, bytes_max, out, err);
    if (status == NS_ERR_INPUT) { // of this entry alone
        reader->refused = ordinal;
        return status;
    }
    NS_TRY(data__archive_named(status, reader->index->source, err));
    reader->kept_max = bytes_max;
    return at + 1 < listing->item_count && reader->ordinals[at + 1] == ordinal
               ? copy_content(reader, out, &reader->kept, err)
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
static ns_status sort_items(image_reader *reader, data__listing *listing, ns_error *err) {
    const size_t count = listing->item_count;
    placed_item *placed = calloc(count + 1, sizeof(*placed));
    reader->ordinals = calloc(count + 1, sizeof(*reader->ordinals));
    if (placed == NULL || reader->ordinals == NULL) {
        free(placed);
        return no_memory(reader->index->source, err);
    }
    for (size_t i = 0; i < count; i++) {
        const data__item *item = &listing->items[i];
        const data__archive_name *entry =
            item->reason == NULL ? data__archive_find(reader->index, item->path) : NULL;
        placed[i] = (placed_item){
            .ordinal = entry != NULL ? entry->ordinal : NOWHERE, .before = i, .item = *item};
    }
    qsort(placed, count, sizeof(*placed), compare_places);
    for (size_t i = 0; i < count; i++) {
        listing->items[i] = placed[i].item;
        reader->ordinals[i] = placed[i].ordinal;
    }
    free(placed);
    return NS_OK;
}

/// Makes the items, whose paths are names of entries, to be read in the archive's order.
static ns_status read_in_order(const data__archive_index *index, data__listing *listing,
                               ns_error *err) {
    image_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return no_memory(index->source, err);
    }
    reader->index = index;
    reader->refused = NOWHERE;
    listing->read = read_image;
    listing->reader = reader;
    listing->reader_free = reader_free;
    listing->in_order = true;
    return sort_items(reader, listing, err);
}

/* ---- the whole ------------------------------------------------------------------------------- */

ns_status data__archive_list(data__archive_index *index, data_format form, data__listing *listing,
                             ns_error *err) {
    switch (form) {
    case DATA_FORMAT_PIXELS:
        return data__pixels_list(&index->csv, listing, err);
    case DATA_FORMAT_CSV:
        NS_TRY(data__csv_list(&index->csv, listing, err));
        break;
    case DATA_FORMAT_OPENIMAGES:
        NS_TRY(data__openimages_list(&index->place, listing, err));
        break;
    default:
        NS_TRY(list_folders(index, listing, err));
    }
    return read_in_order(index, listing, err);
}
