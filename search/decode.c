// From a genotype to the network and recipe that it names (the picture is in search/space.c).
//
// Genes are read by name, never by position, so that a space may grow genes without touching this
// file's order. What is fixed rather than searched: ReLU, batch norm after every convolution,
// momentum 0.9, and the factor on the logits: a maximum over the map is several times a mean, and a
// quarter of it keeps the first steps' softmax from saturating (as in the DAWNBench ResNet-9).

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "search/search_internal.h"

#define MOMENTUM        0.9F
#define MAX_POOL_LOGITS 0.25F
#define RATE_BATCH_SIZE 256.0
#define GENE_MISSING    "genotype: this space has no gene \"%s\", which a network needs"

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

/// Whether a gene's choice is `word`; false when missing.
static bool is_word(reader *in, const char *name, const char *word) {
    const int gene = find(in, name);
    const char *text = gene >= 0 ? in->space->gene[gene].text[in->genotype->choice[gene]] : NULL;
    return text != NULL && strcmp(text, word) == 0;
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

static int add_conv_norm_relu(nn_graph *graph, int node, int width, int kernel, int stride) {
    node = nn_add_conv(graph, node, width, kernel, stride, 1, false);
    return nn_add_batch_norm(graph, node, NN_ACTIVATION_RELU);
}

static int add_halving(nn_graph *graph, int node, bool average) {
    return nn_add_pool(graph, average ? NN_OP_AVERAGE_POOL : NN_OP_MAX_POOL, node, 2, 2, 0);
}

static int add_stem(reader *in, const search__layout *layout, nn_graph *graph) {
    int node = nn_add_input(graph, in->space->image);
    node = add_conv_norm_relu(graph, node, (int)number(in, "stem_width"), layout->stem_kernel,
                              layout->stem_stride);
    for (int i = 0; i < layout->stem_pool_count; i++) {
        node = add_halving(graph, node, false);
    }
    return node;
}

static int add_residual_block(nn_graph *graph, int node, int width, int kernel) {
    int branch = add_conv_norm_relu(graph, node, width, kernel, 1);
    branch = add_conv_norm_relu(graph, branch, width, kernel, 1);
    return nn_add_add(graph, node, branch);
}

static int add_stage(reader *in, const search__layout *layout, int stage, nn_graph *graph,
                     int node) {
    const int width = stage_int(in, stage, "width");
    const int kernel = stage_int(in, stage, "kernel");
    const int depth = stage_int(in, stage, "depth");
    const bool residual = stage_is(in, stage, "block", "residual");
    const bool average = stage_is(in, stage, "pool", "average");
    node = add_conv_norm_relu(graph, node, width, kernel, 1);
    if (layout->stage_pools[stage - 1]) {
        node = add_halving(graph, node, average);
    }
    for (int i = residual ? 0 : 1; i < depth; i++) {
        node = residual ? add_residual_block(graph, node, width, kernel)
                        : add_conv_norm_relu(graph, node, width, kernel, 1);
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
    for (int stage = 1; stage <= layout.stage_count; stage++) {
        node = add_stage(&in, &layout, stage, graph, node);
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
    *out = nn_recipe_default();
    out->batch_size = batch_size;
    out->rate_peak = (float)(number(&in, "rate_at_256") * batch_size / RATE_BATCH_SIZE);
    out->momentum = MOMENTUM;
    out->weight_decay = (float)number(&in, "weight_decay");
    out->label_smoothing = (float)number(&in, "label_smoothing");
    out->warmup_fraction = (float)number(&in, "warmup_fraction");
    out->augment = (data_augment){
        .mirror = number(&in, "mirror") != 0,
        .shift_px = search__percent_px(space, number(&in, "shift_percent")),
        .cutout_px = search__percent_px(space, number(&in, "cutout_percent")),
    };
    return in.status;
}

/// Appends " name=value" unless the value is 0: no such change.
static void print_change(char out[SEARCH_RECIPE_TEXT_MAX], const char *name, float value) {
    const size_t length = strlen(out);
    if (value != 0.0F) {
        (void)snprintf(out + length, SEARCH_RECIPE_TEXT_MAX - length, " %s=%.6g", name,
                       (double)value);
    }
}

/// What a recipe comes to, so that genotypes of equal effect have equal texts.
static void print_recipe(const nn_recipe *recipe, char out[SEARCH_RECIPE_TEXT_MAX]) {
    const data_augment *augment = &recipe->augment;
    (void)snprintf(out, SEARCH_RECIPE_TEXT_MAX,
                   "batch=%d rate=%.6g momentum=%.6g decay=%.6g smoothing=%.6g warmup=%.6g "
                   "mirror=%d shift=%d cutout=%d",
                   recipe->batch_size, (double)recipe->rate_peak, (double)recipe->momentum,
                   (double)recipe->weight_decay, (double)recipe->label_smoothing,
                   (double)recipe->warmup_fraction, augment->mirror ? 1 : 0, augment->shift_px,
                   augment->cutout_px);
    print_change(out, "rotation", augment->rotation_degrees);
    print_change(out, "zoom", augment->zoom_percent);
    print_change(out, "shear", augment->shear_degrees);
    print_change(out, "erase", augment->erase_probability);
    print_change(out, "mixup", augment->mixup_alpha);
}

/* ---- both ------------------------------------------------------------------------------------ */

ns_status search_decode(const search_space *space, const search_genotype *genotype,
                        search_candidate *out, ns_error *err) {
    out->genotype = *genotype;
    search_genotype_canonicalise(space, &out->genotype);
    NS_TRY(search__lower(space, &out->genotype, &out->graph, err));
    NS_TRY(read_recipe(space, &out->genotype, &out->recipe, err));
    print_recipe(&out->recipe, out->recipe_text);
    out->counts = nn_graph_count(&out->graph);
    return nn_graph_hash(&out->graph, out->hash, err);
}
