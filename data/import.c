// The way of every source into a pack, except IDX files, which have an easier one of their own:
//
//   list      folder or manifest to a listing; no image is opened yet
//   survey    read every header: what is an image, how large, grey or colour (parallel)
//   choose    one size and channel count for all
//   decode    in batches, parallel inside a batch, written in the listing's order, so that neither
//             threads nor their timing show in the result and memory stays bounded; very large
//             images one at a time, since each may take a gigabyte
//   split     over what was really decoded
//
// A bad image is left out and listed with its reason, up to a fraction; then the import stops. It
// also stops when the caller's progress function says so, which is asked while listing, between
// some thousand headers and before each image.

#include <assert.h>
#include <errno.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/data_internal.h"

#define BATCH_BYTES_MAX   (32u << 20) // of packed pixels
#define BATCH_IMAGES_MAX  128
#define SURVEY_IMAGES     2048        // between two questions whether to go on
#define LARGE_PIXELS      (1ll << 24) // of an image that is decoded alone
#define SIDE_DEFAULT_MAX  224         // px, of a side chosen from unequal images
#define SIDE_DEFAULT_STEP 16
#define SIDE_NATIVE_MAX   256 // px, up to which equal images keep their size
#define EXAMPLES_MAX      3   // bad images that the sentence names

typedef struct import_run {
    const char *source;
    const data_import_options *options;
    data__listing listing;
    data__image_header *headers;   // (listing.item_count)
    size_t image_count, bad_count; // good and bad images; the bad ones
    int thread_count;
    int channels, height, width;
    data__pack_writer *writer;
    size_t batch_size; // images
    uint8_t *batch;    // (batch_size, C, H, W)
} import_run;

ns_status data_format_parse(const char *text, data_format *out, ns_error *err) {
    static const struct {
        const char *name;
        data_format format;
    } names[] = {{"auto", DATA_FORMAT_AUTO},
                 {"folder", DATA_FORMAT_FOLDER},
                 {"csv", DATA_FORMAT_CSV},
                 {"idx", DATA_FORMAT_IDX}};
    for (size_t i = 0; i < NS_COUNT_OF(names); i++) {
        if (strcmp(text, names[i].name) == 0) {
            *out = names[i].format;
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_USAGE, "unknown format '%s' (auto, folder, csv or idx)", text);
}

data_import_options data_import_options_default(void) {
    return (data_import_options){
        .format = DATA_FORMAT_AUTO,
        .split_percent = {80, 10, 10},
        .bad_fraction_max = 0.05,
    };
}

/* ---- survey ---------------------------------------------------------------------------------- */

static bool looks_like_image(const char *name) {
    static const char *const endings[] = {"png", "jpg", "jpeg", "jpe",  "jfif", "gif",
                                          "bmp", "tif", "tiff", "webp", "heic", "avif"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < NS_COUNT_OF(endings); i++) {
        if (strcasecmp(dot + 1, endings[i]) == 0) {
            return true;
        }
    }
    return false;
}

static ns_status survey_item(data__item *item, data__image_header *header, ns_error *err) {
    ns_error reason;
    const ns_status status = data__image_read_header(item->path, header, &reason);
    if (status == NS_OK) {
        return NS_OK;
    }
    if (status == NS_ERR_MEMORY) {
        return ns_fail(err, status, "%s", reason.text);
    }
    const bool bad = header->kind != DATA__KIND_OTHER || looks_like_image(item->path);
    return data__item_leave_out(item, reason.text, bad, err);
}

// What a loop over the items returns: only memory can fail there, whatever the images hold, and the
// caller stop it.
static ns_status items_end(const import_run *run, int failed, size_t done, ns_error *err) {
    switch (failed) {
    case NS_OK:
        return NS_OK;
    case NS_ERR_STOPPED:
        return data__import_stopped(run->source, done, run->listing.item_count, err);
    default:
        return ns_fail(err, (ns_status)failed, "out of memory while importing %s", run->source);
    }
}

/// Reads the headers of items [first, end).
static ns_status survey_some(import_run *run, size_t first, size_t end, ns_error *err) {
    data__item *items = run->listing.items;
    int failed = NS_OK;
#pragma omp parallel for schedule(dynamic, 16) num_threads(run->thread_count)
    for (size_t i = first; i < end; i++) {
        if (items[i].reason == NULL) {
            const ns_status status = survey_item(&items[i], &run->headers[i], NULL);
            if (status != NS_OK) {
#pragma omp atomic write
                failed = status;
            }
        }
    }
    return items_end(run, failed, 0, err);
}

static ns_status survey(import_run *run, ns_error *err) {
    const size_t item_count = run->listing.item_count;
    run->headers = calloc(item_count + 1, sizeof(*run->headers));
    if (run->headers == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", run->source);
    }
    for (size_t first = 0; first < item_count; first += SURVEY_IMAGES) {
        const size_t left = item_count - first;
        NS_TRY(data__import_tell(run->options, run->source, 0, item_count, err));
        NS_TRY(survey_some(run, first, first + (left < SURVEY_IMAGES ? left : SURVEY_IMAGES), err));
    }
    for (size_t i = 0; i < item_count; i++) {
        const data__item *item = &run->listing.items[i];
        run->image_count += item->reason == NULL || item->bad;
        run->bad_count += item->reason != NULL && item->bad;
    }
    return NS_OK;
}

/* ---- bad images ------------------------------------------------------------------------------ */

/// Appends at `*used` as far as there is room.
static void append_text(char *text, size_t size_bytes, size_t *used, const char *format, ...)
    NS_PRINTF(4, 5);

static void append_text(char *text, size_t size_bytes, size_t *used, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(text + *used, size_bytes - *used, format, args);
    va_end(args);
    if (length > 0) {
        const size_t room = size_bytes - 1 - *used;
        *used += (size_t)length < room ? (size_t)length : room;
    }
}

static ns_status too_many_bad(const import_run *run, ns_error *err) {
    char examples[NS_ERROR_TEXT_MAX] = "";
    size_t used = 0;
    int named = 0;
    for (size_t i = 0; i < run->listing.item_count && named < EXAMPLES_MAX; i++) {
        const data__item *item = &run->listing.items[i];
        if (item->reason != NULL && item->bad) {
            append_text(examples, sizeof(examples), &used, "%s%s (%s)", named > 0 ? ", " : "",
                        data__item_name(item), item->reason);
            named++;
        }
    }
    return ns_fail(
        err, NS_ERR_INPUT, "cannot import %s: %zu of %zu images are bad, more than %g %%: %s%s",
        run->source, run->bad_count, run->image_count, 100.0 * run->options->bad_fraction_max,
        examples, run->bad_count > (size_t)named ? ", ..." : "");
}

static ns_status check_bad(const import_run *run, ns_error *err) {
    if (run->image_count == 0) {
        return ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds no PNG or JPEG image",
                       run->source);
    }
    if ((double)run->bad_count > run->options->bad_fraction_max * (double)run->image_count) {
        return too_many_bad(run, err);
    }
    return run->bad_count < run->image_count
               ? NS_OK
               : ns_fail(err, NS_ERR_INPUT, "cannot import %s: not one of its images is readable",
                         run->source);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/// What the headers of all good images say together.
typedef struct size_census {
    bool all_equal, all_grey;
    int width, height; // of the first
    int median_side;   // of the shorter sides
} size_census;

static ns_status take_census(const import_run *run, size_census *out, ns_error *err) {
    size_t *counts = calloc(DATA__IMAGE_SIDE_MAX + 1, sizeof(*counts)); // by shorter side
    if (counts == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", run->source);
    }
    *out = (size_census){.all_equal = true, .all_grey = true};
    size_t good_count = 0;
    for (size_t i = 0; i < run->listing.item_count; i++) {
        const data__image_header *header = &run->headers[i];
        if (run->listing.items[i].reason != NULL) {
            continue;
        }
        if (good_count++ == 0) {
            out->width = header->width;
            out->height = header->height;
        }
        out->all_equal &= header->width == out->width && header->height == out->height;
        out->all_grey &= header->channels == 1;
        counts[header->width < header->height ? header->width : header->height]++;
    }
    for (size_t below = 0; 2 * (below += counts[out->median_side]) < good_count;) {
        out->median_side++;
    }
    free(counts);
    return NS_OK;
}

static int default_side(int median_side) {
    const int side = (median_side + SIDE_DEFAULT_STEP / 2) / SIDE_DEFAULT_STEP * SIDE_DEFAULT_STEP;
    return side < SIDE_DEFAULT_STEP  ? SIDE_DEFAULT_STEP
           : side > SIDE_DEFAULT_MAX ? SIDE_DEFAULT_MAX
                                     : side;
}

static ns_status choose_sizes(import_run *run, ns_error *err) {
    size_census census = {0};
    NS_TRY(take_census(run, &census, err));
    const data_import_options *options = run->options;
    const bool native =
        census.all_equal && census.width <= SIDE_NATIVE_MAX && census.height <= SIDE_NATIVE_MAX;
    const int side = default_side(census.median_side);
    run->width = options->width != 0 ? options->width : native ? census.width : side;
    run->height = options->height != 0 ? options->height : native ? census.height : side;
    run->channels = options->channels != 0 ? options->channels : census.all_grey ? 1 : 3;
    return NS_OK;
}

/* ---- decode ---------------------------------------------------------------------------------- */

static ns_status read_and_fit(const import_run *run, const char *path, uint8_t *out,
                              ns_error *err) {
    data_image image = {0};
    ns_status status = data__image_read_bare(path, &image, err);
    if (status == NS_OK) {
        status = data_image_fit(&image, run->channels, run->height, run->width, out, err);
    }
    data_image_free(&image);
    return status;
}

static ns_status decode_item(const import_run *run, size_t index, uint8_t *out) {
    data__item *item = &run->listing.items[index];
    const data__image_header *header = &run->headers[index];
    ns_error reason;
    ns_status status;
    if ((long long)header->width * header->height > LARGE_PIXELS) {
#pragma omp critical(data_large_image)
        status = read_and_fit(run, item->path, out, &reason);
    } else {
        status = read_and_fit(run, item->path, out, &reason);
    }
    return status == NS_OK || status == NS_ERR_MEMORY
               ? status
               : data__item_leave_out(item, reason.text, true, NULL);
}

/// Decodes items [first, first + count) into run->batch, each to its own place.
static ns_status decode_batch(import_run *run, size_t first, size_t count, ns_error *err) {
    const size_t image_bytes = (size_t)run->channels * (size_t)run->height * (size_t)run->width;
    int failed = NS_OK;
    size_t bad_count = 0;
#pragma omp parallel for schedule(dynamic) num_threads(run->thread_count) reduction(+ : bad_count)
    for (size_t i = 0; i < count; i++) {
        ns_status status;
#pragma omp atomic read
        status = failed;
        if (status != NS_OK || run->listing.items[first + i].reason != NULL) {
            continue;
        }
        if (omp_get_thread_num() == 0) { // the caller is asked from its own thread alone
            status =
                data__import_tell(run->options, run->source, first, run->listing.item_count, NULL);
        }
        if (status == NS_OK) {
            status = decode_item(run, first + i, run->batch + i * image_bytes);
        }
        bad_count += run->listing.items[first + i].reason != NULL;
        if (status != NS_OK) {
#pragma omp atomic write
            failed = status;
        }
    }
    run->bad_count += bad_count;
    return items_end(run, failed, first, err);
}

static ns_status write_batch(import_run *run, size_t first, size_t count, ns_error *err) {
    const size_t image_bytes = (size_t)run->channels * (size_t)run->height * (size_t)run->width;
    for (size_t i = 0; i < count; i++) {
        const data__item *item = &run->listing.items[first + i];
        if (item->reason == NULL) {
            NS_TRY(data__pack_add(run->writer, run->batch + i * image_bytes, item->label,
                                  (data_split)item->split, err));
        } else {
            NS_TRY(data__pack_drop(run->writer, data__item_name(item), item->reason, err));
        }
        NS_TRY(data__import_tell(run->options, run->source, first + i + 1, run->listing.item_count,
                                 err));
    }
    return NS_OK;
}

static ns_status decode_all(import_run *run, ns_error *err) {
    const size_t image_bytes = (size_t)run->channels * (size_t)run->height * (size_t)run->width;
    const size_t fitting = BATCH_BYTES_MAX / image_bytes;
    run->batch_size = fitting < 1 ? 1 : fitting > BATCH_IMAGES_MAX ? BATCH_IMAGES_MAX : fitting;
    run->batch = malloc(run->batch_size * image_bytes);
    if (run->batch == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", run->source);
    }
    for (size_t first = 0; first < run->listing.item_count; first += run->batch_size) {
        const size_t left = run->listing.item_count - first;
        const size_t count = left < run->batch_size ? left : run->batch_size;
        NS_TRY(decode_batch(run, first, count, err));
        NS_TRY(check_bad(run, err));
        NS_TRY(write_batch(run, first, count, err));
    }
    return NS_OK;
}

/* ---- the whole way --------------------------------------------------------------------------- */

static ns_status begin_pack(import_run *run, const char *out_path, data_format format,
                            ns_error *err) {
    char *provenance = NULL;
    NS_TRY(data__provenance(run->options, format, &provenance, err));
    const data__pack_spec spec = {
        .channels = run->channels,
        .height = run->height,
        .width = run->width,
        .label_count = run->listing.label_count,
        .labels = (const char *const *)run->listing.labels,
        .source = run->source,
        .provenance = provenance,
    };
    const ns_status status = data__pack_begin(out_path, &spec, &run->writer, err);
    free(provenance);
    return status;
}

static ns_status split_pack(import_run *run, ns_error *err) {
    const ns_status status =
        data__pack_split(run->writer, run->options->split_percent, run->options->seed, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", run->source);
    }
    return status;
}

static ns_status import_listing(import_run *run, const char *out_path, data_format format,
                                ns_error *err) {
    NS_TRY(format == DATA_FORMAT_CSV ? data__csv_list(run->source, &run->listing, err)
                                     : data__folder_list(run->source, &run->listing, err));
    NS_TRY(data__listing_finish(&run->listing, err));
    NS_TRY(survey(run, err));
    NS_TRY(check_bad(run, err));
    NS_TRY(choose_sizes(run, err));
    NS_TRY(begin_pack(run, out_path, format, err));
    NS_TRY(decode_all(run, err));
    NS_TRY(split_pack(run, err));
    data__pack_writer *writer = run->writer;
    run->writer = NULL;
    return data__pack_finish(writer, err);
}

static ns_status check_options(const data_import_options *options, ns_error *err) {
    int sum = 0;
    for (int i = 0; i < DATA_SPLIT_COUNT; i++) {
        if (options->split_percent[i] < 0) {
            return ns_fail(err, NS_ERR_USAGE, "a split cannot have %d %%",
                           options->split_percent[i]);
        }
        sum += options->split_percent[i];
    }
    if (sum != 100 || options->split_percent[DATA_TRAIN] == 0) {
        return ns_fail(err, NS_ERR_USAGE,
                       "split percentages must sum to 100 with some for train, not %d,%d,%d",
                       options->split_percent[0], options->split_percent[1],
                       options->split_percent[2]);
    }
    if ((options->width == 0) != (options->height == 0) || options->width < 0 ||
        options->width > DATA__SIDE_MAX || options->height < 0 ||
        options->height > DATA__SIDE_MAX) {
        return ns_fail(err, NS_ERR_USAGE, "images cannot be made %dx%d pixels (1 to %d)",
                       options->width, options->height, DATA__SIDE_MAX);
    }
    if (options->channels != 0 && options->channels != 1 && options->channels != 3) {
        return ns_fail(err, NS_ERR_USAGE, "images have 1 or 3 channels, not %d", options->channels);
    }
    return NS_OK;
}

static ns_status holds_idx(const char *source, bool *out, ns_error *err) {
    char **names = NULL;
    size_t count = 0;
    NS_TRY(data__dir_names(source, &names, &count, err));
    *out = false;
    for (size_t i = 0; i < count; i++) {
        *out = *out || data__idx_is_images(names[i]);
    }
    data__names_free(names, count);
    return NS_OK;
}

/// `wanted`, or the form that the source itself shows.
static ns_status detect_format(const char *source, data_format wanted, data_format *out,
                               ns_error *err) {
    struct stat info;
    if (stat(source, &info) != 0) {
        return ns_fail(err, errno == ENOENT || errno == ENOTDIR ? NS_ERR_NOT_FOUND : NS_ERR_IO,
                       "cannot import %s: %s", source, strerror(errno));
    }
    if (wanted != DATA_FORMAT_AUTO) {
        *out = wanted;
        return NS_OK;
    }
    if (S_ISDIR(info.st_mode)) {
        bool idx;
        NS_TRY(holds_idx(source, &idx, err));
        *out = idx ? DATA_FORMAT_IDX : DATA_FORMAT_FOLDER;
        return NS_OK;
    }
    const char *dot = strrchr(source, '.');
    if (dot != NULL && strcasecmp(dot, ".csv") == 0) {
        *out = DATA_FORMAT_CSV;
        return NS_OK;
    }
    if (strstr(source, "idx") != NULL) {
        *out = DATA_FORMAT_IDX;
        return NS_OK;
    }
    return ns_fail(err, NS_ERR_INPUT,
                   "cannot import %s: it is neither a folder nor a CSV manifest nor an IDX file",
                   source);
}

ns_status data_import(const char *source, const char *out_path, const data_import_options *options,
                      ns_error *err) {
    NS_TRY(check_options(options, err));
    data_format format = DATA_FORMAT_AUTO;
    NS_TRY(detect_format(source, options->format, &format, err));
    if (format == DATA_FORMAT_IDX) {
        return data__idx_import(source, out_path, options, err);
    }
    import_run run = {
        .source = source,
        .options = options,
        .listing = {.source = source, .options = options},
        .thread_count = options->thread_count > 0 ? options->thread_count : ns_cpu_count(),
    };
    const ns_status status = import_listing(&run, out_path, format, err);
    data__pack_abort(run.writer);
    data__listing_free(&run.listing);
    free(run.headers);
    free(run.batch);
    return status;
}
