// Multiplying a map by a gate, one value a channel, in the layouts that the convolutions left.
//
//      y (N, C, H, W) = x (N, C, H, W) * gate (N, C, 1, 1)
//
// oneDNN has a broadcasting product, but its gradient would be two more passes over the map (a
// product and a reduction); here backward reads x and dy once and gives both gradients.
//
// Bound by memory: forward is one stream in and one out, backward two in and one out.

#include <assert.h>
#include <string.h>

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

/// The gates of one chunk of the map; lanes beyond the channels are 0.
static void read_gates(const nn__layer *layer, const gating *g, int n, int chunk, float *out) {
    for (int lane = 0; lane < g->map.lanes; lane++) {
        const int c = chunk * g->map.lanes + lane;
        out[lane] = c < layer->in.channels ? layer->x[1][gate_at(g, n, c)] : 0.0F;
    }
}

static void write_gradients(const nn__layer *layer, const gating *g, int n, int chunk,
                            const float *sums) {
    for (int lane = 0; lane < g->map.lanes; lane++) {
        const int c = chunk * g->map.lanes + lane;
        if (c < layer->in.channels) {
            layer->dx[1][gate_at(g, n, c)] = sums[lane];
        }
    }
}

static size_t chunk_at(const gating *g, int n, int chunk) {
    return (size_t)n * g->map.image + (size_t)chunk * g->map.chunk;
}

/// out = in * gates, over one chunk.
static void scale_chunk(const gating *g, const float *restrict in, const float *restrict gates,
                        float *restrict out) {
    for (size_t p = 0; p < g->pixels; p++) {
#pragma omp simd
        for (int lane = 0; lane < g->map.lanes; lane++) {
            const size_t i = p * g->map.pixel + (size_t)lane;
            out[i] = in[i] * gates[lane];
        }
    }
}

/// sums += a * b, over one chunk.
static void product_sums(const gating *g, const float *restrict a, const float *restrict b,
                         float *restrict sums) {
    for (size_t p = 0; p < g->pixels; p++) {
#pragma omp simd
        for (int lane = 0; lane < g->map.lanes; lane++) {
            const size_t i = p * g->map.pixel + (size_t)lane;
            sums[lane] += a[i] * b[i];
        }
    }
}

void nn__gate_forward(const nn__layer *layer) {
    const gating g = gating_of(layer);
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < layer->batch_size; n++) {
        for (int chunk = 0; chunk < g.map.chunk_count; chunk++) {
            const size_t i = chunk_at(&g, n, chunk);
            float gates[NN__LANES_MAX];
            read_gates(layer, &g, n, chunk, gates);
            scale_chunk(&g, layer->x[0] + i, gates, layer->y + i);
        }
    }
}

void nn__gate_backward(const nn__layer *layer) {
    const gating g = gating_of(layer);
    if (layer->dx[1] != NULL) { // lanes beyond the channels
        memset(layer->dx[1], 0, layer->from[1]->y_bytes);
    }
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < layer->batch_size; n++) {
        for (int chunk = 0; chunk < g.map.chunk_count; chunk++) {
            const size_t i = chunk_at(&g, n, chunk);
            float gates[NN__LANES_MAX], sums[NN__LANES_MAX] = {0};
            read_gates(layer, &g, n, chunk, gates);
            if (layer->dx[1] != NULL) {
                product_sums(&g, layer->dy + i, layer->x[0] + i, sums);
                write_gradients(layer, &g, n, chunk, sums);
            }
            if (layer->dx[0] != NULL) {
                scale_chunk(&g, layer->dy + i, gates, layer->dx[0] + i);
            }
        }
    }
}

ns_status nn__gate_describe(nn__layer *layer, ns_error *err) {
    nn__lanes lanes;
    nn__prim_of(layer)->y = nn__prim_of(layer->from[0])->y;
    for (int k = 0; k < 2; k++) {
        if (!nn__md_lanes(nn__prim_of(layer->from[k])->y, &lanes)) {
            return ns_fail(err, NS_ERR_INTERNAL, "input %d has a layout that is not known here", k);
        }
    }
    return NS_OK;
}
