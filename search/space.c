// The stage-based space: which networks and recipes can be proposed for images of one size.
//
//   image -> input -> stem -> stage 1 -> ... -> stage 3 or 4 -> head -> logits
//
//   input   the image, or where its sides are above 40 px, as the gene `input_percent` says, the image
//           shrunk to so much of its sides (data_shrinker): a network on images of half the sides sees
//           about four times as many in the same time. What follows goes by the size of the input
//   stem    one convolution; stride 1 for sides up to 40 px, 2 up to 80, 4 above, so that stages
//           see 20 to 80 px; images that are still larger are pooled down to that. Ordinary, or
//           whitening: frozen filters made of the images' own statistics (nn/whiten.c)
//   stage   entry to the stage's width, shrinking the map to half its side -> body
//           plain:    depth counts all convolutions, the entry included
//           residual: the entry is a convolution; depth counts blocks of two convolutions around
//                     which the input is added (He et al. 2016)
//           inverted: depth counts blocks, the entry included, of a 1x1 convolution to `expansion`
//                     times the width, a depthwise one and a 1x1 one back, around which the input
//                     is added where its shape is the same (MobileNetV2, Sandler et al. 2018)
//           The map shrinks by a pool behind the entry, or because the entry has stride 2.
//           Residual and inverted blocks may end in squeeze-excite (Hu et al. 2018; inverted ones
//           before the last convolution, as MnasNet, Tan et al. 2019).
//   head    global pool -> linear
//
// Every convolution is followed by batch norm and the network's activation, but for the last of an
// inverted block, which has none, and the whitening stem, which needs no batch norm. Every stage
// shrinks its map unless its pool is "none" (the last stage's may be), and none does once the map is
// a single pixel high or wide (search/layout.c). There, and in a head over a single pixel, the kind
// of pool means nothing. So every genotype is a legal network for every image. Images above 80 px
// have four stages.
//
// Widths are multiples of 16, the block that the fastest kernels work in; a stage offers from half
// to four times the anchor's (search/anchor.c). Depth stops at 3: within hours on a CPU, wider nets
// win. All choices stand in search/gene_rules.c; a file may set others (search/space_file.c).
//
// Recipe genes are chosen so that each means the same whatever the others are: the rate is that of
// a batch of 256 and scales linearly with the batch (Goyal et al. 2017); shift and cutout are
// percents of the input's shorter side. One of them, `balance`, is there only where some labels have
// at least three times the train images of others: class weights in the loss, or balanced sampling.

#include <assert.h>
#include <math.h>
#include <string.h>

#include "search/space.h"

/* ---- genes ----------------------------------------------------------------------------------- */

static void add_gene(search_space *space, const search__rule *rule, int stage) {
    assert(space->gene_count < SEARCH_GENES_MAX);
    search_gene *gene = &space->gene[space->gene_count++];
    if (stage > 0) {
        (void)search__stage_gene_name(stage, rule->name, gene->name);
    } else {
        (void)snprintf(gene->name, sizeof gene->name, "%s", rule->name);
    }
    gene->scale = rule->scale;
    gene->recipe = rule->of == SEARCH__OF_RECIPE;
    gene->anchor_share = rule->anchor_share;
    int count = 0;
    if (rule->legal_words != NULL) {
        const char *const *word = search__rule_words(rule, stage == space->stage_count);
        for (; word[count] != NULL; count++) {
            gene->text[count] = word[count];
        }
    } else {
        const bool width = stage > 0 && strcmp(rule->name, "width") == 0;
        const double unit = width ? search__anchor_width(space, stage) : 1;
        for (; rule->numbers[count] >= 0; count++) {
            gene->value[count] = unit * rule->numbers[count];
        }
    }
    assert(count <= SEARCH_CHOICES_MAX);
    gene->choice_count = count;
}

/// The genes of one stage stand together, where the first of them has its row. Returns how many
/// rows that were.
static int add_stages(search_space *space, int first) {
    int count = 0;
    for (int stage = 1; stage <= space->stage_count; stage++) {
        const search__rule *rule = NULL;
        for (count = 0;
             (rule = search__rule_at(first + count)) != NULL && rule->of == SEARCH__OF_STAGE;
             count++) {
            add_gene(space, rule, stage);
        }
    }
    return count;
}

/// What to do about rare labels is a question only where there are some, and how small images may
/// become only where they are large.
static bool is_wanted(const search__rule *rule, const data_info *info) {
    if (strcmp(rule->name, "input_percent") == 0) {
        return info->height > SEARCH__INPUT_PX_MAX && info->width > SEARCH__INPUT_PX_MAX;
    }
    return strcmp(rule->name, "balance") != 0 || info->train_imbalance >= SEARCH__IMBALANCE_MIN;
}

void search_space_default(const data_info *info, search_space *out) {
    *out = (search_space){
        .name = "default",
        .image = {.channels = info->channels, .height = info->height, .width = info->width},
        .label_count = info->label_count,
        .train_count = info->split_count[DATA_TRAIN],
    };
    out->stage_count = search__stage_count(out->image);
    const search__rule *rule = NULL;
    for (int row = 0; (rule = search__rule_at(row)) != NULL;) {
        if (rule->of == SEARCH__OF_STAGE) {
            row += add_stages(out, row);
        } else if (!is_wanted(rule, info)) {
            row++;
        } else {
            add_gene(out, rule, 0);
            row++;
        }
    }
    search__anchor_make(out, &out->anchor);
}

/* ---- looking at genes ------------------------------------------------------------------------ */

const char *search__stage_gene_name(int stage, const char *part, char out[32]) {
    (void)snprintf(out, 32, "stage%d_%s", stage, part);
    return out;
}

/// The logarithm of a choice on a LOG scale, relative to the last's.
static double log_of(const search_gene *gene, int choice) {
    const double *value = gene->value;
    const int last = gene->choice_count - 1;
    if (value[choice] > 0) {
        return log(value[choice] / value[last]);
    }
    const double lowest = last > 0 ? log(value[1] / value[last]) : 0;
    return last > 1 ? lowest + lowest / (last - 1) : -1;
}

double search_gene_position(const search_gene *gene, int choice) {
    const double *value = gene->value;
    const int last = gene->choice_count - 1;
    if (gene->scale == SEARCH_SCALE_NONE || last < 1) {
        return 0;
    }
    return gene->scale == SEARCH_SCALE_LOG ? 1 - log_of(gene, choice) / log_of(gene, 0)
                                           : (value[choice] - value[0]) / (value[last] - value[0]);
}

int search__gene_find(const search_space *space, const char *name) {
    for (int i = 0; i < space->gene_count; i++) {
        if (strcmp(space->gene[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

int search__stage_gene_find(const search_space *space, int stage, const char *part) {
    char name[32];
    return search__gene_find(space, search__stage_gene_name(stage, part, name));
}

bool search__is_width(const search_gene *gene) {
    const char *end = strrchr(gene->name, '_');
    return end != NULL && strcmp(end, "_width") == 0;
}

bool search__gene_is(const search_space *space, const search_genotype *genotype, const char *name,
                     const char *word) {
    const int gene = search__gene_find(space, name);
    const char *text = gene >= 0 ? space->gene[gene].text[genotype->choice[gene]] : NULL;
    return text != NULL && strcmp(text, word) == 0;
}

bool search__stage_gene_is(const search_space *space, const search_genotype *genotype, int stage,
                           const char *part, const char *word) {
    char name[32];
    return search__gene_is(space, genotype, search__stage_gene_name(stage, part, name), word);
}
