// The recipe: its rates, and its fields by name.

#include "tests/ns_test.h"

#include <string.h>

#include "nn/nn.h"

static void test_rate_rises_and_falls(void **state) {
    (void)state;
    nn_recipe recipe = nn_recipe_default();
    recipe.rate_peak = 0.4F;
    recipe.warmup_fraction = 0.25F;
    assert_float_equal(nn_rate_at(&recipe, 0.0), 0.0, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 0.125), 0.2, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 0.25), 0.4, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 0.625), 0.2, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 1.0), 0.0, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 1.5), 0.0, 1e-7);
    recipe.warmup_fraction = 0;
    assert_float_equal(nn_rate_at(&recipe, 0.0), 0.4, 1e-7);
    recipe.warmup_fraction = 1;
    assert_float_equal(nn_rate_at(&recipe, 0.5), 0.2, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 1.0), 0.0, 1e-7);
}

static void test_cosine_stays_high_and_ends_flat(void **state) {
    (void)state;
    nn_recipe recipe = nn_recipe_default();
    recipe.schedule = NN_SCHEDULE_COSINE;
    recipe.rate_peak = 0.4F;
    recipe.warmup_fraction = 0.2F;
    assert_float_equal(nn_rate_at(&recipe, 0.1), 0.2, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 0.2), 0.4, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 0.4), 0.34142136F, 1e-7); // cos(pi / 4)
    assert_float_equal(nn_rate_at(&recipe, 0.6), 0.2, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 0.8), 0.05857864F, 1e-7);
    assert_float_equal(nn_rate_at(&recipe, 1.0), 0.0, 1e-7);
}

static void test_fields_are_set_by_name(void **state) {
    (void)state;
    ns_error err = {0};
    nn_recipe recipe = nn_recipe_default();
    assert_ok(nn_recipe_set(&recipe, "batch_size", "64", &err), &err);
    assert_ok(nn_recipe_set(&recipe, "rate_peak", "0.125", &err), &err);
    assert_ok(nn_recipe_set(&recipe, "schedule", "cosine", &err), &err);
    assert_ok(nn_recipe_set(&recipe, "average", "lookahead", &err), &err);
    assert_ok(nn_recipe_set(&recipe, "mirror", "0", &err), &err);
    assert_ok(nn_recipe_set(&recipe, "cutout_px", "5", &err), &err);
    assert_int_equal(recipe.batch_size, 64);
    assert_float_equal(recipe.rate_peak, 0.125, 0);
    assert_int_equal(recipe.schedule, NN_SCHEDULE_COSINE);
    assert_int_equal(recipe.average, NN_AVERAGE_LOOKAHEAD);
    assert_false(recipe.augment.mirror);
    assert_int_equal(recipe.augment.cutout_px, 5);

    ns_json *json = nn_recipe_to_json(&recipe);
    assert_int_equal(ns_json_int(json, "batch_size", 0), 64);
    assert_string_equal(ns_json_string(json, "average", ""), "lookahead");
    assert_float_equal(ns_json_number(json, "rate_peak", 0), 0.125, 0);
    ns_json_free(json);
}

static void test_nonsense_is_refused(void **state) {
    (void)state;
    nn_recipe recipe = nn_recipe_default();
    const nn_recipe before = recipe;
    const char *const wrong[][3] = {
        {"rate", "0.1", "rate_peak"},
        {"rate_peak", "fast", "number"},
        {"rate_peak", "-1", "number"},
        {"rate_peak", "nan", "number"},
        {"batch_size", "2.5", "whole"},
        {"batch_size", "0", "whole"},
        {"schedule", "round", "cosine"},
        {"average", "", "lookahead"},
        {"mirror", "2", "0 to 1"},
        {"label_smoothing", "0.1x", "number"},
        {"warmup_fraction", "1.5", "to 1"},
        {"rate_peak", "inf", "to 1000"},
        {"weight_decay", "inf", "to 1000"},
        {"clip_deviations", "inf", "to 1000"},
        {"momentum", "1", "below 1"},
        {"label_smoothing", "1", "below 1"},
        {"momentum", "0.999999999", "below 1"}, // as a float it is 1
    };
    for (size_t i = 0; i < NS_COUNT_OF(wrong); i++) {
        ns_error err = {0};
        assert_status(nn_recipe_set(&recipe, wrong[i][0], wrong[i][1], &err), NS_ERR_USAGE);
        if (strstr(err.text, wrong[i][2]) == NULL) {
            fail_msg("%s=%s is answered with \"%s\", not a word about %s", wrong[i][0], wrong[i][1],
                     err.text, wrong[i][2]);
        }
    }
    assert_memory_equal(&recipe, &before, sizeof recipe);
}

/// Older checkpoints and studies do not know the field: off it leaves no trace.
static void test_balance_shows_only_where_it_is_on(void **state) {
    (void)state;
    nn_recipe recipe = nn_recipe_default();
    ns_error err = {0};
    char text[1024];
    ns_json *json = nn_recipe_to_json(&recipe);
    assert_null(ns_json_get(json, "balance"));
    ns_json_free(json);
    assert_ok(nn_recipe_set(&recipe, "balance", "sampling", &err), &err);
    json = nn_recipe_to_json(&recipe);
    assert_string_equal(ns_json_string(json, "balance", ""), "sampling");
    ns_json_free(json);
    nn_recipe_print(&recipe, text, sizeof text);
    assert_non_null(strstr(text, "balance=sampling"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate_rises_and_falls),
        cmocka_unit_test(test_cosine_stays_high_and_ends_flat),
        cmocka_unit_test(test_fields_are_set_by_name),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_balance_shows_only_where_it_is_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
