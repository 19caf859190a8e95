// Random small networks: whatever graph can be built, the fast executor computes what the reference
// does. Kernels have tests of their own; here they meet in combinations that nobody thought of: odd
// sizes, channels that fill no vector, batches of one, more threads than rows, maps of one pixel.
//
// How far results may be apart depends on the network: a deep one over a tiny batch amplifies
// rounding a thousandfold. So the reference is run once more with weights and images a rounding
// error away, and what that changes is the measure, for each array of gradients by itself.
//
//      test_nn_random [COUNT [FIRST]]     that many networks of each kind, from that number on

#include "nn/nn_internal.h"
#include "tests/nn/nets.h"

enum { NET_COUNT = 30 };

#define NOTHING 1e-5 // what rounding makes of a zero: gradients where there is one label

static uint64_t net_count = NET_COUNT, net_first = 0;

/* ---- networks -------------------------------------------------------------------------------- */

/// What networks are drawn for. In bf16 a rounding error may move a maximum from one pixel to another,
/// and all of its gradient with it: there, pools take means. Nor has oneDNN 2.6 all grouped
/// convolutions in bf16 that it describes.
typedef struct drawing {
    int batch_size;
    bool bf16;
} drawing;

static int pick(ns_rng *rng, const int *values, int count) {
    return values[ns_rng_below(rng, (uint64_t)count)];
}
#define PICK(rng, ...)                                                                             \
    pick(rng, (const int[]){__VA_ARGS__}, (int)NS_COUNT_OF(((const int[]){__VA_ARGS__})))

static bool chance(ns_rng *rng, int percent) {
    return ns_rng_below(rng, 100) < (uint64_t)percent;
}

static nn_activation any_activation(ns_rng *rng) {
    return (nn_activation)(1 + ns_rng_below(rng, NN_ACTIVATION_COUNT - 1));
}

static nn_shape shape_of(const nn_graph *graph, int node) {
    return graph->node[node].shape;
}

/// Batch norm over a few values only amplifies rounding; then it is left out.
static int maybe_norm(nn_graph *graph, int x, const drawing *d, ns_rng *rng) {
    const nn_shape shape = shape_of(graph, x);
    if (d->batch_size * shape.height * shape.width < 8 || chance(rng, 20)) {
        return chance(rng, 70) ? nn_add_activation(graph, x, any_activation(rng)) : x;
    }
    return nn_add_batch_norm(graph, x, chance(rng, 75) ? any_activation(rng) : NN_ACTIVATION_NONE);
}

static int add_conv(nn_graph *graph, int x, int channels, int stride, const drawing *d,
                    ns_rng *rng) {
    const int in = shape_of(graph, x).channels;
    const bool depthwise = channels == in && chance(rng, 50);
    const int multiple = d->bf16 ? 32 : 2;
    const bool grouped = in % multiple == 0 && channels % multiple == 0 && chance(rng, 25);
    const int groups = depthwise ? in : grouped ? 2 : 1;
    const int kernel = PICK(rng, 1, 3, 3, 3, 5);
    x = nn_add_conv(graph, x, channels, kernel, stride, groups, chance(rng, 20));
    return maybe_norm(graph, x, d, rng);
}

static int add_residual(nn_graph *graph, int x, const drawing *d, ns_rng *rng) {
    const int channels = shape_of(graph, x).channels;
    int branch = add_conv(graph, x, PICK(rng, 8, 16, 24, 32), 1, d, rng);
    branch = add_conv(graph, branch, channels, 1, d, rng);
    if (chance(rng, 30)) {
        branch = nn_add_squeeze_excite(graph, branch, PICK(rng, 1, 4, 16));
    }
    const int sum = chance(rng, 50) ? nn_add_add(graph, x, branch) : nn_add_add(graph, branch, x);
    return chance(rng, 50) ? nn_add_activation(graph, sum, any_activation(rng)) : sum;
}

static int add_pool(nn_graph *graph, int x, const drawing *d, ns_rng *rng) {
    const nn_shape shape = shape_of(graph, x);
    const nn_op_kind kind = !d->bf16 && chance(rng, 50) ? NN_OP_MAX_POOL : NN_OP_AVERAGE_POOL;
    if (shape.height < 3 || shape.width < 3) {
        return x;
    }
    return chance(rng, 70) ? nn_add_pool(graph, kind, x, 2, 2, 0)
                           : nn_add_pool(graph, kind, x, 3, PICK(rng, 1, 2), PICK(rng, 0, 1));
}

static int add_part(nn_graph *graph, int x, const drawing *d, ns_rng *rng) {
    const int channels = shape_of(graph, x).channels;
    switch (ns_rng_below(rng, 7)) {
    case 0:
        return add_pool(graph, x, d, rng);
    case 1:
        return add_residual(graph, x, d, rng);
    case 2:
        return nn_add_squeeze_excite(graph, x, PICK(rng, 1, 3, 8, 16));
    case 3:
        return add_conv(graph, x, channels, PICK(rng, 1, 2), d, rng);
    case 4:
        return nn_add_scale(graph, x, -0.7F);
    default:
        return add_conv(graph, x, PICK(rng, 1, 5, 8, 16, 17, 24, 32, 40, 48), PICK(rng, 1, 1, 2), d,
                        rng);
    }
}

static int add_stem(nn_graph *graph, int x, const drawing *d, ns_rng *rng) {
    const int channels = PICK(rng, 3, 8, 16, 20, 32);
    x = nn_add_conv(graph, x, channels, PICK(rng, 2, 3, 3, 5), PICK(rng, 1, 1, 2), 1,
                    chance(rng, 30));
    if (chance(rng, 25)) { // as whitening filters are
        return nn_add_activation(graph, nn_set_frozen(graph, x), any_activation(rng));
    }
    return maybe_norm(graph, x, d, rng);
}

static void random_graph(nn_graph *graph, const drawing *d, ns_rng *rng) {
    nn_graph_init(graph);
    const nn_shape image = {PICK(rng, 1, 3, 3, 4), 4 + (int)ns_rng_below(rng, 14),
                            4 + (int)ns_rng_below(rng, 14)};
    int x = nn_add_input(graph, image);
    if (!chance(rng, 10)) {
        x = add_stem(graph, x, d, rng);
    }
    for (int i = (int)ns_rng_below(rng, 6); i > 0; i--) {
        x = add_part(graph, x, d, rng);
    }
    if (chance(rng, 85)) {
        x = nn_add_global_pool(
            graph, !d->bf16 && chance(rng, 50) ? NN_OP_GLOBAL_MAX_POOL : NN_OP_GLOBAL_AVERAGE_POOL,
            x);
    }
    const nn_shape last = shape_of(graph, x);
    if (last.height * last.width == 1 && last.channels % 16 == 0 && chance(rng, 50)) {
        x = nn_add_dropout(graph, x, 0.2F); // elsewhere, which values it drops is the layout's
    }
    x = nn_add_linear(graph, x, PICK(rng, 1, 2, 7, 10, 17));
    if (chance(rng, 30)) {
        (void)nn_add_scale(graph, x, 0.25F);
    }
}

/* ---- results --------------------------------------------------------------------------------- */

/// What one executor makes of a network, everything in plain order.
typedef struct results {
    float loss;
    float *logits, *gradient, *state; // the state after the step, for its running statistics
    float *answer;                    // logits at inference
} results;

/// Of one type: how far apart its rounding puts values, how much more than that may happen, and what
/// is always forgiven, as a share of an array's length and of all arrays' together.
typedef struct tolerance {
    float rounding;
    double factor, share, share_of_all;
} tolerance;

typedef struct subject {
    uint64_t number;
    const tolerance *tolerance;
    nn_graph graph;
    int batch_size, thread_count;
    bool wrong;
    size_t state_count, logit_count, input_count;
    float *state, *input;
    int32_t *labels;
} subject;

static float *floats(size_t count) {
    float *values = calloc(count + 1, sizeof *values);
    assert_non_null(values);
    return values;
}

static void subject_open(subject *s, uint64_t number, bool bf16) {
    ns_rng rng = ns_rng_stream(number, 0, "random network");
    *s = (subject){.number = number, .batch_size = PICK(&rng, 1, 2, 3, 5, 7)};
    const drawing d = {s->batch_size, bf16};
    random_graph(&s->graph, &d, &rng);
    ns_error err = {0};
    assert_ok(nn_graph_check(&s->graph, &err), &err);
    s->state_count = nn_graph_state_count(&s->graph);
    s->input_count = input_count_of(&s->graph, s->batch_size);
    s->logit_count =
        (size_t)s->batch_size * nn__shape_count(s->graph.node[s->graph.node_count - 1].shape);
    s->state = floats(s->state_count);
    s->input = floats(s->input_count);
    s->labels = calloc((size_t)s->batch_size, sizeof *s->labels);
    assert_non_null(s->labels);
    for (size_t i = 0; i < s->input_count; i++) {
        s->input[i] = (float)ns_rng_normal(&rng);
    }
    for (int i = 0; i < s->batch_size; i++) {
        s->labels[i] = (int32_t)ns_rng_below(&rng, s->logit_count / (uint64_t)s->batch_size);
    }
}

static void subject_close(subject *s) {
    free(s->state);
    free(s->input);
    free(s->labels);
}

static void print_network(const subject *s, const nn_graph *graph) {
    print_message("network %llu, %d images, %d threads:\n", (unsigned long long)s->number,
                  s->batch_size, s->thread_count);
    for (int i = 0; i < graph->node_count; i++) {
        const nn_node *node = &graph->node[i];
        print_message("  %d: %s of %d, %d: kernel %d stride %d pad %d groups %d bias %d %s -> "
                      "%dx%dx%d\n",
                      i, nn_op_name(node->kind), node->input[0], node->input[1], node->kernel,
                      node->stride, node->pad, node->groups, node->bias,
                      nn__activation_names[node->activation], node->shape.channels,
                      node->shape.height, node->shape.width);
    }
}

static nn_net *net_of(const subject *s, const nn_graph *graph, const nn_net_options *options) {
    ns_error err = {0};
    nn_net *net = NULL;
    if (nn_net_new(graph, options, &net, &err) != NS_OK) {
        print_network(s, graph);
        fail_msg("%s", err.text);
    }
    nn_net_init(net, 5);
    memcpy(nn_net_input(net), s->input, s->input_count * sizeof *s->input);
    memcpy(nn_net_labels(net), s->labels, (size_t)s->batch_size * sizeof *s->labels);
    return net;
}

static void train(const subject *s, nn_net_options options, results *out) {
    options.batch_size = s->batch_size;
    options.label_smoothing = 0.1F;
    nn_net *net = net_of(s, &s->graph, &options);
    nn_net_set_state(net, s->state);
    (void)nn_net_forward_backward(net, 8); // must leave nothing behind
    nn_net_set_state(net, s->state);
    out->loss = nn_net_forward_backward(net, 9);
    out->logits = floats(s->logit_count);
    memcpy(out->logits, nn_net_logits(net), s->logit_count * sizeof *out->logits);
    out->gradient = plain_gradients(&s->graph, net);
    out->state = floats(s->state_count);
    nn_net_get_state(net, out->state);
    nn_net_free(net);
}

/// The folded network by the fast executor, the graph as it is by the reference.
static void answer(const subject *s, nn_net_options options, results *out) {
    ns_error err = {0};
    nn__fold *fold = NULL;
    options.mode = NN_MODE_INFER;
    options.batch_size = s->batch_size;
    const bool folds = options.backend == NN_BACKEND_ONEDNN;
    float *state = floats(s->state_count);
    memcpy(state, s->state, s->state_count * sizeof *state);
    if (folds) {
        assert_ok(nn__fold_new(&s->graph, &fold, &err), &err);
        nn__fold_state(fold, s->state, state);
    }
    nn_net *net = net_of(s, folds ? nn__fold_graph(fold) : &s->graph, &options);
    nn_net_set_state(net, state);
    nn_net_forward(net);
    out->answer = floats(s->logit_count);
    memcpy(out->answer, nn_net_logits(net), s->logit_count * sizeof *out->answer);
    nn_net_free(net);
    nn__fold_free(fold);
    free(state);
}

static results results_of(const subject *s, nn_backend backend, nn_dtype dtype, int thread_count) {
    nn_net_options options = nn_net_options_default();
    options.backend = backend;
    options.dtype = dtype;
    options.thread_count = thread_count;
    results out = {0};
    train(s, options, &out);
    answer(s, options, &out);
    return out;
}

static void results_clear(results *r) {
    free(r->logits);
    free(r->gradient);
    free(r->state);
    free(r->answer);
}

/* ---- comparison ------------------------------------------------------------------------------ */

static double length(const float *values, size_t count) {
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        squares += (double)values[i] * (double)values[i];
    }
    return sqrt(squares);
}

static double distance(const float *a, const float *b, size_t count) {
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        const double difference = (double)a[i] - (double)b[i];
        squares += difference * difference;
    }
    return sqrt(squares);
}

/// `moved` is what rounding makes of `want`.
static void check(subject *s, const char *what, int node, double all, const float *got,
                  const float *want, const float *moved, size_t count) {
    const tolerance *t = s->tolerance;
    const double error = distance(got, want, count);
    const double bound = t->factor * distance(moved, want, count) + t->share * length(want, count) +
                         t->share_of_all * all + NOTHING;
    if (!(error <= bound)) {
        if (!s->wrong) {
            print_network(s, &s->graph);
        }
        print_message("%s of node %d is off by %.3g of %.3g, more than %.3g\n", what, node, error,
                      length(want, count), bound);
        s->wrong = true;
    }
}

/// Array by array, in the order of a state.
static void check_states(subject *s, const char *what, const float *got, const float *want,
                         const float *moved) {
    const double all = length(want, s->state_count);
    size_t at = 0;
    for (int i = 0; i < s->graph.node_count; i++) {
        const nn__params params = nn__node_params(&s->graph, &s->graph.node[i]);
        const size_t part[] = {params.trainable[0], params.trainable[1], params.running,
                               params.running};
        for (size_t k = 0; k < NS_COUNT_OF(part); k++) {
            check(s, what, i, all, got + at, want + at, moved + at, part[k]);
            at += part[k];
        }
    }
    assert_int_equal(at, s->state_count);
}

static void check_all(subject *s, const results *got, const results *want, const results *moved) {
    const int last = s->graph.node_count - 1;
    check(s, "loss", last, 0, &got->loss, &want->loss, &moved->loss, 1);
    check(s, "output", last, 0, got->logits, want->logits, moved->logits, s->logit_count);
    check(s, "answer", last, 0, got->answer, want->answer, moved->answer, s->logit_count);
    check_states(s, "gradient", got->gradient, want->gradient, moved->gradient);
    check_states(s, "state", got->state, want->state, moved->state);
}

/// Random weights, all signs and sizes; variances positive.
static void draw_state(subject *s, ns_rng *rng) {
    nn_net_options options = nn_net_options_default();
    options.backend = NN_BACKEND_REFERENCE;
    options.batch_size = s->batch_size;
    nn_net *net = net_of(s, &s->graph, &options);
    nn_net_get_state(net, s->state);
    nn_net_free(net);
    for (size_t i = 0; i < s->state_count; i++) {
        s->state[i] += 0.1F * fabsf((float)ns_rng_normal(rng)) * (s->state[i] < 0 ? -1 : 1);
    }
}

static void round_all(float *values, size_t count, float rounding, ns_rng *rng) {
    for (size_t i = 0; i < count; i++) {
        values[i] += rounding * values[i] * (float)ns_rng_normal(rng);
    }
}

/// Whether they agree.
static bool compare(uint64_t number, nn_dtype dtype, const tolerance *t) {
    subject s;
    ns_rng rng = ns_rng_stream(number, 1, "random network");
    subject_open(&s, number, dtype == NN_DTYPE_BF16);
    draw_state(&s, &rng);
    s.tolerance = t;
    s.thread_count = PICK(&rng, 1, 1, 2, 3);
    results got = results_of(&s, NN_BACKEND_ONEDNN, dtype, s.thread_count);
    results want = results_of(&s, NN_BACKEND_REFERENCE, NN_DTYPE_F32, 1);
    round_all(s.state, s.state_count, t->rounding, &rng);
    round_all(s.input, s.input_count, t->rounding, &rng);
    results moved = results_of(&s, NN_BACKEND_REFERENCE, NN_DTYPE_F32, 1);
    check_all(&s, &got, &want, &moved);
    results_clear(&got);
    results_clear(&want);
    results_clear(&moved);
    subject_close(&s);
    return !s.wrong;
}

static void compare_all(nn_dtype dtype, const tolerance *t) {
    uint64_t wrong_count = 0;
    for (uint64_t i = 0; i < net_count; i++) {
        wrong_count += compare(net_first + i, dtype, t) ? 0 : 1;
    }
    assert_int_equal(wrong_count, 0);
}

static void test_f32_agrees_with_reference(void **state) {
    (void)state;
    compare_all(NN_DTYPE_F32, &(tolerance){1e-6F, 10, 2e-5, 1e-5});
}

static void test_bf16_agrees_with_reference(void **state) {
    (void)state;
    if (has_bf16()) {
        compare_all(NN_DTYPE_BF16, &(tolerance){4e-3F, 4, 0.1, 0.02});
    }
}

int main(int argc, char **argv) {
    net_count = argc > 1 ? strtoull(argv[1], NULL, 10) : net_count;
    net_first = argc > 2 ? strtoull(argv[2], NULL, 10) : net_first;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32_agrees_with_reference),
        cmocka_unit_test(test_bf16_agrees_with_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
