// Clocks: order and agreement, the start of this process, and a sane amount of memory.

#include "tests/ns_test.h"

static void test_sleep_and_monotony(void **state) {
    (void)state;
    const int64_t before_ms = ns_clock_ms();
    ns_sleep_ms(30);
    const int64_t slept_ms = ns_clock_ms() - before_ms;
    if (slept_ms < 29 || slept_ms > 5000) {
        fail_msg("slept %lld ms, want about 30", (long long)slept_ms);
    }
    ns_sleep_ms(0);
    ns_sleep_ms(-5);
}

static void test_process_start(void **state) {
    (void)state;
    const int64_t start_ms = ns_clock_process_start_ms();
    const int64_t age_ms = ns_clock_ms() - start_ms;
    if (age_ms < 0 || age_ms > 60000) {
        fail_msg("this process is %lld ms old", (long long)age_ms);
    }
    ns_sleep_ms(20);
    assert_int_equal(ns_clock_process_start_ms(), start_ms);
}

static void test_unix_time(void **state) {
    (void)state;
    assert_true(ns_clock_unix_ms() > INT64_C(1700000000000)); // some day in 2023
}

static void test_memory(void **state) {
    (void)state;
    assert_in_range(ns_mem_available_bytes(), 1 << 20, (uintmax_t)1 << 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sleep_and_monotony),
        cmocka_unit_test(test_process_start),
        cmocka_unit_test(test_unix_time),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
