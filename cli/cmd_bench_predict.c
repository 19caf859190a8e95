// nightshift bench predict: is what nightshift expects of a network what happens?
//
// Random networks of the search space are trained for some steps each, in a process of its own, and
// compared with what was predicted: the time of a step, by a model that was calibrated on networks
// drawn apart from them (of a small space they may be the same); and the growth of the process's
// memory, by the memory plan. Children come first: only a process that has no threads may fork some
// that want them.

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cmd_bench.h"

#define NETS_MAX   1000
#define LABELS     10
#define TRAIN_MANY 48000 // images: more than any batch

typedef struct predict_words {
    const char *space_path; // NULL: the default space
    int net_count, thread_count;
    int width, channels;
    nn_dtype dtype;
    uint64_t seed;
    double seconds, calibration_seconds;
    bool json;
} predict_words;

/// What a child says of one network, in shared memory; all 0: it could not be trained.
typedef struct outcome {
    int batch_size;
    int64_t train_flops, params;
    double predicted_mb, measured_mb;
    double predicted_ms, measured_ms;
} outcome;

/* ---- one network ----------------------------------------------------------------------------- */

/// A line of /proc/self/status, in bytes; 0 where there is no such line.
static double status_bytes(const char *key) {
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = strtod(line + strlen(key), NULL);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return 1024 * kib;
}

static ns_status measure(const predict_words *words, const search_candidate *candidate,
                         outcome *out, ns_error *err) {
    nn_net_options options = nn_net_options_default();
    nn_plan plan;
    nn_net *net = NULL;
    options.batch_size = candidate->recipe.batch_size;
    options.thread_count = words->thread_count;
    options.dtype = words->dtype;
    const double before_bytes = status_bytes("VmRSS:");
    NS_TRY(nn_plan_make(&candidate->graph, &options, &plan, err));
    NS_TRY(nn_net_new(&candidate->graph, &options, &net, err));
    nn_net_init(net, words->seed);
    nn_bench_fill(net, words->seed);
    const double measured_ms = nn_bench_step_ms(net, 1000 * words->seconds);
    *out = (outcome){
        .batch_size = options.batch_size,
        .train_flops = plan.counts.train_flops,
        .params = plan.counts.params,
        .predicted_mb = (double)(plan.arena_bytes + plan.process_bytes) / 1e6,
        .measured_mb = (status_bytes("VmHWM:") - before_bytes) / 1e6,
        .measured_ms = measured_ms,
    };
    nn_net_free(net);
    return NS_OK;
}

static ns_status measure_in_child(const predict_words *words, const search_candidate *candidate,
                                  outcome *out, ns_error *err) {
    (void)fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        ns_error why = {0};
        const ns_status status = measure(words, candidate, out, &why);
        if (status != NS_OK) {
            (void)fprintf(stderr, "nightshift: %s\n", why.text);
        }
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid) {
        return ns_fail(err, NS_ERR_INTERNAL, "cannot run a process for each network");
    }
    return NS_OK;
}

/* ---- all of them ----------------------------------------------------------------------------- */

/// Of predictions: |predicted / measured - 1|.
typedef struct errors {
    cli_samples time, memory;
} errors;

typedef struct networks {
    search_space space;
    search_candidate candidate[NETS_MAX];
    outcome *outcome; // shared
    errors errors;
} networks;

static ns_status draw(const predict_words *words, networks *nets, ns_error *err) {
    const data_info info = {.channels = words->channels,
                            .width = words->width,
                            .height = words->width,
                            .label_count = LABELS,
                            .split_count = {TRAIN_MANY}};
    NS_TRY(search_space_load(words->space_path, &info, &nets->space, err));
    for (int i = 0; i < words->net_count; i++) {
        search_genotype genotype;
        ns_rng rng = ns_rng_stream(words->seed, (uint64_t)i, "bench predict");
        search_genotype_random(&nets->space, &rng, &genotype);
        NS_TRY(search_decode(&nets->space, &genotype, &nets->candidate[i], err));
    }
    return NS_OK;
}

static ns_status run_all(const predict_words *words, networks *nets, int *calibration_count,
                         ns_error *err) {
    search_predictor *predictor = NULL;
    NS_TRY(draw(words, nets, err));
    for (int i = 0; i < words->net_count; i++) {
        NS_TRY(measure_in_child(words, &nets->candidate[i], &nets->outcome[i], err));
    }
    NS_TRY(search_predictor_new(&nets->space, words->thread_count, words->dtype,
                                (int64_t)(1000 * words->calibration_seconds), &predictor, err));
    for (int i = 0; i < words->net_count; i++) {
        nets->outcome[i].predicted_ms = search_predictor_step_ms(predictor, &nets->candidate[i]);
    }
    *calibration_count = search_predictor_net_count(predictor);
    search_predictor_free(predictor);
    return NS_OK;
}

/* ---- results --------------------------------------------------------------------------------- */

static void find_errors(const outcome *outcomes, int count, errors *out) {
    for (int i = 0; i < count; i++) {
        const outcome *o = &outcomes[i];
        if (o->measured_ms > 0) {
            cli__samples_add(&out->time, fabs(o->predicted_ms / o->measured_ms - 1));
            cli__samples_add(&out->memory, fabs(o->predicted_mb / o->measured_mb - 1));
        }
    }
}

static void errors_json(ns_json *json, const char *key, const cli_samples *all) {
    ns_json *object = ns_json_set(json, key, ns_json_object_new());
    ns_json_set_number(object, "median", cli__samples_quantile(all, 0.5));
    ns_json_set_number(object, "worst", cli__samples_quantile(all, 1));
}

static ns_status print_json(const predict_words *words, const networks *nets, int calibration_count,
                            ns_error *err) {
    ns_json *json = ns_json_object_new();
    const nn_platform platform = nn_platform_describe();
    ns_json_set_string(json, "library", platform.library);
    ns_json_set_string(json, "isa", platform.isa);
    ns_json_set_string(json, "space_file", words->space_path);
    ns_json_set_string(json, "dtype", nn_dtype_name(words->dtype));
    ns_json_set_int(json, "threads", words->thread_count);
    ns_json_set_number(json, "calibration_s", words->calibration_seconds);
    ns_json_set_int(json, "calibration_networks", calibration_count);
    errors_json(json, "step_time_error", &nets->errors.time);
    errors_json(json, "memory_error", &nets->errors.memory);
    ns_json *all = ns_json_set(json, "genotypes", ns_json_array_new());
    for (int i = 0; i < words->net_count; i++) {
        const outcome *o = &nets->outcome[i];
        ns_json *row = ns_json_add(all, ns_json_object_new());
        ns_json_set(row, "genotype",
                    search_genotype_to_json(&nets->space, &nets->candidate[i].genotype));
        ns_json_set_int(row, "batch", o->batch_size);
        ns_json_set_int(row, "params", o->params);
        ns_json_set_int(row, "train_flops", o->train_flops);
        ns_json_set_number(row, "predicted_step_ms", o->predicted_ms);
        ns_json_set_number(row, "measured_step_ms", o->measured_ms);
        ns_json_set_number(row, "predicted_mb", o->predicted_mb);
        ns_json_set_number(row, "measured_mb", o->measured_mb);
    }
    return cli__print_json(json, err);
}

static ns_status print_table(const predict_words *words, const networks *nets,
                             int calibration_count, ns_error *err) {
    cli_table *table = cli__table_new("rrrrrrrrr");
    static const char *const heads[] = {"network", "batch", "MFLOPs",    "step ms", "predicted",
                                        "error",   "MB",    "predicted", "error"};
    for (size_t i = 0; i < NS_COUNT_OF(heads); i++) {
        cli__table_cell(table, "%s", heads[i]);
    }
    for (int i = 0; i < words->net_count; i++) {
        const outcome *o = &nets->outcome[i];
        cli__table_cell(table, "%d", i);
        cli__table_cell(table, "%d", o->batch_size);
        cli__table_cell(table, "%.0f", (double)o->train_flops / 1e6);
        cli__table_cell(table, "%.1f", o->measured_ms);
        cli__table_cell(table, "%.1f", o->predicted_ms);
        cli__table_cell(table, "%+.1f %%", 100 * (o->predicted_ms / o->measured_ms - 1));
        cli__table_cell(table, "%.1f", o->measured_mb);
        cli__table_cell(table, "%.1f", o->predicted_mb);
        cli__table_cell(table, "%+.1f %%", 100 * (o->predicted_mb / o->measured_mb - 1));
    }
    NS_TRY(cli__table_print(table, err));
    (void)printf("step time: median error %.1f %%, worst %.1f %%, after %.1f s of calibration on "
                 "%d networks drawn apart\nmemory:    median error %.1f %%, worst %.1f %%\n",
                 100 * cli__samples_quantile(&nets->errors.time, 0.5),
                 100 * cli__samples_quantile(&nets->errors.time, 1), words->calibration_seconds,
                 calibration_count, 100 * cli__samples_quantile(&nets->errors.memory, 0.5),
                 100 * cli__samples_quantile(&nets->errors.memory, 1));
    return NS_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static ns_status parse_seconds(const char *text, void *value, ns_error *err) {
    return cli__number_between(text, 0.001, 3600, value, err);
}

static ns_status parse_side(const char *text, void *value, ns_error *err) {
    int64_t side_px = 0;
    NS_TRY(cli__integer_between(text, 1, 4096, &side_px, err));
    *(int *)value = (int)side_px;
    return NS_OK;
}

static ns_status parse_channels(const char *text, void *value, ns_error *err) {
    int64_t channels = 0;
    NS_TRY(cli__integer_between(text, 1, DATA_CHANNELS_MAX, &channels, err));
    *(int *)value = (int)channels;
    return NS_OK;
}

static ns_status parse_nets(const char *text, void *value, ns_error *err) {
    int64_t count = 0;
    NS_TRY(cli__integer_between(text, 1, NETS_MAX, &count, err));
    *(int *)value = (int)count;
    return NS_OK;
}

static ns_status predict(predict_words *words, ns_error *err) {
    int calibration_count = 0;
    networks *nets = calloc(1, sizeof *nets);
    void *shared = mmap(NULL, NETS_MAX * sizeof(outcome), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (nets == NULL || shared == MAP_FAILED) {
        free(nets);
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold %d networks", words->net_count);
    }
    nets->outcome = shared;
    ns_status status = run_all(words, nets, &calibration_count, err);
    if (status == NS_OK) {
        find_errors(nets->outcome, words->net_count, &nets->errors);
        status = words->json ? print_json(words, nets, calibration_count, err)
                             : print_table(words, nets, calibration_count, err);
    }
    (void)munmap(shared, NETS_MAX * sizeof(outcome));
    free(nets);
    return status;
}

int cli__bench_predict(int argc, char **argv) {
    predict_words words = {
        .net_count = 20, .width = 28, .channels = 1, .seconds = 0.3, .calibration_seconds = 5};
    const cli_option rows[] = {
        {"genotypes", 0, "N", "Random networks to train (default: 20)", parse_nets,
         &words.net_count},
        {"size", 0, "PX", "Side of their images (default: 28)", parse_side, &words.width},
        {"channels", 0, "C", "Channels of their images (default: 1)", parse_channels,
         &words.channels},
        {"seconds", 0, "S", "Time for the steps of each (default: 0.3)", parse_seconds,
         &words.seconds},
        {"calibration", 0, "S", "Time to calibrate in (default: 5)", parse_seconds,
         &words.calibration_seconds},
        {"seed", 0, "N", "Of the networks (default: 0)", cli__parse_seed, &words.seed},
        CLI_BENCH_OPTION_SPACE(&words.space_path),
        CLI_OPTION_DTYPE(&words.dtype, CLI_DTYPE_TRAIN),
        CLI_OPTION_THREADS(&words.thread_count),
        CLI_OPTION_JSON(&words.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "",
        .doc = "Trains random networks of the search space for some steps each and compares time "
               "and memory with what nightshift predicts.",
        .options = rows,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    words.dtype = nn_dtype_resolve(words.dtype);
    words.thread_count = words.thread_count > 0 ? words.thread_count : ns_cpu_count();
    ns_error err = {0};
    return cli__exit_code(predict(&words, &err), &err);
}
