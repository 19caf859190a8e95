// nightshift bench ops: every op by itself, forward and backward, beside the roof that bounds it.
//
// An op is measured where it works: inside a small training net, behind a 1x1 convolution that gives
// it its usual layout and wants its gradient, and before a classifier. Only its own rows of the
// step's profile count. The roof of a row is the larger of two times: its bytes at the bandwidth of
// the smallest memory level that holds them, and its FLOPs at the processor's peak. The peak is
// measured too: the fastest pass of wide 1x1 convolutions of that type, oneDNN's kernels with the
// most arithmetic for their bytes, never Winograd's. A Winograd convolution may therefore beat its
// roof.

#include <stdlib.h>
#include <string.h>

#include "cli/cmd_bench.h"

#define CASE_MS    100 // of steps for one op at one size
#define PEAK_MS    500 // of convolutions for the peak of one type
#define PEAK_BATCH 16
#define ROWS_MAX   8 // of one op: its passes

/// Appends the op behind node `x` of `channels`; returns the last node.
typedef int (*add_fn)(nn_graph *graph, int x, int channels);

static int add_conv3(nn_graph *graph, int x, int channels) {
    return nn_add_conv(graph, x, channels, 3, 1, 1, false);
}

static int add_conv1(nn_graph *graph, int x, int channels) {
    return nn_add_conv(graph, x, channels, 1, 1, 1, false);
}

static int add_strided(nn_graph *graph, int x, int channels) {
    return nn_add_conv(graph, x, channels, 3, 2, 1, false);
}

static int add_grouped(nn_graph *graph, int x, int channels) {
    return nn_add_conv(graph, x, channels, 3, 1, 4, false);
}

static int add_depthwise(nn_graph *graph, int x, int channels) {
    return nn_add_conv(graph, x, channels, 3, 1, channels, false);
}

static int add_norm(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_batch_norm(graph, x, NN_ACTIVATION_NONE);
}

static int add_norm_relu(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_batch_norm(graph, x, NN_ACTIVATION_RELU);
}

static int add_stem(nn_graph *graph, int x, int channels) {
    return add_norm_relu(graph, add_conv3(graph, x, channels), channels);
}

static int add_norm_pool(nn_graph *graph, int x, int channels) {
    const int norm = add_norm_relu(graph, x, channels);
    return nn_add_pool(graph, NN_OP_MAX_POOL, norm, 2, 2, 0);
}

static int add_norm_add(nn_graph *graph, int x, int channels) {
    return nn_add_add(graph, x, add_norm_relu(graph, x, channels));
}

static int add_relu(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_activation(graph, x, NN_ACTIVATION_RELU);
}

static int add_silu(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_activation(graph, x, NN_ACTIVATION_SILU);
}

static int add_gelu(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_activation(graph, x, NN_ACTIVATION_GELU);
}

static int add_add(nn_graph *graph, int x, int channels) {
    return nn_add_add(graph, x, add_conv1(graph, x, channels));
}

static int add_gate(nn_graph *graph, int x, int channels) {
    (void)channels;
    const int mean = nn_add_global_pool(graph, NN_OP_GLOBAL_AVERAGE_POOL, x);
    return nn_add_multiply(graph, x, nn_add_activation(graph, mean, NN_ACTIVATION_SIGMOID));
}

static int add_max_pool(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_pool(graph, NN_OP_MAX_POOL, x, 2, 2, 0);
}

static int add_max_pool3(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_pool(graph, NN_OP_MAX_POOL, x, 3, 2, 1);
}

static int add_average_pool(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_pool(graph, NN_OP_AVERAGE_POOL, x, 2, 2, 0);
}

static int add_global_max(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_global_pool(graph, NN_OP_GLOBAL_MAX_POOL, x);
}

static int add_global_average(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_global_pool(graph, NN_OP_GLOBAL_AVERAGE_POOL, x);
}

static int add_linear(nn_graph *graph, int x, int channels) {
    return nn_add_linear(graph, x, channels);
}

static int add_dropout(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_dropout(graph, x, 0.5F);
}

static int add_scale(nn_graph *graph, int x, int channels) {
    (void)channels;
    return nn_add_scale(graph, x, 0.5F);
}

/// A fused op's rows are those of its batch norm, one node before the last.
typedef struct op_row {
    const char *name;
    add_fn add;
    int nodes_back;
    bool reads_images; // not behind a convolution
} op_row;

static const op_row ops[] = {
    {.name = "conv 3x3", .add = add_conv3},
    {.name = "conv 1x1", .add = add_conv1},
    {.name = "conv 3x3 stride 2", .add = add_strided},
    {.name = "conv 3x3 in 4 groups", .add = add_grouped},
    {.name = "depthwise 3x3", .add = add_depthwise},
    {.name = "batch norm", .add = add_norm},
    {.name = "batch norm + ReLU", .add = add_norm_relu},
    {.name = "batch norm + ReLU + max pool", .add = add_norm_pool, .nodes_back = 1},
    {.name = "batch norm + ReLU + add", .add = add_norm_add, .nodes_back = 1},
    {.name = "first conv 3x3 + batch norm", .add = add_stem, .reads_images = true},
    {.name = "ReLU", .add = add_relu},
    {.name = "SiLU", .add = add_silu},
    {.name = "GELU", .add = add_gelu},
    {.name = "add", .add = add_add},
    {.name = "multiply by a gate", .add = add_gate},
    {.name = "max pool 2x2", .add = add_max_pool},
    {.name = "max pool 3x3 stride 2", .add = add_max_pool3},
    {.name = "average pool 2x2", .add = add_average_pool},
    {.name = "global max pool", .add = add_global_max},
    {.name = "global average pool", .add = add_global_average},
    {.name = "linear", .add = add_linear},
    {.name = "dropout", .add = add_dropout},
    {.name = "scale", .add = add_scale},
};

static const nn_shape sizes[] = {{16, 28, 28}, {64, 28, 28}, {128, 14, 14}, {256, 7, 7}};

typedef struct ops_bench {
    cli_bench_words words;
    const char *only;
    cli_bench_roofs roofs;
    double peak_gflop_per_s; // of the type at hand
    nn_profile profile;
    nn_graph graph;
    ns_json *rows;
    cli_table *table;
} ops_bench;

/// The passes of one op at one size.
typedef struct ops_case {
    const char *op;
    nn_shape size;
    nn_dtype dtype;
    int row_count;
    nn_profile_row row[ROWS_MAX];
    double best_ms[ROWS_MAX];
    cli_samples ms[ROWS_MAX];
} ops_case;

/// After `limit_ms`, or --seconds when that is less.
static bool time_is_up(const ops_bench *b, int64_t since_ns, double limit_ms) {
    const double asked_ms = 1000 * b->words.seconds;
    const double passed_ms = (double)(ns_clock_ns() - since_ns) / 1e6;
    return passed_ms >= (limit_ms < asked_ms ? limit_ms : asked_ms);
}

/* ---- the peak -------------------------------------------------------------------------------- */

static ns_status measure_peak(ops_bench *b, nn_dtype dtype, ns_error *err) {
    nn_bench_convs *convs = NULL;
    nn_graph_init(&b->graph);
    int x = nn_add_input(&b->graph, (nn_shape){256, 14, 14});
    x = nn_add_conv(&b->graph, x, 256, 1, 1, 1, false);
    x = nn_add_conv(&b->graph, x, 512, 1, 1, 1, false);
    (void)nn_add_conv(&b->graph, x, 512, 1, 1, 1, false);
    NS_TRY(nn_graph_check(&b->graph, err));
    nn_net_options options = cli__bench_net(&b->words);
    options.dtype = dtype;
    options.batch_size = PEAK_BATCH;
    NS_TRY(nn_bench_convs_new(&b->graph, &options, &convs, err));
    const int64_t since_ns = ns_clock_ns();
    do {
        nn_bench_convs_round(convs);
    } while (!time_is_up(b, since_ns, PEAK_MS));
    b->peak_gflop_per_s = 0;
    const nn_bench_conv *conv = NULL;
    for (int i = 0; (conv = nn_bench_convs_at(convs, i)) != NULL; i++) {
        const double rate = (double)conv->flops / conv->ms_best / 1e6;
        b->peak_gflop_per_s = rate > b->peak_gflop_per_s ? rate : b->peak_gflop_per_s;
    }
    nn_bench_convs_free(convs);
    return NS_OK;
}

/* ---- one op at one size ---------------------------------------------------------------------- */

/// Returns the index of the op's node. The ReLU keeps a batch norm from joining the convolution.
static int build_case(nn_graph *graph, const op_row *op, nn_shape size) {
    nn_graph_init(graph);
    int x = nn_add_input(graph, (nn_shape){1, size.height, size.width});
    if (!op->reads_images) {
        x = nn_add_conv(graph, x, size.channels, 1, 1, 1, false);
        x = nn_add_activation(graph, x, NN_ACTIVATION_RELU);
    }
    const int node = op->add(graph, x, size.channels);
    (void)nn_add_linear(graph, nn_add_global_pool(graph, NN_OP_GLOBAL_AVERAGE_POOL, node),
                        CLI_BENCH_LABELS);
    return node - op->nodes_back;
}

static void take_rows(const ops_bench *b, int node, ops_case *c) {
    int count = 0;
    for (int i = 0; i < b->profile.row_count; i++) {
        const nn_profile_row *row = &b->profile.row[i];
        const bool works = row->bytes > 0; // what only passes a gradient on does not
        if (row->node == node && works && row->pass != NN_PASS_SUM && count < ROWS_MAX) {
            c->row[count] = *row;
            cli__samples_add(&c->ms[count++], row->ms);
        }
    }
    c->row_count = count;
}

static ns_status run_case(ops_bench *b, const op_row *op, ops_case *c, ns_error *err) {
    nn_net *net = NULL;
    nn_net_options options = cli__bench_net(&b->words);
    options.dtype = c->dtype;
    const int node = build_case(&b->graph, op, c->size);
    NS_TRY(nn_net_new(&b->graph, &options, &net, err));
    nn_net_init(net, 1);
    nn_bench_fill(net, 1);
    (void)nn_net_profile(net, 0, &b->profile); // a warm-up
    const int64_t since_ns = ns_clock_ns();
    do {
        (void)nn_net_profile(net, 0, &b->profile);
        take_rows(b, node, c);
    } while (!time_is_up(b, since_ns, CASE_MS));
    nn_net_free(net);
    return NS_OK;
}

/* ---- output ---------------------------------------------------------------------------------- */

/// The least time that memory and processor allow.
static double roof_ms(const ops_bench *b, const nn_profile_row *row) {
    const double bandwidth = cli__bench_bandwidth(&b->roofs, row->bytes);
    const double moving_ms = (double)row->bytes / bandwidth / 1e6;
    const double computing_ms = (double)row->flops / b->peak_gflop_per_s / 1e6;
    return moving_ms > computing_ms ? moving_ms : computing_ms;
}

static ns_json *row_json(const ops_bench *b, const ops_case *c, int i) {
    const nn_profile_row *row = &c->row[i];
    const double ms = cli__samples_quantile(&c->ms[i], 0.5);
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "op", c->op);
    ns_json_set_string(json, "dtype", nn_dtype_name(c->dtype));
    ns_json_set_string(json, "pass", nn_pass_name(row->pass));
    ns_json_set_int(json, "channels", c->size.channels);
    ns_json_set_int(json, "height", c->size.height);
    ns_json_set_int(json, "width", c->size.width);
    ns_json_set_number(json, "ms", ms);
    ns_json_set_number(json, "ms_best", cli__samples_quantile(&c->ms[i], 0));
    ns_json_set_int(json, "bytes", row->bytes);
    ns_json_set_int(json, "flops", row->flops);
    ns_json_set_number(json, "gb_per_s", (double)row->bytes / ms / 1e6);
    ns_json_set_number(json, "gflop_per_s", (double)row->flops / ms / 1e6);
    ns_json_set_number(json, "fraction_of_roof", roof_ms(b, row) / ms);
    return json;
}

static void row_print(const ops_bench *b, const ops_case *c, int i) {
    const nn_profile_row *row = &c->row[i];
    const double ms = cli__samples_quantile(&c->ms[i], 0.5);
    cli__table_cell(b->table, "%s", c->op);
    cli__table_cell(b->table, "%s", nn_dtype_name(c->dtype));
    cli__table_cell(b->table, "%dx%dx%d", c->size.channels, c->size.height, c->size.width);
    cli__table_cell(b->table, "%s", nn_pass_name(row->pass));
    cli__table_cell(b->table, "%.4f", ms);
    cli__table_cell(b->table, "%.1f", (double)row->bytes / ms / 1e6);
    cli__table_cell(b->table, "%.1f", (double)row->flops / ms / 1e6);
    cli__table_cell(b->table, "%.2f", roof_ms(b, row) / ms);
}

static ns_status report_case(ops_bench *b, const ops_case *c) {
    for (int i = 0; i < c->row_count; i++) {
        if (b->words.json) {
            ns_json_add(b->rows, row_json(b, c, i));
        } else {
            row_print(b, c, i);
        }
    }
    return NS_OK;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static ns_status run_dtype(ops_bench *b, nn_dtype dtype, ns_json *peaks, ns_error *err) {
    NS_TRY(measure_peak(b, dtype, err));
    ns_json_set_number(peaks, nn_dtype_name(dtype), b->peak_gflop_per_s);
    ops_case *c = malloc(sizeof *c);
    if (c == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot bench: out of memory");
    }
    ns_status status = NS_OK;
    for (size_t i = 0; i < NS_COUNT_OF(ops) && status == NS_OK; i++) {
        for (size_t k = 0; k < NS_COUNT_OF(sizes) && status == NS_OK; k++) {
            if (b->only != NULL && strcmp(b->only, ops[i].name) != 0) {
                continue;
            }
            *c = (ops_case){.op = ops[i].name, .size = sizes[k], .dtype = dtype};
            status = run_case(b, &ops[i], c, err);
            status = status == NS_OK ? report_case(b, c) : status;
        }
    }
    free(c);
    return status;
}

static ns_status check_name(const char *name, ns_error *err) {
    for (size_t i = 0; i < NS_COUNT_OF(ops); i++) {
        if (name == NULL || strcmp(name, ops[i].name) == 0) {
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_USAGE,
                   "cannot use --op \"%.40s\": the table without it has all names", name);
}

static ns_status run_all(ops_bench *b, ns_json *peaks, ns_error *err) {
    NS_TRY(cli__bench_roofs(b->words.thread_count, &b->roofs, err));
    if (b->words.dtype != NN_DTYPE_AUTO) {
        return run_dtype(b, b->words.dtype, peaks, err);
    }
    NS_TRY(run_dtype(b, NN_DTYPE_F32, peaks, err));
    return nn_dtype_resolve(NN_DTYPE_AUTO) == NN_DTYPE_BF16
               ? run_dtype(b, NN_DTYPE_BF16, peaks, err)
               : NS_OK;
}

static void print_heads(const ops_bench *b) {
    const char *const heads[] = {"op", "type", "size", "pass", "ms", "GB/s", "GFLOP/s", "of roof"};
    for (size_t i = 0; i < NS_COUNT_OF(heads); i++) {
        cli__table_cell(b->table, "%s", heads[i]);
    }
}

static void print_peaks(const ops_bench *b, const ns_json *peaks) {
    (void)printf("\nmemory %.1f GB/s, L3 %.1f GB/s, L2 %.1f GB/s", b->roofs.memory_gb_per_s,
                 b->roofs.l3_gb_per_s, b->roofs.l2_gb_per_s);
    for (size_t i = 0; i < ns_json_count(peaks); i++) {
        const char *dtype = ns_json_key_at(peaks, i);
        (void)printf(", %s %.1f GFLOP/s", dtype, ns_json_number(peaks, dtype, 0));
    }
    (void)printf(" (the fastest wide 1x1 convolution)\n");
}

static ns_status run_bench(ops_bench *b, ns_error *err) {
    NS_TRY(check_name(b->only, err));
    ns_json *json = ns_json_object_new();
    cli__bench_machine_json(json, &b->words);
    ns_json *peaks = ns_json_set(json, "peak_gflop_per_s", ns_json_object_new());
    b->rows = ns_json_set(json, "ops", ns_json_array_new());
    b->table = b->words.json ? NULL : cli__table_new("lllrrrrr");
    print_heads(b);
    ns_status status = run_all(b, peaks, err);
    if (status == NS_OK && b->words.json) {
        ns_json_set(json, "roofs", cli__bench_roofs_json(&b->roofs));
        return cli__print_json(json, err);
    }
    if (!b->words.json) { // also frees the table
        ns_error ignored = {0};
        const ns_status printed = cli__table_print(b->table, status == NS_OK ? err : &ignored);
        status = status == NS_OK ? printed : status;
    }
    if (status == NS_OK) {
        print_peaks(b, peaks);
    }
    ns_json_free(json);
    return status;
}

int cli__bench_ops(int argc, char **argv) {
    ops_bench *b = calloc(1, sizeof *b); // a graph is too big for the stack
    ns_error err = {0};
    if (b == NULL) {
        return cli__exit_code(ns_fail(&err, NS_ERR_MEMORY, "cannot bench: out of memory"), &err);
    }
    b->words = cli__bench_words_default();
    cli_option rows[CLI_BENCH_OPTIONS_MAX] = {{0}};
    const int row_count = cli__bench_options(&b->words, rows);
    rows[row_count] = (cli_option){
        "op", 0, "NAME", "Only this one, as the table names it", cli__parse_text, &b->only};
    const cli_syntax syntax = {
        .operands = "",
        .doc = "Times each op at several sizes, forward and backward, and compares it with what "
               "memory bandwidth or the processor's peak allow.",
        .options = rows,
    };
    cli_operands operands;
    int code = CLI_USAGE;
    if (cli__parse(&syntax, argc, argv, &operands)) {
        code = cli__exit_code(run_bench(b, &err), &err);
    }
    free(b);
    return code;
}
