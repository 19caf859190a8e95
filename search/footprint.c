// How much memory it takes to train and to judge a network, as nn plans it.

#include "search/search_internal.h"

ns_status search__train_bytes(const search__run *run, const search_candidate *candidate,
                              int thread_count, size_t *bytes, ns_error *err) {
    nn_net_options options = nn_net_options_default();
    nn_plan plan;
    options.mode = NN_MODE_TRAIN;
    options.batch_size = candidate->recipe.batch_size;
    options.thread_count = thread_count;
    options.dtype = run->config->dtype;
    NS_TRY(nn_plan_make(&candidate->graph, &options, &plan, err));
    *bytes = plan.arena_bytes + plan.process_bytes +
             nn_train_copy_bytes(&candidate->graph, &candidate->recipe);
    return NS_OK;
}

ns_status search__judge_bytes(const search__run *run, const nn_graph *graph, int thread_count,
                              size_t *bytes, ns_error *err) {
    nn_net_options options = nn_net_options_default();
    nn_plan plan;
    options.mode = NN_MODE_INFER;
    options.batch_size = search__eval_batch(run->info);
    options.thread_count = thread_count;
    options.dtype = NN_DTYPE_F32;
    NS_TRY(nn_plan_make(graph, &options, &plan, err));
    *bytes = plan.arena_bytes;
    return NS_OK;
}
