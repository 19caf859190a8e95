// Ask: from the study's history to a claimed trial.
//
// A worker first takes what waits: a trial that a dead worker left behind, or another's proposal.
// When nothing waits it reads the whole history, asks the sampler, decodes, refuses what cannot fit
// into its share of memory or whose steps are too long for a trial, and proposes. The store's
// uniqueness constraint turns a repeated point into a refusal; the sampler is then asked again with
// another number. When it finds nothing new in PROPOSALS_MAX tries the space counts as exhausted.
//
// Two workers may ask at the same moment: both propose, one may be refused and asks again; claims
// are exclusive, so it does not matter who trains whose proposal.

#include <stdlib.h>
#include <unistd.h>

#include "search/search_internal.h"

#define PROPOSALS_MAX       256
#define FAILURES_IN_ROW_MAX 50
#define WORKER_SLICE_MS     500
#define STEPS_MIN           50 // fewer in a trial rank noise

static ns_status history_read(const search__run *run, results_store *store,
                              search_observation **out, size_t *count, ns_error *err) {
    results_trial *trials = NULL;
    ns_status status = results_trials(store, run->study_id, &trials, count, err);
    if (status != NS_OK) {
        return status;
    }
    *out = calloc(*count + 1, sizeof(**out));
    if (*out == NULL) {
        status = ns_fail(err, NS_ERR_MEMORY, "cannot hold the history of %zu trials", *count);
    }
    for (size_t i = 0; status == NS_OK && i < *count; i++) {
        ns_json *json = NULL;
        status = ns_json_parse(trials[i].genotype, &json, err);
        if (status == NS_OK) {
            status = search_genotype_from_json(&run->space, json, &(*out)[i].genotype, err);
        }
        (*out)[i].state = trials[i].state;
        (*out)[i].val_accuracy = trials[i].val_accuracy;
        ns_json_free(json);
    }
    if (status != NS_OK) {
        free(*out);
        *out = NULL;
    }
    results_trials_free(trials, *count);
    return status;
}

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
                           ns_error *err) {
    const double step_ms = search__predict_step_ms(run, candidate, false);
    if (run->calibration.split_count > 0 && step_ms * STEPS_MIN > (double)run->plan.trial_ms) {
        return ns_fail(err, NS_ERR_LIMIT, "a step would take %.0f ms of a trial's %lld ms", step_ms,
                       (long long)run->plan.trial_ms);
    }
    return NS_OK;
}

static ns_status propose(const search__run *run, results_store *store,
                         const search_candidate *candidate, ns_error *err) {
    char *genotype = NULL;
    ns_json *json = search_genotype_to_json(&run->space, &candidate->genotype);
    ns_status status = ns_json_print(json, false, &genotype, err);
    if (status == NS_OK) {
        const results_proposal proposal = {
            .genotype = genotype,
            .hash = candidate->hash,
            .recipe = candidate->recipe_text,
            .fidelity_ms = run->plan.trial_ms,
            .seed = run->config->seed,
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

/// One try: NS_ERR_EXISTS, NS_ERR_INPUT and NS_ERR_LIMIT mean "ask again with the next number".
static ns_status propose_number(const search__run *run, results_store *store,
                                const search_history *history, uint64_t number,
                                search_candidate *candidate, ns_error *err) {
    search_genotype genotype;
    if (number == 0) {
        search_genotype_anchor(&run->space, &genotype);
    } else {
        run->sampler->propose(&run->space, history, run->config->seed, number, &genotype);
    }
    NS_TRY(search_decode(&run->space, &genotype, candidate, err));
    NS_TRY(fits_memory(run, candidate, err));
    if (number > 0) { // the anchor is always tried
        NS_TRY(fits_time(run, candidate, err));
    }
    return propose(run, store, candidate, err);
}

/// Whether the last trials all failed, so that going on would only fill the store.
static bool is_hopeless(const search_observation *trials, size_t count) {
    size_t failed = 0;
    while (failed < count && trials[count - 1 - failed].state == RESULTS_FAIL) {
        failed++;
    }
    return failed >= FAILURES_IN_ROW_MAX;
}

/// Adds one WAITING trial that is new. NS_ERR_LIMIT: nothing new was found.
static ns_status propose_next(const search__run *run, results_store *store, ns_error *err) {
    search_observation *observations = NULL;
    size_t count = 0;
    NS_TRY(history_read(run, store, &observations, &count, err));
    if (is_hopeless(observations, count)) {
        free(observations);
        return ns_fail(err, NS_ERR_LIMIT, "the last %d trials all failed", FAILURES_IN_ROW_MAX);
    }
    const search_history history = {.trial = observations, .count = count};

    search_candidate *candidate = malloc(sizeof(*candidate)); // its graph is large for a stack
    ns_status status = candidate == NULL
                           ? ns_fail(err, NS_ERR_MEMORY, "cannot hold a candidate network")
                           : NS_ERR_EXISTS;
    // Numbers of retries lie far above those of trials, so no two draws share a stream.
    for (uint64_t retry = 0;
         retry < PROPOSALS_MAX &&
         (status == NS_ERR_EXISTS || status == NS_ERR_INPUT || status == NS_ERR_LIMIT);
         retry++) {
        status = propose_number(run, store, &history, count + (retry << 32), candidate, err);
    }
    free(candidate);
    free(observations);
    if (status == NS_ERR_EXISTS || status == NS_ERR_INPUT) {
        status = ns_fail(err, NS_ERR_LIMIT, "the sampler found nothing new in %d proposals",
                         PROPOSALS_MAX);
    }
    return status;
}

ns_status search__ask(const search__run *run, results_store *store, results_claim *claim,
                      ns_error *err) {
    const int64_t pid = getpid();
    for (;;) {
        const ns_status status = results_claim_next(
            store, run->run_id, pid, WORKER_SLICE_MS / run->worker_count, claim, err);
        if (status != NS_ERR_NOT_FOUND) {
            return status;
        }
        NS_TRY(propose_next(run, store, err));
    }
}
