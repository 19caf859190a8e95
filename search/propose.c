// Propose: from the study's history to a candidate that is decoded, admitted and in the store.
//
// A process keeps the history that it has parsed and reads on from the first trial that was not
// finished yet: finished trials never change, so what the sampler sees is the same as if all had
// been read again, at a price that does not grow with the study.
//
// The sampler proposes; the genotype is decoded, and refused when it cannot fit into a worker's
// share of memory or its steps are too long for a trial. The store's uniqueness constraint turns a
// repeated point into a refusal. After a refusal the sampler is asked again with another number;
// when it finds nothing new in PROPOSALS_MAX tries, the points of a small space are gone through in
// turn; a space without a new point is exhausted, and the search ends.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/search_internal.h"
#include "search/space.h"

#define PROPOSALS_MAX 256
#define POINTS_MAX    4096 // of a space that is gone through
#define STEPS_MIN     50   // fewer in a trial rank noise

/// Under budgets of compute, which are often small ones: better than no search.
#define STEPS_MIN_COMPUTE 10

/* ---- the history ----------------------------------------------------------------------------- */

static ns_status history_reserve(search__history *history, size_t count, ns_error *err) {
    if (count <= history->capacity) {
        return NS_OK;
    }
    const size_t capacity = count + count / 2;
    search_observation *grown = realloc(history->trial, capacity * sizeof(*grown));
    if (grown == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold the history of %zu trials", count);
    }
    history->trial = grown;
    history->capacity = capacity;
    return NS_OK;
}

/// What never changes of a trial is parsed once.
static ns_status observe(const search__run *run, const results_trial *trial, bool is_new,
                         search_observation *out, ns_error *err) {
    if (is_new) {
        ns_json *json = NULL;
        NS_TRY(ns_json_parse(trial->genotype, &json, err));
        const ns_status status = search_genotype_from_json(&run->space, json, &out->genotype, err);
        ns_json_free(json);
        NS_TRY(status);
        out->fidelity_ms = trial->fidelity_ms;
    }
    out->state = trial->state;
    out->val_accuracy = search__objective(&run->config->goal, &run->history->reference, trial);
    return NS_OK;
}

static bool is_over(results_trial_state state) {
    return state == RESULTS_COMPLETE || state == RESULTS_PRUNED || state == RESULTS_FAIL;
}

/// Trials are numbered from 0 without a gap, so a number is an index.
static ns_status history_take(const search__run *run, const results_trial *trials, size_t count,
                              ns_error *err) {
    search__history *history = run->history;
    if (history->settled_count == 0) {
        history->reference = search__reference_of(trials, count);
    }
    NS_TRY(history_reserve(history, history->settled_count + count, err));
    for (size_t i = 0; i < count; i++) {
        const size_t at = history->settled_count + i;
        NS_TRY(observe(run, &trials[i], at >= history->count, &history->trial[at], err));
        history->count = at >= history->count ? at + 1 : history->count;
    }
    while (history->settled_count < history->count &&
           is_over(history->trial[history->settled_count].state)) {
        history->settled_count++;
    }
    return NS_OK;
}

ns_status search__history_read(const search__run *run, results_store *store, search_history *out,
                               ns_error *err) {
    search__history *history = run->history;
    results_trial *trials = NULL;
    size_t count = 0;
    NS_TRY(results_trials_from(store, run->study_id, (int)history->settled_count, &trials, &count,
                               err));
    const ns_status status = history_take(run, trials, count, err);
    results_trials_free(trials, count);
    *out = (search_history){.trial = history->trial, .count = history->count};
    return status;
}

void search__history_clear(search__history *history) {
    free(history->trial);
    *history = (search__history){0};
}

/* ---- admission ------------------------------------------------------------------------------- */

static ns_status plan_bytes(const search__run *run, const nn_graph *graph, nn_mode mode,
                            int batch_size, size_t *bytes, ns_error *err) {
    nn_net_options options = nn_net_options_default();
    nn_plan plan;
    options.mode = mode;
    options.batch_size = batch_size;
    options.thread_count = run->worker_thread_count;
    options.dtype = mode == NN_MODE_TRAIN ? run->config->dtype : NN_DTYPE_F32;
    NS_TRY(nn_plan_make(graph, &options, &plan, err));
    *bytes += plan.arena_bytes;
    *bytes += mode == NN_MODE_TRAIN ? plan.process_bytes : 0; // once a worker
    return NS_OK;
}

/// NS_ERR_LIMIT: training the candidate, and validating it on the way, needs more memory than a
/// worker has.
static ns_status fits_memory(const search__run *run, const search_candidate *candidate,
                             ns_error *err) {
    size_t bytes = 0;
    NS_TRY(plan_bytes(run, &candidate->graph, NN_MODE_TRAIN, candidate->recipe.batch_size, &bytes,
                      err));
    NS_TRY(plan_bytes(run, &candidate->graph, NN_MODE_INFER, search__eval_batch(run->info), &bytes,
                      err));
    bytes += nn_train_copy_bytes(&candidate->graph, &candidate->recipe);
    if (bytes > run->worker_mem_bytes) {
        return ns_fail(err, NS_ERR_LIMIT, "the network needs %zu MB, a worker has %zu MB",
                       bytes >> 20, run->worker_mem_bytes >> 20);
    }
    return NS_OK;
}

/// NS_ERR_LIMIT: a trial would be over before it has learnt anything. Nothing is refused by predictions
/// that no real step has confirmed.
static ns_status fits_time(const search__run *run, const search_candidate *candidate,
                           int64_t fidelity_ms, ns_error *err) {
    const double step_ms = search__predict_step_ms(run, candidate, false);
    const bool nominal = search__clock_step_ms(run, candidate) > 0;
    const bool sure = nominal || run->calibration.split_count > 0;
    if (sure && step_ms * (nominal ? STEPS_MIN_COMPUTE : STEPS_MIN) > (double)fidelity_ms) {
        return ns_fail(err, NS_ERR_LIMIT, "a step would take %.0f ms of a trial's %lld ms", step_ms,
                       (long long)fidelity_ms);
    }
    return NS_OK;
}

/* ---- proposing ------------------------------------------------------------------------------- */

ns_status search__candidate_add(const search__run *run, results_store *store,
                                const search_candidate *candidate, const search__grant *grant,
                                ns_error *err) {
    char *genotype = NULL;
    ns_json *json = search_genotype_to_json(&run->space, &candidate->genotype);
    ns_status status = ns_json_print(json, false, &genotype, err);
    if (status == NS_OK) {
        const results_proposal proposal = {
            .genotype = genotype,
            .hash = candidate->hash,
            .recipe = candidate->recipe_text,
            .fidelity_ms = grant->fidelity_ms,
            .seed = grant->seed,
            .params = candidate->counts.params,
            .flops = candidate->counts.forward_flops,
        };
        int number = 0;
        status = results_propose(store, run->study_id, &proposal, &number, err);
    }
    ns_json_free(json);
    free(genotype);
    return status;
}

/// FLOPs of a training step.
static double train_flops(const void *space, const search_genotype *genotype) {
    nn_graph graph;
    return search__lower(space, genotype, &graph, NULL) == NS_OK
               ? (double)nn_graph_count(&graph).train_flops
               : (double)NAN;
}

static search_task task_of(const search__run *run) {
    search_genotype anchor;
    search_genotype_anchor(&run->space, &anchor);
    return (search_task){
        .space = &run->space,
        .cost = train_flops,
        .context = &run->space,
        .cost_max =
            search__cost_of_anchor_max(&run->config->goal) * train_flops(&run->space, &anchor),
    };
}

static ns_status try_genotype(const search__run *run, results_store *store,
                              const search__grant *grant, const search_genotype *genotype,
                              bool is_anchor, search_candidate *candidate, ns_error *err) {
    NS_TRY(search_decode(&run->space, genotype, candidate, err));
    NS_TRY(search__limits_ok(&run->config->goal, candidate, err));
    NS_TRY(fits_memory(run, candidate, err));
    if (!is_anchor) { // which is always tried
        NS_TRY(fits_time(run, candidate, grant->fidelity_ms, err));
    }
    return search__candidate_add(run, store, candidate, grant, err);
}

/// One try: NS_ERR_EXISTS, NS_ERR_INPUT and NS_ERR_LIMIT mean "ask again with the next number".
static ns_status propose_number(const search__run *run, results_store *store,
                                const search_history *history, const search__grant *grant,
                                uint64_t number, search_candidate *candidate, ns_error *err) {
    search_genotype genotype;
    if (number == 0) {
        NS_TRY(search__anchor(run, &genotype, err));
    } else {
        const search_task task = task_of(run);
        NS_TRY(run->sampler->propose(&task, history, run->config->seed, number, &genotype, err));
        NS_TRY(search__admit(run, number, &genotype, err));
    }
    return try_genotype(run, store, grant, &genotype, number == 0, candidate, err);
}

static bool is_refused(ns_status status) {
    return status == NS_ERR_EXISTS || status == NS_ERR_INPUT || status == NS_ERR_LIMIT;
}

static bool was_proposed(const search_history *history, const search_genotype *genotype) {
    for (size_t i = 0; i < history->count; i++) {
        if (memcmp(&history->trial[i].genotype, genotype, sizeof(*genotype)) == 0) {
            return true;
        }
    }
    return false;
}

/// The first point of a small space that nobody has proposed.
static ns_status propose_rest(const search__run *run, results_store *store,
                              const search_history *history, const search__grant *grant,
                              search_candidate *candidate, ns_error *err) {
    ns_status status = NS_ERR_EXISTS;
    search_genotype genotype = {0};
    bool more = search_space_point_count(&run->space) <= POINTS_MAX;
    while (more && is_refused(status)) {
        if (!was_proposed(history, &genotype)) {
            status = try_genotype(run, store, grant, &genotype, false, candidate, err);
        }
        more = search_genotype_next(&run->space, &genotype);
    }
    return status;
}

ns_status search__propose(const search__run *run, results_store *store,
                          const search_history *history, const search__grant *grant,
                          ns_error *err) {
    search_candidate *candidate = malloc(sizeof(*candidate)); // its graph is large for a stack
    ns_status status = candidate == NULL
                           ? ns_fail(err, NS_ERR_MEMORY, "cannot hold a candidate network")
                           : NS_ERR_EXISTS;
    // Numbers of retries lie far above those of trials, so no two draws share a stream.
    for (uint64_t retry = 0; retry < PROPOSALS_MAX && is_refused(status); retry++) {
        status = propose_number(run, store, history, grant,
                                history->count + (retry << SEARCH_RETRY_SHIFT), candidate, err);
    }
    if (is_refused(status)) {
        status = propose_rest(run, store, history, grant, candidate, err);
    }
    free(candidate);
    if (status == NS_ERR_EXISTS || status == NS_ERR_INPUT) {
        status = ns_fail(err, NS_ERR_LIMIT, "nothing new was found in %d proposals", PROPOSALS_MAX);
    }
    return status;
}
