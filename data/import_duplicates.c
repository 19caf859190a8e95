// What an import does with copies of one picture. Every copy but one is dropped, with the name of
// the one that stays:
//
//   - of copies with one label the first stays, but a copy in the test split before one in
//     validation, and both before one in train: a test on images that were trained on is none;
//   - copies with different labels are a conflict. Nobody knows which label is right, so all go;
//     or the first label is believed; or the import fails (data_conflicts).
//
// Images are judged in the listing's order when they are written. Where a later copy decides that an
// earlier one must go, that one is in the pack already: it is taken out at the end.

#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

void data__hygiene_free(data__hygiene *hygiene) {
    data__pictures_free(&hygiene->pictures);
    free(hygiene->removed);
    *hygiene = (data__hygiene){0};
}

/// Marks that `picture` was seen again.
static void mark_repeated(data__hygiene *hygiene, data__picture *picture) {
    hygiene->repeated_count += !picture->repeated;
    picture->repeated = true;
}

/// Books that `copy`, which stays, shows `picture` again.
static void count_copy(data__hygiene *hygiene, data__picture *picture, const data__picture *copy) {
    mark_repeated(hygiene, picture);
    hygiene->across_count += picture->split != copy->split;
    hygiene->duplicate_count += picture->labels == copy->labels;
    hygiene->conflict_count += picture->labels != copy->labels;
}

ns_status data__hygiene_count(data__hygiene *hygiene, const data__picture *seen, ns_error *err) {
    data__picture *picture = NULL;
    bool is_new = false;
    NS_TRY(data__pictures_take(&hygiene->pictures, seen, &picture, &is_new, err));
    if (!is_new) {
        count_copy(hygiene, picture, seen);
    }
    return NS_OK;
}

void data__hygiene_report(const data__hygiene *hygiene, ns_json *json) {
    ns_json *report = ns_json_set(json, "duplicates", ns_json_object_new());
    ns_json_set_bool(report, "dropped", !hygiene->only_counts);
    ns_json_set_int(report, "repeated_pictures", (int64_t)hygiene->repeated_count);
    ns_json_set_int(report, "same_label", (int64_t)hygiene->duplicate_count);
    ns_json_set_int(report, "conflicting_labels", (int64_t)hygiene->conflict_count);
    ns_json_set_int(report, "across_splits", (int64_t)hygiene->across_count);
}

/// How much a split's copy of a picture counts; what has no split yet can still go anywhere.
static int rank(uint8_t split) {
    return split == DATA_TEST ? 2 : split == DATA_VALIDATION ? 1 : 0;
}

/// The image at `packed` must go after all.
static ns_status remove_later(data__hygiene *hygiene, uint32_t packed, ns_error *err) {
    if (hygiene->removed_count == hygiene->removed_capacity) {
        const size_t capacity = 2 * hygiene->removed_capacity + 16;
        uint32_t *grown = realloc(hygiene->removed, capacity * sizeof(*grown));
        if (grown == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "out of memory while looking for duplicates");
        }
        hygiene->removed = grown;
        hygiene->removed_capacity = capacity;
    }
    hygiene->removed[hygiene->removed_count++] = packed;
    return NS_OK;
}

/// A number that is equal for equal labels: the label, or a hash (FNV-1a, 64 bits) of several.
static uint64_t labels_key(const data__item *item) {
    uint64_t key = 0xcbf29ce484222325u;
    if (item->labels == NULL) {
        return (uint64_t)item->label;
    }
    for (size_t i = 0; i < item->label_count; i++) {
        key = (key ^ item->labels[i]) * 0x100000001b3u;
    }
    return key;
}

/// "the label 'cat'" or, where they are a list, "other labels".
static void name_labels(const data__listing *listing, const data__item *item, char *out,
                        size_t size_bytes) {
    if (listing->multi_label) {
        (void)snprintf(out, size_bytes, "other labels");
    } else {
        (void)snprintf(out, size_bytes, "the label '%s'", listing->labels[item->label]);
    }
}

/// Leaves item `index` out as a copy of item `of`.
static ns_status drop_copy(data__import *run, size_t index, size_t of, ns_error *err) {
    const data__listing *listing = &run->listing;
    data__item *item = &listing->items[index];
    const data__item *other = &listing->items[of];
    char reason[NS_ERROR_TEXT_MAX];
    char label[NS_ERROR_TEXT_MAX / 2];
    if (labels_key(item) != labels_key(other)) {
        name_labels(listing, other, label, sizeof(label));
        (void)snprintf(reason, sizeof(reason), "the same picture as %s, which has %s",
                       data__item_name(other), label);
    } else if (item->split != other->split && other->split != DATA__UNASSIGNED) {
        (void)snprintf(reason, sizeof(reason), "a duplicate of %s in the %s split",
                       data__item_name(other), data_split_name((data_split)other->split));
    } else {
        (void)snprintf(reason, sizeof(reason), "a duplicate of %s", data__item_name(other));
    }
    return data__item_leave_out(item, reason, false, err);
}

static ns_status refuse_conflict(const data__import *run, size_t index, size_t of, ns_error *err) {
    const data__listing *listing = &run->listing;
    const data__item *item = &listing->items[index];
    const data__item *other = &listing->items[of];
    char label[2][NS_ERROR_TEXT_MAX / 4];
    name_labels(listing, other, label[0], sizeof(label[0]));
    name_labels(listing, item, label[1], sizeof(label[1]));
    return ns_fail(err, NS_ERR_INPUT,
                   "cannot import %s: %s with %s and %s with %s are the same picture", run->source,
                   data__item_name(other), label[0], data__item_name(item), label[1]);
}

/// Two labels for one picture.
static ns_status judge_conflict(data__import *run, data__picture *picture,
                                const data__picture *copy, ns_error *err) {
    switch (run->options->conflicts) {
    case DATA_CONFLICTS_ERROR:
        return refuse_conflict(run, copy->item, picture->item, err);
    case DATA_CONFLICTS_FIRST:
        run->hygiene.conflict_count++;
        return drop_copy(run, copy->item, picture->item, err);
    default:
        break;
    }
    run->hygiene.conflict_count += 2;
    NS_TRY(remove_later(&run->hygiene, picture->packed, err));
    NS_TRY(drop_copy(run, picture->item, copy->item, err));
    NS_TRY(drop_copy(run, copy->item, picture->item, err));
    picture->packed = DATA__PICTURE_GONE;
    return NS_OK;
}

/// One label: the copy whose split counts more stays.
static ns_status judge_copy(data__import *run, data__picture *picture, const data__picture *copy,
                            bool *admitted, ns_error *err) {
    run->hygiene.duplicate_count++;
    run->hygiene.across_count += picture->split != copy->split;
    if (rank(copy->split) <= rank(picture->split)) {
        return drop_copy(run, copy->item, picture->item, err);
    }
    NS_TRY(remove_later(&run->hygiene, picture->packed, err));
    NS_TRY(drop_copy(run, picture->item, copy->item, err));
    *picture = *copy;
    picture->repeated = true;
    *admitted = true;
    return NS_OK;
}

ns_status data__import_admit(data__import *run, size_t index, const data__print *print,
                             bool *admitted, ns_error *err) {
    const data__item *item = &run->listing.items[index];
    const data__picture copy = {
        .print = *print,
        .item = index,
        .packed = (uint32_t)data__pack_count(run->writer),
        .labels = labels_key(item),
        .split = item->split,
    };
    data__picture *picture = NULL;
    bool is_new = false;
    *admitted = run->hygiene.only_counts;
    if (run->hygiene.only_counts) {
        return data__hygiene_count(&run->hygiene, &copy, err);
    }
    NS_TRY(data__pictures_take(&run->hygiene.pictures, &copy, &picture, &is_new, err));
    if (is_new) {
        *admitted = true;
        return NS_OK;
    }
    mark_repeated(&run->hygiene, picture);
    if (picture->packed == DATA__PICTURE_GONE) {
        run->hygiene.conflict_count++;
        return drop_copy(run, index, picture->item, err);
    }
    return picture->labels != copy.labels ? judge_conflict(run, picture, &copy, err)
                                          : judge_copy(run, picture, &copy, admitted, err);
}

static int compare_places(const void *a, const void *b) {
    const uint32_t left = *(const uint32_t *)a;
    const uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

ns_status data__import_settle(data__import *run, ns_error *err) {
    data__hygiene *hygiene = &run->hygiene;
    if (hygiene->removed_count > 0) {
        qsort(hygiene->removed, hygiene->removed_count, sizeof(*hygiene->removed), compare_places);
        NS_TRY(data__pack_remove(run->writer, hygiene->removed, hygiene->removed_count, err));
    }
    for (size_t i = 0; i < run->listing.item_count; i++) {
        const data__item *item = &run->listing.items[i];
        if (item->reason != NULL) {
            NS_TRY(data__pack_drop(run->writer, data__item_name(item), item->reason, err));
        }
    }
    return NS_OK;
}
