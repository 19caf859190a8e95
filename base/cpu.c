// The cores: how many this process may use, and which of them a thread stays on.
//
// Two things limit a process. Its affinity mask names cores; a container's quota only grants so much
// time of them in each tenth of a second. Threads that outnumber the quota would all stand still for
// the rest of each period, so it counts as cores, rounded up.
//
// A set is a plain value in the kernel's own layout. The kernel counts cores from 0 and leaves gaps
// where the mask excludes some; ns_cpu_set_part() counts only what is in the set, so that "the third
// core of those I may use" needs no arithmetic on masks.

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_internal.h"

bool ns_cpu_set_get(ns_cpu_set *out) {
    *out = (ns_cpu_set){0};
    return sched_getaffinity(0, sizeof out->word, (cpu_set_t *)(void *)out->word) == 0;
}

bool ns_cpu_set_use(const ns_cpu_set *set) {
    return sched_setaffinity(0, sizeof set->word, (const cpu_set_t *)(const void *)set->word) == 0;
}

int ns_cpu_set_count(const ns_cpu_set *set) {
    int count = 0;
    for (size_t i = 0; i < NS_COUNT_OF(set->word); i++) {
        count += __builtin_popcountl(set->word[i]);
    }
    return count;
}

ns_cpu_set ns_cpu_set_part(const ns_cpu_set *set, int first, int count) {
    ns_cpu_set part = {0};
    int position = 0;
    for (size_t i = 0; i < NS_COUNT_OF(set->word); i++) {
        for (unsigned long rest = set->word[i]; rest != 0; rest &= rest - 1, position++) {
            if (position >= first && position < first + count) {
                part.word[i] |= rest & -rest; // the lowest of the rest
            }
        }
    }
    return part;
}

// "max 100000" or "150000 100000" (v2); -1 or 150000, and 100000 in another file (v1).
uint64_t ns__cgroup_cpu_count(const char *folder, int version) {
    char text[64] = {0};
    char path[NS_PATH_MAX + 64];
    const char *const names[] = {version == 1 ? "cpu.cfs_quota_us" : "cpu.max",
                                 version == 1 ? "cpu.cfs_period_us" : NULL};
    size_t length = 0;
    for (size_t i = 0; i < NS_COUNT_OF(names) && names[i] != NULL; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        FILE *file = fopen(path, "re");
        if (file == NULL) {
            return UINT64_MAX;
        }
        length += fread(text + length, 1, sizeof text - 1 - length, file);
        (void)fclose(file);
    }
    char *end = text;
    const long long quota = strtoll(text, &end, 10);
    const long long period = end == text ? 0 : strtoll(end, NULL, 10);
    return quota > 0 && period > 0 ? (uint64_t)((quota + period - 1) / period) : UINT64_MAX;
}

int ns_cpu_count(void) {
    ns_cpu_set allowed;
    const int count = ns_cpu_set_get(&allowed) ? ns_cpu_set_count(&allowed) : 1;
    const uint64_t granted = ns__cgroup_least("cpu", ns__cgroup_cpu_count);
    return granted < (uint64_t)count ? (int)granted : count;
}
