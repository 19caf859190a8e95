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
// Which images a classifier got right is kept as text: a hexadecimal digit for four images, the
// first image the highest bit, unused bits 0. A ':' and the number of images stand before it.

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/results.h"

#define EXACT_MAX 25 // fewer disagreements than this are judged exactly

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

ns_status results_correct_text(const float *probabilities, const int32_t *labels, size_t count,
                               int label_count, char **out, ns_error *err) {
    static const char digits[] = "0123456789abcdef";
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
    const char *const digits = "0123456789abcdef";
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
static const char *digits_of(const char *text, uint64_t *count) {
    char *end = NULL;
    if (!isdigit((unsigned char)text[0])) {
        return NULL;
    }
    *count = strtoull(text, &end, 10);
    return *end == ':' && *count <= SIZE_MAX / 8 && strlen(end + 1) == (*count + 3) / 4 ? end + 1
                                                                                        : NULL;
}

ns_status results_disagreements(const char *first, const char *second, int64_t *only_first,
                                int64_t *only_second, ns_error *err) {
    uint64_t first_count = 0;
    uint64_t second_count = 0;
    const char *left = digits_of(first, &first_count);
    const char *right = digits_of(second, &second_count);
    *only_first = 0;
    *only_second = 0;
    if (left == NULL || right == NULL) {
        return ns_fail(err, NS_ERR_CORRUPT, "the record of right answers is damaged");
    }
    if (first_count != second_count) {
        return ns_fail(err, NS_ERR_INPUT,
                       "one was judged on %" PRIu64 " images, the other on %" PRIu64, first_count,
                       second_count);
    }
    for (; *left != '\0'; left++, right++) {
        const int a = digit_value(*left);
        const int b = digit_value(*right);
        if (a < 0 || b < 0) {
            return ns_fail(err, NS_ERR_CORRUPT, "the record of right answers is damaged");
        }
        *only_first += bit_count((unsigned)a & ~(unsigned)b);
        *only_second += bit_count((unsigned)b & ~(unsigned)a);
    }
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
