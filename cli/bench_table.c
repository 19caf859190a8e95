// Reads the table of a benchmark: {"02012100": {"test_acc": [89.5, 88.9], "mean_acc": 89.2,
// "flops": 47327744}, ...}.
//
// A key has one digit a gene, and a gene's choices are the digits that occur at its place, so any
// table of this form is a space. Points may be missing: those are not legal. `test_acc` is a list of
// noisy trainings, of which a search sees the first; `mean_acc` is the truth; `flops` may be left
// out, and what else an entry has is passed over.

#include "cli/bench_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)1 << 30)
#define DIGITS         10

/* ---- looking up ------------------------------------------------------------------------------ */

static size_t slot_of(const cli_bench_table *table, const search_genotype *genotype) {
    uint64_t hash = 0;
    for (int g = 0; g < table->space.gene_count; g++) {
        hash = (hash + genotype->choice[g] + 1) * 0x9E3779B97F4A7C15U;
        hash ^= hash >> 32;
    }
    size_t slot = (size_t)hash & (table->slot_count - 1);
    while (table->slot[slot] != 0 &&
           memcmp(&table->entry[table->slot[slot] - 1].genotype, genotype, sizeof *genotype) != 0) {
        slot = (slot + 1) & (table->slot_count - 1);
    }
    return slot;
}

const cli_table_entry *cli__bench_table_find(const cli_bench_table *table,
                                             const search_genotype *genotype) {
    const uint32_t at = table->slot[slot_of(table, genotype)];
    return at == 0 ? NULL : &table->entry[at - 1];
}

/* ---- the space ------------------------------------------------------------------------------- */

static ns_status check_key(const char *key, size_t gene_count, ns_error *err) {
    if (key == NULL) {
        return ns_fail(err, NS_ERR_INPUT, "it is no JSON object of points");
    }
    if (strlen(key) != gene_count || strspn(key, "0123456789") != gene_count) {
        return ns_fail(err, NS_ERR_INPUT, "key \"%.70s\" is not of %zu digits, as the first key is",
                       key, gene_count);
    }
    return NS_OK;
}

/// A gene for each place of the keys, with the digits that occur there.
static ns_status make_space(const ns_json *json, cli_bench_table *table, ns_error *err) {
    bool seen[SEARCH_GENES_MAX][DIGITS] = {{false}};
    const ns_json *first = ns_json_first(json);
    const char *first_key = first != NULL ? ns_json_key(first) : NULL;
    const size_t gene_count = first_key != NULL ? strlen(first_key) : 0;
    if (gene_count == 0 || gene_count > SEARCH_GENES_MAX) {
        return ns_fail(err, NS_ERR_INPUT, "a JSON object is needed whose keys have 1 to %d digits",
                       SEARCH_GENES_MAX);
    }
    for (const ns_json *at = first; at != NULL; at = ns_json_next(at), table->count++) {
        const char *key = ns_json_key(at);
        NS_TRY(check_key(key, gene_count, err));
        for (size_t g = 0; g < gene_count; g++) {
            seen[g][key[g] - '0'] = true;
        }
    }
    table->space = (search_space){.gene_count = (int)gene_count, .image = {3, 32, 32}};
    for (size_t g = 0; g < gene_count; g++) {
        search_gene *gene = &table->space.gene[g];
        (void)snprintf(gene->name, sizeof gene->name, "place%zu", g + 1);
        for (int digit = 0; digit < DIGITS; digit++) {
            if (seen[g][digit]) {
                gene->value[gene->choice_count++] = digit;
            }
        }
    }
    return NS_OK;
}

/* ---- entries --------------------------------------------------------------------------------- */

static search_genotype genotype_of(const search_space *space, const char *key) {
    search_genotype out = {0};
    for (int g = 0; g < space->gene_count; g++) {
        while (space->gene[g].value[out.choice[g]] != key[g] - '0') {
            out.choice[g]++;
        }
    }
    return out;
}

static ns_status read_entry(cli_bench_table *table, const ns_json *json, size_t index,
                            ns_error *err) {
    const char *key = ns_json_key(json);
    const cli_table_entry entry = {
        .genotype = genotype_of(&table->space, key),
        .signal = ns_json_value_number(ns_json_first(ns_json_get(json, "test_acc")), (double)NAN),
        .truth = ns_json_number(json, "mean_acc", (double)NAN),
        .flops = ns_json_number(json, "flops", (double)NAN),
    };
    if (!isfinite(entry.signal)) {
        return ns_fail(err, NS_ERR_INPUT, "\"%s\" has no list \"test_acc\" of numbers", key);
    }
    if (!isfinite(entry.truth)) {
        return ns_fail(err, NS_ERR_INPUT, "\"%s\" has no number \"mean_acc\"", key);
    }
    const size_t slot = slot_of(table, &entry.genotype);
    if (table->slot[slot] != 0) {
        return ns_fail(err, NS_ERR_INPUT, "\"%s\" is there twice", key);
    }
    table->entry[index] = entry;
    table->slot[slot] = (uint32_t)index + 1;
    return NS_OK;
}

static ns_status read_entries(cli_bench_table *table, const ns_json *json, ns_error *err) {
    table->slot_count = 16;
    while (table->slot_count < 2 * table->count) {
        table->slot_count *= 2;
    }
    table->entry = calloc(table->count, sizeof *table->entry);
    table->slot = calloc(table->slot_count, sizeof *table->slot);
    if (table->entry == NULL || table->slot == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory for %zu points", table->count);
    }
    size_t index = 0;
    for (const ns_json *at = ns_json_first(json); at != NULL; at = ns_json_next(at)) {
        NS_TRY(read_entry(table, at, index++, err));
    }
    return NS_OK;
}

ns_status cli__bench_table_read(const char *path, cli_bench_table *out, ns_error *err) {
    *out = (cli_bench_table){.count = 0};
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    ns_json *json = NULL;
    NS_TRY(ns_file_read(path, FILE_BYTES_MAX, &text, &size_bytes, err));
    ns_status status = ns_json_parse((const char *)text, &json, err);
    status = status == NS_OK ? make_space(json, out, err) : status;
    status = status == NS_OK ? read_entries(out, json, err) : status;
    ns_json_free(json);
    free(text);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot search the table %s", path);
    }
    return status;
}

void cli__bench_table_clear(cli_bench_table *table) {
    free(table->entry);
    free(table->slot);
    table->entry = NULL;
    table->slot = NULL;
}
