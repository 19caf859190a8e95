// Spaces as files: what they restrict and extend, what they are refused for, how many points they
// have; and that what is printed reads as the same space.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/search/search_test.h"

static const data_info INFO = {.channels = 1,
                               .height = 28,
                               .width = 28,
                               .label_count = 10,
                               .split_count = {48000, 12000, 10000}};

static ns_status read_space(const char *text, search_space *out, ns_error *err) {
    ns_json *json = NULL;
    assert_ok(ns_json_parse(text, &json, err), err);
    const ns_status status = search_space_from_json(&INFO, json, out, err);
    ns_json_free(json);
    return status;
}

static search_space space_of(const char *text) {
    ns_error err = {0};
    search_space space;
    assert_ok(read_space(text, &space, &err), &err);
    return space;
}

static void check_numbers(const search_space *space, const char *name, const double *want,
                          int count) {
    const search_gene *gene = &space->gene[test_gene(space, name)];
    assert_int_equal(gene->choice_count, count);
    for (int i = 0; i < count; i++) {
        assert_float_equal(gene->value[i], want[i], 1e-12);
        assert_null(gene->text[i]);
    }
}

static void test_an_empty_file_is_the_default(void **state) {
    (void)state;
    search_space plain;
    search_space_default(&INFO, &plain);
    const search_space space = space_of("{\"name\":\"default\"}");
    assert_int_equal(space.gene_count, plain.gene_count);
    assert_memory_equal(&space.anchor, &plain.anchor, sizeof plain.anchor);
    for (int i = 0; i < plain.gene_count; i++) {
        assert_int_equal(space.gene[i].choice_count, plain.gene[i].choice_count);
    }
}

static void test_lists_and_distributions(void **state) {
    (void)state;
    const search_space space =
        space_of("{\"name\":\"small\",\"base\":\"default\",\"genes\":{"
                 "\"stage1_width\":[80,16,32],"
                 "\"rate_at_256\":{\"low\":0.05,\"high\":1.6,\"log\":true,\"count\":6},"
                 "\"stage2_width\":{\"low\":16,\"high\":256,\"log\":true,\"count\":9},"
                 "\"cutout_percent\":{\"low\":0,\"high\":0.3,\"step\":0.1},"
                 "\"label_smoothing\":{\"low\":0,\"high\":0.2,\"count\":3},"
                 "\"weight_decay\":{\"values\":[0.01,0.02],\"log\":false},"
                 "\"stage2_block\":[\"plain\",\"residual\"]}}");
    assert_string_equal(space.name, "small");
    check_numbers(&space, "stage1_width", (const double[]){16, 32, 80}, 3);
    check_numbers(&space, "rate_at_256", (const double[]){0.05, 0.1, 0.2, 0.4, 0.8, 1.6}, 6);
    check_numbers(&space, "stage2_width", (const double[]){16, 32, 48, 64, 96, 128, 176, 256}, 8);
    check_numbers(&space, "cutout_percent", (const double[]){0, 0.1, 0.2, 0.3}, 4);
    check_numbers(&space, "label_smoothing", (const double[]){0, 0.1, 0.2}, 3);
    assert_int_equal(space.gene[test_gene(&space, "rate_at_256")].scale, SEARCH_SCALE_LOG);
    assert_int_equal(space.gene[test_gene(&space, "weight_decay")].scale, SEARCH_SCALE_LINEAR);
    assert_int_equal(space.gene[test_gene(&space, "stage2_block")].choice_count, 2);
}

static void check_chosen(const search_space *space, const char *name, double want) {
    search_genotype anchor;
    search_genotype_anchor(space, &anchor);
    const int gene = test_gene(space, name);
    assert_float_equal(space->gene[gene].value[anchor.choice[gene]], want, 0);
}

static void test_the_anchor_takes_what_is_near_or_named(void **state) {
    (void)state;
    const search_space space =
        space_of("{\"genes\":{\"stage1_width\":[16,48,128],\"stage2_width\":[96,128,256],"
                 "\"rate_at_256\":[0.1,1.2],\"stage1_block\":[\"inverted\"]},"
                 "\"anchor\":{\"stage2_width\":128}}");
    check_chosen(&space, "stage1_width", 48); // nearer to 32 than 16, by ratio
    check_chosen(&space, "stage2_width", 128);
    check_chosen(&space, "rate_at_256", 1.2);
    check_chosen(&space, "stem_width", 16);
}

static void test_what_is_printed_is_the_same_space(void **state) {
    (void)state;
    const search_space before = space_of("{\"name\":\"x\",\"genes\":{\"stage1_width\":[16,144],"
                                         "\"weight_decay\":{\"values\":[0,0.01],\"log\":false}},"
                                         "\"anchor\":{\"stage1_width\":144}}");
    ns_error err = {0};
    char *text = NULL;
    ns_json *json = search_space_to_json(&before);
    assert_ok(ns_json_print(json, false, &text, &err), &err);
    ns_json_free(json);
    const search_space after = space_of(text);
    free(text);
    assert_string_equal(after.name, before.name);
    assert_memory_equal(&after.anchor, &before.anchor, sizeof before.anchor);
    for (int i = 0; i < before.gene_count; i++) {
        const search_gene *gene = &before.gene[i];
        assert_int_equal(after.gene[i].choice_count, gene->choice_count);
        assert_int_equal(after.gene[i].scale, gene->scale);
        for (int c = 0; c < gene->choice_count; c++) {
            assert_float_equal(after.gene[i].value[c], gene->value[c], 0);
            assert_ptr_equal(after.gene[i].text[c], gene->text[c]);
        }
    }
}

#define GENE(spec) "{\"genes\":{" spec "}}"

static void test_refusals_name_the_place_and_the_reason(void **state) {
    (void)state;
    static const char *const CASES[][2] = {
        {"[]", "not a JSON object with \"genes\""},
        {"{\"gene\":{}}", "unknown key \"gene\""},
        {"{\"name\":\"a\",\"name\":\"b\"}", "key \"name\" is given twice"},
        {"{\"name\":5}", "\"name\" must be a text of 1 to 31 bytes"},
        {"{\"base\":\"darts\"}", "\"base\" must be \"default\""},
        {"{\"genes\":[]}", "genes: not a JSON object of genes"},
        {GENE("\"stage4_width\":[16]"), "genes: unknown gene \"stage4_width\""},
        {GENE("\"mirror\":[0],\"mirror\":[1]"), "genes: gene \"mirror\" is given twice"},
        {GENE("\"stage1_width\":[]"), "genes: stage1_width has no choice"},
        {GENE("\"stage1_width\":16"),
         "genes: stage1_width needs a list of values, or a distribution"},
        {GENE("\"stage1_width\":[16,40]"),
         "genes: stage1_width cannot be 40: 16 to 2048 in steps of 16 is legal"},
        {GENE("\"stage1_kernel\":[4]"),
         "genes: stage1_kernel cannot be 4: 1 to 7 in steps of 2 is legal"},
        {GENE("\"stage1_block\":[\"dense\"]"),
         "genes: stage1_block cannot be \"dense\": one of: plain, residual, inverted is legal"},
        {GENE("\"stage1_block\":[1]"),
         "genes: stage1_block cannot be 1: one of: plain, residual, inverted is legal"},
        {GENE("\"mirror\":[true]"), "genes: mirror cannot be true: 0 to 1 in steps of 1 is legal"},
        {GENE("\"mirror\":[1,1]"), "genes: mirror has a choice twice"},
        {GENE("\"average\":[\"ema\",\"ema\"]"), "genes: average has a choice twice"},
        {GENE("\"shift_percent\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"),
         "genes: shift_percent has more than 16 choices"},
        {GENE("\"stage1_width\":{}"),
         "genes: stage1_width needs \"values\", or \"low\" below \"high\""},
        {GENE("\"stage1_width\":{\"low\":64,\"high\":32,\"count\":2}"),
         "genes: stage1_width needs \"values\", or \"low\" below \"high\""},
        {GENE("\"stage1_width\":{\"low\":8,\"high\":32,\"count\":2}"),
         "genes: stage1_width cannot be 8: 16 to 2048 in steps of 16 is legal"},
        {GENE("\"stage1_width\":{\"low\":16,\"high\":32}"),
         "genes: stage1_width needs \"count\" or \"step\", not both"},
        {GENE("\"stage1_width\":{\"low\":16,\"high\":32,\"step\":16,\"log\":true}"),
         "genes: stage1_width needs \"count\" with \"log\""},
        {GENE("\"weight_decay\":{\"low\":0,\"high\":1,\"count\":3,\"log\":true}"),
         "genes: weight_decay needs \"low\" above 0 with \"log\""},
        {GENE("\"weight_decay\":{\"low\":0,\"high\":1,\"count\":17}"),
         "genes: weight_decay needs 2 to 16 choices"},
        {GENE("\"weight_decay\":{\"low\":0,\"high\":1,\"step\":0}"),
         "genes: weight_decay needs 2 to 16 choices"},
        {GENE("\"weight_decay\":{\"low\":0,\"high\":1,\"step\":-1}"),
         "genes: weight_decay needs 2 to 16 choices"},
        {GENE("\"weight_decay\":{\"min\":0}"), "genes: weight_decay: unknown key \"min\""},
        {GENE("\"weight_decay\":{\"values\":[1],\"low\":0}"),
         "genes: weight_decay: unknown key \"low\""},
        {GENE("\"weight_decay\":{\"values\":1}"),
         "genes: weight_decay: a list of values is needed"},
        {GENE("\"average\":{\"low\":0,\"high\":1,\"count\":2}"),
         "genes: average: a list of values is needed"},
        {GENE("\"average\":{\"values\":[\"ema\"],\"log\":true}"),
         "genes: average: \"log\" is true or false, of numbers"},
        {GENE("\"weight_decay\":{\"values\":[1],\"log\":1}"),
         "genes: weight_decay: \"log\" is true or false, of numbers"},
        {"{\"anchor\":{\"stage1_width\":80}}",
         "anchor: stage1_width is none of the gene's choices"},
        {"{\"anchor\":{\"stage9_width\":80}}", "anchor: unknown gene \"stage9_width\""},
        {"{\"anchor\":7}", "anchor: not a JSON object of genes"},
    };
    for (size_t i = 0; i < NS_COUNT_OF(CASES); i++) {
        search_space space;
        ns_error err = {0};
        assert_status(read_space(CASES[i][0], &space, &err), NS_ERR_INPUT);
        assert_string_equal(err.text, CASES[i][1]);
    }
}

static void test_a_file_is_named(void **state) {
    (void)state;
    search_space space;
    ns_error err = {0};
    assert_status(search_space_load("/nowhere/x.json", &INFO, &space, &err), NS_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nowhere/x.json"));
}

static void test_no_file_is_the_default(void **state) {
    (void)state;
    search_space space, plain;
    ns_error err = {0};
    char *text[2] = {NULL};
    search_space_default(&INFO, &plain);
    assert_ok(search_space_load(NULL, &INFO, &space, &err), &err);
    for (int i = 0; i < 2; i++) {
        ns_json *json = search_space_to_json(i == 0 ? &plain : &space);
        assert_ok(ns_json_print(json, false, &text[i], &err), &err);
        ns_json_free(json);
    }
    assert_string_equal(text[0], text[1]);
    free(text[0]);
    free(text[1]);
}

/* ---- points ---------------------------------------------------------------------------------- */

/// Everything fixed but what follows.
#define FIXED                                                                                      \
    "\"stem_width\":[16],\"stage1_depth\":[1],\"stage2_depth\":[1],\"stage3_depth\":[1],"          \
    "\"stage1_width\":[16],\"stage2_width\":[16],\"stage3_width\":[16],\"stage1_kernel\":[3],"     \
    "\"stage2_kernel\":[3],\"stage3_kernel\":[3],\"stage2_block\":[\"plain\"],"                    \
    "\"stage3_block\":[\"plain\"],\"activation\":[\"relu\"],\"rate_at_256\":[0.4],"                \
    "\"weight_decay\":[0],\"label_smoothing\":[0],\"batch_size\":[128],"                           \
    "\"warmup_fraction\":[0.1],\"mirror\":[0],\"cutout_percent\":[0],\"erase_probability\":[0],"   \
    "\"rotation_degrees\":[0],\"zoom_percent\":[0],\"shear_degrees\":[0],\"mixup_alpha\":[0],"     \
    "\"average\":[\"none\"],\"head_pool\":[\"max\"],\"stage3_pool\":[\"none\",\"max\"],"           \
    "\"stage1_pool\":[\"max\"],\"stage2_pool\":[\"max\"],\"stem\":[\"ordinary\"],"

static int count_by_hand(const search_space *space) {
    search_genotype genotype = {0};
    int count = 1;
    while (search_genotype_next(space, &genotype)) {
        count++;
    }
    return count;
}

static void test_points_are_counted_once(void **state) {
    (void)state;
    // Stage 1: plain 1, residual 2 (with and without squeeze-excite), inverted 2 x 2. A shift of
    // 4 or 5 % is a pixel both.
    const search_space space =
        space_of(GENE(FIXED "\"stage1_expansion\":[2,4],\"shift_percent\":[0,4,5]"));
    assert_float_equal(search_space_point_count(&space), 7.0 * 2 * 2, 0);
    assert_int_equal(count_by_hand(&space), 28);
}

static void test_points_are_different_networks(void **state) {
    (void)state;
    enum { COUNT = 28 };
    static char keys[COUNT][NS_SHA256_HEX_MAX + SEARCH_RECIPE_TEXT_MAX];
    static search_candidate candidate;
    const search_space space =
        space_of(GENE(FIXED "\"stage1_expansion\":[2,4],\"shift_percent\":[0,4,5]"));
    search_genotype genotype = {0};
    for (int i = 0; i < COUNT; i++) {
        ns_error err = {0};
        assert_ok(search_decode(&space, &genotype, &candidate, &err), &err);
        (void)snprintf(keys[i], sizeof keys[i], "%s%s", candidate.hash, candidate.recipe_text);
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(keys[i], keys[k]);
        }
        assert_int_equal(search_genotype_next(&space, &genotype), i < COUNT - 1);
    }
}

static void test_the_default_space_is_large(void **state) {
    (void)state;
    for (size_t i = 0; i < NS_COUNT_OF(IMAGE_CASES); i++) {
        const search_space space = test_space(IMAGE_CASES[i], 10);
        const double count = search_space_point_count(&space);
        assert_true(count > 1e12 && isfinite(count));
    }
}

static void test_a_space_without_stages_is_a_product(void **state) {
    (void)state;
    const search_space space = {
        .gene_count = 2,
        .gene = {{.name = "a", .choice_count = 3}, {.name = "stem", .choice_count = 4}}};
    assert_float_equal(search_space_point_count(&space), 12, 0);
    assert_int_equal(count_by_hand(&space), 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_file_is_the_default),
        cmocka_unit_test(test_lists_and_distributions),
        cmocka_unit_test(test_the_anchor_takes_what_is_near_or_named),
        cmocka_unit_test(test_what_is_printed_is_the_same_space),
        cmocka_unit_test(test_refusals_name_the_place_and_the_reason),
        cmocka_unit_test(test_no_file_is_the_default),
        cmocka_unit_test(test_a_file_is_named),
        cmocka_unit_test(test_points_are_counted_once),
        cmocka_unit_test(test_points_are_different_networks),
        cmocka_unit_test(test_the_default_space_is_large),
        cmocka_unit_test(test_a_space_without_stages_is_a_product),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
