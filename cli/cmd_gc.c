// nightshift gc: removes what no study of a store needs any more.

#include "cli/cli_internal.h"

typedef struct gc_words {
    const char *store_path;
    bool dry_run, json;
} gc_words;

static ns_status print_files(const ns_json *result, ns_error *err) {
    char digits[32];
    cli_table *table = cli__table_new("rll");
    cli__table_cell(table, "bytes");
    cli__table_cell(table, "file");
    cli__table_cell(table, "why");
    const ns_json *study = ns_json_first(ns_json_get(result, "studies"));
    for (; study != NULL; study = ns_json_next(study)) {
        const ns_json *file = ns_json_first(ns_json_get(study, "files"));
        for (; file != NULL; file = ns_json_next(file)) {
            cli__table_cell(table, "%s", ns_group_digits(ns_json_int(file, "bytes", 0), digits));
            cli__table_cell(table, "%s", ns_json_string(file, "file", ""));
            cli__table_cell(table, "%s", ns_json_string(file, "why", ""));
        }
    }
    return cli__table_print(table, err);
}

static ns_status print_result(const ns_json *result, ns_error *err) {
    char digits[32];
    size_t count = 0;
    const ns_json *study = ns_json_first(ns_json_get(result, "studies"));
    for (; study != NULL; study = ns_json_next(study)) {
        count += ns_json_count(ns_json_get(study, "files"));
        if (ns_json_string(study, "skipped", NULL) != NULL) {
            (void)printf("study %s is not touched: %s\n", ns_json_string(study, "study", ""),
                         ns_json_string(study, "skipped", ""));
        }
    }
    if (count > 0) {
        NS_TRY(print_files(result, err));
    }
    (void)printf("%s %zu files, %s bytes\n",
                 ns_json_bool(result, "dry_run", false) ? "would remove" : "removed", count,
                 ns_group_digits(ns_json_int(result, "bytes", 0), digits));
    return NS_OK;
}

int cli__gc(int argc, char **argv) {
    gc_words words = {.store_path = CLI_STORE_DEFAULT};
    const cli_option rows[] = {
        CLI_OPTION_STORE(&words.store_path),
        {"dry-run", 'n', NULL, "Only say what would be removed", cli__parse_flag, &words.dry_run},
        CLI_OPTION_JSON(&words.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "",
        .doc = "Removes files that no study of a store needs any more: models of trials that are "
               "not on the Pareto front, and what killed runs left behind. Final models stay, and "
               "whatever belongs to a study that runs, or is no study's.",
        .options = rows,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    ns_error err = {0};
    ns_json *result = NULL;
    ns_status status = search_gc_json(words.store_path, words.dry_run, &result, &err);
    if (status == NS_OK && words.json) {
        status = cli__print_json(result, &err);
    } else if (status == NS_OK) {
        status = print_result(result, &err);
        ns_json_free(result);
    }
    return cli__exit_code(status, &err);
}
