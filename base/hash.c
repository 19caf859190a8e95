// SHA-256 over OpenSSL's libcrypto, which uses the processor's own instructions for it, and its
// base64. Only this file knows libcrypto.

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define DIGEST_BYTES ((size_t)32)

struct ns_sha256 {
    EVP_MD_CTX *context;
    bool failed;
};

ns_status ns_sha256_new(ns_sha256 **out, ns_error *err) {
    ns_sha256 *hash = calloc(1, sizeof(*hash));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (hash == NULL || context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        free(hash);
        return ns_fail(err, NS_ERR_MEMORY, "cannot begin a SHA-256 hash: libcrypto refused");
    }
    hash->context = context;
    *out = hash;
    return NS_OK;
}

void ns_sha256_update(ns_sha256 *hash, const void *bytes, size_t size_bytes) {
    if (EVP_DigestUpdate(hash->context, bytes, size_bytes) != 1) {
        hash->failed = true;
    }
}

/// Frees `hash`. The digest is zero should libcrypto fail: equal to no real one.
static void finish(ns_sha256 *hash, uint8_t digest[DIGEST_BYTES]) {
    unsigned int digest_bytes = 0;
    memset(digest, 0, DIGEST_BYTES);
    if (!hash->failed) {
        (void)EVP_DigestFinal_ex(hash->context, digest, &digest_bytes);
    }
    EVP_MD_CTX_free(hash->context);
    free(hash);
}

void ns_sha256_finish_128(ns_sha256 *hash, uint64_t out[2]) {
    uint8_t digest[DIGEST_BYTES];
    finish(hash, digest);
    memcpy(out, digest, 2 * sizeof(*out));
}

void ns_sha256_finish(ns_sha256 *hash, char out[NS_SHA256_HEX_MAX]) {
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[DIGEST_BYTES];
    finish(hash, digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * DIGEST_BYTES] = '\0';
}

ns_status ns_sha256_of(const void *bytes, size_t size_bytes, char out[NS_SHA256_HEX_MAX],
                       ns_error *err) {
    ns_sha256 *hash = NULL;
    NS_TRY(ns_sha256_new(&hash, err));
    ns_sha256_update(hash, bytes, size_bytes);
    ns_sha256_finish(hash, out);
    return NS_OK;
}

/// Bytes that go to libcrypto at once, whose sizes are int: a multiple of 3, so that only the last
/// piece is padded.
#define BASE64_PIECE_BYTES ((size_t)3 << 20)

ns_status ns_data_uri(const char *mime_type, const void *bytes, size_t size_bytes, char **out,
                      ns_error *err) {
    const uint8_t *in = bytes;
    const size_t head_size = strlen("data:;base64,") + strlen(mime_type);
    assert(size_bytes < SIZE_MAX / 2);
    char *text = malloc(head_size + (size_bytes + 2) / 3 * 4 + 1);
    if (text == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while writing a picture into a page");
    }
    (void)snprintf(text, head_size + 1, "data:%s;base64,", mime_type);
    char *at = text + head_size;
    for (size_t done = 0; done < size_bytes;) {
        const size_t left = size_bytes - done;
        const size_t now = left < BASE64_PIECE_BYTES ? left : BASE64_PIECE_BYTES;
        at += EVP_EncodeBlock((unsigned char *)at, in + done, (int)now);
        done += now;
    }
    *out = text;
    return NS_OK;
}
