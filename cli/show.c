// How data sets and studies look to a person: what several commands print.

#include <math.h>
#include <string.h>

#include "cli/cli_internal.h"

#define DROPPED_SHOWN_MAX 20 // --json lists them all

/* ---- data sets ------------------------------------------------------------------------------- */

static ns_json *label_json(const data_set *set, int label) {
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "label", data_describe(set)->labels[label]);
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        ns_json_set_int(json, data_split_name((data_split)split),
                        (int64_t)data_label_count(set, (data_split)split, label));
    }
    return json;
}

/// The mean over all images.
static double labels_per_image(const data_set *set) {
    const data_info *info = data_describe(set);
    size_t sum = 0;
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        for (int label = 0; label < info->label_count; label++) {
            sum += data_label_count(set, (data_split)split, label);
        }
    }
    return (double)sum / (double)info->image_count;
}

ns_json *cli__set_json(const data_set *set, const char *path) {
    const data_info *info = data_describe(set);
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "file", path);
    ns_json_set_int(json, "images", (int64_t)info->image_count);
    ns_json_set_bool(json, "multi_label", info->multi_label);
    if (info->multi_label) {
        ns_json_set_number(json, "labels_per_image", labels_per_image(set));
    }
    ns_json_set_int(json, "width", info->width);
    ns_json_set_int(json, "height", info->height);
    ns_json_set_int(json, "channels", info->channels);
    ns_json *splits = ns_json_set(json, "splits", ns_json_object_new());
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        ns_json_set_int(splits, data_split_name((data_split)split),
                        (int64_t)info->split_count[split]);
    }
    ns_json *labels = ns_json_set(json, "labels", ns_json_array_new());
    for (int label = 0; label < info->label_count; label++) {
        ns_json_add(labels, label_json(set, label));
    }
    ns_json *mean = ns_json_set(json, "mean", ns_json_array_new());
    ns_json *deviation = ns_json_set(json, "deviation", ns_json_array_new());
    for (int channel = 0; channel < info->channels; channel++) {
        ns_json_add_number(mean, (double)info->mean[channel]);
        ns_json_add_number(deviation, (double)info->deviation[channel]);
    }
    ns_json_set_string(json, "source", info->source);
    ns_json_set_string(json, "sha256", info->sha256);
    ns_json_set(json, "warnings", data_warnings(set));
    ns_json *dropped = ns_json_set(json, "dropped", ns_json_array_new());
    for (size_t i = 0; i < data_dropped_count(set); i++) {
        const data_dropped one = data_dropped_at(set, i);
        ns_json *entry = ns_json_add(dropped, ns_json_object_new());
        ns_json_set_string(entry, "file", one.file);
        ns_json_set_string(entry, "reason", one.reason);
    }
    return json;
}

static void count_cell(cli_table *table, size_t count) {
    char digits[32];
    cli__table_cell(table, "%s", ns_group_digits((int64_t)count, digits));
}

static ns_status print_labels(const data_set *set, ns_error *err) {
    const data_info *info = data_describe(set);
    cli_table *table = cli__table_new("lrrr");
    cli__table_cell(table, "label");
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        cli__table_cell(table, "%s", data_split_name((data_split)split));
    }
    for (int label = 0; label < info->label_count; label++) {
        cli__table_cell(table, "%s", info->labels[label]);
        for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
            count_cell(table, data_label_count(set, (data_split)split, label));
        }
    }
    cli__table_cell(table, info->multi_label ? "all images" : "all");
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        count_cell(table, info->split_count[split]);
    }
    return cli__table_print(table, err);
}

static void print_values(const char *name, const float *values, int count) {
    (void)printf("%s", name);
    for (int i = 0; i < count; i++) {
        (void)printf(" %.1f", (double)values[i]);
    }
}

static void print_dropped(const data_set *set) {
    const size_t count = data_dropped_count(set);
    if (count == 0) {
        return;
    }
    (void)printf("\n%zu dropped:\n", count);
    for (size_t i = 0; i < count && i < DROPPED_SHOWN_MAX; i++) {
        const data_dropped one = data_dropped_at(set, i);
        (void)printf("  %s: %s\n", one.file, one.reason);
    }
    if (count > DROPPED_SHOWN_MAX) {
        (void)printf("  and %zu more; inspect --json lists them all\n", count - DROPPED_SHOWN_MAX);
    }
}

static void print_warnings(const data_set *set) {
    ns_json *warnings = data_warnings(set);
    for (const ns_json *one = ns_json_first(warnings); one != NULL; one = ns_json_next(one)) {
        (void)printf("%swarning: %s\n", one == ns_json_first(warnings) ? "\n" : "",
                     ns_json_value_string(one, ""));
    }
    ns_json_free(warnings);
}

ns_status cli__set_print(const data_set *set, const char *path, ns_error *err) {
    const data_info *info = data_describe(set);
    char digits[32];
    (void)printf("%s: %s images, %dx%d %s, %d labels", path,
                 ns_group_digits((int64_t)info->image_count, digits), info->width, info->height,
                 info->channels == 1 ? "grey" : "RGB", info->label_count);
    if (info->multi_label) {
        (void)printf(", several an image (%.2f on average)", labels_per_image(set));
    }
    (void)printf("\n\n");
    NS_TRY(print_labels(set, err));
    print_values("\nmean", info->mean, info->channels);
    print_values(", deviation", info->deviation, info->channels);
    (void)printf(" of train pixels (0-255)\nsource %s\nsha256 %s\n", info->source, info->sha256);
    print_warnings(set);
    print_dropped(set);
    return NS_OK;
}

const char *cli__image_name(const data_set *set, size_t index, char room[32]) {
    const char *name = data_name(set, index);
    (void)snprintf(room, 32, "image %zu", index);
    return name != NULL ? name : room;
}

/* ---- studies --------------------------------------------------------------------------------- */

/// "validation accuracy  93.57 %", or what else the study's score is called.
static void print_score(const char *of, const ns_json *study, const char *key) {
    const double value = ns_json_number(study, key, (double)NAN);
    char name[64];
    (void)snprintf(name, sizeof(name), "%s %s", of,
                   ns_json_string(study, "score_name", "accuracy"));
    if (!isnan(value)) {
        (void)printf("%-21s%.2f %%\n", name, 100 * value);
    }
}

static void print_winner(const ns_json *study) {
    const ns_json *winner = ns_json_get(study, "winner");
    const size_t count = ns_json_count(winner);
    for (size_t i = 0; i < count; i++) {
        const char *key = ns_json_key_at(winner, i);
        char value[64];
        ns_json_value_text(ns_json_get(winner, key), value, sizeof(value));
        (void)printf("%s%s=%s",
                     i == 0       ? "winner               "
                     : i % 4 == 0 ? ",\n                     "
                                  : ", ",
                     key, value);
    }
    (void)printf("%s", count > 0 ? "\n" : "");
    const int64_t params = ns_json_int(study, "params", 0);
    if (params > 0) {
        char digits[32];
        (void)printf("%-21s%s parameters, %.2f MB, %.1f MFLOPs an image\n", "size",
                     ns_group_digits(params, digits), ns_json_number(study, "mbytes", 0),
                     (double)ns_json_int(study, "flops", 0) / 1e6);
    }
}

/// What the study wants besides accuracy, where it wants anything.
static void print_goal(const ns_json *study) {
    const char *target = ns_json_string(study, "target", "accuracy");
    const double latency_ms = ns_json_number(study, "max_latency_ms", 0);
    const int64_t params = ns_json_int(study, "max_params", 0);
    const double mbytes = ns_json_number(study, "max_mbytes", 0);
    if (strcmp(target, "accuracy") == 0 && latency_ms == 0 && params == 0 && mbytes == 0) {
        return;
    }
    char digits[32];
    (void)printf("%-21s%s", "target", target);
    if (latency_ms > 0) {
        (void)printf(", at most %g ms an image", latency_ms);
    }
    if (params > 0) {
        (void)printf(", at most %s parameters", ns_group_digits(params, digits));
    }
    if (mbytes > 0) {
        (void)printf(", at most %g MB", mbytes);
    }
    (void)printf("\n");
}

static void print_latency(const ns_json *study) {
    const double one = ns_json_number(study, "latency_ms", (double)NAN);
    const double all = ns_json_number(study, "latency_ms_all_cores", (double)NAN);
    if (!isnan(one) && !isnan(all)) {
        const double limit_ms = ns_json_number(study, "max_latency_ms", 0);
        (void)printf("%-21s%.3f ms an image on one core%s, %.3f on all\n", "latency", one,
                     limit_ms > 0 && one > limit_ms ? " (above the limit)" : "", all);
    }
}

/// What retraining has made of the winner.
static void print_retraining(const ns_json *study) {
    const ns_json *plan = ns_json_get(study, "retrain");
    const double factor = ns_json_number(plan, "width_factor", 1);
    if (strcmp(ns_json_string(study, "model_origin", ""), "retrain") != 0) {
        return;
    }
    (void)printf("%-21s", "retrained");
    if (factor > 1) {
        (void)printf("%g times wider, ", factor);
    }
    (void)printf("on train%s images%s\n",
                 ns_json_bool(plan, "with_validation", false) ? " and validation" : "",
                 ns_json_bool(plan, "mirror_average", false)
                     ? "; averages over image and mirror image"
                     : "");
}

static void print_trials(const ns_json *study) {
    const ns_json *trials = ns_json_get(study, "trials");
    (void)printf("%-21s", "trials");
    const char *comma = "";
    for (size_t i = 0; i < ns_json_count(trials); i++) {
        const char *state = ns_json_key_at(trials, i);
        const int64_t count = ns_json_int(trials, state, 0);
        if (count > 0) {
            (void)printf("%s%lld %s", comma, (long long)count, state);
            comma = ", ";
        }
    }
    (void)printf("%s\n", *comma == '\0' ? "none" : "");
}

/// How calibration divided the machine, and what else it measured.
static void print_division(const ns_json *study) {
    const ns_json *calibration = ns_json_get(study, "calibration");
    const ns_json *splits = ns_json_get(calibration, "splits");
    if (ns_json_count(calibration) == 0) {
        return;
    }
    (void)printf("%-21s%lld x %lld threads", "workers",
                 (long long)ns_json_int(calibration, "workers", 0),
                 (long long)ns_json_int(calibration, "threads_per_worker", 0));
    for (size_t i = 0; i < ns_json_count(splits); i++) {
        const ns_json *split = ns_json_at(splits, i);
        const double images_per_s = ns_json_number(split, "images_per_s", 0);
        if (images_per_s > 0) {
            (void)printf("; %lld x %lld: %.0f images/s",
                         (long long)ns_json_int(split, "workers", 0),
                         (long long)ns_json_int(split, "threads_per_worker", 0), images_per_s);
        }
    }
    const int64_t took_ms = ns_json_int(calibration, "took_ms", 0);
    if (took_ms > 0) {
        (void)printf("; calibrated in %.1f s", (double)took_ms / 1000);
    }
    (void)printf("\n");
}

budget_kind cli__study_spent(const ns_json *study, char used[32], char budget[32]) {
    const int64_t flop = ns_json_int(study, "budget_flop", 0);
    const bool compute = flop > 0;
    const budget_kind kind = compute ? BUDGET_COMPUTE : BUDGET_TIME;
    const budget_amount all = {kind, compute ? flop / BUDGET_FLOP_PER_MS
                                             : ns_json_int(study, "budget_node_ms", 0)};
    const budget_amount part = {kind, compute
                                          ? ns_json_int(study, "flop_used", 0) / BUDGET_FLOP_PER_MS
                                          : ns_json_int(study, "node_ms_used", 0)};
    budget_amount_format(&part, used);
    budget_amount_format(&all, budget);
    return kind;
}

/// What each phase has used of what it was given.
static void print_plan(const ns_json *study) {
    const ns_json *phases = ns_json_get(ns_json_get(study, "plan"), "phases");
    const char *comma = "";
    for (size_t i = 0; i < ns_json_count(phases); i++) {
        const char *name = ns_json_key_at(phases, i);
        const ns_json *phase = ns_json_get(phases, name);
        const double planned_s = (double)ns_json_int(phase, "planned_node_ms", 0) / 1000;
        const double planned_flop = (double)ns_json_int(phase, "planned_flop", 0);
        const double used_s = (double)ns_json_int(phase, "used_node_ms", 0) / 1000;
        const char *head = *comma == '\0' ? "plan                 " : comma;
        if (planned_flop > 0) {
            (void)printf("%s%s %.2f tflop in %.1f s", head, name, planned_flop / 1e12, used_s);
        } else if (planned_s + used_s > 0) {
            (void)printf("%s%s %.1f of %.1f s", head, name, used_s, planned_s);
        } else {
            continue;
        }
        comma = ", ";
    }
    (void)printf("%s", *comma == '\0' ? "" : "\n");
}

static void print_rungs(const ns_json *study) {
    const ns_json *plan = ns_json_get(study, "plan");
    const ns_json *rungs = ns_json_get(plan, "rungs");
    const bool compute = ns_json_int(study, "budget_flop", 0) > 0;
    for (size_t i = 0; i < ns_json_count(rungs); i++) {
        const ns_json *rung = ns_json_at(rungs, i);
        const int64_t trial_ms = ns_json_int(rung, "trial_ms", 0);
        (void)printf("%s%lld trials of ", i == 0 ? "ladder               " : ", ",
                     (long long)ns_json_int(rung, "trials", 0));
        if (compute) {
            (void)printf("%.2f tflop", (double)trial_ms * (double)BUDGET_FLOP_PER_MS / 1e12);
        } else {
            (void)printf("%.1f s", (double)trial_ms / 1000);
        }
    }
    if (ns_json_count(rungs) > 0) {
        (void)printf("; confirm %lld networks with %lld new seeds\n",
                     (long long)ns_json_int(plan, "confirm_networks", 0),
                     (long long)ns_json_int(plan, "confirm_seeds", 0));
    }
}

/// Whether there is a plan, and no trial in it.
static bool is_without_search(const ns_json *study) {
    const ns_json *rungs = ns_json_get(ns_json_get(study, "plan"), "rungs");
    return rungs != NULL && ns_json_count(rungs) == 0;
}

/// Where it searched, unless that is the default space, and why it stopped searching.
static void print_search(const ns_json *study) {
    const char *space = ns_json_string(study, "space", NULL);
    const char *end = ns_json_string(study, "search_end", NULL);
    if (space != NULL && strcmp(space, "default") != 0) {
        (void)printf("%-21s%s\n", "space", space);
    }
    if (end != NULL) {
        (void)printf("%-21s%s\n", "search ended",
                     strcmp(end, "converged") == 0   ? "early: more trials were not expected to pay"
                     : strcmp(end, "exhausted") == 0 ? "early: nothing new was left to try"
                                                     : "with its share of the budget");
    } else if (is_without_search(study)) {
        (void)printf("%-21s%s\n", "search",
                     "none: the budget has no room for a few trials that would tell anything");
    }
}

/// How the winner was chosen.
static void print_confirmation(const ns_json *study) {
    const ns_json *confirmation = ns_json_get(study, "confirmation");
    const ns_json *rivals = ns_json_get(confirmation, "rivals");
    const int64_t winner = ns_json_int(confirmation, "winner", -1);
    for (size_t i = 0; i < ns_json_count(rivals); i++) {
        const ns_json *rival = ns_json_at(rivals, i);
        const int64_t number = ns_json_int(rival, "trial", -1);
        (void)printf(
            "%-21s%s %lld%s: %.2f %% over %lld seeds, %.2f +- %.2f behind, %.0f images/s\n",
            i == 0 ? "confirmed" : "", number == winner ? "winner" : "trial", (long long)number,
            ns_json_bool(rival, "anchor", false) ? " (anchor)" : "",
            100 * ns_json_number(rival, "val_accuracy", 0),
            (long long)ns_json_int(rival, "seeds", 0), 100 * ns_json_number(rival, "difference", 0),
            100 * ns_json_number(rival, "standard_error", 0),
            ns_json_number(rival, "images_per_s", 0));
    }
}

static void print_spent(const ns_json *study) {
    char used[32];
    char budget[32];
    char node_time[32];
    if (cli__study_spent(study, used, budget) == BUDGET_COMPUTE) {
        (void)printf("%-21s%s of %s\n", "compute", used, budget);
    }
    budget_format(ns_json_int(study, "node_ms_used", 0), node_time);
    const bool limited = ns_json_int(study, "budget_node_ms", 0) > 0;
    (void)printf("%-21s%s%s%s; %.2f at %.2f per node-hour\n", "node time", node_time,
                 limited ? " of " : "", limited ? budget : "", ns_json_number(study, "cost", 0),
                 ns_json_number(study, "price", 0));
}

static void print_word(const char *name, const ns_json *study, const char *key) {
    const char *text = ns_json_string(study, key, NULL);
    if (text != NULL) {
        (void)printf("%-21s%s\n", name, text);
    }
}

// What to type next.
static void print_next(const ns_json *study, const char *store_path) {
    const char *name = ns_json_string(study, "study", "");
    const char *state = ns_json_string(study, "state", "");
    const char *model = ns_json_string(study, "model", NULL);
    const bool default_store = strcmp(store_path, CLI_STORE_DEFAULT) == 0;
    if (strcmp(state, "COMPLETE") == 0 && model != NULL) {
        (void)printf("\nnext: nightshift predict %s IMAGE...\n"
                     "      nightshift evaluate %s %s\n",
                     model, model, ns_json_string(study, "dataset", "SET.nsd"));
    } else if (strcmp(state, "INTERRUPTED") == 0) {
        (void)printf("\nnext: nightshift resume %s%s%s\n", name, default_store ? "" : " --store ",
                     default_store ? "" : store_path);
    }
}

static void print_warm_start(const ns_json *study) {
    const ns_json *warm = ns_json_get(study, "warm_start");
    if (ns_json_is_object(warm)) {
        (void)printf("%-21s%lld points of %s, of %s data set\n", "began with",
                     (long long)ns_json_int(warm, "points", 0), ns_json_string(warm, "from", ""),
                     ns_json_bool(warm, "same_data", false) ? "the same" : "another");
    }
}

void cli__study_print(const ns_json *study, const char *store_path) {
    const char *reason = ns_json_string(study, "stop_reason", NULL);
    (void)printf("%-21s%s\n", "study", ns_json_string(study, "study", ""));
    (void)printf("%-21s%s%s%s%s%s\n", "state", ns_json_string(study, "state", ""), ", phase ",
                 ns_json_string(study, "phase", ""), reason != NULL ? ", stopped by " : "",
                 reason != NULL ? reason : "");
    print_word("data set", study, "dataset");
    print_trials(study);
    print_score("validation", study, "best_val_accuracy");
    print_score("test", study, "test_accuracy");
    print_goal(study);
    print_warm_start(study);
    print_winner(study);
    print_latency(study);
    print_search(study);
    print_confirmation(study);
    print_retraining(study);
    print_spent(study);
    print_plan(study);
    print_rungs(study);
    print_division(study);
    print_word("model", study, "model");
    print_word("onnx", study, "onnx");
    print_next(study, store_path);
}
