// The forms that a source can have: their names, and how one is told from what the source shows.

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/import_archive.h"

static const char *const names[DATA_FORMAT_COUNT] = {
    [DATA_FORMAT_AUTO] = "auto",
    [DATA_FORMAT_FOLDER] = "folder",
    [DATA_FORMAT_CSV] = "csv",
    [DATA_FORMAT_IDX] = "idx",
    [DATA_FORMAT_PIXELS] = "pixels",
    [DATA_FORMAT_ARCHIVE] = "archive",
    [DATA_FORMAT_OPENIMAGES] = "openimages",
};

const char *data_format_name(data_format format) {
    return names[format];
}

ns_status data_format_parse(const char *text, data_format *out, ns_error *err) {
    for (int i = 0; i < DATA_FORMAT_COUNT; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (data_format)i;
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_USAGE, "unknown format '%s' (" DATA_FORMAT_NAMES ")", text);
}

data_format data__format_of_names(char *const *entries, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (data__idx_is_images(entries[i])) {
            return DATA_FORMAT_IDX;
        }
        if (data__openimages_is_classes(entries[i])) {
            return DATA_FORMAT_OPENIMAGES;
        }
    }
    return DATA_FORMAT_AUTO;
}

/// The form of a folder, by the names in it.
static ns_status detect_folder(const char *source, data_format *out, ns_error *err) {
    char **entries = NULL;
    size_t count = 0;
    NS_TRY(data__dir_names(source, &entries, &count, err));
    const data_format form = data__format_of_names(entries, count);
    *out = form != DATA_FORMAT_AUTO ? form : DATA_FORMAT_FOLDER;
    data__names_free(entries, count);
    return NS_OK;
}

static bool ends_in(const char *name, const char *ending) {
    const size_t length = strlen(name);
    const size_t ending_length = strlen(ending);
    return length > ending_length && strcasecmp(name + length - ending_length, ending) == 0;
}

bool data__format_is_csv(const char *name) {
    return ends_in(name, ".csv") || ends_in(name, ".csv.gz");
}

static ns_status detect_file(const char *source, data_format *out, ns_error *err) {
    if (data__format_is_csv(source)) {
        data__disk_file disk;
        data__disk_file_set(&disk, source);
        *out = data__pixels_is(&disk.file) ? DATA_FORMAT_PIXELS : DATA_FORMAT_CSV;
        return NS_OK;
    }
    if (data__archive_is(source)) {
        *out = DATA_FORMAT_ARCHIVE;
        return NS_OK;
    }
    if (strstr(source, "idx") != NULL) {
        *out = DATA_FORMAT_IDX;
        return NS_OK;
    }
    return ns_fail(err, NS_ERR_INPUT,
                   "cannot import %s: it is neither a folder nor a CSV file, an archive (zip, tar, "
                   "tar.gz) or an IDX file",
                   source);
}

ns_status data__format_detect(const char *source, data_format wanted, data_format *out,
                              ns_error *err) {
    struct stat info;
    if (stat(source, &info) != 0) {
        return ns_fail(err, errno == ENOENT || errno == ENOTDIR ? NS_ERR_NOT_FOUND : NS_ERR_IO,
                       "cannot import %s: %s", source, strerror(errno));
    }
    *out = wanted;
    if (wanted != DATA_FORMAT_AUTO) {
        return NS_OK;
    }
    return S_ISDIR(info.st_mode) ? detect_folder(source, out, err) : detect_file(source, out, err);
}
