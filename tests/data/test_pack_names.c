// Names of images in a pack: they come out as they went in, cost nothing where there are none, are no
// part of the identity, and no forged table of them opens.

#include "tests/data/sources.h"

#include <fcntl.h>

enum { IMAGE_COUNT = 7 };

static const char *const labels[] = {"a", "b"};

/// One is of two bytes a letter, one of an image without a name, one is empty.
static const char *const names[IMAGE_COUNT] = {
    "a/0.png", "a/gr\xc3\xbcn <&\"'.png", NULL, "b/c d.jpg", "", "b/5.png", "line 12"};

/// The name that an image of the pack must have.
static const char *wanted(size_t index) {
    return names[index] != NULL && names[index][0] != 0 ? names[index] : NULL;
}

static void add_image(data__pack_writer *writer, size_t index, bool multi_label) {
    ns_error err = {0};
    const uint8_t pixel = (uint8_t)(10 * index);
    const uint16_t both[] = {0, 1};
    const data_split split = index < 4 ? DATA_TRAIN : DATA_TEST;
    assert_ok(multi_label ? data__pack_add_labels(writer, &pixel, both, index % 3, split, &err)
                          : data__pack_add(writer, &pixel, (int)(index % 2), split, &err),
              &err);
}

static data__pack_writer *begin(const char *path, bool multi_label) {
    ns_error err = {0};
    data__pack_writer *writer = NULL;
    const data__pack_spec spec = {.channels = 1,
                                  .height = 1,
                                  .width = 1,
                                  .label_count = 2,
                                  .multi_label = multi_label,
                                  .labels = labels,
                                  .source = "here"};
    assert_ok(data__pack_begin(path, &spec, &writer, &err), &err);
    return writer;
}

static void finish(data__pack_writer *writer) {
    ns_error err = {0};
    assert_ok(data__pack_finish(writer, &err), &err);
}

static void make_pack(const char *path, bool named, bool multi_label) {
    ns_error err = {0};
    data__pack_writer *writer = begin(path, multi_label);
    for (size_t i = 0; i < IMAGE_COUNT; i++) {
        add_image(writer, i, multi_label);
        if (named && names[i] != NULL) {
            assert_ok(data__pack_name(writer, names[i], &err), &err);
        }
    }
    finish(writer);
}

static data_set *open_pack(const char *path) {
    ns_error err = {0};
    data_set *set = NULL;
    assert_ok(data_open(path, &set, &err), &err);
    return set;
}

static void assert_names(const data_set *set) {
    for (size_t i = 0; i < IMAGE_COUNT; i++) {
        if (wanted(i) != NULL) {
            assert_name(set, i, wanted(i));
        } else {
            assert_null(data_name(set, i));
        }
    }
}

static data__pack_header header_of(const char *path) {
    data__pack_header header;
    const int fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, &header, sizeof(header), 0), sizeof(header));
    close(fd);
    return header;
}

/* ---- what goes in comes out ------------------------------------------------------------------ */

static void test_round_trip(void **state) {
    (void)state;
    for (int multi_label = 0; multi_label < 2; multi_label++) {
        make_pack("named.nsd", true, multi_label);
        data_set *set = open_pack("named.nsd");
        assert_names(set);
        assert_int_equal(data_describe(set)->multi_label, multi_label);
        for (size_t i = 0; i < IMAGE_COUNT; i++) {
            size_t count = 0;
            (void)data_labels_of(set, i, &count);
            assert_int_equal(count, multi_label ? i % 3 : 1);
            assert_int_equal(data_pixels(set, i)[0], 10 * i);
        }
        assert_string_equal(data_describe(set)->source, "here");
        data_close(set);
        assert_int_equal(header_of("named.nsd").version, DATA__PACK_VERSION_NAMED);
    }
}

/// Names are no part of what a model sees: studies go on with a pack that has them.
static void test_names_are_no_identity(void **state) {
    (void)state;
    for (int multi_label = 0; multi_label < 2; multi_label++) {
        make_pack("named.nsd", true, multi_label);
        make_pack("nameless.nsd", false, multi_label);
        data_set *named = open_pack("named.nsd");
        data_set *nameless = open_pack("nameless.nsd");
        assert_string_equal(data_describe(named)->sha256, data_describe(nameless)->sha256);
        for (size_t i = 0; i < IMAGE_COUNT; i++) {
            assert_null(data_name(nameless, i));
        }
        data_close(named);
        data_close(nameless);
    }
}

/// Without a single name a pack is what older programs read, also when all names are empty.
static void test_no_name_costs_nothing(void **state) {
    (void)state;
    ns_error err = {0};
    make_pack("nameless.nsd", false, false);
    data__pack_writer *writer = begin("empty.nsd", false);
    for (size_t i = 0; i < IMAGE_COUNT; i++) {
        add_image(writer, i, false);
        assert_ok(data__pack_name(writer, "", &err), &err);
    }
    finish(writer);
    uint8_t *bytes[2];
    size_t size_bytes[2];
    assert_ok(ns_file_read("nameless.nsd", 1 << 20, &bytes[0], &size_bytes[0], &err), &err);
    assert_ok(ns_file_read("empty.nsd", 1 << 20, &bytes[1], &size_bytes[1], &err), &err);
    assert_int_equal(size_bytes[0], size_bytes[1]);
    assert_memory_equal(bytes[0], bytes[1], size_bytes[0]);
    free(bytes[0]);
    free(bytes[1]);
    assert_int_equal(header_of("empty.nsd").version, DATA__PACK_VERSION);
}

static void test_any_name_prints_safely(void **state) {
    (void)state;
    ns_error err = {0};
    static char endless[3 * DATA__NAME_BYTES_MAX];
    memset(endless, 'x', sizeof(endless) - 1);
    data__pack_writer *writer = begin("strange.nsd", false);
    add_image(writer, 0, false);
    assert_ok(data__pack_name(writer, "\x1b[2J\xff\n.png", &err), &err);
    add_image(writer, 1, false);
    assert_ok(data__pack_name(writer, endless, &err), &err);
    finish(writer);
    data_set *set = open_pack("strange.nsd");
    assert_name(set, 0, "\\x1b[2J\\xff\\x0a.png");
    assert_int_equal(strlen(data_name(set, 1)), DATA__NAME_BYTES_MAX - 1);
    data_close(set);
}

/// More names than are written or checked at once, of many lengths; every fifth image has none.
static void test_many_names(void **state) {
    (void)state;
    enum { COUNT = 5000 };
    ns_error err = {0};
    char name[80];
    data__pack_writer *writer = begin("many.nsd", false);
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "%0*zu.png", (int)(i % 60 + 1), i);
        add_image(writer, i % 4, false);
        if (i % 5 != 4) {
            assert_ok(data__pack_name(writer, name, &err), &err);
        }
    }
    finish(writer);
    data_set *set = open_pack("many.nsd");
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "%0*zu.png", (int)(i % 60 + 1), i);
        if (i % 5 != 4) {
            assert_name(set, i, name);
        } else {
            assert_null(data_name(set, i));
        }
    }
    data_close(set);
}

/// Taking images out leaves the very file that they never were in.
static void test_removed_names_leave_no_trace(void **state) {
    (void)state;
    static const struct {
        uint32_t gone[IMAGE_COUNT];
        size_t count;
    } cases[] = {{{0}, 1}, {{6}, 1}, {{2, 3}, 2}, {{0, 4, 6}, 3}, {{0, 1, 3, 5, 6}, 5}};
    for (size_t c = 0; c < NS_COUNT_OF(cases); c++) {
        ns_error err = {0};
        uint8_t *bytes[2];
        size_t size_bytes[2];
        for (int later = 0; later < 2; later++) {
            size_t gone = 0;
            data__pack_writer *writer = begin("removed.nsd", false);
            for (size_t i = 0; i < IMAGE_COUNT; i++) {
                const bool goes = gone < cases[c].count && cases[c].gone[gone] == i;
                gone += goes;
                if (later || !goes) {
                    add_image(writer, i, false);
                }
                if ((later || !goes) && names[i] != NULL) {
                    assert_ok(data__pack_name(writer, names[i], &err), &err);
                }
            }
            if (later) {
                assert_ok(data__pack_remove(writer, cases[c].gone, cases[c].count, &err), &err);
            }
            finish(writer);
            data_close(open_pack("removed.nsd"));
            assert_ok(ns_file_read("removed.nsd", 1 << 20, &bytes[later], &size_bytes[later], &err),
                      &err);
        }
        assert_int_equal(size_bytes[0], size_bytes[1]);
        assert_memory_equal(bytes[0], bytes[1], size_bytes[0]);
        free(bytes[0]);
        free(bytes[1]);
    }
}

/* ---- what must not open ---------------------------------------------------------------------- */

/// A pack with names, to be changed in place; checksums are made right again where that is told.
typedef struct forgery {
    uint8_t *bytes;
    size_t size_bytes;
    data__pack_header *header; // in `bytes`
    uint64_t *starts;          // (IMAGE_COUNT + 1), in `bytes`
    uint8_t *text;             // in `bytes`
    int fd;                    // of forged.nsd
} forgery;

static forgery forgery_begin(bool multi_label) {
    ns_error err = {0};
    forgery f = {0};
    make_pack("forged.nsd", true, multi_label);
    assert_ok(ns_file_read("forged.nsd", 1 << 20, &f.bytes, &f.size_bytes, &err), &err);
    f.header = (data__pack_header *)(void *)f.bytes;
    f.starts = (uint64_t *)(void *)(f.bytes + DATA__PAGE_BYTES + f.header->pixels_bytes);
    f.text = (uint8_t *)(f.starts + IMAGE_COUNT + 1);
    f.fd = open("forged.nsd", O_WRONLY);
    assert_true(f.fd >= 0);
    return f;
}

static void put_digest(char *place, const uint8_t *bytes, size_t size_bytes) {
    ns_error err = {0};
    char digest[NS_SHA256_HEX_MAX];
    assert_ok(ns_sha256_of(bytes, size_bytes, digest, &err), &err);
    memcpy(place, digest, DATA__DIGEST_BYTES);
}

/// Writes what stands in memory, with a header that fits.
static void put_forged(const forgery *f) {
    ns_error err = {0};
    char digest[NS_SHA256_HEX_MAX];
    assert_ok(data__pack_header_digest(f->bytes, digest, &err), &err);
    memcpy(f->header->header_sha256, digest, DATA__DIGEST_BYTES);
    assert_int_equal(pwrite(f->fd, f->bytes, f->size_bytes, 0), f->size_bytes);
}

static void forgery_end(forgery *f) {
    close(f->fd);
    free(f->bytes);
}

/// Opening must fail with a sentence that says `why` (NULL: any).
static void assert_damaged(const char *what, size_t at, const char *why) {
    ns_error err = {0};
    data_set *set = NULL;
    const ns_status status = data_open("forged.nsd", &set, &err);
    if (status != NS_ERR_CORRUPT && status != NS_ERR_VERSION) {
        fail_msg("%s at %zu: got \"%s\"", what, at, ns_status_text(status));
    }
    if (strstr(err.text, "forged.nsd") == NULL || (why != NULL && strstr(err.text, why) == NULL)) {
        fail_msg("%s at %zu: \"%s\" does not say \"%s\"", what, at, err.text,
                 why != NULL ? why : "forged.nsd");
    }
}

static void put_names(const forgery *f) {
    put_digest(f->header->names_sha256, (const uint8_t *)f->starts, f->header->names_bytes);
    put_forged(f);
}

static void test_forged_starts(void **state) {
    (void)state;
    forgery f = forgery_begin(false);
    for (size_t i = 0; i <= IMAGE_COUNT; i++) {
        const uint64_t truth = f.starts[i];
        const uint64_t values[] = {0,
                                   truth - 1,
                                   truth + 1,
                                   truth + DATA__NAME_BYTES_MAX,
                                   f.header->names_bytes,
                                   (uint64_t)1 << 63,
                                   UINT64_MAX - 7,
                                   UINT64_MAX};
        for (size_t v = 0; v < NS_COUNT_OF(values); v++) {
            f.starts[i] = values[v];
            put_names(&f);
            if (values[v] != truth) {
                assert_damaged("a forged start", i, "its table of file names is damaged");
            }
        }
        f.starts[i] = truth;
    }
    put_names(&f);
    data_set *set = open_pack("forged.nsd");
    assert_names(set);
    data_close(set);
    forgery_end(&f);
}

static void test_forged_text(void **state) {
    (void)state;
    static const uint8_t values[] = {0, '\n', 0x1b, 0x7f, 0x80, 0xff};
    forgery f = forgery_begin(true);
    const size_t text_bytes = f.starts[IMAGE_COUNT];
    for (size_t at = 0; at < text_bytes; at++) {
        const uint8_t truth = f.text[at];
        for (size_t v = 0; v < NS_COUNT_OF(values); v++) {
            f.text[at] = truth == 0 && values[v] == 0 ? 'x' : values[v];
            if (f.text[at] != truth && (truth & 0xc0) != 0x80) { // which may become another letter
                put_names(&f);
                assert_damaged("a forged letter", at, "its table of file names is damaged");
            }
        }
        f.text[at] = truth;
    }
    put_names(&f);
    data_close(open_pack("forged.nsd"));
    forgery_end(&f);
}

/// Headers that lie of the names, with checksums that fit.
static void test_forged_sizes(void **state) {
    (void)state;
    forgery f = forgery_begin(false);
    const data__pack_header truth = *f.header;
    const uint64_t sizes[] = {0,
                              8,
                              truth.names_bytes - 8,
                              truth.names_bytes - 1,
                              truth.names_bytes + 8,
                              f.size_bytes,
                              (uint64_t)1 << 63,
                              UINT64_MAX - 7};
    for (size_t i = 0; i < NS_COUNT_OF(sizes); i++) {
        f.header->names_bytes = sizes[i];
        put_forged(&f);
        assert_damaged("a lie about the size", i, "its sizes disagree");
        f.header->tables_bytes = truth.tables_bytes + truth.names_bytes - sizes[i];
        put_forged(&f);
        assert_damaged("a lie about both sizes", i, NULL);
        *f.header = truth;
    }
    for (uint32_t version = 0; version < DATA__PACK_VERSION_NAMED + 2; version++) {
        f.header->version = version;
        put_forged(&f);
        if (version != DATA__PACK_VERSION_NAMED) {
            assert_damaged("a lie about the version", version, NULL);
        }
        *f.header = truth;
    }
    f.header->multi_label = 1;
    put_forged(&f);
    assert_damaged("a lie about the kind of labels", 1, NULL);
    f.header->multi_label = 2;
    put_forged(&f);
    assert_damaged("a kind that does not exist", 2, "its sizes disagree");
    forgery_end(&f);
}

/// A table that is too long for its names, with checksums that fit.
static void test_bytes_behind_the_names(void **state) {
    (void)state;
    forgery f = forgery_begin(false);
    uint8_t *bytes = calloc(f.size_bytes + 8, 1);
    assert_non_null(bytes);
    const size_t tables_at = f.size_bytes - f.header->tables_bytes;
    memcpy(bytes, f.bytes, tables_at);
    memcpy(bytes + tables_at + 8, f.bytes + tables_at, f.header->tables_bytes);
    const size_t starts_at = (size_t)((uint8_t *)f.starts - f.bytes);
    forgery longer = {.bytes = bytes,
                      .size_bytes = f.size_bytes + 8,
                      .header = (data__pack_header *)(void *)bytes,
                      .starts = (uint64_t *)(void *)(bytes + starts_at),
                      .fd = f.fd};
    longer.header->names_bytes += 8;
    put_names(&longer);
    assert_damaged("eight bytes more", 0, "its table of file names is damaged");
    free(bytes);
    forgery_end(&f);
}

static void test_every_flipped_byte_is_found(void **state) {
    (void)state;
    forgery f = forgery_begin(false);
    for (size_t at = 0; at < f.size_bytes; at++) {
        const uint8_t flipped = (uint8_t)(f.bytes[at] ^ (1u << at % 8));
        assert_int_equal(pwrite(f.fd, &flipped, 1, (off_t)at), 1);
        assert_damaged("flipped", at, NULL);
        assert_int_equal(pwrite(f.fd, &f.bytes[at], 1, (off_t)at), 1);
    }
    forgery_end(&f);
    data_close(open_pack("forged.nsd"));
}

static void test_every_truncation_is_found(void **state) {
    (void)state;
    forgery f = forgery_begin(false);
    for (size_t size_bytes = f.size_bytes - 1; size_bytes > DATA__PAGE_BYTES; size_bytes--) {
        assert_int_equal(ftruncate(f.fd, (off_t)size_bytes), 0);
        assert_damaged("cut", size_bytes, NULL);
    }
    forgery_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_names_are_no_identity),
        cmocka_unit_test(test_no_name_costs_nothing),
        cmocka_unit_test(test_any_name_prints_safely),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_removed_names_leave_no_trace),
        cmocka_unit_test(test_forged_starts),
        cmocka_unit_test(test_forged_text),
        cmocka_unit_test(test_forged_sizes),
        cmocka_unit_test(test_bytes_behind_the_names),
        cmocka_unit_test(test_every_flipped_byte_is_found),
        cmocka_unit_test(test_every_truncation_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
