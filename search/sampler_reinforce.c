// REINFORCE: a policy trained by its rewards, the classic to compare with (Williams 1992; Zoph & Le
// 2017, "Neural Architecture Search with Reinforcement Learning").
//
// The controller is a softmax over the choices of each gene, independent of each other, where Zoph &
// Le have a recurrent network: over a few dozen genes and a few hundred trials there is nothing more
// to learn. It has no state of its own: each proposal replays the history, one step of gradient
// ascent on (score - baseline) log p(genotype) a point, in the order of their trials. The baseline
// is the moving average of the scores so far, as theirs.

#include <math.h>

#include "search/sampler.h"

#define WARMUP_COUNT   6
#define RATE           0.25 // of a score of 1 standard deviation
#define BASELINE_DECAY 0.95
#define REPEATS_MAX    32

typedef struct policy {
    double logit[SEARCH_GENES_MAX][SEARCH_CHOICES_MAX];
    double baseline;
} policy;

static void probabilities(const double *logit, int count, double *out) {
    double most = logit[0], sum = 0;
    for (int i = 1; i < count; i++) {
        most = fmax(most, logit[i]);
    }
    for (int i = 0; i < count; i++) {
        out[i] = exp(logit[i] - most);
        sum += out[i];
    }
    for (int i = 0; i < count; i++) {
        out[i] /= sum;
    }
}

/// d log softmax(choice) / d logit = 1 at the choice, minus the probabilities.
static void learn(policy *p, const search_space *space, const search__point *point) {
    double probability[SEARCH_CHOICES_MAX] = {0};
    const double advantage = point->score - p->baseline;
    for (int g = 0; g < space->gene_count; g++) {
        const int count = space->gene[g].choice_count;
        probabilities(p->logit[g], count, probability);
        for (int i = 0; i < count; i++) {
            const double taken = i == point->genotype.choice[g] ? 1 : 0;
            p->logit[g][i] += RATE * advantage * (taken - probability[i]);
        }
    }
    p->baseline = BASELINE_DECAY * p->baseline + (1 - BASELINE_DECAY) * point->score;
}

static void draw(const policy *p, const search_space *space, ns_rng *rng, search_genotype *out) {
    double probability[SEARCH_CHOICES_MAX] = {0};
    *out = (search_genotype){0};
    for (int g = 0; g < space->gene_count; g++) {
        const int last = space->gene[g].choice_count - 1;
        double rest = ns_rng_unit(rng);
        probabilities(p->logit[g], last + 1, probability);
        int choice = 0;
        while (choice < last && (rest -= probability[choice]) >= 0) {
            choice++;
        }
        out->choice[g] = (uint8_t)choice;
    }
    search_genotype_canonicalise(space, out);
}

/// Flatter with every repetition: a policy that has converged proposes the same again and again.
static void cool(policy *p, const search_space *space) {
    for (int g = 0; g < space->gene_count; g++) {
        for (int i = 0; i < space->gene[g].choice_count; i++) {
            p->logit[g][i] *= 0.9;
        }
    }
}

static ns_status replay_and_draw(const search_task *task, const search__digest *digest,
                                 uint64_t retry, ns_rng *rng, search_genotype *out, ns_error *err) {
    (void)retry; // a policy draws something else anyway
    (void)err;
    policy p = {.baseline = 0};
    for (size_t i = 0; i < digest->count; i++) {
        if (digest->point[i].scored) {
            learn(&p, task->space, &digest->point[i]);
        }
    }
    draw(&p, task->space, rng, out);
    for (int i = 0; i < REPEATS_MAX && search__digest_knows(digest, out); i++) {
        cool(&p, task->space);
        draw(&p, task->space, rng, out);
    }
    return NS_OK;
}

ns_status search__propose_reinforce(const search_task *task, const search_history *history,
                                    uint64_t seed, uint64_t number, search_genotype *out,
                                    ns_error *err) {
    static const search__learner learner = {"sampler reinforce", WARMUP_COUNT, replay_and_draw};
    return search__propose_learnt(&learner, task, history, seed, number, out, err);
}
