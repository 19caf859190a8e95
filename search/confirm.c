// Confirmation: which of the best networks is better, and by how much one may be wrong.
//
// What the search found best was partly lucky: the best of many noisy results is worse than it looks.
// So the trials that found it are not asked again. The rivals (ladder.c), the anchor among them, are
// trained anew with the same new seeds for the same seconds, and compared on the same validation
// images: what two networks both get right or both get wrong tells nothing about which is better, so
// the difference of two is known far better than either accuracy.
//
// Let c(a, s, i) be 1 where network a, trained with seed s, classified image i correctly, for m seeds
// and n images; p(a, s) its mean over images; x(a, i) its mean over seeds; A(a) its mean over both.
// f(a) is what a's objective is of its accuracy: 1 for the target accuracy (objective.c).
//
//   value             V(a) = f(a) A(a);  the leader is the rival of the highest
//   difference        D(a, b) = V(a) - V(b)
//   standard error    SE(a, b)^2 =   1 / n  var over i of (f(a) x(a, i) - f(b) x(b, i))
//                                  + 2 / m  sigma^2
//   luck of a seed    sigma^2 = (4 s0^2 + sum over a, s of (p(a, s) - A(a))^2) / (4 + R (m - 1))
//
// (Of a multi-label set c is the Jaccard index, in [0, 1]; see score.c. Nothing else changes: each
// term is a mean over images, or a variance of such values.)
//
// for R rivals: two networks differ by the images that happen to be in the split (the first term,
// paired) and by the seeds that they happened to be trained with (the second). Few seeds say little
// of sigma, so it is pooled over all rivals and begins from a known value (s0 = 0.15 %), which
// counts as four observations.
//
// The rule: who is ahead of the anchor by no more than one standard error leaves it the winner, and
// that standard error is of the retraining, not of the trials:
//
//   SE'(a, b)^2 = SE(a, b)^2 + (f(a) (1 - A(a)) tau ln(T / t))^2,   tau = 0.05
//
// for trials of length t and a retraining of length T. Ranks change from short schedules to long
// ones: a high rate or a small network may win two epochs and lose twenty. The anchor is known to be
// good for schedules of any length; others are only known to be good for one of length t. By how
// much the ratio of two errors may change is taken to grow with the logarithm of T / t; tau is a round
// figure (0.14 for a retraining that is sixteen times longer).
//
// When the leader is further ahead than that, then among the rivals b with D(leader, b) <=
// SE(leader, b) the fastest wins, the one that was trained on most images in those seconds, for
// retraining has more epochs for it; of those within 5 % of its speed the one of the highest value.
// Limits are kept before all that: who exceeds one is no rival of those that do not.
//
// A trial that was slower than another of the same network by a quarter was disturbed: somebody else
// had the cores, and the same seconds were fewer images. It is no confirmation.
//
// A rival whose confirmation failed, or was pruned, is out; seeds that not all have are not counted.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/ladder.h"

#define SEED_PRIOR_COUNT 4.0
#define AS_FAST          1.05
#define RANK_DRIFT       0.05 // of the logarithm of an error, by e times longer a schedule
#define DISTURBED        0.75 // of the speed that a network is known to have

/* ---- the statistics -------------------------------------------------------------------------- */

static double accuracy_of(const search__verdict *verdict, const uint8_t *scores) {
    double sum = 0;
    for (size_t i = 0; i < verdict->image_count; i++) {
        sum += search__image_score(scores, verdict->in_bytes, i);
    }
    return sum / (double)verdict->image_count;
}

/// Accuracy and speed of a rival; returns the sum of squares of its seeds about their mean.
static double measure(const search__verdict *verdict, search__rival *rival) {
    double accuracy[BUDGET_CONFIRM_SEEDS_MAX];
    double squares = 0;
    double samples = 0;
    double seconds = 0;
    rival->accuracy = 0;
    for (int s = 0; s < rival->seed_count; s++) {
        accuracy[s] = accuracy_of(verdict, rival->correct[s]);
        rival->accuracy += accuracy[s] / rival->seed_count;
        samples += (double)rival->trials[s]->sample_count;
        seconds += (double)rival->trials[s]->fidelity_ms / 1000;
    }
    for (int s = 0; s < rival->seed_count; s++) {
        squares += (accuracy[s] - rival->accuracy) * (accuracy[s] - rival->accuracy);
    }
    rival->images_per_s = seconds > 0 ? samples / seconds : 0;
    return squares;
}

double search__scale(double value, double accuracy) {
    return accuracy > 0 ? value / accuracy : 1;
}

/// Of how many seeds image `index` was classified correctly, over the seeds.
static double share_at(const search__verdict *verdict, const search__rival *rival, size_t index) {
    double correct = 0;
    for (int s = 0; s < rival->seed_count; s++) {
        correct += search__image_score(rival->correct[s], verdict->in_bytes, index);
    }
    return correct / rival->seed_count;
}

static double standard_error(const search__verdict *verdict, const search__rival *a,
                             const search__rival *b) {
    const double n = (double)verdict->image_count;
    const double mean = a->value - b->value;
    const double scale_a = search__scale(a->value, a->accuracy);
    const double scale_b = search__scale(b->value, b->accuracy);
    double squares = 0;
    for (size_t i = 0; i < verdict->image_count; i++) {
        const double d =
            scale_a * share_at(verdict, a, i) - scale_b * share_at(verdict, b, i) - mean;
        squares += d * d;
    }
    const double of_images = n > 1 ? squares / (n - 1) / n : 0;
    const double of_seeds = 2 * verdict->seed_sigma * verdict->seed_sigma / a->seed_count;
    return sqrt(of_images + of_seeds);
}

/* ---- the rule -------------------------------------------------------------------------------- */

static void find_leader(search__verdict *verdict) {
    verdict->leader = 0;
    for (int i = 1; i < verdict->rival_count; i++) {
        if (verdict->rival[i].value > verdict->rival[verdict->leader].value) {
            verdict->leader = i;
        }
    }
}

double search__rank_drift(double error, double lengthening) {
    return error * RANK_DRIFT * log(fmax(lengthening, 1));
}

/// Limits come first: who exceeds one (a negative value) is no rival of a leader that does not.
static bool is_legal(double value, double leader_value) {
    return value >= 0 || leader_value < 0;
}

bool search__is_safe(double anchor_value, double value, double accuracy, double standard_error,
                     double lengthening) {
    const double error = search__scale(value, accuracy) * (1 - accuracy);
    return is_legal(anchor_value, value) &&
           value - anchor_value <= hypot(standard_error, search__rank_drift(error, lengthening));
}

/// Whether the leader may be no better than that, in trials as long as these.
static bool is_equal(const search__verdict *verdict, const search__rival *rival) {
    return is_legal(rival->value, verdict->rival[verdict->leader].value) &&
           rival->difference <= rival->standard_error;
}

/// Whether the anchor may be as good as the leader when both are trained in full.
static bool is_safe_anchor(const search__verdict *verdict, const search__rival *rival) {
    const search__rival *leader = &verdict->rival[verdict->leader];
    return rival->number == 0 && search__is_safe(rival->value, leader->value, leader->accuracy,
                                                 rival->standard_error, verdict->lengthening);
}

static void compare_with_leader(search__verdict *verdict) {
    const search__rival *leader = &verdict->rival[verdict->leader];
    for (int i = 0; i < verdict->rival_count; i++) {
        search__rival *rival = &verdict->rival[i];
        rival->difference = leader->value - rival->value;
        rival->standard_error = i == verdict->leader ? 0 : standard_error(verdict, leader, rival);
    }
}

static void find_winner(search__verdict *verdict) {
    double fastest = 0;
    for (int i = 0; i < verdict->rival_count; i++) {
        const search__rival *rival = &verdict->rival[i];
        fastest = is_equal(verdict, rival) ? fmax(fastest, rival->images_per_s) : fastest;
    }
    for (int i = 0; i < verdict->rival_count; i++) {
        const search__rival *rival = &verdict->rival[i];
        if (is_safe_anchor(verdict, rival)) {
            verdict->winner = i;
            return;
        }
        if (is_equal(verdict, rival) && rival->images_per_s * AS_FAST >= fastest &&
            (verdict->winner < 0 || rival->value > verdict->rival[verdict->winner].value)) {
            verdict->winner = i;
        }
    }
}

void search__confirm_choose(const search_goal *goal, const search__reference *reference,
                            search__verdict *verdict) {
    double squares = SEED_PRIOR_COUNT * SEARCH__SEED_SIGMA * SEARCH__SEED_SIGMA;
    double freedom = SEED_PRIOR_COUNT;
    verdict->leader = -1;
    verdict->winner = -1;
    if (verdict->rival_count == 0) {
        return;
    }
    for (int i = 0; i < verdict->rival_count; i++) {
        search__rival *rival = &verdict->rival[i];
        squares += measure(verdict, rival);
        freedom += rival->seed_count - 1;
        rival->value = search__objective_at(goal, reference, rival->trials[0], rival->accuracy);
    }
    verdict->seed_sigma = sqrt(squares / freedom);
    find_leader(verdict);
    compare_with_leader(verdict);
    find_winner(verdict);
}

double search__lengthening(const budget_plan *plan) {
    const double retrain_ms = (double)(plan->retrain_end_ms - plan->confirm_end_ms);
    const int top = plan->rung_count - 1;
    return top < 0 ? 1 : retrain_ms * plan->worker_count / (double)plan->rung[top].trial_ms;
}

/* ---- from the store -------------------------------------------------------------------------- */

/// The finished confirmation of a network with a seed; NULL when there is none.
static const results_trial *find_confirmation(const results_trial *trials, size_t count, int number,
                                              uint64_t seed) {
    for (size_t i = 0; i < count; i++) {
        if (trials[i].purpose == RESULTS_CONFIRM && trials[i].source_number == number &&
            trials[i].seed == seed) {
            return &trials[i];
        }
    }
    return NULL;
}

static double speed_of(const results_trial *trial) {
    return trial->fidelity_ms > 0 ? (double)trial->sample_count / (double)trial->fidelity_ms : 0;
}

/// Whether a trial got clearly less done than another of the same network.
static bool was_disturbed(const results_trial *trials, size_t count, const results_trial *trial) {
    double known = 0;
    for (size_t i = 0; i < count; i++) {
        const bool same = search__root_of(&trials[i]) == trial->source_number;
        if (same && trials[i].state == RESULTS_COMPLETE) {
            known = fmax(known, speed_of(&trials[i]));
        }
    }
    return speed_of(trial) < DISTURBED * known;
}

/// All networks with a confirmation that has come to an end.
static void find_rivals(const results_trial *trials, size_t count, search__verdict *out) {
    for (size_t i = 0; i < count && out->rival_count < SEARCH__RIVALS_MAX; i++) {
        bool is_known = trials[i].purpose != RESULTS_CONFIRM || trials[i].state != RESULTS_COMPLETE;
        for (int k = 0; k < out->rival_count; k++) {
            is_known = is_known || out->rival[k].number == trials[i].source_number;
        }
        if (!is_known) {
            out->rival[out->rival_count++].number = trials[i].source_number;
        }
    }
}

static bool has_failed(const results_trial *trial) {
    return trial != NULL && (trial->state == RESULTS_FAIL || trial->state == RESULTS_PRUNED);
}

/// Removes rivals with a confirmation that failed.
static void drop_failed(const search__run *run, const results_trial *trials, size_t count,
                        search__verdict *out) {
    int kept = 0;
    for (int i = 0; i < out->rival_count; i++) {
        bool failed = false;
        for (int s = 0; s < run->plan.confirm_seed_count; s++) {
            failed =
                failed || has_failed(find_confirmation(trials, count, out->rival[i].number,
                                                       search__confirm_seed(run->config->seed, s)));
        }
        if (!failed) {
            out->rival[kept++].number = out->rival[i].number;
        }
    }
    out->rival_count = kept;
}

/// Gives all rivals the trials of seed number `index`, when all have one.
static void take_seed(const search__run *run, const results_trial *trials, size_t count, int index,
                      search__verdict *out) {
    const uint64_t seed = search__confirm_seed(run->config->seed, index);
    const results_trial *found[SEARCH__RIVALS_MAX];
    for (int i = 0; i < out->rival_count; i++) {
        found[i] = find_confirmation(trials, count, out->rival[i].number, seed);
        if (found[i] == NULL || found[i]->state != RESULTS_COMPLETE ||
            was_disturbed(trials, count, found[i])) {
            return;
        }
    }
    for (int i = 0; i < out->rival_count; i++) {
        search__rival *rival = &out->rival[i];
        rival->trials[rival->seed_count++] = found[i];
    }
}

static ns_status read_correct(results_store *store, search__verdict *verdict, ns_error *err) {
    for (int i = 0; i < verdict->rival_count; i++) {
        search__rival *rival = &verdict->rival[i];
        for (int s = 0; s < rival->seed_count; s++) {
            size_t image_count = 0;
            NS_TRY(results_correct_get(store, rival->trials[s]->id, &rival->correct[s],
                                       &image_count, err));
            if (verdict->image_count == 0) {
                verdict->image_count = image_count;
            } else if (verdict->image_count != image_count) {
                return ns_fail(err, NS_ERR_CORRUPT, "trial %d was validated on other images",
                               rival->trials[s]->number);
            }
        }
    }
    return NS_OK;
}

ns_status search__verdict_read(const search__run *run, results_store *store,
                               const results_trial *trials, size_t count, search__verdict *out,
                               ns_error *err) {
    *out = (search__verdict){
        .leader = -1, .winner = -1, .lengthening = search__lengthening(&run->plan)};
    find_rivals(trials, count, out);
    drop_failed(run, trials, count, out);
    for (int index = 0; index < run->plan.confirm_seed_count; index++) {
        take_seed(run, trials, count, index, out);
    }
    if (out->rival_count == 0 || out->rival[0].seed_count == 0) {
        out->rival_count = 0;
        return NS_OK;
    }
    NS_TRY(read_correct(store, out, err));
    out->in_bytes = run->info->multi_label;
    out->image_count /= out->in_bytes ? 8 : 1;
    const search__reference reference = search__reference_of(trials, count);
    search__confirm_choose(&run->config->goal, &reference, out);
    return NS_OK;
}

void search__verdict_clear(search__verdict *verdict) {
    for (int i = 0; i < verdict->rival_count; i++) {
        for (int s = 0; s < BUDGET_CONFIRM_SEEDS_MAX; s++) {
            free(verdict->rival[i].correct[s]);
        }
    }
    *verdict = (search__verdict){.leader = -1, .winner = -1};
}

/* ---- for people ------------------------------------------------------------------------------ */

static ns_json *rival_json(const search__rival *rival) {
    ns_json *json = ns_json_object_new();
    ns_json_set_int(json, "trial", rival->number);
    ns_json_set_bool(json, "anchor", rival->number == 0);
    ns_json_set_int(json, "seeds", rival->seed_count);
    ns_json_set_number(json, "val_accuracy", rival->accuracy);
    ns_json_set_number(json, "objective", rival->value);
    ns_json_set_number(json, "images_per_s", rival->images_per_s);
    ns_json_set_number(json, "difference", rival->difference);
    ns_json_set_number(json, "standard_error", rival->standard_error);
    ns_json *confirmations = ns_json_set(json, "confirmations", ns_json_array_new());
    for (int s = 0; s < rival->seed_count; s++) {
        ns_json_add_int(confirmations, rival->trials[s]->number);
    }
    return json;
}

ns_json *search__verdict_json(const search__verdict *verdict) {
    ns_json *json = ns_json_object_new();
    ns_json_set_int(json, "leader", verdict->rival[verdict->leader].number);
    ns_json_set_int(json, "winner", verdict->rival[verdict->winner].number);
    ns_json_set_int(json, "images", (int64_t)verdict->image_count);
    ns_json_set_number(json, "seed_sigma", verdict->seed_sigma);
    ns_json_set_number(json, "lengthening", verdict->lengthening);
    ns_json *rivals = ns_json_set(json, "rivals", ns_json_array_new());
    for (int i = 0; i < verdict->rival_count; i++) {
        ns_json_add(rivals, rival_json(&verdict->rival[i]));
    }
    return json;
}
