// JSON over cJSON, which is known to this file alone.
//
// cJSON keeps every number as a double, which bends integers beyond 2^53 (seeds, hashes, time
// stamps), and prints doubles only to 15 digits when they look close enough. Here a number is
// therefore always a cJSON "raw" node that holds its text: integers are exact, doubles are printed
// with as few digits as read back to the same bits, and what was parsed prints as it was written.
// Parsing lets cJSON build the tree and then walks text and tree side by side: the k-th number of
// the text is the k-th number node in depth-first order.
//
// A builder that runs out of memory marks its parent with one bit of the node's type that cJSON
// leaves alone; printing looks for the mark.

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/base.h"

#define INCOMPLETE_BIT (1 << 20)

static cJSON *node_of(ns_json *json) {
    return (cJSON *)json;
}

static const cJSON *const_node_of(const ns_json *json) {
    return (const cJSON *)json;
}

/* ---- strings that are not UTF-8 ------------------------------------------------------------- */

// A string node. File names may hold any bytes, JSON only UTF-8: a stray byte becomes U+FFFD.
static cJSON *string_node(const char *value) {
    if (value == NULL) {
        return cJSON_CreateNull();
    }
    const size_t size_bytes = strlen(value);
    char *clean = malloc(3 * size_bytes + 1);
    if (clean == NULL) {
        return NULL;
    }
    char *end = clean;
    for (const char *from = value; *from != '\0';) {
        const size_t length = ns_utf8_length(from);
        memcpy(end, length > 0 ? from : "\xef\xbf\xbd", length > 0 ? length : 3);
        end += length > 0 ? length : 3;
        from += length > 0 ? length : 1;
    }
    *end = '\0';
    cJSON *node = cJSON_CreateString(clean);
    free(clean);
    return node;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static cJSON *int_node(int64_t value) {
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRId64, value);
    return cJSON_CreateRaw(text);
}

static cJSON *number_node(double value) {
    if (!isfinite(value)) {
        return cJSON_CreateNull(); // JSON has no word for it
    }
    char text[40];
    for (int digits = DBL_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    return cJSON_CreateRaw(text);
}

static bool is_number(const cJSON *node) {
    return cJSON_IsRaw(node) && node->valuestring != NULL;
}

static int64_t int_value(const cJSON *node, int64_t fallback) {
    if (!is_number(node)) {
        return fallback;
    }
    char *end = NULL;
    errno = 0;
    const long long exact = strtoll(node->valuestring, &end, 10);
    if (*end == '\0' && errno == 0) {
        return exact;
    }
    const double rounded = strtod(node->valuestring, NULL); // "3.7", "1e9"
    return fabs(rounded) < 0x1p63 ? (int64_t)rounded : fallback;
}

static double number_value(const cJSON *node, double fallback) {
    return is_number(node) ? strtod(node->valuestring, NULL) : fallback;
}

/* ---- building ------------------------------------------------------------------------------- */

ns_json *ns_json_object_new(void) {
    return (ns_json *)cJSON_CreateObject();
}

ns_json *ns_json_array_new(void) {
    return (ns_json *)cJSON_CreateArray();
}

void ns_json_free(ns_json *json) {
    cJSON_Delete(node_of(json));
}

// Puts `child` under `key`, in the place of what was there. Owns `child` from here on.
static cJSON *put(ns_json *object, const char *key, cJSON *child) {
    cJSON *parent = node_of(object);
    if (parent == NULL) {
        cJSON_Delete(child);
        return NULL;
    }
    bool done = false;
    if (child != NULL && cJSON_GetObjectItemCaseSensitive(parent, key) != NULL) {
        done = cJSON_ReplaceItemInObjectCaseSensitive(parent, key, child);
    } else if (child != NULL) {
        done = cJSON_AddItemToObject(parent, key, child);
    }
    if (!done) {
        cJSON_Delete(child);
        parent->type |= INCOMPLETE_BIT;
        return NULL;
    }
    return child;
}

static cJSON *append(ns_json *array, cJSON *child) {
    cJSON *parent = node_of(array);
    if (parent == NULL || child == NULL || !cJSON_AddItemToArray(parent, child)) {
        cJSON_Delete(child);
        if (parent != NULL) {
            parent->type |= INCOMPLETE_BIT;
        }
        return NULL;
    }
    return child;
}

void ns_json_set_string(ns_json *object, const char *key, const char *value) {
    (void)put(object, key, string_node(value));
}

void ns_json_set_int(ns_json *object, const char *key, int64_t value) {
    (void)put(object, key, int_node(value));
}

void ns_json_set_number(ns_json *object, const char *key, double value) {
    (void)put(object, key, number_node(value));
}

void ns_json_set_bool(ns_json *object, const char *key, bool value) {
    (void)put(object, key, cJSON_CreateBool(value));
}

void ns_json_set_raw(ns_json *object, const char *key, const char *text) {
    put(object, key, cJSON_CreateRaw(text));
}

void ns_json_set_null(ns_json *object, const char *key) {
    (void)put(object, key, cJSON_CreateNull());
}

ns_json *ns_json_set(ns_json *object, const char *key, ns_json *child) {
    return (ns_json *)put(object, key, node_of(child));
}

void ns_json_add_string(ns_json *array, const char *value) {
    (void)append(array, string_node(value));
}

void ns_json_add_int(ns_json *array, int64_t value) {
    (void)append(array, int_node(value));
}

void ns_json_add_number(ns_json *array, double value) {
    (void)append(array, number_node(value));
}

ns_json *ns_json_add(ns_json *array, ns_json *child) {
    return (ns_json *)append(array, node_of(child));
}

/* ---- parsing -------------------------------------------------------------------------------- */

// Length of the number that begins at `text`, by the letter of RFC 8259; 0 when it is none. cJSON
// itself lets through "01" and "1.".
static size_t number_length(const char *text) {
    static const char digits[] = "0123456789";
    const char *at = text + (*text == '-' ? 1 : 0);
    const size_t whole = strspn(at, digits);
    if (whole == 0 || (whole > 1 && *at == '0')) {
        return 0;
    }
    at += whole;
    if (*at == '.') {
        const size_t fraction = strspn(at + 1, digits);
        if (fraction == 0) {
            return 0;
        }
        at += 1 + fraction;
    }
    if (*at == 'e' || *at == 'E') {
        const char *exponent = at + 1 + (at[1] == '+' || at[1] == '-' ? 1 : 0);
        const size_t length = strspn(exponent, digits);
        if (length == 0) {
            return 0;
        }
        at = exponent + length;
    }
    return (size_t)(at - text);
}

// The first number at or after `text`, which is valid JSON from there on but for sloppy numbers.
static const char *next_number(const char *text) {
    bool in_string = false;
    for (; *text != '\0'; text++) {
        if (in_string && *text == '\\' && text[1] != '\0') {
            text++;
        } else if (*text == '"') {
            in_string = !in_string;
        } else if (!in_string && (*text == '-' || (*text >= '0' && *text <= '9'))) {
            break;
        }
    }
    return text;
}

// Turns the number nodes of `node`, in the order of the text, into raw nodes. `*at` moves along
// the text; on failure it stays at the number to blame.
static ns_status keep_number_texts(cJSON *node, const char **at) {
    if (cJSON_IsNumber(node)) {
        *at = next_number(*at);
        const size_t length = number_length(*at);
        if (length == 0) {
            return NS_ERR_INPUT;
        }
        char *text = strndup(*at, length);
        if (text == NULL) {
            return NS_ERR_MEMORY;
        }
        node->type = (node->type & ~0xff) | cJSON_Raw;
        node->valuestring = text;
        *at += length;
    }
    for (cJSON *child = node->child; child != NULL; child = child->next) {
        NS_TRY(keep_number_texts(child, at)); // as deep as cJSON's own nesting limit, 1000
    }
    return NS_OK;
}

ns_status ns_json_parse(const char *text, ns_json **out, ns_error *err) {
    const char *at = text;
    cJSON *root = cJSON_ParseWithOpts(text, &at, 1);
    if (root == NULL) {
        return ns_fail(err, NS_ERR_INPUT, "cannot parse JSON: wrong at byte %td", at - text);
    }
    at = text;
    const ns_status status = keep_number_texts(root, &at);
    if (status != NS_OK) {
        cJSON_Delete(root);
        return status == NS_ERR_MEMORY
                   ? ns_fail(err, status, "cannot parse JSON: out of memory")
                   : ns_fail(err, status, "cannot parse JSON: wrong number at byte %td", at - text);
    }
    *out = (ns_json *)root;
    return NS_OK;
}

/* ---- printing ------------------------------------------------------------------------------- */

static bool is_complete(const cJSON *node) {
    bool complete = (node->type & INCOMPLETE_BIT) == 0;
    for (const cJSON *child = node->child; complete && child != NULL; child = child->next) {
        complete = is_complete(child);
    }
    return complete;
}

ns_status ns_json_print(const ns_json *json, bool pretty, char **out, ns_error *err) {
    const cJSON *node = const_node_of(json);
    char *text = NULL;
    if (node != NULL && is_complete(node)) {
        text = pretty ? cJSON_Print(node) : cJSON_PrintUnformatted(node);
    }
    if (text == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot print JSON: out of memory");
    }
    *out = text;
    return NS_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

const ns_json *ns_json_get(const ns_json *object, const char *key) {
    return (const ns_json *)cJSON_GetObjectItemCaseSensitive(const_node_of(object), key);
}

const ns_json *ns_json_at(const ns_json *array, size_t index) {
    return index < ns_json_count(array)
               ? (const ns_json *)cJSON_GetArrayItem(const_node_of(array), (int)index)
               : NULL;
}

size_t ns_json_count(const ns_json *array_or_object) {
    return array_or_object != NULL ? (size_t)cJSON_GetArraySize(const_node_of(array_or_object)) : 0;
}

const char *ns_json_key_at(const ns_json *object, size_t index) {
    const cJSON *member = const_node_of(ns_json_at(object, index));
    return member != NULL ? member->string : NULL;
}

bool ns_json_is_object(const ns_json *value) {
    return cJSON_IsObject(const_node_of(value));
}

bool ns_json_is_array(const ns_json *value) {
    return cJSON_IsArray(const_node_of(value));
}

const ns_json *ns_json_first(const ns_json *array_or_object) {
    return array_or_object != NULL ? (const ns_json *)const_node_of(array_or_object)->child : NULL;
}

const ns_json *ns_json_next(const ns_json *child) {
    return (const ns_json *)const_node_of(child)->next;
}

const char *ns_json_key(const ns_json *child) {
    return const_node_of(child)->string;
}

const char *ns_json_string(const ns_json *object, const char *key, const char *fallback) {
    return ns_json_value_string(ns_json_get(object, key), fallback);
}

int64_t ns_json_int(const ns_json *object, const char *key, int64_t fallback) {
    return int_value(const_node_of(ns_json_get(object, key)), fallback);
}

double ns_json_number(const ns_json *object, const char *key, double fallback) {
    return ns_json_value_number(ns_json_get(object, key), fallback);
}

bool ns_json_bool(const ns_json *object, const char *key, bool fallback) {
    const cJSON *node = const_node_of(ns_json_get(object, key));
    return cJSON_IsBool(node) ? cJSON_IsTrue(node) != 0 : fallback;
}

double ns_json_value_number(const ns_json *value, double fallback) {
    return number_value(const_node_of(value), fallback);
}

const char *ns_json_value_string(const ns_json *value, const char *fallback) {
    const cJSON *node = const_node_of(value);
    return cJSON_IsString(node) ? node->valuestring : fallback;
}

const char *ns_json_value_text(const ns_json *value, char *out, size_t size_bytes) {
    const char *text = ns_json_value_string(value, NULL);
    if (text != NULL) {
        (void)snprintf(out, size_bytes, "%s", text);
    } else {
        (void)snprintf(out, size_bytes, "%g", ns_json_value_number(value, 0));
    }
    return out;
}
