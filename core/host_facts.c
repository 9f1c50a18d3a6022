/* The table of facts. A cost has a figure only where it was measured; elsewhere words. */
#include "core/host_facts.h"

#include "core/base/units.h"
#include "core/host_judge.h"
#include "core/probe.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* How a row gets its value: by a function, or from a field of struct host_look. */
enum how { JUDGED, CAP, TRY, NUMBER, NUMBER32, BYTES, WORD };
/* Without it the value cannot be told. */
enum needs { NOTHING, KVM, UFFD };

struct row {
        const char     *key;
        enum how        how;
        size_t          at;
        host_judge     *judge;
        enum needs      needs;
        enum fact_state bad; /* FACT_SLOW, FACT_LACK, or FACT_INFO: never bad */
        int             weight;
        const char     *cost, *command, *advice;
};

#define FIELD(f)  .at = offsetof(struct host_look, f)
#define BY(f)     .how = JUDGED, .judge = (f)
#define SLOWS(w)  .bad = FACT_SLOW, .weight = (w)
#define LACKS(w)  .bad = FACT_LACK, .weight = (w)
#define TELLS     .bad = FACT_INFO
#define LINUX(v)  "Linux " v " or newer (Debian 12: apt install -t bookworm-backports linux-image-amd64)"
#define TRUSTING  ", only where every guest is trusted"

#define WEIGHT_ALL 9 /* nothing works without it */

static const struct row rows[] = {
        /* --- KVM --- */
        { "kvm.api", BY(judge_kvm), LACKS(WEIGHT_ALL), .cost = "rouse cannot run or restore anything",
          .advice = "enable virtualization in the firmware, or nested virtualization in the host above" },
        { "kvm.virtualization", BY(judge_virtualization), SLOWS(8), .cost = "every fault and exit of a guest costs several times what it costs on bare hardware",
          .advice = "a host whose CPU shows VMX or SVM and no hypervisor below: bare metal" },
        { "kvm.extension", BY(judge_extension), TELLS },
        { "kvm.module", BY(judge_kvm_module), TELLS },
        { "kvm.second_level_paging", BY(judge_second_level), SLOWS(7),
          .cost = "shadow page tables: the guest's own changes to its page tables are exits, and its pages are faulted in once per page table",
          .advice = "a CPU with EPT or NPT, and its module's ept=1 or npt=1" },
        { "kvm.tdp_mmu", BY(judge_tdp_mmu), SLOWS(4), .cost = "vCPUs that fault at the same time wait for one lock",
          .command = "modprobe -r kvm_intel kvm_amd kvm; modprobe kvm tdp_mmu=1" },
        { "kvm.nx_huge_pages", BY(judge_nx_huge_pages), SLOWS(4),
          .cost = "code in huge pages is split: a fault per 4 KiB that the guest executes; and each VM gets a thread more",
          .command = "echo never > /sys/module/kvm/parameters/nx_huge_pages", .advice = "(CVE-2018-12207) only on CPUs that are not affected, or where every guest is trusted" },
        { "kvm.enable_virt_at_load", BY(judge_enable_virt), SLOWS(2), .cost = "the first VM on the host waits until every CPU has switched virtualization on",
          .advice = "kvm.enable_virt_at_load=1 on the kernel's command line" },
        { "kvm.halt_poll_ns", .how = NUMBER, FIELD(files.halt_poll_ns), TELLS },
        { "kvm.immediate_exit", .how = CAP, FIELD(caps.kvm_immediate_exit), .needs = KVM, LACKS(8), .cost = "rouse cannot restore: a vCPU could not be paused at a known place",
          .advice = LINUX("4.13") },
        { "kvm.pre_fault", .how = CAP, FIELD(caps.kvm_pre_fault), .needs = KVM, TELLS, .cost = "nothing yet: rouse leaves the guest's page tables to its faults" },
        { "kvm.async_pf", .how = CAP, FIELD(caps.kvm_async_pf), .needs = KVM, SLOWS(3), .cost = "a guest whose task waits for a page cannot run another one meanwhile",
          .advice = "a kernel with CONFIG_KVM_ASYNC_PF" },
        { "kvm.dirty_ring", .how = CAP, FIELD(caps.kvm_dirty_ring), .needs = KVM, TELLS, .cost = "nothing: --track-dirty reads the dirty log" },
        { "kvm.hlt_in_guest", .how = CAP, FIELD(caps.kvm_hlt_in_guest), .needs = KVM, LACKS(2),
          .cost = "restore --record cannot tell every read from a write: KVM's workers take faults for the guest", .advice = LINUX("4.17") },
        { "kvm.tsc_scaling", .how = CAP, FIELD(caps.kvm_tsc_control), .needs = KVM, LACKS(2),
          .cost = "a guest from a host with another TSC frequency keeps time by this host's, which it does not know",
          .advice = "restore on a host of the same TSC frequency" },
        { "kvm.nested_state", .how = CAP, FIELD(caps.kvm_nested_state), .needs = KVM, LACKS(1), .cost = "the snapshot of a guest that runs guests is refused",
          .advice = "nested=1 for kvm_intel or kvm_amd, where KVM stands on one of them" },
        { "kvm.xsave_bytes", .how = NUMBER32, FIELD(caps.kvm_xsave_bytes), .needs = KVM, TELLS },
        { "kvm.max_vcpus", .how = NUMBER32, FIELD(caps.kvm_max_vcpus), .needs = KVM, TELLS },
        { "kvm.max_memslots", .how = NUMBER32, FIELD(caps.kvm_max_memslots), .needs = KVM, TELLS },
        /* --- userfaultfd --- */
        { "userfaultfd.way", BY(judge_uffd), LACKS(WEIGHT_ALL), .cost = "no lazy restore, no hints; --mode mmap and eager work", .advice = "needs a kernel with CONFIG_USERFAULTFD" },
        { "userfaultfd.device", BY(judge_uffd_device), LACKS(3), .cost = "userfaultfd hangs on CAP_SYS_PTRACE or on a sysctl that opens it to everybody" },
        { "userfaultfd.unprivileged", .how = NUMBER, FIELD(files.unprivileged_userfaultfd), TELLS },
        { "userfaultfd.sys_ptrace", BY(judge_sys_ptrace), TELLS },
        { "userfaultfd.features", BY(judge_uffd_features), .needs = UFFD, TELLS },
        { "userfaultfd.poison", .how = CAP, FIELD(caps.uffd_poison), .needs = UFFD, LACKS(2),
          .cost = "a page that is lost stops the VM before its fault is answered, also where only one process of the guest asked for it", .advice = LINUX("6.6") },
        { "userfaultfd.move", .how = CAP, FIELD(caps.uffd_move), .needs = UFFD, SLOWS(2), .cost = "pages that are read from the disk or unpacked are copied once more",
          .advice = LINUX("6.8") },
        { "userfaultfd.minor_shmem", .how = CAP, FIELD(caps.uffd_minor_shmem), .needs = UFFD, LACKS(3), .cost = "--mode shared is refused: clones cannot share memory",
          .advice = LINUX("5.14") },
        { "userfaultfd.minor_hugetlb", .how = CAP, FIELD(caps.uffd_minor_hugetlbfs), .needs = UFFD, LACKS(2),
          .cost = "--mode shared is refused with --memory-backing hugetlb", .advice = LINUX("5.13") },
        /* --- memory --- */
        { "memory.total_bytes", .how = BYTES, FIELD(files.total_bytes), TELLS },
        { "memory.available_bytes", BY(judge_available), SLOWS(6), .cost = "a restore waits for memory to be freed, and the snapshot is pushed out of the page cache",
          .advice = "end what uses it; less than a tenth is left" },
        { "memory.max_map_count", BY(judge_max_map_count), SLOWS(3),
          .cost = "--mode mmap and auto map fewer of a scattered snapshot's runs, and copy the rest", .command = "sysctl -w vm.max_map_count=262144" },
        { "memory.overcommit", BY(judge_overcommit), LACKS(5), .cost = "all of a VM's RAM counts as used from the start, touched or not: large ones and many clones are refused",
          .command = "sysctl -w vm.overcommit_memory=0" },
        { "memory.memlock_bytes", BY(judge_memlock), SLOWS(2), .cost = "what is not cached is read without a registered buffer: each read pins its pages anew",
          .command = "ulimit -l 8192" },
        { "memory.open_files", .how = NUMBER, FIELD(files.open_files), TELLS },
        { "memory.populate", .how = TRY, FIELD(tries.populate), SLOWS(4), .cost = "memory that is known to be needed is faulted in page by page", .advice = LINUX("5.14") },
        { "memory.swap_bytes", BY(judge_swap), TELLS },
        { "memory.zswap", .how = WORD, FIELD(files.zswap), TELLS },
        { "memory.numa_balancing", BY(judge_numa), SLOWS(3), .cost = "pages that were just brought are unmapped again to see who uses them: a fault more for each",
          .command = "sysctl -w kernel.numa_balancing=0", .advice = "and place VMs with numactl" },
        { "memory.ksm", .how = NUMBER, FIELD(files.ksm_run), TELLS },
        /* --- huge pages --- */
        { "huge_pages.thp", BY(judge_thp), SLOWS(6), .cost = "eager restores and dense hints run on 4 KiB pages: a fault of KVM's own for each",
          .command = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled" },
        { "huge_pages.thp_defrag", BY(judge_thp_defrag), SLOWS(3), .cost = "where memory is fragmented, huge pages are not made when they are asked for, but small ones",
          .command = "echo madvise > /sys/kernel/mm/transparent_hugepage/defrag" },
        { "huge_pages.thp_shmem", .how = WORD, FIELD(files.thp_shmem), TELLS },
        { "huge_pages.khugepaged_defrag", .how = NUMBER, FIELD(files.khugepaged_defrag), TELLS },
        { "huge_pages.collapse", .how = TRY, FIELD(tries.collapse), SLOWS(3), .cost = "--collapse on is refused: lazily restored guests stay on 4 KiB pages",
          .advice = LINUX("6.1") ", with CONFIG_TRANSPARENT_HUGEPAGE" },
        { "huge_pages.pool_2m", BY(judge_pool_2m), TELLS },
        { "huge_pages.pool_1g", BY(judge_pool_1g), TELLS },
        /* --- the CPU --- */
        { "cpu.model", .how = WORD, FIELD(files.cpu), TELLS },
        { "cpu.microcode", BY(judge_microcode), SLOWS(1), .cost = "older than the kernel knows of: mitigations fall back to the slow way, or to none",
          .command = "apt install intel-microcode amd64-microcode", .advice = "and boot again; in a VM: the host above" },
        { "cpu.hypervisor", .how = CAP, FIELD(files.hypervisor), TELLS },
        { "cpu.count", BY(judge_cpus), SLOWS(8), .cost = "the pager and the guest take turns on one CPU: every fault is two context switches more",
          .command = "taskset -pc 0-$(($(nproc --all) - 1)) $$", .advice = "where the host has more than this process may use" },
        { "cpu.smt", .how = NUMBER, FIELD(files.smt), TELLS },
        { "cpu.governor", BY(judge_governor), SLOWS(4), .cost = "a CPU that was idle starts slowly, and a restore is over before it is fast", .command = "cpupower frequency-set -g performance" },
        { "cpu.idle_latency_us", BY(judge_idle), SLOWS(3), .cost = "the pager's CPU, idle between faults, takes that long to wake up: added to a fault's time" },
        { "cpu.clocksource", BY(judge_clocksource), SLOWS(5), .cost = "each look at the clock is a system call, by rouse and by what runs beside it",
          .command = "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource", .advice = "if the kernel takes it; dmesg says why it gave it up" },
        { "cpu.tsc", BY(judge_tsc), SLOWS(3), .cost = "KVM cannot give guests a clock that they read without an exit", .advice = "a CPU with constant_tsc and nonstop_tsc" },
        { "cpu.l1tf", BY(judge_l1tf), SLOWS(4), .cost = "the L1 data cache is flushed on the way into a guest: exits and faults cost more",
          .command = "echo never > /sys/module/kvm_intel/parameters/vmentry_l1d_flush", .advice = "(CVE-2018-3646)" TRUSTING },
        { "cpu.mds", BY(judge_mds), SLOWS(2), .cost = "CPU buffers are cleared on the way into a guest and out of the kernel", .advice = "mds=off on the kernel's command line" TRUSTING },
        { "cpu.mmio_stale_data", BY(judge_mmio_stale_data), SLOWS(2), .cost = "CPU buffers are cleared on the way into a guest",
          .advice = "mmio_stale_data=off on the kernel's command line" TRUSTING },
        { "cpu.tsa", BY(judge_tsa), SLOWS(2), .cost = "CPU buffers are cleared on the way into a guest and out of the kernel", .advice = "tsa=off on the kernel's command line" TRUSTING },
        { "cpu.retbleed", BY(judge_retbleed), SLOWS(3), .cost = "each entry into the kernel pays for the branch predictor: every fault does, twice",
          .advice = "retbleed=off on the kernel's command line" TRUSTING },
        { "cpu.spec_rstack_overflow", BY(judge_srso), SLOWS(3), .cost = "the branch predictor is flushed at each exit of a guest, or entry into the kernel",
          .advice = "spec_rstack_overflow=safe-ret on the kernel's command line" },
        { "cpu.spectre_v2", BY(judge_spectre_v2), SLOWS(3), .cost = "each entry into the kernel pays for the branch predictor: every fault does, twice",
          .advice = "spectre_v2=retpoline on the kernel's command line, where the CPU allows it" },
        { "cpu.vmscape", BY(judge_vmscape), SLOWS(2), .cost = "the branch predictor is flushed when a vCPU comes back to rouse: at each byte of a serial port, each kick",
          .advice = "vmscape=off on the kernel's command line" TRUSTING },
        { "cpu.meltdown", BY(judge_meltdown), SLOWS(3), .cost = "each fault and system call switches page tables", .advice = "nopti on the kernel's command line" TRUSTING },
        { "cpu.itlb_multihit", BY(judge_itlb_multihit), SLOWS(2), .cost = "as kvm.nx_huge_pages says", .advice = "see kvm.nx_huge_pages" },
        /* --- the kernel --- */
        { "kernel.release", .how = WORD, FIELD(files.release), TELLS },
        { "kernel.io_uring", BY(judge_io_uring), SLOWS(7), .cost = "cold pages are read one after another: a disk gives half of what it gives at depth 32 (174 of 372 MiB/s)",
          .command = "sysctl -w kernel.io_uring_disabled=0", .advice = "a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register; CONFIG_IO_URING" },
        { "kernel.io_uring_disabled", .how = NUMBER, FIELD(files.io_uring_disabled), TELLS },
        { "kernel.cachestat", .how = TRY, FIELD(tries.cachestat), SLOWS(1), .cost = "whether a file is cached is asked page by page, and of others' files not at all",
          .advice = LINUX("6.5") },
        { "kernel.pagemap_scan", .how = TRY, FIELD(tries.pagemap_scan), TELLS, .cost = "nothing: rouse knows by itself which pages it brought" },
        { "kernel.seccomp", .how = NUMBER, FIELD(files.seccomp), TELLS },
        /* --- cgroups --- */
        { "cgroup.version", BY(judge_cgroup), SLOWS(5), .cost = "KVM_CREATE_VM waits until a thread of its own has joined the cgroups (up to Linux 6.12)",
          .command = "echo never > /sys/module/kvm/parameters/nx_huge_pages",
          .advice = "where cpu.itlb_multihit says 'Not affected'; else Linux 6.13, or systemd.unified_cgroup_hierarchy=1 on the kernel's command line" },
        { "cgroup.favordynmods", BY(judge_favordynmods), SLOWS(4), .cost = "KVM_CREATE_VM waits for an RCU grace period: a thread of its own joins the cgroups (Linux 6.0 to 6.12)",
          .command = "mount -o remount,favordynmods /sys/fs/cgroup" },
        { "cgroup.memory_max_bytes", BY(judge_memory_max), LACKS(6), .cost = "less than 1 GiB is left: a larger VM is killed, or reclaims the page cache that it is restored from" },
        { "cgroup.memory_high_bytes", BY(judge_memory_high), SLOWS(6), .cost = "less than 1 GiB is left: past that every fault is made to wait" },
        { "cgroup.swap_max_bytes", BY(judge_swap_max), TELLS },
        { "cgroup.cpu_max_percent", BY(judge_cpu_max), SLOWS(6), .cost = "guest and pager together use it up and stand still until the period ends: up to 100 ms in a restore" },
        { "cgroup.pids_max", BY(judge_pids_max), LACKS(5), .cost = "threads of vCPUs, the pager or disks cannot be made" },
        { "cgroup.huge_2m_max_bytes", BY(judge_huge_max), LACKS(2), .cost = "less than 1 GiB is left for --memory-backing hugetlb" },
        { "cgroup.io_max", BY(judge_io_max), SLOWS(5), .cost = "cold pages come no faster than the limit", .advice = "io.max (cgroup 2) or blkio.throttle.* of that cgroup" },
        /* --- BPF --- */
        { "bpf.btf", .how = CAP, FIELD(files.btf), LACKS(3), .cost = "rouse trace cannot be used", .advice = "a kernel with CONFIG_DEBUG_INFO_BTF" },
        { "bpf.load", BY(judge_bpf_load), LACKS(3), .cost = "rouse trace cannot be used", .advice = "run it as root" },
        { "bpf.capabilities", BY(judge_bpf_caps), LACKS(3), .cost = "rouse trace cannot be used",
          .advice = "run it as root, or setcap cap_bpf,cap_perfmon,cap_sys_admin,cap_sys_ptrace+ep on rouse-trace" },
        { "bpf.kvm_event", BY(judge_kvm_event), LACKS(3), .cost = "rouse trace does not see what guests touch",
          .advice = "Linux 5.16 or newer, with BTF for its modules (CONFIG_DEBUG_INFO_BTF_MODULES)" },
        { "bpf.unprivileged_disabled", .how = NUMBER, FIELD(files.unprivileged_bpf_disabled), TELLS },
        { "bpf.perf_event_paranoid", .how = NUMBER, FIELD(files.perf_event_paranoid), TELLS },
        { "bpf.lockdown", BY(judge_lockdown), LACKS(3), .cost = "rouse trace may not read kernel memory", .advice = "lockdown=integrity on the kernel's command line" },
};

/* Only with a directory. */
static const struct row dir_rows[] = {
        { "dir.filesystem", BY(judge_dir_filesystem), TELLS },
        { "dir.source", .how = WORD, FIELD(dir.source), TELLS },
        { "dir.kind", BY(judge_dir_kind), SLOWS(6), .cost = "pages are copied, never mapped; each cold one waits for the other side, and --source-timeout limits that",
          .advice = "a copy of the snapshot on a local disk" },
        { "dir.direct", BY(judge_dir_direct), SLOWS(4), .cost = "cold pages take the way through the page cache, one copy more each", .advice = "a file system that knows O_DIRECT" },
        { "dir.nowait", BY(judge_dir_nowait), SLOWS(4), .cost = "the pager cannot ask without waiting: each read takes the way through io_uring's workers",
          .advice = "ext4, XFS or btrfs" },
        { "dir.rotational", BY(judge_dir_rotational), SLOWS(7), .cost = "each cold page that is not beside the last one waits for the disk's arm",
          .advice = "a copy of the snapshot on an SSD; restore --record, so that hints bring pages in the order of the file" },
        { "dir.encrypted", .how = CAP, FIELD(dir.encrypted), TELLS },
        { "dir.scheduler", .how = WORD, FIELD(dir.scheduler), TELLS },
        { "dir.read_ahead_bytes", BY(judge_dir_read_ahead), TELLS },
};

static_assert(ARRAY_LEN(rows) + ARRAY_LEN(dir_rows) <= HOST_FACTS_MAX, "every fact has room");

const char *fact_state_name(enum fact_state s)
{
        static const char *const names[FACT_STATES] = {
                [FACT_OK] = "ok", [FACT_SLOW] = "slow", [FACT_LACK] = "lack", [FACT_INFO] = "info", [FACT_UNKNOWN] = "unknown",
        };

        return names[s];
}

int host_look(const char *dir, struct host_look *ret, struct err *e)
{
        struct host_look h = {.has_dir = dir};
        int r = dir ? host_dir_look(dir, &h.dir, e) : 0;

        if (r < 0)
                return r;
        host_probe_files(&h.caps, &h.files);
        host_try(&h.tries);
        *ret = h;
        return 0;
}

static void take_field(const struct host_look *h, const struct row *row, struct host_fact *f)
{
        const void *at = (const char *)h + row->at;

        switch (row->how) {
        case CAP:
                fact_flag(f, *(const bool *)at);
                break;
        case TRY:
                fact_try(f, *(const int *)at);
                break;
        case NUMBER:
                fact_number(f, *(const int64_t *)at);
                break;
        case NUMBER32:
                fact_number(f, *(const uint32_t *)at);
                break;
        case BYTES:
                fact_bytes(f, *(const int64_t *)at);
                break;
        case WORD:
                if (*(const char *)at)
                        fact_text(f, true, "%s", (const char *)at);
                else
                        fact_unknown(f, "not told by this kernel");
                break;
        case JUDGED:
                row->judge(h, f);
                break;
        }
}

static bool can_tell(const struct host_look *h, enum needs needs)
{
        return needs == NOTHING || (needs == KVM ? h->caps.kvm_errno == 0 : h->caps.uffd_way != UFFD_WAY_NONE);
}

static struct host_fact fact_of(const struct host_look *h, const struct row *row)
{
        struct host_fact f = {.key = row->key, .cost = row->cost, .advice = row->advice, .weight = row->weight};

        snprintf(f.command, sizeof(f.command), "%s", row->command ? row->command : "");
        if (can_tell(h, row->needs))
                take_field(h, row, &f);
        else
                fact_unknown(&f, row->needs == KVM ? "no KVM to ask" : "no userfaultfd to ask");
        if (f.state == FACT_SLOW)
                f.state = row->bad;
        else if (f.state == FACT_OK && row->bad == FACT_INFO)
                f.state = FACT_INFO;
        return f;
}

size_t host_facts_judge(const struct host_look *h, struct host_fact ret[HOST_FACTS_MAX])
{
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                ret[n++] = fact_of(h, &rows[i]);
        for (size_t i = 0; h->has_dir && i < ARRAY_LEN(dir_rows); i++)
                ret[n++] = fact_of(h, &dir_rows[i]);
        return n;
}

/* What a command mends comes before what takes another host or kernel, but for what nothing works without. */
static bool comes_before(const struct host_fact *f, const struct host_fact *than)
{
        if (!than)
                return true;
        if (f->weight != than->weight && MAX(f->weight, than->weight) == WEIGHT_ALL)
                return f->weight == WEIGHT_ALL;
        if (!f->command[0] != !than->command[0])
                return f->command[0];
        return f->weight > than->weight;
}

struct fact_summary host_facts_sum_up(const struct host_fact *v, size_t nr)
{
        struct fact_summary s = {0};

        for (size_t i = 0; i < nr; i++) {
                s.nr_slow += v[i].state == FACT_SLOW;
                s.nr_lack += v[i].state == FACT_LACK;
                s.nr_unknown += v[i].state == FACT_UNKNOWN;
                if ((v[i].state == FACT_SLOW || v[i].state == FACT_LACK) && comes_before(&v[i], s.first))
                        s.first = &v[i];
        }
        return s;
}
