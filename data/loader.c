// Batches for a network: which images, in which order, changed how, written where.
//
// Mixup (Zhang et al. 2018) mixes a batch with a permutation of itself. A shuffled batch is in
// random order as it is, so the permutation swaps the slots 2k and 2k + 1: pairs are mixed in place
// and in any order. Each image has a lambda of its own, which tells the network more a step than
// one for the whole batch and depends on (seed, epoch, image) alone. It is folded to at least 1/2:
// the two mixtures of a pair are then one of mostly this and one of mostly that, and the law of
// (image, partner, lambda) is the paper's. The last image of an odd batch stays unmixed.
//
// Everything follows from the position, the number of images handed out so far: the epoch and the
// place in it by division, the epoch's order by a Fisher-Yates shuffle seeded with (seed, epoch),
// the changes to an image by (seed, epoch, image). So a checkpoint keeps one number and a seek
// costs one shuffle.
//
// Batches are filled when they are asked for, by the threads of the step, and not ahead of time.
// Measured was the whole step of small networks (the search's anchors, f32, oneDNN, two cores of a
// Zen 5), images moved and resampled; medians of 15 to 27 steps each, in turn, alike within 1 %:
// filled in the step; filled ahead by a thread of idle priority, image pairs drawn from an atomic
// counter from which the step's threads took what was left; not filled, the bound of any scheme.
//
//      images, batch         threads   in the step   ahead           not at all
//      28x28x1, 256          2 of 2    103.8 ms      103.0 ms        102.9 ms
//      28x28x1, 256          1 of 2    187.8         187.8           186.7
//      224x224x3, 32         2 of 2     72.7          73.9 (+2 %)     68.4 (-6 %)
//      224x224x3, 32         1 of 2    126.4         120.8 (-4 %)    118.9 (-6 %)
//
// Where all cores compute, no time is spare: the thread did 4 % of the photographs in what idle
// moments there were, and the copy out of its buffer cost more than that saved. A free core is
// worth 4 % to the loader (1 to 3 % without resampling) but 42 % to the network, which should have
// it. So the work went into filling faster.
//
// Where a network takes smaller images, they are shrunk first (data_shrinker), and all changes are
// made to what comes out: that costs only as many pixels as the network reads, and an unchanged
// image is to the bit what inference makes of it.
//
// A balanced loader draws rare labels' images several times an epoch (balance.c). Each time an image
// changes in another way: there the changes depend on (seed, epoch, place in the epoch).
//
// Invariants: `order` holds the images of the splits, in the order of epoch `order_epoch`; a
// shuffled epoch is `batch_size * (image_count / batch_size)` images long, an unshuffled one
// `image_count`. Nothing is allocated after data_loader_new.

#include "data/augment.h"

#include <assert.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define EPOCH_NONE UINT64_MAX

struct data_loader {
    const data_set *set; // borrowed
    data_info info;      // the set's, but for height and width, which are those of a batch
    data_loader_options options;
    data_shrinker *shrinker;
    data__normaliser normaliser;
    size_t image_count;     // of the splits
    size_t image_floats;    // C * H * W
    uint64_t epoch_length;  // images handed out in an epoch
    uint64_t position;      // images handed out since the start
    bool end_told;          // an unshuffled epoch's end at `position` has been returned as 0
    uint32_t *order;        // image_count indices into the set
    data__balance *balance; // NULL: every image once an epoch
    uint64_t order_epoch;   // whose order that is
};

/// Appends the indices of `split`, ascending, to `order` when that is not NULL; returns how many.
static size_t append_split(const data_set *set, data_split split, uint32_t *order) {
    size_t count = 0;
    const uint32_t *indices = data_indices(set, split, &count);
    if (order != NULL && count > 0) {
        memcpy(order, indices, count * sizeof(*indices));
    }
    return count;
}

/// The indices that `options` ask for, to `order` unless it is NULL; returns how many.
static size_t list_images(const data_set *set, const data_loader_options *options,
                          uint32_t *order) {
    const size_t count = append_split(set, options->split, order);
    return options->with_validation && options->split != DATA_VALIDATION
               ? count + append_split(set, DATA_VALIDATION, order != NULL ? order + count : NULL)
               : count;
}

/// The loader's own idea of the images: those of the set, at the size of a batch.
static data_info info_of(const data_info *packed, data_size size) {
    data_info info = *packed;
    if (size.height > 0) {
        info.height = size.height;
        info.width = size.width;
    }
    return info;
}

/// What the loader holds besides itself and its order.
static ns_status take_parts(data_loader *loader, ns_error *err) {
    const data_info *packed = data_describe(loader->set);
    const data_loader_options *options = &loader->options;
    NS_TRY(data_shrinker_new(packed->channels, (data_size){packed->height, packed->width},
                             (data_size){loader->info.height, loader->info.width},
                             options->thread_count, &loader->shrinker, err));
    if (options->balance) {
        assert(options->shuffle && !packed->multi_label);
        (void)list_images(loader->set, options, loader->order);
        loader->balance = data__balance_new(loader->set, loader->order, loader->image_count);
        if (loader->balance == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "no memory for the labels of %zu images",
                           loader->image_count);
        }
    }
    return NS_OK;
}

static ns_status make_loader(const data_set *set, const data_loader_options *options,
                             size_t image_count, data_loader **out, ns_error *err) {
    const size_t batch_size = (size_t)options->batch_size;
    data_loader *loader = calloc(1, sizeof(*loader));
    uint32_t *order = calloc(image_count, sizeof(*order));
    if (loader == NULL || order == NULL) {
        free(loader);
        free(order);
        return ns_fail(err, NS_ERR_MEMORY, "no memory for the order of %zu images", image_count);
    }
    const data_info info = info_of(data_describe(set), options->size);
    *loader = (data_loader){
        .set = set,
        .info = info,
        .options = *options,
        .normaliser = data__normaliser_of(&info),
        .image_count = image_count,
        .image_floats = (size_t)info.channels * (size_t)info.height * (size_t)info.width,
        .epoch_length = options->shuffle ? image_count / batch_size * batch_size : image_count,
        .end_told = true,
        .order = order,
        .order_epoch = EPOCH_NONE,
    };
    const ns_status status = take_parts(loader, err);
    if (status != NS_OK) {
        data_loader_free(loader);
        return status;
    }
    *out = loader;
    return NS_OK;
}

ns_status data_loader_new(const data_set *set, const data_loader_options *options,
                          data_loader **out, ns_error *err) {
    assert(options->batch_size > 0);
    const data_info *info = data_describe(set);
    const size_t image_count = list_images(set, options, NULL);
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
    return make_loader(set, options, image_count, out, err);
}

void data_loader_free(data_loader *loader) {
    if (loader != NULL) {
        data__balance_free(loader->balance);
        data_shrinker_free(loader->shrinker);
        free(loader->order);
        free(loader);
    }
}

// Makes `order` that of `epoch`, from the ascending indices, so that no earlier epoch matters.
static void order_epoch(data_loader *loader, uint64_t epoch) {
    if (loader->order_epoch == epoch) {
        return;
    }
    const size_t count = list_images(loader->set, &loader->options, loader->order);
    if (loader->balance != NULL) {
        data__balance_order(loader->balance, loader->options.seed, epoch, loader->order);
    } else if (loader->options.shuffle) {
        ns_rng rng = ns_rng_stream(loader->options.seed, epoch, "epoch order");
        ns_rng_shuffle(&rng, loader->order, count);
    }
    loader->order_epoch = epoch;
}

/// `image` is a place in the order.
static data__draw_key key_of(const data_loader *loader, const uint32_t *image) {
    return (data__draw_key){
        .seed = loader->options.seed,
        .epoch = (uint32_t)loader->order_epoch,
        .image = loader->balance != NULL ? (uint32_t)(image - loader->order) : *image,
    };
}

static float *targets_at(const data_loader *loader, const data_batch *batch, size_t slot) {
    return batch->targets + slot * (size_t)loader->info.label_count;
}

static void fill_targets(const data_loader *loader, uint32_t image, float *targets) {
    size_t count = 0;
    const uint16_t *labels = data_labels_of(loader->set, image, &count);
    memset(targets, 0, (size_t)loader->info.label_count * sizeof(*targets));
    for (size_t k = 0; k < count; k++) {
        targets[labels[k]] = 1.0f;
    }
}

// Writes slot `slot` of the batch, unmixed; `place` of the order names its image.
static void fill_slot(const data_loader *loader, const uint32_t *place, size_t slot,
                      const data_batch *batch) {
    const uint32_t image = *place;
    const data__augment_plan plan =
        data__augment_draw(&loader->options.augment, &loader->info, key_of(loader, place));
    const uint8_t *pixels =
        data_shrink(loader->shrinker, omp_get_thread_num(), data_pixels(loader->set, image));
    data__augment_apply(&loader->normaliser, &plan, pixels, batch->x + slot * loader->image_floats);
    if (loader->info.multi_label) {
        fill_targets(loader, image, targets_at(loader, batch, slot));
        return;
    }
    batch->labels[slot] = data_label(loader->set, image);
    if (batch->partner_labels != NULL) {
        batch->partner_labels[slot] = batch->labels[slot];
    }
    if (batch->lambdas != NULL) {
        batch->lambdas[slot] = 1.0f;
    }
}

// Mixes slots `slot` and `slot + 1`, which are filled; `images` are theirs.
static void mix_pair(const data_loader *loader, const uint32_t *images, size_t slot,
                     const data_batch *batch) {
    float *a = batch->x + slot * loader->image_floats;
    float lambdas[2];
    for (int i = 0; i < 2; i++) {
        lambdas[i] =
            data__mix_draw(loader->options.augment.mixup_alpha, key_of(loader, &images[i]));
    }
    data__mix(a, a + loader->image_floats, lambdas, loader->image_floats);
    if (loader->info.multi_label) {
        data__mix(targets_at(loader, batch, slot), targets_at(loader, batch, slot + 1), lambdas,
                  (size_t)loader->info.label_count);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        batch->lambdas[slot + i] = lambdas[i];
        batch->partner_labels[slot + i] = batch->labels[slot + 1 - i];
    }
}

// Slots `slot` and `slot + 1` of a batch of `count` images.
static void fill_pair(const data_loader *loader, const uint32_t *images, size_t count, size_t slot,
                      const data_batch *batch) {
    for (size_t i = slot; i < slot + 2 && i < count; i++) {
        fill_slot(loader, &images[i], i, batch);
    }
    if (loader->options.augment.mixup_alpha > 0.0f && slot + 1 < count) {
        mix_pair(loader, images + slot, slot, batch);
    }
}

// Pads slot `slot`.
static void clear_slot(const data_loader *loader, size_t slot, const data_batch *batch) {
    memset(batch->x + slot * loader->image_floats, 0, loader->image_floats * sizeof(*batch->x));
    if (loader->info.multi_label) {
        memset(targets_at(loader, batch, slot), 0,
               (size_t)loader->info.label_count * sizeof(*batch->targets));
        return;
    }
    batch->labels[slot] = 0;
    if (batch->partner_labels != NULL) {
        batch->partner_labels[slot] = 0;
    }
    if (batch->lambdas != NULL) {
        batch->lambdas[slot] = 1.0f;
    }
}

// Writes the `count` images that start at `position`.
static void batch_fill(data_loader *loader, uint64_t position, size_t count,
                       const data_batch *batch) {
    order_epoch(loader, position / loader->epoch_length);
    const uint32_t *images = loader->order + position % loader->epoch_length;
#pragma omp parallel for num_threads(                                                              \
    loader->options.thread_count) if (loader->options.thread_count > 1) schedule(static)
    for (size_t slot = 0; slot < count; slot += 2) {
        fill_pair(loader, images, count, slot, batch);
    }
    for (size_t slot = count; slot < (size_t)loader->options.batch_size; slot++) {
        clear_slot(loader, slot, batch);
    }
}

size_t data_loader_next(data_loader *loader, const data_batch *batch) {
    assert(!loader->info.multi_label || batch->targets != NULL);
    assert(loader->info.multi_label || loader->options.augment.mixup_alpha <= 0.0f ||
           (batch->partner_labels != NULL && batch->lambdas != NULL));
    const uint64_t in_epoch = loader->position % loader->epoch_length;
    if (in_epoch == 0 && !loader->end_told) {
        loader->end_told = true;
        return 0;
    }
    const uint64_t left = loader->epoch_length - in_epoch;
    const size_t batch_size = (size_t)loader->options.batch_size;
    const size_t count = left < batch_size ? (size_t)left : batch_size;
    batch_fill(loader, loader->position, count, batch);
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
