// SHA-256 against the vectors of FIPS 180-4.

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
