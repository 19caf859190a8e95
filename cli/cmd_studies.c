// nightshift studies: what a store holds, one study a line.

#include "cli/cli_internal.h"

static void study_row(cli_table *table, const ns_json *study, const char *score) {
    char used[32];
    char budget[32];
    (void)cli__study_spent(study, used, budget);
    cli__table_cell(table, "%s", ns_json_string(study, "study", ""));
    cli__table_cell(table, "%s", ns_json_string(study, "state", ""));
    cli__table_cell(table, "%s", ns_json_string(study, "phase", ""));
    cli__table_score(table, study, "best_val_accuracy", score);
    cli__table_score(table, study, "test_accuracy", score);
    cli__table_cell(table, "%s", used);
    cli__table_cell(table, "%s", budget);
}

static ns_status print_studies(const ns_json *json, ns_error *err) {
    const ns_json *studies = ns_json_get(json, "studies");
    const char *score = cli__score_name(studies);
    cli_table *table = cli__table_new("lllrrrr");
    cli__table_cell(table, "study");
    cli__table_cell(table, "state");
    cli__table_cell(table, "phase");
    cli__table_cell(table, "val %s", score);
    cli__table_cell(table, "test %s", score);
    cli__table_cell(table, "used");
    cli__table_cell(table, "budget");
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        study_row(table, at, score);
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
