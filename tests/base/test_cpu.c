// Cores: sets and their parts, staying on one, and what a control group grants.

#include <string.h>

#include "base/base_internal.h"
#include "tests/ns_test.h"

static ns_cpu_set set_of(const int *cpus, size_t count) {
    ns_cpu_set set = {0};
    const size_t word_bits = 8 * sizeof set.word[0];
    for (size_t i = 0; i < count; i++) {
        set.word[(size_t)cpus[i] / word_bits] |= 1UL << ((size_t)cpus[i] % word_bits);
    }
    return set;
}

static void test_parts_are_disjoint_and_cover(void **state) {
    (void)state;
    const int cpus[] = {1, 2, 63, 64, 200, 8191};
    const ns_cpu_set all = set_of(cpus, NS_COUNT_OF(cpus));
    assert_int_equal(ns_cpu_set_count(&all), NS_COUNT_OF(cpus));
    for (int i = 0; i < 3; i++) {
        const ns_cpu_set part = ns_cpu_set_part(&all, 2 * i, 2);
        const ns_cpu_set want = set_of(cpus + (ptrdiff_t)2 * i, 2);
        assert_memory_equal(&part, &want, sizeof part);
    }
    const ns_cpu_set last = ns_cpu_set_part(&all, 5, 4), none = ns_cpu_set_part(&all, 6, 1);
    assert_int_equal(ns_cpu_set_count(&last), 1);
    assert_int_equal(ns_cpu_set_count(&none), 0);
}

static void test_a_thread_stays_where_it_is_put(void **state) {
    (void)state;
    ns_cpu_set before, now;
    assert_true(ns_cpu_set_get(&before));
    const ns_cpu_set one = ns_cpu_set_part(&before, ns_cpu_set_count(&before) - 1, 1);
    assert_true(ns_cpu_set_use(&one));
    assert_true(ns_cpu_set_get(&now));
    assert_memory_equal(&now, &one, sizeof now);
    assert_int_equal(ns_cpu_count(), 1);

    const ns_cpu_set none = {0};
    assert_false(ns_cpu_set_use(&none));
    assert_true(ns_cpu_set_use(&before));
    assert_in_range(ns_cpu_count(), 1, ns_cpu_set_count(&before));
}

static void write_text(const char *name, const char *text) {
    ns_error err = {0};
    assert_ok(ns_file_write(name, text, strlen(text), &err), &err);
}

static void test_quota_counts_as_cores(void **state) {
    (void)state;
    const struct {
        const char *max;
        uint64_t want;
    } v2[] = {{"max 100000\n", UINT64_MAX}, {"100000 100000\n", 1}, {"150000 100000\n", 2},
              {"50000 100000\n", 1},        {"", UINT64_MAX},       {"-1", UINT64_MAX}};
    for (size_t i = 0; i < NS_COUNT_OF(v2); i++) {
        write_text("cpu.max", v2[i].max);
        const uint64_t got = ns__cgroup_cpu_count(".", 2);
        if (got != v2[i].want) {
            fail_msg("\"%s\": %llu, want %llu", v2[i].max, (unsigned long long)got,
                     (unsigned long long)v2[i].want);
        }
    }
    write_text("cpu.cfs_period_us", "100000\n");
    write_text("cpu.cfs_quota_us", "-1\n");
    assert_true(ns__cgroup_cpu_count(".", 1) == UINT64_MAX);
    write_text("cpu.cfs_quota_us", "320000\n");
    assert_true(ns__cgroup_cpu_count(".", 1) == 4);
    assert_true(ns__cgroup_cpu_count("no such folder", 2) == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_are_disjoint_and_cover),
        cmocka_unit_test(test_a_thread_stays_where_it_is_put),
        cmocka_unit_test(test_quota_counts_as_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
