// The pack: what goes in comes out, statistics and identity are right, and no damaged file opens.

#include "tests/data/sources.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    CHANNELS = 3,
    HEIGHT = 3,
    WIDTH = 5,
    PLANE = HEIGHT * WIDTH,
    SIZE = CHANNELS * PLANE,
    IMAGE_COUNT = 7,
};

#define SINGLE_SHA256 "324250fd35abf3f50e9e944d63f379363728451f0f1666b246eb117692d43377"

static const char *const labels[] = {"gr\xc3\xbcn", "two words"};

/// Of the images of a multi-label pack; the fourth has none.
static const struct {
    size_t count;
    uint16_t labels[2];
} lists[IMAGE_COUNT] = {{1, {0}}, {2, {0, 1}}, {1, {1}}, {0}, {1, {0}}, {1, {1}}, {2, {0, 1}}};

/// What make_pack may vary.
typedef struct recipe {
    const char *source;
    const char *provenance;
    const char *const *labels;
    uint8_t first_pixel;
    data_split last_split;
    bool drops;
    bool multi_label;
} recipe;

static const recipe plain = {"here", "{\"seed\":7}", labels, 0, DATA_TEST, true, false};
static const recipe multi = {"here", "{\"seed\":7}", labels, 0, DATA_TEST, true, true};

static data_split split_of(const recipe *r, int image) {
    return image == IMAGE_COUNT - 1 ? r->last_split : image < 4 ? DATA_TRAIN : DATA_VALIDATION;
}

static void make_pixels(const recipe *r, int image, uint8_t pixels[SIZE]) {
    for (int at = 0; at < SIZE; at++) {
        pixels[at] = (uint8_t)(31 * image + 7 * at);
    }
    pixels[0] = (uint8_t)(pixels[0] + r->first_pixel);
}

static void make_pack(const char *path, const recipe *r) {
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    const data__pack_spec spec = {.channels = CHANNELS,
                                  .height = HEIGHT,
                                  .width = WIDTH,
                                  .label_count = 2,
                                  .multi_label = r->multi_label,
                                  .labels = r->labels,
                                  .source = r->source,
                                  .provenance = r->provenance};
    assert_ok(data__pack_begin(path, &spec, &writer, &err), &err);
    for (int i = 0; i < IMAGE_COUNT; i++) {
        uint8_t pixels[SIZE];
        make_pixels(r, i, pixels);
        if (r->multi_label) {
            assert_ok(data__pack_add_labels(writer, pixels, lists[i].labels, lists[i].count,
                                            split_of(r, i), &err),
                      &err);
        } else {
            assert_ok(data__pack_add(writer, pixels, i % 2, split_of(r, i), &err), &err);
        }
    }
    if (r->drops) {
        assert_ok(data__pack_drop(writer, "a b.png", "it is empty", &err), &err);
        assert_ok(data__pack_drop(writer, "c.png", "CRC error in chunk IDAT", &err), &err);
    }
    assert_ok(data__pack_finish(writer, &err), &err);
}

static data__pack_header get_header(const char *path) {
    data__pack_header header;
    const int fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, &header, sizeof(header), 0), sizeof(header));
    close(fd);
    return header;
}

/// A pack without `gone` (ascending), made by taking them out when `later`.
static void make_pack_without(const char *path, const uint32_t *gone, size_t gone_count, bool later,
                              bool multi_label) {
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    const data__pack_spec spec = {.channels = CHANNELS,
                                  .height = HEIGHT,
                                  .width = WIDTH,
                                  .label_count = 2,
                                  .multi_label = multi_label,
                                  .labels = labels,
                                  .source = "here"};
    size_t next = 0;
    assert_ok(data__pack_begin(path, &spec, &writer, &err), &err);
    for (int i = 0; i < IMAGE_COUNT; i++) {
        uint8_t pixels[SIZE];
        make_pixels(&plain, i, pixels);
        const bool skip = !later && next < gone_count && gone[next] == (uint32_t)i;
        next += skip;
        if (!skip && multi_label) {
            assert_ok(data__pack_add_labels(writer, pixels, lists[i].labels, lists[i].count,
                                            split_of(&plain, i), &err),
                      &err);
        } else if (!skip) {
            assert_ok(data__pack_add(writer, pixels, i % 2, split_of(&plain, i), &err), &err);
        }
    }
    if (later) {
        assert_ok(data__pack_remove(writer, gone, gone_count, &err), &err);
    }
    assert_int_equal(data__pack_count(writer), IMAGE_COUNT - gone_count);
    assert_ok(data__pack_finish(writer, &err), &err);
}

static data_set *open_pack(const char *path) {
    ns_error err = {0};
    data_set *set = NULL;
    assert_ok(data_open(path, &set, &err), &err);
    return set;
}

static void test_round_trip(void **state) {
    (void)state;
    make_pack("round.nsd", &plain);
    data_set *set = open_pack("round.nsd");
    const data_info *info = data_describe(set);
    assert_int_equal(info->channels, CHANNELS);
    assert_int_equal(info->height, HEIGHT);
    assert_int_equal(info->width, WIDTH);
    assert_int_equal(info->image_count, IMAGE_COUNT);
    assert_int_equal(info->label_count, 2);
    assert_string_equal(info->labels[0], labels[0]);
    assert_string_equal(info->labels[1], labels[1]);
    assert_string_equal(info->source, "here");
    assert_string_equal(info->provenance, "{\"seed\":7}");
    for (int i = 0; i < IMAGE_COUNT; i++) {
        uint8_t pixels[SIZE];
        make_pixels(&plain, i, pixels);
        assert_memory_equal(data_pixels(set, (size_t)i), pixels, SIZE);
        assert_int_equal(data_label(set, (size_t)i), i % 2);
    }
    assert_int_equal(data_dropped_count(set), 2);
    assert_string_equal(data_dropped_at(set, 0).file, "a b.png");
    assert_string_equal(data_dropped_at(set, 1).reason, "CRC error in chunk IDAT");
    data_close(set);
}

static void test_multi_label_round_trip(void **state) {
    (void)state;
    make_pack("multi.nsd", &multi);
    data_set *set = open_pack("multi.nsd");
    assert_true(data_describe(set)->multi_label);
    for (size_t i = 0; i < IMAGE_COUNT; i++) {
        size_t count = 0;
        const uint16_t *of_image = data_labels_of(set, i, &count);
        assert_int_equal(count, lists[i].count);
        assert_memory_equal(of_image, lists[i].labels, count * sizeof(*of_image));
        assert_int_equal(data_label(set, i), count > 0 ? lists[i].labels[0] : -1);
        bool has[2] = {false, false};
        for (size_t k = 0; k < count; k++) {
            has[of_image[k]] = true;
        }
        assert_int_equal(data_has_label(set, i, 0), has[0]);
        assert_int_equal(data_has_label(set, i, 1), has[1]);
    }
    // Images 0 to 3 train: every label counts.
    assert_int_equal(data_label_count(set, DATA_TRAIN, 0), 2);
    assert_int_equal(data_label_count(set, DATA_TRAIN, 1), 2);
    assert_int_equal(data_label_count(set, DATA_TEST, 0), 1);
    assert_int_equal(data_label_count(set, DATA_TEST, 1), 1);
    assert_string_equal(data_dropped_at(set, 1).reason, "CRC error in chunk IDAT");
    data_close(set);
}

/// A set of single labels answers as before, and its pack has the format that older programs read.
static void test_single_label_accessors(void **state) {
    (void)state;
    make_pack("single.nsd", &plain);
    data_set *set = open_pack("single.nsd");
    assert_false(data_describe(set)->multi_label);
    size_t count = 0;
    assert_int_equal(data_labels_of(set, 3, &count)[0], 1);
    assert_int_equal(count, 1);
    assert_true(data_has_label(set, 3, 1));
    assert_false(data_has_label(set, 3, 0));
    // What this content's identity has been since the first version.
    assert_string_equal(data_describe(set)->sha256, SINGLE_SHA256);
    data_close(set);
    assert_int_equal(get_header("single.nsd").version, 1);
}

static void test_indices(void **state) {
    (void)state;
    make_pack("indices.nsd", &plain);
    data_set *set = open_pack("indices.nsd");
    size_t seen = 0;
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        size_t count;
        const uint32_t *indices = data_indices(set, (data_split)split, &count);
        assert_int_equal(count, data_describe(set)->split_count[split]);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(split_of(&plain, (int)indices[i]), split);
            assert_true(i == 0 || indices[i - 1] < indices[i]);
        }
        seen += count;
        assert_int_equal(data_label_count(set, (data_split)split, 0) +
                             data_label_count(set, (data_split)split, 1),
                         count);
    }
    assert_int_equal(seen, IMAGE_COUNT);
    data_close(set);
}

/// Mean of train pixels of channel `c`, or of their squared distance from `centre`, the naive way.
static double naive_moment(const data_set *set, size_t c, const double *centre) {
    size_t count;
    const uint32_t *indices = data_indices(set, DATA_TRAIN, &count);
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *plane = data_pixels(set, indices[i]) + c * PLANE;
        for (int at = 0; at < PLANE; at++) {
            sum += centre == NULL ? plane[at] : (plane[at] - *centre) * (plane[at] - *centre);
        }
    }
    return sum / ((double)count * PLANE);
}

static void test_statistics(void **state) {
    (void)state;
    make_pack("statistics.nsd", &plain);
    data_set *set = open_pack("statistics.nsd");
    for (size_t c = 0; c < CHANNELS; c++) {
        const double mean = naive_moment(set, c, NULL);
        const double variance = naive_moment(set, c, &mean);
        assert_float_equal(data_describe(set)->mean[c], (float)mean, 1e-4f);
        assert_float_equal(data_describe(set)->deviation[c], (float)sqrt(variance), 1e-4f);
    }
    data_close(set);
}

/// The identity must equal that of the plain recipe, or differ from it.
static void check_identity(const recipe *changed, bool same) {
    make_pack("plain.nsd", &plain);
    make_pack("changed.nsd", changed);
    data_set *a = open_pack("plain.nsd");
    data_set *b = open_pack("changed.nsd");
    const bool equal = strcmp(data_describe(a)->sha256, data_describe(b)->sha256) == 0;
    if (equal != same) {
        fail_msg("identities %s and %s should %s", data_describe(a)->sha256,
                 data_describe(b)->sha256, same ? "be equal" : "differ");
    }
    data_close(a);
    data_close(b);
}

static void test_identity(void **state) {
    (void)state;
    static const char *const renamed[] = {"gr\xc3\xbcn", "two words!"};
    recipe r = plain;
    r.source = "elsewhere";
    r.provenance = "{}";
    r.drops = false;
    check_identity(&r, true);
    r = plain;
    r.first_pixel = 1;
    check_identity(&r, false);
    r = plain;
    r.last_split = DATA_TRAIN;
    check_identity(&r, false);
    r = plain;
    r.labels = renamed;
    check_identity(&r, false);
    check_identity(&multi, false);
}

static void test_constant_channel_has_a_deviation(void **state) {
    (void)state;
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    const uint8_t pixels[4] = {9, 9, 9, 9};
    const data__pack_spec spec = {
        .channels = 1, .height = 2, .width = 2, .label_count = 2, .labels = labels, .source = ""};
    assert_ok(data__pack_begin("constant.nsd", &spec, &writer, &err), &err);
    assert_ok(data__pack_add(writer, pixels, 0, DATA_TRAIN, &err), &err);
    assert_ok(data__pack_finish(writer, &err), &err);
    data_set *set = open_pack("constant.nsd");
    assert_float_equal(data_describe(set)->mean[0], 9.0f, 0.0f);
    assert_float_equal(data_describe(set)->deviation[0], 1.0f, 0.0f);
    data_close(set);
}

static void test_abort_leaves_nothing(void **state) {
    (void)state;
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    const uint8_t pixels[4] = {0};
    const data__pack_spec spec = {
        .channels = 1, .height = 2, .width = 2, .label_count = 2, .labels = labels, .source = ""};
    fresh_dir("aborted");
    assert_ok(data__pack_begin("aborted/x.nsd", &spec, &writer, &err), &err);
    assert_ok(data__pack_add(writer, pixels, 0, DATA_TRAIN, &err), &err);
    data__pack_abort(writer);
    assert_int_equal(rmdir("aborted"), 0);
    data__pack_abort(NULL);
}

static void test_empty_is_refused(void **state) {
    (void)state;
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    const data__pack_spec spec = {
        .channels = 1, .height = 2, .width = 2, .label_count = 2, .labels = labels, .source = ""};
    assert_ok(data__pack_begin("imageless.nsd", &spec, &writer, &err), &err);
    assert_status(data__pack_finish(writer, &err), NS_ERR_INPUT);
    assert_false(ns_file_exists("imageless.nsd"));
}

/// Opening must fail, with one of the statuses that a bad file may give and a sentence.
static void assert_damaged(const char *path, const char *what, size_t at) {
    ns_error err = {0};
    data_set *set = NULL;
    const ns_status status = data_open(path, &set, &err);
    if (status != NS_ERR_CORRUPT && status != NS_ERR_VERSION) {
        fail_msg("%s at byte %zu: got \"%s\"", what, at, ns_status_text(status));
    }
    assert_non_null(strstr(err.text, path));
}

static void flip_every_byte(const recipe *r) {
    ns_error err = {0};
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    make_pack("flip.nsd", r);
    assert_ok(ns_file_read("flip.nsd", 1 << 20, &bytes, &size_bytes, &err), &err);
    const int fd = open("flip.nsd", O_WRONLY);
    assert_true(fd >= 0);
    for (size_t at = 0; at < size_bytes; at++) {
        const uint8_t flipped = (uint8_t)(bytes[at] ^ (1u << at % 8));
        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
        assert_damaged("flip.nsd", "flipped", at);
        assert_int_equal(pwrite(fd, &bytes[at], 1, (off_t)at), 1);
    }
    close(fd);
    free(bytes);
    data_close(open_pack("flip.nsd"));
}

static void test_every_flipped_byte_is_found(void **state) {
    (void)state;
    flip_every_byte(&plain);
    flip_every_byte(&multi);
}

static void test_every_truncation_is_found(void **state) {
    (void)state;
    struct stat info;
    make_pack("short.nsd", &plain);
    assert_int_equal(stat("short.nsd", &info), 0);
    for (off_t size = info.st_size - 1; size >= 0; size -= size > DATA__PAGE_BYTES ? 1 : 97) {
        assert_int_equal(truncate("short.nsd", size), 0);
        assert_damaged("short.nsd", "cut", (size_t)size);
    }
}

static void test_appended_bytes_are_found(void **state) {
    (void)state;
    struct stat info;
    make_pack("long.nsd", &plain);
    assert_int_equal(stat("long.nsd", &info), 0);
    assert_int_equal(truncate("long.nsd", info.st_size + 1), 0);
    assert_damaged("long.nsd", "grown", (size_t)info.st_size);
}

/// Writes `header` with a right checksum over that of the pack at `path`.
static void put_header(const char *path, data__pack_header *header) {
    ns_error err = {0};
    uint8_t page[DATA__PAGE_BYTES] = {0};
    char digest[NS_SHA256_HEX_MAX];
    memcpy(page, header, sizeof(*header));
    assert_ok(data__pack_header_digest(page, digest, &err), &err);
    memcpy(header->header_sha256, digest, DATA__DIGEST_BYTES);
    const int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, header, sizeof(*header), 0), sizeof(*header));
    close(fd);
}

static void lie_in_header(const recipe *r) {
    make_pack("lie.nsd", r);
    const data__pack_header truth = get_header("lie.nsd");
    static const uint64_t values[] = {0,         1, 2, 6, 8, 1u << 16, 1u << 31, UINT64_MAX / 45,
                                      UINT64_MAX};
    for (size_t i = 0; i < NS_COUNT_OF(values); i++) {
        for (int field = 0; field < 8; field++) {
            data__pack_header lie = truth;
            uint32_t *const small[] = {&lie.channels, &lie.height, &lie.width, &lie.label_count};
            uint64_t *const large[] = {&lie.image_count, &lie.dropped_count, &lie.pixels_bytes,
                                       &lie.tables_bytes};
            if (field < 4) {
                *small[field] = (uint32_t)values[i];
            } else {
                *large[field - 4] = values[i];
            }
            if (memcmp(&lie, &truth, sizeof(lie)) != 0) {
                put_header("lie.nsd", &lie);
                assert_damaged("lie.nsd", "a lie in field", (size_t)field);
            }
        }
    }
    data__pack_header lie = truth;
    lie.deviation[1] = NAN;
    put_header("lie.nsd", &lie);
    assert_damaged("lie.nsd", "a lie in the deviation", 0);
    lie = truth;
    lie.version = r->multi_label ? DATA__PACK_VERSION : DATA__PACK_VERSION_MULTI;
    put_header("lie.nsd", &lie);
    assert_damaged("lie.nsd", "a lie about the kind of labels", 0);
    lie.version = DATA__PACK_VERSION_NAMED;
    put_header("lie.nsd", &lie);
    assert_damaged("lie.nsd", "a lie about names", 0);
}

/// Headers that lie, with checksums that fit.
static void test_lying_headers(void **state) {
    (void)state;
    lie_in_header(&plain);
    lie_in_header(&multi);
}

static void test_newer_version(void **state) {
    (void)state;
    ns_error err = {0};
    data_set *set = NULL;
    make_pack("newer.nsd", &plain);
    data__pack_header header = get_header("newer.nsd");
    header.version = DATA__PACK_VERSION_NAMED + 1;
    put_header("newer.nsd", &header);
    assert_status(data_open("newer.nsd", &set, &err), NS_ERR_VERSION);
    assert_non_null(strstr(err.text, "version is 4"));
}

static void test_what_is_no_pack(void **state) {
    (void)state;
    ns_error err = {0};
    data_set *set = NULL;
    assert_status(data_open("there is none.nsd", &set, &err), NS_ERR_NOT_FOUND);
    fresh_dir("folder.nsd");
    assert_status(data_open("folder.nsd", &set, &err), NS_ERR_IO);
    put_text("empty.nsd", "");
    assert_status(data_open("empty.nsd", &set, &err), NS_ERR_CORRUPT);
    static const char page[2 * DATA__PAGE_BYTES] = "text";
    put_file("text.nsd", page, sizeof(page));
    assert_status(data_open("text.nsd", &set, &err), NS_ERR_CORRUPT);
    assert_non_null(strstr(err.text, "not a nightshift data set"));
    data_close(NULL);
}

/// A file that cut_and_mend cuts off and mends again, until it is told to end.
typedef struct cutter {
    int fd;
    const uint8_t *bytes;
    size_t size_bytes;
    atomic_bool done;
} cutter;

static void *cut_and_mend(void *context) {
    cutter *c = context;
    for (size_t cut = DATA__PAGE_BYTES; !atomic_load(&c->done);
         cut = DATA__PAGE_BYTES + (cut + 99991) % (c->size_bytes - DATA__PAGE_BYTES)) {
        const size_t left = c->size_bytes - cut;
        if (ftruncate(c->fd, (off_t)cut) != 0 ||
            pwrite(c->fd, c->bytes + cut, left, (off_t)cut) != (ssize_t)left) {
            return c; // told as a failure
        }
        ns_sleep_ms(1); // long enough for the next data_open to be in the middle of the pixels
    }
    return NULL;
}

/// What somebody does to the file while it is opened is damage, and never a signal.
static void test_truncation_while_opening(void **state) {
    (void)state;
    enum { SIDE = 1024 };
    ns_error err = {0};
    static uint8_t pixels[SIDE * SIDE];
    data__pack_writer *writer = NULL;
    const data__pack_spec spec = {.channels = 1,
                                  .height = SIDE,
                                  .width = SIDE,
                                  .label_count = 2,
                                  .labels = labels,
                                  .source = "here"};
    assert_ok(data__pack_begin("race.nsd", &spec, &writer, &err), &err);
    assert_ok(data__pack_add(writer, pixels, 0, DATA_TRAIN, &err), &err);
    assert_ok(data__pack_add(writer, pixels, 1, DATA_TRAIN, &err), &err);
    assert_ok(data__pack_finish(writer, &err), &err);
    uint8_t *bytes = NULL;
    cutter c = {.fd = open("race.nsd", O_RDWR | O_CLOEXEC)};
    assert_ok(ns_file_read("race.nsd", 1u << 22, &bytes, &c.size_bytes, &err), &err);
    c.bytes = bytes;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cut_and_mend, &c), 0);
    ns_status status = NS_OK;
    for (int i = 0; i < 200 && (status == NS_OK || status == NS_ERR_CORRUPT); i++) {
        data_set *set = NULL;
        status = data_open("race.nsd", &set, &err);
        data_close(set);
    }
    atomic_store(&c.done, true);
    void *failed = NULL;
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    free(bytes);
    close(c.fd);
    if (status != NS_ERR_CORRUPT) {
        assert_ok(status, &err);
    }
}

/// Taking images out leaves the very file that they never were in.
static void test_removed_images_leave_no_trace(void **state) {
    (void)state;
    static const struct {
        uint32_t gone[IMAGE_COUNT];
        size_t count;
    } cases[] = {{{0}, 1}, {{6}, 1}, {{3}, 1}, {{1, 2}, 2}, {{0, 3, 6}, 3}, {{0, 1, 2, 4, 5}, 5}};
    for (size_t i = 0; i < 2 * NS_COUNT_OF(cases); i++) {
        ns_error err = {0};
        uint8_t *bytes[2];
        size_t size_bytes[2];
        const bool multi_label = i % 2 == 1;
        make_pack_without("never.nsd", cases[i / 2].gone, cases[i / 2].count, false, multi_label);
        make_pack_without("later.nsd", cases[i / 2].gone, cases[i / 2].count, true, multi_label);
        assert_ok(ns_file_read("never.nsd", 1 << 20, &bytes[0], &size_bytes[0], &err), &err);
        assert_ok(ns_file_read("later.nsd", 1 << 20, &bytes[1], &size_bytes[1], &err), &err);
        assert_int_equal(size_bytes[0], size_bytes[1]);
        assert_memory_equal(bytes[0], bytes[1], size_bytes[0]);
        free(bytes[0]);
        free(bytes[1]);
        data_close(open_pack("later.nsd"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_removed_images_leave_no_trace),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_multi_label_round_trip),
        cmocka_unit_test(test_single_label_accessors),
        cmocka_unit_test(test_indices),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_constant_channel_has_a_deviation),
        cmocka_unit_test(test_abort_leaves_nothing),
        cmocka_unit_test(test_empty_is_refused),
        cmocka_unit_test(test_every_flipped_byte_is_found),
        cmocka_unit_test(test_every_truncation_is_found),
        cmocka_unit_test(test_truncation_while_opening),
        cmocka_unit_test(test_appended_bytes_are_found),
        cmocka_unit_test(test_lying_headers),
        cmocka_unit_test(test_newer_version),
        cmocka_unit_test(test_what_is_no_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
