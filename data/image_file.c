// One image file: told by its first bytes, whatever its name, and handed to the decoder of its
// kind. Sentences for a person are put together here; the decoders give only the reason.

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data_internal.h"

typedef struct signature {
    data__image_kind kind;
    const char *format;
    size_t at;
    const char *bytes;
    size_t size_bytes;
} signature;

static const signature signatures[] = {
    // Either half of PNG's signature will do: the decoder then says that the other is damaged.
    {DATA__KIND_PNG, "PNG", 0, "\x89PNG", 4},    {DATA__KIND_PNG, "PNG", 4, "\r\n\x1a\n", 4},
    {DATA__KIND_JPEG, "JPEG", 0, "\xff\xd8", 2}, {DATA__KIND_FOREIGN, "GIF", 0, "GIF8", 4},
    {DATA__KIND_FOREIGN, "BMP", 0, "BM", 2},     {DATA__KIND_WEBP, "WebP", 8, "WEBP", 4},
    {DATA__KIND_FOREIGN, "TIFF", 0, "II*\0", 4}, {DATA__KIND_FOREIGN, "TIFF", 0, "MM\0*", 4},
    {DATA__KIND_FOREIGN, "HEIF", 4, "ftyp", 4},
};

data__image_kind data__image_sniff(const uint8_t *bytes, size_t size_bytes, const char **format) {
    for (size_t i = 0; i < NS_COUNT_OF(signatures); i++) {
        const signature *s = &signatures[i];
        if (size_bytes >= s->at + s->size_bytes &&
            memcmp(bytes + s->at, s->bytes, s->size_bytes) == 0) {
            *format = s->format;
            return s->kind;
        }
    }
    *format = "";
    return DATA__KIND_OTHER;
}

/// Says why bytes of this kind are not decoded.
static ns_status refuse(data__image_kind kind, const char *format, size_t size_bytes,
                        ns_error *err) {
    if (size_bytes == 0) {
        return ns_fail(err, NS_ERR_INPUT, "it is empty");
    }
    if (kind == DATA__KIND_FOREIGN) {
        return ns_fail(err, NS_ERR_INPUT, "it is a %s image, only PNG, JPEG and WebP are read",
                       format);
    }
    return ns_fail(err, NS_ERR_INPUT, "it is no PNG, JPEG or WebP image");
}

static ns_status decode(const uint8_t *bytes, size_t size_bytes, int64_t cpu_max_ms,
                        data_image *out, ns_error *err) {
    const char *format;
    data__cpu_limit limit =
        data__cpu_limit_start(cpu_max_ms > 0 ? cpu_max_ms : DATA__IMAGE_CPU_MAX_MS);
    const data__image_kind kind = data__image_sniff(bytes, size_bytes, &format);
    switch (kind) {
    case DATA__KIND_PNG:
        return data__png_decode(bytes, size_bytes, &limit, out, err);
    case DATA__KIND_JPEG:
        return data__jpeg_decode(bytes, size_bytes, &limit, out, err);
    case DATA__KIND_WEBP:
        return data__webp_decode(bytes, size_bytes, out, err);
    default:
        return refuse(kind, format, size_bytes, err);
    }
}

/* ---- what the decoders share ------------------------------------------------------------------ */

void data__image_drop_alpha(uint8_t *pixels, size_t pixel_count, int channels) {
    const uint8_t *in = pixels;
    uint8_t *out = pixels;
    for (size_t i = 0; i < pixel_count; i++) {
        const uint32_t alpha = in[channels];
        for (int c = 0; c < channels; c++) {
            *out++ = (uint8_t)((*in++ * alpha + 127) / 255);
        }
        in++;
    }
}

void data__image_header_set(data__image_header *header, int width, int height, int channels,
                            int orientation) {
    const bool swaps = data__orientation_swaps_sides(orientation);
    header->width = swaps ? height : width;
    header->height = swaps ? width : height;
    header->channels = channels;
}

/* ---- content --------------------------------------------------------------------------------- */

void data__content_free(data__content *content) {
    free(content->bytes);
    data_image_free(&content->image);
    *content = (data__content){0};
}

ns_status data__content_header(const data__content *content, data__image_header *out,
                               ns_error *err) {
    if (content->bytes == NULL) {
        const data_image *image = &content->image;
        *out =
            (data__image_header){DATA__KIND_PIXELS, image->width, image->height, image->channels};
        return NS_OK;
    }
    const char *format;
    out->kind = data__image_sniff(content->bytes, content->size_bytes, &format);
    switch (out->kind) {
    case DATA__KIND_PNG:
        return data__png_header(content->bytes, content->size_bytes, out, err);
    case DATA__KIND_JPEG:
        return data__jpeg_header(content->bytes, content->size_bytes, out, err);
    case DATA__KIND_WEBP:
        return data__webp_header(content->bytes, content->size_bytes, out, err);
    default:
        return refuse(out->kind, format, content->size_bytes, err);
    }
}

ns_status data__content_decode(data__content *content, data_image *out, ns_error *err) {
    if (content->bytes == NULL) {
        *out = content->image;
        content->image = (data_image){0};
        return NS_OK;
    }
    return decode(content->bytes, content->size_bytes, content->cpu_max_ms, out, err);
}

/// The size of the regular file `fd`; a pipe or device would block or never end.
static ns_status check_file(int fd, size_t *size_bytes, ns_error *err) {
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return ns_fail(err, NS_ERR_INPUT, "it is not a regular file");
    }
    if (info.st_size > (off_t)DATA__FILE_BYTES_MAX) {
        return ns_fail(err, NS_ERR_INPUT, "it has %lld bytes, more than %u",
                       (long long)info.st_size, DATA__FILE_BYTES_MAX);
    }
    *size_bytes = (size_t)info.st_size;
    return NS_OK;
}

/// Up to `wanted_bytes` into content->bytes: fewer when the file has shrunk.
static ns_status read_bytes(int fd, size_t wanted_bytes, data__content *content, ns_error *err) {
    content->bytes = malloc(wanted_bytes + 1);
    if (content->bytes == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    while (content->size_bytes < wanted_bytes) {
        const ssize_t got =
            read(fd, content->bytes + content->size_bytes, wanted_bytes - content->size_bytes);
        if (got < 0 && errno != EINTR) {
            return ns_fail(err, NS_ERR_IO, "reading failed: %s", strerror(errno));
        }
        if (got == 0) {
            break;
        }
        content->size_bytes += got > 0 ? (size_t)got : 0;
    }
    return NS_OK;
}

ns_status data__content_read(const char *path, size_t bytes_max, data__content *out,
                             ns_error *err) {
    size_t file_bytes = 0;
    *out = (data__content){0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return ns_fail(err, errno == ENOENT ? NS_ERR_NOT_FOUND : NS_ERR_IO, "%s", strerror(errno));
    }
    ns_status status = check_file(fd, &file_bytes, err);
    if (status == NS_OK) {
        out->cut = bytes_max < file_bytes;
        status = read_bytes(fd, out->cut ? bytes_max : file_bytes, out, err);
    }
    (void)close(fd);
    if (status != NS_OK) {
        data__content_free(out);
    }
    return status;
}

/* ---- the public calls ------------------------------------------------------------------------ */

ns_status data_image_read(const char *path, data_image *out, ns_error *err) {
    data__content content;
    ns_status status = data__content_read(path, SIZE_MAX, &content, err);
    if (status == NS_OK) {
        status = data__content_decode(&content, out, err);
    }
    data__content_free(&content);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot read image %s", path);
    }
    return status;
}

ns_status data_image_decode(const uint8_t *bytes, size_t size_bytes, const char *name,
                            data_image *out, ns_error *err) {
    const ns_status status = decode(bytes, size_bytes, 0, out, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot read image %s", name);
    }
    return status;
}

void data_image_free(data_image *image) {
    if (image != NULL) {
        free(image->pixels);
        *image = (data_image){0};
    }
}
