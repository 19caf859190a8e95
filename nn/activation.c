// Activations: their names, values and slopes, one value at a time, as their definitions say.
//
// The reference backend calls these; the fast kernels are tested against it. erf and exp are the C
// library's, in double precision.

#include <math.h>

#include "nn/nn_internal.h"

const char *const nn__activation_names[NN_ACTIVATION_COUNT] = {
#define NAME(kind, name, reads) [NN_ACTIVATION_##kind] = (name),
    NN_ACTIVATION_LIST(NAME)
#undef NAME
};

static const nn__reads reads_of[NN_ACTIVATION_COUNT] = {
#define READS(kind, name, reads) [NN_ACTIVATION_##kind] = NN__READS_##reads,
    NN_ACTIVATION_LIST(READS)
#undef READS
};

nn__reads nn__node_reads(const nn_node *node) {
    const nn__reads reads = nn__op_of(node->kind)->reads;
    return reads == NN__READS_ACT ? reads_of[node->activation] : reads;
}

static double sigmoid(double x) {
    return 1.0 / (1.0 + exp(-x));
}

/// Distribution of the standard normal.
static double normal_below(double x) {
    return 0.5 * (1.0 + erf(x * M_SQRT1_2));
}

static double normal_density(double x) {
    return 0.5 * M_2_SQRTPI * M_SQRT1_2 * exp(-0.5 * x * x);
}

float nn__activate(nn_activation activation, float x) {
    const double v = (double)x;
    switch (activation) {
    case NN_ACTIVATION_RELU:
        return x < 0.0F ? 0.0F : x;
    case NN_ACTIVATION_SILU:
        return (float)(v * sigmoid(v));
    case NN_ACTIVATION_GELU:
        return (float)(v * normal_below(v));
    case NN_ACTIVATION_SIGMOID:
        return (float)sigmoid(v);
    case NN_ACTIVATION_NONE:
    case NN_ACTIVATION_COUNT:
        break;
    }
    return x;
}

float nn__activation_slope(nn_activation activation, float x, float y) {
    const double v = (double)x, s = sigmoid(v);
    switch (activation) {
    case NN_ACTIVATION_RELU:
        return y > 0.0F ? 1.0F : 0.0F;
    case NN_ACTIVATION_SILU:
        return (float)(s * (1.0 + v * (1.0 - s)));
    case NN_ACTIVATION_GELU:
        return (float)(normal_below(v) + v * normal_density(v));
    case NN_ACTIVATION_SIGMOID:
        return y * (1.0F - y);
    case NN_ACTIVATION_NONE:
    case NN_ACTIVATION_COUNT:
        break;
    }
    return 1.0F;
}
