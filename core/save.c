/* A running VM into a native snapshot: what is absent is fetched while it runs, it is stopped only while its pages are written. */
#include "core/session_internal.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/fdio.h"
#include "formats/native_write.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <xxhash.h>

#define BLOCK_PAGES 512ULL /* 2 MiB: a huge page, and a write that file systems like */

/* /proc/PID/pagemap: bit 63 present, bit 62 swapped (Documentation/admin-guide/mm/pagemap.rst, Linux 2.6.25). */
#define PAGEMAP_HERE (3ULL << 62)

/* Is any page of the block in memory? What is not, in anonymous memory, reads as zeros; reading it would allocate it. */
static bool block_is_empty(int pagemap_fd, const uint8_t *at, uint64_t nr_pages)
{
        uint64_t entries[BLOCK_PAGES], any = 0;
        ssize_t want = (ssize_t)(nr_pages * sizeof(entries[0]));

        if (pagemap_fd < 0 || fd_pread_full(pagemap_fd, entries, (size_t)want, bytes_to_pages((uint64_t)at) * sizeof(entries[0])) != want)
                return false;
        for (uint64_t i = 0; i < nr_pages; i++)
                any |= entries[i];
        return !(any & PAGEMAP_HERE);
}

typedef int (*block_fn)(void *arg, const void *bytes, uint64_t nr_pages, struct err *e); /* bytes NULL: zeros */

/* Every block of RAM in order, copied out so that a lost page is an error and not a SIGBUS. */
static int for_each_block(const struct session *s, block_fn fn, void *arg, struct err *e)
{
        _cleanup_close_ int pagemap_fd = s->ram_is_anonymous ? open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC) : -1;
        _cleanup_free_ uint8_t *block = malloc(pages_to_bytes(BLOCK_PAGES));
        uint64_t nr_pages = bytes_to_pages(s->layout.total_bytes);
        int r = 0;

        if (!block)
                return err_set(e, -ENOMEM, "no memory for a block of 2 MiB");
        for (uint64_t page = 0; page < nr_pages && r >= 0; page += BLOCK_PAGES) {
                uint64_t nr = MIN(BLOCK_PAGES, nr_pages - page);

                if (block_is_empty(pagemap_fd, s->ram.base + pages_to_bytes(page), nr)) {
                        r = fn(arg, NULL, nr, e);
                        continue;
                }
                r = guest_ram_read(&s->ram, pages_to_bytes(page), block, pages_to_bytes(nr));
                if (r < 0)
                        return err_set(e, r, "guest RAM: pages %llu to %llu cannot be read: %s", (unsigned long long)page,
                                       (unsigned long long)(page + nr - 1), strerror(-r));
                r = fn(arg, block, nr, e);
        }
        return r;
}

#define ASK_MS 20 /* how often it is asked whether to give up */

/* One page that cannot be had is enough: its source may be silent for --source-timeout with each of the others. */
static int check_lost(struct session *s, struct err *e)
{
        struct err lost = {0};

        (void)session_find_lost(s, &lost);
        return lost.code ? err_set(e, -EIO, "%s: this VM cannot be saved", lost.text) : 0;
}

static int check_cancelled(const struct save_options *o, struct err *e)
{
        return o->cancelled && o->cancelled(o->cancelled_arg) ? err_set(e, -ECANCELED, "the snapshot was cancelled") : 0;
}

struct block_writer {
        struct native_writer      *w;
        const struct save_options *o;
        uint64_t                   asked_ns;
};

static int write_block(void *arg, const void *bytes, uint64_t nr_pages, struct err *e)
{
        struct block_writer *b = arg;

        if (now_ns() - b->asked_ns >= ASK_MS * NS_PER_MS) {
                int r = check_cancelled(b->o, e);

                if (r < 0)
                        return r;
                b->asked_ns = now_ns();
        }
        return native_writer_pages(b->w, bytes, nr_pages, e);
}

/* Absent pages come first, while the guest still runs. */
static int fetch_absent(struct session *s, const struct save_options *o, struct err *e)
{
        int r = 0;

        if (s->pager) {
                pager_hurry(s->pager);
                do {
                        r = check_cancelled(o, e);
                        if (r < 0)
                                return r;
                        r = pager_wait(s->pager, ASK_MS);
                        session_handle_events(s); /* the VM may end meanwhile */
                        if (s->result.why == SESSION_NONE && check_lost(s, e) < 0)
                                return -EIO;
                } while (r == -ETIMEDOUT && s->result.why == SESSION_NONE);
        }
        if (s->result.why != SESSION_NONE)
                return err_set(e, -ECANCELED, "the VM ended before it could be saved");
        if (r == -EIO)
                return err_set(e, r, "pages of this VM are lost: it cannot be saved");
        return r < 0 ? err_set(e, r, "fetch the pages that are still absent: %s", strerror(-r)) : 0;
}

/* With the guest stopped: state and memory, no fsync. */
static int write_stopped(struct session *s, const struct save_options *o, struct native_writer *w, struct err *e)
{
        struct block_writer b = {.w = w, .o = o, .asked_ns = now_ns()};
        struct vm_state vm = {0};
        int r = vm_save(s->vm, &vm, e);

        if (r >= 0)
                r = for_each_block(s, write_block, &b, e);
        if (r >= 0)
                r = native_writer_state(w, &vm, &s->layout, e);
        vm_state_free(&vm);
        return r;
}

static int save(struct session *s, const struct save_options *o, struct native_writer *w, struct save_report *rep, struct err *e)
{
        bool ran = s->running;
        uint64_t stopped_ns;
        int r = fetch_absent(s, o, e);

        if (r < 0)
                return r;
        stopped_ns = now_ns();
        session_pause(s);
        r = write_stopped(s, o, w, e);
        if (ran && (r < 0 || !o->pause_after))
                session_resume(s);
        rep->pause_ns = now_ns() - stopped_ns;
        if (r >= 0)
                r = native_writer_commit(w, &rep->identity, e);
        if (r < 0 && ran)
                session_resume(s); /* it could not be saved: it goes on */
        return r;
}

int session_save(struct session *s, const struct save_options *o, struct save_report *ret, struct err *e)
{
        struct native_writer_options wo = {.path = o->path, .replace = o->replace, .ram_pages = bytes_to_pages(s->layout.total_bytes)};
        struct native_writer *w = NULL;
        struct save_report rep = {0};
        uint64_t start_ns = now_ns();
        int r = native_writer_new(&wo, &w, e);

        if (r >= 0)
                r = save(s, o, w, &rep, e);
        if (r >= 0) {
                struct native_writer_counts n = native_writer_counts(w);

                rep.data_bytes = pages_to_bytes(n.data_pages);
                rep.zero_bytes = pages_to_bytes(n.zero_pages);
                rep.total_ns = now_ns() - start_ns;
                *ret = rep;
        }
        native_writer_free(w);
        return r;
}

static int hash_block(void *arg, const void *bytes, uint64_t nr_pages, struct err *e)
{
        static const uint8_t zeros[PAGE_BYTES];
        (void)e;

        for (uint64_t i = 0; i < nr_pages; i++)
                XXH3_64bits_update(arg, bytes ? (const uint8_t *)bytes + pages_to_bytes(i) : zeros, PAGE_BYTES);
        return 0;
}

int session_hash_ram(const struct session *s, uint64_t *ret_xxh3, struct err *e)
{
        XXH3_state_t *x = XXH3_createState();
        int r;

        if (!x)
                return err_set(e, -ENOMEM, "no memory for a hash");
        XXH3_64bits_reset(x);
        r = for_each_block(s, hash_block, x, e);
        if (r >= 0)
                *ret_xxh3 = XXH3_64bits_digest(x);
        XXH3_freeState(x);
        return r;
}
