// The genes of the default space as one table: what each may be at all, and what it is chosen from
// unless a space file says otherwise (search/space_file.c).
//
// A gene is a word of a list or a number of a grid. The legal range is wider than the default
// choices: it is everything that decodes to a network or recipe that makes sense, while the choices
// are what is worth a trial when nothing is known of the images.
//
// Rates, decays, widths and batches count by ratio, hence LOG; depths, kernels and percents by
// difference. `anchor_share` keeps random draws near to what is known to work: so often a gene
// takes the anchor's choice outright. It is higher where that means "off", for nobody switches on
// every augmentation at once and means it, and where most other choices cost more: half of the
// random networks then cost less than twice the anchor.

#include <math.h>
#include <string.h>

#include "search/space.h"

#define END   (-1.0) // ends a list, so that no count is written
#define USUAL 0.3    // anchor_share of what every network or recipe has
#define NEAR  0.5    // of what costs more than the anchor's, mostly
#define OFF   0.65   // and of what most do without

static const char *const STEMS[] = {"ordinary", "whitening", NULL};
static const char *const ACTIVATIONS[] = {"relu", "silu", "gelu", NULL};
static const char *const BLOCKS[] = {"plain", "residual", "inverted", NULL};
static const char *const POOLS[] = {"max", "average", "strided", "none", NULL};
static const char *const POOLS_USUAL[] = {"max", "strided", NULL};
static const char *const POOLS_LAST[] = {"max", "strided", "none", NULL};
static const char *const HEAD_POOLS[] = {"max", "average", NULL};
static const char *const AVERAGES[] = {"none", "ema", "lookahead", NULL};
static const char *const BALANCES[] = {"none", "root", "effective", "sampling", NULL};

static const double INPUT_PERCENTS[] = {50, 75, 100, END};
static const double STEM_WIDTHS[] = {8, 16, 24, 32, 48, 64, END};
static const double WIDTH_FACTORS[] = {0.5, 1, 1.5, 2, 3, 4, END}; // of the anchor's width
static const double DEPTHS[] = {1, 2, 3, END};
static const double KERNELS[] = {3, 5, END};
static const double EXPANSIONS[] = {2, 4, 6, END};
static const double FLAGS[] = {0, 1, END};
static const double RATES_AT_256[] = {0.05, 0.1, 0.2, 0.4, 0.8, 1.6, END};
static const double WEIGHT_DECAYS[] = {0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, END};
static const double LABEL_SMOOTHINGS[] = {0, 0.1, END};
static const double BATCH_SIZES[] = {32, 64, 128, 256, END};
static const double WARMUP_FRACTIONS[] = {0.05, 0.1, 0.2, 0.3, END};
static const double SHIFT_PERCENTS[] = {0, 4, 7, 11, 14, END};
static const double CUTOUT_PERCENTS[] = {0, 14, 29, 43, END};
static const double ERASE_PROBABILITIES[] = {0, 0.25, 0.5, END};
static const double ROTATIONS[] = {0, 5, 10, 15, END};
static const double ZOOM_PERCENTS[] = {0, 5, 10, 20, END};
static const double SHEARS[] = {0, 5, 10, END};
static const double MIXUPS[] = {0, 0.1, 0.2, 0.4, END};

// clang-format off
#define STAGE  SEARCH__OF_STAGE
#define NET    SEARCH__OF_NET
#define RECIPE SEARCH__OF_RECIPE
#define LINEAR SEARCH_SCALE_LINEAR
#define LOG    SEARCH_SCALE_LOG
#define NONE   SEARCH_SCALE_NONE
#define WORDS(name, of, legal, choices, share) \
    {name, of, NONE, legal, 0, 0, 0, choices, NULL, share}
#define NUMBERS(name, of, scale, low, high, step, choices, share) \
    {name, of, scale, NULL, low, high, step, NULL, choices, share}

static const search__rule RULES[] = {
    NUMBERS("input_percent",     NET,    LOG,    25, 100, 1, INPUT_PERCENTS,        USUAL),
    WORDS("stem",                NET,                      STEMS, STEMS,            OFF),
    NUMBERS("stem_width",        NET,    LOG,    8, 512, 8,  STEM_WIDTHS,           USUAL),
    WORDS("activation",          NET,                      ACTIVATIONS, ACTIVATIONS, USUAL),
    WORDS("block",               STAGE,                    BLOCKS, BLOCKS,          USUAL),
    NUMBERS("depth",             STAGE,  LINEAR, 1, 8, 1,    DEPTHS,                NEAR),
    NUMBERS("width",             STAGE,  LOG,    16, 2048, 16, WIDTH_FACTORS,       NEAR),
    NUMBERS("kernel",            STAGE,  LINEAR, 1, 7, 2,    KERNELS,               OFF),
    NUMBERS("expansion",         STAGE,  LOG,    1, 8, 1,    EXPANSIONS,            0),
    NUMBERS("squeeze_excite",    STAGE,  NONE,   0, 1, 1,    FLAGS,                 OFF),
    WORDS("pool",                STAGE,                    POOLS, NULL,             USUAL),
    WORDS("head_pool",           NET,                      HEAD_POOLS, HEAD_POOLS,  USUAL),
    NUMBERS("rate_at_256",       RECIPE, LOG,    1e-4, 10, 0, RATES_AT_256,         USUAL),
    NUMBERS("weight_decay",      RECIPE, LOG,    0, 1, 0,    WEIGHT_DECAYS,         USUAL),
    NUMBERS("label_smoothing",   RECIPE, LINEAR, 0, 0.9, 0,  LABEL_SMOOTHINGS,      USUAL),
    NUMBERS("batch_size",        RECIPE, LOG,    1, 8192, 1, BATCH_SIZES,           USUAL),
    NUMBERS("warmup_fraction",   RECIPE, LINEAR, 0, 0.95, 0, WARMUP_FRACTIONS,      USUAL),
    NUMBERS("mirror",            RECIPE, NONE,   0, 1, 1,    FLAGS,                 USUAL),
    NUMBERS("shift_percent",     RECIPE, LINEAR, 0, 100, 0,  SHIFT_PERCENTS,        USUAL),
    NUMBERS("cutout_percent",    RECIPE, LINEAR, 0, 100, 0,  CUTOUT_PERCENTS,       USUAL),
    NUMBERS("erase_probability", RECIPE, LINEAR, 0, 1, 0,    ERASE_PROBABILITIES,   OFF),
    NUMBERS("rotation_degrees",  RECIPE, LINEAR, 0, 180, 0,  ROTATIONS,             OFF),
    NUMBERS("zoom_percent",      RECIPE, LINEAR, 0, 400, 0,  ZOOM_PERCENTS,         OFF),
    NUMBERS("shear_degrees",     RECIPE, LINEAR, 0, 60, 0,   SHEARS,                OFF),
    NUMBERS("mixup_alpha",       RECIPE, LINEAR, 0, 10, 0,   MIXUPS,                OFF),
    WORDS("average",             RECIPE,                   AVERAGES, AVERAGES,      USUAL),
    WORDS("balance",             RECIPE,                   BALANCES, BALANCES,      NEAR),
};
// clang-format on

const search__rule *search__rule_at(int index) {
    return index < (int)NS_COUNT_OF(RULES) ? &RULES[index] : NULL;
}

/// What follows "stageN_" in a gene's name; the whole name of any other.
static const char *part_of(const char *name, bool *of_stage) {
    *of_stage = strncmp(name, "stage", 5) == 0 && name[5] >= '1' &&
                name[5] < '1' + SEARCH__STAGES_MAX && name[6] == '_';
    return *of_stage ? name + 7 : name;
}

const search__rule *search__rule_of(const char *name) {
    bool of_stage = false;
    const char *part = part_of(name, &of_stage);
    for (size_t i = 0; i < NS_COUNT_OF(RULES); i++) {
        if (strcmp(RULES[i].name, part) == 0 && of_stage == (RULES[i].of == SEARCH__OF_STAGE)) {
            return &RULES[i];
        }
    }
    return NULL;
}

const char *const *search__rule_words(const search__rule *rule, bool last_stage) {
    return rule->words != NULL ? rule->words : last_stage ? POOLS_LAST : POOLS_USUAL;
}

/* ---- what is legal --------------------------------------------------------------------------- */

bool search__rule_has_number(const search__rule *rule, double value) {
    if (rule->legal_words != NULL || !(value >= rule->low && value <= rule->high)) {
        return false;
    }
    return rule->step == 0 || fmod(value - rule->low, rule->step) == 0;
}

const char *search__rule_has_word(const search__rule *rule, const char *word) {
    for (size_t i = 0; rule->legal_words != NULL && rule->legal_words[i] != NULL; i++) {
        if (strcmp(rule->legal_words[i], word) == 0) {
            return rule->legal_words[i];
        }
    }
    return NULL;
}

void search__rule_describe(const search__rule *rule, char *out, size_t size_bytes) {
    if (rule->legal_words == NULL) {
        const int used = snprintf(out, size_bytes, "%g to %g", rule->low, rule->high);
        if (rule->step > 0 && (size_t)used < size_bytes) {
            (void)snprintf(out + used, size_bytes - (size_t)used, " in steps of %g", rule->step);
        }
        return;
    }
    (void)snprintf(out, size_bytes, "one of: ");
    for (size_t i = 0; rule->legal_words[i] != NULL; i++) {
        const size_t used = strlen(out);
        (void)snprintf(out + used, size_bytes - used, "%s%s", i > 0 ? ", " : "",
                       rule->legal_words[i]);
    }
}
