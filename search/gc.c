// What no study of a store needs any more, and its removal.
//
// A study that runs holds the lock of its folder, and is passed over. Otherwise the lock is taken for
// as long as its folder is cleaned, so that nobody begins a run in between. A folder is a study's
// when the mark in it names this store. In question are the files that study_files.c knows; of
// them are removed
//
//   - what was being written when a process was killed;
//   - models of trials that are not (or no longer) worth keeping: of a study that may go on all that
//     pareto.c does not keep, of a finished one all but the best and the front;
//   - what retraining left, once the study has its final model, or while it does not retrain.
//
// All this may be had again only by training; nothing of it is asked for by any command.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "search/search_internal.h"

/// A study on its way through.
typedef struct folder {
    const char *dir;
    bool finished; // COMPLETE
    bool retrains; // it may go on from a retraining under way
    bool *needed;  // of each trial: its model
    int trial_count;
    bool dry_run;
    ns_json *report; // of the study's files
    int64_t *total_bytes;
} folder;

/* ---- what is needed -------------------------------------------------------------------------- */

static ns_status goal_of(const results_study *study, search_goal *out, ns_error *err) {
    ns_json *settings = NULL;
    NS_TRY(ns_json_parse(study->settings, &settings, err));
    const ns_status status = search__goal_from_json(settings, out, err);
    ns_json_free(settings);
    return status;
}

/// A finished study needs no confirmation's model but the best and those of the front.
static ns_status drop_confirmations(const search_goal *goal, const results_trial *trials,
                                    size_t count, bool *needed, ns_error *err) {
    bool *in_front = malloc(count + 1);
    if (in_front == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold %zu trials", count);
    }
    const ns_status status = search__front(goal, trials, count, in_front, err);
    const int best = search__best_trial(goal, trials, count);
    for (size_t i = 0; status == NS_OK && i < count; i++) {
        needed[i] = needed[i] && (in_front[i] || (int)i == best);
    }
    free(in_front);
    return status;
}

static ns_status find_needed(folder *f, results_store *store, const results_study *study,
                             ns_error *err) {
    search_goal goal;
    results_trial *trials = NULL;
    size_t count = 0;
    NS_TRY(goal_of(study, &goal, err));
    NS_TRY(results_trials(store, study->id, &trials, &count, err));
    f->needed = calloc(count + 1, sizeof(*f->needed));
    f->trial_count = (int)count;
    ns_status status = f->needed == NULL
                           ? ns_fail(err, NS_ERR_MEMORY, "cannot hold %zu trials", count)
                           : search__kept_models(&goal, trials, count, f->needed, err);
    if (status == NS_OK && f->finished) {
        status = drop_confirmations(&goal, trials, count, f->needed, err);
    }
    results_trials_free(trials, count);
    return status;
}

/// Why a file is not needed; NULL: it is.
static const char *why_not(const folder *f, const search__study_file *file) {
    switch (file->kind) {
    case SEARCH__FILE_PARTIAL:
        return "left by a killed process";
    case SEARCH__FILE_RETRAINING:
        return f->retrains ? NULL : "left by a retraining that is over";
    case SEARCH__FILE_TRIAL:
        break;
    }
    return file->number < f->trial_count && f->needed[file->number] ? NULL
                                                                    : "no longer worth keeping";
}

/* ---- removing -------------------------------------------------------------------------------- */

static ns_status remove_file(const folder *f, const search__study_file *file, const char *why,
                             ns_error *err) {
    char path[NS_PATH_MAX];
    NS_TRY(ns_path_join(f->dir, file->name, path, err));
    if (!f->dry_run && unlink(path) != 0 && errno != ENOENT) {
        return ns_fail(err, NS_ERR_IO, "cannot remove %s: %s", path, strerror(errno));
    }
    ns_json *one = ns_json_add(f->report, ns_json_object_new());
    ns_json_set_string(one, "file", path);
    ns_json_set_int(one, "bytes", file->size_bytes);
    ns_json_set_string(one, "why", why);
    *f->total_bytes += file->size_bytes;
    return NS_OK;
}

static ns_status clean(const folder *f, ns_error *err) {
    search__study_file *files = NULL;
    size_t count = 0;
    NS_TRY(search__study_files(f->dir, &files, &count, err));
    ns_status status = NS_OK;
    for (size_t i = 0; status == NS_OK && i < count; i++) {
        const char *why = why_not(f, &files[i]);
        status = why != NULL ? remove_file(f, &files[i], why, err) : NS_OK;
    }
    free(files);
    return status;
}

/// With the folder's lock held.
static ns_status clean_study(folder *f, results_store *store, const char *name, ns_error *err) {
    results_study study;
    NS_TRY(results_study_get(store, name, &study, err));
    f->finished = study.state == RESULTS_STUDY_COMPLETE;
    f->retrains =
        !f->finished && (strcmp(study.phase, "retrain") == 0 || strcmp(study.phase, "finish") == 0);
    ns_status status = find_needed(f, store, &study, err);
    status = status == NS_OK ? clean(f, err) : status;
    free(f->needed);
    results_study_clear(&study);
    return status;
}

/* ---- the studies of a store ------------------------------------------------------------------ */

/// Whether the mark in the folder names the store.
static bool is_ours(const char *dir, const char *store_path) {
    char store[NS_PATH_MAX];
    char marker[NS_PATH_MAX];
    uint8_t *owner = NULL;
    size_t owner_bytes = 0;
    const bool same = ns_path_absolute(store_path, store, NULL) == NS_OK &&
                      ns_path_join(dir, "store", marker, NULL) == NS_OK &&
                      ns_file_read(marker, NS_PATH_MAX, &owner, &owner_bytes, NULL) == NS_OK &&
                      strcmp((const char *)owner, store) == 0;
    free(owner);
    return same;
}

/// What is said of a study that is passed over; a run holds its lock where `locked` is not NS_OK.
static const char *skip_reason(const char *dir, const char *store_path, ns_status locked) {
    return !ns_file_exists(dir)        ? "it has no folder"
           : !is_ours(dir, store_path) ? "its folder is another store's"
           : locked == NS_ERR_BUSY     ? "it is running"
           : locked != NS_OK           ? "its folder cannot be locked"
                                       : NULL;
}

static ns_status gc_study(folder *f, const char *store_path, results_store *store, const char *name,
                          ns_json *to, ns_error *err) {
    char dir[NS_PATH_MAX];
    char lock_path[NS_PATH_MAX];
    ns_lock *lock = NULL;
    NS_TRY(search__dir(store_path, name, dir, err));
    NS_TRY(ns_path_join(dir, "lock", lock_path, err));
    f->dir = dir;
    const bool ours = skip_reason(dir, store_path, NS_OK) == NULL;
    const ns_status locked = ours ? ns_lock_acquire(lock_path, &lock, NULL) : NS_OK;
    const char *skipped = skip_reason(dir, store_path, locked);
    ns_json_set_string(to, "study", name);
    ns_json_set_string(to, "skipped", skipped);
    f->report = ns_json_set(to, "files", ns_json_array_new());
    const ns_status status = skipped == NULL ? clean_study(f, store, name, err) : NS_OK;
    ns_lock_release(lock);
    f->dir = NULL;
    return status;
}

ns_status search_gc_json(const char *store_path, bool dry_run, ns_json **out, ns_error *err) {
    results_store *store = NULL;
    char **names = NULL;
    size_t count = 0;
    int64_t total_bytes = 0;
    NS_TRY(results_open(store_path, RESULTS_READ, &store, err));
    ns_status status = results_study_names(store, &names, &count, err);
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "store", store_path);
    ns_json_set_bool(json, "dry_run", dry_run);
    ns_json *list = ns_json_set(json, "studies", ns_json_array_new());
    for (size_t i = 0; i < count; i++) {
        folder f = {.dry_run = dry_run, .total_bytes = &total_bytes};
        ns_json *one = ns_json_add(list, ns_json_object_new());
        status = status == NS_OK ? gc_study(&f, store_path, store, names[i], one, err) : status;
        free(names[i]);
    }
    free(names);
    results_close(store);
    ns_json_set_int(json, "bytes", total_bytes);
    if (status != NS_OK) {
        ns_json_free(json);
        return status;
    }
    *out = json;
    return NS_OK;
}
