// Points of a space: drawing, changing, canonical form, JSON.
//
// A genotype is one small integer a gene. What it means is in the space; most of this file works
// for any space, also one that a test or benchmark builds by hand. Only canonical form and anchor
// know gene names, and leave alone what they do not find.
//
// Canonical form: of all genotypes that decode to the same network and recipe, the one with the
// lowest choices. A gene is *active* in a genotype when changing it changes the canonical form.

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "search/search_internal.h"

#define MUTATION_TRIES_MAX 1000 // a space of inactive genes alone must not loop for ever

/* ---- drawing and changing -------------------------------------------------------------------- */

void search_genotype_random(const search_space *space, ns_rng *rng, search_genotype *out) {
    *out = (search_genotype){0};
    for (int i = 0; i < space->gene_count; i++) {
        out->choice[i] = (uint8_t)ns_rng_below(rng, (uint64_t)space->gene[i].choice_count);
    }
    search_genotype_canonicalise(space, out);
}

/// Another choice of one random gene, each alternative equally likely.
static void change_one_gene(const search_space *space, ns_rng *rng, search_genotype *genotype) {
    const size_t gene = (size_t)ns_rng_below(rng, (uint64_t)space->gene_count);
    const uint64_t choice_count = (uint64_t)space->gene[gene].choice_count;
    if (choice_count > 1) {
        const uint64_t step = 1 + ns_rng_below(rng, choice_count - 1);
        genotype->choice[gene] = (uint8_t)((genotype->choice[gene] + step) % choice_count);
    }
}

void search_genotype_mutate(const search_space *space, ns_rng *rng, search_genotype *genotype) {
    search_genotype_canonicalise(space, genotype);
    for (int i = 0; i < MUTATION_TRIES_MAX; i++) {
        search_genotype child = *genotype;
        change_one_gene(space, rng, &child);
        search_genotype_canonicalise(space, &child);
        if (memcmp(&child, genotype, sizeof child) != 0) {
            *genotype = child;
            return;
        }
    }
}

/* ---- canonical form -------------------------------------------------------------------------- */

static void zero_gene(search_genotype *genotype, int gene) {
    if (gene >= 0) {
        genotype->choice[gene] = 0;
    }
}

/// Takes the lowest choice that comes to the same as the present one.
static void fold_gene(const search_space *space, search_genotype *genotype, const char *name,
                      int (*effect)(const search_space *space, double value)) {
    const int gene = search__gene_find(space, name);
    if (gene < 0) {
        return;
    }
    const double *value = space->gene[gene].value;
    const int wanted = effect(space, value[genotype->choice[gene]]);
    uint8_t lowest = 0;
    while (effect(space, value[lowest]) != wanted) {
        lowest++;
    }
    genotype->choice[gene] = lowest;
}

void search_genotype_canonicalise(const search_space *space, search_genotype *genotype) {
    assert(space->gene_count <= SEARCH_GENES_MAX);
    memset(genotype->choice + space->gene_count, 0,
           sizeof genotype->choice - (size_t)space->gene_count);
    const search__layout layout = search__layout_of(space, genotype);
    for (int i = 0; i < layout.stage_count; i++) {
        if (!layout.stage_can_pool[i]) {
            zero_gene(genotype, search__stage_gene_find(space, i + 1, "pool"));
        }
    }
    if (!layout.head_pools) {
        zero_gene(genotype, search__gene_find(space, "head_pool"));
    }
    fold_gene(space, genotype, "batch_size", search__batch_size);
    fold_gene(space, genotype, "shift_percent", search__percent_px);
    fold_gene(space, genotype, "cutout_percent", search__percent_px);
}

/* ---- the anchor ------------------------------------------------------------------------------ */

static void choose_number(const search_space *space, search_genotype *genotype, int gene,
                          double value) {
    for (int i = 0; gene >= 0 && i < space->gene[gene].choice_count; i++) {
        if (space->gene[gene].value[i] == value) {
            genotype->choice[gene] = (uint8_t)i;
        }
    }
}

static void choose_word(const search_space *space, search_genotype *genotype, int gene,
                        const char *word) {
    for (int i = 0; gene >= 0 && i < space->gene[gene].choice_count; i++) {
        if (strcmp(space->gene[gene].text[i], word) == 0) {
            genotype->choice[gene] = (uint8_t)i;
        }
    }
}

/// One stage of the anchor: the width doubles each time but the last, where nothing is pooled
/// either; the second stage is a single convolution, the others have one residual block.
static void anchor_stage(const search_space *space, search_genotype *genotype, int stage,
                         bool last) {
    const int doublings = last ? stage - 1 : stage;
    choose_word(space, genotype, search__stage_gene_find(space, stage, "block"),
                stage == 2 ? "plain" : "residual");
    choose_number(space, genotype, search__stage_gene_find(space, stage, "depth"), 1);
    choose_number(space, genotype, search__stage_gene_find(space, stage, "width"), 16 << doublings);
    choose_number(space, genotype, search__stage_gene_find(space, stage, "kernel"), 3);
    choose_word(space, genotype, search__stage_gene_find(space, stage, "pool"),
                last ? "none" : "max");
}

/// 128 once that leaves at least 16 steps an epoch, less for fewer images.
static double anchor_batch_size(const search_space *space) {
    double batch_size = 128;
    while (batch_size > 32 && batch_size * 16 > (double)space->train_count) {
        batch_size /= 2;
    }
    return batch_size;
}

// The network is ResNet-9 (D. Page, "How to train your ResNet", 2018) a quarter as wide, which
// suits minutes on a CPU: stem w, convolution 2w and pool, residual 2w, convolution 4w and pool,
// convolution 4w, residual 4w, global maximum. With this recipe and twice the width it reaches
// 94.2 % on Fashion-MNIST in ten epochs; the decoupled decay of 5e-3 is what frameworks call 5e-4
// at momentum 0.9 (nn/optim.c).
void search_genotype_anchor(const search_space *space, search_genotype *out) {
    static const struct {
        const char *gene;
        double value;
    } GENES[] = {
        {"rate_at_256", 0.4}, {"weight_decay", 0.005},  {"label_smoothing", 0.1},
        {"mirror", 1},        {"shift_percent", 7},     {"cutout_percent", 29},
        {"stem_width", 16},   {"warmup_fraction", 0.2},
    };
    *out = (search_genotype){0};
    for (size_t i = 0; i < NS_COUNT_OF(GENES); i++) {
        choose_number(space, out, search__gene_find(space, GENES[i].gene), GENES[i].value);
    }
    choose_number(space, out, search__gene_find(space, "batch_size"), anchor_batch_size(space));
    const int stage_count = search__stage_count(space);
    for (int stage = 1; stage <= stage_count; stage++) {
        anchor_stage(space, out, stage, stage == stage_count);
    }
    choose_word(space, out, search__gene_find(space, "head_pool"), "max");
    search_genotype_canonicalise(space, out);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

ns_json *search_genotype_to_json(const search_space *space, const search_genotype *genotype) {
    ns_json *json = ns_json_object_new();
    for (int i = 0; i < space->gene_count; i++) {
        const search_gene *gene = &space->gene[i];
        const double value = gene->value[genotype->choice[i]];
        const char *text = gene->text[genotype->choice[i]];
        if (text != NULL) {
            ns_json_set_string(json, gene->name, text);
        } else if (value == rint(value)) {
            ns_json_set_int(json, gene->name, (int64_t)value);
        } else {
            ns_json_set_number(json, gene->name, value);
        }
    }
    return json;
}

/// The gene's range for a sentence: "16, 32, 48".
static void list_choices(const search_gene *gene, char *out, size_t size_bytes) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < gene->choice_count && used < size_bytes; i++) {
        const char *comma = i > 0 ? ", " : "";
        const int length =
            gene->text[i] != NULL
                ? snprintf(out + used, size_bytes - used, "%s%s", comma, gene->text[i])
                : snprintf(out + used, size_bytes - used, "%s%g", comma, gene->value[i]);
        used += (size_t)length;
    }
}

/// Index of the choice that `json` names exactly, or -1.
static int choice_of(const search_gene *gene, const ns_json *json) {
    const double value = ns_json_value_number(json, NAN);
    const char *text = ns_json_value_string(json, NULL);
    for (int i = 0; i < gene->choice_count; i++) {
        const bool found = gene->text[i] != NULL ? text != NULL && strcmp(text, gene->text[i]) == 0
                                                 : value == gene->value[i];
        if (found) {
            return i;
        }
    }
    return -1;
}

static ns_status read_gene(const search_gene *gene, const ns_json *json, uint8_t *choice,
                           ns_error *err) {
    const ns_json *value = ns_json_get(json, gene->name);
    if (value == NULL) {
        return ns_fail(err, NS_ERR_INPUT, "genotype: gene \"%s\" is missing", gene->name);
    }
    const int found = choice_of(gene, value);
    if (found < 0) {
        char choices[256];
        list_choices(gene, choices, sizeof choices);
        return ns_fail(err, NS_ERR_INPUT, "genotype: gene \"%s\" must be one of: %s", gene->name,
                       choices);
    }
    *choice = (uint8_t)found;
    return NS_OK;
}

/// Every key names a gene, and no two the same one.
static ns_status check_keys(const search_space *space, const ns_json *json, ns_error *err) {
    bool seen[SEARCH_GENES_MAX] = {false};
    const size_t count = ns_json_count(json);
    for (size_t i = 0; i < count; i++) {
        const char *key = ns_json_key_at(json, i);
        if (key == NULL) {
            return ns_fail(err, NS_ERR_INPUT, "genotype: not a JSON object of genes");
        }
        const int gene = search__gene_find(space, key);
        if (gene < 0) {
            return ns_fail(err, NS_ERR_INPUT, "genotype: unknown gene \"%.64s\"", key);
        }
        if (seen[gene]) {
            return ns_fail(err, NS_ERR_INPUT, "genotype: gene \"%s\" is given twice", key);
        }
        seen[gene] = true;
    }
    return NS_OK;
}

ns_status search_genotype_from_json(const search_space *space, const ns_json *json,
                                    search_genotype *out, ns_error *err) {
    NS_TRY(check_keys(space, json, err));
    search_genotype read = {0};
    for (int i = 0; i < space->gene_count; i++) {
        NS_TRY(read_gene(&space->gene[i], json, &read.choice[i], err));
    }
    *out = read;
    return NS_OK;
}
