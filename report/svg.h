// Plots as SVG: scales, axes, curves, points. Small primitives for report/ alone.
//
// A plot is 640 units wide wherever it is shown. Colours are classes (c0-c5 for strokes, f0-f5 for
// fills) that the page's style defines for light and dark, and report/plot_png.c for pictures.

#ifndef NS_REPORT_SVG_H
#define NS_REPORT_SVG_H

#include "report/html.h"

#define SVG_WIDTH      640
#define SVG_COLOURS    6
#define SVG_LABEL_MAX  32
#define SVG_TICKS_MAX  12
#define SVG_PLOT_TITLE 38 // what is above the frame

/// What the numbers of an axis are, and so how their ticks are chosen and written.
typedef enum svg_unit {
    SVG_NUMBER,
    SVG_PERCENT, // of fractions
    SVG_TIME,    // milliseconds, written as s, min, h, d
} svg_unit;

typedef struct svg_axis {
    double low, high; // low < high
    bool log;
    svg_unit unit;
    const char *title;
} svg_axis;

typedef struct svg_plot {
    html_text *out;
    svg_axis x, y;
    double left, right, top, bottom; // of the frame
    int height;                      // of all
} svg_plot;

/// Nice limits around [low, high], also where it is a single value or empty.
svg_axis svg_axis_around(double low, double high, svg_unit unit, const char *title);
/// The same on a logarithmic scale where `low` > 0 and the range is wide; else as above.
svg_axis svg_axis_wide(double low, double high, svg_unit unit, const char *title);
/// Ticks of an axis, ascending; returns how many.
int svg_ticks(const svg_axis *axis, double out[SVG_TICKS_MAX]);
/// A value as the axis writes it.
void svg_label(const svg_axis *axis, double value, char out[SVG_LABEL_MAX]);

/// <svg>; `label` says what it shows to who cannot see it and is escaped. svg_end() closes it.
void svg_begin(html_text *out, int height, const char *label);
void svg_end(html_text *out);
/// Where a plot's frame is.
svg_plot svg_plot_of(html_text *out, int height, const svg_axis *x, const svg_axis *y);
/// svg_begin() with its grid, ticks and titles.
void svg_plot_draw(const svg_plot *plot, const char *label);
/// Both.
svg_plot svg_plot_begin(html_text *out, int height, const svg_axis *x, const svg_axis *y,
                        const char *label);
double svg_x(const svg_plot *plot, double value);
double svg_y(const svg_plot *plot, double value);

/// A path of the classes `classes`; svg_to() for each point, then svg_path_end(). With `steps` it
/// goes right before it goes up.
typedef struct svg_path {
    const svg_plot *plot;
    bool steps, begun;
} svg_path;
svg_path svg_path_begin(const svg_plot *plot, const char *classes, bool steps);
void svg_to(svg_path *path, double x, double y);
void svg_path_end(svg_path *path);

/// A dot; its markup stays open for a title: svg_dot(), html_escaped(), svg_dot_end().
void svg_dot(const svg_plot *plot, double x, double y, double radius, const char *classes);
void svg_dot_end(const svg_plot *plot);
/// Text of ours or of others, escaped, cut to `length_max` characters; `anchor` is start, middle or
/// end.
void svg_text(html_text *out, double x, double y, const char *anchor, const char *classes,
              const char *text, size_t length_max);

#endif
