// Names of studies: they become folders and words of a command line, so they stay plain.

#include <string.h>

#include "cli/cli_internal.h"

#define NAME_MAX_BYTES (CLI_NAME_BYTES - 1)

static bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

ns_status cli__name_check(const char *name, ns_error *err) {
    const size_t length = strlen(name);
    bool plain = length > 0 && length <= NAME_MAX_BYTES && name[0] != '.' && name[0] != '-';
    for (size_t i = 0; i < length; i++) {
        plain = plain && is_plain(name[i]);
    }
    return plain ? NS_OK
                 : ns_fail(err, NS_ERR_USAGE,
                           "cannot name a study \"%.80s\": a name has up to %d letters, digits, "
                           "dots, dashes and underscores, and starts with no dot or dash",
                           name, NAME_MAX_BYTES);
}

void cli__name_from_path(const char *path, char out[CLI_NAME_BYTES]) {
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') {
        end--;
    }
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    const char *dot = memrchr(path + begin, '.', end - begin);
    if (dot != NULL && dot > path + begin) {
        end = (size_t)(dot - path);
    }
    size_t length = 0;
    for (size_t i = begin; i < end && length < NAME_MAX_BYTES; i++) {
        const bool legal = is_plain(path[i]) && (length > 0 || (path[i] != '.' && path[i] != '-'));
        out[length++] = legal ? path[i] : '_';
    }
    out[length] = '\0';
}
