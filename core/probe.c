/* Probes the host once into a value; decisions read its fields. */
#include "core/probe.h"

#include "core/base/uapi.h"
#include "core/host_files.h"
#include "core/host_read.h"
#include "core/huge_pool.h"
#include "kvm/vm.h"
#include "uffd/uffd.h"
#include "uffd/uring_probe.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

void host_probe(struct host_caps *ret)
{
        cpu_set_t cpus;
        int64_t maps;

        *ret = (struct host_caps){0};
        kvm_probe(ret);
        uffd_probe(ret);
        ret->io_uring = true; /* the pager's own ring tells, and costs nothing extra: see host_probe_all for a true answer */
        ret->nr_cpus = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (uint32_t)CPU_COUNT(&cpus) : 1;
        maps = host_read_number("", "/proc/sys/vm/max_map_count");
        ret->max_map_count = maps > 0 ? (uint64_t)maps : 65530; /* mm/util.c: the kernel's own default */
        ret->madv_collapse = madvise(NULL, 0, MADV_COLLAPSE) == 0; /* of nothing: only whether it is known */
}

void host_probe_files(struct host_caps *ret, struct host_files *ret_files)
{
        host_probe(ret);
        uring_probe(ret);
        host_files_read("", ret_files);
        snprintf(ret->thp, sizeof(ret->thp), "%.15s", ret_files->thp[0] ? ret_files->thp : "never");
        snprintf(ret->cpu, sizeof(ret->cpu), "%s", ret_files->cpu);
        snprintf(ret->microcode, sizeof(ret->microcode), "%.23s", ret_files->microcode);
        snprintf(ret->kernel, sizeof(ret->kernel), "%s", ret_files->release);
        ret->ram_bytes = ret_files->total_bytes > 0 ? (uint64_t)ret_files->total_bytes : 0;
        ret->huge_2m_free = huge_pool_to_be_had();
        ret->cgroup_version = ret_files->cgroup_version;
}

void host_probe_all(struct host_caps *ret)
{
        struct host_files files;

        host_probe_files(ret, &files);
}

static int explain_kvm(const struct host_caps *c, struct err *e)
{
        if (c->kvm_errno == ENOENT || c->kvm_errno == ENXIO || c->kvm_errno == ENODEV)
                return err_host(e, -c->kvm_errno, "/dev/kvm: %s; rouse needs KVM: modprobe kvm_intel or kvm_amd, enable "
                                "virtualization in the firmware, or nested virtualization in the host above",
                                strerror(c->kvm_errno));
        if (c->kvm_errno == EACCES || c->kvm_errno == EPERM)
                return err_host(e, -c->kvm_errno, "/dev/kvm: %s; join its group: usermod -aG kvm $USER, and log in again",
                                strerror(c->kvm_errno));
        return err_host(e, -c->kvm_errno, "/dev/kvm: expected KVM API version 12, found %d (%s)", c->kvm_api_version,
                        strerror(c->kvm_errno));
}

static int explain_uffd(const struct host_caps *c, struct err *e)
{
        if (c->uffd_errno == ENOSYS)
                return err_host(e, -ENOSYS, "userfaultfd: this kernel has none (CONFIG_USERFAULTFD); use --mode mmap or eager");
        return err_host(e, -c->uffd_errno,
                        "userfaultfd: %s; a lazy restore needs it: setfacl -m u:$USER:rw /dev/userfaultfd, or sysctl -w "
                        "vm.unprivileged_userfaultfd=1, or use --mode mmap or eager", strerror(c->uffd_errno));
}

int host_require(const struct host_caps *c, bool uffd, struct err *e)
{
        if (c->kvm_errno)
                return explain_kvm(c, e);
        return uffd && c->uffd_way == UFFD_WAY_NONE ? explain_uffd(c, e) : 0;
}
