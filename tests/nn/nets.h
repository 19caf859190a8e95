// Small networks and batches that the tests of nn/ share.

#ifndef NS_TESTS_NN_NETS_H
#define NS_TESTS_NN_NETS_H

#include <math.h>
#include <string.h>

#include "nn/nn.h"
#include "tests/ns_test.h"

/// Standard normal images and uniform labels, the same for the same seed.
static inline void fill_batch(nn_net *net, size_t input_count, int batch_size, uint64_t seed) {
    ns_rng rng = ns_rng_stream(seed, 0, "test batch");
    for (size_t i = 0; i < input_count; i++) {
        nn_net_input(net)[i] = (float)ns_rng_normal(&rng);
    }
    for (int i = 0; i < batch_size; i++) {
        nn_net_labels(net)[i] = (int32_t)ns_rng_below(&rng, (uint64_t)nn_net_class_count(net));
    }
}

static inline size_t input_count_of(const nn_graph *graph, int batch_size) {
    const nn_shape in = graph->node[0].shape;
    return (size_t)batch_size * (size_t)in.channels * (size_t)in.height * (size_t)in.width;
}

/// A net ready to step, with seeded weights and a seeded batch. In f32 unless bf16 is asked for.
static inline nn_net *net_ready(const nn_graph *graph, nn_net_options options) {
    options.dtype = options.dtype == NN_DTYPE_AUTO ? NN_DTYPE_F32 : options.dtype;
    ns_error err = {0};
    nn_net *net = NULL;
    assert_ok(nn_net_new(graph, &options, &net, &err), &err);
    nn_net_init(net, 7);
    fill_batch(net, input_count_of(graph, options.batch_size), options.batch_size, 11);
    return net;
}

/// Largest difference, relative to the largest magnitude of `want`.
static inline double relative_error(const float *got, const float *want, size_t count) {
    double difference = 0.0, magnitude = 1e-30;
    for (size_t i = 0; i < count; i++) {
        difference = fmax(difference, fabs((double)got[i] - (double)want[i]));
        magnitude = fmax(magnitude, fabs((double)want[i]));
        if (isnan(got[i]) || isnan(want[i])) {
            return INFINITY;
        }
    }
    return difference / magnitude;
}

/// Length of the difference relative to the length of `want`: for bf16, whose rounding now and then
/// moves a maximum or the sign before a ReLU, and with it one element by all of its size.
static inline double length_error(const float *got, const float *want, size_t count) {
    double difference = 0.0, length = 1e-30;
    for (size_t i = 0; i < count; i++) {
        const double d = (double)got[i] - (double)want[i];
        difference += d * d;
        length += (double)want[i] * (double)want[i];
    }
    return isnan(difference) ? INFINITY : sqrt(difference / length);
}

#define assert_close_in_length(got, want, count, tolerance)                                        \
    do {                                                                                           \
        const double assert_close_error_ = length_error(got, want, count);                         \
        if (!(assert_close_error_ <= (tolerance))) {                                               \
            fail_msg("%s differs from %s by %.3g of its length, more than %.3g", #got, #want,      \
                     assert_close_error_, (double)(tolerance));                                    \
        }                                                                                          \
    } while (0)

/// Whether oneDNN computes in bf16 here, natively or emulated; says so loudly when it does not.
static inline bool has_bf16(void) {
    nn_graph graph;
    nn_graph_init(&graph);
    (void)nn_add_conv(&graph, nn_add_input(&graph, (nn_shape){1, 4, 4}), 16, 3, 1, 1, false);
    nn_net_options options = nn_net_options_default();
    options.batch_size = 1;
    options.dtype = NN_DTYPE_BF16;
    nn_plan plan;
    ns_error err = {0};
    const ns_status status = nn_plan_make(&graph, &options, &plan, &err);
    if (status != NS_OK) {
        assert_status(status, NS_ERR_INPUT);
        print_message("SKIPPED what is in bf16: %s\n", err.text);
    }
    return status == NS_OK;
}

#define assert_close(got, want, count, tolerance)                                                  \
    do {                                                                                           \
        const double assert_close_error_ = relative_error(got, want, count);                       \
        if (!(assert_close_error_ <= (tolerance))) {                                               \
            fail_msg("%s differs from %s by %.3g, more than %.3g", #got, #want,                    \
                     assert_close_error_, (double)(tolerance));                                    \
        }                                                                                          \
    } while (0)

/// The gradients of all parameters in plain order, zero at running statistics; malloced.
static inline float *plain_gradients(const nn_graph *graph, nn_net *net) {
    const nn_params params = nn_net_params(net);
    float *plain = calloc(nn_graph_state_count(graph), sizeof *plain);
    float *momentum = calloc(params.count, sizeof *momentum);
    assert_non_null(plain);
    assert_non_null(momentum);
    // Gradients and momentum share a layout, and only momentum has a door to the plain one.
    memcpy(momentum, params.momentum, params.count * sizeof *momentum);
    memcpy(params.momentum, params.gradient, params.count * sizeof *momentum);
    nn_net_get_momentum(net, plain);
    memcpy(params.momentum, momentum, params.count * sizeof *momentum);
    free(momentum);
    return plain;
}

/// Loss at `state` moved by `distance` along `direction`, all in plain order.
static inline double loss_along(nn_net *net, const float *state, const float *direction,
                                size_t count, double distance) {
    float *moved = calloc(count, sizeof *moved);
    assert_non_null(moved);
    for (size_t i = 0; i < count; i++) {
        moved[i] = (float)((double)state[i] + distance * (double)direction[i]);
    }
    nn_net_set_state(net, moved);
    free(moved);
    return (double)nn_net_forward_backward(net, 3);
}

/// Takes a quarter of the parameters at random, moves each a little up its gradient, and returns
/// the slope that the gradient promises along that direction.
static inline double random_direction(const float *gradient, size_t count, ns_rng *rng,
                                      float *direction) {
    double slope = 0.0, squares = 0.0;
    for (size_t i = 0; i < count; i++) {
        const bool moves = gradient[i] != 0.0F && ns_rng_below(rng, 4) == 0;
        direction[i] = moves ? (gradient[i] > 0.0F ? 1.0F : -1.0F) : 0.0F;
        slope += (double)direction[i] * (double)gradient[i];
        squares += (double)direction[i] * (double)direction[i];
    }
    for (size_t i = 0; i < count && squares > 0.0; i++) {
        direction[i] /= (float)sqrt(squares);
    }
    return squares > 0.0 ? slope / sqrt(squares) : 0.0;
}

/// Along `trial_count` random directions, the slope of the loss by central differences is what the
/// gradients say.
static inline void assert_slopes(const nn_graph *graph, nn_net *net, int trial_count) {
    const size_t count = nn_graph_state_count(graph);
    float *state = calloc(count, sizeof *state), *direction = calloc(count, sizeof *direction);
    assert_non_null(state);
    assert_non_null(direction);
    nn_net_get_state(net, state);
    (void)nn_net_forward_backward(net, 3);
    float *gradient = plain_gradients(graph, net);
    const double step = 1e-3;
    ns_rng rng = ns_rng_stream(1, 0, "direction");
    for (int trial = 0; trial < trial_count; trial++) {
        const double promised = random_direction(gradient, count, &rng, direction);
        const double up = loss_along(net, state, direction, count, step);
        const double down = loss_along(net, state, direction, count, -step);
        const double measured = (up - down) / (2.0 * step);
        if (!(fabs(measured - promised) <= 0.02 * fabs(promised) + 1e-3)) {
            fail_msg("slope %g by differences, %g by backward", measured, promised);
        }
    }
    nn_net_set_state(net, state);
    free(direction);
    free(gradient);
    free(state);
}

/// conv - norm - pool - residual block - strided depthwise - global pool - linear - scale: every
/// kind of join and most ops, on odd sizes.
static inline void small_net(nn_graph *graph, int width) {
    nn_graph_init(graph);
    int x = nn_add_input(graph, (nn_shape){3, 13, 11});
    x = nn_add_batch_norm(graph, nn_add_conv(graph, x, width, 3, 1, 1, false), NN_ACTIVATION_RELU);
    x = nn_add_pool(graph, NN_OP_MAX_POOL, x, 2, 2, 0);
    int y =
        nn_add_batch_norm(graph, nn_add_conv(graph, x, width, 3, 1, 1, false), NN_ACTIVATION_RELU);
    y = nn_add_batch_norm(graph, nn_add_conv(graph, y, width, 3, 1, 1, false), NN_ACTIVATION_NONE);
    x = nn_add_activation(graph, nn_add_add(graph, x, y), NN_ACTIVATION_RELU);
    y = nn_add_conv(graph, x, 2 * width, 3, 2, width, true);
    x = nn_add_batch_norm(graph, nn_add_conv(graph, x, 2 * width, 1, 2, 1, false),
                          NN_ACTIVATION_NONE);
    x = nn_add_add(graph, nn_add_add(graph, y, x), y);
    x = nn_add_pool(graph, NN_OP_AVERAGE_POOL, x, 3, 1, 1);
    x = nn_add_global_pool(graph, NN_OP_GLOBAL_MAX_POOL, x);
    x = nn_add_linear(graph, nn_add_dropout(graph, x, 0.25F), 5);
    (void)nn_add_scale(graph, x, 0.5F);
}

#endif
