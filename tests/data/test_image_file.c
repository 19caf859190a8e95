// Files that are no images, or not files: each refused with a sentence that names it.

#include "tests/data/sources.h"

static void assert_unreadable(const char *path, const char *reason) {
    ns_error err = {0};
    data_image image = {0};
    data__image_header header = {0};
    if (data_image_read(path, &image, &err) == NS_OK) {
        fail_msg("%s was read", path);
    }
    if (strstr(err.text, path) == NULL || strstr(err.text, reason) == NULL) {
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", err.text, path, reason);
    }
    assert_int_not_equal(read_header(path, &header, &err), NS_OK);
    assert_non_null(strstr(err.text, reason));
}

static void test_unreadable(void **state) {
    (void)state;
    put_text("empty.png", "");
    assert_unreadable("empty.png", "it is empty");
    put_text("words.jpg", "no image");
    assert_unreadable("words.jpg", "no PNG, JPEG or WebP image");
    put_text("moving.png", "GIF89a...........");
    assert_unreadable("moving.png", "it is a GIF image");
    put_text("photo.jpg", "RIFF....WEBPVP8 ");
    assert_unreadable("photo.jpg", "the file is cut off");
    put_file("photo.heic",
             "\0\0\0\x20"
             "ftypheic",
             12);
    assert_unreadable("photo.heic", "it is a HEIF image");
    assert_unreadable("not there.png", "No such file");
    fresh_dir("folder.png");
    assert_unreadable("folder.png", "not a regular file");
    (void)unlink("pipe.png");
    assert_int_equal(mkfifo("pipe.png", 0600), 0);
    assert_unreadable("pipe.png", "not a regular file");
}

static void test_content_decides_not_the_name(void **state) {
    (void)state;
    ns_error err = {0};
    data_image image = {0};
    put_plain_png("really a png.jpg", 3, 2, true, 77);
    assert_ok(data_image_read("really a png.jpg", &image, &err), &err);
    assert_int_equal(image.width, 3);
    assert_int_equal(image.pixels[5], 77);
    data_image_free(&image);
    assert_null(image.pixels);
    data_image_free(&image);
    data_image_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_content_decides_not_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
