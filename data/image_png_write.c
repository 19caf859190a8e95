// PNG out of packed pixels, through libpng, for pages that carry their pictures inside: 8-bit grey
// or RGB, without any chunk that is not needed. The same pixels give the same bytes.
//
// Nothing about pixels in memory can be wrong, so the one failure is a lack of memory; libpng tells
// of it by a longjmp.

#include <assert.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

/// State of one encoding. On the heap, so that its fields survive libpng's longjmp.
typedef struct png_writing {
    jmp_buf failed;
    png_structp png;
    png_infop info;
    uint8_t *bytes; // the file so far
    size_t used_bytes, size_bytes;
    uint8_t *row; // (W, C)
} png_writing;

static void on_error(png_structp png, png_const_charp text) {
    (void)text;
    png_writing *job = png_get_error_ptr(png);
    longjmp(job->failed, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void on_write(png_structp png, png_bytep bytes, png_size_t size_bytes) {
    png_writing *job = png_get_io_ptr(png);
    if (job->size_bytes - job->used_bytes < size_bytes) {
        const size_t wanted = 2 * (job->used_bytes + size_bytes);
        uint8_t *grown = realloc(job->bytes, wanted);
        if (grown == NULL) {
            png_error(png, "out of memory");
        }
        job->bytes = grown;
        job->size_bytes = wanted;
    }
    memcpy(job->bytes + job->used_bytes, bytes, size_bytes);
    job->used_bytes += size_bytes;
}

static void on_flush(png_structp png) {
    (void)png;
}

static void job_free(png_writing *job) {
    if (job->png != NULL) {
        png_destroy_write_struct(&job->png, &job->info);
    }
    free(job->bytes);
    free(job->row);
    free(job);
}

/// Leaves by longjmp when memory runs out.
static void write_all(png_writing *job, const uint8_t *pixels, int channels, int height,
                      int width) {
    const size_t plane_size = (size_t)height * (size_t)width;
    png_set_write_fn(job->png, job, on_write, on_flush);
    png_set_IHDR(job->png, job->info, (png_uint_32)width, (png_uint_32)height, 8,
                 channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(job->png, job->info);
    for (int y = 0; y < height; y++) {
        const uint8_t *line = pixels + (size_t)y * (size_t)width;
        for (int c = 0; c < channels; c++) {
            for (int x = 0; x < width; x++) {
                job->row[x * channels + c] = line[(size_t)c * plane_size + (size_t)x];
            }
        }
        png_write_row(job->png, job->row);
    }
    png_write_end(job->png, NULL);
}

ns_status data_png_encode(const uint8_t *pixels, int channels, int height, int width, uint8_t **out,
                          size_t *size_bytes, ns_error *err) {
    assert(channels == 1 || channels == 3);
    assert(height > 0 && height <= DATA__IMAGE_SIDE_MAX);
    assert(width > 0 && width <= DATA__IMAGE_SIDE_MAX);
    png_writing *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while writing a PNG");
    }
    job->row = malloc((size_t)width * (size_t)channels);
    job->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning);
    job->info = job->png != NULL ? png_create_info_struct(job->png) : NULL;
    if (job->row == NULL || job->info == NULL || setjmp(job->failed) != 0) {
        job_free(job);
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while writing a PNG");
    }
    write_all(job, pixels, channels, height, width);
    *out = job->bytes;
    *size_bytes = job->used_bytes;
    job->bytes = NULL;
    job_free(job);
    return NS_OK;
}
