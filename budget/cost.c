// How long a network will take, from its FLOPs and what was measured of others.
//
// Times are averaged, not rates: the mean of milliseconds per FLOP predicts a time without bias,
// while a mean of FLOPs per millisecond would let one fast net promise too much. The mean forgets
// exponentially, so that a machine that became busy is noticed within a few trials.

#include <math.h>

#include "budget/budget.h"

#define NEWEST_WEIGHT 0.25

void budget_rate_observe(budget_rate *rate, double flops, double took_ms) {
    if (!(flops > 0) || !(took_ms > 0) || !isfinite(flops) || !isfinite(took_ms)) {
        return; // nothing was measured
    }
    const double newest = took_ms / flops;
    const double mean = rate->flops_per_ms > 0
                            ? (1 - NEWEST_WEIGHT) / rate->flops_per_ms + NEWEST_WEIGHT * newest
                            : newest;
    rate->flops_per_ms = 1 / mean;
}

int64_t budget_rate_predict_ms(const budget_rate *rate, double flops, int64_t fallback_ms) {
    if (!(rate->flops_per_ms > 0)) {
        return fallback_ms;
    }
    const double predicted_ms = ceil(flops / rate->flops_per_ms);
    return predicted_ms < (double)BUDGET_NODE_MS_MAX ? (int64_t)predicted_ms : BUDGET_NODE_MS_MAX;
}
