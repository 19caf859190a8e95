// A Gaussian process over genotypes: Bayesian regression on one-hot genes and their interactions.
//
//   k(x, y) = (1 - a) (1 - D) + a exp(-l D),   D = sum over genes of w d(x, y)
//
// The first part is ridge regression on one-hot genes in its dual form: each choice of each gene
// adds its share. The second knows all interactions, and those of few genes best (a categorical
// kernel by Hamming distance, as in Hutter et al. 2011, "SMAC", and Daxberger et al. 2020). The data
// choose between the two, and how smooth and how noisy they are, by marginal likelihood over a
// small grid (Rasmussen & Williams 2006, ch. 5). d is 1 for different choices; half of that is the
// distance on the gene's scale where it has one, so that 64 is nearer to 96 than to 512.
//
// Points under way are appended with no residual: the mean stays what it was, and the variance
// around them is gone (Ginsbourger et al. 2010, "kriging believer").
//
// Cost: n^2/2 distances, a Cholesky factorisation of n^3/3 multiplications for n <= SEARCH__GP_MAX
// points, and (grid) smaller ones for the grid, which sees GRID_POINTS_MAX of them at most.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/sampler.h"

#define GRID_POINTS_MAX 96
#define JITTER          1e-6

static const double LENGTHS[] = {1, 2.5, 6};         // l
static const double INTERACTIONS[] = {0, 0.5, 1};    // a
static const double NOISES[] = {0.01, 0.05, 0.2, 1}; // variance of a measurement, signal's being 1

/* ---- distance -------------------------------------------------------------------------------- */

static double gene_distance(const search_gene *gene, int left, int right) {
    if (left == right) {
        return 0;
    }
    return gene->scale == SEARCH_SCALE_NONE ? 1
                                            : 0.5 + 0.5 * fabs(search_gene_position(gene, left) -
                                                               search_gene_position(gene, right));
}

/// Genes of one choice tell nothing and weigh nothing.
static void measure_space(search__gp *gp, const search_space *space) {
    int varied = 0;
    for (int g = 0; g < space->gene_count; g++) {
        varied += space->gene[g].choice_count > 1 ? 1 : 0;
    }
    for (int g = 0; g < space->gene_count; g++) {
        const int count = space->gene[g].choice_count;
        for (int i = 0; i < count; i++) {
            for (int j = 0; j < count; j++) {
                gp->distance[g][i][j] = gene_distance(&space->gene[g], i, j) / varied;
            }
        }
    }
    gp->gene_count = space->gene_count;
}

static double distance(const search__gp *gp, const search_genotype *left,
                       const search_genotype *right) {
    double sum = 0;
    for (int g = 0; g < gp->gene_count; g++) {
        sum += gp->distance[g][left->choice[g]][right->choice[g]];
    }
    return sum;
}

static double kernel(const search__gp *gp, double d) {
    const double additive = gp->interaction < 1 ? (1 - gp->interaction) * (1 - d) : 0;
    return gp->interaction > 0 ? additive + gp->interaction * exp(-gp->length * d) : additive;
}

/* ---- linear algebra, row-major lower triangles ----------------------------------------------- */

/// L of the symmetric matrix in `a` (n, n), in place; column by column, so that the inner loop runs
/// along a row.
static void factorise(double *a, int n, int stride) {
    for (int i = 0; i < n; i++) {
        double *row = a + (size_t)i * (size_t)stride;
        for (int j = 0; j <= i; j++) {
            const double *other = a + (size_t)j * (size_t)stride;
            double sum[4] = {0}; // four at a time: a single sum is one long chain of additions
            int k = 0;
            for (; k + 4 <= j; k += 4) {
                for (int lane = 0; lane < 4; lane++) {
                    sum[lane] += row[k + lane] * other[k + lane];
                }
            }
            double rest = row[j] - (sum[0] + sum[1] + sum[2] + sum[3]);
            for (; k < j; k++) {
                rest -= row[k] * other[k];
            }
            row[j] = i == j ? sqrt(fmax(rest, JITTER)) : rest / other[j];
        }
    }
}

/// Solves L x = b in place.
static void solve_lower(const double *l, int n, int stride, double *b) {
    for (int i = 0; i < n; i++) {
        const double *row = l + (size_t)i * (size_t)stride;
        double sum[4] = {0};
        int k = 0;
        for (; k + 4 <= i; k += 4) {
            for (int lane = 0; lane < 4; lane++) {
                sum[lane] += row[k + lane] * b[k + lane];
            }
        }
        double rest = b[i] - (sum[0] + sum[1] + sum[2] + sum[3]);
        for (; k < i; k++) {
            rest -= row[k] * b[k];
        }
        b[i] = rest / row[i];
    }
}

/// Solves L^T x = b in place.
static void solve_upper(const double *l, int n, int stride, double *b) {
    for (int i = n - 1; i >= 0; i--) {
        const double *row = l + (size_t)i * (size_t)stride;
        b[i] /= row[i];
        for (int k = 0; k < i; k++) {
            b[k] -= row[k] * b[i];
        }
    }
}

/* ---- fitting --------------------------------------------------------------------------------- */

/// Factor of the kernel matrix of the first `n` points, and L^-1 score.
static void fit(search__gp *gp, int n) {
    const size_t stride = SEARCH__GP_MAX;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
            gp->factor[(size_t)i * stride + (size_t)j] =
                kernel(gp, gp->between[(size_t)i * stride + (size_t)j]);
        }
        // Below 0: under way, without a measurement's noise.
        gp->factor[(size_t)i * (stride + 1)] +=
            gp->weight[i] > 0 ? gp->noise / gp->weight[i] : JITTER;
    }
    factorise(gp->factor, n, SEARCH__GP_MAX);
    memcpy(gp->alpha, gp->score, (size_t)n * sizeof *gp->alpha);
    solve_lower(gp->factor, n, SEARCH__GP_MAX, gp->alpha);
}

/// Log marginal likelihood of `n` points, the scale of the kernel being the best there is.
static double likelihood(search__gp *gp, int n) {
    double squares = 0, logs = 0;
    fit(gp, n);
    for (int i = 0; i < n; i++) {
        squares += gp->alpha[i] * gp->alpha[i];
        logs += log(gp->factor[(size_t)i * (SEARCH__GP_MAX + 1)]);
    }
    gp->variance = fmax(squares / n, 1e-12);
    return -0.5 * n * log(gp->variance) - logs;
}

static void choose_kernel(search__gp *gp, int n) {
    double best = -INFINITY, length = LENGTHS[0], interaction = 0, noise = NOISES[0];
    for (size_t a = 0; a < NS_COUNT_OF(INTERACTIONS); a++) {
        for (size_t l = 0; l < (a == 0 ? 1 : NS_COUNT_OF(LENGTHS)); l++) {
            for (size_t s = 0; s < NS_COUNT_OF(NOISES); s++) {
                gp->interaction = INTERACTIONS[a];
                gp->length = LENGTHS[l];
                gp->noise = NOISES[s];
                const double found = likelihood(gp, n);
                if (found > best) {
                    best = found;
                    interaction = gp->interaction;
                    length = gp->length;
                    noise = gp->noise;
                }
            }
        }
    }
    gp->interaction = interaction;
    gp->length = length;
    gp->noise = noise;
}

ns_status search__gp_new(search__gp **out, ns_error *err) {
    *out = calloc(1, sizeof **out);
    return *out != NULL ? NS_OK : ns_fail(err, NS_ERR_MEMORY, "cannot hold a surrogate model");
}

void search__gp_fit(search__gp *gp, const search_space *space) {
    measure_space(gp, space);
    for (int i = 0; i < gp->count + gp->pending_count; i++) {
        for (int j = 0; j <= i; j++) {
            gp->between[(size_t)i * SEARCH__GP_MAX + (size_t)j] =
                distance(gp, gp->genotype[i], gp->genotype[j]);
        }
    }
    choose_kernel(gp, gp->count < GRID_POINTS_MAX ? gp->count : GRID_POINTS_MAX);
    (void)likelihood(gp, gp->count); // for the variance
    const double variance = gp->variance;
    for (int i = 0; i < gp->pending_count;
         i++) { // rows that come later leave earlier ones as they are
        gp->weight[gp->count + i] = 0;
        gp->score[gp->count + i] = 0;
    }
    fit(gp, gp->count + gp->pending_count);
    for (int i = 0; i < gp->pending_count; i++) { // no residual, see above
        gp->alpha[gp->count + i] = 0;
    }
    memcpy(gp->dual, gp->alpha, sizeof gp->dual);
    solve_upper(gp->factor, gp->count + gp->pending_count, SEARCH__GP_MAX, gp->dual);
    gp->variance = variance;
}

/* ---- prediction ------------------------------------------------------------------------------ */

void search__gp_distances(const search__gp *gp, const search_genotype *genotype, double *out) {
    for (int i = 0; i < gp->count + gp->pending_count; i++) {
        out[i] = distance(gp, genotype, gp->genotype[i]);
    }
}

void search__gp_move(const search__gp *gp, const search_genotype *from, const search_genotype *to,
                     double *distances) {
    for (int g = 0; g < gp->gene_count; g++) {
        if (from->choice[g] != to->choice[g]) {
            const double *was = gp->distance[g][from->choice[g]];
            const double *is = gp->distance[g][to->choice[g]];
            for (int i = 0; i < gp->count + gp->pending_count; i++) {
                const uint8_t choice = gp->genotype[i]->choice[g];
                distances[i] += is[choice] - was[choice];
            }
        }
    }
}

double search__gp_mean(const search__gp *gp, const double *distances) {
    double mean = 0;
    for (int i = 0; i < gp->count + gp->pending_count; i++) {
        mean += gp->dual[i] * kernel(gp, distances[i]);
    }
    return mean;
}

double search__gp_deviation(const search__gp *gp, const double *distances) {
    double column[SEARCH__GP_MAX];
    const int n = gp->count + gp->pending_count;
    double explained = 0;
    for (int i = 0; i < n; i++) {
        column[i] = kernel(gp, distances[i]);
    }
    solve_lower(gp->factor, n, SEARCH__GP_MAX, column);
    for (int i = 0; i < n; i++) {
        explained += column[i] * column[i];
    }
    return sqrt(fmax(1 - explained, 1e-9) * gp->variance);
}
