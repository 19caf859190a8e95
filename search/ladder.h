// What a worker does next, and who wins in the end: the pure rules of ladder.c and confirm.c, shared
// with the files that carry them out.

#ifndef NS_SEARCH_LADDER_H
#define NS_SEARCH_LADDER_H

#include "search/search_internal.h"

/* ---- ladder.c: what a worker does next -------------------------------------------------------- */

#define SEARCH__RIVALS_MAX 16
#define SEARCH__SEED_SIGMA 0.0015 // of an accuracy, by the luck of a training's seed
#define SEARCH__IMAGES_OWN 0.6    // of the luck of the images; networks share the rest

/// What the next move follows from.
typedef struct search__ladder {
    const budget_plan *plan;
    const results_trial *trials; // by number, from 0
    double *value;               // what each is worth (objective.c)
    size_t count;
    size_t image_count;  // of the validation split
    uint64_t seed;       // of the study
    int64_t position_ms; // of its ledger
    bool is_exhausted;   // nothing new can be proposed
} search__ladder;

typedef enum search__move {
    SEARCH_MOVE_CLAIM,   // take trial `number`, which waits
    SEARCH_MOVE_PROPOSE, // something new, at rung 0
    SEARCH_MOVE_REPEAT,  // add a trial like `number`, with `rung`, `purpose` and `seed`
    SEARCH_MOVE_WAIT,    // for trials that others run
    SEARCH_MOVE_END,     // nothing is left to do
} search__move;

typedef struct search__next {
    search__move move;
    int number, rung;
    results_purpose purpose;
    uint64_t seed; // of a confirmation; else the study's
} search__next;

/// Number of the first trial of the same network: the one that this repeats, or its own.
int search__root_of(const results_trial *trial);
/// Of a run's trials, as its ledger stands now; clear it after use.
ns_status search__ladder_new(const search__run *run, const results_trial *trials, size_t count,
                             search__ladder *out, ns_error *err);
void search__ladder_clear(search__ladder *ladder);
/// NS_ERR_MEMORY.
ns_status search__ladder_next(const search__ladder *ladder, search__next *out, ns_error *err);
/// Whether no more proposals are expected to pay.
ns_status search__has_converged(const search__ladder *ladder, bool *converged, ns_error *err);
#define SEARCH__END_CONVERGED "converged" // more trials were not expected to pay
#define SEARCH__END_EXHAUSTED "exhausted" // there was nothing new to try
#define SEARCH__END_BUDGET    "budget"    // its share was used
/// Why a search with these trials, which is over, has ended: one of these words; NULL: there was none.
ns_status search__end_reason(const search__ladder *ladder, const char **reason, ns_error *err);
/// Seed of the confirmations numbered `index` from 0, the same for all networks.
uint64_t search__confirm_seed(uint64_t study_seed, int index);
/// Standard error of one trial's accuracy when networks are compared on the same images.
double search__trial_error(double accuracy, size_t image_count);
/// Of one more draw from a normal distribution of which `error` is noise, over the best so far.
double search__expected_improvement(double mean, double deviation, double error, double best);

/* ---- winner.c ----------------------------------------------------------------------------------- */

/// Index of the trial whose network is to be retrained when none was confirmed; -1: none is complete.
int search__unconfirmed_winner(const search_goal *goal, const results_trial *trials, size_t count,
                               size_t image_count, double lengthening);

/* ---- confirm.c: who is best, by trials of new seeds ------------------------------------------- */

/// A network and its confirmations, one a seed, in the order of the seeds.
typedef struct search__rival {
    int number;     // of its first trial
    int seed_count; // of trials[] and correct[]; equal for all rivals
    const results_trial *trials[BUDGET_CONFIRM_SEEDS_MAX];
    uint8_t *correct[BUDGET_CONFIRM_SEEDS_MAX]; // search__image_scores()
    // What search__confirm_choose() finds:
    double accuracy;       // mean over seeds
    double value;          // the objective at that accuracy
    double images_per_s;   // trained on, of a worker
    double difference;     // of the leader's value to this
    double standard_error; // of the difference
} search__rival;

typedef struct search__verdict {
    int rival_count;
    search__rival rival[SEARCH__RIVALS_MAX];
    size_t image_count;
    bool in_bytes;      // what is kept of each image is a byte
    double lengthening; // of retraining, over these trials
    double seed_sigma;
    int leader, winner; // indices of rival[]; -1: nothing was confirmed
} search__verdict;

/// How many times longer the plan's retraining is than its longest trials, on as many threads.
double search__lengthening(const budget_plan *plan);
/// Standard deviation of what the comparison of two errors near `error` gains or loses by so much
/// longer a schedule.
double search__rank_drift(double error, double lengthening);
/// How much of an objective's value one unit of accuracy is: f(a) in confirm.c.
double search__scale(double value, double accuracy);
/// Whether the anchor, worth `anchor_value`, may be as good as the best, worth `value` for an accuracy
/// of `accuracy`, when both are trained in full; the standard error is that of their difference.
bool search__is_safe(double anchor_value, double value, double accuracy, double standard_error,
                     double lengthening);
/// Fills in what the rivals, whose trials are given, come to.
void search__confirm_choose(const search_goal *goal, const search__reference *reference,
                            search__verdict *verdict);
/// Reads the confirmations of a study and chooses. Free with search__verdict_clear, also after a
/// failure; `trials` must live as long.
ns_status search__verdict_read(const search__run *run, results_store *store,
                               const results_trial *trials, size_t count, search__verdict *out,
                               ns_error *err);
void search__verdict_clear(search__verdict *verdict);
/// {leader, images, seed_sigma, lengthening, rivals: [{trial, anchor, seeds, val_accuracy, difference, ...}]}
ns_json *search__verdict_json(const search__verdict *verdict);

#endif
