// Epochs in which every label is drawn equally often, however rare it is: class-balanced sampling
// (Kang et al. 2020, "Decoupling Representation and Classifier for Long-Tailed Recognition",
// section 3.2, q = 0).
//
// An epoch has as many images as there are, an equal part of each label that has any; the remainder
// of that division goes to other labels every epoch. A label with fewer images than its part gives
// each of them equally often, give or take one; one with more gives a random part of them. Which,
// and in which order, depends on (seed, epoch) alone.

#include "data/augment.h"

#include <stdlib.h>
#include <string.h>

struct data__balance {
    size_t image_count;
    int group_count;
    size_t *begin;   // (group_count + 1), of each label's images in `image`
    uint32_t *image; // (image_count), by label, ascending
};

static void count_labels(const data_set *set, const uint32_t *images, size_t count,
                         size_t *label_count) {
    for (size_t i = 0; i < count; i++) {
        label_count[data_label(set, images[i])]++;
    }
}

/// Groups without images are left out; `next` (a place for each label) is scratch.
static void group_images(const data_set *set, const uint32_t *images, data__balance *out,
                         size_t *next) {
    const int labels = data_describe(set)->label_count;
    size_t at = 0;
    count_labels(set, images, out->image_count, next);
    for (int label = 0; label < labels; label++) {
        const size_t count = next[label];
        next[label] = at;
        if (count > 0) {
            out->begin[out->group_count++] = at;
            at += count;
        }
    }
    out->begin[out->group_count] = at;
    for (size_t i = 0; i < out->image_count; i++) {
        out->image[next[data_label(set, images[i])]++] = images[i];
    }
}

data__balance *data__balance_new(const data_set *set, const uint32_t *images, size_t count) {
    const size_t labels = (size_t)data_describe(set)->label_count;
    data__balance *balance = calloc(1, sizeof(*balance));
    size_t *next = calloc(labels, sizeof(*next));
    if (balance != NULL) {
        *balance = (data__balance){.image_count = count,
                                   .begin = calloc(labels + 1, sizeof(*balance->begin)),
                                   .image = calloc(count, sizeof(*balance->image))};
    }
    const bool whole =
        balance != NULL && next != NULL && balance->begin != NULL && balance->image != NULL;
    if (whole) {
        group_images(set, images, balance, next);
    } else {
        data__balance_free(balance);
    }
    free(next);
    return whole ? balance : NULL;
}

void data__balance_free(data__balance *balance) {
    if (balance != NULL) {
        free(balance->begin);
        free(balance->image);
        free(balance);
    }
}

/// `wanted` of `count` images without repetition, all such parts equally likely (Knuth, The Art of
/// Computer Programming, volume 2, 3.4.2, algorithm S).
static void draw_part(ns_rng *rng, const uint32_t *images, size_t count, size_t wanted,
                      uint32_t *out) {
    for (size_t i = 0; wanted > 0; i++) {
        if (ns_rng_below(rng, count - i) < wanted) {
            *out++ = images[i];
            wanted--;
        }
    }
}

/// `wanted` images of one label.
static void draw_group(ns_rng *rng, const uint32_t *images, size_t count, size_t wanted,
                       uint32_t *out) {
    for (; wanted >= count; wanted -= count, out += count) {
        memcpy(out, images, count * sizeof(*out));
    }
    draw_part(rng, images, count, wanted, out);
}

void data__balance_order(const data__balance *balance, uint64_t seed, uint64_t epoch,
                         uint32_t *order) {
    ns_rng rng = ns_rng_stream(seed, epoch, "balanced epoch");
    const size_t groups = (size_t)balance->group_count;
    const size_t part = balance->image_count / groups;
    const size_t rest = balance->image_count % groups;
    uint32_t *out = order;
    for (size_t i = 0; i < groups; i++) {
        const size_t wanted = part + ((i + epoch) % groups < rest);
        const size_t begin = balance->begin[i];
        draw_group(&rng, balance->image + begin, balance->begin[i + 1] - begin, wanted, out);
        out += wanted;
    }
    ns_rng_shuffle(&rng, order, balance->image_count);
}
