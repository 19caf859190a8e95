// Who gets what share of a budget.
//
//   0             search_end     confirm_end       retrain_end              total
//   | calibration |                |                 |                        |
//   | and search  |    confirm     |     retrain     |    finish + margin     |
//   | trials of every worker       | one process     | evaluation, export,    |
//   |                              | on all cores    | being late             |
//
// The rule, and its reasons:
//   finish   what evaluation and export are predicted to take, plus a margin of 1 % of the budget,
//            at least 1 s and at most 30 s: a study that ends late has broken its promise, while
//            1 % less training is not to be seen in the result.
//   search   and confirm: a third of the rest up to two minutes, a fifth at ten, 70 % at 24 hours,
//            and between these in proportion to the logarithm of the budget. A minute or two are
//            for looking at a search, not for its result. Then accuracy grows with the logarithm of
//            training time: the first minutes of retraining are worth more than any search, while
//            after hours another doubling of it buys little and a better architecture and recipe buy
//            more. Calibration (search/calibrate.c) comes out of it first; of the rest confirm gets
//            35 %: what one noisy run has chosen is worth little before it is chosen again.
//   skipped  where less than 3 trials and 2 confirmations of a sensible length fit, the whole budget
//            trains the anchor: rankings of shorter trials are those of start-up time.
//   trial    as long as the anchor needs to be worth ranking (`trial_ms`, about two epochs), at least
//            5 s. Budgets that hold more than 100 such trials buy more of them and longer ones
//            (growing with the power 0.3); small ones fewer, then shorter ones, down to
//            `trial_ms_least`, or to a twelfth of what retraining gets: short schedules rank for
//            short ones. Of a large set the least is two epochs, too. A budget with no room for a
//            few of these is one of some dozen epochs, and each is worth more to the anchor: after
//            ten minutes on Fashion-MNIST, four trials of one epoch had cost it 0.1 to 0.3 points.
//   rungs    successive halving (Jamieson & Talwalkar 2016; asynchronous, on complete schedules:
//            search/ladder.c): each rung has trials three times as long as the one below, and the
//            same share of time, so a third of the trials. As many rungs as leave two trials on the
//            last one and need no more than two thirds of the search one after the other.
//   confirm  as many trials of the last rung's length as fit, about half as many new seeds as
//            networks, at most 5 seeds of 8 networks; time that is then left goes to retraining.
//
// Seconds here are those of a wall clock. Under a budget of compute nothing takes a moment but the
// work itself, so that there a second is one millisecond of the nominal node.

#include <assert.h>
#include <math.h>

#include "budget/budget.h"

#define MARGIN_S_MIN       1
#define MARGIN_S_MAX       30
#define TRAIN_S_MIN        5 // less training than this is no use to anybody
#define TRIAL_S_MIN        5
#define TURNAROUND_S_MIN   1
#define SHARE_TINY         0.32
#define SHARE_SHORT        0.20
#define SHARE_LONG         0.70
#define TOTAL_TINY_MS      120e3
#define TOTAL_SHORT_MS     600e3
#define TOTAL_LONG_MS      86400e3
#define CONFIRM_SHARE      0.35
#define SEARCH_TRIALS_MIN  3 // the anchor and two to compare it with
#define CONFIRM_TRIALS_MIN 2
#define TRIALS_OF_RETRAIN  12    // a trial may be so much shorter than retraining
#define TRIALS_OF_ONE_SIZE 100.0 // that a whole budget holds, before they grow longer
#define GROWTH_POWER       0.3
#define TOP_TRIALS_MIN     2
#define CHAIN_MAX          (2.0 / 3) // of the search, for one trial at every rung
#define CONFIRM_NETS_MAX   8

static int64_t at_least(int64_t value, int64_t least) {
    return value > least ? value : least;
}

static int64_t at_most(int64_t value, int64_t most) {
    return value < most ? value : most;
}

int64_t budget_seconds_ms(budget_kind kind, int64_t count) {
    return count * (kind == BUDGET_COMPUTE ? 1 : 1000);
}

static int64_t margin_ms(budget_kind kind, int64_t total_ms) {
    return at_most(at_least(total_ms / 100, budget_seconds_ms(kind, MARGIN_S_MIN)),
                   budget_seconds_ms(kind, MARGIN_S_MAX));
}

/// Time for training, search and retraining together; may be negative.
static int64_t train_ms(const budget_plan_input *input, int64_t total_ms) {
    return total_ms - input->finish_ms - margin_ms(input->kind, total_ms);
}

/// The smallest whole second that leaves TRAIN_S_MIN for training.
static int64_t total_ms_needed(const budget_plan_input *input) {
    const int64_t second_ms = budget_seconds_ms(input->kind, 1);
    const int64_t train_ms_min = TRAIN_S_MIN * second_ms;
    int64_t total_ms = at_least(input->finish_ms + train_ms_min + MARGIN_S_MIN * second_ms,
                                BUDGET_NODE_S_MIN * second_ms);
    total_ms = (total_ms + second_ms - 1) / second_ms * second_ms;
    while (train_ms(input, total_ms) < train_ms_min) {
        total_ms += second_ms; // at most MARGIN_S_MAX rounds
    }
    return total_ms;
}

/// From `share` at `total_ms` to `next_share` at `next_total_ms`.
static double share_between(double now_ms, double total_ms, double share, double next_total_ms,
                            double next_share) {
    const double way = log(now_ms / total_ms) / log(next_total_ms / total_ms);
    return share + (next_share - share) * fmin(fmax(way, 0), 1);
}

static double search_share(int64_t total_ms) {
    const double now_ms = (double)total_ms;
    return now_ms < TOTAL_SHORT_MS
               ? share_between(now_ms, TOTAL_TINY_MS, SHARE_TINY, TOTAL_SHORT_MS, SHARE_SHORT)
               : share_between(now_ms, TOTAL_SHORT_MS, SHARE_SHORT, TOTAL_LONG_MS, SHARE_LONG);
}

int64_t budget_slot_ms(budget_kind kind, int64_t trial_ms) {
    return trial_ms + at_least(trial_ms / 20, budget_seconds_ms(kind, TURNAROUND_S_MIN));
}

/// The longest trial whose slot is `slot_ms`.
static int64_t trial_ms_of(budget_kind kind, int64_t slot_ms) {
    return at_most(slot_ms - budget_seconds_ms(kind, TURNAROUND_S_MIN), slot_ms * 20 / 21);
}

static int64_t rounds_of(int64_t trial_count, int worker_count) {
    return (trial_count + worker_count - 1) / worker_count;
}

/// How long trials of the first rung should be.
static int64_t trial_ms_wanted(const budget_plan_input *input) {
    const int64_t least_ms = at_least(input->trial_ms, budget_seconds_ms(input->kind, TRIAL_S_MIN));
    const double held = (double)input->total_ms * input->worker_count / (double)least_ms;
    return (int64_t)((double)least_ms * pow(fmax(held / TRIALS_OF_ONE_SIZE, 1), GROWTH_POWER));
}

/// How short they may be, where there is no time for that.
static int64_t trial_ms_least(const budget_plan_input *input, const budget_plan *plan) {
    const int64_t retrain_ms = plan->retrain_end_ms - plan->confirm_end_ms;
    const int64_t least_ms =
        at_most(input->trial_ms_least, retrain_ms * input->worker_count / TRIALS_OF_RETRAIN);
    return at_least(least_ms, budget_seconds_ms(input->kind, TRIAL_S_MIN));
}

/// Networks and seeds that `slots` trials confirm.
static void confirm_divide(int64_t slots, budget_plan *out) {
    const int64_t seeds =
        at_most(at_least(llround(sqrt((double)slots / 2)), 1), BUDGET_CONFIRM_SEEDS_MAX);
    out->confirm_seed_count = (int)seeds;
    out->confirm_net_count = (int)at_most(at_least(slots / seeds, 2), CONFIRM_NETS_MAX);
}

/// A search of one rung in `ms_max`, in rounds of one trial a worker which fill the time. False when
/// trials would be too short.
static bool plan_one_rung(const budget_plan_input *input, int64_t ms_max, budget_plan *out) {
    const int64_t workers = input->worker_count;
    const int64_t search_min = rounds_of(SEARCH_TRIALS_MIN, input->worker_count);
    const int64_t confirm_min = rounds_of(CONFIRM_TRIALS_MIN, input->worker_count);
    const int64_t rounds = at_least(ms_max / budget_slot_ms(input->kind, trial_ms_wanted(input)),
                                    search_min + confirm_min);
    const int64_t trial_ms = trial_ms_of(input->kind, ms_max / rounds);
    if (trial_ms < trial_ms_least(input, out)) {
        return false;
    }
    const int64_t confirm_rounds = at_least(llround(CONFIRM_SHARE * (double)rounds), confirm_min);
    out->rung_count = 1;
    out->rung[0] = (budget_rung){trial_ms, (int)((rounds - confirm_rounds) * workers)};
    out->search_end_ms = input->calibration_ms + (rounds - confirm_rounds) * (ms_max / rounds);
    confirm_divide(confirm_rounds * workers, out);
    return true;
}

/// A search of `rung_count` > 1 rungs. False when there is too little time for so many.
static bool plan_rungs(const budget_plan_input *input, int64_t ms_max, int rung_count,
                       budget_plan *out) {
    const int64_t confirm_ms = (int64_t)(CONFIRM_SHARE * (double)ms_max);
    const int64_t search_ms = ms_max - confirm_ms;
    int64_t trial_ms = trial_ms_wanted(input);
    int64_t chain_ms = 0;
    for (int i = 0; i < rung_count; i++) {
        const double share_ms = (double)search_ms / rung_count;
        const double trials =
            share_ms / (double)budget_slot_ms(input->kind, trial_ms) * input->worker_count;
        out->rung[i] = (budget_rung){trial_ms, (int)fmin(trials, INT32_MAX)};
        chain_ms += budget_slot_ms(input->kind, trial_ms);
        trial_ms *= BUDGET_RUNG_RATIO;
    }
    const budget_rung *top = &out->rung[rung_count - 1];
    const int64_t slots =
        confirm_ms / budget_slot_ms(input->kind, top->trial_ms) * input->worker_count;
    out->rung_count = rung_count;
    out->search_end_ms = input->calibration_ms + search_ms;
    confirm_divide(slots, out);
    return top->trial_count >= TOP_TRIALS_MIN && slots >= CONFIRM_TRIALS_MIN &&
           (double)chain_ms <= CHAIN_MAX * (double)search_ms;
}

static bool plan_search(const budget_plan_input *input, int64_t ms_max, budget_plan *out) {
    for (int rung_count = BUDGET_RUNGS_MAX; rung_count > 1; rung_count--) {
        if (plan_rungs(input, ms_max, rung_count, out)) {
            return true;
        }
    }
    return plan_one_rung(input, ms_max, out);
}

/// "107 s", "10.6 gflop": not rounded, so that what is said to be enough is.
static void exact_text(budget_kind kind, int64_t ms, char out[32]) {
    const bool compute = kind == BUDGET_COMPUTE;
    (void)snprintf(out, 32, compute ? "%.1f gflop" : "%.0f s",
                   compute ? (double)ms * (double)BUDGET_FLOP_PER_MS / 1e9
                           : floor((double)ms / 1000));
}

static ns_status check_total(const budget_plan_input *input, ns_error *err) {
    const int64_t needed_ms = total_ms_needed(input);
    if (input->total_ms >= needed_ms) {
        return NS_OK;
    }
    char total[32];
    char needed[32];
    exact_text(input->kind, input->total_ms, total);
    exact_text(input->kind, needed_ms, needed);
    return ns_fail(err, NS_ERR_BUDGET,
                   "a budget of %s is too small to train, evaluate and export anything: at least "
                   "%s are needed",
                   total, needed);
}

ns_status budget_plan_make(const budget_plan_input *input, budget_plan *out, ns_error *err) {
    assert(input->finish_ms >= 0 && input->calibration_ms >= 0);
    assert(input->trial_ms >= input->trial_ms_least && input->trial_ms_least >= 0);
    assert(input->worker_count > 0);
    NS_TRY(check_total(input, err));
    const int64_t usable_ms = train_ms(input, input->total_ms);
    const budget_plan none = {.calibration_ms = input->calibration_ms,
                              .retrain_end_ms = usable_ms,
                              .total_ms = input->total_ms,
                              .kind = input->kind,
                              .worker_count = input->worker_count};
    *out = none;
    out->confirm_end_ms = (int64_t)((double)usable_ms * search_share(input->total_ms));
    if (!plan_search(input, out->confirm_end_ms - input->calibration_ms, out)) {
        *out = none;
    }
    return NS_OK;
}
