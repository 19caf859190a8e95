// Random streams: known answers, moments, independence of the three names, continuation.

#include <math.h>
#include <string.h>

#include "tests/ns_test.h"

// First outputs of the authors' xoshiro256starstar.c with the state {1, 2, 3, 4}.
static void test_known_answers(void **state) {
    (void)state;
    static const uint64_t want[] = {11520,
                                    0,
                                    1509978240,
                                    1215971899390074240,
                                    1216172134540287360,
                                    607988272756665600,
                                    16172922978634559625U,
                                    8476171486693032832};
    ns_rng rng = {{1, 2, 3, 4}};
    for (size_t i = 0; i < NS_COUNT_OF(want); i++) {
        const uint64_t got = ns_rng_next(&rng);
        if (got != want[i]) {
            fail_msg("draw %zu: got %llu, want %llu", i, (unsigned long long)got,
                     (unsigned long long)want[i]);
        }
    }
}

// Streams are part of what makes a study repeatable: their seeding must never change.
static void test_streams_are_frozen(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(7, 3, "shuffle");
    assert_true(ns_rng_next(&rng) == UINT64_C(0x21dba711c7f9bd98));
}

static void test_streams_differ(void **state) {
    (void)state;
    const ns_rng streams[] = {
        ns_rng_stream(1, 2, "shuffle"), ns_rng_stream(2, 1, "shuffle"),
        ns_rng_stream(1, 3, "shuffle"), ns_rng_stream(3, 2, "shuffle"),
        ns_rng_stream(1, 2, "augment"), ns_rng_stream(1, 2, ""),
        ns_rng_stream(0, 0, "shuffle"), ns_rng_stream(UINT64_MAX, 2, "shuffle"),
    };
    for (size_t i = 0; i < NS_COUNT_OF(streams); i++) {
        for (size_t j = 0; j < i; j++) {
            ns_rng a = streams[i];
            ns_rng b = streams[j];
            assert_true(ns_rng_next(&a) != ns_rng_next(&b));
        }
    }
    const ns_rng again = ns_rng_stream(1, 2, "shuffle");
    assert_memory_equal(&again, &streams[0], sizeof(again));
}

static void check_moments(const char *name, double mean, double variance, double want_mean,
                          double want_variance) {
    if (fabs(mean - want_mean) > 0.01 || fabs(variance - want_variance) > 0.02) {
        fail_msg("%s: mean %g, want %g; variance %g, want %g", name, mean, want_mean, variance,
                 want_variance);
    }
}

static void test_moments(void **state) {
    (void)state;
    enum { DRAWS = 200000 };
    ns_rng rng = ns_rng_stream(42, 0, "moments");
    double unit_sum = 0;
    double unit_squares = 0;
    double normal_sum = 0;
    double normal_squares = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double unit = ns_rng_unit(&rng);
        const double normal = ns_rng_normal(&rng);
        assert_true(unit >= 0.0 && unit < 1.0);
        assert_true(isfinite(normal));
        unit_sum += unit;
        unit_squares += unit * unit;
        normal_sum += normal;
        normal_squares += normal * normal;
    }
    const double unit_mean = unit_sum / DRAWS;
    const double normal_mean = normal_sum / DRAWS;
    check_moments("unit", unit_mean, unit_squares / DRAWS - unit_mean * unit_mean, 0.5, 1.0 / 12);
    check_moments("normal", normal_mean, normal_squares / DRAWS - normal_mean * normal_mean, 0, 1);
}

// Beta(a, b) has mean a / (a + b) and variance a b / ((a + b)^2 (a + b + 1)).
static void test_beta(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    static const double shapes[][2] = {{1, 1},     {0.2, 0.2}, {0.4, 0.4}, {2, 5},
                                       {0.5, 3.0}, {20, 20},   {1.0, 0.1}, {1e-3, 1e-3}};
    for (size_t i = 0; i < NS_COUNT_OF(shapes); i++) {
        const double a = shapes[i][0];
        const double b = shapes[i][1];
        ns_rng rng = ns_rng_stream(5, i, "beta");
        double sum = 0;
        double squares = 0;
        for (int draw = 0; draw < DRAWS; draw++) {
            const double value = ns_rng_beta(&rng, a, b);
            assert_true(value >= 0.0 && value <= 1.0);
            sum += value;
            squares += value * value;
        }
        const double mean = sum / DRAWS;
        const double want = a / (a + b);
        check_moments("beta", mean, squares / DRAWS - mean * mean, want,
                      want * (1 - want) / (a + b + 1));
    }
}

// The variance's tolerance above says little of narrow distributions; an arcsine law is known whole.
static void test_beta_distribution(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    ns_rng rng = ns_rng_stream(6, 0, "beta");
    static const double quantiles[] = {0.01, 0.1, 0.25, 0.5, 0.9};
    int below[NS_COUNT_OF(quantiles)] = {0};
    for (int draw = 0; draw < DRAWS; draw++) {
        const double value = ns_rng_beta(&rng, 0.5, 0.5);
        for (size_t i = 0; i < NS_COUNT_OF(quantiles); i++) {
            const double root = sin(M_PI / 2 * quantiles[i]); // F(x) = 2 / pi asin(sqrt(x))
            below[i] += value < root * root;
        }
    }
    for (size_t i = 0; i < NS_COUNT_OF(quantiles); i++) {
        const double share = (double)below[i] / DRAWS;
        if (fabs(share - quantiles[i]) > 0.01) {
            fail_msg("quantile %g holds %g of the draws", quantiles[i], share);
        }
    }
}

static void test_below(void **state) {
    (void)state;
    enum { BOUND = 6, DRAWS = 60000 };
    ns_rng rng = ns_rng_stream(1, 1, "below");
    int count[BOUND] = {0};
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t draw = ns_rng_below(&rng, BOUND);
        assert_true(draw < BOUND);
        count[draw]++;
    }
    for (int face = 0; face < BOUND; face++) {
        assert_in_range(count[face], DRAWS / BOUND - 500, DRAWS / BOUND + 500); // over 5 sigma
    }
    const uint64_t huge = (UINT64_C(1) << 63) + 1; // rejects almost every second draw
    for (int i = 0; i < 1000; i++) {
        assert_true(ns_rng_below(&rng, huge) < huge);
        assert_int_equal(ns_rng_below(&rng, 1), 0);
    }
}

static void test_shuffle(void **state) {
    (void)state;
    enum { COUNT = 1000 };
    uint32_t indices[COUNT];
    bool seen[COUNT] = {false};
    size_t moved = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        indices[i] = i;
    }
    ns_rng rng = ns_rng_stream(1, 1, "shuffle");
    ns_rng_shuffle(&rng, indices, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(indices[i] < COUNT);
        assert_false(seen[indices[i]]);
        seen[indices[i]] = true;
        moved += indices[i] != i;
    }
    assert_true(moved > COUNT - 20);
    ns_rng_shuffle(&rng, indices, 1);
    ns_rng_shuffle(&rng, indices, 0);
}

static void test_state_continues(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(9, 9, "checkpoint");
    (void)ns_rng_next(&rng);
    ns_rng stored;
    memcpy(&stored, &rng, sizeof(stored));
    for (int i = 0; i < 10; i++) {
        assert_true(ns_rng_normal(&rng) == ns_rng_normal(&stored));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_streams_are_frozen),
        cmocka_unit_test(test_streams_differ),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_beta),
        cmocka_unit_test(test_beta_distribution),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_state_continues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
