/* Kernels of each kind, made here byte by byte, boot and tell what they found; broken ones are refused in words. */
#include "tests/unit/kvm/small_vm.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>

/* mov $0x3f8,%dx; print *(u32 *)(rsi+0x228), the command line; print *(u32 *)(rsi+0x218), the initrd; 1: hlt; jmp 1b */
static const uint8_t linux64_code[] = {
        0x66, 0xba, 0xf8, 0x03,             /* mov $0x3f8,%dx */
        0x8b, 0x86, 0x28, 0x02, 0x00, 0x00, /* mov 0x228(%rsi),%eax */
        0x8a, 0x00, 0xee,                   /* mov (%rax),%al; out %al,(%dx) */
        0x8b, 0x86, 0x18, 0x02, 0x00, 0x00, /* mov 0x218(%rsi),%eax */
        0x8a, 0x00, 0xee, 0xf4, 0xeb, 0xfd,
};

/* 32 bits: print **(start_info + 24), the command line; print **(start_info + 16), the first module; 1: hlt; jmp 1b */
static const uint8_t pvh_code[] = {
        0x66, 0xba, 0xf8, 0x03,       /* mov $0x3f8,%dx */
        0x8b, 0x43, 0x18, 0x8a, 0x00, /* mov 24(%ebx),%eax; mov (%eax),%al */
        0xee, 0x8b, 0x43, 0x10,       /* out; mov 16(%ebx),%eax */
        0x8b, 0x00, 0x8a, 0x00, 0xee, /* mov (%eax),%eax; mov (%eax),%al; out */
        0xf4, 0xeb, 0xfd,
};

#define SETUP_BYTES  1024 /* boot sector and one of setup */
#define HEADER_AT    0x1f1
#define BZ_BYTES     (SETUP_BYTES + 0x200 + 64)
struct bzimage {
        uint8_t bytes[BZ_BYTES];
};

static struct setup_header bz_header(void)
{
        return (struct setup_header){
                .setup_sects = 1, .boot_flag = 0xaa55, .jump = 0x6aeb, .header = 0x53726448, .version = 0x20f,
                .loadflags = LOADED_HIGH,
                .code32_start = 0x100000, .initrd_addr_max = 0x7fffffff, .kernel_alignment = 0x200000, .relocatable_kernel = 1,
                .xloadflags = XLF_KERNEL_64, .cmdline_size = 255, .pref_address = 0x1000000, .init_size = 0x10000,
        };
}

static struct bzimage bz_image(const struct setup_header *h)
{
        struct bzimage b = { { 0 } };

        memcpy(b.bytes + HEADER_AT, h, sizeof(*h));
        memcpy(b.bytes + SETUP_BYTES + 0x200, linux64_code, sizeof(linux64_code));
        return b;
}

struct note {
        Elf64_Nhdr head;
        char       name[4];
        uint32_t   entry;
};

struct elf {
        Elf64_Ehdr  h;
        Elf64_Phdr  p[2];
        struct note note;
        uint8_t     code[64];
};

#define ELF_GPA 0x200000

static struct elf elf_image(bool pvh)
{
        const uint8_t *code = pvh ? pvh_code : linux64_code;
        struct elf     f = {
                .h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_EXEC,
                       .e_machine = EM_X86_64,
                       .e_entry = ELF_GPA + offsetof(struct elf, code), .e_phoff = offsetof(struct elf, p),
                       .e_phentsize = sizeof(Elf64_Phdr),
                       .e_phnum = pvh ? 2 : 1 },
                .p = { { .p_type = PT_LOAD, .p_paddr = ELF_GPA, .p_vaddr = ELF_GPA, .p_filesz = sizeof(f), .p_memsz = 0x10000 },
                       { .p_type = PT_NOTE, .p_offset = offsetof(struct elf, note), .p_filesz = sizeof(struct note) } },
                .note = { { 4, 4, 18 }, "Xen", ELF_GPA + offsetof(struct elf, code) },
        };

        memcpy(f.code, code, pvh ? sizeof(pvh_code) : sizeof(linux64_code));
        return f;
}

/* Boots the file with a command line that begins with 'c' and an initrd that begins with 'i', and expects to be told of both. */
static void assert_boots(const void *kernel, size_t len_bytes)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[sizeof(t.path) + 8], initrd[sizeof(t.path) + 8];
        struct boot_config             c = { .kernel = path, .initrd = initrd, .cmdline = "console=ttyS0", .nr_vcpus = 2 };
        struct small_vm               *s;

        snprintf(path, sizeof(path), "%s/kernel", t.path);
        snprintf(initrd, sizeof(initrd), "%s/initrd", t.path);
        tmpdir_write(&t, "kernel", kernel, len_bytes);
        tmpdir_write(&t, "initrd", "initial", 7);
        s = small_vm_boot_file(&c);
        vm_resume(s->vm);
        small_wait_out(s, 2);
        cr_assert_eq(s->out[0], 'c', "found %#x", s->out[0]);
        cr_assert_eq(s->out[1], 'i', "found %#x", s->out[1]);
        small_vm_free(s);
}

static void assert_refused(const void *kernel, size_t len_bytes, const char *text)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[sizeof(t.path) + 8];
        struct boot_config             c = { .kernel = path, .cmdline = "", .nr_vcpus = 1 };
        struct boot_entry              entry;
        struct mem_layout              l;
        struct err                     e = { 0 };

        snprintf(path, sizeof(path), "%s/kernel", t.path);
        tmpdir_write(&t, "kernel", kernel, len_bytes);
        cr_assert_eq(machine_layout(&machine_microvm, SMALL_RAM_BYTES, &l, &e), 0);
        l.ram = small_ram();
        cr_assert_lt(boot_load(&c, &l, &entry, &e), 0);
        cr_assert_not_null(strstr(e.text, path), "the file is named: %s", e.text);
        cr_assert_not_null(strstr(e.text, text), "%s", e.text);
        munmap(l.ram, SMALL_RAM_BYTES);
}

Test(boot, a_flat_image_is_entered_with_zero_page_and_initrd)
{
        assert_boots(linux64_code, sizeof(linux64_code));
}

Test(boot, a_bzimage_is_entered_at_its_64_bit_entry)
{
        struct setup_header h = bz_header();
        struct bzimage      b = bz_image(&h);

        assert_boots(&b, sizeof(b));
}

Test(boot, an_elf_with_a_64_bit_entry_boots)
{
        struct elf f = elf_image(false);

        assert_boots(&f, sizeof(f));
}

Test(boot, an_elf_entry_that_is_virtual_is_translated)
{
        struct elf f = elf_image(false);

        f.p[0].p_vaddr = 0xffffffff81000000;
        f.h.e_entry = 0xffffffff81000000 + offsetof(struct elf, code);
        assert_boots(&f, sizeof(f));
}

Test(boot, an_elf_with_a_pvh_note_is_entered_by_it)
{
        struct elf f = elf_image(true);

        f.h.e_entry = 1; /* not looked at */
        assert_boots(&f, sizeof(f));
}

Test(boot, bzimages_that_lack_what_is_needed_are_refused)
{
        const struct {
                struct setup_header h;
                size_t              len;
                const char         *text;
        } rows[] = {
                { ({ struct setup_header h = bz_header(); h.version = 0x20b; h; }), BZ_BYTES,
                  "offset 518: expected boot protocol 2.12" },
                { ({ struct setup_header h = bz_header(); h.loadflags = 0; h; }), BZ_BYTES, "offset 529: expected a bzImage" },
                { ({ struct setup_header h = bz_header(); h.xloadflags = 0; h; }), BZ_BYTES,
                  "offset 566: expected a kernel with a 64-bit entry" },
                { ({ struct setup_header h = bz_header(); h.jump = 0x20eb; h; }), BZ_BYTES, "offset 566" },
                { ({ struct setup_header h = bz_header(); h.code32_start = 0x7000; h; }), BZ_BYTES, "offset 532" },
                { ({ struct setup_header h = bz_header(); h.init_size = 0x7fffffff; h; }), BZ_BYTES, "to unpack itself" },
                { ({ struct setup_header h = bz_header(); h.code32_start = 0xfff00000; h; }), BZ_BYTES, "expected room for" },
                { ({ struct setup_header h = bz_header(); h.setup_sects = 40; h; }), BZ_BYTES, "it has been cut" },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct bzimage b = bz_image(&rows[i].h);

                assert_refused(&b, rows[i].len, rows[i].text);
        }
}

Test(boot, broken_elfs_are_refused)
{
        struct elf f = elf_image(false);

        f.h.e_machine = EM_AARCH64;
        assert_refused(&f, sizeof(f), "expected a 64-bit little-endian x86-64 ELF");
        f = elf_image(false);
        f.h.e_phnum = 0xffff;
        assert_refused(&f, sizeof(f), "expected 1 to 64 program headers");
        f = elf_image(false);
        f.h.e_phoff = UINT64_MAX - 8;
        assert_refused(&f, sizeof(f), "expected 56 bytes");
        f = elf_image(false);
        f.p[0].p_paddr = SMALL_RAM_BYTES - 0x1000;
        assert_refused(&f, sizeof(f), "expected room for 65536 bytes");
        f = elf_image(false);
        f.p[0].p_paddr = 0x7000;
        assert_refused(&f, sizeof(f), "above 1 MiB");
        f = elf_image(false);
        f.p[0].p_memsz = UINT64_MAX;
        assert_refused(&f, sizeof(f), "expected room");
        f = elf_image(false);
        f.p[0].p_filesz = 0x20000;
        assert_refused(&f, sizeof(f), "expected at most 65536 bytes of file");
        f = elf_image(false);
        f.p[0].p_offset = 0x100000;
        assert_refused(&f, sizeof(f), "offset 1048576: expected");
        f = elf_image(false);
        f.h.e_entry = 0x1234;
        assert_refused(&f, sizeof(f), "expected an entry inside a loaded segment, found 0x1234");
        assert_refused(&f, 20, "expected 64 bytes");
}

Test(boot, notes_that_lie_about_their_length_are_passed_over)
{
        struct elf f = elf_image(true);

        f.note.head.n_namesz = 0xfffffff0;
        f.h.e_entry = 0x1234;
        assert_refused(&f, sizeof(f), "expected an entry inside a loaded segment, found 0x1234");
        f = elf_image(true);
        f.note.head.n_descsz = 0xffffffff;
        f.h.e_entry = 0x1234;
        assert_refused(&f, sizeof(f), "found 0x1234");
}

Test(boot, a_flat_image_that_does_not_fit_is_refused)
{
        size_t   len = SMALL_RAM_BYTES - SMALL_CODE_GPA + 1;
        uint8_t *big = calloc(1, len);

        assert_refused(big, len, "give the VM more memory");
        free(big);
}

Test(boot, what_is_not_a_file_is_refused)
{
        struct boot_config c = { .kernel = "/", .cmdline = "", .nr_vcpus = 1 };
        struct boot_entry  entry;
        struct mem_layout  l;
        struct err         e = { 0 };

        cr_assert_eq(machine_layout(&machine_microvm, SMALL_RAM_BYTES, &l, &e), 0);
        l.ram = small_ram();
        cr_assert_lt(boot_load(&c, &l, &entry, &e), 0);
        cr_assert_not_null(strstr(e.text, "kernel '/': expected a regular file"), "%s", e.text);
        c.kernel = "/nowhere/at/all";
        cr_assert_eq(boot_load(&c, &l, &entry, &e), -ENOENT);
        munmap(l.ram, SMALL_RAM_BYTES);
}

/* What an image sees below 1 MiB. */
static struct mem_layout load_flat(const char *cmdline, uint32_t nr_vcpus, int *ret, struct err *e)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[sizeof(t.path) + 8];
        struct boot_config             c = { .kernel = path, .cmdline = cmdline, .nr_vcpus = nr_vcpus };
        struct boot_entry              entry;
        struct mem_layout              l;

        snprintf(path, sizeof(path), "%s/kernel", t.path);
        tmpdir_write(&t, "kernel", linux64_code, sizeof(linux64_code));
        cr_assert_eq(machine_layout(&machine_microvm, SMALL_RAM_BYTES, &l, e), 0);
        l.ram = small_ram();
        *ret = boot_load(&c, &l, &entry, e);
        return l;
}

Test(boot, the_mp_table_sums_to_zero_and_lists_every_processor)
{
        for (uint32_t nr_vcpus = 1; nr_vcpus <= 16; nr_vcpus++) {
                struct err        e = { 0 };
                int               r;
                struct mem_layout l = load_flat("", nr_vcpus, &r, &e);
                const uint8_t    *p = l.ram + 0x9fc00, *table;
                uint32_t          gpa, cpus = 0;
                uint16_t          len, entries;
                uint8_t           sum = 0;

                cr_assert_eq(r, 0, "%s", e.text);
                cr_assert_eq(memcmp(p, "_MP_", 4), 0);
                for (size_t i = 0; i < 16; i++)
                        sum = (uint8_t)(sum + p[i]);
                cr_assert_eq(sum, 0);
                memcpy(&gpa, p + 4, 4);
                table = l.ram + gpa;
                cr_assert_eq(memcmp(table, "PCMP", 4), 0);
                memcpy(&len, table + 4, 2);
                memcpy(&entries, table + 34, 2);
                for (size_t i = 0; i < len; i++)
                        sum = (uint8_t)(sum + table[i]);
                cr_assert_eq(sum, 0);
                for (const uint8_t *at = table + 44; at < table + len; entries--) {
                        cpus += *at == 0;
                        at += *at == 0 ? 20 : 8;
                }
                cr_assert_eq(entries, 0);
                cr_assert_eq(cpus, nr_vcpus);
                munmap(l.ram, SMALL_RAM_BYTES);
        }
}

Test(boot, the_e820_map_is_stratovirts)
{
        struct err          e = { 0 };
        int                 r;
        struct mem_layout   l = load_flat("", 1, &r, &e);
        struct boot_params *z = (struct boot_params *)(l.ram + 0x7000);

        cr_assert_eq(z->e820_entries, 4);
        cr_assert_eq(z->e820_table[0].size, 0x9fc00);
        cr_assert_eq(z->e820_table[1].type, 2);
        cr_assert_eq(z->e820_table[2].addr, 0xd0000);
        cr_assert_eq(z->e820_table[3].addr, 0x100000);
        cr_assert_eq(z->e820_table[3].size, SMALL_RAM_BYTES - 0x100000);
        cr_assert_eq(z->hdr.type_of_loader, 0xff);
        munmap(l.ram, SMALL_RAM_BYTES);
}

Test(boot, a_command_line_that_is_too_long_is_wrong_usage)
{
        char              line[2049];
        struct err        e = { 0 };
        struct mem_layout l;
        int               r;

        memset(line, 'x', sizeof(line) - 1);
        line[2048] = 0;
        l = load_flat(line, 1, &r, &e);
        cr_assert_eq(r, -EINVAL);
        cr_assert_eq(e.kind, ERR_USAGE);
        munmap(l.ram, SMALL_RAM_BYTES);
}
