// The part of an image inside a box, whose edges are fractions of the image's sides.
//
// A box covers every pixel that it touches, so it is never empty. Edges are numbers of double
// precision: three tenths of ten pixels are three, which single precision would make a little more.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

/// A box in the pixels of an image.
typedef struct pixel_box {
    int left, top, width, height;
} pixel_box;

static pixel_box to_pixels(const data__box *box, int width, int height) {
    const int left = data__clamp((int)floor(box->left * width), 0, width - 1);
    const int top = data__clamp((int)floor(box->top * height), 0, height - 1);
    return (pixel_box){
        .left = left,
        .top = top,
        .width = data__clamp((int)ceil(box->right * width), left + 1, width) - left,
        .height = data__clamp((int)ceil(box->bottom * height), top + 1, height) - top,
    };
}

void data__box_header(const data__box *box, data__image_header *header) {
    const pixel_box at = to_pixels(box, header->width, header->height);
    header->width = at.width;
    header->height = at.height;
}

ns_status data__box_crop(const data__box *box, const data_image *image, data_image *out,
                         ns_error *err) {
    const pixel_box at = to_pixels(box, image->width, image->height);
    const size_t pixel_bytes = (size_t)image->channels;
    const size_t row_bytes = pixel_bytes * (size_t)at.width;
    uint8_t *pixels = malloc(row_bytes * (size_t)at.height);
    if (pixels == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory");
    }
    for (size_t y = 0; y < (size_t)at.height; y++) {
        const size_t first = ((size_t)at.top + y) * (size_t)image->width + (size_t)at.left;
        memcpy(pixels + y * row_bytes, image->pixels + first * pixel_bytes, row_bytes);
    }
    *out = (data_image){
        .width = at.width, .height = at.height, .channels = image->channels, .pixels = pixels};
    return NS_OK;
}
