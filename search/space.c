// The stage-based space: which networks and recipes can be proposed for images of one size.
//
//   image -> stem -> stage 1 -> ... -> stage 3 or 4 -> head -> logits
//
//   stem    one convolution; stride 1 for sides up to 40 px, 2 up to 80, 4 above, so that stages
//           see 20 to 80 px; images that are still larger are pooled down to that
//   stage   entry convolution to the stage's width -> pool 2x2 -> body at half the side
//           plain:    depth counts all its convolutions, the entry included
//           residual: depth counts blocks of two convolutions around which the input is added
//   head    global pool -> linear
//
// Every convolution is followed by batch norm and ReLU. Every stage halves its map, the last one
// only if its pool is not "none", and none does once the map is a single pixel high or wide. There,
// and in a head over a single pixel, the kind of pool means nothing. So every genotype is a legal
// network for every image. Images above 80 px have four stages.
//
// Widths are multiples of 16, the block that the fastest kernels work in; a stage offers from half
// to four times the anchor's (search/genotype.c). Depth stops at 3: within hours on a CPU, wider
// nets win.
//
// Recipe genes are chosen so that each means the same whatever the others are: the rate is that of
// a batch of 256 and scales linearly with the batch (Goyal et al. 2017); shift and cutout are
// percents of the image's shorter side.

#include <assert.h>
#include <math.h>
#include <string.h>

#include "search/search_internal.h"

#define NARROW_PX_MAX 40 // stem stride 1 up to here
#define MEDIUM_PX_MAX 80 // 2 up to here, and three stages

/* ---- genes ----------------------------------------------------------------------------------- */

#define END_NUMBER (-1.0) // ends a list, so that no count is written

static const double STEM_WIDTHS[] = {8, 16, 24, 32, 48, 64, END_NUMBER};
static const double STAGE_WIDTHS[SEARCH__STAGES_MAX][SEARCH_CHOICES_MAX] = {
    {16, 32, 48, 64, 96, 128, END_NUMBER},
    {32, 48, 64, 96, 128, 192, 256, END_NUMBER},
    {32, 64, 96, 128, 192, 256, 384, 512, END_NUMBER},
    {32, 64, 96, 128, 192, 256, 384, 512, END_NUMBER},
};
static const double DEPTHS[] = {1, 2, 3, END_NUMBER};
static const double KERNELS[] = {3, 5, END_NUMBER};
static const char *const BLOCKS[] = {"plain", "residual", NULL};
static const char *const POOLS[] = {"max", "average", NULL};
static const char *const LAST_POOLS[] = {"max", "average", "none", NULL};

static const double RATES_AT_256[] = {0.05, 0.1, 0.2, 0.4, 0.8, 1.6, END_NUMBER};
static const double WEIGHT_DECAYS[] = {0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, END_NUMBER};
static const double LABEL_SMOOTHINGS[] = {0, 0.1, END_NUMBER};
static const double BATCH_SIZES[] = {32, 64, 128, 256, END_NUMBER};
static const double WARMUP_FRACTIONS[] = {0.05, 0.1, 0.2, 0.3, END_NUMBER};
static const double MIRRORS[] = {0, 1, END_NUMBER};
static const double SHIFT_PERCENTS[] = {0, 4, 7, 11, 14, END_NUMBER};
static const double CUTOUT_PERCENTS[] = {0, 14, 29, 43, END_NUMBER};

static search_gene *add_gene(search_space *space, const char *name, bool recipe) {
    assert(space->gene_count < SEARCH_GENES_MAX);
    search_gene *gene = &space->gene[space->gene_count++];
    (void)snprintf(gene->name, sizeof gene->name, "%s", name);
    gene->recipe = recipe;
    return gene;
}

static void add_numbers(search_space *space, const char *name, search_scale scale, bool recipe,
                        const double *values) {
    search_gene *gene = add_gene(space, name, recipe);
    gene->scale = scale;
    for (; values[gene->choice_count] != END_NUMBER; gene->choice_count++) {
        assert(gene->choice_count < SEARCH_CHOICES_MAX);
        gene->value[gene->choice_count] = values[gene->choice_count];
    }
}

static void add_words(search_space *space, const char *name, const char *const *words) {
    search_gene *gene = add_gene(space, name, false);
    for (; words[gene->choice_count] != NULL; gene->choice_count++) {
        assert(gene->choice_count < SEARCH_CHOICES_MAX);
        gene->text[gene->choice_count] = words[gene->choice_count];
    }
}

const char *search__stage_gene_name(int stage, const char *part, char out[32]) {
    (void)snprintf(out, 32, "stage%d_%s", stage, part);
    return out;
}

static void add_stage(search_space *space, int stage, bool last) {
    char name[32];
    add_words(space, search__stage_gene_name(stage, "block", name), BLOCKS);
    add_numbers(space, search__stage_gene_name(stage, "depth", name), SEARCH_SCALE_LINEAR, false,
                DEPTHS);
    add_numbers(space, search__stage_gene_name(stage, "width", name), SEARCH_SCALE_LOG, false,
                STAGE_WIDTHS[stage - 1]);
    add_numbers(space, search__stage_gene_name(stage, "kernel", name), SEARCH_SCALE_LINEAR, false,
                KERNELS);
    add_words(space, search__stage_gene_name(stage, "pool", name), last ? LAST_POOLS : POOLS);
}

static void add_recipe(search_space *space) {
    add_numbers(space, "rate_at_256", SEARCH_SCALE_LOG, true, RATES_AT_256);
    add_numbers(space, "weight_decay", SEARCH_SCALE_LOG, true, WEIGHT_DECAYS);
    add_numbers(space, "label_smoothing", SEARCH_SCALE_LINEAR, true, LABEL_SMOOTHINGS);
    add_numbers(space, "batch_size", SEARCH_SCALE_LOG, true, BATCH_SIZES);
    add_numbers(space, "warmup_fraction", SEARCH_SCALE_LINEAR, true, WARMUP_FRACTIONS);
    add_numbers(space, "mirror", SEARCH_SCALE_NONE, true, MIRRORS);
    add_numbers(space, "shift_percent", SEARCH_SCALE_LINEAR, true, SHIFT_PERCENTS);
    add_numbers(space, "cutout_percent", SEARCH_SCALE_LINEAR, true, CUTOUT_PERCENTS);
}

void search_space_default(const data_info *info, search_space *out) {
    *out = (search_space){
        .image = {.channels = info->channels, .height = info->height, .width = info->width},
        .label_count = info->label_count,
        .train_count = info->split_count[DATA_TRAIN],
    };
    const int stage_count = search__stage_count(out);
    add_numbers(out, "stem_width", SEARCH_SCALE_LOG, false, STEM_WIDTHS);
    for (int stage = 1; stage <= stage_count; stage++) {
        add_stage(out, stage, stage == stage_count);
    }
    add_words(out, "head_pool", POOLS);
    add_recipe(out);
}

/// The logarithm of a choice on a LOG scale, relative to the last's.
static double log_of(const search_gene *gene, int choice) {
    const double *value = gene->value;
    const int last = gene->choice_count - 1;
    if (value[choice] > 0) {
        return log(value[choice] / value[last]);
    }
    const double lowest = last > 0 ? log(value[1] / value[last]) : 0;
    return last > 1 ? lowest + lowest / (last - 1) : -1;
}

double search_gene_position(const search_gene *gene, int choice) {
    const double *value = gene->value;
    const int last = gene->choice_count - 1;
    if (gene->scale == SEARCH_SCALE_NONE || last < 1) {
        return 0;
    }
    return gene->scale == SEARCH_SCALE_LOG ? 1 - log_of(gene, choice) / log_of(gene, 0)
                                           : (value[choice] - value[0]) / (value[last] - value[0]);
}

int search__gene_find(const search_space *space, const char *name) {
    for (int i = 0; i < space->gene_count; i++) {
        if (strcmp(space->gene[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

int search__stage_gene_find(const search_space *space, int stage, const char *part) {
    char name[32];
    return search__gene_find(space, search__stage_gene_name(stage, part, name));
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static int longer_side_px(const search_space *space) {
    return space->image.height > space->image.width ? space->image.height : space->image.width;
}

static int shorter_side_px(const search_space *space) {
    return space->image.height < space->image.width ? space->image.height : space->image.width;
}

int search__stage_count(const search_space *space) {
    return longer_side_px(space) <= MEDIUM_PX_MAX ? 3 : 4;
}

/// Output pixels of a convolution padded by half its (odd) kernel.
static int strided_px(int side_px, int stride) {
    return (side_px - 1) / stride + 1;
}

/// A map's sides on its way through the network.
typedef struct map_size {
    int height, width;
} map_size;

static bool can_halve(map_size map) {
    return map.height >= 2 && map.width >= 2;
}

static map_size halved(map_size map) {
    return (map_size){map.height / 2, map.width / 2};
}

static map_size lay_out_stem(const search_space *space, search__layout *layout) {
    const int side_px = longer_side_px(space);
    layout->stem_stride = side_px <= NARROW_PX_MAX ? 1 : side_px <= MEDIUM_PX_MAX ? 2 : 4;
    layout->stem_kernel = layout->stem_stride == 1 ? 3 : layout->stem_stride == 2 ? 5 : 7;
    map_size map = {strided_px(space->image.height, layout->stem_stride),
                    strided_px(space->image.width, layout->stem_stride)};
    while ((map.height > MEDIUM_PX_MAX || map.width > MEDIUM_PX_MAX) && can_halve(map)) {
        map = halved(map);
        layout->stem_pool_count++;
    }
    return map;
}

static bool stage_wants_pool(const search_space *space, const search_genotype *genotype,
                             int stage) {
    const int gene = search__stage_gene_find(space, stage, "pool");
    return gene >= 0 && strcmp(space->gene[gene].text[genotype->choice[gene]], "none") != 0;
}

search__layout search__layout_of(const search_space *space, const search_genotype *genotype) {
    search__layout layout = {.stage_count = search__stage_count(space)};
    map_size map = lay_out_stem(space, &layout);
    for (int i = 0; i < layout.stage_count; i++) {
        layout.stage_can_pool[i] = can_halve(map);
        layout.stage_pools[i] =
            layout.stage_can_pool[i] && stage_wants_pool(space, genotype, i + 1);
        map = layout.stage_pools[i] ? halved(map) : map;
    }
    layout.head_pools = map.height > 1 || map.width > 1;
    return layout;
}

int search__batch_size(const search_space *space, double batch_size) {
    const double most = space->train_count > 0 ? (double)space->train_count : 1;
    return (int)fmin(batch_size, most);
}

int search__percent_px(const search_space *space, double percent) {
    return (int)lround(percent / 100 * shorter_side_px(space));
}
