// A whole report from small documents and a data set whose labels are hostile. The page stays in this
// test's folder, where a browser opens it (test_browser.py).

#include <math.h>
#include <string.h>

#include "report/report_internal.h"
#include "tests/ns_test.h"

#define HOSTILE "<img src=x onerror=alert(1)>"
#define IMAGES  12 // a label

static const char *const label_names[] = {HOSTILE, "it's \"round\" & flat", "plain"};

/* ---- material -------------------------------------------------------------------------------- */

static void make_image(const char *dir, int label, int index) {
    uint8_t pixels[16 * 16];
    uint8_t *png = NULL;
    size_t size_bytes = 0;
    char path[NS_PATH_MAX];
    ns_error err = {0};
    for (int i = 0; i < 16 * 16; i++) {
        pixels[i] = (uint8_t)(i * (label + 2) + 7 * index);
    }
    assert_ok(data_png_encode(pixels, 1, 16, 16, &png, &size_bytes, &err), &err);
    (void)snprintf(path, sizeof(path), "%s/%d.png", dir, index);
    assert_ok(ns_file_write(path, png, size_bytes, &err), &err);
    free(png);
}

static data_set *make_set(void) {
    ns_error err = {0};
    data_set *set = NULL;
    for (int label = 0; label < 3; label++) {
        char dir[256];
        (void)snprintf(dir, sizeof(dir), "source/%s", label_names[label]);
        assert_ok(ns_dir_make(dir, &err), &err);
        for (int i = 0; i < IMAGES; i++) {
            make_image(dir, label, i);
        }
    }
    data_import_options options = data_import_options_default();
    assert_ok(data_import("source", "set.nsd", &options, &err), &err);
    assert_ok(data_open("set.nsd", &set, &err), &err);
    return set;
}

static void add_curve(ns_json *to, double shift) {
    ns_json *precision = ns_json_set(to, "precision", ns_json_array_new());
    ns_json *recall = ns_json_set(to, "recall", ns_json_array_new());
    for (int i = 0; i <= 100; i++) {
        ns_json_add_number(precision, i == 100 ? (double)NAN : 0.5 + shift + 0.003 * i);
        ns_json_add_number(recall, 1 - 0.009 * i - shift);
    }
}

static ns_json *make_evaluation(void) {
    ns_json *json = ns_json_object_new();
    ns_json_set_number(json, "accuracy", 0.75);
    ns_json_set_int(json, "count", 2000);
    ns_json_set_number(json, "ece", 0.0123);
    ns_json *labels = ns_json_set(json, "labels", ns_json_array_new());
    ns_json *per_label = ns_json_set(json, "per_label", ns_json_array_new());
    ns_json *curves = ns_json_set(json, "curves", ns_json_object_new());
    ns_json *threshold = ns_json_set(curves, "threshold", ns_json_array_new());
    for (int i = 0; i <= 100; i++) {
        ns_json_add_number(threshold, i / 100.0);
    }
    add_curve(ns_json_set(curves, "micro", ns_json_object_new()), 0);
    ns_json *each = ns_json_set(curves, "per_label", ns_json_array_new());
    for (int label = 0; label < 3; label++) {
        ns_json_add_string(labels, label_names[label]);
        ns_json *row = ns_json_add(per_label, ns_json_object_new());
        ns_json_set_string(row, "label", label_names[label]);
        ns_json_set_number(row, "f1", 0.5 + 0.1 * label);
        add_curve(ns_json_add(each, ns_json_object_new()), 0.02 * (label + 1));
    }
    return json;
}

static const char record_text[] =
    "{\"study\": {\"study\": \"tiny\", \"state\": \"COMPLETE\", \"dataset\": \"/x/<b>set.nsd\","
    "  \"test_accuracy\": 0.75, \"test_images\": 2000, \"node_ms_used\": 60000, \"price\": 20,"
    "  \"budget_node_ms\": 60000, \"cost\": 0.33, \"winner_trial\": 1, \"params\": 903370,"
    "  \"trials\": {\"COMPLETE\": 2, \"PRUNED\": 1}, \"winner\": {\"activation\": \"gelu\","
    "  \"mixup_alpha\": 0.2}},"
    " \"usage\": {\"search\": 20000, \"confirm\": 5000, \"retrain\": 30000, \"finish\": 5000},"
    " \"best_so_far\": [{\"node_ms\": 10000, \"val_accuracy\": 0.6},"
    "  {\"node_ms\": 30000, \"val_accuracy\": 0.7}],"
    " \"runs\": [{\"command\": \"nightshift search '<set>.nsd'\", \"host\": \"h\"}],"
    " \"trial_count\": 3, \"trials\": ["
    "  {\"number\": 0, \"state\": \"COMPLETE\", \"val_accuracy\": 0.6, \"latency_ms\": 1,"
    "   \"finished_node_ms\": 10000, \"genes\": {\"activation\": \"relu\", \"mixup_alpha\": 0},"
    "   \"marks\": [{\"fraction\": 0.5, \"val_accuracy\": 0.4}]},"
    "  {\"number\": 1, \"state\": \"COMPLETE\", \"val_accuracy\": 0.7, \"latency_ms\": 2,"
    "   \"finished_node_ms\": 30000, \"genes\": {\"activation\": \"gelu\", \"mixup_alpha\": 0.2},"
    "   \"front\": true, \"marks\": []},"
    "  {\"number\": 2, \"state\": \"PRUNED\", \"val_accuracy\": null, \"latency_ms\": null,"
    "   \"genes\": {}, \"marks\": []}]}";

static report_study make_study(data_set *set) {
    report_study study = {.set = set};
    ns_error err = {0};
    size_t count = 0;
    const uint32_t *images = data_indices(set, DATA_TRAIN, &count);
    assert_ok(ns_json_parse(record_text, &study.record, &err), &err);
    study.evaluation = make_evaluation();
    study.answers = calloc(count, sizeof(*study.answers));
    study.answer_count = count;
    for (size_t i = 0; i < count; i++) {
        const int truth = data_label(set, images[i]);
        study.answers[i] = (report__answer){
            .image = images[i],
            .truth = truth,
            .guess = i % 3 == 0 ? (truth + 1) % 3 : truth,
            .confidence = 0.5F + 0.01F * (float)i,
        };
    }
    return study;
}

static void clear_study(report_study *study) {
    ns_json_free(study->record);
    ns_json_free(study->evaluation);
    free(study->answers);
    data_close(study->set);
}

static char *page_of(const report_study *study, const char *path) {
    ns_error err = {0};
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    assert_ok(report_write_html(study, path, &err), &err);
    assert_ok(ns_file_read(path, (size_t)10 << 20, &text, &size_bytes, &err), &err);
    return (char *)text;
}

static void assert_has(const char *page, const char *part) {
    if (strstr(page, part) == NULL) {
        fail_msg("the page lacks \"%s\"", part);
    }
}

static void assert_lacks(const char *page, const char *part) {
    if (strstr(page, part) != NULL) {
        fail_msg("the page has \"%.60s\"", strstr(page, part));
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_whole_page(void **state) {
    (void)state;
    report_study study = make_study(make_set());
    char *page = page_of(&study, "report.html");
    static const char *const ids[] = {"spent",    "progress", "trials",    "winner",
                                      "curves",   "test",     "confusion", "labels",
                                      "pictures", "data",     "record"};
    for (size_t i = 0; i < NS_COUNT_OF(ids); i++) {
        char head[64];
        (void)snprintf(head, sizeof(head), "<h2 id=\"%s\">", ids[i]);
        assert_has(page, head);
    }
    assert_has(page, "<p class=\"headline\">75.00 %</p>");
    assert_has(page, "95 % interval 73.06 % to 76.85 %"); // Wilson's, of 1500 of 2000
    assert_has(page, "Against trial 0: activation gelu, mixup_alpha 0.2.");
    assert_has(page, "903,370");
    assert_has(page, "href=\"#c0-1\"");
    assert_has(page, "id=\"c0-1\"");
    assert_has(page, "data:image/png;base64,");
    assert_has(page, "title=\"plain/"); // pictures are called by their files
    assert_has(page, "<summary>Their files</summary>");
    free(page);
    clear_study(&study);
}

static void test_nothing_hostile_gets_through(void **state) {
    (void)state;
    report_study study = make_study(make_set());
    char *page = page_of(&study, "hostile.html");
    assert_lacks(page, "<img");
    assert_lacks(page, "<b>");
    assert_lacks(page, "'<set>");
    assert_has(page, "&lt;img src=x onerror=alert(1)&gt;");
    assert_has(page, "it&#39;s &quot;round&quot; &amp; flat");
    assert_has(page, "title=\"&lt;img src=x onerror=alert(1)&gt;/");
    assert_has(page, "<td class=\"wrap\">it&#39;s &quot;round&quot; &amp; flat/");
    free(page);
    clear_study(&study);
}

/// A study of several labels an image is judged by another score, which has another name.
static void test_several_labels(void **state) {
    (void)state;
    report_study study = make_study(make_set());
    ns_json *status = (ns_json *)ns_json_get(study.record, "study");
    ns_json_set_string(status, "score_name", search_score_name(true));
    ns_json_set_bool(study.evaluation, "several_labels", true);
    ns_json_set_number(study.evaluation, "score", 0.75);
    ns_json_set_number(study.evaluation, "accuracy", 0.5);
    ns_json *intervals = ns_json_set(study.evaluation, "intervals", ns_json_object_new());
    const char *const keys[] = {"score", "accuracy"}; // of the score, and of all labels right
    for (size_t i = 0; i < NS_COUNT_OF(keys); i++) {
        ns_json *pair = ns_json_set(intervals, keys[i], ns_json_array_new());
        ns_json_add_number(pair, i == 0 ? 0.73 : 0.48);
        ns_json_add_number(pair, i == 0 ? 0.77 : 0.52);
    }
    study.answer_count = 0;
    char *page = page_of(&study, "several.html");
    assert_has(page, "Jaccard index on the test images; 95 % interval 73.00 % to 77.00 %");
    assert_has(page, "best validation Jaccard index so far");
    assert_has(page, "Validation Jaccard index of all trials against their cost");
    assert_has(page, "<th>trial</th><th>Jaccard index</th>");
    assert_has(page, "<dt>All labels right</dt><dd>50.00 %");
    assert_lacks(page, "ccuracy");
    free(page);
    clear_study(&study);
}

static void test_little_material(void **state) {
    (void)state;
    report_study study = {.why_untested = strdup("It has not finished.")};
    ns_error err = {0};
    assert_ok(ns_json_parse("{\"study\": {\"study\": \"new\"}}", &study.record, &err), &err);
    char *page = page_of(&study, "little.html");
    assert_has(page, "It has not finished.");
    assert_lacks(page, "<h2 id=\"test\">");
    assert_lacks(page, "nan");
    free(page);
    free(study.why_untested);
    clear_study(&study);
}

static void test_plots_as_pictures(void **state) {
    (void)state;
    report_study study = make_study(make_set());
    ns_error err = {0};
    int count = 0;
    assert_ok(report_write_plots(&study, "plots", &count, &err), &err);
    assert_int_equal(count, 6); // all but the network, for there is no model
    static const char *const names[] = {"plots/spent.png",     "plots/progress.png",
                                        "plots/trials.png",    "plots/curves.png",
                                        "plots/threshold.png", "plots/confusion.png"};
    for (size_t i = 0; i < NS_COUNT_OF(names); i++) {
        data_image image;
        assert_ok(data_image_read(names[i], &image, &err), &err);
        assert_int_equal(image.width, 2 * (SVG_WIDTH + 32));
        data_image_free(&image);
    }
    clear_study(&study);
}

static void test_confusions(void **state) {
    (void)state;
    report__answer answers[] = {
        {5, 1, 0, 0.6F}, {1, 0, 0, 0.9F}, {4, 1, 0, 0.8F}, {2, 0, 1, 0.7F}, {3, 2, 2, 0.5F},
    };
    const report_study study = {.answers = answers, .answer_count = NS_COUNT_OF(answers)};
    report__confusions c;
    int place[3];
    int shown[REPORT__LABELS_SHOWN_MAX];
    assert_true(report__confusions_of(&study, &c));
    assert_int_equal(c.cell_count, 4);
    assert_int_equal(c.wrong_count, 2);
    assert_int_equal(c.wrong[0].truth, 1); // twice taken for 0
    assert_int_equal(c.wrong[0].count, 2);
    assert_int_equal(c.answers[c.wrong[0].first].image, 4); // the surest first
    assert_int_equal(report__worst_labels(&c, 3, place, shown), 3);
    assert_int_equal(shown[2], 2);
    report__confusions_clear(&c);
}

/// The page of a comparison of two studies with these score names, and this pair.
static char *comparison_page(const char *long_score, const char *short_score, const char *pair) {
    char text[2048];
    ns_error err = {0};
    ns_json *comparison = NULL;
    uint8_t *page = NULL;
    size_t size_bytes = 0;
    (void)snprintf(text, sizeof(text),
                   "{\"studies\": [{\"study\": \"<i>long\", \"node_ms_used\": 1800000,"
                   "  \"test_accuracy\": 0.94, \"cost\": 10, \"score_name\": \"%s\","
                   "  \"best_so_far\": [{\"node_ms\": 60000, \"val_accuracy\": 0.9}]},"
                   " {\"study\": \"short\", \"node_ms_used\": 300000, \"test_accuracy\": 0.935,"
                   "  \"cost\": 1.67, \"score_name\": \"%s\", \"best_so_far\": []}],"
                   " \"pairs\": [{\"first\": \"<i>long\", \"second\": \"short\", %s}]}",
                   long_score, short_score, pair);
    assert_ok(ns_json_parse(text, &comparison, &err), &err);
    assert_ok(report_compare_html(comparison, "both.html", &err), &err);
    assert_ok(ns_file_read("both.html", (size_t)1 << 20, &page, &size_bytes, &err), &err);
    assert_lacks((char *)page, "<i>");
    ns_json_free(comparison);
    return (char *)page;
}

static void test_comparison(void **state) {
    (void)state;
    char *page = comparison_page("accuracy", "accuracy",
                                 "\"mcnemar\": {\"only_first\": 120, \"only_second\": 70,"
                                 " \"p\": 0.0004}, \"randomisation\": null, \"reason\": null");
    assert_has(page, "94.00 %");
    assert_has(page, "used 25m 00s more node time than <strong>short</strong>, 8.33 more");
    assert_has(page, "It bought 0.50 points of test accuracy.");
    assert_has(page, "gets right: 120; only <strong>short</strong>: 70; that is more than chance "
                     "(McNemar's test, p below 0.001).");
    free(page);
}

static void test_comparison_of_several_labels(void **state) {
    (void)state;
    char *page = comparison_page("jaccard", "jaccard",
                                 "\"mcnemar\": null, \"randomisation\": {\"first_better\": 31,"
                                 " \"second_better\": 28, \"difference\": 0.005, \"p\": 0.61}");
    assert_has(page,
               "scores higher: 31; on which <strong>short</strong> does: 28; that may well be "
               "chance (randomisation test of the scores, p = 0.61).");
    assert_has(page, "the best test Jaccard index of them, by &lt;i&gt;long.");
    assert_has(page, "It bought 0.50 points of test Jaccard index.");
    assert_has(page, "<td>Validation Jaccard index</td>");
    assert_lacks(page, "ccuracy");
    free(page);
}

/// Scores of two kinds stand side by side under their names, and no difference is taken.
static void test_comparison_of_unlike_scores(void **state) {
    (void)state;
    char *page = comparison_page("jaccard", "accuracy",
                                 "\"mcnemar\": null, \"reason\": \"they are of different sets\"");
    assert_has(page, "They were not tested against each other: they are of different sets.");
    assert_has(page, "<td>Test score</td>");
    assert_has(page, "Jaccard index 94.00 %");
    assert_has(page, "accuracy 93.50 %");
    assert_lacks(page, "points of test");
    assert_lacks(page, "the best test");
    free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_page),
        cmocka_unit_test(test_several_labels),
        cmocka_unit_test(test_nothing_hostile_gets_through),
        cmocka_unit_test(test_little_material),
        cmocka_unit_test(test_plots_as_pictures),
        cmocka_unit_test(test_confusions),
        cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_comparison_of_several_labels),
        cmocka_unit_test(test_comparison_of_unlike_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
