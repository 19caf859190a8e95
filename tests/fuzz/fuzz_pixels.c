// A CSV file with pixels in it, up to the pixels of its last image: the way there reads it all.

#include <stdlib.h>
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
    if (data__pixels_is(&disk.file) && data__pixels_list(&disk.file, &listing, &err) == NS_OK &&
        data__listing_finish(&listing, &err) == NS_OK) {
        data__content content;
        if (data__listing_read(&listing, listing.item_count - 1, SIZE_MAX, &content, &err) ==
            NS_OK) {
            data__content_free(&content);
        }
    }
    data__listing_free(&listing);
    close(fd);
    return 0;
}
