// bf16: the upper half of an f32 (Kalamkar et al. 2019). Widening is exact; narrowing rounds to
// nearest even, and a NaN stays one.
//
// Plain loops that every compiler turns into vectors. They run on stretches that lie in the
// first-level cache.

#include <string.h>

#include "nn/nn_internal.h"

void nn__bf16_widen(const uint16_t *restrict from, float *restrict to, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = (uint32_t)from[i] << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
}

void nn__bf16_narrow(const float *restrict from, uint16_t *restrict to, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        const uint32_t quiet = (bits >> 16) | 0x40;
        to[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
    }
}
