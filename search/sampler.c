// The samplers by name. A new one is a file, a declaration in sampler.h and a row here.

#include <string.h>

#include "search/sampler.h"

static const search_sampler SAMPLERS[] = {
    {"surrogate", "a Gaussian process proposes where most improvement is expected",
     search__propose_surrogate},
    {"tpe", "draws from a density of the good trials over that of the others", search__propose_tpe},
    {"evolution", "aging evolution: mutates the best of recent trials", search__propose_evolution},
    {"reinforce", "a policy of independent genes, trained by its rewards",
     search__propose_reinforce},
    {"random", "every trial drawn afresh, nothing learnt", search__propose_random},
};

const search_sampler *search_sampler_at(size_t index) {
    return index < NS_COUNT_OF(SAMPLERS) ? &SAMPLERS[index] : NULL;
}

const search_sampler *search_sampler_find(const char *name) {
    for (size_t i = 0; i < NS_COUNT_OF(SAMPLERS); i++) {
        if (strcmp(SAMPLERS[i].name, name) == 0) {
            return &SAMPLERS[i];
        }
    }
    return NULL;
}
