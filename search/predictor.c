// The calibrated model of step times by itself, without a study: what search/calibrate.c does in the
// workers of a study, done in this process. Benchmarks judge the model by it.

#include <stdlib.h>

#include "search/search_internal.h"

struct search_predictor {
    int thread_count, net_count;
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

ns_status search_predictor_new(const search_space *space, int thread_count, nn_dtype dtype,
                               int64_t ms_max, search_predictor **out, ns_error *err) {
    *out = NULL;
    search_predictor *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a model of times");
    }
    p->thread_count = thread_count > 0 ? thread_count : ns_cpu_count();
    const search__job job = {.nets = true,
                             .worker_count = 1,
                             .thread_count = p->thread_count,
                             .dtype = dtype,
                             .end_ms = ns_clock_ms() + ms_max};
    const ns_status status = fit(space, &job, p, err);
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
    return search__step_ms(predictor->model, &candidate->graph, &setting);
}
