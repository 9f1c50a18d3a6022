/* A guest that saw a CPU feature which is not here is told so before it runs. */
#include "tests/support/edit_native.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* amd_psfd and ipred_ctrl never meet on one CPU; the last bit of leaf 7.2 EDX has no name. */
static void add_features(struct vm_state *vm, void *arg)
{
        struct vcpu_state *v = &vm->vcpus[0];
        struct kvm_cpuid_entry2 *more = realloc(v->cpuid, (v->nr_cpuid + 1) * sizeof(*more));
        (void)arg;

        cr_assert(more);
        v->cpuid = more;
        v->cpuid[v->nr_cpuid++] = (struct kvm_cpuid_entry2){
                .function = 7, .index = 2, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .edx = 1u << 1 | 1u << 31};
        for (uint32_t i = 0; i < v->nr_cpuid; i++)
                if (v->cpuid[i].function == 0x80000008)
                        v->cpuid[i].ebx |= 1u << 13; /* nor has this one */
}

static void as_it_is(struct vm_state *vm, void *arg)
{
        (void)vm, (void)arg;
}

Test(cpu_mismatch, a_feature_that_is_not_here_is_named_and_the_option_lets_it_pass, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char from[4300], to[4300], until[64];
        struct saved s;
        struct child c;

        need_kvm();
        need_uffd();
        snprintf(from, sizeof(from), "%s/from", t.path);
        snprintf(to, sizeof(to), "%s/to", t.path);
        s = make_native(from, "128M", "1");
        edit_native(from, to, add_features, NULL);
        c = RUN(30000, rouse_program(), "restore", to, "--timeout", "20s");
        cr_expect_eq(c.status, 4, "exit %d: %s", c.status, c.err);
        cr_expect_str_empty(c.out);
        cr_expect(strstr(c.err, "ipred_ctrl") && strstr(c.err, "leaf 0x7.2 edx bit 31") &&
                  strstr(c.err, "leaf 0x80000008 ebx bit 13"), "%s", c.err);
        cr_expect(strstr(c.err, "--allow-cpu-mismatch"), "%s", c.err);
        cr_expect_eq(strchr(c.err, '\n'), c.err + c.err_len - 1, "expected one line, found: %s", c.err);
        child_free(&c);
        c = RUN(30000, rouse_program(), "restore", to, "--allow-cpu-mismatch", "--until", tick_pattern(until, &s, 1), "--timeout",
                "20s");
        cr_expect_eq(c.status, 0, "exit %d: %s", c.status, c.err);
        cr_expect(strstr(c.err, "ipred_ctrl"), "the mismatch is said: %s", c.err);
        assert_joins(&s, c.out, 2);
        child_free(&c);
}

Test(cpu_mismatch, the_same_host_lacks_nothing, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char from[4300], to[4300], until[64];
        struct saved s;
        struct child c;

        need_kvm();
        need_uffd();
        snprintf(from, sizeof(from), "%s/from", t.path);
        snprintf(to, sizeof(to), "%s/to", t.path);
        s = make_native(from, "128M", "2");
        edit_native(from, to, as_it_is, NULL);
        c = RUN(30000, rouse_program(), "restore", to, "--until", tick_pattern(until, &s, 1), "--timeout", "20s");
        cr_expect_eq(c.status, 0, "exit %d: %s", c.status, c.err);
        cr_expect_str_empty(c.err);
        child_free(&c);
}
