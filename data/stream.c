// Bytes read from front to back, wherever they come from: a file, what gzip packed, an archive's
// entry. A reader of a source form takes a stream and neither knows nor asks.
//
// Nothing here reads a whole file: a stream's memory is one buffer, however long it is. What is
// unpacked may not be more than RATIO_MAX times what it was unpacked from (deflate reaches 1,032,
// images and tables 30), beyond some that is always allowed; both are counted as they are read, in
// an archive over everything in it. Sentences give the reason alone; whoever opened the stream knows
// its name.

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "data/data_internal.h"

#define BUFFER_BYTES (64u << 10)
#define GZIP_WINDOW  (15 + 16) // of zlib: the largest window, and gzip's header alone
#define RATIO_MAX    250
#define FREE_BYTES   (64u << 20) // that are allowed whatever the ratio

ns_status data__unpacked_check(uint64_t packed_bytes, uint64_t unpacked_bytes, ns_error *err) {
    return unpacked_bytes <= FREE_BYTES + RATIO_MAX * packed_bytes
               ? NS_OK
               : ns_fail(err, NS_ERR_LIMIT,
                         "it unpacks to more than %d times its size, as a zip bomb does",
                         RATIO_MAX);
}

ns_status data__stream_read(data__stream *stream, void *out, size_t size_bytes, size_t *got,
                            ns_error *err) {
    *got = 0;
    while (*got < size_bytes) {
        size_t now = 0;
        NS_TRY(stream->read(stream, (uint8_t *)out + *got, size_bytes - *got, &now, err));
        if (now == 0) {
            break;
        }
        *got += now;
    }
    return NS_OK;
}

void data__stream_close(data__stream *stream) {
    if (stream != NULL) {
        stream->close(stream);
    }
}

static ns_status no_memory(ns_error *err) {
    return ns_fail(err, NS_ERR_MEMORY, "out of memory");
}

/* ---- a file ---------------------------------------------------------------------------------- */

typedef struct file_stream {
    data__stream base;
    int fd;
    uint64_t read_bytes, unpacked_bytes;
} file_stream;

static ns_status file_read(data__stream *base, void *out, size_t size_bytes, size_t *got,
                           ns_error *err) {
    file_stream *stream = (file_stream *)base;
    ssize_t now;
    do {
        now = read(stream->fd, out, size_bytes);
    } while (now < 0 && errno == EINTR);
    if (now < 0) {
        return ns_fail(err, NS_ERR_IO, "reading failed: %s", strerror(errno));
    }
    *got = (size_t)now;
    stream->read_bytes += *got;
    return NS_OK;
}

static ns_status file_unpacked(data__stream *base, size_t size_bytes, ns_error *err) {
    file_stream *stream = (file_stream *)base;
    stream->unpacked_bytes += size_bytes;
    return data__unpacked_check(stream->read_bytes, stream->unpacked_bytes, err);
}

static void file_close(data__stream *stream) {
    close(((file_stream *)stream)->fd);
    free(stream);
}

/// Opens a regular file; a pipe or device would block or never end.
static ns_status open_regular(const char *path, int *out, ns_error *err) {
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return ns_fail(err, errno == ENOENT || errno == ENOTDIR ? NS_ERR_NOT_FOUND : NS_ERR_IO,
                       "%s", strerror(errno));
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return ns_fail(err, NS_ERR_INPUT, "it is not a regular file");
    }
    *out = fd;
    return NS_OK;
}

ns_status data__stream_open(const char *path, data__stream **out, ns_error *err) {
    int fd = -1;
    NS_TRY(open_regular(path, &fd, err));
    file_stream *stream = malloc(sizeof(*stream));
    if (stream == NULL) {
        close(fd);
        return no_memory(err);
    }
    *stream = (file_stream){
        .base = {.read = file_read, .unpacked = file_unpacked, .close = file_close}, .fd = fd};
    return data__stream_unpacked(&stream->base, out, err);
}

/* ---- what gzip packed ------------------------------------------------------------------------ */

typedef struct gzip_stream {
    data__stream base;
    data__stream *packed; // owned
    bool is_gzip;         // else the bytes pass through
    bool inside;          // of a member: its end has not been seen
    z_stream zlib;        // next_in and avail_in are what the buffer still holds
    uint8_t buffer[BUFFER_BYTES];
} gzip_stream;

static ns_status gzip_fill(gzip_stream *stream, ns_error *err) {
    size_t got = 0;
    NS_TRY(stream->packed->read(stream->packed, stream->buffer, sizeof(stream->buffer), &got, err));
    stream->zlib.next_in = stream->buffer;
    stream->zlib.avail_in = (unsigned)got;
    return NS_OK;
}

static ns_status pass_through(gzip_stream *stream, void *out, size_t size_bytes, size_t *got,
                              ns_error *err) {
    if (stream->zlib.avail_in == 0) {
        return stream->packed->read(stream->packed, out, size_bytes, got, err);
    }
    *got = size_bytes < stream->zlib.avail_in ? size_bytes : stream->zlib.avail_in;
    memcpy(out, stream->zlib.next_in, *got);
    stream->zlib.next_in += *got;
    stream->zlib.avail_in -= (unsigned)*got;
    return NS_OK;
}

/// What zlib said of the last step.
static ns_status gzip_judge(gzip_stream *stream, int code, ns_error *err) {
    if (code == Z_STREAM_END) { // another member may follow (RFC 1952, section 2.2)
        stream->inside = false;
        return inflateReset(&stream->zlib) == Z_OK ? NS_OK : no_memory(err);
    }
    if (code == Z_MEM_ERROR) {
        return no_memory(err);
    }
    return code == Z_OK || code == Z_BUF_ERROR
               ? NS_OK
               : ns_fail(err, NS_ERR_INPUT, "its gzip data is damaged: %s",
                         stream->zlib.msg != NULL ? stream->zlib.msg : "broken");
}

static ns_status gzip_read(data__stream *base, void *out, size_t size_bytes, size_t *got,
                           ns_error *err) {
    gzip_stream *stream = (gzip_stream *)base;
    if (!stream->is_gzip) {
        return pass_through(stream, out, size_bytes, got, err);
    }
    const size_t wanted = size_bytes < BUFFER_BYTES ? size_bytes : BUFFER_BYTES;
    stream->zlib.next_out = out;
    stream->zlib.avail_out = (unsigned)wanted;
    while (stream->zlib.avail_out == wanted) {
        if (stream->zlib.avail_in == 0) {
            NS_TRY(gzip_fill(stream, err));
        }
        if (stream->zlib.avail_in == 0) {
            if (stream->inside) {
                return ns_fail(err, NS_ERR_INPUT, "it is cut off: its gzip data has no end");
            }
            break;
        }
        stream->inside = true;
        NS_TRY(gzip_judge(stream, inflate(&stream->zlib, Z_NO_FLUSH), err));
    }
    *got = wanted - stream->zlib.avail_out;
    return stream->packed->unpacked(stream->packed, *got, err);
}

static void gzip_close(data__stream *base) {
    gzip_stream *stream = (gzip_stream *)base;
    (void)inflateEnd(&stream->zlib);
    data__stream_close(stream->packed);
    free(stream);
}

ns_status data__stream_unpacked(data__stream *packed, data__stream **out, ns_error *err) {
    size_t got = 0;
    gzip_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL || inflateInit2(&stream->zlib, GZIP_WINDOW) != Z_OK) {
        free(stream);
        data__stream_close(packed);
        return no_memory(err);
    }
    stream->base = (data__stream){.read = gzip_read, .close = gzip_close};
    stream->packed = packed;
    const ns_status status =
        data__stream_read(packed, stream->buffer, sizeof(stream->buffer), &got, err);
    if (status != NS_OK) {
        gzip_close(&stream->base);
        return status;
    }
    stream->zlib.next_in = stream->buffer;
    stream->zlib.avail_in = (unsigned)got;
    stream->is_gzip = got >= 2 && stream->buffer[0] == 0x1f && stream->buffer[1] == 0x8b;
    *out = &stream->base;
    return NS_OK;
}

/* ---- a folder -------------------------------------------------------------------------------- */

static ns_status folder_open(const data__place *place, const char *name, data__stream **out,
                             ns_error *err) {
    char path[NS_PATH_MAX];
    NS_TRY(ns_path_join(place->dir, name, path, err));
    return data__stream_open(path, out, err);
}

static bool folder_holds(const data__place *place, const char *name) {
    char path[NS_PATH_MAX];
    struct stat info;
    return ns_path_join(place->dir, name, path, NULL) == NS_OK && stat(path, &info) == 0;
}

static ns_status folder_names(const data__place *place, char ***names, size_t *count,
                              ns_error *err) {
    return data__dir_names(place->dir, names, count, err);
}

data__place data__place_folder(const char *dir) {
    return (data__place){.open = folder_open,
                         .holds = folder_holds,
                         .names = folder_names,
                         .dir = dir,
                         .shown = dir};
}

void data__place_show(const data__place *place, const char *name, char out[DATA__SHOWN_MAX]) {
    const size_t length = strlen(place->shown);
    const bool has_slash = length > 0 && place->shown[length - 1] == '/';
    (void)snprintf(out, DATA__SHOWN_MAX, "%s%s%s", place->shown, has_slash ? "" : "/", name);
}

void data__disk_file_set(data__disk_file *disk, const char *path) {
    const char *slash = strrchr(path, '/');
    (void)snprintf(disk->dir, sizeof(disk->dir), "%.*s",
                   slash == NULL   ? 1
                   : slash == path ? 1
                                   : (int)(slash - path),
                   slash == NULL ? "." : path);
    disk->place = data__place_folder(disk->dir);
    disk->file = (data__file){
        .place = &disk->place, .name = slash == NULL ? path : slash + 1, .shown = path};
}

ns_status data__file_open(const data__file *file, data__stream **out, ns_error *err) {
    const ns_status status = file->place->open(file->place, file->name, out, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", file->shown);
    }
    return status;
}
