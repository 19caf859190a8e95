// What the files of the oneDNN backend share; nothing outside op_dnnl*.c includes this.
//
// A layer's forward and backward are programs: short lists of primitives, each with its operands.
// While a layer is described no memory exists yet, so an operand names a place ("the weights",
// "scratch at 4096"); once the arena is there, every place becomes an address, once. A step then
// only executes lists. A reorder is one more primitive in the list, added where the layout an
// operand has is not the one a kernel wants.
//
// Layouts (memory descriptors) are handles: a layer owns those it makes and the primitive
// descriptors, a queried layout lives as long as its primitive descriptor, and all layers of a net
// are closed together. So every const_dnnl_memory_desc_t here is borrowed, and good until close.

#ifndef NS_NN_OP_DNNL_H
#define NS_NN_OP_DNNL_H

#include "nn/dnnl_compat.h"
#include "nn/kernel.h"
#include "nn/nn_internal.h"

#define NN__CALLS_MAX    8
#define NN__OPERANDS_MAX 11
#define NN__OWNED_MAX    24

/// Where an operand lives, in terms of nn__layer.
typedef enum nn__place {
    NN__PLACE_X0, // from here to DX1: feature maps and their gradients
    NN__PLACE_X1,
    NN__PLACE_Y,
    NN__PLACE_DY,
    NN__PLACE_DX0,
    NN__PLACE_DX1,
    NN__PLACE_WEIGHTS, // value[0]; batch norm: the scale
    NN__PLACE_BIAS,    // value[1]; batch norm: the shift
    NN__PLACE_WEIGHTS_GRADIENT,
    NN__PLACE_BIAS_GRADIENT,
    NN__PLACE_RUNNING_MEAN,
    NN__PLACE_RUNNING_VARIANCE,
    NN__PLACE_KEPT,
    NN__PLACE_PREPARED,
    NN__PLACE_TEMPORARY,  // in scratch, from its start
    NN__PLACE_SCRATCHPAD, // in scratch, behind all temporaries
    NN__PLACE_CALLER,     // set before each run
} nn__place;

/// An operand: its layout and where it lives.
typedef struct nn__tensor {
    const_dnnl_memory_desc_t md;
    nn__place place;
    size_t offset; // bytes
} nn__tensor;

/// One primitive with all it touches.
typedef struct nn__call {
    const_dnnl_primitive_desc_t pd; // borrowed from the layer
    dnnl_primitive_t primitive;
    int operand_count;
    dnnl_exec_arg_t operand[NN__OPERANDS_MAX];
    nn__place place[NN__OPERANDS_MAX];
    size_t offset[NN__OPERANDS_MAX];
} nn__call;

typedef struct nn__program {
    int call_count;
    nn__call call[NN__CALLS_MAX];
    size_t temporary_bytes, scratchpad_bytes;
} nn__program;

/// The backend's part of one layer.
typedef struct nn__prim {
    dnnl_engine_t engine; // of the context, as the next three
    dnnl_stream_t stream;
    const dnnl_primitive_attr_t *attr_by_activation;      // of what comes after the primitive
    const_dnnl_primitive_attr_t attr;                     // of a primitive without more
    const_dnnl_memory_desc_t y;                           // of the output and its gradient
    const_dnnl_memory_desc_t param[NN__PARAMS_MAX];       // own layout of the parameters...
    const_dnnl_memory_desc_t param_plain[NN__PARAMS_MAX]; // ...and the plain one
    const nn__variant *variant; // of kernels of our own; NULL where oneDNN's do the work
    int map_reorder_count;
    int winograd; // threads for which it is prepared, where our own kernels convolve; else 0
    nn__program forward, backward;
    nn__program backward_weights;          // of convolutions and linear layers, before `backward`
    nn__program prepare;                   // inference: the kernel's weights from `value`
    nn__program param_in[NN__PARAMS_MAX];  // plain -> own; empty where they are the same
    nn__program param_out[NN__PARAMS_MAX]; // own -> plain
    nn__program output_out, output_in;     // the same for y and dy of the last layer
    dnnl_primitive_desc_t owned[NN__OWNED_MAX];
    int owned_count;
    nn__owned_md owned_md[NN__OWNED_MAX];
    int owned_md_count;
} nn__prim;

static inline nn__prim *nn__prim_of(const nn__layer *layer) {
    return layer->prim;
}

/// Gives the layer what a dnnl_*_primitive_desc_create() made. NULL when it made nothing: oneDNN
/// has no such primitive.
const_dnnl_primitive_desc_t nn__pd_own(nn__prim *prim, dnnl_status_t status,
                                       dnnl_primitive_desc_t pd);
/// The layout that a described primitive wants for one of its operands.
const_dnnl_memory_desc_t nn__pd_layout(const_dnnl_primitive_desc_t pd, dnnl_query_t what);

/// Appends the primitive to the program; its operands follow. The scratchpad is seen to.
ns_status nn__program_add(nn__prim *prim, nn__program *program, const_dnnl_primitive_desc_t pd,
                          nn__call **out, ns_error *err);
ns_status nn__call_operand(const nn__prim *prim, nn__call *call, int arg, const nn__tensor *tensor,
                           ns_error *err);
/// Appends a copy from one layout to another.
ns_status nn__program_reorder(nn__prim *prim, nn__program *program, const nn__tensor *from,
                              const nn__tensor *to, ns_error *err);
/// A temporary of this layout, within the program.
nn__tensor nn__program_temporary(nn__program *program, const_dnnl_memory_desc_t md);
/// `*out` is `have` in layout `want`: itself, or a temporary that the program fills by a reorder.
ns_status nn__program_read(nn__prim *prim, nn__program *program, const nn__tensor *have,
                           const_dnnl_memory_desc_t want, nn__tensor *out, ns_error *err);
void nn__program_run(const nn__prim *prim, const nn__program *program);

/// Plain f32 layout of a tensor of this many dimensions. The layer owns it; NULL without memory,
/// which oneDNN takes for an unknown layout, so that whoever describes by it fails.
const_dnnl_memory_desc_t nn__md_plain(nn__prim *prim, const dnnl_dim_t *dims, int dim_count);
/// The same dimensions, plain, in this type.
const_dnnl_memory_desc_t nn__md_plain_like(nn__prim *prim, const_dnnl_memory_desc_t like,
                                           dnnl_data_type_t type);
/// Dimensions alone: the primitive chooses the layout. The rest as above.
const_dnnl_memory_desc_t nn__md_any(nn__prim *prim, const_dnnl_memory_desc_t like,
                                    dnnl_data_type_t type);
const_dnnl_memory_desc_t nn__md_tagged(nn__prim *prim, const_dnnl_memory_desc_t like,
                                       dnnl_data_type_t type, dnnl_format_tag_t tag);
dnnl_data_type_t nn__md_type(const_dnnl_memory_desc_t md);

/* ---- what descriptions share (op_dnnl_ops.c) ------------------------------------------------- */

const nn__prim *nn__prim_before(const nn__layer *layer, int which);
nn__tensor nn__input_tensor(const nn__layer *layer, int which);
bool nn__wants_input_gradient(const nn__layer *layer, int which);
bool nn__learns(const nn__layer *layer);
dnnl_prop_kind_t nn__forward_kind(const nn__layer *layer);
const_dnnl_memory_desc_t nn__vector_md(nn__prim *prim, size_t count);
/// Plain f32.
const_dnnl_memory_desc_t nn__output_md(const nn__layer *layer);
ns_status nn__primitive_missing(const char *what, ns_error *err);

ns_status nn__describe_conv(nn__layer *layer, ns_error *err); // op_dnnl_conv.c
ns_status nn__describe_linear(nn__layer *layer, ns_error *err);

/// Convolutions by our own kernels (op_dnnl_winograd.c).
bool nn__winograd_fits(const nn__layer *layer);
void nn__winograd_describe(nn__layer *layer);
void nn__winograd_run_forward(const nn__layer *layer);
void nn__winograd_run_backward_weights(const nn__layer *layer);
void nn__winograd_run_backward_data(const nn__layer *layer);

/// A layout of (N, C, H, W) seen as images of chunks of pixels of lanes:
///
///     element (n, c, h, w) = data[n * image + c / lanes * chunk + (h * W + w) * pixel + c % lanes]
///
/// Blocked layouts have 16 or 8 lanes, plain ones 1 or, where channels lie side by side, up to 16.
typedef struct nn__lanes {
    int lanes, chunk_count;
    size_t image, chunk, pixel; // strides in elements
} nn__lanes;
/// False for other layouts.
bool nn__md_lanes(const_dnnl_memory_desc_t md, nn__lanes *out);

/// `dims`' dimensions in the layout that nn__md_lanes() sees in `like`, which is blocked or has
/// channels side by side; of like's type.
const_dnnl_memory_desc_t nn__md_lanes_like(nn__prim *prim, const_dnnl_memory_desc_t dims,
                                           const_dnnl_memory_desc_t like);

/// The layout that the depthwise kernels want of weights (G, 1, 1, K, K).
const_dnnl_memory_desc_t nn__md_depthwise(nn__prim *prim, const_dnnl_memory_desc_t plain,
                                          int lanes);

/// Whether our own kernels can do this convolution of maps of this type (op_dnnl_depthwise.c); it is
/// theirs then.
bool nn__depthwise_fits(nn__layer *layer, dnnl_data_type_t type);
ns_status nn__depthwise_describe(nn__layer *layer, ns_error *err);
void nn__depthwise_run_forward(const nn__layer *layer);
void nn__depthwise_run_backward(const nn__layer *layer);

/// Batch norm by our own kernels (op_dnnl_norm.c).
bool nn__own_norm_describe(nn__layer *layer);
ns_status nn__fused_describe(nn__layer *layer, ns_error *err);
void nn__own_norm_forward(const nn__layer *layer);
void nn__own_norm_backward(const nn__layer *layer);

/// Multiplying by a gate (op_dnnl_gate.c).
ns_status nn__dnnl_gate_describe(nn__layer *layer, ns_error *err);
void nn__dnnl_gate_forward(const nn__layer *layer);
void nn__dnnl_gate_backward(const nn__layer *layer);

/// How one kind of op is described and run (op_dnnl_ops.c).
typedef struct nn__dnnl_op {
    ns_status (*describe)(nn__layer *layer, ns_error *err);
    void (*forward)(const nn__layer *layer);
    void (*backward)(const nn__layer *layer);
} nn__dnnl_op;
const nn__dnnl_op *nn__dnnl_op_of(nn_op_kind kind);

#endif
