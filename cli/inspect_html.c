// A pack as one page that a person can look through before any training: pictures of every label and
// split, what import dropped and why, and images that are nearly the same, side by side.
//
// The page stands alone; its pictures are small PNG files inside it. At most PICTURES_MAX of them are
// spread over the labels, evenly through each split, so that the page stays a few megabytes whatever
// the set.

#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"
#include "report/html.h"

#define PICTURES_MAX  480
#define PER_LABEL_MAX 24  // pictures a label
#define LABELS_MAX    240 // with pictures
#define SIDE_MAX      96  // px, of a picture
#define PAIRS_MAX     60
#define DROPPED_MAX   500
#define BAR_REM_MAX   8.0

/* ---- pictures -------------------------------------------------------------------------------- */

/// (C, H, W) to (H, W, C).
static void interleave(const uint8_t *planar, const data_info *info, uint8_t *out) {
    const size_t plane_size = (size_t)info->height * (size_t)info->width;
    const size_t channels = (size_t)info->channels;
    for (size_t i = 0; i < plane_size; i++) {
        for (size_t c = 0; c < channels; c++) {
            out[i * channels + c] = planar[c * plane_size + i];
        }
    }
}

/// Image `index`, at most SIDE_MAX on a side, as planar pixels in `out` (3 * SIDE_MAX * SIDE_MAX).
static ns_status shrink(const data_set *set, size_t index, uint8_t *out, int *height, int *width,
                        ns_error *err) {
    const data_info *info = data_describe(set);
    const int longer = info->height > info->width ? info->height : info->width;
    const int side = longer < SIDE_MAX ? longer : SIDE_MAX;
    data_image image = {.width = info->width, .height = info->height, .channels = info->channels};
    *height = (info->height * side + longer - 1) / longer;
    *width = (info->width * side + longer - 1) / longer;
    image.pixels = malloc((size_t)info->channels * (size_t)info->height * (size_t)info->width);
    if (image.pixels == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while drawing a picture");
    }
    interleave(data_pixels(set, index), info, image.pixels);
    const ns_status status = data_image_fit(&image, info->channels, *height, *width, out, err);
    data_image_free(&image);
    return status;
}

/// The image as an <img>, described by its name and number.
static ns_status put_picture(html_text *html, const data_set *set, size_t index, ns_error *err) {
    static const size_t room_bytes = (size_t)DATA_CHANNELS_MAX * SIDE_MAX * SIDE_MAX;
    int height = 0;
    int width = 0;
    uint8_t *png = NULL;
    char *uri = NULL;
    size_t png_bytes = 0;
    ns_status status = NS_OK;
    uint8_t *pixels = malloc(room_bytes);
    if (pixels == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "out of memory while drawing a picture");
    }
    NS_TRY_OUT(shrink(set, index, pixels, &height, &width, err));
    NS_TRY_OUT(data_png_encode(pixels, data_describe(set)->channels, height, width, &png,
                               &png_bytes, err));
    NS_TRY_OUT(ns_data_uri("image/png", png, png_bytes, &uri, err));
    html_put(html, "<img alt=\"image %zu\" title=\"", index);
    if (data_name(set, index) != NULL) {
        html_escaped(html, data_name(set, index));
        html_raw(html, ", ");
    }
    html_put(html, "image %zu\" src=\"", index);
    html_raw(html, uri); // base64 and nothing else
    html_raw(html, "\">");
out:
    free(pixels);
    free(png);
    free(uri);
    return status;
}

/// How many of `wanted` pictures of a label each split gets: train half, the rest shared.
static void share_pictures(int wanted, int shares[DATA_SPLIT_COUNT]) {
    shares[DATA_TEST] = wanted / 4;
    shares[DATA_VALIDATION] = wanted / 4;
    shares[DATA_TRAIN] = wanted - 2 * (wanted / 4);
}

/// `wanted` images of the label, spread evenly over those of the split.
static ns_status put_split(html_text *html, const data_set *set, int label, data_split split,
                           int wanted, ns_error *err) {
    const size_t label_count = data_label_count(set, split, label);
    const size_t shown = label_count < (size_t)wanted ? label_count : (size_t)wanted;
    size_t count = 0;
    size_t seen = 0;
    size_t put = 0;
    const uint32_t *indices = data_indices(set, split, &count);
    if (shown == 0) {
        return NS_OK;
    }
    html_put(html, "<p class=\"quiet\">%s, %zu of %zu</p><div class=\"pictures\">",
             data_split_name(split), shown, label_count);
    for (size_t i = 0; i < count && put < shown; i++) {
        if (data_has_label(set, indices[i], label) && seen++ == put * label_count / shown) {
            NS_TRY(put_picture(html, set, indices[i], err));
            put++;
        }
    }
    html_raw(html, "</div>");
    return NS_OK;
}

static ns_status put_sheets(html_text *html, const data_set *set, ns_error *err) {
    const data_info *info = data_describe(set);
    const int shown = info->label_count < LABELS_MAX ? info->label_count : LABELS_MAX;
    int wanted = PICTURES_MAX / shown;
    int shares[DATA_SPLIT_COUNT];
    wanted = wanted < PER_LABEL_MAX ? wanted : PER_LABEL_MAX;
    share_pictures(wanted, shares);
    html_raw(html, "<h2 id=\"pictures\">Pictures</h2>");
    html_put(html, "<p class=\"quiet\">Some of every label, as training sees them%s.</p>",
             shown < info->label_count ? "; only the first labels have room here" : "");
    for (int label = 0; label < shown; label++) {
        html_put(html, "<h3 id=\"label%d\">", label);
        html_escaped(html, info->labels[label]);
        html_raw(html, "</h3>");
        for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
            NS_TRY(put_split(html, set, label, (data_split)split, shares[split], err));
        }
    }
    return NS_OK;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void put_count(html_text *html, size_t count) {
    char digits[32];
    html_put(html, "<td>%s</td>", ns_group_digits((int64_t)count, digits));
}

static size_t images_of(const data_set *set, int label) {
    size_t sum = 0;
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        sum += data_label_count(set, (data_split)split, label);
    }
    return sum;
}

static void put_label_row(html_text *html, const data_set *set, int label, size_t most) {
    const size_t sum = images_of(set, label);
    html_put(html, "<tr><td>%s", label < LABELS_MAX ? "" : "<span>");
    if (label < LABELS_MAX) {
        html_put(html, "<a href=\"#label%d\">", label);
    }
    html_escaped(html, data_describe(set)->labels[label]);
    html_put(html, "%s</td>", label < LABELS_MAX ? "</a>" : "</span>");
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        put_count(html, data_label_count(set, (data_split)split, label));
    }
    put_count(html, sum);
    html_put(html,
             "<td class=\"word\"><span class=\"bar\" style=\"width:%.2frem\"></span></td></tr>",
             BAR_REM_MAX * (double)sum / (double)(most > 0 ? most : 1));
}

static void put_labels(html_text *html, const data_set *set) {
    const data_info *info = data_describe(set);
    size_t most = 0;
    for (int label = 0; label < info->label_count; label++) {
        const size_t sum = images_of(set, label);
        most = sum > most ? sum : most;
    }
    html_raw(html, "<h2 id=\"labels\">Labels</h2><div class=\"scroll\"><table><tr><th>label</th>"
                   "<th>train</th><th>validation</th><th>test</th><th>all</th><th></th></tr>");
    for (int label = 0; label < info->label_count; label++) {
        put_label_row(html, set, label, most);
    }
    html_put(html, "<tr class=\"sum\"><td>%s</td>", info->multi_label ? "images" : "all");
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        put_count(html, info->split_count[split]);
    }
    put_count(html, info->image_count);
    html_raw(html, "<td></td></tr></table></div>");
}

static void put_dropped(html_text *html, const data_set *set) {
    const size_t count = data_dropped_count(set);
    html_raw(html, "<h2 id=\"dropped\">Dropped</h2>");
    if (count == 0) {
        html_raw(html, "<p>Import dropped nothing.</p>");
        return;
    }
    html_put(html,
             "<p class=\"quiet\">%zu that import left out%s.</p><div class=\"scroll\"><table>",
             count, count > DROPPED_MAX ? "; here are the first, inspect --json lists all" : "");
    html_raw(html, "<tr><th>file</th><th class=\"word\">why</th></tr>");
    for (size_t i = 0; i < count && i < DROPPED_MAX; i++) {
        const data_dropped one = data_dropped_at(set, i);
        html_raw(html, "<tr><td>");
        html_escaped(html, one.file);
        html_raw(html, "</td><td class=\"wrap\">");
        html_escaped(html, one.reason);
        html_raw(html, "</td></tr>");
    }
    html_raw(html, "</table></div>");
}

/* ---- near-duplicates ------------------------------------------------------------------------- */

static data_split split_of(const data_set *set, uint32_t image) {
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        size_t low = 0;
        size_t high = 0;
        const uint32_t *indices = data_indices(set, (data_split)split, &high);
        while (low < high) {
            const size_t middle = low + (high - low) / 2;
            if (indices[middle] == image) {
                return (data_split)split;
            }
            low = indices[middle] < image ? middle + 1 : low;
            high = indices[middle] < image ? high : middle;
        }
    }
    return DATA_TRAIN; // every image has a split
}

static void put_owner(html_text *html, const data_set *set, uint32_t image) {
    const int label = data_label(set, image);
    char room[32];
    html_raw(html, "<span class=\"file\">");
    html_escaped(html, cli__image_name(set, image, room));
    html_raw(html, "</span>");
    if (label >= 0) {
        html_escaped(html, data_describe(set)->labels[label]);
        html_raw(html, ", ");
    }
    html_raw(html, data_split_name(split_of(set, image)));
}

static ns_status put_pair(html_text *html, const data_set *set, const data_near_pair *pair,
                          ns_error *err) {
    const uint32_t images[2] = {pair->a, pair->b};
    html_raw(html, "<div class=\"panel\"><div class=\"pictures\">");
    for (int i = 0; i < 2; i++) {
        html_raw(html, "<figure>");
        NS_TRY(put_picture(html, set, images[i], err));
        put_owner(html, set, images[i]);
        html_raw(html, "</figure>");
    }
    const bool labels_differ = data_label(set, pair->a) != data_label(set, pair->b);
    html_put(html, "</div><span class=\"quiet\">%s%sdiffer by %.1f of 255</span></div>",
             labels_differ ? "different labels, " : "", pair->across ? "across splits, " : "",
             (double)pair->difference);
    return NS_OK;
}

static ns_status put_near(html_text *html, const data_set *set, const data_near_duplicates *near,
                          ns_error *err) {
    html_raw(html, "<h2 id=\"near\">Nearly the same</h2>");
    if (near->count == 0) {
        html_raw(html, "<p>No two images look nearly the same.</p>");
        return NS_OK;
    }
    html_put(html,
             "<p class=\"quiet\">%s%zu pair%s of images look nearly the same, %zu of them across "
             "splits, where they make a score look better than it is. Nothing was done about "
             "them%s.</p><div class=\"tiles\" style=\"grid-template-columns:repeat(auto-fill,"
             "minmax(11.25rem,1fr))\">",
             near->complete ? "" : "At least ", near->count, near->count == 1 ? "" : "s",
             near->across_count,
             near->count > PAIRS_MAX ? "; here are the closest, those across splits first" : "");
    for (size_t i = 0; i < near->count && i < PAIRS_MAX; i++) {
        NS_TRY(put_pair(html, set, &near->pairs[i], err));
    }
    html_raw(html, "</div>");
    return NS_OK;
}

/* ---- the page -------------------------------------------------------------------------------- */

static void put_tile(html_text *html, const char *name, const char *value) {
    html_put(html, "<div class=\"tile\"><dt>%s</dt><dd>%s</dd></div>", name, value);
}

static void put_head(html_text *html, const data_set *set, const char *path,
                     const data_near_duplicates *near) {
    const data_info *info = data_describe(set);
    char text[64];
    html_raw(html, "<h1>Data set ");
    html_escaped(html, path);
    html_put(html, "</h1><p class=\"headline\">%s</p><p class=\"interval\">images with %d labels",
             ns_group_digits((int64_t)info->image_count, text), info->label_count);
    html_raw(html, info->multi_label ? ", several an image</p>" : "</p>");
    html_raw(html, "<nav><a href=\"#labels\">Labels</a><a href=\"#pictures\">Pictures</a>"
                   "<a href=\"#near\">Nearly the same</a><a href=\"#dropped\">Dropped</a></nav>"
                   "<dl class=\"tiles\">");
    (void)snprintf(text, sizeof(text), "%d&times;%d %s", info->width, info->height,
                   info->channels == 1 ? "grey" : "RGB");
    put_tile(html, "every image", text);
    for (int split = 0; split < DATA_SPLIT_COUNT; split++) {
        put_tile(html, data_split_name((data_split)split),
                 ns_group_digits((int64_t)info->split_count[split], text));
    }
    put_tile(html, "dropped", ns_group_digits((int64_t)data_dropped_count(set), text));
    put_tile(html, "pairs nearly the same", ns_group_digits((int64_t)near->count, text));
    html_raw(html, "</dl>");
}

static void put_warnings(html_text *html, const data_set *set) {
    ns_json *warnings = data_warnings(set);
    for (const ns_json *one = ns_json_first(warnings); one != NULL; one = ns_json_next(one)) {
        html_raw(html, "<p class=\"panel\"><strong>Warning:</strong> ");
        html_escaped(html, ns_json_value_string(one, ""));
        html_raw(html, "</p>");
    }
    ns_json_free(warnings);
}

static void put_foot(html_text *html, const data_set *set) {
    const data_info *info = data_describe(set);
    html_raw(html, "<p class=\"quiet\">Imported from <code>");
    html_escaped(html, info->source);
    html_put(html, "</code>; identity <code>%s</code></p>", info->sha256);
}

ns_status cli__set_page(const data_set *set, const char *path, const data_near_duplicates *near,
                        const char *out_path, ns_error *err) {
    html_text *html = html_new();
    ns_status status = NS_OK;
    html_page_begin(html, path);
    put_head(html, set, path, near);
    put_warnings(html, set);
    put_labels(html, set);
    NS_TRY_OUT(put_sheets(html, set, err));
    NS_TRY_OUT(put_near(html, set, near, err));
    put_dropped(html, set);
    put_foot(html, set);
    html_page_end(html);
    return html_save(html, out_path, err);
out:
    html_free(html);
    return status;
}
