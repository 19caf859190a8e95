// Augmentation: what moves and fills whole pixels against a pixel-by-pixel reference, and what the
// plans draw. What resamples is tested in test_warp.c.

#include "tests/ns_test.h"

#include <math.h>
#include <string.h>

#include "data/augment.h"

enum { CHANNELS = 3, HEIGHT = 7, WIDTH = 21, SIZE = CHANNELS * HEIGHT * WIDTH };

static const data_info info = {
    .channels = CHANNELS,
    .height = HEIGHT,
    .width = WIDTH,
    .mean = {100.5f, 90.25f, 17.0f},
    .deviation = {60.0f, 51.0f, 3.5f},
};

// The readable definition: where does this output pixel come from?
static float reference_pixel(const data__normaliser *normaliser, const data__augment_plan *plan,
                             const uint8_t *pixels, int c, int y, int x) {
    const bool cut = x >= plan->cut_x && x < plan->cut_x + plan->cut_side && y >= plan->cut_y &&
                     y < plan->cut_y + plan->cut_side;
    const int source_y = y - plan->shift_y;
    const int shifted_x = x - plan->shift_x;
    if (cut || source_y < 0 || source_y >= HEIGHT || shifted_x < 0 || shifted_x >= WIDTH) {
        return 0.0f;
    }
    const int source_x = plan->mirror ? WIDTH - 1 - shifted_x : shifted_x;
    const float pixel = (float)pixels[(c * HEIGHT + source_y) * WIDTH + source_x];
    return (pixel - normaliser->mean[c]) * normaliser->scale[c];
}

static void draw_pixels(uint8_t pixels[SIZE]) {
    ns_rng rng = ns_rng_stream(1, 0, "test pixels");
    for (int i = 0; i < SIZE; i++) {
        pixels[i] = (uint8_t)ns_rng_below(&rng, 256);
    }
}

static void check_plan(const data__augment_plan *plan) {
    const data__normaliser normaliser = data__normaliser_of(&info);
    uint8_t pixels[SIZE];
    draw_pixels(pixels);
    float out[SIZE];
    memset(out, 0xff, sizeof(out)); // NaN wherever nothing is written
    data__augment_apply(&normaliser, plan, pixels, out);
    int at = 0;
    for (int c = 0; c < CHANNELS; c++) {
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++, at++) {
                const float want = reference_pixel(&normaliser, plan, pixels, c, y, x);
                if (!(out[at] == want)) {
                    fail_msg("channel %d, row %d, column %d: got %.9g, want %.9g (mirror %d, shift "
                             "%d,%d, cut %d at %d,%d)",
                             c, y, x, (double)out[at], (double)want, plan->mirror, plan->shift_x,
                             plan->shift_y, plan->cut_side, plan->cut_x, plan->cut_y);
                }
            }
        }
    }
}

static void test_normalisation(void **state) {
    (void)state;
    const data__normaliser normaliser = data__normaliser_of(&info);
    const data__augment_plan nothing = {0};
    uint8_t pixels[SIZE];
    draw_pixels(pixels);
    float out[SIZE];
    data__augment_apply(&normaliser, &nothing, pixels, out);
    for (int i = 0; i < SIZE; i++) {
        const int c = i / (HEIGHT * WIDTH);
        const float want = ((float)pixels[i] - info.mean[c]) / info.deviation[c];
        assert_float_equal(out[i], want, 1e-5f);
    }
}

static void test_kernel_against_reference(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(2, 0, "test plans");
    for (int i = 0; i < 2000; i++) {
        const data__augment_plan plan = {
            .mirror = ns_rng_below(&rng, 2) == 1,
            .shift_x = (int)ns_rng_below(&rng, 61) - 30, // also right out of the image
            .shift_y = (int)ns_rng_below(&rng, 21) - 10,
            .cut_x = (int)ns_rng_below(&rng, 41) - 10,
            .cut_y = (int)ns_rng_below(&rng, 31) - 10,
            .cut_side = (int)ns_rng_below(&rng, 30),
        };
        check_plan(&plan);
    }
}

static void test_single_changes(void **state) {
    (void)state;
    check_plan(&(data__augment_plan){.mirror = true});
    check_plan(&(data__augment_plan){.shift_x = 2, .shift_y = -1});
    check_plan(&(data__augment_plan){.mirror = true, .shift_x = WIDTH});
    check_plan(&(data__augment_plan){.shift_y = -HEIGHT});
    check_plan(&(data__augment_plan){.cut_x = -3, .cut_y = -3, .cut_side = 100});
}

static void test_draws_cover_their_ranges(void **state) {
    (void)state;
    enum { DRAWS = 4000, SHIFT = 2 };
    const data_augment augment = {.mirror = true, .shift_px = SHIFT, .cutout_px = 5};
    int mirror_count = 0;
    int shift_count[2][2 * SHIFT + 1] = {{0}};
    int centre_count[WIDTH] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        const data__augment_plan plan =
            data__augment_draw(&augment, &info, (data__draw_key){.seed = 3, .image = i});
        mirror_count += plan.mirror;
        assert_in_range(plan.shift_x + SHIFT, 0, 2 * SHIFT);
        assert_in_range(plan.shift_y + SHIFT, 0, 2 * SHIFT);
        assert_in_range(plan.cut_x + 2, 0, WIDTH - 1);
        assert_in_range(plan.cut_y + 2, 0, HEIGHT - 1);
        assert_int_equal(plan.cut_side, 5);
        shift_count[0][plan.shift_x + SHIFT]++;
        shift_count[1][plan.shift_y + SHIFT]++;
        centre_count[plan.cut_x + 2]++;
    }
    assert_in_range(mirror_count, DRAWS * 45 / 100, DRAWS * 55 / 100);
    for (int i = 0; i < 2 * SHIFT + 1; i++) { // a fifth each, within 6 standard deviations
        assert_in_range(shift_count[0][i], 650, 950);
        assert_in_range(shift_count[1][i], 650, 950);
    }
    for (int i = 0; i < WIDTH; i++) {
        assert_in_range(centre_count[i], 110, 275);
    }
}

static bool plans_equal(data__augment_plan a, data__augment_plan b) {
    return a.mirror == b.mirror && a.shift_x == b.shift_x && a.shift_y == b.shift_y &&
           a.cut_x == b.cut_x && a.cut_y == b.cut_y && a.cut_side == b.cut_side &&
           a.resample == b.resample && a.rotation == b.rotation && a.lean == b.lean &&
           a.zoom == b.zoom && a.noise_x == b.noise_x && a.noise_y == b.noise_y &&
           a.noise_width == b.noise_width && a.noise_height == b.noise_height &&
           memcmp(&a.noise, &b.noise, sizeof(a.noise)) == 0;
}

static void test_maps_cover_their_ranges(void **state) {
    (void)state;
    enum { DRAWS = 2000 };
    const data_augment augment = {
        .rotation_degrees = 90.0f, .zoom_percent = 100.0f, .shear_degrees = 45.0f};
    int below[3] = {0}; // of the middle
    double least[3] = {9, 9, 9};
    double most[3] = {-9, -9, -9};
    for (uint32_t i = 0; i < DRAWS; i++) {
        const data__augment_plan plan =
            data__augment_draw(&augment, &info, (data__draw_key){.seed = 3, .image = i});
        const double draws[3] = {plan.rotation / M_PI_2, log2(plan.zoom), plan.lean};
        assert_true(plan.resample);
        for (int k = 0; k < 3; k++) {
            below[k] += draws[k] < 0;
            least[k] = draws[k] < least[k] ? draws[k] : least[k];
            most[k] = draws[k] > most[k] ? draws[k] : most[k];
        }
    }
    for (int k = 0; k < 3; k++) {
        assert_in_range(below[k], DRAWS * 45 / 100, DRAWS * 55 / 100);
        assert_true(least[k] >= -1.0001 && least[k] < -0.99);
        assert_true(most[k] <= 1.0001 && most[k] > 0.99);
    }
}

// One change alters the draws of no other, whichever are asked for.
static void test_changes_are_drawn_apart(void **state) {
    (void)state;
    const data_augment all = {.mirror = true,
                              .shift_px = 2,
                              .cutout_px = 5,
                              .rotation_degrees = 10.0f,
                              .zoom_percent = 10.0f,
                              .shear_degrees = 10.0f,
                              .erase_probability = 0.5f};
    data_augment no_map = all;
    no_map.rotation_degrees = no_map.zoom_percent = no_map.shear_degrees = 0.0f;
    data_augment no_shear = all;
    no_shear.shear_degrees = 0.0f;
    data_augment no_noise = all;
    no_noise.erase_probability = 0.0f;
    for (uint32_t i = 0; i < 200; i++) {
        const data__draw_key key = {.seed = 9, .epoch = 1, .image = i};
        data__augment_plan want = data__augment_draw(&all, &info, key);
        want.lean = 0.0;
        assert_true(plans_equal(data__augment_draw(&no_shear, &info, key), want));
        want = data__augment_draw(&all, &info, key);
        want.resample = false;
        want.rotation = want.lean = want.zoom = 0.0;
        assert_true(plans_equal(data__augment_draw(&no_map, &info, key), want));
        want = data__augment_draw(&all, &info, key);
        want.noise_x = want.noise_y = want.noise_width = want.noise_height = 0;
        want.noise = (ns_rng){{0}};
        assert_true(plans_equal(data__augment_draw(&no_noise, &info, key), want));
    }
}

// Share of images, area and aspect of what is erased.
static void test_noise_covers_its_ranges(void **state) {
    (void)state;
    enum { DRAWS = 4000, SIDE = 200 };
    const data_info large = {.channels = 1, .height = SIDE, .width = SIDE};
    const data_augment augment = {.erase_probability = 0.25f};
    int count = 0;
    int tall_count = 0;
    double area_sum = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        const data__augment_plan plan =
            data__augment_draw(&augment, &large, (data__draw_key){.seed = 4, .image = i});
        if (plan.noise_width == 0) {
            continue;
        }
        const double area = (double)plan.noise_width * plan.noise_height / (SIDE * SIDE);
        const double aspect = (double)plan.noise_height / plan.noise_width;
        count++;
        tall_count += aspect > 1;
        area_sum += area;
        assert_true(area > 0.018 && area < 0.335);
        assert_true(aspect > 0.28 && aspect < 3.6);
        assert_true(plan.noise_x >= 0 && plan.noise_x + plan.noise_width <= SIDE);
        assert_true(plan.noise_y >= 0 && plan.noise_y + plan.noise_height <= SIDE);
    }
    assert_in_range(count, DRAWS * 22 / 100, DRAWS * 28 / 100);
    assert_in_range(tall_count, count * 44 / 100, count * 56 / 100);
    assert_true(area_sum / count > 0.15 && area_sum / count < 0.19); // less where tall ones fail
}

static void test_noise_fills_its_rectangle(void **state) {
    (void)state;
    const data__normaliser normaliser = data__normaliser_of(&info);
    uint8_t pixels[SIZE];
    float plain[SIZE], out[SIZE];
    draw_pixels(pixels);
    data__augment_plan plan = {.mirror = true};
    data__augment_apply(&normaliser, &plan, pixels, plain);
    plan.noise_x = 2;
    plan.noise_y = 1;
    plan.noise_width = 13;
    plan.noise_height = 4;
    plan.noise = ns_rng_stream(1, 1, "test noise");
    data__augment_apply(&normaliser, &plan, pixels, out);
    double byte_sum = 0;
    int same_count = 0;
    int at = 0;
    for (int c = 0; c < CHANNELS; c++) {
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++, at++) {
                const bool noise = x >= 2 && x < 15 && y >= 1 && y < 5;
                const float byte = out[at] / normaliser.scale[c] + normaliser.mean[c];
                assert_true(noise || out[at] == plain[at]);
                assert_true(byte > -0.01f && byte < 255.01f);
                byte_sum += noise ? (double)byte : 0.0;
                same_count += noise && out[at] == plain[at];
            }
        }
    }
    assert_in_range(same_count, 0, 8);
    const double mean = byte_sum / (3 * 13 * 4);
    assert_true(mean > 105 && mean < 150); // 127.5, deviation 74 / sqrt(156)
}

static void test_draws_depend_on_the_key_alone(void **state) {
    (void)state;
    const data_augment augment = {.mirror = true, .shift_px = 100, .cutout_px = 5};
    const data__draw_key keys[] = {
        {.seed = 1, .epoch = 2, .image = 3}, {.seed = 2, .epoch = 2, .image = 3},
        {.seed = 1, .epoch = 3, .image = 3}, {.seed = 1, .epoch = 2, .image = 2},
        {.seed = 1, .epoch = 3, .image = 2}, // neither sum nor order may collide
    };
    for (size_t i = 0; i < NS_COUNT_OF(keys); i++) {
        for (size_t k = 0; k < NS_COUNT_OF(keys); k++) {
            const bool same = plans_equal(data__augment_draw(&augment, &info, keys[i]),
                                          data__augment_draw(&augment, &info, keys[k]));
            if (same != (i == k)) {
                fail_msg("keys %zu and %zu draw %s plans", i, k, same ? "equal" : "different");
            }
        }
    }
}

static void test_no_augmentation_draws_nothing(void **state) {
    (void)state;
    const data_augment none = {0};
    for (uint32_t i = 0; i < 100; i++) {
        const data__augment_plan plan =
            data__augment_draw(&none, &info, (data__draw_key){.image = i});
        assert_true(plans_equal(plan, (data__augment_plan){0}));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalisation),
        cmocka_unit_test(test_kernel_against_reference),
        cmocka_unit_test(test_single_changes),
        cmocka_unit_test(test_draws_cover_their_ranges),
        cmocka_unit_test(test_draws_depend_on_the_key_alone),
        cmocka_unit_test(test_maps_cover_their_ranges),
        cmocka_unit_test(test_changes_are_drawn_apart),
        cmocka_unit_test(test_noise_covers_its_ranges),
        cmocka_unit_test(test_noise_fills_its_rectangle),
        cmocka_unit_test(test_no_augmentation_draws_nothing),
    };
    return cmocka_run_group_tests_name("data/augment", tests, NULL, NULL);
}
