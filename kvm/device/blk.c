/* kvm/device/blk.c: virtio-blk (virtio 1.2, section 5.2): what the guest sees of a disk, new or from a snapshot. */
#include "kvm/device/blk_internal.h"

#include "core/base/units.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What StratoVirt offers without options: 0x130000204. */
#define FEATURES_BASE    (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | BLK_F_FLUSH | BLK_F_SEG_MAX)
#define FEATURES_DISCARD (BLK_F_DISCARD | BLK_F_WRITE_ZEROES)
static_assert(FEATURES_BASE == 0x130000204, "the features of StratoVirt's disks");

#define QUEUE_SIZE           256
#define SEG_MAX              254 /* a queue less header and status */
#define DISCARD_SECTORS_MAX  (UINT32_MAX / BLK_SECTOR_BYTES)
#define DISCARD_SEGMENTS_MAX 64

static struct blk *of(struct virtio_device *d)
{
        return (struct blk *)d;
}

/* --- configuration --- */

static uint32_t config_bytes(const struct virtio_device *d)
{
        if (d->offered & BLK_F_WRITE_ZEROES)
                return offsetof(struct blk_config, unused1);
        if (d->offered & BLK_F_DISCARD)
                return offsetof(struct blk_config, max_write_zeroes_sectors);
        return offsetof(struct blk_config, max_discard_sectors);
}

static void blk_read_config(struct virtio_device *d, uint32_t offset, uint8_t *ret, uint32_t len)
{
        uint32_t size = config_bytes(d);
        uint32_t n = offset < size ? MIN(len, size - offset) : 0;

        memset(ret, 0, len);
        memcpy(ret, (const uint8_t *)&of(d)->config + MIN(offset, size), n);
}

static void config_of_new(struct blk *b, uint64_t features)
{
        b->config.capacity_sectors = b->file.size_bytes / BLK_SECTOR_BYTES;
        b->config.seg_max = SEG_MAX;
        if (!(features & FEATURES_DISCARD))
                return;
        b->config.max_discard_sectors = b->config.max_write_zeroes_sectors = DISCARD_SECTORS_MAX;
        b->config.max_discard_seg = b->config.max_write_zeroes_seg = DISCARD_SEGMENTS_MAX;
        b->config.discard_sector_alignment = b->file.block_bytes / BLK_SECTOR_BYTES;
        b->config.write_zeroes_may_unmap = 1;
}

static void config_of_saved(struct blk *b, const struct virtio_blk_state *s)
{
        b->config = (struct blk_config){
                .capacity_sectors = s->capacity_sectors,
                .seg_max = s->seg_max,
                .blk_size = s->blk_size,
                .wce = s->wce,
                .num_queues = s->num_queues,
                .max_discard_sectors = s->max_discard_sectors,
                .max_discard_seg = s->max_discard_seg,
                .discard_sector_alignment = s->discard_sector_alignment,
                .max_write_zeroes_sectors = s->max_write_zeroes_sectors,
                .max_write_zeroes_seg = s->max_write_zeroes_seg,
                .write_zeroes_may_unmap = s->write_zeroes_may_unmap,
        };
}

static int blk_save(struct virtio_device *d, struct virtio_state *ret, struct err *e)
{
        const struct blk_config *c = &of(d)->config;

        (void)e;
        ret->u.blk = (struct virtio_blk_state){
                .capacity_sectors = c->capacity_sectors,
                .seg_max = c->seg_max,
                .blk_size = c->blk_size,
                .wce = c->wce,
                .num_queues = c->num_queues,
                .max_discard_sectors = c->max_discard_sectors,
                .max_discard_seg = c->max_discard_seg,
                .discard_sector_alignment = c->discard_sector_alignment,
                .max_write_zeroes_sectors = c->max_write_zeroes_sectors,
                .max_write_zeroes_seg = c->max_write_zeroes_seg,
                .write_zeroes_may_unmap = c->write_zeroes_may_unmap,
        };
        return 0;
}

/* A saved guest believes that what it wrote is on its disk, flushed or not: its own copy may be gone by the time it is woken. */
static int blk_sync(struct virtio_device *d, struct err *e)
{
        const struct blk_file *f = &of(d)->file;

        if (f->fd < 0 || f->readonly || fdatasync(f->fd) == 0)
                return 0;
        return err_set(e, -errno, "%s: %s: fdatasync: %s; what the guest wrote there may be lost", d->what, f->path,
                       strerror(errno));
}

/* --- making --- */

/* What the guest knows of this disk must be true of the file. */
static int check_saved(const struct virtio_state *s, const struct device_config *c, struct err *e)
{
        char     place[32];
        uint16_t size = s->queues[0].max_size;

        snprintf(place, sizeof(place), "disk in slot %u", s->slot);
        if (s->nr_queues != 1 || size == 0 || (size & (size - 1)) || size > VIRTIO_QUEUE_SIZE_MAX)
                return err_bad(e, place, ERR_NO_OFFSET,
                               "expected 1 queue of a power of two up to %u entries, found %u of %u; make the snapshot anew",
                               VIRTIO_QUEUE_SIZE_MAX, s->nr_queues, size);
        if (!c->path)
                return 0;
        if (s->u.blk.capacity_sectors == 0)
                return err_bad(e, place, ERR_NO_OFFSET,
                               "the guest knows this slot as unused (0 sectors) and would not see %s; leave out --disk %u=%s, "
                               "or name the slot that has the disk", c->path, s->slot, c->path);
        if (c->readonly && !(s->device_features & BLK_F_RO))
                return err_bad(e, place, ERR_NO_OFFSET,
                               "the guest knows this disk as writable, and readonly would fail its writes; leave readonly out, "
                               "and for several VMs give each a copy: --disk %u=COPY", s->slot);
        if (c->discard && (s->device_features & FEATURES_DISCARD) != FEATURES_DISCARD)
                return err_bad(e, place, ERR_NO_OFFSET,
                               "it was made without discard, and the guest would not learn of it; leave discard out");
        return 0;
}

static int check_capacity(const struct virtio_state *s, const struct blk_file *f, struct err *e)
{
        uint64_t was = s->u.blk.capacity_sectors, is = f->size_bytes / BLK_SECTOR_BYTES;
        char     place[32];

        if (was == is)
                return 0;
        snprintf(place, sizeof(place), "disk in slot %u", s->slot);
        return err_bad(e, place, ERR_NO_OFFSET,
                       "expected %llu sectors (%llu bytes), found %llu sectors (%llu bytes) in %s; give the disk's own "
                       "file, or a copy: --disk %u=FILE", (unsigned long long)was, (unsigned long long)was * BLK_SECTOR_BYTES,
                       (unsigned long long)is, (unsigned long long)f->size_bytes, f->path, s->slot);
}

static int set_serial(struct blk *b, const struct device_config *c, struct err *e)
{
        size_t len = c->serial ? strlen(c->serial) : 0;

        if (len > sizeof(b->shape.serial))
                return err_usage(e, "serial=%s: at most %zu characters, not %zu", c->serial, sizeof(b->shape.serial), len);
        if (len > 0)
                memcpy(b->shape.serial, c->serial, len);
        return 0;
}

static int open_file(struct blk *b, const struct device_config *c, const struct virtio_state *saved, struct err *e)
{
        bool readonly = c->readonly || (saved && saved->device_features & BLK_F_RO);
        int  r;

        if (!c->path)
                return 0;
        if (c->discard && readonly)
                return err_usage(e, "%s: readonly and discard: a disk that cannot be written cannot be discarded; leave one out",
                                 c->path);
        if ((r = blk_file_open(c->path, readonly, c->direct, &b->file, e)) < 0)
                return r;
        return saved ? check_capacity(saved, &b->file, e) : 0;
}

static void set_shape(struct blk *b)
{
        struct blk_shape *s = &b->shape;

        s->has_file = b->file.fd >= 0;
        s->readonly = b->file.readonly;
        s->is_block = b->file.is_block;
        s->block_bytes = b->file.block_bytes;
        s->mem_align = b->file.mem_align;
        s->offset_align = b->file.offset_align;
        s->sectors = MIN(b->config.capacity_sectors, b->file.size_bytes / BLK_SECTOR_BYTES);
        s->max_discard_sectors = b->config.max_discard_sectors;
        s->max_discard_seg = b->config.max_discard_seg;
        s->max_write_zeroes_sectors = b->config.max_write_zeroes_sectors;
        s->max_write_zeroes_seg = b->config.max_write_zeroes_seg;
}

static void blk_free(struct virtio_device *d)
{
        struct blk *b = of(d);

        virtio_device_fini(d);
        blk_file_close(&b->file);
        free(b);
}

static const struct virtio_ops blk_ops = {
        .kind = VIRTIO_BLK,
        .read_config = blk_read_config,
        .begin = blk_begin,
        .kicked = blk_kicked,
        .ready = blk_ready,
        .drain = blk_drain,
        .end = blk_end,
        .save = blk_save,
        .sync = blk_sync,
        .free = blk_free,
};

static int fill(struct blk *b, const struct device_config *c, const struct virtio_state *saved, struct virtio_env *env,
                struct err *e)
{
        uint64_t can = FEATURES_BASE | BLK_F_RO | FEATURES_DISCARD;
        uint64_t offers = FEATURES_BASE | (c->path && c->readonly ? BLK_F_RO : 0) |
                          (c->path && c->discard ? FEATURES_DISCARD : 0);
        uint16_t queue_size = saved ? saved->queues[0].max_size : QUEUE_SIZE;
        int      r;

        if ((saved && (r = check_saved(saved, c, e)) < 0) || (r = set_serial(b, c, e)) < 0 || (r = open_file(b, c, saved, e)) < 0)
                return r;
        if (saved)
                config_of_saved(b, &saved->u.blk);
        else
                config_of_new(b, offers);
        set_shape(b);
        return virtio_device_init(&b->dev, &blk_ops, env, saved ? can : offers, 1, &queue_size, saved, e);
}

static int blk_new(const struct device_config *c, const struct virtio_state *saved, struct virtio_env *env,
                   struct virtio_device **ret, struct err *e)
{
        struct blk *b = calloc(1, sizeof(*b));
        int         r;

        if (!b)
                return err_set(e, -ENOMEM, "a disk: %s", strerror(ENOMEM));
        b->file = BLK_FILE_NONE;
        b->again_fd = -1;
        r = fill(b, c, saved, env, e);
        if (r < 0) {
                blk_file_close(&b->file);
                free(b);
                return r;
        }
        *ret = &b->dev;
        return 0;
}

const struct virtio_maker blk_maker = { .kind = VIRTIO_BLK, .new = blk_new };
