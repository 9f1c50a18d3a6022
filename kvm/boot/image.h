/* kvm/boot/image.h: a kernel file, and what each loader makes of it in guest RAM.
 * Owns:    boot_file owns its descriptor; boot_image nothing.
 * Threads: session thread.
 * Blocks:  reads the file. */
#pragma once

#include "kvm/boot/boot.h"

#include <asm/bootparam.h>
#include <stdbool.h>

/* Below lie the boot structures (map.h); no image may reach into them. */
#define BOOT_IMAGE_MIN MIB

/* Where an initrd ends at the latest when the kernel does not say (Linux: initrd_addr_max of kernels before 2.03). */
#define BOOT_INITRD_MAX 0x37ffffffULL

struct boot_file {
        const char *path;
        int         fd; /* -1: none */
        uint64_t    size_bytes;
};

struct boot_image {
        enum boot_protocol  protocol;
        gpa_t               entry;
        gpa_t               start, end; /* what must stay free for the kernel */
        gpa_t               initrd_max; /* last address an initrd may take */
        uint32_t            cmdline_max_bytes; /* without the NUL */
        struct setup_header header; /* for the zero page; all zeros but what the protocol needs where the image has none */
};

/* A regular file that is not empty, open for reading. `what` is how messages call it ("kernel"). */
int  boot_file_open(const char *what, const char *path, struct boot_file *ret, struct err *e);
void boot_file_close(struct boot_file *f);
#define _cleanup_boot_file_ __attribute__((cleanup(boot_file_close)))

/* All len_bytes of it. -ENOEXEC: the file ends before; -EIO: it was cut since it was opened. */
int boot_file_read(const struct boot_file *f, uint64_t offset_bytes, void *buf, uint64_t len_bytes, struct err *e);
/* The same, into guest RAM; below BOOT_IMAGE_MIN or outside RAM is an error that says so. */
int boot_file_to_ram(const struct boot_file *f, uint64_t offset_bytes, const struct mem_layout *l, gpa_t gpa, uint64_t len_bytes,
                     struct err *e);

/* Is it mine? By the file's first bytes; 1, 0 or -errno. */
int elf_probe(const struct boot_file *f, struct err *e);
int bzimage_probe(const struct boot_file *f, struct err *e);

/* Into RAM, and what the guest must be entered with. Only after its probe said yes; flat takes whatever is left. -ENOEXEC: the file
 * contradicts itself, or does not fit RAM; the message says where. */
int flat_load(const struct boot_file *f, const struct mem_layout *l, struct boot_image *ret, struct err *e);
int elf_load(const struct boot_file *f, const struct mem_layout *l, struct boot_image *ret, struct err *e);
int bzimage_load(const struct boot_file *f, const struct mem_layout *l, struct boot_image *ret, struct err *e);
