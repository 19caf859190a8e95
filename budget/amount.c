// Budgets as people write and read them.
//
// A budget of time is a sum of numbers with units ("1h30m"), one number of node-hours ("0.5nh"), or
// a name ("free", "paid"). A study runs on one machine, so that its node-hours are hours of the wall
// clock. A budget of compute is one number of FLOPs ("60tflop"). Numbers are read by hand in fixed
// point with six decimals: no locale, no "inf", no hexadecimal, and every amount the same integer on
// every machine.

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "budget/budget.h"

#define SECOND_MS      INT64_C(1000)
#define MINUTE_MS      (60 * SECOND_MS)
#define HOUR_MS        (60 * MINUTE_MS)
#define DAY_MS         (24 * HOUR_MS)
#define FRACTION_SCALE INT64_C(1000000)
#define WHOLE_MAX      INT64_C(999999999) // times a day still fits 64 bits

typedef struct unit {
    const char *name;
    int64_t ms;
} unit;

// Largest first: the parts of a sum come in this order, each at most once.
static const unit SUM_UNITS[] = {
    {"d", DAY_MS},
    {"h", HOUR_MS},
    {"m", MINUTE_MS},
    {"s", SECOND_MS},
};

static const unit NAMED_AMOUNTS[] = {
    {"free", HOUR_MS},
    {"paid", 24 * HOUR_MS},
};

// Largest first, as they are printed.
static const unit COMPUTE_UNITS[] = {
    {"pflop", INT64_C(1000000000000000) / BUDGET_FLOP_PER_MS},
    {"tflop", INT64_C(1000000000000) / BUDGET_FLOP_PER_MS},
    {"gflop", INT64_C(1000000000) / BUDGET_FLOP_PER_MS},
};

#define TIME_FORMS    "90s, 10m, 8h, 1d, 1h30m, 0.5nh (node-hours), free (1nh) or paid (24nh)"
#define COMPUTE_FORMS "500gflop, 60tflop or 1.5pflop"

typedef struct fixed {
    int64_t whole, fraction; // value = whole + fraction / FRACTION_SCALE
} fixed;

/// Reads a number; `*at` moves past it. False when there is none, or it is too long.
static bool read_fixed(const char **at, fixed *out) {
    *out = (fixed){0};
    const char *digit = *at;
    for (; isdigit((unsigned char)*digit); digit++) {
        out->whole = out->whole * 10 + (*digit - '0');
        if (out->whole > WHOLE_MAX) {
            return false;
        }
    }
    bool any = digit != *at;
    if (*digit == '.') {
        digit++;
        for (int64_t place = FRACTION_SCALE / 10; isdigit((unsigned char)*digit); digit++) {
            out->fraction += place * (*digit - '0');
            place /= 10;
            any = true;
        }
    }
    *at = digit;
    return any;
}

static int64_t fixed_times(fixed number, int64_t unit_ms) {
    return number.whole * unit_ms +
           (number.fraction * unit_ms + FRACTION_SCALE / 2) / FRACTION_SCALE;
}

/// Reads "1h30m". False when `text` is no such sum.
static bool read_sum(const char *text, int64_t *sum_ms) {
    *sum_ms = 0;
    size_t next = 0; // the largest unit that may still come
    do {
        fixed number;
        if (!read_fixed(&text, &number)) {
            return false;
        }
        while (next < NS_COUNT_OF(SUM_UNITS) && *text != SUM_UNITS[next].name[0]) {
            next++;
        }
        if (next == NS_COUNT_OF(SUM_UNITS)) {
            return false;
        }
        *sum_ms += fixed_times(number, SUM_UNITS[next].ms);
        next++;
        text++;
    } while (*text != '\0');
    return true;
}

static bool read_node_hours(const char *text, int64_t *node_ms) {
    fixed number;
    if (!read_fixed(&text, &number) || strcmp(text, "nh") != 0) {
        return false;
    }
    *node_ms = fixed_times(number, HOUR_MS);
    return true;
}

static bool read_name(const char *text, int64_t *node_ms) {
    for (size_t i = 0; i < NS_COUNT_OF(NAMED_AMOUNTS); i++) {
        if (strcmp(text, NAMED_AMOUNTS[i].name) == 0) {
            *node_ms = NAMED_AMOUNTS[i].ms;
            return true;
        }
    }
    return false;
}

static bool read_time(const char *text, int64_t *ms) {
    return read_name(text, ms) || read_node_hours(text, ms) || read_sum(text, ms);
}

static bool read_compute(const char *text, int64_t *ms) {
    fixed number;
    if (!read_fixed(&text, &number)) {
        return false;
    }
    for (size_t i = 0; i < NS_COUNT_OF(COMPUTE_UNITS); i++) {
        if (strcmp(text, COMPUTE_UNITS[i].name) == 0) {
            *ms = fixed_times(number, COMPUTE_UNITS[i].ms);
            return true;
        }
    }
    return false;
}

static ns_status check_size(const char *text, const budget_amount *amount, ns_error *err) {
    if (amount->ms <= 0) {
        return ns_fail(err, NS_ERR_USAGE, "a budget of \"%.40s\" is nothing at all", text);
    }
    if (amount->ms > BUDGET_NODE_MS_MAX) {
        char most[32];
        budget_amount_format(&(budget_amount){amount->kind, BUDGET_NODE_MS_MAX}, most);
        return ns_fail(err, NS_ERR_USAGE, "a budget of \"%.40s\" is more than %s", text,
                       amount->kind == BUDGET_TIME ? "366 days" : most);
    }
    return NS_OK;
}

ns_status budget_parse(const char *text, int64_t *node_ms, ns_error *err) {
    budget_amount amount = {BUDGET_TIME, 0};
    if (!read_time(text, &amount.ms)) {
        return ns_fail(err, NS_ERR_USAGE, "\"%.40s\" is not a budget: write " TIME_FORMS, text);
    }
    NS_TRY(check_size(text, &amount, err));
    *node_ms = amount.ms;
    return NS_OK;
}

ns_status budget_amount_parse(const char *text, budget_amount *out, ns_error *err) {
    budget_amount amount = {BUDGET_COMPUTE, 0};
    if (!read_compute(text, &amount.ms)) {
        amount.kind = BUDGET_TIME;
        if (!read_time(text, &amount.ms)) {
            return ns_fail(err, NS_ERR_USAGE,
                           "\"%.40s\" is not a budget: write " TIME_FORMS
                           "; or, for results that can be repeated, " COMPUTE_FORMS,
                           text);
        }
    }
    NS_TRY(check_size(text, &amount, err));
    *out = amount;
    return NS_OK;
}

void budget_format(int64_t node_ms, char out[32]) {
    const int64_t ms = node_ms > 0 ? node_ms : 0;
    const int64_t hours = ms / HOUR_MS;
    const int64_t minutes = ms % HOUR_MS / MINUTE_MS;
    const int64_t seconds = ms % MINUTE_MS / SECOND_MS;
    if (hours > 0) {
        (void)snprintf(out, 32, "%" PRId64 "h %02" PRId64 "m", hours, minutes);
    } else if (minutes > 0) {
        (void)snprintf(out, 32, "%" PRId64 "m %02" PRId64 "s", minutes, seconds);
    } else {
        (void)snprintf(out, 32, "%" PRId64 "s", seconds);
    }
}

void budget_amount_format(const budget_amount *amount, char out[32]) {
    if (amount->kind == BUDGET_TIME) {
        budget_format(amount->ms, out);
        return;
    }
    const unit *in = COMPUTE_UNITS;
    const unit *smallest = &COMPUTE_UNITS[NS_COUNT_OF(COMPUTE_UNITS) - 1];
    while (in < smallest && amount->ms < in->ms) {
        in++;
    }
    const int64_t ms = amount->ms > 0 ? amount->ms : 0;
    (void)snprintf(out, 32, "%.4g %s", (double)ms / (double)in->ms, in->name);
}

double budget_cost(int64_t node_ms, double price) {
    return (double)node_ms / (double)HOUR_MS * price;
}
