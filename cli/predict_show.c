// How answers are written: lines for people, or JSON with the field names of a cloud service, so that
// a program made for one of them needs no more than an unwrapping:
//
//   google       {"predictions":[{"file":F,"displayNames":["cat"],"confidences":[0.98]}]}
//   rekognition  {"predictions":[{"file":F,"CustomLabels":[{"Name":"cat","Confidence":98.0}]}]}
//   azure        {"predictions":[{"file":F,"predictions":[{"probability":0.98,"tagName":"cat"}]}]}
//
// Labels are shown best first: those from --min-confidence on, or without it those that reach their
// own threshold in the model, where it has them. A model that tells several labels an image and has
// none says what is more likely than not, from 0.5 on, as its score and evaluate do. --top alone asks
// for a ranking and shows so many whatever their thresholds. An image that fits no label has an empty
// list.
//
// JSON is printed an image at a time: ten thousand images need no more memory than one.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/predict.h"

#define TOP_DEFAULT       5 // for people, where no threshold limits the labels; in JSON all of them
#define THRESHOLD_DEFAULT 0.5 // of each label, where an image may have several

/// One label of one image.
typedef struct guess {
    int label;
    float confidence;
} guess;

struct cli_prediction_printer {
    const nn_model_info *info;
    cli_prediction_rule rule;
    guess *guesses; // (label_count)
    int64_t printed_count;
};

ns_status cli__parse_prediction_format(const char *text, void *value, ns_error *err) {
    static const struct {
        const char *name;
        cli_prediction_format format;
    } formats[] = {{"google", CLI_PREDICTION_GOOGLE},
                   {"rekognition", CLI_PREDICTION_REKOGNITION},
                   {"azure", CLI_PREDICTION_AZURE}};
    for (size_t i = 0; i < NS_COUNT_OF(formats); i++) {
        if (strcmp(text, formats[i].name) == 0) {
            *(cli_prediction_format *)value = formats[i].format;
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_USAGE, "\"%s\" is none of google, rekognition, azure", text);
}

ns_status cli__predictions_begin(const nn_model_info *info, const cli_prediction_rule *rule,
                                 cli_prediction_printer **out, ns_error *err) {
    cli_prediction_printer *printer = calloc(1, sizeof(*printer));
    guess *guesses = malloc((size_t)info->label_count * sizeof(*guesses));
    if (printer == NULL || guesses == NULL) {
        free(printer);
        free(guesses);
        return ns_fail(err, NS_ERR_MEMORY, "cannot predict: out of memory");
    }
    *printer = (cli_prediction_printer){.info = info, .rule = *rule, .guesses = guesses};
    if (rule->format != CLI_PREDICTION_TEXT) {
        (void)fputs("{\"predictions\":[", stdout);
    }
    *out = printer;
    return NS_OK;
}

/* ---- which labels ---------------------------------------------------------------------------- */

// Best first; of equals, the first label, as results_argmax() has it.
static int compare_guesses(const void *left, const void *right) {
    const guess *a = left;
    const guess *b = right;
    if (a->confidence != b->confidence) {
        return a->confidence > b->confidence ? -1 : 1;
    }
    return a->label - b->label;
}

/// From which confidence on a label is shown; 0: any.
static double threshold_of(const cli_prediction_printer *printer, int label) {
    const cli_prediction_rule *rule = &printer->rule;
    const nn_model_info *info = printer->info;
    if (!isnan(rule->min_confidence)) {
        return rule->min_confidence;
    }
    if (rule->top_count > 0) {
        return 0;
    }
    return info->thresholds != NULL ? info->thresholds[label]
           : info->multi_label      ? THRESHOLD_DEFAULT
                                    : 0;
}

/// Fills `printer->guesses` with the labels to show; returns how many.
static int choose(cli_prediction_printer *printer, const float *row) {
    const cli_prediction_rule *rule = &printer->rule;
    const bool unlimited = rule->format != CLI_PREDICTION_TEXT || printer->info->multi_label ||
                           printer->info->thresholds != NULL || !isnan(rule->min_confidence);
    const int count_max = rule->top_count > 0 ? rule->top_count
                          : unlimited         ? INT32_MAX
                                              : TOP_DEFAULT;
    int count = 0;
    for (int label = 0; label < printer->info->label_count; label++) {
        if ((double)row[label] >= threshold_of(printer, label)) {
            printer->guesses[count++] = (guess){label, row[label]};
        }
    }
    qsort(printer->guesses, (size_t)count, sizeof(*printer->guesses), compare_guesses);
    return count < count_max ? count : count_max;
}

/* ---- forms ----------------------------------------------------------------------------------- */

static const char *name_of(const cli_prediction_printer *printer, int i) {
    return printer->info->labels[printer->guesses[i].label];
}

/// The shortest decimal number that is this one: 0.98, not 0.98000001907348633.
static double confidence_of(const cli_prediction_printer *printer, int i, double scale) {
    char text[32];
    (void)snprintf(text, sizeof(text), "%.7g", scale * (double)printer->guesses[i].confidence);
    return strtod(text, NULL);
}

static void add_google(const cli_prediction_printer *printer, int count, ns_json *one) {
    ns_json *names = ns_json_set(one, "displayNames", ns_json_array_new());
    ns_json *confidences = ns_json_set(one, "confidences", ns_json_array_new());
    for (int i = 0; i < count; i++) {
        ns_json_add_string(names, name_of(printer, i));
        ns_json_add_number(confidences, confidence_of(printer, i, 1));
    }
}

static void add_rekognition(const cli_prediction_printer *printer, int count, ns_json *one) {
    ns_json *rows = ns_json_set(one, "CustomLabels", ns_json_array_new());
    for (int i = 0; i < count; i++) {
        ns_json *row = ns_json_add(rows, ns_json_object_new());
        ns_json_set_string(row, "Name", name_of(printer, i));
        ns_json_set_number(row, "Confidence", confidence_of(printer, i, 100));
    }
}

static void add_azure(const cli_prediction_printer *printer, int count, ns_json *one) {
    ns_json *rows = ns_json_set(one, "predictions", ns_json_array_new());
    for (int i = 0; i < count; i++) {
        ns_json *row = ns_json_add(rows, ns_json_object_new());
        ns_json_set_number(row, "probability", confidence_of(printer, i, 1));
        ns_json_set_string(row, "tagName", name_of(printer, i));
    }
}

static ns_status print_json(const cli_prediction_printer *printer, const char *file, int count,
                            ns_error *err) {
    char *text = NULL;
    ns_json *one = ns_json_object_new();
    ns_json_set_string(one, "file", file);
    switch (printer->rule.format) {
    case CLI_PREDICTION_REKOGNITION:
        add_rekognition(printer, count, one);
        break;
    case CLI_PREDICTION_AZURE:
        add_azure(printer, count, one);
        break;
    default:
        add_google(printer, count, one);
        break;
    }
    const ns_status status = ns_json_print(one, false, &text, err);
    if (status == NS_OK) {
        (void)printf("%s%s", printer->printed_count > 0 ? "," : "", text);
    }
    free(text);
    ns_json_free(one);
    return status;
}

static void print_line(const cli_prediction_printer *printer, const char *file, int count) {
    (void)printf("%s:", file);
    for (int i = 0; i < count; i++) {
        (void)printf("%s %s %.4f", i > 0 ? "," : "", name_of(printer, i),
                     (double)printer->guesses[i].confidence);
    }
    (void)printf("%s\n", count == 0 ? " no label fits" : "");
}

ns_status cli__predictions_add(cli_prediction_printer *printer, const char *file, const float *row,
                               ns_error *err) {
    const int count = choose(printer, row);
    if (printer->rule.format == CLI_PREDICTION_TEXT) {
        print_line(printer, file, count);
    } else {
        NS_TRY(print_json(printer, file, count, err));
    }
    printer->printed_count++;
    return NS_OK;
}

void cli__predictions_end(cli_prediction_printer *printer) {
    if (printer == NULL) {
        return;
    }
    if (printer->rule.format != CLI_PREDICTION_TEXT) {
        (void)puts("]}");
    }
    free(printer->guesses);
    free(printer);
}
