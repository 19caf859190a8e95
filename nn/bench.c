// What a measurement needs beside a net: data in place, the optimiser's sweep, the time of whole
// steps, and how fast memory is. The convolutions' own times are op_dnnl_bench.c's.
//
// Bandwidth counts what a kernel asks for: a copy moves two bytes a byte, a triad (a = b + s c)
// three. What the caches fetch besides, to fill lines that are about to be overwritten, is not
// counted, as it is not for the ops compared with it. Copying is the C library's memcpy(), which
// picks its instructions at run time and writes large blocks past the caches.

#include "nn/exec.h"

#include <assert.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STEPS_MIN       3
#define STEPS_MAX       1024
#define BENCH_NS        60000000 // of each kind of loop
#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define PASS_BYTES      ((size_t)64 << 20) // between two looks at the clock

const char *nn_op_name(nn_op_kind kind) {
    return nn__op_of(kind)->name;
}

const char *nn_pass_name(nn_pass pass) {
    static const char *const names[NN_PASS_COUNT] = {
        [NN_PASS_FORWARD] = "forward",
        [NN_PASS_BACKWARD] = "backward",
        [NN_PASS_BACKWARD_WEIGHTS] = "backward_weights",
        [NN_PASS_BACKWARD_DATA] = "backward_data",
        [NN_PASS_SUM] = "sum",
        [NN_PASS_LOSS] = "loss",
    };
    return names[pass];
}

void nn_bench_fill(nn_net *net, uint64_t seed) {
    ns_rng rng = ns_rng_stream(seed, 0, "bench");
    const int batch_size = net->options.batch_size;
    const size_t count = (size_t)batch_size * nn__shape_count(net->fused.graph.node[0].shape);
    float *x = nn_net_input(net);
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)ns_rng_normal(&rng);
    }
    for (int i = 0; i < batch_size; i++) {
        nn_net_labels(net)[i] = (int32_t)ns_rng_below(&rng, (uint64_t)nn_net_class_count(net));
    }
}

void nn_bench_update(nn_net *net) {
    const nn_recipe recipe = nn_recipe_default();
    const nn_params params = nn_net_params(net);
    const nn__sgd sgd = {.rate = 0.01F,
                         .momentum = recipe.momentum,
                         .weight_decay = recipe.weight_decay,
                         .norm_rate_factor = 1.0F,
                         .gradient_scale = 1.0F};
    (void)nn__sgd_step(&params, &sgd, net->options.thread_count);
}

double nn_bench_step_ms(nn_net *net, double ms_min) {
    double took_ms[STEPS_MAX];
    double total_ms = 0;
    int count = -1; // the first finds nothing in place
    while (count < STEPS_MIN || (count < STEPS_MAX && total_ms < ms_min)) {
        const int64_t since_ns = ns_clock_ns();
        (void)nn_net_forward_backward(net, (uint64_t)(count + 1));
        nn_bench_update(net);
        if (count >= 0) {
            took_ms[count] = (double)(ns_clock_ns() - since_ns) / 1e6;
            total_ms += took_ms[count];
        }
        count++;
    }
    return ns_median(took_ms, (size_t)count);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/// Three arrays of `count` floats; each thread has its own part of them.
typedef struct streams {
    float *a, *b, *c;
    size_t count;
    int thread_count;
} streams;

static void triad(float *restrict a, const float *restrict b, const float *restrict c,
                  size_t count) {
    for (size_t i = 0; i < count; i++) {
        a[i] = b[i] + 0.5F * c[i];
    }
}

/// `pass_count` sweeps, alternating between copies of either kind or triads.
static void sweep(const streams *s, bool copying, int pass_count) {
#pragma omp parallel num_threads(s->thread_count)
    {
        const size_t threads = (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num();
        const size_t from = s->count * me / threads, count = s->count * (me + 1) / threads - from;
        for (int pass = 0; pass < pass_count; pass++) {
            if (copying) {
                memcpy(s->a + from, (pass % 2 == 0 ? s->b : s->c) + from, count * sizeof *s->a);
            } else {
                triad(s->a + from, s->b + from, s->c + from, count);
            }
        }
    }
}

/// Best GB/s over BENCH_NS.
static double sweep_gb_per_s(const streams *s, bool copying) {
    assert(s->count > 0); // or no number of passes is enough
    const size_t pass_bytes = (copying ? 2 : 3) * s->count * sizeof *s->a;
    int pass_count = 2;
    while ((size_t)pass_count * pass_bytes < PASS_BYTES) {
        pass_count *= 2;
    }
    const double moved_bytes = (double)pass_bytes * pass_count;
    const int64_t end_ns = ns_clock_ns() + BENCH_NS;
    double best = 0;
    sweep(s, copying, pass_count);
    do {
        const int64_t since_ns = ns_clock_ns();
        sweep(s, copying, pass_count);
        const double rate = moved_bytes / (double)(ns_clock_ns() - since_ns); // bytes a ns
        best = rate > best ? rate : best;
    } while (ns_clock_ns() < end_ns);
    return best;
}

ns_status nn_bench_bandwidth(size_t footprint_bytes, int thread_count, double *gb_per_s,
                             ns_error *err) {
    const size_t count = nn__block_up(footprint_bytes / (3 * sizeof(float)) + 1);
    const size_t block_bytes =
        (3 * count * sizeof(float) + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    float *block = aligned_alloc(HUGE_PAGE_BYTES, block_bytes);
    if (block == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to measure its bandwidth");
    }
    (void)madvise(block, block_bytes, MADV_HUGEPAGE); // without them it measures page tables, too
    for (size_t i = 0; i < 3 * count; i++) {
        block[i] = 1.0F;
    }
    const streams s = {block, block + count, block + 2 * count, count,
                       thread_count > 0 ? thread_count : ns_cpu_count()};
    const double copying = sweep_gb_per_s(&s, true), adding = sweep_gb_per_s(&s, false);
    *gb_per_s = copying > adding ? copying : adding;
    free(block);
    return NS_OK;
}
