// From a genotype to the network and recipe that it names (the picture is in search/space.c).
//
// Genes are read by name, never by position, so that a space may grow genes without touching this
// file's order. What is fixed rather than searched: batch norm after every convolution, momentum
// 0.9, squeeze-excite's reduction to a quarter of a block's input, and the factor on the logits: a
// maximum over the map is several times a mean, and a quarter of it keeps the first steps' softmax
// from saturating (as in the DAWNBench ResNet-9).

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "search/space.h"

#define MOMENTUM         0.9F
#define MAX_POOL_LOGITS  0.25F
#define RATE_BATCH_SIZE  256.0
#define EXCITE_WIDTH_MIN 4
#define GENE_MISSING     "genotype: this space has no gene \"%s\", which a network needs"

/* ---- reading genes --------------------------------------------------------------------------- */

/// Reads genes by name; the first that the space lacks is kept in `status` and `err`.
typedef struct reader {
    const search_space *space;
    const search_genotype *genotype;
    ns_status status;
    ns_error *err;
} reader;

static int find(reader *in, const char *name) {
    const int gene = search__gene_find(in->space, name);
    if (gene < 0 && in->status == NS_OK) {
        in->status = ns_fail(in->err, NS_ERR_INPUT, GENE_MISSING, name);
    }
    assert(gene < 0 || in->genotype->choice[gene] < in->space->gene[gene].choice_count);
    return gene;
}

/// 1 when missing: a number that is harmless anywhere.
static double number(reader *in, const char *name) {
    const int gene = find(in, name);
    return gene >= 0 ? in->space->gene[gene].value[in->genotype->choice[gene]] : 1;
}

/// NULL when missing, or no word.
static const char *text(reader *in, const char *name) {
    const int gene = find(in, name);
    return gene >= 0 ? in->space->gene[gene].text[in->genotype->choice[gene]] : NULL;
}

static bool is_word(reader *in, const char *name, const char *word) {
    const char *chosen = text(in, name);
    return chosen != NULL && strcmp(chosen, word) == 0;
}

static int stage_int(reader *in, int stage, const char *part) {
    char name[32];
    return (int)number(in, search__stage_gene_name(stage, part, name));
}

static bool stage_is(reader *in, int stage, const char *part, const char *word) {
    char name[32];
    return is_word(in, search__stage_gene_name(stage, part, name), word);
}

/* ---- the network ----------------------------------------------------------------------------- */

// All maps are (N, C, H, W); functions return the node of their output.

/// What all blocks of a stage have in common.
typedef struct stage {
    nn_activation activation;
    int width, kernel, expansion;
    bool excites; // squeeze-excite
    bool inverted;
} stage;

static nn_shape shape_of(const nn_graph *graph, int node) {
    return node < 0 ? (nn_shape){1, 1, 1} : graph->node[node].shape;
}

static int add_conv_norm(nn_graph *graph, int node, int width, int kernel, int stride, int groups,
                         nn_activation activation) {
    node = nn_add_conv(graph, node, width, kernel, stride, groups, false);
    return nn_add_batch_norm(graph, node, activation);
}

static int add_halving(nn_graph *graph, int node, bool average) {
    return nn_add_pool(graph, average ? NN_OP_AVERAGE_POOL : NN_OP_MAX_POOL, node, 2, 2, 0);
}

static nn_activation read_activation(reader *in) {
    return is_word(in, "activation", "silu")   ? NN_ACTIVATION_SILU
           : is_word(in, "activation", "gelu") ? NN_ACTIVATION_GELU
                                               : NN_ACTIVATION_RELU;
}

static int add_stem(reader *in, const search__layout *layout, nn_graph *graph) {
    const int width = search__stem_width(in->space, layout, number(in, "stem_width"));
    const nn_activation activation = read_activation(in);
    int node = nn_add_input(graph, search__input_of(in->space, in->genotype));
    if (layout->stem_whitens) {
        node = nn_add_conv(graph, node, width, layout->stem_kernel, layout->stem_stride, 1, false);
        node = nn_set_frozen(graph, nn_set_init(graph, node, NN_INIT_WHITENING));
        node = nn_add_activation(graph, node, activation);
    } else {
        node = add_conv_norm(graph, node, width, layout->stem_kernel, layout->stem_stride, 1,
                             activation);
    }
    for (int i = 0; i < layout->stem_pool_count; i++) {
        node = add_halving(graph, node, false);
    }
    return node;
}

static int add_excite(nn_graph *graph, int node, int channels) {
    return nn_add_squeeze_excite(graph, node,
                                 channels / 4 > EXCITE_WIDTH_MIN ? channels / 4 : EXCITE_WIDTH_MIN);
}

static int add_residual_block(nn_graph *graph, int node, const stage *s) {
    int branch = add_conv_norm(graph, node, s->width, s->kernel, 1, 1, s->activation);
    branch = add_conv_norm(graph, branch, s->width, s->kernel, 1, 1, s->activation);
    branch = s->excites ? add_excite(graph, branch, s->width) : branch;
    return nn_add_add(graph, node, branch);
}

static int add_inverted_block(nn_graph *graph, int node, const stage *s, int stride) {
    const nn_shape in = shape_of(graph, node);
    const int wide = in.channels * s->expansion;
    int branch = node;
    if (s->expansion > 1) {
        branch = add_conv_norm(graph, branch, wide, 1, 1, 1, s->activation);
    }
    branch = add_conv_norm(graph, branch, wide, s->kernel, stride, wide, s->activation);
    branch = s->excites ? add_excite(graph, branch, in.channels) : branch;
    branch = add_conv_norm(graph, branch, s->width, 1, 1, 1, NN_ACTIVATION_NONE);
    const nn_shape out = shape_of(graph, branch);
    const bool same =
        out.channels == in.channels && out.height == in.height && out.width == in.width;
    return same ? nn_add_add(graph, node, branch) : branch;
}

static int add_entry(nn_graph *graph, int node, const stage *s, search__shrink shrink) {
    const int stride = shrink == SEARCH__SHRINK_STRIDED ? 2 : 1;
    node = s->inverted ? add_inverted_block(graph, node, s, stride)
                       : add_conv_norm(graph, node, s->width, s->kernel, stride, 1, s->activation);
    const bool pools = shrink == SEARCH__SHRINK_MAX || shrink == SEARCH__SHRINK_AVERAGE;
    return pools ? add_halving(graph, node, shrink == SEARCH__SHRINK_AVERAGE) : node;
}

static int add_stage(reader *in, const search__layout *layout, int index, nn_graph *graph,
                     int node) {
    const stage s = {
        .activation = read_activation(in),
        .width = stage_int(in, index, "width"),
        .kernel = stage_int(in, index, "kernel"),
        .expansion = stage_int(in, index, "expansion"),
        .excites = stage_int(in, index, "squeeze_excite") != 0,
        .inverted = stage_is(in, index, "block", "inverted"),
    };
    const bool residual = stage_is(in, index, "block", "residual");
    const int depth = stage_int(in, index, "depth");
    node = add_entry(graph, node, &s, layout->stage_shrink[index - 1]);
    for (int i = residual ? 0 : 1; i < depth; i++) {
        node = residual     ? add_residual_block(graph, node, &s)
               : s.inverted ? add_inverted_block(graph, node, &s, 1)
                            : add_conv_norm(graph, node, s.width, s.kernel, 1, 1, s.activation);
    }
    return node;
}

static void add_head(reader *in, nn_graph *graph, int node) {
    const bool average = is_word(in, "head_pool", "average");
    node = nn_add_global_pool(graph, average ? NN_OP_GLOBAL_AVERAGE_POOL : NN_OP_GLOBAL_MAX_POOL,
                              node);
    node = nn_add_linear(graph, node, in->space->label_count);
    if (!average) {
        (void)nn_add_scale(graph, node, MAX_POOL_LOGITS);
    }
}

ns_status search__lower(const search_space *space, const search_genotype *genotype, nn_graph *graph,
                        ns_error *err) {
    reader in = {.space = space, .genotype = genotype, .err = err};
    const search__layout layout = search__layout_of(space, genotype);
    nn_graph_init(graph);
    int node = add_stem(&in, &layout, graph);
    for (int i = 1; i <= layout.stage_count; i++) {
        node = add_stage(&in, &layout, i, graph, node);
    }
    add_head(&in, graph, node);
    NS_TRY(in.status);
    const ns_status status = nn_graph_check(graph, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "genotype has no network for %dx%d images", space->image.width,
                        space->image.height);
        return NS_ERR_INPUT;
    }
    return NS_OK;
}

/* ---- the recipe ------------------------------------------------------------------------------ */

static ns_status read_recipe(const search_space *space, const search_genotype *genotype,
                             nn_recipe *out, ns_error *err) {
    reader in = {.space = space, .genotype = genotype, .err = err};
    const int batch_size = search__batch_size(space, number(&in, "batch_size"));
    const nn_shape input = search__input_of(space, genotype);
    *out = nn_recipe_default();
    out->batch_size = batch_size;
    out->rate_peak = (float)(number(&in, "rate_at_256") * batch_size / RATE_BATCH_SIZE);
    out->momentum = MOMENTUM;
    out->weight_decay = (float)number(&in, "weight_decay");
    out->label_smoothing = (float)number(&in, "label_smoothing");
    out->warmup_fraction = (float)number(&in, "warmup_fraction");
    out->augment = (data_augment){
        .mirror = number(&in, "mirror") != 0,
        .shift_px = search__percent_px(input, number(&in, "shift_percent")),
        .cutout_px = search__percent_px(input, number(&in, "cutout_percent")),
        .rotation_degrees = (float)number(&in, "rotation_degrees"),
        .zoom_percent = (float)number(&in, "zoom_percent"),
        .shear_degrees = (float)number(&in, "shear_degrees"),
        .erase_probability = (float)number(&in, "erase_probability"),
        .mixup_alpha = (float)number(&in, "mixup_alpha"),
    };
    const char *average = text(&in, "average");
    const bool balances = search__gene_find(space, "balance") >= 0;
    const char *balance = balances ? text(&in, "balance") : "none";
    NS_TRY(in.status);
    NS_TRY(nn_recipe_set(out, "balance", balance, err));
    return nn_recipe_set(out, "average", average, err);
}

/* ---- both ------------------------------------------------------------------------------------ */

ns_status search_decode(const search_space *space, const search_genotype *genotype,
                        search_candidate *out, ns_error *err) {
    out->genotype = *genotype;
    search_genotype_canonicalise(space, &out->genotype);
    NS_TRY(search__lower(space, &out->genotype, &out->graph, err));
    NS_TRY(read_recipe(space, &out->genotype, &out->recipe, err));
    nn_recipe_print(&out->recipe, out->recipe_text, sizeof out->recipe_text);
    out->counts = nn_graph_count(&out->graph);
    return nn_graph_hash(&out->graph, out->hash, err);
}
