// nightshift inspect: what is in a pack.

#include "cli/cli_internal.h"

int cli__inspect(int argc, char **argv) {
    bool json = false;
    const cli_option rows[] = {CLI_OPTION_JSON(&json), {0}};
    const cli_syntax syntax = {
        .operands = "SET.nsd",
        .doc = "Shows a pack's labels by split, the size of its images, and what import dropped "
               "and why.",
        .options = rows,
        .operand_count_min = 1,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    const char *path = operands.text[0];
    ns_error err = {0};
    data_set *set = NULL;
    ns_status status = data_open(path, &set, &err);
    if (status == NS_OK) {
        status = json ? cli__print_json(cli__set_json(set, path), &err)
                      : cli__set_print(set, path, &err);
    }
    data_close(set);
    return status == NS_OK ? CLI_DONE : cli__fail(status, &err);
}
