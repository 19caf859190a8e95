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

static const nn__prim *prim_before(const nn__layer *layer, int which) {
    return nn__prim_of(layer->from[which]);
}

static nn__tensor input_tensor(const nn__layer *layer, int which) {
    return (nn__tensor){prim_before(layer, which)->y, which == 0 ? NN__PLACE_X0 : NN__PLACE_X1, 0};
}

static bool wants_input_gradient(const nn__layer *layer, int which) {
    return layer->training && layer->from[which]->wants_gradient;
}

static bool learns(const nn__layer *layer) {
    return layer->training && layer->params.learns;
}

static const_dnnl_memory_desc_t vector_md(nn__prim *prim, size_t count) {
    return nn__md_plain(prim, (const dnnl_dim_t[]){(dnnl_dim_t)count}, 1);
}

static const_dnnl_memory_desc_t output_md(const nn__layer *layer) {
    const nn_shape shape = layer->node->shape;
    return nn__md_plain(
        layer->prim,
        (const dnnl_dim_t[]){layer->batch_size, shape.channels, shape.height, shape.width}, 4);
}

static dnnl_prop_kind_t forward_kind(const nn__layer *layer) {
    return layer->training ? dnnl_forward_training : dnnl_forward_inference;
}

static ns_status missing(const char *what, ns_error *err) {
    return ns_fail(err, NS_ERR_INTERNAL, "oneDNN has no %s for this shape", what);
}

/* ---- convolution and linear ------------------------------------------------------------------ */

/// The three primitives of an op with weights, and the output in the dimensions they speak of.
typedef struct weighted {
    const_dnnl_primitive_desc_t forward, backward_weights, backward_data;
    const_dnnl_memory_desc_t y;
} weighted;

static ns_status weighted_forward(nn__layer *layer, const weighted *op, ns_error *err) {
    nn__prim *prim = layer->prim;
    nn__program *program = &prim->forward;
    const nn__tensor x = input_tensor(layer, 0);
    const nn__tensor value = {prim->param[0], NN__PLACE_WEIGHTS, 0};
    const nn__tensor bias = {prim->param[1], NN__PLACE_BIAS, 0};
    const nn__tensor y = {op->y, NN__PLACE_Y, 0};
    const_dnnl_memory_desc_t kernel_md = nn__pd_layout(op->forward, dnnl_query_weights_md);
    nn__tensor src, weights = {kernel_md, NN__PLACE_PREPARED, 0};

    NS_TRY(nn__program_read(prim, program, &x, nn__pd_layout(op->forward, dnnl_query_src_md), &src,
                            err));
    if (layer->training) {
        NS_TRY(nn__program_read(prim, program, &value, kernel_md, &weights, err));
    } else {
        layer->prepared_bytes = dnnl_memory_desc_get_size(kernel_md);
        NS_TRY(nn__program_reorder(prim, &prim->prepare, &value, &weights, err));
    }
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, program, op->forward, &call, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SRC, &src, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_WEIGHTS, &weights, err));
    if (layer->params.trainable[1] > 0) {
        NS_TRY(nn__call_operand(prim, call, DNNL_ARG_BIAS, &bias, err));
    }
    return nn__call_operand(prim, call, DNNL_ARG_DST, &y, err);
}

static ns_status weighted_backward_weights(nn__layer *layer, const weighted *op, ns_error *err) {
    nn__prim *prim = layer->prim;
    nn__program *program = &prim->backward;
    const nn__tensor x = input_tensor(layer, 0);
    const nn__tensor dy = {op->y, NN__PLACE_DY, 0};
    const nn__tensor weights = {prim->param[0], NN__PLACE_WEIGHTS_GRADIENT, 0};
    const nn__tensor bias = {prim->param[1], NN__PLACE_BIAS_GRADIENT, 0};
    const_dnnl_primitive_desc_t pd = op->backward_weights;
    nn__tensor src, diff_dst;

    NS_TRY(nn__program_read(prim, program, &x, nn__pd_layout(pd, dnnl_query_src_md), &src, err));
    NS_TRY(nn__program_read(prim, program, &dy, nn__pd_layout(pd, dnnl_query_diff_dst_md),
                            &diff_dst, err));
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, program, pd, &call, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SRC, &src, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DIFF_DST, &diff_dst, err));
    if (layer->params.trainable[1] > 0) {
        NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DIFF_BIAS, &bias, err));
    }
    return nn__call_operand(prim, call, DNNL_ARG_DIFF_WEIGHTS, &weights, err);
}

static ns_status weighted_backward_data(nn__layer *layer, const weighted *op, ns_error *err) {
    nn__prim *prim = layer->prim;
    nn__program *program = &prim->backward;
    const nn__tensor dy = {op->y, NN__PLACE_DY, 0};
    const nn__tensor value = {prim->param[0], NN__PLACE_WEIGHTS, 0};
    const nn__tensor dx = {prim_before(layer, 0)->y, NN__PLACE_DX0, 0};
    const_dnnl_primitive_desc_t pd = op->backward_data;
    const_dnnl_memory_desc_t dx_md = nn__pd_layout(pd, dnnl_query_diff_src_md);
    const bool same = dnnl_memory_desc_equal(dx.md, dx_md);
    const nn__tensor diff_src = same ? dx : nn__program_temporary(program, dx_md);
    nn__tensor diff_dst, weights;

    NS_TRY(nn__program_read(prim, program, &dy, nn__pd_layout(pd, dnnl_query_diff_dst_md),
                            &diff_dst, err));
    NS_TRY(nn__program_read(prim, program, &value, nn__pd_layout(pd, dnnl_query_weights_md),
                            &weights, err));
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, program, pd, &call, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DIFF_DST, &diff_dst, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_WEIGHTS, &weights, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DIFF_SRC, &diff_src, err));
    return same ? NS_OK : nn__program_reorder(prim, program, &diff_src, &dx, err);
}

/// Completes the layer from its primitives. The parameters' layout is the gradient's where there
/// is one, plain otherwise.
static ns_status describe_weighted(nn__layer *layer, const weighted *op, ns_error *err) {
    nn__prim *prim = layer->prim;
    prim->param[0] = learns(layer) ? nn__pd_layout(op->backward_weights, dnnl_query_diff_weights_md)
                                   : prim->param_plain[0];
    prim->param[1] = prim->param_plain[1];
    NS_TRY(weighted_forward(layer, op, err));
    if (learns(layer)) {
        NS_TRY(weighted_backward_weights(layer, op, err));
    }
    return op->backward_data != NULL ? weighted_backward_data(layer, op, err) : NS_OK;
}

/// Everything oneDNN wants to know of a convolution.
typedef struct conv_geometry {
    const_dnnl_memory_desc_t x, y, weights, bias; // layouts open but for a plain x; bias or NULL
    dnnl_dims_t strides, dilates, pads;
} conv_geometry;

static conv_geometry conv_geometry_of(const nn__layer *layer) {
    nn__prim *prim = layer->prim;
    const nn_node *node = layer->node;
    const_dnnl_memory_desc_t x = prim_before(layer, 0)->y;
    const bool first = layer->from[0]->node->kind == NN_OP_INPUT;
    return (conv_geometry){
        .x = first ? x : nn__md_any(prim, x),
        .y = nn__md_any(prim, output_md(layer)),
        .weights = nn__md_any(prim, prim->param_plain[0]),
        .bias = node->bias ? prim->param_plain[1] : NULL,
        .strides = {node->stride, node->stride},
        .pads = {node->pad, node->pad},
    };
}

static const_dnnl_primitive_desc_t conv_forward(nn__layer *layer, const conv_geometry *g,
                                                dnnl_alg_kind_t algorithm) {
    nn__prim *prim = layer->prim;
    dnnl_primitive_desc_t pd = NULL;
    const dnnl_status_t status = dnnl_convolution_forward_primitive_desc_create(
        &pd, prim->engine, forward_kind(layer), algorithm, g->x, g->weights, g->bias, g->y,
        g->strides, g->dilates, g->pads, g->pads,
        prim->attr_by_activation[layer->node->activation]);
    return nn__pd_own(prim, status, pd);
}

static const_dnnl_primitive_desc_t conv_backward_weights(nn__layer *layer, const conv_geometry *g,
                                                         dnnl_alg_kind_t algorithm,
                                                         const_dnnl_primitive_desc_t hint) {
    nn__prim *prim = layer->prim;
    dnnl_primitive_desc_t pd = NULL;
    const dnnl_status_t status = dnnl_convolution_backward_weights_primitive_desc_create(
        &pd, prim->engine, algorithm, g->x, g->weights, g->bias, g->y, g->strides, g->dilates,
        g->pads, g->pads, hint, prim->attr);
    return nn__pd_own(prim, status, pd);
}

static const_dnnl_primitive_desc_t conv_backward_data(nn__layer *layer, const conv_geometry *g,
                                                      dnnl_alg_kind_t algorithm,
                                                      const_dnnl_primitive_desc_t hint) {
    nn__prim *prim = layer->prim;
    dnnl_primitive_desc_t pd = NULL;
    const dnnl_status_t status = dnnl_convolution_backward_data_primitive_desc_create(
        &pd, prim->engine, algorithm, g->x, g->weights, g->y, g->strides, g->dilates, g->pads,
        g->pads, hint, prim->attr);
    return nn__pd_own(prim, status, pd);
}

/// Winograd's F(4x4, 3x3) (Lavin & Gray 2015) needs a quarter of the multiplications, but works on
/// whole tiles of 4x4 outputs and moves each tile twice more. Measured against the direct kernels
/// (2.6.3, AVX-512, all three directions): 1.3 to 2.4 times faster from 32 channels on where the
/// tiles are filled by 0.6 (maps of 4, 7, 8, 10, ... pixels, not 3, 5, 6), even at 16 channels
/// where tiles are nearly full, and slower where there are few tiles to share the transformed
/// weights.
static bool winograd_pays(const nn__layer *layer) {
    const nn_node *node = layer->node;
    if (node->kernel != 3 || node->stride != 1 || node->pad != 1 || node->groups != 1) {
        return false;
    }
    const int rows = (node->shape.height + 3) / 4, columns = (node->shape.width + 3) / 4;
    const double filled =
        (double)(node->shape.height * node->shape.width) / (double)(16 * rows * columns);
    const int narrow =
        layer->in.channels < node->out_channels ? layer->in.channels : node->out_channels;
    return narrow >= 16 && filled >= (narrow >= 32 ? 0.6 : 0.9) &&
           (int64_t)layer->batch_size * rows * columns >= 32;
}

/// All three by one algorithm; false when oneDNN lacks one of them.
static bool conv_describe_by(nn__layer *layer, const conv_geometry *g, dnnl_alg_kind_t algorithm,
                             weighted *out) {
    *out = (weighted){0};
    out->forward = conv_forward(layer, g, algorithm);
    if (out->forward == NULL) {
        return false;
    }
    out->y = nn__pd_layout(out->forward, dnnl_query_dst_md);
    if (learns(layer)) {
        out->backward_weights = conv_backward_weights(layer, g, algorithm, out->forward);
        if (out->backward_weights == NULL) {
            return false;
        }
    }
    if (wants_input_gradient(layer, 0)) {
        out->backward_data = conv_backward_data(layer, g, algorithm, out->forward);
        return out->backward_data != NULL;
    }
    return true;
}

static ns_status describe_conv(nn__layer *layer, ns_error *err) {
    nn__prim *prim = layer->prim;
    const nn_node *node = layer->node;
    const int groups = node->groups, in = layer->in.channels / groups;
    if (groups > 1) {
        prim->param_plain[0] =
            nn__md_plain(prim,
                         (const dnnl_dim_t[]){groups, node->out_channels / groups, in, node->kernel,
                                              node->kernel},
                         5);
    } else {
        prim->param_plain[0] = nn__md_plain(
            prim, (const dnnl_dim_t[]){node->out_channels, in, node->kernel, node->kernel}, 4);
    }
    prim->param_plain[1] = vector_md(prim, (size_t)node->out_channels);

    const conv_geometry g = conv_geometry_of(layer);
    weighted op;
    if (!(winograd_pays(layer) && conv_describe_by(layer, &g, dnnl_convolution_winograd, &op)) &&
        !conv_describe_by(layer, &g, dnnl_convolution_direct, &op)) {
        return missing("convolution", err);
    }
    prim->y = op.y;
    return describe_weighted(layer, &op, err);
}

/// Its primitives, NULL where oneDNN has none or nobody wants it.
static weighted linear_describe(const nn__layer *layer) {
    nn__prim *prim = layer->prim;
    dnnl_engine_t engine = prim->engine;
    const_dnnl_memory_desc_t x = nn__md_any(prim, prim_before(layer, 0)->y);
    const_dnnl_memory_desc_t w = nn__md_any(prim, prim->param_plain[0]), b = prim->param_plain[1];
    const_dnnl_memory_desc_t y =
        nn__md_plain(prim, (const dnnl_dim_t[]){layer->batch_size, layer->node->out_channels}, 2);
    weighted op = {.y = y};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = dnnl_inner_product_forward_primitive_desc_create(
        &pd, engine, forward_kind(layer), x, w, b, y, prim->attr);
    op.forward = nn__pd_own(prim, status, pd);
    if (op.forward != NULL && layer->training) {
        status = dnnl_inner_product_backward_weights_primitive_desc_create(&pd, engine, x, w, b, y,
                                                                           op.forward, prim->attr);
        op.backward_weights = nn__pd_own(prim, status, pd);
    }
    if (op.forward != NULL && wants_input_gradient(layer, 0)) {
        status = dnnl_inner_product_backward_data_primitive_desc_create(&pd, engine, x, w, y,
                                                                        op.forward, prim->attr);
        op.backward_data = nn__pd_own(prim, status, pd);
    }
    return op;
}

/// Flattening is oneDNN's: weights (O, C, H, W) against an input (N, C, H, W).
static ns_status describe_linear(nn__layer *layer, ns_error *err) {
    nn__prim *prim = layer->prim;
    const nn_shape in = layer->in;
    const int out = layer->node->out_channels;
    prim->param_plain[0] =
        nn__md_plain(prim, (const dnnl_dim_t[]){out, in.channels, in.height, in.width}, 4);
    prim->param_plain[1] = vector_md(prim, (size_t)out);
    prim->y = output_md(layer); // (N, O, 1, 1), the same bytes as op.y (N, O)
    const weighted op = linear_describe(layer);
    if (op.forward == NULL || (layer->training && op.backward_weights == NULL) ||
        (wants_input_gradient(layer, 0) && op.backward_data == NULL)) {
        return missing("linear layer", err);
    }
    return describe_weighted(layer, &op, err);
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
    const nn__tensor x = input_tensor(layer, 0), y = {prim->y, NN__PLACE_Y, 0};
    const nn__tensor shift = {prim->param[1], NN__PLACE_BIAS, 0};
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, &prim->forward, pd, &call, err));
    NS_TRY(norm_operands(layer, call, pd, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SHIFT, &shift, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SRC, &x, err));
    return nn__call_operand(prim, call, DNNL_ARG_DST, &y, err);
}

static ns_status norm_backward(nn__layer *layer, const_dnnl_primitive_desc_t pd, ns_error *err) {
    nn__prim *prim = layer->prim;
    const nn__tensor x = input_tensor(layer, 0), dy = {prim->y, NN__PLACE_DY, 0};
    const nn__tensor scale = {prim->param[0], NN__PLACE_WEIGHTS_GRADIENT, 0};
    const nn__tensor shift = {prim->param[1], NN__PLACE_BIAS_GRADIENT, 0};
    const nn__tensor shift_read = {prim->param[1], NN__PLACE_BIAS, 0};
    nn__tensor dx = {prim->y, NN__PLACE_DX0, 0};
    if (!wants_input_gradient(layer, 0)) { // oneDNN computes it all the same
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
    prim->y = prim_before(layer, 0)->y;
    for (int k = 0; k < 2; k++) {
        prim->param[k] = prim->param_plain[k] = vector_md(prim, layer->params.running);
    }
    const nn_activation activation = layer->node->activation;
    if (activation != NN_ACTIVATION_NONE && activation != NN_ACTIVATION_RELU) {
        return missing("batch norm with this activation", err);
    }
    unsigned flags = dnnl_use_scale | dnnl_use_shift;
    flags |= activation == NN_ACTIVATION_RELU ? dnnl_fuse_norm_relu : 0U;
    flags |= layer->training ? 0U : dnnl_use_global_stats;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = dnnl_batch_normalization_forward_primitive_desc_create(
        &pd, prim->engine, forward_kind(layer), prim->y, prim->y, NN__NORM_EPSILON, flags,
        prim->attr);
    const_dnnl_primitive_desc_t forward = nn__pd_own(prim, status, pd);
    if (forward == NULL) {
        return missing("batch norm", err);
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
    return backward == NULL ? missing("backward of batch norm", err)
                            : norm_backward(layer, backward, err);
}

/// The running statistics are ours: oneDNN only reports the batch's.
static void run_norm_forward(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    nn__program_run(prim, &prim->forward);
    if (layer->training) {
        const char *kept = layer->kept;
        nn__running_update(layer, (const float *)(const void *)kept,
                           (const float *)(const void *)(kept + norm_array_bytes(layer)));
    }
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
    const nn__tensor dy = {prim->y, NN__PLACE_DY, 0};
    const nn__tensor dx = {prim_before(layer, 0)->y, NN__PLACE_DX0, 0};
    dnnl_primitive_desc_t made = NULL;
    const dnnl_status_t status = dnnl_pooling_backward_primitive_desc_create(
        &made, prim->engine, g->algorithm, dx.md, dy.md, g->strides, g->kernel, g->dilates, g->pads,
        g->pads, hint, prim->attr);
    const_dnnl_primitive_desc_t pd = nn__pd_own(prim, status, made);
    if (pd == NULL) {
        return missing("backward of pooling", err);
    }
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, &prim->backward, pd, &call, err));
    NS_TRY(pool_mask(layer, call, pd, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DIFF_DST, &dy, err));
    return nn__call_operand(prim, call, DNNL_ARG_DIFF_SRC, &dx, err);
}

static ns_status describe_pool(nn__layer *layer, ns_error *err) {
    nn__prim *prim = layer->prim;
    const pool_geometry g = pool_geometry_of(layer);
    const nn__tensor x = input_tensor(layer, 0);
    dnnl_primitive_desc_t made = NULL;
    const dnnl_status_t status = dnnl_pooling_forward_primitive_desc_create(
        &made, prim->engine, forward_kind(layer), g.algorithm, x.md,
        nn__md_any(prim, output_md(layer)), g.strides, g.kernel, g.dilates, g.pads, g.pads,
        prim->attr);
    const_dnnl_primitive_desc_t pd = nn__pd_own(prim, status, made);
    if (pd == NULL) {
        return missing("pooling", err);
    }
    prim->y = nn__pd_layout(pd, dnnl_query_dst_md);
    const nn__tensor y = {prim->y, NN__PLACE_Y, 0};
    nn__call *call = NULL;
    NS_TRY(nn__program_add(prim, &prim->forward, pd, &call, err));
    NS_TRY(pool_mask(layer, call, pd, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_SRC, &x, err));
    NS_TRY(nn__call_operand(prim, call, DNNL_ARG_DST, &y, err));
    return wants_input_gradient(layer, 0) ? pool_backward(layer, &g, pd, err) : NS_OK;
}

/* ---- input, add, elementwise ----------------------------------------------------------------- */

static ns_status describe_input(nn__layer *layer, ns_error *err) {
    (void)err;
    nn__prim_of(layer)->y = output_md(layer);
    return NS_OK;
}

static ns_status describe_flat(nn__layer *layer, ns_error *err) {
    (void)err;
    nn__prim_of(layer)->y = prim_before(layer, 0)->y;
    return NS_OK;
}

/// The sum has its left input's layout; a right input in another one is brought to it, and back.
static ns_status describe_add(nn__layer *layer, ns_error *err) {
    nn__prim *prim = layer->prim;
    const nn__tensor right = input_tensor(layer, 1);
    prim->y = prim_before(layer, 0)->y;
    layer->passes[0] = true;
    layer->passes[1] = dnnl_memory_desc_equal(prim->y, right.md);
    if (layer->passes[1]) {
        return NS_OK;
    }
    nn__tensor moved;
    NS_TRY(nn__program_read(prim, &prim->forward, &right, prim->y, &moved, err));
    if (!wants_input_gradient(layer, 1)) {
        return NS_OK;
    }
    const nn__tensor from = {prim->y, NN__PLACE_DY, 0}, to = {right.md, NN__PLACE_DX1, 0};
    return nn__program_reorder(prim, &prim->backward, &from, &to, err);
}

static void run_add_forward(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    nn__program_run(prim, &prim->forward);
    const float *right = layer->passes[1] ? layer->x[1] : layer->scratch;
    nn__flat_add(layer->x[0], right, layer->y, layer->y_bytes / sizeof(float),
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

const nn__dnnl_op *nn__dnnl_op_of(nn_op_kind kind) {
    static const nn__dnnl_op table[NN_OP_KIND_COUNT] = {
        [NN_OP_INPUT] = {describe_input, run_forward, run_backward},
        [NN_OP_CONV] = {describe_conv, run_forward, run_backward},
        [NN_OP_BATCH_NORM] = {describe_norm, run_norm_forward, run_backward},
        [NN_OP_ACTIVATION] = {describe_flat, nn__flat_activation_forward,
                              nn__flat_activation_backward},
        [NN_OP_ADD] = {describe_add, run_add_forward, run_backward},
        [NN_OP_MULTIPLY] = {nn__gate_describe, nn__gate_forward, nn__gate_backward},
        [NN_OP_MAX_POOL] = {describe_pool, run_forward, run_backward},
        [NN_OP_AVERAGE_POOL] = {describe_pool, run_forward, run_backward},
        [NN_OP_GLOBAL_MAX_POOL] = {describe_pool, run_forward, run_backward},
        [NN_OP_GLOBAL_AVERAGE_POOL] = {describe_pool, run_forward, run_backward},
        [NN_OP_LINEAR] = {describe_linear, run_forward, run_backward},
        [NN_OP_DROPOUT] = {describe_flat, nn__flat_dropout_forward, nn__flat_dropout_backward},
        [NN_OP_SCALE] = {describe_flat, nn__flat_scale_forward, nn__flat_scale_backward},
    };
    return &table[kind];
}
