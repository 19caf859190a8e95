// The gene "input_percent": there where images are large enough, and what it makes of a network.

#include <stdlib.h>
#include <string.h>

#include "search/space.h"
#include "tests/search/search_test.h"

#define PERCENT_COUNT 3

static const image_case LARGE = {3, 64, 96, 5000};

static ns_json *json_of(const char *text) {
    ns_json *json = NULL;
    ns_error err = {0};
    assert_ok(ns_json_parse(text, &json, &err), &err);
    return json;
}

static data_info info_of(image_case image) {
    return (data_info){.channels = image.channels,
                       .height = image.height,
                       .width = image.width,
                       .label_count = 10,
                       .split_count = {image.train_count, 0, 0}};
}

static search_genotype genotype_at(const search_space *space, int choice) {
    search_genotype genotype = space->anchor;
    genotype.choice[test_gene(space, "input_percent")] = (uint8_t)choice;
    return genotype;
}

/// The shorter side decides.
static void test_small_images_have_no_such_gene(void **state) {
    (void)state;
    static const image_case SMALL[] = {
        {1, 28, 28, 100}, {3, 32, 32, 100}, {3, 40, 40, 100}, {3, 40, 500, 100}, {3, 500, 40, 100}};
    for (size_t i = 0; i < NS_COUNT_OF(SMALL); i++) {
        const search_space space = test_space(SMALL[i], 10);
        assert_int_equal(search__gene_find(&space, "input_percent"), -1);
        const nn_shape input = search__input_of(&space, &space.anchor);
        assert_int_equal(input.height, SMALL[i].height);
        assert_int_equal(input.width, SMALL[i].width);
    }
}

static void test_large_images_have_it(void **state) {
    (void)state;
    const search_space least = test_space((image_case){1, 41, 41, 100}, 2);
    const search_space space = test_space(LARGE, 10);
    const int gene = test_gene(&space, "input_percent");
    assert_int_equal(test_gene(&least, "input_percent"), gene);
    assert_int_equal(space.gene[gene].choice_count, PERCENT_COUNT);
    assert_false(space.gene[gene].recipe);
    assert_float_equal(space.gene[gene].value[space.anchor.choice[gene]], 100, 0);
}

static void test_networks_take_smaller_images(void **state) {
    (void)state;
    static const nn_shape want[PERCENT_COUNT] = {{3, 32, 48}, {3, 48, 72}, {3, 64, 96}};
    static const int cutout_px[PERCENT_COUNT] = {9, 14, 19}; // 29 % of the shorter side
    static search_candidate candidate[PERCENT_COUNT];
    const search_space space = test_space(LARGE, 10);
    ns_error err = {0};
    for (int i = 0; i < PERCENT_COUNT; i++) {
        const search_genotype genotype = genotype_at(&space, i);
        assert_ok(search_decode(&space, &genotype, &candidate[i], &err), &err);
        const nn_shape got = candidate[i].graph.node[0].shape;
        assert_int_equal(got.channels, want[i].channels);
        assert_int_equal(got.height, want[i].height);
        assert_int_equal(got.width, want[i].width);
        assert_int_equal(candidate[i].recipe.augment.cutout_px, cutout_px[i]);
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(candidate[i].hash, candidate[k].hash);
        }
    }
}

/// Half the sides of 56x56 images are 28x28 ones: the same network, to the hash, as their own anchor.
static void test_half_is_the_network_of_half_the_images(void **state) {
    (void)state;
    static search_candidate small, half;
    const search_space whole_space = test_space((image_case){1, 56, 56, 48000}, 10);
    const search_space half_space = test_space(IMAGE_CASES[0], 10);
    const search_genotype genotype = genotype_at(&whole_space, 0);
    ns_error err = {0};
    assert_ok(search_decode(&whole_space, &genotype, &half, &err), &err);
    assert_ok(search_decode(&half_space, &half_space.anchor, &small, &err), &err);
    assert_string_equal(half.hash, small.hash);
    assert_string_equal(half.recipe_text, small.recipe_text);
}

/// What is counted is what there is: one after the other, also where some of it comes to the same.
static void test_points_are_counted(void **state) {
    (void)state;
    static const char *const restricted =
        "{\"genes\":{\"input_percent\":[25,99,100],\"stem\":[\"ordinary\",\"whitening\"],"
        "\"shift_percent\":[0,4,7,11,14],\"cutout_percent\":[0,2,29],\"stem_width\":[16]";
    static const char *const others[] = {"activation",       "head_pool",       "rate_at_256",
                                         "weight_decay",     "label_smoothing", "batch_size",
                                         "warmup_fraction",  "mirror",          "erase_probability",
                                         "rotation_degrees", "zoom_percent",    "shear_degrees",
                                         "mixup_alpha",      "average"};
    const data_info info = info_of((image_case){1, 44, 44, 5000});
    search_space plain;
    search_space space;
    ns_error err = {0};
    search_space_default(&info, &plain);
    char text[4096];
    size_t used = (size_t)snprintf(text, sizeof text, "%s", restricted);
    for (int g = 0; g < plain.gene_count; g++) { // all others have one choice
        const search_gene *gene = &plain.gene[g];
        bool other = strncmp(gene->name, "stage", 5) == 0;
        for (size_t i = 0; i < NS_COUNT_OF(others); i++) {
            other = other || strcmp(gene->name, others[i]) == 0;
        }
        if (other && gene->text[0] != NULL) {
            used += (size_t)snprintf(text + used, sizeof text - used, ",\"%s\":[\"%s\"]",
                                     gene->name, gene->text[0]);
        } else if (other) {
            used += (size_t)snprintf(text + used, sizeof text - used, ",\"%s\":[%g]", gene->name,
                                     gene->value[0]);
        }
    }
    (void)snprintf(text + used, sizeof text - used, "}}");
    ns_json *json = json_of(text);
    assert_ok(search_space_from_json(&info, json, &space, &err), &err);
    ns_json_free(json);
    search_genotype genotype = {0};
    double count = 1;
    while (search_genotype_next(&space, &genotype)) {
        count++;
    }
    assert_float_equal(search_space_point_count(&space), count, 0);
    // 25 %: 11 px, shifts of 0, 0, 1, 1, 2 px and cutouts of 0, 0, 3; 99 % and 100 %: 44 px.
    assert_float_equal(count, 2 * (3 * 2 + 5 * 3), 0);
}

/// Genotypes from before the gene, or from smaller images, take images as they are.
static void test_silence_means_the_whole_image(void **state) {
    (void)state;
    static const image_case SIMILAR = {3, 32, 32, 5000}; // with as many stages
    const search_space older = test_space(SIMILAR, 10);
    const search_space space = test_space((image_case){3, 64, 64, 5000}, 10);
    char *text = test_json_text(search_genotype_to_json(&older, &older.anchor));
    ns_json *json = json_of(text);
    search_genotype read;
    ns_error err = {0};
    assert_null(ns_json_get(json, "input_percent"));
    assert_ok(search_genotype_from_json(&space, json, &read, &err), &err);
    assert_memory_equal(&read, &space.anchor, sizeof read);
    ns_json_free(json);
    free(text);
}

/// Where a space has no network of whole images, silence is an error.
static void test_silence_needs_a_meaning(void **state) {
    (void)state;
    const data_info info = info_of(LARGE);
    const search_space older = test_space((image_case){3, 96, 40, 5000}, 10);
    search_space space;
    search_genotype read;
    ns_error err = {0};
    ns_json *halves = json_of("{\"genes\":{\"input_percent\":[50]}}");
    assert_ok(search_space_from_json(&info, halves, &space, &err), &err);
    ns_json_free(halves);
    assert_int_equal(search__input_of(&space, &space.anchor).height,
                     32); // the anchor's only choice
    char *text = test_json_text(search_genotype_to_json(&older, &older.anchor));
    ns_json *json = json_of(text);
    assert_status(search_genotype_from_json(&space, json, &read, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "input_percent"));
    ns_json_free(json);
    free(text);
}

/// A study goes on in the space it was begun in, though images of its size have the gene by now.
static void test_older_studies_go_on_without_it(void **state) {
    (void)state;
    const data_info info = info_of((image_case){3, 64, 64, 5000});
    const search_space older = test_space((image_case){3, 32, 32, 5000}, 10);
    search_space space;
    ns_error err = {0};
    char *before = test_json_text(search_space_to_json(&older));
    ns_json *json = json_of(before);
    assert_ok(search__space_of_study(&info, json, &space, &err), &err);
    ns_json_free(json);
    char *after = test_json_text(search_space_to_json(&space));
    assert_string_equal(after, before);
    assert_int_equal(search__input_of(&space, &space.anchor).height, 64);
    free(before);
    free(after);
}

static void test_illegal_percents_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"[24]", "[101]", "[50.5]", "[\"half\"]"};
    const data_info large = info_of(LARGE);
    const data_info small = info_of(IMAGE_CASES[0]);
    search_space space;
    ns_error err = {0};
    for (size_t i = 0; i < NS_COUNT_OF(bad); i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "{\"genes\":{\"input_percent\":%s}}", bad[i]);
        ns_json *json = json_of(text);
        assert_status(search_space_from_json(&large, json, &space, &err), NS_ERR_INPUT);
        assert_non_null(strstr(err.text, "25 to 100 in steps of 1"));
        ns_json_free(json);
    }
    ns_json *json = json_of("{\"genes\":{\"input_percent\":[50]}}");
    assert_status(search_space_from_json(&small, json, &space, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "unknown gene"));
    ns_json_free(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_images_have_no_such_gene),
        cmocka_unit_test(test_large_images_have_it),
        cmocka_unit_test(test_networks_take_smaller_images),
        cmocka_unit_test(test_half_is_the_network_of_half_the_images),
        cmocka_unit_test(test_points_are_counted),
        cmocka_unit_test(test_silence_means_the_whole_image),
        cmocka_unit_test(test_silence_needs_a_meaning),
        cmocka_unit_test(test_older_studies_go_on_without_it),
        cmocka_unit_test(test_illegal_percents_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
