// The op table: everything the engine knows about an operation, one row each.
//
// Shape inference, parameter and FLOP counts, the memory plan, both executors, JSON, the hash and
// the tests all read these rows; none of them asks "which op is this?" where a column can answer.
// To add an operation: name it in nn_op_kind (nn.h), write its row here, its shape and counts in
// op_shape.c, its reference in op_ref.c, and its fast form in a backend (op_dnnl.c says where).
//
// The columns:
//   kind       NN_OP_<kind> of nn.h
//   name       in JSON, error sentences and hashes: part of file formats, never to be changed
//   in         number of inputs
//   fields     NN__FIELDS_<fields>: what of nn_node it uses; all else stays zero
//   reads      what backward reads of the forward pass, so that the plan keeps it until then:
//              INPUT, OUTPUT, NONE, or what the node's activation says in the second table (ACT);
//              what a backend keeps besides is the backend's own
//   fx fy      how often forward streams a tensor of its inputs' size (x) and its output's (y)
//   bx by      the same for backward: together the memory traffic, which bounds all but conv
//   shape      nn__shape_<shape>: the output's shape from the inputs', or why there is none
//   flops      nn__flops_<flops>: of forward, for one image; backward costs that once for the
//              inputs' gradient, and once more for the parameters' where there are any
//   params     nn__params_<params>: its parameters
//   reference  nn__ref_<reference>_forward, _backward: plain loops every fast form is tested by
//
// Read a row aloud: batch norm streams its input for the mean, for the variance and for the result;
// its backward streams input and gradient twice each and writes one gradient. An addition's
// backward moves nothing: both inputs' gradients are the sum's own, and the plan shares the buffer.

#ifndef NS_NN_OP_LIST_H
#define NS_NN_OP_LIST_H

// clang-format off
#define NN_OP_LIST(X) \
/*  kind                 name                   in  fields  reads   fx  fy  bx  by  shape   flops   params  reference */ \
  X(INPUT,               "input",               0,  IMAGE,  NONE,   0,  0,  0,  0,  image,  none,   none,   none) \
  X(CONV,                "conv",                1,  CONV,   INPUT,  1,  1,  2,  2,  conv,   conv,   conv,   conv) \
  X(BATCH_NORM,          "batch_norm",          1,  NORM,   INPUT,  3,  1,  3,  2,  same,   norm,   norm,   batch_norm) \
  X(ACTIVATION,          "activation",          1,  ACT,    ACT,    1,  1,  1,  2,  same,   point,  none,   activation) \
  X(ADD,                 "add",                 2,  ACT,    NONE,   1,  1,  0,  0,  equal,  point,  none,   add) \
  X(MULTIPLY,            "multiply",            2,  NONE,   INPUT,  1,  1,  2,  1,  gated,  point,  none,   multiply) \
  X(MAX_POOL,            "max_pool",            1,  WINDOW, NONE,   1,  1,  1,  1,  window, window, none,   max_pool) \
  X(AVERAGE_POOL,        "average_pool",        1,  WINDOW, NONE,   1,  1,  1,  1,  window, window, none,   average_pool) \
  X(GLOBAL_MAX_POOL,     "global_max_pool",     1,  NONE,   NONE,   1,  1,  1,  1,  pixel,  global, none,   max_pool) \
  X(GLOBAL_AVERAGE_POOL, "global_average_pool", 1,  NONE,   NONE,   1,  1,  1,  1,  pixel,  global, none,   average_pool) \
  X(LINEAR,              "linear",              1,  OUT,    INPUT,  1,  1,  2,  2,  linear, linear, linear, linear) \
  X(DROPOUT,             "dropout",             1,  VALUE,  NONE,   1,  1,  1,  1,  same,   point,  none,   dropout) \
  X(SCALE,               "scale",               1,  VALUE,  NONE,   1,  1,  1,  1,  same,   point,  none,   scale) \
  X(NORM_ADD,            "norm_add",            2,  FUSED,  INPUT,  1,  2,  2,  1,  same,   norm,   norm,   none) \
  X(NORM_ADD_ACT,        "norm_add_act",        2,  FUSED,  INPUT,  1,  2,  3,  1,  same,   norm,   norm,   none) \
  X(NORM_POOL,           "norm_pool",           1,  FUSED,  INPUT,  2,  1,  3,  2,  same,   norm,   norm,   none) \
  X(NORM_AVERAGE,        "norm_average",        1,  FUSED,  INPUT,  2,  1,  3,  2,  same,   norm,   norm,   none) \
  X(STEM_NORM,           "stem_norm",           1,  FUSED,  NONE,   0,  1,  0,  1,  same,   norm,   norm,   none)

/// kind, name as above, what its backward reads. ReLU and sigmoid
/// tell their slope from their output, which the next layer often keeps anyway.
#define NN_ACTIVATION_LIST(X) \
  X(NONE,    "none",    NONE) \
  X(RELU,    "relu",    OUTPUT) \
  X(SILU,    "silu",    INPUT) \
  X(GELU,    "gelu",    INPUT) \
  X(SIGMOID, "sigmoid", OUTPUT)

/// kind, name as above.
#define NN_INIT_LIST(X) \
  X(USUAL,     "usual") \
  X(DIRAC,     "dirac") \
  X(ZERO,      "zero") \
  X(WHITENING, "whitening")
// clang-format on

/// Sets of nn_node's fields.
enum {
    NN__FIELD_SHAPE = 1 << 0, // given, not inferred
    NN__FIELD_OUT_CHANNELS = 1 << 1,
    NN__FIELD_KERNEL = 1 << 2,
    NN__FIELD_STRIDE = 1 << 3,
    NN__FIELD_PAD = 1 << 4,
    NN__FIELD_GROUPS = 1 << 5,
    NN__FIELD_BIAS = 1 << 6,
    NN__FIELD_ACTIVATION = 1 << 7,
    NN__FIELD_INIT = 1 << 8,
    NN__FIELD_FROZEN = 1 << 9,
    NN__FIELD_VALUE = 1 << 10,
    NN__FIELD_FUSED = 1 << 11, // made for training alone, from nodes that have references

    NN__FIELDS_NONE = 0,
    NN__FIELDS_IMAGE = NN__FIELD_SHAPE,
    NN__FIELDS_OUT = NN__FIELD_OUT_CHANNELS,
    NN__FIELDS_ACT = NN__FIELD_ACTIVATION,
    NN__FIELDS_NORM = NN__FIELD_ACTIVATION | NN__FIELD_INIT,
    NN__FIELDS_FUSED = NN__FIELDS_NORM | NN__FIELD_FUSED,
    NN__FIELDS_VALUE = NN__FIELD_VALUE,
    NN__FIELDS_WINDOW = NN__FIELD_KERNEL | NN__FIELD_STRIDE | NN__FIELD_PAD,
    NN__FIELDS_CONV = NN__FIELDS_WINDOW | NN__FIELD_OUT_CHANNELS | NN__FIELD_GROUPS |
                      NN__FIELD_BIAS | NN__FIELD_ACTIVATION | NN__FIELD_INIT | NN__FIELD_FROZEN,
};

#endif
