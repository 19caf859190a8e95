// Batches for a network: which images, in which order, changed how, written where.
//
// Everything follows from the position, the number of images handed out so far: the epoch and the
// place in it by division, the epoch's order by a Fisher-Yates shuffle seeded with (seed, epoch),
// the changes to an image by (seed, epoch, image). So a checkpoint keeps one number, a seek costs
// one shuffle, and `batch_fill` for another position can run ahead of the caller on a thread of its
// own once prefetching is worth it.
//
// Invariants: `order` holds the images of the split, in the order of epoch `order_epoch`; a
// shuffled epoch is `batch_size * (image_count / batch_size)` images long, an unshuffled one
// `image_count`. Nothing is allocated after data_loader_new.

#include "data/data_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define EPOCH_NONE UINT64_MAX

struct data_loader {
    const data_set *set; // borrowed
    const data_info *info;
    data_loader_options options;
    data__normaliser normaliser;
    size_t image_count;    // of the split
    uint64_t epoch_length; // images handed out in an epoch
    uint64_t position;     // images handed out since the start
    bool end_told;         // an unshuffled epoch's end at `position` has been returned as 0
    uint32_t *order;       // image_count indices into the set
    uint64_t order_epoch;  // whose order that is
};

ns_status data_loader_new(const data_set *set, const data_loader_options *options,
                          data_loader **out, ns_error *err) {
    assert(options->batch_size > 0);
    const data_info *info = data_describe(set);
    size_t image_count = 0;
    (void)data_indices(set, options->split, &image_count);
    const size_t batch_size = (size_t)options->batch_size;
    if (image_count == 0) {
        return ns_fail(err, NS_ERR_INPUT, "the %s split of %s holds no image",
                       data_split_name(options->split), info->source);
    }
    if (options->shuffle && image_count < batch_size) {
        return ns_fail(err, NS_ERR_INPUT,
                       "the %s split of %s holds %zu images, fewer than one batch of %zu",
                       data_split_name(options->split), info->source, image_count, batch_size);
    }
    data_loader *loader = calloc(1, sizeof(*loader));
    uint32_t *order = calloc(image_count, sizeof(*order));
    if (loader == NULL || order == NULL) {
        free(loader);
        free(order);
        return ns_fail(err, NS_ERR_MEMORY, "no memory for the order of %zu images", image_count);
    }
    *loader = (data_loader){
        .set = set,
        .info = info,
        .options = *options,
        .normaliser = data__normaliser_of(info),
        .image_count = image_count,
        .epoch_length = options->shuffle ? image_count / batch_size * batch_size : image_count,
        .end_told = true,
        .order = order,
        .order_epoch = EPOCH_NONE,
    };
    *out = loader;
    return NS_OK;
}

void data_loader_free(data_loader *loader) {
    if (loader != NULL) {
        free(loader->order);
        free(loader);
    }
}

// Makes `order` that of `epoch`, from the ascending indices, so that no earlier epoch matters.
static void order_epoch(data_loader *loader, uint64_t epoch) {
    if (loader->order_epoch == epoch) {
        return;
    }
    size_t count = 0;
    const uint32_t *indices = data_indices(loader->set, loader->options.split, &count);
    memcpy(loader->order, indices, count * sizeof(*indices));
    if (loader->options.shuffle) {
        ns_rng rng = ns_rng_stream(loader->options.seed, epoch, "epoch order");
        ns_rng_shuffle(&rng, loader->order, count);
    }
    loader->order_epoch = epoch;
}

// Writes the `slot`-th image of a batch, (C, H, W).
static void fill_slot(const data_loader *loader, uint32_t image, float *x) {
    const data__draw_key key = {
        .seed = loader->options.seed,
        .epoch = (uint32_t)loader->order_epoch,
        .image = image,
    };
    const data__augment_plan plan = data__augment_draw(&loader->options.augment, loader->info, key);
    data__augment_apply(&loader->normaliser, &plan, data_pixels(loader->set, image), x);
}

// Writes the batch of `count` images that starts at `position`: x (batch_size, C, H, W), labels
// (batch_size); what is beyond `count` becomes zeros.
static void batch_fill(data_loader *loader, uint64_t position, size_t count, float *x,
                       int32_t *labels) {
    order_epoch(loader, position / loader->epoch_length);
    const uint32_t *images = loader->order + position % loader->epoch_length;
    const size_t batch_size = (size_t)loader->options.batch_size;
    const size_t image_floats =
        (size_t)loader->info->channels * (size_t)loader->info->height * (size_t)loader->info->width;
#pragma omp parallel for num_threads(                                                              \
    loader->options.thread_count) if (loader->options.thread_count > 1) schedule(static)
    for (size_t i = 0; i < count; i++) {
        fill_slot(loader, images[i], x + i * image_floats);
        labels[i] = data_label(loader->set, images[i]);
    }
    memset(x + count * image_floats, 0, (batch_size - count) * image_floats * sizeof(*x));
    memset(labels + count, 0, (batch_size - count) * sizeof(*labels));
}

size_t data_loader_next(data_loader *loader, float *x, int32_t *labels) {
    const uint64_t in_epoch = loader->position % loader->epoch_length;
    if (in_epoch == 0 && !loader->end_told) {
        loader->end_told = true;
        return 0;
    }
    const uint64_t left = loader->epoch_length - in_epoch;
    const size_t batch_size = (size_t)loader->options.batch_size;
    const size_t count = left < batch_size ? (size_t)left : batch_size;
    batch_fill(loader, loader->position, count, x, labels);
    loader->position += count;
    loader->end_told = loader->options.shuffle;
    return count;
}

uint64_t data_loader_position(const data_loader *loader) {
    return loader->position;
}

void data_loader_seek(data_loader *loader, uint64_t position) {
    loader->position = position;
    loader->end_told = true; // at an epoch's edge: the start of the next one
}
