// Lists of numbers in order, and numbers for a person to read.

#include <stdlib.h>

#include "base/base.h"

static int compare_doubles(const void *left, const void *right) {
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

void ns_sort_doubles(double *values, size_t count) {
    if (count > 0) {
        qsort(values, count, sizeof(*values), compare_doubles);
    }
}

double ns_quantile(const double *sorted, size_t count, double fraction) {
    if (count == 0) {
        return 0;
    }
    const double at = fraction * (double)(count - 1);
    const size_t below = (size_t)at;
    const size_t above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (at - (double)below) * (sorted[above] - sorted[below]);
}

double ns_median(double *values, size_t count) {
    ns_sort_doubles(values, count);
    return ns_quantile(values, count, 0.5);
}

const char *ns_group_digits(int64_t value, char out[32]) {
    char digits[24];
    const int length = snprintf(digits, sizeof(digits), "%lld", (long long)value);
    char *to = out;
    for (int i = 0; i < length; i++) {
        *to++ = digits[i];
        const int left = length - 1 - i;
        if (left > 0 && left % 3 == 0 && digits[i] != '-') {
            *to++ = ',';
        }
    }
    *to = '\0';
    return out;
}
