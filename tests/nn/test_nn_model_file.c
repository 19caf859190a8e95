// Model files: what goes in comes out, and no damage passes unnoticed.

#include "tests/ns_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/nn_internal.h"
#include "tests/nn/fixture.h"

#define PATH "model.nsm"

enum { FILE_BYTES_MAX = 1 << 24, DIGEST_BYTES = NS_SHA256_HEX_MAX - 1, VERSION_AT = 8 };

static nn_model *saved_model(void) {
    static nn_graph graph;
    ns_error err = {0};
    fixture_every_op_graph(&graph);
    nn_model *model = fixture_model_new(&graph, 7);
    assert_non_null(model);
    ns_json_set_number(nn_model_notes(model), "val_accuracy", 0.9425);
    ns_json_set_string(nn_model_notes(model), "study", "zehn µ");
    assert_ok(nn_model_save(model, PATH, &err), &err);
    return model;
}

static void test_round_trip(void **state) {
    (void)state;
    ns_error err = {0};
    nn_model *saved = saved_model();
    nn_model *loaded = NULL;
    assert_ok(nn_model_load(PATH, &loaded, &err), &err);
    const nn_model_info *a = nn_model_describe(saved);
    const nn_model_info *b = nn_model_describe(loaded);
    char hash_a[NS_SHA256_HEX_MAX], hash_b[NS_SHA256_HEX_MAX];
    assert_ok(nn_graph_hash(a->graph, hash_a, &err), &err);
    assert_ok(nn_graph_hash(b->graph, hash_b, &err), &err);
    assert_string_equal(hash_a, hash_b);
    assert_string_equal(a->weights_sha256, b->weights_sha256);
    assert_memory_equal(a->state, b->state, nn_graph_state_count(a->graph) * sizeof(float));
    assert_memory_equal(a->mean, b->mean, sizeof a->mean);
    assert_memory_equal(a->deviation, b->deviation, sizeof a->deviation);
    assert_int_equal(a->label_count, b->label_count);
    for (int i = 0; i < a->label_count; i++) {
        assert_string_equal(a->labels[i], b->labels[i]);
    }
    assert_float_equal(ns_json_number(nn_model_notes(loaded), "val_accuracy", 0), 0.9425, 0);
    assert_string_equal(ns_json_string(nn_model_notes(loaded), "study", ""), "zehn µ");
    nn_model_free(saved);
    nn_model_free(loaded);
}

static void test_notes_can_be_added_after_loading(void **state) {
    (void)state;
    ns_error err = {0};
    nn_model *model = NULL;
    nn_model_free(saved_model());
    assert_ok(nn_model_load(PATH, &model, &err), &err);
    assert_false(nn_model_describe(model)->mirror_average);
    ns_json_set_int(nn_model_notes(model), "rank", 3);
    nn_model_set_mirror_average(model, true);
    assert_ok(nn_model_save(model, PATH, &err), &err);
    nn_model_free(model);
    assert_ok(nn_model_load(PATH, &model, &err), &err);
    assert_int_equal(ns_json_int(nn_model_notes(model), "rank", 0), 3);
    assert_true(nn_model_describe(model)->mirror_average);
    nn_model_free(model);
}

static uint32_t version_of(const char *path) {
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    uint32_t version = 0;
    assert_ok(ns_file_read(path, FILE_BYTES_MAX, &bytes, &size_bytes, &err), &err);
    memcpy(&version, bytes + VERSION_AT, sizeof version);
    free(bytes);
    return version;
}

/// Only multi-label models have the version that programs of before refuse.
static void test_multi_label(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    nn_model *loaded = NULL;
    fixture_small_graph(&graph);
    nn_model *model = fixture_model_of(&graph, 7, true);
    assert_ok(nn_model_save(model, PATH, &err), &err);
    nn_model_free(model);
    assert_int_equal(version_of(PATH), 3);
    assert_ok(nn_model_load(PATH, &loaded, &err), &err);
    assert_true(nn_model_describe(loaded)->multi_label);
    assert_ok(nn_model_save(loaded, PATH, &err), &err); // what was loaded is as what was made
    nn_model_free(loaded);
    assert_int_equal(version_of(PATH), 3);
    nn_model_free(saved_model());
    assert_int_equal(version_of(PATH), 2);
    assert_ok(nn_model_load(PATH, &loaded, &err), &err);
    assert_false(nn_model_describe(loaded)->multi_label);
    nn_model_free(loaded);
}

/// Only models that shrink their images have the version after that.
static void test_shrinking(void **state) {
    (void)state;
    static nn_graph graph;
    ns_error err = {0};
    nn_model *loaded = NULL;
    for (int multi_label = 0; multi_label < 2; multi_label++) {
        fixture_small_graph_of(&graph, (nn_shape){FIXTURE_CHANNELS, 6, 7});
        nn_model *model = fixture_model_of(&graph, 7, multi_label == 1);
        assert_ok(nn_model_save(model, PATH, &err), &err);
        nn_model_free(model);
        assert_int_equal(version_of(PATH), 4);
        assert_ok(nn_model_load(PATH, &loaded, &err), &err);
        const nn_model_info *info = nn_model_describe(loaded);
        assert_int_equal(info->image.channels, FIXTURE_CHANNELS);
        assert_int_equal(info->image.height, FIXTURE_HEIGHT);
        assert_int_equal(info->image.width, FIXTURE_WIDTH);
        assert_int_equal(info->graph->node[0].shape.height, 6);
        assert_int_equal(info->graph->node[0].shape.width, 7);
        assert_int_equal(info->multi_label, multi_label);
        nn_model_free(loaded);
    }
}

static void test_thresholds(void **state) {
    (void)state;
    ns_error err = {0};
    nn_model *model = saved_model();
    const int count = nn_model_describe(model)->label_count;
    double *thresholds = calloc((size_t)count, sizeof(*thresholds));
    assert_non_null(thresholds);
    assert_null(nn_model_describe(model)->thresholds);
    for (int i = 0; i < count; i++) {
        thresholds[i] = (i + 1) / (count + 1.0);
    }
    assert_ok(nn_model_set_thresholds(model, thresholds, &err), &err);
    assert_ok(nn_model_save(model, PATH, &err), &err);
    nn_model_free(model);
    assert_ok(nn_model_load(PATH, &model, &err), &err);
    for (int i = 0; i < count; i++) {
        assert_float_equal(nn_model_describe(model)->thresholds[i], thresholds[i], 0);
    }
    thresholds[0] = 1.5;
    assert_int_equal(nn_model_set_thresholds(model, thresholds, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "1.5"));
    free(thresholds);
    nn_model_free(model);
}

/// Loads `bytes` as a model file; it must be refused with a sentence.
static void assert_refused(const uint8_t *bytes, size_t size_bytes, ns_status want,
                           const char *what) {
    ns_error err = {0};
    nn_model *model = NULL;
    assert_ok(ns_file_write("damaged.nsm", bytes, size_bytes, &err), &err);
    const ns_status got = nn_model_load("damaged.nsm", &model, &err);
    if (got != want || model != NULL || strstr(err.text, "damaged.nsm") == NULL) {
        fail_msg("%s: got \"%s\" (%s), want \"%s\"", what, ns_status_text(got), err.text,
                 ns_status_text(want));
    }
}

static void read_saved(uint8_t **bytes, size_t *size_bytes) {
    ns_error err = {0};
    nn_model_free(saved_model());
    assert_ok(ns_file_read(PATH, FILE_BYTES_MAX, bytes, size_bytes, &err), &err);
}

static void test_every_flipped_byte_is_found(void **state) {
    (void)state;
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    read_saved(&bytes, &size_bytes);
    for (size_t at = 0; at < size_bytes; at += at < 64 ? 1 : size_bytes / 150) {
        char what[64];
        (void)snprintf(what, sizeof what, "byte %zu flipped", at);
        bytes[at] ^= (uint8_t)(1U << at % 8);
        assert_refused(bytes, size_bytes, NS_ERR_CORRUPT, what);
        bytes[at] ^= (uint8_t)(1U << at % 8);
    }
    free(bytes);
}

static void test_every_cut_is_found(void **state) {
    (void)state;
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    read_saved(&bytes, &size_bytes);
    for (size_t length = 0; length < size_bytes; length += length < 100 ? 7 : size_bytes / 60) {
        char what[64];
        (void)snprintf(what, sizeof what, "cut to %zu bytes", length);
        assert_refused(bytes, length, NS_ERR_CORRUPT, what);
    }
    free(bytes);
}

/// Writes `bytes` with the checksum they ought to have and loads them; whether that went well.
static bool load_resealed(uint8_t *bytes, size_t size_bytes) {
    ns_error err = {0};
    char digest[NS_SHA256_HEX_MAX];
    nn_model *model = NULL;
    assert_ok(ns_sha256_of(bytes, size_bytes - DIGEST_BYTES, digest, &err), &err);
    memcpy(bytes + size_bytes - DIGEST_BYTES, digest, DIGEST_BYTES);
    FILE *file = fopen("resealed.nsm", "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size_bytes, file), size_bytes);
    assert_int_equal(fclose(file), 0);
    const ns_status status = nn_model_load("resealed.nsm", &model, &err);
    if (status != NS_OK && (status != NS_ERR_CORRUPT || strstr(err.text, "resealed") == NULL)) {
        fail_msg("got \"%s\" (%s)", ns_status_text(status), err.text);
    }
    nn_model_free(model);
    return status == NS_OK;
}

static void assert_version_refused(uint8_t version, const char *sentence_part) {
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    char digest[NS_SHA256_HEX_MAX];
    ns_error err = {0};
    read_saved(&bytes, &size_bytes);
    bytes[VERSION_AT] = version;
    assert_ok(ns_sha256_of(bytes, size_bytes - DIGEST_BYTES, digest, &err), &err);
    memcpy(bytes + size_bytes - DIGEST_BYTES, digest, DIGEST_BYTES);
    assert_refused(bytes, size_bytes, NS_ERR_VERSION, sentence_part);
    free(bytes);
}

static void test_other_versions_are_named(void **state) {
    (void)state;
    assert_version_refused(1, "version 1, which an older nightshift wrote");
    assert_version_refused(5, "version 5, but this program knows only up to 4");
}

/// Seals what `json` says with a good checksum; loading must still refuse it.
static void assert_lie_refused(const char *text, const float *values, size_t count) {
    const nn__sealed_kind kind = {
        .noun = "lie", .magic = {'N', 'S', 'M', 'O', 'D', 'E', 'L', '\n'}, .version = 2};
    ns_error err = {0};
    ns_json *json = NULL;
    nn_model *model = NULL;
    assert_ok(ns_json_parse(text, &json, &err), &err);
    assert_ok(nn__sealed_write(&kind, "lie.nsm", json, values, count, &err), &err);
    ns_json_free(json);
    const ns_status status = nn_model_load("lie.nsm", &model, &err);
    if (status != NS_ERR_CORRUPT) {
        fail_msg("%s: got \"%s\" (%s)", text, ns_status_text(status), err.text);
    }
}

#define GRAPH                                                                                      \
    "\"graph\":{\"nodes\":[{\"op\":\"input\",\"shape\":[1,2,2]},"                                  \
    "{\"op\":\"linear\",\"input\":[0],\"out_channels\":2}]}"

static void test_lies_are_refused(void **state) {
    (void)state;
    const float good[10] = {0};
    const float bad[10] = {0, 0, 0, NAN};
    const char *const all_well =
        "{" GRAPH ",\"labels\":[\"a\",\"b\"],\"mean\":[1],\"deviation\":[2],\"notes\":{}}";
    assert_lie_refused("{}", good, 10);
    assert_lie_refused("[]", good, 10);
    assert_lie_refused(all_well, good, 9);
    assert_lie_refused(all_well, bad, 10);
    assert_lie_refused("{" GRAPH ",\"labels\":[\"a\"],\"mean\":[1],\"deviation\":[2],"
                       "\"notes\":{}}",
                       good, 10);
    assert_lie_refused("{" GRAPH ",\"labels\":[\"a\",3],\"mean\":[1],\"deviation\":[2],"
                       "\"notes\":{}}",
                       good, 10);
    assert_lie_refused("{" GRAPH ",\"labels\":[\"a\",\"b\"],\"mean\":[],\"deviation\":[2],"
                       "\"notes\":{}}",
                       good, 10);
    assert_lie_refused("{" GRAPH ",\"labels\":[\"a\",\"b\"],\"mean\":[1],\"deviation\":[0],"
                       "\"notes\":{}}",
                       good, 10);
    assert_lie_refused("{" GRAPH ",\"labels\":[\"a\",\"b\"],\"mean\":[1],\"deviation\":[2],"
                       "\"notes\":[]}",
                       good, 10);
    assert_lie_refused("{" GRAPH ",\"labels\":[\"a\",\"b\"],\"mean\":[1],\"deviation\":[2]}", good,
                       10);
    assert_lie_refused("{" GRAPH ",\"labels\":[\"a\",\"b\"],\"mean\":[1],\"deviation\":[2],"
                       "\"mirror_average\":1,\"notes\":{}}",
                       good, 10);
    assert_lie_refused("{" GRAPH ",\"labels\":[\"a\",\"b\"],\"mean\":[1],\"deviation\":[2],"
                       "\"image\":[4],\"notes\":{}}",
                       good, 10);
    assert_lie_refused("{" GRAPH ",\"labels\":[\"a\",\"b\"],\"mean\":[1],\"deviation\":[2],"
                       "\"image\":[4,1],\"notes\":{}}",
                       good, 10);
    assert_lie_refused("{" GRAPH ",\"labels\":[\"a\",\"b\"],\"mean\":[1],\"deviation\":[2],"
                       "\"image\":[4,1e9],\"notes\":{}}",
                       good, 10);
    assert_lie_refused("{\"graph\":{\"nodes\":[]},\"labels\":[\"a\",\"b\"],\"mean\":[1],"
                       "\"deviation\":[2],\"notes\":{}}",
                       good, 0);
}

/// Random bytes of the JSON changed, the file sealed again: loading may refuse it or not, but never
/// crash, and a refusal has a sentence. For the sanitizers as much as for the asserts.
static void test_random_lies_do_no_harm(void **state) {
    (void)state;
    enum { ROUNDS = 1500, JSON_AT = 32, CHANGES_MAX = 4 };
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    uint64_t json_bytes = 0;
    int accepted = 0;
    read_saved(&bytes, &size_bytes);
    memcpy(&json_bytes, bytes + 16, sizeof json_bytes);
    uint8_t *lie = malloc(size_bytes);
    assert_non_null(lie);
    ns_rng rng = ns_rng_stream(1, 0, "lies");
    for (int round = 0; round < ROUNDS; round++) {
        memcpy(lie, bytes, size_bytes);
        for (uint64_t change = 0; change <= ns_rng_below(&rng, CHANGES_MAX); change++) {
            const char *const likely = "0123456789-,:.e[]{}\"\\";
            lie[JSON_AT + ns_rng_below(&rng, json_bytes)] =
                (uint8_t)likely[ns_rng_below(&rng, strlen(likely))];
        }
        accepted += load_resealed(lie, size_bytes);
    }
    print_message("%d of %d lies were harmless\n", accepted, ROUNDS);
    free(lie);
    free(bytes);
}

static void test_missing_file_is_not_found(void **state) {
    (void)state;
    ns_error err = {0};
    nn_model *model = NULL;
    assert_status(nn_model_load("nowhere.nsm", &model, &err), NS_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "nowhere.nsm"));
}

static void test_fits_names_the_difference(void **state) {
    (void)state;
    ns_error err = {0};
    static nn_graph graph;
    data_set *set = fixture_set_new("fits.nsd");
    assert_non_null(set);
    nn_model *model = saved_model();
    assert_ok(nn_model_fits(model, set, &err), &err);
    nn_model_free(model);

    const char *const labels[] = {"oben links", "unten \"links\"", "kleiner", "d"};
    data_info info = *data_describe(set);
    info.labels = labels;
    fixture_small_graph(&graph);
    float *values = fixture_state_new(&graph, 1);
    assert_ok(nn_model_new(&graph, values, &info, &model, &err), &err);
    assert_status(nn_model_fits(model, set, &err), NS_ERR_INPUT);
    assert_non_null(strstr(err.text, "kleiner"));
    nn_model_free(model);
    free(values);
    data_close(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_notes_can_be_added_after_loading),
        cmocka_unit_test(test_multi_label),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_every_flipped_byte_is_found),
        cmocka_unit_test(test_every_cut_is_found),
        cmocka_unit_test(test_shrinking),
        cmocka_unit_test(test_other_versions_are_named),
        cmocka_unit_test(test_lies_are_refused),
        cmocka_unit_test(test_random_lies_do_no_harm),
        cmocka_unit_test(test_missing_file_is_not_found),
        cmocka_unit_test(test_fits_names_the_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
