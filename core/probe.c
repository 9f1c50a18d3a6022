/* Probes the host once into a value; decisions read its fields. */
#include "core/probe.h"

#include "core/base/cleanup.h"
#include "core/base/uapi.h"
#include "core/base/units.h"
#include "core/huge_pool.h"
#include "kvm/vm.h"
#include "uffd/uffd.h"
#include "uffd/uring_probe.h"

#include <cpuid.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>

/* The first line of a file of /proc or /sys, without its newline; false if there is none. */
static bool read_line(const char *path, char *ret, int size)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");

        if (!f || !fgets(ret, size, f))
                return false;
        ret[strcspn(ret, "\n")] = 0;
        return true;
}

static uint64_t read_number(const char *path, uint64_t otherwise)
{
        char line[64];

        return read_line(path, line, sizeof(line)) ? strtoull(line, NULL, 10) : otherwise;
}

void host_probe(struct host_caps *ret)
{
        cpu_set_t cpus;

        *ret = (struct host_caps){0};
        kvm_probe(ret);
        uffd_probe(ret);
        ret->io_uring = true; /* the pager's own ring tells, and costs nothing extra: see host_probe_all for a true answer */
        ret->nr_cpus = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (uint32_t)CPU_COUNT(&cpus) : 1;
        ret->max_map_count = read_number("/proc/sys/vm/max_map_count", 65530);
        ret->madv_collapse = madvise(NULL, 0, MADV_COLLAPSE) == 0; /* of nothing: only whether it is known */
}

/* "always [madvise] never" -> "madvise" */
static void probe_thp(struct host_caps *c)
{
        char line[64], *from, *to;

        snprintf(c->thp, sizeof(c->thp), "never");
        if (!read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line)))
                return;
        from = strchr(line, '[');
        to = from ? strchr(from, ']') : NULL;
        if (to)
                snprintf(c->thp, sizeof(c->thp), "%.*s", (int)(to - from - 1), from + 1);
}

static void probe_cpu(struct host_caps *c)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/cpuinfo", "re");
        char line[256];
        uint32_t a, b, cx = 0, d;

        while (f && fgets(line, sizeof(line), f)) {
                char *value = strchr(line, ':');

                line[strcspn(line, "\n")] = 0;
                if (!value || !value[1])
                        continue;
                if (strncmp(line, "model name", 10) == 0 && !c->cpu[0])
                        snprintf(c->cpu, sizeof(c->cpu), "%.63s", value + 2);
                if (strncmp(line, "microcode", 9) == 0 && !c->microcode[0])
                        snprintf(c->microcode, sizeof(c->microcode), "%.23s", value + 2);
        }
        /* VMX: leaf 1 ECX bit 5 (Intel SDM); SVM: leaf 0x80000001 ECX bit 2 (AMD APM). Neither: KVM runs by other means. */
        c->nested_or_software = true;
        if (__get_cpuid(1, &a, &b, &cx, &d) && (cx & 1u << 5))
                c->nested_or_software = false;
        if (__get_cpuid(0x80000001, &a, &b, &cx, &d) && (cx & 1u << 2))
                c->nested_or_software = false;
}

static void probe_memory(struct host_caps *c)
{
        c->ram_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
        c->huge_2m_free = huge_pool_to_be_had();
}

static int cgroup_version(void)
{
        struct stat st;

        if (stat("/sys/fs/cgroup/cgroup.controllers", &st) == 0)
                return 2;
        return stat("/sys/fs/cgroup/memory", &st) == 0 ? 1 : 0;
}

void host_probe_all(struct host_caps *ret)
{
        struct utsname u;

        host_probe(ret);
        uring_probe(ret);
        probe_thp(ret);
        probe_cpu(ret);
        probe_memory(ret);
        ret->cgroup_version = cgroup_version();
        if (uname(&u) == 0)
                snprintf(ret->kernel, sizeof(ret->kernel), "%.63s", u.release);
}

static int explain_kvm(const struct host_caps *c, struct err *e)
{
        if (c->kvm_errno == ENOENT || c->kvm_errno == ENXIO || c->kvm_errno == ENODEV)
                return err_host(e, -c->kvm_errno, "/dev/kvm: %s; rouse needs KVM: modprobe kvm_intel or kvm_amd, enable virtualization in the firmware, or "
                                "nested virtualization in the host above", strerror(c->kvm_errno));
        if (c->kvm_errno == EACCES || c->kvm_errno == EPERM)
                return err_host(e, -c->kvm_errno, "/dev/kvm: %s; join its group: usermod -aG kvm $USER, and log in again", strerror(c->kvm_errno));
        return err_host(e, -c->kvm_errno, "/dev/kvm: expected KVM API version 12, found %d (%s)", c->kvm_api_version, strerror(c->kvm_errno));
}

static int explain_uffd(const struct host_caps *c, struct err *e)
{
        if (c->uffd_errno == ENOSYS)
                return err_host(e, -ENOSYS, "userfaultfd: this kernel has none (CONFIG_USERFAULTFD); use --mode mmap or eager");
        return err_host(e, -c->uffd_errno, "userfaultfd: %s; a lazy restore needs it: setfacl -m u:$USER:rw /dev/userfaultfd, or sysctl -w "
                        "vm.unprivileged_userfaultfd=1, or use --mode mmap or eager", strerror(c->uffd_errno));
}

int host_require(const struct host_caps *c, bool uffd, struct err *e)
{
        if (c->kvm_errno)
                return explain_kvm(c, e);
        return uffd && c->uffd_way == UFFD_WAY_NONE ? explain_uffd(c, e) : 0;
}
