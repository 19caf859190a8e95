// Which models stay on disk, found out again after each trial at the price of what is new.
//
// What stays follows from all trials (pareto.c), but nearly all of them are out for good: a trial
// that is beaten stays beaten. So each process keeps the numbers of those that are not: the front,
// the best, the anchor's longest and the confirmations. What has finished since is held against them alone, and only files
// of what was in question are removed.
//
// A process that begins has seen nothing and goes through everything once, which also removes what an
// earlier one left behind.

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "search/search_internal.h"

/// Trials in question: shallow copies of the history's rows.
typedef struct question {
    results_trial *row; // by number; the first is the study's, with which costs are compared
    size_t count;
    bool *kept, *in_front; // of each
} question;

static void question_clear(question *q) {
    free(q->row);
    free(q->kept);
    free(q->in_front);
}

/// Those of the keeper, and all that it has not seen.
static ns_status question_new(const search__history *history, question *q, ns_error *err) {
    const search__keeper *keeper = &history->keeper;
    const size_t room = 1 + keeper->count + history->count - keeper->seen_count;
    *q = (question){
        .row = calloc(room, sizeof *q->row), .kept = malloc(room), .in_front = malloc(room)};
    if (q->row == NULL || q->kept == NULL || q->in_front == NULL) {
        question_clear(q);
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold %zu trials", room);
    }
    if (keeper->seen_count > 0 && (keeper->count == 0 || keeper->number[0] != 0)) {
        q->row[q->count++] = history->row[0];
    }
    for (size_t i = 0; i < keeper->count; i++) {
        q->row[q->count++] = history->row[keeper->number[i]];
    }
    for (size_t i = keeper->seen_count; i < history->count; i++) {
        q->row[q->count++] = history->row[i];
    }
    return NS_OK;
}

/// Those of the question that may still matter become the keeper's.
static ns_status remember(search__history *history, const question *q, ns_error *err) {
    search__keeper *keeper = &history->keeper;
    int *number = realloc(keeper->number, (q->count + 1) * sizeof *number);
    if (number == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold %zu numbers of trials", q->count);
    }
    keeper->number = number;
    keeper->count = 0;
    keeper->seen_count = history->settled_count;
    for (size_t i = 0; i < q->count; i++) {
        const bool settled = (size_t)q->row[i].number < history->settled_count;
        if (settled && (q->kept[i] || q->in_front[i])) {
            keeper->number[keeper->count++] = q->row[i].number;
        }
    }
    return NS_OK;
}

static ns_status ask(const search__run *run, question *q, ns_error *err) {
    const search_goal *goal = &run->config->goal;
    NS_TRY(search__front(goal, q->row, q->count, q->in_front, err));
    return search__kept_models(goal, q->row, q->count, q->kept, err);
}

/// Removes what need not stay, where that is wanted.
static ns_status update(const search__run *run, bool removes, int *best, ns_error *err) {
    question q;
    NS_TRY(question_new(run->history, &q, err));
    ns_status status = ask(run, &q, err);
    for (size_t i = 0; status == NS_OK && removes && i < q.count; i++) {
        char path[NS_PATH_MAX];
        if (!q.kept[i] && q.row[i].state == RESULTS_COMPLETE &&
            search__trial_file(run, q.row[i].number, path, NULL) == NS_OK) {
            unlink(path);
        }
    }
    if (status == NS_OK) {
        const int at = search__best_trial(&run->config->goal, q.row, q.count);
        *best = at < 0 ? -1 : q.row[at].number;
        status = remember(run->history, &q, err);
    }
    question_clear(&q);
    return status;
}

ns_status search__keep_models(const search__run *run, int *best, ns_error *err) {
    *best = -1;
    return update(run, true, best, err);
}

ns_status search__is_worth_keeping(const search__run *run, int number,
                                   const results_outcome *outcome, bool *worth, ns_error *err) {
    question q;
    int best = -1;
    size_t mine = 0;
    NS_TRY(update(run, false, &best, err)); // others' files are the supervisor's
    NS_TRY(question_new(run->history, &q, err));
    while (mine < q.count && q.row[mine].number != number) {
        mine++;
    }
    assert(mine < q.count); // it runs, so nobody has seen its end
    q.row[mine].state = RESULTS_COMPLETE;
    q.row[mine].val_accuracy = outcome->val_accuracy;
    q.row[mine].latency_ms = outcome->latency_ms;
    const ns_status status = ask(run, &q, err);
    *worth = status == NS_OK && q.kept[mine];
    question_clear(&q);
    return status;
}

void search__keeper_clear(search__keeper *keeper) {
    free(keeper->number);
    *keeper = (search__keeper){0};
}
