// The winner's rule on made-up answers: the standard error against one that is computed by hand, who
// wins within it and beyond it, and how often the rule is wrong on networks that are equally good.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/ladder.h"
#include "tests/ns_test.h"

#define IMAGE_COUNT 2000

/// Of doubles; cmocka compares floats.
static void assert_near(double value, double wanted, double tolerance) {
    if (!(fabs(value - wanted) <= tolerance)) {
        fail_msg("%.9g is not %.9g", value, wanted);
    }
}

typedef struct arena {
    search__verdict verdict;
    results_trial trial[SEARCH__RIVALS_MAX];
    uint8_t correct[SEARCH__RIVALS_MAX][BUDGET_CONFIRM_SEEDS_MAX][IMAGE_COUNT / 8 + 1];
} arena;

/// A rival with `seed_count` seeds that trained on `images_per_s`; it has got nothing right yet.
static search__rival *add_rival(arena *a, int seed_count, int images_per_s) {
    const int index = a->verdict.rival_count++;
    search__rival *rival = &a->verdict.rival[index];
    a->verdict.image_count = IMAGE_COUNT;
    a->trial[index] = (results_trial){.number = index,
                                      .fidelity_ms = 1000,
                                      .sample_count = images_per_s,
                                      .params = 1000,
                                      .flops = 1000,
                                      .latency_ms = (double)NAN};
    rival->number = index;
    rival->seed_count = seed_count;
    for (int s = 0; s < seed_count; s++) {
        rival->trials[s] = &a->trial[index];
        rival->correct[s] = a->correct[index][s];
    }
    return rival;
}

static void set_correct(search__rival *rival, int seed, size_t index) {
    rival->correct[seed][index / 8] =
        (uint8_t)(rival->correct[seed][index / 8] | 1U << (index % 8));
}

/// Images first..end-1 are right, with all seeds.
static void set_range(search__rival *rival, size_t first, size_t end) {
    for (int s = 0; s < rival->seed_count; s++) {
        for (size_t i = first; i < end; i++) {
            set_correct(rival, s, i);
        }
    }
}

static const search__verdict *choose(arena *a, const search_goal *goal) {
    const search__reference reference = {.latency_ms = (double)NAN, .params = 1000, .flops = 1000};
    search__confirm_choose(goal, &reference, &a->verdict);
    return &a->verdict;
}

static const search_goal ACCURACY = {.target = SEARCH_TARGET_ACCURACY};

static void test_standard_error(void **state) {
    (void)state;
    arena a = {0};
    set_range(add_rival(&a, 2, 100), 0, 1800);
    set_range(add_rival(&a, 2, 100), 20,
              1810); // 20 that only the first has right, 10 the other way
    const search__verdict *verdict = choose(&a, &ACCURACY);
    assert_int_equal(verdict->leader, 0);
    assert_near(verdict->rival[0].accuracy, 0.9, 1e-12);
    assert_near(verdict->rival[1].difference, 0.005, 1e-12);
    // No seed differs from its mean: of the prior's 4 and 2 more observations the prior's remain.
    assert_near(verdict->seed_sigma, sqrt(4.0 / 6) * 0.0015, 1e-9);
    const double of_images = (30 - 2000 * 0.005 * 0.005) / 1999 / 2000;
    const double of_seeds = 2 * verdict->seed_sigma * verdict->seed_sigma / 2;
    assert_near(verdict->rival[1].standard_error, sqrt(of_images + of_seeds), 1e-9);
}

/// The first rival is the anchor, which has 1800 right; the others get the last `right` images right.
typedef struct winner_case {
    size_t right[2];
    int images_per_s[2];
    double lengthening;
    int winner;
} winner_case;

static void check_winner(const winner_case *wanted, size_t index) {
    arena a = {.verdict.lengthening = wanted->lengthening};
    set_range(add_rival(&a, 1, 100), 0, 1800);
    for (int i = 0; i < 2; i++) {
        set_range(add_rival(&a, 1, wanted->images_per_s[i]), IMAGE_COUNT - wanted->right[i],
                  IMAGE_COUNT);
    }
    const int winner = choose(&a, &ACCURACY)->winner;
    if (winner != wanted->winner) {
        fail_msg("case %zu: rival %d wins, not %d", index, winner, wanted->winner);
    }
}

static void test_the_anchor_unless_clearly_beaten(void **state) {
    (void)state;
    static const winner_case cases[] = {
        {{1795, 1700}, {200, 100}, 1, 0},   // they are faster, and no better
        {{1805, 1700}, {1000, 100}, 1, 0},  // ahead, but not clearly
        {{1830, 1700}, {100, 100}, 1, 1},   // clearly ahead, in trials as long as retraining
        {{1830, 1700}, {100, 100}, 16, 0},  // not when retraining is much longer
        {{1900, 1700}, {10, 100}, 16, 1},   // clearly even so
        {{1900, 1700}, {10, 100}, 1e30, 0}, // nothing can be foretold
    };
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        check_winner(&cases[i], i);
    }
}

static void test_the_faster_within_a_standard_error(void **state) {
    (void)state;
    static const winner_case cases[] = {
        {{1900, 1897}, {100, 100}, 1, 1}, // the better of two as fast
        {{1900, 1897}, {100, 104}, 1, 1}, // not by enough
        {{1900, 1897}, {100, 200}, 1, 2}, // as good as equal, and faster
        {{1900, 1850}, {100, 200}, 1, 1}, // faster, and clearly worse
    };
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        check_winner(&cases[i], i);
    }
}

static void test_unconfirmed(void **state) {
    (void)state;
    static const struct {
        double accuracy; // of trial 1; the anchor's is 0.9
        double lengthening;
        int winner;
    } cases[] = {
        {0.89, 1, 0}, {0.903, 1, 0}, {0.92, 1, 1}, {0.91, 16, 0}, {0.95, 16, 1},
    };
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        const results_trial trials[] = {
            {.state = RESULTS_COMPLETE, .source_number = -1, .val_accuracy = 0.9},
            {.number = 1,
             .state = RESULTS_COMPLETE,
             .source_number = -1,
             .val_accuracy = cases[i].accuracy},
        };
        const int winner = search__unconfirmed_winner(&ACCURACY, trials, NS_COUNT_OF(trials), 6000,
                                                      cases[i].lengthening);
        if (winner != cases[i].winner) {
            fail_msg("case %zu: trial %d wins, not %d", i, winner, cases[i].winner);
        }
    }
    assert_int_equal(search__unconfirmed_winner(&ACCURACY, NULL, 0, 6000, 1), -1);
}

static void test_limits_come_first(void **state) {
    (void)state;
    arena a = {0};
    const search_goal goal = {.target = SEARCH_TARGET_ACCURACY, .params_max = 2000};
    set_range(add_rival(&a, 1, 100), 0, 1700);
    set_range(add_rival(&a, 1, 500), 0, 1900);
    a.trial[1].params = 3000;
    assert_int_equal(choose(&a, &goal)->winner, 0);
}

static void test_nobody_was_confirmed(void **state) {
    (void)state;
    arena a = {0};
    assert_int_equal(choose(&a, &ACCURACY)->winner, -1);
}

/// Two equally good networks with the luck of seeds and images: the standard error says how far
/// apart their accuracies lie.
static void test_standard_error_is_true(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(11, 0, "confirm test");
    double squares = 0;
    const int draws = 400;
    for (int draw = 0; draw < draws; draw++) {
        arena a = {0};
        for (int r = 0; r < 2; r++) {
            search__rival *rival = add_rival(&a, 3, 100);
            for (int s = 0; s < rival->seed_count; s++) {
                const double luck = SEARCH__SEED_SIGMA * ns_rng_normal(&rng);
                for (size_t i = 0; i < IMAGE_COUNT; i++) {
                    if (ns_rng_unit(&rng) < 0.95 + luck) {
                        set_correct(rival, s, i);
                    }
                }
            }
        }
        const search__verdict *verdict = choose(&a, &ACCURACY);
        const search__rival *second = &verdict->rival[1 - verdict->leader];
        const double deviations = second->difference / second->standard_error;
        squares += deviations * deviations;
    }
    print_message("differences of equals: %.2f standard errors\n", sqrt(squares / draws));
    assert_in_range((int)(100 * sqrt(squares / draws)), 60, 115); // rather too careful
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standard_error),
        cmocka_unit_test(test_the_anchor_unless_clearly_beaten),
        cmocka_unit_test(test_the_faster_within_a_standard_error),
        cmocka_unit_test(test_unconfirmed),
        cmocka_unit_test(test_limits_come_first),
        cmocka_unit_test(test_nobody_was_confirmed),
        cmocka_unit_test(test_standard_error_is_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
