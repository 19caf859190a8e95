// The threads of a run: how many, on which cores, and in which floating-point mode.
//
// A step is a hundred short parallel loops, each as slow as its slowest thread, and some kernels of
// oneDNN (backward-weights above all) have barriers inside that spin without ever yielding. On an
// idle machine none of this shows. Beside a busy neighbour the scheduler moves threads about, two of
// ours may share a core while the neighbour has another, and each barrier then waits for time slices.
// So:
//
//   - A run with as many threads as its thread may use cores puts each on one of them, in order:
//     there is no other way to place them, so nothing is lost when the machine is idle. A run with
//     fewer leaves the placing to the kernel, because two such processes would choose the same cores.
//     A worker of a search is given its own cores and so is of the first kind.
//   - Threads that wait should sleep soon. libgomp spins for 300,000 pauses (several milliseconds)
//     by default and reads GOMP_SPINCOUNT only while it is loaded, so the program sees to that
//     (cli/main.c): 10,000 pauses lose nothing on an idle machine.
//
// Measured on 2 cores of AMD Zen 5 with libgomp 12 and oneDNN 2.6.3, f32, two threads: images/s of
// the training step of a ResNet-9-like net of width 16 / 32 (50 and 150 ms a step at batch 128):
//
//                                   idle   beside a busy loop   beside another such training
//     as libgomp does it     2571 /  860          917 /  267                    132 /   80
//     bound                  2604 /  835         1372 /  432                    800 /  257
//     bound, 10,000 pauses   2523 /  874         1234 /  421                   1183 /  430
//
// (idle figures vary by 5 % from run to run; medians of 8 runs at width 16 were 2340 with libgomp's
// own pauses, 2387 with 10,000 and 2396 with 1,000). So a neighbour costs its half and no more.
//
// The caller's own thread is given back as it was, so that what it starts between runs (a loader)
// is not tied to the first core. That takes 4 microseconds a run, which only single images notice:
// their runs are not bound. Denormals are flushed to zero meanwhile: a dying ReLU network would
// otherwise crawl.

#include <omp.h>

#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "nn/nn_internal.h"

#ifdef __SSE__
#define FLUSH_DENORMALS 0x8040U // FTZ and DAZ of MXCSR

static unsigned float_mode(void) {
    return _mm_getcsr();
}

static void float_mode_set(unsigned mode) {
    _mm_setcsr(mode);
}
#else
#define FLUSH_DENORMALS 0U

static unsigned float_mode(void) {
    return 0U;
}

static void float_mode_set(unsigned mode) {
    (void)mode;
}
#endif

void nn__team_enter(nn__team *team, int thread_count, bool bind) {
    team->float_mode = float_mode();
    team->bound = bind && thread_count > 1 && ns_cpu_set_get(&team->caller) &&
                  ns_cpu_set_count(&team->caller) == thread_count;
    omp_set_num_threads(thread_count);
#pragma omp parallel
    {
        float_mode_set(float_mode() | FLUSH_DENORMALS);
        if (team->bound) { // a refusal costs speed, nothing else
            const ns_cpu_set mine = ns_cpu_set_part(&team->caller, omp_get_thread_num(), 1);
            (void)ns_cpu_set_use(&mine);
        }
    }
}

void nn__team_leave(const nn__team *team) {
    if (team->bound) {
        (void)ns_cpu_set_use(&team->caller);
    }
    float_mode_set(team->float_mode);
}
