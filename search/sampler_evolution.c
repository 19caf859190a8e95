// Aging evolution (Real et al. 2019, "Regularized Evolution for Image Classifier Architecture
// Search").
//
// The population is the last 10 finished trials: a good one dies of age like any other, so that one
// lucky measurement cannot rule the search for ever. A parent is the best of 3 drawn from it, a
// child differs from it in one active gene. Because the population is read off the history, there
// is no state: any process can propose, in any order, after any crash. Trials still running are no
// parents.
//
// Two changes for searches of a dozen trials. The first proposals, until 4 trials have finished,
// are not blind: of five random networks the most expensive is taken, FLOPs being the best free
// predictor of accuracy, as long as it costs at most twice the anchor; a trial is granted seconds,
// not epochs, and a giant sees too few images in them. And a child that was proposed before is
// mutated on, because the same point twice is a trial lost.

#include <math.h>
#include <string.h>

#include "search/search_internal.h"

#define POPULATION_COUNT   10
#define TOURNAMENT_COUNT   3
#define WARMUP_COUNT       4
#define FIRST_DRAW_COUNT   5
#define FIRST_TRIES_MAX    200 // draws that cost too much do not count, up to here
#define COST_OF_ANCHOR_MAX 2.0
#define REPEATS_MAX        16

/* ---- the first proposals --------------------------------------------------------------------- */

/// FLOPs of a training step; NaN where the space is none of networks.
static double train_flops(const search_space *space, const search_genotype *genotype) {
    nn_graph graph;
    return search__lower(space, genotype, &graph, NULL) == NS_OK
               ? (double)nn_graph_count(&graph).train_flops
               : NAN;
}

static double flops_cap(const search_space *space) {
    search_genotype anchor;
    search_genotype_anchor(space, &anchor);
    return COST_OF_ANCHOR_MAX * train_flops(space, &anchor);
}

/// Whether `flops` suits better than `best`: the most below the cap, else the least above it.
static bool suits_better(double flops, double best, double cap) {
    return best > cap ? flops < best : flops <= cap && flops > best;
}

/// In a space of other things than networks all costs are NaN, and the first draw stays.
static void propose_first(const search_space *space, ns_rng *rng, search_genotype *out) {
    const double cap = flops_cap(space);
    search_genotype_random(space, rng, out);
    double best = train_flops(space, out);
    int drawn = best <= cap ? 1 : 0;
    for (int i = 1; i < FIRST_TRIES_MAX && drawn < FIRST_DRAW_COUNT; i++) {
        search_genotype draw;
        search_genotype_random(space, rng, &draw);
        const double flops = train_flops(space, &draw);
        drawn += flops <= cap ? 1 : 0;
        if (suits_better(flops, best, cap)) {
            *out = draw;
            best = flops;
        }
    }
}

/* ---- the population -------------------------------------------------------------------------- */

static bool is_finished(const search_observation *trial) {
    return (trial->state == RESULTS_COMPLETE || trial->state == RESULTS_PRUNED) &&
           !isnan(trial->val_accuracy);
}

/// The youngest finished trials; returns how many.
static size_t find_population(const search_history *history,
                              const search_observation *member[POPULATION_COUNT]) {
    size_t count = 0;
    for (size_t i = history->count; i > 0 && count < POPULATION_COUNT; i--) {
        if (is_finished(&history->trial[i - 1])) {
            member[count++] = &history->trial[i - 1];
        }
    }
    return count;
}

static const search_observation *find_parent(const search_observation *const *member, size_t count,
                                             ns_rng *rng) {
    const search_observation *best = member[ns_rng_below(rng, count)];
    for (int i = 1; i < TOURNAMENT_COUNT; i++) {
        const search_observation *rival = member[ns_rng_below(rng, count)];
        best = rival->val_accuracy > best->val_accuracy ? rival : best;
    }
    return best;
}

static bool was_proposed(const search_history *history, const search_genotype *genotype) {
    for (size_t i = 0; i < history->count; i++) {
        if (memcmp(&history->trial[i].genotype, genotype, sizeof *genotype) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- propose --------------------------------------------------------------------------------- */

void search__propose_evolution(const search_space *space, const search_history *history,
                               uint64_t seed, uint64_t number, search_genotype *out) {
    ns_rng rng = ns_rng_stream(seed, number, "sampler evolution");
    const search_observation *member[POPULATION_COUNT];
    const size_t count = find_population(history, member);
    if (count < WARMUP_COUNT) {
        propose_first(space, &rng, out);
        return;
    }
    *out = find_parent(member, count, &rng)->genotype;
    search_genotype_mutate(space, &rng, out);
    for (int i = 0; i < REPEATS_MAX && was_proposed(history, out); i++) {
        search_genotype_mutate(space, &rng, out);
    }
}
