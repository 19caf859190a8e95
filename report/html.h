// HTML text and the pages made of it: every page of nightshift has this head, style and escaping.
//
// Intended usage:
//   1. html_new(), html_page_begin() with the page's title.
//   2. html_raw() and html_put() for markup of our own, html_escaped() for everything that comes
//      from outside: label names, file names, sentences.
//   3. html_page_end(), then html_save() or html_finish().
//
// A page stands alone: style and pictures are inside it, and its content policy forbids it the
// network. Memory that runs out is remembered and reported by html_save() or html_finish() alone.

#ifndef NS_REPORT_HTML_H
#define NS_REPORT_HTML_H

#include "base/base.h"

typedef struct html_text html_text;

/// NULL when memory runs out; every call below accepts that.
html_text *html_new(void);
void html_free(html_text *html);

/// Markup as it stands; never what comes from outside.
void html_raw(html_text *html, const char *markup);
/// The same by a format, whose strings must be our own.
void html_put(html_text *html, const char *format, ...) NS_PRINTF(2, 3);
/// Any text, as content or inside a quoted attribute: what has a meaning in HTML is escaped, control
/// characters and stray bytes become \xNN. NULL is "".
void html_escaped(html_text *html, const char *text);
/// JSON inside a script element of the type application/json; no text in it can end the element.
/// Frees `json`.
void html_json(html_text *html, const char *id, ns_json *json);

/// Doctype to <main>, with the shared style; `title` is escaped.
void html_page_begin(html_text *html, const char *title);
/// The script that moves what can be moved (report/page.js); before the end of a page.
void html_script(html_text *html);
void html_page_end(html_text *html);

/// What was written so far as a malloced string. Frees `html`. NS_ERR_MEMORY.
ns_status html_finish(html_text *html, char **out, size_t *size_bytes, ns_error *err);
/// The same into a file, atomically. Frees `html`.
ns_status html_save(html_text *html, const char *path, ns_error *err);

#endif
