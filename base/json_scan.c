// Finding a part of a long JSON text without a tree of all of it.
//
// A tree takes some ten times the memory of its text, and a study of 100,000 trials is a text of
// more than a hundred megabytes. To find one of them it is enough to know where values end: a string
// at its closing quote, an object or array where as many brackets have closed as opened outside of
// strings, anything else before the next comma, bracket or blank. Nothing more is checked here;
// whoever wants the part found parses it.

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t skip_blanks(ns_json_span span, size_t at) {
    while (at < span.size_bytes && is_blank(span.text[at])) {
        at++;
    }
    return at;
}

/// Behind the string that begins at `at`; the end of the text where it has none.
static size_t skip_string(ns_json_span span, size_t at) {
    for (at++; at < span.size_bytes && span.text[at] != '"'; at++) {
        at += span.text[at] == '\\';
    }
    return at < span.size_bytes ? at + 1 : span.size_bytes;
}

static size_t skip_nested(ns_json_span span, size_t at) {
    size_t depth = 0;
    while (at < span.size_bytes) {
        const char c = span.text[at];
        if (c == '"') {
            at = skip_string(span, at);
            continue;
        }
        at++;
        depth += c == '{' || c == '[';
        if ((c == '}' || c == ']') && --depth == 0) {
            return at;
        }
    }
    return span.size_bytes;
}

static size_t skip_value(ns_json_span span, size_t at) {
    const char c = span.text[at];
    if (c == '"') {
        return skip_string(span, at);
    }
    if (c == '{' || c == '[') {
        return skip_nested(span, at);
    }
    while (at < span.size_bytes && !is_blank(span.text[at]) &&
           strchr(",]}", span.text[at]) == NULL) {
        at++;
    }
    return at;
}

/// The value that begins at `*at`, which is moved behind it and a comma. False where none begins.
static bool next_value(ns_json_span span, size_t *at, ns_json_span *value) {
    const size_t begin = skip_blanks(span, *at);
    if (begin >= span.size_bytes || strchr(",]}:", span.text[begin]) != NULL) {
        return false;
    }
    const size_t end = skip_value(span, begin);
    *value = (ns_json_span){span.text + begin, end - begin};
    *at = skip_blanks(span, end);
    *at += *at < span.size_bytes && span.text[*at] == ',';
    return end > begin;
}

/// Behind the bracket that opens the text; 0 where it is another one.
static size_t enter(ns_json_span span, char bracket) {
    const size_t at = skip_blanks(span, 0);
    return at < span.size_bytes && span.text[at] == bracket ? at + 1 : 0;
}

bool ns_json_scan_member(ns_json_span object, const char *key, ns_json_span *value) {
    const size_t key_bytes = strlen(key);
    size_t at = enter(object, '{');
    while (at > 0) {
        at = skip_blanks(object, at);
        if (at >= object.size_bytes || object.text[at] != '"') {
            return false;
        }
        const char *name = object.text + at + 1;
        const size_t end = skip_string(object, at);
        const bool found = end - at == key_bytes + 2 && memcmp(name, key, key_bytes) == 0;
        at = skip_blanks(object, end);
        if (at >= object.size_bytes || object.text[at] != ':') {
            return false;
        }
        at++;
        if (!next_value(object, &at, value)) {
            return false;
        }
        if (found) {
            return true;
        }
    }
    return false;
}

bool ns_json_scan_element(ns_json_span array, size_t *offset, ns_json_span *element) {
    *offset = *offset == 0 ? enter(array, '[') : *offset;
    return *offset > 0 && next_value(array, offset, element);
}

ns_status ns_json_parse_span(ns_json_span span, ns_json **out, ns_error *err) {
    char *text = strndup(span.text, span.size_bytes);
    if (text == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot read JSON: out of memory");
    }
    const ns_status status = ns_json_parse(text, out, err);
    free(text);
    return status;
}
