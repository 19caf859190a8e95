// Kernels of our own, where they beat the library's around the convolutions: batch norm with all
// that can ride along, pooling, the first convolution.
//
// A tensor is seen as images of chunks of pixels of lanes:
//
//     element (n, chunk, pixel, lane) = data[n * image + chunk * chunk + pixel * pixel + lane]
//
// which covers the blocked layouts (nChw16c, nChw8c) and, with channels a multiple of the lanes,
// nhwc. A chunk's lanes are one vector register. Lanes beyond the channels are zero wherever a
// kernel reads, and then wherever it writes.
//
// Elements are f32 or bf16 (uint16_t, rounded to nearest even); statistics, parameters, their
// gradients and all arithmetic are f32, long sums f64. What a kernel computes depends on its
// arguments, the variant and the number of threads, never on timing.
//
// Each kernel is two files: kernel_X_simd.c, the loops over one chunk, compiled once for every
// variant below with that variant's compiler flags, and kernel_X.c, which shares the work out
// among OpenMP's threads.

#ifndef NS_NN_KERNEL_H
#define NS_NN_KERNEL_H

#include "nn/nn.h"

#define NN__LANES_MAX 16

/// name, condition, lanes, bf16: from the least to the best; nn/CMakeLists.txt has the flags.
#if defined(__x86_64__)
#define NN__VARIANT_LIST(X)                                                                        \
    X(base_f32, true, 8, false)                                                                    \
    X(base_bf16, true, 8, true)                                                                    \
    X(avx2_f32, NN__CPU_AVX2, 8, false)                                                            \
    X(avx2_bf16, NN__CPU_AVX2, 8, true)                                                            \
    X(avx512_f32, NN__CPU_AVX512, 16, false)                                                       \
    X(avx512_bf16, NN__CPU_AVX512, 16, true)                                                       \
    X(avx512bf16_bf16, NN__CPU_AVX512 &&__builtin_cpu_supports("avx512bf16"), 16, true)
#else
#define NN__VARIANT_LIST(X)                                                                        \
    X(base_f32, true, 8, false)                                                                    \
    X(base_bf16, true, 8, true)
#endif

/// A tensor, with strides in elements; `data` is NULL where an optional one is absent.
typedef struct nn__view {
    void *data;
    size_t image, chunk, pixel;
} nn__view;

/// Consecutive things, [first, end).
typedef struct nn__span {
    int first, end;
} nn__span;

/// Part `which` of `parts` nearly equal ones of `count` things.
nn__span nn__span_share(int count, int parts, int which);

/// Those that map 0 to 0, as padding needs: not the sigmoid.
static inline bool nn__kernel_serves(nn_activation activation) {
    return activation != NN_ACTIVATION_SIGMOID;
}

/* ---- batch norm ------------------------------------------------------------------------------ */

/// What rides along with a batch norm z = scale (x - mean) / deviation + shift.
typedef enum nn__norm_join {
    NN__NORM_ALONE,      // y = act(z)
    NN__NORM_ADD_AFTER,  // y = act(z) + r
    NN__NORM_ADD_BEFORE, // y = act(z + r)
    NN__NORM_POOL,       // y = max over 2x2 pixels, stride 2, of act(z); an odd last row or column
                         // is in no window
    NN__NORM_AVERAGE,    // the same with the mean
} nn__norm_join;

static inline bool nn__norm_halves(nn__norm_join join) {
    return join == NN__NORM_POOL || join == NN__NORM_AVERAGE;
}

/// One training batch norm. Views r, y, dy, dx, dr and argmax have x's chunks; y, dy and argmax of
/// a pooled one have (height / 2) (width / 2) pixels. Arrays of floats have chunk_count * lanes.
typedef struct nn__norm_job {
    int image_count, chunk_count, height, width; // of x
    nn_activation activation;                    // one that nn__kernel_serves()
    nn__norm_join join;
    float epsilon;
    const float *scale, *shift;
    float *mean, *variance; // of the batch, biased: forward writes, backward reads
    nn__view x;
    nn__view r;      // joins that add
    nn__view y;      // forward
    nn__view argmax; // of bytes; NN__NORM_POOL: forward writes, backward reads
    nn__view dy;
    nn__view dx; // may be x or, unpooled, dy; NULL: not wanted
    nn__view dr; // NN__NORM_ADD_BEFORE; may be dy. (NN__NORM_ADD_AFTER: dr is dy itself.)
    float *scale_gradient, *shift_gradient;
    double *scratch; // nn__norm_scratch_bytes() of the threads that run it
} nn__norm_job;

/// What one chunk's loops multiply and add, by lane.
typedef struct nn__norm_factors {
    float mean[NN__LANES_MAX]; // while forward sums: a guess of it, to keep the sums small
    float scale[NN__LANES_MAX], shift[NN__LANES_MAX]; // z = scale (x - mean) + shift
    // dx = gain g + slope (x - mean) + level, where g is the gradient of z
    float gain[NN__LANES_MAX], slope[NN__LANES_MAX], level[NN__LANES_MAX];
} nn__norm_factors;

/// Loops over one chunk of some images. `sums` has two values a lane, which are added to.
typedef struct nn__norm_kernels {
    /// Sums of x - mean, and of its square.
    void (*forward_sums)(const nn__norm_job *job, int chunk, nn__span images,
                         const nn__norm_factors *factors, double *sums);
    void (*forward_apply)(const nn__norm_job *job, int chunk, nn__span images,
                          const nn__norm_factors *factors);
    /// Sums of g, and of g (x - mean); writes dr.
    void (*backward_sums)(const nn__norm_job *job, int chunk, nn__span images,
                          const nn__norm_factors *factors, double *sums);
    void (*backward_apply)(const nn__norm_job *job, int chunk, nn__span images,
                           const nn__norm_factors *factors);
} nn__norm_kernels;

/* ---- the first convolution with its batch norm ----------------------------------------------- */

#define NN__STEM_TAPS_MAX   36 // of one output: moments cost their square
#define NN__STEM_KERNEL_MAX 5

/// y = act(scale (conv(images) - mean) / deviation + shift) of a convolution without bias, 3x3 or
/// 5x5, stride 1 or 2, of images with few channels; its output is never in memory, nor is its
/// gradient. Nobody wants the images' gradient. Arrays of floats by channel have chunk_count *
/// lanes.
typedef struct nn__stem_job {
    int image_count, in_channels, in_height, in_width;
    int out_channels, chunk_count, height, width; // of y
    int kernel, stride, pad;
    nn_activation activation; // one that nn__kernel_serves()
    float epsilon;
    const float *images;  // (N, C, H, W)
    const float *weights; // (O, C, K, K)
    const float *scale, *shift;
    float *mean, *variance; // forward writes, backward reads
    double *moments;        // nn__stem_moment_count(): forward writes, backward reads
    nn__view y, dy;
    float *weights_gradient, *scale_gradient, *shift_gradient;
    void *scratch; // nn__stem_scratch_bytes() of the threads that run it
} nn__stem_job;

/// One image's loops. `image` is padded with zeros: (C, H + 2 pad, W + 2 pad). Weights are by
/// chunk, tap (C, K, K) and lane.
typedef struct nn__stem_kernels {
    /// Adds the sums over all windows of each tap, then of each product of two taps, the first not
    /// behind the second.
    void (*moments)(const nn__stem_job *job, const double *image, double *sums);
    /// `weights` and `bias` have the batch norm folded in.
    void (*forward)(const nn__stem_job *job, int n, const float *image, const float *weights,
                    const float *bias);
    /// Adds, by chunk: the sums of g, of g (x - mean), and of g times each tap; by lane each.
    /// `row` has room for width * lanes.
    void (*backward)(const nn__stem_job *job, int n, const float *image, const float *weights,
                     const nn__norm_factors *factors, float *row, double *sums);
} nn__stem_kernels;

/* ---- depthwise convolution ------------------------------------------------------------------- */

#define NN__DEPTHWISE_KERNEL_MAX 7

/// A convolution of each channel by itself; the padding is at most kernel - 1. Views y and dy have
/// x's chunks. Weights are by chunk, tap (K, K) and lane: oneDNN's Goihw16g or Goihw8g.
typedef struct nn__depthwise_job {
    int image_count, chunk_count, height, width; // of x
    int out_height, out_width, kernel, stride, pad;
    nn_activation activation; // forward: not the sigmoid
    const float *weights;
    const float *bias; // (chunk_count * lanes), NULL: none
    nn__view x, y, dy, dx;
    float *weights_gradient, *bias_gradient; // as weights, bias
    float *scratch;                          // nn__depthwise_scratch_bytes()
} nn__depthwise_job;

/// Loops over one chunk of some images. `work` is the thread's own.
typedef struct nn__depthwise_kernels {
    void (*forward)(const nn__depthwise_job *job, int chunk, nn__span images, float *work);
    void (*backward_data)(const nn__depthwise_job *job, int chunk, nn__span images, float *work);
    /// `sums` (K * K + 1, lanes): the gradients of the weights, and of the bias if it is wanted.
    void (*backward_weights)(const nn__depthwise_job *job, int chunk, nn__span images, float *work,
                             float *sums);
} nn__depthwise_kernels;

/* ---- activations by themselves, gates -------------------------------------------------------- */

/// y (N, C, H, W) = x * gate (N, C). Views y, dy and dx have x's chunks.
typedef struct nn__gate_job {
    int image_count, chunk_count;
    size_t pixels;
    const float *gate;    // (images, chunk_count * lanes), zero beyond the channels
    float *gate_gradient; // the same
    nn__view x, y, dy;
    nn__view dx; // may be dy; NULL: not wanted
} nn__gate_job;

typedef struct nn__point_kernels {
    /// `count` elements from `first` on; `y` may be `x`, and `dx` `dy`.
    void (*activation_forward)(nn_activation activation, const void *x, void *y, size_t first,
                               size_t count);
    void (*activation_backward)(nn_activation activation, const void *seen, const void *dy,
                                void *dx, size_t first, size_t count);
    void (*gate_forward)(const nn__gate_job *job, int image, int chunk);
    void (*gate_backward)(const nn__gate_job *job, int image, int chunk);
} nn__point_kernels;

/* ---- variants -------------------------------------------------------------------------------- */

typedef struct nn__variant {
    const char *name;
    int lanes;
    bool bf16; // type of the elements
    const nn__norm_kernels *norm;
    const nn__stem_kernels *stem;
    const nn__depthwise_kernels *depthwise;
    const nn__point_kernels *point;
} nn__variant;

/// The best variant this machine runs for these lanes and type; NULL when there is none.
const nn__variant *nn__variant_for(int lanes, bool bf16);
/// All that this machine runs: `index` from 0; NULL beyond the last.
const nn__variant *nn__variant_at(int index);

/* ---- on all threads -------------------------------------------------------------------------- */

size_t nn__norm_scratch_bytes(const nn__norm_job *job, int lanes, int thread_count);
void nn__norm_forward(const nn__variant *variant, const nn__norm_job *job);
/// May overwrite dy or x where the job says so, nothing else besides what it computes.
void nn__norm_backward(const nn__variant *variant, const nn__norm_job *job);

/// Doubles of moments.
size_t nn__stem_moment_count(const nn__stem_job *job);
size_t nn__stem_scratch_bytes(const nn__stem_job *job, int lanes, int thread_count);
void nn__stem_forward(const nn__variant *variant, const nn__stem_job *job);
void nn__stem_backward(const nn__variant *variant, const nn__stem_job *job);

/// Of as many threads as OpenMP will use.
size_t nn__depthwise_scratch_bytes(const nn__depthwise_job *job, int lanes, int thread_count);
void nn__depthwise_forward(const nn__variant *variant, const nn__depthwise_job *job);
void nn__depthwise_backward_data(const nn__variant *variant, const nn__depthwise_job *job);
void nn__depthwise_backward_weights(const nn__variant *variant, const nn__depthwise_job *job);

/// y = activation(x) of `count` elements; `seen` is what its backward reads (op_list.h): x or y. A
/// NaN stays one.
void nn__activation_forward(const nn__variant *variant, nn_activation activation, const void *x,
                            void *y, size_t count);
void nn__activation_backward(const nn__variant *variant, nn_activation activation, const void *seen,
                             const void *dy, void *dx, size_t count);
void nn__gate_forward(const nn__variant *variant, const nn__gate_job *job);
void nn__gate_backward(const nn__variant *variant, const nn__gate_job *job);

#endif
