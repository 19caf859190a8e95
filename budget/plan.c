// Who gets what share of a budget.
//
//   0          search_end          retrain_end            total
//   |  search   |      retrain      |  finish + margin      |
//   | trials of every worker | one process, all cores | evaluation, export, being late |
//
// The rule, and its reasons:
//   finish   what evaluation and export are predicted to take, plus a margin of 1 % of the budget,
//            at least 1 s and at most 30 s: a study that ends late has broken its promise, while
//            1 % less training is not to be seen in the result.
//   search   44 % of the rest up to ten minutes, growing with the logarithm of the budget to 75 %
//            at 24 hours. Accuracy grows with the logarithm of training time: the first minutes of
//            retraining are worth more than any search, while after hours another doubling of it
//            buys little and a better architecture and recipe buy more.
//            Calibration (search/calibrate.c) is part of it; the trials share what it leaves.
//   skipped  below one minute the whole budget trains the anchor: trials of a few seconds rank
//            start-up time, not networks.
//   trials   12 of them in ten minutes on two workers, growing with the square root of budget times
//            workers, so that more budget buys more trials and longer ones in equal measure;
//            rankings by too short a schedule predict little. Trials run in rounds of one a worker.
//   trial    a worker's share of a round, less 5 % (at least 1 s) for setting up the next and
//            measuring it on the validation split; never below 5 s: rather fewer trials.
//
// All shares grow with the total.

#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "budget/budget.h"

#define MARGIN_MS_MIN     INT64_C(1000)
#define MARGIN_MS_MAX     INT64_C(30000)
#define TRAIN_MS_MIN      INT64_C(5000)  // less training than this is no use to anybody
#define SEARCH_TOTAL_MIN  INT64_C(60000) // smaller budgets are all the anchor's
#define TRIAL_MS_MIN      INT64_C(5000)
#define TURNAROUND_MS_MIN INT64_C(1000)
#define SHARE_SHORT       0.44
#define SHARE_LONG        0.75
#define TOTAL_SHORT_MS    600e3
#define TOTAL_LONG_MS     86400e3
#define TRIALS_AT_SHORT   12.0 // on WORKERS_AT_SHORT workers
#define WORKERS_AT_SHORT  2.0

static int64_t at_least(int64_t value, int64_t least) {
    return value > least ? value : least;
}

static int64_t margin_ms(int64_t total_ms) {
    const int64_t percent_ms = at_least(total_ms / 100, MARGIN_MS_MIN);
    return percent_ms < MARGIN_MS_MAX ? percent_ms : MARGIN_MS_MAX;
}

/// Time for training, search and retraining together; may be negative.
static int64_t train_ms(int64_t total_ms, int64_t finish_ms) {
    return total_ms - finish_ms - margin_ms(total_ms);
}

/// The smallest whole second that leaves TRAIN_MS_MIN for training.
static int64_t total_ms_needed(int64_t finish_ms) {
    int64_t total_ms = at_least(finish_ms + TRAIN_MS_MIN + MARGIN_MS_MIN, BUDGET_NODE_MS_MIN);
    total_ms = (total_ms + 999) / 1000 * 1000;
    while (train_ms(total_ms, finish_ms) < TRAIN_MS_MIN) {
        total_ms += 1000; // at most MARGIN_MS_MAX / 1000 rounds
    }
    return total_ms;
}

static double search_share(int64_t total_ms) {
    const double grown =
        log((double)total_ms / TOTAL_SHORT_MS) / log(TOTAL_LONG_MS / TOTAL_SHORT_MS);
    return SHARE_SHORT + (SHARE_LONG - SHARE_SHORT) * fmin(fmax(grown, 0), 1);
}

static int64_t turnaround_ms(int64_t slot_ms) {
    return at_least(slot_ms / 20, TURNAROUND_MS_MIN);
}

/// Rounds of trials: as many as the square-root rule wants, but none with a trial too short.
static int64_t round_count(const budget_plan_input *input, int64_t trials_ms) {
    const double workers = input->worker_count;
    const double trials = TRIALS_AT_SHORT * sqrt((double)input->total_ms / TOTAL_SHORT_MS *
                                                 (workers / WORKERS_AT_SHORT));
    const int64_t wanted = at_least(llround(trials / workers), 1);
    const int64_t fitting = at_least(trials_ms / (TRIAL_MS_MIN + TURNAROUND_MS_MIN), 1);
    return wanted < fitting ? wanted : fitting;
}

ns_status budget_plan_make(const budget_plan_input *input, budget_plan *out, ns_error *err) {
    assert(input->finish_ms >= 0 && input->calibration_ms >= 0 && input->worker_count > 0);
    const int64_t needed_ms = total_ms_needed(input->finish_ms);
    if (input->total_ms < needed_ms) {
        return ns_fail(err, NS_ERR_BUDGET,
                       "a budget of %" PRId64 " s is too small to train, evaluate and export "
                       "anything: at least %" PRId64 " s are needed",
                       input->total_ms / 1000, needed_ms / 1000);
    }
    const int64_t usable_ms = train_ms(input->total_ms, input->finish_ms);
    *out = (budget_plan){.retrain_end_ms = usable_ms, .total_ms = input->total_ms};
    if (input->total_ms < SEARCH_TOTAL_MIN) {
        return NS_OK;
    }
    const int64_t search_ms = (int64_t)((double)usable_ms * search_share(input->total_ms));
    const int64_t trials_ms = search_ms - input->calibration_ms;
    const int64_t rounds = round_count(input, trials_ms);
    const int64_t slot_ms = trials_ms / rounds;
    const int64_t trial_ms = slot_ms - turnaround_ms(slot_ms);
    if (trial_ms < TRIAL_MS_MIN) {
        return NS_OK; // finishing takes so long that there is no time for a search
    }
    out->search_end_ms = search_ms;
    out->trial_ms = trial_ms;
    out->trial_count = (int)(rounds * input->worker_count);
    return NS_OK;
}
