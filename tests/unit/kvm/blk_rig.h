/* tests/unit/kvm/blk_rig.h: a disk with a driver that is not a guest: it lays its requests out in RAM, rings the bell, and looks.
 * Owns:    RAM, file and device, until rig_free.
 * Threads: the test's; the device has its worker.
 * Blocks:  rig_wait up to 20 s, then the test fails.
 *
 *   gpa  4 KiB    descriptors         64 KiB  available ring       128 KiB  used ring       1 MiB ...  whatever a test takes */
#pragma once

#include "core/base/cleanup.h"
#include "kvm/device/blk_layout.h"
#include "kvm/virtio/device.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RIG_RAM_BYTES   (64 * MIB)
#define RIG_FILE_BYTES  (4 * MIB)
#define RIG_FEATURES    (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | BLK_F_FLUSH | BLK_F_SEG_MAX)
#define RIG_DESC_GPA    0x1000
#define RIG_AVAIL_GPA   0x10000
#define RIG_USED_GPA    0x20000
#define RIG_TAKE_GPA    0x100000
#define RIG_PIECES_MAX  1024

struct rig_desc {
        uint64_t gpa;
        uint32_t len;
        uint16_t flags, next;
};

struct rig_piece {
        gpa_t    gpa;
        uint32_t len;
        bool     in;
};

struct rig {
        struct tmpdir         dir;
        char                  path[PATH_MAX + 16];
        struct device_config  config;
        struct mem_layout     layout;
        struct virtio_env     env;
        struct virtio_device *d;
        int                   kick;
        uint16_t              size, next_desc, avail, seen;
        gpa_t                 next_gpa;
        _Atomic unsigned int  interrupts, needs_reset, messages;
        char                  message[1024]; /* the last one; read it once the device is quiet */
};

static inline void rig_message(void *arg, const char *text)
{
        struct rig *g = arg;

        snprintf(g->message, sizeof(g->message), "%s", text);
        g->messages++;
}

static inline void rig_discard(void *arg, gpa_t gpa, uint64_t len_bytes)
{
        (void)arg;
        cr_assert_fail("a disk gave %llu bytes at %llu back", (unsigned long long)len_bytes, (unsigned long long)gpa);
}

static inline void rig_interrupt(void *transport, bool config)
{
        struct rig *g = transport;

        g->interrupts += !config;
}

static inline void rig_needs_reset(void *transport)
{
        struct rig *g = transport;

        g->needs_reset++;
}

static inline void *rig_at(struct rig *g, gpa_t gpa)
{
        return g->layout.ram + gpa;
}

/* Byte i of the file. */
static inline uint8_t rig_byte(uint64_t i)
{
        return (uint8_t)((i * 0x9e3779b97f4a7c15) >> 56 ^ i >> 9);
}

static inline void rig_make_file(struct rig *g, uint64_t size_bytes)
{
        _cleanup_free_ uint8_t *bytes = malloc(size_bytes);

        for (uint64_t i = 0; i < size_bytes; i++)
                bytes[i] = rig_byte(i);
        tmpdir_write(&g->dir, "disk.img", bytes, size_bytes);
        snprintf(g->path, sizeof(g->path), "%s/disk.img", g->dir.path);
        g->config.path = g->path;
}

/* RAM, file, no device yet: the test changes config as it likes. */
static inline struct rig *rig_new(void)
{
        struct rig *g = calloc(1, sizeof(*g));
        struct err  e = { 0 };

        g->dir = tmpdir_new();
        g->config = (struct device_config){ .kind = VIRTIO_BLK, .slot = 2 };
        cr_assert_eq(mem_layout_add(&g->layout, 0, RIG_RAM_BYTES, &e), 0, "%s", e.text);
        g->layout.ram = mmap(NULL, RIG_RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        cr_assert_neq((void *)g->layout.ram, MAP_FAILED);
        g->env = (struct virtio_env){ .layout = &g->layout, .arg = g, .discard = rig_discard, .message = rig_message };
        g->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        g->next_gpa = RIG_TAKE_GPA;
        rig_make_file(g, RIG_FILE_BYTES);
        return g;
}

static inline int rig_try(struct rig *g, const struct virtio_state *saved, struct err *e)
{
        *e = (struct err){ 0 };
        return blk_maker.new(&g->config, saved, &g->env, &g->d, e);
}

static inline void rig_make(struct rig *g, const struct virtio_state *saved)
{
        struct err e;

        cr_assert_eq(rig_try(g, saved, &e), 0, "%s", e.text);
        g->d->slot = 2;
        snprintf(g->d->what, sizeof(g->d->what), "disk in slot 2");
        g->d->transport = g;
        g->d->interrupt = rig_interrupt;
        g->d->needs_reset = rig_needs_reset;
}

/* The driver takes the device into use, with a queue of this size. */
static inline void rig_activate(struct rig *g, uint64_t features, uint16_t size)
{
        struct virtqueue_state *q = virtq_state(g->d->queues[0]);
        struct err              e = { 0 };

        q->desc_gpa = RIG_DESC_GPA;
        q->avail_gpa = RIG_AVAIL_GPA;
        q->used_gpa = RIG_USED_GPA;
        q->size = g->size = size;
        q->ready = true;
        cr_assert_eq(virtio_device_activate(g->d, features, &g->kick, false, &e), 0, "%s", e.text);
}

/* The usual: a disk of 4 MiB, in use. */
static inline struct rig *rig_usual(uint64_t more_features)
{
        struct rig *g = rig_new();

        g->config.discard = more_features & BLK_F_DISCARD;
        rig_make(g, NULL);
        rig_activate(g, RIG_FEATURES | more_features, 256);
        return g;
}

static inline void rig_end(struct rig *g)
{
        virtio_device_reset(g->d);
        g->d->ops->free(g->d);
        g->d = NULL;
        memset(rig_at(g, 0), 0, RIG_TAKE_GPA);
        g->avail = g->seen = g->next_desc = 0;
}

static inline void rig_free(struct rig *g)
{
        if (g->d)
                rig_end(g);
        munmap(g->layout.ram, RIG_RAM_BYTES);
        close(g->kick);
        tmpdir_free(&g->dir);
        free(g);
}

/* --- the driver --- */

static inline gpa_t rig_take(struct rig *g, uint64_t len_bytes, uint64_t align, uint64_t off)
{
        gpa_t gpa = align_up(g->next_gpa, align) + off;

        g->next_gpa = gpa + len_bytes;
        cr_assert_leq(g->next_gpa, RIG_RAM_BYTES);
        return gpa;
}

static inline struct rig_desc rig_desc(const struct rig_piece *p, bool last, uint16_t next)
{
        return (struct rig_desc){ .gpa = p->gpa, .len = p->len, .flags = (uint16_t)((p->in ? 2 : 0) | (last ? 0 : 1)), .next = next };
}

/* A chain of these pieces, in a table of its own or in the queue's; available, but the bell was not rung. */
static inline void rig_offer(struct rig *g, const struct rig_piece *p, uint16_t nr, bool indirect)
{
        struct rig_desc *queue = rig_at(g, RIG_DESC_GPA);
        uint16_t        *avail = rig_at(g, RIG_AVAIL_GPA), head = g->next_desc;

        if (indirect) {
                gpa_t            gpa = rig_take(g, nr * sizeof(*queue), 16, 0);
                struct rig_desc *table = rig_at(g, gpa);

                for (uint16_t i = 0; i < nr; i++)
                        table[i] = rig_desc(&p[i], i + 1 == nr, (uint16_t)(i + 1));
                queue[head] = (struct rig_desc){ .gpa = gpa, .len = (uint32_t)(nr * sizeof(*queue)), .flags = 4 };
                g->next_desc = (uint16_t)((head + 1) % g->size);
        } else {
                for (uint16_t i = 0; i < nr; i++) {
                        uint16_t next = (uint16_t)((g->next_desc + 1) % g->size);

                        queue[g->next_desc] = rig_desc(&p[i], i + 1 == nr, next);
                        g->next_desc = next;
                }
        }
        avail[2 + g->avail++ % g->size] = head;
        __atomic_store_n(&avail[1], g->avail, __ATOMIC_RELEASE);
}

static inline void rig_kick(struct rig *g)
{
        cr_assert_eq(eventfd_write(g->kick, 1), 0);
}

static inline uint16_t rig_used(struct rig *g)
{
        return __atomic_load_n((uint16_t *)rig_at(g, RIG_USED_GPA) + 1, __ATOMIC_ACQUIRE);
}

/* Until all that was offered is used. */
static inline void rig_wait(struct rig *g)
{
        for (int i = 0; rig_used(g) != g->avail; i++) {
                cr_assert_lt(i, 20000, "%u of %u requests came back; %s", rig_used(g), g->avail, g->message);
                poll(NULL, 0, 1);
        }
        g->seen = g->avail;
}

/* What the used ring says was written, of the newest. */
static inline uint32_t rig_used_len(struct rig *g)
{
        uint32_t *ring = (uint32_t *)rig_at(g, RIG_USED_GPA + 4);

        return ring[(uint16_t)(rig_used(g) - 1) % g->size * 2 + 1];
}

struct rig_request {
        gpa_t header, status;
};

static inline struct rig_request rig_request(struct rig *g, uint32_t type, uint64_t sector)
{
        struct rig_request k = { .header = rig_take(g, 16, 16, 0), .status = rig_take(g, 1, 1, 0) };

        *(struct blk_header *)rig_at(g, k.header) = (struct blk_header){ .type = type, .sector = sector };
        *(uint8_t *)rig_at(g, k.status) = 0xff;
        return k;
}

/* Offers the usual: header, one piece of data (none where len is 0), status. */
static inline struct rig_request rig_start(struct rig *g, uint32_t type, uint64_t sector, gpa_t data, uint32_t len)
{
        struct rig_request k = rig_request(g, type, sector);
        struct rig_piece   p[3] = { { k.header, 16, false }, { data, len, type == BLK_T_IN || type == BLK_T_GET_ID }, { k.status, 1, true } };

        if (len == 0)
                p[1] = p[2];
        rig_offer(g, p, len ? 3 : 2, false);
        return k;
}

static inline uint8_t rig_status(struct rig *g, struct rig_request k)
{
        return *(volatile uint8_t *)rig_at(g, k.status);
}

static inline uint8_t rig_do(struct rig *g, uint32_t type, uint64_t sector, gpa_t data, uint32_t len)
{
        struct rig_request k = rig_start(g, type, sector, data, len);

        rig_kick(g);
        rig_wait(g);
        return rig_status(g, k);
}

/* --- the file --- */

static inline void rig_read_file(struct rig *g, uint64_t at_bytes, void *ret, size_t len_bytes)
{
        _cleanup_close_ int fd = open(g->path, O_RDONLY | O_CLOEXEC);

        cr_assert_eq(pread(fd, ret, len_bytes, (off_t)at_bytes), (ssize_t)len_bytes);
}

/* The bytes are those of the file at this place, as rig_make_file made it. */
static inline bool rig_is_original(const uint8_t *bytes, uint64_t at_bytes, size_t len_bytes)
{
        for (size_t i = 0; i < len_bytes; i++)
                if (bytes[i] != rig_byte(at_bytes + i))
                        return false;
        return true;
}

static inline bool rig_all(const uint8_t *bytes, uint8_t value, size_t len_bytes)
{
        for (size_t i = 0; i < len_bytes; i++)
                if (bytes[i] != value)
                        return false;
        return true;
}

static inline bool rig_file_is_original(struct rig *g)
{
        _cleanup_free_ uint8_t *bytes = malloc(RIG_FILE_BYTES);

        rig_read_file(g, 0, bytes, RIG_FILE_BYTES);
        return rig_is_original(bytes, 0, RIG_FILE_BYTES);
}
