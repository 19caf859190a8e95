// Private to data/: what is done to training images between the pack and a batch, for augment.c,
// warp.c, balance.c and the loader.

#ifndef NS_DATA_AUGMENT_H
#define NS_DATA_AUGMENT_H

#include "data/data_internal.h"

/// Shape of an image and what makes its pixels normal: (pixel - mean) * scale, by channel.
typedef struct data__normaliser {
    int channels, height, width;
    float mean[DATA_CHANNELS_MAX];
    float scale[DATA_CHANNELS_MAX]; // 1 / deviation
} data__normaliser;

/// What happens to one image; all zero: nothing but normalisation. Lengths in pixels.
typedef struct data__augment_plan {
    bool mirror;
    bool resample;               // whether these count:
    double rotation, lean, zoom; // radians clockwise; tangent, to the right going down; size factor
    int shift_x, shift_y;        // right and down
    int cut_x, cut_y, cut_side;  // left upper corner, may lie outside
    int noise_x, noise_y, noise_width, noise_height; // inside the image
    ns_rng noise;                                    // that the rectangle is filled with
} data__augment_plan;

/// All that a plan may depend on.
typedef struct data__draw_key {
    uint64_t seed;
    uint32_t epoch;
    uint32_t image; // index into the whole set, or what else is drawn once an epoch
} data__draw_key;

/// The images of a loader by label (balance.c).
typedef struct data__balance data__balance;
/// Of `count` images, at least one. NULL when memory runs out.
data__balance *data__balance_new(const data_set *set, const uint32_t *images, size_t count);
void data__balance_free(data__balance *balance);
/// The images of an epoch, as many as there are, to `order`.
void data__balance_order(const data__balance *balance, uint64_t seed, uint64_t epoch,
                         uint32_t *order);

data__normaliser data__normaliser_of(const data_info *info);
data__augment_plan data__augment_draw(const data_augment *augment, const data_info *info,
                                      data__draw_key key);
/// Reads `pixels` (C, H, W) uint8 and writes `out` (C, H, W).
void data__augment_apply(const data__normaliser *normaliser, const data__augment_plan *plan,
                         const uint8_t *pixels, float *out);

/// The source point (x, y) of an output pixel: x = xx * x + xy * y + x0, y = yx * x + yy * y + y0.
typedef struct data__affine {
    float xx, xy, x0;
    float yx, yy, y0;
} data__affine;

data__affine data__affine_of(const data__augment_plan *plan, int height, int width);
/// As data__augment_apply, for the map alone; both sides at least 2 pixels.
void data__warp(const data__normaliser *normaliser, const data__affine *affine,
                const uint8_t *pixels, float *out);

/// The share of itself that the image of `key` keeps in a mixture, in [0.5, 1].
float data__mix_draw(float alpha, data__draw_key key);
/// Mixes two images of `count` floats into each other, in place: `share` is what each keeps.
void data__mix(float *restrict a, float *restrict b, const float share[2], size_t count);

#endif
