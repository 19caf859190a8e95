// The study store, and comparisons between what is in it. The figures that judge a classifier are in
// results/metrics.h.
//
// A store is one SQLite file (WAL) that holds studies, their trials and what each cost. Workers and
// supervisor talk through it alone, by five calls, each one short transaction:
//
//   propose  add WAITING trials                     reap    requeue what stood still
//   claim    take one, reserve, raise its fence     settle  finish it, once
//   beat     book time used; the answer may be "fenced: stop"
//
// The store knows a genotype as text and a hash, and nothing of networks.
//
// Money: an *attempt* is a part of a node's time that went to one purpose. Its `charged_ms` only
// grows; `reserved_ms` is what it may use before its next beat. Spent = the sum of charged_ms over
// a study's attempts; an attempt found dead is charged its reservation too, so no kill overspends.
//
// A handle belongs to one process and one thread: close it before fork().

#ifndef NS_RESULTS_RESULTS_H
#define NS_RESULTS_RESULTS_H

#include "base/base.h"
#include "results/metrics.h"

/* ---- store ----------------------------------------------------------------------------------- */

typedef struct results_store results_store;

typedef enum results_mode {
    RESULTS_READ,   // never blocks or harms a running study; the file must be there
    RESULTS_WRITE,  // the file must be there
    RESULTS_CREATE, // made when missing
} results_mode;

/// Opening for writing brings an older store up to date. NS_ERR_NOT_FOUND, NS_ERR_CORRUPT (not a
/// nightshift store), NS_ERR_VERSION (newer; or older, for reading), NS_ERR_IO; NS_ERR_BUSY here
/// and in every call below when another process keeps the store locked for 10 s.
ns_status results_open(const char *path, results_mode mode, results_store **out, ns_error *err);
void results_close(results_store *store);
/// How long calls wait for a store that another process has locked before NS_ERR_BUSY; 10 s at
/// first.
void results_set_patience(results_store *store, int patience_ms);

/* ---- studies --------------------------------------------------------------------------------- */

typedef enum results_study_state {
    RESULTS_STUDY_RUNNING,     // a run holds it, or was killed while it did
    RESULTS_STUDY_INTERRUPTED, // stopped on request; can be resumed
    RESULTS_STUDY_COMPLETE,
    RESULTS_STUDY_FAIL,
} results_study_state;
const char *results_study_state_name(results_study_state state); // "RUNNING", ...

/// What an earlier study found a point to be worth, for a study that begins with that knowledge.
typedef struct results_earlier {
    char *genotype; // JSON object, canonical
    double value;
    bool is_same_data; // the earlier study had the same data set
} results_earlier;

/// What defines a study. `settings` is a JSON object; two runs of a study have equal settings.
typedef struct results_study_spec {
    const char *name;
    const char *settings;
    const char *dataset_path, *dataset_sha256;
    int64_t budget_node_ms;
    const results_earlier *earlier; // kept with the study for ever
    size_t earlier_count;
} results_study_spec;

typedef struct results_study {
    int64_t id;
    char *name;
    char *settings; // JSON object
    char *dataset_path, *dataset_sha256;
    results_study_state state;
    char *phase;       // "search", "confirm", "retrain", "finish", "done"
    char *stop_reason; // "" until it is known; "budget", "converged", "interrupted", "failed"
    char *result;      // JSON object of what the finished study found; "{}" before
    int64_t budget_node_ms;
    int64_t charged_node_ms, reserved_node_ms;
    int64_t created_unix_ms;
    int trial_count[5]; // by results_trial_state
} results_study;

/// NS_ERR_EXISTS when the name is taken.
ns_status results_study_add(results_store *store, const results_study_spec *spec, int64_t *study_id,
                            ns_error *err);
/// NS_ERR_NOT_FOUND. Free with results_study_clear.
ns_status results_study_get(results_store *store, const char *name, results_study *out,
                            ns_error *err);
void results_study_clear(results_study *study);
/// What the study began with: a malloced array, free with results_earlier_free.
ns_status results_earlier_get(results_store *store, int64_t study_id, results_earlier **out,
                              size_t *count, ns_error *err);
void results_earlier_free(results_earlier *earlier, size_t count);
/// Names of all studies, oldest first: a malloced array of malloced strings.
ns_status results_study_names(results_store *store, char ***names, size_t *count, ns_error *err);
/// Updates what is not NULL; `result` is a JSON object.
ns_status results_study_update(results_store *store, int64_t study_id, results_study_state state,
                               const char *phase, const char *stop_reason, const char *result,
                               ns_error *err);

/* ---- runs: one process life of a study ------------------------------------------------------- */

typedef struct results_run_spec {
    const char *command, *host, *version, *platform;
    int64_t pid;
} results_run_spec;

/// Begins a run with its own attempt (purpose "overhead"), which books the node's time that no
/// other attempt of the run took. From the end of a run (or its reaping) on, every beat, claim or
/// phase of it is NS_ERR_FENCED.
ns_status results_run_begin(results_store *store, int64_t study_id, const results_run_spec *spec,
                            int64_t *run_id, ns_error *err);
/// The node has been held `elapsed_ms` by this run. Of that, what no attempt has booked is charged
/// to the overhead attempt or, while another attempt runs that may still book it, kept reserved; in
/// addition reserves `reserve_ms` ahead, or as much as the budget has left. `*reserved_ms` is the
/// whole reservation.
ns_status results_run_beat(results_store *store, int64_t run_id, int64_t elapsed_ms,
                           int64_t reserve_ms, int64_t *reserved_ms, ns_error *err);
/// The last beat: charges exactly, refunds the reservation, ends the run.
ns_status results_run_end(results_store *store, int64_t run_id, int64_t elapsed_ms, ns_error *err);

/// A run as it was begun, and how it ended.
typedef struct results_run {
    char *command, *host, *version, *platform;
    char *state;                            // "RUNNING", "DONE", "DIED"
    int64_t started_unix_ms, ended_unix_ms; // 0: not yet
} results_run;
/// All runs of a study, the first one first: a malloced array; free with results_runs_free.
ns_status results_runs(results_store *store, int64_t study_id, results_run **out, size_t *count,
                       ns_error *err);
void results_runs_free(results_run *runs, size_t count);

/// Attempts for what is no trial: "retrain", "finish". Same booking as a trial's.
ns_status results_phase_begin(results_store *store, int64_t run_id, const char *purpose,
                              int64_t pid, int64_t *attempt_id, ns_error *err);
ns_status results_phase_beat(results_store *store, int64_t attempt_id, int64_t charged_ms,
                             ns_error *err);
ns_status results_phase_end(results_store *store, int64_t attempt_id, int64_t charged_ms,
                            ns_error *err);

/* ---- work: what budgets of compute count ----------------------------------------------------- */

/// FLOPs that are part of a study's result. What an attempt did that died or gave its trial back has
/// to be done again and is no work; its time is `lost_node_ms`.
typedef struct results_work {
    int64_t trial_flop;          // of finished trials
    int64_t phase_flop;          // of retraining and finish
    int64_t running_fidelity_ms; // granted to trials that are RUNNING
    int64_t lost_node_ms;
} results_work;

/// Says how much work a phase's attempt has done by now; with what an earlier, interrupted attempt
/// did that it went on from.
ns_status results_phase_work(results_store *store, int64_t attempt_id, int64_t work_flop,
                             ns_error *err);
ns_status results_work_get(results_store *store, int64_t study_id, results_work *out,
                           ns_error *err);

/* ---- trials ---------------------------------------------------------------------------------- */

typedef enum results_trial_state {
    RESULTS_WAITING,
    RESULTS_RUNNING,
    RESULTS_COMPLETE,
    RESULTS_PRUNED,
    RESULTS_FAIL,
} results_trial_state;
const char *results_trial_state_name(results_trial_state state); // "WAITING", ...
/// Whether a trial in this state has come to its end, well or badly.
bool results_trial_is_over(results_trial_state state);

typedef enum results_purpose {
    RESULTS_SEARCH,  // to find good networks
    RESULTS_CONFIRM, // to tell, with new seeds, which of the best is better
} results_purpose;
const char *results_purpose_name(results_purpose purpose); // "search", "confirm"

/// A trial to be. (study, hash, recipe, fidelity, seed) is unique in a store.
typedef struct results_proposal {
    const char *genotype; // JSON object, canonical
    const char *hash;     // of the lowered architecture
    const char *recipe;   // canonical text of the recipe genes
    int64_t fidelity_ms;  // training time granted, of one worker slot
    uint64_t seed;
    int64_t params, flops; // forward, one image
    results_purpose purpose;
    int rung;          // of the ladder of fidelities, from 0
    bool is_repeat;    // of an earlier trial's genotype, with another fidelity or seed
    int source_number; // of that trial
} results_proposal;

/// Adds a WAITING trial; numbers go up from 0. NS_ERR_EXISTS when it is not unique.
ns_status results_propose(results_store *store, int64_t study_id, const results_proposal *proposal,
                          int *number, ns_error *err);

typedef struct results_claim {
    int64_t trial_id, attempt_id, fence;
    int number;
    char *genotype; // free with results_claim_clear
    int64_t fidelity_ms;
    uint64_t seed;
    results_purpose purpose;
    int rung;
} results_claim;

/// Takes the WAITING trial `number`, or the lowest when that is -1: RUNNING, fence raised,
/// `reserve_ms` reserved for a new attempt. NS_ERR_NOT_FOUND when none such waits, NS_ERR_BUDGET when
/// the reservation does not fit.
ns_status results_claim_trial(results_store *store, int64_t run_id, int number, int64_t pid,
                              int64_t reserve_ms, results_claim *out, ns_error *err);
void results_claim_clear(results_claim *claim);
/// Books `charged_ms` in all (ignored when smaller than before) and reserves `reserve_ms` anew, or
/// as much as the budget has left. NS_ERR_FENCED: stop, another attempt owns the trial.
ns_status results_beat(results_store *store, const results_claim *claim, int64_t charged_ms,
                       int64_t reserve_ms, ns_error *err);
/// Records a value on the way: `fraction` of its schedule, validation accuracy. Replaces an equal
/// fraction.
ns_status results_report(results_store *store, const results_claim *claim, double fraction,
                         double val_accuracy, ns_error *err);

typedef struct results_outcome {
    results_trial_state state; // COMPLETE, PRUNED, FAIL; WAITING gives the trial back unfinished
    const char *fail_reason;   // "invalid", "oom", "nan", "timeout", "crash", "stale"; else NULL
    const char *detail;        // one sentence, may be NULL
    double val_accuracy;       // 0-1; NaN: none
    double val_loss;           // NaN: none
    double latency_ms;         // of one image; 0 or NaN: not measured
    int64_t charged_ms;        // node time of the attempt, in all
    int64_t work_flop;         // of the attempt, in all; not kept of a trial given back
    int64_t sample_count;      // images trained on
    const uint8_t
        *correct;       // bits, one a validation image, lowest first, or a byte of them each where
                        // images may have several labels; NULL: not kept
    size_t image_count; // of the bits
} results_outcome;

/// Finishes the attempt and refunds what it had reserved. Only with the current fence
/// (NS_ERR_FENCED); safe to repeat; a finished trial is never changed.
ns_status results_settle(results_store *store, const results_claim *claim,
                         const results_outcome *outcome, ns_error *err);

/// Ends every unfinished attempt of `study_id` made by process `pid` (0: by any process), charging
/// its reservation; its trial is requeued, or FAIL(crash) when `attempt_count_max` attempts died.
/// The attempt of a run itself counts, so reap with 0 before results_run_begin, not after.
ns_status results_reap(results_store *store, int64_t study_id, int64_t pid, int attempt_count_max,
                       int *reaped_count, ns_error *err);

typedef struct results_trial {
    int64_t id;
    int number;
    results_trial_state state;
    char *fail_reason; // "" when none
    char *detail;      // ""
    char *genotype, *hash, *recipe;
    int64_t fidelity_ms;
    uint64_t seed;
    int64_t params, flops;
    double val_accuracy, val_loss; // NaN when none
    double latency_ms;             // of one image; NaN when not measured
    int64_t node_ms;               // charged over all its attempts
    int64_t sample_count;
    int64_t finished_node_ms; // the study's charged_node_ms when it finished; 0 before
    results_purpose purpose;
    int rung;
    int source_number; // the trial whose genotype it repeats; -1: its own
} results_trial;

/// All trials by number: a malloced array; free with results_trials_free.
ns_status results_trials(results_store *store, int64_t study_id, results_trial **out, size_t *count,
                         ns_error *err);
/// The same of trials numbered `first` and above.
ns_status results_trials_from(results_store *store, int64_t study_id, int first,
                              results_trial **out, size_t *count, ns_error *err);
void results_trials_free(results_trial *trials, size_t count);
/// Frees what one of them holds, for who keeps some and drops others.
void results_trial_clear(results_trial *trial);
/// Shows `visit` one trial after the other by number, all as of one moment, without holding more
/// than one; ends early, with its status, when that is not NS_OK. `visit` may not use the store.
typedef ns_status (*results_trial_visit_fn)(void *context, const results_trial *trial,
                                            ns_error *err);
ns_status results_trials_visit(results_store *store, int64_t study_id, results_trial_visit_fn visit,
                               void *context, ns_error *err);
/// Values reported at `fraction` by other trials of the same fidelity that are COMPLETE or PRUNED.
ns_status results_values_at(results_store *store, int64_t trial_id, double fraction,
                            double **values, size_t *count, ns_error *err);

/// What a trial got right, one bit a validation image; malloced. NS_ERR_NOT_FOUND when that was not
/// kept.
ns_status results_correct_get(results_store *store, int64_t trial_id, uint8_t **bits,
                              size_t *image_count, ns_error *err);

/// What a study's node time went to.
typedef struct results_usage {
    int64_t search_ms, confirm_ms, retrain_ms, finish_ms;
    int64_t overhead_ms; // calibration, and what is between the others
} results_usage;
ns_status results_usage_get(results_store *store, int64_t study_id, results_usage *out,
                            ns_error *err);

/* ---- marks ----------------------------------------------------------------------------------- */

#define RESULTS_MARKS_MAX 16

/// What a trial reported on its way.
typedef struct results_mark {
    double fraction, val_accuracy;
} results_mark;
/// The first RESULTS_MARKS_MAX marks of a trial, ascending, into `out`.
ns_status results_marks(results_store *store, int64_t trial_id, results_mark out[RESULTS_MARKS_MAX],
                        size_t *count, ns_error *err);

/* ---- models and events ----------------------------------------------------------------------- */

/// Remembers a model file of the study: kind "best" (a trial's own) or "final". Replaces the kind.
ns_status results_model_set(results_store *store, int64_t study_id, const char *kind,
                            const char *path, const char *weights_sha256, double val_accuracy,
                            int trial_number, ns_error *err);
/// NS_ERR_NOT_FOUND when the study has no such model. `path` holds NS_PATH_MAX bytes.
ns_status results_model_get(results_store *store, int64_t study_id, const char *kind, char *path,
                            double *val_accuracy, int *trial_number, ns_error *err);
/// Keeps one line of what happened (phase changes, crashes) with its time.
ns_status results_event(results_store *store, int64_t study_id, const char *text, ns_error *err);

/* ---- comparison: pure functions -------------------------------------------------------------- */

/// McNemar's test between two classifiers on the same images (results/compare.c).
typedef struct results_mcnemar {
    int64_t only_first, only_second; // images that one of them alone got right
    bool exact;                      // by the binomial distribution; else chi-squared, corrected
    double chi_squared;              // NaN when exact
    double p;                        // two-sided: of a difference like this by chance
} results_mcnemar;
results_mcnemar results_mcnemar_of(int64_t only_first, int64_t only_second);

/// Which images were classified right, as a text to keep: malloced, four images a character.
ns_status results_correct_text(const float *probabilities, const int32_t *labels, size_t count,
                               int label_count, char **out, ns_error *err);
/// Images that the model of one text alone got right. NS_ERR_INPUT when they are of different
/// counts, NS_ERR_CORRUPT when one is no such text.
ns_status results_disagreements(const char *first, const char *second, int64_t *only_first,
                                int64_t *only_second, ns_error *err);

/// What images scored, each in [0, 1], as a text to keep: malloced, two characters an image. Kept to
/// the nearest of 240 steps, in which the Jaccard index of up to six labels is exact.
ns_status results_scores_text(const double *scores, size_t count, char **out, ns_error *err);
/// Fisher's randomisation test between two models by the scores of the same images
/// (results/compare.c).
typedef struct results_paired {
    int64_t first_better, second_better; // images
    double difference;                   // of the mean scores, first less second; NaN: of no image
    bool exact;                          // over all choices of signs; else by their normal limit
    double p;                            // two-sided: of a difference like this by chance
} results_paired;
/// Of two such texts. NS_ERR_INPUT when they are of different counts, NS_ERR_CORRUPT when one is no
/// such text.
ns_status results_paired_of(const char *first, const char *second, results_paired *out,
                            ns_error *err);

/// A value that was reached when the study had used so much.
typedef struct results_point {
    int64_t node_ms;
    double value; // NaN: none
} results_point;
/// Sorts by time and keeps, at the front, the points that are better than all before them: the
/// curve of the best value so far. Returns how many.
size_t results_best_so_far(results_point *points, size_t count);
/// The curve's value at a time; NaN before its first point.
double results_best_at(const results_point *curve, size_t count, int64_t node_ms);

/// What the last part of a study bought.
typedef struct results_rise {
    int64_t node_ms; // how long that part was; 0: there is none
    double value;    // by how much the best value rose in it; NaN: there is none
} results_rise;
/// Over the last `window_ms` before `end_ms`, or since the curve began, if that is less.
results_rise results_rise_of(const results_point *curve, size_t count, int64_t end_ms,
                             int64_t window_ms);

#endif
