// The lock that keeps two supervisors off one study.
//
// A POSIX record lock (fcntl F_SETLK) is the one kind that fits: the kernel drops it when the
// process ends in whatever way, and a forked worker does not inherit it, so a worker that outlives
// a killed supervisor cannot keep the study locked (flock and open-file-description locks would).
// Its price: it belongs to the process, not to the descriptor. Taking it twice in one process
// succeeds twice, and closing any descriptor of the lock file drops it; so nothing but this file
// ever opens a lock file. The file stays behind, empty: removing it would let a third process lock
// a file that no longer has a name. A forked child may release its copy: it holds nothing to lose.

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

struct ns_lock {
    int fd;
};

static ns_status lock_failed(int fd, const char *path, int cause, ns_error *err) {
    if (cause != EACCES && cause != EAGAIN) {
        return ns_fail(err, NS_ERR_IO, "cannot lock %s: %s", path, strerror(cause));
    }
    struct flock holder = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_GETLK, &holder) == 0 && holder.l_type != F_UNLCK) {
        return ns_fail(err, NS_ERR_BUSY, "cannot lock %s: process %ld holds it", path,
                       (long)holder.l_pid);
    }
    return ns_fail(err, NS_ERR_BUSY, "cannot lock %s: another process holds it", path);
}

ns_status ns_lock_acquire(const char *path, ns_lock **out, ns_error *err) {
    ns_lock *lock = calloc(1, sizeof(*lock));
    if (lock == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot lock %s: out of memory", path);
    }
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        const int cause = errno;
        free(lock);
        return ns_fail(err, NS_ERR_IO, "cannot lock %s: %s", path, strerror(cause));
    }
    const struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &range) != 0) {
        const ns_status status = lock_failed(fd, path, errno, err);
        (void)close(fd);
        free(lock);
        return status;
    }
    lock->fd = fd;
    *out = lock;
    return NS_OK;
}

void ns_lock_release(ns_lock *lock) {
    if (lock == NULL) {
        return;
    }
    (void)close(lock->fd);
    free(lock);
}

bool ns_lock_held(const char *path) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    struct flock holder = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const bool held = fcntl(fd, F_GETLK, &holder) == 0 && holder.l_type != F_UNLCK;
    close(fd);
    return held;
}
