// The study's clock: what a budget of compute grants, counts and remembers, and that one of time
// does none of it.

#include <math.h>
#include <stdlib.h>

#include "search/search_internal.h"
#include "tests/search/search_test.h"

static search_config config_of(budget_kind kind) {
    search_config config = search_config_default();
    config.budget_kind = kind;
    config.budget_node_ms = 600000;
    return config;
}

static search_candidate *anchor_new(void) {
    ns_error err = {0};
    const search_space space = test_space(IMAGE_CASES[0], 10);
    search_genotype anchor;
    search_candidate *candidate = malloc(sizeof *candidate);
    assert_non_null(candidate);
    search_genotype_anchor(&space, &anchor);
    assert_ok(search_decode(&space, &anchor, candidate, &err), &err);
    return candidate;
}

static void test_position_is_the_work_done(void **state) {
    (void)state;
    const search_config config = config_of(BUDGET_COMPUTE);
    search__run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    run->config = &config;
    run->work = (results_work){.trial_flop = 70 * BUDGET_FLOP_PER_MS + 5,
                               .phase_flop = 30 * BUDGET_FLOP_PER_MS,
                               .running_fidelity_ms = 9};
    assert_int_equal(search__position_ms(run), 80); // rounded up: nothing is overspent
    assert_int_equal(search__spent_ms(run), 100);
    assert_false(search__clock_has_passed(run, 1)); // nobody is ended for it
    assert_int_equal(search__clock_node_ms_max(&config), BUDGET_NODE_MS_MAX);
    assert_int_equal(search__clock_worker_count(run), 1);
    free(run);
}

static void test_position_is_the_wall_clock(void **state) {
    (void)state;
    search_config config = config_of(BUDGET_TIME);
    config.process_start_ms = ns_clock_ms() - 5000;
    search__run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    run->config = &config;
    run->base_ms = 100000;
    run->worker_count = 7;
    run->work.trial_flop = INT64_MAX;
    const int64_t position_ms = search__position_ms(run);
    assert_in_range(position_ms, 105000, 205000);
    assert_in_range(search__spent_ms(run), position_ms, 205000);
    assert_true(search__clock_has_passed(run, 105000));
    assert_false(search__clock_has_passed(run, 305000));
    assert_int_equal(search__clock_node_ms_max(&config), 600000);
    assert_int_equal(search__clock_worker_count(run), 7);
    free(run);
}

static void test_grants_images(void **state) {
    (void)state;
    search_config config = config_of(BUDGET_COMPUTE);
    search_candidate *anchor = anchor_new();
    search__run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    run->config = &config;
    nn_train_options options = {0};
    const int64_t grants_ms[] = {0, 1, 100, 600000, BUDGET_NODE_MS_MAX};
    for (size_t i = 0; i < NS_COUNT_OF(grants_ms); i++) {
        search__clock_grant(run, anchor, grants_ms[i], &options);
        const int64_t flop = search__work_flop(&anchor->counts, options.sample_count_max, 0);
        const int64_t granted_flop = grants_ms[i] * BUDGET_FLOP_PER_MS;
        assert_int_equal(options.ms_max, 0);
        assert_in_range(granted_flop - flop, 0, anchor->counts.train_flops - 1);
    }
    const double step_flop = search__clock_step_ms(run, anchor) * (double)BUDGET_FLOP_PER_MS;
    assert_int_equal(llround(step_flop), anchor->counts.train_flops * anchor->recipe.batch_size);
    assert_true(search__clock_classify_ms(run, &anchor->counts, 10000) > 0);

    config.budget_kind = BUDGET_TIME;
    options = (nn_train_options){0};
    search__clock_grant(run, anchor, 12345, &options);
    assert_int_equal(options.ms_max, 12345);
    assert_int_equal((int64_t)options.sample_count_max, 0);
    assert_true(search__clock_step_ms(run, anchor) == 0);
    assert_int_equal(search__clock_classify_ms(run, &anchor->counts, 10000), 0);
    free(run);
    free(anchor);
}

static void test_settles_what_would_be_left_to_chance(void **state) {
    (void)state;
    search_config config = config_of(BUDGET_COMPUTE);
    search__clock_settle(&config);
    assert_int_equal(config.thread_count, ns_cpu_count());
    assert_int_equal(config.worker_count, 1);
    config.thread_count = 5;
    config.worker_count = 3;
    search__clock_settle(&config);
    assert_int_equal(config.thread_count, 5);
    assert_int_equal(config.worker_count, 3);
    assert_int_equal(search__clock_mem_bytes(&config), search__clock_mem_bytes(&config));
    config = config_of(BUDGET_TIME);
    search__clock_settle(&config);
    assert_int_equal(config.thread_count, 0);
    assert_int_equal(config.worker_count, 0);
}

static void test_settings_keep_the_kind(void **state) {
    (void)state;
    for (int kind = BUDGET_TIME; kind <= BUDGET_COMPUTE; kind++) {
        const search_config config = config_of((budget_kind)kind);
        search_config found = {0};
        ns_json *json = ns_json_object_new();
        search__budget_to_json(&config, json);
        assert_int_equal(ns_json_count(json), 1);
        search__budget_from_json(json, &found);
        assert_int_equal(found.budget_kind, kind);
        assert_int_equal(found.budget_node_ms, 600000);
        ns_json_free(json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_position_is_the_work_done),
        cmocka_unit_test(test_position_is_the_wall_clock),
        cmocka_unit_test(test_grants_images),
        cmocka_unit_test(test_settles_what_would_be_left_to_chance),
        cmocka_unit_test(test_settings_keep_the_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
