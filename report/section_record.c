// For the record: what it was run with, and the command that repeats it.

#include "report/report_internal.h"

#define RUNS_MAX 20

static void put_fact(html_text *out, const char *name, const char *value) {
    if (value != NULL && value[0] != '\0') {
        html_put(out, "<tr><td>%s</td><td class=\"wrap\"><code>", name);
        html_escaped(out, value);
        html_raw(out, "</code></td></tr>\n");
    }
}

static void put_number(html_text *out, const char *name, const ns_json *object, const char *key) {
    char text[32];
    (void)snprintf(text, sizeof(text), "%lld", (long long)ns_json_int(object, key, 0));
    put_fact(out, name, text);
}

static void put_division(html_text *out, const ns_json *status) {
    char text[96];
    const ns_json *calibration = ns_json_get(status, "calibration");
    if (ns_json_count(calibration) > 0) {
        (void)snprintf(text, sizeof(text), "%lld, of %lld threads each",
                       (long long)ns_json_int(calibration, "workers", 0),
                       (long long)ns_json_int(calibration, "threads_per_worker", 0));
        put_fact(out, "Workers", text);
    }
}

static void put_facts(html_text *out, const report_study *study) {
    const ns_json *status = report__study_of(study);
    html_raw(out, "<div class=\"scroll\"><table>\n");
    put_fact(out, "Sampler", ns_json_string(status, "sampler", NULL));
    put_fact(out, "Target", ns_json_string(status, "target", NULL));
    put_number(out, "Seed", status, "seed");
    put_fact(out, "Numbers", ns_json_string(status, "dtype", NULL));
    put_division(out, status);
    put_fact(out, "Ended by", ns_json_string(status, "stop_reason", NULL));
    put_fact(out, "Data set", ns_json_string(status, "dataset", NULL));
    put_fact(out, "Its SHA-256", ns_json_string(study->record, "dataset_sha256", NULL));
    put_fact(out, "Model", ns_json_string(status, "model", NULL));
    put_fact(out, "SHA-256 of its weights", ns_json_string(status, "weights_sha256", NULL));
    html_raw(out, "</table></div>\n");
}

static void put_run(html_text *out, const ns_json *run) {
    char text[32];
    const int64_t start_ms = ns_json_int(run, "started_unix_ms", 0);
    const int64_t end_ms = ns_json_int(run, "ended_unix_ms", 0);
    html_put(out, "<tr><td>%s</td>", report__date(start_ms, text));
    html_put(out, "<td>%s</td>", end_ms > 0 ? report__time(end_ms - start_ms, text) : "-");
    report__cell_text(out, "word", ns_json_string(run, "host", ""));
    report__cell_text(out, "word", ns_json_string(run, "version", ""));
    report__cell_text(out, "wrap", ns_json_string(run, "platform", ""));
    html_raw(out, "</tr>\n");
}

static void put_runs(html_text *out, const ns_json *runs) {
    html_raw(out, "<div class=\"scroll\"><table>\n<tr><th>run of</th><th>took</th>"
                  "<th class=\"word\">host</th><th class=\"word\">nightshift</th>"
                  "<th class=\"word\">with</th></tr>\n");
    int count = 0;
    for (const ns_json *at = ns_json_first(runs); at != NULL && count < RUNS_MAX;
         at = ns_json_next(at), count++) {
        put_run(out, at);
    }
    html_raw(out, "</table></div>\n");
}

void report__section_record(html_text *out, const report_study *study) {
    const ns_json *runs = ns_json_get(study->record, "runs");
    const ns_json *first = ns_json_first(runs);
    report__head(out, "record", "For the record");
    if (first != NULL) {
        html_raw(out, "<p>The command that repeats this study:</p>\n<pre><code>");
        html_escaped(out, ns_json_string(first, "command", ""));
        html_raw(out, "</code></pre>\n");
        if (ns_json_int(report__study_of(study), "budget_flop", 0) <= 0) {
            html_raw(out, "<p class=\"quiet\">A budget of time is used up by how fast the machine "
                          "is that day, so a repetition finds something alike, not the same. With "
                          "a budget of compute (tflop) and one worker it is the same.</p>\n");
        }
        put_runs(out, runs);
    }
    put_facts(out, study);
}
