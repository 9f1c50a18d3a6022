/* kvm/slots.c: a slot is an address, an interrupt and a device. The machine's fixed slots are always there: a guest that was
 * started with them has drivers for them, with something behind them or not.
 *
 * Doorbells and interrupt lines are connected to KVM (KVM_IOEVENTFD, KVM_IRQFD) when a driver activates the device, not
 * before: an unused slot costs a restore no call. Until then a kick is an exit to user space, and there is nothing to
 * interrupt for. */
#include "kvm/slots.h"

#include "core/base/cleanup.h"
#include "kvm/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QUEUE_NOTIFY 0x50 /* virtio 1.2, section 4.2.2 */

/* --- wires --- */

static void pulse_line(const struct slot *slot)
{
        struct kvm_irq_level line = { .irq = slot->slots->machine->first_irq + slot->nr, .level = 1 };

        /* it cannot fail: the irqchip is there and the line is one of its own */
        kvm_ioctl(slot->slots->vm_fd, KVM_IRQ_LINE, &line);
        line.level = 0;
        kvm_ioctl(slot->slots->vm_fd, KVM_IRQ_LINE, &line);
}

static void interrupt(void *arg)
{
        struct slot *slot = arg;
        /* acquire: pairs with the release in connect_line; KVM listens to what is there */
        int fd = atomic_load_explicit(&slot->irq_fd, memory_order_acquire);

        if (fd < 0 || eventfd_write(fd, 1) < 0)
                pulse_line(slot);
}

static int connect_line(struct slot *slot)
{
        _cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        struct kvm_irqfd    irqfd = { .fd = (uint32_t)fd, .gsi = slot->slots->machine->first_irq + slot->nr };
        int                 r = fd < 0 ? -errno : kvm_ioctl(slot->slots->vm_fd, KVM_IRQFD, &irqfd);

        if (r >= 0)
                atomic_store_explicit(&slot->irq_fd, TAKE_FD(fd), memory_order_release); /* pairs with interrupt */
        return r < 0 ? r : 0;
}

static int doorbell(void *arg, uint16_t queue, int fd)
{
        struct slot         *slot = arg;
        const struct machine *m = slot->slots->machine;
        struct kvm_ioeventfd bell = {
                .addr      = m->mmio_first + (uint64_t)slot->nr * m->mmio_stride + QUEUE_NOTIFY,
                .len       = 4,
                .fd        = fd,
                .datamatch = queue,
                .flags     = KVM_IOEVENTFD_FLAG_DATAMATCH,
        };
        /* relaxed: only the device's worker, one after the other, writes it */
        int r = atomic_load_explicit(&slot->irq_fd, memory_order_relaxed) < 0 ? connect_line(slot) : 0;

        return r < 0 ? r : kvm_ioctl(slot->slots->vm_fd, KVM_IOEVENTFD, &bell);
}

/* --- which device goes where --- */

/* What the user gave for each slot; kind VIRTIO_NONE: nothing. */
struct assignment {
        struct device_config v[SLOTS_MAX];
};

static bool fits(const struct machine *m, uint32_t slot, enum virtio_kind kind)
{
        return slot < m->nr_fixed ? m->fixed[slot] == kind : kind != VIRTIO_BLK && kind != VIRTIO_NET;
}

/* A snapshot's slots are taken, unless it is that kind of device that is looked for. */
static uint32_t find_free(const struct machine *m, const struct vm_state *saved, const struct assignment *a,
                          enum virtio_kind kind)
{
        for (uint32_t i = 0; i < m->nr_slots; i++) {
                const struct virtio_state *v = saved ? vm_state_virtio(saved, i) : NULL;

                if (a->v[i].kind == VIRTIO_NONE && fits(m, i, kind) && (!v || v->kind == kind))
                        return i;
        }
        return VIRTIO_SLOT_UNKNOWN;
}

static int assign_one(const struct machine *m, const struct vm_state *saved, const struct device_config *c, struct assignment *a,
                      struct err *e)
{
        uint32_t slot = c->slot == VIRTIO_SLOT_UNKNOWN ? find_free(m, saved, a, c->kind) : c->slot;

        if (slot == VIRTIO_SLOT_UNKNOWN)
                return err_usage(e, "%s device: expected a free slot of a %s, found all of them taken", virtio_kind_name(c->kind),
                                 m->name);
        if (slot >= m->nr_slots || !fits(m, slot, c->kind))
                return err_usage(e, "virtio slot %u of a %s is not for a %s device", slot, m->name, virtio_kind_name(c->kind));
        if (a->v[slot].kind != VIRTIO_NONE)
                return err_usage(e, "virtio slot %u is given twice", slot);
        a->v[slot] = *c;
        a->v[slot].slot = slot;
        return 0;
}

/* Those that name a slot first: the others take what is left. */
static int assign(const struct machine *m, const struct vm_config *c, struct assignment *ret, struct err *e)
{
        int r = 0;

        for (int named = 1; named >= 0; named--)
                for (size_t i = 0; i < c->nr_devices && r >= 0; i++)
                        if ((c->devices[i].slot != VIRTIO_SLOT_UNKNOWN) == named)
                                r = assign_one(m, c->saved, &c->devices[i], ret, e);
        return r;
}

/* --- making --- */

static const char *noun(enum virtio_kind kind)
{
        return kind == VIRTIO_BLK ? "disk" : kind == VIRTIO_NET ? "network card" : virtio_kind_name(kind);
}

static int make_device(struct slot *slot, const struct device_config *c, const struct virtio_state *saved, struct err *e)
{
        const struct virtio_maker *maker = virtio_maker_find(c->kind);
        int                        r;

        if (!maker)
                return err_set(e, -EOPNOTSUPP, "virtio slot %u: no device of kind %d", slot->nr, (int)c->kind);
        r = maker->new(c, saved, &slot->slots->env, &slot->device, e);
        if (r < 0)
                return r;
        slot->device->slot = slot->nr;
        snprintf(slot->device->what, sizeof(slot->device->what), "%s in slot %u", noun(c->kind), slot->nr);
        return 0;
}

static int make_slot(struct slot *slot, const struct device_config *c, const struct virtio_state *saved, struct bus *bus,
                     struct err *e)
{
        const struct machine     *m = slot->slots->machine;
        const struct virtio_wires wires = { .arg = slot, .interrupt = interrupt, .doorbell = doorbell };
        uint64_t                  at = m->mmio_first + (uint64_t)slot->nr * m->mmio_stride;
        int                       r = make_device(slot, c, saved, e);

        if (r >= 0)
                r = virtio_mmio_new(slot->device, &wires, &slot->transport, e);
        if (r < 0)
                return r;
        r = bus_add(bus, BUS_MMIO, at, VIRTIO_MMIO_BYTES, &virtio_mmio_ops, slot->transport);
        return r < 0 ? err_set(e, r, "virtio slot %u at guest address %#" PRIx64 ": %s", slot->nr, at, strerror(-r)) : 0;
}

/* What is in a slot: what the user gave, else what the snapshot has, else what the machine always has there. */
static enum virtio_kind kind_of(const struct machine *m, uint32_t slot, const struct device_config *c,
                                const struct virtio_state *saved)
{
        if (c->kind != VIRTIO_NONE)
                return c->kind;
        if (saved)
                return saved->kind;
        return slot < m->nr_fixed ? m->fixed[slot] : VIRTIO_NONE;
}

int slots_make(struct slots *s, const struct vm_config *c, const struct mem_layout *layout, int vm_fd, struct bus *bus,
               struct err *e)
{
        struct assignment a = { 0 };
        int               r;

        s->vm_fd = vm_fd;
        s->machine = machine_find(c->machine);
        s->env.layout = layout;
        s->env.arg = c->events.arg;
        s->env.discard = c->events.discard;
        s->env.message = c->events.message;
        for (uint32_t i = 0; i < SLOTS_MAX; i++) {
                s->v[i].slots = s;
                s->v[i].nr = i;
                s->v[i].irq_fd = -1;
        }
        r = assign(s->machine, c, &a, e);
        for (uint32_t i = 0; i < s->machine->nr_slots && r >= 0; i++) {
                const struct virtio_state *saved = c->saved ? vm_state_virtio(c->saved, i) : NULL;

                if (saved && a.v[i].kind != VIRTIO_NONE && a.v[i].kind != saved->kind)
                        return err_usage(e, "virtio slot %u: expected what stands behind the snapshot's %s, found a %s", i,
                                         virtio_kind_name(saved->kind), virtio_kind_name(a.v[i].kind));
                a.v[i].kind = kind_of(s->machine, i, &a.v[i], saved);
                a.v[i].slot = i;
                if (a.v[i].kind != VIRTIO_NONE)
                        r = make_slot(&s->v[i], &a.v[i], saved, bus, e);
        }
        return r;
}

void slots_free(struct slots *s)
{
        for (uint32_t i = 0; s->machine && i < SLOTS_MAX; i++) {
                struct slot *slot = &s->v[i];

                virtio_mmio_free(slot->transport);
                if (slot->device)
                        slot->device->ops->free(slot->device);
                if (slot->irq_fd >= 0)
                        close(slot->irq_fd);
                slot->transport = NULL;
                slot->device = NULL;
                slot->irq_fd = -1;
        }
}

/* --- state --- */

/* Nothing that a snapshot holds is left out in silence. */
static int check_records(const struct slots *s, const struct vm_state *st, struct err *e)
{
        for (uint32_t i = 0; i < st->nr_devices; i++) {
                const struct virtio_state *v = &st->devices[i].u.virtio;

                if (st->devices[i].kind != DEVICE_VIRTIO)
                        continue;
                if (v->slot >= SLOTS_MAX || !s->v[v->slot].transport)
                        return err_bad(e, "state", ERR_NO_OFFSET, "virtio %s in slot %u: this machine has nothing there",
                                       virtio_kind_name(v->kind), v->slot);
                if (vm_state_virtio(st, v->slot) != v)
                        return err_bad(e, "state", ERR_NO_OFFSET, "virtio slot %u: expected one device, found two", v->slot);
        }
        return 0;
}

int slots_load(struct slots *s, const struct vm_state *st, struct err *e)
{
        int r = check_records(s, st, e);

        for (uint32_t i = 0; i < SLOTS_MAX && r >= 0; i++) {
                const struct virtio_state *saved = vm_state_virtio(st, i);

                if (saved)
                        r = virtio_mmio_load(s->v[i].transport, saved, e);
        }
        if (r >= 0)
                slots_reinject(s);
        return r;
}

void slots_reinject(struct slots *s)
{
        for (uint32_t i = 0; i < SLOTS_MAX; i++)
                if (s->v[i].transport)
                        virtio_mmio_reinject(s->v[i].transport);
}

int slots_save(struct slots *s, struct vm_state *ret, struct err *e)
{
        int r = 0;

        for (uint32_t i = 0; i < SLOTS_MAX && r >= 0; i++) {
                struct device_record *d;

                if (!s->v[i].transport)
                        continue;
                d = vm_state_add_device(ret, DEVICE_VIRTIO, "");
                if (!d)
                        return err_set(e, -ENOMEM, "no memory for the state of virtio slot %u", i);
                r = virtio_mmio_save(s->v[i].transport, &d->u.virtio, e);
                d->u.virtio.slot = i;
        }
        return r;
}

int slots_sync(const struct slots *s, struct err *e)
{
        int r = 0;

        for (uint32_t i = 0; i < SLOTS_MAX && r >= 0; i++)
                if (s->v[i].device && s->v[i].device->ops->sync)
                        r = s->v[i].device->ops->sync(s->v[i].device, e);
        return r;
}

/* They drain side by side: the slowest one counts, not the sum. */
void slots_park(struct slots *s)
{
        for (uint32_t i = 0; i < SLOTS_MAX; i++)
                if (s->v[i].device)
                        virtio_device_ask_to_park(s->v[i].device);
        for (uint32_t i = 0; i < SLOTS_MAX; i++)
                if (s->v[i].device)
                        virtio_device_park(s->v[i].device);
}

void slots_resume(struct slots *s)
{
        for (uint32_t i = 0; i < SLOTS_MAX; i++)
                if (s->v[i].device)
                        virtio_device_resume(s->v[i].device);
}

uint32_t slots_mask(const struct slots *s)
{
        uint32_t mask = 0;

        for (uint32_t i = 0; i < SLOTS_MAX; i++)
                if (s->v[i].device)
                        mask |= 1u << i;
        return mask;
}

struct virtio_device *slots_find(const struct slots *s, enum virtio_kind kind)
{
        for (uint32_t i = 0; i < SLOTS_MAX; i++)
                if (s->v[i].device && s->v[i].device->ops->kind == kind)
                        return s->v[i].device;
        return NULL;
}
