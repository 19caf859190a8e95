// Networks that take smaller images than those of the set: what is trained, judged on the way, scored
// afterwards and kept in a file is one and the same thing.

#include "tests/ns_test.h"

#include <stdlib.h>
#include <string.h>

#include "nn/nn_internal.h"
#include "tests/nn/train_fixture.h"

enum {
    IMAGE = FIXTURE_CHANNELS * FIXTURE_HEIGHT * FIXTURE_WIDTH,
    LABELS = FIXTURE_LABEL_COUNT,
    COUNT = 9,
};

static const nn_shape INPUTS[] = {
    {FIXTURE_CHANNELS, FIXTURE_HEIGHT / 2, FIXTURE_WIDTH / 2}, // halved
    {FIXTURE_CHANNELS, 9, 7},
    {FIXTURE_CHANNELS, FIXTURE_HEIGHT, 6}, // on one side alone
};

static size_t value_count(nn_shape shape) {
    return (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
}

static void answer(const nn_model *model, int batch_size, const uint8_t *pixels,
                   float out[COUNT * LABELS]) {
    const nn_infer_options options = {
        .batch_size = batch_size, .thread_count = 2, .dtype = NN_DTYPE_F32};
    ns_error err = {0};
    nn_infer *infer = NULL;
    assert_ok(nn_infer_new(model, &options, &infer, &err), &err);
    assert_ok(nn_infer_run(infer, pixels, COUNT, out, &err), &err);
    nn_infer_free(infer);
}

/// A model of the same network and weights that is given images of the network's size.
static nn_model *small_model_of(const nn_model *model, const data_set *set) {
    const nn_model_info *info = nn_model_describe(model);
    data_info small = *data_describe(set);
    ns_error err = {0};
    nn_model *out = NULL;
    small.height = info->graph->node[0].shape.height;
    small.width = info->graph->node[0].shape.width;
    assert_ok(nn_model_new(info->graph, info->state, &small, &out, &err), &err);
    return out;
}

/// (COUNT, C, H, W) of `input`, malloced.
static uint8_t *shrunk_pixels(const uint8_t *pixels, nn_shape input) {
    const data_size from = {FIXTURE_HEIGHT, FIXTURE_WIDTH};
    ns_error err = {0};
    data_shrinker *shrinker = NULL;
    uint8_t *out = malloc(COUNT * value_count(input));
    assert_non_null(out);
    assert_ok(data_shrinker_new(input.channels, from, nn__size_of(input), 1, &shrinker, &err),
              &err);
    for (size_t i = 0; i < COUNT; i++) {
        memcpy(out + i * value_count(input), data_shrink(shrinker, 0, pixels + i * IMAGE),
               value_count(input));
    }
    data_shrinker_free(shrinker);
    return out;
}

/// Whole images to the model and shrunk ones to its network: one answer.
static void check_answers(const nn_model *model, const data_set *set, bool mirror_average) {
    const nn_shape input = nn_model_describe(model)->graph->node[0].shape;
    float got[COUNT * LABELS], want[COUNT * LABELS];
    uint8_t *pixels = fixture_pixels_new(COUNT, 5);
    uint8_t *shrunk = shrunk_pixels(pixels, input);
    nn_model *small = small_model_of(model, set);
    nn_model_set_mirror_average(small, mirror_average);
    for (int batch_size = 1; batch_size <= 16; batch_size *= 4) {
        answer(small, batch_size, shrunk, want);
        answer(model, batch_size, pixels, got);
        assert_memory_equal(got, want, sizeof got);
    }
    nn_model_free(small);
    free(shrunk);
    free(pixels);
}

static void test_a_model_shrinks_what_it_is_given(void **state) {
    const train_fixture *f = *state;
    static nn_graph graph;
    for (size_t i = 0; i < NS_COUNT_OF(INPUTS); i++) {
        fixture_small_graph_of(&graph, INPUTS[i]);
        for (int mirror = 0; mirror < 2; mirror++) {
            ns_error err = {0};
            nn_model *model = NULL;
            float *values = fixture_state_new(&graph, 3);
            assert_ok(nn_model_new(&graph, values, data_describe(f->set), &model, &err), &err);
            nn_model_set_mirror_average(model, mirror == 1);
            check_answers(model, f->set, mirror == 1);
            nn_model_free(model);
            free(values);
        }
    }
}

/// The file says the same, of the same images.
static void check_file(const nn_model *model, const data_set *set) {
    float got[COUNT * LABELS], want[COUNT * LABELS];
    ns_error err = {0};
    nn_model *loaded = NULL;
    uint8_t *pixels = fixture_pixels_new(COUNT, 6);
    assert_ok(nn_model_save(model, "shrink.nsm", &err), &err);
    assert_ok(nn_model_load("shrink.nsm", &loaded, &err), &err);
    assert_ok(nn_model_fits(loaded, set, &err), &err);
    answer(model, 4, pixels, want);
    answer(loaded, 4, pixels, got);
    assert_memory_equal(got, want, sizeof got);
    nn_model_free(loaded);
    free(pixels);
}

/// A model for the network's own size does not fit the set that was shrunk for it.
static void check_misfit(const nn_model *model, const data_set *set) {
    ns_error err = {0};
    nn_model *small = small_model_of(model, set);
    assert_status(nn_model_fits(small, set, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "10x12"));
    nn_model_free(small);
}

/// What a mark measures at the end is what the model scores.
static void test_trained_judged_and_kept_alike(void **state) {
    const train_fixture *f = *state;
    for (size_t i = 0; i < NS_COUNT_OF(INPUTS); i++) {
        train_watcher w = {0};
        nn_train_result result;
        train_fixture small = *f;
        fixture_small_graph_of(&small.graph, INPUTS[i]);
        nn_train_options options = train_options_for(&w);
        options.dtype = NN_DTYPE_F32;
        options.recipe.average = i == 1 ? NN_AVERAGE_EMA : NN_AVERAGE_NONE;
        options.eval_mark[options.eval_mark_count++] = 1.0;
        nn_model *model = train_model(&small, &options, &result);
        assert_int_equal(nn_model_describe(model)->image.height, FIXTURE_HEIGHT);
        assert_int_equal(nn_model_describe(model)->image.width, FIXTURE_WIDTH);
        const double accuracy = train_accuracy(model, f->set);
        assert_int_equal(w.mark_count, 1);
        assert_float_equal(w.mark_accuracy[0], accuracy, 1e-6);
        assert_true(accuracy > 0.7); // of four labels
        check_file(model, f->set);
        check_misfit(model, f->set);
        nn_model_free(model);
    }
}

static void test_same_seed_same_weights(void **state) {
    train_fixture small = *(const train_fixture *)*state;
    train_watcher w = {0};
    nn_train_result result;
    fixture_small_graph_of(&small.graph, INPUTS[0]);
    nn_train_options options = train_options_for(&w);
    nn_model *first = train_model(&small, &options, &result);
    train_assert_same(first, train_model(&small, &options, &result));
}

/// Filters are made of the images as the network sees them: their responses are white.
static void test_whitening(void **state) {
    const train_fixture *f = *state;
    enum { PAIRS = 12, KERNEL = 3 };
    static nn_graph graph;
    const nn_shape input = INPUTS[0];
    const data_info *info = data_describe(f->set);
    const size_t size = (size_t)FIXTURE_CHANNELS * KERNEL * KERNEL;
    ns_error err = {0};
    data_shrinker *shrinker = NULL;
    nn_graph_init(&graph);
    int x = nn_add_conv(&graph, nn_add_input(&graph, input), 2 * PAIRS, KERNEL, 1, 1, false);
    x = nn_set_frozen(&graph, nn_set_init(&graph, x, NN_INIT_WHITENING));
    (void)nn_add_linear(&graph, nn_add_activation(&graph, x, NN_ACTIVATION_RELU), LABELS);
    float *values = calloc(nn_graph_state_count(&graph), sizeof *values);
    assert_non_null(values);
    assert_ok(nn__whiten(&graph, f->set, values, &err), &err);
    assert_ok(data_shrinker_new(input.channels, (data_size){info->height, info->width},
                                nn__size_of(input), 1, &shrinker, &err),
              &err);
    double sum = 0, square = 0, count = 0;
    size_t train_count = 0;
    const uint32_t *train = data_indices(f->set, DATA_TRAIN, &train_count);
    for (size_t i = 0; i < train_count; i++) {
        const uint8_t *pixels = data_shrink(shrinker, 0, data_pixels(f->set, train[i]));
        for (int top = 0; top + KERNEL <= input.height; top++) {
            for (int left = 0; left + KERNEL <= input.width; left++) {
                double response = 0; // of the first filter
                for (size_t k = 0; k < size; k++) {
                    const int c = (int)k / 9, row = top + (int)k / 3 % 3,
                              column = left + (int)k % 3;
                    const int at = (c * input.height + row) * input.width + column;
                    response += (double)values[k] * ((double)pixels[at] - (double)info->mean[c]) /
                                (double)info->deviation[c];
                }
                sum += response;
                square += response * response;
                count++;
            }
        }
    }
    const double variance = square / count - sum / count * (sum / count);
    assert_float_equal(variance, 1.0, 0.01);
    data_shrinker_free(shrinker);
    free(values);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_model_shrinks_what_it_is_given),
        cmocka_unit_test(test_trained_judged_and_kept_alike),
        cmocka_unit_test(test_same_seed_same_weights),
        cmocka_unit_test(test_whitening),
    };
    return cmocka_run_group_tests(tests, train_fixture_set_up, train_fixture_tear_down);
}
