// The vectors of one variant, for nn/kernel_*_simd.c alone: NN__VARIANT, NN__LANES and NN__BF16 come
// from nn/CMakeLists.txt with the variant's compiler flags.
//
// GCC's vector extensions, which clang shares: a `vec` is one chunk's lanes of one pixel, whatever
// registers the machine has for it. Comparisons give lanes of -1 or 0 (`mask`).

#ifndef NS_NN_KERNEL_SIMD_H
#define NS_NN_KERNEL_SIMD_H

#include <string.h>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "nn/kernel.h"

#ifndef NN__VARIANT // an editor or a linter looks at the file by itself
#define NN__VARIANT base_f32
#define NN__LANES   8
#define NN__BF16    0
#endif

#define NN__JOIN_(a, b) a##_##b
#define NN__JOIN(a, b)  NN__JOIN_(a, b)
/// The variant's own `name`.
#define NN__OF_VARIANT(name) NN__JOIN(name, NN__VARIANT)

#define LANES  NN__LANES
#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__) && NN__LANES == 16
#define AVX512 1 // compilers do not find its conversions and masks by themselves
#else
#define AVX512 0
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t indices __attribute__((vector_size(LANES * 4)));
typedef uint32_t bits __attribute__((vector_size(LANES * 4)));
typedef uint16_t halves __attribute__((vector_size(LANES * 2)));
typedef uint8_t bytes __attribute__((vector_size(LANES)));

#if NN__BF16
typedef uint16_t element;
#else
typedef float element;
#endif

/* ---- bits and choices ------------------------------------------------------------------------ */

INLINE vec vec_of(float value) {
    return (vec){0} + value;
}

INLINE vec vec_from_bits(bits b) {
    return (vec)b;
}

INLINE bits bits_of(vec v) {
    return (bits)v;
}

INLINE vec vec_abs(vec v) {
    return (vec)((bits)v & 0x7fffffff);
}

/// A choice has one bit or all bits of a lane set where it holds.
#if AVX512

typedef __mmask16 choice;

INLINE choice vec_above(vec a, vec b) {
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
}

INLINE choice indices_equal(indices i, int k) {
    return _mm512_cmpeq_epi32_mask((__m512i)i, _mm512_set1_epi32(k));
}

INLINE vec vec_where(choice c, vec v) {
    return (vec)_mm512_maskz_mov_ps(c, (__m512)v);
}

INLINE vec vec_select(choice c, vec yes, vec no) {
    return (vec)_mm512_mask_blend_ps(c, (__m512)no, (__m512)yes);
}

INLINE indices indices_select(choice c, int yes, indices no) {
    return (indices)_mm512_mask_blend_epi32(c, (__m512i)no, _mm512_set1_epi32(yes));
}

#else

typedef indices choice;

INLINE choice vec_above(vec a, vec b) {
    return a > b;
}

INLINE choice indices_equal(indices i, int k) {
    return i == k;
}

/// `v` where `c`, else 0.
INLINE vec vec_where(choice c, vec v) {
    return (vec)(c & (indices)v);
}

INLINE vec vec_select(choice c, vec yes, vec no) {
    return (vec)((c & (indices)yes) | (~c & (indices)no));
}

INLINE indices indices_select(choice c, int yes, indices no) {
    return (c & yes) | (~c & no);
}

#endif

/* ---- memory ---------------------------------------------------------------------------------- */

INLINE vec load_floats(const float *from) {
    vec v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store_floats(float *to, vec v) {
    memcpy(to, &v, sizeof v);
}

INLINE indices load_bytes(const uint8_t *from) {
    bytes b;
    memcpy(&b, from, sizeof b);
#if AVX512
    return (indices)_mm512_cvtepu8_epi32((__m128i)b);
#else
    return __builtin_convertvector(b, indices);
#endif
}

INLINE void store_bytes(uint8_t *to, indices i) {
#if AVX512
    const bytes b = (bytes)_mm512_cvtepi32_epi8((__m512i)i);
#else
    const bytes b = __builtin_convertvector(i, bytes);
#endif
    memcpy(to, &b, sizeof b);
}

#if NN__BF16

INLINE vec load(const element *from) {
    halves h;
    memcpy(&h, from, sizeof h);
#if AVX512
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)h), 16);
#else
    return (vec)(__builtin_convertvector(h, bits) << 16);
#endif
}

INLINE halves halves_of(vec v) {
#if AVX512 && defined(__AVX512BF16__)
    return (halves)_mm512_cvtneps_pbh((__m512)v);
#else
    const bits b = (bits)v, nan = (bits)((b & 0x7fffffff) > 0x7f800000);
    const bits rounded = (b + 0x7fff + ((b >> 16) & 1)) >> 16, quiet = (b >> 16) | 0x40;
    const bits chosen = (rounded & ~nan) | (quiet & nan);
#if AVX512
    return (halves)_mm512_cvtepi32_epi16((__m512i)chosen);
#else
    return __builtin_convertvector(chosen, halves);
#endif
#endif
}

INLINE void store(element *to, vec v) {
    const halves h = halves_of(v);
    memcpy(to, &h, sizeof h);
}

#else

INLINE vec load(const element *from) {
    return load_floats(from);
}

INLINE void store(element *to, vec v) {
    store_floats(to, v);
}

#endif

/* ---- activations ----------------------------------------------------------------------------- */

/// e^v to 2e-7 relative, for v clamped to [-87, 88]: 2^n times a polynomial on +-ln(2)/2 (Cephes).
INLINE vec vec_exp(vec v) {
    v = vec_select(vec_above(vec_of(-87.0F), v), vec_of(-87.0F), v);
    v = vec_select(vec_above(v, vec_of(88.0F)), vec_of(88.0F), v);
    const float to_integer = 12582912.0F; // 1.5 * 2^23: adding it rounds
    const vec shifted = v * 1.44269504F + to_integer;
    const vec n = shifted - to_integer;
    const vec r = (v - n * 0.693359375F) + n * 2.12194440e-4F;
    vec p = vec_of(1.9875691500e-4F);
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    return vec_from_bits(bits_of(p) + (bits_of(shifted) << 23));
}

INLINE vec vec_sigmoid(vec v) {
    return 1.0F / (1.0F + vec_exp(-v));
}

/// The normal distribution's Phi(v) and phi(v), to 1e-7: erf as Abramowitz & Stegun 7.1.26, whose
/// exponential is phi's own.
INLINE vec vec_normal(vec v, vec *density) {
    const vec e = vec_exp(v * v * -0.5F);
    const vec t = 1.0F / (1.0F + 0.3275911F * 0.70710678F * vec_abs(v));
    vec p = vec_of(1.061405429F);
    p = p * t - 1.453152027F;
    p = p * t + 1.421413741F;
    p = p * t - 0.284496736F;
    p = p * t + 0.254829592F;
    const vec tail = 0.5F * p * t * e; // Phi(-|v|)
    *density = 0.39894228F * e;
    return vec_select(vec_above((vec){0}, v), tail, 1.0F - tail);
}

/// `activation` is a constant wherever this is inlined.
INLINE vec activate(nn_activation activation, vec z) {
    vec density;
    switch (activation) {
    case NN_ACTIVATION_RELU:
        return vec_where(vec_above(z, (vec){0}), z);
    case NN_ACTIVATION_SILU:
        return z * vec_sigmoid(z);
    case NN_ACTIVATION_GELU:
        return z * vec_normal(z, &density);
    default:
        return z;
    }
}

/// dy times the activation's slope at z.
INLINE vec activate_backward(nn_activation activation, vec z, vec dy) {
    vec density, s;
    switch (activation) {
    case NN_ACTIVATION_RELU:
        return vec_where(vec_above(z, (vec){0}), dy);
    case NN_ACTIVATION_SILU:
        s = vec_sigmoid(z);
        return dy * (s + z * s * (1.0F - s));
    case NN_ACTIVATION_GELU:
        s = vec_normal(z, &density);
        return dy * (s + z * density);
    default:
        return dy;
    }
}

#define WITH_ACTIVATION_(kind, call)                                                               \
    case kind: {                                                                                   \
        const nn_activation activation = kind;                                                     \
        call;                                                                                      \
    } break

/// Runs `call`, in which `activation` is a constant, the one that is `chosen`.
#define WITH_ACTIVATION(chosen, call)                                                              \
    switch (chosen) {                                                                              \
        WITH_ACTIVATION_(NN_ACTIVATION_RELU, call);                                                \
        WITH_ACTIVATION_(NN_ACTIVATION_SILU, call);                                                \
        WITH_ACTIVATION_(NN_ACTIVATION_GELU, call);                                                \
        WITH_ACTIVATION_(NN_ACTIVATION_NONE, call);                                                \
    default:                                                                                       \
        break;                                                                                     \
    }

#endif
