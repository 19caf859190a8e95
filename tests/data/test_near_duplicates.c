// Near-duplicates: all pairs that a slow search finds are found, changed copies are pairs, pictures
// that only look alike from afar are none.

#include "tests/data/sources.h"

enum { SIDE = 24, SIZE = SIDE * SIDE };

static const char *const labels[] = {"a", "b"};

/// A picture of random blocks, 3x3 pixels each, with some noise of its own.
static void draw(uint64_t seed, uint64_t noise_seed, int noise, uint8_t pixels[SIZE]) {
    ns_rng blocks = ns_rng_stream(seed, 0, "blocks");
    ns_rng grain = ns_rng_stream(noise_seed, 0, "noise");
    uint8_t block[64];
    for (int i = 0; i < 64; i++) {
        block[i] = (uint8_t)(20 + ns_rng_below(&blocks, 200));
    }
    for (int i = 0; i < SIZE; i++) {
        const int value = block[i / SIDE / 3 * 8 + i % SIDE / 3];
        pixels[i] = (uint8_t)(value + (noise > 0 ? (int)ns_rng_below(&grain, (uint32_t)noise) : 0));
    }
}

static data_set *pack_of(const uint64_t (*seeds)[2], size_t count, int noise) {
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    data_set *set = NULL;
    const data__pack_spec spec = {.channels = 1,
                                  .height = SIDE,
                                  .width = SIDE,
                                  .label_count = 2,
                                  .labels = labels,
                                  .source = "here"};
    assert_ok(data__pack_begin("near.nsd", &spec, &writer, &err), &err);
    for (size_t i = 0; i < count; i++) {
        uint8_t pixels[SIZE];
        draw(seeds[i][0], seeds[i][1], noise, pixels);
        assert_ok(data__pack_add(writer, pixels, (int)(i % 2), (data_split)(i % 3), &err), &err);
    }
    assert_ok(data__pack_finish(writer, &err), &err);
    assert_ok(data_open("near.nsd", &set, &err), &err);
    return set;
}

static void test_copies_are_found(void **state) {
    (void)state;
    enum { COUNT = 600, COPIED = 40 };
    static uint64_t seeds[COUNT][2];
    ns_error err = {0};
    for (size_t i = 0; i < COUNT; i++) { // the last 40 are copies of the first, with other noise
        seeds[i][0] = i < COUNT - COPIED ? i : i - (COUNT - COPIED);
        seeds[i][1] = 1000 + i;
    }
    data_set *set = pack_of((const uint64_t(*)[2])seeds, COUNT, 2);
    data_near_duplicates found;
    assert_ok(data_near_duplicates_find(set, 2, &found, &err), &err);
    assert_true(found.complete);
    assert_int_equal(found.count, COPIED);
    size_t across = 0;
    for (size_t i = 0; i < found.count; i++) {
        const data_near_pair pair = found.pairs[i];
        assert_int_equal(pair.b - pair.a, COUNT - COPIED);
        assert_int_equal(pair.across, pair.a % 3 != pair.b % 3);
        assert_true(pair.difference > 0.0f && pair.difference < 2.0f);
        assert_true(i == 0 || !pair.across || found.pairs[i - 1].across);
        across += pair.across;
    }
    assert_int_equal(found.across_count, across);
    data_near_duplicates_free(&found);
    data_close(set);
}

/// The same gradient signs in all of them, but quite different greys.
static void test_alike_from_afar_is_not_enough(void **state) {
    (void)state;
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    data_set *set = NULL;
    const data__pack_spec spec = {1, SIDE, SIDE, .label_count = 2, .labels = labels, .source = "x"};
    assert_ok(data__pack_begin("near.nsd", &spec, &writer, &err), &err);
    for (int i = 0; i < 6; i++) {
        uint8_t pixels[SIZE];
        memset(pixels, 30 * i, sizeof(pixels));
        assert_ok(data__pack_add(writer, pixels, i % 2, DATA_TRAIN, &err), &err);
    }
    assert_ok(data__pack_finish(writer, &err), &err);
    assert_ok(data_open("near.nsd", &set, &err), &err);
    data_near_duplicates found;
    assert_ok(data_near_duplicates_find(set, 1, &found, &err), &err);
    assert_int_equal(found.count, 0);
    data_near_duplicates_free(&found);
    data_close(set);
}

/// Very many copies of one picture end soon, and say that they are not all.
static void test_many_copies_are_cut_off(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    static uint64_t seeds[COUNT][2];
    ns_error err = {0};
    data_set *set = pack_of((const uint64_t(*)[2])seeds, COUNT, 0);
    data_near_duplicates found;
    assert_ok(data_near_duplicates_find(set, 2, &found, &err), &err);
    assert_false(found.complete);
    assert_int_equal(found.count, 100000);
    assert_true(found.pairs[0].difference < 1e-6f);
    data_near_duplicates_free(&found);
    data_close(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_are_found),
        cmocka_unit_test(test_alike_from_afar_is_not_enough),
        cmocka_unit_test(test_many_copies_are_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
