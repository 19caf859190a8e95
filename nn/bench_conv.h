// What the two files that time convolutions by themselves share: op_dnnl_bench.c tries oneDNN's
// kernels, bench_own.c our own.

#ifndef NS_NN_BENCH_CONV_H
#define NS_NN_BENCH_CONV_H

#include "nn/kernel.h"
#include "nn/kernel_winograd.h"

/// What tells two convolutions apart.
typedef struct nn__conv_geometry {
    int batch_size, groups;
    nn_shape in, out;
    int kernel, stride, pad;
    bool bf16;
    bool first; // it reads the images, and nobody wants their gradient
} nn__conv_geometry;

/// Memory that all passes share: they read the first three and write the fourth.
typedef enum nn__conv_block {
    NN__CONV_X,
    NN__CONV_Y,
    NN__CONV_WEIGHTS,
    NN__CONV_RESULT,
    NN__CONV_SCRATCH,
    NN__CONV_BLOCK_COUNT,
} nn__conv_block;

/// One pass of a convolution by kernels of our own; a plain value.
typedef struct nn__own_conv {
    const char *name; // NULL: there are none for it
    nn_pass pass;
    const nn__variant *variant;
    nn__winograd winograd;
    nn__depthwise_job depthwise;
    nn__stem_job stem;
    size_t bytes[NN__CONV_BLOCK_COUNT]; // that it needs
} nn__own_conv;

/// False when no kernel of ours does it.
bool nn__own_conv_describe(const nn__conv_geometry *g, nn_pass pass, int thread_count,
                           nn__own_conv *out);
void nn__own_conv_run(const nn__own_conv *own, void *const memory[NN__CONV_BLOCK_COUNT]);

#endif
