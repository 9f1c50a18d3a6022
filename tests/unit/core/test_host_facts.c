/* The table of facts: of a host that has everything, and of the same with one thing masked. */
#include "core/base/units.h"
#include "core/host_facts.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Bare metal, Intel, idle, a recent kernel. */
static struct host_look good_host(void)
{
        struct host_look h = {
                .caps = {.kvm_api_version = 12, .kvm_irqchip = true, .kvm_immediate_exit = true, .kvm_pre_fault = true, .kvm_async_pf = true, .kvm_dirty_ring = true,
                         .kvm_hlt_in_guest = true, .kvm_tsc_control = true, .kvm_nested_state = true, .kvm_xsave_bytes = 4096, .kvm_max_vcpus = 1024, .kvm_max_memslots = 32764,
                         .uffd_way = UFFD_WAY_DEVICE, .uffd_features = 0x1ffff, .uffd_poison = true, .uffd_move = true, .uffd_minor_shmem = true, .uffd_minor_hugetlbfs = true,
                         .io_uring = true, .nr_cpus = 8},
                .files = {.release = "6.12.1", .lockdown = "none", .btf = true, .capabilities = UINT64_MAX, .memlock_bytes = HOST_NO_LIMIT, .open_files = 1024,
                          .total_bytes = 64LL << 30, .available_bytes = 32LL << 30, .max_map_count = 65530, .nr_nodes = 1, .zswap = "N", .thp = "madvise", .thp_defrag = "madvise",
                          .thp_shmem = "never", .cpu = "Xeon", .microcode = "0x1", .vmx = true, .constant_tsc = true, .nonstop_tsc = true, .clocksource = "tsc",
                          .governors = "performance", .idle_latency_us = 10, .kvm_module = "kvm_intel", .ept = "Y", .tdp_mmu = "Y", .nx_huge_pages = "N", .enable_virt_at_load = "Y",
                          .cgroup_version = 2, .cgroup_favordynmods = true,
                          .memory_max.value = HOST_NO_LIMIT, .memory_high.value = HOST_NO_LIMIT, .swap_max.value = HOST_NO_LIMIT, .huge_2m_max.value = HOST_NO_LIMIT,
                          .pids_max.value = HOST_NO_LIMIT, .cpu_percent.value = HOST_NO_LIMIT, .io.value = HOST_NO_LIMIT},
                .has_dir = true,
                .dir = {.path = "/srv/vm", .file = "memory", .filesystem = "ext4", .source = "/dev/nvme0n1", .kind = DIR_LOCAL, .scheduler = "none", .read_ahead_bytes = 131072},
        };

        for (size_t i = 0; i < MITIGATIONS; i++)
                snprintf(h.files.mitigations[i], sizeof(h.files.mitigations[i]), "Not affected");
        return h;
}

/* One fact of a host; its key is NULL where there is no such fact. */
static struct host_fact judge(const struct host_look *h, const char *key)
{
        struct host_fact v[HOST_FACTS_MAX] = {0};
        size_t nr = host_facts_judge(h, v);

        for (size_t i = 0; i < nr; i++)
                if (strcmp(v[i].key, key) == 0)
                        return v[i];
        return (struct host_fact){0};
}

static const char *first_of(const struct host_look *h)
{
        struct host_fact v[HOST_FACTS_MAX] = {0};
        size_t nr = host_facts_judge(h, v);

        return host_facts_sum_up(v, nr).first->key; /* of the table: it outlives v */
}

static const struct host_fact *find(const struct host_fact *v, size_t nr, const char *key)
{
        for (size_t i = 0; i < nr; i++)
                if (strcmp(v[i].key, key) == 0)
                        return &v[i];
        return NULL;
}

Test(host_facts, a_host_that_has_everything_lacks_nothing)
{
        struct host_look h = good_host();
        struct host_fact v[HOST_FACTS_MAX];
        size_t nr = host_facts_judge(&h, v);
        struct fact_summary s = host_facts_sum_up(v, nr);

        for (size_t i = 0; i < nr; i++)
                cr_expect(v[i].state == FACT_OK ||
                          v[i].state == FACT_INFO, "%s is %s: %s", v[i].key, fact_state_name(v[i].state), v[i].text);
        cr_expect_eq(s.nr_slow + s.nr_lack + s.nr_unknown, 0);
        cr_expect_null(s.first);
}

Test(host_facts, keys_are_unique_and_start_with_their_group)
{
        struct host_look h = good_host();
        struct host_fact v[HOST_FACTS_MAX];
        size_t nr = host_facts_judge(&h, v);

        cr_assert_gt(nr, 80);
        for (size_t i = 0; i < nr; i++) {
                cr_expect(strchr(v[i].key, '.'), "%s", v[i].key);
                cr_expect_eq(find(v, nr, v[i].key), &v[i], "%s is there twice", v[i].key);
                cr_expect(v[i].text[0], "%s says nothing", v[i].key);
        }
}

Test(host_facts, without_a_directory_there_are_no_facts_of_one)
{
        struct host_look h = good_host();

        cr_expect_not_null(judge(&h, "dir.kind").key);
        h.has_dir = false;
        cr_expect_null(judge(&h, "dir.kind").key);
}

#define MASK(name, change) \
        static void name(struct host_look *h) { change; }
MASK(no_kvm, h->caps.kvm_errno = EACCES)
MASK(no_module, h->caps.kvm_errno = ENOENT)
MASK(nested, h->files.hypervisor = true)
MASK(software, (h->files.vmx = false, snprintf(h->files.kvm_module, HOST_WORD, "kvm_other")))
MASK(no_ept, h->files.ept[0] = 'N')
MASK(no_tdp_mmu, h->files.tdp_mmu[0] = 'N')
MASK(nx, h->files.nx_huge_pages[0] = 'Y')
MASK(late_virt, h->files.enable_virt_at_load[0] = 'N')
MASK(no_immediate_exit, h->caps.kvm_immediate_exit = false)
MASK(no_async_pf, h->caps.kvm_async_pf = false)
MASK(no_hlt, h->caps.kvm_hlt_in_guest = false)
MASK(no_tsc, h->caps.kvm_tsc_control = false)
MASK(no_nested, h->caps.kvm_nested_state = false)
MASK(no_uffd, (h->caps.uffd_way = UFFD_WAY_NONE, h->caps.uffd_errno = EPERM, h->tries.uffd_device = EACCES))
MASK(no_poison, h->caps.uffd_poison = false)
MASK(no_move, h->caps.uffd_move = false)
MASK(no_minor, h->caps.uffd_minor_shmem = false)
MASK(no_minor_huge, h->caps.uffd_minor_hugetlbfs = false)
MASK(full, h->files.available_bytes = 1 << 30)
MASK(few_maps, h->files.max_map_count = 1000)
MASK(few_locked, (h->files.memlock_bytes = 64 << 10, h->files.capabilities = ~(1ULL << 14)))
MASK(overcommit, h->files.overcommit_memory = 2)
MASK(no_populate, h->tries.populate = EINVAL)
MASK(numa, (h->files.numa_balancing = 1, h->files.nr_nodes = 2))
MASK(no_thp, snprintf(h->files.thp, HOST_WORD, "never"))
MASK(defer, snprintf(h->files.thp_defrag, HOST_WORD, "defer"))
MASK(no_collapse, h->tries.collapse = EINVAL)
MASK(old_microcode, snprintf(h->files.mitigations[MITIGATION_OLD_MICROCODE], 64, "Vulnerable"))
MASK(one_cpu, h->caps.nr_cpus = 1)
MASK(powersave, snprintf(h->files.governors, HOST_WORD, "powersave, performance"))
MASK(deep_idle, h->files.idle_latency_us = 133)
MASK(hpet, snprintf(h->files.clocksource, HOST_WORD, "hpet"))
MASK(bad_tsc, h->files.nonstop_tsc = false)
MASK(l1tf, snprintf(h->files.mitigations[MITIGATION_L1TF], 100, "Mitigation: PTE Inversion; VMX: conditional cache flushes, SMT vulnerable"))
MASK(mds, snprintf(h->files.mitigations[MITIGATION_MDS], 100, "Vulnerable: Clear CPU buffers attempted, no microcode; SMT vulnerable"))
MASK(mmio, snprintf(h->files.mitigations[MITIGATION_MMIO_STALE_DATA], 100, "Mitigation: Clear CPU buffers; SMT vulnerable"))
MASK(tsa, snprintf(h->files.mitigations[MITIGATION_TSA], 100, "Mitigation: Clear CPU buffers"))
MASK(retbleed, snprintf(h->files.mitigations[MITIGATION_RETBLEED], 100, "Mitigation: IBRS"))
MASK(srso, snprintf(h->files.mitigations[MITIGATION_SRSO], 100, "Mitigation: IBPB on VMEXIT only"))
MASK(spectre, snprintf(h->files.mitigations[MITIGATION_SPECTRE_V2], 100, "Mitigation: IBRS; IBPB: conditional"))
MASK(vmscape, snprintf(h->files.mitigations[MITIGATION_VMSCAPE], 100, "Mitigation: IBPB before exit to userspace"))
MASK(pti, snprintf(h->files.mitigations[MITIGATION_MELTDOWN], 100, "Mitigation: PTI"))
MASK(itlb, snprintf(h->files.mitigations[MITIGATION_ITLB_MULTIHIT], 100, "KVM: Mitigation: Split huge pages"))
MASK(no_uring, (h->caps.io_uring = false, h->caps.io_uring_errno = EPERM, h->files.io_uring_disabled = 2))
MASK(no_cachestat, h->tries.cachestat = ENOSYS)
MASK(v1, h->files.cgroup_version = 1)
MASK(no_dynmods, h->files.cgroup_favordynmods = false)
MASK(small_group, h->files.memory_max = ((struct host_limit){1 << 30, 1 << 29, "/sys/fs/cgroup/a"}))
MASK(high_group, h->files.memory_high = ((struct host_limit){1 << 30, 1 << 29, "/sys/fs/cgroup/a"}))
MASK(quota, h->files.cpu_percent = ((struct host_limit){150, HOST_UNKNOWN, "/sys/fs/cgroup/a"}))
MASK(few_pids, h->files.pids_max = ((struct host_limit){100, 90, "/sys/fs/cgroup/a"}))
MASK(few_huge, h->files.huge_2m_max = ((struct host_limit){0, 0, "/sys/fs/cgroup/a"}))
MASK(io_limit, h->files.io = ((struct host_limit){0, HOST_UNKNOWN, "/sys/fs/cgroup/a"}))
MASK(no_btf, h->files.btf = false)
MASK(no_bpf, h->tries.bpf_load = EPERM)
MASK(no_caps, h->files.capabilities = 1ULL << 39)
MASK(no_event, h->tries.kvm_event = EOPNOTSUPP)
MASK(lockdown, snprintf(h->files.lockdown, HOST_WORD, "confidentiality"))
MASK(nfs, h->dir.kind = DIR_NETWORK)
MASK(no_direct, h->dir.direct = EINVAL)
MASK(no_nowait, h->dir.nowait = EOPNOTSUPP)
MASK(spinning, h->dir.rotational = 1)

static const struct {
        void (*mask)(struct host_look *h);
        const char     *key;
        enum fact_state state;
        const char     *command; /* must hold this; NULL: no command, but advice */
} masks[] = {
        {no_kvm, "kvm.api", FACT_LACK, "/dev/kvm"},
        {no_module, "kvm.api", FACT_LACK, "modprobe kvm_intel"},
        {no_kvm, "kvm.max_vcpus", FACT_UNKNOWN, NULL},
        {nested, "kvm.virtualization", FACT_SLOW, NULL},
        {software, "kvm.virtualization", FACT_SLOW, NULL},
        {software, "kvm.second_level_paging", FACT_UNKNOWN, NULL},
        {software, "kvm.tdp_mmu", FACT_UNKNOWN, "modprobe"},
        {no_ept, "kvm.second_level_paging", FACT_SLOW, "ept=1"},
        {no_tdp_mmu, "kvm.tdp_mmu", FACT_SLOW, "tdp_mmu=1"},
        {nx, "kvm.nx_huge_pages", FACT_SLOW, "nx_huge_pages"},
        {late_virt, "kvm.enable_virt_at_load", FACT_SLOW, NULL},
        {no_immediate_exit, "kvm.immediate_exit", FACT_LACK, NULL},
        {no_async_pf, "kvm.async_pf", FACT_SLOW, NULL},
        {no_hlt, "kvm.hlt_in_guest", FACT_LACK, NULL},
        {no_tsc, "kvm.tsc_scaling", FACT_LACK, NULL},
        {no_nested, "kvm.nested_state", FACT_LACK, NULL},
        {no_uffd, "userfaultfd.way", FACT_LACK, "/dev/userfaultfd"},
        {no_uffd, "userfaultfd.device", FACT_LACK, "/dev/userfaultfd"},
        {no_uffd, "userfaultfd.poison", FACT_UNKNOWN, NULL},
        {no_poison, "userfaultfd.poison", FACT_LACK, NULL},
        {no_move, "userfaultfd.move", FACT_SLOW, NULL},
        {no_minor, "userfaultfd.minor_shmem", FACT_LACK, NULL},
        {no_minor_huge, "userfaultfd.minor_hugetlb", FACT_LACK, NULL},
        {full, "memory.available_bytes", FACT_SLOW, NULL},
        {few_maps, "memory.max_map_count", FACT_SLOW, "max_map_count"},
        {few_locked, "memory.memlock_bytes", FACT_SLOW, "ulimit -l"},
        {overcommit, "memory.overcommit", FACT_LACK, "overcommit_memory=0"},
        {no_populate, "memory.populate", FACT_SLOW, NULL},
        {numa, "memory.numa_balancing", FACT_SLOW, "numa_balancing=0"},
        {no_thp, "huge_pages.thp", FACT_SLOW, "transparent_hugepage/enabled"},
        {defer, "huge_pages.thp_defrag", FACT_SLOW, "transparent_hugepage/defrag"},
        {no_collapse, "huge_pages.collapse", FACT_SLOW, NULL},
        {old_microcode, "cpu.microcode", FACT_SLOW, "microcode"},
        {one_cpu, "cpu.count", FACT_SLOW, "taskset"},
        {powersave, "cpu.governor", FACT_SLOW, "cpupower"},
        {deep_idle, "cpu.idle_latency_us", FACT_SLOW, "cpupower"},
        {hpet, "cpu.clocksource", FACT_SLOW, "current_clocksource"},
        {bad_tsc, "cpu.tsc", FACT_SLOW, NULL},
        {l1tf, "cpu.l1tf", FACT_SLOW, "vmentry_l1d_flush"},
        {mds, "cpu.mds", FACT_SLOW, NULL},
        {mmio, "cpu.mmio_stale_data", FACT_SLOW, NULL},
        {tsa, "cpu.tsa", FACT_SLOW, NULL},
        {retbleed, "cpu.retbleed", FACT_SLOW, NULL},
        {srso, "cpu.spec_rstack_overflow", FACT_SLOW, NULL},
        {spectre, "cpu.spectre_v2", FACT_SLOW, NULL},
        {vmscape, "cpu.vmscape", FACT_SLOW, NULL},
        {pti, "cpu.meltdown", FACT_SLOW, NULL},
        {itlb, "cpu.itlb_multihit", FACT_SLOW, NULL},
        {no_uring, "kernel.io_uring", FACT_SLOW, "io_uring_disabled=0"},
        {no_cachestat, "kernel.cachestat", FACT_SLOW, NULL},
        {v1, "cgroup.version", FACT_SLOW, "nx_huge_pages"},
        {v1, "cgroup.favordynmods", FACT_UNKNOWN, "favordynmods"},
        {no_dynmods, "cgroup.favordynmods", FACT_SLOW, "favordynmods"},
        {small_group, "cgroup.memory_max_bytes", FACT_LACK, "echo max > /sys/fs/cgroup/a/memory.max"},
        {high_group, "cgroup.memory_high_bytes", FACT_SLOW, "echo max > /sys/fs/cgroup/a/memory.high"},
        {quota, "cgroup.cpu_max_percent", FACT_SLOW, "echo max > /sys/fs/cgroup/a/cpu.max"},
        {few_pids, "cgroup.pids_max", FACT_LACK, "echo max > /sys/fs/cgroup/a/pids.max"},
        {few_huge, "cgroup.huge_2m_max_bytes", FACT_LACK, "echo max > /sys/fs/cgroup/a/hugetlb.2MB.max"},
        {io_limit, "cgroup.io_max", FACT_SLOW, NULL},
        {no_btf, "bpf.btf", FACT_LACK, NULL},
        {no_bpf, "bpf.load", FACT_LACK, NULL},
        {no_caps, "bpf.capabilities", FACT_LACK, NULL},
        {no_event, "bpf.kvm_event", FACT_LACK, NULL},
        {lockdown, "bpf.lockdown", FACT_LACK, NULL},
        {nfs, "dir.kind", FACT_SLOW, NULL},
        {no_direct, "dir.direct", FACT_SLOW, NULL},
        {no_nowait, "dir.nowait", FACT_SLOW, NULL},
        {spinning, "dir.rotational", FACT_SLOW, NULL},
};

Test(host_facts, each_lack_is_found_with_its_cost_and_what_mends_it)
{
        for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
                struct host_look h = good_host();
                struct host_fact f;

                masks[i].mask(&h);
                f = judge(&h, masks[i].key);
                cr_assert_not_null(f.key, "%s", masks[i].key);
                cr_expect_eq(f.state, masks[i].state, "%s is %s: %s", f.key, fact_state_name(f.state), f.text);
                if (f.state == FACT_UNKNOWN)
                        continue;
                cr_expect(f.cost && f.cost[0], "%s", f.key);
                cr_expect(f.command[0] || f.advice, "%s: nothing mends it", f.key);
                if (masks[i].command)
                        cr_expect(strstr(f.command, masks[i].command), "%s: expected '%s' in '%s'", f.key, masks[i].command,
                                  f.command);
                else
                        cr_expect_str_empty(f.command, "%s", f.key);
        }
}

Test(host_facts, every_fact_that_can_be_bad_is_masked_by_the_test_above)
{
        struct host_look h = good_host();
        struct host_fact v[HOST_FACTS_MAX];
        size_t nr = host_facts_judge(&h, v);

        for (size_t i = 0; i < nr; i++) {
                bool masked = false;

                for (size_t k = 0; k < ARRAY_LEN(masks); k++)
                        masked |= strcmp(masks[k].key, v[i].key) == 0 && (masks[k].state == FACT_SLOW || masks[k].state == FACT_LACK);
                cr_expect(masked == (v[i].state == FACT_OK), "%s is %s where all is well", v[i].key, fact_state_name(v[i].state));
        }
}

Test(host_facts, what_nothing_works_without_is_mended_first_and_then_what_a_command_mends)
{
        struct host_look h = good_host();
        struct host_fact v[HOST_FACTS_MAX] = {0};
        size_t nr;

        nested(&h);
        cr_expect_str_eq(first_of(&h), "kvm.virtualization");
        defer(&h);
        cr_expect_str_eq(first_of(&h), "huge_pages.thp_defrag");
        quota(&h);
        cr_expect_str_eq(first_of(&h), "cgroup.cpu_max_percent");
        no_kvm(&h);
        cr_expect_str_eq(first_of(&h), "kvm.api");
        nr = host_facts_judge(&h, v);
        cr_expect_eq(host_facts_sum_up(v, nr).nr_slow, 3);
}

Test(host_facts, newer_kernels_do_not_join_cgroups_when_a_vm_is_made)
{
        struct host_look h = good_host();

        v1(&h);
        snprintf(h.files.release, HOST_WORD, "6.13.0-rc1");
        cr_expect_eq(judge(&h, "cgroup.version").state, FACT_INFO);
        snprintf(h.files.release, HOST_WORD, "6.1.0");
        snprintf(h.files.nx_huge_pages, HOST_WORD, "never");
        cr_expect_eq(judge(&h, "cgroup.version").state, FACT_INFO);
        snprintf(h.files.nx_huge_pages, HOST_WORD, "N");
        cr_expect_eq(judge(&h, "cgroup.version").state, FACT_SLOW);
}

Test(host_facts, a_virtual_disk_that_says_it_rotates_proves_nothing)
{
        struct host_look h = good_host();

        spinning(&h);
        h.files.hypervisor = true;
        cr_expect_eq(judge(&h, "dir.rotational").state, FACT_INFO);
}

Test(host_facts, what_is_in_memory_needs_neither_to_be_read_directly_nor_to_be_asked_without_waiting)
{
        struct host_look h = good_host();

        no_direct(&h);
        no_nowait(&h);
        h.dir.kind = DIR_MEMORY;
        cr_expect_eq(judge(&h, "dir.direct").state, FACT_INFO);
        cr_expect_eq(judge(&h, "dir.nowait").state, FACT_INFO);
        h.dir.direct = h.dir.nowait = ENODATA;
        h.dir.file[0] = 0;
        cr_expect_eq(judge(&h, "dir.nowait").state, FACT_UNKNOWN);
}

Test(host_facts, a_limit_with_much_left_is_told_but_is_no_lack)
{
        struct host_look h = good_host();
        struct host_fact f;

        h.files.memory_max = (struct host_limit){8LL << 30, 1LL << 30, "/sys/fs/cgroup/a"};
        f = judge(&h, "cgroup.memory_max_bytes");
        cr_expect_eq(f.state, FACT_OK);
        cr_expect_eq(f.number, 8LL << 30);
        cr_expect(strstr(f.text, "/sys/fs/cgroup/a"));
        h.files.cgroup_version = 1;
        small_group(&h);
        f = judge(&h, "cgroup.memory_max_bytes");
        cr_expect_str_eq(f.command, "echo -1 > /sys/fs/cgroup/a/memory.limit_in_bytes");
}
