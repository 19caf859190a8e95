// Spaces and genotypes: ranges, drawing, mutation, canonical form, JSON there and back.

#include <string.h>

#include "tests/search/search_test.h"

#define DRAW_COUNT 300

/// Words or numbers, not both; none twice; numbers ascending.
static void check_choices(const search_gene *gene) {
    for (int c = 1; c < gene->choice_count; c++) {
        const char *text = gene->text[c];
        assert_int_equal(text != NULL, gene->text[c - 1] != NULL);
        for (int d = 0; d < c; d++) {
            if (text != NULL && gene->text[d] != NULL) {
                assert_string_not_equal(text, gene->text[d]);
            } else {
                assert_true(gene->value[c] > gene->value[d]);
            }
        }
    }
}

static void test_genes_are_well_formed(void **state) {
    (void)state;
    for (size_t i = 0; i < NS_COUNT_OF(IMAGE_CASES); i++) {
        const search_space space = test_space(IMAGE_CASES[i], 10);
        for (int g = 0; g < space.gene_count; g++) {
            const search_gene *gene = &space.gene[g];
            assert_in_range(gene->choice_count, 2, SEARCH_CHOICES_MAX);
            assert_int_equal(test_gene(&space, gene->name), g); // no name twice
            check_choices(gene);
        }
    }
}

static void test_positions_follow_the_scale(void **state) {
    (void)state;
    static const struct {
        search_gene gene;
        double position[3];
    } CASES[] = {
        {{.choice_count = 3, .scale = SEARCH_SCALE_NONE, .value = {1, 2, 4}}, {0, 0, 0}},
        {{.choice_count = 3, .scale = SEARCH_SCALE_LINEAR, .value = {1, 2, 5}}, {0, 0.25, 1}},
        {{.choice_count = 3, .scale = SEARCH_SCALE_LOG, .value = {1, 2, 4}}, {0, 0.5, 1}},
        {{.choice_count = 3, .scale = SEARCH_SCALE_LOG, .value = {0, 2, 4}}, {0, 0.5, 1}},
        {{.choice_count = 2, .scale = SEARCH_SCALE_LOG, .value = {0, 2}}, {0, 1, 0}},
        {{.choice_count = 1, .scale = SEARCH_SCALE_LOG, .value = {0}}, {0, 0, 0}},
        {{.choice_count = 1, .scale = SEARCH_SCALE_LINEAR, .value = {3}}, {0, 0, 0}},
    };
    for (size_t i = 0; i < NS_COUNT_OF(CASES); i++) {
        for (int c = 0; c < CASES[i].gene.choice_count; c++) {
            assert_float_equal(search_gene_position(&CASES[i].gene, c), CASES[i].position[c], 1e-9);
        }
    }
}

static void test_stage_count_follows_the_longer_side(void **state) {
    (void)state;
    search_space space = test_space((image_case){3, 80, 20, 100}, 2);
    const int gene_count = space.gene_count;
    space = test_space((image_case){3, 20, 81, 100}, 2);
    assert_int_equal(space.gene_count, gene_count + 7);
    (void)test_gene(&space, "stage4_width");
}

static void test_random_reaches_every_choice(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    bool seen[SEARCH_GENES_MAX][SEARCH_CHOICES_MAX] = {{false}};
    ns_rng rng = ns_rng_stream(1, 0, "space test");
    for (int i = 0; i < DRAW_COUNT; i++) {
        search_genotype genotype;
        search_genotype_random(&space, &rng, &genotype);
        for (int g = 0; g < SEARCH_GENES_MAX; g++) {
            seen[g][genotype.choice[g]] = true;
        }
    }
    for (int g = 0; g < space.gene_count; g++) {
        for (int c = 0; c < space.gene[g].choice_count; c++) {
            if (!seen[g][c]) {
                fail_msg("choice %d of %s was never drawn", c, space.gene[g].name);
            }
        }
    }
}

/// A genotype that need not be canonical.
static search_genotype draw_raw(const search_space *space, ns_rng *rng) {
    search_genotype genotype = {0};
    for (int g = 0; g < space->gene_count; g++) {
        genotype.choice[g] = (uint8_t)ns_rng_below(rng, (uint64_t)space->gene[g].choice_count);
    }
    return genotype;
}

static void test_canonical_form_is_stable(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(2, 0, "space test");
    for (size_t i = 0; i < NS_COUNT_OF(IMAGE_CASES); i++) {
        const search_space space = test_space(IMAGE_CASES[i], 10);
        for (int draw = 0; draw < DRAW_COUNT; draw++) {
            search_genotype once = draw_raw(&space, &rng);
            once.choice[SEARCH_GENES_MAX - 1] = 7; // rubbish beyond the last gene
            search_genotype_canonicalise(&space, &once);
            search_genotype twice = once;
            search_genotype_canonicalise(&space, &twice);
            assert_memory_equal(&once, &twice, sizeof once);
            assert_int_equal(once.choice[SEARCH_GENES_MAX - 1], 0);
        }
    }
}

static void test_canonical_form_folds_equal_effects(void **state) {
    (void)state;
    const search_space space = test_space((image_case){1, 1, 1, 40}, 2);
    search_genotype genotype = {0};
    genotype.choice[test_gene(&space, "stem")] = 1; // the image is smaller than a filter
    genotype.choice[test_gene(&space, "stage1_expansion")] = 1; // of a plain stage
    genotype.choice[test_gene(&space, "stage1_squeeze_excite")] = 1;
    genotype.choice[test_gene(&space, "stage2_pool")] = 1;
    genotype.choice[test_gene(&space, "stage3_pool")] = 2;
    genotype.choice[test_gene(&space, "head_pool")] = 1;
    genotype.choice[test_gene(&space, "shift_percent")] = 4;
    genotype.choice[test_gene(&space, "batch_size")] = 3;
    search_genotype_canonicalise(&space, &genotype);
    search_genotype want = {0};
    want.choice[test_gene(&space, "batch_size")] = 1; // 64, 128 and 256 are all 40 images
    assert_memory_equal(&genotype, &want, sizeof want);
}

static void test_mutation_changes_one_active_gene(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(3, 0, "space test");
    const search_space space = test_space(IMAGE_CASES[0], 10);
    for (int draw = 0; draw < DRAW_COUNT; draw++) {
        search_genotype parent;
        search_genotype_random(&space, &rng, &parent);
        search_genotype child = parent;
        search_genotype_mutate(&space, &rng, &child);
        assert_in_range(test_distance(&parent, &child), 1, TEST_CHILD_DISTANCE_MAX);
    }
}

static void test_mutation_never_stands_still(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(4, 0, "space test");
    for (size_t i = 0; i < NS_COUNT_OF(IMAGE_CASES); i++) {
        const search_space space = test_space(IMAGE_CASES[i], 10);
        search_genotype parent;
        search_genotype_random(&space, &rng, &parent);
        for (int draw = 0; draw < DRAW_COUNT; draw++) {
            search_genotype child = parent;
            search_genotype_mutate(&space, &rng, &child);
            search_genotype canonical = child;
            search_genotype_canonicalise(&space, &canonical);
            assert_memory_equal(&child, &canonical, sizeof child);
            assert_true(test_distance(&parent, &child) > 0);
            parent = child;
        }
    }
}

static void test_mutation_of_a_space_without_choice_ends(void **state) {
    (void)state;
    const search_space space = {.gene_count = 1,
                                .gene = {{.name = "only", .choice_count = 1, .value = {3}}},
                                .image = {1, 8, 8}};
    ns_rng rng = ns_rng_stream(5, 0, "space test");
    search_genotype genotype = {0};
    search_genotype_mutate(&space, &rng, &genotype);
    assert_int_equal(genotype.choice[0], 0);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/// `genotype` as text.
static char *print(const search_space *space, const search_genotype *genotype) {
    ns_error err = {0};
    ns_json *json = search_genotype_to_json(space, genotype);
    char *text = NULL;
    assert_ok(ns_json_print(json, false, &text, &err), &err);
    ns_json_free(json);
    return text;
}

static ns_status parse(const search_space *space, const char *text, search_genotype *out,
                       ns_error *err) {
    ns_json *json = NULL;
    assert_ok(ns_json_parse(text, &json, err), err);
    const ns_status status = search_genotype_from_json(space, json, out, err);
    ns_json_free(json);
    return status;
}

static void test_json_round_trip(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(6, 0, "space test");
    for (size_t i = 0; i < NS_COUNT_OF(IMAGE_CASES); i++) {
        const search_space space = test_space(IMAGE_CASES[i], 10);
        for (int draw = 0; draw < 20; draw++) {
            ns_error err = {0};
            const search_genotype genotype = draw_raw(&space, &rng);
            char *text = print(&space, &genotype);
            search_genotype back;
            assert_ok(parse(&space, text, &back, &err), &err);
            assert_memory_equal(&genotype, &back, sizeof back);
            free(text);
        }
    }
}

/// Parses the anchor with `from` replaced by `to`, and expects a refusal that says `because`.
static void check_refused(const char *from, const char *to, const char *because) {
    const search_space space = test_space(IMAGE_CASES[0], 10);
    search_genotype genotype;
    search_genotype_anchor(&space, &genotype);
    char *text = print(&space, &genotype);
    const char *at = strstr(text, from);
    assert_non_null(at);
    char changed[4096];
    (void)snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to,
                   at + strlen(from));
    free(text);
    ns_error err = {0};
    const search_genotype before = genotype;
    assert_status(parse(&space, changed, &genotype, &err), NS_ERR_INPUT);
    if (strstr(err.text, because) == NULL) {
        fail_msg("got \"%s\", want \"...%s...\"", err.text, because);
    }
    assert_memory_equal(&genotype, &before, sizeof before); // untouched
}

static void test_json_refusals_name_the_gene(void **state) {
    (void)state;
    check_refused("\"stem_width\":16,", "", "gene \"stem_width\" is missing");
    check_refused("\"stem_width\":16", "\"stem_width\":17",
                  "gene \"stem_width\" must be one of: 8, 16, 24, 32, 48, 64");
    check_refused("\"stem_width\":16", "\"stem_width\":\"16\"", "\"stem_width\" must be one of");
    check_refused("\"stem_width\":16", "\"stem_width\":null", "\"stem_width\" must be one of");
    check_refused("\"head_pool\":\"max\"", "\"head_pool\":\"min\"",
                  "gene \"head_pool\" must be one of: max, average");
    check_refused("\"head_pool\":\"max\"", "\"head_pool\":0", "\"head_pool\" must be one of");
    check_refused("\"head_pool\":", "\"tail_pool\":", "unknown gene \"tail_pool\"");
    check_refused("\"head_pool\":", "\"mirror\":1,\"head_pool\":", "\"mirror\" is given twice");
}

/// What `text` comes to as a person's genotype.
static ns_status parse_hand(search_space *space, const char *text, search_genotype *out,
                            ns_error *err) {
    ns_json *json = NULL;
    assert_ok(ns_json_parse(text, &json, err), err);
    const ns_status status = search_genotype_from_hand(space, json, out, err);
    ns_json_free(json);
    return status;
}

static void test_hand_written_genotypes_begin_at_the_anchor(void **state) {
    (void)state;
    search_space space = test_space(IMAGE_CASES[0], 10);
    search_genotype anchor;
    search_genotype genotype;
    ns_error err = {0};
    search_genotype_anchor(&space, &anchor);
    assert_ok(parse_hand(&space, "{}", &genotype, &err), &err);
    assert_memory_equal(&genotype, &anchor, sizeof anchor);

    assert_ok(parse_hand(&space,
                         "{\"stage1_width\":144,\"stage2_pool\":\"average\","
                         "\"stem_width\":32}",
                         &genotype, &err),
              &err);
    const int width = test_gene(&space, "stage1_width");
    const int pool = test_gene(&space, "stage2_pool");
    const int stem = test_gene(&space, "stem_width");
    assert_float_equal(space.gene[width].value[genotype.choice[width]], 144, 0);
    assert_string_equal(space.gene[pool].text[genotype.choice[pool]], "average");
    assert_float_equal(space.gene[stem].value[genotype.choice[stem]], 32, 0);
    anchor.choice[width] = genotype.choice[width];
    anchor.choice[pool] = genotype.choice[pool];
    anchor.choice[stem] = genotype.choice[stem];
    assert_memory_equal(&genotype, &anchor, sizeof anchor);
}

static void test_hand_written_refusals_say_what_is_legal(void **state) {
    (void)state;
    static const char *const CASES[][2] = {
        {"{\"stage1_width\":40}",
         "genotype: gene \"stage1_width\" must be 16 to 2048 in steps of 16"},
        {"{\"stage1_kernel\":4}", "genotype: gene \"stage1_kernel\" must be 1 to 7 in steps of 2"},
        {"{\"mixup_alpha\":-1}", "genotype: gene \"mixup_alpha\" must be 0 to 10"},
        {"{\"head_pool\":\"min\"}", "genotype: gene \"head_pool\" must be one of: max, average"},
        {"{\"stage4_width\":64}", "genotype: unknown gene \"stage4_width\""},
        {"[]", "genotype: not a JSON object of genes"},
    };
    for (size_t i = 0; i < NS_COUNT_OF(CASES); i++) {
        search_space space = test_space(IMAGE_CASES[0], 10);
        search_genotype genotype;
        ns_error err = {0};
        assert_status(parse_hand(&space, CASES[i][0], &genotype, &err), NS_ERR_INPUT);
        assert_string_equal(err.text, CASES[i][1]);
    }
}

static void test_json_of_another_kind_is_refused(void **state) {
    (void)state;
    static const char *const TEXTS[] = {"[]", "[1,2]", "5", "null", "\"anchor\"", "{}"};
    const search_space space = test_space(IMAGE_CASES[0], 10);
    for (size_t i = 0; i < NS_COUNT_OF(TEXTS); i++) {
        ns_error err = {0};
        search_genotype genotype;
        assert_status(parse(&space, TEXTS[i], &genotype, &err), NS_ERR_INPUT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_genes_are_well_formed),
        cmocka_unit_test(test_positions_follow_the_scale),
        cmocka_unit_test(test_stage_count_follows_the_longer_side),
        cmocka_unit_test(test_random_reaches_every_choice),
        cmocka_unit_test(test_canonical_form_is_stable),
        cmocka_unit_test(test_canonical_form_folds_equal_effects),
        cmocka_unit_test(test_mutation_changes_one_active_gene),
        cmocka_unit_test(test_mutation_never_stands_still),
        cmocka_unit_test(test_mutation_of_a_space_without_choice_ends),
        cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_json_refusals_name_the_gene),
        cmocka_unit_test(test_hand_written_genotypes_begin_at_the_anchor),
        cmocka_unit_test(test_hand_written_refusals_say_what_is_legal),
        cmocka_unit_test(test_json_of_another_kind_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
