// The variants of the kernels, and which of them this machine runs.
//
// A table of functions and not the compiler's own dispatch (target_clones): that works through
// ifuncs, which sanitizers cannot have before their runtime is up, and which clang 14 lacks.

#include "nn/kernel.h"

#if defined(__x86_64__)
#define NN__CPU_AVX2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#define NN__CPU_AVX512                                                                             \
    (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&                    \
     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
#endif

#define NN__DECLARE(name, condition, lanes, bf16)                                                  \
    extern const nn__norm_kernels nn__norm_##name;                                                 \
    extern const nn__stem_kernels nn__stem_##name;                                                 \
    extern const nn__depthwise_kernels nn__depthwise_##name;                                       \
    extern const nn__point_kernels nn__point_##name;
NN__VARIANT_LIST(NN__DECLARE)
#undef NN__DECLARE

static const nn__variant variants[] = {
#define NN__ROW(name, condition, lanes, bf16)                                                      \
    {#name,                                                                                        \
     lanes,                                                                                        \
     bf16,                                                                                         \
     &nn__norm_##name,                                                                             \
     &nn__stem_##name,                                                                             \
     &nn__depthwise_##name,                                                                        \
     &nn__point_##name},
    NN__VARIANT_LIST(NN__ROW)
#undef NN__ROW
};

static bool runs_here(size_t which) {
    const bool runs[] = {
#define NN__RUNS(name, condition, lanes, bf16) (condition),
        NN__VARIANT_LIST(NN__RUNS)
#undef NN__RUNS
    };
    return runs[which];
}

const nn__variant *nn__variant_at(int index) {
    for (size_t i = 0; i < NS_COUNT_OF(variants); i++) {
        if (runs_here(i) && index-- == 0) {
            return &variants[i];
        }
    }
    return NULL;
}

const nn__variant *nn__variant_for(int lanes, bool bf16) {
    for (size_t i = NS_COUNT_OF(variants); i-- > 0;) {
        if (runs_here(i) && variants[i].lanes == lanes && variants[i].bf16 == bf16) {
            return &variants[i];
        }
    }
    return NULL;
}

nn__span nn__span_share(int count, int parts, int which) {
    return (nn__span){(int)((int64_t)count * which / parts),
                      (int)((int64_t)count * (which + 1) / parts)};
}
