/* Loads the protected-mode part of a bzImage, to be entered by the 64-bit boot protocol (Linux:
 * Documentation/arch/x86/boot.rst). */
#include "kvm/boot/image.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define HEADER_OFFSET     0x1f1
#define HEADER_MAGIC      0x53726448 /* "HdrS" */
#define BOOT_FLAG         0xaa55
#define VERSION_MIN       0x20c /* 2.12, Linux 3.8: xloadflags tells of the 64-bit entry */
#define SECTOR_BYTES      512
#define SETUP_SECTS_OLD   4 /* what setup_sects 0 means */
#define ENTRY_64_OFFSET   0x200
#define HEADER_JUMP_BASE  0x202 /* the jump's offset byte at 0x201 counts from here: so long is the header */

static_assert(offsetof(struct setup_header, boot_flag) == 0x1fe - HEADER_OFFSET, "boot.rst");
static_assert(offsetof(struct setup_header, header) == 0x202 - HEADER_OFFSET, "boot.rst");
static_assert(offsetof(struct setup_header, xloadflags) == 0x236 - HEADER_OFFSET, "boot.rst");
static_assert(offsetof(struct setup_header, init_size) == 0x260 - HEADER_OFFSET, "boot.rst");

int bzimage_probe(const struct boot_file *f, struct err *e)
{
        struct setup_header h;
        int                 r;

        if (f->size_bytes < HEADER_OFFSET + sizeof(h))
                return 0;
        r = boot_file_read(f, HEADER_OFFSET, &h, sizeof(h), e);
        return r < 0 ? r : h.boot_flag == BOOT_FLAG && h.header == HEADER_MAGIC;
}

static int check_header(const struct boot_file *f, const struct setup_header *h, struct err *e)
{
        if (h->version < VERSION_MIN)
                return err_set(e, -ENOEXEC, "%s: offset 518: expected boot protocol 2.12 or later, found %u.%u", f->path,
                               h->version >> 8, h->version & 0xff);
        if (!(h->loadflags & LOADED_HIGH))
                return err_set(e, -ENOEXEC, "%s: offset 529: expected a bzImage, found a zImage", f->path);
        if (!(h->xloadflags & XLF_KERNEL_64))
                return err_set(e, -ENOEXEC, "%s: offset 566: expected a kernel with a 64-bit entry, found xloadflags %#x",
                               f->path, h->xloadflags);
        if (h->code32_start < BOOT_IMAGE_MIN)
                return err_set(e, -ENOEXEC, "%s: offset 532: expected a load address of 1 MiB or more, found %#x", f->path,
                               h->code32_start);
        return 0;
}

/* The fields past the image's own header end are code; they must not reach the zero page. */
static void cut_header(struct setup_header *h)
{
        size_t known = HEADER_JUMP_BASE - HEADER_OFFSET + (h->jump >> 8);

        if (known < sizeof(*h))
                memset((uint8_t *)h + known, 0, sizeof(*h) - known);
}

/* What the kernel unpacks itself into: from its preferred address on, or from where it lies, aligned, if that is higher. */
static gpa_t end_of_unpacked(const struct setup_header *h, uint64_t image_bytes)
{
        gpa_t aligned = align_up(h->code32_start, MAX(h->kernel_alignment, 1u));
        gpa_t from = h->relocatable_kernel ? MAX(aligned, h->pref_address) : h->pref_address;
        gpa_t image_end = h->code32_start + image_bytes;

        if (h->init_size > UINT64_MAX - from)
                return UINT64_MAX;
        return MAX(image_end, from + h->init_size);
}

int bzimage_load(const struct boot_file *f, const struct mem_layout *l, struct boot_image *ret, struct err *e)
{
        struct boot_image image = { .protocol = BOOT_LINUX64 };
        uint64_t          setup_bytes, ram_offset_bytes;
        int               r = boot_file_read(f, HEADER_OFFSET, &image.header, sizeof(image.header), e);

        if (r < 0)
                return r;
        cut_header(&image.header);
        r = check_header(f, &image.header, e);
        if (r < 0)
                return r;
        setup_bytes = ((image.header.setup_sects ? image.header.setup_sects : SETUP_SECTS_OLD) + 1ULL) * SECTOR_BYTES;
        if (f->size_bytes <= setup_bytes + ENTRY_64_OFFSET)
                return err_set(e, -ENOEXEC, "%s: expected more than %" PRIu64 " bytes, found %" PRIu64 ": it has been cut",
                               f->path, setup_bytes + ENTRY_64_OFFSET, f->size_bytes);
        image.start = image.header.code32_start;
        image.entry = image.start + ENTRY_64_OFFSET;
        image.end = end_of_unpacked(&image.header, f->size_bytes - setup_bytes);
        image.initrd_max = image.header.initrd_addr_max;
        image.cmdline_max_bytes = image.header.cmdline_size;
        r = boot_file_to_ram(f, setup_bytes, l, image.start, f->size_bytes - setup_bytes, e);
        if (r < 0)
                return r;
        if (!mem_layout_gpa_to_offset(l, image.start, image.end - image.start, &ram_offset_bytes))
                return err_set(e, -ENOEXEC, "%s: expected RAM from %#" PRIx64 " to %#" PRIx64 " to unpack itself, found less; "
                               "give the VM more memory", f->path, image.start, image.end);
        *ret = image;
        return 0;
}
