// nightshift resume: goes on with a study that was stopped or killed.

#include <stdlib.h>

#include "cli/cli_internal.h"

int cli__resume(int argc, char **argv) {
    char command[CLI_COMMAND_BYTES];
    cli__command_join(argc, argv, command);
    cli_study_words words;
    if (!cli__parse_study_words("NAME",
                                "Goes on with a study that was stopped or killed, within what is "
                                "left of its budget. A finished study is only shown.",
                                argc, argv, &words)) {
        return CLI_USAGE;
    }
    search_config config = search_config_default();
    char *storage = NULL;
    ns_error err = {0};
    const ns_status status =
        search_config_load(words.store_path, words.name, &config, &storage, &err);
    config.command = command;
    const int code =
        status == NS_OK ? cli__study_run(&config, words.json) : cli__exit_code(status, &err);
    free(storage);
    return code;
}
