// A net's parameters: their first values, and the state as the world sees it, in plain order, against
// the layout that the backend keeps.

#include <assert.h>
#include <math.h>
#include <string.h>

#include "nn/exec.h"

/* ---- initial values -------------------------------------------------------------------------- */

static double initial_deviation(const nn__layer *layer) {
    const nn_node *node = layer->node;
    if (node->kind == NN_OP_CONV) {
        const double fan_out =
            (double)node->kernel * node->kernel * node->out_channels / node->groups;
        return sqrt(2.0 / fan_out);
    }
    return sqrt(1.0 / (3.0 * (double)nn__shape_count(layer->in)));
}

/// Makes the first output channels of each group what its input channels are.
static void init_dirac(const nn__layer *layer, float *weights) {
    const nn_node *node = layer->node;
    const int group_in = layer->in.channels / node->groups;
    const int group_out = node->out_channels / node->groups;
    const int taps = node->kernel * node->kernel;
    const int centre = node->kernel / 2 * (node->kernel + 1);
    for (int o = 0; o < node->out_channels; o++) {
        float *filter = weights + (size_t)o * (size_t)(group_in * taps); // (I / groups, KH, KW)
        if (o % group_out < group_in) {
            memset(filter, 0, (size_t)(group_in * taps) * sizeof *filter);
            filter[o % group_out * taps + centre] = 1.0F;
        }
    }
}

/// Draws the weights in plain order, so that they do not depend on the backend; `plain` has room.
static void init_weights(const nn_net *net, const nn__layer *layer, uint64_t seed, float *plain) {
    ns_rng rng = ns_rng_stream(seed, (uint64_t)layer->index, "weights");
    const double deviation = initial_deviation(layer);
    for (size_t i = 0; i < layer->params.trainable[0]; i++) {
        plain[i] = (float)(deviation * ns_rng_normal(&rng));
    }
    if (layer->node->init == NN_INIT_DIRAC) {
        init_dirac(layer, plain);
    }
    net->backend->param_in(layer, 0, plain, layer->value[0]);
}

static void fill(float *values, size_t count, float value) {
    for (size_t i = 0; i < count; i++) {
        values[i] = value;
    }
}

void nn_net_init(nn_net *net, uint64_t seed) {
    const bool training = net->options.mode == NN_MODE_TRAIN;
    memset(net->value, 0, net->param_count * sizeof *net->value);
    for (int i = 0; i < net->layer_count; i++) {
        nn__layer *layer = &net->layer[i];
        if (layer->params.running > 0) {
            const bool zero = layer->node->init == NN_INIT_ZERO;
            fill(layer->value[0], layer->params.trainable[0], zero ? 0.0F : 1.0F);
            fill(layer->running[0], layer->params.running, 0.0F);
            fill(layer->running[1], layer->params.running, 1.0F);
        } else if (layer->params.trainable[0] > 0) {
            init_weights(net, layer, seed, training ? net->momentum : layer->value[0]);
        }
    }
    if (training) {
        memset(net->momentum, 0, net->param_count * sizeof *net->momentum);
        memset(net->gradient, 0, net->param_count * sizeof *net->gradient); // frozen ones stay 0
    }
    if (net->average != NULL) {
        memcpy(net->average, net->value, net->param_count * sizeof *net->average);
    }
    net->prepared = false;
}

/* ---- state ----------------------------------------------------------------------------------- */

typedef enum state_part {
    STATE_VALUES,
    STATE_MOMENTUM,
    STATE_AVERAGE,
} state_part;

static float *own_array(const nn_net *net, const nn__layer *layer, int which, state_part part) {
    float *const arrays[] = {net->value, net->momentum, net->average};
    return arrays[part] + (layer->value[which] - net->value);
}

static void get_state(const nn_net *net, state_part part, float *state) {
    for (int i = 0; i < net->layer_count; i++) {
        const nn__layer *layer = &net->layer[i];
        for (int k = 0; k < NN__PARAMS_MAX; k++) {
            if (layer->params.trainable[k] > 0) {
                net->backend->param_out(layer, k, own_array(net, layer, k, part), state);
                state += layer->params.trainable[k];
            }
        }
        for (int k = 0; k < 2; k++) {
            for (size_t c = 0; c < layer->params.running; c++) {
                *state++ = part == STATE_MOMENTUM ? 0.0F : layer->running[k][c];
            }
        }
    }
}

static void set_state(nn_net *net, state_part part, const float *state) {
    for (int i = 0; i < net->layer_count; i++) {
        const nn__layer *layer = &net->layer[i];
        for (int k = 0; k < NN__PARAMS_MAX; k++) {
            if (layer->params.trainable[k] > 0) {
                net->backend->param_in(layer, k, state, own_array(net, layer, k, part));
                state += layer->params.trainable[k];
            }
        }
        for (int k = 0; k < 2 && layer->params.running > 0; k++) {
            if (part == STATE_VALUES) {
                memcpy(layer->running[k], state, layer->params.running * sizeof *state);
            }
            state += layer->params.running;
        }
    }
    net->prepared = false;
}

void nn_net_get_state(const nn_net *net, float *state) {
    get_state(net, STATE_VALUES, state);
}

void nn_net_set_state(nn_net *net, const float *state) {
    set_state(net, STATE_VALUES, state);
}

void nn_net_get_momentum(const nn_net *net, float *state) {
    assert(net->momentum != NULL);
    get_state(net, STATE_MOMENTUM, state);
}

void nn_net_set_momentum(nn_net *net, const float *state) {
    assert(net->momentum != NULL);
    set_state(net, STATE_MOMENTUM, state);
}

void nn_net_get_average(const nn_net *net, float *state) {
    assert(net->average != NULL);
    get_state(net, STATE_AVERAGE, state);
}

void nn_net_set_average(nn_net *net, const float *state) {
    assert(net->average != NULL);
    set_state(net, STATE_AVERAGE, state);
}

void nn__net_set_step(nn_net *net, uint64_t step) {
    net->step = step;
}

void nn_net_set_running_share(nn_net *net, float share) {
    net->running_share = share;
}

nn_params nn_net_params(nn_net *net) {
    net->prepared = false; // the caller may write
    return (nn_params){net->value,   net->gradient,    net->momentum,
                       net->average, net->param_count, net->decay};
}

float *nn_net_input(nn_net *net) {
    return net->layer[0].y;
}

int32_t *nn_net_labels(nn_net *net) {
    return net->labels;
}

int32_t *nn_net_partner_labels(nn_net *net) {
    return net->partner_labels;
}

float *nn_net_lambdas(nn_net *net) {
    return net->lambdas;
}

float *nn_net_targets(nn_net *net) {
    return net->targets;
}

const float *nn_net_logits(const nn_net *net) {
    return net->logits;
}

int nn_net_class_count(const nn_net *net) {
    return (int)nn__shape_count(net->fused.graph.node[net->layer_count - 1].shape);
}

bool nn__net_is_finite(const nn_net *net) {
    for (int i = 0; i < net->layer_count; i++) {
        const nn__layer *layer = &net->layer[i];
        for (int k = 0; k < 2; k++) {
            const size_t count = layer->params.running;
            if (nn__finite_count(layer->running[k], count) < count) {
                return false;
            }
        }
    }
    return true;
}
