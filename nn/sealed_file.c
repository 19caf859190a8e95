// The container that model files and checkpoints share: a JSON text and an array of f32 values
// under one checksum.
//
//   offset      bytes          what
//   0           8              magic: which kind of file this is
//   8           4              version of the kind's format, from 1
//   12          4              bytes of this header: 32
//   16          8              j, bytes of the JSON text
//   24          8              n, count of values
//   32          j              JSON text, without a final 0
//   32 + j      4 n            values, f32
//   32 + j + 4n 64             SHA-256 of all that stands before, in hex digits
//
// All numbers are little-endian. In every future version the magic stays in front and the checksum
// at the end, so that a damaged file and one from a newer program are told apart for certain.

#include "nn/nn_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are written as memory holds them");

#define FILE_BYTES_MAX  ((size_t)1 << 32)
#define JSON_BYTES_MAX  ((uint64_t)1 << 26)
#define DIGEST_BYTES    ((size_t)NS_SHA256_HEX_MAX - 1)
#define VALUE_COUNT_MAX ((uint64_t)FILE_BYTES_MAX / sizeof(float))

typedef struct sealed_header {
    char magic[NN__MAGIC_BYTES];
    uint32_t version;
    uint32_t header_bytes;
    uint64_t json_bytes;
    uint64_t value_count;
} sealed_header;

static_assert(sizeof(sealed_header) == 32, "the header has no gaps");

static ns_status put(ns_atomic_file *file, ns_sha256 *hash, const void *bytes, size_t size_bytes,
                     ns_error *err) {
    ns_sha256_update(hash, bytes, size_bytes);
    return ns_atomic_write(file, bytes, size_bytes, err);
}

ns_status nn__sealed_write(const nn__sealed_kind *kind, const char *path, const ns_json *json,
                           const float *values, size_t value_count, ns_error *err) {
    ns_status status = NS_OK;
    char *text = NULL;
    ns_atomic_file *file = NULL;
    ns_sha256 *hash = NULL;
    char digest[NS_SHA256_HEX_MAX];

    NS_TRY_OUT(ns_json_print(json, false, &text, err));
    NS_TRY_OUT(ns_sha256_new(&hash, err));
    NS_TRY_OUT(ns_atomic_open(path, &file, err));

    sealed_header header = {.version = kind->version,
                            .header_bytes = sizeof header,
                            .json_bytes = strlen(text),
                            .value_count = value_count};
    memcpy(header.magic, kind->magic, sizeof header.magic);
    NS_TRY_OUT(put(file, hash, &header, sizeof header, err));
    NS_TRY_OUT(put(file, hash, text, strlen(text), err));
    NS_TRY_OUT(put(file, hash, values, value_count * sizeof *values, err));
    ns_sha256_finish(hash, digest);
    hash = NULL;
    NS_TRY_OUT(ns_atomic_write(file, digest, DIGEST_BYTES, err));
    ns_atomic_file *finished = file;
    file = NULL;
    status = ns_atomic_commit(finished, err);
out:
    if (hash != NULL) {
        ns_sha256_finish(hash, digest);
    }
    ns_atomic_abort(file);
    free(text);
    return status;
}

static ns_status check_digest(const nn__sealed_kind *kind, const char *path, const uint8_t *bytes,
                              size_t size_bytes, ns_error *err) {
    char digest[NS_SHA256_HEX_MAX];
    const size_t body_bytes = size_bytes - DIGEST_BYTES;
    NS_TRY(ns_sha256_of(bytes, body_bytes, digest, err));
    if (memcmp(digest, bytes + body_bytes, DIGEST_BYTES) != 0) {
        return ns_fail(err, NS_ERR_CORRUPT, "%s %s is damaged: its checksum does not match",
                       kind->noun, path);
    }
    return NS_OK;
}

/// Accepts a header whose sizes make up exactly `size_bytes`.
static ns_status check_header(const nn__sealed_kind *kind, const char *path, const uint8_t *bytes,
                              size_t size_bytes, sealed_header *header, ns_error *err) {
    if (size_bytes < sizeof *header + DIGEST_BYTES) {
        return ns_fail(err, NS_ERR_CORRUPT, "%s %s is damaged: %zu bytes are too few", kind->noun,
                       path, size_bytes);
    }
    memcpy(header, bytes, sizeof *header);
    if (memcmp(header->magic, kind->magic, sizeof header->magic) != 0) {
        return ns_fail(err, NS_ERR_CORRUPT, "%s is not a nightshift %s", path, kind->noun);
    }
    NS_TRY(check_digest(kind, path, bytes, size_bytes, err));
    const uint32_t version_max =
        kind->version_max > kind->version ? kind->version_max : kind->version;
    if (header->version > version_max) {
        return ns_fail(err, NS_ERR_VERSION,
                       "%s %s has format version %u, but this program knows only up to %u",
                       kind->noun, path, header->version, version_max);
    }
    if (header->version > 0 && header->version < kind->version) {
        return ns_fail(err, NS_ERR_VERSION,
                       "%s %s has format version %u, which an older nightshift wrote; this program "
                       "reads only version %u",
                       kind->noun, path, header->version, kind->version);
    }
    if (header->version == 0 || header->header_bytes != sizeof *header ||
        header->json_bytes > JSON_BYTES_MAX || header->value_count > VALUE_COUNT_MAX ||
        sizeof *header + header->json_bytes + header->value_count * sizeof(float) + DIGEST_BYTES !=
            size_bytes) {
        return ns_fail(err, NS_ERR_CORRUPT, "%s %s is damaged: its sizes contradict each other",
                       kind->noun, path);
    }
    return NS_OK;
}

/// Parses the JSON text, which no 0 byte may cut short.
static ns_status parse_text(const uint8_t *bytes, size_t size_bytes, ns_json **json,
                            ns_error *err) {
    char *text = malloc(size_bytes + 1);
    if (text == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for %zu bytes of JSON", size_bytes);
    }
    memcpy(text, bytes, size_bytes);
    text[size_bytes] = '\0';
    const ns_status status = strlen(text) == size_bytes
                                 ? ns_json_parse(text, json, err)
                                 : ns_fail(err, NS_ERR_CORRUPT, "its JSON text holds a 0 byte");
    free(text);
    return status;
}

ns_status nn__sealed_read(const nn__sealed_kind *kind, const char *path, ns_json **json,
                          float **values, size_t *value_count, ns_error *err) {
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    sealed_header header;
    *json = NULL;
    *values = NULL;
    NS_TRY(ns_file_read(path, FILE_BYTES_MAX, &bytes, &size_bytes, err));

    ns_status status = check_header(kind, path, bytes, size_bytes, &header, err);
    if (status != NS_OK) {
        goto out;
    }
    status = parse_text(bytes + sizeof header, (size_t)header.json_bytes, json, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "%s %s is damaged", kind->noun, path);
        status = status == NS_ERR_MEMORY ? status : NS_ERR_CORRUPT;
        goto out;
    }
    *value_count = (size_t)header.value_count;
    // The values move to the front of the file's own memory: a second copy could be gigabytes.
    memmove(bytes, bytes + sizeof header + header.json_bytes, *value_count * sizeof **values);
    *values = (void *)bytes;
    bytes = NULL;
out:
    free(bytes);
    return status;
}
