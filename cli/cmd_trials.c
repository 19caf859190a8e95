// nightshift trials: every trial of a study, one a line.

#include "cli/cli_internal.h"

/// The values of all genes in the space's order: "32 residual 2 64 ...".
static void genotype_text(const ns_json *genotype, char *out, size_t size_bytes) {
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < ns_json_count(genotype) && used + 1 < size_bytes; i++) {
        char value[32];
        cli__json_text(ns_json_get(genotype, ns_json_key_at(genotype, i)), value, sizeof(value));
        used += (size_t)snprintf(out + used, size_bytes - used, "%s%s", i > 0 ? " " : "", value);
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
    cli__table_accuracy(table, trial, "val_accuracy");
    cli__table_cell(table, "%s", cli__group_digits(ns_json_int(trial, "params", 0), digits));
    cli__table_cell(table, "%.1f", (double)ns_json_int(trial, "flops", 0) / 1e6);
    cli__table_cell(table, "%.1f", (double)ns_json_int(trial, "node_ms", 0) / 1000);
    cli__table_cell(table, "%s", genes);
}

static ns_status print_trials(const ns_json *json, ns_error *err) {
    const char *const heads[] = {"trial",  "state",  "val accuracy", "params",
                                 "MFLOPs", "node s", "genotype"};
    const ns_json *trials = ns_json_get(json, "trials");
    cli_table *table = cli__table_new("rlrrrrl");
    for (size_t i = 0; i < NS_COUNT_OF(heads); i++) {
        cli__table_cell(table, "%s", heads[i]);
    }
    for (size_t i = 0; i < ns_json_count(trials); i++) {
        trial_row(table, ns_json_at(trials, i));
    }
    return cli__table_print(table, err);
}

int cli__trials(int argc, char **argv) {
    cli_study_words words;
    if (!cli__parse_study_words("NAME",
                                "Lists a study's trials. The genotype column has the values of all "
                                "genes in the order in which --json names them.",
                                argc, argv, &words)) {
        return CLI_USAGE;
    }
    ns_error err = {0};
    ns_json *trials = NULL;
    ns_status status = search_trials_json(words.store_path, words.name, &trials, &err);
    if (status == NS_OK && words.json) {
        status = cli__print_json(trials, &err);
    } else if (status == NS_OK) {
        status = print_trials(trials, &err);
        ns_json_free(trials);
    }
    return cli__exit_code(status, &err);
}
