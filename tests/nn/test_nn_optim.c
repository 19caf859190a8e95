// The update and the average against the same formulas in double precision, one value at a time; and
// what the gradient's norm is used for.

#include "tests/ns_test.h"

#include <math.h>
#include <string.h>

#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "nn/nn_internal.h"

enum { COUNT = 37 * NN__BLOCK, STEPS = 12 };

typedef struct reference {
    double value[COUNT], momentum[COUNT], average[COUNT];
} reference;

static void reference_step(reference *r, const float *gradient, const bool *decay,
                           const nn__sgd *sgd) {
    for (int i = 0; i < COUNT; i++) {
        const double g = (double)sgd->gradient_scale * (double)gradient[i];
        double rate = (double)sgd->rate;
        r->momentum[i] = (double)sgd->momentum * r->momentum[i] + g;
        if (decay[i / NN__BLOCK]) {
            r->value[i] -= rate * (double)sgd->weight_decay * r->value[i];
        } else {
            rate *= (double)sgd->norm_rate_factor;
        }
        r->value[i] -= rate * (g + (double)sgd->momentum * r->momentum[i]);
        r->average[i] += (double)sgd->average_share * (r->value[i] - r->average[i]);
        r->value[i] = sgd->returns ? r->average[i] : r->value[i];
    }
}

static void check_updates(nn_average kind) {
    static float value[COUNT], gradient[COUNT], momentum[COUNT], average[COUNT];
    static bool decay[COUNT / NN__BLOCK];
    static reference r;
    nn_recipe recipe = nn_recipe_default();
    recipe.average = kind;
    recipe.average_window = 0.3F;
    memset(&r, 0, sizeof r);
    memset(momentum, 0, sizeof momentum);
    ns_rng rng = ns_rng_stream(3, 0, "optim");
    for (int i = 0; i < COUNT; i++) {
        value[i] = average[i] = (float)ns_rng_normal(&rng);
        r.value[i] = r.average[i] = (double)value[i];
        decay[i / NN__BLOCK] = i / NN__BLOCK % 3 != 0;
    }
    const nn_params params = {value, gradient, momentum, average, COUNT, decay};
    for (int step = 1; step <= STEPS; step++) {
        const nn__average_step to = nn__average_at(&recipe, step, (double)step / STEPS);
        const nn__sgd sgd = {.rate = 0.1F + 0.02F * (float)step,
                             .momentum = 0.9F,
                             .weight_decay = 0.02F,
                             .norm_rate_factor = 1.5F,
                             .gradient_scale = step == 4 ? 0.25F : 1.0F,
                             .average_share = to.share,
                             .returns = to.returns};
        for (int i = 0; i < COUNT; i++) {
            gradient[i] = 0.3F * (float)ns_rng_normal(&rng);
        }
        reference_step(&r, gradient, decay, &sgd);
        assert_true(nn__sgd_step(&params, &sgd, 2));
    }
    for (int i = 0; i < COUNT; i++) {
        assert_float_equal(value[i], r.value[i], 1e-4);
        assert_float_equal(momentum[i], r.momentum[i], 1e-4);
        assert_float_equal(average[i], r.average[i], 1e-4);
    }
}

static void test_update_is_the_formula(void **state) {
    (void)state;
    check_updates(NN_AVERAGE_NONE);
    check_updates(NN_AVERAGE_EMA);
    check_updates(NN_AVERAGE_LOOKAHEAD);
}

static void test_zero_stays_zero(void **state) {
    (void)state;
    float value[NN__BLOCK] = {0}, gradient[NN__BLOCK] = {0}, momentum[NN__BLOCK] = {0};
    const bool decay[] = {true};
    const nn_params params = {value, gradient, momentum, NULL, NN__BLOCK, decay};
    const nn__sgd sgd = {0.4F, 0.9F, 0.005F, 1.0F, 1.0F, 0.0F, false};
    assert_true(nn__sgd_step(&params, &sgd, 1));
    for (int i = 0; i < NN__BLOCK; i++) {
        assert_float_equal(value[i], 0.0, 0.0);
    }
}

/// A momentum that fades does not crawl through denormals, on the caller's thread either, whose own
/// mode comes back.
static void test_denormals_are_flushed(void **state) {
    (void)state;
#ifdef __SSE__
    float value[NN__BLOCK] = {0}, gradient[NN__BLOCK] = {0}, momentum[NN__BLOCK];
    const bool decay[] = {true};
    const nn_params params = {value, gradient, momentum, NULL, NN__BLOCK, decay};
    const nn__sgd sgd = {0.4F, 0.5F, 0.005F, 1.0F, 1.0F, 0.0F, false};
    const unsigned mode = _mm_getcsr();
    for (int i = 0; i < NN__BLOCK; i++) {
        momentum[i] = 2e-38F;
    }
    assert_true(nn__sgd_step(&params, &sgd, 1));
    const unsigned exceptions = 0x3FU; // flags that arithmetic raises
    assert_int_equal(_mm_getcsr() & ~exceptions, mode & ~exceptions);
    for (int i = 0; i < NN__BLOCK; i++) {
        assert_float_equal(momentum[i] * 1e30F, 0.0, 0.0);
    }
#else
    skip();
#endif
}

static void test_broken_weights_are_noticed(void **state) {
    (void)state;
    for (int thread_count = 1; thread_count <= 2; thread_count++) {
        for (int at = 0; at < COUNT; at += 5) {
            static float value[COUNT], gradient[COUNT], momentum[COUNT];
            static bool decay[COUNT / NN__BLOCK];
            const nn_params params = {value, gradient, momentum, NULL, COUNT, decay};
            const nn__sgd sgd = {.rate = 1.0F, .gradient_scale = 1.0F, .norm_rate_factor = 1.0F};
            memset(value, 0, sizeof value);
            memset(momentum, 0, sizeof momentum);
            value[at] = 3e38F;
            assert_true(nn__sgd_step(&params, &sgd, thread_count));
            gradient[at] = -3e38F;
            assert_false(nn__sgd_step(&params, &sgd, thread_count));
            gradient[at] = 0.0F;
            assert_false(nn__sgd_step(&params, &sgd, thread_count)); // it stays broken
        }
    }
}

/// The mean of steps 1 to t, each weighed by its number to the power of 1 / window - 1, however
/// long the training is.
static void test_ema_has_a_window_of_the_training_so_far(void **state) {
    (void)state;
    nn_recipe recipe = nn_recipe_default();
    recipe.average = NN_AVERAGE_EMA;
    recipe.average_window = 0.1F;
    for (int steps = 100; steps <= 10000; steps *= 10) {
        double mean = 0, first = 1;
        for (int step = 1; step <= steps; step++) {
            const nn__average_step to = nn__average_at(&recipe, step, 0.5);
            assert_false(to.returns);
            mean += (double)to.share * ((double)step - mean);
            first *= 1 - (double)to.share;
        }
        const double age = ((double)steps - mean) / (double)steps;
        assert_float_equal(age, (0.1 / 1.1), 0.006);
        assert_float_equal(first, 0.0, 0.0);
    }
}

/// And is not behind before the first, nor where training ends between two.
static void test_lookahead_returns_every_fifth_step(void **state) {
    (void)state;
    nn_recipe recipe = nn_recipe_default();
    recipe.average = NN_AVERAGE_LOOKAHEAD;
    for (int step = 1; step <= 20; step++) {
        const nn__average_step to = nn__average_at(&recipe, step, 0.5);
        assert_int_equal(to.returns, step % 5 == 0);
        const double want = step % 5 == 0 ? 1.0 - pow(0.95, 5) / 8 : 0.0;
        assert_float_equal(to.share, step < 5 ? 1.0F : (float)want, 1e-6);
        const double rest = step % 5 == 0 ? 0.0 : 1.0 - pow(0.95, step % 5) / 8;
        assert_float_equal(nn__average_rest(&recipe, step, 0.5), rest, 1e-6);
    }
    recipe.average = NN_AVERAGE_EMA;
    assert_float_equal(nn__average_rest(&recipe, 3, 0.5), 0.0, 0.0);
    recipe.average = NN_AVERAGE_NONE;
    assert_float_equal(nn__average_at(&recipe, 5, 0.5).share, 0.0, 0.0);
}

static void test_gradient_norm_knows_no_threads(void **state) {
    (void)state;
    static float gradient[COUNT];
    ns_rng rng = ns_rng_stream(4, 0, "norm");
    double squares = 0;
    for (int i = 0; i < COUNT; i++) {
        gradient[i] = 1e25F * (float)ns_rng_normal(&rng); // squares overflow a float
        squares += (double)gradient[i] * (double)gradient[i];
    }
    const nn_params params = {.gradient = gradient, .count = COUNT};
    const double one = nn__gradient_norm(&params, 1);
    const double three = nn__gradient_norm(&params, 3);
    assert_memory_equal(&one, &three, sizeof one);
    assert_float_equal((one / sqrt(squares)), 1.0, 1e-6);
    gradient[77] = NAN;
    assert_true(isnan(nn__gradient_norm(&params, 2)));
}

static void test_spikes_are_clipped(void **state) {
    (void)state;
    nn__clip clip = {0};
    ns_rng rng = ns_rng_stream(5, 0, "clip");
    for (int step = 0; step < 500; step++) { // falls by e, and scatters by a fifth
        const double norm = exp(0.2 * ns_rng_normal(&rng) - step / 500.0);
        assert_float_equal(nn__clip_scale(&clip, norm, 5.0F), 1.0, 0.0);
    }
    const nn__clip before = clip;
    const double norm = 100.0;
    const float scale = nn__clip_scale(&clip, norm, 5.0F);
    const double usual = exp(before.mean + 5.0 * sqrt(before.variance));
    print_message("a norm of %g is scaled to %g\n", norm, norm * (double)scale);
    assert_float_equal((norm * (double)scale), usual, (1e-3 * usual));
    assert_true(norm * (double)scale < 2.0);
    assert_int_equal(clip.clipped_count, 1);
    assert_float_equal(nn__clip_scale(&clip, 0.4, 5.0F), 1.0, 0.0); // one spike changed little

    int clipped = 0; // but what lasts becomes usual
    for (int step = 0; step < 100; step++) {
        clipped += nn__clip_scale(&clip, norm, 5.0F) < 1.0F;
    }
    print_message("a lasting rise is clipped %d times\n", clipped);
    assert_in_range(clipped, 2, 60);
    assert_float_equal(nn__clip_scale(&clip, 1e9, 0.0F), 1.0, 0.0); // never
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_update_is_the_formula),
        cmocka_unit_test(test_zero_stays_zero),
        cmocka_unit_test(test_denormals_are_flushed),
        cmocka_unit_test(test_broken_weights_are_noticed),
        cmocka_unit_test(test_ema_has_a_window_of_the_training_so_far),
        cmocka_unit_test(test_lookahead_returns_every_fifth_step),
        cmocka_unit_test(test_gradient_norm_knows_no_threads),
        cmocka_unit_test(test_spikes_are_clipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
