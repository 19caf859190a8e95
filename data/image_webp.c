// WebP through libwebp: lossy, lossless and with alpha, which is laid over black; always RGB. Of an
// animation no single picture is the image, so it is refused.
//
// The file is a RIFF container. libwebp reads it by itself; here it is walked for two things only:
// whether it is all there, and the EXIF chunk. A WebP has one pass over at most 16383x16383 pixels,
// whatever its bytes say, so that the limit on pixels limits the time as well.

#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>

#include "data/data_internal.h"

#define RIFF_HEADER_BYTES  12 // "RIFF", size, "WEBP"
#define CHUNK_HEADER_BYTES 8  // name, size
#define FLAGS_AT           20 // of a "VP8X" chunk, which comes first
#define FLAG_EXIF          0x08u

static uint32_t little_endian_32(const uint8_t *bytes) {
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

static bool is_cut(const uint8_t *bytes, size_t size_bytes) {
    return size_bytes < RIFF_HEADER_BYTES ||
           little_endian_32(bytes + 4) > size_bytes - CHUNK_HEADER_BYTES;
}

static bool claims_exif(const uint8_t *bytes, size_t size_bytes) {
    return size_bytes > FLAGS_AT && memcmp(bytes + RIFF_HEADER_BYTES, "VP8X", 4) == 0 &&
           (bytes[FLAGS_AT] & FLAG_EXIF) != 0;
}

static int orientation_of(const uint8_t *bytes, size_t size_bytes) {
    if (!claims_exif(bytes, size_bytes)) {
        return DATA__UPRIGHT;
    }
    size_t at = RIFF_HEADER_BYTES;
    while (size_bytes - at >= CHUNK_HEADER_BYTES) {
        const uint8_t *chunk = bytes + at;
        const size_t chunk_bytes = little_endian_32(chunk + 4);
        at += CHUNK_HEADER_BYTES;
        if (chunk_bytes > size_bytes - at) {
            break;
        }
        if (memcmp(chunk, "EXIF", 4) == 0) {
            return data__exif_orientation(bytes + at, chunk_bytes);
        }
        at += chunk_bytes + chunk_bytes % 2; // chunks begin at even places
        if (at > size_bytes) {
            break;
        }
    }
    return DATA__UPRIGHT;
}

static ns_status explain(VP8StatusCode code, ns_error *err) {
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return ns_fail(err, NS_ERR_INPUT, "the file is cut off");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return ns_fail(err, NS_ERR_INPUT, "it uses a feature that libwebp does not know");
    default:
        return ns_fail(err, NS_ERR_INPUT, "its WebP data is damaged");
    }
}

static ns_status read_features(const uint8_t *bytes, size_t size_bytes,
                               WebPBitstreamFeatures *features, ns_error *err) {
    const VP8StatusCode code = WebPGetFeatures(bytes, size_bytes, features);
    if (code != VP8_STATUS_OK) {
        return explain(code, err);
    }
    if (features->has_animation) {
        return ns_fail(err, NS_ERR_INPUT, "it is an animation, not an image");
    }
    return data__image_check_size((uint64_t)features->width, (uint64_t)features->height, err);
}

/// Decodes into `pixels` (H, W, C) with C 3 or 4.
static ns_status decode_into(const uint8_t *bytes, size_t size_bytes, bool alpha, data_image *image,
                             ns_error *err) {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) {
        return ns_fail(err, NS_ERR_INTERNAL, "libwebp is of another version than its headers");
    }
    const size_t row_bytes = (size_t)image->width * (alpha ? 4 : 3);
    config.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = image->pixels;
    config.output.u.RGBA.stride = (int)row_bytes;
    config.output.u.RGBA.size = row_bytes * (size_t)image->height;
    const VP8StatusCode code = WebPDecode(bytes, size_bytes, &config);
    WebPFreeDecBuffer(&config.output);
    return code == VP8_STATUS_OK ? NS_OK : explain(code, err);
}

ns_status data__webp_decode(const uint8_t *bytes, size_t size_bytes, data_image *out,
                            ns_error *err) {
    WebPBitstreamFeatures features;
    if (is_cut(bytes, size_bytes)) {
        return ns_fail(err, NS_ERR_INPUT, "the file is cut off");
    }
    NS_TRY(read_features(bytes, size_bytes, &features, err));
    const size_t pixel_count = (size_t)features.width * (size_t)features.height;
    const bool alpha = features.has_alpha != 0;
    data_image image = {features.width, features.height, 3, NULL};
    image.pixels = malloc(pixel_count * (alpha ? 4 : 3));
    if (image.pixels == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    ns_status status = decode_into(bytes, size_bytes, alpha, &image, err);
    if (status == NS_OK && alpha) {
        data__image_drop_alpha(image.pixels, pixel_count, image.channels);
    }
    if (status == NS_OK) {
        status = data__image_turn(&image, orientation_of(bytes, size_bytes), err);
    }
    if (status != NS_OK) {
        data_image_free(&image);
        return status;
    }
    *out = image;
    return NS_OK;
}

ns_status data__webp_header(const uint8_t *bytes, size_t size_bytes, data__image_header *out,
                            ns_error *err) {
    WebPBitstreamFeatures features;
    NS_TRY(read_features(bytes, size_bytes, &features, err));
    if (claims_exif(bytes, size_bytes) && is_cut(bytes, size_bytes)) {
        return ns_fail(err, NS_ERR_INPUT, "the file is cut off");
    }
    data__image_header_set(out, features.width, features.height, 3,
                           orientation_of(bytes, size_bytes));
    return NS_OK;
}
