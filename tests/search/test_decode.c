// Decoding: the anchor is the network it claims to be; every genotype is legal at every size;
// equal canonical form means equal network and recipe, and different means different.

#include <math.h>
#include <string.h>

#include "tests/search/search_test.h"

#define DRAW_COUNT 50

static void decode(const search_space *space, const search_genotype *genotype,
                   search_candidate *out) {
    ns_error err = {0};
    assert_ok(search_decode(space, genotype, out, &err), &err);
}

/* ---- the anchor ------------------------------------------------------------------------------ */

static int conv_norm_relu(nn_graph *graph, int node, int width) {
    return nn_add_batch_norm(graph, nn_add_conv(graph, node, width, 3, 1, 1, false),
                             NN_ACTIVATION_RELU);
}

static int residual(nn_graph *graph, int node, int width) {
    const int branch = conv_norm_relu(graph, conv_norm_relu(graph, node, width), width);
    return nn_add_add(graph, node, branch);
}

/// ResNet-9 with `w` channels in its stem.
static void build_resnet9(nn_graph *graph, int w) {
    nn_graph_init(graph);
    int node = nn_add_input(graph, (nn_shape){1, 28, 28});
    node = conv_norm_relu(graph, node, w);
    node = conv_norm_relu(graph, node, 2 * w);
    node = nn_add_pool(graph, NN_OP_MAX_POOL, node, 2, 2, 0);
    node = residual(graph, node, 2 * w);
    node = conv_norm_relu(graph, node, 4 * w);
    node = nn_add_pool(graph, NN_OP_MAX_POOL, node, 2, 2, 0);
    node = conv_norm_relu(graph, node, 4 * w);
    node = residual(graph, node, 4 * w);
    node = nn_add_global_pool(graph, NN_OP_GLOBAL_MAX_POOL, node);
    node = nn_add_linear(graph, node, 10);
    (void)nn_add_scale(graph, node, 0.25F);
}

static void test_anchor_is_resnet9(void **state) {
    (void)state;
    ns_error err = {0};
    const search_space space = test_space(IMAGE_CASES[0], 10);
    search_genotype anchor;
    search_genotype_anchor(&space, &anchor);
    static search_candidate candidate;
    decode(&space, &anchor, &candidate);
    static nn_graph graph;
    build_resnet9(&graph, 16);
    char hash[NS_SHA256_HEX_MAX];
    assert_ok(nn_graph_hash(&graph, hash, &err), &err);
    assert_string_equal(candidate.hash, hash);
    assert_int_equal(candidate.counts.params, 153594);
    assert_in_range(candidate.counts.forward_flops, 32000000, 34000000);
}

static void test_anchor_recipe(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    search_genotype anchor;
    search_genotype_anchor(&space, &anchor);
    static search_candidate candidate;
    decode(&space, &anchor, &candidate);
    assert_string_equal(candidate.recipe_text,
                        "batch_size=128 rate_peak=0.2 momentum=0.9 weight_decay=0.005 "
                        "label_smoothing=0.1 warmup_fraction=0.2 norm_rate_factor=1 "
                        "average_window=0.05 mirror=1 shift_px=2 cutout_px=8");
}

static void test_anchor_takes_smaller_batches_of_few_images(void **state) {
    (void)state;
    const search_space space = test_space((image_case){3, 64, 64, 200}, 2);
    search_genotype anchor;
    search_genotype_anchor(&space, &anchor);
    static search_candidate candidate;
    decode(&space, &anchor, &candidate);
    assert_int_equal(candidate.recipe.batch_size, 32);
    assert_float_equal(candidate.recipe.rate_peak, 0.05, 1e-6);
}

/* ---- every genotype -------------------------------------------------------------------------- */

static void check_candidate(const search_space *space, const search_candidate *candidate) {
    const nn_graph *graph = &candidate->graph;
    const nn_shape out = graph->node[graph->node_count - 1].shape;
    assert_int_equal(out.channels, space->label_count);
    assert_int_equal(out.height * out.width, 1);
    assert_true(candidate->counts.params > 0);
    assert_true(candidate->counts.train_flops > candidate->counts.forward_flops);
    assert_in_range(candidate->recipe.batch_size, 1, 256);
    assert_true((size_t)candidate->recipe.batch_size <= space->train_count);
    assert_true(candidate->recipe.rate_peak > 0);
    assert_true(strlen(candidate->recipe_text) < sizeof candidate->recipe_text - 1);
    for (int i = 0; i < graph->node_count; i++) {
        assert_true(graph->node[i].shape.height <= space->image.height);
        assert_true(graph->node[i].shape.width <= space->image.width);
    }
}

static void test_every_genotype_is_legal(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(1, 0, "decode test");
    static search_candidate candidate;
    for (size_t i = 0; i < NS_COUNT_OF(IMAGE_CASES); i++) {
        const search_space space = test_space(IMAGE_CASES[i], i % 2 == 0 ? 2 : 1000);
        search_genotype genotype;
        search_genotype_anchor(&space, &genotype);
        for (int draw = 0; draw < DRAW_COUNT; draw++) {
            decode(&space, &genotype, &candidate);
            check_candidate(&space, &candidate);
            search_genotype_random(&space, &rng, &genotype);
        }
    }
}

static int between(ns_rng *rng, int low, int high) {
    return low + (int)ns_rng_below(rng, (uint64_t)(high - low + 1));
}

static void test_any_image_and_any_labels_are_legal(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(3, 0, "decode test");
    static search_candidate candidate;
    for (int draw = 0; draw < 2000; draw++) {
        const image_case image = {between(&rng, 1, 3), between(&rng, 1, 224), between(&rng, 1, 224),
                                  (size_t)between(&rng, 1, 100000)};
        const search_space space = test_space(image, between(&rng, 1, 1000));
        search_genotype genotype;
        search_genotype_random(&space, &rng, &genotype);
        decode(&space, &genotype, &candidate);
        check_candidate(&space, &candidate);
    }
}

/// Whether two genotypes come to the same network and recipe.
static bool same_effect(const search_space *space, const search_genotype *left,
                        const search_genotype *right) {
    static search_candidate a;
    static search_candidate b;
    decode(space, left, &a);
    decode(space, right, &b);
    return strcmp(a.hash, b.hash) == 0 && strcmp(a.recipe_text, b.recipe_text) == 0;
}

static void test_canonical_form_tells_networks_apart(void **state) {
    (void)state;
    ns_rng rng = ns_rng_stream(2, 0, "decode test");
    for (size_t i = 0; i < NS_COUNT_OF(IMAGE_CASES); i++) {
        const search_space space = test_space(IMAGE_CASES[i], 10);
        for (int draw = 0; draw < DRAW_COUNT; draw++) {
            search_genotype parent;
            search_genotype_random(&space, &rng, &parent);
            search_genotype child = parent;
            search_genotype_mutate(&space, &rng, &child);
            assert_false(same_effect(&space, &parent, &child));
        }
    }
}

static void test_inactive_genes_change_nothing(void **state) {
    (void)state;
    const search_space space = test_space((image_case){1, 3, 3, 100}, 2);
    search_genotype plain = {0};
    search_genotype other = {0};
    other.choice[test_gene(&space, "stage2_pool")] = 1; // its map is a pixel by then
    other.choice[test_gene(&space, "head_pool")] = 1;
    other.choice[test_gene(&space, "shift_percent")] = 1; // 4 % of 3 px
    assert_true(same_effect(&space, &plain, &other));
    other.choice[test_gene(&space, "stage2_expansion")] = 2; // the stage is plain
    other.choice[test_gene(&space, "stage2_squeeze_excite")] = 1;
    assert_true(same_effect(&space, &plain, &other));
    other.choice[test_gene(&space, "stage1_pool")] = 1;
    assert_false(same_effect(&space, &plain, &other));
}

/* ---- single genes ---------------------------------------------------------------------------- */

static int count_kind(const nn_graph *graph, nn_op_kind kind) {
    int count = 0;
    for (int i = 0; i < graph->node_count; i++) {
        count += graph->node[i].kind == kind ? 1 : 0;
    }
    return count;
}

/// Decodes the anchor with the genes of `text`.
static void from_hand(search_space *space, const char *text, search_candidate *out) {
    ns_error err = {0};
    ns_json *json = NULL;
    search_genotype genotype;
    assert_ok(ns_json_parse(text, &json, &err), &err);
    assert_ok(search_genotype_from_hand(space, json, &genotype, &err), &err);
    ns_json_free(json);
    decode(space, &genotype, out);
}

/// Says which of two sequences of ops differs from the other, and where.
static void check_ops(const nn_graph *graph, int first, const nn_op_kind *kinds, int count) {
    for (int i = 0; i < count; i++) {
        if (graph->node[first + i].kind != kinds[i]) {
            fail_msg("node %d is %s, want %s", first + i, nn_op_name(graph->node[first + i].kind),
                     nn_op_name(kinds[i]));
        }
    }
}

static void test_inverted_block(void **state) {
    (void)state;
    search_space space = test_space(IMAGE_CASES[0], 10);
    static search_candidate candidate;
    from_hand(&space,
              "{\"stage1_block\":\"inverted\",\"stage1_depth\":2,\"stage1_kernel\":5,"
              "\"stage1_expansion\":4,\"stage1_pool\":\"strided\","
              "\"stage1_squeeze_excite\":1,\"activation\":\"silu\"}",
              &candidate);
    static const nn_op_kind ENTRY[] = {
        NN_OP_CONV, NN_OP_BATCH_NORM, NN_OP_CONV, NN_OP_BATCH_NORM, NN_OP_GLOBAL_AVERAGE_POOL,
        NN_OP_CONV, NN_OP_ACTIVATION, NN_OP_CONV, NN_OP_ACTIVATION, NN_OP_MULTIPLY,
        NN_OP_CONV, NN_OP_BATCH_NORM,
    };
    enum { FIRST = 3, ENTRY_COUNT = NS_COUNT_OF(ENTRY) };
    const nn_node *node = candidate.graph.node;
    check_ops(&candidate.graph, FIRST, ENTRY, ENTRY_COUNT);
    check_ops(&candidate.graph, FIRST + ENTRY_COUNT, ENTRY, ENTRY_COUNT);
    assert_int_equal(node[FIRST + 2 * ENTRY_COUNT].kind, NN_OP_ADD); // only where shapes are equal
    assert_int_equal(node[FIRST].out_channels, 4 * 16);
    assert_int_equal(node[FIRST + 1].activation, NN_ACTIVATION_SILU);
    assert_int_equal(node[FIRST + 2].groups, 4 * 16);
    assert_int_equal(node[FIRST + 2].kernel, 5);
    assert_int_equal(node[FIRST + 2].stride, 2);
    assert_int_equal(node[FIRST + 5].out_channels, 16 / 4);
    assert_int_equal(node[FIRST + 10].out_channels, 32);
    assert_int_equal(node[FIRST + 11].activation, NN_ACTIVATION_NONE);
    assert_int_equal(node[FIRST + 11].shape.height, 14);
    assert_int_equal(node[FIRST + ENTRY_COUNT].out_channels, 4 * 32);
}

static void test_whitening_stem(void **state) {
    (void)state;
    search_space space = test_space(IMAGE_CASES[0], 10);
    static search_candidate candidate;
    from_hand(&space, "{\"stem\":\"whitening\",\"stem_width\":64,\"activation\":\"gelu\"}",
              &candidate);
    const nn_node *node = candidate.graph.node;
    assert_int_equal(node[1].init, NN_INIT_WHITENING);
    assert_true(node[1].frozen);
    assert_int_equal(node[1].out_channels, 2 * 3 * 3); // no more than there are components
    assert_int_equal(node[2].kind, NN_OP_ACTIVATION);
    assert_int_equal(node[2].activation, NN_ACTIVATION_GELU);
}

static void test_squeeze_excite_of_residual_blocks(void **state) {
    (void)state;
    search_space space = test_space(IMAGE_CASES[0], 10);
    static search_candidate candidate;
    from_hand(&space, "{\"stage1_squeeze_excite\":1,\"stage2_squeeze_excite\":1}", &candidate);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_MULTIPLY), 1); // stage 2 is plain
}

static void test_recipe_genes(void **state) {
    (void)state;
    search_space space = test_space(IMAGE_CASES[0], 10);
    static search_candidate candidate;
    from_hand(&space,
              "{\"rotation_degrees\":10,\"zoom_percent\":5,\"shear_degrees\":5,"
              "\"erase_probability\":0.25,\"mixup_alpha\":0.2,\"average\":\"ema\","
              "\"cutout_percent\":0,\"mirror\":0}",
              &candidate);
    assert_string_equal(candidate.recipe_text,
                        "batch_size=128 rate_peak=0.2 momentum=0.9 weight_decay=0.005 "
                        "label_smoothing=0.1 warmup_fraction=0.2 norm_rate_factor=1 average=ema "
                        "average_window=0.05 shift_px=2 rotation_degrees=10 zoom_percent=5 "
                        "shear_degrees=5 erase_probability=0.25 mixup_alpha=0.2");
}

static void test_depth_of_both_blocks(void **state) {
    (void)state;
    const search_space space = test_space(IMAGE_CASES[0], 10);
    static search_candidate candidate;
    search_genotype genotype = {0}; // plain, depth 1 everywhere
    decode(&space, &genotype, &candidate);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_CONV), 1 + 3);
    genotype.choice[test_gene(&space, "stage1_depth")] = 2;
    decode(&space, &genotype, &candidate);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_CONV), 1 + 3 + 2);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_ADD), 0);
    genotype.choice[test_gene(&space, "stage1_block")] = 1;
    decode(&space, &genotype, &candidate);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_CONV), 1 + 3 + 6);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_ADD), 3);
}

static void test_pools(void **state) {
    (void)state;
    search_space space = test_space(IMAGE_CASES[0], 10);
    static search_candidate candidate;
    search_genotype genotype = {0};
    decode(&space, &genotype, &candidate);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_MAX_POOL), 3);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_SCALE), 1);
    from_hand(&space,
              "{\"stage1_pool\":\"average\",\"stage2_pool\":\"strided\","
              "\"stage3_pool\":\"none\",\"head_pool\":\"average\"}",
              &candidate);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_AVERAGE_POOL), 1);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_MAX_POOL), 0);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_GLOBAL_AVERAGE_POOL), 1);
    assert_int_equal(count_kind(&candidate.graph, NN_OP_SCALE), 0);
    const nn_graph *graph = &candidate.graph;
    int pool = 0;
    while (graph->node[pool].kind != NN_OP_GLOBAL_AVERAGE_POOL) {
        pool++;
    }
    assert_int_equal(graph->node[graph->node[pool].input[0]].shape.height, 7);
}

static void test_stem_stride_by_size(void **state) {
    (void)state;
    static const struct {
        int side_px, stage_px; // of the image, and of what the first stage sees
    } CASES[] = {{40, 40},  {41, 21},  {80, 40},  {81, 21},
                 {224, 56}, {320, 80}, {324, 40}, {4096, 64}};
    static search_candidate candidate;
    for (size_t i = 0; i < NS_COUNT_OF(CASES); i++) {
        const int side_px = CASES[i].side_px;
        const search_space space = test_space((image_case){3, side_px, side_px, 1000}, 10);
        decode(&space, &space.anchor, &candidate); // takes images as they are
        int node = 3;                              // after input, convolution, batch norm
        while (candidate.graph.node[node].kind == NN_OP_MAX_POOL) {
            node++;
        }
        assert_int_equal(candidate.graph.node[node].shape.height, CASES[i].stage_px);
    }
}

static void test_a_space_of_other_genes_is_refused(void **state) {
    (void)state;
    const search_space space = {
        .gene_count = 1,
        .gene = {{.name = "layer1", .choice_count = 3, .value = {0, 1, 2}}},
        .image = {1, 28, 28},
        .label_count = 10,
        .train_count = 100,
    };
    const search_genotype genotype = {0};
    static search_candidate candidate;
    ns_error err = {0};
    assert_status(search_decode(&space, &genotype, &candidate, &err), NS_ERR_INPUT);
    assert_string_equal(err.text,
                        "genotype: this space has no gene \"stem_width\", which a network needs");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anchor_is_resnet9),
        cmocka_unit_test(test_anchor_recipe),
        cmocka_unit_test(test_anchor_takes_smaller_batches_of_few_images),
        cmocka_unit_test(test_every_genotype_is_legal),
        cmocka_unit_test(test_any_image_and_any_labels_are_legal),
        cmocka_unit_test(test_canonical_form_tells_networks_apart),
        cmocka_unit_test(test_inactive_genes_change_nothing),
        cmocka_unit_test(test_depth_of_both_blocks),
        cmocka_unit_test(test_inverted_block),
        cmocka_unit_test(test_whitening_stem),
        cmocka_unit_test(test_squeeze_excite_of_residual_blocks),
        cmocka_unit_test(test_recipe_genes),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_stem_stride_by_size),
        cmocka_unit_test(test_a_space_of_other_genes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
