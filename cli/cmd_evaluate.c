// nightshift evaluate: a model judged on a split of a pack.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

#define CONFUSIONS_SHOWN 5

static double cell_of(const ns_json *confusion, size_t row, size_t column) {
    return ns_json_value_number(ns_json_at(ns_json_at(confusion, row), column), 0);
}

static const char *label_of(const ns_json *result, size_t label) {
    return ns_json_value_string(ns_json_at(ns_json_get(result, "labels"), label), "");
}

/* ---- for people ------------------------------------------------------------------------------ */

static ns_status print_labels(const ns_json *result, ns_error *err) {
    const ns_json *labels = ns_json_get(result, "per_label");
    cli_table *table = cli__table_new("lrrrr");
    const char *const heads[] = {"label", "precision", "recall", "F1", "images"};
    for (size_t i = 0; i < NS_COUNT_OF(heads); i++) {
        cli__table_cell(table, "%s", heads[i]);
    }
    for (size_t i = 0; i < ns_json_count(labels); i++) {
        const ns_json *label = ns_json_at(labels, i);
        char digits[32];
        cli__table_cell(table, "%s", ns_json_string(label, "label", ""));
        cli__table_accuracy(table, label, "precision");
        cli__table_accuracy(table, label, "recall");
        cli__table_accuracy(table, label, "f1");
        cli__table_cell(table, "%s", cli__group_digits(ns_json_int(label, "support", 0), digits));
    }
    return cli__table_print(table, err);
}

typedef struct mistake {
    size_t row, column;
    double count;
} mistake;

/// Inserts into `worst`, most frequent first.
static void keep_worst(mistake worst[CONFUSIONS_SHOWN], mistake one) {
    for (size_t i = 0; i < CONFUSIONS_SHOWN; i++) {
        if (one.count > worst[i].count) {
            const mistake pushed = worst[i];
            worst[i] = one;
            one = pushed;
        }
    }
}

static void print_worst(const ns_json *result) {
    const ns_json *confusion = ns_json_get(result, "confusion");
    const size_t count = ns_json_count(confusion);
    mistake worst[CONFUSIONS_SHOWN] = {0};
    for (size_t row = 0; row < count; row++) {
        for (size_t column = 0; column < count; column++) {
            if (row != column) {
                keep_worst(worst, (mistake){row, column, cell_of(confusion, row, column)});
            }
        }
    }
    if (worst[0].count > 0) {
        (void)printf("\nmost frequent mistakes:\n");
    }
    for (size_t i = 0; i < CONFUSIONS_SHOWN && worst[i].count > 0; i++) {
        (void)printf("  %.0f times %s taken for %s\n", worst[i].count,
                     label_of(result, worst[i].row), label_of(result, worst[i].column));
    }
}

static ns_status print_result(const ns_json *result, ns_error *err) {
    char digits[32];
    (void)printf("accuracy   %.2f %% of %s %s images\n",
                 100 * ns_json_number(result, "accuracy", 0),
                 cli__group_digits(ns_json_int(result, "count", 0), digits),
                 ns_json_string(result, "split", ""));
    (void)printf("log loss   %.4f\n", ns_json_number(result, "log_loss", (double)NAN));
    (void)printf("macro AUC  %.4f\n\n", ns_json_number(result, "macro_auc", (double)NAN));
    NS_TRY(print_labels(result, err));
    print_worst(result);
    return NS_OK;
}

/* ---- the matrix as CSV ----------------------------------------------------------------------- */

/// A field in quotes, quotes doubled (RFC 4180).
static void write_field(FILE *stream, const char *text) {
    (void)fputc('"', stream);
    for (; *text != '\0'; text++) {
        (void)fprintf(stream, *text == '"' ? "\"\"" : "%c", *text);
    }
    (void)fputc('"', stream);
}

static void write_matrix(FILE *stream, const ns_json *result) {
    const ns_json *confusion = ns_json_get(result, "confusion");
    const size_t count = ns_json_count(confusion);
    write_field(stream, "true \\ predicted");
    for (size_t label = 0; label < count; label++) {
        (void)fputc(',', stream);
        write_field(stream, label_of(result, label));
    }
    for (size_t row = 0; row < count; row++) {
        (void)fputc('\n', stream);
        write_field(stream, label_of(result, row));
        for (size_t column = 0; column < count; column++) {
            (void)fprintf(stream, ",%.0f", cell_of(confusion, row, column));
        }
    }
    (void)fputc('\n', stream);
}

static ns_status save_matrix(const ns_json *result, const char *path, ns_error *err) {
    char *text = NULL;
    size_t size_bytes = 0;
    FILE *stream = open_memstream(&text, &size_bytes);
    if (stream == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot write %s: out of memory", path);
    }
    write_matrix(stream, result);
    const ns_status status =
        fclose(stream) == 0 ? ns_file_write(path, text, size_bytes, err)
                            : ns_fail(err, NS_ERR_MEMORY, "cannot write %s: out of memory", path);
    free(text);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

typedef struct evaluate_words {
    const char *model_path, *set_path, *confusion_path;
    data_split split;
    int thread_count;
    nn_dtype dtype;
    bool json;
} evaluate_words;

static ns_status parse_split(const char *text, void *value, ns_error *err) {
    return data_split_parse(text, value, err);
}

static ns_status judge(const evaluate_words *words, ns_json **result, ns_error *err) {
    nn_model *model = NULL;
    data_set *set = NULL;
    ns_status status = nn_model_load(words->model_path, &model, err);
    if (status == NS_OK) {
        status = data_open(words->set_path, &set, err);
    }
    if (status == NS_OK) {
        nn_infer_options options = nn_infer_options_default();
        options.thread_count = words->thread_count;
        options.dtype = words->dtype;
        status = search_evaluate_json(model, set, words->split, &options, result, err);
        if (status != NS_OK) {
            ns_error_prefix(err, "cannot evaluate %s on %s", words->model_path, words->set_path);
        }
    }
    data_close(set);
    nn_model_free(model);
    return status;
}

static ns_status run_evaluate(const evaluate_words *words, ns_error *err) {
    ns_json *result = NULL;
    NS_TRY(judge(words, &result, err));
    ns_status status =
        words->confusion_path != NULL ? save_matrix(result, words->confusion_path, err) : NS_OK;
    if (status == NS_OK && words->json) {
        return cli__print_json(result, err);
    }
    if (status == NS_OK) {
        status = print_result(result, err);
    }
    ns_json_free(result);
    return status;
}

int cli__evaluate(int argc, char **argv) {
    evaluate_words words = {.split = DATA_TEST, .dtype = NN_DTYPE_F32};
    const cli_option rows[] = {
        {"split", 0, "SPLIT", "train, validation or test (default: test)", parse_split,
         &words.split},
        {"confusion", 0, "FILE.csv", "Write the confusion matrix, true labels down",
         cli__parse_text, &words.confusion_path},
        CLI_OPTION_DTYPE(&words.dtype, CLI_DTYPE_INFER),
        CLI_OPTION_THREADS(&words.thread_count),
        CLI_OPTION_JSON(&words.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "MODEL SET.nsd",
        .doc = "Judges a model on images whose labels are known.",
        .options = rows,
        .operand_count_min = 2,
        .operand_count_max = 2,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    words.model_path = operands.text[0];
    words.set_path = operands.text[1];
    ns_error err = {0};
    const ns_status status = run_evaluate(&words, &err);
    return cli__exit_code(status, &err);
}
