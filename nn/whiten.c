// Whitening: a first layer made of the images' own statistics (Coates & Ng 2012; frozen in front of
// a trained network: Page 2019, and Jordan 2024, airbench94).
//
// The k x k patches of the training images, normalised as the loader does, have a covariance
//
//      cov[a][b] = (E[p_a p_b] - E[p_a] E[p_b]) / (deviation_a deviation_b)
//
// over pixel values p, with a and b running over (channel, row, column). Filter i is its
// eigenvector v_i, of the i-th largest eigenvalue l_i, divided by sqrt(l_i + epsilon): what these
// filters make of a patch has unit covariance. Their negatives follow, so that a ReLU behind them
// loses nothing.
//
// The sums are of bytes and their products, in integers: exact, hence the same for any number of
// threads. Of a large set only some images are read, evenly spread over it, and of large images only
// some rows of patches, other ones in each. Where the network takes smaller images than those of the
// set, the images to be read are shrunk beforehand, and they are fewer.

#include "nn/nn_internal.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define EPSILON          5e-4 // as airbench94
#define IMAGE_COUNT_MAX  5000
#define PATCH_COUNT_MAX  2000000
#define SHRUNK_BYTES_MAX ((size_t)32 << 20)
#define SWEEPS_MAX       50

/* ---- covariance ------------------------------------------------------------------------------ */

/// The patches of some images; a patch has `size` values in the order (channel, row, column).
typedef struct patches {
    const data_set *set;
    nn_shape shape;  // of an image as the network takes it
    uint8_t *shrunk; // (image_count, C, H, W); NULL: images of the set are of that shape
    int kernel, size;
    size_t image_count;
    int row_count; // of patches, that are read of an image
} patches;

static size_t image_bytes(nn_shape shape) {
    return (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
}

static bool is_shrunk(nn_shape shape, const data_info *info) {
    return shape.height < info->height || shape.width < info->width;
}

/// Images to read, at least one: who trains has train images.
static size_t count_images(nn_shape shape, const data_info *info) {
    const size_t fitting = SHRUNK_BYTES_MAX / image_bytes(shape);
    const size_t train_count = info->split_count[DATA_TRAIN];
    size_t count = train_count < IMAGE_COUNT_MAX ? train_count : IMAGE_COUNT_MAX;
    count = is_shrunk(shape, info) && count > fitting ? fitting : count;
    return count > 0 ? count : 1;
}

static patches patches_of(const nn_node *node, nn_shape shape, const data_set *set) {
    const size_t count = count_images(shape, data_describe(set));
    const size_t row_patches = count * (size_t)(shape.width - node->kernel + 1);
    const size_t rows_max = row_patches < PATCH_COUNT_MAX ? PATCH_COUNT_MAX / row_patches : 1;
    const int rows = shape.height - node->kernel + 1;
    return (patches){.set = set,
                     .shape = shape,
                     .kernel = node->kernel,
                     .size = shape.channels * node->kernel * node->kernel,
                     .image_count = count,
                     .row_count = (size_t)rows <= rows_max ? rows : (int)rows_max};
}

/// The `i`-th image that is read, as it is packed.
static const uint8_t *packed_at(const patches *p, size_t i) {
    size_t train_count = 0;
    const uint32_t *train = data_indices(p->set, DATA_TRAIN, &train_count);
    return data_pixels(p->set, train[i * train_count / p->image_count]);
}

/// Pixels (C, H, W) of the `i`-th image that is read.
static const uint8_t *image_at(const patches *p, size_t i) {
    return p->shrunk != NULL ? p->shrunk + i * image_bytes(p->shape) : packed_at(p, i);
}

/// Shrinks the images to be read, where that is needed.
static ns_status shrink_images(patches *p, ns_error *err) {
    const data_info *info = data_describe(p->set);
    const size_t bytes = image_bytes(p->shape);
    const int thread_count = omp_get_max_threads();
    data_shrinker *shrinker = NULL;
    if (!is_shrunk(p->shape, info)) {
        return NS_OK;
    }
    NS_TRY(data_shrinker_new(info->channels, (data_size){info->height, info->width},
                             nn__size_of(p->shape), thread_count, &shrinker, err));
    p->shrunk = malloc(p->image_count * bytes);
    if (p->shrunk == NULL) {
        data_shrinker_free(shrinker);
        return ns_fail(err, NS_ERR_MEMORY, "no memory to whiten %zu images", p->image_count);
    }
#pragma omp parallel for schedule(static) num_threads(thread_count)
    for (size_t i = 0; i < p->image_count; i++) {
        memcpy(p->shrunk + i * bytes, data_shrink(shrinker, omp_get_thread_num(), packed_at(p, i)),
               bytes);
    }
    data_shrinker_free(shrinker);
    return NS_OK;
}

/// What value `a` of the patches takes in row `row` of patches: one pixel a patch.
static const uint8_t *row_at(const patches *p, const uint8_t *pixels, int a, int row) {
    const int k = p->kernel, channel = a / (k * k), y = a / k % k, x = a % k;
    return pixels +
           ((size_t)channel * (size_t)p->shape.height + (size_t)(y + row)) *
               (size_t)p->shape.width +
           x;
}

/// `count` is at most 2^14, so the sum stays within 2^30.
static uint32_t dot(const uint8_t *a, const uint8_t *b, int count) {
    uint32_t sum = 0;
    for (int i = 0; i < count; i++) {
        sum += (uint32_t)a[i] * b[i];
    }
    return sum;
}

static uint32_t total(const uint8_t *a, int count) {
    uint32_t sum = 0;
    for (int i = 0; i < count; i++) {
        sum += a[i];
    }
    return sum;
}

/// Adds the `image`-th image's share to sum p_a, and to sum p_a p_b for all b <= a.
static void add_image(const patches *p, size_t image, int a, uint64_t *sum, uint64_t *products) {
    const int rows = p->shape.height - p->kernel + 1, columns = p->shape.width - p->kernel + 1;
    const uint8_t *pixels = image_at(p, image);
    for (int i = 0; i < p->row_count; i++) {
        // Evenly spread, beginning elsewhere in each image.
        const int row =
            (int)((image + (size_t)i * (size_t)rows / (size_t)p->row_count) % (size_t)rows);
        const uint8_t *row_a = row_at(p, pixels, a, row);
        *sum += total(row_a, columns);
        for (int b = 0; b <= a; b++) {
            products[b] += dot(row_a, row_at(p, pixels, b, row), columns);
        }
    }
}

/// `cov` (size, size); `sums` (size) and `products` (size, size) are work space.
static void covariance(const patches *p, uint64_t *sums, uint64_t *products, double *cov) {
    const float *deviation = data_describe(p->set)->deviation;
    const double count =
        (double)p->image_count * (double)p->row_count * (double)(p->shape.width - p->kernel + 1);
    const int plane = p->kernel * p->kernel;
#pragma omp parallel for schedule(dynamic)
    for (int a = 0; a < p->size; a++) {
        for (size_t i = 0; i < p->image_count; i++) {
            add_image(p, i, a, &sums[a], &products[(size_t)a * (size_t)p->size]);
        }
    }
    for (int a = 0; a < p->size; a++) {
        for (int b = 0; b <= a; b++) {
            const double joint = (double)products[a * p->size + b] / count;
            const double apart = (double)sums[a] / count * ((double)sums[b] / count);
            const double scale = (double)deviation[a / plane] * (double)deviation[b / plane];
            cov[a * p->size + b] = cov[b * p->size + a] = (joint - apart) / scale;
        }
    }
}

/* ---- eigenvectors ---------------------------------------------------------------------------- */

/// One Jacobi rotation in the plane (p, q), which makes m[p][q] zero; `v` collects the rotations in
/// its rows.
static void rotate(double *m, double *v, int n, int p, int q) {
    const double theta = (m[q * n + q] - m[p * n + p]) / (2.0 * m[p * n + q]);
    const double t = copysign(1.0, theta) / (fabs(theta) + sqrt(theta * theta + 1.0));
    const double c = 1.0 / sqrt(t * t + 1.0), s = t * c;
    for (int i = 0; i < n; i++) {
        const double a = m[i * n + p], b = m[i * n + q];
        m[i * n + p] = c * a - s * b;
        m[i * n + q] = s * a + c * b;
    }
    for (int i = 0; i < n; i++) {
        const double a = m[p * n + i], b = m[q * n + i];
        m[p * n + i] = c * a - s * b;
        m[q * n + i] = s * a + c * b;
        const double e = v[p * n + i], f = v[q * n + i];
        v[p * n + i] = c * e - s * f;
        v[q * n + i] = s * e + c * f;
    }
}

/// Cyclic Jacobi (Golub & Van Loan, section 8.5): leaves the eigenvalues of the symmetric `m` (n, n)
/// on its diagonal and the eigenvectors in the rows of `v`. A handful of sweeps is the rule.
static void diagonalise(double *m, double *v, int n) {
    memset(v, 0, (size_t)n * (size_t)n * sizeof *v);
    for (int i = 0; i < n; i++) {
        v[i * n + i] = 1.0;
    }
    for (int sweep = 0; sweep < SWEEPS_MAX; sweep++) {
        bool changed = false;
        for (int p = 0; p < n; p++) {
            for (int q = p + 1; q < n; q++) {
                const double scale = sqrt(fabs(m[p * n + p] * m[q * n + q]));
                if (fabs(m[p * n + q]) > 1e-15 * scale + 1e-300) {
                    rotate(m, v, n, p, q);
                    changed = true;
                }
            }
        }
        if (!changed) {
            return;
        }
    }
}

/* ---- filters --------------------------------------------------------------------------------- */

/// The largest eigenvalue's place; it is taken out of the running.
static int take_largest(double *m, int n, double *value) {
    int best = 0;
    for (int i = 1; i < n; i++) {
        best = m[i * n + i] > m[best * n + best] ? i : best;
    }
    *value = m[best * n + best];
    m[best * n + best] = -INFINITY;
    return best;
}

/// An eigenvector has no sign of its own: the value of largest magnitude becomes positive.
static double sign_of(const double *vector, int n) {
    int best = 0;
    for (int i = 1; i < n; i++) {
        best = fabs(vector[i]) > fabs(vector[best]) ? i : best;
    }
    return vector[best] < 0.0 ? -1.0 : 1.0;
}

/// Weights (O, C, K, K), bias 0.
static void write_filters(const nn_node *node, double *m, const double *v, int n, float *weights) {
    const int pairs = node->out_channels / 2;
    for (int i = 0; i < pairs; i++) {
        double value = 0.0;
        const double *vector = v + (ptrdiff_t)take_largest(m, n, &value) * n;
        const double factor = sign_of(vector, n) / sqrt(fmax(value, 0.0) + EPSILON);
        for (int k = 0; k < n; k++) {
            weights[i * n + k] = (float)(factor * vector[k]);
            weights[(pairs + i) * n + k] = (float)(-factor * vector[k]);
        }
    }
    if (node->bias) {
        memset(weights + (ptrdiff_t)node->out_channels * n, 0,
               (size_t)node->out_channels * sizeof *weights);
    }
}

static ns_status whiten(const nn_node *node, const patches *p, float *weights, ns_error *err) {
    const size_t n = (size_t)p->size;
    uint64_t *sums = calloc(n + n * n, sizeof *sums);
    double *cov = calloc(2 * n * n, sizeof *cov);
    if (sums == NULL || cov == NULL) {
        free(sums);
        free(cov);
        return ns_fail(err, NS_ERR_MEMORY, "no memory to whiten patches of %d values", p->size);
    }
    double *vectors = cov + n * n;
    covariance(p, sums, sums + n, cov);
    diagonalise(cov, vectors, p->size);
    write_filters(node, cov, vectors, p->size, weights);
    free(sums);
    free(cov);
    return NS_OK;
}

bool nn__has_whitening(const nn_graph *graph) {
    for (int i = 0; i < graph->node_count; i++) {
        if (graph->node[i].init == NN_INIT_WHITENING) {
            return true;
        }
    }
    return false;
}

ns_status nn__whiten(const nn_graph *graph, const data_set *set, float *state, ns_error *err) {
    for (int i = 0; i < graph->node_count; i++) {
        if (graph->node[i].init == NN_INIT_WHITENING) {
            patches p = patches_of(&graph->node[i], graph->node[0].shape, set);
            NS_TRY(shrink_images(&p, err));
            const ns_status status = whiten(&graph->node[i], &p, state, err);
            free(p.shrunk);
            NS_TRY(status);
        }
        state += nn__node_state_count(graph, i);
    }
    return NS_OK;
}
