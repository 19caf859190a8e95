// Is one study better than another? Pure functions over what two studies left behind.
//
// Two classifiers that were judged on the same images are compared by the images on which they
// disagree (McNemar 1947, "Note on the sampling error of the difference between correlated
// proportions or percentages"): of n images that exactly one of them got right, each had an even
// chance under the null hypothesis. Few such images are judged by the binomial distribution itself,
// many by chi-squared with Edwards' correction for continuity (Edwards 1948, "Note on the
// 'correction for continuity' in testing the significance of the difference between correlated
// proportions").
//
// Where an image may have several labels it is more or less right, and has a score in [0, 1]. Then the
// differences of the two scores are compared, image by image, by Fisher's randomisation test (Fisher
// 1935, "The Design of Experiments", section 21; Pitman 1937, "Significance tests which may be applied
// to samples from any populations"): under the null hypothesis either model could have had either
// of an image's two scores, so each difference had either sign with an even chance, and the statistic
// is their sum. Of scores that are all 0 or 1 it is McNemar's test. The sums of all choices of signs
// are counted exactly, image by image, as scores are whole steps (Pagano & Tritchler 1983, "On
// obtaining permutation distributions in polynomial time"); of many images their sum is normal, with
// mean 0 and the sum of the squares for its variance.
//
// Which images a classifier got right is kept as text: a hexadecimal digit for four images, the
// first image the highest bit, unused bits 0. A ':' and the number of images stand before it. Scores
// are kept the same way, two digits an image.

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/results.h"

#define EXACT_MAX        25  // fewer disagreements than this are judged exactly
#define EXACT_SCORES_MAX 200 // differences of scores, the same
#define SCORE_STEPS      240 // of a score: a half, third, quarter, fifth, sixth are whole numbers
#define BITS_RIGHT       1   // an image
#define BITS_SCORE       8
#define DAMAGED          "the record of test answers is damaged"

/* ---- McNemar's test -------------------------------------------------------------------------- */

/// Probability that of `n` fair coins at most `k` or at least n - k show heads, k <= n / 2.
static double binomial_two_sided(int64_t k, int64_t n) {
    double term = pow(0.5, (double)n); // C(n, 0) / 2^n
    double sum = term;
    for (int64_t i = 1; i <= k; i++) {
        term *= (double)(n - i + 1) / (double)i;
        sum += term;
    }
    return fmin(2 * sum, 1); // an even split is counted twice
}

results_mcnemar results_mcnemar_of(int64_t only_first, int64_t only_second) {
    const int64_t count = only_first + only_second;
    results_mcnemar test = {.only_first = only_first,
                            .only_second = only_second,
                            .exact = count < EXACT_MAX,
                            .chi_squared = (double)NAN};
    if (test.exact) {
        test.p = binomial_two_sided(only_first < only_second ? only_first : only_second, count);
        return test;
    }
    const double distance = fmax(fabs((double)(only_first - only_second)) - 1, 0);
    test.chi_squared = distance * distance / (double)count;
    test.p = erfc(sqrt(test.chi_squared / 2)); // one degree of freedom
    return test;
}

/* ---- which images were right ----------------------------------------------------------------- */

static const char digits[] = "0123456789abcdef";

ns_status results_correct_text(const float *probabilities, const int32_t *labels, size_t count,
                               int label_count, char **out, ns_error *err) {
    const size_t digit_count = (count + 3) / 4;
    *out = malloc(digit_count + 32);
    if (*out == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to keep the answers to %zu images", count);
    }
    char *at = *out + snprintf(*out, 32, "%zu:", count);
    for (size_t i = 0; i < digit_count; i++) {
        unsigned bits = 0;
        for (size_t image = 4 * i; image < 4 * i + 4; image++) {
            const float *row = probabilities + image * (size_t)label_count;
            const bool right = image < count && results_argmax(row, label_count) == labels[image];
            bits = bits << 1 | (right ? 1U : 0U);
        }
        *at++ = digits[bits];
    }
    *at = '\0';
    return NS_OK;
}

/// Value of a hexadecimal digit, -1 for anything else.
static int digit_value(char digit) {
    const char *at = digit != '\0' ? strchr(digits, digit) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static int bit_count(unsigned bits) {
    int count = 0;
    for (; bits != 0; bits >>= 1) {
        count += (int)(bits & 1U);
    }
    return count;
}

/// The digits behind the number of images, which goes to `*count`; NULL when the text is none.
static const char *digits_of(const char *text, unsigned bits, uint64_t *count) {
    char *end = NULL;
    if (!isdigit((unsigned char)text[0])) {
        return NULL;
    }
    *count = strtoull(text, &end, 10);
    const bool sound =
        *end == ':' && *count <= SIZE_MAX / 16 && strlen(end + 1) == (bits * *count + 3) / 4;
    return sound ? end + 1 : NULL;
}

/// The digits of two texts of as many images. NS_ERR_INPUT, NS_ERR_CORRUPT.
static ns_status both_digits_of(const char *first, const char *second, unsigned bits,
                                const char **left, const char **right, uint64_t *count,
                                ns_error *err) {
    uint64_t second_count = 0;
    *left = digits_of(first, bits, count);
    *right = digits_of(second, bits, &second_count);
    if (*left == NULL || *right == NULL) {
        return ns_fail(err, NS_ERR_CORRUPT, DAMAGED);
    }
    return *count == second_count
               ? NS_OK
               : ns_fail(err, NS_ERR_INPUT,
                         "one was judged on %" PRIu64 " images, the other on %" PRIu64, *count,
                         second_count);
}

ns_status results_disagreements(const char *first, const char *second, int64_t *only_first,
                                int64_t *only_second, ns_error *err) {
    const char *left = NULL;
    const char *right = NULL;
    uint64_t count = 0;
    *only_first = 0;
    *only_second = 0;
    NS_TRY(both_digits_of(first, second, BITS_RIGHT, &left, &right, &count, err));
    for (; *left != '\0'; left++, right++) {
        const int a = digit_value(*left);
        const int b = digit_value(*right);
        if (a < 0 || b < 0) {
            return ns_fail(err, NS_ERR_CORRUPT, DAMAGED);
        }
        *only_first += bit_count((unsigned)a & ~(unsigned)b);
        *only_second += bit_count((unsigned)b & ~(unsigned)a);
    }
    return NS_OK;
}

/* ---- scores of images ------------------------------------------------------------------------ */

ns_status results_scores_text(const double *scores, size_t count, char **out, ns_error *err) {
    *out = malloc(2 * count + 32);
    if (*out == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to keep the scores of %zu images", count);
    }
    char *at = *out + snprintf(*out, 32, "%zu:", count);
    for (size_t i = 0; i < count; i++) {
        const unsigned steps = (unsigned)lround(SCORE_STEPS * scores[i]);
        *at++ = digits[steps >> 4 & 15];
        *at++ = digits[steps & 15];
    }
    *at = '\0';
    return NS_OK;
}

/// The score of which two digits are the first; -1 when they are none.
static int steps_of(const char *at) {
    const int high = digit_value(at[0]);
    const int low = digit_value(at[1]);
    const int steps = high < 0 || low < 0 ? -1 : 16 * high + low;
    return steps <= SCORE_STEPS ? steps : -1;
}

/// The differences between two models' scores, in steps.
typedef struct differences {
    int64_t first_better, second_better; // images
    int64_t sum, size_sum, square_sum;   // of the differences, without their signs, and squared
    int size[EXACT_SCORES_MAX];          // the first of them that are not 0, without their signs
} differences;

static void add_difference(differences *d, int steps) {
    const int64_t count = d->first_better + d->second_better;
    if (steps == 0) {
        return;
    }
    if (count < EXACT_SCORES_MAX) {
        d->size[count] = abs(steps);
    }
    d->first_better += steps > 0 ? 1 : 0;
    d->second_better += steps < 0 ? 1 : 0;
    d->sum += steps;
    d->size_sum += abs(steps);
    d->square_sum += (int64_t)steps * steps;
}

static ns_status differences_of(const char *first, const char *second, differences *out,
                                uint64_t *count, ns_error *err) {
    const char *left = NULL;
    const char *right = NULL;
    *out = (differences){0};
    NS_TRY(both_digits_of(first, second, BITS_SCORE, &left, &right, count, err));
    for (uint64_t i = 0; i < *count; i++) {
        const int a = steps_of(left + 2 * i);
        const int b = steps_of(right + 2 * i);
        if (a < 0 || b < 0) {
            return ns_fail(err, NS_ERR_CORRUPT, DAMAGED);
        }
        add_difference(out, a - b);
    }
    return NS_OK;
}

/// Probability that the differences, with signs at random, sum up to as much as they do, or more, in
/// either direction. `chance` (size_sum + 1, all 0): of every sum of those with a plus.
static double exact_two_sided(const differences *d, double *chance) {
    const int64_t count = d->first_better + d->second_better;
    const int64_t least = (d->size_sum + llabs(d->sum)) / 2; // of those with a plus
    int64_t reached = 0;
    double p = 0;
    chance[0] = 1;
    for (int64_t i = 0; i < count; i++) {
        reached += d->size[i];
        for (int64_t sum = reached; sum >= 0; sum--) {
            const double with = sum >= d->size[i] ? chance[sum - d->size[i]] : 0;
            chance[sum] = (chance[sum] + with) / 2;
        }
    }
    for (int64_t sum = least; sum <= d->size_sum; sum++) {
        p += chance[sum];
    }
    return fmin(2 * p, 1); // a sum of 0 is counted twice
}

ns_status results_paired_of(const char *first, const char *second, results_paired *out,
                            ns_error *err) {
    differences d;
    uint64_t count = 0;
    *out = (results_paired){0};
    NS_TRY(differences_of(first, second, &d, &count, err));
    *out = (results_paired){
        .first_better = d.first_better,
        .second_better = d.second_better,
        .difference = count > 0 ? (double)d.sum / SCORE_STEPS / (double)count : (double)NAN,
        .exact = d.first_better + d.second_better <= EXACT_SCORES_MAX,
    };
    if (!out->exact) {
        out->p = erfc(fabs((double)d.sum) / sqrt(2 * (double)d.square_sum));
        return NS_OK;
    }
    double *chance = calloc((size_t)d.size_sum + 1, sizeof(*chance));
    if (chance == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to compare the scores of images");
    }
    out->p = exact_two_sided(&d, chance);
    free(chance);
    return NS_OK;
}

/* ---- best so far ----------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b) {
    const results_point *left = a;
    const results_point *right = b;
    return (left->node_ms > right->node_ms) - (left->node_ms < right->node_ms);
}

size_t results_best_so_far(results_point *points, size_t count) {
    size_t kept = 0;
    qsort(points, count, sizeof(*points), by_time);
    for (size_t i = 0; i < count; i++) {
        if (!isnan(points[i].value) && (kept == 0 || points[i].value > points[kept - 1].value)) {
            points[kept++] = points[i];
        }
    }
    return kept;
}

double results_best_at(const results_point *curve, size_t count, int64_t node_ms) {
    double best = (double)NAN;
    for (size_t i = 0; i < count && curve[i].node_ms <= node_ms; i++) {
        best = curve[i].value;
    }
    return best;
}

results_rise results_rise_of(const results_point *curve, size_t count, int64_t end_ms,
                             int64_t window_ms) {
    results_rise gain = {.value = (double)NAN};
    if (count == 0 || curve[0].node_ms >= end_ms) {
        return gain;
    }
    int64_t from_ms = end_ms - window_ms;
    from_ms = from_ms > curve[0].node_ms ? from_ms : curve[0].node_ms;
    gain.node_ms = end_ms - from_ms;
    gain.value = results_best_at(curve, count, end_ms) - results_best_at(curve, count, from_ms);
    return gain;
}
