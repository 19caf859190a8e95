// One thread's share of a Winograd convolution: compiled for AVX-512 with bf16 alone, called only
// where nn__winograd_available().
//
// Tiles are numbered through all images, row by row, and worked on in blocks that fit the
// second-level cache with all their channels:
//
//   input tiles -> V [16][tile][C]  -> M [16][tile][64 of K] -> output tiles, for each 64 of K
//   both sides' tiles, in pairs     -> sums [16][C][K] += V' D
//
// The instruction multiplies pairs of bf16 and adds them to one f32 (VDPBF16PS): pairs of channels
// in the products, pairs of tiles in the sums. Arrays of the 16 places of a tile are PAD apart from
// multiples of 4096 bytes; without it they would share a few sets of the first-level cache, which
// doubles the time.

#include "nn/kernel_winograd.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    PLACES = 16,        // of a tile
    LANES = 16,         // channels of a vector
    PRODUCT_TILES = 48, // of a block; a multiple of every micro kernel's rows
    SUM_TILES = 128,    // the same for sums
    PAD = 32,           // elements
    VECTORS_MAX = 4,    // of K at a time
};

/* ---- tiles ----------------------------------------------------------------------------------- */

typedef struct tiling {
    int rows, columns, count; // of tiles: in an image's height and width, in all images
    int height, width;
    size_t plane; // elements of one image's block of channels
} tiling;

static tiling tiling_of(const nn__winograd_part *p) {
    tiling t = {.rows = (p->height + 1) / 2,
                .columns = (p->width + 1) / 2,
                .height = p->height,
                .width = p->width,
                .plane = (size_t)p->height * (size_t)p->width * LANES};
    t.count = p->image_count * t.rows * t.columns;
    return t;
}

/// Where a tile's outputs begin.
typedef struct spot {
    int image, y, x;
} spot;

INLINE spot spot_of(const tiling *t, int tile) {
    const int inside = tile % (t->rows * t->columns);
    return (spot){tile / (t->rows * t->columns), inside / t->columns * 2, inside % t->columns * 2};
}

/// The blocks of `size` things of `count` that a part works on.
typedef struct range {
    int first, end;
} range;

static range blocks_of(const nn__winograd_part *p, int count, int size) {
    const int64_t blocks = (count + size - 1) / size;
    return (range){(int)(blocks * p->part / p->part_count),
                   (int)(blocks * (p->part + 1) / p->part_count)};
}

INLINE int smaller(int a, int b) {
    return a < b ? a : b;
}

/* ---- vectors of 16 channels ------------------------------------------------------------------ */

INLINE __m512 widen(const uint16_t *from) {
    const __m256i halves = _mm256_loadu_si256((const void *)from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

INLINE void narrow(uint16_t *to, __m512 v) {
    _mm256_storeu_si256((void *)to, (__m256i)_mm512_cvtneps_pbh(v));
}

/// a0 b0 a1 b1 ... a15 b15.
INLINE __m512i pairs(__m512 a, __m512 b) {
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a));
}

/// A pair of bf16 in all lanes.
INLINE __m512bh repeat(const uint16_t *pair) {
    int bits;
    memcpy(&bits, pair, sizeof bits);
    return (__m512bh)_mm512_set1_epi32(bits);
}

/* ---- transforms ------------------------------------------------------------------------------ */

/// v = B' d B, where d are the 4x4 pixels around the tile, zero outside the map.
INLINE void input_tile(const tiling *t, const uint16_t *map, spot at, __m512 v[PLACES]) {
    __m512 d[PLACES], r[PLACES];
    const int y0 = at.y - 1, x0 = at.x - 1;
    if (y0 >= 0 && x0 >= 0 && y0 + 4 <= t->height && x0 + 4 <= t->width) {
        const uint16_t *from = map + (size_t)(y0 * t->width + x0) * LANES;
        for (int i = 0; i < PLACES; i++) {
            d[i] = widen(from + (size_t)(i / 4 * t->width + i % 4) * LANES);
        }
    } else {
        for (int i = 0; i < PLACES; i++) {
            const int y = y0 + i / 4, x = x0 + i % 4;
            const bool inside = y >= 0 && x >= 0 && y < t->height && x < t->width;
            d[i] = inside ? widen(map + (size_t)(y * t->width + x) * LANES) : _mm512_setzero_ps();
        }
    }
    for (int j = 0; j < 4; j++) {
        r[j] = d[j] - d[8 + j];
        r[4 + j] = d[4 + j] + d[8 + j];
        r[8 + j] = d[8 + j] - d[4 + j];
        r[12 + j] = d[4 + j] - d[12 + j];
    }
    for (int i = 0; i < PLACES; i += 4) {
        v[i] = r[i] - r[i + 2];
        v[i + 1] = r[i + 1] + r[i + 2];
        v[i + 2] = r[i + 2] - r[i + 1];
        v[i + 3] = r[i + 1] - r[i + 3];
    }
}

/// v = A d A', where d are the tile's 2x2 pixels, zero outside the map.
INLINE void gradient_tile(const tiling *t, const uint16_t *map, spot at, __m512 v[PLACES]) {
    const __m512 zero = _mm512_setzero_ps();
    const uint16_t *from = map + (size_t)(at.y * t->width + at.x) * LANES;
    const uint16_t *below = from + (size_t)t->width * LANES;
    const bool wide = at.x + 1 < t->width, high = at.y + 1 < t->height;
    const __m512 a = widen(from), b = wide ? widen(from + LANES) : zero;
    const __m512 c = high ? widen(below) : zero, d = high && wide ? widen(below + LANES) : zero;
    const __m512 r[8] = {a, b, a + c, b + d, a - c, b - d, zero - c, zero - d};
    for (size_t i = 0; i < 4; i++) {
        v[4 * i] = r[2 * i];
        v[4 * i + 1] = r[2 * i] + r[2 * i + 1];
        v[4 * i + 2] = r[2 * i] - r[2 * i + 1];
        v[4 * i + 3] = zero - r[2 * i + 1];
    }
}

/// Writes A' m A, as far as it lies within the map.
INLINE void output_tile(const tiling *t, const float *m, size_t place, uint16_t *map, spot at) {
    __m512 v[PLACES], r[8];
    for (int i = 0; i < PLACES; i++) {
        v[i] = _mm512_loadu_ps(m + (size_t)i * place);
    }
    for (int j = 0; j < 4; j++) {
        r[j] = v[j] + v[4 + j] + v[8 + j];
        r[4 + j] = v[4 + j] - v[8 + j] - v[12 + j];
    }
    const bool wide = at.x + 1 < t->width;
    const size_t rows = at.y + 1 < t->height ? 2 : 1;
    for (size_t i = 0; i < rows; i++) {
        uint16_t *to = map + (size_t)((at.y + (int)i) * t->width + at.x) * LANES;
        narrow(to, r[4 * i] + r[4 * i + 1] + r[4 * i + 2]);
        if (wide) {
            narrow(to + LANES, r[4 * i + 1] - r[4 * i + 2] - r[4 * i + 3]);
        }
    }
}

/// v = G g G'.
INLINE void weight_tile(const __m512 g[NN__WINOGRAD_TAPS], __m512 v[PLACES]) {
    const __m512 half = _mm512_set1_ps(0.5F);
    __m512 r[12];
    for (int j = 0; j < 3; j++) {
        r[j] = g[j];
        r[3 + j] = half * (g[j] + g[3 + j] + g[6 + j]);
        r[6 + j] = half * (g[j] - g[3 + j] + g[6 + j]);
        r[9 + j] = g[6 + j];
    }
    for (size_t i = 0; i < 4; i++) {
        const __m512 a = r[3 * i], b = r[3 * i + 1], c = r[3 * i + 2];
        v[4 * i] = a;
        v[4 * i + 1] = half * (a + b + c);
        v[4 * i + 2] = half * (a - b + c);
        v[4 * i + 3] = c;
    }
}

/* ---- weights --------------------------------------------------------------------------------- */

/// Vectors of the group of 64 outputs that begins at `first`.
INLINE int vectors_at(int out, int first) {
    return smaller((out - first) / LANES, VECTORS_MAX);
}

/// Transformed weights lie as [64 of outputs][place][pair of inputs][vector][output][2]: place 0 of
/// a pair of inputs `i` and of the vector that begins with output `o`; the next place is
/// `in * 16 * vectors` further.
INLINE uint16_t *transformed_at(uint16_t *all, int in, int out, int i, int o) {
    const int first = o / 64 * 64, vectors = vectors_at(out, first);
    return all + (size_t)first * PLACES * (size_t)in +
           (size_t)(i / 2 * vectors + (o - first) / LANES) * 2 * LANES;
}

void nn__winograd_weights(const nn__winograd_part *p, const float *weights, uint16_t *transformed) {
    const size_t tap = (size_t)p->in * (size_t)p->out;
    const range rows = blocks_of(p, p->in, 2);
    for (int i = 2 * rows.first; i < 2 * rows.end; i += 2) {
        for (int o = 0; o < p->out; o += LANES) {
            __m512 g[NN__WINOGRAD_TAPS], v[2][PLACES];
            for (int k = 0; k < 2; k++) {
                const float *from = weights + (size_t)(i + k) * (size_t)p->out + o;
                for (int j = 0; j < NN__WINOGRAD_TAPS; j++) {
                    g[j] = _mm512_loadu_ps(from + (size_t)j * tap);
                }
                weight_tile(g, v[k]);
            }
            uint16_t *to = transformed_at(transformed, p->in, p->out, i, o);
            const size_t place = (size_t)p->in * LANES * (size_t)vectors_at(p->out, o / 64 * 64);
            for (int j = 0; j < PLACES; j++) {
                _mm512_storeu_si512(to + (size_t)j * place, pairs(v[0][j], v[1][j]));
            }
        }
    }
}

void nn__winograd_weights_turned(const nn__winograd_part *p, const float *weights,
                                 uint16_t *transformed) {
    const size_t tap = (size_t)p->in * (size_t)p->out;
    const range rows = blocks_of(p, p->in, 1);
    for (int i = rows.first; i < rows.end; i++) {
        const int vectors = vectors_at(p->in, i / 64 * 64);
        const size_t place = (size_t)p->out * LANES * (size_t)vectors;
        for (int o = 0; o < p->out; o += LANES) {
            __m512 g[NN__WINOGRAD_TAPS], v[PLACES];
            for (int j = 0; j < NN__WINOGRAD_TAPS; j++) {
                g[NN__WINOGRAD_TAPS - 1 - j] =
                    _mm512_loadu_ps(weights + (size_t)j * tap + (size_t)i * (size_t)p->out + o);
            }
            weight_tile(g, v);
            uint16_t *to = transformed_at(transformed, p->out, p->in, o, i / LANES * LANES) +
                           (size_t)(i % LANES) * 2;
            for (int j = 0; j < PLACES; j++) {
                uint32_t halves[LANES / 2];
                narrow((uint16_t *)halves, v[j]);
                for (int k = 0; k < LANES / 2; k++) {
                    memcpy(to + (size_t)j * place + (size_t)(k * vectors) * 2 * LANES, &halves[k],
                           sizeof *halves);
                }
            }
        }
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/// m [R][16 S] = v u, or += v u when `add`, over `count` pairs of bf16. Rows of v are `v_row` apart
/// and rows of m `m_row`; from a pair to the next it is `v_pair` in v and `u_pair` in u.
#define PRODUCT(R, S)                                                                              \
    INLINE void product_##R##_##S(const uint16_t *v, size_t v_row, size_t v_pair,                  \
                                  const uint16_t *u, size_t u_pair, int count, bool add, float *m, \
                                  size_t m_row) {                                                  \
        __m512 sum[R][S];                                                                          \
        for (int r = 0; r < (R); r++) {                                                            \
            for (int s = 0; s < (S); s++) {                                                        \
                sum[r][s] = add ? _mm512_loadu_ps(m + (size_t)r * m_row + (size_t)s * LANES)       \
                                : _mm512_setzero_ps();                                             \
            }                                                                                      \
        }                                                                                          \
        for (int i = 0; i < count; i++) {                                                          \
            __m512bh column[S];                                                                    \
            for (int s = 0; s < (S); s++) {                                                        \
                column[s] =                                                                        \
                    (__m512bh)_mm512_loadu_si512(u + (size_t)i * u_pair + (size_t)s * 2 * LANES);  \
            }                                                                                      \
            _Pragma("GCC unroll 32") for (int r = 0; r < (R); r++) {                               \
                const __m512bh row = repeat(v + (size_t)r * v_row + (size_t)i * v_pair);           \
                for (int s = 0; s < (S); s++) {                                                    \
                    sum[r][s] = _mm512_dpbf16_ps(sum[r][s], row, column[s]);                       \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        for (int r = 0; r < (R); r++) {                                                            \
            for (int s = 0; s < (S); s++) {                                                        \
                _mm512_storeu_ps(m + (size_t)r * m_row + (size_t)s * LANES, sum[r][s]);            \
            }                                                                                      \
        }                                                                                          \
    }
PRODUCT(6, 4)
PRODUCT(8, 3)
PRODUCT(12, 2)
PRODUCT(24, 1)
PRODUCT(8, 2)
PRODUCT(8, 1)

/// `rows` are rounded up to whole micro kernels: what they write beyond is never read.
static void product(const uint16_t *v, size_t v_row, const uint16_t *u, int count, float *m,
                    int vectors, int rows) {
    const size_t m_row = (size_t)vectors * LANES;
    for (int r = 0; r < rows;) {
        const uint16_t *from = v + (size_t)r * v_row;
        float *to = m + (size_t)r * m_row;
        switch (vectors) {
        case 4:
            product_6_4(from, v_row, 2, u, (size_t)4 * 2 * LANES, count, false, to, m_row);
            r += 6;
            break;
        case 3:
            product_8_3(from, v_row, 2, u, (size_t)3 * 2 * LANES, count, false, to, m_row);
            r += 8;
            break;
        case 2:
            product_12_2(from, v_row, 2, u, (size_t)2 * 2 * LANES, count, false, to, m_row);
            r += 12;
            break;
        default:
            product_24_1(from, v_row, 2, u, (size_t)1 * 2 * LANES, count, false, to, m_row);
            r += 24;
            break;
        }
    }
}

static size_t product_v_place(int in) {
    return (size_t)PRODUCT_TILES * (size_t)in + PAD;
}

static const size_t product_m_place = (size_t)PRODUCT_TILES * VECTORS_MAX * LANES + PAD;

size_t nn__winograd_product_scratch_bytes(int in) {
    return PLACES * (product_v_place(in) * sizeof(uint16_t) + product_m_place * sizeof(float));
}

/// Fills V from tiles [first, first + count).
static void read_tiles(const nn__winograd_part *p, const tiling *t, const uint16_t *x, int first,
                       int count, uint16_t *v) {
    const size_t v_place = product_v_place(p->in);
    for (int block = 0; block < p->in / LANES; block++) {
        for (int i = 0; i < count; i++) {
            const spot at = spot_of(t, first + i);
            __m512 tile[PLACES];
            input_tile(t, x + (size_t)(at.image * (p->in / LANES) + block) * t->plane, at, tile);
            uint16_t *to = v + (size_t)i * (size_t)p->in + (size_t)block * LANES;
            for (int j = 0; j < PLACES; j++) {
                narrow(to + (size_t)j * v_place, tile[j]);
            }
        }
    }
}

/// Writes the outputs of these tiles for the vectors of channels that begin at `out`.
static void write_tiles(const nn__winograd_part *p, const tiling *t, const float *m, int vectors,
                        int out, int first, int count, uint16_t *y) {
    for (int s = 0; s < vectors; s++) {
        for (int i = 0; i < count; i++) {
            const spot at = spot_of(t, first + i);
            output_tile(t, m + (size_t)(i * vectors + s) * LANES, product_m_place,
                        y + (size_t)(at.image * (p->out / LANES) + out / LANES + s) * t->plane, at);
        }
    }
}

void nn__winograd_product(const nn__winograd_part *p, const uint16_t *x,
                          const uint16_t *transformed, uint16_t *y, void *scratch) {
    const tiling t = tiling_of(p);
    const size_t v_place = product_v_place(p->in);
    float *m = scratch;
    uint16_t *v = (void *)(m + PLACES * product_m_place);
    const range blocks = blocks_of(p, t.count, PRODUCT_TILES);
    for (int block = blocks.first; block < blocks.end; block++) {
        const int first = block * PRODUCT_TILES;
        const int count = smaller(t.count - first, PRODUCT_TILES);
        read_tiles(p, &t, x, first, count, v);
        for (int out = 0; out < p->out; out += 64) {
            const int vectors = vectors_at(p->out, out);
            const uint16_t *u = transformed + (size_t)out * PLACES * (size_t)p->in;
            for (int j = 0; j < PLACES; j++) {
                product(v + (size_t)j * v_place, (size_t)p->in,
                        u + (size_t)(j * p->in * vectors) * LANES, p->in / 2,
                        m + (size_t)j * product_m_place, vectors, count);
            }
            write_tiles(p, &t, m, vectors, out, first, count, y);
        }
    }
}

/* ---- sums ------------------------------------------------------------------------------------ */

/// sums += v' d over `count` pairs of tiles.
static void add_products(const nn__winograd_part *p, const uint16_t *v, const uint16_t *d,
                         int count, float *sums) {
    const size_t v_pair = 2 * (size_t)p->in, d_pair = 2 * (size_t)p->out, row = (size_t)p->out;
    for (int i = 0; i < p->in; i += 8) {
        for (int o = 0; o < p->out;) {
            const int left = (p->out - o) / LANES;
            float *to = sums + (size_t)i * row + o;
            if (left >= 3 && left != 4) {
                product_8_3(v + 2 * (size_t)i, 2, v_pair, d + 2 * (size_t)o, d_pair, count, true,
                            to, row);
                o += 3 * LANES;
            } else if (left >= 2) {
                product_8_2(v + 2 * (size_t)i, 2, v_pair, d + 2 * (size_t)o, d_pair, count, true,
                            to, row);
                o += 2 * LANES;
            } else {
                product_8_1(v + 2 * (size_t)i, 2, v_pair, d + 2 * (size_t)o, d_pair, count, true,
                            to, row);
                o += LANES;
            }
        }
    }
}

static size_t sums_place(int channels) {
    return (size_t)SUM_TILES * (size_t)channels + PAD;
}

size_t nn__winograd_sums_count(const nn__winograd *w) {
    return PLACES * (size_t)w->in * (size_t)w->out;
}

size_t nn__winograd_sums_scratch_bytes(const nn__winograd *w) {
    return PLACES * (sums_place(w->in) + sums_place(w->out)) * sizeof(uint16_t);
}

/// Fills `to` [place][pair of tiles][channel][2] from tiles [first, first + count); the odd last
/// one's partner is zero.
static void read_pairs(const tiling *t, const uint16_t *map, int channels, bool gradient, int first,
                       int count, uint16_t *to) {
    for (int block = 0; block < channels / LANES; block++) {
        for (int i = 0; i < count; i += 2) {
            __m512 tile[2][PLACES];
            memset(tile, 0, sizeof tile);
            for (int k = 0; k < 2 && i + k < count; k++) {
                const spot at = spot_of(t, first + i + k);
                const uint16_t *from =
                    map + (size_t)(at.image * (channels / LANES) + block) * t->plane;
                if (gradient) {
                    gradient_tile(t, from, at, tile[k]);
                } else {
                    input_tile(t, from, at, tile[k]);
                }
            }
            uint16_t *pair = to + (size_t)(i / 2 * channels + block * LANES) * 2;
            for (int j = 0; j < PLACES; j++) {
                _mm512_storeu_si512(pair + (size_t)j * sums_place(channels),
                                    pairs(tile[0][j], tile[1][j]));
            }
        }
    }
}

void nn__winograd_sums(const nn__winograd_part *p, const uint16_t *x, const uint16_t *dy,
                       float *sums, void *scratch) {
    const tiling t = tiling_of(p);
    const size_t place = (size_t)p->in * (size_t)p->out;
    uint16_t *v = scratch, *d = v + PLACES * sums_place(p->in);
    memset(sums, 0, PLACES * place * sizeof *sums);
    const range blocks = blocks_of(p, t.count, SUM_TILES);
    for (int block = blocks.first; block < blocks.end; block++) {
        const int first = block * SUM_TILES;
        const int count = smaller(t.count - first, SUM_TILES);
        read_pairs(&t, x, p->in, false, first, count, v);
        read_pairs(&t, dy, p->out, true, first, count, d);
        for (int j = 0; j < PLACES; j++) {
            add_products(p, v + (size_t)j * sums_place(p->in), d + (size_t)j * sums_place(p->out),
                         (count + 1) / 2, sums + (size_t)j * place);
        }
    }
}

/// dw = G' u G at one input channel and 16 output channels.
INLINE void gradient_of(const __m512 u[PLACES], __m512 dw[NN__WINOGRAD_TAPS]) {
    const __m512 half = _mm512_set1_ps(0.5F);
    __m512 r[12];
    for (int j = 0; j < 4; j++) {
        const __m512 plus = half * (u[4 + j] + u[8 + j]);
        r[j] = u[j] + plus;
        r[4 + j] = half * (u[4 + j] - u[8 + j]);
        r[8 + j] = plus + u[12 + j];
    }
    for (size_t i = 0; i < 3; i++) {
        const __m512 *row = r + 4 * i;
        const __m512 plus = half * (row[1] + row[2]);
        dw[3 * i] = row[0] + plus;
        dw[3 * i + 1] = half * (row[1] - row[2]);
        dw[3 * i + 2] = plus + row[3];
    }
}

void nn__winograd_gradient(const nn__winograd_part *p, const float *sums, int sums_count,
                           float *gradient) {
    const size_t place = (size_t)p->in * (size_t)p->out;
    const range blocks = blocks_of(p, (int)(place / LANES), 1);
    for (int block = blocks.first; block < blocks.end; block++) {
        const size_t at = (size_t)block * LANES;
        __m512 u[PLACES], dw[NN__WINOGRAD_TAPS];
        for (int j = 0; j < PLACES; j++) {
            u[j] = _mm512_loadu_ps(sums + (size_t)j * place + at);
            for (int k = 1; k < sums_count; k++) {
                u[j] += _mm512_loadu_ps(sums + (size_t)(k * PLACES + j) * place + at);
            }
        }
        gradient_of(u, dw);
        for (int j = 0; j < NN__WINOGRAD_TAPS; j++) {
            _mm512_storeu_ps(gradient + (size_t)j * place + at, dw[j]);
        }
    }
}
