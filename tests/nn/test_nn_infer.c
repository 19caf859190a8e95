// Inference: the folded network says what the unfolded one says, for any number of images.

#include "tests/ns_test.h"

#include <math.h>
#include <string.h>

#include "nn/nn_internal.h"
#include "tests/nn/fixture.h"

enum {
    IMAGE = FIXTURE_CHANNELS * FIXTURE_HEIGHT * FIXTURE_WIDTH,
    PLANE = FIXTURE_HEIGHT * FIXTURE_WIDTH,
    LABELS = FIXTURE_LABEL_COUNT,
    COUNT = 7,
};

static const float tolerance = 1e-4F;

static void assert_close(const float *got, const float *want, size_t count, const char *what) {
    for (size_t i = 0; i < count; i++) {
        if (!(fabsf(got[i] - want[i]) <= tolerance)) {
            fail_msg("%s: probability %zu is %g, want %g", what, i, (double)got[i],
                     (double)want[i]);
        }
    }
}

/// Probabilities by the reference executor on the graph as it is, formula by formula.
static void unfolded(const nn_model *model, const uint8_t *pixels, float *probabilities) {
    const nn_model_info *info = nn_model_describe(model);
    ns_error err = {0};
    nn_net *net = NULL;
    nn_net_options options = nn_net_options_default();
    options.dtype = NN_DTYPE_F32;
    options.backend = NN_BACKEND_REFERENCE;
    options.mode = NN_MODE_INFER;
    options.batch_size = COUNT;
    options.thread_count = 1;
    assert_ok(nn_net_new(info->graph, &options, &net, &err), &err);
    nn_net_set_state(net, info->state);
    for (int i = 0; i < COUNT * IMAGE; i++) {
        const int channel = i / PLANE % FIXTURE_CHANNELS;
        nn_net_input(net)[i] = ((float)pixels[i] - info->mean[channel]) / info->deviation[channel];
    }
    nn_net_forward(net);
    for (int i = 0; i < COUNT; i++) {
        double sum = 0;
        for (int k = 0; k < LABELS && info->multi_label; k++) {
            probabilities[i * LABELS + k] =
                (float)(1 / (1 + exp(-(double)nn_net_logits(net)[i * LABELS + k])));
        }
        for (int k = 0; k < LABELS && !info->multi_label; k++) {
            sum += exp((double)nn_net_logits(net)[i * LABELS + k]);
        }
        for (int k = 0; k < LABELS && !info->multi_label; k++) {
            probabilities[i * LABELS + k] =
                (float)(exp((double)nn_net_logits(net)[i * LABELS + k]) / sum);
        }
    }
    nn_net_free(net);
}

static void check_graph(const nn_graph *graph, bool multi_label, const char *name) {
    ns_error err = {0};
    float want[COUNT * LABELS], got[COUNT * LABELS];
    uint8_t *pixels = fixture_pixels_new(COUNT, 5);
    nn_model *model = fixture_model_of(graph, 11, multi_label);
    assert_non_null(model);
    unfolded(model, pixels, want);
    const int batch_sizes[] = {1, 3, COUNT, 16};
    for (size_t b = 0; b < NS_COUNT_OF(batch_sizes); b++) {
        nn_infer *infer = NULL;
        memset(got, 0, sizeof got);
        assert_ok(nn_infer_new(model,
                               &(nn_infer_options){.batch_size = batch_sizes[b],
                                                   .thread_count = 2,
                                                   .dtype = NN_DTYPE_F32},
                               &infer, &err),
                  &err);
        assert_ok(nn_infer_run(infer, pixels, COUNT, got, &err), &err);
        assert_close(got, want, (size_t)COUNT * LABELS, name);
        assert_ok(nn_infer_run(infer, pixels, 2, got, &err), &err); // a state of its own: none
        assert_close(got, want, (size_t)COUNT * LABELS, name);
        assert_ok(nn_infer_run(infer, pixels, 0, got, &err), &err);
        nn_infer_free(infer);
    }
    nn_model_free(model);
    free(pixels);
}

static void test_folded_equals_unfolded(void **state) {
    (void)state;
    static nn_graph graph;
    fixture_every_op_graph(&graph);
    check_graph(&graph, false, "every op");
    check_graph(&graph, true, "every op, labels of their own");
    fixture_small_graph(&graph);
    check_graph(&graph, false, "small");
    fixture_linearless_graph(&graph);
    check_graph(&graph, false, "without linear");
}

static int kind_count(const nn_graph *graph, nn_op_kind kind) {
    int count = 0;
    for (int i = 0; i < graph->node_count; i++) {
        count += graph->node[i].kind == kind;
    }
    return count;
}

static void test_fold_absorbs_what_it_may(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    nn__fold *fold = NULL;
    fixture_every_op_graph(&graph);
    assert_ok(nn__fold_new(&graph, &fold, &err), &err);
    const nn_graph *folded = nn__fold_graph(fold);
    assert_int_equal(kind_count(folded, NN_OP_DROPOUT), 0);
    assert_int_equal(kind_count(folded, NN_OP_BATCH_NORM), 1); // the one after a pool
    assert_int_equal(kind_count(folded, NN_OP_ACTIVATION), 3); // after others, or a linear layer
    assert_int_equal(kind_count(folded, NN_OP_SCALE), 1);      // the one after a convolution
    assert_int_equal(kind_count(folded, NN_OP_CONV), kind_count(&graph, NN_OP_CONV));
    assert_true(nn_graph_state_count(folded) < nn_graph_state_count(&graph));
    nn__fold_free(fold);

    fixture_linearless_graph(&graph);
    assert_ok(nn__fold_new(&graph, &fold, &err), &err);
    assert_int_equal(kind_count(nn__fold_graph(fold), NN_OP_BATCH_NORM), 1); // two readers
    nn__fold_free(fold);
}

static size_t folded_bytes(const nn__fold *fold, nn_net_options options, int batch_size) {
    ns_error err = {0};
    nn_plan plan;
    options.batch_size = batch_size;
    assert_ok(nn_plan_make(nn__fold_graph(fold), &options, &plan, &err), &err);
    return plan.arena_bytes;
}

/// With memory for batches of 2 only, 7 images asked for in batches of 16 get the same answers.
static void test_batch_shrinks_to_memory(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    nn__fold *fold = NULL;
    nn_infer *infer = NULL;
    float want[COUNT * LABELS], got[COUNT * LABELS];
    fixture_every_op_graph(&graph);
    nn_model *model = fixture_model_new(&graph, 3);
    const nn_model_info *info = nn_model_describe(model);
    uint8_t *pixels = fixture_pixels_new(COUNT, 5);
    unfolded(model, pixels, want);

    assert_ok(nn__fold_new(&graph, &fold, &err), &err);
    nn_net_options options = nn_net_options_default();
    options.dtype = NN_DTYPE_F32;
    options.mode = NN_MODE_INFER;
    options.thread_count = 1;
    options.mem_bytes_max = folded_bytes(fold, options, 2);
    options.batch_size = 16;
    assert_true(folded_bytes(fold, options, 4) > options.mem_bytes_max);
    const nn__around around = {info->image, info->mean, info->deviation, false};
    assert_ok(nn__infer_new(&graph, &options, &around, &infer, &err), &err);
    nn__infer_set_state(infer, info->state);
    assert_ok(nn_infer_run(infer, pixels, COUNT, got, &err), &err);
    assert_close(got, want, (size_t)COUNT * LABELS, "little memory");
    nn_infer_free(infer);

    options.mem_bytes_max = folded_bytes(fold, options, 1) - 1;
    assert_status(nn__infer_new(&graph, &options, &around, &infer, &err), NS_ERR_LIMIT);
    assert_non_null(strstr(err.text, "batch 1,"));
    nn__fold_free(fold);
    nn_model_free(model);
    free(pixels);
}

/// The answer to an image is that to its mirror image, and lies between the two without averaging.
static void test_mirror_average_sees_both_ways(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    enum { ROWS = FIXTURE_CHANNELS * FIXTURE_HEIGHT, WIDTH = FIXTURE_WIDTH };
    float apart[2][COUNT * LABELS] = {0}, got[2][COUNT * LABELS] = {0}, want[COUNT * LABELS];
    fixture_every_op_graph(&graph);
    nn_model *model = fixture_model_new(&graph, 3);
    uint8_t *pixels = fixture_pixels_new(COUNT, 5), *mirrored = fixture_pixels_new(COUNT, 5);
    for (int i = 0; i < COUNT * ROWS * WIDTH; i++) {
        mirrored[i] = pixels[i / WIDTH * WIDTH + WIDTH - 1 - i % WIDTH];
    }
    for (int average = 0; average < 2; average++) {
        nn_infer *infer = NULL;
        nn_infer_options options = {.batch_size = 4, .thread_count = 2, .dtype = NN_DTYPE_F32};
        nn_model_set_mirror_average(model, average == 1);
        assert_ok(nn_infer_new(model, &options, &infer, &err), &err);
        float(*to)[COUNT * LABELS] = average == 1 ? got : apart;
        assert_ok(nn_infer_run(infer, pixels, COUNT, to[0], &err), &err);
        assert_ok(nn_infer_run(infer, mirrored, COUNT, to[1], &err), &err);
        nn_infer_free(infer);
    }
    for (int row = 0; row < COUNT; row++) { // a mean of logits is a geometric mean, normalised
        float *p = want + (size_t)row * LABELS, sum = 0;
        for (int k = 0; k < LABELS; k++) {
            p[k] = sqrtf(apart[0][row * LABELS + k] * apart[1][row * LABELS + k]);
            sum += p[k];
        }
        for (int k = 0; k < LABELS; k++) {
            p[k] /= sum;
        }
    }
    assert_close(got[0], want, (size_t)COUNT * LABELS, "both ways");
    assert_close(got[1], want, (size_t)COUNT * LABELS, "both ways, mirrored");
    nn_model_free(model);
    free(mirrored);
    free(pixels);
}

static void test_split_is_run_through(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    nn_infer *infer = NULL;
    float *all = NULL, *some = NULL;
    int32_t *labels = NULL, *some_labels = NULL;
    size_t count = 0;
    data_set *set = fixture_set_new("infer.nsd");
    fixture_small_graph(&graph);
    nn_model *model = fixture_model_new(&graph, 2);
    assert_ok(nn_infer_new(
                  model,
                  &(nn_infer_options){.batch_size = 16, .thread_count = 2, .dtype = NN_DTYPE_F32},
                  &infer, &err),
              &err);
    assert_ok(
        nn_infer_split(infer, set, DATA_VALIDATION, 0, NULL, NULL, &all, &labels, &count, &err),
        &err);
    assert_int_equal(count, FIXTURE_VALIDATION_COUNT);
    const uint32_t *indices = data_indices(set, DATA_VALIDATION, &count);
    for (size_t i = 0; i < count; i++) {
        float one[LABELS];
        assert_int_equal(labels[i], data_label(set, indices[i]));
        assert_ok(nn_infer_run(infer, data_pixels(set, indices[i]), 1, one, &err), &err);
        assert_close(all + i * LABELS, one, LABELS, "split");
    }
    assert_ok(nn_infer_split(infer, set, DATA_VALIDATION, 30, NULL, NULL, &some, &some_labels,
                             &count, &err),
              &err);
    assert_int_equal(count, 30);
    for (size_t i = 0; i < count; i++) { // every third
        assert_int_equal(some_labels[i], labels[3 * i]);
        assert_close(some + i * LABELS, all + 3 * i * LABELS, LABELS, "part of a split");
    }
    free(all);
    free(some);
    free(labels);
    free(some_labels);
    nn_infer_free(infer);
    nn_model_free(model);
    data_close(set);
}

static bool stop_third_time(void *context) {
    int *polls = context;
    return ++*polls == 3;
}

static void test_split_can_be_stopped(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    nn_infer *infer = NULL;
    float *probabilities = NULL;
    int32_t *labels = NULL;
    size_t count = 0;
    int polls = 0;
    data_set *set = fixture_set_new("infer.nsd");
    fixture_small_graph(&graph);
    nn_model *model = fixture_model_new(&graph, 2);
    assert_ok(nn_infer_new(
                  model,
                  &(nn_infer_options){.batch_size = 16, .thread_count = 2, .dtype = NN_DTYPE_F32},
                  &infer, &err),
              &err);
    assert_status(nn_infer_split(infer, set, DATA_VALIDATION, 0, stop_third_time, &polls,
                                 &probabilities, &labels, &count, &err),
                  NS_ERR_STOPPED);
    assert_null(probabilities);
    assert_null(labels);
    nn_infer_free(infer);
    nn_model_free(model);
    data_close(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folded_equals_unfolded),
        cmocka_unit_test(test_fold_absorbs_what_it_may),
        cmocka_unit_test(test_batch_shrinks_to_memory),
        cmocka_unit_test(test_mirror_average_sees_both_ways),
        cmocka_unit_test(test_split_is_run_through),
        cmocka_unit_test(test_split_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
