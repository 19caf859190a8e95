// Running a net: one step walks the layers forward, runs the loss, walks them backward, and adds up
// gradients where a tensor has several readers (plan_memory.c says where). All values are in the
// backend's own layout; what enters or leaves (input, logits, state) is plain.
//
// A profile is the same walk with a clock read after every call.

#include <assert.h>

#include "nn/exec.h"

/* ---- running --------------------------------------------------------------------------------- */

/// Kernels are built for one number of threads, so every entry sets it.
static void enter(const nn_net *net, nn__team *team) {
    const bool bind = net->options.mode == NN_MODE_TRAIN || net->options.batch_size > 1;
    nn__team_enter(team, net->options.thread_count, bind);
}

static inline void lap(const nn_net *net, int node, nn_pass pass) {
    if (net->stopwatch != NULL) {
        nn__stopwatch_lap(net->stopwatch, &net->layer[node], pass);
    }
}

static void prepare(nn_net *net) {
    for (int i = 0; i < net->layer_count && net->backend->prepare != NULL; i++) {
        net->backend->prepare(&net->layer[i]);
    }
    net->prepared = true;
}

static void run_forward(nn_net *net) {
    if (!net->prepared && net->options.mode == NN_MODE_INFER) {
        prepare(net);
    }
    for (int i = 1; i < net->layer_count; i++) {
        net->backend->forward(&net->layer[i]);
        lap(net, i, NN_PASS_FORWARD);
    }
    net->backend->output_out(&net->layer[net->layer_count - 1], net->logits);
}

static float *buffer_floats(const nn_net *net, int buffer) {
    // All buffers lie behind the input's, which is bound.
    char *tensors = (char *)net->layer[0].y - net->memory.buffer[net->memory.layer[0].y].offset;
    return nn__buffer_at(net, tensors, buffer);
}

/// Whether there was anything to add.
static bool sum_gradients(const nn_net *net, int i) {
    const nn__layer *layer = &net->layer[i];
    const nn__layer_plan *plan = &net->memory.layer[i];
    bool any = false;
    for (int k = 0; k < NN__INPUTS_MAX; k++) {
        if (plan->sum[k] >= 0) {
            any = true;
            const float *mine = layer->passes[k] ? layer->dy : layer->dx[k];
            nn__flat_add(layer->from[k]->y_dtype, buffer_floats(net, plan->sum_old[k]), mine,
                         buffer_floats(net, plan->sum[k]), layer->from[k]->y_bytes,
                         NN_ACTIVATION_NONE);
        }
    }
    return any;
}

static void run_backward_of(const nn_net *net, int i) {
    const nn__layer *layer = &net->layer[i];
    const bool splits = net->backend->splits != NULL && net->backend->splits(layer);
    if (splits) {
        net->backend->backward_weights(layer);
        lap(net, i, NN_PASS_BACKWARD_WEIGHTS);
    }
    net->backend->backward(layer);
    lap(net, i, splits ? NN_PASS_BACKWARD_DATA : NN_PASS_BACKWARD);
    if (sum_gradients(net, i)) {
        lap(net, i, NN_PASS_SUM);
    }
}

static void run_backward(nn_net *net) {
    for (int i = net->layer_count - 1; i > 0; i--) {
        if (net->layer[i].wants_gradient) {
            run_backward_of(net, i);
        }
    }
}

/// The mean loss; its gradient goes where the last layer wants it.
static float run_loss(const nn_net *net) {
    const nn__layer *last = &net->layer[net->layer_count - 1];
    for (int i = 0; i < net->options.batch_size && net->targets == NULL; i++) {
        assert(net->labels[i] >= 0 && net->labels[i] < net->loss.class_count);
    }
    const float loss = net->options.backend == NN_BACKEND_REFERENCE ? nn__loss_reference(&net->loss)
                                                                    : nn__loss_run(&net->loss);
    net->backend->output_gradient_in(last, net->loss.gradient);
    lap(net, net->layer_count - 1, NN_PASS_LOSS);
    return loss;
}

void nn_net_forward(nn_net *net) {
    nn__team team;
    enter(net, &team);
    run_forward(net);
    nn__team_leave(&team);
}

float nn_net_forward_backward(nn_net *net, uint64_t step) {
    assert(net->options.mode == NN_MODE_TRAIN);
    nn__team team;
    enter(net, &team);
    net->step = step;
    run_forward(net);
    const float loss = run_loss(net);
    run_backward(net);
    nn__team_leave(&team);
    return loss;
}

float nn_net_profile(nn_net *net, uint64_t step, nn_profile *out) {
    out->row_count = 0;
    nn__stopwatch stopwatch = {out, ns_clock_ns()};
    net->stopwatch = &stopwatch;
    const float loss = nn_net_forward_backward(net, step);
    net->stopwatch = NULL;
    return loss;
}
