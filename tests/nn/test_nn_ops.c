// Every op, both backends: forward, gradients and running statistics of oneDNN's form against the
// reference's, and the reference's gradients against finite differences; over strides, groups,
// depthwise, odd sizes, padding, channel counts around a block, batches of one and more.
//
// Each case is a small graph: input, a 1x1 convolution (so that a gradient flows through the op's
// input and shows up in its weights), the op under test, and the loss over all its outputs. The
// same op right behind the input is run too: there it needs no input gradient.

#include "nn/nn_internal.h"
#include "tests/nn/nets.h"

typedef struct op_case {
    nn_op_kind kind;
    nn_shape in;
    int out, kernel, stride, pad, groups;
    bool bias, frozen;
    nn_activation activation;
    float value;
} op_case;

static const op_case cases[] = {
    {.kind = NN_OP_CONV, .in = {3, 7, 5}, .out = 4, .kernel = 3, .stride = 1, .pad = 1},
    {.kind = NN_OP_CONV, .in = {1, 9, 9}, .out = 16, .kernel = 3, .stride = 1, .pad = 1},
    {.kind = NN_OP_CONV, .in = {16, 9, 8}, .out = 32, .kernel = 3, .stride = 1, .pad = 1},
    {.kind = NN_OP_CONV, .in = {32, 14, 14}, .out = 16, .kernel = 3, .stride = 1, .pad = 1},
    // Winograd where oneDNN has it, from batch 3 on
    {.kind = NN_OP_CONV,
     .in = {32, 14, 12},
     .out = 32,
     .kernel = 3,
     .stride = 1,
     .pad = 1,
     .bias = true},
    {.kind = NN_OP_CONV, .in = {16, 12, 12}, .out = 16, .kernel = 3, .stride = 1, .pad = 1},
    // our own in bf16, whatever is left over of 64 channels and of blocks of tiles
    {.kind = NN_OP_CONV, .in = {48, 7, 9}, .out = 112, .kernel = 3, .stride = 1, .pad = 1},
    {.kind = NN_OP_CONV, .in = {64, 8, 13}, .out = 80, .kernel = 3, .stride = 1, .pad = 1},
    {.kind = NN_OP_CONV,
     .in = {16, 7, 7},
     .out = 16,
     .kernel = 3,
     .stride = 1,
     .pad = 0,
     .bias = true},
    {.kind = NN_OP_CONV,
     .in = {10, 8, 7},
     .out = 20,
     .kernel = 3,
     .stride = 2,
     .pad = 1,
     .bias = true},
    {.kind = NN_OP_CONV, .in = {24, 6, 6}, .out = 40, .kernel = 1, .stride = 1, .pad = 0},
    {.kind = NN_OP_CONV, .in = {16, 7, 7}, .out = 24, .kernel = 1, .stride = 2, .pad = 0},
    {.kind = NN_OP_CONV,
     .in = {3, 11, 11},
     .out = 8,
     .kernel = 5,
     .stride = 2,
     .pad = 2,
     .bias = true},
    {.kind = NN_OP_CONV, .in = {8, 6, 6}, .out = 8, .kernel = 7, .stride = 1, .pad = 3},
    {.kind = NN_OP_CONV,
     .in = {8, 6, 7},
     .out = 12,
     .kernel = 3,
     .stride = 1,
     .pad = 1,
     .groups = 2},
    {.kind = NN_OP_CONV,
     .in = {32, 5, 5},
     .out = 32,
     .kernel = 3,
     .stride = 1,
     .pad = 1,
     .groups = 2},
    {.kind = NN_OP_CONV,
     .in = {16, 8, 8},
     .out = 16,
     .kernel = 3,
     .stride = 1,
     .pad = 1,
     .groups = 16},
    {.kind = NN_OP_CONV,
     .in = {20, 7, 7},
     .out = 20,
     .kernel = 5,
     .stride = 2,
     .pad = 2,
     .groups = 20,
     .bias = true},
    {.kind = NN_OP_CONV,
     .in = {6, 7, 7},
     .out = 12,
     .kernel = 3,
     .stride = 1,
     .pad = 1,
     .groups = 6},
    {.kind = NN_OP_CONV,
     .in = {24, 9, 7},
     .out = 24,
     .kernel = 3,
     .stride = 2,
     .pad = 1,
     .groups = 24},
    {.kind = NN_OP_CONV,
     .in = {40, 7, 9},
     .out = 40,
     .kernel = 5,
     .stride = 1,
     .pad = 2,
     .groups = 40},
    {.kind = NN_OP_CONV,
     .in = {16, 5, 6},
     .out = 16,
     .kernel = 3,
     .stride = 1,
     .pad = 1,
     .bias = true,
     .frozen = true},
    {.kind = NN_OP_CONV, .in = {4, 1, 1}, .out = 4, .kernel = 3, .stride = 1, .pad = 1},
    {.kind = NN_OP_BATCH_NORM, .in = {5, 7, 3}},
    {.kind = NN_OP_BATCH_NORM, .in = {5, 7, 3}, .activation = NN_ACTIVATION_RELU},
    {.kind = NN_OP_BATCH_NORM, .in = {16, 4, 4}, .activation = NN_ACTIVATION_RELU},
    {.kind = NN_OP_BATCH_NORM, .in = {40, 5, 5}, .activation = NN_ACTIVATION_RELU},
    {.kind = NN_OP_BATCH_NORM, .in = {5, 7, 3}, .activation = NN_ACTIVATION_SILU},
    {.kind = NN_OP_BATCH_NORM, .in = {40, 5, 5}, .activation = NN_ACTIVATION_SILU},
    {.kind = NN_OP_BATCH_NORM, .in = {5, 7, 3}, .activation = NN_ACTIVATION_GELU},
    {.kind = NN_OP_BATCH_NORM, .in = {16, 4, 4}, .activation = NN_ACTIVATION_GELU},
    {.kind = NN_OP_BATCH_NORM, .in = {5, 7, 3}, .activation = NN_ACTIVATION_SIGMOID},
    {.kind = NN_OP_BATCH_NORM, .in = {16, 4, 4}, .activation = NN_ACTIVATION_SIGMOID},
    {.kind = NN_OP_ACTIVATION, .in = {5, 3, 4}, .activation = NN_ACTIVATION_RELU},
    {.kind = NN_OP_ACTIVATION, .in = {16, 3, 4}, .activation = NN_ACTIVATION_RELU},
    {.kind = NN_OP_ACTIVATION, .in = {5, 3, 4}, .activation = NN_ACTIVATION_SILU},
    {.kind = NN_OP_ACTIVATION, .in = {16, 3, 4}, .activation = NN_ACTIVATION_SILU},
    {.kind = NN_OP_ACTIVATION, .in = {5, 3, 4}, .activation = NN_ACTIVATION_GELU},
    {.kind = NN_OP_ACTIVATION, .in = {16, 3, 4}, .activation = NN_ACTIVATION_GELU},
    {.kind = NN_OP_ACTIVATION, .in = {5, 3, 4}, .activation = NN_ACTIVATION_SIGMOID},
    {.kind = NN_OP_ACTIVATION, .in = {16, 3, 4}, .activation = NN_ACTIVATION_SIGMOID},
    {.kind = NN_OP_ADD, .in = {18, 3, 4}},
    {.kind = NN_OP_MULTIPLY, .in = {20, 3, 4}},
    {.kind = NN_OP_MULTIPLY, .in = {32, 5, 5}},
    {.kind = NN_OP_MULTIPLY, .in = {48, 1, 1}},
    {.kind = NN_OP_MULTIPLY, .in = {24, 5, 4}, .out = 8}, // squeeze-excite
    {.kind = NN_OP_MAX_POOL, .in = {4, 8, 8}, .kernel = 2, .stride = 2},
    {.kind = NN_OP_MAX_POOL, .in = {16, 7, 9}, .kernel = 2, .stride = 2},
    {.kind = NN_OP_MAX_POOL, .in = {20, 7, 9}, .kernel = 3, .stride = 2, .pad = 1},
    {.kind = NN_OP_MAX_POOL, .in = {16, 6, 5}, .kernel = 3, .stride = 1, .pad = 1},
    {.kind = NN_OP_AVERAGE_POOL, .in = {4, 8, 8}, .kernel = 2, .stride = 2},
    {.kind = NN_OP_AVERAGE_POOL, .in = {20, 7, 9}, .kernel = 3, .stride = 2, .pad = 1},
    {.kind = NN_OP_AVERAGE_POOL, .in = {16, 6, 5}, .kernel = 3, .stride = 1, .pad = 1},
    {.kind = NN_OP_GLOBAL_MAX_POOL, .in = {7, 5, 3}},
    {.kind = NN_OP_GLOBAL_MAX_POOL, .in = {32, 7, 7}},
    {.kind = NN_OP_GLOBAL_AVERAGE_POOL, .in = {7, 5, 3}},
    {.kind = NN_OP_GLOBAL_AVERAGE_POOL, .in = {32, 7, 7}},
    {.kind = NN_OP_LINEAR, .in = {7, 3, 2}, .out = 5},
    {.kind = NN_OP_LINEAR, .in = {48, 1, 1}, .out = 10},
    {.kind = NN_OP_LINEAR, .in = {16, 4, 4}, .out = 33},
    {.kind = NN_OP_DROPOUT, .in = {32, 1, 1}, .value = 0.4F},
    {.kind = NN_OP_SCALE, .in = {18, 3, 3}, .value = -0.3F},
};

static int add_op(nn_graph *graph, const op_case *c, int x) {
    switch (c->kind) {
    case NN_OP_CONV: {
        const int node = nn_add_conv(graph, x, c->out, c->kernel, c->stride,
                                     c->groups > 0 ? c->groups : 1, c->bias);
        if (c->pad != c->kernel / 2) { // the one thing nn_add_conv does not offer
            graph->node_count--;
            nn_node copy = graph->node[node];
            copy.pad = c->pad;
            copy.shape.height -= 2;
            copy.shape.width -= 2;
            graph->node[graph->node_count++] = copy;
        }
        return c->frozen ? nn_set_frozen(graph, node) : node;
    }
    case NN_OP_MULTIPLY:
        return c->out > 0
                   ? nn_add_squeeze_excite(graph, x, c->out)
                   : nn_add_multiply(graph, x, nn_add_global_pool(graph, NN_OP_GLOBAL_MAX_POOL, x));
    case NN_OP_BATCH_NORM:
        return nn_add_batch_norm(graph, x, c->activation);
    case NN_OP_ACTIVATION:
        return nn_add_activation(graph, x, c->activation);
    case NN_OP_ADD:
        return nn_add_add(graph, x, nn_add_conv(graph, x, c->in.channels, 3, 1, 1, false));
    case NN_OP_LINEAR:
        return nn_add_linear(graph, x, c->out);
    case NN_OP_DROPOUT:
        return nn_add_dropout(graph, x, c->value);
    case NN_OP_SCALE:
        return nn_add_scale(graph, x, c->value);
    case NN_OP_MAX_POOL:
    case NN_OP_AVERAGE_POOL:
        return nn_add_pool(graph, c->kind, x, c->kernel, c->stride, c->pad);
    default:
        return nn_add_global_pool(graph, c->kind, x);
    }
}

static void case_graph(const op_case *c, bool behind_conv, nn_graph *graph) {
    ns_error err = {0};
    nn_graph_init(graph);
    int x = nn_add_input(graph,
                         (nn_shape){behind_conv ? 3 : c->in.channels, c->in.height, c->in.width});
    if (behind_conv) {
        x = nn_add_conv(graph, x, c->in.channels, 1, 1, 1, true);
    }
    (void)add_op(graph, c, x);
    assert_ok(nn_graph_check(graph, &err), &err);
}

/// A state without symmetry: biases, shifts, scales and statistics that are not 0 and 1.
static void stir(const nn_graph *graph, nn_net *net) {
    const size_t count = nn_graph_state_count(graph);
    float *state = calloc(count + 1, sizeof *state);
    nn_net_get_state(net, state);
    ns_rng rng = ns_rng_stream(5, 0, "stir");
    for (size_t i = 0; i < count; i++) {
        state[i] = fabsf(state[i] - 1.0F) < 1e-6F ? 0.5F + (float)ns_rng_unit(&rng)
                                                  : state[i] + 0.1F * (float)ns_rng_normal(&rng);
    }
    nn_net_set_state(net, state);
    free(state);
}

static nn_net *case_net(const nn_graph *graph, nn_backend backend, nn_dtype dtype, nn_mode mode,
                        int batch_size) {
    nn_net_options options = nn_net_options_default();
    options.dtype = dtype;
    options.backend = backend;
    options.mode = mode;
    options.batch_size = batch_size;
    options.thread_count = 1;
    options.label_smoothing = 0.1F;
    nn_net *net = net_ready(graph, options);
    stir(graph, net);
    return net;
}

static void compare_states(const nn_graph *graph, const nn_net *fast, const nn_net *plain) {
    const size_t count = nn_graph_state_count(graph);
    float *got = calloc(count + 1, sizeof *got), *want = calloc(count + 1, sizeof *want);
    nn_net_get_state(fast, got);
    nn_net_get_state(plain, want);
    assert_close(got, want, count, 1e-5);
    free(got);
    free(want);
}

/// Gradients of one array at a time would hide nothing behind a large neighbour; the largest
/// magnitude of all is the scale here, hence the tight tolerance.
static void compare_training(const nn_graph *graph, int batch_size) {
    nn_net *fast = case_net(graph, NN_BACKEND_ONEDNN, NN_DTYPE_F32, NN_MODE_TRAIN, batch_size);
    nn_net *plain = case_net(graph, NN_BACKEND_REFERENCE, NN_DTYPE_F32, NN_MODE_TRAIN, batch_size);
    const float got = nn_net_forward_backward(fast, 1), want = nn_net_forward_backward(plain, 1);
    assert_close(&got, &want, 1, 1e-5);
    assert_close(nn_net_logits(fast), nn_net_logits(plain),
                 (size_t)batch_size * (size_t)nn_net_class_count(plain), 1e-5);
    const size_t count = nn_graph_state_count(graph);
    if (count > 0) {
        float *fast_gradient = plain_gradients(graph, fast);
        float *plain_gradient = plain_gradients(graph, plain);
        assert_close(fast_gradient, plain_gradient, count, 1e-4);
        free(fast_gradient);
        free(plain_gradient);
        compare_states(graph, fast, plain);
    }
    nn_net_free(fast);
    nn_net_free(plain);
}

static void compare_inference(const nn_graph *graph, int batch_size) {
    nn_net *fast = case_net(graph, NN_BACKEND_ONEDNN, NN_DTYPE_F32, NN_MODE_INFER, batch_size);
    nn_net *plain = case_net(graph, NN_BACKEND_REFERENCE, NN_DTYPE_F32, NN_MODE_INFER, batch_size);
    nn_net_forward(fast);
    nn_net_forward(plain);
    assert_close(nn_net_logits(fast), nn_net_logits(plain),
                 (size_t)batch_size * (size_t)nn_net_class_count(plain), 1e-5);
    nn_net_free(fast);
    nn_net_free(plain);
}

/// bf16 has 8 bits: 0.4 % an element of what each layer reads and writes.
static void compare_bf16(const nn_graph *graph, int batch_size) {
    nn_net *fast = case_net(graph, NN_BACKEND_ONEDNN, NN_DTYPE_BF16, NN_MODE_TRAIN, batch_size);
    nn_net *plain = case_net(graph, NN_BACKEND_REFERENCE, NN_DTYPE_F32, NN_MODE_TRAIN, batch_size);
    const float got = nn_net_forward_backward(fast, 1), want = nn_net_forward_backward(plain, 1);
    assert_close(&got, &want, 1, 0.003);
    assert_close_in_length(nn_net_logits(fast), nn_net_logits(plain),
                           (size_t)batch_size * (size_t)nn_net_class_count(plain), 0.01);
    float *fast_gradient = plain_gradients(graph, fast);
    float *plain_gradient = plain_gradients(graph, plain);
    assert_close_in_length(fast_gradient, plain_gradient, nn_graph_state_count(graph), 0.03);
    free(fast_gradient);
    free(plain_gradient);
    nn_net_free(fast);
    nn_net_free(plain);
}

static void print_case(const op_case *c) {
    print_message("%s %dx%dx%d out %d kernel %d stride %d pad %d groups %d %s\n",
                  nn__op_of(c->kind)->name, c->in.channels, c->in.height, c->in.width, c->out,
                  c->kernel, c->stride, c->pad, c->groups, nn__activation_names[c->activation]);
}

static void test_onednn_agrees_with_reference(void **state) {
    (void)state;
    const int batches[] = {1, 2, 5};
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        print_case(&cases[i]);
        for (int behind_conv = 0; behind_conv < 2; behind_conv++) {
            nn_graph graph;
            case_graph(&cases[i], behind_conv == 1, &graph);
            for (size_t b = 0; b < NS_COUNT_OF(batches); b++) {
                compare_training(&graph, batches[b]);
                compare_inference(&graph, batches[b]);
            }
        }
    }
}

static void test_bf16_agrees_with_reference(void **state) {
    (void)state;
    for (size_t i = 0; i < NS_COUNT_OF(cases) && has_bf16(); i++) {
        print_case(&cases[i]);
        for (int behind_conv = 0; behind_conv < 2; behind_conv++) {
            nn_graph graph;
            case_graph(&cases[i], behind_conv == 1, &graph);
            compare_bf16(&graph, 5);
        }
    }
}

static void test_reference_gradients_are_slopes(void **state) {
    (void)state;
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        nn_graph graph;
        print_case(&cases[i]);
        case_graph(&cases[i], true, &graph);
        nn_net *net = case_net(&graph, NN_BACKEND_REFERENCE, NN_DTYPE_F32, NN_MODE_TRAIN, 2);
        assert_slopes(&graph, net, 3);
        nn_net_free(net);
    }
}

/// Every row of the table is exercised above, but for the input, and what is fused
/// (test_nn_fuse.c).
static void test_every_op_has_a_case(void **state) {
    (void)state;
    bool seen[NN_OP_KIND_COUNT] = {[NN_OP_INPUT] = true};
    for (size_t i = 0; i < NS_COUNT_OF(cases); i++) {
        seen[cases[i].kind] = true;
    }
    for (int kind = 0; kind < NN_OP_KIND_COUNT; kind++) {
        const bool fused = nn__op_of((nn_op_kind)kind)->fields & NN__FIELD_FUSED;
        if (!seen[kind] && !fused) {
            fail_msg("no case for %s", nn__op_of((nn_op_kind)kind)->name);
        }
    }
}

static void test_dropout_drops_its_share_by_step_alone(void **state) {
    (void)state;
    nn_graph graph;
    nn_graph_init(&graph);
    (void)nn_add_dropout(&graph, nn_add_input(&graph, (nn_shape){64, 8, 8}), 0.3F);
    float *first = NULL;
    const size_t count = (size_t)16 * 64 * 8 * 8;
    for (int threads = 1; threads <= 2; threads++) {
        nn_net_options options = nn_net_options_default();
        options.batch_size = 16;
        options.thread_count = threads;
        nn_net *net = net_ready(&graph, options);
        for (size_t i = 0; i < count; i++) {
            nn_net_input(net)[i] = 1.0F;
        }
        (void)nn_net_forward_backward(net, 42);
        size_t dropped = 0;
        for (size_t i = 0; i < count; i++) {
            dropped += nn_net_logits(net)[i] == 0.0F;
        }
        assert_in_range(dropped, (size_t)(0.29 * (double)count), (size_t)(0.31 * (double)count));
        if (first == NULL) {
            first = calloc(count, sizeof *first);
            memcpy(first, nn_net_logits(net), count * sizeof *first);
        }
        assert_memory_equal(first, nn_net_logits(net), count * sizeof *first);
        (void)nn_net_forward_backward(net, 43);
        assert_memory_not_equal(first, nn_net_logits(net), count * sizeof *first);
        nn_net_free(net);
    }
    free(first);
}

/// A ReLU, fused ones too, must not turn a NaN into a zero that nobody notices.
static void test_nan_is_not_hidden(void **state) {
    (void)state;
    nn_graph graph;
    for (int fused = 0; fused < 2; fused++) {
        nn_graph_init(&graph);
        int x = nn_add_input(&graph, (nn_shape){3, 5, 5});
        x = nn_add_conv(&graph, x, 16, 3, 1, 1, false);
        x = fused == 1 ? nn_add_batch_norm(&graph, x, NN_ACTIVATION_RELU)
                       : nn_add_activation(&graph, x, NN_ACTIVATION_RELU);
        (void)nn_add_linear(&graph, x, 4);
        for (int b = 0; b < 2; b++) {
            nn_net_options options = nn_net_options_default();
            options.backend = b == 0 ? NN_BACKEND_ONEDNN : NN_BACKEND_REFERENCE;
            options.batch_size = 2;
            nn_net *net = net_ready(&graph, options);
            assert_true(isfinite(nn_net_forward_backward(net, 1)));
            assert_true(nn__net_is_finite(net));
            nn_net_input(net)[37] = NAN;
            const float loss = nn_net_forward_backward(net, 2);
            if (isfinite(loss) && nn__net_is_finite(net)) {
                fail_msg("the loss is %g", (double)loss);
            }
            nn_net_free(net);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op_has_a_case),
        cmocka_unit_test(test_onednn_agrees_with_reference),
        cmocka_unit_test(test_bf16_agrees_with_reference),
        cmocka_unit_test(test_reference_gradients_are_slopes),
        cmocka_unit_test(test_dropout_drops_its_share_by_step_alone),
        cmocka_unit_test(test_nan_is_not_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
