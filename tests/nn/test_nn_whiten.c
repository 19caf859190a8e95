// Whitening and the other first values: what they promise of the images and maps they meet.

#include <math.h>
#include <omp.h>
#include <string.h>

#include "nn/nn_internal.h"
#include "tests/nn/fixture.h"
#include "tests/nn/nets.h"

enum { KERNEL = 3, SIZE = FIXTURE_CHANNELS * KERNEL * KERNEL, PAIRS = 20 };

static data_set *set;

static int open_set(void **state) {
    (void)state;
    set = fixture_set_new("whiten.nsd");
    return set == NULL ? -1 : 0;
}

static int close_set(void **state) {
    (void)state;
    data_close(set);
    return 0;
}

static void stem_graph(nn_graph *graph) {
    nn_graph_init(graph);
    int x = nn_add_input(graph, (nn_shape){FIXTURE_CHANNELS, FIXTURE_HEIGHT, FIXTURE_WIDTH});
    x = nn_add_conv(graph, x, 2 * PAIRS, KERNEL, 1, 1, false);
    x = nn_set_frozen(graph, nn_set_init(graph, x, NN_INIT_WHITENING));
    x = nn_add_batch_norm(graph, x, NN_ACTIVATION_RELU);
    (void)nn_add_linear(graph, x, FIXTURE_LABEL_COUNT);
}

static float *whitened_state(const nn_graph *graph) {
    ns_error err = {0};
    float *values = calloc(nn_graph_state_count(graph), sizeof *values);
    assert_ok(nn__whiten(graph, set, values, &err), &err);
    return values;
}

/// The patch at (top, left) in the order of weights (C, KH, KW), normalised.
static void patch_at(const uint8_t *pixels, int top, int left, double patch[SIZE]) {
    const data_info *info = data_describe(set);
    for (int i = 0; i < SIZE; i++) {
        const int c = i / (KERNEL * KERNEL), y = i / KERNEL % KERNEL, x = i % KERNEL;
        const int at = (c * FIXTURE_HEIGHT + top + y) * FIXTURE_WIDTH + left + x;
        patch[i] = ((double)pixels[at] - (double)info->mean[c]) / (double)info->deviation[c];
    }
}

/// Adds the responses of the first PAIRS filters, and their products, over one image's patches.
static int add_responses(const uint8_t *pixels, const float *filters, double *sums,
                         double (*products)[PAIRS]) {
    int count = 0;
    for (int top = 0; top + KERNEL <= FIXTURE_HEIGHT; top++) {
        for (int left = 0; left + KERNEL <= FIXTURE_WIDTH; left++, count++) {
            double patch[SIZE], response[PAIRS] = {0};
            patch_at(pixels, top, left, patch);
            for (int f = 0; f < PAIRS; f++) {
                for (int i = 0; i < SIZE; i++) {
                    response[f] += (double)filters[f * SIZE + i] * patch[i];
                }
                sums[f] += response[f];
                for (int g = 0; g <= f; g++) {
                    products[f][g] += response[f] * response[g];
                }
            }
        }
    }
    return count;
}

static void test_responses_are_white(void **state) {
    (void)state;
    nn_graph graph;
    stem_graph(&graph);
    float *filters = whitened_state(&graph);
    double sums[PAIRS] = {0}, products[PAIRS][PAIRS] = {{0}};
    size_t train_count = 0;
    int count = 0;
    const uint32_t *train = data_indices(set, DATA_TRAIN, &train_count);
    for (size_t i = 0; i < train_count; i++) {
        count += add_responses(data_pixels(set, train[i]), filters, sums, products);
    }
    for (int f = 0; f < PAIRS; f++) {
        for (int g = 0; g <= f; g++) {
            const double got = products[f][g] / count - sums[f] / count * (sums[g] / count);
            const double want = f == g ? 1.0 : 0.0;
            if (!(fabs(got - want) < 0.005)) {
                fail_msg("responses %d and %d have covariance %g instead of %g", f, g, got, want);
            }
        }
    }
    free(filters);
}

static void test_negatives_follow(void **state) {
    (void)state;
    nn_graph graph;
    stem_graph(&graph);
    float *filters = whitened_state(&graph);
    for (int i = 0; i < PAIRS * SIZE; i++) {
        assert_float_equal(filters[i], -filters[PAIRS * SIZE + i], 0.0F);
    }
    free(filters);
}

static void test_threads_do_not_matter(void **state) {
    (void)state;
    nn_graph graph;
    stem_graph(&graph);
    omp_set_num_threads(1);
    float *one = whitened_state(&graph);
    omp_set_num_threads(3);
    float *three = whitened_state(&graph);
    assert_memory_equal(one, three, nn_graph_state_count(&graph) * sizeof *one);
    free(one);
    free(three);
}

/// Training whitens before the first step, and never touches the filters again.
static void test_training_keeps_the_filters(void **state) {
    (void)state;
    nn_graph graph;
    ns_error err = {0};
    stem_graph(&graph);
    float *want = whitened_state(&graph);
    nn_train_options options = nn_train_options_default();
    options.recipe.batch_size = 32;
    options.recipe.rate_peak = 0.1F;
    options.recipe.weight_decay = 0.1F;
    options.sample_count_max = 320;
    options.thread_count = 2;
    nn_train_result result;
    nn_model *model = NULL;
    assert_ok(nn_train(&graph, set, &options, &result, &model, &err), &err);
    assert_true(result.last.step > 1);
    assert_memory_equal(nn_model_describe(model)->state, want,
                        (size_t)2 * PAIRS * SIZE * sizeof *want);
    nn_model_free(model);
    free(want);
}

/// Output channel o of group g is input channel o of group g, while there is one.
static void check_dirac(int in, int out, int kernel, int groups) {
    nn_graph graph;
    nn_graph_init(&graph);
    int x = nn_add_input(&graph, (nn_shape){in, 5, 4});
    x = nn_add_conv(&graph, x, out, kernel, 1, groups, false);
    (void)nn_set_init(&graph, x, NN_INIT_DIRAC);
    nn_net_options options = nn_net_options_default();
    options.backend = NN_BACKEND_REFERENCE;
    options.batch_size = 1;
    nn_net *net = net_ready(&graph, options);
    nn_net_forward(net);
    for (int o = 0; o < out; o++) {
        const int group = o / (out / groups), i = o % (out / groups);
        const bool identity = i < in / groups;
        const float *got = nn_net_logits(net) + (ptrdiff_t)o * 20;
        const float *same = nn_net_input(net) + (ptrdiff_t)(group * (in / groups) + i) * 20;
        if (identity) {
            assert_close(got, same, 20, 0.0);
        } else {
            assert_true(got[0] != 0.0F);
        }
    }
    nn_net_free(net);
}

static void test_dirac_passes_channels_on(void **state) {
    (void)state;
    check_dirac(4, 4, 3, 1);
    check_dirac(4, 6, 3, 1);
    check_dirac(6, 4, 5, 2);
    check_dirac(4, 8, 1, 2);
    check_dirac(5, 5, 3, 5);
}

static void test_zero_scale_is_nothing(void **state) {
    (void)state;
    nn_graph graph;
    nn_graph_init(&graph);
    const int x = nn_add_input(&graph, (nn_shape){3, 4, 4});
    (void)nn_set_init(&graph, nn_add_batch_norm(&graph, x, NN_ACTIVATION_NONE), NN_INIT_ZERO);
    nn_net_options options = nn_net_options_default();
    options.batch_size = 2;
    nn_net *net = net_ready(&graph, options);
    nn_net_forward(net);
    for (int i = 0; i < 2 * 3 * 16; i++) {
        assert_float_equal(nn_net_logits(net)[i], 0.0F, 0.0F);
    }
    nn_net_free(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses_are_white),
        cmocka_unit_test(test_negatives_follow),
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_training_keeps_the_filters),
        cmocka_unit_test(test_dirac_passes_channels_on),
        cmocka_unit_test(test_zero_scale_is_nothing),
    };
    return cmocka_run_group_tests(tests, open_set, close_set);
}
