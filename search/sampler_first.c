// What every sampler that learns has in common: it is asked for a proposal once enough points are
// measured, and before that tries what is promising when nothing is known.
//
// Of five random points the most expensive is taken, FLOPs being the best free predictor of
// accuracy (White et al. 2021, "How Powerful are Performance Predictors in Neural Architecture
// Search?"), as long as it costs no more than the task allows: a trial is granted seconds, not
// epochs, and a giant sees too few images in them.

// A study that begins with what an earlier one has found tries the best points of that first: what
// was good there is the safest bet, and how it does here says what the rest is worth here.

#include <math.h>

#include "search/sampler.h"

#define OWN_COUNT_WARM 4 // the anchor and three of the earlier study's best
#define DRAW_COUNT     5
#define TRIES_MAX      200 // draws that cost too much do not count, up to here

static double cost_of(const search_task *task, const search_genotype *genotype) {
    return task->cost != NULL ? task->cost(task->context, genotype) : (double)NAN;
}

/// Whether `cost` suits better than `best`: the most below the cap, else the least above it.
static bool suits_better(double cost, double best, double cap) {
    return best > cap ? cost < best : cost <= cap && cost > best;
}

static void propose_first(const search_task *task, ns_rng *rng, search_genotype *out) {
    search_genotype_random(task->space, rng, out);
    double best = cost_of(task, out);
    if (isnan(best)) { // costs are not known here, or the point is not legal
        return;
    }
    int drawn = best <= task->cost_max ? 1 : 0;
    for (int i = 1; i < TRIES_MAX && drawn < DRAW_COUNT; i++) {
        search_genotype draw;
        search_genotype_random(task->space, rng, &draw);
        const double cost = cost_of(task, &draw);
        drawn += cost <= task->cost_max ? 1 : 0;
        if (suits_better(cost, best, task->cost_max)) {
            *out = draw;
            best = cost;
        }
    }
}

/// The best point that only the earlier study has tried, while this one has tried few; else NULL.
static const search__point *find_inherited(const search_history *history,
                                           const search__digest *digest) {
    const search__point *best = NULL;
    size_t own_count = 0;
    for (size_t i = 0; i < digest->count && history->earlier_count > 0; i++) {
        const search__point *point = &digest->point[i];
        own_count += point->own ? 1 : 0;
        if (!point->own && !isnan(point->value) && (best == NULL || point->value > best->value)) {
            best = point;
        }
    }
    return own_count < OWN_COUNT_WARM ? best : NULL;
}

ns_status search__propose_learnt(const search__learner *learner, const search_task *task,
                                 const search_history *history, uint64_t seed, uint64_t number,
                                 search_genotype *out, ns_error *err) {
    ns_rng rng = ns_rng_stream(seed, number, learner->stream);
    search__digest digest;
    ns_status status = search__digest_make(history, &digest, err);
    const uint64_t retry = number >> SEARCH_RETRY_SHIFT;
    const search__point *inherited =
        status == NS_OK && retry == 0 ? find_inherited(history, &digest) : NULL;
    if (inherited != NULL) {
        *out = inherited->genotype;
    } else if (status == NS_OK && digest.measured_count < learner->warmup_count) {
        propose_first(task, &rng, out);
    } else if (status == NS_OK) {
        status = learner->propose(task, &digest, retry, &rng, out, err);
    }
    search__digest_clear(&digest);
    return status;
}
