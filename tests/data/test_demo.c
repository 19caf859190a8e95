// The demo set: the same bytes everywhere, balanced, and not solved by averages.

#include "tests/ns_test.h"

#include <string.h>

#include "data/data_internal.h"

enum { AREA = DATA__DEMO_SIDE * DATA__DEMO_SIDE };

static void test_bytes_are_golden(void **state) {
    (void)state;
    ns_error err = {0};
    ns_sha256 *hash = NULL;
    assert_ok(ns_sha256_new(&hash, &err), &err);
    for (size_t i = 0; i < DATA__DEMO_COUNT; i++) {
        uint8_t pixels[AREA];
        data__demo_draw(i, pixels);
        ns_sha256_update(hash, pixels, sizeof(pixels));
    }
    char digest[NS_SHA256_HEX_MAX];
    ns_sha256_finish(hash, digest);
    assert_string_equal(digest, "928f0f1b24cbf917818f7e042934f7a30388c8a8a76114636da18aa534a4450f");
}

static void test_pack_holds_what_was_drawn(void **state) {
    (void)state;
    ns_error err = {0};
    data_set *set = NULL;
    assert_ok(data_demo_write("demo.nsd", &err), &err);
    assert_ok(data_open("demo.nsd", &set, &err), &err);
    const data_info *info = data_describe(set);
    assert_int_equal(info->channels, 1);
    assert_int_equal(info->height, DATA__DEMO_SIDE);
    assert_int_equal(info->width, DATA__DEMO_SIDE);
    assert_int_equal(info->image_count, DATA__DEMO_COUNT);
    assert_int_equal(info->label_count, DATA__DEMO_LABEL_COUNT);
    assert_string_equal(info->sha256,
                        "ab8e95e1d608430597245a51d100d5a6de723d3568926c9a466cd2922dcfe279");
    assert_non_null(strstr(info->provenance, "{\"source\":\"demo\",\"program\":\"nightshift "));
    assert_string_equal(info->labels[0], "circle");
    assert_string_equal(info->labels[9], "wave");
    assert_null(data_name(set, 0));
    for (size_t i = 0; i < info->image_count; i += 97) {
        uint8_t pixels[AREA];
        data__demo_draw(i, pixels);
        assert_memory_equal(data_pixels(set, i), pixels, AREA);
        assert_int_equal(data_label(set, i), data__demo_label(i));
    }
    data_close(set);
}

static void test_splits_are_balanced(void **state) {
    (void)state;
    static const size_t want[DATA_SPLIT_COUNT] = {
        DATA__DEMO_TRAIN_COUNT, DATA__DEMO_VALIDATION_COUNT, DATA__DEMO_TEST_COUNT};
    ns_error err = {0};
    data_set *set = NULL;
    assert_ok(data_demo_write("demo.nsd", &err), &err);
    assert_ok(data_open("demo.nsd", &set, &err), &err);
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        assert_int_equal(data_describe(set)->split_count[split], want[split]);
        for (int label = 0; label < DATA__DEMO_LABEL_COUNT; label++) {
            assert_int_equal(data_label_count(set, (data_split)split, label),
                             want[split] / DATA__DEMO_LABEL_COUNT);
        }
    }
    data_close(set);
}

static int nearest_mean(const uint8_t *pixels, float means[DATA__DEMO_LABEL_COUNT][AREA]) {
    int nearest = 0;
    double distance_min = 0.0;
    for (int label = 0; label < DATA__DEMO_LABEL_COUNT; label++) {
        double distance = 0.0;
        for (int i = 0; i < AREA; i++) {
            const double difference = (double)pixels[i] - (double)means[label][i];
            distance += difference * difference;
        }
        if (label == 0 || distance < distance_min) {
            distance_min = distance;
            nearest = label;
        }
    }
    return nearest;
}

// Comparing with the mean image of each label is far better than chance (10 %) and far from good:
// there is something to learn and something to search for.
static void test_means_do_not_solve_it(void **state) {
    (void)state;
    static float means[DATA__DEMO_LABEL_COUNT][AREA];
    memset(means, 0, sizeof(means));
    uint8_t pixels[AREA];
    for (size_t i = 0; i < DATA__DEMO_TRAIN_COUNT; i++) {
        data__demo_draw(i, pixels);
        for (int at = 0; at < AREA; at++) {
            means[data__demo_label(i)][at] +=
                (float)pixels[at] * ((float)DATA__DEMO_LABEL_COUNT / DATA__DEMO_TRAIN_COUNT);
        }
    }
    size_t right_count = 0;
    for (size_t i = DATA__DEMO_COUNT - DATA__DEMO_TEST_COUNT; i < DATA__DEMO_COUNT; i++) {
        data__demo_draw(i, pixels);
        right_count += nearest_mean(pixels, means) == data__demo_label(i);
    }
    assert_in_range(right_count, DATA__DEMO_TEST_COUNT / 5, DATA__DEMO_TEST_COUNT * 7 / 10);
}

static void test_unwritable_path_is_told(void **state) {
    (void)state;
    ns_error err = {0};
    if (data_demo_write("no/such/folder/demo.nsd", &err) == NS_OK) {
        fail_msg("a pack was written into a folder that is not there");
    }
    assert_non_null(strstr(err.text, "no/such/folder"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_golden),
        cmocka_unit_test(test_pack_holds_what_was_drawn),
        cmocka_unit_test(test_splits_are_balanced),
        cmocka_unit_test(test_means_do_not_solve_it),
        cmocka_unit_test(test_unwritable_path_is_told),
    };
    return cmocka_run_group_tests_name("data/demo", tests, NULL, NULL);
}
