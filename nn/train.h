// A training's inside, for its four files: train.c sets it up and steps; train_clock.c says how much
// of the budget is used and what still fits; train_judge.c makes a model of the weights and judges
// it at marks; train_keep.c keeps states, on disk for another process and in memory for the case
// that the weights break.

#ifndef NS_NN_TRAIN_H
#define NS_NN_TRAIN_H

#include "nn/nn_internal.h"

enum {
    NN__STEP_WINDOW = 10, // steps of the mean step time
    NN__PARTS_MAX = 3,    // of a snapshot: state, momentum and, with averaging, average
};

typedef struct nn__trainer {
    const nn_train_options *options;
    nn_train_result *result;
    const data_set *set;
    const nn_graph *graph;
    nn_recipe recipe; // with the batch that fits the data
    int thread_count;
    nn_net *net;
    nn_params params;
    data_loader *loader;
    data_loader *statistics_loader; // of the averaged weights' batch statistics; NULL without
    nn_infer *infer;                // of the marks; NULL without
    size_t mem_bytes_max;           // of `net` and `infer` together, without the snapshots
    // Two snapshots in plain layout, each of `part_count` parts of `state_count` values: `now`, into
    // which the net is read, and behind it `good`, the state to go back to.
    float *now, *good;
    float *class_weights; // of the loss; NULL: none
    size_t state_count, part_count;
    nn__position position;
    int64_t begin_ms; // the clock when training would have begun, had it never been interrupted
    int64_t checkpoint_ms;      // the clock at the last checkpoint
    int64_t checkpoint_cost_ms; // that it took; at first a guess
    double life_step_ms;        // sum of this life's step times
    uint64_t life_sample_count;
} nn__trainer;

/// Where the net wants a batch.
static inline data_batch nn__train_batch(const nn__trainer *t) {
    return (data_batch){.x = nn_net_input(t->net),
                        .labels = nn_net_labels(t->net),
                        .partner_labels = nn_net_partner_labels(t->net),
                        .lambdas = nn_net_lambdas(t->net),
                        .targets = nn_net_targets(t->net)};
}

/* ---- train_clock.c --------------------------------------------------------------------------- */

int64_t nn__train_used_ms(const nn__trainer *t);
/// Whether so much more can be done before the time that is kept for the end begins.
bool nn__train_time_fits(const nn__trainer *t, double duration_ms);
/// Whether it can be done before the very end.
bool nn__train_end_fits(const nn__trainer *t, double duration_ms);
bool nn__train_step_fits(const nn__trainer *t);
/// Of the budget, `steps_ahead` steps from now.
double nn__train_fraction(const nn__trainer *t, double steps_ahead);
/// Of the first step, before anything was measured.
double nn__train_guess_step_ms(const nn__trainer *t);
/// `since_ms` is the clock when the step began; its callback counts as part of it.
void nn__train_measure_step(nn__trainer *t, int64_t since_ms);
/// Takes the time for nn__train_settle() off the time granted, once steps have been measured.
void nn__train_reserve(nn__trainer *t);
/// Images that it trains on.
size_t nn__train_image_count(const nn__trainer *t);
/// Images of a pass over them; the loader drops a short batch.
uint64_t nn__train_epoch_samples(const nn__trainer *t);
nn_progress nn__train_progress(const nn__trainer *t);

/* ---- train_judge.c --------------------------------------------------------------------------- */

/// Makes what marks and averaging need; before the first step, so that a lack of memory shows early.
ns_status nn__train_judge_new(nn__trainer *t, const nn_net_options *net_options, ns_error *err);
/// Milliseconds to keep at the end for nn__train_settle().
double nn__train_settle_ms(const nn__trainer *t);
/// Points `*state` at the weights that are to be a model; the training is as before. NS_ERR_NAN
/// unless they are all finite.
ns_status nn__train_settle(nn__trainer *t, const float **state, ns_error *err);
/// Measures at the marks that are due. Marks passed together count as one.
ns_status nn__train_mark(nn__trainer *t, nn_verdict *verdict, ns_error *err);

/* ---- train_keep.c ---------------------------------------------------------------------------- */

ns_status nn__train_keep_new(nn__trainer *t, ns_error *err);
/// Takes the present state as the one to go back to.
void nn__train_keep_good(nn__trainer *t);
/// After a step that went well, with this loss: the same, if it is time and the training is sound.
void nn__train_keep_good_if_due(nn__trainer *t, double loss);
/// After a step that broke for the reason `why`: back to the last good state, at half the rate.
/// NS_ERR_NAN with that reason when this has been tried often enough.
ns_status nn__train_recover(nn__trainer *t, const ns_error *why, ns_error *err);
/// What the schedule's rate is multiplied by.
float nn__train_rate_factor(const nn__trainer *t);
ns_status nn__train_resume(nn__trainer *t, ns_error *err);
ns_status nn__train_save(nn__trainer *t, ns_error *err);
ns_status nn__train_save_if_due(nn__trainer *t, ns_error *err);

#endif
