// How long a model takes for one image: the inference path that ships, pixels in, probabilities
// out, batch 1, on one core.
//
// One core, as MnasNet measures on one core of a phone (Tan et al. 2019, section 4): while trials
// are measured the other cores train, and a figure that needs all of them would say more about the
// neighbours than about the network. What still disturbs only ever adds time. So several short
// series are run, each is summed up by its median, which sheds single interruptions, and the least
// of the medians is taken, which sheds disturbed series. The finish measures again, alone.

#include <math.h>
#include <stdlib.h>

#include "search/search_internal.h"

#define WARM_UP_RUNS  3
#define SERIES_RUNS   9
#define SERIES_MS_MAX 60 // a series is cut short after RUNS_MIN of them
#define RUNS_MIN      3

/// Median time of some runs.
static ns_status run_series(nn_infer *infer, const uint8_t *pixels, float *probabilities,
                            double *median_ms, ns_error *err) {
    double ms[SERIES_RUNS];
    int count = 0;
    const int64_t start_ns = ns_clock_ns();
    int64_t end_ns = start_ns;
    while (count < SERIES_RUNS &&
           (count < RUNS_MIN || end_ns - start_ns < SERIES_MS_MAX * INT64_C(1000000))) {
        const int64_t since_ns = end_ns;
        NS_TRY(nn_infer_run(infer, pixels, 1, probabilities, err));
        end_ns = ns_clock_ns();
        ms[count++] = (double)(end_ns - since_ns) / 1e6;
    }
    *median_ms = ns_median(ms, (size_t)count);
    return NS_OK;
}

static ns_status measure(nn_infer *infer, const uint8_t *pixels, float *probabilities,
                         int64_t ms_max, double *latency_ms, ns_error *err) {
    const int64_t end_ms = ns_clock_ms() + ms_max;
    double median_ms = 0;
    for (int i = 0; i < WARM_UP_RUNS; i++) {
        NS_TRY(nn_infer_run(infer, pixels, 1, probabilities, err));
    }
    *latency_ms = INFINITY;
    do {
        NS_TRY(run_series(infer, pixels, probabilities, &median_ms, err));
        *latency_ms = fmin(*latency_ms, median_ms);
    } while (ns_clock_ms() + (int64_t)(median_ms * RUNS_MIN) < end_ms);
    return NS_OK;
}

ns_status search__latency(const nn_model *model, int thread_count, int64_t ms_max,
                          double *latency_ms, ns_error *err) {
    const nn_model_info *info = nn_model_describe(model);
    const nn_shape shape = info->image;
    const size_t pixel_count = (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
    nn_infer_options options = nn_infer_options_default();
    options.batch_size = 1;
    options.thread_count = thread_count;
    nn_infer *infer = NULL;
    uint8_t *pixels = malloc(pixel_count);
    float *probabilities = malloc((size_t)info->label_count * sizeof(*probabilities));
    ns_status status = pixels != NULL && probabilities != NULL
                           ? nn_infer_new(model, &options, &infer, err)
                           : ns_fail(err, NS_ERR_MEMORY, "no memory to classify an image");
    if (status == NS_OK) {
        ns_rng rng = ns_rng_stream(1, 0, "latency");
        for (size_t i = 0; i < pixel_count; i++) {
            pixels[i] = (uint8_t)ns_rng_below(&rng, 256);
        }
        status = measure(infer, pixels, probabilities, ms_max, latency_ms, err);
    }
    nn_infer_free(infer);
    free(pixels);
    free(probabilities);
    return status;
}
