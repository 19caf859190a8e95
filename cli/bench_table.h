// A table of networks that were all trained before: a search on it takes milliseconds.

#ifndef NS_CLI_BENCH_TABLE_H
#define NS_CLI_BENCH_TABLE_H

#include "base/base.h"
#include "search/search.h"

/// What is known of one point.
typedef struct cli_table_entry {
    search_genotype genotype;
    double signal; // of one training: what a search sees
    double truth;  // the mean of several: what the point is worth
    double flops;  // NaN: not given
} cli_table_entry;

typedef struct cli_bench_table {
    search_space space; // a gene a digit
    cli_table_entry *entry;
    size_t count;
    uint32_t *slot; // open hash table: index into `entry` + 1, or 0
    size_t slot_count;
} cli_bench_table;

/// NS_ERR_INPUT names the entry that is wrong. Free with cli__bench_table_clear, also then.
ns_status cli__bench_table_read(const char *path, cli_bench_table *out, ns_error *err);
void cli__bench_table_clear(cli_bench_table *table);
/// NULL: the table does not have the point.
const cli_table_entry *cli__bench_table_find(const cli_bench_table *table,
                                             const search_genotype *genotype);

#endif
