// nightshift resume: goes on with a study that was stopped or killed.

#include <stdlib.h>

#include "cli/cli_internal.h"

int cli__resume(int argc, char **argv) {
    char command[CLI_COMMAND_BYTES];
    cli__command_join(argc, argv, command);
    const char *store_path = CLI_STORE_DEFAULT;
    const char *on_finish = NULL;
    cli_quota keep = {0};
    bool json = false;
    const cli_option rows[] = {CLI_OPTION_STORE(&store_path),
                               CLI_OPTION_KEEP(&keep),
                               CLI_OPTION_ON_FINISH(&on_finish),
                               CLI_OPTION_JSON(&json),
                               {0}};
    const cli_syntax syntax = {
        .operands = "NAME",
        .doc = "Goes on with a study that was stopped or killed, within what is left of its "
               "budget. A finished study is only shown.",
        .options = rows,
        .operand_count_min = 1,
        .operand_count_max = 1,
    };
    cli_operands names;
    if (!cli__parse(&syntax, argc, argv, &names)) {
        return CLI_USAGE;
    }
    search_config config = search_config_default();
    char *storage = NULL;
    ns_error err = {0};
    const ns_status status = search_config_load(store_path, names.text[0], &config, &storage, &err);
    config.command = command;
    cli__quota_apply(&keep, &config);
    const int code =
        status == NS_OK ? cli__study_run(&config, json, on_finish) : cli__exit_code(status, &err);
    free(storage);
    return code;
}
