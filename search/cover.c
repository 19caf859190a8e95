// Which networks calibration measures: those whose layers say most of the layers that the search will
// meet, for the time that measuring them takes.
//
// What the search will meet is taken to be like random networks of the space. Each of their layers is
// a point, which weighs as much as its share of its network's step; a measured layer covers a point as
// far as it is like it (budget_work_likeness). The next network to be measured is always the one
// that adds most cover a millisecond. For a sum of maxima this greedy choice is at least 1 - 1/e as
// good as the best (Nemhauser, Wolsey & Fisher 1978; per cost: Leskovec et al. 2007). It needs no
// clock, so all workers know the same order and share it out.
//
// Two batches of three are small, for many networks; every third is larger, for its maps fill the
// caches as those of real steps do.

#include <math.h>
#include <stdlib.h>

#include "search/search_internal.h"

#define BATCH_SIZE_SMALL 32 // the space's smallest: some kernels are chosen by it
#define BATCH_SIZE_LARGE 64
#define LARGE_EVERY      3
#define STEP_COUNT       3.0  // of a network that is measured
#define START_MS         40.0 // to build it
#define SHARE_MIN        0.003
#define POINTS_MAX       (SEARCH__COVER_MAX * 32)

/// A layer that the search may meet.
typedef struct point {
    budget_work work;
    double weight;
    double covered; // 0-1, by what was chosen
} point;

typedef struct cover {
    search_candidate candidate;
    search__works works;
    int net_count, point_count;
    search__cover_net net[SEARCH__COVER_MAX];
    double cost_ms[SEARCH__COVER_MAX];
    bool chosen[SEARCH__COVER_MAX];
    point point[POINTS_MAX];
    float likeness[SEARCH__COVER_MAX][POINTS_MAX]; // of a network's most similar layer
} cover;

ns_status search__cover_draw(const search_space *space, int number, search_candidate *out,
                             ns_error *err) {
    search_genotype genotype;
    ns_rng rng = ns_rng_stream(0, (uint64_t)number, "calibration");
    search_genotype_random(space, &rng, &genotype);
    return search_decode(space, &genotype, out, err);
}

/* ---- what there is to cover ------------------------------------------------------------------ */

static void add_point(cover *c, const budget_work *work, double weight) {
    for (int i = 0; i < c->point_count; i++) {
        if (budget_work_likeness(&c->point[i].work, work) >= 1) {
            c->point[i].weight += weight;
            return;
        }
    }
    if (c->point_count < POINTS_MAX) {
        c->point[c->point_count++] = (point){.work = *work, .weight = weight};
    }
}

static double sum_ms(const search__works *works) {
    double ms = 0;
    for (int i = 0; i < works->count; i++) {
        ms += works->work[i].ideal_ms;
    }
    return ms;
}

/// Layers of the candidate as a real step runs them.
static void add_points(cover *c) {
    search__step_works(&c->candidate.graph, &(search__setting){c->candidate.recipe.batch_size, 1},
                       &c->works);
    const double total_ms = sum_ms(&c->works);
    for (int i = 0; i < c->works.count; i++) {
        const double share = c->works.work[i].ideal_ms / total_ms;
        if (share >= SHARE_MIN) {
            add_point(c, &c->works.work[i], share);
        }
    }
}

static ns_status find_points(cover *c, const search_space *space, ns_error *err) {
    for (int i = 0; i < SEARCH__COVER_MAX; i++) {
        NS_TRY(search__cover_draw(space, i, &c->candidate, err));
        add_points(c);
    }
    return NS_OK;
}

/* ---- what covers it -------------------------------------------------------------------------- */

static ns_status find_net(cover *c, const search_space *space, int number, ns_error *err) {
    NS_TRY(search__cover_draw(space, number, &c->candidate, err));
    const int wanted = number % LARGE_EVERY == 0 ? BATCH_SIZE_LARGE : BATCH_SIZE_SMALL;
    const int own = c->candidate.recipe.batch_size;
    const int net = c->net_count++;
    c->net[net] = (search__cover_net){number, own < wanted ? own : wanted};
    search__step_works(&c->candidate.graph, &(search__setting){c->net[net].batch_size, 1},
                       &c->works);
    c->cost_ms[net] = START_MS + STEP_COUNT * sum_ms(&c->works);
    for (int p = 0; p < c->point_count; p++) {
        double best = 0;
        for (int i = 0; i < c->works.count; i++) {
            best = fmax(best, budget_work_likeness(&c->works.work[i], &c->point[p].work));
        }
        c->likeness[net][p] = (float)best;
    }
    return NS_OK;
}

static double gain(const cover *c, int net) {
    double sum = 0;
    for (int p = 0; p < c->point_count; p++) {
        sum += c->point[p].weight * fmax(0, (double)c->likeness[net][p] - c->point[p].covered);
    }
    return sum / c->cost_ms[net];
}

static int choose(cover *c) {
    int best = 0;
    double best_gain = -1;
    for (int i = 0; i < c->net_count; i++) {
        const double its = c->chosen[i] ? -1 : gain(c, i);
        if (its > best_gain) {
            best = i;
            best_gain = its;
        }
    }
    c->chosen[best] = true;
    for (int p = 0; p < c->point_count; p++) {
        c->point[p].covered = fmax(c->point[p].covered, (double)c->likeness[best][p]);
    }
    return best;
}

static ns_status find_order(cover *c, const search_space *space, int *count, search__cover_net *out,
                            ns_error *err) {
    NS_TRY(find_points(c, space, err));
    for (int i = 0; i < SEARCH__COVER_MAX; i++) {
        NS_TRY(find_net(c, space, i, err));
    }
    for (*count = 0; *count < c->net_count; (*count)++) {
        out[*count] = c->net[choose(c)];
    }
    return NS_OK;
}

ns_status search__cover(const search_space *space, int *count, search__cover_net *out,
                        ns_error *err) {
    *count = 0;
    cover *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold the layers of a space");
    }
    const ns_status status = find_order(c, space, count, out, err);
    free(c);
    return status;
}
