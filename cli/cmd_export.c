// nightshift export: a model file, or a study's final model, in another format; or the whole study
// as JSON, from which train --trial repeats any of its trials.

#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

typedef struct export_format {
    const char *name;
    ns_status (*write)(const nn_model *model, const char *path, ns_error *err);
} export_format;

static const export_format formats[] = {
    {"nsm", nn_model_save}, {"onnx", nn_export_onnx}, {"json", NULL}, // of a study
};

static ns_status parse_format(const char *text, void *value, ns_error *err) {
    for (size_t i = 0; i < NS_COUNT_OF(formats); i++) {
        if (strcmp(text, formats[i].name) == 0) {
            *(const export_format **)value = &formats[i];
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_USAGE, "nsm, onnx or json is needed");
}

/// A path: it has a slash or ends in .nsm. All else names a study.
static bool is_path(const char *text) {
    const size_t length = strlen(text);
    return strchr(text, '/') != NULL || (length > 4 && strcmp(text + length - 4, ".nsm") == 0);
}

/// The model of the study `name`.
static ns_status load_final(const char *store_path, const char *name, nn_model **out,
                            ns_error *err) {
    ns_json *study = NULL;
    NS_TRY(search_status_json(store_path, name, &study, err));
    const char *path = ns_json_string(study, "model", NULL);
    const ns_status status =
        path != NULL
            ? nn_model_load(path, out, err)
            : ns_fail(err, NS_ERR_NOT_FOUND,
                      "cannot export study \"%s\": it has no final model yet (%s, phase "
                      "%s)",
                      name, ns_json_string(study, "state", ""), ns_json_string(study, "phase", ""));
    ns_json_free(study);
    return status;
}

/// The model of a trial of the study `name`.
static ns_status load_member(const char *store_path, const char *name, int number, nn_model **out,
                             ns_error *err) {
    char path[NS_PATH_MAX];
    NS_TRY(search_member_path(store_path, name, number, path, err));
    return nn_model_load(path, out, err);
}

typedef struct export_words {
    const char *model, *store_path, *out_path;
    int member; // a trial's number; -1: the final model
    const export_format *format;
    bool json;
} export_words;

static ns_status export_model(const export_words *words, ns_error *err) {
    nn_model *model = NULL;
    NS_TRY(words->member >= 0
               ? load_member(words->store_path, words->model, words->member, &model, err)
           : is_path(words->model) ? nn_model_load(words->model, &model, err)
                                   : load_final(words->store_path, words->model, &model, err));
    const ns_status status = words->format->write(model, words->out_path, err);
    nn_model_free(model);
    return status;
}

static ns_status export_study(const export_words *words, ns_error *err) {
    if (words->member >= 0 || is_path(words->model)) {
        return ns_fail(err, NS_ERR_USAGE,
                       "cannot export %s as json: that is for whole studies, by their name",
                       words->model);
    }
    return search_export_json(words->store_path, words->model, words->out_path, err);
}

static ns_status run_export(const export_words *words, ns_error *err) {
    if (words->format == NULL) {
        return ns_fail(err, NS_ERR_USAGE, "cannot export without --format nsm, onnx or json");
    }
    if (words->out_path == NULL) {
        return ns_fail(err, NS_ERR_USAGE, "cannot export without -o PATH");
    }
    NS_TRY(words->format->write != NULL ? export_model(words, err) : export_study(words, err));
    if (words->json) {
        ns_json *result = ns_json_object_new();
        ns_json_set_string(result, "format", words->format->name);
        ns_json_set_string(result, "path", words->out_path);
        return cli__print_json(result, err);
    }
    (void)printf("wrote %s\n", words->out_path);
    return NS_OK;
}

static ns_status parse_member(const char *text, void *value, ns_error *err) {
    int64_t number = 0;
    NS_TRY(cli__integer_between(text, 0, INT32_MAX, &number, err));
    *(int *)value = (int)number;
    return NS_OK;
}

int cli__export(int argc, char **argv) {
    export_words words = {.store_path = CLI_STORE_DEFAULT, .member = -1};
    const cli_option rows[] = {
        {"format", 'f', "FORMAT", "nsm, onnx, or json for a whole study", parse_format,
         &words.format},
        {"output", 'o', "PATH", "The file to write", cli__parse_text, &words.out_path},
        {"member", 0, "N", "Trial N of the study's Pareto front instead (see trials --pareto)",
         parse_member, &words.member},
        CLI_OPTION_STORE(&words.store_path),
        CLI_OPTION_JSON(&words.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "NAME|MODEL",
        .doc = "Writes a study's final model, or a model file (a path with a slash or ending in "
               ".nsm), in another format. ONNX takes raw 0-255 pixels; preprocessing is inside. "
               "With json the study itself: its data's hash, settings, machine and all trials; "
               "train --genotype FILE.json --trial N repeats one.",
        .options = rows,
        .operand_count_min = 1,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    words.model = operands.text[0];
    ns_error err = {0};
    const ns_status status = run_export(&words, &err);
    return cli__exit_code(status, &err);
}
