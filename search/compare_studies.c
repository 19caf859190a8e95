// Studies side by side: what each found and spent, how its best grew with the node-hours, and
// whether the final models of two really differ on the test images. Read from the store alone; no
// image is needed, for the finish has kept which test images its model got right or, where images may
// have several labels, what each of them scored. One test for each pair, of the figure by which the
// studies were judged: to try several until one pleases would prove nothing.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/search_internal.h"

#define HOUR_MS INT64_C(3600000)

/// A study that is compared.
typedef struct contestant {
    results_study study;
    ns_json *json;   // as printed; moves into the answer
    ns_json *result; // the study's own
} contestant;

/* ---- one study ------------------------------------------------------------------------------- */

static ns_json *curve_json(const results_point *curve, size_t count) {
    ns_json *array = ns_json_array_new();
    for (size_t i = 0; i < count; i++) {
        ns_json *point = ns_json_add(array, ns_json_object_new());
        ns_json_set_int(point, "node_ms", curve[i].node_ms);
        ns_json_set_number(point, "val_accuracy", curve[i].value);
    }
    return array;
}

static ns_json *gain_json(const results_point *curve, size_t count, int64_t end_ms) {
    const results_rise gain = results_rise_of(curve, count, end_ms, HOUR_MS);
    ns_json *json = ns_json_object_new();
    ns_json_set_int(json, "node_ms", gain.node_ms);
    ns_json_set_number(json, "gain", gain.value);
    ns_json_set_number(json, "gain_per_node_hour",
                       gain.value * (double)HOUR_MS /
                           (double)(gain.node_ms > 0 ? gain.node_ms : 1));
    return json;
}

ns_status search__curve_add(ns_json *to, const results_study *study, const ns_json *result,
                            const results_trial *trials, size_t count, ns_error *err) {
    results_point *curve = malloc((count + 1) * sizeof(*curve));
    size_t point_count = 0;
    if (curve == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for a curve of %zu trials", count);
    }
    for (size_t i = 0; i < count; i++) {
        if (trials[i].state == RESULTS_COMPLETE) {
            curve[point_count++] =
                (results_point){trials[i].finished_node_ms, trials[i].val_accuracy};
        }
    }
    curve[point_count++] = (results_point){study->charged_node_ms,
                                           ns_json_number(result, "val_accuracy", (double)NAN)};
    point_count = results_best_so_far(curve, point_count);
    ns_json_set(to, "best_so_far", curve_json(curve, point_count));
    ns_json_set(to, "last_node_hour", gain_json(curve, point_count, study->charged_node_ms));
    free(curve);
    return NS_OK;
}

static ns_status contestant_open(const char *store_path, results_store *store, const char *name,
                                 contestant *c, ns_error *err) {
    results_trial *trials = NULL;
    size_t count = 0;
    NS_TRY(results_study_get(store, name, &c->study, err));
    NS_TRY(ns_json_parse(c->study.result, &c->result, err));
    NS_TRY(results_trials(store, c->study.id, &trials, &count, err));
    ns_status status =
        search__study_json(store_path, store, &c->study, trials, count, &c->json, err);
    if (status == NS_OK) {
        ns_json_set_string(c->json, "dataset_sha256", c->study.dataset_sha256);
        status = search__curve_add(c->json, &c->study, c->result, trials, count, err);
    }
    results_trials_free(trials, count);
    return status;
}

static void contestant_clear(contestant *c) {
    results_study_clear(&c->study);
    ns_json_free(c->json);
    ns_json_free(c->result);
}

/* ---- two studies ----------------------------------------------------------------------------- */

/// What is kept of the answers to the test images; NULL: nothing. Whether it is a score an image goes
/// to `*in_scores`.
static const char *answers_of(const contestant *c, bool *in_scores) {
    const char *scores = ns_json_string(c->result, "test_scores", NULL);
    *in_scores = scores != NULL;
    return *in_scores ? scores : ns_json_string(c->result, "test_correct", NULL);
}

/// Why this one cannot be tested against another, into `reason`; false when it can.
static bool lacks_answers(const contestant *c, ns_error *reason) {
    bool in_scores = false;
    if (answers_of(c, &in_scores) != NULL) {
        return false;
    }
    const bool judged = !isnan(ns_json_number(c->result, "test_accuracy", (double)NAN));
    const bool complete = c->study.state == RESULTS_STUDY_COMPLETE;
    (void)ns_fail(reason, NS_ERR_NOT_FOUND,
                  judged ? "study '%s' was finished by a version that did not keep how well each "
                           "test image was answered, and test images are read once"
                  : complete
                      ? "study '%s' has no test predictions: its model was not judged on test "
                        "images"
                      : "study '%s' is not finished: its model was not judged on test images "
                        "yet",
                  c->study.name);
    return true;
}

/// Whether the two can be tested against each other; else `reason` says why not.
static ns_status can_be_tested(const contestant *first, const contestant *second,
                               ns_error *reason) {
    if (lacks_answers(first, reason) || lacks_answers(second, reason)) {
        return NS_ERR_NOT_FOUND;
    }
    return strcmp(first->study.dataset_sha256, second->study.dataset_sha256) == 0
               ? NS_OK
               : ns_fail(reason, NS_ERR_INPUT,
                         "studies '%s' and '%s' are of different data sets: their test images are "
                         "not the same",
                         first->study.name, second->study.name);
}

static ns_status mcnemar_add(const char *first, const char *second, ns_json *to, ns_error *reason) {
    int64_t only_first = 0;
    int64_t only_second = 0;
    NS_TRY(results_disagreements(first, second, &only_first, &only_second, reason));
    const results_mcnemar test = results_mcnemar_of(only_first, only_second);
    ns_json *json = ns_json_set(to, "mcnemar", ns_json_object_new());
    ns_json_set_int(json, "only_first", test.only_first);
    ns_json_set_int(json, "only_second", test.only_second);
    ns_json_set_string(json, "method", test.exact ? "exact" : "chi-squared");
    ns_json_set_number(json, "chi_squared", test.chi_squared);
    ns_json_set_number(json, "p", test.p);
    return NS_OK;
}

static ns_status randomisation_add(const char *first, const char *second, ns_json *to,
                                   ns_error *reason) {
    results_paired test;
    NS_TRY(results_paired_of(first, second, &test, reason));
    ns_json *json = ns_json_set(to, "randomisation", ns_json_object_new());
    ns_json_set_int(json, "first_better", test.first_better);
    ns_json_set_int(json, "second_better", test.second_better);
    ns_json_set_number(json, "difference", test.difference);
    ns_json_set_string(json, "method", test.exact ? "exact" : "normal");
    ns_json_set_number(json, "p", test.p);
    return NS_OK;
}

/// The test that the two studies' answers call for, or a sentence on why there is none.
static ns_status test_add(const contestant *first, const contestant *second, ns_json *to,
                          ns_error *reason) {
    bool left_in_scores = false;
    bool right_in_scores = false;
    const char *left = answers_of(first, &left_in_scores);
    const char *right = answers_of(second, &right_in_scores);
    NS_TRY(can_be_tested(first, second, reason));
    return left_in_scores && right_in_scores ? randomisation_add(left, right, to, reason)
                                             : mcnemar_add(left, right, to, reason);
}

static ns_json *pair_json(const contestant *first, const contestant *second) {
    ns_error reason = {0};
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "first", first->study.name);
    ns_json_set_string(json, "second", second->study.name);
    ns_json_set_null(json, "mcnemar"); // one of these two
    ns_json_set_null(json, "randomisation");
    const ns_status status = test_add(first, second, json, &reason);
    ns_json_set_string(json, "reason", status == NS_OK ? NULL : reason.text);
    return json;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static ns_json *answer_json(contestant *contestants, size_t count) {
    ns_json *json = ns_json_object_new();
    ns_json *pairs = ns_json_set(json, "pairs", ns_json_array_new());
    ns_json *studies = ns_json_set(json, "studies", ns_json_array_new());
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            ns_json_add(pairs, pair_json(&contestants[i], &contestants[j]));
        }
        ns_json_add(studies, contestants[i].json);
        contestants[i].json = NULL;
    }
    return json;
}

static ns_status names_check(char *const *names, size_t count, ns_error *err) {
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(names[i], names[j]) == 0) {
                return ns_fail(err, NS_ERR_USAGE, "cannot compare study '%s' with itself",
                               names[i]);
            }
        }
    }
    return NS_OK;
}

ns_status search_compare_json(const char *store_path, char *const *names, size_t count,
                              ns_json **out, ns_error *err) {
    ns_status status = NS_OK;
    results_store *store = NULL;
    NS_TRY(names_check(names, count, err));
    contestant *contestants = calloc(count + 1, sizeof(*contestants));
    if (contestants == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to compare %zu studies", count);
    }
    NS_TRY_OUT(results_open(store_path, RESULTS_READ, &store, err));
    for (size_t i = 0; i < count; i++) {
        NS_TRY_OUT(contestant_open(store_path, store, names[i], &contestants[i], err));
    }
    *out = answer_json(contestants, count);
out:
    for (size_t i = 0; i < count; i++) {
        contestant_clear(&contestants[i]);
    }
    free(contestants);
    results_close(store);
    return status;
}
