/* Loads an ELF kernel at its physical addresses; enters it by its PVH note (Xen: docs/misc/pvh.pandoc), else at its 64-bit
 * entry. */
#include "kvm/boot/image.h"

#include "core/base/cleanup.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SEGMENTS_MAX  64    /* arbitrary; vmlinux has 5 */
#define NOTES_MAX     65536 /* bytes of one note segment; arbitrary */
#define CMDLINE_BYTES 2047  /* COMMAND_LINE_SIZE of Linux on x86, without the NUL */
#define NOTE_PVH      18    /* XEN_ELFNOTE_PHYS32_ENTRY */

int elf_probe(const struct boot_file *f, struct err *e)
{
        uint8_t magic[SELFMAG];
        int     r;

        if (f->size_bytes < sizeof(magic))
                return 0;
        r = boot_file_read(f, 0, magic, sizeof(magic), e);
        return r < 0 ? r : memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static int read_header(const struct boot_file *f, Elf64_Ehdr *ret, struct err *e)
{
        int r = boot_file_read(f, 0, ret, sizeof(*ret), e);

        if (r < 0)
                return r;
        if (ret->e_ident[EI_CLASS] != ELFCLASS64 || ret->e_ident[EI_DATA] != ELFDATA2LSB || ret->e_machine != EM_X86_64)
                return err_set(e, -ENOEXEC, "%s: expected a 64-bit little-endian x86-64 ELF, found class %u, data %u, machine %u",
                               f->path, ret->e_ident[EI_CLASS], ret->e_ident[EI_DATA], ret->e_machine);
        if (ret->e_phentsize != sizeof(Elf64_Phdr) || ret->e_phnum < 1 || ret->e_phnum > SEGMENTS_MAX)
                return err_set(e, -ENOEXEC, "%s: expected 1 to %d program headers of %zu bytes, found %u of %u", f->path,
                               SEGMENTS_MAX, sizeof(Elf64_Phdr), ret->e_phnum, ret->e_phentsize);
        return 0;
}

/* Its bytes from the file, zeros up to its size in memory. */
static int load_segment(const struct boot_file *f, const Elf64_Phdr *p, const struct mem_layout *l, struct boot_image *image,
                        struct err *e)
{
        uint8_t *hva;
        int      r = 0;

        if (!p->p_memsz)
                return 0;
        if (p->p_filesz > p->p_memsz)
                return err_set(e, -ENOEXEC,
                               "%s: segment at %#" PRIx64 ": expected at most %" PRIu64 " bytes of file, found %" PRIu64, f->path,
                               (uint64_t)p->p_paddr, (uint64_t)p->p_memsz, (uint64_t)p->p_filesz);
        hva = p->p_paddr >= BOOT_IMAGE_MIN ? mem_layout_gpa_to_hva(l, p->p_paddr, p->p_memsz) : NULL;
        if (!hva)
                return err_set(e, -ENOEXEC, "%s: expected room for %" PRIu64 " bytes at guest address %#" PRIx64
                               " in RAM above 1 MiB, found none; give the VM more memory", f->path, (uint64_t)p->p_memsz,
                               (uint64_t)p->p_paddr);
        if (p->p_filesz)
                r = boot_file_read(f, p->p_offset, hva, p->p_filesz, e);
        if (r < 0)
                return r;
        memset(hva + p->p_filesz, 0, p->p_memsz - p->p_filesz);
        image->start = MIN(image->start, p->p_paddr);
        image->end = MAX(image->end, p->p_paddr + p->p_memsz);
        return 0;
}

/* Notes: {name size, descriptor size, type}, name and descriptor each padded to 4 bytes (ELF gABI, "Note Section"). */
static bool find_pvh_note(const uint8_t *v, uint64_t len_bytes, gpa_t *ret_entry)
{
        Elf64_Nhdr n;

        for (uint64_t at = 0; range_fits(at, sizeof(n), len_bytes);) {
                uint64_t name, desc, entry = 0;

                memcpy(&n, v + at, sizeof(n));
                name = at + sizeof(n);
                desc = name + align_up(n.n_namesz, 4);
                at = desc + align_up(n.n_descsz, 4);
                if (desc > len_bytes || n.n_descsz > len_bytes - desc)
                        return false;
                if (n.n_type != NOTE_PVH || n.n_namesz != 4 || memcmp(v + name, "Xen", 4) != 0 ||
                    (n.n_descsz != 4 && n.n_descsz != 8))
                        continue;
                memcpy(&entry, v + desc, n.n_descsz);
                *ret_entry = entry;
                return true;
        }
        return false;
}

static int read_notes(const struct boot_file *f, const Elf64_Phdr *p, struct boot_image *image, struct err *e)
{
        _cleanup_free_ uint8_t *v = NULL;
        gpa_t                   entry;
        int                     r;

        if (!p->p_filesz || p->p_filesz > NOTES_MAX)
                return 0;
        v = malloc(p->p_filesz);
        if (!v)
                return err_set(e, -ENOMEM, "%s: no memory for %" PRIu64 " bytes of notes", f->path, (uint64_t)p->p_filesz);
        r = boot_file_read(f, p->p_offset, v, p->p_filesz, e);
        if (r >= 0 && find_pvh_note(v, p->p_filesz, &entry)) {
                image->protocol = BOOT_PVH;
                image->entry = entry;
        }
        return r;
}

static bool holds(const Elf64_Phdr *p, uint64_t segment_start, uint64_t addr)
{
        return p->p_type == PT_LOAD && addr >= segment_start && addr - segment_start < p->p_memsz;
}

/* e_entry may be a physical address (vmlinux) or a virtual one of a segment that says where it lies; a PVH entry is physical. */
static bool physical_entry(const Elf64_Phdr *p, size_t nr, const struct boot_image *image, gpa_t *ret)
{
        for (size_t i = 0; i < nr; i++)
                if (holds(&p[i], p[i].p_paddr, image->entry)) {
                        *ret = image->entry;
                        return true;
                }
        for (size_t i = 0; i < nr && image->protocol != BOOT_PVH; i++)
                if (holds(&p[i], p[i].p_vaddr, image->entry)) {
                        *ret = image->entry - p[i].p_vaddr + p[i].p_paddr;
                        return true;
                }
        return false;
}

int elf_load(const struct boot_file *f, const struct mem_layout *l, struct boot_image *ret, struct err *e)
{
        Elf64_Phdr        segments[SEGMENTS_MAX];
        Elf64_Ehdr        h;
        struct boot_image image = {
                .protocol          = BOOT_LINUX64,
                .start             = UINT64_MAX,
                .initrd_max        = BOOT_INITRD_MAX,
                .cmdline_max_bytes = CMDLINE_BYTES,
        };
        int r = read_header(f, &h, e);

        if (r < 0)
                return r;
        image.entry = h.e_entry;
        r = boot_file_read(f, h.e_phoff, segments, h.e_phnum * sizeof(segments[0]), e);
        for (size_t i = 0; i < h.e_phnum && r >= 0; i++) {
                if (segments[i].p_type == PT_LOAD)
                        r = load_segment(f, &segments[i], l, &image, e);
                else if (segments[i].p_type == PT_NOTE)
                        r = read_notes(f, &segments[i], &image, e);
        }
        if (r < 0)
                return r;
        if (!physical_entry(segments, h.e_phnum, &image, &image.entry))
                return err_set(e, -ENOEXEC, "%s: expected an entry inside a loaded segment, found %#" PRIx64, f->path,
                               image.entry);
        if (image.protocol == BOOT_PVH && image.entry > UINT32_MAX)
                return err_set(e, -ENOEXEC, "%s: expected a PVH entry below 4 GiB, found %#" PRIx64, f->path, image.entry);
        *ret = image;
        return 0;
}
