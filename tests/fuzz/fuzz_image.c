// PNG and JPEG decoding, and the scaling of what was decoded.

#include "data/data.h"
#include "tests/fuzz/fuzz.h"

enum {
    SIDE = 8,
    PIXELS_MAX = 1 << 22, // larger ones are decoded but not scaled, to stay quick
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    ns_error err = {0};
    data_image image = {0};
    uint8_t planes[3 * SIDE * SIDE];
    if (data_image_decode(bytes, size_bytes, "fuzz", &image, &err) == NS_OK &&
        (int64_t)image.width * image.height <= PIXELS_MAX) {
        (void)data_image_fit(&image, 3, SIDE, SIDE, planes, &err);
        (void)data_image_fit(&image, 1, SIDE, SIDE - 3, planes, &err);
    }
    data_image_free(&image);
    return 0;
}
