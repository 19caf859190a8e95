// Private to data/: archives. archive.c reads one from its beginning to its end, archive_index.c
// knows the names in one and opens its files by them, import_archive.c lists what one holds.

#ifndef NS_DATA_IMPORT_ARCHIVE_H
#define NS_DATA_IMPORT_ARCHIVE_H

#include "data/data_internal.h"

/// A zip, tar or tar.gz file being read from its beginning to its end. The reasons in `err` name no
/// file; NS_ERR_CORRUPT: it is damaged or cut off; NS_ERR_LIMIT: it is far larger than it looks.
typedef struct data__archive data__archive;

typedef struct data__archive_entry {
    const char *name; // as the archive has it; lent until the next entry
    bool is_folder;
    const char *refused; // why it is no plain file; NULL: it is one
} data__archive_entry;

/// Borrows `path`.
ns_status data__archive_open(const char *path, data__archive **out, ns_error *err);
ns_status data__archive_next(data__archive *archive, data__archive_entry *out, bool *at_end,
                             ns_error *err);
/// Goes to entry `ordinal`, counted from 0, the `*next`-th being the one that comes.
ns_status data__archive_go_to(data__archive *archive, size_t *next, size_t ordinal, ns_error *err);
/// Reads on in the entry, maybe less than is asked for; `*got` is 0 at its end.
ns_status data__archive_read(data__archive *archive, void *out, size_t size_bytes, size_t *got,
                             ns_error *err);
/// Counts what was unpacked from what was read of it.
ns_status data__archive_unpacked(data__archive *archive, size_t size_bytes, ns_error *err);
void data__archive_close(data__archive *archive);
/// Whether the file begins as an archive.
bool data__archive_is(const char *path);

typedef struct data__archive_name {
    char *name;      // without "." and empty parts
    size_t ordinal;  // its place in the archive
    const char *why; // it is left out; NULL: it is not
} data__archive_name;

/// The names in an archive. Those that matter are below a root, a folder that holds everything.
typedef struct data__archive_index {
    const char *source;
    data__archive_name *names; // (count), ascending by name, then by place
    size_t count, capacity;
    char root[NS_PATH_MAX]; // "" or ending in a slash
    char shown[DATA__SHOWN_MAX];
    data__place place; // the files below the root
    // The CSV file, if the source consists of one:
    char csv_name[NS_PATH_MAX];
    char csv_shown[DATA__SHOWN_MAX];
    data__file csv;
} data__archive_index;

/// Reads all names. Borrows `source`.
ns_status data__archive_scan(const char *source, const data_import_options *options,
                             data__archive_index **out, ns_error *err);
void data__archive_index_free(data__archive_index *index);
/// The last entry of this name that may be used, or NULL.
const data__archive_name *data__archive_find(const data__archive_index *index, const char *name);
/// The name below the root of entry `i`; NULL when it is not there or not to be used.
const char *data__archive_below_root(const data__archive_index *index, size_t i);
/// Makes `folder`, directly in the root, the root. False: the path is too long.
bool data__archive_enter(data__archive_index *index, const char *folder);
/// Passes on what a call about the archive returned, whose reason names no file.
ns_status data__archive_named(ns_status status, const char *source, ns_error *err);

/// The form of what it holds: folder, CSV, pixels, IDX or Open Images. Finds the root.
ns_status data__archive_form(data__archive_index *index, data_format *out, ns_error *err);
/// Lists what it holds in this form, which is not IDX; the listing borrows `index`.
ns_status data__archive_list(data__archive_index *index, data_format form, data__listing *listing,
                             ns_error *err);

#endif
