// Paths, folders and whole files.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

bool ns_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

static ns_status make_one_dir(const char *path, ns_error *err) {
    struct stat info;
    if (mkdir(path, 0777) == 0) {
        return NS_OK;
    }
    const int cause = errno;
    if (cause == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return NS_OK;
    }
    return ns_fail(err, NS_ERR_IO, "cannot make the folder %s: %s", path,
                   cause == EEXIST ? "a file of that name is in the way" : strerror(cause));
}

ns_status ns_dir_make(const char *path, ns_error *err) {
    char prefix[NS_PATH_MAX];
    const size_t length = strlen(path);
    if (length == 0 || length >= sizeof(prefix)) {
        return ns_fail(err, NS_ERR_INPUT, "cannot make a folder: its path has %zu bytes", length);
    }
    memcpy(prefix, path, length + 1);
    for (char *slash = strchr(prefix + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        NS_TRY(make_one_dir(prefix, err));
        *slash = '/';
    }
    return make_one_dir(prefix, err);
}

ns_status ns_path_join(const char *dir, const char *name, char out[NS_PATH_MAX], ns_error *err) {
    const bool alone = name[0] == '/' || dir[0] == '\0';
    const bool has_slash = !alone && dir[strlen(dir) - 1] == '/';
    const int length =
        snprintf(out, NS_PATH_MAX, "%s%s%s", alone ? "" : dir, alone || has_slash ? "" : "/", name);
    if (length < 0 || length >= NS_PATH_MAX) {
        return ns_fail(err, NS_ERR_LIMIT, "cannot use the path %.64s.../%.64s...: too long", dir,
                       name);
    }
    return NS_OK;
}

ns_status ns_path_absolute(const char *path, char out[NS_PATH_MAX], ns_error *err) {
    char resolved[PATH_MAX];
    if (realpath(path, resolved) != NULL) {
        return ns_path_join("", resolved, out, err);
    }
    // Not there yet: its folder must be.
    char dir[NS_PATH_MAX];
    NS_TRY(ns_path_join("", path, dir, err));
    char *slash = strrchr(dir, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char name_copy[NS_PATH_MAX];
    NS_TRY(ns_path_join("", name, name_copy, err));
    if (slash == NULL) {
        (void)snprintf(dir, sizeof(dir), ".");
    } else {
        slash[slash == dir ? 1 : 0] = '\0'; // keeps the slash of the root
    }
    if (name_copy[0] == '\0' || realpath(dir, resolved) == NULL) {
        return ns_fail(err, NS_ERR_NOT_FOUND, "cannot find the folder of %s: %s", path,
                       strerror(name_copy[0] == '\0' ? ENOENT : errno));
    }
    return ns_path_join(resolved, name_copy, out, err);
}

// Grows `*bytes` to hold `capacity` bytes and the final 0.
static ns_status grow(const char *path, uint8_t **bytes, size_t capacity, ns_error *err) {
    uint8_t *larger = realloc(*bytes, capacity + 1);
    if (larger == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot read %s: no memory for %zu bytes", path,
                       capacity);
    }
    *bytes = larger;
    return NS_OK;
}

// Reads `fd` to its end; the file may be a pipe or grow meanwhile, so its size is only a hint.
static ns_status read_all(int fd, const char *path, size_t size_bytes_max, uint8_t **bytes,
                          size_t *size_bytes, ns_error *err) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return ns_fail(err, NS_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    }
    if (info.st_size > 0 && (uint64_t)info.st_size > size_bytes_max) {
        return ns_fail(err, NS_ERR_LIMIT, "cannot read %s: %lld bytes are more than %zu", path,
                       (long long)info.st_size, size_bytes_max);
    }
    size_t capacity = info.st_size > 0 ? (size_t)info.st_size + 1 : 4096;
    size_t used = 0;
    NS_TRY(grow(path, bytes, capacity, err));
    for (;;) {
        const ssize_t got = read(fd, *bytes + used, capacity - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return ns_fail(err, NS_ERR_IO, "cannot read %s: %s", path, strerror(errno));
        }
        if (got == 0) {
            break;
        }
        used += (size_t)got;
        if (used > size_bytes_max) {
            return ns_fail(err, NS_ERR_LIMIT, "cannot read %s: it has more than %zu bytes", path,
                           size_bytes_max);
        }
        if (used == capacity) {
            capacity *= 2;
            NS_TRY(grow(path, bytes, capacity, err));
        }
    }
    (*bytes)[used] = 0;
    *size_bytes = used;
    return NS_OK;
}

ns_status ns_file_read(const char *path, size_t size_bytes_max, uint8_t **out, size_t *size_bytes,
                       ns_error *err) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return ns_fail(err, errno == ENOENT ? NS_ERR_NOT_FOUND : NS_ERR_IO, "cannot read %s: %s",
                       path, strerror(errno));
    }
    uint8_t *bytes = NULL;
    const ns_status status = read_all(fd, path, size_bytes_max, &bytes, size_bytes, err);
    (void)close(fd);
    if (status != NS_OK) {
        free(bytes);
        return status;
    }
    *out = bytes;
    return NS_OK;
}
