// What is remembered of the final model besides its file: how large and how fast it is, and what it
// said of the test images, so that studies can be compared without reading a test image again.

#include <math.h>
#include <stdlib.h>

#include "search/search_internal.h"

#define LATENCY_MS_MAX 200       // for measuring, twice
#define AUC_SCORES_MAX 5000000.0 // images times labels; ranking more takes seconds

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

ns_status search__test_figures(const search__predictions *p, int label_count, ns_json *result,
                               ns_error *err) {
    double macro_auc = (double)NAN;
    char *correct = NULL;
    if ((double)p->count * label_count <= AUC_SCORES_MAX) {
        NS_TRY(
            results_macro_auc(p->probabilities, p->labels, p->count, label_count, &macro_auc, err));
    }
    NS_TRY(results_correct_text(p->probabilities, p->labels, p->count, label_count, &correct, err));
    ns_json_set_int(result, "test_images", (int64_t)p->count);
    ns_json_set_number(result, "test_macro_auc", macro_auc);
    ns_json_set_number(result, "test_log_loss",
                       results_log_loss(p->probabilities, p->labels, p->count, label_count));
    ns_json_set_string(result, "test_correct", correct);
    free(correct);
    return NS_OK;
}
