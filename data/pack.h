// Private to data/: the layout of a pack (.nsd), its writer (pack_write.c), and the names of its
// images (pack_names.c). pack_read.c opens packs.

#ifndef NS_DATA_PACK_H
#define NS_DATA_PACK_H

#include "data/data.h"

#define DATA__SIDE_MAX         4096       // px, of a packed image
#define DATA__IMAGES_MAX       (1u << 31) // of a pack
#define DATA__IMAGE_LABELS_MAX 1024       // of an image of a multi-label pack

// Layout, all numbers in the byte order of the machine that wrote them (checked by `order`):
//
//   0       header, one page of DATA__PAGE_BYTES, zeros after the struct
//   4096    pixels: image_count * (C, H, W) uint8, then zeros up to a multiple of 8
//   ...     names, in version 3: see the head of pack_names.c
//   ...     tables: label of each image (uint16), split of each image (uint8), then strings that
//           end in 0: label names, source, provenance (JSON), and file and reason of each dropped
//           image
//
// In a multi-label pack how many labels each image has stands in place of its label, and behind that
// all images' labels (uint16), ascending an image.
//
// A pack has the lowest version that can hold it, so that older programs read what they can: 1, or 2
// with several labels an image; with the names of its images it has version 3, of both kinds.
//
// Each part has its own SHA-256, and no byte is outside them. `content_sha256` is the identity of
// the data set: it covers what a model can see (sizes, label names, labels, splits, pixels) and not
// where or how it was imported. Names are of the latter kind: a study goes on with a pack that was
// imported anew from renamed files, or by a program that kept no names.

#define DATA__PAGE_BYTES         4096
#define DATA__PACK_MAGIC         "NSDPACK\n"
#define DATA__PACK_VERSION       1
#define DATA__PACK_VERSION_MULTI 2 // of multi-label packs
#define DATA__PACK_VERSION_NAMED 3 // of packs with names, multi-label or not
#define DATA__PACK_ORDER         0x01020304u
#define DATA__DIGEST_BYTES       64 // hex digits, without a final 0

typedef struct data__pack_header {
    char magic[8];
    uint32_t version;
    uint32_t order;
    uint32_t channels, height, width;
    uint32_t label_count;
    uint64_t image_count;
    uint64_t dropped_count;
    uint64_t pixels_bytes; // with the padding
    uint64_t tables_bytes;
    float mean[DATA_CHANNELS_MAX];
    float deviation[DATA_CHANNELS_MAX];
    char content_sha256[DATA__DIGEST_BYTES];
    char pixels_sha256[DATA__DIGEST_BYTES];
    char tables_sha256[DATA__DIGEST_BYTES];
    char header_sha256[DATA__DIGEST_BYTES]; // of the header's page, with zeros in this place
    // Version 3; zeros in others.
    uint32_t multi_label; // 0 or 1
    uint32_t reserved;    // 0
    uint64_t names_bytes; // with the padding
    char names_sha256[DATA__DIGEST_BYTES];
} data__pack_header;

/// Digest of the header's page (DATA__PAGE_BYTES), `header_sha256` taken as zeros.
ns_status data__pack_header_digest(const uint8_t *page, char out[NS_SHA256_HEX_MAX], ns_error *err);

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct data__pack_spec {
    int channels, height, width;
    int label_count;
    bool multi_label;
    const char *const *labels; // copied
    const char *source;        // copied, made safe to print (ns_text_escape)
    const char *provenance;    // JSON text of the options used; copied; NULL: "{}"
} data__pack_spec;

/// Streams images into a pack: memory grows by 3 + 16 * channels bytes and the name of an image,
/// whatever its size.
typedef struct data__pack_writer data__pack_writer;

ns_status data__pack_begin(const char *path, const data__pack_spec *spec, data__pack_writer **out,
                           ns_error *err);
/// Replaces the provenance, which is known in full at the end. Copied.
ns_status data__pack_set_provenance(data__pack_writer *writer, const char *provenance,
                                    ns_error *err);
/// Appends one image, `pixels` (C, H, W). `split` may be DATA__UNASSIGNED until data__pack_split.
ns_status data__pack_add(data__pack_writer *writer, const uint8_t *pixels, int label,
                         data_split split, ns_error *err);
/// The same for a multi-label pack: `labels`, `count` of them, ascending.
ns_status data__pack_add_labels(data__pack_writer *writer, const uint8_t *pixels,
                                const uint16_t *labels, size_t count, data_split split,
                                ns_error *err);
/// Names the image that was added last, at most once; made safe to print (ns_text_escape).
ns_status data__pack_name(data__pack_writer *writer, const char *name, ns_error *err);
/// Records what was left out and why; `file` is made safe to print (ns_text_escape).
ns_status data__pack_drop(data__pack_writer *writer, const char *file, const char *reason,
                          ns_error *err);
/// Gives every image its split: data__split_assign over all that was added.
ns_status data__pack_split(data__pack_writer *writer, const int percent[DATA_SPLIT_COUNT],
                           uint64_t seed, ns_error *err);
size_t data__pack_count(const data__pack_writer *writer);
/// Takes images out again, `indices` ascending; those behind them move up. Reads all pixels back, and
/// writes those behind the first.
ns_status data__pack_remove(data__pack_writer *writer, const uint32_t *indices, size_t count,
                            ns_error *err);
/// Writes tables and header, makes the file appear, and frees `writer` whatever the result.
ns_status data__pack_finish(data__pack_writer *writer, ns_error *err);
/// Drops the unfinished file; accepts NULL.
void data__pack_abort(data__pack_writer *writer);

/// A growing run of bytes; all zeros is an empty one. The owner frees `bytes`.
typedef struct data__bytes {
    uint8_t *bytes;
    size_t used, size;
} data__bytes;

ns_status data__bytes_append(data__bytes *run, const void *bytes, size_t size_bytes, ns_error *err);
/// With its final 0.
ns_status data__bytes_append_string(data__bytes *run, const char *text, ns_error *err);

/* ---- opening --------------------------------------------------------------------------------- */

/// A pack that is being opened.
typedef struct data__pack_file {
    const char *path;
    int fd;
    size_t size_bytes;
} data__pack_file;

/// Reads `size_bytes` at `offset`, all of which the file had when it was opened. NS_ERR_CORRUPT when
/// it has them no more.
ns_status data__pack_read_at(const data__pack_file *file, void *out, size_t size_bytes,
                             uint64_t offset, ns_error *err);
ns_status data__pack_corrupt(const char *path, const char *reason, ns_error *err);

/* ---- names ----------------------------------------------------------------------------------- */

#define DATA__NAME_BYTES_MAX ((size_t)4 * NS_PATH_MAX) // of a stored name, with its final 0

/// The names of a pack that is being written; all zeros is none at all. The owner frees text.bytes.
typedef struct data__pack_names {
    data__bytes text; // each with its final 0; "" for an image without a name
    size_t count;     // images from here on have no name
} data__pack_names;

/// Names image `index`, at least `names->count`; those between have none.
ns_status data__pack_names_put(data__pack_names *names, size_t index, const char *name,
                               ns_error *err);
/// Takes out the names of `indices`, ascending, and moves up those behind them.
void data__pack_names_remove(data__pack_names *names, const uint32_t *indices, size_t count);
/// Appends the section to `file` and gives `header` its size and digest; nothing where no image has
/// a name.
ns_status data__pack_names_write(data__pack_names *names, size_t image_count, ns_atomic_file *file,
                                 data__pack_header *header, ns_error *err);

/// Whether the section's size is possible: at least what empty names take.
bool data__pack_names_fit(const data__pack_header *header);
/// Reads through the section and believes nothing in it. NS_ERR_CORRUPT.
ns_status data__pack_names_check(const data__pack_file *file, const data__pack_header *header,
                                 ns_error *err);
/// The name of image `index` in the mapped section, which was checked; NULL: it has none.
const char *data__pack_names_at(const uint8_t *section, const data__pack_header *header,
                                size_t index);

#endif
