// Which bytes are UTF-8, and how those that are not, or that would steer a terminal, are shown.
//
// File names may hold any bytes but 0 and the slash; JSON, labels and sentences for a person may
// not.

#include <string.h>

#include "base/base.h"

#define ESCAPE_BYTES 4 // \x1b

size_t ns_utf8_length(const char *text) {
    const uint8_t *bytes = (const uint8_t *)text;
    const uint8_t lead = bytes[0];
    if (lead < 0x80) {
        return lead != 0;
    }
    const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    const uint8_t second_min = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t second_max = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (length == 0 || bytes[1] < second_min || bytes[1] > second_max) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

bool ns_utf8_valid(const char *text) {
    size_t length;
    while ((length = ns_utf8_length(text)) > 0) {
        text += length;
    }
    return *text == '\0';
}

// ASCII's control characters, and those of Latin-1, which are two bytes in UTF-8.
static bool is_control(const char *text, size_t length) {
    const uint8_t *bytes = (const uint8_t *)text;
    return (length == 1 && (bytes[0] < 0x20 || bytes[0] == 0x7f)) ||
           (length == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0);
}

void ns_text_escape(const char *text, char *out, size_t size_bytes) {
    static const char digits[] = "0123456789abcdef";
    char *end = out + size_bytes - 1;
    while (*text != '\0') {
        const size_t length = ns_utf8_length(text);
        const bool plain = length > 0 && !is_control(text, length);
        if ((size_t)(end - out) < (plain ? length : ESCAPE_BYTES)) {
            break;
        }
        if (plain) {
            memcpy(out, text, length);
            out += length;
            text += length;
        } else {
            const uint8_t byte = (uint8_t)*text++;
            const char escape[ESCAPE_BYTES] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
            memcpy(out, escape, sizeof(escape));
            out += sizeof(escape);
        }
    }
    *out = '\0';
}
