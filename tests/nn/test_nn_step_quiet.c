// A training step allocates nothing and locks nothing.
//
// This program defines malloc, its relatives and pthread_mutex_lock itself, ahead of libc's, and so
// sees every call of every library in the process. While a step runs it notes who called; afterwards
// each caller's address tells the file it lies in. Three kinds of callers are told apart:
//   - oneDNN. It keeps the operands of each execution in a small map on the heap, which nothing in its
//     interface avoids, and where it falls back on matrix products (odd shapes, the linear layer) a
//     workspace for each. What it takes must be the same in every step, and all given back.
//   - OpenMP's library, which makes and drops a record of a team of one at each parallel loop, and
//     keeps the record of a larger team: with more threads than one it must be silent.
//   - All others are ours (this program, in which all our code is linked, and libc on its behalf), and
//     must be silent.
//
// Sanitisers define the same functions, so under them the test is skipped.

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "nn/nn_internal.h"
#include "tests/nn/nets.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITISED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITISED 1
#endif
#endif

#define NOTES_MAX  (1 << 16)
#define STEP_COUNT 3

typedef enum note_kind {
    NOTE_ALLOCATION,
    NOTE_FREE,
    NOTE_LOCK,
    NOTE_KIND_COUNT,
} note_kind;

typedef struct note {
    note_kind kind;
    size_t size_bytes;
    const void *caller;
} note;

static note notes[NOTES_MAX];
static atomic_int note_count;
static atomic_bool watching;

typedef enum party {
    PARTY_OURS,
    PARTY_ONEDNN,
    PARTY_OPENMP,
    PARTY_COUNT,
} party;

/// What was noted while watching.
typedef struct tally {
    int count[PARTY_COUNT][NOTE_KIND_COUNT];
    int allocations, frees;
    size_t largest_bytes; // of oneDNN's allocations
} tally;

static party party_of(const void *address, const char **file) {
    Dl_info info = {0};
    *file = dladdr(address, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "?";
    if (strstr(*file, "libgomp") != NULL || strstr(*file, "libomp") != NULL) {
        return PARTY_OPENMP;
    }
    // C++'s `new` stands between oneDNN and malloc; nothing else here is C++.
    const bool onednn = strstr(*file, "dnnl") != NULL || strstr(*file, "libstdc++") != NULL;
    return onednn ? PARTY_ONEDNN : PARTY_OURS;
}

/// free() is often the last thing a function does, and so a jump that hides its caller: frees are
/// only summed.
static tally tally_notes(void) {
    tally t = {0};
    if (note_count > NOTES_MAX) {
        fail_msg("%d calls in a step, more than this test can note", (int)note_count);
    }
    for (int i = 0; i < note_count; i++) {
        const note *n = &notes[i];
        const char *file = NULL;
        const party who = party_of(n->caller, &file);
        t.count[who][n->kind]++;
        t.allocations += n->kind == NOTE_ALLOCATION;
        t.frees += n->kind == NOTE_FREE;
        if (who == PARTY_ONEDNN && n->size_bytes > t.largest_bytes) {
            t.largest_bytes = n->size_bytes;
        }
        if (who == PARTY_OURS && n->kind != NOTE_FREE) {
            print_message("%s of %zu bytes from %p in %s\n",
                          n->kind == NOTE_LOCK ? "a lock" : "an allocation", n->size_bytes,
                          n->caller, file);
        }
    }
    return t;
}

#ifndef SANITISED

// glibc's own names for what is replaced here.
void *libc_malloc(size_t size_bytes) __asm__("__libc_malloc");
void *libc_calloc(size_t count, size_t size_bytes) __asm__("__libc_calloc");
void *libc_realloc(void *old, size_t size_bytes) __asm__("__libc_realloc");
void *libc_memalign(size_t alignment, size_t size_bytes) __asm__("__libc_memalign");
void libc_free(void *block) __asm__("__libc_free");

// Inlined into a caller of this file they would see its caller instead.
#define SEEN __attribute__((noinline))

static void see(note_kind kind, size_t size_bytes, const void *caller) {
    if (!watching) {
        return;
    }
    const int at = note_count++;
    if (at < NOTES_MAX) {
        notes[at] = (note){kind, size_bytes, caller};
    }
}

#define SEE(kind, size_bytes) see(kind, size_bytes, __builtin_return_address(0))

SEEN void *malloc(size_t size) {
    SEE(NOTE_ALLOCATION, size);
    return libc_malloc(size);
}

SEEN void *calloc(size_t nmemb, size_t size) {
    SEE(NOTE_ALLOCATION, nmemb * size);
    return libc_calloc(nmemb, size);
}

SEEN void *realloc(void *ptr, size_t size) {
    SEE(NOTE_ALLOCATION, size);
    return libc_realloc(ptr, size);
}

SEEN void *aligned_alloc(size_t alignment, size_t size) {
    SEE(NOTE_ALLOCATION, size);
    return libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size);
SEEN void *memalign(size_t alignment, size_t size) {
    SEE(NOTE_ALLOCATION, size);
    return libc_memalign(alignment, size);
}

SEEN int posix_memalign(void **memptr, size_t alignment, size_t size) {
    SEE(NOTE_ALLOCATION, size);
    *memptr = libc_memalign(alignment, size);
    return *memptr == NULL ? 12 : 0; // ENOMEM
}

SEEN void free(void *ptr) {
    if (ptr != NULL) {
        SEE(NOTE_FREE, 0);
    }
    libc_free(ptr);
}

typedef int (*lock_fn)(pthread_mutex_t *mutex);

SEEN int pthread_mutex_lock(pthread_mutex_t *mutex) {
    static _Atomic(lock_fn) next;
    if (next == NULL) {
        next = (lock_fn)dlsym(RTLD_NEXT, "pthread_mutex_lock");
    }
    SEE(NOTE_LOCK, 0);
    return ((lock_fn)next)(mutex);
}

#endif

/* ---- tests ----------------------------------------------------------------------------------- */

static void step(nn_net *net, uint64_t number) {
    const nn_params params = nn_net_params(net);
    const nn__sgd sgd = {.rate = 0.01F, .momentum = 0.9F, .weight_decay = 5e-3F};
    (void)nn_net_forward_backward(net, number);
    nn__sgd_step(&params, &sgd, 2);
}

static tally watch_step(nn_net *net, uint64_t number) {
    note_count = 0;
    watching = true;
    step(net, number);
    watching = false;
    return tally_notes();
}

/// Returns the last step's tally.
static tally assert_quiet(const nn_graph *graph, nn_dtype dtype, int thread_count) {
    nn_net_options options = nn_net_options_default();
    options.dtype = dtype;
    options.batch_size = 16;
    options.thread_count = thread_count;
    nn_net *net = net_ready(graph, options);
    step(net, 0); // what is made once, is made: threads, and what libraries put off to first use
    tally t = watch_step(net, 1);
    for (int i = 1; i < STEP_COUNT; i++) {
        const tally before = t;
        t = watch_step(net, (uint64_t)i + 1);
        assert_memory_equal(&t, &before, sizeof t);
    }
    nn_net_free(net);

    print_message("%s, %d threads: oneDNN took %d pieces of at most %zu bytes, OpenMP %d\n",
                  nn_dtype_name(dtype), thread_count, t.count[PARTY_ONEDNN][NOTE_ALLOCATION],
                  t.largest_bytes, t.count[PARTY_OPENMP][NOTE_ALLOCATION]);
    assert_int_equal(t.frees, t.allocations);
    assert_int_equal(t.count[PARTY_OURS][NOTE_ALLOCATION], 0);
    assert_int_equal(t.count[PARTY_OURS][NOTE_LOCK], 0);
    assert_int_equal(t.count[PARTY_OPENMP][NOTE_LOCK], 0);
    if (thread_count > 1) {
        assert_int_equal(t.count[PARTY_OPENMP][NOTE_ALLOCATION], 0);
    }
    return t;
}

static void skip_under_sanitisers(void) {
#ifdef SANITISED
    print_message("SKIPPED: a sanitiser watches memory and locks itself\n");
    skip();
#endif
}

static nn_graph *graph_new(void) {
    nn_graph *graph = calloc(1, sizeof *graph);
    assert_non_null(graph);
    nn_graph_init(graph);
    return graph;
}

static void test_every_op(void **state) {
    (void)state;
    skip_under_sanitisers();
    nn_graph *graph = graph_new();
    small_net(graph, 16);
    for (int thread_count = 1; thread_count <= 2; thread_count++) {
        (void)assert_quiet(graph, NN_DTYPE_F32, thread_count);
        (void)assert_quiet(graph, nn_dtype_resolve(NN_DTYPE_AUTO), thread_count);
    }
    free(graph);
}

/// Where oneDNN has kernels of its own for all shapes, it takes its maps, no workspace and no lock.
static void test_usual_shapes_take_maps_only(void **state) {
    (void)state;
    skip_under_sanitisers();
    nn_graph *graph = graph_new();
    int x = nn_add_input(graph, (nn_shape){1, 28, 28});
    x = nn_add_batch_norm(graph, nn_add_conv(graph, x, 16, 3, 1, 1, false), true);
    x = nn_add_pool(graph, NN_OP_MAX_POOL, x, 2, 2, 0);
    x = nn_add_batch_norm(graph, nn_add_conv(graph, x, 32, 3, 1, 1, false), true);
    x = nn_add_global_pool(graph, NN_OP_GLOBAL_MAX_POOL, x);
    (void)nn_add_linear(graph, x, 10);
    for (int thread_count = 1; thread_count <= 2; thread_count++) {
        const tally t = assert_quiet(graph, NN_DTYPE_F32, thread_count);
        if (strncmp(nn_platform_describe().isa, "avx512", 6) != 0) {
            continue; // the linear layer, at least, is a matrix product there
        }
        assert_in_range(t.largest_bytes, 0, 1024);
        assert_int_equal(t.count[PARTY_ONEDNN][NOTE_LOCK], 0);
        assert_in_range(t.count[PARTY_ONEDNN][NOTE_ALLOCATION], 0, graph->node_count * 48);
    }
    free(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op),
        cmocka_unit_test(test_usual_shapes_take_maps_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
