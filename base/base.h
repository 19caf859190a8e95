// What every layer stands on: errors, memory arenas, random streams, the log, clocks, safe file
// writes, hashing and JSON. No function here prints, exits or keeps global state.
//
// Ownership: a function named `_new`, `_open`, `_parse`, `_print` or `_read` hands its result to
// the caller, who frees it with the matching `_free` or `_close` (both accept NULL); everything
// else lends.

#ifndef NS_BASE_BASE_H
#define NS_BASE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

#define NS_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#define NS_COUNT_OF(array)            (sizeof(array) / sizeof((array)[0]))

/* ---- errors -------------------------------------------------------------------------------- */

#define NS_ERROR_TEXT_MAX 512

/// One sentence for a person: what could not be done, in which file or place, and why.
/// Owned by the caller and initialised with `{0}`; holds the most recent failure.
typedef struct ns_error {
    char text[NS_ERROR_TEXT_MAX];
} ns_error;

/// Writes the sentence into `err` (may be NULL) and returns `status`: `return ns_fail(err, ...)`.
/// Over-long sentences are cut, and made safe to print (ns_text_escape). `status` must not be NS_OK.
ns_status ns_fail(ns_error *err, ns_status status, const char *format, ...) NS_PRINTF(3, 4);

#ifdef __clang_analyzer__ // let it see that the result is the status, and so never NS_OK
#define ns_fail(err, status, ...) ((void)ns_fail((err), (status), __VA_ARGS__), (status))
#endif

/// Puts "`context`: " before the sentence that `err` already holds.
void ns_error_prefix(ns_error *err, const char *format, ...) NS_PRINTF(2, 3);

/// Passes a failure up.
#define NS_TRY(expr)                                                                               \
    do {                                                                                           \
        const ns_status ns_try_status_ = (expr);                                                   \
        if (ns_try_status_ != NS_OK) {                                                             \
            return ns_try_status_;                                                                 \
        }                                                                                          \
    } while (0)

/// Keeps a failure in the local `status` and goes to the local label `out`, which cleans up.
#define NS_TRY_OUT(expr)                                                                           \
    do {                                                                                           \
        status = (expr);                                                                           \
        if (status != NS_OK) {                                                                     \
            goto out;                                                                              \
        }                                                                                          \
    } while (0)

/* ---- arena: one block, bump allocation, freed or reset as a whole --------------------------- */

typedef struct ns_arena ns_arena;

/// Maps `size_bytes` of zeroed memory (huge pages asked for where large). NS_ERR_MEMORY.
ns_status ns_arena_new(size_t size_bytes, ns_arena **out, ns_error *err);
void ns_arena_free(ns_arena *arena);
/// Returns `size_bytes` aligned to `align` (a power of two), or NULL when the arena is full.
void *ns_arena_alloc(ns_arena *arena, size_t size_bytes, size_t align);
void ns_arena_reset(ns_arena *arena);
size_t ns_arena_used_bytes(const ns_arena *arena);

/* ---- random streams ------------------------------------------------------------------------- */

/// xoshiro256** (Blackman & Vigna 2021). A plain value: copying it forks the stream, storing its
/// four words in a checkpoint and reading them back continues it.
typedef struct ns_rng {
    uint64_t word[4];
} ns_rng;

/// A stream that depends on all three and on nothing else; `purpose` names the use ("shuffle").
ns_rng ns_rng_stream(uint64_t seed, uint64_t index, const char *purpose);
uint64_t ns_rng_next(ns_rng *rng);
/// Uniform in [0, bound); unbiased (Lemire 2019). `bound` > 0.
uint64_t ns_rng_below(ns_rng *rng, uint64_t bound);
/// Uniform in [0, 1), 53 bits.
double ns_rng_unit(ns_rng *rng);
/// Standard normal (Box-Muller, one of the pair).
double ns_rng_normal(ns_rng *rng);
/// Beta(a, b), in [0, 1]; both > 0, also far below 1. From two gammas (Marsaglia & Tsang 2000).
double ns_rng_beta(ns_rng *rng, double a, double b);
/// Fisher-Yates over `count` indices.
void ns_rng_shuffle(ns_rng *rng, uint32_t *indices, size_t count);

/* ---- log ------------------------------------------------------------------------------------ */

typedef enum ns_log_level {
    NS_LOG_DEBUG,
    NS_LOG_INFO,
    NS_LOG_WARN,
    NS_LOG_ERROR,
} ns_log_level;

typedef enum ns_log_format {
    NS_LOG_TEXT, // 2026-01-31 23:59:59.123 info  search: trial 7 done
    NS_LOG_JSON, // {"time":"2026-01-31T23:59:59.123Z","level":"info","message":"..."}
} ns_log_format;

typedef struct ns_log ns_log;

/// Logs to `stream` (borrowed) and drops what is below `level`. Lines are written whole.
ns_status ns_log_new(FILE *stream, ns_log_level level, ns_log_format format, ns_log **out,
                     ns_error *err);
/// Also appends every line to the file `path`, so that a study keeps its own log.
ns_status ns_log_tee(ns_log *log, const char *path, ns_error *err);
void ns_log_free(ns_log *log);
/// `log` may be NULL: then nothing happens.
void ns_log_write(ns_log *log, ns_log_level level, const char *format, ...) NS_PRINTF(3, 4);

/* ---- clocks --------------------------------------------------------------------------------- */

/// Milliseconds of a clock that never jumps; comparable between processes until the next boot.
int64_t ns_clock_ms(void);
/// The same clock in nanoseconds, for what is too short for milliseconds.
int64_t ns_clock_ns(void);
/// Milliseconds since 1970 UTC, for records that people read.
int64_t ns_clock_unix_ms(void);
/// ns_clock_ms() at which this program began, from the kernel's record of its process; now, when
/// that process is so old that it must have run another program first. To be asked early.
int64_t ns_clock_process_start_ms(void);
void ns_sleep_ms(int64_t duration_ms);

/* ---- the machine ---------------------------------------------------------------------------- */

/// Cores this process may keep busy: those of its affinity mask, or fewer by the quota of its
/// control group; at least 1.
int ns_cpu_count(void);

#define NS_CPU_MAX 8192

/// Some of the machine's cores; a plain value.
typedef struct ns_cpu_set {
    unsigned long word[NS_CPU_MAX / (8 * sizeof(unsigned long))];
} ns_cpu_set;

/// The cores that the calling thread may run on. False where the system does not tell.
bool ns_cpu_set_get(ns_cpu_set *out);
/// Keeps the calling thread, and all threads and processes that it starts from now on, on these
/// cores. False, and nothing changes, when the system refuses.
bool ns_cpu_set_use(const ns_cpu_set *set);
int ns_cpu_set_count(const ns_cpu_set *set);
/// `count` of its cores in ascending order, after the `first` lowest; fewer where it has no more.
/// Worker `i` of several with `n` cores each takes (&all, i * n, n).
ns_cpu_set ns_cpu_set_part(const ns_cpu_set *set, int first, int count);

/// Memory this process may still take: the least of what the machine and its cgroup have left.
size_t ns_mem_available_bytes(void);

/// Memory of the machine, or what its cgroup may ever take; the same however much is in use.
size_t ns_mem_total_bytes(void);

/* ---- files ---------------------------------------------------------------------------------- */

/// A file that appears under its name whole or not at all: temporary file beside it, fsync, rename,
/// fsync of the folder.
typedef struct ns_atomic_file ns_atomic_file;

ns_status ns_atomic_open(const char *path, ns_atomic_file **out, ns_error *err);
/// Appends. A failed write is remembered; ns_atomic_commit then fails too.
ns_status ns_atomic_write(ns_atomic_file *file, const void *bytes, size_t size_bytes,
                          ns_error *err);
/// Overwrites at `offset` what was written before (a header that is known last).
ns_status ns_atomic_write_at(ns_atomic_file *file, const void *bytes, size_t size_bytes,
                             uint64_t offset, ns_error *err);
/// Reads back exactly `size_bytes` of what was written at `offset`.
ns_status ns_atomic_read_at(ns_atomic_file *file, void *bytes, size_t size_bytes, uint64_t offset,
                            ns_error *err);
/// Cuts off what was written from `size_bytes` on; the next ns_atomic_write goes there.
ns_status ns_atomic_truncate(ns_atomic_file *file, uint64_t size_bytes, ns_error *err);
/// Makes the file appear; frees `file` whatever the result.
ns_status ns_atomic_commit(ns_atomic_file *file, ns_error *err);
/// Drops the temporary file; accepts NULL.
void ns_atomic_abort(ns_atomic_file *file);
/// The three calls above for a buffer in memory.
ns_status ns_file_write(const char *path, const void *bytes, size_t size_bytes, ns_error *err);
/// Reads a whole file of at most `size_bytes_max`; `*out` is malloced, with a 0 byte after its end.
ns_status ns_file_read(const char *path, size_t size_bytes_max, uint8_t **out, size_t *size_bytes,
                       ns_error *err);
bool ns_file_exists(const char *path);
/// Makes the folder and its parents; fine when it is there.
ns_status ns_dir_make(const char *path, ns_error *err);

#define NS_PATH_MAX 4096
/// Joins with one slash into `out` (NS_PATH_MAX bytes); an absolute `name` replaces `dir`.
ns_status ns_path_join(const char *dir, const char *name, char out[NS_PATH_MAX], ns_error *err);
/// The absolute form of `path`, whose parent folder must exist; the file itself need not.
ns_status ns_path_absolute(const char *path, char out[NS_PATH_MAX], ns_error *err);

/// Exclusive advisory lock on `path`, held until ns_lock_release or the end of this process, even
/// by SIGKILL; not inherited by forked children. NS_ERR_BUSY when another process holds it.
typedef struct ns_lock ns_lock;
ns_status ns_lock_acquire(const char *path, ns_lock **out, ns_error *err);
void ns_lock_release(ns_lock *lock);
/// Whether another process holds the lock; never takes it, not even for a moment. Must not be
/// called by the process that holds it.
bool ns_lock_held(const char *path);

/* ---- numbers -------------------------------------------------------------------------------- */

/// Ascending; no NaN may be among them.
void ns_sort_doubles(double *values, size_t count);
/// What `fraction` (0 to 1) of the sorted values are below, between two of them where it falls there
/// (Hyndman & Fan 1996, "Sample Quantiles in Statistical Packages", definition 7); 0 of none.
double ns_quantile(const double *sorted, size_t count, double fraction);
/// Sorts `values`; 0 of none.
double ns_median(double *values, size_t count);
/// "12,345" in `out` (32 bytes); returns `out`.
const char *ns_group_digits(int64_t value, char out[32]);

/* ---- text ----------------------------------------------------------------------------------- */

/// Length of the UTF-8 sequence at `text`, 0 when it is none or at the end (RFC 3629: no
/// surrogates, no over-long forms, nothing above U+10FFFF).
size_t ns_utf8_length(const char *text);
bool ns_utf8_valid(const char *text);
/// Copies `text` to `out`, control characters and bytes that are not UTF-8 as \xNN, and cuts it
/// between characters to fit; at most 4 bytes a byte and the final 0. Copying twice changes no more.
void ns_text_escape(const char *text, char *out, size_t size_bytes);

/* ---- hashing and base64 --------------------------------------------------------------------- */

#define NS_SHA256_HEX_MAX 65 // 64 digits and the final 0

typedef struct ns_sha256 ns_sha256;
ns_status ns_sha256_new(ns_sha256 **out, ns_error *err);
void ns_sha256_update(ns_sha256 *hash, const void *bytes, size_t size_bytes);
/// Writes the hex digest and frees `hash`.
void ns_sha256_finish(ns_sha256 *hash, char out[NS_SHA256_HEX_MAX]);
/// The same with the digest's first 128 bits in place of its text, for tables of very many.
void ns_sha256_finish_128(ns_sha256 *hash, uint64_t out[2]);
/// The first three calls for a buffer in memory.
ns_status ns_sha256_of(const void *bytes, size_t size_bytes, char out[NS_SHA256_HEX_MAX],
                       ns_error *err);

/// The bytes as text that stands for a file in HTML, "data:image/png;base64,..." (RFC 2397, RFC
/// 4648); `*out` is malloced. NS_ERR_MEMORY.
ns_status ns_data_uri(const char *mime_type, const void *bytes, size_t size_bytes, char **out,
                      ns_error *err);

/* ---- JSON ----------------------------------------------------------------------------------- */

// A thin face over cJSON, so that only base/json.c knows it. Builders accept NULL and pass it on;
// one that runs out of memory marks nothing but makes its parent's print fail with NS_ERR_MEMORY.

typedef struct ns_json ns_json;

ns_json *ns_json_object_new(void);
ns_json *ns_json_array_new(void);
void ns_json_free(ns_json *json);

void ns_json_set_string(ns_json *object, const char *key, const char *value); // NULL -> null
void ns_json_set_int(ns_json *object, const char *key, int64_t value);        // exact
void ns_json_set_number(ns_json *object, const char *key, double value);      // NaN -> null
void ns_json_set_bool(ns_json *object, const char *key, bool value);
void ns_json_set_null(ns_json *object, const char *key);
/// Any JSON text, printed as it is; it cannot be looked into.
void ns_json_set_raw(ns_json *object, const char *key, const char *text);
/// Gives `child` to `object`; returns `child`, still usable for adding to it.
ns_json *ns_json_set(ns_json *object, const char *key, ns_json *child);
void ns_json_add_string(ns_json *array, const char *value);
void ns_json_add_int(ns_json *array, int64_t value);
void ns_json_add_number(ns_json *array, double value);
ns_json *ns_json_add(ns_json *array, ns_json *child);

/// Parses `text`; the error names the byte. Rejects trailing text. `*out` is the caller's.
ns_status ns_json_parse(const char *text, ns_json **out, ns_error *err);
/// Prints on one line, or indented when `pretty`; `*out` is malloced. Keys keep their order.
ns_status ns_json_print(const ns_json *json, bool pretty, char **out, ns_error *err);

/// A part of a text; borrowed from it.
typedef struct ns_json_span {
    const char *text;
    size_t size_bytes;
} ns_json_span;

/// For files of a hundred megabytes: finds the first member `key` of the object in `object` without
/// building a tree. False where there is none, or the text is no object as far as it was read;
/// what is found is checked when it is parsed.
bool ns_json_scan_member(ns_json_span object, const char *key, ns_json_span *value);
/// The next element of the array in `array`; `*offset` is 0 at first. False behind the last.
bool ns_json_scan_element(ns_json_span array, size_t *offset, ns_json_span *element);
/// ns_json_parse() of such a part.
ns_status ns_json_parse_span(ns_json_span span, ns_json **out, ns_error *err);

/// Borrowed child, or NULL when `object` is NULL, not an object, or without `key`.
const ns_json *ns_json_get(const ns_json *object, const char *key);
const ns_json *ns_json_at(const ns_json *array, size_t index);
size_t ns_json_count(const ns_json *array_or_object);
/// Key of the `index`-th member of an object, or NULL.
const char *ns_json_key_at(const ns_json *object, size_t index);
bool ns_json_is_object(const ns_json *value); // false for NULL, too
bool ns_json_is_array(const ns_json *value);
/// Children one after the other, where there may be thousands: the calls above count from the first.
const ns_json *ns_json_first(const ns_json *array_or_object);
const ns_json *ns_json_next(const ns_json *child);
/// Key of an object's member; NULL for an array's.
const char *ns_json_key(const ns_json *child);
/// Typed reads with a fallback for what is missing or of another type.
const char *ns_json_string(const ns_json *object, const char *key, const char *fallback);
int64_t ns_json_int(const ns_json *object, const char *key, int64_t fallback);
double ns_json_number(const ns_json *object, const char *key, double fallback);
bool ns_json_bool(const ns_json *object, const char *key, bool fallback);
/// Value of a number or string node itself (an array's element).
double ns_json_value_number(const ns_json *value, double fallback);
const char *ns_json_value_string(const ns_json *value, const char *fallback);
/// Puts the value's text into `out`, cut to fit: strings bare, numbers as %g. Returns `out`.
const char *ns_json_value_text(const ns_json *value, char *out, size_t size_bytes);

#endif
