// One image file: told by its first bytes, whatever its name, and handed to the decoder of its
// kind. Sentences for a person are put together here; the decoders give only the reason.

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data_internal.h"

#define SNIFF_BYTES 16

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
    {DATA__KIND_FOREIGN, "BMP", 0, "BM", 2},     {DATA__KIND_FOREIGN, "WebP", 8, "WEBP", 4},
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
        return ns_fail(err, NS_ERR_INPUT, "it is a %s image, only PNG and JPEG are read", format);
    }
    return ns_fail(err, NS_ERR_INPUT, "it is neither PNG nor JPEG");
}

ns_status data__image_decode_bare(const uint8_t *bytes, size_t size_bytes, data_image *out,
                                  ns_error *err) {
    const char *format;
    const data__image_kind kind = data__image_sniff(bytes, size_bytes, &format);
    switch (kind) {
    case DATA__KIND_PNG:
        return data__png_decode(bytes, size_bytes, out, err);
    case DATA__KIND_JPEG:
        return data__jpeg_decode(bytes, size_bytes, out, err);
    default:
        return refuse(kind, format, size_bytes, err);
    }
}

/// Opens a regular file; a pipe or device would block or never end.
static ns_status open_regular(const char *path, FILE **out, ns_error *err) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return ns_fail(err, errno == ENOENT ? NS_ERR_NOT_FOUND : NS_ERR_IO, "%s", strerror(errno));
    }
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return ns_fail(err, NS_ERR_INPUT, "it is not a regular file");
    }
    if (info.st_size > (off_t)DATA__FILE_BYTES_MAX) {
        close(fd);
        return ns_fail(err, NS_ERR_INPUT, "it has %lld bytes, more than %u",
                       (long long)info.st_size, DATA__FILE_BYTES_MAX);
    }
    *out = fdopen(fd, "rb");
    if (*out == NULL) {
        close(fd);
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    return NS_OK;
}

ns_status data__image_read_header(const char *path, data__image_header *out, ns_error *err) {
    FILE *file = NULL;
    out->kind = DATA__KIND_OTHER;
    NS_TRY(open_regular(path, &file, err));
    uint8_t start[SNIFF_BYTES];
    const size_t size_bytes = fread(start, 1, sizeof(start), file);
    const char *format;
    const data__image_kind kind = data__image_sniff(start, size_bytes, &format);
    out->kind = kind;
    rewind(file);
    ns_status status;
    switch (kind) {
    case DATA__KIND_PNG:
        status = data__png_read_header(file, out, err);
        break;
    case DATA__KIND_JPEG:
        status = data__jpeg_read_header(file, out, err);
        break;
    default:
        status = refuse(kind, format, size_bytes, err);
        break;
    }
    (void)fclose(file);
    return status;
}

static ns_status read_bytes(FILE *file, uint8_t **out, size_t *size_bytes, ns_error *err) {
    struct stat info;
    if (fstat(fileno(file), &info) != 0) {
        return ns_fail(err, NS_ERR_IO, "%s", strerror(errno));
    }
    const size_t size = (size_t)info.st_size;
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    *size_bytes = fread(bytes, 1, size, file);
    if (ferror(file)) {
        free(bytes);
        return ns_fail(err, NS_ERR_IO, "reading failed: %s", strerror(errno));
    }
    *out = bytes;
    return NS_OK;
}

ns_status data__image_read_bare(const char *path, data_image *out, ns_error *err) {
    FILE *file = NULL;
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    NS_TRY(open_regular(path, &file, err));
    ns_status status = read_bytes(file, &bytes, &size_bytes, err);
    (void)fclose(file);
    NS_TRY(status);
    status = data__image_decode_bare(bytes, size_bytes, out, err);
    free(bytes);
    return status;
}

ns_status data_image_read(const char *path, data_image *out, ns_error *err) {
    const ns_status status = data__image_read_bare(path, out, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot read image %s", path);
    }
    return status;
}

ns_status data_image_decode(const uint8_t *bytes, size_t size_bytes, const char *name,
                            data_image *out, ns_error *err) {
    const ns_status status = data__image_decode_bare(bytes, size_bytes, out, err);
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
