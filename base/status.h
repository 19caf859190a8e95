// Status codes of the whole program, from one table.
//
// Every fallible function returns an ns_status: 0 when it did what it says, negative otherwise.
// The sentence for a person goes into a caller-owned ns_error (base.h).

#ifndef NS_BASE_STATUS_H
#define NS_BASE_STATUS_H

// X(name, value, text)
#define NS_STATUS_LIST(X)                                                                          \
    X(OK, 0, "ok")                                                                                 \
    X(ERR_USAGE, -1, "wrong usage")                                                                \
    X(ERR_INPUT, -2, "bad input")                                                                  \
    X(ERR_IO, -3, "input or output failed")                                                        \
    X(ERR_MEMORY, -4, "out of memory")                                                             \
    X(ERR_NOT_FOUND, -5, "not found")                                                              \
    X(ERR_EXISTS, -6, "already there")                                                             \
    X(ERR_BUSY, -7, "in use by somebody else")                                                     \
    X(ERR_VERSION, -8, "made by a newer version")                                                  \
    X(ERR_CORRUPT, -9, "damaged")                                                                  \
    X(ERR_LIMIT, -10, "over a limit")                                                              \
    X(ERR_NAN, -11, "not a number")                                                                \
    X(ERR_BUDGET, -12, "no budget left")                                                           \
    X(ERR_FENCED, -13, "somebody else has taken this over")                                        \
    X(ERR_STOPPED, -14, "stopped early on request")                                                \
    X(ERR_INTERNAL, -15, "internal error")

typedef enum ns_status {
#define NS_STATUS_ENUM(name, value, text) NS_##name = (value),
    NS_STATUS_LIST(NS_STATUS_ENUM)
#undef NS_STATUS_ENUM
} ns_status;

/// Returns the short text of `status` ("bad input"); never NULL.
const char *ns_status_text(ns_status status);

#endif
