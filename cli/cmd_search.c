// nightshift search: a study run to its end within its budget.
//
// Searching again under the same name resumes the study. Options that are not given are then the
// study's own; those that are given must not differ, and search_run() says which do.

#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

#define DEMO "demo"

/// What was typed; what was not stays as search_options_none() has it.
typedef struct search_options {
    const char *study, *store_path, *sampler, *space_path, *warm_start, *on_finish;
    budget_amount budget;
    uint64_t seed;
    nn_dtype dtype; // AUTO: not typed
    int thread_count, worker_count;
    double price;
    search_goal goal;
    cli_quota keep;
    int target; // search_target; -1: not typed
    bool json;
} search_options;

#define SEED_NONE UINT64_MAX

static search_options search_options_none(void) {
    return (search_options){
        .store_path = CLI_STORE_DEFAULT, .seed = SEED_NONE, .price = -1, .target = -1};
}

static ns_status parse_price(const char *text, void *value, ns_error *err) {
    return cli__number_between(text, 0, 1e9, value, err);
}

static ns_status parse_sampler(const char *text, void *value, ns_error *err) {
    if (search_sampler_find(text) != NULL) {
        *(const char **)value = text;
        return NS_OK;
    }
    char names[128] = "";
    const search_sampler *sampler = NULL;
    for (size_t i = 0; (sampler = search_sampler_at(i)) != NULL; i++) {
        const size_t used = strlen(names);
        (void)snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "",
                       sampler->name);
    }
    return ns_fail(err, NS_ERR_USAGE, "one of these is needed: %s", names);
}

static ns_status parse_target(const char *text, void *value, ns_error *err) {
    search_target target;
    NS_TRY(search_target_parse(text, &target, err));
    *(int *)value = (int)target;
    return NS_OK;
}

static ns_status parse_limit(const char *text, void *value, ns_error *err) {
    return cli__number_between(text, 1e-6, 1e12, value, err);
}

static ns_status parse_params(const char *text, void *value, ns_error *err) {
    return cli__integer_between(text, 1, INT64_C(1000000000000), value, err);
}

static void apply_goal(const search_options *options, search_goal *goal) {
    const search_goal *typed = &options->goal;
    goal->target = options->target >= 0 ? (search_target)options->target : goal->target;
    goal->latency_ms_max = typed->latency_ms_max > 0 ? typed->latency_ms_max : goal->latency_ms_max;
    goal->params_max = typed->params_max > 0 ? typed->params_max : goal->params_max;
    goal->mbytes_max = typed->mbytes_max > 0 ? typed->mbytes_max : goal->mbytes_max;
}

static void apply_options(const search_options *options, search_config *config) {
    if (options->budget.ms > 0) {
        config->budget_kind = options->budget.kind;
        config->budget_node_ms = options->budget.ms;
    }
    config->sampler = options->sampler != NULL ? options->sampler : config->sampler;
    config->space_path = options->space_path;
    config->warm_start = options->warm_start != NULL ? options->warm_start : config->warm_start;
    config->seed = options->seed != SEED_NONE ? options->seed : config->seed;
    config->dtype = options->dtype != NN_DTYPE_AUTO ? options->dtype : config->dtype;
    config->thread_count = options->thread_count > 0 ? options->thread_count : config->thread_count;
    config->worker_count = options->worker_count > 0 ? options->worker_count : config->worker_count;
    config->price = options->price >= 0 ? options->price : config->price;
    apply_goal(options, &config->goal);
    cli__quota_apply(&options->keep, config);
}

/// The demo set beside the store, drawn on first use.
static ns_status open_demo(const char *store_path, char path[NS_PATH_MAX], ns_error *err) {
    char dir[NS_PATH_MAX];
    NS_TRY(ns_path_absolute(store_path, dir, err));
    *(strrchr(dir, '/') + 1) = '\0';
    NS_TRY(ns_path_join(dir, DEMO ".nsd", path, err));
    data_set *set = NULL;
    if (ns_file_exists(path) && data_open(path, &set, NULL) == NS_OK) {
        data_close(set);
        return NS_OK;
    }
    return data_demo_write(path, err);
}

/// The whole configuration: the study's own where it exists, then what was typed.
static ns_status make_config(const char *set_path, const search_options *options,
                             char data_path[NS_PATH_MAX], search_config *config, char **storage,
                             ns_error *err) {
    NS_TRY(cli__name_check(options->study, err));
    ns_status status =
        ns_file_exists(options->store_path)
            ? search_config_load(options->store_path, options->study, config, storage, err)
            : NS_ERR_NOT_FOUND;
    if (status == NS_ERR_NOT_FOUND && options->budget.ms == 0) {
        return ns_fail(err, NS_ERR_USAGE,
                       "cannot begin study \"%s\" without --budget (as 10m, 8h, 1nh or 60tflop)",
                       options->study);
    }
    if (status != NS_OK && status != NS_ERR_NOT_FOUND) {
        return status;
    }
    *err = (ns_error){0};
    config->study = options->study;
    config->store_path = options->store_path;
    config->dataset_path = data_path;
    apply_options(options, config);
    return strcmp(set_path, DEMO) == 0 ? open_demo(options->store_path, data_path, err)
                                       : ns_path_absolute(set_path, data_path, err);
}

static int search_set(const char *set_path, const search_options *options, const char *command) {
    char data_path[NS_PATH_MAX];
    char *storage = NULL;
    ns_error err = {0};
    search_config config = search_config_default();
    config.command = command;
    const ns_status status = make_config(set_path, options, data_path, &config, &storage, &err);
    const int code = status == NS_OK ? cli__study_run(&config, options->json, options->on_finish)
                                     : cli__exit_code(status, &err);
    free(storage);
    return code;
}

int cli__search(int argc, char **argv) {
    char command[CLI_COMMAND_BYTES];
    cli__command_join(argc, argv, command);
    search_options options = search_options_none();
    const cli_option rows[] = {
        {"budget", 'b', "B",
         "Node-hours the study may use, all in all: 10m, 8h, 1nh, free (1 node-hour), "
         "paid (24 node-hours). Or compute: 60tflop, 1.5pflop; with one worker, the default then, "
         "the same seed, threads and kind of processor give the same trials and weights again",
         cli__parse_amount, &options.budget},
        {"study", 0, "NAME", "The study's name (default: the set's)", cli__parse_text,
         &options.study},
        CLI_OPTION_STORE(&options.store_path),
        {"sampler", 0, "S",
         "Who proposes: surrogate, tpe, evolution, reinforce or random (default: surrogate)",
         parse_sampler, &options.sampler},
        {"space", 0, "FILE.json",
         "What to search: a file that restricts or extends the default space, as the command space "
         "prints it",
         cli__parse_text, &options.space_path},
        {"warm-start", 0, "NAME|FILE.db:NAME",
         "Begin with what an earlier study of the same space has found, on this data set or "
         "another",
         cli__parse_text, &options.warm_start},
        {"seed", 0, "N", "Of all that is random (default: 0)", cli__parse_seed, &options.seed},
        CLI_OPTION_DTYPE(&options.dtype, CLI_DTYPE_TRAIN),
        CLI_OPTION_THREADS(&options.thread_count),
        {"workers", 0, "N", "Trials trained at a time (default: chosen from the cores)",
         cli__parse_count, &options.worker_count},
        {"price", 0, "P", "Money per node-hour (default: 20.00)", parse_price, &options.price},
        {"target", 0, "T",
         "What matters besides accuracy: accuracy (nothing), balanced, latency or size "
         "(default: accuracy)",
         parse_target, &options.target},
        {"max-latency-ms", 0, "MS", "Longest time for one image, on one core of this machine",
         parse_limit, &options.goal.latency_ms_max},
        {"max-params", 0, "N", "Most parameters", parse_params, &options.goal.params_max},
        {"max-mbytes", 0, "MB", "Most megabytes of weights", parse_limit, &options.goal.mbytes_max},
        CLI_OPTION_KEEP(&options.keep),
        CLI_OPTION_ON_FINISH(&options.on_finish),
        CLI_OPTION_JSON(&options.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "SET.nsd|demo",
        .doc = "Searches for the best network and recipe that the budget can buy, trains it in "
               "full, judges it once on the test images and exports it. Searching again under the "
               "same name resumes the study. \"demo\" is a built-in set of drawn images.",
        .options = rows,
        .operand_count_min = 1,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    char default_name[CLI_NAME_BYTES];
    if (options.study == NULL) {
        cli__name_from_path(operands.text[0], default_name);
        options.study = default_name;
    }
    return search_set(operands.text[0], &options, command);
}
