// Samplers: found by name, pure, obedient to their own rules; and on NAS-Bench-Macro, where all
// 6,561 networks of a space are trained already, each has to earn its place over random.

#include <math.h>
#include <string.h>

#include "tests/search/search_test.h"

#define HISTORY_MAX 256

static const char *const NAMES[] = {"random", "evolution", "tpe", "reinforce", "surrogate"};
static const char *const LEARNERS[] = {"evolution", "tpe", "reinforce", "surrogate"};

static const search_sampler *sampler(const char *name) {
    const search_sampler *found = search_sampler_find(name);
    assert_non_null(found);
    return found;
}

static void test_table(void **state) {
    (void)state;
    size_t count = 0;
    for (; search_sampler_at(count) != NULL; count++) {
        const search_sampler *at = search_sampler_at(count);
        assert_ptr_equal(search_sampler_find(at->name), at);
        assert_true(strlen(at->summary) > 0);
    }
    assert_int_equal(count, NS_COUNT_OF(NAMES));
    assert_null(search_sampler_find(""));
    for (size_t i = 0; i < NS_COUNT_OF(NAMES); i++) {
        assert_non_null(search_sampler_find(NAMES[i]));
    }
    assert_non_null(search_sampler_find(search_config_default().sampler));
}

/* ---- a history to propose from --------------------------------------------------------------- */

typedef struct trial_list {
    search_observation trial[HISTORY_MAX];
    size_t count;
} trial_list;

static void add_trial(trial_list *past, const search_genotype *genotype, results_trial_state state,
                      double val_accuracy) {
    assert_true(past->count < HISTORY_MAX);
    past->trial[past->count++] =
        (search_observation){.genotype = *genotype, .state = state, .val_accuracy = val_accuracy};
}

static void add_random_trials(trial_list *past, const search_space *space, size_t count,
                              results_trial_state state, double val_accuracy) {
    ns_rng rng = ns_rng_stream(99, past->count, "samplers test");
    for (size_t i = 0; i < count; i++) {
        search_genotype genotype;
        search_genotype_random(space, &rng, &genotype);
        add_trial(past, &genotype, state, val_accuracy);
    }
}

static double train_flops(const void *space, const search_genotype *genotype) {
    static search_candidate candidate;
    return search_decode(space, genotype, &candidate, NULL) == NS_OK
               ? (double)candidate.counts.train_flops
               : (double)NAN;
}

/// The first draws may cost twice as much as the anchor.
static double cost_max(const search_space *space) {
    search_genotype anchor;
    search_genotype_anchor(space, &anchor);
    return 2 * train_flops(space, &anchor);
}

static search_genotype propose(const char *name, const search_space *space, const trial_list *past,
                               uint64_t seed, uint64_t number) {
    const search_history history = {.trial = past->trial, .count = past->count};
    const search_task task = {
        .space = space, .cost = train_flops, .context = space, .cost_max = cost_max(space)};
    search_genotype out;
    ns_error err = {0};
    memset(&out, 0xFF, sizeof out);
    assert_ok(sampler(name)->propose(&task, &history, seed, number, &out, &err), &err);
    return out;
}

static void test_pure_and_canonical(void **state) {
    (void)state;
    for (size_t i = 0; i < NS_COUNT_OF(IMAGE_CASES); i++) {
        const search_space space = test_space(IMAGE_CASES[i], 10);
        trial_list past = {.count = 0};
        for (int round = 0; round < 2; round++) {
            for (size_t s = 0; s < NS_COUNT_OF(NAMES); s++) {
                const search_genotype once = propose(NAMES[s], &space, &past, 7, 3);
                const search_genotype again = propose(NAMES[s], &space, &past, 7, 3);
                assert_memory_equal(&once, &again, sizeof once);
                search_genotype canonical = once;
                search_genotype_canonicalise(&space, &canonical);
                assert_memory_equal(&once, &canonical, sizeof once);
            }
            add_random_trials(&past, &space, 6, RESULTS_COMPLETE, 0.5);
        }
    }
}

static void test_seed_and_number_matter(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    const trial_list past = {.count = 0};
    const search_genotype base = propose("random", &space, &past, 7, 3);
    const search_genotype other_seed = propose("random", &space, &past, 8, 3);
    const search_genotype other_number = propose("random", &space, &past, 7, 4);
    assert_true(test_distance(&base, &other_seed) > 0);
    assert_true(test_distance(&base, &other_number) > 0);
}

/* ---- evolution's rules ----------------------------------------------------------------------- */

static void test_first_proposals_are_costly_but_not_too_costly(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    const trial_list past = {.count = 0};
    for (size_t i = 0; i < NS_COUNT_OF(LEARNERS); i++) {
        double sum = 0;
        for (uint64_t number = 0; number < 40; number++) {
            const search_genotype first = propose(LEARNERS[i], &space, &past, 1, number);
            const double flops = train_flops(&space, &first);
            assert_true(flops <= cost_max(&space));
            sum += flops;
        }
        assert_true(sum / 40 > cost_max(&space) / 2);
    }
}

static void test_children_of_the_best(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    trial_list past = {.count = 0};
    add_random_trials(&past, &space, 3, RESULTS_COMPLETE, 0.5);
    add_random_trials(&past, &space, 1, RESULTS_COMPLETE, 0.9);
    int children_of_best = 0;
    for (uint64_t number = 0; number < 200; number++) {
        const search_genotype child = propose("evolution", &space, &past, 1, number);
        int parent_distance = SEARCH_GENES_MAX;
        for (size_t i = 0; i < past.count; i++) {
            const int distance = test_distance(&past.trial[i].genotype, &child);
            parent_distance = distance < parent_distance ? distance : parent_distance;
        }
        assert_in_range(parent_distance, 1, TEST_CHILD_DISTANCE_MAX);
        const int best_distance = test_distance(&past.trial[3].genotype, &child);
        children_of_best += best_distance <= TEST_CHILD_DISTANCE_MAX ? 1 : 0;
    }
    // The best of four wins a tournament of three with probability 1 - (3/4)^3 = 0.58.
    assert_in_range(children_of_best, 90, 140);
}

static void test_only_finished_trials_are_parents(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    trial_list past = {.count = 0};
    add_random_trials(&past, &space, 4, RESULTS_PRUNED, 0.2);
    const size_t parent_count = past.count;
    add_random_trials(&past, &space, 3, RESULTS_RUNNING, 0.9);
    add_random_trials(&past, &space, 3, RESULTS_WAITING, 0.9);
    add_random_trials(&past, &space, 3, RESULTS_FAIL, 0.9);
    add_random_trials(&past, &space, 3, RESULTS_COMPLETE, NAN);
    for (uint64_t number = 0; number < 100; number++) {
        const search_genotype child = propose("evolution", &space, &past, 1, number);
        bool has_parent = false;
        for (size_t i = 0; i < parent_count; i++) {
            has_parent |= test_distance(&past.trial[i].genotype, &child) <= TEST_CHILD_DISTANCE_MAX;
        }
        assert_true(has_parent);
    }
}

static void test_the_old_have_no_children(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    trial_list past = {.count = 0};
    add_random_trials(&past, &space, 1, RESULTS_COMPLETE, 0.99);
    add_random_trials(&past, &space, 10, RESULTS_COMPLETE, 0.5);
    for (uint64_t number = 0; number < 100; number++) {
        const search_genotype child = propose("evolution", &space, &past, 1, number);
        assert_true(test_distance(&past.trial[0].genotype, &child) > 1);
    }
}

static void test_no_repeats(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    for (size_t s = 0; s < NS_COUNT_OF(LEARNERS); s++) {
        trial_list past = {.count = 0};
        add_random_trials(&past, &space, 8, RESULTS_COMPLETE, 0.5);
        while (past.count < 60) {
            const search_genotype child = propose(LEARNERS[s], &space, &past, 1, past.count);
            for (size_t i = 0; i < past.count; i++) {
                assert_true(test_distance(&past.trial[i].genotype, &child) > 0);
            }
            add_trial(&past, &child, past.count % 2 == 0 ? RESULTS_COMPLETE : RESULTS_RUNNING,
                      past.count % 2 == 0 ? 0.5 : (double)NAN);
        }
    }
}

/// A refused point is in no history: asked again, a sampler must come to something else.
static void test_refusals_lead_elsewhere(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    trial_list past = {.count = 0};
    add_random_trials(&past, &space, 12, RESULTS_COMPLETE, 0.5);
    past.trial[3].val_accuracy = 0.9;
    for (size_t s = 0; s < NS_COUNT_OF(NAMES); s++) {
        search_genotype seen[64];
        size_t distinct = 0;
        for (uint64_t retry = 0; retry < NS_COUNT_OF(seen); retry++) {
            const uint64_t number = past.count + (retry << SEARCH_RETRY_SHIFT);
            seen[distinct] = propose(NAMES[s], &space, &past, 1, number);
            size_t at = 0;
            while (test_distance(&seen[at], &seen[distinct]) > 0) {
                at++;
            }
            distinct += at == distinct ? 1 : 0;
        }
        if (distinct < 32) {
            fail_msg("%s: %zu distinct points in 64 retries, wanted 32", NAMES[s], distinct);
        }
    }
}

/* ---- NAS-Bench-Macro ------------------------------------------------------------------------- */

#define MACRO_LAYERS      8
#define MACRO_CHOICES     3
#define MACRO_COUNT       6561 // 3^8
#define MACRO_SEEDS       16
#define MACRO_EVALUATIONS 60
#define MACRO_MARGIN      0.05 // percent of accuracy that learning must be ahead by

/// Accuracy of every network, by its key read as a number to base 3.
typedef struct macro_table {
    double first[MACRO_COUNT]; // of the first training: what a search sees
    double mean[MACRO_COUNT];  // of three trainings: what it is worth
} macro_table;

static search_space macro_space(void) {
    search_space space = {.gene_count = MACRO_LAYERS, .image = {3, 32, 32}, .label_count = 10};
    for (int layer = 0; layer < MACRO_LAYERS; layer++) {
        search_gene *gene = &space.gene[layer];
        (void)snprintf(gene->name, sizeof gene->name, "layer%d", layer);
        gene->choice_count = MACRO_CHOICES;
        for (int choice = 0; choice < MACRO_CHOICES; choice++) {
            gene->value[choice] = choice;
        }
    }
    return space;
}

static size_t macro_index(const search_genotype *genotype) {
    size_t index = 0;
    for (int layer = 0; layer < MACRO_LAYERS; layer++) {
        index = MACRO_CHOICES * index + genotype->choice[layer];
    }
    return index;
}

static void macro_load(macro_table *out) {
    char path[NS_PATH_MAX];
    test_data_path("nas-bench-macro/nas-bench-macro_cifar10.json", path, sizeof path);
    ns_error err = {0};
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    ns_json *json = NULL;
    assert_ok(ns_file_read(path, 16 << 20, &text, &size_bytes, &err), &err);
    assert_ok(ns_json_parse((const char *)text, &json, &err), &err);
    assert_int_equal(ns_json_count(json), MACRO_COUNT);
    for (size_t i = 0; i < MACRO_COUNT; i++) {
        const ns_json *entry = ns_json_at(json, i);
        const long index = strtol(ns_json_key_at(json, i), NULL, MACRO_CHOICES);
        assert_in_range(index, 0, MACRO_COUNT - 1);
        out->first[index] =
            ns_json_value_number(ns_json_at(ns_json_get(entry, "test_acc"), 0), NAN);
        out->mean[index] = ns_json_number(entry, "mean_acc", NAN);
    }
    ns_json_free(json);
    free(text);
}

/// What the network that `name` would choose after `evaluations` trials is worth.
static double macro_search(const macro_table *macro, const char *name, uint64_t seed,
                           int evaluations) {
    const search_space space = macro_space();
    static trial_list past;
    past.count = 0;
    size_t best = 0;
    for (int i = 0; i < evaluations; i++) {
        const search_genotype genotype = propose(name, &space, &past, seed, (uint64_t)i);
        const size_t index = macro_index(&genotype);
        add_trial(&past, &genotype, RESULTS_COMPLETE, macro->first[index]);
        best = i == 0 || macro->first[index] > macro->first[best] ? index : best;
    }
    return macro->mean[best];
}

static double macro_average(const macro_table *macro, const char *name, int evaluations) {
    double sum = 0;
    for (uint64_t seed = 0; seed < MACRO_SEEDS; seed++) {
        sum += macro_search(macro, name, seed, evaluations);
    }
    return sum / MACRO_SEEDS;
}

static void test_learning_beats_random(void **state) {
    (void)state;
    static macro_table macro;
    macro_load(&macro);
    const double random = macro_average(&macro, "random", MACRO_EVALUATIONS);
    for (size_t i = 0; i < NS_COUNT_OF(LEARNERS); i++) {
        const double learnt = macro_average(&macro, LEARNERS[i], MACRO_EVALUATIONS);
        print_message("%d trials: random %.3f %%, %s %.3f %%\n", MACRO_EVALUATIONS, random,
                      LEARNERS[i], learnt);
        if (!(learnt >= random + MACRO_MARGIN)) {
            fail_msg("%s %.3f, random %.3f, wanted %.2f more", LEARNERS[i], learnt, random,
                     MACRO_MARGIN);
        }
    }
}

/* ---- what an earlier study has found ---------------------------------------------------------- */

#define EARLIER_COUNT 60
#define OWN_COUNT     8

/// The share of genes that agree with a point that nobody knows.
static double worth(const search_space *space, const search_genotype *genotype) {
    ns_rng rng = ns_rng_stream(5, 0, "samplers test");
    search_genotype target;
    search_genotype_random(space, &rng, &target);
    return 1 - (double)test_distance(&target, genotype) / space->gene_count;
}

/// The mean worth of a study's first proposals, on data where accuracy is 0.8 + 0.1 * worth. The
/// earlier study had data where it was `base` + `scale` * worth.
static double first_worth(const char *name, const search_space *space, search_group group,
                          double base, double scale, uint64_t seed) {
    search_observation earlier[EARLIER_COUNT], own[OWN_COUNT];
    ns_rng rng = ns_rng_stream(seed, 1, "samplers test");
    for (size_t i = 0; i < EARLIER_COUNT; i++) {
        earlier[i] = (search_observation){.state = RESULTS_COMPLETE, .group = (int)group};
        search_genotype_random(space, &rng, &earlier[i].genotype);
        earlier[i].val_accuracy = base + scale * worth(space, &earlier[i].genotype);
    }
    const search_task task = {.space = space};
    double sum = 0;
    for (size_t i = 0; i < OWN_COUNT; i++) {
        const search_history history = {.trial = own,
                                        .count = i,
                                        .earlier = earlier,
                                        .earlier_count =
                                            group != SEARCH_GROUP_OWN ? EARLIER_COUNT : 0};
        ns_error err = {0};
        own[i] = (search_observation){.state = RESULTS_COMPLETE};
        assert_ok(sampler(name)->propose(&task, &history, seed, i, &own[i].genotype, &err), &err);
        const double value = worth(space, &own[i].genotype);
        own[i].val_accuracy = 0.8 + 0.1 * value;
        sum += value;
    }
    return sum / OWN_COUNT;
}

static void test_a_warm_start_helps(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    for (size_t s = 0; s < NS_COUNT_OF(LEARNERS); s++) {
        double cold = 0, same = 0, other = 0;
        for (uint64_t seed = 0; seed < 6; seed++) {
            cold += first_worth(LEARNERS[s], &space, SEARCH_GROUP_OWN, 0, 0, seed) / 6;
            same += first_worth(LEARNERS[s], &space, SEARCH_GROUP_SAME_DATA, 0.8, 0.1, seed) / 6;
            other += first_worth(LEARNERS[s], &space, SEARCH_GROUP_OTHER_DATA, 0.2, 0.5, seed) / 6;
        }
        print_message("%s: cold %.3f, warm %.3f, from other data %.3f\n", LEARNERS[s], cold, same,
                      other);
        if (same < cold + 0.05 || other < cold + 0.05) {
            fail_msg("%s gains nothing from an earlier study", LEARNERS[s]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_pure_and_canonical),
        cmocka_unit_test(test_seed_and_number_matter),
        cmocka_unit_test(test_first_proposals_are_costly_but_not_too_costly),
        cmocka_unit_test(test_children_of_the_best),
        cmocka_unit_test(test_only_finished_trials_are_parents),
        cmocka_unit_test(test_the_old_have_no_children),
        cmocka_unit_test(test_no_repeats),
        cmocka_unit_test(test_refusals_lead_elsewhere),
        cmocka_unit_test(test_a_warm_start_helps),
        cmocka_unit_test(test_learning_beats_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
