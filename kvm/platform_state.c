/* One table: each piece of the VM's own state, how it is got and set, and why it stands where it stands. */
#include "kvm/platform_state.h"

#include "kvm/sys.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(struct kvm_irqchip) == 520, "as the kernel has it");
static_assert(sizeof(struct kvm_pic_state) == 16, "as the kernel has it");
static_assert(sizeof(struct kvm_ioapic_state) == 216, "as the kernel has it");
static_assert(sizeof(struct kvm_pit_state2) == 112, "as the kernel has it");
static_assert(sizeof(struct kvm_clock_data) == 48, "as the kernel has it");

static int get_chip(int vm_fd, uint32_t id, struct kvm_irqchip *ret)
{
        *ret = (struct kvm_irqchip){ .chip_id = id };
        return kvm_ioctl(vm_fd, KVM_GET_IRQCHIP, ret);
}

static int get_pic(int vm_fd, uint32_t id, struct kvm_pic_state *ret)
{
        struct kvm_irqchip c;
        int                r = get_chip(vm_fd, id, &c);

        if (r >= 0)
                *ret = c.chip.pic;
        return r;
}

static int set_pic(int vm_fd, uint32_t id, const struct kvm_pic_state *s)
{
        struct kvm_irqchip c = { .chip_id = id };

        c.chip.pic = *s;
        return kvm_ioctl(vm_fd, KVM_SET_IRQCHIP, &c);
}

/* As KVM made it, but deaf: a guest that was saved without its PICs does not use them. */
static int mask_pic(int vm_fd, uint32_t id)
{
        struct kvm_pic_state s;
        int                  r = get_pic(vm_fd, id, &s);

        if (r < 0)
                return r;
        s.imr = 0xff;
        return set_pic(vm_fd, id, &s);
}

static int save_master(int vm_fd, struct platform_state *ret)
{
        return get_pic(vm_fd, KVM_IRQCHIP_PIC_MASTER, &ret->pic_master);
}

static int load_master(int vm_fd, const struct platform_state *s)
{
        return set_pic(vm_fd, KVM_IRQCHIP_PIC_MASTER, &s->pic_master);
}

static int mask_master(int vm_fd)
{
        return mask_pic(vm_fd, KVM_IRQCHIP_PIC_MASTER);
}

static int save_slave(int vm_fd, struct platform_state *ret)
{
        return get_pic(vm_fd, KVM_IRQCHIP_PIC_SLAVE, &ret->pic_slave);
}

static int load_slave(int vm_fd, const struct platform_state *s)
{
        return set_pic(vm_fd, KVM_IRQCHIP_PIC_SLAVE, &s->pic_slave);
}

static int mask_slave(int vm_fd)
{
        return mask_pic(vm_fd, KVM_IRQCHIP_PIC_SLAVE);
}

static int save_ioapic(int vm_fd, struct platform_state *ret)
{
        struct kvm_irqchip c;
        int                r = get_chip(vm_fd, KVM_IRQCHIP_IOAPIC, &c);

        if (r >= 0)
                ret->ioapic = c.chip.ioapic;
        return r;
}

static int load_ioapic(int vm_fd, const struct platform_state *s)
{
        struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };

        c.chip.ioapic = s->ioapic;
        return kvm_ioctl(vm_fd, KVM_SET_IRQCHIP, &c);
}

static int save_pit(int vm_fd, struct platform_state *ret)
{
        return kvm_ioctl(vm_fd, KVM_GET_PIT2, &ret->pit);
}

static int load_pit(int vm_fd, const struct platform_state *s)
{
        return kvm_ioctl_in(vm_fd, KVM_SET_PIT2, &s->pit);
}

/* Only the guest's clock: the host's own times mean nothing on another host, or later. */
static int save_clock(int vm_fd, struct platform_state *ret)
{
        struct kvm_clock_data c = { 0 };
        int                   r = kvm_ioctl(vm_fd, KVM_GET_CLOCK, &c);

        if (r >= 0)
                ret->clock = (struct kvm_clock_data){ .clock = c.clock };
        return r;
}

/* Flags 0 whatever was saved: the clock goes on where it stood (with KVM_CLOCK_REALTIME it would jump). */
static int load_clock(int vm_fd, const struct platform_state *s)
{
        struct kvm_clock_data c = { .clock = s->clock.clock };

        return kvm_ioctl(vm_fd, KVM_SET_CLOCK, &c);
}

const struct platform_row platform_rows[PLATFORM_PIECES] = {
        { PLATFORM_PIC_MASTER, save_master, load_master, mask_master, false, "before the PIT, which raises its line 0" },
        { PLATFORM_PIC_SLAVE, save_slave, load_slave, mask_slave, false, "after its master; any order would do" },
        { PLATFORM_IOAPIC, save_ioapic, load_ioapic, NULL, false,
          "before the vCPUs: what it delivers while it is set is overwritten by their LAPICs, which have had it already" },
        { PLATFORM_CLOCK, save_clock, load_clock, NULL, false,
          "after the chips, so that the guest's time passes late; before the vCPUs, whose kvmclock MSRs publish it" },
        { PLATFORM_PIT, save_pit, load_pit, NULL, true,
          "after the vCPUs: its timer starts at once, and a tick that a LAPIC being set overwrites is never acknowledged: KVM "
          "then holds back all later ones" },
};

int platform_load(int vm_fd, const struct platform_state *s, bool after_vcpus, struct err *e)
{
        for (size_t i = 0; i < PLATFORM_PIECES; i++) {
                const struct platform_row *row = &platform_rows[i];
                int                        r = 0;

                if (row->after_vcpus != after_vcpus)
                        continue;
                if (s->have >> row->piece & 1)
                        r = row->load(vm_fd, s);
                else if (row->absent)
                        r = row->absent(vm_fd);
                if (r < 0)
                        return err_bad(e, "state", ERR_NO_OFFSET,
                                       "%s: expected a value that KVM takes here, found one that it refuses (%s)",
                                       platform_piece_name(row->piece), strerror(-r));
        }
        return 0;
}

int platform_save(int vm_fd, struct platform_state *ret, struct err *e)
{
        struct platform_state s = { 0 };

        for (size_t i = PLATFORM_PIECES; i-- > 0;) {
                const struct platform_row *row = &platform_rows[i];
                int                        r = row->save(vm_fd, &s);

                if (r < 0)
                        return err_set(e, r, "KVM does not give the %s: %s", platform_piece_name(row->piece), strerror(-r));
                s.have |= 1u << row->piece;
        }
        *ret = s;
        return 0;
}
