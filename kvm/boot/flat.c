/* What is neither ELF nor bzImage is a flat 64-bit image, loaded and entered at 16 MiB (as StratoVirt does: stratovirt.md
 * 2.6). */
#include "kvm/boot/image.h"

#define FLAT_GPA       (16 * MIB)
#define CMDLINE_BYTES  2047 /* COMMAND_LINE_SIZE of Linux on x86, without the NUL */

int flat_load(const struct boot_file *f, const struct mem_layout *l, struct boot_image *ret, struct err *e)
{
        int r = boot_file_to_ram(f, 0, l, FLAT_GPA, f->size_bytes, e);

        if (r < 0)
                return r;
        *ret = (struct boot_image){
                .protocol          = BOOT_LINUX64,
                .entry             = FLAT_GPA,
                .start             = FLAT_GPA,
                .end               = FLAT_GPA + f->size_bytes,
                .initrd_max        = BOOT_INITRD_MAX,
                .cmdline_max_bytes = CMDLINE_BYTES,
        };
        return 0;
}
