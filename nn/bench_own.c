// Our own kernels as convolutions that are timed alone: Winograd's in bf16, depthwise ones, and the
// first convolution, whose kernel does its batch norm, too, and is faster than a convolution alone
// all the same. Maps are blocked, as they are in a net.

#include <omp.h>

#include "nn/bench_conv.h"
#include "nn/nn_internal.h"

static bool winograd_fits(const nn__conv_geometry *g) {
    return g->bf16 && g->kernel == 3 && g->stride == 1 && g->pad == 1 && g->groups == 1 &&
           g->in.channels % NN__WINOGRAD_BLOCK == 0 && g->out.channels % NN__WINOGRAD_BLOCK == 0 &&
           nn__winograd_available() && nn__onednn_has_bf16();
}

static bool depthwise_fits(const nn__conv_geometry *g) {
    return g->groups > 1 && g->groups == g->in.channels && g->groups == g->out.channels &&
           g->kernel <= NN__DEPTHWISE_KERNEL_MAX;
}

static bool stem_fits(const nn__conv_geometry *g) {
    return g->first && g->groups == 1 && (g->kernel == 3 || g->kernel == 5) && g->stride <= 2 &&
           g->in.channels * g->kernel * g->kernel <= NN__STEM_TAPS_MAX;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static const nn__variant *variant_of(const nn__conv_geometry *g) {
    const nn__variant *wide = nn__variant_for(NN__LANES_MAX, g->bf16);
    return wide != NULL ? wide : nn__variant_for(NN__LANES_MAX / 2, g->bf16);
}

static int chunk_count(const nn__variant *variant, int channels) {
    return (channels + variant->lanes - 1) / variant->lanes;
}

static nn__view view_of(const nn__variant *variant, nn_shape shape) {
    const size_t lanes = (size_t)variant->lanes;
    const size_t chunk = (size_t)shape.height * (size_t)shape.width * lanes;
    return (nn__view){NULL, (size_t)chunk_count(variant, shape.channels) * chunk, chunk, lanes};
}

static size_t view_bytes(const nn__view *view, int image_count, bool bf16) {
    return (size_t)image_count * view->image * (bf16 ? sizeof(uint16_t) : sizeof(float));
}

static size_t map_bytes(const nn__conv_geometry *g, nn_shape shape) {
    return (size_t)g->batch_size * nn__shape_count(shape) *
           (g->bf16 ? sizeof(uint16_t) : sizeof(float));
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/// The sizes of a pass with maps of these sizes; `weights` are the parameters' own bytes.
static void set_bytes(nn__own_conv *own, size_t x, size_t y, size_t weights, size_t scratch) {
    own->bytes[NN__CONV_X] = x;
    own->bytes[NN__CONV_Y] = y;
    own->bytes[NN__CONV_WEIGHTS] = weights;
    own->bytes[NN__CONV_RESULT] = larger(weights, larger(x, y));
    own->bytes[NN__CONV_SCRATCH] = scratch;
}

/* ---- descriptions ---------------------------------------------------------------------------- */

static void describe_winograd(const nn__conv_geometry *g, int thread_count, nn__own_conv *own) {
    own->name = "own Winograd";
    own->winograd = (nn__winograd){g->batch_size, g->in.channels, g->out.channels,
                                   g->in.height,  g->in.width,    thread_count};
    const nn__winograd *w = &own->winograd;
    const size_t weights = (size_t)NN__WINOGRAD_TAPS * (size_t)w->in * (size_t)w->out;
    const size_t scratch = larger(nn__winograd_forward_scratch_bytes(w),
                                  larger(nn__winograd_backward_data_scratch_bytes(w),
                                         nn__winograd_backward_weights_scratch_bytes(w)));
    set_bytes(own, map_bytes(g, g->in), map_bytes(g, g->out), weights * sizeof(float), scratch);
}

static void describe_depthwise(const nn__conv_geometry *g, int thread_count, nn__own_conv *own) {
    const nn__view x = view_of(own->variant, g->in), y = view_of(own->variant, g->out);
    own->name = "own depthwise";
    own->depthwise = (nn__depthwise_job){
        .image_count = g->batch_size,
        .chunk_count = chunk_count(own->variant, g->in.channels),
        .height = g->in.height,
        .width = g->in.width,
        .out_height = g->out.height,
        .out_width = g->out.width,
        .kernel = g->kernel,
        .stride = g->stride,
        .pad = g->pad,
        .x = x,
        .y = y,
        .dy = y,
        .dx = x,
    };
    const size_t weights = (size_t)own->depthwise.chunk_count * (size_t)own->variant->lanes *
                           (size_t)(g->kernel * g->kernel);
    set_bytes(own, view_bytes(&x, g->batch_size, g->bf16), view_bytes(&y, g->batch_size, g->bf16),
              weights * sizeof(float),
              nn__depthwise_scratch_bytes(&own->depthwise, own->variant->lanes, thread_count));
}

/// Values by channel that lie in its scratch, before the kernel's own: scale, shift, mean, variance
/// and two gradients.
enum { STEM_ARRAYS = 6 };

static size_t stem_array_count(const nn__own_conv *own) {
    return (size_t)own->stem.chunk_count * (size_t)own->variant->lanes;
}

static size_t stem_moment_bytes(const nn__own_conv *own) {
    return (nn__stem_moment_count(&own->stem) * sizeof(double) + 63) / 64 * 64;
}

static void describe_stem(const nn__conv_geometry *g, int thread_count, nn__own_conv *own) {
    const nn__view y = view_of(own->variant, g->out);
    own->name = "own stem, with its batch norm";
    own->stem = (nn__stem_job){
        .image_count = g->batch_size,
        .in_channels = g->in.channels,
        .in_height = g->in.height,
        .in_width = g->in.width,
        .out_channels = g->out.channels,
        .chunk_count = chunk_count(own->variant, g->out.channels),
        .height = g->out.height,
        .width = g->out.width,
        .kernel = g->kernel,
        .stride = g->stride,
        .pad = g->pad,
        .epsilon = NN__NORM_EPSILON,
        .y = y,
        .dy = y,
    };
    const size_t weights = (size_t)(g->in.channels * g->kernel * g->kernel);
    set_bytes(own, (size_t)g->batch_size * nn__shape_count(g->in) * sizeof(float),
              view_bytes(&y, g->batch_size, g->bf16),
              weights * stem_array_count(own) * sizeof(float),
              STEM_ARRAYS * stem_array_count(own) * sizeof(float) + stem_moment_bytes(own) +
                  nn__stem_scratch_bytes(&own->stem, own->variant->lanes, thread_count));
}

bool nn__own_conv_describe(const nn__conv_geometry *g, nn_pass pass, int thread_count,
                           nn__own_conv *out) {
    *out = (nn__own_conv){.pass = pass, .variant = variant_of(g)};
    if (winograd_fits(g)) {
        describe_winograd(g, thread_count, out);
    } else if (depthwise_fits(g) && out->variant != NULL) {
        describe_depthwise(g, thread_count, out);
    } else if (stem_fits(g) && out->variant != NULL) {
        describe_stem(g, thread_count, out);
    }
    return out->name != NULL;
}

/* ---- running --------------------------------------------------------------------------------- */

static void run_winograd(const nn__own_conv *own, void *const memory[NN__CONV_BLOCK_COUNT]) {
    const nn__winograd *w = &own->winograd;
    void *result = memory[NN__CONV_RESULT], *scratch = memory[NN__CONV_SCRATCH];
    if (own->pass == NN_PASS_FORWARD) {
        nn__winograd_forward(w, memory[NN__CONV_X], memory[NN__CONV_WEIGHTS], result, scratch);
    } else if (own->pass == NN_PASS_BACKWARD_DATA) {
        nn__winograd_backward_data(w, memory[NN__CONV_Y], memory[NN__CONV_WEIGHTS], result,
                                   scratch);
    } else {
        nn__winograd_backward_weights(w, memory[NN__CONV_X], memory[NN__CONV_Y], result, scratch);
    }
}

static void run_depthwise(const nn__own_conv *own, void *const memory[NN__CONV_BLOCK_COUNT]) {
    nn__depthwise_job job = own->depthwise;
    job.weights = memory[NN__CONV_WEIGHTS];
    job.x.data = memory[NN__CONV_X];
    job.dy.data = memory[NN__CONV_Y];
    job.scratch = memory[NN__CONV_SCRATCH];
    job.y.data = job.dx.data = memory[NN__CONV_RESULT];
    job.weights_gradient = memory[NN__CONV_RESULT];
    if (own->pass == NN_PASS_FORWARD) {
        nn__depthwise_forward(own->variant, &job);
    } else if (own->pass == NN_PASS_BACKWARD_DATA) {
        nn__depthwise_backward_data(own->variant, &job);
    } else {
        nn__depthwise_backward_weights(own->variant, &job);
    }
}

static void run_stem(const nn__own_conv *own, void *const memory[NN__CONV_BLOCK_COUNT]) {
    const size_t count = stem_array_count(own);
    nn__stem_job job = own->stem;
    float *arrays = memory[NN__CONV_SCRATCH];
    job.images = memory[NN__CONV_X];
    job.weights = memory[NN__CONV_WEIGHTS];
    job.scale = arrays;
    job.shift = arrays + count;
    job.mean = arrays + 2 * count;
    job.variance = arrays + 3 * count;
    job.scale_gradient = arrays + 4 * count;
    job.shift_gradient = arrays + 5 * count;
    job.moments = (double *)(void *)(arrays + STEM_ARRAYS * count);
    job.scratch = (char *)job.moments + stem_moment_bytes(own);
    job.y.data = memory[NN__CONV_RESULT];
    job.dy.data = memory[NN__CONV_Y];
    job.weights_gradient = memory[NN__CONV_RESULT];
    if (own->pass == NN_PASS_FORWARD) {
        nn__stem_forward(own->variant, &job);
    } else {
        nn__stem_backward(own->variant, &job);
    }
}

void nn__own_conv_run(const nn__own_conv *own, void *const memory[NN__CONV_BLOCK_COUNT]) {
    if (own->winograd.in > 0) {
        run_winograd(own, memory);
    } else if (own->depthwise.kernel > 0) {
        run_depthwise(own, memory);
    } else {
        run_stem(own, memory);
    }
}
