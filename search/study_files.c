// The files in a study's folder that may be in question: what they are, and how large. Told by their
// names alone, and only regular files: whatever else lies in the folder is not ours to judge.
//
//   trial-N.nsm                 the model of trial N (search/keep.c)
//   retrain.ckpt, retrain.nsm   retraining under way, until the finish has its model
//   NAME.tmp                    what was being written as NAME when its process was killed
//
// The final model and its ONNX form, the log, the lock and the mark that names the store are never in
// question.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "search/search_internal.h"

#define TEMPORARY_SUFFIX ".tmp" // base/fsio.c

static bool is_one_of(const char *name, const char *const *names) {
    while (*names != NULL && strcmp(*names, name) != 0) {
        names++;
    }
    return *names != NULL;
}

/// The N of "trial-N.nsm", as it is printed; -1 for other names.
static int trial_number(const char *name) {
    char again[SEARCH__FILE_NAME_BYTES];
    int number = -1;
    // What strtol would find out is found out below. NOLINTNEXTLINE(cert-err34-c)
    if (sscanf(name, SEARCH__TRIAL_FILE, &number) != 1 || number < 0) {
        return -1;
    }
    (void)snprintf(again, sizeof(again), SEARCH__TRIAL_FILE, number);
    return strcmp(again, name) == 0 ? number : -1;
}

/// False for what is not in question.
static bool tell(const char *name, search__study_file *out) {
    static const char *const RETRAINING[] = {"retrain.ckpt", "retrain.nsm", NULL};
    static const char *const FINAL[] = {"model.nsm", "model.onnx", "store", NULL};
    const size_t length = strlen(name);
    const size_t suffix_bytes = sizeof(TEMPORARY_SUFFIX) - 1;
    if (length >= sizeof(out->name)) {
        return false;
    }
    *out = (search__study_file){.number = -1};
    memcpy(out->name, name, length + 1);
    if (length > suffix_bytes && strcmp(name + length - suffix_bytes, TEMPORARY_SUFFIX) == 0) {
        char whole[SEARCH__FILE_NAME_BYTES] = "";
        memcpy(whole, name, length - suffix_bytes);
        out->kind = SEARCH__FILE_PARTIAL;
        return is_one_of(whole, RETRAINING) || is_one_of(whole, FINAL) || trial_number(whole) >= 0;
    }
    out->number = trial_number(name);
    out->kind = out->number >= 0 ? SEARCH__FILE_TRIAL : SEARCH__FILE_RETRAINING;
    return out->number >= 0 || is_one_of(name, RETRAINING);
}

static ns_status append(search__study_file **files, size_t *count, const search__study_file *file,
                        ns_error *err) {
    search__study_file *grown = realloc(*files, (*count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot list the files of a study: out of memory");
    }
    grown[(*count)++] = *file;
    *files = grown;
    return NS_OK;
}

static int by_name(const void *left, const void *right) {
    const search__study_file *a = left;
    const search__study_file *b = right;
    return strcmp(a->name, b->name);
}

ns_status search__study_files(const char *dir_path, search__study_file **out, size_t *count,
                              ns_error *err) {
    ns_status status = NS_OK;
    *out = NULL;
    *count = 0;
    DIR *dir = opendir(dir_path);
    if (dir == NULL) {
        return ns_fail(err, NS_ERR_IO, "cannot list %s: %s", dir_path, strerror(errno));
    }
    const struct dirent *entry = NULL;
    while (status == NS_OK && (entry = readdir(dir)) != NULL) {
        search__study_file file;
        struct stat info;
        if (tell(entry->d_name, &file) &&
            fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(info.st_mode)) {
            file.size_bytes = info.st_size;
            status = append(out, count, &file, err);
        }
    }
    closedir(dir);
    if (status != NS_OK) {
        free(*out);
        *out = NULL;
        *count = 0;
    } else if (*count > 0) {
        qsort(*out, *count, sizeof(**out), by_name);
    }
    return status;
}
