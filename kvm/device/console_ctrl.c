/* What the driver and the device tell each other of ports: which there are, which is a console, who is there.
 *
 * RESIZE is never sent. It tells of a change, and a port's size here never does; and Linux's driver reads rows before columns,
 * the specification has them the other way (5.3.6.2): a guest of 80 columns would believe in 25. Without one it assumes 80 times
 * 24. */
#include "kvm/device/console_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct control {
        uint32_t id;
        uint16_t event, value;
};
static_assert(sizeof(struct control) == 8, "virtio 1.2, section 5.3.6.2");

enum control_event {
        DEVICE_READY, /* driver: it knows what ports are */
        DEVICE_ADD,
        DEVICE_REMOVE,
        PORT_READY, /* driver: it knows this port */
        CONSOLE_PORT,
        RESIZE,
        PORT_OPEN, /* both: somebody came or went */
        PORT_NAME,
};

#define PORT_NAME_TEXT "rouse.console.0"
#define BIT(event)     (1u << (event))

/* --- device to driver --- */

/* In this order, whatever the order in which they came up: a port is known before anything is said of it. */
static const enum control_event order[] = {DEVICE_ADD, CONSOLE_PORT, PORT_NAME, PORT_OPEN};

struct message {
        uint8_t bytes[sizeof(struct control) + sizeof(PORT_NAME_TEXT)];
        size_t  len;
};

static void append(struct message *m, const void *bytes, size_t len)
{
        memcpy(m->bytes + m->len, bytes, len);
        m->len += len;
}

static struct message compose(const struct console *c, uint32_t port, enum control_event event)
{
        bool value = event == PORT_OPEN ? c->ports[port].host_connected : true;
        struct control head = {.id = port, .event = (uint16_t)event, .value = value};
        struct message m = {.len = 0};

        append(&m, &head, sizeof(head));
        if (event == PORT_NAME)
                append(&m, PORT_NAME_TEXT, strlen(PORT_NAME_TEXT));
        return m;
}

/* False: not now. */
static bool tell(struct console *c, uint32_t port, enum control_event event)
{
        struct message m = compose(c, port, event);
        struct virtq_chain chain;
        ssize_t n;

        if (virtio_pop(&c->d, CONSOLE_CTRL_IN, &chain) <= 0)
                return false;
        n = virtq_chain_write(&chain, 0, m.bytes, m.len);
        if (n < 0 || (size_t)n < m.len) {
                if (n >= 0)
                        virtio_broken(&c->d, "a buffer of %zd bytes for a control message of %zu", n, m.len);
                virtq_unpop(c->d.queues[CONSOLE_CTRL_IN]);
                return false;
        }
        virtq_push(c->d.queues[CONSOLE_CTRL_IN], chain.head, (uint32_t)n);
        c->ports[port].pending &= ~BIT(event);
        return true;
}

static bool tell_port(struct console *c, uint32_t port)
{
        for (size_t i = 0; i < ARRAY_LEN(order); i++)
                if ((c->ports[port].pending & BIT(order[i])) && !tell(c, port, order[i]))
                        return false;
        return true;
}

void console_ctrl_tell(struct console *c)
{
        uint32_t port = 0;

        if (!console_has_ports(c) || !virtq_started(c->d.queues[CONSOLE_CTRL_IN]))
                return;
        while (port < c->max_ports && tell_port(c, port))
                port++;
        virtio_notify(&c->d, CONSOLE_CTRL_IN);
}

void console_ctrl_connected(struct console *c, uint32_t port, bool connected)
{
        struct console_port *p = &c->ports[port];

        if (p->host_connected == connected)
                return;
        p->host_connected = connected;
        if (p->known)
                p->pending |= BIT(PORT_OPEN);
}

/* --- driver to device --- */

static void on_device_ready(struct console *c)
{
        for (uint32_t port = 0; port < c->max_ports; port++)
                if (c->ports[port].exists) {
                        c->ports[port].known = true;
                        c->ports[port].pending = BIT(DEVICE_ADD);
                }
}

static void on_port_ready(struct console *c, uint32_t port)
{
        struct console_port *p = &c->ports[port];

        if (port == 0) /* the backed one */
                p->pending |= BIT(CONSOLE_PORT) | BIT(PORT_NAME);
        if (p->host_connected)
                p->pending |= BIT(PORT_OPEN);
}

static void tell_of_failure(struct console *c, uint32_t port)
{
        if (!c->told_failure)
                virtio_say(&c->d, "the guest's driver cannot use port %u (said once)", port);
        c->told_failure = true;
}

static void hear(struct console *c, const struct control *m)
{
        if (m->event == DEVICE_READY) {
                if (m->value)
                        on_device_ready(c);
                else
                        tell_of_failure(c, 0);
                return;
        }
        if (m->id >= c->max_ports || !c->ports[m->id].known)
                return; /* of a port that it was never told of */
        if (m->event == PORT_READY && m->value)
                on_port_ready(c, m->id);
        else if (m->event == PORT_READY)
                tell_of_failure(c, m->id);
        else if (m->event == PORT_OPEN)
                c->ports[m->id].guest_connected = m->value;
}

bool console_ctrl_listen(struct console *c)
{
        struct virtq_chain chain;
        bool more = false;

        for (unsigned int i = 0; i < CONSOLE_WAKE_CHAINS && (more = virtio_pop(&c->d, CONSOLE_CTRL_OUT, &chain) > 0); i++) {
                struct control m;
                ssize_t n = virtq_chain_read(&chain, 0, &m, sizeof(m));

                if (n < 0) {
                        virtq_unpop(c->d.queues[CONSOLE_CTRL_OUT]);
                        return false;
                }
                if (n == sizeof(m)) /* what is shorter says nothing */
                        hear(c, &m);
                virtq_push(c->d.queues[CONSOLE_CTRL_OUT], chain.head, 0);
        }
        virtio_notify(&c->d, CONSOLE_CTRL_OUT);
        return more;
}
