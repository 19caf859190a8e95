// Batches: order, padding, epochs, seeking, and independence of the number of threads.
//
// The pack under test has 23 train images and 7 validation images of 3x4x5 whose pixels and labels
// name the image, and an empty test split.

#include "tests/ns_test.h"

#include <string.h>

#include "data/augment.h"

enum {
    CHANNELS = 3,
    HEIGHT = 4,
    WIDTH = 5,
    SIZE = CHANNELS * HEIGHT * WIDTH,
    TRAIN_COUNT = 23,
    VALIDATION_COUNT = 7,
    IMAGE_COUNT = TRAIN_COUNT + VALIDATION_COUNT,
    BATCH_MAX = 23,
    MULTI_IMAGES = 8,
    MULTI_LABELS = 3,
};

#define PACK "loader.nsd"

static int make_pack(void **state) {
    static const char *labels[IMAGE_COUNT];
    static char names[IMAGE_COUNT][16];
    for (int i = 0; i < IMAGE_COUNT; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "label %02d", i);
        labels[i] = names[i];
    }
    const data__pack_spec spec = {
        .channels = CHANNELS,
        .height = HEIGHT,
        .width = WIDTH,
        .label_count = IMAGE_COUNT, // one for each image: a batch's labels tell its images
        .labels = labels,
        .source = "a test",
    };
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    if (data__pack_begin(PACK, &spec, &writer, &err) != NS_OK) {
        return -1;
    }
    for (int i = 0; i < IMAGE_COUNT; i++) {
        uint8_t pixels[SIZE];
        for (int at = 0; at < SIZE; at++) {
            pixels[at] = (uint8_t)(7 * i + at);
        }
        const data_split split = i < TRAIN_COUNT ? DATA_TRAIN : DATA_VALIDATION;
        if (data__pack_add(writer, pixels, i, split, &err) != NS_OK) {
            data__pack_abort(writer);
            return -1;
        }
    }
    data_set *set = NULL;
    if (data__pack_finish(writer, &err) != NS_OK || data_open(PACK, &set, &err) != NS_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    *state = set;
    return 0;
}

static int close_pack(void **state) {
    data_close(*state);
    return 0;
}

static data_loader_options train_options(int batch_size) {
    return (data_loader_options){
        .split = DATA_TRAIN,
        .batch_size = batch_size,
        .shuffle = true,
        .augment = {.mirror = true,
                    .shift_px = 1,
                    .cutout_px = 1,
                    .rotation_degrees = 30.0f,
                    .zoom_percent = 20.0f,
                    .shear_degrees = 10.0f,
                    .erase_probability = 0.5f,
                    .mixup_alpha = 0.4f},
        .seed = 42,
        .thread_count = 1,
    };
}

static data_loader *loader_of(const data_set *set, data_loader_options options) {
    ns_error err = {0};
    data_loader *loader = NULL;
    assert_ok(data_loader_new(set, &options, &loader, &err), &err);
    return loader;
}

static size_t next_batch(data_loader *loader, float *x, int32_t *labels) {
    int32_t partner_labels[BATCH_MAX] = {0};
    float lambdas[BATCH_MAX] = {0};
    data_batch batch = {.partner_labels = partner_labels, .lambdas = lambdas};
    batch.x = x;
    batch.labels = labels;
    return data_loader_next(loader, &batch);
}

static void test_unshuffled_epoch(void **state) {
    const data_set *set = *state;
    const data_info *info = data_describe(set);
    data_loader *loader =
        loader_of(set, (data_loader_options){.split = DATA_VALIDATION, .batch_size = 4});
    float x[4 * SIZE];
    int32_t labels[4];
    for (int epoch = 0; epoch < 2; epoch++) {
        assert_int_equal(next_batch(loader, x, labels), 4);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(labels[i], TRAIN_COUNT + i);
            for (int at = 0; at < SIZE; at++) {
                const int c = at / (HEIGHT * WIDTH);
                const float pixel = (float)(uint8_t)(7 * (TRAIN_COUNT + i) + at);
                const float want = (pixel - info->mean[c]) / info->deviation[c];
                assert_float_equal(x[i * SIZE + at], want, 1e-5f);
            }
        }
        assert_int_equal(next_batch(loader, x, labels), 3);
        assert_int_equal(labels[2], IMAGE_COUNT - 1);
        assert_int_equal(labels[3], 0); // padding
        for (int at = 0; at < SIZE; at++) {
            assert_float_equal(x[3 * SIZE + at], 0.0f, 0.0f);
        }
        assert_int_equal(next_batch(loader, x, labels), 0);
        assert_int_equal(data_loader_position(loader), (epoch + 1) * VALIDATION_COUNT);
    }
    data_loader_free(loader);
}

static void test_unshuffled_epoch_of_whole_batches(void **state) {
    data_loader *loader =
        loader_of(*state, (data_loader_options){.split = DATA_VALIDATION, .batch_size = 7});
    float x[7 * SIZE];
    int32_t labels[7];
    assert_int_equal(next_batch(loader, x, labels), 7);
    assert_int_equal(next_batch(loader, x, labels), 0);
    assert_int_equal(next_batch(loader, x, labels), 7);
    data_loader_seek(loader, 7); // the start of the second epoch, whose end is still to come
    assert_int_equal(next_batch(loader, x, labels), 7);
    assert_int_equal(next_batch(loader, x, labels), 0);
    data_loader_free(loader);
}

static void test_batch_larger_than_the_split(void **state) {
    data_loader *loader =
        loader_of(*state, (data_loader_options){.split = DATA_VALIDATION, .batch_size = 20});
    float x[20 * SIZE];
    int32_t labels[20];
    assert_int_equal(next_batch(loader, x, labels), VALIDATION_COUNT);
    assert_int_equal(next_batch(loader, x, labels), 0);
    data_loader_free(loader);
}

static void test_shuffled_epochs(void **state) {
    enum { BATCH = 5, BATCHES = TRAIN_COUNT / BATCH, EPOCHS = 6 };
    data_loader *loader = loader_of(*state, train_options(BATCH));
    float x[BATCH * SIZE];
    int32_t order[EPOCHS][BATCHES * BATCH];
    bool ever_seen[TRAIN_COUNT] = {false};
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        bool seen[TRAIN_COUNT] = {false};
        for (int batch = 0; batch < BATCHES; batch++) {
            int32_t *labels = order[epoch] + (size_t)batch * BATCH;
            assert_int_equal(next_batch(loader, x, labels), BATCH);
            for (int i = 0; i < BATCH; i++) {
                assert_in_range(labels[i], 0, TRAIN_COUNT - 1);
                assert_false(seen[labels[i]]); // an epoch shows no image twice
                seen[labels[i]] = true;
                ever_seen[labels[i]] = true;
            }
        }
        for (int earlier = 0; earlier < epoch; earlier++) {
            assert_memory_not_equal(order[epoch], order[earlier], sizeof(order[epoch]));
        }
    }
    for (int i = 0; i < TRAIN_COUNT; i++) {
        assert_true(ever_seen[i]); // what one epoch leaves out, another shows
    }
    assert_int_equal(data_loader_position(loader), EPOCHS * BATCHES * BATCH);
    data_loader_free(loader);
}

/// Train and validation together: each image once in an epoch, and nobody's order is another's.
static void test_two_splits(void **state) {
    enum { BATCH = 5, EPOCHS = 2 };
    data_loader_options options = train_options(BATCH);
    options.with_validation = true;
    data_loader *loader = loader_of(*state, options);
    float x[BATCH * SIZE];
    int32_t order[EPOCHS][IMAGE_COUNT];
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        bool seen[IMAGE_COUNT] = {false};
        for (int i = 0; i < IMAGE_COUNT; i++) {
            if (i % BATCH == 0) {
                assert_int_equal(next_batch(loader, x, order[epoch] + i), BATCH);
            }
            assert_in_range(order[epoch][i], 0, IMAGE_COUNT - 1);
            assert_false(seen[order[epoch][i]]);
            seen[order[epoch][i]] = true;
        }
    }
    assert_memory_not_equal(order[0], order[1], sizeof(order[0]));
    data_loader_free(loader);

    float all[VALIDATION_COUNT * SIZE];
    options = (data_loader_options){
        .split = DATA_VALIDATION, .with_validation = true, .batch_size = VALIDATION_COUNT};
    loader = loader_of(*state, options); // twice the same is once
    assert_int_equal(next_batch(loader, all, order[0]), VALIDATION_COUNT);
    assert_int_equal(next_batch(loader, all, order[0]), 0);
    data_loader_free(loader);
}

static void test_seek_continues_exactly(void **state) {
    enum { BATCH = 4, STEPS = 40 };
    static float x[STEPS][BATCH * SIZE];
    static int32_t labels[STEPS][BATCH];
    uint64_t positions[STEPS];
    data_loader *whole = loader_of(*state, train_options(BATCH));
    for (int step = 0; step < STEPS; step++) {
        positions[step] = data_loader_position(whole);
        (void)next_batch(whole, x[step], labels[step]);
    }
    data_loader_free(whole);
    for (int from = STEPS - 2; from >= 0; from -= 3) {
        data_loader *resumed = loader_of(*state, train_options(BATCH));
        data_loader_seek(resumed, positions[from]);
        for (int step = from; step < STEPS; step++) {
            float got_x[BATCH * SIZE];
            int32_t got_labels[BATCH];
            assert_int_equal(next_batch(resumed, got_x, got_labels), BATCH);
            assert_memory_equal(got_labels, labels[step], sizeof(got_labels));
            assert_memory_equal(got_x, x[step], sizeof(got_x));
        }
        data_loader_free(resumed);
    }
}

static void test_thread_count_changes_nothing(void **state) {
    enum { BATCH = BATCH_MAX };
    data_loader_options options = train_options(BATCH);
    data_loader *alone = loader_of(*state, options);
    options.thread_count = 3;
    data_loader *together = loader_of(*state, options);
    static float x[2][BATCH * SIZE];
    int32_t labels[2][BATCH];
    for (int step = 0; step < 5; step++) {
        (void)next_batch(alone, x[0], labels[0]);
        (void)next_batch(together, x[1], labels[1]);
        assert_memory_equal(labels[0], labels[1], sizeof(labels[0]));
        assert_memory_equal(x[0], x[1], sizeof(x[0]));
    }
    data_loader_free(alone);
    data_loader_free(together);
}

static void test_seed_changes_order(void **state) {
    data_loader_options options = train_options(BATCH_MAX);
    data_loader *one = loader_of(*state, options);
    options.seed++;
    data_loader *other = loader_of(*state, options);
    static float x[BATCH_MAX * SIZE];
    int32_t labels[2][BATCH_MAX];
    (void)next_batch(one, x, labels[0]);
    (void)next_batch(other, x, labels[1]);
    assert_memory_not_equal(labels[0], labels[1], sizeof(labels[0]));
    data_loader_free(one);
    data_loader_free(other);
}

static void test_epochs_differ_in_augmentation(void **state) {
    data_loader_options options = train_options(1);
    options.shuffle = false;
    data_loader *loader = loader_of(*state, options);
    float x[2][SIZE];
    int32_t label = 0;
    int same_count = 0;
    for (int image = 0; image < TRAIN_COUNT; image++) {
        for (int epoch = 0; epoch < 2; epoch++) {
            data_loader_seek(loader, (uint64_t)(epoch * TRAIN_COUNT + image));
            assert_int_equal(next_batch(loader, x[epoch], &label), 1);
            assert_int_equal(label, image);
        }
        same_count += memcmp(x[0], x[1], sizeof(x[0])) == 0;
    }
    assert_in_range(same_count, 0, TRAIN_COUNT / 4);
    data_loader_free(loader);
}

// Mixtures against the unmixed batch; the lambdas against their own draws.
static void test_mixup(void **state) {
    enum { BATCH = 7, STEPS = 5, LAST = BATCH - 1 };
    data_loader_options options = train_options(BATCH);
    options.augment.mixup_alpha = 0.0f;
    data_loader *plain = loader_of(*state, options);
    options.augment.mixup_alpha = 0.4f;
    data_loader *mixed = loader_of(*state, options);
    options.thread_count = 3;
    data_loader *together = loader_of(*state, options);
    for (int step = 0; step < STEPS; step++) {
        float x[3][BATCH * SIZE] = {{0}};
        int32_t labels[3][BATCH] = {{0}}, partners[3][BATCH] = {{0}};
        float lambdas[3][BATCH] = {{0}};
        data_loader *loaders[3] = {plain, mixed, together};
        for (int i = 0; i < 3; i++) {
            const data_batch batch = {.x = x[i],
                                      .labels = labels[i],
                                      .partner_labels = partners[i],
                                      .lambdas = lambdas[i]};
            assert_int_equal(data_loader_next(loaders[i], &batch), BATCH);
        }
        assert_memory_equal(x[1], x[2], sizeof(x[1]));
        assert_memory_equal(partners[1], partners[2], sizeof(partners[1]));
        assert_memory_equal(lambdas[1], lambdas[2], sizeof(lambdas[1]));
        assert_memory_equal(labels[0], labels[1], sizeof(labels[0]));
        assert_memory_equal(labels[0], partners[0], sizeof(labels[0]));
        for (int i = 0; i < BATCH; i++) {
            const int partner = i == LAST ? i : i ^ 1;
            const float lambda = lambdas[1][i];
            assert_int_equal(partners[1][i], labels[0][partner]);
            assert_float_equal(lambdas[0][i], 1.0f, 0.0f);
            assert_true(i == LAST ? lambda == 1.0f : lambda >= 0.5f && lambda <= 1.0f);
            for (int at = 0; at < SIZE; at++) {
                const float want =
                    lambda * x[0][i * SIZE + at] + (1 - lambda) * x[0][partner * SIZE + at];
                assert_float_equal(x[1][i * SIZE + at], want, 1e-5f);
            }
        }
    }
    data_loader_free(plain);
    data_loader_free(mixed);
    data_loader_free(together);
}

/// Image i of the multi-label pack has label k where bit k of i is set.
static data_set *multi_set(void) {
    static const char *const names[MULTI_LABELS] = {"a", "b", "c"};
    const data__pack_spec spec = {.channels = 1,
                                  .height = 2,
                                  .width = 2,
                                  .label_count = MULTI_LABELS,
                                  .multi_label = true,
                                  .labels = names,
                                  .source = "a test"};
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    data_set *set = NULL;
    assert_ok(data__pack_begin("multi.nsd", &spec, &writer, &err), &err);
    for (int i = 0; i < MULTI_IMAGES; i++) {
        const uint8_t pixels[4] = {(uint8_t)i, 0, 0, 0};
        uint16_t labels[MULTI_LABELS];
        size_t count = 0;
        for (int k = 0; k < MULTI_LABELS; k++) {
            if (i >> k & 1) {
                labels[count++] = (uint16_t)k;
            }
        }
        assert_ok(data__pack_add_labels(writer, pixels, labels, count, DATA_TRAIN, &err), &err);
    }
    assert_ok(data__pack_finish(writer, &err), &err);
    assert_ok(data_open("multi.nsd", &set, &err), &err);
    return set;
}

static void test_targets(void **state) {
    (void)state;
    data_set *set = multi_set();
    data_loader *loader = loader_of(
        set, (data_loader_options){.split = DATA_TRAIN, .batch_size = 6, .thread_count = 1});
    float x[6 * 4];
    float targets[6 * MULTI_LABELS];
    const data_batch batch = {.x = x, .targets = targets};
    assert_int_equal(data_loader_next(loader, &batch), 6);
    for (int i = 0; i < 6 * MULTI_LABELS; i++) {
        assert_float_equal(targets[i], (float)(i / MULTI_LABELS >> i % MULTI_LABELS & 1), 0);
    }
    assert_int_equal(data_loader_next(loader, &batch), 2); // images 6 and 7, and padding
    for (int i = 0; i < 6 * MULTI_LABELS; i++) {
        const int image = i / MULTI_LABELS < 2 ? 6 + i / MULTI_LABELS : 0;
        assert_float_equal(targets[i], (float)(image >> i % MULTI_LABELS & 1), 0);
    }
    data_loader_free(loader);
    data_close(set);
}

/// Targets are mixed as the pixels are: by the first pixel, which is linear in the image.
static void test_targets_are_mixed(void **state) {
    (void)state;
    data_set *set = multi_set();
    data_loader_options options = {.split = DATA_TRAIN,
                                   .batch_size = MULTI_IMAGES,
                                   .shuffle = true,
                                   .seed = 5,
                                   .thread_count = 1};
    data_loader *plain = loader_of(set, options);
    options.augment.mixup_alpha = 0.4f;
    data_loader *mixed = loader_of(set, options);
    float x[2][MULTI_IMAGES * 4];
    float t[2][MULTI_IMAGES * MULTI_LABELS];
    (void)data_loader_next(plain, &(data_batch){.x = x[0], .targets = t[0]});
    (void)data_loader_next(mixed, &(data_batch){.x = x[1], .targets = t[1]});
    for (size_t i = 0; i < MULTI_IMAGES; i++) {
        const size_t j = i ^ 1;
        const float lambda = (x[1][4 * i] - x[0][4 * j]) / (x[0][4 * i] - x[0][4 * j]);
        assert_true(lambda >= 0.499f && lambda <= 1.001f);
        for (size_t k = 0; k < MULTI_LABELS; k++) {
            const float want =
                lambda * t[0][MULTI_LABELS * i + k] + (1 - lambda) * t[0][MULTI_LABELS * j + k];
            assert_float_equal(t[1][MULTI_LABELS * i + k], want, 1e-4f);
        }
    }
    data_loader_free(plain);
    data_loader_free(mixed);
    data_close(set);
}

static void test_agreement(void **state) {
    (void)state;
    const uint8_t none[] = {0, 0, 0}, some[] = {1, 0, 1};
    assert_float_equal(data_agreement((const float[]){0.1f, 0.2f, 0.49f}, none, 3), 1, 0);
    assert_float_equal(data_agreement((const float[]){0.1f, 0.5f, 0.2f}, none, 3), 0, 0);
    assert_float_equal(data_agreement((const float[]){0.9f, 0.4f, 0.5f}, some, 3), 1, 0);
    assert_float_equal(data_agreement((const float[]){0.9f, 0.6f, 0.1f}, some, 3), 1.0 / 3, 1e-9);
    assert_float_equal(data_agreement((const float[]){0.9f, 0.6f, 0.9f}, some, 3), 2.0 / 3, 1e-9);
}

static void test_lambdas_are_folded_betas(void **state) {
    (void)state;
    enum { DRAWS = 20000 };
    double sum = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        const data__draw_key key = {.seed = 3, .epoch = i % 7, .image = i};
        const float lambda = data__mix_draw(1.0f, key); // Beta(1, 1) is uniform
        assert_true(lambda >= 0.5f && lambda <= 1.0f);
        assert_true(lambda == data__mix_draw(1.0f, key));
        sum += (double)lambda;
    }
    assert_float_equal((float)(sum / DRAWS), 0.75f, 0.005f);
}

/* ---- smaller images ---------------------------------------------------------------------------- */

enum { LOW = 3, NARROW = 2, SMALL = CHANNELS * LOW * NARROW };

/// What comes out is what the shrinker makes of the packed image, normalised.
static void test_images_are_shrunk(void **state) {
    const data_set *set = *state;
    const data_info *info = data_describe(set);
    ns_error err = {0};
    data_shrinker *shrinker = NULL;
    const data_size size = {LOW, NARROW};
    data_loader *loader = loader_of(
        set, (data_loader_options){.split = DATA_VALIDATION, .batch_size = 4, .size = size});
    assert_ok(data_shrinker_new(CHANNELS, (data_size){HEIGHT, WIDTH}, size, 1, &shrinker, &err),
              &err);
    float x[4 * SMALL];
    int32_t labels[4];
    assert_int_equal(next_batch(loader, x, labels), 4);
    for (int i = 0; i < 4; i++) {
        const uint8_t *want = data_shrink(shrinker, 0, data_pixels(set, (size_t)labels[i]));
        for (int at = 0; at < SMALL; at++) {
            const int c = at / (LOW * NARROW);
            assert_float_equal(x[i * SMALL + at],
                               ((float)want[at] - info->mean[c]) / info->deviation[c], 1e-5f);
        }
    }
    assert_int_equal(next_batch(loader, x, labels), 3);
    for (int at = 0; at < SMALL; at++) {
        assert_float_equal(x[3 * SMALL + at], 0.0f, 0.0f); // padding
    }
    data_shrinker_free(shrinker);
    data_loader_free(loader);
}

/// And changes are made to that: a cutout that covers it leaves nothing; threads change nothing.
static void test_changes_are_to_shrunk_images(void **state) {
    enum { BATCH = 7 };
    data_loader_options options = train_options(BATCH);
    options.size = (data_size){LOW, NARROW};
    data_loader *alone = loader_of(*state, options);
    options.thread_count = 3;
    data_loader *together = loader_of(*state, options);
    options.augment = (data_augment){.cutout_px = 2 * LOW + 1};
    data_loader *blank = loader_of(*state, options);
    for (int step = 0; step < 5; step++) {
        float x[2][BATCH * SMALL] = {{0}};
        int32_t labels[2][BATCH] = {{0}};
        assert_int_equal(next_batch(alone, x[0], labels[0]), BATCH);
        assert_int_equal(next_batch(together, x[1], labels[1]), BATCH);
        assert_memory_equal(x[0], x[1], sizeof(x[0]));
        assert_memory_equal(labels[0], labels[1], sizeof(labels[0]));
        assert_int_equal(next_batch(blank, x[0], labels[0]), BATCH);
        for (int at = 0; at < BATCH * SMALL; at++) {
            assert_float_equal(x[0][at], 0.0f, 0.0f);
        }
    }
    data_loader_free(alone);
    data_loader_free(together);
    data_loader_free(blank);
}

static void test_impossible_splits_are_refused(void **state) {
    ns_error err = {0};
    data_loader *loader = NULL;
    const data_loader_options empty = {.split = DATA_TEST, .batch_size = 1};
    assert_status(data_loader_new(*state, &empty, &loader, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "test split of a test holds no image"));
    const data_loader_options few = train_options(TRAIN_COUNT + 1);
    assert_status(data_loader_new(*state, &few, &loader, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "23 images, fewer than one batch of 24"));
    data_loader_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unshuffled_epoch),
        cmocka_unit_test(test_unshuffled_epoch_of_whole_batches),
        cmocka_unit_test(test_batch_larger_than_the_split),
        cmocka_unit_test(test_shuffled_epochs),
        cmocka_unit_test(test_two_splits),
        cmocka_unit_test(test_seek_continues_exactly),
        cmocka_unit_test(test_thread_count_changes_nothing),
        cmocka_unit_test(test_seed_changes_order),
        cmocka_unit_test(test_epochs_differ_in_augmentation),
        cmocka_unit_test(test_mixup),
        cmocka_unit_test(test_images_are_shrunk),
        cmocka_unit_test(test_changes_are_to_shrunk_images),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_targets_are_mixed),
        cmocka_unit_test(test_agreement),
        cmocka_unit_test(test_lambdas_are_folded_betas),
        cmocka_unit_test(test_impossible_splits_are_refused),
    };
    return cmocka_run_group_tests_name("data/loader", tests, make_pack, close_pack);
}
