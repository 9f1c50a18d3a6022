/* CPUID tables as pure data: topology of our own machine, and StratoVirt's as stratovirt.md 2.7 has it. */
#include "core/base/units.h"
#include "kvm/cpuid.h"
#include "kvm/sys.h"
#include "tests/support/need.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <unistd.h>

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* An Intel host with every leaf that is rewritten; caches of level 1 and 3. */
static struct cpuid_table intel(void)
{
        return (struct cpuid_table){
                .nr = 12,
                .v = {
                        { .function = 0, .eax = 0x1f },
                        { .function = 1, .ebx = 0x00800800, .edx = 1u << 28 },
                        { .function = 4, .index = 0, .flags = INDEXED, .eax = 0x1c004121 },
                        { .function = 4, .index = 3, .flags = INDEXED, .eax = 0x1c03c163 },
                        { .function = 4, .index = 4, .flags = INDEXED },
                        { .function = 6, .ecx = 0x9 },
                        { .function = 0xa, .eax = 0x08300805 },
                        { .function = 0xb, .index = 0, .flags = INDEXED },
                        { .function = 0xb, .index = 1, .flags = INDEXED },
                        { .function = 0x1f, .index = 0, .flags = INDEXED, .eax = 7, .ebx = 7, .ecx = 7, .edx = 7 },
                        { .function = 0x80000000, .eax = 0x80000008 },
                        { .function = 0x80000008, .eax = 0x3030, .ecx = 0 },
                },
        };
}

static const struct cpu_topology smp1 = { .max_vcpus = 1, .threads = 1, .cores = 1, .dies = 1, .sockets = 1 };
static const struct cpu_topology smp4 = { .max_vcpus = 4, .threads = 1, .cores = 4, .dies = 1, .sockets = 1 };

Test(cpuid, a_leaf_is_found_by_its_sub_leaf_where_it_has_some)
{
        struct cpuid_table t = intel();

        cr_assert_eq(cpuid_find(&t, 4, 3), &t.v[3]);
        cr_assert_eq(cpuid_find(&t, 1, 5), &t.v[1]);
        cr_assert_null(cpuid_find(&t, 4, 9));
        cr_assert_null(cpuid_find(&t, 2, 0));
}

Test(cpuid, native_vcpus_are_cores_of_one_package)
{
        struct cpuid_table              host = intel(), t;
        const struct kvm_cpuid_entry2 *c;

        cr_assert_eq(cpuid_native(&host, 3, 6, &t), 0);
        c = cpuid_find(&t, 1, 0);
        cr_assert_eq(c->ebx >> 24, 3);
        cr_assert_eq(c->ebx >> 16 & 0xff, 8, "room for 6 ids is 8");
        cr_assert_eq(c->ecx, 1u << 31 | 1u << 24);
        cr_assert_neq(c->edx & 1u << 28, 0);
        for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x1f - 0xb) {
                c = cpuid_find(&t, leaf, 0);
                cr_assert_eq(c->eax, 0);
                cr_assert_eq(c->ebx, 1);
                cr_assert_eq(c->ecx, 0x100);
                cr_assert_eq(c->edx, 3);
                c = cpuid_find(&t, leaf, 1);
                cr_assert_eq(c->eax, 3, "6 cores take 3 bits");
                cr_assert_eq(c->ebx, 6);
                cr_assert_eq(c->ecx, 0x201);
                c = cpuid_find(&t, leaf, 2);
                cr_assert_eq(c->ebx, 0);
                cr_assert_eq(c->ecx, 2);
        }
}

Test(cpuid, native_level_3_caches_are_shared_and_the_others_are_not)
{
        struct cpuid_table host = intel(), t;

        cr_assert_eq(cpuid_native(&host, 0, 4, &t), 0);
        cr_assert_eq(cpuid_find(&t, 4, 0)->eax, 0x121u | 3u << 26);
        cr_assert_eq(cpuid_find(&t, 4, 3)->eax, 0x163u | 3u << 14 | 3u << 26);
        cr_assert_eq(cpuid_find(&t, 4, 4)->eax, 0);
}

Test(cpuid, one_native_vcpu_has_no_siblings)
{
        struct cpuid_table host = intel(), t;

        cr_assert_eq(cpuid_native(&host, 0, 1, &t), 0);
        cr_assert_eq(cpuid_find(&t, 1, 0)->edx & 1u << 28, 0);
        cr_assert_eq(cpuid_find(&t, 0xb, 1)->eax, 0);
        cr_assert_eq(cpuid_find(&t, 0xb, 1)->ebx, 1);
}

Test(cpuid, amd_leaves_are_set_only_where_the_host_has_them)
{
        struct cpuid_table host = intel(), t;

        cr_assert_eq(cpuid_native(&host, 2, 4, &t), 0);
        cr_assert_eq(cpuid_find(&t, 0x80000008, 0)->ecx, 0);
        host.v[host.nr++] = (struct kvm_cpuid_entry2){ .function = 0x8000001e };
        cr_assert_eq(cpuid_native(&host, 2, 4, &t), 0);
        cr_assert_eq(cpuid_find(&t, 0x80000008, 0)->ecx, 0x2003);
        cr_assert_eq(cpuid_find(&t, 0x8000001e, 0)->eax, 2);
}

Test(cpuid, a_full_host_table_has_no_room_for_topology)
{
        struct cpuid_table host = intel(), t = { .nr = 77 };

        for (; host.nr < CPUID_MAX; host.nr++)
                host.v[host.nr] = (struct kvm_cpuid_entry2){ .function = 0x40000000 + host.nr };
        cr_assert_eq(cpuid_native(&host, 0, 4, &t), -ENOSPC);
        cr_assert_eq(t.nr, 77, "the output stays untouched");
}

Test(cpuid, stratovirt_250_counts_24_too_many_bits_a_term)
{
        struct cpu_topology t = smp1;
        struct cpuid_table  host = intel(), c;

        t.u8_offsets = true;
        cr_assert_eq(cpuid_stratovirt(&host, 0, &t, &c), 0);
        cr_assert_eq(cpuid_find(&c, 0xb, 0)->eax, 24);
        cr_assert_eq(cpuid_find(&c, 0xb, 0)->ebx, 1);
        cr_assert_eq(cpuid_find(&c, 0xb, 0)->ecx, 0x100);
        cr_assert_eq(cpuid_find(&c, 0xb, 1)->eax, 72);
        cr_assert_eq(cpuid_find(&c, 0xb, 1)->ecx, 0x201);
}

Test(cpuid, stratovirt_before_250_counts_right)
{
        struct cpuid_table host = intel(), c;

        cr_assert_eq(cpuid_stratovirt(&host, 2, &smp4, &c), 0);
        cr_assert_eq(cpuid_find(&c, 0xb, 0)->eax, 0);
        cr_assert_eq(cpuid_find(&c, 0xb, 1)->eax, 2);
        cr_assert_eq(cpuid_find(&c, 0xb, 1)->ebx, 4);
        cr_assert_eq(cpuid_find(&c, 0xb, 1)->edx, 2);
}

Test(cpuid, stratovirt_rewrites_the_leaves_of_its_list)
{
        struct cpuid_table host = intel(), c;

        cr_assert_eq(cpuid_stratovirt(&host, 2, &smp4, &c), 0);
        cr_assert_eq(c.nr, host.nr, "none is added");
        cr_assert_eq(cpuid_find(&c, 1, 0)->ebx, 0x02000800);
        cr_assert_eq(cpuid_find(&c, 1, 0)->ecx, 1u << 31 | 1u << 24);
        cr_assert_eq(cpuid_find(&c, 4, 0)->eax, (0x1c004121u & ~(0x3fu << 26)) | 3u << 26);
        cr_assert_eq(cpuid_find(&c, 4, 4)->eax, 0);
        cr_assert_eq(cpuid_find(&c, 6, 0)->ecx, 1);
        cr_assert_eq(cpuid_find(&c, 0xa, 0)->eax, 0, "version 5");
        cr_assert_eq(cpuid_find(&c, 0x1f, 0)->ebx, 0, "one die");
}

Test(cpuid, stratovirt_with_dies_adds_leaf_1f_where_the_host_has_none)
{
        struct cpu_topology t = { .max_vcpus = 8, .threads = 1, .cores = 4, .dies = 2, .sockets = 1 };
        struct cpuid_table  host = intel(), c;

        host.v[0].eax = 0x16;
        host.v[9].function = 0x16; /* no leaf 0x1f */
        cr_assert_eq(cpuid_stratovirt(&host, 5, &t, &c), 0);
        cr_assert_eq(c.nr, host.nr + 4);
        cr_assert_eq(cpuid_find(&c, 0, 0)->eax, 0x1f);
        cr_assert_eq(cpuid_find(&c, 0x1f, 1)->eax, 2);
        cr_assert_eq(cpuid_find(&c, 0x1f, 2)->eax, 3);
        cr_assert_eq(cpuid_find(&c, 0x1f, 2)->ebx, 8);
        cr_assert_eq(cpuid_find(&c, 0x1f, 2)->ecx, 0x502);
        cr_assert_eq(cpuid_find(&c, 0x1f, 3)->ebx, 0);
}

Test(cpuid, a_topology_with_a_zero_is_refused)
{
        struct cpuid_table host = intel(), c;

        for (size_t i = 0; i < 4; i++) {
                struct cpu_topology t = smp4;
                uint8_t            *fields[] = { &t.max_vcpus, &t.threads, &t.cores, &t.dies };

                *fields[i] = 0;
                cr_assert_eq(cpuid_stratovirt(&host, 0, &t, &c), -EINVAL);
        }
}

Test(cpuid, the_hosts_table_is_what_kvm_supports)
{
        struct cpuid_table t;
        struct err         e = { 0 };
        int                fd;

        need_kvm();
        fd = kvm_open();
        cr_assert_eq(cpuid_host(fd, &t, &e), 0, "%s", e.text);
        cr_assert_gt(t.nr, 10);
        cr_assert_not_null(cpuid_find(&t, 1, 0));
        close(fd);
}
