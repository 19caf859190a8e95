// From a packed image to the network's input: normalise, and change at random on the way.
//
// It is done in two steps. `data__augment_draw` decides what happens to an image, from seed, epoch
// and image alone, hence the same for any number of threads and after any resume.
// `data__augment_apply` does it while the pixels pass once from uint8 to float: what only moves
// whole pixels by converting rows (here), what resamples by an affine map (warp.c); rectangles are
// filled after that. What mixes images (mixup) works on what came out, in the loader.
//
// Order of the changes: mirror; zoom, lean, rotation around the centre; shift; cutout; noise. What
// is uncovered or cut out gets the training set's mean, which is 0 after normalisation. Random
// erasing fills with uniform noise, which is best in its paper (Zhong et al. 2020, CIFAR-10 error
// of ResNet-18: 5.17 % without, 4.62 % zeros, 4.35 % mean, 4.31 % noise).
//
// Every kind of change that came after the first three draws from a stream of its own, so that old
// seeds keep their draws. Images of one row or column are not resampled.

#include "data/augment.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    ERASE_ATTEMPTS = 10,
    ZOOM_PERCENT_MAX = 100000, // far beyond use; keeps coordinates finite
};

// Of the erased rectangle: share of the image, and height by width or its inverse (Zhong et al.).
#define ERASE_AREA_MIN   0.02
#define ERASE_AREA_MAX   0.33
#define ERASE_ASPECT_MAX (1.0 / 0.3)

#define RADIANS (M_PI / 180.0) // a degree

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

// Uniform in [low, high).
static double draw_between(ns_rng *rng, double low, double high) {
    return low + (high - low) * ns_rng_unit(rng);
}

static void draw_moves(const data_augment *augment, const data_info *info, data__draw_key key,
                       data__augment_plan *plan) {
    ns_rng rng = stream_of(key, "augment");
    if (augment->mirror) {
        plan->mirror = ns_rng_below(&rng, 2) == 1;
    }
    if (augment->shift_px > 0) {
        plan->shift_x = draw_around_zero(&rng, augment->shift_px);
        plan->shift_y = draw_around_zero(&rng, augment->shift_px);
    }
    if (augment->cutout_px > 0) {
        const int centre_x = (int)ns_rng_below(&rng, (uint64_t)info->width);
        const int centre_y = (int)ns_rng_below(&rng, (uint64_t)info->height);
        plan->cut_side = augment->cutout_px;
        plan->cut_x = centre_x - augment->cutout_px / 2;
        plan->cut_y = centre_y - augment->cutout_px / 2;
    }
}

static void draw_map(const data_augment *augment, data__draw_key key, data__augment_plan *plan) {
    ns_rng rng = stream_of(key, "affine"); // three draws, whatever is asked for
    const double rotation = (double)augment->rotation_degrees * RADIANS;
    const double shear = (double)augment->shear_degrees * RADIANS;
    const double log_zoom = log1p((double)augment->zoom_percent / 100.0);
    plan->resample = true;
    plan->rotation = draw_between(&rng, -rotation, rotation);
    plan->lean = tan(draw_between(&rng, -shear, shear));
    plan->zoom = exp(draw_between(&rng, -log_zoom, log_zoom));
}

// Rectangles of the drawn area and aspect that do not fit are drawn anew, a few times: the image
// may be so narrow that hardly any does.
static void draw_noise(const data_augment *augment, const data_info *info, data__draw_key key,
                       data__augment_plan *plan) {
    ns_rng rng = stream_of(key, "erase");
    if (ns_rng_unit(&rng) >= (double)augment->erase_probability) {
        return;
    }
    for (int attempt = 0; attempt < ERASE_ATTEMPTS; attempt++) {
        const double area = draw_between(&rng, ERASE_AREA_MIN, ERASE_AREA_MAX) *
                            (double)info->width * (double)info->height;
        const double aspect =
            exp(draw_between(&rng, -log(ERASE_ASPECT_MAX), log(ERASE_ASPECT_MAX)));
        const int width = (int)lround(sqrt(area / aspect));
        const int height = (int)lround(sqrt(area * aspect));
        if (width >= 1 && width <= info->width && height >= 1 && height <= info->height) {
            plan->noise_width = width;
            plan->noise_height = height;
            plan->noise_x = (int)ns_rng_below(&rng, (uint64_t)(info->width - width) + 1);
            plan->noise_y = (int)ns_rng_below(&rng, (uint64_t)(info->height - height) + 1);
            plan->noise = rng;
            return;
        }
    }
}

data__augment_plan data__augment_draw(const data_augment *augment, const data_info *info,
                                      data__draw_key key) {
    assert(augment->shift_px >= 0 && augment->cutout_px >= 0);
    assert(augment->rotation_degrees >= 0.0f && augment->rotation_degrees <= 180.0f);
    assert(augment->shear_degrees >= 0.0f && augment->shear_degrees < 90.0f);
    assert(augment->zoom_percent >= 0.0f && augment->zoom_percent <= ZOOM_PERCENT_MAX);
    data__augment_plan plan = {0};
    draw_moves(augment, info, key, &plan);
    if (info->width > 1 && info->height > 1 &&
        (augment->rotation_degrees > 0.0f || augment->zoom_percent > 0.0f ||
         augment->shear_degrees > 0.0f)) {
        draw_map(augment, key, &plan);
    }
    if (augment->erase_probability > 0.0f) {
        draw_noise(augment, info, key, &plan);
    }
    return plan;
}

DATA__INLINED void fill_mean(float *out, int count) {
    if (count > 0) {
        memset(out, 0, (size_t)count * sizeof(*out)); // the mean, normalised
    }
}

// The two hot loops of data loading: 1 byte read and 4 written a pixel, a subtraction and a product
// between. Batches on one core of a Zen 5, nanoseconds a pixel, draws included:
//
//                                   256 of 28x28x1       32 of 224x224x3
//      nothing                      0.16 ms   0.8 ns     0.7 ms   0.14 ns    memory: 36 GB/s
//      mirror, shift, cutout        0.18      0.9        0.8      0.17       the same
//      rotation, zoom, shear, all   0.34      1.7        6.4      1.3        instructions: warp.c
//      erase with p = 1/4           + 0.01    + 0.04     + 0.16   + 0.03
//      mixup                        + 0.06    + 0.3      + 0.6    + 0.12     memory
//
// Rows of 28 leave the vector loop with a tail; that is under a thousandth of a step all the same.
// Without AVX2, which turns a vector around in one instruction, mirrored rows take 0.6 ns a pixel.
// A subtraction before a product leaves nothing to contract: every machine gets the same bits.
DATA__INLINED void convert(const uint8_t *restrict in, int count, float mean, float scale,
                           float *restrict out) {
    for (int i = 0; i < count; i++) {
        out[i] = ((float)in[i] - mean) * scale;
    }
}

// Reads from `in` backwards: in[0], in[-1], ...
DATA__INLINED void convert_mirrored(const uint8_t *restrict in, int count, float mean, float scale,
                                    float *restrict out) {
    for (int i = 0; i < count; i++) {
        out[i] = ((float)in[-i] - mean) * scale;
    }
}

// One row of one channel; `in` is (W), or NULL where the shift has uncovered it.
DATA__INLINED void apply_row(const data__normaliser *normaliser, int channel,
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

// Moves whole pixels.
DATA__INLINED void move_image(const data__normaliser *normaliser, const data__augment_plan *plan,
                              const uint8_t *pixels, float *out) {
    const int height = normaliser->height;
    const size_t width = (size_t)normaliser->width;
    for (int c = 0; c < normaliser->channels; c++) {
        for (int y = 0; y < height; y++) {
            const int source_y = y - plan->shift_y;
            const bool covered = source_y >= 0 && source_y < height;
            const uint8_t *in = covered ? pixels + (size_t)source_y * width : NULL;
            apply_row(normaliser, c, plan, in, out);
            out += width;
        }
        pixels += (size_t)height * width;
    }
}

DATA__BUILD_TWICE(move, move_image,
                  (const data__normaliser *normaliser, const data__augment_plan *plan,
                   const uint8_t *pixels, float *out),
                  (normaliser, plan, pixels, out))

static void apply_cut(const data__normaliser *normaliser, const data__augment_plan *plan,
                      float *out) {
    const int width = normaliser->width;
    const int height = normaliser->height;
    const int left = data__clamp(plan->cut_x, 0, width);
    const int right = data__clamp(plan->cut_x + plan->cut_side, 0, width);
    const int top = data__clamp(plan->cut_y, 0, height);
    const int bottom = data__clamp(plan->cut_y + plan->cut_side, 0, height);
    for (int c = 0; c < normaliser->channels; c++) {
        for (int y = top; y < bottom; y++) {
            fill_mean(out + ((size_t)c * (size_t)height + (size_t)y) * (size_t)width + left,
                      right - left);
        }
    }
}

// Eight bytes of noise a draw.
static void fill_noise(ns_rng *rng, float mean, float scale, int count, float *out) {
    for (int first = 0; first < count; first += 8) {
        const uint64_t bytes = ns_rng_next(rng);
        for (int i = first; i < count && i < first + 8; i++) {
            out[i] = ((float)(uint8_t)(bytes >> 8 * (i - first)) - mean) * scale;
        }
    }
}

static void apply_noise(const data__normaliser *normaliser, const data__augment_plan *plan,
                        float *out) {
    const size_t width = (size_t)normaliser->width;
    ns_rng rng = plan->noise;
    for (int c = 0; c < normaliser->channels; c++) {
        for (int y = plan->noise_y; y < plan->noise_y + plan->noise_height; y++) {
            fill_noise(&rng, normaliser->mean[c], normaliser->scale[c], plan->noise_width,
                       out + (size_t)y * width + plan->noise_x);
        }
        out += (size_t)normaliser->height * width;
    }
}

void data__augment_apply(const data__normaliser *normaliser, const data__augment_plan *plan,
                         const uint8_t *pixels, float *out) {
    if (plan->resample) {
        const data__affine affine = data__affine_of(plan, normaliser->height, normaliser->width);
        data__warp(normaliser, &affine, pixels, out);
    } else {
        move(normaliser, plan, pixels, out);
    }
    apply_cut(normaliser, plan, out);
    apply_noise(normaliser, plan, out);
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
