/* Reads a snapshot and writes it again. */
#include "tests/support/edit_native.h"

#include "core/base/cleanup.h"
#include "formats/format.h"
#include "formats/native_write.h"

#include <criterion/criterion.h>
#include <fcntl.h>

void edit_native(const char *from, const char *to, void (*edit)(struct vm_state *vm, void *arg), void *arg)
{
        struct snapshot_open_options so = {0};
        struct native_writer_options wo = {.path = to};
        struct native_writer *w;
        struct snapshot s = {0};
        struct err e = {0};
        uint8_t bytes[PAGE_BYTES];
        _cleanup_close_ int fd = -1;

        cr_assert_eq(snapshot_open(from, &so, &s, &e), 0, "%s", e.text);
        edit(&s.vm, arg);
        wo.ram_pages = s.pages.nr_pages;
        cr_assert_eq(native_writer_new(&wo, &w, &e), 0, "%s", e.text);
        fd = openat(s.dir_fd, "memory", O_RDONLY | O_CLOEXEC);
        for (uint64_t p = 0; p < wo.ram_pages; p++) {
                cr_assert_eq(pread(fd, bytes, sizeof(bytes), (off_t)(p * PAGE_BYTES)), (ssize_t)sizeof(bytes));
                cr_assert_eq(native_writer_pages(w, bytes, 1, &e), 0, "%s", e.text);
        }
        cr_assert_eq(native_writer_state(w, &s.vm, &s.layout, &e), 0, "%s", e.text);
        cr_assert_eq(native_writer_commit(w, NULL, &e), 0, "%s", e.text);
        native_writer_free(w);
        snapshot_close(&s);
}
