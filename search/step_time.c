// How long a training step of a network will take: the sum of its layers' times, each predicted from
// what a layer of its shape took in calibration (calibrate.c, budget/model.c).
//
// What a layer's speed depends on is written down here once, as the features of a budget_work: the
// logarithms of channels (of a group), groups, pixels and batch, and kernel and stride. They are
// scaled so that a distance of 1 means about the same on each axis. A layer's kind is its op and how
// many passes over its FLOPs a step makes: the first layer needs no gradient of its input.
//
// Beside its layers, a step updates the weights, as if that were one more layer.

#include <math.h>

#include "search/search_internal.h"

// What one thread does ideally, for want of a measurement.
#define FLOPS_PER_MS 50e6
#define BYTES_PER_MS 4e6
#define LAYER_MS     0.004 // a kernel's start
#define BLOCK        16    // channels that kernels compute together, wanted or not

#define UPDATE_KIND  (4 * NN_OP_KIND_COUNT)
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

static budget_work work_of(const nn_graph *graph, int index, const nn_counts *counts,
                           const search__setting *setting) {
    const nn_node *node = &graph->node[index];
    const nn_shape in = graph->node[node->input[0]].shape;
    const int groups = node->groups > 0 ? node->groups : 1;
    const int64_t passes =
        counts->forward_flops > 0 ? counts->train_flops / counts->forward_flops : 0;
    const double batch = setting->batch_size;
    const double fill =
        node->kind == NN_OP_CONV ? block_fill(in.channels, node->shape.channels, groups) : 1;
    return (budget_work){
        .kind = 4 * (int)node->kind + (int)passes,
        .feature =
            {
                octaves(in.channels / groups),
                octaves(node->shape.channels / groups),
                octaves(groups),
                octaves(node->shape.height * node->shape.width),
                0.25 * octaves(setting->batch_size),
                2.0 * node->kernel,
                4.0 * node->stride,
                4.0 * (double)node->activation,
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

void search__step_samples(const nn_graph *graph, const search__setting *setting,
                          const nn_profile *profile, double update_ms, budget_sample *out) {
    nn_counts counts[NN_NODES_MAX];
    int64_t param_count = 0;
    nn_graph_count_nodes(graph, counts);
    for (int i = 1; i < graph->node_count; i++) {
        param_count += counts[i].params;
        out[i - 1] = (budget_sample){.work = work_of(graph, i, &counts[i], setting)};
    }
    for (int i = 0; i < profile->row_count; i++) {
        if (profile->row[i].node > 0) {
            out[profile->row[i].node - 1].took_ms += profile->row[i].ms;
        }
    }
    out[graph->node_count - 1] = (budget_sample){update_work(param_count, setting), update_ms};
}

double search__step_ms(const budget_model *model, const nn_graph *graph,
                       const search__setting *setting) {
    nn_counts counts[NN_NODES_MAX];
    nn_graph_count_nodes(graph, counts);
    double step_ms = 0;
    int64_t param_count = 0;
    for (int i = 1; i < graph->node_count; i++) {
        const budget_work work = work_of(graph, i, &counts[i], setting);
        step_ms += budget_model_predict_ms(model, &work);
        param_count += counts[i].params;
    }
    const budget_work update = update_work(param_count, setting);
    return step_ms + budget_model_predict_ms(model, &update);
}
