// What the files of nn/ share below nn.h: the op table's rows, one prepared layer, the memory plan,
// the face of a backend, and the parts of training, files and inference.
//
//   graph.c -> op_shape.c        builds graphs, asks the table for shapes and counts
//   exec.c  -> fuse.c            rewrites the graph for the backend's kernels
//           -> backend           describes each layer (sizes)
//           -> plan_memory.c     turns sizes and lifetimes into offsets in one arena
//   exec_run.c -> backend        runs the layers, step by step; profile.c times them
//   op_ref.c, op_dnnl.c          the two backends; op_flat.c has the loops that know no layout
//   train.c and the other train_*.c (train.h) -> recipe.c, average.c, clip.c, optim.c
//           -> checkpoint.c -> sealed_file.c
//   infer.c, export_onnx.c -> fold.c

#ifndef NS_NN_NN_INTERNAL_H
#define NS_NN_NN_INTERNAL_H

#include "nn/nn.h"
#include "nn/op_list.h"

#define NN__INPUTS_MAX 2
#define NN__PARAMS_MAX 2  // trainable arrays of one node
#define NN__BLOCK      16 // floats; every parameter array starts on such a boundary (64 bytes)

#define NN__WHITENING_MAX 256 // values of a patch

#define NN__NORM_EPSILON  1e-5F
#define NN__NORM_MOMENTUM 0.1F // running = 0.9 running + 0.1 batch (variance unbiased, as PyTorch)

/* ---- the op table's rows --------------------------------------------------------------------- */

typedef struct nn__layer nn__layer;

/// Plain lengths of a node's parameters, in floats: those that can be trained, frozen or not.
typedef struct nn__params {
    size_t trainable[NN__PARAMS_MAX]; // conv, linear: weights, bias; batch norm: scale, shift
    size_t running;                   // batch norm: length of the mean, and of the variance
    bool learns;                      // there are trainable ones, not frozen
    bool decays;                      // whether weight decay applies to trainable[0]
} nn__params;

typedef enum nn__reads {
    NN__READS_NONE,
    NN__READS_INPUT,
    NN__READS_OUTPUT,
    NN__READS_ACT,
} nn__reads;

typedef struct nn__op {
    const char *name;
    int input_count;
    unsigned fields;
    nn__reads reads;
    int forward_sweeps_x, forward_sweeps_y, backward_sweeps_x, backward_sweeps_y;
    ns_status (*shape)(nn_node *node, const nn_shape *in, ns_error *err); // sets node->shape
    int64_t (*flops)(const nn_node *node, nn_shape in);
    nn__params (*params)(const nn_node *node, nn_shape in);
    void (*reference_forward)(const nn__layer *layer);
    void (*reference_backward)(const nn__layer *layer);
} nn__op;

const nn__op *nn__op_of(nn_op_kind kind);
/// INPUT, OUTPUT or NONE.
nn__reads nn__node_reads(const nn_node *node);

/// As op_list.h has them.
extern const char *const nn__activation_names[NN_ACTIVATION_COUNT];
/// y = activation(x), and dy/dx at that x; the slope of those that read their output (op_list.h)
/// does not look at `x`, that of the others not at `y`. A NaN stays one.
float nn__activate(nn_activation activation, float x);
float nn__activation_slope(nn_activation activation, float x, float y);

#define NN__DECLARE(kind, name, in, fields, reads, fx, fy, bx, by, shape, flops, params,           \
                    reference)                                                                     \
    void nn__ref_##reference##_forward(const nn__layer *layer);                                    \
    void nn__ref_##reference##_backward(const nn__layer *layer);
NN_OP_LIST(NN__DECLARE)
#undef NN__DECLARE

/// Shape of input `which` of `node`.
nn_shape nn__input_shape(const nn_graph *graph, const nn_node *node, int which);
size_t nn__shape_count(nn_shape shape);
/// `count` rounded up to whole blocks.
size_t nn__block_up(size_t count);
nn__params nn__node_params(const nn_graph *graph, const nn_node *node);
/// Its values in a state: the trainable ones, then running mean and variance.
size_t nn__node_state_count(const nn_graph *graph, int index);

/* ---- one layer, made ready ------------------------------------------------------------------- */

/// A node with everything its forward and backward touch. The first part is the net's own, the
/// second is said by the backend's describe(), the third is bound to the arena before any run.
struct nn__layer {
    const nn_node *node;
    nn_shape in; // shape of the first input
    nn__params params;
    int index; // of the caller's node that it stems from
    int batch_size;
    bool training;
    nn_dtype dtype;             // that the net keeps its maps in: F32 or BF16
    bool absorbed;              // its reader does its work: forward and backward do nothing
    bool wants_gradient;        // some parameter at or before it learns
    const uint64_t *step;       // seeds dropout
    const float *running_share; // of a batch's statistics in the running ones
    const nn__layer *from[NN__INPUTS_MAX];

    void *prim;                         // the backend's own
    size_t y_bytes;                     // of the output and of its gradient,
    nn_dtype y_dtype;                   // whose elements are F32 or BF16 (bf16.c)
    size_t kept_bytes;                  // from forward to backward, besides what the table says
    size_t scratch_bytes;               // within one call
    size_t prepared_bytes;              // inference: weights as the kernel wants them
    size_t param_count[NN__PARAMS_MAX]; // floats in the backend's layout, multiple of NN__BLOCK
    bool refused;                       // after a failure: the backend can do it unfused alone
    bool overwrites;                    // dx[0] may be x[0]
    int map_reorder_count; // copies of maps of more than a pixel into other layouts, all passes
    bool passes[NN__INPUTS_MAX]; // that input's gradient is dy itself: nothing to compute

    // Feature maps and their gradients are arrays of y_dtype of the layer they come from: declared
    // as f32, which they always are in the reference, to be cast where they are bf16.
    const float *x[NN__INPUTS_MAX]; // (N, C, H, W) in the layout of the layer it comes from
    float *y;
    float *dy;
    float *dx[NN__INPUTS_MAX]; // written, not added to; NULL where nobody needs it
    float *value[NN__PARAMS_MAX];
    float *gradient[NN__PARAMS_MAX];
    float *running[2]; // mean, variance
    void *kept, *scratch, *prepared;
};

/* ---- fusing ---------------------------------------------------------------------------------- */

/// For the oneDNN backend, by node of `graph`: nothing is fused with a `barred` batch norm.
/// NS_ERR_LIMIT.
ns_status nn__fuse(const nn_graph *graph, bool training, const bool *barred, nn_fused *out,
                   ns_error *err);
/// For the reference.
void nn__fuse_nothing(const nn_graph *graph, nn_fused *out);

/* ---- memory plan ----------------------------------------------------------------------------- */

/// Bytes needed from time `first` to time `last`, both included; the plan sets `offset`. Buffers
/// whose times overlap never share memory.
typedef struct nn__buffer {
    size_t size_bytes;
    int first, last;
    size_t offset;
} nn__buffer;

/// Places the buffers, `*total_bytes` together. NS_ERR_MEMORY.
ns_status nn__buffers_place(nn__buffer *buffers, int count, size_t *total_bytes, ns_error *err);

/// Where one layer's tensors live: indices of buffers, -1 for none.
typedef struct nn__layer_plan {
    int y, dy, kept;
    int dx[NN__INPUTS_MAX];
    // A second gradient of one tensor is added up after backward: sum = sum_old + dx.
    int sum[NN__INPUTS_MAX], sum_old[NN__INPUTS_MAX];
} nn__layer_plan;

typedef struct nn__memory {
    nn__buffer *buffer;
    int buffer_count, buffer_capacity;
    nn__layer_plan *layer; // one a layer
    size_t tensor_bytes;   // all buffers, placed
    size_t scratch_bytes;  // the largest of all layers'
} nn__memory;

/// Lifetimes and places of all tensors of a net with these layers. NS_ERR_MEMORY.
ns_status nn__memory_plan(const nn__layer *layers, int layer_count, nn__memory *out, ns_error *err);
void nn__memory_free(nn__memory *memory);

/* ---- backends -------------------------------------------------------------------------------- */

/// What runs the layers. `context` is the backend's own.
typedef struct nn__backend {
    /// Fills the second part of every layer. `*context` may be set even on failure.
    ns_status (*describe)(nn__layer *layers, int layer_count, void **context, ns_error *err);
    /// Called once after the layers are bound to memory.
    ns_status (*build)(nn__layer *layers, int layer_count, void *context, ns_error *err);
    void (*close)(nn__layer *layers, int layer_count, void *context);
    void (*forward)(const nn__layer *layer);
    /// Whether backward is two passes, `backward_weights` and then `backward`, not `backward` alone.
    /// May be NULL: never.
    bool (*splits)(const nn__layer *layer);
    void (*backward_weights)(const nn__layer *layer);
    void (*backward)(const nn__layer *layer);
    /// Inference: brings changed weights into `prepared`. May be NULL.
    void (*prepare)(const nn__layer *layer);
    /// Converts trainable array `which` between its plain order and the backend's.
    void (*param_in)(const nn__layer *layer, int which, const float *plain, float *own);
    void (*param_out)(const nn__layer *layer, int which, const float *own, float *plain);
    /// Converts the output `y` to plain (N, C, H, W), and a plain gradient to `dy`.
    void (*output_out)(const nn__layer *layer, float *plain);
    void (*output_gradient_in)(const nn__layer *layer, const float *plain);
} nn__backend;

extern const nn__backend nn__backend_reference;
extern const nn__backend nn__backend_onednn;

/// Fills library and ISA of the platform.
void nn__onednn_describe(nn_platform *platform);
/// Whether the kernels that oneDNN chooses here compute in bf16 without emulating it.
bool nn__onednn_has_bf16(void);

/* ---- loops that know no layout (op_flat.c, loss.c) ---------------------------------------------
 */

void nn__flat_activation_forward(const nn__layer *layer);
void nn__flat_activation_backward(const nn__layer *layer);
/// y = the layer's activation of `argument`, which may be y itself; and the argument's gradient.
void nn__flat_activate(const nn__layer *layer, const void *argument);
void nn__flat_activate_backward(const nn__layer *layer, const void *argument, void *gradient);
void nn__flat_dropout_forward(const nn__layer *layer);
void nn__flat_dropout_backward(const nn__layer *layer);
void nn__flat_scale_forward(const nn__layer *layer);
void nn__flat_scale_backward(const nn__layer *layer);
/// out = activation(a + b), each of `size_bytes`; `out` may be `a` or `b`.
void nn__flat_add(nn_dtype dtype, const void *a, const void *b, void *out, size_t size_bytes,
                  nn_activation activation);
void nn__bf16_widen(const uint16_t *from, float *to, size_t count); // bf16.c
void nn__bf16_narrow(const float *from, uint16_t *to, size_t count);
/// How many values come before the first that is infinite or NaN; `count` when none is.
size_t nn__finite_count(const float *values, size_t count);
/// running = (1 - share) running + share batch, with the net's running_share; the batch variance is
/// biased, the running one is not.
void nn__running_update(const nn__layer *layer, const float *mean, const float *variance);

/// Dropout decides by element and key alone, so that neither threads nor passes matter.
typedef struct nn__dropout {
    uint32_t key;
    uint32_t drop_below; // an element is dropped when its hash is below
    float factor;        // of what stays: 1 / (1 - p)
} nn__dropout;
nn__dropout nn__dropout_of(const nn__layer *layer);
static inline bool nn__dropout_keeps(const nn__dropout *dropout, uint32_t element) {
    uint32_t hash = element ^ dropout->key; // finaliser of MurmurHash3 (Appleby)
    hash = (hash ^ (hash >> 16)) * 0x85ebca6bU;
    hash = (hash ^ (hash >> 13)) * 0xc2b2ae35U;
    return (hash ^ (hash >> 16)) >= dropout->drop_below;
}

/// One batch's loss: softmax cross-entropy, or with targets binary cross-entropy of each class.
typedef struct nn__loss {
    const float *logits; // (batch, classes)
    const int32_t *labels;
    const int32_t *partner_labels; // NULL: no mixtures
    const float *lambdas;          // (batch), the share of `labels`
    const float *targets;       // (batch, classes) in [0, 1], in place of all these; NULL: softmax
    const float *class_weights; // (classes): what an image of each counts; NULL: 1
    int batch_size, class_count;
    float smoothing;
    float *gradient; // (batch, classes), of the mean loss
    float *row_loss; // (batch)
} nn__loss;
float nn__loss_run(const nn__loss *loss);
/// The same in double precision, one row after the other.
float nn__loss_reference(const nn__loss *loss);

/* ---- class_weight.c -------------------------------------------------------------------------- */

/// Whether it changes the loss, and not what is drawn.
bool nn__balance_weighs(nn_balance balance);
/// Of labels with so many training images; both have `label_count`.
void nn__class_weights(nn_balance balance, const size_t *counts, int label_count, float *out);

/* ---- threads (threads.c) ----------------------------------------------------------------------
 */

/// What a run changes of the thread that calls it.
typedef struct nn__team {
    bool bound;
    ns_cpu_set caller; // its cores before, when bound
    unsigned float_mode;
} nn__team;

/// Makes a team of `thread_count` for the parallel loops to come, which flushes denormals and, with
/// `bind` and where each can have a core of its own, stays on those.
void nn__team_enter(nn__team *team, int thread_count, bool bind);
/// Gives the calling thread back as it was.
void nn__team_leave(const nn__team *team);

/* ---- executor -------------------------------------------------------------------------------- */

/// Whether all running statistics are finite: cheap enough for every step, and in a net with batch
/// norm no NaN gets past them, whatever a fused activation makes of it afterwards.
bool nn__net_is_finite(const nn_net *net);
/// What the net allocated: arena_bytes of its plan.
size_t nn__net_mem_bytes(const nn_net *net);
/// Seeds the dropout of forward passes to come.
void nn__net_set_step(nn_net *net, uint64_t step);

/* ---- optimiser ------------------------------------------------------------------------------- */

typedef struct nn__sgd {
    float rate, momentum, weight_decay;
    float norm_rate_factor; // times the rate, for what does not decay
    float gradient_scale;   // 1 unless clipped
    float average_share;    // average += share * (weight - average), after the update
    bool returns;           // then the weights go back to their average
} nn__sgd;

/// One update of all parameters from their gradients; false when a weight is no number any more.
/// Allocates nothing.
bool nn__sgd_step(const nn_params *params, const nn__sgd *sgd, int thread_count);
/// Of all gradients together, the same for any thread count.
double nn__gradient_norm(const nn_params *params, int thread_count);

/// What averaging does in the `step`-th step (from 1), which ends at `fraction` of the budget.
typedef struct nn__average_step {
    float share;  // as nn__sgd's average_share
    bool returns; // as nn__sgd's
} nn__average_step;
nn__average_step nn__average_at(const nn_recipe *recipe, int64_t step, double fraction);
/// The share in which an average that is to be used after `step` has yet to move to the weights.
float nn__average_rest(const nn_recipe *recipe, int64_t step, double fraction);

/// Which gradient norms are usual (nn/clip.c); starts as zeros.
typedef struct nn__clip {
    double mean, variance; // of the norms' logarithms, moving
    int64_t count, clipped_count;
} nn__clip;
/// What to scale a gradient of this norm by, in (0, 1], and learns from it.
float nn__clip_scale(nn__clip *clip, double norm, float deviations);

/* ---- folding and inference ------------------------------------------------------------------- */

/// How a graph is rewritten for inference: batch norm, activations and scale absorbed, dropout gone.
typedef struct nn__fold nn__fold;
ns_status nn__fold_new(const nn_graph *graph, nn__fold **out, ns_error *err);
void nn__fold_free(nn__fold *fold);
const nn_graph *nn__fold_graph(const nn__fold *fold);
/// Rewrites a state of the original graph; `folded` has room for as many values as `state`.
void nn__fold_state(const nn__fold *fold, const float *state, float *folded);

/// What becomes of images before the network, and of its answers; borrowed.
typedef struct nn__around {
    nn_shape image; // as they are given
    const float *mean, *deviation;
    bool mirror_average;
} nn__around;

/// An nn_infer without weights, on the backend, threads and memory of `options`, its batch halved
/// until it fits the memory; it wants nn__infer_set_state(), which takes the state of the unfolded graph, before it runs.
ns_status nn__infer_new(const nn_graph *graph, const nn_net_options *options,
                        const nn__around *around, nn_infer **out, ns_error *err);
void nn__infer_set_state(nn_infer *infer, const float *state);

static inline data_size nn__size_of(nn_shape shape) {
    return (data_size){shape.height, shape.width};
}

/// NS_ERR_INPUT, naming the difference, unless graph and images agree in channels and label count,
/// and the images can be shrunk to the graph's input.
ns_status nn__check_shape(const nn_graph *graph, const data_info *info, ns_error *err);

/// Whether it is given larger images than its graph takes.
bool nn__model_shrinks(const nn_model_info *info);

/* ---- whitening -------------------------------------------------------------------------------- */

bool nn__has_whitening(const nn_graph *graph);
/// Writes the filters of every convolution that begins as whitening into `state` (plain layout),
/// from train images of `set`, which fits the graph. The same images give the same bits, whatever
/// the threads. NS_ERR_MEMORY.
ns_status nn__whiten(const nn_graph *graph, const data_set *set, float *state, ns_error *err);

/* ---- priors (prior.c) -------------------------------------------------------------------------- */

/// Whether nn__set_priors() has something to do: of a multi-label set, for a graph that ends linearly.
bool nn__has_priors(const nn_graph *graph, const data_set *set);
/// Sets the last layer's biases in `state` (plain layout) to how frequent the labels are.
void nn__set_priors(const nn_graph *graph, const data_set *set, float *state);

/* ---- files ----------------------------------------------------------------------------------- */

#define NN__MAGIC_BYTES 8

/// A kind of sealed file: JSON and f32 values under one checksum (nn/sealed_file.c).
typedef struct nn__sealed_kind {
    const char *noun; // for sentences: "model file"
    char magic[NN__MAGIC_BYTES];
    uint32_t version;     // of the format; files of other versions are refused,
    uint32_t version_max; // but for those up to this, which say more; 0: none
} nn__sealed_kind;

/// Writes atomically.
ns_status nn__sealed_write(const nn__sealed_kind *kind, const char *path, const ns_json *json,
                           const float *values, size_t value_count, ns_error *err);
/// `*json` and `*values` (malloced) are the caller's. NS_ERR_NOT_FOUND, NS_ERR_CORRUPT,
/// NS_ERR_VERSION.
ns_status nn__sealed_read(const nn__sealed_kind *kind, const char *path, ns_json **json,
                          float **values, size_t *value_count, ns_error *err);

/// What makes a training the one it is; borrowed.
typedef struct nn__training {
    const nn_graph *graph;
    const data_set *set;
    const nn_recipe *recipe;
    uint64_t seed;
    nn_dtype dtype; // resolved
    bool with_validation;
} nn__training;

/// What a training has learnt of its steps. It goes back with the weights.
typedef struct nn__trend {
    double loss;        // smoothed
    int64_t loss_count; // over so many steps
    nn__clip clip;
} nn__trend;

/// Where a training is, summed over all its lives.
typedef struct nn__position {
    int64_t step;          // finished steps
    uint64_t sample_count; // the loader's position, too
    int64_t used_ms;
    int marks_done;
    int recoveries;
    double step_ms;              // running mean; a guess before the first step
    double reserve_ms;           // of the time granted, kept for the end
    nn__trend trend, good_trend; // now, and of the good state
} nn__position;

/// `values`: the present state, momentum and average, then the good ones, in plain layout.
ns_status nn__checkpoint_save(const char *path, const nn__training *training,
                              const nn__position *position, const float *values, size_t value_count,
                              ns_error *err);
/// NS_ERR_CORRUPT, NS_ERR_VERSION; NS_ERR_INPUT when it is of another training. On failure nothing
/// is filled.
ns_status nn__checkpoint_load(const char *path, const nn__training *training,
                              nn__position *position, float *values, size_t value_count,
                              ns_error *err);

#endif
