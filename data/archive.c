// A zip, tar or tar.gz file, read from its beginning to its end, entry by entry, in memory alone:
// nothing is ever unpacked to disk, whatever the names of the entries are.
//
// What an archive says of itself is not believed. Limits hold for what was really read: the number
// of entries, their names, and all bytes together, those included that were unpacked once more from
// an entry, against those of the archive that were read for them (data__unpacked_check).
//
// libarchive turns names into the thread's locale; it is UTF-8 while a call of ours lasts.

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/import_archive.h"

#define BLOCK_BYTES     (256u << 10)
#define ENTRIES_MAX     (1u << 22)
#define NAMES_BYTES_MAX (256ull << 20)

struct data__archive {
    const char *path; // borrowed
    struct archive *handle;
    locale_t locale;
    uint64_t unpacked_bytes; // of the entries read so far, and from these
    uint64_t name_bytes;
    size_t entry_count;
    bool in_entry;
};

/// Ends in NS_ERR_CORRUPT, which ends an import: what comes behind the damage is lost.
static ns_status damaged(const data__archive *archive, ns_error *err) {
    const char *text = archive_error_string(archive->handle);
    return ns_fail(err, NS_ERR_CORRUPT, "it is damaged or cut off: %s",
                   text != NULL ? text : "no reason is known");
}

/// How many bytes came out of a filter: out of the last one (0), or of the file itself (-1).
static uint64_t position(const data__archive *archive, int filter) {
    const int64_t bytes = archive_filter_bytes(archive->handle, filter);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

static ns_status check_amount(const data__archive *archive, ns_error *err) {
    const uint64_t streamed = position(archive, 0);
    return data__unpacked_check(
        position(archive, -1),
        streamed > archive->unpacked_bytes ? streamed : archive->unpacked_bytes, err);
}

ns_status data__archive_unpacked(data__archive *archive, size_t size_bytes, ns_error *err) {
    archive->unpacked_bytes += size_bytes;
    return check_amount(archive, err);
}

/* ---- opening --------------------------------------------------------------------------------- */

static ns_status open_handle(data__archive *archive, ns_error *err) {
    struct stat info;
    if (stat(archive->path, &info) != 0) {
        return ns_fail(err, errno == ENOENT || errno == ENOTDIR ? NS_ERR_NOT_FOUND : NS_ERR_IO,
                       "%s", strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return ns_fail(err, NS_ERR_INPUT, "it is not a regular file");
    }
    archive->handle = archive_read_new();
    archive->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (archive->handle == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    (void)archive_read_support_filter_gzip(archive->handle);
    (void)archive_read_support_format_tar(archive->handle);
    (void)archive_read_support_format_zip(archive->handle);
    if (archive_read_open_filename(archive->handle, archive->path, BLOCK_BYTES) != ARCHIVE_OK) {
        return ns_fail(err, NS_ERR_INPUT, "it cannot be opened as an archive: %s",
                       archive_error_string(archive->handle));
    }
    return NS_OK;
}

ns_status data__archive_open(const char *path, data__archive **out, ns_error *err) {
    data__archive *archive = calloc(1, sizeof(*archive));
    if (archive == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    archive->path = path;
    const ns_status status = open_handle(archive, err);
    if (status != NS_OK) {
        data__archive_close(archive);
        return status;
    }
    *out = archive;
    return NS_OK;
}

void data__archive_close(data__archive *archive) {
    if (archive == NULL) {
        return;
    }
    if (archive->handle != NULL) {
        (void)archive_read_free(archive->handle);
    }
    if (archive->locale != (locale_t)0) {
        freelocale(archive->locale);
    }
    free(archive);
}

bool data__archive_is(const char *path) {
    enum { USTAR_AT = 257, START_BYTES = 512 };
    uint8_t start[START_BYTES] = {0};
    size_t got = 0;
    data__stream *stream = NULL;
    if (data__stream_open(path, &stream, NULL) != NS_OK) {
        return false;
    }
    const ns_status status = data__stream_read(stream, start, sizeof(start), &got, NULL);
    data__stream_close(stream);
    return status == NS_OK && (memcmp(start, "PK\3\4", 4) == 0 || memcmp(start, "PK\5\6", 4) == 0 ||
                               memcmp(start + USTAR_AT, "ustar", 5) == 0);
}

/* ---- entries --------------------------------------------------------------------------------- */

/// Reads what is left of an entry of a packed tar: going past it costs the same, and so it counts.
static ns_status drain(data__archive *archive, ns_error *err) {
    const int format = archive_format(archive->handle) & ARCHIVE_FORMAT_BASE_MASK;
    const bool packed = archive_filter_count(archive->handle) > 1;
    if (!archive->in_entry || format != ARCHIVE_FORMAT_TAR || !packed) {
        return NS_OK;
    }
    for (size_t got = 1; got > 0;) {
        uint8_t unused[16384];
        NS_TRY(data__archive_read(archive, unused, sizeof(unused), &got, err));
    }
    return NS_OK;
}

static const char *why_not(struct archive_entry *entry) {
    if (archive_entry_hardlink(entry) != NULL || archive_entry_filetype(entry) == AE_IFLNK) {
        return "it is a link";
    }
    return archive_entry_filetype(entry) != AE_IFREG ? "it is a device or pipe" : NULL;
}

static ns_status describe(data__archive *archive, struct archive_entry *entry,
                          data__archive_entry *out, ns_error *err) {
    const char *name = archive_entry_pathname_utf8(entry);
    name = name != NULL ? name : archive_entry_pathname(entry);
    *out = (data__archive_entry){.name = name != NULL ? name : "",
                                 .is_folder = archive_entry_filetype(entry) == AE_IFDIR,
                                 .refused = why_not(entry)};
    archive->name_bytes += strlen(out->name);
    if (++archive->entry_count > ENTRIES_MAX || archive->name_bytes > NAMES_BYTES_MAX) {
        return ns_fail(err, NS_ERR_LIMIT,
                       "it has more than %u entries, or names of more than %llu MiB", ENTRIES_MAX,
                       NAMES_BYTES_MAX >> 20);
    }
    if (archive_entry_is_encrypted(entry)) {
        return ns_fail(err, NS_ERR_INPUT,
                       "its entry %s is encrypted; unpack it with its password first", out->name);
    }
    return NS_OK;
}

ns_status data__archive_next(data__archive *archive, data__archive_entry *out, bool *at_end,
                             ns_error *err) {
    struct archive_entry *entry = NULL;
    NS_TRY(drain(archive, err));
    const locale_t before = uselocale(archive->locale);
    const int code = archive_read_next_header(archive->handle, &entry);
    ns_status status = NS_OK;
    *at_end = code == ARCHIVE_EOF;
    archive->in_entry = !*at_end;
    if (!*at_end) {
        status = code < ARCHIVE_WARN ? damaged(archive, err) : describe(archive, entry, out, err);
    }
    (void)uselocale(before);
    return status == NS_OK ? check_amount(archive, err) : status;
}

ns_status data__archive_go_to(data__archive *archive, size_t *next, size_t ordinal, ns_error *err) {
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

ns_status data__archive_read(data__archive *archive, void *out, size_t size_bytes, size_t *got,
                             ns_error *err) {
    const size_t wanted = size_bytes < BLOCK_BYTES ? size_bytes : BLOCK_BYTES; // between two checks
    const la_ssize_t now = archive_read_data(archive->handle, out, wanted);
    if (now < 0) {
        return damaged(archive, err);
    }
    *got = (size_t)now;
    archive->in_entry = now > 0;
    return data__archive_unpacked(archive, *got, err);
}
