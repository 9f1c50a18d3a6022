/* formats/stratovirt_write.c: takes a machine's pages and state and makes the two files that StratoVirt 2.5.0 restores. */
#include "formats/stratovirt_write.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/is_zero.h"
#include "formats/snapshot_dir.h"
#include "formats/snapshot_writer.h"
#include "formats/stratovirt_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STATE_NAME  "state"
#define MEMORY_NAME "memory"

/* RAM pages, and the page with the list after them. */
struct snapshot_writer {
        /* set when it is made */
        struct snapshot_dir dir;
        bool                replace;
        int                 memory_fd, state_fd;
        uint64_t            ram_pages;
        /* what came so far */
        uint64_t                      next_page;
        struct snapshot_writer_counts counts;
        bool                          failed;        /* a snapshot with a hole in it must not be committed */
        struct byte_out               state;         /* as it was written: the identity is made of it */
        bool                          state_written;
};

static void writer_free(struct snapshot_writer *w)
{
        if (!w)
                return;
        snapshot_dir_free(&w->dir);
        if (w->memory_fd >= 0)
                close(w->memory_fd);
        if (w->state_fd >= 0)
                close(w->state_fd);
        byte_out_free(&w->state);
        free(w);
}

static void free_writer(struct snapshot_writer **w)
{
        writer_free(*w);
}

static int write_failed(const struct snapshot_writer *w, const char *name, int r, struct err *e)
{
        return err_set(e, r, "write %s of snapshot %s: %s", name, w->dir.path, strerror(-r));
}

/* Returns the descriptor of a new file in the temporary directory. */
static int create(const struct snapshot_writer *w, const char *name, struct err *e)
{
        int fd = openat(w->dir.fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        return fd < 0 ? write_failed(w, name, -errno, e) : fd;
}

/* As long as it will be from the start, so that pages of zeros need not be written: they are holes, which read as zeros through
 * read(2) and mmap(2) alike, and StratoVirt does nothing else with the file. (StratoVirt itself writes them out.) */
static int create_memory(struct snapshot_writer *w, struct err *e)
{
        w->memory_fd = create(w, MEMORY_NAME, e);
        if (w->memory_fd < 0)
                return w->memory_fd;
        if (ftruncate(w->memory_fd, (off_t)(SV_DATA_BYTES + pages_to_bytes(w->ram_pages) + PAGE_BYTES)) < 0)
                return write_failed(w, MEMORY_NAME, -errno, e);
        return 0;
}

static int writer_new(const struct snapshot_writer_options *o, struct snapshot_writer **ret, struct err *e)
{
        _cleanup_(free_writer) struct snapshot_writer *w = calloc(1, sizeof(*w));
        int                                            r;

        if (!w)
                return err_set(e, -ENOMEM, "no memory to write a snapshot");
        w->dir = (struct snapshot_dir)SNAPSHOT_DIR_NONE;
        w->memory_fd = w->state_fd = -1;
        w->replace = o->replace;
        w->ram_pages = o->ram_pages;
        r = snapshot_dir_new(o->path, o->replace, o->need_bytes, &w->dir, e);
        r = r < 0 ? r : create_memory(w, e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

/* StratoVirt finds a device's state by its name, and leaves it out without a word where its command line has another. */
static void advise(const struct vm_state *vm, void (*say)(void *arg, const char *text), void *arg)
{
        for (uint32_t i = 0; i < vm->nr_devices; i++) {
                const struct device_record     *d = &vm->devices[i];
                const struct sv_write_optional *o = d->kind == DEVICE_VIRTIO ? sv_write_optional(d->u.virtio.kind) : NULL;
                char                            text[160];

                if (!o)
                        continue;
                snprintf(text, sizeof(text), "StratoVirt must be started with -device %s,id=%s: the name is part of the snapshot",
                         o->device, sv_write_name(d));
                say(arg, text);
        }
}

/* --- memory --- */

static int write_stretch(struct snapshot_writer *w, const uint8_t *bytes, uint64_t nr_pages, bool zero)
{
        uint64_t at = SV_DATA_BYTES + pages_to_bytes(w->next_page);
        int      r = zero ? 0 : fd_pwrite_full(w->memory_fd, bytes, pages_to_bytes(nr_pages), at);

        if (r < 0)
                return r;
        w->next_page += nr_pages;
        *(zero ? &w->counts.zero_pages : &w->counts.data_pages) += nr_pages;
        return 0;
}

static int write_pages(struct snapshot_writer *w, const uint8_t *bytes, uint64_t nr_pages)
{
        uint64_t begin = 0;
        int      r = 0;

        if (!bytes)
                return write_stretch(w, NULL, nr_pages, true);
        while (r == 0 && begin < nr_pages) {
                const uint8_t *from = bytes + pages_to_bytes(begin);
                bool           zero;
                uint64_t       nr = alike_pages(from, nr_pages - begin, &zero);

                r = write_stretch(w, from, nr, zero);
                begin += nr;
        }
        return r;
}

static int writer_pages(struct snapshot_writer *w, const void *bytes, uint64_t nr_pages, struct err *e)
{
        int r;

        if (!range_fits(w->next_page, nr_pages, w->ram_pages)) {
                w->failed = true;
                return err_set(e, -EINVAL, "snapshot %s: expected %" PRIu64 " pages in all, found %" PRIu64 " more after "
                               "%" PRIu64, w->dir.path, w->ram_pages, nr_pages, w->next_page);
        }
        r = write_pages(w, bytes, nr_pages);
        if (r == 0)
                return 0;
        w->failed = true;
        return write_failed(w, MEMORY_NAME, r, e);
}

static void free_out(struct byte_out *o)
{
        byte_out_free(o);
}

/* What stands around RAM: the header with the table of RAM, and the list after it. */
static int write_around(const struct snapshot_writer *w, const struct vm_state *vm, const struct mem_layout *l, struct err *e)
{
        _cleanup_(free_out) struct byte_out head = { 0 }, tail = { 0 };
        char                                vendor[CPU_VENDOR_MAX];
        int                                 r;

        sv_write_vendor(vm, vendor);
        r = sv_write_memory_head(vendor, l, &head, e);
        if (r < 0)
                return r;
        sv_write_memory_tail(&tail);
        r = tail.failed;
        r = r < 0 ? r : fd_pwrite_full(w->memory_fd, head.bytes, head.len, 0);
        r = r < 0 ? r : fd_pwrite_full(w->memory_fd, tail.bytes, tail.len, SV_DATA_BYTES + l->total_bytes);
        return r < 0 ? write_failed(w, MEMORY_NAME, r, e) : 0;
}

/* --- state --- */

static int write_state(struct snapshot_writer *w, const struct vm_state *vm, struct err *e)
{
        int r = sv_write_state(vm, &w->state, e);

        if (r < 0)
                return r;
        w->state_fd = create(w, STATE_NAME, e);
        if (w->state_fd < 0)
                return w->state_fd;
        r = fd_pwrite_full(w->state_fd, w->state.bytes, w->state.len, 0);
        return r < 0 ? write_failed(w, STATE_NAME, r, e) : 0;
}

static int writer_state(struct snapshot_writer *w, const struct vm_state *vm, const struct mem_layout *l, struct err *e)
{
        int r = sv_write_check(vm, e);

        if (r < 0)
                return r;
        if (w->failed || w->state_written || w->next_page != w->ram_pages || bytes_to_pages(l->total_bytes) != w->ram_pages)
                return err_set(e, -EINVAL, "snapshot %s: expected all %" PRIu64 " pages of RAM before its state, found %" PRIu64,
                               w->dir.path, w->ram_pages, w->next_page);
        r = write_state(w, vm, e);
        r = r < 0 ? r : write_around(w, vm, l, e);
        if (r < 0)
                return r;
        w->state_written = true;
        return 0;
}

/* --- the end --- */

static int sync_files(const struct snapshot_writer *w, struct err *e)
{
        if (fsync(w->memory_fd) < 0)
                return write_failed(w, MEMORY_NAME, -errno, e);
        if (fsync(w->state_fd) < 0)
                return write_failed(w, STATE_NAME, -errno, e);
        return 0;
}

static int writer_commit(struct snapshot_writer *w, struct identity *ret_identity, struct err *e)
{
        struct identity id;
        int             r;

        if (!w->state_written)
                return err_set(e, -EINVAL, "snapshot %s: expected its state before the commit, found none", w->dir.path);
        r = sync_files(w, e);
        r = r < 0 ? r : sv_identify(w->state.bytes, w->state.len, w->memory_fd, &id, e);
        r = r < 0 ? r : snapshot_dir_publish(&w->dir, w->replace, e);
        if (r < 0)
                return r;
        if (ret_identity)
                *ret_identity = id;
        return 0;
}

static struct snapshot_writer_counts writer_counts(const struct snapshot_writer *w)
{
        struct snapshot_writer_counts n = w->counts;

        n.stored_bytes = pages_to_bytes(n.data_pages);
        return n;
}

const struct snapshot_writer_ops sv_writer_ops = {
        .name   = "stratovirt",
        .check  = sv_write_check,
        .advise = advise,
        .new    = writer_new,
        .pages  = writer_pages,
        .state  = writer_state,
        .commit = writer_commit,
        .counts = writer_counts,
        .free   = writer_free,
};
