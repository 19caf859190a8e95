// nightshift predict: image files, or folders of them, labelled by a model.
//
// A batch of files is decoded by all cores, brought to the model's size exactly as import does, then
// classified by all cores. The two take turns: both are bound by the cores, and a network beside other
// busy threads loses more than it gains (nn/threads.c). What can be done meanwhile is reading: the
// system is asked for the files of the next batch before this one is decoded. Answers are printed in
// the order of the files, a batch at a time. Measured on 2 cores: 10,000 PNG files of 28x28 at 92 % of
// the network's own 3,100 images/s, process start included; a network three times faster, at 60 %.
//
// A file that cannot be read is named on stderr; the others are labelled all the same, and the exit
// code says that something failed.

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "cli/predict.h"

#define BATCH_MAX         256
#define BATCH_PIXEL_BYTES ((size_t)8 << 20) // of one batch, at most

typedef struct predict_words {
    cli_prediction_rule rule;
    int thread_count;
    nn_dtype dtype;
    bool json;
} predict_words;

/// Files on their way; paths are malloced.
typedef struct batch {
    char *path[BATCH_MAX];
    size_t count;
} batch;

/// All that a prediction holds; predictor_clear() frees it.
typedef struct predictor {
    const predict_words *words;
    nn_model *model;
    nn_shape shape;
    size_t image_bytes;
    size_t batch_size;
    nn_infer *infer;
    cli_files *files;
    cli_prediction_printer *printer;
    uint8_t *pixels;             // (batch_size, C, H, W)
    float *probabilities;        // (batch_size, labels)
    ns_error *reasons;           // (batch_size)
    ns_status status[BATCH_MAX]; // of decoding
    batch now, next;
    int64_t unreadable_count; // of all files
} predictor;

static size_t batch_size_of(size_t image_bytes) {
    const size_t count = BATCH_PIXEL_BYTES / image_bytes;
    return count < 1 ? 1 : count > BATCH_MAX ? BATCH_MAX : count;
}

static ns_status predictor_open(predictor *p, const cli_operands *operands, ns_error *err) {
    NS_TRY(nn_model_load(operands->text[0], &p->model, err));
    const nn_model_info *info = nn_model_describe(p->model);
    p->shape = info->image;
    p->image_bytes = (size_t)p->shape.channels * (size_t)p->shape.height * (size_t)p->shape.width;
    p->batch_size = batch_size_of(p->image_bytes);
    const nn_infer_options options = {(int)p->batch_size, p->words->thread_count, p->words->dtype};
    NS_TRY(nn_infer_new(p->model, &options, &p->infer, err));
    p->pixels = malloc(p->batch_size * p->image_bytes);
    p->probabilities =
        malloc(p->batch_size * (size_t)info->label_count * sizeof(*p->probabilities));
    p->reasons = malloc(p->batch_size * sizeof(*p->reasons));
    if (p->pixels == NULL || p->probabilities == NULL || p->reasons == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot predict: out of memory");
    }
    NS_TRY(cli__files_open(operands->text + 1, &p->files, err));
    return cli__predictions_begin(info, &p->words->rule, &p->printer, err);
}

static void batch_clear(batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        free(b->path[i]);
    }
    b->count = 0;
}

static void predictor_clear(predictor *p) {
    batch_clear(&p->now);
    batch_clear(&p->next);
    cli__predictions_end(p->printer);
    cli__files_close(p->files);
    free(p->reasons);
    free(p->probabilities);
    free(p->pixels);
    nn_infer_free(p->infer);
    nn_model_free(p->model);
}

static void unreadable(predictor *p, ns_status status, const ns_error *reason) {
    p->unreadable_count++;
    (void)cli__exit_code(status, reason);
}

/* ---- batches --------------------------------------------------------------------------------- */

/// The next files; none at the end.
static ns_status gather(predictor *p, ns_error *err) {
    while (p->next.count < p->batch_size) {
        char *path = NULL;
        ns_error reason = {0};
        const ns_status status = cli__files_next(p->files, &path, &reason);
        if (status == NS_ERR_MEMORY) {
            return ns_fail(err, status, "%s", reason.text);
        }
        if (status != NS_OK) {
            unreadable(p, status, &reason);
            continue;
        }
        if (path == NULL) {
            break;
        }
        cli__file_will_need(path);
        p->next.path[p->next.count++] = path;
    }
    return NS_OK;
}

static ns_status decode_one(const predictor *p, size_t i, ns_error *reason) {
    data_image image = {0};
    NS_TRY(data_image_read(p->now.path[i], &image, reason));
    const ns_status status = data_image_fit(&image, p->shape.channels, p->shape.height,
                                            p->shape.width, p->pixels + i * p->image_bytes, reason);
    data_image_free(&image);
    return status;
}

static int thread_count_of(const predict_words *words) {
    return words->thread_count > 0 ? words->thread_count : omp_get_max_threads();
}

static void decode(predictor *p) {
#pragma omp parallel for schedule(dynamic) num_threads(thread_count_of(p->words))
    for (size_t i = 0; i < p->now.count; i++) {
        p->reasons[i] = (ns_error){0};
        p->status[i] = decode_one(p, i, &p->reasons[i]);
    }
}

/// Moves what could be decoded together and names the rest.
static void drop_unreadable(predictor *p) {
    size_t kept = 0;
    for (size_t i = 0; i < p->now.count; i++) {
        if (p->status[i] != NS_OK) {
            unreadable(p, p->status[i], &p->reasons[i]);
            free(p->now.path[i]);
            continue;
        }
        if (kept < i) {
            p->now.path[kept] = p->now.path[i];
            memcpy(p->pixels + kept * p->image_bytes, p->pixels + i * p->image_bytes,
                   p->image_bytes);
        }
        kept++;
    }
    p->now.count = kept;
}

static ns_status label_batch(predictor *p, ns_error *err) {
    decode(p);
    drop_unreadable(p);
    if (p->now.count > 0) {
        NS_TRY(nn_infer_run(p->infer, p->pixels, p->now.count, p->probabilities, err));
    }
    const size_t label_count = (size_t)nn_model_describe(p->model)->label_count;
    for (size_t i = 0; i < p->now.count; i++) {
        NS_TRY(cli__predictions_add(p->printer, p->now.path[i], p->probabilities + i * label_count,
                                    err));
    }
    (void)fflush(stdout);
    batch_clear(&p->now);
    return NS_OK;
}

static ns_status predict_all(predictor *p, ns_error *err) {
    NS_TRY(gather(p, err));
    while (p->next.count > 0) {
        p->now = p->next;
        p->next.count = 0;
        NS_TRY(gather(p, err));
        NS_TRY(label_batch(p, err));
    }
    return NS_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int run_predict(const predict_words *words, const cli_operands *operands) {
    predictor *p = calloc(1, sizeof(*p));
    ns_error err = {0};
    if (p == NULL) {
        return cli__exit_code(ns_fail(&err, NS_ERR_MEMORY, "cannot predict: out of memory"), &err);
    }
    p->words = words;
    ns_status status = predictor_open(p, operands, &err);
    if (status == NS_OK) {
        status = predict_all(p, &err);
    }
    const bool complete = p->unreadable_count == 0;
    predictor_clear(p);
    free(p);
    if (status != NS_OK) {
        return cli__exit_code(status, &err);
    }
    return complete ? CLI_DONE : CLI_FAILED;
}

static ns_status parse_confidence(const char *text, void *value, ns_error *err) {
    return cli__number_between(text, 0, 1, value, err);
}

int cli__predict(int argc, char **argv) {
    predict_words words = {.rule = {.min_confidence = (double)NAN}, .dtype = NN_DTYPE_F32};
    const cli_option rows[] = {
        {"min-confidence", 0, "C",
         "Show labels from this on, 0 to 1 (default: each from the model's own threshold on, or "
         "without thresholds from 0.5 on where images may have several labels)",
         parse_confidence, &words.rule.min_confidence},
        {"top", 0, "K", "Show the K best labels, whatever their thresholds", cli__parse_count,
         &words.rule.top_count},
        {"format", 0, "google|rekognition|azure", "JSON with the field names of that service",
         cli__parse_prediction_format, &words.rule.format},
        CLI_OPTION_DTYPE(&words.dtype, CLI_DTYPE_INFER),
        CLI_OPTION_THREADS(&words.thread_count),
        {"json", 0, NULL, "Print one JSON object, as --format google does", cli__parse_flag,
         &words.json},
        {0},
    };
    const cli_syntax syntax = {
        .operands = "MODEL IMAGE|FOLDER...",
        .doc =
            "Labels PNG, JPEG and WebP files, also those of folders. Confidences are between 0 and "
            "1, best first.",
        .options = rows,
        .operand_count_min = 2,
        .operand_count_max = CLI_MANY,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    if (words.json && words.rule.format == CLI_PREDICTION_TEXT) {
        words.rule.format = CLI_PREDICTION_GOOGLE;
    }
    return run_predict(&words, &operands);
}
