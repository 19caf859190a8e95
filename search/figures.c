// What is remembered of the final model besides its file: how large and how fast it is, and what it
// said of the test images, so that studies can be compared without reading a test image again.

#include <math.h>
#include <stdlib.h>

#include "search/search_internal.h"

#define LATENCY_MS_MAX 200        // for measuring, twice
#define AUC_SCORES_MAX 20000000.0 // images times labels; ranking more takes seconds

void search__size_figures(const nn_model *model, ns_json *result) {
    const nn_graph *graph = nn_model_describe(model)->graph;
    const nn_counts counts = nn_graph_count(graph);
    ns_json_set_int(result, "params", counts.params);
    ns_json_set_int(result, "flops", counts.forward_flops);
    ns_json_set_number(result, "mbytes", search__mbytes(graph));
}

void search__speed_figures(const search__run *run, const nn_model *model, ns_json *result) {
    const struct {
        const char *key;
        int thread_count;
    } machines[] = {{"latency_ms", 1}, {"latency_ms_all_cores", 0}};
    for (size_t i = 0; i < NS_COUNT_OF(machines); i++) {
        double latency_ms = (double)NAN;
        ns_error why = {0};
        if (search__latency(model, machines[i].thread_count, LATENCY_MS_MAX, &latency_ms, &why) !=
            NS_OK) {
            ns_log_write(run->config->log, NS_LOG_WARN, "latency not measured: %s", why.text);
        }
        ns_json_set_number(result, machines[i].key, latency_ms);
    }
}

/// NaN where that takes long.
static ns_status macro_auc_of(const search_predictions *p, double *macro_auc, ns_error *err) {
    *macro_auc = (double)NAN;
    if ((double)p->count * p->label_count > AUC_SCORES_MAX) {
        return NS_OK;
    }
    results_rank *ranks = malloc((size_t)p->label_count * sizeof(*ranks));
    if (ranks == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory to rank %d labels", p->label_count);
    }
    const results_answers answers = search_answers(p);
    const ns_status status = results_rank_labels(&answers, 0, ranks, err);
    if (status == NS_OK) {
        *macro_auc = results_rank_macro(ranks, p->label_count).auc;
    }
    free(ranks);
    return status;
}

/// How well each image was answered, as compare needs it.
static ns_status answers_note(const search_predictions *p, ns_json *result, ns_error *err) {
    const bool several = p->labels == NULL;
    char *text = NULL;
    NS_TRY(several ? search__scores_text(p, &text, err)
                   : results_correct_text(p->probabilities, p->labels, p->count, p->label_count,
                                          &text, err));
    ns_json_set_string(result, several ? "test_scores" : "test_correct", text);
    free(text);
    return NS_OK;
}

ns_status search__test_figures(const search_predictions *p, ns_json *result, ns_error *err) {
    double macro_auc = (double)NAN;
    NS_TRY(macro_auc_of(p, &macro_auc, err));
    NS_TRY(answers_note(p, result, err));
    ns_json_set_int(result, "test_images", (int64_t)p->count);
    ns_json_set_number(result, "test_macro_auc", macro_auc);
    ns_json_set_number(result, "test_log_loss", search__loss(p));
    return NS_OK;
}
