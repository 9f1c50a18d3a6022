/* StratoVirt's files do not say in which slot a further device is: the user does, by --device N=KIND. */
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* A machine with an rng in slot 6 and a console in slot 7, saved in StratoVirt's format. */
static struct saved make_template(const struct tmpdir *t)
{
        char native[4150], path[4150], console[4200];
        struct saved s;
        struct child c;

        need_kvm();
        need_uffd();
        snprintf(native, sizeof(native), "%s/native", t->path);
        snprintf(path, sizeof(path), "%s/template", t->path);
        snprintf(console, sizeof(console), "file=%s/console", t->path);
        s = make_native_of("beacon", native, 2, WORDS("--memory", "128M", "--rng", "--console", console));
        c = RUN(60000, rouse_program(), "convert", native, path, "--format", "stratovirt");
        cr_assert_eq(c.status, 0, "%s", c.err);
        child_free(&c);
        snprintf(s.path, sizeof(s.path), "%s", path);
        return s;
}

static void assert_refused(const struct saved *s, const char *const *words, int status, const char *expected)
{
        const char *argv[16] = {rouse_program(), "restore", s->path, "--timeout", "10s"};
        struct child c;
        size_t n = 5;

        for (size_t i = 0; words[i]; i++)
                argv[n++] = words[i];
        c = child_run(20000, argv);
        cr_assert_eq(c.status, status, "expected exit %d, found %d: %s", status, c.status, c.err);
        cr_assert(strstr(c.err, expected), "expected '%s' in: %s", expected, c.err);
        cr_assert_eq(c.out_len, 0, "the guest ran: %s", c.out);
        child_free(&c);
}

Test(optional_devices, a_machine_goes_on_when_every_slot_is_named, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make_template(&t);

        assert_wakes(&s, 21, WORDS("--device", "6=rng", "--device", "7=console"));
}

Test(optional_devices, a_device_whose_slot_nobody_named_is_refused_with_its_kind_and_the_option, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make_template(&t);

        assert_refused(&s, WORDS("--device", "6=rng"), 4, "--device N=console");
        assert_refused(&s, WORDS("--device", "7=console"), 4, "--device N=rng");
}

Test(optional_devices, a_device_that_the_snapshot_does_not_have_is_refused, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make_template(&t);

        assert_refused(&s, WORDS("--device", "6=rng", "--device", "7=console", "--device", "8=balloon"), 4, "balloon");
        assert_refused(&s, WORDS("--device", "6=rng", "--device", "6=console"), 2, "slot 6");
}
