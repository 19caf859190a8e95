// Private to data/: the listing that every source form is read into, and the steps that import.c
// strings together. The pack's layout and writer are in data/pack.h.
//
//   import_folder.c ------+                   import.c
//   import_pixels.c ------+
//   import_csv.c ---------+
//   import_openimages.c --+--> data__listing --> import_survey.c --> import_decode.c --+
//   import_idx.c ----------------------------------------------------------------------+-> pack_write.c
//   demo.c ----------------------------------------------------------------------------+

#ifndef NS_DATA_DATA_INTERNAL_H
#define NS_DATA_DATA_INTERNAL_H

#include <omp.h>

#include "data/data.h"
#include "data/pack.h"

/// The split of an image whose source names none; never in a finished pack.
#define DATA__UNASSIGNED DATA_SPLIT_COUNT

#define DATA__FILE_BYTES_MAX   (1u << 28)  // of one image file or manifest
#define DATA__IMAGE_SIDE_MAX   32768       // px, of a source image
#define DATA__IMAGE_PIXELS_MAX (1ll << 28) // of a source image
#define DATA__IMAGE_CPU_MAX_MS 60000       // of a core, to decode a source image

/* ---- splits ---------------------------------------------------------------------------------- */

/// What data__split_assign reads and writes: labels and one split an image.
typedef struct data__split_request {
    const uint16_t *image_labels; // of each image; in a multi-label set, how many it has
    const uint16_t *label_lists;  // multi-label: all images' labels, one after the other; else NULL
    uint8_t *image_splits;        // data_split or DATA__UNASSIGNED; all assigned on return
    size_t image_count;
    const char *const *labels;
    int label_count;
    int percent[DATA_SPLIT_COUNT];
    uint64_t seed;
} data__split_request;

/// The labels of image `index`, `*count` of them; to be asked of all images in order, with `*at` 0
/// before the first.
const uint16_t *data__split_labels(const data__split_request *request, size_t index, size_t *at,
                                   size_t *count);
/// How many of `count` images of one label go to each split.
void data__split_share(size_t count, const int percent[DATA_SPLIT_COUNT],
                       size_t shares[DATA_SPLIT_COUNT]);
/// Shares the images of split `pool` out over those with a percentage, by several labels at once
/// (split_multi.c). NS_ERR_MEMORY.
ns_status data__split_share_multi(const data__split_request *request, uint8_t pool,
                                  const int percent[DATA_SPLIT_COUNT], ns_error *err);
/// Stratified and seeded; the rules are at the head of split.c. NS_ERR_INPUT names the label that
/// has too few images.
ns_status data__split_assign(const data__split_request *request, ns_error *err);

/* ---- image files ----------------------------------------------------------------------------- */

typedef enum data__image_kind {
    DATA__KIND_OTHER, // not an image as far as we know
    DATA__KIND_PNG,
    DATA__KIND_JPEG,
    DATA__KIND_WEBP,
    DATA__KIND_FOREIGN, // an image, but of a format that is not read
    DATA__KIND_PIXELS,  // decoded already
} data__image_kind;

/// Tells the kind from the first bytes; `*format` is its name for a sentence ("GIF").
data__image_kind data__image_sniff(const uint8_t *bytes, size_t size_bytes, const char **format);

typedef struct data__image_header {
    data__image_kind kind;       // also set when the rest could not be read
    int width, height, channels; // channels: 1 grey, 3 colour, as data_image_decode would give
} data__image_header;

/// A part of an image, as fractions of its sides: 0 <= left < right <= 1, 0 <= top < bottom <= 1.
typedef struct data__box {
    double left, right, top, bottom;
} data__box;

/// Gives `header`, of a whole image, the sides of the box: at least a pixel, and inside.
void data__box_header(const data__box *box, data__image_header *header);
/// Copies the box out of `image`. The reason in `err` names no file. NS_ERR_MEMORY.
ns_status data__box_crop(const data__box *box, const data_image *image, data_image *out,
                         ns_error *err);

/// An image on its way in: the bytes of a file, or pixels where there is no file to decode.
typedef struct data__content {
    uint8_t *bytes; // malloced; NULL: the image is decoded
    size_t size_bytes;
    bool cut;           // there are more bytes than were asked for
    data_image image;   // when `bytes` is NULL
    int64_t cpu_max_ms; // of decoding it; 0: DATA__IMAGE_CPU_MAX_MS
} data__content;

void data__content_free(data__content *content);
/// The first `bytes_max` bytes of the regular file `path`. The reason in `err` names no file.
ns_status data__content_read(const char *path, size_t bytes_max, data__content *out, ns_error *err);
/// What the beginning of an image says; of a cut one NS_ERR_INPUT may mean that more is needed. The
/// reason in `err` names no file.
ns_status data__content_header(const data__content *content, data__image_header *out,
                               ns_error *err);
/// As data_image_decode, but the reason in `err` names no file. Pixels move out of `content`.
ns_status data__content_decode(data__content *content, data_image *out, ns_error *err);
/// Refuses sizes that are zero or beyond the limits, before any memory is taken.
ns_status data__image_check_size(uint64_t width, uint64_t height, ns_error *err);

/// What one image may take of a core, on the clock of the thread that decodes it.
typedef struct data__cpu_limit {
    int64_t max_ms, end_ns;
    uint64_t pixel_count; // passed over since the clock was read
} data__cpu_limit;

data__cpu_limit data__cpu_limit_start(int64_t max_ms);
/// Told how many pixels were passed over since the last call; reads the clock now and then. The
/// reason in `err` names no file.
ns_status data__cpu_limit_check(data__cpu_limit *limit, uint64_t pixel_count, ns_error *err);

// Each kind of image has these two, for bytes that begin as its files do; the reasons name no file.
ns_status data__png_decode(const uint8_t *bytes, size_t size_bytes, data__cpu_limit *limit,
                           data_image *out, ns_error *err);
ns_status data__png_header(const uint8_t *bytes, size_t size_bytes, data__image_header *out,
                           ns_error *err);
ns_status data__jpeg_decode(const uint8_t *bytes, size_t size_bytes, data__cpu_limit *limit,
                            data_image *out, ns_error *err);
ns_status data__jpeg_header(const uint8_t *bytes, size_t size_bytes, data__image_header *out,
                            ns_error *err);
ns_status data__webp_decode(const uint8_t *bytes, size_t size_bytes, data_image *out,
                            ns_error *err);
ns_status data__webp_header(const uint8_t *bytes, size_t size_bytes, data__image_header *out,
                            ns_error *err);

// Steps that they share.

#define DATA__UPRIGHT 1 // the orientation of an image that is as it should be seen

/// The orientation (1 to 8) that an EXIF block (with or without "Exif" before it) tells.
int data__exif_orientation(const uint8_t *bytes, size_t size_bytes);
bool data__orientation_swaps_sides(int orientation);
/// Turns and mirrors the image so that it is upright.
ns_status data__image_turn(data_image *image, int orientation, ns_error *err);
/// Lays alpha over black, in place: (pixel_count, channels + 1) becomes (pixel_count, channels).
void data__image_drop_alpha(uint8_t *pixels, size_t pixel_count, int channels);
/// Sets all but the kind; the sides are those of the file, swapped where the orientation does so.
void data__image_header_set(data__image_header *header, int width, int height, int channels,
                            int orientation);

static inline int data__clamp(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

/* ---- sources --------------------------------------------------------------------------------- */

/// Bytes from front to back. The reasons in `err` name no file.
typedef struct data__stream data__stream;
struct data__stream {
    /// Up to `size_bytes` into `out`; `*got` is 0 only at the end.
    ns_status (*read)(data__stream *stream, void *out, size_t size_bytes, size_t *got,
                      ns_error *err);
    /// Told how many bytes were unpacked from those that it gave. NS_ERR_LIMIT: too many.
    ns_status (*unpacked)(data__stream *stream, size_t size_bytes, ns_error *err);
    void (*close)(data__stream *stream);
};

/// Opens a regular file; what gzip packed is unpacked, told by its first bytes.
ns_status data__stream_open(const char *path, data__stream **out, ns_error *err);
/// The same for another stream, which it owns from now on, whatever the result.
ns_status data__stream_unpacked(data__stream *packed, data__stream **out, ns_error *err);
/// Reads `size_bytes`, or up to the end: `*got` says how many.
ns_status data__stream_read(data__stream *stream, void *out, size_t size_bytes, size_t *got,
                            ns_error *err);
void data__stream_close(data__stream *stream);

/// NS_ERR_LIMIT when `unpacked_bytes` are far more than `packed_bytes` should hold.
ns_status data__unpacked_check(uint64_t packed_bytes, uint64_t unpacked_bytes, ns_error *err);

/// Where the files of a source are: a folder, or an archive, from which nothing is ever unpacked.
typedef struct data__place data__place;
struct data__place {
    /// Opens the file `name`. The reason in `err` names no file.
    ns_status (*open)(const data__place *place, const char *name, data__stream **out,
                      ns_error *err);
    bool (*holds)(const data__place *place, const char *name);
    /// The names in it, as data__dir_names. The sentence names the place.
    ns_status (*names)(const data__place *place, char ***names, size_t *count, ns_error *err);
    const char *dir;   // where its files are: what an item's path begins with
    const char *shown; // the same as people are told of it
    void *archive;     // of an archive; NULL: it is a folder
};

/// The folder `dir` (borrowed); absolute names stand alone.
data__place data__place_folder(const char *dir);

#define DATA__SHOWN_MAX ((size_t)2 * NS_PATH_MAX)

/// How people are told of the file `name`.
void data__place_show(const data__place *place, const char *name, char out[DATA__SHOWN_MAX]);

/// A file that a source consists of: to open it, and as people are told of it. All borrowed.
typedef struct data__file {
    const data__place *place;
    const char *name; // NULL where all in the place is meant
    const char *shown;
} data__file;

/// A file below no archive; holds what its `file` borrows, but for the path.
typedef struct data__disk_file {
    char dir[NS_PATH_MAX];
    data__place place;
    data__file file;
} data__disk_file;

/// Borrows `path`; `disk` must stay where it is.
void data__disk_file_set(data__disk_file *disk, const char *path);
/// Opens the file. The sentence names it.
ns_status data__file_open(const data__file *file, data__stream **out, ns_error *err);

/// A CSV file being read: memory is bounded by its longest record, at most 64 MiB of text.
typedef struct data__csv data__csv;

/// Owns `stream` from now on, whatever the result.
ns_status data__csv_open(data__stream *stream, data__csv **out, ns_error *err);
/// The next record that is not blank; `*at_end` when there is none. NS_ERR_INPUT names the line.
ns_status data__csv_next(data__csv *csv, bool *at_end, ns_error *err);
/// Of the record: the line on which it begins, from 1; its fields, lent until the next record.
size_t data__csv_line(const data__csv *csv);
size_t data__csv_field_count(const data__csv *csv);
const char *data__csv_field(const data__csv *csv, size_t index);
void data__csv_close(data__csv *csv);

/// One image that a source names. There may be millions: 64 bytes each.
typedef struct data__item {
    char *path;                // to open it
    uint16_t *labels;          // in a multi-label listing all of them, ascending; else NULL
    char *reason;              // why it is left out; NULL: it is not
    data__box *box;            // what counts of the image; NULL: all of it
    data__image_header header; // read by the survey, unless the source gave it: kind is not OTHER
    int label;                 // index into the listing's labels once data__listing_finish has
                               // sorted them; of several the first
    uint16_t label_count;      // of `labels`
    uint16_t name_at;          // where in `path` the name begins that people are shown
    uint8_t split;             // data_split or DATA__UNASSIGNED
    bool bad;                  // left out as a bad image, not as something else
} data__item;

typedef struct data__listing data__listing;

/// Gives the image of item `index`, all its bytes (`bytes_max`: SIZE_MAX), or for its header at
/// least the first `bytes_max`, marked as cut.
/// NS_ERR_MEMORY, NS_ERR_LIMIT, NS_ERR_CORRUPT and NS_ERR_STOPPED end the import with their sentence, which names
/// the source; any other failure leaves the item out, with a reason that names no file. Called by
/// several threads at once, unless the listing is `in_order`.
typedef ns_status (*data__read_fn)(const data__listing *listing, size_t index, size_t bytes_max,
                                   data__content *out, ns_error *err);

/// What a source names, and how its images are read.
struct data__listing {
    const data_import_options *options; // whose progress function may stop it; NULL: nothing does
    const char *source;                 // for that sentence
    data__item *items;
    size_t item_count, item_capacity;
    char **labels; // (label_count), bytewise ascending after data__listing_finish
    int label_count, label_capacity;
    int *label_order;   // (label_count) label indices, bytewise ascending by name
    bool multi_label;   // every item has a list of labels
    data__read_fn read; // NULL: the items' paths are files
    void *reader;       // for `read`
    void (*reader_free)(void *reader);
    // A source that can only be read from its beginning to its end: `read` is asked by one thread at
    // a time for ascending items (those with a reason left out), once each; a smaller item than the
    // last begins a new pass. For a header it gives all that the header takes, never marked as cut.
    bool in_order;
};

/// The index of the label `name`, which is added when new. NS_ERR_INPUT when it is not UTF-8 or one
/// too many; the sentence names no source.
ns_status data__listing_label(data__listing *listing, const char *name, int *label, ns_error *err);
/// Adds the file `name` below the folder `dir` (an absolute `name` stands alone).
ns_status data__listing_add(data__listing *listing, const char *dir, const char *name, int label,
                            uint8_t split, ns_error *err);
/// The same with any number of labels, of which it takes a copy, each once.
ns_status data__listing_add_labels(data__listing *listing, const char *dir, const char *name,
                                   const int *labels, size_t count, uint8_t split, ns_error *err);
/// Of the item added last only this part counts. NS_ERR_MEMORY.
ns_status data__listing_crop(data__listing *listing, const data__box *box, ns_error *err);
/// Adds something that is no image, with the reason; `label` does not matter.
ns_status data__listing_skip(data__listing *listing, const char *name, const char *reason,
                             ns_error *err);
/// Marks an item as left out.
ns_status data__item_leave_out(data__item *item, const char *reason, bool bad, ns_error *err);
const char *data__item_name(const data__item *item);
/// Sorts the labels by name and renumbers the items' labels.
ns_status data__listing_finish(data__listing *listing, ns_error *err);
void data__listing_free(data__listing *listing);
/// The image of item `index`; see data__read_fn.
ns_status data__listing_read(const data__listing *listing, size_t index, size_t bytes_max,
                             data__content *out, ns_error *err);

/// The names in the folder `path`, bytewise ascending, without hidden files and what file managers
/// leave behind. `*names` and each name are malloced; free with data__names_free.
ns_status data__dir_names(const char *path, char ***names, size_t *count, ns_error *err);
/// Appends a copy of `name`; all of `*names`, `*count` and `*capacity` begin as zeros.
ns_status data__names_add(char ***names, size_t *count, size_t *capacity, const char *name,
                          ns_error *err);
void data__names_free(char **names, size_t count);

ns_status data__folder_list(const char *source, data__listing *listing, ns_error *err);
/// Refuses a source with the folder `name` beside that of a split.
ns_status data__folder_stranger(const char *source, const char *name, ns_error *err);
/// Whether the name is a hidden one, or of what file managers leave behind.
bool data__is_litter(const char *name);

ns_status data__csv_list(const data__file *file, data__listing *listing, ns_error *err);
/// Whether the file begins as a manifest.
bool data__csv_is(const data__file *file);
/// Borrows `file` and all in it for the life of the listing.
ns_status data__pixels_list(const data__file *file, data__listing *listing, ns_error *err);
/// Whether the file begins as a CSV file with pixels in it.
bool data__pixels_is(const data__file *file);
/// Opens the file as CSV. The sentence names it.
ns_status data__csv_open_file(const data__file *file, data__csv **out, ns_error *err);

/// Lists the boxes of a place in the form of Open Images.
ns_status data__openimages_list(const data__place *place, data__listing *listing, ns_error *err);
/// Whether the name is that of its class descriptions.
bool data__openimages_is_classes(const char *name);
bool data__format_is_csv(const char *name);
/// The form that the names of the files in a place show; DATA_FORMAT_AUTO when they show none.
data_format data__format_of_names(char *const *entries, size_t count);
/// `wanted`, or the form that the source itself shows.
ns_status data__format_detect(const char *source, data_format wanted, data_format *out,
                              ns_error *err);
/// Whether `name` looks like an IDX file of images.
bool data__idx_is_images(const char *name);

/* ---- duplicates ------------------------------------------------------------------------------ */

/// What an image is recognised by.
typedef struct data__print {
    uint64_t exact[2]; // of its pixels as decoded, at full size
} data__print;

/// Grey pixels count as the same whether they are stored as grey or as RGB. NS_ERR_MEMORY.
ns_status data__print_of(const data_image *image, data__print *out, ns_error *err);

#define DATA__PICTURE_GONE UINT32_MAX

/// One of the pictures that an import has seen, however often.
typedef struct data__picture {
    data__print print;
    size_t item;     // the copy that counts, as its owner numbers them
    uint64_t labels; // equal for equal labels
    uint32_t packed; // its place in the pack; DATA__PICTURE_GONE: all its copies were dropped
    uint8_t split;   // data_split or DATA__UNASSIGNED
    bool repeated;   // it was seen again
} data__picture;

/// A set of pictures, by print. All zeros is an empty one.
typedef struct data__pictures {
    data__picture *pictures; // (count), in the order they were first seen
    size_t count, capacity;
    uint32_t *slots;   // (slot_count) index into `pictures` + 1; 0: empty
    size_t slot_count; // a power of two, at least 2 * count
} data__pictures;

void data__pictures_free(data__pictures *set);
/// The picture with the print `seen->print`; when it is the first such, a copy of `*seen`, and
/// `*is_new`. Valid until the next call.
ns_status data__pictures_take(data__pictures *set, const data__picture *seen, data__picture **out,
                              bool *is_new, ns_error *err);

/// How an import deals with copies of one picture.
typedef struct data__hygiene {
    bool only_counts; // every copy stays
    data__pictures pictures;
    uint32_t *removed; // (removed_count) places in the pack of images that must go after all
    size_t removed_count, removed_capacity;
    size_t repeated_count;  // pictures that were seen more than once
    size_t duplicate_count; // copies with the label of the picture's first
    size_t conflict_count;  // images with conflicting labels
    size_t across_count;    // copies of a picture in another split
} data__hygiene;

void data__hygiene_free(data__hygiene *hygiene);
/// Counts without dropping: `seen` as for data__pictures_take.
ns_status data__hygiene_count(data__hygiene *hygiene, const data__picture *seen, ns_error *err);
/// Gives `hygiene` its place in `json`, a pack's provenance.
void data__hygiene_report(const data__hygiene *hygiene, ns_json *json);

/* ---- import ---------------------------------------------------------------------------------- */

/// An import on its way through import.c (which says how), import_survey.c and import_decode.c.
typedef struct data__import {
    const char *source;
    const data_import_options *options;
    data__listing listing;
    size_t image_count, bad_count; // good and bad images; the bad ones
    int thread_count;
    int channels, height, width;
    data__pack_writer *writer;
    data__hygiene hygiene;
} data__import;

/// Reads every header that is not known yet: what is an image, how large, grey or colour.
ns_status data__import_survey(data__import *run, ns_error *err);
/// Fails when there is no good image, or too many bad ones.
ns_status data__import_check_bad(const data__import *run, ns_error *err);
/// Chooses channels, height and width from the options and all headers.
ns_status data__import_choose_sizes(data__import *run, ns_error *err);
/// Decodes all images into the pack.
ns_status data__import_decode(data__import *run, ns_error *err);

/// Whether item `index`, with this print, is packed next; else it is left out with the reason. To be
/// asked in the listing's order.
ns_status data__import_admit(data__import *run, size_t index, const data__print *print,
                             bool *admitted, ns_error *err);
/// Takes out of the pack what must go after all, and records all that was left out.
ns_status data__import_settle(data__import *run, ns_error *err);

/// A pass over the items [next, end) by several threads.
typedef struct data__pass {
    data__import *run;
    size_t next, end;
    omp_lock_t lock;
    ns_status failed; // what ends the import
    ns_error sentence;
} data__pass;

/// Items of one image, that follow each other: several where it has several boxes.
typedef struct data__claim {
    size_t index; // of the first
    size_t count;
} data__claim;

/// Over the items [first, end).
void data__pass_begin(data__pass *pass, data__import *run, size_t first, size_t end);
/// What ended the import, or NS_OK.
ns_status data__pass_end(data__pass *pass, ns_error *err);

/// Takes the next items that are not left out and reads their image; false at the end or after a
/// failure that ends the import. With a `bytes_max` below SIZE_MAX only the header is wanted: see
/// data__read_fn; items whose header is known are passed over. What cannot be read is left out.
bool data__pass_next(data__pass *pass, size_t bytes_max, data__claim *claim,
                     data__content *content);
/// Leaves the items out, or ends the import: what a data__read_fn's failure does.
void data__pass_leave_out(data__pass *pass, const data__claim *claim, ns_status status,
                          const char *reason, bool bad);
/// Ends the import, when it was not ended yet.
void data__pass_fail(data__pass *pass, ns_status status, const char *sentence);

/// The whole import of IDX files: the set of which `file->name` is one, or the only set of the place
/// when it is NULL; `format` is the source's.
ns_status data__idx_import(const data__file *file, data_format format, const char *out_path,
                           const data_import_options *options, ns_error *err);
/// Tells the caller's progress function; NS_ERR_STOPPED when it wants no more.
ns_status data__import_tell(const data_import_options *options, const char *source,
                            data_progress now, ns_error *err);
/// Gives the pack its provenance: the options as used and what was found of copies, as JSON.
ns_status data__provenance(const data_import_options *options, data_format format,
                           const data__hygiene *hygiene, data__pack_writer *writer, ns_error *err);

/* ---- the demo set ---------------------------------------------------------------------------- */

enum {
    DATA__DEMO_SIDE = 28, // px
    DATA__DEMO_LABEL_COUNT = 10,
    DATA__DEMO_TRAIN_COUNT = 6000,
    DATA__DEMO_VALIDATION_COUNT = 1000,
    DATA__DEMO_TEST_COUNT = 2000,
    DATA__DEMO_COUNT = DATA__DEMO_TRAIN_COUNT + DATA__DEMO_VALIDATION_COUNT + DATA__DEMO_TEST_COUNT,
};

/// Draws image `index`, (1, 28, 28); depends on nothing else.
void data__demo_draw(size_t index, uint8_t pixels[DATA__DEMO_SIDE * DATA__DEMO_SIDE]);
int data__demo_label(size_t index);

/* ---- for the processor at hand ---------------------------------------------------------------- */

/// Defines the static function `name` with the parameters `params` as the inlined `body` called
/// with `args`, built twice on x86: for every machine, and for those with AVX2, told when it is
/// called. AVX2 alone has no fused product and sum, so both give the same bits.
#ifdef __x86_64__
#define DATA__BUILD_TWICE(name, body, params, args)                                                \
    __attribute__((target("avx2"))) static void name##_avx2 params {                               \
        body args;                                                                                 \
    }                                                                                              \
    static void name##_any params {                                                                \
        body args;                                                                                 \
    }                                                                                              \
    static void name params {                                                                      \
        if (__builtin_cpu_supports("avx2")) {                                                      \
            name##_avx2 args;                                                                      \
        } else {                                                                                   \
            name##_any args;                                                                       \
        }                                                                                          \
    }
#else
#define DATA__BUILD_TWICE(name, body, params, args)                                                \
    static void name params {                                                                      \
        body args;                                                                                 \
    }
#endif
#define DATA__INLINED static inline __attribute__((always_inline))

#endif
