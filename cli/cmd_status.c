// nightshift status: how a study stands. Read-only; a running study is not disturbed.

#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

/// The youngest study of the store, malloced into `*name`.
static ns_status latest_study(const char *store_path, char **name, ns_error *err) {
    ns_json *json = NULL;
    NS_TRY(search_studies_json(store_path, &json, err));
    const ns_json *studies = ns_json_get(json, "studies");
    const size_t count = ns_json_count(studies);
    ns_status status = NS_OK;
    if (count == 0) {
        status = ns_fail(err, NS_ERR_NOT_FOUND, "cannot show a study: %s holds none", store_path);
    } else {
        *name = strdup(ns_json_string(ns_json_at(studies, count - 1), "study", ""));
        status = *name != NULL ? NS_OK
                               : ns_fail(err, NS_ERR_MEMORY, "cannot show a study: out of memory");
    }
    ns_json_free(json);
    return status;
}

static ns_status show_status(const char *store_path, const char *name, bool json, ns_error *err) {
    char *latest = NULL;
    ns_json *study = NULL;
    if (name == NULL) {
        NS_TRY(latest_study(store_path, &latest, err));
    }
    ns_status status = search_status_json(store_path, name != NULL ? name : latest, &study, err);
    free(latest);
    if (status != NS_OK) {
        return status;
    }
    if (json) {
        return cli__print_json(study, err);
    }
    cli__study_print(study, store_path);
    ns_json_free(study);
    return NS_OK;
}

int cli__status(int argc, char **argv) {
    cli_study_words words;
    if (!cli__parse_study_words("[NAME]",
                                "Shows how a study stands; without NAME, the youngest one.", argc,
                                argv, &words)) {
        return CLI_USAGE;
    }
    ns_error err = {0};
    const ns_status status = show_status(words.store_path, words.name, words.json, &err);
    return cli__exit_code(status, &err);
}
