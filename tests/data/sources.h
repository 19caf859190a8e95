// Sources to import, made by the test itself in its working folder: folder trees, PNG files of
// known pixels, JPEG files of many scans, IDX files; and little memory to read them with.
// Everything fails the test on an error.

#ifndef NS_TESTS_DATA_SOURCES_H
#define NS_TESTS_DATA_SOURCES_H

#include "tests/ns_test.h"

#include <ftw.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zlib.h>

#include "data/data_internal.h"

enum {
    PNG_BYTES_MAX = 1 << 16,
    JPEG_BYTES_MAX = 1 << 18,
    PNG_GREY = 0,
    PNG_RGB = 2,
    PNG_GREY_ALPHA = 4,
    PNG_RGBA = 6,
};

static inline int remove_entry(const char *path, const struct stat *info, int kind,
                               struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

/// Removes `path` with all that is in it; fine when it is not there.
static inline void remove_tree(const char *path) {
    if (access(path, F_OK) == 0) {
        assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    }
}

/// An empty folder at `path`.
static inline void fresh_dir(const char *path) {
    ns_error err = {0};
    remove_tree(path);
    assert_ok(ns_dir_make(path, &err), &err);
}

/// Writes a file and the folders above it.
static inline void put_file(const char *path, const void *bytes, size_t size_bytes) {
    ns_error err = {0};
    char dir[NS_PATH_MAX];
    (void)snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL) {
        *slash = 0;
        assert_ok(ns_dir_make(dir, &err), &err);
    }
    assert_ok(ns_file_write(path, bytes, size_bytes, &err), &err);
}

static inline void put_text(const char *path, const char *text) {
    put_file(path, text, strlen(text));
}

static inline void put_32(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static inline size_t put_chunk(uint8_t *at, const char *type, const uint8_t *bytes,
                               uint32_t size_bytes) {
    put_32(at, size_bytes);
    memcpy(at + 4, type, 4);
    if (size_bytes > 0) {
        memcpy(at + 8, bytes, size_bytes);
    }
    put_32(at + 8 + size_bytes, (uint32_t)crc32(0, at + 4, size_bytes + 4));
    return size_bytes + 12;
}

/// What make_png is told: `pixels` are (height, width, channels of the colour) of 8 bits.
typedef struct png_spec {
    uint32_t width, height;
    uint8_t colour;
    const uint8_t *pixels;
} png_spec;

/// Encodes an 8-bit PNG into `out` (PNG_BYTES_MAX); returns its size.
static inline size_t make_png(const png_spec *spec, uint8_t *out) {
    static const size_t channels[] = {1, 0, 3, 0, 2, 0, 4};
    static uint8_t raw[PNG_BYTES_MAX];
    static uint8_t packed[PNG_BYTES_MAX];
    const size_t row_bytes = spec->width * channels[spec->colour];
    size_t raw_bytes = 0;
    for (size_t y = 0; y < spec->height; y++) {
        raw[raw_bytes++] = 0; // no filter
        memcpy(raw + raw_bytes, spec->pixels + y * row_bytes, row_bytes);
        raw_bytes += row_bytes;
    }
    uLongf packed_bytes = sizeof(packed);
    assert_int_equal(compress(packed, &packed_bytes, raw, raw_bytes), Z_OK);
    uint8_t header[13] = {[8] = 8, [9] = spec->colour};
    put_32(header, spec->width);
    put_32(header + 4, spec->height);
    size_t used = 8;
    memcpy(out, "\x89PNG\r\n\x1a\n", used);
    used += put_chunk(out + used, "IHDR", header, sizeof(header));
    used += put_chunk(out + used, "IDAT", packed, (uint32_t)packed_bytes);
    used += put_chunk(out + used, "IEND", NULL, 0);
    return used;
}

/// A PNG of one pixel whose header claims more, into `out` (PNG_BYTES_MAX); returns its size.
static inline size_t make_claim(uint32_t width, uint32_t height, uint8_t *out) {
    const uint8_t pixel = 1;
    const size_t size_bytes = make_png(&(png_spec){1, 1, PNG_GREY, &pixel}, out);
    put_32(out + 16, width);
    put_32(out + 20, height);
    put_32(out + 29, (uint32_t)crc32(0, out + 12, 17));
    return size_bytes;
}

/// Writes a PNG of one colour: grey `value`, or RGB (value, 0, 255 - value).
static inline void put_plain_png(const char *path, uint32_t width, uint32_t height, bool grey,
                                 uint8_t value) {
    static uint8_t pixels[PNG_BYTES_MAX];
    static uint8_t file[PNG_BYTES_MAX];
    for (size_t i = 0; i < (size_t)width * height; i++) {
        if (grey) {
            pixels[i] = value;
        } else {
            pixels[3 * i] = value;
            pixels[3 * i + 1] = 0;
            pixels[3 * i + 2] = (uint8_t)(255 - value);
        }
    }
    const png_spec spec = {width, height, grey ? PNG_GREY : PNG_RGB, pixels};
    put_file(path, file, make_png(&spec, file));
}

static inline size_t put_bytes(uint8_t *at, const char *bytes, size_t size_bytes) {
    memcpy(at, bytes, size_bytes);
    return size_bytes;
}

#define PUT_BYTES(at, literal) put_bytes(at, literal, sizeof(literal) - 1)

static inline void put_16(uint8_t *at, bool big_endian, uint16_t value) {
    at[big_endian ? 0 : 1] = (uint8_t)(value >> 8);
    at[big_endian ? 1 : 0] = (uint8_t)value;
}

enum { EXIF_BYTES = 8 + 2 + 2 * 12 };

/// An EXIF block of two tags, the second of them this orientation.
static inline void make_exif(bool big_endian, uint16_t orientation, uint8_t out[EXIF_BYTES]) {
    memset(out, 0, EXIF_BYTES);
    (void)put_bytes(out, big_endian ? "MM\0*" : "II*\0", 4);
    put_16(out + (big_endian ? 6 : 4), big_endian, 8); // where the directory begins
    put_16(out + 8, big_endian, 2);
    put_16(out + 10, big_endian, 0x0100); // the width
    put_16(out + 12, big_endian, 3);
    put_16(out + (big_endian ? 16 : 14), big_endian, 1);
    put_16(out + 18, big_endian, 7);
    put_16(out + 22, big_endian, 0x0112);
    put_16(out + 24, big_endian, 3);
    put_16(out + (big_endian ? 28 : 26), big_endian, 1);
    put_16(out + 30, big_endian, orientation);
}

/// What make_jpeg is told; sides are multiples of 64.
typedef struct jpeg_spec {
    uint32_t width, height;
    int scan_count; // one for the means of the blocks, the others for the rest of them
} jpeg_spec;

/// Encodes a progressive grey JPEG of zeros (which means 128) into `out` (JPEG_BYTES_MAX); returns
/// its size. Each scan's one Huffman code is a single 0: a block of mean 0, or 2^14 empty blocks.
static inline size_t make_jpeg(const jpeg_spec *spec, uint8_t *out) {
    const size_t block_count = (size_t)spec->width / 8 * (spec->height / 8);
    const size_t runs_bytes = (block_count / (1u << 14) * 15 + 23) / 8;
    memset(out, 0, JPEG_BYTES_MAX);
    size_t used = PUT_BYTES(out, "\xff\xd8\xff\xdb\0\x43\0");
    memset(out + used, 1, 64);
    used += 64;
    used += PUT_BYTES(out + used, "\xff\xc2\0\x0b\x08");
    put_32(out + used, spec->height << 16 | spec->width);
    used += 4;
    used += PUT_BYTES(out + used, "\x01\x01\x11\0");
    used += PUT_BYTES(out + used, "\xff\xc4\0\x14\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    used += PUT_BYTES(out + used, "\xff\xc4\0\x14\x10\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xe0");
    used += PUT_BYTES(out + used, "\xff\xda\0\x08\x01\x01\0\0\0\0");
    used += block_count / 8;
    for (int scan = 1; scan < spec->scan_count; scan++) {
        used += PUT_BYTES(out + used, "\xff\xda\0\x08\x01\x01\0\x01\x3f\0");
        used += runs_bytes;
    }
    used += PUT_BYTES(out + used, "\xff\xd9");
    assert_true(used < JPEG_BYTES_MAX);
    return used;
}

/// `count` grey 8x8 images DIR/LABEL/0.png ... whose value is `value` plus their number.
static inline void put_label(const char *dir, const char *label, int count, uint8_t value) {
    for (int i = 0; i < count; i++) {
        char path[NS_PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s/%s/%03d.png", dir, label, i);
        put_plain_png(path, 8, 8, true, (uint8_t)(value + i));
    }
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZER_TAKES_MEMORY 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZER_TAKES_MEMORY 1
#endif

/// What `run` returns in a process that may take `room_bytes` more memory than this one has. Skips
/// the test under sanitizers, which take terabytes of addresses.
static inline ns_status run_within(size_t room_bytes, ns_status (*run)(const void *),
                                   const void *context) {
#ifdef SANITIZER_TAKES_MEMORY
    print_message("SKIPPED: memory cannot be limited under this sanitizer\n");
    skip();
#endif
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char pages[32] = "";
        FILE *statm = fopen("/proc/self/statm", "r");
        if (statm == NULL || fgets(pages, sizeof(pages), statm) == NULL || fclose(statm) != 0) {
            _exit(255);
        }
        const rlim_t page_count = strtoull(pages, NULL, 10); // the line's first word
        const rlim_t limit = page_count * (rlim_t)sysconf(_SC_PAGESIZE) + room_bytes;
        if (setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit}) != 0) {
            _exit(255);
        }
        _exit(-(int)run(context));
    }
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    return (ns_status)-WEXITSTATUS(result);
}

/// A file for run_decode.
typedef struct encoded {
    const uint8_t *bytes;
    size_t size_bytes;
} encoded;

/// For run_within.
static inline ns_status run_decode(const void *context) {
    const encoded *file = context;
    data_image image = {0};
    const ns_status status =
        data_image_decode(file->bytes, file->size_bytes, "made here", &image, NULL);
    data_image_free(&image);
    return status;
}

/// What the header of the file `path` says.
static inline ns_status read_header(const char *path, data__image_header *out, ns_error *err) {
    data__content content;
    ns_status status = data__content_read(path, SIZE_MAX, &content, err);
    if (status == NS_OK) {
        status = data__content_header(&content, out, err);
    }
    data__content_free(&content);
    return status;
}

/// data_import with default options but for `format`, then data_open.
static inline data_set *import_and_open(const char *source, data_format format) {
    ns_error err = {0};
    data_set *set = NULL;
    data_import_options options = data_import_options_default();
    options.format = format;
    assert_ok(data_import(source, "import.nsd", &options, &err), &err);
    assert_ok(data_open("import.nsd", &set, &err), &err);
    return set;
}

/// Image `index` must have this name.
static inline void assert_name(const data_set *set, size_t index, const char *want) {
    const char *name = data_name(set, index);
    if (name == NULL || strcmp(name, want) != 0) {
        fail_msg("image %zu is called \"%s\", want \"%s\"", index,
                 name != NULL ? name : "(nothing)", want);
    }
}

/// The import must fail with `status` and a sentence that holds all of `words`, and leave nothing.
static inline void assert_refused(const char *source, const data_import_options *options,
                                  ns_status status, const char *const *words, size_t word_count) {
    ns_error err = {0};
    fresh_dir("refused");
    const ns_status got = data_import(source, "refused/out.nsd", options, &err);
    if (got != status) {
        fail_msg("%s: got \"%s\" (%s), want \"%s\"", source, ns_status_text(got), err.text,
                 ns_status_text(status));
    }
    for (size_t i = 0; i < word_count; i++) {
        if (strstr(err.text, words[i]) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", err.text, words[i]);
        }
    }
    assert_int_equal(rmdir("refused"), 0); // only works on an empty folder
}

/// ... with default options; the rest are words.
#define ASSERT_REFUSED(source, status, ...)                                                        \
    do {                                                                                           \
        const data_import_options assert_options_ = data_import_options_default();                 \
        const char *const assert_words_[] = {__VA_ARGS__};                                         \
        assert_refused(source, &assert_options_, status, assert_words_,                            \
                       NS_COUNT_OF(assert_words_));                                                \
    } while (0)

#endif
