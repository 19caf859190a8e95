// The baseline every sampler must beat: each trial drawn afresh, nothing learnt. A gene's choices are
// equally likely, but for the share of draws in which the space has it take the anchor's.

#include "search/sampler.h"

ns_status search__propose_random(const search_task *task, const search_history *history,
                                 uint64_t seed, uint64_t number, search_genotype *out,
                                 ns_error *err) {
    (void)history;
    (void)err;
    ns_rng rng = ns_rng_stream(seed, number, "sampler random");
    search_genotype_random(task->space, &rng, out);
    return NS_OK;
}
