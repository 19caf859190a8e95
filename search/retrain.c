// Retraining: the winner of the search from scratch, with all cores and all the time that is left.
//
// The winner is fixed in the study's result before training begins, so a resumed run retrains the
// same genotype from its checkpoint. How long the finish will take is measured first, on this
// machine with this network; everything before it belongs to training. The test split is not read
// here.

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "search/search_internal.h"

#define BEAT_MS                500
#define CHECKPOINT_INTERVAL_MS 15000
#define TRAIN_MS_MIN           2000 // shorter trainings teach nothing
#define FINISH_BASE_MS         1500 // loading, preparing, exporting, besides classifying
#define FINISH_SAFETY          1.5  // on what was measured
#define MARGIN_MS_MIN          1500
#define MARGIN_MS_MAX          30000
#define TIMED_BATCHES          3

typedef struct retraining {
    search__run *run;
    search__slot *slot;
    results_store *store;
    int64_t attempt_id;
    int64_t start_ms, beat_ms; // clock
    ns_status status;          // the store's, in a callback
    ns_error *err;
} retraining;

/* ---- the winner ------------------------------------------------------------------------------ */

/// The genotype of the best trial, or the anchor's when no trial was completed; `*number` -1 then.
static ns_status winner_choose(const retraining *r, ns_json **winner, int *number, ns_error *err) {
    results_trial *trials = NULL;
    size_t count = 0;
    NS_TRY(results_trials(r->store, r->run->study_id, &trials, &count, err));
    const int best = search__best_trial(trials, count);
    ns_status status = NS_OK;
    if (best >= 0) {
        *number = trials[best].number;
        status = ns_json_parse(trials[best].genotype, winner, err);
    } else {
        search_genotype anchor;
        search_genotype_anchor(&r->run->space, &anchor);
        *number = -1;
        *winner = search_genotype_to_json(&r->run->space, &anchor);
    }
    results_trials_free(trials, count);
    return status;
}

/// The winner as decoded, chosen and written into the study's result on the first call.
static ns_status winner_open(const retraining *r, search_candidate *candidate, ns_error *err) {
    ns_json *result = NULL;
    NS_TRY(search__result_read(r->store, r->run, &result, err));
    ns_status status = NS_OK;
    if (ns_json_get(result, "winner") == NULL) {
        ns_json *winner = NULL;
        int number = -1;
        status = winner_choose(r, &winner, &number, err);
        if (status == NS_OK) {
            ns_json_set(result, "winner", winner);
            ns_json_set_int(result, "winner_trial", number);
            status = search__result_write(r->store, r->run, result, err);
        }
    }
    search_genotype genotype;
    if (status == NS_OK) {
        status = search_genotype_from_json(&r->run->space, ns_json_get(result, "winner"), &genotype,
                                           err);
    }
    if (status == NS_OK) {
        status = search_decode(&r->run->space, &genotype, candidate, err);
    }
    ns_json_free(result);
    return status;
}

/* ---- how long ----------------------------------------------------------------------------------
 */

/// Predicted time of the finish: every validation and test image classified once at the rate
/// measured now.
static ns_status finish_predict(const search__run *run, const nn_graph *graph, int64_t *finish_ms,
                                ns_error *err) {
    nn_net_options options = nn_net_options_default();
    options.mode = NN_MODE_INFER;
    options.batch_size = SEARCH_EVAL_BATCH;
    options.thread_count = run->thread_count;
    nn_net *net = NULL;
    NS_TRY(nn_net_new(graph, &options, &net, err));
    nn_net_init(net, run->config->seed);
    const size_t input_count = (size_t)SEARCH_EVAL_BATCH * (size_t)run->info->channels *
                               (size_t)run->info->height * (size_t)run->info->width;
    memset(nn_net_input(net), 0, input_count * sizeof(float));
    nn_net_forward(net); // warms caches up
    const int64_t start_ms = ns_clock_ms();
    for (int i = 0; i < TIMED_BATCHES; i++) {
        nn_net_forward(net);
    }
    const double batch_ms = (double)(ns_clock_ms() - start_ms + 1) / TIMED_BATCHES;
    nn_net_free(net);
    const double image_count =
        (double)(run->info->split_count[DATA_VALIDATION] + run->info->split_count[DATA_TEST]);
    *finish_ms =
        FINISH_BASE_MS + (int64_t)(image_count / SEARCH_EVAL_BATCH * batch_ms * FINISH_SAFETY);
    return NS_OK;
}

/// What training may use from now on.
static ns_status time_left(const search__run *run, const nn_graph *graph, int64_t *left_ms,
                           ns_error *err) {
    int64_t finish_ms = 0;
    NS_TRY(finish_predict(run, graph, &finish_ms, err));
    int64_t margin_ms = run->plan.total_ms / 200;
    margin_ms = margin_ms < MARGIN_MS_MIN ? MARGIN_MS_MIN : margin_ms;
    margin_ms = margin_ms > MARGIN_MS_MAX ? MARGIN_MS_MAX : margin_ms;
    *left_ms = run->plan.total_ms - finish_ms - margin_ms - search__position_ms(run);
    return NS_OK;
}

/* ---- training ----------------------------------------------------------------------------------
 */

static int64_t charged_ms(const retraining *r) {
    return ns_clock_ms() - r->start_ms;
}

static nn_verdict on_step(void *context, const nn_progress *progress) {
    retraining *r = context;
    const int64_t now_ms = ns_clock_ms();
    r->slot->fraction = progress->fraction;
    if (search__stop_requested()) {
        return NN_STOP;
    }
    if (now_ms - r->beat_ms >= BEAT_MS) {
        r->beat_ms = now_ms;
        r->status = results_phase_beat(r->store, r->attempt_id, charged_ms(r), r->err);
    }
    return r->status == NS_OK ? NN_CONTINUE : NN_STOP;
}

/// Training time that a usable checkpoint stands for; one that cannot be used is removed.
static int64_t checkpoint_open(const search__run *run, const char *path) {
    nn_progress progress;
    ns_error why = {0};
    const ns_status status = nn_checkpoint_progress(path, &progress, &why);
    if (status == NS_OK) {
        return progress.used_ms;
    }
    if (status != NS_ERR_NOT_FOUND) {
        ns_log_write(run->config->log, NS_LOG_WARN, "training starts afresh: %s", why.text);
        unlink(path);
    }
    return 0;
}

/// Trains; a network that will not train is logged and leaves `*model` NULL: the finish then takes
/// the best trial's own model.
static ns_status train(retraining *r, const search_candidate *candidate, nn_model **model,
                       ns_error *err) {
    char checkpoint[NS_PATH_MAX];
    int64_t left_ms = 0;
    NS_TRY(search__file(r->run, "retrain.ckpt", checkpoint, err));
    NS_TRY(time_left(r->run, &candidate->graph, &left_ms, err));
    if (left_ms < TRAIN_MS_MIN) {
        ns_log_write(r->run->config->log, NS_LOG_WARN, "no time left for retraining");
        return NS_OK;
    }
    nn_train_options options = nn_train_options_default();
    options.recipe = candidate->recipe;
    options.ms_max = checkpoint_open(r->run, checkpoint) + left_ms;
    options.seed = r->run->config->seed;
    options.thread_count = r->run->thread_count;
    options.on_step = on_step;
    options.context = r;
    options.checkpoint_path = checkpoint;
    options.checkpoint_interval_ms = CHECKPOINT_INTERVAL_MS;
    nn_train_result result;
    ns_error why = {0};
    const ns_status status =
        nn_train(&candidate->graph, r->run->set, &options, &result, model, &why);
    if (status == NS_ERR_NAN || status == NS_ERR_LIMIT || status == NS_ERR_MEMORY ||
        status == NS_ERR_BUDGET) {
        ns_log_write(r->run->config->log, NS_LOG_WARN, "retraining failed: %s", why.text);
        return NS_OK;
    }
    if (status != NS_OK) {
        return ns_fail(err, status, "%s", why.text);
    }
    NS_TRY(r->status);
    return result.stopped ? NS_ERR_STOPPED : NS_OK;
}

static ns_status retrain(retraining *r, ns_error *err) {
    search_candidate *candidate = malloc(sizeof(*candidate));
    nn_model *model = NULL;
    char path[NS_PATH_MAX];
    ns_status status = candidate == NULL
                           ? ns_fail(err, NS_ERR_MEMORY, "cannot hold a candidate network")
                           : winner_open(r, candidate, err);
    if (status == NS_OK) {
        status = train(r, candidate, &model, err);
    }
    if (status == NS_OK && model != NULL) {
        status = search__file(r->run, "retrain.nsm", path, err);
    }
    if (status == NS_OK && model != NULL) {
        status = nn_model_save(model, path, err);
    }
    nn_model_free(model);
    free(candidate);
    return status;
}

int search__retrain_main(search__run *run, int slot) {
    ns_error *err = &run->slot[slot].error;
    retraining r = {.run = run, .slot = &run->slot[slot], .start_ms = ns_clock_ms(), .err = err};
    ns_status status = results_open(run->config->store_path, RESULTS_WRITE, &r.store, err);
    if (status == NS_OK) {
        status = results_phase_begin(r.store, run->run_id, "retrain", getpid(), &r.attempt_id, err);
    }
    if (status == NS_OK) {
        status = retrain(&r, err);
    }
    if (status == NS_OK || status == NS_ERR_STOPPED) {
        const ns_status ended = results_phase_end(r.store, r.attempt_id, charged_ms(&r), err);
        status = ended == NS_OK ? status : ended;
    }
    results_close(r.store);
    return search__exit_code(status);
}
