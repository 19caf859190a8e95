// How much memory this process may still take: the least of what the machine has available and of
// what each cgroup above this process has left (containers are limited by those, not by the
// machine). Page cache that the kernel would drop on demand counts as free in both.

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

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
    const char *mount;
    const char *limit;
    const char *used;
    const char *cache_key; // in memory.stat
} cgroup_files;

static const cgroup_files cgroup_v2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                       "inactive_file "};
static const cgroup_files cgroup_v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                       "memory.usage_in_bytes", "total_inactive_file "};

// What the cgroup in the folder `group` has left; SIZE_MAX when it has no limit.
static uint64_t cgroup_left_bytes(const cgroup_files *files, const char *group) {
    char path[NS_PATH_MAX + 64];
    uint64_t limit = 0;
    uint64_t used = 0;
    uint64_t cache = 0;
    (void)snprintf(path, sizeof(path), "%s/%s", group, files->limit);
    if (!read_number(path, "", &limit)) { // no such file, or "max"
        return UINT64_MAX;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", group, files->used);
    (void)read_number(path, "", &used);
    (void)snprintf(path, sizeof(path), "%s/memory.stat", group);
    (void)read_number(path, files->cache_key, &cache);
    const uint64_t held = used > cache ? used - cache : 0;
    return limit > held ? limit - held : 0;
}

// The least over the cgroup `relative` and all above it, up to the mount point.
static uint64_t cgroup_path_left_bytes(const cgroup_files *files, const char *relative) {
    char group[NS_PATH_MAX];
    (void)snprintf(group, sizeof(group), "%s%s", files->mount, relative);
    const size_t mount_length = strlen(files->mount);
    uint64_t least = UINT64_MAX;
    for (;;) {
        const uint64_t left = cgroup_left_bytes(files, group);
        least = left < least ? left : least;
        char *slash = strrchr(group, '/');
        if (strlen(group) <= mount_length || slash == NULL) {
            return least;
        }
        *slash = '\0';
    }
}

// Lines of /proc/self/cgroup: "0::/path" (v2) or "7:memory:/path" (v1).
static uint64_t cgroups_left_bytes(void) {
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL) {
        return UINT64_MAX;
    }
    uint64_t least = UINT64_MAX;
    char line[NS_PATH_MAX / 2];
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL) {
            continue;
        }
        *path++ = '\0';
        const bool is_v1 = strstr(controllers, "memory") != NULL;
        if (is_v1 || controllers[1] == '\0') {
            const uint64_t left = cgroup_path_left_bytes(is_v1 ? &cgroup_v1 : &cgroup_v2, path);
            least = left < least ? left : least;
        }
    }
    (void)fclose(file);
    return least;
}

size_t ns_mem_available_bytes(void) {
    uint64_t machine_kib = 0;
    if (!read_number("/proc/meminfo", "MemAvailable:", &machine_kib)) {
        machine_kib = UINT64_MAX >> 10;
    }
    const uint64_t machine_bytes = machine_kib << 10;
    const uint64_t cgroup_bytes = cgroups_left_bytes();
    return (size_t)(machine_bytes < cgroup_bytes ? machine_bytes : cgroup_bytes);
}
