// Convolutions and linear layers as oneDNN primitives: the ops that have three passes, weights, and
// nearly all of a step's time.
//
// They are described with open layouts, so that each kernel says what it likes. Weights and their
// gradients stay f32 in the layout in which backward-weights writes; each of the other passes gets
// its own copy of them, in its layout and type, made by a reorder once a step.
//
// In a bf16 net the maps on both sides of a convolution are bf16, sums are f32 inside the kernels.
// The vectors behind a global pool stay f32, and so does all that works on them: it costs next to
// nothing, and what is said about the logits stays exact.

#include "nn/op_dnnl.h"

/* ---- convolution and linear ------------------------------------------------------------------ */

/// The three primitives of an op with weights, and the output in the dimensions they speak of.
typedef struct weighted {
    const_dnnl_primitive_desc_t forward, backward_weights, backward_data;
    const_dnnl_memory_desc_t y;
} weighted;

static ns_status weighted_forward(nn__layer *layer, const weighted *op, ns_error *err) {
    nn__prim *prim = layer->prim;
    nn__program *program = &prim->forward;
    const nn__tensor x = nn__input_tensor(layer, 0);
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
    nn__program *program = &prim->backward_weights;
    const nn__tensor x = nn__input_tensor(layer, 0);
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
    const nn__tensor dx = {nn__prim_before(layer, 0)->y, NN__PLACE_DX0, 0};
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
    prim->param[0] = nn__learns(layer)
                         ? nn__pd_layout(op->backward_weights, dnnl_query_diff_weights_md)
                         : prim->param_plain[0];
    prim->param[1] = prim->param_plain[1];
    NS_TRY(weighted_forward(layer, op, err));
    if (nn__learns(layer)) {
        NS_TRY(weighted_backward_weights(layer, op, err));
    }
    return op->backward_data != NULL ? weighted_backward_data(layer, op, err) : NS_OK;
}

/// Everything oneDNN wants to know of a convolution.
typedef struct conv_geometry {
    const_dnnl_memory_desc_t x, y, weights, gradient; // layouts open but for the images' x
    const_dnnl_memory_desc_t bias;                    // or NULL
    dnnl_dims_t strides, dilates, pads;
} conv_geometry;

static dnnl_data_type_t conv_type(const nn__layer *layer) {
    const bool vector = layer->in.height * layer->in.width == 1 &&
                        nn__md_type(nn__prim_before(layer, 0)->y) == dnnl_f32;
    return layer->dtype == NN_DTYPE_BF16 && !vector ? dnnl_bf16 : dnnl_f32;
}

static conv_geometry conv_geometry_of(const nn__layer *layer) {
    nn__prim *prim = layer->prim;
    const nn_node *node = layer->node;
    const_dnnl_memory_desc_t x = nn__prim_before(layer, 0)->y;
    const bool first = layer->from[0]->node->kind == NN_OP_INPUT;
    const dnnl_data_type_t type = conv_type(layer);
    return (conv_geometry){
        .x = first ? nn__md_plain_like(prim, x, type) : nn__md_any(prim, x, type),
        .y = nn__md_any(prim, nn__output_md(layer), type),
        .weights = nn__md_any(prim, prim->param_plain[0], type),
        .gradient = nn__md_any(prim, prim->param_plain[0], dnnl_f32),
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
        &pd, prim->engine, nn__forward_kind(layer), algorithm, g->x, g->weights, g->bias, g->y,
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
        &pd, prim->engine, algorithm, g->x, g->gradient, g->bias, g->y, g->strides, g->dilates,
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
    if (conv_type(layer) != dnnl_f32 || node->kernel != 3 || node->stride != 1 || node->pad != 1 ||
        node->groups != 1) {
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
    if (nn__learns(layer)) {
        out->backward_weights = conv_backward_weights(layer, g, algorithm, out->forward);
        if (out->backward_weights == NULL) {
            return false;
        }
    }
    if (nn__wants_input_gradient(layer, 0)) {
        out->backward_data = conv_backward_data(layer, g, algorithm, out->forward);
        return out->backward_data != NULL;
    }
    return true;
}

/// The layout alone, for the layer that does the work; weights stay in plain order.
static ns_status describe_absorbed(nn__layer *layer, const conv_geometry *g, ns_error *err) {
    nn__prim *prim = layer->prim;
    const_dnnl_primitive_desc_t forward = conv_forward(layer, g, dnnl_convolution_direct);
    if (forward == NULL) {
        return nn__primitive_missing("convolution", err);
    }
    prim->y = nn__pd_layout(forward, dnnl_query_dst_md);
    prim->param[0] = prim->param_plain[0];
    prim->param[1] = prim->param_plain[1];
    return NS_OK;
}

ns_status nn__describe_conv(nn__layer *layer, ns_error *err) {
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
    prim->param_plain[1] = nn__vector_md(prim, (size_t)node->out_channels);

    if (nn__winograd_fits(layer)) {
        nn__winograd_describe(layer);
        return NS_OK;
    }
    const conv_geometry g = conv_geometry_of(layer);
    if (layer->absorbed) {
        return describe_absorbed(layer, &g, err);
    }
    if (nn__depthwise_fits(layer, conv_type(layer))) {
        return nn__depthwise_describe(layer, err);
    }
    weighted op;
    if (!(winograd_pays(layer) && conv_describe_by(layer, &g, dnnl_convolution_winograd, &op)) &&
        !conv_describe_by(layer, &g, dnnl_convolution_direct, &op)) {
        return nn__primitive_missing("convolution", err);
    }
    prim->y = op.y;
    return describe_weighted(layer, &op, err);
}

/// Its primitives, NULL where oneDNN has none or nobody wants it.
static weighted linear_describe(const nn__layer *layer) {
    nn__prim *prim = layer->prim;
    dnnl_engine_t engine = prim->engine;
    const_dnnl_memory_desc_t x = nn__md_any(prim, nn__prim_before(layer, 0)->y, dnnl_f32);
    const_dnnl_memory_desc_t w = nn__md_any(prim, prim->param_plain[0], dnnl_f32),
                             b = prim->param_plain[1];
    const_dnnl_memory_desc_t y =
        nn__md_plain(prim, (const dnnl_dim_t[]){layer->batch_size, layer->node->out_channels}, 2);
    weighted op = {.y = y};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = dnnl_inner_product_forward_primitive_desc_create(
        &pd, engine, nn__forward_kind(layer), x, w, b, y, prim->attr);
    op.forward = nn__pd_own(prim, status, pd);
    if (op.forward != NULL && layer->training) {
        status = dnnl_inner_product_backward_weights_primitive_desc_create(&pd, engine, x, w, b, y,
                                                                           op.forward, prim->attr);
        op.backward_weights = nn__pd_own(prim, status, pd);
    }
    if (op.forward != NULL && nn__wants_input_gradient(layer, 0)) {
        status = dnnl_inner_product_backward_data_primitive_desc_create(&pd, engine, x, w, y,
                                                                        op.forward, prim->attr);
        op.backward_data = nn__pd_own(prim, status, pd);
    }
    return op;
}

/// Flattening is oneDNN's: weights (O, C, H, W) against an input (N, C, H, W).
ns_status nn__describe_linear(nn__layer *layer, ns_error *err) {
    nn__prim *prim = layer->prim;
    const nn_shape in = layer->in;
    const int out = layer->node->out_channels;
    prim->param_plain[0] =
        nn__md_plain(prim, (const dnnl_dim_t[]){out, in.channels, in.height, in.width}, 4);
    prim->param_plain[1] = nn__vector_md(prim, (size_t)out);
    prim->y = nn__output_md(layer); // (N, O, 1, 1), the same bytes as op.y (N, O)
    const weighted op = linear_describe(layer);
    if (op.forward == NULL || (layer->training && op.backward_weights == NULL) ||
        (nn__wants_input_gradient(layer, 0) && op.backward_data == NULL)) {
        return nn__primitive_missing("linear layer", err);
    }
    return describe_weighted(layer, &op, err);
}
