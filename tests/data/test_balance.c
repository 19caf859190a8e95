// Balanced batches: every label equally often, whatever there is of it, and the same again.
//
// The pack has 60, 6 and 1 train images of its labels, none of a fourth, and 3 validation images.

#include "tests/ns_test.h"

#include <string.h>

#include "data/augment.h"

enum { LABELS = 4, TRAIN_COUNT = 67, BATCH = 8, EPOCH = TRAIN_COUNT / BATCH * BATCH, SIZE = 4 };

#define PACK "balance.nsd"

static const int COUNTS[LABELS] = {60, 6, 0, 1};

static ns_status add_image(data__pack_writer *writer, int name, int label, data_split split) {
    const uint8_t pixels[SIZE] = {(uint8_t)name, (uint8_t)(200 - name), 0, 255};
    ns_error err = {0};
    return data__pack_add(writer, pixels, label, split, &err);
}

static int make_pack(void **state) {
    static const char *const labels[LABELS] = {"a", "b", "c", "d"};
    const data__pack_spec spec = {.channels = 1,
                                  .height = 2,
                                  .width = 2,
                                  .label_count = LABELS,
                                  .labels = labels,
                                  .source = "a test"};
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    data_set *set = NULL;
    assert_ok(data__pack_begin(PACK, &spec, &writer, &err), &err);
    int name = 0;
    for (int label = 0; label < LABELS; label++) {
        for (int i = 0; i < COUNTS[label]; i++) {
            assert_int_equal(add_image(writer, name++, label, DATA_TRAIN), NS_OK);
        }
    }
    for (int label = 0; label < 3; label++) {
        assert_int_equal(add_image(writer, name++, label, DATA_VALIDATION), NS_OK);
    }
    assert_ok(data__pack_finish(writer, &err), &err);
    assert_ok(data_open(PACK, &set, &err), &err);
    *state = set;
    return 0;
}

static int close_pack(void **state) {
    data_close(*state);
    return 0;
}

static data_loader *loader_of(const data_set *set, bool augmented) {
    const data_loader_options options = {.split = DATA_TRAIN,
                                         .batch_size = BATCH,
                                         .shuffle = true,
                                         .balance = true,
                                         .augment = {.shift_px = augmented ? 1 : 0},
                                         .seed = 5,
                                         .thread_count = 1};
    ns_error err = {0};
    data_loader *loader = NULL;
    assert_ok(data_loader_new(set, &options, &loader, &err), &err);
    return loader;
}

static void read_epoch(data_loader *loader, float *x, int32_t *labels) {
    for (int at = 0; at < EPOCH; at += BATCH) {
        data_batch batch = {0};
        batch.x = x + (size_t)at * SIZE;
        batch.labels = labels + at;
        assert_int_equal(data_loader_next(loader, &batch), BATCH);
    }
}

static void test_labels_are_equally_frequent(void **state) {
    data_loader *loader = loader_of(*state, false);
    float x[EPOCH * SIZE];
    int32_t labels[EPOCH];
    int count[LABELS] = {0};
    for (int epoch = 0; epoch < 30; epoch++) {
        read_epoch(loader, x, labels);
        for (int i = 0; i < EPOCH; i++) {
            count[labels[i]]++;
        }
    }
    assert_int_equal(count[2], 0);
    for (int label = 0; label < LABELS; label++) {
        if (COUNTS[label] > 0) {
            assert_in_range(count[label], 30 * EPOCH / 3 - 40, 30 * EPOCH / 3 + 40);
        }
    }
    data_loader_free(loader);
}

/// Images of a frequent label come at most once an epoch, those of a rare one alike often.
static void test_images_take_turns(void **state) {
    const data_set *set = *state;
    size_t image_count = 0;
    const uint32_t *images = data_indices(set, DATA_TRAIN, &image_count);
    data__balance *balance = data__balance_new(set, images, image_count);
    assert_non_null(balance);
    for (uint64_t epoch = 0; epoch < 10; epoch++) {
        uint32_t order[TRAIN_COUNT];
        int seen[TRAIN_COUNT + 3] = {0};
        data__balance_order(balance, 1, epoch, order);
        for (int i = 0; i < TRAIN_COUNT; i++) {
            seen[order[i]]++;
        }
        for (uint32_t i = 0; i < TRAIN_COUNT; i++) {
            const int label = data_label(set, images[i]);
            const int least = TRAIN_COUNT / 3 / COUNTS[label];
            assert_in_range(seen[images[i]], least, least + 1);
        }
    }
    data__balance_free(balance);
}

static void test_a_seek_comes_to_the_same(void **state) {
    data_loader *loader = loader_of(*state, true);
    data_loader *again = loader_of(*state, true);
    float x[EPOCH * SIZE], x_again[EPOCH * SIZE];
    int32_t labels[EPOCH], labels_again[EPOCH];
    for (int epoch = 0; epoch < 3; epoch++) {
        read_epoch(loader, x, labels);
    }
    data_loader_seek(again, UINT64_C(2) * EPOCH);
    read_epoch(again, x_again, labels_again);
    assert_memory_equal(labels, labels_again, sizeof(labels));
    assert_memory_equal(x, x_again, sizeof(x));
    data_loader_free(loader);
    data_loader_free(again);
}

/// The one image of the last label is another each time that it is drawn in an epoch.
static void test_repetitions_differ(void **state) {
    data_loader *loader = loader_of(*state, true);
    float x[EPOCH * SIZE];
    int32_t labels[EPOCH];
    int differing = 0;
    const float *first = NULL;
    read_epoch(loader, x, labels);
    for (int i = 0; i < EPOCH; i++) {
        const float *image = x + (size_t)i * SIZE;
        if (labels[i] == 3) {
            first = first == NULL ? image : first;
            differing += memcmp(first, image, SIZE * sizeof(float)) != 0;
        }
    }
    assert_in_range(differing, 5, EPOCH);
    data_loader_free(loader);
}

static void test_imbalance_is_told(void **state) {
    assert_float_equal(data_describe(*state)->train_imbalance, 60.0, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_are_equally_frequent),
        cmocka_unit_test(test_images_take_turns),
        cmocka_unit_test(test_a_seek_comes_to_the_same),
        cmocka_unit_test(test_repetitions_differ),
        cmocka_unit_test(test_imbalance_is_told),
    };
    return cmocka_run_group_tests(tests, make_pack, close_pack);
}
