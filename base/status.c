// Texts of the status codes, from the same table as the codes.

#include "base/status.h"

const char *ns_status_text(ns_status status) {
    switch (status) {
#define NS_STATUS_CASE(name, value, text)                                                          \
    case NS_##name:                                                                                \
        return text;
        NS_STATUS_LIST(NS_STATUS_CASE)
#undef NS_STATUS_CASE
    }
    return "unknown status";
}
