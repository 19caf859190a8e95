// Calibration without a clock: which divisions of a machine are tried and chosen, and that a model
// made from profiles finds the times again that the profiles were made up of.

#include <math.h>
#include <stdlib.h>

#include "search/search_internal.h"
#include "tests/search/search_test.h"

/* ---- dividing the machine -------------------------------------------------------------------- */

static void check_splits(int thread_count, const char *want) {
    search__split splits[SEARCH__SPLITS_MAX];
    char got[128] = "";
    const int count = search__splits(thread_count, splits);
    assert_in_range(count, 1, SEARCH__SPLITS_MAX);
    for (int i = 0; i < count; i++) {
        const size_t used = strlen(got);
        (void)snprintf(got + used, sizeof got - used, "%s%dx%d", i > 0 ? " " : "",
                       splits[i].worker_count, splits[i].thread_count);
    }
    assert_string_equal(got, want);
}

static void test_splits(void **state) {
    (void)state;
    check_splits(1, "1x1");
    check_splits(2, "2x1 1x2");
    check_splits(3, "3x1 1x3");
    check_splits(6, "6x1 3x2 1x6");
    check_splits(64, "64x1 32x2 16x4 8x8 4x16 2x32 1x64");
    check_splits(128, "64x2 32x4 16x8 8x16 4x32 2x64 1x128");
    for (int threads = 1; threads < 2000; threads++) {
        search__split splits[SEARCH__SPLITS_MAX];
        const int count = search__splits(threads, splits);
        assert_in_range(count, 1, SEARCH__SPLITS_MAX);
        for (int i = 0; i < count; i++) {
            assert_int_equal(splits[i].worker_count * splits[i].thread_count, threads);
            assert_in_range(splits[i].worker_count, 1, SEARCH_SLOTS_MAX);
        }
        assert_int_equal(splits[count - 1].worker_count, 1);
    }
}

static void test_best_split(void **state) {
    (void)state;
    search__split splits[] = {{4, 1, 0, 0}, {2, 2, 433, 0}, {1, 4, 420, 0}};
    assert_ptr_equal(search__split_best(splits, 3), &splits[1]);
    splits[0].images_per_s = 483;
    assert_ptr_equal(search__split_best(splits, 3), &splits[0]);
    const search__split nothing[] = {{2, 1, 0, 0}, {1, 2, 0, 0}};
    assert_null(search__split_best(nothing, 2));
    assert_null(search__split_best(nothing, 0));
}

static void test_divide_shares_memory(void **state) {
    (void)state;
    search__run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    run->mem_bytes = 8000;
    search__divide(run, 4, 2);
    assert_int_equal(run->worker_count, 4);
    assert_int_equal(run->worker_thread_count, 2);
    assert_int_equal(run->worker_mem_bytes, 2000);
    free(run);
}

/* ---- the model of steps ---------------------------------------------------------------------- */

static search_candidate *random_candidate(const search_space *space, uint64_t number) {
    search_candidate *candidate = malloc(sizeof *candidate);
    search_genotype genotype;
    ns_error err = {0};
    ns_rng rng = ns_rng_stream(1, number, "calibrate test");
    assert_non_null(candidate);
    search_genotype_random(space, &rng, &genotype);
    assert_ok(search_decode(space, &genotype, candidate, &err), &err);
    return candidate;
}

/// A step on a machine that does 120 GFLOP/s and moves 8 GB/s, one after the other; each layer's in
/// two rows, as forward and backward have.
static double fake_profile(const search_candidate *candidate, int batch_size, nn_profile *out,
                           double *update_ms) {
    static nn_fused fused;
    nn_counts counts[NN_NODES_MAX];
    double step_ms = 0;
    nn_graph_fuse(&candidate->graph, &fused);
    nn_graph_count_nodes(&fused.graph, counts);
    out->row_count = 0;
    for (int i = 1; i < fused.graph.node_count; i++) {
        const int node = fused.source[i];
        const double ms = batch_size * ((double)counts[i].train_flops / 1.2e8 +
                                        (double)counts[i].train_bytes / 8e6);
        out->row[out->row_count++] = (nn_profile_row){.node = node, .ms = 0.25 * ms};
        out->row[out->row_count++] = (nn_profile_row){.node = node, .ms = 0.75 * ms};
        step_ms += ms;
    }
    *update_ms = 20.0 * (double)candidate->counts.params / 2e7;
    return step_ms + *update_ms;
}

/// Samples of some networks at a small batch.
static size_t fake_samples(const search_space *space, budget_sample *out) {
    static nn_profile profile;
    static search__works works;
    const search__setting setting = {16, 1};
    size_t count = 0;
    for (uint64_t i = 0; i < 10; i++) {
        double update_ms = 0;
        search_candidate *candidate = random_candidate(space, i);
        fake_profile(candidate, setting.batch_size, &profile, &update_ms);
        search__step_works(&candidate->graph, &setting, &works);
        count += search__step_samples(&works, &profile, update_ms, out + count);
        free(candidate);
    }
    return count;
}

static void test_model_of_steps(void **state) {
    (void)state;
    static budget_sample samples[10 * NN_NODES_MAX];
    static nn_profile profile;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    budget_model *model = NULL;
    ns_error err = {0};
    assert_ok(budget_model_new(samples, fake_samples(&space, samples), &model, &err), &err);
    for (uint64_t i = 100; i < 140; i++) {
        search_candidate *candidate = random_candidate(&space, i);
        const search__setting setting = {candidate->recipe.batch_size, 1};
        double update_ms = 0;
        const double want = fake_profile(candidate, setting.batch_size, &profile, &update_ms);
        const double got = search__step_ms(model, &candidate->graph, &setting);
        if (fabs(got / want - 1) > 0.15) {
            fail_msg("network %d: got %.1f ms, want %.1f", (int)i, got, want);
        }
        free(candidate);
    }
    budget_model_free(model);
}

/// All of them once, whatever the space; the first say more than the last.
static void test_cover_orders_all(void **state) {
    (void)state;
    for (size_t i = 0; i < NS_COUNT_OF(IMAGE_CASES); i++) {
        const search_space space = test_space(IMAGE_CASES[i], 10);
        search__cover_net nets[SEARCH__COVER_MAX], again[SEARCH__COVER_MAX];
        bool seen[SEARCH__COVER_MAX] = {false};
        int count = 0;
        ns_error err = {0};
        assert_ok(search__cover(&space, &count, nets, &err), &err);
        assert_int_equal(count, SEARCH__COVER_MAX);
        for (int k = 0; k < count; k++) {
            assert_in_range(nets[k].batch_size, 1, 64);
            assert_in_range(nets[k].number, 0, SEARCH__COVER_MAX - 1);
            assert_false(seen[nets[k].number]);
            seen[nets[k].number] = true;
        }
        assert_ok(search__cover(&space, &count, again, &err), &err);
        assert_memory_equal(nets, again, sizeof nets);
    }
}

static void test_nothing_known(void **state) {
    (void)state;
    search__run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    const search_config config = search_config_default();
    run->config = &config;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    search_candidate *candidate = random_candidate(&space, 0);
    assert_float_equal(search__predict_step_ms(run, candidate, false), 0, 0);
    free(candidate);
    free(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_best_split),
        cmocka_unit_test(test_divide_shares_memory),
        cmocka_unit_test(test_model_of_steps),
        cmocka_unit_test(test_cover_orders_all),
        cmocka_unit_test(test_nothing_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
