// nightshift train: one genotype, trained by itself outside of any study.
//
// A checkpoint beside the model (MODEL.nsm.ckpt) is written now and then and when training is
// stopped; the same command then goes on from it. It is removed once the model is there. Without
// -o neither is written: that is for trying things out. --recipe changes what the genotype says of
// the training, field by field. Test images are read only when --test asks for it.
//
// --trial repeats a trial of an exported study: its genotype, seed, length, threads and kind of
// numbers, as far as they are not given (repeat.c).

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_internal.h"

#define GENOTYPE_BYTES_MAX     ((size_t)1 << 20)
#define EPOCHS_MAX             1000000
#define CHECKPOINT_SUFFIX      ".ckpt"
#define CHECKPOINT_INTERVAL_MS 15000

typedef struct train_words {
    const char *set_path, *genotype, *recipe, *out_path; // recipe, out_path: NULL for none
    int64_t budget_ms;                                   // 0: none
    int epoch_count;                                     // 0: no limit
    uint64_t seed;
    nn_dtype dtype;
    int thread_count;
    int trial; // of an exported study; -1: none
    bool test, json;
} train_words;

#define SEED_NONE UINT64_MAX

/// All that a training makes on its way.
typedef struct train_job {
    const train_words *words;
    cli_progress progress;
    char checkpoint_path[NS_PATH_MAX];
    data_set *set;
    cli_repeat repeat; // zero unless a trial is repeated
    search_space space;
    search_candidate candidate;
    nn_train_result result;
    nn_model *model;
    double val_accuracy;  // NaN: the set has no validation images
    double test_accuracy; // NaN: not asked for
} train_job;

static ns_status parse_epochs(const char *text, void *value, ns_error *err) {
    int64_t count = 0;
    NS_TRY(cli__integer_between(text, 1, EPOCHS_MAX, &count, err));
    *(int *)value = (int)count;
    return NS_OK;
}

static ns_status parse_trial(const char *text, void *value, ns_error *err) {
    int64_t number = 0;
    NS_TRY(cli__integer_between(text, 0, INT32_MAX, &number, err));
    *(int *)value = (int)number;
    return NS_OK;
}

/* ---- the genotype ---------------------------------------------------------------------------- */

/// A genotype, or an object with one under "genotype", as trials --json lists; `source` is for the
/// sentence.
static ns_status parse_genotype(const char *text, const char *source, search_space *space,
                                search_genotype *out, ns_error *err) {
    ns_json *json = NULL;
    ns_status status = ns_json_parse(text, &json, err);
    if (status == NS_OK) {
        const ns_json *member = ns_json_get(json, "genotype");
        const bool whole = strcmp(ns_json_string(json, "format", ""), SEARCH_EXPORT_FORMAT) == 0;
        status = whole ? ns_fail(err, NS_ERR_INPUT,
                                 "it is a whole study: name one of its trials with --trial N")
                       : search_genotype_from_hand(space, member != NULL ? member : json, out, err);
    }
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot read a genotype from %s", source);
    }
    ns_json_free(json);
    return status;
}

static ns_status read_genotype(const char *path, search_space *space, search_genotype *out,
                               ns_error *err) {
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    NS_TRY(ns_file_read(path, GENOTYPE_BYTES_MAX, &text, &size_bytes, err));
    const ns_status status = parse_genotype((const char *)text, path, space, out, err);
    free(text);
    return status;
}

/// "rate_peak=0.2,average=ema": fields of the recipe that are to be otherwise.
static ns_status change_recipe(const char *changes, nn_recipe *recipe, ns_error *err) {
    char *text = strdup(changes);
    if (text == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot read --recipe: out of memory");
    }
    ns_status status = NS_OK;
    char *rest = text;
    char *name = NULL;
    while (status == NS_OK && (name = strsep(&rest, ",")) != NULL) {
        char *value = strchr(name, '=');
        if (value == NULL) {
            status = ns_fail(err, NS_ERR_USAGE, "\"%s\" is no FIELD=VALUE", name);
        } else {
            *value = '\0';
            status = nn_recipe_set(recipe, name, value + 1, err);
        }
    }
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot use --recipe \"%s\"", changes);
    }
    free(text);
    return status;
}

/// The trial's genotype, on the data that it was trained on.
static ns_status repeat_genotype(train_job *job, search_genotype *out, ns_error *err) {
    const train_words *words = job->words;
    if (strcmp(job->repeat.dataset_sha256, data_describe(job->set)->sha256) != 0) {
        return ns_fail(err, NS_ERR_INPUT,
                       "cannot repeat trial %d of %s with %s: the study was of other data (%s)",
                       words->trial, words->genotype, words->set_path, job->repeat.dataset_sha256);
    }
    const ns_status status = search_genotype_from_hand(&job->space, job->repeat.genotype, out, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot repeat trial %d of %s", words->trial, words->genotype);
    }
    return status;
}

static ns_status make_candidate(train_job *job, ns_error *err) {
    const char *words = job->words->genotype;
    search_genotype genotype;
    search_space_default(data_describe(job->set), &job->space);
    if (job->words->trial >= 0) {
        NS_TRY(repeat_genotype(job, &genotype, err));
    } else if (strcmp(words, "anchor") == 0) {
        search_genotype_anchor(&job->space, &genotype);
    } else if (words[0] == '{') {
        NS_TRY(parse_genotype(words, "--genotype", &job->space, &genotype, err));
    } else {
        NS_TRY(read_genotype(words, &job->space, &genotype, err));
    }
    NS_TRY(search_decode(&job->space, &genotype, &job->candidate, err));
    return job->words->recipe == NULL
               ? NS_OK
               : change_recipe(job->words->recipe, &job->candidate.recipe, err);
}

/* ---- training -------------------------------------------------------------------------------- */

static nn_verdict on_step(void *context, const nn_progress *now) {
    train_job *job = context;
    if (cli__progress_due(&job->progress)) {
        const double fraction = now->fraction > 1e-6 ? now->fraction : 1e-6;
        const int64_t left_ms = (int64_t)((double)now->used_ms * (1 - fraction) / fraction);
        char left[32];
        char end[16];
        budget_format(left_ms, left);
        cli__progress_finish_time(left_ms, end);
        cli__progress_show(
            &job->progress, "train  %.0f %%  epoch %d  loss %.3f  %.0f images/s  left %s  ends %s",
            100 * now->fraction, now->epoch, now->loss, now->images_per_s, left, end);
    }
    return cli__stop_asked() ? NN_STOP : NN_CONTINUE;
}

/// What went wrong on the way without ending the training.
static void warn(const train_job *job) {
    const nn_train_result *result = &job->result;
    if (result->checkpoint_failure_count > 0) {
        (void)fprintf(stderr, "nightshift: %d checkpoints could not be written, the last: %s\n",
                      result->checkpoint_failure_count, result->checkpoint_error.text);
    }
    if (result->recovery_reason.text[0] != '\0') {
        (void)fprintf(stderr, "nightshift: went on from an earlier state: %s\n",
                      result->recovery_reason.text);
    }
    if (result->recipe.batch_size > 0 &&
        result->recipe.batch_size < job->candidate.recipe.batch_size) {
        (void)fprintf(stderr,
                      "nightshift: a batch of %d is more than the train split, %d is used\n",
                      job->candidate.recipe.batch_size, result->recipe.batch_size);
    }
}

/// Images that the training may see; 0: no limit.
static uint64_t sample_count_max(const train_job *job) {
    const train_words *words = job->words;
    if (words->epoch_count > 0 || words->budget_ms > 0) {
        return (uint64_t)words->epoch_count * data_describe(job->set)->split_count[DATA_TRAIN];
    }
    return job->repeat.train_flop > 0
               ? (uint64_t)(job->repeat.train_flop / job->candidate.counts.train_flops)
               : job->repeat.sample_count;
}

static ns_status train(train_job *job, ns_error *err) {
    const train_words *words = job->words;
    nn_train_options options = nn_train_options_default();
    options.recipe = job->candidate.recipe;
    options.ms_max = words->budget_ms;
    options.sample_count_max = sample_count_max(job);
    options.ms_max +=
        options.sample_count_max == 0 && words->budget_ms == 0 ? job->repeat.train_ms : 0;
    options.seed = words->seed;
    options.dtype = words->dtype;
    options.thread_count = words->thread_count;
    options.on_step = on_step;
    options.context = job;
    options.checkpoint_path = words->out_path != NULL ? job->checkpoint_path : NULL;
    options.checkpoint_interval_ms = CHECKPOINT_INTERVAL_MS;
    NS_TRY(cli__progress_start(&job->progress, err));
    cli__stop_catch();
    const ns_status status =
        nn_train(&job->candidate.graph, job->set, &options, &job->result, &job->model, err);
    cli__progress_end(&job->progress);
    warn(job);
    if (status == NS_OK && job->result.stopped && words->out_path == NULL) {
        return ns_fail(err, NS_ERR_STOPPED,
                       "stopped after %.0f %% of the training; nothing is kept",
                       100 * job->result.last.fraction);
    }
    if (status == NS_OK && job->result.stopped) {
        return ns_fail(err, NS_ERR_STOPPED,
                       "stopped after %.0f %% of the training; the same command goes on from %s",
                       100 * job->result.last.fraction, job->checkpoint_path);
    }
    return status;
}

/// NaN when the split is empty. Validation images choose the model's thresholds, too.
static ns_status judge_split(const train_job *job, data_split split, double *accuracy,
                             ns_error *err) {
    *accuracy = (double)NAN;
    if (data_describe(job->set)->split_count[split] == 0) {
        return NS_OK;
    }
    search_predictions predictions;
    nn_infer_options options = nn_infer_options_default();
    options.thread_count = job->words->thread_count;
    ns_status status = search_predict(job->model, job->set, split, &options, &predictions, err);
    if (status == NS_OK) {
        *accuracy = search_score(&predictions);
    }
    if (status == NS_OK && split == DATA_VALIDATION) {
        status = search_thresholds_choose(job->model, &predictions, job->words->thread_count, err);
    }
    search_predictions_clear(&predictions);
    return status;
}

/// The recipe may ask for mirror averaging; else the validation images decide.
static ns_status choose_mirror(train_job *job, ns_error *err) {
    nn_infer_options options = nn_infer_options_default();
    options.thread_count = job->words->thread_count;
    return job->result.recipe.mirror_average
               ? NS_OK
               : search_mirror_choose(job->model, job->set, &options, err);
}

static ns_status judge(train_job *job, ns_error *err) {
    job->test_accuracy = (double)NAN;
    NS_TRY(choose_mirror(job, err));
    NS_TRY(judge_split(job, DATA_VALIDATION, &job->val_accuracy, err));
    return job->words->test ? judge_split(job, DATA_TEST, &job->test_accuracy, err) : NS_OK;
}

/// Fails where the model could not be written, before anything is trained.
static ns_status probe_output(const char *path, ns_error *err) {
    ns_atomic_file *file = NULL;
    struct stat there;
    if (stat(path, &there) == 0 && S_ISDIR(there.st_mode)) {
        return ns_fail(err, NS_ERR_IO, "cannot write %s: it is a folder", path);
    }
    NS_TRY(ns_atomic_open(path, &file, err));
    ns_atomic_abort(file);
    return NS_OK;
}

/// Saves what was trained, so that nothing which happens while it is judged can lose it.
static ns_status save(train_job *job, ns_error *err) {
    ns_json *notes = nn_model_notes(job->model);
    ns_json_set_string(notes, "origin", "train");
    ns_json_set_string(notes, "nightshift", NS_VERSION);
    ns_json_set_string(notes, "dataset_sha256", data_describe(job->set)->sha256);
    ns_json_set(notes, "genotype", search_genotype_to_json(&job->space, &job->candidate.genotype));
    ns_json_set(notes, "recipe", nn_recipe_to_json(&job->result.recipe));
    ns_json_set_int(notes, "seed", (int64_t)job->words->seed);
    ns_json_set_string(notes, "dtype", nn_dtype_name(nn_dtype_resolve(job->words->dtype)));
    NS_TRY(nn_model_save(job->model, job->words->out_path, err));
    (void)unlink(job->checkpoint_path);
    return NS_OK;
}

static ns_status save_accuracy(train_job *job, ns_error *err) {
    ns_json_set_number(nn_model_notes(job->model), "val_accuracy", job->val_accuracy);
    return nn_model_save(job->model, job->words->out_path, err);
}

/* ---- the result ------------------------------------------------------------------------------ */

static const char *text_or_null(const ns_error *error) {
    return error->text[0] != '\0' ? error->text : NULL;
}

static const char *score_name(const train_job *job) {
    return search_score_name(data_describe(job->set)->multi_label);
}

static ns_json *result_json(const train_job *job) {
    ns_json *json = ns_json_object_new();
    if (job->words->out_path != NULL) {
        ns_json_set_string(json, "model", job->words->out_path);
    }
    ns_json_set(json, "genotype", search_genotype_to_json(&job->space, &job->candidate.genotype));
    ns_json_set_string(json, "hash", job->candidate.hash);
    ns_json_set(json, "recipe", nn_recipe_to_json(&job->result.recipe));
    ns_json_set_int(json, "seed", (int64_t)job->words->seed);
    ns_json_set_string(json, "dtype", nn_dtype_name(nn_dtype_resolve(job->words->dtype)));
    ns_json_set_bool(json, "mirror_average", nn_model_describe(job->model)->mirror_average);
    ns_json_set_string(json, "score_name", score_name(job));
    ns_json_set_number(json, "val_accuracy", job->val_accuracy);
    ns_json_set_number(json, "test_accuracy", job->test_accuracy);
    ns_json_set_int(json, "params", job->candidate.counts.params);
    ns_json_set_int(json, "flops", job->candidate.counts.forward_flops);
    ns_json_set_int(json, "samples", (int64_t)job->result.last.sample_count);
    ns_json_set_int(json, "steps", job->result.last.step);
    ns_json_set_number(json, "loss", job->result.last.loss);
    ns_json_set_number(json, "images_per_s", job->result.last.images_per_s);
    ns_json_set_int(json, "train_ms", job->result.last.used_ms);
    ns_json_set_int(json, "recoveries", job->result.recovery_count);
    ns_json_set_string(json, "recovery_reason", text_or_null(&job->result.recovery_reason));
    ns_json_set_int(json, "checkpoint_failures", job->result.checkpoint_failure_count);
    ns_json_set_string(json, "checkpoint_error", text_or_null(&job->result.checkpoint_error));
    ns_json_set_int(json, "clipped_steps", job->result.clipped_step_count);
    ns_json_set_string(json, "weights_sha256", nn_model_describe(job->model)->weights_sha256);
    return json;
}

static void print_result(const train_job *job) {
    char digits[32];
    const nn_counts *counts = &job->candidate.counts;
    if (!isnan(job->val_accuracy)) {
        (void)printf("validation %-10s%.2f %%\n", score_name(job), 100 * job->val_accuracy);
    }
    if (!isnan(job->test_accuracy)) {
        (void)printf("test %-16s%.2f %%\n", score_name(job), 100 * job->test_accuracy);
    }
    if (nn_model_describe(job->model)->mirror_average) {
        (void)printf("answers              averaged over an image and its mirror image\n");
    }
    (void)printf("size                 %s parameters, %.1f MFLOPs an image\n",
                 ns_group_digits(counts->params, digits), (double)counts->forward_flops / 1e6);
    (void)printf("training             %s images",
                 ns_group_digits((int64_t)job->result.last.sample_count, digits));
    (void)printf(" in %.1f s, %.0f images/s\n", (double)job->result.last.used_ms / 1000,
                 job->result.last.images_per_s);
    if (job->result.recovery_count > 0) {
        (void)printf("recoveries           %d, each at half the rate before\n",
                     job->result.recovery_count);
    }
    if (job->words->out_path != NULL) {
        (void)printf("model                %s\n\nnext: nightshift evaluate %s %s\n",
                     job->words->out_path, job->words->out_path, job->words->set_path);
    }
}

/* ---- the command ----------------------------------------------------------------------------- */

static ns_status run_job(train_job *job, ns_error *err) {
    const train_words *words = job->words;
    if (words->out_path != NULL &&
        (size_t)snprintf(job->checkpoint_path, sizeof(job->checkpoint_path), "%s" CHECKPOINT_SUFFIX,
                         words->out_path) >= sizeof(job->checkpoint_path)) {
        return ns_fail(err, NS_ERR_USAGE, "cannot write %.64s...: the path is too long",
                       words->out_path);
    }
    NS_TRY(data_open(words->set_path, &job->set, err));
    NS_TRY(make_candidate(job, err));
    NS_TRY(words->out_path != NULL ? probe_output(words->out_path, err) : NS_OK);
    NS_TRY(train(job, err));
    NS_TRY(words->out_path != NULL ? save(job, err) : NS_OK);
    NS_TRY(judge(job, err));
    NS_TRY(words->out_path != NULL ? save_accuracy(job, err) : NS_OK);
    if (words->json) {
        return cli__print_json(result_json(job), err);
    }
    print_result(job);
    return NS_OK;
}

/// What was not typed is the trial's, or a default.
static void settle(const cli_repeat *repeat, train_words *words) {
    words->seed = words->seed == SEED_NONE ? repeat->seed : words->seed;
    words->dtype = words->dtype == NN_DTYPE_AUTO ? repeat->dtype : words->dtype;
    words->thread_count = words->thread_count == 0 ? repeat->thread_count : words->thread_count;
}

static ns_status run_train(const train_words *words, ns_error *err) {
    if (words->genotype == NULL) {
        return ns_fail(err, NS_ERR_USAGE, "cannot train without --genotype anchor or FILE.json");
    }
    if (words->budget_ms == 0 && words->epoch_count == 0 && words->trial < 0) {
        return ns_fail(err, NS_ERR_USAGE, "cannot train without --budget or --epochs");
    }
    train_job *job = calloc(1, sizeof(*job)); // a space and a graph are too big for the stack
    if (job == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot train: out of memory");
    }
    train_words settled = *words;
    ns_status status = words->trial >= 0
                           ? cli__repeat_read(words->genotype, words->trial, &job->repeat, err)
                           : NS_OK;
    settle(&job->repeat, &settled);
    job->words = &settled;
    status = status == NS_OK ? run_job(job, err) : status;
    cli__repeat_clear(&job->repeat);
    nn_model_free(job->model);
    data_close(job->set);
    free(job);
    return status;
}

int cli__train(int argc, char **argv) {
    train_words words = {.seed = SEED_NONE, .trial = -1};
    const cli_option rows[] = {
        {"genotype", 'g', "anchor|FILE.json|JSON",
         "What to train: the hand-made anchor, or a genotype as trials --json lists it; "
         "genes that it does not name are the anchor's",
         cli__parse_text, &words.genotype},
        {"trial", 0, "N",
         "Repeat trial N of the study that --genotype FILE.json holds (export --format json), with "
         "its seed, length, threads and numbers where none are given",
         parse_trial, &words.trial},
        {"recipe", 'r', "FIELD=VALUE,...",
         "Change the genotype's recipe: average=ema,rate_peak=0.2. A wrong FIELD lists them all",
         cli__parse_text, &words.recipe},
        {"budget", 'b', "B", "Train for so long: 90s, 10m, 1h", cli__parse_budget,
         &words.budget_ms},
        {"epochs", 'e', "N", "Train for so many passes over the train images", parse_epochs,
         &words.epoch_count},
        {"output", 'o', "MODEL.nsm", "The model to write (default: none)", cli__parse_text,
         &words.out_path},
        {"test", 0, NULL, "Also read the test images, for the test accuracy", cli__parse_flag,
         &words.test},
        {"seed", 0, "N", "Of all that is random (default: 0)", cli__parse_seed, &words.seed},
        CLI_OPTION_DTYPE(&words.dtype, CLI_DTYPE_TRAIN),
        CLI_OPTION_THREADS(&words.thread_count),
        CLI_OPTION_JSON(&words.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "SET.nsd",
        .doc = "Trains one network outside of any study. Of --budget and --epochs, the first "
               "limit reached ends it. When stopped, the same command goes on.",
        .options = rows,
        .operand_count_min = 1,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    words.set_path = operands.text[0];
    ns_error err = {0};
    const ns_status status = run_train(&words, &err);
    return cli__exit_code(status, &err);
}
