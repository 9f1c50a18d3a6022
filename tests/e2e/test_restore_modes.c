/* Every snapshot goes on where it stood, in every mode, with hints and without. */
#include "tests/e2e/modes_rig.h"

Test(restore_modes, a_native_snapshot_of_one_vcpu_goes_on_in_every_mode, .timeout = 120)
{
        check_native("128M", "1");
}

Test(restore_modes, a_native_snapshot_of_two_vcpus_goes_on_in_every_mode, .timeout = 120)
{
        check_native("128M", "2");
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
