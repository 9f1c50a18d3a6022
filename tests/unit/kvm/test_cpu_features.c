/* What a guest saw and a host lacks, with doctored tables: names, exceptions, and what can be told without a CPUID. */
#include "kvm/cpu_features.h"
#include "kvm/cpuid_cache.h"
#include "kvm/sys.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX

static struct cpuid_table intel(void)
{
        return (struct cpuid_table){
                .nr = 7,
                .v = {
                        { .function = 0, .eax = 0x1f, .ebx = 0x756e6547, .edx = 0x49656e69, .ecx = 0x6c65746e },
                        { .function = 1, .ecx = 1u << 26 | 1u << 28, .edx = 0x1fff },
                        { .function = 7, .index = 0, .flags = INDEXED, .ebx = 1u << 7 | 1u << 16 | 1u << 20, .ecx = 1u << 3 },
                        { .function = 7, .index = 1, .flags = INDEXED, .eax = 1u << 4 },
                        { .function = 0xd, .index = 0, .flags = INDEXED, .eax = 0x2e7 },
                        { .function = 0xd, .index = 1, .flags = INDEXED, .eax = 0xf },
                        { .function = 0x80000001, .edx = 1u << 11 | 1u << 20 | 1u << 29 },
                },
        };
}

struct guest {
        struct cpuid_table cpuid;
        struct vcpu_state  vcpu;
        struct vm_state    vm;
};

static void make_guest(struct guest *g, const struct cpuid_table *saw)
{
        *g = (struct guest){ .cpuid = *saw };
        g->vcpu.have = 1u << VCPU_CPUID;
        g->vcpu.cpuid_origin = CPUID_SAVED;
        g->vcpu.nr_cpuid = saw->nr;
        g->vcpu.cpuid = g->cpuid.v;
        g->vm.nr_vcpus = 1;
        g->vm.vcpus = &g->vcpu;
}

static void expect_lacking(const struct vm_state *vm, const struct cpuid_table *host, int count, const char *names)
{
        char text[400];

        cr_expect_eq(cpu_features_lacking(vm, host, text, sizeof(text)), count, "%s", text);
        cr_expect_str_eq(text, names);
}

Test(cpu_features, the_same_cpu_lacks_nothing)
{
        struct cpuid_table host = intel();
        struct guest       g;

        make_guest(&g, &host);
        expect_lacking(&g.vm, &host, 0, "");
}

Test(cpu_features, a_host_that_has_more_lacks_nothing)
{
        struct cpuid_table host = intel(), saw = intel();
        struct guest       g;

        saw.v[2].ebx = 0;
        saw.nr = 4;
        make_guest(&g, &saw);
        expect_lacking(&g.vm, &host, 0, "");
}

Test(cpu_features, what_is_lacking_is_named_once)
{
        struct cpuid_table host = intel(), saw = intel();
        struct guest       g;

        host.v[2].ebx &= ~(1u << 16);
        host.v[2].ecx = 0;
        host.v[4].eax = 7; /* the state components of the same two */
        make_guest(&g, &saw);
        expect_lacking(&g.vm, &host, 2, "avx512f, pku");
}

Test(cpu_features, a_bit_without_a_name_is_told_by_its_place)
{
        struct cpuid_table host = intel(), saw = intel();
        struct guest       g;

        saw.v[1].ecx |= 1u << 16;
        saw.v[3].eax |= 1u << 25;
        saw.v[6].edx |= 1u << 10;
        make_guest(&g, &saw);
        expect_lacking(&g.vm, &host, 3, "leaf 1 ecx bit 16, leaf 0x7.1 eax bit 25, leaf 0x80000001 edx bit 10");
}

Test(cpu_features, what_kvm_or_the_vmm_makes_by_itself_does_not_count)
{
        struct cpuid_table host = intel(), saw = intel();
        struct guest       g;

        saw.v[1].ecx |= 1u << 24 | 1u << 27 | 1u << 31; /* TSC deadline, OSXSAVE, hypervisor */
        saw.v[1].edx |= 1u << 28;                       /* HTT */
        saw.v[1].ebx = 0x05100800;                      /* APIC id, how many */
        saw.v[2].ecx |= 1u << 4;                        /* OSPKE */
        saw.v[6].ecx |= 1u << 1 | 1u << 22;             /* topology */
        make_guest(&g, &saw);
        expect_lacking(&g.vm, &host, 0, "");
}

Test(cpu_features, another_vendor_is_named)
{
        struct cpuid_table host = intel(), saw = intel();
        struct guest       g;

        memcpy(&host.v[0].ebx, "Auth", 4);
        memcpy(&host.v[0].edx, "enti", 4);
        memcpy(&host.v[0].ecx, "cAMD", 4);
        make_guest(&g, &saw);
        expect_lacking(&g.vm, &host, 1, "vendor GenuineIntel, this host AuthenticAMD");
        memcpy(&g.cpuid.v[0].ebx, "\x1b[2J", 4);
        expect_lacking(&g.vm, &host, 1, "vendor ?[2JineIntel, this host AuthenticAMD");
}

Test(cpu_features, without_a_cpuid_it_is_told_from_what_the_guest_switched_on)
{
        struct cpuid_table host = intel();
        struct guest       g;

        make_guest(&g, &host);
        g.vcpu.cpuid_origin = CPUID_STRATOVIRT;
        g.vcpu.have = 1u << VCPU_SREGS | 1u << VCPU_XCRS;
        g.vcpu.sregs.cr4 = 1u << 5 | 1u << 18 | 1u << 20 | 1u << 21 | 1u << 22;
        g.vcpu.sregs.efer = 0xd01;
        g.vcpu.xcrs = (struct kvm_xcrs){ .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = 0x2e7 } } };
        expect_lacking(&g.vm, &host, 0, "");
        g.vcpu.sregs.cr4 |= 1u << 12;  /* LA57 */
        g.vcpu.sregs.efer |= 1u << 12; /* SVME */
        g.vcpu.xcrs.xcrs[0].value |= 3u << 17;
        expect_lacking(&g.vm, &host, 3, "la57, amx_tile, svm");
}

Test(cpu_features, a_list_that_is_too_long_says_how_many_are_left_out)
{
        struct cpuid_table host = intel(), saw = intel();
        struct guest       g;
        char               text[60];

        saw.v[2].ebx = saw.v[2].ecx = ~0u;
        make_guest(&g, &saw);
        cr_expect_gt(cpu_features_lacking(&g.vm, &host, text, sizeof(text)), 50);
        cr_expect(strstr(text, ", and ") && strstr(text, " more"), "%s", text);
        cr_expect_lt(strlen(text), sizeof(text));
}

static int open_kvm(void)
{
        int fd = kvm_open();

        cr_assert_geq(fd, 0);
        return fd;
}

Test(cpuid_cache, what_was_put_is_got_again)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct cpuid_table             in = intel(), out = { 0 };
        char                           path[4300];
        struct stat                    st;
        int                            fd;

        need_kvm();
        fd = open_kvm();
        snprintf(path, sizeof(path), "%s/not/yet/there", t.path);
        cr_expect_not(cpuid_cache_get(path, fd, &out));
        cpuid_cache_put(path, fd, &in);
        cr_assert_eq(stat(path, &st), 0);
        cr_expect_eq(st.st_mode & 0777, 0600);
        cr_assert(cpuid_cache_get(path, fd, &out));
        cr_expect_eq(memcmp(&in, &out, sizeof(in)), 0);
        close(fd);
}

Test(cpuid_cache, what_is_damaged_short_foreign_or_of_another_boot_is_not_believed)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct cpuid_table             in = intel(), out;
        char                           path[4300], byte;
        const off_t                    places[] = { 0, 8, 20, 60, 500 }; /* magic, version, boot, module, table */
        int                            kvm_fd, fd;

        need_kvm();
        kvm_fd = open_kvm();
        snprintf(path, sizeof(path), "%s/cache", t.path);
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
                cpuid_cache_put(path, kvm_fd, &in);
                fd = open(path, O_RDWR | O_CLOEXEC);
                cr_assert_eq(pread(fd, &byte, 1, places[i]), 1);
                byte ^= 1;
                cr_assert_eq(pwrite(fd, &byte, 1, places[i]), 1);
                close(fd);
                cr_expect_not(cpuid_cache_get(path, kvm_fd, &out), "byte %d", (int)places[i]);
        }
        cpuid_cache_put(path, kvm_fd, &in);
        cr_assert_eq(truncate(path, 10000), 0);
        cr_expect_not(cpuid_cache_get(path, kvm_fd, &out));
        cpuid_cache_put(path, kvm_fd, &in);
        cr_assert_eq(chmod(path, 0622), 0);
        cr_expect_not(cpuid_cache_get(path, kvm_fd, &out), "others can write to it");
        close(kvm_fd);
}
