/* What a snapshot has and what a user gives are brought together, or refused by name. */
#include "core/match_devices.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct vm_state vm;
static struct err      err;
static char            told[512];

static void note(void *arg, const char *text)
{
        (void)arg;
        snprintf(told, sizeof(told), "%s", text);
}

static struct virtio_state *add(enum virtio_kind kind, uint32_t slot, bool activated)
{
        struct virtio_state *v = &vm_state_add_device(&vm, DEVICE_VIRTIO, "")->u.virtio;

        v->kind = kind;
        v->slot = slot;
        v->activated = activated;
        return v;
}

static int match(struct device_config *c, size_t nr)
{
        return match_devices(&vm, c, nr, note, NULL, &err);
}

static void setup(void)
{
        vm_state_init(&vm, MACHINE_MICROVM, 1);
}

static void teardown(void)
{
        vm_state_free(&vm);
}

TestSuite(match_devices, .init = setup, .fini = teardown);

Test(match_devices, an_unused_slot_needs_nothing)
{
        add(VIRTIO_BLK, 0, false);
        add(VIRTIO_NET, 4, false);
        cr_assert_eq(match(NULL, 0), 0, "%s", err.text);
        cr_assert_str_empty(told);
}

Test(match_devices, an_active_disk_without_a_file_is_refused_with_slot_capacity_and_option)
{
        add(VIRTIO_BLK, 2, true)->u.blk.capacity_sectors = 512;
        cr_assert_lt(match(NULL, 0), 0);
        cr_assert_eq(err.kind, ERR_SNAPSHOT);
        cr_assert(strstr(err.text, "slot 2") && strstr(err.text, "262144 bytes") &&
                  strstr(err.text, "--disk 2=FILE"), "%s", err.text);
}

Test(match_devices, an_active_card_without_a_tap_is_refused_with_slot_mac_and_option)
{
        memcpy(add(VIRTIO_NET, 5, true)->u.net.mac, "\x52\x54\x00\x12\x34\x57", 6);
        cr_assert_lt(match(NULL, 0), 0);
        cr_assert(strstr(err.text, "slot 5") && strstr(err.text, "52:54:00:12:34:57") &&
                  strstr(err.text, "--net 5=tap=NAME"), "%s", err.text);
}

Test(match_devices, a_disk_that_the_guest_never_used_is_told_of_and_nothing_more)
{
        add(VIRTIO_BLK, 1, false)->u.blk.capacity_sectors = 512;
        cr_assert_eq(match(NULL, 0), 0, "%s", err.text);
        cr_assert(strstr(told, "slot 1"), "%s", told);
}

Test(match_devices, a_device_without_a_slot_takes_the_one_that_the_user_names)
{
        struct device_config  c[] = { { .kind = VIRTIO_VSOCK, .slot = 7 }, { .kind = VIRTIO_RNG, .slot = 6 } };
        struct virtio_state  *v;

        add(VIRTIO_RNG, VIRTIO_SLOT_UNKNOWN, false);
        v = add(VIRTIO_VSOCK, VIRTIO_SLOT_UNKNOWN, true);
        cr_assert_eq(match(c, 2), 0, "%s", err.text);
        cr_assert_eq(v->slot, 7);
        cr_assert_eq(vm.devices[0].u.virtio.slot, 6);
}

Test(match_devices, a_device_whose_slot_nobody_names_is_refused_with_the_option)
{
        add(VIRTIO_RNG, VIRTIO_SLOT_UNKNOWN, false);
        cr_assert_lt(match(NULL, 0), 0);
        cr_assert(strstr(err.text, "--device N=rng"), "%s", err.text);
}

Test(match_devices, a_backend_without_a_device_is_refused)
{
        struct device_config c = { .kind = VIRTIO_BALLOON, .slot = 6 };

        cr_assert_lt(match(&c, 1), 0);
        cr_assert(strstr(err.text, "balloon") && strstr(err.text, "slot 6"), "%s", err.text);
}

Test(match_devices, a_backend_for_a_device_of_another_kind_is_refused)
{
        struct device_config c = { .kind = VIRTIO_BLK, .slot = 4 };

        add(VIRTIO_NET, 4, false);
        cr_assert_lt(match(&c, 1), 0);
        cr_assert(strstr(err.text, "slot 4") && strstr(err.text, "network card"), "%s", err.text);
}

Test(match_devices, a_backend_that_names_only_its_kind_finds_the_one_device_of_it)
{
        struct device_config c = { .kind = VIRTIO_VSOCK, .slot = VIRTIO_SLOT_UNKNOWN };

        add(VIRTIO_VSOCK, 8, true);
        cr_assert_eq(match(&c, 1), 0, "%s", err.text);
        cr_assert_eq(c.slot, 8);
}

Test(match_devices, two_backends_for_one_slot_are_refused)
{
        struct device_config c[] = { { .kind = VIRTIO_BLK, .slot = 0 }, { .kind = VIRTIO_BLK, .slot = 0 } };

        add(VIRTIO_BLK, 0, true);
        cr_assert_lt(match(c, 2), 0);
        cr_assert_eq(err.kind, ERR_USAGE);
}
