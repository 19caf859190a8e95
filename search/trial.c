// One trial: a genotype trained once, from claim to a settled state.
//
//                     propose (ask.c)
//                          |
//                          v        claim (ask.c)
//      +--------------> WAITING ---------------------> RUNNING
//      |                                                  |
//      |  stopped on request: settle(WAITING)             |  trial_settle(), one of:
//      |  worker died: results_reap()                     |
//      +--------------------------------------------------+--> COMPLETE  trained to the end of its
//                                                         |              schedule and validated
//                                                         +--> PRUNED    hopeless at a mark
//                                                         +--> FAIL      invalid | oom | nan |
//                                                         timeout,
//                                                                        or crash (by results_reap)
//
// Invariants:
//   1. Only the attempt with the current fence settles a trial, and a settled trial never changes.
//   2. The attempt's time is booked between mini-batches, twice a second over all workers; until
//      then the supervisor keeps it reserved, so a kill loses one slice.
//   3. A worker slot is 1/worker_count of the node, and is charged that part of its wall-clock
//   time.
//   4. A COMPLETE trial that may be the best has its model on disk before it is settled, so the
//   best
//      trial of a study can always be exported even if nothing else is left of the budget.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "search/search_internal.h"

#define BEAT_MS              500 // between the beats of all workers together
#define SETTLE_TRIES_MAX     6   // each waits for a locked store
#define MARK_IMAGE_COUNT_MAX 1000
#define LATENCY_MS_MIN       30
#define LATENCY_MS_MAX       300

/// Fractions of the schedule at which a trial may be found hopeless.
static const double MARKS[] = {0.35, 0.65};

/// A trial under way: what the callbacks need.
typedef struct trial {
    const search__run *run;
    search__slot *slot;
    results_store *store;
    const results_claim *claim;
    int64_t start_ms;
    int64_t beat_ms;  // clock of the last beat
    ns_status status; // why a callback stopped it; NS_OK: it did not, or pruned it
    bool pruned;
    double pruned_accuracy;
    uint64_t sample_count;
    size_t classified_count; // images, at marks and in the end
    nn_counts counts;        // of the network
    uint8_t *correct;        // of a confirmation, search__image_scores()
    ns_error *err;
} trial;

static int64_t charged_ms(const trial *t) {
    return (ns_clock_ms() - t->start_ms) / t->run->worker_count;
}

/// Books the time used so far, now and then; also the answer to "may I go on?".
static nn_verdict beat(trial *t) {
    const int64_t now_ms = ns_clock_ms();
    t->slot->alive_ms = now_ms;
    if (search__stop_requested()) {
        t->status = NS_ERR_STOPPED;
        return NN_STOP;
    }
    if (now_ms - t->beat_ms < (int64_t)BEAT_MS * t->run->worker_count) {
        return NN_CONTINUE;
    }
    t->beat_ms = now_ms;
    t->status =
        results_beat(t->store, t->claim, charged_ms(t), BEAT_MS / t->run->worker_count, t->err);
    return t->status == NS_OK ? NN_CONTINUE : NN_STOP;
}

static nn_verdict on_step(void *context, const nn_progress *progress) {
    trial *t = context;
    t->sample_count = progress->sample_count;
    t->slot->fraction = progress->fraction;
    return beat(t);
}

/// Compares with what other trials had at the same mark of the same schedule.
static nn_verdict on_mark(void *context, const nn_progress *progress) {
    trial *t = context;
    const size_t val_count = t->run->info->split_count[DATA_VALIDATION];
    double mark = MARKS[0];
    t->classified_count += val_count < MARK_IMAGE_COUNT_MAX ? val_count : MARK_IMAGE_COUNT_MAX;
    for (size_t i = 0; i < NS_COUNT_OF(MARKS); i++) {
        mark = progress->fraction >= MARKS[i] ? MARKS[i] : mark;
    }
    double *others = NULL;
    size_t count = 0;
    t->status = results_report(t->store, t->claim, mark, (double)progress->val_accuracy, t->err);
    if (t->status == NS_OK) {
        t->status = results_values_at(t->store, t->claim->trial_id, mark, &others, &count, t->err);
    }
    // A confirmation counts only when it is complete, and its network has been found good before.
    if (t->status == NS_OK && t->claim->purpose == RESULTS_SEARCH &&
        search_is_hopeless((double)progress->val_accuracy, others, count)) {
        t->pruned = true;
        t->pruned_accuracy = (double)progress->val_accuracy;
    }
    free(others);
    return t->status == NS_OK && !t->pruned ? NN_CONTINUE : NN_STOP;
}

static bool stop_evaluation(void *context) {
    return beat(context) == NN_STOP;
}

static nn_train_options train_options(trial *t, const search_candidate *candidate) {
    nn_train_options options = nn_train_options_default();
    options.recipe = candidate->recipe;
    search__clock_grant(t->run, candidate, t->claim->fidelity_ms, &options);
    options.step_ms_guess = search__predict_step_ms(t->run, candidate, false);
    options.seed = t->claim->seed;
    options.thread_count = t->run->worker_thread_count;
    options.dtype = t->run->config->dtype;
    options.mem_bytes_max = t->run->worker_mem_bytes;
    options.on_step = on_step;
    options.on_mark = on_mark;
    options.eval_mark_count = (int)NS_COUNT_OF(MARKS);
    for (size_t i = 0; i < NS_COUNT_OF(MARKS); i++) {
        options.eval_mark[i] = MARKS[i];
    }
    options.eval_image_count_max = MARK_IMAGE_COUNT_MAX;
    options.context = t;
    return options;
}

/// Validates `model` into `outcome`, and chooses its thresholds.
static ns_status validate(trial *t, nn_model *model, results_outcome *outcome, ns_error *err) {
    search_predictions p;
    nn_infer_options options = nn_infer_options_default();
    options.thread_count = t->run->worker_thread_count;
    ns_status status =
        search__predict(model, t->run->set, DATA_VALIDATION, &options, stop_evaluation, t, &p, err);
    t->classified_count += p.count;
    if (status == NS_OK) {
        outcome->val_accuracy = search_score(&p);
        outcome->val_loss = search__loss(&p);
    }
    if (status == NS_OK) {
        status = search_thresholds_choose(model, &p, t->run->worker_thread_count, err);
    }
    if (status == NS_OK && t->claim->purpose == RESULTS_CONFIRM) {
        status = search__image_scores(&p, &t->correct, &outcome->image_count, err);
        outcome->correct = t->correct;
    }
    search_predictions_clear(&p);
    return status;
}

/// How long the network takes for an image, measured beside whatever else runs: in about a hundredth
/// of the trial's own time. A failure costs nothing but the figure. Under a budget of compute no
/// clock may decide anything, and the objective takes multiply-adds instead.
static void measure_latency(const trial *t, const nn_model *model, results_outcome *outcome) {
    int64_t ms_max = t->claim->fidelity_ms / 100;
    if (t->run->config->budget_kind == BUDGET_COMPUTE) {
        return;
    }
    ms_max = ms_max < LATENCY_MS_MIN ? LATENCY_MS_MIN : ms_max;
    ms_max = ms_max > LATENCY_MS_MAX ? LATENCY_MS_MAX : ms_max;
    ns_error why = {0};
    if (search__latency(model, 1, ms_max, &outcome->latency_ms, &why) != NS_OK) {
        outcome->latency_ms = (double)NAN;
        ns_log_write(t->run->config->log, NS_LOG_WARN, "trial %d: latency not measured: %s",
                     t->claim->number, why.text);
    }
}

/// Keeps the model on disk when it may be the best, or no other beats it (invariant 4).
static ns_status keep_if_worth(trial *t, nn_model *model, const results_outcome *outcome,
                               ns_error *err) {
    bool worth = false;
    NS_TRY(search__history_read(t->run, t->store, err));
    NS_TRY(search__is_worth_keeping(t->run, t->claim->number, outcome, &worth, err));
    if (!worth) {
        return NS_OK;
    }
    ns_json_set_number(nn_model_notes(model), "val_accuracy", outcome->val_accuracy);
    char path[NS_PATH_MAX];
    NS_TRY(search__trial_file(t->run, t->claim->number, path, err));
    return nn_model_save(model, path, err);
}

static ns_status candidate_of(const trial *t, search_candidate *candidate, ns_error *err) {
    ns_json *json = NULL;
    search_genotype genotype;
    NS_TRY(ns_json_parse(t->claim->genotype, &json, err));
    const ns_status status = search_genotype_from_json(&t->run->space, json, &genotype, err);
    ns_json_free(json);
    return status == NS_OK ? search_decode(&t->run->space, &genotype, candidate, err) : status;
}

/// Trains and validates; what goes wrong with the network itself comes back as a status.
static ns_status train_and_validate(trial *t, results_outcome *outcome, ns_error *err) {
    ns_status status = NS_OK;
    nn_model *model = NULL;
    nn_train_result result;
    search_candidate *candidate = malloc(sizeof(*candidate)); // its graph is large for a stack
    if (candidate == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a candidate network");
    }
    NS_TRY_OUT(candidate_of(t, candidate, err));
    t->counts = candidate->counts;
    const nn_train_options options = train_options(t, candidate);
    NS_TRY_OUT(nn_train(&candidate->graph, t->run->set, &options, &result, &model, err));
    if (result.recovery_count > 0) {
        ns_log_write(t->run->config->log, NS_LOG_INFO,
                     "trial %d broke %d times and went on at a lower rate, last: %s",
                     t->claim->number, result.recovery_count, result.recovery_reason.text);
    }
    if (model != NULL) {
        NS_TRY_OUT(validate(t, model, outcome, err));
        measure_latency(t, model, outcome);
        const ns_status kept = keep_if_worth(t, model, outcome, t->err);
        t->status = t->status == NS_OK ? kept : t->status;
    }
out:
    nn_model_free(model);
    free(candidate);
    return status;
}

/// The state and reason that a failure of the network means.
static void outcome_of_failure(ns_status status, const ns_error *why, results_outcome *outcome) {
    outcome->state = RESULTS_FAIL;
    outcome->correct = NULL;
    outcome->detail = why->text;
    switch (status) {
    case NS_ERR_NAN:
        outcome->fail_reason = "nan";
        break;
    case NS_ERR_MEMORY:
    case NS_ERR_LIMIT:
        outcome->fail_reason = "oom";
        break;
    case NS_ERR_BUDGET:
        outcome->fail_reason = "timeout";
        break;
    default:
        outcome->fail_reason = "invalid";
        break;
    }
}

/// A store that stays locked for a while must not cost a trained trial.
static ns_status settle(trial *t, const results_outcome *outcome) {
    ns_status status = NS_ERR_BUSY;
    for (int i = 0; status == NS_ERR_BUSY && i < SETTLE_TRIES_MAX; i++) {
        status = results_settle(t->store, t->claim, outcome, t->err);
    }
    return status;
}

static void log_outcome(const search__run *run, int number, const results_outcome *outcome) {
    char score[48] = ""; // a trial that failed or was interrupted has none
    if (!isnan(outcome->val_accuracy)) {
        (void)snprintf(score, sizeof(score), ", validation %s %.2f %%",
                       search_score_name(run->info->multi_label), 100 * outcome->val_accuracy);
    }
    ns_log_write(run->config->log, NS_LOG_INFO, "trial %d %s%s%s%s", number,
                 results_trial_state_name(outcome->state), outcome->detail != NULL ? ": " : "",
                 outcome->detail != NULL ? outcome->detail : "", score);
}

ns_status search__trial_run(const search__run *run, search__slot *slot, results_store *store,
                            const results_claim *claim, ns_error *err) {
    const int64_t now_ms = ns_clock_ms();
    trial t = {.run = run,
               .slot = slot,
               .store = store,
               .claim = claim,
               .start_ms = now_ms,
               .beat_ms = now_ms,
               .err = err};
    results_outcome outcome = {
        .state = RESULTS_COMPLETE, .val_accuracy = (double)NAN, .val_loss = (double)NAN};
    ns_error why = {0};
    const ns_status status = train_and_validate(&t, &outcome, &why);
    slot->fraction = (double)NAN;

    if (t.status != NS_OK && t.status != NS_ERR_STOPPED) {
        free(t.correct);
        return t.status; // the store's failure, or another attempt owns the trial
    }
    if (t.status == NS_ERR_STOPPED) {
        outcome.state = RESULTS_WAITING;
    } else if (t.pruned) {
        outcome.state = RESULTS_PRUNED;
        outcome.val_accuracy = t.pruned_accuracy;
    } else if (status != NS_OK) {
        outcome_of_failure(status, &why, &outcome);
    }
    outcome.charged_ms = charged_ms(&t);
    outcome.sample_count = (int64_t)t.sample_count;
    outcome.work_flop = search__work_flop(&t.counts, t.sample_count, t.classified_count);
    const ns_status settled = settle(&t, &outcome);
    free(t.correct);
    NS_TRY(settled);
    log_outcome(run, claim->number, &outcome);
    return t.status;
}
