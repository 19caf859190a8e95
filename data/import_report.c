// What an import says of itself: how far it is, to the caller, who may want no more of it; and how it
// was made, to whoever finds the pack later.

#include <stdlib.h>

#include "data/data_internal.h"

ns_status data__import_tell(const data_import_options *options, const char *source,
                            data_progress now, ns_error *err) {
    if (options->progress == NULL || options->progress(options->progress_context, &now)) {
        return NS_OK;
    }
    switch (now.step) {
    case DATA_STEP_LIST:
        return ns_fail(err, NS_ERR_STOPPED, "import of %s was stopped while it was listed", source);
    case DATA_STEP_SURVEY:
        return ns_fail(err, NS_ERR_STOPPED,
                       "import of %s was stopped after the headers of %zu of %zu images", source,
                       now.done, now.total);
    case DATA_STEP_DECODE:
        break;
    }
    return ns_fail(err, NS_ERR_STOPPED, "import of %s was stopped after %zu of %zu images", source,
                   now.done, now.total);
}

ns_status data__provenance(const data_import_options *options, data_format format,
                           const data__hygiene *hygiene, data__pack_writer *writer, ns_error *err) {
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "format", data_format_name(format));
    ns_json_set_int(json, "width", options->width);
    ns_json_set_int(json, "height", options->height);
    ns_json_set_int(json, "channels", options->channels);
    ns_json *split = ns_json_set(json, "split", ns_json_array_new());
    for (int i = 0; i < DATA_SPLIT_COUNT; i++) {
        ns_json_add_int(split, options->split_percent[i]);
    }
    ns_json_set_int(json, "seed", (int64_t)options->seed);
    ns_json_set_int(json, "imported_unix_ms", ns_clock_unix_ms());
    ns_json_set_string(json, "program", "nightshift " NS_VERSION);
    data__hygiene_report(hygiene, json);
    char *text = NULL;
    ns_status status = ns_json_print(json, false, &text, err);
    ns_json_free(json);
    if (status == NS_OK) {
        status = data__pack_set_provenance(writer, text, err);
    }
    free(text);
    return status;
}
