// What every test includes: cmocka behind the headers it wants first, the sample data, and a check
// that prints the sentence of an ns_error when a call fails.
//
// A test that needs sample data which is not there says so loudly and counts as skipped; it never
// passes in silence.

#ifndef NS_TESTS_NS_TEST_H
#define NS_TESTS_NS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

/// Fails the test, with the library's own sentence, unless `call` returns NS_OK.
#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        const ns_status assert_ok_status_ = (call);                                                \
        if (assert_ok_status_ != NS_OK) {                                                          \
            fail_msg("%s: %s: %s", #call, ns_status_text(assert_ok_status_), (err)->text);         \
        }                                                                                          \
    } while (0)

/// Fails the test unless `call` returns `status`; prints both when they differ.
#define assert_status(call, status)                                                                \
    do {                                                                                           \
        const ns_status assert_status_got_ = (call);                                               \
        const ns_status assert_status_want_ = (status);                                            \
        if (assert_status_got_ != assert_status_want_) {                                           \
            fail_msg("%s: got \"%s\", want \"%s\"", #call, ns_status_text(assert_status_got_),     \
                     ns_status_text(assert_status_want_));                                         \
        }                                                                                          \
    } while (0)

/// Writes the path of the sample data `name` into `out` (size_bytes); skips the test without it.
static inline void test_data_path(const char *name, char *out, size_t size_bytes) {
    const char *root = getenv("NIGHTSHIFT_DATA");
    (void)snprintf(out, size_bytes, "%s/%s", root != NULL ? root : "../shared/data", name);
    if (access(out, R_OK) != 0) {
        print_message("SKIPPED: no sample data at %s (set NIGHTSHIFT_DATA)\n", out);
        skip();
    }
}

#endif
