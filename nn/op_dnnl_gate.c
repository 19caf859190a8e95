// Multiplying a map by a gate, one value a channel, in the layouts that the convolutions left.
//
//      y (N, C, H, W) = x (N, C, H, W) * gate (N, C, 1, 1)
//
// oneDNN has a broadcasting product, but its gradient would be two more passes over the map (a
// product and a reduction); here backward reads x and dy once and gives both gradients.
//
// The work is nn/kernel_point.c's where there is a kernel for the layout; few channels, side by side
// or plane by plane, are left to plain loops.

#include <assert.h>
#include <string.h>

#include "nn/kernel.h"
#include "nn/op_dnnl.h"

/// Both operands' layouts, as describe left them.
typedef struct gating {
    nn__lanes map, gate;
    size_t pixels;
} gating;

static gating gating_of(const nn__layer *layer) {
    gating g = {.pixels = (size_t)layer->in.height * (size_t)layer->in.width};
    const bool known = nn__md_lanes(nn__prim_of(layer->from[0])->y, &g.map) &&
                       nn__md_lanes(nn__prim_of(layer->from[1])->y, &g.gate);
    assert(known); // describe refused all others
    (void)known;
    return g;
}

/// Place of channel c's gate for image n.
static size_t gate_at(const gating *g, int n, int c) {
    return (size_t)n * g->gate.image + (size_t)(c / g->gate.lanes) * g->gate.chunk +
           (size_t)(c % g->gate.lanes);
}

/* ---- elements, f32 or bf16 ------------------------------------------------------------------- */

static inline float get(nn_dtype dtype, const void *array, size_t i) {
    if (dtype == NN_DTYPE_F32) {
        return ((const float *)array)[i];
    }
    const uint32_t bits = (uint32_t)((const uint16_t *)array)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline void put(nn_dtype dtype, void *array, size_t i, float value) {
    if (dtype == NN_DTYPE_F32) {
        ((float *)array)[i] = value;
    } else {
        nn__bf16_narrow(&value, (uint16_t *)array + i, 1);
    }
}

/* ---- one chunk ------------------------------------------------------------------------------- */

/// The gates of one chunk of the map; lanes beyond the channels are 0.
static void read_gates(const nn__layer *layer, const gating *g, int n, int chunk, float *out) {
    for (int lane = 0; lane < g->map.lanes; lane++) {
        const int c = chunk * g->map.lanes + lane;
        out[lane] = c < layer->in.channels
                        ? get(layer->from[1]->y_dtype, layer->x[1], gate_at(g, n, c))
                        : 0.0F;
    }
}

static void write_gradients(const nn__layer *layer, const gating *g, int n, int chunk,
                            const float *sums) {
    for (int lane = 0; lane < g->map.lanes; lane++) {
        const int c = chunk * g->map.lanes + lane;
        if (c < layer->in.channels) {
            put(layer->from[1]->y_dtype, layer->dx[1], gate_at(g, n, c), sums[lane]);
        }
    }
}

static size_t chunk_at(const gating *g, int n, int chunk) {
    return (size_t)n * g->map.image + (size_t)chunk * g->map.chunk;
}

/// out = in * gates, over one chunk that begins at `at`.
static void scale_chunk(const gating *g, nn_dtype dtype, const void *in, const float *gates,
                        void *out, size_t at) {
    for (size_t p = 0; p < g->pixels; p++) {
        float products[NN__LANES_MAX];
        const size_t i = at + p * g->map.pixel;
        for (int lane = 0; lane < g->map.lanes; lane++) {
            products[lane] = get(dtype, in, i + (size_t)lane) * gates[lane];
        }
        if (dtype == NN_DTYPE_F32) {
            memcpy((float *)out + i, products, (size_t)g->map.lanes * sizeof *products);
        } else {
            nn__bf16_narrow(products, (uint16_t *)out + i, (size_t)g->map.lanes);
        }
    }
}

/// sums += a * b, over one chunk that begins at `at`.
static void product_sums(const gating *g, nn_dtype dtype, const void *a, const void *b,
                         float *restrict sums, size_t at) {
    for (size_t p = 0; p < g->pixels; p++) {
        const size_t i = at + p * g->map.pixel;
        for (int lane = 0; lane < g->map.lanes; lane++) {
            sums[lane] += get(dtype, a, i + (size_t)lane) * get(dtype, b, i + (size_t)lane);
        }
    }
}

/* ---- the op ---------------------------------------------------------------------------------- */

/// Kernels for the map as it lies, NULL where the loops above have to do.
static const nn__variant *variant_of(const nn__layer *layer, const gating *g) {
    return nn__variant_for(g->map.lanes, nn__md_type(nn__prim_of(layer->from[0])->y) == dnnl_bf16);
}

static size_t gates_count(const nn__layer *layer, const gating *g) {
    return (size_t)layer->batch_size * (size_t)(g->map.chunk_count * g->map.lanes);
}

static nn__view view_of(const nn__lanes *lanes, const void *data) {
    return (nn__view){(void *)data, lanes->image, lanes->chunk, lanes->pixel};
}

/// Scratch holds the gates as the kernels want them, then their gradients.
static nn__gate_job job_of(const nn__layer *layer, const gating *g) {
    float *gates = layer->scratch;
    for (int n = 0; n < layer->batch_size; n++) {
        for (int chunk = 0; chunk < g->map.chunk_count; chunk++) {
            read_gates(layer, g, n, chunk,
                       gates + (ptrdiff_t)(n * g->map.chunk_count + chunk) * g->map.lanes);
        }
    }
    return (nn__gate_job){.image_count = layer->batch_size,
                          .chunk_count = g->map.chunk_count,
                          .pixels = g->pixels,
                          .gate = gates,
                          .gate_gradient = gates + gates_count(layer, g),
                          .x = view_of(&g->map, layer->x[0]),
                          .y = view_of(&g->map, layer->y),
                          .dy = view_of(&g->map, layer->dy),
                          .dx = view_of(&g->map, layer->dx[0])};
}

static void loop_forward(const nn__layer *layer, const gating *g) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < layer->batch_size; n++) {
        for (int chunk = 0; chunk < g->map.chunk_count; chunk++) {
            float gates[NN__LANES_MAX];
            read_gates(layer, g, n, chunk, gates);
            scale_chunk(g, layer->y_dtype, layer->x[0], gates, layer->y, chunk_at(g, n, chunk));
        }
    }
}

static void loop_backward(const nn__layer *layer, const gating *g, float *gradients) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < layer->batch_size; n++) {
        for (int chunk = 0; chunk < g->map.chunk_count; chunk++) {
            const size_t at = chunk_at(g, n, chunk);
            float gates[NN__LANES_MAX];
            float *sums = gradients + (ptrdiff_t)(n * g->map.chunk_count + chunk) * g->map.lanes;
            read_gates(layer, g, n, chunk, gates);
            memset(sums, 0, (size_t)g->map.lanes * sizeof *sums);
            product_sums(g, layer->y_dtype, layer->dy, layer->x[0], sums, at);
            if (layer->dx[0] != NULL) {
                scale_chunk(g, layer->y_dtype, layer->dy, gates, layer->dx[0], at);
            }
        }
    }
}

void nn__dnnl_gate_forward(const nn__layer *layer) {
    const gating g = gating_of(layer);
    const nn__variant *variant = variant_of(layer, &g);
    if (variant == NULL) {
        loop_forward(layer, &g);
        return;
    }
    const nn__gate_job job = job_of(layer, &g);
    nn__gate_forward(variant, &job);
}

void nn__dnnl_gate_backward(const nn__layer *layer) {
    const gating g = gating_of(layer);
    const nn__variant *variant = variant_of(layer, &g);
    const nn__gate_job job = job_of(layer, &g);
    if (variant == NULL) {
        loop_backward(layer, &g, job.gate_gradient);
    } else {
        nn__gate_backward(variant, &job);
    }
    if (layer->dx[1] == NULL) {
        return;
    }
    memset(layer->dx[1], 0, layer->from[1]->y_bytes); // lanes beyond the channels
    for (int n = 0; n < layer->batch_size; n++) {
        for (int chunk = 0; chunk < g.map.chunk_count; chunk++) {
            write_gradients(layer, &g, n, chunk,
                            job.gate_gradient +
                                (ptrdiff_t)(n * g.map.chunk_count + chunk) * g.map.lanes);
        }
    }
}

ns_status nn__dnnl_gate_describe(nn__layer *layer, ns_error *err) {
    nn__lanes lanes;
    nn__prim_of(layer)->y = nn__prim_of(layer->from[0])->y;
    for (int k = 0; k < 2; k++) {
        if (!nn__md_lanes(nn__prim_of(layer->from[k])->y, &lanes)) {
            return ns_fail(err, NS_ERR_INTERNAL, "input %d has a layout that is not known here", k);
        }
    }
    const gating g = gating_of(layer);
    layer->scratch_bytes = 2 * gates_count(layer, &g) * sizeof(float);
    return NS_OK;
}
