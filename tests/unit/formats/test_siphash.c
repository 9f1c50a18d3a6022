/* test_siphash: the names of StratoVirt's records, as Rust makes them. */
#include "formats/siphash.h"

#include "core/base/units.h"

#include <criterion/criterion.h>

Test(siphash, it_names_types_and_records_as_rusts_default_hasher_does)
{
        static const struct {
                const char *text;
                uint64_t    hash;
        } known[] = {
                { "", 0x30406ea523c53def },
                { "kvm", 0x8b08d5eb273931b1 },
                { "FsState", 0xc991aba2af1fce2e },
                { "RngState", 0x3e44002ab80e3b2e },
                { "BlockState", 0x97f45067c77ac841 },
                { "KvmDeviceState", 0x7e8d967da305834c },
                { "X86CPUState/1", 0x99fe31d56a694966 },
                { "VirtioMmioState", 0x6ff737f3efe10f3f },
                { "VirtioMmioState/5", 0xb77346fa2e27555d },
                { "VirtioSerialState", 0x76533b31f8d257e1 },
                { "SerialState/serial", 0x051e785959e9eb3c },
        };

        for (size_t i = 0; i < ARRAY_LEN(known); i++)
                cr_assert_eq(siphash13_str(known[i].text), known[i].hash, "%s", known[i].text);
}
