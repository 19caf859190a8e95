// Each op as oneDNN primitives: what is described, in which layouts, with which operands.
//
// Layouts spread from the convolutions: their inputs, outputs and weights are described as "any",
// oneDNN answers with the blocked layout its kernel likes, and all other ops take what comes. So a
// usual network has two reorders of activations at most: none at the input, whose plain layout the
// first convolution reads itself, and one before the linear layer.
//
// Elementwise ops are the flat loops of op_flat.c. Nothing here executes; only the few ops with
// work beside their program have a function of their own at the end.

#include <assert.h>
#include <string.h>

#include "nn/op_dnnl.h"

/* ---- helpers --------------------------------------------------------------------------------- */

const nn__prim *nn__prim_before(const nn__layer *layer, int which) {
    return nn__prim_of(layer->from[which]);
}

nn__tensor nn__input_tensor(const nn__layer *layer, int which) {
    return (nn__tensor){nn__prim_before(layer, which)->y, which == 0 ? NN__PLACE_X0 : NN__PLACE_X1,
                        0};
}

bool nn__wants_input_gradient(const nn__layer *layer, int which) {
    return layer->training && layer->from[which]->wants_gradient;
}

bool nn__learns(const nn__layer *layer) {
    return layer->training && layer->params.learns;
}

const_dnnl_memory_desc_t nn__vector_md(nn__prim *prim, size_t count) {
    return nn__md_plain(prim, (const dnnl_dim_t[]){(dnnl_dim_t)count}, 1);
}

const_dnnl_memory_desc_t nn__output_md(const nn__layer *layer) {
    const nn_shape shape = layer->node->shape;
    return nn__md_plain(
        layer->prim,
        (const dnnl_dim_t[]){layer->batch_size, shape.channels, shape.height, shape.width}, 4);
}

dnnl_prop_kind_t nn__forward_kind(const nn__layer *layer) {
    return layer->training ? dnnl_forward_training : dnnl_forward_inference;
}

ns_status nn__primitive_missing(const char *what, ns_error *err) {
    return ns_fail(err, NS_ERR_INTERNAL, "oneDNN has no %s for this shape", what);
}

/* ---- batch norm ------------------------------------------------------------------------------ */

/// What training keeps: mean (C), variance (C), then oneDNN's mask of what ReLU cut.
static size_t norm_array_bytes(const nn__layer *layer) {
    return nn__block_up(layer->params.running) * sizeof(float);
}

static nn__tensor norm_kept(const nn__layer *layer, int which) {
    return (nn__tensor){nn__prim_of(layer)->param[0], NN__PLACE_KEPT,
                        (size_t)which * norm_array_bytes(layer)};
}

/// Whether oneDNN's batch norm leaves the activation to us. Training keeps its argument z then, from
/// which backward takes the slope.
static bool norm_activates(const nn__layer *layer) {
    const nn_activation activation = layer->node->activation;
    return activation != NN_ACTIVATION_NONE && activation != NN_ACTIVATION_RELU;
}

/// Behind mean and variance.
static void *norm_argument(const nn__layer *layer) {
    return (char *)layer->kept + 2 * norm_array_bytes(layer);
}

/// mean, variance, scale, and the mask when there is one: common to both directions.
static ns_status norm_operands(nn__layer *layer, nn__call *call, const_dnnl_primitive_desc_t pd,
                               ns_error *err) {
    nn__prim *prim = layer->prim;
    const_dnnl_memory_desc_t vector = prim->param[0];
    nn__tensor mean = {vector, NN__PLACE_RUNNING_MEAN, 0};
    nn__tensor variance = {vector, NN__PLACE_RUNNING_VARIANCE, 0};
    const nn__tensor scale = {vector, NN__PLACE_WEIGHTS, 0};
    if (layer->training) {
        mean = norm_kept(layer, 0);
        variance = norm_kept(layer, 1);
    }
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_MEAN, &mean, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_VARIANCE, &variance, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SCALE, &scale, err));
    const_dnnl_memory_desc_t mask = nn__pd_layout(pd, dnnl_query_workspace_md);
    if (layer->training && mask != NULL && dnnl_memory_desc_get_size(mask) > 0) {
        const nn__tensor kept = {mask, NN__PLACE_KEPT, 2 * norm_array_bytes(layer)};
        layer->kept_bytes = 2 * norm_array_bytes(layer) + dnnl_memory_desc_get_size(mask);
        NS_TRY(nn__call_operand(prim, call, DNNL_ARG_WORKSPACE, &kept, err));
    }
    return NS_OK;
}

static ns_status norm_forward(nn__layer *layer, const_dnnl_primitive_desc_t pd, ns_error *err) {
    nn__prim *prim = layer->prim;
    const nn__tensor x = nn__input_tensor(layer, 0);
    const nn__tensor shift = {prim->param[1], NN__PLACE_BIAS, 0};
    nn__tensor y = {prim->y, NN__PLACE_Y, 0};
    if (layer->training && norm_activates(layer)) {
        y = (nn__tensor){prim->y, NN__PLACE_KEPT, 2 * norm_array_bytes(layer)};
        layer->kept_bytes += dnnl_memory_desc_get_size(prim->y);
    }
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, &prim->forward, pd, &call, err));
    NS_TRY(norm_operands(layer, call, pd, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SHIFT, &shift, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SRC, &x, err));
    return nn__call_operand(prim, call, DNNL_ARG_DST, &y, err);
}

static ns_status norm_backward(nn__layer *layer, const_dnnl_primitive_desc_t pd, ns_error *err) {
    nn__prim *prim = layer->prim;
    const nn__tensor x = nn__input_tensor(layer, 0);
    const nn__tensor dy = norm_activates(layer) ? nn__program_temporary(&prim->backward, prim->y)
                                                : (nn__tensor){prim->y, NN__PLACE_DY, 0};
    const nn__tensor scale = {prim->param[0], NN__PLACE_WEIGHTS_GRADIENT, 0};
    const nn__tensor shift = {prim->param[1], NN__PLACE_BIAS_GRADIENT, 0};
    const nn__tensor shift_read = {prim->param[1], NN__PLACE_BIAS, 0};
    nn__tensor dx = {prim->y, NN__PLACE_DX0, 0};
    if (!nn__wants_input_gradient(layer, 0)) { // oneDNN computes it all the same
        dx = nn__program_temporary(&prim->backward, prim->y);
    }
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, &prim->backward, pd, &call, err));
    NS_TRY(norm_operands(layer, call, pd, err));
    if (NN__NORM_BACKWARD_READS_SHIFT) {
        NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SHIFT, &shift_read, err));
    }
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SRC, &x, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DIFF_DST, &dy, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DIFF_SRC, &dx, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DIFF_SCALE, &scale, err));
    return nn__call_operand(prim, call, DNNL_ARG_DIFF_SHIFT, &shift, err);
}

static ns_status describe_norm(nn__layer *layer, ns_error *err) {
    nn__prim *prim = layer->prim;
    if (nn__own_norm_describe(layer)) {
        return NS_OK;
    }
    prim->variant = NULL;
    prim->y = nn__prim_before(layer, 0)->y;
    unsigned flags = dnnl_use_scale | dnnl_use_shift;
    flags |= layer->node->activation == NN_ACTIVATION_RELU ? dnnl_fuse_norm_relu : 0U;
    flags |= layer->training ? 0U : dnnl_use_global_stats;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = dnnl_batch_normalization_forward_primitive_desc_create(
        &pd, prim->engine, nn__forward_kind(layer), prim->y, prim->y, NN__NORM_EPSILON, flags,
        prim->attr);
    const_dnnl_primitive_desc_t forward = nn__pd_own(prim, status, pd);
    if (forward == NULL) {
        return nn__primitive_missing("batch norm", err);
    }
    layer->kept_bytes = layer->training ? 2 * norm_array_bytes(layer) : 0;
    NS_TRY(norm_forward(layer, forward, err));
    if (!layer->training) {
        return NS_OK;
    }
    status = dnnl_batch_normalization_backward_primitive_desc_create(
        &pd, prim->engine, dnnl_backward, prim->y, prim->y, prim->y, NN__NORM_EPSILON, flags,
        forward, prim->attr);
    const_dnnl_primitive_desc_t backward = nn__pd_own(prim, status, pd);
    return backward == NULL ? nn__primitive_missing("backward of batch norm", err)
                            : norm_backward(layer, backward, err);
}

/// The running statistics are ours: oneDNN only reports the batch's.
static void run_norm_forward(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    if (prim->variant != NULL) {
        nn__own_norm_forward(layer);
        return;
    }
    nn__program_run(prim, &prim->forward);
    if (norm_activates(layer)) {
        nn__flat_activate(layer, layer->training ? norm_argument(layer) : layer->y);
    }
    if (layer->training) {
        const char *kept = layer->kept;
        nn__running_update(layer, (const float *)(const void *)kept,
                           (const float *)(const void *)(kept + norm_array_bytes(layer)));
    }
}

static void run_norm_backward(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    if (prim->variant != NULL) {
        nn__own_norm_backward(layer);
        return;
    }
    if (norm_activates(layer)) { // the temporary is the first one
        nn__flat_activate_backward(layer, norm_argument(layer), layer->scratch);
    }
    nn__program_run(prim, &prim->backward);
}

/* ---- pooling --------------------------------------------------------------------------------- */

typedef struct pool_geometry {
    dnnl_alg_kind_t algorithm;
    dnnl_dims_t strides, kernel, dilates, pads;
} pool_geometry;

/// The global pools are one window of the whole map.
static pool_geometry pool_geometry_of(const nn__layer *layer) {
    const nn_node *node = layer->node;
    const bool max = node->kind == NN_OP_MAX_POOL || node->kind == NN_OP_GLOBAL_MAX_POOL;
    pool_geometry g = {.algorithm = max ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding,
                       .strides = {1, 1},
                       .kernel = {layer->in.height, layer->in.width}};
    for (int i = 0; i < 2 && node->kernel > 0; i++) {
        g.strides[i] = node->stride;
        g.kernel[i] = node->kernel;
        g.pads[i] = node->pad;
    }
    return g;
}

static ns_status pool_mask(nn__layer *layer, nn__call *call, const_dnnl_primitive_desc_t pd,
                           ns_error *err) {
    const_dnnl_memory_desc_t mask = nn__pd_layout(pd, dnnl_query_workspace_md);
    const size_t size_bytes = mask == NULL ? 0 : dnnl_memory_desc_get_size(mask);
    if (size_bytes == 0) {
        return NS_OK;
    }
    layer->kept_bytes = size_bytes;
    const nn__tensor kept = {mask, NN__PLACE_KEPT, 0};
    return nn__call_operand(layer->prim, call, DNNL_ARG_WORKSPACE, &kept, err);
}

static ns_status pool_backward(nn__layer *layer, const pool_geometry *g,
                               const_dnnl_primitive_desc_t hint, ns_error *err) {
    nn__prim *prim = layer->prim;
    nn__program *program = &prim->backward;
    const nn__tensor dy = {prim->y, NN__PLACE_DY, 0};
    const nn__tensor dx = {nn__prim_before(layer, 0)->y, NN__PLACE_DX0, 0};
    const_dnnl_memory_desc_t pooled = nn__pd_layout(hint, dnnl_query_dst_md);
    nn__tensor diff_dst;
    dnnl_primitive_desc_t made = NULL;
    const dnnl_status_t status = dnnl_pooling_backward_primitive_desc_create(
        &made, prim->engine, g->algorithm, dx.md, pooled, g->strides, g->kernel, g->dilates,
        g->pads, g->pads, hint, prim->attr);
    const_dnnl_primitive_desc_t pd = nn__pd_own(prim, status, made);
    if (pd == NULL) {
        return nn__primitive_missing("backward of pooling", err);
    }
    NS_TRY(nn__program_read(prim, program, &dy, pooled, &diff_dst, err));
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, program, pd, &call, err));
    NS_TRY(pool_mask(layer, call, pd, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DIFF_DST, &diff_dst, err));
    return nn__call_operand(prim, call, DNNL_ARG_DIFF_SRC, &dx, err);
}

/// A global pool of bf16 maps hands on f32: what is behind it works on vectors and is exact.
static ns_status describe_pool(nn__layer *layer, ns_error *err) {
    nn__prim *prim = layer->prim;
    const pool_geometry g = pool_geometry_of(layer);
    const nn__tensor x = nn__input_tensor(layer, 0);
    const dnnl_data_type_t type = nn__md_type(x.md);
    dnnl_primitive_desc_t made = NULL;
    const dnnl_status_t status = dnnl_pooling_forward_primitive_desc_create(
        &made, prim->engine, nn__forward_kind(layer), g.algorithm, x.md,
        nn__md_any(prim, nn__output_md(layer), type), g.strides, g.kernel, g.dilates, g.pads,
        g.pads, prim->attr);
    const_dnnl_primitive_desc_t pd = nn__pd_own(prim, status, made);
    if (pd == NULL) {
        return nn__primitive_missing("pooling", err);
    }
    const_dnnl_memory_desc_t pooled = nn__pd_layout(pd, dnnl_query_dst_md);
    const bool widens = type != dnnl_f32 && layer->node->kernel == 0;
    prim->y = widens ? nn__output_md(layer) : pooled;
    const nn__tensor y = {prim->y, NN__PLACE_Y, 0};
    const nn__tensor dst = widens ? nn__program_temporary(&prim->forward, pooled) : y;
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, &prim->forward, pd, &call, err));
    NS_TRY(pool_mask(layer, call, pd, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SRC, &x, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DST, &dst, err));
    if (widens) {
        NS_TRY(nn__program_reorder(prim, &prim->forward, &dst, &y, err));
    }
    return nn__wants_input_gradient(layer, 0) ? pool_backward(layer, &g, pd, err) : NS_OK;
}

/* ---- input, add, elementwise ----------------------------------------------------------------- */

static ns_status describe_input(nn__layer *layer, ns_error *err) {
    (void)err;
    nn__prim_of(layer)->y = nn__output_md(layer);
    return NS_OK;
}

static ns_status describe_flat(nn__layer *layer, ns_error *err) {
    (void)err;
    nn__prim_of(layer)->y = nn__prim_before(layer, 0)->y;
    return NS_OK;
}

/// The sum has its left input's layout; a right input in another one is brought to it, and back.
static ns_status describe_add(nn__layer *layer, ns_error *err) {
    nn__prim *prim = layer->prim;
    const nn__tensor right = nn__input_tensor(layer, 1);
    prim->y = nn__prim_before(layer, 0)->y;
    layer->passes[0] = true;
    layer->passes[1] = dnnl_memory_desc_equal(prim->y, right.md);
    if (layer->passes[1]) {
        return NS_OK;
    }
    nn__tensor moved;
    NS_TRY(nn__program_read(prim, &prim->forward, &right, prim->y, &moved, err));
    if (!nn__wants_input_gradient(layer, 1)) {
        return NS_OK;
    }
    const nn__tensor from = {prim->y, NN__PLACE_DY, 0}, to = {right.md, NN__PLACE_DX1, 0};
    return nn__program_reorder(prim, &prim->backward, &from, &to, err);
}

static void run_add_forward(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    nn__program_run(prim, &prim->forward);
    const float *right = layer->passes[1] ? layer->x[1] : layer->scratch;
    nn__flat_add(layer->y_dtype, layer->x[0], right, layer->y, layer->y_bytes,
                 layer->node->activation);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void run_forward(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    nn__program_run(prim, &prim->forward);
}

static void run_backward(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    nn__program_run(prim, &prim->backward);
}

static void run_conv_forward(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    if (prim->winograd > 0) {
        nn__winograd_run_forward(layer);
    } else if (prim->variant != NULL) {
        nn__depthwise_run_forward(layer);
    } else {
        run_forward(layer);
    }
}

static void run_conv_backward(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    if (prim->winograd > 0) {
        nn__winograd_run_backward_data(layer);
    } else if (prim->variant != NULL) {
        nn__depthwise_run_backward(layer);
    } else {
        run_backward(layer);
    }
}

const nn__dnnl_op *nn__dnnl_op_of(nn_op_kind kind) {
    static const nn__dnnl_op table[NN_OP_KIND_COUNT] = {
        [NN_OP_INPUT] = {describe_input, run_forward, run_backward},
        [NN_OP_CONV] = {nn__describe_conv, run_conv_forward, run_conv_backward},
        [NN_OP_BATCH_NORM] = {describe_norm, run_norm_forward, run_norm_backward},
        [NN_OP_NORM_ADD] = {nn__fused_describe, nn__own_norm_forward, nn__own_norm_backward},
        [NN_OP_NORM_ADD_ACT] = {nn__fused_describe, nn__own_norm_forward, nn__own_norm_backward},
        [NN_OP_NORM_POOL] = {nn__fused_describe, nn__own_norm_forward, nn__own_norm_backward},
        [NN_OP_NORM_AVERAGE] = {nn__fused_describe, nn__own_norm_forward, nn__own_norm_backward},
        [NN_OP_STEM_NORM] = {nn__fused_describe, nn__own_norm_forward, nn__own_norm_backward},
        [NN_OP_ACTIVATION] = {describe_flat, nn__flat_activation_forward,
                              nn__flat_activation_backward},
        [NN_OP_ADD] = {describe_add, run_add_forward, run_backward},
        [NN_OP_MULTIPLY] = {nn__dnnl_gate_describe, nn__dnnl_gate_forward, nn__dnnl_gate_backward},
        [NN_OP_MAX_POOL] = {describe_pool, run_forward, run_backward},
        [NN_OP_AVERAGE_POOL] = {describe_pool, run_forward, run_backward},
        [NN_OP_GLOBAL_MAX_POOL] = {describe_pool, run_forward, run_backward},
        [NN_OP_GLOBAL_AVERAGE_POOL] = {describe_pool, run_forward, run_backward},
        [NN_OP_LINEAR] = {nn__describe_linear, run_forward, run_backward},
        [NN_OP_DROPOUT] = {describe_flat, nn__flat_dropout_forward, nn__flat_dropout_backward},
        [NN_OP_SCALE] = {describe_flat, nn__flat_scale_forward, nn__flat_scale_backward},
    };
    return &table[kind];
}
