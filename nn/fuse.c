// Fusing: the graph that a step runs, rewritten so that what is bound by memory shares its passes.
//
//   batch norm -> max or average pool 2x2  becomes one norm_pool or norm_average
//   batch norm -> add                      becomes one norm_add, reading the other summand too
//   batch norm -> add -> activation        becomes one norm_add_act
//   conv of the images -> batch norm       becomes stem_norm, which does the convolution's work, too
//
// each where nobody else reads what is no longer made. A fused node stands where its batch norm
// stood, and no other node moves: parameters and their order are those of the graph, and every
// node knows its index there (`source`), from which its random streams are drawn. An addition can
// be fused only with that of its summands which comes last.
//
// Batch norms that the backend's kernels cannot serve are barred, and stay as they are; an
// activation which then nobody does in the same pass gets a node of its own.

#include "nn/nn_internal.h"

#include <string.h>

#include "nn/kernel.h"

typedef struct fusing {
    const nn_graph *from;
    nn_fused *to;
    int target[NN_NODES_MAX]; // node of the result that makes this one's output, -1: none yet
    int reader_count[NN_NODES_MAX];
    int reader[NN_NODES_MAX]; // the last
} fusing;

static void find_readers(fusing *f) {
    const int count = f->from->node_count;
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < nn__op_of(f->from->node[i].kind)->input_count; k++) {
            const int input = f->from->node[i].input[k];
            f->reader_count[input]++;
            f->reader[input] = i;
        }
    }
    f->reader_count[count - 1]++; // the caller
}

/// The only node that reads node `index`, -1 when there are more or the caller does.
static int only_reader(const fusing *f, int index) {
    const bool one = f->reader_count[index] == 1 && index != f->from->node_count - 1;
    return one ? f->reader[index] : -1;
}

static ns_status append(fusing *f, nn_node node, int source, ns_error *err) {
    nn_graph *to = &f->to->graph;
    if (to->node_count == NN_NODES_MAX) {
        return ns_fail(err, NS_ERR_LIMIT, "the network has too many nodes to train it");
    }
    f->target[source] = to->node_count;
    f->to->source[to->node_count] = source;
    to->node[to->node_count++] = node;
    return NS_OK;
}

static bool is_half_pool(const nn_node *node) {
    return (node->kind == NN_OP_MAX_POOL || node->kind == NN_OP_AVERAGE_POOL) &&
           node->kernel == 2 && node->stride == 2 && node->pad == 0;
}

static void fuse_pool(fusing *f, int pool, nn_node *node) {
    const bool max = f->from->node[pool].kind == NN_OP_MAX_POOL;
    node->kind = max ? NN_OP_NORM_POOL : NN_OP_NORM_AVERAGE;
    node->shape = f->from->node[pool].shape;
    f->target[pool] = f->to->graph.node_count;
}

/// The summand of `add` that is not node `index`, in the result; -1 when it comes later.
static int other_summand(const fusing *f, const nn_node *add, int index) {
    const int other = add->input[0] == index ? add->input[1] : add->input[0];
    return other < index ? f->target[other] : -1;
}

static void fuse_add(fusing *f, int index, int add, nn_node *node) {
    const int other = other_summand(f, &f->from->node[add], index);
    if (other < 0) {
        return;
    }
    node->kind = NN_OP_NORM_ADD;
    node->input[1] = other;
    f->target[add] = f->to->graph.node_count;
    const int after = only_reader(f, add);
    if (after >= 0 && node->activation == NN_ACTIVATION_NONE &&
        f->from->node[after].kind == NN_OP_ACTIVATION &&
        nn__kernel_serves(f->from->node[after].activation)) {
        node->kind = NN_OP_NORM_ADD_ACT;
        node->activation = f->from->node[after].activation;
        f->target[after] = f->to->graph.node_count;
    }
}

/// Whether node `index` is a convolution that nn/kernel_stem.c can do, read by batch norm alone.
static bool is_stem(const fusing *f, int index) {
    const nn_node *conv = &f->from->node[index];
    return conv->kind == NN_OP_CONV && conv->input[0] == 0 && only_reader(f, index) >= 0 &&
           !conv->bias && !conv->frozen && conv->groups == 1 &&
           (conv->kernel == 3 || conv->kernel == 5) && conv->stride <= 2 &&
           f->from->node[0].shape.channels * conv->kernel * conv->kernel <= NN__STEM_TAPS_MAX;
}

static ns_status fuse_norm(fusing *f, int index, nn_node node, ns_error *err) {
    const int input = f->from->node[index].input[0], reader = only_reader(f, index);
    if (reader >= 0 && is_half_pool(&f->from->node[reader])) {
        fuse_pool(f, reader, &node);
    } else if (reader >= 0 && f->from->node[reader].kind == NN_OP_ADD) {
        fuse_add(f, index, reader, &node);
    } else if (is_stem(f, input)) {
        node.kind = NN_OP_STEM_NORM;
    }
    return append(f, node, index, err);
}

/// A batch norm as it stands, its activation apart unless all kernels know it.
static ns_status keep_norm(fusing *f, int index, nn_node node, ns_error *err) {
    const nn_activation activation = node.activation;
    if (activation == NN_ACTIVATION_NONE || activation == NN_ACTIVATION_RELU) {
        return append(f, node, index, err);
    }
    node.activation = NN_ACTIVATION_NONE;
    NS_TRY(append(f, node, index, err));
    const nn_node apart = {.kind = NN_OP_ACTIVATION,
                           .input = {f->target[index], -1},
                           .shape = node.shape,
                           .activation = activation};
    return append(f, apart, index, err);
}

static ns_status fuse_node(fusing *f, int index, bool joins, ns_error *err) {
    nn_node node = f->from->node[index];
    for (int k = 0; k < nn__op_of(node.kind)->input_count; k++) {
        node.input[k] = f->target[node.input[k]];
    }
    if (node.kind != NN_OP_BATCH_NORM) {
        return append(f, node, index, err);
    }
    return joins && nn__kernel_serves(node.activation) ? fuse_norm(f, index, node, err)
                                                       : keep_norm(f, index, node, err);
}

ns_status nn__fuse(const nn_graph *graph, bool training, const bool *barred, nn_fused *out,
                   ns_error *err) {
    fusing f = {.from = graph, .to = out};
    memset(f.target, -1, sizeof f.target);
    nn_graph_init(&out->graph);
    find_readers(&f);
    for (int i = 0; i < graph->node_count; i++) {
        if (f.target[i] < 0) { // not part of an earlier node
            NS_TRY(fuse_node(&f, i, training && !barred[i], err));
        }
    }
    return NS_OK;
}

void nn_graph_fuse(const nn_graph *graph, nn_fused *out) {
    const bool barred[NN_NODES_MAX] = {false};
    ns_error err = {0};
    if (nn__fuse(graph, true, barred, out, &err) != NS_OK) {
        nn__fuse_nothing(graph, out);
    }
}

void nn__fuse_nothing(const nn_graph *graph, nn_fused *out) {
    out->graph = *graph;
    for (int i = 0; i < graph->node_count; i++) {
        out->source[i] = i;
    }
}
