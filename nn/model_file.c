// The trained classifier and its file, .nsm: everything a prediction needs and nothing that the
// machine it was trained on had to offer, so that it means the same everywhere.
//
// The file is a sealed file (nn/sealed_file.c) whose values are the weights in plain layout and
// whose JSON is
//
//   {"graph": ..., "labels": ["cat", ...], "mean": [...], "deviation": [...],
//    "mirror_average": false, "thresholds": [0.31, ...], "notes": {...}}
//
// and in version 3, which only multi-label models have, "multi_label": true beside them: a program
// that does not know of it must not take its logits for those of a softmax; in version 4, which only
// models have that shrink their images, "image": [height, width], the size that they are given (the
// graph's input is the size that they are shrunk to), and "multi_label" where it is true;
//
// with one mean and deviation a channel, in pixel values 0-255, and one threshold a label, or no such
// key where none were chosen. Loading trusts none of it: the
// graph is built again node by node, and what contradicts it is refused with a sentence.

#include "nn/nn_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_SIDE_MAX 32768 // px, of the images that a model is given

enum { VERSION_MULTI = 3, VERSION_SHRINK = 4 };

static const nn__sealed_kind model_kind = {.noun = "model file",
                                           .magic = {'N', 'S', 'M', 'O', 'D', 'E', 'L', '\n'},
                                           .version = 2,
                                           .version_max = VERSION_SHRINK};

struct nn_model {
    nn_model_info info; // points into what follows
    nn_graph graph;
    float *state;
    const char **labels; // into the one block `label_text`
    char *label_text;
    double *thresholds; // or NULL
    char weights_sha256[NS_SHA256_HEX_MAX];
    ns_json *document; // the file's JSON
    ns_json *notes;    // its part "notes"
};

/* ---- making ---------------------------------------------------------------------------------- */

static ns_status refuse_size(nn_shape in, const data_info *info, ns_error *err) {
    return ns_fail(
        err, NS_ERR_INPUT,
        "the network takes images of %dx%d with %d channels, but these are %dx%d with %d", in.width,
        in.height, in.channels, info->width, info->height, info->channels);
}

ns_status nn__check_shape(const nn_graph *graph, const data_info *info, ns_error *err) {
    const nn_shape in = graph->node[0].shape;
    const nn_shape out = graph->node[graph->node_count - 1].shape;
    if (in.channels != info->channels || in.height > info->height || in.width > info->width) {
        return refuse_size(in, info, err);
    }
    if (out.channels * out.height * out.width != info->label_count) {
        return ns_fail(err, NS_ERR_INPUT, "the network tells %d classes apart, but there are %d",
                       out.channels * out.height * out.width, info->label_count);
    }
    return NS_OK;
}

static ns_status check_preprocessing(const data_info *info, ns_error *err) {
    if (info->channels > DATA_CHANNELS_MAX) {
        return ns_fail(err, NS_ERR_INPUT, "%d channels are more than the %d allowed",
                       info->channels, DATA_CHANNELS_MAX);
    }
    for (int c = 0; c < info->channels; c++) {
        if (!isfinite(info->mean[c]) || !isfinite(info->deviation[c]) || info->deviation[c] <= 0) {
            return ns_fail(err, NS_ERR_INPUT, "channel %d has mean %g and deviation %g", c,
                           (double)info->mean[c], (double)info->deviation[c]);
        }
    }
    return NS_OK;
}

/// Every value a number, every running variance not negative.
static ns_status check_state(const nn_graph *graph, const float *state, ns_error *err) {
    for (int i = 0; i < graph->node_count; i++) {
        const nn_node *node = &graph->node[i];
        const size_t count = nn__node_state_count(graph, i);
        const size_t first_variance =
            node->kind == NN_OP_BATCH_NORM ? count - (size_t)node->shape.channels : count;
        for (size_t k = 0; k < count; k++) {
            if (!isfinite(state[k]) || (k >= first_variance && state[k] < 0)) {
                return ns_fail(err, NS_ERR_NAN, "weight %zu of node %d is %g", k, i,
                               (double)state[k]);
            }
        }
        state += count;
    }
    return NS_OK;
}

static ns_status copy_labels(nn_model *model, const data_info *info, ns_error *err) {
    size_t text_bytes = 1;
    for (int i = 0; i < info->label_count; i++) {
        text_bytes += strlen(info->labels[i]) + 1;
    }
    model->labels = malloc((size_t)info->label_count * sizeof *model->labels);
    model->label_text = malloc(text_bytes);
    if (model->labels == NULL || model->label_text == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for %d label names", info->label_count);
    }
    char *end = model->label_text;
    for (int i = 0; i < info->label_count; i++) {
        const size_t bytes = strlen(info->labels[i]) + 1;
        memcpy(end, info->labels[i], bytes);
        model->labels[i] = end;
        end += bytes;
    }
    return NS_OK;
}

static ns_status copy_state(nn_model *model, const float *state, ns_error *err) {
    const size_t state_bytes = nn_graph_state_count(&model->graph) * sizeof *state;
    model->state = malloc(state_bytes + 1); // a graph may have no weights
    if (model->state == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for %zu bytes of weights", state_bytes);
    }
    memcpy(model->state, state, state_bytes);
    return ns_sha256_of(model->state, state_bytes, model->weights_sha256, err);
}

bool nn__model_shrinks(const nn_model_info *info) {
    const nn_shape in = info->graph->node[0].shape;
    return in.height < info->image.height || in.width < info->image.width;
}

/// Takes `notes`.
static void build_document(nn_model *model, ns_json *notes) {
    const nn_model_info *info = &model->info;
    model->document = ns_json_object_new();
    ns_json_set(model->document, "graph", nn_graph_to_json(info->graph));
    ns_json *labels = ns_json_set(model->document, "labels", ns_json_array_new());
    for (int i = 0; i < info->label_count; i++) {
        ns_json_add_string(labels, info->labels[i]);
    }
    ns_json *mean = ns_json_set(model->document, "mean", ns_json_array_new());
    ns_json *deviation = ns_json_set(model->document, "deviation", ns_json_array_new());
    for (int c = 0; c < info->graph->node[0].shape.channels; c++) {
        ns_json_add_number(mean, (double)info->mean[c]);
        ns_json_add_number(deviation, (double)info->deviation[c]);
    }
    ns_json_set_bool(model->document, "mirror_average", info->mirror_average);
    if (info->multi_label) {
        ns_json_set_bool(model->document, "multi_label", true);
    }
    if (nn__model_shrinks(info)) {
        ns_json *image = ns_json_set(model->document, "image", ns_json_array_new());
        ns_json_add_int(image, info->image.height);
        ns_json_add_int(image, info->image.width);
    }
    model->notes = ns_json_set(model->document, "notes", notes);
}

static ns_status fill_model(nn_model *model, const nn_graph *graph, const float *state,
                            const data_info *info, ns_error *err) {
    NS_TRY(nn_graph_check(graph, err));
    NS_TRY(nn__check_shape(graph, info, err));
    NS_TRY(check_preprocessing(info, err));
    NS_TRY(check_state(graph, state, err));
    model->graph = *graph;
    NS_TRY(copy_state(model, state, err));
    NS_TRY(copy_labels(model, info, err));
    model->info = (nn_model_info){.graph = &model->graph,
                                  .state = model->state,
                                  .label_count = info->label_count,
                                  .labels = model->labels,
                                  .image = {info->channels, info->height, info->width},
                                  .multi_label = info->multi_label,
                                  .weights_sha256 = model->weights_sha256};
    memcpy(model->info.mean, info->mean, sizeof info->mean);
    memcpy(model->info.deviation, info->deviation, sizeof info->deviation);
    return NS_OK;
}

/// Takes `notes`, whatever the result.
static ns_status make_model(const nn_graph *graph, const float *state, const data_info *info,
                            ns_json *notes, nn_model **out, ns_error *err) {
    nn_model *model = notes != NULL ? calloc(1, sizeof *model) : NULL;
    if (model == NULL) {
        ns_json_free(notes);
        return ns_fail(err, NS_ERR_MEMORY, "no memory for a model");
    }
    const ns_status status = fill_model(model, graph, state, info, err);
    if (status != NS_OK) {
        ns_json_free(notes);
        nn_model_free(model);
        return status;
    }
    build_document(model, notes);
    *out = model;
    return NS_OK;
}

ns_status nn_model_new(const nn_graph *graph, const float *state, const data_info *info,
                       nn_model **out, ns_error *err) {
    return make_model(graph, state, info, ns_json_object_new(), out, err);
}

void nn_model_free(nn_model *model) {
    if (model == NULL) {
        return;
    }
    ns_json_free(model->document);
    free(model->state);
    free(model->labels);
    free(model->label_text);
    free(model->thresholds);
    free(model);
}

const nn_model_info *nn_model_describe(const nn_model *model) {
    return &model->info;
}

void nn_model_set_mirror_average(nn_model *model, bool mirror_average) {
    model->info.mirror_average = mirror_average;
    ns_json_set_bool(model->document, "mirror_average", mirror_average);
}

static ns_status check_thresholds(const double *thresholds, int count, ns_error *err) {
    for (int i = 0; i < count; i++) {
        if (!(thresholds[i] >= 0 && thresholds[i] <= 1)) {
            return ns_fail(err, NS_ERR_INPUT, "the threshold of label %d is %g, not in [0, 1]", i,
                           thresholds[i]);
        }
    }
    return NS_OK;
}

ns_status nn_model_set_thresholds(nn_model *model, const double *thresholds, ns_error *err) {
    const size_t count = (size_t)model->info.label_count;
    NS_TRY(check_thresholds(thresholds, model->info.label_count, err));
    double *copy = malloc(count * sizeof *copy);
    if (copy == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for %zu thresholds", count);
    }
    memcpy(copy, thresholds, count * sizeof *copy);
    free(model->thresholds);
    model->thresholds = copy;
    model->info.thresholds = copy;
    ns_json *array = ns_json_set(model->document, "thresholds", ns_json_array_new());
    for (size_t i = 0; i < count; i++) {
        ns_json_add_number(array, copy[i]);
    }
    return NS_OK;
}

ns_json *nn_model_notes(nn_model *model) {
    return model->notes;
}

ns_status nn_model_fits(const nn_model *model, const data_set *set, ns_error *err) {
    const data_info *info = data_describe(set);
    const nn_shape image = model->info.image;
    if (image.height != info->height || image.width != info->width) {
        return refuse_size(image, info, err);
    }
    NS_TRY(nn__check_shape(model->info.graph, info, err));
    if (model->info.multi_label != info->multi_label) {
        return ns_fail(err, NS_ERR_INPUT, "the model tells %s an image, but the images have %s",
                       model->info.multi_label ? "any number of labels" : "one label",
                       info->multi_label ? "any number" : "one each");
    }
    for (int i = 0; i < info->label_count; i++) {
        if (strcmp(model->info.labels[i], info->labels[i]) != 0) {
            return ns_fail(err, NS_ERR_INPUT,
                           "label %d is called \"%s\" by the model, but \"%s\" by the images", i,
                           model->info.labels[i], info->labels[i]);
        }
    }
    return NS_OK;
}

/* ---- saving and loading ---------------------------------------------------------------------- */

ns_status nn_model_save(const nn_model *model, const char *path, ns_error *err) {
    nn__sealed_kind kind = model_kind;
    kind.version = nn__model_shrinks(&model->info) ? VERSION_SHRINK
                   : model->info.multi_label       ? VERSION_MULTI
                                                   : kind.version;
    return nn__sealed_write(&kind, path, model->document, model->state,
                            nn_graph_state_count(&model->graph), err);
}

static ns_status read_channels(const ns_json *root, const char *key, int channels,
                               float out[DATA_CHANNELS_MAX], ns_error *err) {
    const ns_json *array = ns_json_get(root, key);
    if (channels > DATA_CHANNELS_MAX || ns_json_count(array) != (size_t)channels) {
        return ns_fail(err, NS_ERR_CORRUPT, "\"%s\" has %zu values for %d channels", key,
                       ns_json_count(array), channels);
    }
    for (int c = 0; c < channels; c++) {
        out[c] = (float)ns_json_value_number(ns_json_at(array, (size_t)c), (double)NAN);
    }
    return NS_OK;
}

/// `*names` is malloced; the names themselves stay `root`'s.
static ns_status read_labels(const ns_json *root, const char ***names, int *count, ns_error *err) {
    const ns_json *array = ns_json_get(root, "labels");
    const size_t label_count = ns_json_count(array);
    if (label_count == 0 || label_count > DATA_LABELS_MAX) {
        return ns_fail(err, NS_ERR_CORRUPT, "it has %zu label names", label_count);
    }
    *names = malloc(label_count * sizeof **names);
    if (*names == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for %zu label names", label_count);
    }
    for (size_t i = 0; i < label_count; i++) {
        (*names)[i] = ns_json_value_string(ns_json_at(array, i), NULL);
        if ((*names)[i] == NULL) {
            return ns_fail(err, NS_ERR_CORRUPT, "label %zu is not a string", i);
        }
    }
    *count = (int)label_count;
    return NS_OK;
}

/// The size of the images that it is given: the graph's own where the file names none.
static ns_status read_image_size(const ns_json *root, nn_shape in, data_info *info, ns_error *err) {
    const ns_json *size = ns_json_get(root, "image");
    info->height = in.height;
    info->width = in.width;
    if (size == NULL) {
        return NS_OK;
    }
    const double height = ns_json_value_number(ns_json_at(size, 0), 0);
    const double width = ns_json_value_number(ns_json_at(size, 1), 0);
    if (ns_json_count(size) != 2 || !(height >= in.height && height <= IMAGE_SIDE_MAX) ||
        !(width >= in.width && width <= IMAGE_SIDE_MAX)) {
        return ns_fail(err, NS_ERR_CORRUPT, "its images of %gx%g cannot be shrunk to %dx%d", width,
                       height, in.width, in.height);
    }
    info->height = (int)height;
    info->width = (int)width;
    return NS_OK;
}

/// False where there is none.
static ns_status read_flag(const ns_json *root, const char *key, bool *out, ns_error *err) {
    *out = ns_json_bool(root, key, false);
    const bool other = ns_json_bool(root, key, true);
    if (ns_json_get(root, key) != NULL && other != *out) { // both were fallbacks
        return ns_fail(err, NS_ERR_CORRUPT, "\"%s\" is neither true nor false", key);
    }
    return NS_OK;
}

/// Into `model`; nothing where the file has none.
static ns_status read_thresholds(const ns_json *root, nn_model *model, ns_error *err) {
    const ns_json *array = ns_json_get(root, "thresholds");
    const size_t count = (size_t)model->info.label_count;
    if (array == NULL) {
        return NS_OK;
    }
    if (ns_json_count(array) != count) {
        return ns_fail(err, NS_ERR_CORRUPT, "it has %zu thresholds for %zu labels",
                       ns_json_count(array), count);
    }
    double *thresholds = malloc(count * sizeof *thresholds);
    if (thresholds == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for %zu thresholds", count);
    }
    const ns_json *value = ns_json_first(array);
    for (size_t i = 0; i < count; i++, value = ns_json_next(value)) {
        thresholds[i] = ns_json_value_number(value, (double)NAN);
    }
    const ns_status status = nn_model_set_thresholds(model, thresholds, err);
    free(thresholds);
    return status;
}

/// A copy that may be changed.
static ns_status copy_notes(const ns_json *root, ns_json **out, ns_error *err) {
    const ns_json *notes = ns_json_get(root, "notes");
    char *text = NULL;
    if (notes == NULL) {
        return ns_fail(err, NS_ERR_CORRUPT, "\"notes\" is missing");
    }
    NS_TRY(ns_json_print(notes, false, &text, err));
    const ns_status status = text[0] == '{'
                                 ? ns_json_parse(text, out, err)
                                 : ns_fail(err, NS_ERR_CORRUPT, "\"notes\" is no object");
    free(text);
    return status;
}

static ns_status model_from_json(const ns_json *root, const float *values, size_t value_count,
                                 nn_graph *graph, nn_model **out, ns_error *err) {
    data_info info = {0};
    const char **names = NULL;
    ns_json *notes = NULL;
    bool mirror_average = false;
    NS_TRY(nn_graph_from_json(ns_json_get(root, "graph"), graph, err));
    if (value_count != nn_graph_state_count(graph)) {
        return ns_fail(err, NS_ERR_CORRUPT, "it holds %zu weights, but its graph has %zu",
                       value_count, nn_graph_state_count(graph));
    }
    info.channels = graph->node[0].shape.channels;
    NS_TRY(read_image_size(root, graph->node[0].shape, &info, err));
    NS_TRY(read_channels(root, "mean", info.channels, info.mean, err));
    NS_TRY(read_channels(root, "deviation", info.channels, info.deviation, err));
    NS_TRY(read_flag(root, "mirror_average", &mirror_average, err));
    NS_TRY(read_flag(root, "multi_label", &info.multi_label, err));
    ns_status status = read_labels(root, &names, &info.label_count, err);
    if (status == NS_OK) {
        status = copy_notes(root, &notes, err);
    }
    if (status == NS_OK) {
        info.labels = names;
        status = make_model(graph, values, &info, notes, out, err);
    }
    if (status == NS_OK) {
        nn_model_set_mirror_average(*out, mirror_average);
        status = read_thresholds(root, *out, err);
        if (status != NS_OK) {
            nn_model_free(*out);
            *out = NULL;
        }
    }
    free(names);
    return status;
}

ns_status nn_model_load(const char *path, nn_model **out, ns_error *err) {
    ns_json *root = NULL;
    float *values = NULL;
    size_t value_count = 0;
    NS_TRY(nn__sealed_read(&model_kind, path, &root, &values, &value_count, err));
    nn_graph *graph = malloc(sizeof *graph);
    ns_status status = graph == NULL ? ns_fail(err, NS_ERR_MEMORY, "no memory for a graph")
                                     : model_from_json(root, values, value_count, graph, out, err);
    if (status != NS_OK && status != NS_ERR_MEMORY) {
        ns_error_prefix(err, "model file %s is damaged", path);
        status = NS_ERR_CORRUPT;
    }
    free(graph);
    free(values);
    ns_json_free(root);
    return status;
}
