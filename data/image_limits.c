// What a source image may claim in its header. Asked by every decoder before it takes memory, so that
// a few hostile bytes cannot ask for gigabytes.

#include "data/data_internal.h"

ns_status data__image_check_size(uint64_t width, uint64_t height, ns_error *err) {
    if (width == 0 || height == 0) {
        return ns_fail(err, NS_ERR_INPUT, "its header claims %llux%llu pixels",
                       (unsigned long long)width, (unsigned long long)height);
    }
    if (width > DATA__IMAGE_SIDE_MAX || height > DATA__IMAGE_SIDE_MAX ||
        width * height > DATA__IMAGE_PIXELS_MAX) {
        return ns_fail(err, NS_ERR_INPUT,
                       "its header claims %llux%llu pixels, more than the limit of %d a side and "
                       "%d million in all",
                       (unsigned long long)width, (unsigned long long)height, DATA__IMAGE_SIDE_MAX,
                       (int)(DATA__IMAGE_PIXELS_MAX >> 20));
    }
    return NS_OK;
}
