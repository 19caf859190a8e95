// A file in memory, for parsers that want a path.

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

int fuzz_memory_file(const uint8_t *bytes, size_t size_bytes, char path[64]) {
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, size_bytes) != (ssize_t)size_bytes) {
        abort(); // the machine is out of memory: nothing is learnt by going on
    }
    (void)snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}
