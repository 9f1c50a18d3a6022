/* Each try leaves nothing behind. */
#include "core/host_tries.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/uapi.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif
#define NR_CACHESTAT 451

static int try_open(const char *path, int flags)
{
        _cleanup_close_ int fd = open(path, flags | O_CLOEXEC);

        return fd < 0 ? errno : 0;
}

/* Of a file of our own: of others' it may be refused (Linux 6.14). */
static int try_cachestat(void)
{
        _cleanup_close_ int fd = memfd_create("rouse-probe", MFD_CLOEXEC);
        uint64_t range[2] = {0, PAGE_BYTES}, is[5];

        if (fd < 0)
                return errno;
        return syscall(NR_CACHESTAT, fd, range, is, 0) < 0 ? errno : 0;
}

/* include/uapi/linux/fs.h of Linux 6.7 */
struct pm_scan_arg {
        uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask,
                 category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_PRESENT    (1ULL << 3)

static int try_pagemap_scan(void *page)
{
        _cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        uint64_t region[3];
        struct pm_scan_arg a = {.size = sizeof(a), .start = (uintptr_t)page, .end = (uintptr_t)page + PAGE_BYTES,
                                .vec = (uintptr_t)region, .vec_len = 1,
                                .category_mask = PAGE_IS_PRESENT, .return_mask = PAGE_IS_PRESENT};

        if (fd < 0)
                return errno;
        return ioctl(fd, PAGEMAP_SCAN_IOCTL, &a) < 0 ? errno : 0;
}

/* r0 = 0; exit */
static int try_bpf(void)
{
        static const struct bpf_insn program[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
        union bpf_attr a;
        long fd;

        memset(&a, 0, sizeof(a));
        a.prog_type = BPF_PROG_TYPE_TRACEPOINT;
        a.insns = (uintptr_t)program;
        a.insn_cnt = ARRAY_LEN(program);
        a.license = (uintptr_t)"GPL";
        fd = syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
        if (fd < 0)
                return errno;
        close((int)fd);
        return 0;
}

/* Of the kernel's own description of its types only the names are looked through: who parses it is rouse-trace. */
static int try_kvm_event(void)
{
        static const char name[] = "btf_trace_kvm_mmu_spte_requested",
                          *const files[] = {"/sys/kernel/btf/kvm", "/sys/kernel/btf/vmlinux"};
        int error = ENOENT;

        for (size_t i = 0; i < ARRAY_LEN(files) && error; i++) {
                _cleanup_close_ int fd = open(files[i], O_RDONLY | O_CLOEXEC);
                _cleanup_free_ void *bytes = NULL;
                size_t len;

                if (fd < 0 || fd_read_all(fd, 64 * MIB, &bytes, &len) < 0)
                        continue;
                error = memmem(bytes, len, name, sizeof(name)) ? 0 : EOPNOTSUPP;
        }
        return error;
}

void host_try(struct host_tries *ret)
{
        void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        bool have = page != MAP_FAILED;

        *ret = (struct host_tries){
                .uffd_device = try_open("/dev/userfaultfd", O_RDWR),
                .cachestat = try_cachestat(),
                .populate = !have ? ENOMEM : madvise(page, PAGE_BYTES, MADV_POPULATE_WRITE) < 0 ? errno : 0,
                .pagemap_scan = have ? try_pagemap_scan(page) : ENOMEM,
                .collapse = madvise(NULL, 0, MADV_COLLAPSE) < 0 ? errno : 0, /* of nothing: only whether it is known */
                .bpf_load = try_bpf(),
                .kvm_event = try_kvm_event(),
        };
        if (have)
                munmap(page, PAGE_BYTES);
}
