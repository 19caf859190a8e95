// Random streams: xoshiro256** (Blackman & Vigna, "Scrambled linear pseudorandom number
// generators", 2021), seeded through SplitMix64 as its authors advise.
//
// A stream is named by (seed, index, purpose). The three are folded one after the other through
// SplitMix64's bijective finaliser, so that neighbouring seeds and indices give unrelated streams
// and adding a new purpose never disturbs the numbers that an old one draws.

#include <assert.h>
#include <math.h>

#include "base/base.h"

#define GOLDEN_GAMMA 0x9e3779b97f4a7c15U // 2^64 / golden ratio, SplitMix64's increment

__extension__ typedef unsigned __int128 uint128;

static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

// FNV-1a, 64 bits.
static uint64_t hash_name(const char *name) {
    uint64_t hash = 0xcbf29ce484222325U;
    for (const char *c = name; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3U;
    }
    return hash;
}

ns_rng ns_rng_stream(uint64_t seed, uint64_t index, const char *purpose) {
    uint64_t state = mix(seed + GOLDEN_GAMMA);
    state = mix((state ^ index) + GOLDEN_GAMMA);
    state = mix((state ^ hash_name(purpose)) + GOLDEN_GAMMA);
    ns_rng rng;
    for (size_t i = 0; i < NS_COUNT_OF(rng.word); i++) {
        state += GOLDEN_GAMMA; // four different arguments of a bijection: never all zero
        rng.word[i] = mix(state);
    }
    return rng;
}

static uint64_t rotate_left(uint64_t x, int bits) {
    return (x << bits) | (x >> (64 - bits));
}

uint64_t ns_rng_next(ns_rng *rng) {
    uint64_t *s = rng->word;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t ns_rng_below(ns_rng *rng, uint64_t bound) {
    assert(bound > 0);
    // Lemire, "Fast random integer generation in an interval", 2019: the high half of a 128-bit
    // product, with the draws rejected that would make some results one draw likelier.
    uint128 product = (uint128)ns_rng_next(rng) * bound;
    if ((uint64_t)product < bound) {
        const uint64_t threshold = -bound % bound; // 2^64 mod bound
        while ((uint64_t)product < threshold) {
            product = (uint128)ns_rng_next(rng) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}

double ns_rng_unit(ns_rng *rng) {
    return (double)(ns_rng_next(rng) >> 11) * 0x1p-53;
}

double ns_rng_normal(ns_rng *rng) {
    const double radius = sqrt(-2.0 * log(1.0 - ns_rng_unit(rng))); // 1 - [0, 1): log stays finite
    return radius * cos(2.0 * M_PI * ns_rng_unit(rng));
}

// Logarithm of a Gamma(shape) variate: Marsaglia & Tsang, "A simple method for generating gamma
// variables", 2000. A shape below 1 is raised by 1 and the draw multiplied by unit^(1 / shape); as
// a logarithm that is finite also where the variate itself would be 0.
static double log_gamma(ns_rng *rng, double shape) {
    const double raised = shape < 1.0 ? shape + 1.0 : shape;
    const double d = raised - 1.0 / 3.0;
    const double c = 1.0 / sqrt(9.0 * d);
    double normal = 0.0;
    double cube = 0.0;
    do {
        normal = ns_rng_normal(rng);
        const double root = 1.0 + c * normal;
        cube = root > 0.0 ? root * root * root : 0.0;
    } while (cube <= 0.0 ||
             log(1.0 - ns_rng_unit(rng)) >= 0.5 * normal * normal + d * (1.0 - cube + log(cube)));
    const double raise = shape < 1.0 ? log(1.0 - ns_rng_unit(rng)) / shape : 0.0;
    return log(d * cube) + raise;
}

double ns_rng_beta(ns_rng *rng, double a, double b) {
    assert(a > 0.0 && b > 0.0);
    const double log_x = log_gamma(rng, a);
    const double log_y = log_gamma(rng, b);
    return 1.0 / (1.0 + exp(log_y - log_x)); // x / (x + y); exp may be 0 or infinite
}

void ns_rng_shuffle(ns_rng *rng, uint32_t *indices, size_t count) {
    for (size_t left = count; left > 1; left--) {
        const size_t other = (size_t)ns_rng_below(rng, left);
        const uint32_t kept = indices[left - 1];
        indices[left - 1] = indices[other];
        indices[other] = kept;
    }
}
