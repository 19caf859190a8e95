// nightshift report: a study as a page for people, or its plots as pictures. Read-only; of a running
// study it shows how it stands.

#include <stdlib.h>

#include "cli/cli_internal.h"
#include "report/report.h"

typedef struct report_words {
    report_request request;
    const char *html_path, *png_dir;
    bool json;
} report_words;

static ns_status write_report(const report_words *words, const report_study *study, ns_json *result,
                              ns_error *err) {
    if (words->html_path != NULL) {
        NS_TRY(report_write_html(study, words->html_path, err));
        ns_json_set_string(result, "html", words->html_path);
    }
    if (words->png_dir != NULL) {
        int count = 0;
        NS_TRY(report_write_plots(study, words->png_dir, &count, err));
        ns_json_set_string(result, "png", words->png_dir);
        ns_json_set_int(result, "plots", count);
    }
    return NS_OK;
}

static ns_status run_report(const report_words *words, ns_error *err) {
    report_study *study = NULL;
    if (words->html_path == NULL && words->png_dir == NULL) {
        return ns_fail(err, NS_ERR_USAGE, "cannot report without -o FILE.html or --png DIR");
    }
    NS_TRY(report_open(&words->request, &study, err));
    ns_json *result = ns_json_object_new();
    ns_json_set_string(result, "study", words->request.study);
    const ns_status status = write_report(words, study, result, err);
    report_close(study);
    if (status == NS_OK && words->json) {
        return cli__print_json(result, err);
    }
    if (status == NS_OK && words->html_path != NULL) {
        (void)printf("wrote %s\n", words->html_path);
    }
    if (status == NS_OK && words->png_dir != NULL) {
        (void)printf("wrote %lld plots into %s\n", (long long)ns_json_int(result, "plots", 0),
                     words->png_dir);
    }
    ns_json_free(result);
    return status;
}

int cli__report(int argc, char **argv) {
    report_words words = {.request = {.store_path = CLI_STORE_DEFAULT}};
    const cli_option rows[] = {
        {"output", 'o', "FILE.html", "Write the page", cli__parse_text, &words.html_path},
        {"png", 0, "DIR", "Write the plots as PNG files", cli__parse_text, &words.png_dir},
        {"set", 0, "SET.nsd", "The data set, if it is no longer where the study found it",
         cli__parse_text, &words.request.set_path},
        CLI_OPTION_STORE(&words.request.store_path),
        CLI_OPTION_THREADS(&words.request.thread_count),
        CLI_OPTION_JSON(&words.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "NAME",
        .doc = "Writes what a study found and what it cost as one HTML page that needs nothing "
               "else, or as pictures. What concerns test images is there once the study has "
               "finished.",
        .options = rows,
        .operand_count_min = 1,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    words.request.study = operands.text[0];
    ns_error err = {0};
    const ns_status status = run_report(&words, &err);
    return cli__exit_code(status, &err);
}
