// Recognises a picture that was seen before: a print of its pixels, and a set of pictures by print.
//
// The print is taken of the decoded pixels at full size, so that neither the file's name, format nor
// compression matters, while a smaller or larger version of a picture is another picture. It is the
// beginning of a SHA-256, 128 bits: among a million images two different ones share it by accident
// with a probability of 10^-27, so equal prints are believed without a second look.
//
// The set is a hash table with linear probing; the prints are their own hashes. It takes 56 to 72
// bytes a picture.

#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

#define SLOTS_MIN   ((size_t)1024)
#define PIECE_BYTES 4096

/// Whether all pixels of an RGB image are grey.
static bool looks_grey(const data_image *image) {
    const size_t size_bytes = 3 * (size_t)image->width * (size_t)image->height;
    const uint8_t *at = image->pixels;
    for (const uint8_t *end = at + size_bytes; at < end; at += 3) {
        if (at[0] != at[1] || at[0] != at[2]) {
            return false;
        }
    }
    return true;
}

/// Every third byte of `pixels`: grey pixels that are stored as RGB.
static void hash_as_grey(ns_sha256 *hash, const uint8_t *pixels, size_t pixel_count) {
    uint8_t piece[PIECE_BYTES];
    for (size_t done = 0; done < pixel_count;) {
        const size_t left = pixel_count - done;
        const size_t now = left < sizeof(piece) ? left : sizeof(piece);
        for (size_t i = 0; i < now; i++) {
            piece[i] = pixels[3 * (done + i)];
        }
        ns_sha256_update(hash, piece, now);
        done += now;
    }
}

ns_status data__print_of(const data_image *image, data__print *out, ns_error *err) {
    const size_t pixel_count = (size_t)image->width * (size_t)image->height;
    const bool drop_colour = image->channels == 3 && looks_grey(image);
    const int sizes[] = {image->width, image->height, drop_colour ? 1 : image->channels};
    ns_sha256 *hash = NULL;
    NS_TRY(ns_sha256_new(&hash, err));
    ns_sha256_update(hash, sizes, sizeof(sizes));
    if (drop_colour) {
        hash_as_grey(hash, image->pixels, pixel_count);
    } else {
        ns_sha256_update(hash, image->pixels, pixel_count * (size_t)image->channels);
    }
    ns_sha256_finish_128(hash, out->exact);
    return NS_OK;
}

/* ---- the set --------------------------------------------------------------------------------- */

static ns_status no_memory(ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "out of memory while looking for duplicates");
}

void data__pictures_free(data__pictures *set) {
    free(set->pictures);
    free(set->slots);
    *set = (data__pictures){0};
}

/// The slot of the picture with this print, or the empty one where it belongs.
static uint32_t *find_slot(const data__pictures *set, const data__print *print) {
    const size_t mask = set->slot_count - 1;
    size_t at = (size_t)print->exact[0] & mask;
    while (set->slots[at] != 0 && memcmp(set->pictures[set->slots[at] - 1].print.exact,
                                         print->exact, sizeof(print->exact)) != 0) {
        at = (at + 1) & mask;
    }
    return &set->slots[at];
}

/// Twice as many slots.
static ns_status grow_slots(data__pictures *set, ns_error *err) {
    const size_t slot_count = set->slot_count == 0 ? SLOTS_MIN : 2 * set->slot_count;
    uint32_t *slots = calloc(slot_count, sizeof(*slots));
    if (slots == NULL) {
        return no_memory(err);
    }
    free(set->slots);
    set->slots = slots;
    set->slot_count = slot_count;
    for (size_t i = 0; i < set->count; i++) {
        *find_slot(set, &set->pictures[i].print) = (uint32_t)i + 1;
    }
    return NS_OK;
}

static ns_status make_room(data__pictures *set, ns_error *err) {
    if (2 * (set->count + 1) > set->slot_count) {
        NS_TRY(grow_slots(set, err));
    }
    if (set->count == set->capacity) {
        const size_t capacity = set->capacity == 0 ? SLOTS_MIN : set->capacity + set->capacity / 2;
        data__picture *grown = realloc(set->pictures, capacity * sizeof(*grown));
        if (grown == NULL) {
            return no_memory(err);
        }
        set->pictures = grown;
        set->capacity = capacity;
    }
    return NS_OK;
}

ns_status data__pictures_take(data__pictures *set, const data__picture *seen, data__picture **out,
                              bool *is_new, ns_error *err) {
    NS_TRY(make_room(set, err));
    uint32_t *slot = find_slot(set, &seen->print);
    *is_new = *slot == 0;
    if (*is_new) {
        set->pictures[set->count++] = *seen;
        *slot = (uint32_t)set->count;
    }
    *out = &set->pictures[*slot - 1];
    return NS_OK;
}
