// The gene "balance": there where labels are unbalanced, and nowhere else.

#include <stdlib.h>
#include <string.h>

#include "search/space.h"
#include "tests/search/search_test.h"

static data_info info_of(double imbalance) {
    return (data_info){.channels = 1,
                       .height = 28,
                       .width = 28,
                       .label_count = 10,
                       .split_count = {48000, 12000, 10000},
                       .train_imbalance = imbalance};
}

static void test_balanced_sets_have_no_such_gene(void **state) {
    (void)state;
    static const double few[] = {0, 1, 2.9};
    for (size_t i = 0; i < NS_COUNT_OF(few); i++) {
        const data_info info = info_of(few[i]);
        search_space space;
        search_space_default(&info, &space);
        assert_int_equal(search__gene_find(&space, "balance"), -1);
    }
}

/// Off is the first choice and the anchor's; all else of the space is as it is without the gene.
static void test_unbalanced_sets_have_it(void **state) {
    (void)state;
    const data_info info = info_of(3);
    const data_info balanced = info_of(1);
    search_space space;
    search_space plain;
    search_space_default(&info, &space);
    search_space_default(&balanced, &plain);
    const int gene = search__gene_find(&space, "balance");
    assert_int_equal(gene, space.gene_count - 1);
    assert_int_equal(plain.gene_count, gene);
    assert_int_equal(space.anchor.choice[gene], 0);
    assert_string_equal(space.gene[gene].text[0], "none");
    assert_memory_equal(&space.anchor, &plain.anchor, sizeof plain.anchor);
}

static void test_it_is_decoded(void **state) {
    (void)state;
    static const nn_balance want[] = {NN_BALANCE_NONE, NN_BALANCE_ROOT, NN_BALANCE_EFFECTIVE,
                                      NN_BALANCE_SAMPLING};
    static search_candidate plain;
    static search_candidate candidate;
    const data_info info = info_of(50);
    search_space space;
    ns_error err = {0};
    search_space_default(&info, &space);
    const int gene = search__gene_find(&space, "balance");
    assert_int_equal(space.gene[gene].choice_count, NS_COUNT_OF(want));
    assert_ok(search_decode(&space, &space.anchor, &plain, &err), &err);
    assert_null(strstr(plain.recipe_text, "balance"));
    for (size_t i = 0; i < NS_COUNT_OF(want); i++) {
        search_genotype genotype = space.anchor;
        genotype.choice[gene] = (uint8_t)i;
        assert_ok(search_decode(&space, &genotype, &candidate, &err), &err);
        assert_int_equal(candidate.recipe.balance, want[i]);
        assert_string_equal(candidate.hash, plain.hash);
        assert_int_equal(strcmp(candidate.recipe_text, plain.recipe_text) == 0, i == 0);
    }
}

/// A study goes on in the space it was begun in, though its data have the gene by now.
static void test_older_studies_go_on_without_it(void **state) {
    (void)state;
    const data_info info = info_of(50);
    const data_info balanced = info_of(1);
    search_space older;
    search_space space;
    ns_json *json = NULL;
    ns_error err = {0};
    search_space_default(&balanced, &older);
    char *before = test_json_text(search_space_to_json(&older));
    assert_ok(ns_json_parse(before, &json, &err), &err);
    assert_ok(search__space_of_study(&info, json, &space, &err), &err);
    ns_json_free(json);
    char *after = test_json_text(search_space_to_json(&space));
    assert_string_equal(after, before);
    free(before);
    free(after);
}

/// And one that has it reads as it was printed, with another anchor too.
static void test_it_is_kept_with_the_space(void **state) {
    (void)state;
    const data_info info = info_of(50);
    search_space space;
    search_space again;
    ns_json *json = NULL;
    ns_error err = {0};
    search_space_default(&info, &space);
    space.anchor.choice[search__gene_find(&space, "balance")] = 2;
    char *before = test_json_text(search_space_to_json(&space));
    assert_ok(ns_json_parse(before, &json, &err), &err);
    assert_ok(search__space_of_study(&info, json, &again, &err), &err);
    ns_json_free(json);
    char *after = test_json_text(search_space_to_json(&again));
    assert_string_equal(after, before);
    free(before);
    free(after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_balanced_sets_have_no_such_gene),
        cmocka_unit_test(test_unbalanced_sets_have_it),
        cmocka_unit_test(test_it_is_decoded),
        cmocka_unit_test(test_older_studies_go_on_without_it),
        cmocka_unit_test(test_it_is_kept_with_the_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
