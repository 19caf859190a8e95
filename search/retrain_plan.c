// What retraining is going to be: how wide, on which images, until when, averaged how.
//
// Decided once, when retraining begins, and kept in the study's result, so that a resumed study goes
// on with the same network.
//
// Width. The winner may be made wider in all its stages by one of a few factors; the scaling law
// (scaling_law.c) says which pays most in the time that is left. Depth stays: within hours on a CPU,
// wider nets win. Never so wide that it would see fewer images than the trial did, that memory or
// the study's limits refuse it, or that it costs more than the study's target asks for.
//
// Images. Once the winner is chosen nothing is left to validate, so it is retrained on the
// validation images too. The finish (finish.c) guards against a training that went wrong. Without a
// COMPLETE trial there is no honest figure to go by: then the validation images are kept back.
//
// How long. At its useful end (scaling_law.c) training is over, and what is left of the budget is
// the user's: the study has converged.
//
// Mirror averaging (mirror.c) is decided by the best trial's model, the one on disk, as the
// retrained one has seen the validation images; what mirroring means is a property of the data. One
// that has not seen them, as there was no trial, decides itself, when it is finished. It doubles the
// time for an answer, so it is out of the question where that counts.
//
// Weights are not averaged. An EMA, lookahead and a cosine in place of the linear schedule were
// tried on Fashion-MNIST's validation images (ResNet-9 of width 16, three epochs, one seed each):
// accuracy 0.9105 as it is, 0.9092, 0.9082, 0.9102; log loss 0.306, 0.332, 0.336, 0.308. A rate that
// ends at zero averages by itself.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/retrain.h"
#include "search/space.h"

#define STAGE_BLOCK      16 // channels; the kernels' own
#define STEM_BLOCK       8
#define MIRROR_SETUP_MS  600  // a guess: making networks that classify ready, twice
#define MIRROR_SHARE_MAX 0.02 // of the time left, for deciding on mirror averaging
#define TRIALS_MAX       256  // that the law is fitted to

static const double FACTORS[] = {1, 1.125, 1.25, 1.5, 1.75, 2, 2.5, 3, 4}; // of width

/* ---- a wider network ------------------------------------------------------------------------- */

static double widened(double width, double factor, double block) {
    return fmax(width, block * round(width * factor / block));
}

ns_status search__widen(const search_space *space, const search_genotype *genotype, double factor,
                        search_candidate *out, ns_error *err) {
    search_space wider = *space;
    for (int i = 0; i < wider.gene_count; i++) {
        search_gene *gene = &wider.gene[i];
        const double block = strcmp(gene->name, "stem_width") == 0 ? STEM_BLOCK : STAGE_BLOCK;
        for (int j = 0; search__is_width(gene) && factor > 1 && j < gene->choice_count; j++) {
            gene->value[j] = widened(gene->value[j], factor, block);
        }
    }
    return search_decode(&wider, genotype, out, err);
}

/* ---- what the trials say --------------------------------------------------------------------- */

/// The study's trials, and which of them has won.
typedef struct trials {
    results_trial *trial;
    size_t count;
    const results_trial *winner;
    int best_number; // of the trial whose model is on disk; -1: none
} trials;

static bool is_measured(const results_trial *trial) {
    return trial->state == RESULTS_COMPLETE && !isnan(trial->val_accuracy) &&
           trial->sample_count > 0 && trial->flops > 0;
}

static bool same_genotype(const results_trial *left, const results_trial *right) {
    return strcmp(left->hash, right->hash) == 0 && strcmp(left->recipe, right->recipe) == 0;
}

static ns_status trials_read(const search__run *run, results_store *store, int winner_number,
                             trials *out, ns_error *err) {
    *out = (trials){0};
    NS_TRY(results_trials(store, run->study_id, &out->trial, &out->count, err));
    const int best = search__best_trial(&run->config->goal, out->trial, out->count);
    out->best_number = best < 0 ? -1 : out->trial[best].number;
    for (size_t i = 0; i < out->count; i++) {
        if (out->trial[i].number == winner_number && is_measured(&out->trial[i])) {
            out->winner = &out->trial[i];
        }
    }
    return NS_OK;
}

static search__law_trial law_trial_of(const search__run *run, const results_trial *trial,
                                      int genotype) {
    const double least = 0.5 / (double)run->info->split_count[DATA_VALIDATION];
    return (search__law_trial){
        .flops = (double)trial->flops,
        .sample_count = (double)trial->sample_count,
        .error = fmax(1.0 - trial->val_accuracy, least),
        .genotype = genotype,
    };
}

/// The last TRIALS_MAX of those that can be learned from; returns how many.
static size_t list_measured(const search__run *run, const trials *t, search__law_trial *out) {
    const results_trial *listed[TRIALS_MAX];
    size_t count = 0;
    for (size_t i = t->count; i > 0 && count < TRIALS_MAX; i--) {
        const results_trial *trial = &t->trial[i - 1];
        if (!is_measured(trial)) {
            continue;
        }
        size_t same = 0;
        while (same < count && !same_genotype(listed[same], trial)) {
            same++;
        }
        listed[count] = trial;
        out[count] = law_trial_of(run, trial, same < count ? out[same].genotype : (int)count);
        count++;
    }
    return count;
}

static ns_status fit_law(const search__run *run, const trials *t, search__law *law, ns_error *err) {
    search_genotype genotype;
    search_candidate *anchor = malloc(sizeof *anchor);
    search__law_trial *seen = malloc(TRIALS_MAX * sizeof *seen);
    ns_status status = anchor != NULL && seen != NULL
                           ? NS_OK
                           : ns_fail(err, NS_ERR_MEMORY, "no memory to choose a size with");
    if (status == NS_OK) {
        search_genotype_anchor(&run->space, &genotype);
        status = search_decode(&run->space, &genotype, anchor, err);
    }
    if (status == NS_OK) {
        const size_t *images = run->info->split_count;
        const search__law_input input = {
            .image_count = (double)(images[DATA_TRAIN] + images[DATA_VALIDATION]),
            .anchor_flops = (double)anchor->counts.forward_flops,
            .winner = law_trial_of(run, t->winner, 0),
            .trial = seen,
            .trial_count = list_measured(run, t, seen),
        };
        search__law_fit(&input, law);
    }
    free(seen);
    free(anchor);
    return status;
}

/* ---- how wide -------------------------------------------------------------------------------- */

/// Milliseconds of training on one image with the whole machine; what the trial took where nothing
/// can be predicted.
static double sample_ms(const search__run *run, const search_candidate *candidate,
                        const results_trial *winner) {
    const double step_ms = search__predict_step_ms(run, candidate, true);
    if (step_ms > 0) {
        return step_ms / candidate->recipe.batch_size;
    }
    return (double)winner->fidelity_ms / (double)winner->sample_count / run->worker_count *
           (double)candidate->counts.forward_flops / (double)winner->flops;
}

/// Whether the machine has the memory to retrain the winner at this width.
static bool fits_memory(const search__run *run, const search_candidate *as_searched,
                        double factor) {
    size_t bytes = 0;
    search_candidate *wider = malloc(sizeof *wider);
    if (wider == NULL) {
        return false;
    }
    const bool fits =
        search__widen(&run->space, &as_searched->genotype, factor, wider, NULL) == NS_OK &&
        search__train_bytes(run, wider, run->thread_count, &bytes, NULL) == NS_OK &&
        bytes <= run->mem_bytes;
    free(wider);
    return fits;
}

/// Whether the study's goal and its limits allow the winner to be retrained as wide as `wider`.
static bool is_allowed(const search__run *run, const trials *t, const search_candidate *wider) {
    const search_goal *goal = &run->config->goal;
    const search__reference reference = search__reference_of(t->trial, t->count);
    return search__may_grow(goal, &reference, t->winner, &wider->counts) &&
           search__limits_ok(goal, wider, NULL) == NS_OK;
}

/// Lists the sizes that may be retrained, as searched first, and their factors; returns how many.
static int list_candidates(const search__run *run, const search_candidate *as_searched,
                           const trials *t, int64_t end_ms, search__law_candidate *out,
                           double *factors) {
    const double left_ms = (double)(end_ms - search__position_ms(run));
    const double finish_ms = (double)(run->plan.total_ms - end_ms);
    int count = 0;
    search_candidate *wider = malloc(sizeof *wider);
    for (size_t i = 0; wider != NULL && i < NS_COUNT_OF(FACTORS); i++) {
        if (search__widen(&run->space, &as_searched->genotype, FACTORS[i], wider, NULL) != NS_OK ||
            (i > 0 && !is_allowed(run, t, wider))) {
            break;
        }
        const double flops = (double)wider->counts.forward_flops;
        const double more = flops / (double)as_searched->counts.forward_flops - 1;
        if (count > 0 && flops <= out[count - 1].flops) {
            continue; // rounded to the same
        }
        factors[count] = FACTORS[i];
        out[count++] = (search__law_candidate){
            .flops = flops,
            .sample_cost = sample_ms(run, wider, t->winner),
            .left = fmax(left_ms - finish_ms * more, 1), // its finish takes longer, too
        };
    }
    free(wider);
    return count;
}

static void log_choice(const search__run *run, const search__law_choice *choice, double factor) {
    const size_t *images = run->info->split_count;
    const double epochs =
        choice->sample_count / (double)(images[DATA_TRAIN] + images[DATA_VALIDATION]);
    const bool converges = choice->sample_count >= choice->useful_sample_count;
    if (factor > 1) {
        ns_log_write(run->config->log, NS_LOG_INFO,
                     "retraining %g times wider: %.1f epochs expected, predicted error %.2f %% "
                     "against %.2f %% as searched%s",
                     factor, epochs, 100 * choice->error, 100 * choice->error_as_searched,
                     converges ? "; more would hardly help" : "");
    } else {
        ns_log_write(run->config->log, NS_LOG_INFO,
                     "retraining as searched: %.1f epochs expected, predicted error %.2f %%%s",
                     epochs, 100 * choice->error, converges ? "; more would hardly help" : "");
    }
}

static void plan_size(const search__run *run, const search__law_choice *choice, double factor,
                      ns_json *plan) {
    const size_t *images = run->info->split_count;
    const double image_count = (double)(images[DATA_TRAIN] + images[DATA_VALIDATION]);
    ns_json_set_number(plan, "width_factor", factor);
    ns_json_set_number(plan, "epochs_expected", choice->sample_count / image_count);
    ns_json_set_number(plan, "error_expected", choice->error);
    ns_json_set_number(plan, "error_expected_as_searched", choice->error_as_searched);
    ns_json_set_int(plan, "sample_count_max", (int64_t)choice->useful_sample_count);
    log_choice(run, choice, factor);
}

/// Chooses width and useful end for the time until the ledger stands at `end_ms`.
static ns_status choose_size(const search__run *run, const search_candidate *as_searched,
                             const trials *t, int64_t end_ms, ns_json *plan, ns_error *err) {
    search__law_candidate candidates[NS_COUNT_OF(FACTORS)];
    double factors[NS_COUNT_OF(FACTORS)];
    search__law *law = malloc(sizeof *law);
    if (law == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to choose a size with");
    }
    const ns_status status = fit_law(run, t, law, err);
    int count =
        status == NS_OK ? list_candidates(run, as_searched, t, end_ms, candidates, factors) : 0;
    while (count > 0) {
        const search__law_choice choice = search__law_choose(law, candidates, count);
        if (choice.index == 0 || fits_memory(run, as_searched, factors[choice.index])) {
            plan_size(run, &choice, factors[choice.index], plan);
            break;
        }
        count = choice.index; // nor do wider ones fit
    }
    free(law);
    return status;
}

/* ---- mirror averaging ------------------------------------------------------------------------ */

static bool stopped(void *context) {
    search__slot *slot = context;
    slot->alive_ms = ns_clock_ms();
    return search__stop_requested();
}

/// Whether a trial's own model gains by looking at mirror images; false when that cannot be found
/// out in little time.
static ns_status mirror_pays(const search__run *run, search__slot *slot, int number, bool *pays,
                             ns_error *err) {
    char path[NS_PATH_MAX];
    ns_error why = {0};
    nn_model *model = NULL;
    NS_TRY(search__trial_file(run, number, path, err));
    ns_status status = nn_model_load(path, &model, &why);
    if (status == NS_OK) {
        status = nn_model_fits(model, run->set, &why);
    }
    if (status == NS_OK) {
        nn_infer_options options = nn_infer_options_default();
        options.thread_count = run->thread_count;
        options.dtype = run->config->dtype;
        status = search__mirror_choose(model, run->set, &options, stopped, slot, &why);
    }
    *pays = status == NS_OK && nn_model_describe(model)->mirror_average;
    nn_model_free(model);
    if (status == NS_ERR_STOPPED) {
        return ns_fail(err, status, "%s", why.text);
    }
    if (status != NS_OK) {
        ns_log_write(run->config->log, NS_LOG_INFO, "mirror averaging not tried: %s", why.text);
    }
    return NS_OK;
}

/// Classifying the validation images three times over must be a small part of what is left. A
/// forward pass is at most a half of a step of training.
static bool has_time_for_mirrors(const search__run *run, const search_candidate *candidate,
                                 const results_trial *winner, int64_t end_ms) {
    const double images = (double)run->info->split_count[DATA_VALIDATION];
    const double took_ms =
        MIRROR_SETUP_MS + SEARCH__MIRROR_PASSES * 0.5 * images * sample_ms(run, candidate, winner);
    return took_ms < MIRROR_SHARE_MAX * (double)(end_ms - search__position_ms(run));
}

/// The same for the retrained model itself.
static bool may_find_out(const search__run *run, search__retrain_end end) {
    const int64_t took_ms = end.ms - end.mirror_ms;
    return took_ms > 0 &&
           (double)took_ms < MIRROR_SHARE_MAX * (double)(end.ms - search__position_ms(run));
}

/* ---- the whole ------------------------------------------------------------------------------- */

static ns_status decide(const search__run *run, search__slot *slot, const trials *t,
                        search__retrain_end end, const search_candidate *as_searched, ns_json *plan,
                        ns_error *err) {
    bool mirror = false;
    const bool may_mirror =
        as_searched->recipe.augment.mirror && search__may_cost_more(&run->config->goal);
    ns_json_set_number(plan, "width_factor", 1);
    ns_json_set_bool(plan, "with_validation", t->winner != NULL);
    if (t->winner == NULL) { // the anchor, untried
        ns_json_set_bool(plan, "mirror_by_model", may_mirror && may_find_out(run, end));
        return NS_OK;
    }
    if (may_mirror && has_time_for_mirrors(run, as_searched, t->winner, end.ms)) {
        const size_t image_count = run->info->split_count[DATA_VALIDATION];
        NS_TRY(mirror_pays(run, slot, t->best_number, &mirror, err));
        ns_json_set_int(
            plan, "mirror_trial_flop",
            search__work_flop(&as_searched->counts, 0, SEARCH__MIRROR_PASSES * image_count));
    }
    ns_json_set_bool(plan, "mirror_average", mirror);
    return choose_size(run, as_searched, t, end.ms, plan, err);
}

ns_status search__retrain_plan_make(const search__run *run, search__slot *slot,
                                    results_store *store, search__retrain_end end,
                                    const search_candidate *as_searched, ns_json *result,
                                    ns_error *err) {
    if (ns_json_get(result, "retrain") != NULL) {
        return NS_OK;
    }
    trials t;
    const int winner_number = (int)ns_json_int(result, "winner_trial", -1);
    NS_TRY(trials_read(run, store, winner_number, &t, err));
    ns_json *plan = ns_json_object_new();
    const ns_status status = decide(run, slot, &t, end, as_searched, plan, err);
    results_trials_free(t.trial, t.count);
    if (status != NS_OK) {
        ns_json_free(plan);
        return status;
    }
    ns_json_set(result, "retrain", plan);
    return search__result_write(store, run, result, err);
}

search__retrain_plan search__retrain_plan_of(const ns_json *result) {
    const ns_json *plan = ns_json_get(result, "retrain");
    return (search__retrain_plan){
        .width_factor = ns_json_number(plan, "width_factor", 1),
        .with_validation = ns_json_bool(plan, "with_validation", false),
        .mirror_average = ns_json_bool(plan, "mirror_average", false),
        .mirror_by_model = ns_json_bool(plan, "mirror_by_model", false),
        .mirror_trial_flop = ns_json_int(plan, "mirror_trial_flop", 0),
        .sample_count_max = ns_json_int(plan, "sample_count_max", 0),
    };
}

ns_status search__retrain_plan_mirror(ns_json *result, bool mirror_average, ns_error *err) {
    ns_json *plan = ns_json_object_new();
    const ns_status status = search__members_copy(plan, ns_json_get(result, "retrain"), err);
    if (status != NS_OK) {
        ns_json_free(plan);
        return status;
    }
    ns_json_set_bool(plan, "mirror_average", mirror_average);
    ns_json_set(result, "retrain", plan);
    return NS_OK;
}
