// SHA-256 against the vectors of FIPS 180-4, base64 against those of RFC 4648.

#include <string.h>

#include "tests/ns_test.h"

static void check(const char *text, const char *want) {
    ns_error err = {0};
    char got[NS_SHA256_HEX_MAX];
    assert_ok(ns_sha256_of(text, strlen(text), got, &err), &err);
    assert_string_equal(got, want);
}

static void test_vectors(void **state) {
    (void)state;
    check("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_pieces(void **state) {
    (void)state;
    ns_error err = {0};
    ns_sha256 *hash = NULL;
    char piece[1000];
    char got[NS_SHA256_HEX_MAX];
    memset(piece, 'a', sizeof(piece));
    assert_ok(ns_sha256_new(&hash, &err), &err);
    for (int i = 0; i < 1000; i++) { // a million times "a"
        ns_sha256_update(hash, piece, sizeof(piece));
    }
    ns_sha256_finish(hash, got);
    assert_string_equal(got, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void check_uri(const char *text, const char *want) {
    ns_error err = {0};
    char *got = NULL;
    assert_ok(ns_data_uri("text/plain", text, strlen(text), &got, &err), &err);
    assert_string_equal(got, want);
    free(got);
}

static void test_data_uris(void **state) {
    (void)state;
    check_uri("", "data:text/plain;base64,");
    check_uri("f", "data:text/plain;base64,Zg==");
    check_uri("fo", "data:text/plain;base64,Zm8=");
    check_uri("foo", "data:text/plain;base64,Zm9v");
    check_uri("foob", "data:text/plain;base64,Zm9vYg==");
    check_uri("fooba", "data:text/plain;base64,Zm9vYmE=");
    check_uri("foobar", "data:text/plain;base64,Zm9vYmFy");
}

/// More than libcrypto gets at once: no padding between the pieces.
static void test_long_data_uri(void **state) {
    (void)state;
    ns_error err = {0};
    const size_t size_bytes = ((size_t)3 << 20) + 4;
    char *bytes = calloc(size_bytes, 1);
    char *got = NULL;
    assert_non_null(bytes);
    assert_ok(ns_data_uri("a/b", bytes, size_bytes, &got, &err), &err);
    assert_int_equal(strlen(got), strlen("data:a/b;base64,") + (size_bytes + 2) / 3 * 4);
    const char *body = got + strlen("data:a/b;base64,");
    assert_int_equal(strspn(body, "A"), (size_bytes + 2) / 3 * 4 - 2); // zeros are As
    assert_string_equal(body + strspn(body, "A"), "==");
    free(got);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_data_uris),
        cmocka_unit_test(test_long_data_uri),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
