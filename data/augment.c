// From a packed image to the network's input: normalise, and change at random on the way.
//
// It is done in two steps, so that new changes have one place each: `data__augment_draw` decides
// what happens to an image (from seed, epoch and image alone, hence the same for any number of
// threads and after any resume), and `data__augment_apply` does all of it while the pixels pass
// once from uint8 to float. What only moves or blanks whole pixels (mirror, shift, cutout) belongs
// to that pass; what resamples (rotation, zoom, shear) will choose another way to read a source
// row; what mixes images (mixup) works on finished batches in the loader.
//
// Order of the changes: mirror, then shift, then cutout. What is uncovered or blanked gets the
// training set's mean, which is 0 after normalisation.

#include "data/data_internal.h"

#include <assert.h>
#include <string.h>

data__normaliser data__normaliser_of(const data_info *info) {
    data__normaliser normaliser = {
        .channels = info->channels,
        .height = info->height,
        .width = info->width,
    };
    for (int c = 0; c < info->channels; c++) {
        assert(info->deviation[c] > 0.0f);
        normaliser.mean[c] = info->mean[c];
        normaliser.scale[c] = 1.0f / info->deviation[c];
    }
    return normaliser;
}

static ns_rng stream_of(data__draw_key key, const char *purpose) {
    return ns_rng_stream(key.seed, (uint64_t)key.epoch << 32 | key.image, purpose);
}

// Uniform in [-reach, reach].
static int draw_around_zero(ns_rng *rng, int reach) {
    return (int)ns_rng_below(rng, 2 * (uint64_t)reach + 1) - reach;
}

data__augment_plan data__augment_draw(const data_augment *augment, const data_info *info,
                                      data__draw_key key) {
    assert(augment->shift_px >= 0 && augment->cutout_px >= 0);
    data__augment_plan plan = {0};
    ns_rng rng = stream_of(key, "augment");
    if (augment->mirror) {
        plan.mirror = ns_rng_below(&rng, 2) == 1;
    }
    if (augment->shift_px > 0) {
        plan.shift_x = draw_around_zero(&rng, augment->shift_px);
        plan.shift_y = draw_around_zero(&rng, augment->shift_px);
    }
    if (augment->cutout_px > 0) {
        const int centre_x = (int)ns_rng_below(&rng, (uint64_t)info->width);
        const int centre_y = (int)ns_rng_below(&rng, (uint64_t)info->height);
        plan.cut_side = augment->cutout_px;
        plan.cut_x = centre_x - augment->cutout_px / 2;
        plan.cut_y = centre_y - augment->cutout_px / 2;
    }
    return plan;
}

static void fill_mean(float *out, int count) {
    if (count > 0) {
        memset(out, 0, (size_t)count * sizeof(*out)); // the mean, normalised
    }
}

// The two hot loops of data loading: 1 byte read and 4 written a pixel, a subtraction and a product
// between. Their floor is the writing, 9 us for 256 images of 28x28 in the cache; measured on one
// core of a Zen 5 are 80 us, with mirror, shift and cutout 130 us (0.65 ns a pixel), because rows
// of 28 leave the vector loop with a tail. That is under a thousandth of a training step, so they
// stay plain. A subtraction before a product leaves nothing to contract: every machine gets the
// same bits.
static void convert(const uint8_t *restrict in, int count, float mean, float scale,
                    float *restrict out) {
    for (int i = 0; i < count; i++) {
        out[i] = ((float)in[i] - mean) * scale;
    }
}

// Reads from `in` backwards: in[0], in[-1], ...
static void convert_mirrored(const uint8_t *restrict in, int count, float mean, float scale,
                             float *restrict out) {
    for (int i = 0; i < count; i++) {
        out[i] = ((float)in[-i] - mean) * scale;
    }
}

// One row of one channel; `in` is (W), or NULL where the shift has uncovered it.
static void apply_row(const data__normaliser *normaliser, int channel,
                      const data__augment_plan *plan, const uint8_t *in, float *out) {
    const int width = normaliser->width;
    const float mean = normaliser->mean[channel];
    const float scale = normaliser->scale[channel];
    const int first = in != NULL ? data__clamp(plan->shift_x, 0, width) : width;
    const int end = in != NULL ? data__clamp(width + plan->shift_x, first, width) : width;
    fill_mean(out, first);
    if (first < end && plan->mirror) {
        convert_mirrored(in + (width - 1 - (first - plan->shift_x)), end - first, mean, scale,
                         out + first);
    } else if (first < end) {
        convert(in + (first - plan->shift_x), end - first, mean, scale, out + first);
    }
    fill_mean(out + end, width - end);
}

static void cut_row(const data__normaliser *normaliser, const data__augment_plan *plan, int y,
                    float *out) {
    if (y >= plan->cut_y && y < plan->cut_y + plan->cut_side) {
        const int first = data__clamp(plan->cut_x, 0, normaliser->width);
        const int end = data__clamp(plan->cut_x + plan->cut_side, 0, normaliser->width);
        fill_mean(out + first, end - first);
    }
}

void data__augment_apply(const data__normaliser *normaliser, const data__augment_plan *plan,
                         const uint8_t *pixels, float *out) {
    const int height = normaliser->height;
    const size_t width = (size_t)normaliser->width;
    for (int c = 0; c < normaliser->channels; c++) {
        for (int y = 0; y < height; y++) {
            const int source_y = y - plan->shift_y;
            const bool covered = source_y >= 0 && source_y < height;
            const uint8_t *in = covered ? pixels + (size_t)source_y * width : NULL;
            apply_row(normaliser, c, plan, in, out);
            cut_row(normaliser, plan, y, out);
            out += width;
        }
        pixels += (size_t)height * width;
    }
}

float data__mix_draw(float alpha, data__draw_key key) {
    ns_rng rng = stream_of(key, "mixup");
    const double lambda = ns_rng_beta(&rng, (double)alpha, (double)alpha);
    return (float)(lambda < 0.5 ? 1.0 - lambda : lambda);
}

void data__mix(float *restrict a, float *restrict b, const float share[2], size_t count) {
    const float share_a = share[0];
    const float share_b = share[1];
    for (size_t i = 0; i < count; i++) {
        const float from_a = a[i];
        const float from_b = b[i];
        a[i] = from_a * share_a + from_b * (1.0f - share_a);
        b[i] = from_b * share_b + from_a * (1.0f - share_b);
    }
}
