// How many points a space has, and all of them one after another: for spaces so small that a search
// may come to their end.
//
// A point is a canonical genotype. Canonical form looks at few genes at a time: the stem's, those
// of one stage that hang on its block, all that shrink maps, and every other gene by itself. Such
// groups are counted by trying all their choices, and their counts multiply. The size of the network's
// input decides in many of them, so that is done for each of its choices.

#include <string.h>

#include "search/space.h"

/// Genes of one number decide about each other; those with a number of their own about nothing else.
static int group_of(const search_space *space, int gene) {
    enum { STEM = -1, SHRINK = -2, BLOCK = -10 }; // a block's group: BLOCK - stage
    const char *name = space->gene[gene].name;
    if (space->stage_count == 0) {
        return gene;
    }
    if (strcmp(name, "stem") == 0 || strcmp(name, "stem_width") == 0) {
        return STEM;
    }
    if (strcmp(name, "head_pool") == 0) {
        return SHRINK;
    }
    for (int stage = 1; stage <= space->stage_count; stage++) {
        if (gene == search__stage_gene_find(space, stage, "pool")) {
            return SHRINK;
        }
        if (gene == search__stage_gene_find(space, stage, "block") ||
            gene == search__stage_gene_find(space, stage, "expansion") ||
            gene == search__stage_gene_find(space, stage, "squeeze_excite")) {
            return BLOCK - stage;
        }
    }
    return gene;
}

static bool is_canonical(const search_space *space, const search_genotype *genotype) {
    search_genotype canonical = *genotype;
    search_genotype_canonicalise(space, &canonical);
    return memcmp(&canonical, genotype, sizeof canonical) == 0;
}

/// The next of all vectors over the genes in `gene`, the last turning fastest; false behind the last.
static bool next_vector(const search_space *space, const int *gene, int count,
                        search_genotype *genotype) {
    for (int i = count - 1; i >= 0; i--) {
        uint8_t *choice = &genotype->choice[gene[i]];
        if (++*choice < space->gene[gene[i]].choice_count) {
            return true;
        }
        *choice = 0;
    }
    return false;
}

/// Canonical choices of the genes of one group, which are at 0 in `genotype`, given any others but the
/// input's.
static double count_group(const search_space *space, const int *group, int which,
                          search_genotype genotype) {
    int gene[SEARCH_GENES_MAX] = {0};
    int count = 0;
    for (int i = 0; i < space->gene_count; i++) {
        if (group[i] == which) {
            gene[count++] = i;
        }
    }
    double canonical_count = 0;
    do {
        search_genotype canonical = genotype;
        search_genotype_canonicalise(space, &canonical);
        bool same = true;
        for (int i = 0; i < count; i++) {
            same = same && canonical.choice[gene[i]] == genotype.choice[gene[i]];
        }
        canonical_count += same ? 1 : 0;
    } while (next_vector(space, gene, count, &genotype));
    return canonical_count;
}

/// Of all genes but the input's, `input`, whose choice `genotype` has; all else in it is 0.
static double count_at(const search_space *space, const int *group, int input,
                       const search_genotype *genotype) {
    double product = 1;
    for (int i = 0; i < space->gene_count; i++) {
        int first = 0; // of the same group
        while (group[first] != group[i]) {
            first++;
        }
        if (first == i && i != input) {
            product *= count_group(space, group, group[i], *genotype);
        }
    }
    return product;
}

double search_space_point_count(const search_space *space) {
    const int input = space->stage_count > 0 ? search__gene_find(space, "input_percent") : -1;
    int group[SEARCH_GENES_MAX] = {0};
    double sum = 0;
    for (int i = 0; i < space->gene_count; i++) {
        group[i] = group_of(space, i);
    }
    search_genotype genotype = {0};
    do {
        search_genotype canonical = genotype;
        search_genotype_canonicalise(space, &canonical);
        if (input < 0 || canonical.choice[input] == genotype.choice[input]) {
            sum += count_at(space, group, input, &genotype);
        }
    } while (input >= 0 && next_vector(space, &input, 1, &genotype));
    return sum;
}

bool search_genotype_next(const search_space *space, search_genotype *genotype) {
    int all[SEARCH_GENES_MAX] = {0};
    for (int i = 0; i < space->gene_count; i++) {
        all[i] = i;
    }
    while (next_vector(space, all, space->gene_count, genotype)) {
        if (is_canonical(space, genotype)) {
            return true;
        }
    }
    return false;
}
