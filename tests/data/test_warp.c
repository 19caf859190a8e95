// The affine map: against the definition in double precision, where whole moves must give the bits
// of the plain path, and at extreme sizes and settings (address sanitisers watch the edges).

#include "tests/ns_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/augment.h"

typedef struct picture {
    data_info info;
    data__normaliser normaliser;
    uint8_t *pixels; // exactly (C, H, W) bytes, so that a byte too far is seen
    float *out;
} picture;

static size_t size_of(const picture *p) {
    return (size_t)p->info.channels * (size_t)p->info.height * (size_t)p->info.width;
}

static picture picture_new(int channels, int height, int width) {
    picture p = {.info = {.channels = channels,
                          .height = height,
                          .width = width,
                          .mean = {100.5f, 90.25f, 17.0f},
                          .deviation = {60.0f, 51.0f, 35.0f}}};
    p.normaliser = data__normaliser_of(&p.info);
    p.pixels = malloc(size_of(&p));
    p.out = malloc(size_of(&p) * sizeof(*p.out));
    if (p.pixels == NULL || p.out == NULL) {
        abort();
    }
    ns_rng rng = ns_rng_stream(1, size_of(&p), "test pixels");
    for (size_t i = 0; i < size_of(&p); i++) {
        p.pixels[i] = (uint8_t)ns_rng_below(&rng, 256);
        p.out[i] = NAN;
    }
    return p;
}

static void picture_free(picture *p) {
    free(p->pixels);
    free(p->out);
}

// Normalised source pixel; the mean outside.
static double source_at(const picture *p, int c, double y, double x) {
    if (!(x >= 0 && y >= 0 && x < p->info.width && y < p->info.height)) {
        return 0.0;
    }
    const int at = (c * p->info.height + (int)y) * p->info.width + (int)x;
    return ((double)p->pixels[at] - (double)p->info.mean[c]) / (double)p->info.deviation[c];
}

// The definition: undo the shift, the rotation, the lean, the zoom and the mirroring, in this
// order, and look between the pixels.
static double reference_at(const picture *p, const data__augment_plan *plan, int c, int y, int x) {
    const double centre_x = 0.5 * (p->info.width - 1);
    const double centre_y = 0.5 * (p->info.height - 1);
    const double shifted_x = x - plan->shift_x - centre_x;
    const double shifted_y = y - plan->shift_y - centre_y;
    const double turned_x = cos(plan->rotation) * shifted_x + sin(plan->rotation) * shifted_y;
    const double turned_y = -sin(plan->rotation) * shifted_x + cos(plan->rotation) * shifted_y;
    const double upright_x = (turned_x - plan->lean * turned_y) / plan->zoom;
    const double upright_y = turned_y / plan->zoom;
    const double source_x = centre_x + (plan->mirror ? -upright_x : upright_x);
    const double source_y = centre_y + upright_y;
    const double left = floor(source_x);
    const double top = floor(source_y);
    const double right_share = source_x - left;
    const double bottom_share = source_y - top;
    return (1 - bottom_share) * ((1 - right_share) * source_at(p, c, top, left) +
                                 right_share * source_at(p, c, top, left + 1)) +
           bottom_share * ((1 - right_share) * source_at(p, c, top + 1, left) +
                           right_share * source_at(p, c, top + 1, left + 1));
}

// Coordinates are floats: their error is some 2^-23 of the way from the origin, magnified by the
// map; a pixel's value moves by at most its range for each pixel of the way.
static void check_plan(picture *p, const data__augment_plan *plan) {
    data__augment_apply(&p->normaliser, plan, p->pixels, p->out);
    const double reach =
        (p->info.width + p->info.height) * (1 + (1 + fabs(plan->lean)) / plan->zoom) +
        abs(plan->shift_x) + abs(plan->shift_y);
    const double tolerance = 255.0 / 35.0 * 4 * reach * 0x1p-22 + 1e-5;
    size_t at = 0;
    for (int c = 0; c < p->info.channels; c++) {
        for (int y = 0; y < p->info.height; y++) {
            for (int x = 0; x < p->info.width; x++, at++) {
                const double want = reference_at(p, plan, c, y, x);
                if (!(fabs((double)p->out[at] - want) <= tolerance)) {
                    fail_msg("channel %d, row %d, column %d of %dx%d: got %.9g, want %.9g +- %.2g "
                             "(mirror %d, rotation %g, lean %g, zoom %g, shift %d,%d)",
                             c, y, x, p->info.width, p->info.height, (double)p->out[at], want,
                             tolerance, plan->mirror, plan->rotation, plan->lean, plan->zoom,
                             plan->shift_x, plan->shift_y);
                }
            }
        }
    }
}

static void test_single_changes(void **state) {
    (void)state;
    static const data__augment_plan plans[] = {
        {.resample = true, .zoom = 1.0, .rotation = 0.3},
        {.resample = true, .zoom = 1.0, .rotation = -0.3, .mirror = true},
        {.resample = true, .zoom = 1.0, .rotation = M_PI},
        {.resample = true, .zoom = 1.0, .rotation = -M_PI_2},
        {.resample = true, .zoom = 1.0, .lean = 0.25},
        {.resample = true, .zoom = 1.0, .lean = -80.0},
        {.resample = true, .zoom = 1.3},
        {.resample = true, .zoom = 0.7, .shift_x = 3, .shift_y = -2},
        {.resample = true, .zoom = 1e-3},
        {.resample = true, .zoom = 1e3},
        {.resample = true, .zoom = 1.1, .rotation = 1, .shift_x = 500, .shift_y = -500},
    };
    static const int sizes[][3] = {{1, 28, 28}, {3, 7, 21}, {3, 2, 2},    {1, 2, 40},
                                   {1, 40, 2},  {3, 5, 16}, {1, 3, 1100}, {3, 60, 511}};
    for (size_t i = 0; i < NS_COUNT_OF(sizes); i++) {
        picture p = picture_new(sizes[i][0], sizes[i][1], sizes[i][2]);
        for (size_t k = 0; k < NS_COUNT_OF(plans); k++) {
            check_plan(&p, &plans[k]);
        }
        picture_free(&p);
    }
}

static void test_photograph(void **state) {
    (void)state;
    picture p = picture_new(3, 224, 224);
    check_plan(&p, &(data__augment_plan){.mirror = true,
                                         .resample = true,
                                         .rotation = 0.2,
                                         .lean = -0.1,
                                         .zoom = 0.9,
                                         .shift_x = 5});
    picture_free(&p);
}

static void test_whole_moves_have_the_plain_bits(void **state) {
    (void)state;
    picture plain = picture_new(3, 19, 37);
    picture warped = picture_new(3, 19, 37);
    for (int i = 0; i < 20; i++) {
        data__augment_plan plan = {
            .mirror = i % 2 == 1, .shift_x = i % 5 - 2, .shift_y = i % 7 - 3};
        data__augment_apply(&plain.normaliser, &plan, plain.pixels, plain.out);
        plan.resample = true;
        plan.zoom = 1.0;
        data__augment_apply(&warped.normaliser, &plan, warped.pixels, warped.out);
        for (size_t at = 0; at < size_of(&plain); at++) {
            if (plain.out[at] != warped.out[at]) {
                fail_msg("shift %d,%d: value %zu is %.9g, plainly %.9g", plan.shift_x, plan.shift_y,
                         at, (double)warped.out[at], (double)plain.out[at]);
            }
        }
    }
    picture_free(&plain);
    picture_free(&warped);
}

static float draw_float(ns_rng *rng, double max) {
    return (float)(ns_rng_below(rng, 3) == 0 ? max : max * ns_rng_unit(rng));
}

// Any setting on any size: all values written and finite, all reads inside (under ASan).
static void test_random_settings(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(11, 0, "test settings");
    for (uint32_t i = 0; i < 1500; i++) {
        const uint64_t side_max = i == 0 ? 1 : 40;
        const uint64_t width_max = i % 50 == 7 ? 1500 : side_max;
        picture p =
            picture_new(ns_rng_below(&rng, 2) == 0 ? 1 : 3, 1 + (int)ns_rng_below(&rng, side_max),
                        1 + (int)ns_rng_below(&rng, width_max));
        const data_augment augment = {
            .mirror = ns_rng_below(&rng, 2) == 0,
            .shift_px = (int)ns_rng_below(&rng, 60),
            .cutout_px = (int)ns_rng_below(&rng, 60),
            .rotation_degrees = draw_float(&rng, 180),
            .zoom_percent = draw_float(&rng, 1e5),
            .shear_degrees = draw_float(&rng, 89.9),
            .erase_probability = draw_float(&rng, 1),
        };
        const data__augment_plan plan =
            data__augment_draw(&augment, &p.info, (data__draw_key){.seed = 3, .image = i});
        assert_int_equal(plan.resample, p.info.width > 1 && p.info.height > 1);
        data__augment_apply(&p.normaliser, &plan, p.pixels, p.out);
        for (size_t at = 0; at < size_of(&p); at++) {
            if (!(fabsf(p.out[at]) <= 255.0f / 35.0f)) {
                fail_msg("setting %u: value %zu is %g", i, at, (double)p.out[at]);
            }
        }
        picture_free(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_changes),
        cmocka_unit_test(test_photograph),
        cmocka_unit_test(test_whole_moves_have_the_plain_bits),
        cmocka_unit_test(test_random_settings),
    };
    return cmocka_run_group_tests_name("data/warp", tests, NULL, NULL);
}
