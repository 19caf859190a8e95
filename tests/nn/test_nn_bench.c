// What measurements stand on: which convolutions are counted, and that data and updates are real.
// Times themselves are never judged.

#include "tests/nn/nets.h"

enum { BATCH = 4 };

static nn_net_options small_options(void) {
    nn_net_options options = nn_net_options_default();
    options.batch_size = BATCH;
    options.thread_count = 1;
    return options;
}

/// conv - three convs of one geometry - a strided one.
static void conv_net(nn_graph *graph) {
    nn_graph_init(graph);
    int x = nn_add_input(graph, (nn_shape){1, 8, 8});
    for (int i = 0; i < 4; i++) {
        x = nn_add_conv(graph, x, 16, 3, 1, 1, false);
    }
    x = nn_add_conv(graph, x, 16, 3, 2, 1, true);
    (void)nn_add_linear(graph, x, 5);
}

static void check_conv(const nn_bench_conv *conv, int use_counts[6][NN_PASS_COUNT]) {
    use_counts[conv->node][conv->pass] = conv->use_count;
    if (!(conv->ms_best > 0 && conv->ms_best <= conv->ms && conv->ms_best <= conv->ms_now)) {
        fail_msg("node %d, %s: best %g ms, median %g, last %g", conv->node,
                 nn_pass_name(conv->pass), conv->ms_best, conv->ms, conv->ms_now);
    }
    assert_true(conv->flops > 0);
    assert_true(strlen(conv->kernel) > 0);
}

static void test_convs_are_counted_by_geometry(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    conv_net(&graph);
    const nn_net_options options = small_options();
    nn_bench_convs *convs = NULL;
    assert_ok(nn_bench_convs_new(&graph, &options, &convs, &err), &err);
    nn_bench_convs_round(convs);
    nn_bench_convs_round(convs);
    int use_counts[6][NN_PASS_COUNT] = {{0}};
    const nn_bench_conv *conv = NULL;
    int count = 0;
    for (; (conv = nn_bench_convs_at(convs, count)) != NULL; count++) {
        check_conv(conv, use_counts);
    }
    nn_bench_convs_free(convs);
    assert_int_equal(count, 2 + 3 + 3); // the first has no backward-data
    for (int pass = NN_PASS_BACKWARD_WEIGHTS; pass <= NN_PASS_BACKWARD_DATA; pass++) {
        assert_int_equal(use_counts[1][pass], pass == NN_PASS_BACKWARD_WEIGHTS);
        assert_int_equal(use_counts[2][pass], 3);
        assert_int_equal(use_counts[5][pass], 1);
    }
    assert_int_equal(use_counts[2][NN_PASS_FORWARD], 3);
}

static void test_a_net_without_convolutions_has_none(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    nn_graph_init(&graph);
    (void)nn_add_linear(&graph, nn_add_input(&graph, (nn_shape){1, 2, 2}), 3);
    const nn_net_options options = small_options();
    nn_bench_convs *convs = NULL;
    assert_ok(nn_bench_convs_new(&graph, &options, &convs, &err), &err);
    nn_bench_convs_round(convs);
    assert_null(nn_bench_convs_at(convs, 0));
    nn_bench_convs_free(convs);
}

static void test_filled_net_learns(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    small_net(&graph, 16);
    const nn_net_options options = small_options();
    nn_net *net = NULL;
    assert_ok(nn_net_new(&graph, &options, &net, &err), &err);
    nn_net_init(net, 1);
    nn_bench_fill(net, 1);
    for (int i = 0; i < BATCH; i++) {
        const int label = nn_net_labels(net)[i];
        assert_true(label >= 0 && label < nn_net_class_count(net));
    }
    const float first = nn_net_forward_backward(net, 0);
    float last = first;
    for (int i = 0; i < 60; i++) {
        nn_bench_update(net);
        last = nn_net_forward_backward(net, 0);
    }
    nn_net_free(net);
    if (!(last < first)) {
        fail_msg("the loss went from %g to %g", (double)first, (double)last);
    }
}

static void test_bandwidth_is_measured(void **state) {
    (void)state;
    ns_error err = {0};
    const size_t sizes[] = {1, 100000};
    for (size_t i = 0; i < NS_COUNT_OF(sizes); i++) {
        double gb_per_s = 0;
        assert_ok(nn_bench_bandwidth(sizes[i], 2, &gb_per_s, &err), &err);
        assert_true(gb_per_s > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convs_are_counted_by_geometry),
        cmocka_unit_test(test_a_net_without_convolutions_has_none),
        cmocka_unit_test(test_filled_net_learns),
        cmocka_unit_test(test_bandwidth_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
