// When a trial is not worth its remaining time.
//
// A trial is compared with what others of the same fidelity had at the same fraction of their own
// complete schedules, by a robust version of "three standard deviations below the mean": the
// median, and the median absolute deviation (MAD), which for normal noise is 1 / 1.4826 of the
// standard deviation. Unlike a mean it does not mind the few that learnt nothing at all. Unfinished
// schedules predict little, therefore three deviations and not one: only what diverged or cannot
// learn is stopped.

#include <math.h>
#include <string.h>

#include "search/search.h"

#define OTHERS_MIN   4
#define OTHERS_MAX   1024 // the first so many are judge enough
#define DEVIATIONS   3.0
#define MAD_TO_SIGMA 1.4826
#define SIGMA_MIN    0.01 // four trials may agree by chance; a point of accuracy is never hopeless

bool search_is_hopeless(double value, const double *others, size_t count) {
    double known[OTHERS_MAX];
    size_t known_count = 0;
    for (size_t i = 0; i < count && known_count < OTHERS_MAX; i++) {
        if (!isnan(others[i])) {
            known[known_count++] = others[i];
        }
    }
    if (isnan(value) || known_count < OTHERS_MIN) {
        return false;
    }
    const double centre = ns_median(known, known_count);
    for (size_t i = 0; i < known_count; i++) {
        known[i] = fabs(known[i] - centre);
    }
    const double sigma = fmax(MAD_TO_SIGMA * ns_median(known, known_count), SIGMA_MIN);
    return value < centre - DEVIATIONS * sigma;
}
