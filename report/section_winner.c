// The winning network, drawn, and the recipe it was trained by.
//
// The drawing is made from the final model's graph, not from the genotype: it shows what is there,
// also where retraining made it wider. Blocks are found again by their shape: a branch from one
// addition's input to the addition is a residual block, and a depthwise convolution in it makes it
// an inverted one. Rows of one resolution stand together; a bar is as long as its row has channels.

#include <math.h>
#include <string.h>

#include "report/report_internal.h"

/* ---- from nodes to rows ---------------------------------------------------------------------- */

typedef enum row_kind {
    ROW_INPUT,
    ROW_CONV,
    ROW_RESIDUAL,
    ROW_INVERTED,
    ROW_POOL,
    ROW_HEAD,
} row_kind;

typedef struct row {
    row_kind kind;
    int kernel, stride;
    bool excites;
    nn_shape shape;
    int count; // of equal ones, one after the other
    const char *name;
} row;

#define ROWS_MAX 160

typedef struct rows {
    row row[ROWS_MAX];
    int count;
} rows;

static bool same_row(const row *a, const row *b) {
    return a->kind == b->kind && a->kernel == b->kernel && a->stride == b->stride &&
           a->excites == b->excites && a->shape.channels == b->shape.channels &&
           a->shape.height == b->shape.height && a->shape.width == b->shape.width;
}

static void rows_add(rows *list, row one) {
    one.count = 1;
    if (list->count > 0 && same_row(&list->row[list->count - 1], &one)) {
        list->row[list->count - 1].count++;
    } else if (list->count < ROWS_MAX) {
        list->row[list->count++] = one;
    }
}

/// The addition that ends a residual block begun at `node`, or -1: the next one that reads its
/// output.
static int block_end(const nn_graph *graph, int node) {
    for (int i = node + 1; i < graph->node_count; i++) {
        const nn_node *at = &graph->node[i];
        if (at->kind == NN_OP_ADD && (at->input[0] == node || at->input[1] == node)) {
            return i;
        }
    }
    return -1;
}

/// The row that the nodes (first, last] make together.
static row block_of(const nn_graph *graph, int first, int last) {
    row block = {.kind = ROW_RESIDUAL, .name = "residual", .shape = graph->node[last].shape};
    for (int i = first + 1; i <= last; i++) {
        const nn_node *at = &graph->node[i];
        const bool depthwise = at->kind == NN_OP_CONV && at->groups > 1;
        block.excites = block.excites || at->kind == NN_OP_MULTIPLY;
        block.kernel =
            at->kind == NN_OP_CONV && at->kernel > block.kernel ? at->kernel : block.kernel;
        if (depthwise) {
            block.kind = ROW_INVERTED;
            block.name = "inverted residual";
        }
    }
    return block;
}

static void add_node(rows *list, const nn_node *node) {
    row one = {.kernel = node->kernel, .stride = node->stride, .shape = node->shape};
    switch (node->kind) {
    case NN_OP_INPUT:
        one = (row){.kind = ROW_INPUT, .name = "shrunk", .shape = node->shape};
        if (same_row(&list->row[0], &one)) {
            return; // it takes the image as it is
        }
        break;
    case NN_OP_CONV:
        one.kind = node->groups > 1 ? ROW_INVERTED : ROW_CONV;
        one.name = node->groups > 1                  ? "depthwise"
                   : node->init == NN_INIT_WHITENING ? "whitening"
                                                     : "convolution";
        break;
    case NN_OP_MAX_POOL:
    case NN_OP_AVERAGE_POOL:
        one.kind = ROW_POOL;
        one.name = node->kind == NN_OP_MAX_POOL ? "max pool" : "average pool";
        break;
    case NN_OP_GLOBAL_MAX_POOL:
    case NN_OP_GLOBAL_AVERAGE_POOL:
        one = (row){.kind = ROW_HEAD, .shape = node->shape};
        one.name = node->kind == NN_OP_GLOBAL_MAX_POOL ? "global max" : "global average";
        break;
    case NN_OP_LINEAR:
        one = (row){.kind = ROW_HEAD, .name = "linear, labels", .shape = node->shape};
        break;
    default: // norms, activations and gates belong to their convolutions
        return;
    }
    rows_add(list, one);
}

/// Gates have linear layers and pools of their own, which are no rows.
static int gate_end(const nn_graph *graph, int node) {
    for (int i = node + 1; i < graph->node_count && i < node + 8; i++) {
        if (graph->node[i].kind == NN_OP_MULTIPLY && graph->node[i].input[0] < node) {
            return i;
        }
    }
    return -1;
}

static void rows_of(const nn_model_info *model, rows *list) {
    const nn_graph *graph = model->graph;
    list->count = 0;
    rows_add(list, (row){.kind = ROW_INPUT, .name = "image", .shape = model->image});
    for (int i = 0; i < graph->node_count; i++) {
        const nn_op_kind kind = graph->node[i].kind;
        const bool pool = kind == NN_OP_GLOBAL_AVERAGE_POOL || kind == NN_OP_GLOBAL_MAX_POOL;
        const int gate = pool ? gate_end(graph, i) : -1;
        if (gate >= 0) {
            i = gate;
            continue;
        }
        add_node(list, &graph->node[i]);
        for (int end = block_end(graph, i); end >= 0; end = block_end(graph, i)) {
            rows_add(list, block_of(graph, i, end));
            i = end;
        }
    }
}

/* ---- the drawing ----------------------------------------------------------------------------- */

#define ROW_PX     34
#define BAR_LEFT   238
#define BAR_PX_MAX 250

static void row_words(const row *one, char *out, size_t size_bytes) {
    const int used = snprintf(out, size_bytes, "%s", one->name);
    char *rest = out + used;
    const size_t room = size_bytes - (size_t)used;
    if (one->kernel > 0 && one->kind != ROW_POOL) {
        (void)snprintf(rest, room, " %d×%d%s%s", one->kernel, one->kernel,
                       one->kind == ROW_CONV && one->stride > 1 ? ", by 2" : "",
                       one->excites ? " + SE" : "");
    } else if (one->kind == ROW_POOL) {
        (void)snprintf(rest, room, ", by %d", one->stride);
    }
}

static void shape_words(const row *one, char *out, size_t size_bytes) {
    if (one->kind == ROW_HEAD) {
        (void)snprintf(out, size_bytes, "%d", one->shape.channels);
    } else {
        (void)snprintf(out, size_bytes, "%d × %d×%d", one->shape.channels, one->shape.height,
                       one->shape.width);
    }
}

static void draw_row(html_text *out, const row *one, int index, int channels_max) {
    static const int colours[] = {5, 0, 2, 3, 1, 5};
    char words[96];
    const double y = index * ROW_PX;
    const double width =
        fmax(4, BAR_PX_MAX * sqrt((double)one->shape.channels / (double)channels_max));
    row_words(one, words, sizeof(words));
    svg_text(out, BAR_LEFT - 14, y + 22, "end", "on small", words, 60);
    html_put(out, "<rect class=\"f%d\" x=\"%d\" y=\"%.0f\" width=\"%.1f\" height=\"%d\" rx=\"3\"/>",
             colours[one->kind], BAR_LEFT, y + 7, width, ROW_PX - 14);
    shape_words(one, words, sizeof(words));
    svg_text(out, BAR_LEFT + width + 10, y + 22, "start", "small", words, 60);
    if (one->count > 1) {
        (void)snprintf(words, sizeof(words), "×%d", one->count);
        svg_text(out, SVG_WIDTH - 4, y + 22, "end", "strong", words, 8);
    }
}

/// A tint behind every second group of rows of one resolution.
static void draw_stages(html_text *out, const rows *list) {
    int first = 0;
    int stage = 0;
    for (int i = 1; i <= list->count; i++) {
        const bool ends = i == list->count ||
                          list->row[i].shape.height != list->row[i - 1].shape.height ||
                          list->row[i].shape.width != list->row[i - 1].shape.width;
        if (!ends) {
            continue;
        }
        if (stage++ % 2 == 1) {
            html_put(out, "<rect class=\"tint\" x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n",
                     first * ROW_PX, SVG_WIDTH, (i - first) * ROW_PX);
        }
        first = i;
    }
}

bool report__plot_network(html_text *out, const report_study *study) {
    if (study->model == NULL) {
        return false;
    }
    rows list;
    int channels_max = 1;
    rows_of(nn_model_describe(study->model), &list);
    for (int i = 0; i < list.count; i++) {
        const int channels = list.row[i].shape.channels;
        channels_max = channels > channels_max ? channels : channels_max;
    }
    svg_begin(out, list.count * ROW_PX, "The winning network, from the image to the labels");
    draw_stages(out, &list);
    for (int i = 0; i < list.count; i++) {
        draw_row(out, &list.row[i], i, channels_max);
    }
    svg_end(out);
    return true;
}

/* ---- the recipe ------------------------------------------------------------------------------ */

static bool is_architecture(const char *gene) {
    return strncmp(gene, "stage", 5) == 0 || strncmp(gene, "stem", 4) == 0 ||
           strncmp(gene, "head", 4) == 0 || strncmp(gene, "input", 5) == 0 ||
           strcmp(gene, "activation") == 0;
}

static void put_genes(html_text *out, const ns_json *winner, bool architecture) {
    html_raw(out, "<div class=\"scroll\"><table>\n<tr><th>gene</th><th>value</th></tr>\n");
    for (const ns_json *at = ns_json_first(winner); at != NULL; at = ns_json_next(at)) {
        char text[64];
        const char *key = ns_json_key(at);
        if (is_architecture(key) == architecture) {
            html_raw(out, "<tr>");
            report__cell_text(out, "", key);
            report__cell_text(out, "", ns_json_value_text(at, text, sizeof(text)));
            html_raw(out, "</tr>\n");
        }
    }
    html_raw(out, "</table></div>\n");
}

static void put_retraining(html_text *out, const ns_json *status) {
    const ns_json *plan = ns_json_get(status, "retrain");
    const double factor = ns_json_number(plan, "width_factor", 1);
    const int64_t trial = ns_json_int(status, "winner_trial", -1);
    html_raw(out, "<p>");
    if (trial >= 0) {
        html_put(out, "The network of trial %lld", (long long)trial);
    } else {
        html_raw(out, "The network");
    }
    if (strcmp(ns_json_string(status, "model_origin", ""), "retrain") == 0) {
        html_raw(out, " was trained again from scratch");
        if (factor > 1) {
            html_put(out, ", %g times wider", factor);
        }
        html_raw(out, ns_json_bool(plan, "with_validation", false)
                          ? ", on train and validation images"
                          : ", on the train images");
        html_raw(out, ns_json_bool(plan, "mirror_average", false)
                          ? "; it averages its answers over an image and its mirror image.</p>\n"
                          : ".</p>\n");
    } else {
        html_raw(out, " was kept as it was trained.</p>\n");
    }
}

static void put_rivals(html_text *out, const ns_json *status) {
    char text[32];
    const ns_json *confirmation = ns_json_get(status, "confirmation");
    const ns_json *rivals = ns_json_get(confirmation, "rivals");
    const int64_t winner = ns_json_int(confirmation, "winner", -1);
    if (ns_json_count(rivals) == 0) {
        return;
    }
    html_put(out,
             "<h3>How it was chosen</h3>\n<p class=\"quiet\">The best few, trained again with "
             "new seeds and compared image by image: the fastest within one standard error of "
             "the best.</p>\n<div class=\"scroll\"><table>\n<tr><th>trial</th><th>%s</th>"
             "<th>seeds</th><th>behind, points</th><th>images/s</th></tr>\n",
             report__score(status));
    for (const ns_json *at = ns_json_first(rivals); at != NULL; at = ns_json_next(at)) {
        const int64_t number = ns_json_int(at, "trial", -1);
        html_put(out, "<tr><td>%lld%s%s</td><td>%s</td>", (long long)number,
                 number == winner ? " (winner)" : "",
                 ns_json_bool(at, "anchor", false) ? " (anchor)" : "",
                 report__percent(ns_json_number(at, "val_accuracy", (double)NAN), 0, text));
        html_put(out, "<td>%lld</td><td>%.2f ± %.2f</td>", (long long)ns_json_int(at, "seeds", 0),
                 100 * ns_json_number(at, "difference", 0),
                 100 * ns_json_number(at, "standard_error", 0));
        html_put(out, "<td>%s</td></tr>\n",
                 ns_group_digits(llround(ns_json_number(at, "images_per_s", 0)), text));
    }
    html_raw(out, "</table></div>\n");
}

void report__section_winner(html_text *out, const report_study *study) {
    const ns_json *status = report__study_of(study);
    const ns_json *winner = ns_json_get(status, "winner");
    if (ns_json_count(winner) == 0) {
        return;
    }
    report__head(out, "winner", "The winning network");
    put_retraining(out, status);
    if (study->model != NULL) {
        (void)report__figure_of(
            out, study, report__plot_network,
            "From the image down to the labels: channels × height × width after "
            "each part. A convolution has its batch norm and activation with "
            "it; shaded and plain groups alternate where the resolution falls.");
    }
    put_rivals(out, status);
    html_raw(out, "<details><summary>Its recipe <span>how it was trained</span></summary>\n");
    put_genes(out, winner, false);
    html_raw(out,
             "</details>\n<details><summary>Its genes <span>before retraining</span></summary>\n");
    put_genes(out, winner, true);
    html_raw(out, "</details>\n");
}
