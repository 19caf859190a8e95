// Files that appear whole or not at all.
//
// The bytes go to "NAME.tmp" beside NAME; commit flushes them to the disk, renames the temporary
// file over NAME and flushes the folder, so that after a crash or a power cut NAME holds either
// what it held before or everything that was written.
//
//     open -> write, write_at ... -> commit -> NAME is there
//                  |                    |
//                  +------- abort ------+-> (on failure) NAME is as it was
//
// The temporary name is always the same, so what a killed process leaves behind is overwritten by
// the next attempt rather than piling up. Two writers of one NAME take turns: each holds an
// open-file-description lock on the temporary file while it writes, and one that has waited looks
// whether its file is still the one under the temporary name, because the other has renamed it. A
// forked child shares such a lock: do not fork with a file open.

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

#define TEMPORARY_SUFFIX ".tmp"
#define BUFFER_BYTES     ((size_t)1 << 18)

struct ns_atomic_file {
    FILE *stream;
    char path[NS_PATH_MAX];      // the final name, symbolic links resolved
    char temporary[NS_PATH_MAX]; // the name until commit
    bool failed;                 // a write went wrong; commit must refuse
};

static ns_status write_failed(ns_atomic_file *file, int cause, ns_error *err) {
    file->failed = true;
    return ns_fail(err, NS_ERR_IO, "cannot write %s: %s", file->path, strerror(cause));
}

// Final and temporary names. What is already there must be a regular file: renaming over a device
// or a folder would destroy or fail on it.
static ns_status set_names(ns_atomic_file *file, const char *path, ns_error *err) {
    struct stat info;
    NS_TRY(ns_path_absolute(path, file->path, err));
    if (stat(file->path, &info) == 0 && !S_ISREG(info.st_mode)) {
        return ns_fail(err, NS_ERR_IO, "cannot write %s: %s", path,
                       S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a regular file");
    }
    const size_t length = strlen(file->path);
    if (length + sizeof(TEMPORARY_SUFFIX) > sizeof(file->temporary)) {
        return ns_fail(err, NS_ERR_LIMIT, "cannot write %.64s...: the path is too long", path);
    }
    memcpy(file->temporary, file->path, length);
    memcpy(file->temporary + length, TEMPORARY_SUFFIX, sizeof(TEMPORARY_SUFFIX));
    return NS_OK;
}

static bool is_same_file(int fd, const char *path) {
    struct stat by_fd;
    struct stat by_path;
    return fstat(fd, &by_fd) == 0 && stat(path, &by_path) == 0 && by_fd.st_dev == by_path.st_dev &&
           by_fd.st_ino == by_path.st_ino;
}

// Waits until no other writer holds the file; false on an error in errno.
static bool lock_file(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(fd, F_OFD_SETLKW, &lock) != 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

// Opens the temporary file, empty and locked. Returns the descriptor, or -1 with errno set.
static int open_temporary(const char *temporary) {
    for (;;) {
        const int fd = open(temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0) {
            return -1;
        }
        if (!lock_file(fd)) {
            const int cause = errno;
            (void)close(fd);
            errno = cause;
            return -1;
        }
        if (is_same_file(fd, temporary)) {
            return ftruncate(fd, 0) == 0 ? fd : (close(fd), -1);
        }
        (void)close(fd); // the writer before us has renamed it: take a new one
    }
}

ns_status ns_atomic_open(const char *path, ns_atomic_file **out, ns_error *err) {
    ns_atomic_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot write %s: out of memory", path);
    }
    const ns_status status = set_names(file, path, err);
    if (status != NS_OK) {
        free(file);
        return status;
    }
    const int fd = open_temporary(file->temporary);
    file->stream = fd >= 0 ? fdopen(fd, "w+") : NULL;
    if (file->stream == NULL) {
        const int cause = errno;
        if (fd >= 0) {
            (void)unlink(file->temporary);
            (void)close(fd);
        }
        free(file);
        return ns_fail(err, NS_ERR_IO, "cannot write %s: %s", path, strerror(cause));
    }
    (void)setvbuf(file->stream, NULL, _IOFBF, BUFFER_BYTES);
    *out = file;
    return NS_OK;
}

ns_status ns_atomic_write(ns_atomic_file *file, const void *bytes, size_t size_bytes,
                          ns_error *err) {
    if (size_bytes > 0 && fwrite(bytes, 1, size_bytes, file->stream) != size_bytes) {
        return write_failed(file, errno, err);
    }
    return NS_OK;
}

ns_status ns_atomic_write_at(ns_atomic_file *file, const void *bytes, size_t size_bytes,
                             uint64_t offset, ns_error *err) {
    if (fseeko(file->stream, (off_t)offset, SEEK_SET) != 0) {
        return write_failed(file, errno, err);
    }
    NS_TRY(ns_atomic_write(file, bytes, size_bytes, err));
    if (fseeko(file->stream, 0, SEEK_END) != 0) {
        return write_failed(file, errno, err);
    }
    return NS_OK;
}

ns_status ns_atomic_read_at(ns_atomic_file *file, void *bytes, size_t size_bytes, uint64_t offset,
                            ns_error *err) {
    if (fseeko(file->stream, (off_t)offset, SEEK_SET) != 0 ||
        fread(bytes, 1, size_bytes, file->stream) != size_bytes ||
        fseeko(file->stream, 0, SEEK_END) != 0) {
        file->failed = true;
        return ns_fail(err, NS_ERR_IO, "cannot read back what was written of %s", file->path);
    }
    return NS_OK;
}

ns_status ns_atomic_truncate(ns_atomic_file *file, uint64_t size_bytes, ns_error *err) {
    if (fflush(file->stream) != 0 || ftruncate(fileno(file->stream), (off_t)size_bytes) != 0 ||
        fseeko(file->stream, 0, SEEK_END) != 0) {
        return write_failed(file, errno, err);
    }
    return NS_OK;
}

static ns_status sync_parent(const char *path, ns_error *err) {
    char dir[NS_PATH_MAX];
    (void)snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/'); // there is one: the path is absolute
    slash[slash == dir ? 1 : 0] = '\0';
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    // Some file systems cannot flush a folder; then the rename is as safe as it gets.
    const bool failed = fd < 0 || (fsync(fd) != 0 && errno != EINVAL && errno != EROFS);
    const int cause = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return failed ? ns_fail(err, NS_ERR_IO, "cannot flush the folder %s: %s", dir, strerror(cause))
                  : NS_OK;
}

ns_status ns_atomic_commit(ns_atomic_file *file, ns_error *err) {
    ns_status status = NS_OK;
    if (file->failed) {
        status = ns_fail(err, NS_ERR_IO, "cannot write %s: an earlier write failed", file->path);
    } else if (fflush(file->stream) != 0 || fsync(fileno(file->stream)) != 0 ||
               rename(file->temporary, file->path) != 0) {
        status = write_failed(file, errno, err);
    }
    if (status != NS_OK) {
        ns_atomic_abort(file);
        return status;
    }
    (void)fclose(file->stream); // nothing is buffered any more
    status = sync_parent(file->path, err);
    free(file);
    return status;
}

void ns_atomic_abort(ns_atomic_file *file) {
    if (file == NULL) {
        return;
    }
    (void)unlink(file->temporary); // before the lock goes with the descriptor
    (void)fclose(file->stream);
    free(file);
}

ns_status ns_file_write(const char *path, const void *bytes, size_t size_bytes, ns_error *err) {
    ns_atomic_file *file = NULL;
    NS_TRY(ns_atomic_open(path, &file, err));
    const ns_status status = ns_atomic_write(file, bytes, size_bytes, err);
    if (status != NS_OK) {
        ns_atomic_abort(file);
        return status;
    }
    return ns_atomic_commit(file, err);
}
