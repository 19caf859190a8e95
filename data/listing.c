// What a source names: a list of image files, each with a label and maybe a split, in an order that
// does not depend on the file system.

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

#define TOLD_ITEMS 256 // between two questions whether to go on

static ns_status no_memory(ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "out of memory while listing images");
}

/// Makes room for one more element of `size` bytes in `*array`.
static ns_status grow(void **array, size_t count, size_t *capacity, size_t size, ns_error *err) {
    if (count < *capacity) {
        return NS_OK;
    }
    const size_t wanted = *capacity == 0 ? 64 : 2 * *capacity;
    void *grown = realloc(*array, wanted * size);
    if (grown == NULL) {
        return no_memory(err);
    }
    *array = grown;
    *capacity = wanted;
    return NS_OK;
}

/// Place of `name` in the sorted order; `*found` when it is there.
static int label_place(const data__listing *listing, const char *name, bool *found) {
    int low = 0;
    int high = listing->label_count;
    *found = false;
    while (low < high) {
        const int middle = (low + high) / 2;
        const int order = strcmp(listing->labels[listing->label_order[middle]], name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static ns_status grow_labels(data__listing *listing, ns_error *err) {
    if (listing->label_count < listing->label_capacity) {
        return NS_OK;
    }
    const int capacity = listing->label_capacity == 0 ? 16 : 2 * listing->label_capacity;
    char **labels = realloc(listing->labels, (size_t)capacity * sizeof(*labels));
    if (labels == NULL) {
        return no_memory(err);
    }
    listing->labels = labels;
    int *order = realloc(listing->label_order, (size_t)capacity * sizeof(*order));
    if (order == NULL) {
        return no_memory(err);
    }
    listing->label_order = order;
    listing->label_capacity = capacity;
    return NS_OK;
}

ns_status data__listing_label(data__listing *listing, const char *name, int *label, ns_error *err) {
    bool found;
    const int place = label_place(listing, name, &found);
    if (found) {
        *label = listing->label_order[place];
        return NS_OK;
    }
    if (listing->label_count == DATA_LABELS_MAX) {
        return ns_fail(err, NS_ERR_INPUT, "there are more than %d labels", DATA_LABELS_MAX);
    }
    if (!ns_utf8_valid(name)) { // a model's file could not hold it
        return ns_fail(err, NS_ERR_INPUT, "the label '%s' is not UTF-8", name);
    }
    NS_TRY(grow_labels(listing, err));
    char *copy = strdup(name);
    if (copy == NULL) {
        return no_memory(err);
    }
    *label = listing->label_count;
    listing->labels[listing->label_count] = copy;
    memmove(listing->label_order + place + 1, listing->label_order + place,
            (size_t)(listing->label_count - place) * sizeof(*listing->label_order));
    listing->label_order[place] = *label;
    listing->label_count++;
    return NS_OK;
}

/// Appends an item that owns `path`.
static ns_status append(data__listing *listing, char *path, data__item item, ns_error *err) {
    item.path = path;
    ns_status status = NS_OK;
    if (listing->options != NULL && (listing->item_count + 1) % TOLD_ITEMS == 0) {
        status =
            data__import_tell(listing->options, listing->source,
                              (data_progress){DATA_STEP_LIST, listing->item_count + 1, 0}, err);
    }
    status = status != NS_OK ? status
                             : grow((void **)&listing->items, listing->item_count,
                                    &listing->item_capacity, sizeof(*listing->items), err);
    if (status != NS_OK) {
        free(path);
        free(item.labels);
        free(item.reason);
        return status;
    }
    listing->items[listing->item_count++] = item;
    return NS_OK;
}

ns_status data__listing_add(data__listing *listing, const char *dir, const char *name, int label,
                            uint8_t split, ns_error *err) {
    char joined[NS_PATH_MAX];
    NS_TRY(ns_path_join(dir, name, joined, err));
    char *path = strdup(joined);
    if (path == NULL) {
        return no_memory(err);
    }
    const uint16_t name_at = (uint16_t)(strlen(path) - strlen(name)); // below NS_PATH_MAX
    return append(listing, path, (data__item){.name_at = name_at, .label = label, .split = split},
                  err);
}

static int compare_labels(const void *a, const void *b) {
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/// Sorts `labels` and drops repetitions; returns how many are left.
static size_t sort_labels(uint16_t *labels, size_t count) {
    size_t kept = 0;
    qsort(labels, count, sizeof(*labels), compare_labels);
    for (size_t k = 0; k < count; k++) {
        if (k == 0 || labels[k] != labels[k - 1]) {
            labels[kept++] = labels[k];
        }
    }
    return kept;
}

ns_status data__listing_add_labels(data__listing *listing, const char *dir, const char *name,
                                   const int *labels, size_t count, uint8_t split, ns_error *err) {
    uint16_t *copy = malloc((count + 1) * sizeof(*copy));
    if (copy == NULL) {
        return no_memory(err);
    }
    for (size_t k = 0; k < count; k++) {
        copy[k] = (uint16_t)labels[k];
    }
    const size_t kept = sort_labels(copy, count);
    const ns_status status =
        data__listing_add(listing, dir, name, kept > 0 ? copy[0] : 0, split, err);
    if (status != NS_OK) {
        free(copy);
        return status;
    }
    listing->items[listing->item_count - 1].labels = copy;
    listing->items[listing->item_count - 1].label_count = (uint16_t)kept;
    return NS_OK;
}

ns_status data__listing_crop(data__listing *listing, const data__box *box, ns_error *err) {
    data__box *copy = malloc(sizeof(*copy));
    if (copy == NULL) {
        return no_memory(err);
    }
    *copy = *box;
    listing->items[listing->item_count - 1].box = copy;
    return NS_OK;
}

ns_status data__listing_skip(data__listing *listing, const char *name, const char *reason,
                             ns_error *err) {
    char *path = strdup(name);
    data__item item = {0};
    if (path == NULL) {
        return no_memory(err);
    }
    const ns_status status = data__item_leave_out(&item, reason, false, err);
    if (status != NS_OK) {
        free(path);
        return status;
    }
    return append(listing, path, item, err);
}

ns_status data__item_leave_out(data__item *item, const char *reason, bool bad, ns_error *err) {
    free(item->reason);
    item->reason = strdup(reason);
    item->bad = bad;
    return item->reason != NULL ? NS_OK : no_memory(err);
}

const char *data__item_name(const data__item *item) {
    return item->path + item->name_at;
}

/// Gives the item's labels their places in the sorted order.
static void rank_item(data__item *item, const int *rank) {
    item->label = rank[item->label];
    for (size_t k = 0; k < item->label_count; k++) {
        item->labels[k] = (uint16_t)rank[item->labels[k]];
    }
    if (item->label_count > 0) {
        item->label_count = (uint16_t)sort_labels(item->labels, item->label_count);
        item->label = item->labels[0];
    }
}

ns_status data__listing_finish(data__listing *listing, ns_error *err) {
    const size_t count = (size_t)listing->label_count;
    int *rank = calloc(count + 1, sizeof(*rank));
    char **sorted = calloc(count + 1, sizeof(*sorted));
    if (rank == NULL || sorted == NULL) {
        free(rank);
        free(sorted);
        return no_memory(err);
    }
    for (int place = 0; place < listing->label_count; place++) {
        rank[listing->label_order[place]] = place;
        sorted[place] = listing->labels[listing->label_order[place]];
    }
    for (size_t i = 0; i < listing->item_count; i++) {
        rank_item(&listing->items[i], rank);
    }
    for (int place = 0; place < listing->label_count; place++) {
        listing->label_order[place] = place;
    }
    free(rank);
    free(listing->labels);
    listing->labels = sorted;
    listing->label_capacity = listing->label_count;
    return NS_OK;
}

void data__listing_free(data__listing *listing) {
    for (size_t i = 0; i < listing->item_count; i++) {
        free(listing->items[i].path);
        free(listing->items[i].labels);
        free(listing->items[i].reason);
        free(listing->items[i].box);
    }
    for (int i = 0; i < listing->label_count; i++) {
        free(listing->labels[i]);
    }
    if (listing->reader_free != NULL) {
        listing->reader_free(listing->reader);
    }
    free(listing->items);
    free(listing->labels);
    free(listing->label_order);
    *listing = (data__listing){0};
}

bool data__is_litter(const char *name) {
    return name[0] == '.' || strcmp(name, "Thumbs.db") == 0 || strcmp(name, "desktop.ini") == 0 ||
           strcmp(name, "__MACOSX") == 0;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

ns_status data__names_add(char ***names, size_t *count, size_t *capacity, const char *name,
                          ns_error *err) {
    NS_TRY(grow((void **)names, *count, capacity, sizeof(**names), err));
    (*names)[*count] = strdup(name);
    if ((*names)[*count] == NULL) {
        return no_memory(err);
    }
    (*count)++;
    return NS_OK;
}

ns_status data__dir_names(const char *path, char ***names, size_t *count, ns_error *err) {
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return ns_fail(err, errno == ENOENT ? NS_ERR_NOT_FOUND : NS_ERR_IO,
                       "cannot read folder %s: %s", path, strerror(errno));
    }
    char **found = NULL;
    size_t found_count = 0;
    size_t capacity = 0;
    ns_status status = NS_OK;
    errno = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL; errno = 0) {
        if (data__is_litter(entry->d_name)) {
            continue;
        }
        NS_TRY_OUT(data__names_add(&found, &found_count, &capacity, entry->d_name, err));
    }
    if (errno != 0) {
        status = ns_fail(err, NS_ERR_IO, "cannot read folder %s: %s", path, strerror(errno));
        goto out;
    }
    if (found_count > 0) {
        qsort(found, found_count, sizeof(*found), compare_names);
    }
    *names = found;
    *count = found_count;
    found = NULL;
out:
    data__names_free(found, found == NULL ? 0 : found_count);
    closedir(dir);
    return status;
}

void data__names_free(char **names, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
    }
    free(names);
}
