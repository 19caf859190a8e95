// Labelled images: import into one packed file, label statistics, splits, augmentation, batches.
//
// Intended usage:
//   1. data_import() reads a source once and writes SET.nsd atomically; bad images are listed in
//   it.
//   2. data_open() maps the pack read-only; all workers share the pages.
//   3. data_loader_new() + data_loader_next() fill the input of a network batch by batch, with images
//   as they are packed or smaller (data_shrinker).
//
// Pixels are uint8, planar, (C, H, W) an image; labels are 0-based indices into the label names. An
// image has one label; in a multi-label set it has any number of them, also none.

#ifndef NS_DATA_DATA_H
#define NS_DATA_DATA_H

#include "base/base.h"

typedef enum data_split {
    DATA_TRAIN,
    DATA_VALIDATION,
    DATA_TEST,
    DATA_SPLIT_COUNT,
} data_split;

/// "train", "validation", "test".
const char *data_split_name(data_split split);
/// Also accepts "val" and "valid", any case. NS_ERR_USAGE.
ns_status data_split_parse(const char *text, data_split *out, ns_error *err);

/* ---- import ---------------------------------------------------------------------------------- */

typedef enum data_format {
    DATA_FORMAT_AUTO,   // told from the source itself
    DATA_FORMAT_FOLDER, // SOURCE/label/image, or SOURCE/{train,val,test}/label/image
    DATA_FORMAT_CSV,    // no header: TRAIN|VALIDATION|TEST|UNASSIGNED,path,label[,label...]
    DATA_FORMAT_IDX,    // a folder of IDX files as MNIST's, gzipped or not
    DATA_FORMAT_PIXELS, // a CSV file with the pixels in it, gzipped or not: label and pixels columns
    DATA_FORMAT_ARCHIVE,    // a zip, tar or tar.gz file of any of these, never unpacked to disk
    DATA_FORMAT_OPENIMAGES, // a folder of class descriptions, box annotations (CSV) and images
    DATA_FORMAT_COUNT,
} data_format;

#define DATA_FORMAT_NAMES "auto, folder, csv, idx, pixels, archive or openimages"

const char *data_format_name(data_format format);
ns_status data_format_parse(const char *text, data_format *out, ns_error *err);

/// What an import does, one after the other; IDX files are only packed.
typedef enum data_step {
    DATA_STEP_LIST,   // looks for images: `done` are found so far
    DATA_STEP_SURVEY, // reads the header of each
    DATA_STEP_DECODE, // packs each
} data_step;

typedef struct data_progress {
    data_step step;
    size_t done, total; // of this step; total 0: unknown. A second look at the source counts anew
} data_progress;

/// Told after each image, and between images with `done` as before, so that a wish to stop is seen
/// soon; while listing after some hundred. False ends the import with NS_ERR_STOPPED.
typedef bool (*data_progress_fn)(void *context, const data_progress *now);

/// What becomes of one picture under different labels.
typedef enum data_conflicts {
    DATA_CONFLICTS_DROP,  // nobody knows which label is right: all copies are dropped
    DATA_CONFLICTS_FIRST, // the label that the source names first is believed
    DATA_CONFLICTS_ERROR, // the import fails
} data_conflicts;

/// "drop", "first" or "error". NS_ERR_USAGE.
ns_status data_conflicts_parse(const char *text, data_conflicts *out, ns_error *err);

typedef struct data_import_options {
    data_format format;
    const char *classes;                 // of Open Images, separated by commas; borrowed; NULL: all
    int width, height;                   // pixels; 0: chosen from the data
    int channels;                        // 1 grey, 3 RGB; 0: chosen from the data
    int split_percent[DATA_SPLIT_COUNT]; // for what the source leaves unassigned; sums to 100
    uint64_t seed;                       // of the stratified split
    bool multi_label;                    // CSV: a multi-label set whatever its lines hold; else it
                                         // is one when a line has several labels
    double bad_fraction_max;             // more undecodable images than this stop the import (0.05)
    data_conflicts conflicts;
    bool keep_duplicates;      // drop no copy, not even of conflicts: they are only counted
    int thread_count;          // 0: all cores
    data_progress_fn progress; // may be NULL
    void *progress_context;
} data_import_options;

data_import_options data_import_options_default(void);

/// Reads `source` and writes the pack `out_path` atomically. On failure nothing is left behind.
/// NS_ERR_INPUT (naming file, line or byte), NS_ERR_NOT_FOUND, NS_ERR_IO, NS_ERR_MEMORY,
/// NS_ERR_STOPPED.
ns_status data_import(const char *source, const char *out_path, const data_import_options *options,
                      ns_error *err);

/// Draws the built-in demo set (10 classes of strokes, 28x28 grey) into the pack `out_path`.
/// The same bytes on every machine.
ns_status data_demo_write(const char *out_path, ns_error *err);

/* ---- one image file -------------------------------------------------------------------------- */

/// A decoded image, interleaved: (H, W, C) uint8. `pixels` is malloced, the caller frees it.
typedef struct data_image {
    int width, height, channels; // channels: 1 or 3
    uint8_t *pixels;
} data_image;

/// Decodes PNG, JPEG or WebP by content, whatever the name, and turns it upright as its EXIF tells.
/// Alpha is laid over black; 16 bits become 8; palette and CMYK become RGB; gamma and colour
/// profiles are not applied. Limits: 32,768 px a side and 2^28 pixels, checked before memory is
/// taken, and a minute of a core. NS_ERR_INPUT with the reason ("CRC error in chunk IDAT"); the sentence names `path`.
ns_status data_image_read(const char *path, data_image *out, ns_error *err);
/// The same for bytes in memory; `name` is for the sentence.
ns_status data_image_decode(const uint8_t *bytes, size_t size_bytes, const char *name,
                            data_image *out, ns_error *err);
void data_image_free(data_image *image);
/// Scales (area when shrinking, bilinear when growing) so that the target is just covered, crops
/// the centre, converts grey <-> RGB (BT.601 luma), and writes planar (C, H, W) uint8 to `out`:
/// exactly what import does to every image.
ns_status data_image_fit(const data_image *image, int channels, int height, int width, uint8_t *out,
                         ns_error *err);

typedef struct data_size {
    int height, width; // pixels
} data_size;

/// Shrinks images of one size to another that is no larger on either side, by the mean of the area
/// under each pixel, as import shrinks. The same bytes on every machine. Equal sizes cost nothing.
typedef struct data_shrinker data_shrinker;
/// For as many threads at once. NS_ERR_MEMORY.
ns_status data_shrinker_new(int channels, data_size from, data_size to, int thread_count,
                            data_shrinker **out, ns_error *err);
void data_shrinker_free(data_shrinker *shrinker);
/// `pixels` (C, from.height, from.width) as (C, to.height, to.width); valid until the same `thread`,
/// from 0, asks again. `pixels` itself where the sizes are equal. Allocates nothing.
const uint8_t *data_shrink(data_shrinker *shrinker, int thread, const uint8_t *pixels);
/// What it does before it rounds, halves upwards, as matrices: a plane (from.height, from.width)
/// becomes the transpose of `down` (from.height, to.height), times the plane, times `across`
/// (from.width, to.width).
void data_shrinker_matrices(const data_shrinker *shrinker, float *across, float *down);

/// Writes `pixels`, planar (C, H, W) uint8 with 1 or 3 channels, as a PNG; `*out` is malloced. The
/// same pixels give the same bytes. NS_ERR_MEMORY.
ns_status data_png_encode(const uint8_t *pixels, int channels, int height, int width, uint8_t **out,
                          size_t *size_bytes, ns_error *err);

/* ---- pack ------------------------------------------------------------------------------------ */

#define DATA_CHANNELS_MAX 3
#define DATA_LABELS_MAX   65536

typedef struct data_set data_set; // an opened pack; immutable, safe to share between threads

/// Verifies header, version and checksums of the pack at `path`, and maps its pixels. NS_ERR_CORRUPT, NS_ERR_VERSION,
/// NS_ERR_NOT_FOUND.
ns_status data_open(const char *path, data_set **out, ns_error *err);
void data_close(data_set *set);

typedef struct data_info {
    int channels, height, width;
    int label_count;
    const char *const *labels; // label_count names, UTF-8
    bool multi_label;          // images have any number of labels: 0/1 each, not one of them
    size_t image_count;
    size_t split_count[DATA_SPLIT_COUNT]; // images
    float mean[DATA_CHANNELS_MAX];        // of train pixels, 0-255
    float deviation[DATA_CHANNELS_MAX];   // standard deviation of train pixels, 0-255; > 0
    // Train images of the label that has most, over those of the one that has fewest but any; 1 when
    // balanced, and for multi-label sets; 0: not known.
    double train_imbalance;
    const char *sha256;     // hex, of all that a model can see: the data set's identity
    const char *source;     // as given to import, safe to print
    const char *provenance; // JSON text: how it was made; no part of the identity
} data_info;

/// Borrowed for the life of `set`.
const data_info *data_describe(const data_set *set);
/// Indices (into the whole set) of the images of `split`, ascending; `*count` of them.
const uint32_t *data_indices(const data_set *set, data_split split, size_t *count);
/// (C, H, W) uint8.
const uint8_t *data_pixels(const data_set *set, size_t index);
/// What import called the image: its path below the source, or its line in a CSV file with pixels;
/// safe to print, and not always its alone (several boxes of one photo). NULL when the pack does not
/// say: of IDX files, of the demo set, and of packs made by versions before. Borrowed for the life of
/// `set`; no part of the identity.
const char *data_name(const data_set *set, size_t index);
/// Of a multi-label set the first of the image's labels, -1 when it has none.
int data_label(const data_set *set, size_t index);
/// All labels of an image, ascending; `*count` of them. Borrowed for the life of `set`.
const uint16_t *data_labels_of(const data_set *set, size_t index, size_t *count);
/// Whether the image has `label`: what both kinds of sets can be asked.
bool data_has_label(const data_set *set, size_t index, int label);
/// The same of all labels: 0 or 1 each, to `row` (label_count).
void data_truth(const data_set *set, size_t index, uint8_t *row);
/// How well the labels said of an image, those with a probability of at least 1/2, agree with the true
/// ones, `truth` 0 or 1 each: labels that are both, over labels that are either (Jaccard index); 1
/// where nothing is said nor true.
double data_agreement(const float *probabilities, const uint8_t *truth, int label_count);
/// Images of `label` in `split`; an image of several labels counts for each.
size_t data_label_count(const data_set *set, data_split split, int label);

/// What import left out. Borrowed for the life of `set`.
typedef struct data_dropped {
    const char *file; // safe to print: control characters and stray bytes are \xNN
    const char *reason;
} data_dropped;
size_t data_dropped_count(const data_set *set);
data_dropped data_dropped_at(const data_set *set, size_t index);

/* ---- is it fit to learn from? ------------------------------------------------------------------ */

/// What a person should know before spending money on `set`: a JSON array of sentences on labels of
/// few images, labels far out of balance, copies across splits. NULL when memory runs out.
ns_json *data_warnings(const data_set *set);

/// Two images that look nearly the same. `a` < `b`, indices into the whole set.
typedef struct data_near_pair {
    uint32_t a, b;
    float difference; // mean absolute difference of their pixels, 0-255
    bool across;      // they are in different splits
} data_near_pair;

typedef struct data_near_duplicates {
    data_near_pair *pairs; // (count), those across splits first, then by difference
    size_t count, across_count;
    bool complete; // false: there are more than were counted
} data_near_duplicates;

/// Finds images that were resized, compressed anew or slightly changed; how is at the head of
/// data/near_duplicates.c. NS_ERR_MEMORY.
ns_status data_near_duplicates_find(const data_set *set, int thread_count,
                                    data_near_duplicates *out, ns_error *err);
void data_near_duplicates_free(data_near_duplicates *found);

/* ---- augmentation and batches ---------------------------------------------------------------- */

/// Random changes to a training image; all zero: none. Sizes in pixels of the image that the network
/// sees, shrunk or not. Done in this order: mirror; zoom, shear and rotation around the centre; shift; cutout; erase; mixup.
/// What is uncovered is filled with the mean.
typedef struct data_augment {
    bool mirror;             // left-right with probability 1/2
    int shift_px;            // uniform in [-shift_px, shift_px] on both axes
    int cutout_px;           // a square of this side around a uniform centre is filled with the
                             // mean (DeVries & Taylor 2017)
    float rotation_degrees;  // uniform in +-rotation_degrees, at most 180
    float zoom_percent;      // size uniform on a log scale from 1 / (1 + z) to 1 + z, z in percent
    float shear_degrees;     // upright lines lean uniformly by +-shear_degrees, below 90
    float erase_probability; // of filling a random rectangle with noise (Zhong et al. 2020)
    float mixup_alpha;       // > 0: images are mixed in pairs, weights ~ Beta(alpha, alpha)
                             // (Zhang et al. 2018)
} data_augment;

typedef struct data_loader_options {
    data_split split;
    bool with_validation; // the images of the validation split too
    int batch_size;
    bool shuffle;   // a new order every epoch; the incomplete last batch is left out
    bool balance;   // with shuffle, not of multi-label sets: every label equally often
    data_size size; // that images are shrunk to, before all else; 0: as they are packed
    data_augment augment;
    uint64_t seed;
    int thread_count; // for filling a batch; the result does not depend on it
} data_loader_options;

typedef struct data_loader data_loader;

/// Borrows `set`. NS_ERR_INPUT when there is no image to load, or fewer than one batch to shuffle.
ns_status data_loader_new(const data_set *set, const data_loader_options *options,
                          data_loader **out, ns_error *err);
void data_loader_free(data_loader *loader);

/// Where a batch goes; all memory is the caller's.
typedef struct data_batch {
    float *x;                // (batch_size, C, H, W), normalised to (pixel - mean) / deviation;
                             // H and W of the options' size
    int32_t *labels;         // (batch_size); NULL for a multi-label set
    int32_t *partner_labels; // (batch_size), of the images mixed in; NULL allowed without mixup
    float *lambdas;          // (batch_size), in [0.5, 1]: the share of the image itself, its
                             // partner has 1 - lambda; NULL allowed without mixup
    float *targets;          // multi-label set: (batch_size, label_count), 1 for a label that the
                             // image has, 0 for others, mixed as the images are; else NULL
} data_batch;

/// Fills `batch` with the next images; returns how many are real: batch_size when shuffling; else
/// the last batch of an epoch may be short, padded with zeros, label 0, no targets and lambda 1. Returns 0 once
/// at the end of each unshuffled epoch; a shuffled loader goes on for ever. What is not mixed has
/// its own label as partner and lambda 1. What is drawn depends on (seed, epoch, image) alone, of a
/// balanced loader on (seed, epoch, place); with whom an image is mixed on its place in the batch.
size_t data_loader_next(data_loader *loader, const data_batch *batch);

/// Position: the number of images handed out since the start; setting it resumes a checkpoint.
uint64_t data_loader_position(const data_loader *loader);
void data_loader_seek(data_loader *loader, uint64_t position);

#endif
