/* The PVH boot protocol (Xen: docs/misc/pvh.pandoc, public/arch-x86/hvm/start_info.h): start info, and the registers at entry. */
#include "kvm/boot/map.h"

#include <assert.h>
#include <linux/kvm.h>
#include <string.h>

#define START_INFO_MAGIC   0x336ec578
#define START_INFO_VERSION 1 /* the first with a memory map */

#define CR0_PROTECTED 0x11 /* ET, PE */
#define RFLAGS_1      0x2
#define TSS_LIMIT     0x67
#define SEGMENT_TSS   11 /* busy 32-bit TSS */

struct start_info {
        uint32_t magic, version, flags, nr_modules;
        uint64_t modules_gpa, cmdline_gpa, rsdp_gpa, memmap_gpa;
        uint32_t memmap_entries, reserved;
};
static_assert(sizeof(struct start_info) == 56, "hvm_start_info, version 1");
static_assert(offsetof(struct start_info, memmap_gpa) == 40, "hvm_start_info, version 1");

struct module_entry {
        uint64_t gpa, size_bytes, cmdline_gpa, reserved;
};
static_assert(sizeof(struct module_entry) == 32, "hvm_modlist_entry");

struct memmap_entry {
        uint64_t gpa, size_bytes;
        uint32_t type, reserved;
};
static_assert(sizeof(struct memmap_entry) == 24, "hvm_memmap_table_entry");

/* All of it in one page. */
struct pvh_page {
        struct start_info   info;
        struct module_entry initrd;
        struct memmap_entry memmap[MAP_RANGES_MAX];
};
static_assert(sizeof(struct pvh_page) <= MAP_ZERO_PAGE - MAP_PVH_INFO, "it ends before the zero page");

void pvh_write(const struct mem_layout *l, const struct boot_extras *x)
{
        struct pvh_page  p = { 0 };
        struct map_range ranges[MAP_RANGES_MAX];
        size_t           nr = map_ranges(l, ranges);

        p.info = (struct start_info){
                .magic          = START_INFO_MAGIC,
                .version        = START_INFO_VERSION,
                .nr_modules     = x->initrd_bytes ? 1 : 0,
                .modules_gpa    = x->initrd_bytes ? MAP_PVH_INFO + offsetof(struct pvh_page, initrd) : 0,
                .cmdline_gpa    = MAP_CMDLINE,
                .memmap_gpa     = MAP_PVH_INFO + offsetof(struct pvh_page, memmap),
                .memmap_entries = (uint32_t)nr,
        };
        p.initrd = (struct module_entry){ .gpa = x->initrd, .size_bytes = x->initrd_bytes };
        for (size_t i = 0; i < nr; i++)
                p.memmap[i] = (struct memmap_entry){ .gpa = ranges[i].gpa, .size_bytes = ranges[i].size_bytes,
                                                     .type = ranges[i].type };
        memcpy(mem_layout_gpa_to_hva(l, MAP_PVH_INFO, sizeof(p)), &p, sizeof(p));
}

void pvh_set_regs(const struct boot_entry *b, struct kvm_sregs *sregs, struct kvm_regs *ret)
{
        const struct kvm_segment data = {
                .limit = UINT32_MAX, .selector = GDT_DATA, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1,
        };
        struct kvm_segment code = data;

        code.selector = GDT_CODE;
        code.type = 11;
        sregs->cs = code;
        sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
        sregs->tr = (struct kvm_segment){ .limit = TSS_LIMIT, .type = SEGMENT_TSS, .present = 1 };
        sregs->gdt = sregs->idt = (struct kvm_dtable){ 0 }; /* the guest brings its own */
        sregs->cr0 = CR0_PROTECTED;
        sregs->cr4 = 0;
        sregs->efer = 0;
        *ret = (struct kvm_regs){ .rip = b->rip, .rbx = b->info, .rflags = RFLAGS_1 };
}
