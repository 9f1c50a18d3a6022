/* A guest whose balloon moves, also while its memory is still coming: what it takes back is zeros, what it kept is what it
 * was. */
#include "formats/hints_file.h"
#include "tests/e2e/balloon_rig.h"

Test(balloon, it_moves_during_a_lazy_restore, .timeout = 200)
{
        check(WORDS("--mode", "lazy", "--hints", "none"));
}

Test(balloon, it_moves_where_auto_maps, .timeout = 200)
{
        check(WORDS("--mode", "auto", "--verify", "off"));
}

/* Touched, given back, never touched again: nobody brings such a page any more when the recording is held against the
 * snapshot. */
Test(balloon, a_recording_of_a_guest_that_gave_pages_back_is_kept, .timeout = 100)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        const uint64_t bytes = pages_to_bytes(4000);
        char path[4300], record[4300], name[64];
        struct hints h = {0};
        struct saved s;
        struct child vm;

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/snapshot", t.path);
        snprintf(record, sizeof(record), "%s/record", t.path);
        s = make(&t, path);
        vm = START(rouse_program(), "restore", s.path, "--record", record, "--name", unique_name(name), "--until",
                   " balloon=4000 ", "--timeout", "60s");
        cr_assert(child_wait_output(&vm, "TICK ", PATIENCE_MS), "%s", vm.err);
        (void)ask(&t, name, &bytes);
        cr_assert_eq(child_wait(&vm, PATIENCE_MS), 0, "%s", vm.err);
        cr_assert_eq(hints_file_read_any(record, &h, NULL), 0);
        cr_expect_gt(h.nr, 1000);
        hints_free(&h);
        child_free(&vm);
}

/* --- what it is good for --- */

/* How many bytes of data a snapshot of it takes. */
static uint64_t snapshot_bytes(const struct tmpdir *t, const char *name, const char *path)
{
        struct json_object *args = json_object_new_object();

        json_object_object_add(args, "dir", json_object_new_string(path));
        json_object_object_add(args, "replace", json_object_new_boolean(true));
        return execute(t, name, "snapshot", args, "data_bytes");
}

static uint64_t resident_bytes(pid_t pid)
{
        char path[64];
        unsigned long long all, resident;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
        f = fopen(path, "re");
        cr_assert(f && fscanf(f, "%llu %llu", &all, &resident) == 2);
        fclose(f);
        return pages_to_bytes(resident);
}

Test(balloon, the_host_has_its_memory_back_and_a_snapshot_has_zeros_for_it, .timeout = 200)
{
        static const char *const modes[] = {"eager", "lazy", "mmap", "auto"};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300], other[4300], name[64];
        struct saved s;

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/snapshot", t.path);
        snprintf(other, sizeof(other), "%s/other", t.path);
        s = make(&t, path);
        for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
                struct child vm = START(rouse_program(), "restore", s.path, "--mode", modes[i], "--name", unique_name(name),
                                        "--timeout",
                                        "100s");
                struct beacon_tick last;
                uint64_t full, full_data;
                char tick[64];

                cr_assert(child_wait_output(&vm, "TICK ", PATIENCE_MS), "%s", vm.err);
                move_to(&t, &vm, name, 100);
                /* The guest looks at all of its pool in 16 ticks: then all of it is here. */
                cr_assert(beacon_last(vm.out, &last));
                snprintf(tick, sizeof(tick), "TICK %llu ", (unsigned long long)last.n + 20);
                cr_assert(child_wait_output(&vm, tick, PATIENCE_MS));
                full_data = snapshot_bytes(&t, name, other);
                full = resident_bytes(vm.pid);
                move_to(&t, &vm, name, 8100);
                cr_expect_leq(resident_bytes(vm.pid) + 28 * MIB, full, "%s: %llu bytes before, %llu after", modes[i],
                              (unsigned long long)full, (unsigned long long)resident_bytes(vm.pid));
                /* but for a few pages of the guest's own that are no longer, or not yet, zero */
                cr_expect_leq(snapshot_bytes(&t, name, other) + pages_to_bytes(7990), full_data, "%s", modes[i]);
                child_free(&vm);
        }
}

Test(balloon, a_vm_without_one_says_so, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct json_object *request = json_tokener_parse("{\"execute\":\"balloon\"}"), *reply = NULL;
        char name[64], dir[4300];
        struct err e = {0};
        struct child vm;

        need_kvm();
        runtime_dir(&t, dir);
        vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--name", unique_name(name), "--timeout",
                   "60s");
        cr_assert(child_wait_output(&vm, "TICK 1 ", PATIENCE_MS), "%s", vm.err);
        cr_expect_lt(control_ask(dir, name, request, &reply, &e), 0);
        cr_expect(strstr(e.text, "--balloon"), "%s", e.text);
        json_object_put(request);
        child_free(&vm);
}
