// How much memory this process may still take, or might ever: the least of what the machine has and
// of what each control group allows. Page cache that the kernel would drop on demand counts as free
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

static const cgroup_files *files_of(int version) {
    static const cgroup_files v1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                    "total_inactive_file "};
    static const cgroup_files v2 = {"memory.max", "memory.current", "inactive_file "};
    return version == 1 ? &v1 : &v2;
}

// What the cgroup in `folder` may take in all; UINT64_MAX when it has no limit.
static uint64_t cgroup_limit_bytes(const char *folder, int version) {
    char path[NS_PATH_MAX + 64];
    uint64_t limit = 0;
    (void)snprintf(path, sizeof(path), "%s/%s", folder, files_of(version)->limit);
    return read_number(path, "", &limit) ? limit : UINT64_MAX; // no such file, or "max"
}

// What the cgroup in `folder` has left; UINT64_MAX when it has no limit.
static uint64_t cgroup_left_bytes(const char *folder, int version) {
    const cgroup_files *files = files_of(version);
    const uint64_t limit = cgroup_limit_bytes(folder, version);
    char path[NS_PATH_MAX + 64];
    uint64_t used = 0;
    uint64_t cache = 0;
    if (limit == UINT64_MAX) {
        return limit;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", folder, files->used);
    (void)read_number(path, "", &used);
    (void)snprintf(path, sizeof(path), "%s/memory.stat", folder);
    (void)read_number(path, files->cache_key, &cache);
    const uint64_t held = used > cache ? used - cache : 0;
    return limit > held ? limit - held : 0;
}

// The least of the machine's `key` in /proc/meminfo and of what `of_cgroup` says.
static size_t least_bytes(const char *key, uint64_t (*of_cgroup)(const char *folder, int version)) {
    uint64_t machine_kib = 0;
    if (!read_number("/proc/meminfo", key, &machine_kib)) {
        machine_kib = UINT64_MAX >> 10;
    }
    const uint64_t machine_bytes = machine_kib << 10;
    const uint64_t cgroup_bytes = ns__cgroup_least("memory", of_cgroup);
    return (size_t)(machine_bytes < cgroup_bytes ? machine_bytes : cgroup_bytes);
}

size_t ns_mem_available_bytes(void) {
    return least_bytes("MemAvailable:", cgroup_left_bytes);
}

size_t ns_mem_total_bytes(void) {
    return least_bytes("MemTotal:", cgroup_limit_bytes);
}
