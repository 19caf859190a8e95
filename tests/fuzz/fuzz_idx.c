// IDX files. The input is a length (2 bytes, big-endian), a label file of that length, and an image
// file; gzipped or not, as zlib finds them.

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "data/data.h"
#include "tests/fuzz/fuzz.h"

#define DIR    "fuzz_idx.source"
#define IMAGES DIR "/train-images-idx3-ubyte"
#define LABELS DIR "/train-labels-idx1-ubyte"
#define PACK   "fuzz_idx.nsd"

static void put(const char *path, const uint8_t *bytes, size_t size_bytes) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size_bytes, file) != size_bytes || fclose(file) != 0) {
        abort(); // no disk: nothing is learnt by going on
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    if (size_bytes < 2) {
        return 0;
    }
    ns_error err = {0};
    const size_t wanted = (size_t)bytes[0] << 8 | bytes[1];
    const size_t labels_bytes = wanted < size_bytes - 2 ? wanted : size_bytes - 2;
    (void)mkdir(DIR, 0700);
    put(LABELS, bytes + 2, labels_bytes);
    put(IMAGES, bytes + 2 + labels_bytes, size_bytes - 2 - labels_bytes);
    const data_import_options options = data_import_options_default();
    (void)data_import(DIR, PACK, &options, &err);
    return 0;
}
