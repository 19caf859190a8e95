// nightshift: the table of commands, and the two questions that need none of them.

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_internal.h"

typedef struct command {
    const char *name;
    const char *summary;
    cli_run_fn run;
} command;

static const command commands[] = {
    {"import", "pack labelled images into one file", cli__import},
    {"inspect", "show what is in a pack", cli__inspect},
    {"search", "find, train and export the best network a budget can buy", cli__search},
    {"resume", "go on with a study that was stopped or killed", cli__resume},
    {"space", "show what can be searched", cli__space},
    {"status", "show how a study stands", cli__status},
    {"trials", "list the trials of a study", cli__trials},
    {"studies", "list the studies of a store", cli__studies},
    {"compare", "compare studies, and test whether their models differ", cli__compare},
    {"report", "write a study as a page, or its plots", cli__report},
    {"train", "train one network", cli__train},
    {"evaluate", "judge a model on a split of a pack", cli__evaluate},
    {"predict", "label images with a model", cli__predict},
    {"export", "write a model in another format", cli__export},
    {"gc", "remove files that no study needs any more", cli__gc},
    {"bench", "measure how fast this machine trains and classifies", cli__bench},
};

static void print_help(FILE *stream) {
    (void)fprintf(stream, "Usage: nightshift COMMAND [WORD...]\n"
                          "Finds the best CNN for labelled images that a budget of node-hours can "
                          "buy.\n\n");
    for (size_t i = 0; i < NS_COUNT_OF(commands); i++) {
        (void)fprintf(stream, "  %-9s %s\n", commands[i].name, commands[i].summary);
    }
    (void)fprintf(stream, "\nnightshift COMMAND --help explains a command; nightshift --version "
                          "says what it is built on.\n"
                          "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 stopped early but "
                          "resumable.\n");
}

static int print_version(void) {
    const nn_platform platform = nn_platform_describe();
    (void)printf("nightshift %s (%s, %s, %d threads, %s)\n", NS_VERSION, platform.library,
                 platform.isa, ns_cpu_count(), platform.numeric_types);
    return CLI_DONE;
}

/* ---- the nearest command to a misspelt one --------------------------------------------------- */

#define WORD_MAX 16

static size_t least(size_t a, size_t b, size_t c) {
    const size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

// Levenshtein (1966): insertions, deletions and replacements from one word to the other.
static size_t edit_distance(const char *from, const char *to) {
    size_t row[WORD_MAX + 1]; // distances from the part of `from` seen so far to each part of `to`
    const size_t length = strlen(to);
    for (size_t j = 0; j <= length; j++) {
        row[j] = j;
    }
    for (size_t i = 1; from[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            const size_t replaced = diagonal + (from[i - 1] != to[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, row[j] + 1, row[j - 1] + 1);
        }
    }
    return row[length];
}

static int refuse_unknown(const char *word) {
    const command *nearest = NULL;
    size_t nearest_distance = 3; // further away is another word
    for (size_t i = 0; i < NS_COUNT_OF(commands); i++) {
        const size_t distance = edit_distance(word, commands[i].name);
        if (distance < nearest_distance) {
            nearest_distance = distance;
            nearest = &commands[i];
        }
    }
    if (nearest != NULL) {
        (void)fprintf(stderr,
                      "nightshift: cannot run \"%s\": there is no such command; did you mean "
                      "\"%s\"?\n",
                      word, nearest->name);
    } else {
        (void)fprintf(stderr,
                      "nightshift: cannot run \"%s\": there is no such command; see nightshift "
                      "--help\n",
                      word);
    }
    return CLI_USAGE;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static int run_command(int argc, char **argv) {
    for (size_t i = 0; i < NS_COUNT_OF(commands); i++) {
        if (strcmp(argv[0], commands[i].name) == 0) {
            return commands[i].run(argc, argv);
        }
    }
    return refuse_unknown(argv[0]);
}

/// Makes waiting threads sleep soon (nn/threads.c says why and how long). OpenMP's library reads its
/// environment while it is loaded, before main(), so the program begins again; once, and not at all
/// where the user has said how threads are to wait or the system does not tell our name.
static void start_with_short_waits(char **argv) {
    char path[NS_PATH_MAX] = {0};
    if (getenv("OMP_WAIT_POLICY") == NULL && getenv("GOMP_SPINCOUNT") == NULL &&
        readlink("/proc/self/exe", path, sizeof path - 1) > 0 &&
        setenv("GOMP_SPINCOUNT", "10000", 0) == 0) {
        (void)execv(path, argv); // comes back only when it cannot; then waits are long
    }
}

int main(int argc, char **argv) {
    start_with_short_waits(argv);
    // A reader that went away is a failed write like any other, not a reason to die in a search.
    (void)signal(SIGPIPE, SIG_IGN);
    int code = CLI_DONE;
    if (argc < 2) {
        print_help(stderr);
        code = CLI_USAGE;
    } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
    } else if (strcmp(argv[1], "--version") == 0) {
        code = print_version();
    } else {
        code = run_command(argc - 1, argv + 1);
    }
    return cli__finish_output(code);
}
