// The Pareto front of a study: the trials that no other beats in accuracy, speed and size at once,
// and whose models therefore stay on disk, so that a person may take another of them than the
// winner.
//
// A trial belongs to the front when no other within the limits is at least as accurate, as fast and
// as small, and better in one of these. Speed is latency; where no trial's was measured,
// multiply-adds stand in for it. Of trials that are equal in all three the first belongs, of those of
// one network the most accurate.
//
// Only trainings of equal length compare. The trials of a low rung had a fraction of the time, and
// would fill the front with cheap networks that nobody has trained properly: so the front is that of
// the highest rung on which a trial is COMPLETE, of the anchor's not counted. Confirmations stand on
// the last rung, and so belong to it too.
//
// The front of a long study may be long, so only FRONT_MODELS_MAX of its models are kept: the
// fastest, the smallest, and those of the highest objective.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/ladder.h"
#include "search/search_internal.h"

#define FRONT_MODELS_MAX 16

/// A trial as the front sees it.
typedef struct member {
    size_t index;     // among the trials
    const char *hash; // of the network
    double accuracy, cost, params, objective;
} member;

/// The most accurate first; of equals the cheaper, then the smaller, then the earlier.
static int by_accuracy(const void *a, const void *b) {
    const member *left = a;
    const member *right = b;
    if (left->accuracy != right->accuracy) {
        return left->accuracy > right->accuracy ? -1 : 1;
    }
    if (left->cost != right->cost) {
        return left->cost < right->cost ? -1 : 1;
    }
    if (left->params != right->params) {
        return left->params < right->params ? -1 : 1;
    }
    return left->index < right->index ? -1 : 1;
}

int search__front_rung(const results_trial *trials, size_t count) {
    int rung = 0;
    for (size_t i = 0; i < count; i++) {
        if (search__root_of(&trials[i]) != 0 && trials[i].state == RESULTS_COMPLETE &&
            trials[i].rung > rung) {
            rung = trials[i].rung;
        }
    }
    return rung;
}

static bool may_belong(const search_goal *goal, int rung, const results_trial *trial) {
    return trial->state == RESULTS_COMPLETE && trial->rung == rung && !isnan(trial->val_accuracy) &&
           !(search__violation(goal, trial) > 0);
}

/// Those that may belong, into `out`; returns how many.
static size_t members_find(const search_goal *goal, const results_trial *trials, size_t count,
                           member *out) {
    const search__reference reference = search__reference_of(trials, count);
    const int rung = search__front_rung(trials, count);
    size_t found = 0;
    bool measured = false;
    for (size_t i = 0; i < count; i++) {
        measured = measured || (may_belong(goal, rung, &trials[i]) && trials[i].latency_ms > 0);
    }
    for (size_t i = 0; i < count; i++) {
        const results_trial *trial = &trials[i];
        if (may_belong(goal, rung, trial)) {
            const double latency_ms = trial->latency_ms > 0 ? trial->latency_ms : INFINITY;
            out[found++] = (member){
                .index = i,
                .hash = trial->hash != NULL ? trial->hash : "",
                .accuracy = trial->val_accuracy,
                .cost = measured ? latency_ms : (double)trial->flops,
                .params = (double)trial->params,
                .objective = search__objective(goal, &reference, trial),
            };
        }
    }
    return found;
}

/// Whether `a` costs no more than `b`. A repeat of the same network is no faster, whatever was
/// measured.
static bool costs_no_more(const member *a, const member *b) {
    const bool same = a->hash[0] != '\0' && strcmp(a->hash, b->hash) == 0;
    return (same || a->cost <= b->cost) && a->params <= b->params;
}

/// Moves those that none beats to the front of the array; returns how many. Sorted by accuracy, a
/// member can only be beaten by one before it.
static size_t front_find(member *members, size_t count) {
    size_t kept = 0;
    qsort(members, count, sizeof(*members), by_accuracy);
    for (size_t i = 0; i < count; i++) {
        bool beaten = false;
        for (size_t k = 0; k < kept && !beaten; k++) {
            beaten = costs_no_more(&members[k], &members[i]);
        }
        if (!beaten) {
            members[kept++] = members[i];
        }
    }
    return kept;
}

/// The members of the front, malloced into `*out`.
static ns_status front_new(const search_goal *goal, const results_trial *trials, size_t count,
                           member **out, size_t *front_count, ns_error *err) {
    *front_count = 0;
    *out = malloc((count + 1) * sizeof(**out));
    if (*out == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for the front of %zu trials", count);
    }
    *front_count = front_find(*out, members_find(goal, trials, count, *out));
    return NS_OK;
}

ns_status search__front(const search_goal *goal, const results_trial *trials, size_t count,
                        bool *in_front, ns_error *err) {
    member *front = NULL;
    size_t front_count = 0;
    memset(in_front, 0, count * sizeof(*in_front));
    NS_TRY(front_new(goal, trials, count, &front, &front_count, err));
    for (size_t i = 0; i < front_count; i++) {
        in_front[front[i].index] = true;
    }
    free(front);
    return NS_OK;
}

/* ---- which models are kept ------------------------------------------------------------------- */

static int by_objective(const void *a, const void *b) {
    const member *left = a;
    const member *right = b;
    if (left->objective != right->objective) {
        return left->objective > right->objective ? -1 : 1;
    }
    return left->index < right->index ? -1 : 1;
}

/// The fastest and the smallest of the front.
static void mark_ends(const member *front, size_t count, bool *kept) {
    size_t fastest = 0;
    size_t smallest = 0;
    for (size_t i = 1; i < count; i++) {
        fastest = front[i].cost < front[fastest].cost ? i : fastest;
        smallest = front[i].params < front[smallest].params ? i : smallest;
    }
    if (count > 0) {
        kept[front[fastest].index] = true;
        kept[front[smallest].index] = true;
    }
}

/// The longest of the anchor's own, which may win without being confirmed.
static void mark_anchor(const results_trial *trials, size_t count, bool *kept) {
    size_t longest = count;
    for (size_t i = 0; i < count; i++) {
        if (search__root_of(&trials[i]) == 0 && trials[i].state == RESULTS_COMPLETE &&
            (longest == count || trials[i].rung > trials[longest].rung)) {
            longest = i;
        }
    }
    if (longest < count) {
        kept[longest] = true;
    }
}

ns_status search__kept_models(const search_goal *goal, const results_trial *trials, size_t count,
                              bool *kept, ns_error *err) {
    member *front = NULL;
    size_t front_count = 0;
    memset(kept, 0, count * sizeof(*kept));
    NS_TRY(front_new(goal, trials, count, &front, &front_count, err));
    qsort(front, front_count, sizeof(*front), by_objective);
    mark_ends(front, front_count, kept);
    for (size_t i = 0; i < front_count && i < FRONT_MODELS_MAX - 2; i++) {
        kept[front[i].index] = true;
    }
    const int best = search__best_trial(goal, trials, count);
    if (best >= 0) {
        kept[best] = true; // also where no trial is within the limits
    }
    mark_anchor(trials, count, kept);
    const int rung = search__front_rung(trials, count);
    for (size_t i = 0; i < count; i++) {             // the winner will be a confirmation
        const bool is_ahead = trials[i].rung > rung; // will meet rivals, if it is the anchor
        kept[i] = kept[i] || (trials[i].state == RESULTS_COMPLETE &&
                              (is_ahead || trials[i].purpose == RESULTS_CONFIRM));
    }
    free(front);
    return NS_OK;
}

/* ---- a member's model ------------------------------------------------------------------------ */

ns_status search__member_path(const char *store_path, const char *study_name, int number,
                              char path[NS_PATH_MAX], ns_error *err) {
    char dir[NS_PATH_MAX];
    char name[32];
    NS_TRY(search__dir(store_path, study_name, dir, err));
    snprintf(name, sizeof(name), SEARCH__TRIAL_FILE, number);
    NS_TRY(ns_path_join(dir, name, path, err));
    return ns_file_exists(path)
               ? NS_OK
               : ns_fail(err, NS_ERR_NOT_FOUND,
                         "study '%s' has kept no model of trial %d: only those of its Pareto front "
                         "are kept",
                         study_name, number);
}

ns_status search_member_path(const char *store_path, const char *study_name, int number,
                             char path[NS_PATH_MAX], ns_error *err) {
    results_store *store = NULL;
    results_study study;
    NS_TRY(results_open(store_path, RESULTS_READ, &store, err));
    const ns_status status = results_study_get(store, study_name, &study, err);
    results_close(store);
    NS_TRY(status);
    results_study_clear(&study);
    return search__member_path(store_path, study_name, number, path, err);
}
