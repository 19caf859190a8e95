// Depthwise convolution by our own kernels among oneDNN's layers: maps stay in the layout that the
// layer before chose, weights are by chunk, tap and lane (oneDNN's Goihw16g or Goihw8g), f32 in a
// bf16 net too.
//
// A layer whose maps no variant of the kernels can walk is left to oneDNN.

#include <omp.h>

#include "nn/op_dnnl.h"

static nn__view view_of(const_dnnl_memory_desc_t md, const void *data) {
    nn__lanes l;
    return nn__md_lanes(md, &l) ? (nn__view){(void *)data, l.image, l.chunk, l.pixel}
                                : (nn__view){0};
}

static nn__depthwise_job job_of(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    const nn_node *node = layer->node;
    const int lanes = prim->variant->lanes;
    const_dnnl_memory_desc_t x = nn__prim_before(layer, 0)->y;
    return (nn__depthwise_job){
        .image_count = layer->batch_size,
        .chunk_count = (layer->in.channels + lanes - 1) / lanes,
        .height = layer->in.height,
        .width = layer->in.width,
        .out_height = node->shape.height,
        .out_width = node->shape.width,
        .kernel = node->kernel,
        .stride = node->stride,
        .pad = node->pad,
        .activation = node->activation,
        .weights = layer->training ? layer->value[0] : layer->prepared,
        .bias = node->bias ? layer->value[1] : NULL,
        .x = view_of(x, layer->x[0]),
        .y = view_of(prim->y, layer->y),
        .dy = view_of(prim->y, layer->dy),
        .dx = view_of(x, layer->dx[0]),
        .weights_gradient = layer->gradient[0],
        .bias_gradient = node->bias ? layer->gradient[1] : NULL,
        .scratch = layer->scratch,
    };
}

static bool kernel_serves(const nn_node *node, nn_shape in) {
    return node->groups == in.channels && node->out_channels == in.channels && in.channels > 1 &&
           node->kernel <= NN__DEPTHWISE_KERNEL_MAX && node->activation != NN_ACTIVATION_SIGMOID;
}

/// The kernels for maps like the input's; NULL when there are none.
static const nn__variant *variant_of(const nn__layer *layer, dnnl_data_type_t type) {
    const_dnnl_memory_desc_t x = nn__prim_before(layer, 0)->y;
    nn__lanes lanes;
    return kernel_serves(layer->node, layer->in) && nn__md_type(x) == type &&
                   nn__md_lanes(x, &lanes)
               ? nn__variant_for(lanes.lanes, type == dnnl_bf16)
               : NULL;
}

/// In training the parameters lie as the kernels want them; else they are plain, and brought there
/// when they have changed.
static ns_status describe_weights(nn__layer *layer, ns_error *err) {
    nn__prim *prim = layer->prim;
    const_dnnl_memory_desc_t wanted =
        nn__md_depthwise(prim, prim->param_plain[0], prim->variant->lanes);
    prim->param[0] = layer->training ? wanted : prim->param_plain[0];
    prim->param[1] = prim->param_plain[1];
    if (layer->training) {
        return NS_OK;
    }
    const nn__tensor value = {prim->param_plain[0], NN__PLACE_WEIGHTS, 0};
    const nn__tensor prepared = {wanted, NN__PLACE_PREPARED, 0};
    layer->prepared_bytes = dnnl_memory_desc_get_size(wanted);
    return nn__program_reorder(prim, &prim->prepare, &value, &prepared, err);
}

bool nn__depthwise_fits(nn__layer *layer, dnnl_data_type_t type) {
    nn__prim *prim = layer->prim;
    nn__lanes lanes;
    prim->variant = variant_of(layer, type);
    if (prim->variant != NULL) {
        prim->y = nn__md_lanes_like(prim, nn__output_md(layer), nn__prim_before(layer, 0)->y);
        if (!nn__md_lanes(prim->y, &lanes) || lanes.lanes != prim->variant->lanes) {
            prim->variant = NULL;
        }
    }
    return prim->variant != NULL;
}

ns_status nn__depthwise_describe(nn__layer *layer, ns_error *err) {
    const nn__depthwise_job job = job_of(layer);
    layer->scratch_bytes = nn__depthwise_scratch_bytes(&job, nn__prim_of(layer)->variant->lanes,
                                                       omp_get_max_threads());
    return describe_weights(layer, err);
}

void nn__depthwise_run_forward(const nn__layer *layer) {
    const nn__depthwise_job job = job_of(layer);
    nn__depthwise_forward(nn__prim_of(layer)->variant, &job);
}

void nn__depthwise_run_backward(const nn__layer *layer) {
    const nn__depthwise_job job = job_of(layer);
    if (nn__learns(layer)) {
        nn__depthwise_backward_weights(nn__prim_of(layer)->variant, &job);
    }
    if (layer->dx[0] != NULL) {
        nn__depthwise_backward_data(nn__prim_of(layer)->variant, &job);
    }
}
