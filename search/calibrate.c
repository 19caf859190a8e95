// Calibration: how this machine is best divided among workers, and how long networks take on it.
//
//   1. The anchor is trained for a moment by N processes of one thread side by side, by half as many
//      of two threads, ..., by one of N threads: the division that trains most images a second is
//      the one the search uses. Which that is depends on the machine: threads of one process wait
//      for each other after every layer, processes share nothing but memory bandwidth.
//   2. The workers of that division, all at once, measure the layers of some networks of the space;
//      a model is fitted to them (step_time.c, budget/model.c). How much longer a real step of the
//      anchor takes than the model says (images are loaded, neighbours work) corrects all
//      predictions.
//
// All of it happens in children, for the supervisor starts no thread, and is part of the search's
// share of the budget: at most a sixtieth of it, and never more than CALIBRATION_MS_MAX, or little
// more on machines of many cores. With less than DIVIDE_TOTAL_MS_MIN step 1 is left out and workers
// have one thread. Whatever goes wrong only costs the calibration.
//
// What was found is kept with the study ("calibration" in its result, and the samples beside it), so
// that a resumed study goes on as it began.

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "search/search_internal.h"

#define TOTAL_PER_CALIBRATION 60
#define CALIBRATION_MS_MAX    6000
#define DIVIDE_TOTAL_MS_MIN   120000
#define DIVIDE_SHARE          0.33
#define ROUND_MS_MIN          500 // below it, starting is what would be measured
#define ROUND_MS_MAX          1000
#define ROUND_GRACE_MS        2000
#define FACTOR_MAX            2.0 // between a model of steps and the real ones

/* ---- dividing the machine -------------------------------------------------------------------- */

int search__splits(int thread_count, search__split *out) {
    int count = 0;
    for (int threads = 1; threads <= thread_count && count < SEARCH__SPLITS_MAX; threads *= 2) {
        const int workers = thread_count / threads;
        if (thread_count % threads == 0 && workers > 1 && workers <= SEARCH_SLOTS_MAX) {
            out[count++] = (search__split){.worker_count = workers, .thread_count = threads};
        }
    }
    count = count < SEARCH__SPLITS_MAX ? count : SEARCH__SPLITS_MAX - 1;
    out[count++] = (search__split){.worker_count = 1, .thread_count = thread_count};
    return count;
}

const search__split *search__split_best(const search__split *splits, int count) {
    const search__split *best = NULL;
    for (int i = 0; i < count; i++) {
        if (splits[i].images_per_s > 0 &&
            (best == NULL || splits[i].images_per_s > best->images_per_s)) {
            best = &splits[i];
        }
    }
    return best;
}

void search__divide(search__run *run, int worker_count, int thread_count) {
    run->worker_count = worker_count;
    run->worker_thread_count = thread_count;
    run->worker_mem_bytes = run->mem_bytes / (size_t)worker_count;
}

/* ---- rounds of children ---------------------------------------------------------------------- */

typedef struct calibrating {
    search__run *run;
    search__round_fn round;
    void *supervisor;
} calibrating;

static int child_main(search__run *run, int slot) {
    const search__job *job = &run->job;
    search__report *report = &run->report[slot];
    ns_error *err = &run->slot[slot].error;
    search__pin(slot, job->worker_count, job->thread_count);
    return search__exit_code(job->nets ? search__measure_nets(&run->space, job, slot, report, err)
                                       : search__measure_anchor(run, job, report, err));
}

/// Runs `job` in as many children as it has workers, for about `ms_max`. Their reports are there
/// afterwards, of those that came to an end.
static ns_status run_round(const calibrating *c, search__job job, int64_t ms_max, ns_error *err) {
    memset(c->run->report, 0, SEARCH_SLOTS_MAX * sizeof *c->run->report);
    job.end_ms = ns_clock_ms() + ms_max;
    job.dtype = c->run->config->dtype;
    c->run->job = job;
    return c->round(c->supervisor, job.worker_count, child_main, ms_max + ROUND_GRACE_MS, err);
}

static ns_status measure_split(const calibrating *c, search__split *split, int64_t ms_max,
                               ns_error *err) {
    const search__job job = {.worker_count = split->worker_count,
                             .thread_count = split->thread_count};
    NS_TRY(run_round(c, job, ms_max, err));
    for (int i = 0; i < split->worker_count; i++) {
        const search__report *report = &c->run->report[i];
        if (!(report->images_per_s > 0)) {
            split->images_per_s = 0; // it fits the machine only in part
            return NS_OK;
        }
        split->images_per_s += report->images_per_s;
        split->step_ms += (report->step_ms - split->step_ms) / (i + 1);
    }
    return NS_OK;
}

/// Measures divisions and takes the best; when the user has chosen one, that and the whole machine
/// are measured, to correct predictions.
static ns_status divide(const calibrating *c, int64_t ms_max, ns_error *err) {
    search__calibration *found = &c->run->calibration;
    search__split *splits = found->split;
    const bool fixed = c->run->config->worker_count > 0;
    found->split_count = search__splits(c->run->thread_count, splits);
    if (fixed) {
        splits[0] = (search__split){.worker_count = c->run->worker_count,
                                    .thread_count = c->run->worker_thread_count};
        splits[1] = splits[found->split_count - 1];
        found->split_count = splits[0].worker_count == 1 ? 1 : 2;
    }
    if ((int64_t)found->split_count * ROUND_MS_MIN > ms_max && found->split_count > 2) {
        splits[1] = splits[found->split_count - 1]; // the two extremes
        found->split_count = 2;
    }
    int64_t round_ms = ms_max / found->split_count;
    round_ms = round_ms < ROUND_MS_MIN ? ROUND_MS_MIN : round_ms;
    round_ms = round_ms > ROUND_MS_MAX ? ROUND_MS_MAX : round_ms;
    for (int i = 0; i < found->split_count; i++) {
        NS_TRY(measure_split(c, &splits[i], round_ms, err));
    }
    const search__split *best = search__split_best(splits, found->split_count);
    if (best != NULL && !fixed) {
        search__divide(c->run, best->worker_count, best->thread_count);
    }
    return NS_OK;
}

static ns_status measure_layers(const calibrating *c, int64_t ms_max, ns_error *err) {
    search__run *run = c->run;
    search__calibration *found = &run->calibration;
    const search__job job = {
        .nets = true, .worker_count = run->worker_count, .thread_count = run->worker_thread_count};
    NS_TRY(run_round(c, job, ms_max, err));
    for (int i = 0; i < run->worker_count; i++) {
        const search__report *report = &run->report[i];
        found->net_count += report->net_count;
        for (size_t k = 0; k < report->sample_count && found->sample_count < BUDGET_SAMPLES_MAX;
             k++) {
            found->sample[found->sample_count++] = report->sample[k];
        }
    }
    return NS_OK;
}

/* ---- predictions ----------------------------------------------------------------------------- */

static double model_ms(const search__run *run, const search_candidate *candidate) {
    const search__setting setting = {candidate->recipe.batch_size, run->worker_thread_count};
    return search__step_ms(run->calibration.model, &candidate->graph, &setting);
}

double search__predict_step_ms(const search__run *run, const search_candidate *candidate,
                               bool whole_machine) {
    const search__calibration *found = &run->calibration;
    if (found->model == NULL) {
        return search__clock_step_ms(run, candidate);
    }
    return model_ms(run, candidate) * (whole_machine ? found->machine_factor : found->factor);
}

/// What the anchor's real steps took, over what the model says of them. False when that is absurd:
/// while one of the two was measured, somebody else had the cores.
static bool find_factors(search__run *run, const search_candidate *anchor) {
    search__calibration *found = &run->calibration;
    const double predicted_ms = model_ms(run, anchor);
    const double narrower = (double)run->worker_thread_count / run->thread_count;
    found->factor = 1;
    found->machine_factor = narrower;
    for (int i = 0; i < found->split_count; i++) {
        const search__split *split = &found->split[i];
        const double factor = split->step_ms / predicted_ms;
        if (split->worker_count == run->worker_count && split->step_ms > 0) {
            found->factor = factor;
        }
        if (split->worker_count == 1 && split->step_ms > 0) {
            found->machine_factor = factor;
        }
    }
    return found->factor < FACTOR_MAX && found->factor > 1 / FACTOR_MAX &&
           found->machine_factor < FACTOR_MAX && found->machine_factor > narrower / FACTOR_MAX;
}

static ns_status fit(search__run *run, const search_candidate *anchor, ns_error *err) {
    search__calibration *found = &run->calibration;
    if (found->sample_count == 0) {
        return NS_OK;
    }
    NS_TRY(budget_model_new(found->sample, found->sample_count, &found->model, err));
    if (!find_factors(run, anchor)) {
        ns_log_write(
            run->config->log, NS_LOG_WARN,
            "calibration was disturbed (steps take %.2f times what is predicted): times are "
            "not predicted",
            found->factor);
        budget_model_free(found->model);
        found->model = NULL;
    }
    return NS_OK;
}

/* ---- in the store ---------------------------------------------------------------------------- */

static ns_json *calibration_json(const search__run *run) {
    const search__calibration *found = &run->calibration;
    ns_json *json = ns_json_object_new();
    ns_json_set_int(json, "workers", run->worker_count);
    ns_json_set_int(json, "threads_per_worker", run->worker_thread_count);
    ns_json_set_int(json, "took_ms", found->took_ms);
    ns_json_set_int(json, "networks", found->net_count);
    ns_json_set_int(json, "layers", (int64_t)found->sample_count);
    ns_json_set_number(json, "step_factor", found->factor);
    ns_json_set_number(json, "machine_step_factor", found->machine_factor);
    ns_json *splits = ns_json_set(json, "splits", ns_json_array_new());
    for (int i = 0; i < found->split_count; i++) {
        ns_json *split = ns_json_add(splits, ns_json_object_new());
        ns_json_set_int(split, "workers", found->split[i].worker_count);
        ns_json_set_int(split, "threads_per_worker", found->split[i].thread_count);
        ns_json_set_number(split, "images_per_s", found->split[i].images_per_s);
        ns_json_set_number(split, "step_ms", found->split[i].step_ms);
    }
    return json;
}

/// One array a sample: kind, features, ideal time, time.
static ns_json *samples_json(const search__calibration *found) {
    ns_json *json = ns_json_array_new();
    for (size_t i = 0; i < found->sample_count; i++) {
        const budget_sample *sample = &found->sample[i];
        ns_json *row = ns_json_add(json, ns_json_array_new());
        ns_json_add_int(row, sample->work.kind);
        for (int k = 0; k < BUDGET_FEATURES; k++) {
            ns_json_add_number(row, sample->work.feature[k]);
        }
        ns_json_add_number(row, sample->work.ideal_ms);
        ns_json_add_number(row, sample->took_ms);
    }
    return json;
}

static ns_status keep(const search__run *run, results_store *store, ns_error *err) {
    ns_json *result = NULL;
    NS_TRY(search__result_read(store, run, &result, err));
    ns_json_set(result, "calibration", calibration_json(run));
    ns_json_set(result, "calibration_samples", samples_json(&run->calibration));
    ns_json_set(result, "plan", search__plan_json(&run->plan));
    const ns_status status = search__result_write(store, run, result, err);
    ns_json_free(result);
    return status;
}

static double number_at(const ns_json *array, size_t index) {
    return ns_json_value_number(ns_json_at(array, index), (double)NAN);
}

static void samples_read(const ns_json *json, search__calibration *found) {
    const size_t count = ns_json_count(json);
    for (size_t i = 0; i < count && found->sample_count < BUDGET_SAMPLES_MAX; i++) {
        const ns_json *row = ns_json_at(json, i);
        budget_sample *sample = &found->sample[found->sample_count++];
        sample->work.kind = (int)ns_json_value_number(ns_json_at(row, 0), -1);
        for (size_t k = 0; k < BUDGET_FEATURES; k++) {
            sample->work.feature[k] = number_at(row, 1 + k);
        }
        sample->work.ideal_ms = number_at(row, 1 + BUDGET_FEATURES);
        sample->took_ms = number_at(row, 2 + BUDGET_FEATURES);
    }
}

static void calibration_read(const ns_json *json, search__run *run) {
    search__calibration *found = &run->calibration;
    const ns_json *splits = ns_json_get(json, "splits");
    const int worker_count = (int)ns_json_int(json, "workers", 0);
    const int thread_count = (int)ns_json_int(json, "threads_per_worker", 0);
    found->took_ms = ns_json_int(json, "took_ms", 0);
    found->net_count = (int)ns_json_int(json, "networks", 0);
    for (size_t i = 0; i < ns_json_count(splits) && i < SEARCH__SPLITS_MAX; i++) {
        const ns_json *split = ns_json_at(splits, i);
        found->split[found->split_count++] = (search__split){
            .worker_count = (int)ns_json_int(split, "workers", 0),
            .thread_count = (int)ns_json_int(split, "threads_per_worker", 0),
            .images_per_s = ns_json_number(split, "images_per_s", 0),
            .step_ms = ns_json_number(split, "step_ms", 0),
        };
    }
    const bool fits = worker_count > 0 && worker_count <= SEARCH_SLOTS_MAX && thread_count > 0 &&
                      worker_count * thread_count <= run->thread_count;
    if (fits) { // else the study goes on on a smaller machine
        search__divide(run, worker_count, thread_count);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static ns_status calibrate(const calibrating *c, ns_error *err) {
    search__run *run = c->run;
    const int64_t total_ms = run->config->budget_node_ms;
    const int64_t begin_ms = ns_clock_ms();
    int64_t ms_max = total_ms / TOTAL_PER_CALIBRATION;
    ms_max = ms_max < CALIBRATION_MS_MAX ? ms_max : CALIBRATION_MS_MAX;
    if (total_ms >= DIVIDE_TOTAL_MS_MIN) {
        NS_TRY(divide(c, (int64_t)(DIVIDE_SHARE * (double)ms_max), err));
    }
    const int64_t left_ms = begin_ms + ms_max - ns_clock_ms();
    NS_TRY(measure_layers(c, left_ms > ROUND_MS_MIN ? left_ms : ROUND_MS_MIN, err));
    run->calibration.took_ms = ns_clock_ms() - begin_ms;
    return NS_OK;
}

/// With memory for the children's reports.
static ns_status calibrate_shared(const calibrating *c, ns_error *err) {
    const size_t size_bytes = SEARCH_SLOTS_MAX * sizeof(search__report);
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot share memory with children: %s",
                       strerror(errno));
    }
    c->run->report = memory;
    const ns_status status = calibrate(c, err);
    c->run->report = NULL;
    munmap(memory, size_bytes);
    return status;
}

/// Fits the model and makes the plan of the division that was found.
static ns_status settle(search__run *run, ns_error *err) {
    search_genotype genotype;
    search_candidate *anchor = malloc(sizeof *anchor);
    if (anchor == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a candidate network");
    }
    search_genotype_anchor(&run->space, &genotype);
    ns_status status = search_decode(&run->space, &genotype, anchor, err);
    status = status == NS_OK ? fit(run, anchor, err) : status;
    status = status == NS_OK ? search__plan_make(run, &anchor->counts, err) : status;
    free(anchor);
    return status;
}

ns_status search__calibrate(search__children *children, search__round_fn round, void *supervisor,
                            ns_error *err) {
    search__run *run = children->run;
    const calibrating c = {run, round, supervisor};
    ns_json *result = NULL;
    NS_TRY(search__result_read(children->store, run, &result, err));
    const ns_json *before = ns_json_get(result, "calibration");
    const bool resumed = before != NULL;
    ns_status status = NS_OK;
    if (resumed) {
        calibration_read(before, run);
        samples_read(ns_json_get(result, "calibration_samples"), &run->calibration);
    } else if (run->plan.search_end_ms > 0 && run->config->budget_kind == BUDGET_TIME) {
        ns_error why = {0};
        status = calibrate_shared(&c, &why);
        if (status == NS_ERR_STOPPED || status == NS_ERR_BUDGET || status == NS_ERR_IO) {
            *err = why;
        } else if (status != NS_OK) {
            ns_log_write(run->config->log, NS_LOG_WARN, "calibration: %s", why.text);
            status = NS_OK;
        }
    }
    ns_json_free(result);
    NS_TRY(status);
    NS_TRY(settle(run, err));
    return resumed ? NS_OK : keep(run, children->store, err);
}
