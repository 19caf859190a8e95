// How the maps of a genotype's network shrink, from the image to the head. Everything that depends
// on the size of the images is decided here, so that every genotype is a legal network for every
// image: a stage whose map is one pixel high or wide does not shrink it, whatever its gene says, and
// an image smaller than a filter is not whitened. The size that counts is that of the network's input,
// to which the gene "input_percent" shrinks images; only the number of stages follows from the images
// themselves, so that all genotypes of a space have the same genes.

#include <math.h>
#include <string.h>

#include "search/space.h"

#define NARROW_PX_MAX 40 // stem stride 1 up to here
#define MEDIUM_PX_MAX 80 // 2 up to here, and three stages

static int longer_px(nn_shape image) {
    return image.height > image.width ? image.height : image.width;
}

static int shorter_px(nn_shape image) {
    return image.height < image.width ? image.height : image.width;
}

/// At least 1, at most `px`.
static int share_px(int px, double percent) {
    const int share = (int)lround(px * percent / 100);
    return share < 1 ? 1 : share > px ? px : share;
}

nn_shape search__input_at(const search_space *space, double percent) {
    const nn_shape image = space->image;
    return (nn_shape){image.channels, share_px(image.height, percent),
                      share_px(image.width, percent)};
}

nn_shape search__input_of(const search_space *space, const search_genotype *genotype) {
    const int gene = search__gene_find(space, "input_percent");
    return gene < 0 ? space->image
                    : search__input_at(space, space->gene[gene].value[genotype->choice[gene]]);
}

int search__stage_count(nn_shape image) {
    return longer_px(image) <= MEDIUM_PX_MAX ? 3 : 4;
}

/// A map's sides on its way through the network.
typedef struct map_size {
    int height, width;
} map_size;

/// Output pixels of a convolution padded by half its (odd) kernel.
static map_size strided(map_size map, int stride) {
    return (map_size){(map.height - 1) / stride + 1, (map.width - 1) / stride + 1};
}

static bool can_shrink(map_size map) {
    return map.height >= 2 && map.width >= 2;
}

static map_size shrunk(map_size map, search__shrink how) {
    switch (how) {
    case SEARCH__SHRINK_NONE:
        break;
    case SEARCH__SHRINK_STRIDED:
        return strided(map, 2);
    case SEARCH__SHRINK_MAX:
    case SEARCH__SHRINK_AVERAGE:
        return (map_size){map.height / 2, map.width / 2};
    }
    return map;
}

static map_size lay_out_stem(const search_space *space, const search_genotype *genotype,
                             search__layout *layout) {
    const nn_shape image = search__input_of(space, genotype);
    const int side_px = longer_px(image);
    layout->stem_stride = side_px <= NARROW_PX_MAX ? 1 : side_px <= MEDIUM_PX_MAX ? 2 : 4;
    layout->stem_kernel = layout->stem_stride == 1 ? 3 : layout->stem_stride == 2 ? 5 : 7;
    layout->stem_can_whiten = shorter_px(image) >= layout->stem_kernel;
    layout->stem_whitens =
        layout->stem_can_whiten && search__gene_is(space, genotype, "stem", "whitening");
    map_size map = strided((map_size){image.height, image.width}, layout->stem_stride);
    while ((map.height > MEDIUM_PX_MAX || map.width > MEDIUM_PX_MAX) && can_shrink(map)) {
        map = shrunk(map, SEARCH__SHRINK_MAX);
        layout->stem_pool_count++;
    }
    return map;
}

/// What the stage's gene says.
static search__shrink wanted_shrink(const search_space *space, const search_genotype *genotype,
                                    int stage) {
    static const struct {
        const char *word;
        search__shrink shrink;
    } WORDS[] = {
        {"max", SEARCH__SHRINK_MAX},
        {"average", SEARCH__SHRINK_AVERAGE},
        {"strided", SEARCH__SHRINK_STRIDED},
    };
    for (size_t i = 0; i < NS_COUNT_OF(WORDS); i++) {
        if (search__stage_gene_is(space, genotype, stage, "pool", WORDS[i].word)) {
            return WORDS[i].shrink;
        }
    }
    return SEARCH__SHRINK_NONE;
}

search__layout search__layout_of(const search_space *space, const search_genotype *genotype) {
    search__layout layout = {.stage_count = space->stage_count};
    map_size map = lay_out_stem(space, genotype, &layout);
    for (int i = 0; i < layout.stage_count; i++) {
        layout.stage_can_shrink[i] = can_shrink(map);
        layout.stage_shrink[i] = layout.stage_can_shrink[i] ? wanted_shrink(space, genotype, i + 1)
                                                            : SEARCH__SHRINK_NONE;
        map = shrunk(map, layout.stage_shrink[i]);
    }
    layout.head_pools = map.height > 1 || map.width > 1;
    return layout;
}

/* ---- what choices come to -------------------------------------------------------------------- */

int search__batch_size(const search_space *space, double batch_size) {
    const double most = space->train_count > 0 ? (double)space->train_count : 1;
    return (int)fmin(batch_size, most);
}

int search__percent_px(nn_shape input, double percent) {
    return (int)lround(percent / 100 * shorter_px(input));
}

/// Whitening has two filters for each value of a patch at most.
int search__stem_width(const search_space *space, const search__layout *layout, double width) {
    const int filters = 2 * space->image.channels * layout->stem_kernel * layout->stem_kernel;
    return layout->stem_whitens && width > filters ? filters : (int)width;
}
