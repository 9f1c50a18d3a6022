/* Every snapshot goes on where it stood, in every mode, with hints and without. */
#include "tests/support/disk.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define TICKS 101 /* the next one, then 100 more */

static void assert_wakes_in_every_mode(const struct saved *s, const struct tmpdir *t)
{
        char hints[4300];

        snprintf(hints, sizeof(hints), "%s/hints", t->path);
        assert_wakes(s, TICKS, WORDS("--mode", "eager"));
        assert_wakes(s, TICKS, WORDS("--mode", "mmap"));
        assert_wakes(s, TICKS, WORDS("--mode", "lazy", "--hints", "none"));
        assert_wakes(s, 3, WORDS("--record", hints));
        assert_wakes(s, TICKS, WORDS("--mode", "lazy", "--hints", hints));
        assert_wakes(s, TICKS, WORDS("--mode", "lazy", "--hints", hints, "--fill", "off"));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", "none"));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", "none", "--verify", "off", "--fill", "off"));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", hints));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", hints, "--verify", "off"));
}

static void check_native(const char *memory, const char *cpus)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300];
        struct saved s;

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/snapshot", t.path);
        s = make_native(path, memory, cpus);
        assert_wakes_in_every_mode(&s, &t);
}

static void check_fixture(const char *name, bool with_disk)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;

        need_kvm();
        need_uffd();
        setenv("XDG_DATA_HOME", t.path, 1); /* no index of an earlier run */
        s = use_fixture(name);
        if (with_disk) {
                snprintf(s.disk, sizeof(s.disk), "%s/disk.img", t.path);
                make_disk(s.disk);
                s.known_disk = true;
        }
        assert_wakes_in_every_mode(&s, &t);
}

Test(restore_modes, a_native_snapshot_of_one_vcpu_goes_on_in_every_mode, .timeout = 120)
{
        check_native("128M", "1");
}

Test(restore_modes, a_native_snapshot_of_two_vcpus_goes_on_in_every_mode, .timeout = 120)
{
        check_native("128M", "2");
}

Test(restore_modes, a_native_snapshot_of_four_vcpus_goes_on_in_every_mode, .timeout = 120)
{
        check_native("128M", "4");
}

Test(restore_modes, a_native_snapshot_of_4_gib_around_the_pci_hole_goes_on_in_every_mode, .timeout = 120)
{
        check_native("4G", "1");
}

Test(restore_modes, stratovirt_microvm_128m_goes_on_in_every_mode, .timeout = 120)
{
        check_fixture("stratovirt/microvm-128m", false);
}

Test(restore_modes, stratovirt_microvm_1g_busy_goes_on_in_every_mode, .timeout = 120)
{
        check_fixture("stratovirt/microvm-1g-busy", false);
}

Test(restore_modes, stratovirt_microvm_128m_blk_reads_its_disk_in_every_mode, .timeout = 120)
{
        check_fixture("stratovirt/microvm-128m-blk", true);
}

Test(restore_modes, stratovirt_microvm_256m_smp2_blk_net_reads_its_disk_in_every_mode, .timeout = 120)
{
        check_fixture("stratovirt/microvm-256m-smp2-blk-net", true);
}
