// What the tests of training share: a set and a small network, options for a training of a moment,
// and a watcher of its callbacks.

#ifndef NS_TESTS_NN_TRAIN_FIXTURE_H
#define NS_TESTS_NN_TRAIN_FIXTURE_H

#include "nn/nn_internal.h"
#include "tests/nn/fixture.h"
#include "tests/ns_test.h"

#define CHECKPOINT "train.ckpt"

enum { TRAIN_BATCH = 32, TRAIN_STEPS = 24, TRAIN_MARKS_MAX = 8 };

/// The context of a training's callbacks: what to do, and what was seen.
typedef struct train_watcher {
    int64_t stop_at_step;             // 0: never
    int stop_at_epoch;                // 0: never
    void (*after_step)(int64_t step); // may be NULL
    int64_t step_count;
    int epoch_count;
    double first_loss, last_fraction;
    int mark_count;
    double mark_fraction[TRAIN_MARKS_MAX];
    float mark_accuracy[TRAIN_MARKS_MAX];
    bool ascending; // fractions never fell
} train_watcher;

typedef struct train_fixture {
    data_set *set;
    nn_graph graph; // fixture_small_graph()
} train_fixture;

/// `*state` becomes a train_fixture.
int train_fixture_set_up(void **state);
int train_fixture_tear_down(void **state);

/// TRAIN_STEPS steps on two threads, watched by `w`.
nn_train_options train_options_for(train_watcher *w);
/// Trains or fails the test; NULL when stopped.
nn_model *train_model(const train_fixture *f, const nn_train_options *options,
                      nn_train_result *result);
/// On the validation images.
double train_accuracy(const nn_model *model, const data_set *set);
/// Fails the test unless both have the same weights; frees both.
void train_assert_same(nn_model *a, nn_model *b);

#endif
