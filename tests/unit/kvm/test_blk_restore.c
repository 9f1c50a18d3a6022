/* A disk from a snapshot: what it keeps, and what must be true of the file that is put behind it. */
#include "tests/unit/kvm/blk_rig.h"

static struct virtio_state saved_disk(uint64_t sectors)
{
        return (struct virtio_state){
                .kind = VIRTIO_BLK,
                .slot = 2,
                .device_features = 0x130000204,
                .nr_queues = 1,
                .queues[0] = { .size = 256, .max_size = 256 },
                .u.blk = { .capacity_sectors = sectors, .seg_max = 254 },
        };
}

/* The error's text: the pair is refused, as the snapshot's fault. */
static const char *refused(struct disk *g, const struct virtio_state *s, struct err *e)
{
        cr_assert_lt(disk_try(g, s, e), 0);
        cr_assert_eq(e->kind, ERR_SNAPSHOT, "%s", e->text);
        cr_assert(strstr(e->text, "slot 2"), "%s", e->text);
        return e->text;
}

/* In place of the C library's. */
static _Atomic unsigned nr_synced;
static _Atomic int      sync_error;

int fdatasync(int fd) /* NOLINT(readability-inconsistent-declaration-parameter-name): the library's are reserved */
{
        struct stat st;

        cr_assert(fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
        nr_synced++;
        errno = sync_error;
        return sync_error ? -1 : 0;
}

Test(blk_restore, before_a_snapshot_counts_the_disk_lasts_also_what_the_guest_did_not_flush)
{
        struct disk *g = disk_usual(0);
        struct err   e = { 0 };

        cr_assert_eq(g->d->ops->sync(g->d, &e), 0, "%s", e.text);
        cr_assert_eq(nr_synced, 1);
        sync_error = EIO;
        cr_assert_eq(g->d->ops->sync(g->d, &e), -EIO);
        cr_assert(strstr(e.text, "disk in slot 2") && strstr(e.text, g->path) && strstr(e.text, "fdatasync"), "%s", e.text);
        disk_free(g);
}

Test(blk_restore, a_disk_that_cannot_be_written_need_not_last)
{
        struct disk *g = disk_new();
        struct err   e = { 0 };

        g->config.readonly = true;
        disk_make(g, NULL);
        cr_assert_eq(g->d->ops->sync(g->d, &e), 0);
        cr_assert_eq(nr_synced, 0);
        disk_free(g);
}

Test(blk_restore, a_restored_disk_offers_and_saves_what_was_saved)
{
        struct disk        *g = disk_new();
        struct virtio_state s = saved_disk(DISK_SECTORS), again = { 0 };
        struct err          e = { 0 };

        s.device_features |= BLK_F_DISCARD;
        s.queues[0].max_size = 1024;
        s.u.blk = (struct virtio_blk_state){ .capacity_sectors = DISK_SECTORS, .seg_max = 1022, .blk_size = 512, .wce = 1,
                                             .max_discard_sectors = 77, .max_discard_seg = 3, .discard_sector_alignment = 5 };
        disk_make(g, &s);
        cr_assert_eq(g->d->offered, 0x130000204 | BLK_F_DISCARD);
        cr_assert_eq(virtq_state(g->d->queues[0])->max_size, 1024);
        cr_assert_eq(g->d->ops->save(g->d, &again, &e), 0);
        cr_assert_eq(memcmp(&again.u.blk, &s.u.blk, sizeof(s.u.blk)), 0);
        disk_free(g);
}

Test(blk_restore, a_capacity_that_differs_is_refused_with_both_and_the_option)
{
        struct disk        *g = disk_new();
        struct virtio_state s = saved_disk(1234);
        struct err          e;

        refused(g, &s, &e);
        cr_assert(strstr(e.text, "1234 sectors (631808 bytes)") && strstr(e.text, "8192 sectors (4194304 bytes)"), "%s", e.text);
        cr_assert(strstr(e.text, g->path) && strstr(e.text, "--disk 2=FILE"), "%s", e.text);
        disk_free(g);
}

Test(blk_restore, an_unused_slot_takes_no_file)
{
        struct disk        *g = disk_new();
        struct virtio_state s = saved_disk(0);
        struct err          e;

        cr_assert(strstr(refused(g, &s, &e), "unused"), "%s", e.text);
        g->config.path = NULL;
        disk_make(g, &s);
        disk_free(g);
}

Test(blk_restore, a_disk_that_was_writable_is_not_opened_readonly)
{
        struct disk        *g = disk_new();
        struct virtio_state s = saved_disk(DISK_SECTORS);
        struct err          e;

        g->config.readonly = true;
        cr_assert(strstr(refused(g, &s, &e), "writable"), "%s", e.text);
        s.device_features |= BLK_F_RO;
        disk_make(g, &s);
        disk_free(g);
}

Test(blk_restore, a_disk_that_was_readonly_is_opened_readonly)
{
        struct disk        *g = disk_new();
        struct virtio_state s = saved_disk(DISK_SECTORS);
        gpa_t               data = disk_take(g, 512, 512, 0);

        s.device_features |= BLK_F_RO;
        disk_make(g, &s);
        disk_activate(g, DISK_FEATURES, 256);
        cr_assert_eq(disk_do(g, BLK_T_OUT, 0, data, 512), BLK_S_IOERR);
        cr_assert(disk_file_is_original(g));
        disk_free(g);
}

Test(blk_restore, discard_cannot_be_added_to_a_guest_that_runs)
{
        struct disk        *g = disk_new();
        struct virtio_state s = saved_disk(DISK_SECTORS);
        struct err          e;

        g->config.discard = true;
        cr_assert(strstr(refused(g, &s, &e), "without discard"), "%s", e.text);
        disk_free(g);
}

Test(blk_restore, a_disk_without_its_file_keeps_its_size_and_fails_requests)
{
        struct disk        *g = disk_new();
        struct virtio_state s = saved_disk(1234);
        gpa_t               data = disk_take(g, 512, 512, 0);
        uint64_t            sectors;

        g->config.path = NULL;
        disk_make(g, &s);
        disk_activate(g, DISK_FEATURES, 256);
        g->d->ops->read_config(g->d, 0, (uint8_t *)&sectors, 8);
        cr_assert_eq(sectors, 1234);
        cr_assert_eq(disk_do(g, BLK_T_IN, 0, data, 512), BLK_S_IOERR);
        disk_free(g);
}

Test(blk_restore, queues_that_are_none_of_a_disks_are_refused)
{
        struct disk        *g = disk_new();
        struct virtio_state s = saved_disk(DISK_SECTORS);
        struct err          e;

        s.nr_queues = 2;
        refused(g, &s, &e);
        s.nr_queues = 1;
        s.queues[0].max_size = 0;
        refused(g, &s, &e);
        s.queues[0].max_size = 2048;
        refused(g, &s, &e);
        s.queues[0].max_size = 100;
        refused(g, &s, &e);
        disk_free(g);
}

Test(blk_restore, features_that_no_disk_of_ours_has_are_refused)
{
        struct disk        *g = disk_new();
        struct virtio_state s = saved_disk(DISK_SECTORS);
        struct err          e = { 0 };

        s.device_features |= 1 << 12; /* MQ */
        cr_assert_lt(disk_try(g, &s, &e), 0);
        cr_assert_eq(e.kind, ERR_SNAPSHOT, "%s", e.text);
        disk_free(g);
}
