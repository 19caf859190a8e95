// The names of a pack's images, so that people are told of a file and not of image 4711: a section
// between pixels and tables. Once data_open has checked it, it is only mapped: a million names take no
// memory of their own, and nothing at all while nobody asks for them.
//
//   starts  (image_count + 1) uint64: where each name begins in the text, and where the last one ends
//   text    the names, each with a final 0; "" for an image without one
//   zeros   up to a multiple of 8
//
// The pixels before it end at a multiple of 8, so that the starts are aligned under the map.
//
// A name is what import calls the image: its path below the source, or the line that it stood on.
// Several boxes of one photo share its name. Names are stored safe to print (ns_text_escape), and
// one that is not, or longer than DATA__NAME_BYTES_MAX, was made by no nightshift: data_open reads
// through the section and refuses it, with bounded memory. A pack without any name has no section.

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

#define STARTS_AT_ONCE 1024 // written
#define NAMES_AT_ONCE  64   // checked: a megabyte at most

static uint64_t starts_bytes(const data__pack_header *header) {
    return (header->image_count + 1) * sizeof(uint64_t);
}

/* ---- writing --------------------------------------------------------------------------------- */

/// Gives images up to `index` empty names.
static ns_status fill_up(data__pack_names *names, size_t index, ns_error *err) {
    for (; names->count < index; names->count++) {
        NS_TRY(data__bytes_append_string(&names->text, "", err));
    }
    return NS_OK;
}

ns_status data__pack_names_put(data__pack_names *names, size_t index, const char *name,
                               ns_error *err) {
    char safe[DATA__NAME_BYTES_MAX];
    assert(index >= names->count);
    NS_TRY(fill_up(names, index, err));
    ns_text_escape(name, safe, sizeof(safe));
    NS_TRY(data__bytes_append_string(&names->text, safe, err));
    names->count++;
    return NS_OK;
}

void data__pack_names_remove(data__pack_names *names, const uint32_t *indices, size_t count) {
    char *text = (char *)names->text.bytes;
    size_t from = 0;
    size_t to = 0;
    size_t kept = 0;
    size_t removed = 0;
    for (size_t i = 0; i < names->count; i++) {
        const size_t size_bytes = strlen(text + from) + 1;
        if (removed < count && indices[removed] == i) {
            removed++;
        } else {
            memmove(text + to, text + from, size_bytes);
            to += size_bytes;
            kept++;
        }
        from += size_bytes;
    }
    names->text.used = to;
    names->count = kept;
}

/// Where the section goes.
typedef struct section_sink {
    ns_atomic_file *file;
    ns_sha256 *hash;
} section_sink;

static ns_status write_part(const section_sink *to, const void *bytes, size_t size_bytes,
                            ns_error *err) {
    ns_sha256_update(to->hash, bytes, size_bytes);
    return ns_atomic_write(to->file, bytes, size_bytes, err);
}

static ns_status write_starts(const section_sink *to, const data__pack_names *names,
                              ns_error *err) {
    uint64_t starts[STARTS_AT_ONCE];
    uint64_t at = 0;
    size_t used = 0;
    for (size_t i = 0; i <= names->count; i++) {
        starts[used++] = at;
        if (used == STARTS_AT_ONCE || i == names->count) {
            NS_TRY(write_part(to, starts, used * sizeof(*starts), err));
            used = 0;
        }
        at += i < names->count ? strlen((const char *)names->text.bytes + at) + 1 : 0;
    }
    return NS_OK;
}

static ns_status write_section(const section_sink *to, const data__pack_names *names,
                               size_t padding_bytes, ns_error *err) {
    static const uint8_t zeros[8];
    NS_TRY(write_starts(to, names, err));
    NS_TRY(write_part(to, names->text.bytes, names->text.used, err));
    return write_part(to, zeros, padding_bytes, err);
}

ns_status data__pack_names_write(data__pack_names *names, size_t image_count, ns_atomic_file *file,
                                 data__pack_header *header, ns_error *err) {
    char digest[NS_SHA256_HEX_MAX];
    section_sink to = {.file = file};
    if (names->text.used == names->count) { // all of them empty, if any
        return NS_OK;
    }
    NS_TRY(fill_up(names, image_count, err));
    NS_TRY(ns_sha256_new(&to.hash, err));
    const size_t padding_bytes = (8 - names->text.used % 8) % 8;
    const ns_status status = write_section(&to, names, padding_bytes, err);
    ns_sha256_finish(to.hash, digest);
    header->names_bytes = (image_count + 1) * sizeof(uint64_t) + names->text.used + padding_bytes;
    memcpy(header->names_sha256, digest, DATA__DIGEST_BYTES);
    return status;
}

/* ---- opening --------------------------------------------------------------------------------- */

bool data__pack_names_fit(const data__pack_header *header) {
    return header->names_bytes % 8 == 0 &&
           header->names_bytes >= starts_bytes(header) + header->image_count;
}

/// A section being checked.
typedef struct section_check {
    const data__pack_file *file;
    uint64_t starts_at, text_at; // in the file
    uint64_t text_bytes;         // with the padding
    uint64_t end;                // of the last name that was checked, in the text
    char *text;                  // (NAMES_AT_ONCE * DATA__NAME_BYTES_MAX)
} section_check;

static ns_status damaged(const section_check *check, ns_error *err) {
    return data__pack_corrupt(check->file->path, "its table of file names is damaged", err);
}

/// Names follow one another, each with a final 0 at least and within the limit.
static bool starts_are_sound(const section_check *check, const uint64_t *starts, size_t count) {
    bool sound = starts[0] == check->end;
    for (size_t i = 0; i < count && sound; i++) {
        sound = starts[i] < starts[i + 1] && starts[i + 1] - starts[i] <= DATA__NAME_BYTES_MAX &&
                starts[i + 1] <= check->text_bytes;
    }
    return sound;
}

/// Its only 0 is its last byte, and it is safe to print.
static bool name_is_sound(const char *name, size_t size_bytes) {
    char safe[DATA__NAME_BYTES_MAX];
    if (memchr(name, 0, size_bytes) != name + size_bytes - 1) {
        return false;
    }
    ns_text_escape(name, safe, sizeof(safe));
    return strcmp(name, safe) == 0;
}

static ns_status check_names(section_check *check, size_t first, size_t count, ns_error *err) {
    uint64_t starts[NAMES_AT_ONCE + 1];
    NS_TRY(data__pack_read_at(check->file, starts, (count + 1) * sizeof(*starts),
                              check->starts_at + first * sizeof(*starts), err));
    if (!starts_are_sound(check, starts, count)) {
        return damaged(check, err);
    }
    NS_TRY(data__pack_read_at(check->file, check->text, starts[count] - starts[0],
                              check->text_at + starts[0], err));
    for (size_t i = 0; i < count; i++) {
        if (!name_is_sound(check->text + (starts[i] - starts[0]), starts[i + 1] - starts[i])) {
            return damaged(check, err);
        }
    }
    check->end = starts[count];
    return NS_OK;
}

ns_status data__pack_names_check(const data__pack_file *file, const data__pack_header *header,
                                 ns_error *err) {
    section_check check = {
        .file = file,
        .starts_at = DATA__PAGE_BYTES + header->pixels_bytes,
        .text_at = DATA__PAGE_BYTES + header->pixels_bytes + starts_bytes(header),
        .text_bytes = header->names_bytes - starts_bytes(header),
        .text = malloc((size_t)NAMES_AT_ONCE * DATA__NAME_BYTES_MAX),
    };
    if (check.text == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot open data set %s: out of memory", file->path);
    }
    ns_status status = NS_OK;
    for (uint64_t first = 0; first < header->image_count && status == NS_OK;
         first += NAMES_AT_ONCE) {
        const uint64_t left = header->image_count - first;
        status = check_names(&check, first, left < NAMES_AT_ONCE ? left : NAMES_AT_ONCE, err);
    }
    if (status == NS_OK && check.text_bytes - check.end >= 8) { // more than padding
        status = damaged(&check, err);
    }
    free(check.text);
    return status;
}

const char *data__pack_names_at(const uint8_t *section, const data__pack_header *header,
                                size_t index) {
    const uint64_t *starts = (const uint64_t *)(const void *)section;
    const char *text = (const char *)section + starts_bytes(header);
    const uint64_t text_bytes = header->names_bytes - starts_bytes(header);
    const uint64_t first = starts[index];
    const uint64_t end = starts[index + 1];
    // Checked before, but who writes into the file by hand writes under the map.
    const bool inside = first < end && end <= text_bytes && text[end - 1] == '\0';
    return inside && text[first] != '\0' ? text + first : NULL;
}
