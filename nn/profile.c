// What a step's time went to: the clock behind nn_net_profile(), and what each of its rows moved and
// computed by the op table's counts, so that times become GB/s and GFLOP/s.

#include <assert.h>

#include "nn/exec.h"

static int64_t weight_bytes(const nn__layer *layer) {
    return (int64_t)((layer->param_count[0] + layer->param_count[1]) * sizeof(float));
}

/// Bytes that the row's sweeps move, all tensors at their real width and with their padding.
static int64_t row_bytes(const nn__layer *layer, nn_pass pass) {
    const nn__op *op = nn__op_of(layer->node->kind);
    const int64_t y = (int64_t)layer->y_bytes;
    int64_t x = 0;
    for (int k = 0; k < op->input_count; k++) {
        x += (int64_t)layer->from[k]->y_bytes;
    }
    switch (pass) {
    case NN_PASS_FORWARD:
        return op->forward_sweeps_x * x + op->forward_sweeps_y * y + weight_bytes(layer);
    case NN_PASS_BACKWARD:
        return op->backward_sweeps_x * x + op->backward_sweeps_y * y + weight_bytes(layer);
    case NN_PASS_SUM:
        return 3 * (int64_t)layer->from[0]->y_bytes;
    case NN_PASS_LOSS:
        return 2 * y;
    default: // x or dx, and dy, and the weights or their gradient
        return x + y + weight_bytes(layer);
    }
}

/// Backward is as much work as forward, once for the weights and once for the input.
static int64_t row_flops(const nn__layer *layer, nn_pass pass) {
    const int64_t forward =
        layer->batch_size * nn__op_of(layer->node->kind)->flops(layer->node, layer->in);
    const int64_t y_count = layer->batch_size * (int64_t)nn__shape_count(layer->node->shape);
    switch (pass) {
    case NN_PASS_SUM:
        return layer->batch_size * (int64_t)nn__shape_count(layer->in);
    case NN_PASS_LOSS:
        return y_count;
    case NN_PASS_BACKWARD: {
        const bool both = layer->params.trainable[0] > 0 && layer->from[0]->wants_gradient;
        return both ? 2 * forward : forward;
    }
    default:
        return forward;
    }
}

void nn__stopwatch_lap(nn__stopwatch *stopwatch, const nn__layer *layer, nn_pass pass) {
    nn_profile *profile = stopwatch->profile;
    assert(profile->row_count < NN_PROFILE_ROWS_MAX);
    const int64_t now_ns = ns_clock_ns();
    profile->row[profile->row_count++] = (nn_profile_row){
        .node = layer->index,
        .kind = layer->node->kind,
        .pass = pass,
        .ms = (double)(now_ns - stopwatch->since_ns) / 1e6,
        .bytes = row_bytes(layer, pass),
        .flops = row_flops(layer, pass),
    };
    stopwatch->since_ns = ns_clock_ns();
}
