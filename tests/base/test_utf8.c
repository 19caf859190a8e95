// What is UTF-8, and how text is made safe to print.

#include "tests/ns_test.h"

#include <string.h>

static void test_valid(void **state) {
    (void)state;
    static const char *const good[] = {
        "",
        "plain",
        "gr\xc3\xbcn",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xf0\x9f\x8c\x99 moon",
        "\xf4\x8f\xbf\xbf",
    };
    static const char *const bad[] = {
        "g\xe4nse",         // Latin-1
        "\x80",             // a lone continuation
        "cut \xe2\x82",     // a cut sequence
        "\xc0\xaf",         // over-long
        "\xe0\x9f\xbf",     // over-long
        "\xed\xa0\x80",     // a surrogate
        "\xf4\x90\x80\x80", // beyond U+10FFFF
        "\xf5\x80\x80\x80",
    };
    for (size_t i = 0; i < NS_COUNT_OF(good); i++) {
        if (!ns_utf8_valid(good[i])) {
            fail_msg("good[%zu] \"%s\" is not taken for UTF-8", i, good[i]);
        }
    }
    for (size_t i = 0; i < NS_COUNT_OF(bad); i++) {
        if (ns_utf8_valid(bad[i])) {
            fail_msg("bad[%zu] is taken for UTF-8", i);
        }
    }
}

static void assert_escaped(const char *text, const char *want) {
    char once[64];
    char twice[64];
    ns_text_escape(text, once, sizeof(once));
    assert_string_equal(once, want);
    ns_text_escape(once, twice, sizeof(twice));
    assert_string_equal(twice, want);
}

static void test_escape(void **state) {
    (void)state;
    assert_escaped("gr\xc3\xbcn a\\b", "gr\xc3\xbcn a\\b");
    assert_escaped("g\xe4nse", "g\\xe4nse");
    assert_escaped("\x1b[2J\n\x7f", "\\x1b[2J\\x0a\\x7f");
    assert_escaped("\xc2\x9b", "\\xc2\\x9b"); // a terminal's command in Latin-1
    assert_escaped("\xe2\x82", "\\xe2\\x82");
}

static void test_escape_is_cut_between_characters(void **state) {
    (void)state;
    char out[8];
    ns_text_escape("12345\xe2\x82\xac", out, sizeof(out));
    assert_string_equal(out, "12345");
    ns_text_escape("1234\xff", out, sizeof(out));
    assert_string_equal(out, "1234");
    ns_text_escape("1234\xe2\x82\xac", out, sizeof(out));
    assert_string_equal(out, "1234\xe2\x82\xac");
    ns_text_escape("x", out, 1);
    assert_string_equal(out, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
