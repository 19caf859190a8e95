// The way of every source into a pack, except IDX files, which have an easier one of their own:
//
//   list      folder or manifest to a listing; no image is opened yet
//   survey    read every header: what is an image, how large, grey or colour (parallel)
//   choose    one size and channel count for all
//   decode    into the pack (parallel)
//   settle    copies of one picture: what of the pack must go after all
//   split     over what was really decoded
//
// A bad image is left out and listed with its reason, up to a fraction; then the import stops. It
// also stops when the caller's progress function says so, which is asked while listing, before each
// header and before each image.

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/import_archive.h"

ns_status data_conflicts_parse(const char *text, data_conflicts *out, ns_error *err) {
    static const char *const names[] = {"drop", "first", "error"};
    for (int i = 0; i < (int)NS_COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (data_conflicts)i;
            return NS_OK;
        }
    }
    return ns_fail(err, NS_ERR_USAGE, "drop, first or error is needed, not '%s'", text);
}

data_import_options data_import_options_default(void) {
    return (data_import_options){
        .format = DATA_FORMAT_AUTO,
        .split_percent = {80, 10, 10},
        .bad_fraction_max = 0.05,
    };
}

/* ---- the whole way --------------------------------------------------------------------------- */

static ns_status begin_pack(data__import *run, const char *out_path, ns_error *err) {
    const data__pack_spec spec = {
        .channels = run->channels,
        .height = run->height,
        .width = run->width,
        .label_count = run->listing.label_count,
        .multi_label = run->listing.multi_label,
        .labels = (const char *const *)run->listing.labels,
        .source = run->source,
    };
    return data__pack_begin(out_path, &spec, &run->writer, err);
}

static ns_status split_pack(data__import *run, ns_error *err) {
    const ns_status status =
        data__pack_split(run->writer, run->options->split_percent, run->options->seed, err);
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot import %s", run->source);
    }
    return status;
}

/// A source, opened as its form needs it.
typedef struct opened_source {
    data_format format;           // of the source
    data_format form;             // the same, or of what an archive holds
    data__archive_index *archive; // NULL: it is none
    data__disk_file disk;
    data__place folder;
    data__file files; // what it consists of: with a name the one file, else all in the place
} opened_source;

/// Sets the files of a source that is no archive.
static void find_files(const data__import *run, opened_source *source) {
    struct stat info;
    data__disk_file_set(&source->disk, run->source);
    source->folder = data__place_folder(run->source);
    source->files = source->disk.file;
    if (stat(run->source, &info) == 0 && S_ISDIR(info.st_mode)) {
        source->files = (data__file){.place = &source->folder, .shown = run->source};
    }
}

static ns_status open_source(const data__import *run, opened_source *source, ns_error *err) {
    NS_TRY(data__format_detect(run->source, run->options->format, &source->format, err));
    find_files(run, source);
    source->form = source->format;
    if (source->format == DATA_FORMAT_ARCHIVE) {
        NS_TRY(data__archive_scan(run->source, run->options, &source->archive, err));
        NS_TRY(data__archive_form(source->archive, &source->form, err));
        source->files = (data__file){.place = &source->archive->place, .shown = run->source};
    }
    if (run->options->multi_label && source->form != DATA_FORMAT_CSV) {
        return ns_fail(err, NS_ERR_USAGE,
                       "cannot import %s as a multi-label set: only CSV manifests name several "
                       "labels an image",
                       run->source);
    }
    return NS_OK;
}

static ns_status list(data__import *run, const opened_source *source, ns_error *err) {
    if (source->archive != NULL) {
        return data__archive_list(source->archive, source->form, &run->listing, err);
    }
    switch (source->form) {
    case DATA_FORMAT_CSV:
        return data__csv_list(&source->disk.file, &run->listing, err);
    case DATA_FORMAT_PIXELS:
        return data__pixels_list(&source->disk.file, &run->listing, err);
    case DATA_FORMAT_OPENIMAGES:
        return data__openimages_list(&source->folder, &run->listing, err);
    default:
        return data__folder_list(run->source, &run->listing, err);
    }
}

static ns_status import_listing(data__import *run, const opened_source *source,
                                const char *out_path, ns_error *err) {
    NS_TRY(list(run, source, err));
    NS_TRY(data__listing_finish(&run->listing, err));
    NS_TRY(data__import_survey(run, err));
    NS_TRY(data__import_check_bad(run, err));
    NS_TRY(data__import_choose_sizes(run, err));
    NS_TRY(begin_pack(run, out_path, err));
    NS_TRY(data__import_decode(run, err));
    NS_TRY(data__import_settle(run, err));
    NS_TRY(split_pack(run, err));
    NS_TRY(data__provenance(run->options, source->format, &run->hygiene, run->writer, err));
    data__pack_writer *writer = run->writer;
    run->writer = NULL;
    return data__pack_finish(writer, err);
}

static ns_status check_options(const data_import_options *options, ns_error *err) {
    int sum = 0;
    for (int i = 0; i < DATA_SPLIT_COUNT; i++) {
        if (options->split_percent[i] < 0) {
            return ns_fail(err, NS_ERR_USAGE, "a split cannot have %d %%",
                           options->split_percent[i]);
        }
        sum += options->split_percent[i];
    }
    if (sum != 100 || options->split_percent[DATA_TRAIN] == 0) {
        return ns_fail(err, NS_ERR_USAGE,
                       "split percentages must sum to 100 with some for train, not %d,%d,%d",
                       options->split_percent[0], options->split_percent[1],
                       options->split_percent[2]);
    }
    if ((options->width == 0) != (options->height == 0) || options->width < 0 ||
        options->width > DATA__SIDE_MAX || options->height < 0 ||
        options->height > DATA__SIDE_MAX) {
        return ns_fail(err, NS_ERR_USAGE, "images cannot be made %dx%d pixels (1 to %d)",
                       options->width, options->height, DATA__SIDE_MAX);
    }
    if (options->channels != 0 && options->channels != 1 && options->channels != 3) {
        return ns_fail(err, NS_ERR_USAGE, "images have 1 or 3 channels, not %d", options->channels);
    }
    return NS_OK;
}

ns_status data_import(const char *source, const char *out_path, const data_import_options *options,
                      ns_error *err) {
    NS_TRY(check_options(options, err));
    data__import run = {
        .source = source,
        .options = options,
        .listing = {.source = source, .options = options},
        .hygiene = {.only_counts = options->keep_duplicates},
        .thread_count = options->thread_count > 0 ? options->thread_count : ns_cpu_count(),
    };
    opened_source opened = {0};
    ns_status status = open_source(&run, &opened, err);
    if (status == NS_OK) {
        status = opened.form == DATA_FORMAT_IDX
                     ? data__idx_import(&opened.files, opened.format, out_path, options, err)
                     : import_listing(&run, &opened, out_path, err);
    }
    data__pack_abort(run.writer);
    data__listing_free(&run.listing);
    data__hygiene_free(&run.hygiene);
    data__archive_index_free(opened.archive);
    return status;
}
