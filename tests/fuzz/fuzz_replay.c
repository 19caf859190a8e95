// Runs a fuzz target over a corpus without libFuzzer: every file as it is, then with random changes
// that are the same in each run.
//
//   fuzz_X_replay FOLDER

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "tests/fuzz/fuzz.h"

#define FILE_BYTES_MAX (1u << 20)
#define CHANGED_COUNT  300 // variants of each file

/// Flips, cuts or overwrites; `*size_bytes` may shrink.
static void change(uint8_t *bytes, size_t *size_bytes, ns_rng *rng) {
    for (uint64_t i = ns_rng_below(rng, 4) + 1; i > 0 && *size_bytes > 0; i--) {
        const size_t at = ns_rng_below(rng, *size_bytes);
        switch (ns_rng_below(rng, 8)) {
        case 0:
            *size_bytes = at;
            break;
        case 1:
            memset(bytes + at, 0xff, *size_bytes - at < 4 ? *size_bytes - at : 4);
            break;
        case 2:
            memset(bytes + at, 0, *size_bytes - at < 4 ? *size_bytes - at : 4);
            break;
        default:
            bytes[at] ^= (uint8_t)(1u << ns_rng_below(rng, 8));
            break;
        }
    }
}

static bool replay(const char *path, uint64_t file_index) {
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    if (ns_file_read(path, FILE_BYTES_MAX, &bytes, &size_bytes, &err) != NS_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return false;
    }
    (void)LLVMFuzzerTestOneInput(bytes, size_bytes);
    ns_rng rng = ns_rng_stream(1, file_index, "replay");
    for (int i = 0; i < CHANGED_COUNT; i++) {
        size_t changed_bytes = size_bytes;
        uint8_t *changed = malloc(size_bytes + 1);
        if (changed == NULL) {
            break;
        }
        memcpy(changed, bytes, size_bytes);
        change(changed, &changed_bytes, &rng);
        (void)LLVMFuzzerTestOneInput(changed, changed_bytes);
        free(changed);
    }
    free(bytes);
    return true;
}

int main(int argc, char **argv) {
    struct dirent **entries = NULL;
    const int count = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    int replayed = 0;
    for (int i = 0; i < count; i++) {
        char path[NS_PATH_MAX];
        if (entries[i]->d_name[0] != '.' &&
            ns_path_join(argv[1], entries[i]->d_name, path, NULL) == NS_OK) {
            replayed += replay(path, (uint64_t)i) ? 1 : 0;
        }
        free(entries[i]);
    }
    free(entries);
    (void)printf("%d files, each with %d variants\n", replayed, CHANGED_COUNT);
    return replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
