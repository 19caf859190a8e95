// Batch norm over one chunk of some images, in one variant. nn/kernel_norm.c has the whole.
//
// All four loops are bound by memory when the activation is none or ReLU. They walk an image as
// one run of pixels. Sums run in four independent lanes' worth of f32 for at most
// SUM_PIXELS_MAX pixels before they are added to f64 ones: with the mean (or a guess of it)
// subtracted first, a channel's statistics keep f32's precision however many pixels it has.
//
// Each loop has a copy of the job, which no store can change as far as the compiler knows; so its
// strides stay in registers. The loops that apply walk the images backwards: the summing ones left the last images in the
// cache.

#include "nn/kernel_simd.h"

#define UNROLL         4
#define SUM_PIXELS_MAX 256

/// A chunk's factors in registers.
typedef struct factors {
    vec mean, scale, shift, gain, slope, level;
} factors;

INLINE factors factors_load(const nn__norm_factors *f) {
    return (factors){load_floats(f->mean), load_floats(f->scale), load_floats(f->shift),
                     load_floats(f->gain), load_floats(f->slope), load_floats(f->level)};
}

/// Partial sums of one run of pixels.
typedef struct sums {
    vec first[UNROLL], second[UNROLL];
} sums;

INLINE void sums_flush(sums *s, double *total) {
    for (int k = 1; k < UNROLL; k++) {
        s->first[0] += s->first[k];
        s->second[0] += s->second[k];
    }
    for (int lane = 0; lane < LANES; lane++) {
        total[lane] += (double)s->first[0][lane];
        total[LANES + lane] += (double)s->second[0][lane];
    }
    *s = (sums){0};
}

/// Where a view's chunk of one image starts.
INLINE element *at(const nn__view *view, int image, int chunk) {
    return (element *)view->data + (size_t)image * view->image + (size_t)chunk * view->chunk;
}

INLINE uint8_t *bytes_at(const nn__view *view, int image, int chunk) {
    return (uint8_t *)view->data + (size_t)image * view->image + (size_t)chunk * view->chunk;
}

INLINE size_t pixel_count(const nn__norm_job *job) {
    return (size_t)job->height * (size_t)job->width;
}

/* ---- forward --------------------------------------------------------------------------------- */

static void forward_sums(const nn__norm_job *shared, int chunk, nn__span images,
                         const nn__norm_factors *given, double *total) {
    const nn__norm_job copy = *shared, *job = &copy;
    const vec mean = load_floats(given->mean);
    const size_t count = pixel_count(job), stride = job->x.pixel;
    sums s = {0};
    size_t pending = 0;
    for (int n = images.first; n < images.end; n++) {
        const element *x = at(&job->x, n, chunk);
        for (size_t first = 0; first < count; first += SUM_PIXELS_MAX) {
            const size_t end = first + SUM_PIXELS_MAX < count ? first + SUM_PIXELS_MAX : count;
            size_t p = first;
            for (; p + UNROLL <= end; p += UNROLL) {
                for (size_t k = 0; k < UNROLL; k++) {
                    const vec d = load(x + (p + k) * stride) - mean;
                    s.first[k] += d;
                    s.second[k] += d * d;
                }
            }
            for (; p < end; p++) {
                const vec d = load(x + p * stride) - mean;
                s.first[0] += d;
                s.second[0] += d * d;
            }
            pending += end - first;
            if (pending >= SUM_PIXELS_MAX) {
                sums_flush(&s, total);
                pending = 0;
            }
        }
    }
    sums_flush(&s, total);
}

INLINE void forward_run(const nn__norm_job *job, int chunk, int image, const factors *f,
                        nn_activation activation, nn__norm_join join) {
    const element *x = at(&job->x, image, chunk);
    const element *r = join == NN__NORM_ALONE ? NULL : at(&job->r, image, chunk);
    element *y = at(&job->y, image, chunk);
    const size_t count = pixel_count(job);
    for (size_t p = 0; p < count; p++) {
        vec z = (load(x + p * job->x.pixel) - f->mean) * f->scale + f->shift;
        if (join == NN__NORM_ADD_BEFORE) {
            z += load(r + p * job->r.pixel);
        }
        z = activate(activation, z);
        if (join == NN__NORM_ADD_AFTER) {
            z += load(r + p * job->r.pixel);
        }
        store(y + p * job->y.pixel, z);
    }
}

/// One 2x2 window: its four pixels' distances from the first.
typedef struct window {
    size_t offset[4];
} window;

INLINE window window_of(const nn__norm_job *job) {
    const size_t row = (size_t)job->width * job->x.pixel;
    return (window){{0, job->x.pixel, row, row + job->x.pixel}};
}

INLINE void forward_pool(const nn__norm_job *job, int chunk, int image, const factors *f,
                         nn_activation activation) {
    const element *x = at(&job->x, image, chunk);
    element *y = at(&job->y, image, chunk);
    uint8_t *argmax = bytes_at(&job->argmax, image, chunk);
    const window w = window_of(job);
    const int height = job->height / 2, width = job->width / 2;
    for (int i = 0; i < height; i++) {
        const element *in = x + (size_t)i * 2 * (size_t)job->width * job->x.pixel;
        for (int j = 0; j < width; j++) {
            vec best = {0};
            indices which = {0};
            for (int k = 0; k < 4; k++) {
                const vec z = (load(in + w.offset[k]) - f->mean) * f->scale + f->shift;
                const vec a = activate(activation, z);
                const choice better = vec_above(a, best);
                best = k == 0 ? a : vec_select(better, a, best);
                which = k == 0 ? which : indices_select(better, k, which);
            }
            store(y, best);
            store_bytes(argmax, which);
            in += 2 * job->x.pixel;
            y += job->y.pixel;
            argmax += job->argmax.pixel;
        }
    }
}

INLINE void forward_average(const nn__norm_job *job, int chunk, int image, const factors *f,
                            nn_activation activation) {
    const element *x = at(&job->x, image, chunk);
    element *y = at(&job->y, image, chunk);
    const window w = window_of(job);
    const int height = job->height / 2, width = job->width / 2;
    for (int i = 0; i < height; i++) {
        const element *in = x + (size_t)i * 2 * (size_t)job->width * job->x.pixel;
        for (int j = 0; j < width; j++) {
            vec sum = {0};
            for (int k = 0; k < 4; k++) {
                sum +=
                    activate(activation, (load(in + w.offset[k]) - f->mean) * f->scale + f->shift);
            }
            store(y, 0.25F * sum);
            in += 2 * job->x.pixel;
            y += job->y.pixel;
        }
    }
}

INLINE void forward_images(const nn__norm_job *job, int chunk, nn__span images, const factors *f,
                           nn_activation activation) {
    for (int n = images.end - 1; n >= images.first; n--) {
        switch (job->join) {
        case NN__NORM_ALONE:
            forward_run(job, chunk, n, f, activation, NN__NORM_ALONE);
            break;
        case NN__NORM_ADD_AFTER:
            forward_run(job, chunk, n, f, activation, NN__NORM_ADD_AFTER);
            break;
        case NN__NORM_ADD_BEFORE:
            forward_run(job, chunk, n, f, activation, NN__NORM_ADD_BEFORE);
            break;
        case NN__NORM_POOL:
            forward_pool(job, chunk, n, f, activation);
            break;
        case NN__NORM_AVERAGE:
            forward_average(job, chunk, n, f, activation);
            break;
        }
    }
}

static void forward_apply(const nn__norm_job *shared, int chunk, nn__span images,
                          const nn__norm_factors *given) {
    const nn__norm_job copy = *shared, *job = &copy;
    const factors f = factors_load(given);
    WITH_ACTIVATION(job->activation, forward_images(job, chunk, images, &f, activation));
}

/* ---- backward's sums ------------------------------------------------------------------------- */

/// One image's tensors.
typedef struct sums_rows {
    const element *x, *dy, *r;
    element *dr;
} sums_rows;

/// g of one pixel; `*distance` is x - mean.
INLINE vec gradient_at(const factors *f, nn_activation activation, nn__norm_join join,
                       const element *x, const element *r, const element *dy, vec *distance) {
    *distance = load(x) - f->mean;
    vec z = *distance * f->scale + f->shift;
    if (join == NN__NORM_ADD_BEFORE) {
        z += load(r);
    }
    return activate_backward(activation, z, load(dy));
}

INLINE void sums_add(sums *s, size_t k, vec g, vec distance) {
    s->first[k] += g;
    s->second[k] += g * distance;
}

/// A pixel's part in the sums `k`; its g goes to dr where that is wanted.
INLINE void sums_pixel(const nn__norm_job *job, const sums_rows *rows, size_t p, const factors *f,
                       nn_activation activation, nn__norm_join join, sums *s, size_t k) {
    const element *r = join == NN__NORM_ADD_BEFORE ? rows->r + p * job->r.pixel : rows->x; // unread
    vec distance;
    const vec g = gradient_at(f, activation, join, rows->x + p * job->x.pixel, r,
                              rows->dy + p * job->dy.pixel, &distance);
    sums_add(s, k, g, distance);
    if (join == NN__NORM_ADD_BEFORE) {
        store(rows->dr + p * job->dr.pixel, g);
    }
}

INLINE void sums_run(const nn__norm_job *job, int chunk, int image, const factors *f,
                     nn_activation activation, nn__norm_join join, double *total) {
    sums_rows rows = {.x = at(&job->x, image, chunk), .dy = at(&job->dy, image, chunk)};
    if (join == NN__NORM_ADD_BEFORE) {
        rows.r = at(&job->r, image, chunk);
        rows.dr = at(&job->dr, image, chunk);
    }
    const size_t count = pixel_count(job);
    sums s = {0};
    for (size_t first = 0; first < count; first += SUM_PIXELS_MAX) {
        const size_t end = first + SUM_PIXELS_MAX < count ? first + SUM_PIXELS_MAX : count;
        size_t p = first;
        for (; p + UNROLL <= end; p += UNROLL) {
            for (size_t k = 0; k < UNROLL; k++) {
                sums_pixel(job, &rows, p + k, f, activation, join, &s, k);
            }
        }
        for (; p < end; p++) {
            sums_pixel(job, &rows, p, f, activation, join, &s, 0);
        }
        sums_flush(&s, total);
    }
}

/// x at each lane's largest pixel of a window.
INLINE vec select_window(const element *in, const window *w, indices which) {
    vec x = load(in);
    for (int k = 1; k < 4; k++) {
        x = vec_select(indices_equal(which, k), load(in + w->offset[k]), x);
    }
    return x;
}

INLINE void sums_pool(const nn__norm_job *job, int chunk, int image, const factors *f,
                      nn_activation activation, double *total) {
    const element *x = at(&job->x, image, chunk), *dy = at(&job->dy, image, chunk);
    const uint8_t *argmax = bytes_at(&job->argmax, image, chunk);
    const window w = window_of(job);
    const int height = job->height / 2, width = job->width / 2;
    sums s = {0};
    int pending = 0;
    for (int i = 0; i < height; i++) {
        const element *in = x + (size_t)i * 2 * (size_t)job->width * job->x.pixel;
        for (int j = 0; j < width; j++) {
            const vec distance = select_window(in, &w, load_bytes(argmax)) - f->mean;
            const vec z = distance * f->scale + f->shift;
            sums_add(&s, 0, activate_backward(activation, z, load(dy)), distance);
            in += 2 * job->x.pixel;
            dy += job->dy.pixel;
            argmax += job->argmax.pixel;
        }
        pending += width;
        if (pending >= SUM_PIXELS_MAX) {
            sums_flush(&s, total);
            pending = 0;
        }
    }
    sums_flush(&s, total);
}

INLINE void sums_average(const nn__norm_job *job, int chunk, int image, const factors *f,
                         nn_activation activation, double *total) {
    const element *x = at(&job->x, image, chunk), *dy = at(&job->dy, image, chunk);
    const window w = window_of(job);
    const int height = job->height / 2, width = job->width / 2;
    sums s = {0};
    for (int i = 0; i < height; i++) {
        const element *in = x + (size_t)i * 2 * (size_t)job->width * job->x.pixel;
        for (int j = 0; j < width; j++) {
            const vec share = 0.25F * load(dy);
            for (size_t k = 0; k < 4; k++) {
                const vec distance = load(in + w.offset[k]) - f->mean;
                const vec z = distance * f->scale + f->shift;
                sums_add(&s, k, activate_backward(activation, z, share), distance);
            }
            in += 2 * job->x.pixel;
            dy += job->dy.pixel;
        }
    }
    sums_flush(&s, total);
}

INLINE void sums_images(const nn__norm_job *job, int chunk, nn__span images, const factors *f,
                        nn_activation activation, double *total) {
    for (int n = images.first; n < images.end; n++) {
        switch (job->join) {
        case NN__NORM_ALONE:
        case NN__NORM_ADD_AFTER:
            sums_run(job, chunk, n, f, activation, NN__NORM_ALONE, total);
            break;
        case NN__NORM_ADD_BEFORE:
            sums_run(job, chunk, n, f, activation, NN__NORM_ADD_BEFORE, total);
            break;
        case NN__NORM_POOL:
            sums_pool(job, chunk, n, f, activation, total);
            break;
        case NN__NORM_AVERAGE:
            sums_average(job, chunk, n, f, activation, total);
            break;
        }
    }
}

static void backward_sums(const nn__norm_job *shared, int chunk, nn__span images,
                          const nn__norm_factors *given, double *total) {
    const nn__norm_job copy = *shared, *job = &copy;
    const factors f = factors_load(given);
    WITH_ACTIVATION(job->activation, sums_images(job, chunk, images, &f, activation, total));
}

/* ---- backward's dx --------------------------------------------------------------------------- */

INLINE vec dx_of(const factors *f, vec g, vec distance) {
    return f->gain * g + (f->slope * distance + f->level);
}

/// `dy` is g itself where the sums have left it in dr (NN__NORM_ADD_BEFORE).
INLINE void dx_run(const nn__norm_job *job, const nn__view *dy_view, int chunk, int image,
                   const factors *f, nn_activation activation) {
    const element *x = at(&job->x, image, chunk), *dy = at(dy_view, image, chunk);
    element *dx = at(&job->dx, image, chunk);
    const size_t count = pixel_count(job);
    for (size_t p = 0; p < count; p++) {
        vec distance;
        const vec g = gradient_at(f, activation, NN__NORM_ALONE, x + p * job->x.pixel, x,
                                  dy + p * dy_view->pixel, &distance);
        store(dx + p * job->dx.pixel, dx_of(f, g, distance));
    }
}

/// dx of pixels that are in no window.
INLINE void dx_rest(const nn__norm_job *job, const element *x, element *dx, const factors *f,
                    size_t count) {
    for (size_t p = 0; p < count; p++) {
        const vec distance = load(x + p * job->x.pixel) - f->mean;
        store(dx + p * job->dx.pixel, dx_of(f, (vec){0}, distance));
    }
}

INLINE void dx_window(const nn__norm_job *job, const element *in, element *out, const window *w,
                      const factors *f, nn_activation activation, indices which, vec dy) {
    const size_t row = (size_t)job->width * job->dx.pixel;
    const size_t offset[4] = {0, job->dx.pixel, row, row + job->dx.pixel};
    vec distance[4], chosen = {0};
    for (int k = 0; k < 4; k++) {
        distance[k] = load(in + w->offset[k]) - f->mean;
        chosen = vec_select(indices_equal(which, k), distance[k], chosen);
    }
    const vec g = activate_backward(activation, chosen * f->scale + f->shift, dy);
    for (int k = 0; k < 4; k++) {
        store(out + offset[k], dx_of(f, vec_where(indices_equal(which, k), g), distance[k]));
    }
}

INLINE void dx_average(const nn__norm_job *job, const element *in, element *out, const window *w,
                       const factors *f, nn_activation activation, vec dy) {
    const size_t row = (size_t)job->width * job->dx.pixel;
    const size_t offset[4] = {0, job->dx.pixel, row, row + job->dx.pixel};
    for (int k = 0; k < 4; k++) {
        const vec distance = load(in + w->offset[k]) - f->mean;
        const vec g = activate_backward(activation, distance * f->scale + f->shift, 0.25F * dy);
        store(out + offset[k], dx_of(f, g, distance));
    }
}

INLINE void dx_pool(const nn__norm_job *job, int chunk, int image, const factors *f,
                    nn_activation activation, nn__norm_join join) {
    const element *x = at(&job->x, image, chunk), *dy = at(&job->dy, image, chunk);
    element *dx = at(&job->dx, image, chunk);
    const uint8_t *argmax = join == NN__NORM_POOL ? bytes_at(&job->argmax, image, chunk) : NULL;
    const window w = window_of(job);
    const size_t row = (size_t)job->width;
    for (int i = 0; i + 1 < job->height; i += 2) {
        const element *in = x + (size_t)i * row * job->x.pixel;
        element *out = dx + (size_t)i * row * job->dx.pixel;
        for (int j = 0; j + 1 < job->width; j += 2) {
            if (join == NN__NORM_POOL) {
                dx_window(job, in, out, &w, f, activation, load_bytes(argmax), load(dy));
                argmax += job->argmax.pixel;
            } else {
                dx_average(job, in, out, &w, f, activation, load(dy));
            }
            in += 2 * job->x.pixel;
            out += 2 * job->dx.pixel;
            dy += job->dy.pixel;
        }
        if (row % 2 == 1) {
            dx_rest(job, in, out, f, 1);
            dx_rest(job, in + row * job->x.pixel, out + row * job->dx.pixel, f, 1);
        }
    }
    if (job->height % 2 == 1) {
        const size_t last = (size_t)(job->height - 1) * row;
        dx_rest(job, x + last * job->x.pixel, dx + last * job->dx.pixel, f, row);
    }
}

INLINE void dx_images(const nn__norm_job *job, int chunk, nn__span images, const factors *f,
                      nn_activation activation) {
    for (int n = images.end - 1; n >= images.first; n--) {
        if (job->join == NN__NORM_POOL) {
            dx_pool(job, chunk, n, f, activation, NN__NORM_POOL);
        } else if (job->join == NN__NORM_AVERAGE) {
            dx_pool(job, chunk, n, f, activation, NN__NORM_AVERAGE);
        } else {
            dx_run(job, &job->dy, chunk, n, f, activation);
        }
    }
}

static void backward_apply(const nn__norm_job *shared, int chunk, nn__span images,
                           const nn__norm_factors *given) {
    const nn__norm_job copy = *shared, *job = &copy;
    const factors f = factors_load(given);
    if (job->join == NN__NORM_ADD_BEFORE) {
        for (int n = images.end - 1; n >= images.first; n--) {
            dx_run(job, &job->dr, chunk, n, &f, NN_ACTIVATION_NONE);
        }
        return;
    }
    WITH_ACTIVATION(job->activation, dx_images(job, chunk, images, &f, activation));
}

const nn__norm_kernels NN__OF_VARIANT(nn__norm) = {
    .forward_sums = forward_sums,
    .forward_apply = forward_apply,
    .backward_sums = backward_sums,
    .backward_apply = backward_apply,
};
