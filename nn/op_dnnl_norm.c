// Training batch norm, alone or fused (fuse.c), by the kernels of our own among oneDNN's layers.
//
// Tensors are the neighbours', in the layouts oneDNN chose for its convolutions. A layer whose
// tensors no variant of the kernels can walk is left to oneDNN, and a fused one refused, so that
// the executor takes it apart again.
//
// From forward to backward the layer keeps mean and variance, then for a pool the argmax's bytes,
// for a stem the windows' moments. Jobs are put together at each call: some stores against
// milliseconds of work.

#include <omp.h>

#include "nn/kernel.h"
#include "nn/op_dnnl.h"

static size_t array_bytes(const nn__layer *layer) {
    return nn__block_up(layer->params.running) * sizeof(float);
}

/// What is kept behind mean and variance.
static void *kept_rest(const nn__layer *layer) {
    return (char *)layer->kept + 2 * array_bytes(layer);
}

static float *kept_array(const nn__layer *layer, int which) {
    return (float *)layer->kept + (size_t)which * nn__block_up(layer->params.running);
}

static nn__view view_of(const_dnnl_memory_desc_t md, const void *data) {
    nn__lanes l;
    return nn__md_lanes(md, &l) ? (nn__view){(void *)data, l.image, l.chunk, l.pixel}
                                : (nn__view){0};
}

/* ---- batch norm ------------------------------------------------------------------------------ */

static nn__norm_join join_of(const nn__layer *layer) {
    switch (layer->node->kind) {
    case NN_OP_NORM_ADD:
        return NN__NORM_ADD_AFTER;
    case NN_OP_NORM_ADD_ACT:
        return NN__NORM_ADD_BEFORE;
    case NN_OP_NORM_POOL:
        return NN__NORM_POOL;
    case NN_OP_NORM_AVERAGE:
        return NN__NORM_AVERAGE;
    default:
        return NN__NORM_ALONE;
    }
}

static bool adds(const nn__layer *layer) {
    return layer->from[1] != NULL;
}

static nn__norm_job norm_job(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    const int lanes = prim->variant->lanes;
    const_dnnl_memory_desc_t x = nn__prim_before(layer, 0)->y;
    nn__norm_job job = {
        .image_count = layer->batch_size,
        .chunk_count = (layer->in.channels + lanes - 1) / lanes,
        .height = layer->in.height,
        .width = layer->in.width,
        .activation = layer->node->activation,
        .join = join_of(layer),
        .epsilon = NN__NORM_EPSILON,
        .scale = layer->value[0],
        .shift = layer->value[1],
        .mean = kept_array(layer, 0),
        .variance = kept_array(layer, 1),
        .x = view_of(x, layer->x[0]),
        .y = view_of(prim->y, layer->y),
        .argmax = view_of(prim->y, kept_rest(layer)),
        .dy = view_of(prim->y, layer->dy),
        .dx = view_of(x, layer->dx[0]),
        .scale_gradient = layer->gradient[0],
        .shift_gradient = layer->gradient[1],
        .scratch = layer->scratch,
    };
    if (adds(layer)) {
        job.r = view_of(nn__prim_before(layer, 1)->y, layer->x[1]);
        // Where nobody wants r's gradient, dy is as good a place for g.
        job.dr = layer->dx[1] != NULL ? view_of(nn__prim_before(layer, 1)->y, layer->dx[1])
                                      : view_of(prim->y, layer->dy);
    }
    return job;
}

static void norm_forward(const nn__layer *layer) {
    const nn__norm_job job = norm_job(layer);
    nn__norm_forward(nn__prim_of(layer)->variant, &job);
    nn__running_update(layer, job.mean, job.variance);
}

static void norm_backward(const nn__layer *layer) {
    const nn__norm_job job = norm_job(layer);
    nn__norm_backward(nn__prim_of(layer)->variant, &job);
}

/// The variant that walks `md`; NULL when there is none.
static const nn__variant *variant_of(const_dnnl_memory_desc_t md, nn__lanes *lanes) {
    if (!nn__md_lanes(md, lanes)) {
        return NULL;
    }
    const dnnl_data_type_t type = nn__md_type(md);
    return type == dnnl_f32 || type == dnnl_bf16 ? nn__variant_for(lanes->lanes, type == dnnl_bf16)
                                                 : NULL;
}

/// Whether the other summand can be walked along with x.
static bool summand_fits(const nn__layer *layer, const nn__lanes *x) {
    const_dnnl_memory_desc_t md = nn__prim_before(layer, 1)->y;
    nn__lanes r;
    return nn__md_lanes(md, &r) && r.lanes == x->lanes &&
           nn__md_type(md) == nn__md_type(nn__prim_before(layer, 0)->y);
}

/// Finds the variant and the output's layout: x's own, or the same of a pooled map.
static bool norm_layout(nn__layer *layer) {
    nn__prim *prim = layer->prim;
    const_dnnl_memory_desc_t x = nn__prim_before(layer, 0)->y;
    nn__lanes lanes;
    prim->variant = variant_of(x, &lanes);
    prim->y = x;
    if (prim->variant != NULL && nn__norm_halves(join_of(layer))) {
        nn__lanes pooled;
        prim->y = nn__md_lanes_like(prim, nn__output_md(layer), x);
        prim->variant =
            nn__md_lanes(prim->y, &pooled) && pooled.lanes == lanes.lanes ? prim->variant : NULL;
    }
    return prim->variant != NULL && (!adds(layer) || summand_fits(layer, &lanes));
}

static bool describe_norm(nn__layer *layer) {
    nn__prim *prim = layer->prim;
    if (!norm_layout(layer)) {
        return false;
    }
    const size_t element_bytes = prim->variant->bf16 ? sizeof(uint16_t) : sizeof(float);
    layer->kept_bytes = 2 * array_bytes(layer);
    if (layer->node->kind == NN_OP_NORM_POOL) {
        layer->kept_bytes += dnnl_memory_desc_get_size(prim->y) / element_bytes;
    }
    const nn__norm_job job = norm_job(layer);
    layer->scratch_bytes =
        nn__norm_scratch_bytes(&job, prim->variant->lanes, omp_get_max_threads());
    layer->overwrites = true;
    layer->passes[1] = layer->node->kind == NN_OP_NORM_ADD &&
                       dnnl_memory_desc_equal(prim->y, nn__prim_before(layer, 1)->y);
    return layer->node->kind != NN_OP_NORM_ADD || layer->passes[1];
}

/* ---- stem ------------------------------------------------------------------------------------ */

static nn__stem_job stem_job(const nn__layer *layer) {
    const nn__prim *prim = layer->prim;
    const nn__layer *conv = layer->from[0];
    const nn_node *window = conv->node;
    const int lanes = prim->variant->lanes;
    return (nn__stem_job){
        .image_count = layer->batch_size,
        .in_channels = conv->in.channels,
        .in_height = conv->in.height,
        .in_width = conv->in.width,
        .out_channels = layer->in.channels,
        .chunk_count = (layer->in.channels + lanes - 1) / lanes,
        .height = layer->in.height,
        .width = layer->in.width,
        .kernel = window->kernel,
        .stride = window->stride,
        .pad = window->pad,
        .activation = layer->node->activation,
        .epsilon = NN__NORM_EPSILON,
        .images = conv->x[0],
        .weights = conv->value[0],
        .scale = layer->value[0],
        .shift = layer->value[1],
        .mean = kept_array(layer, 0),
        .variance = kept_array(layer, 1),
        .moments = kept_rest(layer),
        .y = view_of(prim->y, layer->y),
        .dy = view_of(prim->y, layer->dy),
        .weights_gradient = conv->gradient[0],
        .scale_gradient = layer->gradient[0],
        .shift_gradient = layer->gradient[1],
        .scratch = layer->scratch,
    };
}

static void stem_forward(const nn__layer *layer) {
    const nn__stem_job job = stem_job(layer);
    nn__stem_forward(nn__prim_of(layer)->variant, &job);
    nn__running_update(layer, job.mean, job.variance);
}

static void stem_backward(const nn__layer *layer) {
    const nn__stem_job job = stem_job(layer);
    nn__stem_backward(nn__prim_of(layer)->variant, &job);
}

static bool describe_stem(nn__layer *layer) {
    nn__prim *prim = layer->prim;
    nn__lanes lanes;
    prim->y = nn__prim_before(layer, 0)->y;
    prim->variant = variant_of(prim->y, &lanes);
    if (prim->variant == NULL) {
        return false;
    }
    const nn__stem_job job = stem_job(layer);
    layer->kept_bytes = 2 * array_bytes(layer) + nn__stem_moment_count(&job) * sizeof(double);
    layer->scratch_bytes = nn__stem_scratch_bytes(&job, lanes.lanes, omp_get_max_threads());
    layer->passes[0] = true; // nobody reads what the convolution's gradient would be
    return true;
}

/* ---- the backend's ops ----------------------------------------------------------------------- */

static void describe_params(nn__layer *layer) {
    nn__prim *prim = layer->prim;
    for (int k = 0; k < 2; k++) {
        prim->param[k] = prim->param_plain[k] = nn__vector_md(prim, layer->params.running);
    }
}

bool nn__own_norm_describe(nn__layer *layer) {
    describe_params(layer);
    return layer->training && nn__kernel_serves(layer->node->activation) && describe_norm(layer);
}

ns_status nn__fused_describe(nn__layer *layer, ns_error *err) {
    const bool stem = layer->node->kind == NN_OP_STEM_NORM;
    describe_params(layer);
    layer->refused = !(stem ? describe_stem(layer) : describe_norm(layer));
    return layer->refused ? nn__primitive_missing("fused batch norm", err) : NS_OK;
}

void nn__own_norm_forward(const nn__layer *layer) {
    (layer->node->kind == NN_OP_STEM_NORM ? stem_forward : norm_forward)(layer);
}

void nn__own_norm_backward(const nn__layer *layer) {
    (layer->node->kind == NN_OP_STEM_NORM ? stem_backward : norm_backward)(layer);
}
