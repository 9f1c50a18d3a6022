/* virtio-balloon (virtio 1.2, section 5.5): the guest gives pages back, and may take them again as zeros. What "give back" means
 * is the session's (env->discard). Free page reporting gives back what the guest does not use just now, and does not ask for
 * again. */
#include "kvm/device/balloon.h"

#include "kvm/device/later.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define F_DEFLATE_ON_OOM (1ULL << 2) /* no page needs to stay given, so the guest may help itself */
#define F_REPORTING      (1ULL << 5)

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_REPORT, QUEUES = QUEUE_REPORT + 3 };

#define QUEUE_SIZE     256
#define BATCH_PFNS     256u             /* what Linux sends at once, and what is sorted and merged here */
#define CHAIN_MAX_PFNS (64 * 1024u)     /* 256 MiB; far more than any driver sends in one buffer */
#define WAKE_MAX_PFNS  (16 * 1024u)     /* a wake-up ends after the buffer that reaches this */
#define WAKE_MAX_CHAINS 64u

struct balloon {
        struct virtio_device d;
        struct later         later;
        /* relaxed, both: a number that is of its own; the configuration interrupt follows a new target */
        _Atomic uint32_t num_pages; /* written by any, read by vCPUs */
        _Atomic uint32_t actual;    /* written by vCPUs under the transport's lock, read by any */
        /* worker */
        uint32_t pfns[BATCH_PFNS];
};

/* The device's configuration (section 5.5.4), as far as our features reach. */
struct balloon_config {
        uint32_t num_pages, actual;
};
static_assert(sizeof(struct balloon_config) == 8 && offsetof(struct balloon_config, actual) == 4, "virtio 1.2, section 5.5.4");

static struct balloon *balloon_of(struct virtio_device *d)
{
        return (struct balloon *)d;
}

static struct balloon_config config_now(const struct balloon *b)
{
        return (struct balloon_config){
                .num_pages = atomic_load_explicit(&b->num_pages, memory_order_relaxed),
                .actual = atomic_load_explicit(&b->actual, memory_order_relaxed),
        };
}

static void read_config(struct virtio_device *d, uint32_t offset, uint8_t *ret, uint32_t len)
{
        struct balloon_config c = config_now(balloon_of(d));

        memset(ret, 0, len);
        if (offset < sizeof(c))
                memcpy(ret, (const uint8_t *)&c + offset, MIN((size_t)len, sizeof(c) - offset));
}

/* Only `actual` is the driver's to write. */
static void write_config(struct virtio_device *d, uint32_t offset, const uint8_t *data, uint32_t len)
{
        struct balloon *b = balloon_of(d);
        struct balloon_config c = config_now(b);

        if (offset < offsetof(struct balloon_config, actual) || offset >= sizeof(c))
                return;
        memcpy((uint8_t *)&c + offset, data, MIN((size_t)len, sizeof(c) - offset));
        atomic_store_explicit(&b->actual, c.actual, memory_order_relaxed);
}

/* --- pages that come back --- */

static int compare_pfns(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

static gpa_t pfn_gpa(uint32_t pfn)
{
        return (gpa_t)pfn << PAGE_SHIFT;
}

static bool all_in_ram(struct balloon *b, size_t nr)
{
        uint64_t offset;

        for (size_t i = 0; i < nr; i++)
                if (!mem_layout_gpa_to_offset(b->d.env->layout, pfn_gpa(b->pfns[i]), PAGE_BYTES, &offset)) {
                        virtio_broken(&b->d, "a page at guest address %#llx, where no RAM is",
                                      (unsigned long long)pfn_gpa(b->pfns[i]));
                        return false;
                }
        return true;
}

/* Do both pages stand in one window of RAM? Windows may touch in gpa, but nobody promises that they do. */
static bool is_one_range(const struct balloon *b, uint32_t first, uint32_t last)
{
        uint64_t offset;

        return mem_layout_gpa_to_offset(b->d.env->layout, pfn_gpa(first), (uint64_t)(last - first + 1) * PAGE_BYTES, &offset);
}

/* Each run of neighbours at once: a discard costs a walk of page tables and often a word with the pager. */
static void discard_batch(struct balloon *b, size_t nr)
{
        qsort(b->pfns, nr, sizeof(b->pfns[0]), compare_pfns);
        for (size_t i = 0, next; i < nr; i = next) {
                uint32_t first = b->pfns[i], last = first;

                for (next = i + 1; next < nr && b->pfns[next] - last <= 1 && is_one_range(b, first, b->pfns[next]); next++)
                        last = b->pfns[next];
                b->d.env->discard(b->d.env->arg, pfn_gpa(first), (uint64_t)(last - first + 1) * PAGE_BYTES);
        }
}

/* How many pages, or -errno: then the chain is not to be given back. */
static ssize_t inflate(struct balloon *b, const struct virtq_chain *c)
{
        uint64_t total = c->out_bytes / sizeof(b->pfns[0]), done = 0;

        if (total > CHAIN_MAX_PFNS) {
                virtio_broken(&b->d, "a list of %llu pages; at most %u are taken at once", (unsigned long long)total,
                              CHAIN_MAX_PFNS);
                return -EPROTO;
        }
        while (done < total) {
                size_t nr = MIN(total - done, BATCH_PFNS);
                ssize_t n = virtq_chain_read(c, done * sizeof(b->pfns[0]), b->pfns, nr * sizeof(b->pfns[0]));

                if (n < 0)
                        return n;
                if (!all_in_ram(b, nr))
                        return -EPROTO;
                discard_batch(b, nr);
                done += nr;
        }
        return (ssize_t)done;
}

/* The buffers themselves are the pages; what is not whole stays. */
static ssize_t report(struct balloon *b, const struct virtq_chain *c)
{
        const struct mem_layout *l = b->d.env->layout;
        uint64_t pages = 0;

        for (size_t i = c->nr_out; i < (size_t)c->nr_out + c->nr_in; i++) {
                uint64_t offset = (uint64_t)((uint8_t *)c->iov[i].iov_base - l->ram);
                uint64_t first = align_up(offset, PAGE_BYTES), end = (offset + c->iov[i].iov_len) & ~(PAGE_BYTES - 1);

                if (first >= end)
                        continue;
                b->d.env->discard(b->d.env->arg, mem_layout_offset_to_gpa(l, first), end - first);
                pages += bytes_to_pages(end - first);
        }
        return (ssize_t)pages;
}

static ssize_t take_chain(struct balloon *b, uint16_t queue, const struct virtq_chain *c)
{
        switch (queue) {
        case QUEUE_INFLATE:
                return inflate(b, c);
        case QUEUE_DEFLATE: /* they read as zeros already: nothing to bring back */
                return 0;
        default:
                return report(b, c);
        }
}

/* True: there may be more. */
static bool serve(struct balloon *b, uint16_t queue)
{
        uint64_t pages = 0;
        struct virtq_chain c;
        bool more = false;

        for (unsigned int i = 0; i < WAKE_MAX_CHAINS && pages < WAKE_MAX_PFNS && (more = virtio_pop(&b->d, queue, &c) > 0); i++) {
                ssize_t n = take_chain(b, queue, &c);

                if (n < 0) {
                        virtq_unpop(b->d.queues[queue]);
                        return false;
                }
                virtq_push(b->d.queues[queue], c.head, 0);
                pages += (uint64_t)n;
        }
        virtio_notify(&b->d, queue);
        return more;
}

static bool serve_ready(struct balloon *b)
{
        bool more = false;

        for (uint16_t q = 0; q < b->d.nr_queues; q++)
                if (virtq_started(b->d.queues[q]))
                        more |= serve(b, q);
        return more;
}

static void serve_all(struct balloon *b)
{
        while (serve_ready(b))
                if (later_want(&b->later, &b->d))
                        return;
        later_done(&b->later, &b->d);
}

/* --- a device's life --- */

static int begin(struct virtio_device *d, struct err *e)
{
        (void)e;
        later_begin(&balloon_of(d)->later);
        return 0;
}

static void kicked(struct virtio_device *d, uint16_t queue)
{
        struct balloon *b = balloon_of(d);

        if (serve(b, queue) && !later_want(&b->later, d))
                serve_all(b);
}

static void ready(struct virtio_device *d, int fd, uint32_t events)
{
        (void)fd, (void)events;
        serve_all(balloon_of(d));
}

static int save(struct virtio_device *d, struct virtio_state *ret, struct err *e)
{
        struct balloon_config c = config_now(balloon_of(d));
        (void)e;

        ret->u.balloon = (struct virtio_balloon_state){.num_pages = c.num_pages, .actual = c.actual};
        return 0;
}

static int load(struct virtio_device *d, const struct virtio_state *s, struct err *e)
{
        struct balloon *b = balloon_of(d);
        (void)e;

        atomic_store_explicit(&b->num_pages, s->u.balloon.num_pages, memory_order_relaxed);
        atomic_store_explicit(&b->actual, s->u.balloon.actual, memory_order_relaxed);
        return 0;
}

static void balloon_free(struct virtio_device *d)
{
        struct balloon *b = balloon_of(d);

        later_close(&b->later);
        virtio_device_fini(d);
        free(b);
}

static const struct virtio_ops balloon_ops = {
        .kind = VIRTIO_BALLOON,
        .read_config = read_config,
        .write_config = write_config,
        .begin = begin,
        .kicked = kicked,
        .ready = ready,
        .save = save,
        .load = load,
        .free = balloon_free,
};

/* The reporting queue is the fifth (section 5.5.2), but drivers that leave out queues they do not use set it up as the third or
 * fourth. As neither statistics nor hints are offered, every queue past the second can only be the reporting one. */
static uint16_t queues_of(const struct virtio_state *saved)
{
        if (saved && saved->nr_queues >= QUEUE_REPORT && saved->nr_queues <= QUEUES)
                return saved->nr_queues;
        return QUEUES;
}

static int balloon_new(const struct device_config *c, const struct virtio_state *saved, struct virtio_env *env,
                       struct virtio_device **ret, struct err *e)
{
        static const uint16_t sizes[QUEUES] = {QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE};
        const uint64_t features = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | F_DEFLATE_ON_OOM |
                                  F_REPORTING;
        struct balloon *b = calloc(1, sizeof(*b));
        int r;
        (void)c;

        if (!b)
                return err_set(e, -ENOMEM, "no memory for a balloon");
        r = later_open(&b->later);
        if (r < 0)
                err_set(e, r, "eventfd for a balloon: %s", strerror(-r));
        else
                r = virtio_device_init(&b->d, &balloon_ops, env, features, queues_of(saved), sizes, saved, e);
        if (r < 0) {
                balloon_free(&b->d);
                return r;
        }
        *ret = &b->d;
        return 0;
}

const struct virtio_maker balloon_maker = {VIRTIO_BALLOON, balloon_new};

/* --- what the host asks --- */

void balloon_set_target(struct virtio_device *d, uint32_t pages)
{
        atomic_store_explicit(&balloon_of(d)->num_pages, pages, memory_order_relaxed);
        virtio_config_changed(d);
}

uint32_t balloon_actual(struct virtio_device *d)
{
        return atomic_load_explicit(&balloon_of(d)->actual, memory_order_relaxed);
}
