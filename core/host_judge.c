/* What is good and what is not, of this host. */
#include "core/host_judge.h"

#include "core/base/units.h"
#include "uffd/read_pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CAP_IPC_LOCK_BIT   14 /* include/uapi/linux/capability.h */
#define CAP_SYS_PTRACE_BIT 19
#define CAP_SYS_ADMIN_BIT  21
#define CAP_PERFMON_BIT    38
#define CAP_BPF_BIT        39

static bool has_capability(const struct host_look *h, int bit)
{
        return h->files.capabilities >> bit & 1;
}

static bool is_one_of(const char *word, const char *const *list, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                if (strcmp(word, list[i]) == 0)
                        return true;
        return false;
}

/* --- KVM --- */

static bool module_is(const struct host_look *h, const char *name)
{
        return strcmp(h->files.kvm_module, name) == 0;
}

void judge_kvm(const struct host_look *h, struct host_fact *f)
{
        if (h->caps.kvm_errno == 0) {
                fact_number(f, h->caps.kvm_api_version);
                f->state = FACT_OK;
                return;
        }
        fact_text(f, false, "%s", strerror(h->caps.kvm_errno));
        if (h->caps.kvm_errno == EACCES || h->caps.kvm_errno == EPERM) {
                fact_mend(f, "setfacl -m u:%" PRId64 ":rw /dev/kvm", h->files.uid);
                f->advice = "for good: usermod -aG kvm, and log in again";
        } else {
                fact_mend(f, "modprobe %s", h->files.vmx ? "kvm_intel" : h->files.svm ? "kvm_amd" : "-a kvm_intel kvm_amd");
        }
}

/* The kernel clears vmx and svm where the firmware has disabled them (Linux 5.6). Nested: the CPU says that a hypervisor is
 * below. Where neither is to be seen but a module drives KVM, it does so by other means. */
void judge_virtualization(const struct host_look *h, struct host_fact *f)
{
        if (h->files.vmx || h->files.svm)
                fact_text(f, !h->files.hypervisor, h->files.hypervisor ? "nested" : "hardware");
        else
                fact_text(f, false, h->files.kvm_module[0] || h->caps.kvm_errno == 0 ? "software" : "none");
}

void judge_extension(const struct host_look *h, struct host_fact *f)
{
        fact_text(f, true, h->files.vmx ? "vmx" : h->files.svm ? "svm" : "none");
}

void judge_kvm_module(const struct host_look *h, struct host_fact *f)
{
        if (h->files.kvm_module[0])
                fact_text(f, true, "%s", h->files.kvm_module);
        else
                fact_unknown(f, "none in /sys/module");
}

void judge_second_level(const struct host_look *h, struct host_fact *f)
{
        const char *v = module_is(h, "kvm_intel") ? h->files.ept : module_is(h, "kvm_amd") ? h->files.npt : "";

        if (!v[0])
                fact_unknown(f, "%s does not tell", h->files.kvm_module[0] ? h->files.kvm_module : "no module");
        else
                fact_flag(f, v[0] == 'Y' || v[0] == '1');
        if (v[0])
                fact_mend(f, "modprobe -r %s && modprobe %s %s=1", h->files.kvm_module, h->files.kvm_module,
                          module_is(h, "kvm_intel") ? "ept" : "npt");
}

/* It has a say only with second-level paging. */
void judge_tdp_mmu(const struct host_look *h, struct host_fact *f)
{
        struct host_fact paging = {0};

        judge_second_level(h, &paging);
        if (!h->files.tdp_mmu[0])
                fact_unknown(f, "no such parameter");
        else if (paging.state != FACT_OK)
                fact_unknown(f, "only with second_level_paging");
        else
                fact_flag(f, h->files.tdp_mmu[0] == 'Y');
}

void judge_nx_huge_pages(const struct host_look *h, struct host_fact *f)
{
        if (!h->files.nx_huge_pages[0])
                fact_unknown(f, "no such parameter");
        else
                fact_text(f, h->files.nx_huge_pages[0] != 'Y' &&
                          strcmp(h->files.nx_huge_pages, "force") != 0, "%s", h->files.nx_huge_pages);
}

void judge_enable_virt(const struct host_look *h, struct host_fact *f)
{
        if (!h->files.enable_virt_at_load[0])
                fact_unknown(f, "no such parameter (Linux 6.12 has it)");
        else
                fact_flag(f, h->files.enable_virt_at_load[0] == 'Y');
}

/* --- userfaultfd, the kernel --- */

static void mend_device(const struct host_look *h, struct host_fact *f)
{
        fact_mend(f, "setfacl -m u:%" PRId64 ":rw /dev/userfaultfd", h->files.uid);
}

void judge_uffd(const struct host_look *h, struct host_fact *f)
{
        switch (h->caps.uffd_way) {
        case UFFD_WAY_DEVICE:
                fact_text(f, true, "/dev/userfaultfd");
                return;
        case UFFD_WAY_SYSCALL:
                fact_text(f, true, "userfaultfd(2)");
                return;
        case UFFD_WAY_NONE:
                break;
        }
        fact_text(f, false, "%s", strerror(h->caps.uffd_errno));
        if (h->tries.uffd_device == EACCES || h->tries.uffd_device == EPERM) {
                mend_device(h, f);
                f->advice = "or, for everybody: sysctl -w vm.unprivileged_userfaultfd=1";
        } else if (h->caps.uffd_errno != ENOSYS) /* no device before Linux 6.1; without the system call no permission helps */
                fact_mend(f, "sysctl -w vm.unprivileged_userfaultfd=1");
}

/* Without the device the system call may do: then it is no lack. */
void judge_uffd_device(const struct host_look *h, struct host_fact *f)
{
        fact_try(f, h->tries.uffd_device);
        if (h->tries.uffd_device == EACCES || h->tries.uffd_device == EPERM)
                mend_device(h, f);
        if (h->tries.uffd_device && h->caps.uffd_way == UFFD_WAY_SYSCALL)
                f->state = FACT_INFO;
}

void judge_sys_ptrace(const struct host_look *h, struct host_fact *f)
{
        fact_flag(f, has_capability(h, CAP_SYS_PTRACE_BIT));
}

void judge_uffd_features(const struct host_look *h, struct host_fact *f)
{
        fact_number(f, (int64_t)h->caps.uffd_features);
        snprintf(f->text, sizeof(f->text), "%#" PRIx64, h->caps.uffd_features);
}

void judge_io_uring(const struct host_look *h, struct host_fact *f)
{
        fact_try(f, h->caps.io_uring ? 0 : h->caps.io_uring_errno);
        /* then it is a seccomp filter, as of a container, or the kernel */
        if (!h->caps.io_uring && h->files.io_uring_disabled <= 0)
                fact_mend(f, "%s", "");
}

/* --- memory --- */

void judge_available(const struct host_look *h, struct host_fact *f)
{
        fact_bytes(f, h->files.available_bytes);
        if (f->kind == FACT_NUMBER)
                f->state = fact_good_if(h->files.available_bytes >= h->files.total_bytes / 10);
}

void judge_max_map_count(const struct host_look *h, struct host_fact *f)
{
        fact_number(f, h->files.max_map_count);
        if (f->kind == FACT_NUMBER)
                f->state = fact_good_if(h->files.max_map_count >= 65530); /* the kernel's own default */
}

/* The pager's buffer for cold reads, registered with io_uring. Whoever has CAP_IPC_LOCK is not counted; of everybody else the
 * kernel counts all that the user's processes have registered. */
void judge_memlock(const struct host_look *h, struct host_fact *f)
{
        fact_bytes(f, h->files.memlock_bytes);
        if (f->kind == FACT_NUMBER)
                f->state = fact_good_if((uint64_t)h->files.memlock_bytes >= pages_to_bytes(READ_POOL_PAGES) || has_capability(h, CAP_IPC_LOCK_BIT));
}

void judge_overcommit(const struct host_look *h, struct host_fact *f)
{
        fact_number(f, h->files.overcommit_memory);
        if (f->kind == FACT_NUMBER)
                f->state = fact_good_if(h->files.overcommit_memory != 2);
}

/* A restored guest's cold pages may go there: as swap that is slower than the snapshot's file. */
void judge_swap(const struct host_look *h, struct host_fact *f)
{
        fact_bytes(f, h->files.swap_total_bytes);
        if (f->kind != FACT_NUMBER)
                return;
        f->state = FACT_INFO;
        if (h->files.swap_total_bytes == 0)
                snprintf(f->text, sizeof(f->text), "none");
        else if (h->files.swap_on_zram)
                strncat(f->text, ", zram", sizeof(f->text) - strlen(f->text) - 1);
}

/* Off, or one node: nothing to move. */
void judge_numa(const struct host_look *h, struct host_fact *f)
{
        fact_number(f, h->files.numa_balancing);
        if (f->kind == FACT_NUMBER)
                f->state = fact_good_if(h->files.numa_balancing == 0 || h->files.nr_nodes < 2);
}

/* --- huge pages --- */

void judge_thp(const struct host_look *h, struct host_fact *f)
{
        fact_text(f, h->files.thp[0] &&
                  strcmp(h->files.thp, "never") != 0, "%s", h->files.thp[0] ? h->files.thp : "none in this kernel");
}

/* For ranges with MADV_HUGEPAGE, which is what rouse asks for: "defer" and "never" do not make room for them when they are
 * touched. */
void judge_thp_defrag(const struct host_look *h, struct host_fact *f)
{
        static const char *const prompt[] = {"always", "madvise", "defer+madvise"};

        if (h->files.thp_defrag[0])
                fact_text(f, is_one_of(h->files.thp_defrag, prompt, ARRAY_LEN(prompt)), "%s", h->files.thp_defrag);
        else
                fact_unknown(f, "no transparent huge pages in this kernel");
}

static void judge_pool(struct host_fact *f, int64_t all, int64_t idle, int64_t reserved)
{
        int64_t left = idle > reserved ? idle - reserved : 0;

        if (all == HOST_UNKNOWN || idle == HOST_UNKNOWN || reserved == HOST_UNKNOWN) {
                fact_unknown(f, "no such pages on this host");
                return;
        }
        fact_number(f, left);
        snprintf(f->text, sizeof(f->text), "%" PRId64 " free of %" PRId64, left, all);
        f->state = FACT_INFO;
}

void judge_pool_2m(const struct host_look *h, struct host_fact *f)
{
        judge_pool(f, h->files.huge_2m, h->files.huge_2m_free, h->files.huge_2m_reserved);
}

void judge_pool_1g(const struct host_look *h, struct host_fact *f)
{
        judge_pool(f, h->files.huge_1g, h->files.huge_1g_free, h->files.huge_1g_reserved);
}

/* --- the CPU --- */

void judge_microcode(const struct host_look *h, struct host_fact *f)
{
        if (h->files.microcode[0])
                fact_text(f, strncmp(h->files.mitigations[MITIGATION_OLD_MICROCODE], "Vulnerable", 10) != 0, "%s",
                          h->files.microcode);
        else
                fact_unknown(f, "not in /proc/cpuinfo");
}

void judge_cpus(const struct host_look *h, struct host_fact *f)
{
        fact_number(f, h->caps.nr_cpus);
        f->state = fact_good_if(h->caps.nr_cpus > 1);
}

void judge_governor(const struct host_look *h, struct host_fact *f)
{
        static const char *const fast[] = {"performance", "schedutil"};

        if (h->files.governors[0])
                fact_text(f, is_one_of(h->files.governors, fast, ARRAY_LEN(fast)), "%s", h->files.governors);
        else
                fact_unknown(f, "none: the host above or the firmware decides");
}

#define IDLE_LATENCY_US 100 /* arbitrary: several times a fault that is answered */

void judge_idle(const struct host_look *h, struct host_fact *f)
{
        if (h->files.idle_latency_us == HOST_UNKNOWN) {
                fact_unknown(f, "none: the host above or the firmware decides");
                return;
        }
        fact_number(f, h->files.idle_latency_us);
        f->state = fact_good_if(h->files.idle_latency_us <= IDLE_LATENCY_US);
        fact_mend(f, "cpupower idle-set -D %d", IDLE_LATENCY_US);
}

/* Those that clock_gettime reads without a system call (arch/x86/include/asm/vdso/clocksource.h). */
void judge_clocksource(const struct host_look *h, struct host_fact *f)
{
        static const char *const cheap[] = {"tsc", "tsc-early", "kvm-clock", "hyperv_clocksource_tsc_page"};

        if (h->files.clocksource[0])
                fact_text(f, is_one_of(h->files.clocksource, cheap, ARRAY_LEN(cheap)), "%s", h->files.clocksource);
        else
                fact_unknown(f, "not in /sys");
}

void judge_tsc(const struct host_look *h, struct host_fact *f)
{
        fact_flag(f, h->files.constant_tsc && h->files.nonstop_tsc);
}

/* --- mitigations: the kernel says what it does; what counts is what it does on the way into a guest and out of it --- */

static void judge_mitigation(const struct host_look *h, struct host_fact *f, enum host_mitigation which, const char *const *slow,
                             size_t nr)
{
        const char *v = h->files.mitigations[which];

        if (!v[0]) {
                fact_unknown(f, "this kernel does not know of it");
                return;
        }
        fact_text(f, true, "%s", v);
        for (size_t i = 0; i < nr; i++)
                if (strstr(v, slow[i]))
                        f->state = FACT_SLOW;
        /* "Vulnerable: Clear CPU buffers attempted, no microcode" clears them all the same. */
}

#define MITIGATION(name, which, ...)                                         \
        void judge_##name(const struct host_look *h, struct host_fact *f)    \
        {                                                                    \
                static const char *const slow[] = {__VA_ARGS__};             \
                                                                             \
                judge_mitigation(h, f, which, slow, ARRAY_LEN(slow));        \
        }

MITIGATION(l1tf, MITIGATION_L1TF, "VMX: conditional cache flushes", "VMX: cache flushes")
MITIGATION(mds, MITIGATION_MDS, "Clear CPU buffers")
MITIGATION(mmio_stale_data, MITIGATION_MMIO_STALE_DATA, "Clear CPU buffers")
MITIGATION(tsa, MITIGATION_TSA, "Clear CPU buffers")
MITIGATION(retbleed, MITIGATION_RETBLEED, "IBPB", "Mitigation: IBRS")
MITIGATION(srso, MITIGATION_SRSO, "IBPB")
MITIGATION(spectre_v2, MITIGATION_SPECTRE_V2, "Mitigation: IBRS", "IBPB: always-on")
MITIGATION(vmscape, MITIGATION_VMSCAPE, "IBPB")
MITIGATION(meltdown, MITIGATION_MELTDOWN, "PTI")
MITIGATION(itlb_multihit, MITIGATION_ITLB_MULTIHIT, "Split huge pages")

/* --- BPF --- */

void judge_bpf_load(const struct host_look *h, struct host_fact *f)
{
        fact_try(f, h->tries.bpf_load);
}

/* CAP_BPF and CAP_PERFMON (Linux 5.8) are the two parts of CAP_SYS_ADMIN that tracing takes. */
void judge_bpf_caps(const struct host_look *h, struct host_fact *f)
{
        fact_flag(f, has_capability(h, CAP_SYS_ADMIN_BIT) ||
                  (has_capability(h, CAP_BPF_BIT) && has_capability(h, CAP_PERFMON_BIT)));
}

void judge_kvm_event(const struct host_look *h, struct host_fact *f)
{
        fact_try(f, h->tries.kvm_event);
        if (h->tries.kvm_event && h->caps.kvm_errno == ENOENT) /* its module is not there: nor are its types */
                fact_unknown(f, "no KVM to ask");
}

void judge_lockdown(const struct host_look *h, struct host_fact *f)
{
        if (h->files.lockdown[0])
                fact_text(f, strcmp(h->files.lockdown, "confidentiality") != 0, "%s", h->files.lockdown);
        else
                fact_text(f, true, "none");
}
