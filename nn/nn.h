// Neural networks: graphs with shape inference, their execution on the CPU, training, model files.
//
// Intended usage:
//   1. Build an nn_graph with the nn_add_* functions; nn_graph_check() reports the first error.
//   2. nn_plan_make() says parameters, FLOPs, bytes and peak memory before anything is allocated.
//   3. nn_train() trains it and calls back after each step and epoch; the result is an nn_model.
//   4. nn_model_save() / nn_model_load() keep it; nn_infer_new() + nn_infer_run() predict with it.
//
// Shapes are (N, C, H, W); N is the batch and stands in no graph. Weights in files and in nn_model
// are plain row-major f32: convolutions (O, I/groups, KH, KW), linear (O, I).

#ifndef NS_NN_NN_H
#define NS_NN_NN_H

#include "base/base.h"
#include "data/data.h"

/* ---- graph ----------------------------------------------------------------------------------- */

#define NN_NODES_MAX 512
#define NN_BATCH_MAX 65536

/// Rows of the op table (nn/op_list.h) in its order.
typedef enum nn_op_kind {
    NN_OP_INPUT,      // the images
    NN_OP_CONV,       // convolution, grouped or depthwise too; optional bias
    NN_OP_BATCH_NORM, // with scale and shift; optionally an activation in the same pass
    NN_OP_ACTIVATION,
    NN_OP_ADD,      // of two equal shapes
    NN_OP_MULTIPLY, // (C, H, W) by (C, 1, 1)
    NN_OP_MAX_POOL,
    NN_OP_AVERAGE_POOL,        // padding does not count
    NN_OP_GLOBAL_MAX_POOL,     // (C, H, W) -> (C, 1, 1)
    NN_OP_GLOBAL_AVERAGE_POOL, // (C, H, W) -> (C, 1, 1)
    NN_OP_LINEAR,              // flattens; has a bias
    NN_OP_DROPOUT,             // inverted; nothing at inference
    NN_OP_SCALE,               // times a constant
    // In no graph of a caller's nor file: what training makes of several of the above (nn/fuse.c).
    NN_OP_NORM_ADD,     // batch norm, activation, then another summand
    NN_OP_NORM_ADD_ACT, // batch norm, another summand, then the activation
    NN_OP_NORM_POOL,    // batch norm, activation, 2x2 max pool
    NN_OP_NORM_AVERAGE, // batch norm, activation, 2x2 average pool
    NN_OP_STEM_NORM,    // the first convolution, batch norm, activation
    NN_OP_KIND_COUNT,
} nn_op_kind;

/// Functions of one value, by name in op_list.h.
typedef enum nn_activation {
    NN_ACTIVATION_NONE,
    NN_ACTIVATION_RELU,    // max(0, x)
    NN_ACTIVATION_SILU,    // x / (1 + exp(-x)) (Elfwing, Uchibe & Doya 2018; Swish)
    NN_ACTIVATION_GELU,    // x / 2 (1 + erf(x / sqrt 2)) (Hendrycks & Gimpel 2016), exact
    NN_ACTIVATION_SIGMOID, // 1 / (1 + exp(-x))
    NN_ACTIVATION_COUNT,
} nn_activation;

/// First values, by name in op_list.h.
typedef enum nn_init {
    NN_INIT_USUAL,     // as nn_net_init() says
    NN_INIT_DIRAC,     // conv: output channel i of a group is its input channel i, while there are
                       // both; the rest usual (Jordan 2024, airbench94)
    NN_INIT_ZERO,      // batch norm: scale 0, so that a residual branch begins as nothing
    NN_INIT_WHITENING, // conv on the images: 2 n filters, n principal components of training
                       // patches, brought to variance 1, and their negatives (nn/whiten.c);
                       // nn_train() fills them in, nn_net_init() draws the usual
    NN_INIT_COUNT,
} nn_init;

typedef struct nn_shape {
    int channels, height, width;
} nn_shape;

/// One node; `input` are indices of earlier nodes, -1 where unused.
typedef struct nn_node {
    nn_op_kind kind;
    int input[2];
    nn_shape shape;          // of the output
    int out_channels;        // conv, linear
    int kernel, stride, pad; // conv, pools; square
    int groups;              // conv
    bool bias;               // conv
    // Of the result. Batch norm may have one always, conv and add for NN_MODE_INFER only.
    nn_activation activation;
    nn_init init; // conv, batch norm
    bool frozen;  // conv: weights and bias stay what they are
    float value;  // dropout: probability of zero; scale: the factor
} nn_node;

/// A plain value; the last node is the output (class logits). After the first failing nn_add_*,
/// `status` and `error` keep it, and every later call returns -1.
typedef struct nn_graph {
    int node_count;
    ns_status status;
    ns_error error;
    nn_node node[NN_NODES_MAX];
} nn_graph;

void nn_graph_init(nn_graph *graph);
/// Each adds one node and returns its index, or -1.
int nn_add_input(nn_graph *graph, nn_shape shape);
int nn_add_conv(nn_graph *graph, int input, int out_channels, int kernel, int stride, int groups,
                bool bias); // pad = kernel / 2
int nn_add_batch_norm(nn_graph *graph, int input, nn_activation activation);
int nn_add_activation(nn_graph *graph, int input, nn_activation activation);
int nn_add_add(nn_graph *graph, int left, int right);
int nn_add_pool(nn_graph *graph, nn_op_kind kind, int input, int kernel, int stride, int pad);
int nn_add_global_pool(nn_graph *graph, nn_op_kind kind, int input);
int nn_add_linear(nn_graph *graph, int input, int out_features);
int nn_add_dropout(nn_graph *graph, int input, float probability);
int nn_add_scale(nn_graph *graph, int input, float factor);
/// Multiplies each channel of `input` (C, H, W) by its value in `gate` (C, 1, 1).
int nn_add_multiply(nn_graph *graph, int input, int gate);
/// Squeeze-and-excitation (Hu, Shen & Sun 2018): multiplies each channel by a gate in (0, 1) that is
/// computed from all channels' means, by a ReLU layer of `reduced_channels` and a sigmoid layer.
int nn_add_squeeze_excite(nn_graph *graph, int input, int reduced_channels);
/// Changes a node that was added; returns it, or -1.
int nn_set_init(nn_graph *graph, int node, nn_init init);
int nn_set_frozen(nn_graph *graph, int node);
/// NS_OK, or the first error while building ("conv at node 7: kernel 5 is larger than ..."), or the
/// node whose output nothing uses.
ns_status nn_graph_check(const nn_graph *graph, ns_error *err);

/// SHA-256 of the network as a function of its nodes, whatever their order in the list.
ns_status nn_graph_hash(const nn_graph *graph, char out[NS_SHA256_HEX_MAX], ns_error *err);
/// The graph as JSON and back; parsing checks it like building does.
ns_json *nn_graph_to_json(const nn_graph *graph);
ns_status nn_graph_from_json(const ns_json *json, nn_graph *out, ns_error *err);

/// Counts for one image.
typedef struct nn_counts {
    int64_t params;           // values that learn
    int64_t forward_flops;    // multiply and add are two
    int64_t train_flops;      // forward and backward; no backward-data for the first layer
    int64_t activation_bytes; // f32, sum of all outputs
    int64_t forward_bytes;    // memory traffic of activations, f32, nothing fused or cached
    int64_t train_bytes;      // the same, forward and backward
} nn_counts;
nn_counts nn_graph_count(const nn_graph *graph);
/// The same of each node alone; `out` has room for all.
void nn_graph_count_nodes(const nn_graph *graph, nn_counts *out);

/// A graph in which some nodes are several of another's, and for each the one that it stems from: of
/// several, the batch norm.
typedef struct nn_fused {
    nn_graph graph;
    int source[NN_NODES_MAX]; // never falls
} nn_fused;
/// As steps of training run the graph, as far as nothing stands in the way of their kernels. Profiles
/// name nodes by their sources.
void nn_graph_fuse(const nn_graph *graph, nn_fused *out);

/* ---- execution ------------------------------------------------------------------------------- */

typedef enum nn_backend {
    NN_BACKEND_ONEDNN,
    NN_BACKEND_REFERENCE, // naive loops, for tests
} nn_backend;

typedef enum nn_mode {
    NN_MODE_TRAIN,
    NN_MODE_INFER, // batch norm by its running statistics
} nn_mode;

/// What feature maps, their gradients and the weights that convolutions read are kept in. The
/// weights themselves, their gradients, batch statistics, the optimiser's state, logits and loss
/// are f32 always.
typedef enum nn_dtype {
    NN_DTYPE_AUTO, // bf16 where this processor computes in it, else f32
    NN_DTYPE_F32,
    NN_DTYPE_BF16, // 8 bits of exponent, 8 of precision (Kalamkar et al. 2019)
} nn_dtype;

const char *nn_dtype_name(nn_dtype dtype); // "auto", "f32", "bf16"
/// NS_ERR_USAGE when nothing is called so.
ns_status nn_dtype_parse(const char *name, nn_dtype *out, ns_error *err);
/// AUTO as the type that it stands for on this machine, the others as they are.
nn_dtype nn_dtype_resolve(nn_dtype dtype);

typedef struct nn_net_options {
    nn_backend backend; // the reference computes in f32 alone
    nn_mode mode;
    nn_dtype dtype;
    int batch_size;
    int thread_count;           // 0: all cores
    size_t mem_bytes_max;       // refuse beyond it; 0: what the machine has left
    float label_smoothing;      // of the loss, in [0, 1)
    const float *class_weights; // of the loss (classes), borrowed for the net's life; NULL: all 1;
                                // not of multi-label nets
    bool average;               // with room for an average of the weights
    bool mixup;                 // with room for labels of mixed images
    bool multi_label;           // classes are not one of all, but 0 or 1 each: sigmoid, not softmax
} nn_net_options;

nn_net_options nn_net_options_default(void);

/// What executing a graph will take, known before anything is allocated.
typedef struct nn_plan {
    nn_counts counts;
    size_t arena_bytes;   // activations, gradients, weights, optimiser state, scratchpad
    size_t process_bytes; // what a process grows by besides, when this is its first network: the
                          // library's own pages, generated kernels and their descriptions
} nn_plan;
ns_status nn_plan_make(const nn_graph *graph, const nn_net_options *options, nn_plan *out,
                       ns_error *err);

/// A graph made ready to run: parameters, persistent primitives, one arena. Not thread-safe.
typedef struct nn_net nn_net;

/// NS_ERR_LIMIT when the plan exceeds mem_bytes_max, NS_ERR_MEMORY.
ns_status nn_net_new(const nn_graph *graph, const nn_net_options *options, nn_net **out,
                     ns_error *err);
void nn_net_free(nn_net *net);
/// Convolutions He-normal (He et al. 2015, fan-out), linear normal with variance 1 / (3 fan-in),
/// biases 0, batch norm 1 and 0, running statistics 0 and 1, momentum 0.
void nn_net_init(nn_net *net, uint64_t seed);

/// Buffers to fill before a step: (batch, C, H, W) f32, and (batch) class indices. They stay where
/// they are and keep what is in them.
float *nn_net_input(nn_net *net);
int32_t *nn_net_labels(nn_net *net);
/// With options.multi_label, else NULL: in place of all labels, (batch, classes) in [0, 1].
float *nn_net_targets(nn_net *net);
/// With options.mixup, else NULL: the labels of the images mixed in, and the shares lambda of
/// `labels`, whose partners have 1 - lambda; also to be filled before a step.
int32_t *nn_net_partner_labels(nn_net *net);
float *nn_net_lambdas(nn_net *net);
/// Reads the input. In training mode it uses batch statistics and dropout, and moves the running
/// statistics as a step does: running = 0.9 running + 0.1 batch (variance unbiased, epsilon 1e-5).
void nn_net_forward(nn_net *net);
/// Mean loss of the batch, with smoothing: softmax cross-entropy, of multi-label nets the sum over the
/// classes of binary cross-entropy; fills the gradients.
/// `step` seeds dropout (mix the trial's seed into it). Allocates nothing. The loss may be NaN; the
/// caller looks. NN_MODE_TRAIN only.
float nn_net_forward_backward(nn_net *net, uint64_t step);
/// What a row of a profile timed.
typedef enum nn_pass {
    NN_PASS_FORWARD,
    NN_PASS_BACKWARD,         // all of it at once
    NN_PASS_BACKWARD_WEIGHTS, // conv and linear: the parameters' gradients
    NN_PASS_BACKWARD_DATA,    // conv and linear: the input's gradient
    NN_PASS_SUM,              // adding up the gradients of a tensor that this layer and others read
    NN_PASS_LOSS,             // and bringing logits out and their gradient in; of the last layer
    NN_PASS_COUNT,
} nn_pass;

typedef struct nn_profile_row {
    int node;
    nn_op_kind kind; // of the node
    nn_pass pass;
    double ms;
    int64_t bytes; // of activations, gradients and weights, each read or written once a sweep
    int64_t flops;
} nn_profile_row;

#define NN_PROFILE_ROWS_MAX (4 * NN_NODES_MAX)

/// Rows in the order in which they ran; together they are the step.
typedef struct nn_profile {
    int row_count;
    nn_profile_row row[NN_PROFILE_ROWS_MAX];
} nn_profile;

/// nn_net_forward_backward() with a clock read after every row's work.
float nn_net_profile(nn_net *net, uint64_t step, nn_profile *out);
/// Logits of the last forward pass: (batch, classes). Classes are all values of the last node.
const float *nn_net_logits(const nn_net *net);
int nn_net_class_count(const nn_net *net);

/// All trainable values, each array `count` long in the same order (the backend's own layout;
/// padding is zero and stays zero).
typedef struct nn_params {
    float *value, *gradient, *momentum; // NN_MODE_INFER has only values
    float *average;                     // NULL without options.average
    size_t count;
    const bool *decay; // per 16-value block: whether weight decay applies (weights, not bias or
                       // BN); `count` is a multiple of 16 and the arrays are 64-byte aligned
} nn_params;
nn_params nn_net_params(nn_net *net);

/// Plain layout, graph order: per conv weights then bias; per batch norm scale, shift, running
/// mean, running variance; per linear weights then bias.
size_t nn_graph_state_count(const nn_graph *graph);
void nn_net_get_state(const nn_net *net, float *state);
void nn_net_set_state(nn_net *net, const float *state);
/// The optimiser's momentum in the same order (zero at running statistics).
void nn_net_get_momentum(const nn_net *net, float *state);
void nn_net_set_momentum(nn_net *net, const float *state);
/// The averaged weights in the same order, beside the running statistics as they are.
void nn_net_get_average(const nn_net *net, float *state);
void nn_net_set_average(nn_net *net, const float *state); // leaves the running statistics alone
/// From now on running = (1 - share) running + share batch. At first the share is 0.1; with
/// 1, 1/2, 1/3, ... the running statistics become the mean over these batches.
void nn_net_set_running_share(nn_net *net, float share);

/// "oneDNN 2.6.3", "avx512_core_bf16", "f32".
typedef struct nn_platform {
    char library[32];
    char isa[32];
    char numeric_types[32];
} nn_platform;
nn_platform nn_platform_describe(void);

/* ---- training -------------------------------------------------------------------------------- */

/// How the learning rate falls after its linear rise, by fraction of the budget.
typedef enum nn_schedule {
    NN_SCHEDULE_LINEAR,
    NN_SCHEDULE_COSINE,
} nn_schedule;

/// What becomes the model at the end, and is judged at marks (nn/average.c).
typedef enum nn_average {
    NN_AVERAGE_NONE,      // the weights as they are
    NN_AVERAGE_EMA,       // their moving average over `average_window`
    NN_AVERAGE_LOOKAHEAD, // slow weights, to which the fast ones return every few steps
} nn_average;

/// What is done about labels that are much rarer than others; not for multi-label sets.
typedef enum nn_balance {
    NN_BALANCE_NONE,
    NN_BALANCE_ROOT,      // weights in the loss: one over the root of a label's images
    NN_BALANCE_EFFECTIVE, // the same: one over their effective number (nn/class_weight.c)
    NN_BALANCE_SAMPLING,  // every label is drawn equally often (data/balance.c)
} nn_balance;

typedef struct nn_recipe {
    int batch_size;
    float rate_peak; // of SGD with Nesterov momentum, for the mean loss of a batch
    float momentum;
    float weight_decay; // decoupled: w -= rate * decay * w, on weights only; for the pull of a
                        // coupled L2 penalty, divide that by 1 - momentum
    float label_smoothing;
    float warmup_fraction; // linear from 0 to the peak, then to 0 at fraction 1 by `schedule`
    nn_schedule schedule;
    float norm_rate_factor; // times the rate, for biases and batch norm
    float clip_deviations;  // gradients whose norm's logarithm is so many standard deviations above
                            // its running mean are scaled down to there; 0: never
    nn_average average;
    float average_window; // of the EMA: its mean age, as a fraction of the training so far
    bool mirror_average;  // of the model (nn_model_set_mirror_average)
    nn_balance balance;
    data_augment augment;
} nn_recipe;
nn_recipe nn_recipe_default(void);
/// Sets the field called `name` (as above; those of `augment` by their own names) from its text:
/// "0.4", "cosine", "1". NS_ERR_USAGE, naming what there is, when name or value are unknown.
ns_status nn_recipe_set(nn_recipe *recipe, const char *name, const char *text, ns_error *err);
/// All fields by name; `balance` only where it is not none, for checkpoints older than it.
ns_json *nn_recipe_to_json(const nn_recipe *recipe);
/// "batch_size=128 rate_peak=0.2 ...", all fields but those that are 0, off or their first word. Of
/// equal recipes equal, and of different ones different, for keys.
void nn_recipe_print(const nn_recipe *recipe, char *out, size_t size_bytes);
/// Learning rate at `fraction` of the budget, in [0, 1].
float nn_rate_at(const nn_recipe *recipe, double fraction);

typedef enum nn_verdict {
    NN_CONTINUE,
    NN_STOP, // stop now; the result says so
} nn_verdict;

typedef struct nn_progress {
    double fraction;       // of the granted budget, 0 to 1
    int64_t step;          // finished steps, over all lives
    uint64_t sample_count; // images trained on, over all lives
    int epoch;
    double loss;     // smoothed
    int64_t used_ms; // training time, over all lives
    double images_per_s;
    float val_accuracy; // at a mark, of the weights at `fraction`; NaN in the other callbacks; of a
                        // multi-label set the mean data_agreement()
} nn_progress;

typedef nn_verdict (*nn_progress_fn)(void *context, const nn_progress *progress);

#define NN_EVAL_MARKS_MAX 8

typedef struct nn_train_options {
    nn_recipe recipe;
    // The budget: the first limit reached ends training; 0: no such limit; at least one is set.
    int64_t ms_max;            // training time over all lives, this one's set-up included
    uint64_t sample_count_max; // images over all lives
    double step_ms_guess;      // of a step, until one is measured; 0: by FLOPs and bytes
    uint64_t seed;
    bool with_validation; // trains on the validation images too; what marks measure is then no
                          // validation
    int thread_count;     // 0: all cores
    nn_backend backend;
    nn_dtype dtype;
    size_t mem_bytes_max;   // of the net, the copies of its weights (nn_train_copy_bytes) and, with
                            // marks, the net that evaluates; 0: what the machine has left
    nn_progress_fn on_step; // after every step; may be NULL
    nn_progress_fn on_epoch;             // after each pass over the train images; may be NULL
    nn_progress_fn on_mark;              // after each evaluation below; may be NULL
    double eval_mark[NN_EVAL_MARKS_MAX]; // fractions, ascending, at which to measure val_accuracy
    int eval_mark_count;
    int eval_image_count_max; // validation images to use at a mark; 0: all
    void *context;
    const char *checkpoint_path; // NULL: none; when the file is there, training goes on from it
    int64_t checkpoint_interval_ms;
} nn_train_options;
nn_train_options nn_train_options_default(void);
/// What nn_train() holds besides its nets: copies of the weights and of what goes with them.
size_t nn_train_copy_bytes(const nn_graph *graph, const nn_recipe *recipe);

typedef struct nn_train_result {
    nn_progress last;
    nn_recipe recipe;             // as it was used: with a batch that fits the train split
    bool stopped;                 // by a callback; a checkpoint was written when asked for
    int checkpoint_failure_count; // checkpoints on the way that could not be written
    ns_error checkpoint_error;    // why the last of them could not; empty when none failed
    int recovery_count;           // times that it broke and went on, over all lives
    ns_error recovery_reason;     // how it last broke, in this life
    int64_t clipped_step_count;   // steps whose gradient was scaled down, over all lives
} nn_train_result;

typedef struct nn_model nn_model;

/// Trains `graph` on the train split of `set`, whose images are shrunk (data_shrinker) where the graph
/// takes smaller ones, and on the validation split when asked to. `*model` is the caller's; NULL when stopped early.
/// A batch larger than the split is lowered to it. No step, mark or checkpoint begins that would,
/// by the running mean of step times (at first a guess), end after a limit; marks passed together
/// count as one. The checkpoint stays when training ends: the caller removes it once the model is
/// safe. One that cannot be written (NS_ERR_IO) is tried again when the next is due and does not
/// end training; the one on stopping does.
/// When loss, batch statistics, gradients or weights stop being numbers, it goes on from the last
/// good state at half the rate, up to three times (nn/train_keep.c); then NS_ERR_NAN. NS_ERR_BUDGET
/// when not even one step fits, NS_ERR_LIMIT and NS_ERR_MEMORY for memory, NS_ERR_INPUT when graph and set do not
/// fit or the checkpoint is of another training, NS_ERR_CORRUPT and NS_ERR_VERSION when it is
/// unreadable.
ns_status nn_train(const nn_graph *graph, const data_set *set, const nn_train_options *options,
                   nn_train_result *result, nn_model **model, ns_error *err);

/// Where the training of a checkpoint stands: step, sample_count, used_ms and loss; the rest is 0
/// or NaN. NS_ERR_NOT_FOUND, NS_ERR_CORRUPT, NS_ERR_VERSION.
ns_status nn_checkpoint_progress(const char *path, nn_progress *out, ns_error *err);

/* ---- model file ------------------------------------------------------------------------------ */

/// A trained classifier as it is kept: graph, weights (plain layout), preprocessing, label names,
/// and notes (metrics, provenance) as JSON. Immutable but for its notes and mirror averaging. It is
/// given images of the size in `info`; where its graph takes smaller ones, it shrinks them itself.
ns_status nn_model_new(const nn_graph *graph, const float *state, const data_info *info,
                       nn_model **out, ns_error *err);
void nn_model_free(nn_model *model);
/// .nsm: versioned header, JSON, weights, SHA-256; written atomically.
ns_status nn_model_save(const nn_model *model, const char *path, ns_error *err);
/// NS_ERR_NOT_FOUND, NS_ERR_CORRUPT, NS_ERR_VERSION.
ns_status nn_model_load(const char *path, nn_model **out, ns_error *err);

typedef struct nn_model_info {
    const nn_graph *graph;
    const float *state; // nn_graph_state_count() values
    int label_count;
    const char *const *labels;
    nn_shape image; // of the images that it is given; its graph's input may be smaller
    float mean[DATA_CHANNELS_MAX], deviation[DATA_CHANNELS_MAX]; // x = (pixel - mean) / deviation
    const char *weights_sha256;                                  // hex, over the weights alone
    bool mirror_average; // it classifies by image and mirror image, at twice the time
    bool multi_label; // an image may have any number of labels: each has a probability of its own
    const double *thresholds; // (label_count), each in [0, 1]; NULL: none were chosen
} nn_model_info;
const nn_model_info *nn_model_describe(const nn_model *model);
/// At first false; images and mirror images then share one answer, also where it is exported.
void nn_model_set_mirror_average(nn_model *model, bool mirror_average);
/// Copies `thresholds` (label_count), each in [0, 1]. NS_ERR_INPUT, NS_ERR_MEMORY.
ns_status nn_model_set_thresholds(nn_model *model, const double *thresholds, ns_error *err);
/// The notes: an object to read or add to before saving; owned by the model.
ns_json *nn_model_notes(nn_model *model);

/* ---- inference ------------------------------------------------------------------------------- */

/// Batch norm folded into the convolutions; primitives built once for one batch size.
typedef struct nn_infer nn_infer;
typedef struct nn_infer_options {
    int batch_size; // of the batches, or a half, a quarter, ... of it: the most that memory allows
    int thread_count; // 0: all cores
    nn_dtype dtype;
} nn_infer_options;
/// f32: the answers then hardly depend on the machine, and equal those of an exported model.
nn_infer_options nn_infer_options_default(void);

/// NS_ERR_LIMIT and NS_ERR_MEMORY when there is too little memory for single images.
ns_status nn_infer_new(const nn_model *model, const nn_infer_options *options, nn_infer **out,
                       ns_error *err);
void nn_infer_free(nn_infer *infer);
/// Class probabilities (count, labels), each row summing to 1 unless the model is multi-label,
/// of `count` images (count, C, H, W) uint8, each of the shape that nn_model_info.image says; any
/// count.
ns_status nn_infer_run(nn_infer *infer, const uint8_t *pixels, size_t count, float *probabilities,
                       ns_error *err);
/// The same for a split of a set that fits the model: for all its images, or for `count_max` (0:
/// all) of them spread evenly over it. `*probabilities` and `*labels` are malloced, the caller
/// frees them; of a multi-label set `*labels` is NULL, and nn_split_truth() says what is true. `stop` (may be NULL) is polled between batches: true ends it with NS_ERR_STOPPED.
ns_status nn_infer_split(nn_infer *infer, const data_set *set, data_split split, size_t count_max,
                         bool (*stop)(void *context), void *context, float **probabilities,
                         int32_t **labels, size_t *count, ns_error *err);
/// Which labels those images have: 0 or 1, (count, labels), malloced. NS_ERR_MEMORY.
ns_status nn_split_truth(const data_set *set, data_split split, size_t count_max, uint8_t **truth,
                         size_t *count, ns_error *err);
/// NS_ERR_INPUT, naming the difference, when size, channels or label names differ, or one is
/// multi-label and the other is not.
ns_status nn_model_fits(const nn_model *model, const data_set *set, ns_error *err);

/* ---- export ---------------------------------------------------------------------------------- */

/// ONNX: opset 13, IR 7, input "image" (batch, C, H, W) f32 with raw 0-255 pixels, of the shape that
/// nn_model_info.image says, preprocessing and shrinking inside the graph, output "probabilities" (batch, labels), label names in the metadata.
ns_status nn_export_onnx(const nn_model *model, const char *path, ns_error *err);

/* ---- measuring ------------------------------------------------------------------------------- */

const char *nn_op_name(nn_op_kind kind); // "conv", "batch_norm", ...
const char *nn_pass_name(nn_pass pass);  // "forward", "backward_weights", ...

/// Random normal images and random labels into the buffers of a training net.
void nn_bench_fill(nn_net *net, uint64_t seed);
/// The optimiser's sweep over the gradients that are there, as nn_train() makes it after each step;
/// neither clips nor averages.
void nn_bench_update(nn_net *net);
/// Milliseconds of a whole step, its update included: the median over `ms_min`, and over at least
/// three and at most 1024 steps, the first one aside. The weights are of no use afterwards.
double nn_bench_step_ms(nn_net *net, double ms_min);

/// GB/s (1e9 bytes read plus bytes written) of the faster of copy and triad on buffers that have
/// `footprint_bytes` together. NS_ERR_MEMORY.
ns_status nn_bench_bandwidth(size_t footprint_bytes, int thread_count, double *gb_per_s,
                             ns_error *err);

/// One pass of one convolution, measured alone by the best kernel that there is for it, oneDNN's or
/// ours; the first convolution by ours has its batch norm with it. Convolutions of one geometry are
/// measured once and counted `use_count` times.
typedef struct nn_bench_conv {
    int node; // the first of them
    nn_pass pass;
    int use_count;
    int64_t flops;          // of one
    char kernel[64];        // "jit_bf16:avx512_core_bf16, blocked"
    double ms;              // the median of all rounds
    double ms_best, ms_now; // the least of all rounds; the last round's
} nn_bench_conv;

/// The convolutions of a training net without the net: their own best times are the roof that a
/// step is compared with. A bias is left out.
typedef struct nn_bench_convs nn_bench_convs;
/// Tries every kernel, algorithm and layout. NS_ERR_MEMORY.
ns_status nn_bench_convs_new(const nn_graph *graph, const nn_net_options *options,
                             nn_bench_convs **out, ns_error *err);
void nn_bench_convs_free(nn_bench_convs *convs);
/// Measures each once more; to be called in turn with what they are compared to.
void nn_bench_convs_round(nn_bench_convs *convs);
const nn_bench_conv *nn_bench_convs_at(const nn_bench_convs *convs, int index); // NULL: no more

#endif
