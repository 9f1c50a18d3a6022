/* The bytes themselves, where both can still be had: a write to a page that KVM had mapped writable is seen in no other way. */
#include "tools/trace/compare.h"

#include "core/base/bitmap.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/compare_hints.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

/* A copy of guest RAM that has the touched pages, and room for all. */
struct copy {
        uint8_t      *ram;
        size_t        size_bytes;
        struct bitmap has;
};

static void copy_free(struct copy *c)
{
        if (c->ram)
                munmap(c->ram, c->size_bytes);
        bitmap_free(&c->has);
}

static int copy_init(struct copy *c, const struct mem_layout *layout, struct err *e)
{
        void *ram;

        if (bitmap_init(&c->has, bytes_to_pages(layout->total_bytes)) < 0)
                return err_set(e, -ENOMEM, "no memory for a bitmap of RAM");
        ram = mmap(NULL, layout->total_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (ram == MAP_FAILED)
                return err_set(e, -errno, "no room for %" PRIu64 " bytes of addresses: %s", layout->total_bytes, strerror(errno));
        c->ram = ram;
        c->size_bytes = layout->total_bytes;
        return 0;
}

static bool copy_has(const void *copy, uint64_t page)
{
        return bitmap_test(&((const struct copy *)copy)->has, page);
}

/* What cannot be read, as its process is ending, is not compared. */
static void copy_page(struct copy *c, const struct place *p, const struct touches *t, pid_t pid, struct hint *h)
{
        gpa_t gpa = mem_layout_offset_to_gpa(place_layout(p), pages_to_bytes(h->page));
        struct iovec to = {c->ram + pages_to_bytes(h->page), PAGE_BYTES}, from = {.iov_len = PAGE_BYTES};
        uint64_t hva;

        if (!touches_find_hva(t, bytes_to_pages(gpa), &hva))
                return;
        from.iov_base = (void *)(uintptr_t)hva;
        if (process_vm_readv(pid, &to, 1, &from, 1, 0) != (ssize_t)PAGE_BYTES)
                return;
        bitmap_set(&c->has, h->page);
        h->flags &= (uint8_t)~HINT_DIFFERS; /* known better in a moment */
}

int compare_with_snapshot(struct hints *h, const struct place *p, const struct touches *t, pid_t pid, struct err *e)
{
        _cleanup_(copy_free) struct copy c = {0};
        int r;

        if (!p->bound)
                return 0;
        r = copy_init(&c, place_layout(p), e);
        if (r < 0)
                return r;
        for (size_t i = 0; pid && i < h->nr; i++)
                copy_page(&c, p, t, pid, &h->v[i]);
        return hints_compare(h, p->snapshot.pages, c.ram, copy_has, &c, e);
}
