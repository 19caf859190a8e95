// The memory plan: which tensors live when, and where in the one arena of a net.
//
// Time runs over the calls of one step. With n layers, layer i runs forward at time i, the loss at
// time n, and layer i backward at time 2n - i:
//
//      forward 0 1 ... n-1 | loss n | backward n+1 ... 2n
//
// An output lives from its layer's forward to its last reader: a later forward, a backward whose op
// `reads` it (the column of op_list.h), or the loss. Its gradient lives from the first backward
// that writes it to its own layer's backward. Two buffers that never live at once may share bytes.
//
// Gradients and sharing. A tensor with several readers gets several gradients, which are summed.
// The first one is written in place; each further one is written to a buffer of its own and added
// right after. Where an op passes its gradient through unchanged (addition), the input's gradient
// *is* that buffer, no copy made; when a sum later lands on a buffer that another tensor's pending
// gradient still shares, the sum goes to a new buffer instead. So a residual block costs one
// addition in its backward, as by hand.
//
// An op that says so (batch norm by kernels of our own) writes its input's gradient over the input,
// which is in the cache and which nobody will read again.
//
// Placement is greedy, largest first into the lowest gap: within a few percent of the best on such
// graphs, and deterministic.

#include <assert.h>
#include <stdlib.h>

#include "nn/nn_internal.h"

#define ALIGN_BYTES ((size_t)64)

static size_t align_up(size_t bytes) {
    return (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

/* ---- placement ------------------------------------------------------------------------------- */

/// A buffer to be sorted with others.
typedef struct entry {
    nn__buffer *buffer;
} entry;

static int compare_size_falling(const void *a, const void *b) {
    const nn__buffer *left = ((const entry *)a)->buffer, *right = ((const entry *)b)->buffer;
    if (left->size_bytes != right->size_bytes) {
        return left->size_bytes < right->size_bytes ? 1 : -1;
    }
    return left < right ? -1 : 1; // equal sizes keep their order
}

/// The lowest offset at which `buffer` meets none of the `placed` ones, which are sorted by offset.
static size_t lowest_gap(const nn__buffer *buffer, const entry *placed, int placed_count) {
    size_t offset = 0;
    for (int i = 0; i < placed_count; i++) {
        const nn__buffer *other = placed[i].buffer;
        if (other->last < buffer->first || buffer->last < other->first) {
            continue; // never at once
        }
        if (offset + buffer->size_bytes <= other->offset) {
            break;
        }
        const size_t end = other->offset + align_up(other->size_bytes);
        offset = end > offset ? end : offset;
    }
    return offset;
}

static void insert_by_offset(entry *placed, int placed_count, entry added) {
    int at = placed_count;
    while (at > 0 && placed[at - 1].buffer->offset > added.buffer->offset) {
        placed[at] = placed[at - 1];
        at--;
    }
    placed[at] = added;
}

/// `order` and `placed` have room for all.
static size_t place(nn__buffer *buffers, int count, entry *order, entry *placed) {
    for (int i = 0; i < count; i++) {
        order[i].buffer = &buffers[i];
    }
    qsort(order, (size_t)count, sizeof *order, compare_size_falling);
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        nn__buffer *buffer = order[i].buffer;
        buffer->offset = lowest_gap(buffer, placed, i);
        insert_by_offset(placed, i, order[i]);
        const size_t end = buffer->offset + align_up(buffer->size_bytes);
        total = end > total ? end : total;
    }
    return total;
}

ns_status nn__buffers_place(nn__buffer *buffers, int count, size_t *total_bytes, ns_error *err) {
    entry *work = calloc(2 * (size_t)count + 1, sizeof *work);
    if (work == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot plan %d buffers: out of memory", count);
    }
    *total_bytes = place(buffers, count, work, work + count);
    free(work);
    return NS_OK;
}

/* ---- lifetimes ------------------------------------------------------------------------------- */

typedef struct planner {
    const nn__layer *layer;
    int count; // layers
    nn__memory *memory;
} planner;

/// A buffer alive at `time` alone, for now.
static int add_buffer(planner *p, size_t size_bytes, int time) {
    nn__memory *memory = p->memory;
    assert(memory->buffer_count < memory->buffer_capacity);
    memory->buffer[memory->buffer_count] = (nn__buffer){size_bytes, time, time, 0};
    return memory->buffer_count++;
}

static void live_until(planner *p, int buffer, int time) {
    if (buffer >= 0 && p->memory->buffer[buffer].last < time) {
        p->memory->buffer[buffer].last = time;
    }
}

static int backward_time(const planner *p, int layer) {
    return 2 * p->count - layer;
}

static void plan_forward(planner *p, int i) {
    const nn__layer *layer = &p->layer[i];
    const nn__op *op = nn__op_of(layer->node->kind);
    nn__layer_plan *plan = &p->memory->layer[i];
    const bool learns = layer->training && layer->wants_gradient;

    plan->y = add_buffer(p, layer->y_bytes, i);
    if (i == 0) { // the caller fills the input, at any time
        p->memory->buffer[plan->y].first = -1;
        live_until(p, plan->y, backward_time(p, 0) + 1);
    }
    if (learns && nn__node_reads(layer->node) == NN__READS_OUTPUT) {
        live_until(p, plan->y, backward_time(p, i));
    }
    for (int k = 0; k < op->input_count; k++) {
        const bool again = learns && nn__node_reads(layer->node) == NN__READS_INPUT;
        live_until(p, p->memory->layer[layer->node->input[k]].y, again ? backward_time(p, i) : i);
    }
    if (layer->kept_bytes > 0) {
        plan->kept = add_buffer(p, layer->kept_bytes, i);
        live_until(p, plan->kept, layer->training ? backward_time(p, i) : i);
    }
}

/// Whether a layer before `end`, one that still has to read its gradient, has it in `buffer`;
/// `target` aside.
static bool shared_with_pending(const planner *p, int buffer, int target, int end) {
    for (int i = 0; i < end; i++) {
        if (i != target && p->memory->layer[i].dy == buffer) {
            return true;
        }
    }
    return false;
}

/// Whether layer `i` may write the gradient of its first input over that input: nobody else reads
/// it, now or later.
static bool may_overwrite(const planner *p, int i, int k) {
    const int target = p->layer[i].node->input[k];
    if (!p->layer[i].overwrites || k > 0 || target == 0 ||
        nn__node_reads(p->layer[target].node) == NN__READS_OUTPUT) {
        return false;
    }
    int reader_count = 0;
    for (int j = 0; j < p->count; j++) {
        for (int other = 0; other < nn__op_of(p->layer[j].node->kind)->input_count; other++) {
            reader_count += p->layer[j].node->input[other] == target;
        }
    }
    return reader_count == 1;
}

/// Plans the gradient that layer `i` hands to its input `k`.
static void plan_input_gradient(planner *p, int i, int k) {
    const nn__layer *layer = &p->layer[i];
    nn__layer_plan *plan = &p->memory->layer[i];
    const int target = layer->node->input[k];
    const int now = backward_time(p, i);
    int *total = &p->memory->layer[target].dy;

    int mine = plan->dy;
    if (!layer->passes[k]) {
        mine = plan->dx[k] = may_overwrite(p, i, k) ? p->memory->layer[target].y
                                                    : add_buffer(p, p->layer[target].y_bytes, now);
    }
    if (*total < 0) {
        *total = mine;
        return;
    }
    plan->sum_old[k] = *total;
    live_until(p, *total, now);
    const bool dy_read_again = k + 1 < nn__op_of(layer->node->kind)->input_count;
    if (shared_with_pending(p, *total, target, dy_read_again ? i + 1 : i)) {
        *total = add_buffer(p, p->layer[target].y_bytes, now);
    }
    plan->sum[k] = *total;
}

static void plan_backward(planner *p, int i) {
    const nn__layer *layer = &p->layer[i];
    if (!layer->wants_gradient) {
        return;
    }
    assert(p->memory->layer[i].dy >= 0); // every output is used (nn_graph_check)
    live_until(p, p->memory->layer[i].dy, backward_time(p, i));
    for (int k = 0; k < nn__op_of(layer->node->kind)->input_count; k++) {
        if (p->layer[layer->node->input[k]].wants_gradient) {
            plan_input_gradient(p, i, k);
        }
    }
}

static void plan_lifetimes(planner *p) {
    for (int i = 0; i < p->count; i++) {
        plan_forward(p, i);
    }
    const int last = p->count - 1;
    live_until(p, p->memory->layer[last].y, p->count);
    if (!p->layer[last].training) {
        return;
    }
    p->memory->layer[last].dy = add_buffer(p, p->layer[last].y_bytes, p->count);
    for (int i = last; i > 0; i--) {
        plan_backward(p, i);
    }
}

static ns_status memory_alloc(nn__memory *memory, int layer_count, ns_error *err) {
    // A layer has at most y, kept, and for each input a gradient and a sum; the loss has one.
    memory->buffer_capacity = layer_count * (2 + 2 * NN__INPUTS_MAX) + 1;
    memory->buffer = calloc((size_t)memory->buffer_capacity, sizeof *memory->buffer);
    memory->layer = calloc((size_t)layer_count, sizeof *memory->layer);
    if (memory->buffer == NULL || memory->layer == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot plan %d layers: out of memory", layer_count);
    }
    for (int i = 0; i < layer_count; i++) {
        memory->layer[i] = (nn__layer_plan){-1, -1, -1, {-1, -1}, {-1, -1}, {-1, -1}};
    }
    return NS_OK;
}

ns_status nn__memory_plan(const nn__layer *layers, int layer_count, nn__memory *out,
                          ns_error *err) {
    *out = (nn__memory){0};
    ns_status status = memory_alloc(out, layer_count, err);
    if (status != NS_OK) {
        nn__memory_free(out);
        return status;
    }
    planner p = {layers, layer_count, out};
    plan_lifetimes(&p);
    for (int i = 0; i < layer_count; i++) {
        if (layers[i].scratch_bytes > out->scratch_bytes) {
            out->scratch_bytes = layers[i].scratch_bytes;
        }
    }
    status = nn__buffers_place(out->buffer, out->buffer_count, &out->tensor_bytes, err);
    if (status != NS_OK) {
        nn__memory_free(out);
    }
    return status;
}

void nn__memory_free(nn__memory *memory) {
    free(memory->buffer);
    free(memory->layer);
    *memory = (nn__memory){0};
}
