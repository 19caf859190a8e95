// A study: what defines it, opening it, and starting a run of it.
//
// The settings that define a study are kept with it as JSON. Running the same command again resumes
// the study; other settings are refused by name, for a study whose rules change half-way proves
// nothing. The study's folder, beside the store, holds its files; a lock in it admits one run at a
// time.

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "search/search_internal.h"
#include "search/space.h"

#define KEEP_COUNT "keep_models"      // settings
#define KEEP_BYTES "keep_model_bytes" //

#define RUN_MS_MIN 500 // what is left of a budget below this starts nothing

/// How fast a network surely classifies, before anything is measured: multiply-adds and the rest.
#define INFER_FLOPS_PER_MS 2.5e7 // of one thread
#define FINISH_BASE_MS     2000  // loading, preparing, exporting

search_config search_config_default(void) {
    return (search_config){
        .store_path = "nightshift.db",
        .command = "",
        .sampler = "surrogate",
        .price = 20.0,
        .process_start_ms = ns_clock_process_start_ms(),
    };
}

/* ---- settings -------------------------------------------------------------------------------- */

static ns_json *settings_of(const search_config *config) {
    ns_json *settings = ns_json_object_new();
    search__budget_to_json(config, settings);
    if (config->budget_kind == BUDGET_COMPUTE) { // elsewhere it would not come out the same
        ns_json_set_string(settings, "isa", nn_platform_describe().isa);
    }
    ns_json_set_string(settings, "sampler", config->sampler);
    ns_json_set_string(settings, "warm_start", config->warm_start);
    ns_json_set_string(settings, "dtype", nn_dtype_name(config->dtype));
    ns_json_set_int(settings, "seed", (int64_t)config->seed);
    ns_json_set_int(settings, "threads", config->thread_count);
    ns_json_set_int(settings, "workers", config->worker_count);
    ns_json_set_number(settings, "price", config->price);
    search__goal_to_json(&config->goal, settings);
    if (config->keep_count > 0) {
        ns_json_set_int(settings, KEEP_COUNT, config->keep_count);
    }
    if (config->keep_bytes > 0) {
        ns_json_set_int(settings, KEEP_BYTES, config->keep_bytes);
    }
    return settings;
}

/// Settings that say nothing of what a study finds, so that every run of it may have its own.
static bool may_differ(const char *key) {
    return strcmp(key, KEEP_COUNT) == 0 || strcmp(key, KEEP_BYTES) == 0;
}

/// The same of a run, whose space is known.
static ns_json *settings_of_run(const search__run *run) {
    ns_json *settings = settings_of(run->config);
    ns_json_set(settings, "space", search_space_to_json(&run->space));
    if (run->info->multi_label) { // else the usual, which studies of before do not name
        ns_json_set_string(settings, "score_name", search_score_name(true));
    }
    return settings;
}

static bool same_value(const ns_json *left, const ns_json *right) {
    char *left_text = NULL;
    char *right_text = NULL;
    const bool same = left != NULL && right != NULL &&
                      ns_json_print(left, false, &left_text, NULL) == NS_OK &&
                      ns_json_print(right, false, &right_text, NULL) == NS_OK &&
                      strcmp(left_text, right_text) == 0;
    free(left_text);
    free(right_text);
    return same;
}

/// Appends the name of every member that differs to `names`. What `before` lacks is younger than
/// the study, which has had the default.
static void settings_differences(const ns_json *before, const ns_json *now, char *names,
                                 size_t names_bytes) {
    const search_config defaults = search_config_default();
    ns_json *old = settings_of(&defaults);
    for (size_t i = 0; i < ns_json_count(now); i++) {
        const char *key = ns_json_key_at(now, i);
        const ns_json *known = ns_json_get(before, key) != NULL ? before : old;
        if (!may_differ(key) && !same_value(ns_json_get(now, key), ns_json_get(known, key))) {
            const size_t used = strlen(names);
            snprintf(names + used, names_bytes - used, "%s%s", used > 0 ? ", " : "", key);
        }
    }
    ns_json_free(old);
}

static const char *kind_name(budget_kind kind) {
    return kind == BUDGET_COMPUTE ? "compute" : "time";
}

static ns_status settings_check(const results_study *study, const search__run *run, ns_error *err) {
    ns_json *before = NULL;
    NS_TRY(ns_json_parse(study->settings, &before, err));
    search_config its = *run->config;
    search__budget_from_json(before, &its);
    if (its.budget_kind != run->config->budget_kind) {
        ns_json_free(before);
        return ns_fail(err, NS_ERR_USAGE,
                       "study '%s' has a budget of %s: resume it with its own, or choose another "
                       "name for one of %s",
                       study->name, kind_name(its.budget_kind),
                       kind_name(run->config->budget_kind));
    }
    ns_json *now = settings_of_run(run);
    char names[256] = "";
    settings_differences(before, now, names, sizeof(names));
    if (strcmp(study->dataset_sha256, run->info->sha256) != 0) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof(names) - used, "%sdata set", used > 0 ? ", " : "");
    }
    ns_json_free(before);
    ns_json_free(now);
    if (names[0] != '\0') {
        return ns_fail(err, NS_ERR_USAGE,
                       "study '%s' exists with other settings (%s): resume it with its own, or "
                       "choose another name",
                       study->name, names);
    }
    return NS_OK;
}

/// Appends `text` to the allocation, and points `*out` to it.
static void string_add(const char *text, char **end, const char **out) {
    const size_t size_bytes = strlen(text) + 1;
    *out = memcpy(*end, text, size_bytes);
    *end += size_bytes;
}

/// All strings in one allocation, which `*storage` owns. A study of a version that kept no space
/// has an empty text.
static ns_status strings_load(search_config *config, const char *dataset_path,
                              const ns_json *settings, const char *space, char **storage,
                              ns_error *err) {
    const char *sampler = ns_json_string(settings, "sampler", "");
    const char *warm_start = ns_json_string(settings, "warm_start", NULL);
    const size_t warm_bytes = warm_start != NULL ? strlen(warm_start) + 1 : 0;
    *storage = malloc(strlen(dataset_path) + strlen(sampler) + strlen(space) + 3 + warm_bytes);
    if (*storage == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold the settings of a study");
    }
    char *end = *storage;
    string_add(dataset_path, &end, &config->dataset_path);
    string_add(sampler, &end, &config->sampler);
    string_add(space, &end, &config->space);
    config->warm_start = NULL;
    if (warm_start != NULL) {
        string_add(warm_start, &end, &config->warm_start);
    }
    return NS_OK;
}

ns_status search_config_load(const char *store_path, const char *study_name, search_config *config,
                             char **storage, ns_error *err) {
    ns_status status = NS_OK;
    results_store *store = NULL;
    ns_json *settings = NULL;
    char *space = NULL;
    results_study study = {0};
    *storage = NULL;
    NS_TRY_OUT(results_open(store_path, RESULTS_READ, &store, err));
    NS_TRY_OUT(results_study_get(store, study_name, &study, err));
    NS_TRY_OUT(ns_json_parse(study.settings, &settings, err));
    if (ns_json_get(settings, "space") != NULL) {
        NS_TRY_OUT(ns_json_print(ns_json_get(settings, "space"), false, &space, err));
    }
    NS_TRY_OUT(strings_load(config, study.dataset_path, settings, space != NULL ? space : "",
                            storage, err));
    config->study = study_name;
    config->store_path = store_path;
    search__budget_from_json(settings, config);
    NS_TRY_OUT(nn_dtype_parse(ns_json_string(settings, "dtype", "f32"), &config->dtype, err));
    config->seed = (uint64_t)ns_json_int(settings, "seed", 0);
    config->thread_count = (int)ns_json_int(settings, "threads", 0);
    config->worker_count = (int)ns_json_int(settings, "workers", 0);
    config->price = ns_json_number(settings, "price", 0);
    config->keep_count = (int)ns_json_int(settings, KEEP_COUNT, 0);
    config->keep_bytes = ns_json_int(settings, KEEP_BYTES, 0);
    NS_TRY_OUT(search__goal_from_json(settings, &config->goal, err));
out:
    ns_json_free(settings);
    free(space);
    results_study_clear(&study);
    results_close(store);
    return status;
}

/* ---- opening --------------------------------------------------------------------------------- */

static ns_status config_check(const search_config *config, ns_error *err) {
    if (search_sampler_find(config->sampler) == NULL) {
        return ns_fail(err, NS_ERR_USAGE, "there is no sampler '%s'", config->sampler);
    }
    if (config->warm_start != NULL && strcmp(config->sampler, "random") == 0) {
        return ns_fail(err, NS_ERR_USAGE,
                       "a warm start needs a sampler that learns: random proposes the same with "
                       "and without one");
    }
    if (config->worker_count > SEARCH_SLOTS_MAX) {
        return ns_fail(err, NS_ERR_USAGE,
                       "%d workers are more than the %d that one machine may run",
                       config->worker_count, SEARCH_SLOTS_MAX);
    }
    if (config->budget_kind == BUDGET_COMPUTE && config->goal.latency_ms_max > 0) {
        return ns_fail(err, NS_ERR_USAGE,
                       "a limit on latency needs a budget of time: a budget of compute takes no "
                       "decision by the clock");
    }
    return NS_OK;
}

static ns_status data_check(const data_info *info, const char *path, ns_error *err) {
    for (int split = DATA_TRAIN; split <= DATA_VALIDATION; split++) {
        if (info->split_count[split] == 0) {
            return ns_fail(err, NS_ERR_INPUT, "cannot search on '%s': it has no %s images", path,
                           data_split_name((data_split)split));
        }
    }
    return NS_OK;
}

/// Cores and memory, fixed before the first child takes any of it. Workers have one thread each
/// until calibration finds better; never more of them than there are cores.
static void divide_machine(search__run *run) {
    const search_config *config = run->config;
    run->thread_count = config->thread_count > 0 ? config->thread_count : ns_cpu_count();
    run->mem_bytes = search__clock_mem_bytes(config);
    int worker_count = config->worker_count > 0 ? config->worker_count : run->thread_count;
    worker_count = worker_count < SEARCH_SLOTS_MAX ? worker_count : SEARCH_SLOTS_MAX;
    if (worker_count > run->thread_count) {
        ns_log_write(config->log, NS_LOG_WARN, "%d workers would share %d threads: %d are started",
                     worker_count, run->thread_count, run->thread_count);
        worker_count = run->thread_count;
    }
    search__divide(run, worker_count, run->thread_count / worker_count);
}

/// What evaluating and exporting the anchor is predicted to take, before anything is measured.
static int64_t finish_ms(const search__run *run, const nn_counts *anchor) {
    const size_t image_count =
        run->info->split_count[DATA_VALIDATION] + run->info->split_count[DATA_TEST];
    const double flops = (double)anchor->forward_flops * (double)image_count;
    const int64_t known_ms = search__clock_classify_ms(run, anchor, image_count);
    return known_ms > 0
               ? known_ms
               : FINISH_BASE_MS + (int64_t)(flops / (INFER_FLOPS_PER_MS * run->thread_count));
}

ns_status search__plan_make(search__run *run, const nn_counts *anchor, ns_error *err) {
    const search__trial_times trial = search__trial_times_of(run, anchor);
    const budget_plan_input input = {
        .kind = run->config->budget_kind,
        .total_ms = run->config->budget_node_ms,
        .finish_ms = finish_ms(run, anchor),
        .calibration_ms = run->calibration.took_ms,
        .trial_ms = trial.wanted_ms,
        .trial_ms_least = trial.least_ms,
        .worker_count = search__clock_worker_count(run),
    };
    return budget_plan_make(&input, &run->plan, err);
}

/// The space that was asked for, else the study's own, else the default.
static ns_status space_open(search__run *run, ns_error *err) {
    const search_config *config = run->config;
    if (config->space_path != NULL) {
        return search_space_load(config->space_path, run->info, &run->space, err);
    }
    if (config->space == NULL || config->space[0] == '\0') {
        search_space_default(run->info, &run->space);
        return NS_OK;
    }
    ns_json *json = NULL;
    ns_status status = ns_json_parse(config->space, &json, err);
    status = status == NS_OK ? search__space_of_study(run->info, json, &run->space, err) : status;
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot use the space of study '%s'", config->study);
    }
    ns_json_free(json);
    return status;
}

/// A first plan, so that a budget that is too small is refused before anything is written.
static ns_status plan_open(search__run *run, ns_error *err) {
    NS_TRY(space_open(run, err));
    search_genotype anchor;
    search_genotype_anchor(&run->space, &anchor);
    search_candidate *candidate = malloc(sizeof(*candidate));
    if (candidate == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a candidate network");
    }
    ns_status status = search_decode(&run->space, &anchor, candidate, err);
    status = status == NS_OK ? search__plan_make(run, &candidate->counts, err) : status;
    free(candidate);
    return status;
}

/// Makes the study's folder, or takes it again. It holds the path of its store, so that a folder of
/// somebody's own, or another store's study of the same name, is refused and not written over.
static ns_status dir_open(const search__run *run, ns_error *err) {
    char store[NS_PATH_MAX];
    char marker[NS_PATH_MAX];
    NS_TRY(ns_path_absolute(run->config->store_path, store, err));
    NS_TRY(search__file(run, "store", marker, err));
    if (ns_file_exists(marker)) {
        char *owner = NULL;
        size_t owner_bytes = 0;
        NS_TRY(ns_file_read(marker, NS_PATH_MAX, (uint8_t **)&owner, &owner_bytes, err));
        const bool other = strcmp(owner, store) != 0 && ns_file_exists(owner);
        const ns_status status =
            other ? ns_fail(err, NS_ERR_USAGE,
                            "folder %s belongs to a study of the store %s: choose another name",
                            run->dir, owner)
                  : NS_OK;
        free(owner);
        NS_TRY(status);
    } else if (ns_file_exists(run->dir)) {
        return ns_fail(err, NS_ERR_USAGE,
                       "folder %s is there and is no study's: choose another name for the study",
                       run->dir);
    }
    NS_TRY(ns_dir_make(run->dir, err));
    return ns_file_write(marker, store, strlen(store), err);
}

/// Removes what a study of the same name left, whose store is gone.
static void dir_clear(const search__run *run) {
    search__file_remove(run, "retrain.ckpt");
    search__file_remove(run, "retrain.nsm");
    search__file_remove(run, "model.nsm");
    search__file_remove(run, "model.onnx");
}

static ns_status study_add(search__run *run, results_store *store, ns_error *err) {
    const search_config *config = run->config;
    ns_status status = NS_OK;
    char *settings_text = NULL;
    results_earlier *earlier = NULL;
    size_t earlier_count = 0;
    ns_json *settings = settings_of_run(run);
    NS_TRY_OUT(ns_json_print(settings, false, &settings_text, err));
    NS_TRY_OUT(search__warm_read(run, &earlier, &earlier_count, err));
    const results_study_spec spec = {
        .name = config->study,
        .settings = settings_text,
        .dataset_path = config->dataset_path,
        .dataset_sha256 = run->info->sha256,
        .budget_node_ms = search__clock_node_ms_max(config),
        .earlier = earlier,
        .earlier_count = earlier_count,
    };
    NS_TRY_OUT(results_study_add(store, &spec, &run->study_id, err));
    dir_clear(run);
out:
    results_earlier_free(earlier, earlier_count);
    free(settings_text);
    ns_json_free(settings);
    return status;
}

/// Finds or adds the study. `*done` when it is COMPLETE already.
static ns_status study_open(search__run *run, results_store *store, bool *done, ns_error *err) {
    const search_config *config = run->config;
    results_study study;
    ns_status status = results_study_get(store, config->study, &study, err);
    if (status == NS_OK) {
        run->study_id = study.id;
        *done = study.state == RESULTS_STUDY_COMPLETE;
        status = settings_check(&study, run, err);
        results_study_clear(&study);
        return status;
    }
    if (status != NS_ERR_NOT_FOUND) {
        return status;
    }
    *done = false;
    return study_add(run, store, err);
}

/// Cleans up after earlier runs: what they held waits again, and what they used is counted.
static ns_status bury_earlier_runs(search__run *run, results_store *store, ns_error *err) {
    int reaped_count = 0;
    NS_TRY(results_reap(store, run->study_id, 0, INT32_MAX, &reaped_count, err));
    results_study study;
    NS_TRY(results_study_get(store, run->config->study, &study, err));
    run->base_ms = study.charged_node_ms;
    results_study_clear(&study);
    return NS_OK;
}

static ns_status run_begin(search__run *run, results_store *store, ns_error *err) {
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    const nn_platform platform = nn_platform_describe();
    char platform_text[128];
    snprintf(platform_text, sizeof(platform_text), "%s, %s, %s, %d threads", platform.library,
             platform.isa, platform.numeric_types, run->thread_count);
    const results_run_spec spec = {
        .command = run->config->command,
        .host = host,
        .version = NS_VERSION,
        .platform = platform_text,
        .pid = getpid(),
    };
    return results_run_begin(store, run->study_id, &spec, &run->run_id, err);
}

static ns_status open_and_begin(search__run *run, bool *done, ns_error *err) {
    results_store *store = NULL;
    NS_TRY(results_open(run->config->store_path, RESULTS_CREATE, &store, err));
    ns_status status = study_open(run, store, done, err);
    if (status == NS_OK && !*done && run->config->began != NULL) {
        *run->config->began = true;
    }
    if (status == NS_OK && !*done) {
        status = bury_earlier_runs(run, store, err);
    }
    if (status == NS_OK && !*done &&
        search__clock_has_passed(run, run->config->budget_node_ms - RUN_MS_MIN)) {
        *done = true;
        status = search__conclude(run, store, NS_ERR_BUDGET, err);
    } else if (status == NS_OK && !*done) {
        status = run_begin(run, store, err);
    }
    results_close(store);
    return status;
}

static ns_status slots_new(search__run *run, ns_error *err) {
    void *memory = mmap(NULL, SEARCH_SLOTS_MAX * sizeof(search__slot), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot share memory with workers: %s", strerror(errno));
    }
    run->slot = memory;
    return NS_OK;
}

/// Everything between the lock and its release.
static ns_status run_locked(search__run *run, ns_error *err) {
    bool done = false;
    char log_path[NS_PATH_MAX];
    NS_TRY(open_and_begin(run, &done, err));
    if (done) {
        return NS_OK;
    }
    if (run->config->log != NULL) {
        NS_TRY(search__file(run, "study.log", log_path, err));
        NS_TRY(ns_log_tee(run->config->log, log_path, err));
    }
    NS_TRY(slots_new(run, err));
    const ns_status status = search__supervise(run, err);
    munmap(run->slot, SEARCH_SLOTS_MAX * sizeof(search__slot));
    return status;
}

static ns_status study_lock(const search__run *run, ns_lock **out, ns_error *err) {
    char path[NS_PATH_MAX];
    NS_TRY(search__file(run, "lock", path, err));
    const ns_status status = ns_lock_acquire(path, out, err);
    if (status == NS_ERR_BUSY) {
        return ns_fail(err, status, "study '%s' is being run by another process",
                       run->config->study);
    }
    return status;
}

ns_status search_run(const search_config *config, ns_error *err) {
    ns_status status = NS_OK;
    data_set *set = NULL;
    ns_lock *lock = NULL;
    search_config settled = *config;
    settled.dtype = nn_dtype_resolve(config->dtype);
    search__clock_settle(&settled);
    search__history history = {0};
    search__run run = {
        .config = &settled, .sampler = search_sampler_find(config->sampler), .history = &history};
    NS_TRY_OUT(config_check(config, err));
    NS_TRY_OUT(data_open(config->dataset_path, &set, err));
    run.set = set;
    run.info = data_describe(set);
    divide_machine(&run);
    NS_TRY_OUT(data_check(run.info, config->dataset_path, err));
    NS_TRY_OUT(plan_open(&run, err));
    NS_TRY_OUT(search__limits_check(&run, err));
    NS_TRY_OUT(search__dir(config->store_path, config->study, run.dir, err));
    NS_TRY_OUT(dir_open(&run, err));
    NS_TRY_OUT(study_lock(&run, &lock, err));
    NS_TRY_OUT(run_locked(&run, err));
out:
    search__history_clear(&history);
    ns_lock_release(lock);
    data_close(set);
    return status;
}
