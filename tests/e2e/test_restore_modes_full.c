/* Every snapshot goes on where it stood, in every mode: the large ones, and those with many vCPUs. */
#include "tests/e2e/modes_rig.h"

Test(restore_modes_full, a_native_snapshot_of_four_vcpus_goes_on_in_every_mode, .timeout = 300)
{
        check_native("128M", "4");
}

Test(restore_modes_full, a_native_snapshot_of_4_gib_around_the_pci_hole_goes_on_in_every_mode, .timeout = 300)
{
        check_native("4G", "1");
}

Test(restore_modes_full, stratovirt_microvm_256m_smp2_blk_net_reads_its_disk_in_every_mode, .timeout = 300)
{
        check_fixture("stratovirt/microvm-256m-smp2-blk-net", true);
}
