// Images with several labels, from training to the exported model: two strokes of the demo set laid
// over each other, of which a network learns to name both.

#include "tests/ns_test.h"

#include <math.h>
#include <string.h>
#include <sys/wait.h>

#include "data/data_internal.h"
#include "nn/nn_internal.h"

enum {
    SIDE = DATA__DEMO_SIDE,
    PIXELS = SIDE * SIDE,
    LABELS = DATA__DEMO_LABEL_COUNT,
    TRAIN_COUNT = 1600,
    COUNT = 2000,
    EXPORTED = 16,
    EXIT_NO_TOOLS = 77,
};

/// Image i is demo image i, and over it two times in three demo image COUNT + i; labels ascend.
static ns_status add_image(data__pack_writer *writer, size_t i, ns_error *err) {
    uint8_t first[PIXELS], second[PIXELS];
    uint16_t labels[2] = {(uint16_t)data__demo_label(i),
                          (uint16_t)data__demo_label((7 * i + 3) % DATA__DEMO_COUNT)};
    size_t count = 1;
    data__demo_draw(i, first);
    if (i % 3 != 0 && labels[0] != labels[1]) {
        data__demo_draw((7 * i + 3) % DATA__DEMO_COUNT, second);
        for (int at = 0; at < PIXELS; at++) {
            first[at] = first[at] > second[at] ? first[at] : second[at];
        }
        count = 2;
    }
    if (count == 2 && labels[0] > labels[1]) {
        const uint16_t lower = labels[1];
        labels[1] = labels[0];
        labels[0] = lower;
    }
    return data__pack_add_labels(writer, first, labels, count,
                                 i < TRAIN_COUNT ? DATA_TRAIN : DATA_VALIDATION, err);
}

static data_set *make_set(void) {
    static const char *const names[LABELS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    const data__pack_spec spec = {.channels = 1,
                                  .height = SIDE,
                                  .width = SIDE,
                                  .label_count = LABELS,
                                  .multi_label = true,
                                  .labels = names,
                                  .source = "strokes over strokes"};
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    data_set *set = NULL;
    assert_ok(data__pack_begin("strokes.nsd", &spec, &writer, &err), &err);
    for (size_t i = 0; i < COUNT; i++) {
        assert_ok(add_image(writer, i, &err), &err);
    }
    assert_ok(data__pack_finish(writer, &err), &err);
    assert_ok(data_open("strokes.nsd", &set, &err), &err);
    return set;
}

static void make_graph(nn_graph *graph) {
    nn_graph_init(graph);
    int x = nn_add_input(graph, (nn_shape){1, SIDE, SIDE});
    for (int channels = 16; channels <= 64; channels *= 2) {
        x = nn_add_batch_norm(graph, nn_add_conv(graph, x, channels, 3, 1, 1, false),
                              NN_ACTIVATION_RELU);
        x = nn_add_pool(graph, NN_OP_MAX_POOL, x, 2, 2, 0);
    }
    (void)nn_add_linear(graph, x, LABELS);
}

static nn_verdict on_mark(void *context, const nn_progress *progress) {
    *(float *)context = progress->val_accuracy;
    return NN_CONTINUE;
}

static nn_model *train(const data_set *set, float mixup_alpha, unsigned epochs, float *at_mark) {
    static nn_graph graph;
    ns_error err = {0};
    nn_train_result result;
    nn_model *model = NULL;
    make_graph(&graph);
    nn_train_options options = nn_train_options_default();
    options.recipe.batch_size = 64;
    options.recipe.rate_peak = 0.1F;
    options.recipe.augment = (data_augment){.mixup_alpha = mixup_alpha};
    options.sample_count_max = (uint64_t)epochs * TRAIN_COUNT;
    options.seed = 3;
    options.dtype = NN_DTYPE_F32;
    options.on_mark = on_mark;
    options.eval_mark[0] = 0.9;
    options.eval_mark_count = 1;
    options.context = at_mark;
    assert_ok(nn_train(&graph, set, &options, &result, &model, &err), &err);
    return model;
}

/// The mean agreement on the validation split.
static double judge(const nn_model *model, const data_set *set) {
    ns_error err = {0};
    nn_infer *infer = NULL;
    const nn_infer_options options = nn_infer_options_default();
    float *probabilities = NULL;
    int32_t *labels = NULL;
    uint8_t *truth = NULL;
    size_t count = 0;
    double sum = 0;
    assert_ok(nn_infer_new(model, &options, &infer, &err), &err);
    assert_ok(nn_infer_split(infer, set, DATA_VALIDATION, 0, NULL, NULL, &probabilities, &labels,
                             &count, &err),
              &err);
    assert_null(labels);
    assert_ok(nn_split_truth(set, DATA_VALIDATION, 0, &truth, &count, &err), &err);
    assert_int_equal(count, COUNT - TRAIN_COUNT);
    for (size_t i = 0; i < count; i++) {
        sum += data_agreement(probabilities + i * LABELS, truth + i * LABELS, LABELS);
    }
    free(probabilities);
    free(truth);
    nn_infer_free(infer);
    return sum / (double)count;
}

static void assert_learnt(float mixup_alpha, double least) {
    float at_mark = NAN;
    data_set *set = make_set();
    nn_model *model = train(set, mixup_alpha, 6, &at_mark);
    const double agreement = judge(model, set);
    print_message("agreement %.3f, at the mark %.3f\n", agreement, (double)at_mark);
    // The best answer that does not look, nothing or any two labels, is below 0.15.
    assert_true(agreement > least);
    assert_true(at_mark > 0.6 * least && at_mark <= 1);
    assert_true(nn_model_describe(model)->multi_label);
    nn_model_free(model);
    data_close(set);
}

static void test_it_learns(void **state) {
    (void)state;
    assert_learnt(0, 0.6);
}

static void test_it_learns_from_mixtures(void **state) {
    (void)state;
    assert_learnt(0.2F, 0.4);
}

/// A model of one label an image is not for such a set.
static void test_single_label_model_does_not_fit(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    nn_model *model = NULL;
    data_set *set = make_set();
    data_info info = *data_describe(set);
    make_graph(&graph);
    float *weights = calloc(nn_graph_state_count(&graph), sizeof *weights);
    assert_non_null(weights);
    info.multi_label = false;
    assert_ok(nn_model_new(&graph, weights, &info, &model, &err), &err);
    assert_status(nn_model_fits(model, set, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "one label"));
    nn_model_free(model);
    free(weights);
    data_close(set);
}

/// Without weights, every label is said to be as likely as it is among the training images.
static void test_first_biases(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    nn_model *model = NULL;
    nn_infer *infer = NULL;
    float probabilities[LABELS];
    data_set *set = make_set();
    const nn_infer_options options = nn_infer_options_default();
    make_graph(&graph);
    (void)nn_add_scale(&graph, graph.node_count - 1, 0.25F);
    float *weights = calloc(nn_graph_state_count(&graph), sizeof *weights);
    assert_non_null(weights);
    assert_true(nn__has_priors(&graph, set));
    nn__set_priors(&graph, set, weights);
    assert_ok(nn_model_new(&graph, weights, data_describe(set), &model, &err), &err);
    assert_ok(nn_infer_new(model, &options, &infer, &err), &err);
    assert_ok(nn_infer_run(infer, data_pixels(set, 0), 1, probabilities, &err), &err);
    for (int label = 0; label < LABELS; label++) {
        const double count = (double)data_label_count(set, DATA_TRAIN, label);
        assert_float_equal(probabilities[label], count / TRAIN_COUNT, 1e-3);
    }
    free(weights);
    nn_infer_free(infer);
    nn_model_free(model);
    data_close(set);
}

static void write_exported(const nn_model *model, const data_set *set) {
    static float probabilities[EXPORTED * LABELS];
    ns_error err = {0};
    nn_infer *infer = NULL;
    const nn_infer_options options = nn_infer_options_default();
    assert_ok(nn_infer_new(model, &options, &infer, &err), &err);
    assert_ok(nn_infer_run(infer, data_pixels(set, 0), EXPORTED, probabilities, &err), &err);
    assert_ok(ns_dir_make("strokes", &err), &err);
    assert_ok(nn_export_onnx(model, "strokes/model.onnx", &err), &err);
    assert_ok(
        ns_file_write("strokes/pixels.bin", data_pixels(set, 0), (size_t)EXPORTED * PIXELS, &err),
        &err);
    assert_ok(ns_file_write("strokes/probabilities.bin", probabilities, sizeof probabilities, &err),
              &err);
    nn_infer_free(infer);
}

/// The trained model, exported, says the same in OpenCV.
static void test_exported_model_agrees(void **state) {
    (void)state;
    float at_mark = NAN;
    data_set *set = make_set();
    nn_model *model = train(set, 0, 1, &at_mark);
    write_exported(model, set);
    nn_model_free(model);
    data_close(set);
    const int status = system(PYTHON " " CHECK_ONNX " strokes");
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_TOOLS) {
        print_message("SKIPPED: %s cannot import onnx and cv2\n", PYTHON);
        skip();
    }
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_learns),
        cmocka_unit_test(test_it_learns_from_mixtures),
        cmocka_unit_test(test_single_label_model_does_not_fit),
        cmocka_unit_test(test_first_biases),
        cmocka_unit_test(test_exported_model_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
