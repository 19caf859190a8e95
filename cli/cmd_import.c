// nightshift import: labelled images into one pack.

#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

typedef struct import_line {
    cli_progress progress;
    const char *source;
    data_step step;
    int64_t step_ms; // ns_clock_ms() when it began
    size_t done;     // of it, at most: a second look at the source finds the same again
} import_line;

#define NUMBER_MAX 99999

/// Whether `text` is exactly `count` plain numbers with `separator` between them.
static bool read_numbers(const char *text, char separator, int count, int *out) {
    for (int i = 0; i < count; i++) {
        char *end = NULL;
        const long value = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
        if (value < 0 || value > NUMBER_MAX || *end != (i + 1 < count ? separator : '\0')) {
            return false;
        }
        out[i] = (int)value;
        text = end + 1;
    }
    return true;
}

// "WxH" or "N" into data_import_options.
static ns_status parse_size(const char *text, void *value, ns_error *err) {
    data_import_options *options = value;
    int side[2] = {0};
    if (read_numbers(text, '\0', 1, side)) {
        side[1] = side[0];
    } else if (!read_numbers(text, 'x', 2, side)) {
        side[0] = 0;
    }
    if (side[0] < 1 || side[1] < 1) {
        return ns_fail(err, NS_ERR_USAGE, "a size in pixels is needed, as 64x48 or 64");
    }
    options->width = side[0];
    options->height = side[1];
    return NS_OK;
}

static ns_status parse_channels(const char *text, void *value, ns_error *err) {
    if (strcmp(text, "1") != 0 && strcmp(text, "3") != 0) {
        return ns_fail(err, NS_ERR_USAGE, "1 (grey) or 3 (RGB) is needed");
    }
    *(int *)value = text[0] - '0';
    return NS_OK;
}

// Three percentages into split_percent.
static ns_status parse_split(const char *text, void *value, ns_error *err) {
    int *percent = value;
    if (!read_numbers(text, ',', DATA_SPLIT_COUNT, percent) ||
        percent[0] + percent[1] + percent[2] != 100) {
        return ns_fail(err, NS_ERR_USAGE,
                       "percentages of train, validation and test that sum to 100 are needed, "
                       "as 80,10,10");
    }
    return NS_OK;
}

static ns_status parse_max_bad(const char *text, void *value, ns_error *err) {
    double percent = 0;
    NS_TRY(cli__number_between(text, 0, 100, &percent, err));
    *(double *)value = percent / 100;
    return NS_OK;
}

static ns_status parse_format(const char *text, void *value, ns_error *err) {
    return data_format_parse(text, value, err);
}

static ns_status parse_conflicts(const char *text, void *value, ns_error *err) {
    return data_conflicts_parse(text, value, err);
}

static void show_found(import_line *line, double rate) {
    cli__progress_show(&line->progress, "import %s  looking for images  %zu found  %.0f/s",
                       line->source, line->done, rate);
}

static void show_done(import_line *line, size_t total, double rate) {
    char left[32];
    char bar[CLI_BAR_BYTES] = "";
    const bool survey = line->step == DATA_STEP_SURVEY;
    budget_format((int64_t)((double)(total - line->done) * 1000 / rate), left);
    if (line->progress.terminal) {
        cli__progress_bar((double)line->done / (double)total, bar);
    }
    cli__progress_show(&line->progress, "import %s  %s%s%s%zu of %zu %s  %s left  %.0f %s/s",
                       line->source, survey ? "first look  " : "", bar, bar[0] != 0 ? " " : "",
                       line->done, total, survey ? "files" : "images", left, rate,
                       survey ? "files" : "images");
}

static bool on_progress(void *context, const data_progress *now) {
    import_line *line = context;
    if (now->step != line->step) {
        line->step = now->step;
        line->step_ms = ns_clock_ms();
        line->done = 0;
    }
    line->done = now->done > line->done ? now->done : line->done;
    if (line->done > 0 && cli__progress_due(&line->progress)) {
        const double rate = (double)line->done * 1000 / (double)(ns_clock_ms() - line->step_ms + 1);
        if (now->total == 0) {
            show_found(line, rate);
        } else {
            show_done(line, now->total, rate);
        }
    }
    return !cli__stop_asked();
}

static ns_status run_import(const char *source, const char *out_path,
                            const data_import_options *options, ns_error *err) {
    import_line line = {.source = source, .step_ms = ns_clock_ms()};
    NS_TRY(cli__progress_start(&line.progress, err));
    data_import_options told = *options;
    told.progress = on_progress;
    told.progress_context = &line;
    cli__stop_catch();
    const ns_status status = data_import(source, out_path, &told, err);
    cli__progress_end(&line.progress);
    return status;
}

static ns_status print_result(const char *path, bool json, int64_t took_ms, ns_error *err) {
    data_set *set = NULL;
    NS_TRY(data_open(path, &set, err));
    ns_status status = NS_OK;
    if (json) {
        ns_json *result = cli__set_json(set, path);
        ns_json_set_int(result, "took_ms", took_ms);
        status = cli__print_json(result, err);
    } else {
        status = cli__set_print(set, path, err);
        (void)printf("imported in %.1f s\n", (double)took_ms / 1000);
    }
    data_close(set);
    return status;
}

int cli__import(int argc, char **argv) {
    data_import_options options = data_import_options_default();
    const char *out_path = NULL;
    bool json = false;
    const cli_option rows[] = {
        {"output", 'o', "SET.nsd", "The pack to write (default: SOURCE's name with .nsd)",
         cli__parse_text, &out_path},
        {"format", 0, "FORMAT", DATA_FORMAT_NAMES " (default: auto)", parse_format,
         &options.format},
        {"classes", 0, "A,B", "Classes of Open Images to take (default: all)", cli__parse_text,
         &options.classes},
        {"size", 0, "WxH", "Pixels of every image (default: chosen from the data)", parse_size,
         &options},
        {"channels", 0, "1|3", "Grey or RGB (default: chosen from the data)", parse_channels,
         &options.channels},
        {"split", 0, "T,V,T",
         "Percent train, validation and test of what the source does not assign "
         "(default: 80,10,10)",
         parse_split, options.split_percent},
        {"seed", 0, "N", "Of the split (default: 0)", cli__parse_seed, &options.seed},
        {"multi-label", 0, NULL,
         "Images may have any number of labels, also none (default: when a line of the CSV file "
         "has several)",
         cli__parse_flag, &options.multi_label},
        {"max-bad", 0, "PERCENT", "Stop when more images than this are bad (default: 5)",
         parse_max_bad, &options.bad_fraction_max},
        {"conflicts", 0, "drop|first|error",
         "What becomes of one picture under different labels: drop all copies, believe the first, "
         "or fail (default: drop)",
         parse_conflicts, &options.conflicts},
        {"keep-duplicates", 0, NULL, "Only count copies of one picture, drop none", cli__parse_flag,
         &options.keep_duplicates},
        CLI_OPTION_THREADS(&options.thread_count),
        CLI_OPTION_JSON(&json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "SOURCE",
        .doc = "Packs labelled images into one file. SOURCE is a folder with a folder of images "
               "per label (or train, validation and test folders of those), a CSV file of "
               "TRAIN|VALIDATION|TEST|UNASSIGNED,path,label[,label...] lines, a CSV file that "
               "holds the pixels (label,pixels,Usage or label,pixel0,pixel1,...), a folder of IDX "
               "files, a folder of Open Images (class descriptions, box annotations and images), "
               "or a zip, tar or tar.gz file of any of these.",
        .options = rows,
        .operand_count_min = 1,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    char default_path[80];
    if (out_path == NULL) {
        char name[CLI_NAME_BYTES];
        cli__name_from_path(operands.text[0], name);
        (void)snprintf(default_path, sizeof(default_path), "%s.nsd", name);
        out_path = default_path;
    }
    ns_error err = {0};
    const int64_t start_ms = ns_clock_ms();
    ns_status status = run_import(operands.text[0], out_path, &options, &err);
    if (status == NS_OK) {
        status = print_result(out_path, json, ns_clock_ms() - start_ms, &err);
    }
    const int exit_code = cli__exit_code(status, &err);
    return exit_code == CLI_STOPPED ? CLI_FAILED : exit_code; // nothing is kept to go on from
}
