// Folding: the network that training needs, rewritten as the smaller one that inference needs.
//
//   conv -> batch norm             becomes one conv with bias and the norm's activation
//   conv, add, norm -> activation  becomes the same node with the activation
//   linear -> scale                becomes one linear
//   dropout                        disappears
//
// A node is absorbed by its producer only when nobody else reads what the producer makes. Batch
// norm at rest is y = scale (x - mean) / sqrt(var + eps) + shift, so with
// a = scale / sqrt(var + eps) a convolution absorbs it by w' = a w and b' = a (b - mean) + shift.
//
// The fold is decided once from the graph and then applied to as many states as there are, because
// training measures the same network again and again.

#include "nn/nn_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct nn__fold {
    nn_graph source, result;
    int target[NN_NODES_MAX];    // node of `result` that makes the output of this source node
    bool absorbed[NN_NODES_MAX]; // this source node has no node of its own in `result`
};

/// The node whose output this one passes on unchanged at inference.
static int skip_dropout(const nn_graph *graph, int index) {
    while (graph->node[index].kind == NN_OP_DROPOUT) {
        index = graph->node[index].input[0];
    }
    return index;
}

static void count_readers(const nn_graph *graph, int readers[NN_NODES_MAX]) {
    for (int i = 0; i < graph->node_count; i++) {
        const nn_node *node = &graph->node[i];
        for (int k = 0; k < 2; k++) {
            if (node->kind != NN_OP_DROPOUT && node->input[k] >= 0) {
                readers[skip_dropout(graph, node->input[k])]++;
            }
        }
    }
    readers[skip_dropout(graph, graph->node_count - 1)]++; // the logits are read by the caller
}

/// Lets `producer` take over what `node` does; false when it cannot.
static bool absorb(nn_node *producer, const nn_node *node) {
    if (producer->activation != NN_ACTIVATION_NONE) {
        return false;
    }
    switch (node->kind) {
    case NN_OP_BATCH_NORM:
        if (producer->kind != NN_OP_CONV) {
            return false;
        }
        producer->bias = true;
        producer->activation = node->activation;
        return true;
    case NN_OP_ACTIVATION:
        if (producer->kind != NN_OP_CONV && producer->kind != NN_OP_ADD &&
            producer->kind != NN_OP_BATCH_NORM) {
            return false;
        }
        producer->activation = node->activation;
        return true;
    case NN_OP_SCALE:
        return producer->kind == NN_OP_LINEAR;
    default:
        return false;
    }
}

static void fold_node(nn__fold *fold, int index, const int readers[NN_NODES_MAX]) {
    const nn_node *node = &fold->source.node[index];
    const int input = node->input[0];
    if (node->kind == NN_OP_DROPOUT) {
        fold->absorbed[index] = true;
        fold->target[index] = fold->target[input];
        return;
    }
    if (input >= 0 && readers[skip_dropout(&fold->source, input)] == 1 &&
        absorb(&fold->result.node[fold->target[input]], node)) {
        fold->absorbed[index] = true;
        fold->target[index] = fold->target[input];
        return;
    }
    nn_node *copy = &fold->result.node[fold->result.node_count];
    *copy = *node;
    for (int k = 0; k < 2; k++) {
        copy->input[k] = node->input[k] >= 0 ? fold->target[node->input[k]] : -1;
    }
    fold->target[index] = fold->result.node_count++;
}

ns_status nn__fold_new(const nn_graph *graph, nn__fold **out, ns_error *err) {
    nn__fold *fold = calloc(1, sizeof *fold);
    if (fold == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to fold a graph");
    }
    int readers[NN_NODES_MAX] = {0};
    fold->source = *graph;
    nn_graph_init(&fold->result);
    count_readers(graph, readers);
    for (int i = 0; i < graph->node_count; i++) {
        fold_node(fold, i, readers);
    }
    *out = fold;
    return NS_OK;
}

void nn__fold_free(nn__fold *fold) {
    free(fold);
}

const nn_graph *nn__fold_graph(const nn__fold *fold) {
    return &fold->result;
}

/// Rewrites the convolution at `weights`, bias behind them, to do what `norm` did to its output.
static void absorb_batch_norm(const nn_node *conv, size_t weight_count, float *weights,
                              const float *norm) {
    const size_t channels = (size_t)conv->out_channels;
    const size_t fan_in = weight_count / channels;
    float *bias = weights + weight_count;
    for (size_t o = 0; o < channels; o++) {
        const float scale = norm[o], shift = norm[channels + o];
        const float mean = norm[2 * channels + o], variance = norm[3 * channels + o];
        const float a = scale / sqrtf(variance + NN__NORM_EPSILON);
        for (size_t i = 0; i < fan_in; i++) {
            weights[o * fan_in + i] *= a; // (O, I / groups, KH, KW)
        }
        bias[o] = a * (bias[o] - mean) + shift;
    }
}

void nn__fold_state(const nn__fold *fold, const float *state, float *folded) {
    float *end = folded;        // of what is written
    float *owner[NN_NODES_MAX]; // of each node of the result: its first value
    for (int i = 0; i < fold->source.node_count; i++) {
        const nn_node *node = &fold->source.node[i];
        const nn_node *target = &fold->result.node[fold->target[i]];
        const size_t count = nn__node_state_count(&fold->source, i);
        const size_t target_count = nn__node_state_count(&fold->result, fold->target[i]);
        if (!fold->absorbed[i]) {
            owner[fold->target[i]] = end;
            memcpy(end, state, count * sizeof *end);
            memset(end + count, 0, (target_count - count) * sizeof *end); // a bias that is new
            end += target_count;
        } else if (node->kind == NN_OP_BATCH_NORM) {
            absorb_batch_norm(target, target_count - (size_t)target->out_channels,
                              owner[fold->target[i]], state);
        } else if (node->kind == NN_OP_SCALE) {
            for (size_t k = 0; k < target_count; k++) {
                owner[fold->target[i]][k] *= node->value;
            }
        }
        state += count;
    }
}
