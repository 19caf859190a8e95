// Studies that are put into a store by hand: what is told of a study is a function of what the store
// keeps, so no network has to be trained for a test of it.

#ifndef NS_TESTS_SEARCH_KEPT_STUDY_H
#define NS_TESTS_SEARCH_KEPT_STUDY_H

#include <stdio.h>

#include "tests/ns_test.h"

#include "search/search.h"

typedef struct kept_study {
    const char *name;
    const char *settings, *result; // JSON; NULL: {}
    const char *dataset_sha256;
    results_study_state state;
} kept_study;

/// A new store with these studies, one hour of budget each.
static inline void keep_studies(const char *path, const kept_study *studies, size_t count) {
    ns_error err = {0};
    results_store *store = NULL;
    const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < NS_COUNT_OF(suffixes); i++) {
        char name[NS_PATH_MAX];
        (void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        (void)remove(name);
    }
    assert_ok(results_open(path, RESULTS_CREATE, &store, &err), &err);
    for (size_t i = 0; i < count; i++) {
        const kept_study *one = &studies[i];
        int64_t study_id = 0;
        const results_study_spec spec = {
            .name = one->name,
            .settings = one->settings != NULL ? one->settings : "{}",
            .dataset_path = "/data/set.nsd",
            .dataset_sha256 = one->dataset_sha256,
            .budget_node_ms = 3600000,
        };
        assert_ok(results_study_add(store, &spec, &study_id, &err), &err);
        assert_ok(results_study_update(store, study_id, one->state, NULL, NULL,
                                       one->result != NULL ? one->result : "{}", &err),
                  &err);
    }
    results_close(store);
}

#endif
