// What a person should know of a data set before training on it costs anything. The bounds are rules
// of thumb: with fewer than ten images of a label neither training nor a score means much, and beyond
// a hundred to one a network does well by never naming the rare label.

#include <stdarg.h>

#include "data/data_internal.h"

#define LABEL_IMAGES_MIN 10
#define IMBALANCE_MAX    100
#define NAMED_MAX        10 // labels with few images that are named one by one

static void warn(ns_json *warnings, const char *format, ...) NS_PRINTF(2, 3);

static void warn(ns_json *warnings, const char *format, ...) {
    char text[NS_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ns_json_add_string(warnings, text);
}

static size_t images_of(const data_set *set, int label) {
    size_t count = 0;
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        count += data_label_count(set, (data_split)split, label);
    }
    return count;
}

static void warn_of_few(const data_set *set, ns_json *warnings) {
    const data_info *info = data_describe(set);
    int few_count = 0;
    for (int label = 0; label < info->label_count; label++) {
        const size_t count = images_of(set, label);
        if (count < LABEL_IMAGES_MIN && ++few_count <= NAMED_MAX) {
            warn(warnings,
                 "label '%s' has only %zu image%s: neither training nor a score means much",
                 info->labels[label], count, count == 1 ? "" : "s");
        }
    }
    if (few_count > NAMED_MAX) {
        warn(warnings, "%d more labels have fewer than %d images", few_count - NAMED_MAX,
             LABEL_IMAGES_MIN);
    }
}

static void warn_of_imbalance(const data_set *set, ns_json *warnings) {
    const data_info *info = data_describe(set);
    int most = 0;
    int least = 0;
    for (int label = 1; label < info->label_count; label++) {
        const size_t count = data_label_count(set, DATA_TRAIN, label);
        most = count > data_label_count(set, DATA_TRAIN, most) ? label : most;
        least = count < data_label_count(set, DATA_TRAIN, least) ? label : least;
    }
    const size_t high = data_label_count(set, DATA_TRAIN, most);
    const size_t low = data_label_count(set, DATA_TRAIN, least);
    if (high > IMBALANCE_MAX * low) {
        warn(warnings,
             "labels are out of balance: %zu training images of '%s', %zu of '%s'; accuracy alone "
             "says little",
             high, info->labels[most], low, info->labels[least]);
    }
}

/// Copies that import was told to keep, or keeps in published sets.
static void warn_of_copies(const data_set *set, ns_json *warnings) {
    ns_json *provenance = NULL;
    if (ns_json_parse(data_describe(set)->provenance, &provenance, NULL) != NS_OK) {
        return;
    }
    const ns_json *copies = ns_json_get(provenance, "duplicates");
    const long long across = ns_json_int(copies, "across_splits", 0);
    const long long conflicts = ns_json_int(copies, "conflicting_labels", 0);
    if (!ns_json_bool(copies, "dropped", true)) {
        if (across > 0) {
            warn(warnings, "%lld image%s a picture of another split: a score on them is too good",
                 across, across == 1 ? " repeats" : "s repeat");
        }
        if (conflicts > 0) {
            warn(warnings, "%lld image%s a picture that has another label, too", conflicts,
                 conflicts == 1 ? " repeats" : "s repeat");
        }
    }
    ns_json_free(provenance);
}

ns_json *data_warnings(const data_set *set) {
    ns_json *warnings = ns_json_array_new();
    warn_of_few(set, warnings);
    warn_of_imbalance(set, warnings);
    warn_of_copies(set, warnings);
    return warnings;
}
