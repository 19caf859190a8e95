// The CSV manifest, up to the sorted listing. Its paths are relative to the folder of this
// process's open files, where names like "0" exist.

#include <unistd.h>

#include "data/data_internal.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    ns_error err = {0};
    char path[64];
    data__listing listing = {0};
    const int fd = fuzz_memory_file(bytes, size_bytes, path);
    data__disk_file disk;
    data__disk_file_set(&disk, path);
    if (data__csv_list(&disk.file, &listing, &err) == NS_OK) {
        (void)data__listing_finish(&listing, &err);
    }
    data__listing_free(&listing);
    close(fd);
    return 0;
}
