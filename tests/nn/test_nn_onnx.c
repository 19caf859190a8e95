// ONNX export, judged by ONNX's own checker and by OpenCV, through check_onnx.py.

#include "tests/ns_test.h"

#include <string.h>
#include <sys/wait.h>

#include "nn/nn.h"
#include "tests/nn/fixture.h"

enum {
    COUNT = 7,
    IMAGE = FIXTURE_CHANNELS * FIXTURE_HEIGHT * FIXTURE_WIDTH,
    EXIT_NO_TOOLS = 77,
};

/// What a model may be besides its graph.
typedef struct kind {
    bool mirror_average, multi_label;
} kind;

static void write_case(const nn_graph *graph, kind of, const char *folder) {
    ns_error err = {0};
    char path[NS_PATH_MAX];
    float probabilities[COUNT * FIXTURE_LABEL_COUNT];
    nn_infer *infer = NULL;
    nn_model *model = fixture_model_of(graph, 23, of.multi_label);
    assert_non_null(model);
    nn_model_set_mirror_average(model, of.mirror_average);
    uint8_t *pixels = fixture_pixels_new(COUNT, 29);
    assert_ok(nn_infer_new(model,
                           &(nn_infer_options){
                               .batch_size = COUNT, .thread_count = 2, .dtype = NN_DTYPE_F32},
                           &infer, &err),
              &err);
    assert_ok(nn_infer_run(infer, pixels, COUNT, probabilities, &err), &err);
    assert_ok(ns_dir_make(folder, &err), &err);
    assert_ok(ns_path_join(folder, "model.onnx", path, &err), &err);
    assert_ok(nn_export_onnx(model, path, &err), &err);
    assert_ok(ns_path_join(folder, "pixels.bin", path, &err), &err);
    assert_ok(ns_file_write(path, pixels, (size_t)COUNT * IMAGE, &err), &err);
    assert_ok(ns_path_join(folder, "probabilities.bin", path, &err), &err);
    assert_ok(ns_file_write(path, probabilities, sizeof probabilities, &err), &err);
    free(pixels);
    nn_infer_free(infer);
    nn_model_free(model);
}

static void check_case(const char *folder) {
    char command[2 * NS_PATH_MAX];
    (void)snprintf(command, sizeof command, "%s %s %s", PYTHON, CHECK_ONNX, folder);
    const int status = system(command);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_TOOLS) {
        print_message("SKIPPED: %s cannot import onnx and cv2\n", PYTHON);
        skip();
    }
    assert_int_equal(status, 0);
}

static void test_every_op(void **state) {
    (void)state;
    static nn_graph graph;
    fixture_every_op_graph(&graph);
    write_case(&graph, (kind){false, false}, "every_op");
    check_case("every_op");
}

static void test_small(void **state) {
    (void)state;
    static nn_graph graph;
    fixture_small_graph(&graph);
    write_case(&graph, (kind){false, false}, "small");
    check_case("small");
}

static void test_without_linear(void **state) {
    (void)state;
    static nn_graph graph;
    fixture_linearless_graph(&graph);
    write_case(&graph, (kind){false, false}, "linearless");
    check_case("linearless");
}

static void test_mirror_average(void **state) {
    (void)state;
    static nn_graph graph;
    fixture_small_graph(&graph);
    write_case(&graph, (kind){true, false}, "mirrored");
    check_case("mirrored");
    fixture_linearless_graph(&graph);
    write_case(&graph, (kind){true, false}, "mirrored_linearless");
    check_case("mirrored_linearless");
}

static void test_multi_label(void **state) {
    (void)state;
    static nn_graph graph;
    fixture_small_graph(&graph);
    write_case(&graph, (kind){false, true}, "multi");
    check_case("multi");
    write_case(&graph, (kind){true, true}, "multi_mirrored");
    check_case("multi_mirrored");
}

/// The exported graph takes images of the set's size, as the model does.
static void test_shrinking(void **state) {
    (void)state;
    static nn_graph graph;
    fixture_small_graph_of(&graph, (nn_shape){FIXTURE_CHANNELS, 6, 5});
    write_case(&graph, (kind){false, false}, "half");
    check_case("half");
    fixture_small_graph_of(&graph, (nn_shape){FIXTURE_CHANNELS, 9, 5});
    write_case(&graph, (kind){true, false}, "less_mirrored");
    check_case("less_mirrored");
}

static void test_unwritable_place_is_named(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    fixture_small_graph(&graph);
    nn_model *model = fixture_model_new(&graph, 1);
    assert_int_not_equal(nn_export_onnx(model, "no/such/folder/model.onnx", &err), NS_OK);
    assert_non_null(strstr(err.text, "no/such/folder"));
    nn_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_without_linear),
        cmocka_unit_test(test_mirror_average),
        cmocka_unit_test(test_multi_label),
        cmocka_unit_test(test_shrinking),
        cmocka_unit_test(test_unwritable_place_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
