// What the samplers share: a digest of the history, a Gaussian process, and their entry points.
// All of it is pure: a proposal follows from space, history, seed and number.

#ifndef NS_SEARCH_SAMPLER_H
#define NS_SEARCH_SAMPLER_H

#include "search/search.h"

/* ---- digest.c: what a history says of each point ---------------------------------------------- */

typedef struct search__point {
    search_genotype genotype;
    double value;  // on the scale of the study's most frequent fidelity; NaN: not measured
    double weight; // how many measurements that is worth
    double score;  // the value, robustly standardised over all scored points
    size_t number; // of its last trial
    bool own;      // this study has tried it, or is about to
    bool pending;  // a trial of it is under way
    bool scored;   // measured, or failed
} search__point;

typedef struct search__digest {
    search__point *point; // by first trial, earlier studies' first
    size_t count, measured_count;
    uint32_t *slot; // open hash table: index into `point` + 1, or 0
    size_t slot_count;
    double *scratch;
} search__digest;

/// Clear it after use, also after a failure.
ns_status search__digest_make(const search_history *history, search__digest *out, ns_error *err);
void search__digest_clear(search__digest *digest);
/// Whether this study has a trial of the genotype, in whatever state.
bool search__digest_knows(const search__digest *digest, const search_genotype *genotype);

/// The best first, those without a score last; or the youngest first.
void search__points_by_score(const search__point **point, size_t count);
void search__points_by_age(const search__point **point, size_t count);

/* ---- gp.c: a Gaussian process over genotypes -------------------------------------------------- */

#define SEARCH__GP_MAX 256

typedef struct search__gp {
    // given: scored points, then pending ones behind them
    int count, pending_count;
    const search_genotype *genotype[SEARCH__GP_MAX];
    double score[SEARCH__GP_MAX];
    double weight[SEARCH__GP_MAX];
    // fitted
    int gene_count;
    double interaction, length, noise, variance;
    double alpha[SEARCH__GP_MAX], dual[SEARCH__GP_MAX];
    double distance[SEARCH_GENES_MAX][SEARCH_CHOICES_MAX][SEARCH_CHOICES_MAX];
    double between[SEARCH__GP_MAX * SEARCH__GP_MAX];
    double factor[SEARCH__GP_MAX * SEARCH__GP_MAX];
} search__gp;

/// All zero; free() it.
ns_status search__gp_new(search__gp **out, ns_error *err);
/// Fits kernel and weights to the given points, of which there is at least one that is scored.
void search__gp_fit(search__gp *gp, const search_space *space);
/// From a genotype to every point, SEARCH__GP_MAX values at most.
void search__gp_distances(const search__gp *gp, const search_genotype *genotype, double *out);
/// The same again, of a genotype that differs in few genes.
void search__gp_move(const search__gp *gp, const search_genotype *from, const search_genotype *to,
                     double *distances);
/// Posterior mean and standard deviation of the score of the genotype at such distances.
double search__gp_mean(const search__gp *gp, const double *distances);
double search__gp_deviation(const search__gp *gp, const double *distances);

/* ---- samplers: see search_sampler ------------------------------------------------------------ */

/// A sampler that learns: what it does once `warmup_count` points are measured.
typedef struct search__learner {
    const char *stream; // of its random numbers
    size_t warmup_count;
    /// `retry` counts the refusals of what was proposed before. NS_ERR_MEMORY.
    ns_status (*propose)(const search_task *task, const search__digest *digest, uint64_t retry,
                         ns_rng *rng, search_genotype *out, ns_error *err);
} search__learner;

/// Digests the history and lets the learner propose; before its warm-up is over, proposes what to
/// try while nothing is known (sampler_first.c).
ns_status search__propose_learnt(const search__learner *learner, const search_task *task,
                                 const search_history *history, uint64_t seed, uint64_t number,
                                 search_genotype *out, ns_error *err);

ns_status search__propose_random(const search_task *task, const search_history *history,
                                 uint64_t seed, uint64_t number, search_genotype *out,
                                 ns_error *err);
ns_status search__propose_evolution(const search_task *task, const search_history *history,
                                    uint64_t seed, uint64_t number, search_genotype *out,
                                    ns_error *err);
ns_status search__propose_tpe(const search_task *task, const search_history *history, uint64_t seed,
                              uint64_t number, search_genotype *out, ns_error *err);
ns_status search__propose_surrogate(const search_task *task, const search_history *history,
                                    uint64_t seed, uint64_t number, search_genotype *out,
                                    ns_error *err);
ns_status search__propose_reinforce(const search_task *task, const search_history *history,
                                    uint64_t seed, uint64_t number, search_genotype *out,
                                    ns_error *err);

#endif
