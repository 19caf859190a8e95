// The ladder on simulated histories: who climbs, who is confirmed, when a search has converged, and
// that whole searches of any plan come to their end within it.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/ladder.h"
#include "tests/ns_test.h"

#define TRIALS_MAX 4096
#define SEED       7

/// Of doubles; cmocka compares floats.
static void assert_near(double value, double wanted, double tolerance) {
    if (!(fabs(value - wanted) <= tolerance)) {
        fail_msg("%.9g is not %.9g", value, wanted);
    }
}

typedef struct history {
    results_trial trial[TRIALS_MAX];
    double value[TRIALS_MAX];
    size_t count;
} history;

static budget_plan plan_of(int rung_count, int worker_count) {
    budget_plan plan = {.search_end_ms = 1000000,
                        .confirm_end_ms = 1400000,
                        .retrain_end_ms = 2000000,
                        .total_ms = 2010000,
                        .worker_count = worker_count,
                        .rung_count = rung_count,
                        .confirm_net_count = 3,
                        .confirm_seed_count = 2};
    int64_t trial_ms = 10000;
    for (int i = 0; i < rung_count; i++) {
        plan.rung[i] = (budget_rung){trial_ms, 9};
        trial_ms *= 3;
    }
    return plan;
}

static history *history_new(void) {
    history *past = calloc(1, sizeof(*past));
    assert_non_null(past);
    return past;
}

static int add(history *past, int rung, int source, results_trial_state state, double value) {
    assert_true(past->count < TRIALS_MAX);
    const int number = (int)past->count;
    past->trial[number] = (results_trial){.number = number,
                                          .state = state,
                                          .rung = rung,
                                          .source_number = source,
                                          .seed = SEED,
                                          .fidelity_ms = 10000,
                                          .val_accuracy = value};
    past->value[number] = value;
    past->count++;
    return number;
}

static void add_confirmation(history *past, int source, int index, results_trial_state state) {
    const int number = add(past, 0, source, state, 0.9);
    past->trial[number].purpose = RESULTS_CONFIRM;
    past->trial[number].seed = search__confirm_seed(SEED, index);
}

static search__ladder ladder_of(const budget_plan *plan, history *past, int64_t position_ms) {
    return (search__ladder){.plan = plan,
                            .trials = past->trial,
                            .value = past->value,
                            .count = past->count,
                            .image_count = 6000,
                            .seed = SEED,
                            .position_ms = position_ms};
}

static search__next next_of(const budget_plan *plan, history *past, int64_t position_ms) {
    const search__ladder ladder = ladder_of(plan, past, position_ms);
    search__next next;
    ns_error err = {0};
    assert_ok(search__ladder_next(&ladder, &next, &err), &err);
    return next;
}

static void assert_move(search__next next, search__move move, int number, int rung) {
    if (next.move != move || next.number != number || next.rung != rung) {
        fail_msg("move %d of trial %d to rung %d, not %d of %d to %d", (int)next.move, next.number,
                 next.rung, (int)move, number, rung);
    }
}

/* ---- climbing -------------------------------------------------------------------------------- */

static void test_the_best_third_climbs(void **state) {
    (void)state;
    const budget_plan plan = plan_of(3, 2);
    history *past = history_new();
    assert_move(next_of(&plan, past, 0), SEARCH_MOVE_PROPOSE, 0, 0);
    add(past, 0, -1, RESULTS_COMPLETE, 0.80);
    add(past, 0, -1, RESULTS_COMPLETE, 0.85);
    assert_move(next_of(&plan, past, 0), SEARCH_MOVE_PROPOSE, 0, 0);
    add(past, 0, -1, RESULTS_FAIL, (double)NAN); // has ended, too
    assert_move(next_of(&plan, past, 0), SEARCH_MOVE_REPEAT, 1, 1);
    add(past, 1, 1, RESULTS_RUNNING, (double)NAN);
    assert_move(next_of(&plan, past, 0), SEARCH_MOVE_PROPOSE, 0, 0); // it climbs already
    for (int i = 0; i < 6; i++) {
        add(past, 0, -1, RESULTS_COMPLETE, 0.7);
    }
    assert_move(next_of(&plan, past, 0), SEARCH_MOVE_REPEAT, 0, 1);
    add(past, 1, 0, RESULTS_COMPLETE, 0.88);
    past->trial[3].state = RESULTS_COMPLETE;
    past->value[3] = 0.89;
    assert_move(next_of(&plan, past, 0), SEARCH_MOVE_REPEAT, 4, 1); // of equals the first
    add(past, 1, 4, RESULTS_COMPLETE, 0.75);
    assert_move(next_of(&plan, past, 0), SEARCH_MOVE_REPEAT, 1, 2); // the higher rung first
    free(past);
}

static void test_what_waits_comes_first(void **state) {
    (void)state;
    const budget_plan plan = plan_of(1, 2);
    history *past = history_new();
    add(past, 0, -1, RESULTS_COMPLETE, 0.8);
    add(past, 0, -1, RESULTS_WAITING, (double)NAN);
    assert_move(next_of(&plan, past, 0), SEARCH_MOVE_CLAIM, 1, 0);
    assert_int_equal(next_of(&plan, past, 995000).move, SEARCH_MOVE_END); // fits no more
    free(past);
}

static void test_promotions_are_paid_before_proposals(void **state) {
    (void)state;
    const budget_plan plan = plan_of(2, 1);
    history *past = history_new();
    add(past, 0, -1, RESULTS_COMPLETE, 0.8);
    add(past, 0, -1, RESULTS_RUNNING, (double)NAN);
    // One more is the third: it and a promotion of 30 s + 1.5 s must fit.
    assert_int_equal(next_of(&plan, past, 1000000 - 41500).move, SEARCH_MOVE_PROPOSE);
    assert_int_equal(next_of(&plan, past, 1000000 - 40000).move, SEARCH_MOVE_WAIT);
    free(past);
}

/* ---- convergence ----------------------------------------------------------------------------- */

static void test_expected_improvement(void **state) {
    (void)state;
    // phi(0) = 0.3989, and at one deviation phi(1) - (1 - Phi(1)) = 0.0833.
    assert_near(search__expected_improvement(0.9, 0.01, 0, 0.90), 0.003989, 1e-6);
    assert_near(search__expected_improvement(0.9, 0.01, 0, 0.91), 0.000833, 1e-6);
    assert_near(search__expected_improvement(0.9, 0.01, 0.005, 0.91), 0.75 * 0.000833, 1e-6);
    assert_near(search__expected_improvement(0.9, 0.01, 0.02, 0.91), 0, 0); // all is luck
    assert_near(search__expected_improvement(0.9, 0, 0, 0.9), 0, 0);
}

static bool converged(const budget_plan *plan, history *past) {
    const search__ladder ladder = ladder_of(plan, past, 0);
    ns_error err = {0};
    bool result = false;
    assert_ok(search__has_converged(&ladder, &result, &err), &err);
    return result;
}

/// A search of normal values goes on while they scatter, and ends once they lie in the noise; after
/// how many trials, for one that goes on.
static int trials_until_converged(double deviation, int64_t retrain_ms) {
    budget_plan plan = plan_of(1, 1);
    plan.retrain_end_ms = plan.confirm_end_ms + retrain_ms;
    history *past = history_new();
    ns_rng rng = ns_rng_stream(3, 0, "convergence test");
    while (!converged(&plan, past) && past->count < 1000) {
        add(past, 0, -1, RESULTS_COMPLETE, 0.9 + deviation * ns_rng_normal(&rng));
    }
    const int count = (int)past->count;
    free(past);
    return count;
}

static void test_convergence(void **state) {
    (void)state;
    assert_int_equal(trials_until_converged(0, 600000), 10);
    assert_int_equal(trials_until_converged(0.002, 600000), 10); // less than one trial's error
    const int wide = trials_until_converged(0.01, 600000);
    const int wider = trials_until_converged(0.03, 600000);
    const int longer = trials_until_converged(0.01, 60000000); // time is worth less there
    print_message("converged after %d trials, %d of a wider space, %d of a longer retraining\n",
                  wide, wider, longer);
    assert_in_range(wide, 11, 200);
    assert_true(wider > wide);
    assert_true(longer > wide);
}

static void assert_end(const budget_plan *plan, history *past, bool exhausted, const char *wanted) {
    search__ladder ladder = ladder_of(plan, past, plan->search_end_ms);
    ns_error err = {0};
    const char *reason = "nothing";
    ladder.is_exhausted = exhausted;
    assert_ok(search__end_reason(&ladder, &reason, &err), &err);
    if (reason != wanted && (reason == NULL || wanted == NULL || strcmp(reason, wanted) != 0)) {
        fail_msg("the search ended by %s, want %s", reason != NULL ? reason : "(no search)",
                 wanted != NULL ? wanted : "(no search)");
    }
}

/// Why a search ended; one that was expected to find no more has converged, whatever was left.
static void test_end_reason(void **state) {
    (void)state;
    const budget_plan plan = plan_of(1, 1);
    const budget_plan no_search = plan_of(0, 1);
    history *past = history_new();
    assert_end(&plan, past, false, "budget");
    for (int i = 0; i < 9; i++) {
        add(past, 0, -1, RESULTS_COMPLETE, 0.9);
    }
    assert_end(&plan, past, false, "budget"); // too few to tell
    assert_end(&plan, past, true, "exhausted");
    add(past, 0, -1, RESULTS_COMPLETE, 0.9);
    assert_end(&plan, past, false, "converged");
    assert_end(&plan, past, true, "converged");
    assert_end(&no_search, past, false, NULL);
    past->value[9] = 0.7; // far from the others: more is to be expected
    past->value[3] = 0.99;
    assert_end(&plan, past, false, "budget");
    assert_end(&plan, past, true, "exhausted");
    free(past);
}

static void test_converged_search_confirms(void **state) {
    (void)state;
    const budget_plan plan = plan_of(1, 1);
    history *past = history_new();
    add(past, 0, -1, RESULTS_FAIL, (double)NAN); // the anchor would not be replaced for nothing
    for (int i = 0; i < 10; i++) {
        add(past, 0, -1, RESULTS_COMPLETE, 0.9);
    }
    assert_move(next_of(&plan, past, 200000), SEARCH_MOVE_REPEAT, 1, 0);
    assert_int_equal(next_of(&plan, past, 200000).purpose, RESULTS_CONFIRM);
    free(past);
}

/* ---- confirmation ---------------------------------------------------------------------------- */

#define CONFIRM_MS 1000000 // a position at which nothing is searched any more

/// With a retraining that is about as long as a trial, so that trials say all there is to know.
static budget_plan even_plan_of(int rung_count, int worker_count) {
    budget_plan plan = plan_of(rung_count, worker_count);
    plan.retrain_end_ms = plan.confirm_end_ms + plan.rung[rung_count - 1].trial_ms / worker_count;
    return plan;
}

static void test_confirmation_goes_by_seeds(void **state) {
    (void)state;
    const budget_plan plan = even_plan_of(1, 2);
    history *past = history_new();
    static const double values[] = {0.900, 0.905, 0.850, 0.910, 0.908};
    static const int order[] = {0, 3, 4, 0, 3, 4};
    for (size_t i = 0; i < NS_COUNT_OF(values); i++) {
        add(past, 0, -1, RESULTS_COMPLETE, values[i]);
    }
    for (int i = 0; i < 6; i++) {
        const search__next next = next_of(&plan, past, CONFIRM_MS);
        assert_move(next, SEARCH_MOVE_REPEAT, order[i], 0);
        assert_int_equal(next.purpose, RESULTS_CONFIRM);
        assert_true(next.seed == search__confirm_seed(SEED, i / 3));
        assert_true(next.seed != SEED);
        add_confirmation(past, order[i], i / 3, RESULTS_RUNNING);
    }
    assert_int_equal(next_of(&plan, past, CONFIRM_MS).move, SEARCH_MOVE_END);
    free(past);
}

static void test_anchor_competes_alone_while_trials_run(void **state) {
    (void)state;
    const budget_plan plan = even_plan_of(1, 2);
    history *past = history_new();
    add(past, 0, -1, RESULTS_COMPLETE, 0.90);
    add(past, 0, -1, RESULTS_COMPLETE, 0.91);
    const int running = add(past, 0, -1, RESULTS_RUNNING, (double)NAN);
    for (int index = 0; index < 2; index++) {
        assert_move(next_of(&plan, past, CONFIRM_MS), SEARCH_MOVE_REPEAT, 0, 0);
        add_confirmation(past, 0, index, RESULTS_COMPLETE);
    }
    assert_int_equal(next_of(&plan, past, CONFIRM_MS).move, SEARCH_MOVE_WAIT);
    past->trial[running].state = RESULTS_COMPLETE;
    past->value[running] = 0.92;
    assert_move(next_of(&plan, past, CONFIRM_MS), SEARCH_MOVE_REPEAT, running, 0);
    assert_int_equal(next_of(&plan, past, 1395000).move, SEARCH_MOVE_END); // no time for it
    free(past);
}

static void test_clear_losers_are_not_confirmed(void **state) {
    (void)state;
    const budget_plan plan = even_plan_of(1, 1);
    history *past = history_new();
    add(past, 0, -1, RESULTS_COMPLETE, 0.92);
    add(past, 0, -1, RESULTS_COMPLETE, 0.89);
    add(past, 0, -1, RESULTS_PRUNED, 0.95); // on fewer images
    past->value[2] = 0.95;
    assert_int_equal(next_of(&plan, past, CONFIRM_MS).move, SEARCH_MOVE_END); // the anchor has won
    past->value[0] = 0.80; // but it competes, however far behind it is
    assert_move(next_of(&plan, past, CONFIRM_MS), SEARCH_MOVE_REPEAT, 0, 0);
    free(past);
}

static void test_nobody_is_confirmed_who_cannot_win(void **state) {
    (void)state;
    budget_plan plan = even_plan_of(1, 1);
    history *past = history_new();
    add(past, 0, -1, RESULTS_COMPLETE, 0.900);
    add(past, 0, -1, RESULTS_COMPLETE, 0.905);
    assert_move(next_of(&plan, past, CONFIRM_MS), SEARCH_MOVE_REPEAT, 0, 0);
    plan.retrain_end_ms = plan.confirm_end_ms + 100 * plan.rung[0].trial_ms;
    assert_int_equal(next_of(&plan, past, CONFIRM_MS).move, SEARCH_MOVE_END);
    past->value[1] = 0.93;
    assert_move(next_of(&plan, past, CONFIRM_MS), SEARCH_MOVE_REPEAT, 0, 0);
    free(past);
}

static void test_rivals_come_from_the_last_rung(void **state) {
    (void)state;
    const budget_plan plan = even_plan_of(2, 1);
    history *past = history_new();
    add(past, 0, -1, RESULTS_COMPLETE, 0.90);
    add(past, 0, -1, RESULTS_COMPLETE, 0.95); // better there than any that climbed
    add(past, 0, -1, RESULTS_COMPLETE, 0.91);
    add(past, 1, 2, RESULTS_COMPLETE, 0.93);
    assert_move(next_of(&plan, past, CONFIRM_MS), SEARCH_MOVE_REPEAT, 0, 1);
    add_confirmation(past, 0, 0, RESULTS_COMPLETE);
    assert_move(next_of(&plan, past, CONFIRM_MS), SEARCH_MOVE_REPEAT, 2, 1);
    free(past);
}

/* ---- whole searches -------------------------------------------------------------------------- */

/// What the next worker that is free does, in a world where a trial takes its time and no more.
typedef struct world {
    budget_plan plan;
    history *past;
    int64_t free_ms[64]; // when each worker is
    int running[64];     // its trial; -1: none
    ns_rng rng;
} world;

static int64_t end_trial(world *w, int worker) {
    const int number = w->running[worker];
    if (number >= 0) {
        w->past->trial[number].state = RESULTS_COMPLETE;
        w->past->value[number] = 0.9 + 0.02 * ns_rng_normal(&w->rng);
        w->running[worker] = -1;
    }
    return w->free_ms[worker];
}

/// False when the worker has nothing to do any more.
static bool give_work(world *w, int worker, int64_t now_ms) {
    const search__next next = next_of(&w->plan, w->past, now_ms);
    if (next.move == SEARCH_MOVE_END) {
        w->free_ms[worker] = INT64_MAX;
        return false;
    }
    if (next.move == SEARCH_MOVE_WAIT) {
        w->free_ms[worker] = now_ms + 1000;
        return true;
    }
    const bool repeats = next.move == SEARCH_MOVE_REPEAT;
    const int number = add(w->past, repeats ? next.rung : 0, repeats ? next.number : -1,
                           RESULTS_RUNNING, (double)NAN);
    results_trial *trial = &w->past->trial[number];
    trial->purpose = repeats ? next.purpose : RESULTS_SEARCH;
    trial->seed = repeats && next.purpose == RESULTS_CONFIRM ? next.seed : SEED;
    trial->fidelity_ms = w->plan.rung[trial->rung].trial_ms;
    w->running[worker] = number;
    w->free_ms[worker] = now_ms + trial->fidelity_ms + trial->fidelity_ms / 50;
    return true;
}

static void run_world(world *w) {
    int left = w->plan.worker_count;
    while (left > 0) {
        int first = 0;
        for (int i = 1; i < w->plan.worker_count; i++) {
            first = w->free_ms[i] < w->free_ms[first] ? i : first;
        }
        const int64_t now_ms = end_trial(w, first);
        left -= give_work(w, first, now_ms) ? 0 : 1;
        const int64_t top_ms = w->plan.rung[w->plan.rung_count - 1].trial_ms;
        assert_true(now_ms <= w->plan.confirm_end_ms + top_ms / 5);
    }
}

static void check_world(const world *w) {
    int confirmed = 0;
    int on_top = 0;
    for (size_t i = 0; i < w->past->count; i++) {
        const results_trial *trial = &w->past->trial[i];
        assert_int_equal(trial->state, RESULTS_COMPLETE);
        confirmed += trial->purpose == RESULTS_CONFIRM;
        on_top += trial->purpose == RESULTS_SEARCH && trial->rung == w->plan.rung_count - 1;
    }
    assert_in_range(confirmed, w->plan.confirm_seed_count,
                    w->plan.confirm_net_count * w->plan.confirm_seed_count);
    assert_true(on_top > 0);
}

static void test_whole_searches(void **state) {
    (void)state;
    static const int64_t totals_ms[] = {90000, 600000, 3600000, 28800000};
    static const int workers[] = {1, 2, 3, 16};
    for (size_t t = 0; t < NS_COUNT_OF(totals_ms); t++) {
        for (size_t n = 0; n < NS_COUNT_OF(workers); n++) {
            const budget_plan_input input = {.total_ms = totals_ms[t],
                                             .finish_ms = 3000,
                                             .trial_ms = 10000,
                                             .trial_ms_least = 5000,
                                             .worker_count = workers[n]};
            world w = {.past = history_new(), .rng = ns_rng_stream(5, t, "ladder world")};
            ns_error err = {0};
            memset(w.running, -1, sizeof(w.running));
            assert_ok(budget_plan_make(&input, &w.plan, &err), &err);
            if (w.plan.rung_count > 0) {
                run_world(&w);
                check_world(&w);
                print_message("%5lld s, %2d workers: %d rungs, %zu trials\n",
                              (long long)totals_ms[t] / 1000, workers[n], w.plan.rung_count,
                              w.past->count);
            }
            free(w.past);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_best_third_climbs),
        cmocka_unit_test(test_what_waits_comes_first),
        cmocka_unit_test(test_promotions_are_paid_before_proposals),
        cmocka_unit_test(test_expected_improvement),
        cmocka_unit_test(test_convergence),
        cmocka_unit_test(test_end_reason),
        cmocka_unit_test(test_converged_search_confirms),
        cmocka_unit_test(test_confirmation_goes_by_seeds),
        cmocka_unit_test(test_anchor_competes_alone_while_trials_run),
        cmocka_unit_test(test_clear_losers_are_not_confirmed),
        cmocka_unit_test(test_nobody_is_confirmed_who_cannot_win),
        cmocka_unit_test(test_rivals_come_from_the_last_rung),
        cmocka_unit_test(test_whole_searches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
