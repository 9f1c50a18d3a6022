/* core/match_devices.c: a snapshot knows its devices, the user knows what stands behind them; here the two are brought
 * together. */
#include "core/match_devices.h"

#include "kvm/machine/machine.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct match {
        struct vm_state      *vm;
        const struct machine *machine;
        struct device_config *configs;
        size_t                nr;
        void (*note)(void *arg, const char *text);
        void *arg;
        struct err *e;
};

/* "disk of 262144 bytes (512 sectors)", "network card 52:54:00:12:34:56", "rng device" */
static void describe(const struct virtio_state *v, char *ret, size_t size)
{
        const uint8_t *m = v->u.net.mac;

        if (v->kind == VIRTIO_BLK)
                snprintf(ret, size, "disk of %" PRIu64 " bytes (%" PRIu64 " sectors)", v->u.blk.capacity_sectors * 512,
                         v->u.blk.capacity_sectors);
        else if (v->kind == VIRTIO_NET)
                snprintf(ret, size, "network card %02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
        else
                snprintf(ret, size, "%s device", virtio_kind_name(v->kind));
}

/* How the user says what is behind a device. */
static void name_option(const struct virtio_state *v, char *ret, size_t size)
{
        char slot[12] = "N";

        if (v->slot != VIRTIO_SLOT_UNKNOWN)
                snprintf(slot, sizeof(slot), "%u", v->slot);
        if (v->kind == VIRTIO_BLK)
                snprintf(ret, size, "--disk %s=FILE", slot);
        else if (v->kind == VIRTIO_NET)
                snprintf(ret, size, "--net %s=tap=NAME", slot);
        else
                snprintf(ret, size, "--device %s=%s%s", slot, virtio_kind_name(v->kind),
                         v->kind == VIRTIO_VSOCK ? ",path=SOCKET" : "");
}

static struct virtio_state *find_in_slot(const struct match *m, uint32_t slot)
{
        for (uint32_t i = 0; i < m->vm->nr_devices; i++)
                if (m->vm->devices[i].kind == DEVICE_VIRTIO && m->vm->devices[i].u.virtio.slot == slot)
                        return &m->vm->devices[i].u.virtio;
        return NULL;
}

/* The device of that kind that nobody has claimed yet: without a slot, or, for a configuration without one, the first. */
static struct virtio_state *find_of_kind(const struct match *m, enum virtio_kind kind, bool without_slot)
{
        for (uint32_t i = 0; i < m->vm->nr_devices; i++) {
                struct virtio_state *v = &m->vm->devices[i].u.virtio;

                if (m->vm->devices[i].kind == DEVICE_VIRTIO && v->kind == kind &&
                    (!without_slot || v->slot == VIRTIO_SLOT_UNKNOWN))
                        return v;
        }
        return NULL;
}

static int refuse_config(const struct match *m, const struct device_config *c, const char *found)
{
        char where[32] = "";

        if (c->slot != VIRTIO_SLOT_UNKNOWN)
                snprintf(where, sizeof(where), " in virtio slot %u", c->slot);
        return err_bad(m->e, "state", ERR_NO_OFFSET, "expected a %s device%s, as was said on the command line, found %s",
                       virtio_kind_name(c->kind), where, found);
}

static int refuse_slot(const struct match *m, const struct device_config *c, const struct virtio_state *there)
{
        char what[80];

        describe(there, what, sizeof(what));
        return refuse_config(m, c, what);
}

/* A configuration that names a slot: what the snapshot has there, or what it has of this kind without knowing where. */
static int claim_slot(const struct match *m, const struct device_config *c)
{
        struct virtio_state *v = find_in_slot(m, c->slot);

        if (v)
                return v->kind == c->kind ? 0 : refuse_slot(m, c, v);
        if (c->slot >= m->machine->nr_slots)
                return err_usage(m->e, "virtio slot %u: expected 0 to %u", c->slot, m->machine->nr_slots - 1);
        v = find_of_kind(m, c->kind, true);
        if (!v || c->slot < m->machine->nr_fixed)
                return refuse_config(m, c, "none");
        v->slot = c->slot;
        return 0;
}

/* One that names only a kind: the one device of it. */
static int claim_kind(const struct match *m, struct device_config *c)
{
        const struct virtio_state *v = find_of_kind(m, c->kind, false);
        char                       option[64];

        if (!v)
                return refuse_config(m, c, "none");
        if (v->slot == VIRTIO_SLOT_UNKNOWN) {
                name_option(v, option, sizeof(option));
                return err_bad(m->e, "state", ERR_NO_OFFSET, "expected to know the virtio slot of the %s device, which this "
                               "format does not record; say it by %s (N: %u and up, in the order of the command line that the "
                               "machine was started with)", virtio_kind_name(c->kind), option,
                               m->machine->nr_fixed);
        }
        c->slot = v->slot;
        return 0;
}

static const struct device_config *config_of(const struct match *m, uint32_t slot)
{
        for (size_t i = 0; i < m->nr; i++)
                if (m->configs[i].slot == slot)
                        return &m->configs[i];
        return NULL;
}

static void tell(const struct match *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void tell(const struct match *m, const char *fmt, ...)
{
        char    text[240];
        va_list ap;

        if (!m->note)
                return;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        m->note(m->arg, text);
}

static bool needs_backend(const struct virtio_state *v)
{
        return v->kind == VIRTIO_BLK || v->kind == VIRTIO_NET || v->kind == VIRTIO_VSOCK;
}

/* What the guest uses must have what it needs; what it never used may lack it. */
static int check_device(const struct match *m, const struct virtio_state *v)
{
        char what[80], option[64];

        describe(v, what, sizeof(what));
        name_option(v, option, sizeof(option));
        if (v->slot == VIRTIO_SLOT_UNKNOWN)
                return err_bad(m->e, "state", ERR_NO_OFFSET, "expected to know the virtio slot of the %s, found none: this "
                               "format does not record it; say it by %s (N: %u and up, in the order of the command line that "
                               "the machine was started with)", what, option, m->machine->nr_fixed);
        if (config_of(m, v->slot) || !needs_backend(v))
                return 0;
        if (v->activated)
                return err_bad(m->e, "state", ERR_NO_OFFSET,
                               "virtio slot %u: expected to be told what is behind the %s, which the guest uses, found nothing; "
                               "say it by %s", v->slot, what, option);
        if (v->kind == VIRTIO_BLK && v->u.blk.capacity_sectors)
                tell(m, "virtio slot %u: nothing is behind the %s, which the guest has not used yet: it will fail every request "
                     "(%s)", v->slot, what, option);
        return 0;
}

static int check_twice(const struct match *m, size_t i)
{
        for (size_t k = 0; k < i; k++)
                if (m->configs[k].slot == m->configs[i].slot)
                        return err_usage(m->e, "virtio slot %u is given twice", m->configs[i].slot);
        return 0;
}

int match_devices(struct vm_state *vm, struct device_config *configs, size_t nr, void (*note)(void *arg, const char *text),
                  void *arg, struct err *e)
{
        struct match m = {.vm = vm, .machine = machine_find(vm->machine), .configs = configs, .nr = nr, .note = note, .arg = arg,
                          .e = e};
        int          r = 0;

        for (size_t i = 0; i < nr && r >= 0; i++) {
                if (configs[i].slot != VIRTIO_SLOT_UNKNOWN)
                        r = claim_slot(&m, &configs[i]);
        }
        for (size_t i = 0; i < nr && r >= 0; i++) {
                if (configs[i].slot == VIRTIO_SLOT_UNKNOWN)
                        r = claim_kind(&m, &configs[i]);
                if (r >= 0)
                        r = check_twice(&m, i);
        }
        for (uint32_t i = 0; i < vm->nr_devices && r >= 0; i++)
                if (vm->devices[i].kind == DEVICE_VIRTIO)
                        r = check_device(&m, &vm->devices[i].u.virtio);
        return r;
}
