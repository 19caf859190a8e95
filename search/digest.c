// Digest: what a history says of each point, on one scale.
//
// A history holds trials of several fidelities, of several seeds, and of earlier studies. Samplers
// model *points*: a genotype, its value, and how much that value may be trusted.
//
// Values are brought to one scale by equating through what classes of trials have in common, as two
// tests are compared through pupils who took both (Kolen & Brennan 2014, "Test Equating", ch. 4,
// linear methods). A class is a fidelity of a study; the reference is the class of the study's own
// that has most trials. A z-score within each class would not do: only the good are promoted, and
// among themselves half of them are below the mean. An earlier study that shares no point with this
// one is matched by median and spread; one of another data set by its spread, however few points
// are shared, for accuracies there may lie further apart.
//
// Trials under way have no value yet, but are known, so that parallel workers do not repeat one
// another. A failed point is known to be no better than the worst: its value is NaN here.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/sampler.h"

#define CLASSES_MAX    32
#define PAIRS_MIN      4      // fewer tell a shift, and no scale
#define SCALE_MAX      4.0    // of one class to another, either way
#define FIDELITY_MAX   8.0    // a trial of so many times the time counts for so many
#define EARLIER_WEIGHT 0.5    // a trial of an earlier study counts for so much of one of this one
#define FLOOR_SPREADS  2.5    // what is worse than so many spreads below the median is just bad
#define SPREAD_OF_SD   0.6745 // upper quartile of a standard normal distribution

/// Earlier studies' trials first, so that a study's own are the youngest.
static const search_observation *trial_at(const search_history *history, size_t index) {
    return index < history->earlier_count ? &history->earlier[index]
                                          : &history->trial[index - history->earlier_count];
}

static size_t trial_count(const search_history *history) {
    return history->earlier_count + history->count;
}

/* ---- which points there are ------------------------------------------------------------------ */

static uint64_t hash_of(const search_genotype *genotype) {
    uint64_t hash = 0xCBF29CE484222325U; // FNV-1a over words
    for (size_t i = 0; i < sizeof genotype->choice; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, genotype->choice + i, sizeof word);
        hash = (hash ^ word) * 0x100000001B3U;
        hash ^= hash >> 29;
    }
    return hash;
}

/// Slot of `genotype`: where it is, or where it would be.
static size_t slot_of(const search__digest *digest, const search_genotype *genotype) {
    size_t slot = (size_t)hash_of(genotype) & (digest->slot_count - 1);
    while (digest->slot[slot] != 0 && memcmp(&digest->point[digest->slot[slot] - 1].genotype,
                                             genotype, sizeof *genotype) != 0) {
        slot = (slot + 1) & (digest->slot_count - 1);
    }
    return slot;
}

static search__point *find_point(const search__digest *digest, const search_genotype *genotype) {
    const uint32_t at = digest->slot[slot_of(digest, genotype)];
    return at == 0 ? NULL : &digest->point[at - 1];
}

static search__point *add_point(search__digest *digest, const search_genotype *genotype) {
    const size_t slot = slot_of(digest, genotype);
    if (digest->slot[slot] == 0) {
        digest->point[digest->count] = (search__point){.genotype = *genotype};
        digest->slot[slot] = (uint32_t)++digest->count;
    }
    return &digest->point[digest->slot[slot] - 1];
}

bool search__digest_knows(const search__digest *digest, const search_genotype *genotype) {
    const search__point *point = find_point(digest, genotype);
    return point != NULL && point->own;
}

/* ---- classes of trials ----------------------------------------------------------------------- */

typedef struct class_sums {
    int group;
    int64_t fidelity_ms;
    size_t count;
    // of pairs (value here, value in the reference class)
    double pairs, sum, sum_reference, squares, squares_reference;
    double scale, shift, weight;
} class_sums;

typedef struct class_list {
    class_sums one[CLASSES_MAX];
    int count, reference;
} class_list;

static bool is_measured(const search_observation *trial) {
    return (trial->state == RESULTS_COMPLETE || trial->state == RESULTS_PRUNED) &&
           !isnan(trial->val_accuracy);
}

/// Index of the trial's class; a new one as long as there is room, then the last.
static int class_of(class_list *classes, const search_observation *trial) {
    int i = 0;
    while (i < classes->count && (classes->one[i].group != trial->group ||
                                  classes->one[i].fidelity_ms != trial->fidelity_ms)) {
        i++;
    }
    if (i == CLASSES_MAX) {
        return CLASSES_MAX - 1;
    }
    if (i == classes->count) {
        classes->one[classes->count++] =
            (class_sums){.group = trial->group, .fidelity_ms = trial->fidelity_ms};
    }
    return i;
}

/// The most frequent class of the study's own; while it has none, of any.
static int find_reference(const class_list *classes) {
    int best = 0;
    for (int i = 1; i < classes->count; i++) {
        const class_sums *one = &classes->one[i], *rival = &classes->one[best];
        const bool own = one->group == 0, rival_own = rival->group == 0;
        if (own != rival_own ? own : one->count > rival->count) {
            best = i;
        }
    }
    return best;
}

/// Median, and the distance from there to the upper quartile as of a normal distribution: bad
/// values, which lie far apart, say nothing of the good ones. Sorts `value`.
static void median_and_spread(double *value, size_t count, double *median, double *spread) {
    ns_sort_doubles(value, count);
    *median = count > 0 ? value[count / 2] : 0;
    *spread = count > 0 ? (value[(3 * count) / 4] - *median) / SPREAD_OF_SD : 0;
    if (*spread <= 0 && count > 0) {
        *spread = (value[count - 1] - value[0]) / 2;
    }
}

/// Collects the values of a class into `scratch`.
static void class_spread(const search_history *history, class_list *classes, int class,
                         double *scratch, double *median, double *spread) {
    size_t count = 0;
    for (size_t i = 0; i < trial_count(history); i++) {
        const search_observation *trial = trial_at(history, i);
        if (is_measured(trial) && class_of(classes, trial) == class) {
            scratch[count++] = trial->val_accuracy;
        }
    }
    median_and_spread(scratch, count, median, spread);
}

/// Matches median and spread: for an earlier study that has no point in common with this one.
static void match_spread(const search_history *history, class_list *classes, int class,
                         double *scratch) {
    double median, spread, to_median, to_spread;
    class_sums *one = &classes->one[class];
    class_spread(history, classes, class, scratch, &median, &spread);
    class_spread(history, classes, classes->reference, scratch, &to_median, &to_spread);
    const bool enough = one->count >= PAIRS_MIN && spread > 0 && to_spread > 0 &&
                        classes->one[classes->reference].count >= PAIRS_MIN;
    one->scale = enough ? fmin(fmax(to_spread / spread, 1 / SCALE_MAX), SCALE_MAX) : 1;
    one->shift = to_median - one->scale * median;
}

static void match_pairs(class_sums *one) {
    const double mean = one->sum / one->pairs, mean_reference = one->sum_reference / one->pairs;
    const double variance = one->squares / one->pairs - mean * mean;
    const double variance_reference =
        one->squares_reference / one->pairs - mean_reference * mean_reference;
    one->scale = 1;
    if (one->pairs >= PAIRS_MIN && variance > 0 && variance_reference > 0) {
        one->scale = fmin(fmax(sqrt(variance_reference / variance), 1 / SCALE_MAX), SCALE_MAX);
    }
    one->shift = mean_reference - one->scale * mean;
}

static void link_class(const search_history *history, class_list *classes, int class,
                       double *scratch) {
    class_sums *one = &classes->one[class];
    const class_sums *reference = &classes->one[classes->reference];
    one->scale = 1;
    one->shift = 0;
    if (class == classes->reference) {
        one->weight = one->group == 0 ? 1 : EARLIER_WEIGHT;
        return;
    }
    const bool spread_differs = one->group == SEARCH_GROUP_OTHER_DATA && one->pairs < PAIRS_MIN;
    if (one->group != reference->group && (one->pairs <= 0 || spread_differs)) {
        match_spread(history, classes, class, scratch);
    } else if (one->pairs > 0) {
        match_pairs(one);
    }
    if (spread_differs && one->pairs > 0) { // what both have tells the shift
        one->shift = one->sum_reference / one->pairs - one->scale * one->sum / one->pairs;
    }
    const double times = reference->fidelity_ms > 0 && one->fidelity_ms > 0
                             ? (double)one->fidelity_ms / (double)reference->fidelity_ms
                             : 1;
    one->weight =
        one->group == 0 ? fmin(fmax(times, 1 / FIDELITY_MAX), FIDELITY_MAX) : EARLIER_WEIGHT;
}

/* ---- the digest ------------------------------------------------------------------------------ */

static ns_status digest_reserve(search__digest *digest, size_t count, ns_error *err) {
    digest->slot_count = 16;
    while (digest->slot_count < 2 * count) {
        digest->slot_count *= 2;
    }
    digest->point = calloc(count + 1, sizeof *digest->point);
    digest->slot = calloc(digest->slot_count, sizeof *digest->slot);
    digest->scratch = malloc((count + 1) * sizeof *digest->scratch);
    if (digest->point == NULL || digest->slot == NULL || digest->scratch == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold the points of %zu trials", count);
    }
    return NS_OK;
}

/// Finds the points and the classes.
static void collect(const search_history *history, search__digest *digest, class_list *classes) {
    for (size_t i = 0; i < trial_count(history); i++) {
        const search_observation *trial = trial_at(history, i);
        search__point *point = add_point(digest, &trial->genotype);
        point->own |= trial->group == 0;
        point->pending |= !results_trial_is_over(trial->state);
        point->number = i;
        if (is_measured(trial)) {
            classes->one[class_of(classes, trial)].count++;
        }
    }
    classes->reference = find_reference(classes);
}

/// Sums, for each class, over its trials of points that the reference class has too.
static void pair(const search_history *history, search__digest *digest, class_list *classes) {
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < trial_count(history); i++) {
            const search_observation *trial = trial_at(history, i);
            if (!is_measured(trial)) {
                continue;
            }
            const int class = class_of(classes, trial);
            search__point *point = find_point(digest, &trial->genotype);
            if (pass == 0 && class == classes->reference) {
                point->value += trial->val_accuracy;
                point->weight += 1;
            } else if (pass == 1 && class != classes->reference && point->weight > 0) {
                class_sums *one = &classes->one[class];
                const double reference = point->value / point->weight;
                one->pairs += 1;
                one->sum += trial->val_accuracy;
                one->squares += trial->val_accuracy * trial->val_accuracy;
                one->sum_reference += reference;
                one->squares_reference += reference * reference;
            }
        }
    }
}

/// The weighted mean of what was measured of each point, all on the reference's scale.
static void average(const search_history *history, search__digest *digest, class_list *classes) {
    for (size_t i = 0; i < digest->count; i++) {
        digest->point[i].value = digest->point[i].weight = 0;
    }
    for (size_t i = 0; i < trial_count(history); i++) {
        const search_observation *trial = trial_at(history, i);
        if (is_measured(trial)) {
            const class_sums *one = &classes->one[class_of(classes, trial)];
            search__point *point = find_point(digest, &trial->genotype);
            point->value += one->weight * (one->scale * trial->val_accuracy + one->shift);
            point->weight += one->weight;
        }
    }
    for (size_t i = 0; i < digest->count; i++) {
        search__point *point = &digest->point[i];
        point->value = point->weight > 0 ? point->value / point->weight : (double)NAN;
        digest->measured_count += point->weight > 0 ? 1 : 0;
    }
}

/// Scores: the values in spreads from the median, none lower than a floor, which is also what
/// failures get; then to mean 0 and variance 1. One diverged network must not make all others look
/// alike.
static void score(search__digest *digest) {
    size_t count = 0;
    double median, spread, sum = 0, squares = 0;
    for (size_t i = 0; i < digest->count; i++) {
        if (digest->point[i].weight > 0) {
            digest->scratch[count++] = digest->point[i].value;
        }
    }
    median_and_spread(digest->scratch, count, &median, &spread);
    count = 0;
    for (size_t i = 0; i < digest->count; i++) {
        search__point *point = &digest->point[i];
        const double spreads = spread > 0 ? (point->value - median) / spread : 0;
        point->score = point->weight > 0 ? fmax(spreads, -FLOOR_SPREADS) : -FLOOR_SPREADS;
        point->scored = point->weight > 0 || !point->pending;
        if (point->scored) {
            point->weight = point->weight > 0 ? point->weight : 1;
            sum += point->score;
            squares += point->score * point->score;
            count++;
        }
    }
    const double mean = count > 0 ? sum / (double)count : 0;
    const double variance = count > 0 ? squares / (double)count - mean * mean : 0;
    for (size_t i = 0; i < digest->count; i++) {
        search__point *point = &digest->point[i];
        point->score = variance > 1e-12 ? (point->score - mean) / sqrt(variance) : 0;
    }
}

ns_status search__digest_make(const search_history *history, search__digest *out, ns_error *err) {
    *out = (search__digest){0};
    const ns_status status = digest_reserve(out, trial_count(history), err);
    if (status != NS_OK) {
        search__digest_clear(out);
        return status;
    }
    class_list classes = {.count = 0};
    collect(history, out, &classes);
    pair(history, out, &classes);
    for (int i = 0; i < classes.count; i++) {
        link_class(history, &classes, i, out->scratch);
    }
    average(history, out, &classes);
    score(out);
    return NS_OK;
}

void search__digest_clear(search__digest *digest) {
    free(digest->point);
    free(digest->slot);
    free(digest->scratch);
    *digest = (search__digest){0};
}

/* ---- choosing among points ------------------------------------------------------------------- */

static int compare_scores(const void *a, const void *b) {
    const search__point *left = *(const search__point *const *)a;
    const search__point *right = *(const search__point *const *)b;
    if (left->scored != right->scored) {
        return left->scored ? -1 : 1;
    }
    if (left->scored && left->score != right->score) {
        return left->score > right->score ? -1 : 1;
    }
    return (left->number > right->number) - (left->number < right->number);
}

static int compare_ages(const void *a, const void *b) {
    const search__point *left = *(const search__point *const *)a;
    const search__point *right = *(const search__point *const *)b;
    return (left->number < right->number) - (left->number > right->number);
}

void search__points_by_score(const search__point **point, size_t count) {
    qsort(point, count, sizeof(const search__point *), compare_scores);
}

void search__points_by_age(const search__point **point, size_t count) {
    qsort(point, count, sizeof(const search__point *), compare_ages);
}
