// PNG, JPEG and WebP: header, decoding, and the scaling of what was decoded.

#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"
#include "tests/fuzz/fuzz.h"

enum {
    SIDE = 8,
    PIXELS_MAX = 1 << 22, // larger ones are decoded but not scaled, to stay quick
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    ns_error err = {0};
    data_image image = {0};
    data__image_header header = {0};
    uint8_t planes[3 * SIDE * SIDE];
    data__content content = {.bytes = malloc(size_bytes + 1), .size_bytes = size_bytes};
    if (content.bytes == NULL) {
        return 0;
    }
    memcpy(content.bytes, bytes, size_bytes);
    const bool headed = data__content_header(&content, &header, &err) == NS_OK;
    if (data__content_decode(&content, &image, &err) == NS_OK) {
        if (headed && image.channels != header.channels) {
            abort(); // sizes are chosen from headers: they must tell what decoding gives
        }
        if ((int64_t)image.width * image.height <= PIXELS_MAX) {
            (void)data_image_fit(&image, 3, SIDE, SIDE, planes, &err);
            (void)data_image_fit(&image, 1, SIDE, SIDE - 3, planes, &err);
        }
    }
    data_image_free(&image);
    data__content_free(&content);
    return 0;
}
