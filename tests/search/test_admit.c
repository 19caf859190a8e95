// Admission: whatever is proposed comes out within the limits, the same way each time.

#include <math.h>
#include <stdlib.h>

#include "tests/search/search_test.h"

#include "search/search_internal.h"
#include "search/space.h"

typedef struct fixture {
    search_config config;
    data_info info;
    search__run run;
    search_candidate *candidate;
} fixture;

static const char *const LABELS[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

static fixture fixture_of(image_case image, search_goal goal) {
    fixture f = {.config = search_config_default()};
    f.config.goal = goal;
    f.config.budget_kind = BUDGET_TIME;
    f.info = (data_info){.channels = image.channels,
                         .height = image.height,
                         .width = image.width,
                         .label_count = 10,
                         .labels = LABELS,
                         .split_count = {image.train_count, 0, 0}};
    for (int c = 0; c < image.channels; c++) {
        f.info.deviation[c] = 1;
    }
    f.run.space = test_space(image, 10);
    f.candidate = calloc(1, sizeof *f.candidate);
    assert_non_null(f.candidate);
    return f;
}

/// The run points at its neighbours, so it is made where the fixture stays.
static const search__run *run_of(fixture *f) {
    f->run.config = &f->config;
    f->run.info = &f->info;
    return &f->run;
}

static const search_candidate *decoded(fixture *f, const search_genotype *genotype) {
    ns_error err = {0};
    if (search_decode(&f->run.space, genotype, f->candidate, &err) != NS_OK) {
        fail_msg("%s", err.text);
    }
    return f->candidate;
}

static void test_limits_are_kept(void **state) {
    (void)state;
    const search_goal goals[] = {
        {.params_max = 40000},
        {.mbytes_max = 0.1},
        {.params_max = 60000, .mbytes_max = 5, .target = SEARCH_TARGET_LATENCY},
    };
    for (size_t i = 0; i < 3 * NS_COUNT_OF(goals); i++) {
        const search_goal *goal = &goals[i % NS_COUNT_OF(goals)];
        fixture f = fixture_of(IMAGE_CASES[i / NS_COUNT_OF(goals)], *goal);
        ns_rng rng = ns_rng_stream(1, i, "admit test");
        for (uint64_t number = 1; number <= 10; number++) {
            ns_error err = {0};
            search_genotype genotype;
            search_genotype again;
            search_genotype_random(&f.run.space, &rng, &genotype);
            again = genotype;
            if (search__admit(run_of(&f), number, &genotype, &err) != NS_OK ||
                search__limits_ok(goal, decoded(&f, &genotype), &err) != NS_OK) {
                fail_msg("images %zu, limits %zu: %s", i / 3, i % 3, err.text);
            }
            assert_int_equal(search__admit(run_of(&f), number, &again, &err), NS_OK);
            assert_memory_equal(&genotype, &again, sizeof genotype);
        }
        free(f.candidate);
    }
}

static void test_lean_targets(void **state) {
    (void)state;
    const search_target targets[] = {SEARCH_TARGET_LATENCY, SEARCH_TARGET_SIZE,
                                     SEARCH_TARGET_ACCURACY};
    for (size_t i = 0; i < NS_COUNT_OF(targets); i++) {
        fixture f = fixture_of(IMAGE_CASES[0], (search_goal){.target = targets[i]});
        ns_rng rng = ns_rng_stream(2, i, "admit test");
        search_genotype anchor;
        search_genotype admitted;
        ns_error err = {0};
        search_genotype_anchor(&f.run.space, &anchor);
        const nn_counts whole = decoded(&f, &anchor)->counts;
        for (uint64_t number = 0; number <= 20; number++) {
            search_genotype drawn = anchor;
            if (number > 0) {
                search_genotype_random(&f.run.space, &rng, &drawn);
            }
            admitted = drawn;
            const ns_status status = number > 0 ? search__admit(run_of(&f), number, &admitted, &err)
                                                : search__anchor(run_of(&f), &admitted, &err);
            assert_int_equal(status, NS_OK);
            const nn_counts counts = decoded(&f, &admitted)->counts;
            if (targets[i] == SEARCH_TARGET_ACCURACY) {
                assert_memory_equal(&admitted, &drawn, sizeof drawn);
            } else if (targets[i] == SEARCH_TARGET_SIZE) {
                assert_true((double)counts.params <= 0.8 * (double)whole.params);
            } else {
                assert_true((double)counts.forward_flops <= 0.8 * (double)whole.forward_flops);
            }
        }
        free(f.candidate);
    }
}

/// Whatever the anchor is brought within, it is the anchor, narrower: nothing but widths has changed,
/// and of those the least that does.
static void test_anchor_is_narrowed(void **state) {
    (void)state;
    const struct {
        search_goal goal;
        double width[4]; // of the stem and the stages
    } cases[] = {
        {{.target = SEARCH_TARGET_ACCURACY}, {16, 32, 64, 64}},
        {{.target = SEARCH_TARGET_BALANCED}, {16, 32, 64, 64}},
        {{.target = SEARCH_TARGET_LATENCY}, {16, 32, 32, 32}},
        {{.target = SEARCH_TARGET_SIZE}, {16, 32, 64, 32}},
        {{.params_max = 65000}, {16, 32, 32, 32}},
        {{.params_max = 50000}, {16, 16, 32, 32}},
    };
    const char *const names[] = {"stem_width", "stage1_width", "stage2_width", "stage3_width"};
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        fixture f = fixture_of(IMAGE_CASES[0], cases[i].goal);
        search_genotype expected;
        search_genotype anchor;
        ns_error err = {0};
        search_genotype_anchor(&f.run.space, &expected);
        assert_int_equal(search__anchor(run_of(&f), &anchor, &err), NS_OK);
        for (size_t k = 0; k < NS_COUNT_OF(names); k++) {
            const int gene = search__gene_find(&f.run.space, names[k]);
            assert_float_equal(f.run.space.gene[gene].value[anchor.choice[gene]], cases[i].width[k],
                               0);
            expected.choice[gene] = anchor.choice[gene];
        }
        assert_memory_equal(&anchor, &expected, sizeof anchor);
        free(f.candidate);
    }
}

static void test_impossible_limits(void **state) {
    (void)state;
    fixture f = fixture_of(IMAGE_CASES[0], (search_goal){.params_max = 10});
    search_genotype anchor;
    ns_error err = {0};
    assert_int_equal(search__limits_check(run_of(&f), &err), NS_ERR_USAGE);
    assert_non_null(strstr(err.text, "the smallest found has"));
    assert_int_equal(search__anchor(run_of(&f), &anchor, &err), NS_ERR_LIMIT);
    f.config.goal = (search_goal){.latency_ms_max = 1e-6};
    assert_int_equal(search__limits_check(run_of(&f), &err), NS_OK);
    assert_int_equal(search__anchor(run_of(&f), &anchor, &err), NS_ERR_LIMIT);
    assert_non_null(strstr(err.text, "ms for an image, the limit is 1e-06 ms"));
    f.config.goal = (search_goal){.latency_ms_max = 1e6};
    assert_int_equal(search__anchor(run_of(&f), &anchor, &err), NS_OK);
    free(f.candidate);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_are_kept),
        cmocka_unit_test(test_lean_targets),
        cmocka_unit_test(test_anchor_is_narrowed),
        cmocka_unit_test(test_impossible_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
