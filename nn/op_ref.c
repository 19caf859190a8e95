// The reference backend: every op as the loops of its definition, forward and backward.
//
// Plain (N, C, H, W) f32, one thread, sums in double precision, nothing kept that can be computed
// again. It is here to be read and to be compared with: tests hold every fast kernel against it,
// and check its own gradients by finite differences. Speed is no concern.
//
// A backward writes (never adds to) the gradients it is asked for: dx where it is not NULL, and the
// parameters' gradients.

#include <math.h>
#include <string.h>

#include "nn/nn_internal.h"

/// Index of (n, c, h, w) in a tensor of `shape`.
static size_t at(nn_shape shape, int n, int c, int h, int w) {
    return (((size_t)n * (size_t)shape.channels + (size_t)c) * (size_t)shape.height + (size_t)h) *
               (size_t)shape.width +
           (size_t)w;
}

static size_t tensor_count(const nn__layer *layer, nn_shape shape) {
    return (size_t)layer->batch_size * nn__shape_count(shape);
}

static bool inside(nn_shape shape, int h, int w) {
    return h >= 0 && h < shape.height && w >= 0 && w < shape.width;
}

#define FOR_EACH(layer, shape_)                                                                    \
    for (int n = 0; n < (layer)->batch_size; n++)                                                  \
        for (int c = 0; c < (shape_).channels; c++)                                                \
            for (int h = 0; h < (shape_).height; h++)                                              \
                for (int w = 0; w < (shape_).width; w++)

/* ---- input, elementwise ---------------------------------------------------------------------- */

void nn__ref_none_forward(const nn__layer *layer) {
    (void)layer;
}

void nn__ref_none_backward(const nn__layer *layer) {
    (void)layer;
}

static float activated(const nn__layer *layer, float x) {
    return nn__activate(layer->node->activation, x);
}

void nn__ref_activation_forward(const nn__layer *layer) {
    for (size_t i = 0; i < tensor_count(layer, layer->in); i++) {
        layer->y[i] = activated(layer, layer->x[0][i]);
    }
}

void nn__ref_activation_backward(const nn__layer *layer) {
    for (size_t i = 0; i < tensor_count(layer, layer->in) && layer->dx[0] != NULL; i++) {
        layer->dx[0][i] = layer->dy[i] * nn__activation_slope(layer->node->activation,
                                                              layer->x[0][i], layer->y[i]);
    }
}

void nn__ref_add_forward(const nn__layer *layer) {
    for (size_t i = 0; i < tensor_count(layer, layer->in); i++) {
        layer->y[i] = activated(layer, layer->x[0][i] + layer->x[1][i]);
    }
}

void nn__ref_add_backward(const nn__layer *layer) {
    (void)layer; // passes[]: the inputs' gradients are dy itself
}

/// y (N, C, H, W) = x[0] (N, C, H, W) * x[1] (N, C, 1, 1).
void nn__ref_multiply_forward(const nn__layer *layer) {
    FOR_EACH(layer, layer->in) {
        const size_t p = at(layer->in, n, c, h, w);
        layer->y[p] = layer->x[0][p] * layer->x[1][n * layer->in.channels + c];
    }
}

void nn__ref_multiply_backward(const nn__layer *layer) {
    const size_t plane = (size_t)layer->in.height * (size_t)layer->in.width;
    for (size_t nc = 0; nc < (size_t)layer->batch_size * (size_t)layer->in.channels; nc++) {
        double sum = 0.0;
        for (size_t p = nc * plane; p < (nc + 1) * plane; p++) {
            sum += (double)layer->dy[p] * (double)layer->x[0][p];
            if (layer->dx[0] != NULL) {
                layer->dx[0][p] = layer->dy[p] * layer->x[1][nc];
            }
        }
        if (layer->dx[1] != NULL) {
            layer->dx[1][nc] = (float)sum;
        }
    }
}

void nn__ref_scale_forward(const nn__layer *layer) {
    for (size_t i = 0; i < tensor_count(layer, layer->in); i++) {
        layer->y[i] = layer->node->value * layer->x[0][i];
    }
}

void nn__ref_scale_backward(const nn__layer *layer) {
    for (size_t i = 0; i < tensor_count(layer, layer->in) && layer->dx[0] != NULL; i++) {
        layer->dx[0][i] = layer->node->value * layer->dy[i];
    }
}

static float dropped(const nn__dropout *dropout, size_t element, float value) {
    return nn__dropout_keeps(dropout, (uint32_t)element) ? value * dropout->factor : 0.0F;
}

void nn__ref_dropout_forward(const nn__layer *layer) {
    const nn__dropout dropout = nn__dropout_of(layer);
    for (size_t i = 0; i < tensor_count(layer, layer->in); i++) {
        layer->y[i] = layer->training ? dropped(&dropout, i, layer->x[0][i]) : layer->x[0][i];
    }
}

void nn__ref_dropout_backward(const nn__layer *layer) {
    const nn__dropout dropout = nn__dropout_of(layer);
    for (size_t i = 0; i < tensor_count(layer, layer->in) && layer->dx[0] != NULL; i++) {
        layer->dx[0][i] = dropped(&dropout, i, layer->dy[i]);
    }
}

/* ---- convolution ----------------------------------------------------------------------------- */

/// One multiplication of a convolution: y[y_at] += weight[weight_at] * x[x_at].
typedef void (*tap_fn)(void *context, size_t y_at, size_t weight_at, size_t x_at);

/// Calls `tap` for all multiplications of the output element (n, o, h, w).
static void conv_taps(const nn__layer *layer, int n, int o, int h, int w, tap_fn tap,
                      void *context) {
    const nn_node *node = layer->node;
    const nn_shape in = layer->in;
    const int group_in = in.channels / node->groups;
    const int first_in = o / (node->out_channels / node->groups) * group_in;
    const nn_shape kernel = {group_in, node->kernel, node->kernel}; // weights (O, I/g, KH, KW)
    const size_t y_at = at(node->shape, n, o, h, w);
    for (int i = 0; i < group_in; i++) {
        for (int kh = 0; kh < node->kernel; kh++) {
            for (int kw = 0; kw < node->kernel; kw++) {
                const int x_h = h * node->stride - node->pad + kh;
                const int x_w = w * node->stride - node->pad + kw;
                if (inside(in, x_h, x_w)) {
                    tap(context, y_at, at(kernel, o, i, kh, kw), at(in, n, first_in + i, x_h, x_w));
                }
            }
        }
    }
}

typedef struct conv_sum {
    const nn__layer *layer;
    double sum;
} conv_sum;

static void tap_forward(void *context, size_t y_at, size_t weight_at, size_t x_at) {
    conv_sum *s = context;
    (void)y_at;
    s->sum += (double)s->layer->value[0][weight_at] * (double)s->layer->x[0][x_at];
}

static void tap_backward(void *context, size_t y_at, size_t weight_at, size_t x_at) {
    const nn__layer *layer = context;
    if (layer->params.learns) {
        layer->gradient[0][weight_at] += layer->dy[y_at] * layer->x[0][x_at];
    }
    if (layer->dx[0] != NULL) {
        layer->dx[0][x_at] += layer->dy[y_at] * layer->value[0][weight_at];
    }
}

void nn__ref_conv_forward(const nn__layer *layer) {
    const nn_node *node = layer->node;
    FOR_EACH(layer, node->shape) {
        conv_sum s = {layer, node->bias ? (double)layer->value[1][c] : 0.0};
        conv_taps(layer, n, c, h, w, tap_forward, &s);
        layer->y[at(node->shape, n, c, h, w)] = activated(layer, (float)s.sum);
    }
}

static void zero(float *values, size_t count) {
    if (values != NULL) {
        memset(values, 0, count * sizeof *values);
    }
}

void nn__ref_conv_backward(const nn__layer *layer) {
    const nn_node *node = layer->node;
    zero(layer->gradient[0], layer->params.trainable[0]);
    zero(layer->gradient[1], layer->params.trainable[1]);
    zero(layer->dx[0], tensor_count(layer, layer->in));
    FOR_EACH(layer, node->shape) {
        conv_taps(layer, n, c, h, w, tap_backward, (void *)layer);
        if (node->bias && layer->params.learns) {
            layer->gradient[1][c] += layer->dy[at(node->shape, n, c, h, w)];
        }
    }
}

/* ---- linear ---------------------------------------------------------------------------------- */

/// y (N, O) = x (N, I) weights (O, I)^T + bias (O).
void nn__ref_linear_forward(const nn__layer *layer) {
    const size_t in = nn__shape_count(layer->in), out = (size_t)layer->node->out_channels;
    for (size_t n = 0; n < (size_t)layer->batch_size; n++) {
        for (size_t o = 0; o < out; o++) {
            double sum = (double)layer->value[1][o];
            for (size_t i = 0; i < in; i++) {
                sum += (double)layer->x[0][n * in + i] * (double)layer->value[0][o * in + i];
            }
            layer->y[n * out + o] = (float)sum;
        }
    }
}

void nn__ref_linear_backward(const nn__layer *layer) {
    const size_t in = nn__shape_count(layer->in), out = (size_t)layer->node->out_channels;
    zero(layer->gradient[0], layer->params.trainable[0]);
    zero(layer->gradient[1], layer->params.trainable[1]);
    zero(layer->dx[0], tensor_count(layer, layer->in));
    for (size_t n = 0; n < (size_t)layer->batch_size; n++) {
        for (size_t o = 0; o < out; o++) {
            const float dy = layer->dy[n * out + o];
            layer->gradient[1][o] += dy;
            for (size_t i = 0; i < in; i++) {
                layer->gradient[0][o * in + i] += dy * layer->x[0][n * in + i];
                if (layer->dx[0] != NULL) {
                    layer->dx[0][n * in + i] += dy * layer->value[0][o * in + i];
                }
            }
        }
    }
}

/* ---- batch norm ------------------------------------------------------------------------------ */

/// Mean and biased variance of one channel over batch, height and width.
static void channel_statistics(const nn__layer *layer, int c, double *mean, double *variance) {
    const size_t plane = (size_t)layer->in.height * (size_t)layer->in.width;
    const double count = (double)layer->batch_size * (double)plane;
    double sum = 0.0, squares = 0.0;
    for (int n = 0; n < layer->batch_size; n++) {
        for (size_t i = 0; i < plane; i++) {
            sum += (double)layer->x[0][at(layer->in, n, c, 0, 0) + i];
        }
    }
    *mean = sum / count;
    for (int n = 0; n < layer->batch_size; n++) {
        for (size_t i = 0; i < plane; i++) {
            const double d = (double)layer->x[0][at(layer->in, n, c, 0, 0) + i] - *mean;
            squares += d * d;
        }
    }
    *variance = squares / count;
}

/// y = activation(scale (x - mean) / sqrt(variance + epsilon) + shift), by channel.
static void norm_channel(const nn__layer *layer, int c, double mean, double variance) {
    const size_t plane = (size_t)layer->in.height * (size_t)layer->in.width;
    const double inverse = 1.0 / sqrt(variance + (double)NN__NORM_EPSILON);
    for (int n = 0; n < layer->batch_size; n++) {
        for (size_t i = 0; i < plane; i++) {
            const size_t p = at(layer->in, n, c, 0, 0) + i;
            const float y =
                (float)((double)layer->value[0][c] * ((double)layer->x[0][p] - mean) * inverse +
                        (double)layer->value[1][c]);
            layer->y[p] = activated(layer, y);
        }
    }
}

void nn__ref_batch_norm_forward(const nn__layer *layer) {
    const float share = *layer->running_share, keep = 1.0F - share;
    const double count = (double)layer->batch_size * layer->in.height * layer->in.width;
    for (int c = 0; c < layer->in.channels; c++) {
        double mean = (double)layer->running[0][c], variance = (double)layer->running[1][c];
        if (layer->training) {
            channel_statistics(layer, c, &mean, &variance);
            const double unbiased = count > 1.0 ? variance * count / (count - 1.0) : variance;
            layer->running[0][c] = keep * layer->running[0][c] + share * (float)mean;
            layer->running[1][c] = keep * layer->running[1][c] + share * (float)unbiased;
        }
        norm_channel(layer, c, mean, variance);
    }
}

/// Of the activation behind the norm, at its input.
static double norm_slope(const nn__layer *layer, float x) {
    return (double)nn__activation_slope(layer->node->activation, x, activated(layer, x));
}

/// With x' the normalised input and m the count of values in a channel (Ioffe & Szegedy 2015):
/// dscale = sum dy x', dshift = sum dy, dx = scale / deviation (dy - dshift / m - x' dscale / m).
static void norm_channel_backward(const nn__layer *layer, int c) {
    const size_t plane = (size_t)layer->in.height * (size_t)layer->in.width;
    const double count = (double)layer->batch_size * (double)plane;
    double mean, variance, dscale = 0.0, dshift = 0.0;
    channel_statistics(layer, c, &mean, &variance);
    const double inverse = 1.0 / sqrt(variance + (double)NN__NORM_EPSILON);
    const double scale = (double)layer->value[0][c], shift = (double)layer->value[1][c];
    for (int pass = 0; pass < 2; pass++) {
        for (int n = 0; n < layer->batch_size; n++) {
            for (size_t i = 0; i < plane; i++) {
                const size_t p = at(layer->in, n, c, 0, 0) + i;
                const double normal = ((double)layer->x[0][p] - mean) * inverse;
                const double dy =
                    (double)layer->dy[p] * norm_slope(layer, (float)(scale * normal + shift));
                if (pass == 0) {
                    dscale += dy * normal;
                    dshift += dy;
                } else if (layer->dx[0] != NULL) {
                    layer->dx[0][p] =
                        (float)(scale * inverse * (dy - dshift / count - normal * dscale / count));
                }
            }
        }
    }
    layer->gradient[0][c] = (float)dscale;
    layer->gradient[1][c] = (float)dshift;
}

void nn__ref_batch_norm_backward(const nn__layer *layer) {
    for (int c = 0; c < layer->in.channels; c++) {
        norm_channel_backward(layer, c);
    }
}

/* ---- pooling --------------------------------------------------------------------------------- */

/// Pixels of the input under one output element; the global pools' window is the whole map.
typedef struct window {
    int top, left, bottom, right; // bottom and right excluded
} window;

static int max_int(int a, int b) {
    return a > b ? a : b;
}

static int min_int(int a, int b) {
    return a < b ? a : b;
}

static window window_of(const nn__layer *layer, int h, int w) {
    const nn_node *node = layer->node;
    if (node->kernel == 0) {
        return (window){0, 0, layer->in.height, layer->in.width};
    }
    const int top = h * node->stride - node->pad, left = w * node->stride - node->pad;
    return (window){max_int(top, 0), max_int(left, 0),
                    min_int(top + node->kernel, layer->in.height),
                    min_int(left + node->kernel, layer->in.width)};
}

/// Index in x of the (first) largest value.
static size_t window_max(const nn__layer *layer, window win, int n, int c) {
    size_t best = at(layer->in, n, c, win.top, win.left);
    for (int h = win.top; h < win.bottom; h++) {
        for (int w = win.left; w < win.right; w++) {
            const size_t p = at(layer->in, n, c, h, w);
            best = layer->x[0][p] > layer->x[0][best] ? p : best;
        }
    }
    return best;
}

/// Keeps the index of each maximum, (N, C, OH, OW), for backward.
void nn__ref_max_pool_forward(const nn__layer *layer) {
    int32_t *index = layer->kept;
    FOR_EACH(layer, layer->node->shape) {
        const size_t p = at(layer->node->shape, n, c, h, w);
        const size_t best = window_max(layer, window_of(layer, h, w), n, c);
        layer->y[p] = layer->x[0][best];
        if (index != NULL) {
            index[p] = (int32_t)best;
        }
    }
}

void nn__ref_max_pool_backward(const nn__layer *layer) {
    const int32_t *index = layer->kept;
    zero(layer->dx[0], tensor_count(layer, layer->in));
    for (size_t i = 0; i < tensor_count(layer, layer->node->shape) && layer->dx[0]; i++) {
        layer->dx[0][index[i]] += layer->dy[i];
    }
}

static double window_area(window win) {
    return (double)(win.bottom - win.top) * (double)(win.right - win.left);
}

void nn__ref_average_pool_forward(const nn__layer *layer) {
    FOR_EACH(layer, layer->node->shape) {
        const window win = window_of(layer, h, w);
        double sum = 0.0;
        for (int x_h = win.top; x_h < win.bottom; x_h++) {
            for (int x_w = win.left; x_w < win.right; x_w++) {
                sum += (double)layer->x[0][at(layer->in, n, c, x_h, x_w)];
            }
        }
        layer->y[at(layer->node->shape, n, c, h, w)] = (float)(sum / window_area(win));
    }
}

void nn__ref_average_pool_backward(const nn__layer *layer) {
    zero(layer->dx[0], tensor_count(layer, layer->in));
    if (layer->dx[0] == NULL) {
        return;
    }
    FOR_EACH(layer, layer->node->shape) {
        const window win = window_of(layer, h, w);
        const float share = layer->dy[at(layer->node->shape, n, c, h, w)] / (float)window_area(win);
        for (int x_h = win.top; x_h < win.bottom; x_h++) {
            for (int x_w = win.left; x_w < win.right; x_w++) {
                layer->dx[0][at(layer->in, n, c, x_h, x_w)] += share;
            }
        }
    }
}

/* ---- the backend ----------------------------------------------------------------------------- */

static bool keeps_index(const nn__layer *layer) {
    return layer->training &&
           (layer->node->kind == NN_OP_MAX_POOL || layer->node->kind == NN_OP_GLOBAL_MAX_POOL);
}

static ns_status describe(nn__layer *layers, int layer_count, void **context, ns_error *err) {
    (void)context;
    (void)err;
    for (int i = 0; i < layer_count; i++) {
        nn__layer *layer = &layers[i];
        const size_t count = tensor_count(layer, layer->node->shape);
        layer->y_bytes = count * sizeof(float);
        layer->kept_bytes = keeps_index(layer) ? count * sizeof(int32_t) : 0;
        for (int k = 0; k < NN__PARAMS_MAX; k++) {
            layer->param_count[k] = nn__block_up(layer->params.trainable[k]);
            layer->passes[k] = layer->node->kind == NN_OP_ADD;
        }
    }
    return NS_OK;
}

static ns_status build(nn__layer *layers, int layer_count, void *context, ns_error *err) {
    (void)layers;
    (void)layer_count;
    (void)context;
    (void)err;
    return NS_OK;
}

static void close_layers(nn__layer *layers, int layer_count, void *context) {
    (void)layers;
    (void)layer_count;
    (void)context;
}

static void forward(const nn__layer *layer) {
    nn__op_of(layer->node->kind)->reference_forward(layer);
}

static void backward(const nn__layer *layer) {
    nn__op_of(layer->node->kind)->reference_backward(layer);
}

static void copy_param(const nn__layer *layer, int which, const float *from, float *to) {
    memcpy(to, from, layer->params.trainable[which] * sizeof *to);
}

static void output_out(const nn__layer *layer, float *plain) {
    memcpy(plain, layer->y, layer->y_bytes);
}

static void output_gradient_in(const nn__layer *layer, const float *plain) {
    memcpy(layer->dy, plain, layer->y_bytes);
}

const nn__backend nn__backend_reference = {
    .describe = describe,
    .build = build,
    .close = close_layers,
    .forward = forward,
    .backward = backward,
    .prepare = NULL,
    .param_in = copy_param,
    .param_out = copy_param,
    .output_out = output_out,
    .output_gradient_in = output_gradient_in,
};
