/* tests/unit/kvm/blk_rig.h: a disk over a file of 4 MiB, its device on the rig of virtio_rig.h, and a driver's requests.
 * Owns:    RAM, file and device, until disk_free.
 * Threads: the test's; the device has its worker.
 * Blocks:  disk_wait up to 20 s a request, then the test fails. */
#pragma once

#include "core/base/cleanup.h"
#include "kvm/device/blk_layout.h"
#include "tests/support/tmpdir.h"
#include "tests/unit/kvm/virtio_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#define DISK_FILE_BYTES (4 * MIB)
#define DISK_SECTORS    (DISK_FILE_BYTES / BLK_SECTOR_BYTES)
#define DISK_FEATURES   (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | BLK_F_FLUSH | BLK_F_SEG_MAX)

struct disk {
        struct rig           *r;
        struct tmpdir         dir;
        char                  path[PATH_MAX + 16];
        struct device_config  config;
        struct virtio_device *d; /* NULL: not made */
        struct rig_device     t;
        bool                  is_active;
        unsigned int          nr_sent; /* and not returned */
        uint32_t              used_len; /* of what was returned last */
};

/* Byte i of the file. */
static inline uint8_t disk_byte(uint64_t i)
{
        return (uint8_t)((i * 0x9e3779b97f4a7c15) >> 56 ^ i >> 9);
}

static inline void disk_make_file(struct disk *g, uint64_t size_bytes)
{
        _cleanup_free_ uint8_t *bytes = malloc(size_bytes);

        for (uint64_t i = 0; i < size_bytes; i++)
                bytes[i] = disk_byte(i);
        tmpdir_write(&g->dir, "disk.img", bytes, size_bytes);
        snprintf(g->path, sizeof(g->path), "%s/disk.img", g->dir.path);
        g->config.path = g->path;
}

/* RAM, file, no device yet: the test changes config as it likes. */
static inline struct disk *disk_new(void)
{
        struct disk *g = calloc(1, sizeof(*g));

        g->r = rig_new();
        g->dir = tmpdir_new();
        g->config = (struct device_config){ .kind = VIRTIO_BLK, .slot = 2 };
        disk_make_file(g, DISK_FILE_BYTES);
        return g;
}

static inline int disk_try(struct disk *g, const struct virtio_state *saved, struct err *e)
{
        *e = (struct err){ 0 };
        return blk_maker.new(&g->config, saved, &g->r->env, &g->d, e);
}

static inline void disk_make(struct disk *g, const struct virtio_state *saved)
{
        struct err e;

        cr_assert_eq(disk_try(g, saved, &e), 0, "%s", e.text);
        g->d->slot = 2;
        snprintf(g->d->what, sizeof(g->d->what), "disk in slot 2");
}

/* The driver takes the device into use, with a queue of this size; anew if it did so before. */
static inline void disk_activate(struct disk *g, uint64_t features, uint16_t size)
{
        if (g->is_active) {
                virtio_device_reset(g->d);
                close(g->t.kicks[0]);
        }
        rig_device_start(&g->t, g->r, g->d, features, size);
        g->is_active = true;
        g->nr_sent = 0;
}

/* The usual: a disk of 4 MiB, in use. */
static inline struct disk *disk_usual(uint64_t more_features)
{
        struct disk *g = disk_new();

        g->config.discard = more_features & BLK_F_DISCARD;
        disk_make(g, NULL);
        disk_activate(g, DISK_FEATURES | more_features, 256);
        return g;
}

/* The device goes, the worker with it: messages may be read, another device made. */
static inline void disk_end(struct disk *g)
{
        if (g->is_active)
                rig_device_free(&g->t);
        else if (g->d)
                g->d->ops->free(g->d);
        g->is_active = false;
        g->d = NULL;
}

static inline void disk_free(struct disk *g)
{
        disk_end(g);
        rig_free(g->r);
        tmpdir_free(&g->dir);
        free(g);
}

/* --- the driver --- */

static inline void *disk_at(struct disk *g, gpa_t gpa)
{
        return rig_at(g->r, gpa);
}

/* RAM, `off` bytes behind an aligned place. */
static inline gpa_t disk_take(struct disk *g, uint64_t len_bytes, uint64_t align, uint64_t off)
{
        return rig_alloc(g->r, off + len_bytes, align) + off;
}

static inline void disk_offer(struct disk *g, const struct rig_buf *b, size_t nr, bool indirect)
{
        if (indirect)
                rig_add_indirect(&g->t.q[0], b, nr);
        else
                rig_add(&g->t.q[0], b, nr);
        rig_publish(&g->t.q[0]);
        g->nr_sent++;
}

static inline void disk_kick(struct disk *g)
{
        rig_kick(&g->t, 0);
}

/* Until all that was offered came back. */
static inline void disk_wait(struct disk *g)
{
        for (; g->nr_sent > 0; g->nr_sent--)
                g->used_len = rig_wait_used(&g->t.q[0]).len;
}

struct disk_request {
        gpa_t header, status;
};

static inline struct disk_request disk_request(struct disk *g, uint32_t type, uint64_t sector)
{
        struct disk_request k = { .header = disk_take(g, 16, 16, 0), .status = disk_take(g, 1, 1, 0) };

        *(struct blk_header *)disk_at(g, k.header) = (struct blk_header){ .type = type, .sector = sector };
        *(uint8_t *)disk_at(g, k.status) = 0xff;
        return k;
}

static inline uint8_t disk_status(struct disk *g, struct disk_request k)
{
        return *(volatile uint8_t *)disk_at(g, k.status);
}

/* Offers the usual: header, one piece of data (none where len is 0), status. */
static inline struct disk_request disk_start(struct disk *g, uint32_t type, uint64_t sector, gpa_t data, uint32_t len,
                                             bool indirect)
{
        struct disk_request k = disk_request(g, type, sector);
        struct rig_buf      b[3] = { { k.header, 16, false }, { data, len, type == BLK_T_IN || type == BLK_T_GET_ID },
                                     { k.status, 1, true } };

        if (len == 0)
                b[1] = b[2];
        disk_offer(g, b, len ? 3 : 2, indirect);
        return k;
}

/* One request from its kick to its status. */
static inline uint8_t disk_do(struct disk *g, uint32_t type, uint64_t sector, gpa_t data, uint32_t len)
{
        struct disk_request k = disk_start(g, type, sector, data, len, false);

        disk_kick(g);
        disk_wait(g);
        return disk_status(g, k);
}

/* --- the file --- */

static inline void disk_read_file(struct disk *g, uint64_t at_bytes, void *ret, size_t len_bytes)
{
        _cleanup_close_ int fd = open(g->path, O_RDONLY | O_CLOEXEC);

        cr_assert_eq(pread(fd, ret, len_bytes, (off_t)at_bytes), (ssize_t)len_bytes);
}

/* The bytes are those of the file at this place, as disk_make_file made it. */
static inline bool disk_is_original(const uint8_t *bytes, uint64_t at_bytes, size_t len_bytes)
{
        for (size_t i = 0; i < len_bytes; i++)
                if (bytes[i] != disk_byte(at_bytes + i))
                        return false;
        return true;
}

static inline bool disk_all(const uint8_t *bytes, uint8_t value, size_t len_bytes)
{
        for (size_t i = 0; i < len_bytes; i++)
                if (bytes[i] != value)
                        return false;
        return true;
}

static inline bool disk_file_is_original(struct disk *g)
{
        _cleanup_free_ uint8_t *bytes = malloc(DISK_FILE_BYTES);

        disk_read_file(g, 0, bytes, DISK_FILE_BYTES);
        return disk_is_original(bytes, 0, DISK_FILE_BYTES);
}
