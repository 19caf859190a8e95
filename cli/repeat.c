// A trial of an exported study, to be trained again: its genotype and all that its training depended
// on (search/export_study.c says what such a file holds).
//
// How long a trial was trained is a matter of its study's budget: FLOPs under a budget of compute;
// under one of time the images that it saw, which say as much on any machine, or the time itself
// where it did not come to its end. The file may be long, so the trial is looked for in its text.

#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

#define STUDY_BYTES_MAX ((size_t)1 << 30)

/// Whether the text is an exported study.
static bool is_study(ns_json_span text) {
    static const char format[] = "\"" SEARCH_EXPORT_FORMAT "\"";
    ns_json_span value;
    return ns_json_scan_member(text, "format", &value) && value.size_bytes == sizeof(format) - 1 &&
           memcmp(value.text, format, value.size_bytes) == 0;
}

/// The member `key` as a tree, NULL where it is missing.
static ns_status member(ns_json_span text, const char *key, ns_json **out, ns_error *err) {
    ns_json_span value;
    *out = NULL;
    return ns_json_scan_member(text, key, &value) ? ns_json_parse_span(value, out, err) : NS_OK;
}

static ns_status find_trial(ns_json_span text, int number, ns_json **out, ns_error *err) {
    ns_json_span trials = {0};
    ns_json_span element;
    size_t offset = 0;
    int count = 0;
    if (!ns_json_scan_member(text, "trials", &trials)) {
        return ns_fail(err, NS_ERR_INPUT, "it has no \"trials\"");
    }
    for (; ns_json_scan_element(trials, &offset, &element); count++) {
        ns_json *trial = NULL;
        NS_TRY(ns_json_parse_span(element, &trial, err));
        if (ns_json_int(trial, "number", -1) == number) {
            *out = trial;
            return NS_OK;
        }
        ns_json_free(trial);
    }
    return ns_fail(err, NS_ERR_NOT_FOUND, "it has no trial %d, but %d others", number, count);
}

static void take_length(const ns_json *trial, cli_repeat *out) {
    const int64_t fidelity = ns_json_int(trial, "fidelity", 0);
    const int64_t sample_count = ns_json_int(trial, "samples", 0);
    const bool complete = strcmp(ns_json_string(trial, "state", ""), "COMPLETE") == 0;
    if (strcmp(ns_json_string(trial, "fidelity_unit", ""), "training FLOPs") == 0) {
        out->train_flop = fidelity;
    } else if (complete && sample_count > 0) {
        out->sample_count = (uint64_t)sample_count;
    } else {
        out->train_ms = fidelity;
    }
}

static ns_status take_trial(const ns_json *trial, cli_repeat *out, ns_error *err) {
    char *text = NULL;
    take_length(trial, out);
    out->seed = (uint64_t)ns_json_int(trial, "seed", 0);
    if (ns_json_get(trial, "genotype") == NULL ||
        out->train_flop + out->train_ms + (int64_t)out->sample_count <= 0) {
        return ns_fail(err, NS_ERR_INPUT, "trial %d has no genotype, or no length", out->number);
    }
    NS_TRY(ns_json_print(ns_json_get(trial, "genotype"), false, &text, err));
    const ns_status status = ns_json_parse(text, &out->genotype, err);
    free(text);
    return status;
}

static ns_status take_study(ns_json_span text, cli_repeat *out, ns_error *err) {
    ns_json *setup = NULL;
    ns_json *dataset = NULL;
    NS_TRY(member(text, "trial_setup", &setup, err));
    ns_status status = member(text, "dataset", &dataset, err);
    if (status == NS_OK) {
        const char *sha256 = ns_json_string(dataset, "sha256", "");
        (void)snprintf(out->dataset_sha256, sizeof(out->dataset_sha256), "%s", sha256);
        out->thread_count = (int)ns_json_int(setup, "threads", 0);
        status = nn_dtype_parse(ns_json_string(setup, "dtype", "auto"), &out->dtype, err);
    }
    ns_json_free(setup);
    ns_json_free(dataset);
    return status;
}

static ns_status take(ns_json_span text, cli_repeat *out, ns_error *err) {
    ns_json *trial = NULL;
    if (!is_study(text)) {
        return ns_fail(err, NS_ERR_INPUT, "it is no study that export --format json wrote");
    }
    NS_TRY(take_study(text, out, err));
    NS_TRY(find_trial(text, out->number, &trial, err));
    const ns_status status = take_trial(trial, out, err);
    ns_json_free(trial);
    return status;
}

ns_status cli__repeat_read(const char *path, int number, cli_repeat *out, ns_error *err) {
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    *out = (cli_repeat){.number = number};
    NS_TRY(ns_file_read(path, STUDY_BYTES_MAX, &text, &size_bytes, err));
    const ns_status status = take((ns_json_span){(const char *)text, size_bytes}, out, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot repeat trial %d of %s", number, path);
        cli__repeat_clear(out);
    }
    free(text);
    return status;
}

void cli__repeat_clear(cli_repeat *repeat) {
    ns_json_free(repeat->genotype);
    repeat->genotype = NULL;
}
