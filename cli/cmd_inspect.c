// nightshift inspect: what is in a pack.

#include <stdlib.h>

#include "cli/cli_internal.h"

static ns_status show(const data_set *set, const char *path, bool json, ns_error *err) {
    ns_json *provenance = NULL;
    NS_TRY(ns_json_parse(data_describe(set)->provenance, &provenance, err));
    if (json) {
        ns_json *object = cli__set_json(set, path);
        ns_json_set(object, "provenance", provenance);
        return cli__print_json(object, err);
    }
    char *line = NULL;
    ns_status status = cli__set_print(set, path, err);
    if (status == NS_OK) {
        status = ns_json_print(provenance, false, &line, err);
    }
    if (status == NS_OK) {
        (void)printf("\nprovenance %s\n", line);
    }
    free(line);
    ns_json_free(provenance);
    return status;
}

int cli__inspect(int argc, char **argv) {
    bool json = false;
    const cli_option rows[] = {CLI_OPTION_JSON(&json), {0}};
    const cli_syntax syntax = {
        .operands = "SET.nsd",
        .doc = "Shows a pack's labels by split, the size of its images, and what import dropped "
               "and why, and how it was made.",
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
        status = show(set, path, json, &err);
    }
    data_close(set);
    return cli__exit_code(status, &err);
}
