// Convolutions of 3x3, stride 1, pad 1 in bf16 by Winograd's F(2x2, 3x3) (Lavin & Gray 2015): 16
// multiplications where the definition has 36, all of them in products of matrices.
//
//   forward            y = A' [ (G w G') . (B' x B) ] A      over tiles of 2x2 outputs, 4x4 inputs
//   gradient of x      the same, on dy, with w turned by 180 degrees and its channels swapped
//   gradient of w      dw = G' [ sum over tiles of (B' x B) . (A dy A') ] G
//
// Tiles and weights are transformed in f32 and rounded to bf16 once more before they are multiplied;
// sums are f32. That costs precision: outputs are off by 0.45 % of their length where a direct
// convolution of bf16 is by 0.3 %.
//
// Measured on 2 cores of AMD Zen 4 (AVX-512 with bf16), batch 128, against oneDNN 2.6's direct
// kernels in bf16: 1.2 to 1.8 times faster from 32 channels on, forward and both backward passes.
// 64 -> 128 channels on 28x28: 19 ms (770 GFLOP/s by the definition's count) against 31, of which 15
// ms are products at 90 % of what the cores can do, the rest is transforms. A step of a ResNet-9 of
// width 64 became 1.45 times faster.
//
// Layouts: maps (N, C/16, H, W, 16) bf16; weights and their gradient [3x3][C][K] f32; channels are
// rounded up to 16, and those beyond the true ones are zero and stay it.

#ifndef NS_NN_KERNEL_WINOGRAD_H
#define NS_NN_KERNEL_WINOGRAD_H

#include "nn/nn.h"

#define NN__WINOGRAD_BLOCK 16 // channels
#define NN__WINOGRAD_TAPS  9

/// One convolution; `in` and `out` channels are multiples of the block.
typedef struct nn__winograd {
    int image_count, in, out, height, width;
    int thread_count;
} nn__winograd;

/// Whether this processor has the instructions.
bool nn__winograd_available(void);

/// What each pass needs besides its operands, for all threads together.
size_t nn__winograd_forward_scratch_bytes(const nn__winograd *w);
size_t nn__winograd_backward_data_scratch_bytes(const nn__winograd *w);
size_t nn__winograd_backward_weights_scratch_bytes(const nn__winograd *w);

/// x (N, in, H, W), weights [9][in][out] -> y (N, out, H, W).
void nn__winograd_forward(const nn__winograd *w, const uint16_t *x, const float *weights,
                          uint16_t *y, void *scratch);
void nn__winograd_backward_data(const nn__winograd *w, const uint16_t *dy, const float *weights,
                                uint16_t *dx, void *scratch);
/// Writes gradient [9][in][out].
void nn__winograd_backward_weights(const nn__winograd *w, const uint16_t *x, const uint16_t *dy,
                                   float *gradient, void *scratch);

/* ---- one thread's share (kernel_winograd_simd.c) --------------------------------------------- */

/// What one pass is about: maps of `in` channels on one side and `out` on the other, `part` of
/// `part_count` of its work.
typedef struct nn__winograd_part {
    int image_count, in, out, height, width;
    int part, part_count;
} nn__winograd_part;

size_t nn__winograd_product_scratch_bytes(int in);
size_t nn__winograd_sums_count(const nn__winograd *w); // floats
size_t nn__winograd_sums_scratch_bytes(const nn__winograd *w);

/// Transforms weights [9][in][out] for multiplying maps of `in` channels.
void nn__winograd_weights(const nn__winograd_part *p, const float *weights, uint16_t *transformed);
/// The same for maps of `out` channels, turned: backward.
void nn__winograd_weights_turned(const nn__winograd_part *p, const float *weights,
                                 uint16_t *transformed);
void nn__winograd_product(const nn__winograd_part *p, const uint16_t *x,
                          const uint16_t *transformed, uint16_t *y, void *scratch);
/// Adds up this part's tiles in `sums` [16][in][out].
void nn__winograd_sums(const nn__winograd_part *p, const uint16_t *x, const uint16_t *dy,
                       float *sums, void *scratch);
/// A share of the channels of the gradient, from all parts' sums.
void nn__winograd_gradient(const nn__winograd_part *p, const float *sums, int sums_count,
                           float *gradient);

#endif
