// nightshift evaluate: a model judged on a split of a pack.

#include <math.h>

#include "cli/evaluate.h"

typedef struct evaluate_words {
    const char *model_path, *set_path, *confusion_path, *predictions_path;
    data_split split;
    double threshold; // NaN: the usual rule
    int thread_count;
    nn_dtype dtype;
    bool json;
} evaluate_words;

static ns_status parse_split(const char *text, void *value, ns_error *err) {
    return data_split_parse(text, value, err);
}

static ns_status parse_threshold(const char *text, void *value, ns_error *err) {
    return cli__number_between(text, 0, 1, value, err);
}

/// The figures, and the file of predictions where one is wanted.
static ns_status judge(const evaluate_words *words, const nn_model *model, const data_set *set,
                       ns_json **result, ns_error *err) {
    search_predictions predictions;
    nn_infer_options options = nn_infer_options_default();
    options.thread_count = words->thread_count;
    options.dtype = words->dtype;
    ns_status status = search_predict(model, set, words->split, &options, &predictions, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot evaluate %s on %s", words->model_path, words->set_path);
    }
    if (status == NS_OK) {
        status = search_judge_json(model, words->split, &predictions, words->threshold,
                                   words->thread_count, result, err);
    }
    if (status == NS_OK) {
        cli__surest_mistakes_set(model, set, words->split, &predictions, *result);
    }
    if (status == NS_OK && words->predictions_path != NULL) {
        status = cli__predictions_write(model, set, words->split, &predictions, words->threshold,
                                        words->predictions_path, err);
    }
    search_predictions_clear(&predictions);
    return status;
}

static ns_status open_and_judge(const evaluate_words *words, ns_json **result, ns_error *err) {
    nn_model *model = NULL;
    data_set *set = NULL;
    ns_status status = nn_model_load(words->model_path, &model, err);
    if (status == NS_OK) {
        status = data_open(words->set_path, &set, err);
    }
    if (status == NS_OK) {
        status = judge(words, model, set, result, err);
    }
    data_close(set);
    nn_model_free(model);
    return status;
}

static ns_status run_evaluate(const evaluate_words *words, ns_error *err) {
    ns_json *result = NULL;
    ns_status status = open_and_judge(words, &result, err);
    if (status == NS_OK && words->confusion_path != NULL) {
        status = cli__confusion_write(result, words->confusion_path, err);
    }
    if (status == NS_OK && words->json) {
        return cli__print_json(result, err);
    }
    if (status == NS_OK) {
        status = cli__evaluate_print(result, err);
    }
    ns_json_free(result);
    return status;
}

int cli__evaluate(int argc, char **argv) {
    evaluate_words words = {.split = DATA_TEST, .threshold = (double)NAN, .dtype = NN_DTYPE_F32};
    const cli_option rows[] = {
        {"split", 0, "SPLIT", "train, validation or test (default: test)", parse_split,
         &words.split},
        {"threshold", 0, "T",
         "Say a label of an image from this probability on, 0 to 1 (default: its most likely "
         "label, "
         "or by the model's thresholds where images may have several)",
         parse_threshold, &words.threshold},
        {"confusion", 0, "FILE.csv", "Write the confusion matrix, true labels down",
         cli__parse_text, &words.confusion_path},
        {"predictions", 0, "FILE.csv",
         "Write what is said of each image: index, file, split, true and predicted label, "
         "probabilities",
         cli__parse_text, &words.predictions_path},
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
