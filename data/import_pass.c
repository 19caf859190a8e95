// A pass over the items of a listing by several threads: who reads which image next.
//
// Images are claimed one by one and read side by side, each with all items that are of it. A source
// that can only be read in order (an archive) is read by one thread at a time, under the pass's lock,
// while the others decode what they have: memory holds no more than one image a thread. Where only
// headers are wanted, such a source reads as much of an image as its header takes.

#include <omp.h>
#include <string.h>

#include "data/data_internal.h"

ns_status data__listing_read(const data__listing *listing, size_t index, size_t bytes_max,
                             data__content *out, ns_error *err) {
    *out = (data__content){0};
    return listing->read != NULL
               ? listing->read(listing, index, bytes_max, out, err)
               : data__content_read(listing->items[index].path, bytes_max, out, err);
}

void data__pass_begin(data__pass *pass, data__import *run, size_t first, size_t end) {
    *pass = (data__pass){.run = run, .next = first, .end = end};
    omp_init_lock(&pass->lock);
}

ns_status data__pass_end(data__pass *pass, ns_error *err) {
    omp_destroy_lock(&pass->lock);
    return pass->failed == NS_OK ? NS_OK : ns_fail(err, pass->failed, "%s", pass->sentence.text);
}

/// With the lock held.
static void end_import(data__pass *pass, ns_status status, const char *sentence) {
    if (pass->failed == NS_OK) {
        pass->failed = status;
        if (status == NS_ERR_MEMORY) {
            (void)ns_fail(&pass->sentence, status, "out of memory while importing %s",
                          pass->run->source);
        } else {
            (void)ns_fail(&pass->sentence, status, "%s", sentence);
        }
    }
}

void data__pass_fail(data__pass *pass, ns_status status, const char *sentence) {
    omp_set_lock(&pass->lock);
    end_import(pass, status, sentence);
    omp_unset_lock(&pass->lock);
}

/// With the lock held.
static void leave_item_out(data__pass *pass, size_t index, ns_status status, const char *reason,
                           bool bad) {
    data__item *item = &pass->run->listing.items[index];
    if (status == NS_ERR_MEMORY || status == NS_ERR_LIMIT || status == NS_ERR_CORRUPT ||
        status == NS_ERR_STOPPED) {
        end_import(pass, status, reason);
    } else if (data__item_leave_out(item, reason, bad, NULL) != NS_OK) {
        end_import(pass, NS_ERR_MEMORY, "");
    } else if (bad) {
        pass->run->bad_count++;
    }
}

void data__pass_leave_out(data__pass *pass, const data__claim *claim, ns_status status,
                          const char *reason, bool bad) {
    omp_set_lock(&pass->lock);
    for (size_t i = 0; i < claim->count; i++) {
        leave_item_out(pass, claim->index + i, status, reason, bad);
    }
    omp_unset_lock(&pass->lock);
}

static bool of_one_image(const data__item *first, const data__item *next) {
    return next->reason == NULL && strcmp(first->path, next->path) == 0;
}

/// With the lock held: the next items that are not left out, or those without a header.
static bool claim_next(data__pass *pass, bool for_header, data__claim *claim) {
    const data__item *items = pass->run->listing.items;
    while (pass->next < pass->end &&
           (items[pass->next].reason != NULL ||
            (for_header && items[pass->next].header.kind != DATA__KIND_OTHER))) {
        pass->next++;
    }
    *claim = (data__claim){.index = pass->next};
    while (pass->next < pass->end && of_one_image(&items[claim->index], &items[pass->next])) {
        pass->next++;
        claim->count++;
    }
    return pass->failed == NS_OK && claim->count > 0;
}

bool data__pass_next(data__pass *pass, size_t bytes_max, data__claim *claim,
                     data__content *content) {
    const data__listing *listing = &pass->run->listing;
    for (;;) {
        ns_error reason;
        ns_status status = NS_OK;
        omp_set_lock(&pass->lock);
        const bool claimed = claim_next(pass, bytes_max != SIZE_MAX, claim);
        if (claimed && listing->in_order) {
            status = data__listing_read(listing, claim->index, bytes_max, content, &reason);
        }
        omp_unset_lock(&pass->lock);
        if (!claimed) {
            return false;
        }
        if (!listing->in_order) {
            status = data__listing_read(listing, claim->index, bytes_max, content, &reason);
        }
        if (status == NS_OK) {
            return true;
        }
        data__pass_leave_out(pass, claim, status, reason.text, true);
    }
}
