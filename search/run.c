// What every process of a run asks: where the study's files are, what it has found so far, and how a
// child's end is told to the supervisor.

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "search/search_internal.h"

ns_status search__dir(const char *store_path, const char *study, char out[NS_PATH_MAX],
                      ns_error *err) {
    char store[NS_PATH_MAX];
    NS_TRY(ns_path_absolute(store_path, store, err));
    *strrchr(store, '/') = '\0';
    return ns_path_join(store[0] == '\0' ? "/" : store, study, out, err);
}

ns_status search__file(const search__run *run, const char *name, char out[NS_PATH_MAX],
                       ns_error *err) {
    return ns_path_join(run->dir, name, out, err);
}

void search__file_remove(const search__run *run, const char *name) {
    char path[NS_PATH_MAX];
    if (search__file(run, name, path, NULL) == NS_OK) {
        (void)unlink(path);
    }
}

ns_status search__trial_file(const search__run *run, int number, char out[NS_PATH_MAX],
                             ns_error *err) {
    char name[32];
    snprintf(name, sizeof(name), SEARCH__TRIAL_FILE, number);
    return search__file(run, name, out, err);
}

int search__exit_code(ns_status status) {
    switch (status) {
    case NS_OK:
        return SEARCH_EXIT_DONE;
    case NS_ERR_STOPPED:
        return SEARCH_EXIT_STOPPED;
    default:
        return SEARCH_EXIT_FAILED;
    }
}

/* ---- the study's result object --------------------------------------------------------------- */

ns_status search__result_read(results_store *store, const search__run *run, ns_json **out,
                              ns_error *err) {
    results_study study;
    NS_TRY(results_study_get(store, run->config->study, &study, err));
    const ns_status status = ns_json_parse(study.result, out, err);
    results_study_clear(&study);
    return status;
}

ns_status search__result_write(results_store *store, const search__run *run, const ns_json *result,
                               ns_error *err) {
    char *text = NULL;
    NS_TRY(ns_json_print(result, false, &text, err));
    const ns_status status =
        results_study_update(store, run->study_id, RESULTS_STUDY_RUNNING, NULL, NULL, text, err);
    free(text);
    return status;
}

ns_status search__member_copy(ns_json *to, const ns_json *from, const char *key, ns_error *err) {
    const ns_json *member = ns_json_get(from, key);
    if (member == NULL) {
        ns_json_set_null(to, key);
        return NS_OK;
    }
    char *text = NULL;
    ns_json *copy = NULL;
    NS_TRY(ns_json_print(member, false, &text, err));
    const ns_status status = ns_json_parse(text, &copy, err);
    ns_json_set(to, key, copy);
    free(text);
    return status;
}

ns_status search__members_copy(ns_json *to, const ns_json *from, ns_error *err) {
    for (size_t i = 0; i < ns_json_count(from); i++) {
        NS_TRY(search__member_copy(to, from, ns_json_key_at(from, i), err));
    }
    return NS_OK;
}
