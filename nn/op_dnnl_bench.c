// The convolutions' own best times: what a training step would take if nothing but its convolutions
// ran, each by the fastest way there is, oneDNN's or ours, and undisturbed by what stands around it
// in a net.
//
// For every distinct geometry of a graph and each of its passes (forward, backward-weights, and
// backward-data where its input has a gradient) all algorithms and layouts of oneDNN's and our own
// kernels are tried once; the fastest stays and is measured in rounds, in turn with whole steps, so
// that a noisy machine slows both alike. Threads are bound as in a step. A measurement repeats the pass on the same buffers: after the first, discarded run,
// what fits the caches is there. Reorders between layouts are not counted. So the sum is a bound no
// step made of these kernels reaches, and the fraction of it says what a net costs around them.

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "nn/bench_conv.h"
#include "nn/dnnl_compat.h"
#include "nn/nn_internal.h"

#define ROUNDS_MAX   64      // that the median knows; later ones replace the oldest
#define ROUND_NS     4000000 // of one pass in one round, at least one run
#define ROUND_RUNS   8       // at most
#define OPERANDS_MAX 4
#define TAGS_MAX     3

/// A described and built pass.
typedef struct kernel {
    dnnl_primitive_desc_t forward_pd, pd; // forward_pd: the hint of a backward pass, else NULL
    dnnl_primitive_t primitive;
    nn__own_conv own; // in place of these, when it has a name
} kernel;

typedef struct entry {
    nn_bench_conv public;
    nn__conv_geometry geometry;
    kernel kernel;
    double round_ms[ROUNDS_MAX];
    int round_count;
} entry;

struct nn_bench_convs {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int thread_count;
    entry *entry;
    int entry_count;
    void *memory[NN__CONV_BLOCK_COUNT];
    size_t memory_bytes[NN__CONV_BLOCK_COUNT];
};

/* ---- one pass -------------------------------------------------------------------------------- */

/// Layouts of x and y that are tried, and the algorithm.
typedef struct choice {
    dnnl_alg_kind_t algorithm;
    dnnl_format_tag_t x, y;
    const char *name;
} choice;

static const choice choices[] = {
    {dnnl_convolution_direct, dnnl_format_tag_any, dnnl_format_tag_any, "blocked"},
    {dnnl_convolution_winograd, dnnl_format_tag_any, dnnl_format_tag_any, "Winograd"},
    {dnnl_convolution_direct, dnnl_acdb, dnnl_acdb, "channels last"},
    {dnnl_convolution_direct, dnnl_abcd, dnnl_format_tag_any, "plain x"},
};

static dnnl_data_type_t type_of(const nn__conv_geometry *g) {
    return g->bf16 ? dnnl_bf16 : dnnl_f32;
}

/// The layouts a descriptor is made from; destroyed by layouts_free().
typedef struct layouts {
    nn__owned_md x, y, weights, gradient;
} layouts;

static void layouts_free(layouts *l) {
    nn__owned_md *const all[] = {&l->x, &l->y, &l->weights, &l->gradient};
    for (size_t i = 0; i < NS_COUNT_OF(all); i++) {
        if (*all[i] != NULL) {
            dnnl_memory_desc_destroy(*all[i]);
        }
    }
}

static bool layouts_new(const nn__conv_geometry *g, const choice *by, layouts *out) {
    const dnnl_dims_t x = {g->batch_size, g->in.channels, g->in.height, g->in.width};
    const dnnl_dims_t y = {g->batch_size, g->out.channels, g->out.height, g->out.width};
    const dnnl_dims_t grouped = {g->groups, g->out.channels / g->groups, g->in.channels / g->groups,
                                 g->kernel, g->kernel};
    const dnnl_dims_t whole = {g->out.channels, g->in.channels, g->kernel, g->kernel};
    const dnnl_dim_t *weights = g->groups > 1 ? grouped : whole;
    const int weights_dims = g->groups > 1 ? 5 : 4;
    *out = (layouts){0};
    return dnnl_memory_desc_create_with_tag(&out->x, 4, x, type_of(g), by->x) == dnnl_success &&
           dnnl_memory_desc_create_with_tag(&out->y, 4, y, type_of(g), by->y) == dnnl_success &&
           dnnl_memory_desc_create_with_tag(&out->weights, weights_dims, weights, type_of(g),
                                            dnnl_format_tag_any) == dnnl_success &&
           dnnl_memory_desc_create_with_tag(&out->gradient, weights_dims, weights, dnnl_f32,
                                            dnnl_format_tag_any) == dnnl_success;
}

static dnnl_status_t describe(const nn_bench_convs *convs, const nn__conv_geometry *g, nn_pass pass,
                              const choice *by, const layouts *l, const_dnnl_primitive_attr_t attr,
                              kernel *out) {
    const dnnl_dims_t strides = {g->stride, g->stride}, pads = {g->pad, g->pad}, dilates = {0, 0};
    dnnl_primitive_desc_t *forward = pass == NN_PASS_FORWARD ? &out->pd : &out->forward_pd;
    const dnnl_status_t status = dnnl_convolution_forward_primitive_desc_create(
        forward, convs->engine, dnnl_forward_training, by->algorithm, l->x, l->weights, NULL, l->y,
        strides, dilates, pads, pads, attr);
    if (status != dnnl_success || pass == NN_PASS_FORWARD) {
        return status;
    }
    if (pass == NN_PASS_BACKWARD_DATA) {
        return dnnl_convolution_backward_data_primitive_desc_create(
            &out->pd, convs->engine, by->algorithm, l->x, l->weights, l->y, strides, dilates, pads,
            pads, *forward, attr);
    }
    return dnnl_convolution_backward_weights_primitive_desc_create(
        &out->pd, convs->engine, by->algorithm, l->x, l->gradient, NULL, l->y, strides, dilates,
        pads, pads, *forward, attr);
}

static void kernel_free(kernel *k) {
    dnnl_primitive_destroy(k->primitive);
    dnnl_primitive_desc_destroy(k->pd);
    dnnl_primitive_desc_destroy(k->forward_pd);
    *k = (kernel){0};
}

/// False when oneDNN has no such pass.
static bool kernel_new(const nn_bench_convs *convs, const nn__conv_geometry *g, nn_pass pass,
                       const choice *by, kernel *out) {
    *out = (kernel){0};
    layouts l;
    dnnl_primitive_attr_t attr = NULL;
    const bool good =
        layouts_new(g, by, &l) && dnnl_primitive_attr_create(&attr) == dnnl_success &&
        dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) == dnnl_success &&
        describe(convs, g, pass, by, &l, attr, out) == dnnl_success &&
        dnnl_primitive_create(&out->primitive, out->pd) == dnnl_success;
    dnnl_primitive_attr_destroy(attr);
    layouts_free(&l);
    if (!good) {
        kernel_free(out);
    }
    return good;
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct operand {
    int arg;
    dnnl_query_t layout;
    nn__conv_block block;
} operand;

/// Operands of a pass, the scratchpad last.
static const operand *operands_of(nn_pass pass) {
    static const operand forward[] = {
        {DNNL_ARG_SRC, dnnl_query_src_md, NN__CONV_X},
        {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, NN__CONV_WEIGHTS},
        {DNNL_ARG_DST, dnnl_query_dst_md, NN__CONV_RESULT},
        {DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, NN__CONV_SCRATCH},
    };
    static const operand backward_data[] = {
        {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, NN__CONV_Y},
        {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, NN__CONV_WEIGHTS},
        {DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, NN__CONV_RESULT},
        {DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, NN__CONV_SCRATCH},
    };
    static const operand backward_weights[] = {
        {DNNL_ARG_SRC, dnnl_query_src_md, NN__CONV_X},
        {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, NN__CONV_Y},
        {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, NN__CONV_RESULT},
        {DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, NN__CONV_SCRATCH},
    };
    return pass == NN_PASS_FORWARD         ? forward
           : pass == NN_PASS_BACKWARD_DATA ? backward_data
                                           : backward_weights;
}

/// Values of magnitude 1/2 to 1 in either type, half of them negative: no kernel meets a denormal.
static void fill(void *memory, size_t size_bytes) {
    uint16_t *half = memory;
    uint32_t random = 1;
    for (size_t i = 0; i < size_bytes / sizeof *half; i++) {
        random = random * 1664525U + 1013904223U;
        half[i] = (uint16_t)(0x3F00U | (random >> 16 & 0x807FU)); // bf16, or half of an f32
    }
}

static bool block_reserve(nn_bench_convs *convs, nn__conv_block which, size_t size_bytes) {
    if (size_bytes <= convs->memory_bytes[which]) {
        return true;
    }
    free(convs->memory[which]);
    convs->memory_bytes[which] = (size_bytes + 4095) / 4096 * 4096;
    convs->memory[which] = aligned_alloc(4096, convs->memory_bytes[which]);
    if (convs->memory[which] == NULL) {
        convs->memory_bytes[which] = 0;
        return false;
    }
    fill(convs->memory[which], convs->memory_bytes[which]);
    return true;
}

static bool reserve(nn_bench_convs *convs, const kernel *k, nn_pass pass) {
    const operand *operands = operands_of(pass);
    bool good = true;
    for (int i = 0; i < NN__CONV_BLOCK_COUNT && k->own.name != NULL && good; i++) {
        good = block_reserve(convs, (nn__conv_block)i, k->own.bytes[i]);
    }
    for (int i = 0; i < OPERANDS_MAX && k->own.name == NULL && good; i++) {
        const_dnnl_memory_desc_t md = dnnl_primitive_desc_query_md(k->pd, operands[i].layout, 0);
        good = md == NULL || block_reserve(convs, operands[i].block, dnnl_memory_desc_get_size(md));
    }
    return good;
}

static bool args_new(const nn_bench_convs *convs, const kernel *k, nn_pass pass,
                     dnnl_exec_arg_t *args) {
    const operand *operands = operands_of(pass);
    bool good = true;
    for (int i = 0; i < OPERANDS_MAX && k->own.name == NULL && good; i++) {
        const_dnnl_memory_desc_t md = dnnl_primitive_desc_query_md(k->pd, operands[i].layout, 0);
        args[i].arg = operands[i].arg;
        good = dnnl_memory_create(&args[i].memory, md, convs->engine,
                                  convs->memory[operands[i].block]) == dnnl_success;
    }
    return good;
}

static bool execute(const nn_bench_convs *convs, const kernel *k, const dnnl_exec_arg_t *args) {
    if (k->own.name == NULL) {
        return dnnl_primitive_execute(k->primitive, convs->stream, OPERANDS_MAX, args) ==
               dnnl_success;
    }
    nn__own_conv_run(&k->own, convs->memory);
    return true;
}

/// Milliseconds of the fastest of `run_count` runs after one that is not counted; infinity when
/// oneDNN fails.
static double run(const nn_bench_convs *convs, const kernel *k, nn_pass pass, int run_count) {
    dnnl_exec_arg_t args[OPERANDS_MAX] = {0};
    nn__team team;
    double best_ms = (double)INFINITY;
    bool good = args_new(convs, k, pass, args);
    nn__team_enter(&team, convs->thread_count, true);
    for (int i = 0; i <= run_count && good; i++) {
        const int64_t since_ns = ns_clock_ns();
        good = execute(convs, k, args);
        const double ms = (double)(ns_clock_ns() - since_ns) / 1e6;
        best_ms = good && i > 0 ? fmin(best_ms, ms) : best_ms;
    }
    nn__team_leave(&team);
    for (int i = 0; i < OPERANDS_MAX; i++) {
        dnnl_memory_destroy(args[i].memory);
    }
    return best_ms;
}

/* ---- the fastest way ------------------------------------------------------------------------- */

/// Not worth a run once there is anything else.
static bool is_fallback(const char *kernel_name) {
    return strncmp(kernel_name, "ref", 3) == 0 || strstr(kernel_name, "gemm:") != NULL;
}

/// One run for what is clearly slower, three for what may be the fastest.
static double try_out(const nn_bench_convs *convs, const kernel *k, nn_pass pass, double best_ms) {
    const double ms = run(convs, k, pass, 1);
    return ms > 1.1 * best_ms ? ms : fmin(ms, run(convs, k, pass, 2));
}

/// Keeps the kernel for the entry if it is faster than what is there, else frees it.
static ns_status consider(nn_bench_convs *convs, entry *e, kernel *k, const char *name,
                          const char *layout, ns_error *err) {
    if (!reserve(convs, k, e->public.pass)) {
        kernel_free(k);
        return ns_fail(err, NS_ERR_MEMORY, "no memory to measure convolutions");
    }
    const bool hopeless = is_fallback(name) && isfinite(e->public.ms);
    const double ms = hopeless ? (double)INFINITY : try_out(convs, k, e->public.pass, e->public.ms);
    if (ms < e->public.ms) {
        e->public.ms = ms;
        kernel_free(&e->kernel);
        e->kernel = *k;
        (void)snprintf(e->public.kernel, sizeof e->public.kernel, "%s, %s", name, layout);
    } else {
        kernel_free(k);
    }
    return NS_OK;
}

static ns_status choose(nn_bench_convs *convs, entry *e, ns_error *err) {
    kernel k;
    e->public.ms = (double)INFINITY;
    for (size_t i = 0; i < NS_COUNT_OF(choices); i++) {
        const char *name = "";
        if (kernel_new(convs, &e->geometry, e->public.pass, &choices[i], &k)) {
            (void)dnnl_primitive_desc_query(k.pd, dnnl_query_impl_info_str, 0, &name);
            NS_TRY(consider(convs, e, &k, name, choices[i].name, err));
        }
    }
    k = (kernel){0};
    if (nn__own_conv_describe(&e->geometry, e->public.pass, convs->thread_count, &k.own)) {
        NS_TRY(consider(convs, e, &k, k.own.name, "blocked", err));
    }
    e->public.ms_now = e->public.ms_best = e->public.ms;
    return isfinite(e->public.ms) ? NS_OK
                                  : ns_fail(err, NS_ERR_INTERNAL,
                                            "there is no convolution for node %d", e->public.node);
}

/* ---- the convolutions of a graph ------------------------------------------------------------- */

static bool same_geometry(const nn__conv_geometry *a, const nn__conv_geometry *b) {
    return a->batch_size == b->batch_size && a->groups == b->groups &&
           memcmp(&a->in, &b->in, sizeof a->in) == 0 &&
           memcmp(&a->out, &b->out, sizeof a->out) == 0 && a->kernel == b->kernel &&
           a->stride == b->stride && a->pad == b->pad && a->bf16 == b->bf16 && a->first == b->first;
}

static void add_pass(nn_bench_convs *convs, const nn__conv_geometry *g, int node, nn_pass pass,
                     int64_t flops) {
    for (int i = 0; i < convs->entry_count; i++) {
        entry *e = &convs->entry[i];
        if (e->public.pass == pass && same_geometry(&e->geometry, g)) {
            e->public.use_count++;
            return;
        }
    }
    convs->entry[convs->entry_count++] = (entry){
        .public = {.node = node, .pass = pass, .use_count = 1, .flops = flops},
        .geometry = *g,
    };
}

static void collect(nn_bench_convs *convs, const nn_graph *graph, const nn_net_options *options) {
    bool learns[NN_NODES_MAX] = {false}; // some parameter at or before this node
    for (int i = 0; i < graph->node_count; i++) {
        const nn_node *node = &graph->node[i];
        for (int k = 0; k < 2 && node->input[k] >= 0; k++) {
            learns[i] = learns[i] || learns[node->input[k]];
        }
        if (node->kind == NN_OP_CONV) {
            const nn__conv_geometry g = {
                .batch_size = options->batch_size,
                .groups = node->groups,
                .in = nn__input_shape(graph, node, 0),
                .out = node->shape,
                .kernel = node->kernel,
                .stride = node->stride,
                .pad = node->pad,
                .bf16 = nn_dtype_resolve(options->dtype) == NN_DTYPE_BF16,
                .first = !learns[i] && node->input[0] == 0,
            };
            const int64_t flops = g.batch_size * nn__op_of(node->kind)->flops(node, g.in);
            add_pass(convs, &g, i, NN_PASS_FORWARD, flops);
            add_pass(convs, &g, i, NN_PASS_BACKWARD_WEIGHTS, flops);
            if (learns[i]) {
                add_pass(convs, &g, i, NN_PASS_BACKWARD_DATA, flops);
            }
        }
        learns[i] = learns[i] || nn__node_params(graph, node).trainable[0] > 0;
    }
}

static ns_status open_convs(nn_bench_convs *convs, const nn_graph *graph,
                            const nn_net_options *options, ns_error *err) {
    convs->entry = calloc((size_t)graph->node_count * 3, sizeof *convs->entry);
    if (convs->entry == NULL || dnnl_engine_create(&convs->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&convs->stream, convs->engine, dnnl_stream_default_flags) !=
            dnnl_success) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to measure convolutions");
    }
    convs->thread_count = options->thread_count > 0 ? options->thread_count : ns_cpu_count();
    omp_set_num_threads(convs->thread_count);
    collect(convs, graph, options);
    for (int i = 0; i < convs->entry_count; i++) {
        NS_TRY(choose(convs, &convs->entry[i], err));
    }
    return NS_OK;
}

ns_status nn_bench_convs_new(const nn_graph *graph, const nn_net_options *options,
                             nn_bench_convs **out, ns_error *err) {
    *out = NULL;
    nn_bench_convs *convs = calloc(1, sizeof *convs);
    if (convs == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to measure convolutions");
    }
    const ns_status status = open_convs(convs, graph, options, err);
    if (status != NS_OK) {
        nn_bench_convs_free(convs);
        return status;
    }
    *out = convs;
    return NS_OK;
}

void nn_bench_convs_free(nn_bench_convs *convs) {
    if (convs == NULL) {
        return;
    }
    for (int i = 0; i < convs->entry_count; i++) {
        kernel_free(&convs->entry[i].kernel);
    }
    for (int i = 0; i < NN__CONV_BLOCK_COUNT; i++) {
        free(convs->memory[i]);
    }
    dnnl_stream_destroy(convs->stream);
    dnnl_engine_destroy(convs->engine);
    free(convs->entry);
    free(convs);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static double median_ms(const entry *e) {
    double sorted[ROUNDS_MAX];
    const int count = e->round_count < ROUNDS_MAX ? e->round_count : ROUNDS_MAX;
    memcpy(sorted, e->round_ms, (size_t)count * sizeof *sorted);
    return ns_median(sorted, (size_t)count);
}

void nn_bench_convs_round(nn_bench_convs *convs) {
    omp_set_num_threads(convs->thread_count);
    for (int i = 0; i < convs->entry_count; i++) {
        entry *e = &convs->entry[i];
        const double wanted = ROUND_NS / 1e6 / e->public.ms_best;
        const int run_count = wanted < 1 ? 1 : wanted > ROUND_RUNS ? ROUND_RUNS : (int)wanted;
        e->public.ms_now = run(convs, &e->kernel, e->public.pass, run_count);
        e->public.ms_best = fmin(e->public.ms_best, e->public.ms_now);
        e->round_ms[e->round_count++ % ROUNDS_MAX] = e->public.ms_now;
        e->public.ms = median_ms(e);
    }
}

const nn_bench_conv *nn_bench_convs_at(const nn_bench_convs *convs, int index) {
    return index >= 0 && index < convs->entry_count ? &convs->entry[index].public : NULL;
}
