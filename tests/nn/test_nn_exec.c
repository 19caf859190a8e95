// Whole small networks: gradients by finite differences, both backends side by side over training,
// determinism, state in and out, and the promises about memory: the plan is what is allocated, a
// limit is kept, a step leaves the heap as it was.

#include <malloc.h>

#include "nn/exec.h"
#include "tests/nn/nets.h"

#define WARM_STEPS           4
#define COUNTED_STEPS        100
#define SMALLEST_BLOCK_BYTES ((size_t)32) // of glibc's malloc

static nn_net_options options_of(nn_backend backend, int batch_size) {
    nn_net_options options = nn_net_options_default();
    options.dtype = NN_DTYPE_F32;
    options.backend = backend;
    options.batch_size = batch_size;
    options.thread_count = 1; // two only where it matters: they crawl when the machine is shared
    options.label_smoothing = 0.1F;
    return options;
}

static void check_slopes(nn_backend backend) {
    nn_graph graph;
    small_net(&graph, 4);
    nn_net *net = net_ready(&graph, options_of(backend, 3));
    assert_slopes(&graph, net, 20);
    nn_net_free(net);
}

static void test_reference_gradients_are_slopes(void **state) {
    (void)state;
    check_slopes(NN_BACKEND_REFERENCE);
}

static void test_onednn_gradients_are_slopes(void **state) {
    (void)state;
    check_slopes(NN_BACKEND_ONEDNN);
}

/// Wider than a block of channels, so that blocked layouts and Winograd come in.
static void mixed_net(nn_graph *graph) {
    nn_graph_init(graph);
    int x = nn_add_input(graph, (nn_shape){1, 12, 11});
    x = nn_add_batch_norm(graph, nn_add_conv(graph, x, 16, 3, 1, 1, false), NN_ACTIVATION_RELU);
    int y = nn_add_batch_norm(graph, nn_add_conv(graph, x, 16, 3, 1, 1, false), NN_ACTIVATION_RELU);
    x = nn_add_add(graph, y, x);
    x = nn_add_pool(graph, NN_OP_MAX_POOL, x, 3, 2, 1);
    x = nn_add_batch_norm(graph, nn_add_conv(graph, x, 24, 3, 1, 1, false), NN_ACTIVATION_RELU);
    y = nn_add_batch_norm(graph, nn_add_conv(graph, x, 24, 3, 1, 24, false), NN_ACTIVATION_RELU);
    y = nn_add_batch_norm(graph, nn_add_conv(graph, y, 24, 1, 1, 1, false), NN_ACTIVATION_NONE);
    x = nn_add_activation(graph, nn_add_add(graph, x, y), NN_ACTIVATION_RELU);
    x = nn_add_global_pool(graph, NN_OP_GLOBAL_AVERAGE_POOL, x);
    (void)nn_add_linear(graph, x, 7);
}

/// The same joins without a corner: where a ReLU's input is almost 0, or two values of a maximum almost
/// equal, rounding decides, and from then on two trainings part.
static void smooth_net(nn_graph *graph) {
    const nn_activation silu = NN_ACTIVATION_SILU;
    nn_graph_init(graph);
    int x = nn_add_input(graph, (nn_shape){1, 12, 11});
    x = nn_add_batch_norm(graph, nn_add_conv(graph, x, 16, 3, 1, 1, false), silu);
    int y = nn_add_batch_norm(graph, nn_add_conv(graph, x, 16, 3, 1, 1, false), silu);
    x = nn_add_add(graph, y, x);
    x = nn_add_pool(graph, NN_OP_AVERAGE_POOL, x, 3, 2, 1);
    x = nn_add_batch_norm(graph, nn_add_conv(graph, x, 32, 3, 1, 1, false), silu);
    x = nn_add_batch_norm(graph, nn_add_conv(graph, x, 32, 3, 1, 1, false), NN_ACTIVATION_NONE);
    x = nn_add_global_pool(graph, NN_OP_GLOBAL_AVERAGE_POOL, x);
    (void)nn_add_linear(graph, x, 7);
}

static void plain_sgd(nn_net *net, float rate) {
    const nn_params params = nn_net_params(net);
    for (size_t i = 0; i < params.count; i++) {
        params.value[i] -= rate * params.gradient[i];
    }
}

/// Same start, same batches: losses and weights stay together to rounding.
static void test_two_hundred_steps_agree_with_reference(void **state) {
    (void)state;
    nn_graph graph;
    smooth_net(&graph);
    nn_net *fast = net_ready(&graph, options_of(NN_BACKEND_ONEDNN, 4));
    nn_net *plain = net_ready(&graph, options_of(NN_BACKEND_REFERENCE, 4));
    for (uint64_t step = 0; step < 200; step++) {
        fill_batch(fast, input_count_of(&graph, 4), 4, step);
        fill_batch(plain, input_count_of(&graph, 4), 4, step);
        const float fast_loss = nn_net_forward_backward(fast, step);
        const float plain_loss = nn_net_forward_backward(plain, step);
        if (!(fabsf(fast_loss - plain_loss) <= 2e-5F * plain_loss)) {
            fail_msg("step %d: loss %g, reference %g", (int)step, (double)fast_loss,
                     (double)plain_loss);
        }
        plain_sgd(fast, 0.02F);
        plain_sgd(plain, 0.02F);
    }
    const size_t count = nn_graph_state_count(&graph);
    float *got = calloc(count, sizeof *got), *want = calloc(count, sizeof *want);
    nn_net_get_state(fast, got);
    nn_net_get_state(plain, want);
    assert_close(got, want, count, 1e-4);
    free(got);
    free(want);
    nn_net_free(fast);
    nn_net_free(plain);
}

static void test_same_seed_and_threads_give_the_same_bits(void **state) {
    (void)state;
    nn_graph graph;
    mixed_net(&graph);
    const size_t count = nn_graph_state_count(&graph);
    float *result[2];
    for (int run = 0; run < 2; run++) {
        nn_net_options options = options_of(NN_BACKEND_ONEDNN, 8);
        options.thread_count = 2;
        nn_net *net = net_ready(&graph, options);
        for (uint64_t step = 0; step < 5; step++) {
            (void)nn_net_forward_backward(net, step);
            plain_sgd(net, 0.05F);
        }
        result[run] = calloc(count, sizeof *result[run]);
        nn_net_get_state(net, result[run]);
        nn_net_free(net);
    }
    assert_memory_equal(result[0], result[1], count * sizeof(float));
    free(result[0]);
    free(result[1]);
}

static void check_round_trip(nn_backend backend, nn_mode mode) {
    nn_graph graph;
    small_net(&graph, 12);
    nn_net_options options = options_of(backend, 2);
    options.mode = mode;
    nn_net *net = net_ready(&graph, options);
    const size_t count = nn_graph_state_count(&graph);
    float *in = calloc(count, sizeof *in), *out = calloc(count, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        in[i] = (float)i + 0.5F;
    }
    nn_net_set_state(net, in);
    nn_net_get_state(net, out);
    assert_memory_equal(in, out, count * sizeof *in);
    if (mode == NN_MODE_TRAIN) {
        nn_net_set_momentum(net, in);
        nn_net_get_momentum(net, out);
        nn_net_set_momentum(net, out);
        nn_net_get_momentum(net, in);
        assert_memory_equal(in, out, count * sizeof *in);
        assert_float_equal(out[7], 7.5F, 0.0F);
        const nn_params params = nn_net_params(net);
        assert_int_equal(params.count % 16, 0);
        assert_int_equal((uintptr_t)params.value % 64, 0);
    }
    free(in);
    free(out);
    nn_net_free(net);
}

static void test_state_round_trip(void **state) {
    (void)state;
    check_round_trip(NN_BACKEND_REFERENCE, NN_MODE_TRAIN);
    check_round_trip(NN_BACKEND_ONEDNN, NN_MODE_TRAIN);
    check_round_trip(NN_BACKEND_REFERENCE, NN_MODE_INFER);
    check_round_trip(NN_BACKEND_ONEDNN, NN_MODE_INFER);
}

/// Inference with running statistics, fused activations on conv and add, against the reference.
static void test_inference_agrees_with_reference(void **state) {
    (void)state;
    nn_graph graph;
    mixed_net(&graph);
    for (int i = 0; i < graph.node_count; i++) {
        nn_node *node = &graph.node[i];
        if (node->kind == NN_OP_CONV || node->kind == NN_OP_ADD) {
            node->activation = (nn_activation)(i % NN_ACTIVATION_COUNT);
        }
    }
    nn_net *net[2];
    for (int b = 0; b < 2; b++) {
        nn_net_options options = options_of(b == 0 ? NN_BACKEND_ONEDNN : NN_BACKEND_REFERENCE, 5);
        options.mode = NN_MODE_INFER;
        net[b] = net_ready(&graph, options);
        nn_net_forward(net[b]);
    }
    assert_close(nn_net_logits(net[0]), nn_net_logits(net[1]), (size_t)5 * 7, 1e-4);
    nn_net_init(net[0], 99); // changed weights are taken over
    nn_net_init(net[1], 99);
    nn_net_forward(net[0]);
    nn_net_forward(net[1]);
    assert_close(nn_net_logits(net[0]), nn_net_logits(net[1]), (size_t)5 * 7, 1e-4);
    nn_net_free(net[0]);
    nn_net_free(net[1]);
}

static void test_fused_activation_is_not_for_training(void **state) {
    (void)state;
    nn_graph graph;
    mixed_net(&graph);
    graph.node[1].activation = NN_ACTIVATION_RELU;
    nn_plan plan;
    ns_error err = {0};
    const nn_net_options options = options_of(NN_BACKEND_ONEDNN, 5);
    assert_status(nn_plan_make(&graph, &options, &plan, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "node 1"));
}

static void test_plan_is_what_is_allocated(void **state) {
    (void)state;
    nn_graph graph;
    mixed_net(&graph);
    for (int mode = 0; mode < 2; mode++) {
        nn_net_options options = options_of(NN_BACKEND_ONEDNN, 32);
        options.mode = mode == 0 ? NN_MODE_TRAIN : NN_MODE_INFER;
        nn_plan plan;
        ns_error err = {0};
        assert_ok(nn_plan_make(&graph, &options, &plan, &err), &err);
        nn_net *net = NULL;
        options.mem_bytes_max = plan.arena_bytes - 1;
        assert_status(nn_net_new(&graph, &options, &net, &err), NS_ERR_LIMIT);
        assert_null(net);
        assert_non_null(strstr(err.text, "MB"));
        options.mem_bytes_max = plan.arena_bytes;
        assert_ok(nn_net_new(&graph, &options, &net, &err), &err);
        nn_net_free(net);
    }
}

/// Buffers are shared over time: a deep net in inference needs little more than two activations.
static void test_inference_reuses_memory(void **state) {
    (void)state;
    nn_graph graph;
    nn_graph_init(&graph);
    int x = nn_add_input(&graph, (nn_shape){1, 32, 32});
    for (int i = 0; i < 40; i++) {
        x = nn_add_activation(&graph, x, NN_ACTIVATION_RELU);
    }
    nn_net_options options = options_of(NN_BACKEND_ONEDNN, 64);
    options.mode = NN_MODE_INFER;
    nn_plan plan;
    ns_error err = {0};
    assert_ok(nn_plan_make(&graph, &options, &plan, &err), &err);
    const size_t tensor_bytes = (size_t)64 * 32 * 32 * 4;
    assert_in_range(plan.arena_bytes, 4 * tensor_bytes, 4 * tensor_bytes + 4096); // and the logits
}

/// oneDNN takes and returns a few hundred bytes a primitive; nothing stays, and nothing is large. What
/// is given back may stay in the thread's cache, which malloc counts as taken, so some blocks more or
/// fewer mean nothing; what is refused is the smallest block a step.
static void test_step_leaves_the_heap_alone(void **state) {
    (void)state;
    nn_graph graph;
    mixed_net(&graph);
    nn_net *net = net_ready(&graph, options_of(NN_BACKEND_ONEDNN, 16));
    uint64_t step = 0;
    for (; step < WARM_STEPS; step++) {
        (void)nn_net_forward_backward(net, step);
    }
    const struct mallinfo2 before = mallinfo2();
    for (; step < WARM_STEPS + COUNTED_STEPS; step++) {
        (void)nn_net_forward_backward(net, step);
    }
    const struct mallinfo2 after = mallinfo2();
    assert_in_range(after.uordblks, 0, before.uordblks + SMALLEST_BLOCK_BYTES * COUNTED_STEPS - 1);
    assert_int_equal(after.arena, before.arena);
    assert_int_equal(after.hblkhd, before.hblkhd);
    nn_net_free(net);
}

/// A profile is a step, and its rows are the step's parts: each layer forward once and, where it or
/// something before it learns, backward. A fused layer counts under the first of its nodes.
static void test_profile_is_the_step_in_parts(void **state) {
    (void)state;
    nn_graph graph;
    mixed_net(&graph);
    nn_net *net = net_ready(&graph, options_of(NN_BACKEND_ONEDNN, 8));
    static nn_profile profile;
    const float want = nn_net_forward_backward(net, 5);
    const float got = nn_net_profile(net, 5, &profile);
    assert_float_equal(got, want, 0.0F);
    int count[NN_PASS_COUNT] = {0};
    int64_t flops = 0;
    for (int i = 0; i < profile.row_count; i++) {
        const nn_profile_row *row = &profile.row[i];
        count[row->pass]++;
        flops += row->kind == NN_OP_CONV ? row->flops : 0;
        assert_true(row->ms >= 0.0);
        assert_true(row->bytes >= 0);
        const bool fused = nn__op_of(row->kind)->fields & NN__FIELD_FUSED;
        assert_int_equal(fused ? NN_OP_BATCH_NORM : row->kind, graph.node[row->node].kind);
    }
    assert_in_range(count[NN_PASS_FORWARD], graph.node_count / 2, graph.node_count - 1);
    assert_int_equal(count[NN_PASS_BACKWARD] + count[NN_PASS_BACKWARD_WEIGHTS],
                     count[NN_PASS_FORWARD]);
    assert_int_equal(count[NN_PASS_SUM], 2); // of the tensors that two branches read
    assert_int_equal(count[NN_PASS_LOSS], 1);
    assert_true(flops > 8 * nn_graph_count(&graph).forward_flops);
    nn_net_free(net);
}

/// ResNet-9 of the usual form, narrow.
static void nine_layers(nn_graph *graph) {
    const nn_activation relu = NN_ACTIVATION_RELU;
    nn_graph_init(graph);
    int x = nn_add_input(graph, (nn_shape){1, 28, 28});
    for (int stage = 0; stage < 3; stage++) {
        const int width = 16 << stage;
        x = nn_add_batch_norm(graph, nn_add_conv(graph, x, width, 3, 1, 1, false), relu);
        int y = nn_add_batch_norm(graph, nn_add_conv(graph, x, width, 3, 1, 1, false), relu);
        y = nn_add_batch_norm(graph, nn_add_conv(graph, y, width, 3, 1, 1, false), relu);
        x = nn_add_pool(graph, NN_OP_MAX_POOL, nn_add_add(graph, y, x), 2, 2, 0);
    }
    x = nn_add_global_pool(graph, NN_OP_GLOBAL_MAX_POOL, x);
    (void)nn_add_scale(graph, nn_add_linear(graph, x, 10), 0.25F);
}

/// Maps keep the layout in which the first convolution leaves them; only images are brought to it.
static void test_no_map_changes_its_layout(void **state) {
    (void)state;
    nn_graph graph;
    nine_layers(&graph);
    const int type_count = has_bf16() ? 2 : 1;
    for (int type = 0; type < type_count; type++) {
        nn_net_options options = options_of(NN_BACKEND_ONEDNN, 8);
        options.dtype = type == 0 ? NN_DTYPE_F32 : NN_DTYPE_BF16;
        nn_net *net = net_ready(&graph, options);
        for (int i = 2; i < net->layer_count; i++) {
            const nn__layer *layer = &net->layer[i];
            const bool reads_images = layer->from[0]->node->kind == NN_OP_INPUT;
            if (layer->map_reorder_count > 0 && !reads_images) {
                fail_msg("%s: %d reorders of maps at layer %d, %s", nn_dtype_name(options.dtype),
                         layer->map_reorder_count, i, nn__op_of(layer->node->kind)->name);
            }
        }
        nn_net_free(net);
    }
}

static void test_platform_is_described(void **state) {
    (void)state;
    const nn_platform platform = nn_platform_describe();
    assert_non_null(strstr(platform.library, "oneDNN "));
    assert_true(strlen(platform.isa) > 0);
    assert_string_equal(platform.numeric_types,
                        nn_dtype_resolve(NN_DTYPE_AUTO) == NN_DTYPE_BF16 ? "f32 and bf16" : "f32");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_gradients_are_slopes),
        cmocka_unit_test(test_onednn_gradients_are_slopes),
        cmocka_unit_test(test_two_hundred_steps_agree_with_reference),
        cmocka_unit_test(test_same_seed_and_threads_give_the_same_bits),
        cmocka_unit_test(test_state_round_trip),
        cmocka_unit_test(test_inference_agrees_with_reference),
        cmocka_unit_test(test_fused_activation_is_not_for_training),
        cmocka_unit_test(test_plan_is_what_is_allocated),
        cmocka_unit_test(test_inference_reuses_memory),
        cmocka_unit_test(test_step_leaves_the_heap_alone),
        cmocka_unit_test(test_profile_is_the_step_in_parts),
        cmocka_unit_test(test_no_map_changes_its_layout),
        cmocka_unit_test(test_platform_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
