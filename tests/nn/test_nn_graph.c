// Building graphs: inferred shapes, counts against figures worked out by hand, the sentences of
// illegal nodes, the hash (what changes it and what does not), and JSON both ways.

#include "tests/nn/nets.h"

static nn_shape shape_of(const nn_graph *graph, int node) {
    return graph->node[node].shape;
}

#define assert_shape(graph, at, c, h, w)                                                           \
    do {                                                                                           \
        const nn_shape got_ = shape_of(graph, at);                                                 \
        if (got_.channels != (c) || got_.height != (h) || got_.width != (w)) {                     \
            fail_msg("got %dx%dx%d, want %dx%dx%d", got_.channels, got_.height, got_.width, (c),   \
                     (h), (w));                                                                    \
        }                                                                                          \
    } while (0)

static void test_shapes(void **state) {
    (void)state;
    nn_graph graph;
    nn_graph_init(&graph);
    const int x = nn_add_input(&graph, (nn_shape){3, 33, 20});
    assert_shape(&graph, nn_add_conv(&graph, x, 8, 3, 1, 1, false), 8, 33, 20);
    assert_shape(&graph, nn_add_conv(&graph, x, 8, 3, 2, 1, false), 8, 17, 10);
    assert_shape(&graph, nn_add_conv(&graph, x, 6, 5, 2, 3, true), 6, 17, 10);
    assert_shape(&graph, nn_add_conv(&graph, x, 8, 1, 2, 1, false), 8, 17, 10);
    assert_shape(&graph, nn_add_pool(&graph, NN_OP_MAX_POOL, x, 2, 2, 0), 3, 16, 10);
    assert_shape(&graph, nn_add_pool(&graph, NN_OP_AVERAGE_POOL, x, 3, 2, 1), 3, 17, 10);
    assert_shape(&graph, nn_add_global_pool(&graph, NN_OP_GLOBAL_MAX_POOL, x), 3, 1, 1);
    assert_shape(&graph, nn_add_batch_norm(&graph, x, NN_ACTIVATION_RELU), 3, 33, 20);
    assert_shape(&graph, nn_add_dropout(&graph, x, 0.5F), 3, 33, 20);
    assert_shape(&graph, nn_add_squeeze_excite(&graph, x, 2), 3, 33, 20);
    assert_shape(&graph, nn_add_linear(&graph, x, 10), 10, 1, 1);
}

static void test_counts_by_hand(void **state) {
    (void)state;
    nn_graph graph;
    nn_graph_init(&graph);
    int x = nn_add_input(&graph, (nn_shape){1, 4, 4});
    x = nn_add_conv(&graph, x, 2, 3, 1, 1, false);                // 18 weights, 2*32*9 FLOPs
    x = nn_add_batch_norm(&graph, x, NN_ACTIVATION_RELU);         // 4 parameters, 4 more of state
    x = nn_add_conv(&graph, x, 4, 3, 1, 2, true);                 // 4*1*9 + 4, 2*64*9 FLOPs
    x = nn_add_global_pool(&graph, NN_OP_GLOBAL_AVERAGE_POOL, x); // 64 FLOPs
    (void)nn_add_linear(&graph, x, 3);                            // 12 + 3, 2*12 FLOPs
    const nn_counts counts = nn_graph_count(&graph);
    assert_int_equal(counts.params, 18 + 4 + 40 + 15);
    assert_int_equal(nn_graph_state_count(&graph), 18 + 8 + 40 + 15);
    assert_int_equal(counts.forward_flops, 576 + 8 * 32 + 1152 + 64 + 24);
    assert_int_equal(counts.train_flops, 2 * 576 + 3 * 8 * 32 + 3 * 1152 + 2 * 64 + 3 * 24);
    assert_int_equal(counts.activation_bytes, 4 * (16 + 32 + 32 + 64 + 4 + 3));
    assert_true(counts.train_bytes > counts.forward_bytes);
    assert_int_equal(counts.forward_bytes, 4 * (16 + 32 + 3 * 32 + 32 + 32 + 64 + 64 + 4 + 4 + 3));
}

/// The last of `build`'s nodes must fail with these words, and every later call too.
#define assert_refused(graph, call, status_wanted, words)                                          \
    do {                                                                                           \
        ns_error err_ = {0};                                                                       \
        assert_int_equal(call, -1);                                                                \
        assert_int_equal(nn_add_activation(graph, 0, NN_ACTIVATION_RELU), -1);                     \
        assert_status(nn_graph_check(graph, &err_), status_wanted);                                \
        if (strstr(err_.text, words) == NULL) {                                                    \
            fail_msg("\"%s\" lacks \"%s\"", err_.text, words);                                     \
        }                                                                                          \
        nn_graph_init(graph);                                                                      \
        (void)nn_add_input(graph, (nn_shape){6, 8, 8});                                            \
    } while (0)

static void test_illegal_nodes_are_named(void **state) {
    (void)state;
    nn_graph graph;
    nn_graph_init(&graph);
    nn_graph *g = &graph;
    assert_refused(g, nn_add_activation(g, 0, NN_ACTIVATION_RELU), NS_ERR_INPUT,
                   "activation at node 0: the first node");
    assert_refused(g, nn_add_input(g, (nn_shape){1, 1, 1}), NS_ERR_INPUT, "the first node");
    assert_refused(g, nn_add_activation(g, 1, NN_ACTIVATION_RELU), NS_ERR_INPUT,
                   "activation at node 1: its input 1");
    assert_refused(g, nn_add_conv(g, 0, 4, 3, 1, 4, false), NS_ERR_INPUT, "4 groups do not divide");
    assert_refused(g, nn_add_conv(g, 0, 0, 3, 1, 1, false), NS_ERR_INPUT, "0 output channels");
    assert_refused(g, nn_add_conv(g, 0, 4, 3, 0, 1, false), NS_ERR_INPUT, "stride 0");
    assert_refused(g, nn_add_conv(g, 0, 4, -3, 1, 1, false), NS_ERR_INPUT, "kernel -3");
    assert_refused(g, nn_add_pool(g, NN_OP_MAX_POOL, 0, 9, 1, 0), NS_ERR_INPUT,
                   "kernel 9 is larger than its padded input 8x8");
    assert_refused(g, nn_add_pool(g, NN_OP_MAX_POOL, 0, 2, 1, 2), NS_ERR_INPUT, "padding 2");
    assert_refused(g, nn_add_dropout(g, 0, 1.0F), NS_ERR_INPUT, "probability 1");
    assert_refused(g, nn_add_dropout(g, 0, NAN), NS_ERR_INPUT, "probability nan");
    assert_refused(g, nn_add_linear(g, 0, 1 << 30), NS_ERR_LIMIT, "too large");
    assert_refused(g, nn_add_add(g, 0, nn_add_conv(g, 0, 5, 3, 1, 1, false)), NS_ERR_INPUT,
                   "6x8x8 and 5x8x8");
    assert_refused(g, nn_add_multiply(g, 0, nn_add_conv(g, 0, 5, 3, 1, 1, false)), NS_ERR_INPUT,
                   "its gate is 5x8x8 instead of 6x1x1");
    assert_refused(g, nn_add_squeeze_excite(g, 0, 0), NS_ERR_INPUT, "conv at node 2: its 0 output");
    assert_refused(g, nn_set_init(g, nn_add_conv(g, 0, 5, 3, 1, 1, false), NN_INIT_ZERO),
                   NS_ERR_INPUT, "conv at node 1: it cannot begin as \"zero\"");
    assert_refused(g, nn_set_frozen(g, nn_add_batch_norm(g, 0, NN_ACTIVATION_RELU)), NS_ERR_INPUT,
                   "cannot be frozen");
    assert_refused(g, nn_set_init(g, nn_add_conv(g, 0, 110, 3, 1, 1, false), NN_INIT_WHITENING),
                   NS_ERR_INPUT, "at most 108, but it has 110");
    assert_refused(g, nn_set_init(g, nn_add_conv(g, 0, 12, 7, 1, 1, false), NN_INIT_WHITENING),
                   NS_ERR_LIMIT, "patches of 294 values");
    assert_refused(g, (nn_graph_init(g), nn_add_input(g, (nn_shape){0, 8, 8})), NS_ERR_INPUT,
                   "empty");
}

static void test_graph_check(void **state) {
    (void)state;
    nn_graph graph;
    ns_error err = {0};
    nn_graph_init(&graph);
    assert_status(nn_graph_check(&graph, &err), NS_ERR_INPUT);
    const int x = nn_add_input(&graph, (nn_shape){1, 8, 8});
    (void)nn_add_activation(&graph, x, NN_ACTIVATION_RELU);
    (void)nn_add_activation(&graph, x, NN_ACTIVATION_RELU);
    assert_status(nn_graph_check(&graph, &err), NS_ERR_INPUT);
    assert_string_equal(err.text, "activation at node 1: nothing uses its output");
}

static void test_too_many_nodes(void **state) {
    (void)state;
    nn_graph graph;
    ns_error err = {0};
    nn_graph_init(&graph);
    int x = nn_add_input(&graph, (nn_shape){1, 8, 8});
    for (int i = 1; i < NN_NODES_MAX; i++) {
        x = nn_add_activation(&graph, x, NN_ACTIVATION_RELU);
    }
    assert_ok(nn_graph_check(&graph, &err), &err);
    assert_int_equal(nn_add_activation(&graph, x, NN_ACTIVATION_RELU), -1);
    assert_status(nn_graph_check(&graph, &err), NS_ERR_LIMIT);
}

static void hash_of(const nn_graph *graph, char out[NS_SHA256_HEX_MAX]) {
    ns_error err = {0};
    assert_ok(nn_graph_hash(graph, out, &err), &err);
}

static void test_hash_is_of_the_function(void **state) {
    (void)state;
    nn_graph one, two;
    char hash_one[NS_SHA256_HEX_MAX], hash_two[NS_SHA256_HEX_MAX];
    nn_graph_init(&one);
    int x = nn_add_input(&one, (nn_shape){3, 8, 8});
    const int left = nn_add_conv(&one, x, 4, 3, 1, 1, false);
    (void)nn_add_add(&one, left, nn_add_conv(&one, x, 4, 1, 1, 1, false));
    nn_graph_init(&two); // the branches in the other order, and the other way round in the sum
    x = nn_add_input(&two, (nn_shape){3, 8, 8});
    const int right = nn_add_conv(&two, x, 4, 1, 1, 1, false);
    (void)nn_add_add(&two, right, nn_add_conv(&two, x, 4, 3, 1, 1, false));
    hash_of(&one, hash_one);
    hash_of(&two, hash_two);
    assert_string_equal(hash_one, hash_two);

    nn_graph base;
    small_net(&base, 4);
    hash_of(&base, hash_one);
    for (int i = 0; i < base.node_count; i++) { // any field of any node matters
        nn_graph changed = base;
        nn_node *node = &changed.node[i];
        if (node->kind == NN_OP_CONV) {
            node->frozen = true;
        } else if (node->kind == NN_OP_LINEAR) {
            node->out_channels++;
        } else if (node->kind == NN_OP_BATCH_NORM) {
            node->activation = NN_ACTIVATION_GELU - node->activation;
        } else if (node->kind == NN_OP_DROPOUT || node->kind == NN_OP_SCALE) {
            node->value += 0.01F;
        } else if (node->kind == NN_OP_MAX_POOL || node->kind == NN_OP_AVERAGE_POOL) {
            node->stride++;
        } else {
            continue;
        }
        hash_of(&changed, hash_two);
        assert_string_not_equal(hash_one, hash_two);
    }
}

static void test_json_round_trip(void **state) {
    (void)state;
    nn_graph graph, back;
    ns_error err = {0};
    small_net(&graph, 8);
    assert_true(nn_set_frozen(&graph, nn_set_init(&graph, 1, NN_INIT_WHITENING)) == 1);
    char *text = NULL;
    ns_json *json = nn_graph_to_json(&graph), *parsed = NULL;
    assert_ok(ns_json_print(json, false, &text, &err), &err);
    assert_ok(ns_json_parse(text, &parsed, &err), &err);
    assert_ok(nn_graph_from_json(parsed, &back, &err), &err);
    assert_int_equal(graph.node_count, back.node_count);
    for (int i = 0; i < graph.node_count; i++) {
        const nn_node *a = &graph.node[i], *b = &back.node[i];
        assert_memory_equal(&a->shape, &b->shape, sizeof a->shape);
        assert_float_equal(a->value, b->value, 0.0F);
        assert_int_equal(a->pad, b->pad);
        assert_int_equal(a->activation, b->activation);
        assert_int_equal(a->init, b->init);
        assert_int_equal(a->frozen, b->frozen);
    }
    char hash_one[NS_SHA256_HEX_MAX], hash_two[NS_SHA256_HEX_MAX];
    hash_of(&graph, hash_one);
    hash_of(&back, hash_two);
    assert_string_equal(hash_one, hash_two);
    free(text);
    ns_json_free(json);
    ns_json_free(parsed);
}

static const char huge_kernel[] =
    "{\"nodes\":[{\"op\":\"input\",\"shape\":[1,8,8]},{\"op\":\"max_pool\",\"input\":[0],"
    "\"kernel\":2147483647,\"stride\":1,\"pad\":1073741823}]}";

static const char wide_kernel[] =
    "{\"nodes\":[{\"op\":\"input\",\"shape\":[65536,16,16]},{\"op\":\"conv\",\"input\":[0],"
    "\"out_channels\":65536,\"kernel\":16384,\"stride\":1,\"pad\":8192,\"groups\":1,"
    "\"activation\":\"none\"}]}";
static const char wide_linear[] =
    "{\"nodes\":[{\"op\":\"input\",\"shape\":[7,16384,16384]},{\"op\":\"linear\","
    "\"input\":[0],\"out_channels\":65536}]}";
static const char wide_pool[] =
    "{\"nodes\":[{\"op\":\"input\",\"shape\":[16,8192,8192]},{\"op\":\"max_pool\","
    "\"input\":[0],\"kernel\":16384,\"stride\":1,\"pad\":8192}]}";

static void check_hostile(const char *text, ns_status wanted) {
    nn_graph graph;
    ns_error err = {0};
    ns_json *json = NULL;
    assert_ok(ns_json_parse(text, &json, &err), &err);
    const ns_status status = nn_graph_from_json(json, &graph, &err);
    if (status != wanted || err.text[0] == '\0') {
        fail_msg("%s: got \"%s\" and \"%s\"", text, ns_status_text(status), err.text);
    }
    ns_json_free(json);
}

static void test_hostile_json_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"nodes\":7}",
        "{\"nodes\":[7]}",
        "{\"nodes\":[{\"op\":\"input\"}]}",
        "{\"nodes\":[{\"op\":\"input\",\"shape\":[1e300,1,1]}]}",
        "{\"nodes\":[{\"op\":\"input\",\"shape\":[1,8,8]},{\"op\":\"warp\",\"input\":[0]}]}",
        "{\"nodes\":[{\"op\":\"input\",\"shape\":[1,8,8]},{\"op\":\"activation\",\"activation\":"
        "\"relu\",\"input\":[1]}]}",
        "{\"nodes\":[{\"op\":\"input\",\"shape\":[1,8,8]},{\"op\":\"activation\",\"activation\":"
        "\"relu\",\"input\":[-1]}]}",
        "{\"nodes\":[{\"op\":\"input\",\"shape\":[1,8,8]},{\"op\":\"activation\",\"activation\":"
        "\"none\",\"input\":[0]}]}",
        "{\"nodes\":[{\"op\":\"input\",\"shape\":[1,8,8]},{\"op\":\"activation\",\"activation\":"
        "\"swirl\",\"input\":[0]}]}",
        "{\"nodes\":[{\"op\":\"input\",\"shape\":[1,8,8]},{\"op\":\"conv\",\"activation\":\"none\","
        "\"input\":[0]}]}",
        "{\"nodes\":[{\"op\":\"input\",\"shape\":[1,1,1]},{\"op\":\"max_pool\",\"kernel\":2e9}]}",
        huge_kernel,
    };
    static const char *const oversized[] = {
        wide_kernel,
        wide_linear,
        wide_pool,
    };
    for (size_t i = 0; i < NS_COUNT_OF(texts); i++) {
        check_hostile(texts[i], NS_ERR_INPUT);
    }
    for (size_t i = 0; i < NS_COUNT_OF(oversized); i++) {
        check_hostile(oversized[i], NS_ERR_LIMIT);
    }
}

/// What stands before the first layer that learns costs no backward.
static void test_frozen_layers_do_not_count(void **state) {
    (void)state;
    nn_graph graph;
    nn_graph_init(&graph);
    int x = nn_add_input(&graph, (nn_shape){1, 4, 4});
    x = nn_set_frozen(&graph, nn_add_conv(&graph, x, 2, 3, 1, 1, false)); // 18 weights, 576 FLOPs
    (void)nn_add_conv(&graph, x, 3, 1, 1, 1, false);                      // 6 weights, 192 FLOPs
    const nn_counts counts = nn_graph_count(&graph);
    assert_int_equal(counts.params, 6);
    assert_int_equal(nn_graph_state_count(&graph), 24);
    assert_int_equal(counts.train_flops, 576 + 2 * 192);
}

/// Nodes that are legal one by one, but not together.
static void test_sums_stay_in_range(void **state) {
    (void)state;
    nn_graph graph;
    ns_error err = {0};
    nn_graph_init(&graph);
    int x = nn_add_input(&graph, (nn_shape){1, 1, 1});
    for (int i = 0; i < 16; i++) { // 2 * 2^30 weights each time
        x = nn_add_linear(&graph, nn_add_linear(&graph, x, 1 << 16), 1 << 14);
    }
    assert_status(nn_graph_check(&graph, &err), NS_ERR_LIMIT);
    assert_non_null(strstr(err.text, "together"));

    nn_graph_init(&graph);
    x = nn_add_input(&graph, (nn_shape){1, 16384, 16384}); // 2^28 pixels, 2^48 FLOPs a pool
    while (graph.node_count < NN_NODES_MAX) {
        x = nn_add_pool(&graph, NN_OP_AVERAGE_POOL, x, 1023, 1, 511);
    }
    assert_ok(nn_graph_check(&graph, &err), &err);
    const nn_counts counts = nn_graph_count(&graph);
    assert_int_equal(counts.forward_flops,
                     (NN_NODES_MAX - 1) * ((int64_t)1 << 28) * (int64_t)(1023 * 1023));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_counts_by_hand),
        cmocka_unit_test(test_illegal_nodes_are_named),
        cmocka_unit_test(test_graph_check),
        cmocka_unit_test(test_too_many_nodes),
        cmocka_unit_test(test_hash_is_of_the_function),
        cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_hostile_json_is_refused),
        cmocka_unit_test(test_frozen_layers_do_not_count),
        cmocka_unit_test(test_sums_stay_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
