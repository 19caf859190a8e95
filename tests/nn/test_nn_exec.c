// Whole small networks: gradients by finite differences, both backends side by side over training,
// state in and out, and the promises about memory: the plan is what is allocated, a step allocates
// nothing.

#include <malloc.h>

#include "tests/nn/nets.h"

static nn_net_options options_of(nn_backend backend, int batch_size) {
    nn_net_options options = nn_net_options_default();
    options.backend = backend;
    options.batch_size = batch_size;
    options.thread_count = 2;
    options.label_smoothing = 0.1F;
    return options;
}

/// Loss at the net's weights moved by `distance` along `direction`; in plain order.
static double loss_along(nn_net *net, const float *state, const float *direction, size_t count,
                         double distance) {
    float *moved = calloc(count, sizeof *moved);
    assert_non_null(moved);
    for (size_t i = 0; i < count; i++) {
        moved[i] = (float)((double)state[i] + distance * (double)direction[i]);
    }
    nn_net_set_state(net, moved);
    free(moved);
    return (double)nn_net_forward_backward(net, 3);
}

/// Along each array of parameters on its own, the slope by central differences is gradient times
/// direction.
static void check_slopes(nn_backend backend) {
    nn_graph graph;
    small_net(&graph, 4);
    nn_net *net = net_ready(&graph, options_of(backend, 3));
    const size_t count = nn_graph_state_count(&graph);
    float *state = calloc(count, sizeof *state), *direction = calloc(count, sizeof *direction);
    assert_non_null(state);
    assert_non_null(direction);
    nn_net_get_state(net, state);
    (void)nn_net_forward_backward(net, 3);
    float *gradient = plain_gradients(&graph, net);
    const double step = 1e-3;
    ns_rng rng = ns_rng_stream(1, 0, "direction");
    for (int trial = 0; trial < 40; trial++) {
        double slope = 0.0, norm = 0.0;
        for (size_t i = 0; i < count; i++) {
            const bool moves = gradient[i] != 0.0F && ns_rng_below(&rng, 4) == 0;
            direction[i] = moves ? (gradient[i] > 0.0F ? 1.0F : -1.0F) : 0.0F;
            slope += (double)direction[i] * (double)gradient[i];
            norm += (double)direction[i] * (double)direction[i];
        }
        const double h = step / sqrt(norm);
        const double up = loss_along(net, state, direction, count, h);
        const double down = loss_along(net, state, direction, count, -h);
        const double measured = (up - down) / (2.0 * h);
        if (fabs(measured - slope) > 0.02 * fabs(slope) + 1e-3) {
            fail_msg("slope %g by differences, %g by backward", measured, slope);
        }
    }
    free(direction);
    free(gradient);
    free(state);
    nn_net_free(net);
}

static void test_reference_gradients_are_slopes(void **state) {
    (void)state;
    check_slopes(NN_BACKEND_REFERENCE);
}

static void test_onednn_gradients_are_slopes(void **state) {
    (void)state;
    check_slopes(NN_BACKEND_ONEDNN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_gradients_are_slopes),
        cmocka_unit_test(test_onednn_gradients_are_slopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
