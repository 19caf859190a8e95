// nightshift bench: how fast this machine trains, runs single ops, and classifies.
//
//   bench train   whole training steps of a net, split by op, beside the roof of its convolutions
//   bench ops     every op by itself, as a fraction of what memory or the processor allows
//   bench infer   the classifier that ships: latency and throughput
//   bench predict is what is expected of a network's time and memory what happens?
//   bench search  what a sampler finds in a table of networks that were all trained before
//
// This file has what they share: their words, the nets they can name, and the roofs. They
// measure in rounds and report medians, because a machine is never quite idle; what is compared is
// measured in turn in the same rounds. bench/ runs them against other programs.

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd_bench.h"

/* ---- words ----------------------------------------------------------------------------------- */

static ns_status parse_seconds(const char *text, void *value, ns_error *err) {
    return cli__number_between(text, 0.001, 3600, value, err);
}

static ns_status parse_width(const char *text, void *value, ns_error *err) {
    int64_t width = 0;
    NS_TRY(cli__integer_between(text, 1, 1024, &width, err));
    *(int *)value = (int)width;
    return NS_OK;
}

cli_bench_words cli__bench_words_default(void) {
    return (cli_bench_words){.width = 64, .batch_size = 128, .seconds = 10};
}

int cli__bench_options(cli_bench_words *words, cli_option *rows) {
    const cli_option all[] = {
        {"batch", 0, "N", "Images in a batch", cli__parse_count, &words->batch_size},
        {"seconds", 0, "S", "Measure for so long", parse_seconds, &words->seconds},
        CLI_OPTION_DTYPE(&words->dtype, CLI_DTYPE_TRAIN),
        CLI_OPTION_THREADS(&words->thread_count),
        CLI_OPTION_JSON(&words->json),
    };
    memcpy(rows, all, sizeof all);
    return (int)NS_COUNT_OF(all);
}

int cli__bench_net_options(cli_bench_words *words, cli_option *rows) {
    const cli_option all[] = {
        {"net", 0, "r9|anchor",
         "The net: a ResNet-9, or the search's anchor (default: r9; anchor with --space)",
         cli__parse_text, &words->net},
        {"width", 0, "W", "Width of r9's first convolution (default: 64)", parse_width,
         &words->width},
        {"genotype", 0, "JSON", "Any net of the search space instead, for 28x28 grey images",
         cli__parse_text, &words->genotype},
        CLI_BENCH_OPTION_SPACE(&words->space_path),
    };
    memcpy(rows, all, sizeof all);
    return (int)NS_COUNT_OF(all);
}

/* ---- nets ------------------------------------------------------------------------------------ */

static int conv_norm_relu(nn_graph *graph, int x, int channels) {
    return nn_add_batch_norm(graph, nn_add_conv(graph, x, channels, 3, 1, 1, false),
                             NN_ACTIVATION_RELU);
}

static int residual(nn_graph *graph, int x, int channels) {
    const int once = conv_norm_relu(graph, x, channels);
    return nn_add_add(graph, x, conv_norm_relu(graph, once, channels));
}

/// (1, 28, 28) -> (w) -> (2w) -> 14x14 -> residual -> (4w) -> 7x7 -> (4w) -> residual -> 10 logits:
/// the ResNet-9 of Page's "How to train your ResNet" (2018) at width w, for grey images.
static void build_r9(nn_graph *graph, int w) {
    int x = nn_add_input(graph, (nn_shape){1, CLI_BENCH_SIDE_PX, CLI_BENCH_SIDE_PX});
    x = conv_norm_relu(graph, x, w);
    x = conv_norm_relu(graph, x, 2 * w);
    x = nn_add_pool(graph, NN_OP_MAX_POOL, x, 2, 2, 0);
    x = residual(graph, x, 2 * w);
    x = conv_norm_relu(graph, x, 4 * w);
    x = nn_add_pool(graph, NN_OP_MAX_POOL, x, 2, 2, 0);
    x = conv_norm_relu(graph, x, 4 * w);
    x = residual(graph, x, 4 * w);
    x = nn_add_global_pool(graph, NN_OP_GLOBAL_MAX_POOL, x);
    x = nn_add_linear(graph, x, CLI_BENCH_LABELS);
    (void)nn_add_scale(graph, x, 0.25F);
}

data_info cli__bench_info(void) {
    static const char *const labels[CLI_BENCH_LABELS] = {"0", "1", "2", "3", "4",
                                                         "5", "6", "7", "8", "9"};
    return (data_info){
        .channels = 1,
        .height = CLI_BENCH_SIDE_PX,
        .width = CLI_BENCH_SIDE_PX,
        .label_count = CLI_BENCH_LABELS,
        .labels = labels,
        .image_count = 60000,
        .split_count = {60000},
        .mean = {73, 73, 73},
        .deviation = {90, 90, 90},
        .sha256 = "",
        .source = "",
    };
}

/// The genotype of the words, else the anchor.
static ns_status decode_words(const cli_bench_words *words, search_space *space,
                              search_candidate *candidate, ns_error *err) {
    const data_info info = cli__bench_info();
    search_genotype genotype;
    NS_TRY(search_space_load(words->space_path, &info, space, err));
    search_genotype_anchor(space, &genotype);
    if (words->genotype != NULL) {
        ns_json *json = NULL;
        NS_TRY(ns_json_parse(words->genotype, &json, err));
        const ns_status status = search_genotype_from_hand(space, json, &genotype, err);
        ns_json_free(json);
        NS_TRY(status);
    }
    return search_decode(space, &genotype, candidate, err);
}

static ns_status decode_genotype(const cli_bench_words *words, nn_graph *graph, ns_error *err) {
    search_space *space = calloc(1, sizeof *space); // too big for the stack, as the candidate
    search_candidate *candidate = calloc(1, sizeof *candidate);
    const ns_status status =
        space == NULL || candidate == NULL
            ? ns_fail(err, NS_ERR_MEMORY, "cannot decode a genotype: out of memory")
            : decode_words(words, space, candidate, err);
    if (status == NS_OK) {
        *graph = candidate->graph;
    }
    free(candidate);
    free(space);
    return status;
}

const char *cli__bench_net_name(const cli_bench_words *words) {
    return words->genotype != NULL     ? "genotype"
           : words->net != NULL        ? words->net
           : words->space_path != NULL ? "anchor"
                                       : "r9";
}

ns_status cli__bench_graph(const cli_bench_words *words, nn_graph *out, ns_error *err) {
    const char *net = cli__bench_net_name(words);
    nn_graph_init(out);
    if (words->genotype != NULL || strcmp(net, "anchor") == 0) {
        return decode_genotype(words, out, err);
    }
    if (strcmp(net, "r9") != 0) {
        return ns_fail(err, NS_ERR_USAGE, "cannot use --net \"%.40s\": r9 or anchor is needed",
                       net);
    }
    if (words->space_path != NULL) {
        return ns_fail(err, NS_ERR_USAGE,
                       "cannot use --space \"%.200s\" with --net r9, which is of no search space",
                       words->space_path);
    }
    build_r9(out, words->width);
    return nn_graph_check(out, err);
}

nn_net_options cli__bench_net(const cli_bench_words *words) {
    nn_net_options options = nn_net_options_default();
    options.dtype = nn_dtype_resolve(words->dtype);
    options.batch_size = words->batch_size;
    options.thread_count = words->thread_count;
    return options;
}

/* ---- roofs ----------------------------------------------------------------------------------- */

/// A cache as the C library knows it, or a usual size where it does not.
static size_t cache_bytes(int name, size_t usual_bytes) {
    const long size_bytes = sysconf(name);
    return size_bytes > 0 ? (size_t)size_bytes : usual_bytes;
}

ns_status cli__bench_roofs(int thread_count, cli_bench_roofs *out, ns_error *err) {
    const size_t threads = (size_t)(thread_count > 0 ? thread_count : ns_cpu_count());
    const size_t l2_bytes = threads * cache_bytes(_SC_LEVEL2_CACHE_SIZE, (size_t)1 << 20);
    const size_t l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, (size_t)32 << 20);
    out->l2_bytes = l2_bytes;
    out->l3_bytes = l3_bytes > l2_bytes ? l3_bytes : l2_bytes;
    NS_TRY(nn_bench_bandwidth(l2_bytes / 2, thread_count, &out->l2_gb_per_s, err));
    NS_TRY(nn_bench_bandwidth(out->l3_bytes / 2, thread_count, &out->l3_gb_per_s, err));
    return nn_bench_bandwidth(4 * out->l3_bytes, thread_count, &out->memory_gb_per_s, err);
}

double cli__bench_bandwidth(const cli_bench_roofs *roofs, int64_t footprint_bytes) {
    const size_t size_bytes = (size_t)footprint_bytes;
    return size_bytes <= roofs->l2_bytes   ? roofs->l2_gb_per_s
           : size_bytes <= roofs->l3_bytes ? roofs->l3_gb_per_s
                                           : roofs->memory_gb_per_s;
}

ns_json *cli__bench_roofs_json(const cli_bench_roofs *roofs) {
    ns_json *json = ns_json_object_new();
    ns_json_set_number(json, "memory_gb_per_s", roofs->memory_gb_per_s);
    ns_json_set_number(json, "l3_gb_per_s", roofs->l3_gb_per_s);
    ns_json_set_number(json, "l2_gb_per_s", roofs->l2_gb_per_s);
    ns_json_set_int(json, "l3_bytes", (int64_t)roofs->l3_bytes);
    ns_json_set_int(json, "l2_bytes", (int64_t)roofs->l2_bytes);
    return json;
}

/* ---- samples --------------------------------------------------------------------------------- */

void cli__samples_add(cli_samples *samples, double value) {
    samples->value[samples->count++ % CLI_SAMPLES_MAX] = value;
}

double cli__samples_quantile(const cli_samples *samples, double fraction) {
    double sorted[CLI_SAMPLES_MAX];
    const int count = samples->count < CLI_SAMPLES_MAX ? samples->count : CLI_SAMPLES_MAX;
    memcpy(sorted, samples->value, (size_t)count * sizeof *sorted);
    ns_sort_doubles(sorted, (size_t)count);
    return ns_quantile(sorted, (size_t)count, fraction);
}

void cli__bench_machine_json(ns_json *json, const cli_bench_words *words) {
    const nn_platform platform = nn_platform_describe();
    ns_json_set_string(json, "nightshift", NS_VERSION);
    ns_json_set_string(json, "library", platform.library);
    ns_json_set_string(json, "isa", platform.isa);
    ns_json_set_int(json, "threads",
                    words->thread_count > 0 ? words->thread_count : ns_cpu_count());
    ns_json_set_int(json, "batch", words->batch_size);
}

/* ---- the command ----------------------------------------------------------------------------- */

int cli__bench(int argc, char **argv) {
    static const struct {
        const char *name;
        char *title; // as --help shows it
        cli_run_fn run;
    } kinds[] = {
        {"train", "bench train", cli__bench_train},
        {"ops", "bench ops", cli__bench_ops},
        {"infer", "bench infer", cli__bench_infer},
        {"predict", "bench predict", cli__bench_predict},
        {"search", "bench search", cli__bench_search},
    };
    for (size_t i = 0; i < NS_COUNT_OF(kinds) && argc > 1; i++) {
        if (strcmp(argv[1], kinds[i].name) == 0) {
            argv[1] = kinds[i].title;
            return kinds[i].run(argc - 1, argv + 1);
        }
    }
    const cli_option rows[] = {{0}};
    const cli_syntax syntax = {
        .operands = "train|ops|infer|predict|search",
        .doc = "Measures whole training steps, every op by itself, or inference, or judges the "
               "predictions of time and memory, or the samplers; each has a --help of its own.",
        .options = rows,
        .operand_count_min = 1,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    ns_error err = {0};
    return cli__exit_code(
        ns_fail(&err, NS_ERR_USAGE,
                "cannot bench \"%.40s\": train, ops, infer, predict or search is needed",
                operands.text[0]),
        &err);
}
