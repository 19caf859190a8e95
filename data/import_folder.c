// A folder per label: SOURCE/rose/1.jpg, or with splits above the labels:
// SOURCE/train/rose/1.jpg, SOURCE/validation/..., SOURCE/test/...
//
// The depth is fixed, so that links in a circle end by themselves; what lies elsewhere is listed as
// left out. Whether a file is an image is decided later, from its content. Names of files are taken
// as bytes; those of labels must be UTF-8.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/data_internal.h"

typedef enum entry_kind {
    ENTRY_FOLDER,
    ENTRY_FILE,
    ENTRY_STRANGE, // a pipe, a device, a link to nowhere or in a circle
} entry_kind;

static entry_kind classify(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) {
        return ENTRY_STRANGE;
    }
    return S_ISDIR(info.st_mode)   ? ENTRY_FOLDER
           : S_ISREG(info.st_mode) ? ENTRY_FILE
                                   : ENTRY_STRANGE;
}

static const char *why_not(entry_kind kind) {
    switch (kind) {
    case ENTRY_FOLDER:
        return "it is a folder inside a label's folder";
    case ENTRY_FILE:
        return "it is not inside a label's folder";
    default:
        return "it is not a regular file";
    }
}

/// A folder being read: `below` is its name below `source`, "" for the source itself.
typedef struct place {
    const char *source;
    const char *below;
    char path[NS_PATH_MAX];
    char **names;
    size_t count;
} place;

static ns_status place_open(place *at, const char *source, const char *below, ns_error *err) {
    at->source = source;
    at->below = below;
    at->names = NULL;
    at->count = 0;
    NS_TRY(ns_path_join(source, below[0] == 0 ? "." : below, at->path, err));
    return data__dir_names(at->path, &at->names, &at->count, err);
}

static void place_close(place *at) {
    data__names_free(at->names, at->count);
}

/// The name of entry `index` below the source, and what it is.
static ns_status place_entry(const place *at, size_t index, char below[NS_PATH_MAX],
                             entry_kind *kind, ns_error *err) {
    char path[NS_PATH_MAX];
    NS_TRY(ns_path_join(at->path, at->names[index], path, err));
    *kind = classify(path);
    if (at->below[0] == 0) {
        (void)snprintf(below, NS_PATH_MAX, "%s", at->names[index]);
        return NS_OK;
    }
    return ns_path_join(at->below, at->names[index], below, err);
}

static ns_status list_label(const char *source, const char *below, const char *name, uint8_t split,
                            data__listing *listing, ns_error *err) {
    place at;
    int label;
    ns_status status = NS_OK;
    NS_TRY_OUT(place_open(&at, source, below, err));
    status = data__listing_label(listing, name, &label, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", source);
        goto out;
    }
    for (size_t i = 0; i < at.count; i++) {
        char entry[NS_PATH_MAX];
        entry_kind kind;
        NS_TRY_OUT(place_entry(&at, i, entry, &kind, err));
        if (kind == ENTRY_FILE) {
            NS_TRY_OUT(data__listing_add(listing, source, entry, label, split, err));
        } else {
            NS_TRY_OUT(data__listing_skip(listing, entry, why_not(kind), err));
        }
    }
out:
    place_close(&at);
    return status;
}

static ns_status list_labels(const place *at, uint8_t split, data__listing *listing,
                             ns_error *err) {
    for (size_t i = 0; i < at->count; i++) {
        char entry[NS_PATH_MAX];
        entry_kind kind;
        NS_TRY(place_entry(at, i, entry, &kind, err));
        if (kind == ENTRY_FOLDER) {
            NS_TRY(list_label(at->source, entry, at->names[i], split, listing, err));
        } else {
            NS_TRY(data__listing_skip(listing, entry, why_not(kind), err));
        }
    }
    return NS_OK;
}

static ns_status list_splits(const place *at, data__listing *listing, ns_error *err) {
    for (size_t i = 0; i < at->count; i++) {
        char entry[NS_PATH_MAX];
        entry_kind kind;
        data_split split;
        NS_TRY(place_entry(at, i, entry, &kind, err));
        if (kind != ENTRY_FOLDER) {
            NS_TRY(data__listing_skip(listing, entry, why_not(kind), err));
            continue;
        }
        NS_TRY(data_split_parse(entry, &split, err)); // see has_splits: cannot fail
        place inner;
        ns_status status = place_open(&inner, at->source, entry, err);
        if (status == NS_OK) {
            status = list_labels(&inner, (uint8_t)split, listing, err);
        }
        place_close(&inner);
        NS_TRY(status);
    }
    return NS_OK;
}

ns_status data__folder_stranger(const char *source, const char *name, ns_error *err) {
    return ns_fail(err, NS_ERR_INPUT,
                   "cannot import %s: beside the folder 'train' there may only be 'validation' "
                   "and 'test', not '%s'",
                   source, name);
}

/// Whether the folders of the source are splits. "train" must be among them, and then nothing but
/// splits may be: a label cannot be told from a misspelt split.
static ns_status has_splits(const place *at, bool *out, ns_error *err) {
    const char *stranger = NULL;
    *out = false;
    for (size_t i = 0; i < at->count; i++) {
        char entry[NS_PATH_MAX];
        entry_kind kind;
        data_split split;
        NS_TRY(place_entry(at, i, entry, &kind, err));
        if (kind != ENTRY_FOLDER) {
            continue;
        }
        if (data_split_parse(at->names[i], &split, NULL) != NS_OK) {
            stranger = at->names[i];
        } else if (split == DATA_TRAIN) {
            *out = true;
        }
    }
    if (*out && stranger != NULL) {
        return data__folder_stranger(at->source, stranger, err);
    }
    return NS_OK;
}

ns_status data__folder_list(const char *source, data__listing *listing, ns_error *err) {
    place top;
    bool splits;
    ns_status status = NS_OK;
    NS_TRY_OUT(place_open(&top, source, "", err));
    NS_TRY_OUT(has_splits(&top, &splits, err));
    NS_TRY_OUT(splits ? list_splits(&top, listing, err)
                      : list_labels(&top, DATA__UNASSIGNED, listing, err));
    if (listing->label_count == 0) {
        status = ns_fail(err, NS_ERR_INPUT,
                         "cannot import %s: it holds no folder; images belong in one folder per "
                         "label",
                         source);
    }
out:
    place_close(&top);
    return status;
}
