// SHA-256 over OpenSSL's libcrypto, which uses the processor's own instructions for it. Only this
// file knows libcrypto.

#include <openssl/evp.h>
#include <stdlib.h>

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

void ns_sha256_finish(ns_sha256 *hash, char out[NS_SHA256_HEX_MAX]) {
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[DIGEST_BYTES] = {0}; // stays zero should libcrypto fail: equal to no real digest
    unsigned int digest_bytes = 0;
    if (!hash->failed) {
        (void)EVP_DigestFinal_ex(hash->context, digest, &digest_bytes);
    }
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * DIGEST_BYTES] = '\0';
    EVP_MD_CTX_free(hash->context);
    free(hash);
}

ns_status ns_sha256_of(const void *bytes, size_t size_bytes, char out[NS_SHA256_HEX_MAX],
                       ns_error *err) {
    ns_sha256 *hash = NULL;
    NS_TRY(ns_sha256_new(&hash, err));
    ns_sha256_update(hash, bytes, size_bytes);
    ns_sha256_finish(hash, out);
    return NS_OK;
}
