// The baseline every sampler must beat: each gene's choices equally likely, nothing learnt.

#include "search/search_internal.h"

void search__propose_random(const search_space *space, const search_history *history, uint64_t seed,
                            uint64_t number, search_genotype *out) {
    (void)history;
    ns_rng rng = ns_rng_stream(seed, number, "sampler random");
    search_genotype_random(space, &rng, out);
}
