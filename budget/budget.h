// Node-hours: parsing and printing them, the account that may not be overdrawn, the plan that
// shares them out, and the cost model behind it. Pure arithmetic in integer milliseconds; no clock,
// no I/O.

#ifndef NS_BUDGET_BUDGET_H
#define NS_BUDGET_BUDGET_H

#include "base/base.h"

/* ---- amounts --------------------------------------------------------------------------------- */

#define BUDGET_NODE_MS_MAX (INT64_C(1000) * 3600 * 24 * 366) // a year of one node

/// "90s", "10m", "8h", "1d", "1h30m", "1nh", "0.5nh", "free" (1 nh), "paid" (24 nh).
/// NS_ERR_USAGE with a sentence that shows the forms.
ns_status budget_parse(const char *text, int64_t *node_ms, ns_error *err);
/// "9m 58s", "1h 00m"; `out` holds 32 bytes.
void budget_format(int64_t node_ms, char out[32]);

/// A budget of compute is the time of a *nominal node*, which does exactly so many FLOPs in each
/// millisecond (100 GFLOP/s), one piece of work after the other. So plan and shares are reckoned in
/// milliseconds whatever the kind; only the clock differs (search/study_clock.c).
#define BUDGET_FLOP_PER_MS INT64_C(100000000)

typedef enum budget_kind {
    BUDGET_TIME,    // of the wall clock
    BUDGET_COMPUTE, // of the nominal node
} budget_kind;

typedef struct budget_amount {
    budget_kind kind;
    int64_t ms;
} budget_amount;

/// As budget_parse, or compute: "500gflop", "60tflop", "1.5pflop".
ns_status budget_amount_parse(const char *text, budget_amount *out, ns_error *err);
/// "9m 58s", "58.73 tflop".
void budget_amount_format(const budget_amount *amount, char out[32]);
/// Money for `node_ms` at `price` per node-hour.
double budget_cost(int64_t node_ms, double price);

/* ---- ledger ---------------------------------------------------------------------------------- */

/// charged + reserved <= total, always.
typedef struct budget_ledger {
    int64_t total_ms, charged_ms, reserved_ms;
} budget_ledger;

int64_t budget_free_ms(const budget_ledger *ledger);
/// Sets up to `wanted_ms` aside; returns how much (0 when nothing is free).
int64_t budget_reserve(budget_ledger *ledger, int64_t wanted_ms);
/// Turns `used_ms` of what was reserved into a charge. NS_ERR_BUDGET, changing nothing, beyond it.
ns_status budget_charge(budget_ledger *ledger, int64_t used_ms, ns_error *err);
/// Gives back `unused_ms` of what was reserved.
void budget_refund(budget_ledger *ledger, int64_t unused_ms);

/* ---- cost model ------------------------------------------------------------------------------ */

/// Seconds from FLOPs by a measured rate that settles as more is seen (exponential mean).
typedef struct budget_rate {
    double flops_per_ms; // 0 until something was measured
} budget_rate;
void budget_rate_observe(budget_rate *rate, double flops, double took_ms);
/// `fallback_ms` until something was measured.
int64_t budget_rate_predict_ms(const budget_rate *rate, double flops, int64_t fallback_ms);

/// One piece of work, as a model of times sees it.
#define BUDGET_FEATURES 8
typedef struct budget_work {
    int kind;                        // works of different kinds say nothing of each other
    double feature[BUDGET_FEATURES]; // what its speed varies with: 1 apart is near, 10 is far
    double ideal_ms;                 // a first guess, > 0, which its time is a multiple of
} budget_work;

typedef struct budget_sample {
    budget_work work;
    double took_ms;
} budget_sample;

/// How much the time of one says of the other's, from 0 to 1: of works that were not measured, too.
double budget_work_likeness(const budget_work *a, const budget_work *b);

/// Samples beyond so many are left out.
#define BUDGET_SAMPLES_MAX 1024

/// A model of how long work takes, fitted to samples (budget/model.c). Immutable.
typedef struct budget_model budget_model;

/// Samples that are not positive numbers are passed over; with none left, times are ideal.
/// NS_ERR_MEMORY.
ns_status budget_model_new(const budget_sample *samples, size_t count, budget_model **out,
                           ns_error *err);
void budget_model_free(budget_model *model);
double budget_model_predict_ms(const budget_model *model, const budget_work *work);

/* ---- plan ------------------------------------------------------------------------------------ */

/// Below this nothing useful can be trained, evaluated and exported.
#define BUDGET_NODE_S_MIN 10

typedef struct budget_plan_input {
    budget_kind kind;
    int64_t total_ms;
    int64_t finish_ms;      // predicted time of evaluation and export
    int64_t calibration_ms; // what of the search's share is gone before the first trial
    int64_t trial_ms;       // what a trial of the anchor should take; 0: nobody knows
    int64_t trial_ms_least; // what it must take, or its rank says nothing; 0: nobody knows
    int worker_count;
} budget_plan_input;

#define BUDGET_RUNGS_MAX         8
#define BUDGET_CONFIRM_SEEDS_MAX 5
#define BUDGET_RUNG_RATIO        3 // trials of a rung are so many times as long as those below it

typedef struct budget_rung {
    int64_t trial_ms; // training time of one trial, of one worker slot
    int trial_count;  // planned, all workers together
} budget_rung;

/// Positions on the study's ledger: each phase ends when that much has been charged.
typedef struct budget_plan {
    int64_t calibration_ms; // the first part of the search
    int64_t search_end_ms;  // 0: no search, the anchor is trained straight away
    int64_t confirm_end_ms;
    int64_t retrain_end_ms; // retraining's last step is before it
    int64_t total_ms;
    budget_kind kind;
    int worker_count; // of the search
    int rung_count;   // 0: no search
    budget_rung rung[BUDGET_RUNGS_MAX];
    int confirm_net_count;  // the best, the anchor among them
    int confirm_seed_count; // new seeds for each, at the last rung's length
} budget_plan;

/// So many moments of what starting something takes, or being late: seconds of a wall clock. The
/// nominal node starts everything at once and is never late; there each is a millisecond.
int64_t budget_seconds_ms(budget_kind kind, int64_t count);
/// What a trial takes of a worker's time, with setting it up and validating it.
int64_t budget_slot_ms(budget_kind kind, int64_t trial_ms);

/// NS_ERR_BUDGET when the budget is too small to do anything useful (the sentence says how much
/// is needed).
ns_status budget_plan_make(const budget_plan_input *input, budget_plan *out, ns_error *err);

#endif
