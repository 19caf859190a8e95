// Random points of the space as networks: each compiles for training, takes a step on random images
// and ends with a finite loss, in every number type that this machine has.

#include <math.h>
#include <stdlib.h>

#include "tests/search/search_test.h"

enum { BATCH = 4, DRAW_COUNT = 12 };

static const image_case SMALL_CASES[] = {
    {1, 1, 1, 100}, {3, 2, 3, 100}, {3, 7, 5, 100}, {1, 28, 28, 1000}, {3, 44, 44, 1000},
};

static void take_a_step(const nn_graph *graph, nn_dtype dtype) {
    ns_error err = {0};
    nn_net *net = NULL;
    nn_net_options options = nn_net_options_default();
    options.mode = NN_MODE_TRAIN;
    options.batch_size = BATCH;
    options.thread_count = 1;
    options.dtype = dtype;
    assert_ok(nn_net_new(graph, &options, &net, &err), &err);
    nn_net_init(net, 1);
    nn_bench_fill(net, 1);
    const float loss = nn_net_forward_backward(net, 0);
    if (!isfinite(loss)) {
        fail_msg("the loss is %g", (double)loss);
    }
    nn_bench_update(net);
    nn_net_free(net);
}

static void test_random_networks_take_a_step(void **state) {
    (void)state;
    static search_candidate candidate;
    const nn_dtype best = nn_dtype_resolve(NN_DTYPE_AUTO);
    ns_rng rng = ns_rng_stream(1, 0, "space nets test");
    for (size_t i = 0; i < NS_COUNT_OF(SMALL_CASES); i++) {
        const search_space space = test_space(SMALL_CASES[i], 10);
        for (int draw = 0; draw < DRAW_COUNT; draw++) {
            ns_error err = {0};
            search_genotype genotype;
            search_genotype_random(&space, &rng, &genotype);
            assert_ok(search_decode(&space, &genotype, &candidate, &err), &err);
            take_a_step(&candidate.graph, draw % 2 == 0 ? best : NN_DTYPE_F32);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_networks_take_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
