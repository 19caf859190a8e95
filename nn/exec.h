// A net's inside, for the three files of the executor: exec.c makes it, exec_state.c fills and reads
// its parameters, exec_run.c steps.

#ifndef NS_NN_EXEC_H
#define NS_NN_EXEC_H

#include "nn/nn_internal.h"

/// Fills a profile: each lap books the time since the last one.
typedef struct nn__stopwatch {
    nn_profile *profile;
    int64_t since_ns;
} nn__stopwatch;
void nn__stopwatch_lap(nn__stopwatch *stopwatch, const nn__layer *layer, nn_pass pass);

struct nn_net {
    nn_fused fused; // what runs, node by node the layers
    nn_net_options options;
    nn_plan plan;
    const nn__backend *backend;
    void *context; // of the backend
    nn__layer *layer;
    int layer_count;
    nn__memory memory;
    ns_arena *arena;

    float *value, *gradient, *momentum;
    float *average; // NULL unless asked for
    size_t param_count;
    bool *decay;
    int32_t *labels, *partner_labels;
    float *lambdas, *targets;
    nn__loss loss;
    float *logits;
    uint64_t step;
    float running_share;      // of the next batch's statistics in the running ones
    nn__stopwatch *stopwatch; // while a profile is made, else NULL
    bool prepared;            // inference: the kernels' weights are those of `value`
};

/// Where a planned buffer lies behind `tensors`; NULL for a buffer of -1 or no memory.
void *nn__buffer_at(const nn_net *net, char *tensors, int buffer);

#endif
