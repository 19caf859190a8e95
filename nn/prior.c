// The first biases of a network whose images may have several labels: each label begins as likely as
// it is among the training images (Lin et al. 2017, "Focal Loss for Dense Object Detection", section
// 3.3).
//
// A network that begins at an even chance for every label spends its first steps on unlearning that:
// of 80 labels an image has perhaps two, and the other 78 pull all weights one way. A label that n of
// N images have gets the bias log((n + 1/2) / (N - n + 1/2)), over what scales its logit behind the
// layer. Networks that do not end in a linear layer begin as they are.

#include "nn/nn_internal.h"

#include <math.h>

/// The linear layer that the logits come from, -1 when there is none; `*scale` is what they are
/// multiplied by behind it.
static int last_linear(const nn_graph *graph, float *scale) {
    int node = graph->node_count - 1;
    *scale = 1.0F;
    while (graph->node[node].kind == NN_OP_SCALE) {
        *scale *= graph->node[node].value;
        node = graph->node[node].input[0];
    }
    return graph->node[node].kind == NN_OP_LINEAR && *scale > 0.0F ? node : -1;
}

bool nn__has_priors(const nn_graph *graph, const data_set *set) {
    float scale;
    return data_describe(set)->multi_label && last_linear(graph, &scale) >= 0;
}

void nn__set_priors(const nn_graph *graph, const data_set *set, float *state) {
    const data_info *info = data_describe(set);
    const double image_count = (double)info->split_count[DATA_TRAIN];
    float scale;
    const int linear = last_linear(graph, &scale);
    for (int i = 0; i < linear; i++) {
        state += nn__node_state_count(graph, i);
    }
    float *bias = state + nn__node_params(graph, &graph->node[linear]).trainable[0];
    for (int label = 0; label < info->label_count; label++) {
        const double count = (double)data_label_count(set, DATA_TRAIN, label);
        bias[label] = (float)log((count + 0.5) / (image_count - count + 0.5)) / scale;
    }
}
