// The oneDNN backend: programs of primitives, and the backend's face on them.
//
// Written to the C interface of oneDNN 3.x, which dnnl_compat.h speaks to 2.6 and later: primitives
// are described in op_dnnl_ops.c, and all else happens here. Four rules, each learned from the
// library:
//   - Scratchpads are the caller's (user mode): one block for all layers, since only one runs.
//   - Primitives bake in the number of threads at creation, so exec.c sets it before.
//   - Weights, gradients and momentum stay in the layout in which backward-weights writes the
//     gradient, so that the optimiser sweeps flat arrays; where forward or backward-data want
//     another one, a reorder of the weights (small against the convolution) precedes them.
//   - Padding inside blocked layouts is zero: primitives write it so, flat loops keep it so.
//
// Executing a primitive makes oneDNN build a small map of its operands on the heap and free it
// again: the only allocation in a step, and none of ours. Nothing in its interface avoids that, and
// it does not pay to try: a ResNet-9's step makes 420 pieces of at most 120 bytes, 4 microseconds
// of malloc and free in at least 20 milliseconds.

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "nn/op_dnnl.h"

typedef struct dnnl_context {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr[NN_ACTIVATION_COUNT];
} dnnl_context;

static ns_status check(dnnl_status_t got, const char *what, ns_error *err) {
    if (got == dnnl_success) {
        return NS_OK;
    }
    const bool memory = got == dnnl_out_of_memory;
    return ns_fail(err, memory ? NS_ERR_MEMORY : NS_ERR_INTERNAL, "oneDNN cannot %s: %s", what,
                   memory ? "out of memory"
                          : (got == dnnl_unimplemented ? "it is not implemented" : "it refuses"));
}

/* ---- describing ------------------------------------------------------------------------------ */

static const_dnnl_memory_desc_t md_new(nn__prim *prim, const dnnl_dim_t *dims, int dim_count,
                                       dnnl_data_type_t type, dnnl_format_tag_t tag) {
    dnnl_dims_t all = {0};
    for (int i = 0; i < dim_count; i++) {
        all[i] = dims[i];
    }
    assert(prim->owned_md_count < NN__OWNED_MAX);
    nn__owned_md md = NULL;
    if (dnnl_memory_desc_create_with_tag(&md, dim_count, all, type, tag) == dnnl_success) {
        prim->owned_md[prim->owned_md_count++] = md;
    }
    return md;
}

static dnnl_format_tag_t plain_tag(int dim_count) {
    static const dnnl_format_tag_t tags[] = {dnnl_a, dnnl_ab, dnnl_abc, dnnl_abcd, dnnl_abcde};
    return tags[dim_count - 1];
}

const_dnnl_memory_desc_t nn__md_plain(nn__prim *prim, const dnnl_dim_t *dims, int dim_count) {
    return md_new(prim, dims, dim_count, dnnl_f32, plain_tag(dim_count));
}

const_dnnl_memory_desc_t nn__md_tagged(nn__prim *prim, const_dnnl_memory_desc_t like,
                                       dnnl_data_type_t type, dnnl_format_tag_t tag) {
    int dim_count = 0;
    const dnnl_dims_t *dims = NULL;
    if (dnnl_memory_desc_query(like, dnnl_query_ndims_s32, &dim_count) != dnnl_success ||
        dnnl_memory_desc_query(like, dnnl_query_dims, &dims) != dnnl_success) {
        return NULL;
    }
    return md_new(prim, *dims, dim_count, type,
                  tag == dnnl_format_tag_undef ? plain_tag(dim_count) : tag);
}

const_dnnl_memory_desc_t nn__md_plain_like(nn__prim *prim, const_dnnl_memory_desc_t like,
                                           dnnl_data_type_t type) {
    return nn__md_tagged(prim, like, type, dnnl_format_tag_undef);
}

const_dnnl_memory_desc_t nn__md_any(nn__prim *prim, const_dnnl_memory_desc_t like,
                                    dnnl_data_type_t type) {
    return nn__md_tagged(prim, like, type, dnnl_format_tag_any);
}

dnnl_data_type_t nn__md_type(const_dnnl_memory_desc_t md) {
    dnnl_data_type_t type = dnnl_data_type_undef;
    (void)dnnl_memory_desc_query(md, dnnl_query_data_type, &type);
    return type;
}

bool nn__md_lanes(const_dnnl_memory_desc_t md, nn__lanes *out) {
    int dim_count = 0, block_count = 0;
    const dnnl_dims_t *dims = NULL, *padded = NULL, *strides = NULL, *block = NULL, *axis = NULL;
    if (dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &dim_count) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_dims, &dims) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_padded_dims, &padded) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_strides, &strides) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_inner_nblks_s32, &block_count) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_inner_blks, &block) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_inner_idxs, &axis) != dnnl_success) {
        return false;
    }
    if (dim_count != 4 || block_count > 1 || (block_count == 1 && (*axis)[0] != 1) ||
        ((*dims)[2] > 1 && (*strides)[2] != (*dims)[3] * (*strides)[3])) {
        return false;
    }
    int lanes = 1;
    if (block_count == 1) {
        lanes = (int)(*block)[0];
    } else {
        while ((*strides)[1] == 1 && lanes < NN__LANES_MAX && (*dims)[1] % (2L * lanes) == 0) {
            lanes *= 2;
        }
    }
    const bool side_by_side = block_count == 0 && lanes > 1;
    *out = (nn__lanes){.lanes = lanes,
                       .chunk_count = (int)(*padded)[1] / lanes,
                       .image = (size_t)(*strides)[0],
                       .chunk = side_by_side ? (size_t)lanes : (size_t)(*strides)[1],
                       .pixel = (size_t)(*strides)[3]};
    return lanes <= NN__LANES_MAX;
}

const_dnnl_memory_desc_t nn__md_lanes_like(nn__prim *prim, const_dnnl_memory_desc_t dims,
                                           const_dnnl_memory_desc_t like) {
    nn__lanes lanes = {0};
    const dnnl_dims_t *sizes = NULL;
    if (!nn__md_lanes(like, &lanes) ||
        dnnl_memory_desc_query(dims, dnnl_query_dims, &sizes) != dnnl_success) {
        return NULL;
    }
    const bool side_by_side = lanes.pixel > (size_t)lanes.lanes;
    const dnnl_format_tag_t blocked = lanes.lanes == 16 ? dnnl_nChw16c : dnnl_nChw8c;
    return md_new(prim, *sizes, 4, nn__md_type(like), side_by_side ? dnnl_nhwc : blocked);
}

const_dnnl_memory_desc_t nn__md_depthwise(nn__prim *prim, const_dnnl_memory_desc_t plain,
                                          int lanes) {
    const dnnl_dims_t *dims = NULL;
    if (dnnl_memory_desc_query(plain, dnnl_query_dims, &dims) != dnnl_success) {
        return NULL;
    }
    return md_new(prim, *dims, 5, dnnl_f32, lanes == 16 ? dnnl_Goihw16g : dnnl_Goihw8g);
}

static dnnl_alg_kind_t eltwise_of(nn_activation activation) {
    static const dnnl_alg_kind_t table[NN_ACTIVATION_COUNT] = {
        [NN_ACTIVATION_RELU] = dnnl_eltwise_relu,
        [NN_ACTIVATION_SILU] = dnnl_eltwise_swish,
        [NN_ACTIVATION_GELU] = dnnl_eltwise_gelu_erf,
        [NN_ACTIVATION_SIGMOID] = dnnl_eltwise_logistic,
    };
    return table[activation];
}

static dnnl_primitive_attr_t attr_new(nn_activation activation) {
    const float alpha = activation == NN_ACTIVATION_SILU ? 1.0F : 0.0F; // swish: x sigmoid(alpha x)
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t after = NULL;
    bool good =
        dnnl_primitive_attr_create(&attr) == dnnl_success &&
        dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) == dnnl_success;
    if (good && activation != NN_ACTIVATION_NONE) {
        good = dnnl_post_ops_create(&after) == dnnl_success &&
               dnnl_post_ops_append_eltwise(after, eltwise_of(activation), alpha, 0.0F) ==
                   dnnl_success &&
               dnnl_primitive_attr_set_post_ops(attr, after) == dnnl_success;
        dnnl_post_ops_destroy(after);
    }
    if (!good) {
        dnnl_primitive_attr_destroy(attr);
        return NULL;
    }
    return attr;
}

const_dnnl_primitive_desc_t nn__pd_own(nn__prim *prim, dnnl_status_t status,
                                       dnnl_primitive_desc_t pd) {
    if (status != dnnl_success) {
        return NULL;
    }
    assert(prim->owned_count < NN__OWNED_MAX);
    prim->owned[prim->owned_count++] = pd;
    return pd;
}

const_dnnl_memory_desc_t nn__pd_layout(const_dnnl_primitive_desc_t pd, dnnl_query_t what) {
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

ns_status nn__program_add(nn__prim *prim, nn__program *program, const_dnnl_primitive_desc_t pd,
                          nn__call **out, ns_error *err) {
    assert(program->call_count < NN__CALLS_MAX);
    nn__call *call = &program->call[program->call_count++];
    call->pd = pd;
    *out = call;
    const_dnnl_memory_desc_t scratchpad = nn__pd_layout(pd, dnnl_query_scratchpad_md);
    const size_t size_bytes = scratchpad == NULL ? 0 : dnnl_memory_desc_get_size(scratchpad);
    if (size_bytes == 0) {
        return NS_OK;
    }
    if (size_bytes > program->scratchpad_bytes) {
        program->scratchpad_bytes = size_bytes;
    }
    const nn__tensor tensor = {scratchpad, NN__PLACE_SCRATCHPAD, 0};
    return nn__call_operand(prim, call, DNNL_ARG_SCRATCHPAD, &tensor, err);
}

ns_status nn__call_operand(const nn__prim *prim, nn__call *call, int arg, const nn__tensor *tensor,
                           ns_error *err) {
    assert(call->operand_count < NN__OPERANDS_MAX);
    const int i = call->operand_count;
    dnnl_memory_t memory = NULL;
    NS_TRY(check(dnnl_memory_create(&memory, tensor->md, prim->engine, DNNL_MEMORY_NONE),
                 "describe an operand", err));
    call->operand[i] = (dnnl_exec_arg_t){arg, memory};
    call->place[i] = tensor->place;
    call->offset[i] = tensor->offset;
    call->operand_count++;
    return NS_OK;
}

/// Whether a tensor is a feature map, or its gradient, of more than a pixel.
static bool is_map(const nn__tensor *tensor) {
    const dnnl_dims_t *dims = NULL;
    int dim_count = 0;
    return tensor->place <= NN__PLACE_DX1 &&
           dnnl_memory_desc_query(tensor->md, dnnl_query_ndims_s32, &dim_count) == dnnl_success &&
           dnnl_memory_desc_query(tensor->md, dnnl_query_dims, &dims) == dnnl_success &&
           dim_count == 4 && (*dims)[2] * (*dims)[3] > 1;
}

ns_status nn__program_reorder(nn__prim *prim, nn__program *program, const nn__tensor *from,
                              const nn__tensor *to, ns_error *err) {
    prim->map_reorder_count += is_map(from) || is_map(to);
    dnnl_primitive_desc_t made = NULL;
    const dnnl_status_t status = dnnl_reorder_primitive_desc_create(
        &made, from->md, prim->engine, to->md, prim->engine, prim->attr);
    NS_TRY(check(status, "describe a reorder", err));
    const_dnnl_primitive_desc_t pd = nn__pd_own(prim, status, made);
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, program, pd, &call, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_FROM, from, err));
    return nn__call_operand(prim, call, DNNL_ARG_TO, to, err);
}

nn__tensor nn__program_temporary(nn__program *program, const_dnnl_memory_desc_t md) {
    const nn__tensor tensor = {md, NN__PLACE_TEMPORARY, program->temporary_bytes};
    program->temporary_bytes += (dnnl_memory_desc_get_size(md) + 63) / 64 * 64;
    return tensor;
}

ns_status nn__program_read(nn__prim *prim, nn__program *program, const nn__tensor *have,
                           const_dnnl_memory_desc_t want, nn__tensor *out, ns_error *err) {
    *out = *have;
    if (dnnl_memory_desc_equal(have->md, want)) {
        return NS_OK;
    }
    *out = nn__program_temporary(program, want);
    return nn__program_reorder(prim, program, have, out, err);
}

/* ---- programs -------------------------------------------------------------------------------- */

static void *place_address(const nn__layer *layer, nn__place place, size_t temporary_bytes) {
    switch (place) {
    case NN__PLACE_X0:
        return (void *)layer->x[0];
    case NN__PLACE_X1:
        return (void *)layer->x[1];
    case NN__PLACE_Y:
        return layer->y;
    case NN__PLACE_DY:
        return layer->dy;
    case NN__PLACE_DX0:
        return layer->dx[0];
    case NN__PLACE_DX1:
        return layer->dx[1];
    case NN__PLACE_WEIGHTS:
        return layer->value[0];
    case NN__PLACE_BIAS:
        return layer->value[1];
    case NN__PLACE_WEIGHTS_GRADIENT:
        return layer->gradient[0];
    case NN__PLACE_BIAS_GRADIENT:
        return layer->gradient[1];
    case NN__PLACE_RUNNING_MEAN:
        return layer->running[0];
    case NN__PLACE_RUNNING_VARIANCE:
        return layer->running[1];
    case NN__PLACE_KEPT:
        return layer->kept;
    case NN__PLACE_PREPARED:
        return layer->prepared;
    case NN__PLACE_TEMPORARY:
        return layer->scratch;
    case NN__PLACE_SCRATCHPAD:
        return (char *)layer->scratch + temporary_bytes;
    case NN__PLACE_CALLER:
        return NULL;
    }
    return NULL;
}

static size_t program_scratch_bytes(const nn__program *program) {
    return program->temporary_bytes + program->scratchpad_bytes;
}

static ns_status program_build(const nn__layer *layer, nn__program *program, ns_error *err) {
    for (int c = 0; c < program->call_count; c++) {
        nn__call *call = &program->call[c];
        NS_TRY(check(dnnl_primitive_create(&call->primitive, call->pd), "build a kernel", err));
        for (int i = 0; i < call->operand_count; i++) {
            if (call->place[i] == NN__PLACE_CALLER) {
                continue;
            }
            char *base = place_address(layer, call->place[i], program->temporary_bytes);
            assert(base != NULL);
            NS_TRY(
                check(dnnl_memory_set_data_handle(call->operand[i].memory, base + call->offset[i]),
                      "bind an operand", err));
        }
    }
    return NS_OK;
}

static void program_free(nn__program *program) {
    for (int c = 0; c < program->call_count; c++) {
        nn__call *call = &program->call[c];
        for (int i = 0; i < call->operand_count; i++) {
            dnnl_memory_destroy(call->operand[i].memory);
        }
        dnnl_primitive_destroy(call->primitive);
    }
}

void nn__program_run(const nn__prim *prim, const nn__program *program) {
    for (int c = 0; c < program->call_count; c++) {
        const nn__call *call = &program->call[c];
        const dnnl_status_t status = dnnl_primitive_execute(call->primitive, prim->stream,
                                                            call->operand_count, call->operand);
        assert(status == dnnl_success); // shapes and layouts were settled when it was described
        (void)status;
    }
}

/// Runs a program of one reorder between two addresses of the caller.
static void run_between(const nn__prim *prim, const nn__program *program, const float *from,
                        float *to) {
    const nn__call *call = &program->call[0];
    for (int i = 0; i < call->operand_count; i++) {
        if (call->place[i] == NN__PLACE_CALLER) {
            const bool source = call->operand[i].arg == DNNL_ARG_FROM;
            (void)dnnl_memory_set_data_handle(call->operand[i].memory, source ? (void *)from : to);
        }
    }
    nn__program_run(prim, program);
}

/* ---- the backend's face ---------------------------------------------------------------------- */

/// A pair of reorders between the layouts, unless they are the same.
static ns_status describe_conversion(nn__prim *prim, const_dnnl_memory_desc_t plain,
                                     const_dnnl_memory_desc_t mine, nn__program *in,
                                     nn__program *out, ns_error *err) {
    if (dnnl_memory_desc_equal(plain, mine)) {
        return NS_OK;
    }
    const nn__tensor outside = {plain, NN__PLACE_CALLER, 0};
    const nn__tensor inside = {mine, NN__PLACE_CALLER, 0};
    NS_TRY(nn__program_reorder(prim, in, &outside, &inside, err));
    return nn__program_reorder(prim, out, &inside, &outside, err);
}

static nn__program *program_of(nn__prim *prim, int i) {
    nn__program *const all[] = {&prim->forward,      &prim->backward_weights, &prim->backward,
                                &prim->prepare,      &prim->param_in[0],      &prim->param_in[1],
                                &prim->param_out[0], &prim->param_out[1],     &prim->output_out,
                                &prim->output_in};
    return i < (int)NS_COUNT_OF(all) ? all[i] : NULL;
}

static ns_status describe_layer(nn__layer *layer, bool last, ns_error *err) {
    nn__prim *prim = layer->prim;
    NS_TRY(nn__dnnl_op_of(layer->node->kind)->describe(layer, err));
    layer->y_bytes = layer->absorbed ? 0 : dnnl_memory_desc_get_size(prim->y);
    layer->map_reorder_count = prim->map_reorder_count;
    layer->y_dtype = nn__md_type(prim->y) == dnnl_bf16 ? NN_DTYPE_BF16 : NN_DTYPE_F32;
    for (int k = 0; k < NN__PARAMS_MAX; k++) {
        if (layer->params.trainable[k] > 0) {
            layer->param_count[k] =
                nn__block_up(dnnl_memory_desc_get_size(prim->param[k]) / sizeof(float));
            NS_TRY(describe_conversion(prim, prim->param_plain[k], prim->param[k],
                                       &prim->param_in[k], &prim->param_out[k], err));
        }
    }
    if (last) {
        NS_TRY(describe_conversion(prim, nn__md_plain_like(prim, prim->y, dnnl_f32), prim->y,
                                   &prim->output_in, &prim->output_out, err));
    }
    nn__program *program = NULL;
    for (int i = 0; (program = program_of(prim, i)) != NULL; i++) {
        if (program_scratch_bytes(program) > layer->scratch_bytes) {
            layer->scratch_bytes = program_scratch_bytes(program);
        }
    }
    return NS_OK;
}

static ns_status describe(nn__layer *layers, int layer_count, void **context, ns_error *err) {
    dnnl_context *own_context = calloc(1, sizeof *own_context);
    if (own_context == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot describe a network: out of memory");
    }
    *context = own_context;
    NS_TRY(check(dnnl_engine_create(&own_context->engine, dnnl_cpu, 0), "start", err));
    NS_TRY(check(
        dnnl_stream_create(&own_context->stream, own_context->engine, dnnl_stream_default_flags),
        "start", err));
    for (int i = 0; i < NN_ACTIVATION_COUNT; i++) {
        own_context->attr[i] = attr_new((nn_activation)i);
        if (own_context->attr[i] == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "cannot describe a network: out of memory");
        }
    }
    for (int i = 0; i < layer_count; i++) {
        nn__prim *prim = calloc(1, sizeof *prim);
        if (prim == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "cannot describe a network: out of memory");
        }
        prim->engine = own_context->engine;
        prim->stream = own_context->stream;
        prim->attr_by_activation = own_context->attr;
        prim->attr = own_context->attr[NN_ACTIVATION_NONE];
        layers[i].prim = prim;
        const ns_status status = describe_layer(&layers[i], i == layer_count - 1, err);
        if (status == NS_ERR_INTERNAL && layers[i].dtype == NN_DTYPE_BF16 &&
            !nn__onednn_has_bf16()) {
            return ns_fail(err, NS_ERR_INPUT,
                           "oneDNN cannot compute in bf16 on this processor: take f32");
        }
        if (status != NS_OK) {
            ns_error_prefix(err, "%s at node %d", nn__op_of(layers[i].node->kind)->name,
                            layers[i].index);
            return status;
        }
    }
    return NS_OK;
}

static ns_status build(nn__layer *layers, int layer_count, void *context, ns_error *err) {
    (void)context;
    for (int i = 0; i < layer_count; i++) {
        nn__program *program = NULL;
        for (int k = 0; (program = program_of(layers[i].prim, k)) != NULL; k++) {
            NS_TRY(program_build(&layers[i], program, err));
        }
    }
    return NS_OK;
}

static void close_layers(nn__layer *layers, int layer_count, void *context) {
    for (int i = 0; i < layer_count && layers[i].prim != NULL; i++) {
        nn__prim *prim = layers[i].prim;
        nn__program *program = NULL;
        for (int k = 0; (program = program_of(prim, k)) != NULL; k++) {
            program_free(program);
        }
        for (int k = 0; k < prim->owned_count; k++) {
            dnnl_primitive_desc_destroy(prim->owned[k]);
        }
        for (int k = 0; k < prim->owned_md_count; k++) {
            dnnl_memory_desc_destroy(prim->owned_md[k]);
        }
        free(prim);
        layers[i].prim = NULL;
    }
    dnnl_context *own_context = context;
    if (own_context != NULL) {
        for (int i = 0; i < NN_ACTIVATION_COUNT; i++) {
            dnnl_primitive_attr_destroy(own_context->attr[i]);
        }
        dnnl_stream_destroy(own_context->stream);
        dnnl_engine_destroy(own_context->engine);
        free(own_context);
    }
}

static void forward(const nn__layer *layer) {
    nn__dnnl_op_of(layer->node->kind)->forward(layer);
}

static void backward(const nn__layer *layer) {
    nn__dnnl_op_of(layer->node->kind)->backward(layer);
}

static bool splits(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    return prim->winograd > 0 || prim->backward_weights.call_count > 0;
}

static void backward_weights(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    if (prim->winograd > 0) {
        nn__winograd_run_backward_weights(layer);
    } else {
        nn__program_run(prim, &prim->backward_weights);
    }
}

static void prepare(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    nn__program_run(prim, &prim->prepare);
}

static void convert(const nn__prim *prim, const nn__program *program, const float *from, float *to,
                    size_t count) {
    if (program->call_count == 0) {
        memcpy(to, from, count * sizeof *to);
    } else {
        run_between(prim, program, from, to);
    }
}

static void param_in(const nn__layer *layer, int which, const float *plain, float *mine) {
    const nn__prim *prim = layer->prim;
    convert(prim, &prim->param_in[which], plain, mine, layer->params.trainable[which]);
}

static void param_out(const nn__layer *layer, int which, const float *mine, float *plain) {
    const nn__prim *prim = layer->prim;
    convert(prim, &prim->param_out[which], mine, plain, layer->params.trainable[which]);
}

static size_t plain_count(const nn__layer *layer) {
    return (size_t)layer->batch_size * nn__shape_count(layer->node->shape);
}

static void output_out(const nn__layer *layer, float *plain) {
    const nn__prim *prim = layer->prim;
    convert(prim, &prim->output_out, layer->y, plain, plain_count(layer));
}

static void output_gradient_in(const nn__layer *layer, const float *plain) {
    const nn__prim *prim = layer->prim;
    convert(prim, &prim->output_in, plain, layer->dy, plain_count(layer));
}

const nn__backend nn__backend_onednn = {
    .describe = describe,
    .build = build,
    .close = close_layers,
    .forward = forward,
    .splits = splits,
    .backward_weights = backward_weights,
    .backward = backward,
    .prepare = prepare,
    .param_in = param_in,
    .param_out = param_out,
    .output_out = output_out,
    .output_gradient_in = output_gradient_in,
};

bool nn__onednn_has_bf16(void) {
    // The bits that avx512_core_bf16 adds to those of lesser instruction sets, in 2.x and 3.x alike.
    const unsigned needed = (unsigned)dnnl_cpu_isa_avx512_core_bf16;
    return ((unsigned)dnnl_get_effective_cpu_isa() & needed) == needed;
}

void nn__onednn_describe(nn_platform *platform) {
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } isa_list[] = {
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_avx, "avx"},
        {dnnl_cpu_isa_sse41, "sse41"},
    };
    const dnnl_version_t *version = dnnl_version();
    (void)snprintf(platform->library, sizeof platform->library, "oneDNN %d.%d.%d", version->major,
                   version->minor, version->patch);
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    const char *name = "generic";
    for (size_t i = NS_COUNT_OF(isa_list); i-- > 0;) {
        const unsigned bits = (unsigned)isa_list[i].isa;
        name = (isa & bits) == bits ? isa_list[i].name : name;
    }
    (void)snprintf(platform->isa, sizeof platform->isa, "%s", name);
}
