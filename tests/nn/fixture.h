// What the tests of training, files, inference and export share: a small set of images that is easy
// to learn, networks that use every op, and weights that nothing was trained for.

#ifndef NS_TESTS_NN_FIXTURE_H
#define NS_TESTS_NN_FIXTURE_H

#include "nn/nn.h"

enum {
    FIXTURE_CHANNELS = 3,
    FIXTURE_HEIGHT = 12,
    FIXTURE_WIDTH = 10,
    FIXTURE_LABEL_COUNT = 4,
    FIXTURE_TRAIN_COUNT = 320,
    FIXTURE_VALIDATION_COUNT = 90,
};

/// Writes the pack `path` and opens it: an image's label is the quadrant that is brighter than its
/// noise. The test split is empty. NULL on failure.
data_set *fixture_set_new(const char *path);

/// Two convolutions with batch norm, pooling and a linear layer.
void fixture_small_graph(nn_graph *graph);
/// The same for an input of this shape, to which the images of the set are shrunk.
void fixture_small_graph_of(nn_graph *graph, nn_shape input);
/// Every op, with plain, grouped, depthwise and strided convolutions, a residual block, batch norm
/// and ReLU in all places where folding may or may not absorb them.
void fixture_every_op_graph(nn_graph *graph);
/// A graph that ends with a global pool.
void fixture_linearless_graph(nn_graph *graph);

/// Malloced random values of sensible size, running variances positive.
float *fixture_state_new(const nn_graph *graph, uint64_t seed);
/// `graph` with such a state, labels with an umlaut, a quote and a space among them.
nn_model *fixture_model_new(const nn_graph *graph, uint64_t seed);
nn_model *fixture_model_of(const nn_graph *graph, uint64_t seed, bool multi_label);

/// Malloced random pixels of `count` images for the fixture's graphs.
uint8_t *fixture_pixels_new(size_t count, uint64_t seed);

#endif
