// PNG through libpng: every colour type and depth becomes 8-bit grey or RGB, alpha laid over black.
//
// Errors stay inside: libpng's own message becomes the reason, its warnings are dropped, nothing is
// printed. Checksum errors are errors in every chunk. Sizes are checked before memory is taken, and
// a small file cannot ask for much: chunks that no pixel depends on (texts, profiles, times) are
// skipped unread, so that none of them is inflated or stored, and the others have at most 8 MB.
//
// libpng reports a failed allocation like a damaged file. Its memory therefore comes through here:
// what failed after malloc did is out of memory, and no fault of the image.

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

#define CHUNK_BYTES_MAX    (8u << 20)
#define SIGNATURE_BYTES    8
#define HEADER_BYTES       33 // signature and the whole IHDR chunk
#define CHUNK_AROUND_BYTES 12 // length and type before a chunk's data, checksum behind it
#define REASON_MAX         200

/// State of one decoding. On the heap, so that its fields survive libpng's longjmp.
typedef struct png_job {
    jmp_buf failed;
    char reason[REASON_MAX], warning[REASON_MAX];
    bool no_memory; // an allocation failed
    png_structp png;
    png_infop info;
    const uint8_t *bytes; // the file
    size_t size_bytes, used_bytes;
    data__cpu_limit *limit;
    int width, height;
    int channels;   // as libpng delivers: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA
    uint8_t *rows;  // (H, W, channels)
    png_bytep *row; // (H), into rows
} png_job;

static void on_error(png_structp png, png_const_charp text) {
    png_job *job = png_get_error_ptr(png);
    const char *colon = strstr(text, ": ");
    if (colon != NULL && colon - text == 4) { // "IDAT: CRC error"
        (void)snprintf(job->reason, sizeof(job->reason), "%s in chunk %.4s", colon + 2, text);
    } else if (strcmp(text, "Invalid IHDR data") == 0 && job->warning[0] != 0) {
        (void)snprintf(job->reason, sizeof(job->reason), "%s", job->warning);
    } else {
        (void)snprintf(job->reason, sizeof(job->reason), "%s", text);
    }
    longjmp(job->failed, 1);
}

/// Only kept: what is wrong in IHDR comes as a warning before an error that names no detail.
static void on_warning(png_structp png, png_const_charp text) {
    png_job *job = png_get_error_ptr(png);
    (void)snprintf(job->warning, sizeof(job->warning), "%s", text);
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t size_bytes) {
    png_job *job = png_get_mem_ptr(png);
    void *block = malloc(size_bytes);
    job->no_memory = job->no_memory || block == NULL;
    return block;
}

static void on_free(png_structp png, png_voidp block) {
    (void)png;
    free(block);
}

static void on_read(png_structp png, png_bytep out, png_size_t size_bytes) {
    png_job *job = png_get_io_ptr(png);
    if (job->size_bytes - job->used_bytes < size_bytes) {
        png_error(png, "the file is cut off");
    }
    memcpy(out, job->bytes + job->used_bytes, size_bytes);
    job->used_bytes += size_bytes;
}

/// After each row of each pass.
static void on_row(png_structp png, png_uint_32 row, int pass) {
    png_job *job = png_get_io_ptr(png);
    ns_error why;
    (void)row;
    (void)pass;
    if (data__cpu_limit_check(job->limit, (uint64_t)job->width, &why) != NS_OK) {
        png_error(png, why.text);
    }
}

static void job_free(png_job *job) {
    if (job->png != NULL) {
        png_destroy_read_struct(&job->png, &job->info, NULL);
    }
    free(job->rows);
    free(job->row);
    free(job);
}

static void ask_for_8_bits(png_job *job) {
    png_set_expand(job->png); // palette to RGB, 1, 2 and 4 bits to 8, tRNS to alpha
    png_set_scale_16(job->png);
    png_set_interlace_handling(job->png);
    png_read_update_info(job->png, job->info);
}

/// Fills job->rows; leaves by longjmp when the file is bad.
static void read_rows(png_job *job) {
    const size_t row_bytes = png_get_rowbytes(job->png, job->info);
    const size_t height = (size_t)job->height;
    job->channels = png_get_channels(job->png, job->info);
    if (row_bytes != (size_t)job->width * (size_t)job->channels) {
        png_error(job->png, "rows have an unexpected length");
    }
    job->rows = malloc(height * row_bytes);
    job->row = malloc(height * sizeof(*job->row));
    if (job->rows == NULL || job->row == NULL) {
        job->no_memory = true;
        png_error(job->png, "out of memory");
    }
    for (size_t y = 0; y < height; y++) {
        job->row[y] = job->rows + y * row_bytes;
    }
    png_read_image(job->png, job->row);
    png_read_end(job->png, NULL);
}

static void read_all(png_job *job) {
    png_set_read_fn(job->png, job, on_read);
    png_set_read_status_fn(job->png, on_row);
    png_set_crc_action(job->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_user_limits(job->png, DATA__IMAGE_SIDE_MAX, DATA__IMAGE_SIDE_MAX);
    png_set_chunk_malloc_max(job->png, CHUNK_BYTES_MAX);
    png_set_keep_unknown_chunks(job->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); // all but pixels'
    png_read_info(job->png, job->info);
    job->width = (int)png_get_image_width(job->png, job->info);
    job->height = (int)png_get_image_height(job->png, job->info);
    ask_for_8_bits(job);
    read_rows(job);
}

static uint32_t big_endian_32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/// The sizes that the header claims, before libpng sees it.
static ns_status check_claim(const uint8_t *bytes, size_t size_bytes, ns_error *err) {
    if (size_bytes < HEADER_BYTES) {
        return ns_fail(err, NS_ERR_INPUT, "the file is cut off");
    }
    if (png_sig_cmp(bytes, 0, SIGNATURE_BYTES) != 0) {
        return ns_fail(err, NS_ERR_INPUT, "its PNG signature is damaged");
    }
    if (memcmp(bytes + SIGNATURE_BYTES + 4, "IHDR", 4) != 0) {
        return ns_fail(err, NS_ERR_INPUT, "it does not begin with chunk IHDR");
    }
    return data__image_check_size(big_endian_32(bytes + 16), big_endian_32(bytes + 20), err);
}

/// The orientation that chunk eXIf tells, where it comes before the pixels.
static ns_status find_orientation(const uint8_t *bytes, size_t size_bytes, int *out,
                                  ns_error *err) {
    size_t at = HEADER_BYTES;
    *out = DATA__UPRIGHT;
    while (size_bytes - at >= CHUNK_AROUND_BYTES) {
        const uint8_t *chunk = bytes + at;
        const size_t chunk_bytes = big_endian_32(chunk);
        if (memcmp(chunk + 4, "IDAT", 4) == 0 || memcmp(chunk + 4, "IEND", 4) == 0) {
            return NS_OK;
        }
        if (chunk_bytes > size_bytes - at - CHUNK_AROUND_BYTES) {
            break;
        }
        if (memcmp(chunk + 4, "eXIf", 4) == 0) {
            *out = data__exif_orientation(chunk + 8, chunk_bytes);
            return NS_OK;
        }
        at += CHUNK_AROUND_BYTES + chunk_bytes;
    }
    return ns_fail(err, NS_ERR_INPUT, "the file is cut off");
}

ns_status data__png_decode(const uint8_t *bytes, size_t size_bytes, data__cpu_limit *limit,
                           data_image *out, ns_error *err) {
    int orientation;
    NS_TRY(check_claim(bytes, size_bytes, err));
    (void)find_orientation(bytes, size_bytes, &orientation, NULL);
    png_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    job->bytes = bytes;
    job->size_bytes = size_bytes;
    job->limit = limit;
    job->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, job, on_error, on_warning, job,
                                        on_malloc, on_free);
    job->info = job->png != NULL ? png_create_info_struct(job->png) : NULL;
    if (job->info == NULL) {
        job_free(job);
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    if (setjmp(job->failed) != 0) {
        const ns_status status = job->no_memory ? ns_fail(err, NS_ERR_MEMORY, "out of memory")
                                                : ns_fail(err, NS_ERR_INPUT, "%s", job->reason);
        job_free(job);
        return status;
    }
    read_all(job);
    if (job->channels % 2 == 0) {
        job->channels--;
        data__image_drop_alpha(job->rows, (size_t)job->width * (size_t)job->height, job->channels);
    }
    *out = (data_image){job->width, job->height, job->channels, job->rows};
    job->rows = NULL;
    job_free(job);
    const ns_status status = data__image_turn(out, orientation, err);
    if (status != NS_OK) {
        data_image_free(out);
    }
    return status;
}

ns_status data__png_header(const uint8_t *bytes, size_t size_bytes, data__image_header *out,
                           ns_error *err) {
    NS_TRY(check_claim(bytes, size_bytes, err));
    int orientation;
    NS_TRY(find_orientation(bytes, size_bytes, &orientation, err));
    data__image_header_set(out, (int)big_endian_32(bytes + 16), (int)big_endian_32(bytes + 20),
                           (bytes[25] & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1, orientation);
    return NS_OK;
}
