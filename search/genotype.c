// Points of a space: drawing, changing, canonical form, JSON.
//
// A genotype is one small integer a gene. What it means is in the space; most of this file works
// for any space, also one that a test or benchmark builds by hand. Only canonical form knows gene
// names, and leaves spaces without stages alone.
//
// Canonical form: of all genotypes that decode to the same network and recipe, the one with the
// lowest choices. A gene is *active* in a genotype when changing it changes the canonical form.

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "search/space.h"

#define MUTATION_TRIES_MAX 1000 // a space of inactive genes alone must not loop for ever

/* ---- drawing and changing -------------------------------------------------------------------- */

void search_genotype_random(const search_space *space, ns_rng *rng, search_genotype *out) {
    *out = (search_genotype){0};
    for (int i = 0; i < space->gene_count; i++) {
        const search_gene *gene = &space->gene[i];
        const bool kept = gene->anchor_share > 0 && ns_rng_unit(rng) < gene->anchor_share;
        out->choice[i] = kept ? space->anchor.choice[i]
                              : (uint8_t)ns_rng_below(rng, (uint64_t)gene->choice_count);
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

/// Takes the lowest choice that comes to the same as the present one: `effect` is what each does.
static void fold(search_genotype *genotype, int gene, const int *effect) {
    const int wanted = effect[genotype->choice[gene]];
    uint8_t lowest = 0;
    while (effect[lowest] != wanted) {
        lowest++;
    }
    genotype->choice[gene] = lowest;
}

static void fold_batch_size(const search_space *space, search_genotype *genotype) {
    const int gene = search__gene_find(space, "batch_size");
    int effect[SEARCH_CHOICES_MAX] = {0};
    for (int i = 0; i < space->gene[gene].choice_count; i++) {
        effect[i] = search__batch_size(space, space->gene[gene].value[i]);
    }
    fold(genotype, gene, effect);
}

static void fold_percent(const search_space *space, search_genotype *genotype, const char *name) {
    const nn_shape input = search__input_of(space, genotype);
    const int gene = search__gene_find(space, name);
    int effect[SEARCH_CHOICES_MAX] = {0};
    for (int i = 0; i < space->gene[gene].choice_count; i++) {
        effect[i] = search__percent_px(input, space->gene[gene].value[i]);
    }
    fold(genotype, gene, effect);
}

/// Where the space has the gene.
static void fold_input(const search_space *space, search_genotype *genotype) {
    const int gene = search__gene_find(space, "input_percent");
    int effect[SEARCH_CHOICES_MAX] = {0};
    for (int i = 0; gene >= 0 && i < space->gene[gene].choice_count; i++) {
        const nn_shape input = search__input_at(space, space->gene[gene].value[i]);
        effect[i] = input.height * (space->image.width + 1) + input.width;
    }
    if (gene >= 0) {
        fold(genotype, gene, effect);
    }
}

static void fold_stem(const search_space *space, const search__layout *layout,
                      search_genotype *genotype) {
    const int gene = search__gene_find(space, "stem_width");
    int effect[SEARCH_CHOICES_MAX] = {0};
    for (int i = 0; i < space->gene[gene].choice_count; i++) {
        effect[i] = search__stem_width(space, layout, space->gene[gene].value[i]);
    }
    fold(genotype, gene, effect);
    if (!layout->stem_can_whiten) {
        zero_gene(genotype, search__gene_find(space, "stem"));
    }
}

static void fold_stage(const search_space *space, const search__layout *layout, int stage,
                       search_genotype *genotype) {
    if (!layout->stage_can_shrink[stage - 1]) {
        zero_gene(genotype, search__stage_gene_find(space, stage, "pool"));
    }
    if (!search__stage_gene_is(space, genotype, stage, "block", "inverted")) {
        zero_gene(genotype, search__stage_gene_find(space, stage, "expansion"));
    }
    if (search__stage_gene_is(space, genotype, stage, "block", "plain")) {
        zero_gene(genotype, search__stage_gene_find(space, stage, "squeeze_excite"));
    }
}

void search_genotype_canonicalise(const search_space *space, search_genotype *genotype) {
    assert(space->gene_count <= SEARCH_GENES_MAX);
    memset(genotype->choice + space->gene_count, 0,
           sizeof genotype->choice - (size_t)space->gene_count);
    if (space->stage_count == 0) {
        return;
    }
    fold_input(space, genotype);
    const search__layout layout = search__layout_of(space, genotype);
    fold_stem(space, &layout, genotype);
    for (int stage = 1; stage <= layout.stage_count; stage++) {
        fold_stage(space, &layout, stage, genotype);
    }
    if (!layout.head_pools) {
        zero_gene(genotype, search__gene_find(space, "head_pool"));
    }
    fold_batch_size(space, genotype);
    fold_percent(space, genotype, "shift_percent");
    fold_percent(space, genotype, "cutout_percent");
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

int search__choice_find(const search_gene *gene, const ns_json *value) {
    const double number = ns_json_value_number(value, NAN);
    const char *text = ns_json_value_string(value, NULL);
    for (int i = 0; i < gene->choice_count; i++) {
        const bool found = gene->text[i] != NULL ? text != NULL && strcmp(text, gene->text[i]) == 0
                                                 : number == gene->value[i];
        if (found) {
            return i;
        }
    }
    return -1;
}

/// What a genotype means that does not name the gene: one from before there was "input_percent", or
/// from smaller images, takes images as they are. -1: nothing.
static int choice_of_silence(const search_gene *gene) {
    for (int i = 0; strcmp(gene->name, "input_percent") == 0 && i < gene->choice_count; i++) {
        if (gene->value[i] == 100) {
            return i;
        }
    }
    return -1;
}

static ns_status read_gene(const search_gene *gene, const ns_json *json, uint8_t *choice,
                           ns_error *err) {
    const ns_json *value = ns_json_get(json, gene->name);
    const int silence = choice_of_silence(gene);
    if (value == NULL && silence >= 0) {
        *choice = (uint8_t)silence;
        return NS_OK;
    }
    if (value == NULL) {
        return ns_fail(err, NS_ERR_INPUT, "genotype: gene \"%s\" is missing", gene->name);
    }
    const int found = search__choice_find(gene, value);
    if (found < 0) {
        char choices[256];
        list_choices(gene, choices, sizeof choices);
        return ns_fail(err, NS_ERR_INPUT, "genotype: gene \"%s\" must be one of: %s", gene->name,
                       choices);
    }
    *choice = (uint8_t)found;
    return NS_OK;
}

ns_status search__gene_keys_check(const search_space *space, const ns_json *json, const char *what,
                                  ns_error *err) {
    bool seen[SEARCH_GENES_MAX] = {false};
    if (!ns_json_is_object(json)) {
        return ns_fail(err, NS_ERR_INPUT, "%s: not a JSON object of genes", what);
    }
    for (size_t i = 0; i < ns_json_count(json); i++) {
        const char *key = ns_json_key_at(json, i);
        const int gene = search__gene_find(space, key);
        if (gene < 0) {
            return ns_fail(err, NS_ERR_INPUT, "%s: unknown gene \"%.64s\"", what, key);
        }
        if (seen[gene]) {
            return ns_fail(err, NS_ERR_INPUT, "%s: gene \"%s\" is given twice", what, key);
        }
        seen[gene] = true;
    }
    return NS_OK;
}

ns_status search_genotype_from_json(const search_space *space, const ns_json *json,
                                    search_genotype *out, ns_error *err) {
    NS_TRY(search__gene_keys_check(space, json, "genotype", err));
    search_genotype read = {0};
    for (int i = 0; i < space->gene_count; i++) {
        NS_TRY(read_gene(&space->gene[i], json, &read.choice[i], err));
    }
    *out = read;
    return NS_OK;
}

/// Makes `json` the gene's only choice.
static ns_status admit(search_gene *gene, const ns_json *json, ns_error *err) {
    const search__rule *rule = search__rule_of(gene->name);
    const double number = ns_json_value_number(json, NAN);
    const char *text = ns_json_value_string(json, "");
    const char *word = rule != NULL ? search__rule_has_word(rule, text) : NULL;
    if (rule == NULL || (word == NULL && !search__rule_has_number(rule, number))) {
        char legal[256] = "what the space offers";
        if (rule != NULL) {
            search__rule_describe(rule, legal, sizeof legal);
        }
        return ns_fail(err, NS_ERR_INPUT, "genotype: gene \"%s\" must be %s", gene->name, legal);
    }
    gene->choice_count = 1;
    gene->value[0] = word != NULL ? 0 : number;
    gene->text[0] = word;
    return NS_OK;
}

ns_status search_genotype_from_hand(search_space *space, const ns_json *json, search_genotype *out,
                                    ns_error *err) {
    NS_TRY(search__gene_keys_check(space, json, "genotype", err));
    for (size_t i = 0; i < ns_json_count(json); i++) {
        const ns_json *value = ns_json_at(json, i);
        const int gene = search__gene_find(space, ns_json_key_at(json, i));
        int choice = search__choice_find(&space->gene[gene], value);
        if (choice < 0) {
            NS_TRY(admit(&space->gene[gene], value, err));
            choice = 0;
        }
        space->anchor.choice[gene] = (uint8_t)choice;
    }
    search_genotype_anchor(space, out);
    return NS_OK;
}
