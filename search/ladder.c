// The ladder: what a worker that asks should do next.
//
// Trials stand on rungs. A trial of rung 1 is a training of its own with a schedule three times as
// long as that of rung 0, not the continuation of an unfinished one: where the learning rate has not
// come down, ranks predict little. Who climbs is decided by asynchronous successive halving (Li et
// al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2): of the trials of
// a rung that have ended the best third, as soon as there are three, without waiting for the rest.
//
// A worker gets, in this order:
//   1. what waits and still fits: proposed by somebody who died or was faster at proposing;
//   2. a promotion that is due, from the highest rung that has one;
//   3. a new proposal at rung 0, as long as time remains for it and for the promotions that all
//      trials so far entitle to, and more trials are expected to pay (below);
//   4. a confirmation: the anchor and the best few (the last rung that has any but the anchor, no
//      further below its best than two standard errors of such a difference) get new seeds at the
//      last rung's length, seed by seed, the anchor first. Who would have to gain more than two such
//      errors to replace the anchor (confirm.c says by how much one must beat it) is no rival; where
//      there is none, the time goes to retraining. What follows from the search's best is only known
//      when no trial of it runs any more: until then whoever has nothing else waits.
//
// All of it is a pure function of the trials in the store, the plan and the ledger's position, so
// workers agree, and a resumed study goes on as it would have.
//
// When the search has converged. At the highest rung with at least 10 complete trials, let m and s be
// mean and deviation of the last 20 of them, b the best, and e the error of one trial: what the
// luck of a seed and of the validation images contributes. Of a trial's deviation only the share
// r = 1 - e^2 / s^2 is its own, so one more trial promises an expected improvement (Mockus 1975;
// Jones, Schonlau & Welch 1998) of
//     r s (phi(z) - z (1 - Phi(z))),   z = (b - m) / s
// for the time c that it takes, its predecessors on the rungs below included. The same time lengthens
// a retraining of length t by c; errors fall about as the 20th root of training time, which makes
// that worth 0.05 (1 - b) c / t. When the first is less than the second nothing more is proposed.
// A proposal is assumed to be as good as recent ones: the window follows a sampler that learns.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/ladder.h"

#define OVERTIME_PERCENT 10 // rounds drift: the last trial may end this part of it past its share
#define JUDGED_MIN       10
#define JUDGED_MAX       20
#define ERROR_POWER      0.05
#define RIVAL_ERRORS     2.0

typedef struct rank {
    double value;
    int number;
} rank;

/// What all trials come to, by the rung and by the genotype's first trial.
typedef struct standing {
    const search__ladder *ladder;
    int8_t *rung_max;                     // by number: the highest rung that it has a trial on
    rank *order;                          // of the trials of one rung, best first
    int known_count[BUDGET_RUNGS_MAX];    // trials in any state
    int ended_count[BUDGET_RUNGS_MAX];    // of them, that have ended
    int complete_count[BUDGET_RUNGS_MAX]; // of those, with a result
    int running_count;
} standing;

int search__root_of(const results_trial *trial) {
    return trial->source_number >= 0 ? trial->source_number : trial->number;
}

static bool is_ranked(const search__ladder *ladder, size_t index) {
    return ladder->trials[index].state == RESULTS_COMPLETE && !isnan(ladder->value[index]);
}

static int64_t rung_ms(const search__ladder *ladder, int rung) {
    return ladder->plan->rung[rung].trial_ms;
}

static bool fits(const search__ladder *ladder, int64_t trial_ms, int64_t owed_ms, int64_t end_ms) {
    return ladder->position_ms + trial_ms + owed_ms <= end_ms + trial_ms * OVERTIME_PERCENT / 100;
}

static void count_trial(standing *s, const results_trial *trial, size_t index) {
    const int rung = trial->rung < BUDGET_RUNGS_MAX ? trial->rung : BUDGET_RUNGS_MAX - 1;
    s->running_count += trial->state == RESULTS_RUNNING && trial->purpose == RESULTS_SEARCH;
    if (trial->purpose == RESULTS_SEARCH) {
        const int root = search__root_of(trial);
        s->rung_max[root] = s->rung_max[root] > rung ? s->rung_max[root] : (int8_t)rung;
        s->known_count[rung]++;
        s->ended_count[rung] += results_trial_is_over(trial->state);
        s->complete_count[rung] += is_ranked(s->ladder, index);
    }
}

static ns_status standing_new(const search__ladder *ladder, standing *out, ns_error *err) {
    *out = (standing){.ladder = ladder};
    out->rung_max = calloc(ladder->count + 1, sizeof *out->rung_max);
    out->order = calloc(ladder->count + 1, sizeof *out->order);
    if (out->rung_max == NULL || out->order == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot rank %zu trials", ladder->count);
    }
    for (size_t i = 0; i < ladder->count; i++) {
        count_trial(out, &ladder->trials[i], i);
    }
    return NS_OK;
}

static void standing_free(standing *s) {
    free(s->rung_max);
    free(s->order);
}

static int compare_ranks(const void *left, const void *right) {
    const rank *a = left;
    const rank *b = right;
    const int by_value = (a->value < b->value) - (a->value > b->value);
    return by_value != 0 ? by_value : (a->number > b->number) - (a->number < b->number);
}

/// Sorts the search's complete trials of `rung` into `s->order`, best first; returns how many.
static size_t rank_rung(standing *s, int rung) {
    const search__ladder *ladder = s->ladder;
    size_t count = 0;
    for (size_t i = 0; i < ladder->count; i++) {
        const results_trial *trial = &ladder->trials[i];
        if (trial->purpose == RESULTS_SEARCH && trial->rung == rung && is_ranked(ladder, i)) {
            s->order[count++] = (rank){ladder->value[i], search__root_of(trial)};
        }
    }
    qsort(s->order, count, sizeof *s->order, compare_ranks);
    return count;
}

/* ---- what waits ------------------------------------------------------------------------------ */

static bool next_claim(const search__ladder *ladder, search__next *out) {
    for (size_t i = 0; i < ladder->count; i++) {
        const results_trial *trial = &ladder->trials[i];
        const int64_t end_ms = trial->purpose == RESULTS_CONFIRM ? ladder->plan->confirm_end_ms
                                                                 : ladder->plan->search_end_ms;
        if (trial->state == RESULTS_WAITING && fits(ladder, trial->fidelity_ms, 0, end_ms)) {
            *out = (search__next){.move = SEARCH_MOVE_CLAIM, .number = trial->number};
            return true;
        }
    }
    return false;
}

/* ---- climbing -------------------------------------------------------------------------------- */

static bool next_promotion_from(standing *s, int rung, search__next *out) {
    const size_t quota = (size_t)(s->ended_count[rung] / BUDGET_RUNG_RATIO);
    if (quota == 0 ||
        !fits(s->ladder, rung_ms(s->ladder, rung + 1), 0, s->ladder->plan->search_end_ms)) {
        return false;
    }
    const size_t count = rank_rung(s, rung);
    for (size_t i = 0; i < quota && i < count; i++) {
        if (s->rung_max[s->order[i].number] <= rung) {
            *out = (search__next){.move = SEARCH_MOVE_REPEAT,
                                  .number = s->order[i].number,
                                  .rung = rung + 1,
                                  .purpose = RESULTS_SEARCH};
            return true;
        }
    }
    return false;
}

static bool next_promotion(standing *s, search__next *out) {
    for (int rung = s->ladder->plan->rung_count - 2; rung >= 0; rung--) {
        if (next_promotion_from(s, rung, out)) {
            return true;
        }
    }
    return false;
}

/// Node time of the promotions that the trials so far and one more at rung 0 will be due, when all
/// of them come to an end.
static int64_t owed_ms(const standing *s) {
    const budget_plan *plan = s->ladder->plan;
    int below = s->known_count[0] + 1;
    int64_t owed = 0;
    for (int rung = 1; rung < plan->rung_count; rung++) {
        const int due = below / BUDGET_RUNG_RATIO;
        const int known = s->known_count[rung];
        owed +=
            (due > known ? due - known : 0) * budget_slot_ms(plan->kind, plan->rung[rung].trial_ms);
        below = due > known ? due : known;
    }
    return owed / plan->worker_count;
}

/* ---- convergence ----------------------------------------------------------------------------- */

double search__trial_error(double accuracy, size_t image_count) {
    const double luck = accuracy * (1 - accuracy) / (double)(image_count > 0 ? image_count : 1);
    return sqrt(SEARCH__IMAGES_OWN * luck + SEARCH__SEED_SIGMA * SEARCH__SEED_SIGMA);
}

double search__expected_improvement(double mean, double deviation, double error, double best) {
    if (!(deviation > 0)) {
        return 0;
    }
    const double own = fmax(1 - error * error / (deviation * deviation), 0);
    const double z = (best - mean) / deviation;
    const double density = exp(-z * z / 2) / sqrt(2 * acos(-1));
    return own * deviation * (density - z * erfc(z / sqrt(2)) / 2);
}

/// Mean and deviation of the last JUDGED_MAX results of `rung`, and the best of all of them.
static void judge(const search__ladder *ladder, int rung, double *mean, double *deviation,
                  double *best) {
    double last[JUDGED_MAX];
    int count = 0;
    *mean = 0;
    *best = -INFINITY;
    for (size_t i = ladder->count; i > 0; i--) {
        const results_trial *trial = &ladder->trials[i - 1];
        if (trial->purpose != RESULTS_SEARCH || trial->rung != rung || !is_ranked(ladder, i - 1)) {
            continue;
        }
        *best = fmax(*best, ladder->value[i - 1]);
        if (count < JUDGED_MAX) {
            last[count++] = ladder->value[i - 1];
            *mean += (ladder->value[i - 1] - *mean) / count;
        }
    }
    double squares = 0;
    for (int i = 0; i < count; i++) {
        squares += (last[i] - *mean) * (last[i] - *mean);
    }
    *deviation = sqrt(squares / (count - 1)); // JUDGED_MIN of them at least
}

static bool search_pays(const standing *s) {
    const search__ladder *ladder = s->ladder;
    const budget_plan *plan = ladder->plan;
    int rung = plan->rung_count - 1;
    while (rung >= 0 && s->complete_count[rung] < JUDGED_MIN) {
        rung--;
    }
    if (rung < 0) {
        return true;
    }
    double mean, deviation, best;
    judge(ladder, rung, &mean, &deviation, &best);
    const double error = search__trial_error(mean, ladder->image_count);
    // Each rung below takes as much time for the three that lead to one.
    const double cost_ms =
        (double)(rung + 1) * (double)budget_slot_ms(plan->kind, rung_ms(ladder, rung));
    const double retrain_ms = (double)(plan->retrain_end_ms - plan->confirm_end_ms);
    const double price =
        ERROR_POWER * (1 - best) * cost_ms / plan->worker_count / fmax(retrain_ms, 1);
    return fmin(search__expected_improvement(mean, deviation, error, best), 1 - best) > price;
}

/* ---- confirmation ---------------------------------------------------------------------------- */

/// Whether trial 0, the anchor, has learnt something at some rung.
static bool anchor_competes(const search__ladder *ladder) {
    for (size_t i = 0; i < ladder->count; i++) {
        if (search__root_of(&ladder->trials[i]) == 0 && is_ranked(ladder, i)) {
            return true;
        }
    }
    return false;
}

/// The least that a trial must be worth to be confirmed, among the first `ranked` of `s->order`.
static double least_of_rivals(const standing *s, size_t ranked) {
    const double best = ranked > 0 ? s->order[0].value : 0;
    const double luck = RIVAL_ERRORS * search__trial_error(best, s->ladder->image_count) * sqrt(2);
    double least = best - luck;
    for (size_t i = 0; i < ranked; i++) {
        if (s->order[i].number == 0) {
            const double drift =
                search__rank_drift(fmax(1 - best, 0), search__lengthening(s->ladder->plan));
            least = fmax(least, s->order[i].value + drift - luck);
        }
    }
    return least;
}

/// The first trials of the networks to confirm, the anchor first, then best first; returns how many.
static int find_rivals(standing *s, int rival[SEARCH__RIVALS_MAX]) {
    const budget_plan *plan = s->ladder->plan;
    size_t ranked = 0;
    int count = 0;
    for (int rung = plan->rung_count - 1; rung >= 0; rung--) {
        ranked = rank_rung(s, rung);
        if (ranked > 1 || (ranked == 1 && s->order[0].number != 0)) {
            break;
        }
    }
    if (anchor_competes(s->ladder)) {
        rival[count++] = 0;
    }
    const double least = least_of_rivals(s, ranked);
    for (size_t i = 0; i < ranked && count < plan->confirm_net_count; i++) {
        if (s->order[i].number != 0 && s->order[i].value >= least) {
            rival[count++] = s->order[i].number;
        }
    }
    return count;
}

static bool is_confirmed(const search__ladder *ladder, int number, uint64_t seed) {
    for (size_t i = 0; i < ladder->count; i++) {
        const results_trial *trial = &ladder->trials[i];
        if (trial->purpose == RESULTS_CONFIRM && search__root_of(trial) == number &&
            trial->seed == seed) {
            return true;
        }
    }
    return false;
}

uint64_t search__confirm_seed(uint64_t study_seed, int index) {
    ns_rng rng = ns_rng_stream(study_seed, (uint64_t)index, "confirm");
    return ns_rng_next(&rng) >> 32; // readable, and exact in any JSON
}

/// True when there is something to do or to wait for.
static bool next_confirmation(standing *s, search__next *out) {
    const search__ladder *ladder = s->ladder;
    const budget_plan *plan = ladder->plan;
    const int rung = plan->rung_count - 1;
    int rival[SEARCH__RIVALS_MAX];
    const int count = find_rivals(s, rival);
    for (int index = 0; index < plan->confirm_seed_count; index++) {
        const uint64_t seed = search__confirm_seed(ladder->seed, index);
        for (int i = 0; count > 1 && i < count; i++) {
            if (is_confirmed(ladder, rival[i], seed)) {
                continue;
            }
            if (!fits(ladder, rung_ms(ladder, rung), 0, plan->confirm_end_ms)) {
                return false;
            }
            *out = (search__next){.move = SEARCH_MOVE_REPEAT,
                                  .number = rival[i],
                                  .rung = rung,
                                  .purpose = RESULTS_CONFIRM,
                                  .seed = seed};
            if (rival[i] == 0 || s->running_count == 0) {
                return true;
            }
        }
    }
    *out = (search__next){.move = SEARCH_MOVE_WAIT};
    return s->running_count > 0;
}

/* ---- the next move --------------------------------------------------------------------------- */

static search__next choose(standing *s) {
    const search__ladder *ladder = s->ladder;
    search__next next = {.move = SEARCH_MOVE_END};
    if (ladder->plan->rung_count == 0 || next_claim(ladder, &next) || next_promotion(s, &next)) {
        return next;
    }
    if (!ladder->is_exhausted &&
        fits(ladder, rung_ms(ladder, 0), owed_ms(s), ladder->plan->search_end_ms) &&
        search_pays(s)) {
        return (search__next){.move = SEARCH_MOVE_PROPOSE};
    }
    return next_confirmation(s, &next) ? next : (search__next){.move = SEARCH_MOVE_END};
}

ns_status search__ladder_next(const search__ladder *ladder, search__next *out, ns_error *err) {
    standing s;
    ns_status status = standing_new(ladder, &s, err);
    if (status == NS_OK) {
        *out = choose(&s);
    }
    standing_free(&s);
    return status;
}

ns_status search__has_converged(const search__ladder *ladder, bool *converged, ns_error *err) {
    standing s;
    const ns_status status = standing_new(ladder, &s, err);
    *converged = status == NS_OK && ladder->plan->rung_count > 0 && !search_pays(&s);
    standing_free(&s);
    return status;
}

ns_status search__end_reason(const search__ladder *ladder, const char **reason, ns_error *err) {
    bool converged = false;
    *reason = NULL;
    NS_TRY(search__has_converged(ladder, &converged, err));
    if (ladder->plan->rung_count > 0) {
        *reason = converged              ? SEARCH__END_CONVERGED
                  : ladder->is_exhausted ? SEARCH__END_EXHAUSTED
                                         : SEARCH__END_BUDGET;
    }
    return NS_OK;
}

/* ---- of a run -------------------------------------------------------------------------------- */

ns_status search__ladder_new(const search__run *run, const results_trial *trials, size_t count,
                             search__ladder *out, ns_error *err) {
    const search__reference reference = search__reference_of(trials, count);
    *out = (search__ladder){
        .plan = &run->plan,
        .trials = trials,
        .value = calloc(count + 1, sizeof *out->value),
        .count = count,
        .image_count = run->info->split_count[DATA_VALIDATION],
        .seed = run->config->seed,
        .position_ms = search__position_ms(run),
    };
    if (out->value == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot rank %zu trials", count);
    }
    for (size_t i = 0; i < count; i++) {
        out->value[i] = search__objective(&run->config->goal, &reference, &trials[i]);
    }
    return NS_OK;
}

void search__ladder_clear(search__ladder *ladder) {
    free(ladder->value);
    ladder->value = NULL;
}
