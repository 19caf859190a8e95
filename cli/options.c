// Command lines, read by glibc's argp from the option table of each command.
//
// A row of cli_option names a function that reads the value, so that every number is checked the
// same way and a wrong one is answered with the option, the value and what is needed instead.
// argp itself answers --help, --usage and options that do not exist, and allows options anywhere
// among the operands.

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

#define OPTIONS_MAX    32
#define KEY_BASE       256 // options without a letter: KEY_BASE + their row
#define PROGRAM_NAME   "nightshift"
#define COUNT_LIMIT    1000000
#define NAME_BYTES_MAX 64

typedef struct parse_state {
    const cli_syntax *syntax;
    cli_operands operands;
} parse_state;

static const cli_option *option_of(const cli_syntax *syntax, int key) {
    for (int row = 0; syntax->options[row].name != NULL; row++) {
        const cli_option *option = &syntax->options[row];
        if (key == (option->letter != 0 ? option->letter : KEY_BASE + row)) {
            return option;
        }
    }
    return NULL;
}

static error_t read_option(const cli_option *option, const char *text) {
    ns_error err = {0};
    if (option->parse(text, option->value, &err) == NS_OK) {
        return 0;
    }
    (void)fprintf(stderr, PROGRAM_NAME ": cannot use --%s \"%s\": %s\n", option->name, text,
                  err.text);
    return EINVAL;
}

static error_t check_operands(const struct argp_state *state, parse_state *parse) {
    const cli_syntax *syntax = parse->syntax;
    if (parse->operands.count < syntax->operand_count_min) {
        (void)fprintf(stderr, "%s: cannot run without %s; see %s --help\n", PROGRAM_NAME,
                      syntax->operands, state->name);
        return EINVAL;
    }
    if (parse->operands.count > syntax->operand_count_max) {
        (void)fprintf(stderr, "%s: cannot use \"%s\": too many words; see %s --help\n",
                      PROGRAM_NAME, parse->operands.text[syntax->operand_count_max], state->name);
        return EINVAL;
    }
    return 0;
}

static error_t on_argp(int key, char *text, struct argp_state *state) {
    parse_state *parse = state->input;
    switch (key) {
    case ARGP_KEY_ARGS: // all that is no option; argp has moved it to the end
        parse->operands.text = state->argv + state->next;
        parse->operands.count = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        return check_operands(state, parse);
    default: {
        const cli_option *option = option_of(parse->syntax, key);
        return option == NULL ? ARGP_ERR_UNKNOWN : read_option(option, text);
    }
    }
}

bool cli__parse(const cli_syntax *syntax, int argc, char **argv, cli_operands *out) {
    struct argp_option rows[OPTIONS_MAX + 1] = {0};
    for (int row = 0; row < OPTIONS_MAX && syntax->options[row].name != NULL; row++) {
        const cli_option *option = &syntax->options[row];
        rows[row] = (struct argp_option){
            .name = option->name,
            .key = option->letter != 0 ? option->letter : KEY_BASE + row,
            .arg = option->arg,
            .doc = option->doc,
        };
    }
    const struct argp argp = {
        .options = rows, .parser = on_argp, .args_doc = syntax->operands, .doc = syntax->doc};
    parse_state parse = {.syntax = syntax};

    char name[NAME_BYTES_MAX]; // as --help and argp's own errors show it
    (void)snprintf(name, sizeof(name), PROGRAM_NAME " %s", argv[0]);
    argv[0] = name;
    argp_err_exit_status = CLI_USAGE;
    const error_t failed = argp_parse(&argp, argc, argv, 0, NULL, &parse);
    argv[0] = NULL;
    *out = parse.operands;
    return failed == 0;
}

bool cli__parse_study_words(const char *operands, const char *doc, int argc, char **argv,
                            cli_study_words *out) {
    *out = (cli_study_words){.store_path = CLI_STORE_DEFAULT};
    const cli_option rows[] = {
        CLI_OPTION_STORE(&out->store_path), CLI_OPTION_JSON(&out->json), {0}};
    const cli_syntax syntax = {
        .operands = operands,
        .doc = doc,
        .options = rows,
        .operand_count_min = operands[0] == 'N',
        .operand_count_max = operands[0] != '\0',
    };
    cli_operands names;
    if (!cli__parse(&syntax, argc, argv, &names)) {
        return false;
    }
    out->name = names.count > 0 ? names.text[0] : NULL;
    return true;
}

ns_status cli__integer_between(const char *text, int64_t min, int64_t max, int64_t *out,
                               ns_error *err) {
    char *end = NULL;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < min || value > max) {
        return ns_fail(err, NS_ERR_USAGE, "a whole number from %lld to %lld is needed",
                       (long long)min, (long long)max);
    }
    *out = value;
    return NS_OK;
}

ns_status cli__number_between(const char *text, double min, double max, double *out,
                              ns_error *err) {
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= min && value <= max)) {
        return ns_fail(err, NS_ERR_USAGE, "a number from %g to %g is needed", min, max);
    }
    *out = value;
    return NS_OK;
}

ns_status cli__parse_flag(const char *text, void *value, ns_error *err) {
    (void)text;
    (void)err;
    *(bool *)value = true;
    return NS_OK;
}

ns_status cli__parse_text(const char *text, void *value, ns_error *err) {
    if (*text == '\0') {
        return ns_fail(err, NS_ERR_USAGE, "it must not be empty");
    }
    *(const char **)value = text;
    return NS_OK;
}

ns_status cli__parse_count(const char *text, void *value, ns_error *err) {
    int64_t count = 0;
    NS_TRY(cli__integer_between(text, 1, COUNT_LIMIT, &count, err));
    *(int *)value = (int)count;
    return NS_OK;
}

ns_status cli__parse_seed(const char *text, void *value, ns_error *err) {
    int64_t seed = 0;
    NS_TRY(cli__integer_between(text, 0, INT64_MAX, &seed, err));
    *(uint64_t *)value = (uint64_t)seed;
    return NS_OK;
}

ns_status cli__parse_dtype(const char *text, void *value, ns_error *err) {
    return nn_dtype_parse(text, value, err);
}

ns_status cli__parse_budget(const char *text, void *value, ns_error *err) {
    return budget_parse(text, value, err);
}

ns_status cli__parse_amount(const char *text, void *value, ns_error *err) {
    return budget_amount_parse(text, value, err);
}
