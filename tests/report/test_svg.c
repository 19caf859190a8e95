// Axes of plots: ticks are nice numbers within the axis, and odd ranges are harmless.

#include <math.h>
#include <string.h>

#include "report/svg.h"
#include "tests/ns_test.h"

static void assert_ticks(const svg_axis *axis, const char *want) {
    double ticks[SVG_TICKS_MAX];
    char got[512] = "";
    const int count = svg_ticks(axis, ticks);
    for (int i = 0; i < count; i++) {
        char label[SVG_LABEL_MAX];
        svg_label(axis, ticks[i], label);
        (void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i > 0 ? ", " : "",
                       label);
    }
    assert_string_equal(got, want);
}

static void test_ticks(void **state) {
    (void)state;
    const svg_axis percent = svg_axis_around(0.872, 0.9013, SVG_PERCENT, "");
    assert_ticks(&percent, "87 %, 88 %, 89 %, 90 %, 91 %");
    const svg_axis minutes = svg_axis_around(0, 595033, SVG_TIME, "");
    assert_ticks(&minutes, "0, 2 min, 4 min, 6 min, 8 min, 10 min");
    const svg_axis hours = svg_axis_around(0, 8 * 3.6e6, SVG_TIME, "");
    assert_ticks(&hours, "0, 2 h, 4 h, 6 h, 8 h");
    const svg_axis log = svg_axis_wide(0.3, 8, SVG_NUMBER, "");
    assert_true(log.log);
    assert_ticks(&log, "0.5, 1, 2, 5");
    const svg_axis whole = svg_axis_around(0.2, 1, SVG_PERCENT, "");
    assert_true(whole.high <= 1);
}

static void test_odd_ranges(void **state) {
    (void)state;
    static const double ranges[][2] = {
        {NAN, NAN}, {INFINITY, -INFINITY}, {0, 0},       {0.5, 0.5},  {1, 1},
        {-3, 1e12}, {1e-12, 2e-12},        {1e15, 2e15}, {-0.1, 0.1},
    };
    static const svg_unit units[] = {SVG_NUMBER, SVG_PERCENT, SVG_TIME};
    for (size_t i = 0; i < NS_COUNT_OF(ranges); i++) {
        for (size_t unit = 0; unit < NS_COUNT_OF(units); unit++) {
            for (int wide = 0; wide < 2; wide++) {
                double ticks[SVG_TICKS_MAX];
                const svg_axis axis = (wide ? svg_axis_wide : svg_axis_around)(
                    ranges[i][0], ranges[i][1], units[unit], "");
                assert_true(axis.low < axis.high);
                const int count = svg_ticks(&axis, ticks);
                assert_true(count <= SVG_TICKS_MAX);
                for (int k = 1; k < count; k++) {
                    assert_true(ticks[k] > ticks[k - 1]);
                }
            }
        }
    }
}

static void test_text_is_cut_between_characters(void **state) {
    (void)state;
    ns_error err = {0};
    char *text = NULL;
    size_t size_bytes = 0;
    html_text *out = html_new();
    svg_text(out, 1, 2, "end", "", "\xc3\xbc\xc3\xbc\xc3\xbc<", 2);
    assert_ok(html_finish(out, &text, &size_bytes, &err), &err);
    assert_non_null(strstr(text, ">\xc3\xbc\xc3\xbc\xe2\x80\xa6</text>"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_odd_ranges),
        cmocka_unit_test(test_text_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
