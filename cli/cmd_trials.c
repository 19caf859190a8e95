// nightshift trials: every trial of a study, one a line, printed as they are read.

#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

/// The values of a flat JSON object's members, strings bare: "32 residual 2 64 ...". The genotype of
/// a trial is one that we have written ourselves: no spaces, and nothing in its words to unescape.
static void genotype_text(const char *json, char *out, size_t size_bytes) {
    size_t used = 0;
    const char *from = strchr(json, ':');
    while (from != NULL && used + 2 < size_bytes) {
        from++;
        const size_t quoted = *from == '"' ? 1 : 0;
        const size_t length = strcspn(from + quoted, quoted != 0 ? "\"" : ",}");
        const size_t room = size_bytes - used - 2;
        const size_t taken = length < room ? length : room;
        memcpy(out + used, from + quoted, taken);
        used += taken;
        out[used++] = ' ';
        from = strchr(from + quoted + length, ':');
    }
    out[used > 0 ? used - 1 : 0] = '\0';
}

static void trial_row(cli_table *table, const search_trial *trial) {
    const results_trial *row = trial->row;
    char digits[32];
    char genes[1024];
    const bool failed = row->fail_reason[0] != '\0';
    genotype_text(row->genotype, genes, sizeof(genes));
    cli__table_cell(table, "%d", row->number);
    cli__table_cell(table, "%s%s%s%s", results_trial_state_name(row->state), failed ? " (" : "",
                    row->fail_reason, failed ? ")" : "");
    cli__table_cell(table, "%d", row->rung);
    if (row->source_number >= 0) {
        const bool confirms = row->purpose == RESULTS_CONFIRM;
        cli__table_cell(table, "%s %d", confirms ? "confirms" : "promotes", row->source_number);
    } else {
        cli__table_cell(table, "%s", "");
    }
    cli__table_percent(table, row->val_accuracy);
    cli__table_cell(table, "%s", ns_group_digits(row->params, digits));
    cli__table_cell(table, "%.1f", (double)row->flops / 1e6);
    cli__table_decimal(table, row->latency_ms, 3);
    cli__table_cell(table, "%.1f", (double)row->node_ms / 1000);
    cli__table_cell(table, "%s", genes);
}

static void head_row(cli_table *table, const char *score_name) {
    const char *const before[] = {"trial", "state", "rung", "repeats"};
    const char *const behind[] = {"params", "MFLOPs", "ms/image", "node s", "genotype"};
    for (size_t i = 0; i < NS_COUNT_OF(before); i++) {
        cli__table_cell(table, "%s", before[i]);
    }
    cli__table_cell(table, "val %s", score_name);
    for (size_t i = 0; i < NS_COUNT_OF(behind); i++) {
        cli__table_cell(table, "%s", behind[i]);
    }
}

/// The table of the trials, whose first one says what their score is called.
typedef struct trial_table {
    cli_table *table;
    bool has_head;
} trial_table;

static ns_status add_row(void *context, const search_trial *trial, ns_error *err) {
    trial_table *t = context;
    (void)err; // a table that runs out of memory says so when it is printed
    if (!t->has_head) {
        head_row(t->table, trial->score_name);
        t->has_head = true;
    }
    trial_row(t->table, trial);
    return NS_OK;
}

static ns_status print_table(const char *store_path, const char *study, bool front_only,
                             ns_error *err) {
    trial_table t = {.table = cli__table_new("rlrlrrrrrl")};
    const ns_status status = search_trials_each(store_path, study, front_only, add_row, &t, err);
    if (status != NS_OK) {
        cli__table_free(t.table);
        return status;
    }
    if (!t.has_head) {
        head_row(t.table, search_score_name(false));
    }
    return cli__table_print(t.table, err);
}

/// One element of the array, behind the ones before.
static ns_status print_element(void *separator, const search_trial *trial, ns_error *err) {
    const char **before = separator;
    char *text = NULL;
    ns_json *json = search_trial_json(trial);
    const ns_status status = ns_json_print(json, false, &text, err);
    if (status == NS_OK) {
        (void)fputs(*before, stdout);
        (void)fputs(text, stdout);
        *before = ",";
    }
    ns_json_free(json);
    free(text);
    return status;
}

/// {"trials":[...]}. Nothing is printed of a study that is not there.
static ns_status print_json(const char *store_path, const char *study, bool front_only,
                            ns_error *err) {
    const char *before = "{\"trials\":[";
    const char *const begin = before;
    NS_TRY(search_trials_each(store_path, study, front_only, print_element, &before, err));
    (void)printf("%s]}\n", before == begin ? begin : "");
    return NS_OK;
}

int cli__trials(int argc, char **argv) {
    const char *store_path = CLI_STORE_DEFAULT;
    bool json = false;
    bool front_only = false;
    const cli_option rows[] = {
        {"pareto", 0, NULL,
         "Only those that no other trial beats in accuracy, speed and size at once; of the trials "
         "on the highest rung reached, as only equally long trainings compare",
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
    const ns_status status = json ? print_json(store_path, operands.text[0], front_only, &err)
                                  : print_table(store_path, operands.text[0], front_only, &err);
    return cli__exit_code(status, &err);
}
