// Mirror averaging is chosen where it pays, and only there.

#include <stdio.h>

#include "data/data_internal.h"
#include "search/search.h"
#include "tests/ns_test.h"

enum { SIDE = 8, IMAGE = SIDE * SIDE, IMAGE_COUNT = 400, LABEL_COUNT = 2 };

#define WEIGHT 0.15F

/// What tells the labels apart.
typedef enum mirror_task {
    BRIGHT,     // an image of label 1 is brighter: mirrored ones are, too
    LEFT_BRIGHT // its left half is: mirrored ones are of the other label
} mirror_task;

static void draw(mirror_task task, int label, ns_rng *rng, uint8_t pixels[IMAGE]) {
    for (int i = 0; i < IMAGE; i++) {
        const bool left = i % SIDE < SIDE / 2;
        const bool bright = task == BRIGHT ? label == 1 : left == (label == 1);
        pixels[i] = (uint8_t)(ns_rng_below(rng, 200) + (bright ? 20 : 0));
    }
}

static data_set *set_new(mirror_task task, data_split split) {
    static const char *const labels[] = {"no", "yes"};
    const data__pack_spec spec = {
        .channels = 1,
        .height = SIDE,
        .width = SIDE,
        .label_count = LABEL_COUNT,
        .labels = labels,
        .source = "a test",
    };
    data__pack_writer *writer = NULL;
    data_set *set = NULL;
    ns_error err = {0};
    ns_rng rng = ns_rng_stream(1, 0, "mirror");
    assert_ok(data__pack_begin("mirror.nsd", &spec, &writer, &err), &err);
    for (int i = 0; i < IMAGE_COUNT; i++) {
        uint8_t pixels[IMAGE];
        draw(task, i % LABEL_COUNT, &rng, pixels);
        // Mean and deviation are those of train images, so there must be one.
        assert_ok(data__pack_add(writer, pixels, i % LABEL_COUNT, i < 2 ? DATA_TRAIN : split, &err),
                  &err);
    }
    assert_ok(data__pack_finish(writer, &err), &err);
    assert_ok(data_open("mirror.nsd", &set, &err), &err);
    return set;
}

/// A linear classifier of the task that looks at the left half alone, for brightness, or at both.
static nn_model *model_new(mirror_task task, const data_set *set) {
    nn_graph graph;
    nn_model *model = NULL;
    ns_error err = {0};
    float state[LABEL_COUNT * IMAGE + LABEL_COUNT] = {0}; // weights (label, pixel), biases
    nn_graph_init(&graph);
    (void)nn_add_linear(&graph, nn_add_input(&graph, (nn_shape){1, SIDE, SIDE}), LABEL_COUNT);
    assert_int_equal(nn_graph_state_count(&graph), NS_COUNT_OF(state));
    for (int i = 0; i < IMAGE; i++) {
        const bool left = i % SIDE < SIDE / 2;
        state[IMAGE + i] = left ? WEIGHT : task == LEFT_BRIGHT ? -WEIGHT : 0.0F;
    }
    assert_ok(nn_model_new(&graph, state, data_describe(set), &model, &err), &err);
    return model;
}

static bool chooses(mirror_task task, data_split split) {
    data_set *set = set_new(task, split);
    nn_model *model = model_new(task, set);
    const nn_infer_options options = nn_infer_options_default();
    ns_error err = {0};
    nn_model_set_mirror_average(model, true);
    assert_ok(search_mirror_choose(model, set, &options, &err), &err);
    const bool chosen = nn_model_describe(model)->mirror_average;
    nn_model_free(model);
    data_close(set);
    (void)remove("mirror.nsd");
    return chosen;
}

static void test_chosen_where_it_pays(void **state) {
    (void)state;
    assert_true(chooses(BRIGHT, DATA_VALIDATION));
}

static void test_not_where_it_confuses(void **state) {
    (void)state;
    assert_false(chooses(LEFT_BRIGHT, DATA_VALIDATION));
}

static void test_not_without_validation(void **state) {
    (void)state;
    assert_false(chooses(BRIGHT, DATA_TEST));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chosen_where_it_pays),
        cmocka_unit_test(test_not_where_it_confuses),
        cmocka_unit_test(test_not_without_validation),
    };
    return cmocka_run_group_tests_name("search/mirror", tests, NULL, NULL);
}
