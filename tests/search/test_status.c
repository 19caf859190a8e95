// How studies stand, told of stores that were filled by hand.

#include <string.h>

#include "tests/search/kept_study.h"

#define STORE "status.db"

/// Why the search ended reaches status as the study's result has it; a study that is not that far, or
/// had no search, has null.
static void test_search_end(void **state) {
    (void)state;
    const char *const ends[] = {"converged", "exhausted", "budget", NULL, NULL};
    const kept_study studies[] = {
        {.name = "c", .result = "{\"search_end\": \"converged\", \"search_converged\": true}"},
        {.name = "e", .result = "{\"search_end\": \"exhausted\", \"search_exhausted\": true}"},
        {.name = "b", .result = "{\"search_end\": \"budget\"}"},
        {.name = "n", .result = "{\"search_end\": null}"},
        {.name = "u"},
    };
    kept_study kept[NS_COUNT_OF(studies)];
    for (size_t i = 0; i < NS_COUNT_OF(studies); i++) {
        kept[i] = studies[i];
        kept[i].dataset_sha256 = "x";
        kept[i].state = i < 4 ? RESULTS_STUDY_COMPLETE : RESULTS_STUDY_INTERRUPTED;
    }
    keep_studies(STORE, kept, NS_COUNT_OF(kept));
    for (size_t i = 0; i < NS_COUNT_OF(studies); i++) {
        ns_json *json = NULL;
        ns_error err = {0};
        assert_ok(search_status_json(STORE, studies[i].name, &json, &err), &err);
        assert_non_null(ns_json_get(json, "search_end")); // null is there, too
        const char *end = ns_json_string(json, "search_end", "");
        const char *wanted = ends[i] != NULL ? ends[i] : "";
        if (strcmp(end, wanted) != 0) {
            fail_msg("study %s: search_end is \"%s\", want \"%s\"", studies[i].name, end, wanted);
        }
        ns_json_free(json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search_end),
    };
    return cmocka_run_group_tests_name("search/status", tests, NULL, NULL);
}
