// A study run to its end behind a progress line: what search and resume have in common.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

static void on_progress(void *context, const search_progress *now) {
    cli_progress *line = context;
    if (!cli__progress_due(line)) {
        return;
    }
    char what[64] = "";
    if (!isnan(now->phase_fraction)) {
        (void)snprintf(what, sizeof(what), "  %.0f %%", 100 * now->phase_fraction);
    } else if (strcmp(now->phase, "search") == 0) {
        (void)snprintf(what, sizeof(what), "  trial %d/%d", now->trial_done_count,
                       now->trial_planned_count);
    }
    char best[32] = "none yet";
    if (!isnan(now->best_val_accuracy)) {
        (void)snprintf(best, sizeof(best), "%.2f %%", 100 * now->best_val_accuracy);
    }
    const int64_t left_ms = now->budget_ms > now->spent_ms ? now->budget_ms - now->spent_ms : 0;
    char used[32];
    char left[32];
    char end[32] = "";
    budget_amount_format(&(budget_amount){now->budget_kind, now->spent_ms}, used);
    budget_amount_format(&(budget_amount){now->budget_kind, left_ms}, left);
    if (now->budget_kind == BUDGET_TIME) { // nobody has measured how long compute takes
        (void)stpcpy(end, "  ends ");
        cli__progress_finish_time(left_ms, end + strlen(end));
    }
    cli__progress_show(line, "%s%s  best %s  used %s  left %s%s", now->phase, what, best, used,
                       left, end);
}

static ns_status run_with_progress(const search_config *config, ns_error *err) {
    cli_progress line = {0};
    NS_TRY(cli__progress_start(&line, err));
    search_config shown = *config;
    shown.log = line.log;
    shown.on_progress = on_progress;
    shown.context = &line;
    const ns_status status = search_run(&shown, err);
    cli__progress_end(&line);
    return status;
}

static ns_status print_study(const search_config *config, bool json, ns_error *err) {
    ns_json *study = NULL;
    NS_TRY(search_status_json(config->store_path, config->study, &study, err));
    if (json) {
        return cli__print_json(study, err);
    }
    cli__study_print(study, config->store_path);
    ns_json_free(study);
    return NS_OK;
}

/// Says how the study stands, and what went wrong, if anything; the exit code.
static int show_end(const search_config *config, bool json, ns_status status, const ns_error *why) {
    if (status != NS_OK && status != NS_ERR_STOPPED) {
        return cli__exit_code(status, why);
    }
    ns_error err = {0};
    const ns_status printed = print_study(config, json, &err);
    if (printed != NS_OK) {
        return cli__exit_code(printed, &err);
    }
    if (status == NS_ERR_STOPPED) {
        const bool default_store = strcmp(config->store_path, CLI_STORE_DEFAULT) == 0;
        (void)fprintf(stderr, "nightshift: stopped early; to go on: nightshift resume %s%s%s\n",
                      config->study, default_store ? "" : " --store ",
                      default_store ? "" : config->store_path);
        return CLI_STOPPED;
    }
    return CLI_DONE;
}

int cli__study_run(const search_config *config, bool json, const char *on_finish) {
    bool began = false;
    ns_error err = {0};
    search_config watched = *config;
    watched.began = &began;
    const ns_status status = run_with_progress(&watched, &err);
    const int code = show_end(config, json, status, &err);
    if (began && on_finish != NULL) {
        (void)fflush(stdout); // the result stands before anything else can go wrong
        cli__on_finish(on_finish, config, status == NS_OK ? "" : err.text);
    }
    return code;
}

ns_status cli__parse_quota(const char *text, void *value, ns_error *err) {
    static const char units[] = "KMGT";
    cli_quota *quota = value;
    char *end = NULL;
    double number = strtod(text, &end);
    const char *unit = *end != '\0' ? strchr(units, *end) : NULL;
    const bool whole = *end == '\0' && number == floor(number);
    for (const char *at = units; unit != NULL && at <= unit; at++) {
        number *= 1000;
    }
    const bool sized = unit != NULL && end > text && end[1] == '\0';
    if (!(whole || sized) || !(number >= 1 && number <= (whole ? 1e6 : 1e15))) {
        return ns_fail(err, NS_ERR_USAGE,
                       "a number of models is needed, or their size with K, M, G or T");
    }
    quota->count = whole ? (int)number : 0;
    quota->bytes = whole ? 0 : (int64_t)number;
    return NS_OK;
}

void cli__quota_apply(const cli_quota *quota, search_config *config) {
    if (quota->count > 0 || quota->bytes > 0) {
        config->keep_count = quota->count;
        config->keep_bytes = quota->bytes;
    }
}

void cli__command_join(int argc, char **argv, char out[CLI_COMMAND_BYTES]) {
    size_t used = (size_t)snprintf(out, CLI_COMMAND_BYTES, "nightshift");
    for (int i = 0; i < argc && used < CLI_COMMAND_BYTES; i++) {
        used += (size_t)snprintf(out + used, CLI_COMMAND_BYTES - used, " %s", argv[i]);
    }
}
