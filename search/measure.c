// What a calibrating child process measures (calibrate.c says what for): how fast it trains the
// anchor, beside its like, and how long the layers of some networks of the space take.
//
// The anchor comes first, then the networks that tell most of the space (cover.c), each of which one
// worker takes. Each runs three steps. The first, which finds cold caches and memory that is not there
// yet, is not counted; of the others the faster is, layer by layer, for a machine is never quite
// idle.

#include <math.h>
#include <stdlib.h>

#include "search/search_internal.h"

#define SHARE_MAX    4    // of the time that is left, the part that one network may take
#define STEP_COUNT   3    // the first is not counted
#define STEPS_MIN    3    // of the anchor, which are worth a figure
#define LATE_MS_MAX  1500 // past the job's end, for these
#define FLOPS_PER_MS 50e6 // of one thread: a guess, until something was measured

/* ---- layers of networks ---------------------------------------------------------------------- */

/// A network to be measured, and all that this takes: too large for the stack.
typedef struct subject {
    double flops_per_ms; // of all threads, as far as is known
    double done_flops, done_ms;
    search_candidate candidate;
    search__works works;
    nn_profile profile; // of the steps that count, each row's least
    nn_profile step;
    search__setting setting;
} subject;

static double flops(const subject *s) {
    return STEP_COUNT * (double)s->candidate.counts.train_flops * s->setting.batch_size;
}

static double guess_ms(const subject *s) {
    return flops(s) / s->flops_per_ms;
}

/// The network at place `index`: the anchor at its own batch, which real steps are compared with, then
/// those of `nets`.
static ns_status draw(const search_space *space, const search__cover_net *nets, int index,
                      subject *s, ns_error *err) {
    if (index > 0) {
        s->setting.batch_size = nets[index - 1].batch_size;
        return search__cover_draw(space, nets[index - 1].number, &s->candidate, err);
    }
    search_genotype genotype;
    search_genotype_anchor(space, &genotype);
    NS_TRY(search_decode(space, &genotype, &s->candidate, err));
    s->setting.batch_size = s->candidate.recipe.batch_size;
    return NS_OK;
}

static ns_status profile(subject *s, nn_dtype dtype, double *update_ms, ns_error *err) {
    nn_net_options options = nn_net_options_default();
    nn_net *net = NULL;
    options.dtype = dtype;
    options.batch_size = s->setting.batch_size;
    options.thread_count = s->setting.thread_count;
    NS_TRY(nn_net_new(&s->candidate.graph, &options, &net, err));
    nn_net_init(net, 0);
    nn_bench_fill(net, 0);
    for (int i = 0; i < STEP_COUNT; i++) {
        (void)nn_net_profile(net, (uint64_t)i, &s->step);
        const int64_t since_ns = ns_clock_ns();
        nn_bench_update(net);
        const double took_ms = (double)(ns_clock_ns() - since_ns) / 1e6;
        *update_ms = i <= 1 ? took_ms : fmin(*update_ms, took_ms);
        for (int k = 0; k < s->step.row_count && i > 1; k++) {
            s->step.row[k].ms = fmin(s->step.row[k].ms, s->profile.row[k].ms);
        }
        s->profile = s->step;
    }
    nn_net_free(net);
    return NS_OK;
}

/// Profiles the network, unless that would take more than its part of the time that is left.
static ns_status measure_net(const search__job *job, bool anchor, subject *s, search__report *out,
                             ns_error *err) {
    const double left_ms = (double)(job->end_ms - ns_clock_ms());
    search__step_works(&s->candidate.graph, &s->setting, &s->works);
    if (guess_ms(s) > (anchor ? left_ms : left_ms / SHARE_MAX) ||
        out->sample_count + (size_t)s->works.count > SEARCH__SAMPLES_MAX) {
        return NS_OK;
    }
    double update_ms = 0;
    const int64_t begin_ms = ns_clock_ms();
    NS_TRY(profile(s, job->dtype, &update_ms, err));
    s->done_flops += flops(s);
    s->done_ms += (double)(ns_clock_ms() - begin_ms + 1);
    s->flops_per_ms = s->done_flops / s->done_ms;
    out->sample_count +=
        search__step_samples(&s->works, &s->profile, update_ms, out->sample + out->sample_count);
    out->net_count++;
    return NS_OK;
}

static ns_status measure_nets(const search_space *space, const search__job *job, int first,
                              subject *s, search__report *out, ns_error *err) {
    int count = 0;
    search__cover_net nets[SEARCH__COVER_MAX];
    NS_TRY(search__cover(space, &count, nets, err));
    s->setting.thread_count = job->thread_count;
    s->flops_per_ms = FLOPS_PER_MS * job->thread_count;
    for (int i = first; i <= count; i += job->worker_count) {
        NS_TRY(draw(space, nets, i, s, err));
        NS_TRY(measure_net(job, i == 0, s, out, err));
    }
    return NS_OK;
}

ns_status search__measure_nets(const search_space *space, const search__job *job, int first,
                               search__report *out, ns_error *err) {
    subject *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a network to be measured");
    }
    const ns_status status = measure_nets(space, job, first, s, out, err);
    free(s);
    return status;
}

/* ---- the anchor, trained --------------------------------------------------------------------- */

/// Clock and images at the first finished step, which is not counted, and at the last.
typedef struct pace {
    int64_t end_ms; // clock
    int64_t first_ns, last_ns;
    uint64_t first_samples, last_samples;
    int64_t step_count;
} pace;

static nn_verdict on_step(void *context, const nn_progress *progress) {
    pace *p = context;
    p->last_ns = ns_clock_ns();
    p->last_samples = progress->sample_count;
    if (p->step_count++ == 0) {
        p->first_ns = p->last_ns;
        p->first_samples = p->last_samples;
    }
    const bool enough = ns_clock_ms() >= p->end_ms && p->step_count >= STEPS_MIN;
    return enough || search__stop_requested() ? NN_STOP : NN_CONTINUE;
}

ns_status search__measure_anchor(const search__run *run, const search__job *job,
                                 search__report *out, ns_error *err) {
    nn_train_options options = nn_train_options_default();
    search_genotype genotype;
    nn_train_result result;
    nn_model *model = NULL;
    pace p = {.end_ms = job->end_ms};
    search_candidate *anchor = malloc(sizeof *anchor);
    if (anchor == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a candidate network");
    }
    search_genotype_anchor(&run->space, &genotype);
    ns_status status = search_decode(&run->space, &genotype, anchor, err);
    const int64_t left_ms = job->end_ms - ns_clock_ms();
    if (status == NS_OK && left_ms > 0) {
        options.recipe = anchor->recipe;
        options.ms_max = left_ms + LATE_MS_MAX;
        options.dtype = job->dtype;
        options.thread_count = job->thread_count;
        options.mem_bytes_max = run->mem_bytes / (size_t)job->worker_count;
        options.on_step = on_step;
        options.context = &p;
        status = nn_train(&anchor->graph, run->set, &options, &result, &model, err);
    }
    if (status == NS_ERR_BUDGET || status == NS_ERR_LIMIT || status == NS_ERR_MEMORY) {
        status = NS_OK; // too slow or too large for this division: that is not a failure
    }
    if (status == NS_OK && p.last_ns > p.first_ns) {
        const double took_ms = (double)(p.last_ns - p.first_ns) / 1e6;
        out->images_per_s = 1000 * (double)(p.last_samples - p.first_samples) / took_ms;
        out->step_ms = took_ms / (double)(p.step_count - 1);
    }
    nn_model_free(model);
    free(anchor);
    return status;
}
