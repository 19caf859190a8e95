// How much of the budget a training has used, and what still fits into it.
//
// The fraction is the larger of time used over time granted and images seen over images granted.
// Averaged weights need some forward passes at the end (train_judge.c); the time for them is taken
// off the time granted, once in a life, as soon as steps have been measured. The fraction therefore
// never falls, and reaches 1 when those passes begin.

#include "nn/train.h"

#include <math.h>

// What one thread does to a first step, for want of a measurement. On two cores of AMD Zen 5 first
// steps took 0.4 to 1.4 times such a guess, and grouped convolutions, for which oneDNN's kernels are
// slow, 6 times. So the guess refuses what has time for less than a few steps and seldom more.
#define FIRST_FLOPS_PER_MS 50e6
#define FIRST_BYTES_PER_MS 4e6

#define RESERVE_SHARE_MAX 0.05 // of the time granted

int64_t nn__train_used_ms(const nn__trainer *t) {
    return ns_clock_ms() - t->begin_ms;
}

bool nn__train_end_fits(const nn__trainer *t, double duration_ms) {
    return t->options->ms_max == 0 ||
           (double)nn__train_used_ms(t) + duration_ms <= (double)t->options->ms_max;
}

bool nn__train_time_fits(const nn__trainer *t, double duration_ms) {
    return nn__train_end_fits(t, duration_ms + t->position.reserve_ms);
}

bool nn__train_step_fits(const nn__trainer *t) {
    const uint64_t sample_count = t->position.sample_count + (uint64_t)t->recipe.batch_size;
    return nn__train_time_fits(t, fmax(t->position.step_ms, 1.0)) &&
           (t->options->sample_count_max == 0 || sample_count <= t->options->sample_count_max);
}

/// What the limit on images allows in whole batches, as no other step is made.
static double whole_batch_samples(const nn__trainer *t) {
    const uint64_t batch = (uint64_t)t->recipe.batch_size;
    const uint64_t batch_count = t->options->sample_count_max / batch;
    return (double)((batch_count > 0 ? batch_count : 1) * batch);
}

double nn__train_fraction(const nn__trainer *t, double steps_ahead) {
    double fraction = 0;
    if (t->options->ms_max > 0) {
        const double granted_ms = fmax((double)t->options->ms_max - t->position.reserve_ms, 1.0);
        fraction = ((double)nn__train_used_ms(t) + steps_ahead * t->position.step_ms) / granted_ms;
    }
    if (t->options->sample_count_max > 0) {
        const double samples =
            (double)t->position.sample_count + steps_ahead * (double)t->recipe.batch_size;
        fraction = fmax(fraction, samples / whole_batch_samples(t));
    }
    return fmin(fraction, 1.0);
}

double nn__train_guess_step_ms(const nn__trainer *t) {
    if (t->options->step_ms_guess > 0) {
        return t->options->step_ms_guess;
    }
    const nn_counts counts = nn_graph_count(t->graph);
    const double image_ms = (double)counts.train_flops / FIRST_FLOPS_PER_MS +
                            (double)counts.train_bytes / FIRST_BYTES_PER_MS;
    return image_ms * (double)t->recipe.batch_size / (double)t->thread_count;
}

void nn__train_measure_step(nn__trainer *t, int64_t since_ms) {
    const double step_ms = (double)(ns_clock_ms() - since_ms);
    const bool first = t->life_sample_count == 0;
    t->position.step_ms += (step_ms - t->position.step_ms) / (first ? 1 : NN__STEP_WINDOW);
    t->life_step_ms += step_ms;
    t->life_sample_count += (uint64_t)t->recipe.batch_size;
    if (t->position.step == NN__STEP_WINDOW) {
        nn__train_reserve(t);
    }
}

void nn__train_reserve(nn__trainer *t) {
    if (t->position.step >= NN__STEP_WINDOW) {
        t->position.reserve_ms =
            fmin(nn__train_settle_ms(t), RESERVE_SHARE_MAX * (double)t->options->ms_max);
    }
}

size_t nn__train_image_count(const nn__trainer *t) {
    const size_t *count = data_describe(t->set)->split_count;
    return count[DATA_TRAIN] + (t->options->with_validation ? count[DATA_VALIDATION] : 0);
}

uint64_t nn__train_epoch_samples(const nn__trainer *t) {
    const uint64_t batch = (uint64_t)t->recipe.batch_size;
    return nn__train_image_count(t) / batch * batch;
}

nn_progress nn__train_progress(const nn__trainer *t) {
    return (nn_progress){
        .fraction = nn__train_fraction(t, 0),
        .step = t->position.step,
        .sample_count = t->position.sample_count,
        .epoch = (int)(t->position.sample_count / nn__train_epoch_samples(t)),
        .loss = t->position.trend.loss,
        .used_ms = nn__train_used_ms(t),
        .images_per_s = 1000.0 * (double)t->life_sample_count / fmax(t->life_step_ms, 1.0),
        .val_accuracy = NAN,
    };
}
