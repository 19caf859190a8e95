// Numeric types by name, and which one this machine trains in.

#include <string.h>

#include "nn/nn_internal.h"

static const char *const names[] = {
    [NN_DTYPE_AUTO] = "auto",
    [NN_DTYPE_F32] = "f32",
    [NN_DTYPE_BF16] = "bf16",
};

const char *nn_dtype_name(nn_dtype dtype) {
    return names[dtype];
}

ns_status nn_dtype_parse(const char *name, nn_dtype *out, ns_error *err) {
    for (size_t i = 0; i < NS_COUNT_OF(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (nn_dtype)i;
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_USAGE, "one of these is needed: auto, f32, bf16");
}

nn_dtype nn_dtype_resolve(nn_dtype dtype) {
    if (dtype != NN_DTYPE_AUTO) {
        return dtype;
    }
    return nn__onednn_has_bf16() ? NN_DTYPE_BF16 : NN_DTYPE_F32;
}

nn_platform nn_platform_describe(void) {
    nn_platform platform = {0};
    (void)snprintf(platform.numeric_types, sizeof platform.numeric_types, "%s",
                   nn__onednn_has_bf16() ? "f32 and bf16" : "f32");
    nn__onednn_describe(&platform);
    return platform;
}
