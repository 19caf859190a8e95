// Fusing: which nodes become one and which must not, and whole nets of fused nodes against the
// reference, which fuses nothing: initial state, loss, logits, gradients, running statistics.

#include "nn/nn_internal.h"
#include "tests/nn/nets.h"

static int conv_norm(nn_graph *graph, int x, int channels, nn_activation activation) {
    return nn_add_batch_norm(graph, nn_add_conv(graph, x, channels, 3, 1, 1, false), activation);
}

static void finish(nn_graph *graph, int x) {
    x = nn_add_global_pool(graph, NN_OP_GLOBAL_AVERAGE_POOL, x);
    (void)nn_add_linear(graph, nn_add_dropout(graph, x, 0.2F), 4);
}

/// Stem, pool, residual block with its activation before the sum.
static void after_net(nn_graph *graph, nn_activation activation) {
    nn_graph_init(graph);
    int x = conv_norm(graph, nn_add_input(graph, (nn_shape){1, 12, 13}), 20, activation);
    x = conv_norm(graph, x, 32, activation);
    x = nn_add_pool(graph, NN_OP_MAX_POOL, x, 2, 2, 0);
    const int y = conv_norm(graph, conv_norm(graph, x, 20, activation), 32, activation);
    finish(graph, nn_add_add(graph, x, y));
}

/// A wide stem, a block with its activation behind the sum and a convolution as its shortcut.
static void before_net(nn_graph *graph, nn_activation activation) {
    nn_graph_init(graph);
    int x = nn_add_input(graph, (nn_shape){3, 9, 10});
    x = nn_add_conv(graph, x, 24, 3, 2, 1, false);
    x = nn_add_batch_norm(graph, x, activation);
    const int y = conv_norm(graph, x, 32, NN_ACTIVATION_NONE);
    x = conv_norm(graph, x, 32, NN_ACTIVATION_NONE);
    x = nn_add_activation(graph, nn_add_add(graph, x, y), activation);
    x = nn_add_pool(graph, NN_OP_AVERAGE_POOL, conv_norm(graph, x, 16, activation), 2, 2, 0);
    finish(graph, x);
}

/// Nothing here may be fused but the stem: two readers, the later summand no batch norm, a pool of
/// another size, a sigmoid, a batch norm that feeds the caller's logits.
static void stubborn_net(nn_graph *graph) {
    nn_graph_init(graph);
    int x = conv_norm(graph, nn_add_input(graph, (nn_shape){2, 8, 8}), 8, NN_ACTIVATION_RELU);
    x = conv_norm(graph, x, 8, NN_ACTIVATION_RELU);
    const int pooled = nn_add_pool(graph, NN_OP_MAX_POOL, x, 2, 2, 0);
    x = nn_add_pool(graph, NN_OP_AVERAGE_POOL, x, 2, 2, 0);
    x = nn_add_add(graph, x, pooled);
    const int norm = conv_norm(graph, x, 8, NN_ACTIVATION_NONE);
    x = nn_add_add(graph, norm, nn_add_conv(graph, x, 8, 1, 1, 1, false));
    x = nn_add_pool(graph, NN_OP_MAX_POOL, conv_norm(graph, x, 8, NN_ACTIVATION_RELU), 3, 1, 1);
    x = nn_add_pool(graph, NN_OP_MAX_POOL, conv_norm(graph, x, 8, NN_ACTIVATION_SIGMOID), 2, 2, 0);
    (void)conv_norm(graph, x, 3, NN_ACTIVATION_RELU);
}

/* ---- which ----------------------------------------------------------------------------------- */

static int kind_count(const nn_graph *graph, nn_op_kind kind) {
    int count = 0;
    for (int i = 0; i < graph->node_count; i++) {
        count += graph->node[i].kind == kind;
    }
    return count;
}

static const nn_graph *fuse(const nn_graph *graph, const bool *barred) {
    static nn_fused fused;
    ns_error err = {0};
    assert_ok(nn_graph_check(graph, &err), &err);
    assert_ok(nn__fuse(graph, true, barred, &fused, &err), &err);
    for (int i = 1; i < fused.graph.node_count; i++) {
        assert_true(fused.source[i] >= fused.source[i - 1]);
        for (int k = 0; k < nn__op_of(fused.graph.node[i].kind)->input_count; k++) {
            assert_in_range(fused.graph.node[i].input[k], 0, i - 1);
        }
    }
    return &fused.graph;
}

static void test_chains_become_one(void **state) {
    (void)state;
    const bool barred[NN_NODES_MAX] = {false};
    nn_graph graph;
    after_net(&graph, NN_ACTIVATION_RELU);
    const nn_graph *got = fuse(&graph, barred);
    assert_int_equal(got->node_count, graph.node_count - 2);
    assert_int_equal(kind_count(got, NN_OP_STEM_NORM), 1);
    assert_int_equal(kind_count(got, NN_OP_NORM_POOL), 1);
    assert_int_equal(kind_count(got, NN_OP_NORM_ADD), 1);
    before_net(&graph, NN_ACTIVATION_SILU);
    got = fuse(&graph, barred);
    assert_int_equal(got->node_count, graph.node_count - 3);
    assert_int_equal(kind_count(got, NN_OP_STEM_NORM), 1);
    assert_int_equal(kind_count(got, NN_OP_NORM_ADD_ACT), 1);
    assert_int_equal(kind_count(got, NN_OP_NORM_AVERAGE), 1);
}

static void test_what_others_read_stays(void **state) {
    (void)state;
    bool barred[NN_NODES_MAX] = {false};
    nn_graph graph;
    stubborn_net(&graph);
    const nn_graph *got = fuse(&graph, barred);
    assert_int_equal(got->node_count, graph.node_count + 1); // the sigmoid has its own
    assert_int_equal(kind_count(got, NN_OP_STEM_NORM), 1);
    assert_int_equal(kind_count(got, NN_OP_NORM_POOL), 0);
    assert_int_equal(kind_count(got, NN_OP_NORM_ADD), 0);
    assert_int_equal(kind_count(got, NN_OP_NORM_ADD_ACT), 0);
    after_net(&graph, NN_ACTIVATION_GELU);
    memset(barred, true, sizeof barred);
    got = fuse(&graph, barred);
    assert_int_equal(kind_count(got, NN_OP_BATCH_NORM), 4);
    assert_int_equal(kind_count(got, NN_OP_ACTIVATION), 4);
}

static void test_a_file_cannot_name_fused_ops(void **state) {
    (void)state;
    nn_graph graph, read;
    ns_error err = {0};
    after_net(&graph, NN_ACTIVATION_RELU);
    graph.node[2].kind = NN_OP_STEM_NORM;
    ns_json *json = nn_graph_to_json(&graph);
    assert_status(nn_graph_from_json(json, &read, &err), NS_ERR_INPUT);
    ns_json_free(json);
}

/* ---- what they compute ----------------------------------------------------------------------- */

static nn_net *net_of(const nn_graph *graph, nn_backend backend, nn_dtype dtype, int thread_count) {
    nn_net_options options = nn_net_options_default();
    options.backend = backend;
    options.dtype = dtype;
    options.batch_size = 6;
    options.thread_count = thread_count;
    return net_ready(graph, options);
}

/// Scales and shifts of all signs; both nets begin alike.
static void stir(const nn_graph *graph, nn_net *fast, nn_net *plain) {
    const size_t count = nn_graph_state_count(graph);
    float *got = calloc(count, sizeof *got), *want = calloc(count, sizeof *want);
    assert_non_null(got);
    assert_non_null(want);
    nn_net_get_state(fast, got);
    nn_net_get_state(plain, want);
    assert_memory_equal(got, want, count * sizeof *got);
    ns_rng rng = ns_rng_stream(3, 0, "stir");
    for (size_t i = 0; i < count; i++) {
        want[i] += 0.2F * (float)ns_rng_normal(&rng);
    }
    nn_net_set_state(fast, want);
    nn_net_set_state(plain, want);
    free(got);
    free(want);
}

static void compare(const nn_graph *graph, nn_dtype dtype, int thread_count) {
    const bool exact = dtype == NN_DTYPE_F32;
    nn_net *fast = net_of(graph, NN_BACKEND_ONEDNN, dtype, thread_count);
    nn_net *plain = net_of(graph, NN_BACKEND_REFERENCE, NN_DTYPE_F32, 1);
    stir(graph, fast, plain);
    const size_t count = nn_graph_state_count(graph);
    const size_t logit_count = 6 * (size_t)nn_net_class_count(plain);
    for (uint64_t step = 0; step < 2; step++) { // nothing is left over from the step before
        const float got = nn_net_forward_backward(fast, step);
        const float want = nn_net_forward_backward(plain, step);
        assert_close(&got, &want, 1, exact ? 1e-5 : 0.02);
        assert_close_in_length(nn_net_logits(fast), nn_net_logits(plain), logit_count,
                               exact ? 1e-5 : 0.03);
        float *fast_gradient = plain_gradients(graph, fast);
        float *plain_gradient = plain_gradients(graph, plain);
        assert_close_in_length(fast_gradient, plain_gradient, count, exact ? 1e-4 : 0.12);
        nn_net_get_state(fast, fast_gradient);
        nn_net_get_state(plain, plain_gradient);
        assert_close_in_length(fast_gradient, plain_gradient, count, exact ? 1e-5 : 0.01);
        free(fast_gradient);
        free(plain_gradient);
    }
    nn_net_free(fast);
    nn_net_free(plain);
}

static void compare_all(nn_dtype dtype, int activation_count) {
    nn_graph graph;
    for (int activation = 0; activation < activation_count; activation++) {
        print_message("%s\n", nn__activation_names[activation]);
        after_net(&graph, (nn_activation)activation);
        compare(&graph, dtype, 1 + activation % 3);
        if (activation != NN_ACTIVATION_NONE) {
            before_net(&graph, (nn_activation)activation);
            compare(&graph, dtype, 1 + (activation + 1) % 3);
        }
    }
}

static void test_f32_agrees_with_reference(void **state) {
    (void)state;
    nn_graph graph;
    compare_all(NN_DTYPE_F32, NN_ACTIVATION_COUNT);
    stubborn_net(&graph);
    compare(&graph, NN_DTYPE_F32, 2);
}

static void test_bf16_agrees_with_reference(void **state) {
    (void)state;
    if (has_bf16()) {
        compare_all(NN_DTYPE_BF16, NN_ACTIVATION_SIGMOID); // never fused, and its slopes are small
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains_become_one),
        cmocka_unit_test(test_what_others_read_stays),
        cmocka_unit_test(test_a_file_cannot_name_fused_ops),
        cmocka_unit_test(test_f32_agrees_with_reference),
        cmocka_unit_test(test_bf16_agrees_with_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
