// nightshift bench infer: how long the classifier that ships takes for a batch, pixels in,
// probabilities out: the latency of one image at batch 1, the throughput of many.
//
// The model is a file, or a net with random weights, which take as long as trained ones; --save
// keeps such a model, to export it for another program.

#include <stdlib.h>

#include "cli/cmd_bench.h"

#define WARM_UP_RUNS 5

typedef struct infer_bench {
    cli_bench_words words;
    const char *model_path, *save_path;
    nn_model *model;
    nn_infer *infer;
    uint8_t *pixels;
    float *probabilities;
    cli_samples ms;
} infer_bench;

/// A model of the net that the words name, with initial weights.
static ns_status make_model(infer_bench *b, nn_graph *graph, ns_error *err) {
    const data_info info = cli__bench_info();
    NS_TRY(cli__bench_graph(&b->words, graph, err));
    nn_net_options options = cli__bench_net(&b->words);
    options.mode = NN_MODE_INFER;
    options.batch_size = 1;
    float *state = malloc((nn_graph_state_count(graph) + 1) * sizeof *state);
    nn_net *net = NULL;
    ns_status status = state == NULL ? ns_fail(err, NS_ERR_MEMORY, "cannot make a model: no memory")
                                     : nn_net_new(graph, &options, &net, err);
    if (status == NS_OK) {
        nn_net_init(net, 1);
        nn_net_get_state(net, state);
        status = nn_model_new(graph, state, &info, &b->model, err);
    }
    nn_net_free(net);
    free(state);
    return status;
}

static ns_status open_model(infer_bench *b, ns_error *err) {
    if (b->model_path != NULL) {
        return nn_model_load(b->model_path, &b->model, err);
    }
    nn_graph *graph = calloc(1, sizeof *graph); // too big for the stack
    if (graph == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot make a model: out of memory");
    }
    const ns_status status = make_model(b, graph, err);
    free(graph);
    return status;
}

static ns_status prepare(infer_bench *b, ns_error *err) {
    NS_TRY(open_model(b, err));
    if (b->save_path != NULL) {
        NS_TRY(nn_model_save(b->model, b->save_path, err));
    }
    const nn_model_info *info = nn_model_describe(b->model);
    const nn_shape shape = info->image;
    const size_t batch = (size_t)b->words.batch_size;
    const size_t pixel_count =
        batch * (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
    b->pixels = malloc(pixel_count);
    b->probabilities = malloc(batch * (size_t)info->label_count * sizeof *b->probabilities);
    if (b->pixels == NULL || b->probabilities == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for a batch of %zu images", batch);
    }
    ns_rng rng = ns_rng_stream(1, 0, "bench");
    for (size_t i = 0; i < pixel_count; i++) {
        b->pixels[i] = (uint8_t)ns_rng_below(&rng, 256);
    }
    const nn_infer_options options = {b->words.batch_size, b->words.thread_count, b->words.dtype};
    return nn_infer_new(b->model, &options, &b->infer, err);
}

static ns_status run(infer_bench *b, double *ms, ns_error *err) {
    const int64_t since_ns = ns_clock_ns();
    NS_TRY(nn_infer_run(b->infer, b->pixels, (size_t)b->words.batch_size, b->probabilities, err));
    *ms = (double)(ns_clock_ns() - since_ns) / 1e6;
    return NS_OK;
}

static ns_status measure(infer_bench *b, ns_error *err) {
    NS_TRY(prepare(b, err));
    double ms = 0;
    for (int i = 0; i < WARM_UP_RUNS; i++) {
        NS_TRY(run(b, &ms, err));
    }
    const int64_t since_ns = ns_clock_ns();
    do {
        NS_TRY(run(b, &ms, err));
        cli__samples_add(&b->ms, ms);
    } while ((double)(ns_clock_ns() - since_ns) / 1e9 < b->words.seconds);
    return NS_OK;
}

static ns_status report(const infer_bench *b, ns_error *err) {
    const double median_ms = cli__samples_quantile(&b->ms, 0.5);
    const double best_ms = cli__samples_quantile(&b->ms, 0);
    const double slow_ms = cli__samples_quantile(&b->ms, 0.99);
    const double images = b->words.batch_size;
    const char *dtype = nn_dtype_name(nn_dtype_resolve(b->words.dtype));
    if (!b->words.json) {
        (void)printf("%.4f ms a batch of %d (best %.4f, 99 %% below %.4f), %.1f images/s, %s\n",
                     median_ms, b->words.batch_size, best_ms, slow_ms, 1000 * images / median_ms,
                     dtype);
        return NS_OK;
    }
    ns_json *json = ns_json_object_new();
    cli__bench_machine_json(json, &b->words);
    ns_json_set_string(json, "dtype", dtype);
    ns_json_set_int(json, "flops",
                    nn_graph_count(nn_model_describe(b->model)->graph).forward_flops);
    ns_json_set_int(json, "repetitions", b->ms.count);
    ns_json_set_number(json, "latency_ms", median_ms);
    ns_json_set_number(json, "latency_ms_best", best_ms);
    ns_json_set_number(json, "latency_ms_p99", slow_ms);
    ns_json_set_number(json, "images_per_s", 1000 * images / median_ms);
    return cli__print_json(json, err);
}

static ns_status run_bench(infer_bench *b, ns_error *err) {
    NS_TRY(measure(b, err));
    return report(b, err);
}

int cli__bench_infer(int argc, char **argv) {
    infer_bench b = {.words = cli__bench_words_default()};
    b.words.dtype = NN_DTYPE_F32; // as nn_infer_options_default()
    cli_option rows[CLI_BENCH_OPTIONS_MAX] = {{0}};
    int row_count = cli__bench_net_options(&b.words, rows);
    row_count += cli__bench_options(&b.words, rows + row_count);
    rows[row_count] =
        (cli_option){"save", 0, "MODEL.nsm", "Keep the model", cli__parse_text, &b.save_path};
    const cli_syntax syntax = {
        .operands = "[MODEL.nsm]",
        .doc = "Times the classification of batches of random pixels by a model, or by a net with "
               "random weights.",
        .options = rows,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    b.model_path = operands.count > 0 ? operands.text[0] : NULL;
    ns_error err = {0};
    const int code = cli__exit_code(run_bench(&b, &err), &err);
    nn_infer_free(b.infer);
    nn_model_free(b.model);
    free(b.pixels);
    free(b.probabilities);
    return code;
}
