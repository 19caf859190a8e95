// HTML text: a growing string, escaping, and the head and foot that all pages share.
//
// A page comes from data that may be hostile: labels are folder names, file names come out of
// archives. So there are two ways to write and no third: markup of our own, and text from outside,
// which is escaped in one place. Should something slip through, the content policy still forbids
// the page to load or send anything.

#include "report/html.h"

#include <stdlib.h>
#include <string.h>

#include "report/assets.h"

struct html_text {
    FILE *stream; // over the two below
    char *text;
    size_t size_bytes;
    bool failed;
};

html_text *html_new(void) {
    html_text *html = calloc(1, sizeof(*html));
    if (html == NULL) {
        return NULL;
    }
    html->stream = open_memstream(&html->text, &html->size_bytes);
    if (html->stream == NULL) {
        free(html);
        return NULL;
    }
    return html;
}

void html_free(html_text *html) {
    if (html != NULL) {
        (void)fclose(html->stream);
        free(html->text);
        free(html);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

void html_raw(html_text *html, const char *markup) {
    if (html != NULL) {
        (void)fputs(markup, html->stream); // a failure stays with the stream
    }
}

void html_put(html_text *html, const char *format, ...) {
    if (html == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vfprintf(html->stream, format, args);
    va_end(args);
}

static void put_escaped(FILE *stream, char c) {
    switch (c) {
    case '&':
        (void)fputs("&amp;", stream);
        break;
    case '<':
        (void)fputs("&lt;", stream);
        break;
    case '>':
        (void)fputs("&gt;", stream);
        break;
    case '"':
        (void)fputs("&quot;", stream);
        break;
    case '\'':
        (void)fputs("&#39;", stream);
        break;
    default:
        (void)fputc(c, stream);
    }
}

void html_escaped(html_text *html, const char *text) {
    if (html == NULL || text == NULL) {
        return;
    }
    const size_t size_bytes = 4 * strlen(text) + 1;
    char *safe = malloc(size_bytes);
    if (safe == NULL) {
        html->failed = true;
        return;
    }
    ns_text_escape(text, safe, size_bytes);
    for (const char *c = safe; *c != '\0'; c++) {
        put_escaped(html->stream, *c);
    }
    free(safe);
}

void html_json(html_text *html, const char *id, ns_json *json) {
    char *text = NULL;
    if (html != NULL && ns_json_print(json, false, &text, NULL) == NS_OK) {
        (void)fprintf(html->stream, "<script type=\"application/json\" id=\"%s\">", id);
        for (const char *c = text; *c != '\0'; c++) { // '<' is legal in strings alone
            (void)(*c == '<' ? fputs("\\u003c", html->stream) : fputc(*c, html->stream));
        }
        (void)fputs("</script>\n", html->stream);
    } else if (html != NULL) {
        html->failed = true;
    }
    free(text);
    ns_json_free(json);
}

/* ---- pages ----------------------------------------------------------------------------------- */

void html_page_begin(html_text *html, const char *title) {
    html_raw(html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<meta name=\"color-scheme\" content=\"light dark\">\n"
                   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                   "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
                   "<link rel=\"icon\" href=\"data:,\">\n<title>");
    html_escaped(html, title);
    html_raw(html, "</title>\n<style>\n");
    html_raw(html, report__page_css);
    html_raw(html, "</style>\n</head>\n<body>\n<main>\n");
}

void html_script(html_text *html) {
    html_raw(html, "<script>\n");
    html_raw(html, report__page_js);
    html_raw(html, "</script>\n");
}

void html_page_end(html_text *html) {
    html_raw(html, "<footer>Made by nightshift " NS_VERSION ".</footer>\n"
                   "</main>\n</body>\n</html>\n");
}

ns_status html_finish(html_text *html, char **out, size_t *size_bytes, ns_error *err) {
    if (html == NULL || ferror(html->stream) || fflush(html->stream) != 0 || html->failed) {
        html_free(html);
        return ns_fail(err, NS_ERR_MEMORY, "no memory for the page");
    }
    (void)fclose(html->stream);
    *out = html->text;
    *size_bytes = html->size_bytes;
    free(html);
    return NS_OK;
}

ns_status html_save(html_text *html, const char *path, ns_error *err) {
    char *text = NULL;
    size_t size_bytes = 0;
    NS_TRY(html_finish(html, &text, &size_bytes, err));
    const ns_status status = ns_file_write(path, text, size_bytes, err);
    free(text);
    return status;
}
