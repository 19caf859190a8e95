// The memory plan: buffers alive at once never share bytes, whatever the lifetimes; and on random
// graphs full of joins the executor's gradients, which live in such buffers, equal the reference's.

#include "nn/nn_internal.h"
#include "tests/nn/nets.h"

static void test_buffers_alive_at_once_are_apart(void **state) {
    (void)state;
    enum { COUNT = 60 };
    ns_rng rng = ns_rng_stream(1, 0, "buffers");
    for (int round = 0; round < 200; round++) {
        nn__buffer buffer[COUNT];
        size_t all_bytes = 0, total_bytes = 0;
        for (int i = 0; i < COUNT; i++) {
            const int first = (int)ns_rng_below(&rng, 100);
            buffer[i] = (nn__buffer){(size_t)(1 + ns_rng_below(&rng, 5000)), first,
                                     first + (int)ns_rng_below(&rng, 20), 0};
            all_bytes += (buffer[i].size_bytes + 63) / 64 * 64;
        }
        ns_error err = {0};
        assert_ok(nn__buffers_place(buffer, COUNT, &total_bytes, &err), &err);
        assert_true(total_bytes < all_bytes);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(buffer[i].offset % 64, 0);
            assert_true(buffer[i].offset + buffer[i].size_bytes <= total_bytes);
            for (int j = 0; j < i; j++) {
                const nn__buffer a = buffer[i], b = buffer[j];
                const bool together = a.first <= b.last && b.first <= a.last;
                const bool apart =
                    a.offset + a.size_bytes <= b.offset || b.offset + b.size_bytes <= a.offset;
                if (together && !apart) {
                    fail_msg("buffers %d and %d of round %d overlap", i, j, round);
                }
            }
        }
    }
}

/// Grows nodes of one shape, each from random earlier ones, then sums up all that was left unused.
static void random_graph(nn_graph *graph, uint64_t seed) {
    ns_rng rng = ns_rng_stream(seed, 0, "graph");
    nn_graph_init(graph);
    int node[64], count = 0, used[64] = {0};
    node[count++] = nn_add_conv(graph, nn_add_input(graph, (nn_shape){2, 5, 5}), 3, 1, 1, 1, true);
    while (count < 14) {
        const int a = (int)ns_rng_below(&rng, (uint64_t)count);
        const int b = (int)ns_rng_below(&rng, (uint64_t)count);
        used[a] = 1;
        switch (ns_rng_below(&rng, 6)) {
        case 0:
            node[count] = nn_add_activation(graph, node[a], NN_ACTIVATION_RELU);
            break;
        case 1:
            node[count] = nn_add_scale(graph, node[a], 0.7F);
            break;
        case 2:
            node[count] = nn_add_conv(graph, node[a], 3, 3, 1, 1, true);
            break;
        default:
            used[b] = 1;
            node[count] = nn_add_add(graph, node[a], node[b]);
            break;
        }
        count++;
    }
    int sum = node[count - 1];
    for (int i = 0; i < count - 1; i++) {
        if (!used[i]) {
            sum = nn_add_add(graph, i % 2 == 0 ? sum : node[i], i % 2 == 0 ? node[i] : sum);
        }
    }
    (void)nn_add_scale(graph, sum, 0.05F); // sums of sums grow large
}

static void test_joined_gradients_are_slopes(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        nn_graph graph;
        ns_error err = {0};
        random_graph(&graph, seed);
        assert_ok(nn_graph_check(&graph, &err), &err);
        float *gradient[2];
        for (int b = 0; b < 2; b++) {
            nn_net_options options = nn_net_options_default();
            options.backend = b == 0 ? NN_BACKEND_ONEDNN : NN_BACKEND_REFERENCE;
            options.batch_size = 2;
            options.thread_count = 1;
            nn_net *net = net_ready(&graph, options);
            (void)nn_net_forward_backward(net, 0);
            gradient[b] = plain_gradients(&graph, net);
            if (b == 1) {
                assert_slopes(&graph, net, 4);
            }
            nn_net_free(net);
        }
        assert_close(gradient[0], gradient[1], nn_graph_state_count(&graph), 1e-4);
        free(gradient[0]);
        free(gradient[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers_alive_at_once_are_apart),
        cmocka_unit_test(test_joined_gradients_are_slopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
