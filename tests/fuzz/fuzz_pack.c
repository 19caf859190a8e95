// Packs. Checksums would stop nearly every change, so they are made right first: what is under test
// is what lies behind them, as a forger would reach it.

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/data_internal.h"
#include "tests/fuzz/fuzz.h"

static void put_digest(char *place, const uint8_t *bytes, size_t size_bytes) {
    char digest[NS_SHA256_HEX_MAX];
    if (ns_sha256_of(bytes, size_bytes, digest, NULL) == NS_OK) {
        memcpy(place, digest, DATA__DIGEST_BYTES);
    }
}

static void forge(uint8_t *file, size_t size_bytes) {
    data__pack_header header;
    char digest[NS_SHA256_HEX_MAX];
    memcpy(&header, file, sizeof(header));
    const size_t rest = size_bytes - DATA__PAGE_BYTES;
    if (header.pixels_bytes <= rest && header.names_bytes <= rest - header.pixels_bytes &&
        header.tables_bytes <= rest - header.pixels_bytes - header.names_bytes) {
        const uint8_t *pixels = file + DATA__PAGE_BYTES;
        const uint8_t *names = pixels + header.pixels_bytes;
        put_digest(header.pixels_sha256, pixels, header.pixels_bytes);
        put_digest(header.names_sha256, names, header.names_bytes);
        put_digest(header.tables_sha256, names + header.names_bytes, header.tables_bytes);
    }
    memcpy(file, &header, sizeof(header));
    if (data__pack_header_digest(file, digest, NULL) == NS_OK) {
        memcpy(file + offsetof(data__pack_header, header_sha256), digest, DATA__DIGEST_BYTES);
    }
}

/// Touches all that an opened pack lends.
static size_t touch(const data_set *set) {
    const data_info *info = data_describe(set);
    size_t sum = strlen(info->source);
    for (int label = 0; label < info->label_count; label++) {
        sum += strlen(info->labels[label]);
    }
    for (size_t i = 0; i < info->image_count; i++) {
        const size_t image_bytes =
            (size_t)info->channels * (size_t)info->height * (size_t)info->width;
        const char *name = data_name(set, i);
        sum += (size_t)data_label(set, i) + data_pixels(set, i)[image_bytes - 1];
        sum += name != NULL ? strlen(name) : 0;
    }
    for (size_t i = 0; i < data_dropped_count(set); i++) {
        sum += strlen(data_dropped_at(set, i).file) + strlen(data_dropped_at(set, i).reason);
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    ns_error err = {0};
    char path[64];
    data_set *set = NULL;
    if (size_bytes < DATA__PAGE_BYTES) {
        return 0;
    }
    uint8_t *file = malloc(size_bytes);
    if (file == NULL) {
        return 0;
    }
    memcpy(file, bytes, size_bytes);
    forge(file, size_bytes);
    const int fd = fuzz_memory_file(file, size_bytes, path);
    if (data_open(path, &set, &err) == NS_OK && touch(set) == SIZE_MAX) {
        abort();
    }
    data_close(set);
    close(fd);
    free(file);
    return 0;
}
