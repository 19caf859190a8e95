// The calibrated model of step times by itself, without a study: what search/calibrate.c does in the
// workers of a study, done in this process. Benchmarks judge the model by it.
//
// As there, real steps of the anchor correct it: layers are timed one by one, each at its best, and a
// step is never all of them at their best. Of the time, the last tenth is for that.

#include <stdlib.h>

#include "search/search_internal.h"

#define PACE_PART 10

struct search_predictor {
    int thread_count, net_count;
    double factor; // real steps over the model's
    budget_model *model;
};

static ns_status fit(const search_space *space, const search__job *job, search_predictor *p,
                     ns_error *err) {
    search__report *report = calloc(1, sizeof *report);
    if (report == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold measured times");
    }
    ns_status status = search__measure_nets(space, job, 0, report, err);
    if (status == NS_OK) {
        status = budget_model_new(report->sample, report->sample_count, &p->model, err);
    }
    p->net_count = report->net_count;
    free(report);
    return status;
}

/// What the anchor's steps take, timed until the job's end.
static ns_status time_steps(const search_candidate *anchor, const search__job *job, double *step_ms,
                            ns_error *err) {
    nn_net *net = NULL;
    nn_net_options options = nn_net_options_default();
    options.dtype = job->dtype;
    options.batch_size = anchor->recipe.batch_size;
    options.thread_count = job->thread_count;
    NS_TRY(nn_net_new(&anchor->graph, &options, &net, err));
    nn_net_init(net, 0);
    nn_bench_fill(net, 0);
    *step_ms = nn_bench_step_ms(net, (double)(job->end_ms - ns_clock_ms()));
    nn_net_free(net);
    return NS_OK;
}

static ns_status find_factor(const search_space *space, const search__job *job, search_predictor *p,
                             ns_error *err) {
    search_genotype genotype;
    double step_ms = 0;
    search_candidate *anchor = malloc(sizeof *anchor);
    if (anchor == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a candidate network");
    }
    search_genotype_anchor(space, &genotype);
    ns_status status = search_decode(space, &genotype, anchor, err);
    status = status == NS_OK ? time_steps(anchor, job, &step_ms, err) : status;
    if (status == NS_OK) {
        p->factor = step_ms / search_predictor_step_ms(p, anchor);
    }
    free(anchor);
    return status;
}

ns_status search_predictor_new(const search_space *space, int thread_count, nn_dtype dtype,
                               int64_t ms_max, search_predictor **out, ns_error *err) {
    *out = NULL;
    search_predictor *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a model of times");
    }
    p->thread_count = thread_count > 0 ? thread_count : ns_cpu_count();
    p->factor = 1;
    search__job job = {.nets = true,
                       .worker_count = 1,
                       .thread_count = p->thread_count,
                       .dtype = dtype,
                       .end_ms = ns_clock_ms() + ms_max - ms_max / PACE_PART};
    ns_status status = fit(space, &job, p, err);
    job.end_ms += ms_max / PACE_PART;
    status = status == NS_OK ? find_factor(space, &job, p, err) : status;
    if (status != NS_OK) {
        search_predictor_free(p);
        return status;
    }
    *out = p;
    return NS_OK;
}

void search_predictor_free(search_predictor *predictor) {
    if (predictor != NULL) {
        budget_model_free(predictor->model);
        free(predictor);
    }
}

int search_predictor_net_count(const search_predictor *predictor) {
    return predictor->net_count;
}

double search_predictor_step_ms(const search_predictor *predictor,
                                const search_candidate *candidate) {
    const search__setting setting = {candidate->recipe.batch_size, predictor->thread_count};
    return predictor->factor * search__step_ms(predictor->model, &candidate->graph, &setting);
}
