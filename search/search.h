// The search: what can be proposed, who proposes it, and how a study is run under its budget.
//
// Intended usage:
//   1. search_config_default(), fill in, search_run(): runs or resumes a study to its end.
//   2. search_status_json(), search_trials_each(), search_studies_json(): what a store knows.
// The parts underneath (space, samplers) are public because benchmarks and tests drive them alone.

#ifndef NS_SEARCH_SEARCH_H
#define NS_SEARCH_SEARCH_H

#include "base/base.h"
#include "budget/budget.h"
#include "data/data.h"
#include "nn/nn.h"
#include "results/results.h"

/* ---- space and genotype ---------------------------------------------------------------------- */

#define SEARCH_GENES_MAX   64
#define SEARCH_CHOICES_MAX 16

/// Whether neighbouring choices of a gene are alike, and how far apart they are.
typedef enum search_scale {
    SEARCH_SCALE_NONE,   // words, and numbers without an order
    SEARCH_SCALE_LINEAR, // by their differences
    SEARCH_SCALE_LOG,    // by their ratios; a 0 stands one step of the mean ratio below the rest
} search_scale;

/// One parameter and its range. A choice is a number or, where `text` is set, a word.
typedef struct search_gene {
    char name[32];
    search_scale scale; // the choices of one that is not NONE ascend
    int choice_count;
    double value[SEARCH_CHOICES_MAX];
    const char *text[SEARCH_CHOICES_MAX]; // NULL: the choice is its number
    bool recipe;                          // a recipe gene; else an architecture gene
    double anchor_share; // of random draws: how often they take the anchor's choice outright
} search_gene;

/// One point of a space: the index of a choice for each gene, in the space's order.
typedef struct search_genotype {
    uint8_t choice[SEARCH_GENES_MAX];
} search_genotype;

/// A search space for images of one size; a plain value. Benchmarks may build one by hand, which
/// has no stages and decodes to nothing.
typedef struct search_space {
    char name[32];
    int gene_count;
    search_gene gene[SEARCH_GENES_MAX];
    search_genotype anchor; // see search_genotype_anchor()
    int stage_count;        // of its networks
    nn_shape image;
    int label_count;
    size_t train_count; // images, for batch sizes
} search_space;

/// The stage-based space for images like those of `info`.
void search_space_default(const data_info *info, search_space *out);
/// The default space, restricted or extended as a file may say (search/space_file.c). NS_ERR_INPUT,
/// naming the gene, for unknown keys and illegal choices.
ns_status search_space_from_json(const data_info *info, const ns_json *json, search_space *out,
                                 ns_error *err);
/// Reads such a file, whose sentence names it; `path` NULL: the default space.
ns_status search_space_load(const char *path, const data_info *info, search_space *out,
                            ns_error *err);
/// All genes and the anchor, to be read again; NULL when memory runs out.
ns_json *search_space_to_json(const search_space *space);
/// Different networks and recipes; exact while a double counts exactly.
double search_space_point_count(const search_space *space);
/// From {0} on, all canonical genotypes in turn; false behind the last.
bool search_genotype_next(const search_space *space, search_genotype *genotype);
/// Where a choice lies between the gene's first (0) and last (1) on its scale; 0 where the gene has
/// a single choice or no scale.
double search_gene_position(const search_gene *gene, int choice);
/// The hand-made genotype that is always tried first, or what is nearest to it in this space.
void search_genotype_anchor(const search_space *space, search_genotype *out);
/// Each gene takes the anchor's choice with probability `anchor_share`, else any of its choices.
void search_genotype_random(const search_space *space, ns_rng *rng, search_genotype *out);
/// Changes one active gene to another of its choices (Real et al. 2019).
void search_genotype_mutate(const search_space *space, ns_rng *rng, search_genotype *genotype);
/// Zeroes genes that mean nothing given the others (expansions of plain stages), so that equal
/// points have equal vectors.
void search_genotype_canonicalise(const search_space *space, search_genotype *genotype);
/// {"stem_width": 32, "stage1_block": "residual", ...}; NULL when memory runs out.
ns_json *search_genotype_to_json(const search_space *space, const search_genotype *genotype);
/// Unknown, missing or illegal genes are NS_ERR_INPUT, named.
ns_status search_genotype_from_json(const search_space *space, const ns_json *json,
                                    search_genotype *out, ns_error *err);
/// The same for what people write: genes that are not named are the anchor's, and any legal value
/// will do. One that is no choice of `space` yet becomes its gene's only one, and the (canonical)
/// genotype becomes the anchor of `space`.
ns_status search_genotype_from_hand(search_space *space, const ns_json *json, search_genotype *out,
                                    ns_error *err);

#define SEARCH_RECIPE_TEXT_MAX 640

/// A genotype made concrete.
typedef struct search_candidate {
    search_genotype genotype; // canonical
    nn_graph graph;
    nn_recipe recipe;
    nn_counts counts;
    char hash[NS_SHA256_HEX_MAX];             // of the lowered layers
    char recipe_text[SEARCH_RECIPE_TEXT_MAX]; // canonical text of the recipe genes
} search_candidate;

/// NS_ERR_INPUT when the genotype has no legal network at this image size.
ns_status search_decode(const search_space *space, const search_genotype *genotype,
                        search_candidate *out, ns_error *err);

/* ---- prediction ------------------------------------------------------------------------------ */

/// How long training steps take on this machine, predicted from the layers of a few networks of the
/// space that were measured on it (search/step_time.c). A study calibrates itself; this is for
/// benchmarks.
typedef struct search_predictor search_predictor;
/// Measures for about `ms_max`, in this process and with `thread_count` threads (0: all cores).
ns_status search_predictor_new(const search_space *space, int thread_count, nn_dtype dtype,
                               int64_t ms_max, search_predictor **out, ns_error *err);
void search_predictor_free(search_predictor *predictor);
/// How many networks were measured.
int search_predictor_net_count(const search_predictor *predictor);
/// Forward, backward and update of one batch of the candidate's recipe.
double search_predictor_step_ms(const search_predictor *predictor,
                                const search_candidate *candidate);

/* ---- samplers -------------------------------------------------------------------------------- */

/// A trial as samplers see it.
typedef struct search_observation {
    search_genotype genotype;
    results_trial_state state;
    double val_accuracy; // the objective, by the study's target; NaN unless COMPLETE or PRUNED
    int64_t fidelity_ms;
    int group; // 0: of this study; else a search_group
} search_observation;

/// Which earlier trials an observation is one of.
typedef enum search_group {
    SEARCH_GROUP_OWN,
    SEARCH_GROUP_SAME_DATA,  // of an earlier study of the same data set
    SEARCH_GROUP_OTHER_DATA, // of another: its values have another spread
} search_group;

/// Everything proposed so far, by trial number, and what earlier studies found in the same space.
typedef struct search_history {
    const search_observation *trial;
    size_t count;
    const search_observation *earlier;
    size_t earlier_count;
} search_history;

/// What a sampler proposes for.
typedef struct search_task {
    const search_space *space;
    /// What a point costs (FLOPs), of which more is likely to be better; NaN: not known, or the
    /// point is not legal. NULL: nothing is known.
    double (*cost)(const void *context, const search_genotype *genotype);
    const void *context;
    double cost_max; // the first draws cost no more than that
} search_task;

#define SEARCH_RETRY_SHIFT 32

/// Proposes a canonical genotype: a pure function of its arguments. It may be a repetition, or not
/// legal; the caller then asks again for `number` + (retry << SEARCH_RETRY_SHIFT). NS_ERR_MEMORY.
typedef struct search_sampler {
    const char *name;
    const char *summary; // for --help
    ns_status (*propose)(const search_task *task, const search_history *history, uint64_t seed,
                         uint64_t number, search_genotype *out, ns_error *err);
} search_sampler;

/// NULL when unknown. search_sampler_at lists them, NULL after the last.
const search_sampler *search_sampler_find(const char *name);
const search_sampler *search_sampler_at(size_t index);

/// Hopeless on its own schedule: `value` is far below what at least 4 others had at the same
/// fraction (median - 3 robust standard deviations; NaN among the others is passed over).
bool search_is_hopeless(double value, const double *others, size_t count);

/* ---- targets --------------------------------------------------------------------------------- */

/// What a study wants besides accuracy (search/objective.c says how much it pays for it).
typedef enum search_target {
    SEARCH_TARGET_ACCURACY, // nothing
    SEARCH_TARGET_BALANCED, // no slower than the anchor
    SEARCH_TARGET_LATENCY,  // 0.6 of the anchor's time for an image
    SEARCH_TARGET_SIZE,     // 0.6 of the anchor's parameters
} search_target;
const char *search_target_name(search_target target);
/// "accuracy", "balanced", "latency" or "size"; else NS_ERR_USAGE.
ns_status search_target_parse(const char *text, search_target *out, ns_error *err);

/// The target, and the limits that a kept model observes (or exceeds the least, where no trial
/// observed them); 0: no such limit.
typedef struct search_goal {
    search_target target;
    double latency_ms_max; // for one image, on one core of this machine
    int64_t params_max;
    double mbytes_max; // of weights, 10^6 bytes of f32
} search_goal;

/* ---- a study --------------------------------------------------------------------------------- */

/// What a person sees while a study runs.
typedef struct search_progress {
    const char *phase; // "search", "confirm", "retrain", "finish"
    int trial_done_count, trial_running_count, trial_planned_count;
    double best_val_accuracy; // NaN: none yet
    budget_kind budget_kind;
    int64_t spent_ms, budget_ms; // of that kind
    double phase_fraction;       // of retraining, 0-1; NaN: unknown
} search_progress;

typedef struct search_config {
    const char *study;
    const char *store_path;
    const char *dataset_path; // absolute
    const char *command;      // as typed, for the record
    budget_kind budget_kind;
    int64_t budget_node_ms; // of the nominal node where the kind is BUDGET_COMPUTE
    const char *sampler;
    const char *space_path; // a file for search_space_load(); NULL: `space`, or the default space
    const char *space;      // the study's own, as JSON: what search_config_load() found
    const char *warm_start; // an earlier study to learn from, NAME or FILE.db:NAME; NULL: none
    nn_dtype dtype;         // AUTO becomes this machine's when a study begins, and stays it
    uint64_t seed;
    int thread_count; // of the whole study; 0: all cores
    int worker_count; // 0: chosen from the cores
    double price;     // money per node-hour
    search_goal goal;
    int keep_count;     // models of trials on disk, at most, the best's included; 0: no limit
    int64_t keep_bytes; // their bytes, the same. What the study itself may need stays regardless.
    int64_t process_start_ms; // ns_clock_ms() at which this process began: the budget runs from it
    ns_log *log;
    void (*on_progress)(void *context, const search_progress *progress); // about 4 times a second
    void *context;
    bool *began; // set when there was something left to run; NULL: nobody asks
} search_config;
search_config search_config_default(void);

/// Runs the study to its end within its budget, or resumes it when it exists; forks workers, so it
/// must be called before this process has started a thread.
/// NS_ERR_STOPPED after SIGINT or SIGTERM (resumable), NS_ERR_BUSY when another process runs the
/// study, NS_ERR_USAGE when settings differ from the study's own (the sentence names them).
ns_status search_run(const search_config *config, ns_error *err);

/// Settings of an existing study into `config` for search_run(); strings are malloced into
/// `*storage`, free it after use.
ns_status search_config_load(const char *store_path, const char *study, search_config *config,
                             char **storage, ns_error *err);

/// `score_name` says what *_accuracy are: search_score_name().
/// {study, state, phase, stop_reason, score_name, best_val_accuracy, best_val_accuracy_of: "model" or
///  "trial", test_accuracy, winner, weights_sha256, trials, budget_node_ms, node_ms_used, price, cost, model,
///  search_end: "converged" when more trials were not expected to pay, "exhausted" when nothing new was
///  left to try, "budget" when its share was used, null before and where there was no search,
///  retrain: {width_factor, with_validation, mirror_average, mirror_by_model, epochs_expected, error_expected, ...},
///  val_accuracy_of: "model", or "winner's trial" when the model was trained on those images, ...}
ns_status search_status_json(const char *store_path, const char *study, ns_json **out,
                             ns_error *err);
/// Whether the final model was trained on the validation images too, by a study's status or its result:
/// its val_accuracy is then that of the winner's trial.
bool search_trained_on_validation(const ns_json *study);
/// A trial as it is listed.
typedef struct search_trial {
    const results_trial *row; // its genotype is the text of a JSON object
    budget_kind kind;         // of the study, whose unit the fidelity has
    const char *score_name;   // of the study: what val_accuracy is
    double objective;
    bool in_front;
    const char *model; // of a member of the front: its path; NULL: not kept
} search_trial;
typedef ns_status (*search_trial_fn)(void *context, const search_trial *trial, ns_error *err);

/// Hands out a study's trials by number; with `front_only` those of the Pareto front, which is that of
/// the trials on the highest rung that was reached (search/pareto.c).
ns_status search_trials_each(const char *store_path, const char *study, bool front_only,
                             search_trial_fn each, void *context, ns_error *err);
/// {number, state, fail_reason, genotype, hash, fidelity, seed, purpose, rung, of_trial,
///  val_accuracy, latency_ms, params, flops, node_ms, objective, ...}, and "model" of a member of the
/// front; to be printed: the genotype in it is a text that cannot be looked into. NULL when memory
/// runs out.
ns_json *search_trial_json(const search_trial *trial);
/// Removes files that no study of the store needs any more (search/gc.c has the rules), or with
/// `dry_run` only finds them: {store, dry_run, bytes, studies: [{study, skipped, files: [{file, bytes,
/// why}]}]}; `skipped` is null, or why a study was not touched.
ns_status search_gc_json(const char *store_path, bool dry_run, ns_json **out, ns_error *err);
#define SEARCH_EXPORT_FORMAT  "nightshift study"
#define SEARCH_EXPORT_VERSION 1
/// Writes all of a study into one JSON file (search/export_study.c says what is in it), in memory
/// that does not grow with its trials.
ns_status search_export_json(const char *store_path, const char *study, const char *path,
                             ns_error *err);
/// Path of the model of a trial of the Pareto front. NS_ERR_NOT_FOUND.
ns_status search_member_path(const char *store_path, const char *study, int number,
                             char path[NS_PATH_MAX], ns_error *err);
/// {studies: [{study, state, phase, best_val_accuracy, budget_node_ms, node_ms_used, ...}]}
ns_status search_studies_json(const char *store_path, ns_json **out, ns_error *err);

/// All that a report tells of a study, from the store alone: {study: as search_status_json(),
/// dataset_sha256, created_unix_ms, usage: {search, confirm, retrain, finish, overhead: ms},
/// best_so_far, last_node_hour: as search_compare_json(), command, runs: [{command, host, version,
/// platform, state, started_unix_ms, ended_unix_ms}], trial_count, trials: [as
/// search_trials_json(), with genes: {...}, front, finished_node_ms, marks: [{fraction,
/// val_accuracy}]]}. Of more than `trial_count_max` trials it has the first, the Pareto front, those
/// that were the best so far, and an even sample of the others. NS_ERR_NOT_FOUND.
ns_status search_record_json(const char *store_path, const char *study, size_t trial_count_max,
                             ns_json **out, ns_error *err);

/// Several studies side by side, from the store alone: {studies: [as search_status_json(), with
/// dataset_sha256, best_so_far: [{node_ms, val_accuracy}], last_node_hour: {node_ms,
/// gain, gain_per_node_hour}], pairs: [{first, second, mcnemar: {only_first, only_second,
/// method, chi_squared, p} or null, randomisation: {first_better, second_better, difference, method,
/// p} or null, reason}]}. Studies of images with one label have the first, of several labels the
/// second; neither has a reason. NS_ERR_NOT_FOUND names a study that is not there.
ns_status search_compare_json(const char *store_path, char *const *names, size_t count,
                              ns_json **out, ns_error *err);

/* ---- judging a model ------------------------------------------------------------------------- */

/// What a model says of the images of a split, in the order of data_indices(), and what is true.
typedef struct search_predictions {
    float *probabilities; // (count, label_count)
    int32_t *labels;      // (count); NULL where images may have several labels
    uint8_t *truth;       // (count, label_count) of 0 and 1, where they may; else NULL
    size_t count;
    int label_count;
} search_predictions;
void search_predictions_clear(search_predictions *predictions);
/// What networks are compared by, in [0, 1] (search/score.c): accuracy, of multi-label sets the mean
/// over images of the Jaccard index. NaN: of no image.
double search_score(const search_predictions *predictions);
/// "accuracy" or "jaccard".
const char *search_score_name(bool multi_label);
/// That of all `studies` (a JSON array of search_status_json()'s); NULL where they are not of one kind.
const char *search_common_score_name(const ns_json *studies);
/// The same for the metrics; borrowed.
results_answers search_answers(const search_predictions *predictions);
/// The batch is chosen here, the rest of `options` counts. Free with search_predictions_clear.
/// NS_ERR_INPUT when the set does not fit the model or has no such images.
ns_status search_predict(const nn_model *model, const data_set *set, data_split split,
                         const nn_infer_options *options, search_predictions *out, ns_error *err);

#define SEARCH_MATRIX_LABELS_MAX 256 // with more, JSON has no dense matrix and no curve a label

/// All figures of `predictions`; what is undefined is null:
///
///   {split, count, score_name, score: as search_score() has it, accuracy, log_loss, macro_auc,
///    several_labels: whether images may have several (accuracy is then of all labels of an image,
///      log_loss binary, and confusion, top_k are null),
///    decided_by: "most likely label" | "thresholds", threshold: T or null,
///    top_k: [{k, accuracy}],
///    ece, calibration: [{count, confidence, accuracy}] by 15 equal bins of confidence,
///    intervals: {score: [low, high] by its standard error, and by resamples accuracy, macro_auc,
///      macro_f1; level: 0.95, resamples},
///    micro: {precision, recall, f1, auc, average_precision}, macro: the same,
///    weighted: {precision, recall, f1},
///    labels: [name],
///    per_label: [{label, support, precision, recall, f1, auc, average_precision,
///      threshold: the model's own or null,
///      at_threshold: {precision, recall, f1} as a label of its own by that, or null}],
///    confusion: [[count]] rows true, or null with more than SEARCH_MATRIX_LABELS_MAX labels,
///    confusion_cells: [[true, predicted, count]] without the zeros,
///    curves: {threshold: [0.00 ... 1.00], micro: {precision: [], recall: [], f1: []},
///      per_label: [{precision, recall, f1}] or null with that many labels}}
///
/// A curve's precision is null where nothing is predicted. `threshold` (NaN: none) decides for all
/// labels in place of the usual rule.
ns_status search_judge_json(const nn_model *model, data_split split,
                            const search_predictions *predictions, double threshold,
                            int thread_count, ns_json **out, ns_error *err);
/// search_predict() and search_judge_json() by the usual rule.
ns_status search_evaluate_json(const nn_model *model, const data_set *set, data_split split,
                               const nn_infer_options *options, ns_json **out, ns_error *err);
/// Gives `model` the threshold of each label that has the best F1 on `predictions`, its own of images
/// it was not trained on (search/thresholds.c).
ns_status search_thresholds_choose(nn_model *model, const search_predictions *predictions,
                                   int thread_count, ns_error *err);
/// Decides on the validation images whether `model` averages its answers over an image and its
/// mirror image (search/mirror.c), and sets it; without such images it does not.
ns_status search_mirror_choose(nn_model *model, const data_set *set,
                               const nn_infer_options *options, ns_error *err);

#endif
