// How long a training step of a network will take: the sum of its layers' times, each predicted from
// what a layer of its shape took in calibration (calibrate.c, budget/model.c). Layers are those that
// a step runs: a batch norm with the pool or addition behind it is one, and so is the first
// convolution with its batch norm.
//
// What a layer's speed depends on is written down here once, as the features of a budget_work: the
// logarithms of channels (of a group), groups, pixels and batch, kernel and stride, and how much of
// its traffic is weights, which small batches of small maps are bound by. They are scaled so that a
// distance of 1 means about the same on each axis: by the scales under which the measured layers of
// 250 networks in both types are most likely. A layer's kind is its op and how many passes over its
// FLOPs a step makes: the first layer needs no gradient of its input, a frozen one none at all.
//
// Beside its layers, a step updates the weights, as if that were one more layer.

#include <math.h>

#include "search/search_internal.h"

// What one thread does ideally, for want of a measurement.
#define FLOPS_PER_MS 50e6
#define BYTES_PER_MS 4e6
#define LAYER_MS     0.004 // a kernel's start
#define BLOCK        16    // channels that kernels compute together, wanted or not
#define ROWS_FEW     2000. // of outputs: below them, a convolution's weights are most of its traffic

#define PASSES_MAX   4
#define UPDATE_KIND  (2 * PASSES_MAX * NN_OP_KIND_COUNT)
#define UPDATE_BYTES 20.0 // a parameter: weight and momentum both ways, gradient

static double octaves(int value) {
    return log2((double)(value > 0 ? value : 1));
}

static double ideal_ms(double flops, double bytes, int thread_count) {
    return LAYER_MS + (flops / FLOPS_PER_MS + bytes / BYTES_PER_MS) / thread_count;
}

/// How much more than it needs a kernel computes: images' own channels aside, it works in blocks.
static double block_fill(int in_channels, int out_channels, int groups) {
    const int in_blocks = (in_channels + BLOCK - 1) / BLOCK;
    const int out_blocks = (out_channels + BLOCK - 1) / BLOCK;
    const double in =
        in_channels <= DATA_CHANNELS_MAX ? 1 : (double)in_blocks * BLOCK / in_channels;
    return groups > 1 ? 1 : in * out_blocks * BLOCK / out_channels;
}

/// `counts` are of all that the node does.
static budget_work work_of(const nn_node *node, nn_shape in, const nn_counts *counts,
                           const search__setting *setting) {
    const int groups = node->groups > 0 ? node->groups : 1;
    const int64_t passes =
        counts->forward_flops > 0 ? counts->train_flops / counts->forward_flops : 0;
    const int pixels = node->shape.height * node->shape.width;
    const double batch = setting->batch_size;
    const bool conv = node->kind == NN_OP_CONV;
    const double fill = conv ? block_fill(in.channels, node->shape.channels, groups) : 1;
    return (budget_work){
        .kind = 2 * (PASSES_MAX * (int)node->kind + (int)(passes % PASSES_MAX)) + (groups > 1),
        .feature =
            {
                octaves(in.channels / groups),
                octaves(node->shape.channels / groups),
                octaves(groups),
                0.7 * octaves(pixels),
                0.2 * octaves(setting->batch_size),
                3.0 * node->kernel,
                4.0 * node->stride,
                conv ? 0.8 * log2(1 + ROWS_FEW / (pixels * batch)) : 4.0 * node->activation,
            },
        .ideal_ms =
            ideal_ms(batch * fill * (double)counts->train_flops,
                     batch * (double)counts->train_bytes + UPDATE_BYTES * (double)counts->params,
                     setting->thread_count),
    };
}

/// The optimiser's sweep over all parameters.
static budget_work update_work(int64_t param_count, const search__setting *setting) {
    return (budget_work){
        .kind = UPDATE_KIND,
        .feature = {log2((double)param_count + 1)},
        .ideal_ms = ideal_ms(0, UPDATE_BYTES * (double)param_count, setting->thread_count),
    };
}

/// The first convolution and its batch norm, which do their work together.
static budget_work stem_work(const nn_graph *graph, int index, const nn_counts *counts,
                             const search__setting *setting) {
    const int conv = graph->node[index].input[0];
    nn_node both = graph->node[conv];
    nn_counts sum = counts[conv];
    both.kind = NN_OP_STEM_NORM;
    both.activation = graph->node[index].activation;
    sum.train_bytes = counts[index].train_bytes;
    return work_of(&both, graph->node[0].shape, &sum, setting);
}

void search__step_works(const nn_graph *graph, const search__setting *setting, search__works *out) {
    nn_fused fused;
    nn_counts counts[NN_NODES_MAX];
    int64_t param_count = 0;
    nn_graph_fuse(graph, &fused);
    nn_graph_count_nodes(&fused.graph, counts);
    out->count = 0;
    for (int i = 1; i < fused.graph.node_count; i++) {
        const nn_node *node = &fused.graph.node[i];
        const bool stem = node->kind == NN_OP_STEM_NORM && node->input[0] == i - 1;
        out->count -= stem; // of its convolution
        param_count += counts[i].params;
        if (out->count > 0 && out->node[out->count - 1] == fused.source[i]) {
            continue; // an activation, apart from its batch norm: too rare to tell them apart
        }
        out->node[out->count] = fused.source[i];
        out->work[out->count++] =
            stem ? stem_work(&fused.graph, i, counts, setting)
                 : work_of(node, fused.graph.node[node->input[0]].shape, &counts[i], setting);
    }
    out->node[out->count] = graph->node_count;
    out->work[out->count++] = update_work(param_count, setting);
}

/// The layer that does node `node`'s work: the last that stems from it or from one before.
static int owner_of(const search__works *works, int node) {
    int owner = 0;
    while (owner + 1 < works->count && works->node[owner + 1] <= node) {
        owner++;
    }
    return owner;
}

size_t search__step_samples(const search__works *works, const nn_profile *profile, double update_ms,
                            budget_sample *out) {
    for (int i = 0; i < works->count; i++) {
        out[i] = (budget_sample){.work = works->work[i]};
    }
    for (int i = 0; i < profile->row_count; i++) {
        if (profile->row[i].node > 0) {
            out[owner_of(works, profile->row[i].node)].took_ms += profile->row[i].ms;
        }
    }
    out[works->count - 1].took_ms = update_ms;
    return (size_t)works->count;
}

double search__step_ms(const budget_model *model, const nn_graph *graph,
                       const search__setting *setting) {
    search__works works;
    double step_ms = 0;
    search__step_works(graph, setting, &works);
    for (int i = 0; i < works.count; i++) {
        step_ms += budget_model_predict_ms(model, &works.work[i]);
    }
    return step_ms;
}
