// The arena: alignment, exhaustion to the byte, zeroed memory, also after a reset.

#include <string.h>

#include "tests/ns_test.h"

static void test_alignment(void **state) {
    (void)state;
    ns_error err = {0};
    ns_arena *arena = NULL;
    assert_ok(ns_arena_new((size_t)1 << 20, &arena, &err), &err);
    for (size_t align = 1; align <= 65536; align *= 2) {
        assert_non_null(ns_arena_alloc(arena, 1, 1)); // puts the mark off any alignment
        const void *place = ns_arena_alloc(arena, 3, align);
        assert_non_null(place);
        assert_int_equal((uintptr_t)place % align, 0);
    }
    ns_arena_free(arena);
}

static void test_exhaustion(void **state) {
    (void)state;
    ns_error err = {0};
    ns_arena *arena = NULL;
    assert_ok(ns_arena_new(100, &arena, &err), &err);
    assert_non_null(ns_arena_alloc(arena, 60, 1));
    assert_null(ns_arena_alloc(arena, 41, 1));
    assert_null(ns_arena_alloc(arena, 37, 64)); // 4 bytes of padding leave 36
    assert_null(ns_arena_alloc(arena, SIZE_MAX, 64));
    assert_int_equal(ns_arena_used_bytes(arena), 60);
    assert_non_null(ns_arena_alloc(arena, 40, 1));
    assert_int_equal(ns_arena_used_bytes(arena), 100);
    assert_null(ns_arena_alloc(arena, 1, 1));
    assert_non_null(ns_arena_alloc(arena, 0, 1));
    ns_arena_free(arena);
    ns_arena_free(NULL);
}

static void check_zeroed_after_reset(size_t size_bytes) {
    ns_error err = {0};
    ns_arena *arena = NULL;
    assert_ok(ns_arena_new(size_bytes, &arena, &err), &err);
    for (int round = 0; round < 2; round++) {
        uint8_t *bytes = ns_arena_alloc(arena, size_bytes, 1);
        assert_non_null(bytes);
        for (size_t i = 0; i < size_bytes; i++) {
            if (bytes[i] != 0) {
                fail_msg("round %d: byte %zu is %d, want 0", round, i, bytes[i]);
            }
        }
        memset(bytes, 0xab, size_bytes);
        ns_arena_reset(arena);
        assert_int_equal(ns_arena_used_bytes(arena), 0);
    }
    ns_arena_free(arena);
}

static void test_zeroed(void **state) {
    (void)state;
    check_zeroed_after_reset(1000);
    check_zeroed_after_reset((size_t)5 << 20);
}

static void test_impossible_size(void **state) {
    (void)state;
    ns_error err = {0};
    ns_arena *arena = NULL;
    assert_status(ns_arena_new(SIZE_MAX / 2, &arena, &err), NS_ERR_MEMORY);
    assert_null(arena);
    assert_non_null(strstr(err.text, "cannot allocate an arena"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_zeroed),
        cmocka_unit_test(test_impossible_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
