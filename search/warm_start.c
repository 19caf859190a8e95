// Warm starts: a study that begins with what an earlier one has found.
//
// What is taken over is the earlier study's digest: each point that it has measured, once, on the
// scale of its most frequent fidelity, worth what this study's own target makes of it. It is copied
// into the store together with the new study and never changes, so a study stays a function of its
// history and its seed: it does not matter what becomes of the earlier study, or of its file.
//
// Points are of use where they are points of this space: those that are not are left out, and a
// study without any such point searched another space. Where the data set was another one, its
// accuracies have another spread (digest.c).

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/sampler.h"
#include "search/search_internal.h"

#define POINTS_MAX 4096 // the youngest; samplers look at fewer

/* ---- the earlier study ----------------------------------------------------------------------- */

typedef struct source {
    char store_path[NS_PATH_MAX];
    const char *name; // of the study
    results_store *store;
    results_study study;
    results_trial *trials;
    size_t count;
    search_observation *seen; // trials that are points of this space
    size_t seen_count;
    ns_error why; // the last was none
} source;

static void source_clear(source *s) {
    free(s->seen);
    results_trials_free(s->trials, s->count);
    results_study_clear(&s->study);
    results_close(s->store);
}

/// "NAME", or "FILE.db:NAME".
static ns_status source_name(const search_config *config, source *s, ns_error *err) {
    const char *colon = strrchr(config->warm_start, ':');
    const char *path = colon != NULL ? config->warm_start : config->store_path;
    const size_t length = colon != NULL ? (size_t)(colon - path) : strlen(path);
    if (length == 0 || length >= sizeof s->store_path) {
        return ns_fail(err, NS_ERR_USAGE, "NAME or FILE.db:NAME is needed");
    }
    memcpy(s->store_path, path, length);
    s->store_path[length] = '\0';
    s->name = colon != NULL ? colon + 1 : config->warm_start;
    return NS_OK;
}

/// Its trials, as this study's samplers would have seen them.
static ns_status source_observe(const search__run *run, source *s, ns_error *err) {
    const search__reference reference = search__reference_of(s->trials, s->count);
    s->seen = calloc(s->count + 1, sizeof *s->seen);
    if (s->seen == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold %zu trials", s->count);
    }
    for (size_t i = 0; i < s->count; i++) {
        const results_trial *row = &s->trials[i];
        search_observation *seen = &s->seen[s->seen_count];
        ns_json *json = NULL;
        NS_TRY(ns_json_parse(row->genotype, &json, err));
        const ns_status status =
            search_genotype_from_json(&run->space, json, &seen->genotype, &s->why);
        ns_json_free(json);
        if (status == NS_OK) {
            seen->state = row->state;
            seen->fidelity_ms = row->fidelity_ms;
            seen->val_accuracy = search__objective(&run->config->goal, &reference, row);
            s->seen_count++;
        }
    }
    return NS_OK;
}

static ns_status source_open(const search__run *run, source *s, ns_error *err) {
    NS_TRY(source_name(run->config, s, err));
    NS_TRY(results_open(s->store_path, RESULTS_READ, &s->store, err));
    NS_TRY(results_study_get(s->store, s->name, &s->study, err));
    NS_TRY(results_trials(s->store, s->study.id, &s->trials, &s->count, err));
    NS_TRY(source_observe(run, s, err));
    if (s->count > 0 && s->seen_count == 0) {
        return ns_fail(err, NS_ERR_USAGE, "it searched another space: %s", s->why.text);
    }
    return NS_OK;
}

/* ---- what is taken over ---------------------------------------------------------------------- */

static ns_status take_point(const search__run *run, const search__point *point, bool is_same_data,
                            results_earlier *out, ns_error *err) {
    ns_json *json = search_genotype_to_json(&run->space, &point->genotype);
    const ns_status status = ns_json_print(json, false, &out->genotype, err);
    ns_json_free(json);
    out->value = point->value;
    out->is_same_data = is_same_data;
    return status;
}

static ns_status take_points(const search__run *run, const source *s, const search__digest *digest,
                             results_earlier **out, size_t *count, ns_error *err) {
    const bool is_same_data = strcmp(s->study.dataset_sha256, run->info->sha256) == 0;
    size_t passed_over =
        digest->measured_count > POINTS_MAX ? digest->measured_count - POINTS_MAX : 0;
    if (digest->measured_count == 0) {
        return ns_fail(err, NS_ERR_USAGE, "it has measured nothing yet");
    }
    *out = calloc(digest->measured_count, sizeof **out);
    if (*out == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold %zu points", digest->measured_count);
    }
    for (size_t i = 0; i < digest->count; i++) {
        const search__point *point = &digest->point[i];
        if (!isnan(point->value) && passed_over > 0) {
            passed_over--;
        } else if (!isnan(point->value)) {
            NS_TRY(take_point(run, point, is_same_data, &(*out)[(*count)++], err));
        }
    }
    return NS_OK;
}

ns_status search__warm_read(const search__run *run, results_earlier **out, size_t *count,
                            ns_error *err) {
    ns_status status = NS_OK;
    source s = {.store = NULL};
    search__digest digest = {0};
    *out = NULL;
    *count = 0;
    if (run->config->warm_start == NULL) {
        return NS_OK;
    }
    NS_TRY_OUT(source_open(run, &s, err));
    const search_history history = {.trial = s.seen, .count = s.seen_count};
    NS_TRY_OUT(search__digest_make(&history, &digest, err));
    NS_TRY_OUT(take_points(run, &s, &digest, out, count, err));
    ns_log_write(run->config->log, NS_LOG_INFO, "begins with %zu points of study '%s'%s", *count,
                 s.name, s.seen_count < s.count ? "; others are not of this space" : "");
out:
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot start from study '%s'", run->config->warm_start);
        results_earlier_free(*out, *count);
        *out = NULL;
        *count = 0;
    }
    search__digest_clear(&digest);
    source_clear(&s);
    return status;
}

/* ---- what was taken over --------------------------------------------------------------------- */

static ns_status parse(const search__run *run, const results_earlier *point,
                       search_observation *out, ns_error *err) {
    ns_json *json = NULL;
    NS_TRY(ns_json_parse(point->genotype, &json, err));
    const ns_status status = search_genotype_from_json(&run->space, json, &out->genotype, err);
    ns_json_free(json);
    out->state = RESULTS_COMPLETE;
    out->val_accuracy = point->value;
    out->group = point->is_same_data ? SEARCH_GROUP_SAME_DATA : SEARCH_GROUP_OTHER_DATA;
    return status;
}

ns_status search__warm_load(const search__run *run, results_store *store, ns_error *err) {
    search__history *history = run->history;
    results_earlier *points = NULL;
    size_t count = 0;
    NS_TRY(results_earlier_get(store, run->study_id, &points, &count, err));
    history->earlier = calloc(count + 1, sizeof *history->earlier);
    ns_status status = history->earlier != NULL
                           ? NS_OK
                           : ns_fail(err, NS_ERR_MEMORY, "cannot hold %zu points", count);
    for (size_t i = 0; status == NS_OK && i < count; i++) {
        status = parse(run, &points[i], &history->earlier[history->earlier_count++], err);
    }
    results_earlier_free(points, count);
    return status;
}

ns_status search__warm_status(results_store *store, int64_t study_id, const ns_json *settings,
                              ns_json *to, ns_error *err) {
    const char *from = ns_json_string(settings, "warm_start", NULL);
    results_earlier *points = NULL;
    size_t count = 0;
    ns_json_set_null(to, "warm_start");
    if (from == NULL) {
        return NS_OK;
    }
    NS_TRY(results_earlier_get(store, study_id, &points, &count, err));
    ns_json *json = ns_json_set(to, "warm_start", ns_json_object_new());
    ns_json_set_string(json, "from", from);
    ns_json_set_int(json, "points", (int64_t)count);
    ns_json_set_bool(json, "same_data", count > 0 && points[0].is_same_data);
    results_earlier_free(points, count);
    return NS_OK;
}
