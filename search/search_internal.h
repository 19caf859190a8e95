// What the files of search/ share and nobody else sees: first those that run a study (supervisor.c
// says who calls whom), then the space and the samplers.

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
    size_t worker_mem_bytes; // that each may plan for
    int64_t study_id, run_id;
    int64_t base_ms;       // charged by earlier runs
    char dir[NS_PATH_MAX]; // the study's files
    search__slot *slot;    // SEARCH_SLOTS_MAX of them, shared
} search__run;

/* ---- run.c ----------------------------------------------------------------------------------- */

/// Where the study stands on its ledger now, by the clock: what earlier runs were charged plus this
/// process's life so far.
int64_t search__position_ms(const search__run *run);
/// Path of a study's file into `out`.
ns_status search__file(const search__run *run, const char *name, char out[NS_PATH_MAX],
                       ns_error *err);
/// Removes a study's file if it is there.
void search__file_remove(const search__run *run, const char *name);
/// trial-N.nsm
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

/* ---- winner.c -------------------------------------------------------------------------------- */

/// Number of the COMPLETE trial of the highest validation accuracy, the lowest number among equals;
/// -1 when there is none.
int search__best_trial(const results_trial *trials, size_t count);
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

/* ---- ask.c: from history to a claimed trial -------------------------------------------------- */

/// Claims the next trial, proposing one when none waits. NS_ERR_LIMIT when the sampler finds
/// nothing new (the space is exhausted).
ns_status search__ask(const search__run *run, results_store *store, results_claim *claim,
                      ns_error *err);

/* ---- trial.c --------------------------------------------------------------------------------- */

/// Runs a claimed trial to a settled state. NS_ERR_STOPPED when the process was asked to stop (the
/// trial waits again); other errors are the store's or the disk's, never the trial's own.
ns_status search__trial_run(const search__run *run, search__slot *slot, results_store *store,
                            const results_claim *claim, ns_error *err);

/* ---- evaluate.c ------------------------------------------------------------------------------ */

/// Images to classify at a time: as many as keep kernels busy, fewer where images are large.
int search__eval_batch(const data_info *info);
/// What a model says of a split: probabilities (count, labels) and true labels (count).
typedef struct search__predictions {
    float *probabilities;
    int32_t *labels;
    size_t count;
} search__predictions;
/// `stop` as nn_infer_split's, or NULL. Free with search__predictions_clear, also after a failure.
ns_status search__predict(const nn_model *model, const data_set *set, data_split split,
                          const nn_infer_options *options, bool (*stop)(void *context),
                          void *context, search__predictions *out, ns_error *err);
void search__predictions_clear(search__predictions *predictions);

/* ---- the life of a child process: each returns what the process exits with ------------------- */

enum {
    SEARCH_EXIT_DONE = 0,
    SEARCH_EXIT_FAILED = 10, // with a sentence in its slot; libraries that give up exit with 1
    SEARCH_EXIT_STOPPED = 3,
};
typedef int (*search__child_fn)(search__run *run, int slot);
int search__exit_code(ns_status status);              // run.c
int search__worker_main(search__run *run, int slot);  // worker.c
int search__retrain_main(search__run *run, int slot); // retrain.c
int search__finish_main(search__run *run, int slot);  // finish.c

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

/* ---- finish.c -------------------------------------------------------------------------------- */

/// Makes sure that the study has a final model, of what is on disk and without reading a test image.
/// NS_OK at once when it has one; NS_ERR_NOT_FOUND when there is nothing.
ns_status search__salvage(const search__run *run, results_store *store, ns_error *err);

/* ---- supervisor.c ---------------------------------------------------------------------------- */

ns_status search__supervise(search__run *run, ns_error *err);
/// Settles what a study is after its phases ended with `status`; returns it, or what went wrong.
ns_status search__conclude(const search__run *run, results_store *store, ns_status status,
                           ns_error *err);

/* ---- space and genotype ---------------------------------------------------------------------- */

#define SEARCH__STAGES_MAX 4

/// What a genotype's network looks like apart from its channels: which parts shrink the map.
typedef struct search__layout {
    int stem_kernel, stem_stride;
    int stem_pool_count; // halvings right after the stem, for very large images
    int stage_count;
    bool stage_pools[SEARCH__STAGES_MAX];    // the stage halves its map
    bool stage_can_pool[SEARCH__STAGES_MAX]; // its map is large enough to be halved
    bool head_pools;                         // the last map is more than one pixel
} search__layout;
search__layout search__layout_of(const search_space *space, const search_genotype *genotype);
/// Stages of the networks of `space`.
int search__stage_count(const search_space *space);

/// "stage`stage`_`part`", stages counted from 1; returns `out`.
const char *search__stage_gene_name(int stage, const char *part, char out[32]);
/// Index of a gene, or -1.
int search__gene_find(const search_space *space, const char *name);
int search__stage_gene_find(const search_space *space, int stage, const char *part);

/// What a choice comes to for the images of `space`.
int search__batch_size(const search_space *space, double batch_size);
int search__percent_px(const search_space *space, double percent);

/// The network alone. NS_ERR_INPUT as search_decode().
ns_status search__lower(const search_space *space, const search_genotype *genotype, nn_graph *graph,
                        ns_error *err);

/* ---- samplers: see search_sampler ------------------------------------------------------------ */

void search__propose_random(const search_space *space, const search_history *history, uint64_t seed,
                            uint64_t number, search_genotype *out);
void search__propose_evolution(const search_space *space, const search_history *history,
                               uint64_t seed, uint64_t number, search_genotype *out);

#endif
