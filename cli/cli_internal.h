// What the commands of nightshift share: their exit codes, options, output and progress line.
//
// A command is one file, cmd_NAME.c, with one function of the type cli_run_fn that is listed in the
// table of main.c. It declares its options as a table, calls the libraries, and prints results to
// stdout; whatever goes wrong is one sentence on stderr ("nightshift: cannot ...").

#ifndef NS_CLI_CLI_INTERNAL_H
#define NS_CLI_CLI_INTERNAL_H

#include "base/base.h"
#include "data/data.h"
#include "search/search.h"

/// How a process ends, for scripts.
enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_STOPPED = 3, // early, on request; running the command again goes on
};

/// `argv[0]` is the command's name. Returns an exit code.
typedef int (*cli_run_fn)(int argc, char **argv);

int cli__import(int argc, char **argv);
int cli__inspect(int argc, char **argv);
int cli__search(int argc, char **argv);
int cli__resume(int argc, char **argv);
int cli__space(int argc, char **argv);
int cli__status(int argc, char **argv);
int cli__trials(int argc, char **argv);
int cli__studies(int argc, char **argv);
int cli__compare(int argc, char **argv);
int cli__report(int argc, char **argv);
int cli__train(int argc, char **argv);
int cli__evaluate(int argc, char **argv);
int cli__predict(int argc, char **argv);
int cli__export(int argc, char **argv);
int cli__gc(int argc, char **argv);
int cli__bench(int argc, char **argv);

/* ---- options (options.c, the only caller of argp) -------------------------------------------- */

/// Reads `text` into `*value`, whose type the function knows; the error says what is needed.
typedef ns_status (*cli_parse_fn)(const char *text, void *value, ns_error *err);

typedef struct cli_option {
    const char *name; // without the two dashes
    char letter;      // the short form, or 0
    const char *arg;  // what --help calls its value; NULL: a flag
    const char *doc;
    cli_parse_fn parse;
    void *value; // left alone when the option is not given
} cli_option;

typedef struct cli_syntax {
    const char *operands; // "MODEL IMAGE..."
    const char *doc;
    const cli_option *options; // up to a row without a name
    int operand_count_min, operand_count_max;
} cli_syntax;

#define CLI_MANY INT32_MAX

/// What is left of the command line without its options; borrowed from argv.
typedef struct cli_operands {
    char **text;
    int count;
} cli_operands;

/// Reads a command line. False after saying on stderr what is wrong: return CLI_USAGE.
/// Exits by itself after --help and --usage, and on options that do not exist.
bool cli__parse(const cli_syntax *syntax, int argc, char **argv, cli_operands *out);

ns_status cli__parse_flag(const char *text, void *value, ns_error *err);   // bool
ns_status cli__parse_text(const char *text, void *value, ns_error *err);   // const char *
ns_status cli__parse_count(const char *text, void *value, ns_error *err);  // int, 1 to a million
ns_status cli__parse_dtype(const char *text, void *value, ns_error *err);  // nn_dtype
ns_status cli__parse_seed(const char *text, void *value, ns_error *err);   // uint64_t
ns_status cli__parse_budget(const char *text, void *value, ns_error *err); // int64_t, node ms
ns_status cli__parse_amount(const char *text, void *value, ns_error *err); // budget_amount

/// For parse functions of a command's own: a number in [min, max] and nothing after it.
ns_status cli__integer_between(const char *text, int64_t min, int64_t max, int64_t *out,
                               ns_error *err);
ns_status cli__number_between(const char *text, double min, double max, double *out, ns_error *err);

/// The words of commands that only name a study of a store.
typedef struct cli_study_words {
    const char *store_path;
    const char *name; // NULL when it was left out
    bool json;
} cli_study_words;
/// `operands` is "NAME", "[NAME]" or "". As cli__parse().
bool cli__parse_study_words(const char *operands, const char *doc, int argc, char **argv,
                            cli_study_words *out);

// Rows that several commands have.
#define CLI_OPTION_JSON(flag)                                                                      \
    { "json", 0, NULL, "Print one JSON object", cli__parse_flag, (flag) }
#define CLI_OPTION_STORE(path)                                                                     \
    { "store", 0, "FILE.db", "The study store (default: nightshift.db)", cli__parse_text, (path) }
#define CLI_OPTION_THREADS(count)                                                                  \
    { "threads", 0, "N", "Threads to use (default: all cores)", cli__parse_count, (count) }
#define CLI_OPTION_DTYPE(type, doc)                                                                \
    { "dtype", 0, "auto|f32|bf16", doc, cli__parse_dtype, (type) }
#define CLI_DTYPE_TRAIN   "Numbers to train in (default: bf16 where the processor has it, else f32)"
#define CLI_DTYPE_INFER   "Numbers to compute in (default: f32, as an exported model does)"
#define CLI_STORE_DEFAULT "nightshift.db"

/* ---- output (output.c) ----------------------------------------------------------------------- */

/// Returns the exit code that `status` calls for, having said on stderr what went wrong, if
/// anything: "nightshift: SENTENCE".
int cli__exit_code(ns_status status, const ns_error *err);
/// Flushes stdout. A result that could not be written is a failure, whatever `exit_code` was.
int cli__finish_output(int exit_code);

/// Prints `json` (may be NULL: out of memory) as one line on stdout and frees it.
ns_status cli__print_json(ns_json *json, ns_error *err);

/// A table of left- and right-aligned columns, printed when all of its cells are known.
typedef struct cli_table cli_table;
/// `align` has one letter a column, 'l' or 'r'. NULL when memory runs out; every call accepts that.
cli_table *cli__table_new(const char *align);
/// Adds the next cell, row by row.
void cli__table_cell(cli_table *table, const char *format, ...) NS_PRINTF(2, 3);
/// What the scores of studies (a JSON array) are called in a head of a table: "accuracy", "jaccard",
/// or "score" where they are not of one kind.
const char *cli__score_name(const ns_json *studies);
/// The score `key` of a study below a head of that name: "93.20 %", named where the head does not:
/// "jaccard 93.20 %", or "-" where there is none.
void cli__table_score(cli_table *table, const ns_json *study, const char *key, const char *head);
/// "93.20 %" of a fraction, and a number with so many decimals; "-" for NaN.
void cli__table_percent(cli_table *table, double fraction);
void cli__table_decimal(cli_table *table, double value, int decimals);
void cli__table_free(cli_table *table);
/// Prints it on stdout and frees it.
ns_status cli__table_print(cli_table *table, ns_error *err);

/* ---- what is known of things (show.c) -------------------------------------------------------- */

/// An opened pack as inspect and import print it; `path` is what it is called.
ns_json *cli__set_json(const data_set *set, const char *path);
ns_status cli__set_print(const data_set *set, const char *path, ns_error *err);
/// What to call image `index`: by its name, or "image 12", which is put into `room`.
const char *cli__image_name(const data_set *set, size_t index, char room[32]);
/// The pack as a page to look at, in the file `out_path` (inspect_html.c).
ns_status cli__set_page(const data_set *set, const char *path, const data_near_duplicates *near,
                        const char *out_path, ns_error *err);
/// A study as search, resume and status print it, from search_status_json(). `store_path` is for
/// the commands it suggests.
/// What of a study's budget is used, and all of it, in the units of its kind.
budget_kind cli__study_spent(const ns_json *study, char used[32], char budget[32]);
void cli__study_print(const ns_json *study, const char *store_path);

/* ---- running a study (run_study.c) ----------------------------------------------------------- */

#define CLI_COMMAND_BYTES 1024

/// The command line for the record, cut when it is very long.
void cli__command_join(int argc, char **argv, char out[CLI_COMMAND_BYTES]);
/// Runs or resumes the study behind a progress line and prints how it stands, also when it was
/// stopped early; then runs `on_finish` (NULL: nothing) unless there was nothing left to run.
/// Returns an exit code.
int cli__study_run(const search_config *config, bool json, const char *on_finish);

/* ---- telling somebody (on_finish.c) ---------------------------------------------------------- */

#define CLI_ON_FINISH_S_MAX 60
/// Runs a command through the shell with how the study stands; `error` is why it ended early, or
/// "". Whatever goes wrong is a warning on stderr.
void cli__on_finish(const char *command, const search_config *config, const char *error);

/// A quota for the models of trials: "5" of them, "500M" or "2G" bytes (units of 1000).
typedef struct cli_quota {
    int count;     // 0: no limit, here and below
    int64_t bytes; //
} cli_quota;
ns_status cli__parse_quota(const char *text, void *value, ns_error *err);
/// Where one was typed it is the configuration's.
void cli__quota_apply(const cli_quota *quota, search_config *config);
#define CLI_OPTION_KEEP(quota)                                                                     \
    {                                                                                              \
        "keep-checkpoints", 0, "N|SIZE",                                                           \
            "Keep at most N models of trials on disk, or SIZE of them (500M, 2G); the best "       \
            "trial's and confirmations stay regardless (default: the Pareto front, at most 16)",   \
            cli__parse_quota, (quota)                                                              \
    }

#define CLI_OPTION_ON_FINISH(command)                                                              \
    {                                                                                              \
        "on-finish", 0, "CMD",                                                                     \
            "Run CMD through the shell when this run of the study ends, with its state in "        \
            "NIGHTSHIFT_STATE, NIGHTSHIFT_TEST_ACCURACY and more, and status --json on stdin; "    \
            "for at most 60 s, which no budget pays for",                                          \
            cli__parse_text, (command)                                                             \
    }

/* ---- trials again (repeat.c) ----------------------------------------------------------------- */

/// What the training of an exported study's trial depended on.
typedef struct cli_repeat {
    int number;
    ns_json *genotype;
    char dataset_sha256[NS_SHA256_HEX_MAX];
    uint64_t seed;
    nn_dtype dtype;
    int thread_count;
    int64_t train_flop, train_ms; // how long, by one of these three; the others are 0
    uint64_t sample_count;
} cli_repeat;
/// Trial `number` of the study in the file `path`; free with cli__repeat_clear.
ns_status cli__repeat_read(const char *path, int number, cli_repeat *out, ns_error *err);
void cli__repeat_clear(cli_repeat *repeat);

/* ---- progress (progress.c) ------------------------------------------------------------------- */

/// One line on stderr about what is going on: redrawn in place on a terminal; else a log line now
/// and then.
typedef struct cli_progress {
    ns_log *log;
    FILE *log_stream;
    bool terminal;
    int64_t start_ms; // ns_clock_ms()
    int64_t shown_ms; // when it was last drawn or logged
} cli_progress;

/// Also makes `progress->log`, whose lines and the progress line do not run into each other.
ns_status cli__progress_start(cli_progress *progress, ns_error *err);
/// Whether it is time to show something new; ask before composing it.
bool cli__progress_due(const cli_progress *progress);
void cli__progress_show(cli_progress *progress, const char *format, ...) NS_PRINTF(2, 3);
#define CLI_BAR_BYTES 13 // 10 characters in brackets
/// A bar for the line of a terminal, "[##........]" for a fifth.
void cli__progress_bar(double fraction, char out[CLI_BAR_BYTES]);
/// Removes the line and closes the log; harmless on a progress of zeros.
void cli__progress_end(cli_progress *progress);
/// "23:59:59", the local time `left_ms` from now.
void cli__progress_finish_time(int64_t left_ms, char out[16]);

/* ---- interruption (stop.c) ------------------------------------------------------------------- */

/// From now on SIGINT and SIGTERM only set a mark; the second of them kills.
void cli__stop_catch(void);
bool cli__stop_asked(void);

/* ---- names (names.c) ------------------------------------------------------------------------- */

#define CLI_NAME_BYTES 65

/// A study's name: letters, digits, '.', '_', '-', at most 64, no '.' first. NS_ERR_USAGE.
ns_status cli__name_check(const char *name, ns_error *err);
/// The last part of `path` without its extension, made a legal name: "../x/my set.nsd" -> "my_set".
void cli__name_from_path(const char *path, char out[CLI_NAME_BYTES]);

#endif
