// The update against the same formula in double precision, one value at a time.

#include "tests/ns_test.h"

#include <math.h>

#include "nn/nn_internal.h"

enum { COUNT = 37 * NN__BLOCK, STEPS = 5 };

typedef struct reference {
    double value[COUNT], momentum[COUNT];
} reference;

static void reference_step(reference *r, const float *gradient, const bool *decay,
                           const nn__sgd *sgd) {
    for (int i = 0; i < COUNT; i++) {
        const double g = (double)gradient[i];
        const double rate = (double)sgd->rate;
        r->momentum[i] = (double)sgd->momentum * r->momentum[i] + g;
        if (decay[i / NN__BLOCK]) {
            r->value[i] -= rate * (double)sgd->weight_decay * r->value[i];
        }
        r->value[i] -= rate * (g + (double)sgd->momentum * r->momentum[i]);
    }
}

static void test_update_is_the_formula(void **state) {
    (void)state;
    static float value[COUNT], gradient[COUNT], momentum[COUNT];
    static bool decay[COUNT / NN__BLOCK];
    static reference r;
    ns_rng rng = ns_rng_stream(3, 0, "optim");
    for (int i = 0; i < COUNT; i++) {
        value[i] = (float)ns_rng_normal(&rng);
        r.value[i] = (double)value[i];
        decay[i / NN__BLOCK] = i / NN__BLOCK % 3 != 0;
    }
    const nn_params params = {value, gradient, momentum, COUNT, decay};
    for (int step = 0; step < STEPS; step++) {
        const nn__sgd sgd = {0.1F + 0.05F * (float)step, 0.9F, 0.02F};
        for (int i = 0; i < COUNT; i++) {
            gradient[i] = (float)ns_rng_normal(&rng);
        }
        reference_step(&r, gradient, decay, &sgd);
        nn__sgd_step(&params, &sgd, 2);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_float_equal(value[i], r.value[i], 1e-4);
        assert_float_equal(momentum[i], r.momentum[i], 1e-4);
    }
}

static void test_zero_stays_zero(void **state) {
    (void)state;
    float value[NN__BLOCK] = {0}, gradient[NN__BLOCK] = {0}, momentum[NN__BLOCK] = {0};
    const bool decay[] = {true};
    const nn_params params = {value, gradient, momentum, NN__BLOCK, decay};
    const nn__sgd sgd = {0.4F, 0.9F, 0.005F};
    nn__sgd_step(&params, &sgd, 1);
    for (int i = 0; i < NN__BLOCK; i++) {
        assert_float_equal(value[i], 0.0, 0.0);
    }
}

static void test_rate_rises_and_falls(void **state) {
    (void)state;
    nn_recipe recipe = nn_recipe_default();
    recipe.rate_peak = 0.4F;
    recipe.warmup_fraction = 0.25F;
    assert_float_equal(nn_rate_at(&recipe, 0.0), 0.0, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 0.125), 0.2, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 0.25), 0.4, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 0.625), 0.2, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 1.0), 0.0, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 1.5), 0.0, 1e-7);
    recipe.warmup_fraction = 0;
    assert_float_equal(nn_rate_at(&recipe, 0.0), 0.4, 1e-7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_update_is_the_formula),
        cmocka_unit_test(test_zero_stays_zero),
        cmocka_unit_test(test_rate_rises_and_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
