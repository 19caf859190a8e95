// What retraining's files share: the law by which its size is chosen, and what is decided by it.

#ifndef NS_SEARCH_RETRAIN_H
#define NS_SEARCH_RETRAIN_H

#include "search/search_internal.h"

/* ---- scaling_law.c: how large to retrain for how long ---------------------------------------- */

/// One training that was seen.
typedef struct search__law_trial {
    double flops, sample_count; // forward, of an image; images trained on; both above 0
    double error;               // 1 - validation accuracy; above 0
    int genotype;               // equal for equal ones; small numbers from 0
} search__law_trial;

typedef struct search__law_input {
    double image_count;  // distinct ones, that the network is retrained on
    double anchor_flops; // forward, of an image
    search__law_trial winner;
    const search__law_trial *trial; // all of them
    size_t trial_count;
} search__law_input;

#define SEARCH__LAW_POINTS 484 // 11 values of A and of B, 2 of a and of b

/// One guess at the law's unknowns.
typedef struct search__law_point {
    double weight; // they sum up to 1
    double size, length, size_power, length_power;
} search__law_point;

typedef struct search__law {
    double image_count, anchor_flops;
    search__law_trial winner;
    search__law_point point[SEARCH__LAW_POINTS];
} search__law;

/// Fits the law to the trials; without any, or without memory, it is the prior.
void search__law_fit(const search__law_input *input, search__law *out);
/// Predicted validation error of the winner at another size and length.
double search__law_error(const search__law *law, double flops, double sample_count);
/// Images beyond which a network of this size gains next to nothing from more training.
double search__law_useful_samples(const search__law *law, double flops);

enum { SEARCH__LAW_CANDIDATES_MAX = 16 };

/// A size that the winner may be retrained at. Costs are in any unit, the same for all.
typedef struct search__law_candidate {
    double flops;       // forward, of an image
    double sample_cost; // of training on an image
    double left;        // what may be spent on training
} search__law_candidate;

typedef struct search__law_choice {
    int index;                  // of the candidate
    double sample_count;        // images it will be trained on, by its cost
    double useful_sample_count; // its useful end
    double error;               // predicted
    double error_as_searched;   // the first candidate's
} search__law_choice;

/// The first whose predicted error is near the least; they are ordered by their FLOPs, and the first
/// stands for the winner as searched. At most SEARCH__LAW_CANDIDATES_MAX.
search__law_choice search__law_choose(const search__law *law,
                                      const search__law_candidate *candidates, int count);

/* ---- retrain_plan.c -------------------------------------------------------------------------- */

/// What retraining is to be; decided once.
typedef struct search__retrain_plan {
    double width_factor;       // of the winner's channels, at least 1
    bool with_validation;      // trained on the validation images too
    bool mirror_average;       // of the model
    bool mirror_by_model;      // which finds that out itself, in the finish
    int64_t mirror_trial_flop; // that a trial's model took to find it out
    int64_t sample_count_max;  // its useful end; 0: none is known
} search__retrain_plan;

/// When training must end, by the ledger: with a finish as short as can be, and with one in which the
/// model finds out whether mirroring pays; the same where nobody knows what that takes.
typedef struct search__retrain_end {
    int64_t ms, mirror_ms;
} search__retrain_end;

/// Decides, unless an earlier life did, and keeps it as "retrain" in the study's `result`; `slot`
/// shows that this process lives.
ns_status search__retrain_plan_make(const search__run *run, search__slot *slot,
                                    results_store *store, search__retrain_end end,
                                    const search_candidate *as_searched, ns_json *result,
                                    ns_error *err);
search__retrain_plan search__retrain_plan_of(const ns_json *result);
/// Puts what the model has found out into the plan in `result`.
ns_status search__retrain_plan_mirror(ns_json *result, bool mirror_average, ns_error *err);
/// Decodes a genotype with all widths multiplied by `factor`, at least 1, and rounded to the
/// kernels' blocks. NS_ERR_INPUT as search_decode().
ns_status search__widen(const search_space *space, const search_genotype *genotype, double factor,
                        search_candidate *out, ns_error *err);

/* ---- finish.c -------------------------------------------------------------------------------- */

/// Images that the finish classifies, mirror images among them, also to find out whether those pay.
size_t search__finish_image_count(const data_info *info, bool mirror_average, bool mirror_by_model);

#endif
