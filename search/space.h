// What a space is made of, and what a genotype's network looks like: shared by the files of space,
// genotype and decoding (space.c says what is in it).

#ifndef NS_SEARCH_SPACE_H
#define NS_SEARCH_SPACE_H

#include "search/search.h"

/* ---- gene_rules.c: the genes of the default space ---------------------------------------------- */

#define SEARCH__STAGES_MAX 4
/// Train images of the most frequent label over those of the rarest from which on the gene "balance"
/// is part of a space; below, weights hardly differ from 1 and the gene would only cost trials.
#define SEARCH__IMBALANCE_MIN 3.0
/// Images whose shorter side is longer have the gene "input_percent": half of it still shows something.
#define SEARCH__INPUT_PX_MAX 40

typedef enum search__owner {
    SEARCH__OF_NET,
    SEARCH__OF_STAGE, // there is one for each stage: "stage2_width"
    SEARCH__OF_RECIPE,
} search__owner;

typedef struct search__rule {
    const char *name; // of a stage's gene the part behind "stageN_"
    search__owner of;
    search_scale scale;
    const char *const *legal_words; // NULL behind the last; NULL: the gene is a number
    double low, high, step;         // legal numbers: low, low + step, ... high; step 0: all between
    const char *const *words;       // default choices: see search__rule_words()
    const double *numbers;          // ended by a negative one; of a width times the anchor's
    double anchor_share;
} search__rule;

/// Rows in the order of the genes; NULL behind the last.
const search__rule *search__rule_at(int index);
/// The rule of a gene by its name, NULL for names of no gene.
const search__rule *search__rule_of(const char *name);
/// Default choices of words; NULL behind the last.
const char *const *search__rule_words(const search__rule *rule, bool last_stage);
/// Whether a value is legal; a word comes back as the table has it, or NULL.
bool search__rule_has_number(const search__rule *rule, double value);
const char *search__rule_has_word(const search__rule *rule, const char *word);
/// What is legal, for a sentence: "one of: max, average", "16 to 2048 in steps of 16".
void search__rule_describe(const search__rule *rule, char *out, size_t size_bytes);

/* ---- space, genotype and layout ---------------------------------------------------------------- */

typedef enum search__shrink {
    SEARCH__SHRINK_NONE,
    SEARCH__SHRINK_MAX,     // 2x2 pools behind the entry
    SEARCH__SHRINK_AVERAGE, //
    SEARCH__SHRINK_STRIDED, // the entry itself has stride 2
} search__shrink;

/// What a genotype's network looks like apart from its channels: how its maps shrink.
typedef struct search__layout {
    bool stem_can_whiten; // the image is no smaller than a filter
    bool stem_whitens;    // and it is asked for
    int stem_kernel, stem_stride;
    int stem_pool_count; // halvings right after the stem, for very large images
    int stage_count;
    search__shrink stage_shrink[SEARCH__STAGES_MAX];
    bool stage_can_shrink[SEARCH__STAGES_MAX]; // its map is large enough
    bool head_pools;                           // the last map is more than one pixel
} search__layout;
search__layout search__layout_of(const search_space *space, const search_genotype *genotype);
/// Images as the genotype's network takes them: those of the space, or smaller where it shrinks them.
nn_shape search__input_of(const search_space *space, const search_genotype *genotype);
/// The same for a choice of "input_percent".
nn_shape search__input_at(const search_space *space, double percent);
/// Stages of networks for images of this shape.
int search__stage_count(nn_shape image);

/// "stage`stage`_`part`", stages counted from 1; returns `out`.
const char *search__stage_gene_name(int stage, const char *part, char out[32]);
/// Index of a gene, or -1.
int search__gene_find(const search_space *space, const char *name);
int search__stage_gene_find(const search_space *space, int stage, const char *part);
/// Whether the gene says how many channels something has.
bool search__is_width(const search_gene *gene);
/// Whether the gene's choice is `word`; false where there is no such gene.
bool search__gene_is(const search_space *space, const search_genotype *genotype, const char *name,
                     const char *word);
bool search__stage_gene_is(const search_space *space, const search_genotype *genotype, int stage,
                           const char *part, const char *word);

/// Index of the choice that `value` names exactly, or -1.
int search__choice_find(const search_gene *gene, const ns_json *value);
/// Every key of the object names a gene, and no two the same one; `what` it is, for the sentence.
ns_status search__gene_keys_check(const search_space *space, const ns_json *json, const char *what,
                                  ns_error *err);

/// What a choice comes to for the images of `space`; percents are of the network's input.
int search__batch_size(const search_space *space, double batch_size);
int search__percent_px(nn_shape input, double percent);
int search__stem_width(const search_space *space, const search__layout *layout, double width);

/// search_space_from_json() of what search_space_to_json() once printed: genes that it does not name
/// are younger than it and no part of the space.
ns_status search__space_of_study(const data_info *info, const ns_json *json, search_space *out,
                                 ns_error *err);

/// The anchor's width of a stage, from 1.
int search__anchor_width(const search_space *space, int stage);
/// The choices nearest to the hand-made genotype, as `space` has them.
void search__anchor_make(const search_space *space, search_genotype *out);

/// The network alone. NS_ERR_INPUT as search_decode().
ns_status search__lower(const search_space *space, const search_genotype *genotype, nn_graph *graph,
                        ns_error *err);

#endif
