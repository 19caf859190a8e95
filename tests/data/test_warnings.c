// What is said of sets that are hard to learn from, and that nothing is said of others.

#include "tests/data/sources.h"

/// Warnings of a set of two labels with these numbers of images, half of those of `b` in test when
/// `split`; as JSON text, malloced.
static char *warnings_of(int a_count, int b_count, const char *provenance) {
    static const char *const labels[] = {"a", "b"};
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    data_set *set = NULL;
    char *text = NULL;
    const data__pack_spec spec = {
        1, 1, 1, .label_count = 2, .labels = labels, .source = "x", .provenance = provenance};
    assert_ok(data__pack_begin("warnings.nsd", &spec, &writer, &err), &err);
    for (int i = 0; i < a_count + b_count; i++) {
        const uint8_t pixel = (uint8_t)i;
        assert_ok(data__pack_add(writer, &pixel, i >= a_count, DATA_TRAIN, &err), &err);
    }
    assert_ok(data__pack_finish(writer, &err), &err);
    assert_ok(data_open("warnings.nsd", &set, &err), &err);
    ns_json *warnings = data_warnings(set);
    assert_ok(ns_json_print(warnings, false, &text, &err), &err);
    ns_json_free(warnings);
    data_close(set);
    return text;
}

static void check(int a_count, int b_count, const char *provenance, const char *want) {
    char *got = warnings_of(a_count, b_count, provenance);
    if (want == NULL) {
        assert_string_equal(got, "[]");
    } else if (strstr(got, want) == NULL) {
        fail_msg("%s does not say \"%s\"", got, want);
    }
    free(got);
}

static void test_bounds(void **state) {
    (void)state;
    check(10, 10, NULL, NULL);
    check(10, 9, NULL, "label 'b' has only 9 images");
    check(10, 1, NULL, "label 'b' has only 1 image:");
    check(1000, 10, NULL, NULL);
    check(1001, 10, NULL, "out of balance: 1001 training images of 'a', 10 of 'b'");
    check(10, 1001, NULL, "out of balance: 1001 training images of 'b', 10 of 'a'");
}

static void test_copies_that_were_kept(void **state) {
    (void)state;
    static const char kept[] =
        "{\"duplicates\":{\"dropped\":false,\"conflicting_labels\":1,\"across_splits\":3}}";
    check(10, 10, kept, "3 images repeat a picture of another split");
    check(10, 10, kept, "1 image repeats a picture that has another label");
    check(10, 10, "{\"duplicates\":{\"dropped\":true,\"across_splits\":3}}", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_copies_that_were_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
