// What goes to stdout and stderr: sentences about failures, JSON, tables.

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

int cli__exit_code(ns_status status, const ns_error *err) {
    if (status == NS_OK) {
        return CLI_DONE;
    }
    (void)fprintf(stderr, "nightshift: %s\n",
                  err->text[0] != '\0' ? err->text : ns_status_text(status));
    switch (status) {
    case NS_ERR_USAGE:
        return CLI_USAGE;
    case NS_ERR_STOPPED:
        return CLI_STOPPED;
    default:
        return CLI_FAILED;
    }
}

int cli__finish_output(int exit_code) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return exit_code;
    }
    (void)fprintf(stderr, "nightshift: cannot write the result: %s\n",
                  errno != 0 ? strerror(errno) : "standard output failed");
    return exit_code == CLI_DONE ? CLI_FAILED : exit_code;
}

ns_status cli__print_json(ns_json *json, ns_error *err) {
    char *text = NULL;
    const ns_status status = json == NULL ? ns_fail(err, NS_ERR_MEMORY,
                                                    "cannot print the result: "
                                                    "out of memory")
                                          : ns_json_print(json, false, &text, err);
    if (status == NS_OK) {
        (void)puts(text);
    }
    free(text);
    ns_json_free(json);
    return status;
}

/* ---- tables ---------------------------------------------------------------------------------- */

struct cli_table {
    const char *align;
    size_t column_count;
    char **cells; // cell_count of them, malloced
    size_t cell_count, cell_count_max;
    bool failed; // out of memory
};

cli_table *cli__table_new(const char *align) {
    cli_table *table = calloc(1, sizeof(*table));
    if (table != NULL) {
        table->align = align;
        table->column_count = strlen(align);
    }
    return table;
}

static bool has_room(cli_table *table) {
    if (table->cell_count < table->cell_count_max) {
        return true;
    }
    const size_t count_max = table->cell_count_max == 0 ? 64 : 2 * table->cell_count_max;
    char **cells = realloc(table->cells, count_max * sizeof(*cells));
    if (cells == NULL) {
        return false;
    }
    table->cells = cells;
    table->cell_count_max = count_max;
    return true;
}

void cli__table_cell(cli_table *table, const char *format, ...) {
    if (table == NULL || table->failed) {
        return;
    }
    char *text = NULL;
    va_list args;
    va_start(args, format);
    const int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0) {
        table->failed = true;
    } else if (!has_room(table)) {
        free(text);
        table->failed = true;
    } else {
        table->cells[table->cell_count++] = text;
    }
}

void cli__table_percent(cli_table *table, double fraction) {
    if (isnan(fraction)) {
        cli__table_cell(table, "-");
    } else {
        cli__table_cell(table, "%.2f %%", 100 * fraction);
    }
}

static const char *score_name_of(const ns_json *study) {
    return ns_json_string(study, "score_name", search_score_name(false));
}

const char *cli__score_name(const ns_json *studies) {
    const char *name = search_common_score_name(studies);
    return name != NULL ? name : "score";
}

void cli__table_score(cli_table *table, const ns_json *study, const char *key, const char *head) {
    const double fraction = ns_json_number(study, key, (double)NAN);
    const char *name = score_name_of(study);
    if (isnan(fraction) || strcmp(name, head) == 0) {
        cli__table_percent(table, fraction);
    } else {
        cli__table_cell(table, "%s %.2f %%", name, 100 * fraction);
    }
}

void cli__table_decimal(cli_table *table, double value, int decimals) {
    if (isnan(value)) {
        cli__table_cell(table, "-");
    } else {
        cli__table_cell(table, "%.*f", decimals, value);
    }
}

// Characters of UTF-8 text: what is not a continuation byte. Enough for aligning names.
static int text_width(const char *text) {
    int width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xC0U) != 0x80U;
    }
    return width;
}

static int column_width(const cli_table *table, size_t column) {
    int width = 0;
    for (size_t i = column; i < table->cell_count; i += table->column_count) {
        const int cell = text_width(table->cells[i]);
        width = cell > width ? cell : width;
    }
    return width;
}

static void print_rows(const cli_table *table, const int *width) {
    for (size_t i = 0; i < table->cell_count; i++) {
        const size_t column = i % table->column_count;
        const bool last = column + 1 == table->column_count;
        const int space = width[column] - text_width(table->cells[i]);
        const bool right = table->align[column] == 'r';
        (void)printf("%*s%s%*s%s", right ? space : 0, "", table->cells[i],
                     right || last ? 0 : space, "", last ? "\n" : "  ");
    }
}

void cli__table_free(cli_table *table) {
    for (size_t i = 0; table != NULL && i < table->cell_count; i++) {
        free(table->cells[i]);
    }
    if (table != NULL) {
        free(table->cells);
    }
    free(table);
}

ns_status cli__table_print(cli_table *table, ns_error *err) {
    int *width = table != NULL ? calloc(table->column_count, sizeof(*width)) : NULL;
    const bool failed = width == NULL || table->failed;
    if (!failed) {
        for (size_t column = 0; column < table->column_count; column++) {
            width[column] = column_width(table, column);
        }
        print_rows(table, width);
    }
    free(width);
    cli__table_free(table);
    return failed ? ns_fail(err, NS_ERR_MEMORY, "cannot print a table: out of memory") : NS_OK;
}
