// The style and the script of all pages, compiled in from report/page.css and report/page.js
// (report/CMakeLists.txt makes assets.c of them).

#ifndef NS_REPORT_ASSETS_H
#define NS_REPORT_ASSETS_H

extern const char report__page_css[];
extern const char report__page_js[];

#endif
