// 95 % intervals of the headline figures, by the percentile bootstrap over images (Efron 1979,
// "Bootstrap methods: another look at the jackknife"; Efron & Tibshirani 1993, ch. 13).
//
// A resample draws as many images as there are, with replacement: it is a weight an image, how often
// it was drawn. So nothing is copied or ranked anew. Each label's images are sorted by score once, and
// one walk along them gives the AUC under any weights; precision and recall are sums of weights over
// the few labels that an image has or is said to have.
//
// Weights of LANES resamples lie side by side, (images, LANES) bytes, so a walk serves all of them at
// once with whole vectors. Each resample has a stream of its own, each figure is summed in the order
// of the labels: the intervals do not depend on the threads.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/metrics_internal.h"

enum { LANES = 64, RESAMPLES_MAX = 1024, RESAMPLES_MIN = 256 };

#define SCORES_FULL       20e6 // images times labels with RESAMPLES_MAX, a few seconds
#define WEIGHTS_BYTES_MAX ((size_t)256 << 20) // held at once

/// A label that an image has, or is said to have, or both.
typedef struct mark {
    uint32_t image;
    int32_t label;
    bool is_true, is_said;
} mark;

typedef struct bootstrap {
    const results_answers *answers;
    uint64_t seed;
    mark *marks;
    size_t mark_count;
    bool *exact;      // (images): all labels right
    uint64_t *order;  // (2, images): scores with images, one label's, and room to sort them
    uint8_t *weights; // (chunks held, images, LANES)
    int resample_count, chunks_held;
    double *accuracy, *macro_f1, *macro_auc; // (resamples); the last a sum until all labels are in
    int *auc_count;                          // (resamples): labels in that sum
} bootstrap;

/* ---- what the model decided ------------------------------------------------------------------ */

/// Counts the marks, and writes them where there is room for them already.
static size_t mark_all(bootstrap *b, results_thresholds thresholds) {
    const results_answers *answers = b->answers;
    size_t count = 0;
    for (size_t i = 0; i < answers->count; i++) {
        const metrics__decision decision = metrics__decide(answers, thresholds, i);
        const float *row = metrics__row(answers, i);
        bool exact = true;
        for (int label = 0; label < answers->label_count; label++) {
            const mark one = {(uint32_t)i, label, metrics__is_true(answers, i, label),
                              metrics__is_said(&decision, row, label)};
            exact = exact && one.is_true == one.is_said;
            if (one.is_true || one.is_said) {
                if (b->marks != NULL) {
                    b->marks[count] = one;
                }
                count++;
            }
        }
        b->exact[i] = exact;
    }
    return count;
}

/* ---- weights --------------------------------------------------------------------------------- */

/// How often each image is drawn in LANES resamples from `first` on: (images, LANES).
static void draw(const bootstrap *b, int first, uint8_t *weights) {
    const size_t count = b->answers->count;
    memset(weights, 0, count * LANES);
    for (int lane = 0; lane < LANES; lane++) {
        ns_rng rng = ns_rng_stream(b->seed, (uint64_t)(first + lane), "bootstrap");
        for (size_t i = 0; i < count; i++) {
            uint8_t *weight = &weights[ns_rng_below(&rng, count) * LANES + (size_t)lane];
            *weight = (uint8_t)(*weight + (*weight < UINT8_MAX)); // 255 of one image: never
        }
    }
}

/* ---- accuracy and F1 ------------------------------------------------------------------------- */

static void add_weights(uint32_t *restrict sums, const uint8_t *restrict weights) {
    for (int lane = 0; lane < LANES; lane++) {
        sums[lane] += weights[lane];
    }
}

/// Weighted counts of each label: (label_count, 3, LANES) in the order of results_counts.
static void count_chunk(const bootstrap *b, const uint8_t *weights, uint32_t *sums) {
    for (size_t i = 0; i < b->mark_count; i++) {
        const mark *one = &b->marks[i];
        const uint8_t *own = weights + (size_t)one->image * LANES;
        uint32_t *label = sums + (size_t)one->label * 3 * LANES;
        if (one->is_true) {
            add_weights(label, own);
        }
        if (one->is_said) {
            add_weights(label + LANES, own);
        }
        if (one->is_true && one->is_said) {
            add_weights(label + (size_t)2 * LANES, own);
        }
    }
}

/// Accuracy and macro F1 of the LANES resamples from `first` on. False: out of memory.
static bool judge_decisions(bootstrap *b, int first, const uint8_t *weights) {
    const int label_count = b->answers->label_count;
    uint32_t right[LANES] = {0};
    uint32_t *sums = calloc((size_t)label_count * 3 * LANES, sizeof(*sums));
    results_counts *counts = malloc((size_t)label_count * sizeof(*counts));
    if (sums == NULL || counts == NULL) {
        free(sums);
        free(counts);
        return false;
    }
    for (size_t i = 0; i < b->answers->count; i++) {
        if (b->exact[i]) {
            add_weights(right, weights + i * LANES);
        }
    }
    count_chunk(b, weights, sums);
    for (int lane = 0; lane < LANES; lane++) {
        for (int label = 0; label < label_count; label++) {
            const uint32_t *own = sums + (size_t)label * 3 * LANES + lane;
            counts[label] = (results_counts){own[0], own[LANES], own[(size_t)2 * LANES]};
        }
        b->accuracy[first + lane] = (double)right[lane] / (double)b->answers->count;
        b->macro_f1[first + lane] = results_averages_of(counts, label_count).macro.f1;
    }
    free(sums);
    free(counts);
    return true;
}

/* ---- macro AUC ------------------------------------------------------------------------------- */

/// A number in the upper half that rises as the score does; the image in the lower.
static uint64_t key_of(float score, size_t image) {
    const float ranked = isnan(score) ? -INFINITY : score + 0.0F; // -0 and 0 are equal
    uint32_t bits = 0;
    memcpy(&bits, &ranked, sizeof(bits));
    bits ^= bits >> 31 != 0 ? UINT32_MAX : UINT32_C(1) << 31;
    return (uint64_t)bits << 32 | (uint32_t)image;
}

/// Sorts by the upper halves, bytes from the lowest on; four passes end where they began.
static void radix_sort(uint64_t *keys, uint64_t *room, size_t count) {
    for (int shift = 32; shift < 64; shift += 8) {
        size_t place[256] = {0};
        for (size_t i = 0; i < count; i++) {
            place[keys[i] >> shift & 255]++;
        }
        size_t before = 0;
        for (int digit = 0; digit < 256; digit++) {
            const size_t here = place[digit];
            place[digit] = before;
            before += here;
        }
        for (size_t i = 0; i < count; i++) {
            room[place[keys[i] >> shift & 255]++] = keys[i];
        }
        uint64_t *const sorted = room;
        room = keys;
        keys = sorted;
    }
}

static void sort_label(bootstrap *b, int label) {
    const size_t count = b->answers->count;
    for (size_t i = 0; i < count; i++) {
        b->order[i] = key_of(metrics__row(b->answers, i)[label], i);
    }
    radix_sort(b->order, b->order + count, count);
}

/// Twice Mann-Whitney's U of LANES weighted resamples, grown along the sorted images.
typedef struct walk {
    uint64_t twice_u[LANES];
    uint32_t below[LANES];             // weight of images without the label, of lower score
    uint32_t with[LANES], tied[LANES]; // of those of the present score, with the label and without
    uint32_t positives[LANES];
} walk;

static void end_score(walk *w) {
    for (int lane = 0; lane < LANES; lane++) {
        w->twice_u[lane] +=
            (uint64_t)w->with[lane] * (2 * (uint64_t)w->below[lane] + w->tied[lane]);
        w->below[lane] += w->tied[lane];
        w->positives[lane] += w->with[lane];
    }
    memset(w->with, 0, sizeof(w->with));
    memset(w->tied, 0, sizeof(w->tied));
}

/// Walks along `b->order` and adds the AUC of `label` to the sums of LANES resamples from `first` on.
static void judge_label(bootstrap *b, int label, int first, const uint8_t *weights) {
    const size_t count = b->answers->count;
    walk w = {0};
    bool pending = false; // some of the present score are not counted in `below` yet
    for (size_t i = 0; i < count; i++) {
        const size_t image = b->order[i] & UINT32_MAX;
        const bool positive = metrics__is_true(b->answers, image, label);
        const bool last = i + 1 == count || b->order[i + 1] >> 32 != b->order[i] >> 32;
        pending = pending || positive || !last;
        add_weights(positive ? w.with : pending ? w.tied : w.below, weights + image * LANES);
        if (last && pending) {
            end_score(&w);
            pending = false;
        }
    }
    for (int lane = 0; lane < LANES; lane++) {
        const double positives = (double)w.positives[lane];
        const double negatives = (double)w.below[lane];
        if (positives > 0 && negatives > 0) {
            b->macro_auc[first + lane] += (double)w.twice_u[lane] / 2 / (positives * negatives);
            b->auc_count[first + lane]++;
        }
    }
}

/* ---- all together ---------------------------------------------------------------------------- */

/// The resamples of the chunks [first, first + held). False: out of memory.
static bool judge_chunks(bootstrap *b, int first, int held, int thread_count) {
    const size_t chunk_bytes = b->answers->count * LANES;
    bool failed = false;
#pragma omp parallel for schedule(dynamic) num_threads(thread_count) reduction(|| : failed)
    for (int i = 0; i < held; i++) {
        uint8_t *weights = b->weights + (size_t)i * chunk_bytes;
        draw(b, (first + i) * LANES, weights);
        failed = !judge_decisions(b, (first + i) * LANES, weights) || failed;
    }
    for (int label = 0; label < b->answers->label_count && !failed; label++) {
        sort_label(b, label);
#pragma omp parallel for schedule(dynamic) num_threads(thread_count)
        for (int i = 0; i < held; i++) {
            judge_label(b, label, (first + i) * LANES, b->weights + (size_t)i * chunk_bytes);
        }
    }
    return !failed;
}

/// Sorts `values`; those that are no numbers, resamples without any image to rank, do not count.
static results_interval interval_of(double *values, size_t count) {
    size_t defined_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isnan(values[i])) {
            values[defined_count++] = values[i];
        }
    }
    if (defined_count == 0) {
        return (results_interval){(double)NAN, (double)NAN};
    }
    ns_sort_doubles(values, defined_count);
    return (results_interval){ns_quantile(values, defined_count, 0.025),
                              ns_quantile(values, defined_count, 0.975)};
}

static int resamples_for(const results_answers *answers) {
    const double scores = (double)answers->count * answers->label_count;
    const double affordable = RESAMPLES_MAX * SCORES_FULL / scores;
    return affordable >= RESAMPLES_MAX   ? RESAMPLES_MAX
           : affordable <= RESAMPLES_MIN ? RESAMPLES_MIN
                                         : (int)(affordable / LANES) * LANES;
}

static ns_status allocate(bootstrap *b, results_thresholds thresholds, ns_error *err) {
    const size_t count = b->answers->count;
    const size_t resamples = (size_t)b->resample_count;
    b->exact = malloc(count * sizeof(*b->exact));
    b->order = malloc(2 * count * sizeof(*b->order));
    b->weights = malloc((size_t)b->chunks_held * count * LANES);
    b->accuracy = calloc(3 * resamples, sizeof(*b->accuracy));
    b->auc_count = calloc(resamples, sizeof(*b->auc_count));
    bool complete = b->exact != NULL && b->order != NULL && b->weights != NULL &&
                    b->accuracy != NULL && b->auc_count != NULL;
    if (complete) {
        b->macro_f1 = b->accuracy + resamples;
        b->macro_auc = b->macro_f1 + resamples;
        b->mark_count = mark_all(b, thresholds);
        b->marks = malloc((b->mark_count + 1) * sizeof(*b->marks));
        complete = b->marks != NULL;
    }
    if (!complete) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for intervals over %zu images", count);
    }
    (void)mark_all(b, thresholds);
    return NS_OK;
}

static void bootstrap_clear(bootstrap *b) {
    free(b->marks);
    free(b->exact);
    free(b->order);
    free(b->weights);
    free(b->accuracy);
    free(b->auc_count);
}

static ns_status resample_all(bootstrap *b, int thread_count, ns_error *err) {
    const int chunk_count = b->resample_count / LANES;
    for (int first = 0; first < chunk_count; first += b->chunks_held) {
        const int left = chunk_count - first;
        const int held = left < b->chunks_held ? left : b->chunks_held;
        if (!judge_chunks(b, first, held, metrics__threads(thread_count))) {
            return ns_fail(err, NS_ERR_MEMORY, "no memory for intervals over %zu images",
                           b->answers->count);
        }
    }
    for (int i = 0; i < b->resample_count; i++) {
        b->macro_auc[i] = b->auc_count[i] > 0 ? b->macro_auc[i] / b->auc_count[i] : (double)NAN;
    }
    return NS_OK;
}

ns_status results_bootstrap(const results_answers *answers, results_thresholds thresholds,
                            uint64_t seed, int thread_count, results_intervals *out,
                            ns_error *err) {
    const results_interval none = {(double)NAN, (double)NAN};
    *out = (results_intervals){none, none, none, 0};
    if (answers->count == 0) {
        return NS_OK;
    }
    bootstrap b = {.answers = answers, .seed = seed, .resample_count = resamples_for(answers)};
    const size_t affordable = WEIGHTS_BYTES_MAX / (answers->count * LANES);
    const int chunk_count = b.resample_count / LANES;
    b.chunks_held = affordable < 1                     ? 1
                    : affordable < (size_t)chunk_count ? (int)affordable
                                                       : chunk_count;
    ns_status status = allocate(&b, thresholds, err);
    if (status == NS_OK) {
        status = resample_all(&b, thread_count, err);
    }
    if (status == NS_OK) {
        const size_t count = (size_t)b.resample_count;
        *out = (results_intervals){interval_of(b.accuracy, count), interval_of(b.macro_auc, count),
                                   interval_of(b.macro_f1, count), b.resample_count};
    }
    bootstrap_clear(&b);
    return status;
}
