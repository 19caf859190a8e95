// The built-in demo set: ten classes of stroke figures, 28x28 grey, drawn here so that a first
// search needs neither a download nor a licence.
//
// A figure is a short table row of lines and arcs in a unit box. Each image draws its row under a
// pose of its own (rotation, unequal scale, shear, bend, place), with its own stroke width and
// contrast, over a sloping background, among a few stray strokes, under noise. Neighbouring rows
// differ in topology rather than in where their ink lies (a circle and a circle with a gap, a cross
// and a tee, a zigzag and a wave), so that a linear model stays far behind a small convolutional
// one.
//
// Every machine must draw the same bytes, so all arithmetic is on integers: no libm, no rounding
// mode, no contraction. Image i depends on its index alone and may be drawn in any order.
//
// Units: table coordinates are 1/64 of the figure's half size; lengths on the canvas are 1/256 px;
// angles are 1/1024 turn; factors ("q12") are 1/4096.

#include <assert.h>
#include <stdlib.h>

#include "data/data_internal.h"

enum {
    SIDE = DATA__DEMO_SIDE,
    AREA = SIDE * SIDE,
    PX = 256,               // canvas units in a pixel
    TURN = 1024,            // angle units in a turn
    ONE = 4096,             // 1.0 in q12
    UNIT = 64,              // table units in a figure's half size
    INK_FULL = 255,         // coverage of a pixel that lies wholly inside a stroke
    ELEMENTS_MAX = 4,       // of one figure
    CHORD_TURN = TURN / 32, // an arc is drawn as chords of at most this angle
};

#define DEMO_SEED 20240229u

/* ---- the figures ----------------------------------------------------------------------------- */

typedef struct demo_point {
    int32_t x, y;
} demo_point;

typedef enum demo_element_kind {
    END, // of a figure with fewer than ELEMENTS_MAX elements
    LINE,
    ARC,
} demo_element_kind;

// A line from `from` to `to`; or an arc around `from` whose radius goes from to.x to to.y while its
// angle goes from `start` through `sweep` (equal radii: a circle's; unequal: a spiral's).
typedef struct demo_element {
    demo_element_kind kind;
    demo_point from, to;
    int32_t start, sweep;
} demo_element;

typedef struct demo_figure {
    const char *label;
    demo_element elements[ELEMENTS_MAX];
} demo_figure;

#define A_LINE(x0, y0, x1, y1)                                                                     \
    { LINE, {x0, y0}, {x1, y1}, 0, 0 }
#define AN_ARC(x, y, r0, r1, start, sweep)                                                         \
    { ARC, {x, y}, {r0, r1}, start, sweep }

// y grows downwards, angle 0 points right and 256 down.
static const demo_figure figures[DATA__DEMO_LABEL_COUNT] = {
    {"circle", {AN_ARC(0, 0, 54, 54, 0, 1024)}},
    {"horseshoe", {AN_ARC(0, 0, 54, 54, 384, 768)}},
    {"spiral", {AN_ARC(0, 0, 8, 60, 256, 1664)}},
    {"triangle", {A_LINE(0, -60, 56, 44), A_LINE(56, 44, -56, 44), A_LINE(-56, 44, 0, -60)}},
    {"square",
     {A_LINE(-48, -48, 48, -48), A_LINE(48, -48, 48, 48), A_LINE(48, 48, -48, 48),
      A_LINE(-48, 48, -48, -48)}},
    {"cross", {A_LINE(0, -60, 0, 60), A_LINE(-56, -8, 56, -8)}},
    {"tee", {A_LINE(0, -44, 0, 60), A_LINE(-56, -44, 56, -44)}},
    {"arrow", {A_LINE(0, -60, 0, 60), A_LINE(0, -60, -40, -12), A_LINE(0, -60, 40, -12)}},
    {"zigzag", {A_LINE(-44, -52, 44, -52), A_LINE(44, -52, -44, 52), A_LINE(-44, 52, 44, 52)}},
    {"wave", {AN_ARC(0, -29, 29, 29, 0, -768), AN_ARC(0, 29, 29, 29, -256, 768)}},
};

/* ---- integer arithmetic ---------------------------------------------------------------------- */

// sin of `angle`, q12, by Bhaskara I's rational approximation (7th century; error below 0.0017).
static int32_t sine_q12(int32_t angle) {
    const int32_t half = TURN / 2;
    const int32_t wrapped = angle & (TURN - 1);
    const int32_t within = wrapped & (half - 1);
    const int32_t bow = 4 * within * (half - within);
    const int32_t sine = (int32_t)((int64_t)4 * ONE * bow / (5 * half * half - bow));
    return wrapped < half ? sine : -sine;
}

static int32_t cosine_q12(int32_t angle) {
    return sine_q12(angle + TURN / 4);
}

static int32_t square_root(int64_t value) {
    int32_t root = 0;
    for (int32_t bit = 1 << 15; bit > 0; bit >>= 1) {
        const int64_t tried = root | bit;
        if (tried * tried <= value) {
            root |= bit;
        }
    }
    return root;
}

// Uniform in [low, high].
static int32_t draw_between(ns_rng *rng, int32_t low, int32_t high) {
    return low + (int32_t)ns_rng_below(rng, (uint64_t)(high - low) + 1);
}

/* ---- pose ------------------------------------------------------------------------------------ */

// Maps the unit box to the canvas: bend, then a 2x2 matrix (canvas units for a table unit, q12),
// then the place.
typedef struct demo_pose {
    int32_t bend_q12;
    int32_t xx, xy, yx, yy;
    demo_point centre;
} demo_pose;

static demo_pose pose_draw(ns_rng *rng) {
    const int32_t angle = draw_between(rng, -TURN / 12, TURN / 12);
    const int32_t width = draw_between(rng, 13 * PX / 2, 21 * PX / 2);  // half size across
    const int32_t height = draw_between(rng, 13 * PX / 2, 21 * PX / 2); // and down
    const int32_t shear_q12 = draw_between(rng, -ONE / 4, ONE / 4);
    const int32_t bend_q12 = draw_between(rng, -ONE / 4, ONE / 4);
    const int32_t reach = 3 * PX;
    const demo_point centre = {
        SIDE * PX / 2 + draw_between(rng, -reach, reach),
        SIDE * PX / 2 + draw_between(rng, -reach, reach),
    };
    const int32_t sine = sine_q12(angle);
    const int32_t cosine = cosine_q12(angle);
    const int32_t sheared = width * shear_q12 / ONE;
    return (demo_pose){
        .bend_q12 = bend_q12,
        .xx = cosine * width / UNIT,
        .xy = (cosine * sheared / UNIT) - (sine * height / UNIT),
        .yx = sine * width / UNIT,
        .yy = (sine * sheared / UNIT) + (cosine * height / UNIT),
        .centre = centre,
    };
}

static demo_point pose_apply(const demo_pose *pose, demo_point at) {
    const int32_t x = at.x * PX + pose->bend_q12 * at.y / UNIT * at.y * PX / ONE;
    const int32_t y = at.y * PX;
    const int64_t unit = (int64_t)ONE * PX;
    return (demo_point){
        pose->centre.x + (int32_t)(((int64_t)pose->xx * x + (int64_t)pose->xy * y) / unit),
        pose->centre.y + (int32_t)(((int64_t)pose->yx * x + (int64_t)pose->yy * y) / unit),
    };
}

/* ---- strokes --------------------------------------------------------------------------------- */

typedef struct demo_canvas {
    uint8_t ink[AREA]; // (SIDE, SIDE) coverage; the strongest stroke over a pixel counts
} demo_canvas;

typedef struct demo_pen {
    demo_canvas *canvas;
    int32_t half_width; // canvas units
    int32_t strength;   // coverage under the pen's middle, at most INK_FULL
} demo_pen;

// Distance from `at` to the segment.
static int32_t distance_to_segment(demo_point at, demo_point from, demo_point to) {
    const int64_t dx = to.x - from.x;
    const int64_t dy = to.y - from.y;
    int64_t px = at.x - from.x;
    int64_t py = at.y - from.y;
    const int64_t length_squared = dx * dx + dy * dy;
    const int64_t along = px * dx + py * dy;
    if (along >= length_squared) { // past the end, or a segment of no length
        px -= dx;
        py -= dy;
    } else if (along > 0) {
        px -= dx * along / length_squared;
        py -= dy * along / length_squared;
    }
    return square_root(px * px + py * py);
}

// Pixels from `first` up to but without `end`, along one axis.
typedef struct demo_range {
    int32_t first, end;
} demo_range;

// Those whose middle may lie within `reach` of [a, b].
static demo_range range_around(int32_t a, int32_t b, int32_t reach) {
    const int32_t low = (a < b ? a : b) - reach;
    const int32_t high = (a < b ? b : a) + reach;
    return (demo_range){
        .first = data__clamp(low, 0, SIDE * PX) / PX,
        .end = (data__clamp(high, 0, SIDE * PX) + PX - 1) / PX,
    };
}

static void stroke_segment(const demo_pen *pen, demo_point from, demo_point to) {
    const int32_t reach = pen->half_width + PX / 2; // half a pixel of soft edge
    const demo_range columns = range_around(from.x, to.x, reach);
    const demo_range rows = range_around(from.y, to.y, reach);
    for (int32_t y = rows.first; y < rows.end; y++) {
        for (int32_t x = columns.first; x < columns.end; x++) {
            const demo_point middle = {x * PX + PX / 2, y * PX + PX / 2};
            const int32_t inside = reach - distance_to_segment(middle, from, to);
            const int32_t ink = data__clamp(inside, 0, PX) * pen->strength / PX;
            uint8_t *pixel = &pen->canvas->ink[y * SIDE + x];
            if (ink > *pixel) {
                *pixel = (uint8_t)ink;
            }
        }
    }
}

static demo_point arc_point(const demo_element *arc, int32_t step, int32_t step_count) {
    const int32_t angle = arc->start + arc->sweep * step / step_count;
    const int32_t radius = arc->to.x + (arc->to.y - arc->to.x) * step / step_count;
    return (demo_point){
        arc->from.x + cosine_q12(angle) * radius / ONE,
        arc->from.y + sine_q12(angle) * radius / ONE,
    };
}

static void stroke_element(const demo_pen *pen, const demo_pose *pose,
                           const demo_element *element) {
    if (element->kind == LINE) {
        stroke_segment(pen, pose_apply(pose, element->from), pose_apply(pose, element->to));
        return;
    }
    const int32_t step_count = (abs(element->sweep) + CHORD_TURN - 1) / CHORD_TURN;
    demo_point from = pose_apply(pose, arc_point(element, 0, step_count));
    for (int32_t step = 1; step <= step_count; step++) {
        const demo_point to = pose_apply(pose, arc_point(element, step, step_count));
        stroke_segment(pen, from, to);
        from = to;
    }
}

static void stroke_figure(demo_canvas *canvas, const demo_figure *figure, ns_rng *rng) {
    const demo_pose pose = pose_draw(rng);
    const demo_pen pen = {canvas, draw_between(rng, PX / 2, PX * 3 / 2), INK_FULL};
    for (int i = 0; i < ELEMENTS_MAX && figure->elements[i].kind != END; i++) {
        stroke_element(&pen, &pose, &figure->elements[i]);
    }
}

// Stray strokes that belong to no figure: short, often crossing it, a little fainter.
static void stroke_clutter(demo_canvas *canvas, ns_rng *rng) {
    const int32_t count = draw_between(rng, 0, 3);
    for (int32_t i = 0; i < count; i++) {
        const demo_point from = {draw_between(rng, 0, SIDE * PX), draw_between(rng, 0, SIDE * PX)};
        const int32_t angle = draw_between(rng, 0, TURN - 1);
        const int32_t length = draw_between(rng, 2 * PX, 8 * PX);
        const demo_point to = {
            from.x + cosine_q12(angle) * length / ONE,
            from.y + sine_q12(angle) * length / ONE,
        };
        const demo_pen pen = {
            canvas,
            draw_between(rng, PX / 2, PX * 5 / 4),
            draw_between(rng, INK_FULL / 3, INK_FULL),
        };
        stroke_segment(&pen, from, to);
    }
}

/* ---- the image ------------------------------------------------------------------------------- */

// Light and noise, in grey levels.
typedef struct demo_exposure {
    int32_t background;       // at the image's middle
    int32_t slope_x, slope_y; // grey levels across the whole image
    int32_t contrast;         // full ink above the background
    int32_t noise;            // half the range of each of the four uniform parts
} demo_exposure;

static demo_exposure exposure_draw(ns_rng *rng) {
    return (demo_exposure){
        .background = draw_between(rng, 20, 90),
        .slope_x = draw_between(rng, -60, 60),
        .slope_y = draw_between(rng, -60, 60),
        .contrast = draw_between(rng, 70, 170),
        .noise = draw_between(rng, 5, 18),
    };
}

// Four uniform parts from one word: close to a normal of deviation 1.15 * `half_range`.
static int32_t noise_draw(ns_rng *rng, int32_t half_range) {
    uint64_t word = ns_rng_next(rng);
    int32_t sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += (int32_t)(word & 0xffff) - 0x8000;
        word >>= 16;
    }
    return sum * half_range / 0x8000;
}

int data__demo_label(size_t index) {
    return (int)(index % DATA__DEMO_LABEL_COUNT);
}

void data__demo_draw(size_t index, uint8_t pixels[DATA__DEMO_SIDE * DATA__DEMO_SIDE]) {
    assert(index < DATA__DEMO_COUNT);
    ns_rng rng = ns_rng_stream(DEMO_SEED, index, "demo image");
    demo_canvas canvas = {0};
    stroke_figure(&canvas, &figures[data__demo_label(index)], &rng);
    stroke_clutter(&canvas, &rng);
    const demo_exposure light = exposure_draw(&rng);
    for (int32_t y = 0; y < SIDE; y++) {
        for (int32_t x = 0; x < SIDE; x++) {
            const int32_t at = y * SIDE + x;
            const int32_t slope = light.slope_x * (2 * x - SIDE) + light.slope_y * (2 * y - SIDE);
            const int32_t grey = light.background + slope / (2 * SIDE) +
                                 light.contrast * canvas.ink[at] / INK_FULL +
                                 noise_draw(&rng, light.noise);
            pixels[at] = (uint8_t)data__clamp(grey, 0, 255);
        }
    }
}

/* ---- the set --------------------------------------------------------------------------------- */

// Labels take turns, so that every split is balanced.
static data_split demo_split(size_t index) {
    if (index < DATA__DEMO_TRAIN_COUNT) {
        return DATA_TRAIN;
    }
    return index < DATA__DEMO_TRAIN_COUNT + DATA__DEMO_VALIDATION_COUNT ? DATA_VALIDATION
                                                                        : DATA_TEST;
}

ns_status data_demo_write(const char *out_path, ns_error *err) {
    const char *labels[DATA__DEMO_LABEL_COUNT];
    for (int i = 0; i < DATA__DEMO_LABEL_COUNT; i++) {
        labels[i] = figures[i].label;
    }
    const data__pack_spec spec = {
        .channels = 1,
        .height = SIDE,
        .width = SIDE,
        .label_count = DATA__DEMO_LABEL_COUNT,
        .labels = labels,
        .source = "demo",
        .provenance = "{\"source\":\"demo\",\"program\":\"nightshift " NS_VERSION "\"}",
    };
    data__pack_writer *writer = NULL;
    NS_TRY(data__pack_begin(out_path, &spec, &writer, err));
    for (size_t i = 0; i < DATA__DEMO_COUNT; i++) {
        uint8_t pixels[AREA];
        data__demo_draw(i, pixels);
        const ns_status status =
            data__pack_add(writer, pixels, data__demo_label(i), demo_split(i), err);
        if (status != NS_OK) {
            data__pack_abort(writer);
            return status;
        }
    }
    return data__pack_finish(writer, err);
}
