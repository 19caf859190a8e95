// TPE: the tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for Hyper-Parameter
// Optimization", sec. 4), multivariate as in Falkner et al. 2018, "BOHB".
//
// The points are split into the good and the others. Each part is a density: a mixture of one kernel
// a point, which is a product over the genes, and of one uniform prior. A choice without an order
// has the kernel of Aitchison & Aitken (1976): what is not the point's own choice shares a bandwidth
// h. One with an order falls off with its distance on the gene's scale, as exp(-distance/h).
// Candidates are drawn from the density of the good, and the one of the highest ratio of good to
// other is proposed, which is the one of most expected improvement. Points under way count among
// the others, so that parallel workers go elsewhere.

#include <math.h>
#include <stdlib.h>

#include "search/sampler.h"

#define WARMUP_COUNT     6
#define CANDIDATES_COUNT 32
#define GOOD_MAX         25   // as in Bergstra et al. 2011
#define GOOD_FRACTION    0.15 // sec. 4.1
#define OTHERS_MAX       400  // the youngest
#define RETRIES_GREEDY   5

/// One part of the points.
typedef struct mixture {
    const search__point **point;
    size_t count;
    double bandwidth;
    double log_kernel[SEARCH_GENES_MAX][SEARCH_CHOICES_MAX][SEARCH_CHOICES_MAX]; // centre, choice
    double log_uniform;
} mixture;

typedef struct tpe {
    const search_task *task;
    const search__digest *digest;
    const search__point **point; // the good first
    mixture good, others;
} tpe;

/* ---- densities ------------------------------------------------------------------------------- */

static double weight_of(const search_gene *gene, int centre, int choice, double bandwidth) {
    if (centre == choice) {
        return 1;
    }
    if (gene->scale == SEARCH_SCALE_NONE) {
        return bandwidth / (gene->choice_count - 1);
    }
    const double apart =
        fabs(search_gene_position(gene, centre) - search_gene_position(gene, choice));
    return exp(-apart / bandwidth);
}

/// The more points, the narrower their kernels.
static void prepare(mixture *m, const search_space *space) {
    m->bandwidth = 1 / sqrt(1 + (double)m->count);
    m->bandwidth = fmin(fmax(m->bandwidth, 0.1), 0.5);
    m->log_uniform = 0;
    for (int g = 0; g < space->gene_count; g++) {
        const search_gene *gene = &space->gene[g];
        m->log_uniform -= log(gene->choice_count);
        for (int centre = 0; centre < gene->choice_count; centre++) {
            double sum = 0;
            for (int choice = 0; choice < gene->choice_count; choice++) {
                sum += weight_of(gene, centre, choice, m->bandwidth);
            }
            for (int choice = 0; choice < gene->choice_count; choice++) {
                m->log_kernel[g][centre][choice] =
                    log(weight_of(gene, centre, choice, m->bandwidth) / sum);
            }
        }
    }
}

static double log_density(const mixture *m, const search_space *space,
                          const search_genotype *genotype) {
    double logs[OTHERS_MAX + 1];
    double most = logs[m->count] = m->log_uniform;
    for (size_t i = 0; i < m->count; i++) {
        double sum = 0;
        for (int g = 0; g < space->gene_count; g++) {
            sum += m->log_kernel[g][m->point[i]->genotype.choice[g]][genotype->choice[g]];
        }
        logs[i] = sum;
        most = fmax(most, sum);
    }
    double sum = 0;
    for (size_t i = 0; i <= m->count; i++) {
        sum += exp(logs[i] - most);
    }
    return most + log(sum) - log((double)m->count + 1);
}

static int draw_choice(const double *log_weight, int count, ns_rng *rng) {
    double rest = ns_rng_unit(rng);
    int choice = 0;
    while (choice < count - 1 && (rest -= exp(log_weight[choice])) >= 0) {
        choice++;
    }
    return choice;
}

static void draw_from(const mixture *m, const search_space *space, ns_rng *rng,
                      search_genotype *out) {
    const uint64_t kernel = ns_rng_below(rng, m->count + 1);
    search_genotype_random(space, rng, out);
    if (kernel < m->count) {
        const search_genotype *centre = &m->point[kernel]->genotype;
        for (int g = 0; g < space->gene_count; g++) {
            out->choice[g] = (uint8_t)draw_choice(m->log_kernel[g][centre->choice[g]],
                                                  space->gene[g].choice_count, rng);
        }
        search_genotype_canonicalise(space, out);
    }
}

/* ---- the two parts --------------------------------------------------------------------------- */

static ns_status split(tpe *t, ns_error *err) {
    const size_t count = t->digest->count;
    t->point = malloc((count + 1) * sizeof(const search__point *));
    if (t->point == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot sort %zu points", count);
    }
    for (size_t i = 0; i < count; i++) {
        t->point[i] = &t->digest->point[i];
    }
    search__points_by_score(t->point, count);
    const double good = ceil(GOOD_FRACTION * (double)t->digest->measured_count);
    const size_t good_count = (size_t)fmin(fmax(good, 2), GOOD_MAX);
    search__points_by_age(t->point + good_count, count - good_count);
    t->good.point = t->point;
    t->good.count = good_count;
    t->others.point = t->point + good_count;
    t->others.count = count - good_count < OTHERS_MAX ? count - good_count : OTHERS_MAX;
    prepare(&t->good, t->task->space);
    prepare(&t->others, t->task->space);
    return NS_OK;
}

/* ---- propose --------------------------------------------------------------------------------- */

/// Fewer candidates with each retry: what is refused again and again must not be drawn again.
static void propose_best(const tpe *t, uint64_t retry, ns_rng *rng, search_genotype *out) {
    const int count = retry < RETRIES_GREEDY ? CANDIDATES_COUNT >> retry : 1;
    double best = -INFINITY;
    for (int i = 0; i < count || (best == -INFINITY && i < 2 * CANDIDATES_COUNT); i++) {
        search_genotype draw;
        draw_from(&t->good, t->task->space, rng, &draw);
        if (search__digest_knows(t->digest, &draw)) {
            continue;
        }
        const double ratio = log_density(&t->good, t->task->space, &draw) -
                             log_density(&t->others, t->task->space, &draw);
        if (ratio > best) {
            best = ratio;
            *out = draw;
        }
    }
    if (best == -INFINITY) {
        search_genotype_random(t->task->space, rng, out);
    }
}

static ns_status split_and_propose(const search_task *task, const search__digest *digest,
                                   uint64_t retry, ns_rng *rng, search_genotype *out,
                                   ns_error *err) {
    tpe *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold two densities");
    }
    t->task = task;
    t->digest = digest;
    const ns_status status = split(t, err);
    if (status == NS_OK) {
        propose_best(t, retry, rng, out);
    }
    free(t->point);
    free(t);
    return status;
}

ns_status search__propose_tpe(const search_task *task, const search_history *history, uint64_t seed,
                              uint64_t number, search_genotype *out, ns_error *err) {
    static const search__learner learner = {"sampler tpe", WARMUP_COUNT, split_and_propose};
    return search__propose_learnt(&learner, task, history, seed, number, out, err);
}
