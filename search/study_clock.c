// The study's clock: what "now" and "how long" mean to its budget.
//
// A budget of time runs by the wall clock. A budget of compute runs by the work of a nominal node
// (BUDGET_FLOP_PER_MS), so that the same seed, thread count and instruction set give the same
// trials, winner and weights, whatever else the machine does and however often the study is killed.
// All of a study reckons in milliseconds of its clock; who needs to know which one asks here.
//
// The rules of the nominal node:
//   1. Training on an image costs the FLOPs of its forward and backward pass (nn_counts.train_flops:
//      three times the forward pass, less the first layer's gradient by its input); classifying one
//      costs the forward pass. A multiply-add is two. Everything else is free: set-up, decoding,
//      augmentation, updates, statistics of averaged weights, saving, exporting, the search itself.
//   2. A study is charged a trial's work when the trial is finished, in the same transaction. What a
//      kill destroys is done again and charged once; the time it took shows in the node-hours that
//      were really used, which are booked and paid for under either kind of budget.
//   3. Retraining gets what the finished trials leave, less the classification of validation and test
//      images; so its length depends on the trials alone, and a resumed one is granted the same.
//   4. Nothing is measured, predicted from measurements, or refused for what the machine has free.
//   5. One piece of work is done after the other. With several workers the order in which trials
//      finish is the machine's, and so is what the sampler knows when it is asked: then the budget is
//      kept, but the same study need not come out twice.

#include "search/search_internal.h"

#define MEM_SHARE_OF_FREE  0.8 // the rest is for the page cache, which holds the data set
#define MEM_SHARE_OF_TOTAL 0.5

static bool is_nominal(const search_config *config) {
    return config->budget_kind == BUDGET_COMPUTE;
}

/* ---- now ------------------------------------------------------------------------------------- */

int64_t search__position_ms(const search__run *run) {
    return is_nominal(run->config)
               ? (run->work.trial_flop + BUDGET_FLOP_PER_MS - 1) / BUDGET_FLOP_PER_MS +
                     run->work.running_fidelity_ms
               : run->base_ms + ns_clock_ms() - run->config->process_start_ms;
}

int64_t search__spent_ms(const search__run *run) {
    return is_nominal(run->config)
               ? (run->work.trial_flop + run->work.phase_flop) / BUDGET_FLOP_PER_MS
               : search__position_ms(run);
}

bool search__clock_has_passed(const search__run *run, int64_t end_ms) {
    return !is_nominal(run->config) && search__position_ms(run) >= end_ms;
}

ns_status search__clock_update(search__run *run, results_store *store, ns_error *err) {
    return is_nominal(run->config) ? results_work_get(store, run->study_id, &run->work, err)
                                   : NS_OK;
}

/* ---- what a run counts on -------------------------------------------------------------------- */

void search__clock_settle(search_config *config) {
    if (is_nominal(config)) {
        config->thread_count = config->thread_count > 0 ? config->thread_count : ns_cpu_count();
        config->worker_count = config->worker_count > 0 ? config->worker_count : 1;
    }
}

size_t search__clock_mem_bytes(const search_config *config) {
    return is_nominal(config) ? (size_t)(MEM_SHARE_OF_TOTAL * (double)ns_mem_total_bytes())
                              : (size_t)(MEM_SHARE_OF_FREE * (double)ns_mem_available_bytes());
}

int search__clock_worker_count(const search__run *run) {
    return is_nominal(run->config) ? 1 : run->worker_count;
}

int64_t search__clock_node_ms_max(const search_config *config) {
    return is_nominal(config) ? BUDGET_NODE_MS_MAX : config->budget_node_ms;
}

void search__budget_to_json(const search_config *config, ns_json *to) {
    if (is_nominal(config)) {
        ns_json_set_int(to, "budget_flop", config->budget_node_ms * BUDGET_FLOP_PER_MS);
    } else {
        ns_json_set_int(to, "budget_node_ms", config->budget_node_ms);
    }
}

void search__budget_from_json(const ns_json *from, search_config *config) {
    const int64_t flop = ns_json_int(from, "budget_flop", 0);
    config->budget_kind = flop > 0 ? BUDGET_COMPUTE : BUDGET_TIME;
    config->budget_node_ms =
        flop > 0 ? flop / BUDGET_FLOP_PER_MS : ns_json_int(from, "budget_node_ms", 0);
}

/* ---- how long -------------------------------------------------------------------------------- */

void search__clock_grant(const search__run *run, const search_candidate *candidate,
                         int64_t train_ms, nn_train_options *options) {
    if (is_nominal(run->config)) {
        options->sample_count_max =
            (uint64_t)(train_ms * BUDGET_FLOP_PER_MS / candidate->counts.train_flops);
    } else {
        options->ms_max = train_ms;
    }
}

int64_t search__clock_counted_ms(const search__run *run, const char *checkpoint_path) {
    nn_progress progress;
    return !is_nominal(run->config) &&
                   nn_checkpoint_progress(checkpoint_path, &progress, NULL) == NS_OK
               ? progress.used_ms
               : 0;
}

double search__clock_step_ms(const search__run *run, const search_candidate *candidate) {
    return is_nominal(run->config) ? (double)candidate->counts.train_flops *
                                         candidate->recipe.batch_size / (double)BUDGET_FLOP_PER_MS
                                   : 0;
}

int64_t search__clock_classify_ms(const search__run *run, const nn_counts *counts,
                                  size_t image_count) {
    return is_nominal(run->config)
               ? search__work_flop(counts, 0, image_count) / BUDGET_FLOP_PER_MS + 1
               : 0;
}

int64_t search__clock_train_ms(const search__run *run, const nn_counts *counts,
                               size_t image_count) {
    return is_nominal(run->config)
               ? search__work_flop(counts, image_count, 0) / BUDGET_FLOP_PER_MS + 1
               : 0;
}

int64_t search__work_flop(const nn_counts *counts, uint64_t trained_count,
                          size_t classified_count) {
    return (int64_t)trained_count * counts->train_flops +
           (int64_t)classified_count * counts->forward_flops;
}
