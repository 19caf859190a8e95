// What a source image may cost. Its header's claim is checked by every decoder before it takes memory,
// so that a few hostile bytes cannot ask for gigabytes; and the time that its pixels take is checked
// while they are decoded. That limit is far above what any image of the largest size needs: it is
// there for what no other limit foresees, and whether it is reached must not depend on how busy the
// machine is; so it is in time of the decoding thread, not of the clock on the wall.

#include <time.h>

#include "data/data_internal.h"

#define PIXELS_BETWEEN_LOOKS (1u << 20)

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

static int64_t thread_cpu_ns(void) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

data__cpu_limit data__cpu_limit_start(int64_t max_ms) {
    return (data__cpu_limit){.max_ms = max_ms, .end_ns = thread_cpu_ns() + max_ms * 1000000};
}

ns_status data__cpu_limit_check(data__cpu_limit *limit, uint64_t pixel_count, ns_error *err) {
    limit->pixel_count += pixel_count;
    if (limit->pixel_count < PIXELS_BETWEEN_LOOKS) {
        return NS_OK;
    }
    limit->pixel_count = 0;
    return thread_cpu_ns() <= limit->end_ns
               ? NS_OK
               : ns_fail(err, NS_ERR_INPUT, "decoding it takes more than %.3g s of a core",
                         (double)limit->max_ms / 1000);
}
