// nightshift bench search: what a sampler finds in a table of networks that were all trained before.
//
// The samplers are those that ship; only the evaluation is a look-up. A search sees the first
// training of each network (`test_acc[0]`, noise and all) and its incumbent is the network of the
// highest such value; reported is what the incumbent is worth on average (`mean_acc`), over many
// seeds. A point that the table does not have is refused as an illegal network is, and the sampler
// asked again. Two baselines: the sampler "random", and "flops", which tries the most expensive
// networks there are, from the top.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_table.h"
#include "cli/cmd_bench.h"

#define RETRIES_MAX     256
#define EVALUATIONS_MAX 1000000
#define BY_FLOPS        "flops"

typedef struct search_bench {
    const char *table_path, *sampler_name;
    const search_sampler *sampler; // NULL: by FLOPs
    int64_t evaluations, seeds, first_seed;
    bool json;
    cli_bench_table table;
    search_observation *trial;        // `evaluations` of them
    double *found;                    // mean_acc of the incumbent, by seed
    double *spent_ms;                 // proposing, by seed
    const cli_table_entry **by_flops; // the most first
} search_bench;

/* ---- one search ------------------------------------------------------------------------------ */

static double flops_of(const void *context, const search_genotype *genotype) {
    const cli_table_entry *entry = cli__bench_table_find(context, genotype);
    return entry != NULL ? entry->flops : (double)NAN;
}

static bool is_new(const search_bench *b, size_t count, const search_genotype *genotype) {
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&b->trial[i].genotype, genotype, sizeof *genotype) == 0) {
            return false;
        }
    }
    return true;
}

/// The next point; NULL when the sampler finds nothing new.
static ns_status ask(const search_bench *b, uint64_t seed, size_t count,
                     const cli_table_entry **out, ns_error *err) {
    const search_task task = {
        .space = &b->table.space, .cost = flops_of, .context = &b->table, .cost_max = INFINITY};
    const search_history history = {.trial = b->trial, .count = count};
    *out = NULL;
    for (uint64_t retry = 0; retry < RETRIES_MAX; retry++) {
        search_genotype genotype;
        NS_TRY(b->sampler->propose(&task, &history, seed, count + (retry << SEARCH_RETRY_SHIFT),
                                   &genotype, err));
        const cli_table_entry *entry = cli__bench_table_find(&b->table, &genotype);
        if (entry != NULL && is_new(b, count, &genotype)) {
            *out = entry;
            return NS_OK;
        }
    }
    return NS_OK;
}

static ns_status run_seed(search_bench *b, size_t index, ns_error *err) {
    const cli_table_entry *incumbent = NULL;
    const int64_t start_ns = ns_clock_ns();
    for (size_t count = 0; count < (size_t)b->evaluations && count < b->table.count; count++) {
        const cli_table_entry *entry;
        if (b->sampler != NULL) {
            NS_TRY(ask(b, (uint64_t)b->first_seed + index, count, &entry, err));
        } else {
            entry = b->by_flops[count];
        }
        if (entry == NULL) {
            break;
        }
        b->trial[count] = (search_observation){
            .genotype = entry->genotype, .state = RESULTS_COMPLETE, .val_accuracy = entry->signal};
        incumbent = incumbent == NULL || entry->signal > incumbent->signal ? entry : incumbent;
    }
    if (incumbent == NULL) {
        return ns_fail(err, NS_ERR_INPUT,
                       "cannot search the table %s: no point of it was found in %d proposals",
                       b->table_path, RETRIES_MAX);
    }
    b->found[index] = incumbent->truth;
    b->spent_ms[index] = (double)(ns_clock_ns() - start_ns) / 1e6;
    return NS_OK;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int by_flops(const void *a, const void *b) {
    const cli_table_entry *left = *(const cli_table_entry *const *)a;
    const cli_table_entry *right = *(const cli_table_entry *const *)b;
    return left->flops != right->flops ? (left->flops < right->flops) - (left->flops > right->flops)
                                       : (left > right) - (left < right);
}

static ns_status sort_by_flops(search_bench *b, ns_error *err) {
    for (size_t i = 0; i < b->table.count; i++) {
        if (isnan(b->table.entry[i].flops)) {
            return ns_fail(err, NS_ERR_INPUT,
                           "cannot search the table %s by FLOPs: some points have no \"flops\"",
                           b->table_path);
        }
        b->by_flops[i] = &b->table.entry[i];
    }
    qsort(b->by_flops, b->table.count, sizeof(const cli_table_entry *), by_flops);
    return NS_OK;
}

static ns_status prepare(search_bench *b, ns_error *err) {
    NS_TRY(cli__bench_table_read(b->table_path, &b->table, err));
    b->trial = calloc((size_t)b->evaluations, sizeof *b->trial);
    b->found = calloc((size_t)b->seeds, sizeof *b->found);
    b->spent_ms = calloc((size_t)b->seeds, sizeof *b->spent_ms);
    b->by_flops = calloc(b->table.count, sizeof(const cli_table_entry *));
    if (b->trial == NULL || b->found == NULL || b->spent_ms == NULL || b->by_flops == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory for %lld evaluations",
                       (long long)b->evaluations);
    }
    return b->sampler == NULL ? sort_by_flops(b, err) : NS_OK;
}

static void mean_and_deviation(const double *value, int64_t count, double *mean,
                               double *deviation) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += value[i];
    }
    *mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) {
        squares += (value[i] - *mean) * (value[i] - *mean);
    }
    *deviation = count > 1 ? sqrt(squares / (double)(count - 1)) : 0;
}

static double optimum(const cli_bench_table *table) {
    double best = table->entry[0].truth;
    for (size_t i = 1; i < table->count; i++) {
        best = fmax(best, table->entry[i].truth);
    }
    return best;
}

static ns_status report(const search_bench *b, ns_error *err) {
    double mean, deviation, ms, ms_deviation;
    mean_and_deviation(b->found, b->seeds, &mean, &deviation);
    mean_and_deviation(b->spent_ms, b->seeds, &ms, &ms_deviation);
    const double best = optimum(&b->table);
    if (!b->json) {
        (void)printf("%s, %lld evaluations: %.3f +- %.3f over %lld seeds, optimum %.3f\n",
                     b->sampler_name, (long long)b->evaluations, mean, deviation,
                     (long long)b->seeds, best);
        return NS_OK;
    }
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "table", b->table_path);
    ns_json_set_string(json, "sampler", b->sampler_name);
    ns_json_set_int(json, "points", (int64_t)b->table.count);
    ns_json_set_int(json, "evaluations", b->evaluations);
    ns_json_set_int(json, "seeds", b->seeds);
    ns_json_set_number(json, "mean", mean);
    ns_json_set_number(json, "sd", deviation);
    ns_json_set_number(json, "optimum", best);
    ns_json_set_number(json, "ms_per_proposal", ms / (double)b->evaluations);
    ns_json *values = ns_json_set(json, "mean_acc", ns_json_array_new());
    for (int64_t i = 0; i < b->seeds; i++) {
        ns_json_add_number(values, b->found[i]);
    }
    return cli__print_json(json, err);
}

static ns_status run_bench(search_bench *b, ns_error *err) {
    NS_TRY(prepare(b, err));
    for (int64_t i = 0; i < b->seeds; i++) {
        NS_TRY(run_seed(b, (size_t)i, err));
    }
    return report(b, err);
}

/* ---- the command ----------------------------------------------------------------------------- */

static ns_status parse_evaluations(const char *text, void *value, ns_error *err) {
    return cli__integer_between(text, 1, EVALUATIONS_MAX, value, err);
}

static ns_status parse_seeds(const char *text, void *value, ns_error *err) {
    return cli__integer_between(text, 1, 10000, value, err);
}

static ns_status parse_first_seed(const char *text, void *value, ns_error *err) {
    return cli__integer_between(text, 0, INT32_MAX, value, err);
}

static ns_status choose_sampler(search_bench *b, ns_error *err) {
    if (b->table_path == NULL) {
        return ns_fail(err, NS_ERR_USAGE, "cannot bench a search without --table FILE.json");
    }
    b->sampler = search_sampler_find(b->sampler_name);
    if (b->sampler == NULL && strcmp(b->sampler_name, BY_FLOPS) != 0) {
        return ns_fail(err, NS_ERR_USAGE, "cannot bench \"%.40s\": no sampler has this name",
                       b->sampler_name);
    }
    return NS_OK;
}

int cli__bench_search(int argc, char **argv) {
    search_bench b = {.sampler_name = search_config_default().sampler,
                      .evaluations = 100,
                      .seeds = 60,
                      .first_seed = 1};
    const cli_option rows[] = {
        {"table", 0, "FILE.json",
         "The table: a digit a gene in its keys, \"test_acc\", "
         "\"mean_acc\" and maybe \"flops\" of each",
         cli__parse_text, &b.table_path},
        {"sampler", 0, "S", "One that search has, or flops: the most FLOPs first", cli__parse_text,
         &b.sampler_name},
        {"evaluations", 0, "N", "Networks to look up (default: 100)", parse_evaluations,
         &b.evaluations},
        {"seeds", 0, "K", "Searches to average over (default: 60)", parse_seeds, &b.seeds},
        {"first-seed", 0, "N", "Their seeds go up from here (default: 1)", parse_first_seed,
         &b.first_seed},
        CLI_OPTION_JSON(&b.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "",
        .doc = "Runs a sampler on a table of networks whose accuracies are known, and prints what "
               "the best that it found is worth: mean and standard deviation over seeds.",
        .options = rows,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    ns_error err = {0};
    ns_status status = choose_sampler(&b, &err);
    status = status == NS_OK ? run_bench(&b, &err) : status;
    cli__bench_table_clear(&b.table);
    free(b.trial);
    free(b.found);
    free(b.spent_ms);
    free(b.by_flops);
    return cli__exit_code(status, &err);
}
