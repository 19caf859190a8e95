// Export to ONNX, the form that other programs read: opset 13, IR version 7.
//
//   image (batch, C, H, W) raw 0-255 -> Sub mean -> Div deviation -> the folded network -> Softmax
//   -> probabilities (batch, labels); of a multi-label model Sigmoid in place of Softmax
//
// Where the network takes smaller images than the model is given, "image" has the size that the model
// is given, and what inference does to it comes first: area averages along rows, then along columns,
// each a MatMul with the shrinker's own weights, rounded. (Resize knows area averages only from opset
// 18 on.) OpenCV 4.6 takes matrices on the right alone, so maps are turned for the second one.
//
// With mirror averaging, the mirror images join the batch before the network, and the mean of both
// halves' logits goes into Softmax or Sigmoid.
//
// The preprocessing is inside the graph, so that a user cannot get it wrong. Its constants are
// (C, 1, 1) and not (1, C, 1, 1), which means the same, because OpenCV 4.6 refuses the latter when
// the batch is not 1. Label names are in the metadata as the JSON array "labels".
//
// The message is built in one arena, whose bound is known from the graph, with weights lent from
// the folded state; the protobuf code itself is generated from onnx.proto at build time. This is
// the only file that knows it.

#include "nn/nn_internal.h"
#include "onnx.pb-c.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    IR_VERSION = 7,
    OPSET = 13,
    NODES_PER_OP = 6,        // a GELU takes five behind its conv; ends: 15 more
    TENSORS_PER_OP = 7,      // batch norm: scale, shift, mean, variance; GELU: three; ends: 7 more
    ATTRIBUTES_MAX = 6,      // of one node
    INPUTS_MAX = 5,          // of one node
    OUTPUTS_MAX = 2,         // of one node
    DIMS_MAX = 4,            // of the input and the output
    OP_BYTES_MAX = 16 << 10, // of messages for one op of ours
    FIXED_BYTES = 64 << 10,
    NAME_BYTES_MAX = 64,
};

typedef struct builder {
    ns_arena *arena;
    const nn_graph *graph;
    const float *state; // what of the folded state is not yet lent
    Onnx__GraphProto onnx;
} builder;

/* ---- messages -------------------------------------------------------------------------------- */

static void *take(builder *b, size_t size_bytes) {
    void *block = ns_arena_alloc(b->arena, size_bytes, _Alignof(max_align_t));
    assert(block != NULL && "make_arena counts what a graph can take");
    return block;
}

static char *copy_text(builder *b, const char *text) {
    return memcpy(take(b, strlen(text) + 1), text, strlen(text) + 1);
}

NS_PRINTF(2, 3) static char *name_of(builder *b, const char *format, ...) {
    char name[NAME_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    return copy_text(b, name);
}

/// `inputs` ends with NULL.
static Onnx__NodeProto *add_node(builder *b, const char *op, const char *const *inputs,
                                 const char *output) {
    Onnx__NodeProto *node = take(b, sizeof *node);
    onnx__node_proto__init(node);
    node->op_type = copy_text(b, op);
    node->name = copy_text(b, output);
    node->input = take(b, INPUTS_MAX * sizeof *node->input);
    for (; inputs[node->n_input] != NULL; node->n_input++) {
        assert(node->n_input < INPUTS_MAX);
        node->input[node->n_input] = copy_text(b, inputs[node->n_input]);
    }
    node->output = take(b, OUTPUTS_MAX * sizeof *node->output);
    node->output[0] = copy_text(b, output);
    node->n_output = 1;
    node->attribute = take(b, ATTRIBUTES_MAX * sizeof(void *));
    b->onnx.node[b->onnx.n_node++] = node;
    return node;
}

static Onnx__AttributeProto *add_attribute(builder *b, Onnx__NodeProto *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type) {
    Onnx__AttributeProto *attribute = take(b, sizeof *attribute);
    onnx__attribute_proto__init(attribute);
    attribute->name = copy_text(b, name);
    attribute->has_type = 1;
    attribute->type = type;
    assert(node->n_attribute < ATTRIBUTES_MAX);
    node->attribute[node->n_attribute++] = attribute;
    return attribute;
}

static void set_int(builder *b, Onnx__NodeProto *node, const char *name, int value) {
    Onnx__AttributeProto *attribute =
        add_attribute(b, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    attribute->has_i = 1;
    attribute->i = value;
}

static void set_float(builder *b, Onnx__NodeProto *node, const char *name, float value) {
    Onnx__AttributeProto *attribute =
        add_attribute(b, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    attribute->has_f = 1;
    attribute->f = value;
}

/// `count` values to be filled in.
static int64_t *add_ints(builder *b, Onnx__NodeProto *node, const char *name, size_t count) {
    Onnx__AttributeProto *attribute =
        add_attribute(b, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    attribute->ints = take(b, count * sizeof *attribute->ints);
    attribute->n_ints = count;
    return attribute->ints;
}

/// `count` times the same value.
static void set_ints(builder *b, Onnx__NodeProto *node, const char *name, int value, size_t count) {
    int64_t *values = add_ints(b, node, name, count);
    for (size_t i = 0; i < count; i++) {
        values[i] = value;
    }
}

static void set_window(builder *b, Onnx__NodeProto *node, const nn_node *op) {
    set_ints(b, node, "kernel_shape", op->kernel, 2);
    set_ints(b, node, "strides", op->stride, 2);
    set_ints(b, node, "pads", op->pad, 4);
}

/// A constant of shape `dims` (ends with 0); `values` are lent, not copied.
static const char *add_tensor(builder *b, const char *name, const float *values,
                              const int64_t *dims) {
    Onnx__TensorProto *tensor = take(b, sizeof *tensor);
    size_t count = 1;
    onnx__tensor_proto__init(tensor);
    for (; dims[tensor->n_dims] != 0; tensor->n_dims++) {
        count *= (size_t)dims[tensor->n_dims];
    }
    tensor->dims = take(b, tensor->n_dims * sizeof *dims);
    memcpy(tensor->dims, dims, tensor->n_dims * sizeof *dims);
    tensor->name = copy_text(b, name);
    tensor->has_data_type = 1;
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->has_raw_data = 1;
    tensor->raw_data.len = count * sizeof *values;
    tensor->raw_data.data = (uint8_t *)values;
    b->onnx.initializer[b->onnx.n_initializer++] = tensor;
    return tensor->name;
}

/// The next `dims` (ends with 0) values of the state as a constant.
static const char *lend_state(builder *b, const char *name, const int64_t *dims) {
    const char *kept = add_tensor(b, name, b->state, dims);
    b->state += b->onnx.initializer[b->onnx.n_initializer - 1]->raw_data.len / sizeof(float);
    return kept;
}

/// A tensor of f32 (batch, dims...), `dims` ending with 0.
static Onnx__ValueInfoProto *make_value(builder *b, const char *name, const int64_t *dims) {
    Onnx__ValueInfoProto *value = take(b, sizeof *value);
    onnx__value_info_proto__init(value);
    value->name = copy_text(b, name);
    value->type = take(b, sizeof *value->type);
    onnx__type_proto__init(value->type);
    value->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    Onnx__TypeProto__Tensor *tensor = take(b, sizeof *tensor);
    onnx__type_proto__tensor__init(tensor);
    value->type->tensor_type = tensor;
    tensor->has_elem_type = 1;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    Onnx__TensorShapeProto *shape = take(b, sizeof *shape);
    onnx__tensor_shape_proto__init(shape);
    tensor->shape = shape;
    shape->dim = take(b, DIMS_MAX * sizeof(void *));
    for (size_t i = 0; i == 0 || dims[i - 1] != 0; i++) {
        Onnx__TensorShapeProto__Dimension *dim = take(b, sizeof *dim);
        onnx__tensor_shape_proto__dimension__init(dim);
        if (i == 0) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = copy_text(b, "batch");
        } else {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = dims[i - 1];
        }
        shape->dim[shape->n_dim++] = dim;
    }
    return value;
}

/* ---- ops ------------------------------------------------------------------------------------- */

// Each adds what node `index` does to `x`, giving `y`.

static void add_conv(builder *b, int index, const char *x, const char *y) {
    const nn_node *op = &b->graph->node[index];
    const int64_t in_channels = b->graph->node[op->input[0]].shape.channels;
    const int64_t dims[] = {op->out_channels, in_channels / op->groups, op->kernel, op->kernel, 0};
    const char *inputs[INPUTS_MAX] = {x};
    inputs[1] = lend_state(b, name_of(b, "weight_%d", index), dims);
    if (op->bias) {
        inputs[2] =
            lend_state(b, name_of(b, "bias_%d", index), (const int64_t[]){op->out_channels, 0});
    }
    Onnx__NodeProto *node = add_node(b, "Conv", inputs, y);
    set_window(b, node, op);
    set_int(b, node, "group", op->groups);
}

static void add_batch_norm(builder *b, int index, const char *x, const char *y) {
    const int64_t dims[] = {b->graph->node[index].shape.channels, 0};
    const char *inputs[INPUTS_MAX + 1] = {x};
    inputs[1] = lend_state(b, name_of(b, "scale_%d", index), dims);
    inputs[2] = lend_state(b, name_of(b, "shift_%d", index), dims);
    inputs[3] = lend_state(b, name_of(b, "mean_%d", index), dims);
    inputs[4] = lend_state(b, name_of(b, "variance_%d", index), dims);
    Onnx__NodeProto *node = add_node(b, "BatchNormalization", inputs, y);
    set_float(b, node, "epsilon", NN__NORM_EPSILON);
}

static void add_linear(builder *b, int index, const char *x, const char *y) {
    const nn_node *op = &b->graph->node[index];
    const nn_shape in = b->graph->node[op->input[0]].shape;
    const int64_t features = (int64_t)in.channels * in.height * in.width;
    const char *flat = name_of(b, "flat_%d", index);
    set_int(b, add_node(b, "Flatten", (const char *[]){x, NULL}, flat), "axis", 1);
    const char *weight = lend_state(b, name_of(b, "weight_%d", index),
                                    (const int64_t[]){op->out_channels, features, 0});
    const char *bias =
        lend_state(b, name_of(b, "bias_%d", index), (const int64_t[]){op->out_channels, 0});
    Onnx__NodeProto *node = add_node(b, "Gemm", (const char *[]){flat, weight, bias, NULL}, y);
    set_int(b, node, "transB", 1);
}

static void add_scale(builder *b, int index, const char *x, const char *y) {
    const char *factor = add_tensor(b, name_of(b, "factor_%d", index), &b->graph->node[index].value,
                                    (const int64_t[]){1, 0});
    (void)add_node(b, "Mul", (const char *[]){x, factor, NULL}, y);
}

static const char *add_constant(builder *b, const char *name, const float *value) {
    return add_tensor(b, name, value, (const int64_t[]){1, 0});
}

/// y = x / 2 (1 + erf(x / sqrt 2)), for opset 13 has no GELU.
static void add_gelu(builder *b, int index, const char *x, const char *y) {
    static const float root_two = 1.41421356F, one = 1.0F, half = 0.5F;
    const char *divisor = add_constant(b, name_of(b, "root_two_%d", index), &root_two);
    const char *addend = add_constant(b, name_of(b, "one_%d", index), &one);
    const char *factor = add_constant(b, name_of(b, "half_%d", index), &half);
    const char *scaled = name_of(b, "gelu_scaled_%d", index);
    const char *erf = name_of(b, "gelu_erf_%d", index);
    const char *gate = name_of(b, "gelu_gate_%d", index);
    const char *twice = name_of(b, "gelu_twice_%d", index);
    (void)add_node(b, "Div", (const char *[]){x, divisor, NULL}, scaled);
    (void)add_node(b, "Erf", (const char *[]){scaled, NULL}, erf);
    (void)add_node(b, "Add", (const char *[]){erf, addend, NULL}, gate);
    (void)add_node(b, "Mul", (const char *[]){x, gate, NULL}, twice);
    (void)add_node(b, "Mul", (const char *[]){twice, factor, NULL}, y);
}

static void add_silu(builder *b, int index, const char *x, const char *y) {
    const char *gate = name_of(b, "silu_gate_%d", index);
    (void)add_node(b, "Sigmoid", (const char *[]){x, NULL}, gate);
    (void)add_node(b, "Mul", (const char *[]){x, gate, NULL}, y);
}

static void add_activation(builder *b, int index, const char *x, const char *y) {
    switch (b->graph->node[index].activation) {
    case NN_ACTIVATION_RELU:
        (void)add_node(b, "Relu", (const char *[]){x, NULL}, y);
        break;
    case NN_ACTIVATION_SILU:
        add_silu(b, index, x, y);
        break;
    case NN_ACTIVATION_GELU:
        add_gelu(b, index, x, y);
        break;
    case NN_ACTIVATION_SIGMOID:
        (void)add_node(b, "Sigmoid", (const char *[]){x, NULL}, y);
        break;
    case NN_ACTIVATION_NONE:
    case NN_ACTIVATION_COUNT:
        assert(false && "there is one");
    }
}

static void add_op(builder *b, int index, const char *x, const char *y) {
    const nn_node *op = &b->graph->node[index];
    const char *const only_x[] = {x, NULL};
    switch (op->kind) {
    case NN_OP_CONV:
        add_conv(b, index, x, y);
        break;
    case NN_OP_BATCH_NORM:
        add_batch_norm(b, index, x, y);
        break;
    case NN_OP_ACTIVATION:
        add_activation(b, index, x, y);
        break;
    case NN_OP_ADD:
        (void)add_node(b, "Add", (const char *[]){x, name_of(b, "value_%d", op->input[1]), NULL},
                       y);
        break;
    case NN_OP_MULTIPLY:
        (void)add_node(b, "Mul", (const char *[]){x, name_of(b, "value_%d", op->input[1]), NULL},
                       y);
        break;
    case NN_OP_MAX_POOL:
        set_window(b, add_node(b, "MaxPool", only_x, y), op);
        break;
    case NN_OP_AVERAGE_POOL:
        set_window(b, add_node(b, "AveragePool", only_x, y), op); // padding does not count
        break;
    case NN_OP_GLOBAL_MAX_POOL:
        (void)add_node(b, "GlobalMaxPool", only_x, y);
        break;
    case NN_OP_GLOBAL_AVERAGE_POOL:
        (void)add_node(b, "GlobalAveragePool", only_x, y);
        break;
    case NN_OP_LINEAR:
        add_linear(b, index, x, y);
        break;
    case NN_OP_SCALE:
        add_scale(b, index, x, y);
        break;
    case NN_OP_INPUT:
    case NN_OP_DROPOUT:
    case NN_OP_NORM_ADD:
    case NN_OP_NORM_ADD_ACT:
    case NN_OP_NORM_POOL:
    case NN_OP_NORM_AVERAGE:
    case NN_OP_STEM_NORM:
    case NN_OP_KIND_COUNT:
        assert(false && "folding leaves one input, the first node, no dropout, nothing fused");
    }
}

static void add_ops(builder *b) {
    for (int i = 1; i < b->graph->node_count; i++) {
        const nn_node *op = &b->graph->node[i];
        const char *x = name_of(b, "value_%d", op->input[0]);
        const char *y = name_of(b, "value_%d", i);
        if (op->activation == NN_ACTIVATION_NONE || op->kind == NN_OP_ACTIVATION) {
            add_op(b, i, x, y);
        } else {
            const char *before = name_of(b, "before_activation_%d", i);
            add_op(b, i, x, before);
            add_activation(b, i, before, y);
        }
    }
}

/* ---- the graph's ends ------------------------------------------------------------------------ */

/// (N, C, H, W) -> (N, C, W, H).
static void add_turn(builder *b, const char *x, const char *y) {
    static const int64_t order[] = {0, 1, 3, 2};
    Onnx__NodeProto *node = add_node(b, "Transpose", (const char *[]){x, NULL}, y);
    memcpy(add_ints(b, node, "perm", NS_COUNT_OF(order)), order, sizeof order);
}

/// "image" (N, C, H, W) of the size that is given -> "shrunk", of the size that the network takes.
static const char *add_shrink(builder *b, nn_shape from, const data_shrinker *shrinker) {
    static const float half = 0.5F;
    const nn_shape to = b->graph->node[0].shape;
    float *across = take(b, (size_t)from.width * (size_t)to.width * sizeof *across);
    float *down = take(b, (size_t)from.height * (size_t)to.height * sizeof *down);
    data_shrinker_matrices(shrinker, across, down);
    const char *right = add_tensor(b, "across", across, (const int64_t[]){from.width, to.width, 0});
    const char *left = add_tensor(b, "down", down, (const int64_t[]){from.height, to.height, 0});
    const char *addend = add_constant(b, "rounding", &half);
    (void)add_node(b, "MatMul", (const char *[]){"image", right, NULL}, "narrow");
    add_turn(b, "narrow", "narrow_turned");
    (void)add_node(b, "MatMul", (const char *[]){"narrow_turned", left, NULL}, "small_turned");
    add_turn(b, "small_turned", "small");
    (void)add_node(b, "Add", (const char *[]){"small", addend, NULL}, "small_and_half");
    (void)add_node(b, "Floor", (const char *[]){"small_and_half", NULL}, "shrunk");
    return "shrunk";
}

/// value_0 is "upright" and behind it, in the same batch, its mirror images: (2 batch, C, H, W).
/// A row times the matrix that is 1 where column = W - 1 - row is that row backwards, exactly; a
/// Slice with step -1 would be shorter, but OpenCV 4.6 refuses it.
static void add_mirror_images(builder *b) {
    const int64_t width = b->graph->node[0].shape.width;
    float *backwards = take(b, (size_t)(width * width) * sizeof *backwards);
    memset(backwards, 0, (size_t)(width * width) * sizeof *backwards);
    for (int64_t i = 0; i < width; i++) {
        backwards[i * width + width - 1 - i] = 1.0F;
    }
    const char *matrix = add_tensor(b, "backwards", backwards, (const int64_t[]){width, width, 0});
    (void)add_node(b, "MatMul", (const char *[]){"upright", matrix, NULL}, "mirrored");
    set_int(b, add_node(b, "Concat", (const char *[]){"upright", "mirrored", NULL}, "value_0"),
            "axis", 0);
}

/// (2 batch, labels) -> (batch, labels): the mean of images and mirror images.
static const char *add_mirror_mean(builder *b, const char *logits) {
    static const float half = 0.5F;
    Onnx__NodeProto *split = add_node(b, "Split", (const char *[]){logits, NULL}, "upright_logits");
    set_int(b, split, "axis", 0);
    split->output[split->n_output++] = copy_text(b, "mirrored_logits");
    (void)add_node(b, "Add", (const char *[]){"upright_logits", "mirrored_logits", NULL}, "sum");
    const char *factor = add_constant(b, "half", &half);
    (void)add_node(b, "Mul", (const char *[]){"sum", factor, NULL}, "mean_logits");
    return "mean_logits";
}

/// `shrinker` may be NULL.
static void add_input(builder *b, const nn_model_info *info, const data_shrinker *shrinker) {
    const nn_shape shape = info->image;
    const int64_t per_channel[] = {shape.channels, 1, 1, 0};
    const char *mean = add_tensor(b, "mean", info->mean, per_channel);
    const char *deviation = add_tensor(b, "deviation", info->deviation, per_channel);
    b->onnx.input[b->onnx.n_input++] =
        make_value(b, "image", (const int64_t[]){shape.channels, shape.height, shape.width, 0});
    const char *pixels = shrinker != NULL ? add_shrink(b, shape, shrinker) : "image";
    (void)add_node(b, "Sub", (const char *[]){pixels, mean, NULL}, "centred");
    if (info->mirror_average) {
        (void)add_node(b, "Div", (const char *[]){"centred", deviation, NULL}, "upright");
        add_mirror_images(b);
    } else {
        (void)add_node(b, "Div", (const char *[]){"centred", deviation, NULL}, "value_0");
    }
}

static void add_output(builder *b, const nn_model_info *info) {
    const int last = b->graph->node_count - 1;
    const char *logits = name_of(b, "value_%d", last);
    if (b->graph->node[last].kind != NN_OP_LINEAR) { // (batch, labels, 1, 1)
        set_int(b, add_node(b, "Flatten", (const char *[]){logits, NULL}, "logits"), "axis", 1);
        logits = "logits";
    }
    if (info->mirror_average) {
        logits = add_mirror_mean(b, logits);
    }
    if (info->multi_label) {
        (void)add_node(b, "Sigmoid", (const char *[]){logits, NULL}, "probabilities");
    } else {
        set_int(b, add_node(b, "Softmax", (const char *[]){logits, NULL}, "probabilities"), "axis",
                1);
    }
    b->onnx.output[b->onnx.n_output++] =
        make_value(b, "probabilities", (const int64_t[]){info->label_count, 0});
}

/* ---- the model ------------------------------------------------------------------------------- */

static ns_status write_message(const Onnx__ModelProto *message, const char *path, ns_error *err) {
    const size_t size_bytes = onnx__model_proto__get_packed_size(message);
    if (size_bytes > INT32_MAX) {
        return ns_fail(err, NS_ERR_LIMIT, "%s would have %zu bytes, but ONNX stops at 2 GiB", path,
                       size_bytes);
    }
    uint8_t *bytes = malloc(size_bytes);
    if (bytes == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for %zu bytes of ONNX", size_bytes);
    }
    (void)onnx__model_proto__pack(message, bytes);
    const ns_status status = ns_file_write(path, bytes, size_bytes, err);
    free(bytes);
    return status;
}

/// Around the graph: versions, producer, label names.
static ns_status write_model(builder *b, char *labels_json, const char *path, ns_error *err) {
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT;
    Onnx__OperatorSetIdProto *opsets[] = {&opset};
    opset.domain = copy_text(b, "");
    opset.has_version = 1;
    opset.version = OPSET;
    Onnx__StringStringEntryProto labels = ONNX__STRING_STRING_ENTRY_PROTO__INIT;
    Onnx__StringStringEntryProto *metadata[] = {&labels};
    labels.key = copy_text(b, "labels");
    labels.value = labels_json;
    Onnx__ModelProto message = ONNX__MODEL_PROTO__INIT;
    message.has_ir_version = 1;
    message.ir_version = IR_VERSION;
    message.n_opset_import = 1;
    message.opset_import = opsets;
    message.producer_name = copy_text(b, "nightshift");
    message.producer_version = copy_text(b, NS_VERSION);
    message.graph = &b->onnx;
    message.n_metadata_props = 1;
    message.metadata_props = metadata;
    return write_message(&message, path, err);
}

/// Of add_mirror_images() and add_shrink().
static size_t matrix_bytes(const nn_model_info *info) {
    const nn_shape from = info->image, to = info->graph->node[0].shape;
    const size_t mirror = (size_t)to.width * (size_t)to.width;
    const size_t across = (size_t)from.width * (size_t)to.width;
    const size_t down = (size_t)from.height * (size_t)to.height;
    return (mirror + (nn__model_shrinks(info) ? across + down : 0)) * sizeof(float);
}

static ns_status make_builder(builder *b, const nn_model_info *info, const nn_graph *graph,
                              const float *state, ns_error *err) {
    const size_t op_count = (size_t)graph->node_count;
    NS_TRY(
        ns_arena_new(FIXED_BYTES + matrix_bytes(info) + op_count * OP_BYTES_MAX, &b->arena, err));
    b->graph = graph;
    b->state = state;
    onnx__graph_proto__init(&b->onnx);
    b->onnx.name = copy_text(b, "classifier");
    b->onnx.node = take(b, (op_count + 4) * NODES_PER_OP * sizeof(void *));
    b->onnx.initializer = take(b, (op_count + 3) * TENSORS_PER_OP * sizeof(void *));
    b->onnx.input = take(b, sizeof(void *));
    b->onnx.output = take(b, sizeof(void *));
    return NS_OK;
}

static ns_status print_labels(const nn_model_info *info, char **out, ns_error *err) {
    ns_json *array = ns_json_array_new();
    for (int i = 0; i < info->label_count; i++) {
        ns_json_add_string(array, info->labels[i]);
    }
    const ns_status status = ns_json_print(array, false, out, err);
    ns_json_free(array);
    return status;
}

ns_status nn_export_onnx(const nn_model *model, const char *path, ns_error *err) {
    const nn_model_info *info = nn_model_describe(model);
    nn__fold *fold = NULL;
    char *labels = NULL;
    data_shrinker *shrinker = NULL;
    builder b = {0};
    NS_TRY(nn__fold_new(info->graph, &fold, err));
    float *state = malloc((nn_graph_state_count(info->graph) + 1) * sizeof *state);
    ns_status status = NS_OK;
    if (state == NULL) {
        status = ns_fail(err, NS_ERR_MEMORY, "no memory for the folded weights");
        goto out;
    }
    nn__fold_state(fold, info->state, state);
    NS_TRY_OUT(print_labels(info, &labels, err));
    if (nn__model_shrinks(info)) {
        NS_TRY_OUT(data_shrinker_new(info->image.channels, nn__size_of(info->image),
                                     nn__size_of(info->graph->node[0].shape), 1, &shrinker, err));
    }
    NS_TRY_OUT(make_builder(&b, info, nn__fold_graph(fold), state, err));
    add_input(&b, info, shrinker);
    add_ops(&b);
    add_output(&b, info);
    status = write_model(&b, labels, path, err);
out:
    ns_arena_free(b.arena);
    data_shrinker_free(shrinker);
    free(state);
    free(labels);
    nn__fold_free(fold);
    return status;
}
