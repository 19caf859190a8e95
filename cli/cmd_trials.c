// nightshift trials: every trial of a study, one a line.

#include <string.h>

#include "cli/cli_internal.h"

/// The values of all genes in the space's order: "32 residual 2 64 ...".
static void genotype_text(const ns_json *genotype, char *out, size_t size_bytes) {
    size_t used = 0;
    out[0] = '\0';
    const ns_json *gene = ns_json_first(genotype);
    for (; gene != NULL && used + 1 < size_bytes; gene = ns_json_next(gene)) {
        char value[32];
        cli__json_text(gene, value, sizeof(value));
        used += (size_t)snprintf(out + used, size_bytes - used, "%s%s", used > 0 ? " " : "", value);
    }
}

static void trial_row(cli_table *table, const ns_json *trial) {
    char digits[32];
    char genes[512];
    const char *reason = ns_json_string(trial, "fail_reason", NULL);
    genotype_text(ns_json_get(trial, "genotype"), genes, sizeof(genes));
    cli__table_cell(table, "%lld", (long long)ns_json_int(trial, "number", 0));
    cli__table_cell(table, "%s%s%s%s", ns_json_string(trial, "state", ""),
                    reason != NULL ? " (" : "", reason != NULL ? reason : "",
                    reason != NULL ? ")" : "");
    const int64_t source = ns_json_int(trial, "of_trial", -1);
    cli__table_cell(table, "%lld", (long long)ns_json_int(trial, "rung", 0));
    if (source >= 0) {
        const bool confirms = strcmp(ns_json_string(trial, "purpose", ""), "confirm") == 0;
        cli__table_cell(table, "%s %lld", confirms ? "confirms" : "promotes", (long long)source);
    } else {
        cli__table_cell(table, "%s", "");
    }
    cli__table_accuracy(table, trial, "val_accuracy");
    cli__table_cell(table, "%s", cli__group_digits(ns_json_int(trial, "params", 0), digits));
    cli__table_cell(table, "%.1f", (double)ns_json_int(trial, "flops", 0) / 1e6);
    cli__table_number(table, trial, "latency_ms", 3);
    cli__table_cell(table, "%.1f", (double)ns_json_int(trial, "node_ms", 0) / 1000);
    cli__table_cell(table, "%s", genes);
}

static ns_status print_trials(const ns_json *json, ns_error *err) {
    const char *const heads[] = {"trial",  "state",  "rung",     "repeats", "val accuracy",
                                 "params", "MFLOPs", "ms/image", "node s",  "genotype"};
    const ns_json *trials = ns_json_get(json, "trials");
    cli_table *table = cli__table_new("rlrlrrrrrl");
    for (size_t i = 0; i < NS_COUNT_OF(heads); i++) {
        cli__table_cell(table, "%s", heads[i]);
    }
    for (const ns_json *at = ns_json_first(trials); at != NULL; at = ns_json_next(at)) {
        trial_row(table, at);
    }
    return cli__table_print(table, err);
}

int cli__trials(int argc, char **argv) {
    const char *store_path = CLI_STORE_DEFAULT;
    bool json = false;
    bool front_only = false;
    const cli_option rows[] = {
        {"pareto", 0, NULL,
         "Only those that no other trial beats in accuracy, speed and size at once",
         cli__parse_flag, &front_only},
        CLI_OPTION_STORE(&store_path),
        CLI_OPTION_JSON(&json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "NAME",
        .doc = "Lists a study's trials. The genotype column has the values of all genes in the "
               "order in which --json names them; ms/image is the time for one image on one core.",
        .options = rows,
        .operand_count_min = 1,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    ns_error err = {0};
    ns_json *trials = NULL;
    ns_status status = search_trials_json(store_path, operands.text[0], front_only, &trials, &err);
    if (status == NS_OK && json) {
        status = cli__print_json(trials, &err);
    } else if (status == NS_OK) {
        status = print_trials(trials, &err);
        ns_json_free(trials);
    }
    return cli__exit_code(status, &err);
}
