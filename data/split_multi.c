// Sharing out images that have several labels, so that each split gets its part of every label.
//
// Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011, "On the stratification of
// multi-label data", algorithm 1). Each split wants a number of images in all and a number of each
// label. The label with the fewest images left is served first, because it is the hardest to divide
// later: each of its images goes to the split that wants most of that label, of equals to the one
// that wants most images, of those to one drawn at random; and what the split wants of all the
// image's labels falls by one. Images without labels come last and fill up what is wanted in all.
//
// What a split wants of a label is what it would get of it alone (data__split_share), so that rare
// labels too reach every split where that is possible. The result is a pure function of (seed, labels).

#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

#define NONE UINT32_MAX

typedef struct sharing {
    const data__split_request *request;
    uint8_t pool;
    size_t *list_starts;            // (image_count), into request->label_lists
    size_t *member_starts;          // (label_count + 1), into members
    uint32_t *members;              // the pool's images of label 0, of label 1, ...
    size_t *left;                   // (label_count), images not yet placed
    double *wanted;                 // (label_count, DATA_SPLIT_COUNT), may fall below 0
    double total[DATA_SPLIT_COUNT]; // wanted in all
    bool open[DATA_SPLIT_COUNT];    // whether it has a share
    uint8_t *placed;                // (image_count)
    ns_rng rng;
} sharing;

static ns_status allocate(sharing *s, ns_error *err) {
    const size_t image_count = s->request->image_count;
    const size_t label_count = (size_t)s->request->label_count;
    s->list_starts = calloc(image_count, sizeof(*s->list_starts));
    s->member_starts = calloc(label_count + 1, sizeof(*s->member_starts));
    s->left = calloc(label_count, sizeof(*s->left));
    s->wanted = calloc(label_count * DATA_SPLIT_COUNT, sizeof(*s->wanted));
    s->placed = calloc(image_count, sizeof(*s->placed));
    return s->list_starts != NULL && s->member_starts != NULL && s->left != NULL &&
                   s->wanted != NULL && s->placed != NULL
               ? NS_OK
               : ns_fail(err, NS_ERR_MEMORY, "out of memory while splitting");
}

static void release(sharing *s) {
    free(s->list_starts);
    free(s->member_starts);
    free(s->members);
    free(s->left);
    free(s->wanted);
    free(s->placed);
}

static bool in_pool(const sharing *s, size_t index) {
    return s->request->image_splits[index] == s->pool;
}

/// Counts the pool's images of each label; returns how many images it has.
static size_t count_pool(sharing *s) {
    size_t at = 0;
    size_t pool_count = 0;
    for (size_t i = 0; i < s->request->image_count; i++) {
        size_t count = 0;
        s->list_starts[i] = at;
        const uint16_t *labels = data__split_labels(s->request, i, &at, &count);
        pool_count += in_pool(s, i);
        for (size_t k = 0; k < count && in_pool(s, i); k++) {
            s->left[labels[k]]++;
        }
    }
    return pool_count;
}

static void set_wanted(sharing *s, size_t pool_count, const int percent[DATA_SPLIT_COUNT]) {
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        s->open[split] = percent[split] > 0;
        s->total[split] = (double)pool_count * percent[split] / 100;
    }
    for (int label = 0; label < s->request->label_count; label++) {
        size_t shares[DATA_SPLIT_COUNT];
        data__split_share(s->left[label], percent, shares);
        for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
            s->wanted[(size_t)label * DATA_SPLIT_COUNT + (size_t)split] = (double)shares[split];
        }
    }
}

/// The pool's images by label, those of a label in random order.
static ns_status list_members(sharing *s, ns_error *err) {
    const int label_count = s->request->label_count;
    for (int label = 0; label < label_count; label++) {
        s->member_starts[label + 1] = s->member_starts[label] + s->left[label];
    }
    const size_t member_count = s->member_starts[label_count];
    size_t *next = malloc((size_t)label_count * sizeof(*next));
    s->members = malloc((member_count + 1) * sizeof(*s->members));
    if (next == NULL || s->members == NULL) {
        free(next);
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while splitting");
    }
    memcpy(next, s->member_starts, (size_t)label_count * sizeof(*next));
    for (size_t i = 0; i < s->request->image_count; i++) {
        const uint16_t *labels = s->request->label_lists + s->list_starts[i];
        for (size_t k = 0; k < s->request->image_labels[i] && in_pool(s, i); k++) {
            s->members[next[labels[k]]++] = (uint32_t)i;
        }
    }
    free(next);
    for (int label = 0; label < label_count; label++) {
        ns_rng rng = ns_rng_stream(s->request->seed, (uint64_t)label, "split");
        ns_rng_shuffle(&rng, s->members + s->member_starts[label],
                       s->member_starts[label + 1] - s->member_starts[label]);
    }
    return NS_OK;
}

/// The label that has the fewest images left, but some; NONE when all are placed.
static uint32_t rarest_label(const sharing *s) {
    uint32_t rarest = NONE;
    for (uint32_t label = 0; label < (uint32_t)s->request->label_count; label++) {
        if (s->left[label] > 0 && (rarest == NONE || s->left[label] < s->left[rarest])) {
            rarest = label;
        }
    }
    return rarest;
}

/// Of the splits with a share the one that wants most; `of_label` is NULL for an image without one.
static int choose_split(sharing *s, const double *of_label) {
    int best = -1;
    uint64_t equals = 0;
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        if (!s->open[split]) {
            continue;
        }
        double more = best < 0 ? 1 : of_label != NULL ? of_label[split] - of_label[best] : 0;
        more = more == 0 ? s->total[split] - s->total[best] : more;
        equals = more > 0 ? 1 : more == 0 ? equals + 1 : equals;
        if (more > 0 || (more == 0 && ns_rng_below(&s->rng, (uint32_t)equals) == 0)) {
            best = split;
        }
    }
    return best;
}

static void place(sharing *s, uint32_t image, int split) {
    const uint16_t *labels = s->request->label_lists + s->list_starts[image];
    for (size_t k = 0; k < s->request->image_labels[image]; k++) {
        s->left[labels[k]]--;
        s->wanted[(size_t)labels[k] * DATA_SPLIT_COUNT + (size_t)split]--;
    }
    s->total[split]--;
    s->placed[image] = 1;
    s->request->image_splits[image] = (uint8_t)split;
}

/// Gives every label of the pool an image to train on: one may have lost all to labels rarer still.
static void mend_train(const sharing *s) {
    for (int label = 0; label < s->request->label_count; label++) {
        const size_t first = s->member_starts[label];
        const size_t end = s->member_starts[label + 1];
        bool trains = first == end;
        for (size_t k = first; k < end && !trains; k++) {
            trains = s->request->image_splits[s->members[k]] == DATA_TRAIN;
        }
        if (!trains) {
            s->request->image_splits[s->members[first]] = DATA_TRAIN;
        }
    }
}

static void place_all(sharing *s) {
    for (uint32_t label; (label = rarest_label(s)) != NONE;) {
        for (size_t k = s->member_starts[label]; k < s->member_starts[label + 1]; k++) {
            if (!s->placed[s->members[k]]) {
                place(s, s->members[k],
                      choose_split(s, &s->wanted[(size_t)label * DATA_SPLIT_COUNT]));
            }
        }
    }
    for (size_t i = 0; i < s->request->image_count; i++) {
        if (in_pool(s, i) && !s->placed[i]) {
            place(s, (uint32_t)i, choose_split(s, NULL));
        }
    }
}

ns_status data__split_share_multi(const data__split_request *request, uint8_t pool,
                                  const int percent[DATA_SPLIT_COUNT], ns_error *err) {
    sharing s = {
        .request = request, .pool = pool, .rng = ns_rng_stream(request->seed, UINT64_MAX, "split")};
    ns_status status = allocate(&s, err);
    if (status == NS_OK) {
        set_wanted(&s, count_pool(&s), percent);
        status = list_members(&s, err);
    }
    if (status == NS_OK) {
        place_all(&s);
        mend_train(&s);
    }
    release(&s);
    return status;
}
