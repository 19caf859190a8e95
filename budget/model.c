// How long a piece of work will take, from how long others like it took: Gaussian-process regression
// (Rasmussen & Williams 2006, ch. 2) on the logarithm of time over an ideal time.
//
// The ideal time, from FLOPs and bytes, explains the orders of magnitude; what is left is how well a
// kernel suits a shape, which is smooth in the logarithms of the shape. So
//
//      log(took / ideal) = mean of the kind + f(features) + noise
//
// where f is a priori zero with standard deviation SPREAD, and its values at two points are
// correlated by a Matern 3/2 function of their distance: close points predict each other, far ones
// fall back to the kind's mean, and a kind that was never measured to the mean of all. No form of the
// dependence is assumed, so a new kernel, with cliffs where the old one had none, needs no new model.
//
// A neighbour that takes a core for a while makes all layers of a network slower, and nothing makes
// them faster. So what is far slower than the others lead to expect (leave-one-out prediction, ch. 5.4)
// is lowered to that, and the rest fitted again.
//
// Kinds are independent. Samples of equal work are averaged first, so that the layers a network
// repeats cost nothing; fitting is cubic in the different samples of a kind, predicting linear.
// Measured on networks of the default space, calibrated on eight others: median error 3 to 5 %,
// none above 15 %.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "budget/budget.h"

#define SPREAD  0.3  // of log(took / ideal) within a kind
#define NOISE   0.03 // of one measurement
#define LENGTH  4.0  // distance over which times stay alike
#define OUTLIER 1.4  // beyond a kind's lower quartile, which is a factor of 4, it was no kernel
#define SLOW    0.3  // beyond what all others say of it, it was disturbed

/// Different works of one kind, at `first` and on of the model's arrays.
typedef struct group {
    int kind;
    int first, count;
    double mean;
} group;

struct budget_model {
    int count, group_count;
    double mean; // of all samples
    budget_work *work;
    double *weight; // of each work in a prediction; while fitting, what is to be explained
    group *group;
};

static double correlation(const budget_work *a, const budget_work *b) {
    double square = 0;
    for (int i = 0; i < BUDGET_FEATURES; i++) {
        const double difference = a->feature[i] - b->feature[i];
        square += difference * difference;
    }
    const double distance = sqrt(3 * square) / LENGTH;
    return (1 + distance) * exp(-distance);
}

double budget_work_likeness(const budget_work *a, const budget_work *b) {
    return a->kind == b->kind ? correlation(a, b) : 0;
}

/* ---- fitting --------------------------------------------------------------------------------- */

static bool is_usable(const budget_sample *sample) {
    bool finite = isfinite(sample->took_ms) && isfinite(sample->work.ideal_ms);
    for (int i = 0; i < BUDGET_FEATURES; i++) {
        finite = finite && isfinite(sample->work.feature[i]);
    }
    return finite && sample->took_ms > 0 && sample->work.ideal_ms > 0;
}

static int compare_work(const budget_work *left, const budget_work *right) {
    if (left->kind != right->kind) {
        return left->kind < right->kind ? -1 : 1;
    }
    for (int i = 0; i < BUDGET_FEATURES; i++) {
        if (left->feature[i] != right->feature[i]) {
            return left->feature[i] < right->feature[i] ? -1 : 1;
        }
    }
    return 0;
}

static int compare_samples(const void *a, const void *b) {
    return compare_work(&((const budget_sample *)a)->work, &((const budget_sample *)b)->work);
}

/// Takes sorted samples in, those of equal work as their mean. The mean of all is for kinds that were
/// not measured.
static void take_samples(budget_model *model, const budget_sample *sorted, size_t count) {
    int same = 0;
    for (size_t i = 0; i < count; i++) {
        const double ratio = log(sorted[i].took_ms / sorted[i].work.ideal_ms);
        model->mean += (ratio - model->mean) / (double)(i + 1);
        const int last = model->count - 1;
        if (last >= 0 && compare_work(&model->work[last], &sorted[i].work) == 0) {
            model->weight[last] += (ratio - model->weight[last]) / ++same;
        } else {
            model->work[model->count] = sorted[i].work;
            model->weight[model->count++] = ratio;
            same = 1;
        }
    }
}

static void find_groups(budget_model *model) {
    for (int i = 0; i < model->count; i++) {
        if (i == 0 || model->work[i].kind != model->work[i - 1].kind) {
            model->group[model->group_count++] = (group){.kind = model->work[i].kind, .first = i};
        }
        model->group[model->group_count - 1].count++;
    }
}

/// A process that takes a core for a moment makes a layer ten times slower, nothing makes one
/// faster: what is far above a kind's lower quartile is lowered to that. Then the kind's mean.
static void calm(budget_model *model, group *g, double *sorted) {
    double *ratio = model->weight + g->first;
    memcpy(sorted, ratio, (size_t)g->count * sizeof(*sorted));
    ns_sort_doubles(sorted, (size_t)g->count);
    const double most = sorted[(g->count - 1) / 4] + OUTLIER;
    for (int i = 0; i < g->count; i++) {
        ratio[i] = fmin(ratio[i], most);
        g->mean += (ratio[i] - g->mean) / (i + 1);
    }
}

/// Solves (K + noise) weight = y - mean by Cholesky's decomposition; `lower` has room for count^2.
static void solve(const group *g, const budget_work *work, double *y, double *lower) {
    const int n = g->count;
    for (int i = 0; i < n; i++) {
        double right = y[i] - g->mean;
        for (int j = 0; j <= i; j++) {
            double sum = SPREAD * SPREAD * correlation(&work[i], &work[j]);
            sum += i == j ? NOISE * NOISE : 0; // keeps the matrix positive definite
            for (int k = 0; k < j; k++) {
                sum -= lower[i * n + k] * lower[j * n + k];
            }
            lower[i * n + j] = i == j ? sqrt(sum) : sum / lower[j * n + j];
        }
        for (int k = 0; k < i; k++) {
            right -= lower[i * n + k] * y[k];
        }
        y[i] = right / lower[i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++) {
            y[i] -= lower[k * n + i] * y[k];
        }
        y[i] /= lower[i * n + i];
    }
}

/// The diagonal of (K + noise)^-1 at `i`, from Cholesky's factor; `column` has room for count.
static double inverse_at(int n, const double *lower, int i, double *column) {
    double sum = 0;
    for (int k = i; k < n; k++) {
        double value = k == i ? 1 : 0;
        for (int j = i; j < k; j++) {
            value -= lower[k * n + j] * column[j];
        }
        column[k] = value / lower[k * n + k];
        sum += column[k] * column[k];
    }
    return sum;
}

/// Fits a kind; `room` is for count^2 + 2 count.
static void fit_group(budget_model *model, group *g, double *room) {
    const int n = g->count;
    double *lower = room, *column = room + (size_t)n * (size_t)n, *y = column + n;
    double *weight = model->weight + g->first;
    bool disturbed = false;
    calm(model, g, room);
    memcpy(y, weight, (size_t)n * sizeof(*y));
    solve(g, model->work + g->first, weight, lower);
    for (int i = 0; i < n; i++) {
        const double beyond = weight[i] / inverse_at(n, lower, i, column);
        disturbed = disturbed || beyond > SLOW;
        y[i] -= beyond > SLOW ? beyond : 0;
    }
    if (disturbed) {
        memcpy(weight, y, (size_t)n * sizeof(*y));
        solve(g, model->work + g->first, weight, lower);
    }
}

static ns_status fit(budget_model *model, ns_error *err) {
    size_t largest = 0;
    for (int i = 0; i < model->group_count; i++) {
        const size_t count = (size_t)model->group[i].count;
        largest = count > largest ? count : largest;
    }
    double *room = calloc(largest * (largest + 2) + 1, sizeof(*room));
    if (room == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot fit times to %d measurements: out of memory",
                       model->count);
    }
    for (int i = 0; i < model->group_count; i++) {
        fit_group(model, &model->group[i], room);
    }
    free(room);
    return NS_OK;
}

static ns_status fit_sorted(budget_sample *samples, size_t count, budget_model **out,
                            ns_error *err) {
    budget_model *model = calloc(1, sizeof(*model));
    if (model != NULL) {
        model->work = calloc(count + 1, sizeof(*model->work));
        model->weight = calloc(count + 1, sizeof(*model->weight));
        model->group = calloc(count + 1, sizeof(*model->group));
    }
    if (model == NULL || model->work == NULL || model->weight == NULL || model->group == NULL) {
        budget_model_free(model);
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold %zu measured times", count);
    }
    qsort(samples, count, sizeof(*samples), compare_samples);
    take_samples(model, samples, count);
    find_groups(model);
    const ns_status status = fit(model, err);
    if (status != NS_OK) {
        budget_model_free(model);
        return status;
    }
    *out = model;
    return NS_OK;
}

ns_status budget_model_new(const budget_sample *samples, size_t count, budget_model **out,
                           ns_error *err) {
    *out = NULL;
    budget_sample *usable = calloc(count + 1, sizeof(*usable));
    if (usable == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold %zu measured times", count);
    }
    size_t usable_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_usable(&samples[i])) {
            usable[usable_count++] = samples[i];
        }
    }
    if (usable_count > BUDGET_SAMPLES_MAX) {
        usable_count = BUDGET_SAMPLES_MAX;
    }
    const ns_status status = fit_sorted(usable, usable_count, out, err);
    free(usable);
    return status;
}

void budget_model_free(budget_model *model) {
    if (model == NULL) {
        return;
    }
    free(model->work);
    free(model->weight);
    free(model->group);
    free(model);
}

/* ---- predicting ------------------------------------------------------------------------------ */

double budget_model_predict_ms(const budget_model *model, const budget_work *work) {
    double ratio = model->mean;
    for (int i = 0; i < model->group_count; i++) {
        const group *g = &model->group[i];
        if (g->kind != work->kind) {
            continue;
        }
        ratio = g->mean;
        for (int k = g->first; k < g->first + g->count; k++) {
            ratio += SPREAD * SPREAD * model->weight[k] * correlation(&model->work[k], work);
        }
    }
    return work->ideal_ms * exp(ratio);
}
