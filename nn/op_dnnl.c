// The oneDNN backend.

#include <stdio.h>

#include <oneapi/dnnl/dnnl.h>

#include "nn/nn_internal.h"

void nn__onednn_describe(nn_platform *platform) {
    const dnnl_version_t *version = dnnl_version();
    (void)snprintf(platform->library, sizeof platform->library, "oneDNN %d.%d.%d", version->major,
                   version->minor, version->patch);
}
