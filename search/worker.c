// A worker process: asks, trains, tells, until nothing is left to do for search and confirmation.
//
// A worker holds one slot of the machine: its own cores, its own part of the memory, its own
// connection to the store. It knows nothing that is not in the store, so it may die at any moment.

#include "search/search_internal.h"

void search__pin(int slot, int worker_count, int thread_count) {
    ns_cpu_set allowed;
    if (!ns_cpu_set_get(&allowed)) {
        return;
    }
    const int core_count = ns_cpu_set_count(&allowed);
    // A container with a quota sees all cores of a host whose other containers would choose the same.
    if (worker_count * thread_count > core_count || ns_cpu_count() < core_count) {
        return;
    }
    const ns_cpu_set mine = ns_cpu_set_part(&allowed, slot * thread_count, thread_count);
    (void)ns_cpu_set_use(&mine); // a refusal costs speed, nothing else
}

static ns_status work(search__run *run, int slot, results_store *store, ns_error *err) {
    while (!search__stop_requested()) {
        results_claim claim;
        const ns_status asked = search__ask(run, &run->slot[slot], store, &claim, err);
        if (asked == NS_ERR_LIMIT || asked == NS_ERR_BUDGET) {
            return NS_OK;
        }
        NS_TRY(asked);
        const ns_status status = search__trial_run(run, &run->slot[slot], store, &claim, err);
        results_claim_clear(&claim);
        if (status != NS_OK && status != NS_ERR_FENCED) {
            return status;
        }
    }
    return search__stop_requested() ? NS_ERR_STOPPED : NS_OK;
}

int search__worker_main(search__run *run, int slot) {
    search__pin(slot, run->worker_count, run->worker_thread_count);
    results_store *store = NULL;
    ns_error *err = &run->slot[slot].error;
    ns_status status = results_open(run->config->store_path, RESULTS_WRITE, &store, err);
    if (status == NS_OK) {
        status = work(run, slot, store, err);
    }
    results_close(store);
    return search__exit_code(status);
}
