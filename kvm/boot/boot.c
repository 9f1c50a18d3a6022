/* Boots a kernel: finds out what it is, loads it, puts the rest beside it, and sets the vCPUs at its entry. */
#include "kvm/boot/boot.h"

#include "kvm/boot/map.h"
#include "kvm/sys.h"
#include "kvm/vcpu_state.h"
#include "kvm/vm_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define LAPIC_LINT0       0x350
#define LAPIC_LINT1       0x360
#define LAPIC_MODE_MASK   0x700u
#define LAPIC_MODE_NMI    0x400u
#define LAPIC_MODE_EXTINT 0x700u

static int load_image(const struct boot_file *f, const struct mem_layout *l, struct boot_image *ret, struct err *e)
{
        int r = elf_probe(f, e);

        if (r > 0)
                return elf_load(f, l, ret, e);
        if (r == 0)
                r = bzimage_probe(f, e);
        if (r < 0)
                return r;
        return r > 0 ? bzimage_load(f, l, ret, e) : flat_load(f, l, ret, e);
}

/* As high as it may lie: below the kernel's limit, in the first window of RAM, above 1 MiB, and not over the kernel. */
static bool place_initrd(const struct mem_layout *l, const struct boot_image *image, uint64_t size_bytes, gpa_t *ret)
{
        gpa_t end = MIN(image->initrd_max + 1, l->w[0].size_bytes);
        gpa_t at;

        if (size_bytes > end)
                return false;
        at = (end - size_bytes) & ~(PAGE_BYTES - 1);
        if (at < image->end && at + size_bytes > image->start) { /* then under the kernel */
                if (size_bytes > image->start)
                        return false;
                at = (image->start - size_bytes) & ~(PAGE_BYTES - 1);
        }
        *ret = at;
        return at >= BOOT_IMAGE_MIN;
}

static int load_initrd(const char *path, const struct mem_layout *l, const struct boot_image *image, struct boot_extras *x,
                       struct err *e)
{
        _cleanup_boot_file_ struct boot_file f = { .fd = -1 };
        int                                  r = boot_file_open("initrd", path, &f, e);

        if (r < 0)
                return r;
        if (!place_initrd(l, image, f.size_bytes, &x->initrd))
                return err_set(e, -ENOEXEC, "initrd '%s': expected room for %" PRIu64 " bytes below guest address %#" PRIx64
                               " beside the kernel, found none; give the VM more memory", path, f.size_bytes, image->initrd_max);
        x->initrd_bytes = f.size_bytes;
        return boot_file_to_ram(&f, 0, l, x->initrd, f.size_bytes, e);
}

static int write_cmdline(const struct mem_layout *l, const struct boot_image *image, const char *cmdline, struct err *e)
{
        uint64_t len = strlen(cmdline), max = MIN((uint64_t)image->cmdline_max_bytes, MAP_CMDLINE_MAX - 1);

        if (len > max)
                return err_usage(e, "command line: expected at most %" PRIu64 " bytes, found %" PRIu64, max, len);
        memcpy(mem_layout_gpa_to_hva(l, MAP_CMDLINE, len + 1), cmdline, len + 1);
        return 0;
}

int boot_load(const struct boot_config *c, const struct mem_layout *l, struct boot_entry *ret, struct err *e)
{
        _cleanup_boot_file_ struct boot_file f = { .fd = -1 };
        struct boot_extras                   x = { 0 };
        struct boot_image                    image;
        int                                  r;

        if (!mem_layout_gpa_to_hva(l, 0, MIB))
                return err_set(e, -EINVAL, "boot: expected mapped RAM from 0 to 1 MiB, found none");
        if (c->nr_vcpus < 1 || c->nr_vcpus > BOOT_VCPUS_MAX)
                return err_usage(e, "vCPUs: expected 1 to %d, found %u", BOOT_VCPUS_MAX, c->nr_vcpus);
        r = boot_file_open("kernel", c->kernel, &f, e);
        if (r >= 0)
                r = load_image(&f, l, &image, e);
        if (r >= 0)
                r = write_cmdline(l, &image, c->cmdline, e);
        if (r >= 0 && c->initrd)
                r = load_initrd(c->initrd, l, &image, &x, e);
        if (r < 0)
                return r;
        mptable_write(l, c->nr_vcpus);
        if (image.protocol == BOOT_PVH)
                pvh_write(l, &x);
        else
                linux64_write(l, &image, &x);
        *ret = (struct boot_entry){
                .protocol = image.protocol,
                .rip      = image.entry,
                .info     = image.protocol == BOOT_PVH ? MAP_PVH_INFO : MAP_ZERO_PAGE,
        };
        return 0;
}

/* --- vCPUs --- */

static int set_cpuid(struct vm *vm, struct vcpu *v, struct err *e)
{
        const struct cpuid_table *host;
        struct cpuid_table        t;
        int                       r = vm_host_cpuid(vm, &host, e);

        if (r < 0)
                return r;
        r = cpuid_native(host, v->index, vm->nr_vcpus, &t);
        if (r >= 0)
                r = vcpu_set_cpuid(v, &t);
        return r < 0 ? err_set(e, r, "vCPU %u: KVM_SET_CPUID2: %s", v->index, strerror(-r)) : 0;
}

static void set_lvt_mode(struct kvm_lapic_state *s, size_t reg, uint32_t mode)
{
        uint32_t lvt;

        memcpy(&lvt, s->regs + reg, sizeof(lvt));
        lvt = (lvt & ~LAPIC_MODE_MASK) | mode;
        memcpy(s->regs + reg, &lvt, sizeof(lvt));
}

/* The pins as a PC's firmware wires them: the PICs on LINT0, NMI on LINT1. The rest stays as KVM reset it, masks too. */
static int set_lapic(struct vcpu *v, struct err *e)
{
        struct kvm_lapic_state s;
        int                    r = kvm_ioctl(v->fd, KVM_GET_LAPIC, &s);

        if (r >= 0) {
                set_lvt_mode(&s, LAPIC_LINT0, LAPIC_MODE_EXTINT);
                set_lvt_mode(&s, LAPIC_LINT1, LAPIC_MODE_NMI);
                r = kvm_ioctl_in(v->fd, KVM_SET_LAPIC, &s);
        }
        return r < 0 ? err_set(e, r, "vCPU %u: local APIC: %s", v->index, strerror(-r)) : 0;
}

static int set_entry(struct vcpu *v, const struct boot_entry *b, struct err *e)
{
        struct kvm_sregs sregs;
        struct kvm_regs  regs;
        int              r = kvm_ioctl(v->fd, KVM_GET_SREGS, &sregs);

        if (r >= 0) {
                if (b->protocol == BOOT_PVH)
                        pvh_set_regs(b, &sregs, &regs);
                else
                        linux64_set_regs(b, &sregs, &regs);
                r = kvm_ioctl_in(v->fd, KVM_SET_SREGS, &sregs);
        }
        if (r >= 0)
                r = kvm_ioctl_in(v->fd, KVM_SET_REGS, &regs);
        return r < 0 ? err_set(e, r, "vCPU %u: registers: %s", v->index, strerror(-r)) : 0;
}

int boot_set_vcpus(struct vm *vm, const struct boot_entry *b, struct err *e)
{
        for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
                int r = set_cpuid(vm, &vm->vcpus[i], e);

                if (r >= 0)
                        r = set_lapic(&vm->vcpus[i], e);
                if (r < 0)
                        return r;
        }
        return set_entry(&vm->vcpus[0], b, e);
}
