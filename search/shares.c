// The shares of a budget: what the plan (budget/plan.c) is told of this study, how the plan is kept
// with it, and what each phase was planned to take and has taken.
//
// A trial is worth ranking when the anchor, as fast as calibration found it to be, has two epochs in
// it; of a small set as many as come to 30,000 images, or 15,000 where time is short; of a large one
// 400,000 images, or 200,000. Under a budget of compute half an epoch will do, or a quarter: there a
// budget is chosen to be the same again, and is often a small one.

#include "search/search_internal.h"

#define EPOCHS_MIN 2
#define IMAGES_MIN 30000  // two epochs of a small set teach nothing
#define IMAGES_MAX 400000 // of a large one a part of an epoch ranks networks

#define IMAGES_MIN_COMPUTE 2500 // twice the fewest steps of a trial (propose.c)

#define MS_PER_S 1000.0

static size_t between(size_t count, size_t least, size_t most) {
    return count < least ? least : count > most ? most : count;
}

/// Images a second that the anchor trains on in one worker; 0 where that was not measured.
static double images_per_s(const search__run *run) {
    const search__calibration *found = &run->calibration;
    for (int i = 0; i < found->split_count; i++) {
        const search__split *split = &found->split[i];
        if (split->worker_count == run->worker_count &&
            split->thread_count == run->worker_thread_count) {
            return split->images_per_s / split->worker_count;
        }
    }
    return 0;
}

search__trial_times search__trial_times_of(const search__run *run, const nn_counts *anchor) {
    const double speed = images_per_s(run);
    const size_t epoch = run->info->split_count[DATA_TRAIN];
    const size_t few = between(epoch / 2, IMAGES_MIN_COMPUTE, IMAGES_MAX);
    const int64_t known_ms = search__clock_train_ms(run, anchor, few);
    if (known_ms > 0) {
        return (search__trial_times){known_ms, known_ms / 2};
    }
    if (speed <= 0) {
        return (search__trial_times){0, 0};
    }
    const size_t wanted = between(EPOCHS_MIN * epoch, IMAGES_MIN, IMAGES_MAX);
    const size_t least = between(EPOCHS_MIN * epoch, IMAGES_MIN / 2, IMAGES_MAX / 2);
    return (search__trial_times){
        .wanted_ms = (int64_t)((double)wanted / speed * MS_PER_S),
        .least_ms = (int64_t)((double)least / speed * MS_PER_S),
    };
}

ns_json *search__plan_json(const budget_plan *plan) {
    ns_json *json = ns_json_object_new();
    ns_json_set_int(json, "calibration_ms", plan->calibration_ms);
    ns_json_set_int(json, "search_end_ms", plan->search_end_ms);
    ns_json_set_int(json, "confirm_end_ms", plan->confirm_end_ms);
    ns_json_set_int(json, "retrain_end_ms", plan->retrain_end_ms);
    ns_json_set_int(json, "total_ms", plan->total_ms);
    ns_json *rungs = ns_json_set(json, "rungs", ns_json_array_new());
    for (int i = 0; i < plan->rung_count; i++) {
        ns_json *rung = ns_json_add(rungs, ns_json_object_new());
        ns_json_set_int(rung, "trial_ms", plan->rung[i].trial_ms);
        ns_json_set_int(rung, "trials", plan->rung[i].trial_count);
    }
    ns_json_set_int(json, "confirm_networks", plan->confirm_net_count);
    ns_json_set_int(json, "confirm_seeds", plan->confirm_seed_count);
    return json;
}

/// What was planned is on the study's clock: node time, or FLOPs.
static void add_phase(ns_json *phases, budget_kind kind, const char *name, int64_t planned_ms,
                      int64_t used_ms) {
    ns_json *phase = ns_json_set(phases, name, ns_json_object_new());
    if (kind == BUDGET_COMPUTE) {
        ns_json_set_int(phase, "planned_flop", planned_ms * BUDGET_FLOP_PER_MS);
    } else {
        ns_json_set_int(phase, "planned_node_ms", planned_ms);
    }
    ns_json_set_int(phase, "used_node_ms", used_ms);
}

/// `plan` may be of an older program, without confirmation.
static ns_json *phases_json(const ns_json *plan, budget_kind kind, int64_t calibrated_ms,
                            const results_usage *usage) {
    const int64_t calibration_ms = ns_json_int(plan, "calibration_ms", 0);
    const int64_t search_ms = ns_json_int(plan, "search_end_ms", 0);
    const int64_t confirm_ms = ns_json_int(plan, "confirm_end_ms", search_ms);
    const int64_t retrain_ms = ns_json_int(plan, "retrain_end_ms", confirm_ms);
    const int64_t total_ms = ns_json_int(plan, "total_ms", retrain_ms);
    ns_json *phases = ns_json_object_new();
    add_phase(phases, kind, "calibration", calibration_ms, calibrated_ms);
    add_phase(phases, kind, "search", search_ms > 0 ? search_ms - calibration_ms : 0,
              usage->search_ms);
    add_phase(phases, kind, "confirm", confirm_ms - search_ms, usage->confirm_ms);
    add_phase(phases, kind, "retrain", retrain_ms - (confirm_ms > 0 ? confirm_ms : calibration_ms),
              usage->retrain_ms);
    add_phase(phases, kind, "finish", total_ms - retrain_ms, usage->finish_ms);
    const int64_t rest_ms = usage->overhead_ms - calibrated_ms;
    add_phase(phases, kind, "overhead", 0, rest_ms > 0 ? rest_ms : 0);
    return phases;
}

ns_status search__plan_status(results_store *store, int64_t study_id, budget_kind kind,
                              const ns_json *result, ns_json *to, ns_error *err) {
    const ns_json *plan = ns_json_get(result, "plan");
    const ns_json *calibration = ns_json_get(result, "calibration");
    results_usage usage;
    NS_TRY(results_usage_get(store, study_id, &usage, err));
    ns_json *json = ns_json_set(to, "plan", ns_json_object_new());
    NS_TRY(search__members_copy(json, plan, err));
    ns_json_set(json, "phases",
                phases_json(plan, kind, ns_json_int(calibration, "took_ms", 0), &usage));
    return NS_OK;
}
