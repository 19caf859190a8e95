// The table of ops, spelled out: output shapes, FLOPs and parameters of every row of op_list.h.
//
// A shape function gets shapes that are already legal and returns either a legal output shape or
// a sentence that says what does not fit; graph.c puts the op's name and place before it. The
// limits here and in graph.c keep every later product and sum within int64_t: with 2^31 weights and
// maps of 2^28 pixels at most, no node's FLOPs reach 2^61.

#include "nn/nn_internal.h"

#define SIDE_MAX     16384
#define CHANNELS_MAX 65536
#define COUNT_MAX    INT32_MAX // values of one image's tensor, and of one node's weights

size_t nn__shape_count(nn_shape shape) {
    return (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
}

size_t nn__block_up(size_t count) {
    return (count + NN__BLOCK - 1) / NN__BLOCK * NN__BLOCK;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static ns_status set_shape(nn_node *node, nn_shape shape, ns_error *err) {
    if (shape.channels < 1 || shape.height < 1 || shape.width < 1) {
        return ns_fail(err, NS_ERR_INPUT, "its shape %dx%dx%d is empty", shape.channels,
                       shape.height, shape.width);
    }
    if (shape.channels > CHANNELS_MAX || shape.height > SIDE_MAX || shape.width > SIDE_MAX ||
        (int64_t)shape.channels * shape.height * shape.width > COUNT_MAX) {
        return ns_fail(err, NS_ERR_LIMIT, "its shape %dx%dx%d is too large", shape.channels,
                       shape.height, shape.width);
    }
    node->shape = shape;
    return NS_OK;
}

static ns_status nn__shape_image(nn_node *node, const nn_shape *in, ns_error *err) {
    (void)in;
    return set_shape(node, node->shape, err);
}

static ns_status nn__shape_same(nn_node *node, const nn_shape *in, ns_error *err) {
    if (node->kind == NN_OP_ACTIVATION && node->activation == NN_ACTIVATION_NONE) {
        return ns_fail(err, NS_ERR_INPUT, "it is of no kind");
    }
    if (node->kind == NN_OP_DROPOUT && !(node->value >= 0.0F && node->value < 1.0F)) {
        return ns_fail(err, NS_ERR_INPUT, "its probability %g is not in [0, 1)",
                       (double)node->value);
    }
    return set_shape(node, in[0], err);
}

static ns_status nn__shape_equal(nn_node *node, const nn_shape *in, ns_error *err) {
    if (in[0].channels != in[1].channels || in[0].height != in[1].height ||
        in[0].width != in[1].width) {
        return ns_fail(err, NS_ERR_INPUT, "its inputs differ: %dx%dx%d and %dx%dx%d",
                       in[0].channels, in[0].height, in[0].width, in[1].channels, in[1].height,
                       in[1].width);
    }
    return set_shape(node, in[0], err);
}

static ns_status nn__shape_gated(nn_node *node, const nn_shape *in, ns_error *err) {
    if (in[1].channels != in[0].channels || in[1].height != 1 || in[1].width != 1) {
        return ns_fail(err, NS_ERR_INPUT, "its gate is %dx%dx%d instead of %dx1x1", in[1].channels,
                       in[1].height, in[1].width, in[0].channels);
    }
    return set_shape(node, in[0], err);
}

static ns_status nn__shape_pixel(nn_node *node, const nn_shape *in, ns_error *err) {
    return set_shape(node, (nn_shape){in[0].channels, 1, 1}, err);
}

static int window_side(const nn_node *node, int side) {
    return (side + 2 * node->pad - node->kernel) / node->stride + 1;
}

/// A window sliding over (H, W): every window must touch at least one pixel.
static ns_status slide(nn_node *node, nn_shape in, int channels, ns_error *err) {
    if (node->kernel < 1 || node->kernel > SIDE_MAX || node->stride < 1 ||
        node->stride > SIDE_MAX) {
        return ns_fail(err, NS_ERR_INPUT, "its kernel %d or stride %d is out of range",
                       node->kernel, node->stride);
    }
    if (node->pad < 0 || node->pad > node->kernel / 2) {
        return ns_fail(err, NS_ERR_INPUT, "its padding %d is not between 0 and half its kernel %d",
                       node->pad, node->kernel);
    }
    if (in.height + 2 * node->pad < node->kernel || in.width + 2 * node->pad < node->kernel) {
        return ns_fail(err, NS_ERR_INPUT, "kernel %d is larger than its padded input %dx%d",
                       node->kernel, in.height + 2 * node->pad, in.width + 2 * node->pad);
    }
    return set_shape(
        node, (nn_shape){channels, window_side(node, in.height), window_side(node, in.width)}, err);
}

static ns_status nn__shape_window(nn_node *node, const nn_shape *in, ns_error *err) {
    return slide(node, in[0], in[0].channels, err);
}

/// `per_output`: weights of one output channel.
static ns_status check_weights(const nn_node *node, int64_t per_output, ns_error *err) {
    if (per_output > COUNT_MAX / node->out_channels) {
        return ns_fail(err, NS_ERR_LIMIT,
                       "%d output channels of %lld weights each are more than %d weights",
                       node->out_channels, (long long)per_output, COUNT_MAX);
    }
    return NS_OK;
}

static ns_status nn__shape_conv(nn_node *node, const nn_shape *in, ns_error *err) {
    if (node->out_channels < 1 || node->out_channels > CHANNELS_MAX) {
        return ns_fail(err, NS_ERR_INPUT, "its %d output channels are out of range",
                       node->out_channels);
    }
    if (node->groups < 1 || in[0].channels % node->groups != 0 ||
        node->out_channels % node->groups != 0) {
        return ns_fail(err, NS_ERR_INPUT, "%d groups do not divide %d input and %d output channels",
                       node->groups, in[0].channels, node->out_channels);
    }
    NS_TRY(slide(node, in[0], node->out_channels, err));
    return check_weights(
        node, (int64_t)(in[0].channels / node->groups) * node->kernel * node->kernel, err);
}

static ns_status nn__shape_linear(nn_node *node, const nn_shape *in, ns_error *err) {
    NS_TRY(set_shape(node, (nn_shape){node->out_channels, 1, 1}, err));
    return check_weights(node, (int64_t)nn__shape_count(in[0]), err);
}

/* ---- FLOPs of one image's forward pass ------------------------------------------------------- */

static int64_t output_count(const nn_node *node) {
    return (int64_t)nn__shape_count(node->shape);
}

static int64_t nn__flops_none(const nn_node *node, nn_shape in) {
    (void)node;
    (void)in;
    return 0;
}

static int64_t nn__flops_point(const nn_node *node, nn_shape in) {
    (void)in;
    return output_count(node);
}

/// Sum, squared difference (3), normalise and transform (4).
static int64_t nn__flops_norm(const nn_node *node, nn_shape in) {
    (void)in;
    return 8 * output_count(node);
}

static int64_t nn__flops_global(const nn_node *node, nn_shape in) {
    (void)node;
    return (int64_t)nn__shape_count(in);
}

static int64_t nn__flops_window(const nn_node *node, nn_shape in) {
    (void)in;
    return output_count(node) * node->kernel * node->kernel;
}

/// Padding taps are counted: a fast kernel spends them too.
static int64_t nn__flops_conv(const nn_node *node, nn_shape in) {
    return 2 * output_count(node) * (in.channels / node->groups) * node->kernel * node->kernel;
}

static int64_t nn__flops_linear(const nn_node *node, nn_shape in) {
    return 2 * (int64_t)nn__shape_count(in) * node->out_channels;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static nn__params nn__params_none(const nn_node *node, nn_shape in) {
    (void)node;
    (void)in;
    return (nn__params){.trainable = {0, 0}};
}

/// Weights (O, I/groups, KH, KW); bias (O).
static nn__params nn__params_conv(const nn_node *node, nn_shape in) {
    const size_t out = (size_t)node->out_channels;
    const size_t taps = (size_t)node->kernel * (size_t)node->kernel;
    return (nn__params){
        .trainable = {out * (size_t)(in.channels / node->groups) * taps, node->bias ? out : 0},
        .learns = !node->frozen,
        .decays = !node->frozen};
}

/// Scale, shift, running mean and running variance, each (C).
static nn__params nn__params_norm(const nn_node *node, nn_shape in) {
    (void)node;
    const size_t channels = (size_t)in.channels;
    return (nn__params){.trainable = {channels, channels}, .running = channels, .learns = true};
}

/// Weights (O, C * H * W); bias (O).
static nn__params nn__params_linear(const nn_node *node, nn_shape in) {
    const size_t out = (size_t)node->out_channels;
    return (nn__params){
        .trainable = {out * nn__shape_count(in), out}, .learns = true, .decays = true};
}

/* ---- the table ------------------------------------------------------------------------------- */

static const nn__op op_table[] = {
#define ROW(kind, name, in, fields, reads, fx, fy, bx, by, shape, flops, params, reference)        \
    [NN_OP_##kind] = {name,                                                                        \
                      in,                                                                          \
                      NN__FIELDS_##fields,                                                         \
                      NN__READS_##reads,                                                           \
                      fx,                                                                          \
                      fy,                                                                          \
                      bx,                                                                          \
                      by,                                                                          \
                      nn__shape_##shape,                                                           \
                      nn__flops_##flops,                                                           \
                      nn__params_##params,                                                         \
                      nn__ref_##reference##_forward,                                               \
                      nn__ref_##reference##_backward},
    NN_OP_LIST(ROW)
#undef ROW
};

_Static_assert(NS_COUNT_OF(op_table) == NN_OP_KIND_COUNT, "every op of nn.h has its row");

const nn__op *nn__op_of(nn_op_kind kind) {
    return &op_table[kind];
}
