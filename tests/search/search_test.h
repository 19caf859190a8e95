// Spaces for the tests of search/: images of every awkward size, without a data set behind them.

#ifndef NS_TESTS_SEARCH_SEARCH_TEST_H
#define NS_TESTS_SEARCH_SEARCH_TEST_H

#include <string.h>

#include "tests/ns_test.h"

#include "search/search.h"

typedef struct image_case {
    int channels, height, width;
    size_t train_count;
} image_case;

static const image_case IMAGE_CASES[] = {
    {1, 28, 28, 48000}, {3, 32, 32, 40000},   {3, 64, 64, 3251},  {3, 224, 224, 3251},
    {1, 1, 1, 2},       {3, 4, 4, 100},       {1, 2, 3, 40},      {3, 7, 5, 200},
    {3, 40, 41, 1000},  {3, 80, 80, 1000},    {3, 81, 80, 1000},  {1, 1, 4096, 70},
    {1, 4096, 1, 70},   {3, 4096, 4096, 100}, {3, 200, 10, 5000}, {1, 9, 9, 1},
};

/// The default space of images like `image`.
static inline search_space test_space(image_case image, int label_count) {
    const data_info info = {
        .channels = image.channels,
        .height = image.height,
        .width = image.width,
        .label_count = label_count,
        .split_count = {image.train_count, 0, 0},
    };
    search_space space;
    search_space_default(&info, &space);
    return space;
}

/// Prints `json`, and frees it; free the text.
static inline char *test_json_text(ns_json *json) {
    char *text = NULL;
    ns_error err = {0};
    assert_ok(ns_json_print(json, false, &text, &err), &err);
    ns_json_free(json);
    return text;
}

static inline int test_gene(const search_space *space, const char *name) {
    for (int i = 0; i < space->gene_count; i++) {
        if (strcmp(space->gene[i].name, name) == 0) {
            return i;
        }
    }
    fail_msg("the space has no gene %s", name);
    return 0; // not reached
}

/// A mutation changes one gene, and at most two more that mean nothing then (of an inverted stage).
#define TEST_CHILD_DISTANCE_MAX 3

/// Genes in which two genotypes differ.
static inline int test_distance(const search_genotype *left, const search_genotype *right) {
    int distance = 0;
    for (int i = 0; i < SEARCH_GENES_MAX; i++) {
        distance += left->choice[i] != right->choice[i] ? 1 : 0;
    }
    return distance;
}

#endif
