// Activations of flat arrays, and maps times a gate, in one variant. nn/kernel_point.c has the whole.

#include "nn/kernel_simd.h"

/* ---- activations ----------------------------------------------------------------------------- */

/// Unlike activate(), lets a NaN through a ReLU, and knows the sigmoid.
INLINE vec value_of(nn_activation activation, vec x) {
    switch (activation) {
    case NN_ACTIVATION_RELU:
        return vec_select(vec_above((vec){0}, x), (vec){0}, x);
    case NN_ACTIVATION_SIGMOID:
        return vec_sigmoid(x);
    default:
        return activate(activation, x);
    }
}

/// `seen` is what the activation's backward reads: y of ReLU and sigmoid, else x.
INLINE vec gradient_of(nn_activation activation, vec seen, vec dy) {
    return activation == NN_ACTIVATION_SIGMOID ? dy * seen * (1.0F - seen)
                                               : activate_backward(activation, seen, dy);
}

/// The last, incomplete vector's elements behind `count` are zero.
INLINE vec load_some(const element *from, size_t count) {
    element some[LANES] = {0};
    memcpy(some, from, count * sizeof *from);
    return load(some);
}

INLINE void store_some(element *to, vec v, size_t count) {
    element some[LANES];
    store(some, v);
    memcpy(to, some, count * sizeof *to);
}

INLINE void forward_all(nn_activation activation, const element *x, element *y, size_t count) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        store(y + i, value_of(activation, load(x + i)));
    }
    if (i < count) {
        store_some(y + i, value_of(activation, load_some(x + i, count - i)), count - i);
    }
}

INLINE void backward_all(nn_activation activation, const element *seen, const element *dy,
                         element *dx, size_t count) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        store(dx + i, gradient_of(activation, load(seen + i), load(dy + i)));
    }
    if (i < count) {
        const size_t rest = count - i;
        store_some(dx + i,
                   gradient_of(activation, load_some(seen + i, rest), load_some(dy + i, rest)),
                   rest);
    }
}

static void activation_forward(nn_activation chosen, const void *x, void *y, size_t first,
                               size_t count) {
    const element *in = (const element *)x + first;
    element *out = (element *)y + first;
    if (chosen == NN_ACTIVATION_SIGMOID) {
        forward_all(NN_ACTIVATION_SIGMOID, in, out, count);
    } else {
        WITH_ACTIVATION(chosen, forward_all(activation, in, out, count));
    }
}

static void activation_backward(nn_activation chosen, const void *seen, const void *dy, void *dx,
                                size_t first, size_t count) {
    const element *at = (const element *)seen + first, *in = (const element *)dy + first;
    element *out = (element *)dx + first;
    if (chosen == NN_ACTIVATION_SIGMOID) {
        backward_all(NN_ACTIVATION_SIGMOID, at, in, out, count);
    } else {
        WITH_ACTIVATION(chosen, backward_all(activation, at, in, out, count));
    }
}

/* ---- gate ------------------------------------------------------------------------------------ */

INLINE element *at(const nn__view *view, int image, int chunk) {
    return (element *)view->data + (size_t)image * view->image + (size_t)chunk * view->chunk;
}

static void gate_forward(const nn__gate_job *job, int image, int chunk) {
    const size_t gate_at = (size_t)(image * job->chunk_count + chunk) * LANES;
    const vec gate = load_floats(job->gate + gate_at);
    const element *x = at(&job->x, image, chunk);
    element *y = at(&job->y, image, chunk);
    for (size_t p = 0; p < job->pixels; p++) {
        store(y + p * job->y.pixel, load(x + p * job->x.pixel) * gate);
    }
}

INLINE void gate_gradients(const nn__gate_job *job, int image, int chunk, bool wants_dx) {
    const size_t gate_at = (size_t)(image * job->chunk_count + chunk) * LANES;
    const vec gate = load_floats(job->gate + gate_at);
    const element *x = at(&job->x, image, chunk), *dy = at(&job->dy, image, chunk);
    element *dx = wants_dx ? at(&job->dx, image, chunk) : NULL;
    vec sum = {0}, odd_sum = {0};
    size_t p = 0;
    for (; p + 2 <= job->pixels; p += 2) {
        const vec a = load(dy + p * job->dy.pixel), b = load(dy + (p + 1) * job->dy.pixel);
        sum += a * load(x + p * job->x.pixel);
        odd_sum += b * load(x + (p + 1) * job->x.pixel);
        if (wants_dx) {
            store(dx + p * job->dx.pixel, a * gate);
            store(dx + (p + 1) * job->dx.pixel, b * gate);
        }
    }
    if (p < job->pixels) {
        const vec a = load(dy + p * job->dy.pixel);
        sum += a * load(x + p * job->x.pixel);
        if (wants_dx) {
            store(dx + p * job->dx.pixel, a * gate);
        }
    }
    store_floats(job->gate_gradient + gate_at, sum + odd_sum);
}

static void gate_backward(const nn__gate_job *job, int image, int chunk) {
    if (job->dx.data != NULL) {
        gate_gradients(job, image, chunk, true);
    } else {
        gate_gradients(job, image, chunk, false);
    }
}

const nn__point_kernels NN__OF_VARIANT(nn__point) = {
    .activation_forward = activation_forward,
    .activation_backward = activation_backward,
    .gate_forward = gate_forward,
    .gate_backward = gate_backward,
};
