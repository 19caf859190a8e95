// Pages: escaping above all.

#include <string.h>

#include "report/html.h"
#include "tests/ns_test.h"

static char *finished(html_text *html) {
    char *text = NULL;
    size_t size_bytes = 0;
    ns_error err = {0};
    assert_ok(html_finish(html, &text, &size_bytes, &err), &err);
    assert_int_equal(size_bytes, strlen(text));
    return text;
}

static void test_escapes_what_html_means(void **state) {
    (void)state;
    html_text *html = html_new();
    html_escaped(html, "<script>alert('1' & \"2\")</script>");
    char *text = finished(html);
    assert_string_equal(text,
                        "&lt;script&gt;alert(&#39;1&#39; &amp; &quot;2&quot;)&lt;/script&gt;");
    free(text);
}

static void test_escapes_what_is_no_text(void **state) {
    (void)state;
    html_text *html = html_new();
    html_escaped(html, "gr\xc3\xbc\xc3\x9f, \x1b[31m \xff");
    html_escaped(html, NULL);
    char *text = finished(html);
    assert_string_equal(text, "gr\xc3\xbc\xc3\x9f, \\x1b[31m \\xff");
    free(text);
}

static void test_json_cannot_end_its_script(void **state) {
    (void)state;
    ns_json *json = ns_json_array_new();
    ns_json_add_string(json, "</script><script>alert(1)//");
    html_text *html = html_new();
    html_json(html, "data", json);
    char *text = finished(html);
    const char *end = strstr(text, "</script>");
    assert_non_null(end);
    assert_string_equal(end, "</script>\n");
    assert_non_null(strstr(text, "\\u003c/script>\\u003cscript>"));
    free(text);
}

static void test_page_stands_alone(void **state) {
    (void)state;
    html_text *html = html_new();
    html_page_begin(html, "a <title>");
    html_raw(html, "<p>content</p>");
    html_script(html);
    html_page_end(html);
    char *text = finished(html);
    assert_non_null(strstr(text, "<title>a &lt;title&gt;</title>"));
    assert_non_null(strstr(text, "default-src 'none'"));
    assert_non_null(strstr(text, "prefers-color-scheme"));
    assert_null(strstr(text, "http://"));
    assert_null(strstr(text, "https://"));
    free(text);
}

static void test_no_memory_is_said_at_the_end(void **state) {
    (void)state;
    char *text = NULL;
    size_t size_bytes = 0;
    html_raw(NULL, "x");
    html_put(NULL, "%d", 1);
    html_escaped(NULL, "x");
    html_json(NULL, "x", ns_json_array_new());
    html_page_begin(NULL, "x");
    html_page_end(NULL);
    html_free(NULL);
    assert_status(html_finish(NULL, &text, &size_bytes, NULL), NS_ERR_MEMORY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes_what_html_means),
        cmocka_unit_test(test_escapes_what_is_no_text),
        cmocka_unit_test(test_json_cannot_end_its_script),
        cmocka_unit_test(test_page_stands_alone),
        cmocka_unit_test(test_no_memory_is_said_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
