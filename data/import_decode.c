// Decodes all images of a listing into the pack: in batches, parallel inside a batch, written in the
// listing's order, so that neither threads nor their timing show in the result and memory stays
// bounded; very large images one at a time, since each may take a gigabyte.
//
// There are two batches: while one is decoded, the caller's thread writes the other (copies, sums,
// hash, file) and then joins in, so that no core waits for the disk.

#include <omp.h>
#include <stdlib.h>

#include "data/data_internal.h"

#define BATCH_BYTES_MAX  (32u << 20) // of packed pixels
#define BATCH_IMAGES_MAX 128
#define LARGE_PIXELS     (1ll << 24) // of an image that is decoded alone

/// The images that are decoded together.
typedef struct batch {
    data__pass pass;
    size_t first, count;
    size_t image_bytes;  // packed
    uint8_t *pixels;     // (images, C, H, W)
    data__print *prints; // (images)
} batch;

/// Brings item `index` to its place: the part of `image` that it is.
static ns_status fit_item(const batch *of, size_t index, const data_image *image, ns_error *err) {
    const data__import *run = of->pass.run;
    const data__box *box = run->listing.items[index].box;
    const size_t place = index - of->first;
    data_image part = {0};
    if (box != NULL) {
        NS_TRY(data__box_crop(box, image, &part, err));
        image = &part;
    }
    ns_status status = data__print_of(image, &of->prints[place], err);
    if (status == NS_OK) {
        status = data_image_fit(image, run->channels, run->height, run->width,
                                of->pixels + place * of->image_bytes, err);
    }
    data_image_free(&part);
    return status;
}

static void decode_image(batch *of, const data__claim *claim, data__content *content) {
    data_image image = {0};
    ns_error reason;
    ns_status status = data__content_decode(content, &image, &reason);
    if (status != NS_OK) {
        data__pass_leave_out(&of->pass, claim, status, reason.text, true);
        return;
    }
    for (size_t i = 0; i < claim->count; i++) {
        const data__claim one = {.index = claim->index + i, .count = 1};
        status = fit_item(of, one.index, &image, &reason);
        if (status != NS_OK) {
            data__pass_leave_out(&of->pass, &one, status, reason.text, true);
        }
    }
    data_image_free(&image);
}

/// Whether decoding takes very much memory: of a small box the whole image is decoded, too.
static bool is_large(const data__item *item, const data__content *content) {
    data__image_header header = item->header;
    return (item->box == NULL || data__content_header(content, &header, NULL) == NS_OK) &&
           (long long)header.width * header.height > LARGE_PIXELS;
}

static void decode_claim(batch *of, const data__claim *claim, data__content *content) {
    if (is_large(&of->pass.run->listing.items[claim->index], content)) {
#pragma omp critical(data_large_image)
        decode_image(of, claim, content);
    } else {
        decode_image(of, claim, content);
    }
}

/// Asks the caller whether to go on, from its own thread alone.
static void ask(batch *of) {
    const data__import *run = of->pass.run;
    ns_error sentence;
    if (omp_get_thread_num() == 0) {
        const data_progress now = {DATA_STEP_DECODE, of->first, run->listing.item_count};
        const ns_status status = data__import_tell(run->options, run->source, now, &sentence);
        if (status != NS_OK) {
            data__pass_fail(&of->pass, status, sentence.text);
        }
    }
}

static ns_status write_image(const data__import *run, const data__item *item, const uint8_t *pixels,
                             ns_error *err) {
    const data_split split = (data_split)item->split;
    NS_TRY(run->listing.multi_label ? data__pack_add_labels(run->writer, pixels, item->labels,
                                                            item->label_count, split, err)
                                    : data__pack_add(run->writer, pixels, item->label, split, err));
    return data__pack_name(run->writer, data__item_name(item), err);
}

static ns_status write_batch(const batch *of, data__import *run, ns_error *err) {
    for (size_t i = 0; i < of->count; i++) {
        const data__item *item = &run->listing.items[of->first + i];
        bool admitted = false;
        if (item->reason == NULL) {
            NS_TRY(data__import_admit(run, of->first + i, &of->prints[i], &admitted, err));
        }
        if (admitted) {
            NS_TRY(write_image(run, item, of->pixels + i * of->image_bytes, err));
        }
        const data_progress now = {DATA_STEP_DECODE, of->first + i + 1, run->listing.item_count};
        NS_TRY(data__import_tell(run->options, run->source, now, err));
    }
    return NS_OK;
}

static void write_previous(batch *of, const batch *previous) {
    ns_error sentence;
    const ns_status status = write_batch(previous, of->pass.run, &sentence);
    if (status != NS_OK) {
        data__pass_fail(&of->pass, status, sentence.text);
    }
}

/// Decodes a batch, each image to its own place, while the caller's thread first writes the one
/// before.
static ns_status decode_batch(batch *of, const batch *previous, data__import *run, ns_error *err) {
    data__pass_begin(&of->pass, run, of->first, of->first + of->count);
#pragma omp parallel num_threads(run->thread_count)
    {
        data__claim claim;
        data__content content;
        if (omp_get_thread_num() == 0) {
            write_previous(of, previous);
        }
        ask(of);
        while (data__pass_next(&of->pass, SIZE_MAX, &claim, &content)) {
            decode_claim(of, &claim, &content);
            data__content_free(&content);
            ask(of);
        }
    }
    return data__pass_end(&of->pass, err);
}

static ns_status batches_new(batch batches[2], const data__import *run, size_t size,
                             ns_error *err) {
    const size_t image_bytes = (size_t)run->channels * (size_t)run->height * (size_t)run->width;
    for (int i = 0; i < 2; i++) {
        batches[i].image_bytes = image_bytes;
        batches[i].pixels = malloc(size * image_bytes);
        batches[i].prints = malloc(size * sizeof(*batches[i].prints));
        if (batches[i].pixels == NULL || batches[i].prints == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "out of memory while importing %s", run->source);
        }
    }
    return NS_OK;
}

static void batches_free(batch batches[2]) {
    for (int i = 0; i < 2; i++) {
        free(batches[i].pixels);
        free(batches[i].prints);
    }
}

ns_status data__import_decode(data__import *run, ns_error *err) {
    const size_t item_count = run->listing.item_count;
    const size_t image_bytes = (size_t)run->channels * (size_t)run->height * (size_t)run->width;
    const size_t fitting = BATCH_BYTES_MAX / image_bytes;
    const size_t size = fitting < 1 ? 1 : fitting > BATCH_IMAGES_MAX ? BATCH_IMAGES_MAX : fitting;
    batch batches[2] = {0};
    int now = 0;
    ns_status status = batches_new(batches, run, size, err);
    for (size_t first = 0; status == NS_OK && first < item_count; first += size) {
        batch *of = &batches[now];
        of->first = first;
        of->count = item_count - first < size ? item_count - first : size;
        now = 1 - now;
        status = decode_batch(of, &batches[now], run, err);
        status = status == NS_OK ? data__import_check_bad(run, err) : status;
    }
    if (status == NS_OK) {
        status = write_batch(&batches[1 - now], run, err);
    }
    batches_free(batches);
    return status;
}
