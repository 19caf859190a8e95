// The anchor: the genotype that is always tried first, and around which others are drawn.
//
// The network is ResNet-9 (D. Page, "How to train your ResNet", 2018) a quarter as wide, which
// suits minutes on a CPU: stem w, convolution 2w and pool, residual 2w, convolution 4w and pool,
// convolution 4w, residual 4w, global maximum. With this recipe and twice the width it reaches
// 94.2 % on Fashion-MNIST in ten epochs; the decoupled decay of 5e-3 is what frameworks call 5e-4
// at momentum 0.9 (nn/optim.c).
//
// A space need not have its choices: the nearest ones are taken then, by the gene's own scale.

#include <math.h>
#include <string.h>

#include "search/space.h"

#define LEAST 1e-9 // stands for 0 where distances are ratios

static double distance(const search_gene *gene, double left, double right) {
    return gene->scale == SEARCH_SCALE_LOG ? fabs(log(fmax(left, LEAST) / fmax(right, LEAST)))
                                           : fabs(left - right);
}

static void choose_number(const search_space *space, search_genotype *genotype, int gene_index,
                          double value) {
    const search_gene *gene = &space->gene[gene_index];
    int nearest = 0;
    for (int i = 1; i < gene->choice_count; i++) {
        if (distance(gene, gene->value[i], value) < distance(gene, gene->value[nearest], value)) {
            nearest = i;
        }
    }
    genotype->choice[gene_index] = (uint8_t)nearest;
}

/// The first choice where `word` is none.
static void choose_word(const search_space *space, search_genotype *genotype, int gene_index,
                        const char *word) {
    const search_gene *gene = &space->gene[gene_index];
    genotype->choice[gene_index] = 0;
    for (int i = 0; i < gene->choice_count; i++) {
        if (strcmp(gene->text[i], word) == 0) {
            genotype->choice[gene_index] = (uint8_t)i;
        }
    }
}

int search__anchor_width(const search_space *space, int stage) {
    return 16 << (stage == space->stage_count ? stage - 1 : stage);
}

/// One stage of the anchor: the width doubles each time but the last, where nothing shrinks
/// either; the second stage is a single convolution, the others have one residual block. What is
/// not named here is off, and a choice of 0.
static void choose_stage(const search_space *space, search_genotype *genotype, int stage) {
    choose_word(space, genotype, search__stage_gene_find(space, stage, "block"),
                stage == 2 ? "plain" : "residual");
    choose_number(space, genotype, search__stage_gene_find(space, stage, "depth"), 1);
    choose_number(space, genotype, search__stage_gene_find(space, stage, "width"),
                  search__anchor_width(space, stage));
    choose_number(space, genotype, search__stage_gene_find(space, stage, "kernel"), 3);
    choose_number(space, genotype, search__stage_gene_find(space, stage, "expansion"), 4);
    choose_number(space, genotype, search__stage_gene_find(space, stage, "squeeze_excite"), 0);
    choose_word(space, genotype, search__stage_gene_find(space, stage, "pool"),
                stage == space->stage_count ? "none" : "max");
}

/// 128 once that leaves at least 16 steps an epoch, less for fewer images.
static double batch_size(const search_space *space) {
    double size = 128;
    while (size > 32 && size * 16 > (double)space->train_count) {
        size /= 2;
    }
    return size;
}

void search__anchor_make(const search_space *space, search_genotype *out) {
    static const struct {
        const char *gene;
        double value;
        const char *word;
    } GENES[] = {
        {"input_percent", 100, NULL}, // where the space has it
        {"stem", 0, "ordinary"},
        {"stem_width", 16, NULL},
        {"activation", 0, "relu"},
        {"head_pool", 0, "max"},
        {"rate_at_256", 0.4, NULL},
        {"weight_decay", 0.005, NULL},
        {"label_smoothing", 0.1, NULL},
        {"warmup_fraction", 0.2, NULL},
        {"mirror", 1, NULL},
        {"shift_percent", 7, NULL},
        {"cutout_percent", 29, NULL},
        {"erase_probability", 0, NULL},
        {"rotation_degrees", 0, NULL},
        {"zoom_percent", 0, NULL},
        {"shear_degrees", 0, NULL},
        {"mixup_alpha", 0, NULL},
        {"average", 0, "none"},
        {"balance", 0, "none"}, // where the space has it
    };
    *out = (search_genotype){0};
    for (size_t i = 0; i < NS_COUNT_OF(GENES); i++) {
        const int gene = search__gene_find(space, GENES[i].gene);
        if (gene < 0) {
            continue;
        }
        if (GENES[i].word != NULL) {
            choose_word(space, out, gene, GENES[i].word);
        } else {
            choose_number(space, out, gene, GENES[i].value);
        }
    }
    choose_number(space, out, search__gene_find(space, "batch_size"), batch_size(space));
    for (int stage = 1; stage <= space->stage_count; stage++) {
        choose_stage(space, out, stage);
    }
}

void search_genotype_anchor(const search_space *space, search_genotype *out) {
    *out = space->anchor;
    search_genotype_canonicalise(space, out);
}
