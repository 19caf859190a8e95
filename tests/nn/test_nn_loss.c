// The loss against its double-precision reference, and both against what mixing means.

#include <math.h>

#include "tests/nn/nets.h"

#include "nn/nn_internal.h"

enum { BATCH = 9, CLASSES = 13, CELLS = BATCH * CLASSES };

typedef struct batch {
    float logits[CELLS];
    int32_t labels[BATCH], partner_labels[BATCH];
    float lambdas[BATCH];
    float targets[CELLS]; // of classes of their own
} batch;

static void draw(batch *b, double deviation) {
    ns_rng rng = ns_rng_stream(3, 0, "loss");
    for (int i = 0; i < CELLS; i++) {
        b->logits[i] = (float)(deviation * ns_rng_normal(&rng));
    }
    for (int i = 0; i < BATCH; i++) {
        b->labels[i] = (int32_t)ns_rng_below(&rng, CLASSES);
        b->partner_labels[i] =
            i % 3 == 0 ? b->labels[i] : (int32_t)ns_rng_below(&rng, CLASSES); // mixed with its own
        b->lambdas[i] = (float)(0.5 + 0.5 * ns_rng_unit(&rng));
    }
    for (int i = 0; i < CELLS; i++) { // certain ones and mixed ones
        b->targets[i] = i % 3 == 0 ? 0.0F : i % 3 == 1 ? 1.0F : (float)ns_rng_unit(&rng);
    }
}

/// `gradient` has CELLS values.
static float run_loss(nn__loss loss, bool reference, float *gradient) {
    float rows[BATCH];
    float cells[CELLS] = {0};
    loss.batch_size = BATCH;
    loss.class_count = CLASSES;
    loss.gradient = cells;
    loss.row_loss = rows;
    const float mean = reference ? nn__loss_reference(&loss) : nn__loss_run(&loss);
    memcpy(gradient, cells, sizeof cells);
    return mean;
}

/// `weights` has CLASSES values or is NULL.
static float run_weighted(const batch *b, bool mixup, float smoothing, bool reference,
                          const float *weights, float *gradient) {
    const nn__loss loss = {.logits = b->logits,
                           .labels = b->labels,
                           .partner_labels = mixup ? b->partner_labels : NULL,
                           .lambdas = mixup ? b->lambdas : NULL,
                           .class_weights = weights,
                           .smoothing = smoothing};
    return run_loss(loss, reference, gradient);
}

static float run(const batch *b, bool mixup, float smoothing, bool reference, float *gradient) {
    return run_weighted(b, mixup, smoothing, reference, NULL, gradient);
}

static float run_each(const batch *b, float smoothing, bool reference, float *gradient) {
    const nn__loss loss = {.logits = b->logits, .targets = b->targets, .smoothing = smoothing};
    return run_loss(loss, reference, gradient);
}

static void draw_weights(float *weights) {
    ns_rng rng = ns_rng_stream(4, 0, "weights");
    for (int k = 0; k < CLASSES; k++) {
        weights[k] = (float)(0.1 + 3 * ns_rng_unit(&rng));
    }
}

static void test_it_agrees_with_reference(void **state) {
    (void)state;
    static batch b;
    float got[CELLS], want[CELLS];
    draw(&b, 30);
    for (int i = 0; i < 4; i++) {
        const float smoothing = i % 2 == 0 ? 0.0F : 0.2F;
        const float got_loss = run(&b, i / 2 == 1, smoothing, false, got);
        const float want_loss = run(&b, i / 2 == 1, smoothing, true, want);
        assert_close(&got_loss, &want_loss, 1, 1e-6);
        assert_close(got, want, CELLS, 1e-6);
    }
}

/// With one lambda for all, lambda times the loss of one set of labels and the rest of the other's.
static void test_mixup_is_the_mixed_loss(void **state) {
    (void)state;
    static batch b;
    float mixed[CELLS], first[CELLS], second[CELLS], want[CELLS];
    draw(&b, 3);
    for (int i = 0; i < BATCH; i++) {
        b.lambdas[i] = 0.7F;
    }
    const float mixed_loss = run(&b, true, 0.1F, false, mixed);
    const float first_loss = run(&b, false, 0.1F, true, first);
    memcpy(b.labels, b.partner_labels, sizeof b.labels);
    const float second_loss = run(&b, false, 0.1F, true, second);
    const float want_loss = 0.7F * first_loss + 0.3F * second_loss;
    for (int i = 0; i < CELLS; i++) {
        want[i] = 0.7F * first[i] + 0.3F * second[i];
    }
    assert_close(&mixed_loss, &want_loss, 1, 1e-6);
    assert_close(mixed, want, CELLS, 1e-5);
}

static void test_gradient_is_the_slope(void **state) {
    (void)state;
    static batch b;
    float gradient[CELLS], unused[CELLS];
    draw(&b, 2);
    (void)run(&b, true, 0.1F, false, gradient);
    const float step = 1e-2F;
    for (int i = 0; i < CELLS; i += 7) {
        const float at = b.logits[i];
        b.logits[i] = at + step;
        const double up = (double)run(&b, true, 0.1F, true, unused);
        b.logits[i] = at - step;
        const double down = (double)run(&b, true, 0.1F, true, unused);
        b.logits[i] = at;
        assert_float_equal(gradient[i], ((up - down) / (2.0 * (double)step)), 1e-4);
    }
}

/// Large logits among them: what neither overflows nor vanishes.
static void test_each_agrees_with_reference(void **state) {
    (void)state;
    static batch b;
    float got[CELLS], want[CELLS];
    for (int i = 0; i < 4; i++) {
        const float smoothing = i % 2 == 0 ? 0.0F : 0.2F;
        draw(&b, i < 2 ? 3 : 300);
        const float got_loss = run_each(&b, smoothing, false, got);
        const float want_loss = run_each(&b, smoothing, true, want);
        assert_true(isfinite(got_loss));
        assert_close(&got_loss, &want_loss, 1, 1e-6);
        assert_close(got, want, CELLS, 1e-6);
    }
}

static void test_gradient_of_each_is_the_slope(void **state) {
    (void)state;
    static batch b;
    float gradient[CELLS], unused[CELLS];
    draw(&b, 2);
    (void)run_each(&b, 0.1F, false, gradient);
    const float step = 1e-2F;
    for (int i = 0; i < CELLS; i++) {
        const float at = b.logits[i];
        b.logits[i] = at + step;
        const double up = (double)run_each(&b, 0.1F, true, unused);
        b.logits[i] = at - step;
        const double down = (double)run_each(&b, 0.1F, true, unused);
        b.logits[i] = at;
        assert_float_equal(gradient[i], ((up - down) / (2.0 * (double)step)), 1e-4);
    }
}

/// By hand: one sample, logits 0 and ln 3, of which the first is there.
static void test_each_by_hand(void **state) {
    (void)state;
    const float logits[] = {0.0F, logf(3.0F)};
    const float targets[] = {1.0F, 0.0F};
    float gradient[2], rows[1];
    const nn__loss loss = {.logits = logits,
                           .targets = targets,
                           .batch_size = 1,
                           .class_count = 2,
                           .gradient = gradient,
                           .row_loss = rows};
    assert_float_equal(nn__loss_run(&loss), logf(2.0F) + logf(4.0F), 1e-6);
    assert_float_equal(gradient[0], -0.5, 1e-6);
    assert_float_equal(gradient[1], 0.75, 1e-6);
}

static void test_weighted_agrees_with_reference(void **state) {
    (void)state;
    static batch b;
    float weights[CLASSES], got[CELLS], want[CELLS];
    draw(&b, 10);
    draw_weights(weights);
    for (int i = 0; i < 4; i++) {
        const float smoothing = i % 2 == 0 ? 0.0F : 0.2F;
        const float got_loss = run_weighted(&b, i / 2 == 1, smoothing, false, weights, got);
        const float want_loss = run_weighted(&b, i / 2 == 1, smoothing, true, weights, want);
        assert_close(&got_loss, &want_loss, 1, 1e-6);
        assert_close(got, want, CELLS, 1e-6);
    }
}

/// An image counts as often as its label's weight says; weights of 1 change no bit.
static void test_weights_are_multiples(void **state) {
    (void)state;
    static batch b;
    float weights[CLASSES], weighted[CELLS], plain[CELLS], want[CELLS];
    draw(&b, 3);
    draw_weights(weights);
    (void)run_weighted(&b, false, 0.1F, false, weights, weighted);
    (void)run(&b, false, 0.1F, false, plain);
    for (int i = 0; i < CELLS; i++) {
        want[i] = weights[b.labels[i / CLASSES]] * plain[i];
    }
    assert_close(weighted, want, CELLS, 1e-6);
    for (int k = 0; k < CLASSES; k++) {
        weights[k] = 1.0F;
    }
    const float loss = run(&b, true, 0.1F, false, plain);
    const float same = run_weighted(&b, true, 0.1F, false, weights, weighted);
    assert_close(&same, &loss, 1, 1e-6);
    assert_close(weighted, plain, CELLS, 1e-6);
}

static void test_weighted_gradient_is_the_slope(void **state) {
    (void)state;
    static batch b;
    float weights[CLASSES], gradient[CELLS], unused[CELLS];
    draw(&b, 2);
    draw_weights(weights);
    (void)run_weighted(&b, true, 0.1F, false, weights, gradient);
    const float step = 1e-2F;
    for (int i = 0; i < CELLS; i += 5) {
        const float at = b.logits[i];
        b.logits[i] = at + step;
        const double up = (double)run_weighted(&b, true, 0.1F, true, weights, unused);
        b.logits[i] = at - step;
        const double down = (double)run_weighted(&b, true, 0.1F, true, weights, unused);
        b.logits[i] = at;
        assert_float_equal(gradient[i], ((up - down) / (2.0 * (double)step)), 2e-4);
    }
}

/// Computed by hand: 1 / sqrt(n), and (1 - b) / (1 - b^n) with b = 0.999, of mean 1 over the images.
static void test_class_weights(void **state) {
    (void)state;
    const size_t counts[] = {100, 0, 1, 25};
    const float root[] = {0.7875F, 1.0F, 7.875F, 1.575F}; // 126 / 16 / sqrt(n)
    float got[4];
    nn__class_weights(NN_BALANCE_ROOT, counts, 4, got);
    assert_close(got, root, 4, 1e-6);
    const size_t many[] = {1000, 10};
    const double raw[] = {0.001 / (1 - pow(0.999, 1000)), 0.001 / (1 - pow(0.999, 10))};
    const double mean = (1000 * raw[0] + 10 * raw[1]) / 1010;
    const float effective[] = {(float)(raw[0] / mean), (float)(raw[1] / mean)};
    nn__class_weights(NN_BALANCE_EFFECTIVE, many, 2, got);
    assert_close(got, effective, 2, 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_agrees_with_reference),
        cmocka_unit_test(test_weighted_agrees_with_reference),
        cmocka_unit_test(test_weights_are_multiples),
        cmocka_unit_test(test_weighted_gradient_is_the_slope),
        cmocka_unit_test(test_class_weights),
        cmocka_unit_test(test_mixup_is_the_mixed_loss),
        cmocka_unit_test(test_gradient_is_the_slope),
        cmocka_unit_test(test_each_agrees_with_reference),
        cmocka_unit_test(test_gradient_of_each_is_the_slope),
        cmocka_unit_test(test_each_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
