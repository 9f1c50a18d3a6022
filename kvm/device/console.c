/* virtio-console (virtio 1.2, section 5.3), as StratoVirt's virtio-serial: ports, of which rouse backs the first one. A port of a
 * snapshot that nothing here stands behind is closed on the host's side: what the guest still writes to it is dropped. */
#include "kvm/device/console_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE      128
#define CTRL_QUEUE_SIZE 32

/* One port: there is one backend. Each further one would be two queues and two doorbells for nobody; a restored device has as
 * many as it was saved with. */
#define NEW_MAX_PORTS 1

/* Nobody knows the terminal at the other end; programs that ask get what they would assume. */
#define NEW_COLS 80
#define NEW_ROWS 25

struct console_config {
        uint16_t cols, rows;
        uint32_t max_nr_ports, emerg_wr;
};
static_assert(sizeof(struct console_config) == 12, "virtio 1.2, section 5.3.4");
static_assert(2 * VIRTIO_CONSOLE_PORTS_MAX + 2 == VIRTIO_QUEUES_MAX, "every port has its queues");

static struct console *console_of(struct virtio_device *d)
{
        return (struct console *)d;
}

static void read_config(struct virtio_device *d, uint32_t offset, uint8_t *ret, uint32_t len)
{
        const struct console *c = console_of(d);
        struct console_config cfg = {.cols = c->cols, .rows = c->rows, .max_nr_ports = c->max_ports};

        memset(ret, 0, len);
        if (offset < sizeof(cfg))
                memcpy(ret, (const uint8_t *)&cfg + offset, MIN((size_t)len, sizeof(cfg) - offset));
}

/* --- work; worker thread --- */

/* A port without a backend: output is dropped. True: there may be more. */
static bool drop_output(struct console *c, uint16_t queue)
{
        struct virtq_chain chain;
        bool more = false;

        for (unsigned int i = 0; i < CONSOLE_WAKE_CHAINS && (more = virtio_pop(&c->d, queue, &chain) > 0); i++)
                virtq_push(c->d.queues[queue], chain.head, 0);
        virtio_notify(&c->d, queue);
        return more;
}

static bool drop_all_output(struct console *c)
{
        bool more = false;

        for (uint16_t q = CONSOLE_PORT1_OUT; q < c->d.nr_queues; q += 2)
                if (virtq_started(c->d.queues[q]))
                        more |= drop_output(c, q);
        return more;
}

/* Everything there is to do, bounded. True: there may be more. */
static bool work(struct console *c)
{
        bool more = false;

        if (console_has_ports(c)) {
                if (virtq_started(c->d.queues[CONSOLE_CTRL_OUT]))
                        more |= console_ctrl_listen(c);
                more |= drop_all_output(c);
        }
        more |= console_port_drain(c);
        more |= console_port_farewell(c);
        console_ctrl_tell(c);
        console_port_watch(c);
        return more;
}

static void work_all(struct console *c)
{
        while (work(c))
                if (later_want(&c->later, &c->d))
                        return;
        later_done(&c->later, &c->d);
}

static void kicked(struct virtio_device *d, uint16_t queue)
{
        struct console *c = console_of(d);

        if (queue == CONSOLE_IN)
                c->in_starved = false;
        c->back.deaf = false;
        work_all(c);
}

static void ready(struct virtio_device *d, int fd, uint32_t events)
{
        struct console *c = console_of(d);

        if (fd != c->later.fd)
                console_port_ready(c, fd, events);
        work_all(c);
}

static int begin(struct virtio_device *d, struct err *e)
{
        struct console *c = console_of(d);
        (void)e;

        later_begin(&c->later);
        c->in_starved = false;
        console_ctrl_connected(c, 0, console_port_connected(c));
        for (uint32_t port = 1; port < c->max_ports; port++)
                console_ctrl_connected(c, port, false);
        console_port_watch(c); /* a client may come before the driver rings */
        return 0;
}

/* The next driver begins anew; the client stays. */
static void end(struct virtio_device *d)
{
        struct console *c = console_of(d);

        later_done(&c->later, d);
        console_port_unwatch(c);
        for (struct console_port *p = c->ports; p < c->ports + c->max_ports; p++)
                *p = (struct console_port){.exists = p->exists, .host_connected = p->host_connected};
}

/* --- a device's life --- */

static int save(struct virtio_device *d, struct virtio_state *ret, struct err *e)
{
        const struct console *c = console_of(d);
        struct virtio_console_state s = {.cols = c->cols, .rows = c->rows, .max_ports = c->max_ports};
        (void)e;

        for (uint32_t port = 0; port < c->max_ports; port++)
                s.ports[port] = (struct virtio_console_port_state){c->ports[port].guest_connected, c->ports[port].host_connected};
        ret->u.console = s;
        return 0;
}

static void console_free(struct virtio_device *d)
{
        struct console *c = console_of(d);

        console_port_close(c);
        later_close(&c->later);
        virtio_device_fini(d);
        free(c);
}

static const struct virtio_ops console_ops = {
        .kind = VIRTIO_CONSOLE,
        .read_config = read_config,
        .begin = begin,
        .kicked = kicked,
        .ready = ready,
        .end = end,
        .save = save,
        .free = console_free,
};

static int check_saved(const struct virtio_state *saved, struct err *e)
{
        uint32_t max_ports = saved->u.console.max_ports;

        if (max_ports < 1 || max_ports > VIRTIO_CONSOLE_PORTS_MAX)
                return err_bad(e, "state", ERR_NO_OFFSET, "console: expected 1 to %d ports, found %u", VIRTIO_CONSOLE_PORTS_MAX,
                               max_ports);
        if (!saved->no_transport && saved->nr_queues != 2 * max_ports + 2)
                return err_bad(e, "state", ERR_NO_OFFSET, "console: expected %u queues of %u ports, found %u", 2 * max_ports + 2,
                               max_ports, saved->nr_queues);
        return 0;
}

/* A driver that was at work knows of port 0, and of the others that anybody had open. */
static void take_ports(struct console *c, const struct virtio_state *saved)
{
        bool live = saved->activated && !saved->no_transport;

        c->cols = saved->u.console.cols;
        c->rows = saved->u.console.rows;
        c->max_ports = saved->u.console.max_ports;
        for (uint32_t port = 0; port < c->max_ports; port++) {
                const struct virtio_console_port_state *s = &saved->u.console.ports[port];
                struct console_port *p = &c->ports[port];

                p->exists = port == 0 || s->guest_connected || s->host_connected;
                p->known = live && p->exists;
                p->guest_connected = live && s->guest_connected;
                p->host_connected = s->host_connected;
        }
}

static int init_device(struct console *c, struct virtio_env *env, const struct virtio_state *saved, struct err *e)
{
        const uint64_t features = VIRTIO_F_VERSION_1 | CONSOLE_F_SIZE | CONSOLE_F_MULTIPORT;
        uint16_t sizes[VIRTIO_QUEUES_MAX], nr_queues = (uint16_t)(2 * c->max_ports + 2);

        for (uint16_t q = 0; q < nr_queues; q++)
                sizes[q] = q == CONSOLE_CTRL_IN || q == CONSOLE_CTRL_OUT ? CTRL_QUEUE_SIZE : QUEUE_SIZE;
        return virtio_device_init(&c->d, &console_ops, env, features, nr_queues, sizes, saved, e);
}

static int console_new(const struct device_config *cfg, const struct virtio_state *saved, struct virtio_env *env,
                       struct virtio_device **ret, struct err *e)
{
        struct console *c;
        int r = saved ? check_saved(saved, e) : 0;

        if (r < 0)
                return r;
        c = calloc(1, sizeof(*c));
        if (!c)
                return err_set(e, -ENOMEM, "no memory for a console");
        c->back.fd = c->back.listen_fd = -1;
        c->cols = NEW_COLS;
        c->rows = NEW_ROWS;
        c->max_ports = NEW_MAX_PORTS;
        c->ports[0].exists = true;
        if (saved)
                take_ports(c, saved);
        r = later_open(&c->later);
        if (r < 0)
                err_set(e, r, "eventfd for a console: %s", strerror(-r));
        if (r >= 0)
                r = init_device(c, env, saved, e);
        if (r >= 0)
                r = console_port_open(c, cfg, e);
        if (r < 0) {
                console_free(&c->d);
                return r;
        }
        *ret = &c->d;
        return 0;
}

const struct virtio_maker console_maker = {VIRTIO_CONSOLE, console_new};
