// Aging evolution (Real et al. 2019, "Regularized Evolution for Image Classifier Architecture
// Search").
//
// The population is the last 10 points that were measured: a good one dies of age like any other,
// so that one lucky measurement cannot rule the search for ever. A parent is the best of 3 drawn
// from it, a child differs from it in one active gene. Because the population is read off the
// history, there is no state: any process can propose, in any order, after any crash. Trials still
// running are no parents.
//
// Two changes for searches of a dozen trials. The first proposals, until 4 points are measured, are
// not blind (search/sampler_first.c). And a child that was proposed before is mutated on, because
// the same point twice is a trial lost.

#include <math.h>

#include "search/sampler.h"

#define POPULATION_COUNT 10
#define TOURNAMENT_COUNT 3
#define WARMUP_COUNT     4
#define REPEATS_MAX      16

typedef struct population {
    const search__point *member[POPULATION_COUNT]; // the youngest first
    size_t count;
} population;

/// The age of a point is that of its last trial: a promotion is a second youth.
static population find_population(const search__digest *digest) {
    population out = {.count = 0};
    for (size_t i = 0; i < digest->count; i++) {
        const search__point *point = &digest->point[i];
        if (isnan(point->value) ||
            (out.count == POPULATION_COUNT && point->number < out.member[out.count - 1]->number)) {
            continue;
        }
        size_t at = out.count < POPULATION_COUNT ? out.count++ : out.count - 1;
        for (; at > 0 && out.member[at - 1]->number < point->number; at--) {
            out.member[at] = out.member[at - 1];
        }
        out.member[at] = point;
    }
    return out;
}

static const search__point *find_parent(const population *among, ns_rng *rng) {
    const search__point *best = among->member[ns_rng_below(rng, among->count)];
    for (int i = 1; i < TOURNAMENT_COUNT; i++) {
        const search__point *rival = among->member[ns_rng_below(rng, among->count)];
        best = rival->value > best->value ? rival : best;
    }
    return best;
}

static ns_status mutate_parent(const search_task *task, const search__digest *digest,
                               uint64_t retry, ns_rng *rng, search_genotype *out, ns_error *err) {
    (void)retry; // a mutation is blind enough
    (void)err;
    const population alive = find_population(digest);
    *out = find_parent(&alive, rng)->genotype;
    search_genotype_mutate(task->space, rng, out);
    for (int i = 0; i < REPEATS_MAX && search__digest_knows(digest, out); i++) {
        search_genotype_mutate(task->space, rng, out);
    }
    return NS_OK;
}

ns_status search__propose_evolution(const search_task *task, const search_history *history,
                                    uint64_t seed, uint64_t number, search_genotype *out,
                                    ns_error *err) {
    static const search__learner learner = {"sampler evolution", WARMUP_COUNT, mutate_parent};
    return search__propose_learnt(&learner, task, history, seed, number, out, err);
}
