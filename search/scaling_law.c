// How large a network to retrain for how long: a scaling law, fitted to the study's own trials.
//
// With more time than a trial had, the winner can be trained longer, be made wider, or both. What
// that does to its error follows, over many orders of magnitude, a sum of powers (Rosenfeld et al.
// 2020, "A Constructive Prediction of the Generalization Error Across Scales", section 4; Hoffmann
// et al. 2022, "Training Compute-Optimal Large Language Models", equation 2):
//
//   error(c, s) = k (1 + A (c / c0)^-a + B (d(s) / d(s0))^-b)
//
//   c   FLOPs of an image; c0 the anchor's
//   s   images trained on, repeated ones too; s0 ten passes over the data, at least 100,000 images
//   d   what repeated images are worth (Muennighoff et al. 2023, "Scaling Data-Constrained Language
//       Models", equation 5): of u images, d(s) = u + u R (1 - exp(-(s / u - 1) / R)) beyond the
//       first pass. R is 15 for text; augmentation makes images last longer: 60, and more where
//       there are so few that steps, not images, are what is short.
//   1   what neither size nor length can change: the data set's own share. The fewer images, the
//       larger it is beside the others, so A and B grow with the fourth root of u.
//
// k falls out, as everything is relative to the winner's measured error. A, B, a and b are unknown
// within bounds: a grid of them carries a prior, spread by factors of about two around 1 and 1.3 at
// 50,000 images, with exponents near 0.33 and 0.45. These are round figures. Those of size lie
// between what twice the anchor's width gained on validation images of Fashion-MNIST in 10 epochs and
// what ResNets are known to reach on CIFAR-10. Those of length follow the anchor on the same images,
// from 23 thousand to 14 million (one or two trainings each; tests/search/test_scaling_law.c has
// them). What is predicted for Fashion-MNIST is therefore no independent evidence.
//
// The grid is weighed by how well each point explains the study's trials. Genotypes differ by more
// than size, so between them a robust spread is allowed for. Its scale is estimated, beginning from
// that of genotypes drawn from a space: three that happen to lie on a line prove nothing. The same
// genotype trained at two lengths is its own control and counts by the noise of single trainings
// alone. The prediction is the mean over the grid. With a few trials of equal cost it is the prior's;
// rungs of different length sharpen it.
//
// Errors are flat about the best width, so the narrowest network is taken whose predicted error comes
// near the least: it answers faster, and was trained for longer.
//
// A network is at its *useful end* when twice the training would lower its error by less than 1 %
// of itself. Beyond that, time is better spent on a wider one, and with the widest it is given back.
//
// Pure functions of their arguments: no clock, no store. Costs are in the caller's unit.

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "search/retrain.h"

#define PRIOR_IMAGE_COUNT   50e3
#define PRIOR_IMAGE_POWER   0.25
#define PRIOR_IMAGE_BOUND   4.0 // A and B grow and shrink at most so many times
#define PRIOR_SIZE          1.0
#define PRIOR_LENGTH        1.3
#define PRIOR_DEVIATION     0.8 // of the logarithms of A and B
#define PRIOR_BOUND         2.5 // deviations
#define REFERENCE_PASSES    10.0
#define REFERENCE_SAMPLES   100e3 // at least
#define REPEATS             60.0
#define REPEATS_SAMPLES     400e3 // at least
#define BETWEEN_LOG         0.3   // spread of the logarithms of genotypes' errors, a priori,
#define BETWEEN_COUNT       8.0   // which counts as so many genotypes
#define WITHIN_LOG          0.06  // of one genotype's, from training to training
#define STUDENT_FREEDOM     4.0
#define USEFUL_GAIN         0.01 // of the error, by twice the training
#define USEFUL_HALVINGS     60
#define SAMPLES_MAX         1e15
#define NEAR_THE_LEAST      0.01 // of the error
#define MEDIAN_TO_DEVIATION 1.4826

static const double SIZE_POWERS[] = {0.25, 0.4};
static const double LENGTH_POWERS[] = {0.35, 0.55};
enum { AMPLITUDES = 11 }; // of A, and of B

/* ---- the law --------------------------------------------------------------------------------- */

/// What `sample_count` images are worth in distinct ones.
static double distinct(const search__law *law, double sample_count) {
    const double images = law->image_count;
    if (sample_count <= images) {
        return fmax(sample_count, 1.0);
    }
    const double repeats = fmax(REPEATS, REPEATS_SAMPLES / images);
    return images + images * repeats * (1.0 - exp(-(sample_count / images - 1.0) / repeats));
}

/// Error over k at one point of the grid.
static double shape(const search__law *law, const search__law_point *point, double flops,
                    double sample_count) {
    const double reference =
        distinct(law, fmax(REFERENCE_PASSES * law->image_count, REFERENCE_SAMPLES));
    return 1.0 + point->size * pow(flops / law->anchor_flops, -point->size_power) +
           point->length * pow(distinct(law, sample_count) / reference, -point->length_power);
}

double search__law_error(const search__law *law, double flops, double sample_count) {
    double error = 0;
    for (int i = 0; i < SEARCH__LAW_POINTS; i++) {
        const search__law_point *point = &law->point[i];
        error += point->weight * shape(law, point, flops, sample_count) /
                 shape(law, point, law->winner.flops, law->winner.sample_count);
    }
    return law->winner.error * error;
}

/* ---- the prior ------------------------------------------------------------------------------- */

static void lay_grid(search__law *law) {
    const double growth = pow(law->image_count / PRIOR_IMAGE_COUNT, PRIOR_IMAGE_POWER);
    const double factor = fmin(fmax(growth, 1.0 / PRIOR_IMAGE_BOUND), PRIOR_IMAGE_BOUND);
    search__law_point *point = law->point;
    for (int i = 0; i < AMPLITUDES * AMPLITUDES; i++) {
        const double z_size = PRIOR_BOUND * (2.0 * (i % AMPLITUDES) / (AMPLITUDES - 1) - 1.0);
        const int row = i / AMPLITUDES;
        const double z_length = PRIOR_BOUND * (2.0 * row / (AMPLITUDES - 1) - 1.0);
        for (size_t j = 0; j < NS_COUNT_OF(SIZE_POWERS) * NS_COUNT_OF(LENGTH_POWERS); j++) {
            *point++ = (search__law_point){
                .weight = -0.5 * (z_size * z_size + z_length * z_length), // its logarithm, so far
                .size = factor * PRIOR_SIZE * exp(PRIOR_DEVIATION * z_size),
                .length = factor * PRIOR_LENGTH * exp(PRIOR_DEVIATION * z_length),
                .size_power = SIZE_POWERS[j % NS_COUNT_OF(SIZE_POWERS)],
                .length_power = LENGTH_POWERS[j / NS_COUNT_OF(SIZE_POWERS)],
            };
        }
    }
    assert(point - law->point == SEARCH__LAW_POINTS);
}

/// From logarithms to weights that sum up to 1.
static void weigh(search__law *law) {
    double best = -DBL_MAX;
    double sum = 0;
    for (int i = 0; i < SEARCH__LAW_POINTS; i++) {
        best = fmax(best, law->point[i].weight);
    }
    for (int i = 0; i < SEARCH__LAW_POINTS; i++) {
        law->point[i].weight = exp(law->point[i].weight - best);
        sum += law->point[i].weight;
    }
    for (int i = 0; i < SEARCH__LAW_POINTS; i++) {
        law->point[i].weight /= sum;
    }
}

/* ---- the trials ------------------------------------------------------------------------------ */

/// What the trials leave unexplained, at one point of the grid.
typedef struct residuals {
    double *mean;    // of each genotype
    int *count;      // its trials
    double *scratch; // as long
    size_t genotype_count;
} residuals;

/// Logarithm of Student's density at `z` standard units, up to a constant.
static double log_student(double z) {
    return -0.5 * (STUDENT_FREEDOM + 1) * log1p(z * z / STUDENT_FREEDOM);
}

/// How well genotypes of these means fit together, however far they spread.
static double log_between(const residuals *r) {
    size_t count = 0;
    for (size_t g = 0; g < r->genotype_count; g++) {
        if (r->count[g] > 0) {
            r->scratch[count++] = r->mean[g];
        }
    }
    if (count < 2) {
        return 0;
    }
    const double middle = ns_median(r->scratch, count);
    for (size_t i = 0; i < count; i++) {
        r->scratch[i] = fabs(r->scratch[i] - middle);
    }
    const double seen = MEDIAN_TO_DEVIATION * ns_median(r->scratch, count);
    const double scale =
        sqrt((BETWEEN_COUNT * BETWEEN_LOG * BETWEEN_LOG + (double)count * seen * seen) /
             (BETWEEN_COUNT + (double)count));
    double sum = -(double)count * log(scale);
    for (size_t i = 0; i < count; i++) {
        sum += log_student(r->scratch[i] / scale);
    }
    return sum;
}

static double residual(const search__law *law, const search__law_point *point,
                       const search__law_trial *trial) {
    return log(trial->error) - log(shape(law, point, trial->flops, trial->sample_count));
}

/// Logarithm of the likelihood of all trials.
static double log_likelihood(const search__law *law, const search__law_point *point,
                             const search__law_trial *trials, size_t count, residuals *r) {
    for (size_t g = 0; g < r->genotype_count; g++) {
        r->mean[g] = 0;
        r->count[g] = 0;
    }
    for (size_t i = 0; i < count; i++) {
        const int g = trials[i].genotype;
        r->count[g]++;
        r->mean[g] += (residual(law, point, &trials[i]) - r->mean[g]) / r->count[g];
    }
    double sum = log_between(r);
    for (size_t i = 0; i < count; i++) {
        const int g = trials[i].genotype;
        if (r->count[g] > 1) {
            sum += log_student((residual(law, point, &trials[i]) - r->mean[g]) / WITHIN_LOG);
        }
    }
    return sum;
}

static void learn(search__law *law, const search__law_trial *trials, size_t count, residuals *r) {
    for (int i = 0; i < SEARCH__LAW_POINTS; i++) {
        law->point[i].weight += log_likelihood(law, &law->point[i], trials, count, r);
    }
}

void search__law_fit(const search__law_input *input, search__law *out) {
    assert(input->image_count > 0 && input->anchor_flops > 0);
    assert(input->winner.error > 0 && input->winner.flops > 0 && input->winner.sample_count > 0);
    *out = (search__law){.image_count = input->image_count,
                         .anchor_flops = input->anchor_flops,
                         .winner = input->winner};
    lay_grid(out);
    residuals r = {0};
    for (size_t i = 0; i < input->trial_count; i++) {
        const size_t needed = (size_t)input->trial[i].genotype + 1;
        r.genotype_count = needed > r.genotype_count ? needed : r.genotype_count;
    }
    r.mean = calloc(r.genotype_count + 1, sizeof *r.mean);
    r.count = calloc(r.genotype_count + 1, sizeof *r.count);
    r.scratch = calloc(r.genotype_count + 1, sizeof *r.scratch);
    if (r.mean != NULL && r.count != NULL && r.scratch != NULL) { // else the prior alone
        learn(out, input->trial, input->trial_count, &r);
    }
    free(r.mean);
    free(r.count);
    free(r.scratch);
    weigh(out);
}

/* ---- the choice ------------------------------------------------------------------------------ */

double search__law_useful_samples(const search__law *law, double flops) {
    double low = 0; // logarithms
    double high = log(SAMPLES_MAX);
    for (int i = 0; i < USEFUL_HALVINGS; i++) {
        const double middle = 0.5 * (low + high);
        const double once = search__law_error(law, flops, exp(middle));
        const double twice = search__law_error(law, flops, 2.0 * exp(middle));
        if (twice < (1.0 - USEFUL_GAIN) * once) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return exp(high);
}

static search__law_choice judge(const search__law *law, const search__law_candidate *candidate,
                                int index) {
    const double possible = candidate->left / candidate->sample_cost;
    const double useful = search__law_useful_samples(law, candidate->flops);
    const double sample_count = fmin(possible, useful);
    return (search__law_choice){
        .index = index,
        .sample_count = sample_count,
        .useful_sample_count = useful,
        .error = search__law_error(law, candidate->flops, sample_count),
    };
}

/// Never fewer images than the winner's trial had.
static bool is_long_enough(const search__law *law, const search__law_choice *choice) {
    return choice->index == 0 || choice->sample_count >= law->winner.sample_count;
}

search__law_choice search__law_choose(const search__law *law,
                                      const search__law_candidate *candidates, int count) {
    assert(count > 0 && count <= SEARCH__LAW_CANDIDATES_MAX);
    search__law_choice choice[SEARCH__LAW_CANDIDATES_MAX] = {judge(law, &candidates[0], 0)};
    double least = choice[0].error;
    for (int i = 1; i < count; i++) {
        choice[i] = judge(law, &candidates[i], i);
        least = is_long_enough(law, &choice[i]) ? fmin(least, choice[i].error) : least;
    }
    search__law_choice best = choice[0];
    for (int i = 1; i < count && best.error > (1.0 + NEAR_THE_LEAST) * least; i++) {
        best = is_long_enough(law, &choice[i]) && choice[i].error < best.error ? choice[i] : best;
    }
    best.error_as_searched = choice[0].error;
    return best;
}
