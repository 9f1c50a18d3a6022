/* Machines on disk: what is written is read again, what is not whole is not there, and a state is dropped once. */
#include "core/base/cleanup.h"
#include "core/control/machine_store.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct identity one = {"11111111-1111-4111-8111-111111111111"}, two = {"22222222-2222-4222-8222-222222222222"};

static struct machine_store *open_machine(const struct tmpdir *t, const char *name)
{
        struct machine_store *m;
        struct err e = {0};

        cr_assert_eq(machine_store_open(t->path, name, true, &m, &e), 0, "%s", e.text);
        return m;
}

static struct machine_definition sample(void)
{
        struct machine_definition d = {
                .kernel = strdup("/boot/vmlinuz"),
                .append = strdup("console=ttyS0 \"quoted\""),
                .memory_bytes = 128 << 20,
                .nr_vcpus = 2,
                .serial = strdup("unix=/run/s"),
                .qmp = strdup("/run/qmp"),
                .nr_devices = 4,
                .devices =
                        {
                                {.kind = VIRTIO_BLK, .slot = 0, .path = strdup("/srv/a,b.raw"), .serial = strdup("S 1"),
                                 .readonly = true, .direct = true, .discard = true},
                                {.kind = VIRTIO_NET, .slot = 4, .tap = strdup("tap0"), .has_mac = true,
                                 .mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56}},
                                {.kind = VIRTIO_VSOCK, .slot = VIRTIO_SLOT_UNKNOWN, .path = strdup("/run/v"), .guest_cid = 3},
                                {.kind = VIRTIO_CONSOLE, .slot = 7, .path = strdup("/run/c"), .listen = true},
                        },
        };

        return d;
}

static void make_state(struct machine_store *m, const char *leaf)
{
        _cleanup_free_ char *path = machine_store_file(m, leaf), *file;

        cr_assert_eq(mkdir(path, 0700), 0);
        cr_assert_geq(asprintf(&file, "%s/memory", path), 0);
        close(open(file, O_WRONLY | O_CREAT, 0600));
}

Test(machine_store, a_definition_is_read_as_it_was_written)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_definition d = sample(), r = {0};
        struct machine_store *m = open_machine(&t, "web");
        struct err e = {0};

        cr_assert_eq(machine_store_write(m, &d, &e), 0, "%s", e.text);
        cr_assert_eq(machine_store_read(m, &r, &e), 0, "%s", e.text);
        cr_expect_str_eq(r.kernel, d.kernel);
        cr_expect_str_eq(r.append, d.append);
        cr_expect_null(r.initrd);
        cr_expect_str_eq(r.serial, d.serial);
        cr_expect_str_eq(r.qmp, d.qmp);
        cr_expect_eq(r.memory_bytes, d.memory_bytes);
        cr_expect_eq(r.nr_vcpus, 2);
        cr_assert_eq(r.nr_devices, 4);
        for (size_t i = 0; i < 4; i++) {
                const struct device_config *a = &d.devices[i], *b = &r.devices[i];

                cr_expect(a->kind == b->kind && a->slot == b->slot && a->readonly == b->readonly && a->direct == b->direct &&
                          a->discard == b->discard &&
                                  a->listen == b->listen && a->guest_cid == b->guest_cid && a->has_mac == b->has_mac &&
                                  memcmp(a->mac, b->mac, 6) == 0,
                          "device %zu", i);
                cr_expect(!a->path == !b->path && (!a->path || strcmp(a->path, b->path) == 0), "device %zu", i);
                cr_expect(!a->tap == !b->tap && (!a->tap || strcmp(a->tap, b->tap) == 0), "device %zu", i);
                cr_expect(!a->serial == !b->serial && (!a->serial || strcmp(a->serial, b->serial) == 0), "device %zu", i);
        }
        machine_definition_free(&d);
        machine_definition_free(&r);
        machine_store_close(m);
}

Test(machine_store, a_definition_that_makes_no_sense_is_refused_and_the_member_named)
{
        static const char head[] = "{\"version\":1,\"serial\":\"stdio\",\"memory_bytes\":4096,\"vcpus\":1,\"devices\":[";
        static const struct {
                const char *text, *says;
        } rows[] = {
                {"", "JSON"},
                {"[1]", "JSON"},
                {"{}", "\"version\""},
                {"{\"version\":2}", "\"version\""},
                {"{\"version\":1,\"serial\":\"stdio\",\"memory_bytes\":-1,\"vcpus\":1}", "\"memory_bytes\""},
                {"{\"version\":1,\"serial\":\"stdio\",\"memory_bytes\":4096}", "\"vcpus\""},
                {"{\"version\":1,\"memory_bytes\":4096,\"vcpus\":1}", "\"serial\""},
                {"{\"version\":1,\"serial\":7,\"memory_bytes\":4096,\"vcpus\":1}", "\"serial\""},
                {"+{\"kind\":\"sound\"}]}", "\"kind\""},
                {"+3]}", "\"kind\""},
                {"+{\"kind\":\"blk\",\"slot\":11}]}", "\"slot\""},
                {"+{\"kind\":\"blk\",\"slot\":0}]}", "\"path\""},
                {"+{\"kind\":\"console\",\"listen\":true}]}", "\"path\""},
                {"+{\"kind\":\"net\",\"mac\":\"52:54\"}]}", "\"mac\""},
                {"+1,1,1,1,1,1,1,1,1,1,1,1]}", "\"devices\""},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct machine_definition d = {0};
                struct err e = {0};
                char text[600];

                snprintf(text, sizeof(text), "%s%s", rows[i].text[0] == '+' ? head : "", rows[i].text + (rows[i].text[0] == '+'));
                cr_expect_lt(machine_definition_parse(text, "/a/definition.json", &d, &e), 0, "%s", text);
                cr_expect(strstr(e.text, rows[i].says) && strstr(e.text, "/a/definition.json"), "%s: %s", text, e.text);
        }
}

Test(machine_store, a_machine_that_is_not_there_is_told_so)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_store *m;
        struct err e = {0};

        cr_expect_eq(machine_store_open(t.path, "web", false, &m, &e), -ENOENT);
        cr_expect(strstr(e.text, "'web'"), "%s", e.text);
        cr_expect_eq(machine_store_open(t.path, "../web", true, &m, &e), -EINVAL);
}

Test(machine_store, one_at_a_time_holds_the_lock_and_asking_does_not_take_it)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_store *a = open_machine(&t, "web"), *b = open_machine(&t, "web");
        struct err e = {0};

        cr_expect_not(machine_store_is_locked(b));
        cr_assert_eq(machine_store_lock(a, &e), 0, "%s", e.text);
        cr_expect(machine_store_is_locked(b));
        cr_expect_eq(machine_store_lock(b, &e), -EADDRINUSE);
        machine_store_close(a);
        cr_expect_not(machine_store_is_locked(b));
        machine_store_close(b);
}

Test(machine_store, a_mark_is_of_one_state_and_goes_with_it)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_store *m = open_machine(&t, "web");
        struct err e = {0};

        make_state(m, "state");
        cr_expect_not(machine_store_is_begun(m, &one));
        cr_assert_eq(machine_store_mark_begun(m, &one, &e), 0, "%s", e.text);
        cr_expect(machine_store_is_begun(m, &one));
        cr_expect_not(machine_store_is_begun(m, &two));
        cr_assert_eq(machine_store_drop_state(m, -1, &e), 0, "%s", e.text);
        cr_expect_not(machine_store_has_state(m));
        cr_expect_not(machine_store_is_begun(m, &one));
        machine_store_close(m);
}

Test(machine_store, a_newer_state_is_not_dropped_in_place_of_the_one_that_is_held)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_store *m = open_machine(&t, "web");
        _cleanup_free_ char *state = machine_store_state_path(m), *other = machine_store_file(m, "other");
        struct err e = {0};
        int held;

        make_state(m, "state");
        held = machine_store_hold_state(m, &e);
        cr_assert_geq(held, 0);
        make_state(m, "other");
        cr_assert_eq(renameat2(AT_FDCWD, other, AT_FDCWD, state, RENAME_EXCHANGE), 0);
        cr_expect_eq(machine_store_drop_state(m, held, &e), 0);
        cr_expect(machine_store_has_state(m));
        cr_assert_eq(renameat2(AT_FDCWD, other, AT_FDCWD, state, RENAME_EXCHANGE), 0);
        cr_expect_eq(machine_store_drop_state(m, held, &e), 0);
        cr_expect_not(machine_store_has_state(m));
        close(held);
        machine_store_close(m);
}

Test(machine_store, what_a_killed_one_began_to_drop_is_swept_by_the_next_owner)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_store *m = open_machine(&t, "web");
        _cleanup_free_ char *dropped = machine_store_file(m, ".dropped");
        struct err e = {0};

        make_state(m, ".dropped");
        cr_assert_eq(machine_store_lock(m, &e), 0, "%s", e.text);
        cr_expect_neq(access(dropped, F_OK), 0);
        machine_store_close(m);
}

Test(machine_store, what_a_killed_one_was_writing_goes_with_the_state_and_with_the_machine)
{
        static const char *const leftovers[] = {".state.abcdef.rouse-tmp", ".0123456789abcdef.rouse-tmp"};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_store *m = open_machine(&t, "web");
        _cleanup_free_ char *first = machine_store_file(m, leftovers[0]), *second = machine_store_file(m, leftovers[1]);
        struct err e = {0};
        int fd;

        for (int i = 0; i < 2; i++) {
                make_state(m, leftovers[0]);
                close(open(second, O_WRONLY | O_CREAT, 0600));
                fd = open(first, O_RDONLY | O_DIRECTORY);
                cr_assert_eq(flock(fd, LOCK_EX), 0);
                cr_assert_eq(machine_store_drop_state(m, -1, &e), 0, "%s", e.text);
                cr_expect_eq(access(first, F_OK), 0, "somebody is writing it");
                cr_expect_neq(access(second, F_OK), 0);
                close(fd);
                cr_assert_eq(i ? machine_store_delete(m, &e) : machine_store_drop_state(m, -1, &e), 0, "%s", e.text);
                cr_expect_neq(access(first, F_OK), 0);
        }
        cr_expect_neq(access(machine_store_path(m), F_OK), 0);
        machine_store_close(m);
}

Test(machine_store, deleting_a_machine_leaves_what_rouse_did_not_make)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_definition d = sample(), r;
        struct machine_store *m = open_machine(&t, "web");
        _cleanup_free_ char *disk = machine_store_file(m, "disk.raw");
        struct err e = {0};

        cr_assert_eq(machine_store_write(m, &d, &e), 0, "%s", e.text);
        close(open(disk, O_WRONLY | O_CREAT, 0600));
        cr_expect_lt(machine_store_delete(m, &e), 0);
        cr_expect(strstr(e.text, machine_store_path(m)) && strstr(e.text, "other files"), "%s", e.text);
        cr_expect_eq(access(disk, F_OK), 0);
        cr_expect_eq(machine_store_read(m, &r, NULL), -ENOENT);
        machine_definition_free(&d);
        machine_store_close(m);
}

Test(machine_store, a_definition_that_cannot_be_written_leaves_none_of_another_machine)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_definition d = sample(), r;
        struct machine_store *m = open_machine(&t, "web");
        struct rlimit none = {0, RLIM_INFINITY};
        struct err e = {0};

        cr_assert_eq(machine_store_write(m, &d, &e), 0, "%s", e.text);
        d.nr_vcpus++;
        signal(SIGXFSZ, SIG_IGN);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0); /* as a disk that is full */
        cr_expect_eq(machine_store_write(m, &d, &e), -EFBIG, "%s", e.text);
        cr_expect_eq(machine_store_read(m, &r, NULL), -ENOENT);
        machine_definition_free(&d);
        machine_store_close(m);
}

Test(machine_store, a_machine_that_was_deleted_before_its_lock_was_taken_is_told_so)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_store *a = open_machine(&t, "web"), *b = open_machine(&t, "web");
        struct err e = {0};

        cr_assert_eq(machine_store_lock(a, &e), 0, "%s", e.text);
        cr_assert_eq(machine_store_delete(a, &e), 0, "%s", e.text);
        cr_expect_eq(machine_store_lock(b, &e), -ENOENT);
        machine_store_close(a);
        machine_store_close(b);
}

Test(machine_store, names_are_listed_in_order_and_a_deleted_machine_is_gone)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_definition d = sample();
        struct machine_store *b = open_machine(&t, "b"), *a = open_machine(&t, "a");
        struct err e = {0};
        char **names;
        size_t nr;

        cr_assert_eq(machine_store_write(a, &d, &e), 0, "%s", e.text);
        make_state(b, "state");
        cr_assert_eq(machine_store_mark_begun(b, &one, &e), 0);
        cr_assert_eq(machine_store_list(t.path, &names, &nr, &e), 0);
        cr_assert_eq(nr, 2);
        cr_expect_str_eq(names[0], "a");
        cr_expect_str_eq(names[1], "b");
        free(names[0]);
        free(names[1]);
        free(names);
        cr_assert_eq(machine_store_delete(b, &e), 0, "%s", e.text);
        cr_assert_eq(machine_store_delete(a, &e), 0, "%s", e.text);
        cr_assert_eq(machine_store_list(t.path, &names, &nr, &e), 0);
        cr_expect_eq(nr, 0);
        free(names);
        machine_definition_free(&d);
        machine_store_close(a);
        machine_store_close(b);
}

Test(machine_store, a_machine_that_never_ran_leaves_nothing)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct machine_store *m = open_machine(&t, "web");
        struct err e = {0};

        cr_assert_eq(machine_store_lock(m, &e), 0);
        machine_store_close(m);
        cr_expect_eq(machine_store_open(t.path, "web", false, &m, &e), -ENOENT);
}

Test(machine_store, only_a_disk_that_can_be_written_to_counts_as_one)
{
        struct machine_definition d = sample();

        cr_expect_not(machine_definition_writes_disks(&d));
        d.devices[0].readonly = false;
        cr_expect(machine_definition_writes_disks(&d));
        machine_definition_free(&d);
}
