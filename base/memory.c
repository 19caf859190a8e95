// How much memory this process may still take: the least of what the machine has available and of
// what each control group has left. Page cache that the kernel would drop on demand counts as free
// in both.

#include <stdlib.h>
#include <string.h>

#include "base/base_internal.h"

// The number after `key` in a file of "key number" lines; with an empty key, the file's first word.
static bool read_number(const char *path, const char *key, uint64_t *out) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    char line[256];
    bool found = false;
    const size_t key_length = strlen(key);
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        char *end = line;
        if (strncmp(line, key, key_length) == 0) {
            *out = strtoull(line + key_length, &end, 10);
            found = end != line + key_length;
        }
    }
    (void)fclose(file);
    return found;
}

// Names of the same three facts in the two versions of cgroups.
typedef struct cgroup_files {
    const char *limit;
    const char *used;
    const char *cache_key; // in memory.stat
} cgroup_files;

// What the cgroup in `folder` has left; UINT64_MAX when it has no limit.
static uint64_t cgroup_left_bytes(const char *folder, int version) {
    static const cgroup_files v1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                    "total_inactive_file "};
    static const cgroup_files v2 = {"memory.max", "memory.current", "inactive_file "};
    const cgroup_files *files = version == 1 ? &v1 : &v2;
    char path[NS_PATH_MAX + 64];
    uint64_t limit = 0;
    uint64_t used = 0;
    uint64_t cache = 0;
    (void)snprintf(path, sizeof(path), "%s/%s", folder, files->limit);
    if (!read_number(path, "", &limit)) { // no such file, or "max"
        return UINT64_MAX;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", folder, files->used);
    (void)read_number(path, "", &used);
    (void)snprintf(path, sizeof(path), "%s/memory.stat", folder);
    (void)read_number(path, files->cache_key, &cache);
    const uint64_t held = used > cache ? used - cache : 0;
    return limit > held ? limit - held : 0;
}

size_t ns_mem_available_bytes(void) {
    uint64_t machine_kib = 0;
    if (!read_number("/proc/meminfo", "MemAvailable:", &machine_kib)) {
        machine_kib = UINT64_MAX >> 10;
    }
    const uint64_t machine_bytes = machine_kib << 10;
    const uint64_t cgroup_bytes = ns__cgroup_least("memory", cgroup_left_bytes);
    return (size_t)(machine_bytes < cgroup_bytes ? machine_bytes : cgroup_bytes);
}
