// Control groups: what limits this process beside the machine. Containers are limited by nothing
// else. A limit may stand at the process's own group or at any above it, so all are asked, up to
// the mount point; inside a container the path that the kernel tells may not exist below the mount,
// whose root then is the container's own group.

#include <string.h>

#include "base/base_internal.h"

#define V2_MOUNT "/sys/fs/cgroup"

static bool lists(const char *names, const char *name) {
    const size_t length = strlen(name);
    for (const char *at = names; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static uint64_t least_upwards(const char *mount, const char *relative, int version,
                              ns__cgroup_fn left) {
    char folder[NS_PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s%s", mount, relative);
    uint64_t least = UINT64_MAX;
    for (;;) {
        const uint64_t here = left(folder, version);
        least = here < least ? here : least;
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= strlen(mount) || slash == NULL) {
            return least;
        }
        *slash = '\0';
    }
}

// Lines of /proc/self/cgroup: "0::/path" (v2) or "7:cpu,cpuacct:/path" (v1).
static uint64_t least_of_line(char *line, const char *controller, ns__cgroup_fn left) {
    line[strcspn(line, "\n")] = '\0';
    char *names = strchr(line, ':');
    char *path = names != NULL ? strchr(names + 1, ':') : NULL;
    if (path == NULL) {
        return UINT64_MAX;
    }
    names++;
    *path++ = '\0';
    if (*names == '\0') {
        return least_upwards(V2_MOUNT, path, 2, left);
    }
    char mount[64];
    (void)snprintf(mount, sizeof mount, V2_MOUNT "/%s", controller);
    return lists(names, controller) ? least_upwards(mount, path, 1, left) : UINT64_MAX;
}

uint64_t ns__cgroup_least(const char *controller, ns__cgroup_fn left) {
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL) {
        return UINT64_MAX;
    }
    uint64_t least = UINT64_MAX;
    char line[NS_PATH_MAX / 2];
    while (fgets(line, sizeof line, file) != NULL) {
        const uint64_t here = least_of_line(line, controller, left);
        least = here < least ? here : least;
    }
    (void)fclose(file);
    return least;
}
