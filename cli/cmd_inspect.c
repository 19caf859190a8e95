// nightshift inspect: what is in a pack, and whether it is fit to learn from.

#include <stdlib.h>

#include "cli/cli_internal.h"

#define PAIRS_LISTED_MAX  100 // as JSON
#define PAIRS_PRINTED_MAX 5

typedef struct inspect_options {
    const char *html_path; // NULL: no page
    bool json;
    int thread_count;
} inspect_options;

static ns_json *near_json(const data_set *set, const data_near_duplicates *near) {
    ns_json *json = ns_json_object_new();
    ns_json_set_int(json, "pairs", (int64_t)near->count);
    ns_json_set_int(json, "across_splits", (int64_t)near->across_count);
    ns_json_set_bool(json, "complete", near->complete);
    ns_json *examples = ns_json_set(json, "examples", ns_json_array_new());
    for (size_t i = 0; i < near->count && i < PAIRS_LISTED_MAX; i++) {
        const data_near_pair *pair = &near->pairs[i];
        ns_json *example = ns_json_add(examples, ns_json_object_new());
        ns_json_set_int(example, "a", pair->a);
        ns_json_set_int(example, "b", pair->b);
        ns_json_set_string(example, "a_file", data_name(set, pair->a));
        ns_json_set_string(example, "b_file", data_name(set, pair->b));
        ns_json_set_bool(example, "across_splits", pair->across);
        ns_json_set_number(example, "difference", (double)pair->difference);
    }
    return json;
}

static void print_near(const data_set *set, const data_near_duplicates *near) {
    if (near->count == 0) {
        return;
    }
    (void)printf("\n%s%zu pair%s of images nearly the same, %zu across splits; inspect --html "
                 "shows them\n",
                 near->complete ? "" : "at least ", near->count, near->count == 1 ? "" : "s",
                 near->across_count);
    for (size_t i = 0; i < near->count && i < PAIRS_PRINTED_MAX; i++) {
        const data_near_pair *pair = &near->pairs[i];
        char rooms[2][32];
        (void)printf("  %s and %s%s\n", cli__image_name(set, pair->a, rooms[0]),
                     cli__image_name(set, pair->b, rooms[1]),
                     pair->across ? ", across splits" : "");
    }
    if (near->count > PAIRS_PRINTED_MAX) {
        (void)printf("  and %zu more\n", near->count - PAIRS_PRINTED_MAX);
    }
}

static ns_status show(const data_set *set, const char *path, const data_near_duplicates *near,
                      bool json, ns_error *err) {
    ns_json *provenance = NULL;
    NS_TRY(ns_json_parse(data_describe(set)->provenance, &provenance, err));
    if (json) {
        ns_json *object = cli__set_json(set, path);
        ns_json_set(object, "near_duplicates", near_json(set, near));
        ns_json_set(object, "provenance", provenance);
        return cli__print_json(object, err);
    }
    char *line = NULL;
    ns_status status = cli__set_print(set, path, err);
    print_near(set, near);
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

static ns_status inspect(const char *path, const inspect_options *options, ns_error *err) {
    data_set *set = NULL;
    data_near_duplicates near = {0};
    ns_status status = NS_OK;
    NS_TRY(data_open(path, &set, err));
    NS_TRY_OUT(data_near_duplicates_find(set, options->thread_count, &near, err));
    if (options->html_path != NULL) {
        NS_TRY_OUT(cli__set_page(set, path, &near, options->html_path, err));
    }
    NS_TRY_OUT(show(set, path, &near, options->json, err));
    if (options->html_path != NULL && !options->json) {
        (void)printf("page %s\n", options->html_path);
    }
out:
    data_near_duplicates_free(&near);
    data_close(set);
    return status;
}

int cli__inspect(int argc, char **argv) {
    inspect_options options = {0};
    const cli_option rows[] = {
        {"html", 0, "FILE.html", "Write a page of pictures, labels, copies and what was dropped",
         cli__parse_text, &options.html_path},
        CLI_OPTION_THREADS(&options.thread_count),
        CLI_OPTION_JSON(&options.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "SET.nsd",
        .doc = "Shows a pack's labels by split, the size of its images, what import dropped and "
               "why, images that are nearly the same, and how it was made.",
        .options = rows,
        .operand_count_min = 1,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    ns_error err = {0};
    const ns_status status = inspect(operands.text[0], &options, &err);
    return cli__exit_code(status, &err);
}
