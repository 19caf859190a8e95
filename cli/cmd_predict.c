// nightshift predict: image files labelled by a model.
//
// Images are read, brought to the model's size exactly as import does, and classified a batch at a
// time. One that cannot be read is named on stderr; the others are labelled all the same, and the
// exit code says that something failed.

#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

#define BATCH_SIZE  64
#define TOP_DEFAULT 5 // for people; --json lists all labels

typedef struct predict_words {
    double min_confidence;
    int top_count; // 0: the default
    int thread_count;
    nn_dtype dtype;
    bool json;
} predict_words;

/// One label of one image.
typedef struct guess {
    int label;
    float confidence;
} guess;

/// All that a prediction holds on its way; predictor_clear() frees it.
typedef struct predictor {
    const predict_words *words;
    nn_model *model;
    const nn_model_info *info;
    nn_shape shape;
    size_t image_bytes;
    nn_infer *infer;
    uint8_t *pixels;              // (BATCH_SIZE, C, H, W)
    float *probabilities;         // (BATCH_SIZE, labels)
    guess *guesses;               // (labels)
    const char *file[BATCH_SIZE]; // names of the images in the batch
    size_t image_count;           // in the batch
    int64_t unreadable_count;     // of all images
    ns_json *predictions;         // array, with --json
} predictor;

static ns_status predictor_open(predictor *p, const char *model_path, ns_error *err) {
    NS_TRY(nn_model_load(model_path, &p->model, err));
    p->info = nn_model_describe(p->model);
    p->shape = p->info->graph->node[0].shape; // of the input
    p->image_bytes = (size_t)p->shape.channels * (size_t)p->shape.height * (size_t)p->shape.width;
    const nn_infer_options options = {BATCH_SIZE, p->words->thread_count, p->words->dtype};
    NS_TRY(nn_infer_new(p->model, &options, &p->infer, err));
    const size_t label_count = (size_t)p->info->label_count;
    p->pixels = malloc(BATCH_SIZE * p->image_bytes);
    p->probabilities = malloc(BATCH_SIZE * label_count * sizeof(*p->probabilities));
    p->guesses = malloc(label_count * sizeof(*p->guesses));
    p->predictions = ns_json_array_new();
    if (p->pixels == NULL || p->probabilities == NULL || p->guesses == NULL ||
        p->predictions == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot predict: out of memory");
    }
    return NS_OK;
}

static void predictor_clear(predictor *p) {
    ns_json_free(p->predictions);
    free(p->guesses);
    free(p->probabilities);
    free(p->pixels);
    nn_infer_free(p->infer);
    nn_model_free(p->model);
}

/* ---- output ---------------------------------------------------------------------------------- */

// Best first; of equals, the first label, as results_argmax() has it.
static int compare_guesses(const void *left, const void *right) {
    const guess *a = left;
    const guess *b = right;
    if (a->confidence != b->confidence) {
        return a->confidence > b->confidence ? -1 : 1;
    }
    return a->label - b->label;
}

/// Fills `p->guesses` for one image; returns how many are to be shown.
static int rank(const predictor *p, const float *row) {
    const int label_count = p->info->label_count;
    for (int label = 0; label < label_count; label++) {
        p->guesses[label] = (guess){label, row[label]};
    }
    qsort(p->guesses, (size_t)label_count, sizeof(*p->guesses), compare_guesses);
    int count = p->words->top_count;
    if (count == 0) {
        count = p->words->json ? label_count : TOP_DEFAULT;
    }
    count = count < label_count ? count : label_count;
    while (count > 0 && (double)p->guesses[count - 1].confidence < p->words->min_confidence) {
        count--;
    }
    return count;
}

static void add_prediction(const predictor *p, const char *file, int count) {
    ns_json *one = ns_json_add(p->predictions, ns_json_object_new());
    ns_json_set_string(one, "file", file);
    ns_json *names = ns_json_set(one, "displayNames", ns_json_array_new());
    ns_json *confidences = ns_json_set(one, "confidences", ns_json_array_new());
    for (int i = 0; i < count; i++) {
        ns_json_add_string(names, p->info->labels[p->guesses[i].label]);
        ns_json_add_number(confidences, (double)p->guesses[i].confidence);
    }
}

static void print_prediction(const predictor *p, const char *file, int count) {
    (void)printf("%s:", file);
    for (int i = 0; i < count; i++) {
        (void)printf("%s %s %.4f", i > 0 ? "," : "", p->info->labels[p->guesses[i].label],
                     (double)p->guesses[i].confidence);
    }
    (void)printf("%s\n", count == 0 ? " nothing that confident" : "");
}

/* ---- images ---------------------------------------------------------------------------------- */

/// Classifies the images gathered so far and forgets them.
static ns_status flush_batch(predictor *p, ns_error *err) {
    NS_TRY(nn_infer_run(p->infer, p->pixels, p->image_count, p->probabilities, err));
    for (size_t i = 0; i < p->image_count; i++) {
        const int count = rank(p, p->probabilities + i * (size_t)p->info->label_count);
        if (p->words->json) {
            add_prediction(p, p->file[i], count);
        } else {
            print_prediction(p, p->file[i], count);
        }
    }
    p->image_count = 0;
    return NS_OK;
}

static ns_status add_image(predictor *p, const char *path, ns_error *err) {
    data_image image = {0};
    NS_TRY(data_image_read(path, &image, err));
    const ns_status status =
        data_image_fit(&image, p->shape.channels, p->shape.height, p->shape.width,
                       p->pixels + p->image_count * p->image_bytes, err);
    data_image_free(&image);
    if (status == NS_OK) {
        p->file[p->image_count++] = path;
    }
    return status;
}

static ns_status predict_all(predictor *p, char **paths, int count, ns_error *err) {
    for (int i = 0; i < count; i++) {
        ns_error reason = {0};
        const ns_status status = add_image(p, paths[i], &reason);
        if (status != NS_OK) {
            p->unreadable_count++;
            (void)cli__exit_code(status, &reason);
        }
        if (p->image_count == BATCH_SIZE) {
            NS_TRY(flush_batch(p, err));
        }
    }
    return p->image_count > 0 ? flush_batch(p, err) : NS_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int run_predict(const predict_words *words, const cli_operands *operands) {
    predictor p = {.words = words};
    ns_error err = {0};
    ns_status status = predictor_open(&p, operands->text[0], &err);
    if (status == NS_OK) {
        status = predict_all(&p, operands->text + 1, operands->count - 1, &err);
    }
    if (status == NS_OK && words->json) {
        ns_json *result = ns_json_object_new();
        ns_json_set(result, "predictions", p.predictions);
        p.predictions = NULL;
        status = cli__print_json(result, &err);
    }
    const bool complete = p.unreadable_count == 0;
    predictor_clear(&p);
    if (status != NS_OK) {
        return cli__exit_code(status, &err);
    }
    return complete ? CLI_DONE : CLI_FAILED;
}

static ns_status parse_confidence(const char *text, void *value, ns_error *err) {
    return cli__number_between(text, 0, 1, value, err);
}

int cli__predict(int argc, char **argv) {
    predict_words words = {.dtype = NN_DTYPE_F32};
    const cli_option rows[] = {
        {"min-confidence", 0, "C", "Leave out labels below this, 0 to 1 (default: 0)",
         parse_confidence, &words.min_confidence},
        {"top", 0, "K", "Show the K best labels (default: 5; with --json all)", cli__parse_count,
         &words.top_count},
        CLI_OPTION_DTYPE(&words.dtype, CLI_DTYPE_INFER),
        CLI_OPTION_THREADS(&words.thread_count),
        CLI_OPTION_JSON(&words.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "MODEL IMAGE...",
        .doc = "Labels PNG, JPEG and WebP files. Confidences are between 0 and 1, best first.",
        .options = rows,
        .operand_count_min = 2,
        .operand_count_max = CLI_MANY,
    };
    cli_operands operands;
    return cli__parse(&syntax, argc, argv, &operands) ? run_predict(&words, &operands) : CLI_USAGE;
}
