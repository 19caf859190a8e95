// What a trial is worth: its accuracy, weighed against what its network costs to use.
//
// The scalarisation is that of MnasNet (Tan et al. 2019, equation 2 with the exponents of
// equation 3):
//
//   objective = accuracy * (cost / T)^w,   w = W_BELOW where cost <= T, W_ABOVE where it is above
//
//   target     cost       T
//   accuracy   -          -                  the accuracy itself, unchanged
//   balanced   latency    the anchor's       as fast as the anchor, accurate first
//   latency    latency    the lean anchor's
//   size       parameters the lean anchor's
//
// A study with a lean target has an anchor that was narrowed for it (admit.c), so T is what trial 0
// costs, always.
//
// W_ABOVE is the paper's soft -0.07: twice the latency has to be worth 5 % of accuracy. Below T the
// paper uses the same; here a network that is fast enough earns little for being faster still,
// 0.35 % of its accuracy for half the cost, or the smallest network of the space would win every
// search whose accuracies lie close together.
//
// Retraining may widen the winner up to T (retrain_plan.c): the same seconds that made a small
// network win leave a larger one, trained for longer, ahead.
//
// Limits are constraints: a trial that exceeds one ranks behind all that do not, the less it exceeds
// them the better (Deb 2000, "An efficient constraint handling method for genetic algorithms").
//
// Where a latency was not measured, as for pruned trials and in studies that must not depend on a
// clock, multiply-adds stand in for it, for both sides of the fraction.

#include <math.h>
#include <string.h>

#include "search/search_internal.h"

#define W_ABOVE (-0.07)
#define W_BELOW (-0.005)

static const char *const target_names[] = {
    [SEARCH_TARGET_ACCURACY] = "accuracy",
    [SEARCH_TARGET_BALANCED] = "balanced",
    [SEARCH_TARGET_LATENCY] = "latency",
    [SEARCH_TARGET_SIZE] = "size",
};

const char *search_target_name(search_target target) {
    return target_names[target];
}

ns_status search_target_parse(const char *text, search_target *out, ns_error *err) {
    for (size_t i = 0; i < NS_COUNT_OF(target_names); i++) {
        if (strcmp(text, target_names[i]) == 0) {
            *out = (search_target)i;
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_USAGE,
                   "accuracy, balanced, latency or size is needed, not \"%.40s\"", text);
}

void search__goal_to_json(const search_goal *goal, ns_json *settings) {
    ns_json_set_string(settings, "target", search_target_name(goal->target));
    ns_json_set_number(settings, "max_latency_ms", goal->latency_ms_max);
    ns_json_set_int(settings, "max_params", goal->params_max);
    ns_json_set_number(settings, "max_mbytes", goal->mbytes_max);
}

ns_status search__goal_from_json(const ns_json *settings, search_goal *out, ns_error *err) {
    *out = (search_goal){
        .latency_ms_max = ns_json_number(settings, "max_latency_ms", 0),
        .params_max = ns_json_int(settings, "max_params", 0),
        .mbytes_max = ns_json_number(settings, "max_mbytes", 0),
    };
    return search_target_parse(ns_json_string(settings, "target", target_names[0]), &out->target,
                               err);
}

search__reference search__reference_of(const results_trial *trials, size_t count) {
    search__reference reference = {.latency_ms = (double)NAN};
    if (count > 0) {
        reference.latency_ms = trials[0].latency_ms;
        reference.params = trials[0].params;
        reference.flops = trials[0].flops;
    }
    return reference;
}

/* ---- limits ---------------------------------------------------------------------------------- */

double search__excess(double value, double limit) {
    return limit > 0 && value > limit ? value / limit - 1 : 0;
}

double search__violation(const search_goal *goal, const results_trial *trial) {
    return search__excess(trial->latency_ms, goal->latency_ms_max) +
           search__excess((double)trial->params, (double)goal->params_max);
}

double search__mbytes(const nn_graph *graph) {
    return (double)nn_graph_state_count(graph) * (double)sizeof(float) / 1e6;
}

ns_status search__limits_ok(const search_goal *goal, const search_candidate *candidate,
                            ns_error *err) {
    if (search__excess((double)candidate->counts.params, (double)goal->params_max) > 0) {
        return ns_fail(err, NS_ERR_LIMIT, "the network has %lld parameters, the limit is %lld",
                       (long long)candidate->counts.params, (long long)goal->params_max);
    }
    const double mbytes = search__mbytes(&candidate->graph);
    if (search__excess(mbytes, goal->mbytes_max) > 0) {
        return ns_fail(err, NS_ERR_LIMIT, "the network's weights take %.3f MB, the limit is %g MB",
                       mbytes, goal->mbytes_max);
    }
    return NS_OK;
}

bool search__may_cost_more(const search_goal *goal) {
    return goal->target == SEARCH_TARGET_ACCURACY && goal->latency_ms_max <= 0;
}

/* ---- the objective --------------------------------------------------------------------------- */

/// What the trial's network costs, over what the reference costs; 1 where nobody knows.
static double relative_cost(const search_goal *goal, const search__reference *reference,
                            const results_trial *trial) {
    double cost = (double)trial->flops;
    double base = (double)reference->flops;
    if (goal->target == SEARCH_TARGET_SIZE) {
        cost = (double)trial->params;
        base = (double)reference->params;
    } else if (trial->latency_ms > 0 && reference->latency_ms > 0) {
        cost = trial->latency_ms;
        base = reference->latency_ms;
    }
    return cost > 0 && base > 0 ? cost / base : 1;
}

bool search__may_grow(const search_goal *goal, const search__reference *reference,
                      const results_trial *trial, const nn_counts *counts) {
    results_trial grown = *trial;
    grown.params = counts->params;
    grown.flops = counts->forward_flops;
    grown.latency_ms *= (double)grown.flops / (double)trial->flops;
    if (goal->target == SEARCH_TARGET_ACCURACY || goal->latency_ms_max > 0) {
        return search__may_cost_more(goal);
    }
    return relative_cost(goal, reference, &grown) <= 1;
}

double search__objective_at(const search_goal *goal, const search__reference *reference,
                            const results_trial *trial, double val_accuracy) {
    const double violation = search__violation(goal, trial);
    if (isnan(val_accuracy)) {
        return val_accuracy;
    }
    if (violation > 0) {
        return -violation / (1 + violation); // in (-1, 0): samplers fit models to it
    }
    if (goal->target == SEARCH_TARGET_ACCURACY) {
        return val_accuracy;
    }
    const double ratio = relative_cost(goal, reference, trial);
    return val_accuracy * pow(ratio, ratio > 1 ? W_ABOVE : W_BELOW);
}

double search__objective(const search_goal *goal, const search__reference *reference,
                         const results_trial *trial) {
    return search__objective_at(goal, reference, trial, trial->val_accuracy);
}
