// Images of a pack that are nearly the same: the same photo in another size, compressed anew, with a
// mark on it.
//
//   1. Every image gets a look of 128 bits: over a grid of 9x9 means, whether each is darker than its
//      neighbour to the right (64 bits) and than the one below (64 bits). That is the difference hash
//      of Krawetz ("Kind of Like That", hackerfactor.com 2013) in both directions.
//   2. Candidates are pairs whose looks differ in at most 3 bits. They are found by multi-index hashing
//      (Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR
//      2012): of four parts of a look at least one is then equal, so only images that share a part
//      are compared. Each part takes every fourth bit, since neighbouring bits are alike, and flat
//      regions would put half of the images together.
//   3. A candidate counts when the images' pixels, as packed, differ by little on average, so that two
//      simple drawings on white are no pair by their background alone.
//
// With n images the work is n log n and what the parts have in common; groups of more than
// GROUP_MAX images that share a part are compared with their neighbours in it alone, and the search
// ends after CANDIDATES_MAX candidates or PAIRS_MAX pairs; `complete` says whether that cut something
// off. 25 bytes an image.

#include <stdlib.h>

#include "data/data_internal.h"

#define GRID           9 // means a side
#define BITS_DIFFER    3 // at most
#define PART_COUNT     (BITS_DIFFER + 1)
#define GROUP_MAX      1000
#define PAIRS_MAX      ((size_t)100000)
#define CANDIDATES_MAX ((size_t)2000000)
#define PIECE_BYTES    1024 // that are compared before asking whether to go on
#define DIFFERENCE_MAX 6.0f // of 255, mean over the pixels

typedef struct look {
    uint64_t bits[2]; // to the right, below
} look;

/// An image by one part of its look.
typedef struct part_entry {
    uint32_t part, image;
} part_entry;

typedef struct near_search {
    const data_set *set;
    const uint8_t *splits; // (image_count)
    look *looks;           // (image_count)
    part_entry *entries;   // (image_count)
    data_near_duplicates *found;
    size_t capacity;        // of found->pairs
    size_t candidate_count; // whose pixels were compared
} near_search;

/// Mean over all channels of the cell (row, column) of the grid.
static double cell_mean(const uint8_t *pixels, const data_info *info, int row, int column) {
    const int top = row * info->height / GRID;
    const int left = column * info->width / GRID;
    int bottom = (row + 1) * info->height / GRID;
    int right = (column + 1) * info->width / GRID;
    uint64_t sum = 0;
    bottom += bottom == top; // images of fewer pixels than cells
    right += right == left;
    for (int c = 0; c < info->channels; c++) {
        for (int y = top; y < bottom; y++) {
            const uint8_t *line =
                pixels + ((size_t)c * (size_t)info->height + (size_t)y) * (size_t)info->width;
            for (int x = left; x < right; x++) {
                sum += line[x];
            }
        }
    }
    return (double)sum / ((double)(bottom - top) * (right - left));
}

static look look_of(const uint8_t *pixels, const data_info *info) {
    double means[GRID][GRID];
    look out = {{0, 0}};
    for (int row = 0; row < GRID; row++) {
        for (int column = 0; column < GRID; column++) {
            means[row][column] = cell_mean(pixels, info, row, column);
        }
    }
    for (int row = 0; row < GRID - 1; row++) {
        for (int column = 0; column < GRID - 1; column++) {
            const double here = means[row][column];
            out.bits[0] = out.bits[0] << 1 | (here < means[row][column + 1]);
            out.bits[1] = out.bits[1] << 1 | (here < means[row + 1][column]);
        }
    }
    return out;
}

/// Every fourth bit of a look, from bit `part` on.
static uint32_t part_of(look of, int part) {
    uint32_t out = 0;
    for (int i = 0; i < 32; i++) {
        const int bit = PART_COUNT * i + part;
        out |= (uint32_t)(of.bits[bit / 64] >> (bit % 64) & 1) << i;
    }
    return out;
}

static int bits_between(look a, look b) {
    return __builtin_popcountll(a.bits[0] ^ b.bits[0]) +
           __builtin_popcountll(a.bits[1] ^ b.bits[1]);
}

/// Exact up to DIFFERENCE_MAX; beyond, it stops counting.
static float difference_between(const near_search *search, uint32_t a, uint32_t b) {
    const data_info *info = data_describe(search->set);
    const size_t size = (size_t)info->channels * (size_t)info->height * (size_t)info->width;
    const uint8_t *left = data_pixels(search->set, a);
    const uint8_t *right = data_pixels(search->set, b);
    const uint64_t enough = (uint64_t)((double)size * (double)DIFFERENCE_MAX) + 1;
    uint64_t sum = 0;
    for (size_t done = 0; done < size && sum <= enough; done += PIECE_BYTES) {
        const size_t end = size - done < PIECE_BYTES ? size : done + PIECE_BYTES;
        for (size_t i = done; i < end; i++) {
            sum += (uint64_t)abs(left[i] - right[i]);
        }
    }
    return (float)((double)sum / (double)size);
}

static ns_status add_pair(near_search *search, data_near_pair pair, ns_error *err) {
    data_near_duplicates *found = search->found;
    if (found->count == search->capacity) {
        const size_t capacity = search->capacity == 0 ? 256 : 2 * search->capacity;
        data_near_pair *grown = realloc(found->pairs, capacity * sizeof(*grown));
        if (grown == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "out of memory while looking for near-duplicates");
        }
        found->pairs = grown;
        search->capacity = capacity;
    }
    found->pairs[found->count++] = pair;
    found->across_count += pair.across;
    return NS_OK;
}

/// Whether an earlier part has brought these two together.
static bool met_before(look a, look b, int part) {
    for (int earlier = 0; earlier < part; earlier++) {
        if (part_of(a, earlier) == part_of(b, earlier)) {
            return true;
        }
    }
    return false;
}

/// Whether the search has cost enough.
static bool is_spent(const near_search *search) {
    return search->found->count == PAIRS_MAX || search->candidate_count == CANDIDATES_MAX;
}

static ns_status compare(near_search *search, int part, uint32_t one, uint32_t other,
                         ns_error *err) {
    const look *looks = search->looks;
    data_near_pair pair = {one < other ? one : other, one < other ? other : one, 0.0f, false};
    if (bits_between(looks[one], looks[other]) > BITS_DIFFER ||
        met_before(looks[one], looks[other], part)) {
        return NS_OK;
    }
    search->candidate_count++;
    pair.difference = difference_between(search, pair.a, pair.b);
    pair.across = search->splits[pair.a] != search->splits[pair.b];
    return pair.difference <= DIFFERENCE_MAX ? add_pair(search, pair, err) : NS_OK;
}

static int compare_entries(const void *a, const void *b) {
    const part_entry *left = a;
    const part_entry *right = b;
    return left->part != right->part ? (left->part > right->part) - (left->part < right->part)
                                     : (left->image > right->image) - (left->image < right->image);
}

static ns_status search_part(near_search *search, int part, ns_error *err) {
    const size_t count = data_describe(search->set)->image_count;
    part_entry *entries = search->entries;
    for (size_t i = 0; i < count; i++) {
        entries[i] = (part_entry){part_of(search->looks[i], part), (uint32_t)i};
    }
    qsort(entries, count, sizeof(*entries), compare_entries);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count && entries[j].part == entries[i].part; j++) {
            if (j - i > GROUP_MAX || is_spent(search)) {
                search->found->complete = false;
                break;
            }
            NS_TRY(compare(search, part, entries[i].image, entries[j].image, err));
        }
    }
    return NS_OK;
}

static int compare_pairs(const void *a, const void *b) {
    const data_near_pair *left = a;
    const data_near_pair *right = b;
    if (left->across != right->across) {
        return left->across ? -1 : 1;
    }
    if (left->difference < right->difference || left->difference > right->difference) {
        return left->difference < right->difference ? -1 : 1;
    }
    return left->a != right->a ? (left->a > right->a) - (left->a < right->a)
                               : (left->b > right->b) - (left->b < right->b);
}

static void look_at_all(near_search *search, int thread_count) {
    const data_info *info = data_describe(search->set);
    look *looks = search->looks;
#pragma omp parallel for schedule(static) num_threads(thread_count)
    for (size_t i = 0; i < info->image_count; i++) {
        looks[i] = look_of(data_pixels(search->set, i), info);
    }
}

/// The split of every image; malloced.
static uint8_t *splits_of(const data_set *set) {
    uint8_t *splits = malloc(data_describe(set)->image_count);
    for (int split = 0; split < DATA_SPLIT_COUNT && splits != NULL; split++) {
        size_t count = 0;
        const uint32_t *indices = data_indices(set, (data_split)split, &count);
        for (size_t i = 0; i < count; i++) {
            splits[indices[i]] = (uint8_t)split;
        }
    }
    return splits;
}

ns_status data_near_duplicates_find(const data_set *set, int thread_count,
                                    data_near_duplicates *out, ns_error *err) {
    const size_t count = data_describe(set)->image_count;
    uint8_t *splits = splits_of(set);
    near_search search = {.set = set, .splits = splits, .found = out};
    ns_status status = NS_OK;
    *out = (data_near_duplicates){.complete = true};
    search.looks = malloc(count * sizeof(*search.looks));
    search.entries = malloc(count * sizeof(*search.entries));
    if (splits == NULL || search.looks == NULL || search.entries == NULL) {
        status = ns_fail(err, NS_ERR_MEMORY, "out of memory while looking for near-duplicates");
        goto out;
    }
    look_at_all(&search, thread_count > 0 ? thread_count : ns_cpu_count());
    for (int part = 0; part < PART_COUNT; part++) {
        NS_TRY_OUT(search_part(&search, part, err));
    }
    if (out->count > 0) {
        qsort(out->pairs, out->count, sizeof(*out->pairs), compare_pairs);
    }
out:
    free(splits);
    free(search.looks);
    free(search.entries);
    if (status != NS_OK) {
        data_near_duplicates_free(out);
    }
    return status;
}

void data_near_duplicates_free(data_near_duplicates *found) {
    free(found->pairs);
    *found = (data_near_duplicates){0};
}
