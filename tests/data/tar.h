// Tar files, made block by block, with entries that no honest program would write.

#ifndef NS_TESTS_DATA_TAR_H
#define NS_TESTS_DATA_TAR_H

#include "tests/data/sources.h"

enum { TAR_BLOCK = 512 };

static inline FILE *tar_begin(const char *path) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    return file;
}

/// Appends the header of an entry (POSIX 1003.1, ustar), of `kind` '0' file, '1' hard link, '2'
/// symbolic link, '3' device.
static inline void tar_header(FILE *file, const char *name, char kind, size_t size_bytes) {
    char block[TAR_BLOCK] = {0};
    unsigned sum = 0;
    assert_in_range(snprintf(block, 100, "%s", name), 1, 99);
    (void)snprintf(block + 100, 8, "0000644");
    (void)snprintf(block + 124, 12, "%011zo", size_bytes);
    (void)snprintf(block + 136, 12, "00000000000");
    memset(block + 148, ' ', 8);
    block[156] = kind;
    (void)snprintf(block + 157, 100, "%s", kind == '1' || kind == '2' ? "/etc/passwd" : "");
    (void)snprintf(block + 257, 8, "ustar");
    for (size_t i = 0; i < sizeof(block); i++) {
        sum += (uint8_t)block[i];
    }
    (void)snprintf(block + 148, 8, "%06o", sum);
    (void)fwrite(block, 1, sizeof(block), file);
}

static inline void tar_add(FILE *file, const char *name, const void *bytes, size_t size_bytes) {
    static const char zeros[TAR_BLOCK];
    tar_header(file, name, '0', size_bytes);
    (void)fwrite(bytes, 1, size_bytes, file);
    (void)fwrite(zeros, 1, (TAR_BLOCK - size_bytes % TAR_BLOCK) % TAR_BLOCK, file);
}

/// Adds the file `path` by the name `name`.
static inline void tar_add_file(FILE *file, const char *name, const char *path) {
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    assert_ok(ns_file_read(path, 64 << 20, &bytes, &size_bytes, &err), &err);
    tar_add(file, name, bytes, size_bytes);
    free(bytes);
}

static inline void tar_end(FILE *file) {
    static const char zeros[2 * TAR_BLOCK];
    (void)fwrite(zeros, 1, sizeof(zeros), file);
    assert_int_equal(fclose(file), 0);
}

/// Writes the file `path` gzipped to `zipped`.
static inline void gzip_file(const char *path, const char *zipped) {
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    assert_ok(ns_file_read(path, 64 << 20, &bytes, &size_bytes, &err), &err);
    gzFile file = gzopen(zipped, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size_bytes), size_bytes);
    assert_int_equal(gzclose(file), Z_OK);
    free(bytes);
}

#endif
