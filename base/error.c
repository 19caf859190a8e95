// Texts of the status codes, from the same table as the codes, and the sentence that goes with one.
// The sentence lives in a fixed buffer of the caller, so that failing never allocates and also
// works when memory is what has run out.

#include <assert.h>

#include "base/base.h"

#undef ns_fail // its face for the static analyser

const char *ns_status_text(ns_status status) {
    switch (status) {
#define NS_STATUS_CASE(name, value, text)                                                          \
    case NS_##name:                                                                                \
        return text;
        NS_STATUS_LIST(NS_STATUS_CASE)
#undef NS_STATUS_CASE
    }
    return "unknown status";
}

ns_status ns_fail(ns_error *err, ns_status status, const char *format, ...) {
    assert(status != NS_OK);
    if (err != NULL) {
        // Through a copy, since the arguments may point into err->text itself.
        char text[NS_ERROR_TEXT_MAX];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        ns_text_escape(text, err->text, sizeof(err->text)); // they may hold file names
    }
    return status;
}

void ns_error_prefix(ns_error *err, const char *format, ...) {
    if (err == NULL) {
        return;
    }
    char context[NS_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(context, sizeof(context), format, args);
    va_end(args);

    char text[2 * NS_ERROR_TEXT_MAX + 2];
    (void)snprintf(text, sizeof(text), "%s: %s", context, err->text);
    ns_text_escape(text, err->text, sizeof(err->text));
}
