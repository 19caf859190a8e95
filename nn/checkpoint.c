// Checkpoints: all that a training run knows, so that another process can go on as if nothing had
// happened.
//
// A checkpoint is a sealed file (nn/sealed_file.c) whose values are state, momentum and, when it is
// kept, average of the weights, in plain layout, and then those of the last good state
// (nn/train_keep.c); and whose JSON holds the position and the identity of the training:
//
//   {"graph": SHA-256, "data": SHA-256, "recipe": {...}, "seed": n, "dtype": "bf16",
//    "with_validation": false,
//    "step": n, "sample_count": n, "used_ms": n, "marks_done": n, "recoveries": n, "step_ms": x,
//    "reserve_ms": x, "trend": TREND, "good_trend": TREND}
//
//   TREND: {"loss": x, "loss_count": n,
//           "clip": {"mean": x, "variance": x, "count": n, "clipped_count": n}}
//
// The random streams need no room: augmentation depends on (seed, epoch, image), dropout on (seed,
// step). Between float and JSON every number keeps its bits, so a run limited by samples continues
// exactly. Limits and callbacks are not part of the identity: the rest may be granted more or less.

#include "nn/nn_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const nn__sealed_kind checkpoint_kind = {
    .noun = "checkpoint", .magic = {'N', 'S', 'C', 'K', 'P', 'T', '0', '\n'}, .version = 4};

/// What must be equal for one training to go on from another's checkpoint. Owned by the caller.
static ns_status describe(const nn__training *training, ns_json **out, ns_error *err) {
    char graph_hash[NS_SHA256_HEX_MAX];
    NS_TRY(nn_graph_hash(training->graph, graph_hash, err));
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "graph", graph_hash);
    ns_json_set_string(json, "data", data_describe(training->set)->sha256);
    ns_json_set(json, "recipe", nn_recipe_to_json(training->recipe));
    ns_json_set_int(json, "seed", (int64_t)training->seed);
    ns_json_set_string(json, "dtype", nn_dtype_name(training->dtype));
    ns_json_set_bool(json, "with_validation", training->with_validation);
    *out = json;
    return NS_OK;
}

static void write_trend(ns_json *json, const char *key, const nn__trend *trend) {
    ns_json *object = ns_json_set(json, key, ns_json_object_new());
    ns_json_set_number(object, "loss", trend->loss);
    ns_json_set_int(object, "loss_count", trend->loss_count);
    ns_json *clip = ns_json_set(object, "clip", ns_json_object_new());
    ns_json_set_number(clip, "mean", trend->clip.mean);
    ns_json_set_number(clip, "variance", trend->clip.variance);
    ns_json_set_int(clip, "count", trend->clip.count);
    ns_json_set_int(clip, "clipped_count", trend->clip.clipped_count);
}

ns_status nn__checkpoint_save(const char *path, const nn__training *training,
                              const nn__position *position, const float *values, size_t value_count,
                              ns_error *err) {
    ns_json *json = NULL;
    NS_TRY(describe(training, &json, err));
    ns_json_set_int(json, "step", position->step);
    ns_json_set_int(json, "sample_count", (int64_t)position->sample_count);
    ns_json_set_int(json, "used_ms", position->used_ms);
    ns_json_set_int(json, "marks_done", position->marks_done);
    ns_json_set_int(json, "recoveries", position->recoveries);
    ns_json_set_number(json, "step_ms", position->step_ms);
    ns_json_set_number(json, "reserve_ms", position->reserve_ms);
    write_trend(json, "trend", &position->trend);
    write_trend(json, "good_trend", &position->good_trend);
    const ns_status status =
        nn__sealed_write(&checkpoint_kind, path, json, values, value_count, err);
    ns_json_free(json);
    return status;
}

/// NS_ERR_INPUT when the member `key` differs.
static ns_status compare_member(const ns_json *theirs, const ns_json *ours, const char *key,
                                ns_error *err) {
    ns_status status = NS_OK;
    char *theirs_text = NULL;
    char *ours_text = NULL;
    if (ns_json_get(theirs, key) == NULL) {
        return ns_fail(err, NS_ERR_CORRUPT, "\"%s\" is missing", key);
    }
    NS_TRY_OUT(ns_json_print(ns_json_get(theirs, key), false, &theirs_text, err));
    NS_TRY_OUT(ns_json_print(ns_json_get(ours, key), false, &ours_text, err));
    if (strcmp(theirs_text, ours_text) != 0) {
        status = ns_fail(err, NS_ERR_INPUT, "it is of another training: %s is %s, not %s", key,
                         theirs_text, ours_text);
    }
out:
    free(theirs_text);
    free(ours_text);
    return status;
}

static ns_status compare(const ns_json *theirs, const ns_json *ours, ns_error *err) {
    for (size_t i = 0; i < ns_json_count(ours); i++) {
        NS_TRY(compare_member(theirs, ours, ns_json_key_at(ours, i), err));
    }
    return NS_OK;
}

static ns_status read_clip(const ns_json *json, nn__clip *clip, ns_error *err) {
    clip->mean = ns_json_number(json, "mean", (double)NAN);
    clip->variance = ns_json_number(json, "variance", (double)NAN);
    clip->count = ns_json_int(json, "count", -1);
    clip->clipped_count = ns_json_int(json, "clipped_count", -1);
    if (!isfinite(clip->mean) || !(clip->variance >= 0) || clip->clipped_count < 0 ||
        clip->count < 0) {
        return ns_fail(err, NS_ERR_CORRUPT, "its statistics of gradients make no sense");
    }
    return NS_OK;
}

static ns_status read_trend(const ns_json *json, nn__trend *trend, ns_error *err) {
    trend->loss = ns_json_number(json, "loss", (double)NAN);
    trend->loss_count = ns_json_int(json, "loss_count", -1);
    if (!isfinite(trend->loss) || trend->loss_count < 0) {
        return ns_fail(err, NS_ERR_CORRUPT, "its loss makes no sense");
    }
    return read_clip(ns_json_get(json, "clip"), &trend->clip, err);
}

static ns_status read_position(const ns_json *json, nn__position *position, ns_error *err) {
    const int64_t sample_count = ns_json_int(json, "sample_count", -1);
    const int64_t marks_done = ns_json_int(json, "marks_done", -1);
    const int64_t recoveries = ns_json_int(json, "recoveries", -1);
    position->step = ns_json_int(json, "step", -1);
    position->used_ms = ns_json_int(json, "used_ms", -1);
    position->step_ms = ns_json_number(json, "step_ms", (double)NAN);
    position->reserve_ms = ns_json_number(json, "reserve_ms", (double)NAN);
    if (position->step < 1 || position->used_ms < 0 || sample_count < position->step ||
        marks_done < 0 || marks_done > NN_EVAL_MARKS_MAX || recoveries < 0 ||
        recoveries > position->step || !(position->step_ms >= 0) || !(position->reserve_ms >= 0)) {
        return ns_fail(err, NS_ERR_CORRUPT, "its position makes no sense");
    }
    position->sample_count = (uint64_t)sample_count;
    position->marks_done = (int)marks_done;
    position->recoveries = (int)recoveries;
    NS_TRY(read_trend(ns_json_get(json, "trend"), &position->trend, err));
    return read_trend(ns_json_get(json, "good_trend"), &position->good_trend, err);
}

static ns_status check_values(const float *values, size_t count, size_t expected, ns_error *err) {
    if (count != expected) {
        return ns_fail(err, NS_ERR_CORRUPT, "it holds %zu values instead of %zu", count, expected);
    }
    const size_t finite_count = nn__finite_count(values, count);
    if (finite_count < count) {
        return ns_fail(err, NS_ERR_CORRUPT, "its value %zu is %g", finite_count,
                       (double)values[finite_count]);
    }
    return NS_OK;
}

ns_status nn_checkpoint_progress(const char *path, nn_progress *out, ns_error *err) {
    ns_json *json = NULL;
    float *values = NULL;
    size_t value_count = 0;
    nn__position position;
    NS_TRY(nn__sealed_read(&checkpoint_kind, path, &json, &values, &value_count, err));
    const ns_status status = read_position(json, &position, err);
    if (status == NS_OK) {
        *out = (nn_progress){.step = position.step,
                             .sample_count = position.sample_count,
                             .loss = position.trend.loss,
                             .used_ms = position.used_ms,
                             .val_accuracy = NAN};
    } else {
        ns_error_prefix(err, "checkpoint %s is damaged", path);
    }
    free(values);
    ns_json_free(json);
    return status;
}

ns_status nn__checkpoint_load(const char *path, const nn__training *training,
                              nn__position *position, float *values, size_t value_count,
                              ns_error *err) {
    ns_json *json = NULL;
    ns_json *ours = NULL;
    float *found = NULL;
    size_t found_count = 0;
    NS_TRY(nn__sealed_read(&checkpoint_kind, path, &json, &found, &found_count, err));
    ns_status status = describe(training, &ours, err);
    if (status == NS_OK) {
        status = compare(json, ours, err);
    }
    if (status == NS_OK) {
        status = check_values(found, found_count, value_count, err);
    }
    if (status == NS_OK) {
        status = read_position(json, position, err);
    }
    if (status == NS_OK) {
        memcpy(values, found, value_count * sizeof *values);
    } else {
        ns_error_prefix(err, "cannot go on from checkpoint %s", path);
    }
    free(found);
    ns_json_free(ours);
    ns_json_free(json);
    return status;
}
