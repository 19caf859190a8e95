// An SVG plot as a PNG picture, by librsvg and cairo.
//
// The plots' colours are classes that a page defines for light and dark. A picture has no page, so
// the light ones are put into the SVG here; librsvg knows classes but no CSS variables.

#include <cairo.h>
#include <librsvg/rsvg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/report_internal.h"

// As in report/page.css.
static const char style[] =
    "<style>"
    "text{font:13px 'DejaVu Sans',sans-serif;fill:#59616d}"
    ".strong{fill:#1d2229;font-weight:600}.on{fill:#1d2229}"
    ".grid{stroke:#e2dfd8;fill:none}.axis{stroke:#59616d;fill:none}"
    ".curve{fill:none;stroke-width:2.25;stroke-linejoin:round}"
    ".thin{fill:none;stroke-width:1.4;opacity:.75}"
    ".c0{stroke:#0a62a8}.c1{stroke:#a85b00}.c2{stroke:#00745a}.c3{stroke:#8a3f86}"
    ".c4{stroke:#b83a0e}.c5{stroke:#59616d}"
    ".f0{fill:#0a62a8}.f1{fill:#a85b00}.f2{fill:#00745a}.f3{fill:#8a3f86}"
    ".f4{fill:#b83a0e}.f5{fill:#59616d}"
    ".dot{stroke:#fff;stroke-width:1}.faint{opacity:.45}.tint{fill:#1d2229;opacity:.05}"
    ".heat{fill:#0a62a8}.miss{fill:#c84a18}"
    "</style>";

#define MARGIN_PX 16 // around a plot, in its units
#define SIDE_MAX  16384

/// The SVG with the style behind its first tag; malloced.
static char *styled(const char *svg, size_t size_bytes, size_t *styled_bytes) {
    const char *end = memchr(svg, '>', size_bytes);
    const size_t head = end == NULL ? 0 : (size_t)(end + 1 - svg);
    char *out = malloc(size_bytes + sizeof(style));
    if (out != NULL) {
        memcpy(out, svg, head);
        memcpy(out + head, style, sizeof(style) - 1);
        memcpy(out + head + sizeof(style) - 1, svg + head, size_bytes - head);
        *styled_bytes = size_bytes + sizeof(style) - 1;
    }
    return out;
}

/// A PNG that grows.
typedef struct png {
    uint8_t *bytes;
    size_t size_bytes;
} png;

static cairo_status_t append(void *context, const unsigned char *bytes, unsigned length) {
    png *p = context;
    uint8_t *grown = realloc(p->bytes, p->size_bytes + length);
    if (grown == NULL) {
        return CAIRO_STATUS_NO_MEMORY;
    }
    memcpy(grown + p->size_bytes, bytes, length);
    p->bytes = grown;
    p->size_bytes += length;
    return CAIRO_STATUS_SUCCESS;
}

/// Draws on white, with a margin.
static bool draw(RsvgHandle *handle, cairo_surface_t *surface, double width, double height,
                 double scale) {
    const RsvgRectangle viewport = {MARGIN_PX, MARGIN_PX, width, height};
    cairo_t *cairo = cairo_create(surface);
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    cairo_scale(cairo, scale, scale);
    const bool drawn = rsvg_handle_render_document(handle, cairo, &viewport, NULL) != FALSE &&
                       cairo_status(cairo) == CAIRO_STATUS_SUCCESS;
    cairo_destroy(cairo);
    return drawn;
}

static bool render(RsvgHandle *handle, double scale, png *out) {
    gboolean has_width = FALSE;
    gboolean has_height = FALSE;
    gboolean has_box = FALSE;
    RsvgLength width;
    RsvgLength height;
    RsvgRectangle box = {0};
    rsvg_handle_get_intrinsic_dimensions(handle, &has_width, &width, &has_height, &height, &has_box,
                                         &box);
    const double width_px = scale * (box.width + 2 * MARGIN_PX);
    const double height_px = scale * (box.height + 2 * MARGIN_PX);
    if (!has_box || !(width_px >= 1 && width_px <= SIDE_MAX) ||
        !(height_px >= 1 && height_px <= SIDE_MAX)) {
        return false;
    }
    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width_px, (int)height_px);
    const bool done =
        draw(handle, surface, box.width, box.height, scale) &&
        cairo_surface_write_to_png_stream(surface, append, out) == CAIRO_STATUS_SUCCESS;
    cairo_surface_destroy(surface);
    return done;
}

ns_status report__png_write(const char *svg, size_t size_bytes, double scale, const char *path,
                            ns_error *err) {
    size_t styled_bytes = 0;
    png out = {0};
    char *text = styled(svg, size_bytes, &styled_bytes);
    if (text == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot draw %s: out of memory", path);
    }
    RsvgHandle *handle = rsvg_handle_new_from_data((const guint8 *)text, (gsize)styled_bytes, NULL);
    const bool done = handle != NULL && render(handle, scale, &out);
    const ns_status status =
        done ? ns_file_write(path, out.bytes, out.size_bytes, err)
             : ns_fail(err, NS_ERR_INTERNAL, "cannot draw %s: librsvg refuses the plot", path);
    if (handle != NULL) {
        g_object_unref(handle);
    }
    free(out.bytes);
    free(text);
    return status;
}
