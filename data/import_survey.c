// What an import knows before it decodes: which of the listed things are images, how large and of
// how many colours; whether too many of them are bad; and the size that all of them will get.
//
// Headers are read from the first bytes of each file, in parallel. Only when these do not reach
// (a JPEG whose thumbnail and colour profile come first) is the whole file read.

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/data_internal.h"

#define HEADER_BYTES      4096 // read of each file, when that is enough
#define SIDE_DEFAULT_MAX  224  // px, of a side chosen from unequal images
#define SIDE_DEFAULT_STEP 16
#define SIDE_NATIVE_MAX   256 // px, up to which equal images keep their size
#define EXAMPLES_MAX      3   // bad images that the sentence names

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

/// Reads the header of item `index` from `content`, which is replaced by the whole image if need be.
static ns_status read_header(const data__listing *listing, size_t index, data__content *content,
                             data__image_header *header, ns_error *err) {
    const ns_status status = data__content_header(content, header, err);
    if (status != NS_ERR_INPUT || !content->cut) {
        return status;
    }
    data__content_free(content);
    NS_TRY(data__listing_read(listing, index, SIZE_MAX, content, err));
    return data__content_header(content, header, err);
}

static void survey_claim(data__pass *pass, const data__claim *claim, data__content *content) {
    data__listing *listing = &pass->run->listing;
    data__item *items = &listing->items[claim->index];
    data__image_header header = {0};
    ns_error reason;
    const ns_status status = read_header(listing, claim->index, content, &header, &reason);
    if (status != NS_OK) {
        const bool bad = header.kind != DATA__KIND_OTHER || looks_like_image(items->path);
        data__pass_leave_out(pass, claim, status, reason.text, bad);
        return;
    }
    for (size_t i = 0; i < claim->count; i++) {
        items[i].header = header;
        if (items[i].box != NULL) {
            data__box_header(items[i].box, &items[i].header);
        }
    }
}

/// Tells the caller, from its own thread alone, which item comes next there.
static void tell(data__pass *pass, size_t index) {
    const data__import *run = pass->run;
    const data_progress now = {DATA_STEP_SURVEY, index, run->listing.item_count};
    ns_error sentence;
    if (omp_get_thread_num() == 0) {
        const ns_status status = data__import_tell(run->options, run->source, now, &sentence);
        if (status != NS_OK) {
            data__pass_fail(pass, status, sentence.text);
        }
    }
}

static ns_status survey_all(data__import *run, ns_error *err) {
    data__pass pass;
    data__pass_begin(&pass, run, 0, run->listing.item_count);
#pragma omp parallel num_threads(run->thread_count)
    {
        data__claim claim;
        data__content content;
        while (data__pass_next(&pass, HEADER_BYTES, &claim, &content)) {
            tell(&pass, claim.index);
            survey_claim(&pass, &claim, &content);
            data__content_free(&content);
        }
    }
    return data__pass_end(&pass, err);
}

ns_status data__import_survey(data__import *run, ns_error *err) {
    NS_TRY(survey_all(run, err));
    run->image_count = 0;
    run->bad_count = 0;
    for (size_t i = 0; i < run->listing.item_count; i++) {
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

static ns_status too_many_bad(const data__import *run, ns_error *err) {
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

ns_status data__import_check_bad(const data__import *run, ns_error *err) {
    if (run->image_count == 0) {
        return ns_fail(err, NS_ERR_INPUT, "cannot import %s: it holds no PNG, JPEG or WebP image",
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

static ns_status take_census(const data__import *run, size_census *out, ns_error *err) {
    size_t *counts = calloc(DATA__IMAGE_SIDE_MAX + 1, sizeof(*counts)); // by shorter side
    if (counts == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", run->source);
    }
    *out = (size_census){.all_equal = true, .all_grey = true};
    size_t good_count = 0;
    for (size_t i = 0; i < run->listing.item_count; i++) {
        const data__image_header *header = &run->listing.items[i].header;
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

ns_status data__import_choose_sizes(data__import *run, ns_error *err) {
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
