/* The Linux 64-bit boot protocol: zero page, boot page tables, descriptor tables, and the registers at entry. */
#include "kvm/boot/map.h"

#include <assert.h>
#include <linux/kvm.h>
#include <string.h>

static_assert(sizeof(struct boot_params) == 4096, "the zero page (boot.rst)");
static_assert(ARRAY_LEN(((struct boot_params *)NULL)->e820_table) >= MAP_RANGES_MAX, "every range has an entry");

#define HEADER_MAGIC      0x53726448 /* "HdrS" */
#define BOOT_FLAG         0xaa55
#define LOADER_UNDEFINED  0xff /* type_of_loader without an assigned number */
#define KERNEL_ALIGNMENT  (16 * MIB)

#define PAGE_PRESENT_WRITE 0x3
#define PAGE_HUGE          0x80

#define CODE_64 0x00af9b000000ffffULL
#define DATA_64 0x00cf93000000ffffULL

#define CR0_BOOT  0x80000011 /* PG, ET, PE */
#define CR4_PAE   0x20
#define EFER_LONG 0x500 /* LME, LMA */
#define RFLAGS_1  0x2   /* the bit that is always set */

size_t map_ranges(const struct mem_layout *l, struct map_range ret[MAP_RANGES_MAX])
{
        size_t n = 0;

        ret[n++] = (struct map_range){ 0, MAP_EBDA, MAP_RAM };
        ret[n++] = (struct map_range){ MAP_EBDA, MAP_EBDA_END - MAP_EBDA, MAP_RESERVED };
        ret[n++] = (struct map_range){ MAP_BIOS, MAP_BIOS_END - MAP_BIOS, MAP_RESERVED };
        for (size_t i = 0; i < l->nr; i++) {
                gpa_t from = MAX(l->w[i].gpa, (gpa_t)MAP_BIOS_END), end = l->w[i].gpa + l->w[i].size_bytes;

                if (end > from)
                        ret[n++] = (struct map_range){ from, end - from, MAP_RAM };
        }
        return n;
}

/* What an image without a setup header needs in its stead. */
static void make_header(struct setup_header *h, const struct boot_image *image)
{
        h->boot_flag = BOOT_FLAG;
        h->header = HEADER_MAGIC;
        h->kernel_alignment = KERNEL_ALIGNMENT;
        h->cmdline_size = image->cmdline_max_bytes;
}

static void write_zero_page(const struct mem_layout *l, const struct boot_image *image, const struct boot_extras *x)
{
        struct boot_params zero_page = { .hdr = image->header };
        struct map_range   ranges[MAP_RANGES_MAX];
        size_t             nr = map_ranges(l, ranges);

        if (zero_page.hdr.header != HEADER_MAGIC)
                make_header(&zero_page.hdr, image);
        zero_page.hdr.type_of_loader = LOADER_UNDEFINED;
        zero_page.hdr.cmd_line_ptr = MAP_CMDLINE;
        zero_page.hdr.ramdisk_image = (uint32_t)x->initrd; /* below 4 GiB: initrd_addr_max has 32 bits */
        zero_page.hdr.ramdisk_size = (uint32_t)x->initrd_bytes;
        zero_page.e820_entries = (uint8_t)nr;
        for (size_t i = 0; i < nr; i++)
                zero_page.e820_table[i] = (struct boot_e820_entry){ ranges[i].gpa, ranges[i].size_bytes, ranges[i].type };
        memcpy(mem_layout_gpa_to_hva(l, MAP_ZERO_PAGE, sizeof(zero_page)), &zero_page, sizeof(zero_page));
}

static void put_u64(const struct mem_layout *l, gpa_t gpa, uint64_t v)
{
        memcpy(mem_layout_gpa_to_hva(l, gpa, sizeof(v)), &v, sizeof(v));
}

/* The first GiB, as itself. */
static void write_page_tables(const struct mem_layout *l)
{
        put_u64(l, MAP_PML4, MAP_PDPT | PAGE_PRESENT_WRITE);
        put_u64(l, MAP_PDPT, MAP_PD | PAGE_PRESENT_WRITE);
        for (uint64_t i = 0; i < 512; i++)
                put_u64(l, MAP_PD + i * 8, i * HUGE_PAGE_BYTES | PAGE_PRESENT_WRITE | PAGE_HUGE);
}

static void write_descriptors(const struct mem_layout *l)
{
        put_u64(l, MAP_GDT, 0);
        put_u64(l, MAP_GDT + 8, 0);
        put_u64(l, MAP_GDT + GDT_CODE, CODE_64);
        put_u64(l, MAP_GDT + GDT_DATA, DATA_64);
        put_u64(l, MAP_IDT, 0);
}

void linux64_write(const struct mem_layout *l, const struct boot_image *image, const struct boot_extras *x)
{
        write_zero_page(l, image, x);
        write_page_tables(l);
        write_descriptors(l);
}

void linux64_set_regs(const struct boot_entry *b, struct kvm_sregs *sregs, struct kvm_regs *ret)
{
        const struct kvm_segment data = {
                .limit = UINT32_MAX, .selector = GDT_DATA, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1,
        };
        struct kvm_segment code = data;

        code.selector = GDT_CODE;
        code.type = 11;
        code.db = 0;
        code.l = 1;
        sregs->cs = code;
        sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
        sregs->gdt = (struct kvm_dtable){ .base = MAP_GDT, .limit = 31 };
        sregs->idt = (struct kvm_dtable){ .base = MAP_IDT, .limit = 7 };
        sregs->cr0 = CR0_BOOT;
        sregs->cr3 = MAP_PML4;
        sregs->cr4 = CR4_PAE;
        sregs->efer = EFER_LONG;
        *ret = (struct kvm_regs){ .rip = b->rip, .rsp = MAP_STACK, .rbp = MAP_STACK, .rsi = b->info, .rflags = RFLAGS_1 };
}
