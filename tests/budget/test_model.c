// The model of times: exact on a steady machine, smooth between what was measured, harmless where
// nothing was, and not to be upset by bad samples.

#include "tests/ns_test.h"

#include "budget/budget.h"

#include <math.h>

static budget_sample sample_at(int kind, double x, double y, double ideal_ms, double took_ms) {
    return (budget_sample){{.kind = kind, .feature = {x, y}, .ideal_ms = ideal_ms}, took_ms};
}

static budget_model *model_of(const budget_sample *samples, size_t count) {
    budget_model *model = NULL;
    ns_error err = {0};
    assert_ok(budget_model_new(samples, count, &model, &err), &err);
    return model;
}

static double predict(const budget_model *model, budget_sample like) {
    return budget_model_predict_ms(model, &like.work);
}

static void test_nothing_measured(void **state) {
    (void)state;
    budget_model *model = model_of(NULL, 0);
    assert_float_equal(predict(model, sample_at(1, 2, 3, 7.5, 0)), 7.5, 1e-9);
    budget_model_free(model);
    budget_model_free(NULL);
}

static void test_steady_machine(void **state) {
    (void)state;
    budget_sample samples[20];
    for (int i = 0; i < 20; i++) {
        samples[i] = sample_at(i % 2, i, i * i % 7, 1 + i, 3.0 * (1 + i));
    }
    budget_model *model = model_of(samples, 20);
    for (int i = 0; i < 20; i++) {
        assert_float_equal(predict(model, sample_at(i % 3, i + 0.5, 1, 10, 0)), 30, 1e-6);
    }
    budget_model_free(model);
}

/// A kernel's speed over two octave axes, with a cliff in neither.
static double true_ms(double x, double y, double ideal_ms) {
    return ideal_ms * (1.2 + 0.4 * sin(0.4 * x) + 0.3 * cos(0.5 * y));
}

static void test_between_measurements(void **state) {
    (void)state;
    budget_sample samples[60];
    ns_rng rng = ns_rng_stream(1, 0, "model test");
    for (int i = 0; i < 60; i++) {
        const double x = 8 * ns_rng_unit(&rng), y = 8 * ns_rng_unit(&rng);
        const double noise = 0.95 + 0.1 * ns_rng_unit(&rng);
        const double ideal_ms = exp(6 * ns_rng_unit(&rng));
        samples[i] = sample_at(4, x, y, ideal_ms, noise * true_ms(x, y, ideal_ms));
    }
    budget_model *model = model_of(samples, 60);
    double worst = 0;
    for (int i = 0; i < 200; i++) {
        const double x = 1 + 6 * ns_rng_unit(&rng), y = 1 + 6 * ns_rng_unit(&rng);
        const double error = predict(model, sample_at(4, x, y, 100, 0)) / true_ms(x, y, 100) - 1;
        worst = fmax(worst, fabs(error));
    }
    if (worst > 0.1) {
        fail_msg("worst error %.3f, want at most 0.1", worst);
    }
    budget_model_free(model);
}

static void test_far_from_measurements(void **state) {
    (void)state;
    const budget_sample samples[] = {
        sample_at(1, 0, 0, 10, 20), // twice the ideal time
        sample_at(1, 1, 0, 10, 20),
        sample_at(2, 0, 0, 10, 80), // eight times
        sample_at(2, 1, 0, 10, 80),
    };
    budget_model *model = model_of(samples, NS_COUNT_OF(samples));
    assert_float_equal(predict(model, sample_at(1, 1000, 0, 5, 0)), 10, 1e-6);
    assert_float_equal(predict(model, sample_at(2, 1000, 0, 5, 0)), 40, 1e-6);
    // A kind that was never measured: the mean of all, in logarithms.
    assert_float_equal(predict(model, sample_at(3, 0, 0, 5, 0)), 20, 1e-6);
    budget_model_free(model);
}

static void test_bad_samples(void **state) {
    (void)state;
    const budget_sample samples[] = {
        sample_at(1, 0, 0, 10, 20),       sample_at(1, 0, 0, 10, 0),
        sample_at(1, 0, 0, 10, NAN),      sample_at(1, 0, 0, 0, 10),
        sample_at(1, NAN, 0, 10, 10),     sample_at(1, 0, INFINITY, 10, 10),
        sample_at(1, 0, 0, 10, INFINITY), sample_at(1, 0, 0, -1, 10),
    };
    budget_model *model = model_of(samples, NS_COUNT_OF(samples));
    assert_float_equal(predict(model, sample_at(1, 0, 0, 5, 0)), 10, 1e-6);
    budget_model_free(model);
}

/// Somebody else took the core for a moment, in a third of the measurements.
static void test_disturbed_samples(void **state) {
    (void)state;
    budget_sample samples[30];
    for (int i = 0; i < 30; i++) {
        samples[i] = sample_at(1, i, i * 7 % 5, 10, i % 3 == 0 ? 200 : 10);
    }
    budget_model *model = model_of(samples, 30);
    for (int i = 0; i < 30; i++) {
        const double got = predict(model, sample_at(1, i + 0.5, 2, 10, 0));
        if (got < 8 || got > 45) { // without care, up to 200
            fail_msg("predicted %.1f ms, want 8 to 45", got);
        }
    }
    budget_model_free(model);
}

/// A neighbour made some of them twice as slow, which is within what kernels differ by: the others,
/// close by, know better.
static void test_slow_neighbour(void **state) {
    (void)state;
    budget_sample samples[60];
    for (int i = 0; i < 60; i++) {
        const int column = i % 8, row = i / 8;
        const double took_ms = true_ms(column, row, 10);
        samples[i] = sample_at(4, column, row, 10, i % 9 == 4 ? 2 * took_ms : took_ms);
    }
    budget_model *model = model_of(samples, 60);
    for (int i = 0; i < 60; i++) {
        const int column = i % 8, row = i / 8;
        const double want = true_ms(column, row, 10);
        const double got = predict(model, sample_at(4, column, row, 10, 0));
        if (fabs(got / want - 1) > 0.15) {
            fail_msg("predicted %.2f ms of sample %d, want %.2f", got, i, want);
        }
    }
    budget_model_free(model);
}

/// Many measurements of the same work count as one, their mean: no weight, no numerical trouble.
static void test_repeated_samples(void **state) {
    (void)state;
    static budget_sample samples[2 * BUDGET_SAMPLES_MAX];
    for (size_t i = 0; i < NS_COUNT_OF(samples); i++) {
        samples[i] = sample_at(1, 0, 0, 10, i % 2 == 0 ? 10 : 40);
    }
    budget_model *model = model_of(samples, NS_COUNT_OF(samples));
    assert_float_equal(predict(model, sample_at(1, 0, 0, 10, 0)), 20, 1e-6);
    budget_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_measured),     cmocka_unit_test(test_steady_machine),
        cmocka_unit_test(test_between_measurements), cmocka_unit_test(test_far_from_measurements),
        cmocka_unit_test(test_bad_samples),          cmocka_unit_test(test_repeated_samples),
        cmocka_unit_test(test_disturbed_samples),    cmocka_unit_test(test_slow_neighbour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
