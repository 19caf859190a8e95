// Ranks: area under the ROC curve, average precision, and the threshold with the best F1.
//
// All three need to know only how many images without the label stand between which with it. So the
// scores of the images with the label, few in a set of many labels, are sorted into the steps of a
// *ladder*; each of the others is then looked up between or on them and counted. Of n images and L
// labels that is n L look-ups of log(n / L) comparisons on a small table, in the order in which the
// probabilities lie in memory, and no sorting of n L numbers.
//
//   counted  [0] between [1] on [2] between [3] on [4]      images without the label
//   step              0            1                        distinct scores of images with it,
//   holders           3            1                        rising, and how many have each
//
// AUC is Mann-Whitney's U over all pairs, ties counting half (Fawcett 2006, "An introduction to ROC
// analysis"). Average precision is the sum over the steps, from the top, of the recall that a step
// gains times the precision there, as scikit-learn has it. F1 falls wherever a threshold comes down
// past images without the label only, so its maximum is at a step; the threshold is put halfway to
// the next lower score, where new images are judged best.

#include "results/metrics_internal.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

int metrics__threads(int thread_count) {
    return thread_count > 0 ? thread_count : omp_get_max_threads();
}

typedef struct ladder {
    size_t step_count;
    float *step;      // (step_count)
    int64_t *holders; // (step_count)
    int64_t *counted; // (2 step_count + 1)
    float *highest;   // (step_count + 1): of those counted below step i, above i - 1; -INFINITY
} ladder;

/// Memory of one ladder or many.
typedef struct ladder_store {
    float *floats;     // (2 holders + ladders)
    int64_t *integers; // (3 holders + ladders)
} ladder_store;

static void store_clear(ladder_store *store) {
    free(store->floats);
    free(store->integers);
}

static ns_status store_make(ladder_store *store, size_t holder_count, size_t ladder_count,
                            ns_error *err) {
    store->floats = calloc(2 * holder_count + ladder_count + 1, sizeof(*store->floats));
    store->integers = calloc(3 * holder_count + ladder_count + 1, sizeof(*store->integers));
    if (store->floats == NULL || store->integers == NULL) {
        store_clear(store);
        return ns_fail(err, NS_ERR_MEMORY, "no memory to rank %zu images", holder_count);
    }
    return NS_OK;
}

/// The ladder whose holders come after `before` others of `index` ladders.
static ladder ladder_at(const ladder_store *store, size_t before, size_t index, size_t holders) {
    float *floats = store->floats + 2 * before + index;
    int64_t *integers = store->integers + 3 * before + index;
    return (ladder){holders, floats, integers, integers + holders, floats + holders};
}

static int compare_floats(const void *left, const void *right) {
    const float a = *(const float *)left;
    const float b = *(const float *)right;
    return (a > b) - (a < b);
}

/// A score that is no number ranks below all others.
static float score_of(float probability) {
    return isnan(probability) ? -INFINITY : probability;
}

/// Makes steps of the scores that `l->step` was filled with.
static void ladder_build(ladder *l) {
    const size_t count = l->step_count;
    size_t step_count = 0;
    qsort(l->step, count, sizeof(*l->step), compare_floats);
    for (size_t i = 0; i < count; i++) {
        if (step_count == 0 || l->step[i] > l->step[step_count - 1]) {
            l->step[step_count++] = l->step[i];
        }
        l->holders[step_count - 1]++;
    }
    l->step_count = step_count;
    for (size_t i = 0; i <= step_count; i++) {
        l->highest[i] = -INFINITY;
    }
}

/// How many steps are below `score`.
static size_t steps_below(const ladder *l, float score) {
    const float *base = l->step;
    size_t count = l->step_count;
    if (count == 0 || score <= base[0]) { // most of them, when the model is good
        return 0;
    }
    while (count > 1) { // without branches, for they would be guessed wrong half of the time
        const size_t half = count / 2;
        base += base[half - 1] < score ? half : 0;
        count -= half;
    }
    return (size_t)(base - l->step) + (*base < score);
}

/// Where an image without the label belongs in `counted`.
static size_t place_of(const ladder *l, float score, size_t *below) {
    *below = steps_below(l, score);
    return 2 * *below + (*below < l->step_count && l->step[*below] == score);
}

static void ladder_count(ladder *l, float score) {
    size_t below = 0;
    const size_t place = place_of(l, score, &below);
    l->counted[place]++;
    if (place == 2 * below && score > l->highest[below]) {
        l->highest[below] = score;
    }
}

/// Halfway between step `k` and the next lower score.
static double threshold_below(const ladder *l, size_t k) {
    const double step = (double)l->step[k];
    double lower = (double)l->highest[k];
    if (k > 0 && (double)l->step[k - 1] > lower) {
        lower = (double)l->step[k - 1];
    }
    return ((step > 0 ? step : 0) + (lower > 0 ? lower : 0)) / 2;
}

static results_rank ladder_rank(const ladder *l) {
    int64_t positive_count = 0;
    int64_t negative_count = l->counted[2 * l->step_count];
    for (size_t k = 0; k < l->step_count; k++) {
        positive_count += l->holders[k];
        negative_count += l->counted[2 * k] + l->counted[2 * k + 1];
    }
    const double positives = (double)positive_count;
    results_rank rank = {
        .auc = (double)NAN,
        .average_precision = positive_count > 0 ? 0.0 : (double)NAN,
        .best_f1 = positive_count > 0 ? 0.0 : (double)NAN,
        .best_threshold = (double)NAN,
    };
    double u = 0.0;
    int64_t right = 0;                             // images with the label at or above the step
    int64_t wrong = l->counted[2 * l->step_count]; // and without
    for (size_t k = l->step_count; k-- > 0;) {
        const double tied = (double)l->counted[2 * k + 1];
        wrong += l->counted[2 * k + 1];
        right += l->holders[k];
        const double holders = (double)l->holders[k];
        const double f1 = 2.0 * (double)right / ((double)(right + wrong) + positives);
        u += holders * ((double)(negative_count - wrong) + tied / 2.0);
        rank.average_precision += holders / positives * ((double)right / (double)(right + wrong));
        if (f1 > rank.best_f1) {
            rank.best_f1 = f1;
            rank.best_threshold = threshold_below(l, k);
        }
        wrong += l->counted[2 * k];
    }
    if (positive_count > 0 && negative_count > 0) {
        rank.auc = u / (positives * (double)negative_count);
    }
    return rank;
}

/* ---- each label ------------------------------------------------------------------------------ */

/// Images of each label, into `ladders[].step_count`; returns the sum.
static size_t count_holders(const results_answers *answers, ladder *ladders) {
    size_t sum = 0;
    for (size_t i = 0; i < answers->count; i++) {
        for (int label = 0; label < answers->label_count; label++) {
            ladders[label].step_count += metrics__is_true(answers, i, label);
        }
    }
    for (int label = 0; label < answers->label_count; label++) {
        sum += ladders[label].step_count;
    }
    return sum;
}

/// Ranks labels [first, end).
static void rank_range(const results_answers *answers, ladder *ladders, int first, int end,
                       results_rank *out) {
    for (int label = first; label < end; label++) {
        size_t filled = 0;
        for (size_t i = 0; i < answers->count; i++) {
            if (metrics__is_true(answers, i, label)) {
                ladders[label].step[filled++] = score_of(metrics__row(answers, i)[label]);
            }
        }
        ladder_build(&ladders[label]);
    }
    for (size_t i = 0; i < answers->count; i++) {
        const float *row = metrics__row(answers, i);
        for (int label = first; label < end; label++) {
            if (!metrics__is_true(answers, i, label)) {
                ladder_count(&ladders[label], score_of(row[label]));
            }
        }
    }
    for (int label = first; label < end; label++) {
        out[label] = ladder_rank(&ladders[label]);
    }
}

ns_status results_rank_labels(const results_answers *answers, int thread_count, results_rank *out,
                              ns_error *err) {
    const int label_count = answers->label_count;
    const int range = 16; // a cache line of a row
    ladder_store store;
    ladder *ladders = calloc((size_t)label_count, sizeof(*ladders));
    if (ladders == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to rank %d labels", label_count);
    }
    const size_t sum = count_holders(answers, ladders);
    const ns_status status = store_make(&store, sum, (size_t)label_count, err);
    if (status == NS_OK) {
        size_t before = 0;
        for (int label = 0; label < label_count; label++) {
            const size_t holders = ladders[label].step_count;
            ladders[label] = ladder_at(&store, before, (size_t)label, holders);
            before += holders;
        }
#pragma omp parallel for schedule(dynamic) num_threads(metrics__threads(thread_count))
        for (int first = 0; first < label_count; first += range) {
            const int end = first + range < label_count ? first + range : label_count;
            rank_range(answers, ladders, first, end, out);
        }
        store_clear(&store);
    }
    free(ladders);
    return status;
}

results_rank results_rank_macro(const results_rank *ranks, int label_count) {
    double sum[4] = {0};
    int count[4] = {0};
    for (int label = 0; label < label_count; label++) {
        const results_rank *rank = &ranks[label];
        const double figures[4] = {rank->auc, rank->average_precision, rank->best_f1,
                                   rank->best_threshold};
        for (int i = 0; i < 4; i++) {
            sum[i] += isnan(figures[i]) ? 0 : figures[i];
            count[i] += !isnan(figures[i]);
        }
    }
    for (int i = 0; i < 4; i++) {
        sum[i] = count[i] > 0 ? sum[i] / count[i] : (double)NAN;
    }
    return (results_rank){sum[0], sum[1], sum[2], sum[3]};
}

/* ---- all labels at once ---------------------------------------------------------------------- */

#define MICRO_THREADS_MAX 8 // each counts into an array of its own

/// What one thread counted, into `l`.
static void merge(ladder *l, const ladder *part) {
    for (size_t i = 0; i <= 2 * l->step_count; i++) {
        l->counted[i] += part->counted[i];
    }
    for (size_t i = 0; i <= l->step_count; i++) {
        l->highest[i] = part->highest[i] > l->highest[i] ? part->highest[i] : l->highest[i];
    }
}

/// Counts the images [first, end) on the steps of `steps`, in arrays of its own, and adds that up.
static ns_status count_images(const results_answers *answers, size_t first, size_t end,
                              ladder *steps, ns_error *err) {
    ladder_store store;
    NS_TRY(store_make(&store, steps->step_count, 1, err));
    ladder own = ladder_at(&store, 0, 0, steps->step_count);
    own.step = steps->step;
    for (size_t i = 0; i <= own.step_count; i++) {
        own.highest[i] = -INFINITY;
    }
    for (size_t i = first; i < end; i++) {
        const float *row = metrics__row(answers, i);
        for (int label = 0; label < answers->label_count; label++) {
            if (!metrics__is_true(answers, i, label)) {
                ladder_count(&own, score_of(row[label]));
            }
        }
    }
#pragma omp critical(metrics_rank_merge)
    merge(steps, &own);
    store_clear(&store);
    return NS_OK;
}

static void fill_micro(const results_answers *answers, ladder *l) {
    size_t filled = 0;
    for (size_t i = 0; i < answers->count; i++) {
        for (int label = 0; label < answers->label_count; label++) {
            if (metrics__is_true(answers, i, label)) {
                l->step[filled++] = score_of(metrics__row(answers, i)[label]);
            }
        }
    }
    assert(filled == l->step_count);
    ladder_build(l);
}

static size_t count_true(const results_answers *answers) {
    size_t count = 0;
    for (size_t i = 0; i < answers->count; i++) {
        for (int label = 0; label < answers->label_count; label++) {
            count += metrics__is_true(answers, i, label);
        }
    }
    return count;
}

ns_status results_rank_micro(const results_answers *answers, int thread_count, results_rank *out,
                             ns_error *err) {
    int part_count = metrics__threads(thread_count);
    part_count = part_count > MICRO_THREADS_MAX ? MICRO_THREADS_MAX : part_count;
    const size_t holders = count_true(answers);
    ladder_store store;
    NS_TRY(store_make(&store, holders, 1, err));
    ladder all = ladder_at(&store, 0, 0, holders);
    bool failed = false;
    fill_micro(answers, &all);
#pragma omp parallel for schedule(static) num_threads(part_count) reduction(|| : failed)
    for (int part = 0; part < part_count; part++) {
        const size_t first = answers->count * (size_t)part / (size_t)part_count;
        const size_t end = answers->count * ((size_t)part + 1) / (size_t)part_count;
        failed = failed || count_images(answers, first, end, &all, NULL) != NS_OK;
    }
    *out = ladder_rank(&all);
    store_clear(&store);
    return failed ? ns_fail(err, NS_ERR_MEMORY, "no memory to rank %zu images", answers->count)
                  : NS_OK;
}
