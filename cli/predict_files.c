// The files that predict is asked about: named one by one, or in folders of any size and depth. A walk
// holds one folder's names at a time, so a million files cost no memory.

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/predict.h"

struct cli_files {
    char **operands; // those not begun yet
    FTS *walk;       // through the present one; NULL: none
};

ns_status cli__files_open(char **operands, cli_files **out, ns_error *err) {
    cli_files *files = calloc(1, sizeof(*files));
    if (files == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot predict: out of memory");
    }
    files->operands = operands;
    *out = files;
    return NS_OK;
}

void cli__files_close(cli_files *files) {
    if (files != NULL && files->walk != NULL) {
        (void)fts_close(files->walk);
    }
    free(files);
}

static int compare_names(const FTSENT **left, const FTSENT **right) {
    return strcmp((*left)->fts_name, (*right)->fts_name);
}

/// Other files of a folder, notes and tables, are passed over.
static bool is_image_name(const char *name) {
    static const char *const endings[] = {".png", ".jpg", ".jpeg", ".webp"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < NS_COUNT_OF(endings); i++) {
        if (strcasecmp(dot, endings[i]) == 0) {
            return true;
        }
    }
    return false;
}

/// Begins with the next operand; false after the last.
static bool begin_walk(cli_files *files) {
    if (*files->operands == NULL) {
        return false;
    }
    char *roots[] = {*files->operands++, NULL};
    files->walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, compare_names);
    return true;
}

static ns_status walk_failed(const FTSENT *entry, ns_error *err) {
    const int cause = entry->fts_errno;
    return ns_fail(err, cause == ENOENT ? NS_ERR_NOT_FOUND : NS_ERR_IO, "cannot read %s: %s",
                   entry->fts_path, strerror(cause));
}

ns_status cli__files_next(cli_files *files, char **path, ns_error *err) {
    *path = NULL;
    while (files->walk != NULL || begin_walk(files)) {
        const FTSENT *entry = files->walk != NULL ? fts_read(files->walk) : NULL;
        if (entry == NULL) {
            if (files->walk == NULL) {
                return ns_fail(err, NS_ERR_IO, "cannot look for files: %s", strerror(errno));
            }
            (void)fts_close(files->walk);
            files->walk = NULL;
            continue;
        }
        const int kind = entry->fts_info;
        if (kind == FTS_NS || kind == FTS_DNR || kind == FTS_ERR) {
            return walk_failed(entry, err);
        }
        const bool named = entry->fts_level == FTS_ROOTLEVEL && kind != FTS_D && kind != FTS_DP;
        if (named || (kind == FTS_F && is_image_name(entry->fts_name))) {
            *path = strdup(entry->fts_path);
            return *path != NULL ? NS_OK
                                 : ns_fail(err, NS_ERR_MEMORY, "cannot predict: out of memory");
        }
    }
    return NS_OK;
}

void cli__file_will_need(const char *path) {
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor >= 0) {
        (void)posix_fadvise(descriptor, 0, 0, POSIX_FADV_WILLNEED);
        (void)close(descriptor);
    }
}
