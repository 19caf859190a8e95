// The executor's first part: a graph becomes layers, the layers a plan, the plan one arena, and the
// arena a net that runs steps (exec_run.c) on parameters (exec_state.c).
//
//      graph -> fused -> layers -> backend describes sizes -> memory plan -> arena -> backend builds
//      |---------------------- net_describe() ----------------------------|---- nn_net_new() ------|
//
// The backend may refuse a fused layer whose tensors have no layout for it; then that part of the
// graph is left as it was.
//
// nn_plan_make() stops half way: what it reports is the very number nn_net_new() allocates, for
// both walk through carve(), once to count and once to bind. After nn_net_new() nothing is
// allocated by a step: every buffer is at its place, every kernel is built.

#include <assert.h>
#include <omp.h>
#include <stdlib.h>

#include "nn/exec.h"

// Measured with oneDNN 2.6 on AVX-512 as growth of the resident set beyond the arena: 9 to 14 MB for
// networks of 15 to 44 layers, bf16 at the upper end.
#define LIBRARY_BYTES ((size_t)9200000) // pages of libraries, their heap, the pool of threads
#define LAYER_BYTES   ((size_t)80000)   // code and descriptions of its kernels

/* ---- layers ---------------------------------------------------------------------------------- */

nn_net_options nn_net_options_default(void) {
    return (nn_net_options){.backend = NN_BACKEND_ONEDNN, .mode = NN_MODE_TRAIN, .batch_size = 64};
}

static ns_status check_options(const nn_graph *graph, const nn_net_options *options,
                               ns_error *err) {
    NS_TRY(nn_graph_check(graph, err));
    if (options->batch_size < 1 || options->batch_size > NN_BATCH_MAX) {
        return ns_fail(err, NS_ERR_LIMIT, "a batch of %d images is not between 1 and %d",
                       options->batch_size, NN_BATCH_MAX);
    }
    if (options->backend == NN_BACKEND_REFERENCE && options->dtype == NN_DTYPE_BF16) {
        return ns_fail(err, NS_ERR_INPUT, "the reference computes in f32, not in bf16");
    }
    for (int i = 0; i < graph->node_count && options->mode == NN_MODE_TRAIN; i++) {
        const nn_node *node = &graph->node[i];
        if (node->activation != NN_ACTIVATION_NONE && node->kind != NN_OP_BATCH_NORM &&
            node->kind != NN_OP_ACTIVATION) {
            return ns_fail(err, NS_ERR_INPUT,
                           "%s at node %d: a fused activation cannot be trained, add a node for it",
                           nn__op_of(node->kind)->name, i);
        }
    }
    return NS_OK;
}

static void layer_init(nn_net *net, int i) {
    const nn_node *node = &net->fused.graph.node[i];
    const nn__op *op = nn__op_of(node->kind);
    nn__layer *layer = &net->layer[i];
    *layer = (nn__layer){
        .node = node,
        .in = nn__input_shape(&net->fused.graph, node, 0),
        .params = nn__node_params(&net->fused.graph, node),
        .index = net->fused.source[i],
        .batch_size = net->options.batch_size,
        .dtype = net->options.dtype,
        .y_dtype = NN_DTYPE_F32,
        .training = net->options.mode == NN_MODE_TRAIN,
        .step = &net->step,
        .running_share = &net->running_share,
    };
    layer->wants_gradient = layer->params.learns;
    for (int k = 0; k < op->input_count; k++) {
        layer->from[k] = &net->layer[node->input[k]];
        layer->wants_gradient = layer->wants_gradient || layer->from[k]->wants_gradient;
    }
    if (node->kind == NN_OP_STEM_NORM) {
        net->layer[node->input[0]].absorbed = true;
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

/// Hands out parts of a block, or only counts them while `base` is NULL.
typedef struct carver {
    char *base;
    size_t used_bytes;
} carver;

static void *take(carver *c, size_t size_bytes) {
    void *part = c->base == NULL ? NULL : c->base + c->used_bytes;
    c->used_bytes += (size_bytes + 63) / 64 * 64;
    return part;
}

static float *take_floats(carver *c, size_t count) {
    return take(c, count * sizeof(float));
}

void *nn__buffer_at(const nn_net *net, char *tensors, int buffer) {
    return tensors == NULL || buffer < 0 ? NULL : tensors + net->memory.buffer[buffer].offset;
}

static void bind_tensors(nn_net *net, char *tensors) {
    for (int i = 0; i < net->layer_count; i++) {
        nn__layer *layer = &net->layer[i];
        const nn__layer_plan *plan = &net->memory.layer[i];
        layer->y = nn__buffer_at(net, tensors, plan->y);
        layer->dy = nn__buffer_at(net, tensors, plan->dy);
        layer->kept = nn__buffer_at(net, tensors, plan->kept);
        for (int k = 0; k < NN__INPUTS_MAX; k++) {
            layer->dx[k] = nn__buffer_at(net, tensors, plan->dx[k]);
            layer->x[k] = layer->from[k] == NULL ? NULL : layer->from[k]->y;
        }
    }
}

/// Parts of the flat parameter arrays, in graph order.
static void bind_params(nn_net *net) {
    size_t at = 0;
    for (int i = 0; i < net->layer_count; i++) {
        nn__layer *layer = &net->layer[i];
        for (int k = 0; k < NN__PARAMS_MAX; k++) {
            layer->value[k] = net->value + at;
            layer->gradient[k] = net->gradient == NULL ? NULL : net->gradient + at;
            for (size_t block = 0; block < layer->param_count[k] / NN__BLOCK; block++) {
                net->decay[at / NN__BLOCK + block] = k == 0 && layer->params.decays;
            }
            at += layer->param_count[k];
        }
    }
}

static size_t count_params(const nn_net *net) {
    size_t count = 0;
    for (int i = 0; i < net->layer_count; i++) {
        count += net->layer[i].param_count[0] + net->layer[i].param_count[1];
    }
    return count;
}

/// Every byte of the net, counted or bound. Returns the bytes.
static size_t carve(nn_net *net, carver c) {
    const bool training = net->options.mode == NN_MODE_TRAIN;
    const size_t batch = (size_t)net->options.batch_size;
    const size_t logits = batch * (size_t)nn_net_class_count(net);

    char *tensors = take(&c, net->memory.tensor_bytes);
    void *scratch = take(&c, net->memory.scratch_bytes);
    net->value = take_floats(&c, net->param_count);
    net->gradient = training ? take_floats(&c, net->param_count) : NULL;
    net->momentum = training ? take_floats(&c, net->param_count) : NULL;
    net->average = training && net->options.average ? take_floats(&c, net->param_count) : NULL;
    net->decay = take(&c, net->param_count / NN__BLOCK * sizeof(bool));
    net->labels = take(&c, batch * sizeof(int32_t));
    net->partner_labels = net->options.mixup ? take(&c, batch * sizeof(int32_t)) : NULL;
    net->lambdas = net->options.mixup ? take_floats(&c, batch) : NULL;
    net->targets = training && net->options.multi_label ? take_floats(&c, logits) : NULL;
    net->logits = take_floats(&c, logits);
    net->loss = (nn__loss){
        .logits = net->logits,
        .labels = net->labels,
        .partner_labels = net->partner_labels,
        .lambdas = net->lambdas,
        .targets = net->targets,
        .batch_size = net->options.batch_size,
        .class_count = nn_net_class_count(net),
        .class_weights = net->options.class_weights,
        .smoothing = net->options.label_smoothing,
        .gradient = training ? take_floats(&c, logits) : NULL,
        .row_loss = training ? take_floats(&c, batch) : NULL,
    };
    for (int i = 0; i < net->layer_count; i++) {
        nn__layer *layer = &net->layer[i];
        layer->scratch = scratch;
        layer->running[0] = take_floats(&c, nn__block_up(layer->params.running));
        layer->running[1] = take_floats(&c, nn__block_up(layer->params.running));
        layer->prepared = take(&c, layer->prepared_bytes);
    }
    if (c.base != NULL) {
        bind_tensors(net, tensors);
        bind_params(net);
    }
    return c.used_bytes;
}

/* ---- creation -------------------------------------------------------------------------------- */

/// Layers from the fused graph, described by the backend.
static ns_status describe_layers(nn_net *net, ns_error *err) {
    net->layer_count = net->fused.graph.node_count;
    for (int i = 0; i < net->layer_count; i++) {
        layer_init(net, i);
    }
    return net->backend->describe(net->layer, net->layer_count, &net->context, err);
}

/// The layer that the backend can do unfused alone, NULL when there is none.
static const nn__layer *refused_layer(const nn_net *net) {
    for (int i = 0; i < net->layer_count; i++) {
        if (net->layer[i].refused) {
            return &net->layer[i];
        }
    }
    return NULL;
}

/// Fuses as much as the backend can do.
static ns_status fuse_layers(nn_net *net, const nn_graph *graph, ns_error *err) {
    const bool training = net->options.mode == NN_MODE_TRAIN;
    bool barred[NN_NODES_MAX] = {false};
    if (net->options.backend == NN_BACKEND_REFERENCE) {
        nn__fuse_nothing(graph, &net->fused);
        return describe_layers(net, err);
    }
    for (;;) {
        NS_TRY(nn__fuse(graph, training, barred, &net->fused, err));
        const ns_status status = describe_layers(net, err);
        const nn__layer *refused = refused_layer(net);
        if (status == NS_OK || refused == NULL) {
            return status;
        }
        barred[refused->index] = true;
        net->backend->close(net->layer, net->layer_count, net->context);
        net->context = NULL;
    }
}

static ns_status net_describe(nn_net *net, const nn_graph *graph, const nn_net_options *options,
                              ns_error *err) {
    net->options = *options;
    net->running_share = NN__NORM_MOMENTUM;
    if (options->thread_count <= 0) {
        net->options.thread_count = ns_cpu_count();
    }
    net->options.dtype =
        options->backend == NN_BACKEND_REFERENCE ? NN_DTYPE_F32 : nn_dtype_resolve(options->dtype);
    net->backend =
        options->backend == NN_BACKEND_REFERENCE ? &nn__backend_reference : &nn__backend_onednn;
    net->layer = calloc(NN_NODES_MAX, sizeof *net->layer);
    if (net->layer == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot describe a network: out of memory");
    }
    omp_set_num_threads(net->options.thread_count);
    NS_TRY(fuse_layers(net, graph, err));
    NS_TRY(nn__memory_plan(net->layer, net->layer_count, &net->memory, err));
    net->param_count = count_params(net);
    net->plan = (nn_plan){
        .counts = nn_graph_count(graph),
        .arena_bytes = carve(net, (carver){NULL, 0}),
        .process_bytes = LIBRARY_BYTES + (size_t)net->layer_count * LAYER_BYTES,
    };
    return NS_OK;
}

static ns_status net_open(const nn_graph *graph, const nn_net_options *options, nn_net **out,
                          ns_error *err) {
    *out = NULL;
    NS_TRY(check_options(graph, options, err));
    nn_net *net = calloc(1, sizeof *net);
    if (net == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot make a network: out of memory");
    }
    const ns_status status = net_describe(net, graph, options, err);
    if (status != NS_OK) {
        nn_net_free(net);
        return status;
    }
    *out = net;
    return NS_OK;
}

ns_status nn_plan_make(const nn_graph *graph, const nn_net_options *options, nn_plan *out,
                       ns_error *err) {
    nn_net *net = NULL;
    NS_TRY(net_open(graph, options, &net, err));
    *out = net->plan;
    nn_net_free(net);
    return NS_OK;
}

static ns_status net_allocate(nn_net *net, ns_error *err) {
    const size_t needed = net->plan.arena_bytes;
    const size_t limit =
        net->options.mem_bytes_max > 0 ? net->options.mem_bytes_max : ns_mem_available_bytes();
    if (needed > limit) {
        return ns_fail(err, NS_ERR_LIMIT,
                       "the network needs %.1f MB of memory at batch %d, but %.1f MB may be used",
                       (double)needed / 1e6, net->options.batch_size, (double)limit / 1e6);
    }
    NS_TRY(ns_arena_new(needed, &net->arena, err));
    char *base = ns_arena_alloc(net->arena, needed, 64);
    assert(base != NULL);
    const size_t bound = carve(net, (carver){base, 0});
    assert(bound == needed);
    (void)bound;
    return net->backend->build(net->layer, net->layer_count, net->context, err);
}

ns_status nn_net_new(const nn_graph *graph, const nn_net_options *options, nn_net **out,
                     ns_error *err) {
    NS_TRY(net_open(graph, options, out, err));
    const ns_status status = net_allocate(*out, err);
    if (status != NS_OK) {
        nn_net_free(*out);
        *out = NULL;
    }
    return status;
}

size_t nn__net_mem_bytes(const nn_net *net) {
    return net->plan.arena_bytes;
}

void nn_net_free(nn_net *net) {
    if (net == NULL) {
        return;
    }
    if (net->layer != NULL) {
        net->backend->close(net->layer, net->layer_count, net->context);
    }
    nn__memory_free(&net->memory);
    ns_arena_free(net->arena);
    free(net->layer);
    free(net);
}
