// Checkpoints: everything comes back, and only to the training it was taken from.

#include "tests/ns_test.h"

#include <string.h>

#include "nn/nn_internal.h"
#include "tests/nn/fixture.h"

#define PATH "training.ckpt"

enum { VALUE_COUNT = 100, FILE_BYTES_MAX = 1 << 20 };

typedef struct context {
    data_set *set;
    nn_graph graph;
    nn_recipe recipe;
    nn__training training;
    float values[VALUE_COUNT];
} context;

static const nn__position somewhere = {
    .step = 321,
    .sample_count = 20544,
    .used_ms = 123456789,
    .marks_done = 2,
    .step_ms = 17.300000000000001,
    .recoveries = 2,
    .reserve_ms = 12.100000000000001,
    .trend = {0.1234567890123456, 319, {-0.3, 0.04000000000000001, 321, 3}},
    .good_trend = {0.2345678901234567, 300, {-0.2, 0.02000000000000001, 200, 1}}};

static int set_up(void **state) {
    static context c;
    c.set = fixture_set_new("checkpoint.nsd");
    fixture_small_graph(&c.graph);
    c.recipe = nn_recipe_default();
    c.training = (nn__training){.graph = &c.graph,
                                .set = c.set,
                                .recipe = &c.recipe,
                                .seed = 0xFEDCBA9876543210U,
                                .dtype = NN_DTYPE_BF16};
    for (int i = 0; i < VALUE_COUNT; i++) {
        c.values[i] = 1.0F / (float)(i + 3);
    }
    *state = &c;
    return c.set == NULL ? -1 : 0;
}

static int tear_down(void **state) {
    const context *c = *state;
    data_close(c->set);
    return 0;
}

static void save(const context *c) {
    ns_error err = {0};
    assert_ok(nn__checkpoint_save(PATH, &c->training, &somewhere, c->values, VALUE_COUNT, &err),
              &err);
}

static void test_everything_comes_back(void **state) {
    const context *c = *state;
    ns_error err = {0};
    nn__position position = {0};
    float values[VALUE_COUNT] = {0};
    save(c);
    assert_ok(nn__checkpoint_load(PATH, &c->training, &position, values, VALUE_COUNT, &err), &err);
    assert_memory_equal(values, c->values, sizeof values);
    assert_int_equal(position.step, somewhere.step);
    assert_int_equal(position.sample_count, somewhere.sample_count);
    assert_int_equal(position.used_ms, somewhere.used_ms);
    assert_int_equal(position.marks_done, somewhere.marks_done);
    assert_int_equal(position.recoveries, somewhere.recoveries);
    assert_memory_equal(&position.reserve_ms, &somewhere.reserve_ms, sizeof position.reserve_ms);
    assert_memory_equal(&position.trend, &somewhere.trend, sizeof position.trend);
    assert_memory_equal(&position.good_trend, &somewhere.good_trend, sizeof position.good_trend);
    assert_memory_equal(&position.step_ms, &somewhere.step_ms, sizeof position.step_ms);
}

/// Loading for `training` must fail with `want` and a sentence that holds `word`.
static void assert_refused(const nn__training *training, size_t count, ns_status want,
                           const char *word) {
    ns_error err = {0};
    nn__position position = {0};
    float values[VALUE_COUNT + 1] = {0};
    const ns_status got = nn__checkpoint_load(PATH, training, &position, values, count, &err);
    if (got != want || strstr(err.text, word) == NULL || strstr(err.text, PATH) == NULL ||
        position.step != 0) {
        fail_msg("got \"%s\" (%s), want \"%s\" about %s", ns_status_text(got), err.text,
                 ns_status_text(want), word);
    }
}

static void test_progress_can_be_asked(void **state) {
    const context *c = *state;
    ns_error err = {0};
    nn_progress progress = {0};
    save(c);
    assert_ok(nn_checkpoint_progress(PATH, &progress, &err), &err);
    assert_int_equal(progress.step, somewhere.step);
    assert_int_equal(progress.sample_count, somewhere.sample_count);
    assert_int_equal(progress.used_ms, somewhere.used_ms);
    assert_status(nn_checkpoint_progress("nowhere.ckpt", &progress, &err), NS_ERR_NOT_FOUND);
    assert_ok(ns_file_write("short.ckpt", "NSCKPT0\n", 8, &err), &err);
    assert_status(nn_checkpoint_progress("short.ckpt", &progress, &err), NS_ERR_CORRUPT);
}

static void test_another_training_is_refused(void **state) {
    const context *c = *state;
    static nn_graph graph;
    save(c);
    nn__training other = c->training;
    other.seed++;
    assert_refused(&other, VALUE_COUNT, NS_ERR_INPUT, "seed");
    other = c->training;
    other.dtype = NN_DTYPE_F32;
    assert_refused(&other, VALUE_COUNT, NS_ERR_INPUT, "dtype");
    other = c->training;
    other.with_validation = true;
    assert_refused(&other, VALUE_COUNT, NS_ERR_INPUT, "with_validation");

    fixture_every_op_graph(&graph);
    other = c->training;
    other.graph = &graph;
    assert_refused(&other, VALUE_COUNT, NS_ERR_INPUT, "graph");

    nn_recipe recipe = c->recipe;
    recipe.rate_peak *= 1.0001F;
    other = c->training;
    other.recipe = &recipe;
    assert_refused(&other, VALUE_COUNT, NS_ERR_INPUT, "recipe");
    assert_refused(&c->training, VALUE_COUNT + 1, NS_ERR_CORRUPT, "values");
}

/// Each number of the augmentation is part of the recipe's identity.
static void test_another_augmentation_is_refused(void **state) {
    const context *c = *state;
    nn_recipe recipe = c->recipe;
    float *const numbers[] = {
        &recipe.augment.rotation_degrees, &recipe.augment.zoom_percent,
        &recipe.augment.shear_degrees,    &recipe.augment.erase_probability,
        &recipe.augment.mixup_alpha,
    };
    nn__training other = c->training;
    other.recipe = &recipe;
    save(c);
    for (size_t i = 0; i < NS_COUNT_OF(numbers); i++) {
        const float own = *numbers[i];
        *numbers[i] = own + 0.25F;
        assert_refused(&other, VALUE_COUNT, NS_ERR_INPUT, "recipe");
        *numbers[i] = own;
    }
}

static void test_damage_is_refused(void **state) {
    const context *c = *state;
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    save(c);
    assert_ok(ns_file_read(PATH, FILE_BYTES_MAX, &bytes, &size_bytes, &err), &err);
    for (size_t at = 0; at < size_bytes; at += 13) {
        bytes[at] ^= 0x10;
        assert_ok(ns_file_write(PATH, bytes, size_bytes, &err), &err);
        assert_refused(&c->training, VALUE_COUNT, NS_ERR_CORRUPT, "checkpoint");
        bytes[at] ^= 0x10;
    }
    assert_ok(ns_file_write(PATH, bytes, size_bytes / 2, &err), &err);
    assert_refused(&c->training, VALUE_COUNT, NS_ERR_CORRUPT, "damaged");
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_comes_back),
        cmocka_unit_test(test_progress_can_be_asked),
        cmocka_unit_test(test_another_training_is_refused),
        cmocka_unit_test(test_another_augmentation_is_refused),
        cmocka_unit_test(test_damage_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
