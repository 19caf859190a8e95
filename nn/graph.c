// Graphs: building with shape inference, checks, counts, the hash, and JSON both ways.
//
// All roads lead through graph_add(): the nn_add_* functions and the JSON parser fill in a node,
// graph_add() checks it against the op table and infers its shape. A graph therefore never holds a
// node that is not legal. Which fields an op uses, the `fields` column says; the loop over
// `field_list` below is all that JSON and the hash know about them.
//
// The hash is taken over the network as a function, not over the list: a node's digest is made of
// its op, its fields and its inputs' digests (an addition's in sorted order), and the graph's hash
// is the last node's. The order in which independent branches were added does not matter.

#include <assert.h>
#include <string.h>

#include "nn/nn_internal.h"

// So that the counts of NN_NODES_MAX nodes, forward and backward, add up within int64_t.
#define NODE_FLOPS_MAX  ((int64_t)1 << 50)
#define STATE_COUNT_MAX ((size_t)INT32_MAX)

static const char *const init_names[NN_INIT_COUNT] = {
#define NAME(kind, name) [NN_INIT_##kind] = (name),
    NN_INIT_LIST(NAME)
#undef NAME
};

/* ---- building -------------------------------------------------------------------------------- */

void nn_graph_init(nn_graph *graph) {
    memset(graph, 0, sizeof *graph);
}

nn_shape nn__input_shape(const nn_graph *graph, const nn_node *node, int which) {
    const int input = node->input[which];
    return input < 0 ? (nn_shape){0, 0, 0} : graph->node[input].shape;
}

nn__params nn__node_params(const nn_graph *graph, const nn_node *node) {
    return nn__op_of(node->kind)->params(node, nn__input_shape(graph, node, 0));
}

/// Whether this kind of node can begin, and stay, as it says.
static ns_status check_init(const nn_graph *graph, const nn_node *node, ns_error *err) {
    const bool conv = node->kind == NN_OP_CONV;
    if ((node->init == NN_INIT_ZERO && node->kind != NN_OP_BATCH_NORM) ||
        (node->init == NN_INIT_DIRAC && !conv) || (node->init == NN_INIT_WHITENING && !conv)) {
        return ns_fail(err, NS_ERR_INPUT, "it cannot begin as \"%s\"", init_names[node->init]);
    }
    if (node->frozen && !conv) {
        return ns_fail(err, NS_ERR_INPUT, "it cannot be frozen");
    }
    if (node->init != NN_INIT_WHITENING) {
        return NS_OK;
    }
    const int components = graph->node[0].shape.channels * node->kernel * node->kernel;
    if (node->input[0] != 0 || node->groups != 1) {
        return ns_fail(err, NS_ERR_INPUT, "only the images can be whitened, in one group");
    }
    if (node->kernel > graph->node[0].shape.height || node->kernel > graph->node[0].shape.width) {
        return ns_fail(err, NS_ERR_INPUT, "its kernel is larger than the images");
    }
    if (components > NN__WHITENING_MAX) {
        return ns_fail(err, NS_ERR_LIMIT, "patches of %d values are too large to be whitened",
                       components);
    }
    if (node->out_channels % 2 != 0 || node->out_channels > 2 * components) {
        return ns_fail(err, NS_ERR_INPUT,
                       "whitening has an even number of filters, at most %d, but it has %d",
                       2 * components, node->out_channels);
    }
    return NS_OK;
}

static ns_status check_node(const nn_graph *graph, nn_node *node, ns_error *err) {
    const nn__op *op = nn__op_of(node->kind);
    if (graph->node_count == NN_NODES_MAX) {
        return ns_fail(err, NS_ERR_LIMIT, "a graph has at most %d nodes", NN_NODES_MAX);
    }
    if ((node->kind == NN_OP_INPUT) != (graph->node_count == 0)) {
        return ns_fail(err, NS_ERR_INPUT, "the first node, and only that, is the input");
    }
    nn_shape in[NN__INPUTS_MAX] = {{0, 0, 0}, {0, 0, 0}};
    for (int i = 0; i < op->input_count; i++) {
        if (node->input[i] < 0 || node->input[i] >= graph->node_count) {
            return ns_fail(err, NS_ERR_INPUT, "its input %d is not an earlier node",
                           node->input[i]);
        }
        in[i] = graph->node[node->input[i]].shape;
    }
    NS_TRY(op->shape(node, in, err));
    NS_TRY(check_init(graph, node, err));
    if (op->flops(node, in[0]) > NODE_FLOPS_MAX) {
        return ns_fail(err, NS_ERR_LIMIT, "one image would take more than %.0e FLOPs",
                       (double)NODE_FLOPS_MAX);
    }
    return NS_OK;
}

static int graph_add(nn_graph *graph, nn_node node) {
    if (graph->status != NS_OK) {
        return -1;
    }
    graph->status = check_node(graph, &node, &graph->error);
    if (graph->status != NS_OK) {
        ns_error_prefix(&graph->error, "%s at node %d", nn__op_of(node.kind)->name,
                        graph->node_count);
        return -1;
    }
    graph->node[graph->node_count] = node;
    return graph->node_count++;
}

int nn_add_input(nn_graph *graph, nn_shape shape) {
    return graph_add(graph, (nn_node){.kind = NN_OP_INPUT, .input = {-1, -1}, .shape = shape});
}

int nn_add_conv(nn_graph *graph, int input, int out_channels, int kernel, int stride, int groups,
                bool bias) {
    return graph_add(graph, (nn_node){.kind = NN_OP_CONV,
                                      .input = {input, -1},
                                      .out_channels = out_channels,
                                      .kernel = kernel,
                                      .stride = stride,
                                      .pad = kernel / 2,
                                      .groups = groups,
                                      .bias = bias});
}

int nn_add_batch_norm(nn_graph *graph, int input, nn_activation activation) {
    return graph_add(
        graph, (nn_node){.kind = NN_OP_BATCH_NORM, .input = {input, -1}, .activation = activation});
}

int nn_add_activation(nn_graph *graph, int input, nn_activation activation) {
    return graph_add(
        graph, (nn_node){.kind = NN_OP_ACTIVATION, .input = {input, -1}, .activation = activation});
}

int nn_add_add(nn_graph *graph, int left, int right) {
    return graph_add(graph, (nn_node){.kind = NN_OP_ADD, .input = {left, right}});
}

int nn_add_pool(nn_graph *graph, nn_op_kind kind, int input, int kernel, int stride, int pad) {
    assert(kind == NN_OP_MAX_POOL || kind == NN_OP_AVERAGE_POOL);
    return graph_add(
        graph,
        (nn_node){
            .kind = kind, .input = {input, -1}, .kernel = kernel, .stride = stride, .pad = pad});
}

int nn_add_global_pool(nn_graph *graph, nn_op_kind kind, int input) {
    assert(kind == NN_OP_GLOBAL_MAX_POOL || kind == NN_OP_GLOBAL_AVERAGE_POOL);
    return graph_add(graph, (nn_node){.kind = kind, .input = {input, -1}});
}

int nn_add_linear(nn_graph *graph, int input, int out_features) {
    return graph_add(
        graph, (nn_node){.kind = NN_OP_LINEAR, .input = {input, -1}, .out_channels = out_features});
}

int nn_add_dropout(nn_graph *graph, int input, float probability) {
    return graph_add(graph,
                     (nn_node){.kind = NN_OP_DROPOUT, .input = {input, -1}, .value = probability});
}

int nn_add_multiply(nn_graph *graph, int input, int gate) {
    return graph_add(graph, (nn_node){.kind = NN_OP_MULTIPLY, .input = {input, gate}});
}

int nn_add_squeeze_excite(nn_graph *graph, int input, int reduced_channels) {
    int gate = nn_add_global_pool(graph, NN_OP_GLOBAL_AVERAGE_POOL, input);
    const int channels = gate < 0 ? 1 : graph->node[gate].shape.channels;
    gate = nn_add_conv(graph, gate, reduced_channels, 1, 1, 1, true);
    gate = nn_add_activation(graph, gate, NN_ACTIVATION_RELU);
    gate = nn_add_conv(graph, gate, channels, 1, 1, 1, true);
    gate = nn_add_activation(graph, gate, NN_ACTIVATION_SIGMOID);
    return nn_add_multiply(graph, input, gate);
}

int nn_add_scale(nn_graph *graph, int input, float factor) {
    return graph_add(graph, (nn_node){.kind = NN_OP_SCALE, .input = {input, -1}, .value = factor});
}

/// Applies the change at `node`, once that is known to be legal.
static int graph_change(nn_graph *graph, int node, nn_node changed) {
    graph->status = check_init(graph, &changed, &graph->error);
    if (graph->status != NS_OK) {
        ns_error_prefix(&graph->error, "%s at node %d", nn__op_of(changed.kind)->name, node);
        return -1;
    }
    graph->node[node] = changed;
    return node;
}

int nn_set_init(nn_graph *graph, int node, nn_init init) {
    if (graph->status != NS_OK) {
        return -1;
    }
    assert(node >= 0 && node < graph->node_count);
    nn_node changed = graph->node[node];
    changed.init = init;
    return graph_change(graph, node, changed);
}

int nn_set_frozen(nn_graph *graph, int node) {
    if (graph->status != NS_OK) {
        return -1;
    }
    assert(node >= 0 && node < graph->node_count);
    nn_node changed = graph->node[node];
    changed.frozen = true;
    return graph_change(graph, node, changed);
}

/* ---- checks and counts ----------------------------------------------------------------------- */

ns_status nn_graph_check(const nn_graph *graph, ns_error *err) {
    if (graph->status != NS_OK) {
        return ns_fail(err, graph->status, "%s", graph->error.text);
    }
    if (graph->node_count < 2) {
        return ns_fail(err, NS_ERR_INPUT, "a graph needs an input and at least one op");
    }
    bool used[NN_NODES_MAX] = {false};
    for (int i = 0; i < graph->node_count; i++) {
        const nn_node *node = &graph->node[i];
        for (int k = 0; k < nn__op_of(node->kind)->input_count; k++) {
            used[node->input[k]] = true;
        }
    }
    for (int i = 0; i + 1 < graph->node_count; i++) {
        if (!used[i]) {
            return ns_fail(err, NS_ERR_INPUT, "%s at node %d: nothing uses its output",
                           nn__op_of(graph->node[i].kind)->name, i);
        }
    }
    if (nn_graph_state_count(graph) > STATE_COUNT_MAX) {
        return ns_fail(err, NS_ERR_LIMIT, "its nodes have %zu weights together, more than %zu",
                       nn_graph_state_count(graph), STATE_COUNT_MAX);
    }
    return NS_OK;
}

/// One node's counts. `learns_before`: its inputs need a gradient.
static nn_counts count_node(const nn_graph *graph, const nn_node *node, bool learns_before) {
    const nn__op *op = nn__op_of(node->kind);
    const nn__params params = nn__node_params(graph, node);
    const int64_t learning =
        params.learns ? (int64_t)(params.trainable[0] + params.trainable[1]) : 0;
    const int64_t flops = op->flops(node, nn__input_shape(graph, node, 0));
    const int backward = (learns_before ? 1 : 0) + (params.learns ? 1 : 0);

    int64_t x_bytes = 0;
    for (int k = 0; k < op->input_count; k++) {
        x_bytes += 4 * (int64_t)nn__shape_count(nn__input_shape(graph, node, k));
    }
    const int64_t y_bytes = 4 * (int64_t)nn__shape_count(node->shape);
    const int64_t forward_bytes = op->forward_sweeps_x * x_bytes + op->forward_sweeps_y * y_bytes;
    const int64_t backward_bytes =
        op->backward_sweeps_x * x_bytes + op->backward_sweeps_y * y_bytes;
    return (nn_counts){
        .params = learning,
        .forward_flops = flops,
        .train_flops = flops * (1 + backward),
        .activation_bytes = y_bytes,
        .forward_bytes = forward_bytes,
        .train_bytes = forward_bytes + (backward > 0 ? backward_bytes : 0),
    };
}

void nn_graph_count_nodes(const nn_graph *graph, nn_counts *out) {
    bool learns[NN_NODES_MAX] = {false};
    for (int i = 0; i < graph->node_count; i++) {
        const nn_node *node = &graph->node[i];
        bool learns_before = false;
        for (int k = 0; k < nn__op_of(node->kind)->input_count; k++) {
            learns_before = learns_before || learns[node->input[k]];
        }
        learns[i] = learns_before || nn__node_params(graph, node).learns;
        out[i] = count_node(graph, node, learns_before);
    }
}

nn_counts nn_graph_count(const nn_graph *graph) {
    nn_counts counts = {0};
    nn_counts node[NN_NODES_MAX];
    nn_graph_count_nodes(graph, node);
    for (int i = 0; i < graph->node_count; i++) {
        counts.params += node[i].params;
        counts.forward_flops += node[i].forward_flops;
        counts.train_flops += node[i].train_flops;
        counts.activation_bytes += node[i].activation_bytes;
        counts.forward_bytes += node[i].forward_bytes;
        counts.train_bytes += node[i].train_bytes;
    }
    return counts;
}

size_t nn__node_state_count(const nn_graph *graph, int index) {
    const nn__params params = nn__node_params(graph, &graph->node[index]);
    return params.trainable[0] + params.trainable[1] + 2 * params.running;
}

size_t nn_graph_state_count(const nn_graph *graph) {
    size_t count = 0;
    for (int i = 0; i < graph->node_count; i++) {
        count += nn__node_state_count(graph, i);
    }
    return count;
}

/* ---- fields, hash and JSON ------------------------------------------------------------------- */

/// The integer fields of nn_node; `shape` and `value` are not of this kind. A choice is an integer
/// that files call by name.
typedef struct int_field {
    unsigned field;
    const char *key;
    int (*get)(const nn_node *node);
    void (*set)(nn_node *node, int value);
    const char *const *choices; // NULL: a number
    int choice_count;
} int_field;

#define INT_FIELDS(X)                                                                              \
    X(OUT_CHANNELS, out_channels, int, NULL, 0)                                                    \
    X(KERNEL, kernel, int, NULL, 0)                                                                \
    X(STRIDE, stride, int, NULL, 0)                                                                \
    X(PAD, pad, int, NULL, 0)                                                                      \
    X(GROUPS, groups, int, NULL, 0)                                                                \
    X(BIAS, bias, bool, NULL, 0)                                                                   \
    X(ACTIVATION, activation, nn_activation, nn__activation_names, NN_ACTIVATION_COUNT)            \
    X(INIT, init, nn_init, init_names, NN_INIT_COUNT)                                              \
    X(FROZEN, frozen, bool, NULL, 0)

#define ACCESSORS(FIELD, name, type, choices, count)                                               \
    static int get_##name(const nn_node *node) {                                                   \
        return (int)node->name;                                                                    \
    }                                                                                              \
    static void set_##name(nn_node *node, int value) {                                             \
        node->name = (type)value;                                                                  \
    }
INT_FIELDS(ACCESSORS)
#undef ACCESSORS

static const int_field field_list[] = {
#define ROW(FIELD, name, type, choices, count)                                                     \
    {NN__FIELD_##FIELD, #name, get_##name, set_##name, choices, count},
    INT_FIELDS(ROW)
#undef ROW
};

static void field_to_json(const int_field *field, const nn_node *node, ns_json *json) {
    if (field->choices != NULL) {
        ns_json_set_string(json, field->key, field->choices[field->get(node)]);
    } else {
        ns_json_set_int(json, field->key, field->get(node));
    }
}

static ns_json *node_to_json(const nn_node *node) {
    const nn__op *op = nn__op_of(node->kind);
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "op", op->name);
    if (op->input_count > 0) {
        ns_json *inputs = ns_json_set(json, "input", ns_json_array_new());
        for (int k = 0; k < op->input_count; k++) {
            ns_json_add_int(inputs, node->input[k]);
        }
    }
    if (op->fields & NN__FIELD_SHAPE) {
        ns_json *shape = ns_json_set(json, "shape", ns_json_array_new());
        ns_json_add_int(shape, node->shape.channels);
        ns_json_add_int(shape, node->shape.height);
        ns_json_add_int(shape, node->shape.width);
    }
    for (size_t f = 0; f < NS_COUNT_OF(field_list); f++) {
        if (op->fields & field_list[f].field) {
            field_to_json(&field_list[f], node, json);
        }
    }
    if (op->fields & NN__FIELD_VALUE) {
        ns_json_set_number(json, "value", (double)node->value);
    }
    return json;
}

ns_json *nn_graph_to_json(const nn_graph *graph) {
    ns_json *json = ns_json_object_new();
    ns_json *nodes = ns_json_set(json, "nodes", ns_json_array_new());
    for (int i = 0; i < graph->node_count; i++) {
        ns_json_add(nodes, node_to_json(&graph->node[i]));
    }
    return json;
}

/// An integer of a hostile file: what does not fit an int becomes one that no check accepts.
static int clamp_int(double value) {
    return value >= -1e9 && value <= 1e9 ? (int)value : -1000000000;
}

static int array_int(const ns_json *array, size_t index) {
    return clamp_int(ns_json_value_number(ns_json_at(array, index), -1.0));
}

/// What is missing is 0, or the first choice.
static ns_status field_from_json(const int_field *field, const ns_json *json, nn_node *out,
                                 ns_error *err) {
    if (field->choices == NULL) {
        field->set(out, clamp_int(ns_json_number(json, field->key, 0.0)));
        return NS_OK;
    }
    const char *name = ns_json_string(json, field->key, field->choices[0]);
    for (int i = 0; i < field->choice_count; i++) {
        if (strcmp(name, field->choices[i]) == 0) {
            field->set(out, i);
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_INPUT, "unknown %s \"%.40s\"", field->key, name);
}

static ns_status node_from_json(const ns_json *json, nn_node *out, ns_error *err) {
    const char *name = ns_json_string(json, "op", "");
    int kind = 0;
    while (kind < NN_OP_KIND_COUNT && strcmp(nn__op_of((nn_op_kind)kind)->name, name) != 0) {
        kind++;
    }
    if (kind == NN_OP_KIND_COUNT || (nn__op_of((nn_op_kind)kind)->fields & NN__FIELD_FUSED)) {
        return ns_fail(err, NS_ERR_INPUT, "unknown op \"%.40s\"", name);
    }
    *out = (nn_node){.kind = (nn_op_kind)kind, .input = {-1, -1}};
    const nn__op *op = nn__op_of(out->kind);
    for (int k = 0; k < op->input_count; k++) {
        out->input[k] = array_int(ns_json_get(json, "input"), (size_t)k);
    }
    if (op->fields & NN__FIELD_SHAPE) {
        const ns_json *shape = ns_json_get(json, "shape");
        out->shape = (nn_shape){array_int(shape, 0), array_int(shape, 1), array_int(shape, 2)};
    }
    for (size_t f = 0; f < NS_COUNT_OF(field_list); f++) {
        if (op->fields & field_list[f].field) {
            NS_TRY(field_from_json(&field_list[f], json, out, err));
        }
    }
    if (op->fields & NN__FIELD_VALUE) {
        out->value = (float)ns_json_number(json, "value", 0.0);
    }
    return NS_OK;
}

ns_status nn_graph_from_json(const ns_json *json, nn_graph *out, ns_error *err) {
    nn_graph_init(out);
    const ns_json *nodes = ns_json_get(json, "nodes");
    const size_t count = ns_json_count(nodes);
    for (size_t i = 0; i < count && out->status == NS_OK; i++) {
        nn_node node;
        const ns_status status = node_from_json(ns_json_at(nodes, i), &node, err);
        if (status != NS_OK) {
            ns_error_prefix(err, "node %zu", i);
            return status;
        }
        (void)graph_add(out, node);
    }
    return nn_graph_check(out, err);
}

/// Digest of node `index` from those of earlier nodes.
static ns_status node_digest(const nn_graph *graph, int index, char (*digests)[NS_SHA256_HEX_MAX],
                             ns_error *err) {
    const nn_node *node = &graph->node[index];
    const nn__op *op = nn__op_of(node->kind);
    char text[512];
    int length = snprintf(text, sizeof text, "%s", op->name);
    for (size_t f = 0; f < NS_COUNT_OF(field_list); f++) {
        if (op->fields & field_list[f].field) {
            length += snprintf(text + length, sizeof text - (size_t)length, " %s=%d",
                               field_list[f].key, field_list[f].get(node));
        }
    }
    if (op->fields & NN__FIELD_SHAPE) {
        length += snprintf(text + length, sizeof text - (size_t)length, " %dx%dx%d",
                           node->shape.channels, node->shape.height, node->shape.width);
    }
    if (op->fields & NN__FIELD_VALUE) {
        length += snprintf(text + length, sizeof text - (size_t)length, " value=%.9g",
                           (double)node->value);
    }
    const char *in[NN__INPUTS_MAX] = {"", ""};
    for (int k = 0; k < op->input_count; k++) {
        in[k] = digests[node->input[k]];
    }
    const bool swap = node->kind == NN_OP_ADD && strcmp(in[0], in[1]) > 0; // a + b is b + a
    length += snprintf(text + length, sizeof text - (size_t)length, "(%s,%s)", in[swap ? 1 : 0],
                       in[swap ? 0 : 1]);
    assert((size_t)length < sizeof text);
    return ns_sha256_of(text, (size_t)length, digests[index], err);
}

ns_status nn_graph_hash(const nn_graph *graph, char out[NS_SHA256_HEX_MAX], ns_error *err) {
    char digests[NN_NODES_MAX][NS_SHA256_HEX_MAX];
    NS_TRY(nn_graph_check(graph, err));
    for (int i = 0; i < graph->node_count; i++) {
        NS_TRY(node_digest(graph, i, digests, err));
    }
    memcpy(out, digests[graph->node_count - 1], NS_SHA256_HEX_MAX);
    return NS_OK;
}
