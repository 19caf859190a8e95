// Admission: proposals are brought within the study's limits before they cost any training.
//
// Refusing what is too large would leave a strict limit with nothing to train: few of the points of
// a large space are small. So a proposal is repaired: random changes of single genes are taken where
// they bring it nearer to the limits, until it is within them. What the sampler then learns from is
// the repaired point.
//
// Parameters and megabytes are counted. Latency is measured, with weights of no meaning, for it does
// not depend on them; while it is too long, the cap on multiply-adds is lowered in proportion.
//
// The anchor is not changed at random: it is narrowed, a stage at a time and evenly, and stays what
// it is, a network known to be good for schedules of any length. Only where its narrowest does not
// do are other genes changed, too.
//
// The targets latency and size work the same way, softly. A study for lean networks has a lean
// anchor, narrowed to LEAN_SHARE of the multiply-adds or parameters, and that is the cost that its
// objective asks for (objective.c). Proposals that cost more would lose to it whatever they learn, so
// they are brought down to that share as far as it goes. LEAN_SHARE, so that a lean network takes a
// third of what the accurate one does: a search for accuracy alone ends with at least twice the
// anchor's cost, for its winner often looks at mirror images, and with more where it is retrained
// wider than it was searched. Much less would cost more accuracy than it is worth.

#include <stdlib.h>

#include "search/search_internal.h"
#include "search/space.h"

#define COST_OF_ANCHOR_MAX 2.0 // where nothing speaks against it: giants see too few images

#define STEPS_MAX       800 // changes that are tried
#define ARRIVALS_MAX    4
#define LEAN_SHARE      0.65 // of the anchor's cost, for the targets latency and size
#define LATENCY_MS_MAX  30   // for measuring, each time
#define LATENCY_ROUNDS  4
#define LATENCY_SAFETY  0.97 // of the limit: the trial is measured again
#define LATENCY_DESCENT 0.9

/// What a network may cost; 0: anything.
typedef struct cap_set {
    double params, mbytes, flops;
} cap_set;

typedef struct admission {
    const search__run *run;
    nn_graph *graph; // of the genotype, as last lowered
    ns_rng rng;
    cap_set caps;
    bool is_anchor;
} admission;

/// Changes that brought a genotype within the caps, and the dearest of them.
typedef struct arrival_set {
    int count;
    int64_t flops;
    search_genotype genotype;
} arrival_set;

/// By how much the graph exceeds the caps.
static double violation(const cap_set *caps, const nn_graph *graph) {
    const nn_counts counts = nn_graph_count(graph);
    return search__excess((double)counts.params, caps->params) +
           search__excess(search__mbytes(graph), caps->mbytes) +
           search__excess((double)counts.forward_flops, caps->flops);
}

/// Another choice of one gene of the architecture.
static void change_one(const search_space *space, ns_rng *rng, search_genotype *genotype) {
    int gene;
    do {
        gene = (int)ns_rng_below(rng, (uint64_t)space->gene_count);
    } while (space->gene[gene].recipe);
    genotype->choice[gene] = (uint8_t)ns_rng_below(rng, (uint64_t)space->gene[gene].choice_count);
    search_genotype_canonicalise(space, genotype);
}

/// Tries one change of `genotype`. One that comes nearer to the caps is taken at once; of those that
/// arrive, the dearest is kept in `*arrival`, for the last step should not fall far below them.
static void step(admission *a, search_genotype *genotype, double *left, arrival_set *arrival) {
    search_genotype changed = *genotype;
    change_one(&a->run->space, &a->rng, &changed);
    if (search__lower(&a->run->space, &changed, a->graph, NULL) != NS_OK) {
        return;
    }
    const double now = violation(&a->caps, a->graph);
    const int64_t flops = nn_graph_count(a->graph).forward_flops;
    if (now > 0 && now < *left && arrival->count == 0) {
        *left = now;
        *genotype = changed;
    } else if (!(now > 0) && arrival->count++ < ARRIVALS_MAX && flops > arrival->flops) {
        arrival->flops = flops;
        arrival->genotype = changed;
    }
}

/// Brings the genotype as near to the caps as random changes go; returns what is left to them.
static double descend(admission *a, search_genotype *genotype, ns_error *err) {
    arrival_set arrival = {.count = 0};
    if (search__lower(&a->run->space, genotype, a->graph, err) != NS_OK) {
        return 0; // no network; decoding it will say why
    }
    double left = violation(&a->caps, a->graph);
    for (int i = 0; i < STEPS_MAX && left > 0 && arrival.count < ARRIVALS_MAX; i++) {
        step(a, genotype, &left, &arrival);
    }
    if (arrival.count > 0) {
        *genotype = arrival.genotype;
        left = 0;
    }
    return left;
}

/* ---- the anchor, narrowed -------------------------------------------------------------------- */

/// The widest choice of a gene that is narrower than `choice`; -1: none is.
static int narrower(const search_gene *gene, int choice) {
    int found = -1;
    for (int i = 0; i < gene->choice_count; i++) {
        if (gene->value[i] < gene->value[choice] &&
            (found < 0 || gene->value[i] > gene->value[found])) {
            found = i;
        }
    }
    return found;
}

/// Makes one width of the anchor smaller: the one that is left with most of what the whole one has,
/// of equal ones the deepest. False when all are as small as the space has them.
static bool narrow_one(const search_space *space, search_genotype *genotype) {
    search_genotype whole;
    double most_left = 0;
    int narrowed = -1;
    int choice = -1;
    search_genotype_anchor(space, &whole);
    for (int i = 0; i < space->gene_count; i++) {
        const search_gene *gene = &space->gene[i];
        const int next = search__is_width(gene) ? narrower(gene, genotype->choice[i]) : -1;
        const double left = next < 0 ? -1 : gene->value[next] / gene->value[whole.choice[i]];
        if (left >= most_left) {
            most_left = left;
            narrowed = i;
            choice = next;
        }
    }
    if (narrowed >= 0) {
        genotype->choice[narrowed] = (uint8_t)choice;
    }
    return narrowed >= 0;
}

/// The anchor, as far as the caps ask for.
static void narrow(admission *a, search_genotype *genotype) {
    while (search__lower(&a->run->space, genotype, a->graph, NULL) == NS_OK &&
           violation(&a->caps, a->graph) > 0 && narrow_one(&a->run->space, genotype)) {
    }
}

/// Brings the genotype as near to the caps as its kind of change goes; returns what is left to them.
static double approach(admission *a, search_genotype *genotype, ns_error *err) {
    if (a->is_anchor) {
        narrow(a, genotype);
    }
    return descend(a, genotype, err);
}

/* ---- latency --------------------------------------------------------------------------------- */

/// Latency and multiply-adds of the genotype's network.
static ns_status measure(admission *a, const search_genotype *genotype, double *latency_ms,
                         double *flops, ns_error *err) {
    NS_TRY(search__lower(&a->run->space, genotype, a->graph, err));
    const size_t state_count = nn_graph_state_count(a->graph);
    float *state = malloc((state_count + 1) * sizeof(*state));
    nn_model *model = NULL;
    if (state == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for the weights of a network");
    }
    for (size_t i = 0; i < state_count; i++) {
        state[i] = 0.01F; // variances must be positive
    }
    ns_status status = nn_model_new(a->graph, state, a->run->info, &model, err);
    if (status == NS_OK) {
        status = search__latency(model, 1, LATENCY_MS_MAX, latency_ms, err);
    }
    *flops = (double)nn_graph_count(a->graph).forward_flops;
    nn_model_free(model);
    free(state);
    return status;
}

static ns_status descend_to_latency(admission *a, search_genotype *genotype, ns_error *err) {
    const double limit_ms = a->run->config->goal.latency_ms_max;
    double latency_ms = 0;
    double flops = 0;
    for (int round = 0; round < LATENCY_ROUNDS; round++) {
        NS_TRY(measure(a, genotype, &latency_ms, &flops, err));
        if (latency_ms <= LATENCY_SAFETY * limit_ms) {
            return NS_OK;
        }
        a->caps.flops = flops * limit_ms / latency_ms * LATENCY_DESCENT;
        (void)approach(a, genotype, err); // the next round says whether it is enough
    }
    return ns_fail(err, NS_ERR_LIMIT, "the network takes %.3f ms for an image, the limit is %g ms",
                   latency_ms, limit_ms);
}

/* ---- admitting ------------------------------------------------------------------------------- */

/// Within the limits on size, or NS_ERR_LIMIT.
static ns_status keep_size(admission *a, search_genotype *genotype, ns_error *err) {
    const search_goal *goal = &a->run->config->goal;
    a->caps = (cap_set){.params = (double)goal->params_max, .mbytes = goal->mbytes_max};
    if (approach(a, genotype, err) > 0) {
        NS_TRY(search__lower(&a->run->space, genotype, a->graph, err));
        return ns_fail(err, NS_ERR_LIMIT,
                       "no network of the space was found within the limits on size: the smallest "
                       "found has %lld parameters, %.3f MB",
                       (long long)nn_graph_count(a->graph).params, search__mbytes(a->graph));
    }
    return NS_OK;
}

/// As near to the target's share of the anchor's cost as changes go; the anchor itself by narrowing
/// alone.
static void lean(admission *a, search_genotype *genotype) {
    const search_target target = a->run->config->goal.target;
    search_genotype anchor;
    search_genotype_anchor(&a->run->space, &anchor);
    if ((target != SEARCH_TARGET_LATENCY && target != SEARCH_TARGET_SIZE) ||
        search__lower(&a->run->space, &anchor, a->graph, NULL) != NS_OK) {
        return;
    }
    const nn_counts counts = nn_graph_count(a->graph);
    a->caps = (cap_set){0};
    if (target == SEARCH_TARGET_SIZE) {
        a->caps.params = LEAN_SHARE * (double)counts.params;
    } else {
        a->caps.flops = LEAN_SHARE * (double)counts.forward_flops;
    }
    if (a->is_anchor) {
        narrow(a, genotype);
    } else {
        (void)descend(a, genotype, NULL);
    }
}

/// Which of the three are done.
enum {
    PART_LEAN = 1,
    PART_SIZE = 2,
    PART_LATENCY = 4,
    PART_ALL = 7,
};

/// Number 0 is the anchor.
static ns_status admit(const search__run *run, uint64_t number, int parts,
                       search_genotype *genotype, ns_error *err) {
    admission a = {.run = run,
                   .is_anchor = number == 0,
                   .graph = malloc(sizeof(*a.graph)), // too large for a stack
                   .rng = ns_rng_stream(run->config->seed, number, "admission")};
    if (a.graph == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a network");
    }
    const bool by_clock =
        run->config->goal.latency_ms_max > 0 && run->config->budget_kind == BUDGET_TIME;
    if ((parts & PART_LEAN) != 0) {
        lean(&a, genotype);
    }
    ns_status status = keep_size(&a, genotype, err);
    if (status == NS_OK && by_clock && (parts & PART_LATENCY) != 0) {
        status = descend_to_latency(&a, genotype, err);
    }
    free(a.graph);
    return status;
}

ns_status search__admit(const search__run *run, uint64_t number, search_genotype *genotype,
                        ns_error *err) {
    return admit(run, number, PART_ALL, genotype, err);
}

double search__cost_of_anchor_max(const search_goal *goal) {
    return goal->target == SEARCH_TARGET_LATENCY ? LEAN_SHARE : COST_OF_ANCHOR_MAX;
}

ns_status search__anchor(const search__run *run, search_genotype *out, ns_error *err) {
    search_genotype_anchor(&run->space, out);
    return admit(run, 0, PART_ALL, out, err);
}

ns_status search__limits_check(const search__run *run, ns_error *err) {
    search_genotype anchor;
    search_genotype_anchor(&run->space, &anchor);
    const ns_status status = admit(run, 0, PART_SIZE, &anchor, err);
    return status == NS_ERR_LIMIT ? NS_ERR_USAGE : status;
}

int search__limits_main(search__run *run, int slot) {
    search_genotype anchor;
    return search__exit_code(search__anchor(run, &anchor, &run->slot[slot].error));
}
