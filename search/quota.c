// A quota for the models of trials: so many of them, or so many bytes.
//
// Which models are worth a place on the disk is decided in pareto.c; here some of those give way.
// What the study itself may need always stays: the best trial's model, which is the one to export
// if nothing else is left of the budget; those of confirmations and the anchor's longest, of which
// the winner will be one; and that of a trial that is not settled yet. Of the rest stay, by
// objective, as many as the quota has room for beside these.

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "search/ladder.h"
#include "search/search_internal.h"

/// A file with what its trial is worth.
typedef struct holding {
    const search__study_file *file;
    double objective; // infinite: it has to stay
} holding;

static double worth(const search__run *run, int number, int best) {
    const search__history *history = run->history;
    if (number == best || (size_t)number >= history->count) {
        return INFINITY;
    }
    const results_trial *trial = &history->row[number];
    if (trial->state != RESULTS_COMPLETE || trial->purpose == RESULTS_CONFIRM ||
        search__root_of(trial) == 0) {
        return INFINITY;
    }
    const double objective = search__objective(&run->config->goal, &history->reference, trial);
    return isnan(objective) ? -INFINITY : objective;
}

static int by_worth(const void *left, const void *right) {
    const holding *a = left;
    const holding *b = right;
    if (a->objective != b->objective) {
        return a->objective > b->objective ? -1 : 1;
    }
    return a->file->number < b->file->number ? -1 : 1;
}

static void keep_within(const search__run *run, const holding *holdings, size_t count) {
    const search_config *config = run->config;
    int64_t kept_bytes = 0;
    int kept_count = 0;
    for (size_t i = 0; i < count; i++) {
        const search__study_file *file = holdings[i].file;
        const bool fits =
            (config->keep_count == 0 || kept_count < config->keep_count) &&
            (config->keep_bytes == 0 || kept_bytes + file->size_bytes <= config->keep_bytes);
        if (fits || holdings[i].objective == (double)INFINITY) {
            kept_bytes += file->size_bytes;
            kept_count++;
        } else {
            search__file_remove(run, file->name);
        }
    }
}

ns_status search__quota_apply(const search__run *run, int best, ns_error *err) {
    search__study_file *files = NULL;
    size_t file_count = 0;
    if (run->config->keep_count == 0 && run->config->keep_bytes == 0) {
        return NS_OK;
    }
    NS_TRY(search__study_files(run->dir, &files, &file_count, err));
    holding *holdings = calloc(file_count + 1, sizeof(*holdings));
    size_t count = 0;
    for (size_t i = 0; holdings != NULL && i < file_count; i++) {
        if (files[i].kind == SEARCH__FILE_TRIAL) {
            holdings[count++] = (holding){&files[i], worth(run, files[i].number, best)};
        }
    }
    if (holdings != NULL) {
        qsort(holdings, count, sizeof(*holdings), by_worth);
        keep_within(run, holdings, count);
    }
    const bool failed = holdings == NULL;
    free(holdings);
    free(files);
    return failed ? ns_fail(err, NS_ERR_MEMORY, "cannot weigh the models of a study") : NS_OK;
}
