// The recipe: how a network is trained, as a value. Its fields by name, and the learning rate's
// course.
//
// One table has every field with its name, type and range. What reads or writes a recipe by name
// (checkpoints, the command line) goes through it, so that a new field is one line here, and a
// checkpoint cannot forget one: whatever is not in the table does not change what is trained.
//
// The rate rises linearly from 0 to its peak and then falls to 0 at fraction 1, so that every
// budget ends with the small steps that settle the weights; on a straight line, or on half a cosine
// (Loshchilov & Hutter 2017, "SGDR", one cycle), which stays high longer and ends flatter.

#include "nn/nn_internal.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

static_assert(sizeof(nn_schedule) == sizeof(int) && sizeof(nn_average) == sizeof(int) &&
                  sizeof(nn_balance) == sizeof(int),
              "an enum is read and written as an int");

typedef enum field_kind {
    FIELD_INT,
    FIELD_REAL,
    FIELD_SHARE, // a real below its maximum
    FIELD_FLAG,  // 0 or 1
    FIELD_WORD,  // an enum
} field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    size_t offset;           // in nn_recipe
    double min, max;         // of numbers
    const char *const *word; // of enums, in their order, NULL behind the last
    bool is_young;           // JSON leaves it out where it is the first word, as before it was
} field;

static const char *const schedule_words[] = {"linear", "cosine", NULL};
static const char *const average_words[] = {"none", "ema", "lookahead", NULL};
static const char *const balance_words[] = {"none", "root", "effective", "sampling", NULL};

// clang-format off
#define FIELD(kind, name, member, min, max) \
    {name, FIELD_##kind, offsetof(nn_recipe, member), min, max, NULL, false}
#define WORD(name, member, is_young) \
    {#name, FIELD_WORD, offsetof(nn_recipe, member), 0, 0, name##_words, is_young}

static const field fields[] = {
    FIELD(INT,  "batch_size",        batch_size,        1, NN_BATCH_MAX),
    FIELD(REAL, "rate_peak",         rate_peak,         0, 1000),
    FIELD(SHARE, "momentum",         momentum,          0, 1),
    FIELD(REAL, "weight_decay",      weight_decay,      0, 1000),
    FIELD(SHARE, "label_smoothing",  label_smoothing,   0, 1),
    FIELD(REAL, "warmup_fraction",   warmup_fraction,   0, 1),
    WORD(schedule,                   schedule, false),
    FIELD(REAL, "norm_rate_factor",  norm_rate_factor,  0, 1000),
    FIELD(REAL, "clip_deviations",   clip_deviations,   0, 1000),
    WORD(average,                    average, false),
    FIELD(REAL, "average_window",    average_window,    0.001, 1),
    FIELD(FLAG, "mirror_average",    mirror_average,    0, 1),
    FIELD(FLAG, "mirror",            augment.mirror,    0, 1),
    FIELD(INT,  "shift_px",          augment.shift_px,  0, 1024),
    FIELD(INT,  "cutout_px",         augment.cutout_px, 0, 1024),
    FIELD(REAL, "rotation_degrees",  augment.rotation_degrees,  0, 180),
    FIELD(REAL, "zoom_percent",      augment.zoom_percent,      0, 1000),
    FIELD(REAL, "shear_degrees",     augment.shear_degrees,     0, 89),
    FIELD(REAL, "erase_probability", augment.erase_probability, 0, 1),
    FIELD(REAL, "mixup_alpha",       augment.mixup_alpha,       0, 100),
    WORD(balance,                    balance, true),
};
// clang-format on

nn_recipe nn_recipe_default(void) {
    return (nn_recipe){.batch_size = 256,
                       .rate_peak = 0.4F,
                       .momentum = 0.9F,
                       .weight_decay = 5e-3F,
                       .label_smoothing = 0.1F,
                       .warmup_fraction = 0.25F,
                       .norm_rate_factor = 1.0F,
                       .average_window = 0.05F,
                       .augment = {.mirror = true, .shift_px = 2, .cutout_px = 8}};
}

float nn_rate_at(const nn_recipe *recipe, double fraction) {
    const double warmup = (double)recipe->warmup_fraction;
    if (fraction < warmup) {
        return (float)((double)recipe->rate_peak * fmax(fraction / warmup, 0.0));
    }
    const double left = warmup < 1.0 ? fmax((1.0 - fraction) / (1.0 - warmup), 0.0) : 0.0;
    const double height =
        recipe->schedule == NN_SCHEDULE_COSINE ? 0.5 * (1.0 - cos(PI * left)) : left;
    return (float)((double)recipe->rate_peak * height);
}

/* ---- fields by name -------------------------------------------------------------------------- */

static ns_status read_number(const field *f, const char *text, double *out, ns_error *err) {
    char *end = NULL;
    errno = 0;
    *out = strtod(text, &end);
    const bool real = f->kind == FIELD_REAL || f->kind == FIELD_SHARE;
    const bool whole = real || *out == floor(*out);
    const bool low = f->kind == FIELD_SHARE ? (float)*out < (float)f->max : *out <= f->max;
    if (end == text || *end != '\0' || !whole || !(*out >= f->min) || !low) {
        return ns_fail(err, NS_ERR_USAGE, "%s cannot be \"%s\": a %s from %g to %s%g is needed",
                       f->name, text, real ? "number" : "whole number", f->min,
                       f->kind == FIELD_SHARE ? "below " : "", f->max);
    }
    return NS_OK;
}

static ns_status read_word(const field *f, const char *text, int *out, ns_error *err) {
    char known[128] = "";
    for (int i = 0; f->word[i] != NULL; i++) {
        if (strcmp(text, f->word[i]) == 0) {
            *out = i;
            return NS_OK;
        }
        const size_t length = strlen(known);
        (void)snprintf(known + length, sizeof known - length, "%s%s", i > 0 ? ", " : "",
                       f->word[i]);
    }
    return ns_fail(err, NS_ERR_USAGE, "%s cannot be \"%s\": one of %s is needed", f->name, text,
                   known);
}

static ns_status set_field(nn_recipe *recipe, const field *f, const char *text, ns_error *err) {
    void *member = (char *)recipe + f->offset;
    double number = 0;
    int word = 0;
    NS_TRY(f->kind == FIELD_WORD ? read_word(f, text, &word, err)
                                 : read_number(f, text, &number, err));
    switch (f->kind) {
    case FIELD_INT:
        memcpy(member, &(int){(int)number}, sizeof(int));
        break;
    case FIELD_REAL:
    case FIELD_SHARE:
        memcpy(member, &(float){(float)number}, sizeof(float));
        break;
    case FIELD_FLAG:
        memcpy(member, &(bool){number != 0}, sizeof(bool));
        break;
    case FIELD_WORD:
        memcpy(member, &word, sizeof word);
        break;
    }
    return NS_OK;
}

ns_status nn_recipe_set(nn_recipe *recipe, const char *name, const char *text, ns_error *err) {
    char known[512] = "";
    for (size_t i = 0; i < NS_COUNT_OF(fields); i++) {
        if (strcmp(name, fields[i].name) == 0) {
            return set_field(recipe, &fields[i], text, err);
        }
        const size_t length = strlen(known);
        (void)snprintf(known + length, sizeof known - length, "%s%s", i > 0 ? ", " : "",
                       fields[i].name);
    }
    return ns_fail(err, NS_ERR_USAGE, "a recipe has no \"%s\", but %s", name, known);
}

/// The double with the shortest decimals that is `value` as a float: 0.1, not 0.10000000149.
static double shortest(float value) {
    char text[32];
    double read = 0;
    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
        read = strtod(text, NULL);
        if ((float)read == value) {
            break;
        }
    }
    return read;
}

static void add_field(ns_json *json, const nn_recipe *recipe, const field *f) {
    const void *member = (const char *)recipe + f->offset;
    int whole = 0;
    float real = 0;
    bool flag = false;
    switch (f->kind) {
    case FIELD_INT:
        memcpy(&whole, member, sizeof whole);
        ns_json_set_int(json, f->name, whole);
        break;
    case FIELD_REAL:
    case FIELD_SHARE:
        memcpy(&real, member, sizeof real);
        ns_json_set_number(json, f->name, shortest(real));
        break;
    case FIELD_FLAG:
        memcpy(&flag, member, sizeof flag);
        ns_json_set_bool(json, f->name, flag);
        break;
    case FIELD_WORD:
        memcpy(&whole, member, sizeof whole);
        if (whole != 0 || !f->is_young) {
            ns_json_set_string(json, f->name, f->word[whole]);
        }
        break;
    }
}

ns_json *nn_recipe_to_json(const nn_recipe *recipe) {
    ns_json *json = ns_json_object_new();
    for (size_t i = 0; i < NS_COUNT_OF(fields); i++) {
        add_field(json, recipe, &fields[i]);
    }
    return json;
}

/// The field's value as text; empty when it is 0, off or the first word.
static void print_value(const nn_recipe *recipe, const field *f, char *out, size_t size_bytes) {
    const void *member = (const char *)recipe + f->offset;
    int whole = 0;
    float real = 0;
    bool flag = false;
    out[0] = '\0';
    switch (f->kind) {
    case FIELD_INT:
        memcpy(&whole, member, sizeof whole);
        (void)snprintf(out, whole != 0 ? size_bytes : 0, "%d", whole);
        break;
    case FIELD_REAL:
    case FIELD_SHARE:
        memcpy(&real, member, sizeof real);
        (void)snprintf(out, real != 0.0F ? size_bytes : 0, "%.9g", shortest(real));
        break;
    case FIELD_FLAG:
        memcpy(&flag, member, sizeof flag);
        (void)snprintf(out, flag ? size_bytes : 0, "1");
        break;
    case FIELD_WORD:
        memcpy(&whole, member, sizeof whole);
        (void)snprintf(out, whole != 0 ? size_bytes : 0, "%s", f->word[whole]);
        break;
    }
}

void nn_recipe_print(const nn_recipe *recipe, char *out, size_t size_bytes) {
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < NS_COUNT_OF(fields); i++) {
        char value[32];
        print_value(recipe, &fields[i], value, sizeof value);
        if (value[0] != '\0' && used < size_bytes) {
            used += (size_t)snprintf(out + used, size_bytes - used, "%s%s=%s", used > 0 ? " " : "",
                                     fields[i].name, value);
        }
    }
    assert(used < size_bytes);
}
