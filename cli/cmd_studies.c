// nightshift studies: what a store holds, one study a line.

#include "cli/cli_internal.h"

static void study_row(cli_table *table, const ns_json *study) {
    char used[32];
    char budget[32];
    (void)cli__study_spent(study, used, budget);
    cli__table_cell(table, "%s", ns_json_string(study, "study", ""));
    cli__table_cell(table, "%s", ns_json_string(study, "state", ""));
    cli__table_cell(table, "%s", ns_json_string(study, "phase", ""));
    cli__table_accuracy(table, study, "best_val_accuracy");
    cli__table_accuracy(table, study, "test_accuracy");
    cli__table_cell(table, "%s", used);
    cli__table_cell(table, "%s", budget);
}

static ns_status print_studies(const ns_json *json, ns_error *err) {
    const char *const heads[] = {"study",         "state", "phase", "val accuracy",
                                 "test accuracy", "used",  "budget"};
    const ns_json *studies = ns_json_get(json, "studies");
    cli_table *table = cli__table_new("lllrrrr");
    for (size_t i = 0; i < NS_COUNT_OF(heads); i++) {
        cli__table_cell(table, "%s", heads[i]);
    }
    for (size_t i = 0; i < ns_json_count(studies); i++) {
        study_row(table, ns_json_at(studies, i));
    }
    return cli__table_print(table, err);
}

int cli__studies(int argc, char **argv) {
    cli_study_words words;
    if (!cli__parse_study_words("", "Lists the studies of a store, oldest first.", argc, argv,
                                &words)) {
        return CLI_USAGE;
    }
    ns_error err = {0};
    ns_json *studies = NULL;
    ns_status status = search_studies_json(words.store_path, &studies, &err);
    if (status == NS_OK && words.json) {
        status = cli__print_json(studies, &err);
    } else if (status == NS_OK) {
        status = print_studies(studies, &err);
        ns_json_free(studies);
    }
    return cli__exit_code(status, &err);
}
