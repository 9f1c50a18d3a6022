/* virtio-rng (virtio 1.2, section 5.4): the host's random bytes into the guest's buffers. Nothing of it is saved. */
#include "kvm/device/later.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define QUEUE_SIZE        256
#define REQUEST_MAX_BYTES (64 * KIB) /* of one buffer; the driver comes back for more */
#define BOUNCE_BYTES      4096u      /* getrandom(2) into guest RAM itself could meet a lost page */
#define WAKE_MAX_BYTES    (1 * MIB)  /* some 3 ms; the rest later */

struct rng {
        struct virtio_device d;
        struct later         later;
        uint8_t              bounce[BOUNCE_BYTES]; /* worker */
};

static struct rng *rng_of(struct virtio_device *d)
{
        return (struct rng *)d;
}

static void read_config(struct virtio_device *d, uint32_t offset, uint8_t *ret, uint32_t len)
{
        (void)d, (void)offset;
        memset(ret, 0, len);
}

/* All of it; a signal cuts what is longer than 256 bytes short. */
static void fill_random(uint8_t *buf, size_t len)
{
        while (len > 0) {
                ssize_t n = getrandom(buf, len, 0);

                if (n > 0) {
                        buf += n;
                        len -= (size_t)n;
                }
        }
}

/* How many bytes were given, or -EFAULT. */
static ssize_t fill_chain(struct rng *g, const struct virtq_chain *c)
{
        uint64_t want = MIN(c->in_bytes, REQUEST_MAX_BYTES), done = 0;

        while (done < want) {
                size_t n = MIN(want - done, sizeof(g->bounce));
                ssize_t w;

                fill_random(g->bounce, n);
                w = virtq_chain_write(c, done, g->bounce, n);
                if (w < 0)
                        return w;
                done += n;
        }
        explicit_bzero(g->bounce, sizeof(g->bounce)); /* they are the guest's secret now */
        return (ssize_t)done;
}

/* True: there may be more. */
static bool serve(struct rng *g)
{
        uint64_t bytes = 0;
        struct virtq_chain c;
        bool more = false;

        while (bytes < WAKE_MAX_BYTES && (more = virtio_pop(&g->d, 0, &c) > 0)) {
                ssize_t n = fill_chain(g, &c);

                if (n == 0)
                        virtio_broken(&g->d, "a buffer without room for a random byte");
                if (n <= 0) { /* lost: the VM is being stopped */
                        virtq_unpop(g->d.queues[0]);
                        return false;
                }
                virtq_push(g->d.queues[0], c.head, (uint32_t)n);
                bytes += (uint64_t)n;
        }
        virtio_notify(&g->d, 0);
        return more;
}

static void serve_all(struct rng *g)
{
        while (serve(g))
                if (later_want(&g->later, &g->d))
                        return;
        later_done(&g->later, &g->d);
}

static int begin(struct virtio_device *d, struct err *e)
{
        (void)e;
        later_begin(&rng_of(d)->later);
        return 0;
}

static void kicked(struct virtio_device *d, uint16_t queue)
{
        (void)queue;
        serve_all(rng_of(d));
}

static void ready(struct virtio_device *d, int fd, uint32_t events)
{
        (void)fd, (void)events;
        serve_all(rng_of(d));
}

static int save(struct virtio_device *d, struct virtio_state *ret, struct err *e)
{
        (void)d, (void)ret, (void)e;
        return 0;
}

static void rng_free(struct virtio_device *d)
{
        struct rng *g = rng_of(d);

        later_close(&g->later);
        virtio_device_fini(d);
        free(g);
}

static const struct virtio_ops rng_ops = {
        .kind = VIRTIO_RNG,
        .read_config = read_config,
        .begin = begin,
        .kicked = kicked,
        .ready = ready,
        .save = save,
        .free = rng_free,
};

static int rng_new(const struct device_config *c, const struct virtio_state *saved, struct virtio_env *env,
                   struct virtio_device **ret, struct err *e)
{
        const uint64_t features = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
        static const uint16_t sizes[] = {QUEUE_SIZE};
        struct rng *g = calloc(1, sizeof(*g));
        int r;
        (void)c;

        if (!g)
                return err_set(e, -ENOMEM, "no memory for a random number device");
        r = later_open(&g->later);
        if (r < 0)
                err_set(e, r, "eventfd for a random number device: %s", strerror(-r));
        else
                r = virtio_device_init(&g->d, &rng_ops, env, features, 1, sizes, saved, e);
        if (r < 0) {
                rng_free(&g->d);
                return r;
        }
        *ret = &g->d;
        return 0;
}

const struct virtio_maker rng_maker = {VIRTIO_RNG, rng_new};
