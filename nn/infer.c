// Inference: pixels in, class probabilities out: by softmax, or of multi-label models by a sigmoid each.
//
// The model is folded (nn/fold.c), made ready once for one batch size, and then fed batch by batch;
// the last batch is padded with what the input happened to hold and its spare answers are dropped,
// which is sound because at rest no image influences another. Pixels are normalised through a table
// of the 256 values of each channel, filled by the loader's own formula and so to the loader's own
// bits; that pass is bound by writing 4 bytes a pixel and vanishes beside the network.
//
// Where the network takes smaller images than those that it is given, they are shrunk first, as the
// loader does it.
//
// With mirror averaging the network runs twice, on the images and on their mirror images, and the
// mean of the two logits is what becomes probabilities (as in Jordan 2024): a cheap ensemble for
// labels that do not tell left from right, at twice the time.

#include "nn/nn_internal.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

struct nn_infer {
    nn_net *net;
    nn__fold *fold;
    float *folded_state;
    data_shrinker *shrinker;
    const uint8_t **images; // of the batch at hand
    float *first_logits;    // (batch, labels), of the images as they are; NULL without mirroring
    nn_shape shape;         // of the network's input
    size_t image_bytes;     // of an image as it is given
    size_t batch_size;
    size_t class_count;
    int thread_count;
    bool multi_label;
    float level[DATA_CHANNELS_MAX][256]; // of each channel: what a pixel value becomes
};

static void fill_levels(nn_infer *infer, const float *mean, const float *deviation) {
    for (int c = 0; c < infer->shape.channels; c++) {
        for (int pixel = 0; pixel < 256; pixel++) {
            infer->level[c][pixel] = ((float)pixel - mean[c]) * (1.0F / deviation[c]);
        }
    }
}

/// The net at the batch of `options`, or at the largest of its halves that memory allows.
static ns_status make_net(nn_infer *infer, nn_net_options options, ns_error *err) {
    const nn_graph *graph = nn__fold_graph(infer->fold);
    ns_status status = nn_net_new(graph, &options, &infer->net, err);
    while ((status == NS_ERR_LIMIT || status == NS_ERR_MEMORY) && options.batch_size > 1) {
        options.batch_size /= 2;
        status = nn_net_new(graph, &options, &infer->net, err);
    }
    infer->batch_size = (size_t)options.batch_size;
    return status;
}

static ns_status prepare(nn_infer *infer, const nn_graph *graph, const nn_net_options *options,
                         bool mirror_average, ns_error *err) {
    NS_TRY(nn__fold_new(graph, &infer->fold, err));
    infer->folded_state = malloc((nn_graph_state_count(graph) + 1) * sizeof(float));
    if (infer->folded_state == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for the folded weights");
    }
    NS_TRY(make_net(infer, *options, err));
    infer->images = malloc(infer->batch_size * sizeof *infer->images);
    if (infer->images == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for a batch of %zu", infer->batch_size);
    }
    infer->class_count = (size_t)nn_net_class_count(infer->net);
    if (mirror_average) {
        const size_t logit_bytes = infer->batch_size * infer->class_count * sizeof(float);
        infer->first_logits = malloc(logit_bytes);
        if (infer->first_logits == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "no memory for %zu bytes of logits", logit_bytes);
        }
    }
    return NS_OK;
}

static size_t value_count(nn_shape shape) {
    return (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
}

ns_status nn__infer_new(const nn_graph *graph, const nn_net_options *options,
                        const nn__around *around, nn_infer **out, ns_error *err) {
    nn_infer *infer = calloc(1, sizeof *infer);
    if (infer == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for inference");
    }
    nn_net_options net_options = *options;
    net_options.mode = NN_MODE_INFER;
    infer->shape = graph->node[0].shape;
    infer->thread_count = options->thread_count > 0 ? options->thread_count : ns_cpu_count();
    infer->multi_label = options->multi_label;
    infer->image_bytes = value_count(around->image);
    fill_levels(infer, around->mean, around->deviation);
    ns_status status =
        data_shrinker_new(infer->shape.channels, nn__size_of(around->image),
                          nn__size_of(infer->shape), infer->thread_count, &infer->shrinker, err);
    if (status == NS_OK) {
        status = prepare(infer, graph, &net_options, around->mirror_average, err);
    }
    if (status != NS_OK) {
        nn_infer_free(infer);
        return status;
    }
    *out = infer;
    return NS_OK;
}

void nn__infer_set_state(nn_infer *infer, const float *state) {
    nn__fold_state(infer->fold, state, infer->folded_state);
    nn_net_set_state(infer->net, infer->folded_state);
}

nn_infer_options nn_infer_options_default(void) {
    return (nn_infer_options){.batch_size = 64, .dtype = NN_DTYPE_F32};
}

ns_status nn_infer_new(const nn_model *model, const nn_infer_options *options, nn_infer **out,
                       ns_error *err) {
    const nn_model_info *info = nn_model_describe(model);
    nn_net_options net_options = nn_net_options_default();
    net_options.batch_size = options->batch_size;
    net_options.thread_count = options->thread_count;
    net_options.dtype = options->dtype;
    net_options.multi_label = info->multi_label;
    const nn__around around = {.image = info->image,
                               .mean = info->mean,
                               .deviation = info->deviation,
                               .mirror_average = info->mirror_average};
    NS_TRY(nn__infer_new(info->graph, &net_options, &around, out, err));
    nn__infer_set_state(*out, info->state);
    return NS_OK;
}

void nn_infer_free(nn_infer *infer) {
    if (infer == NULL) {
        return;
    }
    nn_net_free(infer->net);
    nn__fold_free(infer->fold);
    data_shrinker_free(infer->shrinker);
    free(infer->folded_state);
    free(infer->images);
    free(infer->first_logits);
    free(infer);
}

/// `pixels` (C, H, W) uint8 -> `x` (C, H, W).
static void normalise(const nn_infer *infer, const uint8_t *pixels, bool mirror, float *x) {
    const int rows = infer->shape.channels * infer->shape.height, width = infer->shape.width;
    for (int row = 0; row < rows; row++) {
        const float *level = infer->level[row / infer->shape.height];
        for (int i = 0; i < width; i++) {
            x[i] = level[pixels[mirror ? width - 1 - i : i]];
        }
        x += width;
        pixels += width;
    }
}

static void softmax(const float *logits, size_t count, float *probabilities) {
    float highest = logits[0];
    for (size_t k = 1; k < count; k++) {
        highest = fmaxf(highest, logits[k]);
    }
    float sum = 0;
    for (size_t k = 0; k < count; k++) {
        probabilities[k] = expf(logits[k] - highest);
        sum += probabilities[k];
    }
    for (size_t k = 0; k < count; k++) {
        probabilities[k] /= sum;
    }
}

static void sigmoid(const float *logits, size_t count, float *probabilities) {
    for (size_t k = 0; k < count; k++) {
        probabilities[k] = nn__activate(NN_ACTIVATION_SIGMOID, logits[k]);
    }
}

/// Logits (batch, labels), of which the first `count` are of `infer->images`.
static const float *run_net(nn_infer *infer, size_t count, bool mirror) {
    float *x = nn_net_input(infer->net); // (batch, C, H, W)
    const size_t stride = value_count(infer->shape);
#pragma omp parallel for schedule(static) num_threads(infer->thread_count) if (count > 1)
    for (size_t i = 0; i < count; i++) {
        const uint8_t *pixels =
            data_shrink(infer->shrinker, omp_get_thread_num(), infer->images[i]);
        normalise(infer, pixels, mirror, x + i * stride);
    }
    nn_net_forward(infer->net);
    return nn_net_logits(infer->net);
}

/// The mean over images and mirror images.
static const float *run_both_ways(nn_infer *infer, size_t count) {
    float *mean = infer->first_logits;
    const size_t logit_count = count * infer->class_count;
    memcpy(mean, run_net(infer, count, false), logit_count * sizeof *mean);
    const float *mirrored = run_net(infer, count, true);
    for (size_t i = 0; i < logit_count; i++) {
        mean[i] = 0.5F * (mean[i] + mirrored[i]);
    }
    return mean;
}

/// Probabilities (count, labels) of the first `count` of `infer->images`.
static void run_batch(nn_infer *infer, size_t count, float *probabilities) {
    const float *logits =
        infer->first_logits != NULL ? run_both_ways(infer, count) : run_net(infer, count, false);
    if (infer->multi_label) {
        sigmoid(logits, count * infer->class_count, probabilities);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        softmax(logits + i * infer->class_count, infer->class_count,
                probabilities + i * infer->class_count);
    }
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

ns_status nn_infer_run(nn_infer *infer, const uint8_t *pixels, size_t count, float *probabilities,
                       ns_error *err) {
    (void)err; // nothing can fail today
    for (size_t done = 0; done < count; done += infer->batch_size) {
        const size_t now = smaller(infer->batch_size, count - done);
        for (size_t i = 0; i < now; i++) {
            infer->images[i] = pixels + (done + i) * infer->image_bytes;
        }
        run_batch(infer, now, probabilities + done * infer->class_count);
    }
    return NS_OK;
}

/// The images of a split that are to be judged, `count` of its `total`, evenly spread.
typedef struct selection {
    const data_set *set;
    const uint32_t *indices;
    size_t total, count;
} selection;

static selection select_images(const data_set *set, data_split split, size_t count_max) {
    selection chosen = {.set = set};
    chosen.indices = data_indices(set, split, &chosen.total);
    chosen.count = count_max > 0 ? smaller(count_max, chosen.total) : chosen.total;
    return chosen;
}

static uint32_t selected_at(const selection *chosen, size_t i) {
    return chosen->indices[i * chosen->total / chosen->count];
}

/// `labels` may be NULL.
static void run_selected(nn_infer *infer, const selection *chosen, size_t first, size_t count,
                         float *probabilities, int32_t *labels) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t index = selected_at(chosen, first + i);
        infer->images[i] = data_pixels(chosen->set, index);
        if (labels != NULL) {
            labels[first + i] = data_label(chosen->set, index);
        }
    }
    run_batch(infer, count, probabilities + first * infer->class_count);
}

ns_status nn_infer_split(nn_infer *infer, const data_set *set, data_split split, size_t count_max,
                         bool (*stop)(void *context), void *context, float **probabilities,
                         int32_t **labels, size_t *count, ns_error *err) {
    const bool single = !data_describe(set)->multi_label;
    const selection chosen = select_images(set, split, count_max);
    *count = chosen.count;
    *probabilities = malloc((*count * infer->class_count + 1) * sizeof **probabilities);
    *labels = single ? malloc((*count + 1) * sizeof **labels) : NULL;
    ns_status status = NS_OK;
    if (*probabilities == NULL || (single && *labels == NULL)) {
        status = ns_fail(err, NS_ERR_MEMORY, "no memory for the answers to %zu images", *count);
    }
    for (size_t done = 0; status == NS_OK && done < *count; done += infer->batch_size) {
        if (stop != NULL && stop(context)) {
            status = ns_fail(err, NS_ERR_STOPPED, "stopped after %zu of %zu images", done, *count);
        } else {
            run_selected(infer, &chosen, done, smaller(infer->batch_size, *count - done),
                         *probabilities, *labels);
        }
    }
    if (status != NS_OK) {
        free(*probabilities);
        free(*labels);
        *probabilities = NULL;
        *labels = NULL;
    }
    return status;
}

ns_status nn_split_truth(const data_set *set, data_split split, size_t count_max, uint8_t **truth,
                         size_t *count, ns_error *err) {
    const size_t label_count = (size_t)data_describe(set)->label_count;
    const selection chosen = select_images(set, split, count_max);
    *count = chosen.count;
    *truth = malloc(*count * label_count + 1);
    if (*truth == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for the labels of %zu images", *count);
    }
    for (size_t i = 0; i < *count; i++) {
        data_truth(set, selected_at(&chosen, i), *truth + i * label_count);
    }
    return NS_OK;
}
