// What the files of nightshift bench share.

#ifndef NS_CLI_CMD_BENCH_H
#define NS_CLI_CMD_BENCH_H

#include "cli/cli_internal.h"
#include "nn/nn.h"

#define CLI_BENCH_SIDE_PX     28
#define CLI_BENCH_LABELS      10
#define CLI_BENCH_OPTIONS_MAX 12

typedef struct cli_bench_words {
    const char *net;        // NULL: r9, or where a space is given its anchor
    const char *genotype;   // NULL, or JSON that goes before `net`
    const char *space_path; // that anchor and genotype are of; NULL: the default space
    int width;
    nn_dtype dtype;
    int batch_size, thread_count; // thread_count: 0 for all cores
    double seconds;
    bool json;
} cli_bench_words;
cli_bench_words cli__bench_words_default(void);
/// Appends the rows that all have, or all with a net; returns how many.
int cli__bench_options(cli_bench_words *words, cli_option *rows);
int cli__bench_net_options(cli_bench_words *words, cli_option *rows);

/// The images that the nets here are for.
data_info cli__bench_info(void);
/// What the net of `words` is called: "r9", "anchor" or "genotype".
const char *cli__bench_net_name(const cli_bench_words *words);
/// NS_ERR_USAGE, NS_ERR_INPUT, and what search_space_load() says.
ns_status cli__bench_graph(const cli_bench_words *words, nn_graph *out, ns_error *err);
nn_net_options cli__bench_net(const cli_bench_words *words);

/// What memory can move on buffers that fit the second or third cache, or none.
typedef struct cli_bench_roofs {
    double memory_gb_per_s, l3_gb_per_s, l2_gb_per_s;
    size_t l3_bytes, l2_bytes; // of all threads
} cli_bench_roofs;
ns_status cli__bench_roofs(int thread_count, cli_bench_roofs *out, ns_error *err);
/// Of the smallest level that holds so much.
double cli__bench_bandwidth(const cli_bench_roofs *roofs, int64_t footprint_bytes);
ns_json *cli__bench_roofs_json(const cli_bench_roofs *roofs);

/// Values of which the last CLI_SAMPLES_MAX are kept.
#define CLI_SAMPLES_MAX 1024
typedef struct cli_samples {
    double value[CLI_SAMPLES_MAX];
    int count;
} cli_samples;
void cli__samples_add(cli_samples *samples, double value);
/// 0: the least, 0.5: the median, 1: the greatest; 0 when there are none.
double cli__samples_quantile(const cli_samples *samples, double fraction);

/// Version, library, ISA, threads and batch into `json`.
void cli__bench_machine_json(ns_json *json, const cli_bench_words *words);

// A row that all have which build networks of a search space.
#define CLI_BENCH_OPTION_SPACE(path)                                                               \
    {                                                                                              \
        "space", 0, "FILE.json", "Networks of this search space, a file as of search --space",     \
            cli__parse_text, (path)                                                                \
    }

int cli__bench_train(int argc, char **argv);
int cli__bench_ops(int argc, char **argv);
int cli__bench_infer(int argc, char **argv);
int cli__bench_predict(int argc, char **argv);
int cli__bench_search(int argc, char **argv);

#endif
