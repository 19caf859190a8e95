// Propose: from the study's history to a candidate that is decoded, admitted and in the store.
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

/* ---- admission ------------------------------------------------------------------------------- */

/// NS_ERR_LIMIT: training the candidate, and validating it on the way, needs more memory than a
/// worker has.
static ns_status fits_memory(const search__run *run, const search_candidate *candidate,
                             ns_error *err) {
    const int thread_count = run->worker_thread_count;
    size_t train_bytes = 0;
    size_t judge_bytes = 0;
    NS_TRY(search__train_bytes(run, candidate, thread_count, &train_bytes, err));
    NS_TRY(search__judge_bytes(run, &candidate->graph, thread_count, &judge_bytes, err));
    const size_t bytes = train_bytes + judge_bytes;
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

/// Adds a WAITING trial of a candidate that was admitted. NS_ERR_EXISTS when it is not new.
static ns_status add(const search__run *run, results_store *store,
                     const search_candidate *candidate, const search__grant *grant, ns_error *err) {
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
    return add(run, store, candidate, grant, err);
}

/// One try: NS_ERR_EXISTS, NS_ERR_INPUT and NS_ERR_LIMIT mean "ask again with the next number".
static ns_status propose_number(const search__run *run, results_store *store,
                                const search_task *task, const search_history *history,
                                const search__grant *grant, uint64_t number,
                                search_candidate *candidate, ns_error *err) {
    search_genotype genotype;
    if (number == 0) {
        NS_TRY(search__anchor(run, &genotype, err));
    } else {
        NS_TRY(run->sampler->propose(task, history, run->config->seed, number, &genotype, err));
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
    const search_task task = task_of(run);
    // Numbers of retries lie far above those of trials, so no two draws share a stream.
    for (uint64_t retry = 0; retry < PROPOSALS_MAX && is_refused(status); retry++) {
        status = propose_number(run, store, &task, history, grant,
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
