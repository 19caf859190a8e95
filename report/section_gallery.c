// Pictures: for each label what was right, what was wrongly taken for it, what was missed, and for
// the most frequent confusions their pictures; the surest first, for those tell most.
//
// A picture is stored once, as the background of a class, however often it is shown. Large ones are
// shrunk, and all together stay within a budget of bytes, so that a report of photographs still can
// be mailed.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/report_internal.h"

#define CONFUSIONS_OPEN 12 // shown outright
#define MISTAKES_MAX    16
#define STRIP_MAX       8
#define SIDE_PX_MAX     64
#define BYTES_MAX       ((size_t)2 << 20) // of all pictures
#define PICTURES_MAX    1500

typedef struct gallery {
    html_text *out;
    const data_set *set;
    const data_info *info;
    uint32_t image[PICTURES_MAX]; // those that are shown, in the order of their classes
    int count;
    size_t bytes;
    html_text *style; // their pictures
} gallery;

/* ---- one picture ----------------------------------------------------------------------------- */

/// Means over squares of `factor`, planar.
static void shrink(const uint8_t *from, const data_info *info, int factor, uint8_t *to) {
    const int height = info->height / factor;
    const int width = info->width / factor;
    for (int c = 0; c < info->channels; c++) {
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                unsigned sum = 0;
                for (int k = 0; k < factor * factor; k++) {
                    const int row = c * info->height + y * factor + k / factor;
                    sum +=
                        from[(size_t)row * (size_t)info->width + (size_t)(x * factor + k % factor)];
                }
                *to++ = (uint8_t)(sum / (unsigned)(factor * factor));
            }
        }
    }
}

static char *picture_uri(const gallery *g, uint32_t image) {
    const data_info *info = g->info;
    const int side = info->height > info->width ? info->height : info->width;
    const int least = info->height < info->width ? info->height : info->width;
    int factor = (side + SIDE_PX_MAX - 1) / SIDE_PX_MAX;
    factor = factor > least ? least : factor;
    uint8_t *pixels = malloc((size_t)info->channels * (size_t)info->height * (size_t)info->width);
    uint8_t *png = NULL;
    size_t size_bytes = 0;
    char *uri = NULL;
    if (pixels != NULL) {
        shrink(data_pixels(g->set, image), info, factor, pixels);
        if (data_png_encode(pixels, info->channels, info->height / factor, info->width / factor,
                            &png, &size_bytes, NULL) == NS_OK) {
            (void)ns_data_uri("image/png", png, size_bytes, &uri, NULL);
        }
    }
    free(png);
    free(pixels);
    return uri;
}

/// The class of a picture, -1 when there is no room for it.
static int picture_class(gallery *g, uint32_t image) {
    for (int i = 0; i < g->count; i++) {
        if (g->image[i] == image) {
            return i;
        }
    }
    char *uri = g->count < PICTURES_MAX && g->bytes < BYTES_MAX ? picture_uri(g, image) : NULL;
    if (uri == NULL) {
        return -1;
    }
    html_put(g->style, ".p%d{background-image:url(%s)}\n", g->count, uri);
    g->bytes += strlen(uri);
    g->image[g->count] = image;
    free(uri);
    return g->count++;
}

/* ---- strips ---------------------------------------------------------------------------------- */

/// What the picture is called: by its file and by its number, which the answers' CSV has too.
static void put_name(gallery *g, uint32_t image) {
    const char *name = data_name(g->set, image);
    if (name != NULL) {
        html_escaped(g->out, name);
        html_raw(g->out, ", ");
    }
    html_put(g->out, "image %u", image);
}

/// `caption` is the label to name below the picture, -1 for none.
static void put_picture(gallery *g, const report__answer *answer, int caption) {
    const int class = picture_class(g, answer->image);
    if (class < 0) {
        return;
    }
    html_put(g->out, "<figure><i class=\"picture p%d\" role=\"img\" aria-label=\"", class);
    html_escaped(g->out, g->info->labels[answer->truth]);
    html_raw(g->out, "\" title=\"");
    put_name(g, answer->image);
    html_raw(g->out, ": ");
    html_escaped(g->out, g->info->labels[answer->truth]);
    html_raw(g->out, ", the model says ");
    html_escaped(g->out, g->info->labels[answer->guess]);
    html_put(g->out, "\"></i>%.0f %%", floor(100 * (double)answer->confidence));
    if (caption >= 0) {
        html_raw(g->out, "<br>");
        html_escaped(g->out, g->info->labels[caption]);
    }
    html_raw(g->out, "</figure>\n");
}

/// The surest of one group, found in any order.
typedef struct strip {
    report__answer answer[STRIP_MAX];
    int count;
    size_t total;
} strip;

static void strip_offer(strip *s, const report__answer *answer) {
    s->total++;
    if (s->count == STRIP_MAX && s->answer[STRIP_MAX - 1].confidence >= answer->confidence) {
        return;
    }
    int place = s->count < STRIP_MAX ? s->count++ : STRIP_MAX - 1;
    for (; place > 0 && s->answer[place - 1].confidence < answer->confidence; place--) {
        s->answer[place] = s->answer[place - 1];
    }
    s->answer[place] = *answer;
}

typedef enum naming { NAME_NONE, NAME_TRUTH, NAME_GUESS } naming;

static void put_strip(gallery *g, const report__answer *answers, size_t count, naming names) {
    html_raw(g->out, "<div class=\"pictures\">\n");
    for (size_t i = 0; i < count; i++) {
        put_picture(g, &answers[i],
                    names == NAME_TRUTH   ? answers[i].truth
                    : names == NAME_GUESS ? answers[i].guess
                                          : -1);
    }
    html_raw(g->out, "</div>\n");
}

/* ---- labels ---------------------------------------------------------------------------------- */

/// True positives, false positives and false negatives of a label.
typedef struct label_strips {
    strip right, taken, missed;
} label_strips;

static void fill_strips(const report__confusions *c, size_t count, const int *place,
                        label_strips *strips) {
    for (size_t i = 0; i < count; i++) {
        const report__answer *answer = &c->answers[i];
        const int truth = place[answer->truth];
        const int guess = place[answer->guess];
        if (answer->truth == answer->guess && truth >= 0) {
            strip_offer(&strips[truth].right, answer);
        } else if (answer->truth != answer->guess) {
            if (truth >= 0) {
                strip_offer(&strips[truth].missed, answer);
            }
            if (guess >= 0) {
                strip_offer(&strips[guess].taken, answer);
            }
        }
    }
}

static void put_group(gallery *g, const char *title, const strip *s, naming names) {
    if (s->count > 0) {
        html_put(g->out, "<p class=\"quiet\">%s</p>\n", title);
        put_strip(g, s->answer, (size_t)s->count, names);
    }
}

static void put_label(gallery *g, int label, const label_strips *s) {
    html_put(g->out, "<details id=\"c%d-%d\"><summary>", label, label);
    html_escaped(g->out, g->info->labels[label]);
    html_put(g->out, " <span>%zu right, %zu missed, %zu wrongly said</span></summary>\n",
             s->right.total, s->missed.total, s->taken.total);
    put_group(g, "Right (true positives)", &s->right, NAME_NONE);
    put_group(g, "Said, but it is another (false positives); below, what it is", &s->taken,
              NAME_TRUTH);
    put_group(g, "Missed (false negatives); below, what was said", &s->missed, NAME_GUESS);
    html_raw(g->out, "</details>\n");
}

static int by_confidence(const void *a, const void *b) {
    const float left = ((const report__answer *)a)->confidence;
    const float right = ((const report__answer *)b)->confidence;
    return left > right ? -1 : left < right;
}

/// The mistakes by file, where the set knows files: to be copied, which no tooltip lets one do.
static void put_files(gallery *g, const report__answer *answers, size_t count) {
    if (data_name(g->set, answers[0].image) == NULL) {
        return;
    }
    html_raw(g->out, "<details><summary>Their files</summary>\n<div class=\"scroll\"><table>"
                     "<tr><th>file</th><th class=\"word\">label</th>"
                     "<th class=\"word\">the model says</th><th>confidence</th></tr>\n");
    for (size_t i = 0; i < count; i++) {
        html_raw(g->out, "<tr><td class=\"wrap\">");
        put_name(g, answers[i].image);
        html_raw(g->out, "</td>");
        report__cell_text(g->out, "word", g->info->labels[answers[i].truth]);
        report__cell_text(g->out, "word", g->info->labels[answers[i].guess]);
        html_put(g->out, "<td>%.1f %%</td></tr>\n", 100 * (double)answers[i].confidence);
    }
    html_raw(g->out, "</table></div></details>\n");
}

/// What the model is most wrong about, of all labels: the first of each kind of confusion are its
/// surest, so no more of a kind are looked at than are shown.
static void put_mistakes(gallery *g, const report__confusions *c) {
    report__answer *wrong = malloc((c->wrong_count + 1) * MISTAKES_MAX * sizeof(*wrong));
    size_t count = 0;
    for (size_t i = 0; wrong != NULL && i < c->wrong_count; i++) {
        const report__cell *cell = &c->wrong[i];
        for (size_t k = 0; k < cell->count && k < MISTAKES_MAX; k++) {
            wrong[count++] = c->answers[cell->first + k];
        }
    }
    if (count > 0) {
        qsort(wrong, count, sizeof(*wrong), by_confidence);
        html_raw(g->out, "<h3>The surest mistakes</h3>\n<p class=\"quiet\">Below, what the model "
                         "says; pointing at a picture tells what it is. Mistakes like these are "
                         "often mistakes in the labels.</p>\n");
        count = count < MISTAKES_MAX ? count : MISTAKES_MAX;
        put_strip(g, wrong, count, NAME_GUESS);
        put_files(g, wrong, count);
    }
    free(wrong);
}

static void put_labels(gallery *g, const report_study *study, const report__confusions *c) {
    int shown[REPORT__LABELS_SHOWN_MAX];
    int *place = malloc((size_t)g->info->label_count * sizeof(*place));
    label_strips *strips = calloc(REPORT__LABELS_SHOWN_MAX, sizeof(*strips));
    if (place != NULL && strips != NULL) {
        const int count = report__worst_labels(c, g->info->label_count, place, shown);
        fill_strips(c, study->answer_count, place, strips);
        for (int i = 0; i < count; i++) {
            put_label(g, shown[i], &strips[i]);
        }
    }
    free(place);
    free(strips);
}

static void put_confusion(gallery *g, const report__confusions *c, const report__cell *cell) {
    html_put(g->out, "<details id=\"c%d-%d\"><summary>", cell->truth, cell->guess);
    html_escaped(g->out, g->info->labels[cell->truth]);
    html_raw(g->out, " taken for ");
    html_escaped(g->out, g->info->labels[cell->guess]);
    html_put(g->out, " <span>%zu image%s</span></summary>\n", cell->count,
             cell->count == 1 ? "" : "s");
    put_strip(g, &c->answers[cell->first], cell->count < STRIP_MAX ? cell->count : STRIP_MAX,
              NAME_NONE);
    html_raw(g->out, "</details>\n");
}

/// They come by falling count; the rarer ones are folded away together.
static void put_confusions(gallery *g, const report__confusions *c) {
    size_t count = 0;
    html_raw(g->out, "<h3>By confusion</h3>\n");
    for (; count < c->wrong_count && report__cell_is_shown(c, &c->wrong[count]); count++) {
        if (count == CONFUSIONS_OPEN) {
            html_raw(g->out, "<details><summary>Rarer confusions</summary>\n");
        }
        put_confusion(g, c, &c->wrong[count]);
    }
    html_raw(g->out, count > CONFUSIONS_OPEN ? "</details>\n" : "");
}

/* ---- the section ----------------------------------------------------------------------------- */

/// Behind what shows them, the pictures themselves.
static void put_style(gallery *g) {
    char *text = NULL;
    size_t size_bytes = 0;
    if (html_finish(g->style, &text, &size_bytes, NULL) == NS_OK) {
        html_raw(g->out, "<style>\n");
        html_raw(g->out, text);
        html_raw(g->out, "</style>\n");
    }
    free(text);
}

void report__section_gallery(html_text *out, const report_study *study) {
    report__confusions c;
    if (study->set == NULL || !report__confusions_of(study, &c)) {
        return;
    }
    gallery *g = calloc(1, sizeof(*g));
    if (g != NULL) {
        g->out = out;
        g->set = study->set;
        g->info = data_describe(study->set);
        g->style = html_new();
        report__head(out, "pictures", "Pictures");
        html_raw(out, "<p>Test images with the model's confidence, the surest first.</p>\n");
        put_mistakes(g, &c);
        html_raw(out, "<h3>By label</h3>\n");
        put_labels(g, study, &c);
        if (c.wrong_count > 0) {
            put_confusions(g, &c);
        }
        put_style(g);
    }
    free(g);
    report__confusions_clear(&c);
}
