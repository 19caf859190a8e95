// nightshift bench train: whole training steps (forward, loss, backward, optimiser) on random images
// that stay where they are, as a fraction of what the net's convolutions alone would take.
//
// A round is: some steps against the clock, every convolution once more by itself, one step with a
// clock at every op. Rounds follow each other until the time is up, so that whatever else the
// machine does slows steps and roof alike; figures are medians over rounds. The steps that are
// timed run without clocks inside, and those that are split by op count for nothing else.

#include <stdlib.h>
#include <string.h>

#include "cli/cmd_bench.h"

#define WARM_UP_STEPS  3
#define ROUND_MS       250 // of steps in a round; at least one
#define ROUNDS_MIN     2
#define KINDS_MAX      ((size_t)NN_OP_KIND_COUNT * (size_t)NN_PASS_COUNT)
#define OPTIMISER_NAME "optimiser"

/// What one clocked part of a step did, over all rounds.
typedef struct part {
    const char *op, *pass;
    int node; // -1: of several
    int64_t bytes, flops;
    bool conv;
    double ms;
    cli_samples samples;
} part;

typedef struct train_bench {
    cli_bench_words words;
    bool each;
    nn_graph graph;
    nn_net *net;
    nn_bench_convs *convs;
    cli_bench_roofs roofs;
    nn_profile profile;
    part *part; // the profile's rows, then the optimiser
    int part_count;
    cli_samples step_ms;
    uint64_t step_count;
    double loss;
} train_bench;

/* ---- measuring ------------------------------------------------------------------------------- */

static double ms_since(int64_t since_ns) {
    return (double)(ns_clock_ns() - since_ns) / 1e6;
}

static double run_step(train_bench *b) {
    const int64_t since_ns = ns_clock_ns();
    b->loss = (double)nn_net_forward_backward(b->net, b->step_count++);
    nn_bench_update(b->net);
    return ms_since(since_ns);
}

static void run_steps(train_bench *b) {
    const int64_t since_ns = ns_clock_ns();
    do {
        cli__samples_add(&b->step_ms, run_step(b));
    } while (ms_since(since_ns) < ROUND_MS && ms_since(since_ns) < 1000 * b->words.seconds);
}

static void name_parts(train_bench *b) {
    for (int i = 0; i < b->part_count - 1; i++) {
        const nn_profile_row *row = &b->profile.row[i];
        b->part[i] = (part){
            .op = nn_op_name(row->kind),
            .pass = nn_pass_name(row->pass),
            .node = row->node,
            .bytes = row->bytes,
            .flops = row->flops,
            .conv = row->kind == NN_OP_CONV && row->pass != NN_PASS_SUM,
        };
    }
    // Value, gradient and momentum are read, value and momentum written.
    const nn_params params = nn_net_params(b->net);
    b->part[b->part_count - 1] = (part){
        .op = OPTIMISER_NAME,
        .pass = "update",
        .node = -1,
        .bytes = 5 * (int64_t)(params.count * sizeof(float)),
        .flops = 6 * (int64_t)params.count,
    };
}

static ns_status profile_step(train_bench *b, ns_error *err) {
    b->loss = (double)nn_net_profile(b->net, b->step_count++, &b->profile);
    const int64_t since_ns = ns_clock_ns();
    nn_bench_update(b->net);
    const double update_ms = ms_since(since_ns);
    if (b->part == NULL) {
        b->part_count = b->profile.row_count + 1;
        b->part = calloc((size_t)b->part_count, sizeof *b->part);
        if (b->part == NULL) {
            return ns_fail(err, NS_ERR_MEMORY, "cannot split a step: out of memory");
        }
        name_parts(b);
        return NS_OK; // the first is a warm-up
    }
    for (int i = 0; i < b->part_count - 1; i++) {
        cli__samples_add(&b->part[i].samples, b->profile.row[i].ms);
    }
    cli__samples_add(&b->part[b->part_count - 1].samples, update_ms);
    return NS_OK;
}

static ns_status measure(train_bench *b, ns_error *err) {
    const nn_net_options options = cli__bench_net(&b->words);
    NS_TRY(cli__bench_graph(&b->words, &b->graph, err));
    NS_TRY(cli__bench_roofs(b->words.thread_count, &b->roofs, err));
    NS_TRY(nn_bench_convs_new(&b->graph, &options, &b->convs, err));
    NS_TRY(nn_net_new(&b->graph, &options, &b->net, err));
    nn_net_init(b->net, 1);
    nn_bench_fill(b->net, 1);
    for (int i = 0; i < WARM_UP_STEPS; i++) {
        (void)run_step(b);
    }
    NS_TRY(profile_step(b, err));
    const int64_t since_ns = ns_clock_ns();
    for (int round = 0; round < ROUNDS_MIN || ms_since(since_ns) < 1000 * b->words.seconds;
         round++) {
        run_steps(b);
        nn_bench_convs_round(b->convs);
        NS_TRY(profile_step(b, err));
    }
    for (int i = 0; i < b->part_count; i++) {
        b->part[i].ms = cli__samples_quantile(&b->part[i].samples, 0.5);
    }
    return NS_OK;
}

/* ---- figures --------------------------------------------------------------------------------- */

typedef struct figures {
    double step_ms, step_ms_best;
    double roof_ms, roof_ms_best;
    double conv_ms, other_ms; // of the split steps; a first conv fused with its norm is in other_ms
} figures;

static figures figures_of(const train_bench *b) {
    figures f = {
        .step_ms = cli__samples_quantile(&b->step_ms, 0.5),
        .step_ms_best = cli__samples_quantile(&b->step_ms, 0),
    };
    const nn_bench_conv *conv = NULL;
    for (int i = 0; (conv = nn_bench_convs_at(b->convs, i)) != NULL; i++) {
        f.roof_ms += conv->use_count * conv->ms;
        f.roof_ms_best += conv->use_count * conv->ms_best;
    }
    for (int i = 0; i < b->part_count; i++) {
        *(b->part[i].conv ? &f.conv_ms : &f.other_ms) += b->part[i].ms;
    }
    return f;
}

/// Parts of one op and pass added up, in the order in which they first run; returns how many.
static int sum_kinds(const train_bench *b, part kinds[KINDS_MAX]) {
    int count = 0;
    for (int i = 0; i < b->part_count; i++) {
        const part *one = &b->part[i];
        int k = 0;
        while (k < count && !(strcmp(kinds[k].op, one->op) == 0 && kinds[k].pass == one->pass)) {
            k++;
        }
        if (k == count) {
            kinds[count++] =
                (part){.op = one->op, .pass = one->pass, .node = -1, .conv = one->conv};
        }
        kinds[k].ms += one->ms;
        kinds[k].bytes += one->bytes;
        kinds[k].flops += one->flops;
    }
    return count;
}

static double per_s(double images, double ms) {
    return ms > 0 ? 1000 * images / ms : 0;
}

static double giga_per_s(int64_t count, double ms) {
    return ms > 0 ? (double)count / ms / 1e6 : 0;
}

/* ---- output ---------------------------------------------------------------------------------- */

static ns_json *part_json(const train_bench *b, const part *p) {
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "op", p->op);
    ns_json_set_string(json, "pass", p->pass);
    if (p->node >= 0) {
        ns_json_set_int(json, "node", p->node);
    }
    ns_json_set_number(json, "ms", p->ms);
    ns_json_set_int(json, "bytes", p->bytes);
    ns_json_set_int(json, "flops", p->flops);
    ns_json_set_number(json, "gb_per_s", giga_per_s(p->bytes, p->ms));
    ns_json_set_number(json, "gflop_per_s", giga_per_s(p->flops, p->ms));
    ns_json_set_number(json, "of_memory_bandwidth",
                       giga_per_s(p->bytes, p->ms) / b->roofs.memory_gb_per_s);
    return json;
}

static ns_json *conv_json(const nn_bench_conv *conv) {
    ns_json *json = ns_json_object_new();
    ns_json_set_int(json, "node", conv->node);
    ns_json_set_int(json, "count", conv->use_count);
    ns_json_set_string(json, "pass", nn_pass_name(conv->pass));
    ns_json_set_string(json, "kernel", conv->kernel);
    ns_json_set_number(json, "ms", conv->ms);
    ns_json_set_number(json, "ms_best", conv->ms_best);
    ns_json_set_number(json, "gflop_per_s", giga_per_s(conv->flops, conv->ms));
    return json;
}

static void split_json(ns_json *json, const train_bench *b) {
    part *kinds = calloc(KINDS_MAX, sizeof *kinds);
    const int kind_count = kinds != NULL ? sum_kinds(b, kinds) : 0;
    ns_json *ms = ns_json_set(json, "ms", ns_json_object_new());
    ns_json *by_kind = ns_json_set(json, "kinds", ns_json_array_new());
    for (int k = 0; k < kind_count; k++) {
        char key[64];
        (void)snprintf(key, sizeof key, "%s %s", kinds[k].op, kinds[k].pass);
        ns_json_set_number(ms, key, kinds[k].ms);
        ns_json_add(by_kind, part_json(b, &kinds[k]));
    }
    free(kinds);
    ns_json *ops = ns_json_set(json, "ops", ns_json_array_new());
    for (int i = 0; i < b->part_count; i++) {
        ns_json_add(ops, part_json(b, &b->part[i]));
    }
    ns_json *convs = ns_json_set(json, "convs", ns_json_array_new());
    const nn_bench_conv *conv = NULL;
    for (int i = 0; (conv = nn_bench_convs_at(b->convs, i)) != NULL; i++) {
        ns_json_add(convs, conv_json(conv));
    }
}

static ns_json *result_json(const train_bench *b) {
    const figures f = figures_of(b);
    const double images = b->words.batch_size;
    const nn_counts counts = nn_graph_count(&b->graph);
    ns_json *json = ns_json_object_new();
    cli__bench_machine_json(json, &b->words);
    ns_json_set_string(json, "net", cli__bench_net_name(&b->words));
    ns_json_set_string(json, "space_file", b->words.space_path);
    ns_json_set_int(json, "width", b->words.width);
    ns_json_set_string(json, "dtype", nn_dtype_name(nn_dtype_resolve(b->words.dtype)));
    ns_json_set_int(json, "params", counts.params);
    ns_json_set_int(json, "train_flops", counts.train_flops);
    ns_json_set_int(json, "repetitions", b->step_ms.count);
    ns_json_set_number(json, "loss", b->loss);
    ns_json_set_number(json, "step_ms", f.step_ms);
    ns_json_set_number(json, "images_per_s", per_s(images, f.step_ms));
    ns_json_set_number(json, "images_per_s_best", per_s(images, f.step_ms_best));
    ns_json_set_number(json, "conv_roof_ms", f.roof_ms);
    ns_json_set_number(json, "conv_roof_images_per_s", per_s(images, f.roof_ms));
    ns_json_set_number(json, "fraction_of_roof", f.roof_ms / f.step_ms);
    ns_json_set_number(json, "fraction_of_roof_best", f.roof_ms_best / f.step_ms_best);
    ns_json_set_number(json, "conv_ms", f.conv_ms);
    ns_json_set_number(json, "other_ms", f.other_ms);
    ns_json_set(json, "roofs", cli__bench_roofs_json(&b->roofs));
    split_json(json, b);
    return json;
}

static void part_row(cli_table *table, const train_bench *b, const part *p, double step_ms) {
    const double gb_per_s = giga_per_s(p->bytes, p->ms);
    cli__table_cell(table, "%s", p->op);
    cli__table_cell(table, "%s", p->pass);
    if (p->node >= 0) {
        cli__table_cell(table, "%d", p->node);
    } else {
        cli__table_cell(table, "-");
    }
    cli__table_cell(table, "%.3f", p->ms);
    cli__table_cell(table, "%.1f %%", 100 * p->ms / step_ms);
    cli__table_cell(table, "%.1f", (double)p->bytes / 1e6);
    cli__table_cell(table, "%.1f", gb_per_s);
    cli__table_cell(table, "%.2f", gb_per_s / b->roofs.memory_gb_per_s);
    cli__table_cell(table, "%.1f", giga_per_s(p->flops, p->ms));
}

static ns_status print_split(const train_bench *b, double step_ms, ns_error *err) {
    cli_table *table = cli__table_new("llrrrrrrr");
    const char *const heads[] = {"op", "pass", "node",      "ms",     "of step",
                                 "MB", "GB/s", "of memory", "GFLOP/s"};
    for (size_t i = 0; i < NS_COUNT_OF(heads); i++) {
        cli__table_cell(table, "%s", heads[i]);
    }
    part *kinds = calloc(KINDS_MAX, sizeof *kinds);
    const int kind_count = kinds != NULL ? sum_kinds(b, kinds) : 0;
    for (int k = 0; k < kind_count && !b->each; k++) {
        part_row(table, b, &kinds[k], step_ms);
    }
    free(kinds);
    for (int i = 0; i < b->part_count && b->each; i++) {
        part_row(table, b, &b->part[i], step_ms);
    }
    return cli__table_print(table, err);
}

static ns_status print_result(const train_bench *b, ns_error *err) {
    const figures f = figures_of(b);
    const double images = b->words.batch_size;
    (void)printf("%.1f images/s (best %.1f): %.3f ms a step of %d images, %s\n",
                 per_s(images, f.step_ms), per_s(images, f.step_ms_best), f.step_ms,
                 b->words.batch_size, nn_dtype_name(nn_dtype_resolve(b->words.dtype)));
    (void)printf("%.3f of the convolutions' own roof, %.1f images/s: %.3f ms\n",
                 f.roof_ms / f.step_ms, per_s(images, f.roof_ms), f.roof_ms);
    (void)printf("in convolutions %.3f ms, in all else %.3f ms; memory %.1f GB/s\n\n", f.conv_ms,
                 f.other_ms, b->roofs.memory_gb_per_s);
    return print_split(b, f.step_ms, err);
}

/* ---- the command ----------------------------------------------------------------------------- */

static ns_status run_bench(train_bench *b, ns_error *err) {
    NS_TRY(measure(b, err));
    return b->words.json ? cli__print_json(result_json(b), err) : print_result(b, err);
}

int cli__bench_train(int argc, char **argv) {
    train_bench *b = calloc(1, sizeof *b); // a graph is too big for the stack
    ns_error err = {0};
    if (b == NULL) {
        return cli__exit_code(ns_fail(&err, NS_ERR_MEMORY, "cannot bench: out of memory"), &err);
    }
    b->words = cli__bench_words_default();
    cli_option rows[CLI_BENCH_OPTIONS_MAX] = {{0}};
    int row_count = cli__bench_net_options(&b->words, rows);
    row_count += cli__bench_options(&b->words, rows + row_count);
    rows[row_count] = (cli_option){
        "each", 0, NULL, "List every op of the net, not sums by kind", cli__parse_flag, &b->each};
    const cli_syntax syntax = {
        .operands = "",
        .doc = "Times whole training steps on random images and splits them by op; the roof is the "
               "sum of the net's convolutions, each alone and by its fastest algorithm, measured "
               "in turn with the steps.",
        .options = rows,
    };
    cli_operands operands;
    int code = CLI_USAGE;
    if (cli__parse(&syntax, argc, argv, &operands)) {
        code = cli__exit_code(run_bench(b, &err), &err);
    }
    nn_bench_convs_free(b->convs);
    nn_net_free(b->net);
    free(b->part);
    free(b);
    return code;
}
