// Surrogate: a model of the values so far proposes where improvement is most expected.
//
// Bayesian optimisation over genotypes: a Gaussian process (search/gp.c) is fitted to the digest of
// the history; of some hundred candidates, most of them mutations of the best points, the one of the
// highest expected improvement over the best posterior mean is taken (Jones et al. 1998; mutated
// candidates as in White et al. 2021, "BANANAS"), and improved by changing single genes as long as
// that helps. The best *mean*, not the best value: noise makes some measurement look better than any
// network is.
//
// A proposal that was refused - too large, illegal - is asked for again with another number; the
// history does not know of it. Each retry draws from half as many candidates, so that greed leads to
// the same point only so often, until single mutations remain.
//
// The model sees SEARCH__GP_MAX points at most: half of them the best, half the youngest. So a
// proposal costs the same at 1,000 trials and, but for reading the history, at 100,000.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/sampler.h"

#define WARMUP_COUNT     6
#define PENDING_MAX      32
#define POINTS_MAX       (SEARCH__GP_MAX - PENDING_MAX)
#define CANDIDATES_COUNT 192
#define PARENT_RANK_MEAN 3.0 // parents by rank, exponentially distributed
#define RANDOM_EVERY     5   // one of so many candidates is drawn from the whole space
#define CLIMBS_MAX       6
#define NEIGHBOURS_MAX   64
#define RETRIES_GREEDY   8
#define TRIES_PER_DRAW   4

/* ---- the model's points ---------------------------------------------------------------------- */

/// Of `count` points the best and the youngest, POINTS_MAX in all, to the front.
static size_t choose_points(const search__point **point, size_t count) {
    search__points_by_score(point, count);
    if (count <= POINTS_MAX) {
        return count;
    }
    const size_t best = POINTS_MAX / 2;
    search__points_by_age(point + best, count - best);
    return POINTS_MAX;
}

static ns_status load(search__gp *gp, const search__digest *digest, ns_error *err) {
    const search__point **point = malloc((digest->count + 1) * sizeof(const search__point *));
    if (point == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot sort %zu points", digest->count);
    }
    size_t count = 0;
    for (size_t i = 0; i < digest->count; i++) {
        if (digest->point[i].scored) {
            point[count++] = &digest->point[i];
        }
    }
    gp->count = (int)choose_points(point, count);
    // The grid of gp.c sees the first of them: no longer the best ones only.
    search__points_by_age(point, (size_t)gp->count);
    for (int i = 0; i < gp->count; i++) {
        gp->genotype[i] = &point[i]->genotype;
        gp->score[i] = point[i]->score;
        gp->weight[i] = point[i]->weight;
    }
    for (size_t i = digest->count; i > 0 && gp->pending_count < PENDING_MAX; i--) {
        if (!digest->point[i - 1].scored) {
            gp->genotype[gp->count + gp->pending_count++] = &digest->point[i - 1].genotype;
        }
    }
    free(point);
    return NS_OK;
}

/* ---- candidates ------------------------------------------------------------------------------ */

typedef struct parent {
    const search_genotype *genotype;
    double mean;
} parent;

typedef struct surrogate {
    const search_task *task;
    const search__digest *digest;
    const search__gp *gp;
    ns_rng *rng;
    parent parent[POINTS_MAX]; // by mean, best first
    double best_mean;
    search_genotype best;
    double best_gain; // its expected improvement; below 0: none yet
} surrogate;

static int by_mean(const void *a, const void *b) {
    const parent *left = a, *right = b;
    return (left->mean < right->mean) - (left->mean > right->mean);
}

static void rank_parents(surrogate *s) {
    double distances[SEARCH__GP_MAX];
    for (int i = 0; i < s->gp->count; i++) {
        search__gp_distances(s->gp, s->gp->genotype[i], distances);
        s->parent[i] = (parent){s->gp->genotype[i], search__gp_mean(s->gp, distances)};
    }
    qsort(s->parent, (size_t)s->gp->count, sizeof *s->parent, by_mean);
    s->best_mean = s->parent[0].mean;
}

/// Expected improvement over the best mean (Jones et al. 1998, eq. 15).
static double expected_gain(const surrogate *s, const double *distances) {
    const double deviation = search__gp_deviation(s->gp, distances);
    const double u = (search__gp_mean(s->gp, distances) - s->best_mean) / deviation;
    const double density = exp(-0.5 * u * u) / sqrt(2 * M_PI);
    return deviation * (u * 0.5 * erfc(-u / M_SQRT2) + density);
}

/// Keeps the candidate if it is new and better than what was found so far.
static void consider(surrogate *s, const search_genotype *candidate, const double *distances) {
    if (!search__digest_knows(s->digest, candidate)) {
        const double gain = expected_gain(s, distances);
        if (gain > s->best_gain) {
            s->best_gain = gain;
            s->best = *candidate;
        }
    }
}

/// A mutation of a good point, by one to three genes, or any point of the space.
static void draw_candidate(surrogate *s, search_genotype *out) {
    const uint64_t kind = ns_rng_below(s->rng, RANDOM_EVERY);
    if (kind == 0) {
        search_genotype_random(s->task->space, s->rng, out);
        return;
    }
    const double rank = -PARENT_RANK_MEAN * log(1 - ns_rng_unit(s->rng));
    *out = *s->parent[(int)fmin(rank, s->gp->count - 1)].genotype;
    int changes = 1;
    while (changes < 3 && ns_rng_below(s->rng, 2) == 0) {
        changes++;
    }
    for (int i = 0; i < changes; i++) {
        search_genotype_mutate(s->task->space, s->rng, out);
    }
}

static void draw_candidates(surrogate *s, int count) {
    double distances[SEARCH__GP_MAX];
    for (int i = 0; i < TRIES_PER_DRAW * count && (i < count || s->best_gain < 0); i++) {
        search_genotype candidate;
        draw_candidate(s, &candidate);
        search__gp_distances(s->gp, &candidate, distances);
        consider(s, &candidate, distances);
    }
}

/// Tries single changes of the best candidate; false when none of them is better.
static bool climb(surrogate *s) {
    const search_genotype from = s->best;
    const double gain = s->best_gain;
    double distances[SEARCH__GP_MAX], moved[SEARCH__GP_MAX];
    search__gp_distances(s->gp, &from, distances);
    for (int i = 0; i < NEIGHBOURS_MAX; i++) {
        search_genotype neighbour = from;
        search_genotype_mutate(s->task->space, s->rng, &neighbour);
        memcpy(moved, distances, sizeof moved);
        search__gp_move(s->gp, &from, &neighbour, moved);
        consider(s, &neighbour, moved);
    }
    return s->best_gain > gain;
}

static void propose_by_model(surrogate *s, uint64_t retry, search_genotype *out) {
    rank_parents(s);
    s->best_gain = -1;
    const bool greedy = retry < RETRIES_GREEDY;
    draw_candidates(s, greedy ? CANDIDATES_COUNT >> retry : 1);
    for (int i = 0; i < CLIMBS_MAX && retry == 0 && s->best_gain >= 0 && climb(s); i++) {
    }
    if (s->best_gain < 0) { // all are known: the space is nearly exhausted
        search_genotype_random(s->task->space, s->rng, &s->best);
    }
    *out = s->best;
}

static ns_status model_and_propose(const search_task *task, const search__digest *digest,
                                   uint64_t retry, ns_rng *rng, search_genotype *out,
                                   ns_error *err) {
    ns_status status = NS_OK;
    search__gp *gp = NULL;
    surrogate *s = calloc(1, sizeof *s);
    NS_TRY_OUT(s != NULL ? NS_OK : ns_fail(err, NS_ERR_MEMORY, "cannot hold candidates"));
    NS_TRY_OUT(search__gp_new(&gp, err));
    NS_TRY_OUT(load(gp, digest, err));
    search__gp_fit(gp, task->space);
    s->task = task;
    s->digest = digest;
    s->gp = gp;
    s->rng = rng;
    propose_by_model(s, retry, out);
out:
    free(gp);
    free(s);
    return status;
}

ns_status search__propose_surrogate(const search_task *task, const search_history *history,
                                    uint64_t seed, uint64_t number, search_genotype *out,
                                    ns_error *err) {
    static const search__learner learner = {"sampler surrogate", WARMUP_COUNT, model_and_propose};
    return search__propose_learnt(&learner, task, history, seed, number, out, err);
}
