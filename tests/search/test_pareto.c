// The Pareto front and which models are kept, against a plain definition of dominance.

#include <math.h>

#include "tests/search/search_test.h"

#include "search/search_internal.h"

static bool beats(const results_trial *a, const results_trial *b) {
    const bool no_worse = a->val_accuracy >= b->val_accuracy && a->latency_ms <= b->latency_ms &&
                          a->params <= b->params;
    const bool better =
        a->val_accuracy > b->val_accuracy || a->latency_ms < b->latency_ms || a->params < b->params;
    return no_worse && better;
}

static void draw_trials(results_trial *trials, size_t count, uint64_t seed) {
    ns_rng rng = ns_rng_stream(seed, 0, "pareto test");
    for (size_t i = 0; i < count; i++) {
        trials[i] = (results_trial){
            .number = (int)i,
            .state = RESULTS_COMPLETE,
            .val_accuracy = 0.5 + 0.01 * (double)ns_rng_below(&rng, 40),
            .latency_ms = 1 + (double)ns_rng_below(&rng, 40),
            .params = 100 + (int64_t)ns_rng_below(&rng, 40),
            .flops = 7,
        };
    }
}

static void test_front_is_what_none_beats(void **state) {
    (void)state;
    static results_trial trials[300];
    bool in_front[300];
    const search_goal goal = {0};
    ns_error err = {0};
    for (uint64_t seed = 0; seed < 20; seed++) {
        draw_trials(trials, 300, seed);
        assert_int_equal(search__front(&goal, trials, 300, in_front, &err), NS_OK);
        for (size_t i = 0; i < 300; i++) {
            bool beaten = false;
            for (size_t k = 0; k < 300; k++) {
                const bool equal = trials[k].val_accuracy == trials[i].val_accuracy &&
                                   trials[k].latency_ms == trials[i].latency_ms &&
                                   trials[k].params == trials[i].params;
                beaten = beaten || beats(&trials[k], &trials[i]) || (equal && k < i);
            }
            if (in_front[i] == beaten) {
                fail_msg("seed %d, trial %zu: %s the front, %s", (int)seed, i,
                         in_front[i] ? "in" : "not in", beaten ? "beaten" : "not beaten");
            }
        }
    }
}

static void test_who_may_belong(void **state) {
    (void)state;
    results_trial trials[] = {
        {.state = RESULTS_PRUNED, .val_accuracy = 0.99, .latency_ms = 1, .params = 1, .flops = 9},
        {.state = RESULTS_COMPLETE, .val_accuracy = 0.9, .latency_ms = 2, .params = 10, .flops = 8},
        {.state = RESULTS_COMPLETE, .val_accuracy = 0.8, .latency_ms = 1, .params = 10, .flops = 9},
        {.state = RESULTS_COMPLETE, .val_accuracy = (double)NAN, .params = 1, .flops = 1},
        {.state = RESULTS_COMPLETE,
         .val_accuracy = 0.95,
         .latency_ms = 9,
         .params = 99,
         .flops = 9},
        {.state = RESULTS_COMPLETE,
         .val_accuracy = 0.85,
         .latency_ms = (double)NAN,
         .params = 10,
         .flops = 1},
    };
    bool in_front[6];
    const search_goal none = {0};
    const search_goal small = {.params_max = 50};
    ns_error err = {0};
    assert_int_equal(search__front(&none, trials, 6, in_front, &err), NS_OK);
    const bool expected[] = {false, true, true, false, true, false};
    assert_memory_equal(in_front, expected, sizeof expected);
    assert_int_equal(search__front(&small, trials, 6, in_front, &err), NS_OK);
    const bool expected_small[] = {false, true, true, false, false, false};
    assert_memory_equal(in_front, expected_small, sizeof expected_small);
    // The same network again, a little faster by chance, is not another one.
    trials[1].hash = trials[2].hash = (char[]){"a"};
    assert_int_equal(search__front(&none, trials, 6, in_front, &err), NS_OK);
    const bool expected_once[] = {false, true, false, false, true, false};
    assert_memory_equal(in_front, expected_once, sizeof expected_once);
    trials[2].hash = NULL;
    // Without any latency multiply-adds stand in for it.
    for (size_t i = 0; i < 6; i++) {
        trials[i].latency_ms = (double)NAN;
    }
    assert_int_equal(search__front(&none, trials, 6, in_front, &err), NS_OK);
    const bool expected_flops[] = {false, true, false, false, true, true};
    assert_memory_equal(in_front, expected_flops, sizeof expected_flops);
    assert_int_equal(search__front(&none, NULL, 0, in_front, &err), NS_OK);
}

static void test_kept_models_are_few(void **state) {
    (void)state;
    static results_trial trials[200];
    bool kept[200];
    bool in_front[200];
    ns_error err = {0};
    for (size_t i = 0; i < 200; i++) { // all of them in the front
        trials[i] = (results_trial){.state = RESULTS_COMPLETE,
                                    .val_accuracy = 0.5 + 0.001 * (double)i,
                                    .latency_ms = 1 + (double)i,
                                    .params = 10 + (int64_t)i,
                                    .flops = 7};
    }
    const search_goal goal = {0};
    size_t kept_count = 0;
    size_t front_count = 0;
    assert_int_equal(search__front(&goal, trials, 200, in_front, &err), NS_OK);
    assert_int_equal(search__kept_models(&goal, trials, 200, kept, &err), NS_OK);
    for (size_t i = 0; i < 200; i++) {
        kept_count += kept[i] ? 1 : 0;
        front_count += in_front[i] ? 1 : 0;
    }
    assert_int_equal(front_count, 200);
    assert_in_range(kept_count, 10, 17);
    assert_true(kept[0] && kept[199] && kept[198]);
    // Where none observes the limits the best is kept all the same.
    const search_goal tiny = {.params_max = 1};
    assert_int_equal(search__kept_models(&tiny, trials, 200, kept, &err), NS_OK);
    assert_true(kept[0]);
    assert_false(kept[1]);
    assert_int_equal(search__kept_models(&goal, trials, 0, kept, &err), NS_OK);
}

/// Beaten in everything, the anchor may yet win: its longest trial is kept.
static void test_the_anchor_is_kept(void **state) {
    (void)state;
    results_trial trials[5];
    bool kept[5];
    ns_error err = {0};
    for (int i = 0; i < 5; i++) {
        trials[i] = (results_trial){.number = i,
                                    .state = RESULTS_COMPLETE,
                                    .val_accuracy = 0.5 + 0.01 * i,
                                    .latency_ms = 9 - i,
                                    .params = 9 - i,
                                    .flops = 9 - i,
                                    .rung = i < 2 ? 0 : 1,
                                    .source_number = i == 2 ? 0 : -1};
    }
    assert_int_equal(search__kept_models(&(search_goal){0}, trials, 2, kept, &err), NS_OK);
    assert_true(kept[0]);
    assert_int_equal(search__kept_models(&(search_goal){0}, trials, 5, kept, &err), NS_OK);
    const bool expected[] = {false, false, true, false, true};
    assert_memory_equal(kept, expected, sizeof expected);
}

static void test_only_the_highest_rung_competes(void **state) {
    (void)state;
    const results_trial trials[] = {
        {.number = 0, .state = RESULTS_COMPLETE, .rung = 0, .source_number = -1},
        {.number = 1, .state = RESULTS_COMPLETE, .rung = 0, .source_number = -1},
        {.number = 2, .state = RESULTS_COMPLETE, .rung = 2, .source_number = 0}, // the anchor's
        {.number = 3, .state = RESULTS_COMPLETE, .rung = 1, .source_number = 1},
        {.number = 4, .state = RESULTS_RUNNING, .rung = 2, .source_number = 1},
    };
    assert_int_equal(search__front_rung(trials, 0), 0);
    assert_int_equal(search__front_rung(trials, 3), 0);
    assert_int_equal(search__front_rung(trials, 5), 1);
}

/* ---- as trials end, one after the other ------------------------------------------------------- */

#define KEPT_TRIALS 150

static bool has_file(const search__run *run, int number) {
    char path[NS_PATH_MAX];
    assert_int_equal(search__trial_file(run, number, path, NULL), NS_OK);
    return ns_file_exists(path);
}

/// After each trial, what is on disk is what all trials together say.
static void test_kept_models_follow_the_trials(void **state) {
    (void)state;
    static results_trial rows[KEPT_TRIALS];
    static char hash[KEPT_TRIALS][16];
    bool kept[KEPT_TRIALS];
    ns_error err = {0};
    const search_config config = {0};
    search__history history = {.row = rows};
    search__run run = {.config = &config, .history = &history};
    assert_int_equal(ns_path_absolute("keep.dir", run.dir, &err), NS_OK);
    assert_int_equal(ns_dir_make(run.dir, &err), NS_OK);
    ns_rng rng = ns_rng_stream(3, 0, "test");
    for (int i = 0; i < KEPT_TRIALS; i++) {
        (void)snprintf(hash[i], sizeof hash[i], "%d", i);
        rows[i] = (results_trial){.number = i,
                                  .state = RESULTS_RUNNING,
                                  .hash = hash[i],
                                  .latency_ms = (double)NAN,
                                  .val_accuracy = (double)NAN,
                                  .params = 1 + (int64_t)ns_rng_below(&rng, 50),
                                  .flops = 1,
                                  .source_number = -1,
                                  .rung = i < 50 ? 0 : i % 3 == 0,
                                  .purpose = i % 40 == 39 ? RESULTS_CONFIRM : RESULTS_SEARCH};
        history.count = (size_t)i + 1;
        const results_outcome outcome = {.val_accuracy = ns_rng_unit(&rng),
                                         .latency_ms = 1 + ns_rng_unit(&rng)};
        bool worth = false;
        assert_int_equal(search__is_worth_keeping(&run, i, &outcome, &worth, &err), NS_OK);
        char path[NS_PATH_MAX];
        assert_int_equal(search__trial_file(&run, i, path, &err), NS_OK);
        if (worth) {
            assert_int_equal(ns_file_write(path, "x", 1, &err), NS_OK);
        }
        rows[i].state = RESULTS_COMPLETE;
        rows[i].val_accuracy = outcome.val_accuracy;
        rows[i].latency_ms = outcome.latency_ms;
        history.settled_count = i % 3 == 0 ? history.count : history.settled_count;
        int best = -1;
        assert_int_equal(search__keep_models(&run, &best, &err), NS_OK);
        assert_int_equal(best, search__best_trial(&config.goal, rows, history.count));
        assert_int_equal(search__kept_models(&config.goal, rows, history.count, kept, &err), NS_OK);
        assert_int_equal(worth, kept[i]);
        for (int k = 0; k <= i; k++) { // one that was out has no file any more, if it comes back
            if (has_file(&run, k) && !kept[k]) {
                fail_msg("after trial %d the model of trial %d is still there", i, k);
            }
        }
        assert_true(has_file(&run, best));
    }
    for (int k = 0; k < KEPT_TRIALS; k++) { // the front has moved up a rung, with its files
        assert_true(!kept[k] || rows[k].rung == 1 || rows[k].purpose == RESULTS_CONFIRM || k == 0 ||
                    k == search__best_trial(&config.goal, rows, history.count));
    }
    search__keeper_clear(&history.keeper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_front_is_what_none_beats),
        cmocka_unit_test(test_who_may_belong),
        cmocka_unit_test(test_kept_models_are_few),
        cmocka_unit_test(test_the_anchor_is_kept),
        cmocka_unit_test(test_only_the_highest_rung_competes),
        cmocka_unit_test(test_kept_models_follow_the_trials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
