// Plots as SVG. Ticks are multiples of 1, 2 or 5 times a power of ten (times: of what clocks count
// by), as many as there is room for on a small screen, where letters are nearly twice as large
// (report/page.css).

#include "report/svg.h"

#include <math.h>
#include <string.h>

#define LEFT   62
#define RIGHT  14
#define BOTTOM 48

/* ---- axes ------------------------------------------------------------------------------------ */

static double nice_step(double range, int count) {
    const double rough = range / count;
    const double power = pow(10, floor(log10(rough)));
    const double part = rough / power;
    return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

static double time_step(double range_ms, int count) {
    static const double steps_s[] = {1,   2,   5,    10,   15,   30,    60,    120,   300,
                                     600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400};
    for (size_t i = 0; i < NS_COUNT_OF(steps_s); i++) {
        if (range_ms <= steps_s[i] * 1000 * count) {
            return steps_s[i] * 1000;
        }
    }
    return 86400e3 * nice_step(range_ms / 86400e3, count);
}

static double step_of(const svg_axis *axis) {
    const double range = axis->high - axis->low;
    return axis->unit == SVG_TIME && range > 1000 ? time_step(range, 6) : nice_step(range, 6);
}

svg_axis svg_axis_around(double low, double high, svg_unit unit, const char *title) {
    svg_axis axis = {.low = low, .high = high, .unit = unit, .title = title};
    if (!(low <= high) || isinf(low) || isinf(high)) { // nothing to show, or NaN
        axis.low = 0;
        axis.high = 1;
    } else if (high - low < 1e-9 * fmax(fabs(low), 1e-9)) {
        const double margin = fabs(low) > 0 ? 0.05 * fabs(low) : 1;
        axis.low -= margin;
        axis.high += margin;
    }
    for (int pass = 0; pass < 2; pass++) { // the wider range may have a wider step
        const double step = step_of(&axis);
        axis.low = floor(axis.low / step + 1e-9) * step;
        axis.high = ceil(axis.high / step - 1e-9) * step;
    }
    if (unit == SVG_PERCENT && axis.high > 1 && high <= 1) {
        axis.high = 1;
    }
    return axis;
}

svg_axis svg_axis_wide(double low, double high, svg_unit unit, const char *title) {
    if (!(low > 0) || !(high > 3 * low)) {
        return svg_axis_around(low, high, unit, title);
    }
    return (svg_axis){
        .low = low / 1.15, .high = high * 1.15, .log = true, .unit = unit, .title = title};
}

static int log_ticks(const svg_axis *axis, double out[SVG_TICKS_MAX]) {
    const double decades = log10(axis->high / axis->low);
    const int stride = 1 + (int)(decades / 6); // powers of ten that are passed over
    int count = 0;
    for (int power = (int)floor(log10(axis->low)); pow(10, power) <= axis->high; power++) {
        static const double parts[] = {1, 2, 5};
        for (size_t i = 0; i < (decades > 2.5 ? 1 : NS_COUNT_OF(parts)); i++) {
            const double value = parts[i] * pow(10, power);
            if (value >= axis->low && value <= axis->high && power % stride == 0 &&
                count < SVG_TICKS_MAX) {
                out[count++] = value;
            }
        }
    }
    return count;
}

int svg_ticks(const svg_axis *axis, double out[SVG_TICKS_MAX]) {
    if (axis->log) {
        return log_ticks(axis, out);
    }
    const double step = step_of(axis);
    const double first = ceil(axis->low / step - 1e-6);
    int count = 0;
    while (count < SVG_TICKS_MAX && (first + count) * step <= axis->high + 1e-6 * step) {
        out[count] = (first + count) * step + 0.0; // no -0
        count++;
    }
    return count;
}

static int digits_of(double step) {
    const int digits = (int)ceil(-log10(step) - 1e-6);
    return digits < 0 ? 0 : digits > 9 ? 9 : digits;
}

static void label_time(double ms, double step_ms, char out[SVG_LABEL_MAX]) {
    const double s = ms / 1000;
    const double step_s = step_ms / 1000;
    if (ms == 0) {
        (void)snprintf(out, SVG_LABEL_MAX, "0");
    } else if (step_s < 60) {
        (void)snprintf(out, SVG_LABEL_MAX, "%.*f s", digits_of(step_s), s);
    } else if (step_s < 3600) {
        (void)snprintf(out, SVG_LABEL_MAX, "%.0f min", s / 60);
    } else if (step_s < 86400) {
        (void)snprintf(out, SVG_LABEL_MAX, "%.0f h", s / 3600);
    } else {
        (void)snprintf(out, SVG_LABEL_MAX, "%.0f d", s / 86400);
    }
}

static void label_number(double value, char out[SVG_LABEL_MAX]) {
    const double size = fabs(value);
    if (size >= 1e9) {
        (void)snprintf(out, SVG_LABEL_MAX, "%.4g G", value / 1e9);
    } else if (size >= 1e6) {
        (void)snprintf(out, SVG_LABEL_MAX, "%.4g M", value / 1e6);
    } else if (size >= 1e4) {
        (void)snprintf(out, SVG_LABEL_MAX, "%.4g k", value / 1e3);
    } else {
        (void)snprintf(out, SVG_LABEL_MAX, "%.4g", value);
    }
}

void svg_label(const svg_axis *axis, double value, char out[SVG_LABEL_MAX]) {
    const double step = axis->log ? value : step_of(axis);
    switch (axis->unit) {
    case SVG_PERCENT:
        (void)snprintf(out, SVG_LABEL_MAX, "%.*f %%", digits_of(100 * step), 100 * value);
        break;
    case SVG_TIME:
        label_time(value, step, out);
        break;
    case SVG_NUMBER:
        label_number(value, out);
        break;
    }
}

/* ---- the frame ------------------------------------------------------------------------------- */

void svg_begin(html_text *out, int height, const char *label) {
    html_put(out,
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
             "aria-label=\"",
             SVG_WIDTH, height);
    html_escaped(out, label);
    html_raw(out, "\">\n");
}

void svg_end(html_text *out) {
    html_raw(out, "</svg>\n");
}

static double place(const svg_axis *axis, double value, double from, double to) {
    const double at = axis->log ? log(value / axis->low) / log(axis->high / axis->low)
                                : (value - axis->low) / (axis->high - axis->low);
    return from + at * (to - from);
}

double svg_x(const svg_plot *plot, double value) {
    return place(&plot->x, value, plot->left, plot->right);
}

double svg_y(const svg_plot *plot, double value) {
    return place(&plot->y, value, plot->bottom, plot->top);
}

static void draw_grid(const svg_plot *plot) {
    double ticks[SVG_TICKS_MAX];
    char label[SVG_LABEL_MAX];
    const int y_count = svg_ticks(&plot->y, ticks);
    for (int i = 0; i < y_count; i++) {
        const double y = svg_y(plot, ticks[i]);
        svg_label(&plot->y, ticks[i], label);
        html_put(plot->out, "<path class=\"grid\" d=\"M%.0f %.1fH%.0f\"/>", plot->left, y,
                 plot->right);
        svg_text(plot->out, plot->left - 8, y + 5, "end", "", label, SVG_LABEL_MAX);
    }
    const int x_count = svg_ticks(&plot->x, ticks);
    for (int i = 0; i < x_count; i++) {
        const double x = svg_x(plot, ticks[i]);
        svg_label(&plot->x, ticks[i], label);
        html_put(plot->out, "<path class=\"axis\" d=\"M%.1f %.0fv4\"/>", x, plot->bottom);
        svg_text(plot->out, x, plot->bottom + 20, "middle", "", label, SVG_LABEL_MAX);
    }
}

svg_plot svg_plot_of(html_text *out, int height, const svg_axis *x, const svg_axis *y) {
    return (svg_plot){
        .out = out,
        .x = *x,
        .y = *y,
        .left = LEFT,
        .right = SVG_WIDTH - RIGHT,
        .top = SVG_PLOT_TITLE,
        .bottom = height - BOTTOM,
        .height = height,
    };
}

void svg_plot_draw(const svg_plot *plot, const char *label) {
    svg_begin(plot->out, plot->height, label);
    draw_grid(plot);
    html_put(plot->out, "<path class=\"axis\" d=\"M%.0f %.0fH%.0f\"/>\n", plot->left, plot->bottom,
             plot->right);
    svg_text(plot->out, 0, 14, "start", "strong", plot->y.title, 80);
    svg_text(plot->out, plot->right, plot->height - 5, "end", "strong", plot->x.title, 80);
}

svg_plot svg_plot_begin(html_text *out, int height, const svg_axis *x, const svg_axis *y,
                        const char *label) {
    const svg_plot plot = svg_plot_of(out, height, x, y);
    svg_plot_draw(&plot, label);
    return plot;
}

/* ---- what is in it --------------------------------------------------------------------------- */

svg_path svg_path_begin(const svg_plot *plot, const char *classes, bool steps) {
    html_put(plot->out, "<path class=\"%s\" d=\"", classes);
    return (svg_path){.plot = plot, .steps = steps};
}

void svg_to(svg_path *path, double x, double y) {
    const double px = svg_x(path->plot, x);
    const double py = svg_y(path->plot, y);
    if (!path->begun) {
        html_put(path->plot->out, "M%.1f %.1f", px, py);
    } else if (path->steps) {
        html_put(path->plot->out, "H%.1fV%.1f", px, py);
    } else {
        html_put(path->plot->out, "L%.1f %.1f", px, py);
    }
    path->begun = true;
}

void svg_path_end(svg_path *path) {
    html_raw(path->plot->out, "\"/>\n");
}

void svg_dot(const svg_plot *plot, double x, double y, double radius, const char *classes) {
    html_put(plot->out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%g\"><title>", classes,
             svg_x(plot, x), svg_y(plot, y), radius);
}

void svg_dot_end(const svg_plot *plot) {
    html_raw(plot->out, "</title></circle>\n");
}

void svg_text(html_text *out, double x, double y, const char *anchor, const char *classes,
              const char *text, size_t length_max) {
    char cut[256];
    size_t used = 0;
    size_t length = 0;
    while (text[used] != '\0' && length < length_max) {
        const size_t bytes = ns_utf8_length(text + used);
        if (used + (bytes > 0 ? bytes : 1) + 4 > sizeof(cut)) {
            break;
        }
        used += bytes > 0 ? bytes : 1;
        length++;
    }
    (void)snprintf(cut, sizeof(cut), "%.*s%s", (int)used, text, text[used] != '\0' ? "…" : "");
    html_put(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", classes, x, y,
             anchor);
    html_escaped(out, cut);
    html_raw(out, "</text>\n");
}
