// Makes what fixture.h declares. All of it is drawn from fixed seeds, so that tests compare bits.

#include "tests/nn/fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "data/data_internal.h"
#include "nn/nn_internal.h"

enum {
    HEIGHT = FIXTURE_HEIGHT,
    WIDTH = FIXTURE_WIDTH,
    PLANE = HEIGHT * WIDTH,
    IMAGE = FIXTURE_CHANNELS * PLANE,
    IMAGE_COUNT = FIXTURE_TRAIN_COUNT + FIXTURE_VALIDATION_COUNT,
};

static const char *const label_names[] = {"oben links", "unten \"links\"", "größer", "d"};
static const nn_shape image_shape = {FIXTURE_CHANNELS, HEIGHT, WIDTH};

static void draw_image(int label, ns_rng *rng, uint8_t pixels[IMAGE]) {
    for (int i = 0; i < IMAGE; i++) {
        const int x = i % WIDTH;
        const int y = i % PLANE / WIDTH;
        const int quadrant = 2 * (x >= WIDTH / 2) + (y >= HEIGHT / 2);
        pixels[i] = (uint8_t)(ns_rng_below(rng, 180) + (quadrant == label ? 60 : 0));
    }
}

static ns_status add_images(data__pack_writer *writer, ns_error *err) {
    ns_rng rng = ns_rng_stream(1, 0, "fixture");
    uint8_t pixels[IMAGE];
    for (int i = 0; i < IMAGE_COUNT; i++) {
        const int label = i % FIXTURE_LABEL_COUNT;
        draw_image(label, &rng, pixels);
        NS_TRY(data__pack_add(writer, pixels, label,
                              i < FIXTURE_TRAIN_COUNT ? DATA_TRAIN : DATA_VALIDATION, err));
    }
    return NS_OK;
}

data_set *fixture_set_new(const char *path) {
    const data__pack_spec spec = {
        .channels = FIXTURE_CHANNELS,
        .height = HEIGHT,
        .width = WIDTH,
        .label_count = FIXTURE_LABEL_COUNT,
        .labels = label_names,
        .source = "a test",
    };
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    data_set *set = NULL;
    if (data__pack_begin(path, &spec, &writer, &err) == NS_OK) {
        if (add_images(writer, &err) != NS_OK) {
            data__pack_abort(writer);
        } else if (data__pack_finish(writer, &err) == NS_OK) {
            (void)data_open(path, &set, &err);
        }
    }
    if (set == NULL) {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    return set;
}

static int conv_norm(nn_graph *graph, int x, int channels, int kernel, int stride, int groups,
                     nn_activation activation) {
    return nn_add_batch_norm(graph, nn_add_conv(graph, x, channels, kernel, stride, groups, false),
                             activation);
}

void fixture_small_graph(nn_graph *graph) {
    fixture_small_graph_of(graph, image_shape);
}

void fixture_small_graph_of(nn_graph *graph, nn_shape input) {
    nn_graph_init(graph);
    int x = nn_add_input(graph, input);
    x = conv_norm(graph, x, 8, 3, 1, 1, NN_ACTIVATION_RELU);
    x = nn_add_pool(graph, NN_OP_MAX_POOL, x, 2, 2, 0);
    x = conv_norm(graph, x, 16, 3, 1, 1, NN_ACTIVATION_RELU);
    x = nn_add_dropout(graph, x, 0.1F);
    x = nn_add_linear(graph, x, FIXTURE_LABEL_COUNT);
    (void)nn_add_scale(graph, x, 0.5F);
}

void fixture_every_op_graph(nn_graph *graph) {
    nn_graph_init(graph);
    int x = nn_add_input(graph, image_shape);
    x = conv_norm(graph, x, 8, 3, 1, 1, NN_ACTIVATION_RELU);
    x = nn_add_activation(graph, conv_norm(graph, x, 8, 3, 1, 8, NN_ACTIVATION_NONE),
                          NN_ACTIVATION_RELU); // depthwise, ReLU apart
    x = nn_add_pool(graph, NN_OP_MAX_POOL, x, 3, 2, 1);
    const int left = conv_norm(graph, x, 16, 1, 1, 1, NN_ACTIVATION_NONE);
    x = conv_norm(graph, left, 16, 3, 1, 4, NN_ACTIVATION_RELU); // grouped; `left` has two readers
    const int right = conv_norm(graph, x, 16, 3, 1, 1, NN_ACTIVATION_NONE);
    x = nn_add_activation(graph, nn_add_add(graph, left, right), NN_ACTIVATION_RELU);
    x = nn_add_squeeze_excite(graph, x, 4);
    x = nn_add_pool(graph, NN_OP_AVERAGE_POOL, x, 3, 2, 1);
    x = nn_add_batch_norm(graph, x, NN_ACTIVATION_RELU); // not after a convolution
    x = nn_add_activation(graph, nn_add_conv(graph, x, 12, 5, 2, 1, true), NN_ACTIVATION_RELU);
    x = nn_add_activation(graph, nn_add_conv(graph, x, 16, 1, 1, 1, true), NN_ACTIVATION_SILU);
    x = nn_add_activation(graph, nn_add_conv(graph, x, 12, 1, 1, 1, true), NN_ACTIVATION_GELU);
    x = nn_add_activation(graph, x, NN_ACTIVATION_SILU); // the convolution has one already
    x = nn_add_activation(graph, x, NN_ACTIVATION_GELU);
    x = nn_add_dropout(graph, x, 0.3F);
    x = nn_add_scale(graph, x, 0.7F); // not after a linear layer
    const int average = nn_add_global_pool(graph, NN_OP_GLOBAL_AVERAGE_POOL, x);
    const int highest = nn_add_global_pool(graph, NN_OP_GLOBAL_MAX_POOL, x);
    x = nn_add_add(graph, average, highest);
    x = nn_add_activation(graph, nn_add_linear(graph, nn_add_dropout(graph, x, 0.3F), 24),
                          NN_ACTIVATION_RELU);
    (void)nn_add_scale(graph, nn_add_linear(graph, x, FIXTURE_LABEL_COUNT), 0.2F);
}

void fixture_linearless_graph(nn_graph *graph) {
    nn_graph_init(graph);
    int x = nn_add_input(graph, image_shape);
    x = conv_norm(graph, x, 8, 3, 2, 1, NN_ACTIVATION_RELU);
    const int before = nn_add_conv(graph, x, 8, 3, 1, 1, true); // two readers: keeps its norm
    x = nn_add_add(graph, before, nn_add_batch_norm(graph, before, NN_ACTIVATION_RELU));
    x = nn_add_conv(graph, x, FIXTURE_LABEL_COUNT, 1, 1, 1, true);
    (void)nn_add_global_pool(graph, NN_OP_GLOBAL_AVERAGE_POOL, x);
}

/// `count` values of normal distribution with this mean and deviation; returns their end.
static float *fill(float *out, size_t count, double mean, double deviation, ns_rng *rng) {
    for (size_t i = 0; i < count; i++) {
        out[i] = (float)(mean + deviation * ns_rng_normal(rng));
    }
    return out + count;
}

float *fixture_state_new(const nn_graph *graph, uint64_t seed) {
    ns_rng rng = ns_rng_stream(seed, 0, "fixture");
    float *state = malloc((nn_graph_state_count(graph) + 1) * sizeof *state);
    float *end = state;
    for (int i = 0; state != NULL && i < graph->node_count; i++) {
        const nn__params params = nn__node_params(graph, &graph->node[i]);
        const bool norm = params.running > 0;
        const int fan_out = norm ? 1 : graph->node[i].out_channels;
        const double fan_in = (double)params.trainable[0] / fmax(fan_out, 1);
        end = fill(end, params.trainable[0], norm ? 1 : 0, norm ? 0.3 : sqrt(2 / fan_in), &rng);
        end = fill(end, params.trainable[1], 0, 0.3, &rng);
        end = fill(end, params.running, 0, 0.3, &rng);
        for (size_t k = 0; k < params.running; k++) {
            *end++ = (float)(0.5 + ns_rng_unit(&rng));
        }
    }
    return state;
}

nn_model *fixture_model_new(const nn_graph *graph, uint64_t seed) {
    return fixture_model_of(graph, seed, false);
}

nn_model *fixture_model_of(const nn_graph *graph, uint64_t seed, bool multi_label) {
    const data_info info = {
        .channels = FIXTURE_CHANNELS,
        .height = HEIGHT,
        .width = WIDTH,
        .label_count = FIXTURE_LABEL_COUNT,
        .labels = label_names,
        .multi_label = multi_label,
        .mean = {101.5F, 90.25F, 113.125F},
        .deviation = {60.1F, 55.7F, 71.3F},
    };
    ns_error err = {0};
    nn_model *model = NULL;
    float *state = fixture_state_new(graph, seed);
    if (state == NULL || nn_model_new(graph, state, &info, &model, &err) != NS_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    free(state);
    return model;
}

uint8_t *fixture_pixels_new(size_t count, uint64_t seed) {
    ns_rng rng = ns_rng_stream(seed, 0, "pixels");
    uint8_t *pixels = malloc(count * IMAGE);
    for (size_t i = 0; pixels != NULL && i < count * IMAGE; i++) {
        pixels[i] = (uint8_t)ns_rng_below(&rng, 256);
    }
    return pixels;
}
