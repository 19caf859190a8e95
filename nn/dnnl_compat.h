// oneDNN in the words of its 3.x C interface, also where 2.6 or later of the 2.x line is installed.
//
// 3.x made layouts opaque (dnnl_memory_desc_t is a pointer to create and destroy), dropped the
// operation descriptors (a primitive descriptor is made in one call) and a few old arguments. The
// backend speaks 3.x only. For 2.x this header has 3.x's functions under 3.x's names, as far as the
// backend calls them; with 3.x it is almost empty, and it goes when 2.x does.
//
// The one word that cannot be kept is dnnl_memory_desc_t itself, a struct in 2.x: what we create is
// an nn__owned_md, and everything else holds a const_dnnl_memory_desc_t, which owns nothing.

#ifndef NS_NN_DNNL_COMPAT_H
#define NS_NN_DNNL_COMPAT_H

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_version.h>

_Static_assert(DNNL_VERSION_MAJOR > 2 || (DNNL_VERSION_MAJOR == 2 && DNNL_VERSION_MINOR >= 6),
               "oneDNN 2.6 or later is needed");

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t nn__owned_md;
#define NN__NORM_BACKWARD_READS_SHIFT 0

#else

#include <stdlib.h>

typedef dnnl_memory_desc_t *nn__owned_md;
typedef const dnnl_memory_desc_t *const_dnnl_memory_desc_t;
/// 2.x counts the shift among the inputs of batch norm's backward, 3.x refuses it.
#define NN__NORM_BACKWARD_READS_SHIFT 1

/* ---- layouts --------------------------------------------------------------------------------- */

static inline dnnl_status_t dnnl_memory_desc_create_with_tag(nn__owned_md *out, int dim_count,
                                                             const dnnl_dims_t dims,
                                                             dnnl_data_type_t type,
                                                             dnnl_format_tag_t tag) {
    *out = malloc(sizeof **out);
    if (*out == NULL) {
        return dnnl_out_of_memory;
    }
    const dnnl_status_t status = dnnl_memory_desc_init_by_tag(*out, dim_count, dims, type, tag);
    if (status != dnnl_success) {
        free(*out);
        *out = NULL;
    }
    return status;
}

static inline dnnl_status_t dnnl_memory_desc_destroy(nn__owned_md md) {
    free(md);
    return dnnl_success;
}

enum {
    dnnl_query_ndims_s32,
    dnnl_query_dims,
    dnnl_query_padded_dims,
    dnnl_query_data_type,
    dnnl_query_strides,
    dnnl_query_inner_nblks_s32,
    dnnl_query_inner_blks,
    dnnl_query_inner_idxs,
};

static inline dnnl_status_t dnnl_memory_desc_query(const_dnnl_memory_desc_t md, int what,
                                                   void *result) {
    if (md == NULL) {
        return dnnl_invalid_arguments;
    }
    switch (what) {
    case dnnl_query_ndims_s32:
        *(int *)result = md->ndims;
        return dnnl_success;
    case dnnl_query_dims:
        *(const dnnl_dims_t **)result = &md->dims;
        return dnnl_success;
    case dnnl_query_padded_dims:
        *(const dnnl_dims_t **)result = &md->padded_dims;
        return dnnl_success;
    case dnnl_query_strides:
        *(const dnnl_dims_t **)result = &md->format_desc.blocking.strides;
        return dnnl_success;
    case dnnl_query_inner_nblks_s32:
        *(int *)result = md->format_desc.blocking.inner_nblks;
        return md->format_kind == dnnl_blocked ? dnnl_success : dnnl_invalid_arguments;
    case dnnl_query_inner_blks:
        *(const dnnl_dims_t **)result = &md->format_desc.blocking.inner_blks;
        return dnnl_success;
    case dnnl_query_inner_idxs:
        *(const dnnl_dims_t **)result = &md->format_desc.blocking.inner_idxs;
        return dnnl_success;
    case dnnl_query_data_type:
        *(dnnl_data_type_t *)result = md->data_type;
        return dnnl_success;
    default:
        return dnnl_unimplemented;
    }
}

/* ---- attributes ------------------------------------------------------------------------------ */

/// Without 2.x's scale, which is 1.
#define dnnl_post_ops_append_eltwise(after, algorithm, alpha, beta)                                \
    (dnnl_post_ops_append_eltwise)(after, 1.0F, algorithm, alpha, beta)

/* ---- primitives ------------------------------------------------------------------------------ */

/// The second half of each function below: `described` is what the first half said.
static inline dnnl_status_t nn__pd_of(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                      dnnl_status_t described, const void *op_desc,
                                      const_dnnl_primitive_desc_t hint,
                                      const_dnnl_primitive_attr_t attr) {
    return described != dnnl_success ? described
                                     : dnnl_primitive_desc_create(out, op_desc, attr, engine, hint);
}

static inline dnnl_status_t dnnl_convolution_forward_primitive_desc_create(
    dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_prop_kind_t kind,
    dnnl_alg_kind_t algorithm, const_dnnl_memory_desc_t src, const_dnnl_memory_desc_t weights,
    const_dnnl_memory_desc_t bias, const_dnnl_memory_desc_t dst, const dnnl_dims_t strides,
    const dnnl_dims_t dilates, const dnnl_dims_t pads_begin, const dnnl_dims_t pads_end,
    const_dnnl_primitive_attr_t attr) {
    dnnl_convolution_desc_t desc;
    const dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &desc, kind, algorithm, src, weights, bias, dst, strides, dilates, pads_begin, pads_end);
    return nn__pd_of(out, engine, status, &desc, NULL, attr);
}

static inline dnnl_status_t dnnl_convolution_backward_data_primitive_desc_create(
    dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_alg_kind_t algorithm,
    const_dnnl_memory_desc_t diff_src, const_dnnl_memory_desc_t weights,
    const_dnnl_memory_desc_t diff_dst, const dnnl_dims_t strides, const dnnl_dims_t dilates,
    const dnnl_dims_t pads_begin, const dnnl_dims_t pads_end, const_dnnl_primitive_desc_t hint,
    const_dnnl_primitive_attr_t attr) {
    dnnl_convolution_desc_t desc;
    const dnnl_status_t status = dnnl_dilated_convolution_backward_data_desc_init(
        &desc, algorithm, diff_src, weights, diff_dst, strides, dilates, pads_begin, pads_end);
    return nn__pd_of(out, engine, status, &desc, hint, attr);
}

static inline dnnl_status_t dnnl_convolution_backward_weights_primitive_desc_create(
    dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_alg_kind_t algorithm,
    const_dnnl_memory_desc_t src, const_dnnl_memory_desc_t diff_weights,
    const_dnnl_memory_desc_t diff_bias, const_dnnl_memory_desc_t diff_dst,
    const dnnl_dims_t strides, const dnnl_dims_t dilates, const dnnl_dims_t pads_begin,
    const dnnl_dims_t pads_end, const_dnnl_primitive_desc_t hint,
    const_dnnl_primitive_attr_t attr) {
    dnnl_convolution_desc_t desc;
    const dnnl_status_t status = dnnl_dilated_convolution_backward_weights_desc_init(
        &desc, algorithm, src, diff_weights, diff_bias, diff_dst, strides, dilates, pads_begin,
        pads_end);
    return nn__pd_of(out, engine, status, &desc, hint, attr);
}

static inline dnnl_status_t dnnl_inner_product_forward_primitive_desc_create(
    dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_prop_kind_t kind,
    const_dnnl_memory_desc_t src, const_dnnl_memory_desc_t weights, const_dnnl_memory_desc_t bias,
    const_dnnl_memory_desc_t dst, const_dnnl_primitive_attr_t attr) {
    dnnl_inner_product_desc_t desc;
    const dnnl_status_t status =
        dnnl_inner_product_forward_desc_init(&desc, kind, src, weights, bias, dst);
    return nn__pd_of(out, engine, status, &desc, NULL, attr);
}

static inline dnnl_status_t dnnl_inner_product_backward_data_primitive_desc_create(
    dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t diff_src,
    const_dnnl_memory_desc_t weights, const_dnnl_memory_desc_t diff_dst,
    const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr) {
    dnnl_inner_product_desc_t desc;
    const dnnl_status_t status =
        dnnl_inner_product_backward_data_desc_init(&desc, diff_src, weights, diff_dst);
    return nn__pd_of(out, engine, status, &desc, hint, attr);
}

static inline dnnl_status_t dnnl_inner_product_backward_weights_primitive_desc_create(
    dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t src,
    const_dnnl_memory_desc_t diff_weights, const_dnnl_memory_desc_t diff_bias,
    const_dnnl_memory_desc_t diff_dst, const_dnnl_primitive_desc_t hint,
    const_dnnl_primitive_attr_t attr) {
    dnnl_inner_product_desc_t desc;
    const dnnl_status_t status = dnnl_inner_product_backward_weights_desc_init(
        &desc, src, diff_weights, diff_bias, diff_dst);
    return nn__pd_of(out, engine, status, &desc, hint, attr);
}

/// Source and destination have one layout in 2.x.
static inline dnnl_status_t dnnl_batch_normalization_forward_primitive_desc_create(
    dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_prop_kind_t kind,
    const_dnnl_memory_desc_t src, const_dnnl_memory_desc_t dst, float epsilon, unsigned flags,
    const_dnnl_primitive_attr_t attr) {
    (void)dst;
    dnnl_batch_normalization_desc_t desc;
    const dnnl_status_t status =
        dnnl_batch_normalization_forward_desc_init(&desc, kind, src, epsilon, flags);
    return nn__pd_of(out, engine, status, &desc, NULL, attr);
}

static inline dnnl_status_t dnnl_batch_normalization_backward_primitive_desc_create(
    dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_prop_kind_t kind,
    const_dnnl_memory_desc_t diff_src, const_dnnl_memory_desc_t diff_dst,
    const_dnnl_memory_desc_t src, float epsilon, unsigned flags, const_dnnl_primitive_desc_t hint,
    const_dnnl_primitive_attr_t attr) {
    (void)diff_dst;
    dnnl_batch_normalization_desc_t desc;
    const dnnl_status_t status =
        dnnl_batch_normalization_backward_desc_init(&desc, kind, diff_src, src, epsilon, flags);
    return nn__pd_of(out, engine, status, &desc, hint, attr);
}

static inline dnnl_status_t dnnl_pooling_forward_primitive_desc_create(
    dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_prop_kind_t kind,
    dnnl_alg_kind_t algorithm, const_dnnl_memory_desc_t src, const_dnnl_memory_desc_t dst,
    const dnnl_dims_t strides, const dnnl_dims_t kernel, const dnnl_dims_t dilates,
    const dnnl_dims_t pads_begin, const dnnl_dims_t pads_end, const_dnnl_primitive_attr_t attr) {
    dnnl_pooling_v2_desc_t desc;
    const dnnl_status_t status = dnnl_pooling_v2_forward_desc_init(
        &desc, kind, algorithm, src, dst, strides, kernel, dilates, pads_begin, pads_end);
    return nn__pd_of(out, engine, status, &desc, NULL, attr);
}

static inline dnnl_status_t dnnl_pooling_backward_primitive_desc_create(
    dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_alg_kind_t algorithm,
    const_dnnl_memory_desc_t diff_src, const_dnnl_memory_desc_t diff_dst, const dnnl_dims_t strides,
    const dnnl_dims_t kernel, const dnnl_dims_t dilates, const dnnl_dims_t pads_begin,
    const dnnl_dims_t pads_end, const_dnnl_primitive_desc_t hint,
    const_dnnl_primitive_attr_t attr) {
    dnnl_pooling_v2_desc_t desc;
    const dnnl_status_t status = dnnl_pooling_v2_backward_desc_init(
        &desc, algorithm, diff_src, diff_dst, strides, kernel, dilates, pads_begin, pads_end);
    return nn__pd_of(out, engine, status, &desc, hint, attr);
}

#endif
#endif
