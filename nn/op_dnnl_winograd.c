// Which convolutions of a bf16 net are trained by our own Winograd kernels (kernel_winograd.h), and
// their three passes in terms of layers. Their maps have the layout that oneDNN's kernels have, so
// either kind stands beside the other; their weights lie in the order hwio.

#include <omp.h>

#include "nn/kernel_winograd.h"
#include "nn/op_dnnl.h"

#define FILL_MIN    0.7 // of tiles of 2x2: below, the edges eat up what is gained
#define NARROW_MIN  32  // channels: 16 -> 32 is slower than direct, 32 -> 32 a quarter faster
#define THREADS_MAX 8   // each needs sums of its own for the gradient

static bool is_blocked_bf16(const nn__layer *layer, const_dnnl_memory_desc_t md) {
    const size_t pixels = (size_t)layer->in.height * (size_t)layer->in.width;
    nn__lanes lanes;
    return nn__md_type(md) == dnnl_bf16 && nn__md_lanes(md, &lanes) &&
           lanes.lanes == NN__WINOGRAD_BLOCK && lanes.pixel == NN__WINOGRAD_BLOCK &&
           lanes.chunk == pixels * NN__WINOGRAD_BLOCK;
}

static double fill_of(nn_shape shape) {
    const int rows = (shape.height + 1) / 2, columns = (shape.width + 1) / 2;
    return (double)(shape.height * shape.width) / (double)(4 * rows * columns);
}

bool nn__winograd_fits(const nn__layer *layer) {
    const nn_node *node = layer->node;
    return layer->dtype == NN_DTYPE_BF16 && !layer->absorbed && nn__learns(layer) && !node->bias &&
           node->activation == NN_ACTIVATION_NONE && node->kernel == 3 && node->stride == 1 &&
           node->pad == 1 && node->groups == 1 && layer->in.channels >= NARROW_MIN &&
           node->out_channels >= NARROW_MIN && layer->in.channels % NN__WINOGRAD_BLOCK == 0 &&
           node->out_channels % NN__WINOGRAD_BLOCK == 0 && fill_of(node->shape) >= FILL_MIN &&
           is_blocked_bf16(layer, nn__prim_before(layer, 0)->y) && nn__onednn_has_bf16() &&
           nn__winograd_available() && omp_get_max_threads() <= THREADS_MAX;
}

static nn__winograd job_of(const nn__layer *layer) {
    return (nn__winograd){layer->batch_size, layer->in.channels, layer->node->out_channels,
                          layer->in.height,  layer->in.width,    nn__prim_of(layer)->winograd};
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

void nn__winograd_describe(nn__layer *layer) {
    nn__prim *prim = layer->prim;
    prim->winograd = omp_get_max_threads();
    prim->y = nn__md_tagged(prim, nn__output_md(layer), dnnl_bf16, dnnl_nChw16c);
    prim->param[0] = nn__md_tagged(prim, prim->param_plain[0], dnnl_f32, dnnl_hwio);
    prim->param[1] = prim->param_plain[1];
    const nn__winograd job = job_of(layer);
    layer->scratch_bytes = larger(nn__winograd_forward_scratch_bytes(&job),
                                  larger(nn__winograd_backward_data_scratch_bytes(&job),
                                         nn__winograd_backward_weights_scratch_bytes(&job)));
}

void nn__winograd_run_forward(const nn__layer *layer) {
    const nn__winograd job = job_of(layer);
    nn__winograd_forward(&job, (const void *)layer->x[0], layer->value[0], (void *)layer->y,
                         layer->scratch);
}

void nn__winograd_run_backward_weights(const nn__layer *layer) {
    const nn__winograd job = job_of(layer);
    nn__winograd_backward_weights(&job, (const void *)layer->x[0], (const void *)layer->dy,
                                  layer->gradient[0], layer->scratch);
}

void nn__winograd_run_backward_data(const nn__layer *layer) {
    const nn__winograd job = job_of(layer);
    if (layer->dx[0] != NULL) {
        nn__winograd_backward_data(&job, (const void *)layer->dy, layer->value[0],
                                   (void *)layer->dx[0], layer->scratch);
    }
}
