// The head of a report: what the study found, how sure that is, what it cost, at one glance.

#include <math.h>
#include <string.h>

#include "report/report_internal.h"

static const char *file_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void tile_begin(html_text *out, const char *title) {
    html_put(out, "<div class=\"tile\"><dt>%s</dt><dd>", title);
}

static void tile_end(html_text *out) {
    html_raw(out, "</dd></div>\n");
}

/* ---- the number ------------------------------------------------------------------------------ */

/// Whether the study is judged by accuracy, a share of the images.
static bool is_share(const report_study *study) {
    const char *usual = search_score_name(false);
    return strcmp(ns_json_string(report__study_of(study), "score_name", usual), usual) == 0;
}

/// The interval of the evaluation; of a share, without one, Wilson's. False: nothing is known.
static bool interval_of(const report_study *study, double score, int64_t count, double *low,
                        double *high) {
    const ns_json *intervals = ns_json_get(study->evaluation, "intervals");
    const ns_json *interval = ns_json_get(intervals, is_share(study) ? "accuracy" : "score");
    *low = ns_json_value_number(ns_json_at(interval, 0), (double)NAN);
    *high = ns_json_value_number(ns_json_at(interval, 1), (double)NAN);
    if ((isnan(*low) || isnan(*high)) && is_share(study)) {
        report__wilson(score, count, low, high);
    }
    return !isnan(*low) && !isnan(*high);
}

static void put_tested(html_text *out, const report_study *study, double accuracy) {
    char text[32];
    double low = 0;
    double high = 0;
    const int64_t count = ns_json_int(report__study_of(study), "test_images", 0);
    html_put(out, "<p class=\"headline\">%s</p>\n", report__percent(accuracy, count, text));
    html_put(out, "<p class=\"interval\">%s on the test images",
             report__score(report__study_of(study)));
    if (count > 0 && interval_of(study, accuracy, count, &low, &high)) {
        html_put(out, "; 95 %% interval %s", report__percent(low, count, text));
        html_put(out, " to %s", report__percent(high, count, text));
    }
    if (count > 0) {
        html_put(out, ", from %s images that took no part in the search",
                 ns_group_digits(count, text));
    }
    html_raw(out, ".</p>\n");
}

static void put_untested(html_text *out, const report_study *study) {
    char text[32];
    const ns_json *status = report__study_of(study);
    const double best = ns_json_number(status, "best_val_accuracy", (double)NAN);
    html_put(out, "<p class=\"headline\">%s</p>\n", report__percent(best, 0, text));
    html_put(out, "<p class=\"interval\">the best %s on validation images so far. ",
             report__score(status));
    html_escaped(out, study->why_untested);
    html_raw(out, "</p>\n");
}

/* ---- the tiles ------------------------------------------------------------------------------- */

static void put_spent(html_text *out, const ns_json *status) {
    char text[32];
    tile_begin(out, "Node time");
    html_put(out, "%s", report__time(ns_json_int(status, "node_ms_used", 0), text));
    const int64_t budget_ms = ns_json_int(status, "budget_node_ms", 0);
    const double budget_tflop = ns_json_number(status, "budget_flop", 0) / 1e12;
    if (budget_ms > 0) {
        html_put(out, "<small>of %s</small>", report__time(budget_ms, text));
    } else if (budget_tflop > 0) {
        html_put(out, "<small>%.4g of %.4g tflop</small>",
                 ns_json_number(status, "flop_used", 0) / 1e12, budget_tflop);
    }
    tile_end(out);
    tile_begin(out, "Cost");
    html_put(out, "%.2f<small>at %.2f per node-hour</small>", ns_json_number(status, "cost", 0),
             ns_json_number(status, "price", 0));
    tile_end(out);
}

static void put_trials(html_text *out, const ns_json *status) {
    char text[32];
    const ns_json *states = ns_json_get(status, "trials");
    int64_t count = 0;
    for (size_t i = 0; i < ns_json_count(states); i++) {
        count += ns_json_int(states, ns_json_key_at(states, i), 0);
    }
    tile_begin(out, "Trials");
    html_put(out, "%s", ns_group_digits(count, text));
    html_put(out, "<small>%s complete", ns_group_digits(ns_json_int(states, "COMPLETE", 0), text));
    const int64_t pruned_count = ns_json_int(states, "PRUNED", 0);
    const int64_t failed_count = ns_json_int(states, "FAIL", 0);
    if (pruned_count > 0) {
        html_put(out, ", %s stopped early", ns_group_digits(pruned_count, text));
    }
    if (failed_count > 0) {
        html_put(out, ", %s failed", ns_group_digits(failed_count, text));
    }
    html_raw(out, "</small>");
    tile_end(out);
}

static void put_model(html_text *out, const ns_json *status) {
    char text[32];
    const int64_t params = ns_json_int(status, "params", 0);
    const double latency_ms = ns_json_number(status, "latency_ms", (double)NAN);
    if (params > 0) {
        tile_begin(out, "Parameters");
        html_put(out, "%s", ns_group_digits(params, text));
        html_put(out, "<small>%s MB of weights</small>",
                 report__figure(ns_json_number(status, "mbytes", (double)NAN), text));
        tile_end(out);
    }
    if (!isnan(latency_ms)) {
        tile_begin(out, "One image takes");
        html_put(out, "%s ms", report__figure(latency_ms, text));
        html_put(out, "<small>on one core; %s on all</small>",
                 report__figure(ns_json_number(status, "latency_ms_all_cores", (double)NAN), text));
        tile_end(out);
    }
}

static void put_validation(html_text *out, const ns_json *status) {
    char text[32];
    const double accuracy = ns_json_number(status, "val_accuracy", (double)NAN);
    if (isnan(accuracy)) {
        return;
    }
    tile_begin(out, "Validation");
    html_put(out, "%s<small>%s</small>", report__percent(accuracy, 0, text),
             search_trained_on_validation(status) ? "of the winner, before retraining"
                                                  : "of the final model");
    tile_end(out);
}

void report__section_headline(html_text *out, const report_study *study) {
    const ns_json *status = report__study_of(study);
    const double accuracy = ns_json_number(status, "test_accuracy", (double)NAN);
    html_raw(out, "<header>\n<h1>Study ");
    html_escaped(out, ns_json_string(status, "study", ""));
    html_raw(out, " on ");
    html_escaped(out, file_of(ns_json_string(status, "dataset", "")));
    html_raw(out, "</h1>\n");
    if (isnan(accuracy)) {
        put_untested(out, study);
    } else {
        put_tested(out, study, accuracy);
    }
    html_raw(out, "<dl class=\"tiles\">\n");
    put_spent(out, status);
    put_trials(out, status);
    put_model(out, status);
    put_validation(out, status);
    html_raw(out, "</dl>\n</header>\n");
}
