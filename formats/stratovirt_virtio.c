/* formats/stratovirt_virtio.c: the virtio devices of a microVM: the six slots that are always there, then those whose slot the
 * file does not say; and what any of them may say. */
#include "core/base/units.h"
#include "formats/stratovirt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* virtio 1.2, section 2.1 and 4.2.2 */
#define STATUS_DRIVER_OK   4u
#define STATUS_FEATURES_OK 8u
#define STATUS_FAILED      128u
#define STATUS_ALL_OK      15u
#define INTERRUPTS         3u
#define FEATURE_VERSION_1  (1ULL << 32)

/* A device while it is read, and where its bytes are, for messages. */
struct reading {
        struct virtio_state    *v;
        struct sv_transport     t;
        const struct sv_record *transport, *device;
};

/* "virtio slot 3", "virtio vsock" */
static const char *called(const struct virtio_state *v, char ret[32])
{
        if (v->slot == VIRTIO_SLOT_UNKNOWN)
                snprintf(ret, 32, "virtio %s", virtio_kind_name(v->kind));
        else
                snprintf(ret, 32, "virtio slot %u", v->slot);
        return ret;
}

/* --- what a queue may say --- */

static bool is_power_of_two(uint16_t n)
{
        return n && !(n & (n - 1));
}

/* Could a microVM of any size have RAM there? kvm/ asks again, of the RAM that there is. */
static bool may_be_ram(uint64_t gpa, uint64_t len)
{
        if (range_fits(gpa, len, SV_RAM_HOLE_GPA))
                return true;
        return gpa >= SV_RAM_HIGH_GPA && range_fits(gpa, len, SV_RAM_END_GPA);
}

static bool ring_is_good(uint64_t gpa, uint64_t align, uint64_t len)
{
        return gpa && gpa % align == 0 && may_be_ram(gpa, len);
}

/* virtio 1.2, section 2.7: what the device goes on with. A guest may have made no queue of the others, whatever they say. */
static int check_ready(const struct reading *x, unsigned int i, uint64_t offset_bytes, struct err *e)
{
        const struct virtqueue_state *q = &x->v->queues[i];
        uint16_t                      in_flight = (uint16_t)(q->next_avail - q->next_used);
        char                          name[32];

        if (!is_power_of_two(q->size) || q->size > q->max_size)
                return err_bad(e, "state", offset_bytes, "%s queue %u: expected a power of two up to %u entries, found "
                               "%u" SV_DAMAGED, called(x->v, name), i, q->max_size, q->size);
        if (!ring_is_good(q->desc_gpa, 16, 16ull * q->size) || !ring_is_good(q->avail_gpa, 2, 6 + 2ull * q->size) ||
            !ring_is_good(q->used_gpa, 4, 6 + 8ull * q->size))
                return err_bad(e, "state", offset_bytes, "%s queue %u: expected descriptors, available and used ring aligned and "
                               "in RAM, found them at %#" PRIx64 ", %#" PRIx64 " and %#" PRIx64 SV_DAMAGED, called(x->v, name), i,
                               q->desc_gpa, q->avail_gpa, q->used_gpa);
        if (in_flight > q->size)
                return err_bad(e, "state", offset_bytes, "%s queue %u: expected at most %u requests in flight, found %u "
                               "(next_avail %u, next_used %u)" SV_DAMAGED, called(x->v, name), i, q->size, in_flight,
                               q->next_avail, q->next_used);
        return 0;
}

static int check_queues(const struct reading *x, struct err *e)
{
        char name[32];

        for (unsigned int i = 0; i < x->v->nr_queues; i++) {
                const struct virtqueue_state *q = &x->v->queues[i];
                uint64_t                      at = x->t.queue_offset_bytes[i];
                int                           r = 0;

                if (!is_power_of_two(q->max_size) || q->max_size > VIRTIO_QUEUE_SIZE_MAX)
                        return err_bad(e, "state", at, "%s queue %u: expected max_size a power of two up to %d, found "
                                       "%u" SV_DAMAGED, called(x->v, name), i, VIRTIO_QUEUE_SIZE_MAX, q->max_size);
                if (x->v->activated && q->ready)
                        r = check_ready(x, i, at, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- what a device may say --- */

/* StratoVirt does not see that a driver resets its device (status 0): it goes on, its queues' addresses or-ed together by what
 * the driver writes next. What the driver means is what virtio says: a device as new. */
static void forget_if_reset(struct reading *x)
{
        struct virtio_state *v = x->v;

        if (!v->activated || v->status & STATUS_FEATURES_OK)
                return;
        v->activated = false;
        v->broken = false;
        v->interrupt_status = 0;
        x->t.queue_num = 0;
        for (unsigned int i = 0; i < v->nr_queues; i++)
                v->queues[i] = (struct virtqueue_state){ .size = v->queues[i].max_size, .max_size = v->queues[i].max_size };
}

/* A device is active from the moment on that its driver says DRIVER_OK, with all its queues. */
static int check_activation(const struct reading *x, struct err *e)
{
        const struct virtio_state *v = x->v;
        bool                       driver_ok = (v->status & (STATUS_ALL_OK | STATUS_FAILED)) == STATUS_ALL_OK;
        uint64_t                   queues = v->activated ? v->nr_queues : 0;
        char                       name[32];

        if (v->activated ? !(v->status & STATUS_DRIVER_OK) : driver_ok)
                return err_bad(e, "state", x->transport->offset_bytes, "%s: expected device_status with%s DRIVER_OK of a device "
                               "that is%s activated, found %#x; it was saved while its driver set it up, or the file is damaged: "
                               "use another copy", called(v, name), v->activated ? "" : "out", v->activated ? "" : " not",
                               v->status);
        if (x->t.queue_num != queues)
                return err_bad(e, "state", x->transport->offset_bytes, "%s: expected %" PRIu64 " activated queues (queue_num), "
                               "found %" PRIu64 SV_DAMAGED, called(v, name), queues, x->t.queue_num);
        return 0;
}

static int check_registers(const struct reading *x, struct err *e)
{
        const struct virtio_state *v = x->v;
        char                       name[32];

        if (x->t.queue_type != SV_QUEUE_SPLIT)
                return err_bad(e, "state", x->transport->offset_bytes, "%s: expected queue_type %d (split), found "
                               "%" PRIu64 SV_DAMAGED, called(v, name), SV_QUEUE_SPLIT, x->t.queue_type);
        if (v->interrupt_status & ~INTERRUPTS)
                return err_bad(e, "state", x->transport->offset_bytes, "%s: expected interrupt_status 0 to %u, found "
                               "%#x" SV_DAMAGED, called(v, name), INTERRUPTS, v->interrupt_status);
        return 0;
}

static int check_features(const struct virtio_state *v, const struct sv_record *device, struct err *e)
{
        uint64_t more = v->driver_features & ~(v->device_features | FEATURE_VERSION_1);
        char     name[32];

        if (!more)
                return 0;
        return err_bad(e, "state", device->offset_bytes, "%s: expected driver_features among the offered %#" PRIx64 ", found "
                       "%#" PRIx64 " more" SV_DAMAGED, called(v, name), v->device_features, more);
}

static int check(struct reading *x, struct err *e)
{
        int r = check_registers(x, e);

        forget_if_reset(x);
        r = r < 0 ? r : check_activation(x, e);
        r = r < 0 ? r : check_features(x->v, x->device, e);
        return r < 0 ? r : check_queues(x, e);
}

static struct virtio_state *add(struct vm_state *vm, enum virtio_kind kind, uint32_t slot, struct err *e)
{
        struct device_record *d = vm_state_add_device(vm, DEVICE_VIRTIO, "");

        if (!d) {
                err_set(e, -ENOMEM, "no memory for the state of a virtio device");
                return NULL;
        }
        d->u.virtio.kind = kind;
        d->u.virtio.slot = slot;
        return &d->u.virtio;
}

/* --- the slots that are always there --- */

static int read_slot(const struct sv_descs *descs, const struct sv_records *rec, uint32_t slot, struct vm_state *vm,
                     struct err *e)
{
        const struct sv_generation *g = rec->generation;
        bool                        block = slot < SV_BLOCK_SLOTS;
        unsigned int                queues = block ? 1 : 3;
        struct reading              x = { .transport = &rec->transport[slot], .device = &rec->device[slot] };
        int                         r;

        x.v = add(vm, block ? VIRTIO_BLK : VIRTIO_NET, slot, e);
        if (!x.v)
                return -ENOMEM;
        r = g->read_transport(rec, x.transport, x.v, &x.t, e);
        r = r < 0 ? r : (block ? g->read_block : g->read_net)(descs, x.device, x.v, e);
        if (r < 0)
                return r;
        if (x.v->nr_queues != queues)
                return err_bad(e, "state", x.transport->offset_bytes, "virtio slot %u: expected %u queues of a %s device, found "
                               "%u; the file is damaged or of a StratoVirt that rouse does not know yet", slot, queues,
                               virtio_kind_name(x.v->kind), x.v->nr_queues);
        return check(&x, e);
}

/* --- devices whose slot the file does not say --- */

static const enum virtio_kind optional_kinds[] = {
        [SV_VSOCK] = VIRTIO_VSOCK, [SV_CONSOLE] = VIRTIO_CONSOLE, [SV_RNG] = VIRTIO_RNG, [SV_BALLOON] = VIRTIO_BALLOON,
};
static_assert(ARRAY_LEN(optional_kinds) == SV_OPTIONAL, "every optional device has its kind");

static bool has_transport(enum sv_optional o)
{
        return o == SV_VSOCK || o == SV_CONSOLE;
}

/* The names of these transports are hashes of ids that we do not know. Their queues tell: a vsock has three, a console two for
 * each port and two more. */
static bool fits(enum sv_optional o, unsigned int nr_queues)
{
        return o == SV_VSOCK ? nr_queues == 3 : nr_queues >= 4 && nr_queues % 2 == 0;
}

static int find_transport(const struct sv_records *rec, enum sv_optional o, struct reading *x, struct err *e)
{
        for (uint32_t i = 0; i < rec->nr_further; i++) {
                int r = rec->generation->read_transport(rec, &rec->further[i], x->v, &x->t, e);

                if (r < 0)
                        return r;
                x->transport = &rec->further[i];
                if (fits(o, x->v->nr_queues))
                        return 0;
        }
        return err_bad(e, "state", x->device->offset_bytes, "virtio %s: expected a transport with %s queues, found none among "
                       "the %u beside those of slots 0 to %d" SV_DAMAGED, virtio_kind_name(x->v->kind),
                       o == SV_VSOCK ? "3" : "4, 6, 8 ...", rec->nr_further, SV_SLOTS - 1);
}

/* StratoVirt saves no transport of an rng or a balloon: both are dead after its restore. Here they come up reset; so many queues
 * they have, by the features that they offer (balloon: statistics and page reporting have one each). */
static void make_queues(struct virtio_state *v)
{
        v->no_transport = true;
        v->nr_queues = 1;
        if (v->kind == VIRTIO_BALLOON)
                v->nr_queues = (uint16_t)(2 + (v->device_features >> 1 & 1) + (v->device_features >> 5 & 1));
        for (unsigned int i = 0; i < v->nr_queues; i++)
                v->queues[i] = (struct virtqueue_state){ .size = SV_OPTIONAL_QUEUE, .max_size = SV_OPTIONAL_QUEUE };
}

static int check_ports(const struct reading *x, struct err *e)
{
        unsigned int ports = x->v->u.console.max_ports, queues = x->v->nr_queues;

        if (ports < 1 || ports > VIRTIO_CONSOLE_PORTS_MAX || queues != 2 * ports + 2)
                return err_bad(e, "state", x->device->offset_bytes, "virtio console: expected 1 to %d ports with two queues each "
                               "and two more, found %u ports with %u queues" SV_DAMAGED, VIRTIO_CONSOLE_PORTS_MAX, ports, queues);
        return 0;
}

static int read_optional(const struct sv_descs *descs, const struct sv_records *rec, enum sv_optional o, struct vm_state *vm,
                         struct err *e)
{
        struct reading x = { .device = &rec->optional[o] };
        int            r = 0;

        x.v = add(vm, optional_kinds[o], VIRTIO_SLOT_UNKNOWN, e);
        if (!x.v)
                return -ENOMEM;
        if (has_transport(o))
                r = find_transport(rec, o, &x, e);
        r = r < 0 ? r : rec->generation->read_optional[o](descs, x.device, x.v, e);
        if (r == 0 && o == SV_CONSOLE)
                r = check_ports(&x, e);
        if (r < 0)
                return r;
        if (has_transport(o))
                return check(&x, e);
        make_queues(x.v);
        return check_features(x.v, x.device, e);
}

/* One for each device that has one: another one is of a device that is not there. */
static int check_further(const struct sv_records *rec, struct err *e)
{
        uint64_t at = rec->nr_further ? rec->further[rec->nr_further - 1].offset_bytes : 0;
        uint32_t expected = 0;

        for (enum sv_optional o = 0; o < SV_OPTIONAL; o++) {
                if (!has_transport(o) || !rec->optional[o].desc)
                        continue;
                expected++;
                at = at ? at : rec->optional[o].offset_bytes;
        }
        if (rec->nr_further == expected)
                return 0;
        return err_bad(e, "state", at, "expected %u transports beside those of slots 0 to %d, as there are devices that have one "
                       "(vsock, console), found %u; the file is damaged or has a device that rouse does not know", expected,
                       SV_SLOTS - 1, rec->nr_further);
}

static void note_cid(const struct virtio_state *v, struct snapshot *s)
{
        if (v->kind == VIRTIO_VSOCK && !v->u.vsock.guest_cid)
                snapshot_note(s, "virtio vsock: the file does not say its CID; it is the guest-cid of StratoVirt's command line");
}

int sv_virtio_read(const struct sv_descs *descs, const struct sv_records *rec, struct snapshot *s, struct err *e)
{
        int r = check_further(rec, e);

        for (uint32_t slot = 0; r == 0 && slot < SV_SLOTS; slot++)
                r = read_slot(descs, rec, slot, &s->vm, e);
        for (enum sv_optional o = 0; r == 0 && o < SV_OPTIONAL; o++) {
                if (!rec->optional[o].desc)
                        continue;
                r = read_optional(descs, rec, o, &s->vm, e);
                if (r == 0)
                        note_cid(&s->vm.devices[s->vm.nr_devices - 1].u.virtio, s);
        }
        return r;
}
