// What the files that run a study share and nobody else sees (supervisor.c says who calls whom). The
// space has space.h, the samplers sampler.h, the rules of the ladder ladder.h.

#ifndef NS_SEARCH_SEARCH_INTERNAL_H
#define NS_SEARCH_SEARCH_INTERNAL_H

#include <sys/types.h>

#include "search/search.h"

#define SEARCH_SLOTS_MAX        64
#define SEARCH_PATIENCE_LAST_MS 5000 // with a locked store, for a run's last words

/// What a child process tells the supervisor without the store; in memory that both share.
typedef struct search__slot {
    ns_error error;   // why the child failed
    double fraction;  // of its training, 0-1; NaN: not training
    int64_t alive_ms; // clock of its last sign of life
} search__slot;

/// A division of the machine, and how fast it trains the anchor; 0 where it was not measured.
typedef struct search__split {
    int worker_count, thread_count; // of each worker
    double images_per_s;            // of all workers together
    double step_ms;                 // of one
} search__split;

#define SEARCH__SPLITS_MAX 8

/// What calibration found out (calibrate.c).
typedef struct search__calibration {
    int split_count;
    search__split split[SEARCH__SPLITS_MAX];
    int net_count;
    size_t sample_count;
    budget_sample sample[BUDGET_SAMPLES_MAX];
    int64_t took_ms;
    budget_model *model;   // of one worker's layers; NULL: nothing was measured
    double factor;         // real steps of a worker, over what the model says
    double machine_factor; // the same of steps that have all cores
} search__calibration;

/// What the children of one round of calibration are to measure.
typedef struct search__job {
    bool nets; // layers of networks; else the anchor
    int worker_count, thread_count;
    nn_dtype dtype;
    int64_t end_ms; // clock
} search__job;

#define SEARCH__SAMPLES_MAX 512

/// What one of them measured, in memory that is shared.
typedef struct search__report {
    double images_per_s, step_ms;
    int net_count;
    size_t sample_count;
    budget_sample sample[SEARCH__SAMPLES_MAX];
} search__report;

/// What costs are compared with: the first trial's own, which is the anchor's.
typedef struct search__reference {
    double latency_ms; // NaN: not measured
    int64_t params, flops;
} search__reference;

/// The few trials whose models may stay on disk, as far as the history was gone through.
typedef struct search__keeper {
    int *number; // ascending
    size_t count;
    size_t seen_count; // of the history's trials; they are finished
} search__keeper;

/// The study's trials as a process has read and parsed them so far; zeroed at first.
typedef struct search__history {
    results_trial *row;        // by number
    search_observation *trial; // the same as samplers see them
    size_t count, capacity;
    size_t settled_count; // the first so many are finished and never change
    search__reference reference;
    search__keeper keeper;
    search_observation *earlier; // what the study began with
    size_t earlier_count;
} search__history;

/// One run of a study: everything that is fixed before workers are forked. Children inherit it.
typedef struct search__run {
    const search_config *config;
    const data_set *set;
    const data_info *info;
    const search_sampler *sampler;
    search_space space;
    budget_plan plan;
    int thread_count;        // of the machine, for retraining
    int worker_count;        // processes that search
    int worker_thread_count; // threads of each
    size_t mem_bytes;        // that all of them together may plan for
    size_t worker_mem_bytes; // that each may plan for
    search__calibration calibration;
    search__job job;        // while calibrating
    search__report *report; // SEARCH_SLOTS_MAX of them, shared; NULL but while calibrating
    int64_t study_id, run_id;
    int64_t base_ms;          // charged by earlier runs
    char dir[NS_PATH_MAX];    // the study's files
    search__slot *slot;       // SEARCH_SLOTS_MAX of them, shared
    search__history *history; // each process has its own
    results_work work;        // as this process last read it; 0 under a budget of time
} search__run;

/* ---- study_clock.c: what "now" means to a budget --------------------------------------------- */

/// Where the study stands in its budget. By the wall clock: what earlier runs were charged plus this
/// process's life so far. Under a budget of compute: the work of finished trials, and what is granted
/// to those that run, as of the last search__clock_update().
int64_t search__position_ms(const search__run *run);
/// For people: the same, and under a budget of compute what retraining has done so far.
int64_t search__spent_ms(const search__run *run);
/// Whether processes are to be ended because the position is past `end_ms`. Never under a budget of
/// compute: there each has its share of work, and ends by itself.
bool search__clock_has_passed(const search__run *run, int64_t end_ms);
/// Reads from the store what the position depends on besides the wall clock.
ns_status search__clock_update(search__run *run, results_store *store, ns_error *err);

/// Fixes what a budget of compute may not leave to chance: how many threads and workers.
void search__clock_settle(search_config *config);
/// Memory that trials may plan for.
size_t search__clock_mem_bytes(const search_config *config);
/// How long the study may hold the node.
int64_t search__clock_node_ms_max(const search_config *config);
/// Trials that the clock sees side by side.
int search__clock_worker_count(const search__run *run);
/// The budget as "budget_node_ms" or "budget_flop".
void search__budget_to_json(const search_config *config, ns_json *to);
/// The opposite, the kind included.
void search__budget_from_json(const ns_json *from, search_config *config);

/// Gives a training so much time, or the images that so much time of the nominal node buys.
void search__clock_grant(const search__run *run, const search_candidate *candidate,
                         int64_t train_ms, nn_train_options *options);
/// Training time in a checkpoint that the position has counted; 0 without a checkpoint, and under a
/// budget of compute, whose position counts no retraining.
int64_t search__clock_counted_ms(const search__run *run, const char *checkpoint_path);
/// What a step of training, and classifying so many images, takes where no measurement is needed to
/// know that; 0 under a budget of time.
double search__clock_step_ms(const search__run *run, const search_candidate *candidate);
int64_t search__clock_classify_ms(const search__run *run, const nn_counts *counts,
                                  size_t image_count);
/// The same of training on so many images.
int64_t search__clock_train_ms(const search__run *run, const nn_counts *counts, size_t image_count);
/// FLOPs of having trained on so many images and classified so many.
int64_t search__work_flop(const nn_counts *counts, uint64_t trained_count, size_t classified_count);

/* ---- run.c ----------------------------------------------------------------------------------- */

/// Path of a study's file into `out`.
ns_status search__file(const search__run *run, const char *name, char out[NS_PATH_MAX],
                       ns_error *err);
/// Removes a study's file if it is there.
void search__file_remove(const search__run *run, const char *name);
#define SEARCH__TRIAL_FILE "trial-%d.nsm"
/// Path of the model of a trial that is worth keeping.
ns_status search__trial_file(const search__run *run, int number, char out[NS_PATH_MAX],
                             ns_error *err);
/// The folder of a study's files, beside the store.
ns_status search__dir(const char *store_path, const char *study, char out[NS_PATH_MAX],
                      ns_error *err);
/// The study's result object, and writing it back; the caller frees it.
ns_status search__result_read(results_store *store, const search__run *run, ns_json **out,
                              ns_error *err);
ns_status search__result_write(results_store *store, const search__run *run, const ns_json *result,
                               ns_error *err);
/// Copies the member `key` of `from` into `to`; null when it is not there.
ns_status search__member_copy(ns_json *to, const ns_json *from, const char *key, ns_error *err);
/// The same for every member; `from` may be NULL.
ns_status search__members_copy(ns_json *to, const ns_json *from, ns_error *err);

/* ---- objective.c: what a trial is worth, by the study's target and limits --------------------- */

/// Members of a study's settings: "target", "max_latency_ms", "max_params", "max_mbytes".
void search__goal_to_json(const search_goal *goal, ns_json *settings);
ns_status search__goal_from_json(const ns_json *settings, search_goal *out, ns_error *err);

search__reference search__reference_of(const results_trial *trials, size_t count);

/// By which fraction of `limit` it is exceeded; 0 where there is no limit (0), or no value (NaN).
double search__excess(double value, double limit);
/// By how much limits are exceeded, as a fraction of them, summed; 0: by nothing. What was not
/// measured exceeds nothing.
double search__violation(const search_goal *goal, const results_trial *trial);
/// What every choice among trials maximises: the validation accuracy for the target accuracy, else
/// scaled by what the network costs; below 0 for one that exceeds a limit; NaN without an accuracy.
double search__objective(const search_goal *goal, const search__reference *reference,
                         const results_trial *trial);
/// The same with another accuracy in place of the trial's own, as the mean over several seeds.
double search__objective_at(const search_goal *goal, const search__reference *reference,
                            const results_trial *trial, double val_accuracy);
/// Megabytes of the weights of `graph` in a model file.
double search__mbytes(const nn_graph *graph);
/// Whether `candidate` is small enough; NS_ERR_LIMIT names the limit that it exceeds.
ns_status search__limits_ok(const search_goal *goal, const search_candidate *candidate,
                            ns_error *err);
/// Whether the final model may be dearer to use than its network was as a trial, at no matter what
/// cost: wider, or judging mirror images too.
bool search__may_cost_more(const search_goal *goal);
/// Whether the network of `trial` may be retrained as large as `counts` says: up to the cost that
/// the target asks for. A latency is taken to grow as multiply-adds do.
bool search__may_grow(const search_goal *goal, const search__reference *reference,
                      const results_trial *trial, const nn_counts *counts);

/* ---- admit.c: proposals within the limits ----------------------------------------------------- */

/// Changes what the sampler proposed under `number` so that its network is within the limits of the
/// study, and near the target's share of the anchor's cost. NS_ERR_LIMIT when that fails. Numbers
/// start at 1; 0 is the anchor's.
ns_status search__admit(const search__run *run, uint64_t number, search_genotype *genotype,
                        ns_error *err);
/// What first draws may cost, of the anchor's multiply-adds.
double search__cost_of_anchor_max(const search_goal *goal);
/// The anchor, narrowed to what the target asks for, and so that its network is within the limits.
ns_status search__anchor(const search__run *run, search_genotype *out, ns_error *err);
/// NS_ERR_USAGE when no network of the space is small enough. Starts no thread.
ns_status search__limits_check(const search__run *run, ns_error *err);
/// A child that finds out whether the anchor can be brought within the limits, latency included.
int search__limits_main(search__run *run, int slot);

/* ---- pareto.c -------------------------------------------------------------------------------- */

/// The rung whose trials compete for the front.
int search__front_rung(const results_trial *trials, size_t count);
/// Which COMPLETE trials of it within the limits no other beats in accuracy, speed and size at once;
/// `in_front` has room for `count`. NS_ERR_MEMORY.
ns_status search__front(const search_goal *goal, const results_trial *trials, size_t count,
                        bool *in_front, ns_error *err);
/// Which trials' models stay on disk: the best trial's, the anchor's longest, confirmations' and, at
/// most 16, the front's.
ns_status search__kept_models(const search_goal *goal, const results_trial *trials, size_t count,
                              bool *kept, ns_error *err);

/* ---- keep.c ---------------------------------------------------------------------------------- */

/// Goes through what the history has learnt since the last call, and removes the models that need
/// not stay any more. `*best` is the best trial's number, -1: none.
ns_status search__keep_models(const search__run *run, int *best, ns_error *err);
/// Whether the model of trial `number`, which runs, is to stay, were it COMPLETE with this outcome.
ns_status search__is_worth_keeping(const search__run *run, int number,
                                   const results_outcome *outcome, bool *worth, ns_error *err);
void search__keeper_clear(search__keeper *keeper);

/* ---- study_files.c, quota.c ------------------------------------------------------------------ */

typedef enum search__file_kind {
    SEARCH__FILE_TRIAL,      // the model of a trial
    SEARCH__FILE_RETRAINING, // a retraining under way
    SEARCH__FILE_PARTIAL,    // what was being written
} search__file_kind;

#define SEARCH__FILE_NAME_BYTES 32

typedef struct search__study_file {
    char name[SEARCH__FILE_NAME_BYTES]; // in the study's folder
    search__file_kind kind;
    int number; // of the trial; -1: of none
    int64_t size_bytes;
} search__study_file;
/// The files of a study's folder that need not stay for ever, by name; malloced.
ns_status search__study_files(const char *dir_path, search__study_file **out, size_t *count,
                              ns_error *err);
/// Removes models of trials beyond the quota of the run's configuration; `best` is the best trial.
ns_status search__quota_apply(const search__run *run, int best, ns_error *err);

/// search_member_path() of a study that is known to be there.
ns_status search__member_path(const char *store_path, const char *study_name, int number,
                              char path[NS_PATH_MAX], ns_error *err);

/* ---- winner.c -------------------------------------------------------------------------------- */

/// Index of the COMPLETE trial of the highest objective, the first among equals; -1 when there is
/// none.
int search__best_trial(const search_goal *goal, const results_trial *trials, size_t count);
/// Chooses the study's winner, once and for all, and writes it into its `result`.
ns_status search__winner_fix(const search__run *run, results_store *store, ns_json *result,
                             ns_error *err);

/* ---- signal.c -------------------------------------------------------------------------------- */

/// From now on SIGINT, SIGTERM and SIGHUP only set the flag below.
void search__signals_catch(void);
/// The same in a forked child, which hears SIGTERM alone.
void search__signals_in_child(void);
void search__signals_restore(void);
bool search__stop_requested(void);

/* ---- step_time.c ----------------------------------------------------------------------------- */

/// How a network is run, as far as its speed depends on it.
typedef struct search__setting {
    int batch_size, thread_count;
} search__setting;

/// A training step in parts whose times add up: the layers that it runs, then the update.
typedef struct search__works {
    int count;
    int node[NN_NODES_MAX + 1]; // that the layer stems from
    budget_work work[NN_NODES_MAX + 1];
} search__works;
void search__step_works(const nn_graph *graph, const search__setting *setting, search__works *out);
/// What each of them took in a profiled step; as many, which it returns.
size_t search__step_samples(const search__works *works, const nn_profile *profile, double update_ms,
                            budget_sample *out);
/// A training step of one batch by a model of such samples.
double search__step_ms(const budget_model *model, const nn_graph *graph,
                       const search__setting *setting);

/* ---- cover.c --------------------------------------------------------------------------------- */

#define SEARCH__COVER_MAX 64

/// A network that calibration measures: a random one, by number, at a batch of its own.
typedef struct search__cover_net {
    int number;
    int batch_size;
} search__cover_net;
/// Which to measure, the most telling first; `out` has room for SEARCH__COVER_MAX. The same for the
/// same space. NS_ERR_MEMORY.
ns_status search__cover(const search_space *space, int *count, search__cover_net *out,
                        ns_error *err);
/// The random network of that number.
ns_status search__cover_draw(const search_space *space, int number, search_candidate *out,
                             ns_error *err);

/* ---- measure.c ------------------------------------------------------------------------------- */

/// Profiles networks of the space, from the `first` on those that are this worker's, until the job's
/// time is over.
ns_status search__measure_nets(const search_space *space, const search__job *job, int first,
                               search__report *out, ns_error *err);
/// Trains the anchor until the job's time is over, or a little longer where steps are long. What is
/// too slow or too large for that leaves the report at 0.
ns_status search__measure_anchor(const search__run *run, const search__job *job,
                                 search__report *out, ns_error *err);

/* ---- calibrate.c ----------------------------------------------------------------------------- */

/// Divisions of `thread_count` cores that are worth measuring, the last by one worker; returns how
/// many.
int search__splits(int thread_count, search__split *out);
/// The fastest of those that were measured; NULL when none was.
const search__split *search__split_best(const search__split *splits, int count);
void search__divide(search__run *run, int worker_count, int thread_count);
/// A training step of `candidate` in a worker, or with the whole machine; 0: nobody knows.
double search__predict_step_ms(const search__run *run, const search_candidate *candidate,
                               bool whole_machine);

/* ---- study.c --------------------------------------------------------------------------------- */

/// Makes the plan of the run as it is divided now, for an anchor of these counts.
ns_status search__plan_make(search__run *run, const nn_counts *anchor, ns_error *err);

/* ---- shares.c: the plan of a study ------------------------------------------------------------ */

/// Of a trial of the anchor that is worth ranking, on one worker; 0: nobody knows.
typedef struct search__trial_times {
    int64_t wanted_ms, least_ms;
} search__trial_times;

search__trial_times search__trial_times_of(const search__run *run, const nn_counts *anchor);
/// As it is kept in the study's result.
ns_json *search__plan_json(const budget_plan *plan);
/// Sets "plan" of `to`: the plan in the study's `result`, and for each phase what was planned, on the
/// study's clock, and its node time.
ns_status search__plan_status(results_store *store, int64_t study_id, budget_kind kind,
                              const ns_json *result, ns_json *to, ns_error *err);

/* ---- footprint.c ----------------------------------------------------------------------------- */

/// What training the candidate takes in a process of so many threads, and what validating its
/// network adds to that.
ns_status search__train_bytes(const search__run *run, const search_candidate *candidate,
                              int thread_count, size_t *bytes, ns_error *err);
ns_status search__judge_bytes(const search__run *run, const nn_graph *graph, int thread_count,
                              size_t *bytes, ns_error *err);

/* ---- warm_start.c ---------------------------------------------------------------------------- */

/// What the study named by the configuration has found, for a study that is about to be added; free
/// with results_earlier_free. NS_ERR_USAGE, NS_ERR_NOT_FOUND.
ns_status search__warm_read(const search__run *run, results_earlier **out, size_t *count,
                            ns_error *err);
/// Loads what the study began with into the run's history.
ns_status search__warm_load(const search__run *run, results_store *store, ns_error *err);
/// Sets "warm_start" of a study's status: {from, points, same_data}, or null.
ns_status search__warm_status(results_store *store, int64_t study_id, const ns_json *settings,
                              ns_json *to, ns_error *err);

/* ---- history.c ------------------------------------------------------------------------------- */

/// Brings the run's history up to date: reads on from the first trial that was not finished yet.
ns_status search__history_read(const search__run *run, results_store *store, ns_error *err);
void search__history_clear(search__history *history);
/// What samplers see of it; valid until it is read on.
search_history search__history_of(const search__run *run);

/* ---- propose.c: from history to a candidate in the store -------------------------------------- */

/// What a trial is granted.
typedef struct search__grant {
    int64_t fidelity_ms;
    uint64_t seed;
} search__grant;

/// Has the sampler propose, and adds the first candidate that is legal, small and fast enough and
/// new as a WAITING trial. NS_ERR_LIMIT: none was found.
ns_status search__propose(const search__run *run, results_store *store,
                          const search_history *history, const search__grant *grant, ns_error *err);

/* ---- ask.c: from history to a claimed trial -------------------------------------------------- */

/// Claims the next trial, adding it to the store when it is not there; may wait for trials of others.
/// NS_ERR_LIMIT when nothing is left to do, NS_ERR_STOPPED on request.
ns_status search__ask(search__run *run, search__slot *slot, results_store *store,
                      results_claim *claim, ns_error *err);

/* ---- trial.c --------------------------------------------------------------------------------- */

/// Runs a claimed trial to a settled state. NS_ERR_STOPPED when the process was asked to stop (the
/// trial waits again); other errors are the store's or the disk's, never the trial's own.
ns_status search__trial_run(const search__run *run, search__slot *slot, results_store *store,
                            const results_claim *claim, ns_error *err);

/* ---- evaluate.c ------------------------------------------------------------------------------ */

/// Images to classify at a time: as many as keep kernels busy, fewer where images are large.
int search__eval_batch(const data_info *info);
/// Log loss, of multi-label sets binary.
double search__loss(const search_predictions *predictions);
/// 95 % interval of search_score() by its standard error over the images; NaN: of fewer than two.
results_interval search__score_interval(const search_predictions *predictions);
/// The score of each image, malloced, for the store: one bit an image, lowest first; of multi-label
/// sets a byte, in steps of 1/255. NS_ERR_MEMORY.
ns_status search__image_scores(const search_predictions *predictions, uint8_t **out,
                               size_t *bit_count, ns_error *err);
double search__image_score(const uint8_t *scores, bool in_bytes, size_t image);
/// The same for a study's result: results_scores_text().
ns_status search__scores_text(const search_predictions *predictions, char **out, ns_error *err);
/// `stop` as nn_infer_split's, or NULL. Free with search_predictions_clear, also after a failure.
ns_status search__predict(const nn_model *model, const data_set *set, data_split split,
                          const nn_infer_options *options, bool (*stop)(void *context),
                          void *context, search_predictions *out, ns_error *err);

/* ---- thresholds.c ---------------------------------------------------------------------------- */

/// Gives `model` the thresholds of the model of trial `number`; none where that was not kept.
/// NS_ERR_MEMORY.
ns_status search__thresholds_copy(const search__run *run, int number, nn_model *model,
                                  ns_error *err);

/* ---- mirror.c -------------------------------------------------------------------------------- */

enum { SEARCH__MIRROR_PASSES = 3 }; // over the validation images: one without, two with

/// search_mirror_choose() for a model known to fit; `stop` as nn_infer_split's, or NULL.
ns_status search__mirror_choose(nn_model *model, const data_set *set,
                                const nn_infer_options *options, bool (*stop)(void *context),
                                void *context, ns_error *err);

/* ---- latency.c, figures.c -------------------------------------------------------------------- */

/// Time for one image by the inference path that ships, batch 1, measured for about `ms_max`.
ns_status search__latency(const nn_model *model, int thread_count, int64_t ms_max,
                          double *latency_ms, ns_error *err);
/// Into the study's result: params, flops, mbytes.
void search__size_figures(const nn_model *model, ns_json *result);
/// latency_ms (one core) and latency_ms_all_cores; null where that failed. Takes half a second, and
/// starts threads.
void search__speed_figures(const search__run *run, const nn_model *model, ns_json *result);
/// test_images, test_macro_auc (null where that takes long), test_log_loss, and for comparisons
/// test_correct where images have one label, test_scores where they may have several.
ns_status search__test_figures(const search_predictions *p, ns_json *result, ns_error *err);

/* ---- status.c -------------------------------------------------------------------------------- */

/// A study, whose trials are given, as search_status_json() tells it.
ns_status search__study_json(const char *store_path, results_store *store,
                             const results_study *study, const results_trial *trials, size_t count,
                             ns_json **out, ns_error *err);
/// The name of a study's state; one that was killed, so that it still says RUNNING though nobody
/// holds its lock, counts as INTERRUPTED.
const char *search__state_name(const char *store_path, const results_study *study);

/* ---- trials_list.c --------------------------------------------------------------------------- */

/// What search_trial_json() tells of a trial but for its objective.
void search__trial_json(const results_trial *row, budget_kind kind, ns_json *to);

/* ---- export_study.c -------------------------------------------------------------------------- */

/// The study's runs into `json`, as "command" (of the first) and "runs".
ns_status search__runs_add(ns_json *json, results_store *store, const results_study *study,
                           ns_error *err);

/* ---- compare_studies.c ----------------------------------------------------------------------- */

/// How the best validation accuracy of a study grew, over its trials and then its final model, into
/// `to` as "best_so_far" and "last_node_hour".
ns_status search__curve_add(ns_json *to, const results_study *study, const ns_json *result,
                            const results_trial *trials, size_t count, ns_error *err);

/* ---- the life of a child process: each returns what the process exits with ------------------- */

enum {
    SEARCH_EXIT_DONE = 0,
    SEARCH_EXIT_FAILED = 10, // with a sentence in its slot; libraries that give up exit with 1
    SEARCH_EXIT_STOPPED = 3,
};
typedef int (*search__child_fn)(search__run *run, int slot);
int search__exit_code(ns_status status);             // run.c
int search__worker_main(search__run *run, int slot); // worker.c
/// Gives the process cores of its own, when there are enough for all workers.
void search__pin(int slot, int worker_count, int thread_count); // worker.c
int search__retrain_main(search__run *run, int slot);           // retrain.c
int search__finish_main(search__run *run, int slot);            // finish.c

/* ---- children.c ------------------------------------------------------------------------------ */

/// The supervisor's children and its own connection to the store, which no fork may carry over.
typedef struct search__children {
    search__run *run;
    results_store *store;        // NULL only when reopening it failed
    pid_t pid[SEARCH_SLOTS_MAX]; // 0: none
} search__children;

typedef enum search__end {
    SEARCH_END_NONE, // it lives, or there is none
    SEARCH_END_DONE,
    SEARCH_END_CRASHED, // or stopped or failed without having been told to
} search__end;

ns_status search__store_reopen(search__children *c, ns_error *err);
ns_status search__spawn(search__children *c, int slot, search__child_fn child_main, ns_error *err);
int search__alive_count(const search__children *c);
/// Looks after the child of `slot`: whether it has ended, and of what (`why`); one that hangs is
/// killed. What a crashed one held waits again.
ns_status search__tend(search__children *c, int slot, search__end *end, ns_error *why,
                       ns_error *err);
/// Ends all children: politely first, unless `at_once`. What they held waits again.
ns_status search__terminate_all(search__children *c, bool at_once, ns_error *err);

/* ---- calibrate.c, the supervisor's part ------------------------------------------------------ */

/// Runs `process_count` children of `child_main` to their end; ends them after `ms_max`.
typedef ns_status (*search__round_fn)(void *supervisor, int process_count,
                                      search__child_fn child_main, int64_t ms_max, ns_error *err);
/// Divides the machine, measures, plans, and keeps all that with the study; or reads what an earlier
/// run has kept. NS_ERR_STOPPED, NS_ERR_BUDGET, the store's errors.
ns_status search__calibrate(search__children *children, search__round_fn round, void *supervisor,
                            ns_error *err);

/* ---- finish.c -------------------------------------------------------------------------------- */

/// Makes sure that the study has a final model, of what is on disk and without reading a test image.
/// NS_OK at once when it has one; NS_ERR_NOT_FOUND when there is nothing.
ns_status search__salvage(const search__run *run, results_store *store, ns_error *err);

/* ---- supervisor.c ---------------------------------------------------------------------------- */

ns_status search__supervise(search__run *run, ns_error *err);
/// Settles what a study is after its phases ended with `status`; returns it, or what went wrong.
ns_status search__conclude(const search__run *run, results_store *store, ns_status status,
                           ns_error *err);

#endif
