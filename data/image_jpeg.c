// JPEG through libjpeg-turbo: baseline, progressive and arithmetic coding; grey, YCbCr, RGB, CMYK
// and YCCK become 8-bit grey or RGB.
//
// Errors stay inside: libjpeg's own message becomes the reason, nothing is printed. libjpeg calls
// damaged pixel data a warning and paints it grey; here a warning that means lost pixels is an
// error, others (odd markers, bytes between segments) are let pass. Scans are limited, in number and
// in the pixels that they pass over, since a small progressive file can hold thousands.

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "data/data_internal.h"

#define MARKER_SOS      0xda
#define MARKER_APP1     0xe1
#define SCANS_MAX       500
#define SCAN_PIXELS_MAX (1ll << 33) // scans * width * height: some seconds

/// State of one decoding. On the heap, so that its fields survive libjpeg's longjmp.
typedef struct jpeg_job {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    char reason[NS_ERROR_TEXT_MAX];
    ns_status status; // that goes with `reason`
    data__cpu_limit *limit;
    uint8_t *pixels; // (H, W, channels)
} jpeg_job;

static void on_error(j_common_ptr jpeg) {
    jpeg_job *job = jpeg->client_data;
    _Static_assert(NS_ERROR_TEXT_MAX >= JMSG_LENGTH_MAX, "a message of libjpeg must fit");
    jpeg->err->format_message(jpeg, job->reason);
    job->status = jpeg->err->msg_code == JERR_OUT_OF_MEMORY ? NS_ERR_MEMORY : NS_ERR_INPUT;
    longjmp(job->failed, 1);
}

static bool means_lost_pixels(int code) {
    switch (code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
        return true;
    default:
        return false;
    }
}

static void on_message(j_common_ptr jpeg, int level) {
    if (level < 0 && means_lost_pixels(jpeg->err->msg_code)) {
        on_error(jpeg);
    }
}

static void on_output(j_common_ptr jpeg) {
    (void)jpeg;
}

static void fail(jpeg_job *job, ns_status status, const char *reason) {
    (void)snprintf(job->reason, sizeof(job->reason), "%s", reason);
    job->status = status;
    longjmp(job->failed, 1);
}

static void on_progress(j_common_ptr jpeg) {
    jpeg_job *job = jpeg->client_data;
    const long long scan_count = job->jpeg.input_scan_number;
    if (scan_count > SCANS_MAX ||
        scan_count * job->jpeg.image_width * job->jpeg.image_height > SCAN_PIXELS_MAX) {
        char reason[80];
        (void)snprintf(reason, sizeof(reason), "it has %lld or more scans of %ux%u pixels",
                       scan_count, job->jpeg.image_width, job->jpeg.image_height);
        fail(job, NS_ERR_INPUT, reason);
    }
    ns_error why; // told once a row of blocks or more often: 8 rows of pixels at least
    if (data__cpu_limit_check(job->limit, 8ull * job->jpeg.image_width, &why) != NS_OK) {
        fail(job, NS_ERR_INPUT, why.text);
    }
}

/// `*out` is ready for jpeg_create_decompress, which may fail and so belongs after setjmp.
static ns_status job_new(jpeg_job **out, ns_error *err) {
    jpeg_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    job->jpeg.err = jpeg_std_error(&job->errors);
    job->errors.error_exit = on_error;
    job->errors.emit_message = on_message;
    job->errors.output_message = on_output;
    job->progress.progress_monitor = on_progress;
    job->jpeg.client_data = job;
    *out = job;
    return NS_OK;
}

static void job_free(jpeg_job *job) {
    jpeg_destroy_decompress(&job->jpeg);
    free(job->pixels);
    free(job);
}

/// Ends a job that failed, with its reason.
static ns_status give_up(jpeg_job *job, ns_error *err) {
    const ns_status status = ns_fail(err, job->status, "%s", job->reason);
    job_free(job);
    return status;
}

static void check_claim(jpeg_job *job) {
    ns_error why;
    if (data__image_check_size(job->jpeg.image_width, job->jpeg.image_height, &why) != NS_OK) {
        fail(job, NS_ERR_INPUT, why.text);
    }
}

static void choose_output(struct jpeg_decompress_struct *jpeg) {
    switch (jpeg->jpeg_color_space) {
    case JCS_GRAYSCALE:
        jpeg->out_color_space = JCS_GRAYSCALE;
        break;
    case JCS_CMYK:
    case JCS_YCCK:
        jpeg->out_color_space = JCS_CMYK;
        break;
    default:
        jpeg->out_color_space = JCS_RGB;
        break;
    }
}

/// Fills job->pixels; leaves by longjmp when the file is bad.
static void read_all(jpeg_job *job, const uint8_t *bytes, size_t size_bytes) {
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->progress = &job->progress;
    jpeg_mem_src(jpeg, bytes, size_bytes);
    (void)jpeg_read_header(jpeg, TRUE);
    check_claim(job);
    choose_output(jpeg);
    (void)jpeg_start_decompress(jpeg);
    const size_t row_bytes = (size_t)jpeg->output_width * (size_t)jpeg->output_components;
    job->pixels = malloc(row_bytes * jpeg->output_height);
    if (job->pixels == NULL) {
        fail(job, NS_ERR_MEMORY, "out of memory");
    }
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = job->pixels + jpeg->output_scanline * row_bytes;
        (void)jpeg_read_scanlines(jpeg, &row, 1);
    }
    (void)jpeg_finish_decompress(jpeg);
}

static uint8_t scaled(uint32_t value, uint32_t by) {
    return (uint8_t)((value * by + 127) / 255);
}

/// (H, W, 4) CMYK becomes (H, W, 3) RGB in place. Adobe's files store the inks inverted.
static void inks_to_rgb(uint8_t *pixels, size_t pixel_count, bool inverted) {
    const uint32_t flip = inverted ? 0 : 255;
    const uint8_t *in = pixels;
    uint8_t *out = pixels;
    for (size_t i = 0; i < pixel_count; i++, in += 4, out += 3) {
        const uint32_t key = in[3] ^ flip;
        const uint32_t cyan = in[0] ^ flip;
        const uint32_t magenta = in[1] ^ flip;
        const uint32_t yellow = in[2] ^ flip;
        out[0] = scaled(cyan, key);
        out[1] = scaled(magenta, key);
        out[2] = scaled(yellow, key);
    }
}

/// The orientation that the first EXIF segment tells; segments behind the header are not looked at.
static int find_orientation(const uint8_t *bytes, size_t size_bytes) {
    size_t at = 2; // behind SOI
    while (size_bytes - at >= 4 && bytes[at] == 0xff) {
        const uint8_t marker = bytes[at + 1];
        const size_t segment_bytes = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        at += 2;
        if (marker == MARKER_SOS || segment_bytes < 2 || segment_bytes > size_bytes - at) {
            break;
        }
        if (marker == MARKER_APP1 && segment_bytes >= 8 && memcmp(bytes + at + 2, "Exif", 5) == 0) {
            return data__exif_orientation(bytes + at + 2, segment_bytes - 2);
        }
        at += segment_bytes;
    }
    return DATA__UPRIGHT;
}

ns_status data__jpeg_decode(const uint8_t *bytes, size_t size_bytes, data__cpu_limit *limit,
                            data_image *out, ns_error *err) {
    jpeg_job *job = NULL;
    NS_TRY(job_new(&job, err));
    job->limit = limit;
    if (setjmp(job->failed) != 0) {
        return give_up(job, err);
    }
    read_all(job, bytes, size_bytes);
    const struct jpeg_decompress_struct *jpeg = &job->jpeg;
    int channels = jpeg->output_components;
    if (channels == 4) {
        inks_to_rgb(job->pixels, (size_t)jpeg->output_width * jpeg->output_height,
                    jpeg->saw_Adobe_marker);
        channels = 3;
    }
    *out = (data_image){(int)jpeg->output_width, (int)jpeg->output_height, channels, job->pixels};
    job->pixels = NULL;
    job_free(job);
    const ns_status status = data__image_turn(out, find_orientation(bytes, size_bytes), err);
    if (status != NS_OK) {
        data_image_free(out);
    }
    return status;
}

ns_status data__jpeg_header(const uint8_t *bytes, size_t size_bytes, data__image_header *out,
                            ns_error *err) {
    jpeg_job *job = NULL;
    NS_TRY(job_new(&job, err));
    if (setjmp(job->failed) != 0) {
        return give_up(job, err);
    }
    jpeg_create_decompress(&job->jpeg);
    jpeg_mem_src(&job->jpeg, bytes, size_bytes);
    (void)jpeg_read_header(&job->jpeg, TRUE);
    check_claim(job);
    data__image_header_set(out, (int)job->jpeg.image_width, (int)job->jpeg.image_height,
                           job->jpeg.jpeg_color_space == JCS_GRAYSCALE ? 1 : 3,
                           find_orientation(bytes, size_bytes));
    job_free(job);
    return NS_OK;
}
