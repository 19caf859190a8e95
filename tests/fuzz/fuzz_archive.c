// An archive: its names, the form they show, its listing, and the last image in it; of IDX files the
// whole import.

#include <unistd.h>

#include "data/import_archive.h"
#include "tests/fuzz/fuzz.h"

static void list_and_read(data__archive_index *index, data_format form, data__listing *listing) {
    ns_error err = {0};
    data__content content;
    if (data__archive_list(index, form, listing, &err) == NS_OK &&
        data__listing_finish(listing, &err) == NS_OK) {
        for (size_t i = listing->item_count; i-- > 0;) {
            if (listing->items[i].reason == NULL) {
                if (data__listing_read(listing, i, SIZE_MAX, &content, &err) == NS_OK) {
                    data__content_free(&content);
                }
                return;
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    const data_import_options options = data_import_options_default();
    ns_error err = {0};
    char path[64];
    const int fd = fuzz_memory_file(bytes, size_bytes, path);
    data__archive_index *index = NULL;
    data__listing listing = {.options = &options, .source = path};
    if (data__archive_is(path) && data__archive_scan(path, &options, &index, &err) == NS_OK) {
        data_format form = DATA_FORMAT_AUTO;
        const data__file files = {.place = &index->place, .shown = path};
        if (data__archive_form(index, &form, &err) == NS_OK && form != DATA_FORMAT_IDX) {
            list_and_read(index, form, &listing);
        } else if (form == DATA_FORMAT_IDX) {
            (void)data__idx_import(&files, DATA_FORMAT_ARCHIVE, "fuzz_archive.nsd", &options, &err);
        }
    }
    data__listing_free(&listing);
    data__archive_index_free(index);
    close(fd);
    return 0;
}
