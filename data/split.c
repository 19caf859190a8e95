// Which image trains, validates and tests.
//
// A source may name splits, for all images or for some. The rules, in this order:
//
//   1. A split that the source has is kept as it is, and its percentage goes to train.
//   2. Images without a split ("unassigned") are shared out over train and the splits that the
//      source lacks.
//   3. When all images have a split but validation or test is lacking, train is shared out so.
//
// So with the default 80,10,10 a source with train and test only (Fashion-MNIST: 60,000 + 10,000)
// keeps its test, and a tenth of the rest becomes validation (54,000 + 6,000).
//
// Sharing is stratified: every label has its own shuffle, a pure function of (seed, label), and its
// own rounding; each split with a share gets at least one image of a label as long as train keeps
// one. Images of several labels are shared out by split_multi.c.

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/data_internal.h"

const char *data_split_name(data_split split) {
    static const char *const names[DATA_SPLIT_COUNT] = {"train", "validation", "test"};
    return split < DATA_SPLIT_COUNT ? names[split] : "unassigned";
}

ns_status data_split_parse(const char *text, data_split *out, ns_error *err) {
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        if (strcasecmp(text, data_split_name((data_split)split)) == 0) {
            *out = (data_split)split;
            return NS_OK;
        }
    }
    if (strcasecmp(text, "val") == 0 || strcasecmp(text, "valid") == 0) {
        *out = DATA_VALIDATION;
        return NS_OK;
    }
    return ns_fail(err, NS_ERR_USAGE, "unknown split '%s' (train, validation or test)", text);
}

/// What part of the pool each split gets, in percent, and which images are the pool.
typedef struct plan {
    uint8_t pool; // split of the images to share out
    int percent[DATA_SPLIT_COUNT];
} plan;

static bool make_plan(const data__split_request *request, plan *out) {
    size_t counts[DATA_SPLIT_COUNT + 1] = {0};
    for (size_t i = 0; i < request->image_count; i++) {
        counts[request->image_splits[i]]++;
    }
    memcpy(out->percent, request->percent, sizeof(out->percent));
    bool lacking = false;
    for (int split = DATA_VALIDATION; split < DATA_SPLIT_COUNT; split++) {
        if (counts[split] > 0) {
            out->percent[DATA_TRAIN] += out->percent[split];
            out->percent[split] = 0;
        }
        lacking = lacking || out->percent[split] > 0;
    }
    out->pool = counts[DATA__UNASSIGNED] > 0 ? DATA__UNASSIGNED : DATA_TRAIN;
    return lacking || out->pool == DATA__UNASSIGNED;
}

void data__split_share(size_t count, const int percent[DATA_SPLIT_COUNT],
                       size_t shares[DATA_SPLIT_COUNT]) {
    size_t left = count;
    for (int split = DATA_VALIDATION; split < DATA_SPLIT_COUNT; split++) {
        size_t wanted = (count * (size_t)percent[split] + 50) / 100;
        if (wanted == 0 && percent[split] > 0) {
            wanted = 1;
        }
        const size_t spare = left > 0 ? left - 1 : 0; // train keeps one
        shares[split] = wanted < spare ? wanted : spare;
        left -= shares[split];
    }
    shares[DATA_TRAIN] = left;
}

/// The pool's images grouped by label: those of label l are
/// members[starts[l]] ... members[starts[l + 1] - 1], ascending.
static void group_by_label(const data__split_request *request, uint8_t pool, size_t *starts,
                           uint32_t *members) {
    memset(starts, 0, ((size_t)request->label_count + 1) * sizeof(*starts));
    for (size_t i = 0; i < request->image_count; i++) {
        if (request->image_splits[i] == pool) {
            starts[request->image_labels[i] + 1]++;
        }
    }
    for (int label = 0; label < request->label_count; label++) {
        starts[label + 1] += starts[label];
    }
    for (size_t i = 0; i < request->image_count; i++) {
        if (request->image_splits[i] == pool) {
            members[starts[request->image_labels[i]]++] = (uint32_t)i;
        }
    }
    // Each start has moved to its group's end, which is the next group's start.
    memmove(starts + 1, starts, (size_t)request->label_count * sizeof(*starts));
    starts[0] = 0;
}

static void deal_out(const data__split_request *request, const plan *made, int label,
                     uint32_t *members, size_t count) {
    size_t shares[DATA_SPLIT_COUNT];
    data__split_share(count, made->percent, shares);
    ns_rng rng = ns_rng_stream(request->seed, (uint64_t)label, "split");
    ns_rng_shuffle(&rng, members, count);
    size_t at = 0;
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        for (size_t i = 0; i < shares[split]; i++) {
            request->image_splits[members[at++]] = (uint8_t)split;
        }
    }
}

const uint16_t *data__split_labels(const data__split_request *request, size_t index, size_t *at,
                                   size_t *count) {
    if (request->label_lists == NULL) {
        *count = 1;
        return &request->image_labels[index];
    }
    const uint16_t *labels = request->label_lists + *at;
    *count = request->image_labels[index];
    *at += *count;
    return labels;
}

static ns_status check_labels(const data__split_request *request, ns_error *err) {
    size_t *counts = calloc((size_t)request->label_count, sizeof(*counts));
    if (counts == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while splitting");
    }
    size_t at = 0;
    for (size_t i = 0; i < request->image_count; i++) {
        size_t count = 0;
        const uint16_t *labels = data__split_labels(request, i, &at, &count);
        for (size_t k = 0; k < count; k++) {
            counts[labels[k]]++;
        }
    }
    ns_status status = NS_OK;
    for (int label = 0; label < request->label_count && status == NS_OK; label++) {
        if (counts[label] < 2) {
            status = ns_fail(err, NS_ERR_INPUT,
                             "label '%s' has %zu usable image%s; each label needs at least 2",
                             request->labels[label], counts[label], counts[label] == 1 ? "" : "s");
        }
    }
    free(counts);
    return status;
}

static ns_status check_train(const data__split_request *request, ns_error *err) {
    bool *trains = calloc((size_t)request->label_count, sizeof(*trains));
    if (trains == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while splitting");
    }
    size_t at = 0;
    for (size_t i = 0; i < request->image_count; i++) {
        size_t count = 0;
        const uint16_t *labels = data__split_labels(request, i, &at, &count);
        for (size_t k = 0; k < count; k++) {
            trains[labels[k]] |= request->image_splits[i] == DATA_TRAIN;
        }
    }
    ns_status status = NS_OK;
    for (int label = 0; label < request->label_count && status == NS_OK; label++) {
        if (!trains[label]) {
            status = ns_fail(err, NS_ERR_INPUT, "label '%s' has no image to train on",
                             request->labels[label]);
        }
    }
    free(trains);
    return status;
}

/// Shares the pool out label by label.
static ns_status share_by_label(const data__split_request *request, const plan *made,
                                ns_error *err) {
    size_t *starts = malloc(((size_t)request->label_count + 1) * sizeof(*starts));
    uint32_t *members = malloc(request->image_count * sizeof(*members));
    if (starts == NULL || members == NULL) {
        free(starts);
        free(members);
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while splitting");
    }
    group_by_label(request, made->pool, starts, members);
    for (int label = 0; label < request->label_count; label++) {
        deal_out(request, made, label, members + starts[label], starts[label + 1] - starts[label]);
    }
    free(starts);
    free(members);
    return NS_OK;
}

ns_status data__split_assign(const data__split_request *request, ns_error *err) {
    if (request->label_count < 2) {
        return ns_fail(err, NS_ERR_INPUT, "there is only one label ('%s'); at least 2 are needed",
                       request->labels[0]);
    }
    NS_TRY(check_labels(request, err));
    plan made;
    if (make_plan(request, &made)) {
        NS_TRY(request->label_lists != NULL
                   ? data__split_share_multi(request, made.pool, made.percent, err)
                   : share_by_label(request, &made, err));
    }
    return check_train(request, err);
}
