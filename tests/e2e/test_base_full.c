/* Snapshots over a base, at length: every mode, tracked and compared; the balloon's pages; chains; one save after another. */
#include "core/base/units.h"
#include "core/control/client.h"
#include "tests/e2e/base_rig.h"
#include "tests/support/fixture.h"

#include <unistd.h>

Test(base_full, what_changed_is_found_to_the_last_bit_in_every_mode_tracked_or_compared, .timeout = 300)
{
        static const struct way ways[] = {
                {"lazy-compare", {"--mode", "lazy"}},
                {"lazy-track", {"--mode", "lazy", "--track-dirty"}},
                {"half-compare", {"--mode", "lazy", "--fill", "off"}},
                {"half-track", {"--mode", "lazy", "--fill", "off", "--track-dirty"}},
                {"mmap-compare", {"--mode", "mmap"}},
                {"mmap-track", {"--mode", "mmap", "--track-dirty"}},
                {"auto-compare", {"--mode", "auto"}},
                {"auto-track", {"--mode", "auto", "--verify", "off", "--fill", "off", "--track-dirty"}},
                {"eager-compare", {"--mode", "eager"}},
                {"eager-track", {"--mode", "eager", "--track-dirty"}},
                {"memfd-compare", {"--mode", "lazy", "--fill", "off", "--memory-backing", "memfd"}},
                {"memfd-track", {"--mode", "lazy", "--memory-backing", "memfd", "--track-dirty"}},
        };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;

        need_kvm();
        need_uffd();
        s = make_native(in(&t, "first").path, "64M", "2");
        check_ways(&t, &s, ways, ARRAY_LEN(ways));
}

Test(base_full, a_foreign_base_is_as_good, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture("stratovirt/microvm-128m");

        need_kvm();
        need_uffd();
        json_object_put(check_equal(&t, &s, "compare", WORDS("--mode", "lazy", "--fill", "off")));
        json_object_put(check_equal(&t, &s, "track", WORDS("--mode", "mmap", "--track-dirty")));
}

static void ask_for(const struct tmpdir *t, const char *name, uint64_t pages)
{
        struct json_object *request = json_object_new_object(), *args = json_object_new_object(), *reply = NULL;
        struct place runtime_dir = in(t, "rouse");
        struct err e = {0};

        json_object_object_add(args, "bytes", json_object_new_uint64(pages_to_bytes(pages)));
        json_object_object_add(request, "execute", json_object_new_string("balloon"));
        json_object_object_add(request, "arguments", args);
        cr_assert_eq(control_ask(runtime_dir.path, name, request, &reply, &e), 0, "%s", e.text);
        json_object_put(reply);
        json_object_put(request);
}

static void check_balloon(const struct tmpdir *t, const struct saved *s, const char *tag, const char *const *words)
{
        char name[64];
        struct child vm = wake(s, unique_name(name), 1, words);

        ask_for(t, name, 2048);
        cr_assert(child_wait_output(&vm, " balloon=2048 ", PATIENCE_MS), "%s%s", vm.out, vm.err);
        json_object_put(check_equal_of(t, s, tag, vm, name));
}

/* Never fetched or there, tracked or not: what the guest gave back is zero, and not the base's. */
Test(base_full, what_the_balloon_gave_back_is_zero_in_the_child, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;

        need_kvm();
        need_uffd();
        setenv("XDG_RUNTIME_DIR", t.path, 1);
        s = make_native_of("balloon", in(&t, "first").path, 3, WORDS("--memory", "128M", "--balloon"));
        check_balloon(&t, &s, "track", WORDS("--mode", "lazy", "--fill", "off", "--track-dirty"));
        check_balloon(&t, &s, "compare", WORDS("--mode", "lazy"));
        check_balloon(&t, &s, "mapped", WORDS("--mode", "mmap", "--track-dirty"));
}

Test(base_full, a_chain_of_five_wakes_in_every_mode, .timeout = 300)
{
        check_chain(false, false, "none");
}

Test(base_full, a_chain_of_five_that_was_tracked_and_half_fetched_wakes_in_every_mode, .timeout = 300)
{
        check_chain(true, true, "none");
}

Test(base_full, a_chain_of_five_some_of_them_packed_wakes, .timeout = 300)
{
        check_chain(true, true, "lz4");
}

/* The second one's base is the first one: what is tracked goes on from there. */
Test(base_full, a_running_vm_is_saved_over_and_over_each_over_the_last, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct place path[5] = {in(&t, "0"), in(&t, "1"), in(&t, "2"), in(&t, "3"), in(&t, "4")}, whole = in(&t, "whole"),
                     flat = in(&t, "flat");
        struct saved s;
        struct child vm;
        char name[64];

        need_kvm();
        need_uffd();
        s = make_native(path[0].path, "64M", "2");
        vm = wake(&s, unique_name(name), 1, WORDS("--mode", "lazy", "--fill", "off", "--track-dirty"));
        for (unsigned g = 1; g < 5; g++) {
                struct json_object *ledger = save(&t, name, path[g].path, path[g - 1].path, g == 4 ? "pause" : "resume");

                cr_assert_eq(number(ledger, "compared_bytes"), 0);
                cr_assert_gt(number(ledger, "unfetched_bytes"), 0);
                json_object_put(ledger);
                usleep(100000);
        }
        json_object_put(save(&t, name, whole.path, NULL, "quit"));
        convert(path[4].path, flat.path);
        assert_same_memory(whole.path, flat.path);
        child_wait(&vm, PATIENCE_MS);
        child_free(&vm);
}
