/* What is read from /proc and /sys, against trees of the test's own. */
#include "core/base/units.h"
#include "core/host_dir.h"
#include "core/host_files.h"
#include "core/host_read.h"
#include "tests/support/host_tree.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct host_files read_tree(const struct tmpdir *t)
{
        struct host_files f;

        host_files_read(t->path, &f);
        return f;
}

Test(host_files, of_an_empty_tree_nothing_is_known)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct host_files f = read_tree(&t);

        cr_expect_eq(f.max_map_count, HOST_UNKNOWN);
        cr_expect_eq(f.total_bytes, HOST_UNKNOWN);
        cr_expect_eq(f.memlock_bytes, HOST_UNKNOWN);
        cr_expect_eq(f.idle_latency_us, HOST_UNKNOWN);
        cr_expect_eq(f.memory_max.value, HOST_UNKNOWN);
        cr_expect_eq(f.cpu_percent.value, HOST_UNKNOWN);
        cr_expect_eq(f.cgroup_version, 0);
        cr_expect_eq(f.nr_nodes, 0);
        cr_expect(!f.btf && !f.vmx && !f.svm && !f.swap_on_zram);
        cr_expect_str_empty(f.thp);
        cr_expect_str_empty(f.kvm_module);
}

Test(host_files, numbers_and_words_come_from_their_files)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct host_files f;

        HOST_TREE(&t, {"/proc/sys/vm/max_map_count", "65530\n"}, {"/proc/sys/kernel/perf_event_paranoid", "-1\n"},
                  {"/proc/sys/kernel/osrelease", "6.1.0-30-amd64\n"},
                  {"/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"},
                  {"/sys/kernel/mm/transparent_hugepage/defrag", "always defer [defer+madvise] madvise never\n"},
                  {"/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "3\n"},
                  {"/sys/kernel/security/lockdown", "none [integrity] confidentiality\n"},
                  {"/sys/module/kvm_intel/parameters/ept", "Y\n"}, {"/sys/module/kvm/parameters/nx_huge_pages", "never\n"},
                  {"/sys/kernel/btf/vmlinux", ""},
                  {"/sys/devices/system/cpu/vulnerabilities/l1tf",
                   "Mitigation: PTE Inversion; VMX: conditional cache flushes, SMT vulnerable\n"});
        f = read_tree(&t);
        cr_expect_eq(f.max_map_count, 65530);
        cr_expect_eq(f.perf_event_paranoid, -1);
        cr_expect_str_eq(f.release, "6.1.0-30-amd64");
        cr_expect_str_eq(f.thp, "madvise");
        cr_expect_str_eq(f.thp_defrag, "defer+madvise");
        cr_expect_str_eq(f.lockdown, "integrity");
        cr_expect_eq(f.huge_1g_free, 3);
        cr_expect_str_eq(f.kvm_module, "kvm_intel");
        cr_expect_str_eq(f.ept, "Y");
        cr_expect_str_eq(f.nx_huge_pages, "never");
        cr_expect(f.btf);
        cr_expect(strstr(f.mitigations[MITIGATION_L1TF], "conditional cache flushes"));
}

Test(host_files, lines_with_a_key_are_found_by_it)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct host_files f;

        HOST_TREE(&t, {"/proc/meminfo", "MemTotal:       24683656 kB\nMemAvailable:   1000 kB\nSwapTotal:             0 kB\n"},
                  {"/proc/self/limits", "Limit                     Soft Limit           Hard Limit           Units     \n"
                                        "Max open files            1024                 524288               files     \n"
                                        "Max locked memory         unlimited            unlimited            bytes     \n"},
                  {"/proc/self/status", "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nCapEff:\t000000c000000000\nSeccomp:\t2\n"},
                  {"/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0  partition 1 0 100\n"});
        f = read_tree(&t);
        cr_expect_eq(f.total_bytes, (int64_t)(24683656 * KIB));
        cr_expect_eq(f.available_bytes, (int64_t)(1000 * KIB));
        cr_expect_eq(f.swap_total_bytes, 0);
        cr_expect_eq(f.open_files, 1024);
        cr_expect_eq(f.memlock_bytes, HOST_NO_LIMIT);
        cr_expect_eq(f.uid, 1000);
        cr_expect_eq(f.seccomp, 2);
        cr_expect_eq(f.capabilities, 0xc000000000);
        cr_expect(f.swap_on_zram);
}

Test(host_files, a_line_in_kb_is_told_in_bytes_and_one_that_is_not_there_as_0)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        HOST_TREE(&t, {"/proc/self/smaps_rollup", "Pss_Dirty:            7 kB\nPss:                1234 kB\n"});
        cr_expect_eq(host_read_kb(t.path, "/proc/self/smaps_rollup", "Pss:"), 1234 * KIB);
        cr_expect_eq(host_read_kb(t.path, "/proc/self/smaps_rollup", "Rss:"), 0);
        cr_expect_eq(host_read_kb(t.path, "/proc/self/status", "Pss:"), 0);
}

Test(host_files, a_flag_of_the_cpu_is_a_whole_word)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct host_files f;

        HOST_TREE(&t, {"/proc/cpuinfo",
                       "processor\t: 0\nmodel name\t: AMD EPYC\nmicrocode\t: 0xa2\nflags\t\t: fpu vmxish constant_tsc svm_lock hypervisor\n"});
        f = read_tree(&t);
        cr_expect_str_eq(f.cpu, "AMD EPYC");
        cr_expect_str_eq(f.microcode, "0xa2");
        cr_expect(f.constant_tsc && f.hypervisor);
        cr_expect(!f.vmx && !f.svm && !f.nonstop_tsc);
        HOST_TREE(&t, {"/proc/cpuinfo", "flags\t\t: svm fpu nonstop_tsc vmx\n"});
        f = read_tree(&t);
        cr_expect(f.vmx && f.svm && f.nonstop_tsc && !f.hypervisor);
}

Test(host_files, governors_are_listed_once_and_only_idle_states_in_use_count)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct host_files f;

#define IDLE "/sys/devices/system/cpu/cpu0/cpuidle/"
        HOST_TREE(&t, {"/sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "powersave\n"},
                  {"/sys/devices/system/cpu/cpufreq/policy1/scaling_governor", "powersave\n"},
                  {"/sys/devices/system/cpu/cpufreq/policy2/scaling_governor", "performance\n"}, {IDLE "state0/latency", "0\n"},
                  {IDLE "state0/disable", "0\n"},
                  {IDLE "state1/latency", "10\n"}, {IDLE "state1/disable", "0\n"}, {IDLE "state2/latency", "133\n"},
                  {IDLE "state2/disable", "1\n"},
                  {"/sys/devices/system/node/node0/x", ""}, {"/sys/devices/system/node/node1/x", ""});
        f = read_tree(&t);
        cr_expect_str_eq(f.governors, "powersave, performance");
        cr_expect_eq(f.idle_latency_us, 10);
        cr_expect_eq(f.nr_nodes, 2);
}

Test(host_files, the_tightest_limit_of_a_cgroup_and_those_above_it_binds)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct host_files f;

        HOST_TREE(&t, {"/proc/self/mountinfo",
                       "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,favordynmods\n"},
                       {"/proc/self/cgroup", "0::/a/b\n"},
                  {"/sys/fs/cgroup/a/b/memory.max", "max\n"}, {"/sys/fs/cgroup/a/memory.max", "1073741824\n"},
                  {"/sys/fs/cgroup/a/memory.current", "1048576\n"},
                  {"/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"}, {"/sys/fs/cgroup/a/cpu.max", "max 100000\n"},
                  {"/sys/fs/cgroup/a/b/pids.max", "max\n"},
                  {"/sys/fs/cgroup/a/io.max", "8:16 rbps=2097152 wbps=max riops=max wiops=max\n"});
        f = read_tree(&t);
        cr_expect_eq(f.cgroup_version, 2);
        cr_expect(f.cgroup_favordynmods);
        cr_expect_eq(f.memory_max.value, 1073741824);
        cr_expect_eq(f.memory_max.used, 1048576);
        cr_expect_str_eq(f.memory_max.where, "/sys/fs/cgroup/a");
        cr_expect_eq(f.cpu_percent.value, 150);
        cr_expect_str_eq(f.cpu_percent.where, "/sys/fs/cgroup/a/b");
        cr_expect_eq(f.pids_max.value, HOST_NO_LIMIT);
        cr_expect_eq(f.io.value, 0);
        cr_expect_str_eq(f.io.where, "/sys/fs/cgroup/a");
        cr_expect_eq(f.memory_high.value, HOST_UNKNOWN);
}

Test(host_files, cgroup_v1_has_a_tree_for_each_controller)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct host_files f;

        HOST_TREE(&t,
                  {"/proc/self/mountinfo", "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
                                           "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
                                           "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"},
                  {"/proc/self/cgroup", "4:memory:/jobs/1\n2:cpu,cpuacct:/jobs\n0::/\n"},
                  {"/sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes", "9223372036854771712\n"},
                  {"/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "536870912\n"},
                  {"/sys/fs/cgroup/memory/jobs/memory.usage_in_bytes", "4096\n"},
                  {"/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us", "50000\n"},
                  {"/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us", "100000\n"},
                  {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
                  {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"});
        f = read_tree(&t);
        cr_expect_eq(f.cgroup_version, 1);
        cr_expect_eq(f.memory_max.value, 536870912);
        cr_expect_str_eq(f.memory_max.where, "/sys/fs/cgroup/memory/jobs");
        cr_expect_eq(f.cpu_percent.value, 50);
        cr_expect_eq(f.memory_high.value, HOST_UNKNOWN, "v1 has none");
}

Test(host_files, what_a_container_does_not_see_of_the_tree_is_cut_off_its_path)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct host_files f;

        HOST_TREE(&t, {"/proc/self/mountinfo", "30 23 0:26 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n"},
                  {"/proc/self/cgroup", "0::/docker/1/init\n"},
                  {"/sys/fs/cgroup/init/memory.max", "2097152\n"}, {"/sys/fs/cgroup/docker/1/init/memory.max", "1\n"});
        f = read_tree(&t);
        cr_expect_eq(f.memory_max.value, 2097152);
        cr_expect_eq(f.memory_max.used, HOST_UNKNOWN);
}

/* --- directories --- */

static struct host_dir describe(const struct tmpdir *t, uint64_t mount_id)
{
        struct host_dir d = {0};

        host_dir_describe(t->path, mount_id, &d);
        return d;
}

Test(host_dir, a_partition_has_the_queue_of_its_disk)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char link[PATH_MAX + 64];
        struct host_dir d;

        HOST_TREE(&t, {"/proc/self/mountinfo",
                       "7 1 8:2 / / rw - xfs /dev/sdb2 rw\n27 1 8:1 / /srv/my\\040vms rw - ext4 /dev/disk\\040one rw\n"},
                  {"/sys/block/sda/queue/rotational", "1\n"}, {"/sys/block/sda/queue/scheduler", "none [mq-deadline]\n"},
                  {"/sys/block/sda/queue/read_ahead_kb", "128\n"},
                  {"/sys/block/sda/sda1/partition", "1\n"}, {"/sys/dev/block/x", ""});
        snprintf(link, sizeof(link), "%s/sys/dev/block/8:1", t.path);
        cr_assert_eq(symlink("../../block/sda/sda1", link), 0);
        d = describe(&t, 27);
        cr_expect_str_eq(d.filesystem, "ext4");
        cr_expect_str_eq(d.source, "/dev/disk one");
        cr_expect_eq(d.kind, DIR_LOCAL);
        cr_expect_eq(d.rotational, 1);
        cr_expect_str_eq(d.scheduler, "mq-deadline");
        cr_expect_eq(d.read_ahead_bytes, (int64_t)(128 * KIB));
        cr_expect(!d.encrypted);
        cr_expect_eq(describe(&t, 99).kind, DIR_UNKNOWN);
}

Test(host_dir, a_volume_on_an_encrypted_one_is_encrypted)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        HOST_TREE(&t, {"/proc/self/mountinfo",
                       "27 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw\n28 1 253:2 / /x rw - ext4 /dev/mapper/vg-x rw\n"},
                  {"/sys/dev/block/253:1/dm/uuid", "LVM-1\n"}, {"/sys/dev/block/253:1/slaves/dm-0/dm/uuid", "CRYPT-LUKS2-2\n"},
                  {"/sys/dev/block/253:1/queue/rotational", "0\n"},
                  {"/sys/dev/block/253:2/dm/uuid", "LVM-2\n"}, {"/sys/dev/block/253:2/slaves/sda1/partition", "1\n"},
                  {"/sys/dev/block/253:2/queue/rotational", "0\n"});
        cr_expect(describe(&t, 27).encrypted);
        cr_expect(!describe(&t, 28).encrypted);
}

Test(host_dir, a_file_system_says_where_its_bytes_are)
{
        static const struct {
                const char   *name;
                enum dir_kind kind;
        } all[] = {{"ext4", DIR_LOCAL},    {"btrfs", DIR_LOCAL}, {"tmpfs", DIR_MEMORY},     {"nfs", DIR_NETWORK},
                   {"nfs4", DIR_NETWORK},
                   {"cifs", DIR_NETWORK},  {"9p", DIR_NETWORK},  {"fuse.sshfs", DIR_FUSE},  {"fuseblk", DIR_FUSE},
                   {"virtiofs", DIR_FUSE},
                   {"tmpfsx", DIR_LOCAL}};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char line[128];

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                snprintf(line, sizeof(line), "27 1 0:50 / / rw - %s none rw\n", all[i].name);
                HOST_TREE(&t, {"/proc/self/mountinfo", line});
                cr_expect_eq(describe(&t, 27).kind, all[i].kind, "%s", all[i].name);
                cr_expect_eq(describe(&t, 27).rotational, HOST_UNKNOWN);
        }
}

Test(host_dir, the_largest_file_of_a_real_directory_is_tried)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct host_dir d;
        struct err e = {0};

        tmpdir_write(&t, "state", "small", 5);
        tmpdir_write(&t, "memory", (char[8192]){0}, 8192);
        cr_assert_eq(host_dir_look(t.path, &d, &e), 0, "%s", e.text);
        cr_expect_str_eq(d.file, "memory");
        cr_expect_neq(d.direct, ENODATA);
        cr_expect_neq(d.nowait, ENODATA);
        cr_expect_neq(d.kind, DIR_UNKNOWN);
}

Test(host_dir, an_empty_directory_has_nothing_to_try_and_a_file_is_none)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[PATH_MAX + 16];
        struct host_dir d;
        struct err e = {0};

        cr_assert_eq(host_dir_look(t.path, &d, &e), 0, "%s", e.text);
        cr_expect_eq(d.direct, ENODATA);
        tmpdir_write(&t, "file", "x", 1);
        snprintf(path, sizeof(path), "%s/file", t.path);
        cr_expect_eq(host_dir_look(path, &d, &e), -ENOTDIR);
        cr_expect(strstr(e.text, path));
}
